#include "eval/partial.h"

#include "core/json.h"
#include "core/mem.h"
#include "eval/statistics.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VERSION = 1, MODELS_MOST = 65 };
static const size_t FILE_MOST = (size_t)4 << 30; // bytes
static const int64_t WINDOWS_MOST = 1 << 30;

void partial_range(Whole *whole, int64_t *count) {
    whole->first = whole->windows * whole->shard / whole->shards;
    *count = whole->windows * (whole->shard + 1) / whole->shards - whole->first;
}

// ---- writing. Numbers have 17 digits, which give the same number back.

static void write_text(FILE *to, const char *text) {
    fputc('"', to);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            fprintf(to, "\\%c", *text);
        else if ((unsigned char)*text < 0x20)
            fprintf(to, "\\u%04x", *text);
        else
            fputc(*text, to);
    }
    fputc('"', to);
}

static void write_model(FILE *to, const ModelResult *r, bool base, int64_t scored) {
    fprintf(to, "    {\"path\": ");
    write_text(to, r->model.path);
    fprintf(to, ", \"identity\": \"%s\", \"file_bytes\": %.17g, \"tensor_bytes\": %.17g, \"bits_per_weight\": %.17g,\n",
            r->model.identity, r->model.file_bytes, r->model.tensor_bytes, r->model.bits_per_weight);
    fprintf(to, "     \"scores\": [");
    for (int64_t i = 0; i < scored; i++) {
        const TokenScore *s = &r->scores[i];
        fprintf(to, "%s%.17g,%d", i ? "," : "", s->nll, s->top);
        if (!base) fprintf(to, ",%.17g", s->kld);
    }
    fprintf(to, "]}");
}

static void write_all(FILE *to, const Whole *whole, const Evaluation *e, size_t done) {
    const Windows *w = e->windows;
    char text[HASH_HEX];
    int64_t scored = 0;
    fprintf(
        to,
        "{\"nibble_partial\": %d, \"shard\": %lld, \"shards\": %lld, \"windows\": %lld, \"first\": %lld, \"of\": %zu,\n"
        " \"text\": \"%s\", \"compute\": \"%s\", \"ctx\": %lld, \"stride\": %lld, \"seconds\": %.17g, "
        "\"peak_rss_bytes\": %.17g,\n \"lengths\": [",
        VERSION, (long long)whole->shard, (long long)whole->shards, (long long)whole->windows, (long long)whole->first,
        w->count, hash_hex(whole->text, text), compute_name(whole->compute), (long long)w->ctx, (long long)w->stride,
        e->seconds, e->peak_rss);
    for (size_t i = 0; i < done; i++) {
        const Window *item = &w->items[i];
        fprintf(to, "%s%lld,%lld", i ? "," : "", (long long)item->length, (long long)item->first);
        scored += item->length - item->first;
    }
    fprintf(to, "],\n \"tokens\": [");
    bool any = false;
    for (size_t i = 0; i < done; i++)
        for (int64_t p = w->items[i].first; p < w->items[i].length; p++, any = true)
            fprintf(to, "%s%d", any ? "," : "", w->ids[w->items[i].start + p]);
    fprintf(to, "],\n \"models\": [\n");
    for (int k = 0; k < e->count; k++) {
        write_model(to, &e->results[k], k == 0, scored);
        fprintf(to, "%s\n", k + 1 < e->count ? "," : "");
    }
    fprintf(to, " ]}\n");
}

bool partial_write(const char *path, const Whole *whole, const Evaluation *e, size_t done, Error *err) {
    char *text = NULL;
    size_t size = 0;
    FILE *memory = open_memstream(&text, &size);
    if (!memory) return error_set(err, "%s: out of memory", path);
    write_all(memory, whole, e, done);
    bool ok = fclose(memory) == 0 || error_set(err, "%s: out of memory", path);
    FileOut *out = ok ? file_out_open(path, size, err) : NULL;
    ok = out && file_out_write(out, text, size, err);
    if (ok)
        ok = file_out_commit(out, err);
    else
        file_out_abort(out);
    free(text);
    return ok;
}

// ---- reading

static bool read_text(const cJSON *o, const char *key, const char **out, Error *err) {
    *out = json_text(o, key);
    return *out || error_set(err, "has no \"%s\"", key);
}

// An array of numbers, `group` for each of `count` things.
static const cJSON *array_of(const cJSON *o, const char *key, int64_t count, int64_t group, Error *err) {
    const cJSON *a = json_member(o, key);
    if (cJSON_IsArray(a) && cJSON_GetArraySize(a) == count * group) return a->child;
    error_set(err, "\"%s\" is not an array of %lld numbers", key, (long long)(count * group));
    return NULL;
}

static bool number(const cJSON **item, double low, double high, double *out, Error *err) {
    if (!cJSON_IsNumber(*item) || !((*item)->valuedouble >= low && (*item)->valuedouble <= high))
        return error_set(err, "holds something else than a number from %g to %g", low, high);
    *out = (*item)->valuedouble;
    *item = (*item)->next;
    return true;
}

