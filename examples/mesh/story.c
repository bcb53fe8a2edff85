/* SPDX-License-Identifier: Apache-2.0 */
#include "story.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const struct plot {
    const char *rule, *title;
    unsigned marks; /* that must be met, each after the one before */
    bool harmless;  /* no good client may be refused */
} plots[TALES] = {
    [TALE_CHECKOUT] = {"checkout_errors", "checkout fails",
                       1u << DECIDED | 1u << EFFECTIVE | 1u << FAILED | 1u << ESCALATED |
                           1u << CONFIRMED | 1u << RELEASING | 1u << RELEASED, true},
    [TALE_LOGIN] = {"login_flood", "a client floods /login",
                    1u << DECIDED | 1u << EFFECTIVE | 1u << CONFIRMED | 1u << RELEASED, true},
    [TALE_ADMIN] = {"admin_door", "a stranger asks for /admin", 1u << DECIDED | 1u << EFFECTIVE, true},
    [TALE_SEARCH] = {"search_surge", "a false positive",
                     1u << DECIDED | 1u << EFFECTIVE | 1u << HARMFUL | 1u << ROLLED_BACK, false},
};

static struct {
    int64_t began_ns, first_bad_ns, gone_ns, mark_ns[MARKS];
    unsigned long leaked, harmed, refused;
} tales[TALES];

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool on_tty, status_shown;

/* ---- the terminal ---- */

enum colour { PLAIN, RED, GREEN, YELLOW, BLUE, DIM };
static const char *const colours[] = {"", "\033[31m", "\033[32m", "\033[33m", "\033[36m", "\033[2m"};

void story_open(bool tty) { on_tty = tty; }

static void wipe_status(void)
{
    if (status_shown) fputs("\r\033[K", stdout);
    status_shown = false;
}

/* With the lock held. */
static void line(enum colour colour, int64_t wall_ns, const char *word, const char *text)
{
    wipe_status();
    printf("%7.3fs  %s%-11s%s %s\n", shop_seconds(wall_ns), on_tty ? colours[colour] : "", word,
           on_tty && colour != PLAIN ? "\033[0m" : "", text);
    fflush(stdout);
}

void story_policy(unsigned reloads)
{
    char text[64];
    snprintf(text, sizeof text, "edited, and in force: generation %u", reloads + 1);
    pthread_mutex_lock(&lock);
    line(BLUE, shop_now_ns(), "policy", text);
    pthread_mutex_unlock(&lock);
}

void story_say(const char *format, ...)
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

void story_status(const char *format, ...)
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

/* ---- what the proxies see ---- */

static bool is_bad(enum tale tale, const struct story_seen *s)
{
    switch (tale) {
    case TALE_CHECKOUT:
        return !s->gate && s->service == CHECKOUT && s->status >= 500;
    case TALE_LOGIN:
        return s->gate && s->client == INTRUDER && s->status == 401;
    case TALE_ADMIN:
        return s->client == STRANGER;
    case TALE_SEARCH:
        return s->gate && s->client == SHOPPER;
    case TALES:
        break;
    }
    return false;
}

/* The wrong that a tale is about went through although it was decided that it should not. */
static bool is_leak(enum tale tale, const struct story_seen *s)
{
    return tale != TALE_SEARCH && s->rule[0] == '\0' && is_bad(tale, s);
}

static void mark(enum tale tale, enum mark m, int64_t wall_ns)
{
    if (tales[tale].mark_ns[m] == 0) tales[tale].mark_ns[m] = wall_ns;
    pthread_cond_broadcast(&changed);
}

static void since(enum tale tale, int64_t wall_ns, char *out, size_t size)
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

void story_see(const struct story_seen *s)
{
    char text[160], times[96];
    pthread_mutex_lock(&lock);
    for (int i = 0; i < TALES; i++) {
        enum tale tale = (enum tale)i;
        if (tales[i].began_ns == 0 || s->wall_ns < tales[i].began_ns) continue;
        if (strcmp(s->rule, plots[i].rule) == 0) tales[i].refused++;
        if (is_bad(tale, s) && tales[i].first_bad_ns == 0) {
            tales[i].first_bad_ns = s->wall_ns;
            snprintf(text, sizeof text, "the first: %s %s, status %d", shop_places[s->service].name,
                     s->path, s->status);
            line(DIM, s->wall_ns, "seen", text);
        }
        int64_t decided = tales[i].mark_ns[DECIDED];
        if (decided != 0 && s->wall_ns > decided && is_leak(tale, s)) tales[i].leaked++;
        if (tale == TALE_ADMIN && decided == 0 && strcmp(s->rule, plots[i].rule) == 0) {
            /* An inline rule: the decision and its effect are the same answer. */
            mark(tale, DECIDED, s->wall_ns);
            mark(tale, EFFECTIVE, s->wall_ns);
            since(tale, s->wall_ns, times, sizeof times);
            snprintf(text, sizeof text, "%-16s %d at the gate, before the service%s", s->rule,
                     s->status, times);
            line(YELLOW, s->wall_ns, "refused", text);
        }
    }
    pthread_mutex_unlock(&lock);
}

