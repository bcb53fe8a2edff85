/* SPDX-License-Identifier: Apache-2.0
 * Tasks: what is asked, how often, and when it is enough.
 *
 * A call into this module never calls back: mp_prove() asks at once, but what comes of it is told
 * by the loop.
 */
#include "envoy_prove/prove.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/assert.h"
#include "envoy_prove/prove_priv.h"
#include "envoy_prove/readback.h"

#define PAUSE_MS_MAX 50
#define PATH_BYTES 256
#define SEEN_BYTES 160

struct prove_task {
    struct mp_prover *prover;
    struct prove_task *next, *before;
    struct prove_proxy *proxy;
    uint64_t ticket;
    void *copies;
    struct mp_prove_task want;
    struct prove_where where;
    char path[PATH_BYTES], control[PATH_BYTES];
    uv_timer_t timer;      /* one at a time: the pause, or the time of an answer */
    struct prove_link *link;
    bool fresh;            /* the link was opened for this question: nothing was asked on it yet */
    bool controls;         /* the question is the one that nobody denies */
    bool asking;
    bool answered;         /* ever */
    bool panics;           /* the last answer was the wanted one, of a cluster in panic */
    bool failing;          /* since failing_ms no question was answered */
    bool blind;            /* since blind_ms all answers came from before our filters */
    unsigned probed;       /* the last answer to the probe */
    uint32_t missing;      /* FILTERS */
    uint64_t began_us, deadline_at_ms, failing_ms, blind_ms;
    uint32_t pause_ms, attempts;
    char seen[SEEN_BYTES];
};

static void on_timer(uv_timer_t *timer);
static void attempt(struct prove_task *t);

static uint64_t now_ms(const struct prove_task *t) { return uv_now(t->prover->loop); }

/* ---- proxies ---- */

static struct prove_proxy *proxy_of(struct mp_prover *prover, uint64_t id, bool make)
{
    for (struct prove_proxy *p = prover->proxies; p != NULL; p = p->next) {
        if (p->id == id) return p;
    }
    struct prove_proxy *fresh = make ? calloc(1, sizeof *fresh) : NULL;
    if (fresh == NULL) return NULL;
    fresh->id = id;
    fresh->next = prover->proxies;
    prover->proxies = fresh;
    return fresh;
}

/* A proxy is known as long as it has tasks or a link. */
static void drop_if_idle(struct mp_prover *prover, struct prove_proxy *proxy)
{
    if (proxy->tasks > 0 || proxy->kept != NULL) return;
    struct prove_proxy **at = &prover->proxies;
    while (*at != proxy) at = &(*at)->next;
    *at = proxy->next;
    free(proxy);
}

/* The link that was kept has ended: there is nothing "open before" any more. */
static void on_kept_broken(void *ctx, const char *why, bool bad_reply)
{
    struct mp_prover *prover = ctx;
    struct prove_proxy *p = prover->proxies;
    while (p != NULL && (p->kept == NULL || prove_link_usable(p->kept))) p = p->next;
    if (p == NULL) return;
    prove_link_close(p->kept);
    p->kept = NULL;
    drop_if_idle(prover, p);
}

/* Half of the connections at most are kept, so that tasks always find some. */
static bool keep(struct prove_task *t, struct prove_link *link)
{
    struct mp_prover *prover = t->prover;
    if (t->want.kind != MP_PROVE_LISTENER || !prove_link_usable(link) || prover->closing)
        return false;
    if (prover->counts.connections_now > prover->o.connections / 2) return false;
    prove_link_close(t->proxy->kept);
    t->proxy->kept = link;
    prove_link_owner(link, &(struct prove_owner){.ctx = prover, .broken = on_kept_broken});
    return true;
}

/* ---- the end of a task ---- */

static void on_timer_closed(uv_handle_t *handle)
{
    struct prove_task *t = handle->data;
    struct mp_prover *prover = t->prover;
    free(t->copies);
    free(t);
    prover->handles--;
    prove_gone(prover);
}

