#include "quant/allocate.h"

#include "core/mem.h"
#include "core/size.h"
#include <math.h>
#include <string.h>

enum {
    UNITS_MAX = 1 << 18,   // numbers of units that sums are told apart by
    TABLE_MAX = 1 << 27,   // bytes of choices to find the way back
    STEPS_MAX = 200000000, // of the innermost loop: about half a second
    CHUNK = 2048,          // sums that a thread takes at a time
};

// A choice that is left after dominated ones are gone, as the search sees it.
typedef struct Option {
    uint64_t bytes; // above the item's smallest
    double loss;
    uint32_t units;
    uint8_t index; // in the caller's list
} Option;

typedef struct Row {
    Option *options; // rising in bytes, falling in loss
    size_t count;
} Row;

// For each number of units [sums] the best that comes to it; a loss of INFINITY where nothing does.
typedef struct Sums {
    double *loss;
    double *bytes; // above the smallest; whole numbers, exact up to 2^53
} Sums;

struct Allocator {
    Row *rows; // [items]
    size_t count;
    Option *options;   // of all rows
    uint64_t smallest; // sum of all items' smallest
    uint64_t range;    // from there to the largest
    uint64_t unit;
    size_t sums;  // numbers of units, from 0
    uint8_t *way; // [items, sums]: the option of item i where items 0 .. i sum up to so many units
    Sums best;    // of all items, in `memory`
    double *memory;
};

static bool check_items(const AllocateItem *items, size_t count, size_t *options, Error *err) {
    uint64_t largest = 0;
    *options = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t most = 0;
        if (items[i].count < 1 || items[i].count > ALLOCATE_CHOICES)
            return error_set(err, "item %zu has %zu choices, not 1 to %d", i, items[i].count, ALLOCATE_CHOICES);
        for (size_t c = 0; c < items[i].count; c++) {
            const AllocateChoice *choice = &items[i].choices[c];
            if (!isfinite(choice->loss) || choice->loss < 0)
                return error_set(err, "item %zu has a loss of %g", i, choice->loss);
            if (choice->bytes > most) most = choice->bytes;
        }
        if (!size_add(largest, most, &largest) || largest > (uint64_t)1 << 53)
            return error_set(err, "the sizes add up to more than 2^53 bytes");
        *options += items[i].count;
    }
    return true;
}

// By bytes, the better of equals first: an insertion sort, lists being short.
static void sort_options(Option *o, size_t count) {
    for (size_t i = 1; i < count; i++) {
        Option x = o[i];
        size_t j = i;
        for (; j && (x.bytes < o[j - 1].bytes || (x.bytes == o[j - 1].bytes && x.loss < o[j - 1].loss)); j--)
            o[j] = o[j - 1];
        o[j] = x;
    }
}

static void row_make(Row *row, const AllocateItem *item, Option *memory) {
    row->options = memory;
    for (size_t c = 0; c < item->count; c++)
        memory[c] = (Option){.bytes = item->choices[c].bytes, .loss = item->choices[c].loss, .index = (uint8_t)c};
    sort_options(memory, item->count);
    row->count = 1;
    for (size_t c = 1; c < item->count; c++)
        if (memory[c].loss < memory[row->count - 1].loss) memory[row->count++] = memory[c];
}

