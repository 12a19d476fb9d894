/* SPDX-License-Identifier: Apache-2.0
 *
 * The daemon's configuration, buckler.yaml(5). Paths in it are relative to the file's own folder.
 */
#ifndef BUCKLER_DAEMON_SETTINGS_H
#define BUCKLER_DAEMON_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "config/config.h"
#include "decode/decode.h"
#include "ipc/ipc.h"

enum {
    SETTINGS_MAX_POLICIES = 64,
    SETTINGS_MAX_MODELS = 64,
    SETTINGS_MAX_TENANTS = 64,
    SETTINGS_PATH_SIZE = 1024,
};

enum settings_audit {
    SETTINGS_AUDIT_INVALID,
    SETTINGS_AUDIT_BEFORE_REPLY,
    SETTINGS_AUDIT_ASYNC,
    SETTINGS_AUDIT_OFF
};

struct settings_model {
    char name[65];
    char file[SETTINGS_PATH_SIZE];
};

/* Whom a request is done for; a user or loopback client without one has no limits of its own. */
struct settings_tenant {
    char name[IPC_NAME_SIZE];
    uint32_t rate;   /* most requests a second; 0: no limit */
    uint32_t window; /* most open requests; 0: limits.requests */
    uint32_t weight;
    uint32_t policy_count; /* 0: every policy */
    char policies[SETTINGS_MAX_POLICIES][65];
    unsigned line, column;
};

struct settings {
    char file[SETTINGS_PATH_SIZE];
    char state_dir[SETTINGS_PATH_SIZE], run_dir[SETTINGS_PATH_SIZE], audit_dir[SETTINGS_PATH_SIZE],
        keys_dir[SETTINGS_PATH_SIZE];

    uint32_t endpoint_count;
    char endpoints[IPC_MAX_ENDPOINTS][256];
    bool insecure_loopback;
    char curve_file[SETTINGS_PATH_SIZE]; /* the server's secret key; "": tcp does not speak CURVE */
    uint32_t uid_count;
    struct ipc_uid uids[IPC_MAX_UIDS];
    uint32_t key_count; /* without the revoked ones */
    struct ipc_key keys[IPC_MAX_KEYS];
    uint32_t tenant_count;
    struct settings_tenant tenants[SETTINGS_MAX_TENANTS];

    uint32_t policy_file_count;
    char policy_files[SETTINGS_MAX_POLICIES][SETTINGS_PATH_SIZE];
    char default_policy[65];

    char models_dir[SETTINGS_PATH_SIZE]; /* downloaded weights */
    char data_dir[SETTINGS_PATH_SIZE];   /* what the product ships: heads and cards */
    uint32_t named_model_count;
    struct settings_model named_models[SETTINGS_MAX_MODELS];

    uint32_t engine_threads, step_tokens, kv_tokens;
    uint32_t decode_workers, decode_queue, decode_job_ms, decode_jobs_per_worker, image_side;
    uint64_t image_pixels, decode_address_space;
    uint32_t max_requests, connection_window, max_windows;
    uint64_t text_bytes, part_bytes, total_bytes;
    enum settings_audit audit_mode;
    int log_level;
    uint32_t example_deadline_ms;
};

/* state_dir NULL or "": the packaged folders. CONFIG_E_INVALID: every mistake is in `report`. */
int settings_load(const char *path, const char *state_dir, struct settings *ret,
                  struct config_report *report) MUST_CHECK;

/* The tenant of this name, or NULL. */
const struct settings_tenant *settings_tenant(const struct settings *settings, const char *name);

/* Whether the tenant may ask for the policy; NULL may ask for every one. */
bool settings_tenant_may(const struct settings_tenant *tenant, const char *policy);

/* How images are decoded when no classifier of the policy looks at them: small, only to check that they are
 * sound. */
struct decode_image_form settings_fallback_image_form(void);

#endif
