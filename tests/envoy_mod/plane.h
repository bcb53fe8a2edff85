/* SPDX-License-Identifier: Apache-2.0
 * plane.h - a control plane for tests: a socket, a fleet of modules behind it, and a thread that
 * serves them. Functions may be called from the test's thread at any time.
 */
#ifndef TEST_ENVOY_MOD_PLANE_H
#define TEST_ENVOY_MOD_PLANE_H

#include "envoy_mod/fleet.h"

struct plane;

/* Listens on `path`. */
struct plane *plane_start(const char *path);
/* As if it were killed: connections end, the socket's file stays. */
void plane_kill(struct plane *p);

/* Compiles a policy and puts it in force; the number of its revision. */
uint64_t plane_policy(struct plane *p, const char *text);
/* Sends bytes as a program, whatever they are. */
void plane_image(struct plane *p, mp_str image);
/* Lines of inventory, each with its end. */
void plane_inventory(struct plane *p, const char *lines);
/* The image of a policy, to be freed. */
mp_str plane_compile(const char *text);
/* Puts these leases in force: the revision. */
uint64_t plane_leases(struct plane *p, const struct mpol_lease *leases, size_t count);
/* A lease `verb` of `kind`, e.g. deny client 127.0.0.2; begins now, ends in an hour. */
struct mpol_lease plane_lease(uint64_t id, const char *verb, const char *kind, const char *type,
                              const char *target);

/* Waits; false: not within the bound. */
bool plane_wait_connected(struct plane *p);
bool plane_wait_program(struct plane *p, uint64_t revision);   /* passed by every worker */
bool plane_wait_effective(struct plane *p, uint64_t revision); /* of leases */
bool plane_wait_trouble(struct plane *p, const char *text);
/* Waits for a line of telemetry that contains all of these (ends with NULL). */
bool plane_wait_record(struct plane *p, const char *text, ...);
struct mp_fleet_info plane_info(struct plane *p);
bool plane_wait_records(struct plane *p, uint64_t count); /* more than so many lines have come */
/* Lines seen so far. */
uint64_t plane_records(struct plane *p);
/* When the newest line came, monotonic. */
int64_t plane_record_ns(struct plane *p);

#endif
