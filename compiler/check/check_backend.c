/* SPDX-License-Identifier: Apache-2.0
 * E0701: what a policy asks for and none of the meshes that were named can do. The tables are
 * those that the backends themselves work by (capability/capability.h).
 */
#include "check/check.h"

#include <stdio.h>

#include "capability/capability.h"
#include "check/carve.h"

struct mesh {
    const struct mp_backend_table *const *tables;
    uint32_t count;
    struct mp_diags *sink;
    const struct mp_t_rule *rule;
};

static mp_str target_word(struct mp_t_type t)
{
    return t.base == MP_TYPE_ENTITY ? t.entity->name : mp_type_word(t.base);
}

/* "an Envoy without the module", or "neither A nor B". */
static void put_titles(const struct mesh *m, char *out, size_t size)
{
    size_t at = 0;
    for (uint32_t i = 0; i < m->count && at < size; i++) {
        const char *before = i > 0 ? " nor " : m->count > 1 ? "neither " : "";
        at += (size_t)snprintf(out + at, size - at, "%s%s", before, m->tables[i]->title);
    }
}

static const char *cannot(const struct mesh *m) { return m->count > 1 ? "can" : "cannot"; }

static void explain(struct mp_diag *d, const struct mp_capability_gap *gap)
{
    if (gap == NULL) return;
    mp_diag_note(d, "%s", gap->why);
    mp_diag_help(d, "%s", gap->repair);
}

/* ---- arguments ---- */

/* A constant as an author writes it; empty: it is worked out at run time. */
static mp_str constant(const struct mp_t_expr *e, char *room, size_t size)
{
    if (e->kind != MP_TX_CONST) return MP_STR("");
    if (mp_type_rep(e->type.base) != MP_REP_I) return e->text;
    int len = snprintf(room, size, "%lld", (long long)mp_value_as_int(e->value));
    return (mp_str){room, (size_t)len};
}

/* The first argument that this mesh cannot have, with the reason. */
static const struct mp_capability_gap *bad_argument(const struct mp_backend_table *t,
                                                    const struct mp_t_act *act,
                                                    const struct mp_t_arg **out)
{
    for (uint32_t i = 0; i < act->arg_count; i++) {
        const struct mp_t_arg *a = &act->args[i];
        char room[32];
        if (a->value == NULL || a->value == act->message) continue;
        const struct mp_capability_gap *gap = mp_backend_gap_argument(
            t, act->action->name, target_word(act->target_type), a->name,
            mp_type_word(a->value->type.base), constant(a->value, room, sizeof room));
        if (gap == NULL) continue;
        *out = a;
        return gap;
    }
    return NULL;
}

/* ---- one action ---- */

static bool can(const struct mp_backend_table *t, const struct mp_t_act *act)
{
    const struct mpol_capability *c =
        mp_backend_can(t, act->action->name, target_word(act->target_type));
    const struct mp_t_arg *a;
    return c != NULL && (act->hooks & ~c->hooks) == 0 && bad_argument(t, act, &a) == NULL;
}

static void refuse_lease(struct mesh *m, const struct mp_t_act *act)
{
    char titles[160];
    mp_str verb = act->action->name, target = target_word(act->target_type);
    const struct mp_backend_table *t = m->tables[0];
    const struct mpol_capability *c = mp_backend_can(t, verb, target);
    const struct mp_t_arg *a = NULL;
    const struct mp_capability_gap *gap = NULL;
    put_titles(m, titles, sizeof titles);
    struct mp_diag *d;
    if (c == NULL) {
        d = mp_diag_add(m->sink, MP_DIAG_E0701, act->span, "%s %s carry out `%.*s` on `%.*s`",
                        titles, cannot(m), MP_STR_ARG(verb), MP_STR_ARG(target));
        gap = mp_backend_gap(t, verb, target);
    } else if ((act->hooks & ~c->hooks) != 0) {
        d = mp_diag_add(m->sink, MP_DIAG_E0701, act->span,
                        "%s %s carry out `%.*s` on `%.*s` at this hook", titles, cannot(m),
                        MP_STR_ARG(verb), MP_STR_ARG(target));
    } else {
        gap = bad_argument(t, act, &a);
        d = mp_diag_add(m->sink, MP_DIAG_E0701, act->span,
                        "%s %s carry out `%.*s` with this `%.*s`", titles, cannot(m),
                        MP_STR_ARG(verb), MP_STR_ARG(a->name));
    }
    explain(d, gap);
}

