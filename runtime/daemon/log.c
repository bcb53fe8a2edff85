/* SPDX-License-Identifier: Apache-2.0
 * The log on standard error, as text or as JSON lines. What came from outside can neither end a line nor
 * speak to a terminal.
 */
#include "daemon/daemon_priv.h"

#include <stdarg.h>
#include <string.h>

#include "ledger/ledger.h"

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

/* The bytes of one well-formed character of UTF-8 (RFC 3629), or 0. */
static size_t character_bytes(const unsigned char *s)
{
    if (s[0] < 0x80) return 1;
    size_t len = s[0] >= 0xc2 && s[0] <= 0xdf ? 2 : (s[0] & 0xf0) == 0xe0 ? 3 : s[0] >= 0xf0 && s[0] <= 0xf4 ? 4 : 0;
    for (size_t i = 1; i < len; i++) {
        if ((s[i] & 0xc0) != 0x80) return 0; /* the NUL at the end stops here too */
    }
    return len;
}

void dm_json_text(struct dm_bytes *b, mp_str s)
{
    dm_bytes_add(b, "\"", 1);
    for (size_t i = 0; i < s.len;) {
        unsigned char room[4] = {0};
        memcpy(room, s.ptr + i, s.len - i < 4 ? s.len - i : 4);
        size_t len = character_bytes(room);
        if (room[0] == '"' || room[0] == '\\') {
            dm_bytes_printf(b, "\\%c", room[0]);
        } else if (room[0] < 0x20) {
            dm_bytes_printf(b, "\\u%04x", room[0]);
        } else if (len > 0) {
            dm_bytes_add(b, s.ptr + i, len);
        } else {
            dm_bytes_add(b, "\xef\xbf\xbd", 3); /* what is no UTF-8 would make the line no JSON */
        }
        i += len > 0 ? len : 1;
    }
    dm_bytes_add(b, "\"", 1);
}

void dm_log(struct dm *d, const char *level, const char *format, ...)
{
    char time[27], text[LINE_MAX_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    defuse(text);
    mp_ledger_time(d->os.wall_ns(d->os.ctx), time);
    if (!d->options->log_json) {
        fprintf(stderr, "%.*s %-5s %s\n", (int)sizeof time, time, level, text);
        return;
    }
    struct dm_bytes line = {0};
    dm_bytes_printf(&line, "{\"time\":\"%.*s\",\"level\":\"%s\",\"text\":", (int)sizeof time, time, level);
    dm_json_text(&line, mp_str_of(text));
    dm_bytes_add(&line, "}\n", 2);
    fwrite(line.ptr, 1, line.len, stderr);
    dm_bytes_free(&line);
}
