/* SPDX-License-Identifier: Apache-2.0
 * typed.h - the checked policy: what check/ makes of the syntax trees, and what lower/ and the
 * tests' slow evaluator read. Every name is resolved, every implicit conversion is a node, every
 * definition is expanded in place (and still known by name), every default is filled in.
 *
 * Owns:    plain data in the compilation's perm arena; pointers inside stay valid as long as it
 *          does.
 * Callers: compiler/check writes; compiler/lower and tests/diff read.
 */
#ifndef MP_CHECK_TYPED_H
#define MP_CHECK_TYPED_H

#include "ast/ast.h"
#include "base/vec.h"
#include "program/program.h"

/* ---- types ---- */
struct mp_t_entity;

struct mp_t_type {
    enum mp_type base;
    const struct mp_t_entity *entity; /* for MP_TYPE_ENTITY */
    bool is_set, is_map;              /* of base; map of set has both */
    const mp_str *members;            /* for MP_TYPE_ENUM */
    uint32_t member_count;
};

/* ---- vocabulary ---- */
struct mp_t_attr {
    mp_str name;
    const struct mp_t_entity *owner;
    struct mp_t_type type;
    const struct mp_t_expr *preset; /* a constant, or NULL */
    uint32_t index;                 /* in its entity */
};

struct mp_t_entity {
    mp_str package, name, alias;
    struct mp_t_attr *attrs; /* [0] is the key */
    uint32_t attr_count, cap, index;
    struct mp_span span;
};

/* `@observed` on an entity: how an attribute is filled where no inventory says it. */
struct mp_t_observe {
    enum mp_observe kind;
    const struct mp_t_attr *attr;
    const struct mp_t_signal *signal; /* CALLERS: whose `field` ... */
    const struct mp_t_field *field;
    const struct mp_t_attr *via; /* ... is a member of this set; MEMBERS: the BELONGS attribute */
};

struct mp_t_field {
    mp_str name;
    const struct mp_t_signal *signal;
    struct mp_t_type type;
    bool at_end, always;
    bool chosen; /* `@chosen`: whoever sends the request fills it with what they like */
    bool repeated; /* `@repeated`: may be sent twice by one name, and is all values then */
    bool outbound; /* `@outbound`: leases that concern both directions also meet what it names */
    const struct mp_t_expr *preset;
    uint32_t index;
};

struct mp_t_signal {
    mp_str package, name, alias;
    enum mp_signal_kind kind;
    struct mp_t_type type; /* of a gauge's value */
    const struct mp_t_entity **keys;
    uint32_t key_count;
    struct mp_t_field *fields; /* of a gauge: [0] is `value`, of the gauge's type */
    uint32_t field_count, index;
    int64_t every_ns, lateness_ns;
    struct mp_span span;
};

struct mp_t_action_param {
    mp_str name;
    struct mp_t_type *types; /* any of them */
    uint32_t type_count;
    const struct mp_t_expr *preset;
};

struct mp_t_action {
    mp_str package, name;
    enum mp_class class;
    mp_str class_name;
    uint32_t strength, index;
    bool reversible, partial, message;
    mp_str share; /* partial: the argument that says how much passes, empty for all or nothing */
    struct mp_t_action_param *params;
    uint32_t param_count;
    /* which param is the lease's target, -1: none; its type EVENT: the record at hand */
    int target;
    const struct mp_t_signal **blinds;
    uint32_t blind_count;
    struct mp_span span;
};

/* ---- the way to a value ---- */
enum mp_t_base {
    MP_T_BASE_RECORD_KEY,   /* entity key `index` of the record's signal */
    MP_T_BASE_RECORD_FIELD, /* `field` of the record, `entry` where it is a map */
    MP_T_BASE_ROW_KEY,      /* key `index` of the rule's or definition's keys */
    MP_T_BASE_CONST,        /* an entity that is named: `constant` */
    MP_T_BASE_MEMBER,       /* the member at hand of count(m of SET where ...) */
    MP_T_BASE_EXPR          /* `e of x` where x is an expression that names an entity */
};

