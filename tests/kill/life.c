/* SPDX-License-Identifier: Apache-2.0
 * One life: what is kept is given back, then traffic runs until the life ends, by a kill or by
 * itself. Engine → store goes as in the daemon: what the engine says in one turn is one batch.
 */
#include "kill.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ingest/ingest.h"
#include "ledger/ledger.h"
#include "os/std.h"

#define PENDING_MAX (4u << 20)

/* ---- small things ---- */

uint64_t draw(uint64_t *state, uint64_t below)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u); /* SplitMix64 */
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) % below;
}

void wrong(struct life *l, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(l->shared->problem, sizeof l->shared->problem, format, args);
    va_end(args);
    _exit(1);
}

void at(struct life *l, enum point point)
{
    atomic_fetch_add(&l->shared->ticks, 1);
    if (point == l->plan.point && atomic_fetch_add(&l->hits, 1) + 1 == l->plan.hit)
        kill(getpid(), SIGKILL);
}

static void at_store(void *ctx, enum mp_store_point point)
{
    static const enum point points[MP_STORE_POINTS] = {
        [MP_STORE_BEFORE_BEGIN] = AT_STORE_BEFORE_BEGIN,
        [MP_STORE_AFTER_ROWS] = AT_STORE_AFTER_ROWS,
        [MP_STORE_BEFORE_COMMIT] = AT_STORE_BEFORE_COMMIT,
        [MP_STORE_AFTER_COMMIT] = AT_STORE_AFTER_COMMIT,
    };
    at(ctx, points[point]);
}

static int64_t mono(const struct life *l) { return l->shared->now_ns - l->mono_origin_ns; }

/* ---- engine → store ---- */

struct item {
    bool is_entry;
    uint32_t kind;
    uint64_t id;
    int64_t time_ns;
    uint8_t hash[32];
    size_t len;
};

static void add_item(struct life *l, struct item item, mp_str bytes)
{
    item.len = bytes.len;
    if (l->pending_len + sizeof item + bytes.len > PENDING_MAX) wrong(l, "the store takes nothing");
    memcpy(l->pending + l->pending_len, &item, sizeof item);
    if (bytes.len > 0) memcpy(l->pending + l->pending_len + sizeof item, bytes.ptr, bytes.len);
    l->pending_len += sizeof item + bytes.len;
}

static void on_entry(void *ctx, const struct mp_entry *entry, mp_str json)
{
    struct life *l = ctx;
    struct item item = {.is_entry = true, .id = entry->seq, .time_ns = entry->time_ns};
    at(l, AT_ENTRY);
    mp_engine_chain(l->engine, item.hash);
    add_item(l, item, json);
    if (!model_entry(l->model, entry->seq, json)) wrong(l, "a life says: %s", l->model->problem);
    const struct model_lease *m = model_lease(l->model, entry->lease);
    bool accepted = entry->machine == MP_MACHINE_LEASE && mp_str_eq(entry->to, MP_STR("accepted"));
    if (accepted && !m->message && m->applying_seq > atomic_load(&l->shared->acked)) {
        wrong(l, "lease %llu was called accepted before it was committed",
              (unsigned long long)m->id);
    }
}

static void on_row(void *ctx, const struct mp_state_row *row)
{
    add_item(ctx, (struct item){.kind = (uint32_t)row->kind, .id = row->id}, row->bytes);
}

static size_t batch_bytes(const struct life *l)
{
    size_t total = 0;
    struct item item;
    for (size_t i = 0; i < l->pending_len; i += sizeof item + item.len) {
        memcpy(&item, l->pending + i, sizeof item);
        total += mp_store_item_bytes(item.len);
    }
    return total;
}

static void keep(struct life *l)
{
    struct item item;
    mp_engine_changes(l->engine, l, on_row);
    at(l, AT_ROWS_TOLD);
    if (l->pending_len == 0 || !mp_store_begin(l->store, batch_bytes(l))) return;
    for (size_t i = 0; i < l->pending_len; i += sizeof item + item.len) {
        memcpy(&item, l->pending + i, sizeof item);
        mp_str bytes = {l->pending + i + sizeof item, item.len};
        if (item.is_entry) {
            mp_store_entry(l->store, item.id, item.time_ns, bytes, item.hash);
        } else {
            mp_store_row(l->store, item.kind, item.id, bytes);
        }
        at(l, AT_BATCH_HALF);
    }
    mp_store_end(l->store);
    l->pending_len = 0;
    at(l, AT_BATCH_GIVEN);
}

