/* SPDX-License-Identifier: Apache-2.0
 * window_priv.h - how keys, accumulators and published values lie in memory.
 *
 * An *accumulator* is what one or more aggregates need: `count` and `rate` share one, so do `sum`
 * and `avg`, and all quantiles of one value. Every key of its grouping has in its block, at acc.at:
 * a ring head, the total of the window that ends now, and the ring of panes.
 */
#ifndef MP_WINDOW_WINDOW_PRIV_H
#define MP_WINDOW_WINDOW_PRIV_H

#include "base/assert.h"
#include "base/distinct.h"
#include "base/pool.h"
#include "window/window.h"

typedef __int128 int128;

#define NEVER INT64_MIN
#define KEYS_MAX 8u          /* in a tuple */
#define CURSORS_MAX 8u       /* quantiles that share one histogram */
#define KEY_TEXT_MAX 1024u   /* bytes of one text in a key; longer ones are refused */
#define KEY_TEXT_SHARE 64u   /* bytes a key set aside for long texts */
#define NEST_MAX 4u          /* `count(m of ...)` inside of one another */
#define FORGET_A_TIME 4

enum family {
    FAM_COUNT, FAM_RATIO, FAM_SUM, FAM_MIN, FAM_MAX, FAM_STDDEV, FAM_HIST, FAM_DISTINCT, FAM_LAST,
    FAM_SEEN
};

struct count_cell { uint64_t n; int64_t weight; };
struct ratio_cell { uint64_t n; int64_t all, yes; };
struct sum_cell { uint64_t n; int64_t weight; int128 sum; };
struct edge_cell { uint64_t n; struct mp_value v; };
struct dev_cell { uint64_t n; int64_t weight; int128 sum, square; };
struct last_cell { uint64_t n; int64_t time_ns; struct mp_value v; };
struct seen_cell { uint64_t number; };

/* Buckets of a histogram pane follow as uint32_t. */
struct hist_cell { uint64_t n; int64_t weight; };
/* Where a quantile stands in the total: `below` is the weight in the buckets under `bin`. */
struct cursor { uint32_t bin; int64_t below; };
/* Buckets of the total follow as int64_t. */
struct hist_total { uint64_t n; int64_t weight; struct cursor cursor[CURSORS_MAX]; };

/* Numbers of panes count from the epoch. `head` is the newest, NEVER where nothing has come yet;
 * panes head - panes + 1 .. head are valid. `tail` is the first pane in the total. */
struct ring { int64_t head, tail; };

struct acc {
    enum family family;
    enum mp_rep rep;     /* of the value */
    uint32_t grouping, signal, layers, where, value, growth; /* growth: its source, or MP_NONE */
    int64_t window_ns, pane_ns;
    uint32_t panes;      /* in the ring */
    uint32_t at, total_bytes, pane_bytes, bytes; /* in the key's block */
    const struct hist_scale *scale;
    uint32_t bins;       /* of the scale */
    enum mp_type value_type;
    uint32_t cursor_count, cursor_permille[CURSORS_MAX];
    /* The same for all keys: where now is. Made anew when now reaches `moves_ns`. */
    int64_t moves_ns, now_pane, now_tail;
    uint32_t now_slot;
};

/* One cache line. */
struct key_head {
    struct mp_value first; /* the value of a key that is only one */
    uint32_t hash;
    /* by activity, while not pinned; `older` is the next free slot of a dead key */
    uint32_t older, newer;
    uint32_t pins;
    uint32_t generation;
    bool alive, listed;    /* listed: an inventory entry */
    int64_t last_ns;       /* event time of the newest record, or birth */
    uint64_t active;       /* order of arrival */
} __attribute__((aligned(64)));

struct age_list { uint32_t oldest, newest; };

struct published {
    int64_t slot;
    uint64_t epoch;
    struct mp_value value;
    bool known;
};

