/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/verbs.h"

#include "base/quote.h"
#include "cli/test_run.h"

#define SHOWN_MAX 12 /* LIMIT: lines of a time line around a miss */

const struct cli_option cli_test_options[] = {
    {"format", "text|json|junit", "how the results are written"},
    {"include", "DIR", "-I DIR: a folder in which `use` looks for packages", true},
    {"stdin-filename", "NAME", "what messages call standard input"},
    {NULL, NULL, NULL},
};

enum { TEXT, JSON, JUNIT };

struct report {
    int format;
    bool color;
    uint32_t passed, failed;
    struct mp_arena *arena; /* of the test at hand */
};

/* ---- a failure in words ---- */

static const char *const when_words[] = {[MP_TWHEN_AT] = "at", [MP_TWHEN_BY] = "by",
                                         [MP_TWHEN_BEFORE] = "before", [MP_TWHEN_EVER] = "ever"};

static mp_str expectation(struct report *rep, const struct mp_program *p,
                          const struct mp_test_line_row *l)
{
    struct mp_buf b;
    mp_buf_init(&b, rep->arena);
    mp_str text = mp_program_text(p, l->text);
    if (text.len > 0) {
        mp_buf_put(&b, text);
    } else {
        mp_buf_printf(&b, "expect %s%.*s %s", l->negated ? "no " : "",
                      MP_STR_ARG(mp_program_text(p, l->verb)), when_words[l->when]);
    }
    return mp_buf_view(&b);
}

/* The lines of the time line next to the miss: some before it, some after it. */
static void time_line(struct mp_buf *b, const struct test_result *t, const struct test_miss *m)
{
    uint32_t at = 0;
    while (at < t->seen.len && t->seen.ptr[at].at_ns < m->near_ns) at++;
    uint32_t from = at > SHOWN_MAX / 2 ? at - SHOWN_MAX / 2 : 0;
    uint32_t to = from + SHOWN_MAX < t->seen.len ? from + SHOWN_MAX : t->seen.len;
    if (from > 0) mp_buf_printf(b, "        ... %u before\n", from);
    for (uint32_t i = from; i < to; i++) {
        mp_buf_puts(b, "        ");
        size_t before = b->len;
        test_time_text(b, t->seen.ptr[i].at_ns);
        do {
            mp_buf_putc(b, ' ');
        } while (b->len - before < 12);
        mp_buf_printf(b, "%.*s\n", MP_STR_ARG(t->seen.ptr[i].line));
    }
    if (to < t->seen.len) mp_buf_printf(b, "        ... %u after\n", t->seen.len - to);
    if (t->seen.len == 0) mp_buf_puts(b, "        (nothing happened)\n");
}

static void describe_miss(struct report *rep, struct mp_buf *b, const struct mp_program *p,
                          const struct test_result *t, const struct test_miss *m)
{
    const struct mp_test_line_row *l = &p->test_line[m->line];
    mp_buf_printf(b, "    %.*s:%u: %.*s\n", MP_STR_ARG(t->file), l->line,
                  MP_STR_ARG(expectation(rep, p, l)));
    if (m->nearest.len > 0) {
        mp_buf_printf(b, "      %s %.*s\n",
                      l->negated ? "but:    " : "nearest:", MP_STR_ARG(m->nearest));
    } else {
        mp_buf_puts(b, "      nothing of that kind happened\n");
    }
    time_line(b, t, m);
}

static mp_str describe(struct report *rep, const struct mp_program *p, const struct test_result *t)
{
    struct mp_buf b;
    mp_buf_init(&b, rep->arena);
    for (uint32_t i = 0; i < t->misses.len; i++) describe_miss(rep, &b, p, t, &t->misses.ptr[i]);
    return mp_buf_view(&b);
}

/* ---- formats ---- */

static void put_xml(mp_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        switch (c) {
        case '<': fputs("&lt;", stdout); break;
        case '>': fputs("&gt;", stdout); break;
        case '&': fputs("&amp;", stdout); break;
        case '"': fputs("&quot;", stdout); break;
        default: putchar(c < 0x20 && c != '\n' && c != '\t' ? ' ' : c);
        }
    }
}

static void put_json(struct report *rep, mp_str s)
{
    struct mp_buf b;
    mp_buf_init(&b, rep->arena);
    mp_quote(&b, s);
    fwrite(b.ptr, 1, b.len, stdout);
}

static void report_text(struct report *rep, const struct mp_program *p, const struct test_result *t)
{
    bool ok = t->misses.len == 0;
    const char *color = !rep->color ? "" : ok ? "\033[32m" : "\033[31m";
    printf("%s%s%s  %.*s  (%.*s:%u)\n", color, ok ? "ok  " : "FAIL", rep->color ? "\033[0m" : "",
           MP_STR_ARG(t->name), MP_STR_ARG(t->file), t->file_line);
    if (!ok) {
        mp_str text = describe(rep, p, t);
        if (text.len > 0) fwrite(text.ptr, 1, text.len, stdout);
    }
}