static void check_ramp(struct mesh *m, const struct mp_backend_table *t, const struct mp_t_act *act)
{
    mp_str target = target_word(act->target_type);
    const struct mpol_capability *c = mp_backend_can(t, act->action->name, target);
    if (m->rule->ramp <= 0 || (c->flags & MPOL_CAN_PARTIAL) != 0) return;
    struct mp_diag *d = mp_diag_add(m->sink, MP_DIAG_E0407, act->span,
                                    "%s cannot take `%.*s` of %.*s back step by step", t->title,
                                    MP_STR_ARG(act->action->name), MP_STR_ARG(target));
    mp_diag_help(d, "leave out `ramp`: the action then ends at once");
}

static void check_lease(struct mesh *m, const struct mp_t_act *act)
{
    for (uint32_t i = 0; i < m->count; i++) {
        if (!can(m->tables[i], act)) continue;
        check_ramp(m, m->tables[i], act);
        return;
    }
    refuse_lease(m, act);
}

/* On the record at hand: what is said about it may be said afterwards, what is done to it may
 * not. */
static void check_inline(struct mesh *m, const struct mp_t_act *act)
{
    char titles[160];
    const struct mp_capability_gap *gap = NULL;
    for (uint32_t i = 0; i < m->count; i++) {
        if (!m->tables[i]->inline_rules) continue;
        gap = mp_backend_gap(m->tables[i], act->action->name, MP_STR("event"));
        if (gap == NULL) return;
    }
    put_titles(m, titles, sizeof titles);
    struct mp_diag *d = mp_diag_add(m->sink, MP_DIAG_E0701, act->span,
                                    "%s %s carry out `%.*s` on the record at hand", titles,
                                    cannot(m), MP_STR_ARG(act->action->name));
    if (gap != NULL) {
        explain(d, gap);
        return;
    }
    mp_diag_note(d, "rules on the request at hand are judged in the proxy, by our module");
    mp_diag_help(d, "`--backend envoy-module`, and a bootstrap with `--module`");
}

static void check_rule(struct mesh *m)
{
    for (uint32_t i = 0; i < m->rule->step_count; i++) {
        const struct mp_t_step *s = &m->rule->steps[i];
        for (uint32_t j = 0; j < s->act_count; j++) {
            const struct mp_t_act *act = &s->acts[j];
            if (act->action == NULL || act->action->message) continue;
            if (act->target_kind == MP_TARGET_LEASE) check_lease(m, act);
            if (act->target_kind == MP_TARGET_RECORD) check_inline(m, act);
        }
    }
}

/* ---- guards ---- */

/* All of them must: whoever refuses must let pass what is protected (R43). */
static void check_guard(struct mesh *m, const struct mp_t_guard *g)
{
    struct mp_carve carves[MP_CARVES_MAX];
    uint32_t count;
    if (g->kind != MP_GUARD_WHERE_RECORD) return;
    bool paths = mp_carve_read(g, carves, &count);
    for (uint32_t i = 0; i < m->count; i++) {
        if ((m->tables[i]->flags & MPOL_BACKEND_CARVES_OUT) != 0) continue;
        if (paths && m->tables[i]->carves_paths) continue;
        struct mp_diag *d = mp_diag_add(m->sink, MP_DIAG_E0701, g->span,
                                        "%s cannot let pass what this guard protects",
                                        m->tables[i]->title);
        mp_diag_note(d, "its filters know the path of a request as it comes (`/a%%20b`), and "
                        "nothing else that a guard asks for");
        mp_diag_help(d, "ask for `request.path` alone, without what has to be escaped, with `==`, "
                        "`in` or `starts with`; or `--backend module`, which is `mpol run "
                        "--module-socket` without `--xds`");
        return;
    }
}

void mp_check_backends(const struct mp_typed *typed, const struct mp_backend_table *const *tables,
                       uint32_t count, struct mp_diags *sink)
{
    struct mesh m = {tables, count, sink, NULL};
    if (count == 0) return;
    for (uint32_t i = 0; i < typed->rules.len; i++) {
        m.rule = typed->rules.ptr[i];
        check_rule(&m);
    }
    for (uint32_t i = 0; i < typed->guards.len; i++) check_guard(&m, typed->guards.ptr[i]);
}
