/* SPDX-License-Identifier: Apache-2.0
 * Packages, and what a name stands for (language.md 4.3).
 */
#include "check/check_priv.h"

/* LIMIT: names that are compared for one `did you mean`. */
#define NEAREST_MAX 100000

/* ---- packages ---- */

static mp_str path_text(struct ck *ck, const struct mp_ast_path *path)
{
    struct mp_buf b;
    mp_buf_init(&b, ck->perm);
    mp_ast_print_path(&b, path);
    return ck_buf_text(ck, &b);
}

static const struct mp_ast_item *package_item(struct ck *ck, const struct mp_ast_file *file)
{
    const struct mp_ast_item *found = NULL;
    for (uint32_t i = 0; i < file->items.len; i++) {
        const struct mp_ast_item *item = file->items.ptr[i];
        if (item->kind != MP_AST_ITEM_PACKAGE) continue;
        if (found != NULL) {
            ck_error(ck, "E0105", item->span, "a file is in one package");
        } else {
            found = item;
        }
    }
    return found;
}

static struct ck_package *new_package(struct ck *ck, mp_str name, uint32_t origin)
{
    struct ck_package *p = CK_NEW(ck, struct ck_package, 1);
    p->name = name;
    p->origin = origin;
    mp_map_init(&p->names, ck->perm);
    mp_map_init(&p->verbs, ck->perm);
    *CK_PUSH(ck, &ck->packages) = p;
    return p;
}

static struct mp_map_entry *put(struct ck *ck, struct mp_map *map, mp_str key, uint32_t value,
                                bool *fresh)
{
    struct mp_map_entry *entry;
    if (mp_map_put(map, key, value, &entry, fresh) != MP_OK) longjmp(ck->no_memory, 1);
    return entry;
}

/* The package of that name; a better origin takes the name over. */
static struct ck_package *package_of(struct ck *ck, mp_str name, uint32_t origin)
{
    if (name.len == 0) return new_package(ck, name, origin);
    bool fresh;
    struct mp_map_entry *e = put(ck, &ck->package_names, name, ck->packages.len, &fresh);
    if (fresh) return new_package(ck, name, origin);
    struct ck_package *p = ck->packages.ptr[e->value];
    if (origin < p->origin) p->origin = origin;
    return p;
}

static void check_edition(struct ck *ck, const struct mp_ast_file *file)
{
    if (!file->has_edition || file->edition.value == 1) return;
    struct mp_diag *d = ck_error(ck, "E0901", file->edition.span,
                                 "there is no edition %lld of the language",
                                 (long long)file->edition.value);
    ck_help(d, "this version knows `mpol 1`");
}

/* Follows the `use` items of a file. */
static void resolve_uses(struct ck *ck, struct ck_file *file)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < file->ast->items.len; i++) {
        n += file->ast->items.ptr[i]->kind == MP_AST_ITEM_USE;
    }
    file->uses = CK_NEW(ck, struct ck_use, n);
    for (uint32_t i = 0; i < file->ast->items.len; i++) {
        const struct mp_ast_item *item = file->ast->items.ptr[i];
        if (item->kind != MP_AST_ITEM_USE) continue;
        mp_str name = path_text(ck, &item->u.use.path);
        const struct mp_map_entry *e = mp_map_get(&ck->package_names, name);
        if (e == NULL) {
            struct mp_diag *d = ck_error(ck, "E0111", item->u.use.path.span,
                                         "there is no package `%.*s`", MP_STR_ARG(name));
            mp_str *all = CK_NEW(ck, mp_str, ck->package_names.len);
            for (uint32_t p = 0; p < ck->package_names.len; p++)
                all[p] = ck->package_names.entries[p].key;
            mp_str near = ck_nearest(name, all, ck->package_names.len);
            if (near.len > 0) ck_help(d, "`%.*s` is close", MP_STR_ARG(near));
            ck_note(d,
                    "packages come from the files given, then from include folders, then from the "
                       "standard library");
            file->use_missing = true;
            continue;
        }
        struct ck_package *p = ck->packages.ptr[e->value];
        file->uses[file->use_count++] = (struct ck_use){p, item->u.use.alias.text};
    }
}

static bool is_needed(const struct ck_file *file)
{
    return file->package->needed && file->origin == file->package->origin;
}

