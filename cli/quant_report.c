#include "cli/quant_report.h"

#include "cli/version.h"
#include "core/size.h"
#include <stdio.h>
#include <string.h>

// ---- what both reports say

static uint64_t planned_bytes(const QuantJob *job, size_t i) {
    Tensor out;
    return plan_tensor(&job->model->tensors[i], &job->plan[i], &out, NULL) ? out.bytes : 0; // it passed before
}

typedef struct TypeCount {
    uint64_t tensors, bytes;
} TypeCount;

static void count_types(const QuantJob *job, TypeCount counts[DT_COUNT]) {
    memset(counts, 0, DT_COUNT * sizeof *counts);
    for (size_t i = 0; i < job->model->tensor_count; i++) {
        counts[job->plan[i].type].tensors++;
        counts[job->plan[i].type].bytes += planned_bytes(job, i);
    }
}

static uint64_t total_bytes(const QuantJob *job) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < job->model->tensor_count; i++) bytes += planned_bytes(job, i);
    return bytes;
}

static double bits_per_weight(const QuantJob *job) {
    double weights = 0;
    for (size_t i = 0; i < job->model->tensor_count; i++) weights += (double)tensor_elements(&job->model->tensors[i]);
    return weights > 0 ? 8.0 * (double)total_bytes(job) / weights : 0;
}

// ---- JSON. cJSON's adders return NULL when memory is out; the caller sees it by the text that then lacks the key,
// so each object is built whole or not at all: `ok` gathers.

static bool add_text(cJSON *object, const char *key, const char *text) {
    return cJSON_AddStringToObject(object, key, text) != NULL;
}

static bool add_number(cJSON *object, const char *key, double value) {
    return cJSON_AddNumberToObject(object, key, value) != NULL;
}

static bool push_text(cJSON *array, const char *text) {
    cJSON *item = cJSON_CreateString(text);
    return item && cJSON_AddItemToArray(array, item);
}

static cJSON *push_object(cJSON *array) {
    cJSON *item = cJSON_CreateObject();
    if (item && cJSON_AddItemToArray(array, item)) return item;
    cJSON_Delete(item);
    return NULL;
}

// The budget that types were chosen to, what was expected of them, and by which statistics.
static bool add_choice(cJSON *object, const Choice *c) {
    const Budget *b = c->budget;
    char hex[HASH_HEX];
    cJSON *budget = cJSON_AddObjectToObject(object, "budget");
    bool ok = budget && (b->kind == BUDGET_BITS ? add_number(budget, "bits", b->bits)
                                                : add_text(budget, budget_name(b->kind), b->text));
    if (b->kind == BUDGET_FIT) ok = ok && add_number(budget, "context", (double)b->context);
    ok = ok && add_number(budget, "bytes", (double)c->asked) && add_number(budget, "taken", (double)c->taken) &&
         add_number(budget, "predicted_loss", c->loss) &&
         add_text(budget, "predicted_by", c->stats ? "statistics" : "rounding error");
    cJSON *stats = ok && c->stats ? cJSON_AddObjectToObject(budget, "statistics") : NULL;
    if (!ok || !c->stats) return ok;
    const StatsInfo *info = stats_info(c->stats);
    return stats && add_text(stats, "kind", stats_kind_name(info->kind)) &&
           add_text(stats, "model", hash_hex(info->model, hex)) && add_text(stats, "text", hash_hex(info->text, hex)) &&
           add_number(stats, "windows", (double)info->windows) && add_number(stats, "ctx", (double)info->ctx);
}

static bool add_request(cJSON *object, const QuantJob *job) {
    const PlanRequest *q = job->request;
    bool ok = job->choice ? add_choice(object, job->choice)
                          : add_text(object, "type", dtype_name(q->type)) &&
                                add_text(object, "embed_type", dtype_name(q->embed_type)) &&
                                add_text(object, "output_type", dtype_name(q->output_type));
    cJSON *only = cJSON_AddArrayToObject(object, "only");
    ok = ok && only;
    for (size_t i = 0; ok && i < q->rule_count; i++) {
        cJSON *rule = push_object(only);
        ok = rule && add_text(rule, "regex", q->rules[i].pattern) &&
             add_text(rule, "type", dtype_name(q->rules[i].type));
    }
    return ok;
}

// "fallback": null where none was given; its tensors may be none.
static bool add_fallback(cJSON *object, const QuantJob *job) {
    if (!job->request->has_fallback) return cJSON_AddNullToObject(object, "fallback") != NULL;
    cJSON *fallback = cJSON_AddObjectToObject(object, "fallback");
    bool ok = fallback && add_text(fallback, "type", dtype_name(job->request->fallback));
    cJSON *names = ok ? cJSON_AddArrayToObject(fallback, "tensors") : NULL;
    ok = names != NULL;
    for (size_t i = 0; ok && i < job->model->tensor_count; i++)
        if (job->plan[i].fell_back) ok = push_text(names, job->model->tensors[i].name);
    return ok;
}

