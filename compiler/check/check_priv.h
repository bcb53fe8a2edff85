/* SPDX-License-Identifier: Apache-2.0
 * check_priv.h - what the files of check share. Only this folder includes it.
 *
 * Memory: everything made here lives in the caller's perm arena. An allocation that fails leaves
 *         the
 * whole check by longjmp to mp_check, which answers MP_ENOMEM; arenas are all there is to give
 * back. Errors: an expression with an error has the type MP_TYPE_NONE ("poison"); what it meets
 * is silent.
 *
 * Reading order: check.c (passes) · check_names.c · check_decl.c · check_types.c (units) ·
 * check_coerce.c · check_walk.c · check_keys.c · check_expr.c · check_path.c · check_rel.c ·
 * check_agg.c · check_call.c · check_def.c · check_survey.c · check_facts.c · then the items:
 * check_rule*.c, check_act.c, check_guard.c, check_test.c.
 */
#ifndef MP_CHECK_CHECK_PRIV_H
#define MP_CHECK_CHECK_PRIV_H

#include <setjmp.h>

#include "base/assert.h"
#include "base/map.h"
#include "check/check.h"
#include "check/typed.h"
#include "diag/diag.h"

#define CK_DEPTH_MAX 800      /* LIMIT: nesting of expressions, definitions expanded */
#define CK_NODES_MAX 100000   /* LIMIT: nodes that one clause may expand to */
#define CK_PAIRS_MAX 200000   /* LIMIT: pairs of actions looked at for E0601 (R45) */
#define CK_CAP_DEFAULT 10000  /* members of a key where nobody says `max` */

/* ---- names ---- */
enum ck_sym_kind {
    CK_ENTITY, CK_SIGNAL, CK_PARAM, CK_LET, CK_DEF, CK_LIST, CK_FEED, CK_CALENDAR, CK_RULE
};
/* Sets of kinds, for lookups: 1u << kind. */
#define CK_ANY 0xffffu

enum ck_state { CK_FRESH, CK_BUSY, CK_DONE };

struct ck_package;

struct ck_use {
    struct ck_package *package;
    mp_str alias; /* empty: none */
};

/* A file under check: whose package it is in, and what it uses. */
struct ck_file {
    const struct mp_ast_file *ast;
    struct ck_package *package;
    struct ck_use *uses;
    uint32_t use_count;
    uint32_t origin;
    bool use_missing; /* a `use` was not found: names may be missing for that reason */
    bool given; /* its rules, guards and tests are alive */
};

struct ck_sym {
    enum ck_sym_kind kind;
    enum ck_state state;
    mp_str name;
    struct mp_span span;
    struct ck_file *file;
    const struct mp_ast_item *item;
    bool is_alias; /* the second name of an entity or signal: `svc`, `request` */
    bool used;
    bool untyped;  /* LIST: no type was declared; its texts fit every kind of text */
    bool broken;   /* had an error: what uses it is silent */
    union {
        struct mp_t_entity *entity;
        struct mp_t_signal *signal;
        struct mp_t_param *param;
        struct mp_t_list *list; /* a feed as well: its type, without members */
        struct mp_t_def *def;
        struct mp_t_expr *let;
    } u;
    /* DEF: what expansion needs beside u.def. */
    struct mp_t_type *param_types;
    bool has_per;
    uint32_t min_samples, panes; /* 0: not said */
    struct ck_expansion *expansions; /* made already, newest first */
};

/* One `action` item; those of one name in one package are chained. */
struct ck_verb {
    struct mp_t_action *action;
    struct ck_file *file;
    const struct mp_ast_item *item;
    struct ck_verb *next;
};

struct ck_package {
    mp_str name;         /* as in `use`; of a file without one: empty */
    struct mp_map names; /* → index in ck->syms */
    struct mp_map verbs; /* → index in ck->verbs of the first of that name */
    uint32_t origin;     /* a package comes whole from the best origin */
    bool needed;         /* reached by `use` from what is given */
    bool given;
};

