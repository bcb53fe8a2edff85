// SPDX-License-Identifier: Apache-2.0
#include <cstdio>

#include <mpol/mpol.h>

int main()
{
    mpol_source source = {mpol_text("bad.mpol"), mpol_text("this is no policy")};
    mpol_compile_options options;
    MPOL_INIT(&options);
    int told = 0;
    options.ctx = &told;
    options.diagnostic = [](void *ctx, const mpol_diagnostic *) { ++*static_cast<int *>(ctx); };
    mpol_program *program = nullptr;
    if (mpol_compile(&source, 1, &options, &program) != MPOL_EINVAL || told == 0) return 1;
    std::printf("c++: %s, %d messages\n", mpol_version(), told);
    return 0;
}
