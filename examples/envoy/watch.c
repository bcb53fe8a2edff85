/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shop.h"

#define LOOK_NS (5 * NS_PER_MS)

struct watch {
    struct watch_plan plan;
    pthread_t thread;
    atomic_bool running;
    struct watch_seen seen; /* under the lock */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* What an answer means for the tale. */
static void judge(const struct watch_plan *plan, const struct wire_answer *answer, int64_t begun_ns)
{
    bool refused = answer->status == 403 || answer->status == 429;
    bool passed = answer->status != 0 && !refused;
    if (!tell_begun(plan->tale, begun_ns)) return;
    if (plan->role == GOOD && refused) tell_harmed(plan->tale);
    if (plan->role != BAD) return;
    tell_bad(plan->tale, begun_ns + answer->took_ns, "the first: %s %s by %s, status %d",
             plan->method != NULL ? plan->method : "GET", plan->path,
             plan->id != ID_NONE ? ca_name(plan->id) : plan->from, answer->status);
    int64_t decided = tell_mark_ns(plan->tale, DECIDED);
    if (refused) tell_refused(plan->tale);
    if (passed && decided != 0 && begun_ns > decided) tell_leaked(plan->tale);
}

static void count(struct watch *w, const struct wire_answer *answer, int64_t begun_ns)
{
    struct watch_seen *seen = &w->seen;
    int64_t effective = tell_mark_ns(w->plan.tale, EFFECTIVE);
    pthread_mutex_lock(&lock);
    seen->sent++;
    seen->last_status = answer->status;
    if (answer->status == 403 || answer->status == 429) {
        seen->refused++;
        if (!answer->fresh) seen->refused_kept++;
        if (seen->first_refused_ns == 0) seen->first_refused_ns = begun_ns + answer->took_ns;
    } else if (answer->status == 0 || answer->status >= 500) {
        seen->failed++;
    } else {
        seen->passed++;
        seen->last_passed_ns = begun_ns;
        if (effective != 0 && begun_ns > effective) seen->passed_after++;
    }
    pthread_mutex_unlock(&lock);
}

static const char *host_of(const struct watch_plan *plan, unsigned long n)
{
    unsigned hosts = 0;
    while (hosts < sizeof plan->hosts / sizeof *plan->hosts && plan->hosts[hosts] != NULL) hosts++;
    return hosts > 0 ? plan->hosts[n % hosts] : NULL;
}

static void *watch_run(void *ctx)
{
    struct watch *w = ctx;
    const struct watch_plan *plan = &w->plan;
    struct wire *wire =
        wire_create(&(struct wire_place){plan->from, plan->port, ca_client(plan->id)});
    struct wire_ask ask = {.method = plan->method, .path = plan->path, .headers = plan->headers,
                           .body_bytes = plan->body_bytes};
    int64_t next = tell_now_ns(), step = NS_PER_S / plan->per_second;
    while (wire != NULL && atomic_load(&w->running)) {
        int64_t begun = tell_now_ns();
        ask.host = host_of(plan, w->seen.passed);
        struct wire_answer answer = wire_get(wire, &ask);
        judge(plan, &answer, begun);
        count(w, &answer, begun);
        next = next + step < begun ? begun : next + step;
        int64_t pause = next - tell_now_ns();
        if (pause > 0) tell_sleep_ns(pause);
    }
    wire_destroy(wire);
    return NULL;
}

struct watch *watch_start(const struct watch_plan *plan)
{
    struct watch *w = calloc(1, sizeof *w);
    if (w == NULL || ca_client(plan->id) == NULL) abort();
    w->plan = *plan;
    atomic_store(&w->running, true);
    if (pthread_create(&w->thread, NULL, watch_run, w) != 0) abort();
    return w;
}

struct watch_seen watch_look(const struct watch *w)
{
    pthread_mutex_lock(&lock);
    struct watch_seen seen = w->seen;
    pthread_mutex_unlock(&lock);
    return seen;
}

bool watch_more(const struct watch *w, unsigned long more, int64_t until_ns)
{
    unsigned long from = watch_look(w).sent;
    while (watch_look(w).sent < from + more) {
        if (tell_now_ns() > until_ns) return false;
        tell_sleep_ns(LOOK_NS);
    }
    return true;
}

struct watch_seen watch_stop(struct watch *w)
{
    atomic_store(&w->running, false);
    pthread_join(w->thread, NULL);
    struct watch_seen seen = w->seen;
    free(w);
    return seen;
}

/* ---- streams ---- */

struct stream {
    struct wire *wire;
    const char *path;
    pthread_t thread;
    atomic_bool running, flows;
    _Atomic int64_t end_ns;
};

static void *stream_run(void *ctx)
{
    struct stream *s = ctx;
    struct wire_answer head = wire_open_stream(s->wire, &(struct wire_ask){.path = s->path});
    bool more = head.status == 200;
    while (more && atomic_load(&s->running)) {
        more = wire_more(s->wire);
        if (more) atomic_store(&s->flows, true);
    }
    atomic_store(&s->flows, false);
    atomic_store(&s->end_ns, tell_now_ns());
    return NULL;
}

struct stream *stream_start(const struct wire_place *place, const char *path)
{
    struct stream *s = calloc(1, sizeof *s);
    if (s == NULL) abort();
    s->wire = wire_create(place);
    s->path = path;
    atomic_store(&s->running, true);
    if (s->wire == NULL || pthread_create(&s->thread, NULL, stream_run, s) != 0) abort();
    return s;
}

bool stream_flows(const struct stream *s) { return atomic_load(&s->flows); }

int64_t stream_end_ns(const struct stream *s, int64_t until_ns)
{
    while (atomic_load(&s->end_ns) == 0 && tell_now_ns() < until_ns) tell_sleep_ns(LOOK_NS);
    return atomic_load(&s->end_ns);
}

void stream_stop(struct stream *s)
{
    atomic_store(&s->running, false);
    pthread_join(s->thread, NULL);
    wire_destroy(s->wire);
    free(s);
}
