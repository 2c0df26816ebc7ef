#include "convert/export_split.h"

#include "core/mem.h"
#include "core/size.h"

bool export_split(const Tensor *tensors, size_t count, uint64_t limit, uint64_t first_head, uint64_t head,
                  uint64_t (*cost)(const Tensor *t), ExportSplit *split, Error *err) {
    *split = (ExportSplit){.starts = mem_alloc(count + 2, sizeof *split->starts, err)};
    if (!split->starts) return false;
    uint64_t bytes = first_head;
    for (size_t i = 0; limit && i < count; i++) {
        uint64_t more = cost(&tensors[i]);
        if (bytes + more > limit && i > split->starts[split->count]) {
            split->starts[++split->count] = i;
            bytes = head;
        }
        bytes += more;
        char needed[32];
        if (bytes > limit)
            return error_set(err, "tensor %s alone makes a file of %s; give --split-max-size at least that much",
                             tensor_label(&tensors[i]), size_text(bytes, needed));
    }
    split->starts[++split->count] = count;
    return split->count <= EXPORT_FILES_MAX ||
           error_set(err, "%zu files would be written, more than %d; give a larger --split-max-size", split->count,
                     EXPORT_FILES_MAX);
}
