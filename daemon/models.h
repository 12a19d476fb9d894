/* SPDX-License-Identifier: Apache-2.0
 *
 * Model files by name, each opened once and shared by all generations that use it. A model stays open until
 * the daemon ends: a reload that goes back to it costs nothing. Thread-safe.
 */
#ifndef BUCKLER_DAEMON_MODELS_H
#define BUCKLER_DAEMON_MODELS_H

#include "base/error.h"
#include "daemon/settings.h"
#include "engine/engine.h"

struct models;

struct models *models_new(struct engine *engine, const struct settings *settings);
struct models *models_free(struct models *models);

struct engine *models_engine(const struct models *models);

/* As the functions of classifier_env (classifiers/classifier.h); `user` is the struct models. */
int models_open(void *user, const char *name, struct engine_model **ret, struct error *reterr) MUST_CHECK;
int models_adapter(void *user, struct engine_model *base, const char *path, struct engine_model **ret,
                   struct error *reterr) MUST_CHECK;
int models_data_path(void *user, const char *name, char *out, size_t out_size,
                     struct error *reterr) MUST_CHECK;

#endif
