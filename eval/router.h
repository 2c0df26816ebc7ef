// Which experts a token passes, and with what weights.
#ifndef EVAL_ROUTER_H
#define EVAL_ROUTER_H

#include "formats/model.h"

// From the router's logits [n, count], which become scores: chosen [n, used], the best first, and their weights.
// correction [count] or NULL. Of equal scores the lower expert is taken first.
void router_choose(const Experts *e, const float *correction, float *logits, int64_t n, int32_t *chosen,
                   float *weights);

// The way back: from the scores that router_choose left, its choice and its weights, and gradients at the weights
// [n, used], those at the logits [n, count].
void router_back(const Experts *e, const float *scores, const int32_t *chosen, const float *weights,
                 const float *at_weights, int64_t n, float *at_logits);

// Sorts the indices 0 .. n * used - 1 into chosen by expert: those of expert k are order[starts[k] .. starts[k + 1] -
// 1], in rising order; starts [count + 1].
void router_sort(const Experts *e, const int32_t *chosen, int64_t n, int32_t *order, int64_t *starts);

#endif
