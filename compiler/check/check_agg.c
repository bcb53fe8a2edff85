/* SPDX-License-Identifier: Apache-2.0
 * Aggregates over records, counts of members, and gauges (language.md 4.5, R3, R7, R8, R9, R14).
 */
#include "check/check_expr_priv.h"

/* LIMIT: definitions looked through for the signal that an argument speaks of. */
#define LOOK_DEPTH_MAX 8

mp_str ck_signal_record_word(const struct mp_t_signal *signal)
{
    return signal->alias.len > 0 ? signal->alias : signal->name;
}

/* ---- whose records ---- */

const struct mp_t_signal *ck_signal_in(struct ck *ck, const struct ck_file *file,
                                       const struct mp_ast_expr *ast, uint32_t depth)
{
    if (ast == NULL || depth > LOOK_DEPTH_MAX) return NULL;
    const struct mp_t_signal *found = NULL;
    if (ast->kind == MP_AST_NAME || (ast->kind == MP_AST_CALL)) {
        mp_str name = ast->kind == MP_AST_NAME ? ast->u.name.text : ast->u.call.name.text;
        struct ck_sym *sym = ck_find(ck, file, name, (struct mp_span){0});
        if (sym != NULL && sym->kind == CK_SIGNAL) return sym->u.signal;
        bool macro = sym != NULL && sym->kind == CK_DEF && sym->item->u.def.per.count == 0;
        if (macro) found = ck_signal_in(ck, sym->file, sym->item->u.def.body, depth + 1);
    }
    if (ast->kind == MP_AST_DOT && ast->kid[0]->kind == MP_AST_NAME) {
        const struct ck_package *p = ck_find_alias(file, ast->kid[0]->u.name.text);
        struct ck_sym *sym = p == NULL ? NULL : ck_find_in(ck, p, ast->u.name.text);
        if (sym != NULL && sym->kind == CK_SIGNAL) return sym->u.signal;
    }
    if (ast->kind == MP_AST_CALL) {
        for (uint32_t i = 0; found == NULL && i < ast->u.call.arg_count; i++) {
            found = ck_signal_in(ck, file, ast->u.call.args[i].value, depth);
        }
    }
    for (int i = 0; found == NULL && i < 3; i++) found = ck_signal_in(ck, file, ast->kid[i], depth);
    return found;
}

static bool names_signal(struct ck *ck, const struct ck_file *file, const struct mp_ast_expr *ast)
{
    if (ast->kind == MP_AST_NAME) {
        struct ck_sym *sym = ck_find(ck, file, ast->u.name.text, (struct mp_span){0});
        return sym != NULL && sym->kind == CK_SIGNAL;
    }
    if (ast->kind == MP_AST_DOT && ast->kid[0]->kind == MP_AST_NAME) {
        const struct ck_package *p = ck_find_alias(file, ast->kid[0]->u.name.text);
        struct ck_sym *sym = p == NULL ? NULL : ck_find_in(ck, p, ast->u.name.text);
        return sym != NULL && sym->kind == CK_SIGNAL;
    }
    return false;
}

/* ---- the aggregate ---- */

static uint32_t panes_of(const struct ck_scope *s, enum mp_agg kind, const struct mp_t_keys *keys)
{
    if (s->panes > 0) return s->panes;
    if (kind == MP_AGG_QUANTILE || kind == MP_AGG_DISTINCT) return 6;
    return keys->cap <= 10000 ? 60 : 8; /* R3 */
}

static void offer_keys(struct ck *ck, struct mp_diag *d, const struct mp_t_signal *signal)
{
    struct mp_buf b;
    mp_buf_init(&b, ck->perm);
    for (uint32_t i = 0; i < signal->key_count; i++) {
        mp_str word = ck_entity_word(signal->keys[i]);
        mp_buf_printf(&b, "`per %.*s`, ", MP_STR_ARG(word));
    }
    mp_str text = ck_buf_text(ck, &b);
    ck_help(d, "%.*sor `per mesh` for all of them together", MP_STR_ARG(text));
}

void ck_whose_count(struct ck *ck, const struct mp_t_signal *signal, struct mp_span span)
{
    mp_str keys = ck_signal_keys_text(ck, signal);
    struct mp_diag *d = ck_error(ck, "E0210", span, "`%.*s` is per %.*s: whose count is this?",
                                 MP_STR_ARG(signal->name), MP_STR_ARG(keys));
    offer_keys(ck, d, signal);
}

