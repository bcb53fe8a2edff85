/* SPDX-License-Identifier: Apache-2.0 */
#include "envoy_mod/fleet.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "capability/capability.h"
#include "envoy_mod/fleet_cut.h"
#include "inproc/inproc.h"

#define NAME_MAX_BYTES 256
#define TROUBLE_MAX 256
#define OWNERS_MAX 4 /* LIMIT: engines whose leases one fleet carries */

struct mp_fleet_peer {
    struct mp_fleet *fleet;
    void *connection;
    struct mp_fleet_peer *next, **at;
    struct mp_frame_out in;
    bool known; /* has said who it is */
    struct mp_fleet_info info;
    char texts[4][NAME_MAX_BYTES];
    char trouble[TROUBLE_MAX];
    bool idle;        /* refused the program, and has none: everything passes there */
    uint64_t refused; /* revision of the set that it refused, 0: none */
    enum mp_err refused_err;
    int64_t told_ns; /* the first that it has not answered since; 0: it was told nothing */
    bool answered;   /* since it was told last */
    bool carries;    /* has passed a revision, and nothing was amiss since */
    bool tells;      /* has told a record */
};

/* What is in force for one owner: a whole frame of LEASES. */
struct owned {
    struct mp_frame_out frame; /* empty: this place is free */
    struct mp_fleet_cuts cuts; /* what of it modules alone can carry */
    bool found; /* a proxy has it from an earlier life; nobody here has wanted it yet */
};

struct mp_fleet {
    struct mp_fleet_host host;
    struct mpol_backend_ops ops;
    struct mpol_capability *capabilities; /* of ops */
    const struct mpol_backend_ops *inner;
    void *inner_ctx;
    struct mp_fleet_peer *peers;
    uint32_t peer_count;
    struct mp_frame_out program, inventory; /* whole frames, empty: not yet known */
    struct owned owned[OWNERS_MAX];
    uint64_t program_revision, inventory_revision, revision;
    char trouble[TROUBLE_MAX + NAME_MAX_BYTES];
    struct mpol_lease_trouble *held; /* as it was told last */
    size_t held_cap;
};

static mp_str str_of(struct mpol_text t) { return (mp_str){t.ptr, t.len}; }

/* ---- to the proxies ---- */

static void tell(struct mp_fleet_peer *p, const struct mp_frame_out *frame)
{
    struct mp_fleet *f = p->fleet;
    if (!p->known || frame->len == 0) return;
    if (p->answered || p->told_ns == 0) p->told_ns = f->host.now_ns(f->host.ctx);
    p->answered = false;
    f->host.send(f->host.ctx, p->connection, (mp_str){frame->ptr, frame->len});
}

static void tell_all(struct mp_fleet *f, const struct mp_frame_out *frame)
{
    for (struct mp_fleet_peer *p = f->peers; p != NULL; p = p->next) tell(p, frame);
}

enum mp_err mp_fleet_program(struct mp_fleet *f, mp_str image, const struct mp_frame_param *params,
                             uint32_t param_count)
{
    struct mp_frame_out frame = {0};
    mp_frame_put_program(&frame, f->program_revision + 1, image, params, param_count);
    if (frame.failed || frame.len > MP_FRAME_DOWN_MAX) {
        bool failed = frame.failed;
        mp_frame_out_free(&frame);
        return failed ? MP_ENOMEM : MP_ELIMIT;
    }
    f->program_revision++;
    mp_frame_out_free(&f->program);
    f->program = frame;
    tell_all(f, &f->program);
    return MP_OK;
}

enum mp_err mp_fleet_inventory(struct mp_fleet *f, mp_str lines)
{
    struct mp_frame_out frame = {0};
    struct mp_frame_inventory inventory = {f->inventory_revision + 1, lines};
    mp_frame_put_inventory(&frame, &inventory);
    if (frame.failed || frame.len > MP_FRAME_DOWN_MAX) {
        bool failed = frame.failed;
        mp_frame_out_free(&frame);
        return failed ? MP_ENOMEM : MP_ELIMIT;
    }
    f->inventory_revision++;
    mp_frame_out_free(&f->inventory);
    f->inventory = frame;
    tell_all(f, &f->inventory);
    return MP_OK;
}

/* ---- owners ---- */

