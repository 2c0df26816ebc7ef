// An observer at work: what stands at a linear layer and hands on what passes.
#ifndef EVAL_WATCH_H
#define EVAL_WATCH_H

#include "eval/linear.h"
#include "eval/observe.h"

typedef struct Watch {
    const Observer *observer;
    int64_t first; // index of the chunk's first token among all
    bool failed;   // the observer's message is in err; it is called no more
    Error *err;
} Watch;

// gradient NULL on the way forward. Nothing where watch is NULL.
static inline void watch_linear(Watch *watch, const Linear *layer, const float *x, const float *gradient, int64_t n) {
    if (!watch || watch->failed || !watch->observer->linear || !n) return;
    if (!layer->weight->name) return; // put together in memory from others (latent attention's kv_b out of GGUF)
    LinearSeen seen = {layer->weight, x, gradient, n, watch->first};
    watch->failed = !watch->observer->linear(watch->observer->context, &seen, watch->err);
}

#endif
