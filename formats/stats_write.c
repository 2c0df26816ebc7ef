#include "formats/stats_format.h"

#include "core/mem.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LOOK_BACK = 16 }; // sections among which the same values may lie already

typedef struct Section {
    uint64_t offset, bytes;
    Hash hash;
} Section;

struct StatsWriter {
    FileOut *out;
    char *path; // NULL: without a name
    StatsInfo info;
    Section *sections;
    size_t section_count, section_capacity;
    char **names; // of the entries
    size_t count, capacity;
    cJSON *entries;
};

static bool no_memory(Error *err) { return error_set(err, "out of memory"); }

static void writer_free(StatsWriter *w) {
    for (size_t i = 0; i < w->count; i++) mem_free(w->names[i]);
    mem_free(w->names);
    mem_free(w->sections);
    mem_free(w->path);
    cJSON_Delete(w->entries);
    mem_free(w);
}

void stats_abort(StatsWriter *w) {
    if (!w) return;
    file_out_abort(w->out);
    writer_free(w);
}

StatsWriter *stats_create(const char *path, const StatsInfo *info, Error *err) {
    StatsWriter *w = mem_alloc(1, sizeof *w, err);
    if (!w) return NULL;
    w->info = *info;
    w->entries = cJSON_CreateArray();
    if (!w->entries)
        no_memory(err);
    else if (!path || (w->path = mem_text(path, strlen(path), err)))
        w->out = path ? file_out_open(path, 0, err) : file_out_unnamed(err);
    if (w->out && container_begin(w->out, err)) return w;
    stats_abort(w);
    return NULL;
}

// ---- parts

// The runs of floats that a part lies in: a vector is one, of a matrix row i has what is from its diagonal on.
static const float *part_run(StatsPart part, const float *values, int64_t n, int64_t i, size_t *length) {
    if (!stats_part_is_matrix(part)) {
        *length = (size_t)n;
        return values;
    }
    *length = (size_t)(n - i);
    return values + i * n + i;
}

static bool part_hash(StatsPart part, const float *values, int64_t n, Hash *hash, Error *err) {
    HashStream *s = hash_stream_new();
    if (!s) return no_memory(err);
    int64_t runs = stats_part_is_matrix(part) ? n : 1;
    bool sane = true;
    for (int64_t i = 0; sane && i < runs; i++) {
        size_t length;
        const float *run = part_run(part, values, n, i, &length);
        sane =
            stats_values_sane(run, length, stats_part_is_matrix(part)) && (!stats_part_is_matrix(part) || run[0] >= 0);
        hash_stream_add(s, run, length * sizeof *run);
    }
    *hash = hash_stream_end(s);
    return sane ||
           error_set(err, "its %s has values that are not finite or should not be negative", stats_part_names[part]);
}

static bool part_write(StatsWriter *w, StatsPart part, const float *values, int64_t n, Section *section, Error *err) {
    int64_t runs = stats_part_is_matrix(part) ? n : 1;
    if (!file_out_pad(w->out, CONTAINER_ALIGN, err)) return false;
    section->offset = file_out_size(w->out);
    for (int64_t i = 0; i < runs; i++) {
        size_t length;
        const float *run = part_run(part, values, n, i, &length);
        if (!file_out_write(w->out, run, length * sizeof *run, err)) return false;
    }
    return true;
}

// The number of the section that holds these values: one of the last ones, as with weights that see the same inputs, or
// a new one.
static bool part_section(StatsWriter *w, StatsPart part, const float *values, int64_t n, size_t *number, Error *err) {
    size_t bytes, oldest = w->section_count > LOOK_BACK ? w->section_count - LOOK_BACK : 0;
    Section section = {0};
    if (!stats_part_bytes(part, n, &bytes)) return error_set(err, "its %s is too large", stats_part_names[part]);
    section.bytes = bytes;
    if (!part_hash(part, values, n, &section.hash, err)) return false;
    for (size_t i = w->section_count; i-- > oldest;)
        if (w->sections[i].bytes == bytes && hash_equal(w->sections[i].hash, section.hash)) {
            *number = i;
            return true;
        }
    *number = w->section_count;
    if (!mem_grow(&w->sections, w->section_count, &w->section_capacity, sizeof section, err) ||
        !part_write(w, part, values, n, &section, err))
        return false;
    w->sections[w->section_count++] = section;
    return true;
}

// ---- entries

static bool add_losses(cJSON *entry, const double loss[DT_COUNT]) {
    cJSON *losses = NULL;
    for (int type = 0; type < DT_COUNT; type++) {
        if (isnan(loss[type])) continue;
        if (!losses && !(losses = cJSON_AddObjectToObject(entry, "loss"))) return false;
        if (!cJSON_AddNumberToObject(losses, dtype_name((DType)type), loss[type])) return false;
    }
    return true;
}

static bool check_entry(const StatsTensor *t, Error *err) {
    size_t length = strlen(t->name);
    if (!length || length > STATS_NAME_MAX) return error_set(err, "has a name of %zu bytes", length);
    if (t->rows < 0 || t->cols < 1 || !(t->tokens >= 0 && t->tokens <= 0x1p53))
        return error_set(err, "has %lld rows, %lld columns and %g tokens", (long long)t->rows, (long long)t->cols,
                         t->tokens);
    if (!t->importance) return error_set(err, "has no importance");
    for (int type = 0; type < DT_COUNT; type++)
        if (!isnan(t->loss[type]) && !(t->loss[type] >= 0 && isfinite(t->loss[type])))
            return error_set(err, "has a loss of %g for %s", t->loss[type], dtype_name((DType)type));
    return true;
}

