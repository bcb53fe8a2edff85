/* SPDX-License-Identifier: Apache-2.0
 * Answers of HTTP/1.1, whole and in single bytes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "envoy_prove/http1.h"

#define BODY_MAX 1000

struct row {
    const char *bytes;
    enum mp_http1_got got; /* MORE: and BAD or DONE at the end of the connection, as `end` says */
    enum mp_http1_got end;
    unsigned status;
    const char *body;
    bool keeps;
};

static const struct row rows[] = {
    {"HTTP/1.1 403 Forbidden\r\nContent-Length: 19\r\nContent-Type: text/plain\r\n\r\n"
     "RBAC: access denied",
     MP_HTTP1_DONE, MP_HTTP1_DONE, 403, "RBAC: access denied", true},
    {"HTTP/1.1 404 Not Found\r\ncontent-length:0\r\n\r\n", MP_HTTP1_DONE, MP_HTTP1_DONE, 404, "",
     true},
    {"HTTP/1.1 204 No Content\r\n\r\n", MP_HTTP1_DONE, MP_HTTP1_DONE, 204, "", true},
    {"HTTP/1.1 204\r\n\r\n", MP_HTTP1_DONE, MP_HTTP1_DONE, 204, "", true},
    {"HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 2\r\n\r\nok", MP_HTTP1_DONE,
     MP_HTTP1_DONE, 200, "ok", false},
    {"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", MP_HTTP1_DONE, MP_HTTP1_DONE, 200, "ok",
     false},
    {"HTTP/1.1 200 OK\r\n\r\nuntil the end", MP_HTTP1_MORE, MP_HTTP1_DONE, 200, "until the end",
     false},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n"
     "0123456789\r\n0\r\n\r\n",
     MP_HTTP1_DONE, MP_HTTP1_DONE, 200, "abc0123456789", true},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n00\r\nTrailer: yes\r\n\r\n",
     MP_HTTP1_DONE, MP_HTTP1_DONE, 200, "", true},
    {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n"
     "Content-Length: 1\r\n\r\n!",
     MP_HTTP1_DONE, MP_HTTP1_DONE, 200, "!", true},
    /* cut */
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhal", MP_HTTP1_MORE, MP_HTTP1_BAD, 200, "hal",
     true},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nha", MP_HTTP1_MORE, MP_HTTP1_BAD,
     200, "ha", true},
    {"HTTP/1.1 2", MP_HTTP1_MORE, MP_HTTP1_BAD, 0, "", true},
    {"", MP_HTTP1_MORE, MP_HTTP1_BAD, 0, "", true},
    /* no HTTP, or two readings */
    {"SSH-2.0-OpenSSH_9.2\r\n", MP_HTTP1_BAD, MP_HTTP1_BAD, 0, NULL, true},
    {"HTTP/2 200 OK\r\n\r\n", MP_HTTP1_BAD, MP_HTTP1_BAD, 0, NULL, true},
    {"HTTP/1.1 2000 OK\r\n\r\n", MP_HTTP1_BAD, MP_HTTP1_BAD, 0, NULL, true},
    {"HTTP/1.1 -20 OK\r\n\r\n", MP_HTTP1_BAD, MP_HTTP1_BAD, 0, NULL, true},
    {"HTTP/1.1 099 OK\r\n\r\n", MP_HTTP1_BAD, MP_HTTP1_BAD, 0, NULL, true},
    {"HTTP/1.1 200 OK\n\n", MP_HTTP1_BAD, MP_HTTP1_BAD, 0, NULL, true},
    {"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", MP_HTTP1_BAD, MP_HTTP1_BAD, 0, NULL, true},
    {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n!", MP_HTTP1_BAD,
     MP_HTTP1_BAD, 0, NULL, true},
    {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", MP_HTTP1_BAD,
     MP_HTTP1_BAD, 0, NULL, true},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", MP_HTTP1_BAD, MP_HTTP1_BAD, 0,
     NULL, true},
    {"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", MP_HTTP1_BAD, MP_HTTP1_BAD, 0, NULL, true},
    {"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n", MP_HTTP1_BAD, MP_HTTP1_BAD, 0, NULL, true},
    {"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", MP_HTTP1_BAD, MP_HTTP1_BAD,
     0, NULL, true},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n", MP_HTTP1_BAD, MP_HTTP1_BAD, 0,
     NULL, true},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n", MP_HTTP1_BAD,
     MP_HTTP1_BAD, 0, NULL, true},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", MP_HTTP1_BAD, MP_HTTP1_BAD, 0,
     NULL, true},
};

