// A tokenizer.json: parsed, built, run on text and back.
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_tokenizer_file("tokenizer.json", data, size, NULL, NULL);
    return 0;
}
