// The statistics of head and embedding, one matrix or two: how rounding a vocabulary row changes the logits wherever
// it is likely, and the stream wherever its id occurs. formats/STATS.md has the formulas.
#ifndef EVAL_HESSIAN_HEAD_H
#define EVAL_HESSIAN_HEAD_H

#include "eval/hessian.h"

typedef struct HessianHead {
    StatsKind kind;
    double logit_scale;
    const Tensor *head, *embedding; // NULL until seen; the same where they are tied
    double head_tokens, embedding_tokens;
    double *squares;     // [width]: sums of h_j^2
    float *h;            // [width, width], the upper triangle: of hidden states; NULL: importance alone
    double *row_spread;  // [vocab]: sums of p (1 - p)
    float *g;            // [embedding's width, the same]: of gradients
    double *row_squares; // [vocab]: sums of |g_t|^2 over tokens of that id
} HessianHead;

void hessian_head_init(HessianHead *hh, StatsKind kind, double logit_scale);
void hessian_head_close(HessianHead *hh);
bool hessian_head_add(HessianHead *hh, const HeadSeen *seen, HessianWork *work, Error *err);
bool hessian_embedding_add(HessianHead *hh, const EmbeddingSeen *seen, HessianWork *work, Error *err);

// The entries of both, or of the one that they are; tokens: of the text. Free each with hessian_entry_free.
bool hessian_head_finish(HessianHead *hh, double tokens, StatsTensor entries[2], int *count, Error *err);

#endif
