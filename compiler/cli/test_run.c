/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/test_run.h"

#include <stdlib.h>
#include <string.h>

#include "ingest/ingest.h"
#include "inventory/inventory.h"

#define SECOND INT64_C(1000000000)
/* The virtual clock of a test starts here: any time will do that is none of the special ones. */
#define START (INT64_C(1767225600) * SECOND)
#define AFTER_LAST (3600 * SECOND) /* R47: `ever` is until the last line + 1h */
#define FIELDS_MAX 64              /* LIMIT: fields of an emitted record */

/* What the lines of a test do, cut into moments. At one moment spans end before others begin, and
 * values are set before records come. */
enum step_kind { STEP_END, STEP_SET, STEP_EMIT };

struct step {
    int64_t at_ns;
    enum step_kind kind;
    uint32_t line; /* row of test_line */
};

struct run {
    const struct mp_program *program;
    struct mp_engine *engine;
    struct mp_ingest *ingest;
    struct mp_arena *arena;
    struct test_result *result;
    MP_VEC(struct step) steps;
    bool failed;
};

static mp_str text_of(const struct run *r, mp_text_ref ref)
{
    return mp_program_text(r->program, ref);
}

void test_time_text(struct mp_buf *out, int64_t ns)
{
    mp_value_print(out, MP_TYPE_DURATION, mp_value_int(ns));
}

static mp_str value_text(struct run *r, uint32_t cnst)
{
    struct mp_buf b;
    mp_buf_init(&b, r->arena);
    mp_value_print(&b, (enum mp_type)r->program->cnst[cnst].type, r->program->consts[cnst]);
    r->failed |= b.failed;
    return mp_buf_view(&b);
}

/* ---- what happened ---- */

static mp_str keep(struct run *r, mp_str s)
{
    mp_str copy = mp_arena_str(r->arena, s);
    r->failed |= copy.ptr == NULL;
    return copy;
}

static struct test_seen *see(struct run *r, enum test_seen_kind kind, int64_t time_ns)
{
    static struct test_seen nowhere;
    struct test_seen *s = MP_VEC_PUSH(r->arena, &r->result->seen);
    r->failed |= s == NULL;
    if (s == NULL) return &nowhere;
    s->kind = kind;
    s->at_ns = time_ns - START;
    return s;
}

static void keep_args(struct run *r, struct test_seen *s, const struct mp_entry *entry)
{
    s->args = MP_NEW(r->arena, struct mp_note, entry->arg_count);
    r->failed |= s->args == NULL;
    for (uint32_t i = 0; s->args != NULL && i < entry->arg_count; i++) {
        s->args[i] = (struct mp_note){keep(r, entry->args[i].name), keep(r, entry->args[i].value)};
        s->arg_count = i + 1;
    }
}

static void write_line(struct run *r, struct test_seen *s, mp_str from)
{
    struct mp_buf b;
    mp_buf_init(&b, r->arena);
    if (s->kind == SEEN_LEASE) {
        mp_buf_printf(&b, "%.*s %.*s", MP_STR_ARG(s->rule), MP_STR_ARG(s->key));
    } else if (s->kind == SEEN_STATE) {
        mp_buf_printf(&b, "%.*s %.*s: %.*s → %.*s", MP_STR_ARG(s->rule), MP_STR_ARG(s->key),
                      MP_STR_ARG(from), MP_STR_ARG(s->word));
    } else {
        mp_buf_printf(&b, "%.*s: %.*s %.*s", MP_STR_ARG(s->rule), MP_STR_ARG(s->word),
                      MP_STR_ARG(s->target));
    }
    if (s->kind == SEEN_LEASE) {
        mp_buf_printf(&b, ": %.*s %.*s", MP_STR_ARG(s->word), MP_STR_ARG(s->target));
        for (uint32_t i = 0; i < s->arg_count; i++) {
            mp_buf_printf(&b, " %.*s %.*s", MP_STR_ARG(s->args[i].name),
                          MP_STR_ARG(s->args[i].value));
        }
    }
    if (s->why.len > 0) mp_buf_printf(&b, " (%.*s)", MP_STR_ARG(s->why));
    if (s->shadow) mp_buf_puts(&b, " (shadow)");
    r->failed |= b.failed;
    s->line = mp_buf_view(&b);
}

