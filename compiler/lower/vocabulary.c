/* SPDX-License-Identifier: Apache-2.0 */
#include "lower/lower_priv.h"

/* ---- types and constants ---- */

/* The type of an entity's key: what identifies a member. */
static struct mp_t_type key_type(struct mp_t_type type)
{
    while (type.base == MP_TYPE_ENTITY) {
        bool is_set = type.is_set;
        type = type.entity->attrs[0].type;
        type.is_set = is_set;
    }
    return type;
}

enum mp_type lw_type(struct mp_t_type type)
{
    return key_type(type).base;
}

enum mp_rep lw_rep(struct mp_t_type type)
{
    return type.is_set ? MP_REP_S : mp_type_rep(lw_type(type));
}

uint32_t lw_const_of(struct lw *lw, struct mp_t_type type, mp_str text, struct mp_span span)
{
    enum mp_type key = lw_type(type);
    enum mp_rep rep = mp_type_rep(key);
    if (rep == MP_REP_T) return mp_ir_const_text(lw->ir, key, text);
    struct mp_value value;
    if (rep == MP_REP_A) {
        uint32_t bits;
        if (!mp_value_address(text, &value, &bits)) lw_refuse(lw, span,
            "a name that is no address");
        return mp_ir_const(lw->ir, key, value, 0);
    }
    if (rep != MP_REP_I) lw_refuse(lw, span, "a key of this type");
    int64_t number = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9' || number > INT32_MAX) {
            lw_refuse(lw, span, "a name that is no number");
        }
        number = number * 10 + (text.ptr[i] - '0');
    }
    return mp_ir_const(lw->ir, key, mp_value_int(number), 0);
}

uint32_t lw_const(struct lw *lw, const struct mp_t_expr *e)
{
    if (e->kind != MP_TX_CONST) lw_refuse(lw, e->span,
                                          "a value that is computed where a constant stands");
    enum mp_type type = lw_type(e->type);
    if (mp_type_rep(type) == MP_REP_T) return mp_ir_const_text(lw->ir, type, e->text);
    if (e->type.base == MP_TYPE_ENTITY) return lw_const_of(lw, e->type, e->text, e->span);
    return mp_ir_const(lw->ir, type, e->value, type == MP_TYPE_CIDR ? e->bits : 0);
}

static uint32_t preset_of(struct lw *lw, const struct mp_t_expr *e)
{
    return e == NULL ? MP_NONE : lw_const(lw, e);
}

/* ---- entities and attributes ---- */

uint32_t lw_entity_row(const struct mp_t_entity *entity)
{
    return entity == NULL ? MP_NONE : entity->index;
}

static void entities(struct lw *lw)
{
    uint32_t count = lw->t->entities.len;
    lw->entities = LW_NEW(lw, struct lw_entity, count);
    for (uint32_t i = 0; i < count; i++) {
        const struct mp_t_entity *t = lw->t->entities.ptr[i];
        MP_ASSERT(t->index == i && t->attr_count > 0);
        struct lw_entity *entity = &lw->entities[i];
        entity->t = t;
        entity->attrs = LW_NEW(lw, uint32_t, t->attr_count);
        for (uint32_t a = 0; a < t->attr_count; a++) entity->attrs[a] = MP_NONE;
        struct mp_entity_row *row = LW_ADD(lw, entity);
        row->cap = t->cap;
        row->key_type = lw_type(t->attrs[0].type);
        row->name = lw_text(lw, t->name);
        row->alias = lw_text(lw, t->alias);
        row->key_name = lw_text(lw, t->attrs[0].name);
    }
}

static bool observe_of(const struct lw *lw, const struct mp_t_attr *attr,
                       const struct mp_t_observe **out)
{
    for (uint32_t i = 0; i < lw->t->observes.len; i++) {
        if (lw->t->observes.ptr[i].attr != attr) continue;
        *out = &lw->t->observes.ptr[i];
        return true;
    }
    return false;
}

/* What an observed attribute is computed from has rows too. */
static void observe(struct lw *lw, const struct mp_t_observe *o, uint32_t attr)
{
    struct lw_signal *s = o->signal == NULL ? NULL : lw_signal_of(lw, o->signal);
    uint32_t via = o->via == NULL ? MP_NONE : lw_attr(lw, o->via);
    uint32_t field = MP_NONE;
    if (s != NULL && o->field != NULL) {
        uint32_t slot = lw_field_slot(lw, s, o->field, (mp_str){0}); /* may move the array */
        field = s->fields.ptr[slot];
    }
    struct mp_observe_row *row = LW_ADD(lw, observe);
    row->kind = o->kind;
    row->attr = attr;
    row->signal = s == NULL ? MP_NONE : s->row;
    row->field = field;
    row->via = via;
}

