/* SPDX-License-Identifier: Apache-2.0
 * The log on standard error, as text or as JSON lines. What came from outside can neither end a line nor
 * speak to a terminal.
 */
#include "daemon/daemon_priv.h"

#include <stdarg.h>
#include <string.h>

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

static void write_line(struct dm *d, const char *level, mp_str entry, const char *format, va_list args)
{
    char time[MP_DATE_TEXT], text[LINE_MAX_BYTES];
    vsnprintf(text, sizeof text, format, args);
    defuse(text);
    mp_date_text(d->os.wall_ns(d->os.ctx), time);
    if (!d->options->log_json) {
        fprintf(stderr, "%.*s %-5s %s\n", (int)sizeof time, time, level, text);
        return;
    }
    struct dm_bytes line = {0};
    dm_bytes_printf(&line, "{\"time\":\"%.*s\",\"level\":\"%s\",\"text\":", (int)sizeof time, time, level);
    dm_json_text(&line, mp_str_of(text));
    if (entry.len > 0) dm_bytes_printf(&line, ",\"entry\":%.*s", MP_STR_ARG(entry));
    dm_bytes_add(&line, "}\n", 2);
    fwrite(line.ptr, 1, line.len, stderr);
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
