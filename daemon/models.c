/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/models.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct entry {
    struct entry *next;
    char path[1024];
    const struct engine_model *base; /* of an adapter, which keeps it open */
    struct engine_model *model;      /* the table's own reference */
};

struct models {
    struct engine *engine;
    const struct settings *settings;
    pthread_mutex_t lock;
    struct entry *entries;
};

struct models *models_new(struct engine *engine, const struct settings *settings) {
    struct models *models = calloc(1, sizeof *models);
    if (models != NULL) {
        *models = (struct models){.engine = engine, .settings = settings};
        (void)pthread_mutex_init(&models->lock, NULL); /* cannot fail with default attributes on Linux */
    }
    return models;
}

struct models *models_free(struct models *models) {
    if (models != NULL) {
        while (models->entries != NULL) {
            struct entry *next = models->entries->next;
            (void)engine_model_unref(models->entries->model);
            free(models->entries);
            models->entries = next;
        }
        (void)pthread_mutex_destroy(&models->lock);
        free(models);
    }
    return NULL;
}

struct engine *models_engine(const struct models *models) {
    return models->engine;
}

static int resolve(const struct models *models, const char *name, char *out, size_t out_size,
                   struct error *reterr) {
    const struct settings *s = models->settings;
    int used = -1;
    for (uint32_t i = 0; i < s->named_model_count && used < 0; i++) {
        if (strcmp(s->named_models[i].name, name) == 0) {
            used = snprintf(out, out_size, "%s", s->named_models[i].file);
        }
    }
    if (used < 0) {
        used = name[0] == '/' ? snprintf(out, out_size, "%s", name)
                              : snprintf(out, out_size, "%s/%s", s->models_dir, name);
    }
    if (used < 0 || (size_t)used >= out_size) {
        return error_set(reterr, -ENAMETOOLONG, "model %s: the path is too long", name);
    }
    if (access(out, R_OK) != 0) {
        return error_errno(
            reterr, errno,
            "model %s: %s cannot be read (name it under models.named, or run scripts/fetch-models.sh)", name,
            out);
    }
    return 0;
}

/* The entry of a path (of an adapter: and of its base), opened when it is not there yet. */
static int open_locked(struct models *models, struct engine_model *base, const char *path,
                       struct engine_model **ret, struct error *reterr) {
    struct entry *entry = models->entries;
    while (entry != NULL && (entry->base != base || strcmp(entry->path, path) != 0)) {
        entry = entry->next;
    }
    if (entry == NULL) {
        struct entry *fresh = calloc(1, sizeof *fresh);
        if (fresh == NULL) {
            return error_errno(reterr, ENOMEM, "%s", path);
        }
        int rc = base == NULL ? engine_model_open(models->engine, path, &fresh->model, reterr)
                              : engine_adapter_open(models->engine, base, path, &fresh->model, reterr);
        if (rc != 0) {
            free(fresh);
            return rc;
        }
        (void)snprintf(fresh->path, sizeof fresh->path, "%s", path);
        fresh->base = base;
        fresh->next = models->entries;
        models->entries = fresh;
        entry = fresh;
    }
    *ret = engine_model_ref(entry->model);
    return 0;
}

static int open_shared(struct models *models, struct engine_model *base, const char *path,
                       struct engine_model **ret, struct error *reterr) {
    (void)pthread_mutex_lock(&models->lock);
    int rc = open_locked(models, base, path, ret, reterr);
    (void)pthread_mutex_unlock(&models->lock);
    return rc;
}

int models_open(void *user, const char *name, struct engine_model **ret, struct error *reterr) {
    struct models *models = user;
    char path[1024];
    int rc = resolve(models, name, path, sizeof path, reterr);
    return rc != 0 ? rc : open_shared(models, NULL, path, ret, reterr);
}

int models_adapter(void *user, struct engine_model *base, const char *path, struct engine_model **ret,
                   struct error *reterr) {
    return open_shared(user, base, path, ret, reterr);
}

int models_data_path(void *user, const char *name, char *out, size_t out_size, struct error *reterr) {
    const struct models *models = user;
    const char *const folders[] = {models->settings->data_dir, models->settings->models_dir};
    if (name[0] == '/' || strstr(name, "..") != NULL) {
        return error_set(reterr, -EINVAL, "%s: a name below the data folder is wanted, not a path", name);
    }
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        int used = snprintf(out, out_size, "%s/%s", folders[i], name);
        if (used > 0 && (size_t)used < out_size && access(out, R_OK) == 0) {
            return 0;
        }
    }
    return error_set(reterr, -ENOENT, "%s is neither in %s nor in %s", name, folders[0], folders[1]);
}
