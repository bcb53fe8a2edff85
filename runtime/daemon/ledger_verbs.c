/* SPDX-License-Identifier: Apache-2.0
 * `mpol ledger verify|show|export|prune`: on the folder of state, whether a daemon runs on it or
 * not.
 */
#include "daemon/daemon_priv.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ledger/ledger.h"
#include "os/std.h"

struct walk {
    struct mp_os os;
    uint8_t hash[MP_STORE_HASH];
    uint64_t seq, count;
    uint64_t broken_at; /* 0: none */
    const char *what;
    mp_str rule;
    struct dm_root *roots; /* by seq */
    uint32_t root_count;
    uint32_t next_root; /* the first that has not been compared */
    bool keyed;
    uint8_t key[MP_ED25519_KEY_BYTES];
};

/* ---- roots ---- */

static bool take_root(void *ctx, uint64_t id, mp_str bytes)
{
    struct walk *w = ctx;
    struct dm_root *grown = realloc(w->roots, (w->root_count + 1) * sizeof *grown);
    if (grown == NULL || bytes.len != sizeof *grown) {
        w->what = grown == NULL ? "out of memory" : "a root that is none";
        if (grown != NULL) w->roots = grown;
        return false;
    }
    w->roots = grown;
    memcpy(&w->roots[w->root_count++], bytes.ptr, bytes.len);
    return true;
}

static const char *root_fault(const struct walk *w, const struct dm_root *root)
{
    char text[DM_ROOT_TEXT_MAX];
    if (memcmp(root->hash, w->hash, MP_STORE_HASH) != 0)
        return "the signed root is of another chain";
    mp_str key = {(const char *)w->key, sizeof w->key};
    mp_str signature = {(const char *)root->signature, sizeof root->signature};
    bool good = mp_crypto_ed25519_verify(key, dm_root_text(root, text), signature) == MP_OK;
    return good ? NULL : "the root is not signed with this key";
}

/* The root at the entry that has just been linked, where there is one. */
static bool compare_root(struct walk *w)
{
    while (w->next_root < w->root_count && w->roots[w->next_root].seq < w->seq) w->next_root++;
    if (!w->keyed || w->next_root == w->root_count || w->roots[w->next_root].seq != w->seq)
        return true;
    w->what = root_fault(w, &w->roots[w->next_root++]);
    if (w->what != NULL) w->broken_at = w->seq;
    return w->what == NULL;
}

/* False: it has said why. */
static bool read_roots(struct mp_store_reader *r, struct walk *w, const char *state_dir,
                       const char *given)
{
    char own[4200];
    snprintf(own, sizeof own, "%s/ledger.pub", state_dir);
    if (mp_store_reader_rows(r, DM_ROW_ROOT, w, take_root) != MP_OK || w->what != NULL) {
        fprintf(stderr, "mpol ledger: %s\n",
                w->what != NULL ? w->what : "the roots cannot be read");
        return false;
    }
    enum mp_err err = dm_root_key_read(given != NULL ? given : own, w->key);
    w->keyed = err == MP_OK;
    if (w->keyed || (given == NULL && w->root_count == 0)) return true;
    fprintf(stderr, "mpol ledger: %s: %s\n", given != NULL ? given : own,
            err == MP_EINVAL ? "no public key of Ed25519" : mp_err_text(err));
    return false;
}

/* ---- the chain ---- */

static bool link_entry(void *ctx, uint64_t seq, int64_t time_ns, mp_str json, const uint8_t *hash)
{
    struct walk *w = ctx;
    if (seq != w->seq + 1) {
        w->broken_at = w->seq + 1;
        w->what = "an entry is missing";
        return false;
    }
    if (mp_ledger_link(&w->os, json, w->hash) != MP_OK ||
        memcmp(w->hash, hash, MP_STORE_HASH) != 0) {
        w->broken_at = seq;
        w->what = "the entry was changed";
        return false;
    }
    w->seq = seq;
    w->count++;
    return compare_root(w);
}

/* What was signed and is not there any more: somebody has cut the end off. */
static bool is_cut(const struct walk *w)
{
    return w->root_count > 0 && w->roots[w->root_count - 1].seq > w->seq;
}

static void print_hex(const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) printf("%02x", bytes[i]);
}

