/* SPDX-License-Identifier: Apache-2.0
 * The fleet before another backend: who is told what, and what waits for a module.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "envoy_mod/fleet.h"

/* ---- the backend behind ---- */

static char told[256]; /* verbs of the last set, with the number of their arguments */

static enum mpol_err inner_apply(void *backend, const struct mpol_desired *set)
{
    size_t at = 0;
    told[0] = '\0';
    for (size_t i = 0; i < set->lease_count; i++) {
        const struct mpol_lease *l = &set->leases[i];
        at += (size_t)snprintf(told + at, sizeof told - at, "%.*s %u; ", (int)l->verb.len,
                               l->verb.ptr, l->arg_count);
    }
    *(uint64_t *)backend = set->revision;
    return MPOL_OK;
}

static enum mpol_err inner_progress(void *backend, struct mpol_progress *out)
{
    out->accepted = out->effective = *(uint64_t *)backend;
    return MPOL_OK;
}

static bool has_status(const struct mpol_lease *l)
{
    for (uint32_t i = 0; i < l->arg_count; i++) {
        if (memcmp(l->args[i].name.ptr, "status", 6) == 0) return true;
    }
    return false;
}

static enum mpol_err inner_check(void *backend, const struct mpol_lease *l, char *why, size_t size)
{
    (void)backend;
    if (!has_status(l)) return MPOL_OK;
    snprintf(why, size, "403 and nothing else");
    return MPOL_EUNSUPPORTED;
}

static enum mpol_err inner_carries(void *backend, const struct mpol_lease *l, char *why,
                                   size_t size)
{
    (void)backend;
    if (!has_status(l)) return MPOL_OK;
    snprintf(why, size, "it must not be asked with a status");
    return MPOL_EIO;
}

static const struct mpol_capability rows[] = {{"deny", "client", MPOL_ANY_LAYER, 0}};
static const struct mpol_backend_ops inner = {.size = sizeof inner, .name = "behind",
                                              .capabilities = rows, .capability_count = 1,
                                              .apply = inner_apply, .progress = inner_progress,
                                              .check = inner_check, .carries = inner_carries};

/* ---- the fleet ---- */

static uint64_t inner_revision;
static struct mp_fleet *fleet;
static int64_t clock_ns;

static void on_send(void *ctx, void *connection, mp_str bytes)
{
    (void)ctx;
    (void)connection;
    (void)bytes;
}

static int64_t on_now(void *ctx)
{
    (void)ctx;
    return clock_ns;
}

static void open_fleet(void)
{
    struct mp_fleet_host host = {.send = on_send, .now_ns = on_now};
    clock_ns = 1;
    inner_revision = 0;
    assert_int_equal(mp_fleet_create(&host, &inner, &inner_revision, &fleet), MP_OK);
}

static void say(struct mp_fleet_peer *p, struct mp_frame_out *out)
{
    assert_true(mp_fleet_take(p, (mp_str){out->ptr, out->len}));
    mp_frame_out_free(out);
}

static struct mp_fleet_peer *join(const char *layer, const char *service)
{
    struct mp_fleet_peer *p = mp_fleet_open(fleet, NULL);
    struct mp_frame_out out = {0};
    struct mp_frame_hello hello = {.protocol = MP_FRAME_PROTOCOL, .workers = 1,
                                   .layer = mp_str_of(layer), .service = mp_str_of(service),
                                   .instance = MP_STR("one"), .version = MP_STR("1")};
    mp_frame_put_hello(&out, &hello);
    say(p, &out);
    return p;
}

static void obey(struct mp_fleet_peer *p, uint64_t revision)
{
    struct mp_frame_out out = {0};
    struct mp_frame_taken taken = {.what = MP_FRAME_LEASES, .revision = revision};
    mp_frame_put_taken(&out, &taken);
    size_t began = mp_frame_begin(&out, MP_FRAME_PASSED);
    mp_frame_put_u8(&out, MP_FRAME_LEASES);
    mp_frame_put_u64(&out, revision);
    mp_frame_end(&out, began);
    say(p, &out);
}