struct group {
    uint32_t cap, key_count; /* slots; keys in a tuple */
    enum mp_rep rep[KEYS_MAX];
    uint32_t top, free, alive;
    uint64_t *index; /* hash in the high half, slot + 1 in the low */
    uint32_t index_mask;
    struct key_head *heads;
    struct mp_value *values; /* of keys that are several */
    unsigned char *blocks;
    uint32_t block_bytes;
    struct published *published;
    uint32_t published_count;
    uint32_t acc_at, acc_count;
    struct age_list idle, entries; /* entries: idle keys that the inventory lists */
    int64_t keep_ns;
    uint32_t entity; /* of a single key, or MP_NONE */
};

struct feed_plan {
    uint32_t grouping, walks_at, walk_count;
    uint32_t acc_at, acc_count; /* in feed_accs */
    /* What mp_window_expect found: the hash of the keys, and the key or MP_NONE. */
    uint32_t expected, hash;
    bool hashed;
    uint32_t direct[KEYS_MAX];  /* slot of the record where a walk has no hops, else MP_NONE */
};

struct signal_state {
    int64_t alive_until_ns; /* NEVER: nothing has come */
    int64_t observed_ns;    /* since when it is observed; INT64_MAX: not yet */
    int64_t hold_ns;        /* the first moment after every + lateness */
    int64_t lateness_ns;
    int64_t in_time_ns;     /* an older record is late */
    bool gauge;
    int64_t *heard_ns;      /* per source */
};

/* The last value of a counter, per tuple of its signal's keys; in sets of four, the oldest goes. */
struct growth_cell { uint64_t hash; int64_t time_ns; struct mp_value v; };
struct growth {
    uint32_t signal, value;
    enum mp_rep rep;
    struct growth_cell *cells;
    uint32_t set_mask;
    struct mp_value delta; /* of the record at hand */
    bool known;
};

struct override {
    uint32_t def, hash;
    enum mp_window_override state;
    struct mp_value value, keys[KEYS_MAX];
};

/* What the fn of a MEMBERS column reads. */
struct member_plan { uint32_t at, count; };

struct mp_window {
    const struct mp_program *p;
    struct mp_inventory *inventory;
    struct mp_hash_key hash_key;
    struct mp_window_limits limits;
    struct mp_window_hooks hooks;
    struct mp_pool texts;
    int64_t now_ns;
    uint64_t activity, epoch;

    struct group *groups;
    struct acc *accs;
    uint32_t acc_count;
    uint32_t *acc_from;   /* per accumulator: where adopt and restore take it from */
    uint32_t *agg_acc;    /* per agg */
    uint32_t *agg_cursor; /* per agg: of its histogram */
    uint64_t *agg_mark;   /* per agg: names its content */
    struct feed_plan *feeds; /* per feed row */
    const struct mp_record *expected; /* of mp_window_expect */
    uint64_t expected_number;
    uint32_t *feed_accs;
    struct signal_state *signals;
    uint32_t *entries_begun; /* per entity: inventory entries whose keys have begun */
    struct growth *growths;
    uint32_t growth_count;
    uint32_t *column_cache; /* per column: its cell among the published ones, or MP_NONE */
    struct member_plan *member_plans; /* per column */
    uint32_t *member_columns;
    uint32_t columns_max;  /* of a grouping */
    uint32_t total_max;    /* bytes of the largest total */

    /* Places to work in. */
    unsigned char *gather;  /* the largest total */
    unsigned char *gather2; /* another: for walks over members */
    struct mp_value *members;
    uint32_t member_top;
    struct mp_row member_row[NEST_MAX];
    uint32_t nest;

    /* Records seen lately: two generations of ids, the elder is dropped as a whole. */
    uint64_t *ids[2];
    uint32_t id_mask, id_count[2];
    int64_t id_from_ns;
    int64_t id_keep_ns;

    struct override *overrides;
    uint32_t override_mask, override_count;

    struct mp_window_counts counts;
};

static inline int64_t floor_div(int64_t a, int64_t b)
{
    int64_t q = a / b;
    return q - (a % b != 0 && a < 0);
}

static inline int64_t add_sat(int64_t a, int64_t b)
{
    int64_t r;
    return __builtin_add_overflow(a, b, &r) ? (b > 0 ? INT64_MAX : INT64_MIN) : r;
}