/* Out of the list; nothing of it calls any more. */
static void drop(struct prove_task *t)
{
    struct mp_prover *prover = t->prover;
    if (t->link != NULL && !keep(t, t->link)) prove_link_close(t->link);
    t->link = NULL;
    if (t->before != NULL) t->before->next = t->next;
    if (t->before == NULL) prover->tasks = t->next;
    if (t->next != NULL) t->next->before = t->before;
    prover->counts.tasks_now--;
    t->proxy->tasks--;
    drop_if_idle(prover, t->proxy);
    uv_close((uv_handle_t *)&t->timer, on_timer_closed);
}

static void finish(struct prove_task *t, enum mp_prove_result result)
{
    struct mp_prover_counts *c = &t->prover->counts;
    uint64_t *of[] = {[MP_PROVE_PROVEN] = &c->proven, [MP_PROVE_NOT_YET] = &c->not_yet,
                      [MP_PROVE_PANIC] = &c->panics, [MP_PROVE_UNREACHABLE] = &c->unreachable};
    ++*of[result];
    for (char *s = t->seen; *s != '\0'; s++) {
        if (*s < 0x20 || *s > 0x7e) *s = '?';
    }
    const struct mp_proof proof = {.result = result,
                                   .text = mp_str_of(t->seen),
                                   .missing = t->missing,
                                   .attempts = t->attempts,
                                   .took_us = uv_hrtime() / 1000 - t->began_us};
    /* before the call, which may start or cancel others; t lives until its timer has closed */
    drop(t);
    t->want.done(t->want.ctx, &proof);
}

/* ---- again ---- */

static void leave_link(struct prove_task *t)
{
    prove_link_close(t->link);
    t->link = NULL;
}

static void wait_for(struct prove_task *t, uint64_t wait_ms)
{
    uint64_t now = now_ms(t), left = t->deadline_at_ms > now ? t->deadline_at_ms - now : 0;
    uv_timer_start(&t->timer, on_timer, wait_ms < left ? wait_ms : left, 0);
}

static void again(struct prove_task *t)
{
    if (t->link != NULL && !prove_link_usable(t->link)) leave_link(t);
    t->asking = false;
    wait_for(t, t->pause_ms);
    t->pause_ms = 2 * t->pause_ms < PAUSE_MS_MAX ? 2 * t->pause_ms : PAUSE_MS_MAX;
}

/* No usable answer; `why` NULL: what was seen last is to be told. */
static void failed(struct prove_task *t, const char *why)
{
    if (why != NULL) snprintf(t->seen, sizeof t->seen, "%s", why);
    leave_link(t);
    t->controls = false;
    t->failing = true;
    again(t);
}

static void on_timer(uv_timer_t *timer)
{
    struct prove_task *t = timer->data;
    uint64_t now = now_ms(t);
    bool over = now >= t->deadline_at_ms;
    /* What was seen before says more than that the time ended while it was looked again. */
    if (t->asking) failed(t, over && t->answered && !t->failing ? NULL : "no answer in time");
    if (over) {
        enum mp_prove_result shown = t->panics ? MP_PROVE_PANIC : MP_PROVE_NOT_YET;
        finish(t, t->answered && !t->blind ? shown : MP_PROVE_UNREACHABLE);
    } else if (t->failing && now - t->failing_ms >= t->prover->o.reply_ms) {
        finish(t, MP_PROVE_UNREACHABLE);
    } else if (uv_is_active((uv_handle_t *)timer) == 0) {
        attempt(t);
    }
}

/* ---- answers ---- */

static void on_broken(void *ctx, const char *why, bool bad_reply)
{
    struct prove_task *t = ctx;
    if (bad_reply) t->prover->counts.bad_replies++;
    bool kept = !t->fresh && !t->answered;
    if (kept && t->want.kind == MP_PROVE_LISTENER) { /* the one that was kept was just ending */
        leave_link(t);
        attempt(t);
        return;
    }
    failed(t, why);
}

