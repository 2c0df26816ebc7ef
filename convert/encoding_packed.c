// compressed-tensors' "pack-quantized" (https://github.com/vllm-project/compressed-tensors). Of a matrix [out, in]:
//     weight_packed     [out, in * bits / 32] I32    weight_shape [2]: out, in
//     weight_scale      [out, groups], [out, 1] or [1]
//     weight_zero_point [out * bits / 32, groups] I32, or I8 in the scale's shape; missing: symmetric
//     weight_g_idx      [in] I32: the group of each column; -1 or missing: they are in order
//     w = (q - 2^(bits - 1) - zero) * scale
// Which of the config's groups a module belongs to is told by its shapes.
#include "convert/encoding.h"
#include <string.h>

static bool read_shape(const EncodedModule *m, int64_t *rows, int64_t *cols, Error *err) {
    const Tensor *t = module_need(m, ".weight_shape", err);
    if (!t || !module_shape(t, 2, -1, err)) return false;
    if (t->type != DT_I64 && t->type != DT_I32)
        return error_set(err, "tensor %s: is %s where i64 or i32 is needed", t->source, dtype_name(t->type));
    int64_t sizes[2];
    for (int i = 0; i < 2; i++) {
        int32_t narrow;
        memcpy(&narrow, t->data + 4 * i, sizeof narrow);
        sizes[i] = narrow;
        if (t->type == DT_I64) memcpy(&sizes[i], t->data + 8 * i, sizeof sizes[i]);
    }
    *rows = sizes[0];
    *cols = sizes[1];
    if (*rows == m->codes->shape[0] && *cols > 0 && *cols <= m->codes->shape[1] * 32) return true;
    return error_set(err, "tensor %s: says [%lld, %lld], which %s does not hold", t->source, (long long)*rows,
                     (long long)*cols, m->codes->source);
}

// Groups of columns that a scale of this shape means; 0: none.
static int64_t scale_groups(const Tensor *scale, int64_t rows) {
    if (tensor_elements(scale) == 1) return 1;
    return scale->dims == 2 && scale->shape[0] == rows ? scale->shape[1] : 0;
}

// The number of bits with which some group of the config agrees with the module's shapes.
static bool find_bits(const EncodedModule *m, int64_t cols, int64_t groups, Encoded *e, Error *err) {
    const cJSON *scheme;
    cJSON_ArrayForEach(scheme, json_member(m->config, "config_groups")) {
        const cJSON *weights = json_member(scheme, "weights");
        int64_t bits = 0, group = 0;
        if (!json_int(weights, "num_bits", 1, 64, &bits, err) ||
            !json_int(weights, "group_size", -1, INT32_MAX, &group, err))
            return error_prefix(err, "config.json: quantization_config: %.60s", scheme->string);
        if (bits < 1 || bits > 8 || encoding_words(cols, (int)bits) != m->codes->shape[1]) continue;
        if (groups == 1 ? group > 0 && group < cols : group < 1 || groups * group != cols) continue;
        e->bits = (int)bits;
        e->group = groups == 1 ? cols : group;
        return true;
    }
    return error_set(err,
                     "tensor %s: its shape and its scales' agree with none of config_groups in config.json's "
                     "quantization_config",
                     m->codes->source);
}

static bool find_zeros(const Tensor *t, Encoded *e, Error *err) {
    if (t->type == DT_I8 && !e->scales.row_step) { // one for all
        e->plain = (CodeGrid){code_bytes(t), DT_I8, 0, 0};
        return module_single(t, err);
    }
    if (t->type == DT_I8) {
        e->plain = (CodeGrid){code_bytes(t), DT_I8, e->groups, 1};
        return module_shape(t, e->rows, e->groups, err);
    }
    e->packed = (CodeZeros){code_bytes(t), e->groups, 1, false, false};
    e->zero = 0; // both are stored 2^(bits - 1) above what they are
    return module_type(t, DT_I32, err) && module_shape(t, encoding_words(e->rows, e->bits), e->groups, err);
}

// Marked by -1 where it was made and not used.
static bool index_is_used(const Tensor *t) {
    for (int64_t i = 0; i < t->shape[0]; i++)
        if (memcmp(t->data + 4 * i, "\xff\xff\xff\xff", 4) == 0) return false;
    return true;
}

bool decode_packed(const EncodedModule *m, bool *mine, Error *err) {
    *mine = strcmp(m->codes->source + m->length, ".weight_packed") == 0 && m->codes->type == DT_I32;
    if (!*mine) return true;
    Encoded e = {.codes = code_bytes(m->codes), .order = CODES_ROWS, .group_rows = 1};
    const Tensor *scale = module_need(m, ".weight_scale", err), *zero = module_find(m, ".weight_zero_point");
    const Tensor *index = module_find(m, ".weight_g_idx");
    if (!scale || !module_matrix(m, err) || !read_shape(m, &e.rows, &e.cols, err) || !module_scales(scale, err))
        return false;
    e.groups = scale_groups(scale, e.rows);
    if (!e.groups) return module_shape(scale, e.rows, 1, err);
    if (!find_bits(m, e.cols, e.groups, &e, err)) return false;
    bool single = tensor_elements(scale) == 1;
    e.scales = (CodeGrid){code_bytes(scale), scale->type, single ? 0 : e.groups, single ? 0 : 1};
    e.zero = 1 << (e.bits - 1);
    if (zero && !find_zeros(zero, &e, err)) return false;
    if (index && (!module_type(index, DT_I32, err) || !module_shape(index, e.cols, -1, err))) return false;
    if (index && index_is_used(index)) e.column_group = code_bytes(index);
    return module_put_matrix(m, &e, err);
}