static mp_str body_of(const struct mp_frame_out *frame)
{
    return (mp_str){frame->ptr + MP_FRAME_HEAD, frame->len - MP_FRAME_HEAD};
}

static mp_str owner_of(mp_str body)
{
    struct mp_frame_in in = mp_frame_open(body);
    mp_frame_u64(&in); /* the revision */
    return mp_frame_text(&in);
}

/* The place of an owner, or a free one; NULL: there is none. */
static struct owned *place_of(struct mp_fleet *f, mp_str owner)
{
    struct owned *free_place = NULL;
    for (int i = 0; i < OWNERS_MAX; i++) {
        struct owned *o = &f->owned[i];
        if (o->frame.len == 0) {
            if (free_place == NULL) free_place = o;
        } else if (mp_str_eq(owner_of(body_of(&o->frame)), owner)) {
            return o;
        }
    }
    return free_place;
}

/* ---- the backend's functions ---- */

/* Beside xDS the filters of the proxy hold rates and shares, and what a ramp has begun to give
 * back: held twice, half of what is allowed would be let through. */
static bool is_held_there(const struct mp_fleet *f, const struct mpol_lease *l)
{
    if (f == NULL || f->inner == NULL) return false;
    return l->given_back > 0 || mp_str_eq(str_of(l->verb), mp_inproc_verb_word(MP_INPROC_THROTTLE));
}

/* `f` is NULL where only the table is asked. */
static bool module_can(const struct mp_fleet *f, const struct mpol_lease *l)
{
    if (is_held_there(f, l)) return false;
    mp_str verb = str_of(l->verb), kind = str_of(l->target_kind);
    const struct mpol_capability *c =
        mp_fleet_is_cut(l)
            ? mp_capability_of(mp_module_capabilities, MP_MODULE_CAPABILITY_COUNT, verb, kind)
            : mp_capability_of(mp_inproc_capabilities, MP_INPROC_CAPABILITY_COUNT, verb, kind);
    return c != NULL && (l->hooks & ~c->hooks) == 0;
}

/* Of a long list most words are those of the lease before, and so is the answer. */
struct asked {
    struct mp_fleet *fleet;
    const struct mpol_lease *before;
    bool can;
};

static bool same_words(const struct mpol_lease *a, const struct mpol_lease *b)
{
    return a->hooks == b->hooks && (a->given_back > 0) == (b->given_back > 0) &&
           mp_str_eq(str_of(a->verb), str_of(b->verb)) &&
           mp_str_eq(str_of(a->target_kind), str_of(b->target_kind));
}

static bool module_can_too(void *ctx, const struct mpol_lease *l)
{
    struct asked *a = ctx;
    if (a->before == NULL || !same_words(a->before, l)) a->can = module_can(a->fleet, l);
    a->before = l;
    return a->can;
}

static enum mpol_err check_all(const struct mpol_desired *set)
{
    struct asked asked = {.fleet = NULL};
    for (size_t i = 0; i < set->lease_count; i++) {
        if (!module_can_too(&asked, &set->leases[i])) return MPOL_EUNSUPPORTED;
        if (set->leases[i].arg_count > MP_FRAME_ARGS_MAX) return MPOL_ELIMIT;
    }
    return MPOL_OK;
}

static enum mpol_err apply_inner(struct mp_fleet *f, const struct mpol_desired *set,
                                 const struct mp_fleet_cuts *cuts)
{
    struct mpol_desired rest = *set;
    if (f->inner == NULL) return MPOL_OK;
    if (cuts->set.lease_count == 0) return f->inner->apply(f->inner_ctx, set);
    struct mpol_lease *leases = mp_fleet_without_cuts(set, &rest.lease_count);
    if (leases == NULL) return MPOL_ENOMEM;
    rest.leases = leases;
    enum mpol_err err = f->inner->apply(f->inner_ctx, &rest);
    free(leases);
    return err;
}

/* On MPOL_OK both are the caller's. */
static enum mpol_err make_frames(struct mp_fleet *f, const struct mpol_desired *set,
                                 struct owned *out)
{
    struct asked asked = {.fleet = f};
    mp_frame_put_leases(&out->frame, set, module_can_too, &asked);
    if (out->frame.failed) return MPOL_ENOMEM;
    if (out->frame.len > MP_FRAME_DOWN_MAX) return MPOL_ELIMIT;
    return (enum mpol_err)mp_fleet_cuts_take(&out->cuts, set);
}

