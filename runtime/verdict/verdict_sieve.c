/* SPDX-License-Identifier: Apache-2.0
 * Which units of inline rules need not be judged, because none of their rules can be true of a
 * request.
 *
 * A rule is true only where each part of its `and` is, and one such part is often a comparison of
 * a field with a constant: a path, a header, a network. Of such a part a word is kept, and the
 * bits of it that the field must have: of a text its length and first bytes, of an address its
 * first bits, of `contains` the pairs of neighbouring bytes that must occur somewhere (a filter
 * as in Bloom, CACM 13(7), 1970). Most requests have none of what rules look for; a hundred such
 * words are compared in the time of ten rules.
 *
 * INVARIANT: a unit that is passed over has no rule that is true. Of what is unknown nothing is
 * true.
 */
#include "base/assert.h"
#include "program/layout.h"
#include "verdict/verdict_priv.h"

/* LIMIT: alternatives of one rule, depth of its condition, words of one signal. A rule beyond is
 * judged. */
#define ATOMS_MAX 8
#define DEPTH_MAX 32
#define WORDS_MAX 64

struct atom {
    struct mp_sieve_word word;
    uint64_t value, mask;
};

/* What is looked for while a plan is made. */
struct search {
    const struct mp_program *p;
    const struct mp_op_row *ops;
};

struct atoms {
    uint32_t count;
    struct atom atom[ATOMS_MAX];
};

/* ---- one comparison ---- */

static uint64_t pair_bit(uint8_t a, uint8_t b)
{
    return UINT64_C(1) << ((((uint32_t)a << 8 | b) * 0x9E3779B1u) >> 26);
}

static uint64_t pairs_of(mp_str s)
{
    uint64_t bits = 0;
    for (size_t i = 1; i < s.len; i++) bits |= pair_bit((uint8_t)s.ptr[i - 1], (uint8_t)s.ptr[i]);
    return bits;
}

/* In the first word of a text (schema/value.h): the mask of its first `len` bytes, at most four. */
static uint64_t first_bytes(size_t len)
{
    return len >= 4 ? UINT64_MAX << 32 : ((UINT64_C(1) << (8 * len)) - 1) << 32;
}

static bool text_atom(uint32_t code, const struct mp_value *constant, struct atom *out)
{
    mp_str text = mp_value_as_text(constant);
    size_t literal = 0;
    out->word.kind = MP_SIEVE_FIRST;
    out->value = constant->w[0];
    switch (code) {
    case MP_OP_EQ_T: out->mask = UINT64_MAX; return true;
    case MP_OP_STARTS: out->mask = first_bytes(text.len); return text.len > 0;
    case MP_OP_LIKE:
        while (literal < text.len && text.ptr[literal] != '*' && text.ptr[literal] != '?')
            literal++;
        out->mask = first_bytes(literal);
        return literal > 0;
    case MP_OP_CONTAINS:
        out->word.kind = MP_SIEVE_PAIRS;
        out->value = out->mask = pairs_of(text);
        return out->mask != 0;
    default: return false;
    }
}

/* Addresses lie in network order; the second word has what tells IPv4 addresses apart. */
static bool net_atom(const struct mp_program *p, uint32_t row, struct atom *out)
{
    uint32_t bits = p->cnst[row].bits;
    unsigned char mask[16] = {0};
    struct mp_value net = p->consts[row];
    for (uint32_t i = 0; i < bits && i < 128; i++) mask[i / 8] |= (unsigned char)(0x80 >> (i % 8));
    out->word.kind = bits > 64 ? MP_SIEVE_SECOND : MP_SIEVE_FIRST;
    memcpy(&out->mask, mask + (bits > 64 ? 8 : 0), sizeof out->mask);
    out->value = net.w[bits > 64 ? 1 : 0];
    return bits > 0;
}

static const struct mp_op_row *op_of(const struct search *s, uint32_t op, uint32_t code)
{
    return s->ops[op].code == code ? &s->ops[op] : NULL;
}

