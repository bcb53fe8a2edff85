/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "capability/capability.h"
#include "envoy_xds/envoy_xds_priv.h"

/* ---- memory, clock, log ---- */

static void *heap_alloc(void *ctx, size_t size)
{
    (void)ctx;
    return malloc(size);
}

static void heap_free(void *ctx, void *ptr, size_t size)
{
    (void)ctx;
    (void)size;
    free(ptr);
}

void *xd_alloc(struct mp_envoy *e, size_t size)
{
    void *p = e->alloc.alloc(e->alloc.ctx, size);
    if (p != NULL) memset(p, 0, size);
    return p;
}

void xd_free(struct mp_envoy *e, void *ptr, size_t size)
{
    if (ptr != NULL) e->alloc.free(e->alloc.ctx, ptr, size);
}

int64_t xd_now(const struct mp_envoy *e) { return e->host.now_ns(e->host.ctx); }

#define STOOD_NS INT64_C(1000000000) /* we are called each 500 ms */

int64_t xd_awake(const struct mp_envoy *e)
{
    int64_t passed_ns = xd_now(e) - e->passed_ns;
    return e->awake_ns + (passed_ns < STOOD_NS ? passed_ns : STOOD_NS);
}

void xd_pass(struct mp_envoy *e)
{
    e->awake_ns = xd_awake(e);
    e->passed_ns = xd_now(e);
}

uint32_t xd_clean(mp_str text, char *out, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < text.len;) {
        size_t control = mp_str_control(text, i), whole = mp_str_utf8(text, i);
        size_t len = control != 0 ? control : whole != 0 ? whole : 1;
        bool plain = control == 0 && whole != 0;
        if (n + (plain ? len : 1) > size) break;
        if (plain) {
            memcpy(out + n, text.ptr + i, len);
            n += len;
        } else {
            out[n++] = '?';
        }
        i += len;
    }
    return (uint32_t)n;
}

static uint32_t print(char *out, size_t size, const char *format, va_list args)
{
    char line[1024];
    int n = vsnprintf(line, sizeof line, format, args);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof line ? (size_t)n : sizeof line - 1;
    return xd_clean((mp_str){line, len}, out, size);
}

uint32_t xd_print(char *out, size_t size, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    uint32_t len = print(out, size, format, args);
    va_end(args);
    return len;
}

void xd_log(const struct mp_envoy *e, enum mp_envoy_note note, const char *format, ...)
{
    char line[1024];
    va_list args;
    if (e->host.log == NULL) return;
    va_start(args, format);
    uint32_t len = print(line, sizeof line, format, args);
    va_end(args);
    e->host.log(e->host.ctx, note, (mp_str){line, len});
}

/* ---- life ---- */

static struct mp_envoy_limits with_defaults(const struct mp_envoy_limits *in)
{
    struct mp_envoy_limits l = in != NULL ? *in : (struct mp_envoy_limits){.proxies = 0};
    if (l.proxies == 0) l.proxies = 1024;
    if (l.streams == 0) l.streams = 1024;
    if (l.subscriptions == 0) l.subscriptions = 4096;
    if (l.leases == 0) l.leases = 32768;
    if (l.lease_bytes == 0) l.lease_bytes = (size_t)16 << 20;
    if (l.resource_bytes == 0) l.resource_bytes = (size_t)16 << 20;
    if (l.message_bytes == 0) l.message_bytes = (size_t)4 << 20;
    if (l.silent_ns == 0) l.silent_ns = INT64_C(5000000000);
    if (l.merge_ns == 0) l.merge_ns = INT64_C(1000000000);
    if (l.forget_ns == 0) l.forget_ns = INT64_C(86400000000000);
    return l;
}

enum mp_err mp_envoy_create(const struct mp_alloc *alloc, const struct mp_envoy_limits *limits,
                            const struct mp_envoy_world *world, const struct mp_envoy_host *host,
                            struct mp_envoy **out)
{
    static const struct mp_alloc heap = {.alloc = heap_alloc, .free = heap_free};
    if (alloc == NULL) alloc = &heap;
    struct mp_envoy *e = alloc->alloc(alloc->ctx, sizeof *e);
    if (e == NULL) return MP_ENOMEM;
    *e = (struct mp_envoy){.alloc = *alloc, .limits = with_defaults(limits), .world = *world,
                           .host = *host};
    *out = e;
    return MP_OK;
}

void mp_envoy_destroy(struct mp_envoy *e)
{
    if (e == NULL) return;
    MP_ASSERT(e->streams == NULL);
    MP_ASSERT(e->contents == NULL);
    proxies_free(e);
    if (e->plan.count > 0 || e->plan.leases != NULL) mp_arena_free(&e->plan.arena);
    xd_free(e, e->held, e->limits.leases * sizeof *e->held);
    xd_free(e, e->held_texts, HELD_TEXTS * HELD_TEXT);
    xd_free(e, e->wire_bytes, e->wire_size);
    xd_free(e, e, sizeof *e);
}

void mp_envoy_counts_get(const struct mp_envoy *e, struct mp_envoy_counts *out)
{
    *out = e->counts;
}

/* ---- changes ---- */

static void want_all(struct mp_envoy *e)
{
    for (struct mp_envoy_stream *s = e->streams; s != NULL; s = s->next) stream_want(s);
}

static void push_all(struct mp_envoy *e)
{
    for (struct mp_envoy_stream *s = e->streams, *next; s != NULL; s = next) {
        next = s->next;
        stream_push(s);
    }
    e->touched = e->regroup = true;
}

/* Who may be whom depends on the inventory too. What a proxy is given depends on it, so it comes
 * anew. */
