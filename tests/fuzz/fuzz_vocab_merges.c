// vocab.json, merges.txt and tokenizer_config.json, the three of them in one input with a NUL between (none of them may
// hold one): parsed, built, run on text and back.
#include "core/mem.h"
#include "tests/fuzz/fuzz.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const names[] = {"vocab.json", "merges.txt", "tokenizer_config.json"};
    Error err = {0};
    const uint8_t *at = data, *end = data + size;
    Model *model = model_new("fuzz", &err);
    for (size_t i = 0; i < sizeof names / sizeof *names && at <= end; i++) {
        const uint8_t *nul = at < end ? memchr(at, 0, (size_t)(end - at)) : NULL, *stop = nul ? nul : end;
        fuzz_must(model && model_add_file(model, names[i], at, (size_t)(stop - at), &err), "there is memory");
        at = stop + 1;
    }
    fuzz_tokenizer(model, data, size < 512 ? size : 512);
    model_free(model);
    return 0;
}
