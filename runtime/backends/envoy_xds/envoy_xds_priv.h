/* SPDX-License-Identifier: Apache-2.0
 * envoy_xds_priv.h - resources that are shared, streams that are told of them, proxies that have
 * them.
 *
 *   backend.c   life, the vtable, apply            content.c  resources, built once for each audience
 *   leases.c    the sets of all owners             ads.c      one stream: requests and responses
 *   progress.c  accepted, effective, trouble       answer.c   what is sent, and what ACK and NACK mean
 *   proxies.c   who is there, who may be whom      proof.c    questions to the prover
 *   turns.c     who is told first
 */
#ifndef MP_ENVOY_XDS_ENVOY_XDS_PRIV_H
#define MP_ENVOY_XDS_ENVOY_XDS_PRIV_H

#include "base/hash.h"
#include "envoy_wire/discovery.h"
#include "envoy_xds/envoy_xds.h"
#include "envoy_xds/names.h"
#include "envoy_xds/resources.h"

#define NODE_MAX 256      /* bytes of a node id */
#define NAME_MAX_BYTES 512 /* of a resource's name in a subscription */
#define WHY_MAX 512       /* of a text for log and ledger */
#define SEEN_MAX 128      /* of what a proxy showed */
#define ROUTES_MAX 64     /* LIMIT: of a proxy's bootstrap */
/* responses of a type that may be unanswered; then changes are merged */
#define WINDOW 4
#define BUCKETS 32        /* of a stream's subscriptions of one type */
#define ASK_BUCKETS 256
#define HELD_TEXTS 64 /* LIMIT: more leases than that are held with the text of the last */
#define HELD_TEXT 256
#define RES_BUCKETS 4096
#define CONTENT_BUCKETS 4096

/* ---- resources ---- */

/* One version of one resource. Whoever points to it holds a reference; one block. */
struct res {
    struct res *next;
    uint64_t hash;
    uint32_t refs;
    size_t size;
    enum mp_envoy_type type;
    mp_str name, version, type_url, bytes;
    struct mp_envoy_proof proof;
};
/* Nothing is known about what the proxy has. */
extern struct res xd_unsent;

/* What one audience is given of one type; of EDS: one cluster, for everybody. */
struct content {
    struct content *next, **at, *in_bucket; /* at: what points here in the list of `next` */
    uint64_t hash;
    uint32_t users; /* streams and subscriptions */
    size_t size;
    enum mp_envoy_type type;
    bool baseline; /* as if there were no lease: for proxies that nobody knows */
    struct mp_envoy_audience audience;
    mp_str name; /* of EDS */
    bool one_of_many; /* its bytes are those of every such audience of its layer */
    struct res **list, **fresh;
    uint32_t count, fresh_count;
    bool built;
};

/* ---- streams ---- */

/* How the variants of the protocol differ; the machine is one. */
struct variant {
    enum mp_discovery_variant wire;
    uint32_t window; /* responses of a type that may be unanswered, <= WINDOW */
    bool lists;      /* a request lists all names: what it leaves out is wanted no more */
    bool removes;    /* a response can say that there is none */
    bool versions;   /* a response has one version, and who takes it repeats that */
    /* Types, as bits, of which a response brings all that the proxy has and not only what is new */
    uint32_t whole;
};

struct flight {
    uint64_t nonce;
    struct res *res; /* NULL: told that there is none */
    uint64_t revision; /* the first that wanted it */
};

/* What an acknowledged version counts as obeyed for. */
enum seen {
    SEEN_NOTHING, /* there is nothing to see */
    SEEN_OBEYS,
    SEEN_BY_NOBODY, /* nobody could look: unproven */
};

/* One resource that a stream subscribed to. `desired`, `sent`, `acked`, `obeyed`: NULL is "there is
 * none", &xd_unsent "not known". */