/* From here on the world may rely on it. */
static void acknowledge(struct life *l)
{
    uint64_t durable = mp_store_durable(l->store);
    if (durable <= atomic_load(&l->shared->acked)) return;
    at(l, AT_COMMITTED_BEGINS);
    atomic_store(&l->shared->acked, durable);
    mp_engine_committed(l->engine, durable);
    at(l, AT_COMMITTED_ENDS);
}

/* ---- messages ---- */

static void deliver(struct life *l, const struct mp_message *m)
{
    struct shared *s = l->shared;
    struct mp_hash_key key = {3, 4};
    if (s->sent_count == SENT_MAX) wrong(l, "the test's list of messages is full");
    s->sent[s->sent_count].text = mp_siphash(key, m->text.ptr, m->text.len);
    s->sent[s->sent_count].id = m->id;
    s->sent_count++;
}

static enum mp_err on_message(void *ctx, const struct mp_message *m)
{
    struct life *l = ctx;
    const struct model_lease *told = model_lease(l->model, m->id);
    if (told == NULL || !told->message)
        wrong(l, "message %llu is in no ledger", (unsigned long long)m->id);
    if (told->admitted_seq > mp_store_durable(l->store)) {
        wrong(l, "message %llu went out before it was committed", (unsigned long long)m->id);
    }
    at(l, AT_SEND_BEGINS);
    uint64_t luck = l->plan.finish ? 0 : draw(&l->random, 4);
    if (luck == 3) return MP_EIO; /* nobody got it */
    deliver(l, m);
    at(l, AT_SEND_ENDS);
    if (luck != 2 || l->in_hand_count == 64) return MP_OK;
    l->in_hand[l->in_hand_count++] = m->id;
    return MP_EAGAIN;
}

/* The answer may come, may say that it failed although somebody got it, or may never come. */
static void answer_messages(struct life *l)
{
    while (l->in_hand_count > 0) {
        uint64_t id = l->in_hand[--l->in_hand_count];
        (void)mp_engine_message_done(l->engine, id,
                                     draw(&l->random, 3) == 0 ? MP_ETIMEDOUT : MP_OK);
        at(l, AT_DELIVERED);
    }
}

/* ---- what must hold after a start ---- */

struct count {
    struct life *l;
    uint64_t seen;
};

static bool see_incident(void *ctx, const struct mp_incident_view *v)
{
    struct count *c = ctx;
    if (v->id == 0) return true; /* pending: not in the ledger */
    const struct model_incident *m = &c->l->model->incidents[v->id % MODEL_MAX];
    if (m->id != v->id) {
        /* Not yet armed again: over for the ledger. */
        if (mp_str_eq(v->state, MP_STR("idle"))) return true;
        wrong(c->l, "incident %llu is in no ledger", (unsigned long long)v->id);
    }
    if (!mp_str_eq(v->state, mp_str_of(m->state))) {
        wrong(c->l, "incident %llu is %.*s, the ledger says %s", (unsigned long long)v->id,
              MP_STR_ARG(v->state), m->state);
    }
    if (strcmp(m->state, "idle") != 0) c->seen++;
    return true;
}

/* R25: what has been accepted ends when it was said, whatever happened in between; a ramp of two
 * steps of a second follows. */
static int64_t overdue(const struct life *l, const struct model_lease *m)
{
    const struct model_incident *i = &l->model->incidents[m->incident % MODEL_MAX];
    if (i->releasing_ns > 0) return l->shared->now_ns - (i->releasing_ns + 2 * SEC);
    return m->accepted_ns > 0 ? l->shared->now_ns - (m->accepted_ns + m->ttl_ns) : 0;
}

static bool see_lease(void *ctx, const struct mp_lease_view *v)
{
    struct count *c = ctx;
    struct life *l = c->l;
    const struct model_lease *m = model_lease(l->model, v->lease->id);
    if (m == NULL) wrong(l, "lease %llu is in no ledger", (unsigned long long)v->lease->id);
    if (!mp_str_eq(v->state, mp_str_of(m->state))) {
        wrong(l, "lease %llu is %.*s, the ledger says %s", (unsigned long long)m->id,
              MP_STR_ARG(v->state), m->state);
    }
    if (v->in_force && overdue(l, m) > 3 * STEP_NS) {
        wrong(l, "lease %llu (%s %s) outlives its time by %lld ms", (unsigned long long)m->id,
              m->verb, m->target, (long long)(overdue(l, m) / MS));
    }
    c->seen++;
    return true;
}

