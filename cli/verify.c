// nibble verify: checks every byte of .nib files, and that directories hold what a model needs.
#include "cli/cli.h"
#include "convert/open.h"
#include "core/file.h"
#include "core/size.h"
#include "formats/nib.h"
#include <stdio.h>

// One line on stdout, or the error.
static bool verify(const char *path) {
    Error err = {0};
    char text[32];
    Model *model = model_open(path, &err);
    bool nib = model && !file_is_directory(path), ok = model && (!nib || nib_verify(path, &err));
    if (ok)
        printf("%s: ok, %zu tensors, %s%s\n", path, model->tensor_count, size_text(model->file_bytes, text),
               nib ? ", every hash matches" : " (a directory states no hashes: its structure was checked)");
    else
        fail(&err);
    model_free(model);
    return ok;
}

static int run(int argc, char **argv) {
    const Option options[] = {{NULL, 0, OPT_FLAG, NULL, NULL, NULL, 0, 0}};
    int operands, code = options_parse(&command_verify, options, argc, argv, &operands);
    if (code >= 0) return code;
    if (operands == 0) return usage_error(&command_verify, "which FILE?");
    bool ok = true;
    for (int i = 0; i < operands; i++) ok = verify(argv[i]) && ok;
    return ok ? EXIT_DONE : EXIT_FAILED;
}

const Command command_verify = {
    .name = "verify",
    .summary = "check every byte of .nib files against their hashes",
    .usage = "FILE.nib...",
    .examples = "  nibble verify smol.nib smol-q4.nib\n",
    .run = run,
};
