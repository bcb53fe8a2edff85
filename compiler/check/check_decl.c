/* SPDX-License-Identifier: Apache-2.0
 * Entities and signals: what a vocabulary declares (language.md 4.1, 4.2).
 */
#include "check/check_priv.h"

#define EVERY_DEFAULT_NS 10000000000   /* R6 */
#define LATENESS_DEFAULT_NS 2000000000 /* R1, of events; a gauge has none */

/* ---- types as written ---- */

/* The type words that nobody can write as a type of their own. */
static bool is_type_word(enum mp_type t)
{
    return t != MP_TYPE_NONE && t != MP_TYPE_ENUM && t != MP_TYPE_ENTITY;
}

static struct mp_t_type named_type(struct ck *ck, const struct ck_file *file,
                                   const struct mp_ast_name *name)
{
    mp_str words[MP_TYPE_COUNT];
    uint32_t n = 0;
    for (uint32_t t = 0; t < MP_TYPE_COUNT; t++) {
        if (!is_type_word((enum mp_type)t)) continue;
        words[n++] = mp_type_word((enum mp_type)t);
        if (mp_str_eq(words[n - 1], name->text)) return ck_type((enum mp_type)t);
    }
    struct ck_sym *sym = ck_find(ck, file, name->text, name->span);
    if (sym != NULL && sym->kind == CK_ENTITY) return ck_entity_type(sym->u.entity);
    if (sym != NULL) {
        ck_need(ck, file, name->text, name->span, 1u << CK_ENTITY, "a type");
    } else {
        ck_unknown_name(ck, file, name->text, name->span, 1u << CK_ENTITY, words, n);
    }
    return ck_type(MP_TYPE_NONE);
}

static struct mp_t_type type1_of(struct ck *ck, const struct ck_file *file,
                                 const struct mp_ast_type1 *ast)
{
    struct mp_t_type t;
    switch (ast->kind) {
    case MP_AST_TYPE_NAME: return named_type(ck, file, &ast->name);
    case MP_AST_TYPE_SET:
        t = named_type(ck, file, &ast->name);
        t.is_set = t.base != MP_TYPE_NONE;
        return t;
    case MP_AST_TYPE_MAP:
        t = type1_of(ck, file, ast->of);
        if (t.is_map) {
            ck_error(ck, "E0302", ast->span, "a map holds values or sets, not maps");
            return ck_type(MP_TYPE_NONE);
        }
        t.is_map = t.base != MP_TYPE_NONE;
        return t;
    case MP_AST_TYPE_ENUM: break;
    }
    mp_str *members = CK_NEW(ck, mp_str, ast->member_count);
    for (uint32_t i = 0; i < ast->member_count; i++) {
        members[i] = ast->members[i].text;
        for (uint32_t j = 0; j < i; j++) {
            if (!mp_str_eq(members[i], members[j])) continue;
            ck_error(ck, "E0103", ast->members[i].span, "`%.*s` stands twice in this enum",
                     MP_STR_ARG(members[i]));
        }
    }
    return (struct mp_t_type){
        .base = MP_TYPE_ENUM, .members = members, .member_count = ast->member_count};
}

struct mp_t_type ck_type_of(struct ck *ck, const struct ck_file *file,
                            const struct mp_ast_type *ast)
{
    if (ast->count == 1) return type1_of(ck, file, &ast->alts[0]);
    if (ast->count > 1) {
        ck_error(ck, "E0302", ast->span, "only a parameter of an action has several types");
    }
    return ck_type(MP_TYPE_NONE);
}

/* ---- annotations ---- */

/* The annotation of that name, with E0105 where it stands twice. */
static const struct mp_ast_annot *annot(struct ck *ck, const struct mp_ast_item *item,
                                        const char *name)
{
    const struct mp_ast_annot *found = NULL;
    for (uint32_t i = 0; i < item->annot_count; i++) {
        const struct mp_ast_annot *a = &item->annots[i];
        if (!mp_str_eq(a->name.text, mp_str_of(name))) continue;
        if (found != NULL) ck_error(ck, "E0105", a->span, "`@%s` stands twice", name);
        if (found == NULL) found = a;
    }
    return found;
}

