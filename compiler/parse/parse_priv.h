/* SPDX-License-Identifier: Apache-2.0
 * parse_priv.h - what grammar/mpol.re, grammar/mpol.y and the files of parse share.
 *
 * The tree is built bottom up. A list grows on `pending`, one stack of bytes for all lists: inner
 * lists are taken off before the outer list goes on, so the elements of one list lie together.
 * Parts that are copied into their parents (a clause, a key) live in `scratch` until the item is
 * complete.
 *
 * Memory failure leaves by longjmp to the entry in parse.c; there is nothing to give back but
 * arenas.
 */
#ifndef MP_PARSE_PRIV_H
#define MP_PARSE_PRIV_H

#include <setjmp.h>

#include "ast/ast.h"
#include "diag/diag.h"
#include "parse/parse.h"
#include "schema/value.h"

/* What the lexer finds besides tokens; above all of Lemon's numbers. */
enum mp_lex_kind {
    MP_LEX_COMMENT = 512,
    MP_LEX_BLANK,
    MP_LEX_BAD_NUMBER,  /* `30sec` */
    MP_LEX_OPEN_STRING, /* to the end of the line */
    MP_LEX_FOREIGN,     /* `&&`: what other languages write */
    MP_LEX_BAD_BYTE     /* one code point, or one bad byte */
};

struct mp_lexer {
    mp_str text;   /* with a NUL behind it */
    uint32_t from; /* where the last token began */
    uint32_t at;   /* where it ended */
};

/* The next token: one of mpol_tokens.h, 0 at the end, or an mp_lex_kind. */
int mp_lex(struct mp_lexer *lx);

struct mp_tok {
    uint32_t from, to;
    int kind;
    bool bad; /* a literal that was reported already */
};

/* A list on the stack of lists: where it begins, and how many elements. */
struct mp_run {
    uint32_t base, count;
};

struct mp_build {
    const struct mp_source *source;
    mp_str text;
    struct mp_arena *perm;
    struct mp_arena scratch, lists;
    struct mp_diags *diags;
    jmp_buf *out_of_memory;
    struct mp_ast_file *file;
    struct mp_ast_expr *answer; /* of mp_parse_expr */
    char *pending;
    uint32_t pending_len, pending_cap;
    struct mp_tok prev;       /* the token before the one being read */
    struct mp_tok item_first; /* where the item at hand begins */
    struct mp_arena mark;     /* scratch as it was then */
    uint32_t garbage_to;      /* where the last text that is no token ended */
    bool broken;              /* the item at hand has a syntax error */
    /* ... or text that is no token: say nothing about what follows from it */
    bool foreign;
    enum mp_diag_code code;   /* of syntax errors: E0100, E0109 inside a string */
    uint32_t end;             /* where reading stops */
};

/* ---- build.c: from the grammar's actions to the tree ---- */
void *mp_build_alloc(struct mp_build *b, struct mp_arena *arena, size_t size);
#define B_PERM(b, type) ((type *)mp_build_alloc((b), (b)->perm, sizeof(type)))
#define B_TEMP(b, type) ((type *)mp_build_alloc((b), &(b)->scratch, sizeof(type)))

struct mp_run mp_build_run(const struct mp_build *b);
void mp_build_push(struct mp_build *b, struct mp_run *run, const void *element, size_t size);
/* The list as an array in perm; NULL where it is empty. */
void *mp_build_take(struct mp_build *b, struct mp_run run, size_t size);

