/* SPDX-License-Identifier: Apache-2.0 */
#include "rules.h"

#include <string.h>

#define HOUR (3600 * (int64_t)1000000000)
/* Constant texts of a known length: the compiler makes one or two comparisons of words of them. */
#define TEXT(field, text) (memcmp((field), (text), sizeof(text)) == 0)
#define STARTS(field, text) (memcmp((field), (text), sizeof(text) - 1) == 0)

void rules_c_10(const struct rules_event *e, uint64_t truth[2])
{
    uint64_t t[2] = {0, 0};
#define RULE(n, policy, c)                                                                         \
    if ((n) < 10 && (c)) t[(n) / 64] |= (uint64_t)1 << ((n) % 64);
#include "rules.def"
#undef RULE
    truth[0] = t[0];
    truth[1] = t[1];
}

void rules_c_100(const struct rules_event *e, uint64_t truth[2])
{
    uint64_t t[2] = {0, 0};
#define RULE(n, policy, c)                                                                         \
    if (c) t[(n) / 64] |= (uint64_t)1 << ((n) % 64);
#include "rules.def"
#undef RULE
    truth[0] = t[0];
    truth[1] = t[1];
}
