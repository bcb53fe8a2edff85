/* SPDX-License-Identifier: Apache-2.0 */
#include "api/api_priv.h"

/* The handle lives in an arena of its own, so the caller's allocator holds everything. */
static struct mpol_program *handle_create(const struct mpol_world *world)
{
    struct api_world w;
    api_world_init(&w, world);
    struct mpol_program *program = w.alloc.alloc(&w, sizeof *program);
    if (program == NULL) return NULL;
    memset(program, 0, sizeof *program);
    api_world_init(&program->world, world);
    mp_arena_init(&program->arena, &program->world.alloc, 0);
    return program;
}

enum mpol_err mpol_program_load(const void *image, size_t image_size,
                                const struct mpol_world *world, struct mpol_program **out,
                                const char **why)
{
    const char *reason = "";
    struct mpol_program *program = handle_create(world);
    if (program == NULL) return MPOL_ENOMEM;
    program->image = mp_arena_str(&program->arena, (mp_str){image, image_size});
    enum mp_err err = MP_ENOMEM;
    if (program->image.ptr != NULL) {
        err = mp_program_load(image, image_size, &program->world.os, &program->p, &reason);
    }
    if (err != MP_OK) {
        if (why != NULL) *why = reason;
        mpol_program_free(program);
        return (enum mpol_err)err;
    }
    *out = program;
    return MPOL_OK;
}

enum mpol_err mpol_program_image(const struct mpol_program *program, const void **image,
                                 size_t *image_size)
{
    *image = program->image.ptr;
    *image_size = program->image.len;
    return MPOL_OK;
}

enum mpol_err mpol_program_param(struct mpol_program *program, struct mpol_text name,
                                 struct mpol_text value)
{
    return (enum mpol_err)mp_program_set_param(program->p, api_str(name), api_str(value));
}

size_t mpol_program_rule_count(const struct mpol_program *program)
{
    return program->p->rule_count;
}

enum mpol_err mpol_program_rule(const struct mpol_program *program, size_t index,
                                struct mpol_text *name, struct mpol_text *kind)
{
    const struct mp_program *p = program->p;
    if (index >= p->rule_count) return MPOL_ENOTFOUND;
    *name = api_text(mp_program_text(p, p->rule[index].name));
    *kind = api_text(mp_rule_kind_word(p->rule[index].kind));
    return MPOL_OK;
}

void mpol_program_free(struct mpol_program *program)
{
    if (program == NULL) return;
    if (program->p != NULL) mp_program_free(program->p);
    mp_arena_free(&program->arena);
    struct api_world w = program->world;
    w.alloc.free(&w, program, sizeof *program);
}
