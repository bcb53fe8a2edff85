/* SPDX-License-Identifier: Apache-2.0
 * engine_priv.h - what the files of the engine share; this folder only.
 *
 *   engine.c    life, time, records            judge.c     rows → truths of rules → cases
 *   deadline.c  two heaps of moments           incident.c  the life of a case
 *   moment.c    when a case is looked at       lease.c     the life of a lease, arbitration
 *   clause.c    conditions outside the units
 *   mesh.c      backends: desired sets         message.c   the outbox
 *   entry.c     ledger entries and causes      inline.c    rules on the record itself
 *   case.c      the table of (rule, key)       why.c       questions
 *   state*.c    keeping and restoring          reload.c    another program
 *   feedback.c  entries as records of `ledger`
 *   manual.c    decisions of an operator        undo.c      taking them back
 *   nack.c      what parts of the mesh refuse
 *
 * A *case* is a rule that is pending, open, cooling or not yet armed for a key; every other
 * (rule, key) has no memory here but its key's row.
 */
#ifndef MP_ENGINE_PRIV_H
#define MP_ENGINE_PRIV_H

#include "act/act.h"
#include "decide/decide.h"
#include "engine/engine.h"
#include "eval/eval.h"
#include "inventory/inventory.h"
#include "ledger/ledger.h"
#include "verdict/verdict.h"
#include "verify/verify.h"
#include "window/window.h"

#define EN_KEY_TEXT_MAX 160
#define EN_TRIGGERS_MAX 8 /* LIMIT: at_trigger expressions of a rule */
#define EN_TRIGGER_TEXT_MAX 128
#define EN_MESSAGE_TEXT_MAX 1024
#define EN_BACKENDS_MAX 8
#define EN_STEP_ACTS_MAX 16 /* LIMIT: actions of one step */
#define EN_TARGET_LEASES_MAX 256 /* LIMIT: leases on one (class, target) */
#define EN_SLOT_KEYS_MAX 4096 /* LIMIT: keys of a grouping that are judged at one slot */
#define EN_FLUSH_LEASES 1024u   /* more than these are handed over at intervals, */
#define EN_FLUSH_PAUSE_NS 5000LL /* of so long for each */
#define EN_WORDS_BYTES (96u * 1024u)
#define EN_STUCK_NS 5000000000LL     /* R35 */
#define EN_WITHHELD_COOL_NS 10000000000LL /* R36 */
#define EN_UNTIL_MAX_NS 86400000000000LL /* R20 */
#define EN_AHEAD_NS 2000000000LL     /* R1 */
#define EN_BUCKETS 16384 /* of inline throttles, keys of all rules together */
#define EN_RAMP_INTERVALS_MAX 10000 /* LIMIT: of one ramp, as its end is told */
#define EN_RESOLUTION_NS 10000000LL  /* of deadlines (language.md §5): nothing repeats faster */
#define EN_NONE UINT32_MAX
/* Incidents without a rule of the program: an operator's decision; a refusal by the mesh. */
#define EN_MANUAL MP_NONE
#define EN_NACK (MP_NONE - 1)
#define EN_MANUALS_MAX 1024u /* LIMIT: decisions of operators that live */
#define EN_NACKS_MAX 256u    /* LIMIT: refusals that are told as incidents at a time */
#define EN_MANUAL_WORDS 16384u
#define EN_TROUBLES_MAX 64u
#define EN_TROUBLE_TEXT_MAX 512u

/* ---- moments ---- */

/* An indexed heap: every id has at most one moment. */
struct en_heap {
    uint32_t *ids, *pos; /* pos by id, EN_NONE: not in it */
    int64_t *at;         /* by id */
    uint32_t count;
};

/* ---- cases ---- */

enum en_cause {
    EN_CAUSE_NONE,
    EN_CAUSE_CALM,
    EN_CAUSE_EXPIRED,
    EN_CAUSE_CANCELLED,
    EN_CAUSE_REMOVED,
    EN_CAUSE_FORBIDDEN, /* a guard of a new program */
    EN_CAUSE_WITHHELD,
    EN_CAUSE_DONE,
    EN_CAUSE_ACCEPTED /* by the part of the mesh that refused before */
};

