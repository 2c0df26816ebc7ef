// The files of a Hugging Face directory for a model that came out of a GGUF file, made from what that says.
#ifndef CONVERT_EXPORT_HF_MADE_H
#define CONVERT_EXPORT_HF_MADE_H

#include "convert/cast.h"
#include "formats/model.h"

// config.json but for the type of the weights. What transformers cannot run as described is an error. Free with
// cJSON_Delete, as both.
cJSON *hf_make_config(const Model *model, const CastKernels *kernels, Error *err);

// tokenizer.json and tokenizer_config.json.
cJSON *hf_make_tokenizer(const Model *model, Error *err);
cJSON *hf_make_tokenizer_config(const Model *model, Error *err);

#endif
