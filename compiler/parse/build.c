/* SPDX-License-Identifier: Apache-2.0
 * The bricks that the grammar's actions build with.
 */
#include "parse_priv.h"

#include "base/assert.h"
#include "mpol_tokens.h"

void *mp_build_alloc(struct mp_build *b, struct mp_arena *arena, size_t size)
{
    void *p = mp_arena_alloc(arena, size, _Alignof(max_align_t));
    if (p == NULL) longjmp(*b->out_of_memory, 1);
    return p;
}

/* ---- lists ---- */

struct mp_run mp_build_run(const struct mp_build *b) { return (struct mp_run){b->pending_len, 0}; }

static void pending_grow(struct mp_build *b, size_t size)
{
    size_t wanted = b->pending_cap == 0 ? 16384 : (size_t)b->pending_cap * 2;
    while (wanted - b->pending_len < size) wanted *= 2;
    char *grown = NULL;
    if (wanted <= UINT32_MAX) {
        grown = mp_arena_grow(&b->lists, b->pending, b->pending_cap, wanted, 16);
    }
    if (grown == NULL) longjmp(*b->out_of_memory, 1);
    b->pending = grown;
    b->pending_cap = (uint32_t)wanted;
}

void mp_build_push(struct mp_build *b, struct mp_run *run, const void *element, size_t size)
{
    MP_ASSERT(run->base + run->count * size == b->pending_len);
    if (b->pending_cap - b->pending_len < size) pending_grow(b, size);
    memcpy(b->pending + b->pending_len, element, size);
    b->pending_len += (uint32_t)size;
    run->count++;
}

void *mp_build_take(struct mp_build *b, struct mp_run run, size_t size)
{
    MP_ASSERT(run.base <= b->pending_cap);
    if (run.base < b->pending_len) b->pending_len = run.base;
    if (run.count == 0) return NULL;
    void *array = mp_build_alloc(b, b->perm, run.count * size);
    memcpy(array, b->pending + run.base, run.count * size);
    return array;
}

/* ---- words ---- */

struct mp_span mp_build_span(const struct mp_build *b, uint32_t from)
{
    return (struct mp_span){b->source->id, from, b->prev.to};
}

struct mp_span mp_build_tok(const struct mp_build *b, struct mp_tok tok)
{
    return (struct mp_span){b->source->id, tok.from, tok.to};
}

mp_str mp_build_text(const struct mp_build *b, struct mp_tok tok)
{
    return mp_str_sub(b->text, tok.from, tok.to - tok.from);
}

struct mp_ast_name mp_build_name(const struct mp_build *b, struct mp_tok tok)
{
    mp_str text = mp_build_text(b, tok);
    if (text.len > 2 && text.ptr[0] == '`') text = mp_str_sub(text, 1, text.len - 2);
    return (struct mp_ast_name){text, mp_build_tok(b, tok)};
}

struct mp_ast_path mp_build_path(struct mp_build *b, struct mp_run parts)
{
    struct mp_ast_path path = {.count = parts.count};
    path.parts = mp_build_take(b, parts, sizeof(struct mp_ast_name));
    path.span = mp_span_join(path.parts[0].span, path.parts[parts.count - 1].span);
    return path;
}

/* A literal that is read at once, outside an expression. */
static struct mp_ast_expr read_literal(struct mp_build *b, struct mp_tok tok)
{
    struct mp_ast_expr e = {.kind = MP_AST_BAD};
    mp_literal(b, tok, &e);
    return e;
}

struct mp_ast_int mp_build_int(struct mp_build *b, struct mp_tok tok)
{
    return (struct mp_ast_int){read_literal(b, tok).u.num.i, mp_build_tok(b, tok)};
}

int64_t mp_build_ns(struct mp_build *b, struct mp_tok tok) { return read_literal(b, tok).u.num.i; }

double mp_build_percent(struct mp_build *b, struct mp_tok tok)
{
    return read_literal(b, tok).u.num.f;
}

struct mp_ast_dur mp_build_dur(struct mp_build *b, struct mp_tok tok)
{
    struct mp_ast_dur dur = {.span = mp_build_tok(b, tok)};
    if (tok.kind == T_DURATION) {
        dur.ns = mp_build_ns(b, tok);
    } else {
        dur.name = mp_build_name(b, tok).text;
    }
    return dur;
}

uint32_t mp_build_minute(struct mp_build *b, struct mp_tok tok)
{
    mp_str t = mp_build_text(b, tok);
    uint32_t hour = (uint32_t)((t.ptr[0] - '0') * 10 + (t.ptr[1] - '0'));
    uint32_t minute = (uint32_t)((t.ptr[3] - '0') * 10 + (t.ptr[4] - '0'));
    if (minute < 60 && hour * 60 + minute <= 24 * 60) return hour * 60 + minute;
    struct mp_diag *d = mp_diag_add(b->diags, MP_DIAG_E0102, mp_build_tok(b, tok),
                                    "`%.*s` is no time of day", MP_STR_ARG(t));
    mp_diag_help(d, "times go from `00:00` to `24:00`");
    return 0;
}

/* ---- expressions ---- */

