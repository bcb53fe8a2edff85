/* SPDX-License-Identifier: Apache-2.0
 * Windows that outlive a program or a process (R50, design §8): aggregates are told by their
 * content.
 */
#include "window/window_priv.h"

#define MAGIC "MPOLWIN2"
#define MARKS_MAX 64u
#define NAME_MAX_BYTES 4096u

/* ---- from one program to the next ---- */

static bool same_tuple(const struct mp_program *p, uint32_t grouping, const struct mp_program *old,
                       uint32_t of)
{
    const struct mp_grouping_row *a = &p->grouping[grouping], *b = &old->grouping[of];
    if (a->keys_count != b->keys_count) return false;
    for (uint32_t i = 0; i < a->keys_count; i++) {
        const struct mp_group_key_row *x = &p->group_key[a->keys_at + i];
        const struct mp_group_key_row *y = &old->group_key[b->keys_at + i];
        if (x->type != y->type) return false;
        if (!mp_str_eq(mp_program_text(p, x->name), mp_program_text(old, y->name))) return false;
    }
    return true;
}

/* Names the key that values are hashed with: under another one, sketches of different values are of
 * no use. */
static int64_t key_mark(const struct mp_window *w)
{
    const uint64_t word = 0;
    return (int64_t)mp_siphash_words(w->hash_key, &word, 1);
}

static bool same_shape(const struct acc *a, const struct acc *b)
{
    return a->family == b->family && a->rep == b->rep && a->panes == b->panes &&
        a->pane_ns == b->pane_ns &&
           a->window_ns == b->window_ns && a->pane_bytes == b->pane_bytes && a->bins == b->bins;
}

/* Which accumulator of the old grouping each of the new one goes on from. */
static void match_accs(struct mp_window *w, uint32_t grouping, const struct mp_window *old,
                       uint32_t of)
{
    const struct mp_grouping_row *g = &w->p->grouping[grouping], *b = &old->p->grouping[of];
    for (uint32_t i = 0; i < w->groups[grouping].acc_count; i++) {
        w->acc_from[w->groups[grouping].acc_at + i] = MP_NONE;
    }
    for (uint32_t i = g->aggs_at; i < g->aggs_at + g->aggs_count; i++) {
        for (uint32_t k = b->aggs_at; k < b->aggs_at + b->aggs_count; k++) {
            if (w->agg_mark[i] != old->agg_mark[k]) continue;
            uint32_t mine = w->agg_acc[i], theirs = old->agg_acc[k];
            bool useless = w->accs[mine].family == FAM_DISTINCT && key_mark(w) != key_mark(old);
            if (useless || !same_shape(&w->accs[mine], &old->accs[theirs])) continue;
            w->acc_from[mine] = theirs;
        }
    }
}

static void copy_acc(const struct acc *a, unsigned char *block,
                     const struct acc *from, unsigned char *old_block)
{
    if (a->family == FAM_SEEN) return;
    if (!mp_acc_has_panes(a)) {
        if (a->rep != MP_REP_T && a->rep != MP_REP_S) {
            memcpy(acc_total(a, block), acc_total(from, old_block), sizeof(struct last_cell));
        }
        return;
    }
    *acc_ring(a, block) = *acc_ring(from, old_block);
    if (acc_ring(a, block)->head == NEVER) return;
    memcpy(acc_pane(a, block, 0), acc_pane(from, old_block, 0), (size_t)a->panes * a->pane_bytes);
    mp_acc_rebuild(a, block);
}

static void adopt_key(struct mp_window *w, uint32_t grouping, const struct mp_window *old,
                      uint32_t of, uint32_t was, void *ctx,
                      void (*moved)(void *ctx, uint32_t old_grouping, uint32_t old_key,
                                    uint32_t grouping, uint32_t key))
{
    struct group *g = &w->groups[grouping];
    const struct group *b = &old->groups[of];
    bool fresh;
    uint32_t key = mp_window_birth(w, grouping, mp_window_key(old, of, was), &fresh);
    if (key == MP_NONE) return;
    g->heads[key].last_ns = b->heads[was].last_ns;
    for (uint32_t i = 0; i < g->acc_count; i++) {
        uint32_t at = g->acc_at + i, from = w->acc_from[at];
        if (from != MP_NONE) {
            copy_acc(&w->accs[at], key_block(g, key), &old->accs[from], key_block(b, was));
        }
    }
    for (uint32_t i = 0; i < b->heads[was].pins && g->key_count != 0; i++) {
        mp_window_pin(w, grouping, key);
    }
    if (moved != NULL) moved(ctx, of, was, grouping, key);
}