static void owned_free(struct owned *o)
{
    mp_frame_out_free(&o->frame);
    mp_fleet_cuts_free(&o->cuts);
}

static enum mpol_err fleet_apply(void *backend, const struct mpol_desired *set)
{
    struct mp_fleet *f = backend;
    struct owned fresh = {.found = false}, *place = place_of(f, str_of(set->owner));
    enum mpol_err err = f->inner != NULL ? MPOL_OK : check_all(set);
    if (err != MPOL_OK) return err;
    if (place == NULL) return MPOL_ELIMIT;
    err = make_frames(f, set, &fresh);
    if (err == MPOL_OK) err = apply_inner(f, set, &fresh.cuts);
    if (err != MPOL_OK) {
        owned_free(&fresh);
        return err;
    }
    owned_free(place);
    *place = fresh;
    f->revision = set->revision;
    tell_all(f, &place->frame);
    return MPOL_OK;
}

static bool is_silent(const struct mp_fleet_peer *p)
{
    const struct mp_fleet *f = p->fleet;
    if (p->info.leases_passed >= f->revision || p->told_ns == 0) return false;
    return f->host.now_ns(f->host.ctx) - p->told_ns > MP_FLEET_SILENT_NS;
}

/* ---- who carries what modules can ---- */

/* Revisions of two owners cannot be compared. */
static bool has_one_owner(const struct mp_fleet *f)
{
    int owners = 0;
    for (int i = 0; i < OWNERS_MAX; i++) {
        owners += f->owned[i].frame.len > 0 && !f->owned[i].found;
    }
    return owners == 1;
}

static bool carries_now(const struct mp_fleet_peer *p)
{
    const struct mp_fleet *f = p->fleet;
    if (!p->known || is_silent(p) || !has_one_owner(f)) return false;
    if (p->idle || p->info.program_passed == 0) return false; /* everything passes there */
    if (p->refused != 0 && p->refused == f->revision) return false;
    /* One that was told a newer revision has a moment to pass it. */
    return p->carries || p->info.leases_passed == f->revision;
}

static void say_carriers(const struct mp_fleet *f)
{
    if (f->host.carriers != NULL) f->host.carriers(f->host.ctx);
}

static void look_at_carriers(struct mp_fleet *f)
{
    bool changed = false;
    for (struct mp_fleet_peer *p = f->peers; p != NULL; p = p->next) {
        bool now = carries_now(p);
        changed |= now != p->carries;
        p->carries = now;
    }
    if (changed) say_carriers(f);
}

static bool is_of(const struct mp_fleet_peer *p, mp_str layer, mp_str service, mp_str instance)
{
    return p->known && mp_str_eq(p->info.instance, instance) &&
           mp_str_eq(p->info.service, service) && mp_str_eq(p->info.layer, layer);
}

bool mp_fleet_carries(const struct mp_fleet *f, mp_str layer, mp_str service, mp_str instance)
{
    bool some = false;
    for (const struct mp_fleet_peer *p = f->peers; p != NULL; p = p->next) {
        if (!is_of(p, layer, service, instance)) continue;
        if (!p->carries) return false;
        some = true;
    }
    return some;
}

bool mp_fleet_tells(const struct mp_fleet *f, mp_str layer, mp_str service, mp_str instance)
{
    for (const struct mp_fleet_peer *p = f->peers; p != NULL; p = p->next) {
        if (p->tells && is_of(p, layer, service, instance)) return true;
    }
    return false;
}

/* ---- progress ---- */

static void set_trouble(struct mp_fleet *f, enum mp_err err, mp_str who, const char *what,
                        struct mpol_progress *out)
{
    int len = snprintf(f->trouble, sizeof f->trouble, "%.*s%s%s", MP_STR_ARG(who),
                       who.len > 0 ? ": " : "", what);
    if (len < 0) len = 0;
    if ((size_t)len >= sizeof f->trouble) len = (int)sizeof f->trouble - 1;
    out->trouble = (enum mpol_err)err;
    out->trouble_text = (struct mpol_text){f->trouble, (size_t)len};
}

static uint64_t lower(uint64_t a, uint64_t b) { return a < b ? a : b; }

