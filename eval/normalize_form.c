// Unicode normalization forms by utf8proc, but for one step: its canonical ordering takes quadratic time for a long run
// of combining marks, so that step is done here, by counting.
#include "eval/normalize.h"

#include "core/mem.h"
#include "core/utf8.h"
#include "eval/characters.h"
#include <string.h>
#include <utf8proc.h>

enum { CLASSES = 256, FIRST_CHANGED_BY_NFC = 0x300, SHORT_RUN = 32 };

// 0 for the marks that `tokenizers`, whose tables are of Unicode 8, does not know for such.
static uint8_t class_of(utf8proc_int32_t c) {
    static const CharacterRange newer[] = {
        {0x7FD, 0x7FD},     {0x898, 0x89F},     {0x8CA, 0x8D3},     {0x9FE, 0x9FE},     {0xC3C, 0xC3C},
        {0xD3B, 0xD3C},     {0xEBA, 0xEBA},     {0x1715, 0x1715},   {0x1ABF, 0x1ACE},   {0x1DF6, 0x1DFA},
        {0xA82C, 0xA82C},   {0x10D24, 0x10D27}, {0x10EAB, 0x10EAC}, {0x10EFD, 0x10EFF}, {0x10F46, 0x10F50},
        {0x10F82, 0x10F85}, {0x11070, 0x11070}, {0x1133B, 0x1133B}, {0x1145E, 0x1145E}, {0x11839, 0x1183A},
        {0x1193D, 0x1193E}, {0x11943, 0x11943}, {0x119E0, 0x119E0}, {0x11A34, 0x11A34}, {0x11A47, 0x11A47},
        {0x11A99, 0x11A99}, {0x11D42, 0x11D42}, {0x11D44, 0x11D45}, {0x11D97, 0x11D97}, {0x11F41, 0x11F42},
        {0x16FF0, 0x16FF1}, {0x1E08F, 0x1E08F}, {0x1E130, 0x1E136}, {0x1E2AE, 0x1E2AE}, {0x1E2EC, 0x1E2EF},
        {0x1E4EC, 0x1E4EF},
    };
    uint8_t class = (uint8_t)utf8proc_get_property(c)->combining_class;
    return class && character_in(newer, sizeof newer / sizeof *newer, (uint32_t)c) ? 0 : class;
}

// Sorts the marks c[0 .. count) stably by combining class; room has space for as many.
static void order_marks(utf8proc_int32_t *c, size_t count, utf8proc_int32_t *room) {
    if (count <= SHORT_RUN) {
        for (size_t i = 1; i < count; i++) {
            utf8proc_int32_t mark = c[i];
            size_t to = i;
            for (; to && class_of(c[to - 1]) > class_of(mark); to--) c[to] = c[to - 1];
            c[to] = mark;
        }
        return;
    }
    size_t starts[CLASSES + 1] = {0};
    for (size_t i = 0; i < count; i++) starts[class_of(c[i]) + 1]++;
    for (size_t i = 0; i < CLASSES; i++) starts[i + 1] += starts[i];
    for (size_t i = 0; i < count; i++) room[starts[class_of(c[i])]++] = c[i];
    memcpy(c, room, count * sizeof *c);
}

// The canonical ordering algorithm (Unicode 3.11, D109).
static bool order_all(utf8proc_int32_t *c, size_t count, Error *err) {
    utf8proc_int32_t *room = NULL;
    for (size_t i = 0; i < count; i++) {
        size_t end = i;
        while (end < count && class_of(c[end])) end++;
        if (end - i > SHORT_RUN && !room && !(room = mem_alloc(count, sizeof *room, err))) return false;
        if (end - i > 1) order_marks(c + i, end - i, room);
        i = end;
    }
    mem_free(room);
    return true;
}

// Whether normalizing leaves the text as it is, seen at a glance: ASCII, or for NFC, Latin letters.
static bool is_plain(const char *text, size_t size, bool nfc) {
    for (size_t at = 0; at < size;) {
        uint32_t c;
        at += utf8_decode(text + at, &c);
        if (c >= (nfc ? FIRST_CHANGED_BY_NFC : 0x80)) return false;
    }
    return true;
}

// `tokenizers` normalizes by an early Unicode's tables, so characters that came with Unicode 12 to 16 stay as they are.
static bool is_newer(uint32_t c) {
    static const CharacterRange ranges[] = {
        {0x32FF, 0x32FF},   {0xA7F1, 0xA7F4},   {0xAB69, 0xAB69},   {0x105C9, 0x105E4}, {0x10781, 0x107BA},
        {0x11383, 0x113C8}, {0x11938, 0x11938}, {0x16121, 0x16128}, {0x16D68, 0x16D6A}, {0x1CCD6, 0x1CCF9},
        {0x1E030, 0x1E06D}, {0x1F16C, 0x1F16C}, {0x1FBF0, 0x1FBF9},
    };
    return character_in(ranges, sizeof ranges / sizeof *ranges, c);
}

// Decomposes text into characters, counting only while c is NULL.
static size_t decompose(const char *text, size_t size, utf8proc_option_t options, utf8proc_int32_t *c, size_t room) {
    size_t count = 0;
    for (size_t at = 0; at < size;) {
        uint32_t character;
        int last_boundary = UTF8PROC_BOUNDCLASS_START;
        at += utf8_decode(text + at, &character);
        if (is_newer(character)) {
            if (c) c[count] = (utf8proc_int32_t)character;
            count++;
            continue;
        }
        utf8proc_ssize_t n = utf8proc_decompose_char((utf8proc_int32_t)character, c ? c + count : NULL,
                                                     c ? (utf8proc_ssize_t)(room - count) : 0, options, &last_boundary);
        // It only refuses what is no character, and utf8_decode gives none such.
        count += n > 0 ? (size_t)n : 0;
    }
    return count;
}

bool normalize_form(NormalizerKind form, const char *text, size_t size, TextBuffer *out, Error *err) {
    if (is_plain(text, size, form == NORM_NFC)) return text_append(out, text, size, err);
    bool compose = form == NORM_NFC || form == NORM_NFKC, compatible = form == NORM_NFKC || form == NORM_NFKD;
    utf8proc_option_t options = UTF8PROC_DECOMPOSE | (compatible ? UTF8PROC_COMPAT : 0);
    size_t count = decompose(text, size, options, NULL, 0);
    utf8proc_int32_t *c = mem_alloc(count, sizeof *c, err);
    bool ok = c != NULL;
    if (ok) {
        decompose(text, size, options, c, count);
        ok = order_all(c, count, err);
    }
    if (ok && compose)
        count = (size_t)utf8proc_normalize_utf32(c, (utf8proc_ssize_t)count, UTF8PROC_COMPOSE | UTF8PROC_STABLE);
    for (size_t i = 0; ok && i < count; i++) ok = text_append_character(out, (uint32_t)c[i], err);
    mem_free(c);
    return ok;
}