void story_client_refused(enum shop_client client, const char *rule)
{
    if (client != CUSTOMER && client != SHOPPER && client != CONSOLE) return;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < TALES; i++) {
        if (strcmp(rule, plots[i].rule) == 0) tales[i].harmed++;
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
        bool machine = message ? strcmp(t->machine, "message") == 0 : text_is(x->machine, t->machine);
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

void story_entry(void *ctx, const struct mpol_entry *x)
{
    (void)ctx;
    const struct telling *t = telling_of(x);
    if (t == NULL) return;
    /* The clock of the wall, not that of the loop: what lies between two entries took real time. */
    int64_t now = shop_now_ns();
    char text[320], whom[160], times[96] = "";
    what(x, whom, sizeof whom);
    pthread_mutex_lock(&lock);
    for (int i = 0; i < TALES; i++) {
        if (!text_is(x->rule, plots[i].rule)) continue;
        enum mark m = t->mark == EFFECTIVE && x->rung > 1 ? ESCALATED : t->mark;
        if (m != MARKS) mark((enum tale)i, m, now);
        since((enum tale)i, now, times, sizeof times);
    }
    snprintf(text, sizeof text, "%-16.*s %-28s%s", (int)x->rule.len, x->rule.ptr, whom, times);
    line(t->colour, now, t->word, text);
    pthread_mutex_unlock(&lock);
}

/* ---- causes, and waiting for what follows ---- */

void story_begin(enum tale tale, const char *what)
{
    pthread_mutex_lock(&lock);
    tales[tale].began_ns = shop_now_ns();
    line(RED, tales[tale].began_ns, "cause", what);
    pthread_mutex_unlock(&lock);
}

void story_cause_gone(enum tale tale, const char *what)
{
    pthread_mutex_lock(&lock);
    tales[tale].gone_ns = shop_now_ns();
    line(GREEN, tales[tale].gone_ns, "cause gone", what);
    pthread_mutex_unlock(&lock);
}

bool story_wait(enum tale tale, enum mark m, int64_t until_ns)
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

static bool closed(enum tale tale)
{
    int64_t last = 0;
    for (int m = 0; m < MARKS; m++) {
        if ((plots[tale].marks >> m & 1) == 0) continue;
        int64_t at = tales[tale].mark_ns[m];
        if (at == 0 || at < last) return false;
        last = at;
    }
    if (tale == TALE_LOGIN && tales[tale].leaked > 0) return false;
    if (tale == TALE_ADMIN && tales[tale].leaked > 0) return false;
    return !plots[tale].harmless || tales[tale].harmed == 0;
}

bool story_table(void)
{
    bool all = true;
    pthread_mutex_lock(&lock);
    wipe_status();
    printf("\n%-16s %9s %9s %9s %9s %8s %8s %8s  %s\n", "rule", "detect", "effect", "confirm",
           "release", "refused", "leaked", "harmed", "loop");
    for (int i = 0; i < TALES; i++) {
        const int64_t *m = tales[i].mark_ns;
        int64_t judged = m[CONFIRMED] != 0 ? m[CONFIRMED] : m[HARMFUL];
        int64_t back = m[RELEASED] != 0 ? m[RELEASED] : m[ROLLED_BACK];
        int64_t gone = m[ROLLED_BACK] != 0 ? m[HARMFUL] : tales[i].gone_ns;
        bool is_closed = closed((enum tale)i);
        all = all && is_closed;
        printf("%-16s", plots[i].rule);
        cell(tales[i].first_bad_ns, m[DECIDED]);
        cell(m[DECIDED], m[EFFECTIVE]);
        cell(m[DECIDED], judged);
        cell(gone, back);
        printf(" %8lu %8lu %8lu  %s\n", tales[i].refused, tales[i].leaked, tales[i].harmed,
               is_closed ? "closed" : "NOT CLOSED");
    }
    printf("detect: from the first bad request to the decision; effect, confirm (or harmful): from the\n"
           "decision; release: from the end of the cause; leaked: bad requests that still passed after\n"
           "the decision; harmed: good requests refused.\n");
    pthread_mutex_unlock(&lock);
    return all;
}
