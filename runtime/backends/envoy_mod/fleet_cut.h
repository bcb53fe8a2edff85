/* SPDX-License-Identifier: Apache-2.0
 * fleet_cut.h - what modules alone can carry: `cut`, and a denial's own status. The fleet keeps the
 * cuts in force, to say of which of them no module that is connected can end a stream.
 *
 * Threads: one. Memory: malloc; a copy of the leases.
 */
#ifndef MP_ENVOY_MOD_FLEET_CUT_H
#define MP_ENVOY_MOD_FLEET_CUT_H

#include "envoy_mod/fleet.h"

/* All zeros: there are none. Texts of `set` are in `frame`, its rows in `rows`. */
struct mp_fleet_cuts {
    struct mp_frame_out frame;
    struct mpol_desired set;
    void *rows;
};

/* Can nothing but a module carry it? */
bool mp_fleet_is_cut(const struct mpol_lease *lease);
/* Keeps what is of that kind in `set`, instead of what was before. On failure that stays. */
enum mp_err mp_fleet_cuts_take(struct mp_fleet_cuts *c, const struct mpol_desired *set);
void mp_fleet_cuts_free(struct mp_fleet_cuts *c);
/* May streams of the lease's target end at this proxy? */
bool mp_fleet_cut_concerns(const struct mpol_lease *lease, const struct mp_fleet_info *proxy);
/* `set` without them, in memory that the caller frees with free(); NULL: no memory. */
struct mpol_lease *mp_fleet_without_cuts(const struct mpol_desired *set, size_t *count);
/* A denial without its own status, which only modules can say; any other lease as it is. Its
 * arguments are in `args`, if there are not more. */
struct mpol_lease mp_fleet_without_status(const struct mpol_lease *lease,
                                          struct mpol_arg args[MP_FRAME_ARGS_MAX]);

#endif
