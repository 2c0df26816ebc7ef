#include "cli/quant_choose.h"

#include "cli/file_overhead.h"
#include "convert/shared_types.h"
#include "core/mem.h"
#include "core/size.h"
#include "formats/nib_format.h"
#include "quant/predict.h"
#include "quant/quant.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The work of choosing. A group is what must be of one type.
typedef struct Chooser {
    const Model *model;
    const QuantOptions *options;
    const Stats *stats;
    PlanEntry *plan;         // without choices: what rules say
    size_t *groups;          // [tensors]
    bool *open;              // [tensors] its type is chosen
    double *losses;          // [tensors, DT_COUNT] NAN: not to be had
    AllocateItem *items;     // [groups], those without an open tensor left out
    AllocateChoice *choices; // [groups, ALLOCATE_CHOICES]
    DType *types;            // the same
    size_t *item_of;         // [groups]
    size_t group_count, item_count;
    uint64_t kept;   // bytes of what is not chosen
    double elements; // of what is
    Choice *out;
} Chooser;

// ---- what a tensor may become

static bool fits(DType type, const Tensor *t) { return tensor_cols(t) % dtype_info(type)->block == 0; }

static uint64_t counted_bytes(const Chooser *c, const Tensor *t, DType type) {
    Tensor out;
    const PlanEntry entry = {.type = type};
    if (!plan_tensor(t, &entry, &out, NULL)) return UINT64_MAX >> 16; // it fits and overflows: larger than any budget
    switch (c->options->budget.kind) {
    case BUDGET_FILE: return size_align(out.bytes, NIB_ALIGN);
    case BUDGET_FIT: return engine_tensor_bytes(&out);
    default: return out.bytes;
    }
}

// Types that are worth trying: smaller than what the tensor is.
static size_t types_of(const Chooser *c, const Tensor *t, DType types[DT_COUNT]) {
    const QuantOptions *o = c->options;
    size_t count = 0;
    for (size_t i = 0; i < o->allowed_count; i++) {
        DType type = o->allowed[i];
        if (type != t->type && fits(type, t) && counted_bytes(c, t, type) < counted_bytes(c, t, t->type))
            types[count++] = type;
    }
    if (!o->allow_given && t->type == DT_F32) types[count++] = DT_F16;
    return count;
}

static bool is_allowed(const QuantOptions *o, DType type) {
    for (size_t i = 0; i < o->allowed_count; i++)
        if (o->allowed[i] == type) return true;
    return false;
}

// ---- losses

static double *losses_of(const Chooser *c, size_t tensor) { return c->losses + tensor * DT_COUNT; }

// What a tensor's relative error of rounding counts for: its share of all weights that are chosen for, twice for what
// errors pass through unhindered (values and the way down, as in llama.cpp's mixes) and for an embedding that is the
// head besides. On SmolLM2 at 110 MiB a mean divergence of 0.023, where shares alone give 0.029 and errors alone 0.077.
static double weight_of(const Chooser *c, size_t tensor) {
    const Tensor *t = &c->model->tensors[tensor];
    bool twice = strstr(t->name, ".attn_v") || strstr(t->name, ".ffn_down") ||
                 (c->model->desc.tied && strcmp(t->name, "token_embd.weight") == 0);
    return (double)tensor_elements(t) / c->elements * (twice ? 2 : 1);
}

static bool rounding_losses(const Chooser *c, size_t tensor, Error *err) {
    const Tensor *t = &c->model->tensors[tensor];
    DType types[DT_COUNT + 1];
    double error[DT_COUNT + 1];
    size_t count = types_of(c, t, types);
    if (!predict_errors(t, types, count, error, err)) return error_prefix(err, "%s", t->name);
    for (size_t i = 0; i < count; i++) losses_of(c, tensor)[types[i]] = error[i] * weight_of(c, tensor);
    losses_of(c, tensor)[t->type] = 0;
    return true;
}

static bool all_rounding_losses(const Chooser *c, const bool *wanted, Error *err) {
    Error first = {0};
    bool failed = false;
#pragma omp parallel for schedule(dynamic, 1)
    for (size_t i = 0; i < c->model->tensor_count; i++) {
        Error mine = {0};
        if (!c->open[i] || !wanted[i] || rounding_losses(c, i, &mine)) continue;
#pragma omp critical
        {
            failed = true;
            first = mine;
        }
    }
    if (failed) *err = first;
    return !failed;
}

static bool known_by_stats(const Chooser *c, size_t tensor) {
    const Tensor *t = &c->model->tensors[tensor];
    const StatsTensor *known = c->stats ? stats_find(c->stats, t->name) : NULL;
    DType types[DT_COUNT + 1];
    size_t count = types_of(c, t, types), found = 0;
    for (size_t i = 0; known && i < count; i++) found += !isnan(known->loss[types[i]]);
    return found > 0;
}