/* E0900, kept until all other errors are out; one a construct. */
struct ck_refusal {
    mp_str construct;
    struct mp_span span;
};

struct ck {
    jmp_buf no_memory;
    struct mp_arena *perm;
    struct mp_diags *sink;
    const struct mp_check_options *options;
    struct mp_typed *out;
    MP_VEC(struct ck_file *) files;       /* of needed packages, after ck_read_packages */
    MP_VEC(struct ck_package *) packages;
    MP_VEC(struct ck_sym *) syms;
    MP_VEC(struct ck_verb *) verbs;
    MP_VEC(struct ck_refusal) refusals;
    struct mp_map package_names;
    MP_VEC(const struct mp_source *) sources; /* [id - 1] */
    struct mp_map attr_defs; /* "package.entity.attr" → index in out->defs */
    uint32_t nodes;          /* made since the outermost ck_check began */
    uint32_t depth;          /* of ck_check */
    uint32_t deepest;        /* that depth was, shared expansions counted in */
    bool too_large;
};

/* ---- check.c: memory, texts, diagnostics ---- */
void *ck_alloc(struct ck *ck, size_t count, size_t size, size_t align); /* never NULL */
#define CK_NEW(ck, type, count) ((type *)ck_alloc((ck), (count), sizeof(type), _Alignof(type)))
/* A new last element; never NULL. */
#define CK_PUSH(ck, v) ((__typeof__((v)->ptr))ck_not_null((ck), MP_VEC_PUSH((ck)->perm, (v))))
void *ck_not_null(struct ck *ck, void *ptr);
mp_str ck_printf(struct ck *ck, const char *format, ...) __attribute__((format(printf, 2, 3)));
mp_str ck_buf_text(struct ck *ck, const struct mp_buf *b);
/* The author's own text of a span, blanks joined. */
mp_str ck_source(struct ck *ck, struct mp_span span);

/* Starts an error: "E0301", or "L133" for those lints that are errors. Never NULL. Give it its
 * labels, notes and helps at once: mp_diag_label and its like under their names here. What says
 * the same at the same place again is dropped, so an expansion may meet an error twice. */
#define ck_diag mp_diag
#define ck_label mp_diag_label
#define ck_note mp_diag_note
#define ck_help mp_diag_help
struct mp_diag *ck_error(struct ck *ck, const char *code, struct mp_span span, const char *format,
                         ...) __attribute__((format(printf, 4, 5)));
/* E0900 for `construct`, once, after all other errors (language.md 4.9). */
void ck_refuse(struct ck *ck, const char *construct, struct mp_span span);

/* The passes of mp_check, in order. */
void ck_read_packages(struct ck *ck, const struct mp_check_input *inputs, uint32_t count);
void ck_declare_names(struct ck *ck);
void ck_check_declarations(struct ck *ck);

/* ---- check_names.c ---- */
/* Looks a bare name up: the file's package, then the packages it uses (E0103 where two have it and
 * `span.len` > 0). NULL: nothing is called so; nothing is reported. Marks it used. */
struct ck_sym *ck_find(struct ck *ck, const struct ck_file *file, mp_str name, struct mp_span span);
/* The same for one package: `alias.name`. */
struct ck_sym *ck_find_in(struct ck *ck, const struct ck_package *package, mp_str name);
/* The package that `name` is the alias (or the whole name) of in this file, or NULL. */
const struct ck_package *ck_find_alias(const struct ck_file *file, mp_str name);
/* ck_find, with E0101 and the nearest name. `what`: "name", "entity", "signal"; kinds: 1u <<
 * ck_sym_kind of what may stand there. A name of another kind is E0302, a broken one NULL in
 * silence. */
struct ck_sym *ck_need(struct ck *ck, const struct ck_file *file, mp_str name, struct mp_span span,
                       uint32_t kinds, const char *what);
