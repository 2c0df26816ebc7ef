#include "core/outdir.h"

#include "core/file.h"
#include "core/mem.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// A list, not an array: an interrupt may look at it at any moment.
typedef struct OutFile {
    struct OutFile *next;
    char *name, *path;
} OutFile;

struct OutDir {
    char *path;       // what it will be
    char *parent;     // where that is
    char *temporary;  // where it is until then
    bool files_alone; // the files move to the parent
    OutFile *files;   // newest first
};

// The one that an interrupt removes.
static OutDir *volatile pending;

static void remove_temporary(const OutDir *dir) {
    for (const OutFile *f = dir->files; f; f = f->next) unlink(f->path);
    rmdir(dir->temporary);
}

static void remove_pending(void) {
    const OutDir *dir = pending;
    if (dir) remove_temporary(dir);
}

static void free_dir(OutDir *dir) {
    while (dir->files) {
        OutFile *f = dir->files;
        dir->files = f->next;
        mem_free(f->name);
        mem_free(f->path);
        mem_free(f);
    }
    mem_free(dir->path);
    mem_free(dir->parent);
    mem_free(dir->temporary);
    mem_free(dir);
}

static bool system_error(Error *err, const char *path, const char *what) {
    return error_set(err, "%s: cannot be %s: %s", path, what, strerror(errno));
}

static bool is_empty(const char *path) {
    DIR *d = opendir(path);
    if (!d) return false;
    bool empty = true;
    for (struct dirent *e; empty && (e = readdir(d));)
        empty = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
    closedir(d);
    return empty;
}

static bool place_is_free(const char *path, Error *err) {
    struct stat st;
    if (lstat(path, &st) != 0) return true;
    if (!S_ISDIR(st.st_mode)) return error_set(err, "%s: is there and is not a directory; name another one", path);
    return is_empty(path) || error_set(err, "%s: is there and is not empty; name another directory or remove it", path);
}

static OutDir *open_dir(const char *path, bool files_alone, Error *err) {
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--;
    OutDir *dir = mem_alloc(1, sizeof *dir, err);
    if (!dir) return NULL;
    dir->files_alone = files_alone;
    dir->path = mem_text(path, n, err);
    dir->parent = dir->path ? file_directory(dir->path, err) : NULL;
    dir->temporary = dir->parent ? mem_alloc(n + 32, 1, err) : NULL;
    if (!dir->temporary || (!files_alone && !place_is_free(dir->path, err))) {
        free_dir(dir);
        return NULL;
    }
    snprintf(dir->temporary, n + 32, "%s.tmp-%ld", dir->path, (long)getpid());
    // First the watch, then the directory: an interrupt between the two must find it.
    pending = dir;
    file_on_interrupt(remove_pending);
    if (mkdir(dir->temporary, 0777) == 0) return dir;
    system_error(err, dir->path, "written");
    file_on_interrupt(NULL);
    pending = NULL;
    free_dir(dir);
    return NULL;
}

OutDir *out_dir_open(const char *path, Error *err) { return open_dir(path, false, err); }
OutDir *out_dir_open_files(const char *path, Error *err) { return open_dir(path, true, err); }

const char *out_dir_file(OutDir *dir, const char *name, Error *err) {
    OutFile *f = mem_alloc(1, sizeof *f, err);
    if (!f) return NULL;
    f->name = mem_text(name, strlen(name), err);
    f->path = f->name ? file_join(dir->temporary, name, err) : NULL;
    if (!f->path) {
        mem_free(f->name);
        mem_free(f);
        return NULL;
    }
    f->next = dir->files;
    dir->files = f;
    return f->path;
}

// All targets are looked at before the first file moves.
static bool move_files(OutDir *dir, Error *err) {
    bool ok = true;
    for (int pass = 0; pass < 2; pass++)
        for (const OutFile *f = dir->files; ok && f; f = f->next) {
            char *target = file_join(dir->parent, f->name, err);
            ok = target != NULL;
            if (ok && file_is_directory(target))
                ok = error_set(err, "%s: is a directory; name the file to write", target);
            else if (ok && pass && rename(f->path, target) != 0)
                ok = system_error(err, target, "written");
            mem_free(target);
        }
    if (ok) rmdir(dir->temporary);
    return ok;
}

bool out_dir_commit(OutDir *dir, Error *err) {
    file_sync_directory(dir->temporary);
    bool ok = dir->files_alone ? move_files(dir, err)
                               : rename(dir->temporary, dir->path) == 0 || system_error(err, dir->path, "written");
    if (!ok) {
        out_dir_abort(dir);
        return false;
    }
    pending = NULL;
    file_sync_directory(dir->parent);
    free_dir(dir);
    return true;
}

void out_dir_abort(OutDir *dir) {
    if (!dir) return;
    pending = NULL;
    remove_temporary(dir);
    free_dir(dir);
}