struct mp_t_walk {
    enum mp_t_base base;
    uint32_t index;
    const struct mp_t_signal *signal;
    const struct mp_t_field *field;
    mp_str entry; /* of a map: the field's, or the last hop's; ptr NULL: none */
    mp_str constant;
    const struct mp_t_expr *expr;
    const struct mp_t_attr **hops;
    uint32_t hop_count;
    struct mp_t_type type; /* of what it leads to; ENTITY: the entity itself, by its key */
    /* the entity whose key the value is, also where type is the key's */
    const struct mp_t_entity *names;
    mp_str text;           /* as the author wrote it, for messages */
};

struct mp_t_key {
    mp_str name;            /* `svc`, `instance.zone`, `client.ip`: canonical, compares groupings */
    struct mp_t_type type;
    const struct mp_t_entity *root; /* the entity it starts at, NULL for a field of a signal */
    const struct mp_t_attr **hops;  /* from root */
    uint32_t hop_count;
    const struct mp_t_signal *signal; /* for a field of a signal */
    const struct mp_t_field *field;
    mp_str entry;
    bool client_chosen;
};

struct mp_t_keys {
    struct mp_t_key *keys;
    uint32_t count, cap;
    bool broken; /* a key had an error, and is left out: what needs it is silent */
};

/* ---- expressions ---- */
enum mp_t_kind {
    MP_TX_CONST,   /* value, text */
    MP_TX_PARAM,   /* param */
    MP_TX_WALK,    /* walk */
    MP_TX_AGG,     /* agg */
    MP_TX_DEF,     /* def_use: a definition, gauge or attribute by name; kid[0] its expansion */
    MP_TX_NOT, MP_TX_AND, MP_TX_OR, /* kids */
    MP_TX_CMP,     /* cmp; kid[0], kid[1] of one representation */
    MP_TX_ARITH,   /* arith; kids converted already: I op I, or F op F */
    MP_TX_NEG,
    MP_TX_CONVERT, /* kid[0] from I to F, or from F to I, as the type says */
    MP_TX_IN,      /* kid[0] in list, or in set kid[1], or in the cidr constant kid[1] */
    MP_TX_RANGE,   /* kid[1] <= kid[0] <= kid[2] */
    MP_TX_MATCH,   /* match; kid[0] with kid[1], or with any member of list */
    MP_TX_IS,      /* is: known unknown absent stale, of kid[0]; STALE of a signal: signal */
    MP_TX_DEFAULT, /* kid[0] default kid[1] */
    MP_TX_CALL,    /* call; kids */
    MP_TX_MEMBERS, /* count(m of walk where kid[0]); kid[0] is over MP_T_BASE_MEMBER */
    MP_TX_AT_TRIGGER, /* kid[0] as it was when the incident opened */
    MP_TX_INCIDENTS,  /* count(incidents) over window_ns */
    MP_TX_HELD,    /* kid[0] for hold_ns, inside a condition */
    MP_TX_TEXT     /* a string with holes: pieces */
};

enum mp_t_cmp { MP_T_LT, MP_T_LE, MP_T_GT, MP_T_GE, MP_T_EQ, MP_T_NE };
enum mp_t_arith { MP_T_ADD, MP_T_SUB, MP_T_MUL, MP_T_DIV }; /* DIV: F only */
enum mp_t_match { MP_T_LIKE, MP_T_MATCHES, MP_T_STARTS, MP_T_ENDS, MP_T_CONTAINS };
enum mp_t_is { MP_T_KNOWN, MP_T_UNKNOWN, MP_T_ABSENT, MP_T_STALE };
enum mp_t_call {
    MP_T_ABS,
    MP_T_LOWER,
    MP_T_LENGTH,
    MP_T_TO_NUMBER,
    MP_T_POINTS,
    MP_T_CLAMP,
    MP_T_POW,
    MP_T_ID_PART
};

