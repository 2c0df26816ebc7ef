#include "convert/regroup.h"

#include "convert/compose.h"
#include "core/mem.h"
#include <stdlib.h>
#include <string.h>

// One of the model's tensors and where it belongs.
typedef struct Place {
    const Tensor *tensor;
    size_t group;   // which of the scheme's tensors, by first appearance
    int64_t expert; // which of a stack, -1 where it is none
    int64_t one;    // which of the vectors that were put together in it, -1 where it was not
    Part part;
    bool whole; // the tensor as it is
} Place;

typedef struct Groups {
    Model *names; // a table of the groups' names
    Place *places;
    size_t count, capacity;
} Groups;

static bool group_find(Groups *g, const char *name, size_t *group, Error *err) {
    const Tensor *known = model_tensor(g->names, name);
    if (known) {
        *group = (size_t)(known - g->names->tensors);
        return true;
    }
    Tensor t = {.name = mem_text(name, strlen(name), err)};
    *group = g->names->tensor_count;
    if (t.name && model_add_tensor(g->names, &t, err)) return true;
    mem_free(t.name);
    return false;
}

static bool place_add(Groups *g, const Place *place, const char *name, Error *err) {
    if (!mem_grow(&g->places, g->count, &g->capacity, sizeof *g->places, err)) return false;
    Place *p = &g->places[g->count++];
    *p = *place;
    return group_find(g, name, &p->group, err);
}

// A vector that was put together from others: a place for each of these.
static bool place_add_each(Groups *g, const NameMap *m, NameNumbers numbers, Place place, Error *err) {
    char name[MODEL_NAME];
    int64_t *one = &numbers.values[numbers.count++];
    for (*one = 0; *one < place.part.rows / place.part.run; (*one)++) {
        place.one = *one;
        if (!place_add(g, &place, name_fill(m->source, &numbers, name, sizeof name), err)) return false;
    }
    return true;
}

static bool tensor_place(Groups *g, const Model *model, const NameMap *names, const NameStart *starts, const Tensor *t,
                         Error *err) {
    NameFound found;
    Place place = {.tensor = t, .expert = -1, .one = -1, .whole = true};
    if (!names_find(names, starts, &model->desc, t->name, t->source, &found)) return place_add(g, &place, t->name, err);
    const NameMap *m = found.entry;
    if (m->part) {
        place.part = m->part(&model->desc);
        place.whole = false;
    }
    int wanted = name_numbers(m->source);
    if (wanted > found.numbers.count) return place_add_each(g, m, found.numbers, place, err);
    if (wanted < found.numbers.count) place.expert = found.numbers.values[wanted];
    return place_add(g, &place, found.source, err);
}

// By group, then expert, in the model's order within.
static int place_compare(const void *a, const void *b) {
    const Place *x = a, *y = b;
    if (x->group != y->group) return x->group < y->group ? -1 : 1;
    if (x->expert != y->expert) return x->expert < y->expert ? -1 : 1;
    return x->tensor < y->tensor ? -1 : x->tensor > y->tensor;
}

static bool keep(Regroup *r, void *memory, Error *err) {
    if (!memory) return true;
    if (mem_grow(&r->memory, r->memory_count, &r->memory_capacity, sizeof *r->memory, err)) {
        r->memory[r->memory_count++] = memory;
        return true;
    }
    mem_free(memory);
    return false;
}

static bool keep_both(Regroup *r, void *owned, void *inner, bool ok, Error *err) {
    bool first = keep(r, owned, err);
    return keep(r, inner, err) && first && ok;
}

static bool types_equal(const Place *p, size_t count, Error *err) {
    for (size_t i = 1; i < count; i++)
        if (p[i].tensor->type != p[0].tensor->type && (p[0].tensor->dims > 1))
            return error_set(err,
                             "tensors %s and %s go into one tensor, but are %s and %s; make them of one type with "
                             "--only when quantizing",
                             p[0].tensor->name, p[i].tensor->name, dtype_name(p[0].tensor->type),
                             dtype_name(p[i].tensor->type));
    return true;
}

// One of the vectors in a vector, or a vector as the matrix that it was.
static bool reshape(const Place *p, Tensor *out, Error *err) {
    const Tensor *t = p->tensor;
    int64_t run = p->part.run, count = tensor_elements(t) / run;
    if (t->dims != 1 || t->layout || dtype_is_block(t->type) || tensor_elements(t) % run || p->one >= count)
        return error_set(err, "tensor %s: is no vector of %lld elements for each head", tensor_label(t),
                         (long long)run);
    *out = *t;
    out->dims = p->one < 0 ? 2 : 1;
    out->shape[0] = p->one < 0 ? count : run;
    out->shape[1] = run;
    if (p->one >= 0) {
        out->bytes = t->bytes / (size_t)count;
        out->data += (size_t)p->one * out->bytes;
    }
    return tensor_verify(t, err);
}

