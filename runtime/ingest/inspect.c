/* SPDX-License-Identifier: Apache-2.0 */
#include "ingest/inspect.h"

#include "base/date.h"
#include "base/distinct.h"
#include "base/hash.h"
#include "base/quote.h"
#include "ingest/ingest.h"
#include "ingest/json.h"
#include "schema/decimal.h"

#define SIGNALS_MAX 32u
#define FIELDS_MAX 512u
#define REASONS_MAX 16u
#define EXAMPLES 3u
#define NAME_BYTES 96u
#define EXAMPLE_BYTES 40u
#define LATE_NS INT64_C(2000000000) /* the default lateness of events (R1) */
#define BUCKETS 64u

enum look {
    LOOK_BOOL, LOOK_INT, LOOK_NUMBER, LOOK_ADDRESS, LOOK_DURATION, LOOK_PERCENT, LOOK_IDENTITY,
    LOOK_TEXT, LOOK_SET, LOOK_NULL,
    LOOKS
};

static const char *const look_words[LOOKS] = {"bool", "int", "number", "ip", "duration", "percent",
                                              "identity", "string", "set", "null"};

struct field {
    char path[NAME_BYTES];
    uint32_t path_len, signal;
    uint64_t count, last_line; /* last_line: so that a name twice in a line counts once */
    uint64_t looks[LOOKS];
    struct mp_distinct values;
    char example[EXAMPLES][EXAMPLE_BYTES];
    uint32_t example_len[EXAMPLES], examples;
    double low, high; /* of what is a number, a duration in seconds, a percent as a fraction */
    bool ranged;
};

struct signal {
    char name[NAME_BYTES];
    uint32_t name_len;
    uint64_t records, alive, backwards, late;
    int64_t first_ns, newest_ns, gap_ns, gap_at_ns, behind_ns;
    uint64_t behind[BUCKETS]; /* by powers of two of microseconds */
};

/* A line before its signal is known. */
struct seen {
    uint32_t path_at, path_len;
    struct mp_json_leaf leaf;
};
#define SEEN_MAX 256u
#define SEEN_BYTES 16384u

struct mp_inspect {
    struct signal signals[SIGNALS_MAX];
    uint32_t signal_count;
    struct field fields[FIELDS_MAX];
    uint32_t field_count;
    uint32_t slots[FIELDS_MAX * 4]; /* field + 1 by hash of (signal, path) */
    struct { const char *why; uint64_t count; } reasons[REASONS_MAX];
    uint32_t reason_count;
    uint64_t lines, records, inventory, bad, other_fields, other_signals;

    struct seen seen[SEEN_MAX];
    uint32_t seen_count, seen_bytes;
    char seen_text[SEEN_BYTES];
    char path[512];
    char text[MP_LINE_MAX];
};

static const struct mp_hash_key plain_key = {UINT64_C(0x696e7370656374), 0};

enum mp_err mp_inspect_create(struct mp_arena *arena, struct mp_inspect **out)
{
    struct mp_inspect *in = MP_NEW(arena, struct mp_inspect, 1);
    if (in == NULL) return MP_ENOMEM;
    for (uint32_t i = 0; i < FIELDS_MAX; i++) mp_distinct_clear(&in->fields[i].values);
    *out = in;
    return MP_OK;
}

/* ---- one line ---- */

static void remember(void *ctx, const struct mp_json_leaf *leaf)
{
    struct mp_inspect *in = ctx;
    if (leaf->path.len == 0 || in->seen_count == SEEN_MAX ||
        leaf->path.len > SEEN_BYTES - in->seen_bytes) {
        in->other_fields++;
        return;
    }
    struct seen *s = &in->seen[in->seen_count++];
    *s = (struct seen){in->seen_bytes, (uint32_t)leaf->path.len, *leaf};
    memcpy(in->seen_text + in->seen_bytes, leaf->path.ptr, leaf->path.len);
    in->seen_bytes += (uint32_t)leaf->path.len;
}

static mp_str path_of(const struct mp_inspect *in, const struct seen *s)
{
    return (mp_str){in->seen_text + s->path_at, s->path_len};
}

static const struct seen *seen_as(const struct mp_inspect *in, const char *name)
{
    for (uint32_t i = in->seen_count; i > 0; i--) {
        if (mp_str_eq(path_of(in, &in->seen[i - 1]), mp_str_of(name))) return &in->seen[i - 1];
    }
    return NULL;
}

