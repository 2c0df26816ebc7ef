// The one internal model description, and a model as a set of named tensors with files beside it.
// Families (convert/) fill it, .nib stores it, eval/ runs it: eval/ knows no family by name.
//
// Internal tensor names are GGUF's (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md), N a layer from 0:
//   token_embd.weight        [vocab, dim]
//   blk.N.attn_norm.weight   [dim]                    blk.N.ffn_norm.weight  [dim]
//   blk.N.attn_q.weight      [heads * head_dim, dim]  blk.N.ffn_gate.weight  [ffn_dim, dim]   (gated MLPs)
//   blk.N.attn_k.weight      [kv_heads*head_dim, dim] blk.N.ffn_up.weight    [ffn_dim, dim]
//   blk.N.attn_v.weight      [kv_heads*v_dim, dim]    blk.N.ffn_down.weight  [dim, ffn_dim]
//   blk.N.attn_output.weight [dim, heads * v_dim]
//   output_norm.weight       [dim]                    output.weight          [vocab, dim]     (absent when tied)
// with a .bias [rows] beside any linear layer or norm that has one. What only some models have is listed, with shapes
// and the condition for each, in formats/model_check.c. Experts are tensors of their own, E an expert from 0:
// blk.N.ffn_up.E.weight. Rows of attn_q and attn_k are in the order that rope.interleaved says: Hugging Face's or
// GGUF's. They stay as they are in the source, so that nothing is moved.
#ifndef FORMATS_MODEL_H
#define FORMATS_MODEL_H

#include "core/json.h"
#include "core/tensor.h"

// In the structs below a number that is 0, or false, is the plain case: what Llama has.

typedef enum Activation { ACT_SILU, ACT_GELU, ACT_GELU_TANH, ACT_RELU, ACT_SWIGLU_CLAMPED, ACT_COUNT } Activation;
typedef enum NormKind { NORM_RMS, NORM_LAYER, NORM_KINDS } NormKind; // arXiv:1910.07467, arXiv:1607.06450

// Where the norms of a block f (attention, MLP) are.
typedef enum NormPlace {
    NORM_BEFORE,  // x + f(norm(x))
    NORM_AROUND,  // x + norm(f(norm(x))): Gemma 2
    NORM_AFTER,   // x + norm(f(x)): OLMo 2
    NORM_SUM,     // norm(x + f(x)), and no final norm: the first transformers, OPT 350M
    NORM_THROUGH, // y + f(y) with y = norm(x): BLOOM's residual after the norm
    NORM_PLACES
} NormPlace;

// Norms of queries and keys before they are turned.
typedef enum QkNorm {
    QK_NORM_NONE,
    QK_NORM_HEAD,  // of each head, all with the same weights [head_dim]
    QK_NORM_HEADS, // of each head, each with its own weights [heads * head_dim]
    QK_NORM_WIDE,  // of all heads together [heads * head_dim]
    QK_NORM_KINDS
} QkNorm;

typedef enum Positions {
    POSITIONS_ROTARY,
    POSITIONS_LEARNED, // position_embd.weight [context + position_offset, dim] is added to the embedding
    POSITIONS_ALIBI,   // arXiv:2108.12409
    POSITIONS_KINDS
} Positions;

typedef enum RopeScaling {
    ROPE_PLAIN,
    ROPE_LINEAR,
    ROPE_DYNAMIC,
    ROPE_YARN,
    ROPE_LLAMA3,
    ROPE_FACTORS,
    ROPE_LONGROPE,
    ROPE_COUNT
} RopeScaling;

// Rotary positions (RoFormer, arXiv:2104.09864) with the scalings that transformers' modeling_rope_utils.py defines,
// and `factors`, as GGUF has it: the i-th angular speed is divided by rope_freqs.weight[i].
typedef struct Rope {
    double theta;
    int64_t dims;     // of each head are turned, the first (with latent attention: the last); 0: all
    bool interleaved; // pairs are (2i, 2i + 1), as in Llama's own release and GGUF; else (i, i + dims / 2)
    RopeScaling scaling;
    double factor;                 // linear, dynamic, yarn, llama3
    int64_t original_context;      // dynamic, yarn, llama3, longrope: positions the model was first trained for
    double attention_factor;       // yarn, longrope, factors: multiplies cos and sin; 0: yarn's own rule, or none
    double beta_fast, beta_slow;   // yarn
    double mscale, mscale_all_dim; // yarn; 0 where not given
    bool truncate;                 // yarn: the correction range is rounded to whole dimensions
    double low_freq_factor, high_freq_factor; // llama3
} Rope;

