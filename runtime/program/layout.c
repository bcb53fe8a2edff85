/* SPDX-License-Identifier: Apache-2.0 */
#include "program/layout.h"

#include "base/assert.h"
#include "base/hash.h"

/* ---- members ---- */

#define STR(name) MEMBER(name, STR, 0)
#define U32(name) MEMBER(name, U32, 0)
#define OUT(name) MEMBER(name, OUT, 0)
#define I64(name) MEMBER(name, I64, 0)
#define F64(name) MEMBER(name, F64, 0)
#define ENUM(name, e) MEMBER(name, ENUM, MP_ENUM_ID_##e)
#define REF(name, table) MEMBER(name, REF, MP_TABLE_##table)
#define NEED(name, table) MEMBER(name, NEED, MP_TABLE_##table)
#define SPAN(name, table) {#name, MP_MEMBER_SPAN, offsetof(ROW, name##_at), MP_TABLE_##table},
#define MEMBER(name, kind, of) {#name, MP_MEMBER_##kind, offsetof(ROW, name), of},

/* A macro cannot define another, so each table names its own row struct by a typedef. */
#define ROW row
#define TABLE(name, doc)                                                                           \
    static const struct mp_member *members_##name(uint32_t *count)                                 \
    {                                                                                              \
        typedef struct mp_##name##_row row;                                                        \
        static const struct mp_member members[] = {
#define END(name)                                                                                  \
        };                                                                                         \
        *count = sizeof members / sizeof members[0];                                               \
        return members;                                                                            \
    }
#include "program/tables.def"
#undef TABLE
#undef END
#undef STR
#undef U32
#undef OUT
#undef I64
#undef F64
#undef ENUM
#undef REF
#undef NEED
#undef SPAN
#undef MEMBER

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

const struct mp_member *mp_table_members(uint32_t table, uint32_t *count)
{
    switch (table) {
#define TABLE(name, doc) case MP_TABLE_##name: return members_##name(count);
#include "program/tables.def"
#undef TABLE
    default: MP_UNREACHABLE("no such table");
    }
}

static const struct mp_table_layout tables[MP_TABLE_COUNT] = {
#define TABLE(name, doc) {#name, doc, sizeof(struct mp_##name##_row)},
#include "program/tables.def"
#undef TABLE
};

const struct mp_table_layout *mp_table_layout(uint32_t table)
{
    MP_ASSERT(table < MP_TABLE_COUNT);
    return &tables[table];
}

const void *mp_program_rows(const struct mp_program *p, uint32_t table, uint32_t *count)
{
    switch (table) {
#define TABLE(name, doc) case MP_TABLE_##name: *count = p->name##_count; return p->name;
#include "program/tables.def"
#undef TABLE
    default: MP_UNREACHABLE("no such table");
    }
}

void mp_program_set_rows(struct mp_program *p, uint32_t table, const void *rows, uint32_t count)
{
    switch (table) {
#define TABLE(name, doc) case MP_TABLE_##name: p->name = rows; p->name##_count = count; break;
#include "program/tables.def"
#undef TABLE
    default: MP_UNREACHABLE("no such table");
    }
}

/* ---- words of enums ---- */

#define WORD(v, w) MP_STR_INIT(w),
#define WORDS(e, P) static const mp_str words_##e[] = {MP_ENUM_##e(WORD)};
MP_ENUMS(WORDS)
WORDS(rep, REP)

static const mp_str words_op[] = {
#define OP(name, word, a, b, c, result, doc) MP_STR_INIT(word),
#include "program/ops.def"
#undef OP
};

static const mp_str words_agg[] = {
#define AGG(name, word, counting, needs_value, doc) MP_STR_INIT(word),
#include "program/aggs.def"
#undef AGG
};

static const mp_str words_type[] = {
#define TYPE(name, word, rep, noun) \
    {sizeof(word) > 1 ? word : "none", sizeof(word) > 1 ? sizeof(word) - 1 : 4},
#include "schema/types.def"
#undef TYPE
};

struct words {
    const mp_str *word;
    uint32_t count;
};

