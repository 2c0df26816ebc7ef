// Two libraries read the environment when they are loaded, before main: what they should find there is set here.
#ifndef CLI_RUNTIME_SETUP_H
#define CLI_RUNTIME_SETUP_H

// Starts the program anew, once, which takes a few milliseconds, with an environment in which
// - OpenBLAS, which picks kernels by CPU model and falls back to Haswell's on models that it does not know, uses the
// best
//   that the CPU has (or the best that NIBBLE_CPU allows): OPENBLAS_CORETYPE;
// - OpenBLAS starts no threads of its own, which would spin beside ours for the first tens of milliseconds; the
//   program's own threads call it: OPENBLAS_NUM_THREADS;
// - OpenMP's threads wait for each other by spinning only briefly before they sleep, so that a busy machine, where
//   the other thread may not be running at all, does not cost milliseconds at every barrier: GOMP_SPINCOUNT.
// What the user has set is left alone.
void runtime_setup(char **argv);

#endif
