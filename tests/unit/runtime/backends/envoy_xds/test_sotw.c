/* SPDX-License-Identifier: Apache-2.0
 * What only the state of the world has: lists of all names, one version for a response, no word for
 * what is not there. All else is test_ads.c and test_progress.c, which run in both variants.
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

static const char *const deny_alone[] = {MP_ENVOY_DENY, NULL};

static struct fake_proxy *connected(void)
{
    static const char *const clusters[] = {"shop", NULL};
    struct fake_proxy *p = fake_proxy(&m, shop);
    assert_true(fake_connect(p, clusters));
    fake_pump(&m);
    return p;
}

/* One request with exactly these names. */
static bool say(struct fake_proxy *p, const char *type, const char *nonce, const char *version,
                const char *const *names)
{
    mp_str list[8];
    struct mp_discovery_node node = {.id = mp_str_of(p->id)};
    struct mp_discovery_ask ask = {.variant = MP_DISCOVERY_SOTW, .node = &node,
                                   .type_url = mp_str_of(type), .nonce = mp_str_of(nonce),
                                   .version = mp_str_of(version), .subscribe = list};
    char bytes[2048];
    struct pb_out out = pb_out_fixed(bytes, sizeof bytes);
    while (names != NULL && names[ask.subscribe_count] != NULL) {
        list[ask.subscribe_count] = mp_str_of(names[ask.subscribe_count]);
        ask.subscribe_count++;
    }
    mp_discovery_write_request(&out, &ask);
    assert_false(out.failed);
    return mp_envoy_stream_message(p->stream, pb_view(&out));
}

static uint32_t subscribed(enum mp_envoy_type type);

/* ---- answers ---- */

static void one_response_is_on_its_way_at_a_time(void **state)
{
    (void)state;
    struct fake_proxy *p = connected();
    uint32_t responses = p->responses;
    p->silent = true;
    for (unsigned i = 1; i <= 5; i++) deny_clients(1 + i, i);
    assert_int_equal(p->inbox_count, 1);
    assert_true(fake_read(p));
    assert_int_equal(progress().accepted, 1);
    p->silent = false;
    fake_answer(p, MP_ENVOY_TYPE_EXTENSION, p->nonce, NULL);
    assert_int_equal(progress().accepted, 2);
    fake_pump(&m);
    assert_int_equal(p->responses, responses + 2); /* the second has all that came meanwhile */
    assert_int_equal(progress().effective, 6);
}

static void a_version_never_comes_twice(void **state)
{
    (void)state;
    char seen[16][64];
    struct fake_proxy *p = connected();
    for (unsigned i = 0; i < 16; i++) {
        deny_clients(2 + i, i % 2); /* there and back */
        if (i % 3 == 0) fake_connect(p, NULL);
        fake_pump(&m);
        memcpy(seen[i], p->version, sizeof seen[i]);
        assert_int_equal(strlen(seen[i]), 16);
        for (unsigned k = 0; k < i; k++) assert_string_not_equal(seen[k], seen[i]);
        assert_int_equal(progress().effective, 2 + i);
    }
    assert_int_equal(counts().nacks, 0);
}

/* What is missing some Envoys take for gone (`unified_mux`), but of endpoints. */
static void a_response_repeats_what_the_proxy_has(void **state)
{
    (void)state;
    static const char *const clusters[] = {"shop", "other", NULL};
    struct fake_proxy *p = fake_proxy(&m, shop);
    fake_connect(p, clusters);
    fake_pump(&m);
    uint32_t had = p->resources_in, responses = p->responses;
    deny_clients(2, 1);
    fake_pump(&m);
    assert_int_equal(p->responses, responses + 1);
    assert_int_equal(p->resources_in, had + 4);
    fake_instance(&m, "shop-3", "shop", "v1", "10.1.0.3", 9000);
    mp_envoy_world_changed(m.envoy);
    fake_pump(&m);
    assert_int_equal(p->responses, responses + 2);
    assert_int_equal(p->resources_in, had + 5);
}

