#include "cli/fit_options.h"

#include "cli/heldout.h"
#include "core/file.h"
#include <string.h>

enum { USUAL_CONTEXT = 8192 }; // for --ram without --ctx

int fit_options_parse(FitOptions *o, int argc, char **argv, const char **model) {
    QuantGiven g = {.fit_option = "ram", .seed = -1};
    QuantOptions *q = &o->quant;
    *o = (FitOptions){.eval_windows = HELDOUT_WINDOWS};
    const Option options[] = {
        {"ram", 0, OPT_TEXT, &g.fit, "SIZE", "an engine runs it in so much memory, cache and all: 8GiB", 0, 0},
        {"ctx", 'c', OPT_INT, &g.context, "N",
         "with --ram: at this context (default: 8192, or the model's own limit where that is less)", 1, 1 << 30},
        {"size", 0, OPT_TEXT, &g.size, "SIZE", "... or: so many bytes of tensors: 86MiB", 0, 0},
        {"file-size", 0, OPT_TEXT, &g.file_size, "SIZE", "... or: the .nib is no larger than that", 0, 0},
        {"out", 'o', OPT_TEXT, &o->out, "NAME",
         "writes NAME.nib and NAME.gguf (default: MODEL-SIZE, in this directory)", 0, 0},
        {"allow", 0, OPT_TEXT, &g.allow, "TYPE,...", "types to choose from (default: what llama.cpp runs fast on CPUs)",
         0, 0},
        {"calib", 0, OPT_TEXT, &q->calib, "TEXT", "calibrate on this text (default: the one that nibble carries)", 0,
         0},
        {"calib-windows", 0, OPT_INT, &q->calib_windows, "N", "... its first N windows (default: 64)", 1, 1 << 20},
        {"stats", 0, OPT_TEXT, &q->stats, "FILE",
         "keep what calibration gathers there, or use what is there: other sizes then take seconds", 0, 0},
        {"eval-text", 0, OPT_TEXT, &o->eval_text, "TEXT",
         "evaluate on this text (default: a part of the carried one that calibration does not see)", 0, 0},
        {"eval-windows", 0, OPT_INT, &o->eval_windows, "N", "... on so many windows (default: 40)", 1, 1 << 20},
        {"dry-run", 0, OPT_FLAG, &q->dry_run, NULL, "only predict; writes no model", 0, 0},
        {"requantize", 0, OPT_FLAG, &q->request.requantize, NULL, "quantize what is quantized already", 0, 0},
        {NULL, 0, OPT_FLAG, NULL, NULL, NULL, 0, 0},
    };
    Error err = {0};
    int operands, code = options_parse(&command_fit, options, argc, argv, &operands);
    if (code >= 0) return code;
    if (operands != 1) return usage_error(&command_fit, operands ? "one MODEL at a time" : "which MODEL?");
    if (!g.fit && !g.size && !g.file_size)
        return usage_error(&command_fit, "how large? Give --ram 8GiB, --size 86MiB or --file-size 90MiB");
    if (q->calib && o->eval_text && strcmp(q->calib, "-") == 0 && strcmp(o->eval_text, "-") == 0)
        return usage_error(&command_fit, "--calib and --eval-text cannot both be standard input");
    *model = argv[0];
    o->context_given = g.context != 0;
    if (g.fit && !g.context) g.context = USUAL_CONTEXT;
    if (!q->calib && (q->calib_windows || !q->stats || !file_exists(q->stats))) q->calib = "default";
    return quant_options_read(&g, q, &err) ? -1 : usage_error(&command_fit, "%s", err.text);
}