struct mp_span mp_build_span(const struct mp_build *b, uint32_t from); /* up to the last token */
struct mp_span mp_build_tok(const struct mp_build *b, struct mp_tok tok);
mp_str mp_build_text(const struct mp_build *b, struct mp_tok tok);
struct mp_ast_name mp_build_name(const struct mp_build *b, struct mp_tok tok);
struct mp_ast_text mp_build_string(struct mp_build *b, struct mp_tok tok);
struct mp_ast_int mp_build_int(struct mp_build *b, struct mp_tok tok);
struct mp_ast_dur mp_build_dur(struct mp_build *b, struct mp_tok tok);
int64_t mp_build_ns(struct mp_build *b, struct mp_tok tok);
double mp_build_percent(struct mp_build *b, struct mp_tok tok);
uint32_t mp_build_minute(struct mp_build *b, struct mp_tok tok);
struct mp_ast_path mp_build_path(struct mp_build *b, struct mp_run parts);

struct mp_ast_expr *mp_build_expr(struct mp_build *b, enum mp_ast_kind kind, uint32_t from,
                                  struct mp_ast_expr *a, struct mp_ast_expr *c);
struct mp_ast_expr *mp_build_literal(struct mp_build *b, struct mp_tok tok);
struct mp_ast_expr *mp_build_cmp(struct mp_build *b, struct mp_ast_expr *a, struct mp_tok op,
                                 struct mp_ast_expr *c);
struct mp_ast_expr *mp_build_paren(struct mp_build *b, struct mp_tok open,
                                   const struct mp_ast_held *held, struct mp_tok close);
/* Fills in depth after kids were set by hand; too deep is reported and cut off. */
struct mp_ast_expr *mp_build_deepen(struct mp_build *b, struct mp_ast_expr *e, uint32_t kid_depth);

struct mp_ast_item *mp_build_item(struct mp_build *b, enum mp_ast_item_kind kind, uint32_t from);
struct mp_ast_clause *mp_build_clause(struct mp_build *b, enum mp_ast_clause_kind kind,
                                      uint32_t from);
/* Adds a complete item to the file. */
void mp_build_add(struct mp_build *b, struct mp_run annots, struct mp_ast_item *item);
/* Between two items: scratch begins anew. */
void mp_build_forget(struct mp_build *b);

/* ---- literal.c, string.c ---- */
void mp_literal(struct mp_build *b, struct mp_tok tok, struct mp_ast_expr *e);
/* Reports a number that is none, and says what it was probably meant to be (0: nobody knows). */
int mp_literal_repair(struct mp_build *b, struct mp_tok tok);
void mp_string(struct mp_build *b, struct mp_tok tok, struct mp_ast_expr *e);

/* ---- explain.c: what is wrong here ---- */
void mp_explain_syntax(struct mp_build *b, struct mp_tok tok, const void *parser);
void mp_explain_foreign(struct mp_build *b, struct mp_tok tok, int *repaired);
/* Bytes that are no UTF-8, once a run, and the first NUL. False where the file cannot be read. */
bool mp_explain_bytes(struct mp_build *b);
void mp_explain_depth(struct mp_build *b, struct mp_span span);

/* ---- mpol.y ---- */
#define MP_PARSER_BYTES 32768 /* asserted in mpol.y */
void mp_grammar_begin(void *parser, struct mp_build *b);
void mp_grammar_feed(void *parser, struct mp_tok tok);
/* The parser's stack without values, to ask what could follow. */
#define MP_STATES_MAX 1024
struct mp_states {
    int top;
    uint16_t at[MP_STATES_MAX];
};
void mp_grammar_states(const void *parser, struct mp_states *out);
/* The states behind tokens that begin an item, or a hole. Unlike those of a parser that has met an
 * error, nothing was reduced for its sake. False where the tokens are none of a sentence. */
bool mp_grammar_replay(const struct mp_tok *toks, uint32_t count, bool hole, struct mp_states *out);
/* Could `kind` stand here, not counting words that are taken for names? */
bool mp_grammar_takes(const struct mp_states *states, int kind);
bool mp_grammar_begins_item(int kind);

/* ---- parse.c ---- */
/* Parses [from, to) of the source as one condition; NULL with a message under `code`. */
struct mp_ast_expr *mp_parse_part(struct mp_build *b, uint32_t from, uint32_t to,
                                  enum mp_diag_code code);

#endif
