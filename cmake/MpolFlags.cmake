# SPDX-License-Identifier: Apache-2.0
# What holds for every file that is compiled: the standard, warnings, hardening, sanitizers.
include(GNUInstallDirs)

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)
set(CMAKE_ARCHIVE_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)
set_property(GLOBAL PROPERTY USE_FOLDERS ON)

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "Debug, Release, RelWithDebInfo" FORCE)
endif()

find_program(MPOL_CCACHE ccache)
if(MPOL_CCACHE AND NOT CMAKE_C_COMPILER_LAUNCHER)
  set(CMAKE_C_COMPILER_LAUNCHER ${MPOL_CCACHE})
endif()

add_compile_options(
  -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition
  -Wpointer-arith -Wwrite-strings -Wvla -Wundef -Wformat=2 -Wimplicit-fallthrough
  # Members of a vtable take a context that not every one of them needs, and tables leave out what is zero.
  -Wno-unused-parameter -Wno-missing-field-initializers
  # Two executors and an oracle agree bit for bit only when nobody contracts or reorders.
  -ffp-contract=off -fno-fast-math
  -fno-plt -ffunction-sections -fdata-sections
  # Messages, assertions and debug data name files as the repository does, wherever it was built.
  -ffile-prefix-map=${CMAKE_SOURCE_DIR}/=)
if(MPOL_WERROR)
  add_compile_options(-Werror)
endif()
add_link_options(-Wl,--gc-sections -Wl,--as-needed -Wl,-z,relro -Wl,-z,now)

# A sanitizer is an option of the project, not a flag in CFLAGS: presets that set CMAKE_C_FLAGS would
# drop it silently. tests/tidy looks into the command for the proof that it is there.
if(MPOL_FUZZ)
  if(NOT CMAKE_C_COMPILER_ID MATCHES Clang)
    message(FATAL_ERROR "MPOL_FUZZ needs clang: cmake --preset fuzz, or -DCMAKE_C_COMPILER=clang-19")
  endif()
  list(APPEND MPOL_SANITIZE fuzzer-no-link)
endif()
if(MPOL_SANITIZE)
  string(REPLACE ";" "," sanitizers "${MPOL_SANITIZE}")
  add_compile_options(-fsanitize=${sanitizers} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${sanitizers})
endif()
if(MPOL_COVERAGE)
  add_compile_options(--coverage -O0)
  add_link_options(--coverage)
endif()
