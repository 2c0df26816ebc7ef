// The head over vocabulary tiles: logits, log-softmax, perplexity and divergence in one pass, with no array of
// positions x vocabulary ever whole in memory.
#ifndef EVAL_HEAD_H
#define EVAL_HEAD_H

#include "eval/linear.h"
#include "formats/model.h"

// What one model says at one position, y the right token, natural logarithms.
typedef struct TokenScore {
    double nll;  // -log p(y)
    double kld;  // sum over v of p0(v) log(p0(v) / p(v)), p0 the first model's; 0 for the first model itself
    int32_t top; // the most probable token, the first of equals
} TokenScore;

// What makes logits of a finally normed hidden state.
typedef struct Head {
    Linear output;    // [vocab, its width], taken
    float scale, cap; // of the logits (formats/model.h); 0: none
} Head;

// Bytes that a number in the hidden states takes: in f32 and, where the head is multiplied in integers, rounded.
size_t head_hidden_bytes(const Model *model);

bool head_open(Head *head, const Model *model, Error *err);
void head_close(Head *head);

// Logits [vocab] of one hidden state; memory: head_memory bytes.
size_t head_memory(const Model *model);
void head_logits(const Head *head, const float *hidden, float *logits, void *memory);

// Multiplied rows first .. first + n - 1 of the vocabulary become logits: bias, scale, cap.
void head_finish(const Head *head, float *logits, int64_t first, int64_t n);

typedef struct HeadInput {
    const Head *head;
    const float *hidden; // [positions, the head's width], finally normed
    TokenScore *scores;  // [positions], filled in
} HeadInput;

// All models see the same positions and targets [positions]; their vocabularies are equal, their widths need not be.
// Fails when memory is out or when a model's logits are not finite (the message counts from model 0 as "model 1").
bool head_score(const HeadInput *models, int count, int64_t positions, const int32_t *targets, Error *err);

#endif