void ck_read_packages(struct ck *ck, const struct mp_check_input *inputs, uint32_t count)
{
    MP_VEC(struct ck_file *) all = {0};
    for (uint32_t i = 0; i < count; i++) {
        const struct mp_ast_item *item = package_item(ck, inputs[i].file);
        mp_str name = item == NULL ? MP_STR("") : path_text(ck, &item->u.package.path);
        struct ck_file *file = CK_NEW(ck, struct ck_file, 1);
        file->ast = inputs[i].file;
        file->origin = inputs[i].origin;
        file->given = inputs[i].origin == MP_CHECK_GIVEN;
        file->package = package_of(ck, name, file->origin);
        if (file->given) file->package->needed = file->package->given = true;
        *CK_PUSH(ck, &all) = file;
    }
    /* A file brings in what it uses; every round adds at least one package, or is the last. */
    for (bool grown = true; grown;) {
        grown = false;
        for (uint32_t i = 0; i < all.len; i++) {
            struct ck_file *file = all.ptr[i];
            if (file->uses != NULL || !is_needed(file)) continue;
            resolve_uses(ck, file);
            grown = true;
            for (uint32_t u = 0; u < file->use_count; u++) file->uses[u].package->needed = true;
        }
    }
    for (uint32_t i = 0; i < all.len; i++) {
        if (!is_needed(all.ptr[i])) continue;
        check_edition(ck, all.ptr[i]->ast);
        *CK_PUSH(ck, &ck->files) = all.ptr[i];
    }
}

/* ---- declaring ---- */

static struct ck_sym *declare(struct ck *ck, struct ck_file *file, const struct mp_ast_item *item,
                              enum ck_sym_kind kind, const struct mp_ast_name *name)
{
    bool fresh;
    struct mp_map_entry *e = put(ck, &file->package->names, name->text, ck->syms.len, &fresh);
    if (!fresh) {
        const struct ck_sym *first = ck->syms.ptr[e->value];
        struct mp_diag *d = ck_error(ck, "E0103", name->span, "`%.*s` is declared twice",
                                     MP_STR_ARG(name->text));
        ck_label(d, name->span, "here again");
        ck_label(d, first->span, "first here");
    }
    struct ck_sym *sym = CK_NEW(ck, struct ck_sym, 1);
    *sym = (struct ck_sym){
        .kind = kind, .name = name->text, .span = name->span, .file = file, .item = item};
    *CK_PUSH(ck, &ck->syms) = sym;
    return sym;
}

static void declare_entity(struct ck *ck, struct ck_file *file, const struct mp_ast_item *item)
{
    struct mp_t_entity *entity = CK_NEW(ck, struct mp_t_entity, 1);
    entity->package = file->package->name;
    entity->name = item->name.text;
    entity->span = item->name.span;
    entity->index = ck->out->entities.len;
    *CK_PUSH(ck, &ck->out->entities) = entity;
    declare(ck, file, item, CK_ENTITY, &item->name)->u.entity = entity;
    const struct mp_ast_name *alias = &item->u.entity.alias;
    if (alias->text.ptr == NULL) return;
    entity->alias = alias->text;
    struct ck_sym *second = declare(ck, file, item, CK_ENTITY, alias);
    second->u.entity = entity;
    second->is_alias = true;
}

static void declare_signal(struct ck *ck, struct ck_file *file, const struct mp_ast_item *item)
{
    struct mp_t_signal *signal = CK_NEW(ck, struct mp_t_signal, 1);
    signal->package = file->package->name;
    signal->name = item->name.text;
    signal->span = item->name.span;
    signal->index = ck->out->signals.len;
    *CK_PUSH(ck, &ck->out->signals) = signal;
    declare(ck, file, item, CK_SIGNAL, &item->name)->u.signal = signal;
    const struct mp_ast_name *alias = &item->u.signal.alias;
    if (alias->text.ptr == NULL) return;
    signal->alias = alias->text;
    struct ck_sym *second = declare(ck, file, item, CK_SIGNAL, alias);
    second->u.signal = signal;
    second->is_alias = true;
}

