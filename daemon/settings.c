/* SPDX-License-Identifier: Apache-2.0
 *
 * The file is read into `struct file` by the table, then resolved: relative paths, $BUCKLER_MODELS, --state.
 */
#include "daemon/settings.h"

#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "daemon/settings_tenants.h"

enum { EXAMPLE_DEADLINE_MS = 60000 };

#define PACKAGED_RUN "/run/buckler"
#define PACKAGED_STATE "/var/lib/buckler"

struct model_item {
    char name[65];
    char path[SETTINGS_PATH_SIZE];
};

struct file {
    char **endpoints;
    size_t endpoint_count;
    int insecure;
    char curve_file[SETTINGS_PATH_SIZE];
    struct uid_item *uids;
    size_t uid_count;
    struct tenant_item *tenants;
    size_t tenant_count;
    char **policy_files;
    size_t policy_file_count;
    char default_policy[65];
    char models_dir[SETTINGS_PATH_SIZE], data_dir[SETTINGS_PATH_SIZE];
    struct model_item *named;
    size_t named_count;
    uint32_t engine_threads, step_tokens, kv_tokens;
    uint32_t decode_workers, decode_queue, jobs_per_worker, image_side;
    uint64_t job_ns, image_pixels, address_space;
    uint32_t max_requests, connection_window, max_windows;
    uint64_t text_bytes, part_bytes, total_bytes;
    int audit_mode;
    int log_level;
};

static const struct config_choice schema_choices[] = {{"buckler.config/1", 1, false}, {0}};
static const struct config_choice insecure_choices[] = {{"loopback", 1, false}, {0}};
static const struct config_choice audit_choices[] = {{"before_reply", SETTINGS_AUDIT_BEFORE_REPLY, false},
                                                     {"async", SETTINGS_AUDIT_ASYNC, false},
                                                     {"off", SETTINGS_AUDIT_OFF, false},
                                                     {0}};
static const struct config_choice level_choices[] = {
    {"error", LOG_ERROR_LEVEL, false},   {"warning", LOG_WARNING_LEVEL, false},
    {"notice", LOG_NOTICE_LEVEL, false}, {"info", LOG_INFO_LEVEL, false},
    {"debug", LOG_DEBUG_LEVEL, false},   {0}};

static const struct config_row listen_rows[] = {
    {"endpoints", CONFIG_STRINGS, CONFIG_ITEMS(struct file, endpoints, endpoint_count), .min = 1,
     .max = IPC_MAX_ENDPOINTS, .help = "ipc://PATH or tcp://ADDRESS:PORT; default: ipc://RUN/front.sock"},
    {"insecure", CONFIG_ENUM, CONFIG_FIELD(struct file, insecure), .choices = insecure_choices,
     .help = "loopback: tcp without encryption on a loopback address"},
    {"curve", CONFIG_TEXT, CONFIG_FIELD(struct file, curve_file), .min = 1,
     .help = "file with the server's secret key: tcp speaks CURVE, and only keys of tenants may connect"},
    {"uids", CONFIG_LIST, CONFIG_ITEMS(struct file, uids, uid_count), .rows = settings_uid_rows,
     .max = IPC_MAX_UIDS,
     .help = "users without a tenant that may connect over ipc; with no user anywhere: the daemon's own and "
             "root"},
    {"window", CONFIG_U32, CONFIG_FIELD(struct file, connection_window), .min = 1, .max = 4096,
     .fallback = "256", .help = "most open requests of one connection"},
    CONFIG_END,
};

static const struct config_row policies_rows[] = {
    {"files", CONFIG_STRINGS, CONFIG_ITEMS(struct file, policy_files, policy_file_count), .min = 1,
     .max = SETTINGS_MAX_POLICIES, .required = true, .help = "policy files"},
    {"default", CONFIG_TEXT, CONFIG_FIELD(struct file, default_policy), .required = true,
     .help = "name of the policy for requests that name none"},
    CONFIG_END,
};

static const struct config_row named_rows[] = {
    {"name", CONFIG_KEY, CONFIG_FIELD(struct model_item, name)},
    {"file", CONFIG_TEXT, CONFIG_FIELD(struct model_item, path), .min = 1, .required = true,
     .help = "the model file"},
    CONFIG_END,
};

