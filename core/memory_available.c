#include "core/memory_available.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

static uint64_t min(uint64_t a, uint64_t b) { return a < b ? a : b; }

// The number in a file of one number; "max" and what cannot be read are no limit.
static uint64_t number_in(const char *path) {
    uint64_t n = UINT64_MAX;
    FILE *f = fopen(path, "r");
    if (f && fscanf(f, "%" SCNu64, &n) != 1) n = UINT64_MAX;
    if (f) fclose(f);
    return n;
}

// The number after `key` at the beginning of a line; `none` where there is none.
static uint64_t number_after(const char *path, const char *key, uint64_t none) {
    char line[256];
    uint64_t n = none;
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, key, strlen(key)) == 0 && sscanf(line + strlen(key), "%" SCNu64, &n) == 1) break;
    if (f) fclose(f);
    return n;
}

// What one control group leaves.
static uint64_t group_leaves(const char *directory, const char *limit_name, const char *usage_name) {
    char path[4096 + 64];
    snprintf(path, sizeof path, "%s/%s", directory, limit_name);
    uint64_t limit = number_in(path);
    snprintf(path, sizeof path, "%s/%s", directory, usage_name);
    uint64_t usage = number_in(path);
    if (limit == UINT64_MAX || usage == UINT64_MAX) return UINT64_MAX;
    snprintf(path, sizeof path, "%s/memory.stat", directory);
    uint64_t files = number_after(path, "inactive_file ", 0) + number_after(path, "active_file ", 0);
    uint64_t held = usage > files ? usage - files : 0;
    return limit > held ? limit - held : 0;
}

// A group and all above it, down to the root of the hierarchy. `path` is cut as this goes up.
static uint64_t groups_leave(const char *root, char *path, const char *limit_name, const char *usage_name) {
    uint64_t least = UINT64_MAX;
    for (;;) {
        char directory[4096];
        if (snprintf(directory, sizeof directory, "%s%s", root, path) < (int)sizeof directory)
            least = min(least, group_leaves(directory, limit_name, usage_name));
        char *slash = strrchr(path, '/');
        if (!slash) return least;
        *slash = 0;
    }
}

// Lines of /proc/self/cgroup: "4:memory:/path" of version 1, "0::/path" of version 2.
static uint64_t all_groups_leave(void) {
    char line[4096];
    uint64_t least = UINT64_MAX;
    FILE *f = fopen("/proc/self/cgroup", "r");
    while (f && fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        char *controllers = strchr(line, ':'), *path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!path) continue;
        *path++ = 0;
        if (strcmp(controllers + 1, "") == 0)
            least = min(least, groups_leave("/sys/fs/cgroup", path, "memory.max", "memory.current"));
        else if (strcmp(controllers + 1, "memory") == 0)
            least = min(least,
                        groups_leave("/sys/fs/cgroup/memory", path, "memory.limit_in_bytes", "memory.usage_in_bytes"));
    }
    if (f) fclose(f);
    return least;
}

uint64_t memory_available(void) {
    uint64_t kib = number_after("/proc/meminfo", "MemAvailable:", UINT64_MAX);
    uint64_t least = kib > UINT64_MAX / 1024 ? UINT64_MAX : kib * 1024;
    struct rlimit limit;
    if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) least = min(least, limit.rlim_cur);
    return min(least, all_groups_leave());
}