static bool read_head(Partial *p, const cJSON *o, Error *err) {
    const char *text, *compute;
    int64_t version = 0;
    Whole *w = &p->whole;
    w->shard = w->shards = w->windows = p->of = -1;
    if (!json_int(o, "nibble_partial", 0, 1 << 20, &version, err)) return false;
    if (!version) return error_set(err, "is no part of an evaluation (nibble eval --shard or --state writes those)");
    if (version != VERSION) return error_set(err, "is of another version of nibble");
    if (!json_int(o, "windows", 1, WINDOWS_MOST, &w->windows, err) ||
        !json_int(o, "shards", 1, WINDOWS_MOST, &w->shards, err) ||
        !json_int(o, "shard", 0, w->shards - 1, &w->shard, err) ||
        !json_int(o, "ctx", 0, 1 << 30, &p->windows.ctx, err) ||
        !json_int(o, "stride", 0, 1 << 30, &p->windows.stride, err) || !read_text(o, "text", &text, err) ||
        !read_text(o, "compute", &compute, err) || !json_double(o, "seconds", 0, 1e18, &p->evaluation.seconds, err) ||
        !json_double(o, "peak_rss_bytes", 0, 1e18, &p->evaluation.peak_rss, err))
        return false;
    if (w->windows < 0 || w->shards < 0 || w->shard < 0) return error_set(err, "does not say which part it is");
    if (!hash_parse(text, &w->text) || !compute_parse(compute, &w->compute))
        return error_set(err, "\"text\" or \"compute\" is not what nibble writes");
    partial_range(w, &p->of);
    return true;
}

static bool read_windows(Partial *p, const cJSON *o, Error *err) {
    const cJSON *lengths = json_member(o, "lengths"), *item;
    Windows *w = &p->windows;
    p->done = cJSON_IsArray(lengths) ? cJSON_GetArraySize(lengths) / 2 : 0;
    if (p->done < 1 || p->done > p->of || !(item = array_of(o, "lengths", p->done, 2, err)))
        return error_set(err, "\"lengths\" is not of 1 to %lld windows", (long long)p->of);
    if (!(w->items = mem_alloc((size_t)p->done, sizeof *w->items, err))) return false;
    w->count = (size_t)p->done;
    // Of ids only those of scored tokens are there: a window's start is where its first id would be.
    for (int64_t i = 0; i < p->done; i++) {
        double length = 0, first = 0;
        if (!number(&item, 2, 1 << 30, &length, err) || !number(&item, 1, length - 1, &first, err)) return false;
        w->items[i] = (Window){w->scored - (int64_t)first, (int64_t)length, (int64_t)first};
        w->scored += (int64_t)length - (int64_t)first;
        if (w->items[i].length > w->longest) w->longest = w->items[i].length;
    }
    const cJSON *token = array_of(o, "tokens", w->scored, 1, err);
    if (!token || !(w->ids = mem_alloc((size_t)w->scored, sizeof *w->ids, err))) return false;
    for (int64_t i = 0; i < w->scored; i++) {
        double id = 0;
        if (!number(&token, 0, INT32_MAX, &id, err)) return false;
        w->ids[i] = (int32_t)id;
    }
    return true;
}

static bool read_model(const Partial *p, int k, const cJSON *o, ModelResult *r, Error *err) {
    const char *path, *identity;
    if (!read_text(o, "path", &path, err) || !read_text(o, "identity", &identity, err)) return false;
    if (strlen(identity) >= sizeof r->model.identity) return error_set(err, "\"identity\" is too long");
    memcpy(r->model.identity, identity, strlen(identity) + 1);
    if (!(r->model.path = mem_text(path, strlen(path), err)) ||
        !json_double(o, "file_bytes", 0, 1e18, &r->model.file_bytes, err) ||
        !json_double(o, "tensor_bytes", 0, 1e18, &r->model.tensor_bytes, err) ||
        !json_double(o, "bits_per_weight", 0, 1e3, &r->model.bits_per_weight, err))
        return false;
    const cJSON *item = array_of(o, "scores", p->windows.scored, k ? 3 : 2, err);
    if (!item) return false;
    for (int64_t i = 0; i < p->windows.scored; i++) {
        TokenScore *s = &r->scores[i];
        double top = 0;
        if (!number(&item, -1e9, 1e9, &s->nll, err) || !number(&item, 0, INT32_MAX, &top, err) ||
            (k && !number(&item, 0, 1e9, &s->kld, err)))
            return false;
        s->top = (int32_t)top;
    }
    return true;
}

static bool read_all(Partial *p, const cJSON *o, Error *err) {
    if (!read_head(p, o, err) || !read_windows(p, o, err)) return false;
    const cJSON *models = json_member(o, "models"), *m;
    int count = cJSON_IsArray(models) ? cJSON_GetArraySize(models) : 0;
    if (count < 1 || count > MODELS_MOST) return error_set(err, "\"models\" is not of 1 to %d models", MODELS_MOST);
    double seconds = p->evaluation.seconds, peak = p->evaluation.peak_rss;
    if (!evaluation_init(&p->evaluation, count, &p->windows, err)) return false;
    p->evaluation.seconds = seconds;
    p->evaluation.peak_rss = peak;
    int k = 0;
    cJSON_ArrayForEach(m, models) {
        if (!read_model(p, k, m, &p->evaluation.results[k], err)) return false;
        k++;
    }
    return true;
}

