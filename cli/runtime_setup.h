// Two libraries read the environment when they are loaded, before main: what they should find there is set here.
#ifndef CLI_RUNTIME_SETUP_H
#define CLI_RUNTIME_SETUP_H

#include "cli/cli.h"

// For commands that run the model: starts the program anew, once, with an environment in which
// - OpenBLAS, which picks kernels by CPU model and falls back to Haswell's on models that it does not know, uses the
// best
//   that the CPU has (or the best that NIBBLE_CPU allows): OPENBLAS_CORETYPE;
// - OpenMP's threads wait for each other by spinning only briefly before they sleep, so that a busy machine, where
//   the other thread may not be running at all, does not cost milliseconds at every barrier: GOMP_SPINCOUNT.
// What the user has set is left alone. Also sets OpenBLAS to one thread a call: the program's own threads call it.
void runtime_setup(const Command *command, char **argv);

#endif
