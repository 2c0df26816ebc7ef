// An importance matrix of llama.cpp: GGUF where it starts as that, else the older form. The first byte says how many
// experts the model has.
#include "formats/imatrix.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Error err = {0};
    if (!size) return 0;
    Stats *s = imatrix_read(fuzz_file(data + 1, size - 1), data[0] % 16, &err);
    if (!s) fuzz_said_why(&err);
    stats_close(s);
    return 0;
}
