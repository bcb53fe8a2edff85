/* SPDX-License-Identifier: Apache-2.0
 * What lines say, what records show, and which of the two is believed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "inventory/inventory.h"
#include "inventory/inventory_priv.h"
#include "world.h"

#define S INT64_C(1000000000)

static struct world world;
static struct mp_arena arena;
static struct mp_inventory *inv;
static uint32_t service, instance, client;
static uint32_t tier, instances, callers, identities, belongs, zone, asn;
static uint32_t walk_tier, walk_instances, walk_callers, walk_zones, walk_asn, walk_own;

enum { F_SERVICE, F_INSTANCE, F_CLIENT, F_PEER, F_ASN };

static void make_program(void)
{
    struct world *w = &world;
    world_init(w);
    service = world_entity(w, "service", "name", MP_TYPE_STRING);
    tier = world_attr(w, "tier", MP_TYPE_ENUM, MP_NONE, false);
    w->attr[tier].preset = world_const(w, MP_TYPE_ENUM, mp_value_text(MP_STR("standard")));
    instances = world_attr(w, "instances", MP_TYPE_ENTITY, 1, true);
    callers = world_attr(w, "callers", MP_TYPE_ENTITY, 0, true);
    identities = world_attr(w, "identities", MP_TYPE_IDENTITY, MP_NONE, true);
    instance = world_entity(w, "instance", "name", MP_TYPE_STRING);
    belongs = world_attr(w, "service", MP_TYPE_ENTITY, service, false);
    zone = world_attr(w, "zone", MP_TYPE_STRING, MP_NONE, false);
    client = world_entity(w, "client", "ip", MP_TYPE_IP);
    asn = world_attr(w, "asn", MP_TYPE_ASN, MP_NONE, false);
    uint32_t requests = world_signal(w, "requests", MP_SIGNAL_EVENT, 10 * S, 0);
    world_key_field(w, "service", service);
    world_key_field(w, "instance", instance);
    world_key_field(w, "client.ip", client);
    world_field(w, "peer", MP_TYPE_IDENTITY, 0);
    uint32_t peer = w->p.field_count - 1;
    world_field(w, "client.asn", MP_TYPE_ASN, 0);
    w->field[w->p.field_count - 1].attr = asn;
    struct mp_observe_row *o = world_add_observe(w);
    *o = (struct mp_observe_row){MP_OBSERVE_BELONGS, belongs, MP_NONE, MP_NONE, MP_NONE};
    o = world_add_observe(w);
    *o = (struct mp_observe_row){MP_OBSERVE_MEMBERS, instances, MP_NONE, MP_NONE, belongs};
    o = world_add_observe(w);
    *o = (struct mp_observe_row){MP_OBSERVE_CALLERS, callers, requests, peer, identities};
    walk_tier = world_walk(w, MP_WALK_KEY, 0, tier, MP_NONE);
    walk_instances = world_walk(w, MP_WALK_KEY, 0, instances, MP_NONE);
    walk_callers = world_walk(w, MP_WALK_KEY, 0, callers, MP_NONE);
    walk_zones = world_walk(w, MP_WALK_KEY, 0, instances, zone);
    walk_asn = world_walk(w, MP_WALK_KEY, 0, asn, MP_NONE);
    walk_own = world_walk(w, MP_WALK_FIELD, F_INSTANCE, belongs, tier);
}

static int make(void **state)
{
    make_program();
    mp_arena_init(&arena, NULL, 0);
    struct mp_inventory_limits limits = {.members = 200, .relations = 300, .text_bytes = 1 << 18};
    assert_int_equal(mp_inventory_create(&arena, &world.p, &limits, (struct mp_hash_key){3, 4},
                                         &inv), MP_OK);
    return 0;
}

static int drop(void **state)
{
    mp_arena_free(&arena);
    return 0;
}

static struct mp_value text(const char *s) { return mp_value_text(mp_str_of(s)); }

static struct mp_value set_of(struct mp_value *list, uint64_t count)
{
    return (struct mp_value){{(uint64_t)(uintptr_t)list, count}};
}

static void say(uint32_t entity, const char *key, uint32_t attr, struct mp_value v)
{
    static struct mp_entity_line line;
    line = (struct mp_entity_line){.entity = entity, .key = text(key), .attr_count = 1};
    line.attrs[0] = (struct mp_entity_attr){attr, true, v};
    assert_int_equal(mp_inventory_put(inv, &line), MP_OK);
}

static void see(int64_t now_ns, const char *of_service, const char *of_instance, const char *peer)
{
    uint64_t known[1] = {0};
    struct mp_value field[5];
    memset(field, 0, sizeof field);
    const char *texts[4] = {of_service, of_instance, NULL, peer};
    for (int i = 0; i < 4; i++) {
        if (texts[i] == NULL) continue;
        field[i] = text(texts[i]);
        known[0] |= 1u << i;
    }
    struct mp_record r = {.signal = 0, .known = known, .field = field};
    mp_inventory_advance(inv, now_ns);
    mp_inventory_observe(inv, &r, now_ns);
}

/* The set as "a b c", or "?" where it is unknown. */
static const char *members(uint32_t walk, const char *key)
{
    static char out[512];
    struct mp_value keys[1] = {text(key)}, v;
    if (!mp_walk_resolve(inv, walk, NULL, keys, &v)) return "?";
    const struct mp_value *list = (const struct mp_value *)(uintptr_t)v.w[0];
    size_t at = 0;
    out[0] = 0;
    for (uint64_t i = 0; i < v.w[1]; i++) {
        mp_str s = mp_value_as_text(&list[i]);
        at += (size_t)snprintf(out + at, sizeof out - at, "%s%.*s", i != 0 ? " " : "",
                               MP_STR_ARG(s));
    }
    return out;
}

