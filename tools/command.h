/* SPDX-License-Identifier: Apache-2.0
 *
 * bucklerctl: one file a command, listed in main.c in alphabetical order. Errors go to standard error as
 * `bucklerctl: what: why (what to do)`; nothing is printed on success where nothing was asked.
 */
#ifndef BUCKLER_TOOLS_COMMAND_H
#define BUCKLER_TOOLS_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "engine/engine.h"

enum { EXIT_ALLOWED = 0, EXIT_DENIED = 10, EXIT_USAGE = 64, EXIT_FAILED = 65, EXIT_UNREACHABLE = 69 };

struct command {
    const char *name;    /* "classify", "bench engine" */
    const char *summary; /* one line */
    const char *usage;   /* printed by --help and on wrong use */
    int (*run)(int argc, char **argv);
};

extern const struct command command_audit_key;
extern const struct command command_audit_prove;
extern const struct command command_audit_show;
extern const struct command command_audit_verify;
extern const struct command command_batch;
extern const struct command command_bench_engine;
extern const struct command command_bench_policies;
extern const struct command command_bench_serve;
extern const struct command command_calibrate;
extern const struct command command_check;
extern const struct command command_classify;
extern const struct command command_eval;
extern const struct command command_keys_generate;
extern const struct command command_keys_list;
extern const struct command command_keys_revoke;
extern const struct command command_logits;
extern const struct command command_model_info;
extern const struct command command_model_verify;
extern const struct command command_tokenize;

/* ---- help for commands (command.c) ---- */

struct option_value {
    const char *name; /* "--model"; NULL ends the table */
    bool takes_value;
    const char **value; /* set to the argument, or to "" for a switch */
};

/* Parses argv[1…] against the table. *ret_rest is the index of the first argument that is no option. Returns
 * 0, or an exit code after printing why; --help prints the usage and returns -1. */
int command_options(const struct command *command, int argc, char **argv, const struct option_value *table,
                    int *ret_rest);

/* Puts the options in front of the arguments that are none, in place, for commands that take files first. */
void command_options_first(int argc, char **argv, const struct option_value *table);

/* Prints `bucklerctl: …` and returns exit_code. */
int command_fail(int exit_code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Whole decimal number in [least, most]; false after printing why. */
bool command_number(const char *option, const char *text, uint64_t least, uint64_t most, uint64_t *ret);

/* The whole of a file, or of standard input for "-"; malloc'ed with a NUL behind it. At most `most` bytes. */
int command_read(const char *path, size_t most, char **ret, size_t *ret_size, struct error *reterr);

/* A finite decimal number in [least, most]; false after printing why. */
bool command_decimal(const char *option, const char *text, double least, double most, double *ret);

/* Opens an engine and one text model, with the adapter `lora` on top unless that is NULL; prints why when it
 * fails. */
int command_open_model(const char *path, const char *lora, uint64_t threads, bool reference,
                       struct engine **ret_engine, struct engine_model **ret_model);

/* Picture files, separated by commas, decoded to RGB8 [*ret_count, side, side, 3]; malloc'ed. */
int command_pictures(const char *list, uint32_t side, uint8_t **ret_pixels, uint32_t *ret_count,
                     struct error *reterr);

/* A progress bar on standard error when that is a terminal; total 0: unknown. Call with done == total at the
 * end. */
void command_progress(const char *what, uint64_t done, uint64_t total);

/* "AMD EPYC …", from /proc/cpuinfo. */
void command_processor(char *out, size_t out_size);

/* Resident memory of this process, in MB. */
double command_rss_mb(void);

/* The server that a command talks to: --server, else $BUCKLER_SERVER, else the packaged socket. */
const char *command_server(const char *option);

/* ---- a private daemon for --local (local.c) ---- */

struct local_daemon;

/* Starts `bucklerd` beside this program with a state folder of its own and waits until it is ready, so that
 * --local goes the same way as online. config NULL: the shipped configuration. */
int local_start(const char *config, struct local_daemon **ret, struct error *reterr) MUST_CHECK;
const char *local_server(const struct local_daemon *local);
struct local_daemon *local_stop(struct local_daemon *local); /* accepts NULL */

/* The configuration that is used when none is named: $BUCKLER_CONFIG, the packaged one, or etc/dev.yaml of
 * the tree. */
const char *local_default_config(char *space, size_t size);

#endif
