// Choosing the next token from logits.
#ifndef EVAL_SAMPLE_H
#define EVAL_SAMPLE_H

#include "core/error.h"
#include <stdint.h>

typedef struct Sampler Sampler;

// temperature 0: greedy. The same seed and logits give the same choices on every machine with the same arithmetic.
Sampler *sampler_new(int64_t vocab, double temperature, double top_p, uint64_t seed, Error *err);
void sampler_free(Sampler *s); // NULL is fine
int32_t sampler_next(Sampler *s, const float *logits);

#endif
