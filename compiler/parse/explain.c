/* SPDX-License-Identifier: Apache-2.0
 * What is wrong with a text that is no sentence, in words.
 */
#include "parse_priv.h"

#include "mpol_tokens.h"

/* LIMIT: expected words shown in one message, tokens of an item looked back at. */
#define WORDS_MAX 8
#define HISTORY_MAX 65536

/* ---- words ---- */

struct word_row {
    int kind;
    const char *shown;
};

/* What a message calls the tokens that it names one by one. */
static const struct word_row words[] = {
    {T_MPOL, "`mpol`"}, {T_VERSION, "`version`"}, {T_AS, "`as`"}, {T_MODE, "`mode`"},
    {T_PRIORITY, "`priority`"}, {T_DURING, "`during`"}, {T_FOLLOWED, "`followed by`"},
    {T_NO, "`no`"},
    {T_DATA, "`data`"}, {T_SETTLE, "`settle`"}, {T_THAN, "`than`"}, {T_GIVEN, "`given`"},
    {T_EMIT, "`emit`"}, {T_ABSENT, "`absent`"}, {T_EXPECT, "`expect`"}, {T_REFRESH, "`refresh`"},
    {T_EXPIRE, "`expire`"}, {T_MAX, "`max`"}, {T_SIGNED, "`signed by`"}, {T_EVERY, "`every`"},
    {T_LATENESS, "`lateness`"}, {T_SET, "`set of`"}, {T_ENUM, "`enum(...)`"}, {T_CLASS, "`class`"},
    {T_STRENGTH, "`strength`"}, {T_BLINDS, "`blinds`"}, {T_REVERSIBLE, "`reversible`"},
    {T_IRREVERSIBLE, "`irreversible`"}, {T_MAP, "`map of`"}, {T_HARM, "`harm`"}, {T_END, "`end`"},
    {T_WHEN, "`when`"}, {T_THEN, "`then`"}, {T_ELSE, "`else`"}, {T_NEVER, "`never`"},
    {T_AND, "`and`"},
    {T_OR, "`or`"}, {T_IN, "`in`"}, {T_FOR, "`for`"}, {T_PER, "`per`"}, {T_OF, "`of`"},
    {T_WHERE, "`where`"}, {T_VERIFY, "`verify`"}, {T_WITHIN, "`within`"}, {T_UNTIL, "`until`"},
    {T_UNLESS, "`unless`"}, {T_IF, "`if no data`"}, {T_TO, "`to`"}, {T_ON, "`on`"},
    {T_FROM, "`from`"},
    {T_WITH, "`with`"}, {T_VIA, "`via`"}, {T_AT, "`at`"}, {T_BY, "`by`"}, {T_BEFORE, "`before`"},
    {T_EVER, "`ever`"}, {T_MORE, "`more than`"}, {T_COOLDOWN, "`cooldown`"}, {T_LIMIT, "`limit`"},
    {T_RAMP, "`ramp`"}, {T_EQ, "`=`"}, {T_RP, "`)`"}, {T_RB, "`]`"}, {T_LC, "`{`"}, {T_RC, "`}`"},
    {T_COMMA, "`,`"}, {T_COLON, "`:`"}, {T_DOTDOT, "`..`"}, {T_BAR, "`|`"},
};

/* Shown where no value at large could stand. */
static const struct word_row literals[] = {
    {T_ID, "a name"},         {T_INT, "a whole number"}, {T_PERCENT, "a percent"},
    {T_DURATION, "a duration"}, {T_STRING, "a string"},    {T_TIME, "a time of day"},
    {T_LP, "`(`"},            {T_LB, "`[`"},
};

struct expected {
    const char *shown[WORDS_MAX];
    uint32_t count;
    bool more;
};

static void expect_word(struct expected *e, const char *shown)
{
    if (e->count < WORDS_MAX) {
        e->shown[e->count++] = shown;
    } else {
        e->more = true;
    }
}

