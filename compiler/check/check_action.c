/* SPDX-License-Identifier: Apache-2.0
 * Declarations of actions (language.md 4.7): E0410, E0409, E0105.
 */
#include "check/check_priv.h"

static struct mp_t_type one_type(struct ck *ck, const struct ck_file *file,
                                 const struct mp_ast_type *all, uint32_t i)
{
    const struct mp_ast_type one = {&all->alts[i], 1, all->alts[i].span};
    return ck_type_of(ck, file, &one);
}

static void read_param(struct ck *ck, const struct ck_file *file, const struct mp_ast_field *ast,
                       struct mp_t_action_param *p)
{
    p->name = ast->name.text;
    p->types = CK_NEW(ck, struct mp_t_type, ast->type.count + 1);
    for (uint32_t i = 0; i < ast->type.count; i++) {
        struct mp_t_type t = one_type(ck, file, &ast->type, i);
        if (!ck_is_poison(t)) p->types[p->type_count++] = t;
    }
    if (ast->preset == NULL || p->type_count == 0) return;
    mp_str what = ck_printf(ck, "`%.*s`", MP_STR_ARG(p->name));
    p->preset = ck_constant(ck, file, ast->preset, p->types[0], what.ptr);
}

static void read_params(struct ck *ck, struct ck_verb *v, struct mp_t_action *a)
{
    const struct mp_ast_item *item = v->item;
    a->params = CK_NEW(ck, struct mp_t_action_param, item->u.action.param_count + 1);
    for (uint32_t i = 0; i < item->u.action.param_count; i++) {
        const struct mp_ast_field *f = &item->u.action.params[i];
        for (uint32_t j = 0; j < a->param_count; j++) {
            if (!mp_str_eq(a->params[j].name, f->name.text)) continue;
            ck_error(ck, "E0103", f->name.span, "two parameters are called `%.*s`",
                     MP_STR_ARG(f->name.text));
        }
        read_param(ck, v->file, f, &a->params[a->param_count++]);
    }
}

/* ---- properties ---- */

static enum mp_class class_of(mp_str word)
{
    for (uint32_t i = 0; i < MP_CLASS_OTHER; i++) {
        if (mp_str_eq(mp_class_word(i), word)) return (enum mp_class)i;
    }
    return MP_CLASS_OTHER;
}

static void read_blinds(struct ck *ck, const struct ck_file *file, const struct mp_ast_clause *c,
                        struct mp_t_action *a)
{
    a->blinds = CK_NEW(ck, const struct mp_t_signal *, c->name_count + 1);
    for (uint32_t i = 0; i < c->name_count; i++) {
        struct ck_sym *sym = ck_need(ck, file, c->names[i].text, c->names[i].span, 1u << CK_SIGNAL,
                                     "signal");
        const struct mp_t_signal *signal = sym == NULL ? NULL : ck_signal_of(ck, sym);
        if (signal != NULL) a->blinds[a->blind_count++] = signal;
    }
}

static const char *prop_word(enum mp_ast_clause_kind kind)
{
    switch (kind) {
    case MP_AST_CLASS: return "class";
    case MP_AST_BLINDS: return "blinds";
    default: return "reversible or irreversible";
    }
}

/* reversible and irreversible are one question. */
static enum mp_ast_clause_kind prop_slot(enum mp_ast_clause_kind kind)
{
    return kind == MP_AST_IRREVERSIBLE ? MP_AST_REVERSIBLE : kind;
}

static void refuse_twice(struct ck *ck, const struct mp_ast_item *item, uint32_t i)
{
    const struct mp_ast_clause *props = item->u.action.props;
    for (uint32_t j = 0; j < i; j++) {
        if (prop_slot(props[j].kind) != prop_slot(props[i].kind)) continue;
        struct mp_diag *d = ck_error(ck, "E0105", props[i].span, "`%s` stands here twice",
                                     prop_word(props[i].kind));
        mp_diag_label(d, props[j].span, "the first");
        return;
    }
}

static void read_props(struct ck *ck, struct ck_verb *v, struct mp_t_action *a)
{
    bool has_class = false;
    for (uint32_t i = 0; i < v->item->u.action.prop_count; i++) {
        const struct mp_ast_clause *c = &v->item->u.action.props[i];
        refuse_twice(ck, v->item, i);
        switch (c->kind) {
        case MP_AST_CLASS:
            has_class = true;
            a->class_name = c->name.text;
            a->class = class_of(c->name.text);
            a->strength = c->number.value > UINT32_MAX ? UINT32_MAX : (uint32_t)c->number.value;
            break;
        case MP_AST_BLINDS: read_blinds(ck, v->file, c, a); break;
        case MP_AST_REVERSIBLE: a->reversible = true; break;
        default: break;
        }
    }
    if (has_class) return;
    struct mp_diag *d = ck_error(ck, "E0410", v->item->name.span, "the action `%.*s` has no class",
                                 MP_STR_ARG(a->name));
    mp_diag_help(d,
                 "`class traffic strength 20` says which of two actions on one target is in force");
}

