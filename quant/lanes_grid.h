// grid_round (quant/grid.h), one function for each instruction set.
#ifndef QUANT_LANES_GRID_H
#define QUANT_LANES_GRID_H

#include "core/target.h"
#include "quant/grid.h"

GridRoundFn lanes_grid_scalar;
#if defined(__x86_64__)
GridRoundFn lanes_grid_avx2, lanes_grid_avx512;
#endif

#endif
