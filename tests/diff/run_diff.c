/* SPDX-License-Identifier: Apache-2.0
 * run_diff.c - three executors on random policies and records: the slow evaluator, the
 * interpreter, and native code where it was built. They must agree on every truth and every
 * value, bit for bit.
 *
 *   test_diff_executors [--seed N] [--batches N] [--native N] [--rules N] [--events N] [--only
 *   BATCH] [--jobs N]
 *
 * A difference is made small (one rule, as few records as will do) and printed with the command
 * that repeats it.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "driver/driver.h"
#include "eval/eval.h"
#include "gen.h"
#include "os/std.h"
#include "window/window.h"
#ifdef MP_DIFF_JIT
#include "jit/jit.h"
#endif

#define RULES_MAX 1024
#define EVENTS_MAX 1000
#define ATTRS_MAX 64
#define OUTS_MAX 4096
#define CELLS_MAX 16384
#define S INT64_C(1000000000)

struct options {
    uint64_t seed;
    /* `native`: so many of the batches go native too */
    uint32_t batches, native, rules, events, jobs;
    int64_t only;
    bool verbose;
};

struct totals {
    uint64_t rules, refused, records, truths, values, by_truth[3], unsure, native_ns, native_fns,
        differences;
};

/* A compiled batch, both ways of looking at it, and what has happened so far. */
struct run {
    struct mp_arena arena, per_event;
    struct mp_compilation *compilation;
    const struct mp_typed *typed;
    struct mp_program *p;
    struct mp_inventory *inventory;
    struct mp_window *window;
    struct slow_world world;
    struct gen_event *events;
    const uint8_t *events_out; /* events that are left out; NULL: none */
    uint32_t *key_order;       /* of the rule at hand */
    struct totals *totals;
    uint64_t rng;
    /* the difference that was found */
    bool differs, of_native, no_native, live;
    uint32_t rule, event;
    char what[2048];
};

static struct mp_eval_scratch scratch;
static uint64_t record_known[CELLS_MAX / 64], row_known[CELLS_MAX / 64],
    event_known[CELLS_MAX / 64];
static struct mp_value record_cells[CELLS_MAX], row_cells[CELLS_MAX], event_cells[CELLS_MAX];

struct answers {
    uint64_t known[OUTS_MAX / 64], truth[OUTS_MAX / 64];
    struct mp_value value[OUTS_MAX];
};
static struct answers interpreted, unit_answers;

static struct mp_outputs outputs_of(struct answers *a)
{
    return (struct mp_outputs){a->known, a->truth, a->value};
}
static bool bit(const uint64_t *words, uint32_t i)
{
    return ((words[i / 64] >> (i % 64)) & 1) != 0;
}

static mp_str rule_name(const struct run *r, uint32_t rule)
{
    return r->typed->rules.ptr[rule]->name;
}

