/* SPDX-License-Identifier: Apache-2.0
 * What tests expect: leases, messages, verdicts, states and causes (R47).
 */
#include "check/check_test_priv.h"

/* States of incidents and leases, and causes (language.md 5). */
static const mp_str state_words[] = {
    MP_STR_INIT("idle"), MP_STR_INIT("pending"), MP_STR_INIT("open"), MP_STR_INIT("verifying"),
    MP_STR_INIT("confirmed"), MP_STR_INIT("failed"), MP_STR_INIT("harmful"),
    MP_STR_INIT("inconclusive"), MP_STR_INIT("holding"), MP_STR_INIT("releasing"),
    MP_STR_INIT("released"), MP_STR_INIT("rolled_back"), MP_STR_INIT("rollback"),
    MP_STR_INIT("cooldown"), MP_STR_INIT("proposed"), MP_STR_INIT("admitted"),
    MP_STR_INIT("withheld"), MP_STR_INIT("waiting"), MP_STR_INIT("applying"),
    MP_STR_INIT("accepted"), MP_STR_INIT("effective"), MP_STR_INIT("withdrawing"),
    MP_STR_INIT("withdrawn"), MP_STR_INIT("superseded"), MP_STR_INIT("stuck"),
    MP_STR_INIT("expired"), MP_STR_INIT("calm"), MP_STR_INIT("cancelled"), MP_STR_INIT("removed"),
    MP_STR_INIT("done"),
};
#define STATE_WORDS (uint32_t)(sizeof state_words / sizeof *state_words)

static bool is_state(mp_str word)
{
    for (uint32_t i = 0; i < STATE_WORDS; i++) {
        if (mp_str_eq(state_words[i], word)) return true;
    }
    return false;
}

static bool is_active(const struct ck_file *file, const struct ck_package *package)
{
    if (file->package == package) return true;
    for (uint32_t i = 0; i < file->use_count; i++) {
        if (file->uses[i].package == package) return true;
    }
    return false;
}

/* A rule that did not parse is no reason to say that there is none. */
static bool is_broken(const struct ck_test *t, mp_str name)
{
    for (uint32_t f = 0; f < t->ck->files.len; f++) {
        const struct ck_file *file = t->ck->files.ptr[f];
        for (uint32_t i = 0; i < file->ast->broken.len; i++) {
            if (mp_str_eq(file->ast->broken.ptr[i].text, name)) return true;
        }
    }
    return false;
}

/* Rules have names in their packages, but `use` does not make them visible: they are looked for. */
static bool find_rule(struct ck_test *t, mp_str name)
{
    for (uint32_t i = 0; i < t->ck->syms.len; i++) {
        const struct ck_sym *s = t->ck->syms.ptr[i];
        if (s->kind == CK_RULE && mp_str_eq(s->name, name) && is_active(t->file,
                                                                        s->file->package)) {
            return true;
        }
    }
    if (t->file->use_missing || is_broken(t, name)) return true;
    return mp_str_starts(name, MP_STR("when_")); /* one without a name; the program knows */
}

static bool expect_state(struct ck_test *t, const struct mp_ast_line *ast,
                         struct mp_t_test_line *line)
{
    const struct mp_ast_expr *rule = ast->act.target;
    ck_no_arguments(t->ck, &ast->act, "an expected state");
    bool rollback = mp_str_eq(line->verb, MP_STR("rollback"));
    if (rule == NULL && rollback) return ast->act.prep_count == 0;
    if (rule == NULL) {
        struct mp_diag *d = ck_error(t->ck, "E0501", ast->act.span, "`%.*s` of which rule?",
                                     MP_STR_ARG(line->verb));
        mp_diag_help(d, "`expect %.*s some_rule ...`", MP_STR_ARG(line->verb));
        return false;
    }
    if (rollback) line->verb = MP_STR("rolled_back"); /* the state that it leads to */
    mp_str name = rule->kind == MP_AST_NAME ? rule->u.name.text : ck_source(t->ck, rule->span);
    line->rule = name;
    if (rule->kind == MP_AST_NAME && find_rule(t, name)) return ast->act.prep_count == 0;
    struct mp_diag *d = ck_error(t->ck, "E0501", rule->span, "there is no rule `%.*s` in this test",
                                 MP_STR_ARG(name));
    mp_str *names;
    uint32_t count = ck_test_names(t, 1u << CK_RULE, &names);
    if (ck_test_nearest(name, names, count, d).len == 0) {
        mp_diag_note(d, "rules of its own package and of those that it uses are alive");
    }
    return false;
}

