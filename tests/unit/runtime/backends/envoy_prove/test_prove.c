/* SPDX-License-Identifier: Apache-2.0
 * The prover against proxies that obey, that obey later or half, that lie, and that hang.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <signal.h>
#include <unistd.h>

#include "../../../../loopback/folder.h"
#include "certs.h"
#include "envoy_prove/prove.h"
#include "liar.h"

#define GUARD_MS 60000 /* LIMIT: an answer that does not come is a failure */
#define PROBE "/.mpol/probe/00000000000000aa"
#define YES "HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno"
#define NO "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"

struct rig {
    uv_loop_t loop;
    uv_timer_t guard;
    bool late;
    struct mp_prover *prover;
    struct liar *liar;
    unsigned threshold; /* for the liars below */
    unsigned requests;
};

struct told {
    unsigned count;
    enum mp_prove_result result;
    char text[200];
    uint32_t attempts;
};

static void on_guard(uv_timer_t *timer) { ((struct rig *)timer->data)->late = true; }

static void on_done(void *ctx, const struct mp_proof *proof)
{
    struct told *t = ctx;
    t->count++;
    t->result = proof->result;
    t->attempts = proof->attempts;
    snprintf(t->text, sizeof t->text, "%.*s", MP_STR_ARG(proof->text));
}

#define UNTIL(r, condition)                                                                        \
    do {                                                                                           \
        uv_timer_start(&(r)->guard, on_guard, GUARD_MS, 0);                                        \
        while (!(condition) && !(r)->late) uv_run(&(r)->loop, UV_RUN_ONCE);                        \
        if ((r)->late) fail_msg("does not come: %s", #condition);                                  \
        uv_timer_stop(&(r)->guard);                                                                \
    } while (0)

/* Who obeys is proven however slow we both are; `curt` is for whoever gives no usable answer. */
static const struct mp_prover_options patient = {.deadline_ms = 40000, .reply_ms = 20000};
static const struct mp_prover_options curt = {.deadline_ms = 1000, .reply_ms = 500};

static void rig_open(struct rig *r, struct mp_tls_context *tls,
                     const struct mp_prover_options *options, liar_fn answer)
{
    signal(SIGPIPE, SIG_IGN);
    *r = (struct rig){0};
    assert_int_equal(uv_loop_init(&r->loop), 0);
    uv_timer_init(&r->loop, &r->guard);
    r->guard.data = r;
    assert_int_equal(mp_prover_open(&r->loop, options != NULL ? options : &patient, &r->prover),
                     MP_OK);
    r->liar = liar_open(&r->loop, tls, answer, r);
}

static void rig_close(struct rig *r)
{
    mp_prover_close(r->prover);
    liar_close(r->liar);
    uv_close((uv_handle_t *)&r->guard, NULL);
    uv_run(&r->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&r->loop), 0);
}

static struct mp_prove_task probe(const struct rig *r, struct told *told)
{
    *told = (struct told){0};
    return (struct mp_prove_task){.kind = MP_PROVE_LISTENER,
                                  .proxy = 7,
                                  .address = mp_str_of(liar_address(r->liar)),
                                  .path = MP_STR(PROBE),
                                  .done = on_done,
                                  .ctx = told};
}

/* For who answers, and never as he should: he is asked for a second. */
static struct mp_prove_task brief_probe(const struct rig *r, struct told *told)
{
    struct mp_prove_task task = probe(r, told);
    task.deadline_ms = 1000;
    return task;
}

static void prove(struct rig *r, struct mp_prove_task task)
{
    struct told *told = task.ctx;
    assert_int_equal(mp_prove(r->prover, &task, NULL), MP_OK);
    assert_int_equal(told->count, 0); /* never from within the call */
    UNTIL(r, told->count == 1);
}

static struct mp_prover_counts counts(const struct rig *r)
{
    struct mp_prover_counts c;
    mp_prover_counts_get(r->prover, &c);
    return c;
}

/* ---- those that obey ---- */

