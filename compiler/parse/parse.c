/* SPDX-License-Identifier: Apache-2.0
 * The loop around lexer and parser, and what happens after an error: the parser is set back to the
 * place between two items, and reading goes on at the next item that begins a line.
 */
#include "parse/parse.h"

#include <stdalign.h>

#include "base/assert.h"
#include "mpol_tokens.h"
#include "parse_priv.h"

/* ---- tokens ---- */

static void keep_trivia(struct mp_build *b, enum mp_ast_trivia_kind kind, struct mp_tok tok)
{
    if (b->file == NULL) return;
    struct mp_ast_trivia *t = MP_VEC_PUSH(b->perm, &b->file->trivia);
    if (t == NULL) longjmp(*b->out_of_memory, 1);
    *t = (struct mp_ast_trivia){kind, tok.from, tok.to};
}

/* The next token for the parser; what is none was reported, or kept apart. */
static struct mp_tok next_token(struct mp_build *b, struct mp_lexer *lx)
{
    for (;;) {
        struct mp_tok tok = {.kind = mp_lex(lx)};
        if (lx->at > b->end) lx->at = b->end;
        if (lx->from >= b->end) return (struct mp_tok){b->end, b->end, 0, false};
        tok.from = lx->from;
        tok.to = lx->at;
        if (tok.kind < MP_LEX_COMMENT) return tok;
        if (tok.kind == MP_LEX_COMMENT || tok.kind == MP_LEX_BLANK) {
            keep_trivia(b, tok.kind == MP_LEX_COMMENT ? MP_AST_COMMENT : MP_AST_BLANK, tok);
            continue;
        }
        int repaired = 0;
        mp_explain_foreign(b, tok, &repaired);
        if (repaired == 0) continue;
        tok.kind = repaired;
        tok.bad = true;
        return tok;
    }
}

/* Does an item begin a line here? After an error that is where reading goes on. */
static bool begins_line(const struct mp_build *b, struct mp_tok tok)
{
    bool column_1 = tok.from == 0 || b->text.ptr[tok.from - 1] == '\n';
    return column_1 && mp_grammar_begins_item(tok.kind);
}

/* ---- items ---- */

/* `rule NAME ...` that did not parse: NAME is not unknown. */
static void keep_broken_name(struct mp_build *b)
{
    struct mp_lexer lx = {.text = b->text, .at = b->item_first.from};
    int first = mp_lex(&lx), second = mp_lex(&lx);
    if (!mp_grammar_begins_item(first) || first == T_ATSIGN || second != T_ID) return;
    struct mp_ast_name *name = MP_VEC_PUSH(b->perm, &b->file->broken);
    if (name == NULL) longjmp(*b->out_of_memory, 1);
    *name = mp_build_name(b, (struct mp_tok){lx.from, lx.at, T_ID, false});
}

static void restart(struct mp_build *b, void *parser)
{
    keep_broken_name(b);
    mp_grammar_begin(parser, b);
    mp_build_forget(b);
    b->broken = false;
    b->pending_len = 0;
}

/* A line of a test is independent of the others: reading may go on at the next one. */
static bool begins_test_line(const struct mp_build *b, struct mp_tok tok)
{
    if (b->item_first.kind != T_TEST) return false;
    if (tok.kind != T_GIVEN && tok.kind != T_EXPECT && tok.kind != T_DURATION && tok.kind != T_RC) {
        return false;
    }
    uint32_t at = tok.from;
    while (at > 0 && (b->text.ptr[at - 1] == ' ' || b->text.ptr[at - 1] == '\t')) at--;
    return at > 0 && b->text.ptr[at - 1] == '\n';
}

/* The parser behind `test "title" {` again, without the lines before. False where that is not how
 * the item began. */
static bool reenter_test(struct mp_build *b, void *parser)
{
    static const int head[] = {T_TEST, T_STRING, T_LC};
    struct mp_lexer lx = {.text = b->text, .at = b->item_first.from};
    restart(b, parser);
    for (size_t i = 0; i < sizeof head / sizeof *head;) {
        struct mp_tok tok = {.kind = mp_lex(&lx)};
        if (tok.kind == MP_LEX_COMMENT || tok.kind == MP_LEX_BLANK) continue;
        if (tok.kind != head[i++]) return false;
        tok.from = lx.from;
        tok.to = lx.at;
        mp_grammar_feed(parser, tok);
        b->prev = tok;
    }
    return true;
}

static bool is_between_items(const void *parser)
{
    struct mp_states states;
    mp_grammar_states(parser, &states);
    return mp_grammar_takes(&states, T_PACKAGE);
}

static void read_items(struct mp_build *b, void *parser, struct mp_lexer *lx)
{
    for (;;) {
        struct mp_tok tok = next_token(b, lx);
        bool begins = begins_line(b, tok);
        if (b->broken) {
            bool line = begins_test_line(b, tok);
            if (tok.kind != 0 && !begins && !line) continue;
            if (!line || begins) {
                restart(b, parser);
            } else if (!reenter_test(b, parser)) {
                b->broken = true;
                continue;
            }
        }
        if (mp_grammar_begins_item(tok.kind) && is_between_items(parser)) b->item_first = tok;
        mp_grammar_feed(parser, tok);
        if (b->broken && begins) {
            /* The item before is incomplete; this one may be good. */
            restart(b, parser);
            b->item_first = tok;
            mp_grammar_feed(parser, tok);
        }
        b->prev = tok;
        if (tok.kind == 0) return;
    }
}

