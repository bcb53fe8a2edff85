/* SPDX-License-Identifier: Apache-2.0
 * Whom a decision would touch, as far as anybody here knows: before an operator says yes to it.
 * The words are those of the vocabulary: attributes of the target, what belongs to it, what was
 * seen of it.
 */
#include "engine/engine_priv.h"

static mp_str text(const struct mp_engine *e, mp_text_ref ref)
{
    return mp_program_text(e->p, ref);
}

/* ---- the inventory ---- */

static void set_fact(struct mp_engine *e, const struct mp_attr_row *attr, struct mp_value set,
                     struct mp_manual_answer *out)
{
    struct mp_buf b;
    mp_buf_init(&b, &e->manual_arena);
    mp_value_print_set(&b, (enum mp_type)attr->type, set);
    mp_str members = b.failed ? MP_STR("...") : mp_buf_view(&b);
    en_manual_fact(
        out, text(e, attr->name),
        en_manual_say(e, "%llu: %.*s", (unsigned long long)set.w[1], MP_STR_ARG(members)));
}

/* What nobody said is no fact. */
static bool is_preset(const struct mp_engine *e, const struct mp_attr_row *attr, struct mp_value v)
{
    if (attr->preset == MP_NONE) return false;
    return mp_value_eq(mp_type_rep((enum mp_type)attr->type), e->p->consts[attr->preset], v);
}

/* Is a lease in force that takes traffic from it? */
static bool is_away(const struct mp_engine *e, uint32_t entity, uint32_t type, struct mp_value key)
{
    for (uint32_t i = e->lease_live; i != EN_NONE; i = e->leases[i].next_live) {
        const struct mp_lease *l = &e->leases[i].l;
        if (!en_lease_in_force(&e->leases[i]) || l->shadow || l->target.entity != entity) continue;
        if (e->p->action[l->action].blinds_count == 0) continue;
        if (mp_value_eq(mp_type_rep((enum mp_type)type), l->target.value, key)) return true;
    }
    return false;
}

/* An instance is one of several of its service: how many are left is what counts. */
static void owner_fact(struct mp_engine *e, const struct mp_lease *l, uint32_t attr,
                       struct mp_value owner, struct mp_manual_answer *out)
{
    const struct mp_attr_row *row = &e->p->attr[attr];
    const struct mp_entity_row *kind = &e->p->entity[row->entity];
    uint64_t all = 0, left = 0;
    for (uint32_t i = 0; i < mp_inventory_count(e->inventory, row->entity); i++) {
        struct mp_value v, key = mp_inventory_entry(e->inventory, row->entity, i);
        if (!mp_inventory_attr(e->inventory, attr, key, &v)) continue;
        if (!mp_value_eq(mp_type_rep((enum mp_type)row->type), v, owner)) continue;
        bool me = mp_value_eq(mp_type_rep((enum mp_type)kind->key_type), key, l->target.value);
        all++;
        left += !me && !is_away(e, row->entity, kind->key_type, key);
    }
    mp_str name = en_manual_value(e, (enum mp_type)row->type, owner), word = text(e, kind->name);
    bool takes = e->p->action[l->action].blinds_count > 0;
    if (all > 0 && takes) {
        name = en_manual_say(e, "%.*s, which has %llu %.*s%s: %llu would be left", MP_STR_ARG(name),
                             (unsigned long long)all, MP_STR_ARG(word), all > 1 ? "s" : "",
                             (unsigned long long)left);
    }
    en_manual_fact(out, text(e, row->name), name);
}

/* *told: a bit for each entity whose members are told by an attribute of the target itself. */
static void attr_facts(struct mp_engine *e, const struct mp_lease *l, uint32_t *told,
                       struct mp_manual_answer *out)
{
    const struct mp_lease_target *t = &l->target;
    const struct mp_entity_row *entity = &e->p->entity[t->entity];
    for (uint32_t i = entity->attrs_at; i < entity->attrs_at + entity->attrs_count; i++) {
        const struct mp_attr_row *attr = &e->p->attr[i];
        struct mp_value v;
        if (!mp_inventory_attr(e->inventory, i, t->value, &v)) continue;
        if (attr->is_set && attr->target != MP_NONE && attr->target < 32)
            *told |= 1u << attr->target;
        if (attr->is_set) {
            set_fact(e, attr, v, out);
        } else if (attr->target != MP_NONE) {
            owner_fact(e, l, i, v, out);
        } else if (!is_preset(e, attr, v)) {
            en_manual_fact(out, text(e, attr->name),
                           en_manual_value(e, (enum mp_type)attr->type, v));
        }
    }
}

