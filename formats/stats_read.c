#include "formats/stats_format.h"

#include "core/mem.h"
#include "formats/model.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH_MAX = 1 << 30 }; // rows and columns: far above any there are, and triangles of them fit in 63 bits

typedef struct Section {
    const uint8_t *data;
    uint64_t bytes;
    Hash hash;
    bool used;
} Section;

typedef struct Entry {
    StatsTensor tensor; // the vectors point into the file
    const Section *parts[STATS_PARTS];
} Entry;

struct Stats {
    FileMap *map;
    StatsInfo info;
    Section *sections;
    size_t section_count, section_capacity;
    Entry *entries; // in file order
    size_t count, capacity;
    const Entry **by_name;
};

bool stats_is(const char *path) { return container_is(&stats_kind, path); }

void stats_close(Stats *s) {
    if (!s) return;
    for (size_t i = 0; i < s->count; i++) mem_free(s->entries[i].tensor.name);
    mem_free(s->entries);
    mem_free(s->by_name);
    mem_free(s->sections);
    file_unmap(s->map);
    mem_free(s);
}

// ---- the index

static bool read_info(const cJSON *index, StatsInfo *info, Error *err) {
    const char *format = json_text(index, "format"), *kind = json_text(index, "kind");
    const char *model = json_text(index, "model"), *text = json_text(index, "text");
    const char *name = json_text(index, "text_name"), *seed = json_text(index, "seed");
    uint64_t windows, ctx, tokens, experts;
    if (!format || strcmp(format, "stats") != 0) return error_set(err, "\"format\" is not \"stats\"");
    info->kind = STATS_KINDS;
    for (int k = 0; kind && k < STATS_KINDS; k++)
        if (strcmp(kind, stats_kind_name((StatsKind)k)) == 0) info->kind = (StatsKind)k;
    if (info->kind == STATS_KINDS)
        return error_set(err, "its kind \"%.40s\" is not known to this version of nibble", kind ? kind : "");
    if (!model || !hash_parse(model, &info->model) || !text || !hash_parse(text, &info->text))
        return error_set(err, "\"model\" or \"text\" is missing or not 32 hexadecimal digits");
    if (!name || strlen(name) >= STATS_TEXT_NAME) return error_set(err, "\"text_name\" is missing or too long");
    for (const char *c = name; *c; c++)
        if ((unsigned char)*c < ' ') return error_set(err, "\"text_name\" has control characters");
    strcpy(info->text_name, name);
    if (!seed || !*seed || strspn(seed, "0123456789") != strlen(seed) || strlen(seed) > 20)
        return error_set(err, "\"seed\" is missing or no number in decimal digits");
    errno = 0;
    info->seed = strtoull(seed, NULL, 10);
    if (errno) return error_set(err, "\"seed\" is above 2^64");
    if (!container_count(index, "windows", &windows, err) || !container_count(index, "ctx", &ctx, err) ||
        !container_count(index, "tokens", &tokens, err) || !container_count(index, "experts", &experts, err))
        return false;
    if (experts > EXPERTS_MAX) return error_set(err, "\"experts\" is %llu", (unsigned long long)experts);
    info->windows = (int64_t)windows;
    info->ctx = (int64_t)ctx;
    info->tokens = (int64_t)tokens;
    info->experts = (int64_t)experts;
    return true;
}

static bool read_sections(Stats *s, const cJSON *index, ContainerWalk *w, Error *err) {
    const cJSON *list = json_member(index, "sections"), *entry;
    if (!cJSON_IsArray(list)) return error_set(err, "\"sections\" is missing or not a list");
    cJSON_ArrayForEach(entry, list) {
        char number[24];
        uint64_t offset;
        Section section = {0};
        snprintf(number, sizeof number, "%zu", s->section_count);
        if (!container_count(entry, "offset", &offset, err) || !container_count(entry, "bytes", &section.bytes, err) ||
            !container_hash(entry, &section.hash, err))
            return error_prefix(err, "section %s", number);
        if (!container_walk_to(w, "section", number, offset, section.bytes, err)) return false;
        section.data = s->map->data + offset;
        if (!mem_grow(&s->sections, s->section_count, &s->section_capacity, sizeof section, err)) return false;
        s->sections[s->section_count++] = section;
    }
    return true;
}

static bool section_check(const Section *section, const char *part, Error *err) {
    return hash_equal(hash_bytes(section->data, section->bytes), section->hash) ||
           error_set(err, "its %s does not match its XXH3 hash: the file is damaged; capture again", part);
}

