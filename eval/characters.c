#include "eval/characters.h"

#include "eval/newer.h"
#include <utf8proc.h>

#define COUNT(array) (sizeof array / sizeof *array)

bool character_in(const CharacterRange *ranges, size_t count, uint32_t c) {
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (c > ranges[middle].last)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && c >= ranges[low].first;
}

bool character_is_space(uint32_t c) {
    // The property's whole list (PropList.txt), stable since Unicode 6.3.
    if (c < 0x80) return c == ' ' || (c >= 0x09 && c <= 0x0D);
    return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 ||
           c == 0x202F || c == 0x205F || c == 0x3000;
}

// Rust's own tables, of Unicode 17.
bool character_is_number(uint32_t c) {
    static const CharacterRange unicode17[] = {{0x11DE0, 0x11DE9}, {0x16FF4, 0x16FF6}};
    if (c < 0x80) return c >= '0' && c <= '9';
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)newer_like(c));
    return (category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO) ||
           character_in(unicode17, COUNT(unicode17), c);
}

// The crate unicode_categories', of Unicode 8.
bool character_is_punctuation(uint32_t c) {
    static const CharacterRange other_since[] = {{0x166D, 0x166D}, {0x111C9, 0x111C9}};
    static const CharacterRange newer[] = {
        {0x061D, 0x061D},   {0x09FD, 0x09FD},   {0x0A76, 0x0A76},   {0x0C77, 0x0C77},   {0x0C84, 0x0C84},
        {0x1B4E, 0x1B4F},   {0x1B7D, 0x1B7F},   {0x2E43, 0x2E5D},   {0x10D6E, 0x10D6E}, {0x10EAD, 0x10EAD},
        {0x10F55, 0x10F59}, {0x10F86, 0x10F89}, {0x113D4, 0x113D8}, {0x1144B, 0x1144F}, {0x1145A, 0x1145D},
        {0x11660, 0x1166C}, {0x116B9, 0x116B9}, {0x1183B, 0x1183B}, {0x11944, 0x11946}, {0x119E2, 0x119E2},
        {0x11A3F, 0x11A46}, {0x11A9A, 0x11A9C}, {0x11A9E, 0x11AA2}, {0x11B00, 0x11B09}, {0x11BE1, 0x11BE1},
        {0x11C41, 0x11C45}, {0x11C70, 0x11C71}, {0x11EF7, 0x11EF8}, {0x11F43, 0x11F4F}, {0x11FFF, 0x11FFF},
        {0x12FF1, 0x12FF2}, {0x16D6D, 0x16D6F}, {0x16E97, 0x16E9A}, {0x16FE2, 0x16FE2}, {0x1E5FF, 0x1E5FF},
        {0x1E95E, 0x1E95F},
    };
    if (c < 0x80) return c > ' ' && c < 0x7F && !((c | 0x20) >= 'a' && (c | 0x20) <= 'z') && !(c >= '0' && c <= '9');
    if (character_in(other_since, COUNT(other_since), c)) return true;
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)c);
    return category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO &&
           !character_in(newer, COUNT(newer), c);
}

// Rust's own tables, of Unicode 17.
uint32_t character_lower(uint32_t c) {
    static const struct {
        uint32_t first, last, lower; // of the first; the others follow
    } newer[] = {
        {0x1C89, 0x1C89, 0x1C8A},    {0xA7CB, 0xA7CB, 0x0264},    {0xA7CC, 0xA7CC, 0xA7CD}, {0xA7CE, 0xA7CE, 0xA7CF},
        {0xA7D2, 0xA7D2, 0xA7D3},    {0xA7D4, 0xA7D4, 0xA7D5},    {0xA7DA, 0xA7DA, 0xA7DB}, {0xA7DC, 0xA7DC, 0x019B},
        {0x10D50, 0x10D65, 0x10D70}, {0x16EA0, 0x16EB8, 0x16EBB},
    };
    for (size_t i = 0; c >= newer[0].first && i < COUNT(newer); i++)
        if (c >= newer[i].first && c <= newer[i].last) return newer[i].lower + (c - newer[i].first);
    return (uint32_t)utf8proc_tolower((utf8proc_int32_t)c);
}