/* And as it has it: what it refused does not come back with what is good. */
static void a_response_repeats_the_last_good_one(void **state)
{
    (void)state;
    struct fake_proxy *p = connected();
    p->nacks = MP_ENVOY_DENY;
    deny_clients(2, 1);
    fake_pump(&m);
    uint64_t nacks = counts().nacks;
    assert_int_equal(nacks, 1);
    set_begin(&s, 3);
    set_add(&s, "deny", "client", "10.0.0.1");
    set_add(&s, "deny", "identity", "spiffe://mesh/x"); /* another filter's */
    char allow[64];
    snprintf(allow, sizeof allow, "%s", fake_has(p, MP_ENVOY_ALLOW)->version);
    assert_int_equal(mp_envoy_ops.apply(m.envoy, &s.desired), MPOL_OK);
    fake_pump(&m);
    assert_int_equal(counts().nacks, nacks);
    assert_string_not_equal(fake_has(p, MP_ENVOY_ALLOW)->version, allow);
}

static void change(const char *chain, const char *trust)
{
    m.chain = chain;
    m.trust = trust;
    mp_envoy_world_changed(m.envoy);
}

static struct fake_proxy *with_secrets(void)
{
    static const char *const names[] = {MP_ENVOY_CERTIFICATE, MP_ENVOY_TRUST, NULL};
    m.chain = "GOOD";
    m.trust = "CA";
    struct fake_proxy *p = connected();
    fake_subscribe(p, MP_ENVOY_TYPE_SECRET, names);
    fake_pump(&m);
    return p;
}

/* After a refusal an Envoy may hold another secret than the last good one, and refuse a good one
 * that comes back before the one that it was refused for. */
static void what_is_not_known_to_be_there_is_not_repeated(void **state)
{
    (void)state;
    struct fake_proxy *p = with_secrets();
    p->silent = true;
    p->nacks = "*";
    change("BAD", "OTHER");
    assert_true(fake_read(p));
    p->nacks = NULL;
    uint32_t had = p->resources_in;
    fake_answer(p, MP_ENVOY_TYPE_SECRET, p->nonce, "no");
    assert_true(fake_read(p));
    assert_int_equal(p->resources_in, had + 1);
    fake_answer(p, MP_ENVOY_TYPE_SECRET, p->nonce, NULL);
    assert_true(fake_read(p));
    assert_int_equal(p->resources_in, had + 3); /* and the one that is known */
}

/* There is no word for it, so nobody waits for an answer. */
static void a_secret_that_goes_stays_where_it_is(void **state)
{
    (void)state;
    struct fake_proxy *p = with_secrets();
    uint32_t responses = p->responses;
    change("GOOD", NULL);
    deny_clients(2, 0);
    fake_pump(&m);
    assert_int_equal(p->responses, responses);
    assert_non_null(fake_has(p, MP_ENVOY_TRUST));
    assert_int_equal(progress().effective, 2);
    change("GOOD", "CA"); /* which is what it has */
    fake_pump(&m);
    assert_int_equal(p->responses, responses);
    change("GOOD", NULL);
    change("GOOD", "OTHER");
    fake_pump(&m);
    assert_int_equal(p->responses, responses + 1);
    deny_clients(3, 0);
    assert_int_equal(progress().effective, 3);
}

/* An Envoy whose listener is gone asks for the type all its life, and takes nothing. */
static void who_keeps_the_version_before_has_refused(void **state)
{
    (void)state;
    struct fake_proxy *p = connected();
    char before[64];
    memcpy(before, p->lists[0].version, sizeof before);
    p->silent = true;
    deny_clients(2, 1);
    assert_true(fake_read(p));
    assert_true(say(p, MP_ENVOY_TYPE_EXTENSION, p->nonce, before, deny_alone));
    assert_int_equal(counts().nacks, 1);
    assert_int_equal(progress().accepted, 1);
    char text[512];
    struct mpol_progress now = progress();
    snprintf(text, sizeof text, "%.*s", (int)now.trouble_text.len, now.trouble_text.ptr);
    assert_non_null(strstr(text, "mpol-deny"));
    assert_non_null(strstr(text, "has taken nothing of it"));
}