struct sub {
    struct sub *next, **at, *in_bucket; /* at: what points here in the list of `next` */
    struct mp_envoy_stream *stream;
    enum mp_envoy_type type;
    mp_str name;
    uint64_t hash;
    bool named;  /* subscribed to by name; else by the wildcard alone */
    uint64_t listed; /* the last list of names that had it, by typed.lists */
    /* was in a response that was refused: goes out without others until that is settled */
    bool alone;
    bool again;  /* asked for anew: goes out even if the proxy has it */
    int64_t turn_ns; /* others are told first, but it goes out by then; 0: it waits for nobody */
    struct content *content; /* EDS only: others use the stream's */
    struct res *desired, *sent, *acked, *obeyed, *refused;
    uint64_t unsent_revision; /* the first that wants something else than was sent */
    uint64_t unobeyed_revision; /* the first that was ACKed and not proven; 0: none */
    struct flight flight[WINDOW];
    uint32_t flights;
    uint32_t refusals; /* since the last ACK */
    /* The question to the prover, about `asked`. */
    struct sub *in_asks;
    uint64_t ticket;
    struct res *asked;
    int64_t acked_ns;
    int64_t unobeyed_ns; /* since when unobeyed_revision is not 0, by xd_awake() */
    int64_t merge_ns; /* > 0: counts as obeyed at that time */
    enum seen seen, merge_seen;
    bool shown;    /* since then an answer has shown something else */
    bool disobeys; /* for limits.silent_ns: nothing waits for it; without `shown` nobody knows */
};

struct sent {
    uint64_t nonce;
    int64_t at_ns; /* by xd_awake() */
    uint32_t resources;
};

struct typed {
    struct sub *first, **last;
    struct sub *bucket[BUCKETS];
    struct content *content;
    uint32_t count;
    bool seen;     /* a request of this type came */
    bool wildcard;
    bool unnamed;  /* since nothing was ever named, which means everything */
    bool owes;     /* a wildcard is answered even with nothing */
    uint64_t changes; /* of what is asked for */
    uint64_t lists;   /* of names that came */
    uint64_t nonce;   /* of the newest response */
    /* Where responses have versions: of the newest. A hash of the one before and of what it brings,
     * so that none comes twice. */
    uint64_t version;
    struct sent sent[WINDOW];
    uint32_t sents;
    uint64_t responses, acks, nacks;
};

struct proxy;

struct mp_envoy_stream {
    struct mp_envoy *e;
    struct mp_envoy_stream *next, *before;
    void *wire;
    mp_str address, identity;
    bool authenticated, single;
    enum mp_envoy_type only; /* of a single one */
    const struct variant *variant;
    bool ended;   /* replaced or bad: only `closed` is still to come */
    bool blocked; /* host.send had no room */
    bool doubted; /* another of the same node has come, and this one has answered nothing since */
    struct proxy *proxy; /* NULL until its node is known */
    struct mp_envoy_stream *sibling; /* of the same node */
    uint64_t nonces;
    uint32_t subs;
    struct typed types[MP_ENVOY_TYPES];
    char why[WHY_MAX];
    uint32_t why_len;
};

/* ---- proxies ---- */

/* What is known of its listeners. */
#define VIEW_TEXT 192
struct view {
    uint64_t ticket; /* of the question that is asked; 0: none is */
    bool due;        /* it is to be asked */
    bool open;       /* nothing was answered since it has come */
    int64_t at_ns;   /* when it was asked last */
    uint32_t missing; /* filters that its own listener lacks, a bit each */
    uint32_t text_len;
    char text[VIEW_TEXT];
};

