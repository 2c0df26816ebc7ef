// The one internal model description, and a model as a set of named tensors with files beside it.
// Families (convert/) fill it, .nib stores it, eval/ runs it: eval/ knows no family by name.
//
// Internal tensor names are GGUF's (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md), N a layer from 0:
//   token_embd.weight        [vocab, dim]
//   blk.N.attn_norm.weight   [dim]                    blk.N.ffn_norm.weight  [dim]
//   blk.N.attn_q.weight      [heads * head_dim, dim]  blk.N.ffn_gate.weight  [ffn_dim, dim]   (gated MLPs)
//   blk.N.attn_k.weight      [kv_heads*head_dim, dim] blk.N.ffn_up.weight    [ffn_dim, dim]
//   blk.N.attn_v.weight      [kv_heads*head_dim, dim] blk.N.ffn_down.weight  [dim, ffn_dim]
//   blk.N.attn_output.weight [dim, heads * head_dim]
//   output_norm.weight       [dim]                    output.weight          [vocab, dim]     (absent when tied)
//   rope_freqs.weight        [head_dim / 2]           (where the rotary scaling is `factors`)
// and a .bias [rows] beside any linear layer. Rows of attn_q and attn_k are in the order that rope.interleaved says:
// Hugging Face's or GGUF's. They stay as they are in the source, so that nothing is moved.
#ifndef FORMATS_MODEL_H
#define FORMATS_MODEL_H

#include "core/json.h"
#include "core/tensor.h"

typedef enum Activation { ACT_SILU, ACT_GELU, ACT_GELU_TANH, ACT_RELU, ACT_COUNT } Activation;
typedef enum RopeScaling { ROPE_PLAIN, ROPE_LINEAR, ROPE_DYNAMIC, ROPE_YARN, ROPE_LLAMA3, ROPE_FACTORS, ROPE_COUNT } RopeScaling;

// Rotary positions (RoFormer, arXiv:2104.09864) with the scalings that transformers' modeling_rope_utils.py defines, and
// `factors`, as GGUF has it: the i-th angular speed is divided by rope_freqs.weight[i].
typedef struct Rope {
    double theta;
    bool interleaved; // pairs are (2i, 2i + 1), as in Llama's own release and GGUF; else (i, i + head_dim / 2)
    RopeScaling scaling;
    double factor;                 // linear, dynamic, yarn, llama3
    int64_t original_context;      // dynamic, yarn, llama3: positions the model was first trained for
    double attention_factor;       // yarn: multiplies cos and sin; 0: derived from factor, mscale, mscale_all_dim
    double beta_fast, beta_slow;   // yarn
    double mscale, mscale_all_dim; // yarn; 0 where not given
    bool truncate;                 // yarn: the correction range is rounded to whole dimensions
    double low_freq_factor, high_freq_factor; // llama3
} Rope;

typedef struct ModelDesc {
    char family[32]; // "llama": for people and for export; eval/ does not read it
    int64_t layers;
    int64_t dim;      // width of the residual stream (hidden_size)
    int64_t heads;    // query heads
    int64_t kv_heads; // key and value heads; divides heads
    int64_t head_dim;
    int64_t ffn_dim;       // hidden width of the MLP (intermediate_size)
    int64_t vocab;         // rows of the embedding
    int64_t context;       // max_position_embeddings
    double norm_eps;       // RMSNorm (arXiv:1910.07467)
    Activation activation; // MLP: down(act(gate x) * up x)
    Rope rope;
    bool tied;                                 // the head is the embedding
    bool qkv_bias, attn_output_bias, mlp_bias; // which linear layers have a bias (all of their kind, in every layer)
    int64_t bos, eos; // ids from the config, -1 where absent; the tokenizer's own word on adding BOS comes first
} ModelDesc;

// The description as .nib stores it, and back. model_desc_read checks every number against sane limits and each other.
cJSON *model_desc_write(const ModelDesc *desc);
bool model_desc_read(const cJSON *json, ModelDesc *desc, Error *err);
bool model_desc_check(const ModelDesc *desc, Error *err);

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
bool model_add_map(Model *model, FileMap *map, Error *err);
bool model_add_buffer(Model *model, void *buffer, Error *err); // from mem_alloc

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
