/* SPDX-License-Identifier: Apache-2.0
 * The tree as indented text: one line a part, expressions as (KIND ...), places as line:column.
 */
#include "ast/ast.h"
#include "base/assert.h"

struct dump {
    struct mp_buf *out;
    const struct mp_ast_file *file;
};

static void put_place(struct dump *d, struct mp_span span)
{
    struct mp_position from = mp_source_position(d->file->source, span.from);
    struct mp_position to = mp_source_position(d->file->source, span.to);
    mp_buf_printf(d->out, " @%u:%u-%u:%u", from.line, from.column, to.line, to.column);
}

static void begin(struct dump *d, uint32_t level, const char *word)
{
    for (uint32_t i = 0; i < level; i++) mp_buf_puts(d->out, "  ");
    mp_buf_puts(d->out, word);
}

static void end(struct dump *d) { mp_buf_putc(d->out, '\n'); }

static void put_str(struct dump *d, mp_str text)
{
    mp_buf_puts(d->out, " \"");
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c == '"' || c == '\\') mp_buf_putc(d->out, '\\');
        if (c < 0x20) {
            mp_buf_printf(d->out, "\\x%02x", c);
        } else {
            mp_buf_putc(d->out, (char)c);
        }
    }
    mp_buf_putc(d->out, '"');
}

static void put_name(struct dump *d, mp_str name)
{
    mp_buf_printf(d->out, " %.*s", MP_STR_ARG(name));
}

/* ---- expressions ---- */

static void put_expr(struct dump *d, const struct mp_ast_expr *e);

static void put_dur(struct dump *d, const struct mp_ast_dur *dur)
{
    if (dur->name.ptr != NULL) {
        put_name(d, dur->name);
    } else {
        mp_buf_printf(d->out, " %lldns", (long long)dur->ns);
    }
}

static void put_pieces(struct dump *d, const struct mp_ast_string *s)
{
    if (s->piece_count == 0) put_str(d, s->value);
    for (uint32_t i = 0; i < s->piece_count; i++) {
        if (s->pieces[i].hole == NULL) {
            put_str(d, s->pieces[i].text);
        } else {
            put_expr(d, s->pieces[i].hole);
        }
    }
}

static void put_args(struct dump *d, const struct mp_ast_expr *e)
{
    put_name(d, e->u.call.name.text);
    for (uint32_t i = 0; i < e->u.call.arg_count; i++) {
        put_expr(d, e->u.call.args[i].value);
        if (e->u.call.args[i].where == NULL) continue;
        mp_buf_puts(d->out, " WHERE");
        put_expr(d, e->u.call.args[i].where);
    }
}

/* What the union holds. */
static void put_payload(struct dump *d, const struct mp_ast_expr *e)
{
    switch (e->kind) {
    case MP_AST_INT:
    case MP_AST_DURATION:
    case MP_AST_SIZE: mp_buf_printf(d->out, " %lld", (long long)e->u.num.i); break;
    case MP_AST_FLOAT:
    case MP_AST_PERCENT:
    case MP_AST_BANDWIDTH:
    case MP_AST_TIMES: mp_buf_printf(d->out, " %.17g", e->u.num.f); break;
    case MP_AST_RATE:
        mp_buf_printf(d->out, " %.17g (%.17g per %lldns)", e->u.num.f, e->u.num.number,
                      (long long)e->u.num.per_ns);
        break;
    case MP_AST_STATUS:
    case MP_AST_BOOL:
    case MP_AST_IDENTITY:
    case MP_AST_BAD: put_name(d, e->u.num.text); break;
    case MP_AST_IP:
    case MP_AST_CIDR:
        mp_buf_putc(d->out, ' ');
        for (int i = 0; i < 16; i++) mp_buf_printf(d->out, "%02x", e->u.addr.bytes[i]);
        mp_buf_printf(d->out, "/%u", e->u.addr.bits);
        break;
    case MP_AST_STRING: put_pieces(d, &e->u.str); break;
    case MP_AST_NAME:
    case MP_AST_DOT:
    case MP_AST_IS: put_name(d, e->u.name.text); break;
    case MP_AST_NAMED:
        put_name(d, e->u.named.name.text);
        put_str(d, e->u.named.text.text);
        break;
    case MP_AST_CALL: put_args(d, e); break;
    case MP_AST_SET:
        for (uint32_t i = 0; i < e->u.set.count; i++) put_expr(d, e->u.set.items[i]);
        break;
    case MP_AST_OVER:
    case MP_AST_HELD: put_dur(d, &e->u.dur); break;
    case MP_AST_CMP: put_name(d, mp_ast_cmp_text(e->u.cmp)); break;
    default: break;
    }
}

