/* SPDX-License-Identifier: Apache-2.0
 * lower_priv.h - what the files of lower share. Only this folder includes it.
 *
 * Rows of attr, field, column, agg and hold are made where they are first needed, so rows of one
 * owner are not neighbours; until finish.c sorts them by owner, references to them are
 * *provisional* row numbers. Slots (of fields, columns, holds in their owner) are final at once.
 *
 * Memory and refusals leave by longjmp to mp_lower: arenas are all there is to give back.
 */
#ifndef MP_LOWER_LOWER_PRIV_H
#define MP_LOWER_LOWER_PRIV_H

#include <setjmp.h>

#include "base/assert.h"
#include "base/map.h"
#include "lower/lower.h"

struct lw_signal {
    const struct mp_t_signal *t;
    uint32_t row;
    MP_VEC(uint32_t) fields;  /* provisional rows, by slot */
    MP_VEC(uint32_t) columns; /* provisional rows, by slot */
    MP_VEC(uint32_t) aggs;    /* provisional rows */
    struct mp_ir_fn unit;     /* open until the end: where, value, EVENT cells */
    bool has_unit;
};

struct lw_grouping {
    const struct mp_t_keys *keys;
    uint32_t row, hold_count;
    MP_VEC(uint32_t) columns; /* provisional rows, by slot */
    bool *reads;              /* one a signal: may a record of it change a column? */
};

struct lw_entity {
    const struct mp_t_entity *t;
    uint32_t *attrs; /* provisional rows, MP_NONE where nobody reads it */
};

/* A column's owner: exactly one is set. */
struct lw_owner {
    struct lw_grouping *grouping;
    struct lw_signal *signal;
};

struct lw_place {
    uint32_t unit, out;
};

struct lw {
    const struct mp_typed *t;
    const struct mp_lower_options *options;
    struct mp_arena *scratch;
    struct mp_ir *ir;
    jmp_buf out;
    enum mp_err err;
    struct mp_map interned; /* content of aggs, columns, walks, groupings → row */
    struct lw_entity *entities;
    struct lw_signal *signals;
    MP_VEC(struct lw_grouping *) groupings;
    MP_VEC(uint32_t) column_owners; /* by provisional row: see lw_owner_number */
    MP_VEC(uint32_t) column_stamps; /* by provisional row: the last clause that read it */
    uint32_t stamp;
    uint32_t *action_rows;          /* by index; MP_NONE where no rule uses it */
    uint32_t actions_used; /* rows of action that policies use; the rest is for operators */
    uint32_t *def_rows;             /* by index; MP_NONE until used */
    struct lw_place *rule_units, *guard_units;
};

/* ---- where an expression stands ---- */
struct lw_ctx {
    struct lw *lw;
    struct mp_ir_fn *fn;
    struct lw_owner owner;         /* whose row the function reads */
    bool record;                   /* owner.signal's record is at hand */
    bool member;                   /* the row is that of a member of a set */
    const struct mp_t_keys *keys;  /* of the rule, for names of row keys in a record function */
    const struct mp_t_rule *rule;  /* NULL: none */
    struct lw_triggers *triggers;  /* of the rule: at_trigger expressions found so far */
    bool limit_is_true;            /* an inline deny: a match limit counts as a match (R11) */
    int sign;                      /* 1: a larger value can only confirm the comparison (R5) */
    uint32_t agg_column;           /* provisional row of the first aggregate read; MP_NONE */
};

/* The expressions of `at_trigger` in a rule, in order of first use. */
struct lw_triggers {
    MP_VEC(const struct mp_t_expr *) list;
};

