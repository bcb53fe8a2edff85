/* SPDX-License-Identifier: Apache-2.0
 * Rules: headers and trailers, kind, keys, and what each clause may be (language.md 4.4, 4.6).
 */
#include "check/check_items_priv.h"

/* A rule while it is checked. */
struct rule {
    struct ck *ck;
    struct ck_file *file;
    const struct mp_ast_item *item;
    const struct mp_ast_rule *ast;
    struct mp_t_rule *out;
    const struct mp_ast_clause *clause[MP_AST_IRREVERSIBLE + 1]; /* the first of each kind */
    uint32_t said_layers;              /* of `at`; 0: not said */
    struct ck_survey survey;           /* of `when` and `unless` */
    const struct mp_t_signal *answers; /* whose record an action answers; NULL: none does */
    const struct mp_ast_act *answer;   /* the first such action */
    const struct mp_ast_act *lease;    /* the first action that lasts */
    struct ck_facts facts;             /* of `when` and `unless` */
};

/* ---- headers and trailers ---- */

static const char *clause_word(enum mp_ast_clause_kind kind)
{
    switch (kind) {
    case MP_AST_AT: return "at";
    case MP_AST_MODE: return "mode";
    case MP_AST_PRIORITY: return "priority";
    case MP_AST_DURING: return "during";
    case MP_AST_UNTIL: return "until";
    case MP_AST_COOLDOWN: return "cooldown";
    case MP_AST_LIMIT: return "limit";
    case MP_AST_RAMP: return "ramp";
    case MP_AST_IF_NO_DATA: return "if no data";
    default: return "clause";
    }
}

static void read_clauses(struct rule *r, const struct mp_ast_clause *all, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct mp_ast_clause **first = &r->clause[all[i].kind];
        if (*first == NULL) {
            *first = &all[i];
            continue;
        }
        struct mp_diag *d = ck_error(r->ck, "E0105", all[i].span, "`%s` stands here twice",
                                     clause_word(all[i].kind));
        mp_diag_label(d, (*first)->span, "the first");
    }
}

static void read_at(struct rule *r)
{
    const struct mp_ast_clause *c = r->clause[MP_AST_AT];
    for (uint32_t i = 0; c != NULL && i < c->name_count; i++) {
        r->said_layers |= ck_hook_bit(r->ck, c->names[i].text, c->names[i].span);
    }
}

static void read_mode(struct rule *r)
{
    const struct mp_ast_clause *c = r->clause[MP_AST_MODE];
    if (c == NULL) return;
    bool canary = mp_str_eq(c->name.text, MP_STR("canary"));
    if (canary) {
        ck_refuse(r->ck, "mode canary", c->span);
    } else if (mp_str_eq(c->name.text, MP_STR("shadow"))) {
        r->out->mode = MP_MODE_SHADOW;
    } else if (!mp_str_eq(c->name.text, MP_STR("enforce"))) {
        struct mp_diag *d = ck_error(r->ck, "E0101", c->name.span, "there is no mode `%.*s`",
                                     MP_STR_ARG(c->name.text));
        mp_diag_help(d, "modes are `enforce`, `shadow` and `canary 10%%`");
        return;
    }
    if (c->has_percent == canary) return;
    struct mp_diag *d = ck_error(r->ck, "E0105", c->span,
                                 canary ? "`mode %.*s` needs a share of the keys"
                                                                 : "`mode %.*s` takes no share",
                                 MP_STR_ARG(c->name.text));
    if (canary) mp_diag_help(d, "`mode canary 10%%`");
}

static void read_during(struct rule *r)
{
    const struct mp_ast_clause *c = r->clause[MP_AST_DURING];
    if (c == NULL) return;
    ck_need(r->ck, r->file, c->name.text, c->name.span, 1u << CK_CALENDAR, "calendar");
    ck_refuse(r->ck, "during", c->span);
}

static bool has_meaning(mp_str name)
{
    return mp_str_eq(name, MP_STR("min_samples")) || mp_str_eq(name, MP_STR("panes")) ||
           mp_str_eq(name, MP_STR("always")) || mp_str_eq(name, MP_STR("approve"));
}

