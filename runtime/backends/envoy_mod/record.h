/* SPDX-License-Identifier: Apache-2.0
 * record.h - what a worker notes of a request, in the few bytes of a ring's slot, and the line of
 * telemetry that the link makes of it.
 *
 * Owns:    nothing. Threads: pure functions. What does not fit into a slot is left out, longest
 *          last resort first: a text that is cut is not a text, so it is absent.
 */
#ifndef MP_ENVOY_MOD_RECORD_H
#define MP_ENVOY_MOD_RECORD_H

#include "envoy_mod/frame.h"
#include "envoy_mod/gate.h"

/* Beside the fields of the vocabulary. */
enum mp_record_extra {
    MP_RECORD_TIME = MP_GATE_SOURCE_COUNT, /* when it was over, nanoseconds since the epoch */
    MP_RECORD_REFUSED_BY,                  /* the rule of ours */
    MP_RECORD_UPSTREAM,                    /* "ADDR:PORT" that answered; not part of the line */
    MP_RECORD_WHO,                         /* the peer's identity; not part of the line */
    /* whom the inline rule was held for; not part of the line */
    MP_RECORD_KEY,
    MP_RECORD_FROM,                        /* address of who asked; not part of the line */
    /* of a refusal that names no rule; not part of the line */
    MP_RECORD_DETAILS,
    MP_RECORD_CODE_COUNT
};

struct mp_record_out {
    char *at, *end, *begin;
};

void mp_record_begin(struct mp_record_out *out, char *room, size_t size);
/* `code` is an enum mp_gate_source or mp_record_extra; `entry` for maps, else empty. */
void mp_record_text(struct mp_record_out *out, uint32_t code, mp_str entry, mp_str value);
void mp_record_int(struct mp_record_out *out, uint32_t code, int64_t value);
static inline uint32_t mp_record_size(const struct mp_record_out *out)
{
    return (uint32_t)(out->at - out->begin);
}

/* Appends what a frame of RECORDS has of a record (frame.h); its line has no line end. */
void mp_record_frame(struct mp_frame_out *out, mp_str record);

#endif