static void put_expr(struct dump *d, const struct mp_ast_expr *e)
{
    mp_buf_printf(d->out, " (%s%s%s", e->negated ? "NOT-" : "", mp_ast_kind_name(e->kind),
                  e->paren ? "*" : "");
    put_payload(d, e);
    for (int i = 0; i < 3; i++) {
        if (e->kid[i] != NULL) put_expr(d, e->kid[i]);
    }
    mp_buf_putc(d->out, ')');
}

/* ---- parts ---- */

static void put_printed(struct dump *d, uint32_t level, const char *word, struct mp_span span)
{
    begin(d, level, word);
    put_place(d, span);
}

static void put_held(struct dump *d, uint32_t level, const char *word,
                     const struct mp_ast_held *held)
{
    if (held->cond == NULL) return;
    put_printed(d, level, word, held->span);
    put_expr(d, held->cond);
    if (held->hold.span.file != 0) {
        mp_buf_puts(d->out, " FOR");
        put_dur(d, &held->hold);
    }
    end(d);
}

static void put_path(struct dump *d, const struct mp_ast_path *path)
{
    mp_buf_putc(d->out, ' ');
    mp_ast_print_path(d->out, path);
}

static void put_type(struct dump *d, const struct mp_ast_type *type)
{
    if (type->count == 0) return;
    mp_buf_puts(d->out, ": ");
    mp_ast_print_type(d->out, type);
}

static void put_fields(struct dump *d, const struct mp_ast_field *fields, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        put_printed(d, 1, "field", fields[i].span);
        put_name(d, fields[i].name.text);
        put_type(d, &fields[i].type);
        if (fields[i].preset != NULL) put_expr(d, fields[i].preset);
        if (fields[i].at_end) mp_buf_puts(d->out, " AT END");
        end(d);
    }
}

static void put_per(struct dump *d, const struct mp_ast_per *per)
{
    if (per->count == 0) return;
    put_printed(d, 1, "per", per->span);
    for (uint32_t i = 0; i < per->count; i++) {
        mp_buf_putc(d->out, ' ');
        mp_ast_print_key(d->out, &per->keys[i]);
    }
    if (per->has_max) mp_buf_printf(d->out, " MAX %lld", (long long)per->max.value);
    end(d);
}

static void put_quota(struct dump *d, const struct mp_ast_quota *q)
{
    mp_buf_putc(d->out, ' ');
    mp_ast_print_quota(d->out, q);
    if (q->is_percent) mp_buf_printf(d->out, " [%.17g]", q->percent);
}

static void put_clause(struct dump *d, const struct mp_ast_clause *c)
{
    static const char *const clause_words[] = {
        "at", "mode", "priority", "during", "until", "cooldown", "limit", "ramp", "if no data",
        "every", "lateness", "refresh", "expire", "max", "signed by", "class", "blinds",
        "reversible",
        "irreversible",
    };
    if (c->kind == MP_AST_UNTIL) {
        put_held(d, 1, "until", c->held);
        return;
    }
    put_printed(d, 1, clause_words[c->kind], c->span);
    if (c->negated) mp_buf_puts(d->out, " NOT");
    if (c->name.text.ptr != NULL) put_name(d, c->name.text);
    for (uint32_t i = 0; i < c->name_count; i++) put_name(d, c->names[i].text);
    if (c->has_percent) mp_buf_printf(d->out, " %.17g", c->percent);
    if (c->number.span.file != 0) mp_buf_printf(d->out, " %lld", (long long)c->number.value);
    if (c->dur.span.file != 0) put_dur(d, &c->dur);
    if (c->text.text.ptr != NULL) put_str(d, c->text.text);
    if (c->quota != NULL) put_quota(d, c->quota);
    end(d);
}

