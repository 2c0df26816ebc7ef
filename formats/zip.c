#include "formats/zip.h"

#include "core/mem.h"
#include "core/size.h"
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum {
    LOCAL_BYTES = 30,    // local file header, without name and extra field
    CENTRAL_BYTES = 46,  // central directory header, likewise
    END_BYTES = 22,      // end of central directory record, without the comment
    END64_BYTES = 56,    // zip64 end of central directory record
    LOCATOR_BYTES = 20,  // zip64 end of central directory locator
    COMMENT_MAX = 65535, // bytes after the end record
    RATIO_MAX = 1032,    // what deflate can compress at the very most (zlib.net/zlib_tech.html)
    ZIP64_EXTRA = 1,     // id of the extra field with 64-bit sizes
    FLAG_ENCRYPTED = 1,  // general purpose bit 0
    STORED = 0,
    DEFLATED = 8, // compression methods
};
#define SIGNATURE_LOCAL   0x04034b50u
#define SIGNATURE_CENTRAL 0x02014b50u
#define SIGNATURE_END     0x06054b50u
#define SIGNATURE_END64   0x06064b50u
#define SIGNATURE_LOCATOR 0x07064b50u

static uint64_t read_le(const uint8_t *p, int bytes) {
    uint64_t v = 0;
    while (bytes--) v = v << 8 | p[bytes];
    return v;
}
static uint32_t u16(const uint8_t *p) { return (uint32_t)read_le(p, 2); }
static uint32_t u32(const uint8_t *p) { return (uint32_t)read_le(p, 4); }
static uint64_t u64(const uint8_t *p) { return read_le(p, 8); }

// ---- the end of the archive

typedef struct Directory {
    uint64_t offset, bytes, entries;
} Directory;

// The end record is the last thing in the file, but for a comment whose length it states.
static const uint8_t *find_end(const FileMap *map) {
    if (map->size < END_BYTES) return NULL;
    for (size_t comment = 0; comment <= COMMENT_MAX && END_BYTES + comment <= map->size; comment++) {
        const uint8_t *p = map->data + map->size - END_BYTES - comment;
        if (u32(p) == SIGNATURE_END && u16(p + 20) == comment) return p;
    }
    return NULL;
}

// Fields that do not fit the end record are all ones there, and in the zip64 one.
static bool read_end64(const FileMap *map, const uint8_t *locator, Directory *d, const uint8_t **end, Error *err) {
    uint64_t at = u64(locator + 8), before = (uint64_t)(locator - map->data);
    if (before < END64_BYTES || at != before - END64_BYTES || u32(map->data + at) != SIGNATURE_END64 ||
        u64(map->data + at + 4) != END64_BYTES - 12)
        return error_set(err, "its zip64 end record is not where it should be: is the file damaged?");
    const uint8_t *p = map->data + at;
    if (u32(locator + 4) || u32(locator + 16) > 1 || u32(p + 16) || u32(p + 20) || u64(p + 24) != u64(p + 32))
        return error_set(err, "is one part of an archive of several disks, which is not supported");
    *d = (Directory){.offset = u64(p + 48), .bytes = u64(p + 40), .entries = u64(p + 32)};
    *end = p;
    return true;
}

static bool find_directory(const FileMap *map, Directory *d, Error *err) {
    const uint8_t *end = find_end(map);
    if (!end) return error_set(err, "has no zip end record: is the file cut short?");
    *d = (Directory){.offset = u32(end + 16), .bytes = u32(end + 12), .entries = u16(end + 10)};
    const uint8_t *locator = end - LOCATOR_BYTES;
    if (end - map->data >= LOCATOR_BYTES && u32(locator) == SIGNATURE_LOCATOR) {
        if (!read_end64(map, locator, d, &end, err)) return false;
    } else if (u16(end + 4) || u16(end + 6) || u16(end + 8) != u16(end + 10)) {
        return error_set(err, "is one part of an archive of several disks, which is not supported");
    }
    size_t place = (size_t)(end - map->data);
    if (d->bytes > place || d->offset != place - d->bytes)
        return error_set(err, "its central directory does not end where its end record starts: is the file damaged?");
    if (d->entries > d->bytes / CENTRAL_BYTES)
        return error_set(err, "claims %llu entries, more than its central directory can hold",
                         (unsigned long long)d->entries);
    return true;
}

// ---- entries

static int shown(size_t size) { return size < 100 ? (int)size : 100; }

