/* SPDX-License-Identifier: Apache-2.0
 * The grammar of .mpol, edition 1. The actions only build the tree (compiler/parse/build.c); what a
 * sentence means, and which clauses an item may have how often, is the checker's.
 *
 * A soft word (%fallback) must never end a phrase where a name could go on: Lemon tries the
 * fallback before a default reduction. The build looks for such states (cmake/lemon-trap.awk).
 */
%include {
#include <stddef.h>

#include "base/assert.h"
#include "mpol_tokens.h"
#include "parse_priv.h"
}
%name mp_lemon
%token_prefix T_
%token_type {struct mp_tok}
%default_type {struct mp_ast_expr *}
%extra_context {struct mp_build *b}
%stack_size 1000
%stack_overflow { mp_explain_depth(b, mp_build_tok(b, b->prev)); b->broken = true; }
%syntax_error { mp_explain_syntax(b, TOKEN, yypParser); b->broken = true; }

%fallback ID
  MPOL VERSION AS MODE PRIORITY DURING FOLLOWED NO DATA SETTLE
  THAN GIVEN EMIT ABSENT EXPECT REFRESH EXPIRE MAX SIGNED EVERY LATENESS SET ENUM DEFAULT
  CLASS STRENGTH BLINDS REVERSIBLE IRREVERSIBLE STARTS ENDS CONTAINS LIKE MATCHES MAP HARM END.
%left OR.
%left AND.
%right NOT.

%start_symbol program
program ::= edition items.
program ::= HOLE cond(E).            { b->answer = E; } // a hole of a string; no lexer makes HOLE
edition ::= .
edition ::= MPOL INT(N). {
    b->file->has_edition = true;
    b->file->edition = mp_build_int(b, N);
}
items ::= .
items ::= items annots(A) item(I).   { mp_build_add(b, A, I); }

%include {
static void annot_value(struct mp_build *b, struct mp_ast_annot *a, struct mp_tok v)
{
    a->kind = v.kind == T_STRING ? MP_AST_ANNOT_TEXT
              : v.kind == T_INT  ? MP_AST_ANNOT_INT
                                 : MP_AST_ANNOT_NAME;
    a->value = (struct mp_ast_text){mp_build_name(b, v).text, mp_build_tok(b, v)};
    if (v.kind == T_STRING) a->value = mp_build_string(b, v);
    if (v.kind == T_INT) a->number = mp_build_int(b, v).value;
}
}
%type annots {struct mp_run}
annots(A) ::= .                      { A = mp_build_run(b); }
annots(A) ::= annots(L) ATSIGN(T) ID(N). {
    A = L;
    struct mp_ast_annot a = {.name = mp_build_name(b, N), .span = mp_build_span(b, T.from)};
    mp_build_push(b, &A, &a, sizeof a);
}
annots(A) ::= annots(L) ATSIGN(T) ID(N) avalue(V). {
    A = L;
    struct mp_ast_annot a = {.name = mp_build_name(b, N), .span = mp_build_span(b, T.from)};
    annot_value(b, &a, V);
    mp_build_push(b, &A, &a, sizeof a);
}
%type avalue {struct mp_tok}
avalue(A) ::= STRING(V).             { A = V; }
avalue(A) ::= ID(V).                 { A = V; }
avalue(A) ::= INT(V).                { A = V; }

/* ---- declarations ---- */

%type item {struct mp_ast_item *}
item(A) ::= PACKAGE(T) path(P). {
    A = mp_build_item(b, MP_AST_ITEM_PACKAGE, T.from);
    A->u.package.path = mp_build_path(b, P);
}
item(A) ::= PACKAGE(T) path(P) VERSION STRING(V). {
    A = mp_build_item(b, MP_AST_ITEM_PACKAGE, T.from);
    A->u.package.path = mp_build_path(b, P);
    A->u.package.version = mp_build_string(b, V);
}
item(A) ::= USE(T) path(P). {
    A = mp_build_item(b, MP_AST_ITEM_USE, T.from);
    A->u.use.path = mp_build_path(b, P);
}
item(A) ::= USE(T) path(P) AS ID(N). {
    A = mp_build_item(b, MP_AST_ITEM_USE, T.from);
    A->u.use.path = mp_build_path(b, P);
    A->u.use.alias = mp_build_name(b, N);
}
item(A) ::= LET(T) ID(N) otype(Y) EQ sum(E). {
    A = mp_build_item(b, MP_AST_ITEM_LET, T.from);
    A->name = mp_build_name(b, N);
    A->u.let.type = *Y;
    A->u.let.value = E;
}
item(A) ::= PARAM(T) ID(N) otype(Y) EQ sum(E). {
    A = mp_build_item(b, MP_AST_ITEM_PARAM, T.from);
    A->name = mp_build_name(b, N);
    A->u.param.type = *Y;
    A->u.param.value = E;
}
item(A) ::= PARAM(T) ID(N) otype(Y) EQ sum(E) IN range(R). {
    A = mp_build_item(b, MP_AST_ITEM_PARAM, T.from);
    A->name = mp_build_name(b, N);
    A->u.param.type = *Y;
    A->u.param.value = E;
    A->u.param.low = R.low;
    A->u.param.high = R.high;
}
item(A) ::= DEF(T) ID(N) oparams(F) oper(P) otype(Y) EQ cond(E). {
    A = mp_build_item(b, MP_AST_ITEM_DEF, T.from);
    A->name = mp_build_name(b, N);
    A->u.def.params = F.fields;
    A->u.def.param_count = F.count;
    A->u.def.has_params = F.written;
    if (P != NULL) A->u.def.per = *P;
    A->u.def.type = *Y;
    A->u.def.body = E;
}
item(A) ::= LIST(T) ID(N) otype(Y) EQ LB elems(L) RB. {
    A = mp_build_item(b, MP_AST_ITEM_LIST, T.from);
    A->name = mp_build_name(b, N);
    A->u.list.type = *Y;
    A->u.list.count = L.count;
    A->u.list.items = mp_build_take(b, L, sizeof(struct mp_ast_expr *));
}
item(A) ::= LIST(T) ID(N) otype(Y) MAX INT(M). {
    A = mp_build_item(b, MP_AST_ITEM_LIST, T.from);
    A->name = mp_build_name(b, N);
    A->u.list.type = *Y;
    A->u.list.is_filled = true;
    A->u.list.max = mp_build_int(b, M);
}
item(A) ::= FEED(T) ID(N) otype(Y) FROM STRING(S) fopts(O). {
    A = mp_build_item(b, MP_AST_ITEM_FEED, T.from);
    A->name = mp_build_name(b, N);
    A->u.feed.type = *Y;
    A->u.feed.from = mp_build_string(b, S);
    A->u.feed.option_count = O.count;
    A->u.feed.options = mp_build_take(b, O, sizeof(struct mp_ast_clause));
}
item(A) ::= CALENDAR(T) ID(N) EQ spans(L) IN STRING(Z). {
    A = mp_build_item(b, MP_AST_ITEM_CALENDAR, T.from);
    A->name = mp_build_name(b, N);
    A->u.calendar.zone = mp_build_string(b, Z);
    A->u.calendar.count = L.count;
    A->u.calendar.spans = mp_build_take(b, L, sizeof(struct mp_ast_when_open));
}
item(A) ::= ENTITY(T) ID(N) oalias(S) LC fields(F) RC. {
    A = mp_build_item(b, MP_AST_ITEM_ENTITY, T.from);
    A->name = mp_build_name(b, N);
    if (S.kind != 0) A->u.entity.alias = mp_build_name(b, S);
    A->u.entity.field_count = F.count;
    A->u.entity.fields = mp_build_take(b, F, sizeof(struct mp_ast_field));
}
item(A) ::= SIGNAL(T) ID(N) oalias(S) otype(Y) oper(P) sopts(O). {
    A = mp_build_item(b, MP_AST_ITEM_SIGNAL, T.from);
    A->name = mp_build_name(b, N);
    if (S.kind != 0) A->u.signal.alias = mp_build_name(b, S);
    A->u.signal.type = *Y;
    if (P != NULL) A->u.signal.per = *P;
    A->u.signal.option_count = O.count;
    A->u.signal.options = mp_build_take(b, O, sizeof(struct mp_ast_clause));
}
item(A) ::= SIGNAL(T) ID(N) oalias(S) otype(Y) oper(P) sopts(O) LC fields(F) RC. {
    A = mp_build_item(b, MP_AST_ITEM_SIGNAL, T.from);
    A->name = mp_build_name(b, N);
    if (S.kind != 0) A->u.signal.alias = mp_build_name(b, S);
    A->u.signal.type = *Y;
    if (P != NULL) A->u.signal.per = *P;
    A->u.signal.has_fields = true;
    A->u.signal.field_count = F.count;
    A->u.signal.fields = mp_build_take(b, F, sizeof(struct mp_ast_field));
    A->u.signal.option_count = O.count;
    A->u.signal.options = mp_build_take(b, O, sizeof(struct mp_ast_clause));
}
item(A) ::= ACTION(T) ID(N) LP fieldl(F) RP aprops(O). {
    A = mp_build_item(b, MP_AST_ITEM_ACTION, T.from);
    A->name = mp_build_name(b, N);
    A->u.action.prop_count = O.count;
    A->u.action.props = mp_build_take(b, O, sizeof(struct mp_ast_clause));
    A->u.action.param_count = F.count;
    A->u.action.params = mp_build_take(b, F, sizeof(struct mp_ast_field));
}

