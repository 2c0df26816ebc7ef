#include "eval/windows.h"

#include "core/mem.h"
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

void windows_free(Windows *w) {
    mem_free(w->ids);
    mem_free(w->items);
    *w = (Windows){0};
}

static int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }

static bool windows_init(Windows *w, int64_t count, int64_t ids, Error *err) {
    *w = (Windows){0};
    w->items = mem_alloc((size_t)count, sizeof *w->items, err);
    w->ids = mem_alloc((size_t)ids, sizeof *w->ids, err);
    if (w->items && w->ids) return true;
    windows_free(w);
    return false;
}

// Appends a window that copies ids; there is room.
static void window_add(Windows *w, const int32_t *ids, int64_t length, int64_t first) {
    int64_t start = w->count ? w->items[w->count - 1].start + w->items[w->count - 1].length : 0;
    memcpy(w->ids + start, ids, (size_t)length * sizeof *ids);
    w->items[w->count++] = (Window){start, length, first};
    w->scored += length - first;
    if (length > w->longest) w->longest = length;
}

bool windows_consecutive(const int32_t *ids, size_t count, int64_t ctx, int64_t limit, int64_t bos, Windows *w,
                         Error *err) {
    int64_t n = (int64_t)count / ctx;
    if (n == 0)
        return error_set(
            err, "the text has %zu tokens, fewer than one window of --ctx %lld; give more text or a smaller --ctx",
            count, (long long)ctx);
    if (limit) n = min(n, limit);
    if (!windows_init(w, n, n * ctx, err)) return false;
    for (int64_t i = 0; i < n; i++) {
        window_add(w, ids + i * ctx, ctx, ctx / 2 + 1);
        if (bos >= 0) w->ids[i * ctx] = (int32_t)bos;
    }
    w->ctx = ctx;
    return true;
}

bool windows_strided(const int32_t *ids, size_t count, int64_t ctx, int64_t stride, int64_t limit, Windows *w,
                     Error *err) {
    int64_t total = (int64_t)count;
    if (total < 2) return error_set(err, "the text has %zu tokens; at least 2 are needed", count);
    int64_t n = total <= ctx ? 1 : (total - ctx + stride - 1) / stride + 1;
    if (limit) n = min(n, limit);
    if (!windows_init(w, n, n * min(ctx, total), err)) return false;
    for (int64_t i = 0, scored_to = 1; i < n; i++) {
        int64_t begin = i * stride, end = min(begin + ctx, total);
        window_add(w, ids + begin, end - begin, scored_to - begin);
        scored_to = end;
    }
    w->ctx = ctx;
    w->stride = stride;
    return true;
}

bool windows_parse(const char *text, const char *name, int64_t limit, Windows *w, Error *err) {
    size_t size = strlen(text), lines = 1;
    for (const char *c = text; *c; c++) lines += *c == '\n';
    int32_t *row = mem_alloc(size / 2 + 1, sizeof *row, err);
    if (!row || !windows_init(w, (int64_t)lines, (int64_t)(size / 2 + 1), err)) {
        mem_free(row);
        return false;
    }
    bool ok = true;
    for (size_t line = 1; ok && *text && (!limit || w->count < (size_t)limit); line++) {
        int64_t n = 0;
        for (; ok && *text && *text != '\n';) {
            char *end;
            if (isspace((unsigned char)*text)) {
                text++;
                continue;
            }
            errno = 0;
            long long id = strtoll(text, &end, 10);
            if (end == text || errno || id < 0 || id > INT32_MAX || (*end && !isspace((unsigned char)*end)))
                ok = error_set(err, "%s: line %zu: \"%.*s\" is not a token id", name, line,
                               (int)strcspn(text, " \t\r\n"), text);
            else
                row[n++] = (int32_t)id;
            text = end;
        }
        if (ok && n == 1) ok = error_set(err, "%s: line %zu: a window of one token has nothing to score", name, line);
        if (ok && n) window_add(w, row, n, 1);
        if (*text) text++;
    }
    if (ok && !w->count) ok = error_set(err, "%s: holds no token ids", name);
    mem_free(row);
    if (!ok) windows_free(w);
    return ok;
}

void windows_keep(Windows *w, size_t first, size_t count) {
    int64_t origin = w->items[first].start;
    w->scored = w->longest = 0;
    for (size_t i = 0; i < count; i++) {
        Window item = w->items[first + i];
        item.start -= origin;
        w->items[i] = item;
        w->scored += item.length - item.first;
        if (item.length > w->longest) w->longest = item.length;
    }
    const Window *last = &w->items[count - 1];
    memmove(w->ids, w->ids + origin, (size_t)(last->start + last->length) * sizeof *w->ids);
    w->count = count;
}

bool windows_check(const Windows *w, int64_t vocab, Error *err) {
    for (size_t i = 0; i < w->count; i++)
        for (int64_t j = 0; j < w->items[i].length; j++)
            if (w->ids[w->items[i].start + j] >= vocab)
                return error_set(err, "token id %d in window %zu is outside the model's vocabulary of %lld",
                                 w->ids[w->items[i].start + j], i, (long long)vocab);
    return true;
}

Hash windows_hash(const Windows *w) {
    // One piece of memory each, so that running out of it is no concern: hashes of windows, and the hash of these.
    Hash all = hash_bytes(NULL, 0);
    for (size_t i = 0; i < w->count; i++) {
        const Window *item = &w->items[i];
        Hash parts[2] = {all, hash_bytes(w->ids + item->start, (size_t)item->length * sizeof *w->ids)};
        all = hash_bytes(parts, sizeof parts);
    }
    return all;
}
