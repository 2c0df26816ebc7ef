// What GGUF and its engines mean by an architecture: the key-value pairs that they read and what they take for granted
// (llama.cpp's src/llama-model.cpp and src/models/). From it a GGUF file is described, and an export is checked against
// what engines will make of it.
#ifndef CONVERT_GGUF_ARCH_H
#define CONVERT_GGUF_ARCH_H

#include "convert/names.h"
#include "formats/gguf.h"
#include "formats/gguf_write.h"

// Keys that only some architectures have.
typedef enum GgufKeys {
    GGUF_KEY_WINDOW = 1,        // attention.sliding_window; which layers have it is settled by the architecture
    GGUF_KEY_LOCAL_ROPE = 2,    // rope.freq_base_swa: of windowed layers; absent: as the others (or what `settle` says)
    GGUF_KEY_CAPS = 4,          // attn_logit_softcapping, final_logit_softcapping
    GGUF_KEY_LOGIT_SCALE = 8,   // logit_scale, a factor
    GGUF_KEY_LOGIT_DIVIDE = 16, // logit_scale, a divisor (Granite)
    GGUF_KEY_MULTIPLIERS = 32,  // embedding_scale, residual_scale, attention.scale
    GGUF_KEY_CLAMP = 64,        // attention.clamp_kqv
    GGUF_KEY_PARALLEL = 128,    // use_parallel_residual
    GGUF_KEY_EXPERTS = 256,     // expert_count and the rest
    GGUF_KEY_GELU = 512,        // hidden_activation: which form of GELU, where not `activation`; engines have one form
    GGUF_KEY_LATENT = 1024,     // attention.kv_lora_rank and the rest
    GGUF_YARN_ROUNDED = 2048,   // no key: what yarn is for models, engines round to whole dimensions all the same
} GgufKeys;

typedef struct GgufArch {
    const char *name;     // general.architecture
    const NameMap *names; // tensors that GGUF has otherwise than we: `source` is GGUF's name; NULL: none
    bool neighbours;      // engines turn rows 2i and 2i + 1 of a head, else i and i + dims / 2
    NormKind norm_kind;
    Activation activation;
    unsigned keys; // GgufKeys
    // With GGUF_KEY_WINDOW: of so many layers all but the last are windowed, where attention.sliding_window_pattern
    // does not say otherwise. 0: which layers are windowed is settled.
    int64_t window_period;
    // What else engines take for granted, over what the keys and tensors said. NULL: nothing.
    bool (*settle)(const Gguf *gguf, Model *model, Error *err);
} GgufArch;

// Fills model->desc from the metadata and from which tensors (under GGUF's names) there are.
bool gguf_describe(const Gguf *gguf, const GgufArch *arch, Model *model, Error *err);

// The same keys, for a description. What they cannot say is not noticed here: see gguf_check.
void gguf_add_description(GgufMeta *meta, const ModelDesc *desc, const GgufArch *arch);

// Reads back what engines will make of metadata and tensors (GGUF's names and shapes): an error naming the first thing
// that differs from what the model is.
bool gguf_check(const GgufMeta *meta, const Tensor *tensors, size_t count, const GgufArch *arch, const ModelDesc *desc,
                Error *err);

// ---- for settle

// Keys that would change the network where they are there and not `neutral`: refused, naming the first.
typedef struct GgufRefusal {
    const char *suffix; // "logit_scale"
    double neutral;
} GgufRefusal;
bool refuse_gguf(const Gguf *gguf, const char *architecture, const GgufRefusal *list, size_t count, Error *err);

// An error where the file has rotary factors, which not every architecture's graph looks at.
bool refuse_gguf_factors(const Model *model, const char *architecture, Error *err);

// Linear layers but those of queries, keys and values have no biases.
void gguf_drop_biases(ModelDesc *desc);

// What takes the heads to make up the width: whatever the keys say.
void gguf_square_heads(ModelDesc *desc);

// Of every `period` layers all but the last are windowed (llama.cpp's set_swa_pattern).
void gguf_window_pattern(ModelDesc *desc, int64_t period);

// An error where there are tensors of rotary factors, which engines read for some architectures only.
bool gguf_refuse_rope_factors(const Model *model, const char *architecture, Error *err);

#endif