static void otherwise(struct prove_task *t)
{
    t->fresh = t->controls = false;
    again(t);
}

/* May it be that our filters were not asked? 404 is what the route of the probe says, and what is
 * let through is answered well. */
static bool may_come_from_others(unsigned status) { return status >= 300 && status != 404; }

/* Whoever stands before our filters (authentication, a redirect) answers everything alike: what
 * they would do cannot be seen. */
static void judge_blind(struct prove_task *t, unsigned status)
{
    snprintf(t->seen, sizeof t->seen, "%u also for a path that nobody denies", status);
    if (!t->blind) t->blind_ms = now_ms(t);
    t->blind = true;
    if (now_ms(t) - t->blind_ms >= t->prover->o.reply_ms) {
        finish(t, MP_PROVE_UNREACHABLE);
    } else {
        otherwise(t);
    }
}

static void judge_control(struct prove_task *t, unsigned status)
{
    if (status == t->probed) {
        judge_blind(t, status);
    } else if (t->probed == t->want.status) {
        finish(t, MP_PROVE_PROVEN);
    } else {
        t->blind = false;
        otherwise(t);
    }
}

static void judge_probe(struct prove_task *t, unsigned status)
{
    t->probed = status;
    if (status == t->want.status) {
        /* On a new connection: is it the rule that answers so? On an old one: and a new one? */
        t->controls = t->fresh;
        if (!t->controls) leave_link(t);
        attempt(t);
        return;
    }
    snprintf(t->seen, sizeof t->seen, "answers %u", status);
    t->controls = may_come_from_others(status);
    if (t->controls) {
        attempt(t);
        return;
    }
    t->blind = false;
    otherwise(t);
}

/* How its listeners are made does not change by being asked again. */
static void judge_filters(struct prove_task *t, mp_str body)
{
    switch (mp_readback_listeners(&t->want, body, &t->missing, t->seen, sizeof t->seen)) {
    case MP_READBACK_AS_WANTED: finish(t, MP_PROVE_PROVEN); return;
    case MP_READBACK_OTHERWISE: finish(t, MP_PROVE_NOT_YET); return;
    case MP_READBACK_PANIC:
    case MP_READBACK_BAD: break;
    }
    t->prover->counts.bad_replies++;
    finish(t, MP_PROVE_UNREACHABLE);
}

static void judge_admin(struct prove_task *t, const struct mp_http1 *answer)
{
    if (answer->status != 200) {
        snprintf(t->seen, sizeof t->seen, "the admin port answers %u", answer->status);
        otherwise(t);
        return;
    }
    mp_str body = {answer->body, answer->body_len};
    if (t->want.kind == MP_PROVE_FILTERS) {
        judge_filters(t, body);
        return;
    }
    enum mp_readback got = mp_readback(&t->want, body, t->seen, sizeof t->seen);
    t->panics = got == MP_READBACK_PANIC;
    switch (got) {
    case MP_READBACK_AS_WANTED: finish(t, MP_PROVE_PROVEN); return;
    case MP_READBACK_PANIC: break; /* it may be over soon: what Envoy has thrown out comes back */
    case MP_READBACK_BAD: t->prover->counts.bad_replies++; break;
    case MP_READBACK_OTHERWISE: break;
    }
    otherwise(t);
}

static void on_answer(void *ctx, const struct mp_http1 *answer)
{
    struct prove_task *t = ctx;
    t->asking = false;
    t->answered = true;
    t->failing = false;
    if (t->want.kind == MP_PROVE_LISTENER) {
        (t->controls ? judge_control : judge_probe)(t, answer->status);
    } else {
        judge_admin(t, answer);
    }
}

/* ---- questions ---- */

