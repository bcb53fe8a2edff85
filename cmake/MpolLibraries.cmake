# SPDX-License-Identifier: Apache-2.0
# What is built out of the modules, and how it is installed.
#
#   libmpol-rt    loads program images, no front end                    libc only
#   libmpol       libmpol-rt and the front end                          libc only
#   mpol          the command: both of them inside, opens the next three only for what needs them
#   lib/mpol/libmpol-std.so      what struct mp_os asks: OpenSSL, PCRE2, SQLite
#   lib/mpol/libmpol-daemon.so   what `mpol run` adds: libuv, libmicrohttpd, libcurl, nghttp2
#   lib/mpol/libmpol-jit.so      native code: LLVM
include(CMakePackageConfigHelpers)

set(MPOL_SONAME 0)
get_property(mp_modules GLOBAL PROPERTY MP_MODULES)
set(mp_core "")
set(mp_front "")
foreach(name IN LISTS mp_modules)
  get_property(folder GLOBAL PROPERTY MP_FOLDER_${name})
  cmake_path(RELATIVE_PATH folder BASE_DIRECTORY ${CMAKE_SOURCE_DIR})
  if(folder MATCHES "^runtime/(crypto|os|store|daemon|tls|grpc|backends/envoy_[a-z]+)$" OR folder MATCHES "^compiler/(jit|cli)$")
    continue()
  elseif(folder MATCHES "^runtime/")
    list(APPEND mp_core ${name})
  else()
    list(APPEND mp_front ${name})
  endif()
endforeach()

# The modules of a library, with nothing exported but what a header marks MPOL_API.
function(mp_library target soname)
  add_library(${target} SHARED)
  set_target_properties(${target} PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION ${MPOL_SONAME}
                                             LINKER_LANGUAGE C)
  target_link_options(${target} PRIVATE -Wl,--version-script=${CMAKE_SOURCE_DIR}/cmake/mpol.map
                                        -Wl,--no-undefined)
  target_include_directories(${target} INTERFACE $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/runtime/include>
                                                 $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  mp_contain(${target} ${ARGN})
endfunction()

# A loadable part: opened by the command or by libmpol with RTLD_LOCAL, one entry point.
function(mp_loadable name)
  mp_have(all ${ARGN})
  if(NOT all)
    mp_note("libmpol-${name} is left out: ${ARGN} is not whole")
    return()
  endif()
  add_library(mpol-${name} MODULE)
  set_target_properties(mpol-${name} PROPERTIES OUTPUT_NAME mpol-${name} LINKER_LANGUAGE C
                        LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib/mpol)
  target_link_options(mpol-${name} PRIVATE -Wl,--version-script=${CMAKE_SOURCE_DIR}/cmake/mpol.map)
  mp_contain(mpol-${name} ${ARGN})
  install(TARGETS mpol-${name} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/mpol)
endfunction()

if(MPOL_SANITIZE)
  set(mp_shared FALSE) # a sanitizer wants to be linked into the program, not into its libraries
else()
  set(mp_shared TRUE)
endif()

mp_have(mp_api_there api engine)
if(mp_shared AND mp_api_there)
  mp_library(mpol-rt mpol-rt ${mp_core})
  mp_library(mpol mpol ${mp_core} ${mp_front})
  install(TARGETS mpol-rt mpol EXPORT mpolTargets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
  install(EXPORT mpolTargets NAMESPACE mpol:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/mpol)
  install(DIRECTORY ${CMAKE_SOURCE_DIR}/runtime/include/mpol DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
  configure_package_config_file(${CMAKE_SOURCE_DIR}/cmake/mpol-config.cmake.in
    ${CMAKE_BINARY_DIR}/config/mpol-config.cmake INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/mpol)
  write_basic_package_version_file(${CMAKE_BINARY_DIR}/config/mpol-config-version.cmake
    COMPATIBILITY SameMinorVersion)
  install(FILES ${CMAKE_BINARY_DIR}/config/mpol-config.cmake ${CMAKE_BINARY_DIR}/config/mpol-config-version.cmake
    DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/mpol)
  # Relative to the file itself: `cmake --install --prefix` may put the tree anywhere.
  file(RELATIVE_PATH mp_pc_up /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
  string(REGEX REPLACE "/$" "" mp_pc_up "${mp_pc_up}")
  configure_file(${CMAKE_SOURCE_DIR}/cmake/mpol.pc.in ${CMAKE_BINARY_DIR}/config/mpol.pc @ONLY)
  install(FILES ${CMAKE_BINARY_DIR}/config/mpol.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endif()

mp_loadable(std os)
mp_loadable(daemon daemon)
if(MPOL_JIT)
  mp_loadable(jit jit)
endif()

# The module that Envoy loads: its hooks, what decides, and regular expressions; no TLS, no LLVM. The
# proxy resolves the callbacks.
mp_have(mp_envoy_mod_there envoy_mod os)
if(mp_envoy_mod_there AND TARGET mpol_use_pcre2)
  add_library(mpol_envoy MODULE)
  set_target_properties(mpol_envoy PROPERTIES OUTPUT_NAME mpol_envoy LINKER_LANGUAGE C
                        LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib/mpol)
  target_link_options(mpol_envoy PRIVATE
    -Wl,--version-script=${CMAKE_SOURCE_DIR}/runtime/backends/envoy_mod/envoy_mod.map)
  mp_contain(mpol_envoy envoy_mod)
  mp_envoy_hooks(mpol_envoy)
  install(TARGETS mpol_envoy LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/mpol)
else()
  mp_note("libmpol_envoy is left out: envoy_mod, os or pcre2 is not there")
endif()

mp_have(mp_cli_there cli)
if(mp_cli_there)
  file(WRITE ${CMAKE_BINARY_DIR}/config/mpol_main.c
    "int cli_main(int argc, char **argv);\nint main(int argc, char **argv) { return cli_main(argc, argv); }\n")
  add_executable(mpol_command ${CMAKE_BINARY_DIR}/config/mpol_main.c)
  set_target_properties(mpol_command PROPERTIES OUTPUT_NAME mpol)
  set_source_files_properties(${CMAKE_BINARY_DIR}/config/mpol_main.c PROPERTIES COMPILE_OPTIONS "-Wno-missing-prototypes")
  mp_contain(mpol_command cli)
  install(TARGETS mpol_command RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
