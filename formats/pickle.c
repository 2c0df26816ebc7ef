#include "formats/pickle.h"

#include "core/mem.h"
#include "core/utf8.h"
#include <string.h>

typedef enum Opcode {
    OP_MARK = '(',
    OP_STOP = '.',
    OP_BINFLOAT = 'G',
    OP_BININT = 'J',
    OP_BININT1 = 'K',
    OP_BININT2 = 'M',
    OP_NONE = 'N',
    OP_BINPERSID = 'Q',
    OP_REDUCE = 'R',
    OP_BINSTRING = 'T',
    OP_SHORT_BINSTRING = 'U',
    OP_BINUNICODE = 'X',
    OP_BINBYTES = 'B',
    OP_SHORT_BINBYTES = 'C',
    OP_APPEND = 'a',
    OP_BUILD = 'b',
    OP_GLOBAL = 'c',
    OP_APPENDS = 'e',
    OP_BINGET = 'h',
    OP_LONG_BINGET = 'j',
    OP_BINPUT = 'q',
    OP_LONG_BINPUT = 'r',
    OP_SETITEM = 's',
    OP_TUPLE = 't',
    OP_SETITEMS = 'u',
    OP_EMPTY_TUPLE = ')',
    OP_EMPTY_LIST = ']',
    OP_EMPTY_DICT = '}',
    OP_PROTO = 0x80,
    OP_TUPLE1 = 0x85,
    OP_TUPLE2 = 0x86,
    OP_TUPLE3 = 0x87,
    OP_NEWTRUE = 0x88,
    OP_NEWFALSE = 0x89,
    OP_LONG1 = 0x8a,
    OP_SHORT_BINUNICODE = 0x8c,
    OP_BINUNICODE8 = 0x8d,
    OP_BINBYTES8 = 0x8e,
    OP_STACK_GLOBAL = 0x93,
    OP_MEMOIZE = 0x94,
    OP_FRAME = 0x95,
} Opcode;

// Those that are refused with their name, since they make objects or reach out of the file.
static const struct {
    uint8_t code;
    const char *name;
} refused[] = {
    {'i', "INST"},       {'o', "OBJ"},       {0x81, "NEWOBJ"},    {0x92, "NEWOBJ_EX"},   {0x82, "EXT1"},
    {0x83, "EXT2"},      {0x84, "EXT4"},     {'P', "PERSID"},     {0x97, "NEXT_BUFFER"}, {0x98, "READONLY_BUFFER"},
    {0x8f, "EMPTY_SET"}, {0x90, "ADDITEMS"}, {0x91, "FROZENSET"}, {0x96, "BYTEARRAY8"},
};

enum { PROTOCOL_MIN = 2, PROTOCOL_MAX = 5, NUMBER_BYTES = 8 };

// Lists of 32-bit numbers: the stack, the marks in it, the memo.
typedef struct Numbers {
    uint32_t *items;
    size_t count, capacity;
} Numbers;

typedef struct Machine {
    Pickle *pickle;
    const uint8_t *at, *end;
    Numbers stack; // values
    Numbers marks; // heights of the stack
    Numbers memo;  // value + 1; 0: nothing
    const PickleGlobal *globals;
    size_t global_count; // this number itself is collections.OrderedDict
    Error *err;
} Machine;

static const char *const kind_names[] = {
    [PICKLE_NONE] = "None",      [PICKLE_BOOL] = "a bool",    [PICKLE_INT] = "a number",
    [PICKLE_FLOAT] = "a number", [PICKLE_TEXT] = "a text",    [PICKLE_BYTES] = "bytes",
    [PICKLE_TUPLE] = "a tuple",  [PICKLE_LIST] = "a list",    [PICKLE_DICT] = "a dictionary",
    [PICKLE_GLOBAL] = "a class", [PICKLE_CALL] = "an object", [PICKLE_PERSISTENT] = "a storage",
};

const char *pickle_kind_name(PickleKind kind) { return kind_names[kind]; }

void pickle_free(Pickle *pickle) {
    mem_free(pickle->values);
    mem_free(pickle->cells);
    *pickle = (Pickle){0};
}

const PickleValue *pickle_element(const Pickle *pickle, const PickleValue *value, size_t i) {
    if (value->kind < PICKLE_TUPLE || value->kind == PICKLE_GLOBAL || i >= value->count) return NULL;
    uint32_t cell = value->elements.first;
    while (i--) cell = pickle->cells[cell].next;
    return pickle_at(pickle, cell);
}

