/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/verbs.h"

const struct cli_option cli_lint_options[] = {
    {"format", "text|json", "how messages are written; json goes to standard output"},
    {"level", "error|warning|info", "what is said; the default is warning"},
    {"deny-warnings", NULL, "a warning is a finding too: exit status 1"},
    {"include", "DIR", "-I DIR: a folder in which `use` looks for packages", true},
    {"channels", "NAME", "a channel that exists, may be repeated; others are E0106 then", true},
    {"backend", "NAME",
     "inproc, envoy, envoy-module or module: what it cannot do is E0701; may be repeated", true},
    {"stdin-filename", "NAME", "what messages call standard input"},
    {NULL, NULL, NULL},
};

static void print_json(struct cli_policies *p)
{
    struct mp_buf text;
    mp_buf_init(&text, &p->arena);
    mp_diags_print_json(mp_compilation_diags(p->compilation),
                        mp_compilation_sources(p->compilation), &text);
    if (text.len > 0) fwrite(text.ptr, 1, text.len, stdout);
}

static int lint(const struct cli_args *args, struct cli_policies *p, enum mp_lint_level level)
{
    int code = cli_compile(args, 0, MP_COMPILE_CHECK, true, p);
    if (code != CLI_OK) return code;
    if (mp_compilation_lint(p->compilation, level) != MP_OK) return cli_no_memory(args);
    return CLI_OK;
}

int cli_lint(const struct cli_args *args)
{
    static const char *const formats[] = {"text", "json", NULL};
    static const char *const levels[] = {"warning", "error", "info", NULL};
    static const enum mp_lint_level level_of[] = {MP_LINT_WARNINGS, MP_LINT_ERRORS, MP_LINT_ALL};
    int format = cli_choice(args, "format", formats), level = cli_choice(args, "level", levels);
    if (format < 0 || level < 0) return CLI_USAGE;
    struct cli_policies p;
    int code = lint(args, &p, level_of[level]);
    if (code == CLI_OK) {
        if (format == 1) {
            print_json(&p);
        } else {
            cli_print_messages(args, &p);
        }
        const struct mp_diags *diags = mp_compilation_diags(p.compilation);
        bool denied = cli_flag(args, "deny-warnings") && diags->warning_count > 0;
        code = diags->error_count > 0 || denied ? CLI_FINDINGS : CLI_OK;
    }
    cli_policies_free(&p);
    return code;
}
