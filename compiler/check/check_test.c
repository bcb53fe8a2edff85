/* SPDX-License-Identifier: Apache-2.0
 * Tests: what they set, send and expect (language.md 13, R46, R47): E0501, E0502.
 */
#include "check/check_test_priv.h"

mp_str ck_test_nearest(mp_str word, const mp_str *names, uint32_t count, struct mp_diag *d)
{
    mp_str near = ck_nearest(word, names, count);
    if (near.len > 0) mp_diag_help(d, "`%.*s` is close", MP_STR_ARG(near));
    return near;
}

static struct mp_t_expr *constant(struct ck_test *t, const struct mp_ast_expr *ast,
                                  struct mp_t_type want, mp_str of_what)
{
    mp_str what = ck_printf(t->ck, "`%.*s`", MP_STR_ARG(of_what));
    return ck_constant(t->ck, t->file, ast, want, what.ptr);
}

/* A constant, or the members of a set. */
static bool read_value(struct ck_test *t, const struct mp_ast_expr *ast, struct mp_t_type want,
                       mp_str of_what, struct mp_t_test_line *line)
{
    if (!want.is_set) {
        line->value = constant(t, ast, want, of_what);
        return !ck_bad(line->value);
    }
    struct mp_t_type member = want;
    member.is_set = false;
    if (ast->kind != MP_AST_SET) {
        struct mp_diag *d = ck_error(t->ck, "E0302", ast->span, "`%.*s` is a set",
                                     MP_STR_ARG(of_what));
        mp_diag_help(d, "write its members in brackets: `[\"a\", \"b\"]`");
        return false;
    }
    line->values = CK_NEW(t->ck, struct mp_t_expr *, ast->u.set.count + 1);
    for (uint32_t i = 0; i < ast->u.set.count; i++) {
        struct mp_t_expr *e = constant(t, ast->u.set.items[i], member, of_what);
        if (ck_bad(e)) return false;
        line->values[line->value_count++] = e;
    }
    return true;
}

/* ---- given ---- */

static bool given_backend(struct ck_test *t, const struct mp_ast_pair *p,
                          struct mp_t_test_line *line)
{
    static const mp_str ways[] = {MP_STR_INIT("refuse"), MP_STR_INIT("slow")};
    line->kind = MP_TLINE_BACKEND;
    bool word = p->value->kind == MP_AST_NAME;
    mp_str way = word ? p->value->u.name.text : ck_source(t->ck, p->value->span);
    for (uint32_t i = 0; i < 2; i++) {
        if (word && mp_str_eq(way, ways[i])) {
            line->value = ck_const_text(t->ck, ck_type(MP_TYPE_STRING), way, p->value->span);
            return true;
        }
    }
    struct mp_diag *d = ck_error(t->ck, "E0501", p->value->span, "a backend cannot be `%.*s`",
                                 MP_STR_ARG(way));
    mp_diag_help(d, "`refuse` or `slow`; without this line it obeys at once");
    return false;
}

static struct ck_sym *find_path(struct ck_test *t, const struct mp_ast_path *path)
{
    if (path->count == 1) return ck_find(t->ck, t->file, path->parts[0].text, path->parts[0].span);
    const struct ck_package *p = ck_find_alias(t->file, path->parts[0].text);
    return p == NULL || path->count != 2 ? NULL : ck_find_in(t->ck, p, path->parts[1].text);
}

uint32_t ck_test_names(struct ck_test *t, uint32_t kinds, mp_str **out)
{
    uint32_t n = 0;
    *out = CK_NEW(t->ck, mp_str, t->ck->syms.len + 1);
    for (uint32_t i = 0; i < t->ck->syms.len; i++) {
        const struct ck_sym *s = t->ck->syms.ptr[i];
        if (kinds & (1u << s->kind)) (*out)[n++] = s->name;
    }
    return n;
}