/* An aggregate over records. `where` and `value` are over MP_T_BASE_RECORD_*. It is cut by
 * `keys`, and read at the row key that `at` leads to (one walk a key of `keys`); where `of_set`
 * is set it is pooled over the members that walk leads to (R16) and `keys` is the one key of a
 * member. */
struct mp_t_agg {
    enum mp_agg kind;
    const struct mp_t_signal *signal;
    uint32_t layers;
    const struct mp_t_expr *where, *value; /* may be NULL; RATIO: where is the counted condition */
    int64_t window_ns;
    uint32_t panes, quantile, min_samples;
    const struct mp_t_keys *keys;
    const struct mp_t_walk *at;
    const struct mp_t_walk *of_set;
    bool published; /* `e of x`: reads the 100 ms snapshot */
};

struct mp_t_def {
    mp_str package, name;
    enum mp_def_kind kind;
    struct mp_t_type type;
    const struct mp_t_keys *keys;
    const struct mp_t_signal *signal; /* of a gauge */
    const struct mp_t_attr *attr;     /* of an attribute */
    const struct mp_t_expr *body;     /* over its own keys; NULL if it has parameters */
    struct mp_span span;
    uint32_t index;
    bool used;
};

struct mp_t_piece {
    mp_str literal;
    const struct mp_t_expr *hole; /* NULL: literal */
};

struct mp_t_expr {
    enum mp_t_kind kind;
    struct mp_t_type type;
    bool may_be_unknown;
    struct mp_span span;
    struct mp_t_expr *kid[3];
    struct mp_value value; /* CONST */
    uint32_t bits;         /* CONST of type cidr */
    mp_str text;           /* CONST of text; else the source text */
    const struct mp_t_param *param;
    const struct mp_t_list *list;
    const struct mp_t_walk *walk;
    const struct mp_t_agg *agg;
    const struct mp_t_def *def;
    const struct mp_t_walk *def_at; /* DEF: where it is read, one walk a key of def->keys */
    const struct mp_t_signal *signal;
    struct mp_t_piece *pieces;
    uint32_t piece_count;
    union {
        enum mp_t_cmp cmp;
        enum mp_t_arith arith;
        enum mp_t_match match;
        enum mp_t_is is;
        enum mp_t_call call;
    } op;
    uint32_t part;     /* ID_PART: 0 trust domain, 1 namespace, 2 account */
    int64_t window_ns; /* INCIDENTS */
    int64_t hold_ns;   /* HELD */
};

/* ---- items ---- */
struct mp_t_param {
    mp_str package, name;
    struct mp_t_type type;
    const struct mp_t_expr *value, *low, *high; /* constants */
    uint32_t index;
    struct mp_span span;
};

struct mp_t_list {
    mp_str package, name;
    struct mp_t_type type;
    struct mp_t_expr **items; /* constants; patterns of identity have type PATTERN */
    uint32_t item_count, index;
    struct mp_span span;
};

struct mp_t_held {
    const struct mp_t_expr *cond;
    int64_t hold_ns;
    struct mp_span span;
};

struct mp_t_arg {
    mp_str name;
    const struct mp_t_expr *value;
};

struct mp_t_act {
    const struct mp_t_action *action; /* never NULL: `rollback` is a flag of its step */
    /* over the rule's keys; NULL: the record at hand, or a message */
    const struct mp_t_expr *target;
    enum mp_target target_kind;
    struct mp_t_type target_type;
    struct mp_t_arg *args; /* all parameters but the target, defaults filled in; `for` apart */
    uint32_t arg_count;
    int64_t duration_ns; /* 0: none */
    uint32_t hooks;      /* mask; what `on` or `at` say, else service */
    const struct mp_t_expr *message; /* notify, page: a TEXT or CONST */
    mp_str via;
    mp_str text;         /* as written */
    struct mp_span span;
};

