/* SPDX-License-Identifier: Apache-2.0
 * Comments that silence a lint: `# mpol: allow L141 until 2027-01-31 "reason"`.
 */
#include "base/date.h"
#include "lint/lint_priv.h"

static const struct mp_ast_file *file_of(const struct lint *l, struct mp_span span)
{
    for (uint32_t i = 0; i < l->options->file_count; i++) {
        if (l->options->files[i]->source->id == span.file) return l->options->files[i];
    }
    return NULL;
}

/* From behind the item before to the end of the item at `offset`: its comments are in there. */
static struct mp_span item_with_comments(const struct mp_ast_file *f, uint32_t offset)
{
    uint32_t from = 0;
    for (uint32_t i = 0; i < f->items.len; i++) {
        struct mp_span item = f->items.ptr[i]->span;
        if (offset < item.to) return (struct mp_span){f->source->id, from, item.to};
        from = item.to;
    }
    return (struct mp_span){0};
}

/* `2027-01-31`; false for anything else. */
static bool read_date(mp_str text, int64_t *days)
{
    int64_t part[3] = {0};
    uint32_t n = 0;
    if (text.len != 10) return false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (i == 4 || i == 7) {
            if (c != '-') return false;
            n++;
        } else {
            if (c < '0' || c > '9') return false;
            part[n] = part[n] * 10 + (c - '0');
        }
    }
    if (part[1] < 1 || part[1] > 12 || part[2] < 1 || part[2] > 31) return false;
    *days = mp_date_days((struct mp_date){part[0], (int)part[1], (int)part[2]});
    return true;
}

/* The next word of *rest, which loses it; empty at the end. */
static mp_str next_word(mp_str *rest)
{
    while (rest->len > 0 && (*rest->ptr == ' ' || *rest->ptr == '\t'))
        *rest = mp_str_sub(*rest, 1, rest->len);
    size_t len = 0;
    while (len < rest->len && rest->ptr[len] != ' ' && rest->ptr[len] != '\t') len++;
    mp_str word = mp_str_sub(*rest, 0, len);
    *rest = mp_str_sub(*rest, len, rest->len);
    return word;
}

static enum lint_allowance read_comment(const struct lint *l, mp_str comment, mp_str code)
{
    mp_str rest = mp_str_sub(comment, 1, comment.len), word;
    bool named = false;
    int64_t end;
    if (!mp_str_eq(next_word(&rest), MP_STR("mpol:"))) return LINT_NOT_ALLOWED;
    if (!mp_str_eq(next_word(&rest), MP_STR("allow"))) return LINT_NOT_ALLOWED;
    for (word = next_word(&rest); mp_str_starts(word, MP_STR("L")); word = next_word(&rest)) {
        named |= mp_str_eq(word, code);
    }
    if (!named) return LINT_NOT_ALLOWED;
    if (!mp_str_eq(word, MP_STR("until")) || !read_date(next_word(&rest),
                                                        &end)) return LINT_WITHOUT_END;
    return end < l->options->today_days ? LINT_ENDED : LINT_ALLOWED;
}

enum lint_allowance lint_allowance(const struct lint *l, enum mp_diag_code code,
                                   struct mp_span span)
{
    const struct mp_ast_file *f = file_of(l, span);
    if (f == NULL) return LINT_NOT_ALLOWED;
    struct mp_span item = item_with_comments(f, span.from);
    enum lint_allowance best = LINT_NOT_ALLOWED;
    for (uint32_t i = 0; i < f->trivia.len && item.file != 0; i++) {
        const struct mp_ast_trivia *t = &f->trivia.ptr[i];
        if (t->kind != MP_AST_COMMENT || t->from < item.from || t->from >= item.to) continue;
        mp_str text = mp_str_sub(f->source->text, t->from, t->to - t->from);
        enum lint_allowance said = read_comment(l, text, mp_diag_row(code)->code);
        if (said == LINT_ALLOWED) return said;
        if (said != LINT_NOT_ALLOWED) best = said;
    }
    return best;
}