static const char *obeys(void *ctx, unsigned connection, unsigned request, const char *path)
{
    return strcmp(path, PROBE) == 0 ? YES : NO;
}

static void who_obeys_is_proven_on_an_old_and_a_new_connection(void **state)
{
    struct rig r;
    struct told told;
    rig_open(&r, NULL, NULL, obeys);
    prove(&r, probe(&r, &told));
    assert_int_equal(told.result, MP_PROVE_PROVEN);
    assert_int_equal(told.attempts, 2); /* the probe, and what nobody denies */
    assert_int_equal(liar_connections(r.liar), 1);
    assert_int_equal(counts(&r).connections_now, 1); /* kept */
    prove(&r, probe(&r, &told));
    assert_int_equal(told.result, MP_PROVE_PROVEN);
    assert_int_equal(told.attempts, 3); /* on the old one, and the two on a new one */
    assert_int_equal(liar_connections(r.liar), 2);
    liar_hang_up(r.liar);
    UNTIL(&r, counts(&r).connections_now == 0); /* it is noticed */
    prove(&r, probe(&r, &told));
    assert_int_equal(told.attempts, 2);
    rig_close(&r);
}

static void its_connections_are_known_by_where_they_come_from(void **state)
{
    struct rig r;
    struct told told;
    rig_open(&r, NULL, NULL, obeys);
    prove(&r, probe(&r, &told));
    uint32_t port = liar_peer_port(r.liar);
    assert_false(mp_prover_made(r.prover, MP_STR("127.0.0.2"), port));
    assert_false(mp_prover_made(r.prover, MP_STR("127.0.0.1"), port ^ 1));
    assert_false(mp_prover_made(r.prover, MP_STR(""), 0));
    assert_true(mp_prover_made(r.prover, MP_STR("127.0.0.1"), port));
    assert_false(mp_prover_made(r.prover, MP_STR("127.0.0.1"), port)); /* somebody else's by now */
    rig_close(&r);
}

static const char *obeys_later(void *ctx, unsigned connection, unsigned request, const char *path)
{
    struct rig *r = ctx;
    return r->requests++ < r->threshold ? NO : obeys(ctx, connection, request, path);
}

static void who_obeys_later_is_asked_again(void **state)
{
    struct rig r;
    struct told told;
    rig_open(&r, NULL, NULL, obeys_later);
    r.threshold = 4;
    prove(&r, probe(&r, &told));
    assert_int_equal(told.result, MP_PROVE_PROVEN);
    assert_int_equal(told.attempts, 4 + 1 + 2); /* the last two on a new connection */
    assert_int_equal(liar_connections(r.liar), 2);
    rig_close(&r);
}

static const char *never_ends(void *ctx, unsigned connection, unsigned request, const char *path)
{
    return "HTTP/1.1 403 Forbidden\r\n\r\nno";
}

/* Without a length the body ends with the connection, which this one does not close. */
static void a_body_without_end_is_no_answer(void **state)
{
    struct rig r;
    struct told told;
    rig_open(&r, NULL, &curt, never_ends);
    prove(&r, probe(&r, &told));
    assert_int_equal(told.result, MP_PROVE_UNREACHABLE);
    rig_close(&r);
}

static const char *says_close(void *ctx, unsigned connection, unsigned request, const char *path)
{
    return strcmp(path, PROBE) == 0
               ? "HTTP/1.1 403 x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
               : "HTTP/1.1 404 x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
}

static void a_connection_for_each_answer_will_do(void **state)
{
    struct rig r;
    struct told told;
    rig_open(&r, NULL, NULL, says_close);
    prove(&r, probe(&r, &told));
    assert_int_equal(told.result, MP_PROVE_PROVEN);
    assert_int_equal(liar_connections(r.liar), 2);
    assert_int_equal(counts(&r).connections_now, 0); /* nothing to keep */
    rig_close(&r);
}

static const char *too_many(void *ctx, unsigned connection, unsigned request, const char *path)
{
    return strcmp(path, PROBE) == 0 ? "HTTP/1.1 429 Too Many\r\ncontent-length: 0\r\n\r\n" : NO;
}

