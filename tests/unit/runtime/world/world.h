/* SPDX-License-Identifier: Apache-2.0
 * world.h - programs made by hand, row by row, for tests of runtime stages without a compiler.
 */
#ifndef MP_TESTS_WORLD_H
#define MP_TESTS_WORLD_H

#include "program/program.h"

#define WORLD_ROWS 160u
#define WORLD_TEXT 16384u

struct world {
    struct mp_program p;
#define TABLE(name, doc) struct mp_##name##_row name[WORLD_ROWS];
#define STR(name)
#define U32(name)
#define OUT(name)
#define I64(name)
#define F64(name)
#define ENUM(name, e)
#define REF(name, table)
#define NEED(name, table)
#define SPAN(name, table)
#define END(name)
#include "program/tables.def"
#undef TABLE
#undef STR
#undef U32
#undef OUT
#undef I64
#undef F64
#undef ENUM
#undef REF
#undef NEED
#undef SPAN
#undef END
    char text[WORLD_TEXT];
    struct mp_value consts[WORLD_ROWS];
};

void world_init(struct world *w);
mp_text_ref world_text(struct world *w, const char *text);
/* A constant of a type of representation I, F or T. */
uint32_t world_const(struct world *w, enum mp_type type, struct mp_value v);

/* world_add_TABLE(w): the next row, references MP_NONE, all else 0. Its number is the table's count
 * - 1. */
#define TABLE(name, doc) struct mp_##name##_row *world_add_##name(struct world *w);
#define STR(name)
#define U32(name)
#define OUT(name)
#define I64(name)
#define F64(name)
#define ENUM(name, e)
#define REF(name, table)
#define NEED(name, table)
#define SPAN(name, table)
#define END(name)
#include "program/tables.def"
#undef TABLE
#undef STR
#undef U32
#undef OUT
#undef I64
#undef F64
#undef ENUM
#undef REF
#undef NEED
#undef SPAN
#undef END

/* Rows with what most tests want. Spans (keys_at, ...) are grown by the caller's order of calls: an
 * entity's attributes right after it, a signal's keys and fields right after it, and so on. */
uint32_t world_entity(struct world *w, const char *name, const char *key, enum mp_type type);
uint32_t world_attr(struct world *w, const char *name, enum mp_type type, uint32_t target,
                    bool set);
uint32_t world_signal(struct world *w, const char *name, enum mp_signal_kind kind, int64_t every_ns,
                      int64_t lateness_ns);
uint32_t world_field(struct world *w, const char *path, enum mp_type type, uint32_t flags);
/* The newest field names an entity: a key of the newest signal. */
void world_key_field(struct world *w, const char *path, uint32_t entity);
uint32_t world_grouping(struct world *w, const char *name, uint32_t cap);
uint32_t world_group_key(struct world *w, const char *name, enum mp_type type, uint32_t entity);
/* A walk from the record's slot `index`, or key `index`, or constant; then `hops` attributes. */
uint32_t world_walk(struct world *w, enum mp_walk_base base, uint32_t index, uint32_t hop1,
                    uint32_t hop2);

#endif
