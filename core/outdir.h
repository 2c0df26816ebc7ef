// Several files out that appear together: written into a temporary directory beside the place they are for, which then
// takes that place in one step, or whose files move out of it one by one.
#ifndef CORE_OUTDIR_H
#define CORE_OUTDIR_H

#include "core/error.h"

typedef struct OutDir OutDir;

// Starts the directory that will be `path`. It must not be there yet, or be empty. Nothing appears at `path` before
// out_dir_commit; until then there is path.tmp-<process>, which goes away when the program fails or is interrupted.
OutDir *out_dir_open(const char *path, Error *err);

// The same for files that will lie beside `path`, which itself is only a name.
OutDir *out_dir_open_files(const char *path, Error *err);

// Where a file of that plain name is to be written (core/file.h). The text lives as long as the OutDir.
const char *out_dir_file(OutDir *dir, const char *name, Error *err);

// The directory takes its place, or its files theirs (those that were there are replaced). Frees dir, also on failure.
bool out_dir_commit(OutDir *dir, Error *err);
void out_dir_abort(OutDir *dir); // removes the temporary directory and what is in it; frees dir. NULL is fine

#endif