static uint32_t annot_int(struct ck *ck, const struct mp_ast_item *item, const char *name,
                          int64_t least,
                          int64_t most)
{
    const struct mp_ast_annot *a = annot(ck, item, name);
    if (a == NULL) return 0;
    if (a->kind == MP_AST_ANNOT_INT && a->number >= least &&
        a->number <= most) return (uint32_t)a->number;
    ck_error(ck, "E0112", a->span, "`@%s` takes a number from %lld to %lld", name, (long long)least,
             (long long)most);
    return 0;
}

uint32_t ck_min_samples(struct ck *ck, const struct mp_ast_item *item)
{
    return annot_int(ck, item, "min_samples", 1, 1000000000);
}

uint32_t ck_panes(struct ck *ck, const struct mp_ast_item *item)
{
    return annot_int(ck, item, "panes", 1, 600);
}

/* Annotations with a meaning, and on what they may stand; E0112 everywhere else. Those of rules are
 * check_rule.c's. */
static const struct {
    const char *name;
    uint32_t items; /* 1u << mp_ast_item_kind */
    const char *where;
} annot_places[] = {
    {"min_samples", 1u << MP_AST_ITEM_DEF, "a `def`"},
    {"panes", 1u << MP_AST_ITEM_DEF, "a `def`"},
    {"always", 1u << MP_AST_ITEM_SIGNAL, "a signal"},
    {"approve", 1u << MP_AST_ITEM_RULE, "a rule"},
};

static void check_annot_places(struct ck *ck, const struct mp_ast_item *item)
{
    for (uint32_t i = 0; i < item->annot_count; i++) {
        const struct mp_ast_annot *a = &item->annots[i];
        for (size_t p = 0; p < sizeof annot_places / sizeof *annot_places; p++) {
            if (!mp_str_eq(a->name.text, mp_str_of(annot_places[p].name))) continue;
            if (annot_places[p].items & (1u << item->kind)) continue;
            struct mp_diag *d = ck_error(ck, "E0112", a->span, "`@%.*s` means nothing here",
                                         MP_STR_ARG(a->name.text));
            ck_help(d, "it stands before %s", annot_places[p].where);
        }
    }
}

/* Calls `mark` for each word of the annotation's text. */
static void mark_fields(struct ck *ck, const struct mp_ast_item *item, struct mp_t_signal *signal,
                        const char *name, void (*mark)(struct mp_t_field *))
{
    const struct mp_ast_annot *a = annot(ck, item, name);
    if (a == NULL) return;
    if (a->kind != MP_AST_ANNOT_TEXT && a->kind != MP_AST_ANNOT_NAME) {
        ck_error(ck, "E0112", a->span, "`@%s` takes the names of fields: `@%s \"a b\"`", name,
                 name);
        return;
    }
    mp_str rest = a->value.text;
    while (rest.len > 0) {
        size_t len = 0;
        while (len < rest.len && rest.ptr[len] != ' ') len++;
        mp_str word = {rest.ptr, len};
        rest = mp_str_sub(rest, len + (len < rest.len), rest.len);
        if (word.len == 0) continue;
        struct mp_t_field *field = (struct mp_t_field *)ck_field(signal, word);
        if (field != NULL) {
            mark(field);
            continue;
        }
        struct mp_diag *d = ck_error(ck, "E0112", a->span, "`%.*s` has no field `%.*s`",
                                     MP_STR_ARG(signal->name), MP_STR_ARG(word));
        mp_str *names = CK_NEW(ck, mp_str, signal->field_count);
        for (uint32_t i = 0; i < signal->field_count; i++) names[i] = signal->fields[i].name;
        mp_str near = ck_nearest(word, names, signal->field_count);
        if (near.len > 0) ck_help(d, "`%.*s` is close", MP_STR_ARG(near));
    }
}

