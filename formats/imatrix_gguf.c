// The form in GGUF.
#include "formats/imatrix_parts.h"

#include "core/mem.h"
#include "formats/gguf.h"
#include "formats/gguf_write.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char sums_end[] = ".in_sum2", counts_end[] = ".counts";

// ---- reading

static bool read_info(const Gguf *g, StatsInfo *info, Error *err) {
    GgufText type = {0};
    int64_t chunks = 0, size = 0;
    if (!gguf_text(g, "general.type", &type, err)) return false;
    if (type.data && !gguf_text_is(type, "imatrix")) return error_set(err, "is a GGUF file, but no importance matrix");
    if (!gguf_int(g, "imatrix.chunk_count", 0, INT32_MAX, &chunks, err) ||
        !gguf_int(g, "imatrix.chunk_size", 0, INT32_MAX, &size, err))
        return false;
    const GgufValue *names = gguf_array(g, "imatrix.datasets", GGUF_TEXT, err);
    if (!names && gguf_find(g, "imatrix.datasets")) return false;
    if (names && names->count) {
        const uint8_t *at = names->data;
        GgufText text = gguf_text_next(&at);
        imatrix_text_name(text.data, text.size, info->text_name);
    }
    info->windows = chunks;
    info->ctx = size;
    info->tokens = chunks * size;
    return true;
}

static int by_source(const void *a, const void *b) {
    return strcmp((*(const Tensor *const *)a)->source, (*(const Tensor *const *)b)->source);
}

static const Tensor *find(const Tensor **sorted, size_t count, const char *name) {
    Tensor key = {.source = (char *)(uintptr_t)name};
    const Tensor *of = &key, **found = bsearch(&of, sorted, count, sizeof *sorted, by_source);
    return found ? *found : NULL;
}

// The name before an ending; false where it has another.
static bool name_before(const char *full, const char *end, char name[IMATRIX_NAME]) {
    size_t n = strlen(full), m = strlen(end);
    if (n <= m || n - m >= IMATRIX_NAME || strcmp(full + n - m, end) != 0) return false;
    memcpy(name, full, n - m);
    name[n - m] = 0;
    return true;
}

static bool check_pair(const char *name, const Tensor *sums, const Tensor *counts, Error *err) {
    if (!sums || !counts)
        return error_set(err, "tensor %s: has no %s beside its %s", name, sums ? "counts" : "in_sum2",
                         sums ? "in_sum2" : "counts");
    if (sums->type != DT_F32 || counts->type != DT_F32)
        return error_set(err, "tensor %s: sums and counts are not both f32", name);
    int64_t matrices = tensor_elements(counts), n = tensor_elements(sums);
    if (matrices < 1 || n < 1 || n % matrices)
        return error_set(err, "tensor %s: %lld sums do not go with %lld counts", name, (long long)n,
                         (long long)matrices);
    return (imatrix_name_is_experts(name) || matrices == 1) ||
           error_set(err, "tensor %s: has %lld counts, but is not experts'", name, (long long)matrices);
}

// Sums, with the counts that belong to them.
static bool read_sums(const char *name, const Tensor *sums, const Tensor *counts, const ImatrixNames *names,
                      StatsWriter *w, Error *err) {
    if (!check_pair(name, sums, counts, err)) return false;
    int64_t matrices = tensor_elements(counts), n = tensor_elements(sums);
    // GGUF's alignment may be 1: floats are copied to where they lie well.
    float *values = mem_alloc(sums->bytes + counts->bytes, 1, err);
    if (!values) return false;
    memcpy(values, sums->data, sums->bytes);
    memcpy(values + n, counts->data, counts->bytes);
    bool ok = imatrix_add(w, names, name, matrices, n / matrices, values, values + n, err);
    mem_free(values);
    return ok;
}

static bool read_tensors(const Tensor **sorted, size_t count, StatsInfo *info, ImatrixNames *names, StatsWriter **w,
                         Error *err) {
    char name[IMATRIX_NAME], other[IMATRIX_NAME + 16];
    for (size_t i = 0; i < count; i++) {
        if (!name_before(sorted[i]->source, counts_end, name)) continue;
        if (!imatrix_name_add(names, name, err)) return false;
        if (imatrix_name_is_experts(name) && tensor_elements(sorted[i]) > info->experts)
            info->experts = tensor_elements(sorted[i]);
    }
    imatrix_names_sort(names);
    if (!(*w = stats_create(NULL, info, err))) return false;
    for (size_t i = 0; i < count; i++) {
        const Tensor *t = sorted[i];
        bool sums = name_before(t->source, sums_end, name), counts = !sums && name_before(t->source, counts_end, name);
        if (!sums && !counts) return error_set(err, "tensor %s: is neither sums (.in_sum2) nor counts", t->source);
        snprintf(other, sizeof other, "%s%s", name, sums ? counts_end : sums_end);
        const Tensor *with = find(sorted, count, other);
        if (sums ? !read_sums(name, t, with, names, *w, err) : !check_pair(name, with, t, err)) return false;
    }
    return true;
}

