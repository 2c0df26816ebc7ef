// nibble stats: captures a model's calibration statistics, or says what a file of them holds.
#include "cli/calibration.h"
#include "cli/cli.h"
#include "cli/stats_report.h"
#include "cli/text_windows.h"
#include "convert/open.h"
#include "core/size.h"
#include "eval/capture.h"
#include "formats/fingerprint.h"
#include "formats/imatrix.h"
#include <stdio.h>
#include <string.h>

static const char *calib, *output, *method, *imatrix, *json, *memory;
static int64_t windows_limit, ctx, seed;
static bool no_output_side;

static const Option options[] = {
    {"calib", 'f', OPT_TEXT, &calib, "TEXT",
     "text to calibrate on; - is standard input, default the text that nibble carries", 0, 0},
    {"output", 'o', OPT_TEXT, &output, "FILE", "the statistics file to write", 0, 0},
    {"method", 'm', OPT_TEXT, &method, "METHOD",
     "what to gather: importance (mean squares), gptq (second moments) or fisher (the same weighted by gradients; "
     "default)",
     0, 0},
    {"windows", 'n', OPT_INT, &windows_limit, "N", "only the first N windows (default: all of the text)", 1, 1 << 30},
    {"ctx", 'c', OPT_INT, &ctx, "N", "tokens in a window (default 512, or the model's own limit where that is less)", 4,
     1 << 24},
    {"seed", 0, OPT_INT, &seed, "N", "fisher: of the labels that gradients are taken for (default 0)", 0, 0x1p53},
    {"no-outputs", 0, OPT_FLAG, &no_output_side, NULL, "fisher: without the outputs' side, in half the time", 0, 0},
    {"mem", 0, OPT_TEXT, &memory, "SIZE",
     "fisher: memory for the layers' inputs (default: a quarter of what is available, at most 1GiB); what is beyond "
     "goes to a file in TMPDIR",
     0, 0},
    {"imatrix", 0, OPT_TEXT, &imatrix, "FILE",
     "write the importance as llama.cpp reads it: .gguf or, the older form, .dat", 0, 0},
    {"json", 0, OPT_TEXT, &json, "FILE", "what there is as JSON; - for standard output", 0, 0},
    {NULL, 0, OPT_FLAG, NULL, NULL, NULL, 0, 0},
};

static bool report(const Stats *stats, const char *path, Error *err) {
    if (json) {
        cJSON *all = stats_json(stats, path);
        bool ok = report_write_json(json, all, err);
        cJSON_Delete(all);
        if (!ok || strcmp(json, "-") == 0) return ok;
    }
    stats_print(stats, path);
    return true;
}

static bool gather(const char *path, CaptureOptions *o, Error *err) {
    Windows windows = {0};
    Stats *stats = NULL;
    Model *model = model_open(path, err);
    if (model && text_windows(model, &(TextWindows){text_path(calib), ctx, 0, windows_limit, 0}, &windows, err))
        stats = capture(model, &windows, o, err);
    bool ok = stats && (!imatrix || imatrix_write(imatrix, stats, err)) &&
              (output ? report(stats, output, err) : report(stats, imatrix, err));
    stats_close(stats);
    windows_free(&windows);
    model_free(model);
    return ok;
}

// Statistics belong to one model.
static bool check_model(const Stats *stats, const char *path, const Model *model, Error *err) {
    Hash found, said = stats_info(stats)->model;
    if (hash_is_zero(said)) return true;
    return model_fingerprint(model, &found, err) &&
           (hash_equal(found, said) ||
            error_set(err, "%s: are statistics of another model than %s", path, model->path));
}

static bool show(const char *path, const char *of, Error *err) {
    Model *model = of ? model_open(of, err) : NULL;
    if (of && !model) return false;
    Stats *stats = NULL;
    if (stats_is(path))
        stats = stats_open(path, err);
    else if (imatrix_is(path))
        stats = imatrix_read(path, model ? model->desc.experts.count : 0, err);
    else
        error_set(err,
                  "%s: is neither a statistics file nor an importance matrix of llama.cpp (.gguf, .dat); to gather the "
                  "statistics of a model give --calib TEXT",
                  path);
    bool ok = stats && (!model || check_model(stats, path, model, err)) &&
              (!imatrix || imatrix_write(imatrix, stats, err)) && report(stats, path, err);
    stats_close(stats);
    model_free(model);
    return ok;
}

static bool parse_method(StatsKind *kind) {
    static const char *const names[STATS_KINDS] = {"importance", "gptq", "fisher"};
    *kind = STATS_FISHER;
    for (int k = 0; k < STATS_KINDS; k++)
        if (method && strcmp(method, names[k]) == 0) {
            *kind = (StatsKind)k;
            return true;
        }
    return !method;
}

static int run(int argc, char **argv) {
    int operands, code = options_parse(&command_stats, options, argc, argv, &operands);
    if (code >= 0) return code;
    CaptureOptions o = {.path = output,
                        .seed = (uint64_t)seed,
                        .memory = calibration_memory(),
                        .output_rows = CAPTURE_OUTPUT_ROWS,
                        .finished = calibration_predict};
    uint64_t bytes;
    if (operands < 1) return usage_error(&command_stats, "which MODEL or FILE?");
    if (operands > (calib ? 1 : 2)) return usage_error(&command_stats, "one MODEL or FILE at a time");
    if (!parse_method(&o.kind))
        return usage_error(&command_stats, "--method may be importance, gptq or fisher, not \"%s\"", method);
    if (memory) {
        if (!size_parse(memory, &bytes) || bytes > SIZE_MAX)
            return usage_error(&command_stats, "--mem wants a size as 2GiB, not \"%s\"", memory);
        o.memory = (size_t)bytes;
    }
    if (calib && !output && !imatrix) return usage_error(&command_stats, "where to? give -o FILE or --imatrix FILE");
    if (!calib && (output || method || windows_limit || ctx || seed || no_output_side || memory))
        return usage_error(&command_stats, "these options are for gathering: give --calib TEXT too");
    if (no_output_side) o.output_rows = 0;
    if (!output && !method) o.kind = STATS_IMPORTANCE; // all that an importance matrix has
    Error err = {0};
    if (calib) o.text_name = strcmp(calib, "-") == 0 ? "" : text_base_name(calib);
    bool ok = calib ? gather(argv[0], &o, &err) : show(argv[0], operands > 1 ? argv[1] : NULL, &err);
    return ok ? EXIT_DONE : fail(&err);
}

const Command command_stats = {
    .name = "stats",
    .summary = "gather calibration statistics of a model, or say what a file of them holds",
    .usage = "MODEL --calib TEXT (-o FILE | --imatrix FILE) [options]\n"
             "       nibble stats FILE [MODEL] [--imatrix FILE] [--json FILE]\n\n"
             "FILE may be a statistics file or an importance matrix of llama.cpp. With MODEL: an error where the\n"
             "statistics are of another model (a .dat with experts can be read with their model only).",
    .examples = "  nibble stats smol.nib --calib wiki.txt --windows 64 -o smol.stats\n"
                "  nibble stats smol.nib --calib wiki.txt --imatrix smol-imatrix.gguf\n"
                "  nibble stats smol.stats --imatrix smol-imatrix.dat\n",
    .run = run,
};
