/* SPDX-License-Identifier: Apache-2.0
 * From an entry of an access log to a line of telemetry.
 */
#include "ingest/import.h"

#include "base/quote.h"
#include "ingest/import_priv.h"
#include "ingest/ingest.h"

#define HOST_MAX 255u
#define LOG_TEXT_MAX 8192u /* a text with escapes that is longer stays as the log has it */

bool mp_import_format_of(mp_str name, enum mp_import_format *out)
{
    static const mp_str names[] = {[MP_IMPORT_COMBINED] = MP_STR_INIT("combined"),
                                   [MP_IMPORT_NGINX_JSON] = MP_STR_INIT("nginx-json"),
                                   [MP_IMPORT_ENVOY_JSON] = MP_STR_INIT("envoy-json")};
    for (uint32_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (!mp_str_eq(names[i], name)) continue;
        *out = (enum mp_import_format)i;
        return true;
    }
    return false;
}

/* ---- texts ---- */

/* Bytes that are no text (scans of ports, attacks) are shown as U+FFFD; NUL too. */
static void put_text(struct mp_buf *out, mp_str s)
{
    char room[MP_QUOTE_MAX];
    for (size_t at = 0; at < s.len;) {
        bool nul = s.ptr[at] == 0;
        mp_str piece = mp_quote_next(s, &at, room);
        mp_buf_put(out, nul ? MP_STR("\xef\xbf\xbd") : piece);
    }
}

static int hex(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    c = (char)(c | 32);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static size_t unescape_log(mp_str s, char *to)
{
    size_t put = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] != '\\' || i + 1 == s.len) {
            to[put++] = s.ptr[i];
            continue;
        }
        char c = s.ptr[++i];
        if (c == 'x' && s.len - i > 2 && hex(s.ptr[i + 1]) >= 0 && hex(s.ptr[i + 2]) >= 0) {
            to[put++] = (char)(hex(s.ptr[i + 1]) * 16 + hex(s.ptr[i + 2]));
            i += 2;
        } else {
            to[put++] = c == 't' ? '\t' : c == 'n' ? '\n' : c == 'r' ? '\r' : c;
        }
    }
    return put;
}

static void put_piece(struct mp_buf *out, struct piece p)
{
    char plain[LOG_TEXT_MAX];
    if (p.spelling == SPELT_JSON) {
        mp_buf_put(out, p.text);
    } else if (p.spelling == SPELT_LOG && memchr(p.text.ptr, '\\', p.text.len) != NULL &&
               p.text.len <= sizeof plain) {
        put_text(out, (mp_str){plain, unescape_log(p.text, plain)});
    } else {
        put_text(out, p.text);
    }
}

static void put_name(struct mp_buf *out, const char *name)
{
    mp_buf_printf(out, ",\"%s\":", name);
}

static void put_quoted(struct mp_buf *out, const char *name, struct piece p)
{
    if (p.text.ptr == NULL || p.text.len == 0) return;
    put_name(out, name);
    mp_buf_putc(out, '"');
    put_piece(out, p);
    mp_buf_putc(out, '"');
}

static bool is_number(mp_str s)
{
    bool digit = false;
    for (size_t i = 0; i < s.len; i++) {
        bool is_digit = s.ptr[i] >= '0' && s.ptr[i] <= '9';
        if (!is_digit && s.ptr[i] != '.') return false;
        digit |= is_digit;
    }
    return digit && s.len < 20;
}

/* `0.005, 0.012` and `0.005 : 0.012` are the tries of nginx; the last one counts. */
static mp_str last_of_list(mp_str s)
{
    size_t at = s.len;
    while (at > 0 && s.ptr[at - 1] != ',' && s.ptr[at - 1] != ':') at--;
    while (at < s.len && s.ptr[at] == ' ') at++;
    return mp_str_sub(s, at, s.len);
}

static void put_number(struct mp_buf *out, const char *name, struct piece p)
{
    mp_str s = p.text.ptr != NULL ? last_of_list(p.text) : p.text;
    if (!is_number(s) || memchr(s.ptr, '.', s.len) != NULL) return;
    while (s.len > 1 && s.ptr[0] == '0') s = mp_str_sub(s, 1, s.len); /* `007` is no JSON number */
    put_name(out, name);
    mp_buf_put(out, s);
}