static bool given_param(struct ck_test *t, const struct mp_ast_pair *p, struct mp_t_test_line *line)
{
    struct ck_sym *sym = find_path(t, &p->key.path);
    mp_str name = ck_source(t->ck, p->key.span);
    if (sym != NULL && sym->kind == CK_LIST && sym->item->u.list.is_filled) {
        ck_refuse(t->ck, "list that rules fill", p->key.span);
        return false;
    }
    if (sym == NULL && t->file->use_missing) return false; /* E0111 was said */
    if (sym == NULL || sym->kind != CK_PARAM) {
        struct mp_diag *d = ck_error(t->ck, "E0501", p->key.span, "there is no parameter `%.*s`",
                                     MP_STR_ARG(name));
        mp_str *names;
        uint32_t count = ck_test_names(t, 1u << CK_PARAM, &names);
        ck_test_nearest(name, names, count, d);
        if (sym != NULL)
            mp_diag_note(d, "`given` sets parameters and `backend`; a time line sets the rest");
        return false;
    }
    line->kind = MP_TLINE_PARAM;
    line->param = ck_param_of(t->ck, sym);
    if (line->param == NULL) return false;
    return read_value(t, p->value, line->param->type, name, line);
}

static void read_given(struct ck_test *t, const struct mp_ast_line *ast)
{
    for (uint32_t i = 0; i < ast->pair_count; i++) {
        const struct mp_ast_pair *p = &ast->pairs[i];
        struct mp_t_test_line *line = &t->out->lines[t->out->line_count];
        *line = (struct mp_t_test_line){
            .span = p->span, .to_ns = -1, .text = ck_source(t->ck, p->span)};
        bool backend = p->key.path.count == 1 &&
                       mp_str_eq(p->key.path.parts[0].text, MP_STR("backend"));
        if (backend ? given_backend(t, p, line) : given_param(t, p, line)) t->out->line_count++;
    }
}

/* ---- what a line sets ---- */

/* The name that is set, and of whom; `of` may be NULL. */
struct subject {
    const struct mp_ast_expr *name, *of;
    struct mp_ast_name attr; /* `svc "web".tier` */
};

static bool split_subject(const struct mp_ast_expr *e, struct subject *out)
{
    *out = (struct subject){0};
    if (e->kind == MP_AST_OF) {
        out->name = e->kid[0];
        out->of = e->kid[1];
    } else if (e->kind == MP_AST_DOT && e->kid[0]->kind == MP_AST_NAMED) {
        out->of = e->kid[0];
        out->attr = e->u.name;
    } else {
        out->name = e;
    }
    return out->name == NULL || out->name->kind == MP_AST_NAME || out->name->kind == MP_AST_DOT;
}

static void unknown_subject(struct ck_test *t, struct mp_span span, mp_str name)
{
    if (t->file->use_missing) return;
    struct mp_diag *d = ck_error(t->ck, "E0501", span, "a test cannot set `%.*s`",
                                 MP_STR_ARG(name));
    mp_str *names;
    uint32_t count = ck_test_names(t, 1u << CK_DEF | 1u << CK_SIGNAL, &names);
    if (ck_test_nearest(name, names, count, d).len == 0) {
        mp_diag_help(d, "it sets definitions, gauges, and attributes: `tier of \"web\"`");
    }
}

/* The entity that `svc "web"` says, or NULL where only a text stands. */
const struct mp_t_entity *ck_test_entity(struct ck_test *t, const struct mp_ast_expr *of)
{
    if (of == NULL || of->kind != MP_AST_NAMED) return NULL;
    struct ck_sym *sym = ck_need(t->ck, t->file, of->u.named.name.text, of->u.named.name.span,
                                 1u << CK_ENTITY, "entity");
    return sym == NULL ? NULL : ck_entity_of(t->ck, sym);
}

