#include "cli/stats_report.h"

#include "core/file.h"
#include "core/mem.h"
#include "core/size.h"
#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME = 256 };

// Weights of one kind in all layers and experts.
typedef struct Group {
    char name[NAME]; // "blk.#.attn_q.weight"
    const StatsTensor *first;
    size_t count;
    double tokens_low, tokens_high;
} Group;

// Numbers between dots become #.
static void general_name(const char *name, char out[NAME]) {
    size_t n = 0;
    for (const char *c = name; *c && n + 1 < NAME;) {
        size_t digits = strspn(c, "0123456789");
        if (digits && c > name && c[-1] == '.' && c[digits] == '.') {
            out[n++] = '#';
            c += digits;
        } else {
            out[n++] = *c++;
        }
    }
    out[n] = 0;
}

static bool alike(const StatsTensor *a, const StatsTensor *b) {
    return a->rows == b->rows && a->cols == b->cols && a->has_hessian == b->has_hessian &&
           a->has_output == b->has_output && !a->row_weights == !b->row_weights;
}

static int by_name(const void *a, const void *b) { return strcmp(((const Group *)a)->name, ((const Group *)b)->name); }

// One group for each weight, sorted; then those that are alike become one. NULL: memory is out.
static Group *groups_make(const Stats *stats, size_t *count) {
    size_t n = stats_count(stats);
    Group *g = mem_alloc(n, sizeof *g, NULL);
    *count = 0;
    for (size_t i = 0; g && i < n; i++) {
        const StatsTensor *t = stats_at(stats, i);
        g[i] = (Group){.first = t, .count = 1, .tokens_low = t->tokens, .tokens_high = t->tokens};
        general_name(t->name, g[i].name);
    }
    if (g && n) qsort(g, n, sizeof *g, by_name);
    for (size_t i = 0; g && i < n; i++) {
        Group *last = *count ? &g[*count - 1] : NULL;
        if (!last || strcmp(last->name, g[i].name) != 0 || !alike(last->first, g[i].first)) {
            g[(*count)++] = g[i];
            continue;
        }
        last->count++;
        last->tokens_low = fmin(last->tokens_low, g[i].tokens_low);
        last->tokens_high = fmax(last->tokens_high, g[i].tokens_high);
    }
    return g;
}

static void print_group(const Group *g) {
    char shape[48], tokens[48];
    const StatsTensor *t = g->first;
    if (t->rows)
        snprintf(shape, sizeof shape, "[%lld, %lld]", (long long)t->rows, (long long)t->cols);
    else
        snprintf(shape, sizeof shape, "[?, %lld]", (long long)t->cols);
    if (g->tokens_low < g->tokens_high)
        snprintf(tokens, sizeof tokens, "%.0f to %.0f", g->tokens_low, g->tokens_high);
    else
        snprintf(tokens, sizeof tokens, "%.0f", g->tokens_low);
    printf("  %5zu x %-30s %-16s %s tokens, importance%s%s%s\n", g->count, g->name, shape, tokens,
           t->has_hessian ? ", Hessian" : "", t->row_weights ? ", rows" : "", t->has_output ? ", outputs" : "");
}

static bool known(Hash h) { return h.high || h.low; }

void stats_print(const Stats *stats, const char *path) {
    const StatsInfo *info = stats_info(stats);
    char hex[HASH_HEX], size[32];
    size_t count;
    printf("%s: %s statistics of %zu weights, %s\n", path, stats_kind_name(info->kind), stats_count(stats),
           size_text(file_size(path), size));
    printf("  model    %s\n", known(info->model) ? hash_hex(info->model, hex) : "not known");
    printf("  text     %s%s%s\n", info->text_name, *info->text_name ? ", " : "",
           known(info->text) ? hash_hex(info->text, hex) : "ids not known");
    printf("  tokens   %lld in %lld windows", (long long)info->tokens, (long long)info->windows);
    if (info->ctx) printf(" of %lld", (long long)info->ctx);
    if (info->kind == STATS_FISHER) printf("; labels drawn with seed %" PRIu64, info->seed);
    printf("\n");
    Group *groups = groups_make(stats, &count);
    for (size_t i = 0; i < count; i++) print_group(&groups[i]);
    mem_free(groups);
}

// ---- JSON

static bool add_entry(cJSON *list, const StatsTensor *t) {
    cJSON *e = cJSON_CreateObject(), *loss = NULL;
    if (!e || !cJSON_AddItemToArray(list, e)) {
        cJSON_Delete(e);
        return false;
    }
    bool ok = cJSON_AddStringToObject(e, "name", t->name) && cJSON_AddNumberToObject(e, "rows", (double)t->rows) &&
              cJSON_AddNumberToObject(e, "cols", (double)t->cols) && cJSON_AddNumberToObject(e, "tokens", t->tokens) &&
              cJSON_AddBoolToObject(e, "hessian", t->has_hessian) &&
              cJSON_AddBoolToObject(e, "row_weights", t->row_weights != NULL) &&
              cJSON_AddBoolToObject(e, "output", t->has_output) && (loss = cJSON_AddObjectToObject(e, "loss"));
    for (int type = 0; ok && type < DT_COUNT; type++)
        if (!isnan(t->loss[type])) ok = cJSON_AddNumberToObject(loss, dtype_name((DType)type), t->loss[type]);
    return ok;
}

cJSON *stats_json(const Stats *stats, const char *path) {
    const StatsInfo *info = stats_info(stats);
    char model[HASH_HEX], text[HASH_HEX], seed[24];
    cJSON *report = cJSON_CreateObject(), *list = NULL;
    snprintf(seed, sizeof seed, "%" PRIu64, info->seed);
    bool ok = report && cJSON_AddStringToObject(report, "path", path) &&
              cJSON_AddNumberToObject(report, "file_bytes", (double)file_size(path)) &&
              cJSON_AddStringToObject(report, "kind", stats_kind_name(info->kind)) &&
              cJSON_AddStringToObject(report, "model", hash_hex(info->model, model)) &&
              cJSON_AddStringToObject(report, "text", hash_hex(info->text, text)) &&
              cJSON_AddStringToObject(report, "text_name", info->text_name) &&
              cJSON_AddNumberToObject(report, "windows", (double)info->windows) &&
              cJSON_AddNumberToObject(report, "ctx", (double)info->ctx) &&
              cJSON_AddNumberToObject(report, "tokens", (double)info->tokens) &&
              cJSON_AddNumberToObject(report, "experts", (double)info->experts) &&
              cJSON_AddStringToObject(report, "seed", seed) && (list = cJSON_AddArrayToObject(report, "tensors"));
    for (size_t i = 0; ok && i < stats_count(stats); i++) ok = add_entry(list, stats_at(stats, i));
    if (ok) return report;
    cJSON_Delete(report);
    return NULL;
}
