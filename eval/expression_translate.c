// From Oniguruma's Ruby syntax to PCRE2's. The two share nearly everything; here is what they do not:
//   \s \w \h \v    other sets of characters        [[:alpha:]]  other sets, and nested classes and && exist
//   \p{Han}        the script, not its extensions  \p{Letter}   long names of general categories
//   (?m)           is PCRE2's (?s)                 (?i) inside  ends at a | in Ruby only (refused here)
//   x{1,3}+ x{2}?  repeat and option, neither possessive nor lazy; x{,3} is x{0,3}
//   \uHHHH         is \x{HHHH}
// What has no equal is an error that names it.
#include "eval/expression.h"

#include "core/utf8.h"
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <ctype.h>
#include <string.h>

// Class contents that say what Oniguruma's Unicode tables say. Since 10.40 PCRE2's \p{Han} includes script extensions.
#define SPACE "\\t-\\r\\x{85}\\p{Z}"
// With what Unicode 16 counts in of the characters that Unicode 14, PCRE2 10.42's, has; newer.h is for the others.
#define ALPHABETIC "\\p{Alphabetic}\\x{363}-\\x{36F}\\x{C04}\\x{F82}\\x{F83}\\x{1DD3}-\\x{1DE6}\\x{11080}\\x{11081}"
#define WORD       "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}"
// \w outside of a class goes by Latin-1's table first, which counts superscript digits and fractions in.
#define LONE_WORD WORD "\\x{B2}\\x{B3}\\x{B9}\\x{BC}-\\x{BE}"
#define HEX       "0-9A-Fa-f"
#if PCRE2_MAJOR > 10 || PCRE2_MINOR >= 40
#define SCRIPT "sc:"
#else
#define SCRIPT ""
#endif

enum { MAX_GROUPS = 200, MAX_NAME = 40 };

typedef struct Translation {
    const char *in;
    size_t at, size;
    TextBuffer *out;
    size_t atom;               // where in out the last atom starts, for what must be wrapped
    size_t groups[MAX_GROUPS]; // where the open groups start
    int depth;
    Error *err;
} Translation;

typedef struct Set {
    const char *name; // lower case, without spaces, - and _
    const char *members;
} Set;

static const Set posix_sets[] = {{"alpha", ALPHABETIC},
                                 {"digit", "\\p{Nd}"},
                                 {"alnum", ALPHABETIC "\\p{Nd}"},
                                 {"upper", "\\p{Uppercase}"},
                                 {"lower", "\\p{Lowercase}"},
                                 {"space", SPACE},
                                 {"punct", "\\p{P}\\p{S}"},
                                 {"cntrl", "\\p{Cc}"},
                                 {"xdigit", HEX},
                                 {"word", WORD},
                                 {NULL, NULL}};

// Long names of general categories, and the binary properties that are not to be taken for scripts.
static const Set property_names[] = {{"letter", "L"},
                                     {"uppercaseletter", "Lu"},
                                     {"lowercaseletter", "Ll"},
                                     {"titlecaseletter", "Lt"},
                                     {"modifierletter", "Lm"},
                                     {"otherletter", "Lo"},
                                     {"mark", "M"},
                                     {"combiningmark", "M"},
                                     {"nonspacingmark", "Mn"},
                                     {"spacingmark", "Mc"},
                                     {"enclosingmark", "Me"},
                                     {"number", "N"},
                                     {"decimalnumber", "Nd"},
                                     {"letternumber", "Nl"},
                                     {"othernumber", "No"},
                                     {"punctuation", "P"},
                                     {"connectorpunctuation", "Pc"},
                                     {"dashpunctuation", "Pd"},
                                     {"openpunctuation", "Ps"},
                                     {"closepunctuation", "Pe"},
                                     {"initialpunctuation", "Pi"},
                                     {"finalpunctuation", "Pf"},
                                     {"otherpunctuation", "Po"},
                                     {"symbol", "S"},
                                     {"mathsymbol", "Sm"},
                                     {"currencysymbol", "Sc"},
                                     {"modifiersymbol", "Sk"},
                                     {"othersymbol", "So"},
                                     {"separator", "Z"},
                                     {"spaceseparator", "Zs"},
                                     {"lineseparator", "Zl"},
                                     {"paragraphseparator", "Zp"},
                                     {"other", "C"},
                                     {"control", "Cc"},
                                     {"format", "Cf"},
                                     {"surrogate", "Cs"},
                                     {"privateuse", "Co"},
                                     {"unassigned", "Cn"},
                                     {"any", "Any"},
                                     {"punct", "P"},
                                     {"alphabetic", "Alphabetic"},
                                     {"uppercase", "Uppercase"},
                                     {"lowercase", "Lowercase"},
                                     {"whitespace", "White_Space"},
                                     {"ideographic", "Ideographic"},
                                     {"emoji", "Emoji"},
                                     {"emojipresentation", "Emoji_Presentation"},
                                     {"emojimodifier", "Emoji_Modifier"},
                                     {"emojimodifierbase", "Emoji_Modifier_Base"},
                                     {"emojicomponent", "Emoji_Component"},
                                     {"extendedpictographic", "Extended_Pictographic"},
                                     {NULL, NULL}};

