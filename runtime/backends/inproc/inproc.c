/* SPDX-License-Identifier: Apache-2.0 */
#include "inproc/inproc.h"

#include "base/assert.h"
#include "capability/capability.h"
#include "inproc/inproc_priv.h"

/* ---- what it can do ---- */

static const mp_str verb_words[MP_INPROC_VERB_COUNT] = {
    [MP_INPROC_EXEMPT] = MP_STR_INIT("exempt"),
    [MP_INPROC_DENY] = MP_STR_INIT("deny"),
    [MP_INPROC_QUARANTINE] = MP_STR_INIT("quarantine"),
    [MP_INPROC_THROTTLE] = MP_STR_INIT("throttle"),
    [MP_INPROC_CHALLENGE] = MP_STR_INIT("challenge"),
    [MP_INPROC_CUT] = MP_STR_INIT("cut"),
};

mp_str mp_inproc_verb_word(enum mp_inproc_verb verb)
{
    MP_ASSERT(verb < MP_INPROC_VERB_COUNT);
    return verb_words[verb];
}

/* ---- memory ---- */

static enum mp_err table_create(struct mp_arena *a, struct mp_inproc *b, struct table *t)
{
    uint32_t slots = 16;
    while (slots < 2 * b->limits.leases) slots *= 2;
    t->key = b->key;
    t->lease_cap = b->limits.leases;
    t->leases = MP_NEW(a, struct mp_inproc_lease, b->limits.leases);
    t->slots = MP_NEW(a, struct slot, slots);
    t->slot_mask = slots - 1;
    t->text_cap = (size_t)b->limits.leases * LEASE_TEXT_BYTES;
    t->texts = MP_NEW(a, char, t->text_cap);
    t->view.leases = t->leases;
    t->view.buckets = b->buckets;
    return t->leases != NULL && t->slots != NULL && t->texts != NULL ? MP_OK : MP_ENOMEM;
}

static enum mp_err buckets_create(struct mp_arena *a, struct mp_inproc *b)
{
    /* Twice as many as leases: those of tables that have been replaced are in limbo
     * for a moment. */
    b->bucket_count = 2 * b->limits.leases;
    b->buckets = MP_NEW(a, struct mp_bucket, b->bucket_count);
    b->free_buckets = MP_NEW(a, uint32_t, b->bucket_count);
    b->limbo = MP_NEW(a, struct limbo, b->bucket_count);
    if (b->buckets == NULL || b->free_buckets == NULL || b->limbo == NULL) return MP_ENOMEM;
    for (uint32_t i = 0; i < b->bucket_count; i++) {
        b->free_buckets[i] = b->bucket_count - 1 - i;
    }
    b->free_count = b->bucket_count;
    return MP_OK;
}

enum mp_err mp_inproc_create(struct mp_arena *arena, struct mp_inproc_limits limits,
                             struct mp_hash_key key, struct mp_inproc **out)
{
    if (limits.leases == 0 || limits.readers == 0) return MP_EINVAL;
    struct mp_inproc *b = MP_NEW(arena, struct mp_inproc, 1);
    if (b == NULL) return MP_ENOMEM;
    b->limits = limits;
    b->key = key;
    b->readers = MP_NEW(arena, struct mp_inproc_reader, limits.readers);
    if (b->readers == NULL) return MP_ENOMEM;
    MP_TRY(buckets_create(arena, b));
    for (int i = 0; i < TABLES; i++) {
        MP_TRY(table_create(arena, b, &b->tables[i]));
    }
    b->tables[0].view.number = 1;
    atomic_store(&b->current, &b->tables[0]);
    atomic_store(&b->newest, 1);
    b->revision_number = 1;
    *out = b;
    return MP_OK;
}

enum mp_err mp_inproc_kind(struct mp_inproc *b, mp_str kind, uint32_t *out)
{
    for (uint32_t i = 0; i < b->kind_count; i++) {
        if (mp_str_eq((mp_str){b->kinds[i].text, b->kinds[i].len}, kind)) {
            *out = i;
            return MP_OK;
        }
    }
    if (b->kind_count == KINDS_MAX || kind.len > KIND_TEXT_MAX || kind.len == 0) return MP_ELIMIT;
    memcpy(b->kinds[b->kind_count].text, kind.ptr, kind.len);
    b->kinds[b->kind_count].len = (uint32_t)kind.len;
    *out = b->kind_count++;
    return MP_OK;
}