/* A lease is seen when it is effective; its other states can be expected like those of an
 * incident. */
static void on_entry(void *ctx, const struct mp_entry *entry, mp_str json)
{
    struct run *r = ctx;
    bool lease = entry->machine == MP_MACHINE_LEASE;
    bool effective = lease && mp_str_eq(entry->to, MP_STR("effective"));
    struct test_seen *s = see(r, effective ? SEEN_LEASE : SEEN_STATE, entry->time_ns);
    s->word = keep(r, effective ? entry->verb : entry->to);
    s->why = keep(r, entry->why);
    s->rule = keep(r, entry->rule);
    s->key = keep(r, entry->key);
    s->target = keep(r, entry->target);
    s->shadow = entry->shadow;
    if (lease) keep_args(r, s, entry);
    write_line(r, s, entry->from);
    if (lease && !effective) {
        mp_str line = mp_arena_printf(r->arena, "%.*s (%.*s %.*s)", MP_STR_ARG(s->line),
                                      MP_STR_ARG(entry->verb), MP_STR_ARG(entry->target));
        if (line.ptr != NULL) s->line = line;
    }
}

static enum mp_err on_message(void *ctx, const struct mp_message *m)
{
    struct run *r = ctx;
    struct test_seen *s = see(r, SEEN_MESSAGE, m->time_ns);
    s->word = keep(r, m->verb);
    s->rule = keep(r, m->rule_name);
    s->key = keep(r, m->key);
    s->target = keep(r, m->text);
    s->why = keep(r, m->channel);
    write_line(r, s, MP_STR(""));
    return MP_OK;
}

static void on_inline(void *ctx, uint32_t rule, uint32_t act, const struct mp_record *record,
                      bool shadow, bool carried_out)
{
    struct run *r = ctx;
    if (!carried_out) return;
    struct test_seen *s = see(r, SEEN_INLINE, mp_engine_now(r->engine));
    s->word = text_of(r, r->program->action[r->program->act[act].action].name);
    s->rule = text_of(r, r->program->rule[rule].name);
    s->shadow = shadow;
    write_line(r, s, MP_STR(""));
}

/* ---- what the test does ---- */

static void add_step(struct run *r, int64_t at_ns, enum step_kind kind, uint32_t line)
{
    struct step *s = MP_VEC_PUSH(r->arena, &r->steps);
    r->failed |= s == NULL;
    if (s != NULL) *s = (struct step){at_ns, kind, line};
}

static void add_emits(struct run *r, const struct mp_test_line_row *l, uint32_t line)
{
    int64_t span = l->to_ns < 0 ? 0 : l->to_ns - l->from_ns;
    for (uint32_t i = 0; i < l->count; i++) {
        /* In 128 bits: n records over a span of days. */
        int64_t after = (int64_t)((__int128)span * i / l->count);
        add_step(r, l->from_ns + after, STEP_EMIT, line);
    }
}

static int by_time(const void *a, const void *b)
{
    const struct step *x = a, *y = b;
    if (x->at_ns != y->at_ns) return x->at_ns < y->at_ns ? -1 : 1;
    if (x->kind != y->kind) return x->kind < y->kind ? -1 : 1;
    return (x->line > y->line) - (x->line < y->line);
}

/* The answer is the time of the last line. */
static int64_t plan(struct run *r, const struct mp_test_row *test)
{
    int64_t last = 0;
    for (uint32_t i = test->lines_at; i < test->lines_at + test->lines_count; i++) {
        const struct mp_test_line_row *l = &r->program->test_line[i];
        int64_t end = l->to_ns > l->from_ns ? l->to_ns : l->from_ns;
        if (end > last) last = end;
        if (l->kind == MP_TLINE_EMIT) {
            add_emits(r, l, i);
        } else if (l->kind == MP_TLINE_SET || l->kind == MP_TLINE_ABSENT) {
            add_step(r, l->from_ns, STEP_SET, i);
            if (l->to_ns >= 0) add_step(r, l->to_ns, STEP_END, i);
        }
    }
    if (!r->failed && r->steps.len > 0)
        qsort(r->steps.ptr, r->steps.len, sizeof *r->steps.ptr, by_time);
    return last;
}

