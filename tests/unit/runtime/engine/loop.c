/* SPDX-License-Identifier: Apache-2.0 */
#include "loop.h"

#include "os/std.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define LOG_MAX (4u << 20)

const char *const loop_ladder =
    "mpol 1\npackage shop\nuse std.mesh\n"
    "rule errors when error_rate > 5% for 30s per svc\n"
    "then throttle svc to 50% for 5m and notify \"{svc} at {error_rate}\" via slack\n"
    "  verify error_rate < 1% for 20s within 1m settle 5s\n"
    "else quarantine svc for 15m\n"
    "  verify error_rate of svc.callers < 1% for 20s within 90s\n"
    "else rollback and page \"oncall\"\n"
    "until error_rate < 0.5% for 5m\nramp 25% every 1m\ncooldown 5m\n";

static void add(struct loop *l, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct loop *l, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = vsnprintf(l->log + l->log_len, LOG_MAX - l->log_len, format, args);
    va_end(args);
    assert_true(len >= 0 && (size_t)len < LOG_MAX - l->log_len);
    l->log_len += (size_t)len;
}

static void on_entry(void *ctx, const struct mp_entry *e, mp_str json)
{
    struct loop *l = ctx;
    (void)json;
    add(l, "%.3f %s %.*s %.*s", (double)(e->time_ns - T0) / 1e9,
        e->machine == MP_MACHINE_LEASE ? "lease" : "incident", MP_STR_ARG(e->rule),
        MP_STR_ARG(e->key));
    if (e->machine == MP_MACHINE_LEASE)
        add(l, " %.*s %.*s", MP_STR_ARG(e->verb), MP_STR_ARG(e->target));
    add(l, " %.*s>%.*s", MP_STR_ARG(e->from), MP_STR_ARG(e->to));
    if (e->why.len > 0) add(l, " %.*s", MP_STR_ARG(e->why));
    if (e->shadow) add(l, " shadow");
    for (uint32_t i = 0; i < e->arg_count && e->machine == MP_MACHINE_LEASE; i++) {
        add(l, " %.*s:%.*s", MP_STR_ARG(e->args[i].name), MP_STR_ARG(e->args[i].value));
    }
    for (uint32_t i = 0; i < e->cause_count; i++) {
        add(l, " %.*s=%.*s", MP_STR_ARG(e->cause[i].name), MP_STR_ARG(e->cause[i].value));
    }
    add(l, "\n");
}

static void on_inline(void *ctx, uint32_t rule, uint32_t act, const struct mp_record *record,
                      bool shadow, bool carried_out)
{
    struct loop *l = ctx;
    (void)rule;
    (void)act;
    (void)record;
    (void)shadow;
    l->inline_done += carried_out;
    l->inline_passed += !carried_out;
}

static enum mp_err on_message(void *ctx, const struct mp_message *m)
{
    struct loop *l = ctx;
    add(l, "message %.*s via %.*s: %.*s\n", MP_STR_ARG(m->verb), MP_STR_ARG(m->channel),
        MP_STR_ARG(m->text));
    return MP_OK;
}

struct mp_program *loop_compile(struct loop *l, const char *policy, bool with_tests)
{
    struct mp_compile_text text = {MP_STR("test.mpol"), mp_str_of(policy), MP_CHECK_GIVEN};
    struct mp_compile_options options = {
        .goal = MP_COMPILE_IMAGE, .with_tests = with_tests, .os = &l->os};
    struct mp_compilation *c;
    assert_int_equal(mp_compile(&text, 1, &options, &c), MP_OK);
    if (mp_compilation_errors(c) > 0) {
        struct mp_buf b;
        mp_buf_init(&b, &l->arena);
        mp_diags_print_json(mp_compilation_diags(c), mp_compilation_sources(c), &b);
        fail_msg("%.*s", MP_STR_ARG(mp_buf_view(&b)));
    }
    mp_str image = mp_compilation_image(c);
    struct mp_program *p;
    const char *why = "";
    if (mp_program_load(image.ptr, image.len, &l->os, &p, &why) != MP_OK) fail_msg("load: %s", why);
    mp_compilation_free(c);
    return p;
}

void loop_open_with(struct loop *l, const char *policy, bool with_tests,
                    const struct mp_engine_options *options)
{
    memset(l, 0, sizeof *l);
    mp_std_os(&l->os);
    mp_arena_init(&l->arena, NULL, 0);
    l->log = malloc(LOG_MAX);
    assert_non_null(l->log);
    l->log[0] = 0;
    l->program = loop_compile(l, policy, with_tests);
    struct mp_engine_sinks sinks = {.ctx = l, .entry = on_entry, .message = on_message,
                                    .inline_hit = on_inline};
    assert_int_equal(mp_engine_create(l->program, &l->os, options, &sinks, &l->engine), MP_OK);
    assert_int_equal(mp_ingest_create(&l->arena, l->program, options->hash_key, &l->ingest), MP_OK);
}

void loop_open(struct loop *l, const char *policy, bool with_tests, enum mp_engine_clock clock)
{
    struct mp_engine_options options = {.clock = clock, .hash_key = {1, 2}, .pending = true,
                                        .now_ns = T0, .mono_ns = T0};
    options.limits.keys = 1024;
    options.limits.incidents = 256;
    options.limits.leases = 256;
    options.limits.truths = 1024;
    loop_open_with(l, policy, with_tests, &options);
}

