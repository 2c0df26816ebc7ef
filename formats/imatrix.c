#include "formats/imatrix_parts.h"

#include "core/mem.h"
#include "formats/gguf.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MATRICES_MAX = 1 << 22 };

static const char experts_end[] = "_exps.weight", weight_end[] = ".weight";

static bool ends_with(const char *text, const char *end) {
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

bool imatrix_name_is_experts(const char *name) { return ends_with(name, experts_end); }

// ---- reading

void imatrix_text_name(const char *path, size_t size, char name[STATS_TEXT_NAME]) {
    size_t from = size, n;
    while (from && path[from - 1] != '/') from--;
    n = size - from < STATS_TEXT_NAME ? size - from : STATS_TEXT_NAME - 1;
    for (size_t i = 0; i < n; i++) name[i] = (unsigned char)path[from + i] < ' ' ? '?' : path[from + i];
    name[n] = 0;
}

// An entry of ours; a matrix that no token passed gives none.
static bool add_matrix(StatsWriter *w, const char *name, int64_t cols, const float *sums, float tokens, Error *err) {
    if (!(tokens >= 0 && tokens <= 0x1p53F) || tokens != floorf(tokens))
        return error_set(err, "claims %g tokens", (double)tokens);
    if (tokens == 0) return true;
    StatsTensor t = {.name = (char *)(uintptr_t)name, .cols = cols, .tokens = (double)tokens};
    stats_no_losses(t.loss);
    t.importance = mem_alloc((size_t)cols, sizeof *t.importance, err);
    if (!t.importance) return false;
    for (int64_t j = 0; j < cols; j++) t.importance[j] = sums[j] / tokens;
    bool ok = stats_add(w, &t, err);
    mem_free(t.importance);
    return ok;
}

static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

bool imatrix_name_add(ImatrixNames *names, const char *name, Error *err) {
    if (!mem_grow(&names->items, names->count, &names->capacity, sizeof *names->items, err)) return false;
    names->items[names->count] = mem_text(name, strlen(name), err);
    return names->items[names->count] && ++names->count;
}

void imatrix_names_sort(ImatrixNames *names) {
    if (names->count) qsort(names->items, names->count, sizeof *names->items, by_text);
}

void imatrix_names_free(ImatrixNames *names) {
    for (size_t i = 0; i < names->count; i++) mem_free(names->items[i]);
    mem_free(names->items);
    *names = (ImatrixNames){0};
}

static bool is_named(const ImatrixNames *names, const char *name) {
    return names->count && bsearch(&name, names->items, names->count, sizeof *names->items, by_text);
}

bool imatrix_add(StatsWriter *w, const ImatrixNames *names, const char *name, int64_t matrices, int64_t cols,
                 const float *sums, const float *counts, Error *err) {
    static const char qkv[] = ".attn_qkv.weight", *const parts[] = {".attn_q.weight", ".attn_k.weight",
                                                                    ".attn_v.weight"};
    char own[IMATRIX_NAME + 32];
    bool experts = imatrix_name_is_experts(name), ok = true;
    if (strlen(name) >= IMATRIX_NAME)
        return error_set(err, "a tensor's name is longer than %d bytes", IMATRIX_NAME - 1);
    if (ends_with(name, qkv)) {
        for (int i = 0; ok && i < 3; i++) {
            snprintf(own, sizeof own, "%.*s%s", (int)(strlen(name) - strlen(qkv)), name, parts[i]);
            ok = is_named(names, own) || add_matrix(w, own, cols, sums, counts[0], err);
        }
        return ok || error_prefix(err, "tensor %s", name);
    }
    for (int64_t e = 0; ok && e < matrices; e++) {
        if (experts)
            snprintf(own, sizeof own, "%.*s.%lld.weight", (int)(strlen(name) - strlen(experts_end)), name,
                     (long long)e);
        else
            snprintf(own, sizeof own, "%s", name);
        ok = add_matrix(w, own, cols, sums + e * cols, counts[e], err);
    }
    return ok || error_prefix(err, "tensor %s", name);
}

bool imatrix_is(const char *path) {
    Error err = {0};
    Gguf gguf;
    GgufText type = {0};
    if (!gguf_is(path)) return ends_with(path, ".dat");
    FileMap *map = file_map(path, &err);
    if (!map || !gguf_read(map->data, map->size, map, &gguf, &err)) return false;
    bool is = gguf_text(&gguf, "general.type", &type, &err) && type.data && gguf_text_is(type, "imatrix");
    gguf_free(&gguf);
    return is;
}

Stats *imatrix_read(const char *path, int64_t experts, Error *err) {
    StatsInfo info = {.kind = STATS_IMPORTANCE, .experts = experts};
    StatsWriter *w = NULL;
    FileMap *map = file_map(path, err);
    if (!map) return NULL;
    bool ok = gguf_is(path) ? imatrix_read_gguf(map, &info, &w, err) : imatrix_read_dat(map, experts, &info, &w, err);
    file_unmap(map);
    Stats *stats = ok ? stats_commit(w, err) : NULL;
    if (!ok) stats_abort(w);
    if (!stats) error_prefix(err, "%s", path);
    return stats;
}

// ---- writing

static ImatrixEntry *list_add(ImatrixList *list, const char *name, int64_t matrices, int64_t cols, Error *err) {
    // Far above any there are: an upper bound for what a file that lies can make us take.
    list->matrices += matrices;
    if (list->matrices > MATRICES_MAX) {
        error_set(err, "statistics of tensor %s: with the others', of more than %d matrices", name, MATRICES_MAX);
        return NULL;
    }
    if (!mem_grow(&list->items, list->count, &list->capacity, sizeof *list->items, err)) return NULL;
    ImatrixEntry e = {.matrices = matrices, .cols = cols};
    snprintf(e.name, sizeof e.name, "%s", name);
    e.mean = mem_alloc((size_t)matrices, sizeof *e.mean, err);
    e.tokens = e.mean ? mem_alloc((size_t)matrices, sizeof *e.tokens, err) : NULL;
    if (!e.tokens) {
        mem_free(e.mean);
        return NULL;
    }
    list->items[list->count] = e;
    return &list->items[list->count++];
}

void imatrix_list_free(ImatrixList *list) {
    for (size_t i = 0; i < list->count; i++) {
        mem_free(list->items[i].mean);
        mem_free(list->items[i].tokens);
    }
    mem_free(list->items);
    *list = (ImatrixList){0};
}

// "blk.0.ffn_up.3.weight" is the matrix 3 of "blk.0.ffn_up_exps.weight"; -1: it is no expert's.
static int64_t expert_of(const char *name, char stack[IMATRIX_NAME]) {
    size_t n = strlen(name) - (ends_with(name, weight_end) ? strlen(weight_end) : strlen(name)), digits = 0;
    while (digits < n && digits < 9 && name[n - 1 - digits] >= '0' && name[n - 1 - digits] <= '9') digits++;
    if (!digits || digits == n || name[n - 1 - digits] != '.') return -1;
    snprintf(stack, IMATRIX_NAME, "%.*s%s", (int)(n - 1 - digits), name, experts_end);
    return strtoll(name + n - digits, NULL, 10);
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const ImatrixEntry *)a)->name, ((const ImatrixEntry *)b)->name);
}