static bool read_part(Stats *s, const cJSON *json, Entry *e, StatsPart part, Error *err) {
    const char *name = stats_part_names[part];
    uint64_t number;
    size_t bytes;
    if (!json_member(json, name)) return part != STATS_PART_IMPORTANCE || error_set(err, "it has no \"importance\"");
    if (!container_count(json, name, &number, err)) return false;
    if (number >= s->section_count)
        return error_set(err, "\"%s\" names section %llu, which there is not", name, (unsigned long long)number);
    Section *section = &s->sections[number];
    if (!stats_part_bytes(part, stats_part_width(&e->tensor, part), &bytes) || bytes != section->bytes)
        return error_set(err, "its %s should not have %llu bytes", name, (unsigned long long)section->bytes);
    section->used = true;
    e->parts[part] = section;
    if (stats_part_is_matrix(part)) return true;
    // Vectors are small, and used where they lie.
    const float *values = (const float *)(const void *)section->data;
    if (!section_check(section, name, err)) return false;
    if (!stats_values_sane(values, bytes / sizeof *values, false))
        return error_set(err, "its %s has values that are negative or not finite", name);
    *stats_part_slot(&e->tensor, part) = (float *)(uintptr_t)values;
    return true;
}

static bool read_losses(const cJSON *json, double loss[DT_COUNT], Error *err) {
    const cJSON *losses = json_member(json, "loss"), *m;
    stats_no_losses(loss);
    if (!losses) return true;
    if (!cJSON_IsObject(losses)) return error_set(err, "\"loss\" is not an object");
    cJSON_ArrayForEach(m, losses) {
        DType type;
        if (!cJSON_IsNumber(m) || !(m->valuedouble >= 0 && m->valuedouble <= 1e300))
            return error_set(err, "its loss for \"%.40s\" is no number from 0", m->string);
        if (dtype_from_name(m->string, &type)) loss[type] = m->valuedouble;
    }
    return true;
}

static bool read_entry(Stats *s, const cJSON *json, Entry *e, Error *err) {
    StatsTensor *t = &e->tensor;
    uint64_t rows, cols, tokens;
    if (!container_count(json, "rows", &rows, err) || !container_count(json, "cols", &cols, err) ||
        !container_count(json, "tokens", &tokens, err))
        return false;
    if (rows > WIDTH_MAX || cols < 1 || cols > WIDTH_MAX)
        return error_set(err, "it claims %llu rows and %llu columns", (unsigned long long)rows,
                         (unsigned long long)cols);
    t->rows = (int64_t)rows;
    t->cols = (int64_t)cols;
    t->tokens = (double)tokens;
    for (int part = 0; part < STATS_PARTS; part++)
        if (!read_part(s, json, e, (StatsPart)part, err)) return false;
    t->has_hessian = e->parts[STATS_PART_HESSIAN];
    t->has_output = e->parts[STATS_PART_OUTPUT];
    return read_losses(json, t->loss, err);
}

static bool read_entries(Stats *s, const cJSON *index, Error *err) {
    const cJSON *list = json_member(index, "tensors"), *json;
    if (!cJSON_IsArray(list)) return error_set(err, "\"tensors\" is missing or not a list");
    cJSON_ArrayForEach(json, list) {
        const char *name = json_text(json, "name");
        Entry e = {0};
        if (!name || !*name || strlen(name) > STATS_NAME_MAX)
            return error_set(err, "a tensor's \"name\" is missing, empty or longer than %d bytes", STATS_NAME_MAX);
        if (!read_entry(s, json, &e, err)) return error_prefix(err, "statistics of tensor %s", name);
        if (!mem_grow(&s->entries, s->count, &s->capacity, sizeof e, err) ||
            !(e.tensor.name = mem_text(name, strlen(name), err)))
            return false;
        s->entries[s->count++] = e;
    }
    for (size_t i = 0; i < s->section_count; i++)
        if (!s->sections[i].used) return error_set(err, "section %zu belongs to no tensor", i);
    return true;
}

static int by_name(const void *a, const void *b) {
    return strcmp((*(const Entry *const *)a)->tensor.name, (*(const Entry *const *)b)->tensor.name);
}

static bool sort_entries(Stats *s, Error *err) {
    s->by_name = mem_alloc(s->count, sizeof *s->by_name, err);
    if (!s->by_name) return false;
    for (size_t i = 0; i < s->count; i++) s->by_name[i] = &s->entries[i];
    qsort(s->by_name, s->count, sizeof *s->by_name, by_name);
    for (size_t i = 1; i < s->count; i++)
        if (by_name(&s->by_name[i - 1], &s->by_name[i]) == 0)
            return error_set(err, "statistics of tensor %s are there twice", s->by_name[i]->tensor.name);
    return true;
}

