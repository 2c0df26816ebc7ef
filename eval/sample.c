#include "eval/sample.h"

#include "core/mem.h"
#include <math.h>
#include <stdlib.h>

typedef struct Candidate {
    double p;
    int32_t id;
} Candidate;

struct Sampler {
    int64_t vocab;
    double temperature, top_p;
    uint64_t state;
    Candidate *candidates; // [vocab]
};

Sampler *sampler_new(int64_t vocab, double temperature, double top_p, uint64_t seed, Error *err) {
    Sampler *s = mem_alloc(1, sizeof *s, err);
    if (!s) return NULL;
    *s = (Sampler){.vocab = vocab, .temperature = temperature, .top_p = top_p, .state = seed};
    s->candidates = mem_alloc((size_t)vocab, sizeof *s->candidates, err);
    if (s->candidates) return s;
    sampler_free(s);
    return NULL;
}

void sampler_free(Sampler *s) {
    if (!s) return;
    mem_free(s->candidates);
    mem_free(s);
}

// SplitMix64 (Steele, Lea, Flood 2014), as a number in [0, 1).
static double uniform(Sampler *s) {
    uint64_t z = s->state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

static int32_t most_probable(const float *logits, int64_t vocab) {
    int32_t best = 0;
    for (int64_t i = 1; i < vocab; i++)
        if (logits[i] > logits[best]) best = (int32_t)i;
    return best;
}

// Most probable first, equals by id, so that the order is one.
static int by_probability(const void *a, const void *b) {
    const Candidate *x = a, *y = b;
    if (x->p != y->p) return x->p < y->p ? 1 : -1;
    return (x->id > y->id) - (x->id < y->id);
}

int32_t sampler_next(Sampler *s, const float *logits) {
    int32_t best = most_probable(logits, s->vocab);
    if (s->temperature <= 0) return best;
    double total = 0;
    for (int64_t i = 0; i < s->vocab; i++) {
        double p = exp(((double)logits[i] - (double)logits[best]) / s->temperature);
        s->candidates[i] = (Candidate){p, (int32_t)i};
        total += p;
    }
    int64_t count = s->vocab;
    if (s->top_p < 1) {
        qsort(s->candidates, (size_t)count, sizeof *s->candidates, by_probability);
        double kept = 0, wanted = s->top_p * total;
        for (count = 0; count < s->vocab && (count == 0 || kept < wanted); count++) kept += s->candidates[count].p;
        total = kept;
    }
    double at = uniform(s) * total;
    for (int64_t i = 0; i < count; i++) {
        at -= s->candidates[i].p;
        if (at < 0) return s->candidates[i].id;
    }
    return s->candidates[count - 1].id; // rounding left a sliver
}
