/* SPDX-License-Identifier: Apache-2.0
 * From the tables of a program to the layout of its windows. At creation only.
 */
#include "window/window_priv.h"

#define KEYS_DEFAULT 100000u
#define KEYS_LEAST 64u
#define SOURCES_DEFAULT 64u
#define IDS_DEFAULT 65536u
#define OVERRIDES_DEFAULT 1024u
#define EVERY_DEFAULT_NS INT64_C(10000000000) /* R6 */
#define DAY_NS (INT64_C(86400) * 1000000000)
#define KEEP_LEAST_NS INT64_C(60000000000)
#define RING_PANES_MAX (INT64_C(1) << 18)  /* LIMIT: of a window and its lateness */
#define BLOCK_BYTES_MAX (UINT32_C(1) << 30) /* LIMIT: of the windows of one key */

struct mp_window_limits mp_window_whole_limits(const struct mp_program *p,
                                               const struct mp_window_limits *given)
{
    struct mp_window_limits l = given != NULL ? *given : (struct mp_window_limits){0};
    if (l.keys_max == 0) l.keys_max = KEYS_DEFAULT;
    if (l.sources_max == 0) l.sources_max = SOURCES_DEFAULT;
    if (l.ids_max == 0) l.ids_max = IDS_DEFAULT;
    if (l.overrides_max == 0) l.overrides_max = p->def_count != 0 ? OVERRIDES_DEFAULT : 1;
    return l;
}

uint32_t mp_window_power_above(uint32_t n)
{
    uint32_t size = 16;
    while (size < n && size < UINT32_C(1) << 31) size *= 2;
    return size;
}

/* ---- accumulators ---- */

static enum family family_of(enum mp_agg kind)
{
    switch (kind) {
    case MP_AGG_COUNT:
    case MP_AGG_RATE: return FAM_COUNT;
    case MP_AGG_RATIO: return FAM_RATIO;
    case MP_AGG_SUM:
    case MP_AGG_RATE_SUM:
    case MP_AGG_AVG:
    case MP_AGG_GROWTH:
    case MP_AGG_RATE_GROWTH: return FAM_SUM;
    case MP_AGG_MIN: return FAM_MIN;
    case MP_AGG_MAX: return FAM_MAX;
    case MP_AGG_STDDEV: return FAM_STDDEV;
    case MP_AGG_QUANTILE: return FAM_HIST;
    case MP_AGG_DISTINCT: return FAM_DISTINCT;
    case MP_AGG_LAST: return FAM_LAST;
    case MP_AGG_SEEN: return FAM_SEEN;
    case MP_AGG_KIND_COUNT: break;
    }
    MP_UNREACHABLE("a kind of aggregate");
}

static uint32_t growth_of(struct mp_window *w, const struct mp_agg_row *agg)
{
    if (agg->kind != MP_AGG_GROWTH && agg->kind != MP_AGG_RATE_GROWTH) return MP_NONE;
    for (uint32_t i = 0; i < w->growth_count; i++) {
        if (w->growths[i].signal == agg->signal && w->growths[i].value == agg->value) return i;
    }
    w->growths[w->growth_count] = (struct growth){
        .signal = agg->signal, .value = agg->value, .rep = mp_type_rep(agg->value_type)};
    return w->growth_count++;
}

/* INVARIANT: windows of now need n + 1 panes, settled ones as many more as lateness is long. */
static uint32_t ring_panes(const struct mp_program *p, const struct mp_agg_row *agg)
{
    if (agg->pane_ns <= 0) return 0; /* LAST and SEEN have none */
    int64_t window = (agg->window_ns + agg->pane_ns - 1) / agg->pane_ns;
    int64_t lateness = p->signal[agg->signal].lateness_ns;
    int64_t late = (lateness + agg->pane_ns - 1) / agg->pane_ns;
    int64_t planned = (int64_t)agg->panes + 1 + agg->late_panes;
    int64_t needed = window + 1 + late;
    if (planned > needed) needed = planned;
    return (uint32_t)(needed < RING_PANES_MAX ? needed : RING_PANES_MAX);
}

