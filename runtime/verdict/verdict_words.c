/* SPDX-License-Identifier: Apache-2.0
 * What became of the action of an inline rule, and what its messages say. The engine and its
 * readers write the same words.
 */
#include "base/assert.h"
#include "base/quote.h"
#include "eval/eval.h"
#include "verdict/verdict_priv.h"

/* ---- what became of it ---- */

uint32_t mp_verdict_act(const struct mp_program *p, uint32_t rule)
{
    const struct mp_rule_row *r = &p->rule[rule];
    if (r->steps_count == 0) return MP_NONE;
    const struct mp_step_row *step = &p->step[r->steps_at];
    for (uint32_t a = step->acts_at; a < step->acts_at + step->acts_count; a++) {
        bool message = p->action[p->act[a].action].class == MP_CLASS_MESSAGE;
        if (p->act[a].target_kind == MP_TARGET_RECORD && !message) return a;
    }
    return MP_NONE;
}

static bool refused(const struct mp_verdict_answer *a, uint32_t rule)
{
    for (uint32_t i = 0; i < a->fired_count; i++) {
        if (a->fired[i].rule == rule) return a->fired[i].refused;
    }
    return false;
}

static enum mp_verdict_outcome of_passed(const struct mp_verdict_answer *a, uint32_t class,
                                         mp_str verb)
{
    if (a->reason != MP_VERDICT_REASON_NONE) return MP_VERDICT_PROTECTED;
    if (class == MP_CLASS_RATE) return MP_VERDICT_WITHIN;
    /* What lets pass has its way, and so has what is no verdict at all. */
    bool other = class != MP_CLASS_ACCESS;
    return other || mp_str_eq(verb, MP_STR("allow")) ? MP_VERDICT_DONE : MP_VERDICT_OVERRULED;
}

enum mp_verdict_outcome mp_verdict_outcome(const struct mp_program *p,
                                           const struct mp_verdict_answer *a, uint32_t rule)
{
    uint32_t act = mp_verdict_act(p, rule);
    MP_ASSERT(act != MP_NONE);
    const struct mp_action_row *action = &p->action[p->act[act].action];
    mp_str verb = mp_program_text(p, action->name);
    if (p->rule[rule].mode == MP_MODE_SHADOW) return MP_VERDICT_SHADOW;
    if (a->allow) return of_passed(a, action->class, verb);
    if (refused(a, rule)) return MP_VERDICT_DONE;
    /* Another rule's action that is like it. */
    bool access = a->reason == MP_VERDICT_REASON_INLINE && action->class == MP_CLASS_ACCESS;
    return access && mp_str_eq(verb, a->verb) ? MP_VERDICT_DONE : MP_VERDICT_OTHER;
}

/* ---- texts that are cut ---- */

struct words {
    char *out;
    size_t size, len;
};

static void put(struct words *w, mp_str s)
{
    size_t room = w->size - w->len;
    if (s.len > room) s.len = room;
    if (s.len > 0) memcpy(w->out + w->len, s.ptr, s.len);
    w->len += s.len;
}

/* As JSON has it: no value of the outside ends where it does not, or begins a line. */
static void put_quoted(struct words *w, mp_str s)
{
    char room[MP_QUOTE_MAX];
    put(w, MP_STR("\""));
    for (size_t at = 0; at < s.len;) put(w, mp_quote_next(s, &at, room));
    put(w, MP_STR("\""));
}

typedef void print_fn(struct mp_buf *out, enum mp_type type, struct mp_value v);

/* Anything but a text is short. */
static void put_value(struct words *w, enum mp_type type, struct mp_value v, print_fn *print)
{
    char memory[512];
    struct mp_arena arena;
    struct mp_buf buf;
    if (mp_type_rep(type) == MP_REP_T) {
        put(w, mp_value_as_text(&v));
        return;
    }
    mp_arena_init_fixed(&arena, memory, sizeof memory);
    mp_buf_init(&buf, &arena);
    print(&buf, type, v);
    if (!buf.failed) put(w, mp_buf_view(&buf));
}

/* ---- what messages say ---- */

bool mp_verdict_audits(const struct mp_program *p, uint32_t act)
{
    return p->action[p->act[act].action].class == MP_CLASS_MESSAGE &&
           p->act[act].target_kind == MP_TARGET_RECORD;
}

