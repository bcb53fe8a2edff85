/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "inproc/inproc.h"

static struct mp_arena arena;

static struct mp_inproc *create(uint32_t leases)
{
    struct mp_inproc *b = NULL;
    mp_arena_init(&arena, NULL, 0);
    struct mp_inproc_limits limits = {.leases = leases, .readers = 2};
    assert_int_equal(mp_inproc_create(&arena, limits, (struct mp_hash_key){3, 4}, &b), MP_OK);
    return b;
}

static struct mpol_lease lease(uint64_t id, const char *verb, const char *kind, const char *type,
                               const char *target)
{
    return (struct mpol_lease){.size = sizeof(struct mpol_lease), .id = id, .incident = id,
                               .rule = mpol_text("r"), .verb = mpol_text(verb),
                               .target_kind = mpol_text(kind), .target_type = mpol_text(type),
                               .target = mpol_text(target), .hooks = MPOL_SERVICE};
}

static enum mpol_err apply(struct mp_inproc *b, uint64_t revision, const struct mpol_lease *leases,
                           size_t count)
{
    struct mpol_desired set = {.size = sizeof set, .revision = revision, .owner = mpol_text("o"),
                               .leases = leases, .lease_count = count};
    return mp_inproc_ops.apply(b, &set);
}

/* Nobody in this process knows which streams are open, unless it says so. */
static void a_cut_is_for_those_who_know_their_streams(void **state)
{
    (void)state;
    struct mpol_lease cut = lease(1, "cut", "client", "ip", "10.0.0.7");
    assert_int_equal(apply(create(4), 1, &cut, 1), MPOL_EUNSUPPORTED);
    mp_arena_free(&arena);
    struct mp_inproc_limits limits = {.leases = 4, .readers = 1, .cuts = true};
    struct mp_inproc *b;
    mp_arena_init(&arena, NULL, 0);
    assert_int_equal(mp_inproc_create(&arena, limits, (struct mp_hash_key){3, 4}, &b), MP_OK);
    assert_int_equal(apply(b, 1, &cut, 1), MPOL_OK);
    mp_arena_free(&arena);
}

static const struct mp_inproc_lease *find(struct mp_inproc *b, struct mp_inproc_reader *r,
                                          const char *kind, enum mp_rep rep, struct mp_value key)
{
    uint32_t k;
    assert_int_equal(mp_inproc_kind(b, mp_str_of(kind), &k), MP_OK);
    const struct mp_inproc_view *view = mp_inproc_enter(r);
    const struct mp_inproc_lease *l = mp_inproc_find(view, k, rep, key);
    mp_inproc_leave(r);
    return l;
}

static struct mp_value address(const char *text)
{
    struct mp_value v;
    uint32_t bits;
    assert_true(mp_value_address(mp_str_of(text), &v, &bits));
    return v;
}

static void an_address_is_found_in_whatever_way_it_is_written(void **state)
{
    (void)state;
    struct mp_inproc *b = create(8);
    struct mp_inproc_reader *r;
    assert_int_equal(mp_inproc_reader_open(b, &r), MP_OK);
    struct mpol_lease l = lease(1, "deny", "client", "ip", "2001:db8:0::0007");
    assert_int_equal(apply(b, 1, &l, 1), MPOL_OK);
    assert_non_null(find(b, r, "client", MP_REP_A, address("2001:db8::7")));
    assert_null(find(b, r, "client", MP_REP_A, address("2001:db8::8")));
    assert_null(find(b, r, "service", MP_REP_A, address("2001:db8::7")));
    mp_arena_free(&arena);
}

static void a_long_name_is_told_from_one_with_the_same_beginning(void **state)
{
    (void)state;
    struct mp_inproc *b = create(8);
    struct mp_inproc_reader *r;
    assert_int_equal(mp_inproc_reader_open(b, &r), MP_OK);
    struct mpol_lease l =
        lease(1, "quarantine", "service", "string", "a-service-with-a-long-name-1");
    assert_int_equal(apply(b, 1, &l, 1), MPOL_OK);
    mp_str one = MP_STR("a-service-with-a-long-name-1"),
           two = MP_STR("a-service-with-a-long-name-2");
    assert_non_null(find(b, r, "service", MP_REP_T, mp_value_text(one)));
    assert_null(find(b, r, "service", MP_REP_T, mp_value_text(two)));
    mp_arena_free(&arena);
}