static void set_attribute(struct run *r, const struct mp_test_line_row *l, bool known)
{
    const struct mp_program *p = r->program;
    const struct mp_attr_row *attr = &p->attr[p->def[l->def].attr];
    struct mp_value *members = MP_NEW(r->arena, struct mp_value, l->values_count);
    struct mp_value value = {{0, 0}};
    r->failed |= members == NULL;
    if (members == NULL) return;
    if (known && attr->is_set) {
        for (uint32_t i = 0; i < l->values_count; i++) {
            members[i] = p->consts[p->item[l->values_at + i].value];
        }
        value = (struct mp_value){{(uint64_t)(uintptr_t)members, l->values_count}};
    } else if (known) {
        value = p->consts[l->value];
    }
    struct mp_entity_line line = {.entity = attr->entity,
                                  .key = p->consts[p->item[l->keys_at].value],
                                  .attr_count = 1};
    line.attrs[0] = (struct mp_entity_attr){p->def[l->def].attr, known, value};
    r->failed |= mp_inventory_put(mp_engine_inventory(r->engine), &line) != MP_OK;
}

static void set_value(struct run *r, const struct mp_test_line_row *l, enum mp_override state)
{
    const struct mp_program *p = r->program;
    if (p->def[l->def].kind == MP_DEF_ATTR) {
        set_attribute(r, l, state == MP_OVERRIDE_SET);
        return;
    }
    struct mp_value keys[8];
    uint32_t count = l->keys_count < 8 ? l->keys_count : 8;
    for (uint32_t i = 0; i < count; i++) keys[i] = p->consts[p->item[l->keys_at + i].value];
    struct mp_value value = {{0, 0}};
    if (state == MP_OVERRIDE_SET) value = p->consts[l->value];
    r->failed |= mp_engine_override(r->engine, l->def, keys, count, state, value) != MP_OK;
}

static struct mp_field_in field_of(struct run *r, const struct mp_emit_row *e)
{
    const struct mp_cnst_row *c = &r->program->cnst[e->value];
    struct mp_value value = r->program->consts[e->value];
    struct mp_field_in f = {.name = mp_ingest_name(r->ingest, text_of(r, e->path))};
    switch (mp_type_rep((enum mp_type)c->type)) {
    case MP_REP_B:
    case MP_REP_I:
        f.kind = MP_FIELD_INT;
        f.integer = mp_value_as_int(value);
        break;
    case MP_REP_F:
        f.kind = MP_FIELD_NUMBER;
        f.number = mp_value_as_num(value);
        break;
    default:
        f.kind = MP_FIELD_TEXT;
        f.text = value_text(r, e->value);
        break;
    }
    return f;
}

static void emit(struct run *r, const struct mp_test_line_row *l, int64_t at_ns)
{
    struct mp_field_in fields[FIELDS_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < l->emits_count && count < FIELDS_MAX; i++) {
        fields[count] = field_of(r, &r->program->emit[l->emits_at + i]);
        if (fields[count].name != MP_NONE) count++;
    }
    struct mp_record record;
    mp_ingest_fields(r->ingest, l->signal, START + at_ns, 0, fields, count, &record);
    mp_engine_record(r->engine, &record);
}

static void do_step(struct run *r, const struct step *s)
{
    const struct mp_test_line_row *l = &r->program->test_line[s->line];
    mp_engine_advance(r->engine, START + s->at_ns, START + s->at_ns);
    switch (s->kind) {
    case STEP_END: set_value(r, l, MP_OVERRIDE_UNKNOWN); break;
    case STEP_SET:
        set_value(r, l, l->kind == MP_TLINE_ABSENT ? MP_OVERRIDE_ABSENT : MP_OVERRIDE_SET);
        break;
    case STEP_EMIT: emit(r, l, s->at_ns); break;
    }
}