// Of the types that are not blocks nobody tries what they lose: next to nothing beside the others.
static void take_stats(const Chooser *c, size_t tensor) {
    const Tensor *t = &c->model->tensors[tensor];
    const StatsTensor *known = stats_find(c->stats, t->name);
    DType types[DT_COUNT + 1];
    size_t count = types_of(c, t, types);
    for (size_t i = 0; i < count; i++) {
        double loss = known->loss[types[i]];
        losses_of(c, tensor)[types[i]] = isnan(loss) && !dtype_is_block(types[i]) ? 0 : loss;
    }
    losses_of(c, tensor)[t->type] = 0;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// What a relative error of rounding comes to in nats, by the tensors of which both are known: the median, at their
// types of the most bytes. NAN where there are none.
static double nats_of_error(const Chooser *c, const double *errors, const bool *both, double *ratios) {
    size_t count = 0;
    for (size_t i = 0; i < c->model->tensor_count; i++) {
        if (!both[i]) continue;
        for (int type = 0; type < DT_COUNT; type++) {
            double error = errors[i * DT_COUNT + (size_t)type], loss = losses_of(c, i)[type];
            if (!dtype_is_block((DType)type) || !(error > 0) || isnan(loss)) continue;
            ratios[count++] = loss / error;
            break;
        }
    }
    qsort(ratios, count, sizeof *ratios, compare);
    return count ? ratios[count / 2] : NAN;
}

enum { SCALED_BY = 32 }; // tensors that the scale is found by

// Tensors that the statistics do not know (an embedding that is not the head, say) get their rounding errors, at the
// rate of the others.
static bool guess_losses(const Chooser *c, const bool *known, bool *wanted, double *ratios, Error *err) {
    size_t count = c->model->tensor_count, step = count / SCALED_BY + 1;
    double *errors = mem_alloc(count * DT_COUNT, sizeof *errors, err);
    if (!errors) return false;
    Chooser by_error = *c;
    by_error.losses = errors;
    for (size_t i = 0; i < count; i++) wanted[i] = !known[i] || i % step == 0;
    for (size_t i = 0; i < count * DT_COUNT; i++) errors[i] = NAN;
    bool ok = all_rounding_losses(&by_error, wanted, err);
    for (size_t i = 0; i < count; i++) wanted[i] = c->open[i] && known[i] && i % step == 0;
    double scale = ok ? nats_of_error(c, errors, wanted, ratios) : 0;
    if (ok && isnan(scale))
        ok = error_set(err, "%s: predicts no losses for the tensors of this model; calibrate again",
                       stats_path(c->stats));
    for (size_t i = 0; ok && i < count; i++)
        for (int type = 0; !known[i] && type < DT_COUNT; type++)
            losses_of(c, i)[type] = scale * errors[i * DT_COUNT + (size_t)type];
    mem_free(errors);
    return ok;
}

static bool find_losses(Chooser *c, Error *err) {
    size_t count = c->model->tensor_count;
    bool *known = mem_alloc(count, 2 * sizeof *known, err), ok = known;
    double *ratios = known ? mem_alloc(count, sizeof *ratios, err) : NULL;
    if (!ratios) {
        mem_free(known);
        return false;
    }
    for (size_t i = 0; i < count * DT_COUNT; i++) c->losses[i] = NAN;
    for (size_t i = 0; i < count; i++) {
        known[i] = c->open[i] && known_by_stats(c, i);
        if (known[i]) take_stats(c, i);
        if (c->stats && c->open[i] && !known[i]) c->out->guessed++;
    }
    bool *wanted = known + count;
    memset(wanted, true, count);
    if (!c->stats)
        ok = all_rounding_losses(c, wanted, err);
    else if (c->out->guessed)
        ok = guess_losses(c, known, wanted, ratios, err);
    mem_free(known);
    mem_free(ratios);
    return ok;
}

// ---- items

// Whether every open tensor of the group may become that, and what it comes to.
static bool group_choice(const Chooser *c, const size_t *members, size_t count, DType type, AllocateChoice *choice) {
    *choice = (AllocateChoice){0};
    for (size_t i = 0; i < count; i++) {
        const Tensor *t = &c->model->tensors[members[i]];
        double loss = losses_of(c, members[i])[type];
        if (!fits(type, t) || isnan(loss)) return false;
        choice->bytes += counted_bytes(c, t, type);
        choice->loss += loss;
    }
    return true;
}

// What is not to be had in any allowed type stays as it is.
static void item_make(Chooser *c, size_t group, const size_t *members, size_t count) {
    AllocateChoice *choices = c->choices + c->item_count * ALLOCATE_CHOICES;
    DType *types = c->types + c->item_count * ALLOCATE_CHOICES;
    size_t found = 0;
    for (int pass = 0; pass < 2 && !found; pass++)
        for (int type = 0; type < DT_COUNT; type++) {
            bool own = true, allowed = pass || !c->options->allow_given || is_allowed(c->options, (DType)type);
            for (size_t i = 0; i < count; i++) own = own && c->model->tensors[members[i]].type == (DType)type;
            if (!(own ? allowed : pass == 0) || !group_choice(c, members, count, (DType)type, &choices[found]))
                continue;
            types[found++] = (DType)type;
        }
    c->items[c->item_count] = (AllocateItem){choices, found};
    c->item_of[group] = c->item_count;
    if (found) {
        c->item_count++;
        return;
    }
    for (size_t i = 0; i < count; i++) { // of different types, none of which suits all
        c->open[members[i]] = false;
        c->kept += counted_bytes(c, &c->model->tensors[members[i]], c->model->tensors[members[i]].type);
    }
}

static bool items_make(Chooser *c, Error *err) {
    size_t count = c->model->tensor_count;
    size_t *members = mem_alloc(count, 2 * sizeof *members, err), *starts = members + count, used = 0;
    size_t *fill = members ? mem_alloc(c->group_count + 1, sizeof *fill, err) : NULL;
    if (!fill) {
        mem_free(members);
        return false;
    }
    for (size_t i = 0; i < count; i++)
        if (c->open[i]) fill[c->groups[i] + 1]++;
    for (size_t g = 0; g < c->group_count; g++) fill[g + 1] += fill[g];
    for (size_t g = 0; g < c->group_count; g++) starts[g] = fill[g];
    for (size_t i = 0; i < count; i++)
        if (c->open[i]) members[fill[c->groups[i]]++] = i;
    for (size_t g = 0; g < c->group_count; g++, used = 0) {
        used = fill[g] - starts[g];
        if (used) item_make(c, g, members + starts[g], used);
    }
    mem_free(members);
    mem_free(fill);
    return true;
}

// ---- the budget

// What the tensors may take in all.
static bool budget_bytes(const Chooser *c, uint64_t *bytes, Error *err) {
    const Budget *b = &c->options->budget;
    EngineMemory *e = &c->out->engine;
    char all[32], cache[32], compute[32];
    double weights = 0;
    uint64_t used = 0;
    switch (b->kind) {
    case BUDGET_BITS:
        for (size_t i = 0; i < c->model->tensor_count; i++) weights += (double)tensor_elements(&c->model->tensors[i]);
        *bytes = (uint64_t)floor(b->bits * weights / 8);
        return true;
    case BUDGET_FILE:
        for (size_t i = 0; i < c->options->request.rule_count; i++) used += strlen(c->options->rules[i].pattern) + 64;
        if (!file_overhead(c->model, used, &used, err)) return false;
        *bytes = b->bytes > used ? b->bytes - used : 0;
        return true;
    case BUDGET_FIT:
        if (!engine_memory(&c->model->desc, b->context, e, err)) return false;
        used = e->cache + e->compute + e->margin;
        if (used >= b->bytes)
            return error_set(err,
                             "--%s %s: at a context of %lld engines need %s for their cache, %s to compute in and some "
                             "for themselves, %s in all without the weights; give less context or more memory",
                             budget_option(b), b->text, (long long)b->context, size_text(e->cache, cache),
                             size_text(e->compute, compute), size_text(used, all));
        *bytes = b->bytes - used;
        return true;
    default: *bytes = b->bytes; return true;
    }
}

// What the tensors take as they are.
static uint64_t source_bytes(const Chooser *c) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < c->model->tensor_count; i++)
        bytes += counted_bytes(c, &c->model->tensors[i], c->model->tensors[i].type);
    return bytes;
}

