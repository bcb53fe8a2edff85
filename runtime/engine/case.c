/* SPDX-License-Identifier: Apache-2.0
 * The tables of cases, (rule, key), and of the clocks of nested `for`, (hold, key).
 */
#include "engine/engine_priv.h"

#include "base/assert.h"

static uint32_t hash_pair(uint32_t a, uint32_t b, uint32_t mask)
{
    /* Slots of keys, not their values: nobody outside can choose them. */
    uint64_t x = ((uint64_t)a << 32 | b) * 0x9E3779B97F4A7C15ull;
    return (uint32_t)(x >> 32) & mask;
}

static struct en_unit *unit_of(struct mp_engine *e, uint32_t rule)
{
    return &e->units[e->p->rule[rule].unit];
}

static uint64_t bit_of(const struct mp_engine *e, uint32_t rule)
{
    return 1ull << (rule - e->p->unit[e->p->rule[rule].unit].rules_at);
}

struct en_case *en_case_find(struct mp_engine *e, uint32_t rule, uint32_t key)
{
    if ((unit_of(e, rule)->active[key] & bit_of(e, rule)) == 0) return NULL;
    uint32_t i = e->case_heads[hash_pair(rule, key, e->case_mask)];
    while (i != EN_NONE && (e->cases[i].rule != rule || e->cases[i].key != key)) {
        i = e->cases[i].next;
    }
    MP_ASSERT(i != EN_NONE);
    return &e->cases[i];
}

/* A slot that was in use before, or the first that never was; EN_NONE: all are taken. */
static uint32_t take_slot(struct mp_engine *e)
{
    uint32_t i = e->case_free;
    if (i != EN_NONE) {
        e->case_free = e->cases[i].next;
    } else if (e->case_end < e->limits.incidents) {
        i = e->case_end++;
    }
    return i;
}

void en_full(struct mp_engine *e, uint32_t rule, bool incidents, uint32_t taken, uint32_t most)
{
    bool of_one = taken >= most;
    uint32_t all = incidents ? e->limits.incidents : e->limits.leases;
    e->full_rule = rule;
    e->full = (struct mp_engine_full){.time_ns = e->now_ns, .incidents = incidents,
                                      .of_one = of_one, .most = of_one ? most : all};
}

mp_str en_full_text(struct mp_engine *e, uint32_t rule, int64_t from_ns)
{
    const struct mp_engine_full *full = &e->full;
    struct mp_buf b;
    bool no_room = full->time_ns != 0 && !full->incidents && e->full_rule == rule &&
                   full->time_ns >= from_ns;
    if (!no_room) return MP_STR("");
    mp_buf_printf(en_words(e, &b), "no room for more than %u leases%s", full->most,
                  full->of_one ? " of one rule" : "");
    return mp_buf_view(&b);
}

struct en_case *en_case_make(struct mp_engine *e, uint32_t rule, uint32_t key)
{
    /* One rule, over keys that clients choose, must not take the places of all others. */
    uint32_t most = e->limits.incidents - e->limits.incidents / 4;
    uint32_t i = e->rule_cases[rule] < most ? take_slot(e) : EN_NONE;
    if (i == EN_NONE) {
        e->refused_incidents++;
        en_full(e, rule, true, e->rule_cases[rule], most);
        return NULL;
    }
    uint32_t *head = &e->case_heads[hash_pair(rule, key, e->case_mask)];
    struct en_case *c = &e->cases[i];
    e->case_used++;
    e->rule_cases[rule]++;
    *c = (struct en_case){.rule = rule, .grouping = e->p->rule[rule].grouping, .key = key,
                          .next = *head, .used = true, .armed = true,
                          .until_from_ns = MP_NEVER_NS, .since_ns = e->now_ns,
                          .step = MP_NONE, .leases = EN_NONE, .last_lease = EN_NONE,
                          .shadow = e->p->rule[rule].mode == MP_MODE_SHADOW};
    *head = i;
    unit_of(e, rule)->active[key] |= bit_of(e, rule);
    en_case_pin(e, c, true);
    return c;
}

struct en_case *en_case_make_ruleless(struct mp_engine *e, uint32_t rule, uint32_t most)
{
    uint32_t slot = en_rule_slot(e, rule);
    uint32_t i = e->rule_cases[slot] < most ? take_slot(e) : EN_NONE;
    if (i == EN_NONE) {
        e->refused_incidents++;
        return NULL;
    }
    struct en_case *c = &e->cases[i];
    e->case_used++;
    e->rule_cases[slot]++;
    *c = (struct en_case){.rule = rule, .grouping = MP_NONE, .key = i, .next = EN_NONE,
                          .used = true, .armed = true, .told = true, .manual = EN_NONE,
                          .until_from_ns = MP_NEVER_NS, .since_ns = e->now_ns, .step = MP_NONE,
                          .leases = EN_NONE, .last_lease = EN_NONE};
    return c;
}

void en_case_adopt(struct mp_engine *e, struct en_case *c)
{
    if (!en_has_rule(c)) {
        c->key = en_case_index(e, c);
        e->case_used++;
        e->rule_cases[en_rule_slot(e, c->rule)]++;
        return;
    }
    uint32_t *head = &e->case_heads[hash_pair(c->rule, c->key, e->case_mask)];
    c->next = *head;
    *head = en_case_index(e, c);
    e->case_used++;
    e->rule_cases[c->rule]++;
    unit_of(e, c->rule)->active[c->key] |= bit_of(e, c->rule);
    en_case_pin(e, c, c->state != MP_INCIDENT_IDLE || c->armed);
}

