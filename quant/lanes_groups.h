// The search that groups_round makes, one function for each instruction set.
#ifndef QUANT_LANES_GROUPS_H
#define QUANT_LANES_GROUPS_H

#include "core/group_grid.h"
#include "core/target.h"

GroupsFn lanes_groups_scalar;
#if defined(__x86_64__)
GroupsFn lanes_groups_avx2, lanes_groups_avx512;
#endif

#endif
