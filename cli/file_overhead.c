#include "cli/file_overhead.h"

#include "core/mem.h"
#include "core/size.h"
#include "formats/nib_pack.h"
#include "formats/nib_format.h"
#include <string.h>

enum {
    // What differs from plan to plan, as if it did not compress at all: type, offset and bytes of a tensor (names of at
    // most 8 letters, numbers of at most 2^40) and its hash, and what breaking up the text around them can cost.
    TENSOR_BYTES = 8 + 2 * 13 + 32 + 16,
    SOURCE_BYTES = 512, // of the list of what a download's files hash to, each
    STEP_BYTES = 1536,  // of the recipe's new step
};

static bool files_bytes(const Model *model, uint64_t *bytes, Error *err) {
    NibPack *pack = nib_pack_start(model, err);
    const NibPacked *packed = pack ? nib_pack_wait(pack, err) : NULL;
    bool ok = packed || (pack && !model->file_count && !err->text[0]);
    for (size_t i = 0; ok && i < model->file_count; i++) *bytes += size_align(packed[i].bytes, NIB_ALIGN);
    nib_pack_free(pack);
    return ok;
}

// What the index says whatever the plan: names, shapes, description, recipe so far.
static cJSON *index_sketch(const Model *model) {
    cJSON *index = cJSON_CreateObject(), *tensors = cJSON_AddArrayToObject(index, "tensors");
    bool ok = tensors && cJSON_AddItemToObject(index, "model", model_desc_write(&model->desc)) &&
              cJSON_AddItemToObject(index, "recipe", cJSON_Duplicate(model->recipe, true));
    if (ok && model->sources) ok = cJSON_AddItemToObject(index, "sources", cJSON_Duplicate(model->sources, true));
    for (size_t i = 0; ok && i < model->tensor_count; i++) {
        const Tensor *t = &model->tensors[i];
        char shape[96];
        cJSON *entry = cJSON_CreateObject();
        ok = cJSON_AddItemToArray(tensors, entry) && cJSON_AddStringToObject(entry, "name", t->name) &&
             cJSON_AddStringToObject(entry, "source", tensor_label(t)) &&
             cJSON_AddStringToObject(entry, "shape", tensor_shape_text(t, shape)) &&
             cJSON_AddStringToObject(entry, "offset", "") && cJSON_AddStringToObject(entry, "bytes", "") &&
             cJSON_AddStringToObject(entry, "xxh3", "") && cJSON_AddStringToObject(entry, "type", "");
    }
    for (size_t i = 0; ok && i < model->file_count; i++)
        ok = cJSON_AddStringToObject(index, "file", model->files[i].name);
    if (ok) return index;
    cJSON_Delete(index);
    return NULL;
}

static bool index_bytes(const Model *model, uint64_t *bytes, Error *err) {
    cJSON *index = index_sketch(model);
    char *text = index ? cJSON_PrintUnformatted(index) : NULL;
    ContainerPacked packed = {0};
    bool ok = text ? container_compress(text, strlen(text), &packed, err) : error_set(err, "out of memory");
    *bytes += packed.bytes + (model->tensor_count + model->file_count) * (uint64_t)TENSOR_BYTES + STEP_BYTES;
    if (!model->sources) *bytes += model->map_count * (uint64_t)SOURCE_BYTES;
    mem_free(packed.owned);
    cJSON_free(text);
    cJSON_Delete(index);
    return ok;
}

bool file_overhead(const Model *model, size_t extra, uint64_t *bytes, Error *err) {
    *bytes = NIB_HEADER_BYTES + extra;
    return files_bytes(model, bytes, err) && index_bytes(model, bytes, err);
}