/* `0` and `000` stand where no answer was sent: the client went away before it. */
static bool has_status(struct piece p)
{
    for (size_t i = 0; i < p.text.len; i++) {
        if (p.text.ptr[i] != '0') return true;
    }
    return false;
}

static void put_latency(struct mp_buf *out, const struct log_entry *e)
{
    struct piece p = e->field[LOG_LATENCY];
    mp_str s = p.text.ptr != NULL ? last_of_list(p.text) : p.text;
    if (!is_number(s)) return;
    put_name(out, "latency");
    mp_buf_putc(out, '"');
    mp_buf_put(out, s);
    mp_buf_puts(out, e->latency_ms ? "ms\"" : "s\"");
}

/* ---- addresses and names ---- */

/* `10.0.0.7:5123`, `[::1]:80`, `10.0.0.7`, and what of it is the address. */
static mp_str without_port(mp_str s)
{
    if (s.len > 1 && s.ptr[0] == '[') {
        const char *end = memchr(s.ptr, ']', s.len);
        return end != NULL ? mp_str_sub(s, 1, (size_t)(end - s.ptr) - 1) : s;
    }
    const char *colon = memchr(s.ptr, ':', s.len);
    if (colon == NULL) return s;
    size_t at = (size_t)(colon - s.ptr);
    bool more = memchr(colon + 1, ':', s.len - at - 1) != NULL; /* an IPv6 address alone */
    return more ? s : mp_str_sub(s, 0, at);
}

static mp_str piece_of(mp_str *rest, char stop)
{
    const char *end = memchr(rest->ptr, stop, rest->len);
    size_t len = end != NULL ? (size_t)(end - rest->ptr) : rest->len;
    mp_str head = mp_str_sub(*rest, 0, len);
    *rest = mp_str_sub(*rest, end != NULL ? len + 1 : len, rest->len);
    return head;
}

/* Istio's `outbound|80|subset|reviews.shop.svc.cluster.local` is `shop/reviews`; `inbound|9080||`
 * names nobody; any other name stands for itself. */
static bool put_cluster(struct mp_buf *out, mp_str cluster)
{
    mp_str rest = cluster;
    if (memchr(cluster.ptr, '|', cluster.len) != NULL) {
        piece_of(&rest, '|');
        piece_of(&rest, '|');
        piece_of(&rest, '|');
    } else {
        mp_buf_puts(out, "\"service\":\"");
        put_text(out, cluster);
        mp_buf_putc(out, '"');
        return true;
    }
    if (rest.len == 0) return false;
    mp_str name = piece_of(&rest, '.'), space = piece_of(&rest, '.');
    bool local = mp_str_starts(rest, MP_STR("svc"));
    mp_buf_puts(out, "\"service\":\"");
    if (local && space.len != 0 && !mp_str_eq(space, MP_STR("default"))) {
        put_text(out, space);
        mp_buf_putc(out, '/');
    }
    put_text(out, name);
    mp_buf_putc(out, '"');
    return true;
}

static bool put_host_as_service(struct mp_buf *out, struct piece p)
{
    char host[HOST_MAX];
    if (p.text.ptr == NULL || p.text.len == 0 || p.text.len > sizeof host ||
        memchr(p.text.ptr, '\\', p.text.len) != NULL) {
        return false;
    }
    size_t len = mp_canonical_host(p.text, host);
    if (len == 0) return false;
    mp_buf_puts(out, "\"service\":\"");
    put_text(out, (mp_str){host, len});
    mp_buf_putc(out, '"');
    return true;
}

static void put_service(struct mp_buf *out, const struct mp_import_options *options,
                        const struct log_entry *e)
{
    struct piece given = {options->service, SPELT_PLAIN};
    const struct piece *cluster = &e->field[LOG_CLUSTER];
    if (given.text.len == 0) given = e->field[LOG_SERVICE];
    if (given.text.ptr != NULL && given.text.len != 0) {
        mp_buf_puts(out, "\"service\":\"");
        put_piece(out, given);
        mp_buf_putc(out, '"');
        return;
    }
    if (cluster->text.ptr != NULL && cluster->text.len != 0 && put_cluster(out, cluster->text)) {
        return;
    }
    if (put_host_as_service(out, e->field[LOG_VHOST])) return;
    if (put_host_as_service(out, e->field[LOG_HOST])) return;
    mp_buf_puts(out, "\"service\":\"web\"");
}

