/* SPDX-License-Identifier: Apache-2.0
 * random.h - messages of any generated type, filled by chance.
 */
#ifndef MP_TESTS_ENVOY_WIRE_RANDOM_H
#define MP_TESTS_ENVOY_WIRE_RANDOM_H

#include <protobuf-c/protobuf-c.h>

#include "base/arena.h"
#include "base/hash.h"

struct chance {
    uint64_t state; /* not 0 */
    struct mp_arena *arena;
};

uint64_t chance_below(struct chance *c, uint64_t n); /* 0 .. n - 1 */
mp_str chance_text(struct chance *c);                /* UTF-8 */
/* A message of this type with a random choice of fields, at most `depth` messages deep. */
ProtobufCMessage *chance_message(struct chance *c, const ProtobufCMessageDescriptor *type,
                                 unsigned depth);
/* It as bytes. */
mp_str chance_pack(struct chance *c, const ProtobufCMessage *m);

#endif
