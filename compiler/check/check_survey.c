/* SPDX-License-Identifier: Apache-2.0
 * What a rule speaks of, by names alone: before its keys are known nothing can be checked, and
 * its keys follow from what it speaks of (language.md 4.3, 4.4).
 */
#include "check/check_expr_priv.h"

/* LIMIT: definitions looked through. */
#define SURVEY_DEPTH_MAX 16

struct look {
    struct ck *ck;
    const struct ck_file *file;
    struct ck_survey *out;
    uint32_t depth;
};

static void survey(struct look *l, const struct mp_ast_expr *ast);

static void saw_record(struct look *l, const struct mp_t_signal *signal, struct mp_span span)
{
    struct ck_survey *out = l->out;
    out->reads_any = true;
    if (out->record == NULL) {
        out->record = signal;
        out->record_span = span;
    } else if (out->record != signal && out->other_record == NULL) {
        out->other_record = signal;
        out->other_span = span;
    }
}

static void saw_keys(struct look *l, const struct mp_t_keys *keys, mp_str of, struct mp_span span)
{
    struct ck_survey *out = l->out;
    out->reads_any = true;
    if (keys == NULL) return;
    if (out->keys == NULL) {
        out->keys = keys;
        out->keys_of = of;
        out->keys_span = span;
    } else if (!ck_keys_eq(out->keys, keys) && !out->keys_differ) {
        out->keys_differ = true;
        out->differ_of = of;
        out->differ_keys = keys;
        out->differ_span = span;
    }
}

static void saw_raw(struct look *l, const struct mp_t_signal *signal, struct mp_span span)
{
    l->out->reads_any = true;
    if (signal->key_count <= 1) {
        saw_keys(l, ck_keys_signal(l->ck, signal), signal->name, span);
    } else if (!l->out->raw) {
        l->out->raw = true;
        l->out->raw_signal = signal;
        l->out->raw_span = span;
    }
}

static void survey_def(struct look *l, struct ck_sym *sym, struct mp_span span)
{
    if (l->depth >= SURVEY_DEPTH_MAX || sym->state == CK_BUSY) return;
    const struct mp_t_def *def = ck_def_of(l->ck, sym);
    if (def == NULL) return;
    if (sym->has_per) {
        saw_keys(l, def->keys, sym->name, span);
        return;
    }
    struct look inner = *l;
    inner.file = sym->file;
    inner.depth++;
    survey(&inner, sym->item->u.def.body);
}

static void survey_sym(struct look *l, struct ck_sym *sym, struct mp_span span)
{
    if (sym->kind == CK_DEF) {
        survey_def(l, sym, span);
    } else if (sym->kind == CK_SIGNAL && sym->u.signal->kind != MP_SIGNAL_EVENT) {
        saw_keys(l, ck_keys_signal(l->ck, sym->u.signal), sym->name, span);
    } else if (sym->kind == CK_SIGNAL && sym->is_alias) {
        saw_record(l, sym->u.signal, span);
    }
}

static void survey_name(struct look *l, mp_str name, struct mp_span span)
{
    struct ck_sym *sym = ck_find(l->ck, l->file, name, (struct mp_span){0});
    if (sym != NULL) survey_sym(l, sym, span);
}

/* `alias.name`, else what stands before the dot. */
static void survey_dot(struct look *l, const struct mp_ast_expr *ast)
{
    const struct mp_ast_expr *base = ast->kid[0];
    if (base->kind == MP_AST_NAME && ck_find(l->ck, l->file, base->u.name.text,
                                             (struct mp_span){0}) == NULL) {
        const struct ck_package *p = ck_find_alias(l->file, base->u.name.text);
        struct ck_sym *sym = p == NULL ? NULL : ck_find_in(l->ck, p, ast->u.name.text);
        if (sym != NULL) survey_sym(l, sym, ast->span);
        return;
    }
    survey(l, base);
}

static bool is_word(mp_str name, const char *const *words)
{
    for (; *words != NULL; words++) {
        if (mp_str_eq(name, mp_str_of(*words))) return true;
    }
    return false;
}

