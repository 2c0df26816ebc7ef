#include "eval/activations.h"

#include "core/mem.h"
#include "core/size.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct Activations {
    int64_t width;
    size_t row, layer; // bytes
    int64_t held;      // layers in memory, the first
    float **arrays;    // [held]
    int file;          // of the others; -1: none
};

static const char *directory(void) {
    const char *place = getenv("TMPDIR");
    return place && *place ? place : "/tmp";
}

// Not every file system has files without names; elsewhere the name goes as soon as the file is open.
static int scratch_open(void) {
    int file = open(directory(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (file >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)) return file;
    char path[4096];
    if (snprintf(path, sizeof path, "%s/nibble-XXXXXX", directory()) >= (int)sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    file = mkostemp(path, O_CLOEXEC);
    if (file >= 0) unlink(path);
    return file;
}

static bool scratch_error(Error *err, size_t bytes) {
    char size[32];
    return error_set(err,
                     "%s: %s (for %s of the layers' inputs); free some space there, set TMPDIR to another place, or "
                     "calibrate on less text",
                     directory(), strerror(errno), size_text(bytes, size));
}

Activations *activations_new(int64_t layers, int64_t tokens, int64_t width, size_t memory, Error *err) {
    Activations *a = mem_alloc(1, sizeof *a, err);
    if (!a) return NULL;
    a->file = -1;
    a->width = width;
    size_t all;
    bool ok = size_mul((size_t)width, sizeof(float), &a->row) && size_mul(a->row, (size_t)tokens, &a->layer) &&
              size_mul(a->layer, (size_t)layers, &all) && all <= INT64_MAX;
    if (!ok) error_set(err, "the layers' inputs for %lld tokens would not fit anywhere", (long long)tokens);
    int64_t fit = ok && a->layer ? (int64_t)(memory / a->layer) : 0;
    int64_t held = fit < layers ? fit : layers;
    ok = ok && (a->arrays = mem_alloc((size_t)held + 1, sizeof *a->arrays, err));
    for (; ok && a->held < held; a->held++)
        if (!(a->arrays[a->held] = mem_alloc((size_t)tokens, a->row, err))) ok = false;
    if (ok && held < layers && (a->file = scratch_open()) < 0)
        ok = scratch_error(err, (size_t)(layers - held) * a->layer);
    if (ok) return a;
    activations_free(a);
    return NULL;
}

void activations_free(Activations *a) {
    if (!a) return;
    for (int64_t i = 0; i < a->held; i++) mem_free(a->arrays[i]);
    mem_free(a->arrays);
    if (a->file >= 0) close(a->file);
    mem_free(a);
}

static off_t offset_of(const Activations *a, int64_t layer, int64_t first) {
    return (off_t)((size_t)(layer - a->held) * a->layer + (size_t)first * a->row);
}

bool activations_write(Activations *a, int64_t layer, int64_t first, int64_t n, const float *x, Error *err) {
    size_t bytes = (size_t)n * a->row;
    if (layer < a->held) {
        memcpy(a->arrays[layer] + first * a->width, x, bytes);
        return true;
    }
    off_t at = offset_of(a, layer, first);
    for (size_t done = 0; done < bytes;) {
        ssize_t n_written = pwrite(a->file, (const char *)x + done, bytes - done, at + (off_t)done);
        if (n_written < 0 && errno == EINTR) continue;
        if (n_written <= 0) return scratch_error(err, bytes);
        done += (size_t)n_written;
    }
    return true;
}

const float *activations_read(Activations *a, int64_t layer, int64_t first, int64_t n, float *buffer, Error *err) {
    size_t bytes = (size_t)n * a->row;
    if (layer < a->held) return a->arrays[layer] + first * a->width;
    off_t at = offset_of(a, layer, first);
    for (size_t done = 0; done < bytes;) {
        ssize_t n_read = pread(a->file, (char *)buffer + done, bytes - done, at + (off_t)done);
        if (n_read < 0 && errno == EINTR) continue;
        if (n_read <= 0) {
            if (n_read == 0) errno = EIO;
            scratch_error(err, bytes);
            return NULL;
        }
        done += (size_t)n_read;
    }
    return buffer;
}
