/* SPDX-License-Identifier: Apache-2.0
 * The wire format, byte by byte: what the specification shows, and what must be refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "envoy_wire/pb.h"

static char room[4096];

static void expect(const struct pb_out *out, const char *bytes, size_t len)
{
    assert_false(out->failed);
    assert_int_equal(out->len, len);
    assert_memory_equal(out->ptr, bytes, len);
}

#define EXPECT(out, text) expect((out), (text), sizeof(text) - 1)

/* The examples of protobuf.dev/programming-guides/encoding. */
static void the_examples_of_the_specification(void **state)
{
    struct pb_out out = pb_out_fixed(room, sizeof room);
    pb_uint(&out, 1, 150);
    EXPECT(&out, "\x08\x96\x01");
    out.len = 0;
    pb_text(&out, 2, MP_STR("testing"));
    EXPECT(&out, "\x12\x07testing");
    out.len = 0;
    size_t mark = pb_begin(&out, 3);
    pb_uint(&out, 1, 150);
    pb_end(&out, mark);
    EXPECT(&out, "\x1a\x03\x08\x96\x01");
    out.len = 0;
    pb_int(&out, 1, -2);
    EXPECT(&out, "\x08\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01");
}

static void what_was_written_is_read(void **state)
{
    struct pb_out out = pb_out_fixed(room, sizeof room);
    pb_uint(&out, 1, UINT64_MAX);
    pb_int(&out, 2, INT64_MIN);
    pb_bool(&out, 3, true);
    pb_double(&out, 4, -0.5);
    pb_float(&out, 5, 0.25f);
    pb_fixed32(&out, 6, 0xdeadbeef);
    pb_fixed64(&out, 7, 0x0123456789abcdef);
    pb_text(&out, (1u << 29) - 1, MP_STR("\xe2\x82\xac"));
    struct pb_in in = pb_read(pb_view(&out));
    struct pb_field f;
    assert_true(pb_next(&in, &f) && pb_uint_of(&in, &f) == UINT64_MAX);
    assert_true(pb_next(&in, &f) && pb_int_of(&in, &f) == INT64_MIN);
    assert_true(pb_next(&in, &f) && pb_bool_of(&in, &f));
    assert_true(pb_next(&in, &f) && pb_double_of(&in, &f) == -0.5);
    assert_true(pb_next(&in, &f) && pb_float_of(&in, &f) == 0.25f);
    assert_true(pb_next(&in, &f) && pb_fixed32_of(&in, &f) == 0xdeadbeef);
    assert_true(pb_next(&in, &f) && pb_fixed64_of(&in, &f) == 0x0123456789abcdef);
    assert_true(pb_next(&in, &f) && mp_str_eq(pb_text_of(&in, &f), MP_STR("\xe2\x82\xac")));
    assert_int_equal(f.number, (1u << 29) - 1);
    assert_false(pb_next(&in, &f));
    assert_null(in.why);
}

static void a_length_grows_where_it_must(void **state)
{
    static const size_t lens[] = {0, 1, 127, 128, 129, 255, 1000};
    for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
        struct mp_arena arena;
        mp_arena_init(&arena, NULL, 0);
        struct pb_out out = pb_out_arena(&arena);
        char text[1000] = {0};
        memset(text, 'x', sizeof text);
        struct pb_pair pair = pb_within(&out, 1, 2);
        pb_text(&out, 3, (mp_str){text, lens[i]});
        (void)mp_arena_alloc(&arena, 7, 1); /* other pieces may come between */
        pb_pair_end(&out, pair);
        pb_uint(&out, 9, 1);
        struct pb_in in = pb_read(pb_view(&out));
        struct pb_field outer, inner, f;
        assert_true(pb_next(&in, &outer));
        struct pb_in one = pb_read(pb_bytes_of(&in, &outer));
        assert_true(pb_next(&one, &inner));
        struct pb_in two = pb_read(pb_bytes_of(&one, &inner));
        assert_true(pb_next(&two, &f));
        assert_int_equal(f.bytes.len, lens[i]);
        assert_true(pb_next(&in, &f) && f.number == 9);
        assert_false(pb_next(&two, &f) || pb_next(&one, &f) || pb_next(&in, &f));
        assert_true(in.why == NULL && one.why == NULL && two.why == NULL);
        mp_arena_free(&arena);
    }
}

static void a_full_buffer_is_remembered(void **state)
{
    struct pb_out whole = pb_out_fixed(room, sizeof room);
    size_t mark = pb_begin(&whole, 1);
    pb_text(&whole, 2, MP_STR("a text that is long enough to matter"));
    pb_end(&whole, mark);
    for (size_t size = 0; size <= whole.len; size++) {
        char small[64];
        struct pb_out out = pb_out_fixed(small, size);
        mark = pb_begin(&out, 1);
        pb_text(&out, 2, MP_STR("a text that is long enough to matter"));
        pb_end(&out, mark);
        assert_int_equal(out.failed, size < whole.len);
    }
}

