// Reader of zip archives (PKWARE's APPNOTE.TXT 6.3.10), as far as files of weights need it: entries stored as they are
// or deflated, sizes beyond 4 GiB (zip64), one disk, nothing encrypted. What is checked before any entry is used:
//   - the end record, the central directory before it and each entry's local header agree with each other;
//   - every entry lies before the central directory, none overlaps another, no name is there twice;
//   - a deflated entry claims no more than deflate can compress (NIB.md has the same limit).
// Only the central directory's sizes count: local headers may leave them to a data descriptor.
#ifndef FORMATS_ZIP_H
#define FORMATS_ZIP_H

#include "core/file.h"

typedef struct ZipEntry {
    const char *name; // in the map, not NUL-terminated
    size_t name_size;
    const uint8_t *data; // as stored
    uint64_t stored;     // bytes of it
    uint64_t size;       // uncompressed
    uint32_t crc;        // of the uncompressed bytes; torch.save may be told not to compute it
    bool deflated;
} ZipEntry;

typedef struct Zip {
    const FileMap *map; // not owned
    ZipEntry *entries;  // sorted by name
    size_t count;
} Zip;

bool zip_is(const FileMap *map); // it starts like an archive

bool zip_open(const FileMap *map, Zip *zip, Error *err); // on failure nothing needs closing
void zip_close(Zip *zip);

const ZipEntry *zip_find(const Zip *zip, const char *name, size_t name_size); // NULL where absent

// Inflates a deflated entry into memory (free with mem_free) and checks its CRC; at most `limit` bytes are spent.
uint8_t *zip_inflate(const ZipEntry *entry, uint64_t limit, Error *err);

#endif