static void found(struct run *r, uint32_t rule, uint32_t event, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static void found(struct run *r, uint32_t rule, uint32_t event, const char *format, ...)
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

/* ---- compiling ---- */

static int64_t no_clock(void *ctx)
{
    (void)ctx;
    return 0;
}

/* Regular expressions, and no clock. */
static struct mp_os test_os;

/* The slow evaluator asks the same library, one pattern at a time. */
static enum mp_match match_regex(void *ctx, mp_str pattern, mp_str subject)
{
    void *handle = NULL;
    const char *why = NULL;
    (void)ctx;
    enum mp_err err = test_os.regex_compile(test_os.ctx, pattern, &handle, &why);
    MP_ASSERT(err == MP_OK);
    enum mp_match m = test_os.regex_match(test_os.ctx, handle, subject);
    test_os.regex_free(test_os.ctx, handle);
    return m;
}

static uint32_t rule_at(const uint32_t *offsets, uint32_t rules, uint32_t at)
{
    for (uint32_t i = 0; i < rules; i++) {
        if (at >= offsets[i] && at < offsets[i + 1]) return i;
    }
    return rules;
}

static void print_diags(struct mp_compilation *c)
{
    struct mp_arena arena;
    mp_arena_init(&arena, NULL, 0);
    struct mp_buf b;
    mp_buf_init(&b, &arena);
    mp_diags_print_text(mp_compilation_diags(c), mp_compilation_sources(c),
                        (struct mp_diag_style){.limit = 3}, &b);
    fprintf(stderr, "%.*s\n", MP_STR_ARG(mp_buf_view(&b)));
    mp_arena_free(&arena);
}

/* Compiles until no rule is refused; refused ones are marked in `out`. */
static bool compile(struct run *r, const struct options *o, uint32_t batch, bool slots,
                    uint8_t *out)
{
    static uint32_t offsets[RULES_MAX + 1];
    for (int round = 0; round < 12; round++) {
        struct mp_buf text;
        mp_buf_init(&text, &r->arena);
        struct gen_batch b = {o->seed + batch, o->rules, out, slots};
        gen_policy(&b, &text, offsets);
        MP_ASSERT(!text.failed);
        struct mp_compile_text file = {MP_STR("diff.mpol"), mp_buf_view(&text), MP_CHECK_GIVEN};
        struct mp_compile_options options = {.goal = MP_COMPILE_IMAGE, .os = &test_os};
        enum mp_err err = mp_compile(&file, 1, &options, &r->compilation);
        if (err != MP_OK) {
            fprintf(stderr, "compile: %s: %s\n", mp_err_text(err),
                    r->compilation != NULL ? mp_compilation_fault(r->compilation) : "");
            return false;
        }
        if (mp_compilation_errors(r->compilation) == 0) return true;
        struct mp_diags *d = mp_compilation_diags(r->compilation);
        bool progress = false;
        for (uint32_t i = 0; i < d->all.len; i++) {
            if (d->all.ptr[i]->severity != MP_SEV_ERROR) continue;
            uint32_t rule = rule_at(offsets, o->rules, d->all.ptr[i]->span.from);
            if (rule == o->rules || out[rule]) continue;
            out[rule] = 1;
            progress = true;
        }
        if (!progress || o->verbose) print_diags(r->compilation);
        if (!progress) return false;
        mp_compilation_free(r->compilation);
        r->compilation = NULL;
    }
    return false;
}

/* ---- the system under test ---- */

static enum mp_truth member_truth(void *ctx, uint32_t fn, const struct mp_row *row)
{
    struct run *r = ctx;
    struct mp_inputs in;
    mp_inputs_init(&in, r->p, &scratch);
    in.row_known = row->known;
    in.row = row->cell;
    return mp_eval_truth(r->p, fn, &in);
}

static uint32_t attr_row(const struct run *r, const struct slow_attr *a)
{
    for (uint32_t i = 0; i < r->p->attr_count; i++) {
        const struct mp_attr_row *row = &r->p->attr[i];
        mp_str name = mp_program_text(r->p, row->name),
               entity = mp_program_text(r->p, r->p->entity[row->entity].name);
        if (!mp_str_eq(entity, a->attr->owner->name)) continue;
        if (a->entry.len == 0 && mp_str_eq(name, a->attr->name)) return i;
        if (a->entry.len > 0 && name.len == a->attr->name.len + 1 + a->entry.len &&
            mp_str_starts(name, a->attr->name) && mp_str_ends(name, a->entry)) {
            return i;
        }
    }
    return MP_NONE;
}

static void put_inventory(struct run *r)
{
    for (uint32_t i = 0; i < r->world.attr_count; i++) {
        const struct slow_attr *a = &r->world.attrs[i];
        uint32_t row = attr_row(r, a);
        if (row == MP_NONE) continue;
        struct mp_entity_line line = {
            .entity = r->p->attr[row].entity, .key = a->key, .attr_count = 1};
        line.attrs[0] = (struct mp_entity_attr){row, true, a->value.v};
        enum mp_err err = mp_inventory_put(r->inventory, &line);
        MP_ASSERT(err == MP_OK);
    }
}

/* What an operator may do: other values for some parameters. */
static void set_params(struct run *r)
{
    static const struct { const char *name, *values[3];
    } rows[] = {
        {"t.pi1", {"0", "7", "-1"}},
        {"t.pn1", {"0.5", "2.25", "-0.5"}},
        {"t.pp1", {"5%", "100%", "0.7%"}},
        {"t.pd1", {"1s", "50ms", "0s"}},
        {"t.ps1", {"a", "Admin", "a rather long text 2"}},
    };
    struct slow_value *params = MP_NEW(&r->arena, struct slow_value, r->typed->params.len + 1);
    MP_ASSERT(params != NULL);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        mp_str value = mp_str_of(rows[i].values[gen_below(&r->rng, 3)]);
        if (gen_below(&r->rng, 2) == 0) continue;
        if (mp_program_set_param(r->p, mp_str_of(rows[i].name), value) != MP_OK) continue;
        for (uint32_t k = 0; k < r->typed->params.len; k++) {
            const struct mp_t_param *p = r->typed->params.ptr[k];
            struct slow_value *out = &params[p->index];
            if (!mp_str_eq(p->name, mp_str_of(rows[i].name + 2))) continue;
            if (mp_type_rep(p->type.base) == MP_REP_T)
                *out = (struct slow_value){true, mp_value_text(value)};
            else out->known = mp_value_read(p->type.base, value, &out->v);
            MP_ASSERT(out->known);
        }
    }
    r->world.params = params;
}

static void set_up(struct run *r, const struct options *o, uint32_t batch, bool slots)
{
    const char *why = NULL;
    mp_str image = mp_compilation_image(r->compilation);
    enum mp_err err = mp_program_load(image.ptr, image.len, &test_os, &r->p, &why);
    if (err != MP_OK) fprintf(stderr, "load: %s\n", why);
    MP_ASSERT(err == MP_OK);
    r->typed = mp_compilation_typed(r->compilation);
    MP_ASSERT(r->typed->rules.len == r->p->rule_count);
    struct mp_hash_key key = {o->seed, batch};
    struct mp_inventory_limits inventory_limits = {.text_bytes = 1 << 20};
    err = mp_inventory_create(&r->arena, r->p, &inventory_limits, key, &r->inventory);
    MP_ASSERT(err == MP_OK);
    struct mp_window_limits limits = {.keys_max = 64,
                                      .sources_max = 1,
                                      .ids_max = 256,
                                      .always_alive = batch % 3 == 0,
                                      .live = batch % 5 == 4};
    struct mp_window_hooks hooks = {.ctx = r, .member = member_truth};
    err = mp_window_create(&r->arena, r->p, &limits, key, r->inventory, &hooks, &r->window);
    MP_ASSERT(err == MP_OK);
    r->live = limits.live;
    r->world = (struct slow_world){.typed = r->typed, .always_alive = limits.always_alive,
                                    .regex = match_regex};
    r->world.records = MP_NEW(&r->arena, struct slow_record, o->events + 1);
    r->world.attrs = MP_NEW(&r->arena, struct slow_attr, ATTRS_MAX);
    r->events = MP_NEW(&r->arena, struct gen_event, o->events + 1);
    r->key_order = MP_NEW(&r->arena, uint32_t, 64);
    MP_ASSERT(r->world.records != NULL && r->world.attrs != NULL && r->events != NULL &&
              r->key_order != NULL);
    r->world.attr_count =
        gen_attrs(o->seed + batch, r->typed, &r->arena, r->world.attrs, ATTRS_MAX);
    gen_trace(o->seed + batch, slots, r->typed, &r->arena, o->events, r->events);
    r->rng = o->seed + batch + 99;
    set_params(r);
    put_inventory(r);
}

