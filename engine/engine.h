/* SPDX-License-Identifier: Apache-2.0
 *
 * The one door of the inference engine: open a model, submit jobs, reap results. It knows nothing of
 * policies, sockets or JSON.
 *
 * A loaded model is constant and may be shared by any number of jobs; everything that changes during a run
 * (KV pages, scratch) is touched by the driver alone. One driver thread packs work into steps, and `threads`
 * workers (the driver is one of them) compute it. One helper thread more executes calls, one after another,
 * so that a slow call does not stop scoring. An idle engine sleeps.
 *
 * The segment forest. A text job is a set of trees of segments (token ids) with readouts. A segment sees its
 * ancestors and, causally, itself; the position of a token is its depth on the path from the root. So N
 * guidelines over one content are N leaves under one content segment, and long text is several windows as
 * sibling trees.
 *
 * A segment of embedding rows is a picture: each of its rows sees all of them, within the window of the
 * layer, and all are computed in one step, so it has at most `step_tokens`.
 *
 *   struct engine_segment s[2] = {{.parent = -1, .tokens = bos_and_preamble, .count = 12},
 *                                 {.parent = 0, .tokens = content, .count = 300}};
 *   struct engine_readout r = {.kind = ENGINE_READ_LOGITS, .segment = 1, .position = 299, .ids = yes_no,
 * .id_count = 2, .out = logits}; job = (struct engine_job){.kind = ENGINE_JOB_FOREST, .model = model,
 * .segments = s, .segment_count = 2, .readouts = &r, .readout_count = 1}; engine_submit(engine, &job) … the
 * eventfd becomes readable … engine_reap(engine) == &job, job.status == 0
 *
 * An embedding model reads a segment as one text whose tokens see each other both ways: a segment of it has
 * no parent and fits in a step, and there are no logits.
 *
 * Guarantees: out values are the same bits for the same job on the same instruction set whatever else is
 * batched, packed, cached or threaded; a NaN or infinity in a readout is ENGINE_E_NOT_FINITE, never a number;
 * a job finishes exactly once. Only what a readout needs is computed.
 */
#ifndef BUCKLER_ENGINE_ENGINE_H
#define BUCKLER_ENGINE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct engine;
struct engine_model;

enum engine_error {
    ENGINE_E_BUSY = 1, /* the submit queue is full */
    ENGINE_E_TOO_LONG, /* a path through a tree is longer than the model's context or the KV budget */
    ENGINE_E_INVALID,  /* a segment, readout or token id that does not exist */
    ENGINE_E_CANCELLED,
    ENGINE_E_DEADLINE,
    ENGINE_E_NOT_FINITE,  /* NaN or infinity in a readout */
    ENGINE_E_FORMAT,      /* a file that is not what it should be */
    ENGINE_E_UNSUPPORTED, /* a sound file of a kind that this build does not run */
    ENGINE_E_MEMORY,      /* over the memory limit, refused before it was taken */
};

struct engine_options {
    unsigned threads;            /* workers, the driver included; 0: one a core */
    unsigned queue_jobs;         /* bound of the submit queue; 0: 1024 */
    unsigned step_tokens;        /* most tokens a step computes; 0: 512 */
    unsigned kv_tokens;          /* KV pages, in tokens, for each text model; 0: 8192 */
    bool reference;              /* f32 activations and f32 weights (`--f32`): the truth, slow */
    const char *instruction_set; /* NULL: the best this processor has; "portable", "avx2", "avx512" */
};

/* Starts driver and workers. *ret_engine only on success. */
int engine_open(const struct engine_options *options, struct engine **ret_engine,
                struct error *reterr) MUST_CHECK;

/* Finishes all submitted jobs as ENGINE_E_CANCELLED, joins the threads, frees; a call that runs is waited
 * for. A model may outlive the engine, but then takes no jobs. Accepts NULL; returns NULL. */
struct engine *engine_free(struct engine *engine);

const char *engine_instruction_set(const struct engine *engine);
unsigned engine_threads(const struct engine *engine);

/* ---- models ---- */

enum engine_model_kind {
    ENGINE_MODEL_INVALID,
    ENGINE_MODEL_TEXT,
    ENGINE_MODEL_IMAGE_CLASSIFIER,
    ENGINE_MODEL_VISION, /* pictures to embedding rows for a text model: an mmproj GGUF */
};

