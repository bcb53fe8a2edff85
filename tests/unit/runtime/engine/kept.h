/* SPDX-License-Identifier: Apache-2.0
 * kept.h - what an engine tells to be kept, as a store would have it, and another life from it.
 */
#ifndef TEST_KEPT_H
#define TEST_KEPT_H

#include "engine/engine.h"

#define KEPT_ROWS_MAX 4096

struct kept {
    struct mp_state_row row[KEPT_ROWS_MAX]; /* without bytes: gone */
    uint32_t count;
    struct mp_arena arena;
    uint64_t entries; /* of the ledger, and its chain, when it was taken last */
    uint8_t chain[32];
};

void kept_open(struct kept *k);
void kept_close(struct kept *k);
/* What has changed since it was taken last. */
void kept_take(struct kept *k, struct mp_engine *e);
/* Gives everything to an engine that has just been made; it goes on from there. */
void kept_restore(const struct kept *k, struct mp_engine *e);

#endif
