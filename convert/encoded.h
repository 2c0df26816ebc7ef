// A matrix of codes under scales, as programs for Hugging Face checkpoints quantize them:
//     w = (level of the code - zero) * scale
// put together row by row when it is read. Each convert/encoding_*.c says where codes, zeros and scales lie.
#ifndef CONVERT_ENCODED_H
#define CONVERT_ENCODED_H

#include "core/tensor.h"

typedef enum CodeOrder {
    CODES_ROWS,    // each row a stream of bits, the lowest first, in whole bytes or 32-bit words
    CODES_COLUMNS, // GPTQ: the same in 32-bit words, the w-th words of all rows beside each other: [words, rows]
    CODES_AWQ,     // words [cols, rows / 8], of row r the nibble awq_nibble[r % 8]
    CODES_FLAT,    // bitsandbytes: nibbles through the whole matrix, the high one of a byte first
} CodeOrder;

typedef enum CodeLevels {
    LEVELS_UNSIGNED, // 0 to 2^bits - 1
    LEVELS_SIGNED,   // 8 bits, in two's complement
    LEVELS_E4M3,     // core/float8.h
    LEVELS_E5M2,
    LEVELS_E2M1,
    LEVELS_MAP, // sixteen of the file's own
} CodeLevels;

// A source tensor's bytes.
typedef struct CodeBytes {
    const uint8_t *data; // NULL: there is none
    size_t bytes;
    const FileMap *file;
    const char *name; // for messages, while it is opened
} CodeBytes;

CodeBytes code_bytes(const Tensor *t); // of NULL: none

// A number for each row (or run of rows) and group of columns.
typedef struct CodeGrid {
    CodeBytes at;
    DType type;         // I8, F16, BF16, F32, F64 or one of the F8s
    int64_t row_step;   // elements from one row (or run) to the next; 0: one for all
    int64_t group_step; // ... from one group to the next
} CodeGrid;

// The zeros of GPTQ, AWQ and compressed-tensors: streams of 32-bit words over the rows, one a group.
typedef struct CodeZeros {
    CodeBytes at;
    int64_t word_step;  // words from one to the next of a stream
    int64_t group_step; // ... from one group's stream to the next
    bool awq;           // nibbles in AWQ's order
    bool less_one;      // GPTQ's first version: what is stored is one less
} CodeZeros;

// bitsandbytes' scales that are quantized in turn: U8 codes; scale = map[code] * scales[i / group] + offset.
typedef struct CodeNested {
    CodeBytes map;    // F32 [256]; none: scales are not nested
    CodeBytes scales; // F32
    int64_t group;
    float offset;
} CodeNested;

typedef struct Encoded {
    CodeBytes codes;
    CodeOrder order;
    CodeLevels levels;
    int bits;
    CodeBytes map; // LEVELS_MAP: F32 [16]
    int64_t rows, cols;
    int64_t group;          // columns of a group; CODES_FLAT: elements
    int64_t groups;         // in a row; CODES_FLAT: in all
    int64_t group_rows;     // rows that share a scale: 1 for most
    CodeBytes column_group; // I32 [cols]: the group that a column is in; none: they are in order
    CodeGrid scales;        // multiplied by
    CodeBytes times;        // F32 [1], where it is there, and
    CodeBytes over;         // divided by this
    CodeNested nested;
    float after;      // what the product is multiplied by at the end; 0: nothing
    int zero;         // the zero, or what is added to those that are stored
    CodeGrid plain;   // stored as I8
    CodeZeros packed; // stored packed
} Encoded;

// Makes a tensor of these dimensions, the last of which is e->cols and the others together e->rows: in a block type
// where one holds the same values exactly, else f32. What is in *owned is then the caller's (from mem_alloc). Scales
// that are not finite and groups of columns out of range are errors; that the bytes suffice is the caller's to check.
bool encoded_tensor(const Encoded *e, int dims, const int64_t *shape, Tensor *out, void **owned, Error *err);

#endif