struct engine_model_info {
    enum engine_model_kind kind;
    char architecture[32];   /* "gemma3", "open_nsfw", "siglip" */
    char name[96];           /* from the file's metadata, may be empty */
    char digest[65];         /* SHA-256 of the file, lower-case hex; of a folder over the lines that sha256sum
                                prints for the files that were read */
    char adapter_digest[65]; /* SHA-256 of the adapter's weights file; empty without an adapter */
    char tokenizer_digest[65]; /* SHA-256 over pieces, scores and types; empty for image models */
    uint64_t file_bytes;
    uint64_t parameters;
    uint64_t
        resident_bytes; /* panels and tables held outside the mapping; with an adapter only what it adds */
    uint64_t kv_bytes;  /* KV pages when all are in use */
    uint32_t layers, hidden, heads, kv_heads, head_size, feed_forward, vocabulary, context, window;
    uint32_t bos;
    bool answers;       /* the vocabulary has the turn tokens, Yes and No: yes/no templates can be asked */
    bool chat_template; /* the file brings one, which is not used */
    bool embeds;        /* an embedding model */
    uint32_t image_width, image_height; /* image classifiers, vision: what `pixels` must be */
    uint32_t image_rows;                /* vision: rows of `hidden` values that a picture becomes */
    char types[256];                    /* "Q5_0 ×72, Q8_0 ×10, …" */
};

/* Opens a text model (a GGUF file or a Hugging Face folder), an mmproj GGUF or the OpenNSFW ONNX file, told
 * apart by content. Blocks for the time of repacking: not on a thread that must not wait. The file stays
 * mapped. */
int engine_model_open(struct engine *engine, const char *path, struct engine_model **ret_model,
                      struct error *reterr) MUST_CHECK;

/* A model that is `base` with a LoRA on top: it shares the base's weights, tokenizer and mapping, has its own
 * KV pages and buffers, and is used like any other model. Any number over one base, which it holds a
 * reference to; only the layers that the adapter names cost more. `path` is a folder or a weights file: PEFT
 * or MLX safetensors with adapter_config.json beside them, or a GGUF adapter. ENGINE_E_UNSUPPORTED for
 * anything that is more than a LoRA on the matrices of layers. */
int engine_adapter_open(struct engine *engine, struct engine_model *base, const char *path,
                        struct engine_model **ret_model, struct error *reterr) MUST_CHECK;

/* Shared; each ref needs one unref. unref accepts NULL and returns NULL. Thread-safe. */
struct engine_model *engine_model_ref(struct engine_model *model);
struct engine_model *engine_model_unref(struct engine_model *model);

const struct engine_model_info *engine_model_info(const struct engine_model *model);

/* What a file is and what it would take, without loading it. Of a file that cannot run, *ret_info has what
 * was understood; `kind` is ENGINE_MODEL_INVALID when that is nothing. */
int engine_inspect(const char *path, struct engine_model_info *ret_info, struct error *reterr) MUST_CHECK;

/* Reads every value of a text model: ENGINE_E_NOT_FINITE with the tensor that holds a NaN or an infinity.
 * `progress` may be NULL; it is told bytes. */
int engine_verify(const char *path, void (*progress)(void *user, uint64_t done, uint64_t total), void *user,
                  struct error *reterr) MUST_CHECK;

/* ---- tokens ---- */

enum engine_tokenize_flags {
    ENGINE_TOKENIZE_BOS = 1u << 0, /* BOS in front */
    ENGINE_TOKENIZE_CONTROL =
        1u << 1, /* control strings become control tokens: for templates, never for user text */
};

/* Token ids of valid UTF-8. *ret_tokens is malloc'ed, the caller frees it. Pure and thread-safe. With offsets
 * not NULL, (*ret_offsets)[i] is the byte offset in `text` where token i starts (BOS: 0); malloc'ed too. */
int engine_tokenize(const struct engine_model *model, const char *text, size_t size, unsigned flags,
                    uint32_t **ret_tokens, uint32_t **ret_offsets, size_t *ret_count,
                    struct error *reterr) MUST_CHECK;

/* The piece of a token as UTF-8 (spaces as spaces); NULL for an id outside the vocabulary. *ret_size bytes.
 */
const char *engine_piece(const struct engine_model *model, uint32_t id, size_t *ret_size);

/* Id of the piece that is exactly `text`, or -1. */
int64_t engine_token_id(const struct engine_model *model, const char *text);

