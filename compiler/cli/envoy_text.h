/* SPDX-License-Identifier: Apache-2.0
 * envoy_text.h - configuration of Envoy made of the templates in envoy/.
 *
 * A template is text. `${NAME}` is a value, with JSON's escapes, so it stands between quotes of the
 * template or is a number. Three kinds of lines say something: `$?NAME` ... `$.` is written only
 * where NAME has a value (not nested), `$<FILE` is another template, `$*LIST FILE` is one for
 * each item of a list; both take over the line's indentation, and put a comma behind the last
 * line where FILE has one behind it. In an item `${comma}` is one, but for the last.
 *
 * Callers: verb_envoy.c. Memory: the caller's arena.
 */
#ifndef MP_CLI_ENVOY_TEXT_H
#define MP_CLI_ENVOY_TEXT_H

#include "base/str.h"

struct envoy_file {
    const char *name;
    const char *text;
    size_t len;
};
extern const struct envoy_file envoy_files[];
extern const size_t envoy_files_count;

struct envoy_word {
    const char *name;
    mp_str value; /* empty: it has none */
};

#define ENVOY_WORDS_MAX 48 /* LIMIT: words of a configuration, or of an item */

struct envoy_words {
    struct envoy_word at[ENVOY_WORDS_MAX];
    size_t count;
    const struct envoy_words *outer; /* looked up in when it is not here; NULL: none */
};

struct envoy_list {
    const char *name;
    const struct envoy_words *items; /* their outer is set by the caller */
    size_t count;
};

struct envoy_config {
    struct envoy_words words;
    const struct envoy_list *lists;
    size_t list_count;
};

void envoy_word_put(struct envoy_words *w, const char *name, mp_str value);
/* Writes template `name`. A name that the templates use and nobody has put is a mistake of ours. */
void envoy_text(struct mp_buf *out, const struct envoy_config *config, const char *name);

#endif
