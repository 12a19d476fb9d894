/* SPDX-License-Identifier: Apache-2.0 */
#include "decode/worker/sandbox.h"

#include "base/sandbox.h"

enum {
    /* Standard input, output, error, the socket (3), and one received input: the output's was closed when
       mapped. */
    OPEN_FILES = 5,
};

/* Everything a worker may ask of the kernel. No open, no socket, no fork, no exec, no signal to others. */
static const char *const allowed[] = {
    "recvmsg",         /* orders, with the input's descriptor */
    "sendmsg",         /* answers */
    "close",           /* the input's descriptor */
    "fcntl",           /* F_GET_SEALS: an input that can still change is refused */
    "fstat",           /* the input's size, before it is mapped; the C library uses one of the two names */
    "newfstatat",      /* depending on its version and the architecture */
    "mmap",            /* the input (never executable), and malloc when brk is exhausted */
    "munmap",          /* the same */
    "brk",             /* malloc */
    "exit_group",      /* the pool closed the socket */
    "rt_sigreturn",    /* return from a handler, were one to run */
    "restart_syscall", /* the kernel's own way back into recvmsg after a stop */
};

int worker_sandbox_enter(const struct decode_setup *setup, struct error *reterr) {
    /* RLIMIT_FSIZE does not bind stores into the shared output; its size is sealed. */
    struct sandbox_limits limits = {.address_space_bytes = setup->address_space_bytes,
                                    .open_files = OPEN_FILES,
                                    .file_bytes = 0,
                                    .processes = 0,
                                    .cpu_s = setup->cpu_s};
    int rc = sandbox_basics(&limits, reterr);
    return rc != 0 ? rc : sandbox_syscalls(allowed, sizeof allowed / sizeof *allowed, reterr);
}
