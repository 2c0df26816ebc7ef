// Numbers of 4 bits (E2M1), two to a byte, the lower nibble first, under scales of 32 or 16:
//     X_blocks [.., rows, groups, 16] U8, X_scales [.., rows, groups] U8: MXFP4 as gpt-oss ships its experts; it
//     becomes
//         X [.., rows, groups * 32]. (transformers turns the last two dimensions around when it loads them.)
//     weight_packed [out, in / 2] U8, weight_scale [out, in / 32] U8: compressed-tensors' "mxfp4-pack-quantized"
//     ... weight_scale [out, in / 16] F8_E4M3, weight_global_scale [1]: its "nvfp4-pack-quantized"; w = q * (s /
//     global) weight [out, in / 2] U8, weight_scale F8_E4M3, weight_scale_2: modelopt's NVFP4; w = q * (s * scale_2)
// (Microscaling Formats 1.0, Open Compute.) MXFP4's are GGUF's mxfp4 with the nibbles in another order.
#include "convert/encoding.h"
#include <string.h>

enum { GROUP_BYTES = 16, MX_GROUP = 32, NV_GROUP = 16 };

static bool decode_blocks(const EncodedModule *m, const Tensor *scales, Error *err) {
    char text[96];
    const Tensor *t = m->codes;
    int dims = t->dims - 1; // of the scales, and of the result
    if (dims < 2 || t->bytes == 0 || t->shape[dims] != GROUP_BYTES)
        return error_set(err, "tensor %s: has shape %s where blocks of mxfp4 need [.., rows, groups, 16]", t->source,
                         tensor_shape_text(t, text));
    if (!module_type(scales, DT_U8, err)) return false;
    if (scales->dims != dims || memcmp(scales->shape, t->shape, (size_t)dims * sizeof *t->shape) != 0)
        return error_set(err, "tensor %s: has shape %s, not that of %s without the 16", scales->source,
                         tensor_shape_text(scales, text), t->source);
    Encoded e = {.codes = code_bytes(t), .order = CODES_ROWS, .levels = LEVELS_E2M1, .bits = 4, .group_rows = 1};
    int64_t shape[TENSOR_DIMS], groups = t->shape[dims - 1];
    memcpy(shape, t->shape, sizeof shape);
    shape[dims - 1] = e.cols = groups * MX_GROUP;
    e.rows = tensor_rows(scales);
    e.group = MX_GROUP;
    e.groups = groups;
    e.scales = (CodeGrid){code_bytes(scales), DT_F8_E8M0, groups, 1};
    return module_put(m, "", &e, dims, shape, err);
}

static bool decode_rows(const EncodedModule *m, const Tensor *scale, const Tensor *times, const Tensor *over,
                        Error *err) {
    const Tensor *factor = times ? times : over;
    if (!module_matrix(m, err) || !module_type(m->codes, DT_U8, err)) return false;
    Encoded e = {.codes = code_bytes(m->codes), .order = CODES_ROWS, .levels = LEVELS_E2M1, .bits = 4, .group_rows = 1};
    e.rows = m->codes->shape[0];
    e.cols = m->codes->shape[1] * 2;
    e.group = factor ? NV_GROUP : MX_GROUP;
    e.groups = encoding_groups(e.cols, e.group);
    if (!module_shape(scale, e.rows, e.groups, err) || !module_type(scale, factor ? DT_F8_E4M3 : DT_U8, err))
        return false;
    if (factor && (!module_type(factor, DT_F32, err) || !module_single(factor, err))) return false;
    e.scales = (CodeGrid){code_bytes(scale), factor ? DT_F8_E4M3 : DT_F8_E8M0, e.groups, 1};
    e.times = code_bytes(times);
    e.over = code_bytes(over);
    return module_put_matrix(m, &e, err);
}

bool decode_fp4(const EncodedModule *m, bool *mine, Error *err) {
    const char *suffix = m->codes->source + m->length;
    if (m->codes->type != DT_U8) return true;
    if (strcmp(suffix, "_blocks") == 0) {
        const Tensor *scales = module_need(m, "_scales", err);
        *mine = true;
        return scales && decode_blocks(m, scales, err);
    }
    bool packed = strcmp(suffix, ".weight_packed") == 0;
    const Tensor *times = packed ? NULL : module_find(m, ".weight_scale_2");
    if (!packed && (strcmp(suffix, ".weight") != 0 || !times)) return true;
    *mine = true;
    const Tensor *scale = module_need(m, ".weight_scale", err);
    return scale && decode_rows(m, scale, times, packed ? module_find(m, ".weight_global_scale") : NULL, err);
}
