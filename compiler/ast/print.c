/* SPDX-License-Identifier: Apache-2.0
 * The canonical text of a tree, on one line.
 */
#include "ast/ast.h"
#include "base/assert.h"

/* How tightly a node binds; an operand that binds looser than its place wants goes into
 * parentheses. */
enum level {
    L_HELD, L_OR, L_AND, L_NOT, L_REL, L_SUM, L_TERM, L_UNARY, L_POSTFIX, L_ACCESS, L_PRIMARY
};

static enum level level_of(const struct mp_ast_expr *e)
{
    switch (e->kind) {
    case MP_AST_HELD: return L_HELD;
    case MP_AST_OR: return L_OR;
    case MP_AST_AND: return L_AND;
    case MP_AST_NOT: return L_NOT;
    case MP_AST_CMP:
    case MP_AST_IN:
    case MP_AST_IS:
    case MP_AST_LIKE:
    case MP_AST_MATCHES:
    case MP_AST_CONTAINS:
    case MP_AST_STARTS:
    case MP_AST_ENDS: return L_REL;
    case MP_AST_ADD:
    case MP_AST_SUB: return L_SUM;
    case MP_AST_MUL:
    case MP_AST_DIV: return L_TERM;
    case MP_AST_NEG:
    case MP_AST_TIMES: return L_UNARY;
    case MP_AST_OVER:
    case MP_AST_OF:
    case MP_AST_DEFAULT: return L_POSTFIX;
    case MP_AST_DOT:
    case MP_AST_INDEX: return L_ACCESS;
    default: return L_PRIMARY;
    }
}

static void put_node(struct mp_buf *out, const struct mp_ast_expr *e);

static void put(struct mp_buf *out, const struct mp_ast_expr *e, enum level least)
{
    bool paren = level_of(e) < least;
    if (paren) mp_buf_putc(out, '(');
    put_node(out, e);
    if (paren) mp_buf_putc(out, ')');
}

/* ---- words ---- */

static void put_name(struct mp_buf *out, mp_str name)
{
    mp_buf_printf(out, mp_ast_is_hard_word(name) ? "`%.*s`" : "%.*s", MP_STR_ARG(name));
}

static void put_text(struct mp_buf *out, mp_str text)
{
    mp_buf_putc(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        switch (text.ptr[i]) {
        case '"': mp_buf_puts(out, "\\\""); break;
        case '\\': mp_buf_puts(out, "\\\\"); break;
        case '\n': mp_buf_puts(out, "\\n"); break;
        case '\r': mp_buf_puts(out, "\\r"); break;
        case '\t': mp_buf_puts(out, "\\t"); break;
        default: mp_buf_putc(out, text.ptr[i]);
        }
    }
    mp_buf_putc(out, '"');
}

static void put_ns(struct mp_buf *out, int64_t ns)
{
    static const struct { int64_t ns; const char *unit; } units[] = {
        {86400000000000, "d"}, {3600000000000, "h"}, {60000000000, "m"}, {1000000000, "s"},
        {1000000, "ms"},       {1000, "us"},         {1, "ns"},
    };
    if (ns == 0) mp_buf_puts(out, "0s");
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (ns < units[i].ns) continue;
        mp_buf_printf(out, "%lld%s", (long long)(ns / units[i].ns), units[i].unit);
        ns %= units[i].ns;
    }
}

static void put_dur(struct mp_buf *out, const struct mp_ast_dur *d)
{
    if (d->name.ptr != NULL) {
        put_name(out, d->name);
    } else {
        put_ns(out, d->ns);
    }
}

/* ---- expressions ---- */

static void put_binary(struct mp_buf *out, const struct mp_ast_expr *e, enum level left,
                       const char *word, enum level right)
{
    put(out, e->kid[0], left);
    mp_buf_puts(out, word);
    put(out, e->kid[1], right);
}

/* `and` beside `or` needs parentheses, although one binds tighter (E0107). */
static void put_or_side(struct mp_buf *out, const struct mp_ast_expr *e, enum level least)
{
    put(out, e, e->kind == MP_AST_AND ? L_PRIMARY : least);
}

static void put_in(struct mp_buf *out, const struct mp_ast_expr *e)
{
    put_binary(out, e, L_SUM, e->negated ? " not in " : " in ", L_SUM);
    if (e->kid[2] == NULL) return;
    mp_buf_puts(out, "..");
    put(out, e->kid[2], L_SUM);
}

static void put_is(struct mp_buf *out, const struct mp_ast_expr *e)
{
    put(out, e->kid[0], L_SUM);
    mp_buf_puts(out, e->negated ? " is not " : " is ");
    mp_str state = e->u.name.text;
    bool plain = mp_str_eq(state, MP_STR("true")) || mp_str_eq(state, MP_STR("false"));
    if (plain) {
        mp_buf_put(out, state);
    } else {
        put_name(out, state);
    }
}

