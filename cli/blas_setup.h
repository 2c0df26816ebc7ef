// OpenBLAS picks its kernels when it is loaded, by CPU model, and falls back to Haswell's on models that it does not
// know.
#ifndef CLI_BLAS_SETUP_H
#define CLI_BLAS_SETUP_H

#include "cli/cli.h"

// For commands that multiply matrices: when OpenBLAS chose kernels below what the CPU can do (or above what NIBBLE_CPU
// allows), starts the program anew with OPENBLAS_CORETYPE naming better ones. A choice the user made is left alone.
// Also sets OpenBLAS to one thread a call: the program's own threads call it, each for its own tile.
void blas_setup(const Command *command, char **argv);

#endif
