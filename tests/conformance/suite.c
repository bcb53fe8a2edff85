/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "suite.h"

#define LEASES_MAX 64
#define OWNER "mpol-test"

static const struct conformance_peer *peer;

/* ---- sets, and what is read back ---- */

struct sample {
    struct mpol_lease lease;
    struct mpol_arg args[2];
    char target[32];
};

struct set {
    struct sample items[LEASES_MAX];
    struct mpol_lease leases[LEASES_MAX];
    struct mpol_desired desired;
};

static const char *key_type(const char *kind)
{
    if (strcmp(kind, "client") == 0) return "ip";
    if (strcmp(kind, "identity") == 0) return "identity";
    return strcmp(kind, "asn") == 0 ? "asn" : "string";
}

static void name_target(const char *kind, unsigned n, char out[32])
{
    if (strcmp(kind, "client") == 0) {
        snprintf(out, 32, "10.0.%u.%u", n / 250, n % 250 + 1);
    } else if (strcmp(kind, "asn") == 0) {
        snprintf(out, 32, "%u", 64500 + n);
    } else if (strcmp(kind, "identity") == 0) {
        snprintf(out, 32, "spiffe://shop/ns/a/sa/s%u", n);
    } else {
        snprintf(out, 32, "%s-%u", kind, n);
    }
}

static void set_begin(struct set *s, uint64_t revision, const char *owner)
{
    memset(s, 0, sizeof *s);
    s->desired.size = sizeof s->desired;
    s->desired.revision = revision;
    s->desired.owner = mpol_text(owner);
    s->desired.leases = s->leases;
}

/* What an action must say; the names are of the mesh that peers make (suite.h). */
static const struct argument {
    const char *verb;
    struct mpol_arg arg;
} arguments[] = {
    {"throttle", {.name = {"to", 2}, .type = {"percent", 7}, .kind = MPOL_ARG_NUMBER, .number = 0.5}},
    {"route", {.name = {"to", 2}, .type = {"string", 6}, .text = {"v1", 2}}},
    {"mirror", {.name = {"to", 2}, .type = {"string", 6}, .text = {"service-0", 9}}},
};

static void add_argument(struct sample *x, const char *verb)
{
    for (size_t i = 0; i < sizeof arguments / sizeof *arguments; i++) {
        if (strcmp(arguments[i].verb, verb) != 0) continue;
        x->args[0] = arguments[i].arg;
        x->lease.args = x->args;
        x->lease.arg_count = 1;
    }
}

/* Adds the lease that capability `c` allows on target number `n`. */
static struct sample *set_add(struct set *s, uint64_t id, const struct mpol_capability *c,
                              unsigned n)
{
    assert_true(s->desired.lease_count < LEASES_MAX);
    struct sample *x = &s->items[s->desired.lease_count];
    name_target(c->target, n, x->target);
    x->lease = (struct mpol_lease){
        .size = sizeof x->lease, .id = id, .incident = id + 1000, .rule = mpol_text("some_rule"),
        .verb = mpol_text(c->verb), .target_kind = mpol_text(c->target),
        .target_type = mpol_text(key_type(c->target)), .target = mpol_text(x->target),
        .hooks = c->hooks, .ends_wall_ns = INT64_C(1000000000) * 1000};
    add_argument(x, c->verb);
    s->leases[s->desired.lease_count++] = x->lease;
    return x;
}

static const struct mpol_capability *capability(const char *verb, const char *target)
{
    for (size_t i = 0; i < peer->ops->capability_count; i++) {
        const struct mpol_capability *c = &peer->ops->capabilities[i];
        if (strcmp(c->verb, verb) == 0 && strcmp(c->target, target) == 0) return c;
    }
    return NULL;
}

static struct mpol_progress progress(void *backend)
{
    struct mpol_progress p = {.size = sizeof p};
    assert_int_equal(peer->ops->progress(backend, &p), MPOL_OK);
    return p;
}

static void settle(void *backend)
{
    if (peer->settle != NULL) peer->settle(backend);
}

static void apply(void *backend, struct set *s)
{
    assert_int_equal(peer->ops->apply(backend, &s->desired), MPOL_OK);
    settle(backend);
    struct mpol_progress p = progress(backend);
    assert_int_equal(p.accepted, s->desired.revision);
    assert_int_equal(p.effective, s->desired.revision);
}

