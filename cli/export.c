// nibble export: a model to the engines that people run.
#include "cli/cli.h"
#include "convert/export.h"
#include "convert/open.h"
#include "core/size.h"
#include "quant/kernels/kernels.h"
#include <stdio.h>
#include <string.h>
#include <strings.h>

typedef enum Target { TO_GGUF, TO_HF, TO_UNKNOWN } Target;

static void widen(DType from, const void *src, float *dst, int64_t n) { kernels_get()->to_f32[from](src, dst, n); }
static void narrow(DType to, const float *src, void *dst, int64_t n) { kernels_get()->from_f32[to](src, dst, n); }

// By --to, else by what the output is called.
static Target target_of(const char *to, const char *output) {
    size_t n = strlen(output);
    if (to) return strcasecmp(to, "gguf") == 0 ? TO_GGUF : strcasecmp(to, "hf") == 0 ? TO_HF : TO_UNKNOWN;
    if (n > 5 && strcasecmp(output + n - 5, ".gguf") == 0) return TO_GGUF;
    return (n && output[n - 1] == '/') || file_is_directory(output) ? TO_HF : TO_UNKNOWN;
}

static bool check_output(const Model *model, const char *output, Error *err) {
    for (size_t i = 0; i < model->map_count; i++)
        if (file_same(model->maps[i]->path, output))
            return error_set(err, "%s: is the model that is read; name another output with -o", output);
    return true;
}

static int export(const char *path, const char *output, Target target, const ExportOptions *options) {
    Error err = {0};
    char text[32];
    ExportResult result;
    double start = log_seconds();
    Model *model = model_open(path, &err);
    bool ok = model && check_output(model, output, &err) &&
              (target == TO_GGUF ? model_export_gguf(model, output, options, &result, &err)
                                 : model_export_hf(model, output, options, &result, &err));
    if (ok) {
        printf("%s: ", output);
        if (result.files > 1) printf("%zu files, ", result.files);
        printf("%s, %zu tensors, %.2f s\n", size_text(result.bytes, text), result.tensors, log_seconds() - start);
    }
    model_free(model);
    return ok ? EXIT_DONE : fail(&err);
}

static int run(int argc, char **argv) {
    const char *output = NULL, *to = NULL, *dtype = NULL, *split = NULL;
    ExportOptions o = {.kernels = {widen, narrow}};
    const Option options[] = {
        {"output", 'o', OPT_TEXT, &output, "OUT", "X.gguf, or X/ for a Hugging Face directory", 0, 0},
        {"to", 0, OPT_TEXT, &to, "FORMAT", "gguf or hf, where OUT does not say", 0, 0},
        {"dtype", 0, OPT_TEXT, &dtype, "TYPE", "f32, f16 or bf16 instead of the types described above", 0, 0},
        {"split-max-size", 0, OPT_TEXT, &split, "SIZE", "several files of at most that size, for instance 2GB", 0, 0},
        {"pre", 0, OPT_TEXT, &o.pre, "NAME", "GGUF: llama.cpp's name of the pre-tokenizer (default: found out)", 0, 0},
        {NULL, 0, OPT_FLAG, NULL, NULL, NULL, 0, 0},
    };
    int operands, code = options_parse(&command_export, options, argc, argv, &operands);
    if (code >= 0) return code;
    if (operands != 1) return usage_error(&command_export, operands ? "one MODEL at a time" : "which MODEL?");
    if (!output) return usage_error(&command_export, "where to? Give -o X.gguf or -o X/");
    Target target = target_of(to, output);
    if (target == TO_UNKNOWN)
        return to ? usage_error(&command_export, "--to %s: must be gguf or hf", to)
                  : usage_error(&command_export, "-o %s: end it with .gguf or with /, or say --to gguf or --to hf",
                                output);
    o.cast = dtype != NULL;
    if (dtype && !(dtype_from_name(dtype, &o.dtype) && (o.dtype == DT_F32 || o.dtype == DT_F16 || o.dtype == DT_BF16)))
        return usage_error(&command_export, "--dtype %s: must be f32, f16 or bf16 (nibble quant makes smaller ones)",
                           dtype);
    if (split && (!size_parse(split, &o.split) || o.split == 0))
        return usage_error(&command_export, "--split-max-size %s: is not a size such as 2GB or 500MiB", split);
    if (o.pre && target != TO_GGUF) return usage_error(&command_export, "--pre is for GGUF alone");
    return export(argv[0], output, target, &o);
}

const Command command_export = {
    .name = "export",
    .summary = "write a model as GGUF (llama.cpp, Ollama) or as a Hugging Face directory",
    .usage =
        "MODEL -o X.gguf|X/ [options]\n\n"
        "GGUF takes blocks as they are; vectors become f32, matrices that are not in blocks keep their type unless\n"
        "--dtype says otherwise. A Hugging Face directory has every tensor in one plain type: --dtype, else the\n"
        "source's own or, for a quantized model, bf16. It comes with the tokenizer and config files of the source.",
    .examples = "  nibble export smol-q4.nib -o smol-q4.gguf\n"
                "  nibble export smol.nib -o smol.gguf --split-max-size 2GB\n"
                "  nibble export smol-q4.nib -o smol-q4-hf/ --dtype f16\n",
    .run = run,
};