static const struct config_row models_rows[] = {
    {"directory", CONFIG_TEXT, CONFIG_FIELD(struct file, models_dir),
     .help = "downloaded weights; default: $BUCKLER_MODELS, else ~/.cache/buckler/models"},
    {"data", CONFIG_TEXT, CONFIG_FIELD(struct file, data_dir), .fallback = "/usr/share/buckler/models",
     .help = "heads and cards that ship with buckler"},
    {"named", CONFIG_TABLE, CONFIG_ITEMS(struct file, named, named_count), .rows = named_rows,
     .max = SETTINGS_MAX_MODELS, .help = "names for further model files"},
    CONFIG_END,
};

static const struct config_row engine_rows[] = {
    {"threads", CONFIG_U32, CONFIG_FIELD(struct file, engine_threads), .max = 1024, .fallback = "0",
     .help = "worker threads; 0: one a core"},
    {"step_tokens", CONFIG_U32, CONFIG_FIELD(struct file, step_tokens), .min = 16, .max = 8192,
     .fallback = "512", .help = "most tokens computed in one step"},
    {"kv_tokens", CONFIG_U32, CONFIG_FIELD(struct file, kv_tokens), .min = 512, .max = 1048576,
     .fallback = "4096", .help = "tokens whose keys and values are held at once, for each model"},
    CONFIG_END,
};

static const struct config_row decode_rows[] = {
    {"workers", CONFIG_U32, CONFIG_FIELD(struct file, decode_workers), .min = 1, .max = 64, .fallback = "2",
     .help = "sandboxed decoders"},
    {"queue", CONFIG_U32, CONFIG_FIELD(struct file, decode_queue), .min = 1, .max = 65536, .fallback = "1024",
     .help = "most parts that wait for a decoder"},
    {"job", CONFIG_DURATION, CONFIG_FIELD(struct file, job_ns), .min = 10000000, .fallback = "2s",
     .help = "time for one part"},
    {"jobs_per_worker", CONFIG_U32, CONFIG_FIELD(struct file, jobs_per_worker), .min = 1, .fallback = "1000",
     .help = "a worker is replaced after so many parts"},
    {"image_pixels", CONFIG_U64, CONFIG_FIELD(struct file, image_pixels), .min = 64, .max = 268435456,
     .fallback = "67108864", .help = "most pixels of an image"},
    {"image_side", CONFIG_U32, CONFIG_FIELD(struct file, image_side), .min = 8, .max = 65535,
     .fallback = "16384", .help = "most pixels of one side"},
    {"address_space", CONFIG_SIZE, CONFIG_FIELD(struct file, address_space), .min = 134217728,
     .fallback = "512MiB", .help = "memory of a worker"},
    CONFIG_END,
};

static const struct config_row limits_rows[] = {
    {"requests", CONFIG_U32, CONFIG_FIELD(struct file, max_requests), .min = 1, .max = 65536,
     .fallback = "512", .help = "most open requests"},
    {"text", CONFIG_SIZE, CONFIG_FIELD(struct file, text_bytes), .min = 1, .max = IPC_MAX_PART_BYTES,
     .fallback = "1MiB", .help = "most bytes of a text part"},
    {"part", CONFIG_SIZE, CONFIG_FIELD(struct file, part_bytes), .min = 1, .max = IPC_MAX_PART_BYTES,
     .fallback = "20MiB", .help = "most bytes of any part"},
    {"total", CONFIG_SIZE, CONFIG_FIELD(struct file, total_bytes), .min = 1, .max = IPC_MAX_TOTAL_BYTES,
     .fallback = "32MiB", .help = "most bytes of a request"},
    {"windows", CONFIG_U32, CONFIG_FIELD(struct file, max_windows), .min = 1, .max = 4096, .fallback = "64",
     .help = "most windows of a long text that are judged; the rest is not covered"},
    CONFIG_END,
};

static const struct config_row audit_rows[] = {
    {"mode", CONFIG_ENUM, CONFIG_FIELD(struct file, audit_mode), .choices = audit_choices,
     .fallback = "before_reply", .help = "before_reply: no verdict without a durable record; async; off"},
    CONFIG_END,
};

static const struct config_row log_rows[] = {
    {"level", CONFIG_ENUM, CONFIG_FIELD(struct file, log_level), .choices = level_choices,
     .fallback = "notice", .help = "least severe messages that are written"},
    CONFIG_END,
};

struct file_with_schema {
    struct file file; /* first: the tables above use its offsets */
    int schema;
};

