// The parts of the model description's reader and writer (formats/model_desc.c puts them together).
#ifndef FORMATS_MODEL_DESC_VARIANTS_H
#define FORMATS_MODEL_DESC_VARIANTS_H

#include "formats/model.h"

bool rope_write(const Rope *rope, cJSON *json);
bool rope_read(const cJSON *json, Rope *rope, Error *err);
bool rope_check(const Rope *rope, int64_t head_dim, Error *err);

// What goes beyond Llama. A member that is not there has its plain value, which is 0 or false; such are not written.
bool variants_write(const ModelDesc *desc, cJSON *json);
bool variants_read(const cJSON *json, ModelDesc *desc, Error *err);
bool variants_has(const char *key); // whether a member is one of these
bool variants_check(const ModelDesc *desc, Error *err);

#endif