static void add_attr(struct lw *lw, const struct mp_t_attr *attr, mp_str name)
{
    uint32_t preset = preset_of(lw, attr->preset);
    struct mp_attr_row *row = LW_ADD(lw, attr);
    row->entity = attr->owner->index;
    row->type = lw_type(attr->type);
    row->is_set = attr->type.is_set;
    row->is_map = attr->type.is_map;
    row->target = attr->type.base == MP_TYPE_ENTITY ? attr->type.entity->index : MP_NONE;
    row->preset = preset;
    row->name = lw_text(lw, name);
}

uint32_t lw_attr(struct lw *lw, const struct mp_t_attr *attr)
{
    uint32_t *known = &lw->entities[attr->owner->index].attrs[attr->index];
    if (*known != MP_NONE) return *known;
    add_attr(lw, attr, attr->name);
    uint32_t number = *known = lw->ir->attr.len - 1;
    const struct mp_t_observe *o;
    if (observe_of(lw, attr, &o)) observe(lw, o, number);
    return number;
}

void lw_attrs(struct lw *lw)
{
    for (uint32_t i = 0; i < lw->t->entities.len; i++) {
        struct lw_entity *entity = &lw->entities[i];
        for (uint32_t a = 1; a < entity->t->attr_count; a++) {
            const struct mp_t_attr *attr = &entity->t->attrs[a];
            if (entity->attrs[a] != MP_NONE || attr->type.is_map) continue;
            add_attr(lw, attr, attr->name);
            entity->attrs[a] = lw->ir->attr.len - 1;
        }
    }
}

uint32_t lw_attr_entry(struct lw *lw, const struct mp_t_attr *attr, mp_str entry)
{
    if (entry.ptr == NULL) return lw_attr(lw, attr);
    mp_str name = lw_printf(lw, "%.*s.%.*s", MP_STR_ARG(attr->name), MP_STR_ARG(entry));
    bool fresh;
    mp_str key = lw_printf(lw, "T%u %.*s", attr->owner->index, MP_STR_ARG(name));
    uint32_t number = lw_intern(lw, key, lw->ir->attr.len, &fresh);
    if (fresh) add_attr(lw, attr, name);
    return number;
}

/* ---- signals and fields ---- */

struct lw_signal *lw_signal_of(struct lw *lw, const struct mp_t_signal *signal)
{
    return &lw->signals[signal->index];
}

static bool field_slot(const struct lw *lw, const struct lw_signal *s, mp_str path, uint32_t *slot)
{
    for (uint32_t i = 0; i < s->fields.len; i++) {
        if (!mp_str_eq(mp_ir_str(lw->ir, lw->ir->field.ptr[s->fields.ptr[i]].path), path)) continue;
        *slot = i;
        return true;
    }
    return false;
}

static uint32_t add_field(struct lw *lw, struct lw_signal *s, mp_str path, struct mp_t_type type,
                          uint32_t flags, uint32_t attr, uint32_t preset)
{
    struct mp_field_row *row = LW_ADD(lw, field);
    row->signal = s->row;
    row->type = lw_type(type);
    row->flags = flags | (type.is_set ? MP_FIELD_SET : 0);
    row->entity = type.base == MP_TYPE_ENTITY ? type.entity->index : MP_NONE;
    row->attr = attr;
    row->preset = preset;
    row->path = lw_text(lw, path);
    LW_PUSH(lw, &s->fields, lw->ir->field.len - 1);
    return s->fields.len - 1;
}

uint32_t lw_field_slot(struct lw *lw, struct lw_signal *s, const struct mp_t_field *field,
                       mp_str entry)
{
    MP_ASSERT(field->signal == s->t);
    mp_str path = field->name;
    struct mp_t_type type = field->type;
    uint32_t flags = (field->always ? MP_FIELD_ALWAYS : 0) | (field->at_end ? MP_FIELD_AT_END : 0);
    if (entry.ptr != NULL) {
        path = lw_printf(lw, "%.*s.%.*s", MP_STR_ARG(field->name), MP_STR_ARG(entry));
        type.is_map = false;
        flags |= MP_FIELD_ENTRY;
    }
    uint32_t slot;
    if (field_slot(lw, s, path, &slot)) return slot;
    return add_field(lw, s, path, type, flags, MP_NONE, preset_of(lw, field->preset));
}

