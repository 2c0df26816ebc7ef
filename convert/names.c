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

// A vector that is put together from others, while they come: in the order of their places, which lie before the
// values, each behind room for a power of two of them. Room is made for those that came, not for those that a config
// announces; a shape that stays too small is model_check's to tell.
typedef struct Joined {
    int64_t count, capacity;
    int64_t *places;
    uint8_t *values;
} Joined;

static Joined joined_of(const Tensor *whole, int64_t one) {
    Joined j = {.count = whole->shape[0] / one, .capacity = 1};
    while (j.capacity < j.count) j.capacity *= 2;
    j.values = (uint8_t *)whole->data;
    j.places = (int64_t *)(void *)j.values - j.capacity;
    return j;
}

// With room for one more; `bytes` is what one takes. What was outgrown is freed with the model.
static bool joined_grow(Joined *j, size_t bytes, Model *model, Error *err) {
    int64_t capacity = j->capacity ? 2 * j->capacity : 1;
    if (j->count < j->capacity) return true;
    int64_t *places = mem_alloc((size_t)capacity, sizeof *places + bytes, err);
    if (!places) return false;
    if (!model_add_buffer(model, places, err)) {
        mem_free(places);
        return false;
    }
    uint8_t *values = (uint8_t *)(places + capacity);
    if (j->count) memcpy(places, j->places, (size_t)j->count * sizeof *places);
    if (j->count) memcpy(values, j->values, (size_t)j->count * bytes);
    *j = (Joined){j->count, capacity, places, values};
    return true;
}

static bool joined_insert(Joined *j, int64_t place, const Tensor *t, Error *err) {
    int64_t at = 0;
    while (at < j->count && j->places[at] < place) at++;
    if (at < j->count && j->places[at] == place) return error_set(err, "tensor %s: is there twice", t->source);
    uint8_t *to = j->values + (size_t)at * t->bytes;
    memmove(j->places + at + 1, j->places + at, (size_t)(j->count - at) * sizeof *j->places);
    memmove(to + t->bytes, to, (size_t)(j->count - at) * t->bytes);
    memcpy(to, t->data, t->bytes);
    j->places[at] = place;
    j->count++;
    return true;
}

static bool add_joined(const NameMap *m, NameNumbers numbers, const Tensor *t, Model *model, Error *err) {
    char name[MODEL_NAME], text[96];
    const Part part = m->part(&model->desc);
    int64_t place = numbers.values[--numbers.count], count = part.rows / part.run;
    if (t->dims != 1 || t->shape[0] != part.run || dtype_is_block(t->type) || place >= count)
        return error_set(err, "tensor %s: has shape %s where the config calls for %lld of shape [%lld]", t->source,
                         tensor_shape_text(t, text), (long long)count, (long long)part.run);
    Tensor *whole = (Tensor *)model_tensor(model, name_fill(m->internal, &numbers, name, sizeof name));
    Joined j = whole ? joined_of(whole, part.run) : (Joined){0};
    if (whole && whole->type != t->type)
        return error_set(err, "tensor %s: is %s, the one before %s", t->source, dtype_name(t->type),
                         dtype_name(whole->type));
    if (!joined_grow(&j, t->bytes, model, err) || !joined_insert(&j, place, t, err)) return false;
    Tensor own = {.type = t->type, .dims = 1, .shape = {j.count * part.run}, .data = j.values};
    own.bytes = (size_t)j.count * t->bytes;
    if (!whole) return add_named(model, &own, name, t->source, NULL, err);
    whole->shape[0] = own.shape[0];
    whole->bytes = own.bytes;
    whole->data = own.data;
    return true;
}

static bool add_entry(const NameMap *m, const char *name, const Tensor *t, Model *model, bool *known, Error *err) {
    NameNumbers numbers;
    if (!name_match(m->source, name, &numbers)) return true;
    *known = true;
    if (!m->internal) return true;
    int counted = name_numbers(m->internal);
    if (counted > numbers.count) return add_stack(m, numbers, t, model, err);
    if (counted < numbers.count) return add_joined(m, numbers, t, model, err);
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