static struct expected expected_at(const struct mp_states *states)
{
    struct expected e = {.count = 0};
    bool value = mp_grammar_takes(states, T_FLOAT), item = mp_grammar_takes(states, T_PACKAGE);
    bool compare = mp_grammar_takes(states, T_CMP);
    bool operand = mp_grammar_takes(states, T_PLUS) || mp_grammar_takes(states, T_DOT);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        int kind = words[i].kind;
        if (item && mp_grammar_begins_item(kind)) continue;
        if (compare && (kind == T_IN || kind == T_EQ)) continue;
        if (operand && (kind == T_OF || kind == T_DOTDOT)) continue;
        if (mp_grammar_takes(states, kind)) expect_word(&e, words[i].shown);
    }
    for (size_t i = 0; !value && !operand && i < sizeof literals / sizeof *literals; i++) {
        if (mp_grammar_takes(states, literals[i].kind)) expect_word(&e, literals[i].shown);
    }
    if (compare) expect_word(&e, "a comparison");
    if (value) expect_word(&e, mp_grammar_takes(states, T_NOT) ? "a condition" : "a value");
    if (item) expect_word(&e, "a new declaration or rule");
    return e;
}

static mp_str expected_text(struct mp_build *b, const struct expected *e)
{
    struct mp_buf out;
    mp_buf_init(&out, &b->scratch);
    for (uint32_t i = 0; i < e->count; i++) {
        bool last = i + 1 == e->count && !e->more;
        mp_buf_printf(&out, "%s%s", i == 0 ? "" : last ? " or " : ", ", e->shown[i]);
    }
    if (e->more) mp_buf_puts(&out, ", ...");
    if (out.failed) longjmp(*b->out_of_memory, 1);
    return mp_buf_view(&out);
}

/* ---- the item so far ---- */

struct history {
    const struct mp_tok *toks;
    uint32_t count;
};

/* The tokens from the beginning of the item, or of the hole, up to tok. */
static struct history history_of(struct mp_build *b, struct mp_tok tok)
{
    MP_VEC(struct mp_tok) toks = {0};
    struct mp_lexer lx = {.text = b->text, .at = b->item_first.from};
    if (b->item_first.from > tok.from) return (struct history){NULL, 0};
    while (toks.len < HISTORY_MAX) {
        int kind = mp_lex(&lx);
        if (kind == 0 || lx.from >= tok.from) break;
        if (kind == MP_LEX_COMMENT || kind == MP_LEX_BLANK) continue;
        struct mp_tok *t = MP_VEC_PUSH(&b->scratch, &toks);
        if (t == NULL) longjmp(*b->out_of_memory, 1);
        *t = (struct mp_tok){lx.from, lx.at, kind, false};
    }
    return (struct history){toks.ptr, toks.len};
}

/* Words that end a condition or a step. */
static bool ends_clause(int kind)
{
    switch (kind) {
    case 0: case T_PER: case T_UNLESS: case T_THEN: case T_WITHIN: case T_ELSE: case T_UNTIL:
    case T_VERIFY: case T_COOLDOWN: case T_LIMIT: case T_RAMP: case T_IF: case T_SETTLE:
    case T_HARM: case T_FOLLOWED: return true;
    default: return mp_grammar_begins_item(kind);
    }
}

static int opened_by(int closer)
{
    return closer == T_RP ? T_LP : closer == T_RB ? T_LB : closer == T_RC ? T_LC : 0;
}

static bool opens(int kind) { return kind == T_LP || kind == T_LB || kind == T_LC; }

/* The innermost bracket that is open behind the first `count` tokens; NULL: none. */
static const struct mp_tok *open_bracket(const struct history *h, uint32_t count)
{
    uint32_t closed = 0;
    for (uint32_t i = count; i > 0; i--) {
        int kind = h->toks[i - 1].kind;
        if (opened_by(kind) != 0) {
            closed++;
        } else if (opens(kind)) {
            if (closed == 0) return &h->toks[i - 1];
            closed--;
        }
    }
    return NULL;
}