static const char *word(uint32_t walk, const char *key)
{
    static char out[64];
    struct mp_value keys[1] = {text(key)}, v;
    if (!mp_walk_resolve(inv, walk, NULL, keys, &v)) return "?";
    mp_str s = mp_value_as_text(&v);
    snprintf(out, sizeof out, "%.*s", MP_STR_ARG(s));
    return out;
}

static void the_last_line_wins_and_the_default_stands_behind_it(void **state)
{
    assert_string_equal(word(walk_tier, "web"), "standard");
    say(service, "web", tier, text("critical"));
    assert_string_equal(word(walk_tier, "web"), "critical");
    say(service, "web", tier, text("a tier that does not fit in a value"));
    assert_string_equal(word(walk_tier, "web"), "a tier that does not fit in a value");
    struct mp_entity_line line = {.entity = service, .key = text("web"), .attr_count = 1};
    line.attrs[0] = (struct mp_entity_attr){tier, false, {{0, 0}}};
    mp_inventory_put(inv, &line);
    assert_string_equal(word(walk_tier, "web"), "standard");
    assert_int_equal(mp_inventory_count(inv, service), 1);
    assert_true(mp_inventory_has(inv, service, text("web")));
    assert_false(mp_inventory_has(inv, service, text("cart")));
}

static void an_instance_belongs_where_its_records_say_until_ten_minutes_of_silence(void **state)
{
    assert_string_equal(members(walk_instances, "web"), "?");
    see(0, "web", "web-2", NULL);
    see(0, "web", "web-1", NULL);
    assert_string_equal(members(walk_instances, "web"), "web-1 web-2");
    see(300 * S, "web", "web-1", NULL);
    mp_inventory_advance(inv, 600 * S - 1);
    assert_string_equal(members(walk_instances, "web"), "web-1 web-2");
    mp_inventory_advance(inv, 600 * S);
    assert_string_equal(members(walk_instances, "web"), "web-1");
    mp_inventory_advance(inv, 900 * S);
    assert_string_equal(members(walk_instances, "web"), "?");
    struct mp_inventory_counts c;
    mp_inventory_counts(inv, &c);
    assert_int_equal(c.members, 0);
    assert_int_equal(c.relations, 0);
    assert_int_equal(inv->pool.used_bytes, 0);
}

static void an_instance_that_moves_leaves_its_old_service(void **state)
{
    see(0, "web", "i-1", NULL);
    see(S, "cart", "i-1", NULL);
    assert_string_equal(members(walk_instances, "web"), "?");
    assert_string_equal(members(walk_instances, "cart"), "i-1");
}

static void a_line_goes_before_what_is_seen(void **state)
{
    see(0, "web", "i-1", NULL);
    say(instance, "i-1", belongs, text("cart"));
    assert_string_equal(members(walk_instances, "cart"), "i-1");
    assert_string_equal(members(walk_instances, "web"), "?");
    see(S, "web", "i-1", NULL);
    assert_string_equal(members(walk_instances, "web"), "?");
    mp_inventory_advance(inv, 10000 * S);
    assert_string_equal(members(walk_instances, "cart"), "i-1"); /* lines do not age */
    say(instance, "i-1", belongs, text("web"));
    assert_string_equal(members(walk_instances, "cart"), "?");
    assert_string_equal(members(walk_instances, "web"), "i-1");
    struct mp_value list[2] = {text("x-1"), text("x-2")};
    /* and a set that is said, before one put together */
    say(service, "web", instances, set_of(list, 2));
    assert_string_equal(members(walk_instances, "web"), "x-1 x-2");
}

