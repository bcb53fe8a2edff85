/* SPDX-License-Identifier: Apache-2.0
 * The loop through the public interface, on a clock of the test's own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mpol/mpol.h"

#define S INT64_C(1000000000)
#define START (INT64_C(1700000000) * S)

#define HEAD "mpol 1\npackage t\nuse std.mesh\n"
#define GUESSES(n)                                                                                 \
    HEAD "param tries: int = " n " in 1..100\n"                                                    \
         "rule guesses when count(requests where status == 401) over 10s >= tries "                \
         "per client.ip max 1k\n"                                                                  \
         "  then deny client.ip for 20s and notify \"guesses from {client.ip}\" via chat\n"

static struct {
    struct mpol_engine *engine;
    struct mpol_reader *reader;
    struct mpol_record *record;
    struct mpol_verdict verdict;
    uint32_t service, client, path, status;
    int64_t now;
    unsigned opened, effective, released, messages;
    char message[192];
} f;

static int text_is(struct mpol_text t, const char *word)
{
    return t.len == strlen(word) && memcmp(t.ptr, word, t.len) == 0;
}

static void on_entry(void *ctx, const struct mpol_entry *e)
{
    (void)ctx;
    if (text_is(e->machine, "incident") && text_is(e->to, "open")) f.opened++;
    if (text_is(e->machine, "lease") && text_is(e->to, "effective")) f.effective++;
    if (text_is(e->machine, "incident") && text_is(e->to, "released")) f.released++;
}

static enum mpol_err on_message(void *ctx, const struct mpol_message *m)
{
    (void)ctx;
    f.messages++;
    snprintf(f.message, sizeof f.message, "%.*s", (int)m->text.len, m->text.ptr);
    return MPOL_OK;
}

static struct mpol_program *compile(const char *text)
{
    struct mpol_source source = {mpol_text("t.mpol"), mpol_text(text)};
    struct mpol_program *program = NULL;
    assert_int_equal(mpol_compile(&source, 1, NULL, &program), MPOL_OK);
    return program;
}

static void begin(const char *policy)
{
    memset(&f, 0, sizeof f);
    struct mpol_engine_options options;
    MPOL_INIT(&options);
    MPOL_INIT(&options.limits);
    options.limits.readers_max = 4;
    options.start_wall_ns = f.now = START;
    options.seed = 42;
    assert_int_equal(mpol_engine_create(&options, compile(policy), &f.engine), MPOL_OK);
    assert_int_equal(mpol_engine_watch(f.engine, on_entry, NULL), MPOL_OK);
    assert_int_equal(mpol_engine_channel(f.engine, "chat", on_message, NULL), MPOL_OK);
    assert_int_equal(mpol_field(f.engine, "service", &f.service), MPOL_OK);
    assert_int_equal(mpol_field(f.engine, "client.ip", &f.client), MPOL_OK);
    assert_int_equal(mpol_field(f.engine, "path", &f.path), MPOL_OK);
    assert_int_equal(mpol_field(f.engine, "status", &f.status), MPOL_OK);
    assert_int_equal(mpol_reader_open(f.engine, &f.reader), MPOL_OK);
    assert_int_equal(mpol_record_create(f.engine, &f.record), MPOL_OK);
}

static void end(void)
{
    mpol_record_destroy(f.record);
    mpol_reader_close(f.reader);
    mpol_engine_destroy(f.engine);
}

static int ask(const char *client, const char *path)
{
    assert_int_equal(mpol_record_begin(f.record, "requests", f.now, MPOL_SERVICE), MPOL_OK);
    mpol_record_text(f.record, f.service, mpol_text("account"));
    mpol_record_text(f.record, f.client, mpol_text(client));
    mpol_record_text(f.record, f.path, mpol_text(path));
    MPOL_INIT(&f.verdict);
    assert_int_equal(mpol_verdict(f.reader, f.record, &f.verdict), MPOL_OK);
    return f.verdict.allow;
}

static void step(int64_t ns)
{
    f.now += ns;
    assert_int_equal(mpol_engine_step(f.engine, f.now), MPOL_OK);
}

/* A request that is let through and answered, or refused; then the loop is stepped. */
static int request(const char *client, int status)
{
    int allow = ask(client, "/login");
    if (allow) {
        mpol_record_int(f.record, f.status, status);
    } else {
        mpol_record_refused(f.record, f.verdict.rule);
    }
    assert_int_equal(mpol_engine_feed(f.engine, f.record), MPOL_OK);
    step(S / 100);
    return allow;
}

