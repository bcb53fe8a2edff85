/* SPDX-License-Identifier: Apache-2.0
 * Dates are counted from 0000-03-01 in eras of 400 years (Howard Hinnant, "chrono-Compatible
 * Low-Level Date Algorithms").
 */
#include "base/date.h"

#include <string.h>

#define DAYS_OF_ERA 146097
#define DAYS_TO_1970 719468

static int64_t era_of(int64_t n, int64_t size) { return (n >= 0 ? n : n - size + 1) / size; }

int64_t mp_date_days(struct mp_date date)
{
    int64_t y = date.month <= 2 ? date.year - 1 : date.year;
    int64_t era = era_of(y, 400), of_era = y - era * 400;
    int64_t of_year = (153 * (date.month + (date.month > 2 ? -3 : 9)) + 2) / 5 + date.day - 1;
    return era * DAYS_OF_ERA + of_era * 365 + of_era / 4 - of_era / 100 + of_year - DAYS_TO_1970;
}

struct mp_date mp_date_of(int64_t days)
{
    int64_t z = days + DAYS_TO_1970, era = era_of(z, DAYS_OF_ERA), of_era = z - era * DAYS_OF_ERA;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year + year / 4 - year / 100), m = (5 * of_year + 2) / 153;
    int month = (int)(m < 10 ? m + 3 : m - 9), day = (int)(of_year - (153 * m + 2) / 5 + 1);
    return (struct mp_date){year + era * 400 + (month <= 2), month, day};
}

static void put_digits(char *at, int64_t n, int count)
{
    for (int i = count - 1; i >= 0; i--) {
        at[i] = (char)('0' + n % 10);
        n /= 10;
    }
}

void mp_date_text(int64_t time_ns, char out[MP_DATE_TEXT])
{
    const int64_t last_us = 253402300799999999; /* 9999-12-31T23:59:59.999999Z */
    int64_t us = time_ns / 1000;
    if (us < 0) us = 0;
    if (us > last_us) us = last_us;
    int64_t seconds = us / 1000000, rest = seconds % 86400;
    struct mp_date date = mp_date_of(seconds / 86400);

    memcpy(out, "0000-00-00T00:00:00.000000Z", MP_DATE_TEXT);
    put_digits(out, date.year, 4);
    put_digits(out + 5, date.month, 2);
    put_digits(out + 8, date.day, 2);
    put_digits(out + 11, rest / 3600, 2);
    put_digits(out + 14, rest / 60 % 60, 2);
    put_digits(out + 17, rest % 60, 2);
    put_digits(out + 20, us % 1000000, 6);
}