%type otype {struct mp_ast_type *}
otype(A) ::= .                       { A = B_TEMP(b, struct mp_ast_type); }
otype(A) ::= COLON type(Y).          { A = Y; }

%include {
/* A type while it grows: its alternatives, and where it began. */
struct types { struct mp_run alts; uint32_t from; };
}
%type type {struct mp_ast_type *}
%type typel {struct types}
type(A) ::= typel(L). {
    A = B_TEMP(b, struct mp_ast_type);
    A->count = L.alts.count;
    A->span = mp_build_span(b, L.from);
    A->alts = mp_build_take(b, L.alts, sizeof(struct mp_ast_type1));
}
typel(A) ::= type1(Y). {
    A.alts = mp_build_run(b);
    A.from = Y->span.from;
    mp_build_push(b, &A.alts, Y, sizeof *Y);
}
typel(A) ::= typel(L) BAR type1(Y).  { A = L; mp_build_push(b, &A.alts, Y, sizeof *Y); }

%type type1 {struct mp_ast_type1 *}
type1(A) ::= ID(N). {
    A = B_TEMP(b, struct mp_ast_type1);
    A->kind = MP_AST_TYPE_NAME;
    A->name = mp_build_name(b, N);
    A->span = mp_build_tok(b, N);
}
type1(A) ::= SET(T) OF ID(N). {
    A = B_TEMP(b, struct mp_ast_type1);
    A->kind = MP_AST_TYPE_SET;
    A->name = mp_build_name(b, N);
    A->span = mp_build_span(b, T.from);
}
type1(A) ::= MAP(T) OF type1(Y). {
    A = B_TEMP(b, struct mp_ast_type1);
    struct mp_ast_type1 *of = B_PERM(b, struct mp_ast_type1);
    *of = *Y;
    A->kind = MP_AST_TYPE_MAP;
    A->of = of;
    A->span = mp_build_span(b, T.from);
}
type1(A) ::= ENUM(T) LP idl(L) RP. {
    A = B_TEMP(b, struct mp_ast_type1);
    A->kind = MP_AST_TYPE_ENUM;
    A->span = mp_build_span(b, T.from);
    A->member_count = L.count;
    A->members = mp_build_take(b, L, sizeof(struct mp_ast_name));
}
%type idl {struct mp_run}
idl(A) ::= ID(N). {
    struct mp_ast_name name = mp_build_name(b, N);
    A = mp_build_run(b);
    mp_build_push(b, &A, &name, sizeof name);
}
idl(A) ::= idl(L) COMMA ID(N). {
    struct mp_ast_name name = mp_build_name(b, N);
    A = L;
    mp_build_push(b, &A, &name, sizeof name);
}
%type oalias {struct mp_tok}
oalias(A) ::= .                      { A = (struct mp_tok){0}; }
oalias(A) ::= AS ID(N).              { A = N; }