/* ---- a record as the program wants it ---- */

static struct slow_value field_of(const struct run *r, const struct slow_record *rec,
                                  const struct mp_field_row *row)
{
    mp_str path = mp_program_text(r->p, row->path);
    if ((row->flags & MP_FIELD_KEY) != 0) {
        mp_str entity = mp_program_text(r->p, r->p->entity[row->entity].name);
        for (uint32_t k = 0; k < rec->signal->key_count; k++) {
            if (mp_str_eq(rec->signal->keys[k]->name, entity)) return rec->keys[k];
        }
    }
    for (uint32_t i = 0; i < rec->signal->field_count && row->attr == MP_NONE; i++) {
        const struct mp_t_field *f = &rec->signal->fields[i];
        const struct slow_field *v = &rec->fields[i];
        if (mp_str_eq(f->name, path)) {
            if (v->value.known || f->preset == NULL) return v->value;
            if (mp_type_rep(f->preset->type.base) != MP_REP_T)
                return (struct slow_value){true, f->preset->value};
            return (struct slow_value){true, mp_value_text(f->preset->text)};
        }
        for (uint32_t k = 0; f->type.is_map && k < v->entry_count; k++) {
            mp_str entry = v->entries[k].name;
            bool same = path.len == f->name.len + 1 + entry.len && mp_str_starts(path, f->name) &&
                        mp_str_ends(path, entry);
            if (same) return v->entries[k].value;
        }
    }
    return (struct slow_value){false, {{0, 0}}};
}

static struct mp_record record_of(struct run *r, const struct gen_event *e)
{
    const struct slow_record *rec = &e->record;
    uint32_t signal = 0;
    while (!mp_str_eq(mp_program_text(r->p, r->p->signal[signal].name), rec->signal->name))
        signal++;
    const struct mp_signal_row *s = &r->p->signal[signal];
    MP_ASSERT(s->fields_count <= CELLS_MAX);
    memset(record_known, 0, (s->fields_count / 64 + 1) * sizeof *record_known);
    for (uint32_t i = 0; i < s->fields_count; i++) {
        struct slow_value v = field_of(r, rec, &r->p->field[s->fields_at + i]);
        record_cells[i] = v.known ? v.v : (struct mp_value){{0, 0}};
        if (v.known) record_known[i / 64] |= 1ull << (i % 64);
    }
    return (struct mp_record){.number = r->world.record_count + 1,
                              .time_ns = rec->time_ns,
                              .signal = signal,
                              .layer = rec->layer,
                              .weight = rec->weight,
                              .id = e->id,
                              .known = record_known,
                              .field = record_cells};
}

/* ---- comparing ---- */

static bool same_value(enum mp_rep rep, struct mp_value a, struct mp_value b)
{
    if (rep == MP_REP_T) return mp_value_text_eq(a, b);
    if (rep == MP_REP_S) return true; /* sets are compared by what is asked of them */
    if (rep == MP_REP_A) return a.w[0] == b.w[0] && a.w[1] == b.w[1];
    return a.w[0] == b.w[0];
}

/* Interpreter and native code: all outputs of a function. */
static void both(struct run *r, uint32_t fn, const struct mp_inputs *in, uint32_t rule,
                 uint32_t event)
{
    const struct mp_fn_row *f = &r->p->fn[fn];
    struct mp_outputs out = outputs_of(&interpreted);
    MP_ASSERT(f->outs_count <= OUTS_MAX);
    mp_eval_interpret(r->p, fn, in, &out);
#ifdef MP_DIFF_JIT
    if (r->no_native) return;
    static struct answers native;
    struct mp_outputs other = outputs_of(&native);
    static struct mp_eval_scratch second;
    struct mp_inputs again = *in;
    again.scratch = &second;
    mp_eval_fn(r->p, fn, &again, &other);
    for (uint32_t i = 0; i < f->outs_count; i++) {
        enum mp_rep rep = mp_type_rep((enum mp_type)r->p->out[f->outs_at + i].type);
        bool a = bit(interpreted.known, i), b = bit(native.known, i);
        bool same = a == b;
        if (same && a && rep == MP_REP_B) same = bit(interpreted.truth, i) == bit(native.truth, i);
        if (same && a && rep != MP_REP_B)
            same = same_value(rep, interpreted.value[i], native.value[i]);
        if (same) continue;
        r->of_native |= !r->differs;
        if (rep == MP_REP_T) {
            mp_str x = mp_value_as_text(&interpreted.value[i]),
                   y = mp_value_as_text(&native.value[i]);
            found(r, rule, event, "fn %u output %u: interpreter \"%.*s\", native \"%.*s\"", fn, i,
                  MP_STR_ARG(x), MP_STR_ARG(y));
        }
        found(r, rule, event, "fn %u output %u: interpreter %s %016llx, native %s %016llx", fn, i,
              a ? "known" : "unknown",
              (unsigned long long)(rep == MP_REP_B ? bit(interpreted.truth, i)
                                                   : interpreted.value[i].w[0]),
              b ? "known" : "unknown",
              (unsigned long long)(rep == MP_REP_B ? bit(native.truth, i) : native.value[i].w[0]));
    }
#endif
}