static void exactly_k_failures_reach_the_service(void **state)
{
    (void)state;
    begin(GUESSES("5"));
    unsigned reached = 0;
    for (int i = 0; i < 50; i++) {
        reached += (unsigned)request("10.0.0.7", 401);
        assert_true(request("10.0.0.8", 200)); /* the others are not hurt */
    }
    assert_int_equal(reached, 5);
    assert_int_equal(f.opened, 1);
    assert_int_equal(f.effective, 1);
    assert_int_equal(f.messages, 1);
    assert_string_equal(f.message, "guesses from 10.0.0.7");
    end();
}

static void a_lease_ends_by_itself(void **state)
{
    (void)state;
    begin(GUESSES("5"));
    for (int i = 0; i < 10; i++) request("10.0.0.7", 401);
    assert_false(ask("10.0.0.7", "/"));
    assert_true(text_is(f.verdict.rule, "guesses"));
    assert_true(text_is(f.verdict.verb, "deny"));
    assert_int_equal(f.verdict.reason, MPOL_REASON_LEASE);
    assert_true(f.verdict.incident > 0);
    assert_in_range(f.verdict.retry_after_ns, 1, 20 * S);
    for (int i = 0; i < 25; i++) step(S);
    assert_true(ask("10.0.0.7", "/"));
    assert_int_equal(f.released, 1);
    end();
}

static void an_operator_lets_go(void **state)
{
    (void)state;
    begin(GUESSES("5"));
    for (int i = 0; i < 10; i++) request("10.0.0.7", 401);
    assert_false(ask("10.0.0.7", "/"));
    assert_int_equal(
        mpol_engine_release_rule(f.engine, mpol_text("guesses"), mpol_text("10.0.0.7")), MPOL_OK);
    step(S / 100);
    assert_true(ask("10.0.0.7", "/"));
    assert_int_equal(mpol_engine_release(f.engine, 999), MPOL_ENOTFOUND);
    end();
}

static void nothing_new_is_enforced_under_the_brake(void **state)
{
    (void)state;
    begin(GUESSES("5"));
    assert_int_equal(mpol_engine_brake(f.engine, 1), MPOL_OK);
    for (int i = 0; i < 20; i++) assert_true(request("10.0.0.7", 401));
    struct mpol_status status;
    MPOL_INIT(&status);
    assert_int_equal(mpol_engine_status(f.engine, &status), MPOL_OK);
    assert_int_equal(status.braked, 1);
    assert_int_equal(status.leases_in_force, 0);
    assert_int_equal(status.verdicts, 20);
    end();
}

static void a_reload_takes_effect_at_once_and_keeps_what_is_in_force(void **state)
{
    (void)state;
    begin(GUESSES("5"));
    for (int i = 0; i < 10; i++) request("10.0.0.7", 401);
    assert_true(ask("10.0.0.9", "/x"));
    const char *why = "";
    struct mpol_program *next =
        compile(GUESSES("5") "rule no_x when request.path == \"/x\" then deny request\n");
    assert_int_equal(mpol_engine_reload(f.engine, next, &why), MPOL_OK);
    assert_false(ask("10.0.0.9", "/x"));
    assert_false(ask("10.0.0.7", "/"));
    assert_true(ask("10.0.0.9", "/"));
    struct mpol_status status;
    MPOL_INIT(&status);
    mpol_engine_status(f.engine, &status);
    assert_int_equal(status.generation, 2);
    end();
}

#define STAYS                                                                                      \
    "rule stays when request.path == \"/x\" then throttle request to 1/min with burst = 1\n"

/* 64 throttles that are called `nGGGGGII`. */
static struct mpol_program *throttles_of(unsigned generation)
{
    char text[8192] = HEAD STAYS;
    for (unsigned i = 0; i < 64; i++) {
        size_t len = strlen(text);
        snprintf(text + len, sizeof text - len,
                 "rule n%05u%02u when request.path == \"/%u\" then throttle request to 1/s\n",
                 generation, i, i);
    }
    return compile(text);
}

/* Names of throttling rules are forgotten with their programs; a rule that stays has the bucket
 * that it had. */
