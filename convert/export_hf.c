#include "convert/export.h"

#include "convert/export_split.h"
#include "convert/export_tensor.h"
#include "convert/family.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/outdir.h"
#include "formats/safetensors_write.h"
#include <stdio.h>
#include <string.h>

enum { CONFIG_VALUES = 100000, SHARD_NAME = 64 };

static const uint64_t SHARD_BYTES = 5000000000; // transformers' own default, when it saves, since long

typedef struct Job {
    const Model *model;
    const ExportOptions *options;
    ExportItem *items;
    Tensor *tensors; // the items' .out, as the writer wants them
    size_t count;
    bool cast; // all tensors become `dtype`, and config.json says so
    DType dtype;
    ExportSplit split;
    OutDir *dir;
    uint64_t written;
} Job;

// ---- tensors

static bool has_blocks(const Model *model) {
    for (size_t i = 0; i < model->tensor_count; i++)
        if (dtype_is_block(model->tensors[i].type)) return true;
    return false;
}

static bool add_item(Job *job, const Family *family, const Tensor *t, Error *err) {
    char buf[MODEL_NAME];
    const char *name = family_source_name(family, t->name, buf, sizeof buf);
    ExportItem *item = &job->items[job->count++];
    *item = (ExportItem){.out = *t, .from = t};
    item->out.source = mem_text(name, strlen(name), err);
    if (job->cast) item->out.type = job->dtype;
    bool ok = item->out.source && tensor_size(&item->out, err);
    job->tensors[job->count - 1] = item->out;
    return ok;
}

static bool add_items(Job *job, Error *err) {
    const Model *model = job->model;
    const Family *family = family_by_name(model->desc.family);
    if (!family) return error_set(err, "%s: the family %s is not known", model->path, model->desc.family);
    job->items = mem_alloc(model->tensor_count, sizeof *job->items, err);
    job->tensors = job->items ? mem_alloc(model->tensor_count, sizeof *job->tensors, err) : NULL;
    if (!job->tensors) return false;
    for (size_t i = 0; i < model->tensor_count; i++)
        if (!add_item(job, family, &model->tensors[i], err)) return false;
    return true;
}

// ---- weights

static bool sink(void *to, const void *data, size_t size, Error *err) { return safetensors_write(to, data, size, err); }

static bool write_tensors(const Job *job, SafeTensorsWriter *w, size_t first, size_t last, Error *err) {
    for (size_t i = first; i < last; i++)
        if (!export_tensor(&job->items[i], &job->options->kernels, sink, w, err) || !safetensors_tensor_end(w, err))
            return false;
    return true;
}

static bool write_shard(Job *job, const char *name, size_t first, size_t last, Error *err) {
    const char *path = out_dir_file(job->dir, name, err);
    SafeTensorsWriter *w = path ? safetensors_create(path, job->tensors + first, last - first, err) : NULL;
    if (!w) return false;
    if (!write_tensors(job, w, first, last, err)) {
        safetensors_abort(w);
        return false;
    }
    bool ok = safetensors_commit(w, err);
    job->written += file_size(path);
    return ok;
}

static const char *shard_name(const Job *job, size_t shard, char name[SHARD_NAME]) {
    if (job->split.count == 1)
        snprintf(name, SHARD_NAME, "model.safetensors");
    else
        snprintf(name, SHARD_NAME, "model-%05zu-of-%05zu.safetensors", shard + 1, job->split.count);
    return name;
}

static bool write_shards(Job *job, Error *err) {
    char name[SHARD_NAME];
    bool ok = true;
    progress_start("exporting", model_tensor_bytes(job->model), PROGRESS_BYTES);
    for (size_t i = 0; ok && i < job->split.count; i++)
        ok = write_shard(job, shard_name(job, i, name), job->split.starts[i], job->split.starts[i + 1], err);
    progress_end();
    return ok;
}

// The most that a tensor's entry in the header takes besides its name, which may be escaped.
static uint64_t tensor_cost(const Tensor *t) { return t->bytes + 6 * strlen(t->source) + 256; }

// ---- files beside them

static bool write_bytes(Job *job, const char *name, const void *data, size_t size, Error *err) {
    const char *path = out_dir_file(job->dir, name, err);
    FileOut *out = path ? file_out_open(path, size, err) : NULL;
    if (!out) return false;
    if (file_out_write(out, data, size, err)) return file_out_commit(out, err);
    file_out_abort(out);
    return false;
}

static bool write_json(Job *job, const char *name, const cJSON *json, Error *err) {
    char *text = json ? cJSON_Print(json) : NULL;
    bool ok = text ? write_bytes(job, name, text, strlen(text), err) : error_set(err, "out of memory");
    cJSON_free(text);
    return ok;
}