static void check(const struct row *r, struct mp_http1 *h, size_t piece)
{
    size_t len = strlen(r->bytes), at = 0, used = 0;
    enum mp_http1_got got = MP_HTTP1_MORE;
    mp_http1_begin(h, BODY_MAX);
    while (at < len && got == MP_HTTP1_MORE) {
        got = mp_http1_take(h, (mp_str){r->bytes + at, piece < len - at ? piece : len - at}, &used);
        at += used;
    }
    if (got != r->got) fail_msg("%s: %d and not %d", r->bytes, got, r->got);
    if (got == MP_HTTP1_BAD) return;
    if (got == MP_HTTP1_DONE) assert_int_equal(at, len);
    if (got == MP_HTTP1_MORE) assert_int_equal(mp_http1_end(h), r->end);
    assert_int_equal(h->status, r->status);
    assert_int_equal(h->keeps, r->keeps);
    assert_int_equal(h->body_len, strlen(r->body));
    if (h->body_len > 0) assert_memory_equal(h->body, r->body, h->body_len);
}

static void answers_are_read_whole_and_in_pieces(void **state)
{
    static struct mp_http1 h;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        check(&rows[i], &h, SIZE_MAX);
        check(&rows[i], &h, 1);
        check(&rows[i], &h, 3);
    }
    mp_http1_free(&h);
}

static void what_follows_is_left(void **state)
{
    static struct mp_http1 h;
    size_t used;
    mp_str two = MP_STR("HTTP/1.1 204 x\r\n\r\nHTTP/1.1 200 x\r\n\r\n");
    mp_http1_begin(&h, BODY_MAX);
    assert_int_equal(mp_http1_take(&h, two, &used), MP_HTTP1_DONE);
    assert_int_equal(used, two.len / 2);
    mp_http1_free(&h);
}

static void heads_without_end_are_refused(void **state)
{
    static struct mp_http1 h;
    size_t used, sent = 0;
    enum mp_http1_got got = MP_HTTP1_MORE;
    mp_http1_begin(&h, BODY_MAX);
    got = mp_http1_take(&h, MP_STR("HTTP/1.1 200 OK\r\n"), &used);
    for (; got == MP_HTTP1_MORE && sent < 1000000; sent++)
        got = mp_http1_take(&h, MP_STR("a"), &used);
    assert_int_equal(got, MP_HTTP1_BAD);
    assert_int_equal(sent, MP_HTTP1_LINE_BYTES + 1);
    mp_http1_begin(&h, BODY_MAX);
    got = mp_http1_take(&h, MP_STR("HTTP/1.1 200 OK\r\n"), &used);
    for (sent = 0; got == MP_HTTP1_MORE && sent < 1000000; sent++)
        got = mp_http1_take(&h, MP_STR("a:b\r\n"), &used);
    assert_int_equal(got, MP_HTTP1_BAD);
    assert_in_range(sent * 5, MP_HTTP1_HEAD_BYTES_MAX - 100, MP_HTTP1_HEAD_BYTES_MAX);
    mp_http1_begin(&h, BODY_MAX);
    got = mp_http1_take(&h, MP_STR("HTTP/1.1 200 OK\r\n\r\n"), &used);
    for (sent = 0; got == MP_HTTP1_MORE && sent < 1000000; sent++)
        got = mp_http1_take(&h, MP_STR("b"), &used);
    assert_int_equal(sent, BODY_MAX + 1);
    mp_http1_free(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_read_whole_and_in_pieces),
        cmocka_unit_test(what_follows_is_left),
        cmocka_unit_test(heads_without_end_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
