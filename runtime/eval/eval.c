/* SPDX-License-Identifier: Apache-2.0 */
#include "eval/eval.h"

#include "base/assert.h"

/* LIMIT: outputs of a function that is asked for one of them. */
#define FEW_OUTS 64

const struct mp_native *mp_exec_switch(const struct mp_program *p, const struct mp_native *native)
{
    MP_ASSERT(native == NULL || native->fn_count == p->fn_count);
    return atomic_exchange_explicit(&p->exec->native, native, memory_order_acq_rel);
}

void mp_inputs_init(struct mp_inputs *in, const struct mp_program *p,
                    struct mp_eval_scratch *scratch)
{
    *in = (struct mp_inputs){
        .consts = p->consts, .params = p->params, .program = p, .scratch = scratch,
        .helpers = mp_exec_helpers,
    };
}

void mp_eval_fn(const struct mp_program *p, uint32_t fn, const struct mp_inputs *in,
                struct mp_outputs *out)
{
    MP_ASSERT(fn < p->fn_count && in->program == p);
    const struct mp_native *native = atomic_load_explicit(&p->exec->native, memory_order_acquire);
    if (native != NULL && native->fns[fn] != NULL) {
        native->fns[fn](in, out);
        return;
    }
    mp_eval_interpret(p, fn, in, out);
}

/* Up to 64 bits from bit `from` on. */
static uint64_t bits_from(const uint64_t *words, uint32_t word_count, uint32_t from)
{
    uint32_t at = from / 64, rest = from % 64;
    uint64_t low = at < word_count ? words[at] >> rest : 0;
    uint64_t high = rest != 0 && at + 1 < word_count ? words[at + 1] << (64 - rest) : 0;
    return low | high;
}

void mp_eval_unit(const struct mp_program *p, uint32_t unit, const struct mp_inputs *in,
                  struct mp_hits *hits)
{
    const struct mp_unit_row *u = &p->unit[unit];
    uint64_t known[MP_FN_OUTS_MAX / 64], truth[MP_FN_OUTS_MAX / 64];
    uint32_t words = (p->fn[u->fn].outs_count + 63) / 64;
    struct mp_outputs out = {.known = known, .truth = truth};
    mp_eval_fn(p, u->fn, in, &out);
    hits->unit = unit;
    hits->known = bits_from(known, words, u->first_out);
    hits->truth = bits_from(truth, words, u->first_out);
}

enum mp_truth mp_eval_truth(const struct mp_program *p, uint32_t fn, const struct mp_inputs *in)
{
    struct mp_value v;
    if (!mp_eval_value(p, fn, in, &v)) return MP_UNKNOWN;
    return v.w[0] != 0 ? MP_TRUE : MP_FALSE;
}

bool mp_eval_value(const struct mp_program *p, uint32_t fn, const struct mp_inputs *in,
                   struct mp_value *out)
{
    MP_ASSERT(fn < p->fn_count && p->fn[fn].outs_count > 0 && p->fn[fn].outs_count <= FEW_OUTS);
    uint64_t known, truth;
    struct mp_value value[FEW_OUTS];
    struct mp_outputs outs = {.known = &known, .truth = &truth, .value = value};
    mp_eval_fn(p, fn, in, &outs);
    bool is_truth = mp_type_rep((enum mp_type)p->out[p->fn[fn].outs_at].type) == MP_REP_B;
    *out = is_truth ? mp_value_bool((truth & 1) != 0) : value[0];
    return (known & 1) != 0;
}