static void an_old_nonce_answers_nothing_and_its_names_count(void **state)
{
    (void)state;
    static const char *const two[] = {MP_ENVOY_DENY, MP_ENVOY_SHARE, NULL};
    struct fake_proxy *p = fake_proxy(&m, shop);
    fake_open(p);
    fake_subscribe(p, MP_ENVOY_TYPE_EXTENSION, deny_alone);
    /* It asks for more before it has seen the first response, as an Envoy does when it starts. */
    assert_true(say(p, MP_ENVOY_TYPE_EXTENSION, "", "", two));
    assert_int_equal(p->inbox_count, 1);
    assert_int_equal(counts().stale_nonces, 0);
    assert_true(say(p, MP_ENVOY_TYPE_EXTENSION, "4711", "", two));
    assert_int_equal(counts().stale_nonces, 1);
    assert_int_equal(counts().acks, 0);
    assert_int_equal(p->inbox_count, 1);
    p->silent = true;
    assert_true(fake_read(p));
    assert_true(say(p, MP_ENVOY_TYPE_EXTENSION, p->nonce, p->version, two));
    assert_int_equal(counts().acks, 1);
    assert_int_equal(p->inbox_count, 1);
    p->silent = false;
    fake_pump(&m);
    assert_null(fake_has(p, MP_ENVOY_SHARE)); /* the fake itself asks for the first alone */
    assert_int_equal(subscribed(MP_ENVOY_ECDS), 1);
}

/* ---- names ---- */

static bool add_subscribed(void *ctx, const struct mp_envoy_proxy *proxy)
{
    for (int i = 0; i < MP_ENVOY_TYPES; i++)
        ((uint32_t *)ctx)[i] += proxy->sotw ? proxy->types[i].subscribed : 0;
    return true;
}

static uint32_t subscribed(enum mp_envoy_type type)
{
    uint32_t of[MP_ENVOY_TYPES] = {0};
    mp_envoy_proxies(m.envoy, add_subscribed, of);
    return of[type];
}

static void a_list_takes_the_place_of_the_one_before(void **state)
{
    (void)state;
    static const char *const other[] = {MP_ENVOY_ALLOW, MP_ENVOY_DENY, MP_ENVOY_ALLOW, NULL};
    static const char *const share[] = {MP_ENVOY_SHARE, NULL};
    struct fake_proxy *p = connected();
    assert_int_equal(subscribed(MP_ENVOY_ECDS), 4);
    uint32_t responses = p->responses;
    assert_true(say(p, MP_ENVOY_TYPE_EXTENSION, p->lists[0].nonce, p->lists[0].version, other));
    assert_int_equal(subscribed(MP_ENVOY_ECDS), 2);
    fake_pump(&m);
    assert_int_equal(p->responses, responses); /* it has both */
    assert_true(say(p, MP_ENVOY_TYPE_EXTENSION, p->lists[0].nonce, p->lists[0].version, share));
    assert_int_equal(subscribed(MP_ENVOY_ECDS), 1);
    assert_int_equal(p->inbox_count, 1); /* dropped, and back */
    assert_int_equal(subscribed(MP_ENVOY_EDS), 1);
}

static void a_list_that_becomes_empty_drops_all(void **state)
{
    (void)state;
    struct fake_proxy *p = connected();
    uint32_t responses = p->responses;
    assert_true(say(p, MP_ENVOY_TYPE_EXTENSION, p->lists[0].nonce, p->lists[0].version, NULL));
    assert_int_equal(subscribed(MP_ENVOY_ECDS), 0);
    deny_clients(2, 1);
    fake_pump(&m);
    assert_int_equal(p->responses, responses);
}

static void a_list_that_was_always_empty_means_everything(void **state)
{
    (void)state;
    struct fake_proxy *p = fake_proxy(&m, shop);
    fake_open(p);
    assert_true(fake_subscribe(p, MP_ENVOY_TYPE_EXTENSION, NULL));
    fake_pump(&m);
    assert_int_equal(p->resources_in, 4);
    deny_clients(2, 1);
    fake_pump(&m);
    assert_int_equal(p->resources_in, 8);
    assert_int_equal(progress().effective, 2);
    /* Once something was named, that is over. */
    assert_true(fake_subscribe(p, MP_ENVOY_TYPE_EXTENSION, deny_alone));
    assert_int_equal(subscribed(MP_ENVOY_ECDS), 1);
}

