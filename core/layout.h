// Tensors whose rows are taken out of another's: some rows of a fused one, columns of a transposed one.
#ifndef CORE_LAYOUT_H
#define CORE_LAYOUT_H

#include "core/tensor.h"

// Which rows of a source they are: runs of `run` rows, each `stride` rows after the one before, from row `first` on; so
// row r is the source's row first + r / run * stride + r % run. Where it is transposed, rows are the source's columns.
// Of a vector the "rows" are its elements.
typedef struct Part {
    bool flat; // a whole matrix as one vector; the rest does not matter, but that its rows were `run` long
    bool transposed;
    int64_t rows;               // in all; 0: all from `first` on
    int64_t first, run, stride; // run 0: one run
} Part;

// The part with its zeros settled, of a source with so many rows.
Part part_settle(Part part, int64_t source_rows);

// Makes `part` of source [rows, cols] or [n] a tensor of its own, of the same type: in place where its rows are
// contiguous, else by a layout or, of a vector, a copy; these are then the caller's in *owned (one block of core/mem.h;
// NULL in place). Of the result, name and source name are the caller's to set. Fails when the source has not these
// rows, or is in blocks and would be transposed.
bool tensor_part(const Tensor *source, const Part *part, Tensor *out, void **owned, Error *err);

// The way back: puts rows [part.rows, cols], contiguous, where they belong in a source of these dimensions.
void tensor_part_scatter(const Part *part, const uint8_t *rows, int64_t source_rows, int64_t source_cols,
                         size_t element_bytes, uint8_t *source);

// The index-th of the source's first dimension: [a, b, c] gives [b, c]. In place, or over the source's own layout.
bool tensor_slice(const Tensor *source, int64_t index, Tensor *out, void **owned, Error *err);

#endif