static bool add_entry(StatsWriter *w, const StatsTensor *t, Error *err) {
    if (!check_entry(t, err) || !mem_grow(&w->names, w->count, &w->capacity, sizeof *w->names, err)) return false;
    w->names[w->count] = mem_text(t->name, strlen(t->name), err);
    if (!w->names[w->count]) return false;
    w->count++;
    cJSON *entry = cJSON_CreateObject();
    if (!entry || !cJSON_AddItemToArray(w->entries, entry)) {
        cJSON_Delete(entry);
        return no_memory(err);
    }
    if (!cJSON_AddStringToObject(entry, "name", t->name) || !cJSON_AddNumberToObject(entry, "rows", (double)t->rows) ||
        !cJSON_AddNumberToObject(entry, "cols", (double)t->cols) ||
        !cJSON_AddNumberToObject(entry, "tokens", t->tokens))
        return no_memory(err);
    for (int part = 0; part < STATS_PARTS; part++) {
        const float *values = *stats_part_slot((StatsTensor *)(uintptr_t)t, (StatsPart)part);
        size_t number = 0;
        if (!values) continue;
        if (!part_section(w, (StatsPart)part, values, stats_part_width(t, (StatsPart)part), &number, err)) return false;
        if (!cJSON_AddNumberToObject(entry, stats_part_names[part], (double)number)) return no_memory(err);
    }
    return add_losses(entry, t->loss) || no_memory(err);
}

bool stats_add(StatsWriter *w, const StatsTensor *t, Error *err) {
    return add_entry(w, t, err) || error_prefix(err, "statistics of tensor %s", t->name);
}

// ---- the index

static bool add_sections(const StatsWriter *w, cJSON *index) {
    char hex[HASH_HEX];
    cJSON *list = cJSON_AddArrayToObject(index, "sections");
    for (size_t i = 0; list && i < w->section_count; i++) {
        const Section *s = &w->sections[i];
        cJSON *entry = cJSON_CreateObject();
        if (!entry || !cJSON_AddItemToArray(list, entry)) {
            cJSON_Delete(entry);
            return false;
        }
        if (!cJSON_AddNumberToObject(entry, "offset", (double)s->offset) ||
            !cJSON_AddNumberToObject(entry, "bytes", (double)s->bytes) ||
            !cJSON_AddStringToObject(entry, "xxh3", hash_hex(s->hash, hex)))
            return false;
    }
    return list != NULL;
}

static bool add_info(const StatsInfo *info, cJSON *index) {
    char model[HASH_HEX], text[HASH_HEX], seed[24];
    snprintf(seed, sizeof seed, "%" PRIu64, info->seed);
    return cJSON_AddStringToObject(index, "format", "stats") &&
           cJSON_AddStringToObject(index, "kind", stats_kind_name(info->kind)) &&
           cJSON_AddStringToObject(index, "model", hash_hex(info->model, model)) &&
           cJSON_AddStringToObject(index, "text", hash_hex(info->text, text)) &&
           cJSON_AddStringToObject(index, "text_name", info->text_name) &&
           cJSON_AddNumberToObject(index, "windows", (double)info->windows) &&
           cJSON_AddNumberToObject(index, "ctx", (double)info->ctx) &&
           cJSON_AddNumberToObject(index, "tokens", (double)info->tokens) &&
           cJSON_AddNumberToObject(index, "experts", (double)info->experts) &&
           cJSON_AddStringToObject(index, "seed", seed);
}

static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static bool check_names(StatsWriter *w, Error *err) {
    if (w->count) qsort(w->names, w->count, sizeof *w->names, by_text);
    for (size_t i = 1; i < w->count; i++)
        if (strcmp(w->names[i - 1], w->names[i]) == 0)
            return error_set(err, "statistics of tensor %s: were added twice", w->names[i]);
    return true;
}

static bool finish(StatsWriter *w, Error *err) {
    if (!check_names(w, err)) return false;
    cJSON *index = cJSON_CreateObject();
    char *text = NULL;
    bool ok = index && add_info(&w->info, index) && add_sections(w, index) &&
              cJSON_AddItemToObject(index, "tensors", w->entries);
    if (ok) w->entries = NULL; // the index's now
    ok = ok && (text = cJSON_PrintUnformatted(index));
    ok = ok ? container_end(w->out, &stats_kind, STATS_VERSION, text, err) : no_memory(err);
    cJSON_free(text);
    cJSON_Delete(index);
    return ok;
}

Stats *stats_commit(StatsWriter *w, Error *err) {
    Stats *s = NULL;
    if (!finish(w, err)) {
        stats_abort(w);
        return NULL;
    }
    if (w->path) {
        if (file_out_commit(w->out, err)) s = stats_open(w->path, err);
    } else {
        FileMap *map = file_out_map(w->out, err);
        s = map ? stats_open_map(map, err) : NULL;
    }
    writer_free(w);
    return s;
}
