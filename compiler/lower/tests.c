/* SPDX-License-Identifier: Apache-2.0 */
#include "lower/lower_priv.h"

/* ---- lines ---- */

static void keys(struct lw *lw, const struct mp_t_test_line *t, struct mp_test_line_row *row)
{
    uint32_t from = lw->ir->item.len;
    for (uint32_t i = 0; i < t->key_count; i++) {
        uint32_t value = lw_const(lw, t->keys[i]);
        LW_ADD(lw, item)->value = value;
    }
    row->keys_at = from;
    row->keys_count = lw->ir->item.len - from;
    from = lw->ir->item.len;
    for (uint32_t i = 0; i < t->value_count; i++) {
        uint32_t value = lw_const(lw, t->values[i]);
        LW_ADD(lw, item)->value = value;
    }
    row->values_at = from;
    row->values_count = lw->ir->item.len - from;
}

static void emits(struct lw *lw, const struct mp_t_test_line *t, struct mp_test_line_row *row)
{
    row->emits_at = lw->ir->emit.len;
    row->emits_count = t->emit_count;
    for (uint32_t i = 0; i < t->emit_count; i++) {
        uint32_t value = lw_const(lw, t->emits[i].value);
        mp_text_ref path = lw_text(lw, t->emits[i].path);
        *LW_ADD(lw, emit) = (struct mp_emit_row){path, value};
    }
}

static void args(struct lw *lw, const struct mp_t_test_line *t, struct mp_test_line_row *row)
{
    row->args_at = lw->ir->test_arg.len;
    row->args_count = t->arg_count;
    for (uint32_t i = 0; i < t->arg_count; i++) {
        uint32_t value = lw_const(lw, t->args[i].value);
        mp_text_ref name = lw_text(lw, t->args[i].name);
        *LW_ADD(lw, test_arg) = (struct mp_test_arg_row){name, value};
    }
}

static void line(struct lw *lw, const struct mp_t_test_line *t)
{
    struct mp_test_line_row row = {.kind = t->kind, .from_ns = t->from_ns, .to_ns = t->to_ns,
                                   .def = MP_NONE, .param = MP_NONE, .value = MP_NONE,
                                   .signal = MP_NONE, .target = MP_NONE, .count = t->count,
                                   .when = t->when, .negated = t->negated};
    if (t->def != NULL) row.def = lw_def(lw, t->def);
    if (t->param != NULL) row.param = t->param->index;
    if (t->value != NULL) row.value = lw_const(lw, t->value);
    if (t->signal != NULL) row.signal = t->signal->index;
    if (t->target != NULL) row.target = lw_const(lw, t->target);
    keys(lw, t, &row);
    emits(lw, t, &row);
    args(lw, t, &row);
    row.verb = lw_text(lw, t->verb);
    row.rule = lw_text(lw, t->rule);
    row.text = lw_text(lw, t->text);
    lw_set_place(lw, t->span, NULL, &row.line, NULL);
    *LW_ADD(lw, test_line) = row;
}

/* ---- tests ---- */

/* Of the test's package, or of one that it uses. A file that names none is a package of its own. */
static bool is_alive(const struct mp_t_test *t, mp_str package, struct mp_span span)
{
    if (package.len == 0 && span.file != t->span.file) return false;
    for (uint32_t i = 0; i < t->package_count; i++) {
        if (mp_str_eq(t->packages[i], package)) return true;
    }
    return false;
}

static void alive(struct lw *lw, const struct mp_t_test *t)
{
    for (uint32_t i = 0; i < lw->t->rules.len; i++) {
        const struct mp_t_rule *rule = lw->t->rules.ptr[i];
        if (is_alive(t, rule->package, rule->span)) {
            *LW_ADD(lw, test_rule) = (struct mp_test_rule_row){i, MP_NONE};
        }
    }
    for (uint32_t i = 0; i < lw->t->guards.len; i++) {
        const struct mp_t_guard *guard = lw->t->guards.ptr[i];
        if (is_alive(t, guard->package, guard->span)) {
            *LW_ADD(lw, test_rule) = (struct mp_test_rule_row){MP_NONE, i};
        }
    }
}

static void one_test(struct lw *lw, const struct mp_t_test *t)
{
    struct mp_test_row row = {.lines_at = lw->ir->test_line.len, .lines_count = t->line_count,
                              .rules_at = lw->ir->test_rule.len};
    for (uint32_t i = 0; i < t->line_count; i++) line(lw, &t->lines[i]);
    alive(lw, t);
    row.rules_count = lw->ir->test_rule.len - row.rules_at;
    row.package = lw_text(lw, t->package);
    row.name = lw_text(lw, t->name);
    lw_set_place(lw, t->span, &row.file, &row.line, NULL);
    *LW_ADD(lw, test) = row;
}

void lw_tests(struct lw *lw)
{
    for (uint32_t i = 0; i < lw->t->tests.len; i++) one_test(lw, lw->t->tests.ptr[i]);
}
