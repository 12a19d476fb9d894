/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

enum { ALL_SEALS = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK };

static const uint8_t nothing[1];

int fd_sealed(const void *bytes, size_t size) {
    CLEANUP(close_fd) int fd = memfd_create("buckler-payload", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0) {
        return -errno;
    }
    int rc = fd_write_all(fd, bytes, size);
    if (rc < 0) {
        return rc;
    }
    if (fcntl(fd, F_ADD_SEALS, ALL_SEALS | F_SEAL_SEAL) != 0) {
        return -errno;
    }
    return steal_fd(&fd);
}

int fd_map_sealed(int fd, size_t size, const uint8_t **ret_bytes) {
    int seals = fcntl(fd, F_GET_SEALS);
    struct stat info;
    if (seals < 0 || (seals & ALL_SEALS) != ALL_SEALS) {
        return -EPERM;
    }
    if (fstat(fd, &info) != 0 || info.st_size < 0 || (uint64_t)info.st_size != size) {
        return -EINVAL;
    }
    if (size == 0) {
        *ret_bytes = nothing;
        return 0;
    }
    void *mapped = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    if (mapped == MAP_FAILED) {
        return -errno;
    }
    *ret_bytes = mapped;
    return 0;
}

void fd_unmap(const uint8_t *bytes, size_t size) {
    if (bytes != NULL && size > 0) {
        (void)munmap((void *)(uintptr_t)bytes, size);
    }
}

int fd_read_all(int fd, void *out, size_t size) {
    uint8_t *p = out;
    while (size > 0) {
        ssize_t got = read(fd, p, size);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return got < 0 ? -errno : -ENODATA;
        }
        p += got;
        size -= (size_t)got;
    }
    return 0;
}

int fd_write_all(int fd, const void *bytes, size_t size) {
    const uint8_t *p = bytes;
    while (size > 0) {
        ssize_t put = write(fd, p, size);
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put < 0) {
            return -errno;
        }
        p += put;
        size -= (size_t)put;
    }
    return 0;
}

int fd_set_nonblocking(int fd) {
    int flags = fcntl(fd, F_GETFL);
    return flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 ? -errno : 0;
}