static const struct mp_t_def *attr_named(struct ck_test *t, const struct subject *s, mp_str name,
                                         struct mp_span span)
{
    const struct mp_t_attr *found = NULL, *second = NULL;
    const struct mp_t_entity *said = ck_test_entity(t, s->of);
    for (uint32_t i = 0; i < t->ck->syms.len; i++) {
        struct ck_sym *sym = t->ck->syms.ptr[i];
        if (sym->kind != CK_ENTITY || sym->is_alias) continue;
        const struct mp_t_entity *entity = ck_entity_of(t->ck, sym);
        if (entity == NULL || (said != NULL && entity != said)) continue;
        const struct mp_t_attr *a = ck_attr(entity, name);
        if (a == NULL || a->index == 0) continue;
        if (found == NULL) found = a;
        else if (second == NULL) second = a;
    }
    if (found == NULL) {
        unknown_subject(t, span, name);
        return NULL;
    }
    if (second == NULL) return ck_attr_def(t->ck, found);
    struct mp_diag *d = ck_error(t->ck, "E0501", span, "whose `%.*s`?", MP_STR_ARG(name));
    mp_diag_help(d, "`%.*s \"name\".%.*s` or `%.*s \"name\".%.*s`",
                 MP_STR_ARG(ck_entity_word(found->owner)), MP_STR_ARG(name),
                 MP_STR_ARG(ck_entity_word(second->owner)), MP_STR_ARG(name));
    return NULL;
}

static struct ck_sym *sym_of_name(struct ck_test *t, const struct mp_ast_expr *e)
{
    if (e->kind == MP_AST_NAME) return ck_find(t->ck, t->file, e->u.name.text, e->span);
    if (e->kid[0]->kind != MP_AST_NAME) return NULL;
    const struct ck_package *p = ck_find_alias(t->file, e->kid[0]->u.name.text);
    return p == NULL ? NULL : ck_find_in(t->ck, p, e->u.name.text);
}

static const struct mp_t_def *def_set(struct ck_test *t, const struct subject *s,
                                      const struct mp_ast_expr *ast)
{
    if (s->name == NULL) return attr_named(t, s, s->attr.text, s->attr.span);
    struct ck_sym *sym = sym_of_name(t, s->name);
    mp_str name = ck_source(t->ck, s->name->span);
    if (sym != NULL && sym->kind == CK_DEF) {
        if (sym->item->u.def.has_params) {
            ck_error(t->ck, "E0501", ast->span, "`%.*s` has parameters; a test cannot set it",
                     MP_STR_ARG(name));
            return NULL;
        }
        return ck_def_of(t->ck, sym);
    }
    if (sym != NULL && sym->kind == CK_SIGNAL) {
        const struct mp_t_signal *signal = ck_signal_of(t->ck, sym);
        if (signal == NULL || signal->kind != MP_SIGNAL_EVENT) {
            return signal == NULL ? NULL : ck_gauge_def(t->ck, signal);
        }
        struct mp_diag *d = ck_error(t->ck, "E0501", s->name->span, "`%.*s` is a stream of events",
                                     MP_STR_ARG(name));
        mp_diag_help(d, "`0s: emit 10 %.*s with ...`", MP_STR_ARG(signal->name));
        return NULL;
    }
    if (sym != NULL && sym->kind == CK_PARAM) {
        struct mp_diag *d = ck_error(t->ck, "E0501", s->name->span, "`%.*s` is a parameter",
                                     MP_STR_ARG(name));
        mp_diag_help(d, "`given %.*s = ...` sets it for the whole test", MP_STR_ARG(name));
        return NULL;
    }
    /* `service of "web-1"`: an attribute may be called as an entity, a rule or a list is. */
    if (s->name->kind == MP_AST_NAME) return attr_named(t, s, name, s->name->span);
    unknown_subject(t, s->name->span, name);
    return NULL;
}

static uint32_t key_count_of(const struct mp_t_def *def)
{
    if (def->kind == MP_DEF_ATTR) return 1;
    return def->keys == NULL ? 0 : def->keys->count;
}

static struct mp_t_type key_type_of(const struct mp_t_def *def, uint32_t i)
{
    return def->kind == MP_DEF_ATTR ? ck_entity_type(def->attr->owner) : def->keys->keys[i].type;
}

