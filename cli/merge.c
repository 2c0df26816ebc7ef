// nibble merge: the parts of an evaluation that several machines made, put together.
#include "cli/cli.h"
#include "cli/eval_report.h"

#include "core/mem.h"
#include "eval/partial.h"
#include <stdlib.h>

static const char *json, *per_token;

static const Option options[] = {
    {"json", 0, OPT_TEXT, &json, "FILE", "the report as JSON; - is standard output instead of the table", 0, 0},
    {"per-token", 0, OPT_TEXT, &per_token, "FILE", "a line of CSV for every scored token", 0, 0},
    {NULL, 0, OPT_FLAG, NULL, NULL, NULL, 0, 0},
};

static int run(int argc, char **argv);

const Command command_merge = {
    "merge",
    "put the shards of an evaluation together",
    "SHARD.json... [options]",
    "  nibble eval smol.nib smol-q4.nib --text wiki.txt --shard 0/4 --json part0.json    # on each of four machines\n"
    "  nibble merge part?.json --json report.json\n",
    run,
};

static int run(int argc, char **argv) {
    int operands, code = options_parse(&command_merge, options, argc, argv, &operands);
    if (code >= 0) return code;
    if (!operands) return usage_error(&command_merge, "which SHARD.json?");
    Error err = {0};
    Windows windows = {0};
    Evaluation e = {0};
    Partial *parts = mem_alloc((size_t)operands, sizeof *parts, &err);
    bool ok = parts != NULL;
    for (int i = 0; ok && i < operands; i++) ok = partial_read(argv[i], &parts[i], &err);
    Compute compute = ok ? parts[0].whole.compute : COMPUTE_F32;
    ok = ok && partial_merge(parts, (const char *const *)argv, (size_t)operands, &windows, &e, &err) &&
         eval_report(&e, compute, json, per_token, &err);
    evaluation_free(&e);
    windows_free(&windows);
    for (int i = 0; parts && i < operands; i++) partial_free(&parts[i]);
    mem_free(parts);
    return ok ? EXIT_DONE : fail(&err);
}
