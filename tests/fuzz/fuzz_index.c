// An index of shards, model.safetensors.index.json, in a directory with two shards, out of which it must not lead.
// The shards are the smallest that there can be: a.safetensors with the tensor "a", b.safetensors with "b".
#include "formats/huggingface.h"
#include "tests/fuzz/fuzz.h"
#include <stdio.h>
#include <string.h>

static void write_shard(const char *name, char tensor) {
    uint8_t file[128] = {0};
    int n = snprintf((char *)file + 8, sizeof file - 8,
                     "{\"%c\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", tensor);
    file[0] = (uint8_t)n;
    fuzz_directory_file(name, file, 8 + (size_t)n + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static bool written;
    Error err = {0};
    HfWeights weights;
    if (!written) {
        write_shard("a.safetensors", 'a');
        write_shard("b.safetensors", 'b');
        written = true;
    }
    fuzz_directory_file("model.safetensors.index.json", data, size);
    if (!hf_open_weights(fuzz_directory(), &weights, &err)) {
        fuzz_said_why(&err);
        return 0;
    }
    for (size_t i = 0; i < weights.count; i++) {
        const char *path = weights.shards[i]->map->path;
        fuzz_must(strncmp(path, fuzz_directory(), strlen(fuzz_directory())) == 0 && !strstr(path, ".."),
                  "an index stays in its directory");
        fuzz_tensors(weights.shards[i]->tensors, weights.shards[i]->count);
    }
    hf_close_weights(&weights);
    return 0;
}