// "4.5 bits" or "85.71 MiB": bytes as the budget's own option would say them.
static const char *in_its_words(const Chooser *c, uint64_t bytes, char buf[32]) {
    double weights = 0;
    if (c->options->budget.kind != BUDGET_BITS) return size_text(bytes, buf);
    for (size_t i = 0; i < c->model->tensor_count; i++) weights += (double)tensor_elements(&c->model->tensors[i]);
    snprintf(buf, 32, "%.3f bits", weights > 0 ? 8 * (double)bytes / weights : 0);
    return buf;
}

// Below the smallest there is nothing; more bytes than the source has would buy nothing, and are a mistake where they
// are asked for.
static bool check_range(const Chooser *c, uint64_t bytes, Error *err) {
    const Budget *b = &c->options->budget;
    Choice *o = c->out;
    char asked[32], smallest[32], largest[32], source[32];
    bool size = b->kind == BUDGET_BITS || b->kind == BUDGET_SIZE;
    uint64_t now = source_bytes(c);
    in_its_words(c, bytes, asked);
    in_its_words(c, o->smallest, smallest);
    in_its_words(c, o->largest, largest);
    in_its_words(c, now, source);
    if (bytes < o->smallest)
        return error_set(err,
                         "%s: --%s leaves %s for the tensors, below the smallest possible: they take %s to %s with the "
                         "types %s",
                         c->model->path, budget_option(b), asked, smallest, largest,
                         c->options->allow_given ? "of --allow" : "that engines run fast");
    if (size && bytes > now)
        return error_set(err, "%s: --%s: %s is above what it has now, %s; from %s on it can be made smaller",
                         c->model->path, budget_option(b), asked, source, smallest);
    return true;
}

