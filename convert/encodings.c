#include "convert/encodings.h"

#include "convert/encoding.h"
#include "core/mem.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONFIG_VALUES = 100000, NAME_BYTES = 512 };

// Every tensor of all shards, by name: a module's tensors may lie in different ones.
typedef struct Entry {
    Tensor *tensor;
    TensorFile *shard;
    bool used; // part of a module: not handed on
    bool made; // its place is taken by:
    Tensor result;
} Entry;

struct EncodingJob {
    Entry *entries;
    size_t count;
    Entry *current; // the codes that are being decoded
};

static DecodeModule *const decoders[] = {decode_gptq,   decode_awq, decode_packed,
                                         decode_scaled, decode_fp4, decode_bitsandbytes};

// Scales of activations and of the key and value cache, and what else says nothing of the weights.
static const char *const left_out[] = {".input_scale",      ".input_zero_point", ".input_global_scale",
                                       ".activation_scale", ".output_scale",     ".output_zero_point",
                                       ".k_scale",          ".v_scale",          ".q_scale",
                                       ".input_scale_ub"};

static int by_name(const void *a, const void *b) {
    return strcmp(((const Entry *)a)->tensor->source, ((const Entry *)b)->tensor->source);
}

static bool list_entries(EncodingJob *job, const HfWeights *w, Error *err) {
    size_t count = 0;
    for (size_t s = 0; s < w->count; s++) count += w->shards[s]->count;
    job->entries = mem_alloc(count, sizeof *job->entries, err);
    if (!job->entries) return false;
    for (size_t s = 0; s < w->count; s++)
        for (size_t i = 0; i < w->shards[s]->count; i++)
            job->entries[job->count++] = (Entry){.tensor = &w->shards[s]->tensors[i], .shard = w->shards[s]};
    qsort(job->entries, job->count, sizeof *job->entries, by_name);
    return true;
}

static Entry *find(EncodingJob *job, const char *name) {
    Tensor key = {.source = (char *)(uintptr_t)name};
    Entry wanted = {.tensor = &key};
    return bsearch(&wanted, job->entries, job->count, sizeof *job->entries, by_name);
}

// ---- what the encodings call

static bool full_name(const EncodedModule *m, const char *suffix, char name[NAME_BYTES]) {
    int n = snprintf(name, NAME_BYTES, "%.*s%s", m->length, m->name, suffix);
    return n >= 0 && n < NAME_BYTES;
}

const Tensor *module_find(const EncodedModule *m, const char *suffix) {
    char name[NAME_BYTES];
    Entry *e = full_name(m, suffix, name) ? find(m->job, name) : NULL;
    if (!e || e->tensor->layout) return NULL;
    e->used = true;
    return e->tensor;
}

const Tensor *module_need(const EncodedModule *m, const char *suffix, Error *err) {
    const Tensor *t = module_find(m, suffix);
    if (!t)
        error_set(err, "tensor %s: is encoded, but %.*s%s, which it needs, is missing", m->codes->source, m->length,
                  m->name, suffix);
    return t;
}

bool module_shape(const Tensor *t, int64_t rows, int64_t cols, Error *err) {
    char text[96];
    if (cols < 0 ? t->dims == 1 && t->shape[0] == rows : t->dims == 2 && t->shape[0] == rows && t->shape[1] == cols)
        return true;
    if (cols < 0)
        return error_set(err, "tensor %s: has shape %s where its module calls for [%lld]", t->source,
                         tensor_shape_text(t, text), (long long)rows);
    return error_set(err, "tensor %s: has shape %s where its module calls for [%lld, %lld]", t->source,
                     tensor_shape_text(t, text), (long long)rows, (long long)cols);
}

bool module_type(const Tensor *t, DType type, Error *err) {
    return t->type == type ||
           error_set(err, "tensor %s: is %s where %s is needed", t->source, dtype_name(t->type), dtype_name(type));
}

bool module_scales(const Tensor *t, Error *err) {
    switch (t->type) {
    case DT_F32:
    case DT_F16:
    case DT_BF16:
    case DT_F64:
    case DT_F8_E4M3:
    case DT_F8_E8M0: return true;
    default: return error_set(err, "tensor %s: is %s, which scales cannot be", t->source, dtype_name(t->type));
    }
}

bool module_single(const Tensor *t, Error *err) {
    char text[96];
    return tensor_elements(t) == 1 ||
           error_set(err, "tensor %s: has shape %s where one number is needed", t->source, tensor_shape_text(t, text));
}

bool module_matrix(const EncodedModule *m, Error *err) {
    char text[96];
    const Tensor *t = m->codes;
    return (t->dims == 2 && t->bytes > 0) ||
           error_set(err, "tensor %s: is encoded, but has shape %s instead of a matrix's", t->source,
                     tensor_shape_text(t, text));
}

bool module_int(const EncodedModule *m, const char *key, int64_t least, int64_t most, int64_t *value, Error *err) {
    return json_int(m->config, key, least, most, value, err) || error_prefix(err, "config.json: quantization_config");
}

