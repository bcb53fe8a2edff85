/* SPDX-License-Identifier: Apache-2.0
 * How far the mesh has come: what every proxy that counts has acknowledged, and what it obeys.
 *
 * Who counts: known proxies that are connected and answer. One that is gone holds nothing up,
 * since it gets the state in the first answer when it comes back; one that does not answer for
 * limits.silent_ns neither. Nor does a resource that a proxy has acknowledged for so long and does
 * not obey: leases that need it are held, others go on.
 */
#include "base/assert.h"
#include "envoy_xds/envoy_xds_priv.h"

#define LOOK_NS INT64_C(50000000) /* between two looks at clocks when nothing happened */
/* other contents refused in a row: it is the proxy, not the set */
#define REFUSALS_MAX 3

/* ---- one proxy ---- */

struct standing {
    uint64_t pending, unobeyed; /* first revisions; 0: none */
    const struct sub *refused;
    const struct sub *late; /* the first that is neither */
};

static void first(uint64_t *at, uint64_t revision)
{
    if (revision != 0 && (*at == 0 || revision < *at)) *at = revision;
}

bool sub_refuses(const struct sub *x) { return x->refused != NULL && x->refused == x->desired; }

bool sub_is_hopeless(const struct sub *x)
{
    return sub_refuses(x) && (x->acked == &xd_unsent || x->refusals >= REFUSALS_MAX);
}

static void stand_on(const struct mp_envoy_stream *s, struct standing *out)
{
    for (int type = 0; type < MP_ENVOY_TYPES; type++) {
        for (const struct sub *x = s->types[type].first; x != NULL; x = x->next) {
            if (sub_is_hopeless(x)) continue;
            uint64_t unobeyed = x->disobeys ? 0 : x->unobeyed_revision;
            first(&out->pending, sub_pending(x));
            first(&out->unobeyed, unobeyed);
            if (sub_refuses(x) && out->refused == NULL) out->refused = x;
            bool late = sub_pending(x) != 0 || unobeyed != 0;
            if (late && out->late == NULL) out->late = x;
        }
    }
}

static struct standing stand(const struct proxy *p)
{
    struct standing out = {0, 0, NULL, NULL};
    for (const struct mp_envoy_stream *s = p->stream; s != NULL; s = s->sibling) stand_on(s, &out);
    return out;
}

static void look_silent(struct mp_envoy *e, struct proxy *p, int64_t awake_ns)
{
    bool silent = false;
    for (const struct mp_envoy_stream *s = p->stream; s != NULL; s = s->sibling) {
        for (int type = 0; type < MP_ENVOY_TYPES; type++) {
            const struct typed *t = &s->types[type];
            silent |= t->sents > 0 && awake_ns - t->sent[0].at_ns >= e->limits.silent_ns;
        }
    }
    if (silent && !p->silent) {
        xd_log(e, MP_ENVOY_WARNING, "proxy %.*s does not answer: nothing waits for it",
               MP_STR_ARG(p->id));
    }
    e->regroup |= p->silent != silent;
    p->silent = silent;
}

/* ---- all of it ---- */

/* Not trouble yet: for whoever asks why it takes so long. */
static void set_waiting(struct mp_envoy *e, const struct sub *late)
{
    const struct proxy *p = late->stream->proxy;
    const char *what = late->shown ? "has taken and does not obey" : "has taken";
    if (sub_pending(late) != 0) what = "has not taken";
    bool unseen = sub_pending(late) == 0 && !late->shown;
    e->trouble_len = xd_print(e->trouble_text, sizeof e->trouble_text, "proxy %.*s %s %.*s%s",
                              MP_STR_ARG(p->id), what, MP_STR_ARG(late->name),
                              unseen ? ", and is not seen to obey it yet" : "");
}

static void set_graced(struct mp_envoy *e)
{
    e->trouble_len = xd_print(e->trouble_text, sizeof e->trouble_text,
                              "a proxy that has just come is not known to have all filters yet");
}

static void set_trouble(struct mp_envoy *e, const struct proxy *p)
{
    e->trouble = MPOL_EINVAL;
    e->trouble_len = proxy_say_refused(p, e->trouble_text, sizeof e->trouble_text);
}

static void look_obeys(const struct proxy *p, int64_t awake_ns)
{
    for (struct mp_envoy_stream *s = p->stream; s != NULL; s = s->sibling) {
        for (int type = 0; type < MP_ENVOY_TYPES; type++) {
            for (struct sub *x = s->types[type].first; x != NULL; x = x->next)
                proof_give_up(x, awake_ns);
        }
    }
}

void progress_reckon(struct mp_envoy *e)
{
    xd_pass(e);
    int64_t now_ns = xd_now(e), awake_ns = xd_awake(e);
    uint64_t pending = 0, unobeyed = 0;
    const struct proxy *refusing = NULL;
    const struct sub *late = NULL;
    proof_merge(e, now_ns);
    turns_look(e);
    for (struct proxy *p = e->proxies; p != NULL; p = p->next) {
        if (p->stream == NULL) continue;
        proxy_look_for_twins(e, p, awake_ns);
        look_silent(e, p, awake_ns);
        look_obeys(p, awake_ns);
        struct standing s = stand(p);
        uint64_t obeyed = p->effective;
        p->accepted = s.pending != 0 ? s.pending - 1 : e->revision;
        p->effective = s.unobeyed != 0 && s.unobeyed <= p->accepted ? s.unobeyed - 1 : p->accepted;
        e->regroup |= e->held_count > 0 && p->effective != obeyed; /* the text says where */
        if (!proxy_counts(p)) continue;
        first(&pending, s.pending);
        first(&unobeyed, s.unobeyed);
        if (s.refused != NULL && refusing == NULL) refusing = p;
        if (late == NULL) late = s.late;
    }
    uint64_t accepted = pending != 0 ? pending - 1 : e->revision;
    uint64_t effective = unobeyed != 0 && unobeyed <= accepted ? unobeyed - 1 : accepted;
    if (accepted > e->accepted) e->accepted = accepted;
    e->looked_ns = now_ns;
    held_reckon(e);
    /* A proxy that has just come and lacks what a new lease needs may still ask for it, or keep
     * letting through: until that is known nothing is told effective. */
    if (effective > e->effective && !e->unsure) e->effective = effective;
    e->trouble = MPOL_OK;
    e->trouble_len = 0;
    if (refusing != NULL && e->accepted < e->revision) {
        set_trouble(e, refusing);
    } else if (late != NULL && e->effective < e->revision) {
        set_waiting(e, late);
    } else if (e->unsure && e->effective < e->revision) {
        set_graced(e);
    }
    e->touched = false;
    held_note(e);
}

enum mpol_err progress_tell(void *backend, struct mpol_progress *out)
{
    struct mp_envoy *e = backend;
    if (e->touched || e->waiting > 0 || xd_now(e) - e->looked_ns >= LOOK_NS) progress_reckon(e);
    *out = (struct mpol_progress){.size = sizeof *out, .accepted = e->accepted,
                                  .effective = e->effective, .trouble = e->trouble,
                                  .trouble_text = {e->trouble_text, e->trouble_len},
                                  .held = e->held, .held_count = e->held_count};
    return MPOL_OK;
}