static bool put(Translation *t, const char *text) { return text_append(t->out, text, strlen(text), t->err); }
static bool copy(Translation *t, size_t count) {
    t->at += count;
    return text_append(t->out, t->in + t->at - count, count, t->err);
}
static char peek(const Translation *t, size_t ahead) { return t->at + ahead < t->size ? t->in[t->at + ahead] : '\0'; }

static const char *set_find(const Set *sets, const char *name) {
    for (; sets->name; sets++)
        if (strcmp(sets->name, name) == 0) return sets->members;
    return NULL;
}

// A set of class members, as part of the class one is in or as a class of its own.
static bool put_set(Translation *t, const char *members, bool negated, bool in_class) {
    if (!in_class) return put(t, negated ? "[^" : "[") && put(t, members) && put(t, "]");
    return negated ? error_set(t->err, "the complement of a set inside of [] is not supported") : put(t, members);
}

static bool put_property(Translation *t, const char *prefix, const char *name, bool negated) {
    return put(t, negated ? "\\P{" : "\\p{") && put(t, prefix) && put(t, name) && put(t, "}");
}

// \p{name}, \p{^name} or \P{name}, with t->at behind the p.
static bool translate_property(Translation *t, bool negated, bool in_class) {
    char name[MAX_NAME + 1], plain[MAX_NAME + 1];
    size_t length = 0, plain_length = 0;
    if (peek(t, 0) != '{') return error_set(t->err, "\\p without {} is not supported");
    t->at++;
    if (peek(t, 0) == '^') {
        negated = !negated;
        t->at++;
    }
    for (; t->at < t->size && t->in[t->at] != '}' && length < MAX_NAME; t->at++) {
        char c = t->in[t->at];
        name[length++] = c;
        if (c != ' ' && c != '-' && c != '_') plain[plain_length++] = (char)tolower((unsigned char)c);
    }
    name[length] = plain[plain_length] = '\0';
    if (peek(t, 0) != '}' || !length) return error_set(t->err, "the property \\p{%s is not closed", name);
    t->at++;
    const char *set = set_find(posix_sets, plain), *known = set_find(property_names, plain);
    if (known) return put_property(t, "", known, negated); // first: \p{Punct} is less than [:punct:]
    if (set) return put_set(t, set, negated, in_class);
    // Two letters or one: a general category. Its case matters to PCRE2 before 10.40.
    if (plain_length <= 2) {
        plain[0] = (char)toupper((unsigned char)plain[0]);
        return put_property(t, "", plain, negated);
    }
    return put_property(t, SCRIPT, name, negated);
}

// \xHH, \x{H...}, \uHHHH with t->at at the x or u. Oniguruma takes \xHH as a byte, which is a character in ASCII only.
static bool translate_number(Translation *t) {
    bool u = peek(t, 0) == 'u', braces = !u && peek(t, 1) == '{';
    size_t most = u ? 4 : braces ? 8 : 2, length = 0;
    t->at += 1 + braces;
    while (length < most && isxdigit((unsigned char)peek(t, length))) length++;
    if (!length || (u && length < 4) || (braces && peek(t, length) != '}'))
        return error_set(t->err, "a malformed \\%c", u ? 'u' : 'x');
    if (!u && !braces && length == 2 && peek(t, 0) >= '8')
        return error_set(t->err, "a \\x of a byte beyond 7F is not supported");
    if (!put(t, "\\x{") || !copy(t, length) || !put(t, "}")) return false;
    t->at += braces;
    return true;
}