static void mark_always(struct mp_t_field *f) { f->always = true; }
static void mark_chosen(struct mp_t_field *f) { f->chosen = true; }
static void mark_repeated(struct mp_t_field *f) { f->repeated = true; }
static void mark_outbound(struct mp_t_field *f) { f->outbound = true; }

/* ---- entities ---- */

static bool is_value_type(struct mp_t_type t)
{
    return t.base != MP_TYPE_EVENT && t.base != MP_TYPE_ANY && t.base != MP_TYPE_MEMBERS &&
           t.base != MP_TYPE_CIDR && t.base != MP_TYPE_COUNTER;
}

/* The type of a field; poison for what no record can hold. */
static struct mp_t_type field_type(struct ck *ck, const struct ck_file *file,
                                   const struct mp_ast_field *ast)
{
    struct mp_t_type t = ck_type_of(ck, file, &ast->type);
    if (ck_is_poison(t) || is_value_type(t)) return t;
    mp_str word = ck_type_word(ck, t);
    ck_error(ck, "E0302", ast->type.span, "a field cannot be of type `%.*s`", MP_STR_ARG(word));
    return ck_type(MP_TYPE_NONE);
}

static const struct mp_t_expr *preset_of(struct ck *ck, const struct ck_file *file,
                                         const struct mp_ast_field *ast, struct mp_t_type type)
{
    if (ast->preset == NULL || ck_is_poison(type)) return NULL;
    struct mp_t_expr *e = ck_constant(ck, file, ast->preset, type, "the default");
    return ck_bad(e) ? NULL : e;
}

static void check_twice(struct ck *ck, const struct mp_ast_field *fields, uint32_t i)
{
    for (uint32_t j = 0; j < i; j++) {
        if (!mp_str_eq(fields[j].name.text, fields[i].name.text)) continue;
        struct mp_diag *d = ck_error(ck, "E0103", fields[i].name.span, "`%.*s` stands twice",
                                     MP_STR_ARG(fields[i].name.text));
        ck_label(d, fields[j].name.span, "first here");
        return;
    }
}

static void check_key_attr(struct ck *ck, const struct mp_t_attr *key, struct mp_span span)
{
    bool usable = ck_is_scalar(key->type) && key->type.base != MP_TYPE_ENTITY;
    if (usable || ck_is_poison(key->type)) return;
    ck_error(ck, "E0201", span,
             "the first field of an entity is its key, a single value that names it");
}

static void check_entity(struct ck *ck, struct ck_sym *sym)
{
    const struct mp_ast_item *item = sym->item;
    struct mp_t_entity *entity = sym->u.entity;
    uint32_t n = item->u.entity.field_count;
    entity->cap = annot_int(ck, item, "max", 1, 1000000000);
    if (entity->cap == 0) entity->cap = CK_CAP_DEFAULT;
    if (n == 0) {
        struct mp_diag *d = ck_error(ck, "E0201", sym->span, "an entity without fields has no key");
        ck_help(d, "`entity %.*s { name: string }`", MP_STR_ARG(sym->name));
        n = 1; /* so that everybody may ask for the key */
        entity->attrs = CK_NEW(ck, struct mp_t_attr, 1);
        entity->attrs[0] = (struct mp_t_attr){
            .name = MP_STR("name"), .owner = entity, .type = ck_type(MP_TYPE_STRING)};
        entity->attr_count = 1;
        return;
    }
    struct mp_t_attr *attrs = CK_NEW(ck, struct mp_t_attr, n);
    for (uint32_t i = 0; i < n; i++) {
        const struct mp_ast_field *ast = &item->u.entity.fields[i];
        check_twice(ck, item->u.entity.fields, i);
        attrs[i].name = ast->name.text;
        attrs[i].owner = entity;
        attrs[i].index = i;
        attrs[i].type = field_type(ck, sym->file, ast);
        if (ast->at_end) ck_error(ck, "E0105", ast->span,
                                  "`at end` is about the fields of a signal");
    }
    check_key_attr(ck, &attrs[0], item->u.entity.fields[0].span);
    entity->attrs = attrs;
    entity->attr_count = n;
}