static bool is_carried(const struct mp_fleet *f, const struct mpol_lease *cut)
{
    for (const struct mp_fleet_peer *p = f->peers; p != NULL; p = p->next) {
        if (!p->known || p->idle || is_silent(p)) continue;
        if (mp_fleet_cut_concerns(cut, &p->info)) return true;
    }
    return false;
}

static const char nobody_cuts[] =
    "no proxy with the module is connected where such streams are: nothing else cuts them";

static bool room_for_held(struct mp_fleet *f, size_t count)
{
    if (count <= f->held_cap) return true;
    struct mpol_lease_trouble *grown = realloc(f->held, 2 * count * sizeof *grown);
    if (grown == NULL) return false;
    f->held = grown;
    f->held_cap = 2 * count;
    return true;
}

static int by_lease(const void *a, const void *b)
{
    const struct mpol_lease_trouble *x = a, *y = b;
    return x->lease < y->lease ? -1 : x->lease > y->lease;
}

/* What no module that is connected can cut waits for one,
 * beside what waits in the other backend. */
static bool add_held(struct mp_fleet *f, struct mpol_progress *p)
{
    size_t count = 0;
    for (int i = 0; i < OWNERS_MAX; i++) count += f->owned[i].cuts.set.lease_count;
    if (count == 0) return true;
    if (!room_for_held(f, count + p->held_count)) return false;
    if (p->held_count > 0) memcpy(f->held, p->held, p->held_count * sizeof *f->held);
    p->held = f->held;
    for (int i = 0; i < OWNERS_MAX; i++) {
        const struct mpol_desired *cuts = &f->owned[i].cuts.set;
        for (size_t k = 0; k < cuts->lease_count; k++) {
            if (is_carried(f, &cuts->leases[k])) continue;
            f->held[p->held_count++] = (struct mpol_lease_trouble){
                .lease = cuts->leases[k].id, .trouble = MPOL_EIO, .text = mpol_text(nobody_cuts)};
        }
    }
    qsort(f->held, p->held_count, sizeof *f->held, by_lease);
    return true;
}

static enum mpol_err fleet_progress(void *backend, struct mpol_progress *out)
{
    struct mp_fleet *f = backend;
    struct mpol_progress p = {.size = sizeof p, .accepted = f->revision, .effective = f->revision};
    uint32_t asked = 0;
    look_at_carriers(f); /* before the other backend is asked: silence gives it more to do */
    if (f->inner != NULL) {
        enum mpol_err err = f->inner->progress(f->inner_ctx, &p);
        if (err != MPOL_OK) return err;
    }
    for (const struct mp_fleet_peer *peer = f->peers; peer != NULL; peer = peer->next) {
        if (!peer->known || is_silent(peer)) continue;
        asked++;
        p.accepted = lower(p.accepted, peer->info.leases);
        p.effective = lower(p.effective, peer->info.leases_passed);
        if (peer->idle && f->inner == NULL && f->revision != 0) {
            p.accepted = p.effective = 0;
            set_trouble(f, MP_EAGAIN, peer->info.instance, peer->trouble, &p);
        }
        if (peer->refused == f->revision && f->revision != 0) {
            set_trouble(f, peer->refused_err, peer->info.instance, peer->trouble, &p);
        }
    }
    if (asked == 0 && f->inner == NULL && f->revision != 0) {
        p.accepted = p.effective = 0;
        set_trouble(f, MP_EAGAIN, MP_STR(""), "no proxy with the module is connected", &p);
    }
    if (!add_held(f, &p)) return MPOL_ENOMEM;
    *out = p;
    return MPOL_OK;
}

static enum mpol_err fleet_read_back(void *backend, struct mpol_text owner, mpol_read_back_fn found,
                                     void *ctx)
{
    struct mp_fleet *f = backend;
    if (f->inner != NULL) return f->inner->read_back(f->inner_ctx, owner, found, ctx);
    const struct owned *place = place_of(f, str_of(owner));
    if (place == NULL || place->frame.len == 0) return MPOL_OK;
    struct mpol_desired set;
    void *memory;
    enum mp_err err = mp_frame_get_leases(body_of(&place->frame), &set, &memory);
    if (err != MP_OK) return (enum mpol_err)err;
    for (size_t i = 0; i < set.lease_count; i++) {
        if (found(ctx, &set.leases[i]) != 0) break;
    }
    free(memory);
    return MPOL_OK;
}

