/* SPDX-License-Identifier: Apache-2.0 */
#include "ir/ir.h"

#include "base/assert.h"

enum mp_err mp_ir_init(struct mp_ir *ir, struct mp_arena *arena)
{
    memset(ir, 0, sizeof *ir);
    ir->arena = arena;
    mp_buf_init(&ir->texts, arena);
    mp_map_init(&ir->text_ids, arena);
    mp_map_init(&ir->const_ids, arena);
    mp_text_ref empty = mp_ir_text(ir, MP_STR(""));
    MP_ASSERT(empty.at == 0);
    return ir->failed ? MP_ENOMEM : MP_OK;
}

/* A fresh row refers to nothing, so what a caller forgets is found by the verifier. */
static void set_none(uint32_t table, void *row)
{
    uint32_t count;
    const struct mp_member *m = mp_table_members(table, &count);
    for (uint32_t i = 0; i < count; i++) {
        bool refers = m[i].kind == MP_MEMBER_REF || m[i].kind == MP_MEMBER_NEED ||
                      m[i].kind == MP_MEMBER_OUT;
        uint32_t none = MP_NONE;
        if (refers) memcpy((char *)row + m[i].offset_bytes, &none, sizeof none);
    }
}

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

#define TABLE(name, doc)                                                                           \
    struct mp_##name##_row *mp_ir_add_##name(struct mp_ir *ir)                                     \
    {                                                                                              \
        struct mp_##name##_row *row = MP_VEC_PUSH(ir->arena, &ir->name);                           \
        if (row == NULL) {                                                                         \
            ir->failed = true;                                                                     \
            row = &ir->spare.name;                                                                 \
            memset(row, 0, sizeof *row);                                                           \
        }                                                                                          \
        set_none(MP_TABLE_##name, row);                                                            \
        return row;                                                                                \
    }
#include "program/tables.def"
#undef TABLE

void mp_ir_view(const struct mp_ir *ir, struct mp_program *out)
{
    memset(out, 0, sizeof *out);
#define TABLE(name, doc) mp_program_set_rows(out, MP_TABLE_##name, ir->name.ptr, ir->name.len);
#include "program/tables.def"
#undef TABLE
    out->texts = ir->texts.ptr;
    out->texts_size = ir->texts.len;
}

enum mp_err mp_ir_verify(const struct mp_ir *ir, struct mp_fault *fault)
{
    *fault = (struct mp_fault){"out of memory", MP_NONE, MP_NONE};
    if (ir->failed) return MP_ENOMEM;
    struct mp_program view;
    mp_ir_view(ir, &view);
    return mp_program_verify(&view, fault);
}

/* ---- texts ---- */

mp_text_ref mp_ir_text(struct mp_ir *ir, mp_str text)
{
    struct mp_map_entry *found = mp_map_get(&ir->text_ids, text);
    if (found != NULL) return (mp_text_ref){found->value};
    mp_text_ref ref = {(uint32_t)ir->texts.len};
    mp_str key = mp_arena_str(ir->arena, text);
    uint32_t len = (uint32_t)text.len;
    bool full = ir->texts.len + text.len + sizeof len > UINT32_MAX / 2; /* LIMIT: 2 GiB of text */
    if (full || key.ptr == NULL ||
        mp_map_put(&ir->text_ids, key, ref.at, NULL, NULL) != MP_OK) {
        ir->failed = true;
        return (mp_text_ref){0};
    }
    mp_buf_put(&ir->texts, (mp_str){(const char *)&len, sizeof len});
    mp_buf_put(&ir->texts, text);
    if (ir->texts.failed) ir->failed = true;
    return ref;
}

mp_str mp_ir_str(const struct mp_ir *ir, mp_text_ref ref)
{
    uint32_t len;
    MP_ASSERT(ref.at + sizeof len <= ir->texts.len);
    memcpy(&len, ir->texts.ptr + ref.at, sizeof len);
    return (mp_str){ir->texts.ptr + ref.at + sizeof len, len};
}

/* ---- constants ---- */

uint32_t mp_ir_const(struct mp_ir *ir, enum mp_type type, struct mp_value value, uint32_t bits)
{
    enum mp_rep rep = mp_type_rep(type);
    MP_ASSERT(rep != MP_REP_N && rep != MP_REP_S && bits <= 128);
    struct mp_cnst_row row;
    memset(&row, 0, sizeof row); /* compared byte by byte, padding too */
    row.type = type;
    row.bits = bits;
    if (rep == MP_REP_T) {
        row.text = mp_ir_text(ir, mp_value_as_text(&value));
    } else {
        row.word0 = (int64_t)value.w[0];
        row.word1 = (int64_t)value.w[1];
    }
    struct mp_map_entry *found;
    bool fresh;
    mp_str key = mp_arena_str(ir->arena, (mp_str){(const char *)&row, sizeof row});
    if (key.ptr == NULL ||
        mp_map_put(&ir->const_ids, key, ir->cnst.len, &found, &fresh) != MP_OK) {
        ir->failed = true;
        return 0;
    }
    if (fresh) *mp_ir_add_cnst(ir) = row;
    return found->value;
}

uint32_t mp_ir_const_text(struct mp_ir *ir, enum mp_type type, mp_str text)
{
    MP_ASSERT(mp_type_rep(type) == MP_REP_T);
    return mp_ir_const(ir, type, mp_value_text(text), 0);
}