// A mixture of experts in place of the MLP: each token passes `used` of them, weighed by a router.
typedef struct Experts {
    int64_t count;      // 0: none
    int64_t used;       // by a token
    int64_t ffn_dim;    // hidden width of one
    int64_t shared_dim; // hidden width of an MLP that every token passes besides; 0: none
    bool shared_gate;   // whose output is weighed by sigmoid(ffn_gate_inp_shexp.weight x)
    bool bias;          // the experts' linear layers have biases
    bool router_bias;   // so has the router
    bool sigmoid;       // the router's scores are sigmoid(logits), else their softmax over all experts
    bool correction;    // exp_probs_b.bias is added to the scores for choosing, not for weighing
    bool normalized;    // the weights of the chosen are divided by their sum
    double scale;       // and multiplied by this; 0: not
    int64_t groups;     // experts are chosen from the best `groups_used` of so many groups; 0: from all
    int64_t groups_used;
    bool groups_by_two; // a group is as good as its best two together, else as its best
} Experts;

// Multi-head latent attention (DeepSeek-V2, arXiv:2405.04434): keys and values, and queries where query_rank is not 0,
// pass through a narrow normed layer; the turned part of the keys, rope.dims wide, is shared by all heads.
typedef struct Latent {
    int64_t kv_rank; // 0: plain attention
    int64_t query_rank;
    double norm_eps; // of the norms of the narrow layers; 0: as the others'
    bool bias;       // attn_q_a and attn_kv_a_mqa, into the narrow layers, have biases
    bool split;      // in place of attn_kv_b each head H has attn_k_b.H, transposed, and attn_v_b.H: GGUF
} Latent;

// What differs from layer to layer.
typedef enum LayerKind {
    LAYER_WINDOWED = 1,   // attention sees `window` positions
    LAYER_UNTURNED = 2,   // no rotary positions
    LAYER_LOCAL_ROPE = 4, // turned by rope_local
    LAYER_DENSE = 8,      // an MLP though the model has experts
} LayerKind;

// Limits far above any model there is, and low enough that products of two of these numbers fit in 63 bits.
enum { LAYERS_MAX = 4096, EXPERTS_MAX = 1 << 14 };

typedef struct ModelDesc {
    char family[32]; // "llama": for people and for export; eval/ does not read it
    int64_t layers;
    int64_t dim;      // width of the residual stream (hidden_size)
    int64_t heads;    // query heads
    int64_t kv_heads; // key and value heads; divides heads
    int64_t head_dim;
    int64_t v_head_dim; // of values where not head_dim; 0: the same
    int64_t ffn_dim;    // hidden width of the MLP (intermediate_size)
    int64_t vocab;      // rows of the embedding
    int64_t embed_dim;  // width of the embedding where it is projected (embd_in, embd_out); 0: dim
    int64_t context;    // max_position_embeddings
    bool tied;          // the head is the embedding
    int64_t bos, eos;   // ids from the config, -1 where absent; the tokenizer's own word on adding BOS comes first

    double norm_eps;
    NormKind norm_kind;
    NormPlace norm_place;
    bool norm_bias;     // layer norms
    bool norm_bare;     // norms without weights
    bool norm_plus_one; // the weights are stored less 1 (Gemma)
    bool parallel;      // x + attention(norm(x)) + mlp(norm(x)), with NORM_BEFORE
    bool shared_norm;   // the two take one norm: attn_norm

    Activation activation;
    double activation_limit, activation_slope;            // of swiglu_clamped
    bool plain_mlp;                                       // down(act(up x)); else gated: down(act(gate x) * up x)
    bool qkv_bias, attn_output_bias, mlp_bias, head_bias; // which linear layers have a bias: all of their kind
    Experts experts;

    Positions positions;
    int64_t position_offset; // learned: position p is row p + this
    double alibi_scale;      // multiplies what ALiBi adds; 0: not
    bool alibi_bf16;         // slopes and slope * position of the key are rounded to bf16 before that: Falcon
    Rope rope, rope_local;   // rope_local: of layers that say so
    QkNorm qk_norm;
    bool qk_norm_bias; // with QK_NORM_HEAD
    Latent latent;
    int64_t window;           // positions that a windowed layer sees, its own among them
    double attn_scale;        // of the scores; 0: 1 / sqrt(head_dim)
    bool attn_scale_by_layer; // and layer i divides them by i + 1: GPT-2 as Mistral (the project) trained it
    double attn_cap;          // scores s become cap * tanh(s / cap); 0: not
    double qkv_clip;          // queries, keys and values are kept within +- this; 0: not
    bool sinks;               // attn_sinks.weight [heads]: a score more, without a value, in each head's softmax

    bool embed_norm;       // a norm after the embedding
    double embed_scale;    // multiplies the embedding; 0: not
    double residual_scale; // multiplies what each block adds; 0: not
    double logit_scale;    // multiplies the logits; 0: not
    double logit_cap;      // and then, as attn_cap; 0: not

    uint8_t layer_kinds[LAYERS_MAX]; // LayerKind bits
} ModelDesc;

