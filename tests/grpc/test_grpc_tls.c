/* SPDX-License-Identifier: Apache-2.0
 * The gRPC server with mutual TLS: who is let in, and as whom.
 */
#include "fixture.h"

#include <time.h>
#include <unistd.h>

#include "../loopback/folder.h"
#include "certs.h"

#define ID "spiffe://shop/ns/default/sa/checkout"

static char dir[96], path[24][160];
static unsigned path_count;

/* `dir`/NAME; lives until the end. */
static const char *at(const char *name)
{
    for (unsigned i = 0; i < path_count; i++) {
        if (strcmp(path[i] + strlen(dir) + 1, name) == 0) return path[i];
    }
    assert_true(path_count < sizeof path / sizeof path[0]);
    snprintf(path[path_count], sizeof path[0], "%s/%s", dir, name);
    return path[path_count++];
}

static int make_certificates(void **state)
{
    assert_true(tmp_folder_make(dir, sizeof dir, "grpc-tls"));
    struct test_ca *ours = test_ca_create(dir, "ca");
    struct test_ca *theirs = test_ca_create(dir, "theirs");
    test_cert_create(ours, dir, "server", "URI:spiffe://shop/mpol,IP:127.0.0.1", false);
    test_cert_create(ours, dir, "checkout", "URI:" ID ",DNS:checkout", false);
    test_cert_create(ours, dir, "two", "URI:" ID ",URI:spiffe://shop/ns/default/sa/cart", false);
    test_cert_create(ours, dir, "none", "DNS:checkout", false);
    test_cert_create(ours, dir, "bare", NULL, false);
    test_cert_create(ours, dir, "ended", "URI:" ID, true);
    test_cert_create(theirs, dir, "stranger", "URI:" ID, false);
    test_ca_free(ours);
    test_ca_free(theirs);
    return 0;
}

static int remove_certificates(void **state)
{
    static const char *const names[] = {"server", "checkout", "two",     "none",
                                        "bare",   "ended",    "stranger"};
    char file[160];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(file, sizeof file, "%s/%s.pem", dir, names[i]);
        unlink(file);
        snprintf(file, sizeof file, "%s/%s.key", dir, names[i]);
        unlink(file);
    }
    unlink(at("ca.pem"));
    unlink(at("theirs.pem"));
    return rmdir(dir);
}

/* The last peer that was refused, as the host is told. */
static struct {
    unsigned count;
    char address[96], name[256], why[256];
} told;

static void note_refused(void *ctx, const struct mp_grpc_refused *peer)
{
    told.count++;
    snprintf(told.address, sizeof told.address, "%.*s", MP_STR_ARG(peer->address));
    snprintf(told.name, sizeof told.name, "%.*s", MP_STR_ARG(peer->name));
    snprintf(told.why, sizeof told.why, "%.*s", MP_STR_ARG(peer->why));
}

static void open_rig(struct rig *r, const struct mp_grpc_limits *limits)
{
    /* others may come: they must show who they are */
    struct mp_grpc_options o = {.listen = "0.0.0.0:0",
                                .cert = at("server.pem"),
                                .key = at("server.key"),
                                .client_ca = at("ca.pem"),
                                .refused = note_refused,
                                .methods = rig_methods,
                                .method_count = rig_method_count};
    if (limits != NULL) o.limits = *limits;
    told.count = 0;
    rig_open(r, &o);
}

static struct grpc_client *dial(struct rig *r, const char *cert, const char *key, struct line *line)
{
    *line = (struct line){0};
    const struct grpc_client_options o = {.target = r->target,
                                          .tls = true,
                                          .cert = cert,
                                          .key = key,
                                          .ca = at("ca.pem"),
                                          .closed = line_closed,
                                          .ctx = line};
    struct grpc_client *client = grpc_client_open(&r->loop, &o);
    assert_non_null(client);
    return client;
}

static void the_right_certificate_is_let_in_by_its_name(void **state)
{
    struct rig r;
    struct line line;
    struct seen seen;
    static char message[58000];
    open_rig(&r, NULL);
    struct grpc_client *client = dial(&r, at("checkout.pem"), at("checkout.key"), &line);
    struct grpc_call *call = rig_call(client, "/test/Echo", &seen);
    for (int i = 0; i < 20; i++) {
        memcpy(message, &i, sizeof i);
        grpc_call_send(call, (mp_str){message, sizeof message});
    }
    RIG_UNTIL(&r, seen.messages == 20);
    assert_false(seen.wrong);
    assert_string_equal(r.identity, ID);
    grpc_call_half_close(call);
    RIG_UNTIL(&r, seen.ended);
    assert_int_equal(seen.status, MP_GRPC_OK);
    grpc_client_close(client);
    rig_close(&r);
}

