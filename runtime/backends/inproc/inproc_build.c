/* SPDX-License-Identifier: Apache-2.0
 * From a desired set to a table. Everything that can be refused is refused here, before anything is
 * published, so a set is taken whole or not at all.
 */
#include <stdlib.h>

#include "base/assert.h"
#include "capability/capability.h"
#include "inproc/inproc_priv.h"

static mp_str str_of(struct mpol_text t) { return (mp_str){t.ptr, t.len}; }

/* ---- one lease ---- */

/* What many leases have in common is read once, and lies in the table once: of a long list most
 * words are those of the lease before. */
struct reader {
    struct mp_inproc *b;
    struct table *t;
    const struct mpol_desired *set;
    const struct mpol_lease *before; /* its row is the newest of the table; NULL: the first */
    enum mp_type type;               /* of its key */
};

static enum mp_err text_put(struct table *t, mp_str s, mp_str *out)
{
    if (s.len > t->text_cap - t->text_len) return MP_ELIMIT;
    char *at = t->texts + t->text_len;
    if (s.len > 0) memcpy(at, s.ptr, s.len);
    t->text_len += s.len;
    *out = (mp_str){at, s.len};
    return MP_OK;
}

static bool verb_of(mp_str word, enum mp_inproc_verb *out)
{
    for (int v = 0; v < MP_INPROC_VERB_COUNT; v++) {
        if (mp_str_eq(word, mp_inproc_verb_word((enum mp_inproc_verb)v))) {
            *out = (enum mp_inproc_verb)v;
            return true;
        }
    }
    return false;
}

static bool can(const struct mp_inproc *b, const struct mpol_lease *l)
{
    bool range = mp_str_eq(str_of(l->target_type), mp_type_word(MP_TYPE_CIDR));
    mp_str verb = str_of(l->verb), kind = str_of(l->target_kind);
    const struct mpol_capability *c =
        mp_capability_of(mp_inproc_capabilities, MP_INPROC_CAPABILITY_COUNT, verb, kind);
    if (c == NULL && b->limits.cuts)
        c = mp_capability_of(mp_module_capabilities, MP_MODULE_CAPABILITY_COUNT, verb, kind);
    return c != NULL && (l->hooks & ~c->hooks) == 0 &&
           (!range || (c->flags & MPOL_CAN_RANGE) != 0);
}

static bool type_of(mp_str word, enum mp_type *out)
{
    for (int i = 0; i < MP_TYPE_COUNT; i++) {
        if (word.len == 0 || !mp_str_eq(mp_type_word((enum mp_type)i), word)) continue;
        *out = (enum mp_type)i;
        return true;
    }
    return false;
}

static enum mp_err int_read(mp_str text, struct mp_value *out)
{
    int64_t n = 0;
    if (text.len == 0 || text.len > 18) return MP_EINVAL;
    for (size_t at = 0; at < text.len; at++) {
        if (text.ptr[at] < '0' || text.ptr[at] > '9') return MP_EINVAL;
        n = n * 10 + (text.ptr[at] - '0');
    }
    *out = mp_value_int(n);
    return MP_OK;
}

/* The key as requests have it: an address as an address, whatever its spelling. */
static enum mp_err key_read(enum mp_type type, mp_str text, struct mp_inproc_lease *out)
{
    uint32_t bits = 0;
    out->rep = mp_type_rep(type);
    switch (out->rep) {
    case MP_REP_T:
        out->key = mp_value_text(text);
        return MP_OK;
    case MP_REP_A:
        if (!mp_value_address(text, &out->key, &bits) || bits == 0) return MP_EINVAL;
        if (type == MP_TYPE_CIDR && bits < 128) out->bits = bits;
        return type == MP_TYPE_CIDR || bits == 128 ? MP_OK : MP_EINVAL;
    case MP_REP_I:
        return int_read(text, &out->key);
    default:
        return MP_EUNSUPPORTED;
    }
}

static const struct mpol_arg *arg_named(const struct mpol_lease *from, mp_str name)
{
    for (uint32_t i = 0; i < from->arg_count; i++) {
        if (mp_str_eq(str_of(from->args[i].name), name)) return &from->args[i];
    }
    return NULL;
}

static double arg_number(const struct mpol_lease *from, mp_str name, double without)
{
    const struct mpol_arg *a = arg_named(from, name);
    if (a == NULL || a->kind == MPOL_ARG_TEXT) return without;
    return a->kind == MPOL_ARG_INT ? (double)a->integer : a->number;
}