bool module_put(const EncodedModule *m, const char *suffix, const Encoded *e, int dims, const int64_t *shape,
                Error *err) {
    char name[NAME_BYTES];
    Entry *entry = m->job->current;
    if (!full_name(m, suffix, name)) return error_set(err, "tensor %s: its name is too long", m->codes->source);
    Tensor result = {.source = entry->tensor->source};
    void *owned;
    if (!encoded_tensor(e, dims, shape, &result, &owned, err)) return false;
    TensorFile *shard = entry->shard;
    result.source = mem_text(name, strlen(name), err);
    if (!result.source ||
        !mem_grow(&shard->buffers, shard->buffer_count, &shard->buffer_capacity, sizeof *shard->buffers, err)) {
        mem_free(result.source);
        mem_free(owned);
        return false;
    }
    shard->buffers[shard->buffer_count++] = owned;
    entry->result = result;
    entry->made = true;
    return true;
}

bool module_put_matrix(const EncodedModule *m, const Encoded *e, Error *err) {
    const int64_t shape[2] = {e->rows, e->cols};
    return module_put(m, ".weight", e, 2, shape, err);
}

// ---- all tensors

static bool ends_with(const char *name, const char *suffix, int *length) {
    size_t n = strlen(name), k = strlen(suffix);
    *length = (int)(n - k);
    return n > k && strcmp(name + n - k, suffix) == 0;
}

// The part of a name before what says that it is codes.
static bool is_codes(const char *name, int *length) {
    static const char *const suffixes[] = {".qweight", ".weight_packed", ".weight", "_blocks"};
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++)
        if (ends_with(name, suffixes[i], length)) return strlen(name) < NAME_BYTES - 64;
    return false;
}

static bool decode_entry(EncodingJob *job, Entry *entry, const cJSON *config, const char *method, Error *err) {
    EncodedModule m = {.job = job, .config = config, .method = method, .codes = entry->tensor};
    m.name = entry->tensor->source;
    job->current = entry;
    if (!is_codes(m.name, &m.length)) return true;
    bool mine = false;
    for (size_t i = 0; !mine && i < sizeof decoders / sizeof *decoders; i++)
        if (!decoders[i](&m, &mine, err)) return error_prefix(err, "%s", entry->shard->map->path);
    return true;
}

static void leave_out(Entry *entry) {
    int length;
    for (size_t i = 0; i < sizeof left_out / sizeof *left_out; i++)
        if (ends_with(entry->tensor->source, left_out[i], &length)) entry->used = true;
}

static bool decode_all(EncodingJob *job, const cJSON *config, Error *err) {
    const char *method = encoding_method(config);
    for (size_t i = 0; i < job->count; i++) {
        if (!decode_entry(job, &job->entries[i], config, method, err)) return false;
        if (config) leave_out(&job->entries[i]);
    }
    return true;
}

// Puts results in their places and closes the gaps that used tensors leave.
static bool hand_on(EncodingJob *job, HfWeights *w, Error *err) {
    bool changed = false;
    for (size_t i = 0; i < job->count; i++) {
        Entry *e = &job->entries[i];
        if (!e->made && !e->used) continue;
        changed = true;
        mem_free(e->tensor->source);
        *e->tensor = e->made ? e->result : (Tensor){0};
    }
    for (size_t s = 0; changed && s < w->count; s++) {
        TensorFile *shard = w->shards[s];
        size_t count = 0;
        for (size_t i = 0; i < shard->count; i++)
            if (shard->tensors[i].source) shard->tensors[count++] = shard->tensors[i];
        shard->count = count;
        mem_free(shard->by_name);
        shard->by_name = NULL;
        if (!tensor_file_index(shard, err)) return error_prefix(err, "%s", shard->map->path);
    }
    return true;
}

// ---- the config

bool encoding_config(const Model *model, cJSON **config, const cJSON **quantization, Error *err) {
    *config = NULL;
    *quantization = NULL;
    const ModelFile *file = model_file(model, "config.json");
    if (!file) return true;
    const char *text = (const char *)file->data;
    *config = json_bounded(text, file->size, CONFIG_VALUES, err) ? json_parse(text, file->size, err) : NULL;
    if (!*config) return error_prefix(err, "%s/config.json", model->path);
    *quantization = json_member(*config, "quantization_config");
    if (!*quantization) *quantization = json_member(*config, "compression_config"); // what it was called at first
    return true;
}

const char *encoding_method(const cJSON *quantization) {
    const char *method = json_text(quantization, "quant_method");
    if (method) return method;
    return json_member(quantization, "config_groups") ? "compressed-tensors" : "";
}

static bool check_method(const Model *model, const cJSON *config, Error *err) {
    static const char *const known[] = {"gptq",  "awq",     "compressed-tensors", "bitsandbytes", "fp8", "fbgemm_fp8",
                                        "mxfp4", "modelopt"};
    const char *method = encoding_method(config);
    if (!*method) return true; // tensors that need one will ask
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(method, known[i]) == 0) return true;
    return error_set(err,
                     "%s/config.json: quantization_config: the method \"%.60s\" (quant_method) is not supported; those "
                     "supported are gptq, awq, compressed-tensors, bitsandbytes, fp8, fbgemm_fp8, mxfp4, modelopt",
                     model->path, method);
}

bool encodings_apply(const Model *model, HfWeights *weights, Error *err) {
    cJSON *config;
    const cJSON *quantization;
    EncodingJob job = {0};
    bool ok = encoding_config(model, &config, &quantization, err) && check_method(model, quantization, err) &&
              list_entries(&job, weights, err) && decode_all(&job, quantization, err);
    if (ok)
        ok = hand_on(&job, weights, err);
    else
        for (size_t i = 0; i < job.count; i++) mem_free(job.entries[i].result.source);
    mem_free(job.entries);
    cJSON_Delete(config);
    return ok;
}
