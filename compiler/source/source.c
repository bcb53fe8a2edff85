/* SPDX-License-Identifier: Apache-2.0 */
#include "source/source.h"

#define TEXT_BYTES_MAX 0x7fffffffu

void mp_sources_init(struct mp_sources *all, struct mp_arena *arena)
{
    *all = (struct mp_sources){.arena = arena};
}

static uint32_t count_lines(mp_str text)
{
    uint32_t count = 1;
    const char *end = text.ptr + text.len;
    for (const char *p = text.ptr; (p = memchr(p, '\n', (size_t)(end - p))) != NULL; p++) count++;
    return count;
}

static bool index_lines(struct mp_arena *arena, struct mp_source *s)
{
    s->line_count = count_lines(s->text);
    s->lines = MP_NEW(arena, uint32_t, s->line_count);
    if (s->lines == NULL) return false;
    const char *end = s->text.ptr + s->text.len;
    uint32_t line = 1;
    for (const char *p = s->text.ptr; (p = memchr(p, '\n', (size_t)(end - p))) != NULL; p++) {
        s->lines[line++] = (uint32_t)(p + 1 - s->text.ptr);
    }
    return true;
}

enum mp_err mp_sources_add(struct mp_sources *all, mp_str name, mp_str text,
                           const struct mp_source **out)
{
    if (text.len > TEXT_BYTES_MAX) return MP_ELIMIT;
    struct mp_source *s = MP_NEW(all->arena, struct mp_source, 1);
    if (s == NULL) return MP_ENOMEM;
    s->name = mp_arena_str(all->arena, name);
    s->text = mp_arena_str(all->arena, text);
    if (s->name.ptr == NULL || s->text.ptr == NULL || !index_lines(all->arena, s)) return MP_ENOMEM;
    struct mp_source **slot = MP_VEC_PUSH(all->arena, &all->files);
    if (slot == NULL) return MP_ENOMEM;
    s->id = all->files.len;
    *slot = s;
    *out = s;
    return MP_OK;
}

const struct mp_source *mp_source_of(const struct mp_sources *all, struct mp_span span)
{
    return span.file == 0 || span.file > all->files.len ? NULL : all->files.ptr[span.file - 1];
}

mp_str mp_source_text(const struct mp_sources *all, struct mp_span span)
{
    const struct mp_source *s = mp_source_of(all, span);
    if (s == NULL || span.to <= span.from) return MP_STR("");
    return mp_str_sub(s->text, span.from, span.to - span.from);
}

uint32_t mp_source_line_start(const struct mp_source *source, uint32_t line)
{
    if (line == 0) return 0;
    return line > source->line_count ? (uint32_t)source->text.len : source->lines[line - 1];
}

mp_str mp_source_line(const struct mp_source *source, uint32_t line)
{
    if (line == 0 || line > source->line_count) return MP_STR("");
    uint32_t from = source->lines[line - 1];
    uint32_t to = line == source->line_count ? (uint32_t)source->text.len : source->lines[line] - 1;
    if (to > from && source->text.ptr[to - 1] == '\r') to--;
    return mp_str_sub(source->text, from, to - from);
}

struct mp_position mp_source_position(const struct mp_source *source, uint32_t offset)
{
    if (offset > source->text.len) offset = (uint32_t)source->text.len;
    uint32_t low = 0, high = source->line_count;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (source->lines[middle] <= offset) {
            low = middle;
        } else {
            high = middle;
        }
    }
    uint32_t start = source->lines[low];
    mp_str before = mp_str_sub(source->text, start, offset - start);
    return (struct mp_position){low + 1, mp_source_code_points(before) + 1};
}

struct mp_position mp_source_begin(const struct mp_sources *all, struct mp_span span)
{
    const struct mp_source *s = mp_source_of(all, span);
    return s == NULL ? (struct mp_position){0, 0} : mp_source_position(s, span.from);
}

uint32_t mp_source_code_points(mp_str bytes)
{
    uint32_t count = 0;
    for (size_t at = 0; at < bytes.len; count++) {
        size_t len = mp_str_utf8(bytes, at);
        at += len == 0 ? 1 : len;
    }
    return count;
}
