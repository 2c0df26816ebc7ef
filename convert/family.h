// Model families: each is one file here that says how its config and tensor names map onto the internal description.
#ifndef CONVERT_FAMILY_H
#define CONVERT_FAMILY_H

#include "formats/gguf.h"
#include "formats/model.h"

// A tensor name in the source and inside; a '#' stands for a layer number.
typedef struct NameMap {
    const char *source; // "model.layers.#.self_attn.q_proj.weight"
    const char
        *internal; // "blk.#.attn_q.weight"; NULL: known, not needed, left out (rotary tables that old files carry)
} NameMap;

typedef struct Family {
    const char *name;         // model_type in config.json: "llama"
    const char *architecture; // architectures[0]: "LlamaForCausalLM"
    const NameMap *names;     // ends with {NULL, NULL}
    bool (*describe)(const cJSON *config, ModelDesc *desc, Error *err);
    // From a GGUF file whose general.architecture is `name`, in which tensors have their internal names; tensors that
    // it may have or not are in *model already, description to be filled. NULL: not supported.
    bool (*describe_gguf)(const Gguf *gguf, Model *model, Error *err);
} Family;

extern const Family family_llama;

// By model_type, else by architecture; the message names the family asked for and those supported.
const Family *family_find(const cJSON *config, Error *err);

// By general.architecture.
const Family *family_find_gguf(const Gguf *gguf, Error *err);

// By the name in a model description (ModelDesc.family); NULL where there is none of that name.
const Family *family_by_name(const char *name);

// Shared by families whose config speaks transformers' common keys.
bool describe_common(const cJSON *config, ModelDesc *desc, Error *err); // sizes, norm, activation, tying, ids
bool describe_rope(const cJSON *config, ModelDesc *desc, Error *err); // rope_theta with rope_scaling or rope_parameters

// Shared by families in GGUF files, whose keys start with the architecture's name: sizes, norm, ids; rotary positions.
bool describe_gguf_common(const Gguf *gguf, const char *architecture, Model *model, Error *err);
bool describe_gguf_rope(const Gguf *gguf, const char *architecture, Model *model, Error *err);

// Keys that would change the network where they are there and not `neutral`: refused, naming the first.
typedef struct GgufRefusal {
    const char *suffix; // "logit_scale"
    double neutral;
} GgufRefusal;
bool refuse_gguf(const Gguf *gguf, const char *architecture, const GgufRefusal *list, size_t count, Error *err);

// The source name of an internal one, for messages; the internal name itself where the family has none.
const char *family_source_name(const Family *family, const char *internal, char *buf, size_t size);

// The internal name of a source name (buf of at least 256 bytes): NULL when the family has no such tensor,
// "" when it is one to leave out.
const char *family_internal_name(const Family *family, const char *source, char *buf, size_t size);

#endif
