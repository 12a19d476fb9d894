/* SPDX-License-Identifier: Apache-2.0 */
#include "base/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/cleanup.h"

int digest_sha256(const void *bytes, size_t size, uint8_t ret_digest[DIGEST_BYTES]) {
    return EVP_Digest(bytes, size, ret_digest, NULL, EVP_sha256(), NULL) == 1 ? 0 : -ENOMEM;
}

int digest_hmac(const void *key, size_t key_size, const void *bytes, size_t size,
                uint8_t ret_digest[DIGEST_BYTES]) {
    return HMAC(EVP_sha256(), key, (int)key_size, bytes, size, ret_digest, NULL) != NULL ? 0 : -ENOMEM;
}

int digest_file(const char *path, uint8_t ret_digest[DIGEST_BYTES], struct error *reterr) {
    CLEANUP(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat info;
    if (fd < 0 || fstat(fd, &info) != 0) {
        return error_errno(reterr, errno, "%s: cannot be read", path);
    }
    if (info.st_size == 0) {
        return digest_sha256("", 0, ret_digest);
    }
    void *bytes = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED) {
        return error_errno(reterr, errno, "%s: cannot be mapped", path);
    }
    int rc = digest_sha256(bytes, (size_t)info.st_size, ret_digest);
    (void)munmap(bytes, (size_t)info.st_size);
    return rc == 0 ? 0 : error_errno(reterr, -rc, "%s: cannot be digested", path);
}

void hex_encode(const void *bytes, size_t size, char *out) {
    static const char digits[] = "0123456789abcdef";
    const uint8_t *p = bytes;
    for (size_t i = 0; i < size; i++) {
        out[2 * i] = digits[p[i] >> 4];
        out[2 * i + 1] = digits[p[i] & 15];
    }
    out[2 * size] = '\0';
}

static int hex_digit(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

bool hex_decode(const char *text, void *ret_bytes, size_t size) {
    uint8_t *out = ret_bytes;
    if (strlen(text) != 2 * size) {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        int high = hex_digit(text[2 * i]);
        int low = hex_digit(text[2 * i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}