static void read_label(struct rule *r, const struct mp_ast_annot *a)
{
    if (mp_str_eq(a->name.text, MP_STR("approve"))) {
        ck_refuse(r->ck, "@approve", a->span);
        return;
    }
    if (has_meaning(a->name.text)) {
        struct mp_diag *d = ck_error(r->ck, "E0112", a->span, "`@%.*s` says nothing about a rule",
                                     MP_STR_ARG(a->name.text));
        mp_diag_help(d, "it stands before a `%s`",
                     mp_str_eq(a->name.text, MP_STR("always")) ? "signal" : "def");
        return;
    }
    if (mp_str_eq(a->name.text, MP_STR("fail")) && mp_str_eq(a->value.text, MP_STR("closed"))) {
        r->out->flags |= MP_RULE_FAIL_CLOSED;
    }
    uint32_t i = r->out->label_count++;
    r->out->labels[i].name = a->name.text;
    r->out->labels[i].value = a->value.text;
}

static void read_labels(struct rule *r)
{
    uint32_t count = r->item->annot_count;
    if (count == 0) return;
    r->out->labels = ck_alloc(r->ck, count, sizeof *r->out->labels, _Alignof(mp_str));
    for (uint32_t i = 0; i < count; i++) read_label(r, &r->item->annots[i]);
}

static void read_headers(struct rule *r)
{
    read_clauses(r, r->ast->headers, r->ast->header_count);
    read_clauses(r, r->ast->trailers, r->ast->trailer_count);
    read_at(r);
    read_mode(r);
    read_during(r);
    read_labels(r);
    if (r->clause[MP_AST_PRIORITY] != NULL) {
        r->out->priority = r->clause[MP_AST_PRIORITY]->number.value;
    }
}

/* ---- the name of a rule without one ---- */

static void name_by_digest(struct rule *r)
{
    const struct mp_os *os = r->ck->options == NULL ? NULL : r->ck->options->os;
    struct mp_buf b;
    mp_buf_init(&b, r->ck->perm);
    mp_ast_print_when(&b, r->ast);
    r->out->canonical_when = ck_buf_text(r->ck, &b);
    if (r->item->name.text.ptr != NULL) return;
    r->out->flags |= MP_RULE_ANONYMOUS;
    uint8_t digest[32];
    mp_str text = r->out->canonical_when;
    if (os == NULL || os->digest == NULL || os->digest(os->ctx, text.ptr, text.len,
                                                       digest) != MP_OK) {
        ck_refuse(r->ck, "a rule without a name, where no digest is at hand", r->item->span);
        return;
    }
    r->out->name = ck_printf(r->ck, "when_%02x%02x%02x%02x", digest[0], digest[1], digest[2],
                             digest[3]);
}

/* ---- what kind of rule it is, by its words ---- */

static void survey_actions(struct rule *r)
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

/* The first clause that only a loop rule can have; *word says which. */
static bool loop_clause(const struct rule *r, struct mp_span *span, const char **word)
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
        *word = clause_word(trailers[i]);
    }
    return span->file != 0;
}

static bool is_loop(const struct rule *r)
{
    struct mp_span span;
    const char *word;
    if (r->answer != NULL) return false;
    if (r->survey.keys != NULL || r->survey.raw || r->lease != NULL) return true;
    return r->ast->per.count > 0 || loop_clause(r, &span, &word);
}

/* ---- what its words name: entities, and fields of records ---- */

struct named {
    struct mp_ast_key *keys;
    uint32_t count, room;
};

static bool same_key(const struct mp_ast_key *a, const struct mp_ast_key *b)
{
    if (a->path.count != b->path.count || !mp_str_eq(a->entry.text, b->entry.text)) return false;
    for (uint32_t i = 0; i < a->path.count; i++) {
        if (!mp_str_eq(a->path.parts[i].text, b->path.parts[i].text)) return false;
    }
    return true;
}

static void add_named(struct ck *ck, struct named *all, const struct mp_ast_key *key)
{
    for (uint32_t i = 0; i < all->count; i++) {
        if (same_key(&all->keys[i], key)) return;
    }
    if (all->count == all->room) {
        uint32_t room = all->room * 2 + 4;
        struct mp_ast_key *more = CK_NEW(ck, struct mp_ast_key, room);
        if (all->count > 0) memcpy(more, all->keys, all->count * sizeof *more);
        all->keys = more;
        all->room = room;
    }
    all->keys[all->count++] = *key;
}

