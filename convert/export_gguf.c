#include "convert/export.h"

#include "convert/export_gguf_parts.h"
#include "convert/export_latent.h"
#include "convert/export_split.h"
#include "convert/export_tensor.h"
#include "convert/family.h"
#include "convert/regroup.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/outdir.h"
#include <stdio.h>
#include <string.h>

enum { QUANTIZATION_VERSION = 2 }; // of ggml's block types as they are today

// "general.file_type", for people: by the type that most elements have.
static const struct {
    DType type;
    uint32_t file_type;
} file_types[] = {{DT_F32, 0},   {DT_F16, 1},   {DT_BF16, 32},   {DT_Q8_0, 7},  {DT_Q4_0, 2},  {DT_Q4_1, 3},
                  {DT_Q5_0, 8},  {DT_Q5_1, 9},  {DT_Q4_K, 15},   {DT_Q5_K, 17}, {DT_Q6_K, 18}, {DT_IQ4_NL, 25},
                  {DT_Q2_K, 10}, {DT_Q3_K, 11}, {DT_IQ4_XS, 30}, {DT_MXFP4, 38}};

typedef struct Job {
    const Model *model;
    const ExportOptions *options;
    const GgufArch *arch;
    ModelDesc *desc; // as the file will say it
    bool from_gguf;  // the model came out of a GGUF file: its metadata goes back as it was
    Regroup groups;  // its tensors as GGUF has them
    ExportItem *items;
    Tensor *tensors; // the items' .out, as the writer wants them
    size_t count;
    float *rope_factors;
    LatentPair *pairs;
    size_t pair_count;
    GgufMeta meta; // where there are several files: of the first, without the split.* keys
    ExportSplit split;
    uint64_t written;
} Job;

static bool find_architecture(Job *job, Error *err) {
    const Family *family = family_by_name(job->model->desc.family);
    job->from_gguf = model_file(job->model, GGUF_KEPT_METADATA);
    if (family && family->gguf) {
        job->arch = family->gguf;
        return true;
    }
    return error_set(err,
                     "%s: models of the family %s cannot be exported to GGUF: llama.cpp has no code that runs them; a "
                     "Hugging Face directory can be made",
                     job->model->path, job->model->desc.family);
}

// With a shorter context; windows as long as that are none, but for engines that want to know them.
static bool make_description(Job *job, Error *err) {
    ModelDesc *d = job->desc = mem_alloc(1, sizeof *d, err);
    int64_t context = job->options->context;
    if (!d) return false;
    *d = job->model->desc;
    if (context && job->from_gguf)
        return error_set(err, "%s: came out of a GGUF file, whose metadata is kept as it is; leave --context away",
                         job->model->path);
    if (!context || context >= d->context) return true;
    if (d->positions == POSITIONS_LEARNED)
        return error_set(err, "%s: has learned positions; --context cannot shorten them", job->model->path);
    d->context = context;
    if (context > d->window || (job->arch->keys & GGUF_KEY_WINDOW)) return true;
    d->window = 0;
    for (int64_t i = 0; i < d->layers; i++) d->layer_kinds[i] &= (uint8_t)~LAYER_WINDOWED;
    return true;
}

// ---- tensors

static bool has_suffix(const char *name, const char *suffix) {
    size_t n = strlen(name), s = strlen(suffix);
    return n >= s && strcmp(name + n - s, suffix) == 0;
}

static bool is_norm(const char *name) { return has_suffix(name, "norm.weight"); }

// As llama.cpp's converter has it: what is small and decides much, and all that is no weight (stacked biases).
static bool is_always_f32(const Tensor *t) {
    return t->dims <= 1 || is_norm(t->name) || strcmp(t->name, "position_embd.weight") == 0 ||
           has_suffix(t->name, ".ffn_gate_inp.weight") || has_suffix(t->name, ".ffn_gate_inp_shexp.weight") ||
           !has_suffix(t->source, ".weight");
}

