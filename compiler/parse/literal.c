/* SPDX-License-Identifier: Apache-2.0
 * Numbers, addresses and other literals of one token: their values, and what they were meant to be.
 */
#include "parse_priv.h"

#include "base/assert.h"
#include "mpol_tokens.h"
#include "schema/decimal.h"

/* ---- values ---- */

struct literal_row {
    int token;
    enum mp_ast_kind kind;
    enum mp_type type; /* as which schema/ reads it */
    const char *complaint;
};

static const struct literal_row rows[] = {
    {T_INT, MP_AST_INT, MP_TYPE_INT, "is larger than a 64-bit int"},
    {T_FLOAT, MP_AST_FLOAT, MP_TYPE_NUMBER, "is no number"},
    {T_PERCENT, MP_AST_PERCENT, MP_TYPE_PERCENT, "is no percent"},
    {T_DURATION, MP_AST_DURATION, MP_TYPE_DURATION,
     "is no whole number of nanoseconds below 292 years"},
    {T_RATE, MP_AST_RATE, MP_TYPE_RATE, "is no rate"},
    {T_SIZE, MP_AST_SIZE, MP_TYPE_SIZE, "is no whole number of bytes below 8 EiB"},
    {T_BANDWIDTH, MP_AST_BANDWIDTH, MP_TYPE_BANDWIDTH, "is no bandwidth"},
    {T_IPADDR, MP_AST_IP, MP_TYPE_IP, "is no address"},
    {T_CIDR, MP_AST_CIDR, MP_TYPE_CIDR, "is no address range"},
};

static const struct literal_row *row_of(int token)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].token == token) return &rows[i];
    }
    return NULL;
}

static void bad_literal(struct mp_build *b, struct mp_tok tok, const char *complaint)
{
    mp_str text = mp_build_text(b, tok);
    struct mp_diag *d = mp_diag_add(b->diags, MP_DIAG_E0102, mp_build_tok(b, tok), "`%.*s` %s",
                                    MP_STR_ARG(text), complaint);
    if (tok.kind == T_CIDR) {
        mp_diag_help(d, "the prefix is at most /32, or /128 where the address has colons");
    } else if (tok.kind == T_IPADDR) {
        mp_diag_help(d, "four numbers from 0 to 255, or eight groups with at most one `::`");
    }
}

static double read_number(mp_str text)
{
    struct mp_value v = {{0, 0}};
    return mp_value_read(MP_TYPE_NUMBER, text, &v) ? mp_value_as_num(v) : 0;
}

/* `5k/min`: what stands on both sides of the slash. */
static void read_rate_parts(mp_str text, struct mp_ast_number *num)
{
    const char *slash = memchr(text.ptr, '/', text.len);
    size_t at = (size_t)(slash - text.ptr);
    num->number = read_number(mp_str_sub(text, 0, at));
    switch (text.ptr[at + 1]) {
    case 's': num->per_ns = 1000000000; break;
    case 'm': num->per_ns = 60000000000; break;
    case 'h': num->per_ns = 3600000000000; break;
    default: num->per_ns = 86400000000000; break;
    }
}

/* The rows of `rows`. */
static bool read_value(mp_str text, const struct literal_row *row, struct mp_ast_expr *e)
{
    struct mp_value v = {{0, 0}};
    if (row->kind == MP_AST_IP || row->kind == MP_AST_CIDR) {
        uint32_t bits = 0;
        if (!mp_value_address(text, &v, &bits)) return false;
        e->u.addr.text = text;
        e->u.addr.bits = bits;
        memcpy(e->u.addr.bytes, v.w, sizeof e->u.addr.bytes);
        return true;
    }
    if (!mp_value_read(row->type, text, &v)) return false;
    e->u.num.text = text;
    if (mp_type_rep(row->type) == MP_REP_I) {
        e->u.num.i = mp_value_as_int(v);
    } else {
        e->u.num.f = mp_value_as_num(v);
    }
    if (row->kind == MP_AST_RATE) read_rate_parts(text, &e->u.num);
    return true;
}

/* ---- repairs ---- */

/* LIMIT: bytes of a number that is offered as a repair. */
#define REPAIRED_MAX 96

struct unit_row {
    mp_str unit;
    int token;
    const char *noun;
};

#define UNIT(text, token, noun) {MP_STR_INIT(text), token, noun}