static enum mp_truth output_truth(const struct answers *a, uint32_t i)
{
    return !bit(a->known, i) ? MP_UNKNOWN : bit(a->truth, i) ? MP_TRUE : MP_FALSE;
}

static const char *const truth_words[] = {"false", "true", "unknown"};

static void compare_truth(struct run *r, uint32_t rule, uint32_t event, const char *clause,
                          enum mp_truth slow, enum mp_truth fast)
{
    if (r->world.unsure) {
        r->totals->unsure++;
        r->world.unsure = false;
        return;
    }
    r->totals->truths++;
    r->totals->by_truth[slow]++;
    if (slow != fast) {
        found(r, rule, event, "%s: slow evaluator %s, interpreter %s", clause, truth_words[slow],
              truth_words[fast]);
    }
}

static void compare_value(struct run *r, uint32_t rule, uint32_t event, const struct mp_t_expr *e,
                          struct slow_value slow)
{
    enum mp_rep rep = slow_rep(e->type);
    if (r->world.unsure) {
        r->totals->unsure++;
        r->world.unsure = false;
        return;
    }
    r->totals->values++;
    bool known = bit(interpreted.known, 0), same = known == slow.known;
    struct mp_value fast =
        rep == MP_REP_B ? mp_value_bool(bit(interpreted.truth, 0)) : interpreted.value[0];
    if (same && known) same = same_value(rep, fast, slow.v);
    if (same) return;
    found(r, rule, event, "{%.*s}: slow evaluator %s %016llx %g, interpreter %s %016llx %g",
          MP_STR_ARG(e->text), slow.known ? "known" : "unknown", (unsigned long long)slow.v.w[0],
          rep == MP_REP_F ? mp_value_as_num(slow.v) : (double)mp_value_as_int(slow.v),
          known ? "known" : "unknown", (unsigned long long)fast.w[0],
          rep == MP_REP_F ? mp_value_as_num(fast) : (double)mp_value_as_int(fast));
}

/* ---- messages: the values in them ---- */

static void holes(struct run *r, uint32_t rule, uint32_t event, const struct slow_ask *ask,
                  const struct mp_inputs *in)
{
    const struct mp_t_rule *t = r->typed->rules.ptr[rule];
    const struct mp_rule_row *row = &r->p->rule[rule];
    const struct mp_step_row *step = &r->p->step[row->steps_at];
    for (uint32_t a = 0; a < t->steps[0].act_count && a < step->acts_count; a++) {
        const struct mp_t_expr *m = t->steps[0].acts[a].message;
        const struct mp_act_row *act = &r->p->act[step->acts_at + a];
        if (m == NULL || m->kind != MP_TX_TEXT || m->piece_count != act->pieces_count) continue;
        for (uint32_t i = 0; i < m->piece_count; i++) {
            uint32_t fn = r->p->piece[act->pieces_at + i].fn;
            if (m->pieces[i].hole == NULL || fn == MP_NONE || m->pieces[i].hole->type.is_set)
                continue;
            both(r, fn, in, rule, event);
            compare_value(r, rule, event, m->pieces[i].hole,
                          slow_eval(&r->world, ask, m->pieces[i].hole));
        }
    }
}

/* ---- rules on the record ---- */

static void judge_record(struct run *r, uint32_t event, const struct mp_record *record,
                         const struct slow_record *rec)
{
    const struct mp_signal_row *s = &r->p->signal[record->signal];
    struct slow_ask ask = {.record = rec};
    struct mp_inputs in;
    mp_inputs_init(&in, r->p, &scratch);
    in.record_known = record->known;
    in.record = record->field;
    in.row_known = event_known;
    in.row = event_cells;
    for (uint32_t u = s->rule_units_at; u < s->rule_units_at + s->rule_units_count; u++) {
        const struct mp_unit_row *unit = &r->p->unit[u];
        if (unit->rules_count == 0) continue;
        both(r, unit->fn, &in, unit->rules_at, event);
        unit_answers = interpreted;
        for (uint32_t i = 0; i < unit->rules_count; i++) {
            uint32_t rule = unit->rules_at + i;
            const struct mp_t_rule *t = r->typed->rules.ptr[rule];
            enum mp_truth slow = slow_truth(&r->world, &ask, t->when.cond);
            if (t->has_unless && slow_truth(&r->world, &ask, t->unless.cond) == MP_TRUE)
                slow = MP_FALSE;
            compare_truth(r, rule, event, "when", slow,
                          output_truth(&unit_answers, unit->first_out + i));
            if (gen_below(&r->rng, 4) == 0) holes(r, rule, event, &ask, &in);
        }
    }
}

/* ---- rules on a row ---- */

/* The signal whose record at hand a condition asks; NULL: none. */
static const struct mp_t_signal *asks_record(const struct mp_t_expr *e)
{
    const struct mp_t_signal *found = NULL;
    if (e == NULL) return NULL;
    if (e->kind == MP_TX_WALK && e->walk->base == MP_T_BASE_RECORD_KEY) return e->walk->signal;
    if (e->kind == MP_TX_WALK && e->walk->base == MP_T_BASE_RECORD_FIELD)
        return e->walk->field->signal;
    for (int i = 0; i < 3 && found == NULL; i++) found = asks_record(e->kid[i]);
    return found;
}