static void put_clauses(struct dump *d, const struct mp_ast_clause *clauses, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) put_clause(d, &clauses[i]);
}

static void put_pairs(struct dump *d, const struct mp_ast_pair *pairs, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        mp_buf_putc(d->out, ' ');
        mp_ast_print_key(d->out, &pairs[i].key);
        mp_buf_puts(d->out, " =");
        put_expr(d, pairs[i].value);
    }
}

static void put_act(struct dump *d, const struct mp_ast_act *act)
{
    static const char *const prep_words[] = {" TO", " ON", " FROM", " VIA", " FOR", " WITH"};
    put_name(d, act->verb.text);
    if (act->target != NULL) put_expr(d, act->target);
    for (uint32_t i = 0; i < act->prep_count; i++) {
        const struct mp_ast_prep *p = &act->preps[i];
        mp_buf_puts(d->out, prep_words[p->kind]);
        if (p->value != NULL) put_expr(d, p->value);
        put_pairs(d, p->pairs, p->pair_count);
    }
}

static void put_step(struct dump *d, const struct mp_ast_step *step)
{
    put_printed(d, 1, "step", step->span);
    end(d);
    for (uint32_t i = 0; i < step->act_count; i++) {
        put_printed(d, 2, "act", step->acts[i].span);
        put_act(d, &step->acts[i]);
        end(d);
    }
    const struct mp_ast_verify *v = step->verify;
    if (v == NULL) return;
    put_held(d, 2, "verify", &v->held);
    begin(d, 3, "within");
    put_dur(d, &v->within);
    if (v->settle.span.file != 0) {
        mp_buf_puts(d->out, " settle");
        put_dur(d, &v->settle);
    }
    end(d);
    put_held(d, 3, "harm", &v->harm);
}

static void put_follow(struct dump *d, const struct mp_ast_follow *f)
{
    put_printed(d, 1, f->negated ? "followed by no" : "followed by", f->span);
    put_expr(d, f->cond);
    if (f->within.span.file != 0) {
        mp_buf_puts(d->out, " WITHIN");
        put_dur(d, &f->within);
    }
    end(d);
}

static void put_rule(struct dump *d, const struct mp_ast_rule *r)
{
    if (r->doc.text.ptr != NULL) {
        begin(d, 1, "doc");
        put_str(d, r->doc.text);
        end(d);
    }
    put_clauses(d, r->headers, r->header_count);
    put_held(d, 1, "when", &r->when);
    for (uint32_t i = 0; i < r->follow_count; i++) put_follow(d, &r->follows[i]);
    put_per(d, &r->per);
    put_held(d, 1, "unless", &r->unless);
    for (uint32_t i = 0; i < r->step_count; i++) put_step(d, &r->steps[i]);
    put_clauses(d, r->trailers, r->trailer_count);
}

