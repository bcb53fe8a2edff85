/* SPDX-License-Identifier: Apache-2.0
 * Decisions of an operator: leases like all others. What holds for a rule's lease holds for them,
 * and a program that never uses a verb carries it out all the same.
 */
#include "kept.h"
#include "loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define ERRORS \
    "use std.mesh\nrule errors when error_rate > 5% per svc then throttle svc to 50% for 1m\n"
#define FLOOD                                                                                      \
    "use std.mesh\ndef chatter per client: rate = rate(requests) over 10s\n"                       \
    "rule flood when chatter > 1/s per client then deny client for 1m\n"

/* ---- asking ---- */

static char *next_word(char **rest)
{
    char *word = *rest, *blank = strchr(word, ' ');
    if (blank != NULL) *blank = '\0';
    *rest = blank != NULL ? blank + 1 : NULL;
    return word;
}

/* `words`: VERB KIND=KEY [NAME=VALUE]..., by blanks. */
static struct mp_manual_answer say(struct loop *l, const char *words, bool look, bool wide)
{
    static char text[512];
    struct mp_note args[8];
    struct mp_manual ask = {.args = args,
                            .who = MP_STR("uid 7"),
                            .reason = MP_STR("a test"),
                            .look = look,
                            .wide = wide};
    struct mp_manual_answer answer;
    snprintf(text, sizeof text, "%s", words);
    char *rest = text;
    ask.verb = mp_str_of(next_word(&rest));
    ask.target = mp_str_of(rest != NULL ? next_word(&rest) : "");
    while (rest != NULL) {
        char *name = next_word(&rest), *value = strchr(name, '=');
        *value++ = '\0';
        args[ask.arg_count++] = (struct mp_note){mp_str_of(name), mp_str_of(value)};
    }
    mp_engine_decide(l->engine, &ask, &answer);
    return answer;
}

static uint64_t decided(struct loop *l, const char *words)
{
    struct mp_manual_answer a = say(l, words, false, false);
    if (a.how != MP_MANUAL_DONE) fail_msg("%s: %.*s", words, MP_STR_ARG(a.why));
    return a.lease;
}

static bool has(mp_str all, const char *part)
{
    char text[2048];
    assert_true(all.len < sizeof text);
    memcpy(text, all.ptr, all.len);
    text[all.len] = '\0';
    return strstr(text, part) != NULL;
}

static void withheld(struct loop *l, const char *words, const char *why)
{
    struct mp_manual_answer a = say(l, words, false, false);
    if (a.how != MP_MANUAL_WITHHELD || !has(a.why, why)) {
        fail_msg("%s: how %d, %.*s", words, (int)a.how, MP_STR_ARG(a.why));
    }
}

static bool fact_is(const struct mp_manual_answer *a, const char *name, const char *part)
{
    for (uint32_t i = 0; i < a->fact_count; i++) {
        if (mp_str_eq(a->facts[i].name, mp_str_of(name)) && has(a->facts[i].value, part))
            return true;
    }
    return false;
}

struct undone {
    uint32_t count;
    char next[512];
};

static void keep_next(void *ctx, const struct mp_undo_view *v)
{
    struct undone *u = ctx;
    u->count++;
    snprintf(u->next, sizeof u->next, "%.*s", MP_STR_ARG(v->next));
}

static struct undone taken_back(struct loop *l, const char *target, uint64_t lease)
{
    struct undone u = {0};
    mp_str why;
    struct mp_undo undo = {.target = mp_str_of(target), .lease = lease, .who = MP_STR("uid 7"),
                           .reason = MP_STR("enough")};
    uint32_t count = mp_engine_undo(l->engine, &undo, &u, keep_next, &why);
    assert_int_equal(count, u.count);
    if (why.len > 0) fail_msg("%.*s", MP_STR_ARG(why));
    return u;
}

static void comes_next(struct loop *l, const char *target, uint64_t lease, const char *what)
{
    struct undone u = taken_back(l, target, lease);
    if (strcmp(u.next, what) != 0) fail_msg("%s, not %s", u.next, what);
}

struct state {
    uint64_t id;
    bool found, in_force, manual;
    char word[32], who[64], reason[256];
    int64_t ends_ns;
};

static bool find_state(void *ctx, const struct mp_lease_view *v)
{
    struct state *s = ctx;
    if (v->lease->id != s->id) return true;
    s->found = true;
    s->in_force = v->in_force;
    s->manual = v->manual;
    s->ends_ns = v->ends_ns;
    snprintf(s->word, sizeof s->word, "%.*s", MP_STR_ARG(v->state));
    snprintf(s->who, sizeof s->who, "%.*s", MP_STR_ARG(v->who));
    snprintf(s->reason, sizeof s->reason, "%.*s", MP_STR_ARG(v->reason));
    return false;
}

static struct state state_of(struct loop *l, uint64_t lease)
{
    struct state s = {.id = lease};
    mp_engine_leases(l->engine, &s, find_state);
    return s;
}

static void is_in(struct loop *l, uint64_t lease, const char *word)
{
    struct state s = state_of(l, lease);
    if (!s.found || strcmp(s.word, word) != 0) missing(l, s.found ? s.word : "gone", word);
}

