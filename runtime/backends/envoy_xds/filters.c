/* SPDX-License-Identifier: Apache-2.0
 * Which listeners of a proxy have our filters. A subscription says that some listener has the
 * filter, and not which: a plain one beside it would let in what a lease refuses. So the proxy's
 * admin port is read after it has come, after it asked for other filters, and once in a while,
 * since listeners may come from elsewhere.
 */
#include "envoy_xds/envoy_xds_priv.h"

#define AGAIN_NS INT64_C(60000000000)

/* As they are named to who looks, and what a proxy lacks that has one elsewhere only. Denials are
 * seen by a probe of the listener (proof.c); the others are not. */
static const struct {
    mp_str name, at_listener;
    bool probed;
} filters[] = {
    {MP_STR_INIT(MP_ENVOY_DENY), MP_STR_INIT(MP_ENVOY_DENY " at its listener"), true},
    {MP_STR_INIT(MP_ENVOY_ALLOW), MP_STR_INIT(MP_ENVOY_ALLOW " at its listener"), true},
    {MP_STR_INIT(MP_ENVOY_THROTTLE), MP_STR_INIT(MP_ENVOY_THROTTLE " at its listener"), false},
    {MP_STR_INIT(MP_ENVOY_SHARE), MP_STR_INIT(MP_ENVOY_SHARE " at its listener"), false},
};
#define FILTERS (sizeof filters / sizeof *filters)

static bool can_look(const struct mp_envoy *e, const struct proxy *p)
{
    return e->host.look != NULL && p->known && p->stream != NULL && p->admin.len > 0;
}

/* ---- what is asked ---- */

/* Only what it asks for is looked for: what it does not ask for is lacking anyway. */
static uint32_t names_of(const struct proxy *p, mp_str names[FILTERS])
{
    uint32_t count = 0;
    for (size_t i = 0; i < FILTERS; i++) {
        if (proxy_asks_for(p, MP_ENVOY_ECDS, filters[i].name)) names[count++] = filters[i].name;
    }
    return count;
}

static void look(struct mp_envoy *e, struct proxy *p)
{
    mp_str names[FILTERS];
    struct mp_envoy_look what = {.node = p->id, .peer = p->address, .listen = p->listen,
                                 .admin = p->admin, .filters = names,
                                 .filter_count = names_of(p, names)};
    if (what.filter_count == 0) return; /* asked again when it asks for one */
    p->view.due = false;
    p->view.at_ns = xd_now(e);
    what.ticket = p->view.ticket = ++e->tickets;
    e->host.look(e->host.ctx, &what);
}

void filters_look(struct mp_envoy *e, struct proxy *p)
{
    bool again = xd_now(e) - p->view.at_ns >= AGAIN_NS; /* also where no answer came */
    if (can_look(e, p) && (again || (p->view.due && p->view.ticket == 0))) look(e, p);
}

void mp_envoy_tick(struct mp_envoy *e)
{
    xd_pass(e);
    proxies_forget(e);
    for (struct proxy *p = e->proxies; p != NULL; p = p->next) filters_look(e, p);
}

void filters_forget(struct proxy *p)
{
    p->view = (struct view){.due = true, .open = true};
}

/* ---- what was seen ---- */

static uint32_t mask_of(const struct proxy *p, uint32_t missing)
{
    mp_str names[FILTERS];
    uint32_t count = names_of(p, names), mask = 0, at = 0;
    for (size_t i = 0; i < FILTERS && at < count; i++) {
        if (!mp_str_eq(filters[i].name, names[at])) continue;
        if ((missing >> at++ & 1) != 0) mask |= UINT32_C(1) << i;
    }
    return mask;
}

static void tell(const struct mp_envoy *e, const struct proxy *p)
{
    enum mp_envoy_note note = p->view.missing != 0 ? MP_ENVOY_WARNING : MP_ENVOY_INFO;
    xd_log(e, note, "proxy %.*s: %.*s: what comes in there is not governed", MP_STR_ARG(p->id),
           (int)p->view.text_len, p->view.text);
}

void mp_envoy_looked(struct mp_envoy *e, uint64_t ticket, const struct mp_envoy_looked *seen)
{
    char text[VIEW_TEXT];
    struct proxy *p = e->proxies;
    while (p != NULL && (ticket == 0 || p->view.ticket != ticket)) p = p->next;
    if (p == NULL) return;
    p->view.ticket = 0;
    p->view.open = p->view.due;
    e->touched = e->regroup = true;
    if (p->view.due) { /* it has asked for others meanwhile: their bits were other ones */
        filters_look(e, p);
        return;
    }
    if (!seen->seen) return;
    p->view.missing = mask_of(p, seen->missing);
    uint32_t len = xd_clean(seen->text, text, sizeof text);
    bool news = !mp_str_eq((mp_str){text, len}, (mp_str){p->view.text, p->view.text_len});
    memcpy(p->view.text, text, len);
    p->view.text_len = len;
    if (news && len > 0) tell(e, p);
}

bool filters_lacking(const struct mp_envoy *e, const struct proxy *p, mp_str name, bool young,
                     mp_str *lack)
{
    for (size_t i = 0; i < FILTERS; i++) {
        if (!mp_str_eq(filters[i].name, name)) continue;
        bool open = p->view.open && young && !filters[i].probed && can_look(e, p);
        if (!open && (p->view.missing >> i & 1) == 0) return false;
        *lack = filters[i].at_listener;
        return true;
    }
    return false;
}