struct en_case {
    uint32_t rule, grouping, key;
    uint32_t next;            /* in its hash chain, or in the free list */
    bool used, dirty, shadow;
    /* its key may not be forgotten; one that only waits for false may (R12) */
    bool pinned;
    bool armed;               /* it may fire */
    bool was_false;           /* the trigger was false since it opened (R19) */
    bool by_until;            /* the release was begun by `until` (R27) */
    bool begun;               /* its clocks begin at this instant: they are to be asked once now */
    bool told;                /* the step's messages have gone out */
    bool marked, ladder_changed; /* restored under a rule that reads differently now (R50) */
    uint8_t state;            /* enum mp_incident_state */
    uint8_t cause;            /* enum en_cause, of the release */
    uint8_t seen[MP_CLAUSE_COUNT]; /* last truth of each kind of clause, + 1 */
    uint64_t id;              /* 0 before it opened */
    uint32_t rung, step;      /* rung from 1; row of step */
    int64_t since_ns, opened_ns;
    struct mp_hold trigger, unless, harm;
    struct mp_run until;
    int64_t until_from_ns;    /* MP_NEVER_NS: not yet */
    struct mp_check check;
    int64_t effective_ns;     /* a of the step */
    int64_t ends_mono_ns;     /* of an incident without leases; 0: none */
    int64_t cool_mono_ns;     /* the pause ends */
    uint32_t ramp_step;
    int64_t ramp_mono_ns;     /* the next step of the ramp; 0: none */
    uint32_t leases, last_lease; /* its live leases, oldest first */
    uint32_t manual;          /* of one without a rule: who and why; what, and in which words */
    uint32_t at_trigger_count;
    uint32_t at_trigger_known;
    struct mp_value at_trigger[EN_TRIGGERS_MAX];
    uint32_t key_len;
    char key_text[EN_KEY_TEXT_MAX];
    uint32_t text_len;
    char text[EN_TRIGGER_TEXT_MAX]; /* of at_trigger */
};

/* ---- leases ---- */

struct en_lease {
    struct mp_lease l;
    bool used, dirty;
    bool excluded;     /* its backend refused the set with it in */
    bool held;         /* nothing in the mesh can carry it now; the set has it all the same */
    bool worded;       /* since it is held, and in this life, its reason has been remembered */
    bool refused;      /* it was excluded, and has not been accepted since */
    bool ttl_runs;     /* its time ran before: a restart goes on with the rest */
    uint8_t state;     /* enum mp_lease_state */
    uint8_t standing;  /* enum mp_standing */
    uint32_t owner;    /* its case */
    /* in its case; in the list of all live ones; of those on a target with its hash */
    uint32_t next, next_live, prev_live, next_same;
    uint32_t backend;  /* EN_NONE: shadow */
    uint64_t revision; /* the first set of its backend that shows its present shape */
    uint64_t applied_seq; /* seq of its entry `applying` */
    int64_t accepted_mono_ns; /* when accepted; 0: not yet */
    /* since when the data plane is waited for: anew after it was superseded */
    int64_t obey_mono_ns;
    int64_t ends_mono_ns; /* 0: its time does not run yet */
    int64_t begins_ns;    /* wall time at which it was admitted first; 0: not known any more */
    uint32_t target_len;
    char target_text[EN_KEY_TEXT_MAX]; /* for backends */
};

/* Why a lease is stuck, in the words of its backend. LIMIT: of the last EN_TROUBLES_MAX. */
struct en_trouble {
    uint64_t lease; /* its id; 0: none */
    uint32_t len;
    char text[EN_TROUBLE_TEXT_MAX];
};

/* Who decided by hand, and why; or which resource was refused, and why. */
struct en_manual {
    bool used;
    uint32_t who_len, reason_len;
    char who[MP_MANUAL_WHO_MAX], reason[MP_MANUAL_REASON_MAX];
};

/* ---- messages ---- */

enum en_mail { EN_MAIL_FREE, EN_MAIL_STEP, EN_MAIL_QUEUED, EN_MAIL_SENT };

struct en_message {
    uint8_t state;     /* STEP: waits for what becomes of its step; SENT: in hand */
    bool dirty, stuck;
    uint64_t id, incident, seq; /* seq of its entry `admitted` */
    uint32_t rule, act, rung;
    uint32_t owner;    /* case while it waits for its step, else EN_NONE */
    uint32_t attempts;
    int64_t time_ns;
    uint32_t text_len, key_len;
    char text[EN_MESSAGE_TEXT_MAX];
    char key_text[EN_KEY_TEXT_MAX];
};

/* ---- backends ---- */

struct en_backend {
    const struct mpol_backend_ops *ops;
    void *ctx;
    bool dirty;         /* the desired set has changed */
    bool waiting;       /* something in it is not yet effective, or not yet gone */
    bool holds;         /* there are leases that it cannot carry */
    uint64_t revision;  /* of the set last taken */
    uint64_t accepted, effective;
    uint32_t attempts;
    int64_t retry_mono_ns; /* it is away, and not asked before; 0: it is not */
    /* Leases that it would not have are left out, and offered again by themselves. */
    uint32_t refusals;     /* in a row */
    uint64_t offered;      /* the one that was offered again last */
    int64_t refused_mono_ns; /* 0: none is left out */
    /* the set without them; until it is accepted, trouble may be of the one before */
    uint64_t without;
    int64_t settles_mono_ns; /* but not longer than this */
};

