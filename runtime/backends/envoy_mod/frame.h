/* SPDX-License-Identifier: Apache-2.0
 * frame.h - what goes over the socket between the module inside a proxy and the control plane.
 *
 *   module  → control   HELLO TAKEN PASSED RECORDS COUNTS, and behind HELLO the LEASES that it holds
 *   control → module    PROGRAM INVENTORY LEASES
 *
 * A frame is 4 bytes of length (little-endian, of all that follows), one byte of type, and the
 * body. Numbers in a body are little-endian and of fixed size, a text is 4 bytes of length and
 * its bytes. PROGRAM, INVENTORY and LEASES are whole: what came before is replaced, so a frame
 * may be lost with its connection and nothing is left over.
 *
 * Owns:    nothing but the bytes of a struct mp_frame_out.
 * Callers: the module (gate, link) and the control plane (fleet). Threads: pure functions.
 * Bytes from the other side are untrusted: everything is bounded, and what is left over is a fault.
 */
#ifndef MP_ENVOY_MOD_FRAME_H
#define MP_ENVOY_MOD_FRAME_H

#include "base/err.h"
#include "base/str.h"
#include "mpol/backend.h"

#define MP_FRAME_PROTOCOL 2u
#define MP_FRAME_HEAD 5u
/* LIMIT: of a frame from the control plane, and of one from a module. */
#define MP_FRAME_DOWN_MAX (16u << 20)
#define MP_FRAME_UP_MAX (1u << 20)
/* LIMIT: arguments of a lease, parameters of a program. */
#define MP_FRAME_ARGS_MAX 8u
#define MP_FRAME_PARAMS_MAX 1024u

enum mp_frame_type {
    MP_FRAME_HELLO = 1,    /* who the proxy is */
    MP_FRAME_TAKEN = 2,    /* a program or a set was put in force, or refused with a reason */
    MP_FRAME_PASSED = 3,   /* and every worker has passed: no request meets an older one */
    MP_FRAME_RECORDS = 4,  /* telemetry: the texts of a struct mp_fleet_record each */
    MP_FRAME_COUNTS = 5,
    MP_FRAME_PROGRAM = 16, /* an image, and the values of its parameters */
    MP_FRAME_LEASES = 17,  /* everything that is to be in force */
    /* lines of inventory: attributes that rules and guards on requests read */
    MP_FRAME_INVENTORY = 18
};

/* ---- writing ---- */

/* Grows by malloc; failure is remembered and asked once at the end. All zeros is an empty one. */
struct mp_frame_out {
    char *ptr;
    size_t len, cap;
    bool failed;
};

void mp_frame_out_free(struct mp_frame_out *out);
/* Room for `more` bytes behind what is there, which is as it was. False: no memory; remembered. */
bool mp_frame_out_reserve(struct mp_frame_out *out, size_t more);
/* Begins a frame behind those that are there; the answer goes to mp_frame_end. */
size_t mp_frame_begin(struct mp_frame_out *out, enum mp_frame_type type);
void mp_frame_end(struct mp_frame_out *out, size_t began);
void mp_frame_put_u8(struct mp_frame_out *out, uint8_t v);
void mp_frame_put_u32(struct mp_frame_out *out, uint32_t v);
void mp_frame_put_u64(struct mp_frame_out *out, uint64_t v);
/* Overwrites a number that was put at `at`. */
void mp_frame_set_u32(struct mp_frame_out *out, size_t at, uint32_t v);
void mp_frame_put_text(struct mp_frame_out *out, mp_str s);
void mp_frame_put_bytes(struct mp_frame_out *out, mp_str s);

/* ---- reading ---- */

/* What is left of a body. After a read that did not fit `bad` is set, and all later reads answer
 * zeros. */
struct mp_frame_in {
    const char *at, *end;
    bool bad;
};

/* The first frame in `bytes`. MP_EAGAIN: it is not whole yet, *size is what is wanted of it in
 * all (0: not even its length is there). MP_ECORRUPT: longer than `max`, or shorter than its
 * type. */
enum mp_err mp_frame_next(mp_str bytes, size_t max, uint8_t *type, mp_str *body, size_t *size);
struct mp_frame_in mp_frame_open(mp_str body);
/* Everything was there, and nothing more. */
bool mp_frame_closed(const struct mp_frame_in *in);
uint8_t mp_frame_u8(struct mp_frame_in *in);
uint32_t mp_frame_u32(struct mp_frame_in *in);
uint64_t mp_frame_u64(struct mp_frame_in *in);
mp_str mp_frame_text(struct mp_frame_in *in);

/* ---- bodies ---- */

struct mp_frame_hello {
    uint32_t protocol, workers;
    mp_str layer, service, instance; /* "service", "checkout", "checkout-2" */
    mp_str version;                  /* of the module, for people */
    uint64_t program, leases;        /* revisions that are in force already; 0: none */
};
void mp_frame_put_hello(struct mp_frame_out *out, const struct mp_frame_hello *hello);
bool mp_frame_get_hello(mp_str body, struct mp_frame_hello *hello);

struct mp_frame_taken {
    uint8_t what;       /* MP_FRAME_PROGRAM, MP_FRAME_INVENTORY or MP_FRAME_LEASES */
    uint64_t revision;
    uint8_t err;        /* enum mp_err; MP_OK: it is in force */
    mp_str why;
};
void mp_frame_put_taken(struct mp_frame_out *out, const struct mp_frame_taken *taken);
bool mp_frame_get_taken(mp_str body, struct mp_frame_taken *taken);

struct mp_frame_counts {
    uint64_t verdicts, refusals, records, dropped, cut;
};
void mp_frame_put_counts(struct mp_frame_out *out, const struct mp_frame_counts *counts);
bool mp_frame_get_counts(mp_str body, struct mp_frame_counts *counts);

struct mp_frame_param {
    mp_str name, value;
};
struct mp_frame_program {
    uint64_t revision;
    mp_str image;
    uint32_t param_count;
    struct mp_frame_in params; /* read with mp_frame_get_param */
};
void mp_frame_put_program(struct mp_frame_out *out, uint64_t revision, mp_str image,
                          const struct mp_frame_param *params, uint32_t param_count);
bool mp_frame_get_program(mp_str body, struct mp_frame_program *program);
bool mp_frame_get_param(struct mp_frame_program *program, struct mp_frame_param *param);

struct mp_frame_inventory {
    uint64_t revision;
    mp_str lines; /* each with its line end */
};
void mp_frame_put_inventory(struct mp_frame_out *out, const struct mp_frame_inventory *inventory);
bool mp_frame_get_inventory(mp_str body, struct mp_frame_inventory *inventory);

/* `keep` says of a lease whether it goes along; NULL: all do. */
void mp_frame_put_leases(struct mp_frame_out *out, const struct mpol_desired *set,
                         bool (*keep)(void *ctx, const struct mpol_lease *lease), void *ctx);
/* Decodes a set. Its texts borrow the body, its rows are in *memory, which the caller frees with
 * free(). MP_ECORRUPT, MP_ENOMEM. */
enum mp_err mp_frame_get_leases(mp_str body, struct mpol_desired *set, void **memory);

#endif