/* By what the aggregate is cut; NULL with an error, or silently where the scope does not know. */
static const struct mp_t_keys *cut_by(struct ck *ck, const struct ck_scope *s,
                                      const struct mp_t_signal *signal,
                                      struct mp_span span)
{
    const struct mp_t_keys *keys = s->keys;
    if (s->of != NULL) keys = ck_keys_entity(ck, s->of->type.entity);
    if (keys == NULL) {
        if (s->lenient || signal->key_count <= 1) return ck_keys_signal(ck, signal);
        ck_whose_count(ck, signal, span);
        return NULL;
    }
    for (uint32_t i = 0; i < keys->count; i++) {
        if (ck_record_key(ck, signal, &keys->keys[i]) != NULL) continue;
        mp_str of_signal = ck_signal_keys_text(ck, signal);
        struct mp_diag *d = ck_error(ck, "E0212", span, "a record of `%.*s` has no `%.*s`",
                                     MP_STR_ARG(signal->name), MP_STR_ARG(keys->keys[i].name));
        ck_note(d, "`%.*s` is per %.*s", MP_STR_ARG(signal->name), MP_STR_ARG(of_signal));
        return NULL;
    }
    return keys;
}

static bool needs_window(enum mp_agg kind) { return kind != MP_AGG_SEEN && kind != MP_AGG_LAST; }

static struct mp_t_expr *no_window(struct ck *ck, const struct mp_t_signal *signal,
                                   struct mp_span span)
{
    mp_str text = ck_source(ck, span);
    struct mp_diag *d = ck_error(ck, "E0303", span, "over how much time?");
    ck_note(d, "`%.*s` goes on for ever, and a window that nobody wrote would be a guess",
            MP_STR_ARG(signal->name));
    mp_diag_fix(d, mp_span_after(span), MP_STR(" over 1m"), "`%.*s over 1m`", MP_STR_ARG(text));
    return ck_poison(ck, span);
}

static uint32_t layers_of(const struct ck_scope *s, const struct mp_t_signal *signal)
{
    const struct mp_t_field *layer = ck_field(signal, MP_STR("layer"));
    return layer != NULL && layer->type.base == MP_TYPE_HOOK ? s->layers : MP_LAYER_ALL; /* R7 */
}

static struct mp_t_expr *make_agg(struct ck *ck, const struct ck_scope *s, struct mp_t_agg made,
                                  enum mp_type type, struct mp_span span)
{
    const struct mp_t_signal *signal = made.signal;
    const struct mp_t_keys *keys = cut_by(ck, s, signal, span);
    if (needs_window(made.kind) && s->window_ns == 0 && !s->open_window) return no_window(ck,
                                                                                          signal,
                                                                                              span);
    if (keys == NULL) return ck_poison(ck, span);
    struct mp_t_agg *agg = CK_NEW(ck, struct mp_t_agg, 1);
    *agg = made;
    agg->layers = layers_of(s, signal);
    agg->keys = keys;
    agg->at = s->at != NULL && s->of == NULL ? s->at : ck_identity_walks(ck, keys);
    agg->of_set = s->of;
    agg->published = s->published;
    agg->min_samples = s->min_samples > 0 ? s->min_samples : 1;
    if (needs_window(made.kind)) {
        agg->window_ns = s->window_ns;
        agg->panes = panes_of(s, made.kind, keys);
    }
    struct mp_t_expr *e = ck_expr(ck, MP_TX_AGG, ck_type(type), span);
    e->agg = agg;
    e->may_be_unknown = made.kind != MP_AGG_SEEN;
    return e;
}

/* ---- arguments ---- */

static struct ck_scope record_scope(const struct ck_scope *s, const struct mp_t_signal *signal)
{
    struct ck_scope inner = *s;
    inner.record = signal;
    inner.bare = true;
    inner.member = NULL;
    inner.member_name = MP_STR("");
    inner.window_ns = 0;
    inner.of = NULL;
    return inner;
}

/* What is counted may speak of the record and of its entities, but not of windows or of the row. */
static bool is_of_record(struct ck *ck, const struct mp_t_expr *e)
{
    if (e == NULL || ck_bad(e)) return true;
    struct ck_facts facts = {.window = NULL};
    ck_gather_facts(e, &facts);
    const struct mp_t_expr *wrong = facts.window != NULL ? facts.window
                                    : facts.held != NULL ? facts.held
                                                         : facts.row;
    if (wrong == NULL) return true;
    mp_str text = ck_source(ck, wrong->span);
    struct mp_diag *d = ck_error(ck, "E0302", e->span,
                                 "what is counted here is one record, and `%.*s` is more than that",
                                 MP_STR_ARG(text));
    ck_help(d, "compare the aggregates with each other instead");
    return false;
}

