/* SPDX-License-Identifier: Apache-2.0
 * Peers that the port for proxies did not let in. Such a proxy serves on with what it had, and is
 * in no list of proxies: nobody would know of it but for a line here.
 *
 * LIMIT: anybody who reaches the port may come as often as he likes, under any name. So there are
 * REFUSED_ROWS rows, the one that was quiet for longest gives way, and the log gets LINES_MAX lines
 * a minute; all are counted in /metrics.
 */
#include <stdio.h>
#include <string.h>

#include "daemon/mesh_priv.h"

#define MINUTE_NS INT64_C(60000000000)
#define AGAIN_NS (10 * MINUTE_NS) /* until the log tells the same again */
#define SHOWN_NS (60 * MINUTE_NS) /* who has not come for so long is told no more */
#define LINES_MAX 16

/* Without the port, which is another one each time; "unix" has none. */
static mp_str host_of(mp_str address)
{
    for (size_t at = address.len; at > 0; at--) {
        if (address.ptr[at - 1] == ':') return mp_str_sub(address, 0, at - 1);
    }
    return address;
}

static bool is(const struct mesh_refusal *r, const struct mesh_refusal *other)
{
    return r->count > 0 && strcmp(r->host, other->host) == 0 && strcmp(r->name, other->name) == 0 &&
           strcmp(r->why, other->why) == 0;
}

/* The row of this one, or the one that gives way to it. */
static struct mesh_refusal *row_of(struct mesh_refusals *all, const struct mesh_refusal *wanted)
{
    struct mesh_refusal *oldest = &all->rows[0];
    for (uint32_t i = 0; i < REFUSED_ROWS; i++) {
        struct mesh_refusal *r = &all->rows[i];
        if (is(r, wanted)) return r;
        bool quieter = r->count == 0 || r->last_ns < oldest->last_ns;
        if (oldest->count > 0 && quieter) oldest = r;
    }
    *oldest = *wanted;
    return oldest;
}

static bool may_say(struct mesh_refusals *all, struct mesh_refusal *r, int64_t now_ns)
{
    if (r->count > 1 && now_ns - r->said_ns < AGAIN_NS) return false;
    if (all->lines == 0 || now_ns - all->minute_ns >= MINUTE_NS) {
        all->minute_ns = now_ns;
        all->lines = 0;
    }
    if (all->lines == LINES_MAX) return false;
    all->lines++;
    r->said_ns = now_ns;
    return true;
}

void mesh_refused(void *ctx, const struct mp_grpc_refused *peer)
{
    struct dm_mesh *m = ctx;
    struct mesh_refusals *all = &m->refusals;
    int64_t now_ns = m->d->os.mono_ns(m->d->os.ctx);
    struct mesh_refusal now = {.count = 0};
    snprintf(now.host, sizeof now.host, "%.*s", MP_STR_ARG(host_of(peer->address)));
    snprintf(now.name, sizeof now.name, "%.*s", MP_STR_ARG(peer->name));
    snprintf(now.why, sizeof now.why, "%.*s", MP_STR_ARG(peer->why));
    struct mesh_refusal *r = row_of(all, &now);
    r->count++;
    r->last_ns = now_ns;
    if (m->d->ending || !may_say(all, r, now_ns)) return;
    dm_log(m->d, "warn", "a proxy at %s%s%s%s is refused at the port: %s%s", r->host,
           r->name[0] != '\0' ? ", which shows " : "", r->name, r->name[0] != '\0' ? "," : "",
           r->why,
           all->lines == LINES_MAX ? " (more of these are only counted, for a minute)" : "");
}

void mesh_refused_tell(const struct dm_mesh *m, int64_t now_ns, struct dm_bytes *out)
{
    for (uint32_t i = 0; i < REFUSED_ROWS; i++) {
        const struct mesh_refusal *r = &m->refusals.rows[i];
        if (r->count == 0 || now_ns - r->last_ns >= SHOWN_NS) continue;
        dm_bytes_printf(out, "  refused at the port: %s%s%s, %s, %llu time%s, last ", r->host,
                        r->name[0] != '\0' ? " as " : "", r->name, r->why,
                        (unsigned long long)r->count, r->count == 1 ? "" : "s");
        dm_duration(out, now_ns - r->last_ns);
        dm_bytes_printf(out, " ago\n");
    }
}