static void read_all(struct mp_build *b)
{
    if (!mp_explain_bytes(b)) return;
    alignas(max_align_t) char parser[MP_PARSER_BYTES];
    mp_grammar_begin(parser, b);
    bool marked = mp_str_starts(b->text, MP_STR("\xef\xbb\xbf")); /* a byte order mark */
    struct mp_lexer lx = {.text = b->text, .at = marked ? 3 : 0};
    read_items(b, parser, &lx);
    if (b->broken) keep_broken_name(b);
}

static enum mp_err read_file(struct mp_build *b)
{
    jmp_buf out_of_memory;
    b->out_of_memory = &out_of_memory;
    if (setjmp(out_of_memory) != 0) return MP_ENOMEM;
    read_all(b);
    return mp_diags_err(b->diags);
}

static struct mp_build new_build(const struct mp_source *source, struct mp_arena *perm,
                                 struct mp_diags *diags)
{
    struct mp_build b = {.source = source, .text = source->text, .perm = perm, .diags = diags,
                         .code = MP_DIAG_E0100, .end = (uint32_t)source->text.len};
    mp_arena_init(&b.scratch, perm->from, 0);
    mp_arena_init(&b.lists, perm->from, 0);
    b.mark = b.scratch;
    return b;
}

static void end_build(struct mp_build *b)
{
    mp_arena_free(&b->scratch);
    mp_arena_free(&b->lists);
}

enum mp_err mp_parse(const struct mp_source *source, struct mp_arena *perm, struct mp_diags *diags,
                     struct mp_ast_file **out)
{
    struct mp_build b = new_build(source, perm, diags);
    b.file = MP_NEW(perm, struct mp_ast_file, 1);
    if (b.file == NULL) return MP_ENOMEM;
    b.file->source = source;
    enum mp_err err = read_file(&b);
    end_build(&b);
    if (err == MP_OK) *out = b.file;
    return err;
}

/* ---- one condition ---- */

/* What a part must not disturb, since the parser of the file is in the middle of a string. */
struct outer {
    struct mp_tok prev, item_first;
    uint32_t end, pending_len;
    enum mp_diag_code code;
    bool broken, foreign;
    struct mp_ast_file *file;
};

static struct outer save(const struct mp_build *b)
{
    return (struct outer){b->prev, b->item_first, b->end, b->pending_len, b->code, b->broken,
                          b->foreign, b->file};
}

static void restore(struct mp_build *b, const struct outer *o)
{
    b->prev = o->prev;
    b->item_first = o->item_first;
    b->end = o->end;
    b->pending_len = o->pending_len;
    b->code = o->code;
    b->broken = o->broken;
    b->foreign = o->foreign;
    b->file = o->file;
}

static void read_part(struct mp_build *b, uint32_t from)
{
    alignas(max_align_t) char parser[MP_PARSER_BYTES];
    mp_grammar_begin(parser, b);
    struct mp_lexer lx = {.text = b->text, .at = from};
    b->prev = b->item_first = (struct mp_tok){from, from, T_HOLE, false};
    mp_grammar_feed(parser, b->prev);
    for (;;) {
        struct mp_tok tok = next_token(b, &lx);
        mp_grammar_feed(parser, tok);
        if (b->broken || tok.kind == 0) return;
        b->prev = tok;
    }
}

struct mp_ast_expr *mp_parse_part(struct mp_build *b, uint32_t from, uint32_t to,
                                  enum mp_diag_code code)
{
    struct outer outer = save(b);
    uint32_t errors = b->diags->error_count;
    b->end = to;
    b->code = code;
    b->broken = b->foreign = false;
    b->file = NULL;
    b->answer = NULL;
    read_part(b, from);
    struct mp_ast_expr *answer = b->diags->error_count == errors && !b->broken ? b->answer : NULL;
    restore(b, &outer);
    return answer;
}

static enum mp_err read_expr(struct mp_build *b, struct mp_span span, enum mp_diag_code code)
{
    jmp_buf out_of_memory;
    b->out_of_memory = &out_of_memory;
    if (setjmp(out_of_memory) != 0) return MP_ENOMEM;
    b->answer = mp_parse_part(b, span.from, span.to, code);
    return mp_diags_err(b->diags);
}

enum mp_err mp_parse_expr(const struct mp_source *source, struct mp_span span,
                          enum mp_diag_code code,
                          struct mp_arena *perm, struct mp_diags *diags, struct mp_ast_expr **out)
{
    MP_ASSERT(span.from <= span.to && span.to <= source->text.len);
    struct mp_build b = new_build(source, perm, diags);
    enum mp_err err = read_expr(&b, span, code);
    end_build(&b);
    if (err == MP_OK) *out = b.answer;
    return err;
}