/* Name of the files, what the server says of such a peer, and by which name it calls it. */
static const struct {
    const char *name, *word, *shown;
} refused[] = {{NULL, "certificate", ""},
               {"stranger", "self-signed|unable to get local issuer", ID},
               {"ended", "the certificate: certificate has expired", ID},
               {"two", "exactly one URI", ID},
               {"none", "exactly one URI", "checkout"},
               {"bare", "exactly one URI", "/CN=bare"}};

static bool says(mp_str text, const char *words)
{
    char copy[512], word[64];
    snprintf(copy, sizeof copy, "%.*s", MP_STR_ARG(text));
    while (*words != '\0') {
        size_t len = strcspn(words, "|");
        snprintf(word, sizeof word, "%.*s", (int)len, words);
        if (strstr(copy, word) != NULL) return true;
        words += len + (words[len] == '|');
    }
    return false;
}

static void other_certificates_are_refused(void **state)
{
    struct rig r;
    struct line line, good_line;
    struct seen seen, good_seen;
    open_rig(&r, NULL);
    struct grpc_client *good = dial(&r, at("checkout.pem"), at("checkout.key"), &good_line);
    struct grpc_call *call = rig_call(good, "/test/Echo", &good_seen);
    RIG_UNTIL(&r, r.opened == 1);
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        char cert[64], key[64];
        snprintf(cert, sizeof cert, "%s.pem", refused[i].name != NULL ? refused[i].name : "-");
        snprintf(key, sizeof key, "%s.key", refused[i].name != NULL ? refused[i].name : "-");
        struct grpc_client *client = refused[i].name != NULL ? dial(&r, at(cert), at(key), &line)
                                                             : dial(&r, NULL, NULL, &line);
        rig_call(client, "/test/Echo", &seen);
        RIG_UNTIL(&r, line.closed && rig_counts(&r).tls_refused == i + 1);
        if (!says(mp_grpc_tls_trouble(r.server), refused[i].word)) {
            fail_msg("%s: %s", cert, mp_grpc_tls_trouble(r.server).ptr);
        }
        assert_int_equal(told.count, i + 1);
        assert_true(says(mp_str_of(told.why), refused[i].word));
        assert_string_equal(told.name, refused[i].shown);
        assert_true(strncmp(told.address, "127.0.0.1:", 10) == 0);
    }
    assert_int_equal(r.opened, 1);
    grpc_call_send(call, MP_STR("me"));
    RIG_UNTIL(&r, good_seen.messages == 1); /* nobody else has noticed */
    grpc_client_close(good);
    rig_close(&r);
}

static void another_protocol_is_refused(void **state)
{
    struct rig r;
    struct line line = {0};
    struct seen seen;
    open_rig(&r, NULL);
    const struct grpc_client_options o = {.target = r.target, .tls = true, .alpn = "http/1.1",
                                          .cert = at("checkout.pem"), .key = at("checkout.key"),
                                          .ca = at("ca.pem"), .closed = line_closed, .ctx = &line};
    struct grpc_client *client = grpc_client_open(&r.loop, &o);
    rig_call(client, "/test/Echo", &seen);
    RIG_UNTIL(&r, line.closed);
    RIG_UNTIL(&r, rig_counts(&r).tls_refused == 1);
    struct grpc_client *plain = rig_client(&r, &line); /* no TLS at all */
    rig_call(plain, "/test/Echo", &seen);
    RIG_UNTIL(&r, line.closed && rig_counts(&r).tls_refused == 2);
    assert_int_equal(r.opened, 0);
    rig_close(&r);
}

static void a_full_queue_waits_for_the_peer_also_with_tls(void **state)
{
    struct rig r;
    struct line line;
    struct seen seen;
    const struct mp_grpc_limits limits = {.queued_bytes = 64000, .quiet_ms = 20};
    open_rig(&r, &limits);
    struct grpc_client *client = dial(&r, at("checkout.pem"), at("checkout.key"), &line);
    struct grpc_call *call = rig_call(client, "/test/Flood", &seen);
    RIG_UNTIL(&r, r.opened == 1);
    grpc_client_pause(client, true);
    grpc_call_send(call, MP_STR("400 50000"));
    RIG_UNTIL(&r, rig_counts(&r).queue_full > 0);
    grpc_client_pause(client, false);
    RIG_UNTIL(&r, seen.ended);
    assert_int_equal(seen.messages, 400);
    assert_false(seen.wrong);
    grpc_client_close(client);
    rig_close(&r);
}