static void a_star_stays_as_long_as_it_is_listed(void **state)
{
    (void)state;
    static const char *const star[] = {"*", NULL}, *const both[] = {"*", MP_ENVOY_DENY, NULL};
    struct fake_proxy *p = fake_proxy(&m, shop);
    fake_open(p);
    fake_subscribe(p, MP_ENVOY_TYPE_EXTENSION, star);
    fake_pump(&m);
    assert_int_equal(p->responses, 1); /* that the ACK lists it too asks for nothing */
    assert_true(say(p, MP_ENVOY_TYPE_EXTENSION, p->nonce, p->version, both));
    fake_pump(&m);
    assert_int_equal(p->responses, 2); /* what is named anew is sent anew */
    assert_int_equal(subscribed(MP_ENVOY_ECDS), 4);
    assert_true(say(p, MP_ENVOY_TYPE_EXTENSION, p->nonce, p->version, deny_alone));
    assert_int_equal(subscribed(MP_ENVOY_ECDS), 1);
}

static void who_says_the_same_list_again_gets_all_again(void **state)
{
    (void)state;
    struct fake_proxy *p = connected();
    const struct fake_list *l = &p->lists[0];
    char nonce[64];
    memcpy(nonce, l->nonce, sizeof nonce);
    uint32_t had = p->resources_in;
    fake_subscribe(p, MP_ENVOY_TYPE_EXTENSION, deny_alone);
    fake_pump(&m);
    assert_int_equal(p->resources_in, had + 4);
    /* Under an older nonce it is only late. */
    struct mp_discovery_ask late = {
        .type_url = MP_STR(MP_ENVOY_TYPE_EXTENSION), .nonce = mp_str_of(nonce)};
    assert_true(fake_request(p, &late));
    fake_pump(&m);
    assert_int_equal(p->resources_in, had + 4);
}

static void a_long_list_may_be_exchanged_for_another(void **state)
{
    (void)state;
    static const char *const first[] = {"a", "b", "c", "d", NULL};
    static const char *const second[] = {"e", "f", "g", "h", NULL};
    static const char *const more[] = {"e", "f", "g", "h", "i", NULL};
    fake_crash(&m);
    struct mp_envoy_limits small = {.subscriptions = 4};
    fake_start(&m, &small);
    deny_clients(2, 0);
    struct fake_proxy *p = fake_proxy(&m, shop);
    fake_open(p);
    p->silent = true;
    assert_true(say(p, MP_ENVOY_TYPE_ENDPOINTS, "", "", first));
    assert_true(fake_read(p));
    assert_true(say(p, MP_ENVOY_TYPE_ENDPOINTS, p->nonce, p->version, second));
    assert_int_equal(subscribed(MP_ENVOY_EDS), 4);
    assert_false(say(p, MP_ENVOY_TYPE_ENDPOINTS, p->nonce, p->version, more));
    assert_int_equal(counts().too_many, 1);
}

/* ---- what is not there ---- */

static void what_is_not_there_is_not_waited_for(void **state)
{
    (void)state;
    static const char *const names[] = {"not-ours", MP_ENVOY_DENY, NULL};
    struct fake_proxy *p = fake_proxy(&m, shop);
    fake_open(p);
    fake_subscribe(p, MP_ENVOY_TYPE_EXTENSION, names);
    fake_pump(&m);
    assert_int_equal(p->responses, 1);
    assert_int_equal(p->resources_in, 1);
    assert_int_equal(p->removed_in, 0);
    assert_int_equal(progress().effective, 1);
}

/* Nothing waits for a type that nobody serves; but "there are none" would make who has some throw
 * them away. */
