/* SPDX-License-Identifier: Apache-2.0
 * The front end: parser and checker, tests of the policy included.
 *
 * A line `# channels: slack siem` in the policy says which channels exist (E0106); without it any
 * word is one. A line `# backend: envoy` says which meshes are to carry it out (E0701).
 */
#include "driver/driver.h"
#include "golden.h"
#include "os/std.h"

#define WORDS_MAX 16

static uint32_t read_words(mp_str text, const char *head, mp_str out[WORDS_MAX])
{
    const char *at = strstr(text.ptr, head);
    uint32_t count = 0;
    if (at == NULL) return 0;
    for (at += strlen(head); *at != '\n' && *at != '\0' && count < WORDS_MAX;) {
        size_t len = strcspn(at, " \n");
        if (len > 0) out[count++] = (mp_str){at, len};
        at += len;
        if (*at == ' ') at++;
    }
    return count;
}

static bool keep(struct mp_arena *arena, const struct mp_buf *made, mp_str *out)
{
    mp_str text = made->len == 0 ? MP_STR("") : mp_buf_view(made);
    *out = mp_arena_str(arena, text);
    return out->ptr != NULL && !made->failed;
}

bool golden_run(struct mp_arena *arena, mp_str name, mp_str text, mp_str out[GOLDEN_KINDS])
{
    struct mp_os os;
    mp_str channels[WORDS_MAX], backends[WORDS_MAX];
    const struct mp_backend_table *tables[WORDS_MAX];
    mp_str copy = mp_arena_str(arena, text); /* with a NUL, for strstr */
    mp_std_os(&os);
    struct mp_compile_options options = {.goal = MP_COMPILE_CHECK, .with_tests = true, .os = &os};
    options.channel_count = read_words(copy, "# channels:", channels);
    options.backend_count = read_words(copy, "# backend:", backends);
    options.backends = tables;
    for (uint32_t i = 0; i < options.backend_count; i++) {
        tables[i] = mp_backend_table_named(backends[i]);
        if (tables[i] == NULL) return false;
    }
    if (options.channel_count > 0) options.channels = channels;
    struct mp_compile_text input = {name, text, MP_CHECK_GIVEN};
    struct mp_compilation *c;
    if (mp_compile(&input, 1, &options, &c) != MP_OK) return false;
    bool advised = strstr(copy.ptr, "# lint\n") != NULL;
    if (advised && mp_compilation_lint(c, MP_LINT_ALL) != MP_OK) return false;
    struct mp_buf bufs[GOLDEN_KINDS];
    for (int i = 0; i < GOLDEN_KINDS; i++) mp_buf_init(&bufs[i], arena);
    mp_diags_print_text(mp_compilation_diags(c), mp_compilation_sources(c),
                        (struct mp_diag_style){0}, &bufs[GOLDEN_DIAG]);
    mp_ast_dump(&bufs[GOLDEN_AST], mp_compilation_ast(c, 0));
    mp_diags_print_json(mp_compilation_diags(c), mp_compilation_sources(c), &bufs[GOLDEN_JSON]);
    bool good = true;
    for (int i = 0; i < GOLDEN_KINDS; i++) good = keep(arena, &bufs[i], &out[i]) && good;
    mp_compilation_free(c);
    return good;
}
