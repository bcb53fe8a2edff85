/* SPDX-License-Identifier: Apache-2.0
 * The rules of rules.def by hand in C.
 */
#ifndef RULES_H
#define RULES_H

#include <stdint.h>

/* A request as a C program would keep it; short texts zero-padded. */
struct rules_event {
    char service[16], method[8], path[24];
    unsigned char ip[16];
    int64_t bytes_in, bot_score, attack_score, port, cert_ns;
    int mtls;
};

/* Which of the first 10 or of all 100 rules are true. */
void rules_c_10(const struct rules_event *e, uint64_t truth[2]);
void rules_c_100(const struct rules_event *e, uint64_t truth[2]);

#endif