static bool read_sorted(const Gguf *g, StatsInfo *info, StatsWriter **w, Error *err) {
    if (!g->tensor_count) return error_set(err, "has no tensors");
    const Tensor **sorted = mem_alloc(g->tensor_count, sizeof *sorted, err);
    if (!sorted) return false;
    for (size_t i = 0; i < g->tensor_count; i++) sorted[i] = &g->tensors[i];
    qsort(sorted, g->tensor_count, sizeof *sorted, by_source);
    ImatrixNames names = {0};
    bool ok = read_tensors(sorted, g->tensor_count, info, &names, w, err);
    imatrix_names_free(&names);
    mem_free(sorted);
    return ok;
}

bool imatrix_read_gguf(const FileMap *map, StatsInfo *info, StatsWriter **w, Error *err) {
    Gguf g;
    if (!gguf_read(map->data, map->size, NULL, &g, err)) return false;
    bool ok = read_info(&g, info, err) && read_sorted(&g, info, w, err);
    gguf_free(&g);
    return ok;
}

// ---- writing

static bool describe(Tensor *t, const char *name, const char *end, int64_t rows, int64_t cols, Error *err) {
    char full[IMATRIX_NAME + 16];
    int n = snprintf(full, sizeof full, "%s%s", name, end);
    *t = (Tensor){.type = DT_F32, .dims = 2, .shape = {rows, cols}};
    return (t->name = mem_text(full, (size_t)n, err)) && tensor_size(t, err);
}

static bool write_entry(GgufWriter *w, const ImatrixEntry *e, Error *err) {
    float *row = mem_alloc((size_t)(e->cols > e->matrices ? e->cols : e->matrices), sizeof *row, err);
    bool ok = row != NULL;
    for (int64_t m = 0; ok && m < e->matrices; m++) {
        for (int64_t j = 0; j < e->cols; j++) row[j] = e->mean[m] ? (float)((double)e->mean[m][j] * e->tokens[m]) : 0;
        ok = gguf_write(w, row, (size_t)e->cols * sizeof *row, err);
    }
    ok = ok && gguf_tensor_end(w, err);
    for (int64_t m = 0; ok && m < e->matrices; m++) row[m] = (float)e->tokens[m];
    ok = ok && gguf_write(w, row, (size_t)e->matrices * sizeof *row, err) && gguf_tensor_end(w, err);
    mem_free(row);
    return ok;
}

static bool write_all(const char *path, const GgufMeta *meta, const ImatrixList *list, Tensor *tensors, Error *err) {
    for (size_t i = 0; i < list->count; i++) {
        const ImatrixEntry *e = &list->items[i];
        if (!describe(&tensors[2 * i], e->name, sums_end, e->matrices, e->cols, err) ||
            !describe(&tensors[2 * i + 1], e->name, counts_end, e->matrices, 1, err))
            return false;
    }
    GgufWriter *w = gguf_create(path, meta, tensors, 2 * list->count, err);
    bool ok = w != NULL;
    for (size_t i = 0; ok && i < list->count; i++) ok = write_entry(w, &list->items[i], err);
    if (ok) return gguf_commit(w, err);
    gguf_abort(w);
    return false;
}

bool imatrix_write_gguf(const char *path, const StatsInfo *info, const ImatrixList *list, Error *err) {
    GgufMeta meta = {0};
    const char *text = info->text_name[0] ? info->text_name : "unknown";
    gguf_meta_text(&meta, "general.type", "imatrix", strlen("imatrix"));
    gguf_meta_texts(&meta, "imatrix.datasets", 1);
    gguf_meta_item(&meta, text, strlen(text));
    gguf_meta_u32(&meta, "imatrix.chunk_count", (uint32_t)info->windows);
    gguf_meta_u32(&meta, "imatrix.chunk_size", (uint32_t)info->ctx);
    Tensor *tensors = mem_alloc(2 * list->count, sizeof *tensors, err);
    bool ok = tensors && write_all(path, &meta, list, tensors, err);
    for (size_t i = 0; tensors && i < 2 * list->count; i++) mem_free(tensors[i].name);
    mem_free(tensors);
    gguf_meta_free(&meta);
    return ok;
}
