#include "tests/fuzz/fuzz.h"

#include "core/mem.h"
#include "core/size.h"
#include "eval/tokenizer.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

void fuzz_must(bool holds, const char *what) {
    if (holds) return;
    fprintf(stderr, "broken promise: %s\n", what);
    abort();
}

void fuzz_said_why(const Error *err) {
    if (getenv("FUZZ_SAY")) fprintf(stderr, "%s\n", err->text);
    fuzz_must(err->text[0] != 0, "a failure says why");
    fuzz_must(!strchr(err->text, '\n'), "a message is one line");
}

// ---- files

static void write_all(int fd, const uint8_t *data, size_t size) {
    fuzz_must(fd >= 0 && ftruncate(fd, 0) == 0, "the fuzz target can make its file");
    for (size_t at = 0; at < size;) {
        ssize_t n = pwrite(fd, data + at, size - at, (off_t)at);
        fuzz_must(n > 0, "the fuzz target can write its file");
        at += (size_t)n;
    }
}

const char *fuzz_file(const uint8_t *data, size_t size) {
    static char path[32];
    static int fd = -1;
    if (fd < 0) {
        fd = memfd_create("fuzz", MFD_CLOEXEC);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    }
    write_all(fd, data, size);
    return path;
}

static char directory[64];
static pid_t directory_owner;

static void remove_directory(void) {
    char command[80];
    if (getpid() != directory_owner) return;
    snprintf(command, sizeof command, "rm -rf '%s'", directory);
    if (system(command) != 0) fprintf(stderr, "%s: is left over\n", directory);
}

const char *fuzz_directory(void) {
    if (*directory) return directory;
    strcpy(directory, access("/dev/shm", W_OK) == 0 ? "/dev/shm/nibble-fuzz-XXXXXX" : "/tmp/nibble-fuzz-XXXXXX");
    fuzz_must(mkdtemp(directory) != NULL, "the fuzz target can make its directory");
    directory_owner = getpid();
    atexit(remove_directory);
    return directory;
}

void fuzz_directory_file(const char *name, const uint8_t *data, size_t size) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", fuzz_directory(), name);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    write_all(fd, data, size);
    close(fd);
}

// Linked in the place of mmap (the Makefile's --wrap): a mapped file becomes memory of just its size, so that the
// sanitizer sees a read behind the file's end, which a map's last page would allow.
void *__real_mmap(void *where, size_t size, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *where, size_t size, int protection, int flags, int fd, off_t offset);
int __wrap_munmap(void *data, size_t size);
int __wrap_madvise(void *data, size_t size, int advice);

void *__wrap_mmap(void *where, size_t size, int protection, int flags, int fd, off_t offset) {
    void *data = NULL;
    if (fd < 0) return __real_mmap(where, size, protection, flags, fd, offset); // replay.c's
    if (posix_memalign(&data, 64, size) != 0) return MAP_FAILED;
    if (pread(fd, data, size, offset) == (ssize_t)size) return data;
    free(data);
    return MAP_FAILED;
}

int __wrap_munmap(void *data, size_t size) {
    (void)size;
    free(data);
    return 0;
}

int __wrap_madvise(void *data, size_t size, int advice) {
    (void)data;
    (void)size;
    (void)advice;
    return 0;
}

// ---- tokenizers

// Words, numbers, runs, white space, other scripts, marks, an emoji sequence, a NUL, invalid UTF-8.
static const char sample[] = "Hello, world! It's 12345.67  and\t\tmore...\r\n\n aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                             "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab                    <s></s><|endoftext|> caf\xC3\xA9 "
                             "e\xCC\x81 \xD0\x96\xE4\xB8\xAD\xE6\x96\x87 \xD9\x85\xD8\xB1 \xF0\x9F\x91\xA9\xE2\x80\x8D"
                             "\xF0\x9F\x92\xBB \xE2\x96\x81\xE2\x96\x81x \xEF\xBF\xBD \xFF\xC0\x80 a\0b";

static void run_text(const Tokenizer *t, const char *text, size_t size) {
    Error err = {0};
    Ids ids = {0};
    char *back = NULL;
    if (!tokenizer_encode(t, text, size, true, &ids, &err)) {
        fuzz_said_why(&err);
        return;
    }
    for (size_t i = 0; i < ids.count; i++)
        fuzz_must(ids.ids[i] >= 0 && ids.ids[i] < tokenizer_size(t), "an id is below the tokenizer's size");
    if (tokenizer_decode(t, ids.ids, ids.count, false, &back, &size, &err))
        fuzz_must(back[size] == 0, "decoded text is terminated");
    else
        fuzz_said_why(&err);
    mem_free(back);
    ids_free(&ids);
}

void fuzz_tokenizer(const Model *model, const uint8_t *text, size_t size) {
    Error err = {0};
    Tokenizer *t = tokenizer_new(model, &err);
    if (!t) {
        fuzz_said_why(&err);
        return;
    }
    run_text(t, sample, sizeof sample - 1);
    run_text(t, (const char *)text, size);
    tokenizer_free(t);
}

void fuzz_tokenizer_file(const char *name, const uint8_t *data, size_t size, const char *other, const char *text) {
    enum { TEXT_MAX = 512 }; // of the file itself, which has the vocabulary's own texts
    Error err = {0};
    Model *model = model_new("fuzz", &err);
    fuzz_must(model && model_add_file(model, name, data, size, &err) &&
                  (!other || model_add_file(model, other, text, strlen(text), &err)),
              "there is memory");
    fuzz_tokenizer(model, data, size < TEXT_MAX ? size : TEXT_MAX);
    model_free(model);
}

// ---- tensors

void fuzz_tensors(const Tensor *tensors, size_t count) {
    static volatile uint8_t sum; // kept, so that the reading is
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < tensors[i].bytes; k++) sum = (uint8_t)(sum + tensors[i].data[k]);
}

// ---- containers

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
        double start = offset->valuedouble - CONTAINER_HEADER_BYTES, length = bytes->valuedouble;
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
        set_hashes(index, "sections", "bytes", body, body_size);
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

uint8_t *fuzz_container(const ContainerKind *kind, const uint8_t *data, size_t *size) {
    if (*size >= CONTAINER_MAGIC_BYTES && memcmp(data, kind->magic, CONTAINER_MAGIC_BYTES) == 0) return NULL;
    const uint8_t *nul = *size ? memchr(data, 0, *size) : NULL, *body = nul ? nul + 1 : data + *size;
    size_t body_size = (size_t)(data + *size - body), raw = nul ? (size_t)(nul - data) : *size;
    char *text = index_text((const char *)data, &raw, body, body_size);
    size_t index_at = size_align(CONTAINER_HEADER_BYTES + body_size, CONTAINER_ALIGN);
    uLongf packed = compressBound((uLong)raw);
    uint8_t *file = calloc(index_at + packed, 1);
    fuzz_must(file != NULL, "there is memory");
    memcpy(file + CONTAINER_HEADER_BYTES, body, body_size);
    fuzz_must(compress2(file + index_at, &packed, (const Bytef *)text, (uLong)raw, LEVEL) == Z_OK, "zlib packs");
    *size = index_at + packed;
    ContainerHeader header = {.version = kind->version,
                              .file_bytes = *size,
                              .index_offset = index_at,
                              .index_bytes = packed,
                              .index_raw_bytes = raw,
                              .index_hash = hash_bytes(file + index_at, packed)};
    container_header_write(kind->magic, &header, file);
    free(text);
    return file;
}