/* Text of a span on one line, for a help. */
static mp_str one_line(struct mp_build *b, uint32_t from, uint32_t to)
{
    struct mp_buf out;
    mp_buf_init(&out, &b->scratch);
    bool blank = false;
    for (uint32_t at = from; at < to; at++) {
        char c = b->text.ptr[at];
        bool white = c == ' ' || c == '\n' || c == '\t' || c == '\r';
        if (!white && blank && out.len > 0) mp_buf_putc(&out, ' ');
        if (!white) mp_buf_putc(&out, c);
        blank = white;
    }
    if (out.failed) longjmp(*b->out_of_memory, 1);
    return mp_buf_view(&out);
}

/* ---- common mistakes ---- */

static bool begins_condition(int kind)
{
    return kind == T_WHEN || kind == T_UNLESS || kind == T_VERIFY || kind == T_UNTIL ||
           kind == T_HARM || kind == T_BY;
}

/* Where the condition that ends before token `end` began. */
static uint32_t condition_start(const struct history *h, uint32_t end)
{
    uint32_t closed = 0;
    for (uint32_t i = end; i > 0; i--) {
        int kind = h->toks[i - 1].kind;
        if (opened_by(kind) != 0) {
            closed++;
        } else if (opens(kind)) {
            if (closed == 0) return i;
            closed--;
        } else if (closed == 0 && begins_condition(kind)) {
            return i;
        }
    }
    return 0;
}

/* The end of the condition that goes on at tok. */
static uint32_t condition_end(const struct mp_build *b, struct mp_tok tok)
{
    struct mp_lexer lx = {.text = b->text, .at = tok.from};
    uint32_t depth = 0, end = tok.to;
    for (;;) {
        int kind = mp_lex(&lx);
        if (depth == 0 && (ends_clause(kind) || opened_by(kind) != 0)) return end;
        if (kind == 0 || lx.at > b->end) return end;
        if (opens(kind)) depth++;
        if (opened_by(kind) != 0) depth--;
        if (kind != MP_LEX_COMMENT && kind != MP_LEX_BLANK) end = lx.at;
    }
}

/* `a for 30s and b` */
static bool explain_for(struct mp_build *b, const struct history *h, struct mp_tok tok)
{
    if (tok.kind != T_AND && tok.kind != T_OR) return false;
    if (h->count < 3 || h->toks[h->count - 2].kind != T_FOR) return false;
    struct mp_tok word = h->toks[h->count - 2], dur = h->toks[h->count - 1];
    uint32_t start = condition_start(h, h->count - 2);
    uint32_t from = h->toks[start].from;
    struct mp_span span = {b->source->id, word.from, dur.to};
    const char *joint = tok.kind == T_AND ? "and" : "or";
    mp_str held = one_line(b, from, dur.to), rest = one_line(b, tok.from, condition_end(b, tok));
    struct mp_diag *d = mp_diag_add(b->diags, MP_DIAG_E0108, span,
                                    "`for` holds the whole condition");
    mp_diag_label(d, span, "followed by `%s`", joint);
    struct mp_buf fix;
    mp_buf_init(&fix, &b->scratch);
    mp_buf_printf(&fix, "(%.*s)", MP_STR_ARG(mp_str_sub(b->text, from, dur.to - from)));
    if (fix.failed) longjmp(*b->out_of_memory, 1);
    mp_diag_fix(d, (struct mp_span){b->source->id, from, dur.to}, mp_buf_view(&fix),
                "`(%.*s) %.*s`",
                MP_STR_ARG(held), MP_STR_ARG(rest));
    return true;
}