static void leases_on_one_target_are_all_found_the_oldest_first(void **state)
{
    (void)state;
    struct mp_inproc *b = create(8);
    struct mp_inproc_reader *r;
    assert_int_equal(mp_inproc_reader_open(b, &r), MP_OK);
    struct mpol_arg to = {.name = mpol_text("to"), .type = mpol_text("percent"),
                          .kind = MPOL_ARG_NUMBER, .number = 0.5};
    struct mpol_lease set[] = {
        lease(9, "quarantine", "service", "string", "checkout"),
        lease(3, "throttle", "service", "string", "checkout"),
        lease(5, "exempt", "service", "string", "checkout"),
    };
    set[1].args = &to;
    set[1].arg_count = 1;
    assert_int_equal(apply(b, 1, set, 3), MPOL_OK);
    uint32_t kind;
    assert_int_equal(mp_inproc_kind(b, MP_STR("service"), &kind), MP_OK);
    const struct mp_inproc_view *view = mp_inproc_enter(r);
    const struct mp_inproc_lease *l =
        mp_inproc_find(view, kind, MP_REP_T, mp_value_text(MP_STR("checkout")));
    uint64_t ids[3] = {0};
    for (int i = 0; i < 3; i++, l = mp_inproc_next(view, l)) {
        assert_non_null(l);
        ids[i] = l->id;
    }
    assert_null(l);
    assert_true(ids[0] == 3 && ids[1] == 5 && ids[2] == 9);
    mp_inproc_leave(r);
    mp_arena_free(&arena);
}

static void a_throttle_keeps_its_bucket_from_table_to_table(void **state)
{
    (void)state;
    struct mp_inproc *b = create(8);
    struct mp_inproc_reader *r;
    assert_int_equal(mp_inproc_reader_open(b, &r), MP_OK);
    struct mpol_arg to = {.name = mpol_text("to"), .type = mpol_text("percent"),
                          .kind = MPOL_ARG_NUMBER, .number = 0.5};
    struct mpol_lease set[2] = {lease(1, "throttle", "service", "string", "a"),
                                lease(2, "throttle", "service", "string", "b")};
    set[0].args = set[1].args = &to;
    set[0].arg_count = set[1].arg_count = 1;
    assert_int_equal(apply(b, 1, set, 1), MPOL_OK);
    uint32_t bucket = find(b, r, "service", MP_REP_T, mp_value_text(MP_STR("a")))->bucket;
    for (uint64_t round = 2; round < 100; round++) {
        set[1].id = round;
        assert_int_equal(apply(b, round, set, 2), MPOL_OK);
        assert_int_equal(find(b, r, "service", MP_REP_T, mp_value_text(MP_STR("a")))->bucket,
                         bucket);
        assert_true(find(b, r, "service", MP_REP_T, mp_value_text(MP_STR("b")))->bucket != bucket);
    }
    mp_arena_free(&arena);
}

static void a_reader_in_the_middle_keeps_its_table(void **state)
{
    (void)state;
    struct mp_inproc *b = create(8);
    struct mp_inproc_reader *r;
    assert_int_equal(mp_inproc_reader_open(b, &r), MP_OK);
    const struct mp_inproc_view *view = mp_inproc_enter(r);
    uint32_t before = view->lease_count;
    struct mpol_lease l = lease(1, "deny", "client", "ip", "10.0.0.1");
    enum mpol_err err = MPOL_OK;
    /* Every table but the reader's is used in turn;
     * the publisher never waits and never takes it. */
    for (uint64_t round = 1; round <= 50; round++) {
        l.id = round;
        err = apply(b, round, &l, 1);
        if (err != MPOL_OK) break;
        assert_int_equal(view->lease_count, before);
    }
    assert_int_equal(err, MPOL_EAGAIN); /* what came after the held table may be read by it, too */
    mp_inproc_leave(r);
    assert_int_equal(apply(b, 100, &l, 1), MPOL_OK);
    mp_arena_free(&arena);
}

static void what_is_too_much_is_refused_whole(void **state)
{
    (void)state;
    struct mp_inproc *b = create(2);
    struct mp_inproc_reader *r;
    assert_int_equal(mp_inproc_reader_open(b, &r), MP_OK);
    struct mpol_lease set[3] = {lease(1, "deny", "client", "ip", "10.0.0.1"),
                                lease(2, "deny", "client", "ip", "10.0.0.2"),
                                lease(3, "deny", "client", "ip", "10.0.0.3")};
    assert_int_equal(apply(b, 1, set, 2), MPOL_OK);
    assert_int_equal(apply(b, 2, set, 3), MPOL_ELIMIT);
    assert_non_null(find(b, r, "client", MP_REP_A, address("10.0.0.2")));
    assert_null(find(b, r, "client", MP_REP_A, address("10.0.0.3")));
    mp_arena_free(&arena);
}