static void fleet_close(void *backend)
{
    struct mp_fleet *f = backend;
    if (f->inner != NULL && f->inner->close != NULL) f->inner->close(f->inner_ctx);
}

/* There is one only where the other backend has one. */
static enum mpol_err fleet_check(void *backend, const struct mpol_lease *lease, char *why,
                                 size_t why_size)
{
    struct mp_fleet *f = backend;
    if (mp_fleet_is_cut(lease)) return MPOL_OK;
    struct mpol_arg args[MP_FRAME_ARGS_MAX];
    struct mpol_lease as_it_can = mp_fleet_without_status(lease, args);
    return f->inner->check(f->inner_ctx, &as_it_can, why, why_size);
}

static enum mpol_err fleet_carries(void *backend, const struct mpol_lease *lease, char *why,
                                   size_t why_size)
{
    struct mp_fleet *f = backend;
    if (mp_fleet_is_cut(lease)) {
        if (is_carried(f, lease)) return MPOL_OK;
        snprintf(why, why_size, "%s", nobody_cuts);
        return MPOL_EIO;
    }
    if (f->inner == NULL || f->inner->carries == NULL) return MPOL_OK;
    struct mpol_arg args[MP_FRAME_ARGS_MAX];
    struct mpol_lease as_it_can = mp_fleet_without_status(lease, args);
    return f->inner->carries(f->inner_ctx, &as_it_can, why, why_size);
}

/* ---- life ---- */

/* What the other backend can do, or a module alone, and what only a module can. */
static bool make_capabilities(struct mp_fleet *f)
{
    const struct mpol_capability *rows = f->ops.capabilities;
    size_t count = f->ops.capability_count;
    f->capabilities = malloc((count + MP_MODULE_CAPABILITY_COUNT) * sizeof *f->capabilities);
    if (f->capabilities == NULL) return false;
    if (count > 0) memcpy(f->capabilities, rows, count * sizeof *rows);
    memcpy(f->capabilities + count, mp_module_capabilities, sizeof mp_module_capabilities);
    f->ops.capabilities = f->capabilities;
    f->ops.capability_count = count + MP_MODULE_CAPABILITY_COUNT;
    return true;
}

enum mp_err mp_fleet_create(const struct mp_fleet_host *host, const struct mpol_backend_ops *inner,
                            void *inner_ctx, struct mp_fleet **out)
{
    struct mp_fleet *f = calloc(1, sizeof *f);
    if (f == NULL) return MP_ENOMEM;
    f->host = *host;
    f->inner = inner;
    f->inner_ctx = inner_ctx;
    f->ops = inner != NULL ? *inner : mp_inproc_ops;
    f->ops.size = sizeof f->ops;
    if (inner == NULL) f->ops.name = "envoy-module";
    f->ops.apply = fleet_apply;
    f->ops.progress = fleet_progress;
    f->ops.read_back = fleet_read_back;
    f->ops.close = fleet_close;
    f->ops.check = inner != NULL && inner->check != NULL ? fleet_check : NULL;
    f->ops.carries = fleet_carries;
    if (!make_capabilities(f)) {
        free(f);
        return MP_ENOMEM;
    }
    *out = f;
    return MP_OK;
}

void mp_fleet_destroy(struct mp_fleet *f)
{
    if (f == NULL) return;
    while (f->peers != NULL) mp_fleet_close(f->peers);
    mp_frame_out_free(&f->program);
    mp_frame_out_free(&f->inventory);
    for (int i = 0; i < OWNERS_MAX; i++) owned_free(&f->owned[i]);
    free(f->capabilities);
    free(f->held);
    free(f);
}

const struct mpol_backend_ops *mp_fleet_ops(const struct mp_fleet *f) { return &f->ops; }

/* ---- from the proxies ---- */

static void event(struct mp_fleet_peer *p, const char *what)
{
    struct mp_fleet *f = p->fleet;
    if (f->host.event != NULL) f->host.event(f->host.ctx, &p->info, what);
}

static mp_str keep_text(struct mp_fleet_peer *p, int i, mp_str s)
{
    size_t len = s.len < NAME_MAX_BYTES ? s.len : NAME_MAX_BYTES;
    if (len > 0) memcpy(p->texts[i], s.ptr, len);
    return (mp_str){p->texts[i], len};
}

