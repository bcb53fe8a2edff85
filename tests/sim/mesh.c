/* SPDX-License-Identifier: Apache-2.0
 * Three services, their instances, six clients; what they do to each other, and how that is told.
 */
#include <stdio.h>

#include "base/assert.h"
#include "sim.h"

#define SERVICES 3
#define INSTANCES 4 /* of each */
#define CLIENTS 6

static const char *const services[] = {"web", "pay", "cart"};
static const char *const clients[] = {"10.0.0.1", "10.0.0.2",   "10.0.0.3",
                                      "10.0.0.4", "192.0.2.66", "192.0.2.67"};
static const char *const paths[] = {"/", "/cart", "/api/items", "/healthz", "/vip", "/login"};

static uint32_t below(struct sim *s, uint32_t n) { return sim_below(&s->rng, n); }
static bool one_in(struct sim *s, uint32_t n) { return below(s, n) == 0; }

static void instance_name(char out[16], int service, int instance)
{
    snprintf(out, 16, "%s-%d", services[service], instance + 1);
}

/* ---- inventory ---- */

static void line(struct sim *s, const char *text)
{
    struct mp_ingested in;
    enum mp_ingest_kind kind =
        mp_ingest_line(s->ingest[s->current], mp_str_of(text), 0, s->now_ns, &in);
    if (kind == MP_INGEST_OTHER) return; /* nothing that this program reads */
    MP_ASSERT(kind == MP_INGEST_ENTITY);
    enum mp_err err = mp_inventory_put(mp_engine_inventory(s->engine), in.entity);
    MP_ASSERT(err == MP_OK);
}

void sim_inventory(struct sim *s)
{
    static const char *const tiers[] = {"standard", "critical", "batch"};
    static const char *const callers[] = {"[]", "[\"web\"]", "[\"web\"]"};
    for (int i = 0; i < SERVICES; i++) {
        char text[256];
        snprintf(text, sizeof text,
                 "{\"entity\":\"service\",\"name\":\"%s\",\"tier\":\"%s\",\"callers\":%s}",
                 services[i], tiers[(s->seed + (uint64_t)i) % 3], callers[i]);
        line(s, text);
        for (int k = 0; k < INSTANCES; k++) {
            char name[16];
            instance_name(name, i, k);
            snprintf(text, sizeof text,
                     "{\"entity\":\"instance\",\"name\":\"%s\",\"service\":\"%s\"}", name,
                     services[i]);
            line(s, text);
        }
    }
    mp_engine_inventory_changed(s->engine);
}

/* ---- scripts ---- */

void sim_mesh_begin(struct sim *s)
{
    for (int i = 0; i < SERVICES; i++) {
        s->fault_from[i] = (int64_t)below(s, 100) * SIM_S;
        s->fault_to[i] = s->fault_from[i] + (int64_t)(10 + below(s, 60)) * SIM_S;
        s->fault_kind[i] = (int)below(s, 5);
    }
    for (int i = 0; i < 2; i++) {
        s->bad_client[i] = 4 + i;
        s->bad_from[i] = (int64_t)below(s, 100) * SIM_S;
        s->bad_to[i] = s->bad_from[i] + (int64_t)(10 + below(s, 60)) * SIM_S;
        s->bad_kind[i] = (int)below(s, 4);
    }
}

static bool in(int64_t at, int64_t from, int64_t to) { return at >= from && at < to; }

/* Something holds traffic to the service back: what is spared may get well. */
static bool spared(const struct sim *s, int service)
{
    for (uint32_t i = 0; i < s->backend.held_count; i++) {
        if (strcmp(s->backend.held[i].kind, "service") == 0 &&
            strcmp(s->backend.held[i].target, services[service]) == 0) {
            return true;
        }
    }
    return false;
}

