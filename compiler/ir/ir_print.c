/* SPDX-License-Identifier: Apache-2.0
 * ir_print.c - tables as text. Members that are 0, empty or none are left out, enums apart;
 * ir_parse.c puts the same back. The op and out rows stand below their function, whose spans they
 * tile in order.
 */
#include "ir/ir.h"

#include "schema/value.h"

static void print_text(struct mp_buf *out, mp_str s)
{
    mp_buf_putc(out, '"');
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c == '"' || c == '\\') {
            mp_buf_putc(out, '\\');
            mp_buf_putc(out, (char)c);
        } else if (c < 0x20 || c == 0x7f) {
            mp_buf_printf(out, "\\x%02x", c);
        } else {
            mp_buf_putc(out, (char)c);
        }
    }
    mp_buf_putc(out, '"');
}

static void print_double(struct mp_buf *out, double f)
{
    char text[32];
    mp_buf_put(out, (mp_str){text, mp_value_number_text(f, text)});
}

static uint32_t word_at(const void *row, uint32_t offset)
{
    uint32_t w;
    memcpy(&w, (const char *)row + offset, sizeof w);
    return w;
}

static void print_member(const struct mp_ir *ir, const struct mp_member *m, const void *row,
                         struct mp_buf *out)
{
    uint32_t word = word_at(row, m->offset_bytes);
    switch (m->kind) {
    case MP_MEMBER_STR:
        if (word == 0) return;
        mp_buf_printf(out, " %s=", m->name);
        print_text(out, mp_ir_str(ir, (mp_text_ref){word}));
        return;
    case MP_MEMBER_U32:
        if (word != 0) mp_buf_printf(out, " %s=%u", m->name, word);
        return;
    case MP_MEMBER_REF:
    case MP_MEMBER_NEED:
    case MP_MEMBER_OUT:
        if (word != MP_NONE) mp_buf_printf(out, " %s=%u", m->name, word);
        return;
    case MP_MEMBER_I64: {
        int64_t i;
        memcpy(&i, (const char *)row + m->offset_bytes, sizeof i);
        if (i != 0) mp_buf_printf(out, " %s=%lld", m->name, (long long)i);
        return;
    }
    case MP_MEMBER_F64: {
        static const double zero = 0;
        double f;
        memcpy(&f, (const char *)row + m->offset_bytes, sizeof f);
        if (memcmp(&f, &zero, sizeof f) == 0) return; /* -0 is not left out */
        mp_buf_printf(out, " %s=", m->name);
        print_double(out, f);
        return;
    }
    case MP_MEMBER_ENUM:
        mp_buf_printf(out, " %s=", m->name);
        mp_buf_put(out, mp_enum_word(m->of, word));
        return;
    case MP_MEMBER_SPAN: {
        uint32_t count = word_at(row, m->offset_bytes + 4);
        if (word != 0 || count != 0) mp_buf_printf(out, " %s=%u+%u", m->name, word, count);
        return;
    }
    }
}

static void print_comment(uint32_t table, const void *row, struct mp_buf *out)
{
    if (table != MP_TABLE_cnst) return;
    const struct mp_cnst_row *c = row;
    enum mp_rep rep = mp_type_rep((enum mp_type)c->type);
    struct mp_value v = {{(uint64_t)c->word0, (uint64_t)c->word1}};
    if (rep == MP_REP_T || rep == MP_REP_N || rep == MP_REP_S) return;
    /* Text that was read but not yet verified may hold what is no number. */
    double f = rep == MP_REP_F ? mp_value_as_num(v) : 0;
    if (f - f != 0) return;
    mp_buf_puts(out, "  # ");
    if (c->type == MP_TYPE_CIDR) {
        mp_value_print_net(out, v, c->bits);
    } else {
        mp_value_print(out, (enum mp_type)c->type, v);
    }
}

static void print_row(const struct mp_ir *ir, uint32_t table, uint32_t number, const void *row,
                      struct mp_buf *out)
{
    uint32_t count;
    const struct mp_member *m = mp_table_members(table, &count);
    mp_buf_printf(out, "%s[%u]", mp_table_layout(table)->name, number);
    for (uint32_t i = 0; i < count; i++) {
        bool below = table == MP_TABLE_fn && m[i].kind == MP_MEMBER_SPAN;
        if (!below) print_member(ir, &m[i], row, out);
    }
    print_comment(table, row, out);
    mp_buf_putc(out, '\n');
}

static void print_op(const struct mp_op_row *op, uint32_t number, struct mp_buf *out)
{
    const struct mp_op_layout *layout = mp_op_layout(op->code);
    const uint32_t operand[3] = {op->a, op->b, op->c};
    mp_buf_printf(out, "  v%u = ", number);
    mp_buf_put(out, mp_op_word((enum mp_op)op->code));
    mp_buf_putc(out, ' ');
    mp_buf_put(out, mp_enum_word(MP_ENUM_ID_rep, op->rep));
    for (int i = 0; i < 3; i++) {
        char kind = layout->kind[i];
        if (kind == '-') continue;
        mp_buf_printf(out, " %s%u", mp_op_kind_is_value(kind) ? "v" : "", operand[i]);
    }
    mp_buf_putc(out, '\n');
}

static void print_body(const struct mp_ir *ir, const struct mp_fn_row *fn, struct mp_buf *out)
{
    for (uint32_t i = 0; i < fn->ops_count; i++) print_op(&ir->op.ptr[fn->ops_at + i], i, out);
    for (uint32_t i = 0; i < fn->outs_count; i++) {
        const struct mp_out_row *row = &ir->out.ptr[fn->outs_at + i];
        mp_buf_puts(out, "  out ");
        mp_buf_put(out, mp_enum_word(MP_ENUM_ID_type, row->type));
        mp_buf_printf(out, " v%u\n", row->value);
    }
}

void mp_ir_print(const struct mp_ir *ir, struct mp_buf *out)
{
    struct mp_program view;
    mp_ir_view(ir, &view);
    for (uint32_t table = 0; table < MP_TABLE_COUNT; table++) {
        if (table == MP_TABLE_op || table == MP_TABLE_out) continue;
        uint32_t count;
        const char *rows = mp_program_rows(&view, table, &count);
        for (uint32_t i = 0; i < count; i++) {
            const void *row = rows + (size_t)i * mp_table_layout(table)->row_bytes;
            print_row(ir, table, i, row, out);
            if (table == MP_TABLE_fn) print_body(ir, row, out);
        }
    }
}
