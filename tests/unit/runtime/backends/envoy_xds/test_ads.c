/* SPDX-License-Identifier: Apache-2.0
 * What one proxy and the control plane say to each other.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "envoy_xds/names.h"
#include "shop.h"

static const char *version_of(const struct fake_proxy *p, const char *name)
{
    const struct fake_resource *r = fake_has(p, name);
    assert_non_null(r);
    return r->version;
}

/* ---- subscribing ---- */

static void nobody_is_served_before_the_first_set(void **state)
{
    (void)state;
    struct fake_mesh *early = calloc(1, sizeof *early);
    fake_start(early, NULL);
    assert_false(fake_open(fake_proxy(early, shop)));
    fake_stop(early);
    free(early);
}

static void the_first_answer_has_everything(void **state)
{
    (void)state;
    static const char *const clusters[] = {"shop", "shop@v1", NULL};
    deny_clients(2, 3);
    struct fake_proxy *p = fake_proxy(&m, shop);
    assert_true(fake_connect(p, clusters));
    fake_pump(&m);
    assert_non_null(fake_has(p, MP_ENVOY_DENY));
    assert_non_null(fake_has(p, MP_ENVOY_ALLOW));
    assert_non_null(fake_has(p, MP_ENVOY_THROTTLE));
    assert_non_null(fake_has(p, MP_ENVOY_SHARE));
    assert_non_null(fake_has(p, MP_ENVOY_RUNTIME));
    assert_non_null(fake_has(p, "shop"));
    assert_non_null(fake_has(p, "shop@v1"));
    assert_int_equal(p->responses, 3); /* one a type */
    assert_int_equal(counts().acks, 3);
    assert_int_equal(progress().effective, 2);
}

static void only_what_differs_is_sent(void **state)
{
    (void)state;
    struct fake_proxy *p = fake_proxy(&m, shop);
    fake_connect(p, NULL);
    fake_pump(&m);
    uint32_t had = p->resources_in, responses = p->responses;
    deny_clients(2, 1);
    fake_pump(&m);
    assert_int_equal(p->responses, responses + 1);
    assert_int_equal(p->resources_in, had + 1);
    deny_clients(3, 1); /* the same set again */
    fake_pump(&m);
    assert_int_equal(p->responses, responses + 1);
    assert_int_equal(progress().effective, 3);
}

static void a_resource_that_does_not_exist_is_told_to_be_gone(void **state)
{
    (void)state;
    static const char *const names[] = {"not-ours", NULL};
    struct fake_proxy *p = fake_proxy(&m, shop);
    fake_open(p);
    fake_subscribe(p, MP_ENVOY_TYPE_EXTENSION, names);
    fake_pump(&m);
    assert_int_equal(p->removed_in, 1);
    assert_int_equal(p->resources_in, 0);
    assert_int_equal(progress().accepted, 1);
}

static void a_wildcard_gets_all_that_there_is(void **state)
{
    (void)state;
    static const char *const star[] = {"*", NULL};
    struct fake_proxy *p = fake_proxy(&m, shop);
    fake_open(p);
    fake_subscribe(p, MP_ENVOY_TYPE_EXTENSION, star);
    fake_pump(&m);
    assert_int_equal(p->resources_in, 4);
    struct fake_proxy *old = fake_proxy(&m, "service/shop/shop-2");
    fake_open(old);
    fake_subscribe(old, MP_ENVOY_TYPE_EXTENSION, NULL); /* legacy: no name at all */
    fake_pump(&m);
    assert_int_equal(old->resources_in, 4);
}

static void a_wildcard_without_anything_is_answered_too(void **state)
{
    (void)state;
    static const char *const star[] = {"*", NULL};
    struct fake_proxy *p = fake_proxy(&m, shop);
    fake_open(p);
    fake_subscribe(p, MP_ENVOY_TYPE_ENDPOINTS, star);
    fake_pump(&m);
    assert_int_equal(p->responses, 1);
    assert_int_equal(p->resources_in + p->removed_in, 0);
}