static const struct unit_row units[] = {
    UNIT("ns", T_DURATION, "a duration"),    UNIT("us", T_DURATION, "a duration"),
    UNIT("ms", T_DURATION, "a duration"),    UNIT("s", T_DURATION, "a duration"),
    UNIT("m", T_DURATION, "a duration"),     UNIT("h", T_DURATION, "a duration"),
    UNIT("d", T_DURATION, "a duration"),     UNIT("w", T_DURATION, "a duration"),
    UNIT("B", T_SIZE, "a size"),             UNIT("KB", T_SIZE, "a size"),
    UNIT("MB", T_SIZE, "a size"),            UNIT("GB", T_SIZE, "a size"),
    UNIT("KiB", T_SIZE, "a size"),           UNIT("MiB", T_SIZE, "a size"),
    UNIT("GiB", T_SIZE, "a size"),           UNIT("B/s", T_BANDWIDTH, "a bandwidth"),
    UNIT("KB/s", T_BANDWIDTH, "a bandwidth"), UNIT("MB/s", T_BANDWIDTH, "a bandwidth"),
    UNIT("GB/s", T_BANDWIDTH, "a bandwidth"), UNIT("KiB/s", T_BANDWIDTH, "a bandwidth"),
    UNIT("MiB/s", T_BANDWIDTH, "a bandwidth"), UNIT("GiB/s", T_BANDWIDTH, "a bandwidth"),
    UNIT("/s", T_RATE, "a rate"),            UNIT("/min", T_RATE, "a rate"),
    UNIT("/h", T_RATE, "a rate"),            UNIT("/d", T_RATE, "a rate"),
    UNIT("%", T_PERCENT, "a percent"),       UNIT("x", T_TIMES, "a multiple"),
    UNIT("k", T_INT, "a number"),            UNIT("M", T_INT, "a number"),
};

/* What people write, and the unit they mean. */
struct alias_row {
    mp_str written, unit;
};

#define ALIAS(written, unit) {MP_STR_INIT(written), MP_STR_INIT(unit)}

static const struct alias_row aliases[] = {
    ALIAS("sec", "s"),      ALIAS("secs", "s"),     ALIAS("second", "s"),   ALIAS("seconds", "s"),
    ALIAS("S", "s"),        ALIAS("min", "m"),      ALIAS("mins", "m"),     ALIAS("minute", "m"),
    ALIAS("minutes", "m"),  ALIAS("hr", "h"),       ALIAS("hrs", "h"),      ALIAS("hour", "h"),
    ALIAS("hours", "h"),    ALIAS("H", "h"),        ALIAS("day", "d"),      ALIAS("days", "d"),
    ALIAS("D", "d"),        ALIAS("week", "w"),     ALIAS("weeks", "w"),    ALIAS("W", "w"),
    ALIAS("msec", "ms"),    ALIAS("msecs", "ms"),   ALIAS("millis", "ms"),
    ALIAS("milliseconds", "ms"),
    ALIAS("usec", "us"),    ALIAS("micros", "us"),  ALIAS("nsec", "ns"),    ALIAS("b", "B"),
    ALIAS("byte", "B"),     ALIAS("bytes", "B"),    ALIAS("kb", "KB"),      ALIAS("kB", "KB"),
    ALIAS("K", "k"),        ALIAS("mb", "MB"),      ALIAS("Mb", "MB"),      ALIAS("gb", "GB"),
    ALIAS("Gb", "GB"),      ALIAS("G", "GB"),       ALIAS("kib", "KiB"),    ALIAS("kiB", "KiB"),
    ALIAS("Ki", "KiB"),     ALIAS("mib", "MiB"),    ALIAS("Mi", "MiB"),     ALIAS("gib", "GiB"),
    ALIAS("Gi", "GiB"),     ALIAS("pct", "%"),      ALIAS("percent", "%"),  ALIAS("X", "x"),
    ALIAS("times", "x"),    ALIAS("/sec", "/s"),    ALIAS("/second", "/s"),
    ALIAS("/minute", "/min"),
    ALIAS("/mins", "/min"), ALIAS("/hour", "/h"),   ALIAS("/hr", "/h"),     ALIAS("/day", "/d"),
};

static const struct unit_row *unit_named(mp_str text)
{
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (mp_str_eq(units[i].unit, text)) return &units[i];
    }
    return NULL;
}

/* `MiB/second` */
static const struct unit_row *bandwidth_meant(mp_str written)
{
    const char *slash = written.len == 0 ? NULL : memchr(written.ptr, '/', written.len);
    if (slash == NULL || slash == written.ptr) return NULL;
    mp_str size = mp_str_sub(written, 0, (size_t)(slash - written.ptr));
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        bool begins = units[i].token == T_BANDWIDTH && mp_str_starts(units[i].unit, size);
        if (begins && units[i].unit.len == size.len + 2) return &units[i];
    }
    return NULL;
}

static const struct unit_row *unit_meant(mp_str written)
{
    const struct unit_row *bandwidth = bandwidth_meant(written);
    if (bandwidth != NULL) return bandwidth;
    for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++) {
        if (mp_str_eq(aliases[i].written, written)) return unit_named(aliases[i].unit);
    }
    const struct unit_row *best = NULL;
    unsigned nearest = written.len > 3 ? 2 : 1;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        /* One letter is near to every other letter. */
        if (units[i].unit.len < 2) continue;
        unsigned distance = mp_str_distance(units[i].unit, written, nearest);
        if (distance > nearest) continue;
        best = &units[i];
        if (distance == 0) break;
        nearest = distance - 1;
    }
    return best;
}

