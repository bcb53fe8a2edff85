/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "parse/parse.h"

static struct mp_arena arena;
static struct mp_sources sources;
static struct mp_diags diags;

static int begin(void **state)
{
    mp_arena_init(&arena, NULL, 0);
    mp_sources_init(&sources, &arena);
    mp_diags_init(&diags, &arena);
    return 0;
}

static int end(void **state)
{
    mp_arena_free(&arena);
    return 0;
}

static const struct mp_ast_file *parse_bytes(mp_str text)
{
    const struct mp_source *s;
    struct mp_ast_file *file = NULL;
    mp_diags_init(&diags, &arena);
    assert_int_equal(mp_sources_add(&sources, MP_STR("a.mpol"), text, &s), MP_OK);
    assert_int_equal(mp_parse(s, &arena, &diags, &file), MP_OK);
    mp_diags_sort(&diags);
    return file;
}

static const struct mp_ast_file *parse(const char *text) { return parse_bytes(mp_str_of(text)); }

/* The body of `def x = TEXT`. */
static const struct mp_ast_expr *parse_cond(const char *text)
{
    const struct mp_ast_file *f = parse(mp_arena_printf(&arena, "def x = %s", text).ptr);
    assert_int_equal(diags.all.len, 0);
    assert_int_equal(f->items.len, 1);
    return f->items.ptr[0]->u.def.body;
}

static void assert_error(uint32_t index, enum mp_diag_code code, uint32_t line, uint32_t column)
{
    assert_true(index < diags.all.len);
    const struct mp_diag *d = diags.all.ptr[index];
    struct mp_position p = mp_source_begin(&sources, d->span);
    assert_int_equal(d->code, code);
    assert_int_equal(p.line, line);
    assert_int_equal(p.column, column);
}

/* One error, and what its first label or help says. */
static void assert_only(enum mp_diag_code code, uint32_t line, uint32_t column, const char *says)
{
    assert_int_equal(diags.all.len, 1);
    assert_error(0, code, line, column);
    const struct mp_diag *d = diags.all.ptr[0];
    struct mp_buf all;
    mp_buf_init(&all, &arena);
    mp_buf_put(&all, d->message);
    for (uint32_t i = 0; i < d->labels.len; i++) mp_buf_put(&all, d->labels.ptr[i].text);
    for (uint32_t i = 0; i < d->helps.len; i++) mp_buf_put(&all, d->helps.ptr[i].text);
    mp_buf_putc(&all, '\0');
    if (strstr(all.ptr, says) == NULL) fail_msg("`%s` does not say `%s`", all.ptr, says);
}

/* ---- values ---- */

static void literals_are_rounded_once(void **state)
{
    assert_true(parse_cond("0.7%")->u.num.f == 7.0 / 1000.0);
    assert_true(parse_cond("0.7%")->u.num.f != 0.7 / 100.0);
    assert_true(parse_cond("100/min")->u.num.f == 100.0 / 60.0);
    assert_true(parse_cond("5k/min")->u.num.number == 5000.0);
    assert_int_equal(parse_cond("5k/min")->u.num.per_ns, 60000000000);
    assert_int_equal(parse_cond("1h30m")->u.num.i, 5400000000000);
    assert_int_equal(parse_cond("1.5KiB")->u.num.i, 1536);
    assert_int_equal(parse_cond("2M")->u.num.i, 2000000);
    assert_true(parse_cond("2.5x y")->u.num.f == 2.5);
    assert_int_equal(parse_cond("10.0.0.0/8")->u.addr.bits, 104);
    assert_int_equal(parse_cond("10.0.0.1")->u.addr.bytes[12], 10);
}