static void refuse_program(struct mp_fleet_peer *p)
{
    struct mp_frame_out out = {0};
    struct mp_frame_taken taken = {.what = MP_FRAME_PROGRAM, .revision = 1, .err = MP_ECORRUPT,
                                   .why = MP_STR("no image")};
    mp_frame_put_taken(&out, &taken);
    say(p, &out);
}

static struct mpol_lease lease(uint64_t id, const char *verb, const char *kind, const char *key)
{
    return (struct mpol_lease){.size = sizeof(struct mpol_lease), .id = id, .rule = mpol_text("r"),
                               .verb = mpol_text(verb), .target_kind = mpol_text(kind),
                               .target_type = mpol_text("string"), .target = mpol_text(key),
                               .hooks = MPOL_SERVICE, .begins_wall_ns = 7};
}

static void apply(uint64_t revision, const struct mpol_lease *leases, size_t count)
{
    struct mpol_desired set = {.size = sizeof set, .revision = revision, .owner = mpol_text("o"),
                               .leases = leases, .lease_count = count};
    assert_int_equal(mp_fleet_ops(fleet)->apply(fleet, &set), MPOL_OK);
}

static struct mpol_progress progress(void)
{
    struct mpol_progress p = {.size = sizeof p};
    assert_int_equal(mp_fleet_ops(fleet)->progress(fleet, &p), MPOL_OK);
    return p;
}

/* ---- tests ---- */

static void a_cut_waits_for_a_module_that_it_concerns(void **state)
{
    (void)state;
    open_fleet();
    struct mpol_lease leases[] = {lease(1, "deny", "client", "10.0.0.1"),
                                  lease(2, "cut", "service", "web")};
    apply(1, leases, 2);
    assert_string_equal(told, "deny 0; ");
    struct mpol_progress p = progress();
    assert_int_equal(p.effective, 1); /* the denial is */
    assert_int_equal(p.held_count, 1);
    assert_int_equal(p.held[0].lease, 2);
    assert_non_null(strstr(p.held[0].text.ptr, "no proxy with the module is connected"));

    struct mp_fleet_peer *other = join("service", "shop"), *edge = join("edge", "web");
    obey(other, 1);
    obey(edge, 1);
    assert_int_equal(progress().held_count, 1);
    struct mp_fleet_peer *web = join("service", "web");
    assert_int_equal(progress().held_count, 0);
    assert_int_equal(progress().effective, 0); /* not before it has looked at its streams */
    obey(web, 1);
    assert_int_equal(progress().effective, 1);
    char why[256] = "";
    struct mpol_lease pay = lease(3, "cut", "service", "pay");
    const struct mpol_backend_ops *ops = mp_fleet_ops(fleet);
    assert_int_equal(ops->carries(fleet, &leases[1], why, sizeof why), MPOL_OK);
    assert_int_not_equal(ops->carries(fleet, &pay, why, sizeof why), MPOL_OK);
    assert_non_null(strstr(why, "no proxy with the module is connected"));

    apply(2, leases, 2);
    clock_ns += MP_FLEET_SILENT_NS + 1; /* it hangs: nothing of it is known */
    assert_int_equal(progress().held_count, 1);
    apply(3, leases, 1);
    assert_int_equal(progress().held_count, 0);
    mp_fleet_destroy(fleet);
}

/* From the first thing that it does not answer on, and not anew from each. */
static void who_hangs_is_waited_for_once(void **state)
{
    (void)state;
    open_fleet();
    struct mpol_lease l = lease(1, "deny", "client", "10.0.0.1");
    struct mp_fleet_peer *web = join("service", "web");
    apply(1, &l, 1);
    obey(web, 1);
    assert_int_equal(progress().effective, 1);
    apply(2, &l, 1);
    clock_ns += MP_FLEET_SILENT_NS - 1;
    assert_int_equal(progress().effective, 1);
    apply(3, &l, 1);
    clock_ns += 2;
    assert_int_equal(progress().effective, 3);
    apply(4, &l, 1);
    assert_int_equal(progress().effective, 4);

    obey(web, 4); /* it wakes, and is waited for again */
    apply(5, &l, 1);
    assert_int_equal(progress().effective, 4);
    clock_ns += MP_FLEET_SILENT_NS - 1;
    obey(web, 5);
    apply(6, &l, 1);
    clock_ns += 2;
    assert_int_equal(progress().effective, 5);
    mp_fleet_destroy(fleet);
}

