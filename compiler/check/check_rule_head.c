/* SPDX-License-Identifier: Apache-2.0
 * Headers of rules, which trailers they have, and the name of a rule without one.
 */
#include "check/check_rule_priv.h"

/* ---- headers and trailers ---- */

const char *ck_clause_word(enum mp_ast_clause_kind kind)
{
    switch (kind) {
    case MP_AST_AT: return "at";
    case MP_AST_MODE: return "mode";
    case MP_AST_PRIORITY: return "priority";
    case MP_AST_DURING: return "during";
    case MP_AST_UNTIL: return "until";
    case MP_AST_COOLDOWN: return "cooldown";
    case MP_AST_LIMIT: return "limit";
    case MP_AST_RAMP: return "ramp";
    case MP_AST_IF_NO_DATA: return "if no data";
    default: return "clause";
    }
}

static void read_clauses(struct ck_rule *r, const struct mp_ast_clause *all, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct mp_ast_clause **first = &r->clause[all[i].kind];
        if (*first == NULL) {
            *first = &all[i];
            continue;
        }
        struct mp_diag *d = ck_error(r->ck, "E0105", all[i].span, "`%s` stands here twice",
                                     ck_clause_word(all[i].kind));
        mp_diag_label(d, (*first)->span, "the first");
    }
}

static void read_at(struct ck_rule *r)
{
    const struct mp_ast_clause *c = r->clause[MP_AST_AT];
    for (uint32_t i = 0; c != NULL && i < c->name_count; i++) {
        r->said_layers |= ck_hook_bit(r->ck, c->names[i].text, c->names[i].span);
    }
}

static void read_mode(struct ck_rule *r)
{
    const struct mp_ast_clause *c = r->clause[MP_AST_MODE];
    if (c == NULL) return;
    bool canary = mp_str_eq(c->name.text, MP_STR("canary"));
    if (canary) {
        ck_refuse(r->ck, "mode canary", c->span);
    } else if (mp_str_eq(c->name.text, MP_STR("shadow"))) {
        r->out->mode = MP_MODE_SHADOW;
    } else if (!mp_str_eq(c->name.text, MP_STR("enforce"))) {
        struct mp_diag *d = ck_error(r->ck, "E0101", c->name.span, "there is no mode `%.*s`",
                                     MP_STR_ARG(c->name.text));
        mp_diag_help(d, "modes are `enforce`, `shadow` and `canary 10%%`");
        return;
    }
    if (c->has_percent == canary) return;
    struct mp_diag *d = ck_error(r->ck, "E0105", c->span,
                                 canary ? "`mode %.*s` needs a share of the keys"
                                                                 : "`mode %.*s` takes no share",
                                 MP_STR_ARG(c->name.text));
    if (canary) mp_diag_help(d, "`mode canary 10%%`");
}

static void read_during(struct ck_rule *r)
{
    const struct mp_ast_clause *c = r->clause[MP_AST_DURING];
    if (c == NULL) return;
    ck_need(r->ck, r->file, c->name.text, c->name.span, 1u << CK_CALENDAR, "calendar");
    ck_refuse(r->ck, "during", c->span);
}

static bool has_meaning(mp_str name)
{
    return mp_str_eq(name, MP_STR("min_samples")) || mp_str_eq(name, MP_STR("panes")) ||
           mp_str_eq(name, MP_STR("always")) || mp_str_eq(name, MP_STR("approve"));
}

static void read_label(struct ck_rule *r, const struct mp_ast_annot *a)
{
    if (mp_str_eq(a->name.text, MP_STR("approve"))) {
        ck_refuse(r->ck, "@approve", a->span);
        return;
    }
    if (has_meaning(a->name.text)) {
        struct mp_diag *d = ck_error(r->ck, "E0112", a->span, "`@%.*s` says nothing about a rule",
                                     MP_STR_ARG(a->name.text));
        mp_diag_help(d, "it stands before a `%s`",
                     mp_str_eq(a->name.text, MP_STR("always")) ? "signal" : "def");
        return;
    }
    if (mp_str_eq(a->name.text, MP_STR("fail")) && mp_str_eq(a->value.text, MP_STR("closed"))) {
        r->out->flags |= MP_RULE_FAIL_CLOSED;
    }
    uint32_t i = r->out->label_count++;
    r->out->labels[i].name = a->name.text;
    r->out->labels[i].value = a->value.text;
}

static void read_labels(struct ck_rule *r)
{
    uint32_t count = r->item->annot_count;
    if (count == 0) return;
    r->out->labels = ck_alloc(r->ck, count, sizeof *r->out->labels, _Alignof(mp_str));
    for (uint32_t i = 0; i < count; i++) read_label(r, &r->item->annots[i]);
}

void ck_rule_headers(struct ck_rule *r)
{
    read_clauses(r, r->ast->headers, r->ast->header_count);
    read_clauses(r, r->ast->trailers, r->ast->trailer_count);
    read_at(r);
    read_mode(r);
    read_during(r);
    read_labels(r);
    if (r->clause[MP_AST_PRIORITY] != NULL) {
        r->out->priority = r->clause[MP_AST_PRIORITY]->number.value;
    }
}

/* ---- the name of a rule without one ---- */

void ck_rule_name(struct ck_rule *r)
{
    const struct mp_os *os = r->ck->options == NULL ? NULL : r->ck->options->os;
    struct mp_buf b;
    mp_buf_init(&b, r->ck->perm);
    mp_ast_print_when(&b, r->ast);
    r->out->canonical_when = ck_buf_text(r->ck, &b);
    if (r->item->name.text.ptr != NULL) return;
    r->out->flags |= MP_RULE_ANONYMOUS;
    uint8_t digest[32];
    mp_str text = r->out->canonical_when;
    if (os == NULL || os->digest == NULL || os->digest(os->ctx, text.ptr, text.len,
                                                       digest) != MP_OK) {
        ck_refuse(r->ck, "a rule without a name, where no digest is at hand", r->item->span);
        return;
    }
    r->out->name = ck_printf(r->ck, "when_%02x%02x%02x%02x", digest[0], digest[1], digest[2],
                             digest[3]);
}
