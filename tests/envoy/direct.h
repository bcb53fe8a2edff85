/* SPDX-License-Identifier: Apache-2.0
 * direct.h - the Envoy backend in the test's own process, in front of real Envoys and, beside
 * them, of proxies in memory (fake.h): no engine, no daemon, so that a test says what is to be in
 * force and sees each fact by itself.
 */
#ifndef TEST_ENVOY_DIRECT_H
#define TEST_ENVOY_DIRECT_H

#include "fake.h"

/* A control plane for the proxies of `m` and `real_count` Envoys. It does not listen yet. */
void direct_begin(struct fake_mesh *m, const struct mp_envoy_limits *limits, uint32_t real_count);
/* Where all of it happens, from direct_begin on. */
struct uv_loop_s *direct_loop(void);
/* After the first apply; a second call does nothing. */
void direct_listen(const char *address);
/* The first of the proxies in memory asks for these clusters (names and a NULL; NULL: none). */
void direct_connect_fakes(const char *const *clusters);
/* As `kill -9` leaves it: connections end, and proxies go on with what they have. */
void direct_crash(void);
void direct_stop(void);

struct mpol_progress direct_progress(void);
/* Lets everybody come a step further. */
void direct_turn(void);
/* Until all real Envoys are there and the revision is accepted, or effective too. */
void direct_wait(uint64_t revision, bool effective);
/* Nothing of this node is proven until another one (or NULL) is held. */
void direct_hold(const char *node);

#endif
