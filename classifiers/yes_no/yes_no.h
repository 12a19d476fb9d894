/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BUCKLER_CLASSIFIERS_YES_NO_YES_NO_H
#define BUCKLER_CLASSIFIERS_YES_NO_YES_NO_H

#include "classifiers/classifier.h"

extern const struct classifier_type yes_no_classifier;

#endif
