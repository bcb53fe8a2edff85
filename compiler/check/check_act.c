/* SPDX-License-Identifier: Apache-2.0
 * Actions of rules: which declaration is meant, and what its parameters get (language.md 4.7).
 * E0401, E0302, E0405, E0409, E0106.
 */
#include "check/check_items_priv.h"

/* One argument as it was written; the operand has the empty name. */
struct given {
    mp_str name;
    const struct mp_ast_expr *ast;
    struct mp_span span;
    bool used;
    struct mp_t_expr *value; /* of what may be a target, once it was looked at */
};

struct call {
    struct ck *ck;
    const struct ck_act_place *place;
    const struct mp_ast_act *ast;
    const struct mp_t_action *action;
    struct given *given;
    uint32_t given_count;
    struct mp_t_act *out;
    bool failed;
};

/* ---- by words alone ---- */

const char *ck_prep_word(enum mp_ast_prep_kind kind)
{
    static const char *const words[] = {
        [MP_AST_PREP_TO] = "to",   [MP_AST_PREP_ON] = "on",   [MP_AST_PREP_FROM] = "from",
        [MP_AST_PREP_VIA] = "via", [MP_AST_PREP_FOR] = "for", [MP_AST_PREP_WITH] = "with",
    };
    return words[kind];
}

bool ck_is_rollback(const struct mp_ast_act *ast)
{
    return mp_str_eq(ast->verb.text, MP_STR("rollback"));
}

const struct mp_t_signal *ck_record_at_hand(struct ck *ck, const struct ck_file *file,
                                            const struct mp_ast_expr *ast)
{
    if (ast == NULL || ast->kind != MP_AST_NAME) return NULL;
    struct ck_sym *sym = ck_find(ck, file, ast->u.name.text, (struct mp_span){0});
    if (sym == NULL || sym->kind != CK_SIGNAL) return NULL;
    const struct mp_t_signal *signal = ck_signal_of(ck, sym);
    return signal != NULL && signal->kind == MP_SIGNAL_EVENT ? signal : NULL;
}

/* The argument written for a parameter; the operand is for the first one. */
static const struct mp_ast_expr *written(const struct mp_ast_act *ast, const struct mp_t_action *a,
                                         int param)
{
    if (param == 0 && ast->target != NULL) return ast->target;
    for (uint32_t i = 0; i < ast->prep_count; i++) {
        const struct mp_ast_prep *p = &ast->preps[i];
        if (p->kind == MP_AST_PREP_WITH) continue;
        if (mp_str_eq(mp_str_of(ck_prep_word(p->kind)), a->params[param].name)) return p->value;
    }
    return NULL;
}

enum ck_act_sort ck_act_sort(struct ck *ck, const struct ck_file *file,
                             const struct mp_ast_act *ast,
                             const struct mp_t_signal **record)
{
    *record = NULL;
    if (ck_is_rollback(ast)) return CK_ACT_ROLLBACK;
    struct ck_verb *v = ck_find_verb(ck, file, ast->verb.text);
    enum ck_act_sort sort = CK_ACT_UNKNOWN;
    for (; v != NULL; v = v->next) {
        const struct mp_t_action *a = v->action;
        if (a == NULL) continue;
        if (a->target >= 0 && a->params[a->target].types[0].base == MP_TYPE_EVENT) {
            *record = ck_record_at_hand(ck, file, written(ast, a, a->target));
            if (*record != NULL) return CK_ACT_RECORD;
        }
        if (a->message) sort = CK_ACT_MESSAGE;
        else if (a->class == MP_CLASS_MEMBERSHIP) sort = CK_ACT_LIST;
        else sort = CK_ACT_LEASE;
    }
    return sort;
}

void ck_no_arguments(struct ck *ck, const struct mp_ast_act *ast, const char *of_what)
{
    if (ast->prep_count == 0) return;
    ck_error(ck, "E0401", ast->preps[0].span, "%s has no `%s`", of_what,
             ck_prep_word(ast->preps[0].kind));
}

