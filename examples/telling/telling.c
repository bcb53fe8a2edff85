/* SPDX-License-Identifier: Apache-2.0 */
#include "telling.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define WORDS_MAX 24 /* different words that one tale can be told with */

static struct {
    int64_t began_ns, first_bad_ns, gone_ns, mark_ns[MARKS], said_ns[MARKS];
    unsigned long leaked, harmed, refused, broken;
    unsigned told[WORDS_MAX];
} tales[TALES_MAX];

static const struct plot *plots;
static int tale_count;
static int64_t opened_ns;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool on_tty, status_shown;

/* ---- the clock ---- */

int64_t tell_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}

double tell_seconds(int64_t wall_ns) { return (double)(wall_ns - opened_ns) / 1e9; }

void tell_sleep_ns(int64_t ns)
{
    struct timespec t = {ns / NS_PER_S, ns % NS_PER_S};
    nanosleep(&t, NULL);
}

/* ---- the terminal ---- */

static const char *const colours[] = {"",         "\033[31m", "\033[32m",
                                      "\033[33m", "\033[36m", "\033[2m"};

void tell_open(const struct plot *all, int count, bool tty)
{
    plots = all;
    tale_count = count < TALES_MAX ? count : TALES_MAX;
    on_tty = tty;
    opened_ns = tell_now_ns();
}

static void wipe_status(void)
{
    if (status_shown) fputs("\r\033[K", stdout);
    status_shown = false;
}

/* With the lock held. */
static void line(enum colour colour, int64_t wall_ns, const char *word, const char *text)
{
    wipe_status();
    printf("%7.3fs  %s%-11s%s %s\n", tell_seconds(wall_ns), on_tty ? colours[colour] : "", word,
           on_tty && colour != PLAIN ? "\033[0m" : "", text);
    fflush(stdout);
}

void tell_line(enum colour colour, const char *word, const char *format, ...)
{
    char text[320];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    pthread_mutex_lock(&lock);
    line(colour, tell_now_ns(), word, text);
    pthread_mutex_unlock(&lock);
}

void tell_say(const char *format, ...)
{
    va_list args;
    pthread_mutex_lock(&lock);
    wipe_status();
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    fflush(stdout);
    pthread_mutex_unlock(&lock);
}

void tell_status(const char *format, ...)
{
    va_list args;
    if (!on_tty) return;
    pthread_mutex_lock(&lock);
    fputs("\r\033[K\033[2m", stdout);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    fputs("\033[0m", stdout);
    fflush(stdout);
    status_shown = true;
    pthread_mutex_unlock(&lock);
}

/* ---- what is seen ---- */

bool tell_begun(int tale, int64_t wall_ns)
{
    pthread_mutex_lock(&lock);
    bool begun = tales[tale].began_ns != 0 && wall_ns >= tales[tale].began_ns;
    pthread_mutex_unlock(&lock);
    return begun;
}

void tell_bad(int tale, int64_t wall_ns, const char *format, ...)
{
    char text[160];
    va_list args;
    pthread_mutex_lock(&lock);
    bool begun = tales[tale].began_ns != 0 && wall_ns >= tales[tale].began_ns;
    bool first = begun && tales[tale].first_bad_ns == 0;
    if (first) {
        tales[tale].first_bad_ns = wall_ns;
        va_start(args, format);
        vsnprintf(text, sizeof text, format, args);
        va_end(args);
        line(DIM, wall_ns, "seen", text);
    }
    pthread_mutex_unlock(&lock);
}

void tell_refused(int tale)
{
    pthread_mutex_lock(&lock);
    tales[tale].refused++;
    pthread_mutex_unlock(&lock);
}

void tell_leaked(int tale)
{
    pthread_mutex_lock(&lock);
    tales[tale].leaked++;
    pthread_mutex_unlock(&lock);
}

void tell_harmed(int tale)
{
    pthread_mutex_lock(&lock);
    tales[tale].harmed++;
    pthread_mutex_unlock(&lock);
}

bool tell_check(int tale, bool holds, const char *format, ...)
{
    char text[320];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    pthread_mutex_lock(&lock);
    if (!holds) tales[tale].broken++;
    line(holds ? GREEN : RED, tell_now_ns(), holds ? "checked" : "NOT SO", text);
    pthread_mutex_unlock(&lock);
    return holds;
}

static void mark(int tale, enum mark m, int64_t wall_ns)
{
    if (tales[tale].mark_ns[m] == 0) tales[tale].mark_ns[m] = wall_ns;
    pthread_cond_broadcast(&changed);
}

static void since(int tale, int64_t wall_ns, char *out, size_t size)
{
    int64_t bad = tales[tale].first_bad_ns, decided = tales[tale].mark_ns[DECIDED];
    int len = 0;
    out[0] = '\0';
    if (bad != 0) {
        len = snprintf(out, size, "  +%.3fs since the first", (double)(wall_ns - bad) / 1e9);
    }
    int64_t later = wall_ns - decided;
    if (decided != 0 && later > 0 && len >= 0 && (size_t)len < size) {
        snprintf(out + len, size - (size_t)len, ", +%.*fs since the decision",
                 later < NS_PER_MS ? 6 : 3, (double)later / 1e9);
    }
}