static void adopt_group(struct mp_window *w, uint32_t grouping, const struct mp_window *old,
                        uint32_t of, void *ctx,
                        void (*moved)(void *ctx, uint32_t old_grouping, uint32_t old_key,
                                      uint32_t grouping, uint32_t key))
{
    const struct group *b = &old->groups[of];
    match_accs(w, grouping, old, of);
    /* The least active first, so that order is kept; pinned ones last. */
    for (uint32_t k = b->idle.oldest; k != MP_NONE; k = b->heads[k].newer) {
        adopt_key(w, grouping, old, of, k, ctx, moved);
    }
    for (uint32_t k = b->entries.oldest; k != MP_NONE; k = b->heads[k].newer) {
        adopt_key(w, grouping, old, of, k, ctx, moved);
    }
    for (uint32_t k = 0; k < b->top; k++) {
        if (b->heads[k].alive && b->heads[k].pins != 0) {
            adopt_key(w, grouping, old, of, k, ctx, moved);
        }
    }
}

static uint32_t signal_named(const struct mp_program *p, mp_str name)
{
    for (uint32_t i = 0; i < p->signal_count; i++) {
        if (mp_str_eq(mp_program_text(p, p->signal[i].name), name)) return i;
    }
    return MP_NONE;
}

static void adopt_signal(struct mp_window *w, const struct mp_window *old, uint32_t of)
{
    uint32_t i = signal_named(w->p, mp_program_text(old->p, old->p->signal[of].name));
    if (i == MP_NONE) return;
    struct signal_state *s = &w->signals[i];
    const struct signal_state *was = &old->signals[of];
    s->observed_ns = was->observed_ns;
    s->alive_until_ns = was->alive_until_ns;
    uint32_t sources = w->limits.sources_max < old->limits.sources_max ? w->limits.sources_max
                                                                       : old->limits.sources_max;
    memcpy(s->heard_ns, was->heard_ns, sources * sizeof *s->heard_ns);
}

void mp_window_adopt(struct mp_window *w, const struct mp_window *old, void *ctx,
                     void (*moved)(void *ctx, uint32_t old_grouping, uint32_t old_key,
                                   uint32_t grouping, uint32_t key))
{
    if (old->now_ns > w->now_ns) w->now_ns = old->now_ns;
    for (uint32_t i = 0; i < old->p->signal_count; i++) adopt_signal(w, old, i);
    for (uint32_t i = 0; i < w->p->grouping_count; i++) {
        for (uint32_t k = 0; k < old->p->grouping_count; k++) {
            if (same_tuple(w->p, i, old->p, k)) adopt_group(w, i, old, k, ctx, moved);
        }
    }
    if (w->id_mask == old->id_mask && key_mark(w) == key_mark(old)) {
        for (int i = 0; i < 2; i++) {
            memcpy(w->ids[i], old->ids[i], ((size_t)w->id_mask + 1) * sizeof *w->ids[i]);
            w->id_count[i] = old->id_count[i];
        }
        w->id_from_ns = old->id_from_ns;
    }
    struct mp_window_counts mine = w->counts;
    w->counts = old->counts;
    w->counts.keys_alive = mine.keys_alive;
    w->counts.keys_evicted += mine.keys_evicted;
    w->counts.keys_refused += mine.keys_refused;
}

/* ---- writing ---- */

struct writer {
    void *ctx;
    bool (*write)(void *ctx, const void *bytes, size_t size);
    bool failed;
};

static void put(struct writer *o, const void *bytes, size_t size)
{
    if (!o->failed && size != 0) o->failed = !o->write(o->ctx, bytes, size);
}

static void put_u32(struct writer *o, uint32_t v) { put(o, &v, sizeof v); }
static void put_i64(struct writer *o, int64_t v) { put(o, &v, sizeof v); }

static void put_text(struct writer *o, mp_str s)
{
    put_u32(o, (uint32_t)s.len);
    put(o, s.ptr, s.len);
}

static void put_value(struct writer *o, enum mp_rep rep, struct mp_value v)
{
    if (rep == MP_REP_T) put_text(o, mp_value_as_text(&v));
    else put(o, v.w, sizeof v.w);
}