/* The root of a chain of dots and indices, and how many names hang on it. */
static const struct mp_ast_expr *root_of(const struct mp_ast_expr *e, uint32_t *names)
{
    *names = 1;
    while (e->kind == MP_AST_DOT || e->kind == MP_AST_INDEX) {
        if (e->kind == MP_AST_DOT) (*names)++;
        e = e->kid[0];
    }
    return e->kind == MP_AST_NAME ? e : NULL;
}

static void key_of_chain(struct ck *ck, struct ck_file *file, const struct mp_ast_expr *e,
                         struct named *all)
{
    uint32_t names;
    const struct mp_ast_expr *root = root_of(e, &names);
    if (root == NULL) return;
    struct ck_sym *sym = ck_find(ck, file, root->u.name.text, (struct mp_span){0});
    if (sym == NULL || (sym->kind != CK_ENTITY && sym->kind != CK_SIGNAL)) return;
    if (sym->kind == CK_SIGNAL && names < 2) return;
    if (sym->kind == CK_ENTITY) names = 1;
    struct mp_ast_key key = {.span = e->span};
    key.path.parts = CK_NEW(ck, struct mp_ast_name, names);
    key.path.count = names;
    key.path.span = e->span;
    for (const struct mp_ast_expr *at = e; at != root; at = at->kid[0]) {
        bool last_index = at == e && at->kind == MP_AST_INDEX && at->kid[1]->kind == MP_AST_STRING;
        if (last_index && sym->kind == CK_SIGNAL) key.entry.text = at->kid[1]->u.str.value;
        if (at->kind == MP_AST_DOT && names > 1) key.path.parts[--names] = at->u.name;
    }
    key.path.parts[0] = root->u.name;
    add_named(ck, all, &key);
}

static void name_all(struct ck *ck, struct ck_file *file, const struct mp_ast_expr *e,
                     struct named *all)
{
    if (e == NULL) return;
    switch (e->kind) {
    case MP_AST_NAME:
    case MP_AST_DOT:
    case MP_AST_INDEX: key_of_chain(ck, file, e, all); return;
    case MP_AST_CALL: /* inside aggregates names belong to the records there */ return;
    case MP_AST_OF: name_all(ck, file, e->kid[1], all); return;
    case MP_AST_STRING:
        for (uint32_t i = 0; i < e->u.str.piece_count; i++) {
            name_all(ck, file, e->u.str.pieces[i].hole, all);
        }
        return;
    case MP_AST_SET:
        for (uint32_t i = 0; i < e->u.set.count; i++) name_all(ck, file, e->u.set.items[i], all);
        return;
    default: break;
    }
    for (int i = 0; i < 3; i++) name_all(ck, file, e->kid[i], all);
}

static void name_act(struct rule *r, const struct mp_ast_act *act, struct named *all)
{
    name_all(r->ck, r->file, act->target, all);
    for (uint32_t i = 0; i < act->prep_count; i++) {
        const struct mp_ast_prep *p = &act->preps[i];
        name_all(r->ck, r->file, p->value, all);
        for (uint32_t j = 0; j < p->pair_count; j++) {
            name_all(r->ck, r->file, p->pairs[j].value, all);
        }
    }
}

static struct named named_in_actions(struct rule *r)
{
    struct named all = {0};
    for (uint32_t s = 0; s < r->ast->step_count; s++) {
        for (uint32_t i = 0; i < r->ast->steps[s].act_count; i++) {
            name_act(r, &r->ast->steps[s].acts[i], &all);
        }
    }
    return all;
}

static const struct mp_t_keys *keys_named(struct rule *r, const struct named *all)
{
    if (all->count == 0) return ck_keys_entity(r->ck, NULL);
    const struct mp_ast_per per = {.keys = all->keys, .count = all->count, .span = r->item->span};
    return ck_keys_of(r->ck, r->file, &per);
}

/* ---- records ---- */

static bool is_visible(const struct ck_file *file, const struct ck_package *package)
{
    if (file->package == package) return true;
    for (uint32_t i = 0; i < file->use_count; i++) {
        if (file->uses[i].package == package) return true;
    }
    return false;
}

static bool finds_all(struct ck *ck, const struct mp_t_signal *signal, const struct mp_t_keys *keys)
{
    for (uint32_t i = 0; keys != NULL && i < keys->count; i++) {
        if (ck_record_key(ck, signal, &keys->keys[i]) == NULL) return false;
    }
    return true;
}