/* The engine's own backend: accepts and obeys at once, or as a test wants it. */
struct en_prompt {
    enum mp_backend_mode mode;
    struct mp_engine *e;
    uint64_t taken;
    uint64_t accepted, effective;
    int64_t taken_mono_ns;
    struct mp_inproc *inproc; /* what verdicts on records see of its leases */
    struct mpol_lease *set;   /* what of a set that can hold */
};

/* ---- nested holds ---- */

struct en_clock {
    uint32_t hold, key;
    uint32_t next;
    bool used, dirty;
    struct mp_hold h;
    struct mp_run run; /* the same for `verify` and `until`, where unknown resets it (R17) */
};

/* ---- what is made for a program ---- */

struct en_unit {
    uint64_t *active;  /* by key: rules that have a case for it */
    uint64_t instant;  /* rules that are false but at their own record */
    uint64_t on_unknown; /* rules for which unknown counts as true (R21) */
    uint64_t unless_held; /* rules whose `unless` has a clock of its own */
    uint64_t alive;
    /* How often each rule was known true or unknown: bit-sliced counters, emptied before they
     * overflow, so that counting costs a few words a judgement and not a branch a rule. */
    uint64_t true_bits[8], unknown_bits[8];
    uint32_t pending_counts;
    uint64_t judged;
    uint64_t at_layer[3];      /* of a unit over records: rules that look at this layer */
    uint32_t pending_layers[3];
};

struct en_grouping {
    uint32_t slot_key; /* where the next slot goes on, when there are more keys than one looks at */
    bool across;       /* reads values of other keys: judged at every slot */
    bool inventory;    /* reads attributes */
    bool on_silence;   /* has rules that silence can make true */
    uint32_t timer_at; /* first id of its keys' moments; EN_NONE: none */
};

/* A record that one rule found true, to be done in order of rules. */
struct en_hit {
    uint32_t rule, grouping, key;
    enum mp_truth truth;
    bool now_only; /* true at the instant of this record alone */
};

struct en_opening {
    int64_t time_ns;
    uint64_t rule_key; /* hash of names and key text: good over a reload */
};

/* A change of truth of a clause, with what its first parts measured at that moment. */
struct en_truth {
    int64_t time_ns;
    uint64_t rule_key;
    uint8_t clause, truth;
    uint8_t value_count, known; /* known: a bit a value */
    uint32_t part[MP_TRUTH_VALUES_MAX]; /* rows of this program; a reload forgets the values */
    struct mp_value value[MP_TRUTH_VALUES_MAX];
};

/* An inline rule that has been told in this minute (R49), or a text of it in this second. */
struct en_told {
    uint64_t key;
    int64_t since_ns;
    uint64_t count;
};
#define EN_TOLD_MAX 4096

/* How many of something in a second of event time:
 * what clients can cause must not fill a ledger. */
struct en_pace {
    int64_t second;
    uint32_t count;
};
#define EN_INLINE_PACE 1000 /* LIMIT: entries of inline rules in a second; the rest is counted */
#define EN_TEXT_PACE 100    /* LIMIT: messages of rules without an incident in a second */

/* A lease, for sorting by what was decided first. */
struct en_order {
    uint64_t id;
    uint32_t slot;
};

/* What a restored row of a rule that is gone left to be told. */
struct en_gone {
    uint64_t incident, lease; /* lease 0: the incident itself */
    uint32_t rung, slot;
    uint8_t state;
    mp_str rule, key, verb, target;
};
#define EN_GONE_MAX 1024

/* What the store was told of the engine as a whole. */
struct en_meta {
    uint64_t next_incident, next_lease;
    bool braked;
};

/* An entry on its way back in as a record of the signal `ledger`. */
#define EN_FEEDBACK_MAX 1024
#define EN_FEEDBACK_KEYS 4
struct en_told_entry {
    mp_str policy, verb, outcome; /* of the program, or static */
    int64_t time_ns;
    uint32_t key_count, text_len;
    uint32_t entity[EN_FEEDBACK_KEYS];
    struct mp_value key[EN_FEEDBACK_KEYS];
    char text[EN_KEY_TEXT_MAX];
};
struct en_feedback {
    uint32_t signal; /* MP_NONE: no rule asks */
    bool feeding;
    struct en_told_entry *queue, now;
    uint32_t at, count;
    uint64_t lost;
    uint64_t *known;
    struct mp_value *field;
};

struct mp_engine {
    struct mp_arena arena;     /* as long as the engine */
    struct mp_arena made;      /* as long as the program */
    struct mp_alloc alloc;
    const struct mp_os *os;
    struct mp_engine_options options;
    struct mp_engine_limits limits;
    struct mp_engine_sinks sinks;
    struct mp_program *p;
    struct mp_window *window;
    struct mp_inventory *inventory;

