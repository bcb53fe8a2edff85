/* SPDX-License-Identifier: Apache-2.0
 * ast.h - the syntax tree of one file: everything that was written, nothing that was concluded.
 *
 * Every node has the span of its text. Names carry no meaning yet; headers, trailers and options
 * stand in the order in which they were written, repeats included (E0105 is the checker's). Lists
 * are arrays with a count. An optional part is a NULL pointer, or says so by a `has_` beside it.
 *
 * Owns:    plain data in the perm arena given to parse/; texts borrow the source or that arena.
 * Callers: parse/ writes; check/, lint/ and fmt/ read. Immutable once parsed.
 */
#ifndef MP_AST_AST_H
#define MP_AST_AST_H

#include "source/source.h"

/* LIMIT: how deep expressions nest, left-leaning chains of operators included; deeper is E0100.
 * Every walk over a tree may therefore recurse. */
#define MP_AST_DEPTH_MAX 200

struct mp_ast_expr;

/* ---- words ---- */

/* A name as it was meant: `limit` in backquotes is the name limit. The span includes the
 * backquotes. */
struct mp_ast_name {
    mp_str text;
    struct mp_span span;
};

/* A string where no expression is expected: escapes are resolved, `{` is a plain character. */
struct mp_ast_text {
    mp_str text; /* ptr NULL: there is none */
    struct mp_span span;
};

struct mp_ast_int {
    int64_t value;
    struct mp_span span;
};

/* `30s`, or the name of a constant. */
struct mp_ast_dur {
    struct mp_span span; /* file 0: there is none */
    mp_str name;         /* ptr NULL: a literal of `ns` */
    int64_t ns;
};

struct mp_ast_path {
    struct mp_ast_name *parts;
    uint32_t count; /* 0: there is none */
    struct mp_span span;
};

/* `svc`, `client.asn`, `request.headers["x-api-key"]`. */
struct mp_ast_key {
    struct mp_ast_path path;
    struct mp_ast_text entry; /* ptr NULL: none */
    struct mp_span span;
};

/* ---- expressions ---- */

/*   MP_AST_EXPR(NAME)  what is filled in besides kind and span */
#define MP_AST_EXPRS(X)                                                                            \
    X(INT)       /* num: text, i */                                                                \
    X(FLOAT)     /* num: text, f */                                                                \
    X(PERCENT)   /* num: text, f; 1.0 is 100% */                                                   \
    X(DURATION)  /* num: text, i in ns */                                                          \
    X(RATE)      /* num: text, f per second, number and per_ns as written */                       \
    X(SIZE)      /* num: text, i in bytes */                                                       \
    X(BANDWIDTH) /* num: text, f in bytes per second */                                            \
    X(STATUS)    /* num: text, i: 5 for `5xx` */                                                   \
    X(BOOL)      /* num: text, i: 0 or 1 */                                                        \
    X(IP)        /* addr: text, bytes, bits 128 */                                                 \
    X(CIDR)      /* addr: text, bytes, bits */                                                     \
    X(IDENTITY)  /* num: text: `spiffe://...` */                                                   \
    X(STRING)    /* str */                                                                         \
    X(NAME)      /* name */                                                                        \
    X(NAMED)     /* named: `svc "web"` */                                                          \
    X(CALL)      /* call: `count(x where y)` */                                                    \
    X(SET)       /* set: `[a, b]` */                                                               \
    X(DOT)       /* kid[0], name: `a.b` */                                                         \
    X(INDEX)     /* kid[0], kid[1]: `a["b"]` */                                                    \
    X(OVER)      /* kid[0], dur: `a over 5m` */                                                    \
    X(OF)        /* kid[0] of kid[1] */                                                            \
    X(DEFAULT)   /* kid[0] default kid[1] */                                                       \
    X(NEG)       /* kid[0] */                                                                      \
    X(TIMES)     /* kid[0], num: text, f: `3x a` */                                                \
    X(ADD)       /* kid[0], kid[1] */                                                              \
    X(SUB)                                                                                         \
    X(MUL)                                                                                         \
    X(DIV)                                                                                         \
    X(CMP)       /* cmp, kid[0], kid[1]; `=` is EQ */                                              \
    X(IN)        /* kid[0] [not] in kid[1]; with kid[2]: in kid[1]..kid[2] */                      \
    X(IS)        /* kid[0] is [not] name (which may be true, false) */                             \
    X(LIKE)      /* kid[0], kid[1] */                                                              \
    X(MATCHES)                                                                                     \
    X(CONTAINS)                                                                                    \
    X(STARTS)                                                                                      \
    X(ENDS)                                                                                        \
    X(NOT)       /* kid[0] */                                                                      \
    X(AND)       /* kid[0], kid[1] */                                                              \
    X(OR)                                                                                          \
    X(HELD)      /* kid[0], dur: `(a for 30s)`; only inside parentheses */                         \
    X(BAD)       /* a literal that was reported already: say nothing more about it */

