/* SPDX-License-Identifier: Apache-2.0
 * Windows on virtual time, and every aggregate against a recomputation from the list of records.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "window/window.h"
#include "window/window_priv.h"
#include "world.h"

#define S INT64_C(1000000000)
#define MS INT64_C(1000000)
#define LATENESS (2 * S)

/* Outputs of the record unit of `requests`, as every test hands them in. */
enum { OUT_BAD, OUT_LATENCY, OUT_SIZE, OUT_SHARE, OUT_USER, OUT_ASKED, OUTS };

/* Slots of a record of `requests`. */
enum { F_SERVICE, F_INSTANCE, F_CLIENT };

static struct world world;
static struct mp_arena arena;
static struct mp_inventory *inventory;
static struct mp_window *window;
static uint32_t service, instance, client, attr_tier, attr_instances, attr_callers, attr_service;
static uint32_t requests, cpu, total_sent;
static uint32_t by_service, by_instance, by_client, by_mesh;
static uint32_t forgotten, forgotten_key;

static const struct mp_hash_key hash_key = {1, 2};

static void vocabulary(void)
{
    struct world *w = &world;
    service = world_entity(w, "service", "name", MP_TYPE_STRING);
    attr_tier = world_attr(w, "tier", MP_TYPE_ENUM, MP_NONE, false);
    attr_instances = world_attr(w, "instances", MP_TYPE_ENTITY, 1, true);
    attr_callers = world_attr(w, "callers", MP_TYPE_ENTITY, 0, true);
    instance = world_entity(w, "instance", "name", MP_TYPE_STRING);
    attr_service = world_attr(w, "service", MP_TYPE_ENTITY, 0, false);
    client = world_entity(w, "client", "ip", MP_TYPE_IP);
    struct mp_observe_row *o = world_add_observe(w);
    o->kind = MP_OBSERVE_BELONGS;
    o->attr = attr_service;
    o = world_add_observe(w);
    o->kind = MP_OBSERVE_MEMBERS;
    o->attr = attr_instances;
    o->via = attr_service;

    requests = world_signal(w, "requests", MP_SIGNAL_EVENT, 10 * S, LATENESS);
    world_key_field(w, "service", service);
    world_key_field(w, "instance", instance);
    world_key_field(w, "client.ip", client);
    cpu = world_signal(w, "cpu", MP_SIGNAL_GAUGE, 5 * S, 0);
    world_key_field(w, "instance", instance);
    world_field(w, "value", MP_TYPE_PERCENT, 0);
    total_sent = world_signal(w, "sent", MP_SIGNAL_COUNTER, 5 * S, 0);
    world_key_field(w, "instance", instance);
    world_field(w, "value", MP_TYPE_COUNTER, 0);
}

static struct mp_agg_row *agg(uint32_t grouping, enum mp_agg kind, enum mp_type type,
                              uint32_t signal, int64_t window_ns, uint32_t panes, const char *text)
{
    struct mp_agg_row *a = world_add_agg(&world);
    world.grouping[grouping].aggs_count++;
    a->kind = kind;
    a->type = type;
    a->grouping = grouping;
    a->signal = signal;
    a->layers = MP_LAYER_ALL;
    a->window_ns = window_ns;
    a->panes = panes;
    a->pane_ns = panes != 0 ? (window_ns + panes - 1) / panes : 0;
    int64_t lateness = world.signal[signal].lateness_ns;
    a->late_panes = window_ns != 0 ? (uint32_t)((lateness * panes + window_ns - 1) / window_ns) : 0;
    a->min_samples = 1;
    a->text = world_text(&world, text);
    return a;
}

static uint32_t column(uint32_t grouping, enum mp_column kind, enum mp_type type, uint32_t of)
{
    struct mp_column_row *c = world_add_column(&world);
    world.grouping[grouping].columns_count++;
    c->kind = kind;
    c->type = type;
    c->agg = of;
    return world.p.column_count - 1;
}

static void feed(uint32_t signal, uint32_t grouping, uint32_t walk_at, uint32_t walks)
{
    struct mp_feed_row *f = world_add_feed(&world);
    f->signal = signal;
    f->grouping = grouping;
    f->walks_at = walk_at;
    f->walks_count = walks;
}

/* Aggregates of by_service, all over 10 s of requests unless said otherwise. */
enum {
    A_COUNT, A_BAD_COUNT, A_RATIO, A_RATE, A_AVG, A_SUM, A_MIN, A_MAX, A_P50, A_P99, A_DEV,
        A_DISTINCT,
    A_AVG_SHARE, A_SEEN, A_SERVICE_END,
    A_CPU = A_SERVICE_END, A_CPU_MAX, A_SENT, A_INSTANCE_COUNT, A_CLIENT_COUNT, A_MESH_COUNT
};

