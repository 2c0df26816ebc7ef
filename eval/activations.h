// Every layer's input for all tokens, kept for the way back: in memory as far as a limit allows, what is beyond in a
// file without a name in TMPDIR or /tmp, gone when closed.
#ifndef EVAL_ACTIVATIONS_H
#define EVAL_ACTIVATIONS_H

#include "core/error.h"
#include <stddef.h>
#include <stdint.h>

typedef struct Activations Activations;

// Room for `layers` arrays [tokens, width] of f32, of which at most `memory` bytes in memory. NULL with a message.
Activations *activations_new(int64_t layers, int64_t tokens, int64_t width, size_t memory, Error *err);
void activations_free(Activations *a); // NULL is fine

// Rows first .. first + n - 1 of a layer's array.
bool activations_write(Activations *a, int64_t layer, int64_t first, int64_t n, const float *x, Error *err);
// The same as they were written: where they lie, or in `buffer` [n, width]; NULL with a message.
const float *activations_read(Activations *a, int64_t layer, int64_t first, int64_t n, float *buffer, Error *err);

#endif