    int64_t now_ns, mono_ns;
    bool advancing;
    uint64_t record_number, records; /* all; those from outside */
    struct en_feedback feedback;
    struct mp_engine_full full; /* without its name */
    uint32_t full_rule;
    uint64_t ahead, refused_incidents, refused_leases, refused_holds, lost_messages;

    struct en_heap events, monos;
    /* first id of each kind in events; monos: cases, then one each */
    uint32_t case_ids, hold_ids, key_ids;
    int64_t slot_ns;           /* the next slot to judge; 0: none */
    bool inventory_dirty;
    uint64_t inventory_version;

    struct en_unit *units;         /* one a row of unit */
    struct en_grouping *groupings; /* one a row of grouping */
    uint8_t *rule_alive, *guard_alive;
    struct mp_rule_counts *counts; /* one a row of rule */
    uint32_t *rule_cases, *rule_leases; /* one a row of rule: how many it has */
    /* one a row of clause: changes at panes only, not with a record */
    uint8_t *clause_still;

    struct en_case *cases;
    uint32_t *case_heads;      /* hash table */
    uint32_t case_mask, case_free, case_used;
    /* No slot from here on was ever in use: its memory has not been touched, and no loop looks at
     * it. What there is room for costs nothing until it is needed. */
    uint32_t case_end, lease_end;
    uint32_t *case_list; /* room to list them in order */
    struct en_clock *clocks;
    uint32_t *clock_heads;
    uint32_t clock_mask, clock_free;
    struct en_lease *leases;
    uint32_t *lease_heads;     /* hash table by target, of the live ones */
    uint32_t lease_mask;
    uint32_t lease_free, lease_used, lease_live, lease_live_last;
    struct en_order *order; /* room to sort them */
    struct en_trouble *troubles;
    uint32_t trouble_at;
    struct en_manual *manuals;
    struct en_lease manual_draft; /* what is only looked at */
    char *manual_words;           /* texts of one answer to an operator */
    struct mp_arena manual_arena;
    struct en_message *messages;
    uint32_t message_used;
    uint64_t next_incident, next_lease;

    struct en_backend backends[EN_BACKENDS_MAX];
    uint32_t backend_count;
    struct en_prompt prompt;
    uint32_t outstanding; /* leases that wait for their backend */
    int64_t flushed_mono_ns; /* when it last was looked at what they wait for */
    struct mpol_lease *set;    /* what apply is given */
    struct mpol_arg *set_args;
    struct mpol_text owner_tag;

    struct mp_decide *decide;
    struct mp_ledger *ledger;
    uint64_t committed;
    bool braked, store_failed;
    bool restoring, swapping, meta_restored;
    struct en_gone *gone;
    uint32_t gone_count;
    struct mp_arena gone_arena; /* their texts; emptied when they have been told */
    uint64_t admissions_told;
    int64_t kept_ns; /* time of the newest row that came back */
    /* Whatever changes a row also counts one of these up: an idle engine is not looked through. */
    uint64_t truth_total, clock_total, told_mark;
    struct en_meta meta_told;

    struct en_opening *openings;
    uint32_t opening_at, opening_count;
    struct en_truth *truths;
    uint32_t truth_at, truth_count;
    struct en_told *told;
    struct en_pace inline_pace, text_pace;
    /* Verdicts on records that nobody has judged before (R31). */
    struct mp_inproc_reader *reader;
    struct mp_verdict_buckets *buckets;
    struct mp_verdict_plan *plan, *own_plan; /* own_plan NULL: it is another's */
    struct mp_verdict_scratch *verdict_scratch;
    struct mp_verdict_answer answer;
    struct en_message draft;

    /* Working memory, none of it kept between calls. */
    struct mp_row row, clause_row, member_row;
    struct mp_row record_row;  /* the signal's own columns */
    struct mp_outputs outputs; /* of the record unit */
    uint32_t outputs_words;
    struct mp_touch *touched;
    struct en_hit *hits;
    uint32_t hit_count, hit_max;
    struct mp_eval_scratch scratch, member_scratch;
    struct mp_inputs in;
    const struct mp_record *record;    /* the one being applied, or NULL */
    const struct mp_outputs *record_outputs;
    const struct mp_lease *step_leases[EN_STEP_ACTS_MAX];
    char *words;               /* texts of one entry */
    struct mp_arena words_arena;
    struct mp_entry entry;
    size_t made_bytes;
};

/* ---- deadline.c ---- */
enum mp_err en_heap_create(struct mp_arena *a, uint32_t ids, struct en_heap *out);
void en_heap_set(struct mp_engine *e, struct en_heap *h, uint32_t id, int64_t at);
int64_t en_heap_first(const struct en_heap *h);
/* Fires everything due up to (now, mono), each at its own time. */
void en_run_deadlines(struct mp_engine *e, int64_t now_ns, int64_t mono_ns);
int64_t en_next_deadline(const struct mp_engine *e);
/* One more in this second; false: it is too many. */
bool en_pace(const struct mp_engine *e, struct en_pace *p, uint32_t limit);
/* A signal fell silent or came back: whoever minds is judged. */
void en_silence_changed(struct mp_engine *e);

