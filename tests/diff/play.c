/* SPDX-License-Identifier: Apache-2.0
 * play.c - the events of a batch one after the other: a record is judged, goes into the window, and
 * every key it touches is judged; at a tick all keys are.
 */
#include "diff.h"

#include <string.h>

#include "base/assert.h"

/* ---- a record as the program wants it ---- */

static struct slow_value field_of(const struct diff_run *r, const struct slow_record *rec,
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

static struct mp_record record_of(struct diff_run *r, const struct gen_event *e)
{
    const struct slow_record *rec = &e->record;
    uint32_t signal = 0;
    while (!mp_str_eq(mp_program_text(r->p, r->p->signal[signal].name), rec->signal->name))
        signal++;
    const struct mp_signal_row *s = &r->p->signal[signal];
    MP_ASSERT(s->fields_count <= DIFF_CELLS_MAX);
    memset(r->record.known, 0, (s->fields_count / 64 + 1) * sizeof *r->record.known);
    for (uint32_t i = 0; i < s->fields_count; i++) {
        struct slow_value v = field_of(r, rec, &r->p->field[s->fields_at + i]);
        r->record.cell[i] = v.known ? v.v : (struct mp_value){{0, 0}};
        if (v.known) r->record.known[i / 64] |= 1ull << (i % 64);
    }
    return (struct mp_record){.number = r->world.record_count + 1,
                              .time_ns = rec->time_ns,
                              .signal = signal,
                              .layer = rec->layer,
                              .weight = rec->weight,
                              .id = e->id,
                              .known = r->record.known,
                              .field = r->record.cell};
}

static void tick(struct diff_run *r, uint32_t event)
{
    for (uint32_t g = 0; g < r->p->grouping_count; g++) {
        uint32_t key = mp_window_next_key(r->window, g, 0);
        for (; key != MP_NONE; key = mp_window_next_key(r->window, g, key + 1)) {
            diff_judge_row(r, event, g, key, NULL, NULL, NULL);
        }
    }
}

/* ---- a trace ---- */

/* What must be said of a record: late, seen before, or neither. Between one and several
 * latenesses an id may have been forgotten or not. */
static void check_admission(struct diff_run *r, uint32_t event, const struct gen_event *e,
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
        diff_found(r, 0, event, "admission: %d, late %d, seen before %d %d", admit, late, must,
                   may);
}

static void take(struct diff_run *r, uint32_t event)
{
    const struct gen_event *e = &r->events[event];
    struct slow_record *rec = &r->world.records[r->world.record_count];
    struct mp_touch touched[64];
    struct mp_record record = record_of(r, e);
    struct mp_outputs outputs = {0};
    static struct diff_answers unit;
    *rec = e->record;
    rec->number = record.number;
    rec->heard = rec->admitted = false;
    r->world.record_count++;
    mp_inventory_observe(r->inventory, &record, e->at_ns);
    struct mp_row row = {.known = r->with_record.known, .cell = r->with_record.cell};
    mp_window_fill_record(r->window, &record, &row);
    const struct mp_signal_row *s = &r->p->signal[record.signal];
    if (s->unit != MP_NONE) {
        struct mp_inputs in;
        mp_inputs_init(&in, r->p, &r->scratch);
        in.record_known = record.known;
        in.record = record.field;
        in.row_known = r->with_record.known;
        in.row = r->with_record.cell;
        diff_both(r, r->p->unit[s->unit].fn, &in, 0, event);
        unit = r->interpreted;
        outputs = diff_outputs(&unit);
    }
    diff_judge_record(r, event, &record, rec);
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
        diff_judge_row(r, event, touched[i].grouping, touched[i].key, &record, &outputs, rec);
    }
}

void diff_play(struct diff_run *r, uint32_t events)
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
