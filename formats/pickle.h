// A restricted reader of Python pickles (protocols 2 to 5; the opcodes are documented in CPython's Lib/pickletools.py).
// A pickle is a program for a stack machine that may call any function by name. Here nothing is ever called: the result
// is a tree of plain values, in which a call is a value too (what is called, with what), and a name that the caller
// does not list is an error that names it. Opcodes that weights do not need are refused by name as well. Memory is
// bounded by PICKLE_VALUES, time by the length of the pickle; nothing recurses.
#ifndef FORMATS_PICKLE_H
#define FORMATS_PICKLE_H

#include "core/error.h"
#include <stddef.h>
#include <stdint.h>

enum { PICKLE_VALUES = 1 << 21 }; // values, list elements and memo entries, each; a tensor takes some 20

typedef enum PickleKind {
    PICKLE_NONE,
    PICKLE_BOOL,
    PICKLE_INT,
    PICKLE_FLOAT,
    PICKLE_TEXT,
    PICKLE_BYTES,
    PICKLE_TUPLE,
    PICKLE_LIST,
    PICKLE_DICT,       // keys and values alternate; also an OrderedDict, whose attributes are left out
    PICKLE_GLOBAL,     // one of the names that the caller lists
    PICKLE_CALL,       // of [0], a global, with [1], a tuple
    PICKLE_PERSISTENT, // stands for an object that is stored elsewhere, named by [0]
} PickleKind;

typedef struct PickleValue {
    PickleKind kind;
    uint32_t count; // bytes of a text; elements of what has elements
    union {
        int64_t integer; // also of a bool
        double number;
        const char *text; // in the pickle, not NUL-terminated; UTF-8
        uint32_t global;  // index in the caller's list
        struct {
            uint32_t first, last;
        } elements; // cells; 0: none
    };
} PickleValue;

typedef struct PickleGlobal {
    const char *module, *name;
} PickleGlobal;

// An element: the value's number and the next cell.
typedef struct PickleCell {
    uint32_t value, next;
} PickleCell;

typedef struct Pickle {
    PickleValue *values;
    size_t value_count, value_capacity;
    PickleCell *cells; // [0] is not used
    size_t cell_count, cell_capacity;
    uint32_t root;
} Pickle;

// data must stay while texts are used. globals: what may be named, "collections OrderedDict" apart, which always may
// be. On failure nothing needs freeing.
bool pickle_read(Pickle *pickle, const uint8_t *data, size_t size, const PickleGlobal *globals, size_t global_count,
                 Error *err);
void pickle_free(Pickle *pickle);

// Element i of a value with elements, NULL where it has no such element (or is no such value). Takes i steps.
const PickleValue *pickle_element(const Pickle *pickle, const PickleValue *value, size_t i);

// Walks elements: start with value->elements.first; 0 is the end.
static inline const PickleValue *pickle_at(const Pickle *pickle, uint32_t cell) {
    return &pickle->values[pickle->cells[cell].value];
}

const char *pickle_kind_name(PickleKind kind); // "a list", for messages

#endif
