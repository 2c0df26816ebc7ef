// Rotary position tables (RoFormer, arXiv:2104.09864; scalings as transformers' modeling_rope_utils.py, YaRN
// arXiv:2309.00071).
#ifndef EVAL_ROPE_H
#define EVAL_ROPE_H

#include "formats/model.h"

// cos and sin of the angles at positions first .. first + count - 1 of a sequence that is `length` long in all
// (`dynamic` scaling depends on it). Both tables are [count, head_dim / 2]. factors [head_dim / 2]: for that scaling.
void rope_table(const Rope *rope, const float *factors, int64_t head_dim, int64_t length, int64_t first, int64_t count,
                float *cosine, float *sine);

#endif