static void put_line(struct dump *d, const struct mp_ast_line *l)
{
    static const char *const line_words[] = {"given", "set", "absent", "emit", "expect"};
    static const char *const when_words[] = {" AT", " BY", " BEFORE", " EVER"};
    put_printed(d, 1, line_words[l->kind], l->span);
    if (l->time_span.file != 0) mp_buf_printf(d->out, " %lldns", (long long)l->from_ns);
    if (l->has_to) mp_buf_printf(d->out, "..%lldns", (long long)l->to_ns);
    if (l->subject != NULL) put_expr(d, l->subject);
    if (l->value != NULL) put_expr(d, l->value);
    if (l->kind == MP_AST_LINE_EMIT) mp_buf_printf(d->out, " %lld", (long long)l->count.value);
    if (l->signal.count > 0) put_path(d, &l->signal);
    put_pairs(d, l->pairs, l->pair_count);
    if (l->kind == MP_AST_LINE_EXPECT) {
        if (l->negated) mp_buf_puts(d->out, " NO");
        put_act(d, &l->act);
        mp_buf_puts(d->out, when_words[l->when]);
        if (l->when != MP_AST_EXPECT_EVER) mp_buf_printf(d->out, " %lldns", (long long)l->at_ns);
    }
    end(d);
}

/* ---- items ---- */

static void put_annots(struct dump *d, const struct mp_ast_item *item)
{
    for (uint32_t i = 0; i < item->annot_count; i++) {
        const struct mp_ast_annot *a = &item->annots[i];
        put_printed(d, 1, "annot", a->span);
        put_name(d, a->name.text);
        if (a->kind == MP_AST_ANNOT_TEXT) put_str(d, a->value.text);
        if (a->kind == MP_AST_ANNOT_NAME) put_name(d, a->value.text);
        if (a->kind == MP_AST_ANNOT_INT) mp_buf_printf(d->out, " %lld", (long long)a->number);
        end(d);
    }
}

/* What stands on the first line of an item, behind its name. */
static void put_head(struct dump *d, const struct mp_ast_item *item)
{
    switch (item->kind) {
    case MP_AST_ITEM_PACKAGE:
        put_path(d, &item->u.package.path);
        if (item->u.package.version.text.ptr != NULL) put_str(d, item->u.package.version.text);
        break;
    case MP_AST_ITEM_USE:
        put_path(d, &item->u.use.path);
        if (item->u.use.alias.text.ptr != NULL) mp_buf_puts(d->out, " AS");
        if (item->u.use.alias.text.ptr != NULL) put_name(d, item->u.use.alias.text);
        break;
    case MP_AST_ITEM_LET:
        put_type(d, &item->u.let.type);
        put_expr(d, item->u.let.value);
        break;
    case MP_AST_ITEM_PARAM:
        put_type(d, &item->u.param.type);
        put_expr(d, item->u.param.value);
        if (item->u.param.low != NULL) mp_buf_puts(d->out, " IN");
        if (item->u.param.low != NULL) put_expr(d, item->u.param.low);
        if (item->u.param.high != NULL) put_expr(d, item->u.param.high);
        break;
    case MP_AST_ITEM_DEF: put_type(d, &item->u.def.type); break;
    case MP_AST_ITEM_LIST:
        put_type(d, &item->u.list.type);
        if (item->u.list.is_filled) {
            mp_buf_printf(d->out, " MAX %lld", (long long)item->u.list.max.value);
        }
        for (uint32_t i = 0; i < item->u.list.count; i++) put_expr(d, item->u.list.items[i]);
        break;
    case MP_AST_ITEM_FEED:
        put_type(d, &item->u.feed.type);
        put_str(d, item->u.feed.from.text);
        break;
    case MP_AST_ITEM_CALENDAR: put_str(d, item->u.calendar.zone.text); break;
    case MP_AST_ITEM_ENTITY:
        if (item->u.entity.alias.text.ptr != NULL) mp_buf_puts(d->out, " AS");
        if (item->u.entity.alias.text.ptr != NULL) put_name(d, item->u.entity.alias.text);
        break;
    case MP_AST_ITEM_SIGNAL:
        if (item->u.signal.alias.text.ptr != NULL) mp_buf_puts(d->out, " AS");
        if (item->u.signal.alias.text.ptr != NULL) put_name(d, item->u.signal.alias.text);
        put_type(d, &item->u.signal.type);
        break;
    case MP_AST_ITEM_GUARD:
        if (item->u.guard.prove) mp_buf_puts(d->out, " PROVE");
        put_act(d, &item->u.guard.act);
        break;
    case MP_AST_ITEM_TEST: put_str(d, item->u.test.title.text); break;
    default: break;
    }
}