/* What is set at one instant is one change: no rule sees half of it, and a span that ends where the
 * next begins leaves no gap. */
static bool is_last_of_change(const struct run *r, size_t step)
{
    const struct step *s = &r->steps.ptr[step], *next = s + 1;
    if (s->kind == STEP_EMIT) return false;
    return step + 1 == r->steps.len || next->at_ns != s->at_ns || next->kind == STEP_EMIT;
}

static void settle_change(struct run *r)
{
    mp_engine_inventory_changed(r->engine);
    mp_engine_overridden(r->engine);
}

/* ---- what was expected ---- */

static bool args_match(struct run *r, const struct mp_test_line_row *l, const struct test_seen *s)
{
    for (uint32_t i = 0; i < l->args_count; i++) {
        const struct mp_test_arg_row *wanted = &r->program->test_arg[l->args_at + i];
        mp_str name = text_of(r, wanted->name), value = value_text(r, wanted->value);
        bool found = s->kind == SEEN_MESSAGE &&
                     (mp_str_eq(s->target, value) || mp_str_eq(s->why, value));
        for (uint32_t k = 0; k < s->arg_count && !found; k++) {
            found = mp_str_eq(s->args[k].name, name) && mp_str_eq(s->args[k].value, value);
        }
        if (!found) return false;
    }
    return true;
}

/* Is it of the kind that the line expects, whenever it happened? A shadow lease is expected by
 * `shadow VERB` alone. */
static bool is_what(struct run *r, const struct mp_test_line_row *l, const struct test_seen *s)
{
    mp_str verb = text_of(r, l->verb), rule = text_of(r, l->rule);
    if (rule.len > 0) {
        bool word = mp_str_eq(s->word, verb) || mp_str_eq(s->why, verb);
        return s->kind == SEEN_STATE && word && mp_str_eq(s->rule, rule);
    }
    if (s->kind == SEEN_STATE) {
        return mp_str_eq(verb, MP_STR("rollback")) && mp_str_eq(s->word, MP_STR("rolled_back"));
    }
    bool wants_shadow = mp_str_starts(verb, MP_STR("shadow "));
    if (wants_shadow) verb = mp_str_sub(verb, strlen("shadow "), verb.len);
    if (!mp_str_eq(s->word, verb) || s->shadow != wants_shadow) return false;
    if (l->target != MP_NONE && !mp_str_eq(s->target, value_text(r, l->target))) return false;
    return args_match(r, l, s);
}

static bool is_when(const struct mp_test_line_row *l, int64_t at_ns)
{
    int64_t off = at_ns - l->from_ns;
    switch (l->when) {
    case MP_TWHEN_AT: return off >= -SECOND && off <= SECOND;
    case MP_TWHEN_BY: return off <= 0;
    case MP_TWHEN_BEFORE: return off < 0;
    default: return true;
    }
}

static void judge(struct run *r, uint32_t row)
{
    const struct mp_test_line_row *l = &r->program->test_line[row];
    const struct test_seen *hit = NULL, *nearest = NULL;
    for (uint32_t i = 0; i < r->result->seen.len && hit == NULL; i++) {
        const struct test_seen *s = &r->result->seen.ptr[i];
        if (!is_what(r, l, s)) continue;
        if (is_when(l, s->at_ns)) hit = s;
        if (nearest == NULL || llabs(s->at_ns - l->from_ns) < llabs(nearest->at_ns - l->from_ns)) {
            nearest = s;
        }
    }
    if ((hit != NULL) != (l->negated != 0)) return;
    struct test_miss *m = MP_VEC_PUSH(r->arena, &r->result->misses);
    r->failed |= m == NULL;
    if (m == NULL) return;
    const struct test_seen *shown = l->negated ? hit : nearest;
    *m = (struct test_miss){.line = row, .near_ns = shown != NULL ? shown->at_ns : l->from_ns};
    if (shown == NULL) return;
    struct mp_buf b;
    mp_buf_init(&b, r->arena);
    test_time_text(&b, shown->at_ns);
    mp_buf_printf(&b, "  %.*s", MP_STR_ARG(shown->line));
    m->nearest = mp_buf_view(&b);
}