static void an_unknown_type_is_answered_with_nothing(void **state)
{
    (void)state;
    static const char *const names[] = {"a", "b", NULL};
    struct fake_proxy *p = fake_proxy(&m, shop);
    fake_open(p);
    assert_true(fake_subscribe(p, MP_ENVOY_TYPE_CLUSTER, NULL));
    assert_true(fake_subscribe(p, MP_ENVOY_TYPE_LISTENER, names));
    fake_pump(&m);
    assert_int_equal(p->responses, 2);
    assert_int_equal(p->removed_in, 2);
    /* Two subscriptions, and the two answers to the answers. */
    assert_int_equal(counts().unknown_types, 4);
    assert_false(p->ended);
}

static void what_is_unsubscribed_is_not_sent_any_more(void **state)
{
    (void)state;
    struct fake_proxy *p = fake_proxy(&m, shop);
    mp_str names[] = {MP_STR(MP_ENVOY_DENY)};
    fake_connect(p, NULL);
    fake_pump(&m);
    struct mp_discovery_ask ask = {
        .type_url = MP_STR(MP_ENVOY_TYPE_EXTENSION), .unsubscribe = names, .unsubscribe_count = 1};
    fake_request(p, &ask);
    uint32_t responses = p->responses;
    deny_clients(2, 1);
    fake_pump(&m);
    assert_int_equal(p->responses, responses);
}

static void who_subscribes_again_gets_it_again(void **state)
{
    (void)state;
    static const char *const names[] = {MP_ENVOY_DENY, NULL};
    struct fake_proxy *p = fake_proxy(&m, shop);
    fake_connect(p, NULL);
    fake_pump(&m);
    uint32_t had = p->resources_in;
    fake_subscribe(p, MP_ENVOY_TYPE_EXTENSION, names);
    fake_pump(&m);
    assert_int_equal(p->resources_in, had + 1);
}

/* ---- coming back ---- */

static void who_comes_back_with_our_versions_is_sent_nothing(void **state)
{
    (void)state;
    static const char *const clusters[] = {"shop", NULL};
    struct fake_proxy *p = fake_proxy(&m, shop);
    deny_clients(2, 2);
    fake_connect(p, clusters);
    fake_pump(&m);
    uint32_t had = p->resources_in;
    fake_connect(p, clusters);
    fake_pump(&m);
    assert_int_equal(p->resources_in, had);
    assert_int_equal(progress().effective, 2);
}

static void another_control_plane_serves_the_same_versions(void **state)
{
    (void)state;
    struct fake_proxy *p = fake_proxy(&m, shop);
    deny_clients(2, 2);
    fake_connect(p, NULL);
    fake_pump(&m);
    uint32_t had = p->resources_in;
    fake_crash(&m);
    fake_start(&m, NULL);
    deny_clients(7, 2);
    fake_connect(p, NULL);
    fake_pump(&m);
    assert_int_equal(p->resources_in, had);
    assert_int_equal(progress().effective, 7);
}

static void what_only_the_proxy_has_is_removed(void **state)
{
    (void)state;
    static const char *const star[] = {"*", NULL};
    struct fake_proxy *p = fake_proxy(&m, shop);
    p->has[0] = (struct fake_resource){.used = true,
                                       .type = MP_ENVOY_TYPE_EXTENSION,
                                       .name = "left-over",
                                       .version = "0123456789abcdef"};
    fake_open(p);
    fake_subscribe(p, MP_ENVOY_TYPE_EXTENSION, star);
    fake_pump(&m);
    assert_null(fake_has(p, "left-over"));
    assert_non_null(fake_has(p, MP_ENVOY_DENY));
}

/* ---- answers ---- */