void tell_inline(int tale, int64_t wall_ns, int status)
{
    char text[160], times[96];
    pthread_mutex_lock(&lock);
    if (tales[tale].mark_ns[DECIDED] == 0) {
        mark(tale, DECIDED, wall_ns);
        mark(tale, EFFECTIVE, wall_ns);
        since(tale, wall_ns, times, sizeof times);
        snprintf(text, sizeof text, "%-16s %d at the gate, before the service%s", plots[tale].rule,
                 status, times);
        line(YELLOW, wall_ns, "refused", text);
    }
    pthread_mutex_unlock(&lock);
}

/* ---- what the loop tells ---- */

/* Which transitions are told, in which words. The others are in the ledger. */
static const struct telling {
    const char *machine, *to, *word;
    enum mark mark;
    enum colour colour;
} tellings[] = {
    {"incident", "open", "decision", DECIDED, YELLOW},
    {"lease", "accepted", "accepted", MARKS, DIM},
    {"message", "accepted", "message", MARKS, PLAIN},
    {"lease", "effective", "effective", EFFECTIVE, BLUE},
    {"lease", "withheld", "withheld", MARKS, RED},
    {"lease", "stuck", "stuck", MARKS, RED},
    {"incident", "confirmed", "confirmed", CONFIRMED, GREEN},
    {"incident", "failed", "failed", FAILED, RED},
    {"incident", "inconclusive", "unclear", MARKS, RED},
    {"incident", "harmful", "harmful", HARMFUL, RED},
    {"incident", "rolled_back", "rolled back", ROLLED_BACK, GREEN},
    {"incident", "releasing", "releasing", RELEASING, BLUE},
    {"incident", "released", "released", RELEASED, GREEN},
};
_Static_assert(sizeof tellings / sizeof *tellings <= WORDS_MAX, "a count for each word");

static bool text_is(struct mpol_text t, const char *word)
{
    return t.len == strlen(word) && memcmp(t.ptr, word, t.len) == 0;
}

static const struct telling *telling_of(const struct mpol_entry *x)
{
    bool message = text_is(x->verb, "notify") || text_is(x->verb, "page");
    if (text_is(x->why, "inline")) return NULL; /* the proxy has told it */
    for (size_t i = 0; i < sizeof tellings / sizeof *tellings; i++) {
        const struct telling *t = &tellings[i];
        bool machine =
            message ? strcmp(t->machine, "message") == 0 : text_is(x->machine, t->machine);
        if (machine && text_is(x->to, t->to)) return t;
    }
    return NULL;
}

/* How much of what was in force a step of a ramp has given back: the entry's cause says it. */
static struct mpol_text given_back(const struct mpol_entry *x)
{
    static const char name[] = "\"given_back\":\"";
    const char *at = memmem(x->json.ptr, x->json.len, name, sizeof name - 1);
    if (at == NULL) return mpol_text("");
    at += sizeof name - 1;
    const char *end = memchr(at, '"', (size_t)(x->json.ptr + x->json.len - at));
    return (struct mpol_text){at, end != NULL ? (size_t)(end - at) : 0};
}

/* `key` for an incident, `verb target` for a lease, and why where there is a word for it. */
static void what(const struct mpol_entry *x, char *out, size_t size)
{
    bool lease = text_is(x->machine, "lease");
    struct mpol_text whom = lease ? x->target : x->key, share = given_back(x);
    snprintf(out, size, "%.*s%s%.*s%s%.*s%s%.*s", (int)x->verb.len, x->verb.ptr, lease ? " " : "",
             (int)whom.len, whom.ptr, x->why.len > 0 ? ", " : "", (int)x->why.len, x->why.ptr,
             share.len > 0 ? " " : "", (int)share.len, share.ptr);
}

/* With the lock held: marks the tales that the entry belongs to, and says whether it is worth a
 * line. */
static bool take_entry(const struct mpol_entry *x, const struct telling *t, int64_t now,
                       char *times, size_t times_size)
{
    bool tell = true;
    for (int i = 0; i < tale_count; i++) {
        if (!text_is(x->rule, plots[i].rule)) continue;
        unsigned *told = &tales[i].told[t - tellings];
        /* What the rule did before the cause was there is not the tale's. */
        bool mine =
            tales[i].began_ns != 0 && (plots[i].key == NULL || text_is(x->key, plots[i].key));
        enum mark m = t->mark == EFFECTIVE && x->rung > 1 ? ESCALATED : t->mark;
        if (mine && m != MARKS && tales[i].mark_ns[m] == 0) tales[i].said_ns[m] = x->wall_ns;
        if (mine && m != MARKS) mark(i, m, now);
        if (mine) since(i, now, times, times_size);
        if (plots[i].lines != 0 && ++*told > plots[i].lines && (!mine || plots[i].key == NULL))
            tell = false;
    }
    return tell;
}

