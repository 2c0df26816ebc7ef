#include "convert/export_latent.h"

#include "core/heads.h"
#include "core/layout.h"
#include "core/mem.h"
#include <string.h>

static const char matrix_pattern[] = "blk.#.attn_kv_b.weight";

bool is_latent_matrix(const Tensor *t) {
    NameNumbers numbers;
    return name_match(matrix_pattern, t->name, &numbers);
}

bool latent_pair_make(LatentPair *p, const Tensor *matrix, const ModelDesc *d, const CastKernels *kernels, Error *err) {
    NameNumbers numbers;
    int64_t plain = d->head_dim - desc_rope_dims(d), values = desc_value_dim(d);
    Part part = {.rows = d->heads * values, .first = plain, .run = values, .stride = plain + values};
    *p = (LatentPair){.owned = {NULL}};
    if (!tensor_verify(matrix, err) ||
        !heads_split_keys(matrix, d->heads, plain, kernels->widen, &p->keys, &p->owned[0], &p->owned[1], err) ||
        !tensor_part(matrix, &part, &p->values, &p->owned[2], err))
        return false;
    p->values.dims = 3;
    memcpy(p->values.shape, (const int64_t[]){d->heads, values, d->latent.kv_rank}, 3 * sizeof(int64_t));
    p->values.has_hash = false;
    name_match(matrix_pattern, matrix->name, &numbers);
    name_fill("blk.#.attn_k_b.weight", &numbers, p->names[0], sizeof p->names[0]);
    name_fill("blk.#.attn_v_b.weight", &numbers, p->names[1], sizeof p->names[1]);
    p->keys.name = p->keys.source = p->names[0];
    p->values.name = p->values.source = p->names[1];
    return tensor_size(&p->values, err);
}

void latent_pair_free(LatentPair *p) {
    for (size_t i = 0; i < sizeof p->owned / sizeof *p->owned; i++) mem_free(p->owned[i]);
}
