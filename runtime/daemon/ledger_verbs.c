/* SPDX-License-Identifier: Apache-2.0
 * `mpol ledger verify|show|export|prune`: on the folder of state, whether a daemon runs on it or not.
 */
#include "daemon/daemon_priv.h"

#include <inttypes.h>
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
};

static bool link_entry(void *ctx, uint64_t seq, int64_t time_ns, mp_str json, const uint8_t *hash)
{
    struct walk *w = ctx;
    if (seq != w->seq + 1) {
        w->broken_at = w->seq + 1;
        w->what = "an entry is missing";
        return false;
    }
    if (mp_ledger_link(&w->os, json, w->hash) != MP_OK || memcmp(w->hash, hash, MP_STORE_HASH) != 0) {
        w->broken_at = seq;
        w->what = "the entry was changed";
        return false;
    }
    w->seq = seq;
    w->count++;
    return true;
}

static int verify(struct mp_store_reader *r, struct walk *w)
{
    uint64_t base;
    if (mp_store_reader_base(r, &base, w->hash) != MP_OK) return 2;
    w->seq = base;
    enum mp_err err = mp_store_reader_entries(r, base, w, link_entry);
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
    for (int i = 0; i < MP_STORE_HASH; i++) printf("%02x", w->hash[i]);
    printf("\n");
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
    for (int i = 0; i < MP_STORE_HASH; i++) printf("%02x", hash[i]);
    printf("\",\"entry\":%.*s}\n", MP_STR_ARG(json));
    return true;
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

int mpol_daemon_ledger(const char *word, const char *state_dir, const char *before, const char *rule)
{
    struct mp_store_reader *r = NULL;
    struct walk w = {.rule = mp_str_of(rule)};
    const char *why = "";
    int code = 2;
    if (strcmp(word, "prune") == 0) return prune(state_dir, before);
    mp_std_os(&w.os);
    if (mp_store_reader_open(state_dir, &r, &why) != MP_OK) {
        fprintf(stderr, "mpol ledger: %s\n", why);
        return 2;
    }
    if (strcmp(word, "verify") == 0) {
        code = verify(r, &w);
    } else if (strcmp(word, "show") == 0) {
        code = mp_store_reader_entries(r, 0, &w, print_entry) == MP_OK ? 0 : 2;
    } else if (strcmp(word, "export") == 0) {
        code = mp_store_reader_entries(r, 0, &w, export_entry) == MP_OK ? 0 : 2;
    } else {
        fprintf(stderr, "mpol ledger: verify, show, export or prune, not `%s`\n", word);
    }
    mp_store_reader_close(r);
    fflush(stdout);
    return code;
}
