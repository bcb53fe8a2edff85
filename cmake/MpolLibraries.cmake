# SPDX-License-Identifier: Apache-2.0
# What is built out of the modules: the libraries, and what they are installed with.
#
#   libmpol-rt    loads program images, no front end       libc only
#   libmpol       libmpol-rt and the front end             libc only
#   lib/mpol/…    loadable: -std (OpenSSL, PCRE2, SQLite), -daemon, -jit (LLVM)
