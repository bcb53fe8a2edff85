/* SPDX-License-Identifier: Apache-2.0
 * Anything may happen, in any order: values, silence, an operator, the brake, a mesh that refuses
 * or is slow, restarts and other programs. What a loop promises holds all the same.
 */
#include "kept.h"
#include "loop.h"

#include "base/hash.h"
#include "ledger/ledger.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define SEEDS 60

static const char *const policies[] = {
    "use std.mesh\n"
    "rule errors when error_rate > 5% for 10s per svc then throttle svc to 50% for 2m "
    "and notify \"e {svc}\" via slack\n"
    "  verify error_rate < 1% for 5s within 30s settle 2s harm request_rate > 500/s for 2s\n"
    "else throttle svc to 10/s for 3m verify p99_latency < 1s for 5s within 40s\n"
    "else rollback and page \"oncall\"\n"
    "until error_rate < 0.5% for 20s\nramp 25% every 10s\ncooldown 30s\nlimit 3 services per 1m\n"
    "rule slow when p99_latency > 2s per svc unless request_rate < 1/s then quarantine svc for 1m\n"
    "rule busy when (request_rate > 100/s for 5s) and error_rate < 50% per svc "
    "then throttle svc to 20/s for 90s\n"
    "  until request_rate < 50/s for 10s if no data clear\n"
    "rule dim mode shadow when error_rate > 1% per svc then deny 10.0.0.1 for 30s\n"
    "rule talk when request_rate > 300/s per svc then notify \"busy {svc}\" "
    "via slack cooldown 20s\n"
    "never quarantine svc more than 2 services\n",

    "use std.mesh\nlist core: service = [\"c\"]\n"
    "rule errors when error_rate > 8% for 10s per svc then throttle svc to 30% for 2m\n"
    "  verify error_rate < 1% for 5s within 30s\n"
    "until error_rate < 0.5% for 20s\ncooldown 30s\n"
    "rule slow when p99_latency > 2s per svc then quarantine svc for 1m\n"
    "rule full when request_rate > 400/s per svc then throttle svc to 5/s for 30s\n"
    "never quarantine svc where svc in core\nnever throttle svc more than 2 services\n",
};

static const char *const services[] = {"a", "b", "c", "d", "e"};

/* ---- what must hold ---- */

struct seen {
    char state[16];
    bool used;
};

static void word(const char *line, const char *name, char out[32])
{
    char key[32];
    snprintf(key, sizeof key, "\"%s\":", name);
    const char *at = strstr(line, key);
    assert_non_null(at);
    at += strlen(key);
    if (*at == '"') at++;
    size_t n = 0;
    while (at[n] != '"' && at[n] != ',' && at[n] != '}' && n < 31) n++;
    memcpy(out, at, n);
    out[n] = 0;
}

#define IDS (1 << 18) /* a restart leaves a gap in them */

struct walk {
    struct seen incident[IDS], lease[IDS];
    uint64_t seq;
    int open, live;
    char last_time[32];
};

/* Every arrow starts where the one before ended; numbers have no gap; time never goes back. */
static bool check_entry(void *ctx, uint64_t seq, mp_str json)
{
    struct walk *w = ctx;
    char line[4096], from[32], to[32], id[32], machine[32], time[32];
    assert_true(json.len < sizeof line);
    memcpy(line, json.ptr, json.len);
    line[json.len] = 0;
    assert_int_equal(seq, w->seq + 1);
    w->seq = seq;
    const char *tail = strstr(line, "},\"from\":"); /* an argument may be called `to` as well */
    assert_non_null(tail);
    word(tail, "from", from);
    word(tail, "to", to);
    word(line, "machine", machine);
    word(line, "time", time);
    assert_true(strcmp(time, w->last_time) >= 0);
    memcpy(w->last_time, time, sizeof time);
    bool lease = strcmp(machine, "lease") == 0;
    word(line, lease ? "lease" : "incident", id);
    long n = strtol(id, NULL, 10);
    if (n == 0) return true; /* pending, or inline */
    assert_true(n > 0 && n < IDS);
    struct seen *s = lease ? &w->lease[n] : &w->incident[n];
    if (s->used && strcmp(s->state, from) != 0) fail_msg("%s was %s: %s", id, s->state, line);
    s->used = true;
    snprintf(s->state, sizeof s->state, "%.15s", to);
    return true;
}