/* ---- lower.c ---- */
_Noreturn void lw_fail(struct lw *lw, enum mp_err err);
_Noreturn void lw_refuse(struct lw *lw, struct mp_span span, const char *what);
void *lw_alloc(struct lw *lw, size_t count, size_t size, size_t align);
#define LW_NEW(lw, type, n) ((type *)lw_alloc((lw), (n), sizeof(type), _Alignof(type)))
#define LW_PUSH(lw, vec, value)                                                                    \
    do {                                                                                           \
        __typeof__((vec)->ptr) lw_slot_ = MP_VEC_PUSH((lw)->scratch, (vec));                       \
        if (lw_slot_ == NULL) lw_fail((lw), MP_ENOMEM);                                            \
        *lw_slot_ = (value);                                                                       \
    } while (0)
/* What was interned under these bytes, or `fresh_value` from now on with *fresh set. */
uint32_t lw_intern(struct lw *lw, mp_str key, uint32_t fresh_value, bool *fresh);
/* The same for an array of words; `tag` keeps kinds of content apart. */
uint32_t lw_intern_words(struct lw *lw, char tag, const uint32_t *words, size_t count,
                         uint32_t fresh_value, bool *fresh);
#define LW_INTERN_WORDS(lw, tag, words, value, fresh)                                              \
    lw_intern_words((lw), (tag), (words), sizeof(words) / sizeof *(words), (value), (fresh))
