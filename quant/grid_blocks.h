// Blocks taken apart and put together, a pair of functions a type.
#ifndef QUANT_GRID_BLOCKS_H
#define QUANT_GRID_BLOCKS_H

#include "quant/grid.h"

typedef struct GridBlocks {
    // scales comes zeroed; codes [block] are both ways in the order of the elements.
    void (*unpack)(const void *block, GridScales *scales, uint8_t *codes);
    void (*pack)(const GridScales *scales, const uint8_t *codes, void *block);
} GridBlocks;

const GridBlocks *grid_blocks_of(DType type); // of a type that has a grid

#endif
