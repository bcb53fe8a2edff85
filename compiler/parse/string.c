/* SPDX-License-Identifier: Apache-2.0
 * Strings: escapes, and holes with expressions in them.
 *
 *   "a {b} \{c\} \n"   escapes \" \\ \n \r \t \{ \}; a hole is one condition
 *   'a {b} \n'         everything is as it stands
 */
#include "parse_priv.h"

#include "mpol_tokens.h"

/* Reads the escape at text[at] = `\`; false where it is none. */
static bool unescape(char c, char *out)
{
    switch (c) {
    case '"':
    case '\\':
    case '{':
    case '}': *out = c; return true;
    case 'n': *out = '\n'; return true;
    case 'r': *out = '\r'; return true;
    case 't': *out = '\t'; return true;
    default: return false;
    }
}

static void bad_escape(struct mp_build *b, uint32_t at)
{
    mp_str c = mp_str_sub(b->text, at + 1, 1);
    struct mp_span span = {b->source->id, at, at + 2};
    struct mp_diag *d = mp_diag_add(b->diags, MP_DIAG_E0102, span, "`\\%.*s` is no escape",
                                    (unsigned char)c.ptr[0] < 0x80 ? 1 : 0, c.ptr);
    mp_diag_fix(d, span, MP_STR("\\\\"),
                "`\\\\` is a backslash; escapes are \\\" \\\\ \\n \\r \\t \\{ \\}");
    mp_diag_help(d, "a string in single quotes has no escapes: patterns are easier in them");
}

/* Bytes [from, to) of the text without escapes. */
static mp_str resolve(struct mp_build *b, uint32_t from, uint32_t to)
{
    mp_str raw = mp_str_sub(b->text, from, to - from);
    if (raw.len == 0 || memchr(raw.ptr, '\\', raw.len) == NULL) return raw;
    char *out = mp_build_alloc(b, b->perm, raw.len);
    size_t len = 0;
    for (uint32_t at = from; at < to; at++) {
        char c = b->text.ptr[at];
        if (c == '\\' && at + 1 < to) {
            if (unescape(b->text.ptr[at + 1], &c)) {
                at++;
            } else {
                bad_escape(b, at);
            }
        }
        out[len++] = c;
    }
    return (mp_str){out, len};
}

/* What is between the quotes. A string that was not closed ends with its line. */
static void inside(const struct mp_build *b, struct mp_tok tok, uint32_t *from, uint32_t *to)
{
    *from = tok.from + 1;
    *to = tok.bad ? tok.to : tok.to - 1;
}

struct mp_ast_text mp_build_string(struct mp_build *b, struct mp_tok tok)
{
    uint32_t from, to;
    inside(b, tok, &from, &to);
    bool raw = b->text.ptr[tok.from] == '\'';
    mp_str text = raw ? mp_str_sub(b->text, from, to - from) : resolve(b, from, to);
    return (struct mp_ast_text){text, mp_build_tok(b, tok)};
}

/* Where the hole that opens at `open` is closed; 0 where it is not. Braces inside single quotes are
 * text. */
static uint32_t hole_end(const struct mp_build *b, uint32_t open, uint32_t to)
{
    bool quoted = false;
    for (uint32_t at = open + 1; at < to; at++) {
        char c = b->text.ptr[at];
        if (c == '\'') quoted = !quoted;
        if (quoted) continue;
        if (c == '}') return at;
        if (c == '{') return 0;
    }
    return 0;
}

static void open_hole(struct mp_build *b, uint32_t at)
{
    struct mp_span span = {b->source->id, at, at + 1};
    struct mp_diag *d = mp_diag_add(b->diags, MP_DIAG_E0109, span, "this hole is not closed");
    mp_diag_label(d, span, "no `}` follows");
    mp_diag_fix(d, span, MP_STR("\\{"), "a brace that is only a brace is written `\\{`");
}

static void push_piece(struct mp_build *b, struct mp_run *run, mp_str text,
                       struct mp_ast_expr *hole,
                       uint32_t from, uint32_t to)
{
    struct mp_ast_piece p = {text, hole, {b->source->id, from, to}};
    mp_build_push(b, run, &p, sizeof p);
}

static void push_hole(struct mp_build *b, struct mp_run *run, struct mp_ast_expr *e, uint32_t from,
                      uint32_t to)
{
    struct mp_ast_expr *hole = mp_parse_part(b, from, to, MP_DIAG_E0109);
    if (hole == NULL) return;
    push_piece(b, run, mp_str_sub(b->text, from, to - from), hole, from, to);
    if (hole->depth >= e->depth) e->depth = (uint16_t)(hole->depth + 1);
}

static void read_pieces(struct mp_build *b, struct mp_ast_expr *e, uint32_t from, uint32_t to)
{
    struct mp_run run = mp_build_run(b);
    uint32_t start = from;
    for (uint32_t at = from; at < to; at++) {
        if (b->text.ptr[at] == '\\') {
            at++;
            continue;
        }
        if (b->text.ptr[at] != '{') continue;
        uint32_t end = hole_end(b, at, to);
        if (end == 0) {
            open_hole(b, at);
            continue;
        }
        if (at > start) push_piece(b, &run, resolve(b, start, at), NULL, start, at);
        push_hole(b, &run, e, at + 1, end);
        start = end + 1;
        at = end;
    }
    if (run.count > 0 && start < to) push_piece(b, &run, resolve(b, start, to), NULL, start, to);
    if (run.count == 0) e->u.str.value = resolve(b, from, to);
    e->u.str.piece_count = run.count;
    e->u.str.pieces = mp_build_take(b, run, sizeof(struct mp_ast_piece));
}

void mp_string(struct mp_build *b, struct mp_tok tok, struct mp_ast_expr *e)
{
    uint32_t from, to;
    inside(b, tok, &from, &to);
    e->kind = MP_AST_STRING;
    e->u.str.text = mp_build_text(b, tok);
    e->u.str.raw = b->text.ptr[tok.from] == '\'';
    if (e->u.str.raw || tok.bad) {
        e->u.str.value = mp_str_sub(b->text, from, to - from);
    } else {
        read_pieces(b, e, from, to);
    }
}
