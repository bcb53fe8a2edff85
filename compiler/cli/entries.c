/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/entries.h"

#include <inttypes.h>

#include "base/date.h"
#include "base/quote.h"

#define DIM "\033[2m"
#define BOLD "\033[1m"
#define PLAIN "\033[0m"

/* States that a reader looks for, in the colour of what they mean. */
static const struct {
    const char *state, *color;
} state_colors[] = {
    {"confirmed", "\033[32m"}, {"released", "\033[32m"},     {"effective", "\033[32m"},
    {"failed", "\033[31m"},    {"harmful", "\033[31m"},      {"rolled_back", "\033[33m"},
    {"withheld", "\033[33m"},  {"inconclusive", "\033[33m"}, {"stuck", "\033[31m"},
};

static const char *color_of(const struct cli_entry_style *style, mp_str state)
{
    for (size_t i = 0; style->color && i < sizeof state_colors / sizeof state_colors[0]; i++) {
        if (mp_str_eq(state, mp_str_of(state_colors[i].state))) return state_colors[i].color;
    }
    return "";
}

void cli_put_text(FILE *out, mp_str text)
{
    size_t plain = 0;
    for (size_t at = 0; at < text.len;) {
        size_t len = mp_str_control(text, at);
        if (len > 0) {
            fwrite(text.ptr + plain, 1, at - plain, out);
            fputc('?', out);
            plain = at + len;
        }
        at += len > 0 ? len : 1;
    }
    if (plain < text.len) fwrite(text.ptr + plain, 1, text.len - plain, out);
}

static void put_spaced(FILE *out, const char *before, mp_str text)
{
    fputs(before, out);
    cli_put_text(out, text);
}

static void print_notes(FILE *out, const struct mp_note *notes, uint32_t count, const char *before)
{
    for (uint32_t i = 0; i < count; i++) {
        put_spaced(out, i == 0 ? before : " ", notes[i].name);
        put_spaced(out, "=", notes[i].value);
    }
}

void cli_print_entry(FILE *out, const struct cli_entry_style *style, const struct mp_entry *entry,
                     mp_str json)
{
    if (style->json) {
        fprintf(out, "%.*s\n", MP_STR_ARG(json));
        return;
    }
    char time[MP_DATE_TEXT];
    mp_date_text(entry->time_ns, time);
    fprintf(out, "%s%.*s%s  %.*s ", style->color ? DIM : "", (int)sizeof time, time,
            style->color ? PLAIN : "", MP_STR_ARG(entry->rule));
    cli_put_text(out, entry->key);
    if (entry->incident != 0) fprintf(out, " #%" PRIu64, entry->incident);
    if (entry->shadow) fputs(" (shadow)", out);
    if (entry->machine == MP_MACHINE_LEASE) {
        put_spaced(out, "  ", entry->verb);
        put_spaced(out, " ", entry->target);
        print_notes(out, entry->args, entry->arg_count, " ");
    }
    fprintf(out, "  %.*s → %s%.*s%s", MP_STR_ARG(entry->from), color_of(style, entry->to),
            MP_STR_ARG(entry->to), style->color ? PLAIN : "");
    if (entry->why.len > 0) {
        put_spaced(out, "  (", entry->why);
        fputc(')', out);
    }
    print_notes(out, entry->cause, entry->cause_count, "  ");
    fputc('\n', out);
}

/* ---- JSON ---- */

static void print_string(FILE *out, mp_str text)
{
    struct mp_arena arena;
    struct mp_buf buf;
    mp_arena_init(&arena, NULL, 0);
    mp_buf_init(&buf, &arena);
    mp_quote(&buf, text);
    fwrite(buf.ptr, 1, buf.len, out);
    mp_arena_free(&arena);
}

static void print_member(FILE *out, const char *name, mp_str text)
{
    fprintf(out, ",\"%s\":", name);
    print_string(out, text);
}