void loop_close(struct loop *l)
{
    mp_engine_destroy(l->engine);
    mp_program_free(l->program);
    if (l->old != NULL) mp_program_free(l->old);
    mp_arena_free(&l->arena);
    free(l->log);
}

void loop_at(struct loop *l, double seconds)
{
    int64_t t = T0 + (int64_t)(seconds * 1e9);
    if (t > l->t) l->t = t;
    mp_engine_advance(l->engine, l->t, l->t);
}

void loop_line(struct loop *l, const char *json)
{
    char line[2048];
    struct mp_ingested in;
    int len = snprintf(line, sizeof line, "{\"time\":%.9f,%s", (double)l->t / 1e9, json + 1);
    assert_true(len > 0 && (size_t)len < sizeof line);
    switch (mp_ingest_line(l->ingest, (mp_str){line, (size_t)len}, 0, 0, &in)) {
    case MP_INGEST_RECORD:
        in.record.time_ns = l->t; /* a double is too coarse for nanoseconds of today */
        mp_engine_record(l->engine, &in.record);
        break;
    case MP_INGEST_ENTITY:
        assert_int_equal(mp_inventory_put(mp_engine_inventory(l->engine), in.entity), MP_OK);
        mp_engine_inventory_changed(l->engine);
        break;
    case MP_INGEST_ALIVE: mp_engine_alive(l->engine, 0, in.signal, l->t); break;
    case MP_INGEST_OTHER: break;
    case MP_INGEST_BAD: fail_msg("bad line: %s: %s", in.why, line);
    }
}

void loop_traffic(struct loop *l, const char *service, const char *client, double from, double to,
                  int per_second, int bad_percent)
{
    int count = (int)((to - from) * per_second + 0.5);
    for (int i = 0; i < count; i++) {
        char json[512];
        bool bad = i * bad_percent / 100 != (i + 1) * bad_percent / 100;
        loop_at(l, from + (double)i / per_second);
        snprintf(
            json, sizeof json,
            "{\"signal\":\"requests\",\"service\":\"%s\",\"instance\":\"%s-1\",\"client\":\"%s\","
            "\"method\":\"GET\",\"path\":\"/\",\"status\":%d,\"latency\":\"5ms\"}",
            service, service, client, bad ? 503 : 200);
        loop_line(l, json);
    }
}

void loop_set(struct loop *l, const char *def, const char *key, const char *value)
{
    const struct mp_program *p = l->program;
    for (uint32_t d = 0; d < p->def_count; d++) {
        if (!mp_str_eq(mp_program_text(p, p->def[d].name), mp_str_of(def))) continue;
        const struct mp_grouping_row *g = &p->grouping[p->def[d].grouping];
        struct mp_value k, v = {{0, 0}};
        enum mp_override how = MP_OVERRIDE_SET;
        assert_true(mp_value_read(p->group_key[g->keys_at].type, mp_str_of(key), &k));
        if (strcmp(value, "absent") == 0) how = MP_OVERRIDE_ABSENT;
        if (strcmp(value, "unknown") == 0) how = MP_OVERRIDE_UNKNOWN;
        if (how == MP_OVERRIDE_SET)
            assert_true(mp_value_read(p->def[d].type, mp_str_of(value), &v));
        assert_int_equal(mp_engine_override(l->engine, d, &k, 1, how, v), MP_OK);
        mp_engine_overridden(l->engine);
        return;
    }
    fail_msg("no def %s", def);
}

bool loop_saw(const struct loop *l, const char *text) { return strstr(l->log, text) != NULL; }

int loop_count(const struct loop *l, const char *text)
{
    int n = 0;
    for (const char *at = strstr(l->log, text); at != NULL; at = strstr(at + 1, text)) n++;
    return n;
}

const char *loop_after(const char *after, const char *text)
{
    return after == NULL ? NULL : strstr(after, text);
}

/* ---- what was seen ---- */

/* cmocka cuts long messages, and the end of a log is what one wants to see. */
_Noreturn void missing(const struct loop *l, const char *how, const char *wanted)
{
    fprintf(stderr, "%s", l->log);
    fail_msg("%s: %s", how, wanted);
    abort();
}

void saw(const struct loop *l, const char *wanted)
{
    if (!loop_saw(l, wanted)) missing(l, "not seen", wanted);
}

void saw_not(const struct loop *l, const char *unwanted)
{
    if (loop_saw(l, unwanted)) missing(l, "seen", unwanted);
}

void saw_times(const struct loop *l, const char *wanted, int times)
{
    int n = loop_count(l, wanted);
    if (n != times) missing(l, "seen more or less often", wanted);
}

/* In this order, other lines between them allowed. The last is NULL. */
void saw_in_order(const struct loop *l, ...)
{
    va_list args;
    const char *at = l->log, *text;
    va_start(args, l);
    while ((text = va_arg(args, const char *)) != NULL) {
        at = loop_after(at, text);
        if (at == NULL) missing(l, "not seen in this order", text);
        at += strlen(text);
    }
    va_end(args);
}

void test_loop(struct loop *l, const char *policy)
{
    loop_open(l, policy, true, MP_ENGINE_TEST);
}

void swap(struct loop *l, const char *policy)
{
    const char *why = "";
    struct mp_program *p = loop_compile(l, policy, true);
    if (mp_engine_swap(l->engine, p, &why) != MP_OK) fail_msg("%s", why);
    if (l->old != NULL) mp_program_free(l->old);
    l->old = l->program;
    l->program = p;
}