/* A request of a client passes where the inline rule allows it, or where that is passed over
 * because the client is exempt. */
static bool passes(struct loop *l, const char *client)
{
    char json[256];
    uint64_t before = (uint64_t)l->inline_done + mp_engine_rule_counts(l->engine, 0).withheld;
    snprintf(json, sizeof json,
             "{\"service\":\"checkout\",\"client\":{\"ip\":\"%s\"},\"path\":\"/x\",\"status\":200}",
             client);
    loop_line(l, json);
    return (uint64_t)l->inline_done + mp_engine_rule_counts(l->engine, 0).withheld > before;
}

#define SEES "use std.mesh\nrule sees when request.path == \"/x\" then allow request\n"

/* ---- like all others ---- */

static void it_lives_and_ends_like_a_lease_of_a_rule(void **state)
{
    (void)state;
    struct loop l;
    test_loop(&l, ERRORS);
    loop_at(&l, 10);
    uint64_t id = decided(&l, "quarantine service=web for=30s"); /* no rule ever quarantines */
    saw(&l, "10.000 incident manual web pending>open manual who=uid 7 reason=a test");
    saw(&l, "10.000 lease manual web quarantine web accepted>effective");
    saw(&l, "10.000 incident manual web open>holding");
    is_in(&l, id, "effective");
    struct state s = state_of(&l, id);
    assert_true(s.manual && s.in_force);
    assert_string_equal(s.who, "uid 7");
    assert_string_equal(s.reason, "a test");
    assert_int_equal(s.ends_ns, T0 + 40 * SEC);
    loop_at(&l, 39.9);
    saw_not(&l, "releasing");
    loop_at(&l, 41);
    saw(&l, "40.000 incident manual web holding>releasing expired");
    saw(&l, "40.000 lease manual web quarantine web withdrawing>withdrawn");
    saw(&l, "40.000 incident manual web cooldown>idle");
    assert_false(state_of(&l, id).found);
    loop_close(&l);
}

static void every_verb_of_the_vocabulary_can_be_said(void **state)
{
    (void)state;
    static const char *const words[] = {
        "deny client.ip=10.0.0.7", "deny client=10.0.0.8 on=ingress for=5m status=451",
        "deny identity=spiffe://shop/ns/web/sa/web on=edge", "deny client.asn=64500",
        "deny client.identity=spiffe://shop/x", "exempt client=10.0.0.9", "exempt svc=login",
        "quarantine instance=web-1", "throttle client=10.0.0.10 to=5/min burst=2",
        "throttle service=pay to=50% on=service", "cap service=pay to=10",
        "route service=pay to=v2 weight=20%", "require service=pay what=mtls",
        "challenge client=10.0.0.11 for=1h", "deny client.ip=2001:db8::1"};
    struct loop l;
    test_loop(&l, ERRORS);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        is_in(&l, decided(&l, words[i]), "effective");
    saw(&l, "deny 10.0.0.8 proposed>admitted on:ingress status:451 for:5m");
    saw(&l, "throttle 10.0.0.10 proposed>admitted to:5/min burst:2 for:5m");
    saw(&l, "require pay proposed>admitted what:mtls mode:strict for:1h");
    loop_close(&l);
}

struct hooks {
    const char *kind;
    uint32_t found;
};

static bool keep_hooks(void *ctx, const struct mp_lease_view *v)
{
    struct hooks *h = ctx;
    if (mp_str_eq(v->verb, mp_str_of(h->kind))) h->found = v->lease->hooks;
    return true;
}

static uint32_t hooks_of(struct loop *l, const char *verb)
{
    struct hooks h = {verb, 0};
    mp_engine_leases(l->engine, &h, keep_hooks);
    return h.found;
}

static void without_on_a_verb_holds_at_the_service_or_where_it_has_none_everywhere(void **state)
{
    (void)state;
    static const struct {
        const char *words, *verb;
        uint32_t hooks;
    } all[] = {
        {"quarantine instance=web-1", "quarantine", MP_LAYER_ALL},
        {"drain instance=web-2", "drain", MP_LAYER_ALL},
        {"route service=pay to=v2", "route", MP_LAYER_ALL},
        {"require service=pay what=mtls", "require", MP_LAYER_ALL},
        {"deny client=10.0.0.7", "deny", MP_LAYER_SERVICE},
        {"exempt client=10.0.0.8 on=edge", "exempt", MP_LAYER_EDGE},
    };
    struct loop l;
    test_loop(&l, ERRORS);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        decided(&l, all[i].words);
        assert_int_equal(hooks_of(&l, all[i].verb), all[i].hooks);
    }
    loop_close(&l);
}

static void what_a_rule_reads_bounds_no_verb_without_on(void **state)
{
    (void)state;
    struct loop l;
    test_loop(&l, "use std.mesh\n"
                    "rule sick at ingress when error_rate > 5% per svc then quarantine svc for 1m\n"
                    "rule flood at ingress when count(requests) over 10s > 3 per client\n"
                    "  then deny client for 1m\n");
    loop_traffic(&l, "web", "10.0.0.7", 0, 10, 5, 50);
    assert_int_equal(hooks_of(&l, "quarantine"), 0); /* those were records of sidecars */
    for (int i = 0; i < 60; i++) {
        loop_line(&l, "{\"signal\":\"requests\",\"layer\":\"ingress\",\"service\":\"web\","
                      "\"client\":\"10.0.0.7\",\"status\":503}");
    }
    assert_int_equal(hooks_of(&l, "quarantine"), MP_LAYER_ALL);
    assert_int_equal(hooks_of(&l, "deny"), MP_LAYER_INGRESS);
    loop_close(&l);
}

