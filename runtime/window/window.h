/* SPDX-License-Identifier: Apache-2.0
 * window.h - what is remembered per key: panes of aggregates, the keys themselves, sources and
 * silence.
 *
 * Owns:    for every grouping a fixed table of keys, and per key the panes of its aggregates; per
 *          (signal, source) when it was last heard; values that a test has set. Never grows.
 * Callers: engine only; one thread. The engine says what time it is (mp_window_advance)
 *          and hands in what only it knows (struct mp_window_hooks).
 * Memory:  all from the arena given to create, about mp_window_bytes(); nothing to free. Memory of
 *          a key is first touched when the key is born, so resident size follows the keys that
 *          live.
 *
 * Meaning (language.md §6), where it leaves room:
 *  - A record up to 2 s ahead of now counts in the pane of now (only live ones are ever ahead, R1).
 *  - A read of now takes all that has arrived: panes from floor((now - d) / pane) on. A settled
 *    read (`verify`, `until`) ends at the watermark E = now - lateness of the signal and takes only
 *    panes that have ended by then: with F = E rounded down to a pane, panes
 *    floor((F - d) / pane) .. F / pane - 1.
 *  - `since`: only panes that start at or after it. A counting value is whole when since + d <=
 *    the end.
 *  - Weights (R9) multiply in count, rate, ratio, sum, avg, quantile, stddev; samples count
 *    records.
 *  - Sums are 128-bit integers: of int64 as they are, of doubles as round(v * 2^32) (|v| < 2^62,
 *    else the value counts as unknown). avg of an int-typed value is the nearest int, ties to even.
 *    A result outside int64 is unknown. stddev takes ints below 2^47 and doubles (as v * 2^24)
 *    below 2^23.
 *  - Quantiles: nearest rank (smallest bucket that holds rank ceil(q N)) in log buckets, 2%
 *    relative error: durations 100 us .. 60 s (333 buckets), other ints 1 .. 2^40, numbers 1e-6 ..
 *    1e9; below and above the bounds are one bucket each, answered as 50 us / 0 / 0 and as the
 *    bound.
 *  - growth: of the counter per tuple of the signal's own keys; a smaller value is a new start and
 *    adds itself; the first value ever adds nothing.
 *  - A gauge's last value, and the value that growth is counted from, is the newest by time (a time
 *    ahead of now is now; of equal times the one that came later); an older one that comes late
 *    changes neither, and is no sample of growth.
 */
#ifndef MP_WINDOW_WINDOW_H
#define MP_WINDOW_WINDOW_H

#include "base/arena.h"
#include "base/err.h"
#include "base/hash.h"
#include "inventory/inventory.h"
#include "program/program.h"
#include "schema/flow.h"

struct mp_window;

/* Published values of other keys are kept until the next slot of this length (R16). */
#define MP_WINDOW_SLOT_NS INT64_C(100000000)
#define MP_WINDOW_AHEAD_NS INT64_C(2000000000)

/* 0 takes the default beside it. */
struct mp_window_limits {
    uint32_t keys_max;      /* per grouping, on top of its own cap: 100,000 */
    size_t memory_bytes;    /* the largest groupings get fewer keys until it fits: no bound */
    /* inputs, numbered from 0 in mp_record.source; more share the last: 64 */
    uint32_t sources_max;
    uint32_t ids_max;       /* ids of records remembered against duplicates (R9): 65,536 */
    uint32_t overrides_max; /* (def, key) pairs that a test sets: 1,024 in programs with tests */
    bool always_alive;      /* tests: every source is alive and empty for ever (R5, R46) */
    bool live;              /* a record comes after the time that it carries, see below */
};

/* ---- reading ---- */

/* How a row is read. All zeros: `when`, `unless`, guards at now. */
struct mp_read {
    bool settled;     /* `verify`, `until`: windows end at the watermark */
    int64_t since_ns; /* > 0: windows begin there: a + s in `verify`, a in `harm` (R39) */
    const struct mp_record *record;    /* the record being applied, or NULL: for EVENT and `seen` */
    const struct mp_outputs *outputs;  /* of its signal's unit, or NULL */
    /* passed to hooks: the incident for which AT_TRIGGER and INCIDENTS are asked */
    const void *asker;
};

/* What only the engine knows. A member may be NULL: forget does nothing, others answer unknown. */
struct mp_window_hooks {
    void *ctx;
    /* The key leaves its table; its slot may be used by another key from now on. */
    void (*forget)(void *ctx, uint32_t grouping, uint32_t key);
    /* Truth of row `hold` of the program's table for this key, read this way. */
    enum mp_truth (*hold)(void *ctx, const struct mp_read *how, uint32_t hold, uint32_t key);
    /* AT_TRIGGER and INCIDENTS: the value of row `column`; false: unknown. */
    bool (*incident)(void *ctx, uint32_t column, uint32_t key, const void *asker,
                     struct mp_value *out);
    /* Output 0 of `fn`, a truth, over the row of a member (MEMBERS). */
    enum mp_truth (*member)(void *ctx, uint32_t fn, const struct mp_row *row);
};

