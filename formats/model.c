#include "formats/model.h"

#include "core/mem.h"
#include <stdio.h>
#include <string.h>

// FNV-1a (http://www.isthe.com/chongo/tech/comp/fnv/): short keys, a table that lives as long as the model.
static uint32_t name_hash(const char *name) {
    uint32_t h = 2166136261u;
    for (; *name; name++) h = (h ^ (uint8_t)*name) * 16777619u;
    return h;
}

static const Tensor *slot_find(const Model *model, const char *name, size_t *slot) {
    size_t mask = model->slot_count - 1, i = name_hash(name) & mask;
    for (; model->slots[i]; i = (i + 1) & mask) {
        const Tensor *t = &model->tensors[model->slots[i] - 1];
        if (strcmp(t->name, name) == 0) return t;
    }
    *slot = i;
    return NULL;
}

// At least half of the slots stay free, so that a search ends.
static bool slots_grow(Model *model, Error *err) {
    if (model->slot_count > 2 * model->tensor_count) return true;
    size_t count = model->slot_count ? 2 * model->slot_count : 64, slot = 0;
    uint32_t *slots = mem_alloc(count, sizeof *slots, err);
    if (!slots) return false;
    mem_free(model->slots);
    model->slots = slots;
    model->slot_count = count;
    for (size_t i = 0; i < model->tensor_count; i++) {
        slot_find(model, model->tensors[i].name, &slot);
        model->slots[slot] = (uint32_t)i + 1;
    }
    return true;
}

Model *model_new(const char *path, Error *err) {
    Model *model = mem_alloc(1, sizeof *model, err);
    if (!model) return NULL;
    model->desc.bos = model->desc.eos = -1;
    model->path = mem_text(path, strlen(path), err);
    model->recipe = cJSON_CreateArray();
    if (model->path && !model->recipe) error_set(err, "out of memory");
    if (model->path && model->recipe) return model;
    model_free(model);
    return NULL;
}

void model_free(Model *model) {
    if (!model) return;
    for (size_t i = 0; i < model->tensor_count; i++) {
        mem_free(model->tensors[i].name);
        mem_free(model->tensors[i].source);
    }
    for (size_t i = 0; i < model->file_count; i++) {
        mem_free(model->files[i].name);
        mem_free(model->files[i].data);
    }
    for (size_t i = 0; i < model->map_count; i++) file_unmap(model->maps[i]);
    for (size_t i = 0; i < model->buffer_count; i++) mem_free(model->buffers[i]);
    cJSON_Delete(model->recipe);
    cJSON_Delete(model->sources);
    mem_free(model->tensors);
    mem_free(model->slots);
    mem_free(model->files);
    mem_free(model->maps);
    mem_free(model->buffers);
    mem_free(model->path);
    mem_free(model);
}

const Tensor *model_tensor(const Model *model, const char *name) {
    size_t slot;
    return model->tensor_count ? slot_find(model, name, &slot) : NULL;
}

const Tensor *model_layer_tensor(const Model *model, int64_t layer, const char *rest) {
    char name[MODEL_NAME];
    snprintf(name, sizeof name, "blk.%lld.%s", (long long)layer, rest);
    return model_tensor(model, name);
}

const ModelFile *model_file(const Model *model, const char *name) {
    for (size_t i = 0; i < model->file_count; i++)
        if (strcmp(model->files[i].name, name) == 0) return &model->files[i];
    return NULL;
}

bool model_add_tensor(Model *model, const Tensor *tensor, Error *err) {
    size_t slot;
    if (!slots_grow(model, err)) return false;
    if (slot_find(model, tensor->name, &slot)) return error_set(err, "tensor %s is there twice", tensor_label(tensor));
    if (!mem_grow(&model->tensors, model->tensor_count, &model->tensor_capacity, sizeof *tensor, err)) return false;
    model->tensors[model->tensor_count++] = *tensor;
    model->slots[slot] = (uint32_t)model->tensor_count;
    return true;
}

bool model_take_file(Model *model, const char *name, char *data, size_t size, Error *err) {
    if (model_file(model, name)) return error_set(err, "the file %s is there twice", name);
    if (!mem_grow(&model->files, model->file_count, &model->file_capacity, sizeof *model->files, err)) return false;
    ModelFile file = {.name = mem_text(name, strlen(name), err), .data = (uint8_t *)data, .size = size};
    if (!file.name) return false;
    model->files[model->file_count++] = file;
    return true;
}

bool model_add_file(Model *model, const char *name, const void *data, size_t size, Error *err) {
    char *copy = mem_text(data, size, err);
    if (copy && model_take_file(model, name, copy, size, err)) return true;
    mem_free(copy);
    return false;
}

bool model_add_map(Model *model, FileMap *map, Error *err) {
    if (!mem_grow(&model->maps, model->map_count, &model->map_capacity, sizeof *model->maps, err)) return false;
    model->maps[model->map_count++] = map;
    return true;
}

bool model_add_buffer(Model *model, void *buffer, Error *err) {
    if (!mem_grow(&model->buffers, model->buffer_count, &model->buffer_capacity, sizeof *model->buffers, err))
        return false;
    model->buffers[model->buffer_count++] = buffer;
    return true;
}

void model_take_tensors(Model *model, Tensor **tensors, size_t *count) {
    *tensors = model->tensors;
    *count = model->tensor_count;
    mem_free(model->slots);
    model->tensors = NULL;
    model->slots = NULL;
    model->tensor_count = model->tensor_capacity = model->slot_count = 0;
}

uint64_t model_tensor_bytes(const Model *model) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < model->tensor_count; i++) bytes += model->tensors[i].bytes;
    return bytes;
}

double model_bits_per_weight(const Model *model) {
    double elements = 0;
    for (size_t i = 0; i < model->tensor_count; i++) elements += (double)tensor_elements(&model->tensors[i]);
    return elements > 0 ? 8 * (double)model_tensor_bytes(model) / elements : 0;
}