static void put_client(struct mp_buf *out, struct piece client)
{
    if (client.text.ptr == NULL) return;
    struct mp_value v;
    uint32_t bits;
    mp_str ip = without_port(client.text);
    if (!mp_value_address(ip, &v, &bits)) return; /* a name that the server looked up */
    put_name(out, "client");
    mp_buf_puts(out, "{\"ip\":\"");
    mp_buf_put(out, ip);
    mp_buf_puts(out, "\"}");
}

/* ---- time ---- */

static int month_of(mp_str s)
{
    static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    for (int i = 0; i < 12; i++) {
        if (s.len >= 3 && memcmp(names + (size_t)i * 3, s.ptr, 3) == 0) return i + 1;
    }
    return 0;
}

/* `10/Oct/2000:13:55:36 -0700` as RFC 3339. */
static bool log_time(mp_str s, char out[32])
{
    if (s.len != 26 || s.ptr[2] != '/' || s.ptr[6] != '/' || s.ptr[11] != ':' || s.ptr[20] != ' ') {
        return false;
    }
    int month = month_of(mp_str_sub(s, 3, 3));
    if (month == 0) return false;
    memcpy(out, s.ptr + 7, 4);
    out[4] = '-';
    out[5] = (char)('0' + month / 10);
    out[6] = (char)('0' + month % 10);
    out[7] = '-';
    memcpy(out + 8, s.ptr, 2);
    out[10] = 'T';
    memcpy(out + 11, s.ptr + 12, 8);
    memcpy(out + 19, s.ptr + 21, 3);
    out[22] = ':';
    memcpy(out + 23, s.ptr + 24, 2);
    return true;
}

static bool put_time(struct mp_buf *out, struct piece p)
{
    char text[32];
    int64_t ns;
    mp_str s = p.text;
    if (s.ptr == NULL) return false;
    if (log_time(s, text)) s = (mp_str){text, 25};
    if (!mp_read_time(s, &ns) || ns < 0 || ns > MP_LINE_TIME_MAX_NS) return false;
    mp_buf_puts(out, "{\"time\":\"");
    mp_buf_put(out, s);
    mp_buf_puts(out, "\",");
    return true;
}

/* ---- the request ---- */

static bool method_char(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' || c == '_';
}

void mp_import_request(struct piece request, struct log_entry *out)
{
    mp_str s = request.text;
    if (s.ptr == NULL) return;
    size_t method = 0, end = s.len;
    while (method < s.len && method_char(s.ptr[method])) method++;
    if (method == 0 || method == s.len || s.ptr[method] != ' ') return;
    mp_str tail = mp_str_sub(s, method + 1, s.len);
    for (size_t i = tail.len; i > 0; i--) {
        if (tail.ptr[i - 1] != ' ') continue;
        mp_str last = mp_str_sub(tail, i, tail.len);
        if (mp_str_starts(last, MP_STR("HTTP/"))) {
            out->field[LOG_VERSION] =
                (struct piece){mp_str_sub(last, 5, last.len), request.spelling};
            end = method + i;
        }
        break;
    }
    out->field[LOG_METHOD] = (struct piece){mp_str_sub(s, 0, method), SPELT_PLAIN};
    out->field[LOG_PATH] =
        (struct piece){mp_str_sub(s, method + 1, end - method - 1), request.spelling};
}

/* The path as it came, and its query; ingest makes the path canonical. */
static void put_path(struct mp_buf *out, struct piece p)
{
    if (p.text.ptr == NULL || p.text.len == 0) return;
    const char *mark = memchr(p.text.ptr, '?', p.text.len);
    size_t len = mark != NULL ? (size_t)(mark - p.text.ptr) : p.text.len;
    put_quoted(out, "path", (struct piece){mp_str_sub(p.text, 0, len), p.spelling});
    put_quoted(out, "raw_path", (struct piece){mp_str_sub(p.text, 0, len), p.spelling});
    if (mark != NULL) {
        put_quoted(out, "query",
                   (struct piece){mp_str_sub(p.text, len + 1, p.text.len), p.spelling});
    }
}

