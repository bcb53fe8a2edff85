/* SPDX-License-Identifier: Apache-2.0
 * fixture.h - a loop, a server with methods that test it, and clients that remember what they got.
 *
 * Methods: /test/Echo answers each message with itself. /test/Sink counts, and answers one
 *          message and OK
 * when the peer has ended. /test/Flood sends what the first message says ("COUNT SIZE"), waiting
 * where it must. /test/Refuse and /test/Bad refuse streams and messages. /test/Quit finishes from
 * within.
 */
#ifndef MP_TESTS_GRPC_FIXTURE_H
#define MP_TESTS_GRPC_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "client.h"
#include "grpc/grpc.h"

#define GUARD_MS 60000 /* LIMIT: a condition that does not come is a failure */

struct rig {
    uv_loop_t loop;
    uv_timer_t guard;
    bool late;
    struct mp_grpc_server *server;
    char target[128];
    unsigned opened, closed; /* streams, as the methods saw it */
    unsigned drained;
    struct mp_grpc_stream *last; /* the newest open stream */
    char identity[256], address[128];
    size_t sunk, sunk_bytes;
};

/* What a client's call has seen. */
struct seen {
    unsigned messages;
    size_t bytes;
    char last[128]; /* message, cut */
    bool wrong;     /* messages that are numbered came in another order */
    bool ended;
    int status;
    char text[256];
};

struct line {
    bool closed;
    char why[128];
};

void rig_open(struct rig *r, const struct mp_grpc_options *options);
/* on a free port; NULL: defaults */
void rig_open_plain(struct rig *r, const struct mp_grpc_limits *limits);
void rig_close(struct rig *r); /* checks that nothing is left */
struct mp_grpc_counts rig_counts(const struct rig *r);
extern const struct mp_grpc_method rig_methods[];
extern const size_t rig_method_count;

/* Runs the loop until the condition holds. */
#define RIG_UNTIL(r, condition)                                                                    \
    do {                                                                                           \
        rig_guard(r);                                                                              \
        while (!(condition) && !(r)->late) uv_run(&(r)->loop, UV_RUN_ONCE);                        \
        if ((r)->late) fail_msg("does not come: %s", #condition);                                  \
        rig_unguard(r);                                                                            \
    } while (0)
void rig_guard(struct rig *r);
void rig_unguard(struct rig *r);

struct grpc_client *rig_client(struct rig *r, struct line *line);
struct grpc_call *rig_call(struct grpc_client *client, const char *path, struct seen *seen);
void line_closed(void *ctx, const char *why);

#endif