static inline int64_t desc_value_dim(const ModelDesc *d) { return d->v_head_dim ? d->v_head_dim : d->head_dim; }
static inline int64_t desc_embed_dim(const ModelDesc *d) { return d->embed_dim ? d->embed_dim : d->dim; }
static inline int64_t desc_rope_dims(const ModelDesc *d) { return d->rope.dims ? d->rope.dims : d->head_dim; }
static inline bool desc_layer_is(const ModelDesc *d, int64_t layer, LayerKind kind) {
    return d->layer_kinds[layer] & kind;
}
static inline bool desc_layer_has_experts(const ModelDesc *d, int64_t layer) {
    return d->experts.count && !desc_layer_is(d, layer, LAYER_DENSE);
}
// Every layer gets that kind.
void desc_set_layers(ModelDesc *d, LayerKind kind);

// The description as .nib stores it, and back. model_desc_read checks every number against sane limits and each other.
cJSON *model_desc_write(const ModelDesc *desc);
bool model_desc_read(const cJSON *json, ModelDesc *desc, Error *err);
bool model_desc_check(const ModelDesc *desc, Error *err);
int model_desc_version(const cJSON *json); // the first version of .nib that has all that this says

const char *activation_name(Activation a);
bool activation_from_name(const char *name, Activation *a); // transformers' hidden_act names too
const char *rope_scaling_name(RopeScaling s);
bool rope_scaling_from_name(const char *name, RopeScaling *s);

// A file kept verbatim beside the tensors: tokenizer.json, config.json, chat_template.jinja ...
typedef struct ModelFile {
    char *name;
    uint8_t *data;
    size_t size;
    const uint8_t *packed; // the same as a zlib stream, where it came from a .nib (in its map); NULL elsewhere
    size_t packed_bytes;
} ModelFile;

typedef struct Model {
    char *path; // as the user gave it
    ModelDesc desc;
    Tensor *tensors; // in file order
    size_t tensor_count, tensor_capacity;
    uint32_t *slots; // hash table over the tensors' names: index + 1, 0 where free
    size_t slot_count;
    ModelFile *files;
    size_t file_count, file_capacity;
    FileMap **maps; // what the tensors point into
    size_t map_count, map_capacity;
    void **buffers; // memory that tensors point into, where their bytes do not lie in a file as they are
    size_t buffer_count, buffer_capacity;
    cJSON *recipe;       // array: the steps that made it, oldest first; empty for a download
    cJSON *sources;      // array of {"file","bytes","xxh3"}: what the first step read; NULL for a download until hashed
    uint64_t file_bytes; // on disk: the .nib, or the weight files of a directory
    Hash identity;       // of a .nib: the hash of its index, which holds the hashes of all else
    bool has_identity;
    Compute compute; // how it is to be run; f32 when it was opened
} Model;

// An empty one, its recipe an empty array; path is copied. NULL with a message when memory is out.
Model *model_new(const char *path, Error *err);
void model_free(Model *model); // NULL is fine

// By internal name; NULL where absent.
const Tensor *model_tensor(const Model *model, const char *name);
// blk.<layer>.<rest>
const Tensor *model_layer_tensor(const Model *model, int64_t layer, const char *rest);
const ModelFile *model_file(const Model *model, const char *name);

// Appends, taking ownership of what it is given only on success (tensor->name and ->source; data; map).
// A tensor whose name is there already is an error, in the words of its source name.
bool model_add_tensor(Model *model, const Tensor *tensor, Error *err);
bool model_add_file(Model *model, const char *name, const void *data, size_t size, Error *err); // copies
bool model_take_file(Model *model, const char *name, char *data, size_t size, Error *err);      // NUL behind its end
bool model_add_map(Model *model, FileMap *map, Error *err);
bool model_add_buffer(Model *model, void *buffer, Error *err); // from mem_alloc

// Takes all tensors out of the model, into *tensors (an array from mem_alloc, the caller's with all names).
void model_take_tensors(Model *model, Tensor **tensors, size_t *count);

uint64_t model_tensor_bytes(const Model *model);
double model_bits_per_weight(const Model *model); // over all tensors

// Writes the internal name of the first tensor that the description calls for and the model lacks; false: none is
// missing.
enum { MODEL_NAME = 256 }; // bytes that any internal name fits in
bool model_missing(const Model *model, char name[MODEL_NAME]);

// Every tensor that the description calls for is there once with the shape it calls for, and no other is.
// The message names the first that is missing, unknown, double or misshapen, by its source name.
bool model_check(const Model *model, Error *err);

#endif