static void what_cannot_be_understood_is_told(void **state)
{
    (void)state;
    static const struct {
        const char *words, *why, *help;
    } bad[] = {
        {"dney client=1.2.3.4", "no action is called `dney`", "`deny`"},
        {"notify client=1.2.3.4", "leaves nothing in force", ""},
        {"refuse client=1.2.3.4", "leaves nothing in force", ""},
        {"deny", "`` is no target", "KIND=KEY"},
        {"deny 1.2.3.4", "`1.2.3.4` is no target", "KIND=KEY"},
        {"deny clinet=1.2.3.4", "nothing is called `clinet`", "`client`"},
        {"deny clent.ip=1.2.3.4", "nothing is called `clent.ip`", "`client.ip`"},
        {"deny service=web", "`deny` cannot be done to service", "it takes client, identity, asn"},
        {"deny client.country=DE", "no action is done to `client.country`", ""},
        {"deny client=1.2.3", "`1.2.3` is not an address", ""},
        {"deny client=", "`` is not an address", ""},
        {"deny identity=web", "`web` is not an identity", ""},
        {"deny asn=AS64500", "`AS64500` is not an AS number", ""},
        {"deny client=1.2.3.4 fro=5m", "`deny` takes no `fro`", "`for`"},
        {"deny client=1.2.3.4 zzzzzz=5m", "`deny` takes no `zzzzzz`",
         "it takes `on`, `status`, `for`"},
        {"deny client=1.2.3.4 target=5m", "`deny` takes no `target`", ""},
        {"deny client=1.2.3.4 for=1ms", "a second at least", "before the mesh has it"},
        {"deny client.ip", "`client.ip` is no target", "KIND=KEY"},
        {"deny client=1.2.3.4 for=5", "`for` takes a duration, not `5`", ""},
        {"deny client=1.2.3.4 for=-5m", "`for` takes a duration", ""},
        {"deny client=1.2.3.4 for=0s", "`for` takes a duration", ""},
        {"deny client=1.2.3.4 for=32d", "31 days at most", "policy"},
        {"deny client=1.2.3.4 on=ingres", "`on` takes a hook, not `ingres`",
         "ingress, service and edge"},
        {"deny client=1.2.3.4 status=200", "a status from 400 to 599", ""},
        {"deny client=1.2.3.4 status=600", "a status from 400 to 599", ""},
        {"deny client=1.2.3.4 status=-1", "`status` takes an int", ""},
        {"throttle client=1.2.3.4", "`throttle` needs `to`: a rate or a percent", ""},
        {"throttle client=1.2.3.4 to=150%", "`to` takes a rate or a percent", "from 0% to 100%"},
        {"route service=web to=v1 weight=150%", "`weight` takes a percent", "from 0% to 100%"},
        {"route service=web to=v1 weight=-5%", "`weight` takes a percent", "from 0% to 100%"},
        {"throttle client=10.0.0.10 to=5/s burst=0", "a burst is one request at least", "left out"},
        {"throttle service=web to=100%", "a share is less than 100%", "would do nothing"},
        {"drain instance=web-1 on=ingress", "`drain` takes no `on`", "it is done at every layer"},
        {"mirror service=web to=x weight=0%", "a weight is more than 0%", "would do nothing"},
        {"throttle client=1.2.3.4 to=fast", "`to` takes a rate or a percent", ""},
        {"require service=web what=mtls mode=strickt", "`mode` takes permissive or strict", ""},
        {"require service=web", "`require` needs `what`: mtls or jwt", ""},
        {"deny client=10.0.0.1/24", "the range is 10.0.0.0/24", ""},
        {"deny client=10.0.0.0/33", "is not an address", ""},
        {"deny client=::/0", "that is every address there is", "policy"},
        {"deny client=::ffff:0:0/96", "that is every address there is", "policy"},
        {"deny client=::/80", "that is every address there is", "policy"},
        {"deny client=::/1", "that is every address there is", "policy"},
        {"deny client=::ffff:128.0.0.0/97", "a /1 is wider than /8", "policy"},
        {"deny client=128.0.0.0/1", "a /1 is wider than /8", "policy"},
        {"deny client=2000::/3", "a /3 is wider than /16", "policy"},
        {"deny identity=spiffe://shop/*", "one identity, and this is a pattern", "in a policy"},
        {"exempt identity=spiffe://shop/ns/a/sa/?", "this is a pattern", "in a policy"},
    };
    struct loop l;
    struct mp_engine_status s;
    test_loop(&l, ERRORS);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct mp_manual_answer a = say(&l, bad[i].words, i % 2 == 0, false);
        if (a.how != MP_MANUAL_BAD || !has(a.why, bad[i].why) || !has(a.help, bad[i].help)) {
            fail_msg("%s: how %d, %.*s; %.*s", bad[i].words, (int)a.how, MP_STR_ARG(a.why),
                     MP_STR_ARG(a.help));
        }
        assert_int_equal(a.lease, 0);
    }
    struct mp_manual_answer twice = say(&l, "deny client=1.2.3.4 for=5m for=6m", true, false);
    assert_true(has(twice.why, "`for` is given twice"));
    assert_int_equal(twice.help.len, 0);
    mp_engine_status(l.engine, &s);
    assert_int_equal(s.entries, 0);
    assert_int_equal(s.leases_live, 0);
    assert_int_equal(decided(&l, "deny client=1.2.3.4"), 1); /* no number was taken */
    loop_close(&l);
}

