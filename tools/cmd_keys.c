/* SPDX-License-Identifier: Apache-2.0
 *
 * CURVE keys. A secret is written once, to a file that only its owner can read, and is never printed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/z85.h"
#include "clients/c/buckler.h"
#include "config/config.h"
#include "tools/command.h"

static int write_key(const char *dir, const char *name, const char *suffix, mode_t mode, const char *key) {
    char path[4096];
    char line[BUCKLER_KEY_SIZE + 1];
    (void)snprintf(path, sizeof path, "%s/%s.%s", dir, name, suffix);
    int size = snprintf(line, sizeof line, "%s\n", key);
    CLEANUP(close_fd) int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0) {
        return command_fail(EXIT_FAILED, "keys generate: %s: %s", path, strerror(errno));
    }
    int rc = fd_write_all(fd, line, (size_t)size);
    explicit_bzero(line, sizeof line);
    if (rc < 0 || fsync(fd) != 0) {
        rc = command_fail(EXIT_FAILED, "keys generate: %s: %s", path, strerror(rc < 0 ? -rc : errno));
        (void)unlink(path);
        return rc;
    }
    return 0;
}

static int run_generate(int argc, char **argv) {
    const char *dir = ".";
    char public_key[BUCKLER_KEY_SIZE];
    char secret_key[BUCKLER_KEY_SIZE];
    const struct option_value table[] = {{"--dir", true, &dir}, {NULL, false, NULL}};
    int rest = 0;
    int rc = command_options(&command_keys_generate, argc, argv, table, &rest);
    if (rc != 0) {
        return rc;
    }
    if (rest + 1 != argc || argv[rest][0] == '\0' || strchr(argv[rest], '/') != NULL) {
        return command_fail(EXIT_USAGE, "keys generate: takes one name, without a /");
    }
    if (buckler_keypair(public_key, secret_key) != 0) {
        return command_fail(EXIT_FAILED, "keys generate: this libzmq has no CURVE");
    }
    rc = write_key(dir, argv[rest], "key", 0600, secret_key);
    explicit_bzero(secret_key, sizeof secret_key);
    rc = rc != 0 ? rc : write_key(dir, argv[rest], "pub", 0644, public_key);
    if (rc == 0) {
        (void)puts(public_key);
    }
    return rc;
}

/* ---- list ---- */

struct listed_tenant {
    char name[65];
    char **keys;
    size_t key_count;
};

struct listed {
    struct listed_tenant *tenants;
    size_t count;
};

static const struct config_row tenant_rows[] = {
    {"name", CONFIG_TEXT, CONFIG_FIELD(struct listed_tenant, name)},
    {"keys", CONFIG_STRINGS, CONFIG_ITEMS(struct listed_tenant, keys, key_count)},
    CONFIG_END,
};

/* The daemon checks the file; its other keys are none of ours. */
static const struct config_row rows[] = {
    {"tenants", CONFIG_LIST, CONFIG_ITEMS(struct listed, tenants, count), .rows = tenant_rows},
    CONFIG_END,
};

static void revoked_path(const char *state, char *out, size_t size) {
    (void)snprintf(out, size, "%s/keys/revoked", state != NULL ? state : "/var/lib/buckler");
}

static bool is_revoked(const struct buf *revoked, const char *key) {
    const char *at = revoked->size > 0 ? (const char *)revoked->bytes : "";
    char found[Z85_KEY_SIZE];
    while (z85_next_key(&at, found) == 1) {
        if (strcmp(found, key) == 0) {
            return true;
        }
    }
    return false;
}

static int run_list(int argc, char **argv) {
    const char *config = NULL;
    const char *state = NULL;
    char space[4096];
    char path[4096];
    const struct option_value table[] = {
        {"--config", true, &config}, {"--state", true, &state}, {NULL, false, NULL}};
    int rest = 0;
    int rc = command_options(&command_keys_list, argc, argv, table, &rest);
    if (rc != 0) {
        return rc;
    }
    if (rest != argc) {
        return command_fail(EXIT_USAGE, "keys list: takes no arguments");
    }
    CLEANUP(buf_deinit) struct buf text = {0};
    CLEANUP(buf_deinit) struct buf revoked = {0};
    struct config_report report = {0};
    struct listed listed = {0};
    config = config != NULL ? config : local_default_config(space, sizeof space);
    revoked_path(state, path, sizeof path);
    rc = config_read_file(config, &text, &report);
    rc = rc == 0 && (access(path, F_OK) == 0 || errno != ENOENT) ? config_read_file(path, &revoked, &report)
                                                                 : rc;
    if (rc != 0) {
        rc = command_fail(EXIT_FAILED, "keys list: %s", config_report_line(&report, 0));
    } else if (config_load_partial(config, text.bytes, text.size, rows, &listed, &report) < 0) {
        rc = command_fail(EXIT_FAILED, "keys list: memory is out");
    }
    for (size_t i = 0; rc == 0 && i < listed.count; i++) {
        for (size_t k = 0; k < listed.tenants[i].key_count; k++) {
            const char *key = listed.tenants[i].keys[k];
            (void)printf("%s %s%s\n", key, listed.tenants[i].name,
                         is_revoked(&revoked, key) ? " revoked" : "");
        }
    }
    config_free(rows, &listed);
    config_report_deinit(&report);
    return rc;
}

/* ---- revoke ---- */

static int run_revoke(int argc, char **argv) {
    const char *state = NULL;
    char path[4096];
    char line[Z85_KEY_SIZE + 2];
    const struct option_value table[] = {{"--state", true, &state}, {NULL, false, NULL}};
    const char *key = argc > 1 ? argv[argc - 1] : "";
    int rest = 0;
    /* The key is not among the options: one in 85 begins with "-". */
    int options = argc > 1 && z85_is_key(key) ? argc - 1 : argc;
    int rc = command_options(&command_keys_revoke, options, argv, table, &rest);
    if (rc != 0) {
        return rc;
    }
    if (options == argc || rest != options) {
        return command_fail(EXIT_USAGE,
                            "keys revoke: takes one public key, 40 characters of Z85 (keys list)");
    }
    revoked_path(state, path, sizeof path);
    /* In one write and between line ends, so that neither a torn file nor two of us spoil another's line. */
    int size = snprintf(line, sizeof line, "\n%s\n", key);
    CLEANUP(close_fd) int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd < 0) {
        return command_fail(EXIT_FAILED, "keys revoke: %s: %s", path, strerror(errno));
    }
    (void)fchmod(fd, 0644); /* root may run this, and the daemon must read it; the folder is the daemon's */
    rc = fd_write_all(fd, line, (size_t)size);
    if (rc < 0 || fsync(fd) != 0) {
        return command_fail(EXIT_FAILED, "keys revoke: %s: %s", path, strerror(rc < 0 ? -rc : errno));
    }
    return 0;
}

const struct command command_keys_generate = {
    "keys generate", "a new pair of CURVE keys",
    "keys generate [--dir DIR] NAME\n"
    "  writes DIR/NAME.key, the secret, for its owner's eyes only, and DIR/NAME.pub; prints the public key",
    run_generate};

const struct command command_keys_list = {
    "keys list", "the public keys of a configuration",
    "keys list [--config FILE] [--state DIR]\n"
    "  one a line, with its tenant, and `revoked` behind those that are",
    run_list};

const struct command command_keys_revoke = {"keys revoke", "end what a key may do",
                                            "keys revoke [--state DIR] KEY\n"
                                            "  KEY is a public key; the daemon refuses it, whatever its "
                                            "configuration says, and ends its connections\n"
                                            "  with the next reload",
                                            run_revoke};
