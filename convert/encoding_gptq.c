// GPTQ (https://github.com/ModelCloud/GPTQModel, before it AutoGPTQ). Of a matrix [out, in]:
//     qweight [in * bits / 32, out] I32    qzeros [groups, out * bits / 32] I32
//     scales  [groups, out]                g_idx  [in] I32, the group of each column; may be missing
//     w = (q - zero) * scale
// The first version of the format ("checkpoint_format": "gptq", or none) stores zeros less one; "gptq_v2" as they are.
// AWQ (https://github.com/casper-hansen/AutoAWQ, version "gemm"), 4 bits:
//     qweight [in, out / 8] I32    qzeros [groups, out / 8] I32    scales [groups, out]
#include "convert/encoding.h"
#include <string.h>
#include <strings.h>

static bool is_named(const EncodedModule *m, const char *suffix) {
    return strcmp(m->codes->source + m->length, suffix) == 0;
}

// group_size: -1 is one group for the whole width.
static bool read_group(const EncodedModule *m, const char *key, int64_t cols, int64_t *group, Error *err) {
    *group = -1;
    if (!module_int(m, key, -1, INT32_MAX, group, err)) return false;
    if (*group == 0) return error_set(err, "config.json: quantization_config: \"%s\" is 0", key);
    if (*group < 0 || *group > cols) *group = cols;
    return true;
}

// ---- GPTQ

static bool read_version(const EncodedModule *m, bool *less_one, Error *err) {
    const char *format = json_text(m->config, "checkpoint_format");
    if (!format) format = json_text(m->config, "format");
    *less_one = !format || strcmp(format, "gptq") == 0;
    if (*less_one || strcmp(format, "gptq_v2") == 0) return true;
    return error_set(err,
                     "config.json: quantization_config: the gptq format \"%.60s\" (checkpoint_format) is not "
                     "supported; those supported are gptq, gptq_v2",
                     format);
}

static bool read_bits(const EncodedModule *m, int *bits, Error *err) {
    int64_t n = 4;
    if (!module_int(m, "bits", 1, 64, &n, err)) return false;
    *bits = (int)n;
    if (n == 2 || n == 3 || n == 4 || n == 8) return true;
    return error_set(err, "config.json: quantization_config: gptq with %d bits is not supported; 2, 3, 4 and 8 are",
                     *bits);
}

static bool check_columns(const EncodedModule *m, const Tensor *index, int bits, int64_t *cols, Error *err) {
    char text[96];
    int64_t words = m->codes->shape[0];
    *cols = words * 32 / bits;
    if (!index) return true;
    if (!module_type(index, DT_I32, err)) return false;
    if (index->dims != 1 || encoding_words(index->shape[0], bits) != words || index->shape[0] < 1)
        return error_set(err, "tensor %s: has shape %s where %s with %d bits calls for [%lld]", index->source,
                         tensor_shape_text(index, text), m->codes->source, bits, (long long)*cols);
    *cols = index->shape[0];
    return true;
}

bool decode_gptq(const EncodedModule *m, bool *mine, Error *err) {
    *mine = is_named(m, ".qweight") && strcmp(m->method, "awq") != 0;
    if (!*mine) return true;
    if (strcmp(m->method, "gptq") != 0)
        return error_set(err,
                         "tensor %s: holds codes of gptq or awq, but config.json does not say so: it needs a "
                         "quantization_config with \"quant_method\"",
                         m->codes->source);
    Encoded e = {.codes = code_bytes(m->codes), .order = CODES_COLUMNS, .group_rows = 1};
    const Tensor *scales = module_need(m, ".scales", err), *zeros = scales ? module_need(m, ".qzeros", err) : NULL;
    const Tensor *index = module_find(m, ".g_idx");
    if (!zeros || !module_matrix(m, err) || !module_type(m->codes, DT_I32, err) || !read_bits(m, &e.bits, err) ||
        !read_version(m, &e.packed.less_one, err) || !check_columns(m, index, e.bits, &e.cols, err) ||
        !read_group(m, "group_size", e.cols, &e.group, err))
        return false;
    e.rows = m->codes->shape[1];
    e.groups = encoding_groups(e.cols, e.group);
    int64_t words = encoding_words(e.rows, e.bits);
    if (!module_scales(scales, err) || !module_shape(scales, e.groups, e.rows, err) ||
        !module_type(zeros, DT_I32, err) || !module_shape(zeros, e.groups, words, err))
        return false;
    e.column_group = code_bytes(index);
    e.scales = (CodeGrid){code_bytes(scales), scales->type, 1, e.rows};
    e.packed.at = code_bytes(zeros);
    e.packed.word_step = 1;
    e.packed.group_step = words;
    return module_put_matrix(m, &e, err);
}

// ---- AWQ

static bool check_awq(const EncodedModule *m, Error *err) {
    int64_t bits = 4;
    const char *version = json_text(m->config, "version");
    if (!module_int(m, "w_bit", 1, 64, &bits, err) || !module_int(m, "bits", 1, 64, &bits, err)) return false;
    if (bits != 4)
        return error_set(err, "config.json: quantization_config: awq with %d bits is not supported; 4 are", (int)bits);
    if (version && strcasecmp(version, "gemm") != 0)
        return error_set(err, "config.json: quantization_config: the awq version \"%.60s\" is not supported; gemm is",
                         version);
    return true;
}

bool decode_awq(const EncodedModule *m, bool *mine, Error *err) {
    *mine = is_named(m, ".qweight") && strcmp(m->method, "awq") == 0;
    if (!*mine) return true;
    Encoded e = {.codes = code_bytes(m->codes), .order = CODES_AWQ, .bits = 4, .group_rows = 1};
    const Tensor *scales = module_need(m, ".scales", err), *zeros = scales ? module_need(m, ".qzeros", err) : NULL;
    if (!zeros || !check_awq(m, err) || !module_matrix(m, err) || !module_type(m->codes, DT_I32, err)) return false;
    int64_t words = m->codes->shape[1];
    e.cols = m->codes->shape[0];
    e.rows = words * 8;
    if (!read_group(m, json_member(m->config, "q_group_size") ? "q_group_size" : "group_size", e.cols, &e.group, err))
        return false;
    e.groups = encoding_groups(e.cols, e.group);
    if (!module_scales(scales, err) || !module_shape(scales, e.groups, e.rows, err) ||
        !module_type(zeros, DT_I32, err) || !module_shape(zeros, e.groups, words, err))
        return false;
    e.scales = (CodeGrid){code_bytes(scales), scales->type, 1, e.rows};
    e.packed = (CodeZeros){code_bytes(zeros), 1, words, true, false};
    return module_put_matrix(m, &e, err);
}
