// Files in by mmap, files out by a temporary that is synced and renamed: a reader sees the old file or the whole new
// one.
#ifndef CORE_FILE_H
#define CORE_FILE_H

#include "core/error.h"
#include <stddef.h>
#include <stdint.h>

typedef struct FileMap {
    char *path;
    const uint8_t *data; // read-only; NULL when the file is empty
    size_t size;
} FileMap;

// Maps a regular file whole, for reading. On failure the message names the path. file_unmap(NULL) is fine.
FileMap *file_map(const char *path, Error *err);
void file_unmap(FileMap *map);

// Gives the pages of a range back to the system (they are read again when touched): keeps the resident set small.
void file_release(const FileMap *map, const void *start, size_t size);

// Asks for a range to be read in the background, since it will be needed soon.
void file_prefetch(const FileMap *map, const void *start, size_t size);

// Reads a small text file whole (at most `limit` bytes), with a NUL added. Free with mem_free.
char *file_read(const char *path, size_t limit, size_t *size, Error *err);

bool file_exists(const char *path);
bool file_is_directory(const char *path);
bool file_same(const char *a, const char *b); // both are there and are one file, links followed
uint64_t file_size(const char *path);         // 0 where it is not there

// directory + "/" + name, refusing names that leave the directory ("..", absolute ones). Free with mem_free.
char *file_join(const char *directory, const char *name, Error *err);

// The directory part of a path, "." where it has none. Free with mem_free.
char *file_directory(const char *path, Error *err);

// Puts a directory's names on the disk; where that fails nothing that was there before is lost.
void file_sync_directory(const char *path);

typedef struct FileOut FileOut;

// Starts the file that will replace `path`; reserves `expected` bytes (0: unknown) so that a full disk is found now.
// Nothing appears at `path` before file_out_commit; where the system can, not even a temporary name.
FileOut *file_out_open(const char *path, uint64_t expected, Error *err);
bool file_out_write(FileOut *out, const void *data, size_t size, Error *err); // appends
bool file_out_pad(FileOut *out, size_t align, Error *err);                    // zeros up to a multiple of align
bool file_out_patch(FileOut *out, uint64_t at, const void *data, size_t size,
                    Error *err); // overwrites what was written
uint64_t file_out_size(const FileOut *out);

// A file without a name in TMPDIR (else /tmp), of what does not fit memory: file_out_map ends it, maps it and frees out
// (also when it fails); the file goes when it is unmapped, or with the program.
FileOut *file_out_unnamed(Error *err);
FileMap *file_out_map(FileOut *out, Error *err);

bool file_out_commit(FileOut *out, Error *err); // syncs, renames, frees out (also when it fails)
void file_out_abort(FileOut *out);              // leaves what was there before; frees out. NULL is fine

// Has this called when a signal ends the program, after the temporary file that it was at is gone. It may only do what
// a signal handler may.
void file_on_interrupt(void (*cleanup)(void));

#endif