static void another_status_can_be_wanted(void **state)
{
    struct rig r;
    struct told told;
    rig_open(&r, NULL, NULL, too_many);
    struct mp_prove_task task = probe(&r, &told);
    task.status = 429;
    prove(&r, task);
    assert_int_equal(told.result, MP_PROVE_PROVEN);
    prove(&r, brief_probe(&r, &told));
    assert_int_equal(told.result, MP_PROVE_NOT_YET);
    assert_string_equal(told.text, "answers 429");
    rig_close(&r);
}

/* ---- those that do not ---- */

static const char *only_new(void *ctx, unsigned connection, unsigned request, const char *path)
{
    return connection == 0 ? NO : obeys(ctx, connection, request, path);
}

/* As where the listener was replaced: its old connections keep the old rules. */
static void an_old_connection_that_does_not_obey_is_seen(void **state)
{
    struct rig r;
    struct told told;
    rig_open(&r, NULL, NULL, only_new);
    prove(&r, brief_probe(&r, &told));
    assert_int_equal(told.result, MP_PROVE_NOT_YET);
    assert_string_equal(told.text, "answers 404");
    assert_int_equal(liar_connections(r.liar), 1);
    rig_close(&r);
}

static const char *only_old(void *ctx, unsigned connection, unsigned request, const char *path)
{
    return connection > 0 ? NO : obeys(ctx, connection, request, path);
}

static void a_new_connection_that_does_not_obey_is_seen(void **state)
{
    struct rig r;
    struct told told;
    rig_open(&r, NULL, NULL, only_old);
    prove(&r, probe(&r, &told)); /* there is no old one yet */
    assert_int_equal(told.result, MP_PROVE_PROVEN);
    prove(&r, brief_probe(&r, &told));
    assert_int_equal(told.result, MP_PROVE_NOT_YET);
    rig_close(&r);
}

static const char *refuses_all(void *ctx, unsigned connection, unsigned request, const char *path)
{
    return YES;
}

static void who_refuses_everything_proves_nothing(void **state)
{
    struct rig r;
    struct told told;
    rig_open(&r, NULL, &curt, refuses_all);
    prove(&r, probe(&r, &told));
    assert_int_equal(told.result, MP_PROVE_UNREACHABLE);
    assert_string_equal(told.text, "403 also for a path that nobody denies");
    rig_close(&r);
}

static const char *asks_who(void *ctx, unsigned connection, unsigned request, const char *path)
{
    return "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n";
}

/* As where somebody asks for a token before our filters are asked. */
static void who_is_answered_before_our_filters_sees_nothing(void **state)
{
    struct rig r;
    struct told told;
    rig_open(&r, NULL, &curt, asks_who);
    prove(&r, probe(&r, &told));
    assert_int_equal(told.result, MP_PROVE_UNREACHABLE);
    assert_string_equal(told.text, "401 also for a path that nobody denies");
    rig_close(&r);
}

static const char *asks_at_first(void *ctx, unsigned connection, unsigned request, const char *path)
{
    return connection == 0 && request < 4 ? asks_who(ctx, connection, request, path)
                                          : obeys(ctx, connection, request, path);
}

static void who_is_let_in_later_is_proven(void **state)
{
    struct rig r;
    struct told told;
    rig_open(&r, NULL, NULL, asks_at_first);
    prove(&r, probe(&r, &told));
    assert_int_equal(told.result, MP_PROVE_PROVEN);
    rig_close(&r);
}

static const char *silent(void *ctx, unsigned connection, unsigned request, const char *path)
{
    return NULL;
}
static const char *hangs_up(void *ctx, unsigned connection, unsigned request, const char *path)
{
    return "";
}
static const char *babbles(void *ctx, unsigned connection, unsigned request, const char *path)
{
    return "\x1b[31mhello\r\n";
}
static const char *talks_twice(void *ctx, unsigned connection, unsigned request, const char *path)
{
    return NO YES YES;
}
static const char *too_long(void *ctx, unsigned connection, unsigned request, const char *path)
{
    return "HTTP/1.1 403 Forbidden\r\ncontent-length: 4194305\r\n\r\n";
}