static struct acc wanted(struct mp_window *w, const struct mp_agg_row *agg)
{
    struct acc a = {.family = family_of(agg->kind), .rep = mp_type_rep(agg->value_type),
                    .grouping = agg->grouping, .signal = agg->signal, .layers = agg->layers,
                    .where = agg->where, .value = agg->value, .growth = growth_of(w, agg),
                    .value_type = agg->value_type, .moves_ns = NEVER};
    if (a.family == FAM_LAST || a.family == FAM_SEEN) return a;
    a.window_ns = agg->window_ns;
    a.pane_ns = agg->pane_ns;
    a.panes = ring_panes(w->p, agg);
    if (a.family == FAM_HIST) a.bins = mp_hist_bins(agg->value_type);
    return a;
}

static bool shared(const struct acc *a, const struct acc *b)
{
    return a->family == b->family && a->signal == b->signal && a->layers == b->layers &&
           a->where == b->where && a->value == b->value && a->value_type == b->value_type &&
           a->growth == b->growth && a->window_ns == b->window_ns && a->pane_ns == b->pane_ns &&
           a->panes == b->panes && (a->family != FAM_HIST || b->cursor_count < CURSORS_MAX);
}

static uint32_t cursor_of(struct acc *a, uint32_t permille)
{
    for (uint32_t i = 0; i < a->cursor_count; i++) {
        if (a->cursor_permille[i] == permille) return i;
    }
    a->cursor_permille[a->cursor_count] = permille;
    return a->cursor_count++;
}

static const struct hist_scale *scale_for(struct mp_window *w, struct mp_arena *arena,
                                          const struct acc *a)
{
    for (uint32_t i = 0; i < w->acc_count; i++) {
        if (w->accs[i].scale != NULL && w->accs[i].bins == a->bins) return w->accs[i].scale;
    }
    return mp_hist_make(arena, a->value_type);
}

static enum mp_err plan_agg(struct mp_window *w, struct mp_arena *arena, uint32_t agg)
{
    struct group *g = &w->groups[w->p->agg[agg].grouping];
    struct acc a = wanted(w, &w->p->agg[agg]);
    uint32_t i = g->acc_at;
    while (i < w->acc_count && !shared(&a, &w->accs[i])) i++;
    if (i == w->acc_count) {
        if (a.family == FAM_HIST) {
            a.scale = scale_for(w, arena, &a);
            if (a.scale == NULL) return MP_ENOMEM;
        }
        a.pane_bytes = a.panes != 0 ? mp_acc_pane_bytes(&a) : 0;
        a.total_bytes = (mp_acc_total_bytes(&a) + 15) & ~15u;
        a.at = g->block_bytes;
        uint64_t bytes = sizeof(struct ring) + a.total_bytes + (uint64_t)a.panes * a.pane_bytes;
        if (bytes + g->block_bytes > BLOCK_BYTES_MAX) return MP_ELIMIT;
        a.bytes = ((uint32_t)bytes + 15) & ~15u;
        g->block_bytes += a.bytes;
        if (a.total_bytes > w->total_max) w->total_max = a.total_bytes;
        w->accs[w->acc_count++] = a;
        g->acc_count++;
    }
    w->agg_acc[agg] = i;
    if (a.family == FAM_HIST) w->agg_cursor[agg] = cursor_of(&w->accs[i], w->p->agg[agg].quantile);
    return MP_OK;
}

/* Names the content of an aggregate, over programs and restarts (R50). */
static uint64_t mark_of(const struct mp_program *p, const struct mp_agg_row *agg)
{
    static const struct mp_hash_key fixed = {UINT64_C(0x6d706f6c), UINT64_C(0x77696e646f77)};
    const struct mp_grouping_row *g = &p->grouping[agg->grouping];
    mp_str text = mp_program_text(p, agg->text),
        signal = mp_program_text(p, p->signal[agg->signal].name);
    uint64_t words[10 + KEYS_MAX] = {
        mp_siphash(fixed, text.ptr, text.len), mp_siphash(fixed, signal.ptr, signal.len),
        (uint64_t)agg->window_ns, (uint64_t)agg->pane_ns, ring_panes(p, agg), agg->layers,
        (uint64_t)family_of(agg->kind), agg->value_type, g->keys_count, agg->quantile};
    for (uint32_t i = 0; i < g->keys_count; i++) {
        mp_str name = mp_program_text(p, p->group_key[g->keys_at + i].name);
        words[10 + i] = mp_siphash(fixed, name.ptr, name.len) ^ p->group_key[g->keys_at + i].type;
    }
    return mp_siphash_words(fixed, words, 10 + g->keys_count);
}

