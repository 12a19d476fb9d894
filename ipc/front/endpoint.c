/* SPDX-License-Identifier: Apache-2.0 */
#include "ipc/front/endpoint.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "ipc/front/zap.h"

static const char ipc_scheme[] = "ipc://";
static const char tcp_scheme[] = "tcp://";

static bool has_scheme(const char *endpoint, const char *scheme) {
    return strncmp(endpoint, scheme, strlen(scheme)) == 0;
}

/* "HOST:PORT" with a numeric loopback host: 127.0.0.1:7441, [::1]:7441. */
static bool host_is_loopback(const char *address) {
    char host[256];
    const char *colon = strrchr(address, ':');
    if (colon == NULL || (size_t)(colon - address) >= sizeof host) {
        return false;
    }
    size_t length = (size_t)(colon - address);
    if (length >= 2 && address[0] == '[' && address[length - 1] == ']') {
        address++;
        length -= 2;
    }
    memcpy(host, address, length);
    host[length] = '\0';
    return zap_is_loopback(host);
}

int endpoint_check(const struct ipc_settings *settings, const char *endpoint, enum endpoint_plane *ret_plane,
                   struct error *reterr) {
    if (has_scheme(endpoint, ipc_scheme)) {
        const char *path = endpoint + sizeof ipc_scheme - 1;
        size_t most = sizeof((struct sockaddr_un *)NULL)->sun_path - 1;
        if ((path[0] != '/' && path[0] != '@') || path[1] == '\0') {
            return error_set(reterr, -EINVAL, "%s: the path must be absolute", endpoint);
        }
        if (strlen(path) > most) {
            return error_set(reterr, -ENAMETOOLONG, "%s: the path has more than %zu bytes", endpoint, most);
        }
        *ret_plane = PLANE_IPC;
        return 0;
    }
    if (!has_scheme(endpoint, tcp_scheme)) {
        return error_set(reterr, -EINVAL, "%s: must begin with ipc:// or tcp://", endpoint);
    }
    if (settings->curve_secret[0] != '\0') {
        *ret_plane = PLANE_CURVE;
        return 0;
    }
    if (!settings->insecure_loopback) {
        return error_set(reterr, -EPERM,
                         "%s: tcp without CURVE would serve everybody; set up CURVE keys, or use ipc://",
                         endpoint);
    }
    if (!host_is_loopback(endpoint + sizeof tcp_scheme - 1)) {
        return error_set(
            reterr, -EPERM,
            "%s: tcp without CURVE is allowed on a numeric loopback address only (127.0.0.1, [::1])",
            endpoint);
    }
    *ret_plane = PLANE_LOOPBACK;
    return 0;
}

/* 0 when a connection is refused, which means that the socket file outlived its owner. */
static int probe(const char *path, struct error *reterr) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    CLEANUP(close_fd) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return error_errno(reterr, errno, "%s cannot be probed", path);
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0 || errno == EAGAIN) {
        return error_set(reterr, -EADDRINUSE,
                         "%s: another process listens there; stop it, or choose another path", path);
    }
    if (errno != ECONNREFUSED) {
        return error_errno(reterr, errno, "%s cannot be probed", path);
    }
    return 0;
}

/* NULL when the endpoint has no file. */
static const char *file_of(const char *endpoint) {
    const char *path = has_scheme(endpoint, ipc_scheme) ? endpoint + sizeof ipc_scheme - 1 : NULL;
    return path != NULL && path[0] == '/' ? path : NULL;
}

int endpoint_clear(const char *endpoint, struct error *reterr) {
    const char *path = file_of(endpoint);
    struct stat info;
    if (path == NULL) {
        return 0;
    }
    if (lstat(path, &info) != 0) {
        return errno == ENOENT ? 0 : error_errno(reterr, errno, "%s cannot be looked at", path);
    }
    if (!S_ISSOCK(info.st_mode)) {
        return error_set(reterr, -EEXIST, "%s exists and is not a socket; it is not touched", path);
    }
    int rc = probe(path, reterr);
    if (rc == 0 && unlink(path) != 0) {
        return error_errno(reterr, errno, "%s cannot be removed", path);
    }
    return rc;
}

void endpoint_remove(const char *endpoint) {
    const char *path = file_of(endpoint);
    if (path != NULL) {
        (void)unlink(path); /* what stays is found stale at the next start */
    }
}
