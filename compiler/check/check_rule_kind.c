/* SPDX-License-Identifier: Apache-2.0
 * Inline, event and loop rules: what each can have, and the reason where it cannot (language.md
 * 4.6).
 */
#include "check/check_rule_priv.h"

/* The first clause that only a loop rule can have; *word says which. */
bool ck_rule_loop_clause(const struct ck_rule *r, struct mp_span *span, const char **word)
{
    static const enum mp_ast_clause_kind trailers[] = {MP_AST_UNTIL, MP_AST_COOLDOWN, MP_AST_LIMIT,
                                                       MP_AST_RAMP, MP_AST_IF_NO_DATA};
    const struct mp_ast_rule *a = r->ast;
    *span = (struct mp_span){0};
    if (a->when.hold.span.file != 0) {
        *span = a->when.hold.span;
        *word = "for";
    } else if (a->follow_count > 0) {
        *span = a->follows[0].span;
        *word = "followed by";
    } else if (a->unless.cond != NULL && a->unless.hold.span.file != 0) {
        *span = a->unless.hold.span;
        *word = "for";
    } else if (a->steps[0].verify != NULL) {
        *span = a->steps[0].verify->span;
        *word = "verify";
    } else if (a->step_count > 1) {
        *span = a->steps[1].span;
        *word = "else";
    }
    for (uint32_t i = 0; span->file == 0 && i < sizeof trailers / sizeof *trailers; i++) {
        if (r->clause[trailers[i]] == NULL) continue;
        *span = r->clause[trailers[i]]->span;
        *word = ck_clause_word(trailers[i]);
    }
    return span->file != 0;
}

/* ---- inline rules ---- */

static mp_str record_word(const struct ck_rule *r) { return ck_signal_record_word(r->out->signal); }

static void answer_label(struct ck_rule *r, struct mp_diag *d)
{
    if (r->answer == NULL) return;
    mp_diag_label(d, r->answer->span, "answers the %.*s before it goes on",
                  MP_STR_ARG(record_word(r)));
}

static void refuse_clause(struct ck_rule *r, struct mp_span span, const char *word)
{
    struct mp_diag *d = ck_error(r->ck, "E0402", span, "`%s` cannot stand in an inline rule", word);
    answer_label(r, d);
    mp_diag_note(d, "an inline rule judges one %.*s and keeps nothing of it",
                 MP_STR_ARG(record_word(r)));
    mp_diag_help(d, "an action on who asks, such as `deny client for 10m`, has a loop of its own");
}

static bool holds(const struct mp_t_expr *e, const struct mp_t_expr *part)
{
    if (e == NULL || e == part) return e != NULL;
    return holds(e->kid[0], part) || holds(e->kid[1], part) || holds(e->kid[2], part);
}

/* What the author of the rule wrote: a definition by its name, not what it stands for. */
static const struct mp_t_expr *as_written(const struct mp_t_expr *e, const struct mp_t_expr *part)
{
    if (e == NULL || e == part || e->kind == MP_TX_DEF) return holds(e, part) ? e : NULL;
    for (int i = 0; i < 3; i++) {
        const struct mp_t_expr *found = as_written(e->kid[i], part);
        if (found != NULL) return found;
    }
    return NULL;
}

static const struct mp_t_expr *written_in_conditions(const struct ck_rule *r,
                                                     const struct mp_t_expr *part)
{
    const struct mp_t_expr *found = as_written(r->out->when.cond, part);
    if (found == NULL && r->out->has_unless) found = as_written(r->out->unless.cond, part);
    return found != NULL ? found : part;
}