static bool add_cleared(cJSON *object, const QuantJob *job) {
    cJSON *list = cJSON_AddArrayToObject(object, "nonfinite_cleared");
    bool ok = list != NULL;
    for (size_t i = 0; ok && i < job->model->tensor_count; i++) {
        if (!job->cleared[i]) continue;
        cJSON *item = push_object(list);
        ok = item && add_text(item, "tensor", job->model->tensors[i].name) &&
             add_number(item, "values", (double)job->cleared[i]);
    }
    return ok;
}

// ---- rounding under statistics

static bool is_rounded(const QuantJob *job, size_t i) {
    return rounding_applies(job->rounding, &job->model->tensors[i], job->plan[i].type);
}

// It became blocks without statistics, though there are some of others: an expert that no token chose, say.
static bool is_exception(const QuantJob *job, size_t i) {
    const Tensor *t = &job->model->tensors[i];
    return job->rounding && job->plan[i].type != t->type && dtype_is_block(job->plan[i].type) && !is_rounded(job, i);
}

// "rounding": null where it was to nearest.
static bool add_rounding(cJSON *object, const QuantJob *job) {
    if (!job->rounding) return cJSON_AddNullToObject(object, "rounding") != NULL;
    const StatsInfo *info = stats_info(job->rounding->stats);
    char model[HASH_HEX], text[HASH_HEX];
    cJSON *o = cJSON_AddObjectToObject(object, "rounding");
    bool ok = o && add_text(o, "statistics", stats_kind_name(info->kind)) &&
              add_text(o, "model", hash_hex(info->model, model)) && add_text(o, "text", hash_hex(info->text, text)) &&
              add_number(o, "windows", (double)info->windows) && add_number(o, "ctx", (double)info->ctx);
    cJSON *without = ok ? cJSON_AddArrayToObject(o, "without_statistics") : NULL;
    cJSON *damped = without ? cJSON_AddArrayToObject(o, "damped") : NULL;
    ok = damped != NULL;
    for (size_t i = 0; ok && i < job->model->tensor_count; i++) {
        if (is_exception(job, i)) ok = push_text(without, job->model->tensors[i].name);
        if (ok && job->retries[i]) ok = push_text(damped, job->model->tensors[i].name);
    }
    return ok;
}

static bool add_types(cJSON *object, const QuantJob *job) {
    TypeCount counts[DT_COUNT];
    count_types(job, counts);
    cJSON *list = cJSON_AddArrayToObject(object, "types");
    bool ok = list != NULL;
    for (int type = 0; ok && type < DT_COUNT; type++) {
        if (!counts[type].tensors) continue;
        cJSON *item = push_object(list);
        ok = item && add_text(item, "type", dtype_name((DType)type)) &&
             add_number(item, "tensors", (double)counts[type].tensors) &&
             add_number(item, "bytes", (double)counts[type].bytes);
    }
    return ok;
}

cJSON *quant_report_step(const QuantJob *job) {
    cJSON *step = cJSON_CreateObject();
    bool ok = step && add_text(step, "step", "quant") && add_text(step, "program", "nibble " NIBBLE_VERSION) &&
              add_request(step, job) && add_fallback(step, job) && add_cleared(step, job) && add_rounding(step, job);
    if (ok) return step;
    cJSON_Delete(step);
    return NULL;
}

static bool add_tensors(cJSON *object, const QuantJob *job) {
    cJSON *list = cJSON_AddArrayToObject(object, "tensors");
    bool ok = list != NULL;
    for (size_t i = 0; ok && i < job->model->tensor_count; i++) {
        cJSON *item = push_object(list);
        ok = item && add_text(item, "name", job->model->tensors[i].name) &&
             add_text(item, "type", dtype_name(job->plan[i].type)) &&
             add_number(item, "bytes", (double)planned_bytes(job, i));
        if (job->choice) ok = ok && add_number(item, "predicted_loss", job->choice->losses[i]);
    }
    return ok;
}

cJSON *quant_report_json(const QuantReport *r) {
    const QuantJob *job = r->job;
    cJSON *report = cJSON_CreateObject();
    bool ok = report && add_text(report, "input", job->model->path) && add_text(report, "output", job->output) &&
              cJSON_AddBoolToObject(report, "dry_run", !r->file_bytes) && add_request(report, job) &&
              add_number(report, "source_tensor_bytes", (double)model_tensor_bytes(job->model)) &&
              add_number(report, "tensor_bytes", (double)total_bytes(job)) &&
              add_number(report, "file_bytes", (double)r->file_bytes) &&
              add_number(report, "bits_per_weight", bits_per_weight(job)) && add_types(report, job) &&
              add_fallback(report, job) && add_cleared(report, job) && add_rounding(report, job) &&
              add_number(report, "seconds", r->seconds) && add_tensors(report, job);
    if (ok) return report;
    cJSON_Delete(report);
    return NULL;
}

// ---- for people

// Tensors of all layers that fell back alike, shown as one line: "blk.#.attn_q.weight".
typedef struct Group {
    char name[MODEL_NAME];
    const PlanEntry *entry;
    int64_t cols;
    size_t count;
} Group;