/* ---- groupings ---- */

static enum mp_rep key_rep(const struct mp_program *p, const struct mp_group_key_row *k)
{
    if (k->type == MP_TYPE_ENTITY && k->entity != MP_NONE) {
        return mp_type_rep(p->entity[k->entity].key_type);
    }
    return mp_type_rep(k->type);
}

static void keep_for(struct group *g, int64_t ns)
{
    if (ns > g->keep_ns) g->keep_ns = ns;
}

/* How long a key without records is of use. */
static void plan_keep(struct mp_window *w, uint32_t grouping)
{
    const struct mp_program *p = w->p;
    struct group *g = &w->groups[grouping];
    keep_for(g, KEEP_LEAST_NS);
    for (uint32_t i = 0; i < p->grouping[grouping].columns_count; i++) {
        const struct mp_column_row *c = &p->column[p->grouping[grouping].columns_at + i];
        if (c->agg == MP_NONE) continue;
        const struct acc *a = &w->accs[w->agg_acc[c->agg]];
        keep_for(g, w->signals[a->signal].hold_ns);
        int64_t ring_ns;
        if (__builtin_mul_overflow((int64_t)a->panes + 1, a->pane_ns, &ring_ns))
            ring_ns = INT64_MAX;
        if (a->panes != 0) keep_for(g, ring_ns);
    }
    for (uint32_t i = 0; i < p->rule_count; i++) { /* R12: these rules see keys of the last 24 h */
        bool waits = (p->rule[i].flags & MP_RULE_ON_SILENCE) != 0 ||
            p->rule[i].no_data != MP_NODATA_HOLD;
        if (p->rule[i].grouping == grouping && waits) keep_for(g, DAY_NS);
    }
}

static enum mp_err plan_group(struct mp_window *w, struct mp_arena *arena, uint32_t grouping)
{
    const struct mp_program *p = w->p;
    const struct mp_grouping_row *row = &p->grouping[grouping];
    struct group *g = &w->groups[grouping];
    if (row->keys_count > KEYS_MAX) return MP_EUNSUPPORTED;
    g->key_count = row->keys_count;
    for (uint32_t i = 0; i < row->keys_count; i++) {
        g->rep[i] = key_rep(p, &p->group_key[row->keys_at + i]);
    }
    g->entity = row->keys_count == 1 ? p->group_key[row->keys_at].entity : MP_NONE;
    g->free = g->idle.oldest = g->idle.newest = g->entries.oldest = g->entries.newest = MP_NONE;
    g->acc_at = w->acc_count;
    g->cap = row->cap != 0 && row->cap < w->limits.keys_max ? row->cap : w->limits.keys_max;
    if (row->keys_count == 0) g->cap = 1;
    for (uint32_t i = 0; i < row->aggs_count; i++) MP_TRY(plan_agg(w, arena, row->aggs_at + i));
    g->block_bytes = (g->block_bytes + 63) & ~63u;
    if (row->columns_count > w->columns_max) w->columns_max = row->columns_count;
    return MP_OK;
}

/* ---- columns ---- */

/* What other keys have is kept for a slot of time: POOLED, MEMBERS and SET_SIZE beside the key that
 * reads, PUBLISHED beside the key that is read, so that all readers see the same. */
static void plan_published(struct mp_window *w)
{
    const struct mp_program *p = w->p;
    for (uint32_t i = 0; i < p->column_count; i++) w->column_cache[i] = MP_NONE;
    for (uint32_t s = 0; s < p->grouping_count; s++) {
        for (uint32_t i = 0; i < p->grouping[s].columns_count; i++) {
            uint32_t c = p->grouping[s].columns_at + i;
            uint32_t kind = p->column[c].kind;
            if (kind != MP_COL_POOLED && kind != MP_COL_MEMBERS && kind != MP_COL_SET_SIZE) {
                continue;
            }
            w->column_cache[c] = w->groups[s].published_count++;
        }
    }
    for (uint32_t c = 0; c < p->column_count; c++) {
        if (p->column[c].kind != MP_COL_PUBLISHED) continue;
        const struct mp_column_row *mine = &p->column[c];
        for (uint32_t k = 0; k < c && w->column_cache[c] == MP_NONE; k++) {
            const struct mp_column_row *o = &p->column[k];
            if (o->kind == MP_COL_PUBLISHED && o->agg == mine->agg && o->flags == mine->flags) {
                w->column_cache[c] = w->column_cache[k];
            }
        }
        struct group *g = &w->groups[p->agg[mine->agg].grouping];
        if (w->column_cache[c] == MP_NONE) w->column_cache[c] = g->published_count++;
    }
}

