/* SPDX-License-Identifier: Apache-2.0
 *
 * main() for fuzz targets in ordinary builds: runs the target once over each file named and over each file in
 * each folder named. Options (-runs=0 …) are ignored, so that the same command works for libFuzzer.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t replayed;

static int replay_file(const char *path) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        return 1;
    }
    uint8_t *bytes = NULL;
    size_t size = 0;
    if (fseek(file, 0, SEEK_END) == 0) {
        long end = ftell(file);
        rewind(file);
        size = end > 0 ? (size_t)end : 0;
        bytes = malloc(size + 1);
        if (bytes != NULL) {
            size = fread(bytes, 1, size, file);
        }
    }
    (void)fclose(file);
    if (bytes == NULL) {
        return 1;
    }
    /* An exact allocation, so that a sanitizer sees a read of one byte too many. */
    uint8_t *exact = malloc(size > 0 ? size : 1);
    if (exact != NULL) {
        memcpy(exact, bytes, size);
        (void)LLVMFuzzerTestOneInput(exact, size);
    }
    free(exact);
    free(bytes);
    replayed++;
    return 0;
}

static int replay_folder(const char *path) {
    DIR *folder = opendir(path);
    int bad = 0;
    if (folder == NULL) {
        perror(path);
        return 1;
    }
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        char name[4096];
        if (entry->d_name[0] != '.' &&
            snprintf(name, sizeof name, "%s/%s", path, entry->d_name) < (int)sizeof name) {
            bad |= replay_file(name);
        }
    }
    (void)closedir(folder);
    return bad;
}

int main(int argc, char **argv) {
    int bad = 0;
    for (int i = 1; i < argc; i++) {
        struct stat info;
        if (argv[i][0] == '-') {
            continue;
        }
        bad |= stat(argv[i], &info) == 0 && S_ISDIR(info.st_mode) ? replay_folder(argv[i])
                                                                  : replay_file(argv[i]);
    }
    printf("%zu seeds replayed\n", replayed);
    return bad != 0 || replayed == 0;
}
