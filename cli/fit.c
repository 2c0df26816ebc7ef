// nibble fit: a checkpoint and a size in, the best model of that size out, as .nib and as GGUF, and what it cost.
#include "cli/calibration.h"
#include "cli/cast_kernels.h"
#include "cli/fit_options.h"
#include "cli/heldout.h"
#include "cli/output_name.h"
#include "cli/quant_report.h"
#include "cli/quantize.h"
#include "cli/text_windows.h"
#include "cli/version.h"
#include "convert/export.h"
#include "convert/open.h"
#include "convert/write.h"
#include "core/mem.h"
#include "core/size.h"
#include "eval/evaluate.h"
#include "eval/report.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct Fit {
    FitOptions *options;
    char *nib, *gguf;     // outputs
    Model *model;         // what is read: in place, whatever it is, so that no copy of it is ever on the disk
    bool whole;           // it is small enough as it is
    StatsInfo calibrated; // of the statistics; zeros where none are needed
    Heldout heldout;
    Stats *stats;
    Quantization quantization;
    Model *result;
    double started, seconds[3]; // of calibration, quantization, evaluation
} Fit;

static const ExportOptions *gguf_options(void) {
    static const ExportOptions options = {.kernels = {cast_widen, cast_narrow}};
    return &options;
}

// ---- outputs

static char *output_path(const Fit *f, const char *path, const char *ending, Error *err) {
    const char *out = f->options->out;
    if (!out) return output_name(path, f->options->quant.budget.text, ending, err);
    size_t length = output_stem(out, strlen(out)), size = length + strlen(ending) + 1;
    char *whole = mem_alloc(size, 1, err);
    if (whole) snprintf(whole, size, "%.*s%s", (int)length, out, ending);
    return whole;
}

// Now, and not after minutes of work.
static bool check_outputs(const Fit *f, Error *err) {
    char *directory = file_directory(f->nib, err);
    bool ok = directory != NULL;
    if (ok && (!file_is_directory(directory) || access(directory, W_OK) != 0))
        ok = error_set(err, "%s: is no directory that can be written to; name another with --out", directory);
    mem_free(directory);
    return ok && output_check(f->model, f->nib, err) && output_check(f->model, f->gguf, err);
}

// ---- what is to be done

static bool check_plain(const Model *model, Error *err) {
    for (size_t i = 0; i < model->tensor_count; i++)
        if (dtype_is_block(model->tensors[i].type))
            return error_set(err,
                             "%s: tensor %s is quantized already (%s); start from the original, or give --requantize",
                             model->path, model->tensors[i].name, dtype_name(model->tensors[i].type));
    return true;
}

// Whether there is anything to do at all.
static bool compare_sizes(Fit *f, Error *err) {
    QuantOptions *q = &f->options->quant;
    Budget *b = &q->budget;
    uint64_t asked, now;
    char text[32], budget[32];
    if (!f->options->context_given && b->kind == BUDGET_FIT && b->context > f->model->desc.context)
        b->context = f->model->desc.context;
    if (!choice_range(f->model, q, &asked, &now, err)) return false;
    f->whole = now <= asked && !q->allow_given;
    if (f->whole)
        printf("%s fits as it is: %s of tensors, and --%s %s leaves %s for them; nothing needs to be quantized\n",
               f->model->path, size_text(now, text), budget_option(b), b->text, size_text(asked, budget));
    else if (now < asked && b->kind == BUDGET_SIZE)
        b->bytes = now; // of the types allowed, the best; more than that buys nothing
    return f->whole || q->request.requantize || check_plain(f->model, err);
}

// Says so before the work, for whoever wants just that.
static void check_gguf(const Fit *f) {
    Error why = {0};
    if (!model_gguf_possible(f->model, gguf_options(), &why)) log_warn("there will be no GGUF: %s", why.text);
}

// ---- steps

static void step_done(Fit *f, int step) {
    double now = log_seconds(), before = f->started;
    for (int i = 0; i < step; i++) before += f->seconds[i];
    f->seconds[step] = now - before;
}

// Texts are read, and found too short, before the first walk. What kept statistics saw they know themselves.
static bool calibrate(Fit *f, Error *err) {
    FitOptions *o = f->options;
    Windows windows;
    bool there = o->quant.stats && file_exists(o->quant.stats),
         ok = calibration_windows(f->model, &o->quant, &windows, err);
    if (ok && there) ok = (f->stats = calibration_get(f->model, &o->quant, &windows, err)) != NULL;
    f->calibrated = (StatsInfo){.text = windows_hash(&windows), .windows = (int64_t)windows.count, .ctx = windows.ctx};
    if (f->stats) f->calibrated = *stats_info(f->stats);
    if (!o->quant.dry_run)
        ok = ok && heldout_windows(f->model, o->eval_text, &f->calibrated, o->eval_windows, &f->heldout, err);
    if (ok && !there) {
        log_note("calibrating on %zu windows of %lld tokens", windows.count, (long long)windows.ctx);
        ok = (f->stats = calibration_get(f->model, &o->quant, &windows, err)) != NULL;
    }
    if (f->stats) f->calibrated = *stats_info(f->stats);
    windows_free(&windows);
    step_done(f, 0);
    return ok;
}

static bool quantize(Fit *f, Error *err) {
    QuantOptions *q = &f->options->quant;
    QuantJob *job = &f->quantization.job;
    if (!quantization_plan(&f->quantization, f->model, f->nib, q, f->stats, err)) return false;
    quant_report_print(&(QuantReport){.job = job});
    fflush(stdout);
    if (q->dry_run) return true;
    log_note("quantizing");
    if (!quant_job_run(job, err)) return false;
    quant_report_notes(job);
    return true;
}

