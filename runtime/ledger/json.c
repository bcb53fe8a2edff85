/* SPDX-License-Identifier: Apache-2.0
 * The canonical text of an entry. Bounded: every text is cut at MP_LEDGER_TEXT_MAX bytes, and a
 * byte takes at most six, so a line always fits.
 */
#include "ledger/ledger.h"

#include "base/assert.h"
#include "base/date.h"
#include "base/quote.h"

_Static_assert((size_t)MP_LEDGER_LINE_MAX / MP_QUOTE_MAX / MP_LEDGER_TEXT_MAX >= 20,
               "most lines fit whole");

struct line {
    char *at, *end;
};

static void put(struct line *o, const char *bytes, size_t len)
{
    MP_ASSERT((size_t)(o->end - o->at) >= len);
    memcpy(o->at, bytes, len);
    o->at += len;
}

static void puts_(struct line *o, const char *text) { put(o, text, strlen(text)); }

static void put_number(struct line *o, uint64_t n)
{
    char digits[20];
    size_t len = 0;
    do {
        digits[sizeof digits - ++len] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    put(o, digits + sizeof digits - len, len);
}

/* A character that begins within the limit is whole. */
static void put_text(struct line *o, mp_str s)
{
    char room[MP_QUOTE_MAX];
    put(o, "\"", 1);
    for (size_t at = 0; at < s.len && at < MP_LEDGER_TEXT_MAX;) {
        mp_str piece = mp_quote_next(s, &at, room);
        put(o, piece.ptr, piece.len);
    }
    put(o, "\"", 1);
}

static void put_text_or_null(struct line *o, mp_str s)
{
    if (s.len == 0) {
        puts_(o, "null");
    } else {
        put_text(o, s);
    }
}

/* Leaves out what does not fit beside the rest of the line, so that a line is never cut. */
static void put_note(struct line *o, mp_str name, mp_str value, bool *first)
{
    size_t worst = MP_QUOTE_MAX * (2 * (size_t)MP_LEDGER_TEXT_MAX) + 64;
    if ((size_t)(o->end - o->at) < worst) return;
    if (!*first) put(o, ",", 1);
    *first = false;
    put_text(o, name);
    put(o, ":", 1);
    put_text(o, value);
}

size_t mp_ledger_line(const struct mp_entry *e, char *out)
{
    /* The last texts of a line need their room whatever the notes took. */
    size_t tail = 4 * MP_QUOTE_MAX * (size_t)MP_LEDGER_TEXT_MAX;
    struct line o = {out, out + MP_LEDGER_LINE_MAX - tail};
    char time[MP_DATE_TEXT];
    mp_date_text(e->time_ns, time);

    puts_(&o, "{\"seq\":");
    put_number(&o, e->seq);
    puts_(&o, ",\"time\":");
    put_text(&o, (mp_str){time, sizeof time});
    puts_(&o, ",\"machine\":");
    put_text(&o, e->machine == MP_MACHINE_LEASE ? MP_STR("lease") : MP_STR("incident"));
    puts_(&o, ",\"rule\":");
    put_text(&o, e->rule);
    puts_(&o, ",\"key\":");
    put_text(&o, e->key);
    puts_(&o, ",\"incident\":");
    put_number(&o, e->incident);
    puts_(&o, ",\"rung\":");
    put_number(&o, e->rung);
    puts_(&o, ",\"lease\":");
    if (e->lease != 0) {
        put_number(&o, e->lease);
    } else {
        puts_(&o, "null");
    }
    puts_(&o, ",\"verb\":");
    put_text_or_null(&o, e->verb);
    puts_(&o, ",\"target\":");
    put_text_or_null(&o, e->target);

    bool first = true;
    puts_(&o, ",\"args\":{");
    for (uint32_t i = 0; i < e->arg_count; i++) {
        put_note(&o, e->args[i].name, e->args[i].value, &first);
    }
    o.end = out + MP_LEDGER_LINE_MAX - 16; /* of the closing brackets */
    puts_(&o, "},\"from\":");
    put_text(&o, e->from);
    puts_(&o, ",\"to\":");
    put_text(&o, e->to);
    puts_(&o, ",\"cause\":{");
    first = true;
    if (e->shadow) put_note(&o, MP_STR("mode"), MP_STR("shadow"), &first);
    if (e->why.len > 0) put_note(&o, MP_STR("why"), e->why, &first);
    for (uint32_t i = 0; i < e->cause_count; i++) {
        put_note(&o, e->cause[i].name, e->cause[i].value, &first);
    }
    o.end = out + MP_LEDGER_LINE_MAX;
    puts_(&o, "}}");
    return (size_t)(o.at - out);
}