// ---- the machine's parts

static bool limit_reached(const Machine *m) { return error_set(m->err, "has more than %d values", PICKLE_VALUES); }

static bool numbers_push(const Machine *m, Numbers *n, uint32_t value) {
    if (n->count == PICKLE_VALUES) return limit_reached(m);
    if (!mem_grow(&n->items, n->count, &n->capacity, sizeof *n->items, m->err)) return false;
    n->items[n->count++] = value;
    return true;
}

// A new value on the stack.
static bool push_value(Machine *m, PickleValue value) {
    Pickle *p = m->pickle;
    if (p->value_count == PICKLE_VALUES) return limit_reached(m);
    if (!mem_grow(&p->values, p->value_count, &p->value_capacity, sizeof *p->values, m->err)) return false;
    p->values[p->value_count] = value;
    return numbers_push(m, &m->stack, (uint32_t)p->value_count++);
}

static bool push_int(Machine *m, int64_t integer) {
    return push_value(m, (PickleValue){.kind = PICKLE_INT, .integer = integer});
}

static bool add_element(Machine *m, uint32_t to, uint32_t value) {
    Pickle *p = m->pickle;
    if (p->cell_count == PICKLE_VALUES) return limit_reached(m);
    if (!p->cell_count) p->cell_count = 1; // 0 means none
    if (!mem_grow(&p->cells, p->cell_count, &p->cell_capacity, sizeof *p->cells, m->err)) return false;
    uint32_t cell = (uint32_t)p->cell_count++;
    PickleValue *v = &p->values[to];
    p->cells[cell] = (PickleCell){value, 0};
    if (v->elements.last)
        p->cells[v->elements.last].next = cell;
    else
        v->elements.first = cell;
    v->elements.last = cell;
    v->count++;
    return true;
}

// How many values lie above the last mark, or on the whole stack.
static size_t stack_room(const Machine *m) {
    return m->stack.count - (m->marks.count ? m->marks.items[m->marks.count - 1] : 0);
}

static bool stack_needs(const Machine *m, size_t count) {
    return stack_room(m) >= count || error_set(m->err, "takes more from the stack than is there");
}

static uint32_t stack_pop(Machine *m) { return m->stack.items[--m->stack.count]; }

static bool pop_mark(Machine *m, size_t *height) {
    if (!m->marks.count) return error_set(m->err, "looks for a mark where there is none");
    *height = m->marks.items[--m->marks.count];
    return true;
}

// Moves what lies above `height` into the value `to`.
static bool move_elements(Machine *m, size_t height, uint32_t to) {
    for (size_t i = height; i < m->stack.count; i++)
        if (!add_element(m, to, m->stack.items[i])) return false;
    m->stack.count = height;
    return true;
}

// ---- arguments in the pickle

static bool take(Machine *m, size_t size, const uint8_t **bytes) {
    if (size > (size_t)(m->end - m->at)) return error_set(m->err, "is cut short");
    *bytes = m->at;
    m->at += size;
    return true;
}

static bool take_number(Machine *m, int bytes, uint64_t *value) {
    const uint8_t *p = NULL;
    if (!take(m, (size_t)bytes, &p)) return false;
    *value = 0;
    while (bytes--) *value = *value << 8 | p[bytes];
    return true;
}

// A text or bytes after a length of so many bytes.
static bool push_text(Machine *m, PickleKind kind, int length_bytes) {
    uint64_t size;
    const uint8_t *p = NULL;
    if (!take_number(m, length_bytes, &size)) return false;
    if (size > (size_t)(m->end - m->at))
        return error_set(m->err, "has a text of %llu bytes, longer than the rest of it", (unsigned long long)size);
    if (!take(m, (size_t)size, &p)) return false;
    if (kind == PICKLE_TEXT && size && utf8_valid_prefix((const char *)p, (size_t)size) != size)
        return error_set(m->err, "has a text that is not UTF-8");
    return push_value(m, (PickleValue){.kind = kind, .count = (uint32_t)size, .text = (const char *)p});
}

