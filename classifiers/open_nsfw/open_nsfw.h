/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BUCKLER_CLASSIFIERS_OPEN_NSFW_OPEN_NSFW_H
#define BUCKLER_CLASSIFIERS_OPEN_NSFW_OPEN_NSFW_H

#include "classifiers/classifier.h"

extern const struct classifier_type open_nsfw_classifier;

#endif