/* A rule that names no record speaks of the first signal in the vocabulary whose records have all that
 * it names. */
static const struct mp_t_signal *first_signal(struct rule *r, const struct mp_t_keys *keys)
{
    for (uint32_t i = 0; i < r->ck->syms.len; i++) {
        struct ck_sym *sym = r->ck->syms.ptr[i];
        if (sym->kind != CK_SIGNAL || sym->is_alias || !is_visible(r->file,
                                                                   sym->file->package)) continue;
        const struct mp_t_signal *signal = ck_signal_of(r->ck, sym);
        if (signal == NULL || signal->kind != MP_SIGNAL_EVENT) continue;
        if (finds_all(r->ck, signal, keys)) return signal;
    }
    return NULL;
}

static void refuse_second_record(struct rule *r)
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

static struct ck_scope scope_of(const struct rule *r, enum ck_place place)
{
    const struct mp_t_rule *out = r->out;
    bool loop = out->kind == MP_RULE_LOOP;
    bool at_hand = !loop || place == CK_IN_WHEN || place == CK_IN_UNLESS;
    return ck_scope_of(r->file, place, loop ? out->keys : NULL, at_hand ? out->signal : NULL,
                       out->layers);
}

static struct mp_t_held check_held(struct rule *r, enum ck_place place,
                                   const struct mp_ast_held *ast)
{
    struct ck_scope s = scope_of(r, place);
    return ck_check_held(r->ck, &s, ast);
}

static void check_sequence(struct rule *r)
{
    if (r->ast->follow_count == 0) return;
    struct ck_scope s = scope_of(r, CK_IN_WHEN);
    for (uint32_t i = 0; i < r->ast->follow_count; i++) {
        const struct mp_ast_follow *f = &r->ast->follows[i];
        ck_check_cond(r->ck, &s, f->cond);
        ck_duration(r->ck, &s, &f->within);
    }
    ck_refuse(r->ck, "followed by", r->ast->follows[0].span);
}

static void check_conditions(struct rule *r)
{
    struct mp_t_rule *out = r->out;
    out->when = check_held(r, CK_IN_WHEN, &r->ast->when);
    check_sequence(r);
    out->has_unless = r->ast->unless.cond != NULL;
    if (out->has_unless) out->unless = check_held(r, CK_IN_UNLESS, &r->ast->unless);
    ck_gather_facts(out->when.cond, &r->facts);
    if (out->has_unless) ck_gather_facts(out->unless.cond, &r->facts);
}

/* ---- inline rules ---- */

static mp_str record_word(const struct rule *r) { return ck_signal_record_word(r->out->signal); }

static void answer_label(struct rule *r, struct mp_diag *d)
{
    if (r->answer == NULL) return;
    mp_diag_label(d, r->answer->span, "answers the %.*s before it goes on",
                  MP_STR_ARG(record_word(r)));
}

static void refuse_clause(struct rule *r, struct mp_span span, const char *word)
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

static const struct mp_t_expr *written_in_conditions(const struct rule *r,
                                                     const struct mp_t_expr *part)
{
    const struct mp_t_expr *found = as_written(r->out->when.cond, part);
    if (found == NULL && r->out->has_unless) found = as_written(r->out->unless.cond, part);
    return found != NULL ? found : part;
}

static void refuse_window(struct rule *r)
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

static void refuse_lease(struct rule *r)
{
    struct mp_diag *d = ck_error(r->ck, "E0402", r->lease->span,
                                 "an action that lasts cannot stand beside one on the %.*s",
                                 MP_STR_ARG(record_word(r)));
    answer_label(r, d);
    mp_diag_help(d, "make two rules of it");
}

static bool has_bucket(const struct rule *r)
{
    for (uint32_t i = 0; i < r->out->step_count; i++) {
        for (uint32_t j = 0; j < r->out->steps[i].act_count; j++) {
            const struct mp_t_act *a = &r->out->steps[i].acts[j];
            if (a->target_kind == MP_TARGET_RECORD &&
                a->action->class == MP_CLASS_RATE) return true;
        }
    }
    return false;
}

static void check_buckets(struct rule *r)
{
    struct mp_t_rule *out = r->out;
    if (has_bucket(r)) {
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
static void refuse_late_answer(struct rule *r)
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
        mp_diag_help(d,
                     "send a message here, or count such records in a loop rule and act on who asks");
        return;
    }
}

