/* SPDX-License-Identifier: Apache-2.0
 * verdict_priv.h - the plan of a program and the memory of a reader; this folder only.
 */
#ifndef MP_VERDICT_PRIV_H
#define MP_VERDICT_PRIV_H

#include "eval/eval.h"
#include "verdict/verdict.h"

/* Masks of layers are used as an index: 3 bits. */
#define LAYER_SETS 8
/* LIMIT: throttles that one request may meet. */
#define THROTTLES_MAX 16
/* LIMIT: values in the key of an inline rule. */
#define BUCKET_KEYS_MAX 8

/* A number that an action takes: computed once where it is the same for every request. */
struct number {
    bool present, fixed;
    double value;
    uint32_t fn;
};

struct access_plan {
    bool present, passes;
    uint32_t strength;
    mp_str verb;
    struct number status;
};

/* `send request to ...`: class routing, on the request itself. */
struct send_plan {
    bool present;
    uint32_t strength, to; /* to: a function */
};

struct throttle_plan {
    bool present;
    struct number rate, burst, status;
    struct mp_bucket_limit limit; /* where rate and burst are fixed */
    bool limit_fixed;
    uint32_t owner, cap;          /* whose buckets, and how many at most */
};

struct rule_plan {
    uint32_t row;
    bool enforced; /* not shadow */
    struct access_plan access;
    struct throttle_plan throttle;
    struct send_plan send;
};

/* A word of a request: what a field must have for some rule to be true. */
enum mp_sieve_kind {
    MP_SIEVE_FIRST,  /* the first word of its value */
    MP_SIEVE_SECOND, /* the second */
    MP_SIEVE_PAIRS   /* of a text: a bit for each pair of neighbouring bytes */
};
struct mp_sieve_word {
    uint32_t slot;
    enum mp_sieve_kind kind;
};
/* Of all units of a signal. */
struct mp_sieve_words {
    struct mp_sieve_word *word;
    uint32_t count;
};
/* One alternative of one rule. */
struct mp_sieve_test {
    uint64_t value, mask;
};
/* Alternatives that look at the same word. Rules of one kind have much in common, such as how
 * paths begin: what all of them ask is asked first. */
struct mp_sieve_group {
    uint64_t value, mask; /* in common */
    uint32_t word, first, count;
};
struct mp_sieve {
    const struct mp_sieve_group *groups;
    const struct mp_sieve_test *tests;
    uint32_t group_count;
};

struct unit_plan {
    uint32_t unit, rule_count;
    const struct rule_plan *rules;
    uint64_t mask[LAYER_SETS]; /* rules that are judged at a layer */
    const struct mp_sieve *sieve; /* NULL: every request is judged */
};

/* `fields` and `columns` are what its condition reads, as bits. */
struct guard_plan {
    uint32_t guard, unit, bit;
    bool throttles_only; /* `never throttle request where ...` */
    const uint64_t *fields, *columns;
};

struct reach_plan {
    uint32_t walk, kind;
    enum mp_rep rep;
    bool outbound;
};

struct signal_plan {
    const struct reach_plan *reaches;
    uint32_t reach_count;
    const struct unit_plan *units;
    uint32_t unit_count;
    struct mp_sieve_words words;
    bool sieved; /* all units are, by fields that have no preset */
    const struct guard_plan *guards;
    uint32_t guard_count;
    uint32_t client; /* slot of the key that is an address, MP_NONE */
    uint64_t *judged; /* bits of the fields that inline rules in force look at */
    const uint64_t *at_start; /* bits of the fields that are known before the end */
    uint32_t known_words;
    uint32_t columns_at, column_count;
};

struct mp_verdict_plan {
    const struct mp_program *p;
    struct signal_plan *signals;
    uint32_t fields_max, columns_max, words_max;
    bool reads_inventory;
    /* Numbers of its throttling rules, and from whom. */
    struct mp_verdict_buckets *buckets;
    uint32_t *owners, owner_count;
};

struct mp_verdict_scratch {
    const struct mp_verdict_plan *plan;
    uint64_t *known;       /* of the record, without what is known at the end */
    uint64_t *row_known;
    struct mp_value *row;
    uint64_t *words; /* of the request at hand: two a word of the sieve */
    struct mp_record record; /* the request at hand */
    struct mp_inventory *inventory;
    struct mp_inputs inputs;
    struct mp_eval_scratch eval;
};

/* One throttle that the request meets. */
struct met_throttle {
    struct mp_bucket *bucket;
    struct mp_bucket_limit limit;
    mp_str rule;
    uint64_t incident;
    int status;
    bool inline_rule;
};