static void survey_call(struct look *l, const struct mp_ast_expr *ast)
{
    static const char *const of_records[] = {
        "count", "sum", "rate", "distinct", "ratio", "avg", "min", "max", "p50", "p90", "p95",
            "p99", "p999",
        "stddev", "slope", "seen", "bucket", "bucket_distinct", "streak", NULL};
    static const char *const of_others[] = {"max_of", "min_of", "mean_of", "median_of", "stdev_of",
                                            NULL};
    mp_str name = ast->u.call.name.text;
    if (ast->u.call.arg_count == 0) return;
    if (is_word(name, of_records)) {
        const struct mp_t_signal *signal = ck_signal_in(l->ck, l->file, ast->u.call.args[0].value,
                                                        0);
        if (signal != NULL) saw_raw(l, signal, ast->span);
        else l->out->reads_any = true; /* members of a set, or incidents */
        return;
    }
    if (is_word(name, of_others)) {
        l->out->reads_any = true;
        return;
    }
    struct ck_sym *sym = ck_find(l->ck, l->file, name, (struct mp_span){0});
    if (sym != NULL && sym->kind == CK_DEF) survey_def(l, sym, ast->span);
    for (uint32_t i = 0; i < ast->u.call.arg_count; i++) survey(l, ast->u.call.args[i].value);
}

static void survey(struct look *l, const struct mp_ast_expr *ast)
{
    if (ast == NULL) return;
    switch (ast->kind) {
    case MP_AST_NAME: survey_name(l, ast->u.name.text, ast->span); return;
    case MP_AST_DOT: survey_dot(l, ast); return;
    case MP_AST_CALL: survey_call(l, ast); return;
    case MP_AST_OF: /* `e of x` brings its key with it */
        l->out->reads_any = true;
        survey(l, ast->kid[1]);
        return;
    case MP_AST_IS: /* `requests is stale` is about the source */
        if (ast->kid[0]->kind == MP_AST_NAME && mp_str_eq(ast->u.name.text, MP_STR("stale"))) {
            struct ck_sym *sym = ck_find(l->ck, l->file, ast->kid[0]->u.name.text,
                                         (struct mp_span){0});
            if (sym != NULL && sym->kind == CK_SIGNAL) return;
        }
        break;
    case MP_AST_STRING:
        for (uint32_t i = 0; i < ast->u.str.piece_count; i++) survey(l, ast->u.str.pieces[i].hole);
        return;
    default: break;
    }
    for (int i = 0; i < 3; i++) survey(l, ast->kid[i]);
}

void ck_survey(struct ck *ck, const struct ck_file *file, const struct mp_ast_expr *ast,
               struct ck_survey *out)
{
    struct look l = {.ck = ck, .file = file, .out = out};
    survey(&l, ast);
}

static bool leads_to_all(struct ck *ck, const struct mp_t_keys *from, const struct mp_t_keys *to)
{
    struct ck_scope s = ck_scope_of(NULL, CK_IN_WHEN, from, NULL, 0);
    for (uint32_t i = 0; i < to->count; i++) {
        if (ck_reach_key(ck, &s, &to->keys[i]) == NULL) return false;
    }
    return true;
}

/* The keys are not known; what needs them is silent, the rest of the rule is checked. */
static const struct mp_t_keys no_keys = {.cap = 1, .broken = true};

const struct mp_t_keys *ck_infer_keys(struct ck *ck, const struct ck_survey *s,
                                      const struct mp_t_keys *fallback)
{
    if (s->raw) {
        ck_whose_count(ck, s->raw_signal, s->raw_span);
        return &no_keys;
    }
    if (s->keys_differ) {
        mp_str keys = ck_keys_text(ck, s->keys), others = ck_keys_text(ck, s->differ_keys);
        struct mp_diag *d =
            ck_error(ck, "E0212", s->differ_span,
                     "`%.*s` and `%.*s` have different keys, and nothing says whose rule this is",
                     MP_STR_ARG(s->keys_of), MP_STR_ARG(s->differ_of));
        ck_label(d, s->keys_span, "per %.*s", MP_STR_ARG(keys));
        ck_label(d, s->differ_span, "per %.*s", MP_STR_ARG(others));
        if (leads_to_all(ck, s->differ_keys, s->keys)) ck_help(d, "`per %.*s` leads to both",
                                                               MP_STR_ARG(others));
        else if (leads_to_all(ck, s->keys, s->differ_keys)) ck_help(d, "`per %.*s` leads to both",
                                                                    MP_STR_ARG(keys));
        else ck_help(d, "say whose one is: `%.*s of ...`", MP_STR_ARG(s->differ_of));
        return &no_keys;
    }
    return s->keys != NULL ? s->keys : fallback;
}
