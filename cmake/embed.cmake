# SPDX-License-Identifier: Apache-2.0
# Writes FILES (separated by |) as a C array of bytes. Bytes and not a string literal: a literal has a
# length that compilers may limit, and needs escapes.
string(REPLACE "|" ";" files "${FILES}")
set(texts "")
set(rows "")
set(index 0)
foreach(file IN LISTS files)
  get_filename_component(name ${file} NAME)
  file(READ ${file} hex HEX)
  string(LENGTH "${hex}" digits)
  math(EXPR size "${digits} / 2")
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
  string(REGEX REPLACE "((0x[0-9a-f][0-9a-f],)(0x[0-9a-f][0-9a-f],)(0x[0-9a-f][0-9a-f],)(0x[0-9a-f][0-9a-f],)(0x[0-9a-f][0-9a-f],)(0x[0-9a-f][0-9a-f],)(0x[0-9a-f][0-9a-f],)(0x[0-9a-f][0-9a-f],))" "\\1\n" bytes "${bytes}")
  string(APPEND texts "static const char file_${index}[] = {\n${bytes}0\n};\n")
  string(APPEND rows "    { \"${name}\", file_${index}, ${size} },\n")
  math(EXPR index "${index} + 1")
endforeach()
file(WRITE ${OUT}.new "/* Generated from ${index} files by cmake/embed.cmake. */
#include \"${HEADER}\"

${texts}
const struct ${STRUCT} ${SYMBOL}[] = {
${rows}};
const size_t ${SYMBOL}_count = ${index};
")
file(RENAME ${OUT}.new ${OUT})
