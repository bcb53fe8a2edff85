/* SPDX-License-Identifier: Apache-2.0
 * The metrics, as OpenMetrics text (OpenMetrics 1.0), and what /readyz says.
 */
#include "daemon/daemon_priv.h"

#include <inttypes.h>

void dm_metric(struct dm_bytes *out, const char *name, const char *type, const char *help,
               const char *unit_suffix, double value)
{
    dm_bytes_printf(out, "# TYPE %s %s\n# HELP %s %s\n%s%s %.17g\n", name, type, name, help, name,
                    unit_suffix, value);
}

void dm_label_text(struct dm_bytes *out, mp_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '"' || s.ptr[i] == '\\') dm_bytes_add(out, "\\", 1);
        if (s.ptr[i] == '\n') {
            dm_bytes_add(out, "\\n", 2);
        } else {
            dm_bytes_add(out, &s.ptr[i], 1);
        }
    }
}

static void rule_metrics(struct dm *d, struct dm_bytes *out)
{
    static const char *const outcomes[] = {"matched", "false", "unknown", "withheld"};
    const struct mp_program *p = d->now.program;
    dm_bytes_printf(out, "# TYPE mpol_rule counter\n# HELP mpol_rule what was decided, by rule\n");
    for (uint32_t i = 0; i < p->rule_count; i++) {
        struct mp_rule_counts c = mp_engine_rule_counts(d->engine, i);
        uint64_t values[] = {c.matched, c.false_, c.unknown, c.withheld};
        for (size_t k = 0; k < 4; k++) {
            dm_bytes_printf(out, "mpol_rule_total{package=\"");
            dm_label_text(out, mp_program_text(p, p->rule[i].package));
            dm_bytes_printf(out, "\",rule=\"");
            dm_label_text(out, mp_program_text(p, p->rule[i].name));
            dm_bytes_printf(out, "\",outcome=\"%s\"} %" PRIu64 "\n", outcomes[k], values[k]);
        }
    }
}

void dm_metrics(struct dm *d, struct dm_bytes *out)
{
    struct mp_engine_status s;
    mp_engine_status(d->engine, &s);
    struct mp_ingest_counts unread = dm_unread(d);
    struct {
        const char *name, *type, *help, *suffix;
        double value;
    } const rows[] = {
        {"mpol_records", "counter", "records taken in", "_total", (double)s.records},
        {"mpol_records_late", "counter", "records too old for any window", "_total",
         (double)s.late},
        {"mpol_records_ahead", "counter", "records from the future, taken as now", "_total",
         (double)s.ahead},
        {"mpol_bad_lines", "counter", "lines of telemetry that are none", "_total",
         (double)d->counts.bad_lines},
        {"mpol_unread_lines", "counter", "lines of a signal or entity that no policy reads",
         "_total", (double)unread.other},
        {"mpol_unread_fields", "counter", "fields that no policy reads", "_total",
         (double)unread.unknown_fields},
        {"mpol_bad_values", "counter", "values that are none of their field's type", "_total",
         (double)unread.bad_values},
        {"mpol_ledger_entries", "counter", "transitions recorded", "_total", (double)s.entries},
        {"mpol_ledger_committed", "counter", "transitions that are durable", "_total",
         (double)s.committed},
        {"mpol_incidents_open", "gauge", "incidents that are open", "", s.incidents_open},
        {"mpol_leases_live", "gauge", "leases that exist", "", s.leases_live},
        {"mpol_leases_in_force", "gauge", "leases that the mesh obeys", "", s.leases_in_force},
        {"mpol_refused_keys", "counter", "keys refused because a cap was reached", "_total",
         (double)s.refused_keys},
        {"mpol_messages_sent", "counter", "messages delivered", "_total",
         (double)d->counts.messages_sent},
        {"mpol_messages_failed", "counter", "tries that failed", "_total",
         (double)d->counts.messages_failed},
        {"mpol_messages_waiting", "gauge", "messages not yet delivered", "", s.messages_waiting},
        {"mpol_brake", "gauge", "1: nothing new is enforced", "", s.braked},
        {"mpol_store_failed", "gauge", "1: the store cannot write", "", s.store_failed},
        {"mpol_generation", "gauge", "number of the program in force", "", (double)d->now.number},
        {"mpol_reloads", "counter", "programs put in force since the start", "_total",
         (double)d->counts.reloads},
        {"mpol_reload_failures", "counter", "programs refused", "_total",
         (double)d->counts.reload_failures},
        {"mpol_reload_last_success", "gauge", "0: the last reload was refused", "",
         d->problem[0] == '\0' && d->inventory_problem[0] == '\0'},
        {"mpol_memory_bytes", "gauge", "memory of the engine", "", (double)s.memory_bytes},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        dm_metric(out, rows[i].name, rows[i].type, rows[i].help, rows[i].suffix, rows[i].value);
    }
    rule_metrics(d, out);
    dm_mesh_metrics(d, out);
    dm_modules_metrics(d, out);
    dm_bytes_printf(out, "# EOF\n");
}

bool dm_ready(struct dm *d, struct dm_bytes *out)
{
    bool store = mp_store_trouble(d->store) == NULL;
    dm_bytes_printf(out, "program: generation %" PRIu64 "%s\n", d->now.number,
                    d->problem[0] != '\0' || d->inventory_problem[0] != '\0'
                        ? " (the last reload was refused)"
                        : "");
    dm_bytes_printf(out, "store: %s\n", store ? "writes" : "cannot write");
    dm_bytes_printf(out, "inputs: %u\n", d->input_count);
    if (dm_clock_back(d, out)) dm_bytes_printf(out, "\n");
    dm_mesh_readiness(d, out);
    return d->ready && store;
}
