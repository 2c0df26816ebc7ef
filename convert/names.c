#include "convert/names.h"

#include "core/mem.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool name_match(const char *pattern, const char *name, NameNumbers *numbers) {
    numbers->count = 0;
    while (*pattern) {
        if (*pattern == '*' && !pattern[1]) return true;
        if (*pattern != '#') {
            if (*pattern++ != *name++) return false;
            continue;
        }
        size_t n = strspn(name, "0123456789");
        if (n == 0 || n > 6 || (n > 1 && *name == '0') || numbers->count == NAME_NUMBERS) return false;
        numbers->values[numbers->count++] = strtol(name, NULL, 10);
        name += n;
        pattern++;
    }
    return *name == 0;
}

const char *name_fill(const char *pattern, const NameNumbers *numbers, char *buf, size_t size) {
    size_t at = 0;
    int used = 0;
    for (; *pattern && at + 1 < size; pattern++) {
        if (*pattern != '#' || used == numbers->count) {
            buf[at++] = *pattern;
            continue;
        }
        int n = snprintf(buf + at, size - at, "%lld", (long long)numbers->values[used++]);
        at += n > 0 && (size_t)n < size - at ? (size_t)n : 0;
    }
    buf[at] = 0;
    return buf;
}

int name_numbers(const char *pattern) {
    int n = 0;
    for (; *pattern; pattern++) n += *pattern == '#';
    return n;
}

// Gives the model a tensor under a name of its own, and what it is made of.
static bool add_named(Model *model, const Tensor *t, const char *name, const char *source, void *owned, Error *err) {
    Tensor own = *t;
    if (owned && !model_add_buffer(model, owned, err)) {
        mem_free(owned);
        return false;
    }
    own.name = mem_text(name, strlen(name), err);
    own.source = own.name ? mem_text(source, strlen(source), err) : NULL;
    if (own.source && model_add_tensor(model, &own, err)) return true;
    mem_free(own.name);
    mem_free(own.source);
    return false;
}

// In blocks, or put together by a decoder.
static bool is_encoded(const Tensor *t) { return dtype_is_block(t->type) || t->layout; }

// The part of t that an entry is about, under the name that these numbers give.
static bool add_part(const NameMap *m, const NameNumbers *numbers, const Tensor *t, const char *source, Model *model,
                     Error *err) {
    char name[MODEL_NAME];
    Tensor out = *t;
    void *owned = NULL;
    PartFn *fn = m->encoded && is_encoded(t) ? m->encoded : m->part;
    if (fn) {
        Part part = fn(&model->desc);
        if (!tensor_part(t, &part, &out, &owned, err)) return false;
        out.has_hash = false;
    }
    return add_named(model, &out, name_fill(m->internal, numbers, name, sizeof name), source, owned, err);
}

// Each of a stack in turn.
static bool add_stack(const NameMap *m, NameNumbers numbers, const Tensor *t, Model *model, Error *err) {
    int64_t count = t->dims ? t->shape[0] : 0;
    int at = numbers.count++;
    if (count < 1 || count > EXPERTS_MAX || at >= NAME_NUMBERS)
        return error_set(err, "tensor %s: is no stack of 1 to %d experts", t->source, EXPERTS_MAX);
    for (int64_t i = 0; i < count; i++) {
        Tensor slice;
        void *owned;
        numbers.values[at] = i;
        if (!tensor_slice(t, i, &slice, &owned, err)) return false;
        if (owned && !model_add_buffer(model, owned, err)) {
            mem_free(owned);
            return false;
        }
        slice.source = t->source; // for messages
        if (!add_part(m, &numbers, &slice, t->source, model, err)) return false;
    }
    return true;
}

static bool add_entry(const NameMap *m, const char *name, const Tensor *t, Model *model, bool *known, Error *err) {
    NameNumbers numbers;
    if (!name_match(m->source, name, &numbers)) return true;
    *known = true;
    if (!m->internal) return true;
    if (name_numbers(m->internal) > numbers.count) return add_stack(m, numbers, t, model, err);
    return add_part(m, &numbers, t, t->source, model, err);
}

bool names_add(const NameMap *names, const NameStart *starts, const Tensor *t, Model *model, bool *known, Error *err) {
    char renamed[MODEL_NAME];
    *known = false;
    for (const NameMap *m = names; m->source; m++)
        if (!add_entry(m, t->source, t, model, known, err)) return false;
    for (; starts && starts->to && !*known; starts++) {
        size_t n = strlen(starts->from);
        if (strncmp(t->source, starts->from, n) != 0) continue;
        snprintf(renamed, sizeof renamed, "%s%.200s", starts->to, t->source + n);
        for (const NameMap *m = names; m->source; m++)
            if (!add_entry(m, renamed, t, model, known, err)) return false;
    }
    return true;
}