uint32_t ck_hook_bit(struct ck *ck, mp_str word, struct mp_span span)
{
    static const mp_str words[] = {MP_STR_INIT("ingress"), MP_STR_INIT("service"),
                                   MP_STR_INIT("edge")};
    static const uint32_t bits[] = {MP_LAYER_INGRESS, MP_LAYER_SERVICE, MP_LAYER_EDGE};
    for (uint32_t i = 0; i < 3; i++) {
        if (mp_str_eq(words[i], word)) return bits[i];
    }
    struct mp_diag *d = ck_error(ck, "E0101", span, "there is no hook `%.*s`", MP_STR_ARG(word));
    mp_diag_help(d, "hooks are `ingress`, `service` and `edge`");
    return 0;
}

/* ---- what was written ---- */

static struct given *find_given(const struct call *c, mp_str name)
{
    for (uint32_t i = 0; i < c->given_count; i++) {
        if (mp_str_eq(c->given[i].name, name)) return &c->given[i];
    }
    return NULL;
}

static void add_given(struct call *c, mp_str name, const struct mp_ast_expr *ast,
                      struct mp_span span)
{
    struct given *old = find_given(c, name);
    if (old != NULL) {
        struct mp_diag *d = ck_error(c->ck, "E0401", span, "`%.*s` is given twice",
                                     MP_STR_ARG(name));
        mp_diag_label(d, old->span, "the first");
        c->failed = true;
        return;
    }
    c->given[c->given_count++] = (struct given){.name = name, .ast = ast, .span = span};
}

static mp_str pair_name(struct ck *ck, const struct mp_ast_pair *pair)
{
    if (pair->key.path.count == 1 && pair->key.entry.text.ptr == NULL) {
        return pair->key.path.parts[0].text;
    }
    return ck_source(ck, pair->key.span);
}

static void read_given(struct call *c)
{
    const struct mp_ast_act *ast = c->ast;
    uint32_t room = 1;
    for (uint32_t i = 0; i < ast->prep_count; i++) room += 1 + ast->preps[i].pair_count;
    c->given = CK_NEW(c->ck, struct given, room);
    if (ast->target != NULL) add_given(c, MP_STR(""), ast->target, ast->target->span);
    for (uint32_t i = 0; i < ast->prep_count; i++) {
        const struct mp_ast_prep *p = &ast->preps[i];
        if (p->kind != MP_AST_PREP_WITH) {
            add_given(c, mp_str_of(ck_prep_word(p->kind)), p->value, p->span);
            continue;
        }
        for (uint32_t j = 0; j < p->pair_count; j++) {
            add_given(c, pair_name(c->ck, &p->pairs[j]), p->pairs[j].value, p->pairs[j].span);
        }
    }
}

static struct given *given_for(struct call *c, const struct mp_t_action *a, uint32_t param)
{
    struct given *operand = param == 0 ? find_given(c, MP_STR("")) : NULL;
    return operand != NULL ? operand : find_given(c, a->params[param].name);
}

/* ---- which declaration ---- */

static struct mp_t_expr *look_at(struct call *c, struct given *g)
{
    if (g->value == NULL) g->value = ck_check(c->ck, c->place->scope, g->ast, NULL);
    return g->value;
}

static struct mp_t_expr *as_any_of(struct ck *ck, struct mp_t_expr *e,
                                   const struct mp_t_action_param *p, struct mp_t_type *chosen)
{
    for (uint32_t i = 0; i < p->type_count; i++) {
        struct mp_t_expr *fit = ck_try_coerce(ck, e, p->types[i]);
        if (fit == NULL) continue;
        *chosen = p->types[i];
        return fit;
    }
    return NULL;
}

