/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/command.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"

int command_fail(int exit_code, const char *format, ...) {
    va_list args;
    va_start(args, format);
    (void)fputs("bucklerctl: ", stderr);
    (void)vfprintf(stderr, format, args);
    (void)fputc('\n', stderr);
    va_end(args);
    return exit_code;
}

static int wrong_use(const struct command *command, const char *argument, const char *why) {
    (void)command_fail(EXIT_USAGE, "%s: %s %s", command->name, argument, why);
    (void)fprintf(stderr, "usage: bucklerctl %s\n", command->usage);
    return EXIT_USAGE;
}

int command_options(const struct command *command, int argc, char **argv, const struct option_value *table,
                    int *ret_rest) {
    int at = 1;
    for (; at < argc && argv[at][0] == '-' && argv[at][1] != '\0'; at++) {
        if (strcmp(argv[at], "--") == 0) {
            at++;
            break;
        }
        if (strcmp(argv[at], "--help") == 0) {
            (void)printf("usage: bucklerctl %s\n", command->usage);
            return -1;
        }
        const struct option_value *o = table;
        while (o->name != NULL && strcmp(o->name, argv[at]) != 0) {
            o++;
        }
        if (o->name == NULL) {
            return wrong_use(command, argv[at], "is not an option");
        }
        if (o->takes_value && at + 1 == argc) {
            return wrong_use(command, argv[at], "needs a value");
        }
        *o->value = o->takes_value ? argv[++at] : "";
    }
    *ret_rest = at;
    return 0;
}

/* How many words an option takes; 0 for what is none. */
static int option_words(const struct option_value *table, const char *word) {
    if (word[0] != '-' || word[1] == '\0') {
        return 0;
    }
    while (table->name != NULL && strcmp(table->name, word) != 0) {
        table++;
    }
    return table->name != NULL && table->takes_value ? 2 : 1;
}

static void rotate_right(char **words, int count) {
    char *last = words[count - 1];
    memmove(words + 1, words, (size_t)(count - 1) * sizeof *words);
    words[0] = last;
}

void command_options_first(int argc, char **argv, const struct option_value *table) {
    int front = 1; /* behind the options that were moved */
    for (int at = 1; at < argc && strcmp(argv[at], "--") != 0;) {
        int words = option_words(table, argv[at]);
        words = words > argc - at ? argc - at : words;
        for (int i = 0; i < words; i++) {
            rotate_right(argv + front, at + i - front + 1);
            front++;
        }
        at += words > 0 ? words : 1;
    }
}

bool command_decimal(const char *option, const char *text, double least, double most, double *ret) {
    char *end = NULL;
    double value = strtod(text, &end);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || !(value >= least && value <= most)) {
        (void)command_fail(EXIT_USAGE, "%s: %s is not a number from %g to %g", option, text, least, most);
        return false;
    }
    *ret = value;
    return true;
}

bool command_number(const char *option, const char *text, uint64_t least, uint64_t most, uint64_t *ret) {
    char *end = NULL;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || value < least || value > most) {
        (void)command_fail(EXIT_USAGE, "%s: %s is not a whole number from %llu to %llu", option, text,
                           (unsigned long long)least, (unsigned long long)most);
        return false;
    }
    *ret = value;
    return true;
}

int command_read(const char *path, size_t most, char **ret, size_t *ret_size, struct error *reterr) {
    CLEANUP(close_fd) int fd = strcmp(path, "-") == 0 ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
    CLEANUP(buf_deinit) struct buf all = {0};
    char piece[65536];
    if (fd < 0) {
        return error_errno(reterr, errno, "%s: cannot be opened", path);
    }
    for (;;) {
        ssize_t got = read(fd, piece, sizeof piece);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return error_errno(reterr, errno, "%s: cannot be read", path);
        }
        if (got == 0) {
            break;
        }
        if ((size_t)got > most - all.size) {
            return error_set(reterr, -EFBIG, "%s: is longer than %zu bytes", path, most);
        }
        buf_append(&all, piece, (size_t)got);
    }
    buf_append(&all, "", 0);
    if (all.failed) {
        return error_errno(reterr, ENOMEM, "%s", path);
    }
    *ret_size = all.size;
    *ret = (char *)steal(all.bytes);
    return 0;
}

int command_open_model(const char *path, const char *lora, uint64_t threads, bool reference,
                       struct engine **ret_engine, struct engine_model **ret_model) {
    struct error error = {0};
    struct engine_options options = {.threads = (unsigned)threads, .reference = reference};
    struct engine *engine = NULL;
    struct engine_model *base = NULL, *adapted = NULL;
    int rc = engine_open(&options, &engine, &error);
    rc = rc != 0 ? rc : engine_model_open(engine, path, &base, &error);
    if (rc == 0 && lora != NULL) {
        rc = engine_adapter_open(engine, base, lora, &adapted, &error);
        (void)engine_model_unref(base);
        base = NULL;
    }
    if (rc != 0) {
        (void)engine_free(engine);
        return command_fail(EXIT_FAILED, "%s", error.text);
    }
    *ret_engine = engine;
    *ret_model = lora != NULL ? adapted : base;
    return 0;
}

void command_progress(const char *what, uint64_t done, uint64_t total) {
    enum { BAR = 30 };
    if (!isatty(STDERR_FILENO)) {
        return;
    }
    if (total == 0) {
        (void)fprintf(stderr, "\r%s %llu", what, (unsigned long long)done);
        return;
    }
    int filled = (int)(done * BAR / total);
    (void)fprintf(stderr, "\r%s [%.*s%*s] %llu/%llu%s", what, filled, "##############################",
                  BAR - filled, "", (unsigned long long)done, (unsigned long long)total,
                  done == total ? "\n" : "");
}

void command_processor(char *out, size_t out_size) {
    FILE *file = fopen("/proc/cpuinfo", "re");
    char line[256];
    (void)snprintf(out, out_size, "unknown");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) == 0 && colon != NULL) {
            line[strcspn(line, "\n")] = '\0';
            (void)snprintf(out, out_size, "%s", colon + 2);
            break;
        }
    }
    if (file != NULL) {
        (void)fclose(file);
    }
}

double command_rss_mb(void) {
    FILE *file = fopen("/proc/self/statm", "re");
    unsigned long long size = 0;
    unsigned long long resident = 0;
    if (file != NULL) {
        if (fscanf(file, "%llu %llu", &size, &resident) != 2) {
            resident = 0;
        }
        (void)fclose(file);
    }
    return (double)resident * (double)sysconf(_SC_PAGESIZE) / 1e6;
}

const char *command_server(const char *option) {
    const char *server = option != NULL ? option : getenv("BUCKLER_SERVER");
    return server != NULL && server[0] != '\0' ? server : "ipc:///run/buckler/front.sock";
}