static int by_tensor(const void *a, const void *b) {
    return strcmp((*(const StatsTensor *const *)a)->name, (*(const StatsTensor *const *)b)->name);
}

static bool list_tensor(ImatrixList *list, const StatsTensor *t, int64_t experts, Error *err) {
    char stack[IMATRIX_NAME];
    int64_t index = expert_of(t->name, stack);
    bool one = index < 0 || strncmp(t->name, "blk.", 4) != 0 || !strstr(stack, ".ffn_");
    const char *name = one ? t->name : stack;
    if (!one && index >= experts)
        return error_set(err, "statistics of tensor %s: there are only %lld experts", t->name, (long long)experts);
    // Names come sorted, so a stack's experts one after another.
    ImatrixEntry *e = one || !list->count ? NULL : &list->items[list->count - 1];
    if (e && strcmp(e->name, name) != 0) e = NULL;
    if (!e && !(e = list_add(list, name, one ? 1 : experts, t->cols, err))) return false;
    if (e->cols != t->cols)
        return error_set(err, "statistics of tensor %s: its width is not that of the other experts", t->name);
    e->mean[one ? 0 : index] = t->importance;
    e->tokens[one ? 0 : index] = t->tokens;
    return true;
}

// attn_qkv, where q, k and v have seen the same.
static bool list_qkv(ImatrixList *list, const Stats *stats, const StatsTensor *q, Error *err) {
    static const char end[] = ".attn_q.weight", *const others[] = {".attn_k.weight", ".attn_v.weight"};
    char name[IMATRIX_NAME + 32];
    if (!ends_with(q->name, end)) return true;
    int n = (int)(strlen(q->name) - strlen(end));
    for (int i = 0; i < 2; i++) {
        snprintf(name, sizeof name, "%.*s%s", n, q->name, others[i]);
        const StatsTensor *t = stats_find(stats, name);
        if (!t || t->cols != q->cols || memcmp(t->importance, q->importance, (size_t)q->cols * sizeof(float)) != 0)
            return true;
    }
    snprintf(name, sizeof name, "%.*s.attn_qkv.weight", n, q->name);
    ImatrixEntry *e = list_add(list, name, 1, q->cols, err);
    if (!e) return false;
    e->mean[0] = q->importance;
    e->tokens[0] = q->tokens;
    return true;
}

bool imatrix_list(const Stats *stats, ImatrixList *list, Error *err) {
    size_t count = stats_count(stats);
    *list = (ImatrixList){0};
    const StatsTensor **sorted = mem_alloc(count, sizeof *sorted, err);
    if (!sorted) return false;
    for (size_t i = 0; i < count; i++) sorted[i] = stats_at(stats, i);
    if (count) qsort(sorted, count, sizeof *sorted, by_tensor);
    bool ok = true;
    for (size_t i = 0; ok && i < count; i++)
        ok = list_tensor(list, sorted[i], stats_info(stats)->experts, err) && list_qkv(list, stats, sorted[i], err);
    mem_free(sorted);
    if (ok && list->count) qsort(list->items, list->count, sizeof *list->items, by_name);
    if (!ok) imatrix_list_free(list);
    return ok;
}

bool imatrix_write(const char *path, const Stats *stats, Error *err) {
    ImatrixList list;
    if (!imatrix_list(stats, &list, err)) return false;
    bool dat = ends_with(path, ".dat");
    bool ok = list.count || error_set(err, "%s: has no statistics to write", stats_path(stats));
    ok = ok && (dat ? imatrix_write_dat : imatrix_write_gguf)(path, stats_info(stats), &list, err);
    imatrix_list_free(&list);
    return ok;
}