/* ---- life ---- */

/* How much mp_window_create takes for these limits. */
size_t mp_window_bytes(const struct mp_program *p, const struct mp_window_limits *limits);
/* `p` and `inventory` (made for the same program) must outlive the window. MP_ENOMEM; MP_ELIMIT:
 * memory_bytes does not even hold 64 keys a grouping. */
enum mp_err mp_window_create(struct mp_arena *arena, const struct mp_program *p,
                             const struct mp_window_limits *limits, struct mp_hash_key hash_key,
                             struct mp_inventory *inventory, const struct mp_window_hooks *hooks,
                             struct mp_window **out);

/* The time is now_ns; never goes back (an earlier one is ignored). Tells the inventory, and forgets
 * keys whose windows have been empty long enough, a few at a time. */
void mp_window_advance(struct mp_window *w, int64_t now_ns);

/* ---- records ---- */

/* Asked once per record, after advance: counts it, and its source as alive.
 * A gauge has no lateness of its own (R1), but what it measured is what holds until the next one
 * (R8): live, where every record is some milliseconds old, its record is in time for one `every`;
 * elsewhere a late one enters no window, but is the last value where none is newer. */
enum mp_admit {
    MP_ADMIT_OK,
    MP_ADMIT_LATE,     /* behind the watermark: enters no window */
    MP_ADMIT_LAST,     /* late, of a gauge, and not yet over: it may still be the last value */
    MP_ADMIT_DUPLICATE /* its id was seen within lateness */
};
enum mp_admit mp_window_admit(struct mp_window *w, const struct mp_record *r);

/* The record is going to be applied: begins to fetch the rows of its keys from memory. For speed
 * alone; a caller may leave it out. */
void mp_window_expect(struct mp_window *w, const struct mp_record *r);

/* A row that a record has changed. */
struct mp_touch {
    uint32_t grouping, key;
    bool fresh; /* the key was born with this record */
};

/* Feeds an admitted record with the outputs of its signal's unit to every grouping that has a
 * `feed` from its signal. Writes the touched rows in order of grouping; room for signal.feeds_count
 * of them. */
uint32_t mp_window_apply(struct mp_window *w, const struct mp_record *r,
                         const struct mp_outputs *outputs, struct mp_touch *touched);
/* The same for MP_ADMIT_LAST. */
uint32_t mp_window_apply_last(struct mp_window *w, const struct mp_record *r,
                              const struct mp_outputs *outputs, struct mp_touch *touched);
/* ---- rows ---- */

/* Fills all cells of the row of a key. row->known has ceil(columns / 64) words, row->cell a value a
 * column of the grouping; grouping and key are set here. */
void mp_window_fill(struct mp_window *w, const struct mp_read *how, uint32_t grouping, uint32_t key,
                    struct mp_row *row);
/* Only `count` columns from row `at` of the program's table input; the other cells are unknown. */
void mp_window_fill_inputs(struct mp_window *w, const struct mp_read *how, uint32_t grouping,
                           uint32_t key, uint32_t at, uint32_t count, struct mp_row *row);
/* One cell: row `column` of the program, one of the grouping's; false: unknown. For key MP_NONE, as
 * for a key that does not live. */
bool mp_window_read(struct mp_window *w, const struct mp_read *how, uint32_t grouping, uint32_t key,
                    uint32_t column, struct mp_value *out);
/* The signal's own columns for a record (signal.columns), for record and rule units. */
void mp_window_fill_record(struct mp_window *w, const struct mp_record *r, struct mp_row *row);
/* How many records the window of row `agg` holds for the key, as read. */
uint64_t mp_window_samples(struct mp_window *w, const struct mp_read *how, uint32_t agg,
                           uint32_t key);

/* ---- keys ---- */

/* The slot of the key with these values (one a key of the grouping), or MP_NONE. */
uint32_t mp_window_find(const struct mp_window *w, uint32_t grouping,
                        const struct mp_value *values);
/* The same, born if need be; MP_NONE: the table is full of pinned keys, counted as refused. */
uint32_t mp_window_birth(struct mp_window *w, uint32_t grouping, const struct mp_value *values,
                         bool *fresh);
/* The key's values; they live as long as the key. */
const struct mp_value *mp_window_key(const struct mp_window *w, uint32_t grouping, uint32_t key);
/* Another number for every life of a slot. */
uint32_t mp_window_generation(const struct mp_window *w, uint32_t grouping, uint32_t key);
/* Order by the bytes of the values: <0, 0, >0. */
int mp_window_key_cmp(const struct mp_window *w, uint32_t grouping, uint32_t a, uint32_t b);
/* As text: `checkout`; several values joined by `, `; the mesh is `mesh`. */
void mp_window_key_text(const struct mp_window *w, uint32_t grouping, uint32_t key,
                        struct mp_buf *out);