static void who_gives_no_answer_is_unreachable(void **state)
{
    static const struct {
        liar_fn liar;
        const char *text;
        bool bad;
    } rows[] = {{silent, "no answer in time", false},
                {hangs_up, "it has closed the connection", false},
                {babbles, "no answer in HTTP/1.1, or one that is too long", true},
                {too_long, "no answer in HTTP/1.1, or one that is too long", true}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rig r;
        struct told told;
        rig_open(&r, NULL, &curt, rows[i].liar);
        prove(&r, probe(&r, &told));
        assert_int_equal(told.result, MP_PROVE_UNREACHABLE);
        assert_string_equal(told.text, rows[i].text);
        assert_int_equal(counts(&r).bad_replies > 0, rows[i].bad);
        rig_close(&r);
    }
}

static const char *answers_once(void *ctx, unsigned connection, unsigned request, const char *path)
{
    return connection == 0 && request == 0 ? NO : NULL;
}

/* What was seen is more than that the time was over while somebody looked again. */
static void what_was_seen_last_is_told_when_the_time_is_over(void **state)
{
    struct rig r;
    struct told told;
    rig_open(&r, NULL, NULL, answers_once);
    prove(&r, brief_probe(&r, &told));
    assert_int_equal(told.result, MP_PROVE_NOT_YET);
    assert_string_equal(told.text, "answers 404");
    rig_close(&r);
}

static void answers_that_nobody_asked_for_prove_nothing(void **state)
{
    struct rig r;
    struct told told;
    rig_open(&r, NULL, NULL, talks_twice);
    prove(&r, brief_probe(&r, &told));
    assert_int_equal(told.result, MP_PROVE_NOT_YET);
    assert_string_equal(told.text, "answers 404");
    rig_close(&r);
}

static void where_nobody_listens_is_unreachable(void **state)
{
    struct rig r;
    struct told told;
    rig_open(&r, NULL, &curt, obeys);
    struct mp_prove_task task = probe(&r, &told);
    task.address = MP_STR("127.0.0.1:1");
    prove(&r, task);
    assert_int_equal(told.result, MP_PROVE_UNREACHABLE);
    assert_string_equal(told.text, "connection refused");
    rig_close(&r);
}

/* ---- the admin port ---- */

static const char *admin(void *ctx, unsigned connection, unsigned request, const char *path)
{
    struct rig *r = ctx;
    if (strcmp(path, "/runtime?format=json") != 0) return NO;
    return r->requests++ < r->threshold
               ? "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n10\r\n"
                 "{\"entries\": {}}\n\r\n0\r\n\r\n"
               : "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n10\r\n"
                 "{\"entries\": {\"a.\r\n"
                 "1d\r\nb\":{\"final_value\":\"30\"}}}   \n\r\n0\r\n\r\n";
}

static void keys_are_read_back_until_they_are_there(void **state)
{
    struct rig r;
    struct told told;
    rig_open(&r, NULL, NULL, admin);
    r.threshold = 3;
    const struct mp_prove_value value = {MP_STR("a.b"), MP_STR("30")};
    struct mp_prove_task task = probe(&r, &told);
    task.kind = MP_PROVE_RUNTIME;
    task.values = &value;
    task.value_count = 1;
    prove(&r, task);
    assert_int_equal(told.result, MP_PROVE_PROVEN);
    assert_int_equal(told.attempts, 4);
    assert_int_equal(liar_connections(r.liar), 1);
    task.kind = MP_PROVE_CLUSTERS; /* this liar has no such page */
    task.deadline_ms = 1000;
    task.ctx = memset(&told, 0, sizeof told);
    prove(&r, task);
    assert_int_equal(told.result, MP_PROVE_NOT_YET);
    assert_string_equal(told.text, "the admin port answers 404");
    rig_close(&r);
}