// The pieces of one fused tensor, or of one expert's.
static bool fuse(Regroup *r, const Place *p, size_t count, const CastKernels *kernels, Tensor *out, Error *err) {
    if (count == 1 && p->whole) {
        *out = *p->tensor;
        return p->expert < 0 || tensor_verify(p->tensor, err); // else whoever reads it does
    }
    if (count == 1 && (p->part.flat || p->one >= 0)) return reshape(p, out, err);
    void *owned, *inner;
    Piece *pieces = mem_alloc(count, sizeof *pieces, err);
    for (size_t i = 0; pieces && i < count; i++) {
        if (!tensor_verify(p[i].tensor, err)) {
            mem_free(pieces);
            return false;
        }
        pieces[i] = (Piece){p[i].tensor, p[i].part};
    }
    if (!pieces) return false;
    bool ok = compose(pieces, count, p->tensor->dims, kernels, out, &owned, &inner, err);
    mem_free(pieces);
    return keep_both(r, owned, inner, ok, err);
}

static size_t run_of_expert(const Place *p, size_t count) {
    size_t n = 1;
    while (n < count && p[n].expert == p->expert) n++;
    return n;
}

static bool stack(Regroup *r, const Place *p, size_t count, const CastKernels *kernels, Tensor *out, Error *err) {
    size_t experts = 0;
    void *owned, *inner;
    Tensor *each = mem_alloc(count, sizeof *each, err);
    if (!each || !keep(r, each, err)) return false;
    const Tensor **list = mem_alloc(count, sizeof *list, err);
    bool ok = list != NULL;
    for (size_t i = 0, n; ok && i < count; i += n, experts++) {
        n = run_of_expert(p + i, count - i);
        if (p[i].expert != (int64_t)experts)
            ok = error_set(err, "tensor %s: expert %zu is missing before it", p[i].tensor->name, experts);
        ok = ok && fuse(r, p + i, n, kernels, &each[experts], err);
        list[experts] = &each[experts];
    }
    ok = ok && compose_stack(list, experts, kernels, out, &owned, &inner, err) && keep_both(r, owned, inner, true, err);
    mem_free(list);
    return ok;
}

static bool item_make(Regroup *r, const char *name, const Place *p, size_t count, bool keep_types,
                      const CastKernels *kernels, Error *err) {
    Tensor *out = &r->items[r->count];
    if (keep_types && !types_equal(p, count, err)) return false;
    if (!(p->expert < 0 ? fuse : stack)(r, p, count, kernels, out, err)) return false;
    out->name = p->tensor->name;
    out->source = mem_text(name, strlen(name), err);
    out->has_hash = out->has_hash && count == 1 && p->whole;
    r->single[r->count] = count == 1 && p->whole && p->expert < 0 ? p->tensor : NULL;
    r->count++;
    return out->source;
}

bool regroup(const Model *model, const NameMap *names, const NameStart *starts, bool keep_types,
             const CastKernels *kernels, Regroup *out, Error *err) {
    Groups g = {.names = model_new("", err)};
    *out = (Regroup){0};
    bool ok = g.names;
    for (size_t i = 0; ok && i < model->tensor_count; i++)
        ok = tensor_place(&g, model, names, starts, &model->tensors[i], err);
    if (ok) qsort(g.places, g.count, sizeof *g.places, place_compare);
    ok = ok && (out->items = mem_alloc(g.names->tensor_count, sizeof *out->items, err)) &&
         (out->single = mem_alloc(g.names->tensor_count, sizeof *out->single, err));
    for (size_t i = 0, n; ok && i < g.count; i += n) {
        for (n = 1; i + n < g.count && g.places[i + n].group == g.places[i].group;) n++;
        ok = item_make(out, g.names->tensors[g.places[i].group].name, &g.places[i], n, keep_types, kernels, err);
    }
    mem_free(g.places);
    model_free(g.names);
    return ok;
}

bool regroup_numbers(const Model *model, const NameMap *names, const NameStart *starts, size_t *groups, Error *err) {
    Groups g = {.names = model_new("", err)};
    bool ok = g.names;
    for (size_t i = 0; ok && i < model->tensor_count; i++)
        ok = tensor_place(&g, model, names, starts, &model->tensors[i], err);
    for (size_t i = 0; ok && i < g.count; i++) groups[g.places[i].tensor - model->tensors] = g.places[i].group;
    mem_free(g.places);
    model_free(g.names);
    return ok;
}

void regroup_free(Regroup *r) {
    for (size_t i = 0; i < r->count; i++) mem_free(r->items[i].source);
    for (size_t i = 0; i < r->memory_count; i++) mem_free(r->memory[i]);
    mem_free(r->memory);
    mem_free(r->items);
    mem_free(r->single);
    *r = (Regroup){0};
}
