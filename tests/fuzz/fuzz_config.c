// A config.json with the weights that it is about: the family's reading of it, its limits, and whether the tensors are
// those that it calls for. The input is the config's text, a NUL, and the header of a safetensors file (JSON); the
// target adds that file's first eight bytes and as many zeros as the header's last tensor ends at.
#include "convert/open.h"
#include "tests/fuzz/fuzz.h"
#include <stdlib.h>
#include <string.h>

enum { LENGTH_BYTES = 8, DATA_MAX = 1 << 20 };

// The largest number that closes a "data_offsets".
static size_t data_end(const char *header) {
    static const char key[] = "\"data_offsets\":[";
    size_t end = 0;
    for (const char *at = strstr(header, key); at; at = strstr(at + 1, key)) {
        const char *comma = strchr(at + sizeof key - 1, ',');
        unsigned long long n = comma ? strtoull(comma + 1, NULL, 10) : 0;
        if (n > end && n <= DATA_MAX) end = (size_t)n;
    }
    return end;
}

static void write_weights(const uint8_t *text, size_t size) {
    char *header = calloc(size + 1, 1);
    fuzz_must(header != NULL, "there is memory");
    if (size) memcpy(header, text, size);
    size_t end = data_end(header);
    uint8_t *file = calloc(LENGTH_BYTES + size + end, 1);
    fuzz_must(file != NULL, "there is memory");
    for (int i = 0; i < LENGTH_BYTES; i++) file[i] = (uint8_t)(size >> 8 * i);
    memcpy(file + LENGTH_BYTES, header, size);
    fuzz_directory_file("model.safetensors", file, LENGTH_BYTES + size + end);
    free(file);
    free(header);
}

// What a .nib keeps of a description is all of it.
static void keep_and_read(const ModelDesc *desc) {
    Error err = {0};
    ModelDesc again = {0};
    cJSON *kept = model_desc_write(desc);
    fuzz_must(kept && model_desc_read(kept, &again, &err), "a description that was accepted can be stored");
    cJSON *twice = model_desc_write(&again);
    fuzz_must(cJSON_Compare(kept, twice, true), "a stored description is the same");
    cJSON_Delete(kept);
    cJSON_Delete(twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *nul = size ? memchr(data, 0, size) : NULL;
    size_t config = nul ? (size_t)(nul - data) : size;
    Error err = {0};
    fuzz_directory_file("config.json", data, config);
    if (nul)
        write_weights(nul + 1, size - config - 1);
    else
        write_weights((const uint8_t *)"{}", 2);
    Model *model = model_open(fuzz_directory(), &err);
    if (model)
        keep_and_read(&model->desc);
    else
        fuzz_said_why(&err);
    model_free(model);
    return 0;
}