static void a_gateway_cuts_for_the_services_that_it_asks(void **state)
{
    (void)state;
    open_fleet();
    struct mpol_lease leases[] = {lease(1, "cut", "service", "web"),
                                  lease(2, "cut", "instance", "one"),
                                  lease(3, "cut", "identity", "spiffe://a/b")};
    for (int i = 0; i < 3; i++) leases[i].hooks = MPOL_INGRESS;
    apply(1, leases, 3);
    assert_int_equal(progress().held_count, 3);
    join("ingress", "gate");
    assert_int_equal(progress().held_count, 1);
    assert_int_equal(progress().held[0].lease, 2); /* no instance answers at a gateway */
    mp_fleet_destroy(fleet);
}

/* Without a program everything passes in a module, whatever set it has taken. */
static void a_module_without_a_program_carries_nothing(void **state)
{
    (void)state;
    struct mpol_lease cut = lease(1, "cut", "client", "10.0.0.1");
    open_fleet();
    assert_int_equal(mp_fleet_program(fleet, MP_STR("no image"), NULL, 0), MP_OK);
    struct mp_fleet_peer *p = join("service", "web");
    apply(1, &cut, 1);
    obey(p, 1);
    assert_int_equal(progress().held_count, 0);
    refuse_program(p);
    assert_int_equal(progress().held_count, 1);
    mp_fleet_destroy(fleet);

    struct mp_fleet_host host = {.send = on_send, .now_ns = on_now};
    assert_int_equal(mp_fleet_create(&host, NULL, NULL, &fleet), MP_OK); /* modules alone */
    assert_int_equal(mp_fleet_program(fleet, MP_STR("no image"), NULL, 0), MP_OK);
    p = join("service", "web");
    refuse_program(p);
    struct mpol_lease deny = lease(2, "quarantine", "service", "web");
    apply(1, &deny, 1);
    obey(p, 1);
    assert_int_equal(progress().effective, 0);
    assert_non_null(strstr(progress().trouble_text.ptr, "program refused: no image"));
    mp_fleet_destroy(fleet);
}

/* A proxy without the module answers what it can; the module says the status. */
static void a_status_is_for_modules(void **state)
{
    (void)state;
    open_fleet();
    struct mpol_arg args[] = {
        {.name = mpol_text("on"), .type = mpol_text("hook"), .text = mpol_text("service")},
        {.name = mpol_text("status"), .type = mpol_text("status"), .kind = MPOL_ARG_INT,
         .integer = 451}};
    struct mpol_lease deny = lease(1, "deny", "client", "10.0.0.1"),
                      cut = lease(2, "cut", "client", "10.0.0.1");
    char why[64] = "";
    deny.args = args;
    deny.arg_count = 2;
    assert_int_equal(inner.check(NULL, &deny, why, sizeof why), MPOL_EUNSUPPORTED);
    assert_int_equal(mp_fleet_ops(fleet)->check(fleet, &deny, why, sizeof why), MPOL_OK);
    assert_int_equal(mp_fleet_ops(fleet)->check(fleet, &cut, why, sizeof why), MPOL_OK);
    assert_int_equal(mp_fleet_ops(fleet)->carries(fleet, &deny, why, sizeof why), MPOL_OK);
    apply(1, &deny, 1);
    assert_string_equal(told, "deny 2; "); /* as it is: it holds it as it can */
    mp_fleet_destroy(fleet);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cut_waits_for_a_module_that_it_concerns),
        cmocka_unit_test(who_hangs_is_waited_for_once),
        cmocka_unit_test(a_gateway_cuts_for_the_services_that_it_asks),
        cmocka_unit_test(a_module_without_a_program_carries_nothing),
        cmocka_unit_test(a_status_is_for_modules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