/* `verify a else ...`, `followed by no a then ...` */
static bool explain_within(struct mp_build *b, const struct history *h, struct mp_tok tok,
                           const struct mp_states *states)
{
    if (!ends_clause(tok.kind) || !mp_grammar_takes(states, T_WITHIN)) return false;
    uint32_t at = h->count;
    while (at > 0 && h->toks[at - 1].kind != T_VERIFY && h->toks[at - 1].kind != T_FOLLOWED) at--;
    if (at == 0) return false;
    bool sequence = h->toks[at - 1].kind == T_FOLLOWED;
    struct mp_span behind = mp_span_after(mp_build_tok(b, b->prev));
    struct mp_diag *d =
        mp_diag_add(b->diags, sequence ? MP_DIAG_E0110 : MP_DIAG_E0100, behind,
                    sequence ? "a sequence step without `within` would wait for ever"
                             : "a check without `within` would wait for ever");
    mp_diag_label(d, behind, "expected `within <duration>`");
    return true;
}

/* Words that have one place in a rule, met in another. */
static bool explain_place(struct mp_build *b, const struct history *h, struct mp_tok tok)
{
    static const struct {
        int word, before; /* the clause it must stand in front of */
        const char *name, *place;
    } places[] = {
        {T_PER, T_UNLESS, "per", "behind the condition, in front of `unless`"},
        {T_PER, T_THEN, "per", "behind the condition, in front of `then`"},
        {T_UNLESS, T_THEN, "unless", "in front of `then`"},
    };
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        if (tok.kind != places[i].word) continue;
        for (uint32_t k = h->count; k > 0 && h->toks[k - 1].kind != T_WHEN; k--) {
            if (h->toks[k - 1].kind != places[i].before) continue;
            struct mp_span span = mp_build_tok(b, tok);
            struct mp_diag *d = mp_diag_add(b->diags, MP_DIAG_E0100, span,
                                            "`%s` stands in another place", places[i].name);
            mp_diag_label(d, span, "comes too late");
            mp_diag_help(d, "it stands %s", places[i].place);
            return true;
        }
    }
    return false;
}

/* Hard words that one would like to give to something. */
static bool is_likely_name(int kind)
{
    switch (kind) {
    case T_RULE: case T_TEST: case T_PARAM: case T_DEF: case T_LET: case T_LIST: case T_FEED:
    case T_USE: case T_PACKAGE: case T_SIGNAL: case T_ENTITY: case T_ACTION: case T_CALENDAR:
    case T_LIMIT: case T_RAMP: case T_COOLDOWN: case T_MORE: case T_BEFORE: case T_EVER:
        return true;
    default: return false;
    }
}

static bool explain_hard_word(struct mp_build *b, struct mp_tok tok, const struct mp_states *states)
{
    bool column_1 = tok.from == 0 || b->text.ptr[tok.from - 1] == '\n';
    if (column_1 || !is_likely_name(tok.kind) || !mp_grammar_takes(states, T_ID)) return false;
    mp_str text = mp_build_text(b, tok);
    struct mp_span span = mp_build_tok(b, tok);
    struct mp_diag *d = mp_diag_add(b->diags, b->code, span, "`%.*s` is a word of the language",
                                    MP_STR_ARG(text));
    mp_diag_label(d, span, "a name is expected");
    char quoted[64];
    if (text.len + 2 > sizeof quoted) return true;
    quoted[0] = '`';
    memcpy(quoted + 1, text.ptr, text.len);
    quoted[text.len + 1] = '`';
    mp_diag_fix(d, span, (mp_str){quoted, text.len + 2}, "in backquotes it is a name: %.*s",
                (int)text.len + 2, quoted);
    return true;
}

/* ---- everything else ---- */

static mp_str token_text(const struct mp_build *b, struct mp_tok tok)
{
    return mp_str_sub(b->text, tok.from, tok.to - tok.from > 60 ? 60 : tok.to - tok.from);
}

