/* SPDX-License-Identifier: Apache-2.0
 * Policies. What is written here may still be refused by the compiler (a condition that is always
 * true, a check that can never be answered); the runner leaves such rules out and counts them.
 */
#include "gen.h"

#include <stdarg.h>
#include <stdio.h>

/* ---- what there is ---- */

static const char preamble[] =
    "mpol 1\n"
    "package t\n"
    "use std.mesh\n"
    "signal probes as probe: event per service, instance, client lateness 1s {\n"
    "  layer: hook = service\n"
    "  i: int\n  j: int\n  n: number\n  m: number\n  pc: percent\n  d: duration\n  e: duration\n"
    "  r: rate\n  z: size\n  bw: bandwidth\n  sc: score\n  s: string\n  t: string\n  b: bool\n"
    "  addr: ip\n  st: status\n  idn: identity\n  ho: host\n  pa: path\n  po: port\n"
    "  en: enum(red, green, blue)\n  labels: map of string\n  tags: set of string\n"
    "  caller: service\n  claims: map of set of string\n"
    "  pi: int = 7\n  ps: string = \"preset\"\n  ei: int at end\n  es: string at end\n}\n"
    "signal temp: number per instance every 5s\n"
    "signal load: percent per service every 2s lateness 1s\n"
    "signal hits: counter per instance every 5s lateness 1s\n"
    "param pi1 = 3\nparam pn1 = 0.3\nparam pp1 = 50%\nparam pd1 = 100ms\nparam ps1 = \"admin\"\n"
    "let li1 = 7\n"
    "list words: string = [ \"a\", \"Admin\", \"a rather long text 1\", \"\" ]\n"
    "list parts = [ \"a\", \"long\", \"/x\" ]\n"
    "list globs: pattern = [ \"a*\", \"*x\", \"?\" ]\n"
    "list nets: cidr = [ 10.0.0.0/24, 2001:db8::/32, 192.0.2.7/32 ]\n"
    "list addrs: ip = [ 10.0.0.1, 192.0.2.7 ]\n"
    "list who: identity = [ spiffe://prod/ns/pay/sa/*, spiffe://other/ns/pay/sa/web ]\n"
    "list svcs: service = [ \"web\", \"ns1/api\" ]\n"
    "list nums: int = [ 1, 2, 3, 100 ]\n"
    "def odd per service: percent = ratio(probes where i > 2) over 5s\n"
    /* Asked only by rules on the record: what is published is the same for all who ask in a tenth
     * of a second, and those ask before the record is counted. */
    "def odd_caller per service: percent = ratio(probes where j > 2) over 5s\n"
    "def busy per instance: int = count(probes) over 10s\n"
    "def slowest per service: duration = max(probes.d) over 10s\n"
    "@min_samples 3\n"
    "def mean per client: number = avg(probes.i) over 10s\n"
    "def warm per instance: number = max(temp) over 10s\n";

struct literal_set {
    const char *const *words;
    uint32_t count;
};
#define SET(...)                                                                                   \
    {                                                                                              \
        (const char *const[]){__VA_ARGS__},                                                        \
            sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *)                      \
    }

static const struct literal_set ints =
    SET("0", "1", "2", "3", "7", "10", "100", "1000", "4096", "2M", "9007199254740993",
        "9223372036854775807", "-1", "-5");
static const struct literal_set numbers =
    SET("0.5", "1.0", "0.1", "0.3", "2.25", "100.0", "1000000.5", "0.000001", "-0.5", "3",
        "179769313486231570000000000000000000000.0");
static const struct literal_set percents =
    SET("0.7%", "5%", "50%", "99.9%", "100%", "150%", "0%", "33.3%");
static const struct literal_set durations =
    SET("1ms", "50ms", "100ms", "333us", "1s", "1500ms", "10s", "1m", "7d", "0s");
static const struct literal_set rates = SET("1/s", "100/s", "5k/min", "0.5/s", "1/h");
static const struct literal_set sizes = SET("1B", "100B", "64KiB", "1MiB", "1GB", "0B");
static const struct literal_set bandwidths = SET("10MiB/s", "100B/s", "1KB/s");
static const struct literal_set scores = SET("0.5", "0.9", "0.1", "1", "0");
static const struct literal_set strings =
    SET("\"a\"", "\"b\"", "\"Admin\"", "\"admin\"", "\"12.5\"", "\"-3e2\"", "\"\"",
        "\"a rather long text 1\"", "\"a rather long text 2\"", "\"a rather l\"");