/* ---- case.c ---- */
struct en_case *en_case_find(struct mp_engine *e, uint32_t rule, uint32_t key);
/* NULL: the table is full. */
struct en_case *en_case_make(struct mp_engine *e, uint32_t rule, uint32_t key);
/* There was none for this rule, whose part is `most`; `taken`: it has so many. */
void en_full(struct mp_engine *e, uint32_t rule, bool incidents, uint32_t taken, uint32_t most);
/* Why a lease of this rule was refused at `from_ns` or later, in the words of the entry at hand;
 * empty: it was not, for want of room. */
mp_str en_full_text(struct mp_engine *e, uint32_t rule, int64_t from_ns);
void en_case_free(struct mp_engine *e, struct en_case *c);
/* A slot for one without a rule, EN_MANUAL or EN_NACK; NULL: there are `most`, or no room. */
struct en_case *en_case_make_ruleless(struct mp_engine *e, uint32_t rule, uint32_t most);
static inline uint32_t en_case_index(const struct mp_engine *e, const struct en_case *c)
{
    return (uint32_t)(c - e->cases);
}
mp_str en_case_key(struct mp_engine *e, struct en_case *c);
/* Its key may be forgotten from now on, or no longer. */
void en_case_pin(struct mp_engine *e, struct en_case *c, bool pin);
/* The key is forgotten: what only waited for it is forgotten too. */
void en_cases_forget(struct mp_engine *e, uint32_t grouping, uint32_t key);
uint64_t en_rule_key(const struct mp_engine *e, uint32_t rule, mp_str key);
struct en_clock *en_clock_find(struct mp_engine *e, uint32_t hold, uint32_t key);
struct en_clock *en_clock_make(struct mp_engine *e, uint32_t hold, uint32_t key);
void en_clock_free(struct mp_engine *e, struct en_clock *c);

/* ---- judge.c ---- */
enum mp_err en_judge_prepare(struct mp_engine *e);
/* Judges all rules of a grouping for a key now, and does what follows. */
void en_judge_key(struct mp_engine *e, uint32_t grouping, uint32_t key);
/* Collects the hits of a key without doing them: for records that touch several keys. */
void en_collect(struct mp_engine *e, uint32_t grouping, uint32_t key);
void en_do_hits(struct mp_engine *e);
void en_judge_slot(struct mp_engine *e);
void en_judge_all(struct mp_engine *e, bool (*which)(const struct en_grouping *g));
void en_count_flush(struct mp_engine *e, uint32_t unit);
/* Counts one judgement of a unit; `layer` is the number of the record's layer, 0 for a row. */
void en_count(struct mp_engine *e, uint32_t unit, uint32_t layer, uint64_t truth, uint64_t unknown);
void en_key_timer(struct mp_engine *e, uint32_t grouping, uint32_t key);
enum mp_truth en_hold_truth(void *ctx, const struct mp_read *how, uint32_t hold, uint32_t key);
/* When a hold that the clause reads may turn true for it; MP_NEVER_NS: not by itself. */
int64_t en_holds_due(struct mp_engine *e, uint32_t clause, const struct mp_read *how, uint32_t key);

/* ---- clause.c ---- */
enum mp_truth en_clause_truth(struct mp_engine *e, uint32_t clause, const struct mp_read *how,
                              uint32_t key);
/* The largest lateness of what the clause reads for this key. */
int64_t en_clause_lateness(struct mp_engine *e, uint32_t clause, uint32_t key);
struct mp_inputs *en_row_inputs(struct mp_engine *e, const struct mp_row *row);
/* Fills e->row for a case, with the record at hand where there is one. */
void en_fill(struct mp_engine *e, uint32_t grouping, uint32_t key, const struct en_case *c);
/* Adds what the clause measured as causes of the entry at hand. */
void en_cause_clause(struct mp_engine *e, uint32_t clause, const struct mp_read *how, uint32_t key);
bool en_incident_value(void *ctx, uint32_t column, uint32_t key, const void *asker,
                       struct mp_value *out);
enum mp_truth en_member_truth(void *ctx, uint32_t fn, const struct mp_row *row);

/* ---- incident.c ---- */
/* The trigger of (rule, key) is `truth` now. `c` may be NULL. */
void en_trigger(struct mp_engine *e, uint32_t rule, uint32_t key, struct en_case *c,
                enum mp_truth truth, bool now_only);