static void acks_may_come_in_any_order(void **state)
{
    (void)state;
    struct fake_proxy *p = fake_proxy(&m, shop);
    fake_connect(p, NULL);
    fake_pump(&m);
    p->silent = true;
    char nonces[2][64];
    for (int i = 0; i < 2; i++) {
        deny_clients(2 + (uint64_t)i, 1 + (unsigned)i);
        assert_true(fake_read(p));
        memcpy(nonces[i], p->nonce, sizeof nonces[i]);
    }
    assert_int_equal(progress().accepted, 1);
    fake_answer(p, MP_ENVOY_TYPE_EXTENSION, nonces[1], NULL);
    /* who has the newer one needs the older one no more */
    assert_int_equal(progress().accepted, 3);
    fake_answer(p, MP_ENVOY_TYPE_EXTENSION, nonces[0], NULL);
    assert_int_equal(progress().accepted, 3);
    assert_int_equal(counts().stale_nonces, 0);
}

static void an_ack_of_the_older_one_is_not_one_of_the_newer(void **state)
{
    (void)state;
    struct fake_proxy *p = fake_proxy(&m, shop);
    fake_connect(p, NULL);
    fake_pump(&m);
    p->silent = true;
    deny_clients(2, 1);
    fake_read(p);
    char nonce[64];
    memcpy(nonce, p->nonce, sizeof nonce);
    deny_clients(3, 2);
    fake_answer(p, MP_ENVOY_TYPE_EXTENSION, nonce, NULL);
    assert_int_equal(progress().accepted, 2);
}

static void an_unknown_nonce_says_nothing(void **state)
{
    (void)state;
    struct fake_proxy *p = fake_proxy(&m, shop);
    fake_connect(p, NULL);
    fake_pump(&m);
    p->silent = true;
    deny_clients(2, 1);
    fake_read(p);
    assert_true(fake_answer(p, MP_ENVOY_TYPE_EXTENSION, "4711", NULL));
    assert_true(fake_answer(p, MP_ENVOY_TYPE_EXTENSION, "no number at all", "refused"));
    assert_int_equal(counts().stale_nonces, 2);
    assert_int_equal(counts().nacks, 0);
    assert_int_equal(progress().accepted, 1);
}

static void a_slow_proxy_is_not_sent_every_step(void **state)
{
    (void)state;
    struct fake_proxy *p = fake_proxy(&m, shop);
    fake_connect(p, NULL);
    fake_pump(&m);
    uint32_t responses = p->responses;
    p->silent = true;
    for (unsigned i = 1; i <= 50; i++) deny_clients(1 + i, i);
    p->silent = false;
    fake_pump(&m);
    assert_in_range(p->responses - responses, 2, 5);
    assert_int_equal(progress().effective, 51);
    /* It has the last one, and nothing more is to come. */
    char version[64];
    snprintf(version, sizeof version, "%s", version_of(p, MP_ENVOY_DENY));
    deny_clients(100, 50);
    fake_pump(&m);
    assert_string_equal(version_of(p, MP_ENVOY_DENY), version);
}

static void a_full_queue_is_waited_for(void **state)
{
    (void)state;
    struct fake_proxy *p = fake_proxy(&m, shop);
    fake_connect(p, NULL);
    fake_pump(&m);
    p->room = 0;
    deny_clients(2, 1);
    fake_pump(&m);
    assert_int_equal(progress().accepted, 1);
    p->room = SIZE_MAX;
    mp_envoy_stream_drained(p->stream);
    fake_pump(&m);
    assert_int_equal(progress().effective, 2);
}

/* ---- refusing ---- */