static const struct literal_set needles =
    SET("\"a\"", "\"text\"", "\"\"", "\"min\"", "\" 1\"", "\"a rather long text 11\"");
static const struct literal_set globs =
    SET("\"a*\"", "\"*\"", "\"*text ?\"", "\"?\"", "\"a*t*1\"", "\"*n\"", "\"ad?in\"");
static const struct literal_set regexes =
    SET("'^a'", "'[0-9]+$'", "'a.*t'", "'^$'", "'(a|b)+ r'", "'(?i)ADMIN'");
static const struct literal_set windows = SET("1s", "5s", "10s", "30s", "1m", "3s", "700ms");

enum { SIG_PROBES, SIG_REQUESTS, SIG_TEMP, SIG_LOAD, SIG_HITS };

/* What an expression may speak of. */
struct scope {
    struct mp_buf *out;
    uint64_t *rng;
    bool record;        /* of the record at hand, under `prefix` */
    const char *prefix; /* "probe.", "" inside of an aggregate */
    uint32_t keys;      /* of a row: which of key_rows; only where record is false */
    bool slots, at_end;
    int depth;
    uint32_t *reads; /* how often something was read that is no constant */
};

static uint32_t below(const struct scope *s, uint32_t n) { return gen_below(s->rng, n); }
static bool one_in(const struct scope *s, uint32_t n) { return below(s, n) == 0; }

static void put(const struct scope *s, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    mp_buf_puts(s->out, text);
}

static void literal(const struct scope *s, const struct literal_set *set)
{
    const char *word = set->words[below(s, set->count)];
    put(s, word[0] == '-' ? "(%s)" : "%s", word);
}

static const struct literal_set *literals_of(enum mp_type t)
{
    switch (t) {
    case MP_TYPE_INT: return &ints;
    case MP_TYPE_NUMBER: return &numbers;
    case MP_TYPE_PERCENT: return &percents;
    case MP_TYPE_DURATION: return &durations;
    case MP_TYPE_RATE: return &rates;
    case MP_TYPE_SIZE: return &sizes;
    case MP_TYPE_BANDWIDTH: return &bandwidths;
    case MP_TYPE_SCORE: return &scores;
    default: return &strings;
    }
}

static void expr(const struct scope *s, enum mp_type t);
static void cond(const struct scope *s);

static struct scope deeper(const struct scope *s)
{
    struct scope inner = *s;
    inner.depth--;
    return inner;
}

/* ---- fields ---- */

struct field_row {
    enum mp_type type;
    const char *name;
    bool at_end;
};

static const struct field_row field_rows[] = {
    {MP_TYPE_INT, "i", false},
    {MP_TYPE_INT, "j", false},
    {MP_TYPE_INT, "pi", false},
    {MP_TYPE_INT, "ei", true},
    {MP_TYPE_NUMBER, "n", false},
    {MP_TYPE_NUMBER, "m", false},
    {MP_TYPE_PERCENT, "pc", false},
    {MP_TYPE_DURATION, "d", false},
    {MP_TYPE_DURATION, "e", false},
    {MP_TYPE_RATE, "r", false},
    {MP_TYPE_SIZE, "z", false},
    {MP_TYPE_BANDWIDTH, "bw", false},
    {MP_TYPE_SCORE, "sc", false},
    {MP_TYPE_STRING, "s", false},
    {MP_TYPE_STRING, "t", false},
    {MP_TYPE_STRING, "ps", false},
    {MP_TYPE_STRING, "es", true},
    {MP_TYPE_STRING, "labels[\"x\"]", false},
    {MP_TYPE_STRING, "labels[\"y\"]", false},
};

/* A field of the record at hand of this type; there is one for every type that expr() is asked
 * for. */
static void field(const struct scope *s, enum mp_type t)
{
    uint32_t fits[sizeof field_rows / sizeof *field_rows], count = 0;
    for (uint32_t i = 0; i < sizeof field_rows / sizeof *field_rows; i++) {
        if (field_rows[i].type == t && (s->at_end || !field_rows[i].at_end)) fits[count++] = i;
    }
    ++*s->reads;
    put(s, "%s%s", s->prefix, field_rows[fits[below(s, count)]].name);
}