%include {
/* Parameters of a definition, taken off the stack of lists. */
struct params { struct mp_ast_field *fields; uint32_t count; bool written; };
}
%type oparams {struct params}
oparams(A) ::= .                     { A = (struct params){NULL, 0, false}; }
oparams(A) ::= LP fieldl(F) RP. {
    A = (struct params){mp_build_take(b, F, sizeof(struct mp_ast_field)), F.count, true};
}
%type fields {struct mp_run}
fields(A) ::= .                      { A = mp_build_run(b); }
fields(A) ::= fields(L) field(F).    { A = L; mp_build_push(b, &A, F, sizeof *F); }
%type fieldl {struct mp_run}
fieldl(A) ::= field(F).              { A = mp_build_run(b); mp_build_push(b, &A, F, sizeof *F); }
fieldl(A) ::= fieldl(L) COMMA field(F). { A = L; mp_build_push(b, &A, F, sizeof *F); }
%include {
static struct mp_ast_field *new_field(struct mp_build *b, struct mp_tok name,
                                      const struct mp_ast_type *type)
{
    struct mp_ast_field *f = B_TEMP(b, struct mp_ast_field);
    f->name = mp_build_name(b, name);
    f->type = *type;
    f->span = mp_build_span(b, name.from);
    return f;
}
}
%type field {struct mp_ast_field *}
field(A) ::= fname(N) COLON type(Y). {
    A = new_field(b, N, Y);
}
field(A) ::= fname(N) COLON type(Y) EQ sum(E). {
    A = new_field(b, N, Y);
    A->preset = E;
}
field(A) ::= fname(N) COLON type(Y) AT END. {
    A = new_field(b, N, Y);
    A->at_end = true;
}
%type fname {struct mp_tok}
fname(A) ::= ID(N).                  { A = N; }
fname(A) ::= prep(N).                { A = N; }
fname(A) ::= FOR(N).                 { A = N; }

%type aprops {struct mp_run}
aprops(A) ::= .                      { A = mp_build_run(b); }
aprops(A) ::= aprops(L) CLASS(T) ID(N) STRENGTH INT(I). {
    struct mp_ast_clause *c = mp_build_clause(b, MP_AST_CLASS, T.from);
    c->name = mp_build_name(b, N);
    c->number = mp_build_int(b, I);
    A = L;
    mp_build_push(b, &A, c, sizeof *c);
}
aprops(A) ::= aprops(L) BLINDS(T) idl(N). {
    struct mp_ast_clause *c = mp_build_clause(b, MP_AST_BLINDS, T.from);
    c->name_count = N.count;
    c->names = mp_build_take(b, N, sizeof(struct mp_ast_name));
    A = L;
    mp_build_push(b, &A, c, sizeof *c);
}
aprops(A) ::= aprops(L) REVERSIBLE(T). {
    struct mp_ast_clause *c = mp_build_clause(b, MP_AST_REVERSIBLE, T.from);
    A = L;
    mp_build_push(b, &A, c, sizeof *c);
}
aprops(A) ::= aprops(L) IRREVERSIBLE(T). {
    struct mp_ast_clause *c = mp_build_clause(b, MP_AST_IRREVERSIBLE, T.from);
    A = L;
    mp_build_push(b, &A, c, sizeof *c);
}

%include {
static void push_dur(struct mp_build *b, struct mp_run *run, enum mp_ast_clause_kind kind,
                     struct mp_tok word, struct mp_tok dur)
{
    struct mp_ast_clause *c = mp_build_clause(b, kind, word.from);
    c->dur = mp_build_dur(b, dur);
    mp_build_push(b, run, c, sizeof *c);
}
}
%type sopts {struct mp_run}
sopts(A) ::= .                       { A = mp_build_run(b); }
sopts(A) ::= sopts(L) EVERY(T) dur(D).    { A = L; push_dur(b, &A, MP_AST_EVERY, T, D); }
sopts(A) ::= sopts(L) LATENESS(T) dur(D). { A = L; push_dur(b, &A, MP_AST_LATENESS, T, D); }
%type fopts {struct mp_run}
fopts(A) ::= .                       { A = mp_build_run(b); }
fopts(A) ::= fopts(L) REFRESH(T) dur(D).  { A = L; push_dur(b, &A, MP_AST_REFRESH, T, D); }
fopts(A) ::= fopts(L) EXPIRE(T) dur(D).   { A = L; push_dur(b, &A, MP_AST_EXPIRE, T, D); }
fopts(A) ::= fopts(L) MAX(T) INT(N). {
    struct mp_ast_clause *c = mp_build_clause(b, MP_AST_MAX, T.from);
    c->number = mp_build_int(b, N);
    A = L;
    mp_build_push(b, &A, c, sizeof *c);
}
fopts(A) ::= fopts(L) SIGNED(T) BY STRING(S). {
    struct mp_ast_clause *c = mp_build_clause(b, MP_AST_SIGNED_BY, T.from);
    c->text = mp_build_string(b, S);
    A = L;
    mp_build_push(b, &A, c, sizeof *c);
}

%include {
static struct mp_ast_when_open *new_opening(struct mp_build *b, struct mp_tok day,
                                            struct mp_tok from, struct mp_tok to)
{
    struct mp_ast_when_open *o = B_TEMP(b, struct mp_ast_when_open);
    o->from_day = mp_build_name(b, day);
    o->from_minute = mp_build_minute(b, from);
    o->to_minute = mp_build_minute(b, to);
    o->span = mp_build_span(b, day.from);
    return o;
}
}
%type spans {struct mp_run}
%type span {struct mp_ast_when_open *}
spans(A) ::= span(S).                { A = mp_build_run(b); mp_build_push(b, &A, S, sizeof *S); }
spans(A) ::= spans(L) COMMA span(S). { A = L; mp_build_push(b, &A, S, sizeof *S); }
span(A) ::= ID(D) TIME(F) DOTDOT TIME(U). {
    A = new_opening(b, D, F, U);
}
span(A) ::= ID(D) DOTDOT ID(E) TIME(F) DOTDOT TIME(U). {
    A = new_opening(b, D, F, U);
    A->to_day = mp_build_name(b, E);
}

/* ---- rules ---- */