/* The first action of that name (follow ->next), or NULL with E0101 and the nearest verb. */
struct ck_verb *ck_need_verb(struct ck *ck, const struct ck_file *file, mp_str name,
                             struct mp_span span);
struct ck_verb *ck_find_verb(struct ck *ck, const struct ck_file *file, mp_str name);
/* What a name is, for a reader: `std.mesh, percent per svc`. */
mp_str ck_describe(struct ck *ck, struct ck_sym *sym);
/* Reports E0101 for `name`, with the nearest of what is visible in the file, and of `more`. */
void ck_unknown_name(struct ck *ck, const struct ck_file *file, mp_str name, struct mp_span span,
                     uint32_t kinds, const mp_str *more, uint32_t more_count);
/* The nearest of `names`, or an empty text. */
mp_str ck_nearest(mp_str name, const mp_str *names, uint32_t count);

/* E0101 for an attribute or a field that is not there. */
void ck_unknown_attr(struct ck *ck, const struct mp_t_entity *entity, mp_str name,
                     struct mp_span span);
void ck_unknown_field(struct ck *ck, const struct mp_t_signal *signal, mp_str name,
                      struct mp_span span);

/* ---- check_decl.c: what a name stands for, checked when first asked for ---- */
const struct mp_t_entity *ck_entity_of(struct ck *ck, struct ck_sym *sym);
const struct mp_t_signal *ck_signal_of(struct ck *ck, struct ck_sym *sym);
const struct mp_t_param *ck_param_of(struct ck *ck, struct ck_sym *sym);
const struct mp_t_list *ck_list_of(struct ck *ck, struct ck_sym *sym); /* a feed too */
/* Type and keys of a definition, its body unchecked. NULL: broken. */
const struct mp_t_def *ck_def_of(struct ck *ck, struct ck_sym *sym);
struct mp_t_expr *ck_let_of(struct ck *ck, struct ck_sym *sym); /* a constant; may be poison */
/* A gauge, or an attribute, as something that a test can set. */
const struct mp_t_def *ck_gauge_def(struct ck *ck, const struct mp_t_signal *signal);
const struct mp_t_def *ck_attr_def(struct ck *ck, const struct mp_t_attr *attr);
/* A type as written; poison with an error reported. `identity` is the type. */
struct mp_t_type ck_type_of(struct ck *ck, const struct ck_file *file,
                            const struct mp_ast_type *ast);

/* `@min_samples N` and `@panes N` of an item; 0 where it has none (E0112 reported by the
 * declarations). */
uint32_t ck_min_samples(struct ck *ck, const struct mp_ast_item *item);
uint32_t ck_panes(struct ck *ck, const struct mp_ast_item *item);
/* The header, trailer or option of that kind, NULL for none; E0105 where it stands twice. */
const struct mp_ast_clause *ck_clause(struct ck *ck, const struct mp_ast_clause *all,
                                      uint32_t count, enum mp_ast_clause_kind kind);

/* ---- check_types.c: types and units ---- */
static inline struct mp_t_type ck_type(enum mp_type base)
{
    return (struct mp_t_type){.base = base};
}
static inline struct mp_t_type ck_entity_type(const struct mp_t_entity *entity)
{
    return (struct mp_t_type){.base = MP_TYPE_ENTITY, .entity = entity};
}
bool ck_type_eq(struct mp_t_type a, struct mp_t_type b);
bool ck_is_scalar(struct mp_t_type t);
bool ck_is_poison(struct mp_t_type t);
bool ck_is_number(struct mp_t_type t);
bool ck_is_text(struct mp_t_type t);
struct mp_t_type ck_key_type(struct mp_t_type t);  /* of an entity: its key's; else itself */
enum mp_rep ck_rep(struct mp_t_type t);
mp_str ck_type_word(struct ck *ck, struct mp_t_type t); /* as in a policy */
mp_str ck_type_noun(struct ck *ck, struct mp_t_type t); /* for messages, with its article */