static bool over(const char *state, bool lease)
{
    if (lease) {
        return strcmp(state, "withdrawn") == 0 || strcmp(state, "withheld") == 0 ||
               strcmp(state, "accepted") == 0;
    }
    return strcmp(state, "idle") == 0;
}

struct count {
    const char *verb;
    int n;
};

static bool count_lease(void *ctx, const struct mp_lease_view *v)
{
    struct count *c = ctx;
    c->n += v->in_force && !v->lease->shadow && mp_str_eq(v->verb, mp_str_of(c->verb));
    return true;
}

static int in_force(struct loop *l, const char *verb)
{
    struct count c = {verb, 0};
    mp_engine_leases(l->engine, &c, count_lease);
    return c.n;
}

/* ---- what happens ---- */

static void set_something(struct loop *l, uint64_t *rng)
{
    static const char *const rates[] = {"0.1%", "0.6%", "3%",      "6%",
                                        "9%",   "60%",  "unknown", "absent"};
    static const char *const loads[] = {"0.5/s", "10/s",  "60/s",   "150/s",
                                        "400/s", "600/s", "unknown"};
    static const char *const times[] = {"10ms", "500ms", "1500ms", "3s", "unknown"};
    const char *service = services[mp_rng_next(rng) % 5];
    switch (mp_rng_next(rng) % 3) {
    case 0: loop_set(l, "error_rate", service, rates[mp_rng_next(rng) % 8]); break;
    case 1: loop_set(l, "request_rate", service, loads[mp_rng_next(rng) % 7]); break;
    default: loop_set(l, "p99_latency", service, times[mp_rng_next(rng) % 5]); break;
    }
}

static void reload(struct loop *l, int *policy)
{
    const char *why = "";
    *policy ^= 1;
    struct mp_program *p = loop_compile(l, policies[*policy], true);
    if (mp_engine_swap(l->engine, p, &why) != MP_OK) fail_msg("%s", why);
    mp_program_free(l->program);
    l->program = p;
}

static void options_at(struct mp_engine_options *o, int64_t now)
{
    *o = (struct mp_engine_options){.clock = MP_ENGINE_TEST,
                                    .hash_key = {3, 4},
                                    .now_ns = now,
                                    .mono_ns = now,
                                    .pending = true};
    o->limits.keys = 256;
    o->limits.incidents = 64;
    o->limits.leases = 64;
    o->limits.holds = 64;
    o->limits.messages = 64;
    o->limits.truths = 256;
    o->limits.ledger_bytes = 4 << 20;
}

static void restart(struct loop *l, struct kept *kept, struct walk *w)
{
    struct mp_engine_options o;
    kept_take(kept, l->engine);
    mp_engine_entries(l->engine, w->seq, w, check_entry);
    mp_engine_destroy(l->engine);
    options_at(&o, T0 + (l->t - T0));
    struct mp_engine_sinks none = {0};
    assert_int_equal(mp_engine_create(l->program, &l->os, &o, &none, &l->engine), MP_OK);
    kept_restore(kept, l->engine);
}