static void save_acc_shape(const struct mp_window *w, struct writer *o, uint32_t grouping,
                           uint32_t acc)
{
    const struct mp_grouping_row *g = &w->p->grouping[grouping];
    uint32_t count = 0;
    for (uint32_t i = g->aggs_at; i < g->aggs_at + g->aggs_count; i++) {
        count += w->agg_acc[i] == acc;
    }
    if (count > MARKS_MAX) count = MARKS_MAX;
    put_u32(o, count);
    for (uint32_t i = g->aggs_at; i < g->aggs_at + g->aggs_count && count > 0; i++) {
        if (w->agg_acc[i] != acc) continue;
        put_i64(o, (int64_t)w->agg_mark[i]);
        count--;
    }
    const struct acc *a = &w->accs[acc];
    put_u32(o, a->panes);
    put_u32(o, a->panes != 0 ? a->pane_bytes : (uint32_t)sizeof(struct last_cell));
}

static bool kept_last(const struct acc *a)
{
    return a->family == FAM_LAST && a->rep != MP_REP_T && a->rep != MP_REP_S;
}

static void save_acc(struct writer *o, const struct acc *a, unsigned char *block)
{
    const struct ring *ring = acc_ring(a, block);
    if (!mp_acc_has_panes(a)) {
        put_u32(o, kept_last(a));
        if (kept_last(a)) put(o, acc_total(a, block), sizeof(struct last_cell));
        return;
    }
    uint32_t count = 0;
    for (uint32_t i = 0; i < a->panes && ring->head != NEVER; i++) {
        count += mp_acc_samples(acc_pane(a, block, pane_slot(a, ring->head - i))) != 0;
    }
    put_u32(o, count);
    if (count == 0) return;
    put_i64(o, ring->head);
    put_i64(o, ring->tail <= ring->head ? ring->tail : ring->head + 1);
    for (uint32_t i = 0; i < a->panes; i++) {
        unsigned char *pane = acc_pane(a, block, pane_slot(a, ring->head - i));
        if (mp_acc_samples(pane) == 0) continue;
        put_u32(o, i);
        put(o, pane, a->pane_bytes);
    }
}

static void save_group(const struct mp_window *w, struct writer *o, uint32_t grouping)
{
    const struct mp_grouping_row *row = &w->p->grouping[grouping];
    const struct group *g = &w->groups[grouping];
    put_u32(o, row->keys_count);
    for (uint32_t i = 0; i < row->keys_count; i++) {
        put_text(o, mp_program_text(w->p, w->p->group_key[row->keys_at + i].name));
        put_u32(o, w->p->group_key[row->keys_at + i].type);
        put_u32(o, g->rep[i]);
    }
    put_u32(o, g->acc_count);
    for (uint32_t i = 0; i < g->acc_count; i++) save_acc_shape(w, o, grouping, g->acc_at + i);
    put_u32(o, g->alive);
    for (uint32_t key = 0; key < g->top; key++) {
        if (!g->heads[key].alive) continue;
        for (uint32_t i = 0; i < g->key_count; i++) {
            put_value(o, g->rep[i], mp_window_key(w, grouping, key)[i]);
        }
        put_i64(o, g->heads[key].last_ns);
        for (uint32_t i = 0; i < g->acc_count; i++) {
            save_acc(o, &w->accs[g->acc_at + i], key_block(g, key));
        }
    }
}

enum mp_err mp_window_save(const struct mp_window *w, void *ctx,
                           bool (*write)(void *ctx, const void *bytes, size_t size))
{
    struct writer o = {.ctx = ctx, .write = write};
    put(&o, MAGIC, 8);
    put_i64(&o, key_mark(w));
    put_i64(&o, w->now_ns);
    put_u32(&o, w->p->signal_count);
    for (uint32_t i = 0; i < w->p->signal_count; i++) {
        put_text(&o, mp_program_text(w->p, w->p->signal[i].name));
        put_u32(&o, w->signals[i].observed_ns != INT64_MAX);
    }
    put_u32(&o, w->p->grouping_count);
    for (uint32_t i = 0; i < w->p->grouping_count; i++) save_group(w, &o, i);
    return o.failed ? MP_EIO : MP_OK;
}

/* ---- reading back ---- */

