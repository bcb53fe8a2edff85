/* SPDX-License-Identifier: Apache-2.0
 * What one would write by hand for exactly these aggregates and rules: fixed structs, no program,
 * no unknown values, one pass. Panes and buckets are those of mpol, so that both must find the
 * same truths.
 */
#include <stdint.h>
#include <string.h>

#include "loop_rules.h"

#define SECOND 1000000000ll
#define GROWTH 0x1.0a7fe7f61a4abp+0
/* A window of 60 panes touches 61 of them; a ring of 64 needs no division. */
enum {
    TABLE = 4096,
    PANES = 60,
    RING = 64,
    SKETCH_PANES = 6,
    SKETCH_RING = 8,
    BINS_LATENCY = 333,
    BINS_SIZE = 692,
    BINS_MAX = 692
};

struct sum_pane { int64_t n, v; };
struct window {
    int64_t head, tail;
    struct sum_pane total, pane[RING];
};
struct max_window {
    int64_t head, tail;
    struct sum_pane total, pane[RING]; /* v: the largest */
};
struct sketch {
    int64_t head, tail, n;
    uint32_t pane_n[SKETCH_RING];
    uint32_t bins[]; /* the total, then the panes */
};
#define SKETCH(name, count)                                                                        \
    union {                                                                                        \
        struct sketch name;                                                                        \
        char name##_bytes[sizeof(struct sketch) + (SKETCH_RING + 1) * (count) * sizeof(uint32_t)]; \
    }

struct service {
    char name[16];
    int used;
    struct window all10, bad10, bad60, all60, post30, out60, in60, slow30;
    struct max_window latency10;
    SKETCH(latency30, BINS_LATENCY);
    SKETCH(latency60, BINS_LATENCY);
    SKETCH(out_p99, BINS_SIZE);
    SKETCH(post60, BINS_LATENCY);
};

struct scale {
    int steps;
    double bound[BINS_MAX];
    uint32_t first_cell;
    uint16_t guess[4096];
};

struct loop_c {
    struct loop_rule rules[LOOP_RULE_COUNT];
    unsigned long long is_true[LOOP_RULE_COUNT + LOOP_INLINE_COUNT];
    struct scale latency, size;
    struct service table[TABLE];
};

/* ---- scales ---- */

static uint32_t cell_of(double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    return (uint32_t)(bits >> 47);
}

static void make_scale(struct scale *s, int steps, double low)
{
    s->steps = steps;
    s->bound[0] = low;
    for (int i = 1; i <= steps; i++) s->bound[i] = s->bound[i - 1] * GROWTH;
    s->first_cell = cell_of(low);
    int bin = 0;
    for (uint32_t c = 0; c <= cell_of(s->bound[steps]) - s->first_cell; c++) {
        uint64_t bits = (uint64_t)(c + s->first_cell) << 47;
        double at;
        memcpy(&at, &bits, sizeof at);
        while (bin <= steps && s->bound[bin] <= at) bin++;
        s->guess[c] = (uint16_t)bin;
    }
}

static int bin_of(const struct scale *s, double v)
{
    if (v < s->bound[0]) return 0;
    if (v >= s->bound[s->steps]) return s->steps + 1;
    int bin = s->guess[cell_of(v) - s->first_cell];
    while (s->bound[bin] <= v) bin++;
    return bin;
}

static double value_of(const struct scale *s, int bin, double under)
{
    if (bin == 0) return under;
    if (bin == s->steps + 1) return s->bound[s->steps];
    double low = s->bound[bin - 1], high = s->bound[bin];
    return 2 * low * high / (low + high);
}

/* ---- windows ---- */

static inline void window_add(struct window *w, int64_t now, int64_t length, int64_t take,
                              int64_t v)
{
    int64_t pane_ns = (length + PANES - 1) / PANES, head = now / pane_ns,
            tail = (now - length) / pane_ns;
    if (w->head != head || w->tail != tail) {
        if (w->head == 0 || tail > w->head) {
            memset(w, 0, sizeof *w);
        } else {
            for (; w->tail < tail; w->tail++) {
                w->total.n -= w->pane[(uint64_t)w->tail % RING].n;
                w->total.v -= w->pane[(uint64_t)w->tail % RING].v;
            }
            for (int64_t p = w->head + 1; p <= head; p++)
                w->pane[(uint64_t)p % RING] = (struct sum_pane){0, 0};
        }
        w->head = head;
        w->tail = tail;
    }
    struct sum_pane *p = &w->pane[(uint64_t)head % RING];
    p->n += take;
    p->v += v;
    w->total.n += take;
    w->total.v += v;
}

