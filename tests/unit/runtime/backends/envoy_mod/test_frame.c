/* SPDX-License-Identifier: Apache-2.0
 * Frames between module and control plane: what is written is read again, and nothing else is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/hash.h"
#include "envoy_mod/fleet.h"

static struct mpol_arg args[] = {
    {.name = {"to", 2}, .type = {"rate", 4}, .kind = MPOL_ARG_NUMBER, .number = 2.5},
    {.name = {"burst", 5}, .type = {"int", 3}, .kind = MPOL_ARG_INT, .integer = -7},
    {.name = {"why", 3}, .type = {"string", 6}, .kind = MPOL_ARG_TEXT, .text = {"so", 2}},
};

static struct mpol_lease lease(uint64_t id, uint32_t arg_count)
{
    return (struct mpol_lease){.size = sizeof(struct mpol_lease), .id = id, .incident = id + 1,
                               .rule = mpol_text("r"), .verb = mpol_text("throttle"),
                               .target_kind = mpol_text("client"), .target_type = mpol_text("ip"),
                               .target = mpol_text("127.0.0.1"), .hooks = 7, .args = args,
                               .arg_count = arg_count, .ends_wall_ns = 99, .begins_wall_ns = 98,
                               .given_back = 0.25};
}

static mp_str body_of(const struct mp_frame_out *out)
{
    return (mp_str){out->ptr + MP_FRAME_HEAD, out->len - MP_FRAME_HEAD};
}

static void a_set_is_read_as_it_was_written(void **state)
{
    (void)state;
    struct mpol_lease leases[] = {lease(1, 3), lease(2, 0), lease(3, 1)};
    struct mpol_desired set = {.size = sizeof set, .revision = 12, .owner = mpol_text("mpol"),
                               .now_wall_ns = 5, .leases = leases, .lease_count = 3},
                        got;
    struct mp_frame_out out = {0};
    void *memory;
    mp_frame_put_leases(&out, &set, NULL, NULL);
    assert_int_equal(mp_frame_get_leases(body_of(&out), &got, &memory), MP_OK);
    assert_int_equal(got.revision, 12);
    assert_int_equal(got.lease_count, 3);
    for (size_t i = 0; i < 3; i++) {
        const struct mpol_lease *a = &leases[i], *b = &got.leases[i];
        assert_int_equal(a->id, b->id);
        assert_int_equal(a->incident, b->incident);
        assert_int_equal(a->hooks, b->hooks);
        assert_int_equal(a->ends_wall_ns, b->ends_wall_ns);
        assert_int_equal(a->begins_wall_ns, b->begins_wall_ns);
        assert_true(!(a->given_back < b->given_back) && !(a->given_back > b->given_back));
        assert_memory_equal(b->target.ptr, "127.0.0.1", 9);
        assert_int_equal(a->arg_count, b->arg_count);
    }
    assert_int_equal(got.leases[0].args[1].integer, -7);
    assert_memory_equal(got.leases[0].args[2].text.ptr, "so", 2);
    assert_true(got.leases[2].args[0].number > 2.4);
    free(memory);
    mp_frame_out_free(&out);
}

/* Every frame that is cut, and many in which bytes are changed: refused or read, never read
 * beyond. */
static void damaged_frames_are_refused(void **state)
{
    (void)state;
    struct mpol_lease leases[] = {lease(1, 3), lease(2, 2)};
    struct mpol_desired set = {.size = sizeof set, .leases = leases, .lease_count = 2}, got;
    struct mp_frame_out out = {0};
    void *memory;
    mp_frame_put_leases(&out, &set, NULL, NULL);
    mp_str body = body_of(&out);
    for (size_t len = 0; len < body.len; len++) {
        char *cut = malloc(len + 1); /* its own block, so that a sanitizer sees its end */
        assert_non_null(cut);
        memcpy(cut, body.ptr, len);
        assert_int_equal(mp_frame_get_leases((mp_str){cut, len}, &got, &memory), MP_ECORRUPT);
        free(cut);
    }
    uint64_t seed = 42;
    for (int i = 0; i < 20000; i++) {
        char *copy = malloc(body.len);
        assert_non_null(copy);
        memcpy(copy, body.ptr, body.len);
        for (int k = 0; k < 3; k++) copy[mp_rng_next(&seed) % body.len] = (char)mp_rng_next(&seed);
        if (mp_frame_get_leases((mp_str){copy, body.len}, &got, &memory) == MP_OK) free(memory);
        free(copy);
    }
    mp_frame_out_free(&out);
}