/* How many of another entity say that they belong to this one: instances of a service. */
static void belonging_fact(struct mp_engine *e, const struct mp_lease_target *t, uint32_t attr,
                           struct mp_manual_answer *out)
{
    const struct mp_attr_row *row = &e->p->attr[attr];
    uint64_t count = 0;
    enum mp_rep rep = mp_type_rep((enum mp_type)row->type);
    for (uint32_t i = 0; i < mp_inventory_count(e->inventory, row->entity); i++) {
        struct mp_value v, key = mp_inventory_entry(e->inventory, row->entity, i);
        if (!mp_inventory_attr(e->inventory, attr, key, &v)) continue;
        count += mp_value_eq(rep, v, t->value);
    }
    if (count == 0) return;
    en_manual_fact(out,
                   en_manual_say(e, "%.*ss", MP_STR_ARG(text(e, e->p->entity[row->entity].name))),
                   en_manual_say(e, "%llu", (unsigned long long)count));
}

static void inventory_facts(struct mp_engine *e, const struct mp_lease *l,
                            struct mp_manual_answer *out)
{
    const struct mp_lease_target *t = &l->target;
    uint32_t told = 0;
    if (t->entity == MP_NONE || t->bits != 0) return;
    bool lists = mp_inventory_count(e->inventory, t->entity) > 0;
    if (lists && !mp_inventory_has(e->inventory, t->entity, t->value)) {
        en_manual_fact(out, MP_STR("inventory"), MP_STR("does not name it"));
    }
    attr_facts(e, l, &told, out);
    for (uint32_t i = 0; i < e->p->attr_count; i++) {
        const struct mp_attr_row *attr = &e->p->attr[i];
        bool here = attr->target == t->entity && !attr->is_set && !attr->is_map;
        if (here && (attr->entity >= 32 || (told >> attr->entity & 1) == 0))
            belonging_fact(e, t, i, out);
    }
}

/* ---- what was seen ---- */

static bool counts_all(const struct mp_agg_row *agg)
{
    return agg->where == MP_NONE || agg->kind == MP_AGG_RATIO;
}

/* A window over a signal, kept per just this kind of thing. */
static bool is_of(const struct mp_engine *e, const struct mp_agg_row *agg,
                  const struct mp_lease_target *t)
{
    const struct mp_grouping_row *g = &e->p->grouping[agg->grouping];
    if (g->keys_count != 1 || !counts_all(agg)) return false;
    const struct mp_group_key_row *k = &e->p->group_key[g->keys_at];
    return t->entity != MP_NONE ? k->entity == t->entity
                                : k->entity == MP_NONE && k->type == t->type;
}

static void seen_fact(struct mp_engine *e, const struct mp_lease_target *t, uint32_t signal,
                      struct mp_manual_answer *out)
{
    for (uint32_t i = 0; i < e->p->agg_count; i++) {
        const struct mp_agg_row *agg = &e->p->agg[i];
        if (agg->signal != signal || !is_of(e, agg, t)) continue;
        struct mp_read how = {.asker = NULL};
        uint32_t key = mp_window_find(e->window, agg->grouping, &t->value);
        uint64_t n = key == MP_NONE ? 0 : mp_window_samples(e->window, &how, i, key);
        mp_str over = en_manual_value(e, MP_TYPE_DURATION, mp_value_int(agg->window_ns));
        en_manual_fact(
            out, text(e, e->p->signal[signal].name),
            en_manual_say(e, "%llu in the last %.*s", (unsigned long long)n, MP_STR_ARG(over)));
        return;
    }
}

static void seen_facts(struct mp_engine *e, const struct mp_lease_target *t,
                       struct mp_manual_answer *out)
{
    for (uint32_t s = 0; s < e->p->signal_count && t->bits == 0; s++) seen_fact(e, t, s, out);
}

/* ---- ranges ---- */

