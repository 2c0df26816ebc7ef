// The weights of one layer as the forward pass uses them. What the description does not call for is absent: a Linear
// without weight, a Norm without gain.
#ifndef EVAL_LAYER_H
#define EVAL_LAYER_H

#include "eval/linear.h"
#include "formats/model.h"

typedef struct Norm {
    NormKind kind;
    float eps;
    int64_t width;
    float *gain, *bias; // [width]; gain is there (ones, for a norm without weights), bias may be NULL
} Norm;

typedef struct Mlp {
    Linear gate, up, down; // [ffn_dim, dim] twice, [dim, ffn_dim]; no gate in a plain one
} Mlp;

typedef struct Layer {
    Norm attn_norm, ffn_norm;           // before the blocks
    Norm attn_post_norm, ffn_post_norm; // after them, or after the sum (NORM_SUM)
    Linear q, k, v, o;
    Linear q_a, q_b, kv_a, kv_b; // latent attention: q_b and kv_b in place of q, k and v
    Norm q_a_norm, kv_a_norm;
    Norm q_norm, k_norm; // of all heads' rows: [head_dim] or [heads * head_dim]
    void *kv_b_heads;    // what kv_b is put together by, where each head has matrices of its own
    float *sinks;        // [heads]
    Mlp mlp;             // or, where there are experts, what every token passes besides
    Linear router;       // [experts, dim]
    float *correction;   // [experts]
    Linear shared_gate;  // [1, dim]
    Mlp *experts;
    int64_t expert_count;
} Layer;

bool layer_open(Layer *layer, const Model *model, int64_t index, Error *err);
void layer_close(Layer *layer);

// linear_take and linear_drop for all but the experts, which are taken when tokens choose them.
bool layer_take(Layer *layer, Error *err);
void layer_drop(Layer *layer);

// The layer comes next: its weights, but the experts', are read in the background.
void layer_prefetch(Layer *layer);

// linear_repack for all that was taken.
bool layer_repack(Layer *layer, Error *err);
bool mlp_repack(Mlp *mlp, Error *err);

bool mlp_take(Mlp *mlp, Error *err);
void mlp_drop(Mlp *mlp);

// A norm by its tensor's name without ".weight"; for one without weights the name does not matter.
bool norm_open(Norm *norm, const Model *model, const char *name, Error *err);
void norm_close(Norm *norm);

// The layer NAME.weight with NAME.bias.
bool linear_find(Linear *linear, const Model *model, const char *name, Error *err);

#endif
