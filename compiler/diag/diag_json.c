/* SPDX-License-Identifier: Apache-2.0 */
#include "diag/diag.h"

#include "base/quote.h"

static const char *const severity_words[] = {"error", "warning", "info"};

static void put_place(struct mp_buf *out, const struct mp_sources *sources, struct mp_span span)
{
    const struct mp_source *s = mp_source_of(sources, span);
    struct mp_position from = {0, 0}, to = {0, 0};
    if (s != NULL) {
        from = mp_source_position(s, span.from);
        to = mp_source_position(s, span.to);
    }
    mp_buf_puts(out, "\"file\":");
    mp_quote(out, s == NULL ? MP_STR("") : s->name);
    mp_buf_printf(out, ",\"line\":%u,\"column\":%u,\"end_line\":%u,\"end_column\":%u", from.line,
                  from.column, to.line, to.column);
}

static void put_labels(struct mp_buf *out, const struct mp_sources *sources,
                       const struct mp_diag *d)
{
    mp_buf_puts(out, ",\"labels\":[");
    for (uint32_t i = 0; i < d->labels.len; i++) {
        mp_buf_puts(out, i == 0 ? "{" : ",{");
        put_place(out, sources, d->labels.ptr[i].span);
        mp_buf_puts(out, ",\"message\":");
        mp_quote(out, d->labels.ptr[i].text);
        mp_buf_putc(out, '}');
    }
    mp_buf_putc(out, ']');
}

static void put_help(struct mp_buf *out, const struct mp_sources *sources,
                     const struct mp_diag_help *help)
{
    mp_buf_puts(out, "{\"message\":");
    mp_quote(out, help->text);
    mp_buf_puts(out, ",\"fix\":");
    if (!help->has_fix) {
        mp_buf_puts(out, "null}");
        return;
    }
    mp_buf_putc(out, '{');
    put_place(out, sources, help->span);
    mp_buf_printf(out, ",\"from\":%u,\"to\":%u,\"replacement\":", help->span.from, help->span.to);
    mp_quote(out, help->replacement);
    mp_buf_puts(out, "}}");
}

static void put_diag(struct mp_buf *out, const struct mp_sources *sources, const struct mp_diag *d)
{
    mp_buf_puts(out, "{\"code\":");
    mp_quote(out, mp_diag_row(d->code)->code);
    mp_buf_printf(out, ",\"severity\":\"%s\",\"message\":", severity_words[d->severity]);
    mp_quote(out, d->message);
    mp_buf_putc(out, ',');
    put_place(out, sources, d->span);
    put_labels(out, sources, d);
    mp_buf_puts(out, ",\"notes\":[");
    for (uint32_t i = 0; i < d->notes.len; i++) {
        if (i > 0) mp_buf_putc(out, ',');
        mp_quote(out, d->notes.ptr[i]);
    }
    mp_buf_puts(out, "],\"helps\":[");
    for (uint32_t i = 0; i < d->helps.len; i++) {
        if (i > 0) mp_buf_putc(out, ',');
        put_help(out, sources, &d->helps.ptr[i]);
    }
    mp_buf_puts(out, "]}");
}

void mp_diags_print_json(struct mp_diags *diags, const struct mp_sources *sources,
                         struct mp_buf *out)
{
    mp_diags_sort(diags);
    mp_buf_printf(out, "{\"version\":1,\"errors\":%u,\"warnings\":%u,\"diagnostics\":[",
                  diags->error_count, diags->warning_count);
    for (uint32_t i = 0; i < diags->all.len; i++) {
        mp_buf_puts(out, i == 0 ? "\n" : ",\n");
        put_diag(out, sources, diags->all.ptr[i]);
    }
    mp_buf_puts(out, "]}\n");
}