static void to_look_changes_nothing(void **state)
{
    (void)state;
    struct loop l;
    struct mp_engine_status s;
    loop_open(&l, ERRORS, false, MP_ENGINE_REPLAY);
    loop_line(
        &l,
        "{\"entity\":\"service\",\"name\":\"checkout\",\"tier\":\"critical\","
        "\"callers\":[\"web\",\"cart\"]}");
    loop_line(&l, "{\"entity\":\"instance\",\"name\":\"checkout-1\",\"service\":\"checkout\"}");
    loop_line(&l, "{\"entity\":\"instance\",\"name\":\"checkout-2\",\"service\":\"checkout\"}");
    loop_traffic(&l, "checkout", "10.0.0.7", 0, 4, 10, 0);
    struct mp_manual_answer a = say(&l, "quarantine service=checkout", true, false);
    assert_int_equal(a.how, MP_MANUAL_DONE);
    assert_true(fact_is(&a, "tier", "critical"));
    assert_true(fact_is(&a, "callers", "2: [web, cart]"));
    assert_true(fact_is(&a, "instances", "2"));
    assert_true(fact_is(&a, "requests", "40 in the last 10s"));
    a = say(&l, "quarantine instance=checkout-1", true, false);
    assert_true(fact_is(&a, "service", "checkout, which has 2 instances: 1 would be left"));
    decided(&l, "quarantine instance=checkout-2");
    a = say(&l, "quarantine instance=checkout-1", true, false);
    assert_true(fact_is(&a, "service", "checkout, which has 2 instances: 0 would be left"));
    assert_int_equal(taken_back(&l, "instance=checkout-2", 0).count, 1);
    mp_engine_status(l.engine, &s);
    uint64_t entries = s.entries;
    a = say(&l, "deny client=10.0.0.7", true, false);
    assert_false(fact_is(&a, "bot", ""));
    a = say(&l, "quarantine service=chekout", true, false);
    assert_true(fact_is(&a, "inventory", "does not name it"));
    mp_engine_status(l.engine, &s);
    assert_int_equal(s.entries, entries);
    assert_int_equal(s.leases_live, 0);
    loop_close(&l);
}

/* ---- guards, brake, store ---- */

static void guards_hold_for_operators(void **state)
{
    (void)state;
    struct loop l;
    test_loop(&l, "use std.mesh\nlist core: service = [\"dns\"]\n"
                    "rule errors when error_rate > 5% per svc then throttle svc to 50% for 1m\n"
                    "never quarantine svc where svc in core\n"
                    "never throttle svc more than 2 services\n");
    struct mp_manual_answer a = say(&l, "quarantine svc=dns", true, false);
    assert_int_equal(a.how, MP_MANUAL_WITHHELD);
    withheld(&l, "quarantine svc=dns", "never quarantine svc where svc in core");
    saw(&l, "lease manual dns quarantine dns proposed>withheld guard");
    saw(&l, "who=uid 7 reason=a test");
    decided(&l, "quarantine svc=web");
    decided(&l, "throttle svc=a to=50%");
    loop_set(&l, "error_rate", "b", "8%");
    saw(&l, "lease errors b throttle b accepted>effective");
    withheld(&l, "throttle svc=c to=50%", "it would be 3, 2 may be");
    loop_set(&l, "error_rate", "c", "8%"); /* the operator's count for the rules, too */
    saw(&l, "lease errors c throttle c proposed>withheld guard");
    loop_close(&l);
}

static void the_brake_withholds_and_keeps(void **state)
{
    (void)state;
    struct loop l;
    test_loop(&l, ERRORS);
    uint64_t id = decided(&l, "deny client=10.0.0.7 for=30s");
    mp_engine_brake(l.engine, true);
    withheld(&l, "deny client=10.0.0.8", "the brake is on");
    saw(&l, "deny 10.0.0.8 proposed>withheld brake");
    loop_at(&l, 29);
    is_in(&l, id, "effective");
    loop_at(&l, 31);
    assert_false(state_of(&l, id).found);
    loop_close(&l);
}

static void it_is_accepted_when_it_is_durable(void **state)
{
    (void)state;
    struct loop l;
    struct mp_engine_status s;
    struct mp_engine_options options = {.clock = MP_ENGINE_TEST, .hash_key = {1, 2}, .now_ns = T0,
                                        .mono_ns = T0, .store = true};
    loop_open_with(&l, ERRORS, true, &options);
    uint64_t id = decided(&l, "deny client=10.0.0.7");
    is_in(&l, id, "applying");
    mp_engine_status(l.engine, &s);
    mp_engine_committed(l.engine, s.entries);
    is_in(&l, id, "effective");
    mp_engine_store_failed(l.engine, true);
    withheld(&l, "deny client=10.0.0.8", "the store cannot write");
    loop_close(&l);
}

