// Which type each tensor gets: pure decisions from names, shapes and types, before any byte is read.
//
// A matrix (2 dimensions or more) takes the type asked for its kind: token_embd.weight, output.weight, or any other.
// Vectors (norms, biases), routers of experts and learned positions stay as they are. Rules by name come last and the
// last that matches wins. A width that the type's block does not divide is an error, unless a fallback is given;
// nothing is changed silently.
#ifndef QUANT_PLAN_H
#define QUANT_PLAN_H

#include "core/tensor.h"

// "--only REGEX=TYPE": PCRE2, unanchored, matched against a tensor's internal name and its source name.
// A block type goes to the matrices that it matches (a rule that matches vectors alone is an error);
// f32, f16 and bf16 go to vectors too.
typedef struct PlanRule {
    const char *pattern;
    DType type;
} PlanRule;

typedef struct PlanRequest {
    DType type;         // matrices but for the two below
    DType embed_type;   // token_embd.weight
    DType output_type;  // output.weight
    bool output_asked;  // output_type was named by the user: an error where the head is tied and the types differ
    const DType *types; // [tensors] chosen one by one, in place of the three above; NULL: they were not
    const PlanRule *rules;
    size_t rule_count;
    bool has_fallback; // tensors whose width the type does not divide take `fallback`
    DType fallback;
    bool requantize; // tensors that are in blocks already may change their type
} PlanRequest;

typedef struct PlanEntry {
    DType type;     // what the tensor becomes; equal to its own type: copied
    DType asked;    // what it would have become but for the fallback
    bool fell_back; // asked's block does not divide the width
    bool ruled;     // by a rule
} PlanEntry;

// Vectors, and the small matrices that stay as they are unless a rule names them.
bool plan_keeps(const Tensor *t);

// True for the types that a plan may ask for: the block types, f32, f16 and bf16.
bool plan_type_ok(DType type);

// Fills entries[0 .. count-1]. The message names the rule or the first few tensors that it is about, and how many.
bool plan_make(const PlanRequest *request, const Tensor *tensors, size_t count, PlanEntry *entries, Error *err);

// The size of a tensor in its planned type: t's with the type changed. Fails only on overflow.
bool plan_tensor(const Tensor *t, const PlanEntry *entry, Tensor *out, Error *err);

#endif
