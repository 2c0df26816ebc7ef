// A matrix as integers in groups (core/group_grid.h), and the layouts that it is stored in.
#ifndef CONVERT_PACKED_H
#define CONVERT_PACKED_H

#include "convert/cast.h"
#include "convert/export_tensor.h"
#include "core/group_grid.h"

typedef struct Packed {
    int64_t rows, cols;
    GroupGrid grid;
    uint8_t *codes;   // [rows, cols]
    uint16_t *scales; // [rows, cols / group], the bits of grid.scale
    uint8_t *zeros;   // [rows, cols / group]
} Packed;

// Whether t's blocks are such groups already, so that codes and scales are carried over as they are.
bool packed_carries(const Tensor *t, const GroupGrid *grid);

// Fills *out from a matrix whose width the group divides. Its hash, where it states one, is checked. rotary, back: the
// rows of a head that are reordered, as in an ExportItem. Free with packed_free, also after a failure.
bool packed_make(const Tensor *t, int64_t rotary, bool back, const GroupGrid *grid, const CastKernels *kernels,
                 GroupsFn *round, Packed *out, Error *err);
void packed_free(Packed *packed);

// The tensors that a packed matrix becomes. All integers are i32 words with 32 / bits codes each, the first in the
// lowest bits.
typedef enum PackedPart {
    PART_NONE,
    // compressed-tensors' pack-quantized
    PART_WEIGHT_PACKED,     // i32 [rows, cols / codes]
    PART_WEIGHT_SCALE,      // [rows, groups]
    PART_WEIGHT_ZERO_POINT, // i32 [rows / codes, groups], packed along the rows; where not symmetric
    PART_WEIGHT_SHAPE,      // i64 [2]
    // GPTQ's (version 1: a zero is stored less one)
    PART_QWEIGHT, // i32 [cols / codes, rows], packed along the columns
    PART_QZEROS,  // i32 [groups, rows / codes], packed along the rows
    PART_SCALES,  // [groups, rows]
    PART_G_IDX,   // i32 [cols], the group of each column
    PART_COUNT
} PackedPart;

// The name that comes in the place of "weight", type and shape (out->type, dims, shape, bytes) of one part.
const char *packed_part(PackedPart part, int64_t rows, int64_t cols, const GroupGrid *grid, Tensor *out, Error *err);
bool packed_write(const Packed *packed, PackedPart part, ExportSink *sink, void *to, Error *err);

#endif