static void a_length_is_bounded(void **state)
{
    (void)state;
    uint8_t type;
    mp_str body;
    size_t size;
    assert_int_equal(mp_frame_next(MP_STR("\x05\0\0"), 100, &type, &body, &size), MP_EAGAIN);
    assert_int_equal(mp_frame_next((mp_str){"\0\0\0\0\x01", 5}, 100, &type, &body, &size),
                     MP_ECORRUPT);
    assert_int_equal(mp_frame_next((mp_str){"\xff\xff\xff\xff\x01", 5}, 100, &type, &body, &size),
                     MP_ECORRUPT);
    assert_int_equal(mp_frame_next((mp_str){"\x03\0\0\0\x01", 5}, 100, &type, &body, &size),
                     MP_EAGAIN);
    assert_int_equal(size, 7);
    assert_int_equal(mp_frame_next((mp_str){"\x03\0\0\0\x01yz", 7}, 100, &type, &body, &size),
                     MP_OK);
    assert_int_equal(type, 1);
    assert_int_equal(body.len, 2);
}

/* ---- the fleet ---- */

struct peer_log {
    struct mp_frame_out sent;
    uint32_t records, events, carriers;
    int64_t now_ns;
};

static void on_send(void *ctx, void *connection, mp_str bytes)
{
    (void)connection;
    mp_frame_put_bytes(&((struct peer_log *)ctx)->sent, bytes);
}

static void on_record(void *ctx, const struct mp_fleet_info *from, const struct mp_fleet_record *r)
{
    (void)from;
    (void)r;
    ((struct peer_log *)ctx)->records++;
}

static void on_event(void *ctx, const struct mp_fleet_info *who, const char *what)
{
    (void)who;
    (void)what;
    ((struct peer_log *)ctx)->events++;
}

static int64_t on_now(void *ctx) { return ((struct peer_log *)ctx)->now_ns; }

static void on_carriers(void *ctx) { ((struct peer_log *)ctx)->carriers++; }

static const struct mp_fleet_host *host_of(struct peer_log *log)
{
    static struct mp_fleet_host host;
    host = (struct mp_fleet_host){log, on_send, on_record, on_event, on_now, on_carriers};
    return &host;
}

static bool say(struct mp_fleet_peer *p, struct mp_frame_out *out)
{
    bool ok = mp_fleet_take(p, (mp_str){out->ptr, out->len});
    mp_frame_out_free(out);
    return ok;
}

static void say_hello(struct mp_frame_out *out, const char *instance)
{
    struct mp_frame_hello h = {.protocol = MP_FRAME_PROTOCOL,
                               .workers = 2,
                               .layer = MP_STR("service"),
                               .service = MP_STR("checkout"),
                               .instance = mp_str_of(instance),
                               .version = MP_STR("1")};
    mp_frame_put_hello(out, &h);
}

static bool say_taken(struct mp_fleet_peer *p, uint64_t revision, enum mp_err err)
{
    struct mp_frame_out out = {0};
    struct mp_frame_taken t = {MP_FRAME_LEASES, revision, (uint8_t)err, MP_STR("no room")};
    mp_frame_put_taken(&out, &t);
    return say(p, &out);
}

static bool say_passed_of(struct mp_fleet_peer *p, uint8_t what, uint64_t revision)
{
    struct mp_frame_out out = {0};
    size_t began = mp_frame_begin(&out, MP_FRAME_PASSED);
    mp_frame_put_u8(&out, what);
    mp_frame_put_u64(&out, revision);
    mp_frame_end(&out, began);
    return say(p, &out);
}

static bool say_passed(struct mp_fleet_peer *p, uint64_t revision)
{
    return say_passed_of(p, MP_FRAME_LEASES, revision);
}

static struct mpol_progress progress(struct mp_fleet *f)
{
    struct mpol_progress p = {.size = sizeof p};
    mp_fleet_ops(f)->progress(f, &p);
    return p;
}

static void apply(struct mp_fleet *f, uint64_t revision)
{
    struct mpol_lease l = lease(1, 2);
    struct mpol_desired set = {.size = sizeof set, .revision = revision, .owner = mpol_text("mpol"),
                               .leases = &l, .lease_count = 1};
    assert_int_equal(mp_fleet_ops(f)->apply(f, &set), MPOL_OK);
}

static struct mp_fleet_peer *join(struct mp_fleet *f, const char *instance)
{
    struct mp_frame_out out = {0};
    struct mp_fleet_peer *p = mp_fleet_open(f, NULL);
    say_hello(&out, instance);
    assert_true(say(p, &out));
    return p;
}

