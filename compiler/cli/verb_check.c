/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/verbs.h"

#include <stdlib.h>

const struct cli_option cli_check_options[] = {
    {"format", "text|json", "how messages are written; json goes to standard output"},
    {"include", "DIR", "-I DIR: a folder in which `use` looks for packages", true},
    {"channels", "NAME", "a channel that exists, may be repeated; others are E0106 then", true},
    {"list", NULL, "name the rules with their kind"},
    {"backend", "NAME",
     "inproc, envoy, envoy-module or module: what it cannot do is E0701; may be repeated", true},
    {"stdin-filename", "NAME", "what messages call standard input"},
    {NULL, NULL, NULL},
};

static void list_rules(struct cli_policies *p)
{
    const struct mp_typed *typed = mp_compilation_typed(p->compilation);
    const struct mp_sources *sources = mp_compilation_sources(p->compilation);
    for (uint32_t i = 0; i < typed->rules.len; i++) {
        const struct mp_t_rule *r = typed->rules.ptr[i];
        const struct mp_source *source = mp_source_of(sources, r->span);
        mp_str kind = mp_rule_kind_word(r->kind), file = source != NULL ? source->name : MP_STR("");
        printf("%-6.*s %.*s%s%.*s  %.*s:%u\n", MP_STR_ARG(kind), MP_STR_ARG(r->package),
               r->package.len > 0 ? "." : "", MP_STR_ARG(r->name), MP_STR_ARG(file),
               mp_source_begin(sources, r->span).line);
    }
}

static void print_json(struct cli_policies *p)
{
    struct mp_buf text;
    mp_buf_init(&text, &p->arena);
    mp_diags_print_json(mp_compilation_diags(p->compilation),
                        mp_compilation_sources(p->compilation), &text);
    if (text.len > 0) fwrite(text.ptr, 1, text.len, stdout);
}

int cli_check(const struct cli_args *args)
{
    static const char *const formats[] = {"text", "json", NULL};
    int format = cli_choice(args, "format", formats);
    if (format < 0) return CLI_USAGE;
    struct cli_policies p;
    int code = cli_compile(args, 0, MP_COMPILE_IR, true, &p);
    if (code == CLI_OK) {
        if (format == 1) {
            print_json(&p);
        } else {
            cli_print_messages(args, &p);
        }
        bool has_errors = mp_compilation_errors(p.compilation) > 0;
        if (cli_flag(args, "list") && !has_errors && format == 0) list_rules(&p);
        code = has_errors ? CLI_FINDINGS : CLI_OK;
    }
    cli_policies_free(&p);
    return code;
}