static bool fits(struct call *c, const struct mp_t_action *a)
{
    if (a->target < 0) return true;
    struct given *g = given_for(c, a, (uint32_t)a->target);
    const struct mp_t_action_param *p = &a->params[a->target];
    if (g == NULL || p->type_count == 0) return false;
    bool at_hand = ck_record_at_hand(c->ck, c->place->scope->file, g->ast) != NULL;
    if (p->types[0].base == MP_TYPE_EVENT || at_hand) {
        return at_hand && p->types[0].base == MP_TYPE_EVENT;
    }
    struct mp_t_type chosen;
    struct mp_t_expr *e = look_at(c, g);
    return ck_bad(e) || as_any_of(c->ck, e, p, &chosen) != NULL;
}

static void print_types(struct ck *ck, struct mp_buf *b, const struct mp_t_action_param *p,
                        bool *first)
{
    for (uint32_t i = 0; i < p->type_count; i++) {
        if (!*first) mp_buf_puts(b, ", ");
        *first = false;
        mp_buf_put(b, p->types[i].base == MP_TYPE_EVENT ? MP_STR("the record at hand")
                                                         : ck_type_word(ck, p->types[i]));
    }
}

static mp_str targets_text(struct ck *ck, const struct ck_verb *v)
{
    struct mp_buf b;
    bool first = true;
    mp_buf_init(&b, ck->perm);
    for (; v != NULL; v = v->next) {
        if (v->action->target >= 0) print_types(ck, &b, &v->action->params[v->action->target],
                                                &first);
    }
    return ck_buf_text(ck, &b);
}

static void wrong_target(struct call *c, const struct ck_verb *verbs)
{
    struct ck *ck = c->ck;
    mp_str verb = c->ast->verb.text, kinds = targets_text(ck, verbs);
    const struct mp_t_action *a = verbs->action;
    struct given *g = a->target < 0 ? NULL : given_for(c, a, (uint32_t)a->target);
    if (g == NULL) {
        struct mp_diag *d = ck_error(ck, "E0401", c->ast->span, "`%.*s` of what?",
                                     MP_STR_ARG(verb));
        mp_diag_help(d, "it takes %.*s", MP_STR_ARG(kinds));
        return;
    }
    mp_str noun;
    bool at_hand = ck_record_at_hand(ck, c->place->scope->file, g->ast) != NULL;
    if (at_hand) {
        noun = ck_printf(ck, "a %.*s", MP_STR_ARG(ck_source(ck, g->ast->span)));
    } else {
        noun = ck_type_noun(ck, look_at(c, g)->type);
    }
    struct mp_diag *d = ck_error(ck, "E0302", g->span, "`%.*s` cannot be done to %.*s",
                                 MP_STR_ARG(verb), MP_STR_ARG(noun));
    const struct mp_t_expr *e = at_hand ? NULL : look_at(c, g);
    if (e != NULL && e->kind == MP_TX_CONST && ck_is_text(e->type) && ck_has_wildcard(e->text)) {
        mp_diag_help(d, "a pattern stands in a condition: `when request.peer == spiffe://shop/*"
                        " then deny request`");
        return;
    }
    mp_diag_help(d, "it takes %.*s", MP_STR_ARG(kinds));
}

static const struct mp_t_action *choose(struct call *c, const struct ck_verb *verbs)
{
    for (const struct ck_verb *v = verbs; v != NULL; v = v->next) {
        if (v->action != NULL && fits(c, v->action)) return v->action;
    }
    wrong_target(c, verbs);
    return NULL;
}

/* ---- parameters ---- */

/* The alternative that helps most with a bare name. */
static const struct mp_t_type *hint_of(const struct mp_t_action_param *p)
{
    return p->type_count > 0 ? &p->types[0] : NULL;
}

mp_str ck_param_nouns(struct ck *ck, const struct mp_t_action_param *p)
{
    struct mp_buf b;
    mp_buf_init(&b, ck->perm);
    for (uint32_t i = 0; i < p->type_count; i++) {
        if (i > 0) mp_buf_puts(&b, " or ");
        mp_buf_put(&b, ck_type_noun(ck, p->types[i]));
    }
    return ck_buf_text(ck, &b);
}

