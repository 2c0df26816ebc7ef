// A pickle, in the archive that torch.save would put it into: the archive is always right, so that each input is all
// about the unpickler and what is made of its values. The storages have the sizes that tests/data/torch/kinds-2.pt has.
#include "formats/torch_file.h"
#include "tests/fuzz/fuzz.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint32_t storages[] = {96, 4, 0, 48, 20, 12, 12, 16, 4, 6, 12, 24, 6, 3, 24, 8};
enum { STORAGES = sizeof storages / sizeof *storages, LOCAL = 30, CENTRAL = 46, END = 22, NAME = 16, STORAGE_MAX = 96 };

typedef struct Archive {
    uint8_t *data;
    size_t size;
    uint8_t central[(STORAGES + 1) * (CENTRAL + NAME)]; // the directory
    size_t central_size;
} Archive;

static void put(uint8_t *p, uint32_t value, int bytes) {
    for (int i = 0; i < bytes; i++) p[i] = (uint8_t)(value >> 8 * i);
}

static void add_entry(Archive *a, const char *name, const uint8_t *data, size_t size) {
    uint8_t *local = a->data + a->size, *central = a->central + a->central_size;
    size_t n = strlen(name);
    put(local, 0x04034b50, 4);
    put(local + 26, (uint32_t)n, 2);
    memcpy(local + LOCAL, name, n);
    memcpy(local + LOCAL + n, data, size);
    put(central, 0x02014b50, 4);
    put(central + 20, (uint32_t)size, 4);
    put(central + 24, (uint32_t)size, 4);
    put(central + 28, (uint32_t)n, 2);
    put(central + 42, (uint32_t)a->size, 4);
    memcpy(central + CENTRAL, name, n);
    a->size += LOCAL + n + size;
    a->central_size += CENTRAL + n;
}

static void end_archive(Archive *a) {
    uint8_t *end = a->data + a->size + a->central_size;
    memcpy(a->data + a->size, a->central, a->central_size);
    put(end, 0x06054b50, 4);
    put(end + 8, STORAGES + 1, 2);
    put(end + 10, STORAGES + 1, 2);
    put(end + 12, (uint32_t)a->central_size, 4);
    put(end + 16, (uint32_t)a->size, 4);
    a->size += a->central_size + END;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const uint8_t bytes[STORAGE_MAX] = {1, 2, 3};
    Archive a = {.data = calloc(1, size + (STORAGES + 1) * (LOCAL + CENTRAL + 2 * NAME + STORAGE_MAX) + END)};
    char name[NAME];
    fuzz_must(a.data != NULL, "there is memory");
    for (uint32_t i = 0; i < STORAGES; i++) {
        snprintf(name, sizeof name, "a/data/%u", i);
        add_entry(&a, name, bytes, storages[i]);
    }
    add_entry(&a, "a/data.pkl", data, size);
    end_archive(&a);

    Error err = {0};
    TensorFile *file = torch_file_open(fuzz_file(a.data, a.size), &err);
    if (file)
        fuzz_tensors(file->tensors, file->count);
    else
        fuzz_said_why(&err);
    tensor_file_close(file);
    free(a.data);
    return 0;
}
