#include "eval/vector_squares.h"

#include "core/cpu.h"

extern const VectorSquares vector_squares_scalar;
#ifdef __x86_64__
extern const VectorSquares vector_squares_avx2, vector_squares_avx512;
#endif

const VectorSquares *vector_squares(void) {
    switch (cpu_get()->level) {
#ifdef __x86_64__
    case CPU_AVX512: return &vector_squares_avx512;
    case CPU_AVX2: return &vector_squares_avx2;
#endif
    default: return &vector_squares_scalar;
    }
}
