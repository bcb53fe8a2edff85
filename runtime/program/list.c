/* SPDX-License-Identifier: Apache-2.0 */
#include "program/list.h"

#include <stdlib.h>

#include "base/assert.h"
#include "program/program_priv.h"

/* ---- numbers that compare as unsigned words ---- */

/* An int64 or the bits of a double as a word whose unsigned order is that of the numbers; the two
 * zeros of doubles are one. */
static uint64_t ordered(enum mp_rep rep, struct mp_value v)
{
    uint64_t sign = (uint64_t)1 << 63;
    if (rep == MP_REP_B) return v.w[0];
    if (rep == MP_REP_I) return v.w[0] ^ sign;
    uint64_t w = v.w[0] == sign ? 0 : v.w[0];
    return (w & sign) != 0 ? ~w : w | sign;
}

static int word_order(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static bool has_word(const struct mp_list_index *x, uint64_t word)
{
    uint32_t low = 0, high = x->word_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (x->words[middle] < word) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < x->word_count && x->words[low] == word;
}

/* ---- addresses ---- */

static int pair_order(const uint64_t a[2], const uint64_t b[2])
{
    if (a[0] != b[0]) return a[0] < b[0] ? -1 : 1;
    return (a[1] > b[1]) - (a[1] < b[1]);
}

static int range_order(const void *a, const void *b)
{
    return pair_order(((const struct mp_net_range *)a)->low, ((const struct mp_net_range *)b)->low);
}

static uint64_t left_mask(uint32_t bits)
{
    return bits == 0 ? 0 : bits >= 64 ? UINT64_MAX : UINT64_MAX << (64 - bits);
}

static struct mp_net_range range_of(struct mp_value net, uint32_t bits)
{
    struct mp_net_range r;
    for (uint32_t i = 0; i < 2; i++) {
        uint64_t mask = left_mask(i == 0 ? bits : bits > 64 ? bits - 64 : 0);
        r.low[i] = __builtin_bswap64(net.w[i]) & mask;
        r.high[i] = r.low[i] | ~mask;
    }
    return r;
}

static bool has_address(const struct mp_list_index *x, struct mp_value v)
{
    uint64_t address[2] = {__builtin_bswap64(v.w[0]), __builtin_bswap64(v.w[1])};
    uint32_t low = 0, high = x->range_count; /* the first range that begins behind the address */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (pair_order(x->ranges[middle].low, address) <= 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low > 0 && pair_order(address, x->ranges[low - 1].high) <= 0;
}

static void merge_ranges(struct mp_list_index *x)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < x->range_count; i++) {
        struct mp_net_range *last = count > 0 ? &x->ranges[count - 1] : NULL;
        if (last == NULL || pair_order(x->ranges[i].low, last->high) > 0) {
            x->ranges[count++] = x->ranges[i];
        } else if (pair_order(x->ranges[i].high, last->high) > 0) {
            memcpy(last->high, x->ranges[i].high, sizeof last->high);
        }
    }
    x->range_count = count;
}

/* ---- text ---- */

/* The members come from the policy, so the hash needs no secret: a hostile subject is looked up
 * in a table that it cannot fill. */
static uint32_t text_hash(struct mp_value v)
{
    uint64_t h = v.w[0] * 0x9e3779b97f4a7c15u;
    if (mp_value_text_len(v) <= MP_TEXT_INLINE) {
        h = (h ^ v.w[1]) * 0xff51afd7ed558ccdu;
        return (uint32_t)((h ^ h >> 29) * 0x9e3779b97f4a7c15u >> 32);
    }
    mp_str s = mp_value_as_text(&v);
    for (size_t at = 0; at < s.len; at += 8) { /* the last word may overlap the one before it */
        uint64_t w;
        memcpy(&w, s.ptr + (at + 8 <= s.len ? at : s.len - 8), sizeof w);
        h = (h ^ w) * 0xff51afd7ed558ccdu;
        h ^= h >> 32;
    }
    return (uint32_t)(h * 0x9e3779b97f4a7c15u >> 32);
}

static uint32_t slot_of(const struct mp_program *p, const struct mp_list_index *x,
                        struct mp_value v)
{
    uint32_t at = text_hash(v) & x->mask;
    while (x->slots[at] != 0 && !mp_value_text_eq(p->consts[x->slots[at] - 1], v)) {
        at = (at + 1) & x->mask; /* ends: at most half are taken */
    }
    return at;
}