static void a_backend_that_refuses_leaves_it_stuck(void **state)
{
    (void)state;
    struct loop l;
    test_loop(&l, ERRORS);
    mp_engine_backend_mode(l.engine, MP_BACKEND_REFUSE);
    uint64_t id = decided(&l, "deny client=10.0.0.7 for=20s");
    is_in(&l, id, "stuck");
    mp_engine_backend_mode(l.engine, MP_BACKEND_PROMPT);
    loop_at(&l, 5);
    is_in(&l, id, "effective");
    loop_close(&l);
}

static void there_is_an_end_to_how_many(void **state)
{
    (void)state;
    struct loop l;
    char words[64];
    uint32_t made = 0;
    test_loop(&l, ERRORS); /* 256 incidents, 256 leases, of which one rule has 192 at most */
    for (uint32_t i = 0; i < 256; i++) {
        snprintf(words, sizeof words, "deny client=10.0.1.%u for=10s", i);
        struct mp_manual_answer a = say(&l, words, false, false);
        made += a.how == MP_MANUAL_DONE;
        if (a.how != MP_MANUAL_DONE) assert_true(has(a.why, "no room"));
    }
    assert_int_equal(made, 192);
    loop_at(&l, 11);
    decided(&l, "deny client=10.0.0.1");
    loop_close(&l);
}

/* ---- others on the target ---- */

static void the_stronger_wins_whoever_decided_it(void **state)
{
    (void)state;
    struct loop l;
    test_loop(&l, ERRORS);
    loop_set(&l, "error_rate", "a", "8%"); /* #1 by the rule */
    struct mp_manual_answer a = say(&l, "quarantine svc=a for=20s", true, false);
    assert_true(fact_is(&a, "lease", "#1 throttle by errors waits until this one ends"));
    uint64_t q = decided(&l, "quarantine svc=a for=20s");
    is_in(&l, 1, "superseded");
    a = say(&l, "throttle svc=a to=10% for=20s", true, false);
    assert_true(
        fact_is(&a, "lease", "quarantine by manual stronger: this one waits until it ends"));
    assert_true(fact_is(&a, "lease", "#1 throttle by errors waits already"));
    loop_at(&l, 21);
    assert_false(state_of(&l, q).found);
    is_in(&l, 1, "effective");
    loop_close(&l);
}

/* What waits in the shade of another one waits for no data plane meanwhile. */
static void what_comes_back_is_not_late(void **state)
{
    (void)state;
    struct loop l;
    test_loop(&l, ERRORS);
    mp_engine_backend_mode(l.engine, MP_BACKEND_SLOW);
    uint64_t id = decided(&l, "throttle svc=a to=50% for=2m");
    loop_at(&l, 4);
    is_in(&l, id, "effective");
    uint64_t over = decided(&l, "quarantine svc=a for=2m");
    loop_at(&l, 30);
    taken_back(&l, "", over);
    loop_at(&l, 45);
    is_in(&l, id, "effective");
    saw_not(&l, "stuck");
    loop_close(&l);
}

static void between_equals_the_operator_and_the_later_word_win(void **state)
{
    (void)state;
    struct loop l;
    test_loop(
        &l,
        "use std.mesh\nrule slow priority 9 when error_rate > 5% per svc "
        "then route svc to \"other\" for 1m\n");
    loop_set(&l, "error_rate", "a", "8%"); /* #1 */
    uint64_t first = decided(&l, "route svc=a to=v1 for=30s");
    is_in(&l, 1, "superseded");
    uint64_t second = decided(&l, "route svc=a to=v2 for=10s");
    is_in(&l, first, "superseded");
    is_in(&l, second, "effective");
    loop_at(&l, 11);
    is_in(&l, first, "effective");
    loop_at(&l, 31);
    is_in(&l, 1, "effective");
    loop_close(&l);
}

static void exempt_beats_a_ban_and_the_ban_comes_back(void **state)
{
    (void)state;
    struct loop l;
    test_loop(&l, SEES);
    assert_true(passes(&l, "10.0.0.7"));
    uint64_t ban = decided(&l, "deny client=10.0.0.7 for=1m");
    assert_false(passes(&l, "10.0.0.7"));
    assert_true(passes(&l, "10.0.0.8"));
    decided(&l, "exempt client=10.0.0.7 for=10s");
    assert_true(passes(&l, "10.0.0.7"));
    is_in(&l, ban, "superseded");
    struct undone u = taken_back(&l, "client.ip=10.0.0.7", 0);
    assert_int_equal(u.count, 2);
    assert_true(passes(&l, "10.0.0.7"));
    ban = decided(&l, "deny client=10.0.0.7 for=1m");
    uint64_t pass = decided(&l, "exempt client=10.0.0.7 for=10s");
    u = taken_back(&l, "", pass);
    assert_int_equal(u.count, 1);
    assert_non_null(strstr(u.next, "deny by manual comes back in force"));
    assert_false(passes(&l, "10.0.0.7"));
    is_in(&l, ban, "effective");
    loop_close(&l);
}

