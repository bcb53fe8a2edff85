/* SPDX-License-Identifier: Apache-2.0
 * ir_parse.c - text → tables, a line at a time. What the text does not say is 0, empty or none.
 */
#include "ir/ir.h"

#include "schema/decimal.h"

struct reader {
    struct mp_ir *ir;
    mp_str text;
    size_t at, line_at;
    uint32_t line;
    const char *why; /* the first thing that is wrong */
};

static bool fail(struct reader *r, const char *why)
{
    if (r->why == NULL) r->why = why;
    return false;
}

static char peek(const struct reader *r) { return r->at < r->text.len ? r->text.ptr[r->at] : '\n'; }

static void skip_blanks(struct reader *r)
{
    while (peek(r) == ' ' || peek(r) == '\t') r->at++;
    if (peek(r) == '#') {
        while (peek(r) != '\n') r->at++;
    }
}

static bool at_end_of_line(struct reader *r)
{
    skip_blanks(r);
    return peek(r) == '\n';
}

static bool next_line(struct reader *r)
{
    if (!at_end_of_line(r)) return fail(r, "expected the end of the line");
    r->at += r->at < r->text.len;
    r->line_at = r->at;
    r->line++;
    return true;
}

/* Everything up to a blank, or one of the characters that separate. */
static mp_str take_word(struct reader *r)
{
    size_t from = r->at;
    while (r->at < r->text.len && memchr(" \t\n#=[]+\"", r->text.ptr[r->at], 9) == NULL) r->at++;
    return mp_str_sub(r->text, from, r->at - from);
}

static bool take(struct reader *r, char c, const char *why)
{
    if (peek(r) != c || r->at >= r->text.len) return fail(r, why);
    r->at++;
    return true;
}

static bool take_u32(struct reader *r, uint32_t *out)
{
    uint64_t n = 0;
    size_t from = r->at;
    while (peek(r) >= '0' && peek(r) <= '9') {
        n = n * 10 + (uint64_t)(peek(r) - '0');
        r->at++;
        if (n > UINT32_MAX) return fail(r, "a number that does not fit in 32 bits");
    }
    *out = (uint32_t)n;
    return r->at > from ? true : fail(r, "expected a number");
}

static bool take_value(struct reader *r, uint32_t *out)
{
    return take(r, 'v', "expected a value, such as v0") && take_u32(r, out);
}

static bool take_i64(struct reader *r, int64_t *out)
{
    size_t from = r->at;
    mp_str word = take_word(r);
    if (word.len > 0 && mp_decimal_int(word, 0, 1, out)) return true;
    r->at = from;
    return fail(r, "expected an integer of 64 bits");
}

static bool take_f64(struct reader *r, double *out)
{
    size_t from = r->at;
    mp_str word = take_word(r);
    if (peek(r) == '+') { /* an exponent with a sign */
        r->at++;
        word.len += 1 + take_word(r).len;
    }
    if (word.len > 0 && mp_decimal(word, 0, 1, out)) return true;
    r->at = from;
    return fail(r, "expected a number");
}

static bool take_enum(struct reader *r, uint32_t which, uint32_t *out)
{
    size_t from = r->at;
    if (mp_enum_value(which, take_word(r), out)) return true;
    r->at = from;
    return fail(r, "no such word here");
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return -1;
}

static bool take_escape(struct reader *r, struct mp_buf *out)
{
    char c = peek(r);
    r->at++;
    if (c == '"' || c == '\\') {
        mp_buf_putc(out, c);
        return true;
    }
    int high = c == 'x' ? hex_digit(peek(r)) : -1;
    r->at += high >= 0;
    int low = high >= 0 ? hex_digit(peek(r)) : -1;
    r->at += low >= 0;
    if (low < 0)
        return fail(r, "an escape is one of \\\" \\\\ and \\x with two hexadecimal digits");
    mp_buf_putc(out, (char)(high << 4 | low));
    return true;
}

static bool take_text(struct reader *r, mp_text_ref *out)
{
    struct mp_buf text;
    mp_buf_init(&text, r->ir->arena);
    if (!take(r, '"', "expected a text in quotes")) return false;
    while (peek(r) != '"') {
        if (r->at >= r->text.len || peek(r) == '\n') return fail(r, "a text ends on its line");
        char c = peek(r);
        r->at++;
        if (c != '\\') {
            mp_buf_putc(&text, c);
        } else if (!take_escape(r, &text)) {
            return false;
        }
    }
    r->at++;
    if (text.failed) r->ir->failed = true;
    *out = mp_ir_text(r->ir, mp_buf_view(&text));
    return true;
}

static bool take_member(struct reader *r, const struct mp_member *m, char *row)
{
    char *at = row + m->offset_bytes;
    uint32_t word[2] = {0, 0};
    bool ok;
    switch (m->kind) {
    case MP_MEMBER_I64: {
        int64_t i;
        ok = take_i64(r, &i);
        if (ok) memcpy(at, &i, sizeof i);
        return ok;
    }
    case MP_MEMBER_F64: {
        double f;
        ok = take_f64(r, &f);
        if (ok) memcpy(at, &f, sizeof f);
        return ok;
    }
    case MP_MEMBER_SPAN:
        if (!take_u32(r, &word[0]) || !take(r, '+', "expected + and how many") ||
            !take_u32(r, &word[1])) {
            return false;
        }
        memcpy(at, word, sizeof word);
        return true;
    case MP_MEMBER_STR: {
        mp_text_ref ref = {0};
        ok = take_text(r, &ref);
        word[0] = ref.at;
        break;
    }
    case MP_MEMBER_ENUM: ok = take_enum(r, m->of, &word[0]); break;
    default: ok = take_u32(r, &word[0]); break;
    }
    if (ok) memcpy(at, &word[0], sizeof word[0]);
    return ok;
}

