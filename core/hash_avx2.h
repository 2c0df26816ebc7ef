// core/hash.h for CPUs with AVX2, which more than doubles its rate: distributions compile libxxhash for any x86-64.
#ifndef CORE_HASH_AVX2_H
#define CORE_HASH_AVX2_H

#include "core/hash.h"

Hash hash_avx2_bytes(const void *data, size_t size);
void *hash_avx2_new(void); // NULL when memory is out
void hash_avx2_add(void *state, const void *data, size_t size);
Hash hash_avx2_end(void *state); // also frees

#endif
