// nibble export: a model to the engines that people run.
#include "cli/cast_kernels.h"
#include "cli/cli.h"
#include "cli/output_name.h"
#include "convert/export.h"
#include "convert/open.h"
#include "core/size.h"
#include "quant/groups.h"
#include <stdio.h>
#include <string.h>
#include <strings.h>

typedef enum Target { TO_GGUF, TO_HF, TO_COMPRESSED_TENSORS, TO_GPTQ, TO_UNKNOWN } Target;

// By --to, else by what the output is called.
static Target target_of(const char *to, const char *output) {
    static const char *const names[] = {"gguf", "hf", "compressed-tensors", "gptq"}; // in the order of Target
    size_t n = strlen(output);
    for (int i = 0; to && i < TO_UNKNOWN; i++)
        if (strcasecmp(to, names[i]) == 0) return (Target)i;
    if (to) return TO_UNKNOWN;
    if (n > 5 && strcasecmp(output + n - 5, ".gguf") == 0) return TO_GGUF;
    return (n && output[n - 1] == '/') || file_is_directory(output) ? TO_HF : TO_UNKNOWN;
}

static void report(const char *output, const ExportOptions *o, const ExportResult *r, double seconds) {
    char text[32];
    const ExportPack *pack = o->pack;
    if (pack) {
        printf("%zu matrices are int%d in groups of %lld, %s", r->packed, pack->grid.bits, (long long)pack->grid.group,
               pack->grid.symmetric ? "symmetric" : "with zero points");
        if (r->carried) printf("; codes and scales of %zu were carried over as they were", r->carried);
        printf("\n");
        if (r->undivided)
            printf("%zu matrices that groups do not divide stay in %s\n", r->undivided, dtype_name(r->dtype));
    }
    if (r->yarn_rounded)
        log_warn("engines round the range of dimensions in which yarn blends two speeds to whole ones, which the model "
                 "does not; they differ from it a little");
    printf("%s: ", output);
    if (r->files > 1) printf("%zu files, ", r->files);
    printf("%s, %zu tensors, %.2f s\n", size_text(r->bytes, text), r->tensors, seconds);
}

static int export(const char *path, const char *output, Target target, const ExportOptions *options) {
    Error err = {0};
    ExportResult result = {0};
    double start = log_seconds();
    Model *model = model_open(path, &err);
    bool ok = model && output_check(model, output, &err) &&
              (target == TO_GGUF ? model_export_gguf(model, output, options, &result, &err)
                                 : model_export_hf(model, output, options, &result, &err));
    if (ok) report(output, options, &result, log_seconds() - start);
    model_free(model);
    return ok ? EXIT_DONE : fail(&err);
}

// What of the options for integers contradicts the target or itself; NULL: nothing.
static const char *check_pack(Target target, const ExportPack *pack, const ExportOptions *o, bool asked) {
    if (target != TO_COMPRESSED_TENSORS && target != TO_GPTQ)
        return asked ? "--bits, --group, --asymmetric, --requantize and --keep-undivided are for --to "
                       "compressed-tensors and --to gptq"
                     : NULL;
    if (pack->grid.bits != 4 && pack->grid.bits != 8) return "--bits: must be 4 or 8";
    if (pack->grid.group != 32 && pack->grid.group != 64 && pack->grid.group != 128)
        return "--group: must be 32, 64 or 128";
    if (o->cast && o->dtype == DT_F32) return "--dtype f32: what is beside integers must be f16 or bf16";
    if (o->cast && target == TO_GPTQ && o->dtype != DT_F16) return "--dtype: GPTQ has f16";
    return NULL;
}