/* The row's keys in the order in which the rule names them. */
static void row_keys(const struct run *r, uint32_t rule, uint32_t grouping, uint32_t key,
                     struct slow_value *out)
{
    const struct mp_t_rule *t = r->typed->rules.ptr[rule];
    const struct mp_grouping_row *g = &r->p->grouping[grouping];
    const struct mp_value *values = mp_window_key(r->window, grouping, key);
    for (uint32_t i = 0; i < t->keys->count; i++) {
        uint32_t at = 0;
        while (!mp_str_eq(mp_program_text(r->p, r->p->group_key[g->keys_at + at].name),
                          t->keys->keys[i].name)) {
            at++;
            MP_ASSERT(at < g->keys_count);
        }
        out[i] = (struct slow_value){true, values[at]};
    }
}

static void clause(struct run *r, uint32_t rule, uint32_t event, uint32_t row,
                   const struct mp_read *how, uint32_t grouping, uint32_t key,
                   const struct slow_ask *ask, const struct mp_t_expr *cond, const char *word)
{
    if (row == MP_NONE || cond == NULL) return;
    const struct mp_clause_row *c = &r->p->clause[row];
    struct mp_row cells = {.known = row_known, .cell = row_cells};
    struct mp_inputs in;
    mp_window_fill_inputs(r->window, how, grouping, key, c->inputs_at, c->inputs_count, &cells);
    mp_inputs_init(&in, r->p, &scratch);
    in.row_known = row_known;
    in.row = row_cells;
    both(r, c->fn, &in, rule, event);
    enum mp_truth fast = output_truth(&interpreted, 0);
    compare_truth(r, rule, event, word, slow_truth(&r->world, ask, cond), fast);
}

static void clauses(struct run *r, uint32_t rule, uint32_t event, uint32_t grouping, uint32_t key,
                    const struct slow_ask *now)
{
    const struct mp_t_rule *t = r->typed->rules.ptr[rule];
    const struct mp_rule_row *row = &r->p->rule[rule];
    const struct mp_step_row *step = &r->p->step[row->steps_at];
    struct slow_ask ask = *now;
    ask.record = NULL;
    clause(r, rule, event, row->unless, &(struct mp_read){0}, grouping, key, &ask, t->unless.cond,
           "unless");
    struct mp_read how = {.settled = true};
    ask.settled = true;
    clause(r, rule, event, row->until, &how, grouping, key, &ask, t->until.cond, "until");
    how.since_ns = ask.since_ns = r->world.now_ns - (int64_t)gen_below(&r->rng, 20000) * 1000000;
    clause(r, rule, event, step->verify, &how, grouping, key, &ask, t->steps[0].verify.cond,
           "verify");
    how.settled = ask.settled = false;
    clause(r, rule, event, step->harm, &how, grouping, key, &ask, t->steps[0].harm.cond, "harm");
}

static void judge_row(struct run *r, uint32_t event, uint32_t grouping, uint32_t key,
                      const struct mp_record *record, const struct mp_outputs *outputs,
                      const struct slow_record *rec)
{
    const struct mp_grouping_row *g = &r->p->grouping[grouping];
    struct mp_read how = {.record = record, .outputs = outputs};
    struct mp_row row = {.known = row_known, .cell = row_cells};
    MP_ASSERT(g->columns_count <= CELLS_MAX);
    if (g->units_count == 0) return;
    for (uint32_t u = g->units_at; u < g->units_at + g->units_count; u++) {
        const struct mp_unit_row *unit = &r->p->unit[u];
        struct mp_inputs in;
        mp_window_fill(r->window, &how, grouping, key, &row);
        mp_inputs_init(&in, r->p, &scratch);
        in.row_known = row_known;
        in.row = row_cells;
        both(r, unit->fn, &in, unit->rules_at, event);
        unit_answers = interpreted;
        for (uint32_t i = 0; i < unit->rules_count; i++) {
            uint32_t rule = unit->rules_at + i;
            const struct mp_t_rule *t = r->typed->rules.ptr[rule];
            struct slow_value keys[8];
            row_keys(r, rule, grouping, key, keys);
            struct slow_ask ask = {.record = rec, .row = keys, .row_count = t->keys->count};
            /* Without a record of its own such a rule is false, which is the engine's to say. */
            const struct mp_t_signal *own = asks_record(t->when.cond);
            if (own == NULL || (rec != NULL && rec->signal == own)) {
                compare_truth(r, rule, event, "when", slow_truth(&r->world, &ask, t->when.cond),
                              output_truth(&unit_answers, unit->first_out + i));
            }
            uint32_t dice = gen_below(&r->rng, 8);
            if (dice < 2) holes(r, rule, event, &ask, &in);
            if (dice < 3) {
                clauses(r, rule, event, grouping, key, &ask);
                mp_window_fill(r->window, &how, grouping, key, &row);
            }
        }
    }
}

static void tick(struct run *r, uint32_t event)
{
    for (uint32_t g = 0; g < r->p->grouping_count; g++) {
        uint32_t key = mp_window_next_key(r->window, g, 0);
        for (; key != MP_NONE; key = mp_window_next_key(r->window, g, key + 1)) {
            judge_row(r, event, g, key, NULL, NULL, NULL);
        }
    }
}

/* ---- a trace ---- */

/* What must be said of a record: late, seen before, or neither. Between one and several
 * latenesses an id may have been forgotten or not. */