static void declare_action(struct ck *ck, struct ck_file *file, const struct mp_ast_item *item)
{
    struct ck_verb *v = CK_NEW(ck, struct ck_verb, 1);
    v->file = file;
    v->item = item;
    bool fresh;
    struct mp_map_entry *e = put(ck, &file->package->verbs, item->name.text, ck->verbs.len, &fresh);
    *CK_PUSH(ck, &ck->verbs) = v;
    if (fresh) return;
    struct ck_verb *last = ck->verbs.ptr[e->value];
    while (last->next != NULL) last = last->next;
    last->next = v;
}

static void declare_item(struct ck *ck, struct ck_file *file, const struct mp_ast_item *item)
{
    switch (item->kind) {
    case MP_AST_ITEM_ENTITY: declare_entity(ck, file, item); break;
    case MP_AST_ITEM_SIGNAL: declare_signal(ck, file, item); break;
    case MP_AST_ITEM_ACTION: declare_action(ck, file, item); break;
    case MP_AST_ITEM_LET: declare(ck, file, item, CK_LET, &item->name); break;
    case MP_AST_ITEM_PARAM: declare(ck, file, item, CK_PARAM, &item->name); break;
    case MP_AST_ITEM_DEF: declare(ck, file, item, CK_DEF, &item->name); break;
    case MP_AST_ITEM_LIST: declare(ck, file, item, CK_LIST, &item->name); break;
    case MP_AST_ITEM_FEED: declare(ck, file, item, CK_FEED, &item->name); break;
    case MP_AST_ITEM_CALENDAR: declare(ck, file, item, CK_CALENDAR, &item->name); break;
    case MP_AST_ITEM_RULE:
        if (item->name.text.ptr != NULL) declare(ck, file, item, CK_RULE, &item->name);
        break;
    default: break;
    }
}

void ck_declare_names(struct ck *ck)
{
    for (uint32_t f = 0; f < ck->files.len; f++) {
        struct ck_file *file = ck->files.ptr[f];
        for (uint32_t i = 0; i < file->ast->items.len; i++) {
            declare_item(ck, file, file->ast->items.ptr[i]);
        }
    }
}

/* ---- looking up ---- */

struct ck_sym *ck_find_in(struct ck *ck, const struct ck_package *package, mp_str name)
{
    const struct mp_map_entry *e = mp_map_get(&package->names, name);
    if (e == NULL) return NULL;
    struct ck_sym *sym = ck->syms.ptr[e->value];
    sym->used = true;
    return sym;
}

const struct ck_package *ck_find_alias(const struct ck_file *file, mp_str name)
{
    for (uint32_t i = 0; i < file->use_count; i++) {
        const struct ck_use *use = &file->uses[i];
        if (use->alias.len > 0 ? mp_str_eq(use->alias, name) : mp_str_eq(use->package->name,
                                                                         name)) {
            return use->package;
        }
    }
    return NULL;
}

struct ck_sym *ck_find(struct ck *ck, const struct ck_file *file, mp_str name, struct mp_span span)
{
    struct ck_sym *found = ck_find_in(ck, file->package, name);
    if (found != NULL) return found;
    for (uint32_t i = 0; i < file->use_count; i++) {
        struct ck_sym *here = ck_find_in(ck, file->uses[i].package, name);
        if (here == NULL || here == found) continue;
        if (found == NULL) {
            found = here;
        } else if (span.file != 0) {
            struct mp_diag *d = ck_error(ck, "E0103", span,
                                         "`%.*s` is declared by two packages that this "
                                         "file uses", MP_STR_ARG(name));
            ck_label(d, here->span, "in %.*s", MP_STR_ARG(here->file->package->name));
            ck_label(d, found->span, "in %.*s", MP_STR_ARG(found->file->package->name));
            ck_help(d, "`use %.*s as a`, then `a.%.*s`", MP_STR_ARG(found->file->package->name),
                    MP_STR_ARG(name));
            break;
        }
    }
    return found;
}

struct ck_verb *ck_find_verb(struct ck *ck, const struct ck_file *file, mp_str name)
{
    const struct mp_map_entry *e = mp_map_get(&file->package->verbs, name);
    for (uint32_t i = 0; e == NULL && i < file->use_count; i++) {
        e = mp_map_get(&file->uses[i].package->verbs, name);
    }
    return e == NULL ? NULL : ck->verbs.ptr[e->value];
}

/* ---- not found ---- */