static struct mp_t_expr *check_where(struct ck *ck, const struct ck_scope *record,
                                     const struct mp_ast_arg *arg)
{
    if (arg->where == NULL) return NULL;
    struct mp_t_expr *where = ck_check_cond(ck, record, arg->where);
    return is_of_record(ck, where) ? where : ck_poison(ck, arg->where->span);
}

/* NULL where the argument is the records themselves. */
static struct mp_t_expr *check_value(struct ck *ck, const struct ck_scope *record,
                                     const struct mp_t_signal *signal,
                                     const struct mp_ast_arg *arg)
{
    if (names_signal(ck, record->file, arg->value)) {
        if (signal->kind == MP_SIGNAL_EVENT) return NULL;
        return ck_walk_expr(ck, ck_walk_field(ck, &signal->fields[0], (mp_str){NULL, 0}),
                            arg->value->span);
    }
    struct mp_t_expr *value = ck_check(ck, record, arg->value, NULL);
    return is_of_record(ck, value) ? value : ck_poison(ck, arg->value->span);
}

static struct mp_t_expr *wrong_value(struct ck *ck, const struct mp_ast_expr *call,
                                     const struct mp_t_expr *value)
{
    mp_str word = call->u.call.name.text, noun = ck_type_noun(ck, value->type);
    struct mp_diag *d = ck_error(ck, "E0302", value->span,
                                 "`%.*s` takes a number, and this is %.*s",
                                 MP_STR_ARG(word), MP_STR_ARG(noun));
    ck_label(d, value->span, "%.*s", MP_STR_ARG(noun));
    return ck_poison(ck, call->span);
}

static struct mp_t_expr *wants(struct ck *ck, const struct mp_ast_expr *call, const char *what)
{
    ck_error(ck, "E0302", call->u.call.args[0].span, "`%.*s` takes %s",
             MP_STR_ARG(call->u.call.name.text), what);
    return ck_poison(ck, call->span);
}

static bool has_amount(struct mp_t_type t)
{
    return ck_is_number(t) && t.base != MP_TYPE_STATUS && t.base != MP_TYPE_PORT &&
        t.base != MP_TYPE_ASN;
}

/* What an aggregate of a value of this type is; NONE: it has no such aggregate. */
static enum mp_type result_of(enum mp_agg kind, enum mp_type value)
{
    switch (kind) {
    case MP_AGG_RATE_SUM:
        if (value == MP_TYPE_SIZE) return MP_TYPE_BANDWIDTH;
        return value == MP_TYPE_INT || value == MP_TYPE_NUMBER || value == MP_TYPE_COUNTER
                   ? MP_TYPE_RATE
                   : MP_TYPE_NONE;
    case MP_AGG_SUM: return value == MP_TYPE_COUNTER ? MP_TYPE_INT : value;
    case MP_AGG_AVG:
    case MP_AGG_STDDEV: return value == MP_TYPE_INT ||
        value == MP_TYPE_COUNTER ? MP_TYPE_NUMBER : value;
    default: return value == MP_TYPE_COUNTER ? MP_TYPE_INT : value;
    }
}

static enum mp_agg of_counter(enum mp_agg kind)
{
    return kind == MP_AGG_SUM ? MP_AGG_GROWTH : kind == MP_AGG_RATE_SUM ? MP_AGG_RATE_GROWTH : kind;
}

static struct mp_t_expr *over_value(struct ck *ck, const struct ck_scope *s,
                                    const struct mp_ast_expr *call,
                                    struct mp_t_agg made)
{
    const struct mp_t_expr *value = made.value;
    if (made.kind == MP_AGG_DISTINCT) {
        if (!ck_is_scalar(value->type) || ck_rep(value->type) == MP_REP_N)
            return wants(ck, call, "a single value");
        return make_agg(ck, s, made, MP_TYPE_INT, call->span);
    }
    if (made.kind == MP_AGG_COUNT || made.kind == MP_AGG_RATIO)
        return wants(ck, call, "a signal, and `where`");
    if (!has_amount(value->type)) return wrong_value(ck, call, value);
    enum mp_type type = result_of(made.kind, value->type.base);
    if (type == MP_TYPE_NONE) return wrong_value(ck, call, value);
    if (made.signal->kind == MP_SIGNAL_COUNTER) made.kind = of_counter(made.kind);
    return make_agg(ck, s, made, type, call->span);
}