static const struct config_row rows[] = {
    {"schema", CONFIG_ENUM, CONFIG_FIELD(struct file_with_schema, schema), .choices = schema_choices,
     .required = true},
    {"listen", CONFIG_STRUCT, .rows = listen_rows, .help = "where clients connect"},
    {"tenants", CONFIG_LIST, CONFIG_ITEMS(struct file, tenants, tenant_count), .rows = settings_tenant_rows,
     .max = SETTINGS_MAX_TENANTS, .help = "who may ask for what, and how much"},
    {"policies", CONFIG_STRUCT, .rows = policies_rows, .required = true, .help = "what is allowed"},
    {"models", CONFIG_STRUCT, .rows = models_rows, .help = "where weights are"},
    {"engine", CONFIG_STRUCT, .rows = engine_rows, .help = "inference"},
    {"decode", CONFIG_STRUCT, .rows = decode_rows, .help = "sandboxed decoders"},
    {"limits", CONFIG_STRUCT, .rows = limits_rows, .help = "what is too much"},
    {"audit", CONFIG_STRUCT, .rows = audit_rows, .help = "the compliance log"},
    {"log", CONFIG_STRUCT, .rows = log_rows, .help = "messages on standard error"},
    CONFIG_END,
};

/* ---- resolving ---- */

struct resolver {
    const char *path; /* of the configuration */
    char folder[SETTINGS_PATH_SIZE];
    struct config_report *report;
    bool failed;
};

static void join(struct resolver *r, char *out, size_t out_size, const char *folder, const char *name) {
    int used =
        name[0] == '/' ? snprintf(out, out_size, "%s", name) : snprintf(out, out_size, "%s/%s", folder, name);
    if (used < 0 || (size_t)used >= out_size) {
        config_report_add(r->report, r->path, 1, 1, "the path %.64s… is too long", name);
        r->failed = true;
    }
}

static void resolve_state(struct resolver *r, const char *state_dir, struct settings *s) {
    bool packaged = state_dir == NULL || state_dir[0] == '\0';
    char absolute[SETTINGS_PATH_SIZE];
    const char *state = packaged ? PACKAGED_STATE : state_dir;
    if (state[0] != '/') { /* roles have their own idea of the working folder */
        CLEANUP(free_ptr) char *here = realpath(".", NULL);
        join(r, absolute, sizeof absolute, here != NULL ? here : ".", state);
        state = absolute;
    }
    join(r, s->state_dir, sizeof s->state_dir, "/", state);
    join(r, s->audit_dir, sizeof s->audit_dir, state, "audit");
    join(r, s->keys_dir, sizeof s->keys_dir, state, "keys");
    if (packaged) {
        join(r, s->run_dir, sizeof s->run_dir, "/", PACKAGED_RUN);
    } else {
        join(r, s->run_dir, sizeof s->run_dir, state, "run");
    }
}

static void resolve_endpoints(struct resolver *r, const struct file *f, struct settings *s) {
    if (f->endpoint_count == 0) {
        s->endpoint_count = 1;
        int used = snprintf(s->endpoints[0], sizeof s->endpoints[0], "ipc://%s/front.sock", s->run_dir);
        if (used < 0 || (size_t)used >= sizeof s->endpoints[0]) {
            config_report_add(r->report, r->path, 1, 1, "the path of the socket in %.64s… is too long",
                              s->run_dir);
            r->failed = true;
        }
        return;
    }
    for (size_t i = 0; i < f->endpoint_count; i++) {
        const char *e = f->endpoints[i];
        if ((strncmp(e, "ipc:///", 7) != 0 && strncmp(e, "tcp://", 6) != 0) ||
            strlen(e) >= sizeof s->endpoints[0]) {
            config_report_add(r->report, r->path, 1, 1,
                              "listen.endpoints: \"%.64s\" is neither ipc:///PATH nor tcp://ADDRESS:PORT", e);
            r->failed = true;
            continue;
        }
        if (e[0] == 't' && s->curve_file[0] == '\0' && !s->insecure_loopback) {
            config_report_add(r->report, r->path, 1, 1,
                              "listen.endpoints: \"%.64s\" would serve everybody; set listen.curve (see "
                              "bucklerctl keys generate), or use ipc",
                              e);
            r->failed = true;
        }
        (void)snprintf(s->endpoints[s->endpoint_count++], sizeof s->endpoints[0], "%s", e);
    }
}