static size_t digits_end(mp_str text)
{
    size_t at = 0;
    while (at < text.len && text.ptr[at] >= '0' && text.ptr[at] <= '9') at++;
    if (at + 1 < text.len && text.ptr[at] == '.' && text.ptr[at + 1] >= '0' &&
        text.ptr[at + 1] <= '9') {
        at++;
        while (at < text.len && text.ptr[at] >= '0' && text.ptr[at] <= '9') at++;
    }
    return at;
}

/* `1h30`: a duration whose last part has no unit. */
static bool is_cut_duration(mp_str text)
{
    size_t end = text.len;
    while (end > 0 && text.ptr[end - 1] >= '0' && text.ptr[end - 1] <= '9') end--;
    struct mp_value v;
    return end > 0 && end < text.len &&
           mp_value_read(MP_TYPE_DURATION, mp_str_sub(text, 0, end), &v);
}

/* The number of a text, and the unit that is meant; false where nobody knows. */
static bool repair(mp_str text, char out[REPAIRED_MAX], size_t *len)
{
    size_t end = is_cut_duration(text) ? text.len : digits_end(text);
    const struct unit_row *meant = NULL;
    mp_str unit = MP_STR("s");
    if (end < text.len) {
        meant = unit_meant(mp_str_sub(text, end, text.len));
        if (meant == NULL) return false;
        unit = meant->unit;
    }
    if (end + unit.len > REPAIRED_MAX) return false;
    memcpy(out, text.ptr, end);
    memcpy(out + end, unit.ptr, unit.len);
    *len = end + unit.len;
    return true;
}

int mp_literal_repair(struct mp_build *b, struct mp_tok tok)
{
    mp_str text = mp_build_text(b, tok);
    struct mp_span span = mp_build_tok(b, tok);
    size_t end = digits_end(text);
    mp_str unit = mp_str_sub(text, end, text.len);
    if (is_cut_duration(text)) {
        struct mp_diag *d = mp_diag_add(b->diags, MP_DIAG_E0102, span, "`%.*s` is not a duration",
                                        MP_STR_ARG(text));
        mp_diag_help(d, "each part has a unit: `%.*ss`, `%.*sm`", MP_STR_ARG(text),
                     MP_STR_ARG(text));
        return T_DURATION;
    }
    const struct unit_row *meant = unit_meant(unit);
    if (meant == NULL) {
        struct mp_diag *d = mp_diag_add(b->diags, MP_DIAG_E0102, span, "`%.*s` is no unit",
                                        MP_STR_ARG(unit));
        mp_diag_help(d, "units are ns us ms s m h d w, B KB MB GB KiB MiB GiB, %%, x, k, M, and /s "
                        "/min /h /d for rates");
        return 0;
    }
    struct mp_diag *d = mp_diag_add(b->diags, MP_DIAG_E0102, span, "`%.*s` is not %s",
                                    MP_STR_ARG(text), meant->noun);
    char repaired[REPAIRED_MAX];
    size_t len;
    if (!repair(text, repaired, &len)) return meant->token;
    mp_diag_fix(d, span, (mp_str){repaired, len}, "`%.*s`", (int)len, repaired);
    if (unit.ptr[0] == '/') mp_diag_help(d, "a division has blanks around its `/`");
    return meant->token;
}

/* ---- one literal ---- */

/* What was reported keeps the value that was meant, so that nothing else is said about it. */
static void read_repaired(mp_str text, const struct literal_row *row, struct mp_ast_expr *e)
{
    char repaired[REPAIRED_MAX];
    size_t len;
    if (row == NULL || !repair(text, repaired, &len)) return;
    struct mp_value v;
    if (!mp_value_read(row->type, (mp_str){repaired, len}, &v)) return;
    if (mp_type_rep(row->type) == MP_REP_I) e->u.num.i = mp_value_as_int(v);
    if (mp_type_rep(row->type) == MP_REP_F) e->u.num.f = mp_value_as_num(v);
}

/* A TIMES keeps its kind: it is a node with an operand, of which this is the factor. */
void mp_literal(struct mp_build *b, struct mp_tok tok, struct mp_ast_expr *e)
{
    mp_str text = mp_build_text(b, tok);
    const struct literal_row *row = row_of(tok.kind);
    if (tok.bad) {
        read_repaired(text, row, e);
        e->kind = MP_AST_BAD;
        e->u.num.text = text;
    } else if (row != NULL) {
        e->kind = row->kind;
        if (read_value(text, row, e)) return;
        bad_literal(b, tok, row->complaint);
        e->kind = MP_AST_BAD;
        e->u.num.text = text;
    } else {
        e->u.num.text = text;
        switch (tok.kind) {
        case T_STATUS:
            e->kind = MP_AST_STATUS;
            e->u.num.i = text.ptr[0] - '0';
            break;
        case T_TRUE:
        case T_FALSE:
            e->kind = MP_AST_BOOL;
            e->u.num.i = tok.kind == T_TRUE;
            break;
        case T_SPIFFE: e->kind = MP_AST_IDENTITY; break;
        case T_TIMES:
            e->u.num.f = read_number(mp_str_sub(text, 0, text.len - 1));
            break;
        default: MP_UNREACHABLE("a token that is a literal");
        }
    }
}