/* A pinned key (pending, open, cooling) is never forgotten; pins are counted. */
void mp_window_pin(struct mp_window *w, uint32_t grouping, uint32_t key);
void mp_window_unpin(struct mp_window *w, uint32_t grouping, uint32_t key);
/* No record has come for so long that it is kept by its pins alone (R12). */
bool mp_window_key_over(const struct mp_window *w, uint32_t grouping, uint32_t key);
uint32_t mp_window_key_count(const struct mp_window *w, uint32_t grouping);
/* Slots a key of the grouping can have: 0 .. this - 1. */
uint32_t mp_window_key_cap(const struct mp_window *w, uint32_t grouping);
/* The first living key in slot `from` or above, or MP_NONE. */
uint32_t mp_window_next_key(const struct mp_window *w, uint32_t grouping, uint32_t from);
/* After inventory lines: keys begin with their entries (R12), published values are made anew.
 * `fresh` is told of each new key; may be NULL. */
void mp_window_inventory_changed(struct mp_window *w, void *ctx,
                                 void (*fresh)(void *ctx, uint32_t grouping, uint32_t key));

/* ---- moments (event time; INT64_MAX: none) ---- */

/* For keys pending, open or not yet armed: when a value of the row, read this way, may change next
 * without a record: a pane boundary, a slot, a gauge that expires, a window that becomes whole. */
int64_t mp_window_next_change(const struct mp_window *w, const struct mp_read *how,
                              uint32_t grouping, uint32_t key);
/* For rules that silence can make true (R4): when the last sample of one of the key's windows
 * leaves it, a gauge expires, or a window becomes whole. */
int64_t mp_window_next_shrink(const struct mp_window *w, uint32_t grouping, uint32_t key);
/* When the next signal falls silent if nothing arrives. */
int64_t mp_window_next_silence(const struct mp_window *w);
/* The watermark of a signal. */
int64_t mp_window_watermark(const struct mp_window *w, uint32_t signal);

/* ---- sources (R6) ---- */

/* A line says that the signal is alive on this input. */
void mp_window_alive(struct mp_window *w, uint32_t signal, uint32_t source);
/* The signal is never silent, and has been observed for ever: what the runtime itself tells. */
void mp_window_always(struct mp_window *w, uint32_t signal);
/* The input has closed: silent at once. */
void mp_window_source_closed(struct mp_window *w, uint32_t source);
bool mp_window_silent(const struct mp_window *w, uint32_t signal);

/* ---- tests (R46) ---- */

enum mp_window_override {
    MP_WINDOW_OVERRIDE_NONE,
    MP_WINDOW_OVERRIDE_SET,
    MP_WINDOW_OVERRIDE_ABSENT,
    MP_WINDOW_OVERRIDE_UNKNOWN
};
/* Row `def` has this at the key `values` (one a key of the def's grouping), which is born in every
 * grouping of the same keys. MP_ELIMIT: too many; MP_EINVAL: no grouping, or a key was refused. */
enum mp_err mp_window_set_override(struct mp_window *w, uint32_t def, const struct mp_value *values,
                                   enum mp_window_override state, struct mp_value value);

/* ---- keeping ---- */

/* Takes over from the window of the program before (R50): keys that have samples or pins, and the
 * panes of every aggregate whose content (text, keys, window, panes) is the same; sources, ids,
 * pins. `moved` is told of each key that lives on, with its old and new grouping and slot; may be
 * NULL. `old` must be whole and is not used afterwards. */
void mp_window_adopt(struct mp_window *w, const struct mp_window *old, void *ctx,
                     void (*moved)(void *ctx, uint32_t old_grouping, uint32_t old_key,
                                   uint32_t grouping, uint32_t key));
/* Writes windows, keys and sources as bytes, in pieces; MP_EIO where `write` answers false. Pins
 * are not in it. */
enum mp_err mp_window_save(const struct mp_window *w, void *ctx,
                           bool (*write)(void *ctx, const void *bytes, size_t size));
/* Reads them back into a fresh window, aggregates by content, the rest is passed over. MP_ECORRUPT;
 * what has been read by then stays, it is consistent. */
enum mp_err mp_window_restore(struct mp_window *w, const void *bytes, size_t size);

struct mp_window_counts {
    uint64_t records;     /* admitted */
    uint64_t late, ahead, duplicates;
    uint64_t keyless;     /* a record lacked a key of a grouping (per feed) */
    uint64_t keys_refused, keys_evicted, keys_forgotten;
    uint64_t undecided;   /* condition of a ratio unknown (R9) */
    uint64_t unusable;    /* a value too large to sum */
    uint32_t keys_alive;
};
void mp_window_counts(const struct mp_window *w, struct mp_window_counts *out);

#endif
