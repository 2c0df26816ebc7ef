// A .nib file. One that starts with the magic is taken as it lies on the disk; but header, index and embedded files are
// hashed and the index is compressed, so that hardly a changed one comes past the first checks. Any other input is one
// in the open: the index as JSON text, a NUL, and the bytes from 128 up to where the index starts. The target packs the
// index, and makes the header and every hash in the index (those that are 32 digits) right. So what a fuzzer changes in
// the index is what a hostile writer could write.
#include "formats/nib.h"
#include "formats/nib_format.h"
#include "core/json.h"
#include "core/size.h"
#include "tests/fuzz/fuzz.h"
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { LEVEL = 1 };

// The entries of a list, whose bytes are as many as the member `key` says.
static void set_hashes(cJSON *index, const char *list, const char *key, const uint8_t *body, size_t size) {
    cJSON *entry;
    cJSON_ArrayForEach(entry, cJSON_GetObjectItemCaseSensitive(index, list)) {
        const cJSON *offset = json_member(entry, "offset"), *bytes = json_member(entry, key);
        cJSON *hash = cJSON_GetObjectItemCaseSensitive(entry, "xxh3");
        char hex[HASH_HEX];
        if (!cJSON_IsNumber(offset) || !cJSON_IsNumber(bytes) || !cJSON_IsString(hash) ||
            strlen(hash->valuestring) != HASH_HEX - 1)
            continue;
        double start = offset->valuedouble - NIB_HEADER_BYTES, length = bytes->valuedouble;
        if (start >= 0 && length >= 0 && start + length <= (double)size)
            memcpy(hash->valuestring, hash_hex(hash_bytes(body + (size_t)start, (size_t)length), hex), HASH_HEX);
    }
}

// The index with its hashes right, as text: *size bytes, to be freed with free.
static char *index_text(const char *text, size_t *size, const uint8_t *body, size_t body_size) {
    cJSON *index = cJSON_ParseWithLength(text, *size);
    char *printed = NULL;
    if (index) {
        set_hashes(index, "tensors", "bytes", body, body_size);
        set_hashes(index, "files", "stored", body, body_size);
        printed = cJSON_PrintUnformatted(index);
        cJSON_Delete(index);
    }
    if (!printed) { // not JSON: for the reader to say so
        printed = calloc(*size + 1, 1);
        if (printed) memcpy(printed, text, *size);
    } else {
        *size = strlen(printed);
    }
    fuzz_must(printed != NULL, "there is memory");
    return printed;
}

// The whole file, to be freed with free.
static uint8_t *pack(const uint8_t *data, size_t *size) {
    const uint8_t *nul = *size ? memchr(data, 0, *size) : NULL, *body = nul ? nul + 1 : data + *size;
    size_t body_size = (size_t)(data + *size - body), raw = nul ? (size_t)(nul - data) : *size;
    char *text = index_text((const char *)data, &raw, body, body_size);
    size_t index_at = size_align(NIB_HEADER_BYTES + body_size, NIB_ALIGN);
    uLongf packed = compressBound((uLong)raw);
    uint8_t *file = calloc(index_at + packed, 1);
    fuzz_must(file != NULL, "there is memory");
    memcpy(file + NIB_HEADER_BYTES, body, body_size);
    fuzz_must(compress2(file + index_at, &packed, (const Bytef *)text, (uLong)raw, LEVEL) == Z_OK, "zlib packs");
    *size = index_at + packed;
    NibHeader header = {.version = NIB_VERSION,
                        .file_bytes = *size,
                        .index_offset = index_at,
                        .index_bytes = packed,
                        .index_raw_bytes = raw,
                        .index_hash = hash_bytes(file + index_at, packed)};
    nib_header_write(&header, file);
    free(text);
    return file;
}

static void open_and_verify(const uint8_t *data, size_t size) {
    Error err = {0};
    const char *path = fuzz_file(data, size);
    Model *model = nib_open(path, &err);
    if (!model) {
        fuzz_said_why(&err);
        return;
    }
    fuzz_tensors(model->tensors, model->tensor_count);
    model_free(model);
    if (!nib_verify(path, &err)) fuzz_said_why(&err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size >= NIB_MAGIC_BYTES && memcmp(data, nib_kind.magic, NIB_MAGIC_BYTES) == 0) {
        open_and_verify(data, size);
        return 0;
    }
    uint8_t *file = pack(data, &size);
    open_and_verify(file, size);
    free(file);
    return 0;
}
