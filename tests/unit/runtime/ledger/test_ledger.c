/* SPDX-License-Identifier: Apache-2.0
 * The canonical text of entries, the chain over them, and the ring of the newest.
 */
#include "ledger/ledger.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* Not a real digest: every byte that goes in changes what comes out, which is all the chain
 * needs. */
static enum mp_err digest(void *ctx, const void *bytes, size_t len, uint8_t out[32])
{
    const unsigned char *b = bytes;
    uint64_t h = 14695981039346656037ull;
    (void)ctx;
    for (size_t i = 0; i < len; i++) h = (h ^ b[i]) * 1099511628211ull;
    for (int i = 0; i < 32; i++) {
        h = h * 6364136223846793005ull + 1442695040888963407ull;
        out[i] = (uint8_t)(h >> 56);
    }
    return MP_OK;
}

static struct mp_os with_digest(void) { return (struct mp_os){.digest = digest}; }

static struct mp_entry an_entry(void)
{
    struct mp_entry e = {.time_ns = 1763892000123456789LL, .machine = MP_MACHINE_LEASE,
                         .rule = MP_STR("r"), .key = MP_STR("checkout"), .incident = 3, .rung = 1,
                         .lease = 7, .verb = MP_STR("throttle"), .target = MP_STR("checkout"),
                         .from = MP_STR("accepted"), .to = MP_STR("effective")};
    e.args[e.arg_count++] = (struct mp_note){MP_STR("to"), MP_STR("50%")};
    e.cause[e.cause_count++] = (struct mp_note){MP_STR("error_rate"), MP_STR("7.4%")};
    return e;
}

static void an_entry_is_one_object_with_these_members(void **state)
{
    (void)state;
    static char line[MP_LEDGER_LINE_MAX];
    struct mp_entry e = an_entry();
    e.seq = 12;
    size_t len = mp_ledger_line(&e, line);
    const char *want =
        "{\"seq\":12,\"time\":\"2025-11-23T10:00:00.123456Z\",\"machine\":\"lease\","
        "\"rule\":\"r\",\"key\":\"checkout\",\"incident\":3,\"rung\":1,\"lease\":7,"
        "\"verb\":\"throttle\",\"target\":\"checkout\",\"args\":{\"to\":\"50%\"},"
        "\"from\":\"accepted\",\"to\":\"effective\",\"cause\":{\"error_rate\":\"7.4%\"}}";
    line[len] = 0;
    assert_string_equal(line, want);
}

static void an_incident_has_no_lease_verb_or_target(void **state)
{
    (void)state;
    static char line[MP_LEDGER_LINE_MAX];
    struct mp_entry e = {.machine = MP_MACHINE_INCIDENT, .rule = MP_STR("r"), .key = MP_STR("k"),
                         .from = MP_STR("pending"), .to = MP_STR("open"), .why = MP_STR("calm"),
                         .shadow = true};
    line[mp_ledger_line(&e, line)] = 0;
    assert_non_null(strstr(line, "\"lease\":null,\"verb\":null,\"target\":null,\"args\":{}"));
    assert_non_null(strstr(line, "\"cause\":{\"mode\":\"shadow\",\"why\":\"calm\"}"));
}

static void text_from_outside_stays_json(void **state)
{
    (void)state;
    static char line[MP_LEDGER_LINE_MAX];
    struct mp_entry e = an_entry();
    e.key = (mp_str){"a\"b\\c\n\x01\xff\xc3\xa9\xed\xa0\x80", 13};
    line[mp_ledger_line(&e, line)] = 0;
    assert_non_null(strstr(
        line, "\"key\":\"a\\\"b\\\\c\\n\\u0001\xEF\xBF\xBD\xc3\xa9\xEF\xBF\xBD\xEF\xBF\xBD"));
}

static void the_longest_entry_still_fits_and_is_whole(void **state)
{
    (void)state;
    static char line[MP_LEDGER_LINE_MAX], bytes[4096];
    memset(bytes, 1, sizeof bytes); /* every byte becomes six */
    mp_str s = {bytes, sizeof bytes};
    struct mp_entry e = {.rule = s, .key = s, .verb = s, .target = s, .from = s, .to = s, .why = s};
    for (int i = 0; i < MP_LEASE_ARGS_MAX; i++) e.args[e.arg_count++] = (struct mp_note){s, s};
    for (int i = 0; i < MP_ENTRY_NOTES_MAX; i++) e.cause[e.cause_count++] = (struct mp_note){s, s};
    size_t len = mp_ledger_line(&e, line);
    assert_true(len <= MP_LEDGER_LINE_MAX);
    assert_memory_equal(line + len - 2, "}}", 2);
}