/* The strongest of those that wait, whichever came first; and not what is taken back with it. */
static void what_comes_back_is_what_arbitration_says(void **state)
{
    (void)state;
    struct loop l;
    test_loop(&l, SEES);
    uint64_t slow = decided(&l, "throttle client=10.0.0.7 to=30% for=5m");
    uint64_t ban = decided(&l, "deny client=10.0.0.7 for=5m");
    uint64_t pass = decided(&l, "exempt client=10.0.0.7 for=5m");
    comes_next(&l, "", pass, "#2 deny by manual comes back in force");
    is_in(&l, ban, "effective");
    comes_next(&l, "", slow, "nothing comes in its place");
    slow = decided(&l, "throttle client=10.0.0.7 to=30% for=5m");
    comes_next(&l, "", ban, "#4 throttle by manual comes back in force");
    is_in(&l, slow, "effective");
    decided(&l, "deny client=10.0.0.7 for=5m");
    comes_next(&l, "client.ip=10.0.0.7", 0, "nothing comes in its place");
    loop_close(&l);
}

static void what_holds_beside_or_around_is_told(void **state)
{
    (void)state;
    struct loop l;
    test_loop(&l, SEES);
    uint64_t strict = decided(&l, "throttle client=10.0.0.7 to=10% for=5m");
    decided(&l, "throttle client=10.0.0.7 to=30% for=5m");
    comes_next(&l, "", strict, "#2 throttle by manual goes on");
    decided(&l, "deny client=10.0.1.0/24");
    uint64_t pass = decided(&l, "exempt client=10.0.1.9");
    comes_next(&l, "", pass, "#3 deny by manual holds for it (10.0.1.0/24)");
    assert_false(passes(&l, "10.0.1.9"));
    loop_close(&l);
}

/* ---- ranges ---- */

static void a_range_is_denied_but_for_who_is_exempt(void **state)
{
    (void)state;
    struct loop l;
    test_loop(&l, SEES);
    decided(&l, "exempt client=10.0.1.9");
    struct mp_manual_answer a = say(&l, "deny client.ip=10.0.1.0/24", true, false);
    assert_true(fact_is(&a, "addresses", "256"));
    assert_true(fact_is(&a, "inside", "1 leases in force, 1 of them stronger"));
    uint64_t id = decided(&l, "deny client.ip=10.0.1.0/24");
    assert_false(passes(&l, "10.0.1.1"));
    assert_false(passes(&l, "10.0.1.255"));
    assert_true(passes(&l, "10.0.1.9"));
    assert_true(passes(&l, "10.0.2.1"));
    assert_true(passes(&l, "10.0.0.255"));
    saw(&l, "deny 10.0.1.0/24 accepted>effective");
    assert_int_equal(taken_back(&l, "client.ip=10.0.1.1", 0).count, 0);
    assert_int_equal(taken_back(&l, "client.ip=10.0.1.0/24", 0).count, 1);
    assert_false(state_of(&l, id).found);
    assert_true(passes(&l, "10.0.1.1"));
    loop_close(&l);
}

static void a_wide_range_must_be_meant(void **state)
{
    (void)state;
    static const struct {
        const char *words;
        bool narrow, wide;
    } ranges[] = {
        {"deny client=10.0.0.0/24", true, true},      {"deny client=10.0.0.0/23", false, true},
        {"deny client=10.0.0.0/8", false, true},      {"deny client=0.0.0.0/0", false, false},
        {"deny client=2001:db8::/48", true, true},    {"deny client=2001:db8::/47", false, true},
        {"deny client=::/0", false, false},           {"deny client=10.0.0.7/32", true, true},
        {"deny client=2001:db8::/127", true, true},   {"deny client=::ffff:0:0/96", false, false},
        {"deny client=::/80", false, false},          {"deny client=0.0.0.0/7", false, false},
        {"deny client=2000::/3", false, false},       {"deny client=2001::/16", false, true},
        {"deny client=::ffff:10.0.0.0/104", false, true},
    };
    struct loop l;
    test_loop(&l, SEES);
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        enum mp_manual_how narrow = say(&l, ranges[i].words, true, false).how;
        enum mp_manual_how wide = say(&l, ranges[i].words, true, true).how;
        if ((narrow == MP_MANUAL_DONE) != ranges[i].narrow) fail_msg("%s", ranges[i].words);
        if ((wide == MP_MANUAL_DONE) != ranges[i].wide) fail_msg("%s with force", ranges[i].words);
    }
    loop_close(&l);
}

static void a_range_counts_as_all_its_addresses(void **state)
{
    (void)state;
    struct loop l;
    test_loop(&l, FLOOD "never deny client more than 20 clients\n");
    withheld(&l, "deny client=10.0.0.0/27", "it would be 32, 20 may be");
    decided(&l, "deny client=10.0.0.0/28");
    decided(&l, "deny client=10.0.0.77");
    withheld(&l, "deny client=10.0.1.0/30", "it would be 21, 20 may be");
    loop_close(&l);
    test_loop(&l, FLOOD "never deny client where client.verified_bot\n");
    withheld(&l, "deny client=10.0.0.0/28", "cannot be answered for a range");
    decided(&l, "deny client=10.0.0.7");
    loop_close(&l);
}

/* ---- taking back ---- */

