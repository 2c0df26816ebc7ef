// nibble bench: how fast this machine is, its kernels are, and models run.
#include "cli/bench.h"

#include "cli/cli.h"
#include "cli/version.h"
#include "convert/open.h"
#include <math.h>
#include <string.h>

static int64_t prompt = 512, gen = 64, repeat = 3;
static bool quick, models_only;
static const char *json, *compute;

static const Option options[] = {
    {"prompt", 'p', OPT_INT, &prompt, "N", "tokens of a prompt (default 512)", 1, 1 << 20},
    {"gen", 'n', OPT_INT, &gen, "N", "tokens one by one (default 64)", 1, 1 << 20},
    {"repeat", 'r', OPT_INT, &repeat, "R", "runs of each model after one that does not count (default 3)", 1, 1000},
    {"compute", 0, OPT_TEXT, &compute, "f32|int8", "the models' arithmetic (default int8, as engines run)", 0, 0},
    {"models", 0, OPT_FLAG, &models_only, NULL, "the models alone, not the machine and its kernels", 0, 0},
    {"quick", 0, OPT_FLAG, &quick, NULL, "short measurements: a look, not figures to keep", 0, 0},
    {"json", 0, OPT_TEXT, &json, "FILE", "the report as JSON; - is standard output instead of the table", 0, 0},
    {NULL, 0, OPT_FLAG, NULL, NULL, NULL, 0, 0},
};

static int run(int argc, char **argv);

const Command command_bench = {
    "bench",
    "how fast the machine, the kernels and models are",
    "[MODEL...] [options]",
    "  nibble bench\n"
    "  nibble bench smol-q8.nib smol-q4.nib --models\n"
    "  nibble bench smol-q4.gguf --models --compute f32 --json -\n",
    run,
};

double bench_shortest(const Bench *b, void (*f)(void *context), void *context) {
    double shortest = INFINITY, start = log_seconds();
    for (int runs = 0; runs < 3 || log_seconds() - start < b->seconds; runs++) {
        double from = log_seconds();
        f(context);
        shortest = fmin(shortest, log_seconds() - from);
    }
    return shortest;
}

static bool model_run(Bench *b, const char *path, Compute arithmetic, Error *err) {
    BenchModel what = {prompt, gen, (int)repeat};
    Model *m = model_open(path, err);
    if (m) m->compute = arithmetic;
    bool ok = m && bench_model(b, m, &what, err);
    model_free(m);
    return ok;
}

static int run(int argc, char **argv) {
    int operands, code = options_parse(&command_bench, options, argc, argv, &operands);
    Compute arithmetic = COMPUTE_INT8;
    if (code >= 0) return code;
    if (compute && !compute_parse(compute, &arithmetic))
        return usage_error(&command_bench, "--compute may be f32 or int8, not \"%s\"", compute);
    if (models_only && !operands) return usage_error(&command_bench, "--models without any");
    bool table = !json || strcmp(json, "-") != 0;
    Bench b = {.table = table ? stdout : NULL, .json = cJSON_CreateObject(), .seconds = quick ? 0.02 : 0.3};
    Error err = {0};
    bool ok = b.json != NULL && cJSON_AddStringToObject(b.json, "version", NIBBLE_VERSION);
    if (!ok) error_set(&err, "out of memory for the report");
    ok = ok && bench_machine(&b, &err) && (models_only || bench_kernels(&b, &err));
    for (int i = 0; ok && i < operands; i++) ok = model_run(&b, argv[i], arithmetic, &err);
    ok = ok && (!json || report_write_json(json, b.json, &err));
    cJSON_Delete(b.json);
    return ok ? EXIT_DONE : fail(&err);
}