static bool is_broken_name(const struct ck *ck, const struct ck_file *file, mp_str name)
{
    if (file->use_missing) return true; /* it may well be in the package that was not found */
    for (uint32_t f = 0; f < ck->files.len; f++) {
        const struct mp_ast_file *ast = ck->files.ptr[f]->ast;
        for (uint32_t i = 0; i < ast->broken.len; i++) {
            if (mp_str_eq(ast->broken.ptr[i].text, name)) return true;
        }
    }
    return false;
}

mp_str ck_nearest(mp_str name, const mp_str *names, uint32_t count)
{
    mp_str best = MP_STR("");
    unsigned limit = name.len < 3 ? 1 : (unsigned)(name.len + 2) / 3, best_distance = limit + 1;
    for (uint32_t i = 0; i < count && i < NEAREST_MAX; i++) {
        unsigned d = mp_str_distance(name, names[i], limit);
        bool better = d < best_distance ||
                      (d == best_distance && d <= limit && mp_str_cmp(names[i], best) < 0);
        if (better && names[i].len > 0) {
            best = names[i];
            best_distance = d;
        }
    }
    return best_distance <= limit ? best : MP_STR("");
}

static const char *const kind_words[] = {
    [CK_ENTITY] = "an entity", [CK_SIGNAL] = "a signal", [CK_PARAM] = "a param", [CK_LET] = "a let",
    [CK_DEF] = "a def",        [CK_LIST] = "a list",     [CK_FEED] = "a feed",
        [CK_CALENDAR] = "a calendar",
    [CK_RULE] = "a rule",
};

mp_str ck_describe(struct ck *ck, struct ck_sym *sym)
{
    mp_str from = sym->file->package->name;
    if (from.len == 0) from = sym->file->ast->source->name;
    mp_str what = mp_str_of(kind_words[sym->kind]);
    switch (sym->kind) {
    case CK_DEF:
        if (sym->state != CK_DONE || sym->broken || sym->u.def == NULL) break;
        what = ck_type_word(ck, sym->u.def->type);
        if (sym->u.def->keys == NULL) break;
        what = ck_printf(ck, "%.*s per %.*s", MP_STR_ARG(what),
                         MP_STR_ARG(ck_keys_text(ck, sym->u.def->keys)));
        break;
    case CK_PARAM:
        if (sym->state == CK_DONE && sym->u.param != NULL) what = ck_type_word(ck,
                                                                               sym->u.param->type);
        break;
    default: break;
    }
    return ck_printf(ck, "%.*s, %.*s", MP_STR_ARG(from), MP_STR_ARG(what));
}

struct candidates {
    MP_VEC(mp_str) names;
};

static void gather_names(struct ck *ck, const struct ck_package *p, uint32_t kinds,
                         struct candidates *out)
{
    for (uint32_t i = 0; i < p->names.len; i++) {
        const struct ck_sym *sym = ck->syms.ptr[p->names.entries[i].value];
        if (kinds & (1u << sym->kind)) *CK_PUSH(ck, &out->names) = sym->name;
    }
}

void ck_unknown_name(struct ck *ck, const struct ck_file *file, mp_str name, struct mp_span span,
                     uint32_t kinds, const mp_str *more, uint32_t more_count)
{
    if (is_broken_name(ck, file, name)) return;
    struct candidates all = {0};
    for (uint32_t i = 0; i < more_count; i++) *CK_PUSH(ck, &all.names) = more[i];
    gather_names(ck, file->package, kinds, &all);
    for (uint32_t i = 0; i < file->use_count; i++) gather_names(ck, file->uses[i].package, kinds,
                                                                &all);
    struct mp_diag *d = ck_error(ck, "E0101", span, "nothing is called `%.*s`", MP_STR_ARG(name));
    mp_str near = ck_nearest(name, all.names.ptr, all.names.len);
    if (near.len > 0) {
        struct ck_sym *sym = ck_find(ck, file, near, (struct mp_span){0});
        mp_str what =
            sym == NULL ? MP_STR("") : ck_printf(ck, " (%.*s)", MP_STR_ARG(ck_describe(ck, sym)));
        mp_diag_fix(d, span, near, "`%.*s`%.*s is close", MP_STR_ARG(near), MP_STR_ARG(what));
    } else if (file->use_count == 0) {
        ck_help(d, "`use std.mesh` brings the vocabulary of a service mesh");
    }
}