/* Judges the clauses of an open case. `moved`: a record changed its row. */
void en_case_checks(struct mp_engine *e, struct en_case *c, bool by_record);
/* moment.c: an event moment of it; one on the monotonic clock; when the next ones are. */
void en_case_due(struct mp_engine *e, struct en_case *c);
void en_case_mono_due(struct mp_engine *e, struct en_case *c);
void en_case_schedule(struct mp_engine *e, struct en_case *c);
void en_case_event(struct mp_engine *e, struct en_case *c, enum mp_incident_event ev, mp_str why);
/* Told by lease.c. */
void en_case_lease_accepted(struct mp_engine *e, struct en_case *c);
void en_case_lease_effective(struct mp_engine *e, struct en_case *c);
void en_case_lease_superseded(struct mp_engine *e, struct en_case *c, const struct en_lease *l);
void en_case_lease_lost(struct mp_engine *e, struct en_case *c, const struct en_lease *l);
void en_case_lease_gone(struct mp_engine *e, struct en_case *c);
void en_case_release(struct mp_engine *e, struct en_case *c, enum en_cause cause);
bool en_rule_named(const struct mp_engine *e, uint32_t rule, mp_str name);
/* `plan` NULL: it makes its own. `why` may be NULL; it receives a text where the error alone says
 * too little. */
enum mp_err en_make(struct mp_engine *e, struct mp_verdict_plan *plan, const char **why);
/* Ends what en_make has made, also where it failed on the way. */
void en_unmake(struct mp_engine *e);
mp_str en_cause_word(enum en_cause cause);
bool en_case_is_open(const struct en_case *c);
/* What has no rule has neither conditions nor a ladder: it is as of a rule of one rung without a
 * check. */
extern const struct mp_rule_row en_manual_rule;
extern const struct mp_step_row en_manual_step;
static inline bool en_is_manual(const struct en_case *c) { return c->rule == EN_MANUAL; }
static inline bool en_has_rule(const struct en_case *c) { return c->rule < EN_NACK; }
static inline const struct mp_rule_row *en_rule_of(const struct mp_engine *e,
                                                   const struct en_case *c)
{
    return en_has_rule(c) ? &e->p->rule[c->rule] : &en_manual_rule;
}
static inline const struct mp_step_row *en_step_of(const struct mp_engine *e,
                                                   const struct en_case *c)
{
    return en_has_rule(c) ? &e->p->step[c->step] : &en_manual_step;
}
/* Where what is counted by rule is counted. */
static inline uint32_t en_rule_slot(const struct mp_engine *e, uint32_t rule)
{
    return rule < EN_NACK ? rule : e->p->rule_count + (rule - EN_NACK);
}
/* How its check reads; the `harm` of what is in force, MP_NONE: none. */
struct mp_read en_read_check(const struct en_case *c);
uint32_t en_case_harm(const struct mp_engine *e, const struct en_case *c);
/* Is it looked for now? */
bool en_case_may_harm(const struct mp_engine *e, const struct en_case *c);
void en_case_ramp(struct mp_engine *e, struct en_case *c);   /* gives the next part back */
int64_t en_case_ramp_end(const struct mp_engine *e, const struct en_case *c); /* 0: none runs */
/* From the first step to the last, which takes back what is left. */
int64_t en_ramp_intervals(const struct mp_rule_row *r);
void en_case_forbid(struct mp_engine *e, struct en_case *c); /* all of it, whatever it is at */
void en_case_cooled(struct mp_engine *e, struct en_case *c); /* its pause is over */
/* Goes on to the end once nothing of it is in force. */
void en_case_finish(struct mp_engine *e, struct en_case *c);

/* ---- lease.c ---- */
/* Makes, admits and applies the leases of the case's step. */
enum en_step { EN_STEP_TAKEN, EN_STEP_WITHHELD, EN_STEP_NO_LEASES };
enum en_step en_step_leases(struct mp_engine *e, struct en_case *c);
void en_lease_event(struct mp_engine *e, struct en_lease *l, enum mp_lease_event ev, mp_str why);
void en_lease_end(struct mp_engine *e, struct en_lease *l, mp_str why);
void en_case_end_leases(struct mp_engine *e, struct en_case *c, mp_str why);
void en_lease_arbitrate(struct mp_engine *e, const struct mp_lease *about);
bool en_lease_in_force(const struct en_lease *l);
bool en_lease_wanted(const struct en_lease *l);
/* Was it in force, and is somewhere not, so that its backend names it? */
bool en_lease_lost(const struct en_lease *l);
const struct mp_lease *en_live(void *ctx, bool shadow, uint32_t *cursor);
/* How many leases of the case's rung, and how many of these are at least this far. */
struct en_step_state {
    uint32_t leases, accepted, effective;
};
struct en_step_state en_step_state(const struct mp_engine *e, const struct en_case *c);
/* Leases of the case that are wanted (not withdrawing). */
uint32_t en_case_wanted(const struct mp_engine *e, const struct en_case *c);
void en_lease_revive(struct mp_engine *e, struct en_case *c);
void en_lease_share(struct mp_engine *e, struct en_case *c, double share);
mp_str en_target_text(struct mp_engine *e, const struct mp_lease *l);
extern const struct mpol_backend_ops en_prompt_ops;
enum mp_err en_prompt_create(struct mp_engine *e);