static const struct mp_t_action_param *param_named(const struct ck_verb *verbs, mp_str name)
{
    for (; verbs != NULL; verbs = verbs->next) {
        const struct mp_t_action *a = verbs->action;
        for (uint32_t i = 0; a != NULL && i < a->param_count; i++) {
            if (mp_str_eq(a->params[i].name, name)) return &a->params[i];
        }
    }
    return NULL;
}

static struct mp_t_expr *any_constant(struct ck_test *t, const struct ck_verb *verbs, mp_str name,
                                      const struct mp_ast_expr *ast)
{
    const struct mp_t_action_param *last = param_named(verbs, name);
    struct mp_t_expr *e = ck_check(t->ck, &t->scope, ast, &last->types[0]);
    if (ck_bad(e)) return e;
    for (const struct ck_verb *v = verbs; v != NULL; v = v->next) {
        const struct ck_verb one = {.action = v->action};
        const struct mp_t_action_param *p = param_named(&one, name);
        for (uint32_t i = 0; p != NULL && i < p->type_count; i++) {
            struct mp_t_expr *fit = ck_try_coerce(t->ck, e, p->types[i]);
            if (fit != NULL && fit->kind == MP_TX_CONST) return fit;
        }
    }
    mp_str takes = ck_param_nouns(t->ck, last), is = ck_type_noun(t->ck, e->type);
    struct mp_diag *d = ck_error(t->ck, "E0501", ast->span, "`%.*s` never is %.*s",
                                 MP_STR_ARG(name),
                                 MP_STR_ARG(is));
    mp_diag_help(d, "it is %.*s, written out", MP_STR_ARG(takes));
    return ck_poison(t->ck, ast->span);
}

static bool add_expected(struct ck_test *t, const struct ck_verb *verbs, mp_str name,
                         struct mp_span span, const struct mp_ast_expr *value,
                         struct mp_t_test_line *line)
{
    if (param_named(verbs, name) == NULL) {
        ck_error(t->ck, "E0501", span, "`%.*s` has no `%.*s`", MP_STR_ARG(line->verb),
                 MP_STR_ARG(name));
        return false;
    }
    struct mp_t_expr *e = any_constant(t, verbs, name, value);
    line->args[line->arg_count++] = (struct mp_t_arg){name, e};
    return !ck_bad(e);
}

static bool expect_args(struct ck_test *t, const struct ck_verb *verbs,
                        const struct mp_ast_act *act,
                        struct mp_t_test_line *line)
{
    uint32_t room = 1;
    bool fine = true;
    for (uint32_t i = 0; i < act->prep_count; i++) room += 1 + act->preps[i].pair_count;
    line->args = CK_NEW(t->ck, struct mp_t_arg, room);
    for (uint32_t i = 0; i < act->prep_count; i++) {
        const struct mp_ast_prep *p = &act->preps[i];
        if (p->kind != MP_AST_PREP_WITH) {
            fine &= add_expected(t, verbs, mp_str_of(ck_prep_word(p->kind)), p->span, p->value,
                                 line);
        }
        for (uint32_t j = 0; j < p->pair_count; j++) {
            const struct mp_ast_pair *pair = &p->pairs[j];
            fine &= add_expected(t, verbs, ck_source(t->ck, pair->key.span), pair->span,
                                 pair->value, line);
        }
    }
    return fine;
}

/* A string names any entity with that key;
 * a bare name the kind of target, or the record at hand. */