/* ---- readers ---- */

enum mp_err mp_inproc_reader_open(struct mp_inproc *b, struct mp_inproc_reader **out)
{
    for (uint32_t i = 0; i < b->limits.readers; i++) {
        struct mp_inproc_reader *r = &b->readers[i];
        if (r->open) continue;
        r->open = true;
        r->backend = b;
        *out = r;
        return MP_OK;
    }
    return MP_ELIMIT;
}

void mp_inproc_reader_close(struct mp_inproc_reader *r)
{
    MP_ASSERT(r->open);
    MP_ASSERT(atomic_load(&r->epoch) == 0); /* a reader is not closed in the middle of a request */
    r->open = false;
}

const struct mp_inproc_view *mp_inproc_enter(struct mp_inproc_reader *r)
{
    struct mp_inproc *b = r->backend;
    uint64_t newest = atomic_load_explicit(&b->newest, memory_order_acquire);
    /* Sequentially consistent, like the publisher's store of `current` and its look at the
     * epochs: if it saw us between two requests, we see its table. */
    atomic_exchange(&r->epoch, newest);
    return &atomic_load(&b->current)->view;
}

void mp_inproc_leave(struct mp_inproc_reader *r)
{
    atomic_store_explicit(&r->epoch, 0, memory_order_release);
}

bool mp_inproc_passed(const struct mp_inproc *b, uint64_t number)
{
    for (uint32_t i = 0; i < b->limits.readers; i++) {
        uint64_t epoch = atomic_load(&b->readers[i].epoch);
        if (epoch != 0 && epoch < number) return false;
    }
    return true;
}

/* ---- publishing ---- */

static struct table *free_table(struct mp_inproc *b)
{
    const struct table *current = atomic_load_explicit(&b->current, memory_order_relaxed);
    for (int i = 0; i < TABLES; i++) {
        struct table *t = &b->tables[i];
        if (t != current && (t->replaced_by == 0 || mp_inproc_passed(b, t->replaced_by))) return t;
    }
    return NULL;
}

static void publish(struct mp_inproc *b, struct table *old, struct table *t)
{
    uint64_t number = old->view.number + 1;
    t->view.number = number;
    t->replaced_by = 0;
    atomic_store(&b->current, t);
    atomic_store(&b->newest, number);
    old->replaced_by = number;
}

static void buckets_reclaim(struct mp_inproc *b)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < b->limbo_count; i++) {
        if (mp_inproc_passed(b, b->limbo[i].number)) {
            b->free_buckets[b->free_count++] = b->limbo[i].bucket;
        } else {
            b->limbo[kept++] = b->limbo[i];
        }
    }
    b->limbo_count = kept;
}

/* Gives every new throttle a fresh bucket. Nothing is changed unless there are enough. */
static enum mp_err buckets_assign(struct mp_inproc *b, struct table *t)
{
    uint32_t wanted = 0;
    for (uint32_t i = 0; i < t->view.lease_count; i++) {
        struct mp_inproc_lease *l = &t->leases[i];
        wanted += l->verb == MP_INPROC_THROTTLE && l->bucket == MP_INPROC_NO_BUCKET;
    }
    if (wanted > b->free_count) buckets_reclaim(b);
    if (wanted > b->free_count) return MP_EAGAIN;
    for (uint32_t i = 0; i < t->view.lease_count; i++) {
        struct mp_inproc_lease *l = &t->leases[i];
        if (l->verb != MP_INPROC_THROTTLE || l->bucket != MP_INPROC_NO_BUCKET) continue;
        l->bucket = b->free_buckets[--b->free_count];
        atomic_store_explicit(&b->buckets[l->bucket].credit, 0, memory_order_relaxed);
        atomic_store_explicit(&b->buckets[l->bucket].arrival_ns, 0, memory_order_relaxed);
    }
    return MP_OK;
}