struct met {
    uint32_t throttle_count;
    /* The strongest inline verdict, or that of a `challenge` lease. */
    bool has_access, access_passes;
    uint32_t access_strength;
    int access_status;
    mp_str access_rule, access_verb;
    uint64_t access_incident;
    uint32_t access_row; /* MP_NONE: a lease */
    uint32_t send_strength;
    mp_str send_rule;
    struct met_throttle throttles[THROTTLES_MAX]; /* last: only as many are cleared as are met */
};

/* verdict_inline.c: prepares the scratch for a request. */
void mp_verdict_prepare(const struct mp_verdict_plan *plan, const struct mp_record *request,
                        struct mp_inventory *inventory, struct mp_verdict_scratch *s);
/* verdict_inline.c: judges the inline rules into `met` and out->fired. */
void mp_verdict_inline(const struct mp_verdict_plan *plan, struct mp_verdict_buckets *buckets,
                       struct mp_verdict_scratch *s, struct met *met,
                       struct mp_verdict_answer *out);
/* verdict_inline.c: the key of a rule's bucket. false: the request lacks a part of it. */
bool mp_verdict_bucket_keys(const struct mp_verdict_plan *plan, uint32_t row,
                            struct mp_verdict_scratch *s, enum mp_rep *reps, struct mp_value *keys,
                            uint32_t *count);
/* verdict_inline.c: does a guard protect it, from everything or from throttles alone? */
enum protection { UNPROTECTED, FROM_THROTTLES, FROM_ALL };
enum protection mp_verdict_protected(const struct mp_verdict_plan *plan,
                                     struct mp_verdict_scratch *s, mp_str *guard);
/* Adds an access verdict: the highest strength, then the first name. */
void mp_verdict_access(struct met *met, uint32_t strength, bool passes, int status, mp_str verb,
                       mp_str rule, uint64_t incident, uint32_t row);

/* verdict_sieve.c: which units need not be judged. */
enum mp_err mp_sieve_words_create(struct mp_arena *arena, struct mp_sieve_words *out);
/* *out NULL: some rule of the unit has to be judged always. */
enum mp_err mp_sieve_create(struct mp_arena *arena, const struct mp_program *p, uint32_t unit,
                            struct mp_sieve_words *words, struct mp_sieve **out);
/* Two words of `out` for each word. */
void mp_sieve_read(const struct mp_sieve_words *words, const uint64_t *known,
                   const struct mp_value *field, uint64_t *out);
/* May some rule of the unit be true? */
bool mp_sieve_passes(const struct mp_sieve *s, const uint64_t *words);

/* verdict_owners.c: numbers of rules that throttle, for the programs that have them; a number that
 * no program uses is kept with all that its rule has taken until another rule needs one. The
 * publisher's thread; mp_owner_mark any. */
struct owners {
    struct owner *at;
    uint32_t *heads;     /* of chains by mark: a number + 1 */
    uint32_t count;      /* numbers that were ever given */
    uint32_t free;       /* the first one given back + 1 */
};
struct owner {
    uint64_t mark;       /* of the rule, the same over reloads */
    uint32_t uses, next; /* programs that have it; in its chain or among the free ones */
};
/* LIMIT: rules with a number at one time; a few of the largest programs. */
#define OWNERS_MAX (4 * MP_INLINE_THROTTLES_MAX)
enum mp_err mp_owners_create(struct mp_arena *arena, struct owners *out);
/* The number of a rule, for one more program. false: all are given, see mp_owners_reclaim. */
bool mp_owner_take(struct owners *o, uint64_t mark, uint32_t *out);
void mp_owner_give(struct owners *o, uint32_t owner);
/* Those that no program uses may be given to other rules. */
void mp_owners_reclaim(struct owners *o);
static inline bool mp_owner_lives(const struct owners *o, uint32_t owner)
{
    return o->at[owner].uses > 0;
}
static inline uint64_t mp_owner_mark(const struct owners *o, uint32_t owner)
{
    return o->at[owner].mark;
}

/* verdict_buckets.c: the number of a rule that throttles, by its mark, until it is given back. The
 * publisher's thread. MP_ELIMIT: programs that readers still have use them all. */
enum mp_err mp_verdict_owner_take(struct mp_verdict_buckets *b, uint64_t mark, uint32_t *out);
void mp_verdict_owner_give(struct mp_verdict_buckets *b, uint32_t owner);
/* verdict_buckets.c: the bucket of a rule's key, one of at most `cap`. NULL: no room. */
struct mp_bucket *mp_verdict_bucket(struct mp_verdict_buckets *b, uint32_t rule, uint32_t cap,
                                    const enum mp_rep *reps, const struct mp_value *keys,
                                    uint32_t count, int64_t now_ns);

#endif