%include {
/* What stands before `when`. */
struct rule_head {
    struct mp_tok first, name;
    struct mp_ast_text doc;
    struct mp_ast_clause *headers;
    uint32_t count;
};
/* `when` a, followed by b, ... */
struct pattern { struct mp_ast_held *first; struct mp_run follows; };
}
item(A) ::= rulehead(H) WHEN(T) pattern(P) patend(S) oper(K) ounless(U) THEN steps(L) trailers(R). {
    A = mp_build_item(b, MP_AST_ITEM_RULE, H->first.kind != 0 ? H->first.from : T.from);
    if (H->first.kind != 0) A->name = mp_build_name(b, H->name);
    struct mp_ast_rule *r = &A->u.rule;
    r->doc = H->doc;
    r->headers = H->headers;
    r->header_count = H->count;
    r->trailer_count = R.count;
    r->trailers = mp_build_take(b, R, sizeof(struct mp_ast_clause));
    r->step_count = L.count;
    r->steps = mp_build_take(b, L, sizeof(struct mp_ast_step));
    r->when = *P.first;
    r->follow_count = P.follows.count;
    r->follows = mp_build_take(b, P.follows, sizeof(struct mp_ast_follow));
    r->pattern_span = S;
    r->pattern_span.from = P.first->span.from;
    if (K != NULL) r->per = *K;
    if (U != NULL) r->unless = *U;
}
%type rulehead {struct rule_head *}
rulehead(A) ::= .                    { A = B_TEMP(b, struct rule_head); }
rulehead(A) ::= RULE(T) ID(N) odoc(D) headers(L). {
    A = B_TEMP(b, struct rule_head);
    A->first = T;
    A->name = N;
    if (D.kind != 0) A->doc = mp_build_string(b, D);
    A->count = L.count;
    A->headers = mp_build_take(b, L, sizeof(struct mp_ast_clause));
}
%type odoc {struct mp_tok}
odoc(A) ::= .                        { A = (struct mp_tok){0}; }
odoc(A) ::= STRING(S).               { A = S; }
%type headers {struct mp_run}
headers(A) ::= .                     { A = mp_build_run(b); }
headers(A) ::= headers(L) header(C). { A = L; mp_build_push(b, &A, C, sizeof *C); }
%type header {struct mp_ast_clause *}
header(A) ::= AT(T) idl(L). {
    A = mp_build_clause(b, MP_AST_AT, T.from);
    A->name_count = L.count;
    A->names = mp_build_take(b, L, sizeof(struct mp_ast_name));
}
header(A) ::= MODE(T) ID(N). {
    A = mp_build_clause(b, MP_AST_MODE, T.from);
    A->name = mp_build_name(b, N);
}
header(A) ::= MODE(T) ID(N) PERCENT(P). {
    A = mp_build_clause(b, MP_AST_MODE, T.from);
    A->name = mp_build_name(b, N);
    A->has_percent = true;
    A->percent = mp_build_percent(b, P);
    A->percent_text = mp_build_text(b, P);
}
header(A) ::= PRIORITY(T) INT(N). {
    A = mp_build_clause(b, MP_AST_PRIORITY, T.from);
    A->number = mp_build_int(b, N);
}
header(A) ::= DURING(T) ID(N). {
    A = mp_build_clause(b, MP_AST_DURING, T.from);
    A->name = mp_build_name(b, N);
}
header(A) ::= DURING(T) NOT ID(N). {
    A = mp_build_clause(b, MP_AST_DURING, T.from);
    A->name = mp_build_name(b, N);
    A->negated = true;
}

%include {
static void push_follow(struct mp_build *b, struct mp_run *run, struct mp_tok word, bool negated,
                        struct mp_ast_expr *cond, const struct mp_tok *within)
{
    struct mp_ast_follow f = {negated, cond, .span = mp_build_span(b, word.from)};
    if (within != NULL) f.within = mp_build_dur(b, *within);
    mp_build_push(b, run, &f, sizeof f);
}
}
%type pattern {struct pattern}
pattern(A) ::= held(H).              { A.first = H; A.follows = mp_build_run(b); }
pattern(A) ::= pattern(L) FOLLOWED(T) BY cond(E). {
    A = L;
    push_follow(b, &A.follows, T, false, E, NULL);
}
pattern(A) ::= pattern(L) FOLLOWED(T) BY cond(E) WITHIN dur(D). {
    A = L;
    push_follow(b, &A.follows, T, false, E, &D);
}
pattern(A) ::= pattern(L) FOLLOWED(T) BY NO cond(E) WITHIN dur(D). {
    A = L;
    push_follow(b, &A.follows, T, true, E, &D);
}
%type patend {struct mp_span}
patend(A) ::= . {
    A = mp_build_span(b, b->prev.from);
}

%type held {struct mp_ast_held *}
held(A) ::= cond(E). {
    A = B_TEMP(b, struct mp_ast_held);
    *A = (struct mp_ast_held){.cond = E, .span = E->span};
}
held(A) ::= cond(E) FOR dur(D). {
    A = B_TEMP(b, struct mp_ast_held);
    *A = (struct mp_ast_held){E, mp_build_dur(b, D), mp_build_span(b, E->span.from)};
}
%type oper {struct mp_ast_per *}
oper(A) ::= .                        { A = NULL; }
oper(A) ::= PER(T) keys(L). {
    A = B_TEMP(b, struct mp_ast_per);
    A->count = L.count;
    A->keys = mp_build_take(b, L, sizeof(struct mp_ast_key));
    A->span = mp_build_span(b, T.from);
}
oper(A) ::= PER(T) keys(L) MAX INT(N). {
    A = B_TEMP(b, struct mp_ast_per);
    A->count = L.count;
    A->keys = mp_build_take(b, L, sizeof(struct mp_ast_key));
    A->has_max = true;
    A->max = mp_build_int(b, N);
    A->span = mp_build_span(b, T.from);
}
%type keys {struct mp_run}
keys(A) ::= key(K).                  { A = mp_build_run(b); mp_build_push(b, &A, K, sizeof *K); }
keys(A) ::= keys(L) COMMA key(K).    { A = L; mp_build_push(b, &A, K, sizeof *K); }
%type key {struct mp_ast_key *}
key(A) ::= path(P). {
    A = B_TEMP(b, struct mp_ast_key);
    A->path = mp_build_path(b, P);
    A->span = A->path.span;
}
key(A) ::= path(P) LB STRING(S) RB. {
    A = B_TEMP(b, struct mp_ast_key);
    A->path = mp_build_path(b, P);
    A->entry = mp_build_string(b, S);
    A->span = mp_build_span(b, A->path.span.from);
}
%type ounless {struct mp_ast_held *}
ounless(A) ::= .                     { A = NULL; }
ounless(A) ::= UNLESS held(H).       { A = H; }