static void a_ramp_lets_its_part_of_the_clients_through(void **state)
{
    (void)state;
    struct mp_inproc *b = create(8);
    struct mp_inproc_reader *r;
    assert_int_equal(mp_inproc_reader_open(b, &r), MP_OK);
    struct mpol_lease l = lease(1, "quarantine", "service", "string", "checkout");
    bool passed[1000] = {false};
    const double parts[] = {0, 0.25, 0.5, 0.75, 1};
    for (uint64_t step = 0; step < 5; step++) {
        l.given_back = parts[step];
        assert_int_equal(apply(b, step + 1, &l, 1), MPOL_OK);
        const struct mp_inproc_view *view = mp_inproc_enter(r);
        unsigned count = 0;
        for (unsigned i = 0; i < 1000; i++) {
            char text[32];
            snprintf(text, sizeof text, "10.0.%u.%u", i / 250, i % 250);
            bool pass = mp_inproc_given_back(view, &view->leases[0], MP_REP_A, address(text));
            assert_true(pass || !passed[i]); /* who is through stays through */
            passed[i] = pass;
            count += pass;
        }
        assert_in_range(count + 60, parts[step] * 1000, parts[step] * 1000 + 120);
        mp_inproc_leave(r);
    }
    mp_arena_free(&arena);
}

static int same_as_given(void *ctx, const struct mpol_lease *got)
{
    const struct mpol_lease **at = ctx, *l = (*at)++;
    const struct mpol_text *given[] = {&l->rule, &l->verb, &l->target_kind, &l->target_type,
                                       &l->target},
                           *read[] = {&got->rule, &got->verb, &got->target_kind, &got->target_type,
                                      &got->target};
    assert_int_equal(got->id, l->id);
    assert_int_equal(got->hooks, l->hooks);
    for (size_t i = 0; i < sizeof given / sizeof *given; i++) {
        assert_int_equal(read[i]->len, given[i]->len);
        assert_memory_equal(read[i]->ptr, given[i]->ptr, given[i]->len);
    }
    return 0;
}

/* What many leases have in common is read once: each differs from its neighbour in one word. */
static void neighbours_keep_their_own_words(void **state)
{
    (void)state;
    struct mp_inproc *b = create(16);
    struct mpol_lease leases[] = {lease(1, "deny", "client", "ip", "10.0.0.1"),
                                  lease(2, "deny", "client", "ip", "10.0.0.2"),
                                  lease(3, "deny", "client", "cidr", "10.1.0.0/16"),
                                  lease(4, "deny", "client", "ip", "10.0.0.4"),
                                  lease(5, "exempt", "client", "ip", "10.0.0.5"),
                                  lease(6, "exempt", "client", "ip", "10.0.0.6"),
                                  lease(7, "exempt", "client", "ip", "10.0.0.7"),
                                  lease(8, "exempt", "client", "ip", "10.0.0.8")};
    leases[6].rule = mpol_text("s");
    leases[7].rule = mpol_text("s");
    leases[7].hooks = MPOL_EDGE;
    const struct mpol_lease *at = leases;
    assert_int_equal(apply(b, 1, leases, 8), MPOL_OK);
    assert_int_equal(mp_inproc_ops.read_back(b, mpol_text("o"), same_as_given, &at), MPOL_OK);
    assert_ptr_equal(at, leases + 8);
    leases[3].target_type = mpol_text("cidr"); /* of a range that is one address */
    leases[4].target_type = mpol_text("none");
    assert_int_equal(apply(b, 2, leases, 8), MPOL_EINVAL);
    mp_arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_is_found_in_whatever_way_it_is_written),
        cmocka_unit_test(a_long_name_is_told_from_one_with_the_same_beginning),
        cmocka_unit_test(leases_on_one_target_are_all_found_the_oldest_first),
        cmocka_unit_test(a_throttle_keeps_its_bucket_from_table_to_table),
        cmocka_unit_test(a_reader_in_the_middle_keeps_its_table),
        cmocka_unit_test(what_is_too_much_is_refused_whole),
        cmocka_unit_test(a_ramp_lets_its_part_of_the_clients_through),
        cmocka_unit_test(neighbours_keep_their_own_words),
        cmocka_unit_test(a_cut_is_for_those_who_know_their_streams),
    };
    return cmocka_run_group_tests_name("inproc", tests, NULL, NULL);
}
