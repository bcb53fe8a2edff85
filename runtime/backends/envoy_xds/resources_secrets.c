/* SPDX-License-Identifier: Apache-2.0
 * Secrets: the certificate of a service with its key, and whom it trusts. New handshakes and
 *          resumed
 * sessions obey; a connection that is there stays, so who is to be shut out at once is denied by
 * identity first.
 */
#include "envoy_xds/resources_priv.h"

/* Secret{name 1, tls_certificate 2, validation_context 4}, TlsCertificate{certificate_chain 1,
 * private_key 2}, CertificateValidationContext{trusted_ca 1, crl 7}, DataSource{inline_bytes 2}. */

static mp_str secret(const struct envoy_build *b, enum mp_envoy_secret which)
{
    const struct mp_envoy_world *w = b->plan->world;
    if (b->plan->no_secrets || w->secret == NULL) return MP_STR("");
    return w->secret(w->ctx, which, b->audience->service);
}

bool mp_envoy_has_secret(const struct envoy_build *b, mp_str name)
{
    if (mp_str_eq(name, MP_STR(MP_ENVOY_TRUST))) return secret(b, MP_ENVOY_SECRET_TRUST).len > 0;
    return secret(b, MP_ENVOY_SECRET_CHAIN).len > 0 && secret(b, MP_ENVOY_SECRET_KEY).len > 0;
}

static void put_source(struct pb_out *out, uint32_t field, mp_str pem)
{
    size_t source = pb_begin(out, field);
    pb_bytes(out, 2, pem);
    pb_end(out, source);
}

static enum mp_err finish(struct envoy_build *b, const struct pb_out *o, mp_str name,
                          struct mp_envoy_resource *out)
{
    if (o->failed) return MP_ENOMEM;
    mp_str version = mp_envoy_version(b->arena, pb_view(o));
    if (version.ptr == NULL) return MP_ENOMEM;
    *out = (struct mp_envoy_resource){.name = name, .version = version, .bytes = pb_view(o),
                                      .type_url = MP_STR(MP_ENVOY_TYPE_SECRET)};
    return MP_OK;
}

enum mp_err mp_envoy_build_certificate(struct envoy_build *b, struct mp_envoy_resource *out)
{
    struct pb_out o = pb_out_arena(b->arena);
    pb_text(&o, 1, MP_STR(MP_ENVOY_CERTIFICATE));
    size_t certificate = pb_begin(&o, 2);
    put_source(&o, 1, secret(b, MP_ENVOY_SECRET_CHAIN));
    put_source(&o, 2, secret(b, MP_ENVOY_SECRET_KEY));
    pb_end(&o, certificate);
    return finish(b, &o, MP_STR(MP_ENVOY_CERTIFICATE), out);
}

enum mp_err mp_envoy_build_trust(struct envoy_build *b, struct mp_envoy_resource *out)
{
    mp_str revoked = secret(b, MP_ENVOY_SECRET_REVOKED);
    struct pb_out o = pb_out_arena(b->arena);
    pb_text(&o, 1, MP_STR(MP_ENVOY_TRUST));
    size_t validation = pb_begin(&o, 4);
    put_source(&o, 1, secret(b, MP_ENVOY_SECRET_TRUST));
    if (revoked.len > 0) put_source(&o, 7, revoked);
    pb_end(&o, validation);
    return finish(b, &o, MP_STR(MP_ENVOY_TRUST), out);
}
