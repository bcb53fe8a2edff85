/* SPDX-License-Identifier: Apache-2.0
 * Random policies: each is refused with messages or becomes an image that loads; nothing else
 * happens.
 *
 *   test_unit_lower_random [SEED [COUNT]]     replays; a seed is printed with every failure
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/hash.h"
#include "driver/driver.h"
#include "os/std.h"

/* ---- a grammar of sentences: `$x` in a text is one of the texts of x, chosen at random ---- */

static const char *const grammar[][12] = {
    {"dur", "5s", "10s", "30s", "1m", "2m", "1h", "250ms"},
    {"op", ">", "<", ">=", "<=", "==", "!="},
    {"text", "method", "path", "host", "user", "query", "headers[\"x-a\"]", "args[\"id\"]",
     "principal"},
    {"rec", "$text like \"/a*\"", "$text == \"GET\"", "$text in words", "$text is absent",
     "$text matches \"^a.c\"", "status in 5xx", "latency > $ldur", "bytes_in > $lsize",
     "mtls is false", "$rec2", "$rec3"},
    {"rec2", "attack_score $op $lint", "peer in admins", "peer.namespace == \"ops\"",
     "claims[\"g\"] contains \"x\"", "success", "client.ip in nets", "svc.tier is batch",
     "instance.zone == \"a\"", "status in bads", "caller.tier is batch"},
    {"rec3", "($rec and $rec)", "($rec or $rec)", "not ($rec)", "(bot_score default 0) > 3",
     "number(headers[\"cost\"]) > 3", "length($text) > 5", "lower($text) == \"abc\"",
     "points(success, 5) + points(mtls, 3) > 4", "status >= 400", "tier of \"web\" is batch"},
    {"lint", "3", "17", "lim", "0"},
    {"lpct", "5%", "60%", "half", "0.5%"},
    {"ldur", "10ms", "1s", "slow", "5m"},
    {"lrate", "5/s", "100/min"},
    {"lsize", "5MiB", "10KiB"},
    {"int", "count(requests where $rec) over $dur", "count(requests) over $dur",
     "distinct(requests.$text) over $dur", "count(instances of svc where cpu > $lpct)",
     "count(svc.callers)", "count(m of svc.callers where error_rate > $lpct)", "hits(503, $dur)",
     "sum(requests.attack_score where $rec) over $dur"},
    {"pct", "error_rate", "error_rate over $dur", "ratio(requests where $rec) over $dur", "mine",
     "error_rate of svc.callers", "error_rate of \"web\"",
     "(ratio(requests where $rec) over "
     "$dur) of svc.callers",
     "max(cpu) over $dur", "(error_rate default 0%)", "2 * (error_rate)", "abs($pct)"},
    {"time", "p99_latency", "p99(requests.latency where $rec) over $dur",
     "avg(requests.latency) "
     "over $dur",
     "cert_expires_in", "(p99_latency default 0s)", "1.5x ($time)", "($time) / 2",
     "($time) + "
     "$ldur"},
    {"per_s", "rate(requests where $rec) over $dur", "request_rate", "request_rate of svc",
     "2 * ($per_s)"},
    {"cmp", "$int $op $lint", "$pct $op $lpct", "$time $op $ldur", "$per_s $op $lrate",
     "$pct $op $pct", "$int $op $int", "$pct in 1%..50%", "clamp($pct, 1%, 50%) > $lpct",
     "blend > 0.5", "sum(requests.bytes_out) over $dur > $lsize", "$ask"},
    {"ask", "svc.tier is batch", "svc in core", "requests is stale", "$pct is known",
     "$time is absent", "$int is absent", "svc.callers contains \"web\"", "svc.candidate is absent",
     "error_rate is "
     "stale"},
    {"when", "$cmp", "$cmp", "($when and $when)", "($when or $when)", "not ($when)",
     "($cmp for "
     "$dur)"},
    {"check", "$cmp", "$pct < 1.5x at_trigger(error_rate)"},
    {"act", "notify \"{svc} {error_rate} {$int}\"", "notify \"x\""},
    {"lease", "throttle svc to 50% for 5m", "quarantine svc for 10m", "throttle svc to 10/s for 5m",
     "route svc to \"other\" for 10m", "cap svc to 5 for 5m"},
    {"ladder", "then $lease verify $check for 5s within 2m settle 1s else rollback and page \"x\"",
     "then $lease and notify \"{svc}\"", "then $act", "then $lease until $check for 1m cooldown 5m",
     "then $lease verify $check for 5s within 2m harm $check else quarantine svc for 15m"},
    {"keys", "svc", "svc, instance.zone max 1k"},
    {"inline", "deny request", "deny request and notify \"{request.path}\"",
     "throttle request "
     "to 100/min",
     "allow request", "challenge request", "audit request"},
    {"early", "request.path like \"/a*\"", "request.mtls is false", "client.ip in nets",
     "svc.tier is batch", "request.method == \"GET\"", "($early and $early)", "($early or $early)",
     "request.peer in "
     "admins",
     "request.headers[\"x\"] == \"y\"", "error_rate of request.caller > $lpct"},
    {"rule", "when $when for $dur per $keys $ladder", "when $when per $keys unless $cmp $ladder",
     "at edge when $early then $inline", "when $early unless $early then $inline",
     "when count(requests where $rec) over $dur > $lint per client.ip max 5k then deny client.ip "
     "for 10m",
     "when ratio(logins where not ok) over $dur > 50% per logins.user max 5k then notify "
     "\"{logins.user}\"",
     "when seen(requests where $rec) per svc then $act"},
};

