/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/command.h"

/* By the first bytes, as the decode workers do; what is no image is text. */
static bool looks_like_image(const char *bytes, size_t size) {
    return (size >= 3 && memcmp(bytes, "\xff\xd8\xff", 3) == 0) ||
           (size >= 8 && memcmp(bytes, "\x89PNG\r\n\x1a\n", 8) == 0) ||
           (size >= 6 && (memcmp(bytes, "GIF87a", 6) == 0 || memcmp(bytes, "GIF89a", 6) == 0)) ||
           (size >= 12 && memcmp(bytes, "RIFF", 4) == 0 && memcmp(bytes + 8, "WEBP", 4) == 0);
}

int server_add_text(struct server_content *content, const char *text, bool judge) {
    char *copy = content->count < SERVER_MAX_PARTS ? strdup(text) : NULL;
    if (copy == NULL) {
        return command_fail(EXIT_USAGE, "at most %d texts and files fit into a request", SERVER_MAX_PARTS);
    }
    content->parts[content->count++] =
        (struct server_part){.bytes = copy, .size = strlen(copy), .judge = judge};
    return 0;
}

int server_add_file(struct server_content *content, const char *path) {
    struct error error = {0};
    struct server_part part = {.judge = true};
    if (content->count == SERVER_MAX_PARTS) {
        return command_fail(EXIT_USAGE, "at most %d texts and files fit into a request", SERVER_MAX_PARTS);
    }
    if (command_read(path, SERVER_MAX_PART_BYTES, &part.bytes, &part.size, &error) != 0) {
        return command_fail(EXIT_FAILED, "%s", error.text);
    }
    part.image = looks_like_image(part.bytes, part.size);
    content->parts[content->count++] = part;
    return 0;
}

size_t server_parts(const struct server_content *content, struct buckler_part out[SERVER_MAX_PARTS]) {
    for (size_t i = 0; i < content->count; i++) {
        const struct server_part *part = &content->parts[i];
        out[i] = (struct buckler_part){.kind = part->image ? "image" : "text",
                                       .bytes = part->bytes,
                                       .size = part->size,
                                       .context_only = !part->judge,
                                       .role = part->judge ? part->role : "user"};
    }
    return content->count;
}

void server_content_deinit(struct server_content *content) {
    for (size_t i = 0; i < content->count; i++) {
        free(content->parts[i].bytes);
    }
    content->count = 0;
}

int server_open(const char *server, const char *local, const char *config, struct server *ret) {
    struct error error = {0};
    *ret = (struct server){0};
    if (local != NULL && local_start(config, &ret->local, &error) != 0) {
        return command_fail(EXIT_FAILED, "%s", error.text);
    }
    const char *url = local != NULL ? local_server(ret->local) : command_server(server);
    if (buckler_client_new(url, NULL, &ret->client) != 0) {
        server_close(ret);
        return command_fail(EXIT_UNREACHABLE,
                            "%s: not the address of a daemon (ipc://PATH or tcp://HOST:PORT), or "
                            "BUCKLER_SERVER_KEY and BUCKLER_SECRET_KEY_FILE hold no keys",
                            url);
    }
    return 0;
}

int server_failed(const struct server *server, const char *what) {
    return command_fail(EXIT_UNREACHABLE, "%s: %s", what, buckler_client_error(server->client));
}

void server_close(struct server *server) {
    buckler_client_free(server->client);
    server->client = NULL;
    server->local = local_stop(server->local);
}
