#include "eval/vector.h"

#include "core/cpu.h"
#include "eval/vector_back.h"

const VectorMath *vector_math(void) {
    switch (cpu_get()->level) {
#ifdef __x86_64__
    case CPU_AVX512: return &vector_math_avx512;
    case CPU_AVX2: return &vector_math_avx2;
#endif
    default: return &vector_math_scalar;
    }
}

const VectorBack *vector_back(void) {
    switch (cpu_get()->level) {
#ifdef __x86_64__
    case CPU_AVX512: return &vector_back_avx512;
    case CPU_AVX2: return &vector_back_avx2;
#endif
    default: return &vector_back_scalar;
    }
}