static bool plain_type(const Job *job, const Tensor *t, DType *type, Error *err) {
    if (is_always_f32(t))
        *type = DT_F32;
    else if (job->options->cast)
        *type = job->options->dtype;
    else if (t->type == DT_F32 || t->type == DT_F16 || t->type == DT_BF16)
        *type = t->type;
    else
        return error_set(err, "%s: tensor %s is %s, which engines do not run; choose with --dtype f32, f16 or bf16",
                         job->model->path, tensor_label(t), dtype_name(t->type));
    return true;
}

// Where rows of q and k move: engines turn 2i and 2i + 1 of a head, the model i and i + head_dim/2.
static bool turn_item(const Job *job, const Tensor *t, ExportItem *item, Error *err) {
    const ModelDesc *d = &job->model->desc;
    bool latent = d->latent.kv_rank && has_suffix(t->name, "_mqa.weight"); // with the queries', which come in two ways
    if ((!export_is_rotated(t->name) && !latent) || d->positions != POSITIONS_ROTARY ||
        d->rope.interleaved == job->arch->neighbours)
        return true;
    if (d->rope.interleaved || desc_rope_dims(d) != d->head_dim || d->qk_norm)
        return error_set(err, "%s: tensor %s: its rows cannot be put in the order that GGUF's %s needs",
                         job->model->path, tensor_label(t), job->arch->name);
    item->rotary = d->head_dim;
    return true;
}

static bool add_item(Job *job, const Tensor *t, Error *err) {
    ExportItem *item = &job->items[job->count];
    *item = (ExportItem){.out = *t, .from = t};
    item->out.name = t->source;
    item->out.layout = NULL;
    if (job->model->desc.norm_plus_one && is_norm(t->name)) item->plus = 1;
    bool ok = turn_item(job, t, item, err) && (dtype_is_block(t->type) || plain_type(job, t, &item->out.type, err)) &&
              tensor_size(&item->out, err);
    job->tensors[job->count++] = item->out;
    return ok;
}

static bool add_rope_factors(Job *job, Error *err) {
    static char name[] = "rope_freqs.weight";
    const ModelDesc *desc = &job->model->desc;
    int64_t half = desc_rope_dims(desc) / 2;
    if (job->from_gguf || desc->positions != POSITIONS_ROTARY || !gguf_has_rope_factors(desc, job->arch)) return true;
    job->rope_factors = mem_alloc((size_t)half, sizeof *job->rope_factors, err);
    if (!job->rope_factors) return false;
    gguf_rope_factors(desc, job->rope_factors);
    ExportItem *item = &job->items[job->count];
    *item =
        (ExportItem){.out = {.name = name, .type = DT_F32, .dims = 1, .shape = {half}}, .values = job->rope_factors};
    bool ok = tensor_size(&item->out, err);
    job->tensors[job->count++] = item->out;
    return ok;
}

static bool add_group(Job *job, const Tensor *t, Error *err) {
    if (job->from_gguf || !job->pairs || !is_latent_matrix(t)) return add_item(job, t, err);
    LatentPair *pair = &job->pairs[job->pair_count++];
    if (!latent_pair_make(pair, t, &job->model->desc, &job->options->kernels, err))
        return error_prefix(err, "%s", job->model->path);
    return add_item(job, &pair->keys, err) && add_item(job, &pair->values, err);
}

static bool add_items(Job *job, Error *err) {
    int64_t layers = job->model->desc.latent.kv_rank ? job->model->desc.layers : 0;
    if (layers && !(job->pairs = mem_alloc((size_t)layers, sizeof *job->pairs, err))) return false;
    if (!regroup(job->model, job->arch->names, NULL, true, &job->options->kernels, &job->groups, err))
        return error_prefix(err, "%s", job->model->path);
    size_t most = 2 * job->groups.count + 1; // keys and values apart
    job->items = mem_alloc(most, sizeof *job->items, err);
    job->tensors = job->items ? mem_alloc(most, sizeof *job->tensors, err) : NULL;
    if (!job->tensors || !add_rope_factors(job, err)) return false;
    for (size_t i = 0; i < job->groups.count; i++)
        if (!add_group(job, &job->groups.items[i], err)) return false;
    return true;
}