static bool load(Stats *s, Error *err) {
    ContainerHeader h;
    cJSON *index = container_index(&stats_kind, s->map, &h, err);
    if (!index) return false;
    ContainerWalk w = {.map = s->map, .end = CONTAINER_HEADER_BYTES, .limit = h.index_offset};
    bool ok = read_info(index, &s->info, err) && read_sections(s, index, &w, err) &&
              container_walk_to(&w, "the", "index", h.index_offset, 0, err) && read_entries(s, index, err) &&
              sort_entries(s, err);
    cJSON_Delete(index);
    return ok;
}

Stats *stats_open_map(FileMap *map, Error *err) {
    Stats *s = mem_alloc(1, sizeof *s, err);
    if (!s) {
        file_unmap(map);
        return NULL;
    }
    s->map = map;
    if (load(s, err)) return s;
    error_prefix(err, "%s", map->path);
    stats_close(s);
    return NULL;
}

Stats *stats_open(const char *path, Error *err) {
    FileMap *map = file_map(path, err);
    return map ? stats_open_map(map, err) : NULL;
}

// ---- what is in it

const StatsInfo *stats_info(const Stats *s) { return &s->info; }
const char *stats_path(const Stats *s) { return s->map->path; }
size_t stats_count(const Stats *s) { return s->count; }
const StatsTensor *stats_at(const Stats *s, size_t index) { return &s->entries[index].tensor; }

static int name_order(const void *a, const void *b) { return strcmp(a, (*(const Entry *const *)b)->tensor.name); }

static const Entry *find(const Stats *s, const char *name) {
    const Entry **found = s->count ? bsearch(name, s->by_name, s->count, sizeof *s->by_name, name_order) : NULL;
    return found ? *found : NULL;
}

const StatsTensor *stats_find(const Stats *s, const char *name) {
    const Entry *e = find(s, name);
    return e ? &e->tensor : NULL;
}

// The whole matrix of a triangle.
static bool load_matrix(const Section *section, int64_t n, float *out) {
    const float *row = (const float *)(const void *)section->data;
    for (int64_t i = 0; i < n; row += n - i, i++) {
        memcpy(out + i * n + i, row, (size_t)(n - i) * sizeof *out);
        if (!(row[0] >= 0) || !stats_values_sane(row, (size_t)(n - i), true)) return false;
    }
    // The other half, by tiles that stay in the cache.
    enum { TILE = 64 };
    for (int64_t i = 0; i < n; i += TILE)
        for (int64_t j = 0; j <= i; j += TILE)
            for (int64_t r = i; r < n && r < i + TILE; r++)
                for (int64_t c = j; c < r && c < j + TILE; c++) out[r * n + c] = out[c * n + r];
    return true;
}

static bool load_part(const Stats *s, const Entry *e, StatsPart part, StatsTensor *out, Error *err) {
    const Section *section = e->parts[part];
    float **slot = stats_part_slot(out, part);
    int64_t n = stats_part_width(&e->tensor, part);
    *slot = NULL;
    if (!section) return true;
    bool matrix = stats_part_is_matrix(part);
    if (matrix && !section_check(section, stats_part_names[part], err)) return false;
    *slot = mem_alloc((size_t)n, sizeof(float) * (size_t)(matrix ? n : 1), err);
    if (!*slot) return false;
    if (!matrix) {
        memcpy(*slot, section->data, section->bytes);
        return true;
    }
    bool ok = load_matrix(section, n, *slot);
    file_release(s->map, section->data, section->bytes);
    return ok || error_set(err, "its %s has values that are not finite, or a diagonal below 0", stats_part_names[part]);
}

static bool load_parts(const Stats *s, const char *name, int parts, StatsTensor *out, Error *err) {
    const Entry *e = find(s, name);
    *out = (StatsTensor){0};
    if (!e) return error_set(err, "%s: has no statistics of tensor %s", s->map->path, name);
    *out = e->tensor;
    out->name = NULL;
    for (int part = 0; part < STATS_PARTS; part++) *stats_part_slot(out, (StatsPart)part) = NULL;
    bool ok = (out->name = mem_text(name, strlen(name), err)) != NULL;
    for (int part = 0; ok && part < parts; part++)
        ok = load_part(s, e, (StatsPart)part, out, err) ||
             error_prefix(err, "%s: statistics of tensor %s", s->map->path, name);
    if (!ok) stats_tensor_free(out);
    return ok;
}

bool stats_load(const Stats *s, const char *name, StatsTensor *out, Error *err) {
    return load_parts(s, name, STATS_PARTS, out, err);
}

bool stats_load_importance(const Stats *s, const char *name, StatsTensor *out, Error *err) {
    return load_parts(s, name, STATS_PART_IMPORTANCE + 1, out, err);
}

void stats_tensor_free(StatsTensor *t) {
    mem_free(t->name);
    for (int part = 0; part < STATS_PARTS; part++) mem_free(*stats_part_slot(t, (StatsPart)part));
    *t = (StatsTensor){0};
}
