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
    float *values;   // PIECE, where something is converted
    uint8_t *result; // PIECE of the new type
} Job;

static bool copy_piece(const Job *job, const Tensor *t, HashStream *check, int64_t first, int64_t n, Error *err) {
    const uint8_t *source = t->data + cast_bytes(t->type, first);
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
    file_release(t->file, source, bytes);
    progress_add(bytes);
    return ok;
}

static bool copy_pieces(const Job *job, const Tensor *t, HashStream *check, Error *err) {
    int64_t elements = tensor_elements(t);
    for (int64_t first = 0; first < elements; first += PIECE) {
        int64_t n = elements - first < PIECE ? elements - first : PIECE;
        if (!copy_piece(job, t, check, first, n, err)) return false;
    }
    return true;
}

static bool copy_tensor(const Job *job, const Tensor *t, Error *err) {
    Tensor like = *t;
    if (job->options->cast) like.type = job->options->dtype;
    HashStream *check = t->has_hash ? hash_stream_new() : NULL;
    if (t->has_hash && !check) return error_set(err, "out of memory");
    bool ok = nib_tensor_begin(job->nib, &like, err) && copy_pieces(job, t, check, err);
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

bool model_write_nib(Model *model, const char *path, const WriteOptions *o, Error *err) {
    Job job = {.model = model, .options = o};
    bool ok = true;
    if (o->cast) {
        job.values = mem_alloc(PIECE, sizeof *job.values, err);
        job.result = job.values ? mem_alloc(cast_bytes(o->dtype, PIECE), 1, err) : NULL;
        ok = job.result != NULL;
    }
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
    mem_free(job.values);
    mem_free(job.result);
    return ok;
}