static mp_str entity_path(struct lw *lw, const struct mp_t_entity *entity, mp_str attr)
{
    return lw_printf(lw, "%.*s.%.*s", MP_STR_ARG(entity->name), MP_STR_ARG(attr));
}

uint32_t lw_key_slot(struct lw *lw, struct lw_signal *s, uint32_t key)
{
    const struct mp_t_entity *entity = s->t->keys[key];
    mp_str path = entity_path(lw, entity, entity->attrs[0].name);
    uint32_t slot;
    if (field_slot(lw, s, path, &slot)) return slot;
    struct mp_t_type type = {.base = MP_TYPE_ENTITY, .entity = entity};
    return add_field(lw, s, path, type, MP_FIELD_KEY, MP_NONE, MP_NONE);
}

uint32_t lw_attr_slot(struct lw *lw, struct lw_signal *s, uint32_t key,
                      const struct mp_t_attr *attr)
{
    mp_str path = entity_path(lw, s->t->keys[key], attr->name);
    uint32_t slot;
    if (field_slot(lw, s, path, &slot)) return slot;
    uint32_t row = lw_attr(lw, attr);
    uint32_t made = add_field(lw, s, path, attr->type, 0, row, MP_NONE);
    lw->ir->field.ptr[s->fields.ptr[made]].entity = s->t->keys[key]->index;
    return made;
}

static const struct mp_t_field *layer_field(const struct mp_t_signal *t)
{
    for (uint32_t i = 0; i < t->field_count; i++) {
        if (mp_str_eq(t->fields[i].name, MP_STR("layer")) &&
            t->fields[i].type.base == MP_TYPE_HOOK) {
            return &t->fields[i];
        }
    }
    return NULL;
}

static void one_signal(struct lw *lw, struct lw_signal *s)
{
    struct mp_signal_row *row = LW_ADD(lw, signal);
    s->row = lw->ir->signal.len - 1;
    MP_ASSERT(s->row == s->t->index);
    row->kind = s->t->kind;
    row->type = lw_type(s->t->type);
    row->every_ns = s->t->every_ns;
    row->lateness_ns = s->t->lateness_ns;
    row->name = lw_text(lw, s->t->name);
    row->alias = lw_text(lw, s->t->alias);
    uint32_t from = lw->ir->signal_key.len;
    for (uint32_t k = 0; k < s->t->key_count; k++) {
        uint32_t slot = lw_key_slot(lw, s, k);
        struct mp_signal_key_row *key = LW_ADD(lw, signal_key);
        key->entity = s->t->keys[k]->index;
        key->field = s->fields.ptr[slot];
    }
    MP_IR_SPAN(lw->ir, signal, s->row, keys, signal_key, from);
    const struct mp_t_field *layer = layer_field(s->t);
    if (layer == NULL) return;
    uint32_t slot = lw_field_slot(lw, s, layer, (mp_str){0});
    lw->ir->signal.ptr[s->row].layer = s->fields.ptr[slot];
}

static void signals(struct lw *lw)
{
    uint32_t count = lw->t->signals.len;
    lw->signals = LW_NEW(lw, struct lw_signal, count);
    for (uint32_t i = 0; i < count; i++) lw->signals[i].t = lw->t->signals.ptr[i];
    for (uint32_t i = 0; i < count; i++) one_signal(lw, &lw->signals[i]);
}

/* ---- data ---- */

static void params(struct lw *lw)
{
    for (uint32_t i = 0; i < lw->t->params.len; i++) {
        const struct mp_t_param *t = lw->t->params.ptr[i];
        MP_ASSERT(t->index == i);
        uint32_t value = lw_const(lw, t->value);
        uint32_t low = preset_of(lw, t->low), high = preset_of(lw, t->high);
        struct mp_param_row *row = LW_ADD(lw, param);
        row->type = lw_type(t->type);
        row->value = value;
        row->low = low;
        row->high = high;
        row->package = lw_text(lw, t->package);
        row->name = lw_text(lw, t->name);
    }
}

static void lists(struct lw *lw)
{
    for (uint32_t i = 0; i < lw->t->lists.len; i++) {
        const struct mp_t_list *t = lw->t->lists.ptr[i];
        MP_ASSERT(t->index == i);
        uint32_t from = lw->ir->item.len;
        for (uint32_t n = 0; n < t->item_count; n++) {
            uint32_t value = lw_const(lw, t->items[n]);
            LW_ADD(lw, item)->value = value;
        }
        struct mp_list_row *row = LW_ADD(lw, list);
        row->type = lw_type(t->type);
        row->name = lw_text(lw, t->name);
        MP_IR_SPAN(lw->ir, list, i, items, item, from);
    }
}