/* ---- jobs ---- */

/* Only tokens that a readout depends on are computed and need KV pages: what follows the last readout of a
 * leaf does not. A page holds 32 tokens of one segment, so very short segments use more of the cache than
 * their tokens. Jobs that do not fit together wait for each other; within a step the oldest job has a quarter
 * for certain and the rest goes to the jobs that need the fewest tokens. */
enum engine_job_kind { ENGINE_JOB_INVALID, ENGINE_JOB_FOREST, ENGINE_JOB_IMAGES, ENGINE_JOB_CALL };

struct engine_segment {
    int32_t parent;         /* index of an earlier segment, or -1 for a root */
    uint32_t count;         /* at least 1 */
    const uint32_t *tokens; /* [count]; NULL for a picture */
    const float *rows;      /* [count, hidden] of a picture, as a vision model gives them; NULL for tokens */
};

enum engine_readout_kind {
    ENGINE_READ_INVALID,
    ENGINE_READ_LOGITS, /* out [id_count]: logits of `ids` (NULL: all of the vocabulary) at `position` */
    ENGINE_READ_MEAN, /* out [hidden]: mean over the segment's positions of the residual stream after `layer`
                         layers; of an embedding model after its last layer, normed */
    ENGINE_READ_LAST, /* out [hidden]: the residual stream after `layer` layers at `position` */
    ENGINE_READ_NEXT, /* out [1]: the id with the highest logit at `position`, as a float (exact below 2^24)
                       */
};

struct engine_readout {
    enum engine_readout_kind kind;
    uint32_t segment;
    uint32_t position;   /* in the segment */
    uint32_t layer;      /* MEAN, LAST: 1 … layers */
    const uint32_t *ids; /* LOGITS */
    uint32_t id_count;
    float *out;
};

struct engine_job {
    enum engine_job_kind kind;
    struct engine_model
        *model; /* the job holds a reference of its own while it is submitted; NULL for CALL */

    /* FOREST; at most 4096 segments and 65536 readouts; all arrays are the caller's until reaped */
    const struct engine_segment *segments;
    uint32_t segment_count;
    const struct engine_readout *readouts;
    uint32_t readout_count;

    /* IMAGES: RGB8 [image_count, image_height, image_width, 3]. Image classifiers: out_scores [image_count,
     * 2]: {sfw, nsfw} in 0…1. Vision: out_rows [image_count, image_rows, hidden]; the engine goes on with
     * text between two layers of a picture */
    const uint8_t *pixels;
    uint32_t image_count;
    float *out_scores;
    float *out_rows;

    /* CALL: `call` runs on the helper thread and its return value becomes `status`; for work that must not
     * stop a loop. Calls wait for each other and nothing else waits for them. */
    int (*call)(void *call_user, struct error *reterr);
    void *call_user;

    uint64_t deadline_ns; /* monotonic; 0: none. Expired work is dropped before it is computed */
    void *user;           /* the submitter's */

    /* set by the engine, valid after reap */
    int status; /* 0, ENGINE_E_*, or negative */
    struct error error;
    uint32_t tokens_computed; /* FOREST: tokens that went through the layers */
    uint64_t queue_ns, compute_ns;

    struct engine_job *next; /* the engine's, between submit and reap */
    _Atomic(bool) cancelled; /* engine_cancel */
};

/* Any thread. Checks the shape of the job at once (ENGINE_E_INVALID, ENGINE_E_TOO_LONG, ENGINE_E_BUSY: not
 * taken). */
int engine_submit(struct engine *engine, struct engine_job *job, struct error *reterr) MUST_CHECK;

/* Asks for an early end; the job is still reaped, exactly once. */
void engine_cancel(struct engine *engine, struct engine_job *job);

/* Readable while finished jobs wait. */
int engine_eventfd(const struct engine *engine);

/* The next finished job, or NULL. One thread. */
struct engine_job *engine_reap(struct engine *engine);

/* Submits and waits: for tools and tests; not to be mixed with reaping from another thread. */
int engine_run(struct engine *engine, struct engine_job *job) MUST_CHECK;

/* The same for one path of `count` tokens and one readout at its last position; the readout's kind, ids,
 * layer and out are the caller's. */
int engine_run_path(struct engine *engine, struct engine_model *model, const uint32_t *tokens, uint32_t count,
                    struct engine_readout readout, struct error *reterr) MUST_CHECK;

#endif
