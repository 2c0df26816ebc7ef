#include "convert/export.h"

#include "convert/export_gguf_parts.h"
#include "convert/export_hf_made.h"
#include "convert/export_packed.h"
#include "convert/export_split.h"
#include "convert/export_tensor.h"
#include "convert/compose.h"
#include "convert/family.h"
#include "convert/regroup.h"
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
    bool from_gguf; // the files beside the weights are made
    Regroup groups; // the model's tensors as Hugging Face has them
    ExportItem *items;
    PackedPart *parts; // [count] which part of a packed matrix an item is
    Tensor *tensors;   // the items' .out, as the writer wants them
    size_t count;
    bool cast; // all tensors become `dtype`, and config.json says so
    DType dtype;
    ExportPack pack; // where options->pack is there: with the scales' type
    Packed packed;   // the matrix whose parts are being written
    const Tensor *packed_from;
    char **plain; // modules of linear layers that stay plain where others are packed
    size_t plain_count;
    ExportResult result;
    ExportSplit split;
    OutDir *dir;
} Job;

// ---- tensors

static bool has_blocks(const Model *model) {
    for (size_t i = 0; i < model->tensor_count; i++)
        if (dtype_is_block(model->tensors[i].type)) return true;
    return false;
}

static size_t without_suffix(const char *name, const char *suffix) {
    size_t n = strlen(name), s = strlen(suffix);
    return n > s && strcmp(name + n - s, suffix) == 0 ? n - s : n;
}

static ExportItem *item_new(Job *job, const Tensor *t, PackedPart part) {
    ExportItem *item = &job->items[job->count];
    *item = (ExportItem){.out = *t, .from = t};
    if (job->from_gguf && job->model->desc.rope.interleaved && export_is_rotated(t->name)) {
        item->rotary = job->model->desc.head_dim;
        item->rotary_back = true;
    }
    job->parts[job->count] = part;
    return item;
}

static bool add_plain(Job *job, const Tensor *t, const char *name, Error *err) {
    ExportItem *item = item_new(job, t, PART_NONE);
    item->out.source = mem_text(name, strlen(name), err);
    if (job->cast) item->out.type = job->dtype;
    item->out.layout = NULL;
    bool ok = item->out.source && tensor_size(&item->out, err);
    job->tensors[job->count++] = item->out;
    return ok;
}

// A part takes the name of the matrix with its own word in the place of "weight".
static bool add_part(Job *job, const Tensor *t, const char *name, PackedPart part, Error *err) {
    ExportItem *item = item_new(job, t, part);
    size_t stem = without_suffix(name, "weight"), size = stem + 32;
    const char *word = packed_part(part, tensor_rows(t), tensor_cols(t), &job->pack.grid, &item->out, err);
    item->out.source = word ? mem_alloc(size, 1, err) : NULL;
    if (item->out.source) snprintf(item->out.source, size, "%.*s%s", (int)stem, name, word);
    job->tensors[job->count++] = item->out;
    return item->out.source;
}

static bool add_packed(Job *job, const Tensor *t, const char *name, Error *err) {
    for (const PackedPart *part = packed_order(&job->pack); *part; part++)
        if (!add_part(job, t, name, *part, err)) return false;
    job->result.packed++;
    job->result.carried += packed_carries(t, &job->pack.grid);
    return true;
}

static bool note_plain(Job *job, const char *name, Error *err) {
    job->plain[job->plain_count] = mem_text(name, without_suffix(name, ".weight"), err);
    return job->plain[job->plain_count++];
}

