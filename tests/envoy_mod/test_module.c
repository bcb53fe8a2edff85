/* SPDX-License-Identifier: Apache-2.0
 * libmpol_envoy.so inside real Envoys: the one that $MPOL_ENVOY or the build folder names, and
 * all that lie beside it as envoy-VERSION.
 */
#include <glob.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../loopback/folder.h"
#include "bed.h"
#include "plane.h"

#define POLICY                                                                                     \
    "mpol 1\nuse std.mesh\n"                                                                       \
    "rule no_admin when request.path starts with \"/admin\" then deny request\n"                   \
    "rule no_tool when request.headers[\"x-tool\"] == \"nikto\" then deny request "                \
    "with status = 418\n"                                                                          \
    "rule slow_down when request.path starts with \"/slow\" per client max 100 "                   \
    "then throttle request "                                                                       \
    "to 1/h with burst = 2\n"                                                                      \
    "rule errors when error_rate > 50% per instance then quarantine instance\n"                    \
    "never deny request where request.path == \"/admin/health\"\n"

static const char *envoy, *modules;
static struct bed_service *service;
static char socket_path[108], state_path[108];

/* ---- one bed a test ---- */

struct setting {
    struct plane *plane;
    struct bed bed;
    struct bed_client client;
};

static struct bed_options options(void)
{
    return (struct bed_options){.envoy = envoy,
                                .modules = modules,
                                .filter = BED_MODULE,
                                .logger = true,
                                .layer = "service",
                                .socket = socket_path,
                                .service_port = bed_service_port(service)};
}

static void set_up(struct setting *s, const struct bed_options *o)
{
    s->plane = plane_start(socket_path);
    s->client = (struct bed_client){.fd = -1, .from = "127.0.0.1"};
    assert_true(bed_start(&s->bed, o));
    s->client.port = s->bed.port;
    assert_true(plane_wait_connected(s->plane));
}

static void tear_down(struct setting *s)
{
    bed_disconnect(&s->client);
    bed_stop(&s->bed);
    if (s->plane != NULL) plane_kill(s->plane);
}

static int get(struct setting *s, const char *path) { return bed_get(&s->client, path, ""); }

static int get_from(struct setting *s, const char *from, const char *path)
{
    struct bed_client c = {.fd = -1, .from = from, .port = s->bed.port};
    int status = bed_get(&c, path, "");
    bed_disconnect(&c);
    return status;
}

static void enforce(struct setting *s, const char *policy)
{
    assert_true(plane_wait_program(s->plane, plane_policy(s->plane, policy)));
}

/* ---- tests ---- */

static void inline_rules_answer_with_their_name(void **state)
{
    (void)state;
    struct setting s;
    struct bed_options o = options();
    set_up(&s, &o);
    assert_int_equal(get(&s, "/admin/users"), 200); /* nothing is known yet */
    enforce(&s, POLICY);
    assert_int_equal(get(&s, "/admin/users"), 403);
    assert_int_equal(get(&s, "/%61dmin//users"), 403); /* canonical before it is asked about */
    assert_int_equal(get(&s, "/admin/health"), 200);   /* the guard */
    assert_int_equal(get(&s, "/"), 200);
    assert_int_equal(bed_get(&s.client, "/x", "x-tool: nikto\r\n"), 418);
    assert_true(bed_logged(&s.bed, "403 mpol:no_admin /admin/users"));
    assert_true(bed_logged(&s.bed, "418 mpol:no_tool /x"));
    tear_down(&s);
}

static void a_rate_is_held_for_each_client(void **state)
{
    (void)state;
    struct setting s;
    struct bed_options o = options();
    set_up(&s, &o);
    enforce(&s, POLICY);
    assert_int_equal(get(&s, "/slow"), 200);
    assert_int_equal(get(&s, "/slow"), 200);
    assert_int_equal(get(&s, "/slow"), 429);
    const char *again = strstr(s.client.reply, "retry-after: ");
    assert_non_null(again);
    assert_in_range(strtol(again + strlen("retry-after: "), NULL, 10), 1, 3600);
    assert_int_equal(get_from(&s, "127.0.0.2", "/slow"), 200);
    assert_true(bed_logged(&s.bed, "429 mpol:slow_down /slow"));
    tear_down(&s);
}