static struct mp_ast_expr *cut_off(struct mp_build *b, struct mp_ast_expr *e)
{
    mp_explain_depth(b, e->span);
    struct mp_span span = e->span;
    *e = (struct mp_ast_expr){.kind = MP_AST_BAD, .depth = 1, .span = span};
    e->u.num.text = mp_str_sub(b->text, span.from, span.to - span.from);
    return e;
}

struct mp_ast_expr *mp_build_deepen(struct mp_build *b, struct mp_ast_expr *e, uint32_t kid_depth)
{
    if (kid_depth + 1 > e->depth) e->depth = (uint16_t)(kid_depth + 1);
    return e->depth > MP_AST_DEPTH_MAX ? cut_off(b, e) : e;
}

struct mp_ast_expr *mp_build_expr(struct mp_build *b, enum mp_ast_kind kind, uint32_t from,
                                  struct mp_ast_expr *a, struct mp_ast_expr *c)
{
    struct mp_ast_expr *e = B_PERM(b, struct mp_ast_expr);
    e->kind = kind;
    e->depth = 1;
    e->span = mp_build_span(b, from);
    e->kid[0] = a;
    e->kid[1] = c;
    uint32_t deepest = a == NULL ? 0 : a->depth;
    if (c != NULL && c->depth > deepest) deepest = c->depth;
    return mp_build_deepen(b, e, deepest);
}

struct mp_ast_expr *mp_build_literal(struct mp_build *b, struct mp_tok tok)
{
    struct mp_ast_expr *e = B_PERM(b, struct mp_ast_expr);
    e->depth = 1;
    e->span = mp_build_tok(b, tok);
    if (tok.kind == T_STRING) {
        mp_string(b, tok, e);
    } else {
        mp_literal(b, tok, e);
    }
    return e;
}

struct mp_ast_expr *mp_build_cmp(struct mp_build *b, struct mp_ast_expr *a, struct mp_tok op,
                                 struct mp_ast_expr *c)
{
    mp_str text = mp_build_text(b, op);
    struct mp_ast_expr *e = mp_build_expr(b, MP_AST_CMP, a->span.from, a, c);
    if (e->kind != MP_AST_CMP) return e;
    bool or_equal = text.len > 1;
    switch (text.ptr[0]) {
    case '<': e->u.cmp = or_equal ? MP_AST_LE : MP_AST_LT; break;
    case '>': e->u.cmp = or_equal ? MP_AST_GE : MP_AST_GT; break;
    case '!': e->u.cmp = MP_AST_NE; break;
    default: e->u.cmp = MP_AST_EQ; break;
    }
    return e;
}

struct mp_ast_expr *mp_build_paren(struct mp_build *b, struct mp_tok open,
                                   const struct mp_ast_held *held, struct mp_tok close)
{
    struct mp_ast_expr *e = held->cond;
    if (held->hold.span.file != 0) {
        e = mp_build_expr(b, MP_AST_HELD, open.from, held->cond, NULL);
        if (e->kind == MP_AST_HELD) e->u.dur = held->hold;
    }
    e->paren = true;
    e->span = (struct mp_span){b->source->id, open.from, close.to};
    return e;
}

/* ---- items ---- */

struct mp_ast_item *mp_build_item(struct mp_build *b, enum mp_ast_item_kind kind, uint32_t from)
{
    struct mp_ast_item *item = B_PERM(b, struct mp_ast_item);
    item->kind = kind;
    item->span = mp_build_span(b, from);
    return item;
}

struct mp_ast_clause *mp_build_clause(struct mp_build *b, enum mp_ast_clause_kind kind,
                                      uint32_t from)
{
    struct mp_ast_clause *c = B_TEMP(b, struct mp_ast_clause);
    c->kind = kind;
    c->span = mp_build_span(b, from);
    return c;
}

/* The last step of a sequence bounds it; without a bound it would wait for ever (R22). */
static void check_sequence(struct mp_build *b, const struct mp_ast_rule *rule)
{
    if (rule->follow_count == 0) return;
    const struct mp_ast_follow *last = &rule->follows[rule->follow_count - 1];
    if (last->within.span.file != 0) return;
    struct mp_span behind = mp_span_after(last->span);
    struct mp_diag *d = mp_diag_add(b->diags, MP_DIAG_E0110, behind,
                                    "a sequence step without `within` would wait for ever");
    mp_diag_label(d, behind, "expected `within <duration>`");
}

/* What was made in scratch for one item is not needed any more. A block that was added in between
 * is kept: the next items go on in it. */
void mp_build_forget(struct mp_build *b)
{
    b->foreign = false;
    if (b->scratch.blocks == b->mark.blocks) {
        b->scratch = b->mark;
    } else {
        b->mark = b->scratch;
    }
}

void mp_build_add(struct mp_build *b, struct mp_run annots, struct mp_ast_item *item)
{
    struct mp_ast_item **slot = MP_VEC_PUSH(b->perm, &b->file->items);
    if (slot == NULL) longjmp(*b->out_of_memory, 1);
    item->annot_count = annots.count;
    item->annots = mp_build_take(b, annots, sizeof(struct mp_ast_annot));
    *slot = item;
    if (item->kind == MP_AST_ITEM_RULE) check_sequence(b, &item->u.rule);
    mp_build_forget(b);
}
