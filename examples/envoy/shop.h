/* SPDX-License-Identifier: Apache-2.0
 * shop.h - the shop of the live example behind unmodified Envoys: who is where, and what each
 * part does.
 *
 *   load.c      customers on many loopback addresses, workloads with their certificates
 *      │ TLS
 *   topology.c  gateway ──mTLS──▶ sidecars of checkout (3), catalog (v1, v2), account;
 *      │                          an edge connector;
 *      │                          `mpol run` is control plane and sink of all of them
 *   services.c  what they stand in front of
 *
 *   ca.c        a throw-away CA
 *   wire.c      one HTTP/1.1 connection over TLS
 *   child.c     processes, by pid
 *   follow.c    what mpol says it does, for ../telling
 *   watch.c     single clients of a story, whose every answer counts
 *   story_*.c   what goes wrong, and what must have happened then, seen from the clients
 *   shop.c      starts all of it, tells the stories, ends all of it
 *
 * Threads: services, load and stories have threads of their own; what is shared is atomic or locked
 * inside of its file. Everything listens on 127.0.0.1, on ports that were free at the start.
 */
#ifndef EXAMPLES_ENVOY_SHOP_H
#define EXAMPLES_ENVOY_SHOP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/ssl.h>

#include "telling.h"

#define SHOP_PATH 512
#define SHOP_ID(name) "spiffe://shop/ns/default/sa/" name

/* ---- shop.c ---- */

/* Story 4 has two: a rule each. */
enum tale { SICK, STUFFING, STRAY, LEAK, LEAK_STOPPED, SLOW, SURGE, KILLED, TALES };