static const struct mp_member *find_member(uint32_t table, mp_str name)
{
    uint32_t count;
    const struct mp_member *m = mp_table_members(table, &count);
    for (uint32_t i = 0; i < count; i++) {
        bool below = table == MP_TABLE_fn && m[i].kind == MP_MEMBER_SPAN;
        if (!below && mp_str_eq(mp_str_of(m[i].name), name)) return &m[i];
    }
    return NULL;
}

static bool take_members(struct reader *r, uint32_t table, void *row)
{
    while (!at_end_of_line(r)) {
        size_t from = r->at;
        const struct mp_member *m = find_member(table, take_word(r));
        if (m == NULL) {
            r->at = from;
            return fail(r, "no such member of this table");
        }
        if (!take(r, '=', "expected =") || !take_member(r, m, row)) return false;
    }
    return true;
}

/* `v3 = lt.f b v1 v2`, below its function */
static bool take_op(struct reader *r, struct mp_fn_row *fn)
{
    uint32_t number;
    size_t from = r->at;
    if (!take_value(r, &number)) return false;
    if (number != fn->ops_count) {
        r->at = from;
        return fail(r, "values are numbered in order, from v0");
    }
    skip_blanks(r);
    if (!take(r, '=', "expected =")) return false;
    struct mp_op_row op = {0};
    skip_blanks(r);
    if (!take_enum(r, MP_ENUM_ID_op, &op.code)) return false;
    skip_blanks(r);
    if (!take_enum(r, MP_ENUM_ID_rep, &op.rep)) return false;
    uint32_t *operand[3] = {&op.a, &op.b, &op.c};
    for (int i = 0; i < 3; i++) {
        char kind = mp_op_layout(op.code)->kind[i];
        if (kind == '-') continue;
        skip_blanks(r);
        bool ok = mp_op_kind_is_value(kind) ? take_value(r, operand[i]) : take_u32(r, operand[i]);
        if (!ok) return false;
    }
    *mp_ir_add_op(r->ir) = op;
    fn->ops_count++;
    return true;
}

static bool take_out(struct reader *r, struct mp_fn_row *fn)
{
    struct mp_out_row out = {0};
    skip_blanks(r);
    if (!take_enum(r, MP_ENUM_ID_type, &out.type)) return false;
    skip_blanks(r);
    if (!take_value(r, &out.value)) return false;
    *mp_ir_add_out(r->ir) = out;
    fn->outs_count++;
    return true;
}

static bool take_body(struct reader *r, struct mp_fn_row *fn)
{
    fn->ops_at = r->ir->op.len;
    fn->outs_at = r->ir->out.len;
    while (next_line(r) && r->at < r->text.len) {
        if (at_end_of_line(r)) continue;
        if (r->at == r->line_at) break; /* the next row */
        if (peek(r) == 'v') {
            if (!take_op(r, fn)) return false;
            continue;
        }
        size_t from = r->at;
        if (!mp_str_eq(take_word(r), MP_STR("out"))) {
            r->at = from;
            return fail(r, "expected a value or `out`");
        }
        if (!take_out(r, fn)) return false;
    }
    return r->why == NULL;
}

static bool find_table(mp_str name, uint32_t *out)
{
    for (uint32_t i = 0; i < MP_TABLE_COUNT; i++) {
        if (i == MP_TABLE_op || i == MP_TABLE_out) continue;
        if (!mp_str_eq(mp_str_of(mp_table_layout(i)->name), name)) continue;
        *out = i;
        return true;
    }
    return false;
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

/* A fresh last row of a table, and its number. */
static void *add_row(struct mp_ir *ir, uint32_t table, uint32_t *number)
{
    void *row = NULL;
    switch (table) {
#define TABLE(name, doc)                                                                           \
    case MP_TABLE_##name: *number = ir->name.len; row = mp_ir_add_##name(ir); break;
#include "program/tables.def"
#undef TABLE
    }
    return row;
}

static bool take_row(struct reader *r)
{
    uint32_t table, number, expected = 0;
    size_t from = r->at;
    if (!find_table(take_word(r), &table)) {
        r->at = from;
        return fail(r, "no such table");
    }
    if (!take(r, '[', "expected [ and the row's number")) return false;
    from = r->at;
    if (!take_u32(r, &number) || !take(r, ']', "expected ]")) return false;
    void *row = add_row(r->ir, table, &expected);
    if (r->ir->failed) return fail(r, "out of memory");
    if (number != expected) {
        r->at = from;
        return fail(r, "rows are numbered in order, from 0");
    }
    if (!take_members(r, table, row)) return false;
    return table == MP_TABLE_fn ? take_body(r, row) : next_line(r);
}

enum mp_err mp_ir_parse(struct mp_ir *ir, mp_str text, struct mp_ir_parse_error *error)
{
    struct reader r = {.ir = ir, .text = text, .line = 1};
    while (r.why == NULL && r.at < text.len && !ir->failed) {
        if (at_end_of_line(&r)) {
            next_line(&r);
        } else {
            take_row(&r);
        }
    }
    if (ir->failed) return MP_ENOMEM;
    if (r.why == NULL) return MP_OK;
    *error = (struct mp_ir_parse_error){r.line, (uint32_t)(r.at - r.line_at) + 1, r.why};
    return MP_EINVAL;
}
