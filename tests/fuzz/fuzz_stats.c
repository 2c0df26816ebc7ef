// A statistics file, as it lies on the disk or in the open (fuzz_container): opened, every entry loaded, and written as
// llama.cpp's importance matrices, which are read again.
#include "formats/imatrix.h"
#include "formats/stats.h"
#include "formats/stats_format.h"
#include "tests/fuzz/fuzz.h"
#include <stdio.h>
#include <stdlib.h>

static void write_imatrix(const Stats *s, const char *name) {
    char path[128];
    Error err = {0};
    snprintf(path, sizeof path, "%s/%s", fuzz_directory(), name);
    if (!imatrix_write(path, s, &err)) {
        fuzz_said_why(&err);
        return;
    }
    Stats *back = imatrix_read(path, stats_info(s)->experts, &err);
    if (!back) fuzz_said_why(&err);
    stats_close(back);
}

static void open_and_load(const uint8_t *data, size_t size) {
    Error err = {0};
    Stats *s = stats_open(fuzz_file(data, size), &err);
    if (!s) {
        fuzz_said_why(&err);
        return;
    }
    for (size_t i = 0; i < stats_count(s); i++) {
        StatsTensor t;
        const char *name = stats_at(s, i)->name;
        fuzz_must(stats_find(s, name) == stats_at(s, i), "an entry is found by its name");
        if (stats_load(s, name, &t, &err))
            stats_tensor_free(&t);
        else
            fuzz_said_why(&err);
    }
    write_imatrix(s, "a.gguf");
    write_imatrix(s, "a.dat");
    stats_close(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint8_t *file = fuzz_container(&stats_kind, data, &size);
    open_and_load(file ? file : data, size);
    free(file);
    return 0;
}
