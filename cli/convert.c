// nibble convert: a downloaded model in, one verified .nib out.
#include "cli/cast_kernels.h"
#include "cli/cli.h"
#include "cli/output_name.h"
#include "cli/version.h"
#include "convert/open.h"
#include "convert/write.h"
#include "core/file.h"
#include "core/mem.h"
#include "core/size.h"
#include <stdio.h>

static int convert(const char *path, const char *output, WriteOptions *options) {
    Error err = {0};
    double start = log_seconds();
    Model *model = model_open(path, &err);
    bool ok = model && output_check(model, output, &err) && model_write_nib(model, output, options, &err);
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

    WriteOptions write = {.cast = dtype != NULL, .kernels = cast_kernels, .program = "nibble " NIBBLE_VERSION};
    if (dtype && !(dtype_from_name(dtype, &write.dtype) &&
                   (write.dtype == DT_F32 || write.dtype == DT_F16 || write.dtype == DT_BF16)))
        return usage_error(&command_convert, "--dtype %s: must be f32, f16 or bf16 (nibble quant makes smaller ones)",
                           dtype);
    if (output) return convert(argv[0], output, &write);

    Error err = {0};
    char *name = output_name(argv[0], NULL, ".nib", &err);
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