static struct mp_t_expr *over_records(struct ck *ck, const struct ck_scope *s,
                                      const struct mp_ast_expr *call,
                                      struct mp_t_agg made)
{
    switch (made.kind) {
    case MP_AGG_COUNT: return make_agg(ck, s, made, MP_TYPE_INT, call->span);
    case MP_AGG_RATE: return make_agg(ck, s, made, MP_TYPE_RATE, call->span);
    case MP_AGG_SEEN: return make_agg(ck, s, made, MP_TYPE_BOOL, call->span);
    case MP_AGG_RATIO:
        if (made.where == NULL) return wants(ck, call,
                                             "`where`: of which records the share is asked for");
        return make_agg(ck, s, made, MP_TYPE_PERCENT, call->span);
    default: return wants(ck, call, "a field of a signal, `requests.latency`");
    }
}

static struct mp_t_expr *incidents(struct ck *ck, const struct ck_scope *s,
                                   const struct mp_ast_expr *call)
{
    if (s->place != CK_IN_ACTION) {
        ck_error(ck, "E0302", call->span, "`count(incidents)` stands in the arguments of actions");
        return ck_poison(ck, call->span);
    }
    if (s->window_ns == 0) {
        struct mp_diag *d = ck_error(ck, "E0303", call->span, "over how much time?");
        ck_help(d, "`count(incidents) over 1h`");
        return ck_poison(ck, call->span);
    }
    struct mp_t_expr *e = ck_expr(ck, MP_TX_INCIDENTS, ck_type(MP_TYPE_INT), call->span);
    e->window_ns = s->window_ns;
    return e;
}

/* ---- members of a set ---- */

const struct mp_t_walk *ck_set_of(struct ck *ck, const struct ck_scope *s,
                                  const struct mp_ast_expr *ast,
                                  mp_str *name)
{
    *name = MP_STR("");
    struct mp_t_expr *e;
    if (ast->kind == MP_AST_OF && ast->kid[0]->kind == MP_AST_NAME) {
        mp_str left = ast->kid[0]->u.name.text;
        e = ck_check(ck, s, ast->kid[1], NULL);
        if (ck_bad(e)) return NULL;
        if (e->type.base == MP_TYPE_ENTITY && ck_is_scalar(e->type)) {
            const struct mp_t_attr *attr = ck_attr(e->type.entity, left);
            if (attr == NULL) {
                ck_unknown_attr(ck, e->type.entity, left, ast->kid[0]->span);
                return NULL;
            }
            e = ck_walk_expr(ck, ck_hop(ck, ck_walk_of(ck, e), attr), ast->span);
        } else {
            *name = left;
        }
    } else {
        e = ck_check(ck, s, ast, NULL);
    }
    if (ck_bad(e)) return NULL;
    if (e->kind == MP_TX_WALK && e->type.is_set && !e->type.is_map) return e->walk;
    mp_str noun = ck_type_noun(ck, e->type);
    struct mp_diag *d = ck_error(ck, "E0302", ast->span, "%.*s has no members to look at",
                                 MP_STR_ARG(noun));
    ck_help(d, "a signal is counted over time, `count(requests) over 1m`; a set attribute now, "
               "`count(svc.instances)`");
    return NULL;
}

struct ck_scope ck_member_scope(struct ck *ck, const struct ck_scope *s,
                                const struct mp_t_walk *set, mp_str name)
{
    struct ck_scope inner = *s;
    const struct mp_t_entity *entity = set->type.entity;
    inner.member = entity;
    inner.member_name = name;
    inner.record = NULL;
    inner.bare = false;
    inner.of = NULL;
    inner.keys = ck_keys_entity(ck, entity);
    inner.at = ck_walk_member(ck, entity);
    return inner;
}