static void check_admission(struct run *r, uint32_t event, const struct gen_event *e,
                            enum mp_admit admit)
{
    const struct mp_t_signal *signal = e->record.signal;
    bool gauge = signal->kind != MP_SIGNAL_EVENT;
    int64_t holds_ns = signal->every_ns + signal->lateness_ns; /* and the nanosecond that ends it */
    bool late =
        e->record.time_ns < e->at_ns - (gauge && r->live ? holds_ns + 1 : signal->lateness_ns);
    bool must = false, may = false;
    for (uint32_t i = 0; i < event && e->id != 0; i++) {
        const struct gen_event *q = &r->events[i];
        if ((r->events_out != NULL && r->events_out[i]) || q->tick || q->id != e->id) continue;
        if (q->record.signal != e->record.signal || !q->record.admitted) continue;
        must |= q->record.last && e->at_ns - q->at_ns < e->record.signal->lateness_ns;
        may = true;
    }
    bool newest = gauge && e->record.time_ns >= e->at_ns - holds_ns;
    bool ok = late                          ? admit == (newest ? MP_ADMIT_LAST : MP_ADMIT_LATE)
              : admit == MP_ADMIT_DUPLICATE ? may
                                            : admit == MP_ADMIT_OK && !must;
    if (!ok)
        found(r, 0, event, "admission: %d, late %d, seen before %d %d", admit, late, must, may);
}

static void take(struct run *r, uint32_t event)
{
    const struct gen_event *e = &r->events[event];
    struct slow_record *rec = &r->world.records[r->world.record_count];
    struct mp_touch touched[64];
    struct mp_record record = record_of(r, e);
    struct mp_outputs outputs = {0};
    static struct answers unit;
    *rec = e->record;
    rec->number = record.number;
    rec->heard = rec->admitted = false;
    r->world.record_count++;
    mp_inventory_observe(r->inventory, &record, e->at_ns);
    struct mp_row row = {.known = event_known, .cell = event_cells};
    mp_window_fill_record(r->window, &record, &row);
    const struct mp_signal_row *s = &r->p->signal[record.signal];
    if (s->unit != MP_NONE) {
        struct mp_inputs in;
        mp_inputs_init(&in, r->p, &scratch);
        in.record_known = record.known;
        in.record = record.field;
        in.row_known = event_known;
        in.row = event_cells;
        both(r, r->p->unit[s->unit].fn, &in, 0, event);
        unit = interpreted;
        outputs = outputs_of(&unit);
    }
    judge_record(r, event, &record, rec);
    enum mp_admit admit = mp_window_admit(r->window, &record);
    check_admission(r, event, e, admit);
    rec->heard = true;
    rec->admitted = admit == MP_ADMIT_OK;
    rec->last = admit == MP_ADMIT_LAST;
    /* For records to come: was its id looked at, and did it count? */
    r->events[event].record.admitted = admit == MP_ADMIT_OK || admit == MP_ADMIT_DUPLICATE;
    r->events[event].record.last = admit == MP_ADMIT_OK;
    uint32_t count = 0;
    if (rec->admitted) count = mp_window_apply(r->window, &record, &outputs, touched);
    if (rec->last) count = mp_window_apply_last(r->window, &record, &outputs, touched);
    for (uint32_t i = 0; i < count && !r->differs; i++) {
        judge_row(r, event, touched[i].grouping, touched[i].key, &record, &outputs, rec);
    }
}

static void play(struct run *r, uint32_t events)
{
    for (uint32_t i = 0; i < events && !r->differs; i++) {
        if (r->events_out != NULL && r->events_out[i]) continue;
        mp_arena_init(&r->per_event, NULL, 0);
        r->world.arena = &r->per_event;
        r->world.now_ns = r->events[i].at_ns;
        mp_window_advance(r->window, r->events[i].at_ns);
        if (r->events[i].tick) tick(r, i);
        else take(r, i);
        r->totals->records += !r->events[i].tick;
        mp_arena_free(&r->per_event);
    }
}

/* ---- a batch ---- */

#ifdef MP_DIFF_JIT
static struct mp_jit_job *go_native(struct run *r)
{
    const struct mp_jit_ops *ops = mpol_jit();
    struct mp_jit_job *job = ops->start(r->p);
    const char *why = "no memory";
    int64_t took = 0;
    if (job == NULL || ops->wait(job, &why) != MP_OK) {
        found(r, 0, 0, "native code: %s", why);
        return job;
    }
    if (ops->ended(job, &took)) r->totals->native_ns += (uint64_t)took;
    r->totals->native_fns += r->p->fn_count;
    return job;
}
#endif

/* `out`: rules that are left out; grows by those that are refused. */
static bool run_batch(struct run *r, const struct options *o, uint32_t batch, uint8_t *out,
                      const uint8_t *events_out, bool no_native, struct totals *totals)
{
    bool slots = batch % 2 == 0;
    memset(r, 0, sizeof *r);
    r->no_native = no_native;
    r->totals = totals;
    r->events_out = events_out;
    mp_arena_init(&r->arena, NULL, 0);
    if (!compile(r, o, batch, slots, out)) {
        found(r, 0, 0, "the batch does not compile");
        mp_compilation_free(r->compilation);
        mp_arena_free(&r->arena);
        return false;
    }
    set_up(r, o, batch, slots);
#ifdef MP_DIFF_JIT
    struct mp_jit_job *job = no_native ? NULL : go_native(r);
#endif
    if (!r->differs) play(r, o->events);
#ifdef MP_DIFF_JIT
    mpol_jit()->end(job);
#endif
    return !r->differs;
}