static int verify(struct mp_store_reader *r, struct walk *w)
{
    uint64_t base;
    if (mp_store_reader_base(r, &base, w->hash) != MP_OK) return 2;
    w->seq = base;
    enum mp_err err = compare_root(w) ? mp_store_reader_entries(r, base, w, link_entry) : MP_OK;
    if (w->broken_at == 0 && err == MP_OK && is_cut(w)) {
        w->broken_at = w->seq + 1;
        w->what = "entries are missing at the end, a root was signed for them";
    }
    if (w->broken_at != 0) {
        printf("broken at entry %" PRIu64 ": %s\n", w->broken_at, w->what);
        return 1;
    }
    if (err != MP_OK) {
        fprintf(stderr, "mpol ledger: %s\n", mp_err_text(err));
        return 2;
    }
    printf("%" PRIu64 " entries, the chain holds", w->count);
    if (base > 0) printf(" from entry %" PRIu64 " on (those before it were pruned)", base + 1);
    printf("\nhead ");
    print_hex(w->hash, MP_STORE_HASH);
    if (w->root_count == 0) {
        printf("\nno root was signed yet\n");
    } else {
        printf("\nsigned up to entry %" PRIu64 "\n", w->roots[w->root_count - 1].seq);
    }
    return 0;
}

/* The canonical text has its members in a fixed order, so `"rule":"NAME"` is found as it stands. */
static bool is_of_rule(mp_str json, mp_str rule)
{
    char wanted[600];
    int len = snprintf(wanted, sizeof wanted, "\"rule\":\"%.*s\",", MP_STR_ARG(rule));
    if (rule.len == 0) return true;
    bool whole = len > 0 && (size_t)len < sizeof wanted; /* a longer name is no rule's */
    return whole && mp_str_contains(json, (mp_str){wanted, (size_t)len});
}

static bool print_entry(void *ctx, uint64_t seq, int64_t time_ns, mp_str json, const uint8_t *hash)
{
    struct walk *w = ctx;
    if (is_of_rule(json, w->rule)) printf("%.*s\n", MP_STR_ARG(json));
    return true;
}

static bool export_entry(void *ctx, uint64_t seq, int64_t time_ns, mp_str json, const uint8_t *hash)
{
    printf("{\"hash\":\"");
    print_hex(hash, MP_STORE_HASH);
    printf("\",\"entry\":%.*s}\n", MP_STR_ARG(json));
    return true;
}

/* After the entries, so that what was exported can be verified where it goes. */
static void export_roots(const struct walk *w)
{
    for (uint32_t i = 0; i < w->root_count; i++) {
        const struct dm_root *root = &w->roots[i];
        printf("{\"root\":{\"seq\":%" PRIu64 ",\"time_ns\":%" PRId64 ",\"hash\":\"", root->seq,
               root->time_ns);
        print_hex(root->hash, MP_STORE_HASH);
        printf("\",\"signature\":\"");
        print_hex(root->signature, sizeof root->signature);
        printf("\"}}\n");
    }
}

static int prune(const char *dir, const char *before)
{
    int64_t before_ns;
    uint64_t removed;
    const char *why = "";
    if (before == NULL || !mp_read_time(mp_str_of(before), &before_ns)) {
        fprintf(stderr, "mpol ledger prune: --before=TIME: 2026-11-23T00:00:00Z\n");
        return 2;
    }
    if (mp_store_prune(dir, before_ns, &removed, &why) != MP_OK) {
        fprintf(stderr, "mpol ledger prune: %s\n", why);
        return 2;
    }
    printf("%" PRIu64 " entries removed\n", removed);
    return 0;
}

static int read_ledger(struct mp_store_reader *r, const struct mp_daemon_ledger *q)
{
    struct walk w = {.rule = mp_str_of(q->rule)};
    mp_std_os(&w.os);
    int code = 2;
    if (strcmp(q->word, "show") == 0) {
        code = mp_store_reader_entries(r, 0, &w, print_entry) == MP_OK ? 0 : 2;
    } else if (strcmp(q->word, "verify") == 0) {
        if (read_roots(r, &w, q->state_dir, q->key)) code = verify(r, &w);
    } else if (strcmp(q->word, "export") == 0) {
        code = mp_store_reader_entries(r, 0, &w, export_entry) == MP_OK ? 0 : 2;
        if (mp_store_reader_rows(r, DM_ROW_ROOT, &w, take_root) != MP_OK) code = 2;
        export_roots(&w);
    } else {
        fprintf(stderr, "mpol ledger: verify, show, export or prune, not `%s`\n", q->word);
    }
    free(w.roots);
    return code;
}

int mpol_daemon_ledger(const struct mp_daemon_ledger *question)
{
    struct mp_store_reader *r = NULL;
    const char *why = "";
    if (strcmp(question->word, "prune") == 0) return prune(question->state_dir, question->before);
    if (mp_store_reader_open(question->state_dir, &r, &why) != MP_OK) {
        fprintf(stderr, "mpol ledger: %s\n", why);
        return 2;
    }
    int code = read_ledger(r, question);
    mp_store_reader_close(r);
    fflush(stdout);
    return code;
}
