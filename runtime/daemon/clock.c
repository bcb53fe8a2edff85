/* SPDX-License-Identifier: Apache-2.0
 * A clock that was ahead and has been set right: the engine's time stands still until it is caught
 * up with, and what is seen meanwhile counts as that old. Nobody would know why no rule fires.
 */
#include "base/date.h"
#include "daemon/daemon_priv.h"

#define SECOND_NS INT64_C(1000000000)
#define BACK_NS (2 * SECOND_NS) /* less is what machines differ by, as for records from ahead */

static int64_t back_ns(const struct dm *d)
{
    return mp_engine_now(d->engine) - d->os.wall_ns(d->os.ctx);
}

bool dm_clock_back(const struct dm *d, struct dm_bytes *out)
{
    char until[MP_DATE_TEXT];
    int64_t back = back_ns(d);
    if (back < BACK_NS) return false;
    mp_date_text(mp_engine_now(d->engine), until);
    dm_bytes_printf(out, "the clock is ");
    dm_duration(out, back / SECOND_NS * SECOND_NS);
    dm_bytes_printf(out,
                    " back: until %.*sZ what is seen counts as that old, and what is older than a "
                    "window is not judged; restart to go on at once",
                    19, until);
    return true;
}

void dm_clock_look(struct dm *d)
{
    struct dm_bytes line = {0};
    bool back = dm_clock_back(d, &line);
    if (back && !d->clock_back) dm_log(d, "warn", "%.*s", (int)line.len, line.ptr);
    if (!back && d->clock_back) dm_log(d, "info", "the clock has caught up");
    d->clock_back = back;
    dm_bytes_free(&line);
}
