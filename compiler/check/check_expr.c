/* SPDX-License-Identifier: Apache-2.0
 * Expressions: literals, operators, names and paths. Comparisons are in check_rel.c, aggregates in
 * check_agg.c, functions in check_call.c, definitions, `of` and `over` in check_def.c.
 */
#include "check/check_expr_priv.h"

struct ck_scope ck_scope_of(const struct ck_file *file, enum ck_place place,
                            const struct mp_t_keys *keys,
                            const struct mp_t_signal *record, uint32_t layers)
{
    return (struct ck_scope){.file = file,
                             .place = place,
                             .keys = keys,
                             .record = record,
                             .lenient = keys != NULL && keys->broken,
                             .layers = layers != 0 ? layers : MP_LAYER_SERVICE};
}

/* ---- literals ---- */

static struct mp_t_expr *check_address(struct ck *ck, const struct mp_ast_expr *ast)
{
    bool range = ast->kind == MP_AST_CIDR;
    struct mp_t_expr *e = ck_expr(ck, MP_TX_CONST, ck_type(range ? MP_TYPE_CIDR : MP_TYPE_IP),
                                  ast->span);
    memcpy(&e->value, ast->u.addr.bytes, sizeof e->value);
    e->bits = ast->u.addr.bits;
    e->text = ast->u.addr.text;
    return e;
}

static struct mp_t_expr *check_named(struct ck *ck, const struct ck_scope *s,
                                     const struct mp_ast_expr *ast)
{
    const struct mp_ast_name *name = &ast->u.named.name;
    struct ck_sym *sym = ck_need(ck, s->file, name->text, name->span, 1u << CK_ENTITY, "an entity");
    if (sym == NULL) return ck_poison(ck, ast->span);
    struct mp_t_expr *text =
        ck_const_text(ck, ck_type(MP_TYPE_STRING), ast->u.named.text.text, ast->u.named.text.span);
    struct mp_t_expr *e = ck_coerce(ck, text, ck_entity_type(sym->u.entity), "this");
    if (!ck_bad(e)) e->span = ast->span;
    return e;
}

static struct mp_t_expr *check_hole(struct ck *ck, const struct ck_scope *s,
                                    const struct mp_ast_expr *ast)
{
    if (ast->kind == MP_AST_NAME) {
        struct ck_sym *sym = ck_find_bind(s, ast->u.name.text) != NULL
                                 ? NULL
                                 : ck_find(ck, s->file, ast->u.name.text, (struct mp_span){0});
        bool named = sym != NULL && (sym->kind == CK_LIST || sym->kind == CK_FEED);
        if (named) return ck_const_text(ck, ck_type(MP_TYPE_STRING), sym->name, ast->span);
    }
    struct mp_t_expr *e = ck_check(ck, s, ast, NULL);
    if (ck_bad(e)) return e;
    if (ck_is_poison(ck_key_type(e->type))) return ck_poison(ck, ast->span); /* a broken entity */
    if (ck_is_scalar(e->type) && ck_rep(e->type) != MP_REP_N) return e;
    mp_str noun = ck_type_noun(ck, e->type);
    ck_error(ck, "E0302", ast->span, "a message shows single values, and this is %.*s",
             MP_STR_ARG(noun));
    return ck_poison(ck, ast->span);
}

struct mp_t_expr *ck_check_text(struct ck *ck, const struct ck_scope *s,
                                const struct mp_ast_expr *ast)
{
    MP_ASSERT(ast->kind == MP_AST_STRING);
    struct mp_t_type type = ck_type(MP_TYPE_STRING);
    if (ast->u.str.piece_count == 0) return ck_const_text(ck, type, ast->u.str.value, ast->span);
    struct mp_t_expr *e = ck_expr(ck, MP_TX_TEXT, type, ast->span);
    e->text = ck_source(ck, ast->span);
    e->piece_count = ast->u.str.piece_count;
    e->pieces = CK_NEW(ck, struct mp_t_piece, e->piece_count);
    bool bad = false;
    for (uint32_t i = 0; i < e->piece_count; i++) {
        const struct mp_ast_piece *piece = &ast->u.str.pieces[i];
        if (piece->hole == NULL) {
            e->pieces[i].literal = piece->text;
            continue;
        }
        struct mp_t_expr *hole = check_hole(ck, s, piece->hole);
        bad |= ck_bad(hole);
        e->pieces[i].hole = hole;
    }
    return bad ? ck_poison(ck, ast->span) : e;
}