static void answer(struct sim *s, struct sim_record *r, bool calm)
{
    int64_t at = s->now_ns - SIM_START;
    int i = r->service;
    bool fault = !calm && in(at, s->fault_from[i], s->fault_to[i]);
    r->status = 200;
    r->latency_ms = 5 + (int)below(s, 40);
    if (fault && s->fault_kind[i] == 0 && !one_in(s, 3)) r->status = 503;
    if (fault && s->fault_kind[i] == 1 && !spared(s, i) && !one_in(s, 4)) r->status = 500;
    if (fault && s->fault_kind[i] == 2) {
        r->latency_ms = 600 + (int)below(s, 300);
        /* what was done about it does harm */
        if (s->seed % 3 == 0 && spared(s, i)) r->status = 500;
    }
    if (fault && s->fault_kind[i] == 3 && r->instance == 0) r->status = 503;
    if (strcmp(r->path, "/login") == 0 && r->client >= 4) r->status = 401;
}

/* ---- telemetry ---- */

static uint32_t name_of(struct sim *s, const char *name)
{
    return mp_ingest_name(s->ingest[s->current], mp_str_of(name));
}

static void put_text(struct sim *s, struct mp_field_in *f, uint32_t *n, const char *name,
                     const char *value)
{
    f[*n] = (struct mp_field_in){
        .name = name_of(s, name), .kind = MP_FIELD_TEXT, .text = mp_str_of(value)};
    if (f[*n].name != MP_NONE) ++*n;
}

static void put_int(struct sim *s, struct mp_field_in *f, uint32_t *n, const char *name,
                    int64_t value)
{
    f[*n] = (struct mp_field_in){.name = name_of(s, name), .kind = MP_FIELD_INT, .integer = value};
    if (f[*n].name != MP_NONE) ++*n;
}

/* False: the program has no such signal. */
static bool decode(struct sim *s, const struct sim_record *r, bool ended, struct mp_record *out)
{
    static const char *const signals[] = {"requests", "refusals", "cpu"};
    struct mp_field_in f[16];
    char instance[16];
    uint32_t n = 0,
             signal = mp_ingest_signal(s->ingest[s->current], mp_str_of(signals[r->signal_word]));
    if (signal == MP_NONE) return false;
    instance_name(instance, r->service, r->instance);
    put_text(s, f, &n, "service", services[r->service]);
    put_text(s, f, &n, "instance", instance);
    if (r->signal_word == 2) {
        f[n] = (struct mp_field_in){
            .name = name_of(s, "value"), .kind = MP_FIELD_NUMBER, .number = r->value};
        if (f[n].name != MP_NONE) n++;
    } else {
        put_text(s, f, &n, "client.ip", clients[r->client]);
        put_text(s, f, &n, "path", r->path);
    }
    if (r->refused_by[0] != '\0') put_text(s, f, &n, "refused_by", r->refused_by);
    if (ended && r->signal_word == 0) {
        put_int(s, f, &n, "status", r->status);
        put_int(s, f, &n, "latency", r->latency_ms * SIM_MS);
    }
    mp_ingest_fields(s->ingest[s->current], signal, r->time_ns, 0, f, n, out);
    out->id = r->id;
    return true;
}

static void deliver(struct sim *s, const struct sim_record *r)
{
    struct mp_record record;
    if (!decode(s, r, true, &record)) return;
    if (r->signal_word == 2) mp_engine_record(s->engine, &record);
    else mp_engine_record_judged(s->engine, &record);
    sim_check_step(s);
}

/* Late, doubled, from the future, or as it should be. */
static void send(struct sim *s, struct sim_record r)
{
    if (s->silent || one_in(s, 200)) return;
    r.arrives_ns = s->now_ns;
    r.id = one_in(s, 10) ? mp_rng_next(&s->rng) | 1 : 0;
    if (one_in(s, 30)) r.arrives_ns += (int64_t)below(s, 4000) * SIM_MS;
    if (one_in(s, 60)) r.time_ns += (int64_t)below(s, 5000) * SIM_MS;
    for (uint32_t copies = r.id != 0 && one_in(s, 4) ? 2 : 1; copies > 0; copies--) {
        if (r.arrives_ns > s->now_ns && s->pending_count < SIM_PENDING_MAX)
            s->pending[s->pending_count++] = r;
        else deliver(s, &r);
    }
}

