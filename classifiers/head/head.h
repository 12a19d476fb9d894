/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BUCKLER_CLASSIFIERS_HEAD_HEAD_H
#define BUCKLER_CLASSIFIERS_HEAD_HEAD_H

#include "classifiers/classifier.h"

extern const struct classifier_type head_classifier;

#endif