struct reader {
    const char *at, *end;
    bool failed;
    bool other_key; /* hashed with another key than ours */
};

static const char *get(struct reader *r, size_t size)
{
    if (r->failed || (size_t)(r->end - r->at) < size) {
        r->failed = true;
        return NULL;
    }
    const char *at = r->at;
    r->at += size;
    return at;
}

static uint32_t get_u32(struct reader *r)
{
    uint32_t v = 0;
    const char *at = get(r, sizeof v);
    if (at != NULL) memcpy(&v, at, sizeof v);
    return v;
}

static int64_t get_i64(struct reader *r)
{
    int64_t v = 0;
    const char *at = get(r, sizeof v);
    if (at != NULL) memcpy(&v, at, sizeof v);
    return v;
}

static mp_str get_text(struct reader *r)
{
    uint32_t len = get_u32(r);
    const char *at = get(r, len);
    return at != NULL ? (mp_str){at, len} : (mp_str){NULL, 0};
}

static struct mp_value get_value(struct reader *r, enum mp_rep rep)
{
    struct mp_value v = {{0, 0}};
    if (rep == MP_REP_T) return mp_value_text(get_text(r));
    const char *at = get(r, sizeof v.w);
    if (at != NULL) memcpy(v.w, at, sizeof v.w);
    return v;
}

/* A tuple of keys as it was written, and which grouping here has the same. */
static uint32_t read_tuple(const struct mp_window *w, struct reader *r, uint32_t *count,
                           enum mp_rep reps[KEYS_MAX])
{
    *count = get_u32(r);
    mp_str names[KEYS_MAX];
    uint32_t types[KEYS_MAX];
    if (*count > KEYS_MAX) r->failed = true;
    for (uint32_t i = 0; i < *count && !r->failed; i++) {
        names[i] = get_text(r);
        types[i] = get_u32(r);
        reps[i] = (enum mp_rep)get_u32(r);
        if (reps[i] > MP_REP_A) r->failed = true;
    }
    for (uint32_t g = 0; g < w->p->grouping_count && !r->failed; g++) {
        const struct mp_grouping_row *row = &w->p->grouping[g];
        bool same = row->keys_count == *count;
        for (uint32_t i = 0; same && i < *count; i++) {
            const struct mp_group_key_row *k = &w->p->group_key[row->keys_at + i];
            same = k->type == types[i] && w->groups[g].rep[i] == reps[i] &&
                   mp_str_eq(mp_program_text(w->p, k->name), names[i]);
        }
        if (same) return g;
    }
    return MP_NONE;
}

/* What was written of one accumulator: which one of ours it is, and how large its panes are. */
struct stored { uint32_t acc, panes, pane_bytes; };
#define STORED_MAX 1024u

static struct stored read_shape(const struct mp_window *w, struct reader *r, uint32_t grouping)
{
    struct stored s = {.acc = MP_NONE};
    uint32_t marks = get_u32(r);
    if (marks > MARKS_MAX) r->failed = true;
    for (uint32_t i = 0; i < marks && !r->failed; i++) {
        uint64_t mark = (uint64_t)get_i64(r);
        if (grouping == MP_NONE) continue;
        const struct mp_grouping_row *g = &w->p->grouping[grouping];
        for (uint32_t k = g->aggs_at; k < g->aggs_at + g->aggs_count; k++) {
            if (w->agg_mark[k] == mark) s.acc = w->agg_acc[k];
        }
    }
    s.panes = get_u32(r);
    s.pane_bytes = get_u32(r);
    if (s.acc != MP_NONE) {
        const struct acc *a = &w->accs[s.acc];
        uint32_t bytes = a->panes != 0 ? a->pane_bytes : (uint32_t)sizeof(struct last_cell);
        bool useless = a->family == FAM_DISTINCT && r->other_key;
        if (useless || a->panes != s.panes || bytes != s.pane_bytes) s.acc = MP_NONE;
    }
    return s;
}

