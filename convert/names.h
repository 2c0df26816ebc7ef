// Tensor names in a source and inside, and which rows of a source's tensor an internal one is.
#ifndef CONVERT_NAMES_H
#define CONVERT_NAMES_H

#include "core/layout.h"
#include "formats/model.h"

// Which rows of the source's tensor; rows = 0: all from `first` on, run = 0: without gaps.
typedef Part PartFn(const ModelDesc *desc);

// One internal tensor. A '#' stands for a number without leading zeros: a layer, then an expert. Several entries may
// have the same source, which is then taken apart. Where `internal` has one '#' more than `source`, the source's first
// dimension is what it counts: a stack of experts. Where it has one less, the source's last number is its place among
// the vectors that the internal one is put together from: all of part.rows elements, part.run each. A source that ends
// in '*' stands for all that begin so.
typedef struct NameMap {
    const char *source;   // "model.layers.#.self_attn.q_proj.weight"
    const char *internal; // "blk.#.attn_q.weight"; NULL: known, not needed, left out
    PartFn *part;         // NULL: the whole tensor as it is
    PartFn *encoded;      // in its place for a tensor that was encoded, where that changes the order of its rows
} NameMap;

// Another way that names begin: `from` at a name's start stands for `to`.
typedef struct NameStart {
    const char *from, *to;
} NameStart;

enum { NAME_NUMBERS = 3 };
typedef struct NameNumbers {
    int count;
    int64_t values[NAME_NUMBERS];
} NameNumbers;

// Whether a name fits a pattern, and the numbers in it.
bool name_match(const char *pattern, const char *name, NameNumbers *numbers);
// The pattern with its '#' filled in; returns buf.
const char *name_fill(const char *pattern, const NameNumbers *numbers, char *buf, size_t size);
int name_numbers(const char *pattern);

// Fits every entry whose source is this tensor's name (its .source), and adds what it stands for to the model: names
// and layouts are new, the bytes are the source's. Sets *known to whether there is such an entry.
bool names_add(const NameMap *names, const NameStart *starts, const Tensor *tensor, Model *model, bool *known,
               Error *err);

#endif
