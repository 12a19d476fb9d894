/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/signer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/proof/tree.h"
#include "base/cleanup.h"
#include "base/digest.h"
#include "base/fd.h"

enum { PATH_SIZE = 640, MAX_LINE_BYTES = 512, HOST_SIZE = 33, SUFFIX_BYTES = 8 };

static const char prefix[] = "PRIVATE+KEY+";

static void wipe(struct buf *secret) {
    if (secret->bytes != NULL) {
        explicit_bzero(secret->bytes, secret->capacity);
    }
    buf_deinit(secret);
}

int signer_parse(struct slice line, struct note_signer **ret, struct error *reterr) {
    char name[NOTE_NAME_SIZE];
    uint8_t secret[1 + CRYPTO_SEED_BYTES];
    struct slice rest = line;
    const char *plus = slice_skip(&rest, prefix) ? memchr(rest.bytes, '+', rest.size) : NULL;
    size_t name_size = plus == NULL ? 0 : (size_t)(plus - rest.bytes);
    if (name_size == 0 || name_size >= sizeof name || rest.size - name_size < 10 || plus[9] != '+') {
        return error_set(reterr, PROOF_E_MALFORMED, "is not a signing key");
    }
    memcpy(name, rest.bytes, name_size);
    name[name_size] = '\0';
    struct slice base64 = {plus + 10, rest.size - name_size - 10};
    int rc = base64_decode(base64, secret, sizeof secret) && secret[0] == NOTE_ED25519
                 ? note_signer_new(name, NOTE_ED25519, secret + 1, ret, reterr)
                 : error_set(reterr, PROOF_E_MALFORMED, "is not an Ed25519 signing key");
    explicit_bzero(secret, sizeof secret);
    char id[9];
    if (rc == 0) {
        (void)snprintf(id, sizeof id, "%08x", (unsigned)note_signer_key(*ret)->id);
        if (memcmp(id, plus + 1, 8) != 0) {
            *ret = note_signer_free(*ret);
            rc = error_set(reterr, PROOF_E_MALFORMED, "has the id of another key");
        }
    }
    return rc;
}

static int read_key(const char *path, struct note_signer **ret, struct error *reterr) {
    char line[MAX_LINE_BYTES];
    CLEANUP(close_fd) int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, line, sizeof line);
    if (got < 0) {
        return error_errno(reterr, errno, "%s cannot be read", path);
    }
    int rc = got > 0 && line[got - 1] == '\n'
                 ? signer_parse((struct slice){line, (size_t)got - 1}, ret, reterr)
                 : error_set(reterr, PROOF_E_MALFORMED, "is not one line");
    explicit_bzero(line, sizeof line);
    if (rc != 0) {
        (void)error_prefix(reterr, "%s: ", path);
    }
    return rc;
}

/* `<host>/buckler/<16 random digits>`: says whose log it is, and is no other log's. */
static int make_name(char out[NOTE_NAME_SIZE], struct error *reterr) {
    static const char others[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
    char host[HOST_SIZE] = "";
    char digits[2 * SUFFIX_BYTES + 1];
    uint8_t random[SUFFIX_BYTES];
    (void)gethostname(host, sizeof host - 1); /* a longer name is cut */
    host[strspn(host, others)] = '\0';
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random) {
        return error_errno(reterr, errno, "no random numbers");
    }
    hex_encode(random, sizeof random, digits);
    (void)snprintf(out, NOTE_NAME_SIZE, "%s/buckler/%s", host[0] == '\0' ? "localhost" : host, digits);
    return 0;
}

static int write_key(const char *path, const struct buf *line, struct error *reterr) {
    char aside[PATH_SIZE + 8];
    char folder[PATH_SIZE];
    (void)snprintf(aside, sizeof aside, "%s.new", path);
    (void)snprintf(folder, sizeof folder, "%s", path);
    char *slash = strrchr(folder, '/');
    if (slash != NULL) {
        slash[slash == folder ? 1 : 0] = '\0';
    }
    (void)unlink(aside);
    CLEANUP(close_fd) int fd = open(aside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    int rc = fd < 0 ? -errno : fd_write_all(fd, line->bytes, line->size);
    rc = rc == 0 && (fsync(fd) != 0 || rename(aside, path) != 0) ? -errno : rc;
    CLEANUP(close_fd) int parent = open(slash == NULL ? "." : folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    rc = rc == 0 && (parent < 0 || fsync(parent) != 0) ? -errno : rc;
    return rc == 0 ? 0 : error_errno(reterr, -rc, "%s cannot be written", path);
}

static int make_key(const char *path, struct note_signer **ret, struct error *reterr) {
    char name[NOTE_NAME_SIZE];
    uint8_t secret[1 + CRYPTO_SEED_BYTES] = {NOTE_ED25519};
    CLEANUP(wipe) struct buf line = {0};
    struct note_signer *signer = NULL;
    int rc = make_name(name, reterr);
    if (rc == 0 && getrandom(secret + 1, CRYPTO_SEED_BYTES, 0) != CRYPTO_SEED_BYTES) {
        rc = error_errno(reterr, errno, "no random numbers");
    }
    rc = rc != 0 ? rc : note_signer_new(name, NOTE_ED25519, secret + 1, &signer, reterr);
    if (rc == 0) {
        buf_printf(&line, "%s%s+%08x+", prefix, name, (unsigned)note_signer_key(signer)->id);
        base64_append(&line, secret, sizeof secret);
        buf_append(&line, "\n", 1);
        rc = line.failed ? error_errno(reterr, ENOMEM, "%s", path) : write_key(path, &line, reterr);
    }
    explicit_bzero(secret, sizeof secret);
    if (rc != 0) {
        (void)note_signer_free(signer);
        return rc;
    }
    *ret = signer;
    return 0;
}

static int put_aside(const char *path, struct error *reterr) {
    char aside[PATH_SIZE + 32];
    struct note_signer *old = NULL;
    if (access(path, F_OK) != 0) {
        return 0;
    }
    int rc = read_key(path, &old, NULL);
    (void)snprintf(aside, sizeof aside, "%s.%08x", path, rc == 0 ? (unsigned)note_signer_key(old)->id : 0);
    (void)note_signer_free(old);
    return rename(path, aside) == 0 ? 0 : error_errno(reterr, errno, "%s cannot be put aside", path);
}

int signer_open(const char *directory, bool fresh, struct note_signer **ret, struct error *reterr) {
    char path[PATH_SIZE];
    size_t size = strlen(directory);
    while (size > 1 && directory[size - 1] == '/') {
        size--;
    }
    if (snprintf(path, sizeof path, "%.*s.key", (int)size, directory) >= (int)sizeof path) {
        return error_errno(reterr, ENAMETOOLONG, "the key's path");
    }
    if (!fresh) {
        return read_key(path, ret, reterr);
    }
    int rc = put_aside(path, reterr);
    return rc != 0 ? rc : make_key(path, ret, reterr);
}