static void a_throttle_stays_while_thousands_of_others_come_and_go(void **state)
{
    (void)state;
    begin(HEAD STAYS);
    assert_true(ask("10.0.0.9", "/x"));
    for (unsigned i = 0; i < 300; i++) {
        const char *why = "";
        if (mpol_engine_reload(f.engine, throttles_of(i), &why) != MPOL_OK)
            fail_msg("reload %u: %s", i, why);
    }
    assert_false(ask("10.0.0.9", "/x"));
    end();
}

static void a_param_takes_effect_at_once(void **state)
{
    (void)state;
    begin(GUESSES("50"));
    for (int i = 0; i < 10; i++) assert_true(request("10.0.0.7", 401));
    assert_int_equal(mpol_engine_param(f.engine, mpol_text("tries"), mpol_text("12")), MPOL_OK);
    assert_int_equal(mpol_engine_param(f.engine, mpol_text("tries"), mpol_text("1000")),
                     MPOL_EINVAL);
    assert_int_equal(mpol_engine_param(f.engine, mpol_text("nothing"), mpol_text("1")),
                     MPOL_ENOTFOUND);
    unsigned reached = 10;
    for (int i = 0; i < 10; i++) reached += (unsigned)request("10.0.0.7", 401);
    assert_int_equal(reached, 12);
    end();
}

static void a_text_that_a_param_was_given_outlives_the_program_that_was_given_it(void **state)
{
    (void)state;
    begin(
        HEAD
        "param area: string = \"/nothing-of-that-name\"\nparam tries: int = 3 in 1..100\n"
        "rule closed when request.path starts with area then refuse request\n"
        "rule guesses when count(requests where status == 401) over 10s >= tries "
        "per client.ip max 1k\n"
        "  then deny client.ip for 20s\n");
    assert_true(ask("10.0.0.7", "/a/place/for/few/x"));
    assert_int_equal(mpol_engine_param(f.engine, mpol_text("area"), mpol_text("/a/place/for/few")),
                     MPOL_OK);
    for (int i = 1; i < 4; i++) {
        char tries[] = {(char)('0' + i), 0};
        step(S);
        assert_int_equal(mpol_engine_param(f.engine, mpol_text("tries"), mpol_text(tries)),
                         MPOL_OK);
        step(S);
        assert_false(ask("10.0.0.7", "/a/place/for/few/x"));
        assert_true(ask("10.0.0.7", "/a/place/for/all"));
    }
    end();
}

static void a_time_that_is_none_is_refused(void **state)
{
    (void)state;
    begin(GUESSES("5"));
    const int64_t none[] = {-1, INT64_MIN, INT64_MAX, INT64_MAX / 2 + 1};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        assert_int_equal(mpol_record_begin(f.record, "requests", none[i], MPOL_SERVICE),
                         MPOL_EINVAL);
        assert_int_equal(mpol_engine_step(f.engine, none[i]), MPOL_EINVAL);
    }
    assert_true(request("10.0.0.7", 401));
    end();
}

static int count_line(void *ctx, uint64_t seq, struct mpol_text json)
{
    unsigned *count = ctx;
    (void)seq;
    assert_int_equal(json.ptr[0], '{');
    assert_int_equal(json.ptr[json.len - 1], '}');
    ++*count;
    return 0;
}

static void the_ledger_has_every_transition(void **state)
{
    (void)state;
    begin(GUESSES("5"));
    for (int i = 0; i < 10; i++) request("10.0.0.7", 401);
    unsigned count = 0;
    assert_int_equal(mpol_engine_ledger(f.engine, 0, count_line, &count), MPOL_OK);
    struct mpol_status status;
    MPOL_INIT(&status);
    mpol_engine_status(f.engine, &status);
    assert_true(count >= 5);
    assert_int_equal(count, status.entries);
    end();
}

static void collect(void *ctx, const char *bytes, size_t len)
{
    char *text = ctx;
    size_t at = strlen(text);
    if (at + len < 4096) memcpy(text + at, bytes, len);
}

static void it_says_why(void **state)
{
    (void)state;
    static char text[4096];
    begin(GUESSES("5"));
    for (int i = 0; i < 3; i++) request("10.0.0.7", 401);
    memset(text, 0, sizeof text);
    assert_int_equal(
        mpol_engine_why(f.engine, mpol_text("guesses"), mpol_text("10.0.0.7"), collect, text),
        MPOL_OK);
    assert_non_null(strstr(text, "guesses for 10.0.0.7"));
    assert_non_null(strstr(text, "= 3"));
    assert_int_equal(mpol_engine_why(f.engine, mpol_text("nobody"), mpol_text("x"), collect, text),
                     MPOL_ENOTFOUND);
    end();
}