// ---- metadata

static uint32_t file_type(const Job *job) {
    int64_t elements[DT_COUNT] = {0}, most = -1;
    uint32_t found = 0;
    for (size_t i = 0; i < job->count; i++) elements[job->tensors[i].type] += tensor_elements(&job->tensors[i]);
    for (size_t i = 0; i < sizeof file_types / sizeof *file_types; i++)
        if (elements[file_types[i].type] > most) {
            most = elements[file_types[i].type];
            found = file_types[i].file_type;
        }
    return found;
}

// The model's file or directory, without an ending.
static void add_name(Job *job) {
    const char *path = job->model->path;
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/') end--;
    size_t start = end;
    while (start && path[start - 1] != '/') start--;
    static const char *const endings[] = {".nib", ".gguf"};
    for (size_t i = 0; i < 2; i++) {
        size_t n = strlen(endings[i]);
        if (end - start > n && memcmp(path + end - n, endings[i], n) == 0) end -= n;
    }
    gguf_meta_text(&job->meta, "general.name", path + start, end - start);
}

static void add_file_keys(Job *job) {
    gguf_meta_u32(&job->meta, "general.file_type", file_type(job));
    gguf_meta_u32(&job->meta, "general.quantization_version", QUANTIZATION_VERSION);
    gguf_meta_u32(&job->meta, "general.alignment", GGUF_WRITE_ALIGN);
}

static bool add_meta(Job *job, Error *err) {
    GgufMeta *meta = &job->meta;
    const char *architecture = job->arch->name;
    gguf_meta_text(meta, "general.architecture", architecture, strlen(architecture));
    gguf_meta_text(meta, "general.type", "model", strlen("model"));
    add_name(job);
    add_file_keys(job);
    gguf_add_description(meta, job->desc, job->arch);
    return (gguf_check(meta, job->tensors, job->count, job->arch, job->desc, err) ||
            error_prefix(err, "%s", job->model->path)) &&
           gguf_add_tokenizer(meta, job->model, job->options->pre, err);
}

static bool copy_meta(Job *job, Error *err) {
    if (!gguf_add_copied(&job->meta, job->model, job->options->pre, err)) return false;
    add_file_keys(job);
    return true;
}

// The keys that tell one of several files from the others; sizes do not depend on the values.
static void add_split_keys(const Job *job, GgufMeta *meta, size_t file, size_t files) {
    gguf_meta_u16(meta, "split.no", (uint16_t)file);
    gguf_meta_u16(meta, "split.count", (uint16_t)files);
    gguf_meta_i32(meta, "split.tensors.count", (int32_t)job->count);
}

// ---- files

// Both are the most that it can be: where one starts, bytes up to the next multiple of the alignment are lost.
static uint64_t head_bytes(const GgufMeta *meta) { return gguf_file_bytes(meta, NULL, 0) + GGUF_WRITE_ALIGN; }
static uint64_t tensor_cost(const Tensor *t) {
    static const GgufMeta none;
    return gguf_file_bytes(&none, t, 1) - gguf_file_bytes(&none, NULL, 0) + GGUF_WRITE_ALIGN;
}

static bool plan_files(Job *job, Error *err) {
    GgufMeta keys = {0};
    add_split_keys(job, &keys, 0, 0);
    bool ok = !keys.failed || error_set(err, "out of memory");
    uint64_t head = head_bytes(&keys);
    gguf_meta_free(&keys);
    return ok && export_split(job->tensors, job->count, job->options->split, head + job->meta.size, head, tensor_cost,
                              &job->split, err);
}

static bool sink(void *to, const void *data, size_t size, Error *err) { return gguf_write(to, data, size, err); }

static bool write_tensors(const Job *job, GgufWriter *w, size_t first, size_t last, Error *err) {
    for (size_t i = first; i < last; i++)
        if (!export_tensor(&job->items[i], &job->options->kernels, sink, w, err) || !gguf_tensor_end(w, err))
            return false;
    return true;
}