// Whole numbers, two's complement, of any size in the file.
static bool push_long(Machine *m) {
    uint64_t size, value = 0;
    if (!take_number(m, 1, &size)) return false;
    if (size > NUMBER_BYTES) return error_set(m->err, "has a number of %llu bytes", (unsigned long long)size);
    if (!take_number(m, (int)size, &value)) return false;
    if (size && size < NUMBER_BYTES && value >> (8 * size - 1)) value |= ~(uint64_t)0 << 8 * size;
    return push_int(m, (int64_t)value);
}

static bool push_float(Machine *m) {
    const uint8_t *p = NULL;
    uint64_t bits = 0;
    PickleValue v = {.kind = PICKLE_FLOAT};
    if (!take(m, sizeof bits, &p)) return false;
    for (size_t i = 0; i < sizeof bits; i++) bits = bits << 8 | p[i]; // the one number that is big-endian
    memcpy(&v.number, &bits, sizeof bits);
    return push_value(m, v);
}

// ---- names and what is made with them

static bool is_text(const char *text, size_t size, const char *what) {
    return strlen(what) == size && memcmp(text, what, size) == 0;
}

static bool push_global(Machine *m, const char *module, size_t module_size, const char *name, size_t name_size) {
    size_t i = 0;
    while (i < m->global_count &&
           !(is_text(module, module_size, m->globals[i].module) && is_text(name, name_size, m->globals[i].name)))
        i++;
    if (i == m->global_count &&
        !(is_text(module, module_size, "collections") && is_text(name, name_size, "OrderedDict")))
        return error_set(m->err,
                         "names %.*s.%.*s, which plain weights have no use for; nibble never runs what a pickle names, "
                         "but other programs would: look where this file comes from",
                         module_size < 100 ? (int)module_size : 100, module, name_size < 100 ? (int)name_size : 100,
                         name);
    return push_value(m, (PickleValue){.kind = PICKLE_GLOBAL, .global = (uint32_t)i});
}

static bool take_line(Machine *m, const char **line, size_t *size) {
    const uint8_t *newline = memchr(m->at, '\n', (size_t)(m->end - m->at));
    if (!newline) return error_set(m->err, "is cut short");
    *line = (const char *)m->at;
    *size = (size_t)(newline - m->at);
    m->at = newline + 1;
    return true;
}

static bool do_global(Machine *m) {
    const char *module = NULL, *name = NULL;
    size_t module_size = 0, name_size = 0;
    return take_line(m, &module, &module_size) && take_line(m, &name, &name_size) &&
           push_global(m, module, module_size, name, name_size);
}

static bool do_stack_global(Machine *m) {
    if (!stack_needs(m, 2)) return false;
    PickleValue name = m->pickle->values[stack_pop(m)], module = m->pickle->values[stack_pop(m)];
    if (name.kind != PICKLE_TEXT || module.kind != PICKLE_TEXT)
        return error_set(m->err, "names something by %s",
                         kind_names[name.kind != PICKLE_TEXT ? name.kind : module.kind]);
    return push_global(m, module.text, module.count, name.text, name.count);
}

static bool do_reduce(Machine *m) {
    if (!stack_needs(m, 2)) return false;
    uint32_t arguments = stack_pop(m), callee = stack_pop(m);
    const PickleValue *a = &m->pickle->values[arguments], *c = &m->pickle->values[callee];
    if (c->kind != PICKLE_GLOBAL || a->kind != PICKLE_TUPLE)
        return error_set(m->err, "calls %s with %s", kind_names[c->kind], kind_names[a->kind]);
    if (c->global == m->global_count) {
        if (a->count) return error_set(m->err, "calls collections.OrderedDict with arguments");
        return push_value(m, (PickleValue){.kind = PICKLE_DICT});
    }
    uint32_t call = (uint32_t)m->pickle->value_count;
    return push_value(m, (PickleValue){.kind = PICKLE_CALL}) && add_element(m, call, callee) &&
           add_element(m, call, arguments);
}

// Attributes of an OrderedDict: the _metadata that PyTorch keeps beside a state dictionary. Left out.
static bool do_build(Machine *m) {
    if (!stack_needs(m, 2)) return false;
    stack_pop(m);
    const PickleValue *v = &m->pickle->values[m->stack.items[m->stack.count - 1]];
    return v->kind == PICKLE_DICT || error_set(m->err, "sets attributes of %s", kind_names[v->kind]);
}

