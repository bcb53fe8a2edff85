/* SPDX-License-Identifier: Apache-2.0 */
#include "kill.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- one member of a canonical line: flat text search is enough, its names are fixed ---- */

static mp_str member(mp_str json, const char *name)
{
    char wanted[40];
    int len = snprintf(wanted, sizeof wanted, "\"%s\":", name);
    const char *at = memmem(json.ptr, json.len, wanted, (size_t)len);
    if (at == NULL) return MP_STR("");
    at += len;
    bool text = *at == '"';
    const char *end = at + text;
    const char *stop = json.ptr + json.len;
    while (end < stop && (text ? *end != '"' : *end != ',' && *end != '}'))
        end += text && *end == '\\' ? 2 : 1;
    return (mp_str){at + text, (size_t)(end - at - text)};
}

/* What follows the arguments, which have names of their own. */
static mp_str after_args(mp_str json)
{
    const char *at = memmem(json.ptr, json.len, "},\"from\":", 9);
    return at != NULL ? (mp_str){at, json.len - (size_t)(at - json.ptr)} : MP_STR("");
}

static uint64_t number(mp_str json, const char *name)
{
    mp_str s = member(json, name);
    return s.len > 0 ? strtoull(s.ptr, NULL, 10) : 0;
}

static void copy(char *out, size_t room, mp_str s)
{
    size_t len = s.len < room - 1 ? s.len : room - 1;
    memcpy(out, s.ptr, len);
    out[len] = '\0';
}

static int64_t time_of(mp_str json)
{
    /* All of a run is within a few days: days of the month are enough to subtract times. */
    mp_str s = member(json, "time");
    int month = 0, day = 0, h = 0, m = 0, sec = 0, us = 0;
    if (sscanf(s.ptr, "%*4d-%2d-%2dT%2d:%2d:%2d.%6d", &month, &day, &h, &m, &sec, &us) != 6)
        return 0;
    int64_t days = (month - 11) * 30 + (day - 14); /* T0 is 2023-11-14T22:13:20Z */
    int64_t since = ((days * 24 + h) * 60 + m) * 60 + sec - (22 * 3600 + 13 * 60 + 20);
    return T0 + since * SEC + us * 1000LL;
}

static int64_t ttl_of(mp_str json)
{
    mp_str s = member(json, "for");
    return s.len > 0 ? strtoll(s.ptr, NULL, 10) * SEC : 0; /* `8s` */
}

static bool contradiction(struct model *m, mp_str json, const char *what)
{
    snprintf(m->problem, sizeof m->problem, "%s: %.*s", what,
             (int)(json.len < 380 ? json.len : 380), json.ptr);
    return false;
}

/* ---- leases and messages ---- */

struct model_lease *model_lease(struct model *m, uint64_t id)
{
    struct model_lease *l = &m->leases[id % MODEL_MAX];
    return l->id == id ? l : NULL;
}

bool model_lease_live(const struct model_lease *l)
{
    if (l->id == 0) return false;
    return strcmp(l->state, "withdrawn") != 0 && strcmp(l->state, "withheld") != 0 &&
           !(l->message && strcmp(l->state, "accepted") == 0);
}

/* One message: one incident, rung, verb and channel. */
static bool has_another_id(struct model *m, const struct model_lease *l)
{
    char text[120];
    int len = snprintf(text, sizeof text, "%llu %u %s %s", (unsigned long long)l->incident, l->rung,
                       l->verb, l->target);
    uint64_t hash = mp_siphash((struct mp_hash_key){1, 1}, text, (size_t)len);
    struct model_message *known = &m->messages[hash % MODEL_MAX];
    if (known->hash == hash) return known->id != l->id;
    *known = (struct model_message){hash, l->id};
    return false;
}

static bool take_lease(struct model *m, uint64_t seq, mp_str json)
{
    uint64_t id = number(json, "lease");
    struct model_lease *l = &m->leases[id % MODEL_MAX];
    mp_str tail = after_args(json), from = member(tail, "from"), to = member(tail, "to");
    if (l->id != id) {
        if (model_lease_live(l)) return contradiction(m, json, "the test's table is too small");
        *l = (struct model_lease){.id = id, .incident = number(json, "incident"),
                                  .rung = (uint32_t)number(json, "rung"), .ttl_ns = ttl_of(json)};
        copy(l->verb, sizeof l->verb, member(json, "verb"));
        copy(l->target, sizeof l->target, member(json, "target"));
        copy(l->state, sizeof l->state, MP_STR("proposed"));
        l->message = strcmp(l->verb, "notify") == 0 || strcmp(l->verb, "page") == 0;
        if (l->message && has_another_id(m, l))
            return contradiction(m, json, "a message has two keys");
    }
    if (!mp_str_eq(from, mp_str_of(l->state))) return contradiction(m, json, l->state);
    if (mp_str_eq(to, MP_STR("admitted"))) l->admitted_seq = seq;
    if (mp_str_eq(to, MP_STR("applying"))) l->applying_seq = seq;
    if (mp_str_eq(to, MP_STR("accepted")) && l->accepted_ns == 0) l->accepted_ns = time_of(json);
    /* A release that was taken back starts its time anew (R27). */
    if (mp_str_eq(member(tail, "why"), MP_STR("again"))) l->accepted_ns = 0;
    copy(l->state, sizeof l->state, to);
    return true;
}

static bool take_incident(struct model *m, mp_str json)
{
    uint64_t id = number(json, "incident");
    struct model_incident *i = &m->incidents[id % MODEL_MAX];
    mp_str tail = after_args(json), from = member(tail, "from"), to = member(tail, "to");
    if (i->id != id) {
        *i = (struct model_incident){.id = id};
        copy(i->state, sizeof i->state, MP_STR("pending"));
        m->incident_count++;
    }
    if (mp_str_eq(member(tail, "why"), MP_STR("ramp"))) return true;
    if (!mp_str_eq(from, mp_str_of(i->state))) return contradiction(m, json, i->state);
    copy(i->state, sizeof i->state, to);
    i->releasing_ns = mp_str_eq(to, MP_STR("releasing")) ? time_of(json) : 0;
    return true;
}

bool model_entry(struct model *m, uint64_t seq, mp_str json)
{
    if (seq != m->seq + 1) return contradiction(m, json, "the ledger has a gap or a repetition");
    if (number(json, "seq") != seq)
        return contradiction(m, json, "a line has another number than its row");
    m->seq = seq;
    return mp_str_eq(member(json, "machine"), MP_STR("lease")) ? take_lease(m, seq, json)
                                                               : take_incident(m, json);
}