#define GRAMMAR_COUNT (sizeof grammar / sizeof *grammar)
#define ALTERNATIVES (sizeof *grammar / sizeof **grammar)

static const char preamble[] =
    "use std.mesh\n"
    "list words = [ \"alpha\", \"beta\" ]\n"
    "list admins: identity = [ spiffe://a/ns/*, spiffe://b/ns/c/sa/d ]\n"
    "list nets: cidr = [ 10.0.0.0/8, 2001:db8::/32, 192.0.2.7 ]\n"
    "list core: service = [ \"dns\", \"gateway\" ]\n"
    "list bads: status = [ 5xx, 429 ]\n"
    "param lim: int = 5 in 1..50\n"
    "param half: percent = 50%\n"
    "param slow: duration = 750ms in 100ms..5s\n"
    "@min_samples 5\n"
    "def mine per service: percent = ratio(requests where not success) over 30s\n"
    "def hits(code: status, w: duration) per service: int = count(requests where status == code) "
    "over w\n"
    "def blend per service: score = 0.5 * (error_rate default 0%) + 10%\n";

struct writer {
    char text[65536];
    size_t len;
    uint64_t rng;
};

static void write_text(struct writer *w, const char *text, int depth);

static void write_one(struct writer *w, const char *name, size_t len, int depth)
{
    for (size_t g = 0; g < GRAMMAR_COUNT; g++) {
        if (strlen(grammar[g][0]) != len || memcmp(grammar[g][0], name, len) != 0) continue;
        uint32_t n = 1;
        while (n < ALTERNATIVES && grammar[g][n] != NULL) n++;
        /* LIMIT: deep in, the first alternatives of each row end. */
        uint32_t pick = depth > 6 ? 1 : 1 + (uint32_t)(mp_rng_next(&w->rng) % (n - 1));
        write_text(w, grammar[g][pick], depth + 1);
        return;
    }
    fail_msg("no row for %.*s", (int)len, name);
}

static void write_text(struct writer *w, const char *text, int depth)
{
    while (*text != '\0') {
        if (*text != '$') {
            assert_true(w->len + 2 < sizeof w->text);
            w->text[w->len++] = *text++;
            continue;
        }
        size_t len = 1;
        while ((text[len] >= 'a' && text[len] <= 'z') || text[len] == '_' ||
               (text[len] >= '0' && text[len] <= '9')) {
            len++;
        }
        write_one(w, text + 1, len - 1, depth);
        text += len;
    }
}

static void write_policy(struct writer *w, uint64_t seed)
{
    w->rng = seed * 0x9e3779b97f4a7c15u + 1;
    memcpy(w->text, preamble, sizeof preamble - 1);
    w->len = sizeof preamble - 1;
    uint32_t rules = 1 + (uint32_t)(mp_rng_next(&w->rng) % 3);
    for (uint32_t i = 0; i < rules; i++) {
        w->len += (size_t)snprintf(w->text + w->len, 32, "rule r%u ", i);
        write_text(w, "$rule\n", 0);
    }
}

static uint64_t first_seed = 1, seed_count = 200;

static void a_random_policy_is_refused_or_loads(void **state)
{
    (void)state;
    static struct writer w;
    struct mp_os os;
    mp_std_os(&os);
    uint64_t loaded = 0;
    for (uint64_t seed = first_seed; seed < first_seed + seed_count; seed++) {
        write_policy(&w, seed);
        struct mp_compile_text text = {MP_STR("random.mpol"), {w.text, w.len}, MP_CHECK_GIVEN};
        struct mp_compile_options options = {
            .goal = MP_COMPILE_IMAGE, .os = &os, .with_tests = seed % 2 == 0};
        struct mp_compilation *c = NULL;
        enum mp_err err = mp_compile(&text, 1, &options, &c);
        if (err != MP_OK) {
            fail_msg("seed %llu: %s\n%.*s", (unsigned long long)seed,
                     c == NULL ? mp_err_text(err) : mp_compilation_fault(c), (int)w.len, w.text);
        }
        mp_str image = mp_compilation_image(c);
        if (mp_compilation_errors(c) == 0) {
            struct mp_program *p = NULL;
            const char *why = "";
            err = mp_program_load(image.ptr, image.len, &os, &p, &why);
            if (err != MP_OK) fail_msg("seed %llu: %s", (unsigned long long)seed, why);
            mp_program_free(p);
            loaded++;
        }
        mp_compilation_free(c);
    }
    print_message("%llu of %llu policies are right\n", (unsigned long long)loaded,
                  (unsigned long long)seed_count);
    assert_true(seed_count < 100 || loaded * 3 > seed_count);
}

int main(int argc, char **argv)
{
    if (argc > 1) first_seed = strtoull(argv[1], NULL, 10);
    if (argc > 2) seed_count = strtoull(argv[2], NULL, 10);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_random_policy_is_refused_or_loads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