static void arrivals(struct sim *s)
{
    for (uint32_t i = 0; i < s->pending_count;) {
        struct sim_record r = s->pending[i];
        if (r.arrives_ns > s->now_ns) {
            i++;
            continue;
        }
        memmove(&s->pending[i], &s->pending[i + 1], (s->pending_count - i - 1) * sizeof r);
        s->pending_count--;
        if (!s->silent) deliver(s, &r);
    }
}

/* ---- requests ---- */

static void tell_inline(struct sim *s, const struct mp_verdict_answer *a)
{
    for (uint32_t i = 0; i < a->fired_count; i++) {
        char key[128];
        size_t len = mp_verdict_key(s->plan[s->current], a->fired[i].rule, s->scratch[s->current],
                                    key, sizeof key);
        struct mp_inline_note note = {.rule = a->fired[i].rule,
                                      .act = MP_NONE,
                                      .time_ns = s->now_ns,
                                      .count = 1,
                                      .refused = a->fired[i].refused,
                                      .key = {key, len}};
        mp_engine_inline(s->engine, &note);
    }
}

static void request(struct sim *s, int client, const char *path, int service, bool calm)
{
    struct sim_record r = {.time_ns = s->now_ns,
                           .service = service,
                           .instance = (int)below(s, INSTANCES),
                           .client = client,
                           .path = path};
    struct mp_record asked;
    struct mp_verdict_answer a = {.allow = true};
    if (decode(s, &r, false, &asked)) {
        const struct mp_inproc_view *view = mp_inproc_enter(s->reader);
        mp_verdict_ask(s->plan[s->current], s->buckets, view, mp_engine_inventory(s->engine),
                       &asked, s->scratch[s->current], &a);
        snprintf(r.refused_by, sizeof r.refused_by, "%.*s",
                 MP_STR_ARG(a.allow ? MP_STR("") : a.rule));
        mp_inproc_leave(s->reader);
        tell_inline(s, &a);
        bool protects = s->programs[s->current].p->guard_count > 0;
        if (protects && !a.allow && strcmp(path, "/healthz") == 0)
            sim_fail(s, "a health check was refused by %s", r.refused_by);
    }
    if (a.allow) {
        s->allowed++;
        answer(s, &r, calm);
    } else {
        s->refused++;
        r.signal_word = 1;
    }
    send(s, r);
}

static void cpu(struct sim *s, bool calm)
{
    for (int i = 0; i < SERVICES; i++) {
        int64_t at = s->now_ns - SIM_START;
        bool hot = !calm && in(at, s->fault_from[i], s->fault_to[i]) && s->fault_kind[i] == 4;
        for (int k = 0; k < INSTANCES; k++) {
            struct sim_record r = {.time_ns = s->now_ns,
                                   .signal_word = 2,
                                   .service = i,
                                   .instance = k,
                                   .value = hot && k < 2 ? 0.95 : 0.2 + below(s, 30) / 100.0};
            send(s, r);
        }
    }
}

void sim_mesh_step(struct sim *s, int64_t step_ns, bool calm)
{
    int64_t at = s->now_ns - SIM_START, per_s = SIM_S / step_ns;
    arrivals(s);
    for (int i = 0; i < SERVICES; i++) {
        if (below(s, (uint32_t)per_s) < 3)
            request(s, (int)below(s, 4), paths[below(s, 4)], i, calm);
    }
    for (int i = 0; i < 2 && !calm; i++) {
        if (!in(at, s->bad_from[i], s->bad_to[i])) continue;
        int c = s->bad_client[i];
        switch (s->bad_kind[i]) {
        case 0:
            if (one_in(s, 2)) request(s, c, "/login", 0, calm);
            break;
        case 1: request(s, c, paths[below(s, 5)], 1, calm); break;
        case 2:
            if (one_in(s, 8)) request(s, c, one_in(s, 2) ? "/wp-login.php" : "/evil", 0, calm);
            break;
        default:
            if (one_in(s, 2)) request(s, c, "/vip", 2, calm);
            break;
        }
    }
    if (at / step_ns % (5 * per_s) == 0) cpu(s, calm);
}
