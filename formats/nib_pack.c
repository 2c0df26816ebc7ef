#include "formats/nib_pack.h"

#include "core/mem.h"
#include <pthread.h>

struct NibPack {
    const Model *model;
    NibPacked *files; // [model->file_count]
    pthread_t thread;
    bool running, ok;
    Error err; // what the thread failed on
};

static bool pack_file(const ModelFile *f, NibPacked *packed, Error *err) {
    if (!f->packed) return container_compress(f->data, f->size, packed, err);
    *packed = (NibPacked){f->packed, f->packed_bytes, hash_bytes(f->packed, f->packed_bytes), NULL};
    return true;
}

static void *pack_all(void *context) {
    NibPack *p = context;
    p->ok = true;
    for (size_t i = 0; p->ok && i < p->model->file_count; i++)
        p->ok = pack_file(&p->model->files[i], &p->files[i], &p->err);
    return NULL;
}

NibPack *nib_pack_start(const Model *model, Error *err) {
    NibPack *p = mem_alloc(1, sizeof *p, err);
    if (!p) return NULL;
    p->model = model;
    p->files = mem_alloc(model->file_count, sizeof *p->files, err);
    if (!p->files) {
        mem_free(p);
        return NULL;
    }
    p->running = pthread_create(&p->thread, NULL, pack_all, p) == 0;
    if (!p->running) pack_all(p); // no thread to be had: now, then
    return p;
}

static void pack_join(NibPack *p) {
    if (p->running) pthread_join(p->thread, NULL);
    p->running = false;
}

const NibPacked *nib_pack_wait(NibPack *p, Error *err) {
    pack_join(p);
    if (p->ok) return p->files;
    error_set(err, "%s", p->err.text);
    return NULL;
}

void nib_pack_free(NibPack *p) {
    if (!p) return;
    pack_join(p);
    for (size_t i = 0; i < p->model->file_count; i++) mem_free(p->files[i].owned);
    mem_free(p->files);
    mem_free(p);
}