static struct mp_t_expr *count_members(struct ck *ck, const struct ck_scope *s,
                                       const struct mp_ast_expr *call)
{
    const struct mp_ast_arg *arg = &call->u.call.args[0];
    if (s->bare) {
        ck_error(ck, "E0302", call->span, "members of a set are not counted for every record");
        return ck_poison(ck, call->span);
    }
    mp_str name;
    const struct mp_t_walk *set = ck_set_of(ck, s, arg->value, &name);
    if (set == NULL) return ck_poison(ck, call->span);
    struct mp_t_expr *where = NULL;
    if (arg->where != NULL && set->type.base != MP_TYPE_ENTITY) {
        ck_error(ck, "E0302", arg->where->span,
                 "only members that are entities can be asked for more");
        return ck_poison(ck, call->span);
    }
    if (arg->where != NULL) {
        struct ck_scope inner = ck_member_scope(ck, s, set, name);
        where = ck_check_cond(ck, &inner, arg->where);
        if (ck_bad(where)) return ck_poison(ck, call->span);
    } else {
        where = ck_const_bool(ck, true, call->span);
    }
    struct mp_t_expr *e = ck_expr(ck, MP_TX_MEMBERS, ck_type(MP_TYPE_INT), call->span);
    e->walk = set;
    e->kid[0] = where;
    e->may_be_unknown = true;
    return e;
}

/* ---- entry ---- */

static bool is_incidents(struct ck *ck, const struct ck_scope *s, const struct mp_ast_expr *ast)
{
    return ast->kind == MP_AST_NAME && mp_str_eq(ast->u.name.text, MP_STR("incidents")) &&
           ck_find(ck, s->file, ast->u.name.text, (struct mp_span){0}) == NULL;
}

static struct mp_t_expr *nested(struct ck *ck, const struct mp_ast_expr *call)
{
    ck_error(ck, "E0302", call->span, "an aggregate cannot stand inside of another");
    return ck_poison(ck, call->span);
}

struct mp_t_expr *ck_events(struct ck *ck, const struct ck_scope *s, const struct mp_ast_expr *call,
                            const struct mp_ast_arg *arg, enum mp_agg kind, bool wants_value)
{
    const struct mp_t_signal *signal = ck_signal_in(ck, s->file, arg->value, 0);
    if (s->bare) return nested(ck, call);
    if (signal == NULL) {
        /* The names themselves may be wrong, and that is worth more than our guess. */
        struct ck_scope lenient = *s;
        struct mp_t_expr *e = ck_check(ck, &lenient, arg->value, NULL);
        if (!ck_bad(e)) {
            ck_error(ck, "E0302", arg->value->span, "`%.*s` takes the records of a signal",
                     MP_STR_ARG(call->u.call.name.text));
        }
        return ck_poison(ck, call->span);
    }
    struct ck_scope record = record_scope(s, signal);
    struct mp_t_agg made = {.kind = kind, .signal = signal};
    made.value = check_value(ck, &record, signal, arg);
    made.where = check_where(ck, &record, arg);
    if ((made.value != NULL && ck_bad(made.value)) || (made.where != NULL && ck_bad(made.where))) {
        return ck_poison(ck, call->span);
    }
    if (!wants_value && made.value != NULL && signal->kind == MP_SIGNAL_EVENT) {
        return wants(ck, call, "the records of a signal");
    }
    if (wants_value && made.value == NULL) return wants(ck, call, "a field of a signal");
    return make_agg(ck, s, made, kind == MP_AGG_SEEN ? MP_TYPE_BOOL : MP_TYPE_INT, call->span);
}

struct mp_t_expr *ck_aggregate(struct ck *ck, const struct ck_scope *s,
                               const struct mp_ast_expr *call,
                               enum mp_agg kind, uint32_t quantile)
{
    const struct mp_ast_arg *arg = &call->u.call.args[0];
    if (kind == MP_AGG_COUNT && is_incidents(ck, s, arg->value)) return incidents(ck, s, call);
    const struct mp_t_signal *signal = ck_signal_in(ck, s->file, arg->value, 0);
    if (kind == MP_AGG_COUNT && signal == NULL) return count_members(ck, s, call);
    if (s->bare) return nested(ck, call);
    if (signal == NULL) return ck_events(ck, s, call, arg, kind, false);
    struct ck_scope record = record_scope(s, signal);
    struct mp_t_agg made = {.kind = kind, .signal = signal, .quantile = quantile};
    made.value = check_value(ck, &record, signal, arg);
    made.where = check_where(ck, &record, arg);
    if ((made.value != NULL && ck_bad(made.value)) || (made.where != NULL && ck_bad(made.where))) {
        return ck_poison(ck, call->span);
    }
    bool gauge = signal->kind != MP_SIGNAL_EVENT;
    /* Samples of a gauge can be counted, and have a share, without being looked at. */
    if (gauge && (kind == MP_AGG_COUNT || kind == MP_AGG_RATIO)) made.value = NULL;
    if (made.value == NULL) return over_records(ck, s, call, made);
    if (kind == MP_AGG_RATE) made.kind = MP_AGG_RATE_SUM;
    return over_value(ck, s, call, made);
}