static void a_literal_out_of_range_is_E0102(void **state)
{
    static const char *const bad[] = {
        "9223372036854775808", "300.0.0.1", "10.0.0.0/33", "::/129", "1:2:3:4:5:6:7:8:9::",
        "400000w",
        "0.5B", "9000000000GiB", "0.1ns",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        parse(mp_arena_printf(&arena, "def x = %s", bad[i]).ptr);
        assert_int_equal(diags.all.len, 1);
        assert_error(0, MP_DIAG_E0102, 1, 9);
    }
    parse("calendar c = mon 08:00..24:01 in \"UTC\"");
    assert_only(MP_DIAG_E0102, 1, 25, "no time of day");
    parse("calendar c = mon 00:00..24:00 in \"UTC\"");
    assert_int_equal(diags.all.len, 0);
}

static void an_unknown_unit_offers_the_nearest(void **state)
{
    static const struct { const char *text, *help; } cases[] = {
        {"30sec", "`30s`"},      {"5mins", "`5m`"},     {"2hours", "`2h`"},    {"10mb", "`10MB`"},
        {"64Mib", "`64MiB`"},    {"5pct", "`5%`"},      {"100/sec", "`100/s`"},
        {"5/minute", "`5/min`"},
        {"1h30", "`1h30m`"},     {"10K", "`10k`"},      {"7qqq", "units are"},
        {"10MiB/sec", "`10MiB/s`"},
        {"250msec", "`250ms`"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        parse(mp_arena_printf(&arena, "def x = %s", cases[i].text).ptr);
        assert_only(MP_DIAG_E0102, 1, 9, cases[i].help);
    }
}

static void a_division_without_blanks_stays_one(void **state)
{
    assert_int_equal(parse_cond("100/x")->kind, MP_AST_DIV);
    assert_int_equal(parse_cond("100 / size")->kind, MP_AST_DIV);
    assert_int_equal(parse_cond("100/s")->kind, MP_AST_RATE);
}

/* ---- strings ---- */

static void a_string_has_pieces_with_places(void **state)
{
    const struct mp_ast_expr *e = parse_cond("\"a\\n{b.c} d\"");
    assert_int_equal(e->u.str.piece_count, 3);
    assert_true(mp_str_eq(e->u.str.pieces[0].text, MP_STR("a\n")));
    assert_int_equal(e->u.str.pieces[1].hole->kind, MP_AST_DOT);
    assert_int_equal(e->u.str.pieces[1].span.from, 13);
    assert_int_equal(e->u.str.pieces[1].hole->span.from, 13);
    assert_true(mp_str_eq(e->u.str.pieces[2].text, MP_STR(" d")));
}

static void a_string_in_single_quotes_is_as_it_stands(void **state)
{
    const struct mp_ast_expr *e = parse_cond("'a{2}\\d'");
    assert_int_equal(e->u.str.piece_count, 0);
    assert_true(mp_str_eq(e->u.str.value, MP_STR("a{2}\\d")));
}

static void a_bad_hole_is_E0109(void **state)
{
    parse("def x = \"a {b\"");
    assert_only(MP_DIAG_E0109, 1, 12, "no `}` follows");
    parse("def x = \"a {b c d} e\"");
    assert_only(MP_DIAG_E0109, 1, 15, "unexpected `c`");
    parse("def x = \"a {} e\"");
    assert_only(MP_DIAG_E0109, 1, 13, "ends too early");
    parse("def x = \"a {1 +} e\"");
    assert_only(MP_DIAG_E0109, 1, 16, "expected a value");
    parse("def x = \"{a # b}\"");
    assert_int_equal(diags.all.len, 0); /* a comment ends with its hole */
    parse("def x = \"{b} {5sec}\"");
    assert_only(MP_DIAG_E0102, 1, 15, "`5s`");
}

static void docs_and_titles_have_no_holes(void **state)
{
    const struct mp_ast_file *f = parse("rule r \"GET /{id}\" when a then b");
    assert_int_equal(diags.all.len, 0);
    assert_true(mp_str_eq(f->items.ptr[0]->u.rule.doc.text, MP_STR("GET /{id}")));
}

/* ---- errors ---- */

static void every_independent_error_of_a_file_is_reported(void **state)
{
    struct mp_buf text;
    mp_buf_init(&text, &arena);
    for (int i = 0; i < 50; i++) {
        mp_buf_printf(&text, "rule bad%d when x > > 5\n  then a\nrule good%d when x then a\n", i,
                      i);
    }
    const struct mp_ast_file *f = parse_bytes(mp_buf_view(&text));
    assert_int_equal(diags.all.len, 50);
    assert_int_equal(f->items.len, 50);
    assert_int_equal(f->broken.len, 50);
    assert_true(mp_str_eq(f->broken.ptr[7].text, MP_STR("bad7")));
    for (uint32_t i = 0; i < 50; i++) assert_error(i, MP_DIAG_E0100, 3 * i + 1, i < 10 ? 20 : 21);
}

static void an_item_that_is_cut_off_does_not_take_the_next_with_it(void **state)
{
    const struct mp_ast_file *f = parse("def x = f(a\ndef y = 3\nparam = 5\nrule r when a then b");
    assert_int_equal(diags.all.len, 2);
    assert_error(0, MP_DIAG_E0100, 2, 1);
    assert_error(1, MP_DIAG_E0100, 3, 7);
    assert_int_equal(f->items.len, 2);
    assert_true(mp_str_eq(f->items.ptr[0]->name.text, MP_STR("y")));
}

static void each_bad_line_of_a_test_is_reported(void **state)
{
    const struct mp_ast_file *f = parse("test \"x\" {\n  0s: a\n  1s: b = 1\n  expect\n    no = 5\n"
                                        "  given c == 4\n  expect d by 5s\n  bad\n}\ndef y = 1");
    assert_int_equal(diags.all.len, 4);
    assert_error(0, MP_DIAG_E0100, 3, 3);
    assert_error(1, MP_DIAG_E0100, 5, 8);
    assert_error(2, MP_DIAG_E0100, 6, 11);
    assert_error(3, MP_DIAG_E0100, 8, 3);
    assert_int_equal(f->items.len, 2);
    assert_int_equal(f->items.ptr[0]->u.test.line_count, 0);
}

static void for_inside_and_is_E0108_with_the_repair(void **state)
{
    parse("rule r\n  when a > 5 for 30s and b\n    or c per svc then d");
    assert_only(MP_DIAG_E0108, 2, 14, "`(a > 5 for 30s) and b or c`");
    const struct mp_diag_help *h = &diags.all.ptr[0]->helps.ptr[0];
    assert_true(h->has_fix);
    assert_true(mp_str_eq(h->replacement, MP_STR("(a > 5 for 30s)")));
    parse("rule r when x then y until (a for 5s or b)");
    assert_only(MP_DIAG_E0108, 1, 31, "followed by `or`");
}

static void a_missing_within_has_its_own_text(void **state)
{
    parse("rule r when a followed by b then deny client.ip");
    assert_only(MP_DIAG_E0110, 1, 28, "expected `within <duration>`");
    parse("rule r when a followed by no b then deny client.ip");
    assert_only(MP_DIAG_E0110, 1, 31, "expected `within <duration>`");
    parse("rule r when a then b verify c else d");
    assert_only(MP_DIAG_E0100, 1, 30, "a check without `within`");
    parse("rule r when a followed by b followed by c within 5m then d");
    assert_int_equal(diags.all.len, 0);
}

static void what_was_expected_is_said_in_words(void **state)
{
    parse("rule r when a the b");
    assert_only(MP_DIAG_E0100, 1, 15, "`then`");
    parse("rule when a then b");
    assert_only(MP_DIAG_E0100, 1, 6, "expected a name");
    parse("param x: int 5");
    assert_only(MP_DIAG_E0100, 1, 14, "`=`");
    parse("rule r when then b");
    assert_only(MP_DIAG_E0100, 1, 13, "expected a condition");
    parse("test \"x\" {\n  5s: a = 1\n");
    assert_only(MP_DIAG_E0100, 2, 12, "`}`");
    parse("hello world");
    assert_only(MP_DIAG_E0100, 1, 1, "a new declaration or rule");
    parse("rule r when a then b cooldown cooldown");
    assert_only(MP_DIAG_E0100, 1, 31, "in backquotes");
}

static void words_of_other_languages_are_translated(void **state)
{
    static const struct { const char *text, *help; } cases[] = {
        {"a && b", "`and`"}, {"a || b", "`or`"}, {"!a", "`not`"}, {"a => b", "`>=`"},
        {"a <> b", "`!=`"},
        {"a; ", "semicolon"}, {"a // b", "`#`"}, {"5 % ", "without a blank"}, {"a === b", "`==`"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        parse(mp_arena_printf(&arena, "def x = %s", cases[i].text).ptr);
        assert_int_equal(diags.all.len, 1);
        const struct mp_diag *d = diags.all.ptr[0];
        assert_int_equal(d->code, MP_DIAG_E0100);
        assert_true(mp_str_contains(d->helps.ptr[0].text, mp_str_of(cases[i].help)));
    }
}

static void text_that_is_no_text_is_refused_once_a_run(void **state)
{
    parse_bytes(MP_STR("# \xff\xfe\xfd \xc3\ndef x = 5"));
    assert_int_equal(diags.all.len, 2);
    const struct mp_ast_file *f = parse_bytes(MP_STR("def x = 5\n\0def y = 6"));
    assert_only(MP_DIAG_E0100, 2, 1, "NUL");
    assert_int_equal(f->items.len, 0);
    parse("def x = \"abc\ndef y = 5");
    assert_only(MP_DIAG_E0100, 1, 9, "not closed");
    parse("def x = \xc3\xa4 + \xc3\xa4");
    assert_int_equal(diags.all.len, 2);
}

static void ten_mebibytes_are_the_most(void **state)
{
    size_t size = MP_SOURCE_BYTES_MAX + 1;
    char *text = mp_arena_alloc(&arena, size, 1);
    memset(text, ' ', size);
    parse_bytes((mp_str){text, size});
    assert_only(MP_DIAG_E0100, 1, 1, "bytes; the most is");
    parse_bytes((mp_str){text, size - 1});
    assert_int_equal(diags.all.len, 0);
}

/* head, then `open` n times, middle, `close` n times */
static mp_str repeated(const char *head, const char *open, const char *middle, const char *close,
                       int n)
{
    struct mp_buf b;
    mp_buf_init(&b, &arena);
    mp_buf_puts(&b, head);
    for (int i = 0; i < n; i++) mp_buf_puts(&b, open);
    mp_buf_puts(&b, middle);
    for (int i = 0; i < n; i++) mp_buf_puts(&b, close);
    return mp_buf_view(&b);
}

static void deep_nesting_is_refused_not_followed(void **state)
{
    static const struct { const char *open, *middle, *close; } shapes[] = {
        {"(", "x", ")"},      {"not ", "x", ""},     {"- ", "x", ""},        {"3x ", "x", ""},
        {"", "x", " and x"},  {"", "x", " + x"},     {"", "x", ".y"},        {"", "x", " over 5m"},
        {"f(", "x", ")"},     {"[", "x", "]"},       {"x[", "1", "]"},
        {"f(a where ", "x", ")"},
        {"a and (", "x", ")"}, {"(", "x", " for 5s)"}, {"", "x", "[1]"},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        for (int n = 150; n < 40000; n *= 16) {
            mp_str text = repeated("def x = ", shapes[i].open, shapes[i].middle, shapes[i].close,
                                   n);
            struct mp_buf b;
            mp_buf_init(&b, &arena);
            mp_buf_put(&b, text);
            mp_buf_puts(&b, "\ndef after = 1");
            const struct mp_ast_file *f = parse_bytes(mp_buf_view(&b));
            bool deep = n > 150 && !(i == 0 && n < 900);
            if (deep) assert_int_equal(diags.all.len, 1);
            mp_str message = deep ? diags.all.ptr[0]->message : MP_STR("nested too deeply");
            assert_true(mp_str_contains(message, MP_STR("nested too deeply")));
            if (n == 150) assert_int_equal(diags.all.len, 0);
            assert_true(mp_str_eq((*MP_VEC_LAST(&f->items))->name.text, MP_STR("after")));
        }
    }
}

static void long_lists_are_no_nesting(void **state)
{
    const struct mp_ast_file *f = parse_bytes(repeated("list l = [", "10.0.0.1, ", "", "", 20000));
    assert_int_equal(diags.all.len, 1); /* the bracket */
    f = parse_bytes(repeated("list l = [", "10.0.0.1, ", "] #", "x", 20000));
    assert_int_equal(diags.all.len, 0);
    assert_int_equal(f->items.ptr[0]->u.list.count, 20000);
}

/* ---- words ---- */

static void hard_words_are_names_only_in_backquotes(void **state)
{
    static const char *const words[] = {
        "when", "then", "else", "rule", "never", "prove", "test", "param", "let", "def", "list",
        "feed",
        "use", "package", "signal", "entity", "action", "calendar", "and", "or", "not", "in", "is",
        "for",
        "per", "over", "of", "where", "verify", "within", "until", "unless", "if", "to", "on",
        "from",
        "with", "via", "at", "by", "before", "ever", "more", "cooldown", "limit", "ramp", "true",
        "false",
        "mpol", "version", "as", "mode", "priority", "during", "followed", "no", "data", "settle",
        "than",
        "given", "emit", "absent", "expect", "refresh", "expire", "max", "signed", "every",
        "lateness",
        "set", "enum", "default", "class", "strength", "blinds", "reversible", "irreversible",
        "starts",
        "ends", "contains", "like", "matches", "map", "harm", "end",
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        parse(mp_arena_printf(&arena, "def %s = 1", words[i]).ptr);
        assert_int_equal(diags.all.len == 0, !mp_ast_is_hard_word(mp_str_of(words[i])));
        const struct mp_ast_file *f = parse(mp_arena_printf(&arena, "def `%s` = `%s`", words[i],
                                                            words[i]).ptr);
        assert_int_equal(diags.all.len, 0);
        assert_true(mp_str_eq(f->items.ptr[0]->name.text, mp_str_of(words[i])));
    }
    assert_false(mp_ast_is_hard_word(MP_STR("whenever")));
}

static void comments_and_empty_lines_are_kept_apart(void **state)
{
    const struct mp_ast_file *f = parse("# a\n\n\ndef x = 1 # b\n# c");
    assert_int_equal(f->trivia.len, 4);
    assert_int_equal(f->trivia.ptr[0].kind, MP_AST_COMMENT);
    assert_int_equal(f->trivia.ptr[1].kind, MP_AST_BLANK);
    assert_int_equal(f->trivia.ptr[2].from, 16);
    assert_int_equal(f->trivia.ptr[3].to, 23);
}

/* ---- one condition ---- */

static void a_condition_alone_can_be_parsed(void **state)
{
    const struct mp_source *s;
    struct mp_ast_expr *e = NULL;
    assert_int_equal(mp_sources_add(&sources, MP_STR("w"), MP_STR("xx a > 5 yy"), &s), MP_OK);
    mp_diags_init(&diags, &arena);
    assert_int_equal(mp_parse_expr(s, mp_span_of(s, 3, 8), MP_DIAG_E0100, &arena, &diags, &e),
                     MP_OK);
    assert_int_equal(e->kind, MP_AST_CMP);
    assert_int_equal(e->span.from, 3);
    assert_int_equal(e->span.to, 8);
    assert_int_equal(mp_parse_expr(s, mp_span_of(s, 3, 7), MP_DIAG_E0100, &arena, &diags, &e),
                     MP_OK);
    assert_null(e);
    assert_only(MP_DIAG_E0100, 1, 7, "too early");
}

/* ---- the canonical text ---- */

static void assert_prints(const char *text, const char *wanted)
{
    struct mp_buf out;
    mp_buf_init(&out, &arena);
    mp_ast_print_expr(&out, parse_cond(text));
    mp_buf_putc(&out, '\0');
    assert_string_equal(out.ptr, wanted);
}

static void canonical_text_has_only_the_parentheses_it_needs(void **state)
{
    assert_prints("((a))", "a");
    assert_prints("(a and b) or (c)", "(a and b) or c");
    assert_prints("(a and b) and c", "a and b and c");
    assert_prints("a and (b and c)", "a and (b and c)");
    assert_prints("a or (b or c)", "a or (b or c)");
    assert_prints("not (a or b)", "not (a or b)");
    assert_prints("not (a == b)", "not a == b");
    assert_prints("(not a) == b", "(not a) == b");
    assert_prints("a=b", "a == b");
    assert_prints("(1 + 2) * 3 - (4 - 5)", "(1 + 2) * 3 - (4 - 5)");
    assert_prints("1 + (2 * 3)", "1 + 2 * 3");
    assert_prints("(a of b).c", "(a of b).c");
    assert_prints("a of (b.c)", "a of b.c");
    assert_prints("(a for 90s)", "(a for 1m30s)");
    assert_prints("((a for 5s) and b)", "(a for 5s) and b");
    assert_prints("`when`.`rule` is `for`", "`when`.`rule` is `for`");
    assert_prints("a is not true", "a is not true");
    assert_prints("x not in (1)..2", "x not in 1..2");
    assert_prints("count( requests where  a )over 1m", "count(requests where a) over 1m");
    assert_prints("svc \"a\\\"b\".x", "svc \"a\\\"b\".x");
    assert_prints("- 3x (-y)", "-3x -y");
    assert_prints("[1,2 , ]", "[1, 2]");
    assert_prints("f(a where (b or c), d)", "f(a where b or c, d)");
}

static void the_canonical_when_does_not_depend_on_layout(void **state)
{
    static const char *const layouts[] = {
        "when ((a  > 5)) for 60s followed by b within 1m per svc,client.ip max 10k unless c then d",
        "rule r # x\n when a > 5 for 1m\n followed by\n (b) within 60s "
        "per svc, client.ip max 10000 then e",
    };
    for (size_t i = 0; i < 2; i++) {
        const struct mp_ast_file *f = parse(layouts[i]);
        struct mp_buf out;
        mp_buf_init(&out, &arena);
        mp_ast_print_when(&out, &f->items.ptr[0]->u.rule);
        mp_buf_putc(&out, '\0');
        assert_string_equal(out.ptr,
                            "a > 5 for 1m followed by b within 1m per svc, client.ip max 10000");
    }
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, begin, end)
    const struct CMUnitTest tests[] = {
        T(literals_are_rounded_once),
        T(a_literal_out_of_range_is_E0102),
        T(an_unknown_unit_offers_the_nearest),
        T(a_division_without_blanks_stays_one),
        T(a_string_has_pieces_with_places),
        T(a_string_in_single_quotes_is_as_it_stands),
        T(a_bad_hole_is_E0109),
        T(docs_and_titles_have_no_holes),
        T(every_independent_error_of_a_file_is_reported),
        T(an_item_that_is_cut_off_does_not_take_the_next_with_it),
        T(each_bad_line_of_a_test_is_reported),
        T(for_inside_and_is_E0108_with_the_repair),
        T(a_missing_within_has_its_own_text),
        T(what_was_expected_is_said_in_words),
        T(words_of_other_languages_are_translated),
        T(text_that_is_no_text_is_refused_once_a_run),
        T(ten_mebibytes_are_the_most),
        T(deep_nesting_is_refused_not_followed),
        T(long_lists_are_no_nesting),
        T(hard_words_are_names_only_in_backquotes),
        T(comments_and_empty_lines_are_kept_apart),
        T(a_condition_alone_can_be_parsed),
        T(canonical_text_has_only_the_parentheses_it_needs),
        T(the_canonical_when_does_not_depend_on_layout),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