static void max_again(struct max_window *w)
{
    w->total = (struct sum_pane){0, 0};
    for (int64_t p = w->tail; p <= w->head; p++) {
        const struct sum_pane *from = &w->pane[(uint64_t)p % RING];
        w->total.n += from->n;
        if (from->n > 0 && from->v > w->total.v) w->total.v = from->v;
    }
}

static inline void max_add(struct max_window *w, int64_t now, int64_t length, int64_t v)
{
    int64_t pane_ns = (length + PANES - 1) / PANES, head = now / pane_ns,
            tail = (now - length) / pane_ns;
    if (w->head != head || w->tail != tail) {
        if (w->head == 0 || tail > w->head) {
            memset(w, 0, sizeof *w);
            w->head = head;
            w->tail = tail;
        } else {
            int again = 0;
            for (; w->tail < tail; w->tail++)
                again |= w->pane[(uint64_t)w->tail % RING].v == w->total.v;
            if (again) max_again(w);
            for (int64_t p = w->head + 1; p <= head; p++)
                w->pane[(uint64_t)p % RING] = (struct sum_pane){0, 0};
            w->head = head;
        }
    }
    struct sum_pane *p = &w->pane[(uint64_t)head % RING];
    if (v > p->v) p->v = v;
    if (v > w->total.v) w->total.v = v;
    p->n++;
    w->total.n++;
}

static inline uint32_t *sketch_pane(struct sketch *s, int bins, int64_t pane)
{
    return s->bins + (size_t)bins * (1 + (uint64_t)pane % SKETCH_RING);
}

static void sketch_move(struct sketch *s, int bins, int64_t head, int64_t tail)
{
    if (s->head == 0 || tail > s->head) {
        memset(s, 0, sizeof *s + (SKETCH_RING + 1) * (size_t)bins * sizeof(uint32_t));
    } else {
        for (; s->tail < tail; s->tail++) {
            const uint32_t *p = sketch_pane(s, bins, s->tail);
            for (int i = 0; i < bins; i++) s->bins[i] -= p[i];
            s->n -= s->pane_n[(uint64_t)s->tail % SKETCH_RING];
        }
        for (int64_t p = s->head + 1; p <= head; p++) {
            memset(sketch_pane(s, bins, p), 0, (size_t)bins * sizeof(uint32_t));
            s->pane_n[(uint64_t)p % SKETCH_RING] = 0;
        }
    }
    s->head = head;
    s->tail = tail;
}

static inline void sketch_add(struct sketch *s, int bins, int64_t now, int64_t length, int bin)
{
    int64_t pane_ns = (length + SKETCH_PANES - 1) / SKETCH_PANES;
    int64_t head = now / pane_ns, tail = (now - length) / pane_ns;
    if (s->head != head || s->tail != tail) sketch_move(s, bins, head, tail);
    if (bin < 0) return;
    sketch_pane(s, bins, head)[bin]++;
    s->pane_n[(uint64_t)head % SKETCH_RING]++;
    s->bins[bin]++;
    s->n++;
}

/* The 99th percentile, from the top: few records lie above it. */
static inline int sketch_p99(const struct sketch *s, int bins)
{
    int64_t rank = (s->n * 990 + 999) / 1000, above = s->n - rank, seen = 0;
    for (int i = bins - 1; i > 0; i--) {
        seen += s->bins[i];
        if (seen > above) return i;
    }
    return 0;
}

/* ---- rules ---- */

static struct service *find(struct loop_c *c, const char name[16])
{
    uint64_t w[2];
    memcpy(w, name, 16);
    uint64_t h = (w[0] * 0x9e3779b97f4a7c15u) ^ (w[1] * 0xc2b2ae3d27d4eb4fu);
    for (uint32_t i = (uint32_t)(h >> 40) % TABLE;; i = (i + 1) % TABLE) {
        struct service *s = &c->table[i];
        if (s->used && memcmp(s->name, name, 16) == 0) return s;
        if (s->used) continue;
        s->used = 1;
        memcpy(s->name, name, 16);
        return s;
    }
}

static int in_net(const struct loop_event *e, int a, int b)
{
    return e->ip[12] == a && e->ip[13] == b;
}