%type steps {struct mp_run}
steps(A) ::= step(S).                { A = mp_build_run(b); mp_build_push(b, &A, S, sizeof *S); }
steps(A) ::= steps(L) ELSE step(S).  { A = L; mp_build_push(b, &A, S, sizeof *S); }
%type step {struct mp_ast_step *}
step(A) ::= acts(L) overify(V). {
    A = B_TEMP(b, struct mp_ast_step);
    A->act_count = L.count;
    A->acts = mp_build_take(b, L, sizeof(struct mp_ast_act));
    A->verify = V;
    A->span = mp_build_span(b, A->acts[0].span.from);
}
%type acts {struct mp_run}
acts(A) ::= act(C).                  { A = mp_build_run(b); mp_build_push(b, &A, C, sizeof *C); }
acts(A) ::= acts(L) AND act(C).      { A = L; mp_build_push(b, &A, C, sizeof *C); }
%type act {struct mp_ast_act *}
act(A) ::= ID(N) preps(L). {
    A = B_TEMP(b, struct mp_ast_act);
    A->verb = mp_build_name(b, N);
    A->prep_count = L.count;
    A->preps = mp_build_take(b, L, sizeof(struct mp_ast_prep));
    A->span = mp_build_span(b, N.from);
}
act(A) ::= ID(N) sum(E) preps(L). {
    A = B_TEMP(b, struct mp_ast_act);
    A->verb = mp_build_name(b, N);
    A->target = E;
    A->prep_count = L.count;
    A->preps = mp_build_take(b, L, sizeof(struct mp_ast_prep));
    A->span = mp_build_span(b, N.from);
}
%include {
static void push_prep(struct mp_build *b, struct mp_run *run, struct mp_tok word,
                      struct mp_ast_expr *value)
{
    struct mp_ast_prep p = {.value = value, .span = mp_build_span(b, word.from)};
    p.kind = word.kind == T_TO     ? MP_AST_PREP_TO
             : word.kind == T_ON   ? MP_AST_PREP_ON
             : word.kind == T_FROM ? MP_AST_PREP_FROM
             : word.kind == T_VIA  ? MP_AST_PREP_VIA
                                   : MP_AST_PREP_FOR;
    mp_build_push(b, run, &p, sizeof p);
}
}
%type preps {struct mp_run}
preps(A) ::= .                       { A = mp_build_run(b); }
preps(A) ::= preps(L) prep(P) sum(E). { A = L; push_prep(b, &A, P, E); }
preps(A) ::= preps(L) FOR(P) sum(E). { A = L; push_prep(b, &A, P, E); }
preps(A) ::= preps(L) WITH(T) kvs(K). {
    struct mp_ast_prep p = {.kind = MP_AST_PREP_WITH, .span = mp_build_span(b, T.from)};
    p.pair_count = K.count;
    p.pairs = mp_build_take(b, K, sizeof(struct mp_ast_pair));
    A = L;
    mp_build_push(b, &A, &p, sizeof p);
}
%type prep {struct mp_tok}
prep(A) ::= TO(T).                   { A = T; }
prep(A) ::= ON(T).                   { A = T; }
prep(A) ::= FROM(T).                 { A = T; }
prep(A) ::= VIA(T).                  { A = T; }
%type kvs {struct mp_run}
kvs(A) ::= kv(K).                    { A = mp_build_run(b); mp_build_push(b, &A, K, sizeof *K); }
kvs(A) ::= kvs(L) COMMA kv(K).       { A = L; mp_build_push(b, &A, K, sizeof *K); }
%type kv {struct mp_ast_pair *}
kv(A) ::= key(K) EQ sum(E). {
    A = B_TEMP(b, struct mp_ast_pair);
    *A = (struct mp_ast_pair){*K, E, mp_build_span(b, K->span.from)};
}
%type overify {struct mp_ast_verify *}
overify(A) ::= .                     { A = NULL; }
overify(A) ::= VERIFY(T) held(H) WITHIN dur(D) osettle(S) oharm(U). {
    A = B_PERM(b, struct mp_ast_verify);
    A->held = *H;
    A->within = mp_build_dur(b, D);
    if (S.kind != 0) A->settle = mp_build_dur(b, S);
    if (U != NULL) A->harm = *U;
    A->span = mp_build_span(b, T.from);
}
%type osettle {struct mp_tok}
osettle(A) ::= .                     { A = (struct mp_tok){0}; }
osettle(A) ::= SETTLE dur(D).        { A = D; }
%type oharm {struct mp_ast_held *}
oharm(A) ::= .                       { A = NULL; }
oharm(A) ::= HARM held(H).           { A = H; }

%type trailers {struct mp_run}
trailers(A) ::= .                    { A = mp_build_run(b); }
trailers(A) ::= trailers(L) trailer(C). { A = L; mp_build_push(b, &A, C, sizeof *C); }
%type trailer {struct mp_ast_clause *}
trailer(A) ::= UNTIL(T) held(H). {
    A = mp_build_clause(b, MP_AST_UNTIL, T.from);
    A->held = B_PERM(b, struct mp_ast_held);
    *A->held = *H;
}
trailer(A) ::= COOLDOWN(T) dur(D). {
    A = mp_build_clause(b, MP_AST_COOLDOWN, T.from);
    A->dur = mp_build_dur(b, D);
}
trailer(A) ::= LIMIT(T) quota(Q).    { A = mp_build_clause(b, MP_AST_LIMIT, T.from); A->quota = Q; }
trailer(A) ::= RAMP(T) PERCENT(P) EVERY dur(D). {
    A = mp_build_clause(b, MP_AST_RAMP, T.from);
    A->has_percent = true;
    A->percent = mp_build_percent(b, P);
    A->percent_text = mp_build_text(b, P);
    A->dur = mp_build_dur(b, D);
}
trailer(A) ::= IF(T) NO DATA ID(N). {
    A = mp_build_clause(b, MP_AST_IF_NO_DATA, T.from);
    A->name = mp_build_name(b, N);
}

%type quota {struct mp_ast_quota *}
%type quantity {struct mp_ast_quota *}
quota(A) ::= quantity(Q).            { A = Q; A->span = mp_build_span(b, Q->span.from); }
quota(A) ::= quantity(Q) PER DURATION(D). {
    A = Q;
    A->has_per_dur = true;
    A->per_ns = mp_build_ns(b, D);
    A->span = mp_build_span(b, Q->span.from);
}
quota(A) ::= quantity(Q) PER path(P). {
    A = Q;
    A->per = mp_build_path(b, P);
    A->span = mp_build_span(b, Q->span.from);
}
quantity(A) ::= PERCENT(N) OF path(P). {
    A = B_PERM(b, struct mp_ast_quota);
    A->is_percent = true;
    A->percent = mp_build_percent(b, N);
    A->percent_text = mp_build_text(b, N);
    A->of = mp_build_path(b, P);
    A->span = mp_build_tok(b, N);
}
quantity(A) ::= INT(N) path(P). {
    A = B_PERM(b, struct mp_ast_quota);
    A->count = mp_build_int(b, N).value;
    A->of = mp_build_path(b, P);
    A->span = mp_build_tok(b, N);
}
quantity(A) ::= INT(N). {
    A = B_PERM(b, struct mp_ast_quota);
    A->count = mp_build_int(b, N).value;
    A->span = mp_build_tok(b, N);
}