static void put_call(struct mp_buf *out, const struct mp_ast_expr *e)
{
    put_name(out, e->u.call.name.text);
    mp_buf_putc(out, '(');
    for (uint32_t i = 0; i < e->u.call.arg_count; i++) {
        const struct mp_ast_arg *arg = &e->u.call.args[i];
        if (i > 0) mp_buf_puts(out, ", ");
        put(out, arg->value, L_OR);
        if (arg->where == NULL) continue;
        mp_buf_puts(out, " where ");
        put(out, arg->where, L_OR);
    }
    mp_buf_putc(out, ')');
}

static void put_set(struct mp_buf *out, const struct mp_ast_expr *e)
{
    mp_buf_putc(out, '[');
    for (uint32_t i = 0; i < e->u.set.count; i++) {
        if (i > 0) mp_buf_puts(out, ", ");
        put(out, e->u.set.items[i], L_SUM);
    }
    mp_buf_putc(out, ']');
}

static void put_node(struct mp_buf *out, const struct mp_ast_expr *e)
{
    switch (e->kind) {
    case MP_AST_INT:
    case MP_AST_FLOAT:
    case MP_AST_PERCENT:
    case MP_AST_DURATION:
    case MP_AST_RATE:
    case MP_AST_SIZE:
    case MP_AST_BANDWIDTH:
    case MP_AST_STATUS:
    case MP_AST_BOOL:
    case MP_AST_IDENTITY:
    case MP_AST_BAD: mp_buf_put(out, e->u.num.text); break;
    case MP_AST_IP:
    case MP_AST_CIDR: mp_buf_put(out, e->u.addr.text); break;
    case MP_AST_STRING: mp_buf_put(out, e->u.str.text); break;
    case MP_AST_NAME: put_name(out, e->u.name.text); break;
    case MP_AST_NAMED:
        put_name(out, e->u.named.name.text);
        mp_buf_putc(out, ' ');
        put_text(out, e->u.named.text.text);
        break;
    case MP_AST_CALL: put_call(out, e); break;
    case MP_AST_SET: put_set(out, e); break;
    case MP_AST_DOT:
        put(out, e->kid[0], L_ACCESS);
        mp_buf_putc(out, '.');
        put_name(out, e->u.name.text);
        break;
    case MP_AST_INDEX:
        put_binary(out, e, L_ACCESS, "[", L_SUM);
        mp_buf_putc(out, ']');
        break;
    case MP_AST_OVER:
        put(out, e->kid[0], L_POSTFIX);
        mp_buf_puts(out, " over ");
        put_dur(out, &e->u.dur);
        break;
    case MP_AST_OF: put_binary(out, e, L_POSTFIX, " of ", L_ACCESS); break;
    case MP_AST_DEFAULT: put_binary(out, e, L_POSTFIX, " default ", L_ACCESS); break;
    case MP_AST_NEG:
        mp_buf_putc(out, '-');
        put(out, e->kid[0], L_UNARY);
        break;
    case MP_AST_TIMES:
        mp_buf_put(out, e->u.num.text);
        mp_buf_putc(out, ' ');
        put(out, e->kid[0], L_UNARY);
        break;
    case MP_AST_ADD: put_binary(out, e, L_SUM, " + ", L_TERM); break;
    case MP_AST_SUB: put_binary(out, e, L_SUM, " - ", L_TERM); break;
    case MP_AST_MUL: put_binary(out, e, L_TERM, " * ", L_UNARY); break;
    case MP_AST_DIV: put_binary(out, e, L_TERM, " / ", L_UNARY); break;
    case MP_AST_CMP:
        put(out, e->kid[0], L_SUM);
        mp_buf_printf(out, " %.*s ", MP_STR_ARG(mp_ast_cmp_text(e->u.cmp)));
        put(out, e->kid[1], L_SUM);
        break;
    case MP_AST_IN: put_in(out, e); break;
    case MP_AST_IS: put_is(out, e); break;
    case MP_AST_LIKE: put_binary(out, e, L_SUM, " like ", L_SUM); break;
    case MP_AST_MATCHES: put_binary(out, e, L_SUM, " matches ", L_SUM); break;
    case MP_AST_CONTAINS: put_binary(out, e, L_SUM, " contains ", L_SUM); break;
    case MP_AST_STARTS: put_binary(out, e, L_SUM, " starts with ", L_SUM); break;
    case MP_AST_ENDS: put_binary(out, e, L_SUM, " ends with ", L_SUM); break;
    case MP_AST_NOT:
        mp_buf_puts(out, "not ");
        put(out, e->kid[0], L_NOT);
        break;
    case MP_AST_AND: put_binary(out, e, L_AND, " and ", L_NOT); break;
    case MP_AST_OR:
        put_or_side(out, e->kid[0], L_OR);
        mp_buf_puts(out, " or ");
        put_or_side(out, e->kid[1], L_AND);
        break;
    case MP_AST_HELD:
        put(out, e->kid[0], L_OR);
        mp_buf_puts(out, " for ");
        put_dur(out, &e->u.dur);
        break;
    case MP_AST_KIND_COUNT: MP_UNREACHABLE("a kind of expression");
    }
}