static void check(struct life *l)
{
    struct count incidents = {l, 0}, leases = {l, 0};
    uint64_t told_incidents = 0, told_leases = 0;
    mp_engine_incidents(l->engine, &incidents, see_incident);
    mp_engine_leases(l->engine, &leases, see_lease);
    for (uint64_t i = 0; i < MODEL_MAX; i++) {
        const struct model_incident *m = &l->model->incidents[i];
        told_incidents += m->id != 0 && strcmp(m->state, "idle") != 0;
        told_leases += !l->model->leases[i].message && model_lease_live(&l->model->leases[i]);
    }
    if (incidents.seen != told_incidents) {
        wrong(l, "%llu incidents are open, the ledger says %llu",
              (unsigned long long)incidents.seen, (unsigned long long)told_incidents);
    }
    if (leases.seen != told_leases) {
        wrong(l, "%llu leases live, the ledger says %llu", (unsigned long long)leases.seen,
              (unsigned long long)told_leases);
    }
}

/* ---- start ---- */

static enum mp_err give_row(void *ctx, uint32_t kind, uint64_t id, mp_str bytes)
{
    struct life *l = ctx;
    struct mp_state_row row = {(enum mp_row_kind)kind, id, bytes};
    at(l, AT_ROW_RESTORED);
    return mp_engine_restore(l->engine, &row);
}

static void turn(struct life *l)
{
    mp_engine_advance(l->engine, l->shared->now_ns, mono(l));
    keep(l);
    acknowledge(l);
    answer_messages(l);
}

static struct mp_program *load(struct life *l, uint64_t image)
{
    struct mp_program *p;
    const char *why = "";
    if (mp_program_load(l->images[image].ptr, l->images[image].len, &l->os, &p, &why) != MP_OK) {
        wrong(l, "load: %s", why);
    }
    return p;
}

static void make_ingest(struct life *l)
{
    mp_arena_init(&l->ingest_arena, NULL, 0);
    if (mp_ingest_create(&l->ingest_arena, l->program, (struct mp_hash_key){1, 2}, &l->ingest) !=
        MP_OK) {
        wrong(l, "no ingest");
    }
}

/* Another program, or the same again, between two records (R50). */
static void swap(struct life *l)
{
    struct mp_program *fresh = load(l, draw(&l->random, 2)), *old = l->program;
    const char *why = "";
    at(l, AT_SWAP_BEGINS);
    if (mp_engine_swap(l->engine, fresh, &why) != MP_OK) wrong(l, "swap: %s", why);
    at(l, AT_SWAP_ENDS);
    l->program = fresh;
    mp_arena_free(&l->ingest_arena);
    make_ingest(l);
    mp_program_free(old);
    check(l);
}

static void start(struct life *l, const char *dir)
{
    struct mp_store_options store = {.at_point = at_store, .ctx = l};
    struct mp_store_found found;
    const char *why = "";
    mp_std_os(&l->os);
    l->program = load(l, draw(&l->random, 2));
    if (mp_store_open(dir, &store, &l->store, &found, &why) != MP_OK) wrong(l, "open: %s", why);
    if (found.seq != l->model->seq)
        wrong(l, "the store begins after %llu", (unsigned long long)found.seq);
    struct mp_engine_options options = {.clock = MP_ENGINE_LIVE, .hash_key = {1, 2}, .store = true,
                                        .now_ns = l->shared->now_ns, .mono_ns = mono(l)};
    options.limits = (struct mp_engine_limits){.keys = 256,
                                               .incidents = 128,
                                               .leases = 128,
                                               .holds = 128,
                                               .messages = 128,
                                               .admissions = 256,
                                               .truths = 256,
                                               .ledger_bytes = 65536};
    struct mp_engine_sinks sinks = {.ctx = l, .entry = on_entry, .message = on_message};
    if (mp_engine_create(l->program, &l->os, &options, &sinks, &l->engine) != MP_OK ||
        mp_engine_backend(l->engine, &mesh_ops, l) != MP_OK) {
        wrong(l, "no engine");
    }
    enum mp_err err = mp_store_load(l->store, l, give_row);
    if (err != MP_OK) wrong(l, "restore: %s", mp_err_text(err));
    at(l, AT_RESTORED);
    err = mp_engine_resume(l->engine, found.seq, found.hash);
    if (err != MP_OK) wrong(l, "resume: %s", mp_err_text(err));
    at(l, AT_RESUMED);
    keep(l);
    if (mp_store_flush(l->store) != MP_OK) wrong(l, "the store failed");
    /* A mesh that asked to be asked again is asked again. */
    for (int i = 0; i < 64; i++) {
        l->shared->now_ns += 10 * MS;
        turn(l);
    }
    check(l);
    mesh_check(l);
}

/* ---- traffic ---- */

static void feed(struct life *l)
{
    char lines[4096];
    struct mp_ingested in;
    traffic(l->shared->step, l->shared->now_ns, lines, sizeof lines);
    for (const char *line = lines; *line != '\0'; line += strlen(line) + 1) {
        if (mp_ingest_line(l->ingest, mp_str_of(line), 0, 0, &in) != MP_INGEST_RECORD)
            wrong(l, "bad: %s", line);
        mp_engine_record(l->engine, &in.record);
    }
    l->shared->step++;
}