static void resolve_models(struct resolver *r, const struct file *f, struct settings *s) {
    const char *from_environment = getenv("BUCKLER_MODELS");
    const char *home = getenv("HOME");
    if (f->models_dir[0] != '\0') {
        join(r, s->models_dir, sizeof s->models_dir, r->folder, f->models_dir);
    } else if (from_environment != NULL && from_environment[0] != '\0') {
        join(r, s->models_dir, sizeof s->models_dir, ".", from_environment);
    } else {
        join(r, s->models_dir, sizeof s->models_dir, home != NULL ? home : "/var/cache",
             ".cache/buckler/models");
    }
    join(r, s->data_dir, sizeof s->data_dir, r->folder, f->data_dir);
    for (size_t i = 0; i < f->named_count; i++) {
        struct settings_model *model = &s->named_models[s->named_model_count++];
        memcpy(model->name, f->named[i].name, sizeof model->name);
        join(r, model->file, sizeof model->file, s->models_dir, f->named[i].path);
    }
}

static void copy_numbers(const struct file *f, struct settings *s) {
    s->insecure_loopback = f->insecure != 0;
    s->engine_threads = f->engine_threads;
    s->step_tokens = f->step_tokens;
    s->kv_tokens = f->kv_tokens;
    s->decode_workers = f->decode_workers;
    s->decode_queue = f->decode_queue;
    s->decode_job_ms = (uint32_t)(f->job_ns / 1000000u);
    s->decode_jobs_per_worker = f->jobs_per_worker;
    s->image_side = f->image_side;
    s->image_pixels = f->image_pixels;
    s->decode_address_space = f->address_space;
    s->max_requests = f->max_requests;
    s->connection_window = f->connection_window;
    s->max_windows = f->max_windows;
    s->text_bytes = f->text_bytes;
    s->part_bytes = f->part_bytes;
    s->total_bytes = f->total_bytes;
    s->audit_mode = (enum settings_audit)f->audit_mode;
    s->log_level = f->log_level;
    s->example_deadline_ms = EXAMPLE_DEADLINE_MS;
}

static void resolve_tenants(struct resolver *r, const struct file *f, struct settings *s) {
    bool ok = settings_take_tenants(f->tenants, f->tenant_count, s, r->report);
    ok = settings_take_uids(f->uids, f->uid_count, s, r->report) && ok;
    r->failed = r->failed || !ok || !settings_drop_revoked(s, r->report);
}

static void resolve(struct resolver *r, const struct file *f, const char *state_dir, struct settings *s) {
    char copy[SETTINGS_PATH_SIZE];
    join(r, copy, sizeof copy, ".", r->path);
    (void)snprintf(r->folder, sizeof r->folder, "%s", dirname(copy));
    join(r, s->file, sizeof s->file, ".", r->path);
    copy_numbers(f, s);
    resolve_state(r, state_dir, s);
    if (f->curve_file[0] != '\0') {
        join(r, s->curve_file, sizeof s->curve_file, r->folder, f->curve_file);
    }
    resolve_tenants(r, f, s);
    resolve_endpoints(r, f, s);
    resolve_models(r, f, s);
    for (size_t i = 0; i < f->policy_file_count; i++) {
        join(r, s->policy_files[s->policy_file_count++], SETTINGS_PATH_SIZE, r->folder, f->policy_files[i]);
    }
    memcpy(s->default_policy, f->default_policy, sizeof s->default_policy);
}

int settings_load(const char *path, const char *state_dir, struct settings *ret,
                  struct config_report *report) {
    struct file_with_schema loaded = {0};
    int rc = config_load_file(path, rows, &loaded, report);
    if (rc != 0) {
        return rc;
    }
    struct resolver resolver = {.path = path, .report = report};
    *ret = (struct settings){0};
    resolve(&resolver, &loaded.file, state_dir, ret);
    config_free(rows, &loaded);
    return resolver.failed ? CONFIG_E_INVALID : 0;
}

const struct settings_tenant *settings_tenant(const struct settings *settings, const char *name) {
    for (uint32_t i = 0; i < settings->tenant_count; i++) {
        if (strcmp(settings->tenants[i].name, name) == 0) {
            return &settings->tenants[i];
        }
    }
    return NULL;
}

bool settings_tenant_may(const struct settings_tenant *tenant, const char *policy) {
    bool may = tenant == NULL || tenant->policy_count == 0;
    for (uint32_t i = 0; !may && i < tenant->policy_count; i++) {
        may = strcmp(tenant->policies[i], policy) == 0;
    }
    return may;
}

struct decode_image_form settings_fallback_image_form(void) {
    return (struct decode_image_form){
        .resize_width = 32, .resize_height = 32, .crop_width = 32, .crop_height = 32};
}