static struct mp_t_expr *check_string(struct ck *ck, const struct ck_scope *s,
                                      const struct mp_ast_expr *ast)
{
    if (ast->u.str.piece_count == 0 || s->place == CK_IN_ACTION) return ck_check_text(ck, s, ast);
    struct mp_diag *d = ck_error(ck, "E0302", ast->span, "only the texts of actions have holes");
    ck_help(d, "a brace is written `\\{`; single quotes take everything as it stands");
    return ck_poison(ck, ast->span);
}

/* ---- operators ---- */

static struct mp_t_expr *beside(struct ck *ck, const struct mp_ast_expr *ast,
                                const struct mp_ast_expr *inner)
{
    bool left = inner == ast->kid[0];
    mp_str outer_word = ast->kind == MP_AST_AND ? MP_STR("and") : MP_STR("or");
    mp_str inner_word = ast->kind == MP_AST_AND ? MP_STR("or") : MP_STR("and");
    mp_str a = ck_source(ck, left ? inner->kid[0]->span : ast->kid[0]->span);
    mp_str b = ck_source(ck, left ? inner->kid[1]->span : inner->kid[0]->span);
    mp_str c = ck_source(ck, left ? ast->kid[1]->span : inner->kid[1]->span);
    struct mp_diag *d = ck_error(ck, "E0107", ast->span, "`and` and `or` side by side");
    mp_str first = left ? inner_word : outer_word, second = left ? outer_word : inner_word;
    ck_help(d, "`(%.*s %.*s %.*s) %.*s %.*s`, or `%.*s %.*s (%.*s %.*s %.*s)`", MP_STR_ARG(a),
            MP_STR_ARG(first), MP_STR_ARG(b), MP_STR_ARG(second), MP_STR_ARG(c), MP_STR_ARG(a),
            MP_STR_ARG(first), MP_STR_ARG(b), MP_STR_ARG(second), MP_STR_ARG(c));
    return ck_poison(ck, ast->span);
}

static bool is_other_junction(const struct mp_ast_expr *ast, const struct mp_ast_expr *kid)
{
    enum mp_ast_kind other = ast->kind == MP_AST_AND ? MP_AST_OR : MP_AST_AND;
    return kid->kind == other && !kid->paren;
}

static struct mp_t_expr *check_junction(struct ck *ck, const struct ck_scope *s,
                                        const struct mp_ast_expr *ast)
{
    bool mixed = false;
    for (int i = 0; i < 2 && !mixed; i++) {
        mixed = is_other_junction(ast, ast->kid[i]);
        if (mixed) beside(ck, ast, ast->kid[i]);
    }
    struct mp_t_expr *a = ck_check_cond(ck, s, ast->kid[0]);
    struct mp_t_expr *b = ck_check_cond(ck, s, ast->kid[1]);
    if (mixed || ck_bad(a) || ck_bad(b)) return ck_poison(ck, ast->span);
    enum mp_t_kind kind = ast->kind == MP_AST_AND ? MP_TX_AND : MP_TX_OR;
    struct mp_t_expr *e = ck_expr(ck, kind, ck_type(MP_TYPE_BOOL), ast->span);
    e->kid[0] = a;
    e->kid[1] = b;
    e->may_be_unknown = a->may_be_unknown || b->may_be_unknown;
    return e;
}

struct mp_t_expr *ck_not(struct ck *ck, struct mp_t_expr *a, struct mp_span span)
{
    if (ck_bad(a)) return ck_poison(ck, span);
    struct mp_t_expr *e = ck_expr(ck, MP_TX_NOT, ck_type(MP_TYPE_BOOL), span);
    e->kid[0] = a;
    e->may_be_unknown = a->may_be_unknown;
    return e;
}

static struct mp_t_expr *check_arith(struct ck *ck, const struct ck_scope *s,
                                     const struct mp_ast_expr *ast)
{
    static const enum mp_t_arith ops[] = {MP_T_ADD, MP_T_SUB, MP_T_MUL, MP_T_DIV};
    struct mp_t_expr *a = ck_check(ck, s, ast->kid[0], NULL);
    struct mp_t_expr *b = ck_check(ck, s, ast->kid[1], NULL);
    return ck_arith(ck, ops[ast->kind - MP_AST_ADD], a, b, ast->span);
}

static struct mp_t_expr *check_times(struct ck *ck, const struct ck_scope *s,
                                     const struct mp_ast_expr *ast)
{
    struct mp_t_expr *factor = ck_const_num(ck, MP_TYPE_NUMBER, ast->u.num.f, ast->span);
    return ck_arith(ck, MP_T_MUL, factor, ck_check(ck, s, ast->kid[0], NULL), ast->span);
}

