/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/verbs.h"

#include <ctype.h>

const struct cli_option cli_explain_options[] = {{NULL, NULL, NULL}};

static const char *const severities[] = {[MP_SEV_ERROR] = "error", [MP_SEV_WARNING] = "warning",
                                         [MP_SEV_INFO] = "info"};

/* One paragraph, broken at spaces to fit a terminal. */
static void print_wrapped(mp_str text)
{
    size_t column = 0;
    for (size_t i = 0; i < text.len;) {
        size_t end = i;
        while (end < text.len && text.ptr[end] != ' ') end++;
        if (column > 0 && column + (end - i) + 1 > 90) {
            putchar('\n');
            column = 0;
        }
        printf("%s%.*s", column > 0 ? " " : "", (int)(end - i), text.ptr + i);
        column += end - i + 1;
        i = end + 1;
    }
    putchar('\n');
}

static int list_all(void)
{
    for (int i = 0; i < MP_DIAG_COUNT; i++) {
        const struct mp_diag_row *row = mp_diag_row((enum mp_diag_code)i);
        printf("%.*s %-7s %.*s\n", MP_STR_ARG(row->code), severities[row->severity],
               MP_STR_ARG(row->title));
    }
    return CLI_OK;
}

int cli_explain(const struct cli_args *args)
{
    size_t count;
    const char *const *words = cli_operands(args, &count);
    if (count == 0) return list_all();
    if (count > 1) return cli_complain(args, "one code at a time");
    char code[16] = {0};
    for (int i = 0; i < 15 && words[0][i] != '\0'; i++)
        code[i] = (char)toupper((unsigned char)words[0][i]);
    enum mp_diag_code found;
    if (!mp_diag_find(mp_str_of(code), &found)) {
        return cli_complain(args, "there is no code %s; `mpol explain` lists them", words[0]);
    }
    const struct mp_diag_row *row = mp_diag_row(found);
    printf("%.*s (%s): %.*s\n\n", MP_STR_ARG(row->code), severities[row->severity],
           MP_STR_ARG(row->title));
    print_wrapped(row->doc);
    return CLI_OK;
}