void cli_print_message(FILE *out, const struct cli_entry_style *style, const struct mp_message *m)
{
    char time[MP_DATE_TEXT];
    mp_date_text(m->time_ns, time);
    if (!style->json) {
        fprintf(out, "%s%.*s%s  %.*s ", style->color ? DIM : "", (int)sizeof time, time,
                style->color ? PLAIN : "", MP_STR_ARG(m->rule_name));
        cli_put_text(out, m->key);
        fprintf(out, "  %s%.*s%s", style->color ? BOLD : "", MP_STR_ARG(m->verb),
                style->color ? PLAIN : "");
        if (m->channel.len > 0) put_spaced(out, " via ", m->channel);
        put_spaced(out, ": ", m->text);
        fputc('\n', out);
        return;
    }
    fprintf(out, "{\"message\":{\"id\":%" PRIu64 ",\"time\":\"%.*s\",\"incident\":%" PRIu64, m->id,
            (int)sizeof time, time, m->incident);
    print_member(out, "rule", m->rule_name);
    print_member(out, "key", m->key);
    print_member(out, "verb", m->verb);
    print_member(out, "channel", m->channel);
    print_member(out, "text", m->text);
    fputs("}}\n", out);
}

/* A rule is shown by its bare name, with its package where another rule has that name too. */
static mp_str shown_name(const struct mp_program *p, uint32_t rule, struct mp_arena *arena)
{
    mp_str name = mp_program_text(p, p->rule[rule].name);
    mp_str package = mp_program_text(p, p->rule[rule].package);
    bool alone = true;
    for (uint32_t i = 0; alone && i < p->rule_count; i++) {
        alone = i == rule || !mp_str_eq(mp_program_text(p, p->rule[i].name), name);
    }
    if (alone || package.len == 0) return name;
    mp_str full = mp_arena_printf(arena, "%.*s.%.*s", MP_STR_ARG(package), MP_STR_ARG(name));
    return full.ptr != NULL ? full : name;
}

static void print_summary_json(FILE *out, const struct mp_engine *engine,
                               const struct cli_summary *summary)
{
    const struct mp_program *p = mp_engine_program(engine);
    struct mp_arena arena;
    mp_arena_init(&arena, NULL, 0);
    fprintf(out,
            "{\"summary\":{\"records\":%" PRIu64 ",\"bad_lines\":%" PRIu64 ",\"late\":%" PRIu64
            ",\"rules\":{",
            summary->records, summary->bad_lines, summary->late);
    for (uint32_t i = 0; i < p->rule_count; i++) {
        struct mp_rule_counts counts = mp_engine_rule_counts(engine, i);
        if (i > 0) fputc(',', out);
        print_string(out, shown_name(p, i, &arena));
        fprintf(out, ":{\"matched\":%" PRIu64 ",\"false\":%" PRIu64 ",\"unknown\":%" PRIu64 "}",
                counts.matched, counts.false_, counts.unknown);
    }
    fprintf(out,
            "},\"unread_lines\":%" PRIu64 ",\"unread_fields\":%" PRIu64 ",\"bad_values\":%" PRIu64
            "}}\n",
            summary->unread_lines, summary->unread_fields, summary->bad_values);
    mp_arena_free(&arena);
}

void cli_print_summary(FILE *out, const struct cli_entry_style *style,
                       const struct mp_engine *engine, const struct cli_summary *summary)
{
    if (style->json) {
        print_summary_json(out, engine, summary);
        return;
    }
    const struct mp_program *p = mp_engine_program(engine);
    struct mp_arena arena;
    mp_arena_init(&arena, NULL, 0);
    fprintf(out, "\n%" PRIu64 " records, %" PRIu64 " bad lines, %" PRIu64 " late\n",
            summary->records, summary->bad_lines, summary->late);
    if (summary->unread_lines + summary->bad_values > 0) {
        fprintf(out,
                "%" PRIu64 " lines of a signal or entity that no policy reads, %" PRIu64
                " values that are none of their type\n",
                summary->unread_lines, summary->bad_values);
    }
    for (uint32_t i = 0; i < p->rule_count; i++) {
        struct mp_rule_counts counts = mp_engine_rule_counts(engine, i);
        mp_str name = shown_name(p, i, &arena);
        fprintf(out, "  %-32.*s matched %" PRIu64 "  false %" PRIu64 "  unknown %" PRIu64 "\n",
                MP_STR_ARG(name), counts.matched, counts.false_, counts.unknown);
    }
    mp_arena_free(&arena);
}