/* A name goes into logs and records: no control character, not empty. */
static bool is_name(mp_str s)
{
    if (s.len == 0 || s.len > NAME_MAX_BYTES) return false;
    for (size_t i = 0; i < s.len; i++) {
        if (mp_str_control(s, i) != 0) return false;
    }
    return true;
}

static bool is_layer(mp_str s)
{
    return mp_str_eq(s, MP_STR("ingress")) || mp_str_eq(s, MP_STR("service")) ||
           mp_str_eq(s, MP_STR("edge"));
}

static bool on_hello(struct mp_fleet_peer *p, mp_str body)
{
    struct mp_frame_hello h;
    if (p->known || !mp_frame_get_hello(body, &h) || h.protocol != MP_FRAME_PROTOCOL) return false;
    if (!is_layer(h.layer) || !is_name(h.service) || !is_name(h.instance)) return false;
    p->known = true;
    p->info.layer = keep_text(p, 0, h.layer);
    p->info.service = keep_text(p, 1, h.service);
    p->info.instance = keep_text(p, 2, h.instance);
    p->info.version = keep_text(p, 3, is_name(h.version) ? h.version : MP_STR("?"));
    p->info.workers = h.workers;
    event(p, "connected");
    say_carriers(p->fleet); /* it may be another process of a proxy that carries */
    tell(p, &p->fleet->program);
    tell(p, &p->fleet->inventory);
    for (int i = 0; i < OWNERS_MAX; i++) {
        if (!p->fleet->owned[i].found) tell(p, &p->fleet->owned[i].frame);
    }
    return true;
}

static void refused(struct mp_fleet_peer *p, const struct mp_frame_taken *t)
{
    bool leases = t->what == MP_FRAME_LEASES;
    const char *word = leases ? "leases" : t->what == MP_FRAME_PROGRAM ? "program" : "inventory";
    int len = snprintf(p->trouble, sizeof p->trouble, "%s refused: %.*s", word, MP_STR_ARG(t->why));
    if (len < 0) len = 0;
    if ((size_t)len >= sizeof p->trouble) len = (int)sizeof p->trouble - 1;
    for (int i = 0; i < len; i++) {
        if ((unsigned char)p->trouble[i] < ' ') p->trouble[i] = '?';
    }
    p->info.trouble = (mp_str){p->trouble, (size_t)len};
    if (leases) {
        p->refused = t->revision;
        p->refused_err = (enum mp_err)t->err;
    }
    if (t->what == MP_FRAME_PROGRAM && p->info.program == 0) p->idle = true;
    event(p, p->trouble);
    look_at_carriers(p->fleet);
}

/* It can only have taken what it was told. */
static bool was_told(const struct mp_fleet *f, uint8_t what, uint64_t revision)
{
    if (what == MP_FRAME_PROGRAM) return revision <= f->program_revision;
    if (what == MP_FRAME_INVENTORY) return revision <= f->inventory_revision;
    return what == MP_FRAME_LEASES && revision <= f->revision;
}

static bool on_taken(struct mp_fleet_peer *p, mp_str body)
{
    struct mp_frame_taken t;
    if (!mp_frame_get_taken(body, &t)) return false;
    if (t.err != MP_OK) {
        refused(p, &t);
        return true;
    }
    if (!was_told(p->fleet, t.what, t.revision)) return false;
    if (t.what == MP_FRAME_PROGRAM) {
        p->info.program = t.revision;
        p->idle = false;
    }
    if (t.what == MP_FRAME_LEASES) p->info.leases = t.revision;
    p->info.trouble = MP_STR("");
    return true;
}

static bool on_passed(struct mp_fleet_peer *p, mp_str body)
{
    struct mp_frame_in in = mp_frame_open(body);
    uint8_t what = mp_frame_u8(&in);
    uint64_t revision = mp_frame_u64(&in);
    if (!mp_frame_closed(&in) || !was_told(p->fleet, what, revision)) return false;
    if (what == MP_FRAME_PROGRAM) p->info.program_passed = revision;
    if (what == MP_FRAME_LEASES) p->info.leases_passed = revision;
    look_at_carriers(p->fleet);
    return true;
}

