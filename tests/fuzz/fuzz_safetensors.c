// A .safetensors file: its header, and every byte of the tensors that it describes.
#include "formats/safetensors.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Error err = {0};
    TensorFile *file = safetensors_open(fuzz_file(data, size), &err);
    if (file)
        fuzz_tensors(file->tensors, file->count);
    else
        fuzz_said_why(&err);
    tensor_file_close(file);
    return 0;
}