static bool do_persistent(Machine *m) {
    if (!stack_needs(m, 1)) return false;
    uint32_t id = stack_pop(m), v = (uint32_t)m->pickle->value_count;
    return push_value(m, (PickleValue){.kind = PICKLE_PERSISTENT}) && add_element(m, v, id);
}

// ---- containers

static bool make_tuple(Machine *m, size_t height) {
    uint32_t tuple = (uint32_t)m->pickle->value_count;
    if (!push_value(m, (PickleValue){.kind = PICKLE_TUPLE})) return false;
    m->stack.count--;
    return move_elements(m, height, tuple) && numbers_push(m, &m->stack, tuple);
}

static bool do_tuple(Machine *m) {
    size_t height = 0;
    return pop_mark(m, &height) && make_tuple(m, height);
}

static bool do_small_tuple(Machine *m, size_t count) {
    return stack_needs(m, count) && make_tuple(m, m->stack.count - count);
}

// Puts what lies above `height` into the list or dictionary right below it, which stays on the stack.
static bool extend(Machine *m, size_t height, PickleKind kind) {
    size_t floor = m->marks.count ? m->marks.items[m->marks.count - 1] : 0;
    if (height <= floor) return error_set(m->err, "takes more from the stack than is there");
    uint32_t to = m->stack.items[height - 1];
    PickleKind found = m->pickle->values[to].kind;
    if (found != kind)
        return error_set(m->err, "adds elements to %s as if it were %s", kind_names[found], kind_names[kind]);
    if (kind == PICKLE_DICT && (m->stack.count - height) % 2) return error_set(m->err, "has a key without a value");
    return move_elements(m, height, to);
}

static bool do_extend_to_mark(Machine *m, PickleKind kind) {
    size_t height = 0;
    return pop_mark(m, &height) && extend(m, height, kind);
}

static bool do_extend_by(Machine *m, size_t count, PickleKind kind) {
    return stack_needs(m, count + 1) && extend(m, m->stack.count - count, kind);
}

// ---- the memo

static bool memo_put(Machine *m, uint64_t index) {
    if (!stack_needs(m, 1)) return false;
    if (index >= PICKLE_VALUES) return limit_reached(m);
    while (m->memo.count <= index)
        if (!numbers_push(m, &m->memo, 0)) return false;
    m->memo.items[index] = m->stack.items[m->stack.count - 1] + 1;
    return true;
}

static bool memo_get(Machine *m, uint64_t index) {
    if (index >= m->memo.count || !m->memo.items[index])
        return error_set(m->err, "takes number %llu from its memo, where there is nothing", (unsigned long long)index);
    return numbers_push(m, &m->stack, m->memo.items[index] - 1);
}

static bool do_memo(Machine *m, uint8_t code) {
    uint64_t index;
    switch (code) {
    case OP_BINPUT: return take_number(m, 1, &index) && memo_put(m, index);
    case OP_LONG_BINPUT: return take_number(m, 4, &index) && memo_put(m, index);
    case OP_BINGET: return take_number(m, 1, &index) && memo_get(m, index);
    case OP_LONG_BINGET: return take_number(m, 4, &index) && memo_get(m, index);
    default: return memo_put(m, m->memo.count); // MEMOIZE
    }
}

// ---- the program

static bool do_number(Machine *m, uint8_t code) {
    uint64_t n;
    switch (code) {
    case OP_BININT: return take_number(m, 4, &n) && push_int(m, (int32_t)(uint32_t)n);
    case OP_BININT1: return take_number(m, 1, &n) && push_int(m, (int64_t)n);
    case OP_BININT2: return take_number(m, 2, &n) && push_int(m, (int64_t)n);
    case OP_BINFLOAT: return push_float(m);
    default: return push_long(m);
    }
}

static bool do_frame(Machine *m) {
    uint64_t size;
    if (!take_number(m, 8, &size)) return false;
    return size <= (size_t)(m->end - m->at) || error_set(m->err, "is cut short");
}

static bool do_protocol(Machine *m) {
    uint64_t protocol;
    if (!take_number(m, 1, &protocol)) return false;
    if (protocol >= PROTOCOL_MIN && protocol <= PROTOCOL_MAX) return true;
    return error_set(m->err, "is of protocol %d; those supported are %d to %d", (int)protocol, PROTOCOL_MIN,
                     PROTOCOL_MAX);
}