static inline bool bit(const uint64_t *words, uint32_t i)
{
    return (words[i / 64] >> (i % 64) & 1) != 0;
}

static inline struct ring *acc_ring(const struct acc *a, unsigned char *block)
{
    return (struct ring *)(void *)(block + a->at);
}
static inline unsigned char *acc_total(const struct acc *a, unsigned char *block)
{
    return block + a->at + sizeof(struct ring);
}
static inline unsigned char *acc_pane(const struct acc *a, unsigned char *block, uint32_t slot)
{
    return block + a->at + sizeof(struct ring) + a->total_bytes + (size_t)slot * a->pane_bytes;
}
static inline unsigned char *key_block(const struct group *g, uint32_t key)
{
    return g->blocks + (size_t)key * g->block_bytes;
}
static inline struct mp_value *key_values(const struct group *g, uint32_t key)
{
    return g->key_count == 1 ? &g->heads[key].first : g->values + (size_t)key * g->key_count;
}
static inline uint32_t pane_slot(const struct acc *a, int64_t pane)
{
    int64_t m = pane % a->panes;
    return (uint32_t)(m < 0 ? m + a->panes : m);
}

/* ---- plan.c: what a program needs ---- */
/* Fills in groups, accumulators, feeds and columns, without the memory of keys. */
enum mp_err mp_window_plan(struct mp_window *w, struct mp_arena *arena);
/* How many keys a grouping gets, so that all fit in limits.memory_bytes. */
enum mp_err mp_window_fit(struct mp_window *w);
size_t mp_window_key_bytes(const struct group *g);
struct mp_window_limits mp_window_whole_limits(const struct mp_program *p,
                                               const struct mp_window_limits *given);
uint32_t mp_window_power_above(uint32_t n);

/* ---- source.c ---- */
void mp_growth_take(struct mp_window *w, const struct mp_record *r,
                    const struct mp_outputs *outputs);

/* ---- keys.c ---- */
/* For mp_window_expect: the hash of a key, whose place in the index is being fetched from now on;
 * and the steps of mp_window_find and mp_window_birth that have it already. */
uint32_t mp_window_expect_hash(const struct mp_window *w, const struct group *g,
                               const struct mp_value *values);
uint32_t mp_window_find_hashed(const struct group *g, uint32_t hash, const struct mp_value *values);
uint32_t mp_window_birth_hashed(struct mp_window *w, uint32_t grouping,
                                const struct mp_value *values, uint32_t hash, bool *fresh);
/* Does the key live and have these values? */
bool mp_window_key_is(const struct group *g, uint32_t key, const struct mp_value *values);
uint64_t mp_window_hash(const struct mp_window *w, enum mp_rep rep, struct mp_value v);
void mp_window_active(struct mp_window *w, struct group *g, uint32_t key);
void mp_window_forget_idle(struct mp_window *w);
void mp_window_forget(struct mp_window *w, uint32_t grouping, uint32_t key);

/* ---- acc.c: adding and gathering; `where` of memory is a key's block ---- */
void mp_acc_open(const struct acc *a, unsigned char *block);
/* Moves the total of the key to the window that ends now. */
void mp_acc_roll(struct mp_window *w, struct acc *a, unsigned char *block);
/* What a record brings to an accumulator; false: nothing. */
struct acc_sample {
    struct mp_value v;
    int64_t weight;
    bool yes;      /* RATIO */
    uint32_t bin;  /* HIST */
    uint64_t hash; /* DISTINCT */
    int128 fixed, square;
};
bool mp_acc_sample(struct mp_window *w, const struct acc *a, const struct mp_record *r,
                   const struct mp_outputs *outputs, struct acc_sample *out);
/* Fetches the memory that mp_acc_add is going to touch: before anything of the record is known, and
 * when its sample is. Windows of many keys do not fit into any cache; fetched one after another
 * they cost more than all the rest of a record. */