/* ---- aggregates ---- */

static const char *const key_rows[] = {
    "svc",
    "instance",
    "client",
    "mesh",
    "svc, client",
    "client.country max 100",
    "instance.zone max 100",
    "probes.s max 100",
    "probes.labels[\"x\"] max 100",
    "svc, probes.en max 100",
    "client.asn max 100",
};
enum { KEYS_SVC, KEYS_INSTANCE, KEYS_CLIENT, KEYS_MESH, KEYS_SVC_CLIENT };
#define KEY_ROWS (sizeof key_rows / sizeof *key_rows)

static void where(const struct scope *s)
{
    struct scope inner = *s;
    inner.record = true;
    inner.prefix = "";
    inner.at_end = true;
    inner.depth = s->depth < 1 ? s->depth : 1;
    if (one_in(s, 2)) return;
    put(s, " where ");
    cond(&inner);
}

static void field_argument(const struct scope *s, enum mp_type t)
{
    struct scope inner = *s;
    inner.record = true;
    inner.prefix = "probes.";
    inner.at_end = true;
    if (one_in(s, 5) && s->depth > 0) {
        inner.depth = 1;
        put(s, "(");
        field(&inner, t);
        put(s, " + ");
        inner.depth = 0;
        field(&inner, t);
        put(s, ")");
        return;
    }
    field(&inner, t);
}

static void window(const struct scope *s)
{
    put(s, ") over ");
    literal(s, &windows);
}

static void aggregate_of(const struct scope *s, const char *const *words, uint32_t count,
                         enum mp_type t)
{
    put(s, "%s(", words[below(s, count)]);
    field_argument(s, t);
    where(s);
    window(s);
}

static void count_of(const struct scope *s, const char *word)
{
    put(s, "%s(probes", word);
    where(s);
    window(s);
}

static void ratio(const struct scope *s)
{
    struct scope inner = *s;
    inner.record = true;
    inner.prefix = "";
    inner.at_end = true;
    inner.depth = 1;
    put(s, "ratio(probes where ");
    cond(&inner);
    window(s);
}

static void gauge_over(const struct scope *s, const char *signal)
{
    static const char *const words[] = {"max", "min", "avg"};
    put(s, "%s(%s", words[below(s, 3)], signal);
    window(s);
}

static const char *const edges[] = {"min", "max", "p50", "p90", "p99", "p999"};
static const char *const means[] = {"avg", "stddev", "p95"};
static const char *const sums[] = {"sum", "min", "max"};

/* A value of type t over windows, or false: there is none. */
static bool aggregate(const struct scope *s, enum mp_type t)
{
    switch (t) {
    case MP_TYPE_INT:
        switch (below(s, 5)) {
        case 0:
        case 1: count_of(s, "count"); return true;
        case 2:
            put(s, "distinct(probes.%s", one_in(s, 2) ? "s" : one_in(s, 2) ? "i" : "addr");
            where(s);
            window(s);
            return true;
        case 3:
            if (s->keys <= KEYS_INSTANCE && one_in(s, 2)) {
                put(s, "sum(hits");
                window(s);
                return true;
            }
            aggregate_of(s, sums, 3, MP_TYPE_INT);
            return true;
        default: aggregate_of(s, edges, 6, MP_TYPE_INT); return true;
        }
    case MP_TYPE_NUMBER:
        if (s->keys == KEYS_INSTANCE && one_in(s, 3)) {
            if (one_in(s, 2)) put(s, "temp");
            else gauge_over(s, "temp");
            return true;
        }
        if (one_in(s, 3)) aggregate_of(s, means, 2, MP_TYPE_INT);
        else if (one_in(s, 2)) aggregate_of(s, means, 3, MP_TYPE_NUMBER);
        else aggregate_of(s, one_in(s, 2) ? edges : sums, 3, MP_TYPE_NUMBER);
        return true;
    case MP_TYPE_PERCENT:
        if (s->keys == KEYS_SVC && one_in(s, 3)) {
            if (one_in(s, 2)) put(s, "load");
            else gauge_over(s, "load");
            return true;
        }
        if (one_in(s, 3)) aggregate_of(s, edges, 3, MP_TYPE_PERCENT);
        else ratio(s);
        return true;
    case MP_TYPE_DURATION:
        aggregate_of(s, one_in(s, 2) ? edges : one_in(s, 2) ? means : sums, 3, MP_TYPE_DURATION);
        return true;
    case MP_TYPE_RATE:
        if (one_in(s, 2)) count_of(s, "rate");
        else if (one_in(s, 2))
            aggregate_of(s, (const char *const[]){"rate"}, 1,
                         one_in(s, 2) ? MP_TYPE_INT : MP_TYPE_NUMBER);
        else aggregate_of(s, edges, 2, MP_TYPE_RATE);
        return true;
    case MP_TYPE_SIZE: aggregate_of(s, sums, 3, MP_TYPE_SIZE); return true;
    case MP_TYPE_BANDWIDTH:
        if (one_in(s, 2)) aggregate_of(s, (const char *const[]){"rate"}, 1, MP_TYPE_SIZE);
        else aggregate_of(s, edges, 2, MP_TYPE_BANDWIDTH);
        return true;
    case MP_TYPE_SCORE: aggregate_of(s, edges, 2, MP_TYPE_SCORE); return true;
    default: return false;
    }
}

