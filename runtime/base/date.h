/* SPDX-License-Identifier: Apache-2.0
 * date.h - days and dates of the Gregorian calendar, and the one spelling of a moment.
 *
 * Threads: pure functions.
 */
#ifndef MP_BASE_DATE_H
#define MP_BASE_DATE_H

#include <stdint.h>

struct mp_date {
    int64_t year;
    int month, day; /* from 1 */
};

/* Days since 1970-01-01; a month of 1 to 12, any day. */
int64_t mp_date_days(struct mp_date date);
struct mp_date mp_date_of(int64_t days);

#define MP_DATE_TEXT 27
/* RFC 3339 in UTC with six digits, no NUL. Times before 1970 or after 9999 are written as the
 * nearest that is not. */
void mp_date_text(int64_t time_ns, char out[MP_DATE_TEXT]);

#endif
