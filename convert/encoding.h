// What the files convert/encoding_*.c share: finding the tensors that belong together, and handing on what they make.
#ifndef CONVERT_ENCODING_H
#define CONVERT_ENCODING_H

#include "convert/encoded.h"
#include "formats/model.h"

typedef struct EncodingJob EncodingJob;

// Tensors of one module, "model.layers.0.mlp.up_proj", of which `codes` are at hand.
typedef struct EncodedModule {
    EncodingJob *job;
    const cJSON *config; // quantization_config; NULL where there is none
    const char *method;  // its quant_method; "" where there is none
    const Tensor *codes;
    const char *name; // not terminated
    int length;
} EncodedModule;

// A kind of encoding, found by the name and type of the tensor that holds the codes: each of these is the same module,
// and says by *mine whether it is one of this kind. If so it must be whole.
typedef bool DecodeModule(const EncodedModule *m, bool *mine, Error *err);

DecodeModule decode_gptq, decode_awq, decode_packed, decode_scaled, decode_fp4, decode_bitsandbytes;

// The module's tensor name + suffix: NULL where there is none. What is found counts as used, and is not handed on.
const Tensor *module_find(const EncodedModule *m, const char *suffix);
// The same where it is needed: NULL with a message.
const Tensor *module_need(const EncodedModule *m, const char *suffix, Error *err);

// The kept config.json, to be deleted, and in it what it says of quantization; each NULL where there is none.
bool encoding_config(const Model *model, cJSON **config, const cJSON **quantization, Error *err);
// Its quant_method, "" where there is none.
const char *encoding_method(const cJSON *quantization);

// Checks that t has this shape (cols -1: one dimension).
bool module_shape(const Tensor *t, int64_t rows, int64_t cols, Error *err);
bool module_type(const Tensor *t, DType type, Error *err);
// A type that scales may have: F16, BF16, F32, F64, F8_E4M3, F8_E8M0.
bool module_scales(const Tensor *t, Error *err);
// It has one element.
bool module_single(const Tensor *t, Error *err);

// The codes are a matrix without a dimension of 0.
bool module_matrix(const EncodedModule *m, Error *err);

// A whole number from the config: false with a message where it is there and not in [least, most].
bool module_int(const EncodedModule *m, const char *key, int64_t least, int64_t most, int64_t *value, Error *err);

// What has been made of the module: a tensor of this name + suffix.
bool module_put(const EncodedModule *m, const char *suffix, const Encoded *e, int dims, const int64_t *shape,
                Error *err);
bool module_put_matrix(const EncodedModule *m, const Encoded *e, Error *err); // name + ".weight"

static inline int64_t encoding_words(int64_t n, int bits) { return (n * bits + 31) / 32; } // that n codes take
static inline int64_t encoding_groups(int64_t n, int64_t group) { return n / group + (n % group != 0); }

#endif
