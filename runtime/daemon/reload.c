/* SPDX-License-Identifier: Apache-2.0
 * Policies → a generation in force. All files are one generation: an error in any keeps the old
 * one.
 */
#include "daemon/daemon_priv.h"

#include <string.h>

static bool set_params(struct dm *d, struct mp_program *p, mp_str *problem)
{
    static char text[200];
    for (size_t i = 0; i < d->options->param_count; i++) {
        const char *given = d->options->params[i], *equals = strchr(given, '=');
        mp_str name = {given, equals != NULL ? (size_t)(equals - given) : 0};
        enum mp_err err =
            equals == NULL ? MP_EINVAL : mp_program_set_param(p, name, mp_str_of(equals + 1));
        if (err == MP_OK) continue;
        const char *why = equals == NULL          ? "write NAME=VALUE"
                          : err == MP_ENOTFOUND ? "no param is called that"
                                                : "not a value of its type, or out of its range";
        snprintf(text, sizeof text, "--set=%s: %s", given, why);
        *problem = mp_str_of(text);
        return false;
    }
    return true;
}

bool dm_generation_load(struct dm *d, struct dm_generation *out, mp_str *problem)
{
    mp_str image;
    const char *why = "";
    *out = (struct dm_generation){.number = d->now.number + 1};
    if (!d->host->compile(d->host->ctx, &image, problem)) return false;
    enum mp_err err = mp_program_load(image.ptr, image.len, &d->os, &out->program, &why);
    if (err != MP_OK) {
        *problem = mp_str_of(why[0] != '\0' ? why : mp_err_text(err));
        return false;
    }
    mp_arena_init(&out->arena, NULL, 0);
    out->image = image;
    if (set_params(d, out->program, problem)) return true;
    dm_generation_free(d, out);
    return false;
}

bool dm_generation_ready(struct dm *d, struct dm_generation *g, mp_str *problem)
{
    enum mp_err err = mp_ingest_create(&g->arena, g->program, d->identity.hash_key, &g->ingest);
    if (err == MP_OK) return true;
    *problem = mp_str_of(mp_err_text(err));
    dm_generation_free(d, g);
    return false;
}

void dm_generation_free(struct dm *d, struct dm_generation *g)
{
    if (g->program == NULL) return;
    if (d->host->native_drop != NULL) d->host->native_drop(d->host->ctx, g->program);
    mp_program_free(g->program);
    mp_arena_free(&g->arena);
    g->program = NULL;
}

static void refused(struct dm *d, mp_str problem)
{
    d->counts.reload_failures++;
    snprintf(d->problem, sizeof d->problem, "%.*s", MP_STR_ARG(problem));
    dm_log(d, "error", "reload refused, generation %llu stays in force: %s",
           (unsigned long long)d->now.number, d->problem);
}

/* LIMIT: compiling stops the loop, about a millisecond for ten rules; telemetry waits in its
 * sources. */
struct mp_ingest_counts dm_unread(const struct dm *d)
{
    struct mp_ingest_counts now = {0};
    if (d->now.ingest != NULL) mp_ingest_counts(d->now.ingest, &now);
    now.other += d->counts.unread_lines;
    now.unknown_fields += d->counts.unread_fields;
    now.bad_values += d->counts.bad_values;
    return now;
}

void dm_policies_reload(struct dm *d)
{
    struct dm_generation fresh;
    mp_str problem = MP_STR("");
    d->last_reload_ns = d->os.wall_ns(d->os.ctx);
    if (!dm_generation_load(d, &fresh, &problem) || !dm_generation_ready(d, &fresh, &problem)) {
        refused(d, problem);
        return;
    }
    const char *why = "";
    enum mp_err err = mp_engine_swap(d->engine, fresh.program, &why);
    if (err != MP_OK) {
        refused(d, mp_str_of(why != NULL && why[0] != '\0' ? why : mp_err_text(err)));
        dm_generation_free(d, &fresh);
        return;
    }
    struct dm_generation old = d->now;
    struct mp_ingest_counts unread = dm_unread(d);
    d->counts.unread_lines = unread.other;
    d->counts.unread_fields = unread.unknown_fields;
    d->counts.bad_values = unread.bad_values;
    d->now = fresh;
    d->now.since_ns = d->last_reload_ns;
    d->inventory_unkept = true; /* the program may read more of it */
    dm_mesh_inventory(d);
    dm_modules_program(d);
    d->counts.reloads++;
    d->problem[0] = '\0';
    if (d->host->native != NULL) d->host->native(d->host->ctx, d->now.program);
    dm_generation_free(d, &old);
    dm_log(d, "info", "generation %llu is in force: %u rules", (unsigned long long)d->now.number,
           d->now.program->rule_count);
}

/* The inventory after them: it is read as they read it. Either may be refused by itself. */
void dm_reload(struct dm *d)
{
    dm_policies_reload(d);
    dm_inventory_reload(d);
}