static struct mp_t_expr *check_default(struct ck *ck, const struct ck_scope *s,
                                       const struct mp_ast_expr *ast,
                                       const struct mp_t_type *want)
{
    struct mp_t_expr *a = ck_check(ck, s, ast->kid[0], want);
    const struct mp_t_type *hint = ck_bad(a) ? want : &a->type;
    struct mp_t_expr *b = ck_check(ck, s, ast->kid[1], hint);
    if (!ck_same_side(ck, &a, &b, ast->span, "replaced by")) return ck_poison(ck, ast->span);
    if (ck_bad(a) || ck_bad(b)) return ck_poison(ck, ast->span);
    struct mp_t_expr *e = ck_expr(ck, MP_TX_DEFAULT, a->type, ast->span);
    e->kid[0] = a;
    e->kid[1] = b;
    e->may_be_unknown = b->may_be_unknown;
    return e;
}

static struct mp_t_expr *check_nested_held(struct ck *ck, const struct ck_scope *s,
                                           const struct mp_ast_expr *ast)
{
    struct mp_t_expr *cond = ck_check_cond(ck, s, ast->kid[0]);
    int64_t ns = ck_duration(ck, s, &ast->u.dur);
    if (ck_bad(cond) || ns == 0) return ck_poison(ck, ast->span);
    ck_refuse_seen(ck, cond, "it is true for an instant, so it cannot hold `for` a time");
    struct mp_t_expr *e = ck_expr(ck, MP_TX_HELD, ck_type(MP_TYPE_BOOL), ast->span);
    e->kid[0] = cond;
    e->hold_ns = ns;
    e->may_be_unknown = cond->may_be_unknown;
    return e;
}

void ck_refuse_seen(struct ck *ck, const struct mp_t_expr *cond, const char *why)
{
    struct ck_facts facts = {.seen = NULL};
    ck_gather_facts(cond, &facts);
    if (facts.seen == NULL) return;
    struct mp_diag *d = ck_error(ck, "E0408", facts.seen->span, "`seen` is no state");
    ck_note(d, "%s", why);
}

static struct mp_t_expr *status_class(struct ck *ck, const struct mp_ast_expr *ast)
{
    struct mp_diag *d = ck_error(ck, "E0301", ast->span,
                                 "`%.*s` is a set of statuses, and no value",
                                 MP_STR_ARG(ast->u.num.text));
    ck_help(d, "`in %.*s` asks whether a status is one of them", MP_STR_ARG(ast->u.num.text));
    return ck_poison(ck, ast->span);
}

static struct mp_t_expr *identity(struct ck *ck, const struct mp_ast_expr *ast)
{
    mp_str text = ast->u.num.text;
    enum mp_type type = ck_has_wildcard(text) ? MP_TYPE_PATTERN : MP_TYPE_IDENTITY;
    return ck_const_text(ck, ck_type(type), text, ast->span);
}

/* ---- the switch ---- */