enum mp_ast_kind {
#define X(name) MP_AST_##name,
    MP_AST_EXPRS(X)
#undef X
    MP_AST_KIND_COUNT
};

enum mp_ast_cmp { MP_AST_LT, MP_AST_LE, MP_AST_GT, MP_AST_GE, MP_AST_EQ, MP_AST_NE };

/* Numbers are rounded once from their exact decimal value (R10). */
struct mp_ast_number {
    mp_str text; /* as written */
    int64_t i;
    double f;
    double number; /* RATE: what stands before the slash */
    int64_t per_ns; /* RATE: what stands behind it */
};

struct mp_ast_address {
    mp_str text;
    uint8_t bytes[16]; /* network order; IPv4 is ::ffff:a.b.c.d */
    uint32_t bits;     /* of 128, so 10.0.0.0/8 has 104; an address alone has 128 */
};

struct mp_ast_piece {
    mp_str text;              /* literal: escapes resolved; hole: its source text */
    struct mp_ast_expr *hole; /* NULL: literal */
    struct mp_span span;      /* of a hole: without its braces */
};

struct mp_ast_string {
    mp_str text;  /* as written, quotes included */
    mp_str value; /* without holes: the string; with holes: ptr NULL */
    struct mp_ast_piece *pieces;
    uint32_t piece_count; /* 0 where there are no holes */
    bool raw;             /* in single quotes */
};

struct mp_ast_arg {
    struct mp_ast_expr *value;
    struct mp_ast_expr *where; /* NULL: none */
    struct mp_span span;
};

struct mp_ast_expr {
    enum mp_ast_kind kind;
    uint16_t depth;       /* 1 for a leaf */
    bool paren;           /* stood in parentheses of its own; the span includes them */
    bool negated;         /* IN, IS: with `not` */
    struct mp_span span;
    struct mp_ast_expr *kid[3];
    union {
        struct mp_ast_number num;
        struct mp_ast_address addr;
        struct mp_ast_string str;
        struct mp_ast_name name;
        struct {
            struct mp_ast_name name;
            struct mp_ast_text text;
        } named;
        struct {
            struct mp_ast_name name;
            struct mp_ast_arg *args;
            uint32_t arg_count;
        } call;
        struct {
            struct mp_ast_expr **items;
            uint32_t count;
        } set;
        struct mp_ast_dur dur;
        enum mp_ast_cmp cmp;
    } u;
};

/* `cond [for dur]` */
struct mp_ast_held {
    struct mp_ast_expr *cond;  /* NULL: the clause is not there */
    struct mp_ast_dur hold;    /* span.file 0: none */
    struct mp_span span;
};

/* ---- types, fields, options ---- */

enum mp_ast_type_kind { MP_AST_TYPE_NAME, MP_AST_TYPE_SET, MP_AST_TYPE_MAP, MP_AST_TYPE_ENUM };

/* One alternative of a type. */
struct mp_ast_type1 {
    enum mp_ast_type_kind kind;
    struct mp_span span;
    struct mp_ast_name name;     /* NAME, SET: of what */
    struct mp_ast_type1 *of;     /* MAP */
    struct mp_ast_name *members; /* ENUM */
    uint32_t member_count;
};