// An escape, with t->at at the backslash.
static bool translate_escape(Translation *t, bool in_class) {
    if (t->at + 1 >= t->size) return error_set(t->err, "it ends with a backslash");
    char c = t->in[t->at + 1];
    if (!isalnum((unsigned char)c)) {
        uint32_t character;
        size_t length = utf8_decode(t->in + t->at + 1, &character);
        if (length == 1) return copy(t, 2);
        t->at++; // PCRE2 wants no backslash before characters beyond ASCII
        return copy(t, length);
    }
    if (strchr("ntrfae", c)) return copy(t, 2);
    if (c == 'x' || c == 'u') {
        t->at++;
        return translate_number(t);
    }
    // PCRE2's \S lacks U+180E, which it takes for a space. It is fine inside of a class, with that one added.
    if (c == 'S' && in_class) {
        t->at += 2;
        return put(t, "\\S\\x{180E}");
    }
    const char *set = NULL;
    if (c == 's' || c == 'S') set = SPACE;
    if (c == 'w' || c == 'W') set = in_class ? WORD : LONE_WORD;
    if (c == 'h' || c == 'H') set = HEX;
    if (c == 'v') set = "\\x{0B}";
    if (set) {
        t->at += 2;
        return put_set(t, set, isupper((unsigned char)c), in_class);
    }
    if (c == 'd' || c == 'D') {
        t->at += 2;
        return put(t, c == 'd' ? "\\p{Nd}" : "\\P{Nd}");
    }
    if (c == 'p' || c == 'P') {
        t->at += 2;
        return translate_property(t, c == 'P', in_class);
    }
    if (c == 'b' && in_class) return copy(t, 2); // backspace
    if (c == 'b' || c == 'B') {
        t->at += 2;
        return put(t, c == 'b' ? "(?:(?<=[" WORD "])(?![" WORD "])|(?<![" WORD "])(?=[" WORD "]))"
                               : "(?:(?<=[" WORD "])(?=[" WORD "])|(?<![" WORD "])(?![" WORD "]))");
    }
    if (!in_class && (strchr("AzZGKRX", c) || (c >= '1' && c <= '9'))) return copy(t, 2);
    if (!in_class && c == 'k' && peek(t, 2) == '<') return copy(t, 2); // a back reference by name
    return error_set(t->err, "the escape \\%c is not supported%s", c, in_class ? " inside of []" : "");
}

// [:name:] or [:^name:] inside of a class, with t->at at its [.
static bool translate_posix(Translation *t) {
    char name[MAX_NAME + 1];
    size_t length = 0;
    while (length < MAX_NAME && isalpha((unsigned char)peek(t, 2 + length))) {
        name[length] = peek(t, 2 + length);
        length++;
    }
    name[length] = '\0';
    const char *set = set_find(posix_sets, name);
    if (!set || peek(t, 2 + length) != ':' || peek(t, 3 + length) != ']')
        return error_set(t->err, "the class [:%s is not supported", name);
    t->at += length + 4;
    return put(t, set);
}

// A class, with t->at at its [.
static bool translate_class(Translation *t) {
    if (!copy(t, peek(t, 1) == '^' ? 2 : 1)) return false;
    // A ] that comes first is a member.
    if (peek(t, 0) == ']' && !(put(t, "\\") && copy(t, 1))) return false;
    for (size_t nested = 0; t->at < t->size && (nested || t->in[t->at] != ']');) {
        char c = t->in[t->at];
        bool ok = true;
        if (c == '\\')
            ok = translate_escape(t, true);
        else if (c == '[' && peek(t, 1) == ':')
            ok = translate_posix(t);
        else if (c == '[' && peek(t, 1) == '^')
            ok = error_set(t->err, "a negated class inside of a class is not supported");
        else if (c == '[' || c == ']')
            // The members of a class inside of this one are members of this one.
            nested += c == '[' ? 1 : (size_t)-1, t->at++;
        else if (c == '&' && peek(t, 1) == '&')
            ok = error_set(t->err, "the intersection && is not supported");
        else
            ok = copy(t, 1);
        if (!ok) return false;
    }
    return t->at < t->size ? copy(t, 1) : error_set(t->err, "a [ is not closed");
}