static void tear_down(struct run *r)
{
    mp_program_free(r->p);
    mp_compilation_free(r->compilation);
    mp_arena_free(&r->arena);
}

/* ---- making a difference small ---- */

static bool still_differs(const struct options *o, uint32_t batch, const uint8_t *out,
                          const uint8_t *events_out, bool no_native)
{
    static struct run small;
    static uint8_t copy[RULES_MAX];
    struct totals ignored = {0};
    memcpy(copy, out, sizeof copy);
    bool differs =
        !run_batch(&small, o, batch, copy, events_out, no_native, &ignored) && small.p != NULL;
    if (small.p != NULL) tear_down(&small);
    return differs;
}

/* Leaves out as many as can be spared, halves first. */
static void spare(const struct options *o, uint32_t batch, uint8_t *out, uint8_t *events_out,
                  bool no_native, uint8_t *of, uint32_t count)
{
    for (uint32_t size = (count + 1) / 2; size > 0; size /= 2) {
        for (uint32_t at = 0; at < count; at += size) {
            uint8_t before[RULES_MAX + EVENTS_MAX];
            bool any = false;
            memcpy(before, of, count);
            for (uint32_t i = at; i < at + size && i < count; i++) {
                any |= !of[i];
                of[i] = 1;
            }
            if (any && !still_differs(o, batch, out, events_out, no_native))
                memcpy(of, before, count);
        }
    }
}

static void shrink(const struct options *o, uint32_t batch, uint8_t *out, uint8_t *events_out,
                   uint32_t last, mp_str rule, bool no_native)
{
    uint8_t alone[RULES_MAX];
    memset(alone, 1, sizeof alone);
    alone[strtoul(rule.ptr + 1, NULL, 10)] = 0;
    for (uint32_t i = last + 1; i < o->events; i++) events_out[i] = 1;
    if (still_differs(o, batch, alone, events_out, no_native)) memcpy(out, alone, sizeof alone);
    else spare(o, batch, out, events_out, no_native, out, o->rules);
    spare(o, batch, out, events_out, no_native, events_out, o->events);
}

static void print_field(const char *name, size_t len, struct mp_t_type type, struct slow_value v)
{
    if (!v.known) return;
    struct mp_arena arena;
    mp_arena_init(&arena, NULL, 0);
    struct mp_buf b;
    mp_buf_init(&b, &arena);
    if (type.is_set) mp_value_print_set(&b, type.base, v.v);
    else
        mp_value_print(
            &b, type.base == MP_TYPE_ENTITY ? type.entity->attrs[0].type.base : type.base, v.v);
    printf(" %.*s=%.*s", (int)len, name, MP_STR_ARG(mp_buf_view(&b)));
    mp_arena_free(&arena);
}

static void print_event(const struct gen_event *e, uint32_t number)
{
    printf("  event %u at %lld.%09lld", number, (long long)(e->at_ns / S),
           (long long)(e->at_ns % S));
    if (e->tick) {
        printf(" tick\n");
        return;
    }
    const struct slow_record *r = &e->record;
    printf(" %.*s time %+lldns layer %u weight %lld id %llu", MP_STR_ARG(r->signal->name),
           (long long)(r->time_ns - e->at_ns), r->layer, (long long)r->weight,
           (unsigned long long)e->id);
    for (uint32_t i = 0; i < r->signal->key_count; i++) {
        print_field(r->signal->keys[i]->name.ptr, r->signal->keys[i]->name.len,
                    r->signal->keys[i]->attrs[0].type, r->keys[i]);
    }
    for (uint32_t i = 0; i < r->signal->field_count; i++) {
        const struct mp_t_field *f = &r->signal->fields[i];
        if (!f->type.is_map) print_field(f->name.ptr, f->name.len, f->type, r->fields[i].value);
        struct mp_t_type entry = f->type;
        entry.is_map = false;
        for (uint32_t k = 0; k < r->fields[i].entry_count; k++) {
            print_field(f->name.ptr, f->name.len, entry, r->fields[i].entries[k].value);
        }
    }
    printf("\n");
}

static void tell(const struct options *o, uint32_t batch, uint8_t *out, uint32_t at, mp_str rule,
                 bool no_native)
{
    static struct run last;
    static uint8_t events_out[EVENTS_MAX];
    struct totals ignored = {0};
    memset(events_out, 0, sizeof events_out);
    shrink(o, batch, out, events_out, at, rule, no_native);
    run_batch(&last, o, batch, out, events_out, no_native, &ignored);
    printf("diff: seed %llu batch %u differs at event %u: %s\n", (unsigned long long)o->seed, batch,
           last.event, last.what);
    if (last.p == NULL) return;
    static uint32_t offsets[RULES_MAX + 1];
    struct mp_buf text;
    mp_buf_init(&text, &last.arena);
    struct gen_batch b = {o->seed + batch, o->rules, out, batch % 2 == 0};
    gen_policy(&b, &text, offsets);
    uint32_t number = (uint32_t)strtoul(rule_name(&last, last.rule).ptr + 1, NULL, 10);
    printf("  %.*s  now %s\n", (int)(offsets[number + 1] - offsets[number]),
           text.ptr + offsets[number],
           last.world.always_alive ? "sources alive for ever" : "sources begin with their records");
    uint32_t shown = 0;
    for (uint32_t i = 0; i <= last.event && shown < (o->verbose ? 100 : 8); i++) {
        if (events_out[i]) continue;
        print_event(&last.events[i], i);
        shown++;
    }
    printf(
        "  again: test_diff_executors --seed %llu --only %u --rules %u --events %u --native %u\n",
        (unsigned long long)o->seed, batch, o->rules, o->events, o->native);
    fflush(stdout);
    tear_down(&last);
}