static struct mp_t_expr *wrong_type(struct call *c, const struct mp_t_action_param *p,
                                    struct mp_t_expr *e)
{
    struct ck *ck = c->ck;
    mp_str wanted = ck_param_nouns(ck, p), is = ck_type_noun(ck, e->type);
    struct mp_diag *d = ck_error(ck, "E0302", e->span, "`%.*s` takes %.*s, this is %.*s",
                                 MP_STR_ARG(p->name), MP_STR_ARG(wanted), MP_STR_ARG(is));
    mp_diag_label(d, e->span, "%.*s", MP_STR_ARG(is));
    return ck_poison(ck, e->span);
}

static struct mp_t_expr *check_value(struct call *c, const struct mp_t_action_param *p,
                                     struct given *g, struct mp_t_type *chosen)
{
    struct ck *ck = c->ck;
    *chosen = p->type_count > 0 ? p->types[0] : ck_type(MP_TYPE_NONE);
    struct mp_t_expr *e = g->value != NULL ? g->value
                                           : ck_check(ck, c->place->scope, g->ast, hint_of(p));
    if (ck_bad(e) || chosen->base == MP_TYPE_ANY) return e;
    struct mp_t_expr *fit = as_any_of(ck, e, p, chosen);
    if (fit != NULL) return fit;
    if (p->type_count != 1) return wrong_type(c, p, e);
    mp_str what = ck_printf(ck, "`%.*s`", MP_STR_ARG(p->name));
    return ck_coerce(ck, e, p->types[0], what.ptr);
}

/* ---- how long ---- */

/* The largest that e can be, where the compiler can see that. */
static bool upper_bound(const struct mp_t_expr *e, double *out)
{
    double a, b;
    switch (e->kind) {
    case MP_TX_CONST: *out = ck_const_double(e); return true;
    case MP_TX_PARAM:
        if (e->param->high == NULL) return false;
        *out = ck_const_double(e->param->high);
        return true;
    case MP_TX_CONVERT: return upper_bound(e->kid[0], out);
    case MP_TX_CALL: return e->op.call == MP_T_CLAMP && upper_bound(e->kid[2], out);
    case MP_TX_ARITH:
        if (e->op.arith != MP_T_ADD && e->op.arith != MP_T_MUL) return false;
        if (!upper_bound(e->kid[0], &a) || !upper_bound(e->kid[1], &b)) return false;
        *out = e->op.arith == MP_T_ADD ? a + b : a * b;
        return true;
    default: return false;
    }
}

static void set_duration(struct call *c, const struct mp_t_expr *e)
{
    double bound;
    if (ck_bad(e)) {
        c->failed = true;
    } else if (e->kind == MP_TX_CONST) {
        c->out->duration_ns = ck_wait(c->ck, mp_value_as_int(e->value), e->span);
        if (c->out->duration_ns > 0 || mp_value_as_int(e->value) > 0) return;
        ck_error(c->ck, "E0306", e->span, "an action lasts longer than nothing");
        c->failed = true;
    } else if (upper_bound(e, &bound)) {
        ck_refuse(c->ck, "computed for", e->span);
        c->out->duration_ns = bound < (double)MP_WAIT_MAX_NS ? (int64_t)bound : MP_WAIT_MAX_NS;
    } else {
        struct mp_diag *d = ck_error(c->ck, "E0405", e->span,
                                     "nothing bounds how long this action lasts");
        mp_diag_help(d, "`clamp(%.*s, 1m, 1h)` gives a bound",
                     MP_STR_ARG(ck_source(c->ck, e->span)));
        c->failed = true;
    }
}