struct mp_t_expr *ck_expr(struct ck *ck, enum mp_t_kind kind, struct mp_t_type type,
                          struct mp_span span);
struct mp_t_expr *ck_poison(struct ck *ck, struct mp_span span);
bool ck_bad(const struct mp_t_expr *e);
struct mp_t_expr *ck_const_int(struct ck *ck, enum mp_type type, int64_t value,
                               struct mp_span span);
struct mp_t_expr *ck_const_num(struct ck *ck, enum mp_type type, double value, struct mp_span span);
struct mp_t_expr *ck_const_bool(struct ck *ck, bool value, struct mp_span span);
struct mp_t_expr *ck_const_text(struct ck *ck, struct mp_t_type type, mp_str text,
                                struct mp_span span);
bool ck_has_wildcard(mp_str text); /* `*` or `?`: it is a pattern */
double ck_const_double(const struct mp_t_expr *e); /* a CONST number's value; durations in ns */
struct mp_t_expr *ck_convert(struct ck *ck, struct mp_t_expr *e, enum mp_type to);
struct mp_t_expr *ck_arith(struct ck *ck, enum mp_t_arith op, struct mp_t_expr *a,
                           struct mp_t_expr *b, struct mp_span span);
struct mp_t_expr *ck_negate(struct ck *ck, struct mp_t_expr *a, struct mp_span span);
bool ck_is_literal_number(const struct mp_t_expr *e);
void ck_literal_help(struct ck_diag *d, struct ck *ck, const struct mp_t_expr *a,
                     const struct mp_t_expr *b);
void ck_match_score(struct ck *ck, struct mp_t_expr **a, struct mp_t_expr **b);

/* ---- check_coerce.c: where a type is expected ---- */
/* e as a value of `want`, or NULL where it is none; silent. The implicit conversions of
 * language.md 4.5 and no other. For choosing among declarations of one action. */
struct mp_t_expr *ck_try_coerce(struct ck *ck, struct mp_t_expr *e, struct mp_t_type want);
/* The same with E0302 (or E0306 for a member that the enum does not have): "`what` takes a
 * percent, this is a duration". Poison in, poison out. */
struct mp_t_expr *ck_coerce(struct ck *ck, struct mp_t_expr *e, struct mp_t_type want,
                            const char *what);
/* a and b as values that can be compared; false with E0301 reported. */
bool ck_same_side(struct ck *ck, struct mp_t_expr **a, struct mp_t_expr **b, struct mp_span span,
                  const char *verb);
struct mp_t_expr *ck_compare(struct ck *ck, enum mp_t_cmp cmp, struct mp_t_expr *a,
                             struct mp_t_expr *b, struct mp_span span);

/* E0306: `word` is no member of the enum or hook `want`. */
struct mp_t_expr *ck_not_a_member(struct ck *ck, struct mp_span span, mp_str word,
                                  struct mp_t_type want);

/* ---- where an expression stands ---- */
enum ck_place {
    CK_IN_WHEN, CK_IN_UNLESS, CK_IN_VERIFY, CK_IN_HARM, CK_IN_UNTIL, CK_IN_ACTION, CK_IN_DEF,
    CK_IN_CONSTANT, CK_IN_GUARD, CK_IN_TEST
};

/* A parameter of a definition, while it is expanded. */
struct ck_bind {
    mp_str name;
    struct mp_t_expr *value;
    uint32_t nodes; /* of the value as a tree */
};