static bool find_atom(const struct search *s, const struct mp_op_row *op, struct atom *out)
{
    const struct mp_op_row *field, *constant;
    if (op->code == MP_OP_IN_NET) {
        field = op_of(s, op->a, MP_OP_FIELD);
        out->word.slot = field != NULL ? field->a : 0;
        return field != NULL && net_atom(s->p, op->b, out);
    }
    if (op->code != MP_OP_EQ_T && op->code != MP_OP_STARTS && op->code != MP_OP_LIKE &&
        op->code != MP_OP_CONTAINS) {
        return false;
    }
    field = op_of(s, op->a, MP_OP_FIELD);
    constant = op_of(s, op->b, MP_OP_CONST);
    if (field == NULL && op->code == MP_OP_EQ_T) { /* equality has no order */
        field = op_of(s, op->b, MP_OP_FIELD);
        constant = op_of(s, op->a, MP_OP_CONST);
    }
    if (field == NULL || constant == NULL) return false;
    out->word.slot = field->a;
    return text_atom(op->code, &s->p->consts[constant->a], out);
}

/* ---- one rule ---- */

static uint32_t weight(const struct atoms *a)
{
    uint32_t least = UINT32_MAX;
    for (uint32_t i = 0; i < a->count; i++) {
        uint32_t bits = (uint32_t)__builtin_popcountll(a->atom[i].mask);
        if (bits < least) least = bits;
    }
    return a->count > 0 ? least : 0;
}

/* What must hold for one of the alternatives of op `at`; none: nothing is known. Of the parts of
 * an `and` the one that says most is enough; of an `or` every part is needed. */
static struct atoms find_atoms(const struct search *s, uint32_t at, uint32_t depth)
{
    const struct mp_op_row *op = &s->ops[at];
    struct atoms found = {.count = 0};
    if (depth == DEPTH_MAX) return found;
    if (op->code == MP_OP_AND || op->code == MP_OP_OR) {
        struct atoms a = find_atoms(s, op->a, depth + 1), b = find_atoms(s, op->b, depth + 1);
        if (op->code == MP_OP_AND) return weight(&a) >= weight(&b) ? a : b;
        if (a.count == 0 || b.count == 0 || a.count + b.count > ATOMS_MAX) return found;
        memcpy(&a.atom[a.count], b.atom, b.count * sizeof *b.atom);
        a.count += b.count;
        return a;
    }
    found.count = find_atom(s, op, &found.atom[0]) ? 1 : 0;
    return found;
}

/* ---- one unit ---- */

static uint32_t word_number(struct mp_sieve_words *words, struct mp_sieve_word word)
{
    for (uint32_t i = 0; i < words->count; i++) {
        if (words->word[i].slot == word.slot && words->word[i].kind == word.kind) return i;
    }
    if (words->count == WORDS_MAX) return MP_NONE;
    words->word[words->count] = word;
    return words->count++;
}

enum mp_err mp_sieve_words_create(struct mp_arena *arena, struct mp_sieve_words *out)
{
    *out = (struct mp_sieve_words){.word = MP_NEW(arena, struct mp_sieve_word, WORDS_MAX)};
    return out->word != NULL ? MP_OK : MP_ENOMEM;
}

/* What rules of a unit look for, in their order. */
struct found {
    uint32_t count;
    struct found_test {
        struct mp_sieve_test test;
        uint32_t word;
    } *tests;
};

/* False: one of them must be judged, and so all. */
static bool find_tests(const struct mp_program *p, uint32_t unit, struct mp_sieve_words *words,
                       struct found *out)
{
    const struct mp_unit_row *u = &p->unit[unit];
    const struct mp_fn_row *fn = &p->fn[u->fn];
    struct search s = {p, p->op + fn->ops_at};
    for (uint32_t i = 0; i < u->rules_count; i++) {
        struct atoms a = find_atoms(&s, p->out[fn->outs_at + u->first_out + i].value, 0);
        if (a.count == 0) return false;
        for (uint32_t k = 0; k < a.count; k++) {
            uint32_t word = word_number(words, a.atom[k].word);
            if (word == MP_NONE) return false;
            out->tests[out->count++] =
                (struct found_test){{a.atom[k].value, a.atom[k].mask}, word};
        }
    }
    return true;
}