struct read {
    uint64_t first, last, count;
    uint8_t hash[MP_LEDGER_HASH];
    struct mp_os os;
    bool verify;
};

static bool on_entry(void *ctx, uint64_t seq, mp_str json)
{
    struct read *r = ctx;
    if (r->count++ == 0) r->first = seq;
    r->last = seq;
    if (r->verify) assert_int_equal(mp_ledger_link(&r->os, json, r->hash), MP_OK);
    return true;
}

static void the_chain_is_that_of_the_texts(void **state)
{
    (void)state;
    struct mp_arena a;
    struct mp_ledger *l;
    struct read r = {.os = with_digest(), .verify = true};
    uint8_t hash[MP_LEDGER_HASH];
    mp_arena_init(&a, NULL, 0);
    assert_int_equal(mp_ledger_create(&a, &r.os, 1 << 20, &l), MP_OK);
    for (int i = 0; i < 100; i++) {
        mp_str json;
        struct mp_entry e = an_entry();
        e.lease = (uint64_t)i + 1;
        mp_ledger_append(l, &e, &json);
        assert_int_equal(e.seq, i + 1);
    }
    assert_int_equal(mp_ledger_read(l, 0, &r, on_entry), MP_OK);
    mp_ledger_hash(l, hash);
    assert_int_equal(r.count, 100);
    assert_memory_equal(hash, r.hash, MP_LEDGER_HASH);
    mp_arena_free(&a);
}

static void another_byte_is_another_chain(void **state)
{
    (void)state;
    struct mp_os os = with_digest();
    uint8_t a[MP_LEDGER_HASH] = {0}, b[MP_LEDGER_HASH] = {0};
    mp_ledger_link(&os, MP_STR("{\"seq\":1}"), a);
    mp_ledger_link(&os, MP_STR("{\"seq\":2}"), b);
    assert_memory_not_equal(a, b, MP_LEDGER_HASH);
}

static void a_full_ring_forgets_the_oldest_and_says_so(void **state)
{
    (void)state;
    for (size_t bytes = 600; bytes < 5000; bytes += 7) {
        struct mp_arena a;
        struct mp_ledger *l;
        struct mp_os os = {0};
        mp_arena_init(&a, NULL, 0);
        assert_int_equal(mp_ledger_create(&a, &os, bytes, &l), MP_OK);
        char key[64];
        memset(key, 'k', sizeof key);
        for (uint64_t i = 1; i <= 200; i++) {
            mp_str json;
            struct mp_entry e = an_entry();
            e.key = (mp_str){key, i * 7 % sizeof key};
            mp_ledger_append(l, &e, &json);
            struct read r = {.count = 0};
            enum mp_err err = mp_ledger_read(l, 0, &r, on_entry);
            assert_true(r.count >= 1);
            assert_int_equal(r.last, i);
            assert_int_equal(r.first, i - r.count + 1);
            assert_int_equal(err, r.first > 1 ? MP_ELIMIT : MP_OK);
        }
        mp_arena_free(&a);
    }
}

static void a_restart_goes_on_where_it_was(void **state)
{
    (void)state;
    struct mp_arena a;
    struct mp_ledger *l;
    struct mp_os os = with_digest();
    uint8_t hash[MP_LEDGER_HASH] = {9}, want[MP_LEDGER_HASH] = {9}, got[MP_LEDGER_HASH];
    mp_arena_init(&a, NULL, 0);
    assert_int_equal(mp_ledger_create(&a, &os, 4096, &l), MP_OK);
    mp_ledger_continue(l, 41, hash);
    struct mp_entry e = an_entry();
    mp_str json;
    mp_ledger_append(l, &e, &json);
    assert_int_equal(e.seq, 42);
    mp_ledger_link(&os, json, want);
    mp_ledger_hash(l, got);
    assert_memory_equal(got, want, MP_LEDGER_HASH);
    mp_arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_entry_is_one_object_with_these_members),
        cmocka_unit_test(an_incident_has_no_lease_verb_or_target),
        cmocka_unit_test(text_from_outside_stays_json),
        cmocka_unit_test(the_longest_entry_still_fits_and_is_whole),
        cmocka_unit_test(the_chain_is_that_of_the_texts),
        cmocka_unit_test(another_byte_is_another_chain),
        cmocka_unit_test(a_full_ring_forgets_the_oldest_and_says_so),
        cmocka_unit_test(a_restart_goes_on_where_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
