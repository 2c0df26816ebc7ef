// Model families: each is one file here that says how its config and tensor names map onto the internal description.
#ifndef CONVERT_FAMILY_H
#define CONVERT_FAMILY_H

#include "convert/names.h"
#include "formats/gguf.h"

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
    // From a GGUF file whose general.architecture is `name`, in which tensors have their internal names; tensors that
    // it may have or not are in *model already, description to be filled. NULL: not supported.
    bool (*describe_gguf)(const Gguf *gguf, Model *model, Error *err);
} Family;

extern const Family family_llama;
extern const Family family_gpt_oss;
extern const Family family_deepseek_v2, family_deepseek_v3, family_kimi_k2;

// By model_type, else by architecture; the message names the family asked for and those supported.
const Family *family_find(const cJSON *config, Error *err);

// By general.architecture.
const Family *family_find_gguf(const Gguf *gguf, Error *err);

// By the name in a model description (ModelDesc.family); NULL where there is none of that name.
const Family *family_by_name(const char *name);

// The source name of an internal one, for messages; the internal name itself where the family has none.
const char *family_source_name(const Family *family, const char *internal, char *buf, size_t size);

// ---- shared by families (convert/common.c, convert/common_rope.c)

// Sizes, norm, activation, tying, ids, in the spellings of all families. What the caller has set already in ffn_dim,
// context, norm_eps, activation and tied is the family's default; a ffn_dim of FFN_FOUR_TIMES stands for 4 * dim.
enum { FFN_FOUR_TIMES = -1 };
bool describe_common(const cJSON *config, ModelDesc *desc, Error *err);

// rope_theta with rope_scaling, or rope_parameters, partial_rotary_factor or rotary_pct. A theta set already is the
// default. describe_rope_object reads one such object (`key` is where it is, for messages) into *rope.
bool describe_rope(const cJSON *config, ModelDesc *desc, Error *err);
bool describe_rope_object(const cJSON *config, const cJSON *object, const char *key, const ModelDesc *desc, Rope *rope,
                          Error *err);

// "layer_types": full_attention or sliding_attention for each layer, which sets LAYER_WINDOWED, with sliding_window.
// Sets *found to whether the config has it.
bool describe_layer_types(const cJSON *config, ModelDesc *desc, bool *found, Error *err);

// The factors of longrope, as add_tensors of a family: rope_factors_long.weight and rope_factors_short.weight.
bool add_longrope_factors(const cJSON *config, Model *model, Error *err);

// An error unless the number, bool or text at `key` is absent, null or the neutral value: for what is not supported.
bool refuse_bool(const cJSON *config, const char *key, bool neutral, Error *err);
bool refuse_number(const cJSON *config, const char *key, double neutral, Error *err);

// Shared by families in GGUF files, whose keys start with the architecture's name: sizes, norm, ids; rotary positions.
bool describe_gguf_common(const Gguf *gguf, const char *architecture, Model *model, Error *err);
bool describe_gguf_rope(const Gguf *gguf, const char *architecture, Model *model, Error *err);

// Keys that would change the network where they are there and not `neutral`: refused, naming the first.
typedef struct GgufRefusal {
    const char *suffix; // "logit_scale"
    double neutral;
} GgufRefusal;
bool refuse_gguf(const Gguf *gguf, const char *architecture, const GgufRefusal *list, size_t count, Error *err);

#endif
