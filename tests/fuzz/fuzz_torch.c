// A file of torch.save: the zip archive as it lies on the disk. What is in its pickle is fuzz_pickle's work.
#include "formats/torch_file.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Error err = {0};
    TensorFile *file = torch_file_open(fuzz_file(data, size), &err);
    if (file)
        fuzz_tensors(file->tensors, file->count);
    else
        fuzz_said_why(&err);
    tensor_file_close(file);
    return 0;
}