static void batch(const struct options *o, uint32_t number, struct totals *totals)
{
    static struct run r;
    static uint8_t out[RULES_MAX];
    memset(out, 0, sizeof out);
    bool ok = run_batch(&r, o, number, out, NULL, number >= o->native, totals);
    uint32_t left = 0;
    for (uint32_t i = 0; i < o->rules; i++) left += out[i];
    totals->rules += o->rules - left;
    totals->refused += left;
    if (r.p == NULL) {
        printf("diff: seed %llu batch %u: %s\n", (unsigned long long)o->seed, number, r.what);
        totals->differences++;
        return;
    }
    char name[32];
    snprintf(name, sizeof name, "%.*s", MP_STR_ARG(rule_name(&r, r.rule)));
    bool no_native = !r.of_native;
    if (!ok) {
        printf("diff: seed %llu batch %u rule %s event %u: %s\n", (unsigned long long)o->seed,
               number, name, r.event, r.what);
        fflush(stdout);
    }
    tear_down(&r);
    if (ok) return;
    totals->differences++;
    tell(o, number, out, r.event, mp_str_of(name), no_native);
}

/* ---- the command ---- */

static uint64_t number(int argc, char **argv, const char *name, uint64_t otherwise)
{
    for (int i = 1; i + 1 < argc; i++) {
        if (strcmp(argv[i], name) == 0) return strtoull(argv[i + 1], NULL, 0);
    }
    return otherwise;
}

static void work(const struct options *o, uint32_t job, struct totals *totals)
{
    for (uint32_t b = job; b < o->batches && totals->differences < 5; b += o->jobs) {
        if (o->only >= 0 && b != (uint32_t)o->only) continue;
        if (o->verbose) fprintf(stderr, "batch %u\n", b);
        batch(o, b, totals);
    }
}

static void add(struct totals *to, const struct totals *from)
{
    const uint64_t *a = (const uint64_t *)(const void *)from;
    uint64_t *b = (uint64_t *)(void *)to;
    for (size_t i = 0; i < sizeof *to / sizeof *b; i++) b[i] += a[i];
}

static bool run_jobs(const struct options *o, struct totals *totals)
{
    int pipes[64];
    pid_t pids[64];
    for (uint32_t j = 0; j < o->jobs; j++) {
        int ends[2];
        if (pipe(ends) != 0) return false;
        fflush(stdout);
        pids[j] = fork();
        if (pids[j] < 0) return false;
        if (pids[j] == 0) {
            struct totals mine = {0};
            close(ends[0]);
            work(o, j, &mine);
            fflush(stdout);
            _exit(write(ends[1], &mine, sizeof mine) == (ssize_t)sizeof mine ? 0 : 1);
        }
        close(ends[1]);
        pipes[j] = ends[0];
    }
    bool ok = true;
    for (uint32_t j = 0; j < o->jobs; j++) {
        struct totals one = {0};
        int status = 0;
        ok &= read(pipes[j], &one, sizeof one) == (ssize_t)sizeof one;
        ok &= waitpid(pids[j], &status, 0) == pids[j] && status == 0;
        if (status != 0) printf("diff: a job ended with status 0x%x\n", (unsigned)status);
        add(totals, &one);
    }
    return ok;
}

int main(int argc, char **argv)
{
    struct options o = {
        .seed = number(argc, argv, "--seed", 1),
        .batches = (uint32_t)number(argc, argv, "--batches", 180),
        .native = (uint32_t)number(argc, argv, "--native", 170),
        .rules = (uint32_t)number(argc, argv, "--rules", 120),
        .events = (uint32_t)number(argc, argv, "--events", 110),
        .jobs = (uint32_t)number(argc, argv, "--jobs", 2),
        .only = (int64_t)number(argc, argv, "--only", UINT64_MAX),
        .verbose = getenv("DIFF_VERBOSE") != NULL,
    };
    if (o.rules > RULES_MAX || o.events > EVENTS_MAX || o.jobs < 1 || o.jobs > 64) return 2;
    if (o.only >= 0) {
        o.jobs = 1;
        o.batches = (uint32_t)o.only + 1;
    }
    struct totals t = {0};
    bool ok = true;
    mp_std_os(&test_os);
    test_os.wall_ns = test_os.mono_ns = no_clock;
    printf("diff: seed %llu\n", (unsigned long long)o.seed);
    if (o.only >= 0) work(&o, 0, &t);
    else ok = run_jobs(&o, &t);
#ifndef MP_DIFF_JIT
    printf("diff: built without native code: it is left out, two executors agree\n");
#endif
    printf(
        "diff: %llu programs (%llu refused by the compiler), %llu records, %llu truths (%llu false, %llu true, %llu "
        "unknown), %llu values, %llu not modelled, %llu functions native in %.1f s, %llu differences\n",
        (unsigned long long)t.rules, (unsigned long long)t.refused, (unsigned long long)t.records,
        (unsigned long long)t.truths, (unsigned long long)t.by_truth[0],
        (unsigned long long)t.by_truth[1], (unsigned long long)t.by_truth[2],
        (unsigned long long)t.values, (unsigned long long)t.unsure,
        (unsigned long long)t.native_fns, (double)t.native_ns / 1e9,
        (unsigned long long)t.differences);
    return ok && t.differences == 0 ? 0 : 1;
}