struct mp_t_step {
    struct mp_t_act *acts;
    uint32_t act_count;
    bool rollback, messages_only;
    bool has_verify, has_harm;
    struct mp_t_held verify, harm;
    int64_t within_ns, settle_ns;
    struct mp_span span;
};

struct mp_t_quota {
    double percent;
    uint32_t count;
    const struct mp_t_entity *entity;    /* of what */
    const struct mp_t_walk *members;     /* percent: from the target to the set */
    const struct mp_t_entity *per;
    const struct mp_t_walk *per_walk;    /* from the target */
    int64_t per_ns;
    mp_str text;
};

struct mp_t_rule {
    mp_str package, name, doc;
    struct mp_span span;
    enum mp_rule_kind kind;
    enum mp_mode mode;
    int64_t priority;
    uint32_t layers;   /* of `at`; inline without it: all */
    uint32_t flags;    /* MP_RULE_ */
    const struct mp_t_signal *signal; /* inline and event rules: whose records */
    const struct mp_t_keys *keys;     /* loop rules; inline throttle: its buckets */
    struct mp_t_held when, unless;
    bool has_unless, has_until;
    struct mp_t_step *steps;
    uint32_t step_count;
    struct mp_t_held until;
    int64_t cooldown_ns;
    const struct mp_t_quota *limit;
    double ramp; /* 0: none; a fraction */
    int64_t ramp_every_ns;
    enum mp_no_data no_data;
    struct { mp_str name, value; } *labels;
    uint32_t label_count;
    mp_str canonical_when; /* the text whose SHA-256 names a rule without a name */
};

struct mp_t_guard {
    mp_str package, verb, text;
    struct mp_span span;
    enum mp_guard kind;
    struct mp_t_type target;
    const struct mp_t_quota *quota;
    const struct mp_t_expr *where;    /* over the target as the one row key, or over the record */
    const struct mp_t_signal *signal; /* WHERE_RECORD */
};

struct mp_t_test_line {
    enum mp_test_line kind;
    struct mp_span span;
    int64_t from_ns, to_ns; /* to_ns -1: a moment */
    const struct mp_t_def *def;
    struct mp_t_expr **keys; /* constants, one a key of the def */
    uint32_t key_count;
    const struct mp_t_param *param;
    struct mp_t_expr *value; /* a constant */
    struct mp_t_expr **values; /* of a set */
    uint32_t value_count;
    const struct mp_t_signal *signal;
    uint32_t count;
    struct { mp_str path; struct mp_t_expr *value; } *emits;
    uint32_t emit_count;
    enum mp_test_when when;
    bool negated;
    mp_str verb, rule;
    struct mp_t_expr *target; /* a constant, or NULL */
    struct mp_t_arg *args;    /* constants */
    uint32_t arg_count;
    mp_str text;
};

struct mp_t_test {
    mp_str package, name;
    struct mp_span span;
    struct mp_t_test_line *lines;
    uint32_t line_count;
    mp_str *packages; /* whose rules and guards are alive */
    uint32_t package_count;
};

/* A declaration of a file that was given, which nothing uses. */
struct mp_t_unused {
    mp_str what, name; /* `param`, `trip` */
    struct mp_span span;
};

/* A checked set of files: one program. */
struct mp_typed {
    MP_VEC(struct mp_t_entity *) entities;
    MP_VEC(struct mp_t_observe) observes;
    MP_VEC(struct mp_t_signal *) signals;
    MP_VEC(struct mp_t_action *) actions;
    MP_VEC(struct mp_t_param *) params;
    MP_VEC(struct mp_t_list *) lists;
    MP_VEC(struct mp_t_def *) defs;
    MP_VEC(struct mp_t_rule *) rules;   /* sorted by (package, name) */
    MP_VEC(struct mp_t_guard *) guards;
    MP_VEC(struct mp_t_test *) tests;
    MP_VEC(struct mp_t_unused) unused;
};

#endif