struct ck_scope {
    const struct ck_file *file;       /* where names are looked up */
    const struct mp_t_keys *keys;     /* of the row; NULL: none can be read here */
    /* inside the expansion of a definition: the way to each of `keys` from the rule's own row;
     * NULL: `keys` are the rule's own */
    const struct mp_t_walk *at;
    const struct mp_t_signal *record; /* at hand; NULL: none */
    bool bare;                        /* the record's fields stand bare: inside `where` */
    const struct mp_t_entity *member; /* inside count(m of SET where ...) */
    mp_str member_name;               /* its `m`, or empty */
    const struct ck_bind *binds;
    uint32_t bind_count;
    uint32_t layers;                  /* MP_LAYER_ bits of the records to look at (R7) */
    int64_t window_ns;                /* of an `over` around; 0: none */
    bool window_forced;               /* that `over` stands at the use of a definition */
    uint32_t min_samples, panes;      /* 0: not said */
    const struct mp_t_walk *of;       /* `e of SET`: the way to the set */
    const char *of_text;
    bool published;                   /* inside `e of x` */
    /* a definition's own check: keys are not known, be silent on them */
    bool lenient;
    bool open_window;                 /* a definition's own check: `over` may come with its use */
    enum ck_place place;
};

/* A scope over `keys` and the record at hand; either may be NULL. layers 0: MP_LAYER_SERVICE. */
struct ck_scope ck_scope_of(const struct ck_file *file, enum ck_place place,
                            const struct mp_t_keys *keys, const struct mp_t_signal *record,
                            uint32_t layers);

/* ---- check_expr.c: expressions ---- */
/* Any expression. `want` is a hint for bare names (a member of an enum, a hook, a channel); NULL:
 * none. The answer is not yet of that type: see ck_check_as. Never NULL. */
struct mp_t_expr *ck_check(struct ck *ck, const struct ck_scope *s, const struct mp_ast_expr *ast,
                           const struct mp_t_type *want);
/* An expression of type `want`; `what` as in ck_coerce. */
struct mp_t_expr *ck_check_as(struct ck *ck, const struct ck_scope *s,
                              const struct mp_ast_expr *ast, struct mp_t_type want,
                              const char *what);
/* A condition: bool. */
struct mp_t_expr *ck_check_cond(struct ck *ck, const struct ck_scope *s,
                                const struct mp_ast_expr *ast);
/* A condition with its `for`; E0408 where `seen` stands under one, or in a place of states. */
struct mp_t_held ck_check_held(struct ck *ck, const struct ck_scope *s,
                               const struct mp_ast_held *ast);
/* A constant: literals, lets, arithmetic on them. Poison where it is none (E0302). */
struct mp_t_expr *ck_constant(struct ck *ck, const struct ck_file *file,
                              const struct mp_ast_expr *ast, struct mp_t_type want,
                              const char *what);
/* `dur`: a duration, or the name of a let (or of a definition's parameter). 0 with E0302 or E0101
 * where it is none or not above 0; 0 without one where it is not there. */
int64_t ck_duration(struct ck *ck, const struct ck_scope *s, const struct mp_ast_dur *ast);
/* A time that is waited for or looked back over; 0 with E0306 where it is longer than
 * MP_WAIT_MAX_NS. */
int64_t ck_wait(struct ck *ck, int64_t ns, struct mp_span span);
/* A string with holes over the scope: a CONST of type string, or a TEXT. */
struct mp_t_expr *ck_check_text(struct ck *ck, const struct ck_scope *s,
                                const struct mp_ast_expr *ast);
/* A list written in place: `[a, b]`. */
const struct mp_t_list *ck_list_in_place(struct ck *ck, const struct ck_scope *s,
                                         const struct mp_ast_expr *ast,
                                         const struct mp_t_type *want);
/* A definition used by name, with its arguments. */
struct mp_t_expr *ck_expand_def(struct ck *ck, const struct ck_scope *s, struct ck_sym *sym,
                                const struct mp_ast_expr *ast);

/* ---- check_agg.c, check_call.c ---- */
struct mp_t_expr *ck_call(struct ck *ck, const struct ck_scope *s, const struct mp_ast_expr *ast,
                          const struct mp_t_type *want);
