/* SPDX-License-Identifier: Apache-2.0 */
#include "tls/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "tls/pem.h"

#define TROUBLE_BYTES 256
#define ALPN_BYTES_MAX 32
#define SHOWN_BYTES 160 /* LIMIT: of a name for a log; what is longer is cut */

struct mp_tls_context {
    SSL_CTX *ctx;
    unsigned refs; /* whoever made it, and its connections */
    bool server;
    unsigned char alpn[ALPN_BYTES_MAX]; /* with its length before it, as it goes over the wire */
    unsigned alpn_len;
    struct mp_pem_dates own, trusted;
};

struct mp_tls {
    struct mp_tls_context *context;
    SSL *ssl;
    BIO *in, *out; /* memory; the SSL owns them */
    bool ready, broken;
    char trouble[TROUBLE_BYTES];
    char shown[SHOWN_BYTES]; /* mp_tls_shown_name() */
};

/* ---- contexts ---- */

static enum mp_err complain(char *why, size_t why_size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static enum mp_err complain(char *why, size_t why_size, const char *format, ...)
{
    unsigned long code = ERR_peek_last_error();
    const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;
    va_list args;
    va_start(args, format);
    int len = vsnprintf(why, why_size, format, args);
    va_end(args);
    if (reason != NULL && len >= 0 && (size_t)len < why_size) {
        snprintf(why + len, why_size - (size_t)len, ": %s", reason);
    }
    ERR_clear_error();
    return MP_EINVAL;
}

static int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                       const unsigned char *offered, unsigned offered_len, void *arg)
{
    const struct mp_tls_context *c = arg;
    unsigned char *chosen;
    if (SSL_select_next_proto(&chosen, out_len, c->alpn, c->alpn_len, offered, offered_len) !=
        OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static void set_alpn(struct mp_tls_context *c, const char *alpn)
{
    if (alpn == NULL) return;
    size_t len = strlen(alpn);
    MP_ASSERT(len > 0 && len < ALPN_BYTES_MAX);
    c->alpn[0] = (unsigned char)len;
    memcpy(c->alpn + 1, alpn, len);
    c->alpn_len = (unsigned)len + 1;
    if (c->server) {
        SSL_CTX_set_alpn_select_cb(c->ctx, choose_alpn, c);
    } else {
        SSL_CTX_set_alpn_protos(c->ctx, c->alpn, c->alpn_len);
    }
}

/* What is in the file is looked at before OpenSSL loads it, which would not say what is wrong. */
static enum mp_err look_at(const char *path, enum mp_pem_kind kind, struct mp_pem_dates *dates,
                           char *why, size_t why_size)
{
    char text[160];
    enum mp_err err = mp_pem_file(path, kind, dates, text, sizeof text);
    if (err == MP_EINVAL) snprintf(why, why_size, "%s: %s", path, text);
    return err;
}

static enum mp_err load_own(struct mp_tls_context *c, const struct mp_tls_options *o, char *why,
                            size_t why_size)
{
    if (o->cert == NULL) return MP_OK;
    MP_TRY(look_at(o->cert, MP_PEM_CERTIFICATES, &c->own, why, why_size));
    MP_TRY(look_at(o->key, MP_PEM_KEY, NULL, why, why_size));
    if (SSL_CTX_use_certificate_chain_file(c->ctx, o->cert) != 1) {
        return complain(why, why_size, "%s: cannot be used", o->cert);
    }
    /* A key of another kind is refused by the first, one of the same kind by the second. */
    if (SSL_CTX_use_PrivateKey_file(c->ctx, o->key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(c->ctx) != 1) {
        return complain(why, why_size, "%s: not the key of %s", o->key, o->cert);
    }
    return MP_OK;
}

static void note_shown(struct mp_tls *t, const X509 *cert);

/* OpenSSL keeps no certificate that it refuses: this is the time to see whose it says it is. */
static int look_at_peer(int good, X509_STORE_CTX *store)
{
    const SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    if (good != 1) note_shown(SSL_get_app_data(ssl), X509_STORE_CTX_get0_cert(store));
    return good;
}

static enum mp_err load_trust(struct mp_tls_context *c, const struct mp_tls_options *o, char *why,
                              size_t why_size)
{
    SSL_CTX *ctx = c->ctx;
    SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
    if (o->ca == NULL) return MP_OK;
    MP_TRY(look_at(o->ca, MP_PEM_CERTIFICATES, &c->trusted, why, why_size));
    if (SSL_CTX_load_verify_file(ctx, o->ca) != 1) {
        return complain(why, why_size, "%s: cannot be used", o->ca);
    }
    if (o->server) {
        STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(o->ca);
        if (names == NULL) return complain(why, why_size, "%s: cannot be used", o->ca);
        SSL_CTX_set_client_CA_list(ctx, names);
    }
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, look_at_peer);
    return MP_OK;
}

/* No session is resumed: a peer is verified by its certificate each time, so that one that was
 * withdrawn does not live on in a ticket. */
static void set_rules(SSL_CTX *ctx)
{
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET);
    SSL_CTX_set_num_tickets(ctx, 0);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
}

enum mp_err mp_tls_context_create(const struct mp_tls_options *o, struct mp_tls_context **out,
                                  char *why, size_t why_size)
{
    MP_ASSERT((o->cert == NULL) == (o->key == NULL));
    MP_ASSERT(!o->server || o->cert != NULL);
    struct mp_tls_context *c = calloc(1, sizeof *c);
    if (c == NULL) return MP_ENOMEM;
    c->refs = 1;
    c->server = o->server;
    c->own = c->trusted = (struct mp_pem_dates){.from_s = INT64_MIN, .until_s = INT64_MAX};
    c->ctx = SSL_CTX_new(o->server ? TLS_server_method() : TLS_client_method());
    enum mp_err err = c->ctx != NULL ? MP_OK : MP_ENOMEM;
    if (err == MP_OK) {
        ERR_clear_error();
        set_rules(c->ctx);
        set_alpn(c, o->alpn);
        err = load_own(c, o, why, why_size);
    }
    if (err == MP_OK) err = load_trust(c, o, why, why_size);
    if (err != MP_OK) {
        mp_tls_context_destroy(c);
        return err;
    }
    *out = c;
    return MP_OK;
}

void mp_tls_context_destroy(struct mp_tls_context *c)
{
    if (c == NULL || --c->refs > 0) return;
    SSL_CTX_free(c->ctx);
    free(c);
}

/* ---- dates ---- */

bool mp_tls_out_of_date(const struct mp_tls_context *c, int64_t now_s, char *why, size_t why_size)
{
    return mp_pem_out_of_date(&c->own, now_s, "the certificate", why, why_size) ||
           mp_pem_out_of_date(&c->trusted, now_s, "the authority", why, why_size);
}

/* ---- connections ---- */

/* Both memory BIOs, or none. */
static bool give_memory(struct mp_tls *t)
{
    t->in = BIO_new(BIO_s_mem());
    t->out = BIO_new(BIO_s_mem());
    if (t->in == NULL || t->out == NULL) {
        BIO_free(t->in);
        BIO_free(t->out);
        return false;
    }
    BIO_set_mem_eof_return(t->in, -1); /* empty is "not yet", not the end */
    SSL_set_bio(t->ssl, t->in, t->out);
    return true;
}

enum mp_err mp_tls_create(struct mp_tls_context *context, struct mp_tls **out)
{
    struct mp_tls *t = calloc(1, sizeof *t);
    if (t == NULL) return MP_ENOMEM;
    t->context = context;
    t->ssl = SSL_new(context->ctx);
    if (t->ssl == NULL || !give_memory(t)) {
        SSL_free(t->ssl);
        free(t);
        return MP_ENOMEM;
    }
    SSL_set_app_data(t->ssl, t);
    if (context->server) {
        SSL_set_accept_state(t->ssl);
    } else {
        SSL_set_connect_state(t->ssl);
        SSL_do_handshake(t->ssl); /* wants an answer; its first bytes are in `out` */
    }
    ERR_clear_error();
    context->refs++;
    *out = t;
    return MP_OK;
}

void mp_tls_destroy(struct mp_tls *t)
{
    if (t == NULL) return;
    SSL_free(t->ssl);
    mp_tls_context_destroy(t->context);
    free(t);
}

static enum mp_err broken(struct mp_tls *t, const char *what)
{
    unsigned long code = ERR_peek_error();
    const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;
    long verified = SSL_get_verify_result(t->ssl);
    if (verified != X509_V_OK) { /* says all that the reason says, and more */
        what = "the certificate";
        reason = X509_verify_cert_error_string(verified);
    }
    snprintf(t->trouble, sizeof t->trouble, "%s%s%s", what, reason != NULL ? ": " : "",
             reason != NULL ? reason : "");
    t->broken = true;
    ERR_clear_error();
    return MP_EINVAL;
}

/* The answer of an operation of OpenSSL that did not succeed: not yet, or never. */
static enum mp_err failed(struct mp_tls *t, int answer)
{
    int code = SSL_get_error(t->ssl, answer);
    if (code == SSL_ERROR_WANT_READ || code == SSL_ERROR_WANT_WRITE) return MP_OK;
    if (code == SSL_ERROR_ZERO_RETURN) return MP_OK;
    return broken(t, "TLS");
}

static bool speaks(const struct mp_tls *t)
{
    const unsigned char *chosen;
    unsigned len;
    SSL_get0_alpn_selected(t->ssl, &chosen, &len);
    return len + 1 == t->context->alpn_len && memcmp(chosen, t->context->alpn + 1, len) == 0;
}

enum mp_err mp_tls_take(struct mp_tls *t, mp_str wire)
{
    if (t->broken) return MP_EINVAL;
    MP_ASSERT(wire.len <= 1u << 30);
    ERR_clear_error();
    if (wire.len > 0 && BIO_write(t->in, wire.ptr, (int)wire.len) != (int)wire.len)
        return MP_ENOMEM;
    if (t->ready) return MP_OK;
    int answer = SSL_do_handshake(t->ssl);
    if (answer != 1) return failed(t, answer);
    if (t->context->alpn_len > 0 && !speaks(t))
        return broken(t, "the peer does not speak our protocol (ALPN)");
    t->ready = true;
    return MP_OK;
}

enum mp_err mp_tls_read(struct mp_tls *t, char *to, size_t size, size_t *got)
{
    *got = 0;
    if (t->broken) return MP_EINVAL;
    if (!t->ready) return MP_OK;
    ERR_clear_error();
    int answer = SSL_read_ex(t->ssl, to, size, got);
    if (answer == 1) return MP_OK;
    *got = 0;
    return failed(t, answer);
}

enum mp_err mp_tls_write(struct mp_tls *t, mp_str plain)
{
    size_t taken = 0;
    if (t->broken) return MP_EINVAL;
    if (!t->ready) return MP_EAGAIN;
    if (plain.len == 0) return MP_OK;
    ERR_clear_error();
    int answer = SSL_write_ex(t->ssl, plain.ptr, plain.len, &taken);
    /* A BIO in memory takes everything, and renegotiation, which would make us wait, is off. */
    if (answer != 1 || taken != plain.len) return broken(t, "TLS cannot write");
    return MP_OK;
}

void mp_tls_finish(struct mp_tls *t)
{
    if (t->ready && !t->broken) SSL_shutdown(t->ssl);
    ERR_clear_error();
}

mp_str mp_tls_wire(struct mp_tls *t)
{
    char *bytes = NULL;
    long len = BIO_get_mem_data(t->out, &bytes);
    return (mp_str){bytes, len > 0 ? (size_t)len : 0};
}

void mp_tls_wire_sent(struct mp_tls *t, size_t count)
{
    char skipped[4096];
    while (count > 0) { /* LIMIT: count, which is at most what mp_tls_wire showed */
        size_t part = count < sizeof skipped ? count : sizeof skipped;
        int read = BIO_read(t->out, skipped, (int)part);
        MP_ASSERT(read == (int)part);
        count -= part;
    }
}

bool mp_tls_ready(const struct mp_tls *t) { return t->ready && !t->broken; }

bool mp_tls_ended(const struct mp_tls *t)
{
    return (SSL_get_shutdown(t->ssl) & SSL_RECEIVED_SHUTDOWN) != 0;
}

mp_str mp_tls_trouble(const struct mp_tls *t) { return mp_str_of(t->trouble); }

/* ---- who it is ---- */

static bool plain_text(const unsigned char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] <= 0x20 || text[i] >= 0x7f) return false;
    }
    return len > 0;
}

