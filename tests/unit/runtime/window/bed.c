/* SPDX-License-Identifier: Apache-2.0 */
#include "bed.h"

#include <stdio.h>

struct world world;
struct mp_arena arena;
struct mp_inventory *inventory;
struct mp_window *window;
uint32_t service, instance, client, attr_tier, attr_instances, attr_callers, attr_service;
uint32_t requests, cpu, total_sent;
uint32_t by_service, by_instance, by_client, by_mesh;
uint32_t forgotten, forgotten_key;

const struct mp_hash_key hash_key = {1, 2};

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

uint32_t col[A_SERVICE_END], col_samples, col_pooled, col_members, col_set_size, col_tier,
    col_key;
uint32_t col_cpu, col_cpu_max, col_sent, col_reached, col_client, col_stale, col_bound;

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
void make_program(int64_t d, uint32_t panes, uint32_t sketch_panes, uint32_t client_cap)
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

void open_window(bool always_alive)
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

int standard(void **state)
{
    make_program(10 * S, 10, 6, 1000);
    open_window(false);
    return 0;
}

int standard_alive(void **state)
{
    make_program(10 * S, 10, 6, 1000);
    open_window(true);
    return 0;
}

int standard_live(void **state)
{
    make_program(10 * S, 10, 6, 1000);
    live = true;
    open_window(false);
    live = false;
    return 0;
}

int teardown(void **state)
{
    mp_arena_free(&arena);
    return 0;
}

/* ---- records ---- */

struct mp_value text(const char *s) { return mp_value_text(mp_str_of(s)); }

struct mp_value address(uint32_t n)
{
    struct mp_value v;
    uint32_t bits;
    char s[32];
    int len = snprintf(s, sizeof s, "10.%u.%u.%u", n >> 16 & 255, n >> 8 & 255, n & 255);
    assert_true(mp_value_address((mp_str){s, (size_t)len}, &v, &bits));
    return v;
}

uint64_t number;
uint64_t known[1], out_known[1], out_truth[1];
struct mp_value field[4], out_value[OUTS];
struct mp_record record;
struct mp_outputs outputs = {out_known, out_truth, out_value};
struct mp_touch touched[8];
uint32_t touched_count;

enum mp_admit send_at(int64_t now_ns, const struct request *q)
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

enum mp_admit send_one(int64_t at_ns, const char *name, int bad)
{
    struct request q = {.at_ns = at_ns, .service = name, .bad = bad, .latency = 10 * MS};
    return send_at(at_ns, &q);
}

void gauge(uint32_t signal, int64_t at_ns, const char *name, struct mp_value v)
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

const struct mp_read now = {0};

uint32_t key_of(uint32_t grouping, const char *name)
{
    struct mp_value v = text(name);
    return mp_window_find(window, grouping, &v);
}

bool read_as(const struct mp_read *how, const char *name, uint32_t c, struct mp_value *out)
{
    return mp_window_read(window, how, by_service, key_of(by_service, name), c, out);
}

int64_t int_of(const struct mp_read *how, const char *name, uint32_t c)
{
    struct mp_value v;
    assert_true(read_as(how, name, c, &v));
    return mp_value_as_int(v);
}

double num_of(const struct mp_read *how, const char *name, uint32_t c)
{
    struct mp_value v;
    assert_true(read_as(how, name, c, &v));
    return mp_value_as_num(v);
}

bool is_known(const struct mp_read *how, const char *name, uint32_t c)
{
    struct mp_value v;
    return read_as(how, name, c, &v);
}