static void refuse_window(struct ck_rule *r)
{
    const struct mp_t_expr *w = written_in_conditions(r, r->facts.window);
    mp_str text = ck_source(r->ck, w->span);
    struct mp_diag *d = ck_error(r->ck, "E0402", r->answer != NULL ? r->answer->span : w->span,
                                 "a rule that reads a window cannot answer a %.*s",
                                 MP_STR_ARG(record_word(r)));
    answer_label(r, d);
    mp_diag_label(d, w->span, "`%.*s` is kept over many records", MP_STR_ARG(text));
    mp_diag_help(d,
                 "act on who asks or answers, for a time: `deny client for 10m`, `quarantine svc`");
}

static void refuse_lease(struct ck_rule *r)
{
    struct mp_diag *d = ck_error(r->ck, "E0402", r->lease->span,
                                 "an action that lasts cannot stand beside one on the %.*s",
                                 MP_STR_ARG(record_word(r)));
    answer_label(r, d);
    mp_diag_help(d, "make two rules of it");
}

static bool has_bucket(const struct mp_t_rule *r)
{
    for (uint32_t i = 0; i < r->step_count; i++) {
        for (uint32_t j = 0; j < r->steps[i].act_count; j++) {
            const struct mp_t_act *a = &r->steps[i].acts[j];
            if (a->action != NULL && a->target_kind == MP_TARGET_RECORD &&
                a->action->class == MP_CLASS_RATE) return true;
        }
    }
    return false;
}

static void check_buckets(struct ck_rule *r)
{
    struct mp_t_rule *out = r->out;
    if (has_bucket(out)) {
        out->keys = r->ast->per.count > 0 ? ck_keys_of(r->ck, r->file, &r->ast->per)
                                          : ck_keys_entity(r->ck, out->signal->keys[0]);
    } else if (r->ast->per.count > 0) {
        struct mp_diag *d = ck_error(r->ck, "E0402", r->ast->per.span,
                                     "`per` cannot stand in an inline rule");
        answer_label(r, d);
        mp_diag_note(d, "only an inline `throttle` keeps something per key");
    }
}

/* A rule judged when the request has ended: nothing can be answered any more. */
static void refuse_late_answer(struct ck_rule *r)
{
    const struct mp_t_act *acts = r->out->steps[0].acts;
    for (uint32_t i = 0; i < r->out->steps[0].act_count; i++) {
        if (acts[i].target_kind != MP_TARGET_RECORD || acts[i].action->message) continue;
        const struct mp_t_expr *late = written_in_conditions(r, r->facts.at_end);
        mp_str text = ck_source(r->ck, late->span);
        struct mp_diag *d = ck_error(r->ck, "E0404", acts[i].span,
                                     "this %.*s has already been answered",
                                         MP_STR_ARG(record_word(r)));
        mp_diag_label(d, acts[i].span, "comes too late");
        mp_diag_label(d, late->span, "`%.*s` is known when the %.*s has ended",
                      MP_STR_ARG(text), MP_STR_ARG(record_word(r)));
        mp_diag_help(
            d, "send a message here, or count such records in a loop rule and act on who asks");
        return;
    }
}

/* ---- the kinds ---- */

void ck_rule_inline(struct ck_rule *r)
{
    struct mp_t_rule *out = r->out;
    struct mp_span span;
    const char *word;
    out->layers = r->said_layers != 0 ? r->said_layers : MP_LAYER_ALL;
    ck_rule_conditions(r);
    if (ck_rule_loop_clause(r, &span, &word)) refuse_clause(r, span, word);
    if (r->facts.window != NULL) refuse_window(r);
    ck_rule_steps(r);
    if (r->lease != NULL) refuse_lease(r);
    if (r->facts.at_end != NULL) {
        out->kind = MP_RULE_EVENT;
        /* One record of three proxies has one end. */
        if (r->said_layers == 0) out->layers = MP_LAYER_SERVICE;
        refuse_late_answer(r);
    } else if (r->facts.window == NULL) {
        check_buckets(r);
        ck_check_doors(r->ck, out);
    }
}

