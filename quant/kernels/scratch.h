// Memory of each thread's own, for what kernels put together on their way. It is taken when it is first asked for:
// arrays that are _Thread_local would be cleared, page by page, wherever a thread starts, which took every thread a
// millisecond for 3 MiB, also of programs that multiply nothing.
#ifndef QUANT_KERNELS_SCRATCH_H
#define QUANT_KERNELS_SCRATCH_H

#include <stddef.h>

typedef enum Scratch { SCRATCH_WIDE, SCRATCH_BF16, SCRATCH_COUNT } Scratch; // who may hold one at the same time

// Aligned to a page, with what was last written there; given back when the thread ends. `bytes` are the same in each
// call. Without memory, which kernels could not say, the program ends.
void *scratch_get(Scratch which, size_t bytes);

#endif