/* `HTTP/1.1` or `1.1`. */
static void put_version(struct mp_buf *out, struct piece p)
{
    if (p.text.ptr != NULL && mp_str_starts(p.text, MP_STR("HTTP/"))) {
        p.text = mp_str_sub(p.text, 5, p.text.len);
    }
    put_quoted(out, "http_version", p);
}

static void put_headers(struct mp_buf *out, const struct log_entry *e)
{
    if (e->field[LOG_REFERER].text.ptr == NULL && e->field[LOG_FORWARDED].text.ptr == NULL) return;
    put_name(out, "headers");
    mp_buf_putc(out, '{');
    size_t from = out->len;
    put_quoted(out, "referer", e->field[LOG_REFERER]);
    put_quoted(out, "x-forwarded-for", e->field[LOG_FORWARDED]);
    if (!out->failed && out->len > from) { /* the first member has no comma before it */
        memmove(out->ptr + from, out->ptr + from + 1, out->len - from - 1);
        out->len--;
    }
    mp_buf_putc(out, '}');
}

static void put_entry(struct mp_buf *out, const struct mp_import_options *options,
                      const struct log_entry *e)
{
    const struct piece *f = e->field;
    struct piece instance = {options->instance, SPELT_PLAIN};
    put_service(out, options, e);
    put_quoted(out, "instance", options->instance.len != 0 ? instance : f[LOG_INSTANCE]);
    put_client(out, f[LOG_CLIENT]);
    put_quoted(out, "layer", f[LOG_LAYER]);
    put_quoted(out, "version", f[LOG_ANSWERED_BY]);
    put_quoted(out, "method", f[LOG_METHOD]);
    put_quoted(out, "scheme", f[LOG_SCHEME]);
    put_quoted(out, "host", f[LOG_HOST]);
    put_path(out, f[LOG_PATH]);
    put_version(out, f[LOG_VERSION]);
    if (has_status(f[LOG_STATUS])) put_number(out, "status", f[LOG_STATUS]);
    put_latency(out, e);
    put_number(out, "bytes_in", f[LOG_BYTES_IN]);
    put_number(out, "bytes_out", f[LOG_BYTES_OUT]);
    put_quoted(out, "user", f[LOG_USER]);
    put_quoted(out, "user_agent", f[LOG_AGENT]);
    put_quoted(out, "peer", f[LOG_PEER]);
    put_quoted(out, "refused_by", f[LOG_REFUSED_BY]);
    if (f[LOG_TLS].text.ptr != NULL) {
        put_name(out, "mtls");
        mp_buf_puts(out, f[LOG_PEER].text.ptr != NULL ? "true" : "false");
    }
    put_headers(out, e);
    mp_buf_putc(out, '}');
}

static bool passed_over(mp_str line)
{
    size_t i = 0;
    while (i < line.len && (line.ptr[i] == ' ' || line.ptr[i] == '\t' || line.ptr[i] == '\r')) i++;
    return i == line.len || line.ptr[i] == '#';
}

bool mp_import_line(enum mp_import_format format, const struct mp_import_options *options,
                    mp_str line, struct mp_buf *out, const char **why)
{
    struct log_entry e;
    memset(&e, 0, sizeof e);
    *why = NULL;
    if (passed_over(line)) return false;
    *why = "longer than 1 MiB";
    if (line.len > MP_LINE_MAX) return false;
    bool ok = format == MP_IMPORT_COMBINED ? mp_import_combined(line, &e, why)
                                           : mp_import_json(format, line, &e, why);
    if (!ok) return false;
    size_t from = out->len;
    if (!put_time(out, e.field[LOG_TIME])) {
        out->len = from;
        *why = e.field[LOG_TIME].text.ptr != NULL ? "the time is none that is known" : "no time";
        return false;
    }
    put_entry(out, options, &e);
    return true;
}