static struct mp_t_expr *check_kind(struct ck *ck, const struct ck_scope *s,
                                    const struct mp_ast_expr *ast,
                                    const struct mp_t_type *want)
{
    struct mp_span span = ast->span;
    switch (ast->kind) {
    case MP_AST_INT: return ck_const_int(ck, MP_TYPE_INT, ast->u.num.i, span);
    case MP_AST_FLOAT: return ck_const_num(ck, MP_TYPE_NUMBER, ast->u.num.f, span);
    case MP_AST_PERCENT: return ck_const_num(ck, MP_TYPE_PERCENT, ast->u.num.f, span);
    case MP_AST_DURATION: return ck_const_int(ck, MP_TYPE_DURATION, ast->u.num.i, span);
    case MP_AST_RATE: return ck_const_num(ck, MP_TYPE_RATE, ast->u.num.f, span);
    case MP_AST_SIZE: return ck_const_int(ck, MP_TYPE_SIZE, ast->u.num.i, span);
    case MP_AST_BANDWIDTH: return ck_const_num(ck, MP_TYPE_BANDWIDTH, ast->u.num.f, span);
    case MP_AST_BOOL: return ck_const_bool(ck, ast->u.num.i != 0, span);
    case MP_AST_STATUS: return status_class(ck, ast);
    case MP_AST_IP:
    case MP_AST_CIDR: return check_address(ck, ast);
    case MP_AST_IDENTITY: return identity(ck, ast);
    case MP_AST_STRING: return check_string(ck, s, ast);
    case MP_AST_NAME:
    case MP_AST_DOT:
    case MP_AST_INDEX: return ck_check_path(ck, s, ast, want);
    case MP_AST_NAMED: return check_named(ck, s, ast);
    case MP_AST_CALL: return ck_call(ck, s, ast, want);
    case MP_AST_SET:
        ck_error(ck, "E0302", span,
                 "a list stands on the right of `in`, `like`, `contains` and their kin");
        return ck_poison(ck, span);
    case MP_AST_OVER: return ck_check_over(ck, s, ast);
    case MP_AST_OF: return ck_check_of(ck, s, ast);
    case MP_AST_DEFAULT: return check_default(ck, s, ast, want);
    case MP_AST_NEG: return ck_negate(ck, ck_check(ck, s, ast->kid[0], NULL), span);
    case MP_AST_TIMES: return check_times(ck, s, ast);
    case MP_AST_ADD:
    case MP_AST_SUB:
    case MP_AST_MUL:
    case MP_AST_DIV: return check_arith(ck, s, ast);
    case MP_AST_CMP: return ck_check_cmp(ck, s, ast);
    case MP_AST_IN: return ck_check_in(ck, s, ast);
    case MP_AST_IS: return ck_check_is(ck, s, ast);
    case MP_AST_LIKE:
    case MP_AST_MATCHES:
    case MP_AST_CONTAINS:
    case MP_AST_STARTS:
    case MP_AST_ENDS: return ck_check_match(ck, s, ast);
    case MP_AST_NOT: return ck_not(ck, ck_check_cond(ck, s, ast->kid[0]), span);
    case MP_AST_AND:
    case MP_AST_OR: return check_junction(ck, s, ast);
    case MP_AST_HELD: return check_nested_held(ck, s, ast);
    case MP_AST_BAD:
    case MP_AST_KIND_COUNT: break;
    }
    return ck_poison(ck, span);
}

struct mp_t_expr *ck_too_large(struct ck *ck, struct mp_span span)
{
    if (!ck->too_large) {
        ck_error(ck, "E0703", span, "with its definitions this is larger than %d operations, or "
                 "nested deeper than %d levels", CK_NODES_MAX, CK_DEPTH_MAX);
    }
    ck->too_large = true;
    return ck_poison(ck, span);
}

struct mp_t_expr *ck_check(struct ck *ck, const struct ck_scope *s, const struct mp_ast_expr *ast,
                           const struct mp_t_type *want)
{
    if (ast == NULL) return ck_poison(ck, (struct mp_span){0});
    if (ck->depth == 0) {
        ck->nodes = ck->deepest = 0;
        ck->too_large = false;
    }
    if (ck->nodes > CK_NODES_MAX || ck->depth >= CK_DEPTH_MAX) return ck_too_large(ck, ast->span);
    ck->depth++;
    if (ck->depth > ck->deepest) ck->deepest = ck->depth;
    struct mp_t_expr *e = check_kind(ck, s, ast, want);
    ck->depth--;
    if (e->text.ptr == NULL) e->text = ck_source(ck, ast->span);
    return e;
}

struct mp_t_expr *ck_check_as(struct ck *ck, const struct ck_scope *s,
                              const struct mp_ast_expr *ast,
                              struct mp_t_type want, const char *what)
{
    return ck_coerce(ck, ck_check(ck, s, ast, &want), want, what);
}

struct mp_t_expr *ck_check_cond(struct ck *ck, const struct ck_scope *s,
                                const struct mp_ast_expr *ast)
{
    struct mp_t_type want = ck_type(MP_TYPE_BOOL);
    struct mp_t_expr *e = ck_check(ck, s, ast, &want);
    if (ck_bad(e) || ck_type_eq(e->type, want)) return e;
    mp_str noun = ck_type_noun(ck, e->type);
    struct mp_diag *d = ck_error(ck, "E0302", e->span,
                                 "a condition is true or false, and this is %.*s",
                                 MP_STR_ARG(noun));
    ck_label(d, e->span, "%.*s", MP_STR_ARG(noun));
    return ck_poison(ck, e->span);
}

struct mp_t_held ck_check_held(struct ck *ck, const struct ck_scope *s,
                               const struct mp_ast_held *ast)
{
    struct mp_t_held held = {.span = ast->span};
    held.cond = ck_check_cond(ck, s, ast->cond);
    held.hold_ns = ck_duration(ck, s, &ast->hold);
    if (held.hold_ns > 0 && !ck_bad(held.cond)) {
        ck_refuse_seen(ck, held.cond, "it is true for an instant, so it cannot hold `for` a time");
    }
    return held;
}
