// Rotary position tables (RoFormer, arXiv:2104.09864; scalings as transformers' modeling_rope_utils.py, YaRN
// arXiv:2309.00071).
#ifndef EVAL_ROPE_H
#define EVAL_ROPE_H

#include "formats/model.h"

// cos and sin of the angles at positions first .. first + count - 1 of a sequence that is `length` long in all
// (`dynamic` scaling depends on it), for heads of which `dims` are turned. Both tables are [count, dims / 2].
// factors [dims / 2]: what the speeds are divided by, for scalings that have such; else NULL.
void rope_table(const Rope *rope, const float *factors, int64_t dims, int64_t length, int64_t first, int64_t count,
                float *cosine, float *sine);

#endif