struct found {
    struct set *expected;
    bool seen[LEASES_MAX];
    size_t count;
};

static bool text_eq(struct mpol_text a, struct mpol_text b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static int compare(void *ctx, const struct mpol_lease *lease)
{
    struct found *f = ctx;
    for (size_t i = 0; i < f->expected->desired.lease_count; i++) {
        const struct mpol_lease *want = &f->expected->leases[i];
        if (lease->id != want->id) continue;
        assert_false(f->seen[i]);
        f->seen[i] = true;
        f->count++;
        assert_true(text_eq(lease->verb, want->verb));
        assert_true(text_eq(lease->target_kind, want->target_kind));
        assert_true(text_eq(lease->target, want->target));
        assert_true(lease->hooks == want->hooks);
        assert_true(lease->given_back >= want->given_back && lease->given_back <= want->given_back);
        for (uint32_t a = 0; a < want->arg_count; a++) {
            bool same = false;
            for (uint32_t b = 0; b < lease->arg_count; b++) {
                same = same || (text_eq(lease->args[b].name, want->args[a].name) &&
                                lease->args[b].number >= want->args[a].number &&
                                lease->args[b].number <= want->args[a].number);
            }
            assert_true(same);
        }
        return 0;
    }
    fail_msg("%s: found lease %llu that nobody wanted", peer->name, (unsigned long long)lease->id);
    return 1;
}

static void assert_in_force(void *backend, struct set *s)
{
    if (peer->ops->read_back == NULL) {
        assert_true((peer->ops->flags & MPOL_BACKEND_UNPROVEN) != 0);
        return;
    }
    struct found f = {.expected = s};
    assert_int_equal(peer->ops->read_back(backend, s->desired.owner, compare, &f), MPOL_OK);
    assert_int_equal(f.count, s->desired.lease_count);
}

/* ---- the promises ---- */

static void every_capability_is_taken_and_read_back(void **state)
{
    (void)state;
    void *backend = peer->start();
    struct set s;
    set_begin(&s, 1, OWNER);
    for (size_t i = 0; i < peer->ops->capability_count; i++) {
        set_add(&s, i + 1, &peer->ops->capabilities[i], (unsigned)i);
    }
    apply(backend, &s);
    assert_in_force(backend, &s);
    peer->stop(backend);
}

static void applying_the_same_set_twice_changes_nothing(void **state)
{
    (void)state;
    void *backend = peer->start();
    struct set s;
    set_begin(&s, 1, OWNER);
    set_add(&s, 7, &peer->ops->capabilities[0], 1);
    apply(backend, &s);
    apply(backend, &s);
    assert_in_force(backend, &s);
    s.desired.revision = 2;
    apply(backend, &s);
    assert_in_force(backend, &s);
    peer->stop(backend);
}

static void the_order_of_leases_means_nothing(void **state)
{
    (void)state;
    void *backend = peer->start();
    struct set s, turned;
    size_t count = peer->ops->capability_count;
    set_begin(&s, 1, OWNER);
    set_begin(&turned, 2, OWNER);
    for (size_t i = 0; i < count; i++) {
        set_add(&s, i + 1, &peer->ops->capabilities[i], (unsigned)i);
        set_add(&turned, count - i, &peer->ops->capabilities[count - 1 - i],
                (unsigned)(count - 1 - i));
    }
    apply(backend, &s);
    assert_in_force(backend, &s);
    apply(backend, &turned);
    assert_in_force(backend, &s);
    peer->stop(backend);
}

static void what_carries_another_owners_tag_is_not_touched(void **state)
{
    (void)state;
    void *backend = peer->start();
    struct set ours, theirs, nothing;
    set_begin(&theirs, 1, "somebody-else");
    set_add(&theirs, 1, &peer->ops->capabilities[0], 1);
    set_begin(&ours, 2, OWNER);
    set_add(&ours, 1, &peer->ops->capabilities[0], 2);
    set_begin(&nothing, 3, OWNER);
    apply(backend, &theirs);
    apply(backend, &ours);
    assert_in_force(backend, &theirs);
    assert_in_force(backend, &ours);
    apply(backend, &nothing);
    assert_in_force(backend, &theirs);
    assert_in_force(backend, &nothing);
    peer->stop(backend);
}

static void an_empty_set_withdraws_everything(void **state)
{
    (void)state;
    void *backend = peer->start();
    struct set s, nothing;
    const struct mpol_capability *deny = capability("deny", "client");
    set_begin(&s, 1, OWNER);
    set_add(&s, 1, deny != NULL ? deny : &peer->ops->capabilities[0], 1);
    set_begin(&nothing, 2, OWNER);
    apply(backend, &s);
    if (deny != NULL && peer->passes != NULL) {
        assert_false(peer->passes(backend, s.items[0].target, "shop"));
        assert_true(peer->passes(backend, "10.9.9.9", "shop"));
    }
    apply(backend, &nothing);
    assert_in_force(backend, &nothing);
    if (peer->passes != NULL) assert_true(peer->passes(backend, s.items[0].target, "shop"));
    peer->stop(backend);
}

static void what_it_cannot_do_is_refused_and_changes_nothing(void **state)
{
    (void)state;
    void *backend = peer->start();
    static const struct mpol_capability levitate = {"levitate", "service", MPOL_SERVICE, 0};
    struct set s, more;
    set_begin(&s, 1, OWNER);
    set_add(&s, 1, &peer->ops->capabilities[0], 1);
    apply(backend, &s);
    set_begin(&more, 2, OWNER);
    set_add(&more, 1, &peer->ops->capabilities[0], 1);
    set_add(&more, 2, &peer->ops->capabilities[0], 2);
    set_add(&more, 3, &levitate, 3);
    assert_int_equal(peer->ops->apply(backend, &more.desired), MPOL_EUNSUPPORTED);
    settle(backend);
    assert_in_force(backend, &s);
    assert_int_equal(progress(backend).accepted, 1);
    peer->stop(backend);
}

/* A range of addresses (MPOL_CAN_RANGE), of either family; where it is not said, it is refused. */
static void to_range(struct set *s, unsigned n)
{
    size_t at = s->desired.lease_count - 1;
    struct sample *x = &s->items[at];
    snprintf(x->target, sizeof x->target, n % 2 == 0 ? "10.1.%u.0/24" : "2001:db8:%x::/48", n);
    x->lease.target = mpol_text(x->target);
    x->lease.target_type = mpol_text("cidr");
    s->leases[at] = x->lease;
}

static void a_range_is_a_target_where_it_says_so(void **state)
{
    (void)state;
    void *backend = peer->start();
    struct set s, more;
    set_begin(&s, 1, OWNER);
    for (unsigned i = 0; i < peer->ops->capability_count; i++) {
        const struct mpol_capability *c = &peer->ops->capabilities[i];
        if ((c->flags & MPOL_CAN_RANGE) == 0) continue;
        for (unsigned n = 0; n < 2; n++) {
            set_add(&s, 2 * i + n + 1, c, i);
            to_range(&s, 2 * i + n);
        }
    }
    apply(backend, &s);
    assert_in_force(backend, &s);
    for (unsigned i = 0; i < peer->ops->capability_count; i++) {
        const struct mpol_capability *c = &peer->ops->capabilities[i];
        if ((c->flags & MPOL_CAN_RANGE) != 0 || strcmp(c->target, "client") != 0) continue;
        set_begin(&more, 2, OWNER);
        set_add(&more, 1000, c, i);
        to_range(&more, i);
        assert_int_equal(peer->ops->apply(backend, &more.desired), MPOL_EUNSUPPORTED);
    }
    settle(backend);
    assert_in_force(backend, &s);
    peer->stop(backend);
}

/* Where it can be asked about one lease, it answers as it would take the set. */
static void to_ask_about_a_lease_is_to_apply_it(void **state)
{
    (void)state;
    void *backend = peer->start();
    static const struct mpol_capability levitate = {"levitate", "service", MPOL_SERVICE, 0};
    char why[128];
    struct set s;
    set_begin(&s, 1, OWNER);
    for (unsigned i = 0; i < peer->ops->capability_count && peer->ops->check != NULL; i++) {
        set_add(&s, i + 1, &peer->ops->capabilities[i], i);
        assert_int_equal(peer->ops->check(backend, &s.leases[i], why, sizeof why), MPOL_OK);
    }
    if (peer->ops->check != NULL) {
        struct sample *x = set_add(&s, 999, &levitate, 1);
        assert_int_equal(peer->ops->check(backend, &x->lease, why, sizeof why), MPOL_EUNSUPPORTED);
        assert_true(strlen(why) > 0);
    }
    peer->stop(backend);
}

static void a_part_given_back_is_in_force_as_a_part(void **state)
{
    (void)state;
    void *backend = peer->start();
    struct set s;
    for (size_t i = 0; i < peer->ops->capability_count; i++) {
        const struct mpol_capability *c = &peer->ops->capabilities[i];
        if ((c->flags & MPOL_CAN_PARTIAL) == 0) continue;
        for (int step = 0; step < 4; step++) {
            set_begin(&s, i * 4 + (unsigned)step + 1, OWNER);
            set_add(&s, i + 1, c, 1);
            s.leases[0].given_back = 0.25 * step;
            apply(backend, &s);
            assert_in_force(backend, &s);
        }
    }
    peer->stop(backend);
}

static void it_is_effective_only_when_the_data_plane_obeys(void **state)
{
    (void)state;
    if (peer->hold == NULL) skip();
    void *backend = peer->start();
    struct set s;
    set_begin(&s, 1, OWNER);
    apply(backend, &s);
    peer->hold(backend);
    set_begin(&s, 2, OWNER);
    set_add(&s, 1, &peer->ops->capabilities[0], 1);
    assert_int_equal(peer->ops->apply(backend, &s.desired), MPOL_OK);
    assert_int_equal(progress(backend).accepted, 2);
    assert_int_equal(progress(backend).effective, 1);
    peer->let_go(backend);
    settle(backend);
    assert_int_equal(progress(backend).effective, 2);
    peer->stop(backend);
}

static void leftovers_of_an_earlier_life_are_removed(void **state)
{
    (void)state;
    void *backend = peer->start();
    struct set s, later;
    set_begin(&s, 9, OWNER);
    set_add(&s, 1, &peer->ops->capabilities[0], 1);
    set_add(&s, 2, &peer->ops->capabilities[0], 2);
    apply(backend, &s);
    backend = peer->restart(backend);
    assert_in_force(backend, &s);
    /* The same number for another set: a new life counts from where it likes. */
    set_begin(&later, 9, OWNER);
    set_add(&later, 2, &peer->ops->capabilities[0], 2);
    set_add(&later, 3, &peer->ops->capabilities[0], 3);
    apply(backend, &later);
    assert_in_force(backend, &later);
    peer->stop(backend);
}

static void any_way_to_a_set_ends_at_that_set(void **state)
{
    (void)state;
    uint64_t seed = 20261125;
    print_message("seed %llu\n", (unsigned long long)seed);
    void *backend = peer->start();
    struct set s;
    for (unsigned round = 1; round <= 200; round++) {
        set_begin(&s, round, OWNER);
        for (unsigned n = 0; n < 32; n++) {
            if ((mp_rng_next(&seed) >> 40) % 2 == 0) continue;
            set_add(&s, n + 1, &peer->ops->capabilities[n % peer->ops->capability_count], n);
        }
        apply(backend, &s);
        assert_in_force(backend, &s);
    }
    peer->stop(backend);
}

int conformance_run(const struct conformance_peer *which)
{
    peer = which;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_capability_is_taken_and_read_back),
        cmocka_unit_test(applying_the_same_set_twice_changes_nothing),
        cmocka_unit_test(the_order_of_leases_means_nothing),
        cmocka_unit_test(what_carries_another_owners_tag_is_not_touched),
        cmocka_unit_test(an_empty_set_withdraws_everything),
        cmocka_unit_test(what_it_cannot_do_is_refused_and_changes_nothing),
        cmocka_unit_test(a_range_is_a_target_where_it_says_so),
        cmocka_unit_test(to_ask_about_a_lease_is_to_apply_it),
        cmocka_unit_test(a_part_given_back_is_in_force_as_a_part),
        cmocka_unit_test(it_is_effective_only_when_the_data_plane_obeys),
        cmocka_unit_test(leftovers_of_an_earlier_life_are_removed),
        cmocka_unit_test(any_way_to_a_set_ends_at_that_set),
    };
    return cmocka_run_group_tests_name(peer->name, tests, NULL, NULL);
}