/* Buckets of leases that are gone; readers of `old` may use them until `number` has passed. */
static void buckets_release(struct mp_inproc *b, const struct table *old, const struct table *t,
                            uint64_t number)
{
    uint32_t at = 0;
    for (uint32_t i = 0; i < old->view.lease_count; i++) {
        const struct mp_inproc_lease *l = &old->leases[i];
        if (l->bucket == MP_INPROC_NO_BUCKET) continue;
        while (at < t->view.lease_count && mp_inproc_order(&t->leases[at], l) < 0) at++;
        bool kept = at < t->view.lease_count && mp_inproc_order(&t->leases[at], l) == 0 &&
                    t->leases[at].bucket == l->bucket;
        if (kept) continue;
        MP_ASSERT(b->limbo_count < b->bucket_count);
        b->limbo[b->limbo_count++] = (struct limbo){l->bucket, number};
    }
}

enum mp_err mp_inproc_set_context(struct mp_inproc *b, void *context, uint64_t *number)
{
    struct table *old = atomic_load_explicit(&b->current, memory_order_relaxed);
    struct table *t = free_table(b);
    if (t == NULL) return MP_EAGAIN;
    MP_TRY(mp_inproc_copy(old, t));
    t->view.context = context;
    publish(b, old, t);
    *number = t->view.number;
    return MP_OK;
}

/* ---- the backend's functions ---- */

static enum mpol_err inproc_apply(void *backend, const struct mpol_desired *set)
{
    struct mp_inproc *b = backend;
    struct table *old = atomic_load_explicit(&b->current, memory_order_relaxed);
    struct table *t = free_table(b);
    if (t == NULL) return MPOL_EAGAIN;
    enum mp_err err = mp_inproc_build(b, old, t, set);
    if (err != MP_OK) return (enum mpol_err)err;
    if (mp_inproc_same(old, t)) {
        b->revision = set->revision;
        return MPOL_OK;
    }
    err = buckets_assign(b, t);
    if (err != MP_OK) return (enum mpol_err)err;
    t->view.revision = set->revision;
    publish(b, old, t);
    buckets_release(b, old, t, t->view.number);
    b->revision = set->revision;
    b->revision_number = t->view.number;
    return MPOL_OK;
}

static enum mpol_err inproc_progress(void *backend, struct mpol_progress *out)
{
    struct mp_inproc *b = backend;
    if (mp_inproc_passed(b, b->revision_number)) b->effective = b->revision;
    *out = (struct mpol_progress){.size = sizeof *out, .accepted = b->revision,
                                  .effective = b->effective};
    return MPOL_OK;
}

static struct mpol_text text_of(mp_str s) { return (struct mpol_text){s.ptr, s.len}; }

static enum mpol_err inproc_read_back(void *backend, struct mpol_text owner,
                                      mpol_read_back_fn found, void *ctx)
{
    struct mp_inproc *b = backend;
    const struct table *t = atomic_load_explicit(&b->current, memory_order_relaxed);
    for (uint32_t i = 0; i < t->view.lease_count; i++) {
        const struct mp_inproc_lease *l = &t->leases[i];
        if (!mp_str_eq(l->owner, (mp_str){owner.ptr, owner.len})) continue;
        struct mpol_arg args[] = {
            {.name = mpol_text("to"), .type = mpol_text(l->is_rate ? "rate" : "percent"),
             .kind = MPOL_ARG_NUMBER, .number = l->to},
            {.name = mpol_text("burst"), .type = mpol_text("int"), .kind = MPOL_ARG_INT,
             .integer = (int64_t)l->burst},
        };
        struct mpol_lease lease = {
            .size = sizeof lease, .id = l->id, .incident = l->incident, .rule = text_of(l->rule),
            .verb = text_of(mp_inproc_verb_word(l->verb)), .target_kind = text_of(l->target_kind),
            .target_type = text_of(l->target_type), .target = text_of(l->target),
            .hooks = l->hooks, .ends_wall_ns = l->ends_wall_ns, .given_back = l->given_back,
            .begins_wall_ns = l->begins_wall_ns,
            .args = args, .arg_count = l->verb == MP_INPROC_THROTTLE ? 2 : 0,
        };
        if (found(ctx, &lease) != 0) break;
    }
    return MPOL_OK;
}

const struct mpol_backend_ops mp_inproc_ops = {
    .size = sizeof(struct mpol_backend_ops),
    .name = "inproc",
    .flags = MPOL_BACKEND_CARVES_OUT,
    .capabilities = mp_inproc_capabilities,
    .capability_count = MP_INPROC_CAPABILITY_COUNT,
    .apply = inproc_apply,
    .progress = inproc_progress,
    .read_back = inproc_read_back,
};