/* The folder of this run: keys, bootstraps, logs, mpol's state. */
extern char shop_dir[SHOP_PATH];
/* DIR/NAME into `out`. */
const char *shop_path(char out[SHOP_PATH], const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Until then a story may wait: `seconds` from now, and never longer than the example lasts. */
int64_t shop_until(double seconds);
/* 127.0.0.1, any port. */
struct sockaddr;
const struct sockaddr *shop_loopback(void);

/* ---- ca.c ---- */

enum identity {
    ID_GATEWAY,
    ID_CHECKOUT,
    ID_CATALOG,
    ID_ACCOUNT,
    ID_EDGE,
    ID_CART,
    ID_REPORT,
    ID_BATCH,
    ID_EXPORT,
    IDENTITIES
};
#define ID_NONE IDENTITIES /* shows no certificate */

extern const char *const shop_identities[IDENTITIES]; /* SPIFFE IDs */
/* Makes the CA and a key and a certificate for each identity: ca.pem, NAME.pem and NAME.key in
 * shop_dir. */
bool ca_make(void);
/* The last part of an identity: the name of its files. */
const char *ca_name(enum identity id);
/* For connections of clients that show `id`: HTTP/1.1, the server is verified against the CA.
 * Lives as long as the process. */
SSL_CTX *ca_client(enum identity id);

/* ---- child.c ---- */

struct child {
    int pid;     /* 0: none */
    int out;     /* its standard error, if asked for; else -1 */
    char name[32];
};

/* Starts `argv` (a NULL at the end). Standard output goes to `out_file` and standard error to
 * `log_file` in shop_dir; either may be NULL: thrown away, or, for the log, readable at
 * child->out. It ends with us. */
bool child_start(struct child *child, const char *const *argv, const char *out_file,
                 const char *log_file);
bool child_alive(struct child *child);
/* SIGTERM, after `patience_ns` SIGKILL; waits. Nothing for one that has ended. */
void child_stop(struct child *child, int64_t patience_ns);
/* SIGKILL, now; waits. */
void child_kill(struct child *child);
/* Runs `argv` to its end, at most 10 s; its standard output into `out`. Answers the exit code,
 * -1: none. */
int child_run(const char *const *argv, const char *out_file);

/* ---- services.c ---- */

enum app { CHECKOUT_1, CHECKOUT_2, CHECKOUT_3, CATALOG_1, CATALOG_2, ACCOUNT_1, OUTSIDE, APPS };

struct app_place {
    const char *service, *instance, *version;
    enum identity id;
    uint16_t port;       /* where it answers */
    uint16_t proxy_port; /* where its Envoy does */
    uint16_t admin_port; /* of that Envoy */
};
extern struct app_place shop_apps[APPS];

bool apps_start(uint64_t seed);
void apps_stop(void);
/* Answers this share of its requests with 503; and all of them so much later. 0 heals it. */
void app_fault(enum app app, unsigned permille, unsigned delay_ms);
/* How many requests have reached it. */
unsigned long app_requests(enum app app);

/* ---- topology.c ---- */

extern uint16_t shop_gateway_port, shop_xds_port;

/* Which Envoys load libmpol_envoy.so, where the build has it: those of the service that has
 * streams. */
enum modules { MODULES_NONE, MODULES_CATALOG, MODULES_ALL };
/* Whether this build has what the stories need; else says what is missing. */
bool mesh_check(enum modules modules);
bool mesh_start(const char *envoy);
void mesh_stop(void);
/* Kills what was started, from any thread, and waits for nothing. */
void mesh_abandon(void);
/* mpol alone: again after a kill; false if it is not ready in time. */
bool control_start(void);
void control_kill(void);
bool control_alive(void);
/* True if every Envoy is alive; names the first one that is not. */
bool mesh_alive(const char **which);
enum modules mesh_modules(void);
/* GET `path` of an Envoy's admin page, at most `size` - 1 bytes, with a NUL. `port` 0: the
 * gateway's. */
bool mesh_admin(uint16_t port, const char *path, char *out, size_t size);
/* `mpol VERB… --state DIR`; what it answers goes to `file` in shop_dir. */
void control_ask(const char *const *verb, const char *file);
/* Prints such a file, if it is there. */
void control_print(const char *file);

/* ---- follow.c ---- */

/* Reads mpol's log until it ends, in a thread of its own; transitions go to tell_entry(). */
bool follow_start(int fd);
void follow_join(void);
/* Of the newest lease in force of this rule and target: its id; 0: none. */
uint64_t follow_lease(const char *rule, const char *target);

/* ---- wire.c ---- */

struct wire_place {
    const char *from; /* the address to call from */
    uint16_t port;
    SSL_CTX *tls;
};

struct wire_ask {
    const char *method, *path, *host, *headers; /* headers: lines with \r\n, or NULL */
    size_t body_bytes;
};

struct wire_answer {
    int status;        /* 0: no answer */
    bool fresh;        /* on a connection that was opened for it */
    bool resumed;      /* ... whose TLS session was resumed */
    char instance[32]; /* that answered */
    int64_t took_ns;
};

struct wire; /* one connection, kept alive */

struct wire *wire_create(const struct wire_place *place);
void wire_destroy(struct wire *wire);
/* Asks on the connection that is open, else on a new one. */
struct wire_answer wire_get(struct wire *wire, const struct wire_ask *ask);
/* Closes the connection; the session ticket is kept. */
void wire_drop(struct wire *wire);
bool wire_is_open(const struct wire *wire);
/* Whether the next connection tries to resume the session of the last. Off at first. */
void wire_resume(struct wire *wire, bool on);
/* Sends the request and reads the head of the answer; wire_more() then reads what comes, and
 * answers false when the stream has ended, was cut, or was silent for 2 s. */
struct wire_answer wire_open_stream(struct wire *wire, const struct wire_ask *ask);
bool wire_more(struct wire *wire);

/* ---- load.c ---- */

enum kind { CUSTOMER, SHOPPER, LOGGER_IN, CART, GUESSER, OFFENDER, KINDS };

struct counts {
    atomic_ulong sent, good, failed, refused; /* as these clients saw it; refused: 403 or 429 */
};
extern struct counts load_counts[KINDS];

bool load_start(uint64_t seed);
void load_stop(void);
/* How many requests a second all clients of a kind send together; 0 is silence. */
void load_set(enum kind kind, unsigned per_second);
/* Is told of every answer. NULL: nobody is. */
typedef void (*load_fn)(enum kind kind, const char *from, const struct wire_answer *answer);
void load_watch(load_fn fn);
/* Forgets what was counted of a kind. */
void load_reset(enum kind kind);

/* ---- watch.c: one client of a story, whose every answer counts ---- */

enum role {
    BAD,   /* what it does is what the tale is about */
    GOOD,  /* must not be hurt */
    SUSPECT /* does nothing wrong, and has the name of one who does */
};

struct watch_plan {
    const char *from;
    uint16_t port;
    enum identity id;
    const char *method, *path, *headers;
    const char *hosts[4]; /* the next after each success; none: "shop" */
    size_t body_bytes;
    unsigned per_second;
    int tale;
    enum role role;
};

struct watch_seen {
    unsigned long sent, passed, refused, failed;
    unsigned long passed_after; /* begun after the tale's first step was in force */
    unsigned long refused_kept; /* refused on a connection that was there before */
    int64_t first_refused_ns, last_passed_ns;
    int last_status;
};

struct watch;

struct watch *watch_start(const struct watch_plan *plan);
struct watch_seen watch_look(const struct watch *watch);
/* Waits until it has been answered `count` more times; false at `until_ns`. */
bool watch_more(const struct watch *watch, unsigned long count, int64_t until_ns);
/* Ends and frees it. */
struct watch_seen watch_stop(struct watch *watch);

/* A stream that is read for as long as it comes. */
struct stream;

struct stream *stream_start(const struct wire_place *place, const char *path);
bool stream_flows(const struct stream *stream);
/* Waits until it has ended, or until `until_ns`; answers when it ended, 0: it flows. */
int64_t stream_end_ns(const struct stream *stream, int64_t until_ns);
void stream_stop(struct stream *stream);

/* ---- story_*.c: each begins its tale, waits for what the policy says, and checks it ---- */

void story_sick(void);
void story_stuffing(void);
void story_stray(void);
void story_leak(void);
void story_slow(void);
void story_surge(void);
void story_killed(void);

#endif