void mp_ast_print_expr(struct mp_buf *out, const struct mp_ast_expr *e) { put(out, e, L_OR); }

/* ---- what stands around expressions ---- */

void mp_ast_print_held(struct mp_buf *out, const struct mp_ast_held *held)
{
    put(out, held->cond, L_OR);
    if (held->hold.span.file == 0) return;
    mp_buf_puts(out, " for ");
    put_dur(out, &held->hold);
}

static void put_type1(struct mp_buf *out, const struct mp_ast_type1 *t)
{
    switch (t->kind) {
    case MP_AST_TYPE_NAME: put_name(out, t->name.text); break;
    case MP_AST_TYPE_SET:
        mp_buf_puts(out, "set of ");
        put_name(out, t->name.text);
        break;
    case MP_AST_TYPE_MAP:
        mp_buf_puts(out, "map of ");
        put_type1(out, t->of);
        break;
    case MP_AST_TYPE_ENUM:
        mp_buf_puts(out, "enum(");
        for (uint32_t i = 0; i < t->member_count; i++) {
            if (i > 0) mp_buf_puts(out, ", ");
            put_name(out, t->members[i].text);
        }
        mp_buf_putc(out, ')');
        break;
    }
}

void mp_ast_print_type(struct mp_buf *out, const struct mp_ast_type *type)
{
    for (uint32_t i = 0; i < type->count; i++) {
        if (i > 0) mp_buf_puts(out, " | ");
        put_type1(out, &type->alts[i]);
    }
}

void mp_ast_print_path(struct mp_buf *out, const struct mp_ast_path *path)
{
    for (uint32_t i = 0; i < path->count; i++) {
        if (i > 0) mp_buf_putc(out, '.');
        put_name(out, path->parts[i].text);
    }
}

void mp_ast_print_key(struct mp_buf *out, const struct mp_ast_key *key)
{
    mp_ast_print_path(out, &key->path);
    if (key->entry.text.ptr == NULL) return;
    mp_buf_putc(out, '[');
    put_text(out, key->entry.text);
    mp_buf_putc(out, ']');
}

static void put_pairs(struct mp_buf *out, const struct mp_ast_pair *pairs, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (i > 0) mp_buf_puts(out, ", ");
        mp_ast_print_key(out, &pairs[i].key);
        mp_buf_puts(out, " = ");
        put(out, pairs[i].value, L_SUM);
    }
}

void mp_ast_print_act(struct mp_buf *out, const struct mp_ast_act *act)
{
    static const char *const words[] = {" to ", " on ", " from ", " via ", " for ", " with "};
    put_name(out, act->verb.text);
    if (act->target != NULL) {
        mp_buf_putc(out, ' ');
        put(out, act->target, L_SUM);
    }
    for (uint32_t i = 0; i < act->prep_count; i++) {
        const struct mp_ast_prep *p = &act->preps[i];
        mp_buf_puts(out, words[p->kind]);
        if (p->kind == MP_AST_PREP_WITH) {
            put_pairs(out, p->pairs, p->pair_count);
        } else {
            put(out, p->value, L_SUM);
        }
    }
}

void mp_ast_print_quota(struct mp_buf *out, const struct mp_ast_quota *quota)
{
    if (quota->is_percent) {
        mp_buf_printf(out, "%.*s of ", MP_STR_ARG(quota->percent_text));
    } else {
        mp_buf_printf(out, "%lld", (long long)quota->count);
        if (quota->of.count > 0) mp_buf_putc(out, ' ');
    }
    mp_ast_print_path(out, &quota->of);
    if (quota->has_per_dur) {
        mp_buf_puts(out, " per ");
        put_ns(out, quota->per_ns);
    } else if (quota->per.count > 0) {
        mp_buf_puts(out, " per ");
        mp_ast_print_path(out, &quota->per);
    }
}

static void put_per(struct mp_buf *out, const struct mp_ast_per *per)
{
    for (uint32_t i = 0; i < per->count; i++) {
        mp_buf_puts(out, i == 0 ? " per " : ", ");
        mp_ast_print_key(out, &per->keys[i]);
    }
    if (per->has_max) mp_buf_printf(out, " max %lld", (long long)per->max.value);
}

void mp_ast_print_when(struct mp_buf *out, const struct mp_ast_rule *rule)
{
    mp_ast_print_held(out, &rule->when);
    for (uint32_t i = 0; i < rule->follow_count; i++) {
        const struct mp_ast_follow *f = &rule->follows[i];
        mp_buf_puts(out, f->negated ? " followed by no " : " followed by ");
        put(out, f->cond, L_OR);
        if (f->within.span.file == 0) continue;
        mp_buf_puts(out, " within ");
        put_dur(out, &f->within);
    }
    put_per(out, &rule->per);
}
