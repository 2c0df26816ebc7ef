// The older form.
#include "formats/imatrix_parts.h"

#include "core/mem.h"
#include "core/size.h"
#include <stdio.h>
#include <string.h>

enum { CHUNK = 512 }; // tokens in a chunk where nothing says how many: what the tool takes by itself

// ---- reading

typedef struct Cursor {
    const uint8_t *at, *end;
} Cursor;

static bool take_i32(Cursor *c, int32_t *value, Error *err) {
    if (c->end - c->at < 4) return error_set(err, "ends inside an entry: is it cut short, or no importance matrix?");
    uint32_t u = (uint32_t)c->at[0] | (uint32_t)c->at[1] << 8 | (uint32_t)c->at[2] << 16 | (uint32_t)c->at[3] << 24;
    *value = (int32_t)u;
    c->at += 4;
    return true;
}

static const uint8_t *take(Cursor *c, int64_t bytes, Error *err) {
    const uint8_t *at = c->at;
    if (bytes < 0 || bytes > c->end - c->at) {
        error_set(err, "claims %lld bytes where %lld are left: is it cut short, or no importance matrix?",
                  (long long)bytes, (long long)(c->end - c->at));
        return NULL;
    }
    c->at += bytes;
    return at;
}

// What is at the end, where it is there.
static bool read_end(Cursor c, StatsInfo *info, Error *err) {
    int32_t chunks = 0, length;
    if (c.at == c.end) return true;
    if (!take_i32(&c, &chunks, err)) return false;
    if (chunks < 0) return error_set(err, "claims %d chunks", chunks);
    info->windows = chunks;
    info->ctx = CHUNK;
    info->tokens = (int64_t)chunks * CHUNK;
    if (c.at == c.end) return true;
    if (!take_i32(&c, &length, err)) return false;
    const uint8_t *name = take(&c, length, err);
    if (!name) return false;
    if (c.at != c.end) return error_set(err, "goes on for %lld bytes after its end", (long long)(c.end - c.at));
    imatrix_text_name((const char *)name, (size_t)length, info->text_name);
    return true;
}

// The next entry; its values in *values.
static bool read_entry(Cursor *c, char name[IMATRIX_NAME], int32_t *calls, int32_t *count, const uint8_t **values,
                       Error *err) {
    int32_t length;
    if (!take_i32(c, &length, err)) return false;
    if (length < 1 || length >= IMATRIX_NAME)
        return error_set(err, "has a name of %d bytes: is it an importance matrix?", length);
    const uint8_t *text = take(c, length, err);
    if (!text) return false;
    if (memchr(text, 0, (size_t)length)) return error_set(err, "has a name with a NUL in it");
    memcpy(name, text, (size_t)length);
    name[length] = 0;
    if (!take_i32(c, calls, err) || !take_i32(c, count, err)) return error_prefix(err, "tensor %s", name);
    if (*calls < 0 || *count < 1) return error_set(err, "tensor %s: claims %d calls, %d values", name, *calls, *count);
    *values = take(c, (int64_t)*count * 4, err);
    return *values || error_prefix(err, "tensor %s", name);
}

// Values are means times calls. A call is a chunk; 0, as the oldest files have it, counts as 1.
static bool add_entry(StatsWriter *w, const ImatrixNames *names, const char *name, int64_t experts, int32_t calls,
                      int32_t count, const uint8_t *values, Error *err) {
    int64_t matrices = imatrix_name_is_experts(name) ? experts : 1;
    if (matrices < 1)
        return error_set(err, "tensor %s: is of experts, whose number this form does not say; give the model too",
                         name);
    if (count % matrices)
        return error_set(err, "tensor %s: %d values are not those of %lld experts", name, count, (long long)matrices);
    float *sums = mem_alloc((size_t)count, sizeof *sums, err);
    float *counts = sums ? mem_alloc((size_t)matrices, sizeof *counts, err) : NULL;
    bool ok = counts != NULL;
    if (ok) memcpy(sums, values, (size_t)count * sizeof *sums);
    for (int32_t i = 0; ok && i < count; i++) sums[i] *= CHUNK;
    for (int64_t m = 0; ok && m < matrices; m++) counts[m] = (float)(calls ? calls : 1) * CHUNK;
    ok = ok && imatrix_add(w, names, name, matrices, count / matrices, sums, counts, err);
    mem_free(sums);
    mem_free(counts);
    return ok;
}