/* ---- gauges ---- */

static bool reaches_all(struct ck *ck, const struct ck_scope *s, const struct mp_t_keys *keys,
                        struct mp_t_walk *at)
{
    for (uint32_t i = 0; i < keys->count; i++) {
        const struct mp_t_walk *w = ck_reach_key(ck, s, &keys->keys[i]);
        if (w == NULL) return false;
        at[i] = *w;
    }
    return true;
}

static struct mp_t_expr *last_value(struct ck *ck, const struct ck_scope *s,
                                    const struct mp_t_signal *signal,
                                    const struct mp_t_keys *keys, const struct mp_t_walk *at,
                                        struct mp_span span)
{
    struct mp_t_agg *agg = CK_NEW(ck, struct mp_t_agg, 1);
    *agg = (struct mp_t_agg){.kind = MP_AGG_LAST,
                             .signal = signal,
                             .layers = MP_LAYER_ALL,
                             .min_samples = 1,
                             .keys = keys,
                             .at = at,
                             .published = s->published};
    agg->value = ck_walk_expr(ck, ck_walk_field(ck, &signal->fields[0], (mp_str){NULL, 0}), span);
    struct mp_t_expr *e = ck_expr(ck, MP_TX_AGG, signal->type, span);
    e->agg = agg;
    e->may_be_unknown = true;
    return e;
}

static struct mp_t_expr *finer_than_rule(struct ck *ck, const struct ck_scope *s,
                                         const struct mp_t_signal *signal,
                                         const struct mp_t_keys *own, struct mp_span span)
{
    if (s->lenient) return ck_poison(ck, span);
    mp_str of_gauge = ck_keys_text(ck, own);
    struct mp_diag *d = ck_error(ck, "E0212", span,
                                 "`%.*s` is per %.*s, and here there may be many",
                                 MP_STR_ARG(signal->name), MP_STR_ARG(of_gauge));
    if (s->keys != NULL) {
        mp_str here = ck_keys_text(ck, s->keys);
        ck_note(d, "here everything is per %.*s", MP_STR_ARG(here));
    }
    if (ck_is_number(signal->type)) {
        ck_help(d, "`max(%.*s) over 10s`, or add `per %.*s`", MP_STR_ARG(signal->name),
                MP_STR_ARG(of_gauge));
    } else {
        ck_help(d, "add `per %.*s`", MP_STR_ARG(of_gauge));
    }
    return ck_poison(ck, span);
}

struct mp_t_expr *ck_gauge(struct ck *ck, const struct ck_scope *s,
                           const struct mp_t_signal *signal,
                           struct mp_span span, bool any)
{
    if (ck_is_poison(signal->type)) return ck_poison(ck, span);
    const struct mp_t_def *def = ck_gauge_def(ck, signal);
    struct mp_t_walk *at = CK_NEW(ck, struct mp_t_walk, def->keys->count);
    if (s->bare) {
        ck_error(ck, "E0302", span, "a gauge is not looked up for every record");
        return ck_poison(ck, span);
    }
    if (s->of != NULL) {
        struct mp_diag *d = ck_error(ck, "E0304", span, "a gauge cannot be pooled over `%s`",
                                     s->of_text);
        ck_help(d, "`count(m of %s where %.*s > ...)` looks at every member", s->of_text,
                MP_STR_ARG(signal->name));
        return ck_poison(ck, span);
    }
    bool blind = s->keys == NULL && s->record == NULL && s->lenient;
    if (blind || reaches_all(ck, s, def->keys, at)) {
        if (blind) at = (struct mp_t_walk *)ck_identity_walks(ck, def->keys);
        ((struct mp_t_def *)def)->used = true;
        struct mp_t_expr *e = ck_expr(ck, MP_TX_DEF, signal->type, span);
        e->def = def;
        e->def_at = at;
        e->kid[0] = last_value(ck, s, signal, def->keys, at, span);
        e->may_be_unknown = true;
        return e;
    }
    bool cuts = any && s->keys != NULL;
    for (uint32_t i = 0; cuts && i < s->keys->count; i++) {
        cuts = ck_record_key(ck, signal, &s->keys->keys[i]) != NULL;
    }
    if (cuts) {
        const struct mp_t_walk *own = s->at != NULL ? s->at : ck_identity_walks(ck, s->keys);
        return last_value(ck, s, signal, s->keys, own, span);
    }
    return finer_than_rule(ck, s, signal, def->keys, span);
}
