// One piece after the other: read in and hashed for the source's sake, converted, written, its pages given back.
// Copying is as fast as the disk with one thread; what could be overlapped, writing to the disk, the system does
// meanwhile.
#include "convert/write.h"

#include "convert/sources.h"
#include "core/log.h"
#include "core/mem.h"
#include "formats/nib.h"
#include <stdio.h>

enum { PIECE = 1 << 20 }; // elements: a multiple of every block

typedef struct Job {
    const Model *model;
    const WriteOptions *options;
    NibWriter *nib;
    SourceHash *sources;
    size_t piece;    // elements that the arrays below hold: PIECE, or the longest row that must be whole
    uint8_t *rows;   // a piece, where rows are put together
    float *values;   // where something is converted
    uint8_t *result; // of the new type
} Job;

// n elements from `first` on, which lie at source.
static bool copy_piece(const Job *job, const Tensor *t, HashStream *check, const uint8_t *source, int64_t first,
                       int64_t n, Error *err) {
    size_t bytes = cast_bytes(t->type, n);
    sources_reach(job->sources, t->file, source + bytes);
    if (check) hash_stream_add(check, source, bytes);
    bool ok = true;
    if (job->options->cast)
        ok = cast_values(&job->options->kernels, t, source, first, n, job->options->dtype, job->values, job->result,
                         err) &&
             nib_tensor_write(job->nib, job->result, cast_bytes(job->options->dtype, n), err);
    else
        ok = nib_tensor_write(job->nib, source, bytes, err);
    progress_add(bytes);
    return ok;
}

static bool copy_pieces(const Job *job, const Tensor *t, HashStream *check, Error *err) {
    int64_t elements = tensor_elements(t);
    for (int64_t first = 0; first < elements; first += PIECE) {
        int64_t n = elements - first < PIECE ? elements - first : PIECE;
        const uint8_t *source = t->data + cast_bytes(t->type, first);
        bool ok = copy_piece(job, t, check, source, first, n, err);
        file_release(t->file, source, cast_bytes(t->type, n));
        if (!ok) return false;
    }
    return true;
}

// How many rows are put together at a time: about a piece.
static int64_t rows_at_once(const Tensor *t) {
    int64_t cols = tensor_cols(t), rows = tensor_rows(t), some = cols && cols < PIECE ? PIECE / cols : 1;
    return some < rows ? some : rows;
}

static bool copy_rows(const Job *job, const Tensor *t, HashStream *check, Error *err) {
    int64_t rows = tensor_rows(t), cols = tensor_cols(t), step = rows_at_once(t);
    for (int64_t first = 0; first < rows; first += step) {
        int64_t n = rows - first < step ? rows - first : step;
        const uint8_t *source = tensor_read(t, first, n, job->rows);
        bool ok = copy_piece(job, t, check, source, first * cols, n * cols, err);
        tensor_release(t, first, n);
        if (!ok) return false;
    }
    return true;
}

static bool copy_tensor(const Job *job, const Tensor *t, Error *err) {
    Tensor like = *t;
    if (job->options->cast) like.type = job->options->dtype;
    HashStream *check = t->has_hash ? hash_stream_new() : NULL;
    if (t->has_hash && !check) return error_set(err, "out of memory");
    bool ok = nib_tensor_begin(job->nib, &like, err) && (t->layout ? copy_rows : copy_pieces)(job, t, check, err);
    if (check) {
        Hash found = hash_stream_end(check);
        ok = ok && tensor_verify_hash(t, found, err);
    }
    return ok && nib_tensor_end(job->nib, err);
}

static bool copy_tensors(const Job *job, Error *err) {
    bool ok = true;
    progress_start("converting", model_tensor_bytes(job->model), PROGRESS_BYTES);
    for (size_t i = 0; ok && i < job->model->tensor_count; i++) ok = copy_tensor(job, &job->model->tensors[i], err);
    progress_end();
    return ok;
}

static bool add_step(Model *model, const WriteOptions *o, Error *err) {
    if (o->step) return recipe_add(model, cJSON_Duplicate(o->step, true), err);
    cJSON *step = cJSON_CreateObject();
    if (step &&
        !(cJSON_AddStringToObject(step, "step", "convert") && cJSON_AddStringToObject(step, "program", o->program) &&
          cJSON_AddStringToObject(step, "dtype", o->cast ? dtype_name(o->dtype) : "source"))) {
        cJSON_Delete(step);
        step = NULL;
    }
    return recipe_add(model, step, err);
}

static uint64_t expected_bytes(const Model *model, const WriteOptions *o) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < model->tensor_count; i++) {
        const Tensor *t = &model->tensors[i];
        bytes += o->cast ? cast_bytes(o->dtype, tensor_elements(t)) : t->bytes;
    }
    return bytes;
}

static bool job_memory(Job *job, Error *err) {
    size_t rows = 0; // bytes
    job->piece = PIECE;
    for (size_t i = 0; i < job->model->tensor_count; i++) {
        const Tensor *t = &job->model->tensors[i];
        if (!t->layout) continue;
        int64_t n = rows_at_once(t);
        size_t bytes = (size_t)n * tensor_row_bytes(t), elements = (size_t)(n * tensor_cols(t));
        if (bytes > rows) rows = bytes;
        if (elements > job->piece) job->piece = elements;
    }
    if (rows && !(job->rows = mem_alloc(rows, 1, err))) return false;
    if (!job->options->cast) return true;
    job->values = mem_alloc(job->piece, sizeof *job->values, err);
    job->result = job->values ? mem_alloc(cast_bytes(job->options->dtype, (int64_t)job->piece), 1, err) : NULL;
    return job->result != NULL;
}

bool model_write_nib(Model *model, const char *path, const WriteOptions *o, Error *err) {
    Job job = {.model = model, .options = o};
    bool ok = job_memory(&job, err);
    ok = ok && (job.sources = sources_begin(model, err)) &&
         (job.nib = nib_create(path, model, expected_bytes(model, o), err)) && copy_tensors(&job, err);
    if (ok) {
        ok = sources_end(job.sources, model, err) && add_step(model, o, err);
        job.sources = NULL;
    }
    if (ok) {
        ok = nib_commit(job.nib, err);
        job.nib = NULL;
    }
    nib_abort(job.nib);
    sources_abort(job.sources);
    mem_free(job.rows);
    mem_free(job.values);
    mem_free(job.result);
    return ok;
}