static void plan_members(struct mp_window *w)
{
    const struct mp_program *p = w->p;
    uint32_t used = 0;
    for (uint32_t i = 0; i < p->column_count; i++) {
        const struct mp_column_row *c = &p->column[i];
        if (c->kind != MP_COL_MEMBERS) continue;
        const struct mp_fn_row *fn = &p->fn[c->fn];
        w->member_plans[i].at = used;
        for (uint32_t k = 0; k < fn->ops_count; k++) {
            const struct mp_op_row *op = &p->op[fn->ops_at + k];
            if (op->code == MP_OP_COL) {
                w->member_columns[used++] = p->grouping[c->grouping].columns_at + op->a;
            }
        }
        w->member_plans[i].count = used - w->member_plans[i].at;
    }
}

static uint32_t member_column_count(const struct mp_program *p)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < p->column_count; i++) {
        if (p->column[i].kind == MP_COL_MEMBERS) count += p->fn[p->column[i].fn].ops_count;
    }
    return count;
}

/* ---- feeds ---- */

static void plan_feeds(struct mp_window *w)
{
    const struct mp_program *p = w->p;
    uint32_t used = 0;
    for (uint32_t i = 0; i < p->feed_count; i++) {
        const struct mp_feed_row *f = &p->feed[i];
        const struct group *g = &w->groups[f->grouping];
        struct feed_plan *plan = &w->feeds[i];
        *plan = (struct feed_plan){.grouping = f->grouping, .walks_at = f->walks_at,
                                   .walk_count = f->walks_count, .acc_at = used,
                                   .expected = MP_NONE};
        for (uint32_t k = 0; k < f->walks_count && k < KEYS_MAX; k++) {
            const struct mp_walk_row *walk = &p->walk[f->walks_at + k];
            bool plain = walk->base == MP_WALK_FIELD && walk->hops_count == 0;
            plan->direct[k] = plain ? walk->index : MP_NONE;
        }
        for (uint32_t k = 0; k < g->acc_count; k++) {
            if (w->accs[g->acc_at + k].signal == f->signal) w->feed_accs[used++] = g->acc_at + k;
        }
        plan->acc_count = used - plan->acc_at;
    }
}

static size_t feed_acc_room(const struct mp_program *p)
{
    size_t room = 0;
    for (uint32_t i = 0; i < p->feed_count; i++) {
        room += p->grouping[p->feed[i].grouping].aggs_count;
    }
    return room;
}

static bool plan_signals(struct mp_window *w, struct mp_arena *arena)
{
    for (uint32_t i = 0; i < w->p->signal_count; i++) {
        const struct mp_signal_row *row = &w->p->signal[i];
        int64_t every = row->every_ns > 0 ? row->every_ns : EVERY_DEFAULT_NS;
        struct signal_state *s = &w->signals[i];
        bool gauge = row->kind != MP_SIGNAL_EVENT;
        /* Within every + lateness (R6): what comes exactly on time leaves no gap. */
        int64_t hold_ns = add_sat(add_sat(every, row->lateness_ns), 1);
        *s = (struct signal_state){.alive_until_ns = NEVER,
                                   .observed_ns = INT64_MAX,
                                   .hold_ns = hold_ns,
                                   .lateness_ns = row->lateness_ns,
                                   .in_time_ns =
                                       gauge && w->limits.live ? hold_ns : row->lateness_ns,
                                   .gauge = gauge,
                                   .heard_ns = MP_NEW(arena, int64_t, w->limits.sources_max)};
        if (s->heard_ns == NULL) return false;
        for (uint32_t k = 0; k < w->limits.sources_max; k++) s->heard_ns[k] = NEVER;
        if (row->lateness_ns > w->id_keep_ns) w->id_keep_ns = row->lateness_ns;
    }
    return true;
}