/* The tests of one word behind each other, and what they have in common. */
static void gather(const struct found *found, uint32_t word, struct mp_sieve_test *tests,
                   uint32_t *count, struct mp_sieve_group *out)
{
    *out = (struct mp_sieve_group){.mask = UINT64_MAX, .word = word, .first = *count};
    for (uint32_t i = 0; i < found->count; i++) {
        const struct mp_sieve_test *t = &found->tests[i].test;
        if (found->tests[i].word != word) continue;
        if (out->count++ == 0) out->value = t->value;
        out->mask &= t->mask & ~(out->value ^ t->value);
        tests[(*count)++] = *t;
    }
}

enum mp_err mp_sieve_create(struct mp_arena *arena, const struct mp_program *p, uint32_t unit,
                            struct mp_sieve_words *words, struct mp_sieve **out)
{
    struct found_test room[MP_UNIT_RULES_MAX * ATOMS_MAX];
    struct found found = {.tests = room};
    MP_ASSERT(p->unit[unit].rules_count <= MP_UNIT_RULES_MAX);
    *out = NULL;
    if (!find_tests(p, unit, words, &found)) return MP_OK;
    struct mp_sieve *sieve = MP_NEW(arena, struct mp_sieve, 1);
    struct mp_sieve_test *tests = MP_NEW(arena, struct mp_sieve_test, found.count + 1);
    struct mp_sieve_group *groups = MP_NEW(arena, struct mp_sieve_group, words->count + 1);
    if (sieve == NULL || tests == NULL || groups == NULL) return MP_ENOMEM;
    for (uint32_t word = 0, count = 0; word < words->count; word++) {
        struct mp_sieve_group *g = &groups[sieve->group_count];
        gather(&found, word, tests, &count, g);
        if (g->count > 0) sieve->group_count++;
    }
    sieve->tests = tests;
    sieve->groups = groups;
    *out = sieve;
    return MP_OK;
}

/* ---- a request ---- */

void mp_sieve_read(const struct mp_sieve_words *words, const uint64_t *known,
                   const struct mp_value *field, uint64_t *out)
{
    for (uint32_t i = 0; i < words->count; i++) {
        const struct mp_sieve_word *w = &words->word[i];
        const struct mp_value *v = &field[w->slot];
        bool is_known = (known[w->slot / 64] >> (w->slot % 64) & 1) != 0;
        out[2 * i + 1] = is_known ? 0 : UINT64_MAX; /* of what is unknown every bit is wrong */
        out[2 * i] = !is_known                       ? 0
                     : w->kind == MP_SIEVE_PAIRS     ? pairs_of(mp_value_as_text(v))
                                                     : v->w[w->kind == MP_SIEVE_SECOND ? 1 : 0];
    }
}

static bool group_passes(const struct mp_sieve_group *g, const struct mp_sieve_test *tests,
                         uint64_t word)
{
    uint64_t found = 0;
    for (uint32_t i = 0; i < g->count; i++) {
        found |= (uint64_t)(((word ^ tests[i].value) & tests[i].mask) == 0);
    }
    return found != 0;
}

bool mp_sieve_passes(const struct mp_sieve *s, const uint64_t *words)
{
    for (uint32_t i = 0; i < s->group_count; i++) {
        const struct mp_sieve_group *g = &s->groups[i];
        uint64_t word = words[2 * g->word], unknown = words[2 * g->word + 1];
        if ((((word ^ g->value) & g->mask) | unknown) != 0) continue;
        if (group_passes(g, s->tests + g->first, word)) return true;
    }
    return false;
}