static void report_json(struct report *rep, const struct mp_program *p, const struct test_result *t)
{
    fputs(rep->passed + rep->failed == 0 ? "" : ",", stdout);
    fputs("\n{\"name\":", stdout);
    put_json(rep, t->name);
    fputs(",\"package\":", stdout);
    put_json(rep, t->package);
    fputs(",\"file\":", stdout);
    put_json(rep, t->file);
    printf(",\"line\":%u,\"passed\":%s,\"misses\":[", t->file_line,
           t->misses.len == 0 ? "true" : "false");
    for (uint32_t i = 0; i < t->misses.len; i++) {
        const struct mp_test_line_row *l = &p->test_line[t->misses.ptr[i].line];
        printf("%s{\"line\":%u,\"expected\":", i == 0 ? "" : ",", l->line);
        put_json(rep, expectation(rep, p, l));
        fputs(",\"nearest\":", stdout);
        put_json(rep, t->misses.ptr[i].nearest);
        fputs("}", stdout);
    }
    fputs("]}", stdout);
}

static void report_junit(struct report *rep, const struct mp_program *p,
                         const struct test_result *t)
{
    fputs("  <testcase classname=\"", stdout);
    put_xml(t->package.len > 0 ? t->package : t->file);
    fputs("\" name=\"", stdout);
    put_xml(t->name);
    fputs("\" file=\"", stdout);
    put_xml(t->file);
    printf("\" line=\"%u\"", t->file_line);
    if (t->misses.len == 0) {
        fputs("/>\n", stdout);
        return;
    }
    printf("><failure message=\"%u expectations were not met\">", t->misses.len);
    put_xml(describe(rep, p, t));
    fputs("</failure></testcase>\n", stdout);
}

static void report_test(struct report *rep, const struct mp_program *p, const struct test_result *t)
{
    static void (*const formats[])(struct report *, const struct mp_program *,
                                   const struct test_result *) = {
        [TEXT] = report_text, [JSON] = report_json, [JUNIT] = report_junit};
    formats[rep->format](rep, p, t);
    if (t->misses.len == 0) {
        rep->passed++;
    } else {
        rep->failed++;
    }
}

static void report_begin(struct report *rep, uint32_t tests)
{
    if (rep->format == JSON) fputs("{\"version\":1,\"tests\":[", stdout);
    if (rep->format == JUNIT) {
        printf(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"mpol\" tests=\"%u\">\n",
            tests);
    }
}

static void report_end(struct report *rep)
{
    if (rep->format == JSON) printf("],\"passed\":%u,\"failed\":%u}\n", rep->passed, rep->failed);
    if (rep->format == JUNIT) fputs("</testsuite>\n", stdout);
    if (rep->format == TEXT) printf("%u passed, %u failed\n", rep->passed, rep->failed);
}

/* ---- the verb ---- */

static int run_one(const struct cli_args *args, struct report *rep, mp_str image, uint32_t test)
{
    struct mp_arena arena;
    struct mp_program *program = NULL;
    struct test_result result;
    mp_arena_init(&arena, NULL, 0);
    rep->arena = &arena;
    enum mp_err err = test_run(image, cli_world_open(), test, &arena, &program, &result);
    if (err == MP_OK) report_test(rep, program, &result);
    mp_program_free(program);
    mp_arena_free(&arena);
    return err == MP_OK ? CLI_OK : cli_complain(args, "%s", mp_err_text(err));
}

static int run_all(const struct cli_args *args, struct report *rep, const struct mp_program *p,
                   mp_str image)
{
    report_begin(rep, p->test_count);
    for (uint32_t i = 0; i < p->test_count; i++) {
        int code = run_one(args, rep, image, i);
        if (code != CLI_OK) return code;
    }
    report_end(rep);
    return rep->failed > 0 ? CLI_FINDINGS : CLI_OK;
}

int cli_test(const struct cli_args *args)
{
    static const char *const formats[] = {"text", "json", "junit", NULL};
    struct report rep = {.format = cli_choice(args, "format", formats),
                         .color = cli_colour(args, stdout)};
    if (rep.format < 0) return CLI_USAGE;
    struct cli_policies p;
    struct mp_program *program = NULL;
    int code = cli_load(args, 0, true, &p, &program);
    if (code == CLI_OK && program->test_count == 0) {
        code = cli_complain(args, "there is no test in these files");
    } else if (code == CLI_OK) {
        code = run_all(args, &rep, program, mp_compilation_image(p.compilation));
    }
    mp_program_free(program);
    cli_policies_free(&p);
    return code;
}