/* ---- steps ---- */

static bool check_act(struct rule *r, const struct mp_ast_act *ast, struct mp_t_step *step)
{
    const struct ck_scope s = scope_of(r, CK_IN_ACTION);
    uint32_t layers = r->out->kind == MP_RULE_LOOP ? r->said_layers : r->out->layers;
    const struct ck_act_place place = {&s, layers, r->out->kind};
    return ck_check_act(r->ck, &place, ast, &step->acts[step->act_count]);
}

static void check_rollback(struct rule *r, uint32_t i, const struct mp_ast_act *ast)
{
    struct ck *ck = r->ck;
    if (ast->target != NULL) {
        struct mp_diag *d = ck_error(ck, "E0401", ast->target->span, "`rollback` has no operand");
        mp_diag_note(d, "it undoes all that this rule did for the key");
    }
    ck_no_arguments(ck, ast, "`rollback`");
    if (i > 0) return;
    struct mp_diag *d = ck_error(ck, "E0402", ast->span, "there is nothing to roll back yet");
    mp_diag_help(d, "`rollback` stands behind an `else`");
}

static void check_acts(struct rule *r, uint32_t i, struct mp_t_step *step)
{
    const struct mp_ast_step *ast = &r->ast->steps[i];
    step->acts = CK_NEW(r->ck, struct mp_t_act, ast->act_count);
    step->messages_only = true;
    for (uint32_t a = 0; a < ast->act_count; a++) {
        if (ck_is_rollback(&ast->acts[a])) {
            check_rollback(r, i, &ast->acts[a]);
            step->rollback = true;
            step->messages_only = false;
        } else if (check_act(r, &ast->acts[a], step)) {
            if (step->acts[step->act_count].target_kind == MP_TARGET_LEASE) step->messages_only = false;
            step->act_count++;
        } else {
            step->messages_only = false; /* nobody knows what it was meant to be */
        }
    }
}

static void check_time_to_live(struct rule *r, const struct mp_t_step *step)
{
    int64_t needed = step->settle_ns + step->within_ns;
    for (uint32_t i = 0; i < step->act_count; i++) {
        const struct mp_t_act *a = &step->acts[i];
        if (a->target_kind != MP_TARGET_LEASE || a->duration_ns == 0) continue;
        if (a->duration_ns >= needed) continue;
        struct mp_buf has, wants;
        mp_buf_init(&has, r->ck->perm);
        mp_buf_init(&wants, r->ck->perm);
        mp_value_print(&has, MP_TYPE_DURATION, mp_value_int(a->duration_ns));
        mp_value_print(&wants, MP_TYPE_DURATION, mp_value_int(needed));
        mp_str ttl = ck_buf_text(r->ck, &has), need = ck_buf_text(r->ck, &wants);
        struct mp_diag *d = ck_error(r->ck, "E0604", a->span,
                                     "the action may end before its check is done");
        mp_diag_label(d, a->span, "lasts %.*s", MP_STR_ARG(ttl));
        mp_diag_label(d, step->verify.span, "takes up to %.*s, settle and within",
                      MP_STR_ARG(need));
        mp_diag_help(d, "`for %.*s` or longer", MP_STR_ARG(need));
        return;
    }
}

static void check_verify(struct rule *r, const struct mp_ast_verify *ast, struct mp_t_step *step)
{
    struct ck_scope s = scope_of(r, CK_IN_VERIFY);
    step->has_verify = true;
    step->verify = check_held(r, CK_IN_VERIFY, &ast->held);
    step->within_ns = ck_duration(r->ck, &s, &ast->within);
    if (ast->settle.span.file != 0) step->settle_ns = ck_duration(r->ck, &s, &ast->settle);
    step->has_harm = ast->harm.cond != NULL;
    if (step->has_harm) step->harm = check_held(r, CK_IN_HARM, &ast->harm);
    if (step->rollback || step->messages_only) {
        struct mp_diag *d = ck_error(r->ck, "E0402", ast->span,
                                     "this step changes nothing that a `verify` "
                                                               "could look at");
        mp_diag_help(d,
                     "a check begins when an action is in force; `rollback` and messages never are");
        return;
    }
    check_time_to_live(r, step);
    ck_check_answerable(r->ck, step);
}