static void no_end(struct call *c)
{
    struct mp_diag *d = ck_error(c->ck, "E0409", c->ast->span,
                                 "`%.*s` needs an end: it can be undone, and nothing says when",
                                 MP_STR_ARG(c->ast->verb.text));
    mp_diag_help(d, "`for 10m`");
    c->failed = true;
}

/* ---- words to people ---- */

static void check_channel(struct call *c, const struct mp_t_expr *e)
{
    const struct mp_check_options *o = c->ck->options;
    c->out->via = e->text;
    if (o == NULL || o->channels == NULL || mp_str_eq(e->text, MP_STR("log"))) return;
    for (uint32_t i = 0; i < o->channel_count; i++) {
        if (mp_str_eq(o->channels[i], e->text)) return;
    }
    struct mp_diag *d = ck_error(c->ck, "E0106", e->span, "there is no channel `%.*s`",
                                 MP_STR_ARG(e->text));
    mp_str near = ck_nearest(e->text, o->channels, o->channel_count);
    if (near.len > 0) mp_diag_help(d, "`%.*s` is close", MP_STR_ARG(near));
    c->failed = true;
}

static struct mp_t_expr *check_message(struct call *c, const struct given *g)
{
    if (g->ast->kind == MP_AST_STRING) return ck_check_text(c->ck, c->place->scope, g->ast);
    return ck_check_as(c->ck, c->place->scope, g->ast, ck_type(MP_TYPE_STRING), "a message");
}

/* ---- binding ---- */

static void set_hooks(struct call *c, const struct mp_t_expr *e)
{
    if (e->kind != MP_TX_CONST) {
        ck_error(c->ck, "E0302", e->span, "a hook is named, not computed");
        c->failed = true;
        return;
    }
    c->out->hooks = ck_hook_bit(c->ck, e->text, e->span);
    if (c->out->hooks == 0) c->failed = true;
}

static void add_arg(struct call *c, mp_str name, const struct mp_t_expr *value)
{
    c->out->args[c->out->arg_count++] = (struct mp_t_arg){name, value};
}

static void missing(struct call *c, const struct mp_t_action_param *p)
{
    mp_str takes = ck_param_nouns(c->ck, p);
    struct mp_diag *d = ck_error(c->ck, "E0401", c->ast->span, "`%.*s` needs `%.*s`",
                                 MP_STR_ARG(c->ast->verb.text), MP_STR_ARG(p->name));
    mp_diag_help(d, "`%.*s` takes %.*s", MP_STR_ARG(p->name), MP_STR_ARG(takes));
    c->failed = true;
}

static void bind_target(struct call *c, const struct mp_t_action_param *p, struct given *g)
{
    struct mp_t_act *out = c->out;
    if (p->types[0].base == MP_TYPE_EVENT) {
        out->target_kind = MP_TARGET_RECORD;
        out->target_type = p->types[0];
        return;
    }
    struct mp_t_type chosen;
    struct mp_t_expr *e = check_value(c, p, g, &chosen);
    out->target_kind = MP_TARGET_LEASE;
    out->target = e;
    out->target_type = chosen;
    if (ck_bad(e)) c->failed = true;
}

/* The burst of an inline bucket is the number in front of its rate where nobody says it (R34). */
static void fill_burst(struct call *c)
{
    const struct mp_t_action *a = c->action;
    struct given *to = find_given(c, MP_STR("to"));
    if (a->class != MP_CLASS_RATE || to == NULL || find_given(c, MP_STR("burst")) != NULL) return;
    const struct mp_ast_expr *r = to->ast;
    double tokens;
    if (r->kind == MP_AST_RATE) {
        tokens = r->u.num.number;
    } else if (r->kind == MP_AST_DIV && r->kid[0]->kind == MP_AST_INT &&
               r->kid[1]->kind == MP_AST_DURATION) {
        tokens = (double)r->kid[0]->u.num.i;
    } else {
        return;
    }
    int64_t whole = tokens < 1 ? 1 : (int64_t)tokens;
    for (uint32_t i = 0; i < c->out->arg_count; i++) {
        if (!mp_str_eq(c->out->args[i].name, MP_STR("burst"))) continue;
        c->out->args[i].value = ck_const_int(c->ck, MP_TYPE_INT, whole, r->span);
    }
}