static void every_request_is_a_record(void **state)
{
    (void)state;
    struct setting s;
    struct bed_options o = options();
    set_up(&s, &o);
    enforce(&s, POLICY);
    assert_int_equal(get_from(&s, "127.0.0.7", "/up?a=1"), 200);
    assert_true(plane_wait_record(s.plane, "\"client.ip\":\"127.0.0.7\"", "\"status\":200",
                                  "\"path\":\"/up\"", "\"time\":1", NULL));
    assert_int_equal(get_from(&s, "127.0.0.8", "/admin"), 403);
    assert_true(plane_wait_record(s.plane, "\"client.ip\":\"127.0.0.8\"", "\"status\":403",
                                  "\"refused_by\":\"no_admin\"", NULL));
    struct mp_fleet_info info = plane_info(s.plane);
    assert_int_equal(info.workers, 1);
    tear_down(&s);
}

static void a_lease_refuses_and_is_lifted(void **state)
{
    (void)state;
    struct setting s;
    struct bed_options o = options();
    struct mpol_lease leases[] = {plane_lease(1, "deny", "client", "ip", "127.0.0.2"),
                                  plane_lease(2, "quarantine", "service", "string", "checkout"),
                                  plane_lease(3, "exempt", "client", "ip", "127.0.0.3")};
    set_up(&s, &o);
    enforce(&s, POLICY);
    assert_int_equal(get_from(&s, "127.0.0.2", "/up"), 200);
    assert_true(plane_wait_effective(s.plane, plane_leases(s.plane, leases, 1)));
    assert_int_equal(get_from(&s, "127.0.0.2", "/up"), 403);
    assert_int_equal(get(&s, "/up"), 200);
    assert_true(bed_logged(&s.bed, "403 mpol:a_rule /up"));

    assert_true(plane_wait_effective(s.plane, plane_leases(s.plane, leases, 3)));
    assert_int_equal(get(&s, "/up"), 403);
    assert_int_equal(get_from(&s, "127.0.0.3", "/up"), 200);
    assert_int_equal(get(&s, "/.mpol/probe"), 200); /* not ours to answer */

    assert_true(plane_wait_effective(s.plane, plane_leases(s.plane, NULL, 0)));
    assert_int_equal(get(&s, "/up"), 200);
    assert_int_equal(get_from(&s, "127.0.0.2", "/up"), 200);
    tear_down(&s);
}

static void an_open_stream_is_cut(void **state)
{
    (void)state;
    struct setting s;
    struct bed_options o = options();
    struct mpol_lease deny = plane_lease(1, "deny", "client", "ip", "127.0.0.5");
    set_up(&s, &o);
    enforce(&s, POLICY);
    struct bed_client bad = {.fd = -1, .from = "127.0.0.5"}, good = {.fd = -1, .from = "127.0.0.6"};
    assert_true(bed_connect(&bad, "127.0.0.5", s.bed.port));
    assert_true(bed_connect(&good, "127.0.0.6", s.bed.port));
    assert_int_equal(bed_stream(&good, "/stream"), 200);
    assert_int_equal(bed_stream(&bad, "/stream"), 200);
    assert_true(bed_stream_goes_on(&bad));

    int64_t began = bed_now_ns();
    assert_true(plane_wait_effective(s.plane, plane_leases(s.plane, &deny, 1)));
    int64_t effective = bed_now_ns();
    while (bed_stream_goes_on(&bad)) {
        assert_true(bed_now_ns() - began < BED_WAIT_NS);
    }
    printf("effective after %lld us, seen cut after %lld us\n",
           (long long)(effective - began) / 1000, (long long)(bed_now_ns() - began) / 1000);
    for (int i = 0; i < 20; i++) assert_true(bed_stream_goes_on(&good));
    assert_true(plane_wait_record(s.plane, "\"client.ip\":\"127.0.0.5\"",
                                  "\"refused_by\":\"a_rule\"", NULL));
    bed_disconnect(&bad);
    bed_disconnect(&good);
    tear_down(&s);
}

