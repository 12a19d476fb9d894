/* SPDX-License-Identifier: Apache-2.0
 *
 * For sanitizer builds, which are never shipped: the shadow memory needs terabytes of address space and the
 * reports need system calls. Everything else is as in sandbox.c.
 */
#include "base/sandbox.h"
#include "decode/worker/sandbox.h"

int worker_sandbox_enter(const struct decode_setup *setup, struct error *reterr) {
    struct sandbox_limits limits = {.address_space_bytes = SANDBOX_KEEP,
                                    .open_files = 5,
                                    .file_bytes = 0,
                                    .processes = 0,
                                    .cpu_s = setup->cpu_s * 10};
    return sandbox_basics(&limits, reterr);
}
