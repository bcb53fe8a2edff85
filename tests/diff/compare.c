/* SPDX-License-Identifier: Apache-2.0
 * compare.c - two answers to one question: interpreter and native code, slow evaluator and
 * interpreter.
 */
#include "diff.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/assert.h"

struct mp_outputs diff_outputs(struct diff_answers *a)
{
    return (struct mp_outputs){a->known, a->truth, a->value};
}

static bool bit(const uint64_t *words, uint32_t i)
{
    return ((words[i / 64] >> (i % 64)) & 1) != 0;
}

void diff_found(struct diff_run *r, uint32_t rule, uint32_t event, const char *format, ...)
{
    if (r->differs) return;
    va_list args;
    va_start(args, format);
    vsnprintf(r->what, sizeof r->what, format, args);
    va_end(args);
    r->differs = true;
    r->rule = rule;
    r->event = event;
}

static bool same_value(enum mp_rep rep, struct mp_value a, struct mp_value b)
{
    if (rep == MP_REP_T) return mp_value_text_eq(a, b);
    if (rep == MP_REP_S) return true; /* sets are compared by what is asked of them */
    if (rep == MP_REP_A) return a.w[0] == b.w[0] && a.w[1] == b.w[1];
    return a.w[0] == b.w[0];
}

#ifdef MP_DIFF_JIT
static bool same_output(const struct diff_answers *a, const struct diff_answers *b, uint32_t i,
                        enum mp_rep rep)
{
    bool known = bit(a->known, i);
    if (known != bit(b->known, i)) return false;
    if (!known) return true;
    if (rep == MP_REP_B) return bit(a->truth, i) == bit(b->truth, i);
    return same_value(rep, a->value[i], b->value[i]);
}

static const char *known_word(const struct diff_answers *a, uint32_t i)
{
    return bit(a->known, i) ? "known" : "unknown";
}

static unsigned long long output_word(const struct diff_answers *a, uint32_t i, enum mp_rep rep)
{
    return rep == MP_REP_B ? bit(a->truth, i) : a->value[i].w[0];
}

static void native_differs(struct diff_run *r, uint32_t rule, uint32_t event, uint32_t fn,
                           uint32_t i, enum mp_rep rep, const struct diff_answers *native)
{
    r->of_native |= !r->differs;
    if (rep == MP_REP_T) {
        mp_str x = mp_value_as_text(&r->interpreted.value[i]),
               y = mp_value_as_text(&native->value[i]);
        diff_found(r, rule, event, "fn %u output %u: interpreter \"%.*s\", native \"%.*s\"", fn,
                   i, MP_STR_ARG(x), MP_STR_ARG(y));
    }
    diff_found(r, rule, event, "fn %u output %u: interpreter %s %016llx, native %s %016llx", fn, i,
               known_word(&r->interpreted, i), output_word(&r->interpreted, i, rep),
               known_word(native, i), output_word(native, i, rep));
}
#endif

void diff_both(struct diff_run *r, uint32_t fn, const struct mp_inputs *in, uint32_t rule,
               uint32_t event)
{
    const struct mp_fn_row *f = &r->p->fn[fn];
    struct mp_outputs out = diff_outputs(&r->interpreted);
    MP_ASSERT(f->outs_count <= DIFF_OUTS_MAX);
    mp_eval_interpret(r->p, fn, in, &out);
#ifdef MP_DIFF_JIT
    if (r->no_native) return;
    static struct diff_answers native;
    struct mp_outputs other = diff_outputs(&native);
    static struct mp_eval_scratch second;
    struct mp_inputs again = *in;
    again.scratch = &second;
    mp_eval_fn(r->p, fn, &again, &other);
    for (uint32_t i = 0; i < f->outs_count; i++) {
        enum mp_rep rep = mp_type_rep((enum mp_type)r->p->out[f->outs_at + i].type);
        if (same_output(&r->interpreted, &native, i, rep)) continue;
        native_differs(r, rule, event, fn, i, rep, &native);
    }
#else
    (void)rule;
    (void)event;
#endif
}

static enum mp_truth output_truth(const struct diff_answers *a, uint32_t i)
{
    return !bit(a->known, i) ? MP_UNKNOWN : bit(a->truth, i) ? MP_TRUE : MP_FALSE;
}

static const char *const truth_words[] = {"false", "true", "unknown"};

void diff_truth(struct diff_run *r, uint32_t rule, uint32_t event, const char *clause,
                enum mp_truth slow, const struct diff_answers *fast, uint32_t i)
{
    enum mp_truth said = output_truth(fast, i);
    if (r->world.unsure) {
        r->totals->unsure++;
        r->world.unsure = false;
        return;
    }
    r->totals->truths++;
    r->totals->by_truth[slow]++;
    if (slow == said) return;
    diff_found(r, rule, event, "%s: slow evaluator %s, interpreter %s", clause, truth_words[slow],
               truth_words[said]);
}

void diff_value(struct diff_run *r, uint32_t rule, uint32_t event, const struct mp_t_expr *e,
                struct slow_value slow)
{
    enum mp_rep rep = slow_rep(e->type);
    if (r->world.unsure) {
        r->totals->unsure++;
        r->world.unsure = false;
        return;
    }
    r->totals->values++;
    bool known = bit(r->interpreted.known, 0), same = known == slow.known;
    struct mp_value fast =
        rep == MP_REP_B ? mp_value_bool(bit(r->interpreted.truth, 0)) : r->interpreted.value[0];
    if (same && known) same = same_value(rep, fast, slow.v);
    if (same) return;
    diff_found(r, rule, event, "{%.*s}: slow evaluator %s %016llx %g, interpreter %s %016llx %g",
               MP_STR_ARG(e->text), slow.known ? "known" : "unknown",
               (unsigned long long)slow.v.w[0],
               rep == MP_REP_F ? mp_value_as_num(slow.v) : (double)mp_value_as_int(slow.v),
               known ? "known" : "unknown", (unsigned long long)fast.w[0],
               rep == MP_REP_F ? mp_value_as_num(fast) : (double)mp_value_as_int(fast));
}
