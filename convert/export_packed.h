// Which matrices of a model become integers in groups, and how a Hugging Face directory says so.
#ifndef CONVERT_EXPORT_PACKED_H
#define CONVERT_EXPORT_PACKED_H

#include "convert/export.h"
#include "convert/packed.h"

// What becomes of one tensor.
typedef enum PackedUse {
    USE_PLAIN,     // 16 bits: a vector, the embedding, the head, or no linear layer that engines know packed
    USE_PACKED,    // integers
    USE_UNDIVIDED, // a linear layer, in 16 bits since the group does not divide its width (ExportPack.keep_undivided)
} PackedUse;

// An error where it is not divided and that was not asked for, or is in blocks that would be rounded again.
bool packed_use(const ExportPack *pack, const Tensor *t, PackedUse *use, Error *err);

// The parts of the layout in their order but PART_WEIGHT_SHAPE, ending with PART_NONE.
const PackedPart *packed_order(const ExportPack *pack);

// The quantization_config of config.json. plain: the modules ("model.layers.0.mlp.down_proj") of linear layers that are
// not packed. NULL: out of memory. Free with cJSON_Delete.
cJSON *packed_config(const ExportPack *pack, const char *const *plain, size_t count);

#endif
