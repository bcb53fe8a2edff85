/* SPDX-License-Identifier: Apache-2.0
 * The log on standard error, as text or as JSON lines. What came from outside can neither end a
 * line nor speak to a terminal. A reader that hangs does not hold the loop: what is not taken at
 * once is lost, and counted.
 */
#include "daemon/daemon_priv.h"

#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "base/date.h"
#include "base/quote.h"

#define LINE_MAX_BYTES 2048

/* `text` ends with a NUL. */
static void defuse(char *text)
{
    mp_str s = mp_str_of(text);
    char *to = text;
    for (size_t at = 0; at < s.len;) {
        size_t len = mp_str_control(s, at);
        char c = len > 0 ? '?' : s.ptr[at];
        *to++ = c;
        at += len > 0 ? len : 1;
    }
    *to = '\0';
}

void dm_json_text(struct dm_bytes *b, mp_str s)
{
    char room[MP_QUOTE_MAX];
    dm_bytes_add(b, "\"", 1);
    for (size_t at = 0; at < s.len;) {
        mp_str piece = mp_quote_next(s, &at, room);
        dm_bytes_add(b, piece.ptr, piece.len);
    }
    dm_bytes_add(b, "\"", 1);
}

/* A pipe that is ready takes PIPE_BUF bytes without waiting (POSIX, write()). */
static bool put_now(const char *bytes, size_t len)
{
    while (len > 0) {
        struct pollfd out = {.fd = STDERR_FILENO, .events = POLLOUT};
        size_t piece = len < PIPE_BUF ? len : PIPE_BUF;
        if (poll(&out, 1, 0) != 1 || (out.revents & POLLOUT) == 0) return false;
        ssize_t put = write(STDERR_FILENO, bytes, piece);
        if (put <= 0) return false;
        bytes += put;
        len -= (size_t)put;
    }
    return true;
}

static void put_line(struct dm *d, const char *bytes, size_t len)
{
    char note[128];
    if (d->log_lost > 0) {
        int n = snprintf(
            note, sizeof note,
            d->options->log_json
                ? "{\"level\":\"warn\",\"text\":\"%llu lines of this log are lost: "
                  "nobody read it\"}\n"
                : "%llu lines of this log are lost: nobody read it\n",
            (unsigned long long)d->log_lost);
        if (put_now(note, (size_t)n)) d->log_lost = 0;
    }
    if (d->log_lost > 0 || !put_now(bytes, len)) d->log_lost++;
}

static void write_line(struct dm *d, const char *level, mp_str entry, const char *format,
                       va_list args)
{
    char time[MP_DATE_TEXT], text[LINE_MAX_BYTES];
    vsnprintf(text, sizeof text, format, args);
    defuse(text);
    mp_date_text(d->os.wall_ns(d->os.ctx), time);
    if (!d->options->log_json) {
        char line[LINE_MAX_BYTES + 64];
        int len =
            snprintf(line, sizeof line, "%.*s %-5s %s\n", (int)sizeof time, time, level, text);
        put_line(d, line, (size_t)len);
        return;
    }
    struct dm_bytes line = {0};
    dm_bytes_printf(&line, "{\"time\":\"%.*s\",\"level\":\"%s\",\"text\":", (int)sizeof time, time,
                    level);
    dm_json_text(&line, mp_str_of(text));
    if (entry.len > 0) dm_bytes_printf(&line, ",\"entry\":%.*s", MP_STR_ARG(entry));
    dm_bytes_add(&line, "}\n", 2);
    put_line(d, line.ptr, line.len);
    dm_bytes_free(&line);
}

void dm_log(struct dm *d, const char *level, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    write_line(d, level, (mp_str){0}, format, args);
    va_end(args);
}

void dm_log_entry(struct dm *d, mp_str entry, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    write_line(d, "loop", entry, format, args);
    va_end(args);
}
