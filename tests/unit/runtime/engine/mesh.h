/* SPDX-License-Identifier: Apache-2.0
 * mesh.h - a backend that does as it is told by a test.
 */
#ifndef TEST_MESH_H
#define TEST_MESH_H

#include "loop.h"
#include "mpol/backend.h"

#define MESH_TEXT_MAX 128

struct mesh {
    enum mpol_err answer;      /* of apply */
    size_t room;               /* ELIMIT beyond so many leases; 0: any number */
    const char *hates;         /* EUNSUPPORTED for a set with this in it; NULL: none */
    const char *nacks;         /* EINVAL later, for a set with this in it; NULL: none */
    bool accepts, obeys, nacked;
    enum mpol_err trouble;
    const char *trouble_text;
    struct mpol_lease_trouble held; /* its id 0: none */
    /* Held is also each lease of the set whose text has this in it; NULL: none. */
    const char *nobody;
    enum mpol_err nobody_is;   /* why; 0: EIO */
    struct mpol_lease_trouble all_held[65];
    uint64_t revision, accepted, effective;
    int applied, closed;
    int64_t begins_ns;         /* of the oldest lease in the last one taken */
    char set[2048];            /* the last one taken: `verb target to=50% given=0; ` */
    struct {
        uint64_t id;
        char text[MESH_TEXT_MAX];
    } last[64]; /* the same, one by one */
    size_t count;
    int asked; /* calls of `carries` */
};

extern const struct mpol_backend_ops mesh_ops;
/* The same; and it can be asked about a lease that is not in the set. */
extern const struct mpol_backend_ops mesh_asked_ops;

/* It accepts and obeys at once. */
void mesh_init(struct mesh *m);
void mesh_open(struct loop *l, struct mesh *m, const char *policy);
void mesh_open_with(struct loop *l, struct mesh *m, const char *policy,
                    const struct mpol_backend_ops *ops);

#endif