static bool choose(Chooser *c, Error *err) {
    size_t *chosen = mem_alloc(c->item_count, sizeof *chosen, err);
    Allocator *a = chosen ? allocator_new(c->items, c->item_count, err) : NULL;
    Choice *out = c->out;
    Allocation best;
    bool ok = a && budget_bytes(c, &out->asked, err);
    if (ok) {
        out->smallest = c->kept + allocator_smallest(a);
        out->largest = c->kept + allocator_largest(a);
        ok = check_range(c, out->asked, err) && allocator_choose(a, out->asked - c->kept, chosen, &best, err);
    }
    for (size_t i = 0; ok && i < c->model->tensor_count; i++) {
        out->types[i] = c->model->tensors[i].type;
        if (!c->open[i]) continue;
        size_t item = c->item_of[c->groups[i]];
        out->types[i] = c->types[item * ALLOCATE_CHOICES + chosen[item]];
        out->losses[i] = losses_of(c, i)[out->types[i]];
    }
    if (ok) {
        out->taken = c->kept + best.bytes;
        out->loss = best.loss;
    }
    allocator_free(a);
    mem_free(chosen);
    return ok;
}

// ---- all of it

static bool open_tensors(Chooser *c, Error *err) {
    const Model *model = c->model;
    PlanRequest as_it_is = c->options->request;
    for (size_t i = 0; i < model->tensor_count; i++) c->out->types[i] = model->tensors[i].type;
    as_it_is.types = c->out->types;
    as_it_is.output_asked = false;
    if (!plan_make(&as_it_is, model->tensors, model->tensor_count, c->plan, err) ||
        !shared_types(model, c->groups, err))
        return false;
    for (size_t i = 0; i < model->tensor_count; i++) {
        const Tensor *t = &model->tensors[i];
        c->open[i] = !plan_keeps(t) && !c->plan[i].ruled && tensor_elements(t) > 0;
        if (c->open[i]) c->elements += (double)tensor_elements(t);
        if (!c->open[i]) c->kept += counted_bytes(c, t, c->plan[i].type);
        if (c->groups[i] >= c->group_count) c->group_count = c->groups[i] + 1;
    }
    return true;
}

static bool chooser_alloc(Chooser *c, Error *err) {
    size_t n = c->model->tensor_count;
    return (c->out->types = mem_alloc(n, sizeof *c->out->types, err)) &&
           (c->out->losses = mem_alloc(n, sizeof *c->out->losses, err)) &&
           (c->plan = mem_alloc(n, sizeof *c->plan, err)) && (c->groups = mem_alloc(n, sizeof *c->groups, err)) &&
           (c->open = mem_alloc(n, sizeof *c->open, err)) &&
           (c->losses = mem_alloc(n * DT_COUNT, sizeof *c->losses, err)) &&
           (c->items = mem_alloc(n, sizeof *c->items, err)) && (c->item_of = mem_alloc(n, sizeof *c->item_of, err)) &&
           (c->choices = mem_alloc(n * ALLOCATE_CHOICES, sizeof *c->choices, err)) &&
           (c->types = mem_alloc(n * ALLOCATE_CHOICES, sizeof *c->types, err));
}

bool choice_make(const Model *model, const QuantOptions *options, const Stats *stats, Choice *out, Error *err) {
    Chooser c = {.model = model, .options = options, .stats = stats, .out = out};
    *out = (Choice){.budget = &options->budget, .stats = stats};
    bool ok = chooser_alloc(&c, err) && open_tensors(&c, err) && find_losses(&c, err) && items_make(&c, err) &&
              choose(&c, err);
    mem_free(c.plan);
    mem_free(c.groups);
    mem_free(c.open);
    mem_free(c.losses);
    mem_free(c.items);
    mem_free(c.item_of);
    mem_free(c.choices);
    mem_free(c.types);
    return ok;
}

bool choice_range(const Model *model, const QuantOptions *options, uint64_t *asked, uint64_t *now, Error *err) {
    Choice none = {.budget = &options->budget};
    const Chooser c = {.model = model, .options = options, .out = &none};
    *now = source_bytes(&c);
    return budget_bytes(&c, asked, err);
}

void choice_free(Choice *choice) {
    mem_free(choice->types);
    mem_free(choice->losses);
    *choice = (Choice){0};
}
