/* SPDX-License-Identifier: Apache-2.0
 * Rules: from what was written to a typed rule.
 */
#include "check/check_rule_priv.h"

/* ---- what kind of rule it is, by its words ---- */

static void survey_actions(struct ck_rule *r)
{
    for (uint32_t s = 0; s < r->ast->step_count; s++) {
        for (uint32_t i = 0; i < r->ast->steps[s].act_count; i++) {
            const struct mp_ast_act *act = &r->ast->steps[s].acts[i];
            const struct mp_t_signal *record;
            enum ck_act_sort sort = ck_act_sort(r->ck, r->file, act, &record);
            if (sort == CK_ACT_RECORD && r->answer == NULL) {
                r->answers = record;
                r->answer = act;
            }
            if (sort == CK_ACT_LEASE && r->lease == NULL) r->lease = act;
        }
    }
}

static bool is_loop(const struct ck_rule *r)
{
    struct mp_span span;
    const char *word;
    if (r->answer != NULL) return false;
    if (r->survey.keys != NULL || r->survey.raw || r->lease != NULL) return true;
    return r->ast->per.count > 0 || ck_rule_loop_clause(r, &span, &word);
}

/* ---- records ---- */

static void refuse_second_record(struct ck_rule *r)
{
    const struct ck_survey *s = &r->survey;
    struct mp_span at = s->other_span;
    const struct mp_t_signal *one = s->record, *two = s->other_record;
    if (two == NULL && r->answers != NULL && one != NULL && one != r->answers) {
        two = one;
        one = r->answers;
        at = s->record_span;
    }
    if (two == NULL) return;
    mp_str a = ck_signal_record_word(one), b = ck_signal_record_word(two);
    struct mp_diag *d = ck_error(r->ck, "E0402", at, "one record is at hand, not a %.*s and a %.*s",
                                 MP_STR_ARG(a), MP_STR_ARG(b));
    if (!mp_span_eq(s->record_span, at)) mp_diag_label(d, s->record_span, "the record at hand");
    mp_diag_help(d, "count one of the two: `count(%.*s where ...) over 10s >= 1`",
                 MP_STR_ARG(two->name));
}

/* ---- conditions ---- */

struct ck_scope ck_rule_scope(const struct ck_rule *r, enum ck_place place)
{
    const struct mp_t_rule *out = r->out;
    bool loop = out->kind == MP_RULE_LOOP;
    bool at_hand = !loop || place == CK_IN_WHEN || place == CK_IN_UNLESS;
    return ck_scope_of(r->file, place, loop ? out->keys : NULL, at_hand ? out->signal : NULL,
                       out->layers);
}

struct mp_t_held ck_rule_held(struct ck_rule *r, enum ck_place place,
                                   const struct mp_ast_held *ast)
{
    struct ck_scope s = ck_rule_scope(r, place);
    return ck_check_held(r->ck, &s, ast);
}

static void check_sequence(struct ck_rule *r)
{
    if (r->ast->follow_count == 0) return;
    struct ck_scope s = ck_rule_scope(r, CK_IN_WHEN);
    for (uint32_t i = 0; i < r->ast->follow_count; i++) {
        const struct mp_ast_follow *f = &r->ast->follows[i];
        ck_check_cond(r->ck, &s, f->cond);
        ck_duration(r->ck, &s, &f->within);
    }
    ck_refuse(r->ck, "followed by", r->ast->follows[0].span);
}

void ck_rule_conditions(struct ck_rule *r)
{
    struct mp_t_rule *out = r->out;
    out->when = ck_rule_held(r, CK_IN_WHEN, &r->ast->when);
    check_sequence(r);
    out->has_unless = r->ast->unless.cond != NULL;
    if (out->has_unless) out->unless = ck_rule_held(r, CK_IN_UNLESS, &r->ast->unless);
    ck_gather_facts(out->when.cond, &r->facts);
    if (out->has_unless) ck_gather_facts(out->unless.cond, &r->facts);
}

/* The ledger and every backend name a lease by its rule, without its package. */
static void refuse_reserved(struct ck *ck, const struct mp_ast_name *name)
{
    bool nack = mp_str_eq(name->text, MP_STR("nack"));
    if (!nack && !mp_str_eq(name->text, MP_STR("manual"))) return;
    struct mp_diag *d =
        ck_error(ck, "E0103", name->span, "`%s` is what %s: no rule is called so",
                 nack ? "nack" : "manual",
                 nack ? "proxies refuse of what they are sent" : "operators decide by hand");
    mp_diag_help(d, "any other name will do");
}

void ck_check_rule(struct ck *ck, struct ck_file *file, const struct mp_ast_item *item)
{
    struct ck_rule r = {.ck = ck, .file = file, .item = item, .ast = &item->u.rule};
    uint32_t errors_before = ck->sink->error_count;
    r.out = CK_NEW(ck, struct mp_t_rule, 1);
    r.out->package = file->package->name;
    r.out->name = item->name.text;
    refuse_reserved(ck, &item->name);
    r.out->doc = item->u.rule.doc.text;
    r.out->span = item->name.text.ptr != NULL ? item->name.span : r.ast->when.span;
    ck_rule_headers(&r);
    ck_rule_name(&r);
    ck_survey(ck, file, r.ast->when.cond, &r.survey);
    for (uint32_t i = 0; i < r.ast->follow_count; i++) {
        ck_survey(ck, file, r.ast->follows[i].cond, &r.survey);
    }
    if (r.ast->unless.cond != NULL) ck_survey(ck, file, r.ast->unless.cond, &r.survey);
    survey_actions(&r);
    refuse_second_record(&r);
    if (!is_loop(&r)) r.out->signal = ck_rule_record(&r);
    if (r.out->signal != NULL) {
        ck_rule_inline(&r);
    } else {
        ck_rule_loop(&r);
    }
    if (ck->sink->error_count == errors_before) *CK_PUSH(ck, &ck->out->rules) = r.out;
}