static void wait_until_cut(struct bed_client *c)
{
    int64_t until = bed_now_ns() + BED_WAIT_NS;
    while (bed_stream_goes_on(c)) assert_true(bed_now_ns() < until);
}

static void goes_on(struct bed_client *c)
{
    for (int i = 0; i < 20; i++) assert_true(bed_stream_goes_on(c));
}

static void open_stream(struct setting *s, struct bed_client *c, const char *from)
{
    *c = (struct bed_client){.fd = -1, .from = from};
    assert_true(bed_connect(c, from, s->bed.port));
    assert_int_equal(bed_stream(c, "/stream"), 200);
    assert_true(bed_stream_goes_on(c));
}

static void a_cut_leaves_alone_what_begins_after(void **state)
{
    (void)state;
    struct setting s;
    struct bed_options o = options();
    struct bed_client bad, good, again;
    set_up(&s, &o);
    enforce(&s, POLICY);
    open_stream(&s, &bad, "127.0.0.5");
    open_stream(&s, &good, "127.0.0.6");
    struct mpol_lease cut = plane_lease(1, "cut", "client", "ip", "127.0.0.5");
    assert_true(plane_wait_effective(s.plane, plane_leases(s.plane, &cut, 1)));
    wait_until_cut(&bad);
    goes_on(&good);
    assert_true(plane_wait_record(s.plane, "\"client.ip\":\"127.0.0.5\"",
                                  "\"refused_by\":\"a_rule\"", NULL));

    open_stream(&s, &again, "127.0.0.5"); /* the lease is in force */
    assert_true(plane_wait_effective(s.plane, plane_leases(s.plane, &cut, 1)));
    goes_on(&again);
    struct mpol_lease both[] = {cut, plane_lease(2, "deny", "client", "ip", "127.0.0.5")};
    assert_true(plane_wait_effective(s.plane, plane_leases(s.plane, both, 2)));
    wait_until_cut(&again);
    assert_int_equal(get_from(&s, "127.0.0.5", "/up"), 403);
    goes_on(&good);
    bed_disconnect(&bad);
    bed_disconnect(&good);
    bed_disconnect(&again);
    tear_down(&s);
}

#define PROTECTED(path)                                                                            \
    "mpol 1\nuse std.mesh\nnever deny request where request.path == \"" path "\"\n"

/* The path of an open stream can still be read, long after its headers have gone on. */
static void a_guard_holds_for_an_open_stream(void **state)
{
    (void)state;
    struct setting s;
    struct bed_options o = options();
    struct bed_client c;
    set_up(&s, &o);
    enforce(&s, PROTECTED("/stream"));
    open_stream(&s, &c, "127.0.0.5");
    struct mpol_lease leases[] = {plane_lease(1, "cut", "client", "ip", "127.0.0.5"),
                                  plane_lease(2, "deny", "client", "ip", "127.0.0.5")};
    assert_true(plane_wait_effective(s.plane, plane_leases(s.plane, leases, 2)));
    goes_on(&c);
    assert_int_equal(get_from(&s, "127.0.0.5", "/up"), 403);
    enforce(&s, PROTECTED("/up"));
    wait_until_cut(&c);
    bed_disconnect(&c);
    tear_down(&s);
}

/* ---- swap under load ---- */

struct load {
    int port;
    const char *from;
    _Atomic bool stop;
    _Atomic uint64_t asked, wrong;
};

/* /a and /b may each be refused or not, as programs come; nothing else ever happens to them,
 * /never is always refused and /free never. */