static void put_opens(struct dump *d, const struct mp_ast_item *item)
{
    for (uint32_t i = 0; i < item->u.calendar.count; i++) {
        const struct mp_ast_when_open *o = &item->u.calendar.spans[i];
        put_printed(d, 1, "open", o->span);
        put_name(d, o->from_day.text);
        if (o->to_day.text.ptr != NULL) put_name(d, o->to_day.text);
        mp_buf_printf(d->out, " %u..%u", o->from_minute, o->to_minute);
        end(d);
    }
}

static void put_guard(struct dump *d, const struct mp_ast_guard *g)
{
    if (g->where != NULL) {
        put_printed(d, 1, "where", g->where->span);
        put_expr(d, g->where);
    } else {
        put_printed(d, 1, "more than", g->quota->span);
        put_quota(d, g->quota);
    }
    end(d);
}

static void put_body(struct dump *d, const struct mp_ast_item *item)
{
    switch (item->kind) {
    case MP_AST_ITEM_DEF:
        put_fields(d, item->u.def.params, item->u.def.param_count);
        put_per(d, &item->u.def.per);
        put_printed(d, 1, "is", item->u.def.body->span);
        put_expr(d, item->u.def.body);
        end(d);
        break;
    case MP_AST_ITEM_FEED: put_clauses(d, item->u.feed.options, item->u.feed.option_count); break;
    case MP_AST_ITEM_CALENDAR: put_opens(d, item); break;
    case MP_AST_ITEM_ENTITY:
        put_fields(d, item->u.entity.fields, item->u.entity.field_count);
        break;
    case MP_AST_ITEM_SIGNAL:
        put_per(d, &item->u.signal.per);
        put_clauses(d, item->u.signal.options, item->u.signal.option_count);
        put_fields(d, item->u.signal.fields, item->u.signal.field_count);
        break;
    case MP_AST_ITEM_ACTION:
        put_fields(d, item->u.action.params, item->u.action.param_count);
        put_clauses(d, item->u.action.props, item->u.action.prop_count);
        break;
    case MP_AST_ITEM_RULE: put_rule(d, &item->u.rule); break;
    case MP_AST_ITEM_GUARD: put_guard(d, &item->u.guard); break;
    case MP_AST_ITEM_TEST:
        for (uint32_t i = 0; i < item->u.test.line_count; i++) put_line(d, &item->u.test.lines[i]);
        break;
    default: break;
    }
}

void mp_ast_dump(struct mp_buf *out, const struct mp_ast_file *file)
{
    struct dump d = {out, file};
    if (file->has_edition) mp_buf_printf(out, "EDITION %lld\n", (long long)file->edition.value);
    for (uint32_t i = 0; i < file->items.len; i++) {
        const struct mp_ast_item *item = file->items.ptr[i];
        mp_buf_puts(out, mp_ast_item_name(item->kind));
        put_place(&d, item->span);
        if (item->name.text.ptr != NULL) put_name(&d, item->name.text);
        put_head(&d, item);
        end(&d);
        put_annots(&d, item);
        put_body(&d, item);
    }
    for (uint32_t i = 0; i < file->trivia.len; i++) {
        const struct mp_ast_trivia *t = &file->trivia.ptr[i];
        if (t->kind != MP_AST_COMMENT) continue;
        begin(&d, 0, "COMMENT");
        put_place(&d, (struct mp_span){file->source->id, t->from, t->to});
        end(&d);
    }
    for (uint32_t i = 0; i < file->broken.len; i++) {
        begin(&d, 0, "BROKEN");
        put_name(&d, file->broken.ptr[i].text);
        end(&d);
    }
}
