/* SPDX-License-Identifier: Apache-2.0
 * bed.h - a program over everything that a window can do, records for it, and what is read of them.
 * One at a time: all of it is in variables of this test's own.
 */
#ifndef MP_TESTS_WINDOW_BED_H
#define MP_TESTS_WINDOW_BED_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "window/window.h"
#include "world.h"

#define S INT64_C(1000000000)
#define MS INT64_C(1000000)
#define LATENESS (2 * S)

/* Outputs of the record unit of `requests`, as every test hands them in. */
enum { OUT_BAD, OUT_LATENCY, OUT_SIZE, OUT_SHARE, OUT_USER, OUT_ASKED, OUTS };

/* Slots of a record of `requests`. */
enum { F_SERVICE, F_INSTANCE, F_CLIENT };

/* Aggregates of by_service, all over 10 s of requests unless said otherwise. */
enum {
    A_COUNT, A_BAD_COUNT, A_RATIO, A_RATE, A_AVG, A_SUM, A_MIN, A_MAX, A_P50, A_P99, A_DEV,
        A_DISTINCT,
    A_AVG_SHARE, A_SEEN, A_SERVICE_END,
    A_CPU = A_SERVICE_END, A_CPU_MAX, A_SENT, A_INSTANCE_COUNT, A_CLIENT_COUNT, A_MESH_COUNT
};

/* The program, what is kept for it, and its rows. */
extern struct world world;
extern struct mp_arena arena;
extern struct mp_inventory *inventory;
extern struct mp_window *window;
extern uint32_t service, instance, client, attr_tier, attr_instances, attr_callers, attr_service;
extern uint32_t requests, cpu, total_sent;
extern uint32_t by_service, by_instance, by_client, by_mesh;
extern uint32_t forgotten, forgotten_key;
extern const struct mp_hash_key hash_key;

/* ---- the program ---- */
extern uint32_t col[A_SERVICE_END], col_samples, col_pooled, col_members, col_set_size, col_tier,
    col_key;
extern uint32_t col_cpu, col_cpu_max, col_sent, col_reached, col_client, col_stale, col_bound;
void make_program(int64_t d, uint32_t panes, uint32_t sketch_panes, uint32_t client_cap);

/* ---- setup: the standard program, a window over it ---- */
void open_window(bool always_alive);
int standard(void **state);
int standard_alive(void **state);
int standard_live(void **state);
int teardown(void **state);

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
struct mp_value text(const char *s);
struct mp_value address(uint32_t n);
extern uint64_t number;
extern uint64_t known[1], out_known[1], out_truth[1];
extern struct mp_value field[4], out_value[OUTS];
extern struct mp_record record;
extern struct mp_outputs outputs;
extern struct mp_touch touched[8];
extern uint32_t touched_count;
/* Tells the window of it at `now_ns`; what it touched is in `touched`. */
enum mp_admit send_at(int64_t now_ns, const struct request *q);
enum mp_admit send_one(int64_t at_ns, const char *name, int bad);
void gauge(uint32_t signal, int64_t at_ns, const char *name, struct mp_value v);

/* ---- reading a service ---- */
extern const struct mp_read now;
uint32_t key_of(uint32_t grouping, const char *name);
bool read_as(const struct mp_read *how, const char *name, uint32_t c, struct mp_value *out);
int64_t int_of(const struct mp_read *how, const char *name, uint32_t c);
double num_of(const struct mp_read *how, const char *name, uint32_t c);
bool is_known(const struct mp_read *how, const char *name, uint32_t c);

#endif
