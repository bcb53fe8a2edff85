/* SPDX-License-Identifier: Apache-2.0
 * layout.h - the tables of an image as data, for code that treats them all alike: loading,
 * emitting, printing and reading text, checking references. All of it comes from tables.def.
 *
 * Threads: constants only.
 */
#ifndef MP_PROGRAM_LAYOUT_H
#define MP_PROGRAM_LAYOUT_H

#include "program/program.h"

enum mp_table {
#define TABLE(name, doc) MP_TABLE_##name,
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
    MP_TABLE_COUNT
};

/* The enums that a field of kind ENUM may have. */
enum mp_enum {
#define MP_ENUM_ID(e, P) MP_ENUM_ID_##e,
    MP_ENUMS(MP_ENUM_ID)
#undef MP_ENUM_ID
    MP_ENUM_ID_type, MP_ENUM_ID_op, MP_ENUM_ID_agg, MP_ENUM_ID_rep,
    MP_ENUM_ID_COUNT
};

enum mp_member_kind {
    MP_MEMBER_STR, MP_MEMBER_U32, MP_MEMBER_OUT, MP_MEMBER_I64, MP_MEMBER_F64, MP_MEMBER_ENUM,
    MP_MEMBER_REF, MP_MEMBER_NEED,
    MP_MEMBER_SPAN /* two words: at, count */
};

/* A member of a row. `of` is an enum mp_enum or an enum mp_table, as the kind says. */
struct mp_member {
    const char *name;
    enum mp_member_kind kind;
    uint32_t offset_bytes; /* in the row */
    uint32_t of;
};

struct mp_table_layout {
    const char *name, *doc;
    uint32_t row_bytes;
};

const struct mp_table_layout *mp_table_layout(uint32_t table);
const struct mp_member *mp_table_members(uint32_t table, uint32_t *count);
/* A number that is another one for every other set of tables, members, ops, aggregates, types or
 * enums: an image of another layout is told apart by it. */
uint64_t mp_layout_mark(void);

uint32_t mp_enum_count(uint32_t which);
/* The word of a value below mp_enum_count; `none` for the type that has no word. */
mp_str mp_enum_word(uint32_t which, uint32_t value);
/* The value of a word; false if there is none. */
bool mp_enum_value(uint32_t which, mp_str word, uint32_t *out);

/* The rows of one table of a program. */
const void *mp_program_rows(const struct mp_program *p, uint32_t table, uint32_t *count);
void mp_program_set_rows(struct mp_program *p, uint32_t table, const void *rows, uint32_t count);

/* ---- an image's bytes, little-endian ----
 * header, then one mp_image_table a table, then the rows of every table (each table at a multiple
 * of
 * 8), then the texts. The first text is empty. */
#define MP_IMAGE_MAGIC "MPOLIMG\n"

struct mp_image_header {
    char magic[8];
    uint64_t layout;     /* mp_layout_mark */
    uint64_t size_bytes; /* of the whole image */
    uint64_t texts_at, texts_bytes;
    uint32_t table_count, zero;
};

struct mp_image_table {
    uint64_t at;
    uint32_t count, row_bytes;
};

/* ---- what ops.def says, as data ---- */
struct mp_op_layout {
    char kind[3];  /* of a, b, c: v K P F C L M -, or b i f t a s * */
    char result;   /* b i f t a s, * or = */
};

const struct mp_op_layout *mp_op_layout(uint32_t op);
/* Is operand kind `k` the number of an earlier op? */
static inline bool mp_op_kind_is_value(char k)
{
    return k == 'v' || k == '*' || k == 'b' || k == 'i' || k == 'f' || k == 't' || k == 'a' ||
           k == 's';
}

#endif