static void a_rule_says_when_it_will_do_it_again(void **state)
{
    (void)state;
    struct loop l;
    test_loop(&l, FLOOD);
    loop_set(&l, "chatter", "10.0.0.7", "8/s");
    saw(&l, "lease flood 10.0.0.7 deny 10.0.0.7 accepted>effective");
    struct undone u = taken_back(&l, "client.ip=10.0.0.7", 0);
    assert_int_equal(u.count, 1);
    assert_non_null(strstr(u.next, "only after its condition was false once (it is true now)"));
    saw(&l, "incident flood 10.0.0.7 holding>releasing cancelled who=uid 7 reason=enough");
    loop_at(&l, 300); /* as it was told */
    assert_int_equal(loop_count(&l, "incident flood 10.0.0.7 pending>open"), 1);
    loop_set(&l, "chatter", "10.0.0.7", "0.1/s");
    loop_set(&l, "chatter", "10.0.0.7", "8/s");
    assert_int_equal(loop_count(&l, "incident flood 10.0.0.7 pending>open"), 2);
    u = taken_back(&l, "client.ip=10.0.0.8", 0);
    assert_int_equal(u.count, 0);
    loop_close(&l);
}

static void a_rule_with_a_pause_says_how_long(void **state)
{
    (void)state;
    struct loop l;
    test_loop(
        &l,
        "use std.mesh\ndef chatter per client: rate = rate(requests) over 10s\n"
        "rule flood when chatter > 1/s for 5s per client then deny client for 10m cooldown 30s\n");
    loop_set(&l, "chatter", "10.0.0.7", "8/s");
    loop_at(&l, 6);
    struct undone u = taken_back(&l, "client.ip=10.0.0.7", 0);
    assert_non_null(strstr(
        u.next,
        "pauses for 30s, then fires again once its condition has held for 5s (it does now)"));
    loop_at(&l, 42);
    saw(&l, "41.000 incident flood 10.0.0.7 pending>open");
    loop_close(&l);
}

static void an_operators_decision_can_be_released_as_an_incident(void **state)
{
    (void)state;
    struct loop l;
    test_loop(&l, ERRORS);
    struct mp_manual_answer a = say(&l, "deny client=10.0.0.7", false, false);
    uint64_t lease = a.lease;
    assert_int_equal(mp_engine_release(l.engine, a.incident), MP_OK);
    assert_false(state_of(&l, lease).found);
    lease = decided(&l, "deny client=10.0.0.7");
    assert_int_equal(mp_engine_release_rule(l.engine, MP_STR("manual"), MP_STR("10.0.0.7")), MP_OK);
    assert_false(state_of(&l, lease).found);
    decided(&l, "deny client=10.0.0.7");
    decided(&l, "quarantine svc=web");
    assert_int_equal(mp_engine_release_all(l.engine), 2);
    loop_close(&l);
}

/* ---- kept ---- */

static void a_restart_keeps_it(void **state)
{
    (void)state;
    static struct kept kept;
    struct loop l, m;
    kept_open(&kept);
    test_loop(&l, SEES);
    loop_at(&l, 10);
    uint64_t ban = decided(&l, "deny client=10.0.0.7 on=service for=10m status=451");
    uint64_t range = decided(&l, "deny client=10.0.1.0/24 for=20m");
    uint64_t gone = decided(&l, "deny client=10.0.0.9 for=10m");
    taken_back(&l, "", gone);
    kept_take(&kept, l.engine);
    loop_close(&l);

    struct mp_engine_options options = {.clock = MP_ENGINE_TEST,
                                        .hash_key = {1, 2},
                                        .pending = true,
                                        .now_ns = T0 + 70 * SEC,
                                        .mono_ns = 5 * SEC};
    options.limits.incidents = options.limits.leases = 256;
    loop_open_with(&m, SEES, true, &options);
    m.t = T0 + 70 * SEC;
    kept_restore(&kept, m.engine);
    is_in(&m, ban, "effective");
    is_in(&m, range, "effective");
    assert_false(state_of(&m, gone).found);
    struct state was = state_of(&m, ban);
    assert_true(was.manual);
    assert_string_equal(was.who, "uid 7");
    assert_string_equal(was.reason, "a test");
    assert_int_equal(was.ends_ns, T0 + 610 * SEC);
    assert_false(passes(&m, "10.0.0.7"));
    assert_false(passes(&m, "10.0.1.200"));
    assert_true(passes(&m, "10.0.0.9"));
    assert_true(decided(&m, "deny client=10.0.0.20") > gone); /* no number twice */
    assert_int_equal(taken_back(&m, "client=10.0.0.7", 0).count, 1);
    assert_true(passes(&m, "10.0.0.7"));
    loop_close(&m);
    kept_close(&kept);
}

static void damaged_rows_of_it_are_refused(void **state)
{
    (void)state;
    static struct kept kept;
    struct loop l;
    kept_open(&kept);
    test_loop(&l, ERRORS);
    decided(&l, "deny client=10.0.1.0/24 for=20m");
    kept_take(&kept, l.engine);
    loop_close(&l);
    for (uint32_t i = 0; i < kept.count; i++) {
        for (size_t len = 0; len < kept.row[i].bytes.len; len++) {
            struct mp_state_row cut = kept.row[i];
            cut.bytes.len = len;
            test_loop(&l, ERRORS);
            enum mp_err err = mp_engine_restore(l.engine, &cut);
            loop_close(&l);
            if (err != MP_ECORRUPT) fail_msg("kind %d cut at %zu: %d", (int)cut.kind, len, err);
            if (len > 64) len += 20;
        }
    }
    kept_close(&kept);
}

