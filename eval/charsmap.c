#include "eval/charsmap.h"

#include "core/utf8.h"
#include "eval/newer.h"
#include <string.h>
#include <utf8proc.h>

enum {
    CLUSTER_MAX = 5,      // bytes of a grapheme cluster that has rules as a whole
    REPLACEMENT_MAX = 256 // bytes; the longest in use has 33. A text must not grow beyond all measure
};

static uint32_t read_u32(const uint8_t *at) {
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

bool charsmap_init(Charsmap *map, const Text *bytes, Error *err) {
    size_t trie = bytes->size >= 4 ? read_u32((const uint8_t *)bytes->data) : 0;
    if (bytes->size < 4 || trie > bytes->size - 4 || trie % 4 || !trie)
        return error_set(err, "the charsmap's trie of %zu bytes is not within its %zu bytes", trie, bytes->size);
    map->units = (const uint8_t *)bytes->data + 4;
    map->count = trie / 4;
    map->pool = bytes->data + 4 + trie;
    map->pool_size = bytes->size - 4 - trie;
    return !map->pool_size || utf8_valid_prefix(map->pool, map->pool_size) == map->pool_size ||
           error_set(err, "the charsmap's texts are not UTF-8");
}

// ---- the trie: a unit holds a label, whether a value hangs there, and how far its children are

static bool unit_at(const Charsmap *map, size_t at, uint32_t *unit, Error *err) {
    if (at >= map->count) return error_set(err, "the charsmap's trie points outside of itself");
    *unit = read_u32(map->units + 4 * at);
    return true;
}

static uint32_t label(uint32_t unit) { return unit & (1u << 31 | 0xFF); }
static bool has_leaf(uint32_t unit) { return unit >> 8 & 1; }
static uint32_t leaf_value(uint32_t unit) { return unit & ~(1u << 31); }
static size_t offset(uint32_t unit) { return (size_t)(unit >> 10) << ((unit & 1u << 9) >> 6); }

// The shortest beginning of the key that has a rule; *found says whether there is one.
static bool find(const Charsmap *map, const char *key, size_t size, bool *found, size_t *value, Error *err) {
    uint32_t unit = 0;
    *found = false;
    if (!unit_at(map, 0, &unit, err)) return false;
    size_t at = offset(unit);
    for (size_t i = 0; i < size && key[i]; i++) {
        at ^= (uint8_t)key[i];
        if (!unit_at(map, at, &unit, err)) return false;
        if (label(unit) != (uint8_t)key[i]) return true;
        at ^= offset(unit);
        if (!has_leaf(unit)) continue;
        if (!unit_at(map, at, &unit, err)) return false;
        *value = leaf_value(unit);
        *found = true;
        return true;
    }
    return true;
}

static bool put_replacement(const Charsmap *map, size_t at, TextBuffer *out, Error *err) {
    // Values at the pool's very end are empty texts.
    if (at > map->pool_size || (at < map->pool_size && ((uint8_t)map->pool[at] & 0xC0) == 0x80))
        return error_set(err, "the charsmap has a value that is no place in its texts");
    size_t rest = map->pool_size - at;
    const char *text = map->pool + at, *nul = rest ? memchr(text, '\0', rest) : NULL;
    size_t size = nul ? (size_t)(nul - text) : rest;
    if (size > REPLACEMENT_MAX)
        return error_set(err, "the charsmap replaces a character by %zu bytes, more than the %d supported", size,
                         REPLACEMENT_MAX);
    return text_append(out, text, size, err);
}

// Appends what becomes of the key if it has a rule.
static bool replace(const Charsmap *map, const char *key, size_t size, TextBuffer *out, bool *found, Error *err) {
    size_t value;
    return find(map, key, size, found, &value, err) && (!*found || put_replacement(map, value, out, err));
}

// ---- the text

// The end of the grapheme cluster (UAX #29) that starts at `at`.
static size_t cluster_end(const char *text, size_t at, size_t size) {
    uint32_t c, next;
    utf8proc_int32_t state = 0;
    at += utf8_decode(text + at, &c);
    while (at < size) {
        size_t length = utf8_decode(text + at, &next);
        if (utf8proc_grapheme_break_stateful((utf8proc_int32_t)newer_like(c), (utf8proc_int32_t)newer_like(next),
                                             &state))
            break;
        at += length;
        c = next;
    }
    return at;
}

bool charsmap_run(const Charsmap *map, const char *text, size_t size, TextBuffer *out, Error *err) {
    for (size_t at = 0, end; at < size; at = end) {
        bool found = false;
        end = cluster_end(text, at, size);
        if (end - at <= CLUSTER_MAX && !replace(map, text + at, end - at, out, &found, err)) return false;
        while (!found && at < end) {
            uint32_t c;
            size_t length = utf8_decode(text + at, &c);
            bool changed;
            if (!replace(map, text + at, length, out, &changed, err)) return false;
            if (!changed && !text_append(out, text + at, length, err)) return false;
            at += length;
        }
    }
    return true;
}