static void explain_rest(struct mp_build *b, const struct history *h, struct mp_tok tok,
                         const struct mp_states *states)
{
    struct expected e = expected_at(states);
    mp_str text = token_text(b, tok);
    bool hole = b->code == MP_DIAG_E0109;
    struct mp_span span = mp_build_tok(b, tok);
    if (tok.kind == 0) span = mp_span_after(mp_build_tok(b, b->prev));
    struct mp_diag *d;
    if (tok.kind == 0 && hole) {
        d = mp_diag_add(b->diags, b->code, span, "the hole ends too early");
    } else if (tok.kind == 0) {
        d = mp_diag_add(b->diags, b->code, span, "the file ends too early");
    } else {
        d = mp_diag_add(b->diags, b->code, span, "unexpected `%.*s`", MP_STR_ARG(text));
    }
    if (e.count > 0) mp_diag_label(d, span, "expected %.*s", MP_STR_ARG(expected_text(b, &e)));
    if (hole) mp_diag_help(d, "a brace that is only a brace is written `\\{`");
    const struct mp_tok *open = open_bracket(h, h->count);
    bool lost = tok.kind == 0 || ends_clause(tok.kind);
    if (lost && open != NULL) mp_diag_label(d, mp_build_tok(b, *open), "opened here");
}

void mp_explain_syntax(struct mp_build *b, struct mp_tok tok, const void *parser)
{
    if (b->foreign || b->broken) return;
    struct history h = history_of(b, tok);
    struct mp_states states;
    if (!mp_grammar_replay(h.toks, h.count, b->item_first.kind == T_HOLE, &states)) {
        mp_grammar_states(parser, &states);
    }
    if (explain_for(b, &h, tok)) return;
    if (explain_within(b, &h, tok, &states)) return;
    if (explain_place(b, &h, tok)) return;
    if (explain_hard_word(b, tok, &states)) return;
    explain_rest(b, &h, tok, &states);
}

void mp_explain_depth(struct mp_build *b, struct mp_span span)
{
    /* Once an item: what is cut off is followed by more of the same. */
    if (b->foreign) return;
    b->foreign = true;
    struct mp_diag *d = mp_diag_add(b->diags, MP_DIAG_E0100, span, "this is nested too deeply");
    mp_diag_note(d, "at most %d levels", MP_AST_DEPTH_MAX);
    mp_diag_help(d, "give a part a name with `def`, or write a long `or` as `in` a list");
}

/* ---- what is no token ---- */

struct foreign_row {
    mp_str written;
    int token;
    const char *meant;
};

static const struct foreign_row foreigns[] = {
    {MP_STR_INIT("&&"), T_AND, "and"},  {MP_STR_INIT("||"), T_OR, "or"},
    {MP_STR_INIT("!"), T_NOT, "not "},  {MP_STR_INIT("=>"), T_CMP, ">="},
    {MP_STR_INIT("=<"), T_CMP, "<="},   {MP_STR_INIT("<>"), T_CMP, "!="},
    {MP_STR_INIT("==="), T_CMP, "=="},  {MP_STR_INIT("!=="), T_CMP, "!="},
    {MP_STR_INIT(";"), 0, ""},
};

static void explain_other_language(struct mp_build *b, struct mp_tok tok, int *repaired)
{
    mp_str text = mp_build_text(b, tok);
    struct mp_span span = mp_build_tok(b, tok);
    if (mp_str_starts(text, MP_STR("//"))) {
        span.to = span.from + 2;
        struct mp_diag *d = mp_diag_add(b->diags, b->code, span, "a comment begins with `#`");
        mp_diag_fix(d, span, MP_STR("#"), "`#`");
        return;
    }
    for (size_t i = 0; i < sizeof foreigns / sizeof *foreigns; i++) {
        if (!mp_str_eq(foreigns[i].written, text)) continue;
        struct mp_diag *d = mp_diag_add(b->diags, b->code, span, "unexpected `%.*s`",
                                        MP_STR_ARG(text));
        mp_str meant = mp_str_of(foreigns[i].meant);
        if (meant.len == 0) {
            mp_diag_fix(d, span, meant, "nothing ends with a semicolon");
        } else {
            mp_diag_fix(d, span, meant, "`%.*s`", meant.len > 3 ? 3 : (int)meant.len, meant.ptr);
        }
        *repaired = foreigns[i].token;
        return;
    }
}