/* ---- bounds, and the end ---- */

static void tasks_and_connections_are_bounded(void **state)
{
    struct rig r;
    struct told told[5];
    struct mp_prover_options options = patient;
    options.tasks = 5;
    options.proxy_tasks = 4;
    options.connections = 2;
    rig_open(&r, NULL, &options, obeys);
    for (int i = 0; i < 4; i++) {
        struct mp_prove_task task = probe(&r, &told[i]);
        assert_int_equal(mp_prove(r.prover, &task, NULL), MP_OK);
    }
    struct mp_prove_task task = probe(&r, &told[4]);
    assert_int_equal(mp_prove(r.prover, &task, NULL), MP_ELIMIT); /* of this proxy */
    task.proxy = 8;
    assert_int_equal(mp_prove(r.prover, &task, NULL), MP_OK);
    task.proxy = 9;
    assert_int_equal(mp_prove(r.prover, &task, NULL), MP_ELIMIT); /* of all */
    assert_true(counts(&r).connections_now <= 2);
    UNTIL(&r, told[0].count + told[1].count + told[2].count + told[3].count + told[4].count == 5);
    for (int i = 0; i < 5; i++) assert_int_equal(told[i].result, MP_PROVE_PROVEN);
    assert_int_equal(counts(&r).refused, 2);
    rig_close(&r);
}

static void what_cannot_be_asked_is_refused(void **state)
{
    static const struct {
        const char *address, *path;
    } rows[] = {{"localhost:80", PROBE},
                {"127.0.0.1", PROBE},
                {"127.0.0.1:0", PROBE},
                {"127.0.0.1:65536", PROBE},
                {"", PROBE},
                {"127.0.0.1:80", ""},
                {"127.0.0.1:80", "x"},
                {"127.0.0.1:80", "/a b"},
                {"127.0.0.1:80", "/a\r\nb"},
                {"127.0.0.1:80", "/a?b"},
                {"[::1:80", PROBE}};
    struct rig r;
    struct told told;
    rig_open(&r, NULL, NULL, obeys);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct mp_prove_task task = probe(&r, &told);
        task.address = mp_str_of(rows[i].address);
        task.path = mp_str_of(rows[i].path);
        assert_int_equal(mp_prove(r.prover, &task, NULL), MP_EINVAL);
    }
    assert_int_equal(counts(&r).tasks_now, 0);
    rig_close(&r);
}

static void who_is_cancelled_or_forgotten_is_not_told(void **state)
{
    struct rig r;
    struct told told[4];
    uint64_t ticket;
    rig_open(&r, NULL, &curt, silent);
    for (int i = 0; i < 4; i++) {
        struct mp_prove_task task = probe(&r, &told[i]);
        task.proxy = i < 2 ? 1 : 2;
        assert_int_equal(mp_prove(r.prover, &task, i == 0 ? &ticket : NULL), MP_OK);
    }
    mp_prove_cancel(r.prover, ticket);
    mp_prove_cancel(r.prover, ticket); /* it is over: nothing */
    mp_prove_forget(r.prover, 2);
    UNTIL(&r, told[1].count == 1);
    assert_int_equal(counts(&r).cancelled, 3);
    assert_int_equal(counts(&r).tasks_now, 0);
    assert_int_equal(told[0].count + told[2].count + told[3].count, 0);
    rig_close(&r);
}

static void the_end_answers_all(void **state)
{
    struct rig r;
    struct told told[3];
    rig_open(&r, NULL, &curt, silent);
    for (int i = 0; i < 3; i++) {
        struct mp_prove_task task = probe(&r, &told[i]);
        assert_int_equal(mp_prove(r.prover, &task, NULL), MP_OK);
    }
    mp_prover_close(r.prover);
    r.prover = NULL;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(told[i].count, 1);
        assert_int_equal(told[i].result, MP_PROVE_UNREACHABLE);
    }
    rig_close(&r);
}

/* ---- TLS ---- */

