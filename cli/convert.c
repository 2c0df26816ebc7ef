// nibble convert: a downloaded model in, one verified .nib out.
#include "cli/cli.h"
#include "cli/version.h"
#include "convert/open.h"
#include "convert/write.h"
#include "core/file.h"
#include "core/mem.h"
#include "core/size.h"
#include "quant/kernels/kernels.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void widen(DType from, const void *src, float *dst, int64_t n) { kernels_get()->to_f32[from](src, dst, n); }
static void narrow(DType to, const float *src, void *dst, int64_t n) { kernels_get()->from_f32[to](src, dst, n); }

// The last part of the path, with .nib for its ending (and for .gguf), in the current directory. Free with mem_free.
static char *default_output(const char *path, Error *err) {
    char *real = realpath(path, NULL); // "." has no name, but the directory it stands for has
    const char *from = real ? real : path, *slash = strrchr(from, '/'), *name = slash ? slash + 1 : from;
    size_t length = strlen(name), size = length + sizeof "model.nib";
    if (length > 5 && strcmp(name + length - 5, ".gguf") == 0) length -= 5;
    char *output = mem_alloc(size, 1, err);
    if (output) snprintf(output, size, "%.*s.nib", *name ? (int)length : 5, *name ? name : "model");
    free(real);
    return output;
}

static bool check_output(const Model *model, const char *output, Error *err) {
    for (size_t i = 0; i < model->map_count; i++)
        if (file_same(model->maps[i]->path, output))
            return error_set(err, "%s: is the model that is read; name another output with -o", output);
    return true;
}

static int convert(const char *path, const char *output, WriteOptions *options) {
    Error err = {0};
    double start = log_seconds();
    Model *model = model_open(path, &err);
    bool ok = model && check_output(model, output, &err) && model_write_nib(model, output, options, &err);
    char text[32];
    if (ok)
        printf("%s: %s, %zu tensors, %.2f bits per weight, %.2f s\n", output, size_text(file_size(output), text),
               model->tensor_count,
               options->cast ? 8.0 * dtype_info(options->dtype)->block_bytes : model_bits_per_weight(model),
               log_seconds() - start);
    model_free(model);
    return ok ? EXIT_DONE : fail(&err);
}

static int run(int argc, char **argv) {
    const char *output = NULL, *dtype = NULL;
    const Option options[] = {
        {"output", 'o', OPT_TEXT, &output, "FILE", "the .nib to write (default: the model's name, in this directory)",
         0, 0},
        {"dtype", 0, OPT_TEXT, &dtype, "TYPE", "f32, f16 or bf16 for all tensors (default: as they are)", 0, 0},
        {NULL, 0, OPT_FLAG, NULL, NULL, NULL, 0, 0},
    };
    int operands, code = options_parse(&command_convert, options, argc, argv, &operands);
    if (code >= 0) return code;
    if (operands != 1) return usage_error(&command_convert, operands ? "one MODEL at a time" : "which MODEL?");

    WriteOptions write = {.cast = dtype != NULL, .kernels = {widen, narrow}, .program = "nibble " NIBBLE_VERSION};
    if (dtype && !(dtype_from_name(dtype, &write.dtype) &&
                   (write.dtype == DT_F32 || write.dtype == DT_F16 || write.dtype == DT_BF16)))
        return usage_error(&command_convert, "--dtype %s: must be f32, f16 or bf16 (nibble quant makes smaller ones)",
                           dtype);
    if (output) return convert(argv[0], output, &write);

    Error err = {0};
    char *name = default_output(argv[0], &err);
    code = name ? convert(argv[0], name, &write) : fail(&err);
    mem_free(name);
    return code;
}

const Command command_convert = {
    .name = "convert",
    .summary = "turn a downloaded model into one verified .nib file",
    .usage = "MODEL [-o OUT.nib] [--dtype TYPE]\n\n"
             "MODEL is a Hugging Face directory (config.json, model.safetensors or its shards), a GGUF file (of\n"
             "several parts, the first) or a .nib.\n"
             "Tokenizer, config and chat template are kept in the file as they are.",
    .examples = "  nibble convert ./SmolLM2-135M -o smol.nib\n"
                "  nibble convert ./SmolLM2-135M --dtype f16 -o smol-f16.nib\n"
                "  nibble convert SmolLM2-135M.Q4_1.gguf -o smol-q4_1.nib\n",
    .run = run,
};
