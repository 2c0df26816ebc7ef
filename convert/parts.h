// The usual ways in which tensors are fused or transposed in a source, as entries of a NameMap name them.
#ifndef CONVERT_PARTS_H
#define CONVERT_PARTS_H

#include "convert/names.h"

PartFn part_whole;
PartFn part_transposed; // [in, out]: GPT-2's Conv1D

PartFn part_flat; // a norm of heads, [heads, head_dim]
// One of these norms, [head_dim], in the vector that they make together: StableLM.
PartFn part_of_q_norms, part_of_k_norms;

// Queries, keys and values one after the other, and the same transposed.
PartFn part_q, part_k, part_v;
PartFn part_q_transposed, part_k_transposed, part_v_transposed;

// For each head its query, key and value: GPT-NeoX, BLOOM.
PartFn part_head_q, part_head_k, part_head_v;

// For each key and value head the query heads that read it, then itself, key and value: Falcon 40B.
PartFn part_group_q, part_group_k, part_group_v;

// Gate and up of an MLP one after the other; of an expert, whose width is another; of an expert, row by row in turn.
PartFn part_gate, part_up;
PartFn part_expert_gate, part_expert_up;
PartFn part_even, part_odd;
PartFn part_even_transposed, part_odd_transposed;

#endif
