// Model families: each is one file here that says how its config and tensor names map onto the internal description.
#ifndef CONVERT_FAMILY_H
#define CONVERT_FAMILY_H

#include "convert/gguf_arch.h"
#include "convert/names.h"

typedef struct Family {
    const char *name;         // model_type in config.json: "llama"
    const char *architecture; // architectures[0]: "LlamaForCausalLM"
    const NameMap *names;     // ends with {NULL}; tensors of Hugging Face checkpoints
    const NameStart *starts;  // ends with {NULL}; NULL: names begin in one way
    // Fills the description; what it finds there is zero but for the family's own defaults of describe_common.
    bool (*describe)(const cJSON *config, ModelDesc *desc, Error *err);
    // Tensors that the config holds (factors of longrope), after the others; NULL: none.
    bool (*add_tensors)(const cJSON *config, Model *model, Error *err);
    // Tensors to leave out though the names have them (layers beyond the last, for predicting further ahead); NULL:
    // none.
    bool (*leave_out)(const cJSON *config, const ModelDesc *desc, const char *source);
    const GgufArch *gguf; // what GGUF makes of it; NULL: it has no such architecture
    // Whose config lies in this one's as "text_config" beside those of images and the like, which exports do without;
    // NULL: none.
    const struct Family *text;
} Family;

extern const Family family_llama;
extern const Family family_mistral, family_mixtral, family_qwen2, family_qwen3, family_qwen3_moe;
extern const Family family_smollm3, family_granite, family_olmo, family_olmo2, family_starcoder2;
extern const Family family_gemma, family_gemma2, family_gemma3_text, family_gemma3;
extern const Family family_phi, family_phi3;
extern const Family family_stablelm;
extern const Family family_cohere, family_cohere2;
extern const Family family_gpt2, family_bloom, family_opt, family_gptj, family_gptneox;
extern const Family family_falcon, family_refined_web, family_refined_web_model;
extern const Family family_gpt_oss;
extern const Family family_deepseek_v2, family_deepseek_v3, family_kimi_k2;

// By model_type, else by architecture; the message names the family asked for and those supported.
const Family *family_find(const cJSON *config, Error *err);

// By general.architecture: the first of those that share it.
const Family *family_find_gguf(const Gguf *gguf, Error *err);

// By the name in a model description (ModelDesc.family); NULL where there is none of that name.
const Family *family_by_name(const char *name);

// The source name of an internal one, for messages; the internal name itself where the family has none.
const char *family_source_name(const Family *family, const char *internal, char *buf, size_t size);

// ---- shared by families (convert/common.c, convert/common_rope.c)

// Sizes, norm, activation, tying, ids, in the spellings of all families. What the caller has set already in ffn_dim,
// kv_heads, context, norm_eps, activation and tied, or in another size, is the family's default; a ffn_dim of
// FFN_FOUR_TIMES stands for 4 * dim. describe_activation reads the activation from one key, where the config has it.
enum { FFN_FOUR_TIMES = -1 };
bool describe_common(const cJSON *config, ModelDesc *desc, Error *err);
bool describe_activation(const cJSON *config, const char *key, ModelDesc *desc, Error *err);

// After it: what transformers takes for these ids where the config does not have them.
void describe_default_ids(const cJSON *config, ModelDesc *desc, int64_t bos, int64_t eos);

// rope_theta with rope_scaling, or rope_parameters, partial_rotary_factor or rotary_pct. Theta, dims and
// original_context set already are the defaults. describe_rope_object reads one such object (`key` is where it is, for
// messages) into *rope.
bool describe_rope(const cJSON *config, ModelDesc *desc, Error *err);
bool describe_rope_object(const cJSON *config, const cJSON *object, const char *key, const ModelDesc *desc, Rope *rope,
                          Error *err);

// attention_bias: of queries, keys and values, and of what attention gives.
bool describe_attention_bias(const cJSON *config, ModelDesc *desc, Error *err);

// How many experts there are and how many of them a token passes. What is set already is the family's default.
bool describe_experts(const cJSON *config, ModelDesc *desc, Error *err);

// "layer_types": full_attention or sliding_attention for each layer, which sets LAYER_WINDOWED, with sliding_window.
// Sets *found to whether the config has it.
bool describe_layer_types(const cJSON *config, ModelDesc *desc, bool *found, Error *err);

// The same; where the config has none, each `pattern`-th layer sees everything and the others `sliding_window`, whose
// default is desc->window.
bool describe_layer_pattern(const cJSON *config, ModelDesc *desc, int64_t pattern, Error *err);

// sliding_window of every layer (convert/common_window.c): null says that there is none, none at all that it is
// `otherwise`, the family's default; 0: none.
bool describe_window(const cJSON *config, int64_t otherwise, ModelDesc *desc, Error *err);

// The same number, for families that say otherwise which layers slide; 0 where there is none.
bool read_window(const cJSON *config, int64_t otherwise, int64_t *window, Error *err);

// Windows as Qwen 2 and 3 have them: use_sliding_window turns them on, for layer_types' layers, or else for those from
// max_window_layers on.
bool describe_upper_windows(const cJSON *config, ModelDesc *desc, Error *err);

// The factors of longrope, as add_tensors of a family: rope_factors_long.weight and rope_factors_short.weight.
bool add_longrope_factors(const cJSON *config, Model *model, Error *err);

// An error unless the number, bool or text at `key` is absent, null or the neutral value: for what is not supported.
bool refuse_bool(const cJSON *config, const char *key, bool neutral, Error *err);
bool refuse_number(const cJSON *config, const char *key, double neutral, Error *err);

#endif