static void explain_character(struct mp_build *b, struct mp_tok tok)
{
    bool goes_on = tok.from == b->garbage_to && tok.from > 0;
    b->garbage_to = tok.to;
    b->foreign = true;
    mp_str text = mp_build_text(b, tok);
    /* bad bytes were reported before */
    if (goes_on || text.len == 0 || mp_str_utf8(text, 0) == 0) return;
    unsigned char c = (unsigned char)text.ptr[0];
    struct mp_span span = mp_build_tok(b, tok);
    if (c < 0x20 || c == 0x7f) {
        mp_diag_add(b->diags, b->code, span, "a control character (0x%02x)", c);
        return;
    }
    if (c == '`') {
        struct mp_diag *d = mp_diag_add(b->diags, b->code, span,
                                        "a backquote without its other half");
        mp_diag_help(d, "between backquotes stands one name");
        return;
    }
    struct mp_diag *d = mp_diag_add(b->diags, b->code, span, "unexpected `%.*s`", MP_STR_ARG(text));
    if (c == '%') mp_diag_help(d, "a percent is written without a blank: `5%%`");
    if (c >= 0x80) mp_diag_help(d, "names are made of the letters A to Z, digits and `_`");
}

void mp_explain_foreign(struct mp_build *b, struct mp_tok tok, int *repaired)
{
    struct mp_span span = mp_build_tok(b, tok);
    struct mp_diag *d;
    switch (tok.kind) {
    case MP_LEX_BAD_NUMBER:
        *repaired = mp_literal_repair(b, tok);
        if (*repaired != 0) return;
        *repaired = T_INT;
        b->foreign = true;
        return;
    case MP_LEX_OPEN_STRING:
        *repaired = T_STRING;
        b->foreign = true;
        span.to = span.from + 1;
        d = mp_diag_add(b->diags, b->code, span, "a string that is not closed");
        mp_diag_label(d, span, "no %c follows on this line", b->text.ptr[tok.from]);
        return;
    case MP_LEX_FOREIGN: explain_other_language(b, tok, repaired); return;
    default: explain_character(b, tok); return;
    }
}

/* ---- bytes ---- */

static bool is_plain(mp_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if ((unsigned char)text.ptr[i] >= 0x80 || text.ptr[i] == 0) return false;
    }
    return true;
}

bool mp_explain_bytes(struct mp_build *b)
{
    struct mp_span whole = {b->source->id, 0, 0};
    if (b->text.len > MP_SOURCE_BYTES_MAX) {
        mp_diag_add(b->diags, MP_DIAG_E0100, whole, "a file of %zu bytes; the most is %u",
                    b->text.len,
                    MP_SOURCE_BYTES_MAX);
        return false;
    }
    if (is_plain(b->text)) return true;
    size_t run = 0; /* bad bytes so far */
    for (size_t at = 0; at <= b->text.len;) {
        size_t len = at < b->text.len ? mp_str_utf8(b->text, at) : 1;
        if (len == 0) {
            run++;
            at++;
            continue;
        }
        if (run > 0) {
            struct mp_span span = {b->source->id, (uint32_t)(at - run), (uint32_t)at};
            mp_diag_add(b->diags, MP_DIAG_E0100, span, "bytes that are no UTF-8");
            run = 0;
        }
        if (at < b->text.len && b->text.ptr[at] == 0) {
            struct mp_span span = {b->source->id, (uint32_t)at, (uint32_t)at + 1};
            mp_diag_add(b->diags, MP_DIAG_E0100, span, "a NUL byte: this is no text");
            return false;
        }
        at += len;
    }
    return true;
}
