/* SPDX-License-Identifier: Apache-2.0
 * The parser alone.
 */
#include "golden.h"
#include "parse/parse.h"

bool golden_run(struct mp_arena *arena, mp_str name, mp_str text, mp_str out[GOLDEN_KINDS])
{
    struct mp_sources sources;
    struct mp_diags diags;
    const struct mp_source *source;
    struct mp_ast_file *file;
    struct mp_buf bufs[GOLDEN_KINDS];
    mp_sources_init(&sources, arena);
    mp_diags_init(&diags, arena);
    if (mp_sources_add(&sources, name, text, &source) != MP_OK) return false;
    if (mp_parse(source, arena, &diags, &file) != MP_OK) return false;
    for (int i = 0; i < GOLDEN_KINDS; i++) mp_buf_init(&bufs[i], arena);
    mp_diags_print_text(&diags, &sources, (struct mp_diag_style){0}, &bufs[GOLDEN_DIAG]);
    mp_ast_dump(&bufs[GOLDEN_AST], file);
    mp_diags_print_json(&diags, &sources, &bufs[GOLDEN_JSON]);
    for (int i = 0; i < GOLDEN_KINDS; i++) {
        out[i] = bufs[i].len == 0 ? MP_STR("") : mp_buf_view(&bufs[i]);
        if (bufs[i].failed) return false;
    }
    return true;
}
