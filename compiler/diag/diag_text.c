/* SPDX-License-Identifier: Apache-2.0
 * Diagnostics as a person reads them: the place, the line, what is underlined and why.
 */
#include "diag/diag.h"

/* LIMIT: labels shown for one line, lines shown for one diagnostic, columns shown of one line; the
 * rest is in the JSON form. */
#define MARKS_MAX 8
#define LINES_MAX 8
#define COLUMNS_MAX 160

struct color {
    const char *error, *warning, *info, *bold, *gutter, *off;
};

static const struct color plain = {"", "", "", "", "", ""};
static const struct color bright = {"\033[1;31m", "\033[1;33m", "\033[1;36m",
                                    "\033[1m",    "\033[1;34m", "\033[0m"};

/* What is underlined in one line: columns [from, to), from 0. */
struct mark {
    uint32_t from, to;
    bool primary;
    mp_str text;
};

struct view {
    struct mp_buf *out;
    const struct mp_sources *sources;
    const struct color *color;
    uint32_t gutter; /* digits of the largest line number */
};

/* A line that is shown. */
struct shown {
    const struct mp_source *source;
    uint32_t line;
    struct mark marks[MARKS_MAX];
    uint32_t mark_count;
};

static const char *severity_word(enum mp_severity s)
{
    static const char *const words[] = {"error", "warning", "info"};
    return words[s];
}

static const char *severity_color(const struct view *v, enum mp_severity s)
{
    return s == MP_SEV_ERROR ? v->color->error : s == MP_SEV_WARNING ? v->color->warning
                                                                     : v->color->info;
}

static void pad(struct mp_buf *out, uint32_t count, char c)
{
    for (uint32_t i = 0; i < count; i++) mp_buf_putc(out, c);
}

static void gutter(const struct view *v, const char *text)
{
    mp_buf_puts(v->out, v->color->gutter);
    pad(v->out, v->gutter + 1, ' ');
    mp_buf_printf(v->out, "%s%s", text, v->color->off);
}

/* ---- which lines ---- */

static void add_mark(struct shown *lines, uint32_t *count, const struct mp_sources *sources,
                     struct mp_span span, bool primary, mp_str text)
{
    const struct mp_source *s = mp_source_of(sources, span);
    if (s == NULL) return;
    struct mp_position from = mp_source_position(s, span.from), to = mp_source_position(s, span.to);
    uint32_t line_end = mp_source_code_points(mp_source_line(s, from.line));
    struct mark mark = {from.column - 1, to.column - 1, primary, text};
    if (to.line != from.line) mark.to = line_end;
    if (mark.to <= mark.from) mark.to = mark.from + 1;
    uint32_t at = 0;
    while (at < *count && !(lines[at].source == s && lines[at].line == from.line)) at++;
    if (at == LINES_MAX) return;
    if (at == *count) {
        *count += 1;
        lines[at] = (struct shown){.source = s, .line = from.line};
    }
    if (lines[at].mark_count < MARKS_MAX) lines[at].marks[lines[at].mark_count++] = mark;
}

static bool comes_after(const struct shown *a, const struct shown *b, const struct mp_source *first)
{
    if (a->source != b->source) {
        if (a->source == first || b->source == first) return b->source == first;
        return a->source->id > b->source->id;
    }
    return a->line > b->line;
}

static void sort_lines(struct shown *lines, uint32_t count, const struct mp_source *first)
{
    for (uint32_t i = 1; i < count; i++) {
        for (uint32_t j = i; j > 0 && comes_after(&lines[j - 1], &lines[j], first); j--) {
            struct shown swap = lines[j];
            lines[j] = lines[j - 1];
            lines[j - 1] = swap;
        }
    }
}

static void sort_marks(struct shown *line)
{
    for (uint32_t i = 1; i < line->mark_count; i++) {
        for (uint32_t j = i; j > 0 && line->marks[j - 1].from > line->marks[j].from; j--) {
            struct mark swap = line->marks[j];
            line->marks[j] = line->marks[j - 1];
            line->marks[j - 1] = swap;
        }
    }
}

static uint32_t gather(const struct mp_diag *d, const struct mp_sources *sources,
                       struct shown *lines)
{
    uint32_t count = 0;
    bool labelled = false;
    for (uint32_t i = 0; i < d->labels.len; i++) {
        if (mp_span_eq(d->labels.ptr[i].span, d->span)) labelled = true;
    }
    if (!labelled) add_mark(lines, &count, sources, d->span, true, MP_STR(""));
    for (uint32_t i = 0; i < d->labels.len; i++) {
        const struct mp_diag_label *l = &d->labels.ptr[i];
        add_mark(lines, &count, sources, l->span, mp_span_eq(l->span, d->span), l->text);
    }
    sort_lines(lines, count, mp_source_of(sources, d->span));
    for (uint32_t i = 0; i < count; i++) sort_marks(&lines[i]);
    return count;
}

/* ---- one line with its marks ---- */

/* Tabs become one blank, so that columns stay columns; bytes that would move a terminal become
 * `?`. */
static void put_source(const struct view *v, mp_str line)
{
    uint32_t columns = 0;
    for (size_t at = 0; at < line.len; columns++) {
        if (columns == COLUMNS_MAX) {
            mp_buf_puts(v->out, " ...");
            return;
        }
        size_t len = mp_str_utf8(line, at);
        unsigned char c = (unsigned char)line.ptr[at];
        if (len == 0 || (len == 1 && (c < 0x20 || c == 0x7f))) {
            mp_buf_putc(v->out, c == '\t' ? ' ' : '?');
        } else {
            mp_buf_put(v->out, mp_str_sub(line, at, len));
        }
        at += len == 0 ? 1 : len;
    }
}