static void a_refusal_keeps_the_last_good_one(void **state)
{
    (void)state;
    struct fake_proxy *p = fake_proxy(&m, shop);
    fake_connect(p, NULL);
    fake_pump(&m);
    char good[64];
    snprintf(good, sizeof good, "%s", version_of(p, MP_ENVOY_DENY));
    p->nacks = MP_ENVOY_DENY;
    deny_clients(2, 1);
    fake_pump(&m);
    assert_string_equal(version_of(p, MP_ENVOY_DENY), good);
    struct mpol_progress now = progress();
    assert_int_equal(now.accepted, 1);
    assert_int_equal(now.trouble, MPOL_EINVAL);
    char text[512];
    snprintf(text, sizeof text, "%.*s", (int)now.trouble_text.len, now.trouble_text.ptr);
    assert_non_null(strstr(text, shop));
    assert_non_null(strstr(text, "mpol-deny"));
    assert_non_null(strstr(text, "no such thing?under the sun"));
}

static void what_was_refused_is_sent_again_when_it_has_changed(void **state)
{
    (void)state;
    struct fake_proxy *p = fake_proxy(&m, shop);
    fake_connect(p, NULL);
    fake_pump(&m);
    p->nacks = MP_ENVOY_DENY;
    deny_clients(2, 1);
    fake_pump(&m);
    uint32_t responses = p->responses;
    deny_clients(3, 1); /* the same content */
    fake_pump(&m);
    assert_int_equal(p->responses, responses);
    deny_clients(4, 0); /* taken back: that is what it has */
    fake_pump(&m);
    assert_int_equal(p->responses, responses);
    assert_int_equal(progress().trouble, MPOL_OK);
    assert_int_equal(progress().effective, 4);
    p->nacks = NULL;
    deny_clients(5, 1);
    fake_pump(&m);
    assert_int_equal(p->responses, responses + 1);
    assert_int_equal(progress().effective, 5);
}

static void of_several_resources_the_bad_one_is_found(void **state)
{
    (void)state;
    struct fake_proxy *p = fake_proxy(&m, shop);
    p->nacks = MP_ENVOY_THROTTLE;
    fake_connect(p, NULL);
    fake_pump(&m);
    assert_non_null(fake_has(p, MP_ENVOY_DENY));
    assert_non_null(fake_has(p, MP_ENVOY_SHARE));
    assert_null(fake_has(p, MP_ENVOY_THROTTLE));
    assert_int_equal(counts().nacks, 2); /* all together, then it alone */
}

static void change(const char *chain, const char *trust)
{
    m.chain = chain;
    m.trust = trust;
    mp_envoy_world_changed(m.envoy);
    fake_pump(&m);
}

static bool has_text(const struct fake_proxy *p, const char *name, const char *text)
{
    const struct fake_resource *r = fake_has(p, name);
    return r != NULL && mp_str_contains((mp_str){r->bytes, r->len}, mp_str_of(text));
}

/* An Envoy that refuses a secret holds it all the same, and refuses every other that it would use
 * together with it, until it is given a good one; it goes on with what it made of the ones
 * before. */
static void after_a_refused_secret_nothing_is_known_of_what_is_held(void **state)
{
    static const char *const names[] = {MP_ENVOY_CERTIFICATE, MP_ENVOY_TRUST, NULL};
    (void)state;
    struct fake_proxy *p = fake_proxy(&m, shop);
    m.chain = "GOOD";
    m.trust = "CA";
    fake_connect(p, NULL);
    fake_subscribe(p, MP_ENVOY_TYPE_SECRET, names);
    fake_pump(&m);
    assert_true(has_text(p, MP_ENVOY_CERTIFICATE, "GOOD"));
    p->nacks = "*";
    change("BAD", "CA");
    change("BAD", "OTHER");
    assert_int_equal(counts().nacks, 2);
    p->nacks = NULL;
    uint32_t responses = p->responses;
    change("GOOD", "OTHER"); /* the one that was acknowledged, and that which was refused for it */
    assert_int_equal(p->responses, responses + 2);
    assert_true(has_text(p, MP_ENVOY_CERTIFICATE, "GOOD"));
    assert_true(has_text(p, MP_ENVOY_TRUST, "OTHER"));
    change("GOOD", "OTHER");
    assert_int_equal(p->responses, responses + 2);
}