static void one_life(uint64_t seed)
{
    static struct kept kept;
    static struct walk w;
    struct loop l;
    struct mp_engine_options o;
    uint64_t rng = seed * 0x9E3779B97F4A7C15ull + 1;
    double t = 0;
    int policy = 0;
    memset(&w, 0, sizeof w);
    kept_open(&kept);
    options_at(&o, T0);
    loop_open_with(&l, policies[0], true, &o);
    l.t = T0;
    for (int i = 0; i < 120; i++) {
        t += (double)(mp_rng_next(&rng) % 8000) / 1000;
        loop_at(&l, t);
        switch (mp_rng_next(&rng) % 24) {
        case 0: mp_engine_brake(l.engine, mp_rng_next(&rng) % 2 != 0); break;
        case 1: mp_engine_release_all(l.engine); break;
        case 2:
            mp_engine_backend_mode(l.engine, (enum mp_backend_mode)(mp_rng_next(&rng) % 3));
            break;
        case 3: restart(&l, &kept, &w); break;
        case 4:
            kept_take(&kept, l.engine);
            reload(&l, &policy);
            break;
        case 5: mp_engine_release(l.engine, mp_rng_next(&rng) % 20); break;
        default: set_something(&l, &rng); break;
        }
        if (policy == 0) assert_true(in_force(&l, "quarantine") <= 2);
    }
    /* All is well, the mesh obeys: in the end nothing is in force, and every key is as it was. */
    mp_engine_brake(l.engine, false);
    mp_engine_backend_mode(l.engine, MP_BACKEND_PROMPT);
    for (int i = 0; i < 5; i++) {
        loop_set(&l, "error_rate", services[i], "0%");
        loop_set(&l, "request_rate", services[i], "10/s");
        loop_set(&l, "p99_latency", services[i], "10ms");
    }
    loop_at(&l, t + 3600);
    struct mp_engine_status s;
    mp_engine_status(l.engine, &s);
    mp_engine_entries(l.engine, w.seq, &w, check_entry);
    for (int i = 0; i < IDS; i++) {
        if (w.incident[i].used && !over(w.incident[i].state, false)) {
            fail_msg("seed %llu: incident %d is still %s", (unsigned long long)seed, i,
                     w.incident[i].state);
        }
    }
    for (int i = 0; i < IDS; i++) {
        if (w.lease[i].used && !over(w.lease[i].state, true)) {
            fail_msg("seed %llu: lease %d is still %s", (unsigned long long)seed, i,
                     w.lease[i].state);
        }
    }
    assert_int_equal(s.leases_live, 0);
    assert_int_equal(s.incidents_open, 0);
    assert_int_equal(s.messages_waiting, 0);
    loop_close(&l);
    kept_close(&kept);
}

static void whatever_happens_it_ends_at_baseline(void **state)
{
    (void)state;
    const char *only = getenv("SEED");
    if (only != NULL) {
        one_life(strtoull(only, NULL, 10));
        return;
    }
    const char *from = getenv("SEED_FROM");
    uint64_t first = from == NULL ? 1 : strtoull(from, NULL, 10);
    for (uint64_t seed = first; seed < first + SEEDS; seed++) {
        print_message("seed %llu\n", (unsigned long long)seed);
        one_life(seed);
    }
}

/* Rows from a disk that lies: refused, or taken and lived with; never a crash, never a loop. */
static void damaged_rows_do_no_harm(void **state)
{
    (void)state;
    static struct kept kept;
    struct loop l;
    struct mp_engine_options o;
    uint64_t rng = 20261125;
    uint8_t hash[32] = {0};
    print_message("seed %llu\n", (unsigned long long)rng);
    kept_open(&kept);
    options_at(&o, T0);
    loop_open_with(&l, policies[0], true, &o);
    l.t = T0;
    double t = 0;
    for (int i = 0; i < 60; i++) {
        t += (double)(mp_rng_next(&rng) % 8000) / 1000;
        loop_at(&l, t);
        set_something(&l, &rng);
    }
    kept_take(&kept, l.engine);
    int taken = 0;
    for (int round = 0; round < 1500; round++) {
        struct mp_engine_sinks none = {0};
        mp_engine_destroy(l.engine);
        options_at(&o, l.t);
        assert_int_equal(mp_engine_create(l.program, &l.os, &o, &none, &l.engine), MP_OK);
        uint32_t damaged = (uint32_t)(mp_rng_next(&rng) % kept.count);
        bool fine = true;
        for (uint32_t i = 0; i < kept.count && fine; i++) {
            struct mp_state_row row = kept.row[i];
            char bytes[8192];
            if (row.bytes.len == 0) continue;
            assert_true(row.bytes.len <= sizeof bytes);
            memcpy(bytes, row.bytes.ptr, row.bytes.len);
            row.bytes.ptr = bytes;
            for (int n = 0; i == damaged && n < 3; n++) {
                bytes[mp_rng_next(&rng) % row.bytes.len] = (char)mp_rng_next(&rng);
            }
            fine = mp_engine_restore(l.engine, &row) == MP_OK;
        }
        if (!fine) continue;
        taken++;
        assert_int_equal(mp_engine_resume(l.engine, 100, hash), MP_OK);
        mp_engine_advance(l.engine, l.t + 600 * SEC, l.t + 600 * SEC);
    }
    assert_true(taken > 100);
    loop_close(&l);
    kept_close(&kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(whatever_happens_it_ends_at_baseline),
                                       cmocka_unit_test(damaged_rows_do_no_harm)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
