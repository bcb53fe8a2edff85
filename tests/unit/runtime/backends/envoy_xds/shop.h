/* SPDX-License-Identifier: Apache-2.0
 * shop.h - a mesh for tests of many proxies: two instances of a shop, a gateway, a set of leases.
 */
#ifndef MP_TEST_ENVOY_SHOP_H
#define MP_TEST_ENVOY_SHOP_H

#include "fake.h"
#include "sets.h"

extern struct fake_mesh m;
extern struct set s;
extern const char *const shop, *const gate; /* nodes */

/* In main: the argument `sotw` makes all proxies speak the state of the world. Does it? */
bool shop_speaks(int argc, char **argv);
/* Around each test. */
int open_mesh(void **state);
int open_looking(void **state); /* the same, and somebody looks at listeners */
int close_mesh(void **state);
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_mesh, close_mesh)

void know_identities(void); /* from now on, that of each service is known */
void apply(void);
/* A set of one lease. */
void want(uint64_t revision, const char *verb, const char *kind, const char *target);
/* A set of so many denials: of 10.0.0.1, 10.0.0.2 and on. */
void deny_clients(uint64_t revision, unsigned count);
struct mpol_progress progress(void);
/* Time passes, and mpol looks each half a second, as it does while it runs. */
void pass(int64_t ns);
struct mp_envoy_counts counts(void);
bool is_told(const char *node); /* is a proxy known by that name? */
/* What is told of a proxy; fails where there is none of that name. */
struct mp_envoy_proxy look(const char *node);
/* One lease is held, for this reason. */
void held_is(const struct mpol_progress *p, const char *text);
/* No trouble, and this is what is waited for. */
void waits_for(const char *text);

#endif
