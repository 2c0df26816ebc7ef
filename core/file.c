#include "core/file.h"

#include "core/mem.h"
#include "core/size.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BUFFER_BYTES = 1 << 20, SYNC_BYTES = 16 << 20 };

// Maps what a descriptor is open on; path is for messages.
static FileMap *map_open_file(int fd, const char *path, Error *err) {
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        error_set(err, "%s: is not a regular file", path);
        return NULL;
    }
    FileMap *map = mem_alloc(1, sizeof *map, err);
    if (!map) return NULL;
    map->path = mem_text(path, strlen(path), err);
    if (!map->path) goto fail;
    map->size = (size_t)st.st_size;
    if (map->size) {
        void *data = mmap(NULL, map->size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED) {
            error_set(err, "%s: cannot be mapped: %s", path, strerror(errno));
            goto fail;
        }
        map->data = data;
    }
    return map;
fail:
    file_unmap(map);
    return NULL;
}

FileMap *file_map(const char *path, Error *err) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        error_set(err, "%s: cannot be opened: %s", path, strerror(errno));
        return NULL;
    }
    FileMap *map = map_open_file(fd, path, err);
    close(fd);
    return map;
}

void file_unmap(FileMap *map) {
    if (!map) return;
    if (map->data) munmap((void *)(uintptr_t)map->data, map->size);
    mem_free(map->path);
    mem_free(map);
}

void file_prefetch(const FileMap *map, const void *start, size_t size) {
    if (!map || !map->data || !size) return;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), from = (uintptr_t)start / page * page;
    madvise((void *)from, (uintptr_t)start + size - from, MADV_WILLNEED);
}

void file_release(const FileMap *map, const void *start, size_t size) {
    if (!map || !map->data || !size) return;
    // Whole pages inside the range only: its edges may be shared with a neighbour that is still in use.
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t from = ((uintptr_t)start + page - 1) / page * page, to = ((uintptr_t)start + size) / page * page;
    if ((const uint8_t *)start + size == map->data + map->size) to = ((uintptr_t)start + size + page - 1) / page * page;
    if (to > from) madvise((void *)from, to - from, MADV_DONTNEED);
}

char *file_read(const char *path, size_t limit, size_t *size, Error *err) {
    FileMap *map = file_map(path, err);
    if (!map) return NULL;
    char *text = NULL;
    if (map->size > limit)
        error_set(err, "%s: is %zu bytes long, more than the %zu that such a file may have", path, map->size, limit);
    else
        text = mem_text((const char *)map->data, map->size, err);
    if (size) *size = map->size;
    file_unmap(map);
    return text;
}

bool file_exists(const char *path) { return access(path, F_OK) == 0; }