static void check_entity_presets(struct ck *ck, struct ck_sym *sym)
{
    struct mp_t_entity *entity = sym->u.entity;
    for (uint32_t i = 0; i < sym->item->u.entity.field_count; i++) {
        const struct mp_ast_field *ast = &sym->item->u.entity.fields[i];
        entity->attrs[i].preset = preset_of(ck, sym->file, ast, entity->attrs[i].type);
    }
}

/* ---- observed attributes ---- */

static mp_str next_word(mp_str *rest, char until)
{
    while (rest->len > 0 && rest->ptr[0] == ' ') *rest = mp_str_sub(*rest, 1, rest->len);
    size_t len = 0;
    while (len < rest->len && rest->ptr[len] != until && rest->ptr[len] != ' ') len++;
    mp_str word = {rest->ptr, len};
    *rest = mp_str_sub(*rest, len + (len < rest->len && rest->ptr[len] == until), rest->len);
    return word;
}

static void bad_observe(struct ck *ck, const struct mp_ast_annot *a, mp_str what)
{
    ck_error(ck, "E0112", a->span,
             "`@%.*s` speaks of `%.*s`, which is not there or of another type",
             MP_STR_ARG(a->name.text), MP_STR_ARG(what));
}

/* `service.instances` → the attribute. */
static const struct mp_t_attr *observed_attr(struct ck *ck, const struct ck_file *file,
                                             const struct mp_ast_annot *a, mp_str *rest)
{
    mp_str entity = next_word(rest, '.'), attr = next_word(rest, ' ');
    struct ck_sym *sym = ck_find(ck, file, entity, (struct mp_span){0});
    const struct mp_t_attr *found =
        sym != NULL && sym->kind == CK_ENTITY ? ck_attr(sym->u.entity, attr) : NULL;
    if (found == NULL) bad_observe(ck, a, a->value.text);
    return found;
}

static struct mp_t_observe *new_observe(struct ck *ck, enum mp_observe kind,
                                        const struct mp_t_attr *attr)
{
    struct mp_t_observe *o = CK_PUSH(ck, &ck->out->observes);
    *o = (struct mp_t_observe){.kind = kind, .attr = attr};
    return o;
}

static void observe_belongs(struct ck *ck, const struct ck_file *file, const struct mp_ast_annot *a)
{
    mp_str rest = a->value.text;
    const struct mp_t_attr *attr = observed_attr(ck, file, a, &rest);
    if (attr == NULL) return;
    if (attr->type.base != MP_TYPE_ENTITY || !ck_is_scalar(attr->type)) {
        bad_observe(ck, a, attr->name);
        return;
    }
    new_observe(ck, MP_OBSERVE_BELONGS, attr);
}

static void observe_members(struct ck *ck, const struct ck_file *file, const struct mp_ast_annot *a)
{
    mp_str rest = a->value.text;
    const struct mp_t_attr *attr = observed_attr(ck, file, a, &rest);
    if (attr == NULL) return;
    const struct mp_t_attr *via = NULL;
    if (attr->type.base == MP_TYPE_ENTITY && attr->type.is_set) {
        const struct mp_t_entity *member = attr->type.entity;
        for (uint32_t i = 0; i < member->attr_count; i++) {
            struct mp_t_type t = member->attrs[i].type;
            if (t.base == MP_TYPE_ENTITY && ck_is_scalar(t) && t.entity == attr->owner) {
                via = &member->attrs[i];
                break;
            }
        }
    }
    if (via == NULL) {
        bad_observe(ck, a, attr->name);
        return;
    }
    new_observe(ck, MP_OBSERVE_MEMBERS, attr)->via = via;
}

