// What tells a token's place in its sequence inside attention: rotary tables, by layer, and ALiBi's slopes.
#ifndef EVAL_POSITIONS_H
#define EVAL_POSITIONS_H

#include "formats/model.h"

typedef struct Positioner Positioner;

// For steps of up to max_length tokens; the model must outlive it.
Positioner *positioner_new(const Model *model, int64_t max_length, Error *err);
void positioner_free(Positioner *p); // NULL is fine

// Positions past .. past + length - 1.
typedef struct Sequence {
    int64_t past, length;
} Sequence;

// Turns queries or keys x [length, heads * head_dim] as the layer does; nothing where positions are not rotary.
void positioner_turn(Positioner *p, int64_t layer, Sequence sequence, float *x, int64_t heads);

// The way back: gradients at what was turned become those at what it was before.
void positioner_turn_back(Positioner *p, int64_t layer, Sequence sequence, float *d, int64_t heads);

// [heads], or NULL where positions are not ALiBi.
const float *positioner_slopes(const Positioner *p);

#endif