static void a_revision_is_effective_when_all_have_passed(void **state)
{
    (void)state;
    struct peer_log log = {.now_ns = 1000};
    struct mp_fleet *f;
    assert_int_equal(mp_fleet_create(host_of(&log), NULL, NULL, &f), MP_OK);
    apply(f, 5);
    assert_int_equal(progress(f).trouble, MPOL_EAGAIN); /* nobody is there to carry it */
    struct mp_fleet_peer *a = join(f, "a"), *b = join(f, "b");
    assert_true(log.sent.len > 0);
    assert_int_equal(progress(f).trouble, MPOL_OK);
    assert_int_equal(progress(f).accepted, 0);
    assert_true(say_taken(a, 5, MP_OK));
    assert_true(say_taken(b, 5, MP_OK));
    assert_int_equal(progress(f).accepted, 5);
    assert_true(say_passed(a, 5));
    assert_int_equal(progress(f).effective, 0);
    assert_true(say_passed(b, 5));
    assert_int_equal(progress(f).effective, 5);

    apply(f, 6);
    assert_true(say_taken(a, 6, MP_OK) && say_passed(a, 6));
    assert_true(say_taken(b, 6, MP_ELIMIT));
    assert_int_equal(progress(f).trouble, MPOL_ELIMIT);
    assert_int_equal(progress(f).accepted, 5);
    mp_fleet_close(b); /* who is away blocks nothing */
    assert_int_equal(progress(f).effective, 6);

    apply(f, 7);
    struct mp_fleet_peer *c = join(f, "c");
    assert_true(say_taken(c, 7, MP_OK) && say_passed(c, 7));
    assert_int_equal(progress(f).effective, 6);
    log.now_ns += MP_FLEET_SILENT_NS + 1; /* nor does who is silent */
    assert_int_equal(progress(f).effective, 7);
    assert_false(say_taken(a, 100, MP_OK)); /* nobody was told that */
    mp_fleet_destroy(f);
    mp_frame_out_free(&log.sent);
}

/* Another backend, behind the fleet. */
static uint64_t inner_revision;

static enum mpol_err inner_apply(void *backend, const struct mpol_desired *set)
{
    inner_revision = set->revision;
    return MPOL_OK;
}

static enum mpol_err inner_progress(void *backend, struct mpol_progress *out)
{
    *out = (struct mpol_progress){
        .size = sizeof *out, .accepted = inner_revision, .effective = inner_revision - 1};
    return MPOL_OK;
}

static enum mpol_err inner_check(void *backend, const struct mpol_lease *lease, char *why,
                                 size_t why_size)
{
    return backend == &inner_revision ? MPOL_EUNSUPPORTED : MPOL_OK;
}

static void beside_another_backend_both_must_have_done_it(void **state)
{
    (void)state;
    static const struct mpol_backend_ops inner = {.size = sizeof inner,
                                                  .name = "inner",
                                                  .apply = inner_apply,
                                                  .progress = inner_progress,
                                                  .check = inner_check};
    struct peer_log log = {.now_ns = 1000};
    struct mp_fleet *f;
    struct mpol_lease l = lease(1, 2);
    struct mpol_desired got;
    void *memory;
    uint8_t type;
    mp_str body;
    size_t size;
    assert_int_equal(mp_fleet_create(host_of(&log), &inner, &inner_revision, &f), MP_OK);
    apply(f, 5); /* a throttle: the other one's alone */
    assert_int_equal(progress(f).accepted, 5);
    assert_int_equal(progress(f).effective, 4);
    struct mp_fleet_peer *p = join(f, "a");
    assert_int_equal(
        mp_frame_next((mp_str){log.sent.ptr, log.sent.len}, MP_FRAME_DOWN_MAX, &type, &body, &size),
        MP_OK);
    assert_int_equal(type, MP_FRAME_LEASES);
    assert_int_equal(mp_frame_get_leases(body, &got, &memory), MP_OK);
    assert_int_equal(got.lease_count, 0);
    free(memory);
    assert_int_equal(progress(f).accepted, 0);
    assert_true(say_taken(p, 5, MP_OK) && say_passed(p, 5));
    assert_int_equal(progress(f).accepted, 5);
    assert_int_equal(progress(f).effective, 4); /* the other one has not */
    char why[16];
    assert_int_equal(mp_fleet_ops(f)->check(f, &l, why, sizeof why), MPOL_EUNSUPPORTED);
    mp_fleet_destroy(f);
    mp_frame_out_free(&log.sent);
}