struct ck_sym *ck_need(struct ck *ck, const struct ck_file *file, mp_str name, struct mp_span span,
                       uint32_t kinds, const char *what)
{
    struct ck_sym *sym = ck_find(ck, file, name, span);
    if (sym == NULL) {
        ck_unknown_name(ck, file, name, span, kinds, NULL, 0);
        return NULL;
    }
    if (!(kinds & (1u << sym->kind))) {
        struct mp_diag *d = ck_error(ck, "E0302", span, "`%.*s` is %s, and %s stands here",
                                     MP_STR_ARG(name), kind_words[sym->kind], what);
        ck_label(d, sym->span, "declared here");
        return NULL;
    }
    return sym;
}

static void refuse_second_verb(struct ck *ck, const struct ck_file *file, const struct ck_verb *v,
                               struct mp_span span)
{
    mp_str name = v->item->name.text;
    for (uint32_t i = 0; i < file->use_count; i++) {
        const struct ck_package *p = file->uses[i].package;
        const struct mp_map_entry *e = p == v->file->package ? NULL : mp_map_get(&p->verbs, name);
        if (e == NULL) continue;
        struct mp_diag *d = ck_error(ck, "E0103", span,
                                     "`%.*s` is declared by two packages that this "
                                     "file uses", MP_STR_ARG(name));
        ck_label(d, v->item->name.span, "in %.*s", MP_STR_ARG(v->file->package->name));
        ck_label(d, ck->verbs.ptr[e->value]->item->name.span, "in %.*s", MP_STR_ARG(p->name));
        return;
    }
}

struct ck_verb *ck_need_verb(struct ck *ck, const struct ck_file *file, mp_str name,
                             struct mp_span span)
{
    struct ck_verb *v = ck_find_verb(ck, file, name);
    if (v != NULL && v->file->package != file->package) refuse_second_verb(ck, file, v, span);
    if (v != NULL || is_broken_name(ck, file, name)) return v;
    struct candidates all = {0};
    for (uint32_t i = 0; i <= file->use_count; i++) {
        const struct ck_package *p = i == 0 ? file->package : file->uses[i - 1].package;
        for (uint32_t n = 0; n < p->verbs.len; n++) *CK_PUSH(ck,
                                                             &all.names) = p->verbs.entries[n].key;
    }
    struct mp_diag *d = ck_error(ck, "E0101", span, "there is no action `%.*s`", MP_STR_ARG(name));
    mp_str near = ck_nearest(name, all.names.ptr, all.names.len);
    if (near.len > 0) mp_diag_fix(d, span, near, "`%.*s` is close", MP_STR_ARG(near));
    else if (file->use_count == 0) ck_help(d,
                                           "`use std.mesh` brings the actions of a service mesh");
    return NULL;
}

void ck_unknown_attr(struct ck *ck, const struct mp_t_entity *entity, mp_str name,
                     struct mp_span span)
{
    mp_str *names = CK_NEW(ck, mp_str, entity->attr_count);
    for (uint32_t i = 0; i < entity->attr_count; i++) names[i] = entity->attrs[i].name;
    struct mp_diag *d = ck_error(ck, "E0101", span, "`%.*s` has no attribute `%.*s`",
                                 MP_STR_ARG(ck_entity_word(entity)), MP_STR_ARG(name));
    mp_str near = ck_nearest(name, names, entity->attr_count);
    if (near.len > 0) mp_diag_fix(d, span, near, "`%.*s` is close", MP_STR_ARG(near));
}

void ck_unknown_field(struct ck *ck, const struct mp_t_signal *signal, mp_str name,
                      struct mp_span span)
{
    mp_str *names = CK_NEW(ck, mp_str, signal->field_count + signal->key_count);
    uint32_t n = 0;
    for (uint32_t i = 0; i < signal->field_count; i++) names[n++] = signal->fields[i].name;
    for (uint32_t i = 0; i < signal->key_count; i++) names[n++] = signal->keys[i]->name;
    struct mp_diag *d = ck_error(ck, "E0101", span, "a record of `%.*s` has no field `%.*s`",
                                 MP_STR_ARG(signal->name), MP_STR_ARG(name));
    mp_str near = ck_nearest(name, names, n);
    if (near.len > 0) mp_diag_fix(d, span, near, "`%.*s` is close", MP_STR_ARG(near));
}
