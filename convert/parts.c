#include "convert/parts.h"

Part part_whole(const ModelDesc *d) {
    (void)d;
    return (Part){0};
}

Part part_transposed(const ModelDesc *d) {
    (void)d;
    return (Part){.transposed = true};
}

Part part_flat(const ModelDesc *d) {
    (void)d;
    return (Part){.flat = true};
}

static Part one_of(const ModelDesc *d, int64_t heads) {
    return (Part){.rows = heads * d->head_dim, .run = d->head_dim};
}

Part part_of_q_norms(const ModelDesc *d) { return one_of(d, d->heads); }
Part part_of_k_norms(const ModelDesc *d) { return one_of(d, d->kv_heads); }

static Part rows(int64_t first, int64_t count) { return (Part){.rows = count, .first = first}; }

static Part transposed(Part p) {
    p.transposed = true;
    return p;
}

static int64_t q_rows(const ModelDesc *d) { return d->heads * d->head_dim; }
static int64_t k_rows(const ModelDesc *d) { return d->kv_heads * d->head_dim; }
static int64_t v_rows(const ModelDesc *d) { return d->kv_heads * desc_value_dim(d); }

Part part_q(const ModelDesc *d) { return rows(0, q_rows(d)); }
Part part_k(const ModelDesc *d) { return rows(q_rows(d), k_rows(d)); }
Part part_v(const ModelDesc *d) { return rows(q_rows(d) + k_rows(d), v_rows(d)); }
Part part_q_transposed(const ModelDesc *d) { return transposed(part_q(d)); }
Part part_k_transposed(const ModelDesc *d) { return transposed(part_k(d)); }
Part part_v_transposed(const ModelDesc *d) { return transposed(part_v(d)); }

// Of each group of `size` heads, `count` from the `first` on; `groups` groups.
static Part of_groups(const ModelDesc *d, int64_t groups, int64_t size, int64_t first, int64_t count) {
    int64_t h = d->head_dim;
    return (Part){.rows = groups * count * h, .first = first * h, .run = count * h, .stride = size * h};
}

Part part_head_q(const ModelDesc *d) { return of_groups(d, d->heads, 3, 0, 1); }
Part part_head_k(const ModelDesc *d) { return of_groups(d, d->heads, 3, 1, 1); }
Part part_head_v(const ModelDesc *d) { return of_groups(d, d->heads, 3, 2, 1); }

static Part of_kv_groups(const ModelDesc *d, int64_t first_after_q, int64_t count) {
    int64_t queries = d->kv_heads ? d->heads / d->kv_heads : 0;
    return of_groups(d, d->kv_heads, queries + 2, first_after_q < 0 ? 0 : queries + first_after_q,
                     first_after_q < 0 ? queries : count);
}

Part part_group_q(const ModelDesc *d) { return of_kv_groups(d, -1, 0); }
Part part_group_k(const ModelDesc *d) { return of_kv_groups(d, 0, 1); }
Part part_group_v(const ModelDesc *d) { return of_kv_groups(d, 1, 1); }

Part part_gate(const ModelDesc *d) { return rows(0, d->ffn_dim); }
Part part_up(const ModelDesc *d) { return rows(d->ffn_dim, d->ffn_dim); }
Part part_expert_gate(const ModelDesc *d) { return rows(0, d->experts.ffn_dim); }
Part part_expert_up(const ModelDesc *d) { return rows(d->experts.ffn_dim, d->experts.ffn_dim); }

static Part alternate(const ModelDesc *d, int64_t first) {
    return (Part){.rows = d->experts.ffn_dim, .first = first, .run = 1, .stride = 2};
}

Part part_even(const ModelDesc *d) { return alternate(d, 0); }
Part part_odd(const ModelDesc *d) { return alternate(d, 1); }
Part part_even_transposed(const ModelDesc *d) { return transposed(alternate(d, 0)); }
Part part_odd_transposed(const ModelDesc *d) { return transposed(alternate(d, 1)); }
