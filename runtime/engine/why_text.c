/* SPDX-License-Identifier: Apache-2.0
 * The answer to `why` as people read it: the same for the command and for embedders.
 */
#include "engine/engine.h"

#define TRUTH_COLUMN 52 /* a reader's eye finds the truth that is missing in a column of its own */
#define SECOND_NS 1000000000LL
#define TENTH_NS 100000000LL

static const char *const truth_words[] = {[MP_FALSE] = "false", [MP_TRUE] = "true",
                                          [MP_UNKNOWN] = "unknown"};

/* Tenths are what a reader can use of more than a second. */
static void put_duration(struct mp_buf *out, int64_t ns)
{
    if (ns >= SECOND_NS) ns -= ns % TENTH_NS;
    mp_value_print(out, MP_TYPE_DURATION, mp_value_int(ns));
}

static void put_held(struct mp_buf *out, const struct mp_why_line *line)
{
    mp_buf_puts(out, " for ");
    put_duration(out, line->held_ns);
    mp_buf_puts(out, " of ");
    put_duration(out, line->hold_ns);
}

static void put_measured(struct mp_buf *out, const struct mp_why_line *line)
{
    bool is_part = line->kind == MP_WHY_PART;
    if (line->value.len > 0) {
        mp_buf_printf(out, "   %.*s = %.*s", MP_STR_ARG(line->shown), MP_STR_ARG(line->value));
    }
    if (is_part && line->hold_ns > 0) { /* of a part it is the window */
        mp_buf_puts(out, " over ");
        put_duration(out, line->hold_ns);
    }
    if (line->samples_known) mp_buf_printf(out, "   (%lld samples)", (long long)line->samples);
}

static void put_condition(struct mp_buf *out, const struct mp_why_line *line)
{
    bool is_clause = line->kind == MP_WHY_CLAUSE;
    size_t from = out->len;
    mp_buf_puts(out, is_clause ? "  " : "    ");
    if (is_clause) mp_buf_printf(out, "%.*s ", MP_STR_ARG(mp_clause_word(line->clause)));
    mp_buf_put(out, line->text);
    while (!out->failed && out->len - from < TRUTH_COLUMN) mp_buf_putc(out, ' ');
    mp_buf_printf(out, "  %s", truth_words[line->truth]);
    if (is_clause && line->hold_ns > 0) put_held(out, line);
    put_measured(out, line);
}

void mp_why_print(struct mp_buf *out, mp_str rule, mp_str key, const struct mp_why_line *line)
{
    switch (line->kind) {
    case MP_WHY_STATE:
        mp_buf_printf(out, "%.*s for %.*s: %.*s", MP_STR_ARG(rule), MP_STR_ARG(key),
                      MP_STR_ARG(line->text));
        break;
    case MP_WHY_NOTE: mp_buf_printf(out, "  %.*s", MP_STR_ARG(line->text)); break;
    case MP_WHY_CLAUSE:
    case MP_WHY_PART: put_condition(out, line); break;
    }
    mp_buf_putc(out, '\n');
}

const char *mp_truth_word(enum mp_truth truth) { return truth_words[truth]; }

void mp_truth_print(struct mp_buf *out, const struct mp_truth_view *t)
{
    mp_buf_printf(out, "%.*s turned %s", MP_STR_ARG(mp_clause_word(t->clause)),
                  truth_words[t->truth]);
    for (uint32_t i = 0; i < t->value_count; i++) {
        const struct mp_truth_value *v = &t->value[i];
        mp_buf_printf(out, "%s%.*s = ", i == 0 ? "   " : ", ", MP_STR_ARG(v->shown));
        if (v->known) mp_value_show(out, v->type, v->value);
        else mp_buf_puts(out, "unknown");
    }
}