/* The inline rules; loop.c has them as a policy. */
static void inline_rules(struct loop_c *c, const struct loop_event *e)
{
    unsigned long long *t = c->is_true + LOOP_RULE_COUNT;
    static const char names[10][16] = {"svc-0", "svc-7", "svc-77", "svc-123", "svc-200",
                                       "svc-301", "svc-404", "svc-555", "svc-808", "svc-999"};
    for (int i = 0; i < 10; i++) {
        t[i] += memcmp(e->service, names[i], 16) == 0 && e->is_post && e->bytes_in > 4000 + i * 100;
    }
    t[10] += strncmp(e->path, "/admin", 6) == 0 && !e->is_mtls;
    t[11] += strncmp(e->path, "/internal", 9) == 0 && !in_net(e, 10, 20);
    t[12] += strcmp(e->path, "/debug") == 0;
    t[13] += strcmp(e->path, "/metrics") == 0 && !e->is_mtls;
    t[14] += e->is_post && e->bytes_in > 8000;
    t[15] += in_net(e, 192, 0) && e->is_post;
    t[16] += in_net(e, 198, 51);
    t[17] += in_net(e, 203, 0) && e->bytes_in > 5000;
    t[18] += !e->is_mtls && e->bytes_in > 7900 && strncmp(e->path, "/api", 4) == 0;
    t[19] += strncmp(e->path, "/.git", 5) == 0;
}

static void take(struct loop_c *c, struct service *s, const struct loop_event *e)
{
    int64_t now = e->time_ns;
    int bad = e->status >= 500, slow = e->latency_ns > 500000000;
    int bin = bin_of(&c->latency, (double)e->latency_ns),
        out = bin_of(&c->size, (double)e->bytes_out);
    window_add(&s->all10, now, 10 * SECOND, 1, 1);
    window_add(&s->bad10, now, 10 * SECOND, bad, bad);
    window_add(&s->bad60, now, 60 * SECOND, 1, bad);
    window_add(&s->post30, now, 30 * SECOND, e->is_post, e->is_post);
    window_add(&s->out60, now, 60 * SECOND, 1, e->bytes_out);
    window_add(&s->in60, now, 60 * SECOND, 1, e->bytes_in);
    max_add(&s->latency10, now, 10 * SECOND, e->latency_ns);
    window_add(&s->slow30, now, 30 * SECOND, slow, slow);
    sketch_add(&s->latency30, BINS_LATENCY, now, 30 * SECOND, bin);
    sketch_add(&s->latency60, BINS_LATENCY, now, 60 * SECOND, bin);
    sketch_add(&s->out_p99, BINS_SIZE, now, 60 * SECOND, out);
    sketch_add(&s->post60, BINS_LATENCY, now, 60 * SECOND, e->is_post ? bin : -1);
}

void loop_c_event(struct loop_c *c, const struct loop_event *e)
{
    inline_rules(c, e);
    if (!e->layer_is_service) return;
    struct service *s = find(c, e->service);
    take(c, s, e);
    double v[LOOP_AGG_COUNT] = {
        (double)s->all10.total.v,
        (double)s->bad10.total.v,
        100.0 * (double)s->bad60.total.v / (double)s->bad60.total.n,
        (double)s->post30.total.v / 30,
        (double)s->out60.total.v,
        (double)((s->in60.total.v + s->in60.total.n / 2) / s->in60.total.n),
        (double)s->latency10.total.v / 1e6,
        (double)s->slow30.total.v,
        value_of(&c->latency, sketch_p99(&s->latency30, BINS_LATENCY), 5e4) / 1e6,
        value_of(&c->latency, sketch_p99(&s->latency60, BINS_LATENCY), 5e4) / 1e6,
        value_of(&c->size, sketch_p99(&s->out_p99, BINS_SIZE), 0),
        value_of(&c->latency, sketch_p99(&s->post60, BINS_LATENCY), 5e4) / 1e6,
    };
    for (int i = 0; i < LOOP_RULE_COUNT; i++) {
        const struct loop_rule *r = &c->rules[i];
        c->is_true[i] += v[r->agg[0]] > r->limit[0] && v[r->agg[1]] > r->limit[1];
    }
}

const unsigned long long *loop_c_true(const struct loop_c *c) { return c->is_true; }

size_t loop_c_bytes(void) { return sizeof(struct loop_c); }

struct loop_c *loop_c_make(void *memory, const struct loop_rule *rules)
{
    struct loop_c *c = memory;
    memset(c, 0, sizeof *c);
    memcpy(c->rules, rules, sizeof c->rules);
    make_scale(&c->latency, BINS_LATENCY - 2, 1e5);
    make_scale(&c->size, BINS_SIZE - 2, 1);
    return c;
}