static enum mp_err throttle_read(const struct mpol_lease *from, struct mp_inproc_lease *out)
{
    const struct mpol_arg *to = arg_named(from, MP_STR("to"));
    if (to == NULL || to->kind == MPOL_ARG_TEXT) return MP_EINVAL;
    out->to = arg_number(from, MP_STR("to"), 0);
    out->burst = arg_number(from, MP_STR("burst"), 0);
    out->is_rate = mp_str_eq(str_of(to->type), MP_STR("rate"));
    if (!out->is_rate && !mp_str_eq(str_of(to->type), MP_STR("percent"))) return MP_EUNSUPPORTED;
    out->limit = out->is_rate ? mp_bucket_of_rate(out->to, out->burst, out->given_back)
                              : mp_bucket_of_share(out->to, out->given_back);
    return MP_OK;
}

static int status_without(enum mp_inproc_verb verb)
{
    return verb == MP_INPROC_THROTTLE ? 429 : verb == MP_INPROC_CHALLENGE ? 401 : 403;
}

static bool same_text(struct mpol_text a, struct mpol_text b)
{
    return mp_str_eq(str_of(a), str_of(b));
}

static bool same_words(const struct mpol_lease *a, const struct mpol_lease *b)
{
    return a->hooks == b->hooks && same_text(a->verb, b->verb) && same_text(a->rule, b->rule) &&
           same_text(a->target_kind, b->target_kind) && same_text(a->target_type, b->target_type);
}

static enum mp_err words_read(struct reader *r, const struct mpol_lease *from,
                              struct mp_inproc_lease *out)
{
    struct table *t = r->t;
    if (!verb_of(str_of(from->verb), &out->verb)) return MP_EUNSUPPORTED;
    if (!can(r->b, from)) return MP_EUNSUPPORTED;
    MP_TRY(text_put(t, str_of(r->set->owner), &out->owner));
    MP_TRY(text_put(t, str_of(from->rule), &out->rule));
    MP_TRY(text_put(t, str_of(from->target_kind), &out->target_kind));
    MP_TRY(text_put(t, str_of(from->target_type), &out->target_type));
    MP_TRY(mp_inproc_kind(r->b, out->target_kind, &out->kind));
    return type_of(out->target_type, &r->type) ? MP_OK : MP_EINVAL;
}

static void words_take(const struct mp_inproc_lease *before, struct mp_inproc_lease *out)
{
    out->verb = before->verb;
    out->owner = before->owner;
    out->rule = before->rule;
    out->target_kind = before->target_kind;
    out->target_type = before->target_type;
    out->kind = before->kind;
}

static enum mp_err lease_read(struct reader *r, const struct mpol_lease *from,
                              struct mp_inproc_lease *out)
{
    *out = (struct mp_inproc_lease){.id = from->id, .incident = from->incident,
                                    .hooks = from->hooks, .given_back = from->given_back,
                                    .begins_wall_ns = from->begins_wall_ns,
                                    .ends_wall_ns = from->ends_wall_ns,
                                    .bucket = MP_INPROC_NO_BUCKET};
    if (r->before != NULL && same_words(r->before, from)) {
        words_take(out - 1, out);
    } else {
        MP_TRY(words_read(r, from, out));
    }
    r->before = from;
    MP_TRY(text_put(r->t, str_of(from->target), &out->target));
    MP_TRY(key_read(r->type, out->target, out));
    double status = arg_number(from, MP_STR("status"), 0);
    out->status = mp_is_refusal(status) ? (int)status : status_without(out->verb);
    if (out->given_back > 0 && out->verb != MP_INPROC_THROTTLE) {
        double pass = out->given_back < 1 ? out->given_back : 1;
        out->pass = (uint64_t)(pass * 4294967296.0);
    }
    return out->verb == MP_INPROC_THROTTLE ? throttle_read(from, out) : MP_OK;
}

/* ---- all of them ---- */

int mp_inproc_order(const struct mp_inproc_lease *a, const struct mp_inproc_lease *b)
{
    int owners = mp_str_cmp(a->owner, b->owner);
    if (owners != 0) return owners;
    return (a->id > b->id) - (a->id < b->id);
}

static int by_owner_and_id(const void *x, const void *y) { return mp_inproc_order(x, y); }

/* The text of the lease before once more, where it is the same. */
static enum mp_err word_put(struct table *t, mp_str s, const mp_str *before, mp_str *out)
{
    if (before == NULL || !mp_str_eq(*before, s)) return text_put(t, s, out);
    *out = *before;
    return MP_OK;
}

/* A lease of the old table in the new one, its texts moved along. */
static enum mp_err keep(struct table *t, const struct mp_inproc_lease *old)
{
    struct mp_inproc_lease *l = &t->leases[t->view.lease_count];
    const struct mp_inproc_lease *before = t->view.lease_count > 0 ? l - 1 : NULL;
    *l = *old;
    MP_TRY(word_put(t, old->owner, before != NULL ? &before->owner : NULL, &l->owner));
    MP_TRY(word_put(t, old->rule, before != NULL ? &before->rule : NULL, &l->rule));
    MP_TRY(word_put(t, old->target_kind, before != NULL ? &before->target_kind : NULL,
                    &l->target_kind));
    MP_TRY(word_put(t, old->target_type, before != NULL ? &before->target_type : NULL,
                    &l->target_type));
    MP_TRY(text_put(t, old->target, &l->target));
    if (l->rep == MP_REP_T) l->key = mp_value_text(l->target);
    t->view.lease_count++;
    return MP_OK;
}