/* ---- guards and proofs ---- */

%type nbody {struct mp_ast_guard *}
item(A) ::= NEVER(T) nbody(G). {
    A = mp_build_item(b, MP_AST_ITEM_GUARD, T.from);
    A->u.guard = *G;
}
item(A) ::= PROVE(T) NEVER nbody(G). {
    A = mp_build_item(b, MP_AST_ITEM_GUARD, T.from);
    A->u.guard = *G;
    A->u.guard.prove = true;
}
nbody(A) ::= act(C) MORE THAN quota(Q). {
    A = B_TEMP(b, struct mp_ast_guard);
    *A = (struct mp_ast_guard){.act = *C, .quota = Q};
}
nbody(A) ::= act(C) WHERE cond(E). {
    A = B_TEMP(b, struct mp_ast_guard);
    *A = (struct mp_ast_guard){.act = *C, .where = E};
}

/* ---- tests ---- */

item(A) ::= TEST(T) STRING(S) LC tstmts(L) RC. {
    A = mp_build_item(b, MP_AST_ITEM_TEST, T.from);
    A->u.test.title = mp_build_string(b, S);
    A->u.test.line_count = L.count;
    A->u.test.lines = mp_build_take(b, L, sizeof(struct mp_ast_line));
}
%type tstmts {struct mp_run}
tstmts(A) ::= .                      { A = mp_build_run(b); }
tstmts(A) ::= tstmts(L) tstmt(S).    { A = L; mp_build_push(b, &A, S, sizeof *S); }
%include {
/* When something happens in a test. */
struct moment { struct mp_tok from, to; };

static struct moment *moment(struct mp_build *b, struct mp_tok from, struct mp_tok to)
{
    struct moment *m = B_TEMP(b, struct moment);
    *m = (struct moment){from, to};
    return m;
}

static struct mp_ast_line *new_line(struct mp_build *b, enum mp_ast_line_kind kind, uint32_t from)
{
    struct mp_ast_line *line = B_TEMP(b, struct mp_ast_line);
    *line = (struct mp_ast_line){.kind = kind, .span = mp_build_span(b, from)};
    return line;
}

static struct mp_ast_line *timed_line(struct mp_build *b, enum mp_ast_line_kind kind,
                                      const struct moment *t)
{
    struct mp_ast_line *line = new_line(b, kind, t->from.from);
    line->has_to = t->to.kind != 0;
    line->from_ns = mp_build_ns(b, t->from);
    if (line->has_to) line->to_ns = mp_build_ns(b, t->to);
    line->time_span = mp_build_tok(b, t->from);
    if (line->has_to) line->time_span.to = t->to.to;
    return line;
}

static struct mp_ast_line *expect_line(struct mp_build *b, struct mp_tok word, bool negated,
                                       const struct mp_ast_act *act, const struct moment *when)
{
    struct mp_ast_line *line = new_line(b, MP_AST_LINE_EXPECT, word.from);
    line->negated = negated;
    line->act = *act;
    line->when = when->from.kind == T_AT       ? MP_AST_EXPECT_AT
                 : when->from.kind == T_BY     ? MP_AST_EXPECT_BY
                 : when->from.kind == T_BEFORE ? MP_AST_EXPECT_BEFORE
                                              : MP_AST_EXPECT_EVER;
    if (when->to.kind != 0) line->at_ns = mp_build_ns(b, when->to);
    return line;
}
}
%type tstmt {struct mp_ast_line *}
tstmt(A) ::= GIVEN(T) kvs(K). {
    A = new_line(b, MP_AST_LINE_GIVEN, T.from);
    A->pair_count = K.count;
    A->pairs = mp_build_take(b, K, sizeof(struct mp_ast_pair));
}
tstmt(A) ::= tspan(T) postfix(S) EQ sum(E). {
    A = timed_line(b, MP_AST_LINE_SET, T);
    A->subject = S;
    A->value = E;
}
tstmt(A) ::= tspan(T) ABSENT postfix(S). {
    A = timed_line(b, MP_AST_LINE_ABSENT, T);
    A->subject = S;
}
tstmt(A) ::= tspan(T) EMIT INT(N) path(P) WITH kvs(K). {
    A = timed_line(b, MP_AST_LINE_EMIT, T);
    A->count = mp_build_int(b, N);
    A->pair_count = K.count;
    A->pairs = mp_build_take(b, K, sizeof(struct mp_ast_pair));
    A->signal = mp_build_path(b, P);
}
tstmt(A) ::= EXPECT(T) act(C) twhen(W).    { A = expect_line(b, T, false, C, W); }
tstmt(A) ::= EXPECT(T) NO act(C) twhen(W). { A = expect_line(b, T, true, C, W); }
%type tspan {struct moment *}
tspan(A) ::= DURATION(F) COLON.      { A = moment(b, F, (struct mp_tok){0}); }
tspan(A) ::= DURATION(F) DOTDOT DURATION(U) COLON. { A = moment(b, F, U); }
%type twhen {struct moment *}
twhen(A) ::= AT(W) DURATION(D).      { A = moment(b, W, D); }
twhen(A) ::= BY(W) DURATION(D).      { A = moment(b, W, D); }
twhen(A) ::= BEFORE(W) DURATION(D).  { A = moment(b, W, D); }
twhen(A) ::= EVER(W).                { A = moment(b, W, (struct mp_tok){0}); }

/* ---- conditions and expressions ---- */