/* What a proxy has from an earlier life of ours, until somebody wants something else: it can be
 * read back. */
static bool on_leases(struct mp_fleet_peer *p, mp_str body)
{
    struct mpol_desired set;
    void *memory;
    if (mp_frame_get_leases(body, &set, &memory) != MP_OK) return false;
    struct owned *place = place_of(p->fleet, str_of(set.owner));
    if (place != NULL && place->frame.len == 0) {
        mp_frame_put_leases(&place->frame, &set, NULL, NULL);
        place->found = true;
        if (place->frame.failed) mp_frame_out_free(&place->frame);
    }
    free(memory);
    return true;
}

static bool is_object(mp_str line)
{
    return line.len >= 2 && line.ptr[0] == '{' && line.ptr[line.len - 1] == '}';
}

static bool on_records(struct mp_fleet_peer *p, mp_str body)
{
    struct mp_fleet *f = p->fleet;
    struct mp_frame_in in = mp_frame_open(body);
    while (!in.bad && in.at < in.end) {
        struct mp_fleet_record r = {.upstream = mp_frame_text(&in)};
        r.peer = mp_frame_text(&in);
        r.client = mp_frame_text(&in);
        r.key = mp_frame_text(&in);
        r.details = mp_frame_text(&in);
        r.line = mp_frame_text(&in);
        if (in.bad || !is_object(r.line)) return false;
        p->tells = true;
        if (f->host.record != NULL) f->host.record(f->host.ctx, &p->info, &r);
    }
    return !in.bad;
}

static bool on_frame(struct mp_fleet_peer *p, uint8_t type, mp_str body)
{
    if (!p->known && type != MP_FRAME_HELLO) return false;
    switch (type) {
    case MP_FRAME_HELLO: return on_hello(p, body);
    case MP_FRAME_TAKEN:
        p->answered = true;
        return on_taken(p, body);
    case MP_FRAME_PASSED:
        p->answered = true;
        return on_passed(p, body);
    case MP_FRAME_RECORDS: return on_records(p, body);
    case MP_FRAME_LEASES: return on_leases(p, body);
    case MP_FRAME_COUNTS: return mp_frame_get_counts(body, &p->info.counts);
    default: return false;
    }
}

struct mp_fleet_peer *mp_fleet_open(struct mp_fleet *f, void *connection)
{
    if (f->peer_count == MP_FLEET_PEERS_MAX) return NULL;
    struct mp_fleet_peer *p = calloc(1, sizeof *p);
    if (p == NULL) return NULL;
    p->fleet = f;
    p->connection = connection;
    p->next = f->peers;
    p->at = &f->peers;
    if (p->next != NULL) p->next->at = &p->next;
    f->peers = p;
    f->peer_count++;
    return p;
}

bool mp_fleet_take(struct mp_fleet_peer *p, mp_str bytes)
{
    size_t at = 0, wanted;
    if (bytes.len == 0) return true;
    mp_frame_put_bytes(&p->in, bytes);
    if (p->in.failed) return false;
    for (;;) {
        mp_str left = {p->in.ptr + at, p->in.len - at}, body;
        uint8_t type;
        enum mp_err err = mp_frame_next(left, MP_FRAME_UP_MAX, &type, &body, &wanted);
        if (err == MP_EAGAIN) break;
        if (err != MP_OK || !on_frame(p, type, body)) return false;
        at += wanted;
    }
    if (at > 0) memmove(p->in.ptr, p->in.ptr + at, p->in.len - at);
    p->in.len -= at;
    return true;
}

void mp_fleet_close(struct mp_fleet_peer *p)
{
    if (p->known) event(p, "gone: it keeps what it was told last");
    *p->at = p->next;
    if (p->next != NULL) p->next->at = p->at;
    p->fleet->peer_count--;
    if (p->known) say_carriers(p->fleet); /* also for a twin that does carry */
    mp_frame_out_free(&p->in);
    free(p);
}

void mp_fleet_each(const struct mp_fleet *f, void *ctx,
                   void (*proxy)(void *ctx, const struct mp_fleet_info *info))
{
    for (struct mp_fleet_peer *p = f->peers; p != NULL; p = p->next) {
        if (!p->known) continue;
        p->info.silent = is_silent(p);
        proxy(ctx, &p->info);
    }
}
