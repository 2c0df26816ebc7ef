#include "eval/report.h"

#include "core/size.h"
#include <math.h>
#include <string.h>

static const double mib = 1 << 20;

// The last part of a path, shortened from the left to fit the column.
static const char *label(const char *path, char buf[33]) {
    size_t n = strlen(path);
    snprintf(buf, 33, "%s%s", n > 32 ? ".." : "", n > 32 ? path + n - 30 : path);
    return buf;
}

void report_table(const Evaluation *e, Compute compute, FILE *to) {
    const Windows *w = e->windows;
    char name[33];
    fprintf(to, "%-32s %10s %10s %7s  %9s %8s\n", "model", "file MiB", "tensor MiB", "bits/w", "PPL", "+-");
    for (int k = 0; k < e->count; k++) {
        const ModelResult *r = &e->results[k];
        const ModelSummary *m = &r->model;
        fprintf(to, "%-32s %10.2f %10.2f %7.3f  %9.4f %8.4f\n", label(m->path, name), m->file_bytes / mib,
                m->tensor_bytes / mib, m->bits_per_weight, r->ppl, r->ppl_se);
    }
    if (e->count > 1) {
        fprintf(to, "\nagainst %s\n", e->results[0].model.path);
        fprintf(to, "%-32s %9s %8s  %8s %8s %8s %8s %8s %8s  %6s %7s\n", "model", "d ln PPL", "+-", "KLD", "+-",
                "median", "99 %", "99.9 %", "max", "top1 %", "RMS dp%");
    }
    for (int k = 1; k < e->count; k++) {
        const Divergence *d = &e->results[k].vs_base;
        fprintf(to, "%-32s %+9.5f %8.5f  %8.5f %8.5f %8.5f %8.4f %8.4f %8.4f  %6.2f %7.3f\n",
                label(e->results[k].model.path, name), d->delta_ln_ppl, d->delta_ln_ppl_se, d->kld_mean, d->kld_se,
                d->kld_median, d->kld_p99, d->kld_p999, d->kld_max, 100 * d->top1, 100 * d->rms_dp);
    }
    char text[32];
    fprintf(to, "\n%zu windows", w->count);
    if (w->ctx) fprintf(to, " of %lld", (long long)w->ctx);
    if (w->stride) fprintf(to, ", stride %lld", (long long)w->stride);
    fprintf(to, ", %lld tokens scored, %s; %.1f s, %.0f tokens/s, peak memory %s\n", (long long)w->scored,
            compute_name(compute), e->seconds, e->tokens_per_second, size_text((uint64_t)e->peak_rss, text));
}

static void add_divergence(cJSON *model, const Divergence *d) {
    cJSON *o = cJSON_AddObjectToObject(model, "vs_base");
    const struct {
        const char *key;
        double value;
    } items[] = {
        {"delta_ln_ppl", d->delta_ln_ppl},
        {"delta_ln_ppl_se", d->delta_ln_ppl_se},
        {"kld_mean", d->kld_mean},
        {"kld_se", d->kld_se},
        {"kld_median", d->kld_median},
        {"kld_p99", d->kld_p99},
        {"kld_p999", d->kld_p999},
        {"kld_max", d->kld_max},
        {"top1", d->top1},
        {"rms_dp", d->rms_dp},
    };
    for (size_t i = 0; i < sizeof items / sizeof *items; i++) cJSON_AddNumberToObject(o, items[i].key, items[i].value);
}

static void add_model(cJSON *models, const Evaluation *e, int k) {
    const ModelResult *r = &e->results[k];
    const ModelSummary *m = &r->model;
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "path", m->path);
    cJSON_AddNumberToObject(o, "file_bytes", m->file_bytes);
    cJSON_AddNumberToObject(o, "tensor_bytes", m->tensor_bytes);
    cJSON_AddNumberToObject(o, "bits_per_weight", m->bits_per_weight);
    cJSON_AddNumberToObject(o, "mean_nll", r->mean_nll);
    cJSON_AddNumberToObject(o, "ppl", r->ppl);
    cJSON_AddNumberToObject(o, "ppl_se", r->ppl_se);
    cJSON_AddItemToObject(o, "window_nll", cJSON_CreateDoubleArray(r->window_nll, (int)e->windows->count));
    if (k) add_divergence(o, &r->vs_base);
    cJSON_AddItemToArray(models, o);
}

cJSON *report_json(const Evaluation *e, Compute compute) {
    const Windows *w = e->windows;
    cJSON *root = cJSON_CreateObject(), *protocol = cJSON_AddObjectToObject(root, "protocol");
    if (!protocol) {
        cJSON_Delete(root);
        return NULL;
    }
    if (w->ctx)
        cJSON_AddNumberToObject(protocol, "ctx", (double)w->ctx);
    else
        cJSON_AddNullToObject(protocol, "ctx");
    if (w->stride)
        cJSON_AddNumberToObject(protocol, "stride", (double)w->stride);
    else
        cJSON_AddNullToObject(protocol, "stride");
    cJSON_AddNumberToObject(protocol, "windows", (double)w->count);
    cJSON_AddNumberToObject(protocol, "scored", (double)w->scored);
    cJSON_AddStringToObject(protocol, "compute", compute_name(compute));
    cJSON *models = cJSON_AddArrayToObject(root, "models");
    for (int k = 0; k < e->count; k++) add_model(models, e, k);
    cJSON_AddNumberToObject(root, "seconds", e->seconds);
    cJSON_AddNumberToObject(root, "tokens_per_second", e->tokens_per_second);
    cJSON_AddNumberToObject(root, "peak_rss_bytes", e->peak_rss);
    return root;
}

void report_tokens(const Evaluation *e, FILE *to) {
    const Windows *w = e->windows;
    fprintf(to, "window,position,token,nll_0");
    for (int k = 1; k < e->count; k++) fprintf(to, ",nll_%d,kld_%d", k, k);
    fputc('\n', to);
    size_t at = 0;
    for (size_t i = 0; i < w->count; i++)
        for (int64_t p = w->items[i].first; p < w->items[i].length; p++, at++) {
            fprintf(to, "%zu,%lld,%d,%.9g", i, (long long)p, w->ids[w->items[i].start + p],
                    e->results[0].scores[at].nll);
            for (int k = 1; k < e->count; k++)
                fprintf(to, ",%.9g,%.9g", e->results[k].scores[at].nll, e->results[k].scores[at].kld);
            fputc('\n', to);
        }
}
