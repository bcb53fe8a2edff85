/* SPDX-License-Identifier: Apache-2.0 */
#include "kill.h"

#include <stdio.h>
#include <string.h>

/* Short lives of incidents, so that every state is met often. No two rules compete for a target. */
#define HEAD "mpol 1\npackage drill.kill\nuse std.mesh\n"
#define RULES \
    "rule flood\n" \
    "  when count(requests where status == 401) over 5s >= 3 per client.ip max 1k\n" \
    "  then deny client.ip for 4s and notify \"flood {client.ip}\" via chat\n" \
    "  cooldown 1s\n" \
    "rule failing\n" \
    "  when error_rate > 20% for 1s per svc\n" \
    "  then throttle svc to 50% for 8s and notify \"{svc} fails\" via chat\n" \
    "    verify error_rate < 5% for 1s within 3s settle 200ms\n" \
    "  else quarantine svc for 6s and page \"duty\"\n" \
    "  until error_rate < 5% for 2s\n" \
    "  ramp 50% every 1s\n" \
    "  cooldown 2s\n" \
    "rule busy\n" \
    "  when request_rate > 1/s per svc\n" \
    "  then notify \"{svc} is busy\" via chat\n" \
    "  cooldown 3s\n"

const char policy[] = HEAD RULES;
const char more_policy[] = HEAD
    "rule above when p99_latency > 10s per svc then quarantine svc for 1m\n" RULES;

#define SERVICES 3
#define CLIENTS 16

void traffic(uint64_t n, int64_t now_ns, char *out, size_t room)
{
    size_t at = 0;
    for (unsigned i = 0; i < 2 * SERVICES; i++) {
        unsigned service = i % SERVICES;
        bool bad_time = (n / 60 + service) % 3 == 0;
        bool flood_time = (n / 10) % 2 == 0;
        int status = bad_time && (n + i) % 2 == 0 ? 503 : flood_time && i == 0 ? 401 : 200;
        int len = snprintf(out + at, room - at,
                           "{\"time\":%lld.%09lld,\"service\":\"s%u\",\"instance\":\"s%u-1\","
                           "\"client\":\"10.0.0.%u\",\"status\":%d}",
                           (long long)(now_ns / SEC), (long long)(now_ns % SEC), service, service,
                           i == 0 ? (unsigned)(n / 10 % CLIENTS) : 100u, status);
        at += (size_t)len + 1;
    }
    out[at] = '\0';
}
