#include "cli/rounded_blocks.h"

#include "core/mem.h"
#include <stdio.h>
#include <string.h>

static const char magic[16] = "nibble blocks 1";

typedef struct Head {
    char magic[16];
    Hash key, blocks;
    int64_t cleared, retries;
} Head;

static char *path_of(const char *directory, Hash key, Error *err) {
    char hex[HASH_HEX], name[HASH_HEX + 8];
    snprintf(name, sizeof name, "%s.blocks", hash_hex(key, hex));
    return file_join(directory, name, err);
}

bool rounded_load(const char *directory, Hash key, size_t bytes, Rounded *out) {
    char *path = path_of(directory, key, NULL);
    FileMap *map = path && file_exists(path) ? file_map(path, NULL) : NULL;
    Head head;
    bool ok = map && map->size == sizeof head + bytes;
    if (ok) memcpy(&head, map->data, sizeof head);
    ok = ok && memcmp(head.magic, magic, sizeof magic) == 0 && hash_equal(head.key, key) &&
         hash_equal(head.blocks, hash_bytes(map->data + sizeof head, bytes)) &&
         (out->blocks = mem_alloc(bytes, 1, NULL));
    if (ok) {
        memcpy(out->blocks, map->data + sizeof head, bytes);
        out->cleared = head.cleared;
        out->retries = (int)head.retries;
    }
    file_unmap(map);
    mem_free(path);
    return ok;
}

bool rounded_save(const char *directory, Hash key, size_t bytes, const Rounded *rounded, Error *err) {
    Head head = {.key = key,
                 .blocks = hash_bytes(rounded->blocks, bytes),
                 .cleared = rounded->cleared,
                 .retries = rounded->retries};
    memcpy(head.magic, magic, sizeof magic);
    char *path = path_of(directory, key, err);
    FileOut *out = path ? file_out_open(path, sizeof head + bytes, err) : NULL;
    bool ok = out && file_out_write(out, &head, sizeof head, err) && file_out_write(out, rounded->blocks, bytes, err);
    if (ok)
        ok = file_out_commit(out, err);
    else
        file_out_abort(out);
    mem_free(path);
    return ok;
}

void rounded_remove(const char *directory, Hash key) {
    char *path = path_of(directory, key, NULL);
    if (path) remove(path);
    mem_free(path);
}