static bool has_text(const struct mp_program *p, const struct mp_list_index *x, struct mp_value v)
{
    bool length = (x->lengths >> (mp_value_text_len(v) & 63) & 1) != 0;
    if (length && x->slots[slot_of(p, x, v)] != 0) return true;
    for (uint32_t i = 0; i < x->pattern_count; i++) {
        const struct mp_value *pattern = &p->consts[x->patterns[i]];
        if (mp_value_like(mp_value_as_text(&v), mp_value_as_text(pattern))) return true;
    }
    return false;
}

bool mp_list_has(const struct mp_program *p, uint32_t list, const struct mp_value *v)
{
    const struct mp_list_index *x = &p->list_index[list];
    switch (x->rep) {
    case MP_REP_T: return has_text(p, x, *v);
    case MP_REP_A: return has_address(x, *v);
    default: return has_word(x, ordered(x->rep, *v));
    }
}

/* ---- building ---- */

static enum mp_err build_text(struct mp_program *p, const struct mp_list_row *l,
                              struct mp_list_index *x)
{
    uint32_t count = 16;
    while (count < 2 * (uint64_t)l->items_count && count < (uint32_t)1 << 31) count *= 2;
    x->slots = MP_NEW(&p->arena, uint32_t, count);
    x->patterns = MP_NEW(&p->arena, uint32_t, l->items_count);
    if (x->slots == NULL || x->patterns == NULL) return MP_ENOMEM;
    x->mask = count - 1;
    for (uint32_t i = 0; i < l->items_count; i++) {
        uint32_t cnst = p->item[l->items_at + i].value;
        if (p->cnst[cnst].type == MP_TYPE_PATTERN) {
            x->patterns[x->pattern_count++] = cnst;
            continue;
        }
        x->lengths |= (uint64_t)1 << (mp_value_text_len(p->consts[cnst]) & 63);
        x->slots[slot_of(p, x, p->consts[cnst])] = cnst + 1;
    }
    return MP_OK;
}

static enum mp_err build_words(struct mp_program *p, const struct mp_list_row *l,
                               struct mp_list_index *x)
{
    x->words = MP_NEW(&p->arena, uint64_t, l->items_count);
    if (x->words == NULL) return MP_ENOMEM;
    for (uint32_t i = 0; i < l->items_count; i++) {
        x->words[i] = ordered(x->rep, p->consts[p->item[l->items_at + i].value]);
    }
    qsort(x->words, l->items_count, sizeof *x->words, word_order);
    for (uint32_t i = 0; i < l->items_count; i++) {
        if (x->word_count > 0 && x->words[x->word_count - 1] == x->words[i]) continue;
        x->words[x->word_count++] = x->words[i];
    }
    return MP_OK;
}

static enum mp_err build_addresses(struct mp_program *p, const struct mp_list_row *l,
                                   struct mp_list_index *x)
{
    x->ranges = MP_NEW(&p->arena, struct mp_net_range, l->items_count);
    if (x->ranges == NULL) return MP_ENOMEM;
    for (uint32_t i = 0; i < l->items_count; i++) {
        uint32_t cnst = p->item[l->items_at + i].value;
        bool net = p->cnst[cnst].type == MP_TYPE_CIDR;
        x->ranges[i] = range_of(p->consts[cnst], net ? p->cnst[cnst].bits : 128);
    }
    x->range_count = l->items_count;
    qsort(x->ranges, x->range_count, sizeof *x->ranges, range_order);
    merge_ranges(x);
    return MP_OK;
}

enum mp_err mp_program_build_lists(struct mp_program *p)
{
    struct mp_list_index *index = MP_NEW(&p->arena, struct mp_list_index, p->list_count);
    if (index == NULL) return MP_ENOMEM;
    for (uint32_t i = 0; i < p->list_count; i++) {
        const struct mp_list_row *l = &p->list[i];
        struct mp_list_index *x = &index[i];
        x->rep = mp_type_rep((enum mp_type)l->type);
        switch (x->rep) {
        case MP_REP_T: MP_TRY(build_text(p, l, x)); break;
        case MP_REP_A: MP_TRY(build_addresses(p, l, x)); break;
        default: MP_TRY(build_words(p, l, x)); break;
        }
    }
    p->list_index = index;
    return MP_OK;
}