static bool fill_index(const Job *job, cJSON *index) {
    cJSON *metadata = cJSON_AddObjectToObject(index, "metadata"), *map = cJSON_AddObjectToObject(index, "weight_map");
    double total = 0;
    bool ok = metadata && map;
    for (size_t shard = 0; ok && shard < job->split.count; shard++)
        for (size_t i = job->split.starts[shard]; ok && i < job->split.starts[shard + 1]; i++) {
            char name[SHARD_NAME];
            total += (double)job->tensors[i].bytes;
            ok = cJSON_AddStringToObject(map, job->tensors[i].source, shard_name(job, shard, name));
        }
    return ok && cJSON_AddNumberToObject(metadata, "total_size", total);
}

static bool write_index(Job *job, Error *err) {
    if (job->split.count == 1) return true;
    cJSON *index = cJSON_CreateObject();
    bool ok = index && fill_index(job, index) ? write_json(job, "model.safetensors.index.json", index, err)
                                              : error_set(err, "out of memory");
    cJSON_Delete(index);
    return ok;
}

// transformers 5 says "dtype", older ones and most files "torch_dtype": the one that is there is set.
static bool set_dtype(cJSON *config, DType dtype) {
    const char *name = dtype == DT_F32 ? "float32" : dtype == DT_F16 ? "float16" : "bfloat16";
    const char *key = json_member(config, "dtype") ? "dtype" : "torch_dtype";
    cJSON *value = cJSON_CreateString(name);
    if (!value) return false;
    bool ok = cJSON_GetObjectItemCaseSensitive(config, key) ? cJSON_ReplaceItemInObjectCaseSensitive(config, key, value)
                                                            : cJSON_AddItemToObject(config, key, value);
    if (!ok) cJSON_Delete(value);
    return ok;
}

// What was quantized in the source is not any more.
static bool drop_quantization(cJSON *config) {
    bool had = json_member(config, "quantization_config") || json_member(config, "compression_config");
    cJSON_DeleteItemFromObjectCaseSensitive(config, "quantization_config");
    cJSON_DeleteItemFromObjectCaseSensitive(config, "compression_config");
    return had;
}

static bool has_f32(const Job *job) {
    for (size_t i = 0; i < job->count; i++)
        if (job->tensors[i].type == DT_F32) return true;
    return false;
}

// As it was, where the weights are as they were.
static bool write_config(Job *job, const ModelFile *file, Error *err) {
    const char *text = (const char *)file->data;
    cJSON *config = json_bounded(text, file->size, CONFIG_VALUES, err) ? json_parse(text, file->size, err) : NULL;
    if (!config) return error_prefix(err, "%s: config.json", job->model->path);
    bool ok = true, decoded = drop_quantization(config);
    if (job->cast)
        ok = set_dtype(config, job->dtype);
    else if (decoded && has_f32(job))
        ok = set_dtype(config, DT_F32);
    if (!ok)
        error_set(err, "out of memory");
    else if (job->cast || decoded)
        ok = write_json(job, file->name, config, err);
    else
        ok = write_bytes(job, file->name, file->data, file->size, err);
    cJSON_Delete(config);
    return ok;
}

static bool write_files(Job *job, Error *err) {
    for (size_t i = 0; i < job->model->file_count; i++) {
        const ModelFile *file = &job->model->files[i];
        bool config = strcmp(file->name, "config.json") == 0;
        if (!(config ? write_config(job, file, err) : write_bytes(job, file->name, file->data, file->size, err)))
            return false;
    }
    return true;
}

static bool write_directory(Job *job, const char *directory, Error *err) {
    uint64_t limit = job->options->split ? job->options->split : SHARD_BYTES;
    if (!export_split(job->tensors, job->count, limit, 64, 64, tensor_cost, &job->split, err) ||
        !(job->dir = out_dir_open(directory, err)))
        return false;
    if (write_shards(job, err) && write_index(job, err) && write_files(job, err)) return out_dir_commit(job->dir, err);
    out_dir_abort(job->dir);
    return false;
}

bool model_export_hf(const Model *model, const char *directory, const ExportOptions *options, ExportResult *result,
                     Error *err) {
    Job job = {.model = model, .options = options, .cast = options->cast, .dtype = options->dtype};
    if (!job.cast && has_blocks(model)) {
        job.cast = true;
        job.dtype = DT_BF16;
    }
    if (!model_file(model, "config.json"))
        return error_set(err, "%s: has no config.json, which a Hugging Face directory needs", model->path);
    bool ok = add_items(&job, err) && write_directory(&job, directory, err);
    if (ok) *result = (ExportResult){.files = job.split.count, .tensors = job.count, .bytes = job.written};
    for (size_t i = 0; i < job.count; i++) mem_free(job.items[i].out.source);
    mem_free(job.items);
    mem_free(job.tensors);
    mem_free(job.split.starts);
    return ok;
}