static bool entry_error(const ZipEntry *e, Error *err, const char *what) {
    return error_set(err, "entry \"%.*s\": %s", shown(e->name_size), e->name, what);
}

// Takes the 64-bit values of those fields that are all ones; the extra field holds just those, in this order.
static bool read_extra(const uint8_t *extra, size_t size, ZipEntry *e, uint64_t *offset, Error *err) {
    uint64_t *const wide[] = {e->size == UINT32_MAX ? &e->size : NULL, e->stored == UINT32_MAX ? &e->stored : NULL,
                              *offset == UINT32_MAX ? offset : NULL};
    while (size >= 4) {
        size_t n = u16(extra + 2);
        if (n > size - 4) return entry_error(e, err, "its extra field is cut short");
        const uint8_t *value = extra + 4;
        for (size_t i = 0, left = n; u16(extra) == ZIP64_EXTRA && i < 3; i++) {
            if (!wide[i]) continue;
            if (left < 8) return entry_error(e, err, "its zip64 sizes are missing");
            *wide[i] = u64(value);
            value += 8;
            left -= 8;
        }
        extra += 4 + n;
        size -= 4 + n;
    }
    return true;
}

// Finds the bytes behind the local header, which must lie before the central directory.
static bool find_data(const FileMap *map, uint64_t limit, uint64_t offset, uint32_t method, ZipEntry *e, Error *err) {
    if (limit < LOCAL_BYTES || offset > limit - LOCAL_BYTES) return entry_error(e, err, "lies outside the archive");
    const uint8_t *local = map->data + offset;
    uint64_t room = limit - offset - LOCAL_BYTES, names = (uint64_t)u16(local + 26) + u16(local + 28);
    if (u32(local) != SIGNATURE_LOCAL) return entry_error(e, err, "there is no header where it should start");
    if (names > room || e->stored > room - names) return entry_error(e, err, "its bytes lie outside the archive");
    if (u16(local + 26) != e->name_size || memcmp(local + LOCAL_BYTES, e->name, e->name_size) != 0 ||
        u16(local + 8) != method)
        return entry_error(e, err, "its two headers disagree: is the file damaged?");
    e->data = local + LOCAL_BYTES + names;
    return true;
}

static bool check_method(const ZipEntry *e, uint32_t flags, uint32_t method, Error *err) {
    if (flags & FLAG_ENCRYPTED) return entry_error(e, err, "is encrypted");
    if (method != STORED && method != DEFLATED)
        return error_set(err, "entry \"%.*s\": is compressed by method %u; supported are 0 (stored) and 8 (deflate)",
                         shown(e->name_size), e->name, method);
    if (method == STORED && e->stored != e->size) return entry_error(e, err, "is stored, but its two sizes differ");
    if (method == DEFLATED && e->size / RATIO_MAX > e->stored)
        return error_set(err, "entry \"%.*s\": claims %llu bytes from %llu compressed ones: more than can be",
                         shown(e->name_size), e->name, (unsigned long long)e->size, (unsigned long long)e->stored);
    return true;
}

// One header of the central directory; *at moves behind it.
static bool read_entry(const FileMap *map, const Directory *d, size_t *at, ZipEntry *e, Error *err) {
    size_t left = (size_t)(d->offset + d->bytes) - *at;
    const uint8_t *p = map->data + *at;
    if (left < CENTRAL_BYTES || u32(p) != SIGNATURE_CENTRAL) return error_set(err, "its central directory is damaged");
    size_t name = u16(p + 28), extra = u16(p + 30), comment = u16(p + 32);
    if (left - CENTRAL_BYTES < name + extra + comment) return error_set(err, "its central directory is damaged");
    uint32_t flags = u16(p + 8), method = u16(p + 10);
    uint64_t offset = u32(p + 42);
    *e = (ZipEntry){.name = (const char *)p + CENTRAL_BYTES,
                    .name_size = name,
                    .stored = u32(p + 20),
                    .size = u32(p + 24),
                    .crc = u32(p + 16),
                    .deflated = method == DEFLATED};
    *at += CENTRAL_BYTES + name + extra + comment;
    return read_extra(p + CENTRAL_BYTES + name, extra, e, &offset, err) && check_method(e, flags, method, err) &&
           find_data(map, d->offset, offset, method, e, err);
}

static int by_place(const void *a, const void *b) {
    const ZipEntry *x = a, *y = b;
    if (x->data != y->data) return x->data < y->data ? -1 : 1;
    return (x->stored > y->stored) - (x->stored < y->stored);
}