static int run(int argc, char **argv) {
    const char *output = NULL, *to = NULL, *dtype = NULL, *split = NULL;
    ExportOptions o = {.kernels = cast_kernels};
    int64_t bits = 0, group = 0;
    bool asymmetric = false;
    ExportPack pack = {.round = groups_round};
    const Option options[] = {
        {"output", 'o', OPT_TEXT, &output, "OUT", "X.gguf, or X/ for a Hugging Face directory", 0, 0},
        {"to", 0, OPT_TEXT, &to, "FORMAT", "gguf, hf, compressed-tensors or gptq; OUT may say the first two", 0, 0},
        {"dtype", 0, OPT_TEXT, &dtype, "TYPE", "f32, f16 or bf16 instead of the types described above", 0, 0},
        {"split-max-size", 0, OPT_TEXT, &split, "SIZE", "several files of at most that size, for instance 2GB", 0, 0},
        {"bits", 0, OPT_INT, &bits, "N", "compressed-tensors, gptq: 4 or 8 (default: 4)", 4, 8},
        {"group", 0, OPT_INT, &group, "N", "... weights that share a scale: 32, 64 or 128 (default: 128)", 32, 128},
        {"asymmetric", 0, OPT_FLAG, &asymmetric, NULL, "... a zero point for each group", 0, 0},
        {"keep-undivided", 0, OPT_FLAG, &pack.keep_undivided, NULL,
         "... matrices whose width groups do not divide stay in 16 bits", 0, 0},
        {"requantize", 0, OPT_FLAG, &pack.requantize, NULL, "... round what is quantized already", 0, 0},
        {"context", 0, OPT_INT, &o.context, "N", "GGUF: say that the model is made for N tokens, if that is less", 1,
         1 << 30},
        {"pre", 0, OPT_TEXT, &o.pre, "NAME", "GGUF: llama.cpp's name of the pre-tokenizer (default: found out)", 0, 0},
        {NULL, 0, OPT_FLAG, NULL, NULL, NULL, 0, 0},
    };
    int operands, code = options_parse(&command_export, options, argc, argv, &operands);
    if (code >= 0) return code;
    if (operands != 1) return usage_error(&command_export, operands ? "one MODEL at a time" : "which MODEL?");
    if (!output) return usage_error(&command_export, "where to? Give -o X.gguf or -o X/");
    Target target = target_of(to, output);
    if (target == TO_UNKNOWN)
        return to ? usage_error(&command_export, "--to %s: must be gguf, hf, compressed-tensors or gptq", to)
                  : usage_error(&command_export, "-o %s: end it with .gguf or with /, or say --to gguf or --to hf",
                                output);
    o.cast = dtype != NULL;
    if (dtype && !(dtype_from_name(dtype, &o.dtype) && (o.dtype == DT_F32 || o.dtype == DT_F16 || o.dtype == DT_BF16)))
        return usage_error(&command_export, "--dtype %s: must be f32, f16 or bf16 (nibble quant makes smaller ones)",
                           dtype);
    if (split && (!size_parse(split, &o.split) || o.split == 0))
        return usage_error(&command_export, "--split-max-size %s: is not a size such as 2GB or 500MiB", split);
    if ((o.pre || o.context) && target != TO_GGUF)
        return usage_error(&command_export, "--pre and --context are for GGUF alone");
    pack.layout = target == TO_GPTQ ? PACK_GPTQ : PACK_COMPRESSED_TENSORS;
    pack.grid = (GroupGrid){.bits = bits ? (int)bits : 4,
                            .group = group ? group : 128,
                            .symmetric = !asymmetric,
                            .least_zero = target == TO_GPTQ}; // which stores zeros less one
    const char *wrong =
        check_pack(target, &pack, &o, bits || group || asymmetric || pack.keep_undivided || pack.requantize);
    if (wrong) return usage_error(&command_export, "%s", wrong);
    if (target == TO_COMPRESSED_TENSORS || target == TO_GPTQ) o.pack = &pack;
    return export(argv[0], output, target, &o);
}

const Command command_export = {
    .name = "export",
    .summary = "write a model for llama.cpp, Ollama (GGUF), transformers or vLLM",
    .usage =
        "MODEL -o X.gguf|X/ [options]\n\n"
        "GGUF takes blocks as they are; vectors become f32, matrices that are not in blocks keep their type unless\n"
        "--dtype says otherwise. A Hugging Face directory has every tensor in one plain type: --dtype, else the\n"
        "source's own or, for a quantized model, bf16. It comes with the tokenizer and config files of the source.\n"
        "--to compressed-tensors and --to gptq make one for vLLM and transformers whose linear layers are integers in\n"
        "groups; all else is f16 or bf16. What is in q4_0 or q8_0 is carried over as it is where the groups are the\n"
        "same: --group 32, and f16.",
    .examples = "  nibble export smol-q4.nib -o smol-q4.gguf\n"
                "  nibble export smol.nib -o smol.gguf --split-max-size 2GB\n"
                "  nibble export smol-q4.nib -o smol-q4-hf/ --dtype f16\n"
                "  nibble export smol.nib -o smol-w4/ --to compressed-tensors --bits 4 --group 64\n",
    .run = run,
};
