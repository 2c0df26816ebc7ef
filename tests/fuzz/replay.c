// fuzz_WHAT DIRECTORY...: runs a fuzz target over every file in the directories, as libFuzzer would, and says how many
// there were. The inputs run in a child process, so that one that ends it is named and the others still run; each has
// ten seconds, and together they may take so much memory and no more.
#include "tests/fuzz/fuzz.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SECONDS = 10, MEMORY_MIB = 768 };

static char **paths;
static size_t count;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void list(const char *directory) {
    DIR *d = opendir(directory);
    if (!d) die(directory);
    for (struct dirent *e = readdir(d); e; e = readdir(d)) {
        if (*e->d_name == '.') continue;
        size_t n = strlen(directory) + strlen(e->d_name) + 2;
        paths = realloc(paths, (count + 1) * sizeof *paths);
        if (!paths || !(paths[count] = malloc(n))) die("memory");
        snprintf(paths[count++], n, "%s/%s", directory, e->d_name);
    }
    closedir(d);
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void run(const char *path) {
    FILE *f = fopen(path, "rb");
    if (!f || fseek(f, 0, SEEK_END) != 0) die(path);
    size_t size = (size_t)ftell(f);
    rewind(f);
    uint8_t *data = malloc(size ? size : 1); // just as large, for the sanitizer
    if (!data || fread(data, 1, size, f) != size) die(path);
    fclose(f);
    alarm(SECONDS);
    LLVMFuzzerTestOneInput(data, size);
    alarm(0);
    free(data);
}

// Runs the inputs from *at on, in a child. False, with the input's number in *at, where one ended it.
static bool run_from(volatile size_t *at, const char *name) {
    int status;
    struct rusage usage;
    fflush(stdout);
    pid_t child = fork();
    if (child < 0) die("fork");
    if (child == 0) {
        for (; *at < count; ++*at) run(paths[*at]);
        exit(0);
    }
    while (wait4(child, &status, 0, &usage) < 0)
        if (errno != EINTR) die("wait4");
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        if (usage.ru_maxrss <= MEMORY_MIB * 1024L) return true;
        printf("not ok - %s: %ld MiB of memory for these inputs\n", name, usage.ru_maxrss / 1024);
        exit(1);
    }
    printf("not ok - %s: %s: %s\n", name, *at < count ? paths[*at] : "after the last input",
           WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "exited");
    return false;
}

int main(int argc, char **argv) {
    const char *slash = strrchr(argv[0], '/'), *name = slash ? slash + 1 : argv[0];
    volatile size_t *at = mmap(NULL, sizeof *at, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    size_t failed = 0;
    if (at == MAP_FAILED) die("mmap");
    for (int i = 1; i < argc; i++) list(argv[i]);
    if (!count) {
        fprintf(stderr, "usage: %s DIRECTORY..., each with inputs\n", name);
        return 1;
    }
    qsort(paths, count, sizeof *paths, by_name);
    for (; *at < count && !run_from(at, name); ++*at) failed++;
    if (!failed) printf("ok - %s: %zu inputs\n", name, count);
    for (size_t i = 0; i < count; i++) free(paths[i]);
    free(paths);
    return failed != 0;
}
