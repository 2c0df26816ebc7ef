// Filling groups of integers with one scale each (core/group_grid.h), for compressed-tensors and GPTQ.
#ifndef QUANT_GROUPS_H
#define QUANT_GROUPS_H

#include "core/cpu.h"
#include "core/group_grid.h"

// The least error, squared and weighed by x^2, that a search finds: for a range of trial steps codes are the nearest
// ones, scale (and zero) are refit to them by least squares and rounded to what is stored before they are judged.
// Several threads; the bytes depend on the input alone.
GroupsFn groups_round;

// The same in one thread with one instruction set, for tests; NULL where this CPU lacks it.
GroupsFn *groups_function_at(CpuLevel level);

#endif