/* A definition that the row's keys reach. */
static bool definition(const struct scope *s, enum mp_type t)
{
    bool svc = s->keys == KEYS_SVC || s->keys == KEYS_SVC_CLIENT,
         instance = s->keys == KEYS_INSTANCE;
    const char *windowed = one_in(s, 3) ? " over 5s" : "";
    if (t == MP_TYPE_PERCENT && (svc || instance)) {
        if (s->slots && one_in(s, 3))
            put(s, "(odd of %s)", one_in(s, 2) ? "\"web\"" : svc ? "svc.callers" : "\"ns1/api\"");
        else put(s, "odd%s", windowed);
        return true;
    }
    if (t == MP_TYPE_INT && instance) {
        put(s, "busy%s", windowed);
        return true;
    }
    if (t == MP_TYPE_DURATION && (svc || instance)) {
        put(s, "slowest%s", windowed);
        return true;
    }
    if (t == MP_TYPE_NUMBER && (s->keys == KEYS_CLIENT || s->keys == KEYS_SVC_CLIENT)) {
        put(s, "mean%s", windowed);
        return true;
    }
    if (t == MP_TYPE_INT && svc && s->slots) {
        if (one_in(s, 2)) put(s, "count(svc.%s)", one_in(s, 2) ? "instances" : "callers");
        else
            put(s, "count(instances of svc where %s %s %u)", one_in(s, 2) ? "warm" : "busy",
                one_in(s, 2) ? ">" : "<=", below(s, 6));
        return true;
    }
    return false;
}

/* ---- expressions ---- */

static void leaf(const struct scope *s, enum mp_type t)
{
    if (!s->record) {
        ++*s->reads;
        if (s->slots && s->keys == KEYS_SVC && one_in(s, 8)) {
            put(s, "(");
            bool there = aggregate(s, t);
            if (!there) literal(s, literals_of(t));
            put(s, there ? " of %s)" : ")", one_in(s, 2) ? "svc.callers" : "\"web\"");
            return;
        }
        if (one_in(s, 3) && definition(s, t)) return;
        if (!one_in(s, 4) && aggregate(s, t)) return;
        --*s->reads;
    } else if (t == MP_TYPE_PERCENT && s->slots && s->prefix[0] != '\0' && one_in(s, 6)) {
        ++*s->reads;
        put(s, "(odd_caller of %scaller)", s->prefix);
        return;
    } else if (!one_in(s, 4)) {
        field(s, t);
        return;
    }
    if (one_in(s, 4)) {
        const char *name = t == MP_TYPE_INT        ? (one_in(s, 2) ? "pi1" : "li1")
                           : t == MP_TYPE_NUMBER   ? "pn1"
                           : t == MP_TYPE_PERCENT  ? "pp1"
                           : t == MP_TYPE_DURATION ? "pd1"
                           : t == MP_TYPE_STRING   ? "ps1"
                                                   : NULL;
        if (name != NULL) {
            put(s, "%s", name);
            return;
        }
    }
    literal(s, literals_of(t));
}

static void both(const struct scope *s, enum mp_type a, const char *op, enum mp_type b)
{
    struct scope inner = deeper(s);
    put(s, "(");
    expr(&inner, a);
    put(s, " %s ", op);
    expr(&inner, b);
    put(s, ")");
}