/* `service.callers = requests.peer in identities` */
static void observe_callers(struct ck *ck, const struct ck_file *file, const struct mp_ast_annot *a)
{
    mp_str rest = a->value.text;
    const struct mp_t_attr *attr = observed_attr(ck, file, a, &rest);
    if (attr == NULL) return;
    next_word(&rest, ' '); /* = */
    mp_str signal = next_word(&rest, '.'), field = next_word(&rest, ' ');
    next_word(&rest, ' '); /* in */
    mp_str set = next_word(&rest, ' ');
    struct ck_sym *sym = ck_find(ck, file, signal, (struct mp_span){0});
    struct mp_t_observe o = {.kind = MP_OBSERVE_CALLERS, .attr = attr};
    if (sym != NULL && sym->kind == CK_SIGNAL) {
        o.signal = sym->u.signal;
        o.field = ck_field(sym->u.signal, field);
    }
    o.via = attr->type.base == MP_TYPE_ENTITY ? ck_attr(attr->type.entity, set) : NULL;
    if (o.field == NULL || o.via == NULL || !o.via->type.is_set ||
        o.via->type.base != o.field->type.base) {
        bad_observe(ck, a, a->value.text);
        return;
    }
    *CK_PUSH(ck, &ck->out->observes) = o;
}

static void check_observes(struct ck *ck, struct ck_sym *sym)
{
    for (uint32_t i = 0; i < sym->item->annot_count; i++) {
        const struct mp_ast_annot *a = &sym->item->annots[i];
        if (mp_str_eq(a->name.text, MP_STR("belongs"))) observe_belongs(ck, sym->file, a);
        if (mp_str_eq(a->name.text, MP_STR("members"))) observe_members(ck, sym->file, a);
        if (mp_str_eq(a->name.text, MP_STR("callers"))) observe_callers(ck, sym->file, a);
    }
}

/* ---- signals ---- */

/* The clause of that kind, with E0105 where it stands twice. */
const struct mp_ast_clause *ck_clause(struct ck *ck, const struct mp_ast_clause *all,
                                      uint32_t count,
                                      enum mp_ast_clause_kind kind)
{
    const struct mp_ast_clause *found = NULL;
    for (uint32_t i = 0; i < count; i++) {
        if (all[i].kind != kind) continue;
        if (found == NULL) {
            found = &all[i];
            continue;
        }
        mp_str text = ck_source(ck, all[i].span);
        text.len = strcspn(text.ptr, " ");
        struct mp_diag *d = ck_error(ck, "E0105", all[i].span, "`%.*s` stands here twice",
                                     MP_STR_ARG(text));
        ck_label(d, found->span, "first here");
    }
    return found;
}

static void check_signal_keys(struct ck *ck, struct ck_sym *sym)
{
    const struct mp_ast_per *per = &sym->item->u.signal.per;
    struct mp_t_signal *signal = sym->u.signal;
    signal->keys = CK_NEW(ck, const struct mp_t_entity *, per->count);
    for (uint32_t i = 0; i < per->count; i++) {
        const struct mp_ast_key *key = &per->keys[i];
        mp_str name = key->path.parts[0].text;
        struct ck_sym *found = ck_find(ck, sym->file, name, key->path.parts[0].span);
        if (found == NULL) {
            ck_unknown_name(ck, sym->file, name, key->span, 1u << CK_ENTITY, NULL, 0);
        } else if (found->kind != CK_ENTITY || key->path.count > 1 || key->entry.text.ptr != NULL) {
            struct mp_diag *d = ck_error(ck, "E0201", key->span, "a key of a signal is an entity");
            ck_help(d, "declare one: `entity %.*s { name: string }`", MP_STR_ARG(name));
        } else {
            signal->keys[signal->key_count++] = found->u.entity;
        }
    }
}

static int64_t option_ns(struct ck *ck, struct ck_sym *sym, enum mp_ast_clause_kind kind,
                         int64_t preset)
{
    const struct mp_ast_clause *c =
        ck_clause(ck, sym->item->u.signal.options, sym->item->u.signal.option_count, kind);
    if (c == NULL) return preset;
    if (c->dur.name.ptr == NULL && c->dur.ns == 0 && kind == MP_AST_LATENESS) return 0;
    struct ck_scope s = ck_scope_of(sym->file, CK_IN_CONSTANT, NULL, NULL, 0);
    int64_t ns = ck_duration(ck, &s, &c->dur);
    return ns > 0 ? ns : preset;
}

