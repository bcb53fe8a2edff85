/* SPDX-License-Identifier: Apache-2.0
 * The certificates of the port for proxies: files that must be good at the start, that are taken
 * anew when they are others, and that are told of when they are out of date.
 */
#include <string.h>
#include <sys/stat.h>

#include "base/hash.h"
#include "daemon/mesh_priv.h"

struct own_file {
    const char *option, *path; /* NULL: not given */
    enum mp_pem_kind kind;
};
#define OWN_FILES 3

static void list_files(const struct mp_daemon_options *o, struct own_file out[OWN_FILES])
{
    out[0] = (struct own_file){"xds-cert", o->xds_cert, MP_PEM_CERTIFICATES};
    out[1] = (struct own_file){"xds-key", o->xds_key, MP_PEM_KEY};
    out[2] = (struct own_file){"xds-ca", o->xds_ca, MP_PEM_CERTIFICATES};
}

/* Names nothing that is in them: times, sizes, and which files they are. */
static uint64_t mark_of(const struct own_file files[OWN_FILES])
{
    struct mp_hash_key key = {0x6d657368, 0};
    for (int i = 0; i < OWN_FILES; i++) {
        struct stat st;
        uint64_t seen[4] = {0};
        if (files[i].path != NULL && stat(files[i].path, &st) == 0) {
            seen[0] = (uint64_t)st.st_mtim.tv_sec;
            seen[1] = (uint64_t)st.st_mtim.tv_nsec;
            seen[2] = (uint64_t)st.st_size;
            seen[3] = (uint64_t)st.st_ino;
        }
        key.k1 = mp_siphash(key, seen, sizeof seen);
    }
    return key.k1;
}

/* The port itself would not know which option is meant. */
bool mesh_certificates_ready(struct dm_mesh *m)
{
    struct own_file files[OWN_FILES];
    char why[160] = "no memory";
    list_files(m->d->options, files);
    m->files = mark_of(files);
    for (int i = 0; i < OWN_FILES; i++) {
        if (files[i].path == NULL) return true; /* all three or none: the port says so */
    }
    for (int i = 0; i < OWN_FILES; i++) {
        if (mp_pem_file(files[i].path, files[i].kind, NULL, why, sizeof why) == MP_OK) continue;
        fprintf(stderr, "mpol run: --%s=%s: %s\n", files[i].option, files[i].path, why);
        return false;
    }
    return true;
}

/* Somebody who renews certificates writes one file after the other: what does not fit together yet
 * is told, and taken with the next. */
static void renew(struct dm_mesh *m)
{
    const struct mp_daemon_options *o = m->d->options;
    const struct mp_grpc_options fresh = {.cert = o->xds_cert, .key = o->xds_key,
                                          .client_ca = o->xds_ca};
    char why[OUT_OF_DATE_BYTES];
    enum mp_err err = mp_grpc_renew(m->server, &fresh, why, sizeof why);
    if (err == MP_OK) err = mp_prover_renew(m->prover, o->xds_cert, o->xds_key);
    snprintf(m->not_used, sizeof m->not_used, "%s", err == MP_OK ? "" : why);
    if (err == MP_OK) {
        dm_log(m->d, "info", "the certificates of the port have been renewed");
    } else {
        dm_log(m->d, "warn", "--xds: %s; what was there before is used on", why);
    }
}

int64_t mesh_now_s(const struct dm_mesh *m) { return m->d->os.wall_ns(m->d->os.ctx) / 1000000000; }

/* Nobody comes in with a certificate that is out of date, on either side. Told once for each. */
static void look_at_dates(struct dm_mesh *m)
{
    char why[OUT_OF_DATE_BYTES] = "";
    int64_t now_s = mesh_now_s(m);
    if (m->secrets != NULL) dm_secrets_look(m->secrets, now_s);
    mp_grpc_out_of_date(m->server, now_s, why, sizeof why);
    if (strcmp(why, m->out_of_date) == 0) return;
    memcpy(m->out_of_date, why, sizeof why);
    if (why[0] != '\0') dm_log(m->d, "warn", "--xds: %s: proxies are not let in with it", why);
}

void mesh_certificates_look(struct dm_mesh *m)
{
    struct own_file files[OWN_FILES];
    list_files(m->d->options, files);
    uint64_t mark = mark_of(files);
    if (mark != m->files && files[0].path != NULL) renew(m);
    m->files = mark;
    look_at_dates(m);
}
