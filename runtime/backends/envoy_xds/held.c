/* SPDX-License-Identifier: Apache-2.0
 * Leases that no proxy ever had and none could have now, and those that somebody lets through:
 * which they are, and why, in words.
 */
#include "envoy_xds/envoy_xds_priv.h"

/* ---- words ---- */

static mp_str layer_name(uint32_t hooks)
{
    switch (hooks & MPOL_ANY_LAYER) {
    case MPOL_INGRESS: return MP_STR("ingress");
    case MPOL_SERVICE: return MP_STR("service");
    case MPOL_EDGE: return MP_STR("edge");
    default: return MP_STR("");
    }
}

uint32_t proxy_say_refused(const struct proxy *p, char *out, size_t size)
{
    return xd_print(out, size, "proxy %.*s refused %.*s (%s): %.*s", MP_STR_ARG(p->id),
                    (int)p->nack_name_len, p->nack_name, mp_envoy_type_word(p->nack_type).ptr,
                    (int)p->nack_text_len, p->nack_text);
}

/* Where it is in force all the same comes first: a long name may be cut. */
static uint32_t say_lack(const struct gap *gap, char *out, size_t size)
{
    char where[64] = "", more[32] = "", others[48] = "";
    if (gap->obeying > 0) {
        xd_print(where, sizeof where - 1, "in force at %u of %u proxies; ", gap->obeying,
                 gap->carriers + gap->lacking);
    } else if (gap->carriers > 0) {
        xd_print(others, sizeof others - 1, "; %u other%s given it", gap->carriers,
                 gap->carriers == 1 ? " is" : "s are");
    }
    if (gap->lacking > 1) xd_print(more, sizeof more - 1, " and %u more do", gap->lacking - 1);
    return xd_print(out, size, "%sproxy %.*s%s not ask for %.*s%s", where,
                    MP_STR_ARG(gap->proxy->id), gap->lacking > 1 ? more : " does",
                    MP_STR_ARG(gap->lack), others);
}

static uint32_t say_gap(const struct gap *gap, char *out, size_t size)
{
    char where[64] = "";
    if (gap->part == LACKS) return say_lack(gap, out, size);
    if (gap->obeying > 0) {
        xd_print(where, sizeof where - 1, "in force at %u of %u proxies; ", gap->obeying,
                 gap->carriers + gap->lacking);
    }
    uint32_t len = xd_print(out, size, "%s", where);
    if (gap->part == REFUSES)
        return len + proxy_say_refused(gap->proxy, out + len, size - len);
    return len + xd_print(out + len, size - len, "proxy %.*s has taken %.*s and %s",
                          MP_STR_ARG(gap->proxy->id), MP_STR_ARG(gap->lack),
                          gap->part == UNSEEN ? "is not seen to obey it" : "does not obey it");
}

static uint32_t say_nobody(const struct mpol_lease *l, char *out, size_t size)
{
    return xd_print(out, size, "no %.*s %.*s is in the inventory, and no proxy of it is connected",
                    (int)l->target_kind.len, l->target_kind.ptr, (int)l->target.len,
                    l->target.ptr);
}

static uint32_t say_aim(const struct mpol_lease *l, const struct mp_envoy_aim *aim, char *out,
                        size_t size)
{
    mp_str service = {l->target.ptr, l->target.len};
    if (!aim->nowhere) {
        return xd_print(out, size, "no proxy leads to service %.*s by " MP_ENVOY_ROUTES,
                        MP_STR_ARG(service));
    }
    if (aim->mirror) {
        return xd_print(out, size, "no service %.*s is in the inventory", MP_STR_ARG(aim->onto));
    }
    return xd_print(out, size, "no instance of %.*s has version %.*s, and no service is called so",
                    MP_STR_ARG(service), MP_STR_ARG(aim->onto));
}

/* A proxy of the target itself, at a layer where the lease does not hold. */
static const struct proxy *proxy_elsewhere(const struct mp_envoy *e, const struct mpol_lease *l)
{
    for (const struct proxy *p = e->proxies; p != NULL; p = p->next) {
        if (p->stream == NULL || !p->known || !lease_is_of(l, p)) continue;
        if ((l->hooks & p->audience.layer) == 0) return p;
    }
    return NULL;
}

/* Nobody is there whom it would concern. */
static uint32_t say_nowhere(const struct mp_envoy *e, const struct mpol_lease *l, char *out,
                            size_t size)
{
    mp_str kind = {l->target_kind.ptr, l->target_kind.len}, target = {l->target.ptr, l->target.len};
    mp_str cluster = lease_cluster(e, l), layer = layer_name(l->hooks);
    if (mp_str_eq(kind, MP_STR("instance")) && cluster.len > 0) {
        return xd_print(out, size,
                        "no proxy of instance %.*s is connected, nor one that leads to %.*s",
                        MP_STR_ARG(target), MP_STR_ARG(cluster));
    }
    if (mp_str_eq(kind, MP_STR("service")) || mp_str_eq(kind, MP_STR("instance"))) {
        return xd_print(out, size, "no proxy of %.*s %.*s is connected", MP_STR_ARG(kind),
                        MP_STR_ARG(target));
    }
    if (layer.len == 0) return xd_print(out, size, "no proxy of these layers is connected");
    return xd_print(out, size, "no proxy of layer %.*s is connected", MP_STR_ARG(layer));
}

