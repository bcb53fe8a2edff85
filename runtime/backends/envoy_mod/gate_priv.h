/* SPDX-License-Identifier: Apache-2.0
 * gate_priv.h - programs and places of workers; this folder only.
 */
#ifndef MP_ENVOY_MOD_GATE_PRIV_H
#define MP_ENVOY_MOD_GATE_PRIV_H

#include <stdatomic.h>

#include "envoy_mod/gate.h"
#include "inproc/inproc.h"
#include "program/program.h"
#include "verdict/verdict.h"

#define CACHE_LINE 64
/* LIMIT: fields of `requests` that a program may read here; the rest is absent. */
#define WANTS_MAX 256
/* Buckets of inline throttles, keys of all rules together. */
#define BUCKET_KEYS 65536

struct world;

/* How one worker makes a record of a request. */
struct decoder {
    struct mp_ingest *ingest;
    struct mp_verdict_scratch *scratch;
};

/* A program in force, or on its way out. */
struct generation {
    struct mp_program *p;
    struct mp_arena arena;
    struct mp_verdict_plan *plan;
    uint32_t signal; /* row of `requests`, MP_NONE */
    struct mp_gate_want *wants;
    uint32_t want_count, first_count; /* the first look needs the first ones */
    struct decoder *decoders; /* one a worker */
    struct mp_ingest *own;    /* the publisher's, for lines of inventory */
    uint64_t revision;
    uint32_t uses;            /* worlds that have it */
};

/* Which service has an identity. */
struct caller {
    uint64_t hash; /* 0: empty */
    struct mp_value identity, service;
    bool several;  /* more than one has it: nobody is meant */
};

/* A program and the inventory that its verdicts read: the context of the table of leases. */
struct world {
    struct generation *gen;
    struct mp_inventory *inventory; /* settled: workers read it at once */
    struct mp_arena arena;
    struct caller *callers; /* NULL: the program does not ask */
    uint32_t caller_mask;
    uint64_t retired_by; /* number of the table that came with another one; 0: in force */
    struct world *older;
};

struct worker {
    _Alignas(CACHE_LINE) struct mp_inproc_reader *epoch;
    const struct world *entered; /* between mp_gate_enter and leave */
    _Atomic uint64_t verdicts, refusals;
    struct mp_verdict_answer answer;
};

struct mp_gate {
    struct mp_os os;
    struct mp_alloc memory;
    struct mp_arena arena;
    struct mp_hash_key key;
    uint32_t worker_count;
    struct worker *workers;
    struct mp_inproc *table;
    struct mp_verdict_buckets *buckets;
    struct world *current; /* the publisher's; `older` are on their way out */
    char *lines;           /* of inventory, for programs to come */
    size_t lines_len;
    uint64_t program_number;    /* of the table that brought it */
    bool may_cut;               /* the set in force denies, quarantines or cuts somebody */
};

/* gate_program.c: a program, checked and made ready for all workers. */
enum mp_err gate_generation_create(struct mp_gate *g, struct mp_frame_program *from,
                                   struct generation **out, const char **why);
void gate_generation_destroy(struct mp_gate *g, struct generation *gen);

/* gate_world.c: takes a use of `gen` on success. */
enum mp_err gate_world_create(struct mp_gate *g, struct generation *gen, mp_str lines,
                              struct world **out);
/* Gives its use back, and with the last one the program. */
void gate_world_destroy(struct mp_gate *g, struct world *w);
/* The service whose identity this is; empty: none, or more than one. */
mp_str gate_caller(const struct mp_gate *g, const struct world *w, mp_str identity);

#endif