static void check_status(struct call *c, const struct mp_t_expr *e)
{
    if (e->kind != MP_TX_CONST) return;
    if (mp_is_refusal((double)mp_value_as_int(e->value))) return;
    struct mp_diag *d = ck_error(c->ck, "E0306", e->span,
                                 "a refusal is answered with a status from %d to %d",
                                 MP_REFUSAL_MIN, MP_REFUSAL_MAX);
    mp_diag_help(d, "leave `status` out, or write `status = 403`");
    c->failed = true;
}

/* Of a `throttle … to` what passes, of a `route` or a `mirror` what is led. */
static void check_share(struct call *c, const struct mp_t_action_param *p,
                        const struct mp_t_expr *e)
{
    bool weight = mp_str_eq(p->name, MP_STR("weight"));
    if (e->kind != MP_TX_CONST || e->type.base != MP_TYPE_PERCENT) return;
    double share = mp_value_as_num(e->value);
    if (weight ? mp_is_weight(share) : mp_is_share(share)) return;
    struct mp_diag *d =
        ck_error(c->ck, "E0306", e->span,
                 weight ? "a weight is more than 0%% and at most 100%%, of the requests"
                        : "a share is from 0%% to 100%% of the requests");
    mp_diag_help(d, weight && share <= 0 ? "leave the action out: it would do nothing"
                                         : "`100%%` is all of them");
    c->failed = true;
}

static void bind_plain(struct call *c, const struct mp_t_action_param *p, struct given *g)
{
    struct mp_t_type chosen;
    const struct mp_t_expr *e = g != NULL ? check_value(c, p, g, &chosen) : p->preset;
    if (e == NULL) {
        if (p->types[0].base != MP_TYPE_HOOK) missing(c, p);
        return;
    }
    if (ck_bad(e)) {
        c->failed = true;
        return;
    }
    if (p->types[0].base == MP_TYPE_CHANNEL) {
        check_channel(c, e);
        return;
    }
    if (p->types[0].base == MP_TYPE_HOOK) set_hooks(c, e);
    if (mp_str_eq(p->name, MP_STR("status"))) check_status(c, e);
    if (mp_str_eq(p->name, c->action->share)) check_share(c, p, e);
    add_arg(c, p->name, e);
}

static bool is_time(const struct mp_t_action_param *p)
{
    return mp_str_eq(p->name, MP_STR("for")) && p->types[0].base == MP_TYPE_DURATION;
}

static void bind_time(struct call *c, const struct mp_t_action_param *p, struct given *g)
{
    struct mp_t_type chosen;
    const struct mp_t_expr *e = g != NULL ? check_value(c, p, g, &chosen) : p->preset;
    if (e != NULL) {
        set_duration(c, e);
    } else if (c->action->reversible) {
        no_end(c);
    } else {
        missing(c, p);
    }
}

static void bind(struct call *c, uint32_t i)
{
    const struct mp_t_action *a = c->action;
    const struct mp_t_action_param *p = &a->params[i];
    struct given *g = given_for(c, a, i);
    if (g != NULL) g->used = true;
    if (p->type_count == 0) {
        c->failed = true; /* its declaration was reported */
    } else if ((int)i == a->target && g != NULL) {
        bind_target(c, p, g);
    } else if (is_time(p)) {
        bind_time(c, p, g);
    } else if (a->message && c->out->message == NULL && p->types[0].base == MP_TYPE_STRING &&
               g != NULL) {
        c->out->message = check_message(c, g);
        if (ck_bad(c->out->message)) c->failed = true;
    } else {
        bind_plain(c, p, g);
    }
}