static void with_tls(bool asks_for_certificate, bool shows_one, enum mp_prove_result result)
{
    char dir[96], cert[128], key[128], ca_path[128], why[256];
    assert_true(tmp_folder_make(dir, sizeof dir, "prove"));
    struct test_ca *ca = test_ca_create(dir, "ca");
    test_cert_create(ca, dir, "a", "URI:spiffe://shop/a", false);
    test_ca_free(ca);
    snprintf(cert, sizeof cert, "%s/a.pem", dir);
    snprintf(key, sizeof key, "%s/a.key", dir);
    snprintf(ca_path, sizeof ca_path, "%s/ca.pem", dir);
    struct mp_tls_context *tls;
    const struct mp_tls_options o = {
        .server = true, .cert = cert, .key = key, .ca = asks_for_certificate ? ca_path : NULL};
    assert_int_equal(mp_tls_context_create(&o, &tls, why, sizeof why), MP_OK);
    struct mp_prover_options options = result == MP_PROVE_PROVEN ? patient : curt;
    options.cert = shows_one ? cert : NULL;
    options.key = shows_one ? key : NULL;
    struct rig r;
    struct told told;
    rig_open(&r, tls, &options, obeys);
    struct mp_prove_task task = probe(&r, &told);
    task.tls = true;
    prove(&r, task);
    assert_int_equal(told.result, result);
    if (result == MP_PROVE_PROVEN) {
        task.ctx = memset(&told, 0, sizeof told);
        prove(&r, task);
        assert_int_equal(told.result, MP_PROVE_PROVEN);
        assert_int_equal(told.attempts, 3);
    }
    rig_close(&r);
    mp_tls_context_destroy(tls);
    unlink(cert);
    unlink(key);
    unlink(ca_path);
    rmdir(dir);
}

static void tls_is_spoken(void **state)
{
    with_tls(false, false, MP_PROVE_PROVEN);
    with_tls(true, true, MP_PROVE_PROVEN);
    with_tls(true, false, MP_PROVE_UNREACHABLE);
}

static void files_that_are_not_there_are_told(void **state)
{
    uv_loop_t loop;
    struct mp_prover *prover;
    const struct mp_prover_options options = {.cert = "/nowhere", .key = "/nowhere"};
    uv_loop_init(&loop);
    assert_int_equal(mp_prover_open(&loop, &options, &prover), MP_EINVAL);
    uv_loop_close(&loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_obeys_is_proven_on_an_old_and_a_new_connection),
        cmocka_unit_test(its_connections_are_known_by_where_they_come_from),
        cmocka_unit_test(who_obeys_later_is_asked_again),
        cmocka_unit_test(a_body_without_end_is_no_answer),
        cmocka_unit_test(a_connection_for_each_answer_will_do),
        cmocka_unit_test(another_status_can_be_wanted),
        cmocka_unit_test(an_old_connection_that_does_not_obey_is_seen),
        cmocka_unit_test(a_new_connection_that_does_not_obey_is_seen),
        cmocka_unit_test(who_refuses_everything_proves_nothing),
        cmocka_unit_test(who_is_answered_before_our_filters_sees_nothing),
        cmocka_unit_test(who_is_let_in_later_is_proven),
        cmocka_unit_test(who_gives_no_answer_is_unreachable),
        cmocka_unit_test(what_was_seen_last_is_told_when_the_time_is_over),
        cmocka_unit_test(answers_that_nobody_asked_for_prove_nothing),
        cmocka_unit_test(where_nobody_listens_is_unreachable),
        cmocka_unit_test(keys_are_read_back_until_they_are_there),
        cmocka_unit_test(tasks_and_connections_are_bounded),
        cmocka_unit_test(what_cannot_be_asked_is_refused),
        cmocka_unit_test(who_is_cancelled_or_forgotten_is_not_told),
        cmocka_unit_test(the_end_answers_all),
        cmocka_unit_test(tls_is_spoken),
        cmocka_unit_test(files_that_are_not_there_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
