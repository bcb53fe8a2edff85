/* SPDX-License-Identifier: Apache-2.0
 * The rules of the loop bench, once for the policy and once for C: 100 loop rules over 12
 * aggregates of a service, each with two comparisons, and 20 inline rules.
 */
#ifndef LOOP_RULES_H
#define LOOP_RULES_H

#include <stddef.h>

/* AGG(number, policy text, unit of a threshold) */
#define LOOP_AGGS(AGG)                                                                             \
    AGG(0, "count(requests) over 10s", "")                                                         \
    AGG(1, "count(requests where status >= 500) over 10s", "")                                     \
    AGG(2, "ratio(requests where status >= 500) over 1m", "%")                                     \
    AGG(3, "rate(requests where method == \"POST\") over 30s", "/s")                               \
    AGG(4, "sum(requests.bytes_out) over 1m", "B")                                                 \
    AGG(5, "avg(requests.bytes_in) over 1m", "B")                                                  \
    AGG(6, "max(requests.latency) over 10s", "ms")                                                 \
    AGG(7, "count(requests where latency > 500ms) over 30s", "")                                   \
    AGG(8, "p99(requests.latency) over 30s", "ms")                                                 \
    AGG(9, "p99(requests.latency) over 1m", "ms")                                                  \
    AGG(10, "p99(requests.bytes_out) over 1m", "B")                                                \
    AGG(11, "p99(requests.latency where method == \"POST\") over 1m", "ms")

enum { LOOP_AGG_COUNT = 12, LOOP_RULE_COUNT = 100, LOOP_INLINE_COUNT = 20, LOOP_SERVICES = 1000 };

struct loop_rule {
    int agg[2];
    double limit[2]; /* in the unit of the aggregate */
};

/* Fills in all rules; few of them are ever true, for a few bad services. */
void loop_rules_make(struct loop_rule rules[LOOP_RULE_COUNT]);

/* ---- the same thing by hand (loop_c.c) ---- */

/* A request as a C program would keep it. Names are texts of at most 16 bytes, zero-padded. */
struct loop_event {
    long long time_ns, latency_ns, bytes_in, bytes_out;
    int status;
    unsigned char layer_is_service, is_post, is_mtls;
    unsigned char ip[16];
    char service[16], path[32];
};

struct loop_c;
size_t loop_c_bytes(void);
struct loop_c *loop_c_make(void *memory, const struct loop_rule *rules);
/* Takes one event in and tests all rules. */
void loop_c_event(struct loop_c *c, const struct loop_event *e);
/* How often each rule was true; inline rules behind the others. */
const unsigned long long *loop_c_true(const struct loop_c *c);

#endif
