// Reader of safetensors files (https://github.com/huggingface/safetensors#format). What the format promises, and this
// reader checks, each with a test that breaks it (tests/test_safetensors.c):
//   - eight bytes, little-endian: the header's length, at most 100 MB and inside the file;
//   - the header: one JSON object, UTF-8, spaces allowed after it; no name twice; "__metadata__" maps text to text;
//   - each tensor: a known dtype, a shape of whole numbers >= 0, data_offsets [begin, end] with end - begin the bytes
//     that dtype and shape call for;
//   - together they cover the rest of the file: in range, no overlap, no hole.
// The format does not promise that tensors are aligned to their type, and nothing here needs it.
#ifndef FORMATS_SAFETENSORS_H
#define FORMATS_SAFETENSORS_H

#include "formats/tensor_file.h"

// Its tensors are in file order. NULL with a message naming file and tensor.
TensorFile *safetensors_open(const char *path, Error *err);

#endif