static void group_name(const char *tensor, char name[MODEL_NAME]) {
    int layer, used = 0;
    if (sscanf(tensor, "blk.%d.%n", &layer, &used) == 1 && used > 0)
        snprintf(name, MODEL_NAME, "blk.#.%s", tensor + used);
    else
        snprintf(name, MODEL_NAME, "%s", tensor);
}

static void print_fallbacks(const QuantJob *job) {
    enum { GROUPS = 64 };
    Group groups[GROUPS];
    size_t count = 0, total = 0, ungrouped = 0;
    for (size_t i = 0; i < job->model->tensor_count; i++) {
        const PlanEntry *e = &job->plan[i];
        if (!e->fell_back) continue;
        total++;
        char name[MODEL_NAME];
        group_name(job->model->tensors[i].name, name);
        size_t g = 0;
        while (g < count && (strcmp(groups[g].name, name) != 0 || groups[g].entry->asked != e->asked)) g++;
        if (g == GROUPS) {
            ungrouped++;
            continue;
        }
        if (g == count) {
            groups[count] = (Group){.entry = e, .cols = tensor_cols(&job->model->tensors[i])};
            memcpy(groups[count++].name, name, sizeof name);
        }
        groups[g].count++;
    }
    if (!total) return;
    printf("fell back: %zu tensor%s whose width the block does not divide\n", total, total == 1 ? "" : "s");
    for (size_t g = 0; g < count; g++)
        printf("  %4zu x %-28s width %lld, %s -> %s\n", groups[g].count, groups[g].name, (long long)groups[g].cols,
               dtype_name(groups[g].entry->asked), dtype_name(groups[g].entry->type));
    if (ungrouped) printf("  %4zu x others (--json lists them all)\n", ungrouped);
}

static void print_cleared(const QuantJob *job) {
    int64_t values = 0;
    for (size_t i = 0; i < job->model->tensor_count; i++) values += job->cleared[i];
    if (!values) return;
    printf("not finite: %lld value%s became zero\n", (long long)values, values == 1 ? "" : "s");
    for (size_t i = 0; i < job->model->tensor_count; i++)
        if (job->cleared[i]) printf("  %4lld in %s\n", (long long)job->cleared[i], job->model->tensors[i].name);
}

static void print_choice(const Choice *c) {
    const Budget *b = c->budget;
    char text[32], cache[32], compute[32], margin[32];
    if (b->kind == BUDGET_FIT)
        printf(
            "%s of memory at a context of %lld: %s for weights, %s for the cache, %s to compute in, %s for the engine "
            "itself\n",
            b->text, (long long)b->context, size_text(c->taken, text), size_text(c->engine.cache, cache),
            size_text(c->engine.compute, compute), size_text(c->engine.margin, margin));
    if (c->stats) {
        const StatsInfo *info = stats_info(c->stats);
        printf("predicted divergence: %.5f nats a token, by %s (%s, %lld windows)\n", c->loss, stats_path(c->stats),
               stats_kind_name(info->kind), (long long)info->windows);
        if (c->guessed) printf("%zu tensors that it does not know were judged by their rounding errors\n", c->guessed);
    } else {
        printf("predicted: a rounding error of %.3g %%, mean square; what flows through the model was not looked at "
               "(--calib, --stats)\n",
               100 * c->loss);
    }
}

static void print_names(const QuantJob *job, bool damped) {
    enum { NAMED = 8 };
    size_t count = 0;
    for (size_t i = 0; i < job->model->tensor_count; i++) count += damped ? job->retries[i] > 0 : is_exception(job, i);
    if (!count) return;
    printf(damped ? "not positive definite, damped more: %zu Hessian%s\n"
                  : "rounded to nearest, for want of statistics: %zu tensor%s\n",
           count, count == 1 ? "" : "s");
    for (size_t i = 0, named = 0; i < job->model->tensor_count && named < NAMED; i++)
        if (damped ? job->retries[i] > 0 : is_exception(job, i))
            printf("  %s%s\n", job->model->tensors[i].name, ++named == NAMED && count > NAMED ? " ..." : "");
}

void quant_report_notes(const QuantJob *job) {
    print_cleared(job);
    if (job->rounding) print_names(job, true);
}

void quant_report_print(const QuantReport *r) {
    const QuantJob *job = r->job;
    TypeCount counts[DT_COUNT];
    char text[32], before[32];
    uint64_t source = model_tensor_bytes(job->model), total = total_bytes(job);
    count_types(job, counts);
    printf("type    tensors        size\n");
    for (int type = 0; type < DT_COUNT; type++)
        if (counts[type].tensors)
            printf("%-7s %7llu  %10s\n", dtype_name((DType)type), (unsigned long long)counts[type].tensors,
                   size_text(counts[type].bytes, text));
    printf("%-7s %7zu  %10s  %.2f bits per weight (before: %s, %.2f)\n", "all", job->model->tensor_count,
           size_text(total, text), bits_per_weight(job), size_text(source, before), model_bits_per_weight(job->model));
    print_fallbacks(job);
    if (job->rounding) print_names(job, false);
    quant_report_notes(job);
    if (job->choice) print_choice(job->choice);
    if (r->file_bytes) printf("%s: %s in %.2f s\n", job->output, size_text(r->file_bytes, text), r->seconds);
}