mp_text_ref lw_text(struct lw *lw, mp_str text);
/* What is in a buffer of scratch memory, if all of it went in. */
mp_str lw_view(struct lw *lw, const struct mp_buf *b);
mp_str lw_printf(struct lw *lw, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Memory that ran out in `ir` leaves at once: what was not added must not be looked at. */
static inline void lw_ok(struct lw *lw)
{
    if (lw->ir->failed) lw_fail(lw, MP_ENOMEM);
}
/* A fresh last row; good until the next of that table. */
#define LW_ADD(lw, table)                                                                          \
    (mp_ir_add_##table((lw)->ir), lw_ok(lw), &(lw)->ir->table.ptr[(lw)->ir->table.len - 1])

/* The builder's calls (ir.h), for the function that c is writing. */
static inline uint32_t lw_made(struct lw_ctx *c, uint32_t value)
{
    lw_ok(c->lw);
    return value;
}
static inline uint32_t lw_op(struct lw_ctx *c, enum mp_op code, uint32_t a, uint32_t b,
                             uint32_t third)
{
    return lw_made(c, mp_ir_op(c->fn, code, a, b, third));
}
static inline uint32_t lw_op_const(struct lw_ctx *c, uint32_t cnst)
{
    return lw_made(c, mp_ir_op_const(c->fn, cnst));
}
static inline uint32_t lw_op_param(struct lw_ctx *c, uint32_t param)
{
    return lw_made(c, mp_ir_op_param(c->fn, param));
}
static inline uint32_t lw_op_field(struct lw_ctx *c, uint32_t slot, enum mp_rep rep)
{
    return lw_made(c, mp_ir_op_field(c->fn, slot, rep));
}
static inline uint32_t lw_op_col(struct lw_ctx *c, uint32_t slot, enum mp_rep rep)
{
    return lw_made(c, mp_ir_op_col(c->fn, slot, rep));
}
static inline uint32_t lw_op_bool(struct lw_ctx *c, bool truth)
{
    return lw_made(c, mp_ir_op_bool(c->fn, truth));
}

/* ---- vocabulary.c: entities, signals, fields, actions, params, lists, constants ---- */
void lw_vocabulary(struct lw *lw);
/* Provisional row of an attribute, or of an entry of one that is a map; makes it. */
uint32_t lw_attr(struct lw *lw, const struct mp_t_attr *attr);
uint32_t lw_attr_entry(struct lw *lw, const struct mp_t_attr *attr, mp_str entry);
uint32_t lw_entity_row(const struct mp_t_entity *entity); /* NULL: MP_NONE */
struct lw_signal *lw_signal_of(struct lw *lw, const struct mp_t_signal *signal);
/* Slots of the record; made at first use. */
uint32_t lw_field_slot(struct lw *lw, struct lw_signal *s, const struct mp_t_field *field,
                       mp_str entry);
uint32_t lw_key_slot(struct lw *lw, struct lw_signal *s, uint32_t key);
uint32_t lw_attr_slot(struct lw *lw, struct lw_signal *s, uint32_t key,
                      const struct mp_t_attr *attr);
uint32_t lw_action(struct lw *lw, const struct mp_t_action *action);
/* Those that no policy uses, too: an operator may. */
void lw_actions(struct lw *lw);
/* Attributes that no policy reads: inventory lines bring them, and backends and operators ask for
 * them. What would cost something with each record is not observed for that. */
void lw_attrs(struct lw *lw);
/* The row of a constant expression, and of text that names a member of `entity`. */
uint32_t lw_const(struct lw *lw, const struct mp_t_expr *e);
uint32_t lw_const_of(struct lw *lw, struct mp_t_type type, mp_str text, struct mp_span span);
/* The type of a value in the image: an entity's is that of its key. */
enum mp_type lw_type(struct mp_t_type type);
enum mp_rep lw_rep(struct mp_t_type type);

/* ---- walk.c ---- */
struct lw_way {
    enum mp_walk_base base;
    uint32_t index;
    const struct mp_t_entity *entity; /* of the base value */
    const struct mp_t_attr **hops;
    uint32_t hop_count;
    struct mp_t_type type; /* of the end */
    mp_str entry;          /* of a map, at the last hop; ptr NULL: none */
};
/* A typed walk, from where the function of `c` stands. */
struct lw_way lw_way_of(struct lw_ctx *c, const struct mp_t_walk *walk, struct mp_span span);
/* Consecutive rows of walk; equal ones are made once. */
uint32_t lw_walk_rows(struct lw *lw, const struct lw_way *ways, uint32_t count);
/* A walk of a guard or quota: KEY 0 is the target. */
uint32_t lw_target_walk(struct lw *lw, const struct mp_t_walk *walk);
/* How a record finds a key; false: it does not, or in two ways. */
bool lw_record_way(struct lw *lw, struct lw_signal *s, const struct mp_t_key *key,
                   struct lw_way *out);

/* ---- keys.c ---- */
struct lw_grouping *lw_grouping(struct lw *lw, const struct mp_t_keys *keys);
/* The grouping whose one key is a thing of this type: a member, the target of a guard. */
struct lw_grouping *lw_grouping_of(struct lw *lw, struct mp_t_type type);

/* ---- agg.c ---- */
/* Provisional row of an aggregate. */
uint32_t lw_agg(struct lw *lw, const struct mp_t_agg *agg, struct mp_t_type type);
/* Output of the signal's record unit; equal ones are one. */
uint32_t lw_record_out(struct lw *lw, struct lw_signal *s, const struct mp_t_expr *e,
                       const struct mp_t_rule *rule);

/* ---- column.c ---- */
/* Adds `row` to the owner's columns or finds the equal one, and reads it. */
uint32_t lw_read(struct lw_ctx *c, struct mp_column_row row);
uint32_t lw_read_walk(struct lw_ctx *c, const struct mp_t_walk *walk, struct mp_span span);
uint32_t lw_read_agg(struct lw_ctx *c, const struct mp_t_expr *e, bool samples);
uint32_t lw_read_event(struct lw_ctx *c, const struct mp_t_expr *e);
uint32_t lw_read_members(struct lw_ctx *c, const struct mp_t_expr *e);
uint32_t lw_read_stale(struct lw_ctx *c, const struct mp_t_signal *signal);
uint32_t lw_read_held(struct lw_ctx *c, const struct mp_t_expr *e);
uint32_t lw_read_override(struct lw_ctx *c, const struct mp_t_expr *e, bool state);
uint32_t lw_read_trigger(struct lw_ctx *c, const struct mp_t_expr *e);
uint32_t lw_read_incidents(struct lw_ctx *c, const struct mp_t_expr *e);
#define LW_SIGNAL_OWNER 0x80000000u /* groupings count from 0, signals from here */
uint32_t lw_owner_number(struct lw_owner owner);
/* May a test set it by columns? Attributes are set in the inventory. */
bool lw_overridable(const struct lw *lw, const struct mp_t_expr *e);
uint32_t lw_def(struct lw *lw, const struct mp_t_def *def);

/* ---- expr.c ---- */
/* The value of e: the number of its op. */
uint32_t lw_expr(struct lw_ctx *c, const struct mp_t_expr *e);
/* A function whose output 0 is e; equal ones are one row. `name` where e has no text. `sign` as in
 * lw_ctx. */
uint32_t lw_fn(struct lw_ctx *c, mp_str name, const struct mp_t_expr *e, int sign);
/* What a larger left side does to a comparison: confirms (1), refutes (-1), or either (0). */
int lw_cmp_sign(const struct mp_t_expr *cmp);
void lw_fn_begin(struct lw_ctx *c, struct mp_ir_fn *fn, mp_str name);
/* A truth that is never unknown: what protects a request from being refused (R43). */
uint32_t lw_protects(struct lw_ctx *c, const struct mp_t_expr *e);

/* ---- is.c ---- */
uint32_t lw_is(struct lw_ctx *c, const struct mp_t_expr *e);
/* What an expression reads, outside of the conditions of its aggregates. */
struct lw_reads {
    bool record, row, aggs;
    bool state; /* windows, members, silence: what goes on when a record is gone */
    const struct mp_t_signal *signal; /* of the record */
};
struct lw_reads lw_reads(const struct mp_t_expr *e);

/* ---- silence.c ---- */
/* Can it become true because samples leave a window, or none come (R4)? */
bool lw_on_silence(const struct mp_t_expr *e);
/* Can it be true only at the instant of a record? */
bool lw_instant(const struct mp_t_expr *e);

/* ---- rule.c, step.c, unit.c, guard.c ---- */
void lw_units(struct lw *lw);
void lw_rules(struct lw *lw);
void lw_guards(struct lw *lw);
struct lw_ctx lw_rule_ctx(struct lw *lw, const struct mp_t_rule *rule,
                          struct lw_triggers *triggers);
/* audit.c: what `audit` says of the record at hand; NULL for any other action. */
const struct mp_t_expr *lw_audit(struct lw_ctx *c, const struct mp_t_act *act);
/* Makes steps and answers the first row. */
uint32_t lw_steps(struct lw_ctx *c, uint32_t rule);
struct lw_clause {
    enum mp_clause kind;
    uint32_t rule; /* MP_NONE: none */
    const struct mp_t_expr *cond;
    int64_t hold_ns, within_ns, settle_ns;
    mp_str name, text;
};
uint32_t lw_clause(struct lw_ctx *c, const struct lw_clause *clause);
uint32_t lw_quota(struct lw *lw, const struct mp_t_quota *quota);
void lw_set_place(struct lw *lw, struct mp_span span, mp_text_ref *file, uint32_t *line,
                  uint32_t *column);

/* ---- canonical.c ---- */
/* One text for one meaning: names of definitions gone, groups made plain. `numbers` false:
 * constants that are numbers are written `#`. */
void lw_canonical(struct mp_buf *out, const struct mp_t_expr *e, bool numbers);
void lw_canonical_keys(struct mp_buf *out, const struct mp_t_keys *keys);
void lw_canonical_walk(struct mp_buf *out, const struct mp_t_walk *walk);
void lw_canonical_agg(struct mp_buf *out, const struct mp_t_agg *agg, bool numbers);
void lw_marks(struct lw *lw, const struct mp_t_rule *rule, struct mp_rule_row *row);

/* ---- tests.c, finish.c ---- */
void lw_tests(struct lw *lw);
void lw_finish(struct lw *lw);

#endif
