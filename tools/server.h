/* SPDX-License-Identifier: Apache-2.0
 *
 * What the commands that talk to a daemon share: finding it or starting a private one, and content from
 * arguments and files.
 */
#ifndef BUCKLER_TOOLS_SERVER_H
#define BUCKLER_TOOLS_SERVER_H

#include <stdbool.h>
#include <stddef.h>

#include "clients/c/buckler.h"

enum { SERVER_MAX_PARTS = BUCKLER_MAX_PARTS, SERVER_MAX_PART_BYTES = 20 << 20, SERVER_TIMEOUT_MS = 120000 };

struct local_daemon;

struct server {
    struct buckler_client *client;
    struct local_daemon *local; /* with --local */
};

/* local not NULL: a private daemon with `config`; else the one at `server`. 0, or prints why and returns an
 * exit code. */
int server_open(const char *server, const char *local, const char *config, struct server *ret);
void server_close(struct server *server);

/* Prints what the client says of its last failure; returns EXIT_UNREACHABLE. */
int server_failed(const struct server *server, const char *what);

struct server_part {
    char *bytes; /* owned */
    size_t size;
    bool image;
    bool judge;       /* false: context only */
    const char *role; /* NULL: the daemon's default, user */
};

struct server_content {
    struct server_part parts[SERVER_MAX_PARTS];
    size_t count;
};

/* Adds a text, or a file ("-": standard input) that is an image when it starts like one. 0, or prints why and
 * returns an exit code. */
int server_add_text(struct server_content *content, const char *text, bool judge);
int server_add_file(struct server_content *content, const char *path);
void server_content_deinit(struct server_content *content);

/* As parts of a request that borrow the content; returns how many. */
size_t server_parts(const struct server_content *content, struct buckler_part out[SERVER_MAX_PARTS]);

#endif