static void who_speaks_out_of_turn_is_not_heard(void **state)
{
    (void)state;
    struct peer_log log = {.now_ns = 1000};
    struct mp_fleet *f;
    struct mp_frame_out out = {0};
    assert_int_equal(mp_fleet_create(host_of(&log), NULL, NULL, &f), MP_OK);
    struct mp_fleet_peer *p = mp_fleet_open(f, NULL);
    assert_false(say_passed(p, 1)); /* before it has said who it is */
    mp_fleet_close(p);
    p = mp_fleet_open(f, NULL);
    say_hello(&out, "a\nb");
    assert_false(say(p, &out));
    mp_fleet_close(p);
    p = join(f, "a");
    say_hello(&out, "other");
    assert_false(say(p, &out)); /* once is enough */
    mp_fleet_close(p);
    p = join(f, "a");
    size_t began = mp_frame_begin(&out, MP_FRAME_RECORDS);
    for (int i = 0; i < 5; i++) mp_frame_put_text(&out, MP_STR(""));
    mp_frame_put_text(&out, MP_STR("{}"));
    for (int i = 0; i < 5; i++) mp_frame_put_text(&out, MP_STR(""));
    mp_frame_put_text(&out, MP_STR("no object"));
    mp_frame_end(&out, began);
    assert_false(say(p, &out));
    assert_int_equal(log.records, 1);
    mp_fleet_destroy(f);
    mp_frame_out_free(&log.sent);
}

static bool carries(const struct mp_fleet *f, const char *instance)
{
    return mp_fleet_carries(f, MP_STR("service"), MP_STR("checkout"), mp_str_of(instance));
}

static void a_module_carries_from_when_it_passed_until_something_is_amiss(void **state)
{
    (void)state;
    struct peer_log log = {.now_ns = 1000};
    struct mp_fleet *f;
    assert_int_equal(mp_fleet_create(host_of(&log), NULL, NULL, &f), MP_OK);
    assert_int_equal(mp_fleet_program(f, MP_STR("image"), NULL, 0), MP_OK);
    apply(f, 5);
    struct mp_fleet_peer *a = join(f, "a");
    assert_true(say_taken(a, 5, MP_OK) && say_passed(a, 5));
    assert_false(carries(f, "a")); /* without a program everything passes there */
    uint32_t told = log.carriers;
    assert_true(say_passed_of(a, MP_FRAME_PROGRAM, 1));
    assert_true(carries(f, "a"));
    assert_false(carries(f, "b"));
    assert_int_equal(log.carriers, told + 1);

    apply(f, 6); /* it has a moment */
    progress(f);
    assert_true(carries(f, "a"));
    assert_int_equal(log.carriers, told + 1);
    log.now_ns += MP_FLEET_SILENT_NS + 1;
    progress(f);
    assert_false(carries(f, "a"));
    assert_true(say_taken(a, 6, MP_OK) && say_passed(a, 6));
    assert_true(carries(f, "a"));

    struct mp_fleet_peer *twin = join(f, "a"); /* another process of the same proxy */
    assert_false(carries(f, "a"));
    assert_true(say_passed_of(twin, MP_FRAME_PROGRAM, 1) && say_passed(twin, 6));
    assert_true(carries(f, "a"));
    mp_fleet_close(twin);
    assert_true(carries(f, "a"));
    twin = join(f, "a");
    assert_false(carries(f, "a"));
    told = log.carriers;
    mp_fleet_close(twin); /* it never did */
    assert_true(carries(f, "a"));
    assert_int_equal(log.carriers, told + 1);

    apply(f, 7);
    assert_true(say_taken(a, 7, MP_ELIMIT));
    assert_false(carries(f, "a"));
    apply(f, 8);
    assert_true(say_taken(a, 8, MP_OK) && say_passed(a, 8));
    assert_true(carries(f, "a"));
    told = log.carriers;
    mp_fleet_close(a);
    assert_false(carries(f, "a"));
    assert_int_equal(log.carriers, told + 1);
    mp_fleet_destroy(f);
    mp_frame_out_free(&log.sent);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_set_is_read_as_it_was_written),
        cmocka_unit_test(damaged_frames_are_refused),
        cmocka_unit_test(a_length_is_bounded),
        cmocka_unit_test(a_revision_is_effective_when_all_have_passed),
        cmocka_unit_test(beside_another_backend_both_must_have_done_it),
        cmocka_unit_test(who_speaks_out_of_turn_is_not_heard),
        cmocka_unit_test(a_module_carries_from_when_it_passed_until_something_is_amiss),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