static const struct mp_t_action_param *find_param(const struct mp_t_action *a, mp_str name)
{
    for (uint32_t i = 0; i < a->param_count; i++) {
        if (mp_str_eq(a->params[i].name, name)) return &a->params[i];
    }
    return NULL;
}

static void read_annots(struct ck *ck, struct ck_verb *v, struct mp_t_action *a)
{
    for (uint32_t i = 0; i < v->item->annot_count; i++) {
        const struct mp_ast_annot *n = &v->item->annots[i];
        if (!mp_str_eq(n->name.text, MP_STR("partial"))) continue;
        a->partial = true;
        if (n->kind == MP_AST_ANNOT_BARE) continue;
        a->share = n->value.text;
        if (find_param(a, a->share) != NULL) continue;
        ck_error(ck, "E0112", n->span, "`%.*s` has no parameter `%.*s`", MP_STR_ARG(a->name),
                 MP_STR_ARG(a->share));
    }
}

/* ---- what a declaration must have ---- */

static bool is_target_type(struct mp_t_type t)
{
    if (!ck_is_scalar(t)) return false;
    return t.base == MP_TYPE_ENTITY || t.base == MP_TYPE_IDENTITY || t.base == MP_TYPE_ASN ||
           t.base == MP_TYPE_EVENT;
}

static int find_target(const struct mp_t_action *a)
{
    for (uint32_t i = 0; i < a->param_count; i++) {
        const struct mp_t_action_param *p = &a->params[i];
        if (p->type_count > 0 && is_target_type(p->types[0])) return (int)i;
    }
    return -1;
}

static void need_an_end(struct ck *ck, struct ck_verb *v, const struct mp_t_action *a)
{
    if (!a->reversible || find_param(a, MP_STR("for")) != NULL) return;
    struct mp_diag *d = ck_error(ck, "E0409", v->item->name.span,
                                 "`%.*s` is reversible, but nothing says how long it lasts",
                                 MP_STR_ARG(a->name));
    mp_diag_help(d, "add a parameter `for: duration = 10m`");
}

static bool types_meet(const struct mp_t_action *a, const struct mp_t_action *b,
                       struct mp_t_type *both)
{
    if (a->target < 0 || b->target < 0) {
        *both = ck_type(MP_TYPE_NONE);
        return a->target < 0 && b->target < 0;
    }
    const struct mp_t_action_param *p = &a->params[a->target], *q = &b->params[b->target];
    for (uint32_t i = 0; i < p->type_count; i++) {
        for (uint32_t j = 0; j < q->type_count; j++) {
            if (!ck_type_eq(p->types[i], q->types[j])) continue;
            *both = p->types[i];
            return true;
        }
    }
    return false;
}

/* Against those of the same name that were read before it. */
static void refuse_overlap(struct ck *ck, struct ck_verb *v, const struct mp_t_action *a)
{
    for (uint32_t i = 0; i < ck->out->actions.len; i++) {
        const struct mp_t_action *b = ck->out->actions.ptr[i];
        struct mp_t_type both;
        if (!mp_str_eq(a->name, b->name) || !mp_str_eq(a->package, b->package)) continue;
        if (!types_meet(a, b, &both)) continue;
        mp_str noun = ck_is_poison(both) ? MP_STR("no target") : ck_type_noun(ck, both);
        struct mp_diag *d = ck_error(ck, "E0410", v->item->name.span,
                                     "`%.*s` is declared twice for %.*s", MP_STR_ARG(a->name),
                                     MP_STR_ARG(noun));
        mp_diag_label(d, b->span, "the first");
        return;
    }
}

void ck_check_action(struct ck *ck, struct ck_verb *v)
{
    struct mp_t_action *a = v->action != NULL ? v->action : CK_NEW(ck, struct mp_t_action, 1);
    a->package = v->file->package->name;
    a->name = v->item->name.text;
    a->span = v->item->name.span;
    a->class = MP_CLASS_OTHER;
    read_params(ck, v, a);
    read_props(ck, v, a);
    read_annots(ck, v, a);
    a->target = find_target(a);
    a->message = a->class == MP_CLASS_MESSAGE;
    need_an_end(ck, v, a);
    refuse_overlap(ck, v, a);
    a->index = ck->out->actions.len;
    *CK_PUSH(ck, &ck->out->actions) = a;
    v->action = a;
}

/* Verbs by which a request is turned away for good; doors are asked about for these (E0406). */
bool ck_denies(const struct mp_t_action *action)
{
    if (action->class == MP_CLASS_ACCESS && action->strength >= 40) return true;
    return mp_str_eq(action->name, MP_STR("deny"));
}
