/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/verbs.h"

#include "mpol/version.h"
#include "program/layout.h"

const struct cli_option cli_version_options[] = {
    {"json", NULL, "one object, for programs"},
    {NULL, NULL, NULL},
};

int cli_version(const struct cli_args *args)
{
    unsigned long long layout = mp_layout_mark(); /* an image loads where this number is the same */
    if (cli_flag(args, "json")) {
        printf("{\"version\":\"%s\",\"language_edition\":%d,\"image_layout\":\"%016llx\"}\n",
               MPOL_VERSION_TEXT, MPOL_LANGUAGE_EDITION, layout);
    } else {
        printf("mpol %s, language edition %d, image layout %016llx\n", MPOL_VERSION_TEXT,
               MPOL_LANGUAGE_EDITION, layout);
    }
    return CLI_OK;
}
