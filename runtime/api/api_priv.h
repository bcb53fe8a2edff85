/* SPDX-License-Identifier: Apache-2.0
 * api_priv.h - what is behind the handles of the public interface; this folder only.
 *
 *   mpol_engine      the loop (runtime/engine), the backend inproc, names of fields, readers
 *   generation       one program in force, and what is made for it: plan, decoders, replicas of
 *                    the inventory
 *   mpol_reader      one thread's way in: an epoch, a ring of records, a ring of notes
 *
 * The engine's thread is the only one that changes a generation, and it does so before it
 * publishes it through the table of inproc; readers take table and generation in one.
 */
#ifndef MP_API_PRIV_H
#define MP_API_PRIV_H

#include <stdatomic.h>

#include "base/arena.h"
#include "base/os.h"
#include "engine/engine.h"
#include "eval/exec.h"
#include "eval/jit.h"
#include "ingest/ingest.h"
#include "inproc/inproc.h"
#include "mpol/mpol.h"
#include "verdict/verdict.h"

#define FIELD_NAMES_MAX 256
#define FIELD_NAME_BYTES 64
/* LIMIT: fields that are set in one record. */
#define RECORD_FIELDS_MAX 64
#define SIGNAL_NAME_BYTES 48
#define REPLICAS 3
#define NOTES 32 /* waiting, per reader */
#define NOTE_KEY_BYTES 96
#define NOTE_TEXT_BYTES 256
#define TALLIES 64

#define API_TRY(call)                                                                              \
    do {                                                                                           \
        enum mp_err api_try_err_ = (call);                                                         \
        if (api_try_err_ != MP_OK) return (enum mpol_err)api_try_err_;                             \
    } while (0)

/* The caller's services, and the same as the core asks for them. */
struct api_world {
    struct mpol_world theirs;
    struct mp_os os;
    struct mp_alloc alloc;
};

void api_world_init(struct api_world *w, const struct mpol_world *theirs);

struct mpol_program {
    struct api_world world;
    struct mp_program *p;
    struct mp_arena arena; /* holds this struct and the image */
    mp_str image;
};

static inline mp_str api_str(struct mpol_text t) { return (mp_str){t.ptr, t.len}; }
static inline struct mpol_text api_text(mp_str s) { return (struct mpol_text){s.ptr, s.len}; }

/* ---- records ---- */

enum value_kind { VALUE_TEXT, VALUE_INT, VALUE_NUMBER };

struct value {
    uint32_t field; /* public number of its name */
    uint32_t kind;
    union {
        struct {
            uint32_t at, len; /* in bytes */
        } text;
        int64_t integer;
        double number;
    } as;
};

/* Its memory is one block: header, values, text. Copied whole into rings. */
struct mpol_record {
    struct mpol_engine *engine;
    int64_t wall_ns;
    uint32_t layer;
    bool judged;
    uint32_t value_count, byte_count, byte_cap;
    uint32_t refused_at, refused_len; /* in bytes; len 0: not refused */
    uint32_t signal_len;
    char signal[SIGNAL_NAME_BYTES];
    uint8_t slot_of[FIELD_NAMES_MAX]; /* index in values + 1 */
    struct value values[RECORD_FIELDS_MAX];
    char bytes[];
};

size_t api_record_size(const struct mpol_engine *e);
/* Copies what is used of `from`; `to` has the same capacity. */
void api_record_copy(struct mpol_record *to, const struct mpol_record *from);

/* ---- generations ---- */

/* Decoding for one thread. */
struct decoder {
    struct mp_ingest *ingest;
    struct mp_verdict_scratch *scratch; /* NULL for the engine's own */
    uint32_t refused_name;              /* of "refused_by" */
    uint32_t name_of[FIELD_NAMES_MAX];  /* public number → number of the ingest, MP_NONE */
};

struct generation;

/* What the table of inproc carries: a generation, and the attributes that its verdicts read. */
struct replica {
    struct generation *generation;
    struct mp_inventory *inventory; /* NULL where verdicts read none */
    struct mp_arena arena;
    void *memory;
    uint64_t replaced_by; /* number of the table that came after; 0: free, or in force */
};

