// bitsandbytes' NF4 and FP4 (https://github.com/bitsandbytes-foundation/bitsandbytes, QLoRA: arXiv:2305.14314).
//     weight [elements / 2, 1] U8: nibbles of the flattened matrix, the higher first
//     weight.quant_state.bitsandbytes__nf4 (or __fp4), U8: JSON with shape, blocksize and, where scales are nested,
//         nested_blocksize and nested_offset
//     weight.quant_map F32 [16]: the levels    weight.absmax F32: a scale for each blocksize elements, or, nested, U8:
//     absmax = nested_quant_map[code] * nested_absmax + nested_offset
#include "convert/encoding.h"
#include <math.h>
#include <string.h>

enum { STATE_MAX = 65536, STATE_VALUES = 1000 };
static const int64_t DIMENSION_MAX = INT64_C(1) << 31;

static bool read_state(const cJSON *state, Encoded *e, Error *err) {
    int64_t block = 0, inner = 256;
    double offset = 0;
    const cJSON *shape = json_member(state, "shape");
    if (!json_int(state, "blocksize", 1, DIMENSION_MAX, &block, err) ||
        !json_int(state, "nested_blocksize", 1, DIMENSION_MAX, &inner, err) ||
        !json_double(state, "nested_offset", -1e30, 1e30, &offset, err))
        return false;
    if (!block) return error_set(err, "\"blocksize\" is missing");
    if (!cJSON_IsArray(shape) || cJSON_GetArraySize(shape) != 2) return error_set(err, "\"shape\" is no matrix's");
    int64_t size[2] = {0};
    for (int i = 0; i < 2; i++) {
        const cJSON *v = i ? shape->child->next : shape->child;
        double n = cJSON_IsNumber(v) ? v->valuedouble : 0;
        if (!(n >= 1 && n <= (double)DIMENSION_MAX) || n != floor(n))
            return error_set(err, "\"shape\" holds something else than sizes");
        size[i] = (int64_t)n;
    }
    e->rows = size[0];
    e->cols = size[1];
    e->group = block;
    e->nested.group = inner;
    e->nested.offset = (float)offset;
    return true;
}

static bool parse_state(const Tensor *t, Encoded *e, Error *err) {
    if (!module_type(t, DT_U8, err)) return false;
    if (t->bytes > STATE_MAX) return error_set(err, "tensor %s: is too large", t->source);
    const char *text = (const char *)t->data;
    cJSON *state = json_bounded(text, t->bytes, STATE_VALUES, err) ? json_parse(text, t->bytes, err) : NULL;
    bool ok = state && read_state(state, e, err);
    cJSON_Delete(state);
    return ok || error_prefix(err, "tensor %s", t->source);
}

static bool floats(const Tensor *t, int64_t count, Error *err) {
    return t && module_type(t, DT_F32, err) && module_shape(t, count, -1, err);
}

static bool find_scales(const EncodedModule *m, Encoded *e, Error *err) {
    const Tensor *absmax = module_need(m, ".weight.absmax", err), *map, *inner;
    if (!absmax || !module_shape(absmax, e->groups, -1, err)) return false;
    e->scales = (CodeGrid){code_bytes(absmax), DT_F32, 0, 1};
    if (absmax->type != DT_U8) return module_type(absmax, DT_F32, err);
    map = module_need(m, ".weight.nested_quant_map", err);
    inner = map ? module_need(m, ".weight.nested_absmax", err) : NULL;
    if (!inner || !floats(map, 256, err) || !floats(inner, encoding_groups(e->groups, e->nested.group), err))
        return false;
    e->nested.map = code_bytes(map);
    e->nested.scales = code_bytes(inner);
    return true;
}

bool decode_bitsandbytes(const EncodedModule *m, bool *mine, Error *err) {
    if (strcmp(m->codes->source + m->length, ".weight") != 0 || m->codes->type != DT_U8) return true;
    const Tensor *state = module_find(m, ".weight.quant_state.bitsandbytes__nf4");
    if (!state) state = module_find(m, ".weight.quant_state.bitsandbytes__fp4");
    if (!state) return true;
    *mine = true;
    Encoded e = {.codes = code_bytes(m->codes), .order = CODES_FLAT, .levels = LEVELS_MAP, .bits = 4, .group_rows = 1};
    if (!parse_state(state, &e, err)) return false;
    int64_t elements = e.rows * e.cols; // each at most 2^31
    if ((uint64_t)(elements + 1) / 2 != m->codes->bytes)
        return error_set(err, "tensor %s: has %zu bytes of codes, but its quant_state gives the shape [%lld, %lld]",
                         m->codes->source, m->codes->bytes, (long long)e.rows, (long long)e.cols);
    e.groups = encoding_groups(elements, e.group);
    const Tensor *map = module_need(m, ".weight.quant_map", err);
    if (!floats(map, 16, err) || !find_scales(m, &e, err)) return false;
    e.map = code_bytes(map);
    return module_put_matrix(m, &e, err);
}