/* The link to ask on: the one in use, the one that was kept, or a new one. */
static bool find_link(struct prove_task *t)
{
    if (t->link != NULL && !prove_link_usable(t->link)) leave_link(t);
    if (t->link != NULL) return true;
    struct prove_link *kept = t->proxy->kept;
    bool old = t->want.kind == MP_PROVE_LISTENER && !t->answered && kept != NULL &&
               prove_link_usable(kept) && prove_link_is_to(kept, &t->where);
    if (old) t->proxy->kept = NULL;
    t->link = old ? kept : prove_link_open(t->prover, &t->where);
    t->fresh = !old;
    return t->link != NULL;
}

static void attempt(struct prove_task *t)
{
    if (!find_link(t)) { /* no socket, or all are in use: not the proxy's fault */
        snprintf(t->seen, sizeof t->seen, "no connection is free");
        t->failing = false;
        again(t);
        return;
    }
    const struct prove_owner owner = {t, on_answer, on_broken};
    prove_link_owner(t->link, &owner);
    if (!t->failing) t->failing_ms = now_ms(t); /* in case that it fails */
    t->asking = true;
    t->attempts++;
    t->prover->counts.attempts++;
    wait_for(t, t->prover->o.reply_ms);
    prove_link_ask(t->link, t->controls ? t->control : t->path);
}

/* ---- starting ---- */

static bool read_address(mp_str address, struct prove_where *out)
{
    char host[HOST_BYTES], *end;
    if (address.len == 0 || address.len >= sizeof out->host) return false;
    snprintf(out->host, sizeof out->host, "%.*s", MP_STR_ARG(address));
    const char *colon = strrchr(out->host, ':');
    if (colon == NULL || colon[1] < '0' || colon[1] > '9') return false;
    long port = strtol(colon + 1, &end, 10);
    if (*end != '\0' || port < 1 || port > 65535) return false;
    size_t len = (size_t)(colon - out->host);
    bool v6 = len > 2 && out->host[0] == '[' && out->host[len - 1] == ']';
    snprintf(host, sizeof host, "%.*s", (int)(v6 ? len - 2 : len), out->host + (v6 ? 1 : 0));
    return v6 ? uv_ip6_addr(host, (int)port, (struct sockaddr_in6 *)&out->to) == 0
              : uv_ip4_addr(host, (int)port, (struct sockaddr_in *)&out->to) == 0;
}

static bool is_path_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("-_./", c) != NULL);
}

/* A path of the same shape that nobody has named: the last hexadecimal digit is another. */
static void make_control(struct prove_task *t)
{
    size_t last = strlen(t->path) - 1;
    memcpy(t->control, t->path, sizeof t->control);
    t->control[last] = t->path[last] == '0' ? '1' : '0';
}

static bool read_path(struct prove_task *t, const struct mp_prove_task *task)
{
    static const char *const admin[] = {
        [MP_PROVE_CLUSTERS] = "/clusters?format=json",
        [MP_PROVE_RUNTIME] = "/runtime?format=json",
        [MP_PROVE_FILTERS] = "/config_dump?mask=static_listeners,dynamic_listeners"};
    if (task->kind != MP_PROVE_LISTENER) {
        snprintf(t->path, sizeof t->path, "%s", admin[task->kind]);
        return true;
    }
    if (task->path.len < 2 || task->path.len >= sizeof t->path || task->path.ptr[0] != '/')
        return false;
    for (size_t i = 0; i < task->path.len; i++) {
        if (!is_path_byte(task->path.ptr[i])) return false;
    }
    memcpy(t->path, task->path.ptr, task->path.len);
    make_control(t);
    return true;
}

static bool copy(struct mp_arena *arena, mp_str from, mp_str *out)
{
    *out = mp_arena_str(arena, from);
    return out->ptr != NULL;
}