static void *ask_on(void *arg)
{
    struct load *l = arg;
    struct bed_client c = {.fd = -1, .from = l->from, .port = l->port};
    while (!atomic_load(&l->stop)) {
        int a = bed_get(&c, "/a", ""), b = bed_get(&c, "/b", "");
        int never = bed_get(&c, "/never", ""), free_of_it = bed_get(&c, "/free", "");
        bool ok =
            (a == 200 || a == 403) && (b == 200 || b == 403) && never == 403 && free_of_it == 200;
        atomic_fetch_add(&l->asked, 4);
        if (!ok) atomic_fetch_add(&l->wrong, 1);
    }
    bed_disconnect(&c);
    return NULL;
}

#define SWAP(path)                                                                                 \
    "mpol 1\nuse std.mesh\nrule n when request.path == \"/never\" then deny request\n"             \
    "rule r when request.path == \"" path "\" then deny request\n"

static void programs_are_swapped_under_load(void **state)
{
    (void)state;
    struct setting s;
    struct bed_options o = options();
    o.concurrency = 2;
    set_up(&s, &o);
    enforce(&s, SWAP("/a"));
    struct load loads[2] = {{.port = s.bed.port, .from = "127.0.0.11"},
                            {.port = s.bed.port, .from = "127.0.0.12"}};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_on, &loads[i]), 0);
    for (int i = 0; i < 40; i++) {
        enforce(&s, i % 2 == 0 ? SWAP("/b") : SWAP("/a"));
        /* What was effective before a request began is what it meets. */
        assert_int_equal(get(&s, i % 2 == 0 ? "/b" : "/a"), 403);
        assert_int_equal(get(&s, i % 2 == 0 ? "/a" : "/b"), 200);
    }
    for (int i = 0; i < 2; i++) {
        atomic_store(&loads[i].stop, true);
        pthread_join(threads[i], NULL);
        assert_int_equal(loads[i].wrong, 0);
        assert_true(loads[i].asked > 0);
    }
    printf("%llu requests over 40 programs\n",
           (unsigned long long)(loads[0].asked + loads[1].asked));
    tear_down(&s);
}

static void without_its_control_plane_it_goes_on_refusing(void **state)
{
    (void)state;
    struct setting s;
    struct bed_options o = options();
    struct mpol_lease deny = plane_lease(1, "deny", "client", "ip", "127.0.0.2");
    set_up(&s, &o);
    enforce(&s, POLICY);
    assert_true(plane_wait_effective(s.plane, plane_leases(s.plane, &deny, 1)));
    plane_kill(s.plane);
    for (int i = 0; i < 200; i++) {
        assert_int_equal(get_from(&s, "127.0.0.2", "/up"), 403);
        assert_int_equal(get(&s, "/admin"), 403);
    }
    s.plane = plane_start(socket_path);
    int64_t began = bed_now_ns();
    assert_true(plane_wait_connected(s.plane));
    printf("connected again %lld ms after the control plane was there\n",
           (long long)(bed_now_ns() - began) / 1000000);
    assert_int_equal(get_from(&s, "127.0.0.2", "/up"), 403); /* until it is told otherwise */
    assert_true(plane_wait_effective(s.plane, plane_leases(s.plane, NULL, 0)));
    assert_int_equal(get_from(&s, "127.0.0.2", "/up"), 200);
    assert_int_equal(get(&s, "/admin"), 403);
    tear_down(&s);
}

static void a_bad_image_is_refused_and_the_old_one_stays(void **state)
{
    (void)state;
    struct setting s;
    struct bed_options o = options();
    set_up(&s, &o);
    enforce(&s, POLICY);
    mp_str image = plane_compile(POLICY);
    char *bytes = (char *)(uintptr_t)image.ptr;
    bytes[image.len / 2] ^= 0x5a;
    plane_image(s.plane, (mp_str){bytes, image.len / 2});
    assert_true(plane_wait_trouble(s.plane, "program refused"));
    assert_int_equal(get(&s, "/admin"), 403);
    plane_image(s.plane, MP_STR("no image at all"));
    assert_true(plane_wait_trouble(s.plane, "program refused"));
    assert_int_equal(get(&s, "/admin"), 403);
    free(bytes);
    enforce(&s, SWAP("/a"));
    assert_int_equal(get(&s, "/admin"), 200);
    tear_down(&s);
}