static bool write_whole(const Fit *f, Error *err) {
    const WriteOptions options = {.kernels = cast_kernels, .program = "nibble " NIBBLE_VERSION};
    return f->options->quant.dry_run || model_write_nib(f->model, f->nib, &options, err);
}

// Only what is no fault of the disk's is left out.
static bool write_gguf(Fit *f, char line[1200], Error *err) {
    Error why = {0};
    ExportResult r;
    char text[32];
    if (!model_gguf_possible(f->result, gguf_options(), &why)) {
        snprintf(line, 1200, "%s: not written: %s", f->gguf, why.text);
        return true;
    }
    if (!model_export_gguf(f->result, f->gguf, gguf_options(), &r, err)) return false;
    if (r.yarn_rounded)
        log_warn("engines round the range of dimensions in which yarn blends two speeds to whole ones, which the model "
                 "does not; they differ from it a little");
    snprintf(line, 1200, "%s: %s", f->gguf, size_text(r.bytes, text));
    return true;
}

// ---- the report

static void print_texts(const Fit *f) {
    const StatsInfo *c = &f->calibrated;
    const char *text = f->options->eval_text ? f->options->eval_text : "the carried text";
    const Windows *w = &f->heldout.windows;
    if (f->heldout.skipped)
        printf(
            "\ncalibrated on windows 1 to %lld of %s, evaluated on its windows %lld to %lld, which calibration did not "
            "see\n",
            (long long)c->windows, text, (long long)f->heldout.skipped + 1,
            (long long)f->heldout.skipped + (long long)w->count);
    else if (!f->stats)
        printf("\nevaluated on windows 1 to %zu of %s\n", w->count, text);
    else
        printf("\ncalibrated on %s, evaluated on windows 1 to %zu of %s\n",
               hash_is_zero(c->text) ? "a text that its statistics do not identify"
               : c->text_name[0]     ? c->text_name
                                     : "another text",
               w->count, text);
}

static bool measure(Fit *f, Error *err) {
    const Model *models[] = {f->model, f->result};
    Evaluation e = {0};
    log_note("evaluating on %zu windows", f->heldout.windows.count);
    bool ok = evaluate(models, 2, &f->heldout.windows, NULL, &e, err);
    if (ok) {
        print_texts(f);
        report_table(&e, COMPUTE_F32, stdout);
    }
    evaluation_free(&e);
    step_done(f, 2);
    return ok;
}

static void print_end(const Fit *f, const char *gguf_line) {
    char text[32];
    printf("\n%s: %s\n%s\n", f->nib, size_text(file_size(f->nib), text), gguf_line);
    printf("%.1f s in all: %.1f calibration, %.1f quantization, %.1f evaluation\n", log_seconds() - f->started,
           f->seconds[0], f->seconds[1], f->seconds[2]);
}

// ---- all of it

static bool fit(Fit *f, const char *path, Error *err) {
    char gguf_line[1200];
    FitOptions *o = f->options;
    if (!(f->nib = output_path(f, path, ".nib", err)) || !(f->gguf = output_path(f, path, ".gguf", err)) ||
        !(f->model = model_open(path, err)) || !check_outputs(f, err) || !compare_sizes(f, err))
        return false;
    check_gguf(f);
    if (!f->whole && (!calibrate(f, err) || !quantize(f, err))) return false;
    if (o->quant.dry_run) return true;
    if (f->whole && (!heldout_windows(f->model, o->eval_text, &f->calibrated, o->eval_windows, &f->heldout, err) ||
                     !write_whole(f, err)))
        return false;
    if (!(f->result = model_open(f->nib, err)) || !write_gguf(f, gguf_line, err)) return false;
    step_done(f, 1);
    if (!measure(f, err)) return false;
    print_end(f, gguf_line);
    return true;
}

static int run(int argc, char **argv) {
    FitOptions o;
    const char *model;
    Error err = {0};
    int code = fit_options_parse(&o, argc, argv, &model);
    if (code < 0) {
        Fit f = {.options = &o, .started = log_seconds()};
        code = fit(&f, model, &err) ? EXIT_DONE : fail(&err);
        quantization_free(&f.quantization);
        stats_close(f.stats);
        windows_free(&f.heldout.windows);
        model_free(f.result);
        model_free(f.model);
        mem_free(f.nib);
        mem_free(f.gguf);
    }
    quant_options_free(&o.quant);
    return code;
}

const Command command_fit = {
    .name = "fit",
    .summary = "the best model that fits: calibrate, choose, quantize, measure, write .nib and GGUF",
    .usage =
        "MODEL (--ram SIZE [--ctx N] | --size SIZE | --file-size SIZE) [--out NAME] [options]\n\n"
        "MODEL is a Hugging Face directory, a .gguf or a .nib, and is read where it is. Its own gradients on the\n"
        "calibration text say what each tensor is worth; types are chosen to the size, and rounding makes up for its\n"
        "own errors (nibble quant --calib). NAME.nib and NAME.gguf appear when they are whole; what was there\n"
        "before is replaced. A model that has no GGUF form gets none, and the reason is said.",
    .examples = "  nibble fit ./SmolLM2-135M --size 86MiB\n"
                "  nibble fit ./Llama-3.1-8B --ram 8GiB --ctx 8192 --out llama-8g --stats llama.stats\n"
                "  nibble fit ./Llama-3.1-8B --ram 6GiB --stats llama.stats --dry-run\n"
                "  nibble fit smol.nib --size 96MiB --calib wiki.valid.txt --eval-text wiki.test.txt\n",
    .run = run,
};
