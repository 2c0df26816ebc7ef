// Bits to a size: which of its possible types each tensor gets, so that the sum of predicted losses is least within a
// budget of bytes. Pure numbers; what they stand for is the caller's.
//
// The multiple-choice knapsack problem, solved by dynamic programming (Kellerer, Pferschy, Pisinger: Knapsack Problems,
// 2004, chapter 11) over sizes in units. Where all sizes are multiples of one unit and the range holds few enough of
// them (true for most models up to some billion weights) the answer is exact; else sizes are rounded to units for the
// search alone, up and down so that it evens out, while true bytes are carried along.
//
// A larger budget never gives a larger loss, by construction: the candidates, one for each number of units, depend on
// the items alone, and a budget takes the best of those whose true bytes fit. A larger budget chooses from more.
#ifndef QUANT_ALLOCATE_H
#define QUANT_ALLOCATE_H

#include "core/error.h"
#include <stddef.h>
#include <stdint.h>

typedef struct AllocateChoice {
    uint64_t bytes;
    double loss; // finite, at least 0
} AllocateChoice;

// Something that takes one choice: a tensor, or several that must have one type.
typedef struct AllocateItem {
    const AllocateChoice *choices; // in any order; those that cost more and lose no less than another are passed over
    size_t count;                  // 1 to ALLOCATE_CHOICES
} AllocateItem;

enum { ALLOCATE_CHOICES = 64 };

typedef struct Allocation {
    uint64_t bytes;
    double loss;
} Allocation;

typedef struct Allocator Allocator;

// Makes all candidates, for any number of budgets. Items are copied. Some seconds at most for thousands of items; one
// byte of memory for each item and unit, 128 MiB at most. NULL with a message. Free with allocator_free.
Allocator *allocator_new(const AllocateItem *items, size_t count, Error *err);
void allocator_free(Allocator *a); // NULL is fine

// The smallest sum there is, and what the least loss takes.
uint64_t allocator_smallest(const Allocator *a);
uint64_t allocator_largest(const Allocator *a);

// The best candidate of at most `budget` bytes: chosen [items] gets an index into each item's choices. False, with the
// range in the message, when the budget is below the smallest. Above the largest it is the largest.
bool allocator_choose(const Allocator *a, uint64_t budget, size_t *chosen, Allocation *out, Error *err);

#endif