static void range_facts(struct mp_engine *e, const struct mp_lease *mine,
                        struct mp_manual_answer *out)
{
    const struct mp_lease_target *t = &mine->target;
    uint32_t inside = 0, stronger = 0, host_bits = 128 - t->bits;
    if (t->bits == 0) return;
    en_manual_fact(out, MP_STR("addresses"),
                   host_bits < 63 ? en_manual_say(e, "%llu", 1ull << host_bits)
                                  : en_manual_say(e, "2^%u", host_bits));
    for (uint32_t i = e->lease_live; i != EN_NONE; i = e->leases[i].next_live) {
        const struct mp_lease *l = &e->leases[i].l;
        if (!en_lease_in_force(&e->leases[i]) || l->shadow || l->target.entity != t->entity)
            continue;
        if (!mp_value_in_net(l->target.value, t->value, t->bits)) continue;
        inside++;
        stronger += l->class == mine->class && l->strength > mine->strength;
    }
    if (inside == 0) return;
    en_manual_fact(out, MP_STR("inside"),
                   en_manual_say(e, "%u leases in force, %u of them stronger", inside, stronger));
}

/* ---- others on the target ---- */

/* `held`: nothing carries this one now, so it takes nothing away yet. */
static const char *beside(enum mp_standing mine, enum mp_standing was, enum mp_standing its,
                          bool held)
{
    if (its == MP_STANDING_SUPERSEDED) {
        if (was == MP_STANDING_SUPERSEDED) return "waits already";
        return held ? "stays until this one is carried" : "waits until this one ends";
    }
    if (mine == MP_STANDING_SUPERSEDED) return "stronger: this one waits until it ends";
    return "holds beside this one";
}

static void rival_facts(struct mp_engine *e, const struct en_lease *l, bool held,
                        struct mp_manual_answer *out)
{
    struct en_lease *rival[EN_TARGET_LEASES_MAX];
    const struct mp_lease *leases[EN_TARGET_LEASES_MAX + 1];
    enum mp_standing standing[EN_TARGET_LEASES_MAX + 1];
    uint32_t n = en_lease_rivals(e, &l->l, rival);
    if (n == EN_TARGET_LEASES_MAX) n--;
    for (uint32_t i = 0; i < n; i++) {
        en_lease_weigh(e, rival[i]);
        leases[i] = &rival[i]->l;
    }
    leases[n] = &l->l;
    mp_decide_arbitrate(e->p, leases, n + 1, standing);
    for (uint32_t i = 0; i < n; i++) {
        const struct mp_lease *r = leases[i];
        mp_str verb = text(e, e->p->action[r->action].name), rule = en_rule_name(e, r->rule);
        en_manual_fact(
            out, MP_STR("lease"),
            en_manual_say(e, "#%llu %.*s by %.*s %s", (unsigned long long)r->id, MP_STR_ARG(verb),
                          MP_STR_ARG(rule),
                          beside(standing[n], (enum mp_standing)rival[i]->standing, standing[i],
                                 held)));
    }
}

/* Does the mesh as it is now carry it? */
static bool mesh_fact(struct mp_engine *e, const struct en_lease *l, struct mp_manual_answer *out)
{
    char why[256];
    if (en_backend_carries(e, l, why, sizeof why)) return true;
    en_manual_fact(out, MP_STR("mesh"),
                   en_manual_say(e, "it would wait: %s", why[0] != '\0' ? why : "nobody carries it"));
    return false;
}

/* Guards on single requests hold at each request (R43): what they protect passes. */
static void guard_facts(struct mp_engine *e, const struct en_lease *l, struct mp_manual_answer *out)
{
    mp_str verb = text(e, e->p->action[l->l.action].name);
    for (uint32_t i = 0; i < e->p->guard_count; i++) {
        const struct mp_guard_row *g = &e->p->guard[i];
        if (g->kind != MP_GUARD_WHERE_RECORD || !mp_str_eq(text(e, g->verb), verb)) continue;
        en_manual_fact(out, MP_STR("guard"), text(e, g->text));
    }
}

void en_manual_facts(struct mp_engine *e, const struct en_lease *l, struct mp_manual_answer *out)
{
    range_facts(e, &l->l, out);
    inventory_facts(e, &l->l, out);
    seen_facts(e, &l->l.target, out);
    rival_facts(e, l, !mesh_fact(e, l, out), out);
    guard_facts(e, l, out);
}