#define WORDS_OF(e) {words_##e, sizeof words_##e / sizeof words_##e[0]}
#define WORDS_ROW(e, P) [MP_ENUM_ID_##e] = WORDS_OF(e),
static const struct words enums[MP_ENUM_ID_COUNT] = {
    MP_ENUMS(WORDS_ROW)
    [MP_ENUM_ID_type] = WORDS_OF(type), [MP_ENUM_ID_op] = WORDS_OF(op),
    [MP_ENUM_ID_agg] = WORDS_OF(agg), [MP_ENUM_ID_rep] = WORDS_OF(rep),
};

uint32_t mp_enum_count(uint32_t which)
{
    MP_ASSERT(which < MP_ENUM_ID_COUNT);
    return enums[which].count;
}

mp_str mp_enum_word(uint32_t which, uint32_t value)
{
    MP_ASSERT(which < MP_ENUM_ID_COUNT && value < enums[which].count);
    return enums[which].word[value];
}

bool mp_enum_value(uint32_t which, mp_str word, uint32_t *out)
{
    MP_ASSERT(which < MP_ENUM_ID_COUNT);
    for (uint32_t i = 0; i < enums[which].count; i++) {
        if (!mp_str_eq(enums[which].word[i], word)) continue;
        *out = i;
        return true;
    }
    return false;
}

#define WORD_OF(e, P)                                                                              \
    mp_str mp_##e##_word(uint32_t value) { return mp_enum_word(MP_ENUM_ID_##e, value); }
MP_ENUMS(WORD_OF)

mp_str mp_op_word(enum mp_op op) { return mp_enum_word(MP_ENUM_ID_op, op); }
mp_str mp_agg_word(enum mp_agg agg) { return mp_enum_word(MP_ENUM_ID_agg, agg); }

/* ---- what the .def files say beside the words ---- */

bool mp_agg_counting(enum mp_agg agg)
{
    static const bool counting[] = {
#define AGG(name, word, counts, needs_value, doc) counts,
#include "program/aggs.def"
#undef AGG
    };
    MP_ASSERT((unsigned)agg < MP_AGG_KIND_COUNT);
    return counting[agg];
}

bool mp_agg_needs_value(enum mp_agg agg)
{
    static const bool needs[] = {
#define AGG(name, word, counts, needs_value, doc) needs_value,
#include "program/aggs.def"
#undef AGG
    };
    MP_ASSERT((unsigned)agg < MP_AGG_KIND_COUNT);
    return needs[agg];
}

const struct mp_op_layout *mp_op_layout(uint32_t op)
{
    static const struct mp_op_layout ops[] = {
#define OP(name, word, a, b, c, result, doc) {{#a[0], #b[0], #c[0]}, #result[0]},
#include "program/ops.def"
#undef OP
    };
    MP_ASSERT(op < MP_OP_COUNT);
    return &ops[op];
}

/* ---- the mark of this layout ---- */

static const char *const definition[] = {
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
#define TABLE(name, doc) "table " #name,
#define STR(name) "s " #name,
#define U32(name) "u " #name,
#define OUT(name) "o " #name,
#define I64(name) "i " #name,
#define F64(name) "f " #name,
#define ENUM(name, e) "e " #name " " #e,
#define REF(name, table) "r " #name " " #table,
#define NEED(name, table) "r " #name " " #table,
#define SPAN(name, table) "n " #name " " #table,
#define END(name)
#include "program/tables.def"
#define OP(name, word, a, b, c, result, doc) word " " #a #b #c #result,
#include "program/ops.def"
#define AGG(name, word, counts, needs_value, doc) word,
#include "program/aggs.def"
#define TYPE(name, word, rep, noun) word " " #rep,
#include "schema/types.def"
#define DEFINE_WORD(v, w) w,
#define DEFINE(e, P) #e, MP_ENUM_##e(DEFINE_WORD)
MP_ENUMS(DEFINE)
};

/* LIMIT: raise this number when the meaning of a table changes but its members do not. */
#define MEANING 1

uint64_t mp_layout_mark(void)
{
    struct mp_hash_key key = {MEANING, sizeof(void *)};
    uint64_t mark = 0;
    for (size_t i = 0; i < sizeof definition / sizeof definition[0]; i++) {
        key.k1 = mark;
        mark = mp_siphash(key, definition[i], strlen(definition[i]));
    }
    return mark;
}