static uint32_t say_held(const struct mp_envoy *e, const struct mpol_lease *l,
                         const struct gap *gap, char *out, size_t size)
{
    const struct proxy *p = gap->proxy;
    struct mp_envoy_aim aim;
    if (gap->lack.len > 0) return say_gap(gap, out, size);
    if (p != NULL && p->silent)
        return xd_print(out, size, "proxy %.*s does not answer", MP_STR_ARG(p->id));
    if (p != NULL) return proxy_say_refused(p, out, size);
    if (lease_is_of_nobody(e, l)) return say_nobody(l, out, size);
    if (mp_envoy_lease_aim(l, &e->world, &aim) && (aim.by_routes || aim.nowhere))
        return say_aim(l, &aim, out, size);
    const struct proxy *elsewhere = proxy_elsewhere(e, l);
    if (elsewhere != NULL) {
        return xd_print(out, size, "the proxies of %.*s %.*s are at layer %.*s: write `on %.*s`",
                        (int)l->target_kind.len, l->target_kind.ptr, (int)l->target.len,
                        l->target.ptr, MP_STR_ARG(layer_name(elsewhere->audience.layer)),
                        MP_STR_ARG(layer_name(elsewhere->audience.layer)));
    }
    return say_nowhere(e, l, out, size);
}

/* ---- which they are ---- */

static enum mpol_err trouble_of(const struct gap *gap)
{
    if (gap->lack.len > 0) return MPOL_EINVAL;
    return gap->proxy == NULL || gap->proxy->silent ? MPOL_EIO : MPOL_EINVAL;
}

enum mpol_err held_ask(void *backend, const struct mpol_lease *lease, char *why, size_t why_size)
{
    struct mp_envoy *e = backend;
    struct gap gap;
    if (lease_is_carried(e, lease, &gap, false)) return MPOL_OK;
    why[say_held(e, lease, &gap, why, why_size - 1)] = '\0';
    return trouble_of(&gap);
}

static bool room_for_held(struct mp_envoy *e)
{
    if (e->held_texts == NULL) e->held_texts = xd_alloc(e, (size_t)HELD_TEXTS * HELD_TEXT);
    if (e->held == NULL) e->held = xd_alloc(e, e->limits.leases * sizeof *e->held);
    return e->held_texts != NULL && e->held != NULL;
}

static void hold(struct mp_envoy *e, const struct mpol_lease *l, const struct gap *gap)
{
    uint32_t at = e->held_count < HELD_TEXTS ? e->held_count : HELD_TEXTS - 1;
    char *text = e->held_texts + (size_t)at * HELD_TEXT;
    size_t len = say_held(e, l, gap, text, HELD_TEXT);
    e->held[e->held_count++] = (struct mpol_lease_trouble){
        .lease = l->id, .trouble = trouble_of(gap), .text = {text, len}};
}

/* Whoever a client or an identity is, the same proxies carry what is done to it: a thousand of
 * them are asked about once. */
struct asked {
    mp_str verb, kind;
    uint32_t hooks;
    bool can;
    struct gap gap;
};
#define ASKED_MAX 16u

struct memory {
    struct asked rows[ASKED_MAX];
    uint32_t count;
};

static bool is_anybody(mp_str kind)
{
    return mp_str_eq(kind, MP_STR("client")) || mp_str_eq(kind, MP_STR("identity"));
}

static bool ask_once(struct mp_envoy *e, const struct mpol_lease *l, struct memory *m,
                     struct gap *gap)
{
    struct asked q = {
        .verb = lease_verb(l), .kind = {l->target_kind.ptr, l->target_kind.len}, .hooks = l->hooks};
    if (!is_anybody(q.kind)) return lease_is_carried(e, l, gap, true);
    for (uint32_t i = 0; i < m->count; i++) {
        const struct asked *a = &m->rows[i];
        if (a->hooks != q.hooks || !mp_str_eq(a->verb, q.verb) || !mp_str_eq(a->kind, q.kind))
            continue;
        *gap = a->gap;
        return a->can;
    }
    q.can = lease_is_carried(e, l, gap, true);
    q.gap = *gap;
    if (m->count < ASKED_MAX) m->rows[m->count++] = q;
    return q.can;
}

/* A proxy that lacks something lets through what a lease refuses, also one that all others have
 * carried before it came. */
static void warn_of_lacks(const struct mp_envoy *e)
{
    for (struct proxy *p = e->proxies; p != NULL; p = p->next) {
        if (p->lacks.len > 0 && p->lacked.len == 0) {
            xd_log(e, MP_ENVOY_WARNING,
                   "proxy %.*s does not ask for %.*s: leases that need it are not in force there",
                   MP_STR_ARG(p->id), MP_STR_ARG(p->lacks));
        }
        p->lacked = p->lacks;
    }
}

/* Asking that of each lease and each proxy is much, so it is done when one of both has changed, and
 * not at every ACK. */
void held_reckon(struct mp_envoy *e)
{
    struct memory memory = {.count = 0};
    if (!e->regroup && !e->graced) return;
    e->held_count = 0;
    e->regroup = e->graced = e->unsure = false;
    for (struct proxy *p = e->proxies; p != NULL; p = p->next) p->lacks = MP_STR("");
    for (uint32_t i = 0; i < e->plan.count; i++) {
        struct lease *note = &e->plan.notes[i];
        struct gap gap;
        bool can = ask_once(e, &e->plan.leases[i], &memory, &gap);
        /* What was carried once is so no more only where somebody lets through what it refuses. */
        note->can = can || (note->carried && gap.lacking == 0);
        e->unsure |= !note->carried && can && gap.graced;
        if (!note->can && mp_str_eq(note->owner, e->owner) && room_for_held(e)) {
            hold(e, &e->plan.leases[i], &gap);
        }
    }
    warn_of_lacks(e);
}

void held_note(struct mp_envoy *e)
{
    if (e->accepted != e->revision || e->unsure) return;
    for (uint32_t i = 0; i < e->plan.count; i++) e->plan.notes[i].carried |= e->plan.notes[i].can;
}