static void an_unknown_type_has_nothing_and_takes_nothing_away(void **state)
{
    (void)state;
    struct fake_proxy *p = fake_proxy(&m, shop);
    fake_open(p);
    assert_true(fake_subscribe(p, MP_ENVOY_TYPE_CLUSTER, NULL));
    fake_pump(&m);
    assert_int_equal(p->responses, 1);
    assert_int_equal(p->resources_in + p->removed_in, 0);
    assert_int_equal(counts().unknown_types, 2); /* and the answer */
    fake_open(p);
    assert_true(fake_subscribe(p, MP_ENVOY_TYPE_CLUSTER, NULL)); /* with a version now */
    fake_pump(&m);
    assert_int_equal(p->responses, 1);
}

/* ---- streams ---- */

static void who_comes_back_gets_everything_whatever_it_has(void **state)
{
    (void)state;
    deny_clients(2, 2);
    struct fake_proxy *p = connected();
    uint32_t had = p->resources_in;
    connected();
    assert_int_equal(p->resources_in, 2 * had);
    fake_crash(&m);
    fake_start(&m, NULL);
    deny_clients(7, 2);
    connected();
    assert_int_equal(p->resources_in, 3 * had);
    assert_int_equal(progress().effective, 7);
}

static void a_stream_of_one_type_may_leave_it_out(void **state)
{
    (void)state;
    struct fake_proxy *p = fake_proxy(&m, shop);
    p->single = p->untyped = true;
    fake_open(p);
    assert_true(fake_subscribe(p, MP_ENVOY_TYPE_EXTENSION, deny_alone));
    fake_pump(&m);
    assert_non_null(fake_has(p, MP_ENVOY_DENY));
    deny_clients(2, 1);
    fake_pump(&m);
    assert_int_equal(progress().effective, 2);
    struct fake_proxy *ads = fake_proxy(&m, "service/shop/shop-2");
    ads->untyped = true;
    fake_open(ads);
    assert_true(fake_subscribe(ads, MP_ENVOY_TYPE_EXTENSION, deny_alone));
    assert_int_equal(counts().unknown_types, 1);
}

static bool word(void *ctx, const struct mp_envoy_proxy *proxy)
{
    *(bool *)ctx = proxy->sotw;
    return true;
}

static void two_streams_of_a_node_may_speak_otherwise(void **state)
{
    (void)state;
    struct fake_proxy *p = connected(), *other;
    bool speaks = false;
    mp_envoy_proxies(m.envoy, word, &speaks);
    assert_true(speaks);
    m.sotw = false;
    other = fake_proxy(&m, "another process");
    snprintf(other->id, sizeof other->id, "%s", shop);
    fake_connect(other, NULL);
    assert_false(p->ended);
    while (fake_read(other)) continue;
    fake_close(p);
    mp_envoy_proxies(m.envoy, word, &speaks);
    assert_false(speaks);
    while (fake_read(other)) continue;
    assert_non_null(fake_has(other, MP_ENVOY_DENY));
}

int main(int argc, char **argv)
{
    shop_speaks(argc, argv);
    const struct CMUnitTest tests[] = {
        TEST(one_response_is_on_its_way_at_a_time),
        TEST(a_version_never_comes_twice),
        TEST(a_response_repeats_what_the_proxy_has),
        TEST(a_response_repeats_the_last_good_one),
        TEST(what_is_not_known_to_be_there_is_not_repeated),
        TEST(a_secret_that_goes_stays_where_it_is),
        TEST(who_keeps_the_version_before_has_refused),
        TEST(an_old_nonce_answers_nothing_and_its_names_count),
        TEST(a_list_takes_the_place_of_the_one_before),
        TEST(a_list_that_becomes_empty_drops_all),
        TEST(a_list_that_was_always_empty_means_everything),
        TEST(a_star_stays_as_long_as_it_is_listed),
        TEST(who_says_the_same_list_again_gets_all_again),
        TEST(a_long_list_may_be_exchanged_for_another),
        TEST(what_is_not_there_is_not_waited_for),
        TEST(an_unknown_type_has_nothing_and_takes_nothing_away),
        TEST(who_comes_back_gets_everything_whatever_it_has),
        TEST(a_stream_of_one_type_may_leave_it_out),
        TEST(two_streams_of_a_node_may_speak_otherwise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