/* ---- one test ---- */

static enum mp_err set_up(struct run *r, struct mp_program *program, const struct mp_os *os,
                          const struct mp_test_row *test)
{
    const struct mp_program *p = program;
    enum mp_backend_mode mode = MP_BACKEND_PROMPT;
    for (uint32_t i = test->lines_at; i < test->lines_at + test->lines_count; i++) {
        const struct mp_test_line_row *l = &p->test_line[i];
        if (l->kind == MP_TLINE_PARAM) {
            struct mp_buf name;
            mp_buf_init(&name, r->arena);
            mp_str package = text_of(r, p->param[l->param].package);
            if (package.len > 0) mp_buf_printf(&name, "%.*s.", MP_STR_ARG(package));
            mp_buf_put(&name, text_of(r, p->param[l->param].name));
            MP_TRY(mp_program_set_param(program, mp_buf_view(&name), value_text(r, l->value)));
        } else if (l->kind == MP_TLINE_BACKEND) {
            mp_str word = value_text(r, l->value);
            mode = mp_str_eq(word, MP_STR("refuse")) ? MP_BACKEND_REFUSE : MP_BACKEND_SLOW;
        }
    }
    struct mp_engine_options options = {.clock = MP_ENGINE_TEST,
                                        .hash_key = {0x6d706f6c, 0x74657374},
                                        .now_ns = START,
                                        .mono_ns = START,
                                        .pending = true};
    struct mp_engine_sinks sinks = {.ctx = r, .entry = on_entry, .message = on_message,
                                    .inline_hit = on_inline};
    options.limits.keys = 4096; /* tests are small, and every one has an engine of its own */
    options.limits.incidents = 1024;
    options.limits.leases = 1024;
    MP_TRY(mp_engine_create(program, os, &options, &sinks, &r->engine));
    mp_engine_backend_mode(r->engine, mode);
    uint8_t *rules = MP_NEW(r->arena, uint8_t, p->rule_count + 1);
    uint8_t *guards = MP_NEW(r->arena, uint8_t, p->guard_count + 1);
    if (rules == NULL || guards == NULL) return MP_ENOMEM;
    for (uint32_t i = test->rules_at; i < test->rules_at + test->rules_count; i++) {
        if (p->test_rule[i].rule != MP_NONE) rules[p->test_rule[i].rule] = 1;
        if (p->test_rule[i].guard != MP_NONE) guards[p->test_rule[i].guard] = 1;
    }
    mp_engine_only(r->engine, rules, guards);
    return mp_ingest_create(r->arena, program, options.hash_key, &r->ingest);
}

static void play(struct run *r, const struct mp_test_row *test)
{
    int64_t last = plan(r, test);
    for (uint32_t i = 0; i < r->steps.len && !r->failed; i++) {
        do_step(r, &r->steps.ptr[i]);
        if (is_last_of_change(r, i)) settle_change(r);
    }
    mp_engine_advance(r->engine, START + last + AFTER_LAST, START + last + AFTER_LAST);
    for (uint32_t i = test->lines_at; i < test->lines_at + test->lines_count; i++) {
        if (r->program->test_line[i].kind == MP_TLINE_EXPECT) judge(r, i);
    }
}

enum mp_err test_run(mp_str image, const struct mp_os *os, uint32_t test, struct mp_arena *arena,
                     struct mp_program **program, struct test_result *out)
{
    const char *why;
    MP_TRY(mp_program_load(image.ptr, image.len, os, program, &why));
    const struct mp_test_row *row = &(*program)->test[test];
    struct run r = {.program = *program, .arena = arena, .result = out};
    *out = (struct test_result){.package = text_of(&r, row->package),
                                .name = text_of(&r, row->name),
                                .file = text_of(&r, row->file),
                                .file_line = row->line};
    enum mp_err err = set_up(&r, *program, os, row);
    if (err == MP_OK) play(&r, row);
    mp_engine_destroy(r.engine);
    if (err == MP_OK && r.failed) err = MP_ENOMEM;
    return err;
}