static struct mp_t_expr *read_key(struct ck_test *t, const struct mp_ast_expr *ast,
                                  struct mp_t_type type, mp_str name)
{
    if (ast->kind != MP_AST_NAMED) return constant(t, ast, type, name);
    const struct mp_t_entity *said = ck_test_entity(t, ast);
    if (said == NULL) return ck_poison(t->ck, ast->span);
    if (type.base != MP_TYPE_ENTITY || type.entity != said) {
        mp_str noun = ck_type_noun(t->ck, type);
        ck_error(t->ck, "E0501", ast->span, "`%.*s` is of %.*s", MP_STR_ARG(name),
                 MP_STR_ARG(noun));
        return ck_poison(t->ck, ast->span);
    }
    return ck_const_text(t->ck, type, ast->u.named.text.text, ast->span);
}

static bool read_keys(struct ck_test *t, const struct subject *s, const struct mp_ast_expr *ast,
                      struct mp_t_test_line *line)
{
    uint32_t wanted = key_count_of(line->def);
    bool several = s->of != NULL && s->of->kind == MP_AST_SET;
    uint32_t got = s->of == NULL ? 0 : several ? s->of->u.set.count : 1;
    mp_str name = line->def->name;
    if (got != wanted) {
        struct mp_diag *d = ck_error(t->ck, "E0501", ast->span, "whose `%.*s`?", MP_STR_ARG(name));
        if (wanted == 0) mp_diag_help(d, "it is one for the whole mesh: leave out `of`");
        else if (wanted == 1) mp_diag_help(d, "`%.*s of \"name\"`", MP_STR_ARG(name));
        else mp_diag_help(d, "it is per %.*s: `%.*s of [\"a\", \"b\"]`",
                          MP_STR_ARG(ck_keys_text(t->ck, line->def->keys)), MP_STR_ARG(name));
        return false;
    }
    line->keys = CK_NEW(t->ck, struct mp_t_expr *, wanted + 1);
    for (uint32_t i = 0; i < wanted; i++) {
        const struct mp_ast_expr *key = several ? s->of->u.set.items[i] : s->of;
        line->keys[i] = read_key(t, key, key_type_of(line->def, i), name);
        if (ck_bad(line->keys[i])) return false;
    }
    line->key_count = wanted;
    return true;
}

static bool read_set(struct ck_test *t, const struct mp_ast_line *ast, struct mp_t_test_line *line)
{
    struct subject s;
    bool absent = ast->kind == MP_AST_LINE_ABSENT;
    line->kind = absent ? MP_TLINE_ABSENT : MP_TLINE_SET;
    if (!split_subject(ast->subject, &s)) {
        unknown_subject(t, ast->subject->span, ck_source(t->ck, ast->subject->span));
        return false;
    }
    line->def = def_set(t, &s, ast->subject);
    if (line->def == NULL || !read_keys(t, &s, ast->subject, line)) return false;
    if (absent) return true;
    return read_value(t, ast->value, line->def->type, line->def->name, line);
}

/* ---- emit ---- */

/* What `path = v` of an emitted record is: a field, a key, or an attribute of a key. */
static bool field_of(struct ck_test *t, const struct mp_t_signal *signal,
                     const struct mp_ast_key *key,
                     struct mp_t_type *type)
{
    mp_str first = key->path.parts[0].text;
    const struct mp_t_field *f = ck_field(signal, first);
    if (f != NULL && key->path.count == 1) {
        *type = f->type;
        if (!f->type.is_map) return key->entry.text.ptr == NULL;
        type->is_map = false;
        return key->entry.text.ptr != NULL;
    }
    if (key->entry.text.ptr != NULL) return false;
    for (uint32_t i = 0; i < signal->key_count; i++) {
        const struct mp_t_entity *e = signal->keys[i];
        if (!mp_str_eq(first, e->name) && !mp_str_eq(first, e->alias)) continue;
        const struct mp_t_attr *a = key->path.count == 2 ? ck_attr(e,
                                                                   key->path.parts[1].text) : NULL;
        *type = a != NULL ? a->type : ck_entity_type(e);
        return key->path.count == 1 || a != NULL;
    }
    (void)t;
    return false;
}