bool partial_read(const char *path, Partial *out, Error *err) {
    *out = (Partial){0};
    cJSON *o = json_read(path, FILE_MOST, err);
    if (!o) return false;
    bool ok = read_all(out, o, err) || error_prefix(err, "%s", path);
    cJSON_Delete(o);
    return ok;
}

void partial_free(Partial *p) {
    evaluation_free(&p->evaluation);
    windows_free(&p->windows);
    *p = (Partial){0};
}

// ---- together

bool partial_same(const Partial *a, const char *name, const Partial *b, const char *other, Error *err) {
    const Whole *v = &a->whole, *w = &b->whole;
    const char *what = NULL;
    if (v->windows != w->windows || !hash_equal(v->text, w->text))
        what = "text or windows";
    else if (v->shards != w->shards)
        what = "number of shards";
    else if (v->compute != w->compute)
        what = "--compute";
    else if (a->windows.ctx != b->windows.ctx || a->windows.stride != b->windows.stride)
        what = "--ctx or --stride";
    else if (a->evaluation.count != b->evaluation.count)
        what = "number of models";
    for (int k = 0; !what && k < a->evaluation.count; k++) {
        const ModelSummary *m = &a->evaluation.results[k].model, *n = &b->evaluation.results[k].model;
        if (strcmp(m->path, n->path) != 0 || strcmp(m->identity, n->identity) != 0 || m->file_bytes != n->file_bytes)
            what = "models";
    }
    return !what || error_set(err, "%s: is of another evaluation than %s: not the same %s", name, other, what);
}

static int by_shard(const void *a, const void *b) {
    int64_t x = ((const Partial *)a)->whole.shard, y = ((const Partial *)b)->whole.shard;
    return (x > y) - (x < y);
}

static bool all_there(Partial *parts, const char *const *names, size_t count, Error *err) {
    for (size_t i = 0; i < count; i++) {
        if (!partial_same(&parts[i], names[i], &parts[0], names[0], err)) return false;
        if (parts[i].done != parts[i].of)
            return error_set(err, "%s: has only %lld of its %lld windows; let its run end", names[i],
                             (long long)parts[i].done, (long long)parts[i].of);
    }
    qsort(parts, count, sizeof *parts, by_shard);
    for (size_t i = 0; i < count; i++) {
        parts[i].evaluation.windows = &parts[i].windows; // sorting moved them
        if (i && parts[i].whole.shard == parts[i - 1].whole.shard)
            return error_set(err, "shard %lld of %lld is there twice", (long long)parts[i].whole.shard,
                             (long long)parts[i].whole.shards);
    }
    for (int64_t i = 0; i < parts[0].whole.shards; i++)
        if (i >= (int64_t)count || parts[i].whole.shard != i)
            return error_set(err, "shard %lld of %lld is missing", (long long)i, (long long)parts[0].whole.shards);
    return true;
}

bool partial_merge(Partial *parts, const char *const *names, size_t count, Windows *windows, Evaluation *out,
                   Error *err) {
    int64_t scored = 0, tokens = 0;
    *windows = (Windows){.ctx = parts[0].windows.ctx, .stride = parts[0].windows.stride};
    *out = (Evaluation){0};
    if (!all_there(parts, names, count, err)) return false;
    for (size_t i = 0; i < count; i++) {
        const Windows *w = &parts[i].windows;
        windows->count += w->count;
        windows->scored += w->scored;
        if (w->longest > windows->longest) windows->longest = w->longest;
    }
    if (!(windows->items = mem_alloc(windows->count, sizeof *windows->items, err)) ||
        !(windows->ids = mem_alloc((size_t)windows->scored, sizeof *windows->ids, err)) ||
        !evaluation_init(out, parts[0].evaluation.count, windows, err))
        return false;
    Window *to = windows->items;
    for (size_t i = 0; i < count; i++) {
        const Windows *w = &parts[i].windows;
        for (size_t k = 0; k < w->count; k++, to++) {
            *to = w->items[k];
            to->start += scored;
            tokens += to->length;
        }
        memcpy(windows->ids + scored, w->ids, (size_t)w->scored * sizeof *w->ids);
        for (int k = 0; k < out->count; k++)
            memcpy(out->results[k].scores + scored, parts[i].evaluation.results[k].scores,
                   (size_t)w->scored * sizeof(TokenScore));
        scored += w->scored;
        out->seconds += parts[i].evaluation.seconds;
        out->peak_rss = fmax(out->peak_rss, parts[i].evaluation.peak_rss);
    }
    for (int k = 0; k < out->count; k++) {
        const ModelSummary *m = &parts[0].evaluation.results[k].model;
        out->results[k].model = *m;
        if (!(out->results[k].model.path = mem_text(m->path, strlen(m->path), err))) return false;
    }
    out->tokens_per_second = out->seconds > 0 ? (double)tokens * out->count / out->seconds : 0;
    return statistics_fill(out, err);
}