static bool write_file(Job *job, const char *path, const GgufMeta *meta, size_t first, size_t last, Error *err) {
    GgufWriter *w = gguf_create(path, meta, job->tensors + first, last - first, err);
    if (!w) return false;
    job->written += gguf_file_bytes(meta, job->tensors + first, last - first);
    if (write_tensors(job, w, first, last, err)) return gguf_commit(w, err);
    gguf_abort(w);
    return false;
}

// One of several: all that they share is in the first.
static bool write_part(Job *job, OutDir *dir, const char *name, size_t file, Error *err) {
    const char *path = out_dir_file(dir, name, err);
    GgufMeta meta = {0};
    if (!path) return false;
    if (file == 0) {
        meta.data = mem_alloc(job->meta.size, 1, err);
        if (!meta.data) return false;
        memcpy(meta.data, job->meta.data, job->meta.size);
        meta.size = meta.capacity = job->meta.size;
        meta.count = job->meta.count;
    }
    add_split_keys(job, &meta, file, job->split.count);
    bool ok = write_file(job, path, &meta, job->split.starts[file], job->split.starts[file + 1], err);
    gguf_meta_free(&meta);
    return ok;
}

static bool write_parts(Job *job, const char *path, Error *err) {
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    size_t stem = strlen(base), size = stem + 32;
    if (has_suffix(base, ".gguf")) stem -= strlen(".gguf");
    char *name = mem_alloc(size, 1, err);
    OutDir *dir = name ? out_dir_open_files(path, err) : NULL;
    bool ok = dir != NULL;
    for (size_t file = 0; ok && file < job->split.count; file++) {
        snprintf(name, size, "%.*s-%05zu-of-%05zu.gguf", (int)stem, base, file + 1, job->split.count);
        ok = write_part(job, dir, name, file, err);
    }
    mem_free(name);
    if (ok) return out_dir_commit(dir, err);
    out_dir_abort(dir);
    return false;
}

static bool write_all(Job *job, const char *path, Error *err) {
    progress_start("exporting", model_tensor_bytes(job->model), PROGRESS_BYTES);
    bool ok =
        job->split.count > 1 ? write_parts(job, path, err) : write_file(job, path, &job->meta, 0, job->count, err);
    progress_end();
    return ok;
}

static bool is_yarn_rounded(const Job *job) {
    const Rope *r = &job->model->desc.rope;
    return (job->arch->keys & GGUF_YARN_ROUNDED) && r->scaling == ROPE_YARN && !r->truncate;
}

// Everything but the files.
static bool prepare(Job *job, Error *err) {
    bool ok = find_architecture(job, err) && make_description(job, err) && add_items(job, err);
    ok = ok && (job->from_gguf ? copy_meta : add_meta)(job, err);
    ok = ok && (!job->meta.failed || error_set(err, "out of memory"));
    return ok && plan_files(job, err);
}

static void job_free(Job *job) {
    gguf_meta_free(&job->meta);
    mem_free(job->split.starts);
    mem_free(job->rope_factors);
    for (size_t i = 0; i < job->pair_count; i++) latent_pair_free(&job->pairs[i]);
    mem_free(job->pairs);
    mem_free(job->desc);
    regroup_free(&job->groups);
    mem_free(job->tensors);
    mem_free(job->items);
}

bool model_export_gguf(const Model *model, const char *path, const ExportOptions *options, ExportResult *result,
                       Error *err) {
    Job job = {.model = model, .options = options};
    bool ok = prepare(&job, err) && write_all(&job, path, err);
    if (ok)
        *result = (ExportResult){.files = job.split.count,
                                 .tensors = job.count,
                                 .bytes = job.written,
                                 .yarn_rounded = is_yarn_rounded(&job)};
    job_free(&job);
    return ok;
}

bool model_gguf_possible(const Model *model, const ExportOptions *options, Error *err) {
    Job job = {.model = model, .options = options};
    bool ok = prepare(&job, err);
    job_free(&job);
    return ok;
}