struct mp_ast_type {
    struct mp_ast_type1 *alts;
    uint32_t count; /* 0: no type was written */
    struct mp_span span;
};

struct mp_ast_field {
    struct mp_ast_name name;
    struct mp_ast_type type;
    struct mp_ast_expr *preset; /* NULL: none */
    bool at_end;
    struct mp_span span;
};

/* `per key, key [max n]`; count 0: there is none */
struct mp_ast_per {
    struct mp_ast_key *keys;
    uint32_t count;
    bool has_max;
    struct mp_ast_int max;
    struct mp_span span;
};

/* `20% of instances per svc`, `3 services per 10m`, `100 per 1m` */
struct mp_ast_quota {
    bool is_percent;
    double percent;   /* a fraction */
    mp_str percent_text;
    int64_t count;
    struct mp_ast_path of;  /* count 0: targets of any kind */
    bool has_per_dur;
    int64_t per_ns;
    struct mp_ast_path per; /* count 0: none */
    struct mp_span span;
};

/* One header, trailer or option. */
enum mp_ast_clause_kind {
    MP_AST_AT,          /* names */
    MP_AST_MODE,        /* name; has_percent, percent */
    MP_AST_PRIORITY,    /* number */
    MP_AST_DURING,      /* name, negated */
    MP_AST_UNTIL,       /* held */
    MP_AST_COOLDOWN,    /* dur */
    MP_AST_LIMIT,       /* quota */
    MP_AST_RAMP,        /* percent, dur */
    MP_AST_IF_NO_DATA,  /* name */
    MP_AST_EVERY,       /* dur; of a signal */
    MP_AST_LATENESS,    /* dur */
    MP_AST_REFRESH,     /* dur; of a feed */
    MP_AST_EXPIRE,      /* dur */
    MP_AST_MAX,         /* number */
    MP_AST_SIGNED_BY,   /* text */
    MP_AST_CLASS,       /* name, number: the strength; of an action */
    MP_AST_BLINDS,      /* names */
    MP_AST_REVERSIBLE,
    MP_AST_IRREVERSIBLE
};

struct mp_ast_clause {
    enum mp_ast_clause_kind kind;
    struct mp_span span;
    struct mp_ast_name name;
    struct mp_ast_name *names;
    uint32_t name_count;
    bool negated, has_percent;
    double percent; /* a fraction */
    mp_str percent_text;
    struct mp_ast_int number;
    struct mp_ast_dur dur;
    struct mp_ast_text text;
    struct mp_ast_held *held;
    struct mp_ast_quota *quota;
};

/* `@owner "payments"`, `@panes 60`, `@approve` */
enum mp_ast_annot_kind {
    MP_AST_ANNOT_BARE, MP_AST_ANNOT_TEXT, MP_AST_ANNOT_NAME, MP_AST_ANNOT_INT
};

struct mp_ast_annot {
    enum mp_ast_annot_kind kind;
    struct mp_ast_name name;
    struct mp_ast_text value; /* TEXT, NAME; INT: as written */
    int64_t number;           /* INT */
    struct mp_span span;
};

/* ---- rules ---- */

/* `followed by [no] cond [within dur]` */
struct mp_ast_follow {
    bool negated;
    struct mp_ast_expr *cond;
    struct mp_ast_dur within; /* span.file 0: none */
    struct mp_span span;
};

struct mp_ast_pair {
    struct mp_ast_key key;
    struct mp_ast_expr *value;
    struct mp_span span;
};

enum mp_ast_prep_kind {
    MP_AST_PREP_TO, MP_AST_PREP_ON, MP_AST_PREP_FROM, MP_AST_PREP_VIA, MP_AST_PREP_FOR,
    MP_AST_PREP_WITH /* pairs */
};

struct mp_ast_prep {
    enum mp_ast_prep_kind kind;
    struct mp_ast_expr *value;
    struct mp_ast_pair *pairs;
    uint32_t pair_count;
    struct mp_span span;
};

struct mp_ast_act {
    struct mp_ast_name verb;
    struct mp_ast_expr *target; /* NULL: none was written */
    struct mp_ast_prep *preps;
    uint32_t prep_count;
    struct mp_span span;
};

