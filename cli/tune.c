// nibble tune: the scales of a quantized model, moved towards the model that it was made from.
#include "cli/calibration_windows.h"
#include "cli/cli.h"
#include "cli/version.h"
#include "convert/open.h"
#include "convert/write.h"
#include "core/size.h"
#include "eval/tune.h"
#include "quant/kernels/kernels.h"
#include <stdio.h>
#include <string.h>

typedef struct TuneCommand {
    const char *model, *base, *calib, *output, *memory;
    int64_t windows, ctx;
    TuneOptions tune;
} TuneCommand;

static void widen(DType from, const void *src, float *dst, int64_t n) { kernels_get()->to_f32[from](src, dst, n); }
static void narrow(DType to, const float *src, void *dst, int64_t n) { kernels_get()->from_f32[to](src, dst, n); }

static bool write_tuned(const TuneCommand *c, Model *model, const TuneResult *r, Error *err) {
    cJSON *step = cJSON_CreateObject();
    const WriteOptions options = {.kernels = {widen, narrow}, .program = "nibble " NIBBLE_VERSION, .step = step};
    bool ok = step && cJSON_AddStringToObject(step, "step", "tune") &&
              cJSON_AddStringToObject(step, "program", options.program) &&
              cJSON_AddStringToObject(step, "base", c->base) &&
              cJSON_AddStringToObject(step, "text", c->calib ? c->calib : "carried") &&
              cJSON_AddNumberToObject(step, "windows", (double)c->windows) &&
              cJSON_AddNumberToObject(step, "epochs", (double)r->epoch) &&
              cJSON_AddNumberToObject(step, "rate", c->tune.rate) &&
              cJSON_AddNumberToObject(step, "scales", (double)r->scales);
    ok = ok ? model_write_nib(model, c->output, &options, err) : error_set(err, "out of memory");
    cJSON_Delete(step);
    return ok;
}

static bool check_output(const Model *model, const char *output, Error *err) {
    for (size_t i = 0; i < model->map_count; i++)
        if (file_same(model->maps[i]->path, output))
            return error_set(err, "%s: is a model that is read; name another output with -o", output);
    return true;
}

static int tune(const TuneCommand *c) {
    Error err = {0};
    Windows windows = {0};
    TuneResult r = {0};
    double start = log_seconds();
    Model *base = model_open(c->base, &err), *model = base ? model_open(c->model, &err) : NULL;
    bool ok =
        model && check_output(base, c->output, &err) && check_output(model, c->output, &err) &&
        calibration_windows(base, c->calib, c->ctx, c->windows, c->tune.batch + c->tune.held_out, &windows, &err) &&
        tune_scales(base, model, &windows, &c->tune, &r, &err) && write_tuned(c, model, &r, &err);
    if (ok) {
        printf("%lld scales of %lld tensors: mean divergence on %lld windows held out %.5f -> %.5f",
               (long long)r.scales, (long long)r.tensors, (long long)c->tune.held_out, r.before, r.after);
        printf(r.epoch ? ", epoch %lld of %lld\n" : ": no epoch of %2$lld was better, nothing was changed\n",
               (long long)r.epoch, (long long)c->tune.epochs);
        printf("%s: %.0f s\n", c->output, log_seconds() - start);
    }
    windows_free(&windows);
    model_free(model);
    model_free(base);
    return ok ? EXIT_DONE : fail(&err);
}

static int run(int argc, char **argv) {
    TuneCommand c = {.windows = 64, .tune = {.epochs = 4, .batch = 4, .rate = 5e-4, .held_out = 8}};
    uint64_t memory = (uint64_t)1 << 30;
    const Option options[] = {
        {"base", 'b', OPT_TEXT, &c.base, "MODEL", "the model that it was made from", 0, 0},
        {"output", 'o', OPT_TEXT, &c.output, "FILE", "the .nib to write", 0, 0},
        {"calib", 0, OPT_TEXT, &c.calib, "FILE", "text to tune on; - is standard input (default: the carried text)", 0,
         0},
        {"windows", 'n', OPT_INT, &c.windows, "N", "of the text, those held out among them (default: 64)", 2, 1 << 20},
        {"ctx", 'c', OPT_INT, &c.ctx, "N", "tokens in a window (default: 512, or the model's own limit)", 4, 1 << 24},
        {"held-out", 0, OPT_INT, &c.tune.held_out, "N", "windows that decide which epoch is kept (default: 8)", 1,
         1 << 20},
        {"epochs", 0, OPT_INT, &c.tune.epochs, "N", "(default: 4)", 1, 1000},
        {"batch", 0, OPT_INT, &c.tune.batch, "N", "windows a step (default: 4)", 1, 1 << 16},
        {"rate", 0, OPT_DOUBLE, &c.tune.rate, "X", "how far a scale moves at a step, of itself (default: 0.0005)", 1e-9,
         0.1},
        {"mem", 0, OPT_TEXT, &c.memory, "SIZE", "what layers' inputs may take; the rest goes to TMPDIR (default: 1GiB)",
         0, 0},
        {NULL, 0, OPT_FLAG, NULL, NULL, NULL, 0, 0},
    };
    int operands, code = options_parse(&command_tune, options, argc, argv, &operands);
    if (code >= 0) return code;
    if (operands != 1) return usage_error(&command_tune, operands ? "one MODEL at a time" : "which MODEL?");
    if (!c.base) return usage_error(&command_tune, "what was it made from? Give --base MODEL");
    if (!c.output) return usage_error(&command_tune, "where to? Give -o OUT.nib");
    if (c.memory && !size_parse(c.memory, &memory))
        return usage_error(&command_tune, "--mem %s: is not a size such as 2GiB", c.memory);
    c.model = argv[0];
    c.tune.memory = (size_t)memory;
    return tune(&c);
}

const Command command_tune = {
    .name = "tune",
    .summary = "move a quantized model's scales towards the model it was made from",
    .usage =
        "MODEL --base ORIGINAL -o OUT.nib [options]\n\n"
        "Small steps down the gradient of the divergence, for the scales of the layers' blocks; codes stay, and so do\n"
        "types and sizes. It takes minutes for a model of 100 million weights and grows with the size; what is best "
        "on\n"
        "windows held out is kept, so that it never makes worse what it measures.",
    .examples = "  nibble tune smol-q4.nib --base smol.nib -o smol-q4-tuned.nib\n"
                "  nibble tune smol-q4.nib --base smol.nib --calib wiki.txt --windows 200 --epochs 2 -o tuned.nib\n",
    .run = run,
};