static void what_was_in_force_outlives_the_proxy(void **state)
{
    (void)state;
    struct setting s;
    struct bed_options o = options();
    struct mpol_lease deny = plane_lease(1, "deny", "client", "ip", "127.0.0.2");
    o.state = state_path;
    unlink(state_path);
    set_up(&s, &o);
    enforce(&s, POLICY);
    assert_true(plane_wait_effective(s.plane, plane_leases(s.plane, &deny, 1)));
    tear_down(&s); /* no control plane any more */
    s.plane = NULL;
    assert_true(bed_start(&s.bed, &o));
    s.client.port = s.bed.port;
    assert_int_equal(get(&s, "/admin"), 403); /* the first request */
    assert_int_equal(get_from(&s, "127.0.0.2", "/up"), 403);
    assert_int_equal(get(&s, "/up"), 200);
    tear_down(&s);
    unlink(state_path);
}

static void a_configuration_is_only_looked_at(void **state)
{
    (void)state;
    struct bed_options o = options();
    struct plane *p = plane_start(socket_path);
    assert_int_equal(bed_validate(&o), 0);
    assert_int_equal(plane_info(p).workers, 0); /* nobody has come */
    o.layer = "nowhere";
    assert_int_not_equal(bed_validate(&o), 0);
    plane_kill(p);
}

/* ---- all of them ---- */

static int all(const char *program)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inline_rules_answer_with_their_name),
        cmocka_unit_test(a_rate_is_held_for_each_client),
        cmocka_unit_test(every_request_is_a_record),
        cmocka_unit_test(a_lease_refuses_and_is_lifted),
        cmocka_unit_test(an_open_stream_is_cut),
        cmocka_unit_test(a_cut_leaves_alone_what_begins_after),
        cmocka_unit_test(a_guard_holds_for_an_open_stream),
        cmocka_unit_test(programs_are_swapped_under_load),
        cmocka_unit_test(without_its_control_plane_it_goes_on_refusing),
        cmocka_unit_test(a_bad_image_is_refused_and_the_old_one_stays),
        cmocka_unit_test(what_was_in_force_outlives_the_proxy),
        cmocka_unit_test(a_configuration_is_only_looked_at),
    };
    envoy = program;
    printf("%s\n", program);
    return cmocka_run_group_tests_name(program, tests, NULL, NULL);
}

static void one(const char *program, int *tried, int *failed)
{
    if (access(program, X_OK) != 0 || !bed_loads_modules(program)) return;
    ++*tried;
    *failed += all(program);
}

static void all_beside(const char *program, int *tried, int *failed)
{
    char pattern[1100];
    glob_t found;
    one(program, tried, failed);
    snprintf(pattern, sizeof pattern, "%s-*", program);
    if (glob(pattern, 0, NULL, &found) != 0) return;
    for (size_t i = 0; i < found.gl_pathc; i++) one(found.gl_pathv[i], tried, failed);
    globfree(&found);
}

int main(int argc, char **argv)
{
    char program[1024];
    const char *named = getenv("MPOL_ENVOY"), *folder = getenv("MPOL_BINARY_DIR");
    snprintf(program, sizeof program, "%s/envoy/envoy", folder != NULL ? folder : ".");
    if (named != NULL && named[0] != '\0') snprintf(program, sizeof program, "%s", named);
    modules = argc > 1 ? argv[1] : ".";
    if (access(program, X_OK) != 0) {
        printf("left out: there is no Envoy (%s)\n", program);
        return 77;
    }
    snprintf(socket_path, sizeof socket_path, "%s/mpol-module-%d.sock", tmp_folder(),
             (int)getpid());
    snprintf(state_path, sizeof state_path, "%s/mpol-module-%d.bin", tmp_folder(), (int)getpid());
    service = bed_service_start();
    int tried = 0, failed = 0;
    all_beside(program, &tried, &failed);
    bed_service_stop(service);
    unlink(socket_path);
    return failed > 0 ? 1 : tried == 0 ? 77 : 0;
}