static void who_shows_an_identity_of_a_service_calls_it(void **state)
{
    struct mp_value ids[2] =
        {text("spiffe://shop/ns/web/sa/web"), text("spiffe://shop/ns/web/sa/other")};
    say(service, "web", identities, set_of(ids, 2));
    see(0, "checkout", "checkout-1", "spiffe://shop/ns/web/sa/web");
    see(0, "checkout", "checkout-1", "spiffe://shop/ns/evil/sa/x");
    assert_string_equal(members(walk_callers, "checkout"), "web");
    struct mp_value cart[1] = {text("spiffe://shop/ns/cart/sa/cart")};
    say(service, "cart", identities, set_of(cart, 1));
    see(S, "checkout", "checkout-1", "spiffe://shop/ns/cart/sa/cart");
    assert_string_equal(members(walk_callers, "checkout"), "cart web");
    struct mp_value said[1] = {text("admin")};
    say(service, "checkout", callers, set_of(said, 1));
    assert_string_equal(members(walk_callers, "checkout"), "admin");
    struct mp_value none[1];
    say(service, "checkout", callers, set_of(none, 0));
    assert_string_equal(members(walk_callers, "checkout"), ""); /* known, and empty */
}

static void walks_go_on_from_sets_and_from_records(void **state)
{
    see(0, "web", "i-1", NULL);
    see(0, "web", "i-2", NULL);
    say(instance, "i-1", zone, text("a"));
    say(instance, "i-2", zone, text("b"));
    assert_string_equal(members(walk_zones, "web"), "a b");
    say(service, "web", tier, text("critical"));
    uint64_t known[1] = {1u << F_INSTANCE};
    struct mp_value field[5] = {{{0, 0}}}, v;
    field[F_INSTANCE] = text("i-2");
    struct mp_record r = {.signal = 0, .known = known, .field = field};
    assert_true(mp_walk_resolve(inv, walk_own, &r, NULL, &v));
    assert_true(mp_value_text_eq(v, text("critical")));
    known[0] = 0;
    assert_false(mp_walk_resolve(inv, walk_own, &r, NULL, &v));
    assert_true(mp_walk_is_set(&world.p, walk_zones));
    assert_false(mp_walk_is_set(&world.p, walk_own));
}

static void what_a_record_brings_about_a_client_is_kept_a_while(void **state)
{
    struct mp_value ip, v;
    uint32_t bits;
    assert_true(mp_value_address(MP_STR("10.0.0.1"), &ip, &bits));
    uint64_t known[1] = {1u << F_CLIENT | 1u << F_ASN};
    struct mp_value field[5] = {{{0, 0}}};
    field[F_CLIENT] = ip;
    field[F_ASN] = mp_value_int(64500);
    struct mp_record r = {.signal = 0, .known = known, .field = field};
    mp_inventory_observe(inv, &r, 0);
    assert_true(mp_walk_resolve(inv, walk_asn, NULL, &ip, &v));
    assert_int_equal(mp_value_as_int(v), 64500);
    mp_inventory_advance(inv, 600 * S);
    assert_false(mp_walk_resolve(inv, walk_asn, NULL, &ip, &v));
}

static void full_is_a_state_and_lines_find_room(void **state)
{
    char name[64], of[64];
    for (int i = 0; i < 2000; i++) {
        snprintf(name, sizeof name, "an-instance-with-a-long-name-%d", i);
        snprintf(of, sizeof of, "a-service-with-a-long-name-%d", i % 50);
        see(i * S / 100, of, name, NULL);
    }
    struct mp_inventory_counts c;
    mp_inventory_counts(inv, &c);
    assert_true(c.members <= 200);
    assert_true(c.relations <= 300);
    assert_true(c.refused > 0);
    assert_string_equal(members(walk_instances, "a-service-with-a-long-name-49"),
                        members(walk_instances, "a-service-with-a-long-name-49"));
    mp_inventory_advance(inv, 10000 * S);
    mp_inventory_counts(inv, &c);
    assert_int_equal(c.members, 0);
    assert_int_equal(inv->pool.used_bytes, 0);
}