static void service_aggs(int64_t d, uint32_t panes, uint32_t sketch_panes)
{
    struct mp_agg_row *a;
    agg(by_service, MP_AGG_COUNT, MP_TYPE_INT, requests, d, panes, "count");
    agg(by_service, MP_AGG_COUNT, MP_TYPE_INT, requests, d, panes, "count bad")->where = OUT_BAD;
    agg(by_service, MP_AGG_RATIO, MP_TYPE_PERCENT, requests, d, panes, "ratio")->where = OUT_BAD;
    agg(by_service, MP_AGG_RATE, MP_TYPE_RATE, requests, d, panes, "rate");
    const struct {
        enum mp_agg kind;
        enum mp_type type;
        uint32_t out, panes, quantile;
    } rows[] = {
        {MP_AGG_AVG, MP_TYPE_DURATION, OUT_LATENCY, panes, 0},
        {MP_AGG_SUM, MP_TYPE_SIZE, OUT_SIZE, panes, 0},
        {MP_AGG_MIN, MP_TYPE_DURATION, OUT_LATENCY, panes, 0},
        {MP_AGG_MAX, MP_TYPE_DURATION, OUT_LATENCY, panes, 0},
        {MP_AGG_QUANTILE, MP_TYPE_DURATION, OUT_LATENCY, sketch_panes, 500},
        {MP_AGG_QUANTILE, MP_TYPE_DURATION, OUT_LATENCY, sketch_panes, 990},
        {MP_AGG_STDDEV, MP_TYPE_DURATION, OUT_LATENCY, panes, 0},
        {MP_AGG_DISTINCT, MP_TYPE_INT, OUT_USER, sketch_panes, 0},
        {MP_AGG_AVG, MP_TYPE_PERCENT, OUT_SHARE, panes, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        a = agg(by_service, rows[i].kind, rows[i].type, requests, d, rows[i].panes, "value");
        a->value = rows[i].out;
        a->quantile = rows[i].quantile;
        a->value_type = rows[i].out == OUT_USER    ? MP_TYPE_STRING
                        : rows[i].out == OUT_SHARE ? MP_TYPE_PERCENT
                        : rows[i].out == OUT_SIZE  ? MP_TYPE_SIZE : MP_TYPE_DURATION;
    }
    agg(by_service, MP_AGG_SEEN, MP_TYPE_BOOL, requests, 0, 0, "seen")->where = OUT_BAD;
}

static uint32_t col[A_SERVICE_END], col_samples, col_pooled, col_members, col_set_size, col_tier,
    col_key;
static uint32_t col_cpu, col_cpu_max, col_sent, col_reached, col_client, col_stale, col_bound;

static void service_columns(void)
{
    for (uint32_t i = 0; i < A_SERVICE_END; i++) {
        col[i] = column(by_service, MP_COL_AGG, world.agg[i].type, i);
    }
    col_bound = column(by_service, MP_COL_AGG, MP_TYPE_INT, A_COUNT);
    world.column[col_bound].flags = MP_COL_LOWER_BOUND;
    col_samples = column(by_service, MP_COL_SAMPLES, MP_TYPE_INT, A_BAD_COUNT);
    col_pooled = column(by_service, MP_COL_POOLED, MP_TYPE_PERCENT, A_RATIO);
    world.column[col_pooled].walks_at = world_walk(&world, MP_WALK_KEY, 0, attr_callers, MP_NONE);
    world.column[col_pooled].walks_count = 1;
    col_members = column(by_service, MP_COL_MEMBERS, MP_TYPE_INT, MP_NONE);
    world.column[col_members].walks_at =
        world_walk(&world, MP_WALK_KEY, 0, attr_instances, MP_NONE);
    world.column[col_members].walks_count = 1;
    world.column[col_members].grouping = by_instance;
    world.column[col_members].fn = 0;
    col_set_size = column(by_service, MP_COL_SET_SIZE, MP_TYPE_INT, MP_NONE);
    world.column[col_set_size].walks_at = world.column[col_members].walks_at;
    world.column[col_set_size].walks_count = 1;
    col_tier = column(by_service, MP_COL_ATTR, MP_TYPE_ENUM, MP_NONE);
    world.column[col_tier].walks_at = world_walk(&world, MP_WALK_KEY, 0, attr_tier, MP_NONE);
    world.column[col_tier].walks_count = 1;
    col_key = column(by_service, MP_COL_KEY, MP_TYPE_STRING, MP_NONE);
    col_stale = column(by_service, MP_COL_STALE, MP_TYPE_BOOL, MP_NONE);
    world.column[col_stale].signal = requests;
}

static void instance_part(void)
{
    struct mp_agg_row *a = agg(by_instance, MP_AGG_LAST, MP_TYPE_PERCENT, cpu, 0, 0, "cpu");
    a->value = 0;
    a->value_type = MP_TYPE_PERCENT;
    a = agg(by_instance, MP_AGG_MAX, MP_TYPE_PERCENT, cpu, 10 * S, 10, "max cpu");
    a->value = 0;
    a->value_type = MP_TYPE_PERCENT;
    a = agg(by_instance, MP_AGG_GROWTH, MP_TYPE_INT, total_sent, 10 * S, 10, "growth");
    a->value = 0;
    a->value_type = MP_TYPE_COUNTER;
    agg(by_instance, MP_AGG_COUNT, MP_TYPE_INT, requests, 10 * S, 10, "count");
    /* Columns of a grouping stand together: they are added after those of by_service. */
}

static void instance_columns(void)
{
    world.grouping[by_instance].columns_at = world.p.column_count;
    col_cpu = column(by_instance, MP_COL_AGG, MP_TYPE_PERCENT, A_CPU);
    col_cpu_max = column(by_instance, MP_COL_AGG, MP_TYPE_PERCENT, A_CPU_MAX);
    col_sent = column(by_instance, MP_COL_AGG, MP_TYPE_INT, A_SENT);
    col_reached = column(by_instance, MP_COL_REACHED, MP_TYPE_INT, A_COUNT);
    world.column[col_reached].walks_at = world_walk(&world, MP_WALK_KEY, 0, attr_service, MP_NONE);
    world.column[col_reached].walks_count = 1;
}

/* A program over everything that window can do; `member` below stands for its one function. */
static void make_program(int64_t d, uint32_t panes, uint32_t sketch_panes, uint32_t client_cap)
{
    struct world *w = &world;
    world_init(w);
    vocabulary();
    by_service = world_grouping(w, "service", 1000);
    world_group_key(w, "service", MP_TYPE_STRING, service);
    by_instance = world_grouping(w, "instance", 1000);
    world_group_key(w, "instance", MP_TYPE_STRING, instance);
    by_client = world_grouping(w, "client", client_cap);
    world_group_key(w, "client.ip", MP_TYPE_IP, client);
    by_mesh = world_grouping(w, "mesh", 1);
    service_aggs(d, panes, sketch_panes);
    w->grouping[by_instance].aggs_at = w->p.agg_count;
    instance_part();
    w->grouping[by_client].aggs_at = w->p.agg_count;
    agg(by_client, MP_AGG_COUNT, MP_TYPE_INT, requests, 10 * S, 10, "count");
    w->grouping[by_mesh].aggs_at = w->p.agg_count;
    agg(by_mesh, MP_AGG_COUNT, MP_TYPE_INT, requests, 10 * S, 10, "count");
    service_columns();
    instance_columns();
    w->grouping[by_client].columns_at = w->p.column_count;
    col_client = column(by_client, MP_COL_AGG, MP_TYPE_INT, A_CLIENT_COUNT);
    /* fn 0: column col_cpu of an instance; test code answers for it. */
    struct mp_fn_row *fn = world_add_fn(w);
    fn->grouping = by_instance;
    struct mp_op_row *op = world_add_op(w);
    op->code = MP_OP_COL;
    op->a = col_cpu - w->grouping[by_instance].columns_at;
    fn->ops_count = 1;
    w->signal[requests].feeds_at = w->p.feed_count;
    feed(requests, by_service, world_walk(w, MP_WALK_FIELD, F_SERVICE, MP_NONE, MP_NONE), 1);
    feed(requests, by_instance, world_walk(w, MP_WALK_FIELD, F_INSTANCE, MP_NONE, MP_NONE), 1);
    feed(requests, by_client, world_walk(w, MP_WALK_FIELD, F_CLIENT, MP_NONE, MP_NONE), 1);
    feed(requests, by_mesh, 0, 0);
    w->signal[requests].feeds_count = 4;
    w->signal[cpu].feeds_at = w->p.feed_count;
    feed(cpu, by_instance, world_walk(w, MP_WALK_FIELD, 0, MP_NONE, MP_NONE), 1);
    w->signal[cpu].feeds_count = 1;
    w->signal[total_sent].feeds_at = w->p.feed_count;
    feed(total_sent, by_instance, world_walk(w, MP_WALK_FIELD, 0, MP_NONE, MP_NONE), 1);
    w->signal[total_sent].feeds_count = 1;
}

static void on_forget(void *ctx, uint32_t grouping, uint32_t key)
{
    forgotten++;
    forgotten_key = key;
}

/* An instance whose cpu is known and above 90%. */
static enum mp_truth member(void *ctx, uint32_t fn, const struct mp_row *row)
{
    uint32_t slot = col_cpu - world.grouping[by_instance].columns_at;
    if ((row->known[slot / 64] >> (slot % 64) & 1) == 0) return MP_UNKNOWN;
    return mp_value_as_num(row->cell[slot]) > 0.9 ? MP_TRUE : MP_FALSE;
}

static bool live;

static void open_window(bool always_alive)
{
    static const struct mp_window_hooks hooks = {.forget = on_forget, .member = member};
    struct mp_window_limits limits = {.keys_max = 5000, .always_alive = always_alive, .live = live};
    mp_arena_init(&arena, NULL, 0);
    forgotten = 0;
    assert_int_equal(mp_inventory_create(&arena, &world.p, NULL, hash_key, &inventory), MP_OK);
    assert_int_equal(mp_window_create(&arena, &world.p, &limits, hash_key, inventory, &hooks,
                                      &window), MP_OK);
    assert_true(arena.used_bytes <= mp_window_bytes(&world.p, &limits) +
                mp_inventory_bytes(&world.p, NULL));
}

static int standard(void **state)
{
    make_program(10 * S, 10, 6, 1000);
    open_window(false);
    return 0;
}

static int standard_alive(void **state)
{
    make_program(10 * S, 10, 6, 1000);
    open_window(true);
    return 0;
}

static int standard_live(void **state)
{
    make_program(10 * S, 10, 6, 1000);
    live = true;
    open_window(false);
    live = false;
    return 0;
}

static int teardown(void **state)
{
    mp_arena_free(&arena);
    return 0;
}

/* ---- records ---- */

struct request {
    int64_t at_ns;
    const char *service, *instance;
    uint32_t client;
    int bad; /* -1: unknown */
    int64_t latency, size, weight;
    double share;
    const char *user;
};

static struct mp_value text(const char *s) { return mp_value_text(mp_str_of(s)); }

static struct mp_value address(uint32_t n)
{
    struct mp_value v;
    uint32_t bits;
    char s[32];
    int len = snprintf(s, sizeof s, "10.%u.%u.%u", n >> 16 & 255, n >> 8 & 255, n & 255);
    assert_true(mp_value_address((mp_str){s, (size_t)len}, &v, &bits));
    return v;
}

static uint64_t number;
static uint64_t known[1], out_known[1], out_truth[1];
static struct mp_value field[4], out_value[OUTS];
static struct mp_record record;
static struct mp_outputs outputs = {out_known, out_truth, out_value};
static struct mp_touch touched[8];
static uint32_t touched_count;

static enum mp_admit send_at(int64_t now_ns, const struct request *q)
{
    known[0] = 1u << F_SERVICE | 1u << F_INSTANCE | 1u << F_CLIENT;
    field[F_SERVICE] = text(q->service);
    field[F_INSTANCE] = text(q->instance != NULL ? q->instance : "i-1");
    field[F_CLIENT] = address(q->client);
    record = (struct mp_record){.number = ++number, .time_ns = q->at_ns, .signal = requests,
                                .layer = MP_LAYER_SERVICE, .weight = q->weight != 0 ? q->weight : 1,
                                .known = known, .field = field};
    out_known[0] = 1u << OUT_LATENCY | 1u << OUT_SIZE | 1u << OUT_SHARE |
        (q->bad >= 0 ? 1u << OUT_BAD : 0) |
                   (q->user != NULL ? 1u << OUT_USER : 0);
    out_truth[0] = q->bad > 0 ? 1u << OUT_BAD : 0;
    out_value[OUT_LATENCY] = mp_value_int(q->latency);
    out_value[OUT_SIZE] = mp_value_int(q->size);
    out_value[OUT_SHARE] = mp_value_num(q->share);
    out_value[OUT_USER] = q->user != NULL ? text(q->user) : (struct mp_value){{0, 0}};
    mp_window_advance(window, now_ns);
    enum mp_admit admit = mp_window_admit(window, &record);
    touched_count = 0;
    if (admit == MP_ADMIT_OK) touched_count = mp_window_apply(window, &record, &outputs, touched);
    return admit;
}

static enum mp_admit send(int64_t at_ns, const char *name, int bad)
{
    struct request q = {.at_ns = at_ns, .service = name, .bad = bad, .latency = 10 * MS};
    return send_at(at_ns, &q);
}

static void gauge(uint32_t signal, int64_t at_ns, const char *name, struct mp_value v)
{
    known[0] = 3;
    field[0] = text(name);
    field[1] = v;
    record = (struct mp_record){.number = ++number, .time_ns = at_ns, .signal = signal,
                                .layer = MP_LAYER_SERVICE, .weight = 1, .known = known,
                                    .field = field};
    out_known[0] = 1;
    out_truth[0] = 0;
    out_value[0] = v;
    mp_window_advance(window, at_ns);
    if (mp_window_admit(window, &record) == MP_ADMIT_OK) {
        touched_count = mp_window_apply(window, &record, &outputs, touched);
    }
}

static const struct mp_read now = {0};

static uint32_t key_of(uint32_t grouping, const char *name)
{
    struct mp_value v = text(name);
    return mp_window_find(window, grouping, &v);
}

static bool read_as(const struct mp_read *how, const char *name, uint32_t c, struct mp_value *out)
{
    return mp_window_read(window, how, by_service, key_of(by_service, name), c, out);
}

static int64_t int_of(const struct mp_read *how, const char *name, uint32_t c)
{
    struct mp_value v;
    assert_true(read_as(how, name, c, &v));
    return mp_value_as_int(v);
}

static double num_of(const struct mp_read *how, const char *name, uint32_t c)
{
    struct mp_value v;
    assert_true(read_as(how, name, c, &v));
    return mp_value_as_num(v);
}

static bool is_known(const struct mp_read *how, const char *name, uint32_t c)
{
    struct mp_value v;
    return read_as(how, name, c, &v);
}

/* ---- edges of windows ---- */

static void a_window_holds_every_pane_that_ends_after_its_left_edge(void **state)
{
    send(100 * S, "web", 0); /* pane 100 of 1 s: it ends at 101 s */
    mp_window_advance(window, 110 * S + 999 * MS);
    assert_int_equal(int_of(&now, "web", col[A_COUNT]), 1);
    mp_window_advance(window, 111 * S - 1);
    assert_int_equal(int_of(&now, "web", col[A_COUNT]), 1);
    mp_window_advance(window, 111 * S);
    assert_int_equal(int_of(&now, "web", col[A_COUNT]), 0);
}

static void a_late_record_enters_no_window_and_is_counted(void **state)
{
    send(100 * S, "web", 0);
    struct request q = {.at_ns = 98 * S, .service = "web", .bad = 0};
    assert_int_equal(send_at(100 * S, &q), MP_ADMIT_OK); /* exactly lateness ago */
    q.at_ns = 98 * S - 1;
    assert_int_equal(send_at(100 * S, &q), MP_ADMIT_LATE);
    assert_int_equal(int_of(&now, "web", col_bound), 2);
    struct mp_window_counts c;
    mp_window_counts(window, &c);
    assert_int_equal(c.late, 1);
    assert_int_equal(c.records, 2);
}

static void a_record_ahead_of_now_counts_now(void **state)
{
    struct request q = {.at_ns = 101500 * MS, .service = "web", .bad = 0};
    mp_window_advance(window, 100 * S);
    assert_int_equal(send_at(100 * S, &q), MP_ADMIT_OK);
    assert_int_equal(int_of(&now, "web", col_bound), 1);
    mp_window_advance(window, 111 * S);
    struct mp_read how = {0};
    struct mp_value v;
    assert_false(read_as(&how, "web", col[A_RATIO], &v)); /* gone with the pane of 100 s */
}

static void a_settled_read_ends_at_the_watermark(void **state)
{
    struct mp_read settled = {.settled = true};
    send(100 * S, "web", 1);
    mp_window_advance(window, 102 * S + 900 * MS); /* watermark 100.9 s: pane 100 has not ended */
    assert_false(is_known(&settled, "web", col[A_RATIO]));
    assert_true(is_known(&now, "web", col[A_RATIO]));
    mp_window_advance(window, 103 * S);
    assert_true(is_known(&settled, "web", col[A_RATIO]));
    mp_window_advance(window, 112 * S); /* now has lost it, the watermark has not */
    assert_false(is_known(&now, "web", col[A_RATIO]));
    assert_true(is_known(&settled, "web", col[A_RATIO]));
    mp_window_advance(window, 113 * S);
    assert_false(is_known(&settled, "web", col[A_RATIO]));
}

static void nothing_before_since_may_vote(void **state)
{
    send(100 * S, "web", 1);
    send(100 * S + 500 * MS, "web", 1);
    send(101 * S, "web", 0);
    struct mp_read harm = {.since_ns = 100 * S + 1};
    assert_true(num_of(&harm, "web", col[A_RATIO]) == 0);
    assert_true(num_of(&now, "web", col[A_RATIO]) == 2.0 / 3);
    /* A count is a lower bound until since + 10 s: only for those who can live with it. */
    assert_false(is_known(&harm, "web", col[A_COUNT]));
    assert_int_equal(int_of(&harm, "web", col_bound), 1);
    struct mp_read verify = {.since_ns = 100 * S + 1, .settled = true};
    mp_window_advance(window, 105 * S);
    assert_false(is_known(&verify, "web", col_bound));
    for (int64_t t = 106; t <= 111; t++) send(t * S, "web", 0);
    assert_int_equal(int_of(&harm, "web", col[A_COUNT]), 7);
    send(112 * S, "web", 0);
    assert_false(is_known(&verify, "web", col_bound)); /* watermark 110: 1 ns too early */
    mp_window_advance(window, 112 * S + 1);
    assert_int_equal(int_of(&verify, "web", col_bound), 5); /* 101, 106 .. 109: pane 110 is open */
}

static void counts_wait_for_a_full_window_averages_do_not(void **state)
{
    send(100 * S, "web", 0);
    assert_false(is_known(&now, "web", col[A_COUNT]));
    assert_int_equal(int_of(&now, "web", col_bound), 1);
    assert_true(is_known(&now, "web", col[A_RATIO]));
    struct mp_value nobody = address(0);
    uint32_t key = mp_window_find(window, by_client, &nobody);
    assert_int_equal(mp_window_next_shrink(window, by_client, key), 110 * S); /* it becomes whole */
    send(109 * S, "web", 0);
    mp_window_advance(window, 110 * S);
    assert_int_equal(int_of(&now, "web", col[A_COUNT]), 2);
}

static void a_test_window_is_whole_from_the_start(void **state)
{
    send(0, "web", 0);
    assert_int_equal(int_of(&now, "web", col[A_COUNT]), 1);
    mp_window_advance(window, 3600 * S);
    assert_int_equal(int_of(&now, "web", col[A_COUNT]), 0);
    assert_false(mp_window_silent(window, requests));
}

static void a_silent_source_makes_everything_unknown(void **state)
{
    send(100 * S, "web", 0);
    assert_int_equal(mp_window_next_silence(window), 112 * S + 1);
    mp_window_advance(window, 112 * S);
    assert_false(mp_window_silent(window, requests));
    assert_int_equal(int_of(&now, "web", col[A_COUNT]), 0);
    assert_int_equal(int_of(&now, "web", col_stale), 0);
    mp_window_advance(window, 112 * S + 1);
    assert_true(mp_window_silent(window, requests));
    assert_false(is_known(&now, "web", col[A_COUNT]));
    assert_int_equal(int_of(&now, "web", col_stale), 1);
    assert_int_equal(int_of(&now, "web", col_samples), 0);
    mp_window_alive(window, requests, 3);
    assert_int_equal(int_of(&now, "web", col[A_COUNT]), 0);
}

static void a_closed_source_is_silent_at_once_unless_another_speaks(void **state)
{
    send(100 * S, "web", 0); /* source 0 */
    mp_window_alive(window, requests, 1);
    mp_window_source_closed(window, 0);
    assert_false(mp_window_silent(window, requests));
    mp_window_source_closed(window, 1);
    assert_true(mp_window_silent(window, requests));
}

static void an_average_needs_its_samples(void **state)
{
    world.agg[A_RATIO].min_samples = 3;
    send(0, "web", 1);
    send(0, "web", 1);
    assert_false(is_known(&now, "web", col[A_RATIO]));
    send(0, "web", 0);
    assert_true(num_of(&now, "web", col[A_RATIO]) == 2.0 / 3);
    send(0, "web", -1); /* unknown: counts in neither */
    assert_true(num_of(&now, "web", col[A_RATIO]) == 2.0 / 3);
    struct mp_window_counts c;
    mp_window_counts(window, &c);
    assert_int_equal(c.undecided, 1);
}

static void weights_count_and_samples_do_not(void **state)
{
    struct request q = {.service = "web", .bad = 1, .weight = 10, .latency = 100 * MS};
    world.agg[A_RATIO].min_samples = 2;
    send_at(0, &q);
    assert_false(is_known(&now, "web", col[A_RATIO]));
    q.bad = 0;
    q.weight = 30;
    q.latency = 200 * MS;
    send_at(0, &q);
    assert_true(num_of(&now, "web", col[A_RATIO]) == 0.25);
    assert_int_equal(int_of(&now, "web", col[A_COUNT]), 40);
    assert_int_equal(int_of(&now, "web", col_samples), 1);
    assert_int_equal(int_of(&now, "web", col[A_AVG]), 175 * MS);
    assert_true(num_of(&now, "web", col[A_RATE]) == 4.0);
}

static void a_record_with_an_id_counts_once(void **state)
{
    struct mp_touch t[8];
    send(100 * S, "web", 0);
    record.id = 7;
    assert_int_equal(mp_window_admit(window, &record), MP_ADMIT_OK);
    mp_window_apply(window, &record, &outputs, t);
    assert_int_equal(mp_window_admit(window, &record), MP_ADMIT_DUPLICATE);
    mp_window_advance(window, 101 * S);
    assert_int_equal(mp_window_admit(window, &record), MP_ADMIT_DUPLICATE);
    record.id = 8;
    assert_int_equal(mp_window_admit(window, &record), MP_ADMIT_OK);
}

static void seen_is_true_at_the_instant_only(void **state)
{
    send(0, "web", 1);
    struct mp_read at = {.record = &record, .outputs = &outputs};
    assert_int_equal(int_of(&at, "web", col[A_SEEN]), 1);
    assert_int_equal(int_of(&now, "web", col[A_SEEN]), 0);
    send(0, "web", 0);
    assert_int_equal(int_of(&at, "web", col[A_SEEN]), 0);
}

/* ---- gauges and counters ---- */

static bool instance_read(const char *name, uint32_t c, struct mp_value *out)
{
    return mp_window_read(window, &now, by_instance, key_of(by_instance, name), c, out);
}

static void a_gauge_is_known_until_its_period_and_lateness_after_it(void **state)
{
    struct mp_value v;
    gauge(cpu, 100 * S, "i-1", mp_value_num(0.5));
    assert_true(instance_read("i-1", col_cpu, &v));
    assert_true(mp_value_as_num(v) == 0.5);
    uint32_t key = key_of(by_instance, "i-1");
    assert_int_equal(mp_window_next_shrink(window, by_instance, key), 105 * S + 1);
    gauge(cpu, 104 * S, "i-2", mp_value_num(0.1)); /* the source lives on */
    mp_window_advance(window, 105 * S);
    assert_true(instance_read("i-1", col_cpu, &v));
    mp_window_advance(window, 105 * S + 1);
    assert_false(instance_read("i-1", col_cpu, &v));
    assert_true(instance_read("i-1", col_cpu_max, &v)); /* the window still holds it */
}

static enum mp_admit late_gauge(int64_t at_ns, const char *name, double v)
{
    known[0] = 3;
    field[0] = text(name);
    field[1] = mp_value_num(v);
    record = (struct mp_record){.number = ++number, .time_ns = at_ns, .signal = cpu, .weight = 1,
                                .layer = MP_LAYER_SERVICE, .known = known, .field = field};
    out_known[0] = 1;
    out_truth[0] = 0;
    out_value[0] = field[1];
    enum mp_admit admit = mp_window_admit(window, &record);
    if (admit == MP_ADMIT_LAST) mp_window_apply_last(window, &record, &outputs, touched);
    return admit;
}

static void a_late_gauge_is_the_last_value_if_none_is_newer_and_enters_no_window(void **state)
{
    struct mp_value v;
    gauge(cpu, 100 * S, "i-1", mp_value_num(0.5));
    assert_int_equal(late_gauge(98 * S, "i-1", 0.9), MP_ADMIT_LAST);
    assert_int_equal(late_gauge(98 * S, "i-2", 0.8), MP_ADMIT_LAST);
    assert_int_equal(late_gauge(95 * S - 1, "i-3", 0.7), MP_ADMIT_LATE);
    assert_true(instance_read("i-1", col_cpu, &v));
    assert_true(mp_value_as_num(v) == 0.5);
    assert_true(instance_read("i-2", col_cpu, &v));
    assert_true(mp_value_as_num(v) == 0.8);
    assert_false(instance_read("i-2", col_cpu_max, &v));
}

static void live_a_gauge_is_in_time_for_its_period(void **state)
{
    struct mp_value v;
    gauge(cpu, 100 * S, "i-1", mp_value_num(0.5));
    assert_int_equal(late_gauge(95 * S - 2, "i-2", 0.8), MP_ADMIT_LATE);
    assert_int_equal(late_gauge(95 * S, "i-2", 0.8), MP_ADMIT_OK);
    assert_int_equal(late_gauge(98 * S, "i-2", 0.8), MP_ADMIT_OK);
    assert_int_equal(mp_window_apply(window, &record, &outputs, touched) > 0, 1);
    assert_true(instance_read("i-2", col_cpu_max, &v));
}

static void a_counter_grows_and_starts_anew(void **state)
{
    struct mp_value v;
    const int64_t values[] = {1000, 1005, 1009, 3, 4};
    for (int i = 0; i < 5; i++) gauge(total_sent, (i + 1) * S, "i-1", mp_value_int(values[i]));
    gauge(total_sent, 5 * S, "i-2", mp_value_int(77777));
    assert_true(instance_read("i-1", col_sent, &v));
    assert_int_equal(mp_value_as_int(v), 5 + 4 + 3 + 1);
    assert_true(instance_read("i-2", col_sent, &v));
    assert_int_equal(mp_value_as_int(v), 0);
}

/* ---- other keys ---- */

static void line(uint32_t entity, const char *key, uint32_t attr, struct mp_value v)
{
    struct mp_entity_line l = {.entity = entity, .key = text(key), .attr_count = 1};
    l.attrs[0] = (struct mp_entity_attr){attr, true, v};
    assert_int_equal(mp_inventory_put(inventory, &l), MP_OK);
    mp_window_inventory_changed(window, NULL, NULL);
}

static void a_pool_is_the_events_of_all_members_together(void **state)
{
    struct mp_value callers[2] = {text("web"), text("cart")};
    line(service, "checkout", attr_callers, (struct mp_value){{(uint64_t)(uintptr_t)callers, 2}});
    for (int i = 0; i < 4; i++) send(0, "web", i == 0);
    for (int i = 0; i < 6; i++) send(0, "cart", 0);
    send(0, "admin", 1);
    assert_true(num_of(&now, "checkout", col_pooled) == 0.1);
    /* It is published for 100 ms. */
    send(50 * MS, "web", 1);
    assert_true(num_of(&now, "checkout", col_pooled) == 0.1);
    mp_window_advance(window, 100 * MS);
    assert_true(num_of(&now, "checkout", col_pooled) == 2.0 / 11);
    assert_int_equal(mp_window_next_change(window, &now, by_service,
                                           key_of(by_service, "checkout")), 200 * MS);
    assert_false(is_known(&now, "web", col_pooled)); /* the set is not known */
}

static void members_are_observed_and_counted(void **state)
{
    struct request q = {.service = "web", .instance = "web-1", .bad = 0};
    send_at(0, &q);
    mp_inventory_observe(inventory, &record, 0);
    q.instance = "web-2";
    send_at(0, &q);
    mp_inventory_observe(inventory, &record, 0);
    gauge(cpu, 0, "web-1", mp_value_num(0.95));
    gauge(cpu, 0, "web-2", mp_value_num(0.5));
    assert_int_equal(int_of(&now, "web", col_set_size), 2);
    assert_int_equal(int_of(&now, "web", col_members), 1);
    struct mp_value v;
    assert_true(instance_read("web-1", col_reached, &v)); /* the count of its service */
    assert_int_equal(mp_value_as_int(v), 2);
    mp_window_advance(window, 600 * S); /* 10 min later nobody belongs there */
    struct mp_read how = {0};
    assert_false(is_known(&how, "web", col_set_size));
}

static void an_attribute_is_a_cell_and_a_key_is_one_too(void **state)
{
    line(service, "web", attr_tier, text("critical"));
    struct mp_value v;
    assert_true(read_as(&now, "web", col_tier, &v));
    assert_true(mp_value_text_eq(v, text("critical")));
    assert_true(read_as(&now, "web", col_key, &v));
    assert_true(mp_value_text_eq(v, text("web")));
    send(0, "other", 0);
    assert_false(read_as(&now, "other", col_tier, &v));
}

/* ---- keys ---- */

static void the_least_recently_active_idle_key_gives_way_at_the_cap(void **state)
{
    make_program(10 * S, 10, 6, 3);
    mp_arena_free(&arena);
    open_window(true);
    struct request q = {.service = "web", .bad = 0};
    for (uint32_t c = 1; c <= 3; c++) {
        q.client = c;
        send_at(0, &q);
    }
    struct mp_value first = address(1), second = address(2), third = address(3),
        fourth = address(4);
    q.client = 1;
    send_at(0, &q); /* 2 is the oldest now */
    mp_window_pin(window, by_client, mp_window_find(window, by_client, &second));
    q.client = 4;
    send_at(0, &q); /* 2 is pinned, so 3 goes */
    assert_int_equal(forgotten, 1);
    assert_int_equal(mp_window_find(window, by_client, &third), MP_NONE);
    assert_int_not_equal(mp_window_find(window, by_client, &first), MP_NONE);
    mp_window_pin(window, by_client, mp_window_find(window, by_client, &first));
    mp_window_pin(window, by_client, mp_window_find(window, by_client, &fourth));
    q.client = 5;
    send_at(0, &q);
    struct mp_window_counts c;
    mp_window_counts(window, &c);
    assert_int_equal(c.keys_refused, 1);
    assert_int_equal(c.keys_evicted, 1);
    mp_window_unpin(window, by_client, mp_window_find(window, by_client, &second));
    send_at(0, &q);
    assert_int_equal(mp_window_find(window, by_client, &second), MP_NONE);
}

static void an_idle_key_is_forgotten_and_starts_from_nothing(void **state)
{
    send(0, "web", 1);
    send(0, "a-name-that-does-not-fit-in-a-value", 1);
    assert_int_not_equal(key_of(by_service, "a-name-that-does-not-fit-in-a-value"), MP_NONE);
    mp_window_advance(window, 59 * S);
    assert_int_not_equal(key_of(by_service, "web"), MP_NONE);
    mp_window_advance(window, 60 * S);
    assert_int_equal(key_of(by_service, "web"), MP_NONE);
    assert_int_equal(window->texts.used_bytes, 0);
    send(60 * S, "web", 0);
    assert_int_equal(int_of(&now, "web", col[A_COUNT]), 1);
    assert_true(touched[0].fresh);
}

static void keys_of_a_million_clients_stay_within_their_table(void **state)
{
    struct request q = {.service = "web", .bad = 0};
    for (uint32_t i = 0; i < 20000; i++) {
        q.client = i * 7919u;
        q.at_ns = i * MS;
        send_at(i * MS, &q);
    }
    assert_int_equal(mp_window_key_count(window, by_client), 1000);
    for (uint32_t i = 19990; i < 20000; i++) {
        struct mp_value v = address((i * 7919u) & 0xffffff);
        assert_int_not_equal(mp_window_find(window, by_client, &v), MP_NONE);
    }
}

static void every_row_that_a_record_changes_is_touched(void **state)
{
    send(0, "web", 0);
    assert_int_equal(touched_count, 4);
    assert_int_equal(touched[3].grouping, by_mesh);
    assert_int_equal(touched[3].key, 0);
}

/* ---- keeping ---- */

static char saved[1 << 20];
static size_t saved_size;

static bool save_piece(void *ctx, const void *bytes, size_t size)
{
    if (saved_size + size > sizeof saved) return false;
    memcpy(saved + saved_size, bytes, size);
    saved_size += size;
    return true;
}

static void fill_some(void)
{
    char name[16];
    for (uint32_t i = 0; i < 2000; i++) {
        snprintf(name, sizeof name, "user-%u", i % 130);
        struct request q =
            {.at_ns = i * 4 * MS, .service = i % 3 ? "web" : "a-service-with-a-long-name",
                            .bad = i % 7 == 0, .latency = (i % 50 + 1) * MS, .user = name};
        send_at(i * 4 * MS, &q);
    }
}

static void compare_windows(struct mp_window *a, struct mp_window *b, const char *name)
{
    for (uint32_t i = 0; i < A_SEEN; i++) {
        struct mp_value x, y, key = text(name);
        struct mp_read how = {0};
        bool p =
            mp_window_read(a, &how, by_service, mp_window_find(a, by_service, &key), col[i], &x);
        bool q =
            mp_window_read(b, &how, by_service, mp_window_find(b, by_service, &key), col[i], &y);
        assert_int_equal(p, q);
        if (p) assert_memory_equal(&x, &y, sizeof x);
    }
}

static void windows_outlive_a_restart(void **state)
{
    fill_some();
    saved_size = 0;
    assert_int_equal(mp_window_save(window, NULL, save_piece), MP_OK);
    struct mp_window *again;
    struct mp_window_limits limits = {.keys_max = 5000, .always_alive = true};
    assert_int_equal(mp_window_create(&arena, &world.p, &limits, hash_key, inventory, NULL,
                                      &again), MP_OK);
    assert_int_equal(mp_window_restore(again, saved, saved_size), MP_OK);
    compare_windows(window, again, "web");
    compare_windows(window, again, "a-service-with-a-long-name");
    mp_window_advance(window, 12 * S);
    mp_window_advance(again, 12 * S);
    compare_windows(window, again, "web");
}

static void different_values_are_not_counted_on_under_another_hash_key(void **state)
{
    fill_some();
    saved_size = 0;
    assert_int_equal(mp_window_save(window, NULL, save_piece), MP_OK);
    struct mp_window *again;
    struct mp_window_limits limits = {.keys_max = 5000, .always_alive = true};
    struct mp_hash_key other = {3, 4};
    assert_int_equal(mp_window_create(&arena, &world.p, &limits, other, inventory, NULL, &again),
                     MP_OK);
    assert_int_equal(mp_window_restore(again, saved, saved_size), MP_OK);
    struct mp_value v, key = text("web");
    uint32_t at = mp_window_find(again, by_service, &key);
    assert_true(mp_window_read(again, &now, by_service, at, col[A_COUNT], &v));
    assert_true(mp_value_as_int(v) > 0);
    assert_true(mp_window_read(again, &now, by_service, at, col[A_DISTINCT], &v));
    assert_int_equal(mp_value_as_int(v), 0);
}

static void damaged_bytes_are_refused_and_harm_nothing(void **state)
{
    fill_some();
    saved_size = 0;
    assert_int_equal(mp_window_save(window, NULL, save_piece), MP_OK);
    uint64_t seed = 20261125;
    printf("seed %llu\n", (unsigned long long)seed);
    struct mp_window_limits limits = {.keys_max = 100, .always_alive = true};
    for (int i = 0; i < 200; i++) {
        struct mp_arena a;
        mp_arena_init(&a, NULL, 0);
        struct mp_window *again;
        assert_int_equal(mp_window_create(&a, &world.p, &limits, hash_key, inventory, NULL,
                                          &again), MP_OK);
        size_t cut = i % 2 ? saved_size : mp_rng_next(&seed) % saved_size;
        for (int k = 0; k < 20; k++) {
            saved[mp_rng_next(&seed) % saved_size] ^= (char)mp_rng_next(&seed);
        }
        mp_window_restore(again, saved, cut);
        mp_window_advance(again, 10 * S);
        struct mp_row row = {.known = (uint64_t[8]){0}, .cell = (struct mp_value[64]){{{0, 0}}}};
        uint32_t key = mp_window_next_key(again, by_service, 0);
        if (key != MP_NONE) mp_window_fill(again, &now, by_service, key, &row);
        mp_arena_free(&a);
    }
}

static void windows_survive_a_reload_with_their_keys_and_pins(void **state)
{
    fill_some();
    uint32_t was = key_of(by_service, "web");
    mp_window_pin(window, by_service, was);
    struct mp_window *next;
    struct mp_window_limits limits = {.keys_max = 5000, .always_alive = true};
    assert_int_equal(mp_window_create(&arena, &world.p, &limits, hash_key, inventory, NULL, &next),
                     MP_OK);
    mp_window_adopt(next, window, NULL, NULL);
    compare_windows(window, next, "web");
    struct mp_value name = text("web");
    mp_window_unpin(next, by_service, mp_window_find(next, by_service, &name));
    mp_window_advance(window, 9 * S);
    mp_window_advance(next, 9 * S);
    compare_windows(window, next, "a-service-with-a-long-name");
}

/* ---- against a recomputation ---- */

#define MANY 3000

static struct request history[MANY];
static char users[MANY][16];

/* Records of a service in the panes that the read covers, straight from the list. */
static bool covered(const struct request *q, int64_t from_pane, int64_t to_pane, int64_t pane_ns)
{
    int64_t pane = q->at_ns / pane_ns;
    return pane >= from_pane && pane <= to_pane;
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static void close_to(double got, double want, double share)
{
    double bound = (want < 0 ? -want : want) * share + 1e-9;
    if (got < want - bound || got > want + bound) {
        printf("got %.9g, wanted %.9g\n", got, want);
        fail();
    }
}

static void check_all(int count, const char *name, const struct mp_read *how, int64_t t, int64_t d,
                      uint32_t panes, uint32_t sketch_panes)
{
    int64_t pane = (d + panes - 1) / panes, end = how->settled ? t - LATENESS : t;
    int64_t from, to = INT64_MAX;
    int64_t n = 0, bad = 0, decided = 0, weight = 0, size = 0, low = INT64_MAX, high = 0;
    double latency = 0, square = 0, share = 0;
    if (how->settled) {
        int64_t f = floor_div(end, pane);
        to = f - 1;
        from = floor_div(f * pane - d, pane);
    } else {
        from = floor_div(end - d, pane);
    }
    for (int i = 0; i < count; i++) {
        const struct request *q = &history[i];
        if (strcmp(q->service, name) != 0 || !covered(q, from, to, pane)) continue;
        n++;
        weight += q->weight;
        if (q->bad >= 0) decided += q->weight;
        if (q->bad > 0) bad += q->weight;
        size += q->size * q->weight;
        latency += (double)q->latency * (double)q->weight;
        share += q->share * (double)q->weight;
        if (q->latency < low) low = q->latency;
        if (q->latency > high) high = q->latency;
    }
    assert_int_equal(int_of(how, name, col[A_COUNT]), weight);
    assert_int_equal(int_of(how, name, col[A_BAD_COUNT]), bad);
    assert_int_equal(int_of(how, name, col[A_SUM]), size);
    close_to(num_of(how, name, col[A_RATE]), (double)weight / ((double)d / 1e9), 1e-12);
    if (decided != 0) close_to(num_of(how, name, col[A_RATIO]), (double)bad / (double)decided, 0);
    if (n == 0) {
        assert_false(is_known(how, name, col[A_AVG]));
        assert_false(is_known(how, name, col[A_MIN]));
        return;
    }
    double mean = latency / (double)weight;
    close_to((double)int_of(how, name, col[A_AVG]), mean, 1e-6);
    assert_int_equal(int_of(how, name, col[A_MIN]), low);
    assert_int_equal(int_of(how, name, col[A_MAX]), high);
    close_to(num_of(how, name, col[A_AVG_SHARE]), share / (double)weight, 1e-6);
    for (int i = 0; i < count; i++) {
        const struct request *q = &history[i];
        if (strcmp(q->service, name) != 0 || !covered(q, from, to, pane)) continue;
        square += ((double)q->latency - mean) * ((double)q->latency - mean) * (double)q->weight;
    }
    double variance = square / (double)weight, dev = (double)int_of(how, name, col[A_DEV]);
    close_to(dev * dev, variance, 1e-6 + 3 / (dev + 1));

    /* Sketches have panes of their own. */
    static int64_t sorted[MANY * 4];
    int64_t sketch = (d + sketch_panes - 1) / sketch_panes;
    size_t m = 0, different = 0;
    if (how->settled) {
        int64_t f = floor_div(end, sketch);
        to = f - 1;
        from = floor_div(f * sketch - d, sketch);
    } else {
        from = floor_div(end - d, sketch);
    }
    for (int i = 0; i < count; i++) {
        const struct request *q = &history[i];
        if (strcmp(q->service, name) != 0 || !covered(q, from, to, sketch)) continue;
        for (int64_t k = 0; k < q->weight; k++) sorted[m++] = q->latency;
        bool twice = q->user == NULL;
        for (int k = 0; k < i && !twice; k++) {
            twice = history[k].user != NULL && strcmp(history[k].service, name) == 0 &&
                    covered(&history[k], from, to, sketch) && strcmp(history[k].user, q->user) == 0;
        }
        different += !twice;
    }
    double distinct = (double)int_of(how, name, col[A_DISTINCT]);
    if (different <= 64) assert_true(distinct == (double)different);
    else close_to(distinct, (double)different, 0.12);
    if (m == 0) return;
    qsort(sorted, m, sizeof sorted[0], by_value);
    size_t rank50 = (m * 500 + 999) / 1000, rank99 = (m * 990 + 999) / 1000;
    close_to((double)int_of(how, name, col[A_P50]), (double)sorted[rank50 - 1], 0.0205);
    close_to((double)int_of(how, name, col[A_P99]), (double)sorted[rank99 - 1], 0.0205);
}

static void every_aggregate_equals_its_recomputation(void **state)
{
    uint64_t seed = 0x5eed2026;
    const char *names[] = {"web", "cart", "a-service-with-a-long-name"};
    for (int round = 0; round < 6; round++) {
        printf("seed %llu\n", (unsigned long long)seed);
        int64_t d = (int64_t)(mp_rng_next(&seed) % 12 + 1) * S +
            (int64_t)(mp_rng_next(&seed) % 3) * 333 * MS;
        uint32_t panes = round % 2 ? 60 : 8;
        make_program(d, panes, 6, 1000);
        mp_arena_free(&arena);
        open_window(true);
        int64_t t = 5 * S;
        for (int i = 0; i < MANY; i++) {
            t += (int64_t)(mp_rng_next(&seed) % 30) * MS;
            if (mp_rng_next(&seed) % 500 == 0) t += 7 * S;
            int64_t back = (int64_t)(mp_rng_next(&seed) % 2000) * MS;
            snprintf(users[i], sizeof users[i], "u%u",
                     (unsigned)(mp_rng_next(&seed) % (round < 3 ? 50 : 2000)));
            history[i] = (struct request){
                .at_ns = t - (i % 3 == 0 ? back : 0), .service = names[mp_rng_next(&seed) % 3],
                .bad = (int)(mp_rng_next(&seed) % 3) - 1,
                .latency = (int64_t)(1000 + mp_rng_next(&seed) % 500000) * 1000,
                .size = (int64_t)(mp_rng_next(&seed) % 100000),
                    .weight = (int64_t)(mp_rng_next(&seed) % 4) + 1,
                .share = (double)(mp_rng_next(&seed) % 1000) / 1000,
                .user = i % 5 ? users[i] : NULL};
            assert_int_equal(send_at(t, &history[i]), MP_ADMIT_OK);
            struct mp_read settled = {.settled = true};
            if (i % 37 == 0) {
                if (mp_rng_next(&seed) % 2) {
                    t += (int64_t)(mp_rng_next(&seed) % 1500) * MS;
                    mp_window_advance(window, t);
                }
                for (int k = 0; k < 3; k++) {
                    if (key_of(by_service, names[k]) == MP_NONE) continue;
                    check_all(i + 1, names[k], &now, t, d, panes, 6);
                    check_all(i + 1, names[k], &settled, t, d, panes, 6);
                }
            }
        }
    }
}

static void a_value_moves_only_when_next_change_says_so(void **state)
{
    uint64_t seed = 77;
    for (int i = 0; i < 300; i++) {
        struct request q = {.at_ns = i * 13 * MS, .service = "web", .bad = i % 2,
                            .latency = (int64_t)(mp_rng_next(&seed) % 1000 + 1) * MS};
        send_at(i * 13 * MS, &q);
    }
    const struct mp_read hows[] = {{0}, {.settled = true}, {.since_ns = 1500 * MS},
                                   {.settled = true, .since_ns = 1500 * MS}};
    uint32_t key = key_of(by_service, "web");
    for (size_t h = 0; h < 4; h++) {
        int64_t base = window->now_ns;
        for (int step = 0; step < 40; step++) {
            int64_t next = mp_window_next_change(window, &hows[h], by_service, key);
            if (next == INT64_MAX) break;
            assert_true(next > window->now_ns);
            struct mp_value before[A_SEEN], after;
            bool was[A_SEEN];
            for (uint32_t a = 0; a < A_SEEN; a++) {
                was[a] = read_as(&hows[h], "web", col[a], &before[a]);
            }
            mp_window_advance(window, next - 1);
            for (uint32_t a = 0; a < A_SEEN; a++) {
                assert_int_equal(read_as(&hows[h], "web", col[a], &after), was[a]);
                if (was[a]) assert_memory_equal(&after, &before[a], sizeof after);
            }
            mp_window_advance(window, next);
        }
        assert_true(window->now_ns > base || h > 0);
    }
}

static void a_set_value_replaces_what_is_computed_until_it_is_taken_back(void **state)
{
    struct mp_def_row *def = world_add_def(&world);
    def->type = MP_TYPE_PERCENT;
    def->grouping = by_service;
    uint32_t state_col, value_col;
    /* Columns of by_service must stand together: two of its own become override columns. */
    state_col = col[A_MIN];
    value_col = col[A_MAX];
    world.column[state_col] = (struct mp_column_row){.kind = MP_COL_OVERRIDE, .type = MP_TYPE_INT,
        .agg = MP_NONE, .fn = MP_NONE, .grouping = MP_NONE, .signal = MP_NONE,
            .flags = MP_COL_STATE,
        .walks_at = world_walk(&world, MP_WALK_KEY, 0, MP_NONE, MP_NONE), .walks_count = 1};
    world.column[value_col] = world.column[state_col];
    world.column[value_col].flags = 0;
    world.column[value_col].type = MP_TYPE_PERCENT;
    mp_arena_free(&arena);
    open_window(true);
    struct mp_value web = text("web");
    mp_window_advance(window, S);
    assert_int_equal(mp_window_set_override(window, 0, &web, MP_WINDOW_OVERRIDE_SET,
                                            mp_value_num(0.07)), MP_OK);
    assert_int_equal(int_of(&now, "web", state_col), 1);
    assert_true(num_of(&now, "web", value_col) == 0.07);
    mp_window_advance(window, 100000 * S); /* the key stays */
    assert_int_equal(mp_window_set_override(window, 0, &web, MP_WINDOW_OVERRIDE_UNKNOWN, web),
                     MP_OK);
    assert_int_equal(int_of(&now, "web", state_col), 3);
    assert_false(is_known(&now, "web", value_col));
}

static void the_memory_bound_takes_keys_from_the_largest_groupings(void **state)
{
    make_program(10 * S, 60, 6, 1000000);
    struct mp_window_limits limits = {.keys_max = 1000000, .memory_bytes = 64u << 20};
    size_t bytes = mp_window_bytes(&world.p, &limits);
    assert_true(bytes < (size_t)96 << 20);
    limits.memory_bytes = 1000;
    assert_true(mp_window_bytes(&world.p, &limits) == SIZE_MAX);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, standard, teardown)
#define ALIVE(name) cmocka_unit_test_setup_teardown(name, standard_alive, teardown)
    const struct CMUnitTest tests[] = {
        CASE(a_late_record_enters_no_window_and_is_counted),
        CASE(a_record_ahead_of_now_counts_now),
        CASE(nothing_before_since_may_vote),
        CASE(counts_wait_for_a_full_window_averages_do_not),
        CASE(a_silent_source_makes_everything_unknown),
        CASE(a_closed_source_is_silent_at_once_unless_another_speaks),
        CASE(a_record_with_an_id_counts_once),
        ALIVE(a_window_holds_every_pane_that_ends_after_its_left_edge),
        ALIVE(a_settled_read_ends_at_the_watermark),
        ALIVE(a_test_window_is_whole_from_the_start),
        ALIVE(an_average_needs_its_samples),
        ALIVE(weights_count_and_samples_do_not),
        ALIVE(seen_is_true_at_the_instant_only),
        ALIVE(a_gauge_is_known_until_its_period_and_lateness_after_it),
        ALIVE(a_late_gauge_is_the_last_value_if_none_is_newer_and_enters_no_window),
        cmocka_unit_test_setup_teardown(live_a_gauge_is_in_time_for_its_period, standard_live,
                                        teardown),
        ALIVE(a_counter_grows_and_starts_anew),
        ALIVE(a_pool_is_the_events_of_all_members_together),
        ALIVE(members_are_observed_and_counted),
        ALIVE(an_attribute_is_a_cell_and_a_key_is_one_too),
        ALIVE(the_least_recently_active_idle_key_gives_way_at_the_cap),
        ALIVE(an_idle_key_is_forgotten_and_starts_from_nothing),
        ALIVE(keys_of_a_million_clients_stay_within_their_table),
        ALIVE(every_row_that_a_record_changes_is_touched),
        ALIVE(windows_outlive_a_restart),
        ALIVE(different_values_are_not_counted_on_under_another_hash_key),
        ALIVE(damaged_bytes_are_refused_and_harm_nothing),
        ALIVE(windows_survive_a_reload_with_their_keys_and_pins),
        ALIVE(every_aggregate_equals_its_recomputation),
        ALIVE(a_value_moves_only_when_next_change_says_so),
        ALIVE(a_set_value_replaces_what_is_computed_until_it_is_taken_back),
        cmocka_unit_test(the_memory_bound_takes_keys_from_the_largest_groupings),
    };
    return cmocka_run_group_tests_name("window", tests, NULL, NULL);
}