/* A free slot, counted against its rule; NULL: no room. Given back before it was linked. */
struct en_lease *en_lease_take(struct mp_engine *e, uint32_t rule);
void en_lease_give(struct mp_engine *e, struct en_lease *l);
/* Copies the text of *v into the lease; false: no room. */
bool en_lease_own_text(struct mp_lease *l, enum mp_type type, struct mp_value *v);
void en_lease_print_target(struct en_lease *l);
/* Leases of one step: may they be? Then they are put in force. */
bool en_leases_admit(struct mp_engine *e, struct en_lease **made, uint32_t count,
                     struct mp_admission *out);
void en_leases_enforce(struct mp_engine *e, struct en_case *c, struct en_lease **made,
                       uint32_t count);
void en_cause_admission(struct mp_engine *e, const struct mp_admission *a);
mp_str en_admission_word(enum mp_decide_why why);
/* Does it compete, as far as is known now? It is asked where its backend does not tell by itself;
 * its `idle` is set. */
void en_lease_weigh(struct mp_engine *e, struct en_lease *l);
/* Those that compete with `about`; at most EN_TARGET_LEASES_MAX. */
uint32_t en_lease_rivals(struct mp_engine *e, const struct mp_lease *about, struct en_lease **out);

/* Remembers why it is stuck; what is remembered, empty where nothing is. */
void en_trouble_put(struct mp_engine *e, const struct en_lease *l, mp_str text);
mp_str en_trouble_of(const struct mp_engine *e, const struct en_lease *l);