/* A gauge by its bare name. */
struct mp_t_expr *ck_gauge(struct ck *ck, const struct ck_scope *s,
                           const struct mp_t_signal *signal, struct mp_span span, bool any);
/* E0210: an aggregate over a signal with several keys. */
void ck_whose_count(struct ck *ck, const struct mp_t_signal *signal, struct mp_span span);
/* `request`: its alias, else name */
mp_str ck_signal_record_word(const struct mp_t_signal *signal);

/* ---- check_keys.c ---- */
/* `per a, b max N` as keys, in the order written; `per mesh` has none. Poisoned keys are left
 * out. NULL for ast NULL. E0211, E0101, E0302. max 0: the smallest cap that the vocabulary
 * gives. */
const struct mp_t_keys *ck_keys_of(struct ck *ck, const struct ck_file *file,
                                   const struct mp_ast_per *ast);
/* Keys of one entity; of none: the mesh. */
const struct mp_t_keys *ck_keys_entity(struct ck *ck, const struct mp_t_entity *entity);
const struct mp_t_keys *ck_keys_signal(struct ck *ck, const struct mp_t_signal *signal);
bool ck_keys_eq(const struct mp_t_keys *a, const struct mp_t_keys *b);
/* `svc and instance.zone` */
mp_str ck_keys_text(struct ck *ck, const struct mp_t_keys *keys);
mp_str ck_signal_keys_text(struct ck *ck, const struct mp_t_signal *signal);

/* ---- check_survey.c: what decides kind and keys of a rule, before and after checking ---- */
/* Before: by names alone. */
struct ck_survey {
    const struct mp_t_signal *record; /* whose record at hand is spoken of: `request.path` */
    struct mp_span record_span;
    const struct mp_t_signal *other_record; /* a second one; an error of the caller's choice */
    struct mp_span other_span;
    /* of the defs, gauges and raw aggregates used, if all agree */
    const struct mp_t_keys *keys;
    mp_str keys_of;                   /* the first that has them */
    struct mp_span keys_span;
    bool keys_differ;                 /* another one has other keys: `differ_of` */
    mp_str differ_of;
    const struct mp_t_keys *differ_keys;
    struct mp_span differ_span;
    bool raw;                         /* a raw aggregate over a signal with several keys */
    const struct mp_t_signal *raw_signal;
    struct mp_span raw_span;
    bool reads_any;                   /* an aggregate, gauge or record at all */
};
void ck_survey(struct ck *ck, const struct ck_file *file, const struct mp_ast_expr *ast,
               struct ck_survey *out);
/* Keys of an item without `per`: those of the survey; `fallback` where it reads no aggregate.
 * Broken ones with E0210 or E0212 reported. */
const struct mp_t_keys *ck_infer_keys(struct ck *ck, const struct ck_survey *survey,
                                      const struct mp_t_keys *fallback);

/* After: what a checked expression reads, expansions included. Add up over several. */
struct ck_facts {
    /* the first aggregate, held condition, incident count or gauge */
    const struct mp_t_expr *window;
    const struct mp_t_expr *at_end; /* the first field `at end`, outside of aggregates */
    /* the first field of the record at hand, outside of aggregates */
    const struct mp_t_expr *record;
    const struct mp_t_expr *row;    /* the first value of a row's key, outside of aggregates */
    const struct mp_t_expr *seen;   /* the first `seen` */
    const struct mp_t_expr *held;   /* the first nested `for` */
    /* `is stale`, `is absent`, `<`: what silence can make true (R4) */
    const struct mp_t_expr *silence;
    bool published;                 /* reads published values of other keys */
};
void ck_gather_facts(const struct mp_t_expr *e, struct ck_facts *facts);