static void files_that_do_not_fit_are_told(void **state)
{
    uv_loop_t loop;
    struct mp_grpc_server *server;
    char why[256];
    assert_int_equal(uv_loop_init(&loop), 0);
    const struct {
        const char *cert, *key, *ca, *word;
    } rows[] = {{"/nowhere", at("server.key"), at("ca.pem"), "/nowhere: No such file"},
                {at("server.pem"), at("checkout.key"), at("ca.pem"), "not the key of"},
                {at("server.pem"), at("server.key"), "/nowhere", "/nowhere: No such file"},
                {at("server.pem"), at("server.key"), at("server.key"), "no certificate in PEM"},
                {at("server.pem"), at("server.pem"), at("ca.pem"), "no private key in PEM"},
                {at("."), at("server.key"), at("ca.pem"), "Is a directory"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct mp_grpc_options o = {.listen = "127.0.0.1:0",
                                          .cert = rows[i].cert,
                                          .key = rows[i].key,
                                          .client_ca = rows[i].ca};
        assert_int_equal(mp_grpc_open(&loop, &o, &server, why, sizeof why), MP_EINVAL);
        if (strstr(why, rows[i].word) == NULL) fail_msg("%s", why);
    }
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

/* The certificates of this test are good from two days ago until tomorrow. */
static void certificates_that_are_out_of_date_are_told(void **state)
{
    struct rig r;
    char why[256] = "";
    int64_t now = (int64_t)time(NULL);
    (void)state;
    open_rig(&r, NULL);
    assert_false(mp_grpc_out_of_date(r.server, now, why, sizeof why));
    assert_string_equal(why, "");
    assert_true(mp_grpc_out_of_date(r.server, now + 2 * 86400, why, sizeof why));
    assert_non_null(strstr(why, "the certificate /CN=server ended at 20"));
    assert_true(mp_grpc_out_of_date(r.server, now - 3 * 86400, why, sizeof why));
    assert_non_null(strstr(why, "the certificate /CN=server is not valid before 20"));
    rig_close(&r);
}

/* Who is there goes on, who comes next meets the new ones; what is no good changes nothing. */
static void certificates_are_renewed_for_who_comes_next(void **state)
{
    struct rig r;
    struct line line, next_line;
    struct seen seen, next;
    char why[256] = "";
    (void)state;
    open_rig(&r, NULL);
    struct mp_grpc_options fresh = {
        .cert = at("server.pem"), .key = at("checkout.key"), .client_ca = at("ca.pem")};
    assert_int_equal(mp_grpc_renew(r.server, &fresh, why, sizeof why), MP_EINVAL);
    assert_non_null(strstr(why, "not the key of"));
    struct grpc_client *client = dial(&r, at("checkout.pem"), at("checkout.key"), &line);
    struct grpc_call *call = rig_call(client, "/test/Echo", &seen);
    grpc_call_send(call, MP_STR("one"));
    RIG_UNTIL(&r, seen.messages == 1);
    fresh = (struct mp_grpc_options){
        .cert = at("server.pem"), .key = at("server.key"), .client_ca = at("theirs.pem")};
    assert_int_equal(mp_grpc_renew(r.server, &fresh, why, sizeof why), MP_OK);
    struct grpc_client *other = dial(&r, at("stranger.pem"), at("stranger.key"), &next_line);
    grpc_call_send(rig_call(other, "/test/Echo", &next), MP_STR("two"));
    RIG_UNTIL(&r, next.messages == 1);
    grpc_call_send(call, MP_STR("three"));
    RIG_UNTIL(&r, seen.messages == 2);
    assert_int_equal(mp_grpc_renew(r.server, &(struct mp_grpc_options){0}, why, sizeof why),
                     MP_EINVAL);
    grpc_client_close(client);
    grpc_client_close(other);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_right_certificate_is_let_in_by_its_name),
        cmocka_unit_test(other_certificates_are_refused),
        cmocka_unit_test(another_protocol_is_refused),
        cmocka_unit_test(a_full_queue_waits_for_the_peer_also_with_tls),
        cmocka_unit_test(files_that_do_not_fit_are_told),
        cmocka_unit_test(certificates_that_are_out_of_date_are_told),
        cmocka_unit_test(certificates_are_renewed_for_who_comes_next),
    };
    return cmocka_run_group_tests(tests, make_certificates, remove_certificates);
}
