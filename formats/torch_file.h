// Reader of what torch.save writes since PyTorch 1.6: a zip archive (zip.h) with NAME/data.pkl, a pickle (pickle.h)
// that describes tensors as views of storages, and NAME/data/KEY, the storages' bytes. The format is PyTorch's own code
// (github.com/pytorch/pytorch, torch/serialization.py and torch/_utils.py); no other document has it.
//
// Read are dictionaries from names to tensors (also wrapped as parameters), and training checkpoints that keep such a
// one as "state_dict", "model_state_dict", "model" or "module", whose other members are left out. Anything else in the
// place of a tensor is an error that names it. Tensors may share storages. Contiguous ones stay where they are in the
// file; those with permuted dimensions are copied, and so are deflated storages, both within a limit that the file's
// own size sets. Checksums are not looked at for stored bytes: torch.save may leave them out.
#ifndef FORMATS_TORCH_FILE_H
#define FORMATS_TORCH_FILE_H

#include "formats/tensor_file.h"

// Its tensors are in the pickle's order. NULL with a message naming file and tensor. Free with tensor_file_close.
TensorFile *torch_file_open(const char *path, Error *err);

#endif
