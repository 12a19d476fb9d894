/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/graph/pool.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"

/* About 20 µs of waiting before a member goes to sleep: longer than most members wait in a phase, shorter
 * than anything a person or a battery would notice. */
enum { SPINS = 1000 };

/* A word that members wait on until it changes. */
struct gate {
    _Atomic(uint32_t) value;
    _Atomic(uint32_t) sleepers;
};

struct member {
    struct pool *pool;
    unsigned index;
    pthread_t thread;
    _Atomic(int) cpu; /* where it was seen last */
};

struct pool {
    unsigned workers;
    unsigned started; /* threads to join */
    struct member *members;
    void (*fn)(void *user, unsigned worker);
    void *user;
    bool stop;
    _Alignas(64) struct gate start; /* counts pool_run calls */
    _Alignas(64) struct gate phase; /* counts completed barriers */
    _Alignas(64) _Atomic(uint32_t) arrived;
    _Alignas(64) _Atomic(size_t) next_task;
};

static inline void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#else
    atomic_signal_fence(memory_order_seq_cst);
#endif
}

/* The sequence "count the sleeper, then let the kernel compare the value" against "change the value, then
 * look at the sleepers" never loses a wake-up, because all four are sequentially consistent. */
static bool gate_spin(struct gate *gate, uint32_t seen) {
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load_explicit(&gate->value, memory_order_acquire) != seen) {
            return true;
        }
        relax();
    }
    return false;
}

static void gate_sleep(struct gate *gate, uint32_t seen) {
    atomic_fetch_add(&gate->sleepers, 1);
    while (atomic_load(&gate->value) == seen) {
        (void)syscall(SYS_futex, &gate->value, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
    }
    atomic_fetch_sub(&gate->sleepers, 1);
}

static void gate_open(struct gate *gate) {
    atomic_fetch_add(&gate->value, 1);
    if (atomic_load(&gate->sleepers) > 0) {
        (void)syscall(SYS_futex, &gate->value, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
    }
}

int thread_start(pthread_t *ret_thread, const char *name, void *(*run)(void *), void *user,
                 struct error *reterr) {
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int r = pthread_create(ret_thread, NULL, run, user);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r != 0) {
        return error_errno(reterr, r, "cannot start the thread %s", name);
    }
    (void)pthread_setname_np(*ret_thread, name);
    return 0;
}

/* The kernel likes to wake a member beside the one that woke it, and on some machines leaves both on one
 * processor for seconds while another one idles. A member that wakes up where one of a lower number was seen
 * last moves itself to a processor where none was; its own set of allowed processors stays as it is. */
static void spread(const struct pool *pool, unsigned index) {
    cpu_set_t allowed, elsewhere;
    int here = sched_getcpu();
    bool shared = false;

    for (unsigned i = 0; i < index; i++) {
        shared = shared || atomic_load_explicit(&pool->members[i].cpu, memory_order_relaxed) == here;
    }
    if (shared && sched_getaffinity(0, sizeof allowed, &allowed) == 0) {
        elsewhere = allowed;
        for (unsigned i = 0; i < pool->workers; i++) {
            int cpu = atomic_load_explicit(&pool->members[i].cpu, memory_order_relaxed);

            if (i != index && cpu >= 0 && cpu < CPU_SETSIZE) {
                CPU_CLR((size_t)cpu, &elsewhere);
            }
        }
        if (CPU_COUNT(&elsewhere) > 0 && sched_setaffinity(0, sizeof elsewhere, &elsewhere) == 0) {
            (void)sched_setaffinity(0, sizeof allowed, &allowed);
        }
        here = sched_getcpu();
    }
    atomic_store_explicit(&pool->members[index].cpu, here, memory_order_relaxed);
}

static void *member_main(void *user) {
    struct member *self = user;
    struct pool *pool = self->pool;
    uint32_t seen = 0;

    for (;;) {
        if (!gate_spin(&pool->start, seen)) {
            gate_sleep(&pool->start, seen);
            spread(pool, self->index);
        }
        seen++;
        if (pool->stop) {
            return NULL;
        }
        pool->fn(pool->user, self->index);
        pool_barrier(pool, self->index);
    }
}

int pool_new(unsigned workers, struct pool **ret_pool, struct error *reterr) {
    struct pool *pool = aligned_alloc(64, sizeof *pool);

    if (pool == NULL) {
        return error_errno(reterr, ENOMEM, "cannot start the workers");
    }
    *pool = (struct pool){.workers = workers};
    pool->members = calloc(workers, sizeof *pool->members);
    if (pool->members == NULL) {
        pool_free(pool);
        return error_errno(reterr, ENOMEM, "cannot start the workers");
    }
    for (unsigned i = 1; i < workers; i++) {
        struct member *m = &pool->members[i];

        *m = (struct member){.pool = pool, .index = i, .cpu = -1};
        int r = thread_start(&m->thread, "engine-worker", member_main, m, reterr);
        if (r != 0) {
            pool_free(pool);
            return r;
        }
        pool->started++;
    }
    *ret_pool = pool;
    return 0;
}

struct pool *pool_free(struct pool *pool) {
    if (pool == NULL) {
        return NULL;
    }
    pool->stop = true;
    gate_open(&pool->start);
    for (unsigned i = 1; i <= pool->started; i++) {
        pthread_join(pool->members[i].thread, NULL);
    }
    free(pool->members);
    free(pool);
    return NULL;
}

unsigned pool_workers(const struct pool *pool) {
    return pool->workers;
}

void pool_run(struct pool *pool, void (*fn)(void *user, unsigned worker), void *user) {
    pool->fn = fn;
    pool->user = user;
    gate_open(&pool->start);
    atomic_store_explicit(&pool->members[0].cpu, sched_getcpu(), memory_order_relaxed);
    fn(user, 0);
    pool_barrier(pool, 0);
}

bool pool_claim(struct pool *pool, size_t tasks, size_t *ret_task) {
    *ret_task = atomic_fetch_add_explicit(&pool->next_task, 1, memory_order_relaxed);
    return *ret_task < tasks;
}

void pool_barrier(struct pool *pool, unsigned worker) {
    uint32_t seen = atomic_load_explicit(&pool->phase.value, memory_order_relaxed);

    if (atomic_fetch_add(&pool->arrived, 1) + 1 == pool->workers) {
        atomic_store_explicit(&pool->arrived, 0, memory_order_relaxed);
        atomic_store_explicit(&pool->next_task, 0, memory_order_relaxed);
        gate_open(&pool->phase);
    } else if (!gate_spin(&pool->phase, seen)) {
        gate_sleep(&pool->phase, seen);
        spread(pool, worker);
    }
}