static const char *sign(const struct scope *s) { return one_in(s, 2) ? "+" : "-"; }

static void call_number(const struct scope *s, enum mp_type t)
{
    struct scope inner = deeper(s);
    switch (below(s, 5)) {
    case 0:
        put(s, "abs(");
        expr(&inner, t);
        put(s, ")");
        break;
    case 1:
        put(s, "clamp(");
        expr(&inner, t);
        put(s, ", ");
        expr(&inner, t);
        put(s, ", ");
        expr(&inner, t);
        put(s, ")");
        break;
    case 2:
        put(s, "points(");
        cond(&inner);
        put(s, ", ");
        literal(s, literals_of(t));
        put(s, ")");
        break;
    case 3:
        put(s, "(");
        expr(&inner, t);
        put(s, " default ");
        literal(s, literals_of(t));
        put(s, ")");
        break;
    default:
        put(s, "(-");
        expr(&inner, t);
        put(s, ")");
        break;
    }
}

static void scaled(const struct scope *s, enum mp_type t)
{
    static const enum mp_type by[] = {MP_TYPE_INT, MP_TYPE_NUMBER, MP_TYPE_PERCENT};
    enum mp_type factor = by[below(s, t == MP_TYPE_SCORE ? 2 : 3)];
    if (one_in(s, 2)) both(s, t, one_in(s, 2) ? "*" : "/", factor);
    else both(s, factor, "*", t);
}

static void string(const struct scope *s)
{
    struct scope inner = deeper(s);
    if (one_in(s, 2)) {
        put(s, "lower(");
        expr(&inner, MP_TYPE_STRING);
        put(s, ")");
    } else {
        put(s, "(");
        expr(&inner, MP_TYPE_STRING);
        put(s, " default ");
        literal(s, &strings);
        put(s, ")");
    }
}

static void expr(const struct scope *s, enum mp_type t)
{
    if (s->depth <= 0 || one_in(s, 3)) {
        leaf(s, t);
        return;
    }
    if (t == MP_TYPE_STRING) {
        if (s->record) string(s);
        else leaf(s, t);
        return;
    }
    if (one_in(s, 3)) {
        call_number(s, t);
        return;
    }
    struct scope inner = deeper(s);
    uint32_t how = below(s, 4);
    if (how == 0) {
        both(s, t, sign(s), t);
        return;
    }
    switch (t) {
    case MP_TYPE_INT:
        if (how == 1) both(s, t, "*", t);
        else if (how == 2 && s->record) {
            put(s, "length(");
            expr(&inner, MP_TYPE_STRING);
            put(s, ")");
        } else {
            put(s, "pow(");
            expr(&inner, t);
            put(s, ", %u)", below(s, 5));
        }
        break;
    case MP_TYPE_NUMBER:
        if (how == 1) both(s, t, "*", one_in(s, 2) ? t : MP_TYPE_INT);
        else if (how == 2) both(s, MP_TYPE_RATE, "*", MP_TYPE_DURATION);
        else if (one_in(s, 2) && s->record) {
            put(s, "number(");
            expr(&inner, MP_TYPE_STRING);
            put(s, ")");
        } else {
            put(s, "pow(");
            expr(&inner, t);
            put(s, ", %u)", below(s, 7));
        }
        break;
    case MP_TYPE_PERCENT: {
        static const enum mp_type same[] = {MP_TYPE_INT,     MP_TYPE_NUMBER, MP_TYPE_DURATION,
                                            MP_TYPE_RATE,    MP_TYPE_SIZE,   MP_TYPE_BANDWIDTH,
                                            MP_TYPE_PERCENT, MP_TYPE_SCORE};
        enum mp_type u = same[below(s, 8)];
        if (how == 1) scaled(s, t);
        else both(s, u, "/", u);
        break;
    }
    case MP_TYPE_RATE:
        if (how == 1) both(s, one_in(s, 2) ? MP_TYPE_INT : MP_TYPE_NUMBER, "/", MP_TYPE_DURATION);
        else scaled(s, t);
        break;
    case MP_TYPE_SIZE:
        if (how == 1) both(s, MP_TYPE_BANDWIDTH, "*", MP_TYPE_DURATION);
        else scaled(s, t);
        break;
    case MP_TYPE_BANDWIDTH:
        if (how == 1) both(s, MP_TYPE_SIZE, "/", MP_TYPE_DURATION);
        else scaled(s, t);
        break;
    default: scaled(s, t); break;
    }
}