/* ---- check_walk.c: ways to values ---- */
const struct mp_t_walk *ck_walk_member(struct ck *ck, const struct mp_t_entity *member);
const struct mp_t_walk *ck_walk_record_key(struct ck *ck, const struct mp_t_signal *signal,
                                           uint32_t index);
const struct mp_t_walk *ck_walk_field(struct ck *ck, const struct mp_t_field *field, mp_str entry);
const struct mp_t_walk *ck_walk_row_key(struct ck *ck, const struct mp_t_keys *keys,
                                        uint32_t index);
/* The way to key `index` of the scope's keys, from the rule's own row. */
const struct mp_t_walk *ck_walk_key_at(struct ck *ck, const struct ck_scope *s, uint32_t index);
const struct mp_t_walk *ck_walk_const(struct ck *ck, const struct mp_t_entity *entity, mp_str text);
const struct mp_t_walk *ck_walk_of_expr(struct ck *ck, const struct mp_t_entity *entity,
                                        const struct mp_t_expr *expr);
/* The way from what stands at hand to an entity; NULL with E0205 (E0213 in actions) reported, or
 * silently. `identity` is reached by its type: entity NULL. */
const struct mp_t_walk *ck_reach(struct ck *ck, const struct ck_scope *s,
                                 const struct mp_t_entity *entity, struct mp_span span,
                                 bool report);
/* The same, from the record alone: how a record of `signal` finds a key; NULL: it does not. */
const struct mp_t_walk *ck_record_key(struct ck *ck, const struct mp_t_signal *signal,
                                      const struct mp_t_key *key);
/* Where a key of a definition is read from here; NULL: not reached. */
const struct mp_t_walk *ck_reach_key(struct ck *ck, const struct ck_scope *s,
                                     const struct mp_t_key *key);
/* walk followed by one more attribute; the key attribute of an entity adds no hop. */
const struct mp_t_walk *ck_hop(struct ck *ck, const struct mp_t_walk *walk,
                               const struct mp_t_attr *attr);
/* One walk a key, from a row of the same keys. */
const struct mp_t_walk *ck_identity_walks(struct ck *ck, const struct mp_t_keys *keys);
struct mp_t_expr *ck_walk_expr(struct ck *ck, const struct mp_t_walk *walk, struct mp_span span);
bool ck_walk_eq(const struct mp_t_walk *a, const struct mp_t_walk *b);
const struct mp_t_attr *ck_attr(const struct mp_t_entity *entity, mp_str name);
const struct mp_t_field *ck_field(const struct mp_t_signal *signal, mp_str name);
mp_str ck_entity_word(const struct mp_t_entity *entity); /* its alias, else its name */

/* ---- the items (check_rule.c, check_act.c, check_guard.c, check_test.c, check_answer.c,
 *      check_pairs.c). Called by check.c for every file whose items are alive. ---- */
void ck_check_rule(struct ck *ck, struct ck_file *file, const struct mp_ast_item *item);
void ck_check_guard(struct ck *ck, struct ck_file *file, const struct mp_ast_item *item);
void ck_check_test(struct ck *ck, struct ck_file *file, const struct mp_ast_item *item);
/* After all rules: out->rules is sorted. */
void ck_check_pairs(struct ck *ck);
/* check_rule_kind.c: no more throttles than a program has numbers for (E0704). */
void ck_bound_throttles(struct ck *ck);
/* After everything: fills out->unused. */
void ck_list_unused(struct ck *ck);
/* A file's `action` item, declared before any rule is checked: fills v->action, pushes to
 * out->actions. */
void ck_check_action(struct ck *ck, struct ck_verb *v);
/* refuse, deny and their like: E0406 asks about them */
bool ck_denies(const struct mp_t_action *action);
void ck_check_doors(struct ck *ck, const struct mp_t_rule *rule);
void ck_check_answerable(struct ck *ck, const struct mp_t_step *step);
void ck_blind_help(struct ck_diag *d, struct ck *ck, const struct mp_t_act *act, mp_str text);

#endif