// (?imx-imx) or (?imx-imx: with t->at behind the question mark; closed: the first form.
static bool translate_options(Translation *t, bool *closed) {
    bool first = t->at == 2;
    for (char c; (c = peek(t, 0)) != ':' && c != ')'; t->at++) {
        char as[2] = {c == 'm' ? 's' : c};
        if (!c || !strchr("im-", c)) return error_set(t->err, "a group (?%c is not supported", c ? c : ' ');
        if (!put(t, as)) return false;
    }
    *closed = peek(t, 0) == ')';
    if (*closed && !first)
        return error_set(t->err, "options that do not stand at the start or before a : are not supported");
    return copy(t, 1);
}

// A group's start, with t->at at the parenthesis.
static bool translate_open(Translation *t) {
    size_t start = t->out->size;
    bool closed = false;
    if (peek(t, 1) == '*') return error_set(t->err, "(* is not supported");
    if (peek(t, 1) == '?' && peek(t, 2) == '#') {
        while (t->at < t->size && t->in[t->at] != ')') t->at++;
        if (t->at < t->size) t->at++;
        return true;
    }
    if (peek(t, 1) != '?') {
        if (!copy(t, 1)) return false;
    } else {
        if (!copy(t, 2)) return false;
        char c = peek(t, 0), after = peek(t, 1);
        bool plain = c == ':' || c == '=' || c == '!' || c == '>';
        if (plain || (c == '<' && (after == '=' || after == '!'))) {
            if (!copy(t, plain ? 1 : 2)) return false;
        } else if (c == '<' && isalpha((unsigned char)after)) {
            size_t length = 1;
            while (t->at + length < t->size && t->in[t->at + length] != '>') length++;
            if (!copy(t, t->at + length < t->size ? length + 1 : length)) return false;
        } else if (!translate_options(t, &closed))
            return false;
    }
    if (closed) return true;
    if (t->depth == MAX_GROUPS) return error_set(t->err, "groups are nested deeper than %d", MAX_GROUPS);
    t->groups[t->depth++] = start;
    return true;
}

static bool wrap_atom(Translation *t) {
    static const char open[] = "(?:";
    if (!text_reserve(t->out, 4, t->err)) return false;
    memmove(t->out->data + t->atom + 3, t->out->data + t->atom, t->out->size - t->atom);
    memcpy(t->out->data + t->atom, open, 3);
    t->out->size += 3;
    return put(t, ")");
}

// {n}, {n,}, {n,m} or {,m}, with t->at at the brace; any other { is itself.
static bool translate_interval(Translation *t) {
    size_t first = 0, second = 0;
    while (isdigit((unsigned char)peek(t, 1 + first))) first++;
    bool comma = peek(t, 1 + first) == ',';
    if (comma)
        while (isdigit((unsigned char)peek(t, 2 + first + second))) second++;
    size_t length = 2 + first + comma + second;
    if (peek(t, length - 1) != '}' || (!first && !second)) {
        t->atom = t->out->size;
        return put(t, "\\") && copy(t, 1);
    }
    if (!first) {
        t->at++;
        if (!put(t, "{0") || !copy(t, length - 1)) return false;
    } else if (!copy(t, length))
        return false;
    if (peek(t, 0) == '+' || (peek(t, 0) == '?' && !comma)) return wrap_atom(t) && copy(t, 1);
    return peek(t, 0) == '?' ? copy(t, 1) : true;
}

bool expression_translate(const char *pattern, size_t size, TextBuffer *out, Error *err) {
    Translation t = {.in = pattern, .size = size, .out = out, .atom = out->size, .err = err};
    while (t.at < size) {
        char c = pattern[t.at];
        size_t start = out->size;
        bool ok;
        if (strchr("*+?", c) && c) {
            // With the + or ? of a possessive or lazy one, which mean the same here.
            ok = copy(&t, peek(&t, 1) == '+' || peek(&t, 1) == '?' ? 2 : 1);
        } else if (c == '{') {
            ok = translate_interval(&t);
        } else if (c == '(') {
            ok = translate_open(&t);
        } else if (c == ')') {
            if (!t.depth) return error_set(err, "a ) too many");
            t.atom = t.groups[--t.depth];
            ok = copy(&t, 1);
        } else {
            uint32_t character;
            t.atom = start;
            if (c == '\\')
                ok = translate_escape(&t, false);
            else if (c == '[')
                ok = translate_class(&t);
            else
                ok = copy(&t, utf8_decode(pattern + t.at, &character));
        }
        if (!ok) return false;
    }
    return true;
}