struct generation {
    uint64_t number; /* of its own: another one may get its memory */
    struct mpol_program *program;
    struct mp_arena arena;
    struct mp_verdict_plan *plan;
    struct decoder own;
    struct decoder **readers; /* one a reader of the engine, NULL until it is opened */
    struct replica replicas[REPLICAS];
    size_t replica_size; /* bytes of memory of each */
    struct replica *current;
    uint64_t inventory_version; /* that the current replica has */
    int64_t inventory_at_ns;
    struct mp_jit_job *job; /* native code, made or in the making; NULL: none */
    const struct mp_jit_ops *jit;
    uint64_t retired_by; /* number of the table without it; 0: in force */
    struct generation *older;
};

enum mp_err api_generation_create(struct mpol_engine *e, struct mpol_program *program,
                                  struct generation **out, const char **why);
void api_generation_destroy(struct generation *g);
enum mp_err api_generation_reader(struct mpol_engine *e, struct generation *g, uint32_t reader);
/* Begins to make native code of the newest, if there is somebody to make it who is not busy. */
void api_generation_compile(struct mpol_engine *e);
/* Is native code in force? */
static inline bool api_is_native(const struct generation *g)
{
    const struct mp_exec *exec = g->program->p->exec;
    return atomic_load_explicit(&exec->native, memory_order_relaxed) != NULL;
}
/* A new name of a field: every decoder learns it. */
void api_generation_name(struct mpol_engine *e, struct generation *g, uint32_t field);
/* Puts a generation in front of the readers. MP_EAGAIN: later. */
enum mp_err api_generation_publish(struct mpol_engine *e, struct generation *g);
/* Publishes what has waited, refreshes the replica, frees what no reader uses any more. */
void api_generation_step(struct mpol_engine *e);

/* Reads `r` for a program. False: the program has no such signal. */
bool api_decode(struct decoder *d, const struct mpol_record *r, struct mp_record *out);

/* ---- readers ---- */

/* Something an inline rule decided, on its way to the engine (R49, R20). */
struct note {
    uint64_t generation; /* its number */
    uint32_t rule, act; /* act MP_NONE: no message */
    uint32_t key_len, text_len;
    bool refused;
    int64_t wall_ns;
    uint64_t count;
    char key[NOTE_KEY_BYTES];
    char text[NOTE_TEXT_BYTES];
};

/* How often (rule, key) fired in this minute, and when it last sent a message. */
struct tally {
    uint64_t generation;
    uint32_t rule;
    uint64_t key_hash;
    int64_t minute, message_second;
    uint64_t count;
};

struct mpol_reader {
    struct mpol_engine *engine;
    struct mp_inproc_reader *epoch; /* NULL: not open */
    uint32_t index;
    /* single producer, the reader; single consumer, the engine */
    _Atomic uint32_t record_head, record_tail, note_head, note_tail;
    char *records; /* ring_records blocks of api_record_size */
    struct note *notes;
    struct tally tallies[TALLIES];
    struct mp_verdict_answer answer;
    char rule[128], verb[48], send_to[256]; /* of the last verdict */
    /* counted by the reader, read by the engine */
    _Atomic uint64_t verdicts, refusals, guarded, dropped, notes_dropped, native;
};

/* Takes everything that readers have left. */
void api_readers_drain(struct mpol_engine *e);

/* ---- the engine ---- */

struct mpol_engine {
    struct api_world world;
    struct mp_arena arena;
    struct mpol_limits limits;
    struct mp_hash_key key;
    enum mpol_clock clock;
    int64_t now_wall_ns; /* the newest time that we were stepped to */
    struct mp_engine *core;
    struct mp_inproc *inproc;
    struct mp_verdict_buckets *buckets;
    struct generation *current; /* for the engine; `older` are on their way out */
    struct generation *published; /* for the readers */
    char names[FIELD_NAMES_MAX][FIELD_NAME_BYTES];
    uint32_t name_count;
    struct mpol_reader *readers;
    struct { /* of readers that were closed */
        uint64_t verdicts, refusals, guarded, dropped, native;
    } closed;
    uint64_t records, records_native; /* judged by the loop */
    const struct mp_jit_ops *jit;
    mpol_entry_fn watch;
    void *watch_ctx;
    struct {
        char name[48];
        mpol_send_fn send;
        void *ctx;
    } channels[16];
    uint32_t channel_count;
    uint64_t generation_number, generations_made, bad_lines;
};

/* One record into the core. */
void api_engine_take(struct mpol_engine *e, const struct mpol_record *r);

#endif