/* A person decides something by hand, or takes back what was decided a moment ago. Every step has
 * a target of its own, so that nothing competes; clients of traffic are others. */
static void operate(struct life *l)
{
    char target[64];
    mp_str why;
    bool undo = draw(&l->random, 3) == 0;
    uint64_t n = l->shared->step - (undo ? draw(&l->random, 40) : 0);
    snprintf(target, sizeof target, "client.ip=10.%u.%u.%u", 10 + (unsigned)(n >> 16 & 127),
             (unsigned)(n >> 8 & 255), (unsigned)(n & 255));
    if (undo) {
        struct mp_undo ask = {.target = mp_str_of(target), .who = MP_STR("somebody")};
        (void)mp_engine_undo(l->engine, &ask, NULL, NULL, &why);
        if (why.len > 0) wrong(l, "undo: %.*s", MP_STR_ARG(why));
        return;
    }
    static const char *const spans[] = {"1s", "2s", "4s", "20s"};
    const struct mp_note args[] = {{MP_STR("for"), mp_str_of(spans[draw(&l->random, 4)])}};
    struct mp_manual ask = {.verb = MP_STR("deny"),
                            .target = mp_str_of(target),
                            .args = args,
                            .arg_count = 1,
                            .who = MP_STR("somebody"),
                            .reason = MP_STR("a drill")};
    struct mp_manual_answer answer;
    mp_engine_decide(l->engine, &ask, &answer);
    if (answer.how == MP_MANUAL_BAD) wrong(l, "decide: %.*s", MP_STR_ARG(answer.why));
}

/* Some part of the mesh refuses what it is sent, for the first time or again. */
static void refuse(struct life *l)
{
    char part[32];
    snprintf(part, sizeof part, "service/a/a-%u", (unsigned)draw(&l->random, 8));
    mp_engine_nack(l->engine, &(struct mp_nack){mp_str_of(part), MP_STR("ecds"),
                                                MP_STR("mpol-deny"), MP_STR("a drill")});
}

static enum mp_nack_end refuses_still(void *ctx, mp_str part, mp_str type)
{
    struct life *l = ctx;
    if (l->plan.finish) return MP_NACK_GONE;
    return draw(&l->random, 4) == 0 ? MP_NACK_ACCEPTED : MP_NACK_STAYS;
}

/* Everything that was begun comes to its end when traffic stops. */
static void finish(struct life *l)
{
    mp_engine_nacks(l->engine, l, refuses_still);
    for (int i = 0; i < 3000; i++) {
        l->shared->now_ns += STEP_NS;
        turn(l);
        if (mp_store_flush(l->store) != MP_OK) wrong(l, "the store failed");
    }
    struct mp_engine_status s;
    mp_engine_status(l->engine, &s);
    if (s.incidents_open != 0 || s.leases_live != 0 || s.messages_waiting != 0) {
        wrong(l, "at the end %u incidents, %u leases, %u messages", s.incidents_open, s.leases_live,
              s.messages_waiting);
    }
    check(l);
    mesh_check(l);
    if (l->shared->mesh_count != 1) wrong(l, "something is left in the mesh");
}

void live(struct shared *shared, struct model *model, const struct plan *plan, const char *dir,
          const mp_str images[2])
{
    static struct life life;
    struct life *l = &life;
    *l = (struct life){
        .shared = shared, .model = model, .plan = *plan, .random = plan->seed, .images = images};
    /* Another origin in every life, as after a boot. */
    l->mono_origin_ns = shared->now_ns - SEC - (int64_t)draw(&l->random, 1000000) * MS;
    l->pending = malloc(PENDING_MAX);
    if (l->pending == NULL) wrong(l, "no memory");
    start(l, dir);
    make_ingest(l);
    for (uint64_t i = 0; i < plan->steps; i++) {
        shared->now_ns += STEP_NS;
        feed(l);
        if (draw(&l->random, 40) == 0) swap(l);
        if (draw(&l->random, 5) == 0) operate(l);
        if (draw(&l->random, 10) == 0) refuse(l);
        if (draw(&l->random, 10) == 0) mp_engine_nacks(l->engine, l, refuses_still);
        turn(l);
        /* Never far ahead of the disk: what is acknowledged has a time that means something. */
        if (draw(&l->random, 3) == 0) (void)mp_store_flush(l->store);
        acknowledge(l);
        if (draw(&l->random, 8) == 0) check(l);
    }
    if (plan->finish) finish(l);
    turn(l);
    mp_store_close(l->store);
    _exit(0);
}