/* ---- conditions ---- */

static const enum mp_type numeric[] = {MP_TYPE_INT,     MP_TYPE_INT,       MP_TYPE_NUMBER,
                                       MP_TYPE_PERCENT, MP_TYPE_DURATION,  MP_TYPE_RATE,
                                       MP_TYPE_SIZE,    MP_TYPE_BANDWIDTH, MP_TYPE_SCORE};

/* An expression that is no constant: what is always true or false is refused. */
static void measured(const struct scope *s, enum mp_type t)
{
    size_t at = s->out->len;
    uint32_t before = *s->reads;
    for (int tries = 0; tries < 8; tries++) {
        expr(s, t);
        if (*s->reads != before) return;
        s->out->len = at;
    }
    expr(s, t);
}

static void compare(const struct scope *s)
{
    static const char *const cmps[] = {"<", "<=", ">", ">=", "==", "!=", ">", ">="};
    enum mp_type t = numeric[below(s, 9)];
    measured(s, t);
    put(s, " %s ", cmps[below(s, 8)]);
    if (one_in(s, 3)) expr(s, t);
    else literal(s, literals_of(t));
}

static void in_range(const struct scope *s)
{
    static const struct { enum mp_type t; const char *range;
    } rows[] = {
        {MP_TYPE_INT, "1..3"},          {MP_TYPE_PERCENT, "5%..50%"},
        {MP_TYPE_DURATION, "50ms..1s"}, {MP_TYPE_SIZE, "100B..64KiB"},
        {MP_TYPE_NUMBER, "0.1..2.25"},  {MP_TYPE_RATE, "1/s..100/s"},
    };
    uint32_t i = below(s, 6);
    measured(s, rows[i].t);
    put(s, "%s in %s", one_in(s, 3) ? " not" : "", rows[i].range);
}

static void is_state(const struct scope *s)
{
    static const char *const states[] = {"known", "unknown", "absent"};
    const char *negated = one_in(s, 4) ? "not " : "";
    struct scope inner = *s;
    inner.depth = 0;
    if (!s->record && one_in(s, 5)) {
        put(s, "%s is %sstale", one_in(s, 2) ? "probes" : "temp", negated);
        return;
    }
    put(s, "(");
    if (s->record) {
        field(&inner, one_in(s, 2) ? MP_TYPE_STRING : MP_TYPE_INT);
    } else if (!definition(&inner, MP_TYPE_PERCENT)) {
        aggregate(&inner, numeric[below(s, 5)]);
    }
    put(s, ") is %s%s", negated, states[below(s, 3)]);
}

static const char *p(const struct scope *s) { return s->prefix; }

static void texts(const struct scope *s)
{
    struct scope inner = *s;
    inner.depth = s->depth > 1 ? 1 : s->depth;
    measured(&inner, MP_TYPE_STRING);
    switch (below(s, 13)) {
    case 12: put(s, " matches "); literal(s, &regexes); break;
    case 0: put(s, " == "); literal(s, &strings); break;
    case 1: put(s, " != "); literal(s, &strings); break;
    case 2: put(s, " like "); literal(s, &globs); break;
    case 3: put(s, " starts with "); literal(s, &needles); break;
    case 4: put(s, " ends with "); literal(s, &needles); break;
    case 5: put(s, " contains "); literal(s, &needles); break;
    case 6: put(s, " in words"); break;
    case 7: put(s, " not in words"); break;
    case 8:
        put(s, " %s parts", one_in(s, 3) ? "starts with" : one_in(s, 2) ? "ends with" : "contains");
        break;
    case 9: put(s, " like globs"); break;
    case 10: put(s, " in [ \"a\", \"b\" ]"); break;
    default: put(s, " == "); field(s, MP_TYPE_STRING); break;
    }
}