static void check_steps(struct rule *r)
{
    struct mp_t_rule *out = r->out;
    out->steps = CK_NEW(r->ck, struct mp_t_step, r->ast->step_count);
    out->step_count = r->ast->step_count;
    for (uint32_t i = 0; i < r->ast->step_count; i++) {
        struct mp_t_step *step = &out->steps[i];
        step->span = r->ast->steps[i].span;
        check_acts(r, i, step);
        if (r->ast->steps[i].verify == NULL) continue;
        if (out->kind == MP_RULE_LOOP) check_verify(r, r->ast->steps[i].verify, step);
    }
    for (uint32_t i = 0; i < out->steps[0].act_count; i++) {
        if (ck_denies(out->steps[0].acts[i].action)) out->flags |= MP_RULE_DENIES_FIRST;
    }
}

/* ---- trailers ---- */

static const struct mp_t_act *first_lease(const struct mp_t_rule *out)
{
    for (uint32_t s = 0; s < out->step_count; s++) {
        for (uint32_t a = 0; a < out->steps[s].act_count; a++) {
            if (out->steps[s].acts[a].target_kind == MP_TARGET_LEASE) return &out->steps[s].acts[a];
        }
    }
    return NULL;
}

static void need_lease(struct rule *r, const struct mp_ast_clause *c)
{
    if (r->lease != NULL || first_lease(r->out) != NULL) return;
    struct mp_diag *d = ck_error(r->ck, "E0402", c->span,
                                 "`%s` is about actions that last; this rule has none",
                                 clause_word(c->kind));
    mp_diag_note(d, "a message cannot be taken back, nor counted among what is in force");
}

static void check_until(struct rule *r)
{
    const struct mp_ast_clause *c = r->clause[MP_AST_UNTIL];
    if (c == NULL) return;
    r->out->has_until = true;
    r->out->until = check_held(r, CK_IN_UNTIL, c->held);
}

static void check_limit(struct rule *r)
{
    const struct mp_ast_clause *c = r->clause[MP_AST_LIMIT];
    if (c == NULL) return;
    const struct mp_t_act *lease = first_lease(r->out);
    need_lease(r, c);
    struct mp_t_type target = lease == NULL ? ck_type(MP_TYPE_NONE) : lease->target_type;
    r->out->limit = ck_check_quota(r->ck, r->file, c->quota, target);
}

static void refuse_ramp(struct rule *r, const struct mp_ast_clause *c, const struct mp_t_act *a)
{
    struct mp_diag *d = ck_error(r->ck, "E0407", c->span,
                                 "`%.*s` cannot be taken back step by step",
                                 MP_STR_ARG(a->action->name));
    mp_diag_label(d, a->span, "is in force or is not");
    mp_diag_help(d, "leave out `ramp`: the action then ends at once");
}

static void check_ramp(struct rule *r)
{
    const struct mp_ast_clause *c = r->clause[MP_AST_RAMP];
    if (c == NULL) return;
    struct ck_scope s = scope_of(r, CK_IN_UNTIL);
    r->out->ramp = c->percent;
    r->out->ramp_every_ns = ck_duration(r->ck, &s, &c->dur);
    need_lease(r, c);
    if (!(c->percent > 0 && c->percent <= 1)) {
        ck_error(r->ck, "E0306", c->span,
                 "a ramp goes in steps of more than 0%% and at most 100%%");
    }
    for (uint32_t i = 0; i < r->out->step_count; i++) {
        for (uint32_t j = 0; j < r->out->steps[i].act_count; j++) {
            const struct mp_t_act *a = &r->out->steps[i].acts[j];
            if (a->target_kind != MP_TARGET_LEASE || a->action->partial) continue;
            refuse_ramp(r, c, a);
            return;
        }
    }
}

static void check_no_data(struct rule *r)
{
    const struct mp_ast_clause *c = r->clause[MP_AST_IF_NO_DATA];
    if (c == NULL) return;
    for (uint32_t i = 0; i < MP_NODATA_COUNT; i++) {
        if (!mp_str_eq(mp_no_data_word(i), c->name.text)) continue;
        r->out->no_data = (enum mp_no_data)i;
        return;
    }
    struct mp_diag *d = ck_error(r->ck, "E0101", c->name.span, "without data a rule cannot `%.*s`",
                                 MP_STR_ARG(c->name.text));
    mp_diag_help(d, "it can `hold`, `fire` or `clear`");
}