static void refuse_unused(struct call *c)
{
    const struct mp_t_action *a = c->action;
    for (uint32_t i = 0; i < c->given_count; i++) {
        const struct given *g = &c->given[i];
        if (g->used) continue;
        c->failed = true;
        mp_str what = g->name.len > 0 ? ck_printf(c->ck, "`%.*s`", MP_STR_ARG(g->name))
                                      : MP_STR("operand");
        struct mp_diag *d = ck_error(c->ck, "E0401", g->span, "`%.*s` takes no %.*s",
                                     MP_STR_ARG(a->name), MP_STR_ARG(what));
        struct mp_buf b;
        mp_buf_init(&b, c->ck->perm);
        for (uint32_t p = 0; p < a->param_count; p++) {
            mp_buf_printf(&b, "%s`%.*s`", p > 0 ? ", " : "", MP_STR_ARG(a->params[p].name));
        }
        if (b.len > 0) mp_diag_help(d, "it takes %.*s", MP_STR_ARG(ck_buf_text(c->ck, &b)));
    }
}

/* ---- lists that rules fill: not in this version, but checked ---- */

static void check_membership(struct call *c)
{
    ck_refuse(c->ck, ck_printf(c->ck, "%.*s", MP_STR_ARG(c->action->name)).ptr,
              c->ast->verb.span);
    const struct mp_t_action *a = c->action;
    for (uint32_t i = 0; i < a->param_count; i++) {
        struct given *g = given_for(c, a, i);
        if (g == NULL) continue;
        g->used = true;
        if (a->params[i].type_count == 0 || a->params[i].types[0].base != MP_TYPE_MEMBERS) {
            struct mp_t_type chosen;
            check_value(c, &a->params[i], g, &chosen);
        } else if (g->ast->kind != MP_AST_NAME) {
            ck_error(c->ck, "E0302", g->span, "`%.*s` takes a list that rules fill",
                     MP_STR_ARG(a->params[i].name));
        } else {
            ck_need(c->ck, c->place->scope->file, g->ast->u.name.text, g->ast->span, 1u << CK_LIST,
                    "list");
        }
    }
    refuse_unused(c);
}

/* Where an action holds that says no `on` (R7). */
static uint32_t hooks_of(const struct call *c)
{
    const struct mp_t_action *a = c->action;
    bool has_on = false;
    for (uint32_t i = 0; i < a->param_count; i++) {
        const struct mp_t_action_param *p = &a->params[i];
        has_on |= p->type_count > 0 && p->types[0].base == MP_TYPE_HOOK;
    }
    if (c->out->target_kind == MP_TARGET_LEASE && !has_on) return MP_LAYER_ALL;
    if (c->place->layers != 0) return c->place->layers;
    return c->out->target_kind == MP_TARGET_RECORD ? MP_LAYER_ALL : MP_LAYER_SERVICE;
}

bool ck_check_act(struct ck *ck, const struct ck_act_place *place, const struct mp_ast_act *ast,
                  struct mp_t_act *out)
{
    struct call c = {.ck = ck, .place = place, .ast = ast, .out = out};
    const struct ck_verb *verbs = ck_need_verb(ck, place->scope->file, ast->verb.text,
                                               ast->verb.span);
    *out = (struct mp_t_act){.span = ast->span, .text = ck_source(ck, ast->span)};
    if (verbs == NULL) return false;
    read_given(&c);
    c.action = choose(&c, verbs);
    if (c.action == NULL) return false;
    out->action = c.action;
    out->args = CK_NEW(ck, struct mp_t_arg, c.action->param_count + 1);
    if (c.action->class == MP_CLASS_MEMBERSHIP) {
        check_membership(&c);
        return false;
    }
    for (uint32_t i = 0; i < c.action->param_count; i++) bind(&c, i);
    refuse_unused(&c);
    fill_burst(&c);
    if (out->hooks == 0) out->hooks = hooks_of(&c);
    return !c.failed;
}