static bool refuse(const Machine *m, uint8_t code) {
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (refused[i].code == code)
            return error_set(m->err, "uses %s, which plain weights have no use for", refused[i].name);
    return error_set(m->err, "has an opcode %#04x, which is not known", code);
}

static bool step(Machine *m, uint8_t code) {
    switch (code) {
    case OP_PROTO: return do_protocol(m);
    case OP_FRAME: return do_frame(m);
    case OP_MARK: return numbers_push(m, &m->marks, (uint32_t)m->stack.count);
    case OP_NONE: return push_value(m, (PickleValue){.kind = PICKLE_NONE});
    case OP_NEWTRUE: return push_value(m, (PickleValue){.kind = PICKLE_BOOL, .integer = 1});
    case OP_NEWFALSE: return push_value(m, (PickleValue){.kind = PICKLE_BOOL});
    case OP_BININT:
    case OP_BININT1:
    case OP_BININT2:
    case OP_BINFLOAT:
    case OP_LONG1: return do_number(m, code);
    case OP_SHORT_BINUNICODE: return push_text(m, PICKLE_TEXT, 1);
    case OP_BINUNICODE: return push_text(m, PICKLE_TEXT, 4);
    case OP_BINUNICODE8: return push_text(m, PICKLE_TEXT, 8);
    case OP_SHORT_BINSTRING: return push_text(m, PICKLE_TEXT, 1); // Python 2's
    case OP_BINSTRING: return push_text(m, PICKLE_TEXT, 4);
    case OP_SHORT_BINBYTES: return push_text(m, PICKLE_BYTES, 1);
    case OP_BINBYTES: return push_text(m, PICKLE_BYTES, 4);
    case OP_BINBYTES8: return push_text(m, PICKLE_BYTES, 8);
    case OP_EMPTY_TUPLE: return push_value(m, (PickleValue){.kind = PICKLE_TUPLE});
    case OP_EMPTY_LIST: return push_value(m, (PickleValue){.kind = PICKLE_LIST});
    case OP_EMPTY_DICT: return push_value(m, (PickleValue){.kind = PICKLE_DICT});
    case OP_TUPLE: return do_tuple(m);
    case OP_TUPLE1: return do_small_tuple(m, 1);
    case OP_TUPLE2: return do_small_tuple(m, 2);
    case OP_TUPLE3: return do_small_tuple(m, 3);
    case OP_APPEND: return do_extend_by(m, 1, PICKLE_LIST);
    case OP_APPENDS: return do_extend_to_mark(m, PICKLE_LIST);
    case OP_SETITEM: return do_extend_by(m, 2, PICKLE_DICT);
    case OP_SETITEMS: return do_extend_to_mark(m, PICKLE_DICT);
    case OP_BINPUT:
    case OP_LONG_BINPUT:
    case OP_BINGET:
    case OP_LONG_BINGET:
    case OP_MEMOIZE: return do_memo(m, code);
    case OP_GLOBAL: return do_global(m);
    case OP_STACK_GLOBAL: return do_stack_global(m);
    case OP_REDUCE: return do_reduce(m);
    case OP_BUILD: return do_build(m);
    case OP_BINPERSID: return do_persistent(m);
    default: return refuse(m, code);
    }
}

static bool run(Machine *m) {
    for (;;) {
        if (m->at == m->end) return error_set(m->err, "is cut short");
        uint8_t code = *m->at++;
        if (code == OP_STOP) break;
        if (!step(m, code)) return false;
    }
    if (m->marks.count || m->stack.count != 1) return error_set(m->err, "leaves more or less than one value");
    if (m->at != m->end) return error_set(m->err, "goes on after its end");
    m->pickle->root = m->stack.items[0];
    return true;
}

bool pickle_read(Pickle *pickle, const uint8_t *data, size_t size, const PickleGlobal *globals, size_t global_count,
                 Error *err) {
    *pickle = (Pickle){0};
    if (size > INT32_MAX) return error_set(err, "is %zu bytes long, more than a pickle of weights can need", size);
    Machine m = {
        .pickle = pickle, .at = data, .end = data + size, .globals = globals, .global_count = global_count, .err = err};
    bool ok = run(&m) || error_prefix(err, "at byte %zu", (size_t)(m.at - data));
    mem_free(m.stack.items);
    mem_free(m.marks.items);
    mem_free(m.memo.items);
    if (!ok) pickle_free(pickle);
    return ok;
}