/* `verify held within dur [settle dur] [harm held]` */
struct mp_ast_verify {
    struct mp_ast_held held;
    struct mp_ast_dur within;
    struct mp_ast_dur settle; /* span.file 0: none */
    struct mp_ast_held harm;  /* cond NULL: none */
    struct mp_span span;
};

struct mp_ast_step {
    struct mp_ast_act *acts;
    uint32_t act_count;
    struct mp_ast_verify *verify; /* NULL: none */
    struct mp_span span;
};

struct mp_ast_rule {
    struct mp_ast_text doc; /* ptr NULL: none */
    struct mp_ast_clause *headers;
    uint32_t header_count;
    struct mp_ast_held when; /* the pattern's first part */
    struct mp_ast_follow *follows;
    uint32_t follow_count;
    struct mp_span pattern_span;
    struct mp_ast_per per;
    struct mp_ast_held unless; /* cond NULL: none */
    struct mp_ast_step *steps;
    uint32_t step_count;
    struct mp_ast_clause *trailers;
    uint32_t trailer_count;
};

struct mp_ast_guard {
    bool prove;
    struct mp_ast_act act;
    struct mp_ast_expr *where;  /* one of the two */
    struct mp_ast_quota *quota; /* `more than` */
};

/* ---- tests ---- */

enum mp_ast_line_kind {
    MP_AST_LINE_GIVEN,  /* pairs */
    MP_AST_LINE_SET,    /* time, subject, value */
    MP_AST_LINE_ABSENT, /* time, subject */
    MP_AST_LINE_EMIT,   /* time, count, signal, pairs */
    MP_AST_LINE_EXPECT  /* negated, act, when, at_ns */
};

enum mp_ast_expect_when {
    MP_AST_EXPECT_AT, MP_AST_EXPECT_BY, MP_AST_EXPECT_BEFORE, MP_AST_EXPECT_EVER
};

struct mp_ast_line {
    enum mp_ast_line_kind kind;
    struct mp_span span;
    bool has_to;
    int64_t from_ns, to_ns;
    struct mp_span time_span;
    struct mp_ast_expr *subject, *value;
    struct mp_ast_int count;
    struct mp_ast_path signal;
    struct mp_ast_pair *pairs;
    uint32_t pair_count;
    bool negated;
    struct mp_ast_act act;
    enum mp_ast_expect_when when;
    int64_t at_ns;
};

/* ---- items ---- */

/* `mon 08:00..18:00`, `mon..fri 08:00..18:00` */
struct mp_ast_when_open {
    struct mp_ast_name from_day, to_day; /* to_day.text.ptr NULL: one day */
    uint32_t from_minute, to_minute;     /* of the day, 0..1440 */
    struct mp_span span;
};

#define MP_AST_ITEMS(X)                                                                            \
    X(PACKAGE) X(USE) X(LET) X(PARAM) X(DEF) X(LIST) X(FEED) X(CALENDAR) X(ENTITY)                 \
    X(SIGNAL) X(ACTION) X(RULE) X(GUARD) X(TEST)

enum mp_ast_item_kind {
#define X(name) MP_AST_ITEM_##name,
    MP_AST_ITEMS(X)
#undef X
    MP_AST_ITEM_KIND_COUNT
};

