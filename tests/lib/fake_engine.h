/* SPDX-License-Identifier: Apache-2.0
 *
 * engine/engine.h without an engine: the same symbols, outputs that a test can work out in its head. Link
 * tests/lib/fake_engine.c into the test; the linker then takes nothing from the real one.
 *
 * Models: a path that ends in .onnx is an image classifier of 224 × 224, any other a text model with hidden
 * size 4 and 3 layers; with "bare" in the path the vocabulary lacks the turn tokens. The digest is SHA-256 of
 * the path's last part; so is that of an adapter, which changes nothing else.
 *
 * Tokens: a newline; else one optional space and up to 8 bytes without white space, cut between characters. A
 * token whose text contains "bad" is FAKE_BAD; Yes, No and the turn tokens have ids of their own.
 *
 * Readouts, where bad(s) is the number of FAKE_BAD tokens among n:
 *   MEAN   out[j] = layer × bad/n of the segment + j / 1000
 *   LOGITS of id: Yes: bad on the whole path; No: 1; any other: length of the path
 *   IMAGES nsfw = first byte / 255
 */
#ifndef BUCKLER_TESTS_LIB_FAKE_ENGINE_H
#define BUCKLER_TESTS_LIB_FAKE_ENGINE_H

#include "engine/engine.h"

enum {
    FAKE_BOS = 2,
    FAKE_YES = 10,
    FAKE_NO = 11,
    FAKE_START = 105,
    FAKE_END = 106,
    FAKE_BAD = 500,
    FAKE_HIDDEN = 4
};

/* From now on every readout is NaN, as a broken model would give, without the real engine's error. */
void fake_engine_poison(struct engine *engine, bool poison);

/* Jobs that ran, and tokens in them. */
uint64_t fake_engine_jobs(const struct engine *engine);
uint64_t fake_engine_tokens(const struct engine *engine);

#endif
