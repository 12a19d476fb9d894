/* SPDX-License-Identifier: Apache-2.0
 *
 * bucklerd: arguments, settings, start, loop, exit.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/daemon.h"

static const char usage[] =
    "usage: bucklerd --config FILE [--state DIR] [--check] [--log-level LEVEL]\n"
    "\n"
    "  --config FILE      the configuration, buckler.yaml(5)\n"
    "  --state DIR        put everything that is written under DIR: sockets, log, keys\n"
    "  --check            load the configuration and the policies, run their examples, and exit\n"
    "  --log-level LEVEL  error, warning, notice, info or debug, instead of the configured one\n"
    "  --version          print the version\n";

static int level_from(const char *name) {
    static const char *const names[] = {"error", "warning", "notice", "info", "debug"};
    for (int i = 0; i < 5; i++) {
        if (strcmp(names[i], name) == 0) {
            return LOG_ERROR_LEVEL + i;
        }
    }
    return -1;
}

struct arguments {
    const char *config, *state;
    int level;
    bool check;
};

static void parse(int argc, char **argv, struct arguments *out) {
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"state", required_argument, NULL, 's'},
        {"check", no_argument, NULL, 'k'},
        {"log-level", required_argument, NULL, 'l'},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'v'},
        {NULL, 0, NULL, 0},
    };
    for (int c = getopt_long(argc, argv, "", options, NULL); c != -1;
         c = getopt_long(argc, argv, "", options, NULL)) {
        if (c == 'c') {
            out->config = optarg;
        } else if (c == 's') {
            out->state = optarg;
        } else if (c == 'k') {
            out->check = true;
        } else if (c == 'l' && level_from(optarg) > 0) {
            out->level = level_from(optarg);
        } else if (c == 'h' || c == 'v') {
            (void)fputs(c == 'h' ? usage : "bucklerd " BUCKLER_VERSION "\n", stdout);
            exit(0);
        } else {
            (void)fputs(usage, stderr);
            exit(DAEMON_EXIT_CONFIG);
        }
    }
    if (out->config == NULL || optind != argc) {
        (void)fputs(usage, stderr);
        exit(DAEMON_EXIT_CONFIG);
    }
}

static int load_settings(struct daemon *d) {
    struct config_report report = {0};
    int rc = settings_load(d->config_path, d->state_option, &d->settings, &report);
    for (size_t i = 0; i < config_report_count(&report); i++) {
        log_error(&d->log, "config", "%s", config_report_line(&report, i));
    }
    config_report_deinit(&report);
    return rc == 0 ? 0 : DAEMON_EXIT_CONFIG;
}

/* OpenBLAS starts its threads before main, with no signal blocked: a SIGHUP that one of them gets would end
 * the process. All parallelism is the engine's, so the program starts itself again with OpenBLAS told to have
 * none. */
static void without_blas_threads(char **argv) {
    const char *threads = getenv("OPENBLAS_NUM_THREADS");
    if ((threads == NULL || strcmp(threads, "1") != 0) && setenv("OPENBLAS_NUM_THREADS", "1", 1) == 0) {
        char self[4096] = {0};
        if (readlink("/proc/self/exe", self, sizeof self - 1) > 0) {
            (void)execv(self, argv);
        }
        perror("bucklerd: cannot start itself again");
        exit(DAEMON_EXIT_UNAVAILABLE);
    }
}

int main(int argc, char **argv) {
    without_blas_threads(argv);
    static struct daemon d; /* the one global of the process: it is too large for a stack */
    struct arguments arguments = {0};
    parse(argc, argv, &arguments);
    d.log = (struct log){.program = "bucklerd", .level = LOG_NOTICE_LEVEL};
    d.config_path = arguments.config;
    d.state_option = arguments.state;
    d.check_only = arguments.check;
    d.exit_code = load_settings(&d);
    if (d.exit_code == 0) {
        d.log.level = (enum log_level)(arguments.level > 0 ? arguments.level : d.settings.log_level);
        d.exit_code = daemon_init(&d);
        if (d.exit_code == 0 && loop_run(d.loop) < 0) {
            d.exit_code = DAEMON_EXIT_UNAVAILABLE;
        }
        daemon_deinit(&d);
    }
    return d.exit_code;
}
