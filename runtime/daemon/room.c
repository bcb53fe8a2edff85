/* SPDX-License-Identifier: Apache-2.0
 * More is to be held than there is room for: who is over it passes, and nobody would know.
 */
#include "daemon/daemon_priv.h"

#include <inttypes.h>

#define LATELY_NS (INT64_C(60) * 1000000000)

bool dm_room_full(const struct dm *d, struct dm_bytes *out)
{
    struct mp_engine_full full;
    struct mp_engine_status s;
    mp_engine_full(d->engine, &full);
    mp_engine_status(d->engine, &s);
    if (full.time_ns == 0 || s.now_ns - full.time_ns > LATELY_NS) return false;
    dm_bytes_printf(out,
                    "no room for what `%.*s` would do: %s%u %s are in use. What is beyond that is "
                    "not held to, %" PRIu64 " times since the start",
                    MP_STR_ARG(full.rule), full.of_one ? "its " : "all ", full.most,
                    full.incidents ? "incidents" : "leases",
                    s.refused_leases + s.refused_incidents);
    return true;
}

void dm_room_look(struct dm *d)
{
    struct dm_bytes line = {0};
    bool full = dm_room_full(d, &line);
    if (full && !d->room_full) dm_log(d, "warn", "%.*s", (int)line.len, line.ptr);
    if (!full && d->room_full) dm_log(d, "info", "there has been room for a minute");
    d->room_full = full;
    dm_bytes_free(&line);
}