void tell_entry(void *ctx, const struct mpol_entry *x)
{
    (void)ctx;
    const struct telling *t = telling_of(x);
    if (t == NULL) return;
    int64_t now = tell_now_ns();
    char text[320], whom[160], times[96] = "";
    what(x, whom, sizeof whom);
    pthread_mutex_lock(&lock);
    if (take_entry(x, t, now, times, sizeof times)) {
        snprintf(text, sizeof text, "%-16.*s %-28s%s", (int)x->rule.len, x->rule.ptr, whom, times);
        line(t->colour, now, t->word, text);
    }
    pthread_mutex_unlock(&lock);
}

/* ---- causes, and waiting for what follows ---- */

void tell_begin(int tale, const char *cause)
{
    pthread_mutex_lock(&lock);
    tales[tale].began_ns = tell_now_ns();
    line(RED, tales[tale].began_ns, "cause", cause);
    pthread_mutex_unlock(&lock);
}

void tell_cause_gone(int tale, const char *how)
{
    pthread_mutex_lock(&lock);
    tales[tale].gone_ns = tell_now_ns();
    line(GREEN, tales[tale].gone_ns, "cause gone", how);
    pthread_mutex_unlock(&lock);
}

int64_t tell_mark_ns(int tale, enum mark m)
{
    pthread_mutex_lock(&lock);
    int64_t at = tales[tale].mark_ns[m];
    pthread_mutex_unlock(&lock);
    return at;
}

int64_t tell_said_ns(int tale, enum mark m)
{
    pthread_mutex_lock(&lock);
    int64_t at = tales[tale].said_ns[m];
    pthread_mutex_unlock(&lock);
    return at;
}

bool tell_wait(int tale, enum mark m, int64_t until_ns)
{
    struct timespec until = {until_ns / NS_PER_S, until_ns % NS_PER_S};
    int timed_out = 0;
    pthread_mutex_lock(&lock);
    while (tales[tale].mark_ns[m] == 0 && timed_out == 0) {
        timed_out = pthread_cond_timedwait(&changed, &lock, &until);
    }
    bool met = tales[tale].mark_ns[m] != 0;
    pthread_mutex_unlock(&lock);
    return met;
}

/* ---- the table ---- */

static void cell(int64_t from_ns, int64_t to_ns)
{
    if (from_ns == 0 || to_ns == 0) {
        printf(" %9s", "-");
    } else if (to_ns - from_ns < NS_PER_MS) {
        printf(" %7.0fus", (double)(to_ns - from_ns) / 1e3);
    } else {
        printf(" %8.2fs", (double)(to_ns - from_ns) / 1e9);
    }
}

static bool closed(int tale)
{
    int64_t last = 0;
    for (int m = 0; m < MARKS; m++) {
        if ((plots[tale].marks >> m & 1) == 0) continue;
        int64_t at = tales[tale].mark_ns[m];
        if (at == 0 || at < last) return false;
        last = at;
    }
    if (tales[tale].broken > 0 || (plots[tale].watertight && tales[tale].leaked > 0)) return false;
    return !plots[tale].harmless || tales[tale].harmed == 0;
}

/* With the lock held. */
static bool row(int tale, int width)
{
    const int64_t *m = tales[tale].mark_ns;
    int64_t judged = m[CONFIRMED] != 0 ? m[CONFIRMED] : m[HARMFUL];
    int64_t back = m[RELEASED] != 0 ? m[RELEASED] : m[ROLLED_BACK];
    int64_t gone = m[ROLLED_BACK] != 0 ? m[HARMFUL] : tales[tale].gone_ns;
    bool is_closed = closed(tale);
    printf("%-*s", width, plots[tale].title != NULL ? plots[tale].title : plots[tale].rule);
    cell(tales[tale].first_bad_ns, m[DECIDED]);
    cell(m[DECIDED], m[EFFECTIVE]);
    cell(m[DECIDED], judged);
    cell(gone, back);
    printf(" %8lu %8lu %8lu  %s\n", tales[tale].refused, tales[tale].leaked, tales[tale].harmed,
           is_closed ? "closed" : "NOT CLOSED");
    return is_closed;
}

bool tell_table(void)
{
    bool all = true;
    int width = 16;
    for (int i = 0; i < tale_count; i++) {
        int len = (int)strlen(plots[i].title != NULL ? plots[i].title : plots[i].rule);
        if (len > width) width = len;
    }
    pthread_mutex_lock(&lock);
    wipe_status();
    printf("\n%-*s %9s %9s %9s %9s %8s %8s %8s  %s\n", width, "rule", "detect", "effect", "confirm",
           "release", "refused", "leaked", "harmed", "loop");
    for (int i = 0; i < tale_count; i++) {
        if (tales[i].began_ns != 0) all = row(i, width) && all;
    }
    printf(
        "detect: from the first bad request to the decision; "
        "effect, confirm (or harmful): from the\n"
        "decision; release: from the end of the cause; "
        "leaked: bad requests that still passed after\n"
        "the decision; harmed: good requests refused.\n");
    pthread_mutex_unlock(&lock);
    return all;
}
