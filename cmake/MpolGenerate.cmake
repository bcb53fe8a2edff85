# SPDX-License-Identifier: Apache-2.0
# Sources that are made: lexers by re2c, the parser by Lemon, tables from text. All of it lies in the
# build tree.

find_program(MPOL_RE2C re2c)
find_program(MPOL_LEMON lemon)
find_program(MPOL_AWK NAMES awk mawk gawk)
find_file(MPOL_LEMON_TEMPLATE lempar.c PATH_SUFFIXES lemon share/lemon
          PATHS ${CMAKE_SYSTEM_PREFIX_PATH} PATH_SUFFIXES share/lemon DOC "Lemon's parser template")

# json.re → generated/NAME/json.re.c
function(mp_re2c module input out)
  if(NOT MPOL_RE2C)
    message(FATAL_ERROR "re2c was not found; it makes ${input} into C")
  endif()
  get_filename_component(file ${input} NAME)
  get_filename_component(stem ${input} NAME_WE)
  set(folder ${MP_GENERATED}/${module})
  file(MAKE_DIRECTORY ${folder})
  set(made ${folder}/${file}.c)
  # Named relative to the repository, so that #line is the same wherever it was built.
  cmake_path(RELATIVE_PATH input BASE_DIRECTORY ${CMAKE_SOURCE_DIR} OUTPUT_VARIABLE shown)
  add_custom_command(
    OUTPUT ${made}
    COMMAND ${MPOL_RE2C} -W -Werror -c --no-generation-date -o ${made} ${shown}
    DEPENDS ${input}
    WORKING_DIRECTORY ${CMAKE_SOURCE_DIR}
    COMMENT "re2c ${shown}" VERBATIM)
  set_source_files_properties(${made} PROPERTIES COMPILE_OPTIONS
    "-Wno-unused-variable;-Wno-unused-but-set-variable;-Wno-unused-label")
  set(${out} ${made} PARENT_SCOPE)
endfunction()

# mpol.y → generated/NAME/mpol.c and mpol_tokens.h. A conflict stops the build (Lemon's exit status is
# their number), and so does a word that a fallback would take for a name: see cmake/lemon-trap.awk.
function(mp_lemon module input out)
  if(NOT MPOL_LEMON OR NOT MPOL_LEMON_TEMPLATE)
    message(FATAL_ERROR "lemon and its template lempar.c were not found; they make ${input} into C")
  endif()
  get_filename_component(stem ${input} NAME_WE)
  set(folder ${MP_GENERATED}/${module})
  set(listing ${folder}/listing)
  file(MAKE_DIRECTORY ${listing})
  cmake_path(RELATIVE_PATH input BASE_DIRECTORY ${CMAKE_SOURCE_DIR} OUTPUT_VARIABLE shown)
  add_custom_command(
    OUTPUT ${folder}/${stem}.c ${folder}/${stem}_tokens.h
    BYPRODUCTS ${folder}/${stem}.h ${folder}/${stem}.out ${listing}/${stem}.out
    COMMAND ${MPOL_LEMON} -c -p -d${listing} -T${MPOL_LEMON_TEMPLATE} ${shown}
    COMMAND ${MPOL_AWK} -f ${CMAKE_SOURCE_DIR}/cmake/lemon-trap.awk ${input} ${listing}/${stem}.out
    COMMAND ${MPOL_LEMON} -d${folder} -T${MPOL_LEMON_TEMPLATE} ${shown}
    COMMAND ${CMAKE_COMMAND} -E copy_if_different ${folder}/${stem}.h ${folder}/${stem}_tokens.h
    DEPENDS ${input} ${CMAKE_SOURCE_DIR}/cmake/lemon-trap.awk
    WORKING_DIRECTORY ${CMAKE_SOURCE_DIR}
    COMMENT "lemon ${shown}" VERBATIM)
  set_source_files_properties(${folder}/${stem}.c PROPERTIES COMPILE_OPTIONS
    "-Wno-unused-variable;-Wno-missing-prototypes;-Wno-shadow;-Wno-sign-compare;-Wno-unused-but-set-variable;-Wno-undef;-Wno-old-style-definition;-Wno-strict-prototypes")
  set(${out} ${folder}/${stem}.c ${folder}/${stem}_tokens.h PARENT_SCOPE)
endfunction()

# Files as one C array of { name, text, length }, through cmake/embed.cmake.
function(mp_embed out made_name symbol struct_name header)
  set(made ${MP_GENERATED}/${made_name})
  list(JOIN ARGN "|" files)
  add_custom_command(
    OUTPUT ${made}
    COMMAND ${CMAKE_COMMAND} -DOUT=${made} -DSYMBOL=${symbol} -DSTRUCT=${struct_name} -DHEADER=${header}
            "-DFILES=${files}" -P ${CMAKE_SOURCE_DIR}/cmake/embed.cmake
    DEPENDS ${ARGN} ${CMAKE_SOURCE_DIR}/cmake/embed.cmake
    COMMENT "embedding ${symbol}" VERBATIM)
  set(${out} ${made} PARENT_SCOPE)
endfunction()