static void check_signal_type(struct ck *ck, struct ck_sym *sym)
{
    const struct mp_ast_item *item = sym->item;
    struct mp_t_signal *signal = sym->u.signal;
    signal->type = ck_type(MP_TYPE_EVENT);
    if (item->u.signal.type.count > 0) signal->type = ck_type_of(ck, sym->file,
                                                                 &item->u.signal.type);
    if (signal->type.base == MP_TYPE_EVENT) {
        signal->kind = MP_SIGNAL_EVENT;
        return;
    }
    signal->kind = signal->type.base == MP_TYPE_COUNTER ? MP_SIGNAL_COUNTER : MP_SIGNAL_GAUGE;
    bool usable = ck_is_scalar(signal->type) &&
                  (is_value_type(signal->type) || signal->kind == MP_SIGNAL_COUNTER);
    if (usable || ck_is_poison(signal->type)) return;
    ck_error(ck, "E0302", item->u.signal.type.span, "a gauge has one value");
    signal->type = ck_type(MP_TYPE_NONE);
}

static void check_signal_fields(struct ck *ck, struct ck_sym *sym)
{
    const struct mp_ast_item *item = sym->item;
    struct mp_t_signal *signal = sym->u.signal;
    bool gauge = signal->kind != MP_SIGNAL_EVENT;
    uint32_t n = item->u.signal.field_count + gauge;
    signal->fields = CK_NEW(ck, struct mp_t_field, n);
    if (gauge) {
        signal->fields[0] = (struct mp_t_field){
            .name = MP_STR("value"), .signal = signal, .type = signal->type, .always = true};
        signal->field_count = 1;
    }
    for (uint32_t i = 0; i < item->u.signal.field_count; i++) {
        const struct mp_ast_field *ast = &item->u.signal.fields[i];
        check_twice(ck, item->u.signal.fields, i);
        struct mp_t_field *f = &signal->fields[signal->field_count];
        f->name = ast->name.text;
        f->signal = signal;
        f->index = signal->field_count++;
        f->type = field_type(ck, sym->file, ast);
        f->at_end = ast->at_end;
    }
    mark_fields(ck, item, signal, "always", mark_always);
    mark_fields(ck, item, signal, "chosen", mark_chosen);
    mark_fields(ck, item, signal, "repeated", mark_repeated);
    mark_fields(ck, item, signal, "outbound", mark_outbound);
}

static void check_signal(struct ck *ck, struct ck_sym *sym)
{
    struct mp_t_signal *signal = sym->u.signal;
    check_signal_keys(ck, sym);
    check_signal_type(ck, sym);
    check_signal_fields(ck, sym);
    bool event = signal->kind == MP_SIGNAL_EVENT;
    signal->every_ns = option_ns(ck, sym, MP_AST_EVERY, EVERY_DEFAULT_NS);
    signal->lateness_ns = option_ns(ck, sym, MP_AST_LATENESS, event ? LATENESS_DEFAULT_NS : 0);
}

static void check_signal_presets(struct ck *ck, struct ck_sym *sym)
{
    struct mp_t_signal *signal = sym->u.signal;
    uint32_t skip = signal->kind != MP_SIGNAL_EVENT;
    for (uint32_t i = 0; i < sym->item->u.signal.field_count; i++) {
        struct mp_t_field *f = &signal->fields[i + skip];
        f->preset = preset_of(ck, sym->file, &sym->item->u.signal.fields[i], f->type);
    }
}

/* ---- what others ask for ---- */

const struct mp_t_entity *ck_entity_of(struct ck *ck, struct ck_sym *sym)
{
    (void)ck;
    return sym->u.entity;
}

const struct mp_t_signal *ck_signal_of(struct ck *ck, struct ck_sym *sym)
{
    (void)ck;
    return sym->u.signal;
}

static struct mp_t_def *new_def(struct ck *ck, enum mp_def_kind kind, mp_str package, mp_str name,
                                struct mp_t_type type, const struct mp_t_keys *keys)
{
    struct mp_t_def *def = CK_NEW(ck, struct mp_t_def, 1);
    *def = (struct mp_t_def){
        .package = package, .name = name, .kind = kind, .type = type, .keys = keys};
    def->index = ck->out->defs.len;
    *CK_PUSH(ck, &ck->out->defs) = def;
    return def;
}