static void start(const struct table *old, struct table *t)
{
    t->text_len = 0;
    t->view.lease_count = 0;
    t->view.leases = t->leases;
    t->view.context = old->view.context;
    t->view.revision = old->view.revision;
}

enum mp_err mp_inproc_copy(const struct table *old, struct table *t)
{
    start(old, t);
    for (uint32_t i = 0; i < old->view.lease_count; i++) {
        MP_TRY(keep(t, &old->leases[i]));
    }
    mp_inproc_index(t);
    return MP_OK;
}

/* Most sets come in order. */
static bool is_sorted(const struct table *t)
{
    for (uint32_t i = 1; i < t->view.lease_count; i++) {
        if (mp_inproc_order(&t->leases[i - 1], &t->leases[i]) >= 0) return false;
    }
    return true;
}

/* Ids are unique in a set; two leases of one id would make the answer depend on their order. */
static enum mp_err sort(struct table *t)
{
    if (is_sorted(t)) return MP_OK;
    qsort(t->leases, t->view.lease_count, sizeof *t->leases, by_owner_and_id);
    for (uint32_t i = 1; i < t->view.lease_count; i++) {
        if (mp_inproc_order(&t->leases[i - 1], &t->leases[i]) == 0) return MP_EINVAL;
    }
    return MP_OK;
}

/* A throttle keeps its bucket from table to table: a new table must not be a new allowance. */
static void inherit_buckets(const struct table *old, struct table *t)
{
    uint32_t at = 0;
    for (uint32_t i = 0; i < t->view.lease_count; i++) {
        struct mp_inproc_lease *l = &t->leases[i];
        if (l->verb != MP_INPROC_THROTTLE) continue;
        while (at < old->view.lease_count && mp_inproc_order(&old->leases[at], l) < 0) at++;
        if (at == old->view.lease_count) return;
        if (mp_inproc_order(&old->leases[at], l) == 0) l->bucket = old->leases[at].bucket;
    }
}

static enum mp_err few_ranges(const struct table *t)
{
    uint32_t ranges = 0;
    for (uint32_t i = 0; i < t->view.lease_count; i++) ranges += t->leases[i].bits != 0;
    return ranges <= MP_INPROC_RANGES_MAX ? MP_OK : MP_ELIMIT;
}

enum mp_err mp_inproc_build(struct mp_inproc *b, const struct table *old, struct table *t,
                            const struct mpol_desired *set)
{
    mp_str owner = str_of(set->owner);
    start(old, t);
    for (uint32_t i = 0; i < old->view.lease_count; i++) {
        if (!mp_str_eq(old->leases[i].owner, owner)) MP_TRY(keep(t, &old->leases[i]));
    }
    if (set->lease_count > t->lease_cap - t->view.lease_count) return MP_ELIMIT;
    struct reader r = {.b = b, .t = t, .set = set};
    for (size_t i = 0; i < set->lease_count; i++) {
        MP_TRY(lease_read(&r, &set->leases[i], &t->leases[t->view.lease_count]));
        t->view.lease_count++;
    }
    MP_TRY(few_ranges(t));
    MP_TRY(sort(t));
    inherit_buckets(old, t);
    mp_inproc_index(t);
    return MP_OK;
}

static bool same_lease(const struct mp_inproc_lease *a, const struct mp_inproc_lease *b)
{
    return a->id == b->id && a->incident == b->incident && a->verb == b->verb &&
           a->hooks == b->hooks && a->status == b->status && a->kind == b->kind &&
           a->rep == b->rep && a->bits == b->bits && a->is_rate == b->is_rate &&
           a->begins_wall_ns == b->begins_wall_ns && a->ends_wall_ns == b->ends_wall_ns &&
           !(a->given_back < b->given_back) && !(a->given_back > b->given_back) &&
           !(a->to < b->to) && !(a->to > b->to) &&
           !(a->burst < b->burst) && !(a->burst > b->burst) && mp_str_eq(a->owner, b->owner) &&
           mp_str_eq(a->rule, b->rule) && mp_value_eq(a->rep, a->key, b->key);
}

bool mp_inproc_same(const struct table *a, const struct table *b)
{
    if (a->view.lease_count != b->view.lease_count || a->view.context != b->view.context)
        return false;
    for (uint32_t i = 0; i < a->view.lease_count; i++) {
        if (!same_lease(&a->leases[i], &b->leases[i])) return false;
    }
    return true;
}
