// Latent attention on its way into GGUF, which has keys and values of each layer apart (core/heads.h).
#ifndef CONVERT_EXPORT_LATENT_H
#define CONVERT_EXPORT_LATENT_H

#include "convert/cast.h"
#include "convert/gguf_arch.h"

typedef struct LatentPair {
    Tensor keys, values; // [heads, rank, plain], [heads, values, rank]; .source is GGUF's name
    char names[2][MODEL_NAME];
    void *owned[3];
} LatentPair;

bool is_latent_matrix(const Tensor *t); // blk.N.attn_kv_b.weight

// What becomes of it; it must outlive the pair. Free with latent_pair_free, also after a failure.
bool latent_pair_make(LatentPair *pair, const Tensor *matrix, const ModelDesc *desc, const CastKernels *kernels,
                      Error *err);
void latent_pair_free(LatentPair *pair);

#endif
