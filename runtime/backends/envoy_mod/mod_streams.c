/* SPDX-License-Identifier: Apache-2.0
 * Streams that are open, and the cut of those that leases have come to deny or to cut.
 *
 * A list belongs to its worker. Another thread reaches a worker only through a scheduler, and a
 * scheduler belongs to a stream: one stream of every worker, the anchor, has one. When the anchor
 * ends, the next stream becomes it, and takes over what was still asked of the worker.
 */
#include "envoy_mod/mod.h"

#include "base/assert.h"

#define EVENT_LOOK 1

bool mod_streams_can_cut(void)
{
    return ABI_CALLBACK(http_filter_scheduler_new) != NULL &&
           ABI_CALLBACK(http_filter_scheduler_commit) != NULL &&
           ABI_CALLBACK(http_filter_scheduler_delete) != NULL &&
           ABI_CALLBACK(http_filter_reset_stream) != NULL;
}

/* ---- the worker ---- */

static void make_anchor(struct mod_worker *w, struct mod_stream *s)
{
    void *scheduler = ABI_CALLBACK(http_filter_scheduler_new)(s->envoy);
    pthread_mutex_lock(&w->lock);
    w->anchor = s;
    w->scheduler = scheduler;
    if (w->wanted != w->done) ABI_CALLBACK(http_filter_scheduler_commit)(scheduler, EVENT_LOOK);
    pthread_mutex_unlock(&w->lock);
}

void mod_stream_add(struct mod *m, uint32_t worker, struct mod_stream *s)
{
    if (!m->cuts) return;
    struct mod_worker *w = &m->workers[worker];
    s->worker = w;
    s->next = w->first;
    s->at = &w->first;
    if (s->next != NULL) s->next->at = &s->next;
    w->first = s;
    if (w->anchor == NULL) make_anchor(w, s); /* only this thread changes it */
}

static void lift_anchor(struct mod_worker *w)
{
    pthread_mutex_lock(&w->lock);
    void *scheduler = w->scheduler;
    w->anchor = NULL;
    w->scheduler = NULL;
    if (w->first == NULL) w->done = w->wanted; /* nothing is open: nothing is left to look at */
    pthread_mutex_unlock(&w->lock);
    ABI_CALLBACK(http_filter_scheduler_delete)(scheduler);
    if (w->first != NULL) make_anchor(w, w->first);
}

void mod_stream_remove(struct mod_stream *s)
{
    struct mod_worker *w = s->worker;
    if (w == NULL) return;
    *s->at = s->next;
    if (s->next != NULL) s->next->at = s->at;
    s->worker = NULL;
    if (w->anchor == s) lift_anchor(w);
}

/* ---- looking ---- */

static void cut(struct mod_stream *s, const struct mp_gate_answer *a)
{
    char details[MP_GATE_RULE_MAX + 8] = "mpol:";
    struct mod_worker *w = s->worker;
    memcpy(details + 5, a->rule, a->rule_len);
    struct abi_text text = {details, 5 + (size_t)a->rule_len};
    atomic_fetch_add_explicit(&w->cut, 1, memory_order_relaxed);
    /* The proxy logs the end of the stream before this returns, and keeps no details of it. */
    w->cutting = a;
    ABI_CALLBACK(http_filter_reset_stream)(s->envoy, ABI_LOCAL_RESET, text);
    w->cutting = NULL;
}

/* A reset calls back into this module, and takes its stream out of the list: first all are
 * judged, then one after the other is cut, each taken anew from the list of those that were
 * found. */
static void look(struct mod *m, struct mod_worker *w)
{
    struct mod_stream *victims = NULL;
    struct mp_gate_answer answer;
    for (struct mod_stream *s = w->first; s != NULL; s = s->next) {
        mod_stream_recheck(m, s, w->number, &answer);
        if (answer.allow) continue;
        s->victim = victims;
        victims = s;
    }
    while (victims != NULL) {
        struct mod_stream *s = victims;
        victims = s->victim;
        mod_stream_recheck(m, s, w->number, &answer);
        if (!answer.allow) cut(s, &answer);
    }
}

void mod_streams_look(struct mod *m, struct mod_stream *s)
{
    struct mod_worker *w = s->worker;
    if (w == NULL) return;
    pthread_mutex_lock(&w->lock);
    uint64_t wanted = w->wanted;
    pthread_mutex_unlock(&w->lock);
    look(m, w);
    pthread_mutex_lock(&w->lock);
    w->done = wanted;
    pthread_mutex_unlock(&w->lock);
    if (m->link != NULL) mp_link_wake(m->link);
}

/* ---- the link ---- */

void mod_streams_cut(struct mod *m)
{
    if (!m->cuts) return;
    for (uint32_t i = 0; i < m->worker_count; i++) {
        struct mod_worker *w = &m->workers[i];
        pthread_mutex_lock(&w->lock);
        w->wanted++;
        if (w->anchor == NULL) {
            w->done = w->wanted;
        } else {
            ABI_CALLBACK(http_filter_scheduler_commit)(w->scheduler, EVENT_LOOK);
        }
        pthread_mutex_unlock(&w->lock);
    }
}

bool mod_streams_cut_done(struct mod *m)
{
    bool done = true;
    for (uint32_t i = 0; i < m->worker_count && done; i++) {
        struct mod_worker *w = &m->workers[i];
        pthread_mutex_lock(&w->lock);
        done = w->done == w->wanted;
        pthread_mutex_unlock(&w->lock);
    }
    return done;
}

uint64_t mod_streams_cut_count(const struct mod *m)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < m->worker_count; i++) {
        sum += atomic_load_explicit(&m->workers[i].cut, memory_order_relaxed);
    }
    return sum;
}