/* The text of a leaf, unescaped; good until the next call. */
static mp_str text_of(struct mp_inspect *in, const struct mp_json_leaf *leaf)
{
    size_t len;
    if (leaf->kind == MP_JSON_TRUE) return MP_STR("true");
    if (leaf->kind == MP_JSON_FALSE) return MP_STR("false");
    if (leaf->kind != MP_JSON_STRING || !leaf->escaped) return leaf->raw;
    return mp_json_unescape(leaf->raw, in->text, &len) ? (mp_str){in->text, len} : leaf->raw;
}

static void keep_name(char *to, uint32_t *len, mp_str s, size_t room)
{
    size_t n = s.len < room ? s.len : room;
    memcpy(to, s.ptr, n);
    *len = (uint32_t)n;
}

static struct signal *signal_named(struct mp_inspect *in, mp_str name)
{
    name = mp_str_sub(name, 0, NAME_BYTES);
    for (uint32_t i = 0; i < in->signal_count; i++) {
        struct signal *s = &in->signals[i];
        if (mp_str_eq((mp_str){s->name, s->name_len}, name)) return s;
    }
    if (in->signal_count == SIGNALS_MAX) return NULL;
    struct signal *s = &in->signals[in->signal_count++];
    keep_name(s->name, &s->name_len, name, NAME_BYTES);
    return s;
}

static struct field *field_named(struct mp_inspect *in, uint32_t signal, mp_str path)
{
    path = mp_str_sub(path, 0, NAME_BYTES);
    uint64_t hash = mp_siphash(plain_key, path.ptr, path.len);
    hash += signal * UINT64_C(0x9E3779B97F4A7C15);
    for (uint32_t i = (uint32_t)(hash >> 32) % (FIELDS_MAX * 4);; i = (i + 1) % (FIELDS_MAX * 4)) {
        if (in->slots[i] == 0) {
            if (in->field_count == FIELDS_MAX) return NULL;
            struct field *f = &in->fields[in->field_count++];
            in->slots[i] = in->field_count;
            f->signal = signal;
            keep_name(f->path, &f->path_len, path, NAME_BYTES);
            return f;
        }
        struct field *f = &in->fields[in->slots[i] - 1];
        if (f->signal == signal && mp_str_eq((mp_str){f->path, f->path_len}, path)) return f;
    }
}

static enum look look_of_text(mp_str s, double *number)
{
    struct mp_value v;
    uint32_t bits;
    int64_t ns;
    if (s.len == 0) return LOOK_TEXT;
    char first = s.ptr[0], last = s.ptr[s.len - 1];
    if (mp_str_starts(s, MP_STR("spiffe://"))) return LOOK_IDENTITY;
    if (last == '%' && mp_decimal(mp_str_sub(s, 0, s.len - 1), -2, 1, number)) return LOOK_PERCENT;
    if (mp_value_address(s, &v, &bits) && memchr(s.ptr, '/', s.len) == NULL) return LOOK_ADDRESS;
    bool digit = first >= '0' && first <= '9';
    if (digit && (last < '0' || last > '9') && mp_read_duration(s, &ns)) {
        *number = (double)ns / 1e9;
        return LOOK_DURATION;
    }
    return LOOK_TEXT;
}

static enum look look_of(const struct mp_json_leaf *leaf, mp_str text, double *number)
{
    int64_t whole;
    switch (leaf->kind) {
    case MP_JSON_TRUE:
    case MP_JSON_FALSE: return LOOK_BOOL;
    case MP_JSON_NULL: return LOOK_NULL;
    case MP_JSON_OPEN_ARRAY: return LOOK_SET;
    case MP_JSON_NUMBER:
        if (!mp_decimal(text, 0, 1, number)) return LOOK_NUMBER;
        return mp_decimal_int(text, 0, 1, &whole) ? LOOK_INT : LOOK_NUMBER;
    default: return look_of_text(text, number);
    }
}

static bool has_range(enum look look)
{
    return look == LOOK_INT || look == LOOK_NUMBER || look == LOOK_DURATION || look == LOOK_PERCENT;
}

static void keep_example(struct field *f, mp_str text)
{
    text = mp_str_sub(text, 0, EXAMPLE_BYTES);
    for (uint32_t i = 0; i < f->examples; i++) {
        if (mp_str_eq((mp_str){f->example[i], f->example_len[i]}, text)) return;
    }
    if (f->examples == EXAMPLES || text.len == 0) return;
    keep_name(f->example[f->examples], &f->example_len[f->examples], text, EXAMPLE_BYTES);
    f->examples++;
}