bool file_is_directory(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool file_same(const char *a, const char *b) {
    struct stat sa, sb;
    return stat(a, &sa) == 0 && stat(b, &sb) == 0 && sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
}

uint64_t file_size(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

char *file_join(const char *directory, const char *name, Error *err) {
    bool climbs = strcmp(name, "..") == 0 || strncmp(name, "../", 3) == 0 || strstr(name, "/../") != NULL ||
                  (strlen(name) >= 3 && strcmp(name + strlen(name) - 3, "/..") == 0);
    if (!*name || *name == '/' || climbs) {
        error_set(err, "%s: the file name \"%.200s\" leads outside the directory", directory, name);
        return NULL;
    }
    size_t n = strlen(directory) + strlen(name) + 2;
    char *path = mem_alloc(n, 1, err);
    if (path) snprintf(path, n, "%s/%s", directory, name);
    return path;
}

// ---- files out

struct FileOut {
    int fd;
    char *path;      // the name that commit gives it
    char *directory; // where that is
    char *temporary; // its name until then; NULL while it has none (O_TMPFILE)
    uint8_t *buffer;
    size_t buffered;
    uint64_t size;             // bytes appended, buffered ones included
    uint64_t written, started; // bytes handed to the system, and those of them that it was told to put on the disk
};

// The one temporary that has a name, for the signal handler: unlinked when the program is interrupted.
static char *volatile pending;
static void (*volatile on_interrupt)(void);

// The child that is moving a finished file to its place (publish_unkilled); 0: none, -1: about to be.
static volatile pid_t publisher;

static void unlink_pending(int sig) {
    char *name = pending;
    void (*cleanup)(void) = on_interrupt;
    // Nothing may appear after the cleaning. Only another thread can find -1 here: the one that forks blocks signals.
    while (publisher == -1) sched_yield();
    if (publisher > 0) waitpid(publisher, NULL, 0);
    if (name) unlink(name);
    if (cleanup) cleanup();
    signal(sig, SIG_DFL);
    raise(sig);
}

static void catch_interrupts(void) {
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        struct sigaction old;
        if (sigaction(signals[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL)
            sigaction(signals[i], &(struct sigaction){.sa_handler = unlink_pending}, NULL);
    }
}

static void guard_pending(char *name) {
    pending = name;
    if (name) catch_interrupts();
}

void file_on_interrupt(void (*cleanup)(void)) {
    on_interrupt = cleanup;
    catch_interrupts();
}

static bool out_error(const FileOut *out, Error *err, const char *what) {
    int e = errno;
    return error_set(err, "%s: cannot be %s: %s%s", out->path, what, strerror(e),
                     e == ENOSPC || e == EDQUOT ? "; free some space or choose another place with -o" : "");
}

static void out_free(FileOut *out) {
    if (out->fd >= 0) close(out->fd);
    if (out->temporary) {
        guard_pending(NULL);
        mem_free(out->temporary);
    }
    mem_free(out->path);
    mem_free(out->directory);
    mem_free(out->buffer);
    mem_free(out);
}

char *file_directory(const char *path, Error *err) {
    const char *slash = strrchr(path, '/');
    if (!slash) return mem_text(".", 1, err);
    return slash == path ? mem_text("/", 1, err) : mem_text(path, (size_t)(slash - path), err);
}

static char *temporary_name(const char *path, Error *err) {
    size_t n = strlen(path) + 32;
    char *name = mem_alloc(n, 1, err);
    if (name) snprintf(name, n, "%s.tmp-%ld", path, (long)getpid());
    return name;
}

FileOut *file_out_open(const char *path, uint64_t expected, Error *err) {
    if (file_is_directory(path)) {
        error_set(err, "%s: is a directory; name the file to write", path);
        return NULL;
    }
    FileOut *out = mem_alloc(1, sizeof *out, err);
    if (!out) return NULL;
    out->fd = -1;
    // A link is followed, so that what it points to is replaced and not the link itself.
    char *real = realpath(path, NULL);
    out->path = mem_text(real ? real : path, strlen(real ? real : path), err);
    free(real);
    out->directory = out->path ? file_directory(out->path, err) : NULL;
    out->buffer = out->directory ? mem_alloc(BUFFER_BYTES, 1, err) : NULL;
    if (!out->buffer) goto fail;
#ifdef O_TMPFILE
    // It gets its name through /proc, which a bare chroot may lack.
    if (file_is_directory("/proc/self/fd")) out->fd = open(out->directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0666);
#endif
    if (out->fd < 0) {
        out->temporary = temporary_name(out->path, err);
        if (!out->temporary) goto fail;
        guard_pending(out->temporary);
        out->fd = open(out->temporary, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
        if (out->fd < 0) {
            out_error(out, err, "written");
            goto fail;
        }
    }
#ifdef __linux__
    if (expected && expected <= INT64_MAX) {
        int e = fallocate(out->fd, 0, 0, (off_t)expected) == 0 ? 0 : errno;
        if (e == ENOSPC || e == EDQUOT || e == EFBIG) {
            errno = e;
            char text[32];
            out_error(out, err, "written");
            error_prefix(err, "%s are needed", size_text(expected, text));
            if (out->temporary) unlink(out->temporary);
            goto fail;
        }
    }
#else
    (void)expected;
#endif
    return out;
fail:
    out_free(out);
    return NULL;
}

// Lets the disk begin while more is computed, so that little is left for the sync at the end.
static void out_start_sync(FileOut *out) {
#ifdef __linux__
    if (out->written - out->started < SYNC_BYTES) return;
    sync_file_range(out->fd, (off_t)out->started, (off_t)(out->written - out->started), SYNC_FILE_RANGE_WRITE);
    out->started = out->written;
#else
    (void)out;
#endif
}

static bool write_all(FileOut *out, const uint8_t *data, size_t size, Error *err) {
    while (size) {
        ssize_t n = write(out->fd, data, size);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return out_error(out, err, "written");
        data += n;
        size -= (size_t)n;
        out->written += (uint64_t)n;
    }
    out_start_sync(out);
    return true;
}

static bool out_flush(FileOut *out, Error *err) {
    size_t n = out->buffered;
    out->buffered = 0;
    return write_all(out, out->buffer, n, err);
}

bool file_out_write(FileOut *out, const void *data, size_t size, Error *err) {
    if (out->buffered + size > BUFFER_BYTES && !out_flush(out, err)) return false;
    out->size += size;
    if (size >= BUFFER_BYTES) return write_all(out, data, size, err);
    memcpy(out->buffer + out->buffered, data, size);
    out->buffered += size;
    return true;
}

bool file_out_pad(FileOut *out, size_t align, Error *err) {
    static const uint8_t zeros[4096];
    size_t n = (size_t)((align - out->size % align) % align);
    for (; n > sizeof zeros; n -= sizeof zeros)
        if (!file_out_write(out, zeros, sizeof zeros, err)) return false;
    return file_out_write(out, zeros, n, err);
}

bool file_out_patch(FileOut *out, uint64_t at, const void *data, size_t size, Error *err) {
    if (!out_flush(out, err)) return false;
    const uint8_t *p = data;
    while (size) {
        ssize_t n = pwrite(out->fd, p, size, (off_t)at);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return out_error(out, err, "written");
        p += n;
        at += (uint64_t)n;
        size -= (size_t)n;
    }
    return true;
}

uint64_t file_out_size(const FileOut *out) { return out->size; }

// Gives a nameless file a name, then moves it over the old one. Returns 0 or errno.
static int publish(int fd, const char *name, const char *path) {
    char self[64];
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    unlink(name);
    if (linkat(AT_FDCWD, self, AT_FDCWD, name, AT_SYMLINK_FOLLOW) != 0) return errno;
    if (rename(name, path) == 0) return 0;
    int e = errno;
    unlink(name);
    return e;
}

// The same in a child that no signal meant for this process reaches: killed between the two steps, the program would
// leave the new file under the temporary name. A child that was started ends its work.
static int publish_unkilled(int fd, const char *name, const char *path) {
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &old);
    publisher = -1;
    pid_t child = fork();
    if (child == 0) _exit(publish(fd, name, path));
    int status = 0, result = 0;
    publisher = child > 0 ? child : 0;
    if (child < 0) result = publish(fd, name, path);
    while (child > 0 && waitpid(child, &status, 0) < 0)
        if (errno != EINTR) {
            result = errno;
            break;
        }
    publisher = 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return result ? result : WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
}

static bool out_publish(FileOut *out, Error *err) {
    if (out->temporary) return rename(out->temporary, out->path) == 0 || out_error(out, err, "written");
    char *name = temporary_name(out->path, err);
    if (!name) return false;
    errno = publish_unkilled(out->fd, name, out->path);
    mem_free(name);
    return errno == 0 || out_error(out, err, "written");
}

void file_sync_directory(const char *path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    fsync(fd);
    close(fd);
}

bool file_out_commit(FileOut *out, Error *err) {
    bool ok = out_flush(out, err);
    // The reservation may be longer than what came.
    if (ok && ftruncate(out->fd, (off_t)out->size) != 0) ok = out_error(out, err, "written");
    if (ok && fsync(out->fd) != 0 && errno != EINVAL) ok = out_error(out, err, "synced to the disk");
    if (!ok || !out_publish(out, err)) {
        file_out_abort(out);
        return false;
    }
    // The name itself is in the directory: sync that too. A failure here loses nothing that was there before.
    file_sync_directory(out->directory);
    out_free(out);
    return true;
}

void file_out_abort(FileOut *out) {
    if (!out) return;
    if (out->temporary) unlink(out->temporary);
    out_free(out);
}

// ---- without a name

static int open_unnamed(const char *directory) {
    int fd = -1;
#ifdef O_TMPFILE
    fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);
    if (fd >= 0) return fd;
#endif
    char name[PATH_MAX];
    if (snprintf(name, sizeof name, "%s/nibble-XXXXXX", directory) >= (int)sizeof name) return -1;
    fd = mkstemp(name);
    if (fd >= 0) unlink(name);
    return fd;
}

FileOut *file_out_unnamed(Error *err) {
    const char *directory = getenv("TMPDIR");
    if (!directory || !*directory) directory = "/tmp";
    FileOut *out = mem_alloc(1, sizeof *out, err);
    if (!out) return NULL;
    out->fd = -1;
    size_t n = strlen(directory) + 64;
    out->path = mem_alloc(n, 1, err); // for messages: it has no name
    if (out->path) snprintf(out->path, n, "a temporary file in %s (see TMPDIR)", directory);
    out->buffer = out->path ? mem_alloc(BUFFER_BYTES, 1, err) : NULL;
    if (out->buffer) {
        out->fd = open_unnamed(directory);
        if (out->fd >= 0) return out;
        out_error(out, err, "made");
    }
    out_free(out);
    return NULL;
}

FileMap *file_out_map(FileOut *out, Error *err) {
    FileMap *map = out_flush(out, err) ? map_open_file(out->fd, out->path, err) : NULL;
    out_free(out);
    return map;
}
