/* SPDX-License-Identifier: Apache-2.0
 * The ladders of the simulation. Times are short, so that a few minutes see whole lives. A set is
 * one program; a reload goes to its other half and back.
 */
#ifndef MP_TEST_SIM_POLICIES_H
#define MP_TEST_SIM_POLICIES_H

#define SIM_HEAD                                                                                   \
    "mpol 1\npackage sim\nuse std.mesh\n"                                                          \
    "@min_samples 5\n"                                                                             \
    "def errs per service: percent = ratio(requests where status in 5xx) over 5s\n"                \
    "@min_samples 3\n"                                                                             \
    "def instance_errs per instance: percent = ratio(requests where status in 5xx) over 5s\n"

#define SIM_GUARDS                                                                                 \
    "never quarantine instance more than 25% of instances per svc\n"                               \
    "never deny client more than 3\n"                                                              \
    "never quarantine svc where svc.tier is critical\n"                                            \
    "never deny request where request.path == \"/healthz\"\n"

#define SIM_SERVICE(trip, share, ttl, cool)                                                        \
    "rule failing_service\n"                                                                       \
    "  when errs > " trip " for 3s per svc unless svc.tier is batch\n"                             \
    "  then throttle svc to " share " for " ttl " and notify \"{svc} fails: {errs}\"\n"            \
    "    verify errs < 10% for 3s within 15s settle 2s\n"                                          \
    "  else quarantine svc for 30s\n"                                                              \
    "    verify errs of svc.callers < 10% for 3s within 15s\n"                                     \
    "  else rollback and page \"ops\"\n"                                                           \
    "  until errs < 5% for 8s\n"                                                                   \
    "  ramp 25% every 4s\n"                                                                        \
    "  cooldown " cool "\n"                                                                        \
    "  limit 2 services per 1m\n"

#define SIM_INSTANCE(trip, ttl)                                                                    \
    "rule bad_instance when instance_errs > " trip " for 2s per instance\n"                        \
    "  then quarantine instance for " ttl "\n"                                                     \
    "  cooldown 10s\n"

#define SIM_GUESSES(n, ttl)                                                                        \
    "rule guesses when count(requests where status == 401) over 10s >= " n " per client max 1k\n"  \
    "  then deny client for " ttl " and notify \"guesses from {client}\"\n"                        \
    "    verify count(requests) over 5s == 0 within 12s\n"                                         \
    "  else page \"secops\"\n"                                                                     \
    "  cooldown 5s\n"

#define SIM_FLOOD(rate)                                                                            \
    "rule flood priority 3 when rate(requests) over 5s > " rate " for 1s per client max 1k\n"      \
    "  then throttle client to 1/s for 20s\n"                                                      \
    "    verify rate(requests) over 5s < 2/s for 2s within 15s\n"                                  \
    "    harm count(requests where path == \"/vip\") over 5s > 1\n"                                \
    "  else deny client for 15s\n"                                                                 \
    "  until rate(requests) over 5s < 1/s for 5s\n"

#define SIM_VIP                                                                                    \
    "rule vip when count(requests where path == \"/vip\") over 5s > 3 per client max 1k\n"         \
    "  then exempt client for 10s\n"

#define SIM_SLOW                                                                                   \
    "rule slow_service when p99(requests.latency) over 10s > 500ms for 3s per svc\n"               \
    "  then throttle svc to 80% for 30s\n"                                                         \
    "    verify p99(requests.latency) over 10s < at_trigger(p99(requests.latency) over 10s)\n"     \
    "      for 2s within 25s\n"                                                                    \
    "    harm errs > 60% for 1s\n"                                                                 \
    "  else rollback\n"                                                                            \
    "  until p99(requests.latency) over 10s < 300ms for 5s\n"

#define SIM_SCAN                                                                                   \
    "rule scan when request.path == \"/wp-login.php\" per client max 1k then deny client for 15s\n"

#define SIM_QUIET                                                                                  \
    "rule quiet when (count(requests) over 5s == 0 for 5s) and requests is not stale per svc\n"    \
    "  then notify \"{svc} is quiet\" cooldown 30s\n"

#define SIM_HOT(mode)                                                                              \
    "rule hot_instance " mode " when cpu > 90% for 3s per instance\n"                              \
    "  then quarantine instance for 20s until cpu < 70% for 5s if no data clear\n"

#define SIM_INLINE                                                             \
    "rule evil when request.path == \"/evil\" then deny request\n"             \
    "rule api_rate when request.path starts with \"/api\" per client max 1k\n" \
    "  then throttle request to 3/s\n"                                         \
    "rule refused when count(refusals) over 10s > 10 per svc then "            \
    "notify \"{svc} refuses\" cooldown 20s\n"

static const char *const sim_policies[][2] = {
    {SIM_HEAD SIM_GUARDS SIM_SERVICE("30%", "50%", "40s", "15s") SIM_INSTANCE("40%", "30s")
         SIM_GUESSES("5", "20s") SIM_FLOOD("3/s") SIM_SLOW SIM_SCAN SIM_INLINE SIM_QUIET,
     SIM_HEAD SIM_GUARDS SIM_SERVICE("25%", "30%", "30s", "10s") SIM_INSTANCE("60%", "20s")
         SIM_GUESSES("4", "25s") SIM_FLOOD("3/s") SIM_SCAN SIM_INLINE SIM_VIP},
    {SIM_HEAD SIM_SERVICE("30%", "50%", "40s", "15s") SIM_GUESSES("5", "20s") SIM_QUIET SIM_VIP,
     SIM_HEAD SIM_GUARDS SIM_SERVICE("30%", "50%", "40s", "15s") SIM_GUESSES("5", "20s")
         SIM_HOT("")},
    {SIM_HEAD SIM_GUARDS SIM_INSTANCE("40%", "30s") SIM_HOT("") SIM_FLOOD("2/s") SIM_SCAN SIM_VIP,
     SIM_HEAD SIM_GUARDS SIM_INSTANCE("40%", "30s") SIM_HOT("mode shadow") SIM_FLOOD("4/s")
         SIM_INLINE},
    {SIM_HEAD SIM_GUARDS SIM_SLOW SIM_SERVICE("50%", "10%", "60s", "5s")
         SIM_INLINE SIM_SCAN SIM_GUESSES("3", "12s"),
     SIM_HEAD SIM_SLOW},
};
#define SIM_SETS (sizeof sim_policies / sizeof *sim_policies)

#endif
