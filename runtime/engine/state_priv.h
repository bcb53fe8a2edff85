/* SPDX-License-Identifier: Apache-2.0
 * state_priv.h - what the files of state share: the bytes of a row, and the rows.
 *
 *   state.c        which rows are told and which way they come back; clocks and numbers
 *   state_bytes.c  numbers, texts, values, clocks, keys
 *   state_case.c, state_lease.c, state_message.c
 *                  one kind of row each, written and read side by side
 *
 * Moments on the monotonic clock are kept as their rest and as wall-clock time, and come back as
 * the smaller one (R25).
 */
#ifndef MP_ENGINE_STATE_PRIV_H
#define MP_ENGINE_STATE_PRIV_H

#include "engine/engine_priv.h"

#define EN_ROW_VERSION 1 /* the first byte of every row */
#define EN_ROW_MAX 8192

/* ---- state_bytes.c ---- */

/* A row that is written; it has room for the largest one. */
struct en_out {
    char *at, *end;
};

/* A row that is read. `bad` stays: what is read afterwards is 0, and the caller asks once. */
struct en_in {
    const char *at, *end;
    bool bad;
};

void en_put_u64(struct en_out *o, uint64_t n);
void en_put_i64(struct en_out *o, int64_t n);
void en_put_u8(struct en_out *o, uint8_t n);
void en_put_text(struct en_out *o, mp_str s);
/* `type`: an enum mp_type. What it is represented by goes with the value. */
void en_put_value(struct en_out *o, uint32_t type, struct mp_value v);
void en_put_hold(struct en_out *o, const struct mp_hold *h);
void en_put_run(struct en_out *o, const struct mp_run *r);
/* A moment on the monotonic clock; 0: none. */
void en_put_mono(struct mp_engine *e, struct en_out *o, int64_t at);
/* The values of a key of a grouping; MP_NONE for grouping: of an operator's decision, no values. */
void en_put_key(struct mp_engine *e, struct en_out *o, uint32_t grouping, uint32_t key);

uint64_t en_get_u64(struct en_in *i);
int64_t en_get_i64(struct en_in *i);
uint8_t en_get_u8(struct en_in *i);
/* A moment or a length of time that can be added to another, or MP_NEVER_NS. */
int64_t en_get_time(struct en_in *i);
/* The same, neither negative nor never. */
int64_t en_get_span(struct en_in *i);
/* Borrows the row; longer than `max` bytes is bad. */
mp_str en_get_text(struct en_in *i, size_t max);
/* Texts borrow the row. */
struct mp_value en_get_value(struct en_in *i, enum mp_rep *rep);
struct mp_hold en_get_hold(struct en_in *i);
struct mp_run en_get_run(struct en_in *i);
int64_t en_get_mono(struct mp_engine *e, struct en_in *i);
/* The slot of the key in a grouping, born if need be; MP_NONE: it is no key of this grouping. */
uint32_t en_get_key(struct mp_engine *e, struct en_in *i, uint32_t grouping);

/* ---- the rows: written whole; read into slot id - 1, which must be free ---- */

/* MP_ECORRUPT: not such a row, or its slot is taken; MP_ELIMIT: no such slot. */
void en_put_case(struct mp_engine *e, struct en_out *o, struct en_case *c);
enum mp_err en_restore_case(struct mp_engine *e, uint64_t id, struct en_in *i);
void en_put_lease(struct mp_engine *e, struct en_out *o, const struct en_lease *l);
enum mp_err en_restore_lease(struct mp_engine *e, uint64_t id, struct en_in *i);
void en_put_message(struct mp_engine *e, struct en_out *o, const struct en_message *m);
enum mp_err en_restore_message(struct mp_engine *e, uint64_t id, struct en_in *i);

/* ---- state.c ---- */

/* What is left of a rule that is gone: it is told once, when everything is back.
 * Texts are copied. */
void en_remember_gone(struct mp_engine *e, const struct en_gone *gone, mp_str rule, mp_str key,
                      mp_str verb, mp_str target);
/* The entry with which a restored row is durable. What comes from the store is; what comes from the
 * program before may be on its way there: it is durable when all is that was entered so far. */
uint64_t en_durable_with(const struct mp_engine *e);

#endif