// All entries once for their names, then for their values.
static bool read_all(Cursor c, int64_t experts, StatsInfo *info, ImatrixNames *names, StatsWriter **w, Error *err) {
    char name[IMATRIX_NAME];
    int32_t entries = 0, calls, count;
    const uint8_t *values;
    if (!take_i32(&c, &entries, err)) return false;
    if (entries < 1) return error_set(err, "claims %d entries: is it an importance matrix?", entries);
    Cursor start = c;
    for (int32_t i = 0; i < entries; i++)
        if (!read_entry(&c, name, &calls, &count, &values, err) || !imatrix_name_add(names, name, err)) return false;
    imatrix_names_sort(names);
    if (!read_end(c, info, err) || !(*w = stats_create(NULL, info, err))) return false;
    c = start;
    for (int32_t i = 0; i < entries; i++)
        if (!read_entry(&c, name, &calls, &count, &values, err) ||
            !add_entry(*w, names, name, experts, calls, count, values, err))
            return false;
    return true;
}

bool imatrix_read_dat(const FileMap *map, int64_t experts, StatsInfo *info, StatsWriter **w, Error *err) {
    ImatrixNames names = {0};
    if (!map->size) return error_set(err, "is empty");
    bool ok = read_all((Cursor){map->data, map->data + map->size}, experts, info, &names, w, err);
    imatrix_names_free(&names);
    return ok;
}

// ---- writing

static bool put_i32(FileOut *out, int64_t value, Error *err) {
    uint8_t bytes[4];
    for (int i = 0; i < 4; i++) bytes[i] = (uint8_t)((uint64_t)value >> 8 * i);
    return file_out_write(out, bytes, sizeof bytes, err);
}

static bool put_text(FileOut *out, const char *text, Error *err) {
    return put_i32(out, (int64_t)strlen(text), err) && file_out_write(out, text, strlen(text), err);
}

// As the tool itself writes it: 1 for what no token chose.
static bool put_entry(FileOut *out, const ImatrixEntry *e, int64_t chunk, Error *err) {
    double most = 0;
    for (int64_t m = 0; m < e->matrices; m++)
        if (e->tokens[m] > most) most = e->tokens[m];
    int64_t calls = ((int64_t)most + chunk - 1) / chunk;
    if (e->matrices * e->cols > INT32_MAX || calls > INT32_MAX)
        return error_set(err, "statistics of tensor %s: are too large for this form; write .gguf", e->name);
    float *row = mem_alloc((size_t)e->cols, sizeof *row, err);
    bool ok =
        row && put_text(out, e->name, err) && put_i32(out, calls, err) && put_i32(out, e->matrices * e->cols, err);
    for (int64_t m = 0; ok && m < e->matrices; m++) {
        for (int64_t j = 0; j < e->cols; j++) row[j] = (e->mean[m] ? e->mean[m][j] : 1) * (float)calls;
        ok = file_out_write(out, row, (size_t)e->cols * sizeof *row, err);
    }
    mem_free(row);
    return ok;
}

bool imatrix_write_dat(const char *path, const StatsInfo *info, const ImatrixList *list, Error *err) {
    int64_t chunk = info->ctx > 0 ? info->ctx : CHUNK;
    FileOut *out = file_out_open(path, 0, err);
    bool ok = out && put_i32(out, (int64_t)list->count, err);
    for (size_t i = 0; ok && i < list->count; i++) ok = put_entry(out, &list->items[i], chunk, err);
    ok = ok && put_i32(out, info->windows, err) && put_text(out, info->text_name[0] ? info->text_name : "unknown", err);
    if (ok) return file_out_commit(out, err);
    file_out_abort(out);
    return false;
}
