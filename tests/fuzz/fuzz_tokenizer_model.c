// A tokenizer.model (SentencePiece's protobuf): parsed, built, run on text and back. Its first byte, when it is '\n'
// (as in any such file) is part of it; any other is cut off and chooses the tokenizer_config.json beside it.
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const configs[] = {
        "{\"legacy\": true, \"add_bos_token\": false, \"add_eos_token\": true, \"eos_token\": \"</s>\"}",
        "{\"legacy\": false, \"added_tokens_decoder\": {\"2\": {\"content\": \"</s>\", \"special\": true},"
        " \"9\": {\"content\": \"<x>\", \"lstrip\": true, \"rstrip\": true, \"normalized\": true}}}",
    };
    const char *config = NULL;
    if (size && *data != '\n') {
        config = configs[*data % 2];
        data++;
        size--;
    }
    fuzz_tokenizer_file("tokenizer.model", data, size, "tokenizer_config.json", config ? config : "{}");
    return 0;
}