bool mp_verdict_sends(const struct mp_program *p, uint32_t rule, uint32_t act)
{
    if (p->rule[rule].mode == MP_MODE_SHADOW) return mp_verdict_audits(p, act);
    return p->action[p->act[act].action].class == MP_CLASS_MESSAGE;
}

static void put_piece(struct words *w, const struct mp_program *p, const struct mp_piece_row *piece,
                      const struct mp_inputs *in, bool quoted)
{
    struct mp_value v;
    enum mp_type type = (enum mp_type)piece->type;
    if (piece->fn == MP_NONE) {
        put(w, mp_program_text(p, piece->literal));
    } else if (!mp_eval_value(p, piece->fn, in, &v)) {
        put(w, MP_STR("unknown"));
    } else if (quoted && mp_type_rep(type) == MP_REP_T) {
        put_quoted(w, mp_value_as_text(&v));
    } else {
        put_value(w, type, v, mp_value_show);
    }
}

size_t mp_verdict_compose(const struct mp_program *p, uint32_t act, const struct mp_inputs *in,
                          char *out, size_t size)
{
    const struct mp_act_row *a = &p->act[act];
    struct words w = {out, size, 0};
    bool quoted = mp_verdict_audits(p, act);
    for (uint32_t i = a->pieces_at; i < a->pieces_at + a->pieces_count; i++) {
        put_piece(&w, p, &p->piece[i], in, quoted);
    }
    if (a->pieces_count == 0) put(&w, mp_program_text(p, a->text));
    return w.len;
}

static void put_outcome(struct words *w, const struct mp_program *p,
                        const struct mp_verdict_answer *a, uint32_t rule)
{
    static const mp_str said[] = {
        [MP_VERDICT_DONE] = MP_STR_INIT("done"),
        [MP_VERDICT_SHADOW] = MP_STR_INIT("would be done (shadow)"),
        [MP_VERDICT_WITHIN] = MP_STR_INIT("within the rate, passed"),
        [MP_VERDICT_OVERRULED] = MP_STR_INIT("overruled by a stronger rule, passed"),
        [MP_VERDICT_PROTECTED] = MP_STR_INIT("not done, passed by "),
        [MP_VERDICT_OTHER] = MP_STR_INIT("refused before by "),
    };
    uint32_t act = mp_verdict_act(p, rule);
    if (act == MP_NONE) return;
    enum mp_verdict_outcome outcome = mp_verdict_outcome(p, a, rule);
    put(w, MP_STR("; "));
    put(w, mp_program_text(p, p->act[act].text));
    put(w, MP_STR(": "));
    put(w, said[outcome]);
    if (outcome == MP_VERDICT_PROTECTED || outcome == MP_VERDICT_OTHER) put(w, a->rule);
}

size_t mp_verdict_told(const struct mp_program *p, const struct mp_verdict_answer *a, uint32_t rule,
                       char *out, size_t size, size_t len)
{
    struct words w = {out, size, len};
    put_outcome(&w, p, a, rule);
    return w.len;
}

size_t mp_verdict_message(const struct mp_verdict_plan *plan, const struct mp_verdict_answer *a,
                          uint32_t rule, uint32_t act, struct mp_verdict_scratch *s, char *out,
                          size_t size)
{
    size_t len = mp_verdict_compose(plan->p, act, &s->inputs, out, size);
    if (mp_verdict_audits(plan->p, act)) len = mp_verdict_told(plan->p, a, rule, out, size, len);
    return len;
}

size_t mp_verdict_key(const struct mp_verdict_plan *plan, uint32_t rule,
                      struct mp_verdict_scratch *s, char *out, size_t size)
{
    enum mp_rep reps[BUCKET_KEYS_MAX];
    struct mp_value keys[BUCKET_KEYS_MAX];
    struct words w = {out, size, 0};
    uint32_t count = 0;
    if (!mp_verdict_bucket_keys(plan, rule, s, reps, keys, &count)) return 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t walk = plan->p->rule[rule].bucket_walks_at + i;
        if (i > 0) put(&w, MP_STR(", "));
        put_value(&w, (enum mp_type)plan->p->walk[walk].type, keys[i], mp_value_print);
    }
    return w.len;
}