static uint32_t clipped(uint32_t column) { return column < COLUMNS_MAX ? column : COLUMNS_MAX; }

/* The row of carets, with the text of the last mark behind it. */
static void put_carets(const struct view *v, const struct shown *line, const char *primary)
{
    gutter(v, "| ");
    uint32_t column = 0;
    for (uint32_t i = 0; i < line->mark_count; i++) {
        const struct mark *m = &line->marks[i];
        uint32_t from = clipped(m->from), to = clipped(m->to);
        if (to == from) to++;
        if (from < column) from = column;
        if (to <= from) continue;
        pad(v->out, from - column, ' ');
        mp_buf_puts(v->out, m->primary ? primary : v->color->gutter);
        pad(v->out, to - from, m->primary ? '^' : '-');
        mp_buf_puts(v->out, v->color->off);
        column = to;
    }
}

/* Below the carets: for each of the first `count` marks a bar, or in its place the text of mark
 * `said`. */
static void put_bars(const struct view *v, const struct shown *line, uint32_t count, bool say)
{
    gutter(v, "| ");
    uint32_t column = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct mark *m = &line->marks[i];
        uint32_t from = clipped(m->from);
        if (m->text.len == 0 || from < column) continue;
        pad(v->out, from - column, ' ');
        column = from;
        if (say && i + 1 == count) {
            mp_buf_put(v->out, m->text);
        } else {
            mp_buf_printf(v->out, "%s|%s", v->color->gutter, v->color->off);
            column++;
        }
    }
    mp_buf_putc(v->out, '\n');
}

static void put_line(const struct view *v, const struct shown *line, const char *primary)
{
    mp_buf_printf(v->out, "%s%*u |%s ", v->color->gutter, (int)v->gutter, line->line,
                  v->color->off);
    put_source(v, mp_source_line(line->source, line->line));
    mp_buf_putc(v->out, '\n');
    put_carets(v, line, primary);
    uint32_t count = line->mark_count;
    const struct mark *last = &line->marks[count - 1];
    if (last->text.len > 0) mp_buf_putc(v->out, ' ');
    mp_buf_put(v->out, last->text);
    mp_buf_putc(v->out, '\n');
    for (count--; count > 0; count--) {
        if (line->marks[count - 1].text.len == 0) continue;
        put_bars(v, line, count, false);
        put_bars(v, line, count, true);
    }
}

/* ---- one diagnostic ---- */

static void put_arrow(const struct view *v, const char *arrow, const struct mp_source *s,
                      struct mp_position at)
{
    mp_buf_printf(v->out, "  %s%s%s %.*s:%u:%u\n", v->color->gutter, arrow, v->color->off,
                  MP_STR_ARG(s->name), at.line, at.column);
}

static void put_lines(struct view *v, const struct mp_diag *d)
{
    struct shown lines[LINES_MAX];
    uint32_t count = gather(d, v->sources, lines), largest = 1;
    for (uint32_t i = 0; i < count; i++) {
        if (lines[i].line > largest) largest = lines[i].line;
    }
    v->gutter = 1;
    for (uint32_t n = largest; n >= 10; n /= 10) v->gutter++;
    const struct mp_source *s = mp_source_of(v->sources, d->span);
    if (s == NULL) return;
    put_arrow(v, "-->", s, mp_source_position(s, d->span.from));
    gutter(v, "|\n");
    for (uint32_t i = 0; i < count; i++) {
        if (lines[i].source != s) {
            s = lines[i].source;
            put_arrow(v, ":::", s, (struct mp_position){lines[i].line, lines[i].marks[0].from + 1});
            gutter(v, "|\n");
        } else if (i > 0 && lines[i].line > lines[i - 1].line + 1) {
            mp_buf_printf(v->out, "%s...%s\n", v->color->gutter, v->color->off);
        }
        put_line(v, &lines[i], severity_color(v, d->severity));
    }
}

static void put_remark(const struct view *v, const char *kind, mp_str text)
{
    gutter(v, "= ");
    mp_buf_printf(v->out, "%s: %.*s\n", kind, MP_STR_ARG(text));
}

static void put_diag(struct view *v, const struct mp_diag *d)
{
    v->gutter = 1;
    mp_buf_printf(v->out, "%s%s[%.*s]%s%s: %.*s%s\n", severity_color(v, d->severity),
                  severity_word(d->severity), MP_STR_ARG(mp_diag_row(d->code)->code), v->color->off,
                  v->color->bold, MP_STR_ARG(d->message), v->color->off);
    put_lines(v, d);
    for (uint32_t i = 0; i < d->notes.len; i++) put_remark(v, "note", d->notes.ptr[i]);
    for (uint32_t i = 0; i < d->helps.len; i++) put_remark(v, "help", d->helps.ptr[i].text);
}

void mp_diags_print_text(struct mp_diags *diags, const struct mp_sources *sources,
                         struct mp_diag_style style, struct mp_buf *out)
{
    mp_diags_sort(diags);
    struct view v = {out, sources, style.color ? &bright : &plain, 1};
    uint32_t shown = diags->all.len;
    if (style.limit != 0 && shown > style.limit) shown = style.limit;
    for (uint32_t i = 0; i < shown; i++) {
        put_diag(&v, diags->all.ptr[i]);
        mp_buf_putc(out, '\n');
    }
    if (shown < diags->all.len) {
        mp_buf_printf(out, "%u more are not shown\n", diags->all.len - shown);
    }
}