static void take_field(struct mp_inspect *in, uint32_t signal, const struct seen *s)
{
    struct field *f = field_named(in, signal, path_of(in, s));
    if (f == NULL) {
        in->other_fields++;
        return;
    }
    mp_str text = text_of(in, &s->leaf);
    double number = 0;
    enum look look = look_of(&s->leaf, text, &number);
    if (f->last_line != in->lines && look != LOOK_NULL) f->count++;
    f->last_line = in->lines;
    f->looks[look]++;
    if (look == LOOK_NULL) return;
    mp_distinct_add(&f->values, mp_siphash(plain_key, text.ptr, text.len));
    keep_example(f, text);
    if (!has_range(look)) return;
    if (!f->ranged || number < f->low) f->low = number;
    if (!f->ranged || number > f->high) f->high = number;
    f->ranged = true;
}

static void take_time(struct signal *s, int64_t ns)
{
    if (s->records == 1) {
        s->first_ns = s->newest_ns = ns;
        return;
    }
    if (ns < s->first_ns) s->first_ns = ns;
    int64_t behind = s->newest_ns - ns;
    if (behind > 0) {
        s->backwards++;
        s->late += behind > LATE_NS;
        if (behind > s->behind_ns) s->behind_ns = behind;
    }
    uint32_t bucket = 0;
    for (int64_t us = behind > 0 ? behind / 1000 : 0; us > 0 && bucket < BUCKETS - 1; us /= 2) {
        bucket++;
    }
    s->behind[bucket]++;
    if (behind >= 0) return;
    if (-behind > s->gap_ns) {
        s->gap_ns = -behind;
        s->gap_at_ns = s->newest_ns;
    }
    s->newest_ns = ns;
}

static bool is_frame(mp_str path)
{
    static const char *const names[] = {"signal", "time", "alive", "weight", "id"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (mp_str_eq(path, mp_str_of(names[i]))) return true;
    }
    return false;
}

static const char *take_record(struct mp_inspect *in)
{
    const struct seen *name = seen_as(in, "signal"), *time = seen_as(in, "time");
    const struct seen *alive = seen_as(in, "alive");
    if (name != NULL && name->leaf.kind != MP_JSON_STRING) return "`signal` is no text";
    int64_t ns = 0;
    bool is_alive = alive != NULL && alive->leaf.kind == MP_JSON_TRUE;
    if (!is_alive && time == NULL) return "no `time`";
    bool timely = is_alive || (mp_read_time(text_of(in, &time->leaf), &ns) && ns >= 0 &&
                               ns <= MP_LINE_TIME_MAX_NS);
    if (!timely) return "`time` is no time";
    struct signal *s =
        signal_named(in, name != NULL ? text_of(in, &name->leaf) : MP_STR("requests"));
    if (s == NULL) {
        in->other_signals++;
        return NULL;
    }
    if (is_alive) {
        s->alive++;
        return NULL;
    }
    s->records++;
    in->records++;
    take_time(s, ns);
    for (uint32_t i = 0; i < in->seen_count; i++) {
        if (!is_frame(path_of(in, &in->seen[i]))) {
            take_field(in, (uint32_t)(s - in->signals), &in->seen[i]);
        }
    }
    return NULL;
}

static void count_bad(struct mp_inspect *in, const char *why)
{
    in->bad++;
    uint32_t i = 0;
    while (i < in->reason_count && strcmp(in->reasons[i].why, why) != 0) i++;
    if (i == REASONS_MAX) i--;
    if (i == in->reason_count) {
        in->reasons[i].why = why;
        in->reason_count++;
    }
    in->reasons[i].count++;
}

void mp_inspect_bad(struct mp_inspect *in, const char *why)
{
    in->lines++;
    count_bad(in, why);
}

bool mp_inspect_line(struct mp_inspect *in, mp_str line, const char **why)
{
    in->lines++;
    in->seen_count = in->seen_bytes = 0;
    size_t at = 0;
    while (at < line.len && (line.ptr[at] == ' ' || line.ptr[at] == '\t' || line.ptr[at] == '\r')) {
        at++;
    }
    if (at == line.len) return true;
    struct mp_json j;
    mp_json_init(&j, line);
    *why = "longer than 1 MiB";
    bool ok = line.len <= MP_LINE_MAX;
    if (ok && !mp_json_object(&j, in->path, sizeof in->path, in, remember)) {
        *why = j.why;
        ok = false;
    }
    if (ok && seen_as(in, "entity") != NULL) {
        in->inventory++;
        return true;
    }
    if (ok) {
        *why = take_record(in);
        ok = *why == NULL;
    }
    if (!ok) count_bad(in, *why);
    return ok;
}

void mp_inspect_counts(const struct mp_inspect *in, struct mp_inspect_counts *out)
{
    *out = (struct mp_inspect_counts){in->lines, in->records, in->bad};
}

/* ---- what is told ---- */

