// Elements of 8 bits under scales, in place of the weight itself:
//     weight F8_E4M3 or F8_E5M2 with weight_scale_inv (by which it is multiplied all the same): DeepSeek's and Qwen's
//         blocks of 128 x 128, transformers' "fp8"; with weight_scale: compressed-tensors' "float-quantized" and
//         "mxfp8-quantized" (U8, E8M0), fbgemm's, modelopt's. Scales are [1], [out], [out, 1], [out, groups] or
//         [blocks of rows, blocks of columns]. Without either it stays what it is.
//     weight I8 with weight_scale, and weight_zero_point of the same shape: compressed-tensors' "int-quantized"
//     weight I8 with SCB [out] F32: bitsandbytes' LLM.int8; w = q * SCB / 127
#include "convert/encoding.h"
#include <string.h>

// The sizes of blocks that the config gives; 0, 0 where it gives none.
static void config_blocks(const EncodedModule *m, int64_t size[2]) {
    const cJSON *list = json_member(m->config, "weight_block_size"), *scheme;
    cJSON_ArrayForEach(scheme, json_member(m->config, "config_groups")) {
        const cJSON *structure = json_member(json_member(scheme, "weights"), "block_structure");
        if (structure) list = structure;
    }
    size[0] = size[1] = 0;
    if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) != 2) return;
    const cJSON *rows = list->child, *cols = rows->next;
    if (!cJSON_IsNumber(rows) || !cJSON_IsNumber(cols) || rows->valueint < 1 || cols->valueint < 1) return;
    size[0] = rows->valueint;
    size[1] = cols->valueint;
}

// What the shape of the scales means for a matrix of e->rows x e->cols.
static bool place_scales(const EncodedModule *m, const Tensor *scale, Encoded *e, Error *err) {
    char text[96];
    int64_t rows = scale->dims ? scale->shape[0] : 1, cols = scale->dims > 1 ? scale->shape[1] : 1, size[2];
    e->scales = (CodeGrid){code_bytes(scale), scale->type, cols, 1};
    e->group_rows = 1;
    if (scale->dims > 2 || rows < 1 || cols < 1)
        return error_set(err, "tensor %s: has shape %s, which is none that scales have", scale->source,
                         tensor_shape_text(scale, text));
    config_blocks(m, size);
    // Blocks whose sizes nothing says but the shapes.
    bool unsaid = !size[0] && scale->dims == 2 && strcmp(scale->source + m->length, ".weight_scale_inv") == 0;
    if (size[0] && encoding_groups(e->rows, size[0]) == rows && encoding_groups(e->cols, size[1]) == cols) {
        e->group_rows = size[0];
        e->group = size[1];
    } else if (rows == 1 && cols == 1) {
        e->group_rows = e->rows;
        e->group = e->cols;
    } else if (e->rows % rows == 0 && e->cols % cols == 0 && (rows == e->rows || unsaid)) {
        e->group_rows = e->rows / rows;
        e->group = e->cols / cols;
    } else {
        return error_set(err, "tensor %s: has shape %s, which scales of the [%lld, %lld] of %s cannot have",
                         scale->source, tensor_shape_text(scale, text), (long long)e->rows, (long long)e->cols,
                         m->codes->source);
    }
    e->groups = cols;
    return true;
}

static bool find_zeros(const EncodedModule *m, const Tensor *scale, Encoded *e, Error *err) {
    char text[96];
    const Tensor *zero = module_find(m, ".weight_zero_point");
    if (!zero) return true;
    if (!module_type(zero, DT_I8, err)) return false;
    if (zero->dims != scale->dims || memcmp(zero->shape, scale->shape, sizeof zero->shape) != 0)
        return error_set(err, "tensor %s: has shape %s, not that of %s", zero->source, tensor_shape_text(zero, text),
                         scale->source);
    e->plain = (CodeGrid){code_bytes(zero), DT_I8, e->scales.row_step, e->scales.group_step};
    return true;
}

// bitsandbytes' kernels multiply by the scale and then by this (functional.py: int8_vectorwise_dequant).
static bool decode_int8(const EncodedModule *m, const Tensor *scb, Encoded *e, Error *err) {
    const Tensor *format = module_find(m, ".weight_format");
    if (!module_type(scb, DT_F32, err) || !module_shape(scb, e->rows, -1, err)) return false;
    if (format && (format->bytes != 1 || *format->data))
        return error_set(err, "tensor %s: calls for a layout other than rows, which is not supported", format->source);
    e->scales = (CodeGrid){code_bytes(scb), DT_F32, 1, 0};
    e->group = e->cols;
    e->groups = e->group_rows = 1;
    e->after = 7.874015718698502e-3f; // 1 / 127, as it is written there
    return module_put_matrix(m, e, err);
}

bool decode_scaled(const EncodedModule *m, bool *mine, Error *err) {
    DType type = m->codes->type;
    bool f8 = type == DT_F8_E4M3 || type == DT_F8_E5M2;
    if (strcmp(m->codes->source + m->length, ".weight") != 0 || (!f8 && type != DT_I8)) return true;
    const Tensor *scb = f8 ? NULL : module_find(m, ".SCB");
    const Tensor *scale = module_find(m, ".weight_scale_inv");
    if (!scale) scale = module_find(m, ".weight_scale");
    if (!scale && !scb) return true;
    *mine = true;
    if (!module_matrix(m, err)) return false;
    Encoded e = {.codes = code_bytes(m->codes), .order = CODES_ROWS, .bits = 8};
    e.rows = m->codes->shape[0];
    e.cols = m->codes->shape[1];
    e.levels = type == DT_I8 ? LEVELS_SIGNED : type == DT_F8_E4M3 ? LEVELS_E4M3 : LEVELS_E5M2;
    if (scb) return decode_int8(m, scb, &e, err);
    Tensor as = *scale;
    if (f8 && as.type == DT_U8) as.type = DT_F8_E8M0;
    return module_scales(&as, err) && place_scales(m, &as, &e, err) && find_zeros(m, scale, &e, err) &&
           module_put_matrix(m, &e, err);
}