static bool plan_tables(struct mp_window *w, struct mp_arena *arena)
{
    const struct mp_program *p = w->p;
    w->groups = MP_NEW(arena, struct group, p->grouping_count);
    w->accs = MP_NEW(arena, struct acc, p->agg_count);
    w->acc_from = MP_NEW(arena, uint32_t, p->agg_count);
    w->agg_acc = MP_NEW(arena, uint32_t, p->agg_count);
    w->agg_cursor = MP_NEW(arena, uint32_t, p->agg_count);
    w->agg_mark = MP_NEW(arena, uint64_t, p->agg_count);
    w->growths = MP_NEW(arena, struct growth, p->agg_count);
    w->feeds = MP_NEW(arena, struct feed_plan, p->feed_count);
    w->feed_accs = MP_NEW(arena, uint32_t, feed_acc_room(p));
    w->signals = MP_NEW(arena, struct signal_state, p->signal_count);
    w->entries_begun = MP_NEW(arena, uint32_t, p->entity_count);
    w->column_cache = MP_NEW(arena, uint32_t, p->column_count);
    w->member_plans = MP_NEW(arena, struct member_plan, p->column_count);
    w->member_columns = MP_NEW(arena, uint32_t, member_column_count(p));
    return w->groups != NULL && w->accs != NULL && w->acc_from != NULL && w->agg_acc != NULL &&
        w->agg_cursor != NULL &&
           w->agg_mark != NULL && w->growths != NULL && w->feeds != NULL && w->feed_accs != NULL &&
           w->signals != NULL && w->entries_begun != NULL && w->column_cache != NULL &&
               w->member_plans != NULL &&
           w->member_columns != NULL;
}

enum mp_err mp_window_plan(struct mp_window *w, struct mp_arena *arena)
{
    const struct mp_program *p = w->p;
    if (!plan_tables(w, arena) || !plan_signals(w, arena)) return MP_ENOMEM;
    for (uint32_t i = 0; i < p->grouping_count; i++) MP_TRY(plan_group(w, arena, i));
    for (uint32_t i = 0; i < p->grouping_count; i++) plan_keep(w, i);
    for (uint32_t i = 0; i < p->agg_count; i++) w->agg_mark[i] = mark_of(p, &p->agg[i]);
    plan_published(w);
    plan_members(w);
    plan_feeds(w);
    return MP_OK;
}

/* ---- memory ---- */

size_t mp_window_key_bytes(const struct group *g)
{
    size_t texts = 0;
    for (uint32_t i = 0; i < g->key_count; i++) texts += g->rep[i] == MP_REP_T ? KEY_TEXT_SHARE : 0;
    return sizeof(struct key_head) + g->key_count * sizeof(struct mp_value) + g->block_bytes +
           g->published_count * sizeof(struct published) + 4 * sizeof(uint64_t) + texts;
}

static size_t fitted(const struct mp_window *w, size_t bytes_each)
{
    size_t sum = 0;
    for (uint32_t i = 0; i < w->p->grouping_count; i++) {
        const struct group *g = &w->groups[i];
        size_t one = mp_window_key_bytes(g), keys = bytes_each / one;
        if (keys > g->cap) keys = g->cap;
        uint32_t least = g->cap < KEYS_LEAST ? g->cap : KEYS_LEAST;
        if (keys < least) keys = least;
        sum += keys * one;
    }
    return sum;
}

/* The largest share that every grouping can have: what small ones leave over, large ones get. */
enum mp_err mp_window_fit(struct mp_window *w)
{
    size_t limit = w->limits.memory_bytes;
    if (limit == 0 || fitted(w, SIZE_MAX) <= limit) return MP_OK;
    if (fitted(w, 0) > limit) return MP_ELIMIT;
    size_t low = 0, high = limit;
    while (high - low > 1) {
        size_t mid = low + (high - low) / 2;
        if (fitted(w, mid) <= limit) low = mid;
        else high = mid;
    }
    for (uint32_t i = 0; i < w->p->grouping_count; i++) {
        struct group *g = &w->groups[i];
        size_t keys = low / mp_window_key_bytes(g);
        uint32_t least = g->cap < KEYS_LEAST ? g->cap : KEYS_LEAST;
        if (keys < least) keys = least;
        if (keys < g->cap) g->cap = (uint32_t)keys;
    }
    return MP_OK;
}