static void put_time(struct mp_buf *out, int64_t ns)
{
    char text[MP_DATE_TEXT];
    mp_date_text(ns, text);
    mp_buf_put(out, (mp_str){text, sizeof text});
}

static void put_duration(struct mp_buf *out, int64_t ns)
{
    mp_value_show(out, MP_TYPE_DURATION, mp_value_int(ns));
}

static enum look main_look(const struct field *f)
{
    enum look best = LOOK_TEXT;
    uint64_t most = 0;
    for (uint32_t i = 0; i < LOOK_NULL; i++) {
        if (f->looks[i] > most) {
            most = f->looks[i];
            best = (enum look)i;
        }
    }
    /* Whole numbers among others are numbers. */
    if (best == LOOK_INT && f->looks[LOOK_NUMBER] != 0) return LOOK_NUMBER;
    return best;
}

static int64_t behind_p99(const struct signal *s)
{
    uint64_t n = 0, sum = 0;
    for (uint32_t i = 0; i < BUCKETS; i++) n += s->behind[i];
    for (uint32_t i = 0; i < BUCKETS; i++) {
        sum += s->behind[i];
        if (sum * 100 < n * 99) continue;
        return i == 0 ? 0 : (int64_t)(UINT64_C(1) << (i < 50 ? i : 50)) * 1000;
    }
    return 0;
}

/* Texts from outside, fit for a terminal. */
static void put_shown(struct mp_buf *out, mp_str s)
{
    for (size_t at = 0; at < s.len;) {
        size_t len = mp_str_control(s, at);
        mp_buf_putc(out, len > 0 ? '?' : s.ptr[at]);
        at += len > 0 ? len : 1;
    }
}

static void put_signal(struct mp_buf *out, const struct signal *s)
{
    mp_buf_puts(out, "signal ");
    put_shown(out, (mp_str){s->name, s->name_len});
    mp_buf_putc(out, '\n');
    mp_buf_printf(out, "  records   %llu", (unsigned long long)s->records);
    if (s->alive != 0) {
        mp_buf_printf(out, ", and %llu lines that say it is alive", (unsigned long long)s->alive);
    }
    mp_buf_putc(out, '\n');
    if (s->records == 0) return;
    int64_t span = s->newest_ns - s->first_ns;
    mp_buf_puts(out, "  time      ");
    put_time(out, s->first_ns);
    mp_buf_puts(out, " .. ");
    put_time(out, s->newest_ns);
    mp_buf_puts(out, ", ");
    put_duration(out, span);
    if (span > 0) mp_buf_printf(out, ", %.4g a second", (double)s->records / ((double)span / 1e9));
    mp_buf_puts(out, "\n  gaps      ");
    if (s->gap_ns == 0) {
        mp_buf_puts(out, "none");
    } else {
        mp_buf_puts(out, "the longest is ");
        put_duration(out, s->gap_ns);
        mp_buf_puts(out, ", after ");
        put_time(out, s->gap_at_ns);
    }
    mp_buf_puts(out, "\n  order     ");
    if (s->backwards == 0) {
        mp_buf_puts(out, "in order of time\n");
        return;
    }
    mp_buf_printf(out, "%llu behind the newest, by ", (unsigned long long)s->backwards);
    put_duration(out, s->behind_ns);
    mp_buf_puts(out, " at most; 99% of all by less than ");
    int64_t p99 = behind_p99(s);
    if (p99 > s->behind_ns) p99 = s->behind_ns;
    put_duration(out, p99 != 0 ? p99 : 1000);
    mp_buf_printf(out, "\n  late      %llu by more than 2s: they enter no window\n",
                  (unsigned long long)s->late);
}

static void put_number(struct mp_buf *out, enum look look, double v)
{
    if (look == LOOK_DURATION) put_duration(out, (int64_t)(v * 1e9));
    else if (look == LOOK_PERCENT) mp_value_show(out, MP_TYPE_PERCENT, mp_value_num(v));
    else mp_buf_printf(out, "%.6g", v);
}

