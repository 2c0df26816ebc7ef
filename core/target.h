// One source, several instruction sets. Files named in the Makefile's MULTI are compiled once for each target with
// TARGET set; TARGET_NAME(f) then is f_scalar, f_avx2, f_avx512. They hold plain C loops for the compiler to vectorize.
// aarch64 has the scalar target alone: NEON is part of its base, so the compiler vectorizes it as it is.
#ifndef CORE_TARGET_H
#define CORE_TARGET_H

#define TARGET_JOIN_(a, b) a##_##b
#define TARGET_JOIN(a, b)  TARGET_JOIN_(a, b)
#define TARGET_NAME(f)     TARGET_JOIN(f, TARGET)

#endif