const struct mp_t_def *ck_gauge_def(struct ck *ck, const struct mp_t_signal *signal)
{
    MP_ASSERT(signal->kind != MP_SIGNAL_EVENT);
    mp_str key = ck_printf(ck, "%p", (const void *)signal);
    bool fresh;
    struct mp_map_entry *e;
    if (mp_map_put(&ck->attr_defs, key, ck->out->defs.len, &e, &fresh) != MP_OK) {
        longjmp(ck->no_memory, 1);
    }
    if (!fresh) return ck->out->defs.ptr[e->value];
    struct mp_t_def *def = new_def(ck, MP_DEF_GAUGE, signal->package, signal->name, signal->type,
                                   ck_keys_signal(ck, signal));
    def->signal = signal;
    def->span = signal->span;
    return def;
}

const struct mp_t_def *ck_attr_def(struct ck *ck, const struct mp_t_attr *attr)
{
    mp_str key = ck_printf(ck, "%p", (const void *)attr);
    bool fresh;
    struct mp_map_entry *e;
    if (mp_map_put(&ck->attr_defs, key, ck->out->defs.len, &e, &fresh) != MP_OK) {
        longjmp(ck->no_memory, 1);
    }
    if (!fresh) return ck->out->defs.ptr[e->value];
    struct mp_t_def *def = new_def(ck, MP_DEF_ATTR, attr->owner->package, attr->name, attr->type,
                                   ck_keys_entity(ck, attr->owner));
    def->attr = attr;
    def->span = attr->owner->span;
    return def;
}

/* ---- the pass ---- */

static void each_sym(struct ck *ck, enum ck_sym_kind kind, void (*check)(struct ck *,
                                                                         struct ck_sym *))
{
    for (uint32_t i = 0; i < ck->syms.len; i++) {
        if (ck->syms.ptr[i]->kind == kind && !ck->syms.ptr[i]->is_alias) check(ck, ck->syms.ptr[i]);
    }
}

static void force_param(struct ck *ck, struct ck_sym *sym) { ck_param_of(ck, sym); }
static void force_let(struct ck *ck, struct ck_sym *sym) { ck_let_of(ck, sym); }
static void force_list(struct ck *ck, struct ck_sym *sym) { ck_list_of(ck, sym); }
static void force_def(struct ck *ck, struct ck_sym *sym) { ck_def_of(ck, sym); }

static void check_calendar(struct ck *ck, struct ck_sym *sym)
{
    ck_refuse(ck, "calendar", sym->span);
}

void ck_check_declarations(struct ck *ck)
{
    for (uint32_t f = 0; f < ck->files.len; f++) {
        const struct mp_ast_file *ast = ck->files.ptr[f]->ast;
        for (uint32_t i = 0; i < ast->items.len; i++) {
            const struct mp_ast_item *item = ast->items.ptr[i];
            if (item->kind != MP_AST_ITEM_RULE) check_annot_places(ck, item);
        }
    }
    /* First what types are made of, then what constants need, then what has a value. */
    each_sym(ck, CK_ENTITY, check_entity);
    each_sym(ck, CK_SIGNAL, check_signal);
    each_sym(ck, CK_ENTITY, check_entity_presets);
    each_sym(ck, CK_SIGNAL, check_signal_presets);
    each_sym(ck, CK_ENTITY, check_observes);
    for (uint32_t i = 0; i < ck->verbs.len; i++) ck_check_action(ck, ck->verbs.ptr[i]);
    each_sym(ck, CK_LET, force_let);
    each_sym(ck, CK_PARAM, force_param);
    each_sym(ck, CK_LIST, force_list);
    each_sym(ck, CK_FEED, force_list);
    each_sym(ck, CK_CALENDAR, check_calendar);
    each_sym(ck, CK_DEF, force_def);
}
