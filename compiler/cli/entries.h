/* SPDX-License-Identifier: Apache-2.0
 * entries.h - how transitions, messages and counts are shown: the same in replay, run and the
 * ledger.
 */
#ifndef MP_CLI_ENTRIES_H
#define MP_CLI_ENTRIES_H

#include "cli/cli.h"
#include "engine/engine.h"

struct cli_entry_style {
    bool json, color;
};

struct cli_summary {
    uint64_t records, bad_lines, late;
    uint64_t unread_lines, unread_fields, bad_values; /* see struct mp_ingest_counts */
};

/* Text that may come from telemetry: what would end a line or speak to a terminal becomes `?`. */
void cli_put_text(FILE *out, mp_str text);
/* One line a transition: its JSON, or words. */
void cli_print_entry(FILE *out, const struct cli_entry_style *style, const struct mp_entry *entry,
                     mp_str json);
/* A message that would have gone out; in JSON {"message":{...}}. */
void cli_print_message(FILE *out, const struct cli_entry_style *style, const struct mp_message *m);
/* {"summary":{"records":…,"bad_lines":…,"late":…,
 * "rules":{"NAME":{"matched":…,"false":…,"unknown":…}},
 * "unread_lines":…,"unread_fields":…,"bad_values":…}}, or the same as a table. */
void cli_print_summary(FILE *out, const struct cli_entry_style *style,
                       const struct mp_engine *engine, const struct cli_summary *summary);

/* ---- executors (executor.c) ---- */
/* Puts native code in force as --executor asks: `native` exits 2 where it cannot be had; without
 * the option it is used where it is there. `wait`: compiled before this returns. */
int cli_use_executor(const struct cli_args *args, struct mp_program *program, bool wait);
/* Before the program is freed. */
void cli_drop_executor(const struct mp_program *program);

#endif