%include {
static struct mp_ast_expr *join(struct mp_build *b, enum mp_ast_kind kind, struct mp_ast_expr *a,
                                struct mp_ast_expr *c)
{
    return mp_build_expr(b, kind, a->span.from, a, c);
}

struct bounds { struct mp_ast_expr *low, *high; };

static struct mp_ast_expr *within(struct mp_build *b, struct mp_ast_expr *a, struct bounds r,
                                  bool negated)
{
    struct mp_ast_expr *e = mp_build_expr(b, MP_AST_IN, a->span.from, a, r.low);
    if (e->kind != MP_AST_IN) return e;
    e->negated = negated;
    e->kid[2] = r.high;
    return r.high == NULL ? e : mp_build_deepen(b, e, r.high->depth);
}

static struct mp_ast_expr *is(struct mp_build *b, struct mp_ast_expr *a, struct mp_tok state,
                              bool negated)
{
    struct mp_ast_expr *e = mp_build_expr(b, MP_AST_IS, a->span.from, a, NULL);
    if (e->kind != MP_AST_IS) return e;
    e->negated = negated;
    e->u.name = mp_build_name(b, state);
    return e;
}
}
cond(A) ::= cond(L) OR cond(R).      { A = join(b, MP_AST_OR, L, R); }
cond(A) ::= cond(L) AND cond(R).     { A = join(b, MP_AST_AND, L, R); }
cond(A) ::= NOT(T) cond(E).          { A = mp_build_expr(b, MP_AST_NOT, T.from, E, NULL); }
cond(A) ::= rel(E).                  { A = E; }
rel(A) ::= sum(E).                   { A = E; }
rel(A) ::= sum(L) CMP(O) sum(R).     { A = mp_build_cmp(b, L, O, R); }
rel(A) ::= sum(L) EQ(O) sum(R).      { A = mp_build_cmp(b, L, O, R); }
rel(A) ::= sum(L) IN range(R).       { A = within(b, L, R, false); }
rel(A) ::= sum(L) NOT IN range(R).   { A = within(b, L, R, true); }
rel(A) ::= sum(L) IS state(S).       { A = is(b, L, S, false); }
rel(A) ::= sum(L) IS NOT state(S).   { A = is(b, L, S, true); }
%type state {struct mp_tok}
state(A) ::= ID(T).                  { A = T; }
state(A) ::= TRUE(T).                { A = T; }
state(A) ::= FALSE(T).               { A = T; }
rel(A) ::= sum(L) LIKE sum(R).       { A = join(b, MP_AST_LIKE, L, R); }
rel(A) ::= sum(L) MATCHES sum(R).    { A = join(b, MP_AST_MATCHES, L, R); }
rel(A) ::= sum(L) CONTAINS sum(R).   { A = join(b, MP_AST_CONTAINS, L, R); }
rel(A) ::= sum(L) STARTS WITH sum(R). { A = join(b, MP_AST_STARTS, L, R); }
rel(A) ::= sum(L) ENDS WITH sum(R).  { A = join(b, MP_AST_ENDS, L, R); }
%type range {struct bounds}
range(A) ::= sum(L).                 { A = (struct bounds){L, NULL}; }
range(A) ::= sum(L) DOTDOT sum(R).   { A = (struct bounds){L, R}; }
sum(A) ::= term(E).                  { A = E; }
sum(A) ::= sum(L) PLUS term(R).      { A = join(b, MP_AST_ADD, L, R); }
sum(A) ::= sum(L) MINUS term(R).     { A = join(b, MP_AST_SUB, L, R); }
term(A) ::= unary(E).                { A = E; }
term(A) ::= term(L) STAR unary(R).   { A = join(b, MP_AST_MUL, L, R); }
term(A) ::= term(L) SLASH unary(R).  { A = join(b, MP_AST_DIV, L, R); }
unary(A) ::= postfix(E).             { A = E; }
unary(A) ::= MINUS(T) unary(E).      { A = mp_build_expr(b, MP_AST_NEG, T.from, E, NULL); }
unary(A) ::= TIMES(T) unary(E). {
    A = mp_build_expr(b, MP_AST_TIMES, T.from, E, NULL);
    if (A->kind == MP_AST_TIMES) mp_literal(b, T, A);
}
postfix(A) ::= access(E).            { A = E; }
postfix(A) ::= postfix(E) OVER dur(D). {
    A = mp_build_expr(b, MP_AST_OVER, E->span.from, E, NULL);
    if (A->kind == MP_AST_OVER) A->u.dur = mp_build_dur(b, D);
}
postfix(A) ::= postfix(L) OF access(R). { A = join(b, MP_AST_OF, L, R); }
postfix(A) ::= postfix(L) DEFAULT access(R). { A = join(b, MP_AST_DEFAULT, L, R); }
access(A) ::= primary(E).            { A = E; }
access(A) ::= access(E) DOT ID(N). {
    A = mp_build_expr(b, MP_AST_DOT, E->span.from, E, NULL);
    if (A->kind == MP_AST_DOT) A->u.name = mp_build_name(b, N);
}
access(A) ::= access(E) LB sum(I) RB. { A = join(b, MP_AST_INDEX, E, I); }
primary(A) ::= lit(T).               { A = mp_build_literal(b, T); }
primary(A) ::= ID(N). {
    A = mp_build_expr(b, MP_AST_NAME, N.from, NULL, NULL);
    A->u.name = mp_build_name(b, N);
}
primary(A) ::= ID(N) STRING(S). {
    A = mp_build_expr(b, MP_AST_NAMED, N.from, NULL, NULL);
    A->u.named.name = mp_build_name(b, N);
    A->u.named.text = mp_build_string(b, S);
}
primary(A) ::= ID(N) LP args(L) RP. {
    A = mp_build_expr(b, MP_AST_CALL, N.from, NULL, NULL);
    A->u.call.name = mp_build_name(b, N);
    A->u.call.arg_count = L.count;
    A->u.call.args = mp_build_take(b, L, sizeof(struct mp_ast_arg));
    for (uint32_t i = 0; i < L.count && A->kind == MP_AST_CALL; i++) {
        const struct mp_ast_arg *arg = &A->u.call.args[i];
        uint16_t where = arg->where == NULL ? 0 : arg->where->depth;
        A = mp_build_deepen(b, A, arg->value->depth > where ? arg->value->depth : where);
    }
}
primary(A) ::= LP(O) held(H) RP(C).  { A = mp_build_paren(b, O, H, C); }
primary(A) ::= LB(O) elems(L) RB. {
    A = mp_build_expr(b, MP_AST_SET, O.from, NULL, NULL);
    A->u.set.count = L.count;
    A->u.set.items = mp_build_take(b, L, sizeof(struct mp_ast_expr *));
    for (uint32_t i = 0; i < L.count && A->kind == MP_AST_SET; i++) {
        A = mp_build_deepen(b, A, A->u.set.items[i]->depth);
    }
}
%type args {struct mp_run}
%type argl {struct mp_run}
%type arg {struct mp_ast_arg *}
args(A) ::= .                        { A = mp_build_run(b); }
args(A) ::= argl(L).                 { A = L; }
argl(A) ::= arg(E).                  { A = mp_build_run(b); mp_build_push(b, &A, E, sizeof *E); }
argl(A) ::= argl(L) COMMA arg(E).    { A = L; mp_build_push(b, &A, E, sizeof *E); }
arg(A) ::= cond(E). {
    A = B_TEMP(b, struct mp_ast_arg);
    *A = (struct mp_ast_arg){E, NULL, E->span};
}
arg(A) ::= cond(E) WHERE cond(W). {
    A = B_TEMP(b, struct mp_ast_arg);
    *A = (struct mp_ast_arg){E, W, mp_build_span(b, E->span.from)};
}
%type elems {struct mp_run}
%type eleml {struct mp_run}
elems(A) ::= .                       { A = mp_build_run(b); }
elems(A) ::= eleml(L).               { A = L; }
elems(A) ::= eleml(L) COMMA.         { A = L; }
eleml(A) ::= sum(E).                 { A = mp_build_run(b); mp_build_push(b, &A, &E, sizeof E); }
eleml(A) ::= eleml(L) COMMA sum(E).  { A = L; mp_build_push(b, &A, &E, sizeof E); }
%type dur {struct mp_tok}
dur(A) ::= DURATION(T).              { A = T; }
dur(A) ::= ID(T).                    { A = T; }
%type path {struct mp_run}
path(A) ::= ID(N). {
    struct mp_ast_name name = mp_build_name(b, N);
    A = mp_build_run(b);
    mp_build_push(b, &A, &name, sizeof name);
}
path(A) ::= path(L) DOT ID(N). {
    struct mp_ast_name name = mp_build_name(b, N);
    A = L;
    mp_build_push(b, &A, &name, sizeof name);
}
%type lit {struct mp_tok}
lit(A) ::= INT(T).                   { A = T; }
lit(A) ::= FLOAT(T).                 { A = T; }
lit(A) ::= PERCENT(T).               { A = T; }
lit(A) ::= DURATION(T).              { A = T; }
lit(A) ::= RATE(T).                  { A = T; }
lit(A) ::= SIZE(T).                  { A = T; }
lit(A) ::= BANDWIDTH(T).             { A = T; }
lit(A) ::= STRING(T).                { A = T; }
lit(A) ::= IPADDR(T).                { A = T; }
lit(A) ::= CIDR(T).                  { A = T; }
lit(A) ::= SPIFFE(T).                { A = T; }
lit(A) ::= STATUS(T).                { A = T; }
lit(A) ::= TRUE(T).                  { A = T; }
lit(A) ::= FALSE(T).                 { A = T; }

