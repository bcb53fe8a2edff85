/* SPDX-License-Identifier: Apache-2.0
 * The words of .mpol (docs/LANGUAGE.md, appendix "tokens"). Pure: one token a call, no memory, no
 * messages. What is no token comes out as one of MP_LEX_*; compiler/parse says what is wrong.
 */
#include "parse_priv.h"
#include "mpol_tokens.h"

#define TOKEN(name) return mp_lex_end(lx, start, cursor, (name))

static int mp_lex_end(struct mp_lexer *lx, const unsigned char *start, const unsigned char *cursor,
                      int kind)
{
    const unsigned char *base = (const unsigned char *)lx->text.ptr;
    lx->from = (uint32_t)(start - base);
    lx->at = (uint32_t)(cursor - base);
    return kind;
}

/* The text ends with a NUL that is not counted, so no rule can run past it. */
int mp_lex(struct mp_lexer *lx)
{
    const unsigned char *base = (const unsigned char *)lx->text.ptr, *end = base + lx->text.len;
    const unsigned char *cursor = base + lx->at, *start, *marker = NULL;

again:
    start = cursor;
/*!re2c
    re2c:define:YYCTYPE = "unsigned char";
    re2c:define:YYCURSOR = cursor;
    re2c:define:YYMARKER = marker;
    re2c:yyfill:enable = 0;
    re2c:indent:top = 1;

    num  = [0-9]+ ("." [0-9]+)? ;
    tu   = "ns"|"us"|"ms"|"s"|"m"|"h"|"d"|"w" ;
    su   = "B"|"KB"|"MB"|"GB"|"KiB"|"MiB"|"GiB" ;
    h16  = [0-9a-fA-F]{1,4} ;
    v4   = [0-9]{1,3} ("." [0-9]{1,3}){3} ;
    v6   = ((h16 ":"){7} h16) | ((h16 (":" h16)*)? "::" (h16 (":" h16)*)?) ;
    word = [A-Za-z_][A-Za-z0-9_]* ;
    glue = [A-Za-z0-9_]+ ;
    gap  = [ \t\r] ;

    gap+                              { goto again; }
    gap* "\n" gap*                    { goto again; }
    gap* "\n" (gap* "\n")+ gap*       { TOKEN(MP_LEX_BLANK); }
    "#" [^\n\x00]*                    { TOKEN(MP_LEX_COMMENT); }

    "mpol"         { TOKEN(T_MPOL); }
    "version"      { TOKEN(T_VERSION); }
    "as"           { TOKEN(T_AS); }
    "mode"         { TOKEN(T_MODE); }
    "priority"     { TOKEN(T_PRIORITY); }
    "during"       { TOKEN(T_DURING); }
    "followed"     { TOKEN(T_FOLLOWED); }
    "no"           { TOKEN(T_NO); }
    "data"         { TOKEN(T_DATA); }
    "settle"       { TOKEN(T_SETTLE); }
    "than"         { TOKEN(T_THAN); }
    "given"        { TOKEN(T_GIVEN); }
    "emit"         { TOKEN(T_EMIT); }
    "absent"       { TOKEN(T_ABSENT); }
    "expect"       { TOKEN(T_EXPECT); }
    "refresh"      { TOKEN(T_REFRESH); }
    "expire"       { TOKEN(T_EXPIRE); }
    "max"          { TOKEN(T_MAX); }
    "signed"       { TOKEN(T_SIGNED); }
    "every"        { TOKEN(T_EVERY); }
    "lateness"     { TOKEN(T_LATENESS); }
    "set"          { TOKEN(T_SET); }
    "enum"         { TOKEN(T_ENUM); }
    "default"      { TOKEN(T_DEFAULT); }
    "class"        { TOKEN(T_CLASS); }
    "strength"     { TOKEN(T_STRENGTH); }
    "blinds"       { TOKEN(T_BLINDS); }
    "reversible"   { TOKEN(T_REVERSIBLE); }
    "irreversible" { TOKEN(T_IRREVERSIBLE); }
    "starts"       { TOKEN(T_STARTS); }
    "ends"         { TOKEN(T_ENDS); }
    "contains"     { TOKEN(T_CONTAINS); }
    "like"         { TOKEN(T_LIKE); }
    "matches"      { TOKEN(T_MATCHES); }
    "map"          { TOKEN(T_MAP); }
    "harm"         { TOKEN(T_HARM); }
    "end"          { TOKEN(T_END); }

    "when"     { TOKEN(T_WHEN); }
    "then"     { TOKEN(T_THEN); }
    "else"     { TOKEN(T_ELSE); }
    "rule"     { TOKEN(T_RULE); }
    "never"    { TOKEN(T_NEVER); }
    "prove"    { TOKEN(T_PROVE); }
    "test"     { TOKEN(T_TEST); }
    "param"    { TOKEN(T_PARAM); }
    "let"      { TOKEN(T_LET); }
    "def"      { TOKEN(T_DEF); }
    "list"     { TOKEN(T_LIST); }
    "feed"     { TOKEN(T_FEED); }
    "use"      { TOKEN(T_USE); }
    "package"  { TOKEN(T_PACKAGE); }
    "signal"   { TOKEN(T_SIGNAL); }
    "entity"   { TOKEN(T_ENTITY); }
    "action"   { TOKEN(T_ACTION); }
    "calendar" { TOKEN(T_CALENDAR); }
    "and"      { TOKEN(T_AND); }
    "or"       { TOKEN(T_OR); }
    "not"      { TOKEN(T_NOT); }
    "in"       { TOKEN(T_IN); }
    "is"       { TOKEN(T_IS); }
    "for"      { TOKEN(T_FOR); }
    "per"      { TOKEN(T_PER); }
    "over"     { TOKEN(T_OVER); }
    "of"       { TOKEN(T_OF); }
    "where"    { TOKEN(T_WHERE); }
    "verify"   { TOKEN(T_VERIFY); }
    "within"   { TOKEN(T_WITHIN); }
    "until"    { TOKEN(T_UNTIL); }
    "unless"   { TOKEN(T_UNLESS); }
    "if"       { TOKEN(T_IF); }
    "to"       { TOKEN(T_TO); }
    "on"       { TOKEN(T_ON); }
    "from"     { TOKEN(T_FROM); }
    "with"     { TOKEN(T_WITH); }
    "via"      { TOKEN(T_VIA); }
    "at"       { TOKEN(T_AT); }
    "by"       { TOKEN(T_BY); }
    "before"   { TOKEN(T_BEFORE); }
    "ever"     { TOKEN(T_EVER); }
    "more"     { TOKEN(T_MORE); }
    "cooldown" { TOKEN(T_COOLDOWN); }
    "limit"    { TOKEN(T_LIMIT); }
    "ramp"     { TOKEN(T_RAMP); }
    "true"     { TOKEN(T_TRUE); }
    "false"    { TOKEN(T_FALSE); }

    [0-9]+ [kM]?                          { TOKEN(T_INT); }
    [0-9]+ "." [0-9]+ [kM]?               { TOKEN(T_FLOAT); }
    num "%"                               { TOKEN(T_PERCENT); }
    (num tu)+                             { TOKEN(T_DURATION); }
    num "x"                               { TOKEN(T_TIMES); }
    [1-5] "xx"                            { TOKEN(T_STATUS); }
    num [kM]? "/" ("s"|"min"|"h"|"d")     { TOKEN(T_RATE); }
    [0-9]{2} ":" [0-9]{2}                 { TOKEN(T_TIME); }
    num su                                { TOKEN(T_SIZE); }
    num su "/s"                           { TOKEN(T_BANDWIDTH); }
    v4 | v6                               { TOKEN(T_IPADDR); }
    (v4 | v6) "/" [0-9]{1,3}              { TOKEN(T_CIDR); }
    "spiffe://" [A-Za-z0-9._~/*-]+        { TOKEN(T_SPIFFE); }
    ["] ([^"\\\n\x00] | "\\" [^\n\x00])* ["] { TOKEN(T_STRING); }
    ['] [^'\n\x00]* [']                   { TOKEN(T_STRING); }
    word                                  { TOKEN(T_ID); }
    "`" word "`"                          { TOKEN(T_ID); }

    ">=" | "<=" | "!=" | "==" | ">" | "<" { TOKEN(T_CMP); }
    "="  { TOKEN(T_EQ); }
    "+"  { TOKEN(T_PLUS); }
    "-"  { TOKEN(T_MINUS); }
    "*"  { TOKEN(T_STAR); }
    "/"  { TOKEN(T_SLASH); }
    "("  { TOKEN(T_LP); }
    ")"  { TOKEN(T_RP); }
    "["  { TOKEN(T_LB); }
    "]"  { TOKEN(T_RB); }
    "{"  { TOKEN(T_LC); }
    "}"  { TOKEN(T_RC); }
    ","  { TOKEN(T_COMMA); }
    "."  { TOKEN(T_DOT); }
    ".." { TOKEN(T_DOTDOT); }
    ":"  { TOKEN(T_COLON); }
    "@"  { TOKEN(T_ATSIGN); }
    "|"  { TOKEN(T_BAR); }

    num glue                              { TOKEN(MP_LEX_BAD_NUMBER); }
    // Without these two `100/sec` would be the rate 100/s and the name `ec`.
    num [kM]? "/" ("s"|"min"|"h"|"d") glue { TOKEN(MP_LEX_BAD_NUMBER); }
    num su "/s" glue                      { TOKEN(MP_LEX_BAD_NUMBER); }
    ["] ([^"\\\n\x00] | "\\" [^\n\x00])*  { TOKEN(MP_LEX_OPEN_STRING); }
    ['] [^'\n\x00]*                       { TOKEN(MP_LEX_OPEN_STRING); }
    "&&" | "||" | "!" | "=>" | "=<" | "<>" | "===" | "!==" | ";" { TOKEN(MP_LEX_FOREIGN); }
    "//" [^\n\x00]*                       { TOKEN(MP_LEX_FOREIGN); }

    "\x00"      { if (start != end) { TOKEN(MP_LEX_BAD_BYTE); } cursor = end; TOKEN(0); }
    [\x01-\x7f] { TOKEN(MP_LEX_BAD_BYTE); }
    // A code point (its bytes were checked before), or a byte that is none.
    [\xc2-\xdf][\x80-\xbf]    { TOKEN(MP_LEX_BAD_BYTE); }
    [\xe0-\xef][\x80-\xbf]{2} { TOKEN(MP_LEX_BAD_BYTE); }
    [\xf0-\xf4][\x80-\xbf]{3} { TOKEN(MP_LEX_BAD_BYTE); }
    *       { TOKEN(MP_LEX_BAD_BYTE); }
*/
}