/* The only URI among them, or NULL. */
static const ASN1_STRING *only_uri(const GENERAL_NAMES *names)
{
    const ASN1_STRING *found = NULL;
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        int type;
        const ASN1_STRING *value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, i), &type);
        if (type != GEN_URI) continue;
        if (found != NULL) return NULL;
        found = value;
    }
    return found;
}

enum mp_err mp_tls_identity(const struct mp_tls *t, char *to, size_t size, mp_str *out)
{
    const X509 *cert = SSL_get0_peer_certificate(t->ssl);
    GENERAL_NAMES *names =
        cert != NULL ? X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL) : NULL;
    const ASN1_STRING *uri = names != NULL ? only_uri(names) : NULL;
    enum mp_err err = MP_ENOTFOUND;
    if (uri != NULL && (size_t)ASN1_STRING_length(uri) <= size &&
        plain_text(ASN1_STRING_get0_data(uri), (size_t)ASN1_STRING_length(uri))) {
        *out = (mp_str){to, (size_t)ASN1_STRING_length(uri)};
        memcpy(to, ASN1_STRING_get0_data(uri), out->len);
        err = MP_OK;
    }
    GENERAL_NAMES_free(names);
    return err;
}

/* The first of this type, or NULL. */
static const ASN1_STRING *first_name(const GENERAL_NAMES *names, int wanted)
{
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        int type;
        const ASN1_STRING *value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, i), &type);
        if (type == wanted) return value;
    }
    return NULL;
}

static void note_shown(struct mp_tls *t, const X509 *cert)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    const ASN1_STRING *name = names != NULL ? first_name(names, GEN_URI) : NULL;
    if (name == NULL && names != NULL) name = first_name(names, GEN_DNS);
    if (name != NULL) {
        snprintf(t->shown, sizeof t->shown, "%.*s", ASN1_STRING_length(name),
                 (const char *)ASN1_STRING_get0_data(name));
    } else {
        X509_NAME_oneline(X509_get_subject_name(cert), t->shown, sizeof t->shown);
    }
    for (char *c = t->shown; *c != '\0'; c++) {
        if ((unsigned char)*c <= 0x20 || (unsigned char)*c >= 0x7f) *c = '?';
    }
    GENERAL_NAMES_free(names);
}

mp_str mp_tls_shown_name(struct mp_tls *t)
{
    const X509 *cert = t->shown[0] == '\0' ? SSL_get0_peer_certificate(t->ssl) : NULL;
    if (cert != NULL) note_shown(t, cert);
    return mp_str_of(t->shown);
}