%code {
_Static_assert(sizeof(yyParser) <= MP_PARSER_BYTES, "parse.c keeps the parser in such a buffer");
_Static_assert(YYSTACKDEPTH < MP_STATES_MAX, "mp_states holds every stack");
_Static_assert(sizeof(YYACTIONTYPE) == sizeof(uint16_t), "mp_states holds every state");

void mp_grammar_begin(void *parser, struct mp_build *b) { mp_lemonInit(parser, b); }

void mp_grammar_feed(void *parser, struct mp_tok tok) { mp_lemon(parser, tok.kind, tok); }

/* What the tables say for one token, without Lemon's second try as a fallback. */
static YYACTIONTYPE look_up(YYCODETYPE token, YYACTIONTYPE state)
{
    if (state > YY_MAX_SHIFT) return state; /* a reduction that is already decided */
    unsigned at = (unsigned)yy_shift_ofst[state] + token;
    bool listed = at < sizeof yy_lookahead / sizeof *yy_lookahead && yy_lookahead[at] == token;
    return listed ? yy_action[at] : yy_default[state];
}

/* Does the parser without its actions take this token? It moves on if so.
 * LIMIT: a chain of reductions longer than the stack is none. */
static bool step(struct mp_states *s, int token, bool as_name)
{
    for (int reductions = 0; reductions <= 4 * MP_STATES_MAX; reductions++) {
        YYACTIONTYPE state = s->at[s->top];
        YYACTIONTYPE action = as_name ? yy_find_shift_action((YYCODETYPE)token, state)
                                      : look_up((YYCODETYPE)token, state);
        if (action == YY_ACCEPT_ACTION) return true;
        if (action <= YY_MAX_SHIFTREDUCE) {
            if (action > YY_MAX_SHIFT) action += YY_MIN_REDUCE - YY_MIN_SHIFTREDUCE;
            if (s->top + 1 >= MP_STATES_MAX) return false;
            s->at[++s->top] = action;
            return true;
        }
        if (action < YY_MIN_REDUCE) return false;
        unsigned rule = action - YY_MIN_REDUCE;
        int top = s->top + yyRuleInfoNRhs[rule];
        if (top < 0 || top + 1 >= MP_STATES_MAX) return false;
        YYACTIONTYPE next = yy_find_reduce_action(s->at[top], yyRuleInfoLhs[rule]);
        s->at[top + 1] = next;
        s->top = top + 1;
    }
    return false;
}

void mp_grammar_states(const void *parser, struct mp_states *out)
{
    const yyParser *p = parser;
    out->top = (int)(p->yytos - p->yystack);
    for (int i = 0; i <= out->top; i++) out->at[i] = p->yystack[i].stateno;
}

bool mp_grammar_replay(const struct mp_tok *toks, uint32_t count, bool hole, struct mp_states *out)
{
    out->top = 0;
    out->at[0] = 0;
    if (hole && !step(out, T_HOLE, true)) return false;
    for (uint32_t i = 0; i < count; i++) {
        if (toks[i].kind >= MP_LEX_COMMENT || !step(out, toks[i].kind, true)) return false;
    }
    return true;
}

bool mp_grammar_takes(const struct mp_states *states, int kind)
{
    struct mp_states s;
    s.top = states->top;
    memcpy(s.at, states->at, (size_t)(states->top + 1) * sizeof *s.at);
    return step(&s, kind, false);
}

bool mp_grammar_begins_item(int kind)
{
    switch (kind) {
    case T_PACKAGE: case T_USE: case T_LET: case T_PARAM: case T_DEF: case T_LIST: case T_FEED:
    case T_CALENDAR: case T_ENTITY: case T_SIGNAL: case T_ACTION: case T_RULE: case T_WHEN:
    case T_NEVER: case T_PROVE: case T_TEST: case T_ATSIGN: return true;
    default: return false;
    }
}
}