static void lines_are_records_too(void **state)
{
    (void)state;
    begin(GUESSES("5"));
    static const char line[] =
        "{\"service\":\"account\",\"client\":{\"ip\":\"10.0.0.7\"},\"status\":401}";
    for (int i = 0; i < 6; i++) {
        assert_int_equal(mpol_engine_feed_line(f.engine, line, sizeof line - 1), MPOL_OK);
        step(S / 100);
    }
    assert_int_equal(mpol_engine_feed_line(f.engine, "{no", 3), MPOL_EINVAL);
    assert_false(ask("10.0.0.7", "/"));
    struct mpol_status status;
    MPOL_INIT(&status);
    mpol_engine_status(f.engine, &status);
    assert_int_equal(status.bad_lines, 1);
    assert_int_equal(status.records, 6);
    end();
}

static void what_is_too_much_is_refused_and_harms_nothing(void **state)
{
    (void)state;
    static char big[4096];
    memset(big, 'a', sizeof big);
    begin(GUESSES("5"));
    mpol_record_begin(f.record, "requests", f.now, MPOL_SERVICE);
    assert_int_equal(mpol_record_text(f.record, f.path, (struct mpol_text){big, sizeof big}),
                     MPOL_ELIMIT);
    assert_int_equal(mpol_record_begin(f.record, "requests", f.now, 0), MPOL_EINVAL);
    assert_int_equal(mpol_record_text(f.record, 9999, mpol_text("x")), MPOL_EINVAL);
    struct mpol_reader *more[4];
    for (int i = 0; i < 3; i++) assert_int_equal(mpol_reader_open(f.engine, &more[i]), MPOL_OK);
    assert_int_equal(mpol_reader_open(f.engine, &more[3]), MPOL_ELIMIT);
    for (int i = 0; i < 3; i++) mpol_reader_close(more[i]);
    assert_true(ask("10.0.0.7", "/"));
    end();
}

/* What a caller has after a call of its own that failed, or from another engine. */
static void what_lacks_a_part_is_refused(void **state)
{
    (void)state;
    begin(GUESSES("5"));
    struct mpol_engine_options options;
    struct mpol_backend_ops ops;
    struct mpol_engine *other = NULL;
    struct mpol_record *record;
    struct mpol_verdict verdict;
    const char *why = NULL;
    MPOL_INIT(&options);
    MPOL_INIT(&options.limits);
    MPOL_INIT(&ops);
    MPOL_INIT(&verdict);
    options.limits.record_bytes = 8192;
    assert_int_equal(mpol_engine_create(&options, NULL, &other), MPOL_EINVAL);
    assert_int_equal(mpol_engine_create(NULL, compile(GUESSES("5")), &other), MPOL_EINVAL);
    assert_int_equal(mpol_engine_reload(f.engine, NULL, &why), MPOL_EINVAL);
    assert_non_null(why);
    assert_int_equal(mpol_engine_backend(f.engine, NULL, NULL), MPOL_EINVAL);
    assert_int_equal(mpol_engine_backend(f.engine, &ops, NULL), MPOL_EINVAL);
    assert_int_equal(mpol_engine_channel(f.engine, "chat", NULL, NULL), MPOL_EINVAL);
    assert_int_equal(mpol_record_begin(f.record, NULL, f.now, MPOL_SERVICE), MPOL_EINVAL);

    assert_int_equal(mpol_engine_create(&options, compile(GUESSES("5")), &other), MPOL_OK);
    assert_int_equal(mpol_record_create(other, &record), MPOL_OK);
    assert_int_equal(mpol_record_begin(record, "requests", f.now, MPOL_SERVICE), MPOL_OK);
    assert_int_equal(mpol_engine_feed(f.engine, record), MPOL_EINVAL);
    assert_int_equal(mpol_verdict(f.reader, record, &verdict), MPOL_EINVAL);
    assert_int_equal(mpol_reader_report(f.reader, record), MPOL_EINVAL);
    mpol_record_destroy(record);
    mpol_engine_destroy(other);
    end();
}