// Rotary factors are numbers in config.json.
static bool is_in_config(const Tensor *t) {
    static const char *const names[] = {"rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(t->name, names[i]) == 0) return true;
    return false;
}

static bool add_item(Job *job, const Tensor *t, bool shapes, Error *err) {
    const char *name = t->source;
    PackedUse use = USE_PLAIN;
    if (is_in_config(t)) return true;
    if (job->options->pack && compose_is_transposed(t))
        return error_set(
            err, "tensor %s: is transposed (Conv1D), which files of packed integers have not; leave --to away", name);
    if (job->options->pack && !packed_use(&job->pack, t, &use, err)) return false;
    if (shapes) return use != USE_PACKED || add_part(job, t, name, PART_WEIGHT_SHAPE, err);
    if (use == USE_PACKED) return add_packed(job, t, name, err);
    job->result.undivided += use == USE_UNDIVIDED;
    if (job->options->pack && t->dims > 1 && strncmp(t->name, "blk.", 4) == 0 && !note_plain(job, name, err))
        return false;
    return add_plain(job, t, name, err);
}

// 8-byte numbers come before all others, and after them none of an odd size: so each lies where its type may lie.
static bool add_items(Job *job, Error *err) {
    enum { PARTS = 5 }; // the most that a tensor becomes
    const Model *model = job->model;
    const Family *family = family_by_name(model->desc.family);
    if (!family) return error_set(err, "the family %s is not known", model->desc.family);
    if (!regroup(model, family->names, family->export_config ? NULL : family->starts, false, &job->options->kernels,
                 &job->groups, err))
        return false;
    size_t count = job->groups.count;
    job->items = mem_alloc(PARTS * count, sizeof *job->items, err);
    job->parts = job->items ? mem_alloc(PARTS * count, sizeof *job->parts, err) : NULL;
    job->tensors = job->parts ? mem_alloc(PARTS * count, sizeof *job->tensors, err) : NULL;
    job->plain = job->tensors ? mem_alloc(count, sizeof *job->plain, err) : NULL;
    if (!job->plain) return false;
    bool shapes = job->options->pack && job->pack.layout == PACK_COMPRESSED_TENSORS;
    for (size_t i = 0; shapes && i < count; i++)
        if (!add_item(job, &job->groups.items[i], true, err)) return false;
    for (size_t i = 0; i < count; i++)
        if (!add_item(job, &job->groups.items[i], false, err)) return false;
    return !job->options->pack || job->result.packed ||
           error_set(err, "has no linear layers that can be packed; leave --to away");
}

// ---- weights

static bool sink(void *to, const void *data, size_t size, Error *err) { return safetensors_write(to, data, size, err); }

// Parts of a matrix come one after the other, so that it is rounded once.
static bool write_part(Job *job, const ExportItem *item, PackedPart part, SafeTensorsWriter *w, Error *err) {
    const Tensor *t = item->from;
    if (part == PART_WEIGHT_SHAPE) {
        const Packed shape = {.rows = tensor_rows(t), .cols = tensor_cols(t), .grid = job->pack.grid};
        return packed_write(&shape, part, sink, w, err);
    }
    if (job->packed_from != t) {
        packed_free(&job->packed);
        job->packed_from = t;
        if (!packed_make(t, item->rotary, item->rotary_back, &job->pack.grid, &job->options->kernels, job->pack.round,
                         &job->packed, err))
            return false;
        progress_add(t->bytes);
    }
    return packed_write(&job->packed, part, sink, w, err);
}

static bool write_tensors(Job *job, SafeTensorsWriter *w, size_t first, size_t last, Error *err) {
    for (size_t i = first; i < last; i++) {
        const ExportItem *item = &job->items[i];
        if (!(job->parts[i] ? write_part(job, item, job->parts[i], w, err)
                            : export_tensor(item, &job->options->kernels, sink, w, err)) ||
            !safetensors_tensor_end(w, err))
            return false;
    }
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
    job->result.bytes += file_size(path);
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

// What was quantized in the source is not any more. Returns whether anything was.
static bool drop_quantization(cJSON *config) {
    bool had = json_member(config, "quantization_config") || json_member(config, "compression_config");
    cJSON_DeleteItemFromObjectCaseSensitive(config, "quantization_config");
    cJSON_DeleteItemFromObjectCaseSensitive(config, "compression_config");
    return had;
}

static bool add_quantization(Job *job, cJSON *config, Error *err) {
    if (!job->options->pack) return true;
    cJSON *quantization = packed_config(&job->pack, (const char *const *)job->plain, job->plain_count);
    if (!quantization || !cJSON_AddItemToObject(config, "quantization_config", quantization)) {
        cJSON_Delete(quantization);
        return error_set(err, "out of memory");
    }
    // Older engines look for GPTQ's in a file of its own.
    return job->pack.layout != PACK_GPTQ || write_json(job, "quantize_config.json", quantization, err);
}

static bool write_config(Job *job, cJSON *config, DType dtype, Error *err) {
    return (set_dtype(config, dtype) || error_set(err, "out of memory")) && add_quantization(job, config, err) &&
           write_json(job, "config.json", config, err);
}

static bool has_f32(const Job *job) {
    for (size_t i = 0; i < job->count; i++)
        if (job->tensors[i].type == DT_F32) return true;
    return false;
}

// As it was, where the weights and the family are as they were.
static bool copy_config(Job *job, const ModelFile *file, Error *err) {
    const char *text = (const char *)file->data;
    cJSON *config = json_bounded(text, file->size, CONFIG_VALUES, err) ? json_parse(text, file->size, err) : NULL;
    if (!config) return error_prefix(err, "%s: config.json", job->model->path);
    const Family *family = family_by_name(job->model->desc.family);
    bool ok, changed = drop_quantization(config), decoded = changed;
    if (family->export_config) {
        cJSON *other = family->export_config(config, &job->model->desc);
        cJSON_Delete(config);
        config = other;
        changed = true;
        if (!config) return error_set(err, "out of memory");
    }
    if (job->cast)
        ok = write_config(job, config, job->dtype, err);
    else if (decoded && has_f32(job))
        ok = write_config(job, config, DT_F32, err);
    else if (changed)
        ok = write_json(job, file->name, config, err);
    else
        ok = write_bytes(job, file->name, file->data, file->size, err);
    cJSON_Delete(config);
    return ok;
}

static bool copy_files(Job *job, Error *err) {
    for (size_t i = 0; i < job->model->file_count; i++) {
        const ModelFile *file = &job->model->files[i];
        bool config = strcmp(file->name, "config.json") == 0;
        // That of a source that was quantized and is not any more; another may take its place.
        if (strcmp(file->name, "quantize_config.json") == 0) continue;
        if (!(config ? copy_config(job, file, err) : write_bytes(job, file->name, file->data, file->size, err)))
            return false;
    }
    return true;
}

static bool make_files(Job *job, Error *err) {
    const ModelFile *template = model_file(job->model, "chat_template.jinja");
    cJSON *config = hf_make_config(job->model, &job->options->kernels, err);
    bool ok = config && write_config(job, config, job->dtype, err) &&
              (!template || write_bytes(job, template->name, template->data, template->size, err));
    cJSON_Delete(config);
    cJSON *tokenizer = ok ? hf_make_tokenizer(job->model, err) : NULL;
    ok = tokenizer && write_json(job, "tokenizer.json", tokenizer, err);
    cJSON_Delete(tokenizer);
    cJSON *tokenizer_config = ok ? hf_make_tokenizer_config(job->model, err) : NULL;
    ok = tokenizer_config && write_json(job, "tokenizer_config.json", tokenizer_config, err);
    cJSON_Delete(tokenizer_config);
    return ok;
}

static bool write_directory(Job *job, const char *directory, Error *err) {
    uint64_t limit = job->options->split ? job->options->split : SHARD_BYTES;
    if (!export_split(job->tensors, job->count, limit, 64, 64, tensor_cost, &job->split, err) ||
        !(job->dir = out_dir_open(directory, err)))
        return false;
    if (write_shards(job, err) && write_index(job, err) &&
        (job->from_gguf ? make_files(job, err) : copy_files(job, err)))
        return out_dir_commit(job->dir, err);
    out_dir_abort(job->dir);
    return false;
}

// 16 bits where matrices are packed: f16 where that keeps codes as they are, else as the source has it.
static DType packed_dtype(const Job *job) {
    ExportPack pack = *job->options->pack;
    pack.grid.scale = DT_F16;
    bool f16 = pack.layout == PACK_GPTQ;
    for (size_t i = 0; !f16 && i < job->model->tensor_count; i++) {
        const Tensor *t = &job->model->tensors[i];
        f16 = t->type == DT_F16 || packed_carries(t, &pack.grid);
    }
    return f16 ? DT_F16 : DT_BF16;
}

static void choose_dtype(Job *job) {
    const Tensor *embedding = model_tensor(job->model, "token_embd.weight");
    job->cast = job->options->cast || job->options->pack || job->from_gguf || has_blocks(job->model);
    if (job->options->cast)
        job->dtype = job->options->dtype;
    else if (job->options->pack)
        job->dtype = packed_dtype(job);
    else if (job->from_gguf && !has_blocks(job->model) && (embedding->type == DT_F16 || embedding->type == DT_F32))
        job->dtype = embedding->type;
    else
        job->dtype = DT_BF16;
    job->result.dtype = job->dtype;
    if (!job->options->pack) return;
    job->pack = *job->options->pack;
    job->pack.grid.scale = job->dtype;
}

static void job_free(Job *job) {
    for (size_t i = 0; i < job->count; i++) mem_free(job->items[i].out.source);
    for (size_t i = 0; i < job->plain_count; i++) mem_free(job->plain[i]);
    mem_free(job->plain);
    mem_free(job->items);
    mem_free(job->parts);
    mem_free(job->tensors);
    mem_free(job->split.starts);
    packed_free(&job->packed);
    regroup_free(&job->groups);
}

bool model_export_hf(const Model *model, const char *directory, const ExportOptions *options, ExportResult *result,
                     Error *err) {
    Job job = {.model = model, .options = options, .from_gguf = model_file(model, GGUF_KEPT_METADATA)};
    if (!job.from_gguf && !model_file(model, "config.json"))
        return error_set(err, "%s: has no config.json, which a Hugging Face directory needs", model->path);
    choose_dtype(&job);
    bool ok = (add_items(&job, err) || error_prefix(err, "%s", model->path)) && write_directory(&job, directory, err);
    job.result.files = job.split.count;
    job.result.tensors = job.count;
    if (ok) *result = job.result;
    job_free(&job);
    return ok;
}