/* As telemetry spells it: entities by their names, entries of maps behind a dot. */
static mp_str telemetry_path(struct ck_test *t, const struct mp_t_signal *signal,
                             const struct mp_ast_key *key)
{
    struct mp_buf b;
    mp_buf_init(&b, t->ck->perm);
    mp_str first = key->path.parts[0].text;
    for (uint32_t i = 0; ck_field(signal, first) == NULL && i < signal->key_count; i++) {
        if (mp_str_eq(first, signal->keys[i]->alias)) first = signal->keys[i]->name;
    }
    mp_buf_put(&b, first);
    for (uint32_t i = 1; i < key->path.count; i++) {
        mp_buf_printf(&b, ".%.*s", MP_STR_ARG(key->path.parts[i].text));
    }
    if (key->entry.text.ptr != NULL) mp_buf_printf(&b, ".%.*s", MP_STR_ARG(key->entry.text));
    return ck_buf_text(t->ck, &b);
}

static void unknown_field(struct ck_test *t, const struct mp_t_signal *signal,
                          const struct mp_ast_key *key)
{
    mp_str text = ck_source(t->ck, key->span);
    struct mp_diag *d = ck_error(t->ck, "E0501", key->span, "`%.*s` have no `%.*s`",
                                 MP_STR_ARG(signal->name), MP_STR_ARG(text));
    mp_str *names = CK_NEW(t->ck, mp_str, signal->field_count + signal->key_count + 1);
    uint32_t n = 0;
    for (uint32_t i = 0; i < signal->field_count; i++) names[n++] = signal->fields[i].name;
    for (uint32_t i = 0; i < signal->key_count; i++) names[n++] = signal->keys[i]->name;
    ck_test_nearest(text, names, n, d);
}

static bool read_emitted(struct ck_test *t, const struct mp_ast_line *ast,
                         struct mp_t_test_line *line)
{
    bool fine = true;
    line->emits = ck_alloc(t->ck, ast->pair_count + 1, sizeof *line->emits, _Alignof(mp_str));
    for (uint32_t i = 0; i < ast->pair_count; i++) {
        const struct mp_ast_pair *p = &ast->pairs[i];
        struct mp_t_type type;
        if (!field_of(t, line->signal, &p->key, &type)) {
            unknown_field(t, line->signal, &p->key);
            fine = false;
            continue;
        }
        mp_str path = telemetry_path(t, line->signal, &p->key);
        struct mp_t_test_line of_set = {0};
        if (!read_value(t, p->value, type, path, &of_set)) fine = false;
        if (type.is_set) {
            ck_error(t->ck, "E0501", p->span, "a test cannot send a set");
            fine = false;
        }
        line->emits[line->emit_count].path = path;
        line->emits[line->emit_count].value = of_set.value;
        line->emit_count++;
    }
    return fine;
}

static bool read_emit(struct ck_test *t, const struct mp_ast_line *ast, struct mp_t_test_line *line)
{
    line->kind = MP_TLINE_EMIT;
    struct ck_sym *sym = find_path(t, &ast->signal);
    mp_str name = ck_source(t->ck, ast->signal.span);
    line->signal = sym == NULL || sym->kind != CK_SIGNAL ? NULL : ck_signal_of(t->ck, sym);
    if (line->signal == NULL && t->file->use_missing) return false;
    if (line->signal == NULL) {
        struct mp_diag *d = ck_error(t->ck, "E0501", ast->signal.span, "there is no signal `%.*s`",
                                     MP_STR_ARG(name));
        mp_str *names;
        uint32_t count = ck_test_names(t, 1u << CK_SIGNAL, &names);
        ck_test_nearest(name, names, count, d);
        return false;
    }
    if (ast->count.value < 1 || ast->count.value > 1000000) {
        ck_error(t->ck, "E0306", ast->count.span, "a line sends between 1 and 1M records");
        return false;
    }
    line->count = (uint32_t)ast->count.value;
    return read_emitted(t, ast, line);
}

/* ---- E0502 ---- */

static bool sets(const struct mp_t_test_line *line)
{
    return line->kind == MP_TLINE_SET || line->kind == MP_TLINE_ABSENT;
}

static bool same_subject(const struct mp_t_test_line *a, const struct mp_t_test_line *b)
{
    if (a->def != b->def || a->key_count != b->key_count) return false;
    for (uint32_t i = 0; i < a->key_count; i++) {
        if (!mp_value_eq(ck_rep(a->keys[i]->type), a->keys[i]->value,
                         b->keys[i]->value)) return false;
    }
    return true;
}