static void a_full_ring_drops_and_counts(void **state)
{
    (void)state;
    begin(GUESSES("5"));
    unsigned full = 0;
    for (int i = 0; i < 100; i++) {
        ask("10.0.0.7", "/");
        full += mpol_reader_report(f.reader, f.record) == MPOL_ELIMIT;
    }
    assert_int_equal(full, 36);
    step(S / 100);
    struct mpol_status status;
    MPOL_INIT(&status);
    mpol_engine_status(f.engine, &status);
    assert_int_equal(status.records, 64);
    assert_int_equal(status.dropped, 36);
    end();
}

static void a_program_travels_as_an_image(void **state)
{
    (void)state;
    struct mpol_program *program = compile(GUESSES("5")), *copy = NULL;
    const void *image;
    size_t size;
    assert_int_equal(mpol_program_image(program, &image, &size), MPOL_OK);
    assert_int_equal(mpol_program_load(image, size, NULL, &copy, NULL), MPOL_OK);
    struct mpol_text name, kind;
    assert_int_equal(mpol_program_rule_count(copy), 1);
    assert_int_equal(mpol_program_rule(copy, 0, &name, &kind), MPOL_OK);
    assert_true(text_is(name, "guesses") && text_is(kind, "loop"));
    assert_int_equal(mpol_program_rule(copy, 1, &name, &kind), MPOL_ENOTFOUND);
    mpol_program_free(copy);
    const char *why = NULL;
    assert_int_equal(mpol_program_load("nonsense", 8, NULL, &copy, &why), MPOL_ECORRUPT);
    assert_non_null(why);
    mpol_program_free(program);
}

static void an_inline_rule_tells_what_it_refused_once_a_second(void **state)
{
    (void)state;
    begin(HEAD "rule door when request.path like \"/admin*\"\n"
               "  then deny request and notify \"{client.ip} at {request.path}\" via chat\n");
    for (int i = 0; i < 100; i++) {
        assert_false(ask("10.0.0.7", "/admin/x"));
        assert_true(ask("10.0.0.7", "/"));
        step(S / 25); /* four seconds in all */
    }
    assert_in_range(f.messages, 3, 5);
    assert_string_equal(f.message, "10.0.0.7 at /admin/x");
    struct mpol_status status;
    MPOL_INIT(&status);
    mpol_engine_status(f.engine, &status);
    assert_int_equal(status.verdicts, 200);
    assert_int_equal(status.refusals, 100);
    assert_in_range(status.entries, 1, 16); /* not one a request (R49) */
    end();
}

/* A trail tells of a rule that is tried out too; everybody else hears nothing of it. */
static void an_audit_tells_who_asked_for_what_and_what_became_of_it(void **state)
{
    (void)state;
    begin(HEAD "rule door mode shadow when request.path starts with \"/admin\"\n"
               "  then deny request and audit request and notify \"hit\" via chat\n"
               "rule gate when request.path == \"/gate\" then deny request and audit request\n");
    assert_true(ask("10.0.0.7", "/admin/\"x"));
    step(S);
    assert_int_equal(f.messages, 0); /* no channel `audit` is there yet, and `chat` is not told */
    assert_int_equal(mpol_engine_channel(f.engine, "audit", on_message, NULL), MPOL_OK);
    assert_true(ask("10.0.0.7", "/admin/\"x"));
    step(S);
    assert_int_equal(f.messages, 1);
    assert_string_equal(f.message,
                        "service=\"account\" instance=unknown client=10.0.0.7 "
                        "request.path=\"/admin/\\\"x\"; deny request: would be done (shadow)");
    assert_false(ask("10.0.0.7", "/gate"));
    step(S);
    assert_int_equal(f.messages, 2);
    assert_string_equal(f.message, "service=\"account\" instance=unknown client=10.0.0.7 "
                                   "request.path=\"/gate\"; deny request: done");
    end();
}