void en_case_pin(struct mp_engine *e, struct en_case *c, bool pin)
{
    if (pin == c->pinned) return;
    c->pinned = pin;
    if (pin) {
        mp_window_pin(e->window, c->grouping, c->key);
    } else {
        mp_window_unpin(e->window, c->grouping, c->key);
    }
}

void en_cases_forget(struct mp_engine *e, uint32_t grouping, uint32_t key)
{
    const struct mp_grouping_row *g = &e->p->grouping[grouping];
    for (uint32_t u = g->units_at; u < g->units_at + g->units_count; u++) {
        if (e->units[u].active == NULL) continue;
        uint64_t left = e->units[u].active[key];
        for (; left != 0; left &= left - 1) {
            uint32_t rule = e->p->unit[u].rules_at + (uint32_t)__builtin_ctzll(left);
            struct en_case *c = en_case_find(e, rule, key);
            MP_ASSERT(!c->pinned && c->state == MP_INCIDENT_IDLE);
            en_case_free(e, c);
        }
    }
}

void en_case_free(struct mp_engine *e, struct en_case *c)
{
    MP_ASSERT(c->used && c->leases == EN_NONE);
    uint32_t i = en_case_index(e, c);
    if (!en_has_rule(c)) {
        if (c->manual != EN_NONE) e->manuals[c->manual].used = false;
    } else {
        uint32_t *at = &e->case_heads[hash_pair(c->rule, c->key, e->case_mask)];
        while (*at != i) at = &e->cases[*at].next;
        *at = c->next;
        unit_of(e, c->rule)->active[c->key] &= ~bit_of(e, c->rule);
        en_case_pin(e, c, false);
    }
    en_heap_set(e, &e->events, i, MP_NEVER_NS);
    en_heap_set(e, &e->monos, i, MP_NEVER_NS);
    c->used = false;
    c->dirty = true;
    c->next = e->case_free;
    e->case_free = i;
    e->case_used--;
    e->rule_cases[en_rule_slot(e, c->rule)]--;
}

mp_str en_case_key(struct mp_engine *e, struct en_case *c)
{
    if (c->key_len == 0) {
        char bytes[32 * 1024]; /* eight keys of a KiB, and what a growing text leaves behind */
        struct mp_arena arena;
        struct mp_buf text;
        mp_arena_init_fixed(&arena, bytes, sizeof bytes);
        mp_buf_init(&text, &arena);
        mp_window_key_text(e->window, c->grouping, c->key, &text);
        c->key_len = text.len < EN_KEY_TEXT_MAX ? (uint32_t)text.len : EN_KEY_TEXT_MAX;
        memcpy(c->key_text, text.ptr, c->key_len);
    }
    return (mp_str){c->key_text, c->key_len};
}

uint64_t en_rule_key(const struct mp_engine *e, uint32_t rule, mp_str key)
{
    mp_str package = mp_program_text(e->p, e->p->rule[rule].package);
    mp_str name = mp_program_text(e->p, e->p->rule[rule].name);
    uint64_t words[3] = {mp_siphash(e->options.hash_key, package.ptr, package.len),
                         mp_siphash(e->options.hash_key, name.ptr, name.len),
                         mp_siphash(e->options.hash_key, key.ptr, key.len)};
    return mp_siphash_words(e->options.hash_key, words, 3);
}

struct en_clock *en_clock_find(struct mp_engine *e, uint32_t hold, uint32_t key)
{
    uint32_t i = e->clock_heads[hash_pair(hold, key, e->clock_mask)];
    while (i != EN_NONE && (e->clocks[i].hold != hold || e->clocks[i].key != key)) {
        i = e->clocks[i].next;
    }
    return i == EN_NONE ? NULL : &e->clocks[i];
}

struct en_clock *en_clock_make(struct mp_engine *e, uint32_t hold, uint32_t key)
{
    if (e->clock_free == EN_NONE) {
        e->refused_holds++;
        return NULL;
    }
    uint32_t i = e->clock_free, *head = &e->clock_heads[hash_pair(hold, key, e->clock_mask)];
    struct en_clock *c = &e->clocks[i];
    e->clock_free = c->next;
    *c = (struct en_clock){.hold = hold, .key = key, .next = *head, .used = true, .dirty = true};
    *head = i;
    e->clock_total++;
    mp_window_pin(e->window, e->p->hold[hold].grouping, key);
    return c;
}

void en_clock_adopt(struct mp_engine *e, struct en_clock *c)
{
    uint32_t *head = &e->clock_heads[hash_pair(c->hold, c->key, e->clock_mask)];
    c->next = *head;
    *head = (uint32_t)(c - e->clocks);
    mp_window_pin(e->window, e->p->hold[c->hold].grouping, c->key);
}

void en_clock_free(struct mp_engine *e, struct en_clock *c)
{
    uint32_t i = (uint32_t)(c - e->clocks);
    uint32_t *at = &e->clock_heads[hash_pair(c->hold, c->key, e->clock_mask)];
    while (*at != i) at = &e->clocks[*at].next;
    *at = c->next;
    mp_window_unpin(e->window, e->p->hold[c->hold].grouping, c->key);
    en_heap_set(e, &e->events, e->hold_ids + i, MP_NEVER_NS);
    c->used = false;
    c->dirty = true;
    e->clock_total++;
    c->next = e->clock_free;
    e->clock_free = i;
}