static uint64_t divisor(uint64_t a, uint64_t b) {
    while (b) {
        uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static void rows_make(Allocator *a, const AllocateItem *items) {
    Option *memory = a->options;
    for (size_t i = 0; i < a->count; i++) {
        Row *row = &a->rows[i];
        row_make(row, &items[i], memory);
        memory += items[i].count;
        uint64_t least = row->options[0].bytes;
        a->smallest += least;
        for (size_t c = 0; c < row->count; c++) {
            row->options[c].bytes -= least;
            a->unit = divisor(row->options[c].bytes, a->unit);
        }
        a->range += row->options[row->count - 1].bytes;
    }
}

// The finest unit that memory and time allow: what divides all sizes, or a multiple of that.
static void choose_unit(Allocator *a) {
    size_t most = UNITS_MAX, options = 0;
    for (size_t i = 0; i < a->count; i++) options += a->rows[i].count;
    if (a->count && most > TABLE_MAX / a->count) most = TABLE_MAX / a->count;
    if (options && most > STEPS_MAX / options) most = STEPS_MAX / options;
    if (most < 2) most = 2;
    if (!a->unit) a->unit = 1;
    uint64_t times = a->range / a->unit / most + 1;
    a->unit *= times;
    uint64_t sums = 1;
    for (size_t i = 0; i < a->count; i++) {
        Row *row = &a->rows[i];
        for (size_t c = 1; c < row->count; c++) { // no unit at all means the smallest, whose bytes always fit
            uint64_t units = (row->options[c].bytes + a->unit / 2) / a->unit;
            row->options[c].units = units ? (uint32_t)units : 1;
        }
        sums += row->options[row->count - 1].units;
    }
    a->sums = (size_t)sums;
}

// Sums first .. last - 1 with a row's item added to what the items before came to: in `to`. Equal losses go to fewer
// bytes, then to the first option, so that the result depends on nothing else.
static void add_row(const Row *row, Sums from, Sums to, uint8_t *way, size_t first, size_t last) {
    for (size_t s = first; s < last; s++) {
        to.loss[s] = to.bytes[s] = INFINITY;
        way[s] = 0;
    }
    for (size_t c = 0; c < row->count; c++) {
        const Option *o = &row->options[c];
        const double *loss = from.loss - o->units, *bytes = from.bytes - o->units, more = (double)o->bytes;
        for (size_t s = first > o->units ? first : o->units; s < last; s++) {
            double l = loss[s] + o->loss, b = bytes[s] + more;
            if (l > to.loss[s] || (l == to.loss[s] && b >= to.bytes[s])) continue;
            to.loss[s] = l;
            to.bytes[s] = b;
            way[s] = (uint8_t)c;
        }
    }
}

static bool search(Allocator *a, Error *err) {
    double *memory = a->memory = mem_alloc(a->sums, 4 * sizeof *memory, err);
    if (!memory) return false;
    Sums from = {memory, memory + a->sums}, to = {memory + 2 * a->sums, memory + 3 * a->sums};
    for (size_t s = 0; s < a->sums; s++) to.loss[s] = to.bytes[s] = s ? INFINITY : 0;
    for (size_t i = 0; i < a->count; i++) {
        uint8_t *way = a->way + i * a->sums;
        Sums swap = from;
        from = to;
        to = swap;
#pragma omp parallel for
        for (size_t s = 0; s < a->sums; s += CHUNK)
            add_row(&a->rows[i], from, to, way, s, s + CHUNK < a->sums ? s + CHUNK : a->sums);
    }
    a->best = to;
    return true;
}

Allocator *allocator_new(const AllocateItem *items, size_t count, Error *err) {
    size_t options;
    if (!check_items(items, count, &options, err)) return NULL;
    Allocator *a = mem_alloc(1, sizeof *a, err);
    if (!a) return NULL;
    a->count = count;
    a->rows = mem_alloc(count, sizeof *a->rows, err);
    a->options = a->rows ? mem_alloc(options, sizeof *a->options, err) : NULL;
    if (!a->options) goto failed;
    rows_make(a, items);
    choose_unit(a);
    a->way = mem_alloc(count, a->sums, err);
    if (a->way && search(a, err)) return a;
failed:
    allocator_free(a);
    return NULL;
}

void allocator_free(Allocator *a) {
    if (!a) return;
    mem_free(a->rows);
    mem_free(a->options);
    mem_free(a->way);
    mem_free(a->memory);
    mem_free(a);
}

uint64_t allocator_smallest(const Allocator *a) { return a->smallest; }
uint64_t allocator_largest(const Allocator *a) { return a->smallest + a->range; }

bool allocator_choose(const Allocator *a, uint64_t budget, size_t *chosen, Allocation *out, Error *err) {
    char asked[32], smallest[32], largest[32];
    if (budget < a->smallest)
        return error_set(err, "%s is below the smallest possible: from %s to %s", size_text(budget, asked),
                         size_text(a->smallest, smallest), size_text(allocator_largest(a), largest));
    double room = (double)(budget - a->smallest); // above 2^53 nothing is lost: every sum is below
    size_t best = 0;
    for (size_t s = 0; s < a->sums; s++)
        if (a->best.bytes[s] <= room && a->best.loss[s] < a->best.loss[best]) best = s;
    *out = (Allocation){.bytes = a->smallest + (uint64_t)a->best.bytes[best], .loss = a->best.loss[best]};
    for (size_t i = a->count, s = best; i--;) {
        const Option *o = &a->rows[i].options[a->way[i * a->sums + s]];
        chosen[i] = o->index;
        s -= o->units;
    }
    return true;
}