struct mp_ast_item {
    enum mp_ast_item_kind kind;
    struct mp_span span; /* annotations are not in it */
    struct mp_ast_annot *annots;
    uint32_t annot_count;
    /* what it declares; text.ptr NULL: PACKAGE USE GUARD TEST, `when` alone */
    struct mp_ast_name name;
    union {
        struct {
            struct mp_ast_path path;
            struct mp_ast_text version; /* ptr NULL: none */
        } package;
        struct {
            struct mp_ast_path path;
            struct mp_ast_name alias; /* text.ptr NULL: none */
        } use;
        struct {
            struct mp_ast_type type;
            struct mp_ast_expr *value;
        } let;
        struct {
            struct mp_ast_type type;
            struct mp_ast_expr *value;
            struct mp_ast_expr *low, *high; /* NULL: no `in`; high alone NULL: `in` one value */
        } param;
        struct {
            struct mp_ast_field *params;
            uint32_t param_count;
            bool has_params;
            struct mp_ast_per per;
            struct mp_ast_type type;
            struct mp_ast_expr *body;
        } def;
        struct {
            struct mp_ast_type type;
            bool is_filled; /* `max n`: rules fill it */
            struct mp_ast_int max;
            struct mp_ast_expr **items;
            uint32_t count;
        } list;
        struct {
            struct mp_ast_type type;
            struct mp_ast_text from;
            struct mp_ast_clause *options;
            uint32_t option_count;
        } feed;
        struct {
            struct mp_ast_when_open *spans;
            uint32_t count;
            struct mp_ast_text zone;
        } calendar;
        struct {
            struct mp_ast_name alias; /* text.ptr NULL: none */
            struct mp_ast_field *fields;
            uint32_t field_count;
        } entity;
        struct {
            struct mp_ast_name alias;
            struct mp_ast_type type; /* count 0: none was written */
            struct mp_ast_per per;
            struct mp_ast_clause *options;
            uint32_t option_count;
            bool has_fields;
            struct mp_ast_field *fields;
            uint32_t field_count;
        } signal;
        struct {
            struct mp_ast_field *params;
            uint32_t param_count;
            struct mp_ast_clause *props;
            uint32_t prop_count;
        } action;
        struct mp_ast_rule rule;
        struct mp_ast_guard guard;
        struct {
            struct mp_ast_text title;
            struct mp_ast_line *lines;
            uint32_t line_count;
        } test;
    } u;
};

/* What the tree leaves out, by offset: for fmt/ and for `# mpol: allow`. */
enum mp_ast_trivia_kind {
    MP_AST_COMMENT, /* from `#` to the end of the line, which is not in it */
    MP_AST_BLANK    /* white space with at least one empty line in it */
};

struct mp_ast_trivia {
    enum mp_ast_trivia_kind kind;
    uint32_t from, to;
};

struct mp_ast_file {
    const struct mp_source *source;
    bool has_edition;
    struct mp_ast_int edition; /* `mpol 1`; E0901 is the checker's */
    MP_VEC(struct mp_ast_item *) items;
    MP_VEC(struct mp_ast_trivia) trivia;
    /* Names that items with syntax errors would have declared: unknown, but no reason for E0101. */
    MP_VEC(struct mp_ast_name) broken;
};

/* The name of a kind, in capitals, for dumps. */
const char *mp_ast_kind_name(enum mp_ast_kind kind);
const char *mp_ast_item_name(enum mp_ast_item_kind kind);
mp_str mp_ast_cmp_text(enum mp_ast_cmp cmp);

/* ---- printer: the one canonical text, on one line ---- */

/* Expressions: one blank around operators, `==` for `=`, parentheses only where the meaning or the
 * language (E0107, `for` inside a condition) needs them; literals as written; names that are hard
 * words in backquotes. Parsing it gives the same tree. */
void mp_ast_print_expr(struct mp_buf *out, const struct mp_ast_expr *e);
void mp_ast_print_held(struct mp_buf *out, const struct mp_ast_held *held);
void mp_ast_print_type(struct mp_buf *out, const struct mp_ast_type *type);
void mp_ast_print_path(struct mp_buf *out, const struct mp_ast_path *path);
void mp_ast_print_key(struct mp_buf *out, const struct mp_ast_key *key);
void mp_ast_print_act(struct mp_buf *out, const struct mp_ast_act *act);
void mp_ast_print_quota(struct mp_buf *out, const struct mp_ast_quota *quota);
/* The pattern of `when` and `per`, without `unless`: its SHA-256 names a rule without a name. */
void mp_ast_print_when(struct mp_buf *out, const struct mp_ast_rule *rule);
/* The whole tree, indented, with spans as line:column; for goldens and people. */
void mp_ast_dump(struct mp_buf *out, const struct mp_ast_file *file);

/* Is it a hard word, which is a name only in backquotes? */
bool mp_ast_is_hard_word(mp_str word);

#endif
