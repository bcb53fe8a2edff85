# SPDX-License-Identifier: Apache-2.0
# Libraries of others. Each becomes a target mpol_use_NAME, or is noted as missing; a module that USES
# a missing one is left out by name, the rest builds. The core modules use none.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)

function(mp_use_pkg name)
  pkg_check_modules(MPOL_${name} QUIET IMPORTED_TARGET ${ARGN})
  if(MPOL_${name}_FOUND)
    add_library(mpol_use_${name} INTERFACE IMPORTED GLOBAL)
    target_link_libraries(mpol_use_${name} INTERFACE PkgConfig::MPOL_${name})
  endif()
endfunction()

mp_use_pkg(openssl libcrypto>=3.0)
mp_use_pkg(openssl_tls libssl>=3.0)
mp_use_pkg(pcre2 libpcre2-8)
mp_use_pkg(sqlite3 sqlite3)
mp_use_pkg(libuv libuv)
mp_use_pkg(libmicrohttpd libmicrohttpd)
mp_use_pkg(libcurl libcurl)
mp_use_pkg(jansson jansson)
mp_use_pkg(nghttp2 libnghttp2)
mp_use_pkg(protobuf_c libprotobuf-c)
mp_use_pkg(cmocka cmocka)

add_library(mpol_use_threads INTERFACE IMPORTED GLOBAL)
target_link_libraries(mpol_use_threads INTERFACE Threads::Threads)
add_library(mpol_use_dl INTERFACE IMPORTED GLOBAL)
target_link_libraries(mpol_use_dl INTERFACE ${CMAKE_DL_LIBS})
add_library(mpol_use_m INTERFACE IMPORTED GLOBAL)
target_link_libraries(mpol_use_m INTERFACE m)

# LLVM's version file refuses "19" and accepts "19.1". Its packages do not lie where CMake looks, but
# llvm-config knows the place.
if(MPOL_JIT)
  find_program(MPOL_LLVM_CONFIG NAMES llvm-config-19 llvm-config)
  if(MPOL_LLVM_CONFIG)
    execute_process(COMMAND ${MPOL_LLVM_CONFIG} --cmakedir
                    OUTPUT_VARIABLE llvm_hint OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    execute_process(COMMAND ${MPOL_LLVM_CONFIG} --version
                    OUTPUT_VARIABLE llvm_version OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    execute_process(COMMAND ${MPOL_LLVM_CONFIG} --includedir
                    OUTPUT_VARIABLE llvm_include OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    execute_process(COMMAND ${MPOL_LLVM_CONFIG} --libdir
                    OUTPUT_VARIABLE llvm_libdir OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  endif()
  if(llvm_version MATCHES "^19\\.")
    # Only the C interface of the one shared library is used; LLVM's own package file would ask for
    # the development files of half a dozen libraries on top.
    find_library(MPOL_LLVM_LIBRARY NAMES LLVM-19 LLVM HINTS ${llvm_libdir})
  endif()
  if(MPOL_LLVM_LIBRARY)
    add_library(mpol_use_llvm INTERFACE IMPORTED GLOBAL)
    target_include_directories(mpol_use_llvm SYSTEM INTERFACE ${llvm_include})
    target_link_libraries(mpol_use_llvm INTERFACE ${MPOL_LLVM_LIBRARY})
  else()
    find_package(LLVM 19.1 CONFIG HINTS ${llvm_hint})
    if(NOT LLVM_FOUND)
      message(FATAL_ERROR "LLVM 19 was not found. Install llvm-19-dev, or build without native code: -DMPOL_JIT=OFF")
    endif()
    add_library(mpol_use_llvm INTERFACE IMPORTED GLOBAL)
    target_include_directories(mpol_use_llvm SYSTEM INTERFACE ${LLVM_INCLUDE_DIRS})
    target_link_libraries(mpol_use_llvm INTERFACE LLVM)
  endif()
endif()
