// nibble quant: options in (cli/quant_options.h), a planned job (cli/quantize.h), the streaming job (cli/quant_job.h),
// a report (cli/quant_report.h).
#include "cli/calibration.h"
#include "cli/output_name.h"
#include "cli/quant_options.h"
#include "cli/quant_report.h"
#include "cli/quantize.h"
#include "convert/open.h"
#include "core/mem.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

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

static char *output_of(const char *model, const QuantOptions *o, Error *err) {
    char version[64];
    version_name(o, version);
    return o->output ? mem_text(o->output, strlen(o->output), err) : output_name(model, version, ".nib", err);
}

// The directory of what is rounded already.
static bool state_make(const QuantOptions *o, Error *err) {
    if (!o->state || o->dry_run || file_is_directory(o->state) || mkdir(o->state, 0777) == 0) return true;
    return error_set(err, "%s: cannot be made: %s", o->state, strerror(errno));
}

static bool report_done(const QuantJob *job, const QuantOptions *o, double start, Error *err) {
    if (o->shard.count && !o->dry_run) {
        log_note("%s: part %lld of %lld is rounded", o->state, (long long)o->shard.index, (long long)o->shard.count);
        return true;
    }
    const QuantReport report = {job, o->dry_run ? 0 : file_size(job->output), log_seconds() - start};
    if (!o->json || strcmp(o->json, "-") != 0) quant_report_print(&report);
    if (!o->json) return true;
    cJSON *json = quant_report_json(&report);
    bool ok = report_write_json(o->json, json, err);
    cJSON_Delete(json);
    return ok;
}

static Stats *statistics(const Model *model, QuantOptions *o, Error *err) {
    Windows windows;
    Stats *stats = calibration_windows(model, o, &windows, err) ? calibration_get(model, o, &windows, err) : NULL;
    windows_free(&windows);
    return stats;
}

static int quantize(const char *path, QuantOptions *o) {
    Error err = {0};
    double start = log_seconds();
    Quantization q = {0};
    Stats *stats = NULL;
    char *output = output_of(path, o, &err);
    Model *model = output ? model_open(path, &err) : NULL;
    bool ok = model && output_check(model, output, &err);
    if (ok && calibration_asked(o)) ok = (stats = statistics(model, o, &err)) != NULL;
    ok = ok && quantization_plan(&q, model, output, o, stats, &err) && state_make(o, &err) &&
         (o->dry_run || quant_job_run(&q.job, &err)) && report_done(&q.job, o, start, &err);
    quantization_free(&q);
    stats_close(stats);
    mem_free(output);
    model_free(model);
    return ok ? EXIT_DONE : fail(&err);
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
