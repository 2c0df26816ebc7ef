// A .gguf file, whole: metadata, tensors, and its vocabulary run on text. Few inputs are models that are complete; so
// the vocabulary is also opened by itself, as `nibble tokenize` does, and the tensors are read without asking for a
// family.
#include "convert/open.h"
#include "formats/gguf.h"
#include "tests/fuzz/fuzz.h"

static void read_tensors(const uint8_t *data, size_t size) {
    Error err = {0};
    Gguf gguf;
    if (!gguf_read(data, size, NULL, &gguf, &err)) {
        fuzz_said_why(&err);
        return;
    }
    fuzz_tensors(gguf.tensors, gguf.tensor_count);
    gguf_free(&gguf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const uint8_t text[] = "In the beginning God created the heaven and the earth.";
    Error err = {0};
    const char *path = fuzz_file(data, size);
    Model *model = model_open(path, &err);
    if (!model) fuzz_said_why(&err);
    model_free(model);
    if (!gguf_is(path)) return 0;
    read_tensors(data, size);
    model = model_open_tokenizer(path, &err);
    if (model)
        fuzz_tokenizer(model, text, sizeof text - 1);
    else
        fuzz_said_why(&err);
    model_free(model);
    return 0;
}