struct proxy {
    struct proxy *next; /* in order of node id */
    size_t size;
    char *texts; /* one block: everything below points there */
    size_t texts_size;
    mp_str id, identity, address, agent, listen, admin;
    struct mp_envoy_audience audience;
    struct mp_envoy_route routes[ROUTES_MAX];
    bool tls, known;
    bool module; /* says its bootstrap; what is known is audience.module */
    int64_t merge_ns; /* until its workers see changed endpoints */
    uint32_t panic_percent;
    bool silent;
    bool twins; /* two streams of all types, and both answer */
    bool recalled; /* from the life before, at whose end it was connected */
    bool listed;   /* the inventory has had its instance */
    bool news;     /* what is kept of it for the next life is not so any more */
    /* the last answer that was no proof */
    char seen[SEEN_MAX];
    uint32_t seen_len;
    /* what a lease needs and it does not ask for; `lacked`: when it was looked at last */
    mp_str lacks, lacked;
    struct view view;
    struct mp_envoy_stream *stream; /* the first of its streams, by `sibling`; NULL: gone */
    int64_t since_ns, ack_ns, nack_ns;
    enum mp_envoy_type nack_type;
    uint32_t nack_name_len, nack_text_len;
    char nack_name[64], nack_text[WHY_MAX];
    uint64_t accepted, effective;
};

/* ---- leases ---- */

struct lease {
    mp_str owner;
    bool carried; /* some proxy has it, or had it */
    bool can;     /* those that must carry it do, as far as is known */
};

/* What is to be in force, of all owners; one arena, replaced whole by every apply. */
struct plan {
    struct mp_arena arena;
    struct mpol_lease *leases; /* in order of owner, then id */
    struct lease *notes;       /* beside them */
    struct mpol_lease *places; /* those about a service or an instance, once more */
    const struct mp_envoy_read *read; /* NULL: there is none yet */
    uint32_t count, place_count;
};

struct mp_envoy {
    struct mp_alloc alloc;
    struct mp_envoy_limits limits;
    struct mp_envoy_world world;
    struct mp_envoy_host host;
    struct mp_envoy_counts counts;

    bool ready; /* a set was applied */
    mp_str owner; /* of the last one; in the plan */
    struct plan plan;
    uint64_t revision, accepted, effective;

    struct res *res[RES_BUCKETS];
    struct content *contents, *content_of[CONTENT_BUCKETS];
    struct mp_envoy_stream *streams;
    uint32_t stream_count;
    struct proxy *proxies;
    uint32_t proxy_count;

    uint64_t tickets;
    struct sub *asks[ASK_BUCKETS];
    uint32_t merging; /* subscriptions with merge_ns */
    uint32_t waiting; /* subscriptions that wait for their turn */

    bool news;    /* of some proxy */
    bool touched; /* progress must be reckoned anew */
    bool regroup; /* and who carries what: leases, proxies or what they ask for have changed */
    bool graced;  /* somebody may yet ask for more */
    bool unsure;  /* and by that decide whether a new lease is carried */
    int64_t looked_ns;
    int64_t awake_ns, passed_ns; /* xd_awake() at that time of the host */
    enum mpol_err trouble;
    char trouble_text[WHY_MAX];
    uint32_t trouble_len;
    struct mpol_lease_trouble *held;
    char *held_texts;
    uint32_t held_count;

    char *wire_bytes; /* one response */
    size_t wire_size;
};

/* ---- memory (backend.c) ---- */

void *xd_alloc(struct mp_envoy *e, size_t size); /* zeroed; NULL */
void xd_free(struct mp_envoy *e, void *ptr, size_t size);
int64_t xd_now(const struct mp_envoy *e);
/* Time in which we ran: when the whole process stood still (a machine that was paused, a disk that
 * hung), nobody could ask and nobody could answer. For whom to accuse. */