/* What can be asked of a record beside its numbers and texts. */
static void of_record(const struct scope *s)
{
    switch (below(s, 20)) {
    case 16: put(s, "%scaller.tier is %s", p(s), one_in(s, 2) ? "batch" : "standard"); break;
    case 17: put(s, "%scaller %s", p(s), one_in(s, 2) ? "in svcs" : "== \"web\""); break;
    case 18: put(s, "%sclaims[\"g\"] contains \"%s\"", p(s), one_in(s, 2) ? "a" : "b"); break;
    case 19:
        put(s, "%scaller.labels[\"team\"] %s", p(s), one_in(s, 2) ? "== \"pay\"" : "is absent");
        break;
    case 0: put(s, "%sb", p(s)); break;
    case 1: put(s, "%sb is %s", p(s), one_in(s, 2) ? "true" : "false"); break;
    case 2: put(s, "%saddr in nets", p(s)); break;
    case 3: put(s, "%saddr %sin 10.0.0.0/24", p(s), one_in(s, 2) ? "not " : ""); break;
    case 4: put(s, "%saddr == 10.0.0.1", p(s)); break;
    case 5: put(s, "%saddr in addrs", p(s)); break;
    case 6: put(s, "%sst in 5xx", p(s)); break;
    case 7: put(s, "%sst %s 500", p(s), one_in(s, 2) ? ">=" : "=="); break;
    case 8: put(s, "%sidn in who", p(s)); break;
    case 9: put(s, "%sidn == spiffe://prod/ns/%s/sa/web", p(s), one_in(s, 2) ? "pay" : "*"); break;
    case 10:
        put(s, "%sen %s", p(s), one_in(s, 2) ? "== red" : one_in(s, 2) ? "!= blue" : "is green");
        break;
    case 11: put(s, "%stags contains \"%s\"", p(s), one_in(s, 2) ? "a" : "b"); break;
    case 12:
        put(s, "%spa %s", p(s), one_in(s, 2) ? "like \"/admin*\"" : "starts with \"/a\"");
        break;
    case 13: put(s, "%sho == \"%s\"", p(s), one_in(s, 2) ? "api.example" : "a"); break;
    case 14: put(s, "%si in nums", p(s)); break;
    default:
        put(s, "%sidn.%s == \"%s\"", p(s), one_in(s, 2) ? "namespace" : "trust_domain",
            one_in(s, 2) ? "pay" : "prod");
        break;
    }
}

/* What can be asked of entities, where they are reached. */
static bool of_entities(const struct scope *s)
{
    bool svc =
        s->record || s->keys == KEYS_SVC || s->keys == KEYS_SVC_CLIENT || s->keys == KEYS_INSTANCE;
    bool client = s->record || s->keys == KEYS_CLIENT || s->keys == KEYS_SVC_CLIENT;
    if (svc && one_in(s, 2)) {
        switch (below(s, 6)) {
        case 0: put(s, "svc.tier is %s", one_in(s, 2) ? "batch" : "critical"); break;
        case 1: put(s, "svc in svcs"); break;
        case 2: put(s, "svc == \"web\""); break;
        case 3: put(s, "svc.labels[\"team\"] == \"pay\""); break;
        case 4: put(s, "svc.candidate is %s", one_in(s, 2) ? "known" : "absent"); break;
        default: put(s, "svc.namespace == \"default\""); break;
        }
        return true;
    }
    if (client) {
        switch (below(s, 5)) {
        case 0: put(s, "client.ip in nets"); break;
        case 1: put(s, "client.country == \"de\""); break;
        case 2: put(s, "client.bot"); break;
        case 3: put(s, "client.asn in 64500..64510"); break;
        default: put(s, "client == 10.0.0.1"); break;
        }
        return true;
    }
    return false;
}

static void relation(const struct scope *s)
{
    uint32_t kind = below(s, 20);
    if (kind < 8) compare(s);
    else if (kind < 10) in_range(s);
    else if (kind < 12) is_state(s);
    else if (kind < 14 && of_entities(s)) return;
    else if (s->record && kind < 17) of_record(s);
    else if (s->record) texts(s);
    else compare(s);
}

static void cond(const struct scope *s)
{
    if (s->depth <= 0 || one_in(s, 3)) {
        relation(s);
        return;
    }
    struct scope inner = deeper(s);
    switch (below(s, 5)) {
    case 0:
        put(s, "not (");
        cond(&inner);
        put(s, ")");
        break;
    case 1:
    case 2:
        put(s, "(");
        cond(&inner);
        put(s, ") and (");
        cond(&inner);
        put(s, ")");
        break;
    case 3:
        put(s, "(");
        cond(&inner);
        put(s, ") or (");
        cond(&inner);
        put(s, ")");
        break;
    default: relation(s); break;
    }
}