/* ---- actions ---- */

static uint32_t action_flags(const struct mp_t_action *t)
{
    return (t->reversible ? MP_ACTION_REVERSIBLE : 0) | (t->message ? MP_ACTION_MESSAGE : 0) |
           (t->partial ? MP_ACTION_PARTIAL : 0);
}

static void action_targets(struct lw *lw, const struct mp_t_action *t, uint32_t number)
{
    uint32_t from = lw->ir->action_target.len;
    for (uint32_t i = 0; t->target >= 0 && i < t->params[t->target].type_count; i++) {
        struct mp_t_type type = t->params[t->target].types[i];
        struct mp_action_target_row *row = LW_ADD(lw, action_target);
        row->entity = type.base == MP_TYPE_ENTITY ? type.entity->index : MP_NONE;
        row->type = lw_type(type);
    }
    MP_IR_SPAN(lw->ir, action, number, targets, action_target, from);
    from = lw->ir->blind.len;
    for (uint32_t i = 0; i < t->blind_count; i++) {
        LW_ADD(lw, blind)->signal = t->blinds[i]->index;
    }
    MP_IR_SPAN(lw->ir, action, number, blinds, blind, from);
}

static void param_types(struct lw *lw, const struct mp_t_action_param *t, uint32_t number)
{
    uint32_t from = lw->ir->action_type.len;
    for (uint32_t i = 0; i < t->type_count; i++) {
        struct mp_t_type type = t->types[i];
        struct mp_action_type_row *row = LW_ADD(lw, action_type);
        row->entity = type.base == MP_TYPE_ENTITY ? type.entity->index : MP_NONE;
        row->type = lw_type(type);
    }
    MP_IR_SPAN(lw->ir, action_param, number, types, action_type, from);
    for (uint32_t i = 0; i < t->type_count; i++) {
        uint32_t word = lw->ir->action_word.len;
        for (uint32_t w = 0; w < t->types[i].member_count; w++) {
            mp_text_ref text = lw_text(lw, t->types[i].members[w]);
            LW_ADD(lw, action_word)->word = text;
        }
        MP_IR_SPAN(lw->ir, action_type, from + i, words, action_word, word);
    }
}

static void action_params(struct lw *lw, const struct mp_t_action *t, uint32_t number)
{
    uint32_t from = lw->ir->action_param.len;
    for (uint32_t i = 0; i < t->param_count; i++) {
        uint32_t preset = preset_of(lw, t->params[i].preset);
        mp_text_ref name = lw_text(lw, t->params[i].name);
        struct mp_action_param_row *row = LW_ADD(lw, action_param);
        row->name = name;
        row->flags = (int)i == t->target ? MP_PARAM_TARGET : 0;
        row->preset = preset;
    }
    MP_IR_SPAN(lw->ir, action, number, params, action_param, from);
    for (uint32_t i = 0; i < t->param_count; i++) param_types(lw, &t->params[i], from + i);
}

uint32_t lw_action(struct lw *lw, const struct mp_t_action *t)
{
    uint32_t *known = &lw->action_rows[t->index];
    if (*known != MP_NONE) return *known;
    struct mp_action_row *row = LW_ADD(lw, action);
    uint32_t number = *known = lw->ir->action.len - 1;
    row->class = t->class;
    row->strength = t->strength;
    row->flags = action_flags(t);
    row->name = lw_text(lw, t->name);
    row->share = lw_text(lw, t->share);
    action_targets(lw, t, number);
    action_params(lw, t, number);
    return number;
}

void lw_actions(struct lw *lw)
{
    lw->actions_used = lw->ir->action.len;
    for (uint32_t i = 0; i < lw->t->actions.len; i++) lw_action(lw, lw->t->actions.ptr[i]);
}

void lw_vocabulary(struct lw *lw)
{
    entities(lw);
    signals(lw);
    params(lw);
    lists(lw);
    lw->action_rows = LW_NEW(lw, uint32_t, lw->t->actions.len);
    for (uint32_t i = 0; i < lw->t->actions.len; i++) lw->action_rows[i] = MP_NONE;
    lw->def_rows = LW_NEW(lw, uint32_t, lw->t->defs.len);
    for (uint32_t i = 0; i < lw->t->defs.len; i++) lw->def_rows[i] = MP_NONE;
}
