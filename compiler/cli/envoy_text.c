/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/envoy_text.h"

#include "base/assert.h"
#include "base/quote.h"

#define DEPTH_MAX 4 /* templates inside of templates */

struct writing {
    struct mp_buf *out;
    const struct envoy_config *config;
    unsigned depth;
};

static void template_put(struct writing *w, mp_str name, const struct envoy_words *words,
                         size_t indent);

void envoy_word_put(struct envoy_words *w, const char *name, mp_str value)
{
    MP_ASSERT(w->count < ENVOY_WORDS_MAX);
    w->at[w->count++] = (struct envoy_word){name, value};
}

void envoy_text(struct mp_buf *out, const struct envoy_config *config, const char *name)
{
    struct writing w = {out, config, 0};
    template_put(&w, mp_str_of(name), &config->words, 0);
}

static mp_str word_of(const struct envoy_words *words, mp_str name)
{
    for (; words != NULL; words = words->outer) {
        for (size_t i = 0; i < words->count; i++) {
            if (mp_str_eq(mp_str_of(words->at[i].name), name)) return words->at[i].value;
        }
    }
    return MP_STR("");
}

/* The part of `s` up to `end`, which is passed over; all of it where there is none. */
static mp_str take_until(mp_str *s, char end)
{
    const char *at = s->len > 0 ? memchr(s->ptr, end, s->len) : NULL;
    size_t len = at != NULL ? (size_t)(at - s->ptr) : s->len;
    mp_str taken = mp_str_sub(*s, 0, len);
    *s = mp_str_sub(*s, at != NULL ? len + 1 : len, SIZE_MAX);
    return taken;
}

static void escaped_put(struct mp_buf *out, mp_str value)
{
    char room[MP_QUOTE_MAX];
    for (size_t at = 0; at < value.len;) mp_buf_put(out, mp_quote_next(value, &at, room));
}

static void line_put(struct mp_buf *out, mp_str line, const struct envoy_words *words,
                     size_t indent)
{
    for (size_t i = 0; i < indent; i++) mp_buf_putc(out, ' ');
    while (line.len > 0) {
        mp_buf_put(out, take_until(&line, '$'));
        if (line.len == 0) break;
        MP_ASSERT(line.ptr[0] == '{');
        line = mp_str_sub(line, 1, SIZE_MAX);
        escaped_put(out, word_of(words, take_until(&line, '}')));
    }
    mp_buf_putc(out, '\n');
}

/* Template `what`; one that ends with a comma gets it behind its last line. */
static void included_put(struct writing *w, mp_str what, const struct envoy_words *words,
                         size_t indent)
{
    bool comma = mp_str_ends(what, MP_STR(","));
    template_put(w, comma ? mp_str_sub(what, 0, what.len - 1) : what, words, indent);
    if (!comma || w->out->failed) return;
    w->out->len--;
    mp_buf_puts(w->out, ",\n");
}

static void items_put(struct writing *w, mp_str what, size_t indent)
{
    mp_str name = take_until(&what, ' ');
    for (size_t i = 0; i < w->config->list_count; i++) {
        const struct envoy_list *list = &w->config->lists[i];
        if (!mp_str_eq(mp_str_of(list->name), name)) continue;
        for (size_t k = 0; k < list->count; k++) included_put(w, what, &list->items[k], indent);
    }
}

static const struct envoy_file *file_named(mp_str name)
{
    size_t i = 0;
    while (i < envoy_files_count && !mp_str_eq(mp_str_of(envoy_files[i].name), name)) i++;
    MP_ASSERT(i < envoy_files_count);
    return &envoy_files[i];
}

static void template_put(struct writing *w, mp_str name, const struct envoy_words *words,
                         size_t indent)
{
    const struct envoy_file *file = file_named(name);
    mp_str text = {file->text, file->len};
    bool wanted = true;
    MP_ASSERT(w->depth < DEPTH_MAX);
    w->depth++;
    while (text.len > 0) {
        mp_str line = take_until(&text, '\n');
        size_t blanks = 0;
        while (blanks < line.len && line.ptr[blanks] == ' ') blanks++;
        mp_str rest = mp_str_sub(line, blanks, SIZE_MAX);
        bool says = rest.len > 1 && rest.ptr[0] == '$' && rest.ptr[1] != '{';
        mp_str what = mp_str_sub(rest, 2, SIZE_MAX);
        if (!says) {
            if (wanted) line_put(w->out, line, words, indent);
        } else if (rest.ptr[1] == '?') {
            wanted = word_of(words, what).len > 0;
        } else if (rest.ptr[1] == '.') {
            wanted = true;
        } else if (wanted && rest.ptr[1] == '<') {
            included_put(w, what, words, indent + blanks);
        } else if (wanted) {
            items_put(w, what, indent + blanks);
        }
    }
    w->depth--;
}