/* Bytes that the copies need, with room for what is lost between them. */
static size_t copies_size(const struct mp_prove_task *task)
{
    size_t size = 64 + task->cluster.len + (task->endpoint_count + 1) * sizeof *task->endpoints +
                  (task->value_count + 1) * sizeof *task->values;
    for (size_t i = 0; i < task->endpoint_count; i++) size += task->endpoints[i].address.len + 16;
    for (size_t i = 0; i < task->value_count; i++)
        size += task->values[i].key.len + task->values[i].value.len + 32;
    size += (task->filter_count + 1) * sizeof *task->filters + task->listen.len + 32;
    for (size_t i = 0; i < task->filter_count; i++) size += task->filters[i].len + 16;
    return size;
}

static bool copy_lists(struct prove_task *t, const struct mp_prove_task *task)
{
    struct mp_arena arena;
    size_t size = copies_size(task);
    t->copies = malloc(size);
    if (t->copies == NULL) return false;
    mp_arena_init_fixed(&arena, t->copies, size);
    struct mp_prove_endpoint *e =
        MP_NEW(&arena, struct mp_prove_endpoint, task->endpoint_count + 1);
    struct mp_prove_value *v = MP_NEW(&arena, struct mp_prove_value, task->value_count + 1);
    mp_str *f = MP_NEW(&arena, mp_str, task->filter_count + 1);
    bool good = e != NULL && v != NULL && f != NULL &&
                copy(&arena, task->cluster, &t->want.cluster) &&
                copy(&arena, task->listen, &t->want.listen);
    for (size_t i = 0; good && i < task->filter_count; i++)
        good = copy(&arena, task->filters[i], &f[i]);
    for (size_t i = 0; good && i < task->endpoint_count; i++) {
        e[i] = task->endpoints[i];
        good = copy(&arena, task->endpoints[i].address, &e[i].address);
    }
    for (size_t i = 0; good && i < task->value_count; i++) {
        good = copy(&arena, task->values[i].key, &v[i].key) &&
               copy(&arena, task->values[i].value, &v[i].value);
    }
    t->want.filters = f;
    t->want.endpoints = e;
    t->want.values = v;
    return good;
}

static enum mp_err fill(struct prove_task *t, const struct mp_prove_task *task)
{
    t->want = *task;
    if (t->want.status == 0) t->want.status = 403;
    MP_ASSERT(task->filter_count <= 32);
    if (!read_address(task->address, &t->where) || !read_path(t, task)) return MP_EINVAL;
    t->where.tls = task->tls && task->kind == MP_PROVE_LISTENER;
    return copy_lists(t, task) ? MP_OK : MP_ENOMEM;
}

static void begin(struct prove_task *t)
{
    struct mp_prover *prover = t->prover;
    uint32_t deadline_ms = t->want.deadline_ms != 0 ? t->want.deadline_ms : prover->o.deadline_ms;
    t->ticket = prover->next_ticket++;
    t->next = prover->tasks;
    if (t->next != NULL) t->next->before = t;
    prover->tasks = t;
    prover->counts.tasks_now++;
    prover->counts.tasks++;
    t->proxy->tasks++;
    uv_timer_init(prover->loop, &t->timer);
    t->timer.data = t;
    prover->handles++;
    t->began_us = uv_hrtime() / 1000;
    uv_update_time(prover->loop); /* the caller may have worked for long since the loop looked */
    t->deadline_at_ms = now_ms(t) + deadline_ms;
    t->pause_ms = 1;
    attempt(t);
}