/* ---- manual.c ---- */
enum mp_err en_manual_create(struct mp_engine *e);
/* A place for who and why, or for what and why; EN_NONE: no room. */
uint32_t en_manual_put(struct mp_engine *e, mp_str who, mp_str reason);
mp_str en_manual_who(const struct mp_engine *e, const struct en_case *c);
mp_str en_manual_reason(const struct mp_engine *e, const struct en_case *c);
/* Begins an answer to an operator; a piece of it, printed. */
void en_manual_begin(struct mp_engine *e);
mp_str en_manual_say(struct mp_engine *e, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
mp_str en_manual_value(struct mp_engine *e, enum mp_type type, struct mp_value v);
void en_manual_fact(struct mp_manual_answer *out, mp_str name, mp_str value);
/* Adds who and why to the entry at hand. */
void en_cause_who(struct mp_engine *e, mp_str who, mp_str reason);

/* ---- nack.c ---- */
/* The part of the mesh that the key of such an incident names: all before its last colon. */
mp_str en_nack_part(mp_str key);

/* ---- manual_read.c, manual_facts.c ---- */
/* Verb, target and arguments; false with out->why and out->help. */
bool en_manual_read(struct mp_engine *e, const struct mp_manual *ask, struct mp_lease *l,
                    struct mp_manual_answer *out);
void en_manual_facts(struct mp_engine *e, const struct en_lease *l, struct mp_manual_answer *out);
/* ::ffff:0:0, under whose 96 bits all of IPv4 is; and whether a range is of IPv4 alone. */
struct mp_value en_every_v4(void);
bool en_is_v4(struct mp_value v, uint32_t bits);
/* KIND=KEY of a target, read; false with *why. */
bool en_manual_target(struct mp_engine *e, mp_str text, struct mp_lease *l, mp_str *why,
                      mp_str *help);

/* ---- mesh.c ---- */
mp_str en_target_word(const struct mp_program *p, uint32_t entity, uint32_t type);
/* Could its backend carry it at all? False with a line in *why, of the answer at hand. */
bool en_backend_check(struct mp_engine *e, const struct en_lease *l, mp_str *why);
/* Could the mesh as it is now carry it, as far as its backend tells? False with a line in `why`. */
bool en_backend_carries(struct mp_engine *e, const struct en_lease *l, char *why, size_t size);
/* The hooks at which a backend does it. */
uint32_t en_backend_hooks(const struct mp_engine *e, uint32_t backend, uint32_t action,
                          uint32_t entity, uint32_t type);
/* Accepted, and not obeyed within the backend's bound: stuck, with what the backend waits for. */
void en_lease_late(struct mp_engine *e, struct en_lease *l);
/* It was refused before: others do not share its fate, and it is offered again by itself. */
void en_lease_leave_out(struct mp_engine *e, struct en_lease *l);
/* Looks at backends that may have lost what they carried; en_flush does what follows. */
void en_watch(struct mp_engine *e);
/* Hands changed sets to their backends, and does what their progress says, until nothing moves. */
void en_flush(struct mp_engine *e);
bool en_backend_can(const struct mpol_backend_ops *ops, mp_str verb, mp_str target);
uint32_t en_backend_for(const struct mp_engine *e, uint32_t action, uint32_t entity, uint32_t type);
void en_backend_due(struct mp_engine *e, uint32_t backend);

/* ---- message.c ---- */
/* Writes the step's messages; they wait for what becomes of it. */
void en_messages_write(struct mp_engine *e, struct en_case *c);
/* They go out; `suffix` says what became of the step, empty: it was accepted. */
void en_messages_send(struct mp_engine *e, struct en_case *c, mp_str suffix);
void en_messages_drop(struct mp_engine *e, struct en_case *c);
/* Those that wait for a step of a case that did not come back: the next one in its place would send
 * them as its own. */
void en_messages_drop_orphans(struct mp_engine *e);
/* A message of a rule without an incident. */
void en_message_now(struct mp_engine *e, uint32_t rule, uint32_t act, mp_str text, mp_str key);
/* The text that a message action has for these inputs; its length. */
void en_messages_pump(struct mp_engine *e);
void en_message_due(struct mp_engine *e, uint32_t message);

/* ---- entry.c ---- */
/* Empties the entry at hand; every put does so at its end.
 * Causes are added just before an event. */
void en_entry_begin(struct mp_engine *e);
struct mp_buf *en_words(struct mp_engine *e, struct mp_buf *b);
void en_cause(struct mp_engine *e, mp_str name, mp_str value);
void en_cause_value(struct mp_engine *e, mp_str name, enum mp_type type, struct mp_value v);
void en_cause_number(struct mp_engine *e, mp_str name, uint64_t n);
uint64_t en_entry_incident(struct mp_engine *e, struct en_case *c, mp_str from, mp_str to,
                           mp_str why);
uint64_t en_entry_lease(struct mp_engine *e, struct en_lease *l, mp_str from, mp_str to,
                        mp_str why);
uint64_t en_entry_message(struct mp_engine *e, struct en_message *m, mp_str from, mp_str to,
                          mp_str why);
uint64_t en_entry_put(struct mp_engine *e);
mp_str en_rule_name(const struct mp_engine *e, uint32_t rule);
/* Remembers it for `why`, with values read like `how`, where it is a change. */
void en_truth_changed(struct mp_engine *e, struct en_case *c, enum mp_clause kind,
                      enum mp_truth truth, const struct mp_read *how);
/* The values of what has been remembered belong to a program that goes. */
void en_truths_forget_values(struct mp_engine *e);

/* ---- engine.c ---- */
void en_take(struct mp_engine *e, struct mp_record *r, bool judged);
/* The end of every call from outside: backends, messages, and what that makes rules see. */
void en_settle(struct mp_engine *e);
/* An operator releases it; false: there is nothing to release. */
bool en_case_cancel(struct mp_engine *e, struct en_case *c);

/* ---- feedback.c ---- */
enum mp_err en_feedback_prepare(struct mp_engine *e);
/* The entry at hand, if it is an outcome that rules may count; before it is put. */
void en_feedback_entry(struct mp_engine *e, const struct en_case *c, const struct mp_lease *l);
void en_feedback_pump(struct mp_engine *e);

/* ---- inline.c ---- */
/* Judges the rules on the record itself; `judged`: the inline ones have been already. */
void en_inline(struct mp_engine *e, const struct mp_record *r, bool judged);

/* ---- state.c, reload.c ---- */
/* Every row of the state, changed or not. */
void en_state_tell(struct mp_engine *e, void *ctx,
                   void (*row)(void *ctx, const struct mp_state_row *row));
/* MP_NONE: the program has no such rule. */
uint32_t en_find_rule(const struct mp_program *p, mp_str package, mp_str name);
/* A case or clock that was put into its slot by hand enters the tables. */
void en_case_adopt(struct mp_engine *e, struct en_case *c);
void en_hold_pause(struct mp_hold *h, int64_t stopped_ns);
void en_clock_adopt(struct mp_engine *e, struct en_clock *c);
void en_lease_link(struct mp_engine *e, struct en_case *c, struct en_lease *l);
/* Makes the lists of free slots from what is used. */
void en_relist(struct mp_engine *e);
/* Does a guard of a program that has just come forbid a lease of it? `out` tells which. Outside a
 * swap, that is after a restart, only one that is known to: windows and inventory begin anew. */
bool en_case_forbidden(struct mp_engine *e, const struct en_case *c, struct mp_admission *out);
static inline int64_t en_at_least_resolution(int64_t ns)
{
    return ns > EN_RESOLUTION_NS ? ns : EN_RESOLUTION_NS;
}
static inline void en_case_touch(struct en_case *c) { c->dirty = true; }
static inline void en_lease_touch(struct en_lease *l) { l->dirty = true; }

#endif