static void refuse_instant_hold(struct ck_rule *r)
{
    struct mp_span span = r->ast->when.hold.span;
    mp_str record = record_word(r);
    struct mp_diag *d = ck_error(r->ck, "E0402", span,
                                 "this is true at the instant of a %.*s, and not for a time",
                                 MP_STR_ARG(record));
    if (r->facts.record != NULL) {
        mp_diag_label(d, written_in_conditions(r, r->facts.record)->span,
                      "is read from the %.*s at hand",
                      MP_STR_ARG(record));
    }
    mp_diag_help(d, "leave out `for`, or count: `count(%.*s where ...) over 10s >= 3`",
                 MP_STR_ARG(r->out->signal->name));
}

/* Reads it the record at hand, or nothing but what a key is? Then a record makes it true (4.6). */
static bool is_instant(const struct ck_rule *r)
{
    if (r->facts.record != NULL) return true;
    if (r->facts.window != NULL || r->facts.seen != NULL || r->facts.published) return false;
    return r->facts.row != NULL;
}

void ck_rule_loop(struct ck_rule *r)
{
    struct mp_t_rule *out = r->out;
    struct ck_named named = {0};
    out->kind = MP_RULE_LOOP;
    out->layers = r->said_layers != 0 ? r->said_layers : MP_LAYER_SERVICE;
    out->signal = r->survey.record;
    if (r->ast->per.count > 0) {
        out->keys = ck_keys_of(r->ck, r->file, &r->ast->per);
    } else {
        bool reads = r->survey.keys != NULL || r->survey.raw;
        if (!reads) named = ck_rule_named(r);
        out->keys = ck_infer_keys(r->ck, &r->survey, reads ? NULL : ck_rule_keys_named(r, &named));
    }
    if (out->keys == NULL) return;
    ck_rule_conditions(r);
    if (is_instant(r)) {
        out->flags |= MP_RULE_INSTANT;
        if (out->signal == NULL) out->signal = ck_rule_first_signal(r, out->keys);
        bool held = r->ast->when.hold.span.file != 0;
        if (held && out->signal != NULL && !ck_bad(out->when.cond)) refuse_instant_hold(r);
    }
    ck_rule_steps(r);
    ck_rule_trailers(r);
    if (r->facts.silence != NULL ||
        out->no_data == MP_NODATA_FIRE) out->flags |= MP_RULE_ON_SILENCE;
}

const struct mp_t_signal *ck_rule_record(struct ck_rule *r)
{
    if (r->answers != NULL) return r->answers;
    if (r->survey.record != NULL) return r->survey.record;
    struct ck_named named = ck_rule_named(r);
    ck_rule_name_all(r->ck, r->file, r->ast->when.cond, &named);
    ck_rule_name_all(r->ck, r->file, r->ast->unless.cond, &named);
    if (named.count == 0) return NULL; /* it reads no record at all: a rule of the mesh */
    const struct mp_t_keys *keys = ck_rule_keys_named(r, &named);
    return keys == NULL ? NULL : ck_rule_first_signal(r, keys);
}

void ck_bound_throttles(struct ck *ck)
{
    const struct mp_t_rule *first_beyond = NULL;
    uint32_t count = 0;
    for (uint32_t i = 0; i < ck->out->rules.len; i++) {
        const struct mp_t_rule *r = ck->out->rules.ptr[i];
        if (r->kind != MP_RULE_INLINE || !has_bucket(r)) continue;
        if (++count == MP_INLINE_THROTTLES_MAX + 1) first_beyond = r;
    }
    if (first_beyond == NULL) return;
    struct mp_diag *d = ck_error(ck, "E0704", first_beyond->span,
                                 "%u inline rules have a throttle; a program has room for %u",
                                 count, MP_INLINE_THROTTLES_MAX);
    mp_diag_label(d, first_beyond->span, "the first one beyond");
    mp_diag_help(d, "join rules of one rate: `or`, a list and `in`, or `per` with a bucket a key");
}