static bool expect_target(struct ck_test *t, const struct mp_ast_expr *ast,
                          struct mp_t_test_line *line)
{
    if (ast == NULL) return true;
    if (ast->kind == MP_AST_STRING && ast->u.str.piece_count == 0) {
        line->target = ck_const_text(t->ck, ck_type(MP_TYPE_STRING), ast->u.str.value, ast->span);
        return true;
    }
    if (ast->kind == MP_AST_NAMED) {
        const struct mp_t_entity *said = ck_test_entity(t, ast);
        if (said == NULL) return false;
        line->target = ck_const_text(t->ck, ck_entity_type(said), ast->u.named.text.text,
                                     ast->span);
        return true;
    }
    line->signal = ck_record_at_hand(t->ck, t->file, ast);
    if (line->signal != NULL) return true;
    struct mp_t_expr *e = ck_check(t->ck, &t->scope, ast, NULL);
    if (ck_bad(e)) return false;
    if (e->kind == MP_TX_CONST) {
        line->target = e;
        return true;
    }
    struct mp_diag *d = ck_error(t->ck, "E0501", ast->span, "a test names its targets");
    mp_diag_help(d, "`\"web\"`, or `svc \"web\"`");
    return false;
}

/* `shadow throttle "web"`: a verb, and its target. */
static bool expect_shadow(struct ck_test *t, const struct mp_ast_line *ast,
                          struct mp_t_test_line *line)
{
    const struct mp_ast_expr *verb = ast->act.target;
    bool named = verb != NULL && verb->kind == MP_AST_NAMED;
    if (!named && (verb == NULL || verb->kind != MP_AST_NAME)) {
        struct mp_diag *d = ck_error(t->ck, "E0501", ast->act.span, "which action in the shadow?");
        mp_diag_help(d, "`expect shadow throttle \"web\" by 40s`");
        return false;
    }
    const struct mp_ast_name *name = named ? &verb->u.named.name : &verb->u.name;
    const struct ck_verb *verbs = ck_need_verb(t->ck, t->file, name->text, name->span);
    if (verbs == NULL) return false;
    line->verb = ck_printf(t->ck, "shadow %.*s", MP_STR_ARG(name->text));
    if (named) {
        line->target = ck_const_text(t->ck, ck_type(MP_TYPE_STRING), verb->u.named.text.text,
                                     verb->span);
    }
    return expect_args(t, verbs, &ast->act, line);
}

static void unknown_verb(struct ck_test *t, const struct mp_ast_name *verb)
{
    if (t->file->use_missing) return;
    struct mp_diag *d = ck_error(t->ck, "E0501", verb->span,
                                 "nothing is called `%.*s` that could happen",
                                 MP_STR_ARG(verb->text));
    uint32_t n = 0;
    mp_str *names = CK_NEW(t->ck, mp_str, t->ck->verbs.len + STATE_WORDS + 1);
    for (uint32_t i = 0; i < t->ck->verbs.len; i++)
        names[n++] = t->ck->verbs.ptr[i]->item->name.text;
    for (uint32_t i = 0; i < STATE_WORDS; i++) names[n++] = state_words[i];
    ck_test_nearest(verb->text, names, n, d);
}

bool ck_test_expect(struct ck_test *t, const struct mp_ast_line *ast, struct mp_t_test_line *line)
{
    static const enum mp_test_when whens[] = {
        [MP_AST_EXPECT_AT] = MP_TWHEN_AT, [MP_AST_EXPECT_BY] = MP_TWHEN_BY,
        [MP_AST_EXPECT_BEFORE] = MP_TWHEN_BEFORE, [MP_AST_EXPECT_EVER] = MP_TWHEN_EVER,
    };
    line->kind = MP_TLINE_EXPECT;
    line->negated = ast->negated;
    line->when = whens[ast->when];
    line->from_ns = ck_wait(t->ck, ast->at_ns, ast->span);
    line->verb = ast->act.verb.text;
    const struct ck_verb *verbs = ck_find_verb(t->ck, t->file, line->verb);
    if (verbs != NULL) {
        bool target = expect_target(t, ast->act.target, line);
        return expect_args(t, verbs, &ast->act, line) && target;
    }
    if (mp_str_eq(line->verb, MP_STR("shadow"))) return expect_shadow(t, ast, line);
    if (is_state(line->verb)) return expect_state(t, ast, line);
    unknown_verb(t, &ast->act.verb);
    return false;
}