/* A moment lasts until the next line;
 * it clashes with another at the same time, or inside a span. */
static bool same_time(const struct mp_t_test_line *a, const struct mp_t_test_line *b)
{
    if (a->from_ns == b->from_ns) return true;
    if (a->from_ns > b->from_ns) {
        const struct mp_t_test_line *later = a;
        a = b;
        b = later;
    }
    return a->to_ns >= 0 && b->from_ns < a->to_ns;
}

static void refuse_same_time(struct ck_test *t)
{
    for (uint32_t i = 0; i < t->out->line_count; i++) {
        const struct mp_t_test_line *a = &t->out->lines[i];
        for (uint32_t j = 0; sets(a) && j < i; j++) {
            const struct mp_t_test_line *b = &t->out->lines[j];
            if (!sets(b) || !same_subject(a, b) || !same_time(a, b)) continue;
            struct mp_diag *d = ck_error(t->ck, "E0502", a->span,
                                         "`%.*s` is set twice at one time",
                                             MP_STR_ARG(a->def->name));
            mp_diag_label(d, b->span, "here first");
            break;
        }
    }
}

/* ---- the test ---- */

static void read_line(struct ck_test *t, const struct mp_ast_line *ast)
{
    if (ast->kind == MP_AST_LINE_GIVEN) {
        read_given(t, ast);
        return;
    }
    struct mp_t_test_line *line = &t->out->lines[t->out->line_count];
    *line = (struct mp_t_test_line){
        .span = ast->span,
        .from_ns = ck_wait(t->ck, ast->from_ns, ast->time_span),
        .to_ns = ast->has_to ? ck_wait(t->ck, ast->to_ns, ast->time_span) : -1,
        .text = ck_source(t->ck, ast->span)};
    if (ast->has_to && ast->to_ns <= ast->from_ns) {
        ck_error(t->ck, "E0306", ast->time_span, "this time ends before it begins");
        return;
    }
    bool fine = false;
    switch (ast->kind) {
    case MP_AST_LINE_SET:
    case MP_AST_LINE_ABSENT: fine = read_set(t, ast, line); break;
    case MP_AST_LINE_EMIT: fine = read_emit(t, ast, line); break;
    case MP_AST_LINE_EXPECT: fine = ck_test_expect(t, ast, line); break;
    case MP_AST_LINE_GIVEN: break;
    }
    if (fine) t->out->line_count++;
}

static void add_package(struct mp_t_test *out, mp_str name)
{
    for (uint32_t i = 0; i < out->package_count; i++) {
        if (mp_str_eq(out->packages[i], name)) return;
    }
    out->packages[out->package_count++] = name;
}

void ck_check_test(struct ck *ck, struct ck_file *file, const struct mp_ast_item *item)
{
    struct ck_test t = {.ck = ck, .file = file, .item = item};
    uint32_t errors_before = ck->sink->error_count, lines = 1;
    for (uint32_t i = 0; i < item->u.test.line_count; i++) {
        lines += 1 + item->u.test.lines[i].pair_count;
    }
    t.out = CK_NEW(ck, struct mp_t_test, 1);
    t.out->package = file->package->name;
    t.out->name = item->u.test.title.text;
    t.out->span = item->span;
    t.out->lines = CK_NEW(ck, struct mp_t_test_line, lines);
    t.out->packages = CK_NEW(ck, mp_str, file->use_count + 1);
    add_package(t.out, file->package->name);
    for (uint32_t i = 0; i < file->use_count; i++) add_package(t.out, file->uses[i].package->name);
    t.scope = ck_scope_of(file, CK_IN_TEST, NULL, NULL, 0);
    for (uint32_t i = 0; i < item->u.test.line_count; i++) read_line(&t, &item->u.test.lines[i]);
    refuse_same_time(&t);
    if (ck->sink->error_count == errors_before) *CK_PUSH(ck, &ck->out->tests) = t.out;
}
