/* SPDX-License-Identifier: Apache-2.0
 * check_priv.h - what the files of check share. Only this folder includes it.
 *
 * Memory: everything made here lives in the caller's perm arena. An allocation that fails leaves the
 * whole check by longjmp to mp_check, which answers MP_ENOMEM; arenas are all there is to give back.
 * Errors: an expression with an error has the type MP_TYPE_NONE ("poison"); what it meets is silent.
 */
#ifndef MP_CHECK_PRIV_H
#define MP_CHECK_PRIV_H

#include <setjmp.h>

#include "base/assert.h"
#include "base/map.h"
#include "check/check.h"
#include "check/typed.h"
#include "diag/diag.h"

#define CK_DEPTH_MAX 200      /* LIMIT: nesting of expressions and definitions */
#define CK_PAIRS_MAX 200000   /* LIMIT: pairs of actions looked at for E0601 (R45) */
#define CK_CAP_DEFAULT 10000  /* members of a key where nobody says `max` */

/* ---- names ---- */
enum ck_sym_kind {
    CK_ENTITY, CK_SIGNAL, CK_PARAM, CK_LET, CK_DEF, CK_LIST, CK_FEED, CK_CALENDAR, CK_RULE
};

enum ck_state { CK_FRESH, CK_BUSY, CK_DONE };

struct ck_package;

/* A file under check: whose package it is in, and what it uses. */
struct ck_file {
    const struct mp_ast_file *ast;
    struct ck_package *package;
    struct ck_use *uses;
    uint32_t use_count;
    bool given; /* its rules, guards and tests are alive */
};

struct ck_use {
    struct ck_package *package;
    mp_str alias;
};

struct ck_sym {
    enum ck_sym_kind kind;
    enum ck_state state;
    mp_str name;
    struct mp_span span;
    struct ck_file *file;
    const struct mp_ast_item *item;
    bool is_alias, used;
    union {
        struct mp_t_entity *entity;
        struct mp_t_signal *signal;
        struct mp_t_param *param;
        struct mp_t_list *list; /* a feed as well: its type, without members */
        struct mp_t_def *def;
        struct mp_t_expr *let;
    } u;
    struct ck_def *def; /* DEF: what expansion needs */
};

struct ck_package {
    mp_str name;
    struct mp_map names; /* → index in ck->syms */
    struct mp_map verbs; /* → index of the first action of that name in ck->actions */
    bool stdlib;
    uint32_t rank;       /* of its origin: a package comes whole from the best origin */
    bool needed;
};


/* ---- where an expression stands ---- */
enum ck_place {
    CK_IN_WHEN, CK_IN_UNLESS, CK_IN_VERIFY, CK_IN_HARM, CK_IN_UNTIL, CK_IN_ACTION, CK_IN_DEF,
    CK_IN_CONSTANT, CK_IN_GUARD, CK_IN_TEST
};

/* A parameter of a definition, while it is expanded. */
struct ck_bind {
    mp_str name;
    struct mp_t_expr *value;
};

/* What the expressions of one rule were seen to read; decides its kind (language.md 4.6). */
struct ck_facts {
    const struct mp_t_signal *record;      /* whose record at hand is read by its alias */
    struct mp_span record_span;
    bool reads_window, reads_at_end;
    struct mp_span window_span, end_span;
    mp_str window_text, end_text;
    bool reads_row, has_held, has_seen, is_stale_only;
};

struct ck_scope {
    struct ck_file *file;             /* where names are looked up */
    const struct mp_t_keys *keys;     /* of the row; NULL: none can be read here */
    const struct mp_t_signal *record; /* at hand; NULL: none */
    bool bare;                        /* the record's fields stand bare: inside `where` */
    const struct mp_t_entity *member; /* inside count(m of SET where ...) */
    mp_str member_name;
    const struct ck_bind *binds;
    uint32_t bind_count;
    uint32_t layers;
    int64_t window_ns;                /* of an `over` around; 0: none */
    bool window_forced;               /* that `over` stands at the use of a definition */
    uint32_t min_samples, panes;
    const struct mp_t_walk *of;       /* `e of x`: x */
    bool of_set;
    enum ck_place place;
    struct ck_facts *facts;
    uint32_t depth;
};

/* ---- check_walk.c: ways to values ---- */
/* The way from what stands at hand to an entity; NULL with E0205 reported, or silently. `identity`
 * is reached by its type: entity NULL. */
const struct mp_t_walk *ck_reach(struct ck *ck, const struct ck_scope *s,
                                 const struct mp_t_entity *entity, struct mp_span span, bool report);
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

#endif