static int compare_names(const char *a, size_t a_size, const char *b, size_t b_size) {
    int c = memcmp(a, b, a_size < b_size ? a_size : b_size);
    return c ? c : (a_size > b_size) - (a_size < b_size);
}

static int by_name(const void *a, const void *b) {
    const ZipEntry *x = a, *y = b;
    return compare_names(x->name, x->name_size, y->name, y->name_size);
}

static bool check_places(const Zip *zip, Error *err) {
    qsort(zip->entries, zip->count, sizeof *zip->entries, by_place);
    for (size_t i = 1; i < zip->count; i++) {
        const ZipEntry *e = &zip->entries[i], *before = e - 1;
        // Headers, at least as long as here, lie between the data of two entries.
        size_t between = (size_t)(e->data - before->data);
        if (between < before->stored || between - before->stored < LOCAL_BYTES + e->name_size)
            return entry_error(e, err, "overlaps another entry");
    }
    qsort(zip->entries, zip->count, sizeof *zip->entries, by_name);
    for (size_t i = 1; i < zip->count; i++)
        if (by_name(&zip->entries[i - 1], &zip->entries[i]) == 0)
            return entry_error(&zip->entries[i], err, "is there twice");
    return true;
}

bool zip_is(const FileMap *map) { return map->size >= 4 && u32(map->data) == SIGNATURE_LOCAL; }

bool zip_open(const FileMap *map, Zip *zip, Error *err) {
    Directory d = {0};
    *zip = (Zip){.map = map};
    if (!find_directory(map, &d, err)) return false;
    zip->entries = mem_alloc((size_t)d.entries, sizeof *zip->entries, err);
    bool ok = zip->entries != NULL;
    size_t at = (size_t)d.offset;
    for (; ok && zip->count < d.entries; zip->count++) ok = read_entry(map, &d, &at, &zip->entries[zip->count], err);
    if (ok && at != d.offset + d.bytes) ok = error_set(err, "its central directory has more than its entries");
    ok = ok && check_places(zip, err);
    if (!ok) zip_close(zip);
    return ok;
}

void zip_close(Zip *zip) {
    mem_free(zip->entries);
    *zip = (Zip){0};
}

const ZipEntry *zip_find(const Zip *zip, const char *name, size_t name_size) {
    ZipEntry key = {.name = name, .name_size = name_size};
    return zip->count ? bsearch(&key, zip->entries, zip->count, sizeof key, by_name) : NULL;
}

// Feeds and drains zlib in pieces, since it counts in 32 bits.
static bool inflate_into(z_stream *z, const ZipEntry *e, uint8_t *out) {
    enum { PIECE = 1 << 30 };
    uint64_t in_left = e->stored, out_left = e->size;
    z->next_in = (Bytef *)(uintptr_t)e->data;
    z->next_out = out;
    for (int status = Z_OK; status == Z_OK;) {
        uInt in = in_left < PIECE ? (uInt)in_left : PIECE, room = out_left < PIECE ? (uInt)out_left : PIECE;
        z->avail_in = in;
        z->avail_out = room;
        status = inflate(z, Z_NO_FLUSH);
        in_left -= in - z->avail_in;
        out_left -= room - z->avail_out;
        if (status == Z_STREAM_END) return in_left == 0 && out_left == 0;
    }
    return false;
}

static uint32_t crc_of(const uint8_t *data, size_t size) { return (uint32_t)crc32_z(crc32_z(0, NULL, 0), data, size); }

uint8_t *zip_inflate(const ZipEntry *e, uint64_t limit, Error *err) {
    char has[32], may[32];
    if (e->size > limit) {
        error_set(err, "entry \"%.*s\": inflates to %s, above the limit of %s for what is deflated in this file",
                  shown(e->name_size), e->name, size_text(e->size, has), size_text(limit, may));
        return NULL;
    }
    uint8_t *out = mem_alloc((size_t)e->size, 1, err);
    if (!out) return NULL;
    z_stream z = {0};
    bool ok = false;
    if (inflateInit2(&z, -MAX_WBITS) != Z_OK) { // raw: an archive's entries have no zlib header
        error_set(err, "out of memory");
    } else {
        ok = inflate_into(&z, e, out);
        inflateEnd(&z);
        if (!ok || crc_of(out, (size_t)e->size) != e->crc) ok = entry_error(e, err, "its compressed bytes are damaged");
    }
    if (ok) return out;
    mem_free(out);
    return NULL;
}