enum mp_err mp_prove(struct mp_prover *prover, const struct mp_prove_task *task, uint64_t *ticket)
{
    MP_ASSERT(task->done != NULL && !prover->closing);
    struct prove_proxy *proxy = proxy_of(prover, task->proxy, true);
    if (proxy == NULL) return MP_ENOMEM;
    if (prover->counts.tasks_now >= prover->o.tasks || proxy->tasks >= prover->o.proxy_tasks) {
        prover->counts.refused++;
        drop_if_idle(prover, proxy);
        return MP_ELIMIT;
    }
    struct prove_task *t = calloc(1, sizeof *t);
    enum mp_err err = t != NULL ? fill(t, task) : MP_ENOMEM;
    if (err != MP_OK) {
        if (t != NULL) free(t->copies);
        free(t);
        drop_if_idle(prover, proxy);
        return err;
    }
    t->prover = prover;
    t->proxy = proxy;
    begin(t);
    if (ticket != NULL) *ticket = t->ticket;
    return MP_OK;
}

void mp_prove_cancel(struct mp_prover *prover, uint64_t ticket)
{
    for (struct prove_task *t = prover->tasks; t != NULL; t = t->next) {
        if (t->ticket != ticket) continue;
        prover->counts.cancelled++;
        drop(t);
        return;
    }
}

void mp_prove_forget(struct mp_prover *prover, uint64_t id)
{
    struct prove_task *next;
    for (struct prove_task *t = prover->tasks; t != NULL; t = next) {
        next = t->next;
        if (t->proxy->id != id) continue;
        prover->counts.cancelled++;
        drop(t);
    }
    struct prove_proxy *proxy = proxy_of(prover, id, false);
    if (proxy == NULL) return;
    prove_link_close(proxy->kept);
    proxy->kept = NULL;
    drop_if_idle(prover, proxy);
}

/* ---- a prover ---- */

static void fill_options(struct mp_prover_options *o)
{
    if (o->tasks == 0) o->tasks = 4096;
    if (o->proxy_tasks == 0) o->proxy_tasks = 32;
    if (o->connections == 0) o->connections = 256;
    if (o->deadline_ms == 0) o->deadline_ms = 2000;
    if (o->reply_ms == 0) o->reply_ms = 500;
    if (o->body_bytes == 0) o->body_bytes = 4u << 20;
}

enum mp_err mp_prover_open(uv_loop_t *loop, const struct mp_prover_options *options,
                           struct mp_prover **out)
{
    char why[256];
    struct mp_prover *prover = calloc(1, sizeof *prover);
    if (prover == NULL) return MP_ENOMEM;
    prover->loop = loop;
    if (options != NULL) prover->o = *options;
    fill_options(&prover->o);
    prover->next_ticket = 1;
    const struct mp_tls_options tls = {.cert = prover->o.cert, .key = prover->o.key};
    enum mp_err err = mp_tls_context_create(&tls, &prover->tls, why, sizeof why);
    if (err != MP_OK) {
        free(prover);
        return err;
    }
    *out = prover;
    return MP_OK;
}

enum mp_err mp_prover_renew(struct mp_prover *prover, const char *cert, const char *key)
{
    char why[256];
    struct mp_tls_context *fresh = NULL;
    const struct mp_tls_options tls = {.cert = cert, .key = key};
    MP_TRY(mp_tls_context_create(&tls, &fresh, why, sizeof why));
    mp_tls_context_destroy(prover->tls);
    prover->tls = fresh;
    return MP_OK;
}

void prove_gone(struct mp_prover *prover)
{
    if (!prover->closing || prover->handles > 0) return;
    mp_tls_context_destroy(prover->tls);
    free(prover);
}

void mp_prover_close(struct mp_prover *prover)
{
    if (prover == NULL) return;
    prover->closing = true;
    prover->handles++; /* it lives until this function is over */
    while (prover->tasks != NULL) finish(prover->tasks, MP_PROVE_UNREACHABLE);
    while (prover->proxies != NULL) {
        struct prove_proxy *p = prover->proxies;
        prove_link_close(p->kept);
        prover->proxies = p->next;
        free(p);
    }
    prover->handles--;
    prove_gone(prover);
}

void mp_prover_counts_get(const struct mp_prover *prover, struct mp_prover_counts *out)
{
    *out = prover->counts;
}
