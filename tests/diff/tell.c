/* SPDX-License-Identifier: Apache-2.0
 * tell.c - a difference for a reader: the rule, the events, and the command that repeats it.
 */
#include "diff.h"

#include <stdio.h>
#include <string.h>

#define S INT64_C(1000000000)

static void print_field(const char *name, size_t len, struct mp_t_type type, struct slow_value v)
{
    if (!v.known) return;
    struct mp_arena arena;
    mp_arena_init(&arena, NULL, 0);
    struct mp_buf b;
    mp_buf_init(&b, &arena);
    if (type.is_set) mp_value_print_set(&b, type.base, v.v);
    else
        mp_value_print(
            &b, type.base == MP_TYPE_ENTITY ? type.entity->attrs[0].type.base : type.base, v.v);
    printf(" %.*s=%.*s", (int)len, name, MP_STR_ARG(mp_buf_view(&b)));
    mp_arena_free(&arena);
}

static void print_event(const struct gen_event *e, uint32_t number)
{
    printf("  event %u at %lld.%09lld", number, (long long)(e->at_ns / S),
           (long long)(e->at_ns % S));
    if (e->tick) {
        printf(" tick\n");
        return;
    }
    const struct slow_record *r = &e->record;
    printf(" %.*s time %+lldns layer %u weight %lld id %llu", MP_STR_ARG(r->signal->name),
           (long long)(r->time_ns - e->at_ns), r->layer, (long long)r->weight,
           (unsigned long long)e->id);
    for (uint32_t i = 0; i < r->signal->key_count; i++) {
        print_field(r->signal->keys[i]->name.ptr, r->signal->keys[i]->name.len,
                    r->signal->keys[i]->attrs[0].type, r->keys[i]);
    }
    for (uint32_t i = 0; i < r->signal->field_count; i++) {
        const struct mp_t_field *f = &r->signal->fields[i];
        if (!f->type.is_map) print_field(f->name.ptr, f->name.len, f->type, r->fields[i].value);
        struct mp_t_type entry = f->type;
        entry.is_map = false;
        for (uint32_t k = 0; k < r->fields[i].entry_count; k++) {
            print_field(f->name.ptr, f->name.len, entry, r->fields[i].entries[k].value);
        }
    }
    printf("\n");
}

void diff_tell(const struct diff_options *o, uint32_t batch, uint8_t *out, uint32_t last_event,
               mp_str rule, bool no_native)
{
    static struct diff_run last;
    static uint8_t events_out[DIFF_EVENTS_MAX];
    struct diff_totals ignored = {0};
    memset(events_out, 0, sizeof events_out);
    diff_shrink(o, batch, out, events_out, last_event, rule, no_native);
    diff_batch(&last, o, batch, out, events_out, no_native, &ignored);
    printf("diff: seed %llu batch %u differs at event %u: %s\n", (unsigned long long)o->seed, batch,
           last.event, last.what);
    if (last.p == NULL) return;
    static uint32_t offsets[DIFF_RULES_MAX + 1];
    struct mp_buf text;
    mp_buf_init(&text, &last.arena);
    struct gen_batch b = diff_rules(o, batch, out);
    gen_policy(&b, &text, offsets);
    uint32_t number = diff_rule_number(diff_rule_name(&last, last.rule));
    printf("  %.*s  now %s\n", (int)(offsets[number + 1] - offsets[number]),
           text.ptr + offsets[number],
           last.world.always_alive ? "sources alive for ever" : "sources begin with their records");
    uint32_t shown = 0;
    for (uint32_t i = 0; i <= last.event && shown < (o->verbose ? 100 : 8); i++) {
        if (events_out[i]) continue;
        print_event(&last.events[i], i);
        shown++;
    }
    printf(
        "  again: test_diff_executors --seed %llu --only %u --rules %u --events %u --native %u\n",
        (unsigned long long)o->seed, batch, o->rules, o->events, o->native);
    fflush(stdout);
    diff_batch_end(&last);
}