static void judge_again(struct mp_envoy *e)
{
    for (struct mp_envoy_stream *s = e->streams; s != NULL; s = s->next) {
        struct mp_envoy_peer peer = {.address = s->address, .identity = s->identity,
                                     .authenticated = s->authenticated};
        struct mp_envoy_node node;
        if (s->proxy == NULL || s->ended) continue;
        bool known = mp_envoy_node_read(s->proxy->id, &node) && mp_envoy_may_speak(e, &node, &peer);
        if (known == s->proxy->known) continue;
        proxy_detach(s);
        stream_end(s, MP_STR("what is known about its identity has changed"));
    }
}

void mp_envoy_world_changed(struct mp_envoy *e)
{
    if (!e->ready) return;
    judge_again(e);
    proxies_forget(e);
    enum mp_err err = contents_prepare(e, &e->plan, NULL, 0);
    if (err != MP_OK) {
        xd_log(e, MP_ENVOY_WARNING, "endpoints stay as they were: %s", mp_err_text(err));
        return;
    }
    contents_commit(e, true);
    want_all(e);
    push_all(e);
}

void mp_envoy_modules_changed(struct mp_envoy *e)
{
    if (!e->ready || !proxies_ask_modules(e)) return;
    if (e->accepted >= e->revision && e->revision > 0) e->accepted = e->revision - 1;
    if (e->effective > e->accepted) e->effective = e->accepted;
    e->touched = true;
}

static enum mpol_err envoy_apply(void *backend, const struct mpol_desired *set)
{
    struct mp_envoy *e = backend;
    struct plan plan;
    const struct mpol_lease **changed;
    size_t changed_count;
    enum mp_err err = plan_make(e, set, &plan, &changed, &changed_count);
    if (err != MP_OK) return (enum mpol_err)err;
    if (changed_count > 0) {
        err = contents_prepare(e, &plan, changed, changed_count);
        if (err != MP_OK) {
            mp_arena_free(&plan.arena);
            return (enum mpol_err)err;
        }
    }
    struct plan old = e->plan;
    e->plan = plan;
    e->owner = mp_arena_str(&e->plan.arena, (mp_str){set->owner.ptr, set->owner.len});
    e->revision = set->revision;
    /* A new life counts from where it likes. */
    if (changed_count > 0 && e->accepted >= set->revision) e->accepted = set->revision - 1;
    if (e->effective > e->accepted) e->effective = e->accepted;
    e->ready = true;
    e->touched = e->regroup = true;
    if (changed_count > 0) {
        contents_commit(e, true);
        want_all(e);
        turns_set(e, &old, changed, changed_count);
        push_all(e);
    }
    if (old.leases != NULL) mp_arena_free(&old.arena);
    return MPOL_OK;
}

/* ---- what is there ---- */

static enum mpol_err envoy_read_back(void *backend, struct mpol_text owner, mpol_read_back_fn found,
                                     void *ctx)
{
    struct mp_envoy *e = backend;
    if (e->touched) progress_reckon(e);
    for (uint32_t i = 0; i < e->plan.count; i++) {
        const struct lease *note = &e->plan.notes[i];
        if (!note->carried || !mp_str_eq(note->owner, (mp_str){owner.ptr, owner.len})) continue;
        if (found(ctx, &e->plan.leases[i]) != 0) break;
    }
    return MPOL_OK;
}

static enum mpol_err envoy_check(void *backend, const struct mpol_lease *lease, char *why,
                                 size_t why_size)
{
    (void)backend;
    return (enum mpol_err)mp_envoy_lease_check(lease, why, why_size);
}

const struct mpol_backend_ops mp_envoy_ops = {
    .size = sizeof(struct mpol_backend_ops),
    .name = "envoy",
    .capabilities = mp_envoy_capabilities,
    .capability_count = MP_ENVOY_CAPABILITY_COUNT,
    .apply = envoy_apply,
    .progress = progress_tell,
    .read_back = envoy_read_back,
    .check = envoy_check,
    .carries = held_ask,
};

/* ---- who refused ---- */

/* How well the target of a throttle fits: the closer, the higher; 0: not at all. */
static int fit(const struct mpol_lease *l, const struct mp_envoy_refused *what)
{
    const struct {
        mp_str kind, value;
    } ways[] = {{MP_STR_INIT("service"), what->service},
                {MP_STR_INIT("instance"), what->instance},
                {MP_STR_INIT("identity"), what->identity},
                {MP_STR_INIT("client"), what->client}};
    mp_str kind = {l->target_kind.ptr, l->target_kind.len}, target = {l->target.ptr, l->target.len};
    for (int i = 0; i < (int)(sizeof ways / sizeof *ways); i++) {
        if (mp_str_eq(kind, ways[i].kind) && ways[i].value.len > 0 &&
            mp_str_eq(target, ways[i].value)) {
            return i + 1;
        }
    }
    return 0;
}

bool mp_envoy_refused_by(const struct mp_envoy *e, const struct mp_envoy_refused *what,
                         mp_str *rule, uint64_t *lease)
{
    const struct mpol_lease *best = NULL;
    int best_fit = 0;
    for (uint32_t i = 0; i < e->plan.count; i++) {
        const struct mpol_lease *l = &e->plan.leases[i];
        double share, rate, burst;
        if ((l->hooks & what->layer) == 0) continue;
        bool is =
            what->share ? mp_envoy_lease_share(l, &share) : mp_envoy_lease_rate(l, &rate, &burst);
        int f = is ? fit(l, what) : 0;
        if (f > best_fit) {
            best = l;
            best_fit = f;
        }
    }
    if (best == NULL) return false;
    *rule = (mp_str){best->rule.ptr, best->rule.len};
    *lease = best->id;
    return true;
}