static void a_reload_keeps_it_but_for_a_new_guard(void **state)
{
    (void)state;
    struct loop l;
    test_loop(&l, ERRORS);
    uint64_t dns = decided(&l, "quarantine svc=dns for=10m"),
             web = decided(&l, "quarantine svc=web for=1m");
    loop_at(&l, 20);
    swap(&l, FLOOD);
    is_in(&l, dns, "effective");
    assert_string_equal(state_of(&l, web).who, "uid 7");
    assert_int_equal(state_of(&l, web).ends_ns, T0 + 60 * SEC);
    swap(&l, "use std.mesh\nlist core: service = [\"dns\"]\n"
             "rule errors when error_rate > 5% per svc then throttle svc to 50% for 1m\n"
             "never quarantine svc where svc in core\n");
    saw(&l, "incident manual dns holding>releasing forbidden");
    is_in(&l, web, "effective");
    loop_at(&l, 61);
    saw(&l, "60.000 incident manual web holding>releasing expired");
    loop_close(&l);
}

/* A row that outlives its incident would bring it back after the next start. */
static void what_ended_just_before_a_reload_is_kept_no_more(void **state)
{
    (void)state;
    static struct kept kept;
    struct loop l;
    kept_open(&kept);
    test_loop(&l, ERRORS);
    uint64_t id = decided(&l, "deny client=10.0.0.7");
    kept_take(&kept, l.engine);
    taken_back(&l, "", id);
    swap(&l, FLOOD);
    kept_take(&kept, l.engine);
    for (uint32_t i = 0; i < kept.count; i++) {
        if (kept.row[i].kind == MP_ROW_META) continue;
        if (kept.row[i].bytes.len != 0) fail_msg("a row of kind %d is left", (int)kept.row[i].kind);
    }
    loop_close(&l);
    kept_close(&kept);
}

static void who_and_why_are_cut_and_not_inside_a_character(void **state)
{
    (void)state;
    struct loop l;
    char reason[400];
    struct mp_manual_answer a;
    memset(reason, 'x', sizeof reason);
    memcpy(reason + MP_MANUAL_REASON_MAX - 1, "\xc3\xa9", 2);
    test_loop(&l, ERRORS);
    struct mp_manual ask = {.verb = MP_STR("deny"), .target = MP_STR("client=10.0.0.7"),
                            .reason = {reason, sizeof reason}};
    mp_engine_decide(l.engine, &ask, &a);
    assert_int_equal(a.how, MP_MANUAL_DONE);
    assert_int_equal(strlen(state_of(&l, a.lease).reason), MP_MANUAL_REASON_MAX - 1);
    loop_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_lives_and_ends_like_a_lease_of_a_rule),
        cmocka_unit_test(every_verb_of_the_vocabulary_can_be_said),
        cmocka_unit_test(without_on_a_verb_holds_at_the_service_or_where_it_has_none_everywhere),
        cmocka_unit_test(what_a_rule_reads_bounds_no_verb_without_on),
        cmocka_unit_test(what_cannot_be_understood_is_told),
        cmocka_unit_test(to_look_changes_nothing),
        cmocka_unit_test(guards_hold_for_operators),
        cmocka_unit_test(the_brake_withholds_and_keeps),
        cmocka_unit_test(it_is_accepted_when_it_is_durable),
        cmocka_unit_test(a_backend_that_refuses_leaves_it_stuck),
        cmocka_unit_test(there_is_an_end_to_how_many),
        cmocka_unit_test(the_stronger_wins_whoever_decided_it),
        cmocka_unit_test(what_comes_back_is_not_late),
        cmocka_unit_test(between_equals_the_operator_and_the_later_word_win),
        cmocka_unit_test(exempt_beats_a_ban_and_the_ban_comes_back),
        cmocka_unit_test(what_comes_back_is_what_arbitration_says),
        cmocka_unit_test(what_holds_beside_or_around_is_told),
        cmocka_unit_test(a_range_is_denied_but_for_who_is_exempt),
        cmocka_unit_test(a_wide_range_must_be_meant),
        cmocka_unit_test(a_range_counts_as_all_its_addresses),
        cmocka_unit_test(a_rule_says_when_it_will_do_it_again),
        cmocka_unit_test(a_rule_with_a_pause_says_how_long),
        cmocka_unit_test(an_operators_decision_can_be_released_as_an_incident),
        cmocka_unit_test(a_restart_keeps_it),
        cmocka_unit_test(damaged_rows_of_it_are_refused),
        cmocka_unit_test(a_reload_keeps_it_but_for_a_new_guard),
        cmocka_unit_test(what_ended_just_before_a_reload_is_kept_no_more),
        cmocka_unit_test(who_and_why_are_cut_and_not_inside_a_character),
    };
    return cmocka_run_group_tests_name("engine_manual", tests, NULL, NULL);
}