static void read_panes(struct reader *r, const struct stored *s, const struct acc *a,
                       unsigned char *block, uint32_t count)
{
    int64_t head = get_i64(r), tail = get_i64(r);
    bool sane = count <= s->panes && head >= 0 && head < INT64_MAX / 2 && tail <= head + 1 &&
                tail >= head - s->panes;
    if (!sane) r->failed = true;
    if (a != NULL && sane) mp_acc_reset(a, block, head, tail);
    for (uint32_t i = 0; i < count && !r->failed; i++) {
        uint32_t back = get_u32(r);
        const char *bytes = get(r, s->pane_bytes);
        if (bytes == NULL || back >= s->panes) {
            r->failed = true;
        } else if (a != NULL) {
            unsigned char *pane = acc_pane(a, block, pane_slot(a, head - back));
            memcpy(pane, bytes, s->pane_bytes);
            if (a->family == FAM_DISTINCT && !mp_distinct_repair((void *)pane)) {
                mp_distinct_clear((void *)pane);
                r->failed = true;
            }
        }
    }
    if (a != NULL && sane) mp_acc_rebuild(a, block);
}

static void read_acc(struct mp_window *w, struct reader *r, const struct stored *s,
                     unsigned char *block)
{
    const struct acc *a = s->acc != MP_NONE && block != NULL ? &w->accs[s->acc] : NULL;
    uint32_t count = get_u32(r);
    if (count == 0 || r->failed) return;
    if (s->panes != 0) {
        read_panes(r, s, a, block, count);
        return;
    }
    const char *bytes = get(r, sizeof(struct last_cell));
    if (bytes != NULL && a != NULL && kept_last(a)) {
        memcpy(acc_total(a, block), bytes, sizeof(struct last_cell));
    }
}

static void read_key(struct mp_window *w, struct reader *r, uint32_t grouping, uint32_t key_count,
                     const enum mp_rep *reps, const struct stored *stored, uint32_t accs)
{
    struct mp_value values[KEYS_MAX];
    for (uint32_t i = 0; i < key_count; i++) values[i] = get_value(r, reps[i]);
    int64_t last_ns = get_i64(r);
    unsigned char *block = NULL;
    if (grouping != MP_NONE && !r->failed) {
        struct group *g = &w->groups[grouping];
        bool fresh;
        uint32_t key = mp_window_birth(w, grouping, values, &fresh);
        if (key != MP_NONE && (fresh || g->key_count == 0)) {
            block = key_block(g, key);
            g->heads[key].last_ns = last_ns < w->now_ns ? last_ns : w->now_ns;
        }
    }
    for (uint32_t i = 0; i < accs && !r->failed; i++) read_acc(w, r, &stored[i], block);
}

static void read_group(struct mp_window *w, struct reader *r)
{
    enum mp_rep reps[KEYS_MAX];
    uint32_t key_count;
    uint32_t grouping = read_tuple(w, r, &key_count, reps);
    struct stored stored[STORED_MAX];
    uint32_t accs = get_u32(r);
    if (accs > STORED_MAX) r->failed = true;
    for (uint32_t i = 0; i < accs && !r->failed; i++) stored[i] = read_shape(w, r, grouping);
    uint32_t keys = get_u32(r);
    for (uint32_t i = 0; i < keys && !r->failed; i++) {
        read_key(w, r, grouping, key_count, reps, stored, accs);
    }
}

enum mp_err mp_window_restore(struct mp_window *w, const void *bytes, size_t size)
{
    struct reader r = {.at = bytes, .end = (const char *)bytes + size};
    const char *magic = get(&r, 8);
    if (magic == NULL || memcmp(magic, MAGIC, 8) != 0) return MP_ECORRUPT;
    r.other_key = get_i64(&r) != key_mark(w);
    int64_t now_ns = get_i64(&r);
    if (r.failed || now_ns < 0 || now_ns > INT64_MAX / 4) return MP_ECORRUPT;
    if (now_ns > w->now_ns) w->now_ns = now_ns;
    uint32_t signals = get_u32(&r);
    for (uint32_t i = 0; i < signals && !r.failed; i++) {
        mp_str name = get_text(&r);
        bool observed = get_u32(&r) != 0;
        uint32_t s = name.len <= NAME_MAX_BYTES ? signal_named(w->p, name) : MP_NONE;
        /* What came since is not in the snapshot: counting begins with it (R5). */
        if (s != MP_NONE && observed && w->signals[s].observed_ns > now_ns) {
            w->signals[s].observed_ns = now_ns;
        }
    }
    uint32_t groups = get_u32(&r);
    for (uint32_t i = 0; i < groups && !r.failed; i++) read_group(w, &r);
    return r.failed || r.at != r.end ? MP_ECORRUPT : MP_OK;
}