static void check_trailers(struct rule *r)
{
    struct ck_scope s = scope_of(r, CK_IN_UNTIL);
    check_until(r);
    if (r->clause[MP_AST_COOLDOWN] != NULL) {
        r->out->cooldown_ns = ck_duration(r->ck, &s, &r->clause[MP_AST_COOLDOWN]->dur);
    }
    check_limit(r);
    check_ramp(r);
    check_no_data(r);
}

/* ---- the kinds ---- */

static void check_inline(struct rule *r)
{
    struct mp_t_rule *out = r->out;
    struct mp_span span;
    const char *word;
    out->layers = r->said_layers != 0 ? r->said_layers : MP_LAYER_ALL;
    check_conditions(r);
    if (loop_clause(r, &span, &word)) refuse_clause(r, span, word);
    if (r->facts.window != NULL) refuse_window(r);
    check_steps(r);
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

static void refuse_instant_hold(struct rule *r)
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
static bool is_instant(const struct rule *r)
{
    if (r->facts.record != NULL) return true;
    if (r->facts.window != NULL || r->facts.seen != NULL || r->facts.published) return false;
    return r->facts.row != NULL;
}

static void check_loop(struct rule *r)
{
    struct mp_t_rule *out = r->out;
    struct named named = {0};
    out->kind = MP_RULE_LOOP;
    out->layers = r->said_layers != 0 ? r->said_layers : MP_LAYER_SERVICE;
    out->signal = r->survey.record;
    if (r->ast->per.count > 0) {
        out->keys = ck_keys_of(r->ck, r->file, &r->ast->per);
    } else {
        bool reads = r->survey.keys != NULL || r->survey.raw;
        if (!reads) named = named_in_actions(r);
        out->keys = ck_infer_keys(r->ck, &r->survey, reads ? NULL : keys_named(r, &named));
    }
    if (out->keys == NULL) return;
    check_conditions(r);
    if (is_instant(r)) {
        out->flags |= MP_RULE_INSTANT;
        if (out->signal == NULL) out->signal = first_signal(r, out->keys);
        bool held = r->ast->when.hold.span.file != 0;
        if (held && out->signal != NULL && !ck_bad(out->when.cond)) refuse_instant_hold(r);
    }
    check_steps(r);
    check_trailers(r);
    if (r->facts.silence != NULL ||
        out->no_data == MP_NODATA_FIRE) out->flags |= MP_RULE_ON_SILENCE;
}

static const struct mp_t_signal *record_of_inline(struct rule *r)
{
    if (r->answers != NULL) return r->answers;
    if (r->survey.record != NULL) return r->survey.record;
    struct named named = named_in_actions(r);
    name_all(r->ck, r->file, r->ast->when.cond, &named);
    name_all(r->ck, r->file, r->ast->unless.cond, &named);
    if (named.count == 0) return NULL; /* it reads no record at all: a rule of the mesh */
    const struct mp_t_keys *keys = keys_named(r, &named);
    return keys == NULL ? NULL : first_signal(r, keys);
}

void ck_check_rule(struct ck *ck, struct ck_file *file, const struct mp_ast_item *item)
{
    struct rule r = {.ck = ck, .file = file, .item = item, .ast = &item->u.rule};
    uint32_t errors_before = ck->sink->error_count;
    r.out = CK_NEW(ck, struct mp_t_rule, 1);
    r.out->package = file->package->name;
    r.out->name = item->name.text;
    r.out->doc = item->u.rule.doc.text;
    r.out->span = item->name.text.ptr != NULL ? item->name.span : r.ast->when.span;
    read_headers(&r);
    name_by_digest(&r);
    ck_survey(ck, file, r.ast->when.cond, &r.survey);
    for (uint32_t i = 0; i < r.ast->follow_count; i++) {
        ck_survey(ck, file, r.ast->follows[i].cond, &r.survey);
    }
    if (r.ast->unless.cond != NULL) ck_survey(ck, file, r.ast->unless.cond, &r.survey);
    survey_actions(&r);
    refuse_second_record(&r);
    if (!is_loop(&r)) r.out->signal = record_of_inline(&r);
    if (r.out->signal != NULL) {
        check_inline(&r);
    } else {
        check_loop(&r);
    }
    if (ck->sink->error_count == errors_before) *CK_PUSH(ck, &ck->out->rules) = r.out;
}