void mp_acc_expect(struct mp_window *w, struct acc *a, unsigned char *block);
void mp_acc_expect_sample(const struct acc *a, unsigned char *block, const struct acc_sample *s);
void mp_acc_add(struct mp_window *w, struct acc *a, unsigned char *block, const struct mp_record *r,
                const struct acc_sample *s);
/* Where now is, if it has moved on. */
void mp_acc_now(struct acc *a, int64_t now_ns);
/* The newest pane is `head`; all panes are empty. */
void mp_acc_reset(const struct acc *a, unsigned char *block, int64_t head, int64_t tail);
/* An empty total, and `from`'s panes first..last added to it. */
void mp_acc_clear_total(const struct acc *a, unsigned char *total);
void mp_acc_gather(const struct acc *a, unsigned char *block, int64_t first, int64_t last,
                   unsigned char *total);
/* Adds one total to another. */
void mp_acc_merge_total(const struct acc *a, unsigned char *into, const unsigned char *from);
/* Makes the total anew from the panes tail..head. */
void mp_acc_rebuild(const struct acc *a, unsigned char *block);
uint32_t mp_acc_total_bytes(const struct acc *a);
uint32_t mp_acc_pane_bytes(const struct acc *a);
static inline uint64_t mp_acc_samples(const unsigned char *total)
{
    uint64_t n;
    memcpy(&n, total, sizeof n); /* every cell begins with it */
    return n;
}
bool mp_acc_has_panes(const struct acc *a);

/* ---- hist.c ---- */
struct hist_scale {
    uint32_t bins, steps; /* steps + 2 bins: one below the bounds, one above */
    const double *bound;  /* steps + 1 of them; bin i holds bound[i - 1] <= v < bound[i] */
    double under, over;   /* answers of the first and the last bin */
    uint32_t first_cell;
    const uint16_t *guess; /* per cell: the first bin that it may be in */
};
uint32_t mp_hist_bins(enum mp_type type);
/* NULL: no memory. */
struct hist_scale *mp_hist_make(struct mp_arena *arena, enum mp_type type);
uint32_t mp_hist_bin(const struct hist_scale *s, double v);
double mp_hist_value(const struct hist_scale *s, uint32_t bin);
static inline uint32_t *hist_bins(unsigned char *pane)
{
    return (uint32_t *)(void *)(pane + sizeof(struct hist_cell));
}
static inline int64_t *hist_total_bins(unsigned char *total)
{
    return (int64_t *)(void *)(total + sizeof(struct hist_total));
}
void mp_hist_total_add(const struct acc *a, unsigned char *total, uint32_t bin, int64_t weight);
void mp_hist_total_sub(const struct acc *a, unsigned char *total, unsigned char *pane);
void mp_hist_total_merge(const struct acc *a, unsigned char *total, unsigned char *pane);
void mp_hist_recount(const struct acc *a, unsigned char *total);
double mp_hist_quantile(const struct acc *a, unsigned char *total, uint32_t cursor);

/* ---- value.c ---- */
/* The value of an aggregate from a total; false: unknown. */
bool mp_agg_value(const struct mp_window *w, uint32_t agg, unsigned char *total,
                  struct mp_value *out);

/* ---- read.c ---- */
/* The total of an aggregate for a key (MP_NONE: one that does not live), as read. */
unsigned char *mp_agg_total(struct mp_window *w, const struct mp_read *how, uint32_t agg,
                            uint32_t key);
/* Whether it is known at all, given the total. */
bool mp_agg_answer(struct mp_window *w, const struct mp_read *how, uint32_t agg, uint32_t flags,
                   uint32_t key, unsigned char *total, struct mp_value *out);
/* The values that `count` walks from `at` lead to; false: one is unknown. */
bool mp_read_walks(struct mp_window *w, const struct mp_record *r, const struct mp_value *keys,
                   uint32_t at, uint32_t count, struct mp_value *out);
int64_t mp_read_end(const struct mp_window *w, const struct mp_read *how, uint32_t signal);

/* ---- override.c ---- */
bool mp_override_read(struct mp_window *w, const struct mp_record *r, const struct mp_value *keys,
                      uint32_t column, struct mp_value *out);

#endif
