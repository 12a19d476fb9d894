/* SPDX-License-Identifier: Apache-2.0
 *
 * The secret comes from a file, not from a variable: what is in the environment is seen by every child.
 */
#include "clients/c/keys.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

static bool copy_key(char out[BUCKLER_KEY_SIZE], const char *key) {
    uint8_t bytes[32];
    bool good = key != NULL && strlen(key) == BUCKLER_KEY_SIZE - 1 && zmq_z85_decode(bytes, key) != NULL;
    explicit_bzero(bytes, sizeof bytes);
    if (good) {
        memcpy(out, key, BUCKLER_KEY_SIZE);
    }
    return good;
}

/* One line of 40 characters, as `bucklerctl keys generate` writes it. */
static bool read_secret(const char *path, char out[BUCKLER_KEY_SIZE]) {
    char text[BUCKLER_KEY_SIZE + 1] = "";
    int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) {
        return false;
    }
    ssize_t got = read(fd, text, sizeof text);
    (void)close(fd);
    if (got == BUCKLER_KEY_SIZE && text[BUCKLER_KEY_SIZE - 1] == '\n') {
        text[BUCKLER_KEY_SIZE - 1] = '\0';
    }
    bool good =
        got > 0 && got <= BUCKLER_KEY_SIZE && text[BUCKLER_KEY_SIZE - 1] == '\0' && copy_key(out, text);
    explicit_bzero(text, sizeof text);
    return good;
}

int buckler_keys_find(const char *server, const struct buckler_options *options, struct buckler_keys *ret) {
    const char *environment = getenv("BUCKLER_SERVER_KEY");
    struct buckler_keys keys = {0};
    bool good = true;
    if (options != NULL && (options->server_key != NULL || options->secret_key != NULL)) {
        good =
            copy_key(keys.server_key, options->server_key) && copy_key(keys.secret_key, options->secret_key);
    } else if (environment != NULL && environment[0] != '\0' && strncmp(server, "tcp://", 6) == 0) {
        good = copy_key(keys.server_key, environment) &&
               read_secret(getenv("BUCKLER_SECRET_KEY_FILE"), keys.secret_key);
    } else {
        *ret = keys;
        return 0;
    }
    if (good && zmq_curve_public(keys.public_key, keys.secret_key) == 0) {
        *ret = keys;
    } else {
        good = false;
    }
    explicit_bzero(&keys, sizeof keys);
    return good ? 0 : BUCKLER_E_INVALID;
}

int buckler_keypair(char ret_public[BUCKLER_KEY_SIZE], char ret_secret[BUCKLER_KEY_SIZE]) {
    return zmq_curve_keypair(ret_public, ret_secret) == 0 ? 0 : BUCKLER_E_MEMORY;
}