int64_t xd_awake(const struct mp_envoy *e);
void xd_pass(struct mp_envoy *e); /* from time to time: what has passed until now is counted */
void xd_log(const struct mp_envoy *e, enum mp_envoy_note note, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Copies text from outside, control characters as '?', cut at `size` between characters. */
uint32_t xd_clean(mp_str text, char *out, size_t size);
/* The same of what is printed. */
uint32_t xd_print(char *out, size_t size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- content.c ---- */

/* A hash of `before` and of this resource; NULL: of `before`. */
uint64_t res_chain(uint64_t before, const struct res *r);
struct res *res_hold(struct res *r);
void res_drop(struct mp_envoy *e, struct res *r);
/* Replaces *at, with references. */
void res_put(struct mp_envoy *e, struct res **at, struct res *r);

/* What this audience gets; builds it if it is the first. The answer has one more user. */
enum mp_err content_get(struct mp_envoy *e, const struct content *like, struct content **out);
/* Lists the leases about places; p->places has room. */
void plan_places(struct plan *p);
void content_leave(struct mp_envoy *e, struct content *c);
struct res *content_find(const struct content *c, mp_str name);
/* Builds anew what `changed` leases concern (NULL: everything) from these leases; nothing is used
 * yet. */
enum mp_err contents_prepare(struct mp_envoy *e, const struct plan *plan,
                             const struct mpol_lease *const *changed, size_t changed_count);
/* Takes what was prepared, or throws it away. */
void contents_commit(struct mp_envoy *e, bool take);

/* ---- leases.c ---- */

/* The leases of `set`, and those of other owners as they are. `changed`: what is new, gone or
 * different now; it holds as long as both plans do. MP_EUNSUPPORTED, MP_EINVAL, MP_ELIMIT,
 * MP_ENOMEM: nothing is held. */
enum mp_err plan_make(struct mp_envoy *e, const struct mpol_desired *set, struct plan *out,
                      const struct mpol_lease ***changed, size_t *changed_count);

/* ---- ads.c: subscriptions ---- */

uint64_t name_hash(mp_str name);
mp_str type_url(enum mp_envoy_type type);
/* The subscription wants what is there now; `revision` is the first that wanted it. */
void sub_want(struct sub *s);
/* All of a stream. */
void stream_want(struct mp_envoy_stream *s);
void stream_end(struct mp_envoy_stream *s, mp_str why);

/* ---- answer.c: responses ---- */

void stream_push(struct mp_envoy_stream *s);
/* The request answers a response: ACK or NACK. False: there is no such response. */
bool stream_answered(struct mp_envoy_stream *s, enum mp_envoy_type type,
                     const struct mp_discovery_request *r);
/* First revision that the proxy has not ACKed of this; 0: none. */
uint64_t sub_pending(const struct sub *s);
/* Is this the newest response of the type, and answered? Then who names it asks anew. */
bool stream_is_settled(const struct typed *t, mp_str nonce);
/* "There is none", for a type that nobody serves. */
void stream_say_none(struct mp_envoy_stream *s, mp_str url, const mp_str *names, size_t count);

/* ---- turns.c: who is told first ---- */

/* After `changed` leases made e->plan of `old`, and everybody wants what there is now: whose turn
 * it is not yet waits. */
void turns_set(struct mp_envoy *e, const struct plan *old, const struct mpol_lease *const *changed,
               size_t changed_count);
/* Sends what has waited for nobody else any more, or for long enough. */
void turns_look(struct mp_envoy *e);
/* It waits no more. */
void turn_end(struct sub *x);

/* ---- proof.c ---- */

void proof_ask(struct sub *s);
void proof_cancel(struct sub *s);
void proof_merge(struct mp_envoy *e, int64_t now_ns);
/* What it acknowledged for long and does not obey is waited for no more; it is asked on. */
void proof_give_up(struct sub *s, int64_t awake_ns);

/* ---- proxies.c ---- */

/* The stream's first request named this node. False: the stream cannot go on (s->why). */
bool proxy_attach(struct mp_envoy_stream *s, const struct mp_discovery_node *node);
void proxy_detach(struct mp_envoy_stream *s);
/* Asks anew whose module carries, and gives proxies what they lack, or need no more. True: some
 * lack something. */
bool proxies_ask_modules(struct mp_envoy *e);
/* Have two proxies its name? Ends an older stream that does not answer. */
void proxy_look_for_twins(struct mp_envoy *e, struct proxy *p, int64_t awake_ns);
/* Does what this proxy does count: known, connected, subscribed to something? */
bool proxy_counts(const struct proxy *p);
/* Forgets those that have been away for limits.forget_ns, and those that are away and that the
 * inventory had and has no more. */
void proxies_forget(struct mp_envoy *e);
void proxies_free(struct mp_envoy *e);

/* ---- carriers.c: who carries a lease ---- */

/* Its verb; a throttle is a "rate" or a "share". */
mp_str lease_verb(const struct mpol_lease *l);
/* Is a cluster of this name that of the service, or of one of its versions? */
bool is_cluster_of(mp_str name, mp_str service);
/* The service whose endpoints it changes; empty: none. */
mp_str lease_cluster(const struct mp_envoy *e, const struct mpol_lease *l);
/* Is it about the proxy's own service or instance? */
bool lease_is_of(const struct mpol_lease *l, const struct proxy *p);
/* About a service or an instance that no inventory and no proxy speaks of: it would change nothing,
 * and must not be told as if it did. */
bool lease_is_of_nobody(const struct mp_envoy *e, const struct mpol_lease *l);
/* Is there something that it was sent and refused? */
bool proxy_refuses(const struct proxy *p);
/* Does the proxy carry a part of it, by itself or for who asks it for a cluster? */
bool proxy_carries(const struct mp_envoy *e, const struct mpol_lease *l, const struct proxy *p);
/* Why a lease is not carried: who would have to and does not, and what it has not asked for. */
/* What a proxy has to do with a lease, in the order of what is told when several are so. */
enum part { NO_PART, CARRIES, UNSEEN, DISOBEYS, REFUSES, LACKS };
struct gap {
    const struct proxy *proxy; /* NULL: there is nobody */
    mp_str lack;               /* empty: it refuses, or does not answer */
    enum part part;            /* of `lack`: what the proxy does with it */
    /* how many lack something, refuse or disobey it; do not; of those, have been seen to obey */
    uint32_t lacking, carriers, obeying;
    bool graced; /* one that has just come lacks something, and may still ask for it */
};

/* Is the lease carried? One proxy that must carry a part and cannot is enough for no; one that
 * has just come may ask for more. `note`: it is remembered who lacks what. */
bool lease_is_carried(struct mp_envoy *e, const struct mpol_lease *l, struct gap *gap, bool note);

/* Does it ask for that? */
bool proxy_asks_for(const struct proxy *p, enum mp_envoy_type type, mp_str name);

/* ---- filters.c: which listeners have them ---- */

/* Has somebody look at its listeners, if it is time. */
void filters_look(struct mp_envoy *e, struct proxy *p);
/* It has just come: nothing is known. */
void filters_forget(struct proxy *p);
/* Does its own listener lack the filter, as far as is known? `young`: it has just come, so what was
 * not looked at yet is not known. `lack` gets it in words. */
bool filters_lacking(const struct mp_envoy *e, const struct proxy *p, mp_str name, bool young,
                     mp_str *lack);

/* ---- held.c: leases that nobody can carry ---- */

/* Lists them anew, with the reason of each. */
void held_reckon(struct mp_envoy *e);
/* Those that can be carried are, when all have taken the newest set. */
void held_note(struct mp_envoy *e);
/* mpol_backend_ops.carries */
enum mpol_err held_ask(void *backend, const struct mpol_lease *lease, char *why, size_t why_size);
/* The words of its last NACK; how many there are. */
uint32_t proxy_say_refused(const struct proxy *p, char *out, size_t size);

/* ---- progress.c ---- */

/* Did the proxy refuse what is wanted now? */
bool sub_refuses(const struct sub *s);
/* It never had a good version, or refuses whatever it is given: no set is to blame for that, and it
 * carries none. */
bool sub_is_hopeless(const struct sub *s);
void progress_reckon(struct mp_envoy *e);
/* mpol_backend_ops.progress */
enum mpol_err progress_tell(void *backend, struct mpol_progress *out);

#endif
