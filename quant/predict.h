// How much rounding to a type would cost a matrix, where nothing is known of what flows through it: the squared error
// of rounding to nearest, relative to the matrix's own squares, from a sample of its rows. It is the share of noise in
// the outputs for inputs that are alike in all directions.
#ifndef QUANT_PREDICT_H
#define QUANT_PREDICT_H

#include "core/tensor.h"

enum { PREDICT_ROWS = 64 }; // sampled, spread evenly

// error [count]: one for each type, all of which have a quant_function and divide the width. Values that are not finite
// count as zero. A matrix of zeros has no error. One thread; several may call.
bool predict_errors(const Tensor *t, const DType *types, size_t count, double *error, Error *err);

#endif