/* ---- rules ---- */

static void message(const struct scope *s, bool audit)
{
    uint32_t holes = 1 + below(s, 3);
    put(s, audit ? "audit probe and notify \"" : "notify \"");
    for (uint32_t i = 0; i < holes; i++) {
        struct scope inner = *s;
        struct mp_buf hole;
        mp_buf_init(&hole, s->out->arena);
        inner.out = &hole;
        inner.depth = 2;
        expr(&inner, s->record && one_in(s, 3) ? MP_TYPE_STRING : numeric[below(s, 9)]);
        /* Inside of a string, strings have the other quotes. */
        put(s, "v%u {", i);
        for (size_t k = 0; k < hole.len; k++)
            mp_buf_putc(s->out, hole.ptr[k] == '"' ? '\'' : hole.ptr[k]);
        put(s, "} ");
    }
    put(s, "\"");
}

static const char *const layers[] = {
    "", "", "", " at ingress", " at service, edge", " at ingress, service, edge"};

static void record_rule(const struct scope *s, uint32_t number)
{
    put(s, "rule r%u%s when ", number, layers[below(s, 6)]);
    cond(s);
    if (one_in(s, 4)) {
        put(s, " unless ");
        cond(s);
    }
    put(s, " then ");
    message(s, one_in(s, 3));
    put(s, "\n");
}

static void instant_rule(const struct scope *s, uint32_t number)
{
    struct scope record = *s;
    record.record = true;
    record.prefix = "probe.";
    record.slots = false;
    put(s, "rule r%u when ", number);
    cond(&record);
    put(s, " per %s then ", key_rows[s->keys]);
    struct scope row = *s;
    row.record = false;
    message(&row, false);
    put(s, "\n");
}

static void checks(const struct scope *s)
{
    put(s, "throttle %s to 50%% for 10m verify ",
        s->keys == KEYS_SVC        ? "svc"
        : s->keys == KEYS_INSTANCE ? "instance"
                                   : "client");
    cond(s);
    put(s, " within 4m settle 2s");
    if (one_in(s, 2)) {
        put(s, " harm ");
        cond(s);
    }
    put(s, " else rollback");
    if (one_in(s, 2)) {
        put(s, " until ");
        cond(s);
        put(s, " for 10s");
    }
}

static void loop_rule(const struct scope *s, uint32_t number)
{
    put(s, "rule r%u%s when ", number, layers[below(s, 6)]);
    cond(s);
    if (one_in(s, 4)) put(s, " for 5s");
    put(s, " per %s", key_rows[s->keys]);
    if (one_in(s, 5)) {
        put(s, " unless ");
        cond(s);
    }
    put(s, " then ");
    if (s->keys <= KEYS_CLIENT && one_in(s, 3)) checks(s);
    else message(s, false);
    put(s, "\n");
}

static void rule(const struct gen_batch *b, struct mp_buf *text, uint32_t number)
{
    uint64_t rng = (b->seed * 0x9e3779b97f4a7c15u) ^ ((uint64_t)number * 0xbf58476d1ce4e5b9u) ^
                   0x94d049bb133111ebu;
    if (rng == 0) rng = 1;
    mp_rng_next(&rng);
    uint32_t reads = 0;
    struct scope s = {.out = text,
                      .rng = &rng,
                      .record = true,
                      .prefix = "probe.",
                      .slots = b->slots,
                      .depth = 3,
                      .reads = &reads};
    s.at_end = one_in(&s, 4);
    if (one_in(&s, 4)) s.depth = 1;
    uint32_t kind = below(&s, 20);
    s.keys = one_in(&s, 3) ? below(&s, KEY_ROWS) : below(&s, 5);
    if (kind < 9) {
        record_rule(&s, number);
        return;
    }
    if (kind == 9) {
        instant_rule(&s, number);
        return;
    }
    s.record = false;
    s.depth = s.depth > 2 ? 2 : s.depth;
    loop_rule(&s, number);
}

void gen_policy(const struct gen_batch *b, struct mp_buf *text, uint32_t *offsets)
{
    mp_buf_puts(text, preamble);
    for (uint32_t i = 0; i < b->rules; i++) {
        offsets[i] = (uint32_t)text->len;
        if (b->out == NULL || !b->out[i]) rule(b, text, i);
    }
    offsets[b->rules] = (uint32_t)text->len;
}
