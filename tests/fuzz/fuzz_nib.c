// A .nib file, as it lies on the disk or in the open (fuzz_container).
#include "formats/nib.h"
#include "formats/nib_format.h"
#include "tests/fuzz/fuzz.h"
#include <stdlib.h>

static void open_and_verify(const uint8_t *data, size_t size) {
    Error err = {0};
    const char *path = fuzz_file(data, size);
    Model *model = nib_open(path, &err);
    if (!model) {
        fuzz_said_why(&err);
        return;
    }
    fuzz_tensors(model->tensors, model->tensor_count);
    model_free(model);
    if (!nib_verify(path, &err)) fuzz_said_why(&err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint8_t *file = fuzz_container(&nib_kind, data, &size);
    open_and_verify(file ? file : data, size);
    free(file);
    return 0;
}