static void put_field(struct mp_buf *out, const struct field *f, uint64_t records)
{
    enum look look = main_look(f);
    double values = mp_distinct_estimate(&f->values);
    mp_buf_puts(out, "  ");
    put_shown(out, (mp_str){f->path, f->path_len});
    for (uint32_t i = f->path_len; i < 28; i++) mp_buf_putc(out, ' ');
    mp_buf_printf(out, " %5.1f%%  %-9s %s%-8.0f ", 100.0 * (double)f->count / (double)records,
                  look_words[look], f->values.exact > MP_DISTINCT_EXACT ? "~" : " ", values);
    if (f->ranged && has_range(look)) {
        put_number(out, look, f->low);
        mp_buf_puts(out, " .. ");
        put_number(out, look, f->high);
    } else {
        for (uint32_t i = 0; i < f->examples; i++) {
            if (i != 0) mp_buf_puts(out, ", ");
            put_shown(out, (mp_str){f->example[i], f->example_len[i]});
        }
        if (values > f->examples) mp_buf_puts(out, ", ...");
    }
    uint64_t others = 0;
    for (uint32_t i = 0; i < LOOK_NULL; i++) others += i != (uint32_t)look ? f->looks[i] : 0;
    if (look == LOOK_NUMBER) others -= f->looks[LOOK_INT];
    if (others != 0) mp_buf_printf(out, "   (%llu of another kind)", (unsigned long long)others);
    mp_buf_putc(out, '\n');
}

void mp_inspect_text(const struct mp_inspect *in, struct mp_buf *out)
{
    mp_buf_printf(out, "%llu lines: %llu records, %llu of inventory, %llu bad\n",
                  (unsigned long long)in->lines, (unsigned long long)in->records,
                  (unsigned long long)in->inventory, (unsigned long long)in->bad);
    for (uint32_t i = 0; i < in->reason_count; i++) {
        mp_buf_printf(out, "  bad: %s: %llu\n", in->reasons[i].why,
                      (unsigned long long)in->reasons[i].count);
    }
    for (uint32_t s = 0; s < in->signal_count; s++) {
        mp_buf_putc(out, '\n');
        put_signal(out, &in->signals[s]);
        if (in->signals[s].records == 0) continue;
        mp_buf_puts(out, "  field                        present  kind       values   "
                         "range or examples\n");
        for (uint32_t i = 0; i < in->field_count; i++) {
            if (in->fields[i].signal == s) put_field(out, &in->fields[i], in->signals[s].records);
        }
    }
    if (in->other_fields != 0 || in->other_signals != 0) {
        mp_buf_printf(out, "\nnot told apart: %llu values of more fields, %llu records of more "
                           "signals\n",
                      (unsigned long long)in->other_fields, (unsigned long long)in->other_signals);
    }
}

/* ---- JSON ---- */

static void put_json_field(struct mp_buf *out, const struct field *f, uint64_t records)
{
    enum look look = main_look(f);
    mp_buf_puts(out, "{\"name\":");
    mp_quote(out, (mp_str){f->path, f->path_len});
    mp_buf_printf(out, ",\"present\":%.6g,\"kind\":\"%s\",\"values\":%.0f",
                  (double)f->count / (double)records,
                  look_words[look], mp_distinct_estimate(&f->values));
    if (f->ranged && has_range(look)) {
        mp_buf_printf(out, ",\"min\":%.17g,\"max\":%.17g", f->low, f->high);
    }
    mp_buf_putc(out, '}');
}

void mp_inspect_json(const struct mp_inspect *in, struct mp_buf *out)
{
    mp_buf_printf(out,
                  "{\"lines\":%llu,\"records\":%llu,\"inventory\":%llu,\"bad\":%llu,\"signals\":[",
                  (unsigned long long)in->lines, (unsigned long long)in->records,
                  (unsigned long long)in->inventory, (unsigned long long)in->bad);
    for (uint32_t k = 0; k < in->signal_count; k++) {
        const struct signal *s = &in->signals[k];
        mp_buf_puts(out, k != 0 ? ",{\"name\":" : "{\"name\":");
        mp_quote(out, (mp_str){s->name, s->name_len});
        mp_buf_printf(out, ",\"records\":%llu,\"alive\":%llu,\"backwards\":%llu,\"late\":%llu",
                      (unsigned long long)s->records, (unsigned long long)s->alive,
                      (unsigned long long)s->backwards, (unsigned long long)s->late);
        if (s->records != 0) {
            mp_buf_puts(out, ",\"from\":\"");
            put_time(out, s->first_ns);
            mp_buf_puts(out, "\",\"to\":\"");
            put_time(out, s->newest_ns);
            mp_buf_printf(out, "\",\"longest_gap_s\":%.9g,\"most_behind_s\":%.9g",
                          (double)s->gap_ns / 1e9, (double)s->behind_ns / 1e9);
        }
        mp_buf_puts(out, ",\"fields\":[");
        bool first = true;
        for (uint32_t i = 0; i < in->field_count; i++) {
            if (in->fields[i].signal != k) continue;
            if (!first) mp_buf_putc(out, ',');
            first = false;
            put_json_field(out, &in->fields[i], s->records);
        }
        mp_buf_puts(out, "]}");
    }
    mp_buf_puts(out, "]}");
}