/* ---- bad input ---- */

static void garbage_ends_its_stream_alone(void **state)
{
    (void)state;
    struct fake_proxy *p = fake_proxy(&m, shop), *other = fake_proxy(&m, "service/shop/shop-2");
    fake_connect(p, NULL);
    fake_connect(other, NULL);
    fake_pump(&m);
    assert_false(mp_envoy_stream_message(p->stream, MP_STR("\x0b\xff\xff\xff garbage")));
    assert_true(mp_envoy_stream_why(p->stream).len > 0);
    assert_false(mp_envoy_stream_message(p->stream, MP_STR(""))); /* and nothing after it */
    fake_close(p);
    assert_int_equal(counts().garbage, 1);
    deny_clients(2, 1);
    fake_pump(&m);
    assert_int_equal(progress().effective, 2);
}

static void a_first_request_without_a_node_ends_the_stream(void **state)
{
    (void)state;
    struct fake_proxy *p = fake_proxy(&m, shop);
    fake_open(p);
    assert_false(mp_envoy_stream_message(p->stream, MP_STR("")));
    assert_int_equal(counts().garbage, 1);
}

static void too_much_ends_the_stream(void **state)
{
    (void)state;
    fake_crash(&m);
    struct mp_envoy_limits small = {
        .message_bytes = 1000, .subscriptions = 5, .streams = 2, .proxies = 2};
    fake_start(&m, &small);
    deny_clients(2, 0);
    static const char *const clusters[] = {"a", "b", NULL};
    struct fake_proxy *p = fake_proxy(&m, shop);
    assert_false(fake_connect(p, clusters));
    assert_int_equal(counts().too_many, 1);
    fake_open(p);
    char *big = calloc(1, 1001);
    assert_false(mp_envoy_stream_message(p->stream, (mp_str){big, 1001}));
    free(big);
    assert_int_equal(counts().oversize, 1);
    assert_true(fake_open(fake_proxy(&m, "service/shop/shop-2")));
    assert_false(fake_open(fake_proxy(&m, "service/shop/shop-3")));
}

int main(int argc, char **argv)
{
    bool sotw = shop_speaks(argc, argv);
    const struct CMUnitTest both[] = {
        TEST(nobody_is_served_before_the_first_set),
        TEST(the_first_answer_has_everything),
        TEST(a_wildcard_gets_all_that_there_is),
        TEST(a_wildcard_without_anything_is_answered_too),
        TEST(what_is_unsubscribed_is_not_sent_any_more),
        TEST(an_ack_of_the_older_one_is_not_one_of_the_newer),
        TEST(an_unknown_nonce_says_nothing),
        TEST(a_slow_proxy_is_not_sent_every_step),
        TEST(a_full_queue_is_waited_for),
        TEST(a_refusal_keeps_the_last_good_one),
        TEST(what_was_refused_is_sent_again_when_it_has_changed),
        TEST(of_several_resources_the_bad_one_is_found),
        TEST(after_a_refused_secret_nothing_is_known_of_what_is_held),
        TEST(garbage_ends_its_stream_alone),
        TEST(a_first_request_without_a_node_ends_the_stream),
        TEST(too_much_ends_the_stream),
    };
    const struct CMUnitTest of_delta[] = {
        TEST(only_what_differs_is_sent),
        TEST(a_resource_that_does_not_exist_is_told_to_be_gone),
        TEST(an_unknown_type_is_answered_with_nothing),
        TEST(who_subscribes_again_gets_it_again),
        TEST(who_comes_back_with_our_versions_is_sent_nothing),
        TEST(another_control_plane_serves_the_same_versions),
        TEST(what_only_the_proxy_has_is_removed),
        TEST(acks_may_come_in_any_order),
    };
    int failed = cmocka_run_group_tests(both, NULL, NULL);
    return failed + (sotw ? 0 : cmocka_run_group_tests(of_delta, NULL, NULL));
}
