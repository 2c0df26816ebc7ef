// nibble quant: options in (cli/quant_options.h), types chosen where there is a budget (cli/quant_choose.h), a plan
// (quant/plan.h), the streaming job (cli/quant_job.h), a report (cli/quant_report.h).
#include "cli/calibration.h"
#include "cli/quant_job.h"
#include "cli/quant_options.h"
#include "cli/quant_report.h"
#include "convert/open.h"
#include "core/mem.h"
#include <stdio.h>
#include <string.h>

// What the output is called after: "q4_0", "4.5bits", "86MiB", "fit-8GiB".
static void version_name(const QuantOptions *o, char buf[64]) {
    const Budget *b = &o->budget;
    switch (b->kind) {
    case BUDGET_NONE: snprintf(buf, 64, "%s", dtype_name(o->request.type)); return;
    case BUDGET_BITS: snprintf(buf, 64, "%gbits", b->bits); return;
    case BUDGET_FIT: snprintf(buf, 64, "fit-%.40s", b->text); return;
    default: snprintf(buf, 64, "%.40s", b->text); return;
    }
}

// "dir/smol.nib" and q4_0 give "smol-q4_0.nib" in the current directory. Free with mem_free.
static char *default_output(const char *model, const QuantOptions *o, Error *err) {
    char version[64];
    size_t end = strlen(model);
    while (end > 1 && model[end - 1] == '/') end--;
    size_t start = end;
    while (start > 0 && model[start - 1] != '/') start--;
    if (end - start > 4 && strncmp(model + end - 4, ".nib", 4) == 0) end -= 4;
    size_t size = end - start + 80;
    char *path = mem_alloc(size, 1, err);
    version_name(o, version);
    if (path) snprintf(path, size, "%.*s-%s.nib", (int)(end - start), model + start, version);
    return path;
}

static bool check_output(const Model *model, const char *output, Error *err) {
    for (size_t i = 0; i < model->map_count; i++)
        if (file_same(model->maps[i]->path, output))
            return error_set(err, "%s: is the model that is read; choose another output with -o", output);
    return true;
}

// What becomes of each tensor: job->plan, and where there is a budget, job->choice.
static bool plan(QuantJob *job, QuantOptions *o, const Stats *stats, PlanEntry *entries, Choice *choice, Error *err) {
    const Model *model = job->model;
    if (o->budget.kind) {
        if (!choice_make(model, o, stats, choice, err)) return false;
        o->request.types = choice->types;
        job->choice = choice;
    }
    return plan_make(&o->request, model->tensors, model->tensor_count, entries, err) ||
           error_prefix(err, "%s", model->path);
}

static bool report_done(const QuantJob *job, const QuantOptions *o, double start, Error *err) {
    const QuantReport report = {job, o->dry_run ? 0 : file_size(job->output), log_seconds() - start};
    if (!o->json || strcmp(o->json, "-") != 0) quant_report_print(&report);
    if (!o->json) return true;
    cJSON *json = quant_report_json(&report);
    bool ok = report_write_json(o->json, json, err);
    cJSON_Delete(json);
    return ok;
}

static int quantize(const char *path, QuantOptions *o) {
    Error err = {0};
    int code = EXIT_FAILED;
    double start = log_seconds();
    PlanEntry *entries = NULL;
    int64_t *cleared = NULL;
    int *retries = NULL;
    Choice choice = {0};
    Rounding rounding;
    Stats *stats = NULL;
    char *output = o->output ? mem_text(o->output, strlen(o->output), &err) : default_output(path, o, &err);
    Model *model = output ? model_open(path, &err) : NULL;
    if (model) entries = mem_alloc(model->tensor_count, sizeof *entries, &err);
    if (entries) cleared = mem_alloc(model->tensor_count, sizeof *cleared, &err);
    if (cleared) retries = mem_alloc(model->tensor_count, sizeof *retries, &err);
    if (!retries || !check_output(model, output, &err)) goto done;
    if (calibration_asked(o) && !(stats = calibration_get(model, o, &err))) goto done;
    QuantJob job = {model, output, &o->request, entries, o->allow_nonfinite, cleared, .retries = retries};
    if (o->method != METHOD_RTN) {
        rounding = calibration_rounding(stats, o);
        job.rounding = &rounding;
    }
    if (!plan(&job, o, stats, entries, &choice, &err)) goto done;
    if ((o->dry_run || quant_job_run(&job, &err)) && report_done(&job, o, start, &err)) code = EXIT_DONE;
done:
    if (err.text[0]) fail(&err);
    choice_free(&choice);
    stats_close(stats);
    mem_free(entries);
    mem_free(cleared);
    mem_free(retries);
    mem_free(output);
    model_free(model);
    return code;
}

static int run(int argc, char **argv) {
    QuantOptions o;
    const char *model;
    int code = quant_options_parse(&o, argc, argv, &model);
    if (code < 0) code = quantize(model, &o);
    quant_options_free(&o);
    return code;
}

const Command command_quant = {
    .name = "quant",
    .summary = "make 8- and 4-bit versions of a model",
    .usage = "MODEL [-o OUT.nib] [--type TYPE | --bits B | --size SIZE | --file-size SIZE | --fit SIZE --ctx N] "
             "[options]\n\n"
             "MODEL is a .nib or a Hugging Face directory. TYPE is q8_0, q6_k, q5_1, q5_0, q5_k, q4_1, q4_0, q4_k,\n"
             "iq4_nl, iq4_xs, mxfp4, q3_k or q2_k (GGUF's blocks), or f32, f16, bf16. Norms, biases and other vectors, "
             "routers of experts and learned positions stay as they are.",
    .examples =
        "  nibble quant smol.nib -o smol-q4.nib --type q4_0\n"
        "  nibble quant ./SmolLM2-135M --type q4_k --fallback q5_0\n"
        "  nibble quant smol.nib --size 86MiB --dry-run\n"
        "  nibble quant smol.nib --fit 512MiB --ctx 4096 --allow q8_0,q5_0,q4_0\n"
        "  nibble quant smol.nib --type q4_0 --only 'blk\\.(0|29)\\.=q6_k' --only ffn_down=q5_1 --fallback q5_0\n",
    .run = run,
};