/* A lease finds its requests by whatever they are called after: an identity, a network's number. */
static void identities_and_networks_are_denied_too(void **state)
{
    (void)state;
    begin(
        HEAD
        "rule peers when count(requests where status == 401) over 10s >= 3 "
        "per request.peer max 1k\n"
        "  then deny request.peer for 20s\n"
        "rule nets when count(requests where status == 402) over 10s >= 3 per client.asn max 1k\n"
        "  then deny client.asn for 20s\n");
    static const char lines[][96] = {
        "{\"entity\":\"client\",\"ip\":\"10.0.0.1\",\"asn\":64500}",
        "{\"entity\":\"client\",\"ip\":\"10.0.0.2\",\"asn\":64500}",
        "{\"entity\":\"client\",\"ip\":\"10.0.0.3\",\"asn\":64501}",
    };
    for (int i = 0; i < 3; i++) mpol_engine_feed_line(f.engine, lines[i], strlen(lines[i]));
    step(S);
    uint32_t peer;
    assert_int_equal(mpol_field(f.engine, "peer", &peer), MPOL_OK);
    for (int i = 0; i < 3; i++) {
        assert_true(ask("10.0.0.1", "/"));
        mpol_record_int(f.record, f.status, 402);
        mpol_engine_feed(f.engine, f.record);
        assert_true(ask("10.0.0.9", "/"));
        mpol_record_text(f.record, peer, mpol_text("spiffe://shop/ns/default/sa/web"));
        mpol_record_int(f.record, f.status, 401);
        mpol_engine_feed(f.engine, f.record);
    }
    step(S / 100);
    assert_false(ask("10.0.0.2", "/"));
    assert_true(text_is(f.verdict.rule, "nets"));
    assert_true(ask("10.0.0.3", "/"));
    assert_true(ask("10.0.0.9", "/"));
    mpol_record_text(f.record, peer, mpol_text("spiffe://shop/ns/default/sa/web"));
    mpol_verdict(f.reader, f.record, &f.verdict);
    assert_false(f.verdict.allow);
    assert_true(text_is(f.verdict.rule, "peers"));
    end();
}

static void what_no_backend_can_do_is_said_by_name(void **state)
{
    (void)state;
    struct mpol_text verb = mpol_text("");
    begin(GUESSES("5"));
    assert_int_equal(mpol_engine_unsupported(f.engine, &verb), MPOL_OK);
    end();
    begin(HEAD "rule r when error_rate > 5% per svc then route svc to \"elsewhere\" for 1m\n");
    assert_int_equal(mpol_engine_unsupported(f.engine, &verb), MPOL_EUNSUPPORTED);
    assert_true(text_is(verb, "route"));
    end();
}

static void on_diagnostic(void *ctx, const struct mpol_diagnostic *d)
{
    char *code = ctx;
    if (code[0] == '\0') snprintf(code, 8, "%s", d->code);
    assert_int_equal(d->line, 4);
    assert_true(d->rendered.len > 0);
}

static void a_mistake_is_told_with_its_place(void **state)
{
    (void)state;
    char code[8] = "";
    struct mpol_source source = {
        mpol_text("bad.mpol"),
        mpol_text(HEAD "when eror_rate > 5% per svc then quarantine svc for 1m\n")};
    struct mpol_compile_options options;
    struct mpol_program *program = NULL;
    MPOL_INIT(&options);
    options.diagnostic = on_diagnostic;
    options.ctx = code;
    assert_int_equal(mpol_compile(&source, 1, &options, &program), MPOL_EINVAL);
    assert_null(program);
    assert_string_equal(code, "E0101");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exactly_k_failures_reach_the_service),
        cmocka_unit_test(a_lease_ends_by_itself),
        cmocka_unit_test(an_operator_lets_go),
        cmocka_unit_test(nothing_new_is_enforced_under_the_brake),
        cmocka_unit_test(a_reload_takes_effect_at_once_and_keeps_what_is_in_force),
        cmocka_unit_test(a_throttle_stays_while_thousands_of_others_come_and_go),
        cmocka_unit_test(a_param_takes_effect_at_once),
        cmocka_unit_test(a_text_that_a_param_was_given_outlives_the_program_that_was_given_it),
        cmocka_unit_test(a_time_that_is_none_is_refused),
        cmocka_unit_test(the_ledger_has_every_transition),
        cmocka_unit_test(it_says_why),
        cmocka_unit_test(lines_are_records_too),
        cmocka_unit_test(what_is_too_much_is_refused_and_harms_nothing),
        cmocka_unit_test(what_lacks_a_part_is_refused),
        cmocka_unit_test(a_full_ring_drops_and_counts),
        cmocka_unit_test(a_program_travels_as_an_image),
        cmocka_unit_test(an_inline_rule_tells_what_it_refused_once_a_second),
        cmocka_unit_test(an_audit_tells_who_asked_for_what_and_what_became_of_it),
        cmocka_unit_test(identities_and_networks_are_denied_too),
        cmocka_unit_test(what_no_backend_can_do_is_said_by_name),
        cmocka_unit_test(a_mistake_is_told_with_its_place),
    };
    return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
