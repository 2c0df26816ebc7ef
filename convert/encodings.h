// Hugging Face checkpoints that come quantized: GPTQ, AWQ, compressed-tensors, bitsandbytes, 8-bit floats, MXFP4.
// Several source tensors (codes, scales, zeros) become one, "X.weight", that gives the values when it is read, so that
// families see the names that they know. The values are those of the format's definition, without the rounding to
// bf16 or f16 that engines add: in a block type where one holds them exactly (docs/architecture.md says when), else
// f32.
#ifndef CONVERT_ENCODINGS_H
#define CONVERT_ENCODINGS_H

#include "formats/huggingface.h"

// Replaces encoded tensors among the weights, as the kept config.json of the model says. Scales of activations, which
// are not rounded here, are left out. Errors name file and tensor, or what config.json says.
bool encodings_apply(const Model *model, HfWeights *weights, Error *err);

enum { ENCODING_TEXT = 160 };
// "gptq 4-bit, group 128, act-order": how the kept config.json says that the source was quantized. False: it was not.
bool encodings_text(const Model *model, char text[ENCODING_TEXT]);

#endif