static void the_version_grows_with_what_a_reader_could_see(void **state)
{
    uint64_t v = mp_inventory_version(inv);
    see(0, "web", "i-1", NULL);
    assert_true(mp_inventory_version(inv) > v);
    v = mp_inventory_version(inv);
    see(S / 2, "web", "i-1", NULL);
    see(2 * S, "web", "i-1", NULL);
    assert_int_equal(mp_inventory_version(inv), v);
}

/* ---- keeping ---- */

static char dumped[4096];

static enum mp_err take_line(void *ctx, uint32_t by, mp_str json)
{
    size_t at = strlen(dumped);
    snprintf(dumped + at, sizeof dumped - at, "%s%.*s\n", by == MP_INVENTORY_BY_FILE ? "f" : "",
             MP_STR_ARG(json));
    return MP_OK;
}

static void everything_said_can_be_said_again(void **state)
{
    struct mp_value list[2] = {text("web"), text("a \"quoted\" name\n")};
    say(service, "checkout", callers, set_of(list, 2));
    say(service, "checkout", tier, text("critical"));
    say(instance, "i-1", belongs, text("checkout"));
    struct mp_arena scratch;
    mp_arena_init(&scratch, NULL, 0);
    dumped[0] = 0;
    assert_int_equal(mp_inventory_dump(inv, &scratch, NULL, take_line), MP_OK);
    assert_string_equal(dumped,
        "{\"entity\":\"service\",\"name\":\"checkout\",\"tier\":\"critical\","
        "\"callers\":[\"web\",\"a \\\"quoted\\\" name\\n\"]}\n"
        "{\"entity\":\"instance\",\"name\":\"i-1\",\"service\":\"checkout\"}\n");
    mp_arena_free(&scratch);
}

static void a_copy_answers_as_the_original_does(void **state)
{
    struct mp_value ids[1] = {text("spiffe://shop/ns/web/sa/web")};
    say(service, "web", identities, set_of(ids, 1));
    say(service, "web", tier, text("critical"));
    say(instance, "web-1", belongs, text("web"));
    see(S, "checkout", "checkout-1", "spiffe://shop/ns/web/sa/web");
    see(S, "checkout", "checkout-2", NULL);
    uint64_t version = mp_inventory_version(inv);
    struct mp_inventory *copy, *original = inv;
    struct mp_inventory_limits limits = {.members = 200, .relations = 300, .text_bytes = 1 << 18};
    assert_int_equal(mp_inventory_create(&arena, &world.p, &limits, (struct mp_hash_key){5, 6},
                                         &copy), MP_OK);
    mp_inventory_adopt(copy, inv);
    assert_int_equal(mp_inventory_version(inv), version);
    for (int turn = 0; turn < 2; turn++) {
        inv = turn == 0 ? original : copy;
        assert_string_equal(members(walk_instances, "checkout"), "checkout-1 checkout-2");
        assert_string_equal(members(walk_instances, "web"), "web-1");
        assert_string_equal(members(walk_callers, "checkout"), "web");
        assert_string_equal(word(walk_tier, "web"), "critical");
        mp_inventory_advance(inv, 601 * S);
        assert_string_equal(members(walk_instances, "checkout"), "?");
        assert_string_equal(members(walk_instances, "web"), "web-1");
    }
    inv = original;
}

/* ---- files ---- */

struct said {
    uint32_t entity;
    const char *key;
    uint32_t attr; /* MP_NONE: named and no more */
    const char *value;
};

static void line_of(struct mp_entity_line *line, const struct said *s)
{
    *line = (struct mp_entity_line){.entity = s->entity, .key = text(s->key)};
    if (s->attr == MP_NONE) return;
    line->attr_count = 1;
    line->attrs[0] = (struct mp_entity_attr){s->attr, true, text(s->value)};
}

static char news_text[512];

static void take_news(void *ctx, const char *what, uint32_t entity, struct mp_value key)
{
    size_t at = strlen(news_text);
    mp_str name = mp_value_as_text(&key);
    snprintf(news_text + at, sizeof news_text - at, "%.*s %s;", MP_STR_ARG(name), what);
}

static const char *files_say(const struct said *said, size_t count)
{
    static struct mp_entity_line line;
    struct mp_inventory_news news = {.tell = take_news};
    news_text[0] = '\0';
    mp_inventory_files_begin(inv);
    for (size_t i = 0; i < count; i++) {
        line_of(&line, &said[i]);
        mp_inventory_files_name(inv, &line);
    }
    mp_inventory_files_sweep(inv, &news);
    for (size_t i = 0; i < count; i++) {
        line_of(&line, &said[i]);
        assert_int_equal(mp_inventory_files_put(inv, &line, &news), MP_OK);
    }
    return news_text;
}

