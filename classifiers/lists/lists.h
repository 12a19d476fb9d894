/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BUCKLER_CLASSIFIERS_LISTS_LISTS_H
#define BUCKLER_CLASSIFIERS_LISTS_LISTS_H

#include "classifiers/classifier.h"

extern const struct classifier_type lists_classifier;

#endif
