/* SPDX-License-Identifier: Apache-2.0
 * [vhost:port] host ident user [time] "request" status bytes ["referer" "agent" [seconds]]
 */
#include "ingest/import_priv.h"

struct reader {
    mp_str line;
    size_t at;
};

static void spaces(struct reader *r)
{
    while (r->at < r->line.len && (r->line.ptr[r->at] == ' ' || r->line.ptr[r->at] == '\t')) {
        r->at++;
    }
}

static mp_str word(struct reader *r)
{
    spaces(r);
    size_t from = r->at;
    while (r->at < r->line.len && r->line.ptr[r->at] != ' ' && r->line.ptr[r->at] != '\r') r->at++;
    return mp_str_sub(r->line, from, r->at - from);
}

static bool bracketed(struct reader *r, mp_str *out)
{
    spaces(r);
    if (r->at >= r->line.len || r->line.ptr[r->at] != '[') return false;
    size_t from = ++r->at;
    while (r->at < r->line.len && r->line.ptr[r->at] != ']') r->at++;
    if (r->at >= r->line.len) return false;
    *out = mp_str_sub(r->line, from, r->at - from);
    r->at++;
    return true;
}

static bool quoted(struct reader *r, mp_str *out)
{
    spaces(r);
    if (r->at >= r->line.len || r->line.ptr[r->at] != '"') return false;
    size_t from = ++r->at;
    while (r->at < r->line.len && r->line.ptr[r->at] != '"') {
        r->at += r->line.ptr[r->at] == '\\' ? 2 : 1;
    }
    if (r->at >= r->line.len) return false;
    *out = mp_str_sub(r->line, from, r->at - from);
    r->at++;
    return true;
}

/* `-` is how a log says nothing. */
static struct piece said(mp_str s)
{
    bool nothing = s.len == 0 || (s.len == 1 && s.ptr[0] == '-');
    return nothing ? (struct piece){{NULL, 0}, SPELT_PLAIN} : (struct piece){s, SPELT_LOG};
}

/* Who asks. Where a proxy logs X-Forwarded-For that is a list, and the first of it. */
static mp_str host(struct reader *r)
{
    mp_str first = word(r), last = first;
    while (last.len > 0 && last.ptr[last.len - 1] == ',') last = word(r);
    const char *comma = first.len > 0 ? memchr(first.ptr, ',', first.len) : NULL;
    return comma != NULL ? mp_str_sub(first, 0, (size_t)(comma - first.ptr)) : first;
}

/* Words before the bracket: host ident user, with a virtual host in front of them in some logs. A
 * user's name may have spaces. */
static bool before_time(struct reader *r, struct log_entry *out)
{
    mp_str first = host(r), second = host(r), third = word(r);
    if (third.len == 0) return false;
    size_t user = r->at - third.len;
    if (third.len == 1 && third.ptr[0] == '-') { /* host - user, or vhost host - user */
        spaces(r);
        if (r->at < r->line.len && r->line.ptr[r->at] != '[') {
            out->field[LOG_VHOST] = said(first);
            first = second;
            user = r->at;
        }
    }
    out->field[LOG_CLIENT] = said(first);
    while (r->at < r->line.len && r->line.ptr[r->at] != '[') r->at++;
    size_t end = r->at;
    while (end > user && r->line.ptr[end - 1] == ' ') end--;
    out->field[LOG_USER] = said(mp_str_sub(r->line, user, end - user));
    return r->at < r->line.len;
}

bool mp_import_combined(mp_str line, struct log_entry *out, const char **why)
{
    struct reader r = {.line = line};
    mp_str text;
    *why = "no `[time]` after the host, ident and user";
    if (!before_time(&r, out) || !bracketed(&r, &text)) return false;
    out->field[LOG_TIME] = said(text);
    *why = "no request in quotes after the time";
    if (!quoted(&r, &text)) return false;
    mp_import_request(said(text), out);
    out->field[LOG_STATUS] = said(word(&r));
    *why = "no status after the request";
    mp_str status = out->field[LOG_STATUS].text;
    if (status.ptr == NULL || status.len != 3 || status.ptr[0] < '1' || status.ptr[0] > '9') {
        return false;
    }
    out->field[LOG_BYTES_OUT] = said(word(&r));
    if (quoted(&r, &text)) out->field[LOG_REFERER] = said(text);
    if (quoted(&r, &text)) out->field[LOG_AGENT] = said(text);
    out->field[LOG_LATENCY] = said(word(&r));
    return true;
}