static void what_files_no_longer_name_goes(void **state)
{
    const struct said before[] = {{service, "web", tier, "critical"},
                                  {instance, "web-1", belongs, "web"},
                                  {instance, "web-2", belongs, "web"},
                                  {instance, "web-2", zone, "a"},
                                  {instance, "bare", MP_NONE, NULL}};
    const struct said after[] = {{service, "web", MP_NONE, NULL},
                                 {instance, "web-2", belongs, "web"},
                                 {instance, "web-3", belongs, "web"}};
    assert_string_equal(files_say(before, 5), "web came;web-1 came;web-2 came;bare came;");
    assert_string_equal(files_say(before, 5), "");
    assert_string_equal(members(walk_instances, "web"), "web-1 web-2");
    assert_string_equal(files_say(after, 3),
                        "web-1 gone;bare gone;web changed;web-2 changed;web-3 came;");
    assert_string_equal(members(walk_instances, "web"), "web-2 web-3");
    assert_string_equal(word(walk_tier, "web"), "standard");
    assert_int_equal(mp_inventory_count(inv, instance), 2);
    assert_false(mp_inventory_has(inv, instance, text("web-1")));
    assert_string_equal(files_say(NULL, 0), "web gone;web-2 gone;web-3 gone;");
    assert_string_equal(members(walk_instances, "web"), "?");
    struct mp_inventory_counts counts;
    mp_inventory_counts(inv, &counts);
    assert_int_equal(counts.members, 0);
}

/* Also where both said the same, and in a copy; what the file said of it goes. */
static void what_others_said_stays(void **state)
{
    const struct said file[] = {{service, "web", tier, "critical"},
                                {instance, "web-1", belongs, "web"},
                                {instance, "web-1", zone, "a"}};
    say(instance, "web-1", belongs, text("web"));
    say(instance, "web-9", zone, text("z"));
    files_say(file, 3);
    say(service, "web", tier, text("batch"));
    struct mp_arena scratch;
    mp_arena_init(&scratch, NULL, 0);
    dumped[0] = 0;
    assert_int_equal(mp_inventory_dump(inv, &scratch, NULL, take_line), MP_OK);
    mp_arena_free(&scratch);
    assert_string_equal(dumped, "{\"entity\":\"service\",\"name\":\"web\",\"tier\":\"batch\"}\n"
                                "f{\"entity\":\"service\",\"name\":\"web\"}\n"
                                "{\"entity\":\"instance\",\"name\":\"web-1\",\"service\":\"web\"}\n"
                                "f{\"entity\":\"instance\",\"name\":\"web-1\",\"service\":\"web\","
                                "\"zone\":\"a\"}\n"
                                "{\"entity\":\"instance\",\"name\":\"web-9\",\"zone\":\"z\"}\n");
    struct mp_inventory *copy, *original = inv;
    struct mp_inventory_limits limits = {.members = 200, .relations = 300, .text_bytes = 1 << 18};
    assert_int_equal(mp_inventory_create(&arena, &world.p, &limits, (struct mp_hash_key){5, 6},
                                         &copy), MP_OK);
    mp_inventory_adopt(copy, inv);
    for (int turn = 0; turn < 2; turn++) {
        inv = turn == 0 ? original : copy;
        assert_string_equal(files_say(NULL, 0), "web-1 changed;");
        assert_string_equal(word(walk_tier, "web"), "batch");
        assert_string_equal(members(walk_instances, "web"), "web-1");
        assert_string_equal(members(walk_zones, "web"), "");
        assert_int_equal(mp_inventory_count(inv, instance), 2);
    }
    inv = original;
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, make, drop)
    const struct CMUnitTest tests[] = {
        CASE(the_last_line_wins_and_the_default_stands_behind_it),
        CASE(an_instance_belongs_where_its_records_say_until_ten_minutes_of_silence),
        CASE(an_instance_that_moves_leaves_its_old_service),
        CASE(a_line_goes_before_what_is_seen),
        CASE(who_shows_an_identity_of_a_service_calls_it),
        CASE(walks_go_on_from_sets_and_from_records),
        CASE(what_a_record_brings_about_a_client_is_kept_a_while),
        CASE(full_is_a_state_and_lines_find_room),
        CASE(the_version_grows_with_what_a_reader_could_see),
        CASE(everything_said_can_be_said_again),
        CASE(a_copy_answers_as_the_original_does),
        CASE(what_files_no_longer_name_goes),
        CASE(what_others_said_stays),
    };
    return cmocka_run_group_tests_name("inventory", tests, NULL, NULL);
}