/* ---- what must be refused ---- */

static bool reads(mp_str bytes)
{
    struct pb_in in = pb_read(bytes);
    struct pb_field f;
    while (pb_next(&in, &f)) {}
    assert_ptr_equal(in.at, in.end);
    return in.why == NULL;
}

static void what_is_no_message_is_refused(void **state)
{
    /* a long zero is a zero */
    static const mp_str good[] = {MP_STR_INIT(""), MP_STR_INIT("\x08\x80\x80\x00"),
                                  MP_STR_INIT("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
                                  MP_STR_INIT("\x0d\x01\x02\x03\x04"), MP_STR_INIT("\x0a\x00")};
    static const mp_str bad[] = {
        MP_STR_INIT("\x08"),                                             /* no value */
        MP_STR_INIT("\x80"),                                             /* a tag that is cut off */
        MP_STR_INIT("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"),     /* 65 bits */
        MP_STR_INIT("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), /* 11 bytes */
        MP_STR_INIT("\x00\x01"),                                         /* field 0 */
        MP_STR_INIT("\x02\x00"),                                         /* field 0 */
        MP_STR_INIT("\xf8\xff\xff\xff\x1f\x01"),                         /* field 2^30 - 1 */
        MP_STR_INIT("\x0b\x0c"),                                         /* a group */
        MP_STR_INIT("\x0c"),                                             /* its end */
        MP_STR_INIT("\x0e\x01"), MP_STR_INIT("\x0f\x01"),                /* wire types 6, 7 */
        /* longer than the message */
        MP_STR_INIT("\x0a\x01"), MP_STR_INIT("\x0a\x05" "abcd"),
        MP_STR_INIT("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),     /* much longer */
        MP_STR_INIT("\x0d\x01\x02\x03"), MP_STR_INIT("\x09\x01\x02\x03\x04\x05\x06\x07")};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) assert_true(reads(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_false(reads(bad[i]));
}

static void another_wire_type_than_said_is_refused(void **state)
{
    struct pb_out out = pb_out_fixed(room, sizeof room);
    pb_fixed32(&out, 1, 7);
    struct pb_field f;
    struct pb_in in = pb_read(pb_view(&out));
    assert_true(pb_next(&in, &f));
    assert_int_equal(pb_uint_of(&in, &f), 0);
    assert_non_null(in.why);
    assert_false(pb_next(&in, &f));
    in = pb_read(pb_view(&out));
    assert_true(pb_next(&in, &f));
    assert_int_equal(pb_text_of(&in, &f).len, 0);
    assert_non_null(in.why);
}

static void a_text_must_be_utf8(void **state)
{
    static const mp_str bad[] = {MP_STR_INIT("\xff"), MP_STR_INIT("abcdefgh\xc3"),
                                 MP_STR_INIT("\xed\xa0\x80"), MP_STR_INIT("\xc0\x80"),
                                 MP_STR_INIT("12345678\xf5\x80\x80\x80")};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct pb_out out = pb_out_fixed(room, sizeof room);
        struct pb_field f;
        pb_bytes(&out, 1, bad[i]);
        struct pb_in in = pb_read(pb_view(&out));
        assert_true(pb_next(&in, &f));
        assert_int_equal(pb_bytes_of(&in, &f).len, bad[i].len);
        assert_null(in.why);
        (void)pb_text_of(&in, &f);
        assert_non_null(in.why);
    }
}

/* ---- well-known messages ---- */

static bool time_of(int64_t seconds, int64_t nanos, int64_t *ns)
{
    struct pb_out out = pb_out_fixed(room, sizeof room);
    pb_int(&out, 1, seconds);
    pb_int(&out, 2, nanos);
    return pb_time_of(pb_view(&out), ns);
}

static void times_are_nanoseconds_within_their_range(void **state)
{
    int64_t ns = 5;
    assert_true(time_of(1, 500000000, &ns) && ns == 1500000000);
    assert_true(time_of(-1, -1, &ns) && ns == -1000000001);
    assert_true(time_of(9223372036, 854775807, &ns) && ns == INT64_MAX);
    assert_false(time_of(9223372036, 854775808, &ns));
    assert_false(time_of(INT64_MAX, 0, &ns));
    assert_false(time_of(0, 1000000000, &ns));
    assert_int_equal(ns, INT64_MAX);
    static const int64_t all[] = {0, 1, -1, 1500000000, -1500000000, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct pb_out out = pb_out_fixed(room, sizeof room);
        struct pb_field f;
        pb_duration(&out, 1, all[i]);
        struct pb_in in = pb_read(pb_view(&out));
        assert_true(pb_next(&in, &f));
        assert_true(pb_time_of(f.bytes, &ns));
        assert_int_equal(ns, all[i]);
    }
}

static void a_struct_is_read_by_its_names(void **state)
{
    struct pb_out out = pb_out_fixed(room, sizeof room);
    size_t object = pb_begin(&out, 1);
    pb_struct_number(&out, MP_STR("version"), 1);
    pb_struct_text(&out, MP_STR("listen"), MP_STR("127.0.0.1:1"));
    pb_struct_bool(&out, MP_STR("tls"), true);
    struct pb_struct_mark inner = pb_struct_begin(&out, MP_STR("mpol"));
    pb_struct_text(&out, MP_STR("a"), MP_STR("b"));
    pb_struct_end(&out, inner);
    pb_struct_text(&out, MP_STR("listen"), MP_STR("127.0.0.1:2"));
    pb_end(&out, object);
    struct pb_in in = pb_read(pb_view(&out));
    struct pb_field f;
    struct pb_value v, w;
    assert_true(pb_next(&in, &f));
    assert_true(pb_struct_get(f.bytes, MP_STR("version"), &v) && v.kind == PB_JSON_NUMBER &&
                v.number == 1);
    assert_true(pb_struct_get(f.bytes, MP_STR("listen"), &v) && v.kind == PB_JSON_TEXT);
    assert_true(mp_str_eq(v.text, MP_STR("127.0.0.1:2"))); /* the last one */
    assert_true(pb_struct_get(f.bytes, MP_STR("tls"), &v) && v.kind == PB_JSON_BOOL && v.truth);
    assert_true(pb_struct_get(f.bytes, MP_STR("mpol"), &v) && v.kind == PB_JSON_STRUCT);
    assert_true(pb_struct_get(v.text, MP_STR("a"), &w) && mp_str_eq(w.text, MP_STR("b")));
    assert_false(pb_struct_get(f.bytes, MP_STR("none"), &v));
    assert_false(pb_list_get(f.bytes, 99, &v));
}

static void a_map_is_walked_and_asked(void **state)
{
    struct pb_out out = pb_out_fixed(room, sizeof room);
    pb_map_text(&out, 5, MP_STR("a"), MP_STR("1"));
    pb_uint(&out, 1, 7);
    pb_map_text(&out, 5, MP_STR("b"), MP_STR(""));
    pb_map_text(&out, 5, MP_STR("a"), MP_STR("2"));
    pb_raw(&out, MP_STR("\x2a\x00")); /* an entry without key and value */
    struct pb_in in = pb_read(pb_view(&out));
    struct pb_field f;
    struct pb_many many = {.count = 0};
    mp_str key, value;
    assert_false(pb_many_get(many, MP_STR("a"), &value));
    while (pb_next(&in, &f)) {
        if (f.number == 5) pb_many_add_entry(&many, &in, &f);
    }
    assert_null(in.why);
    assert_int_equal(many.count, 4);
    assert_true(pb_many_get(many, MP_STR("a"), &value) && mp_str_eq(value, MP_STR("2")));
    assert_true(pb_many_get(many, MP_STR("b"), &value) && value.len == 0);
    assert_true(pb_many_get(many, MP_STR(""), &value) && value.len == 0);
    assert_false(pb_many_get(many, MP_STR("c"), &value));
    assert_true(pb_many_next_entry(&many, &key, &value) && mp_str_eq(value, MP_STR("1")));
    assert_true(pb_many_next_entry(&many, &key, &value) && mp_str_eq(key, MP_STR("b")));
    assert_true(pb_many_next_entry(&many, &key, &value) && mp_str_eq(value, MP_STR("2")));
    assert_true(pb_many_next_entry(&many, &key, &value) && key.len == 0);
    assert_false(pb_many_next_entry(&many, &key, &value));
}

static void a_map_with_a_bad_entry_is_refused(void **state)
{
    static const mp_str bad[] = {MP_STR_INIT("\x2a\x01\x0a"), MP_STR_INIT("\x2a\x02\x10\x01"),
                                 MP_STR_INIT("\x28\x01"), MP_STR_INIT("\x2a\x03\x0a\x01\xff"),
                                 MP_STR_INIT("\x2a\x03\x12\x01\xff")};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct pb_in in = pb_read(bad[i]);
        struct pb_field f;
        struct pb_many many = {.count = 0};
        assert_true(pb_next(&in, &f));
        pb_many_add_entry(&many, &in, &f);
        assert_non_null(in.why);
        assert_int_equal(many.count, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_examples_of_the_specification),
        cmocka_unit_test(what_was_written_is_read),
        cmocka_unit_test(a_length_grows_where_it_must),
        cmocka_unit_test(a_full_buffer_is_remembered),
        cmocka_unit_test(what_is_no_message_is_refused),
        cmocka_unit_test(another_wire_type_than_said_is_refused),
        cmocka_unit_test(a_text_must_be_utf8),
        cmocka_unit_test(times_are_nanoseconds_within_their_range),
        cmocka_unit_test(a_struct_is_read_by_its_names),
        cmocka_unit_test(a_map_is_walked_and_asked),
        cmocka_unit_test(a_map_with_a_bad_entry_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
