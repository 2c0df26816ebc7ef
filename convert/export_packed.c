#include "convert/export_packed.h"

#include <stdio.h>
#include <string.h>

// "blk.0.attn_q.weight": the linear layers of attention and MLP. Embedding, head and routers are not packed, as is the
// convention of those who make such files.
static bool is_linear(const Tensor *t) {
    static const char *const layers[] = {"attn_q",   "attn_k", "attn_v",   "attn_output", "attn_qkv",
                                         "ffn_gate", "ffn_up", "ffn_down", NULL};
    const char *dot = strncmp(t->name, "blk.", 4) == 0 ? strchr(t->name + 4, '.') : NULL;
    if (!dot || t->dims != 2) return false;
    for (int i = 0; layers[i]; i++) {
        size_t n = strlen(layers[i]);
        if (strncmp(dot + 1, layers[i], n) == 0 && strcmp(dot + 1 + n, ".weight") == 0) return true;
    }
    return false;
}

bool packed_use(const ExportPack *pack, const Tensor *t, PackedUse *use, Error *err) {
    enum { ROWS = 8 }; // what packing along the rows needs, and engines' kernels
    *use = USE_PLAIN;
    if (!is_linear(t)) return true;
    char shape[96];
    *use = tensor_cols(t) % pack->grid.group || tensor_rows(t) % ROWS ? USE_UNDIVIDED : USE_PACKED;
    if (*use == USE_UNDIVIDED && !pack->keep_undivided)
        return error_set(err,
                         "tensor %s %s: groups of %lld do not divide its width, or %d its rows; choose a smaller "
                         "--group, or --keep-undivided to leave such matrices in 16 bits",
                         tensor_label(t), tensor_shape_text(t, shape), (long long)pack->grid.group, ROWS);
    if (*use == USE_PACKED && dtype_is_block(t->type) && !packed_carries(t, &pack->grid) && !pack->requantize)
        return error_set(
            err,
            "tensor %s is in %s already; --requantize rounds it again (only q4_0 and q8_0 are carried over "
            "exactly, to 4 or 8 bits, --group 32, symmetric, --dtype f16)",
            tensor_label(t), dtype_name(t->type));
    return true;
}

const PackedPart *packed_order(const ExportPack *pack) {
    static const PackedPart symmetric[] = {PART_WEIGHT_PACKED, PART_WEIGHT_SCALE, PART_NONE};
    static const PackedPart affine[] = {PART_WEIGHT_PACKED, PART_WEIGHT_ZERO_POINT, PART_WEIGHT_SCALE, PART_NONE};
    static const PackedPart gptq[] = {PART_QWEIGHT, PART_QZEROS, PART_G_IDX, PART_SCALES, PART_NONE};
    return pack->layout == PACK_GPTQ ? gptq : pack->grid.symmetric ? symmetric : affine;
}

// ---- quantization_config

static bool fill_weights(cJSON *w, const GroupGrid *grid) {
    return cJSON_AddNumberToObject(w, "num_bits", grid->bits) && cJSON_AddStringToObject(w, "type", "int") &&
           cJSON_AddBoolToObject(w, "symmetric", grid->symmetric) && cJSON_AddStringToObject(w, "strategy", "group") &&
           cJSON_AddNumberToObject(w, "group_size", (double)grid->group) && cJSON_AddFalseToObject(w, "dynamic");
}

static bool fill_compressed(cJSON *config, const ExportPack *pack, const char *const *plain, size_t count) {
    static const char *const targets[] = {"Linear"};
    cJSON *groups = cJSON_AddObjectToObject(config, "config_groups");
    cJSON *group = cJSON_AddObjectToObject(groups, "group_0");
    cJSON *list = cJSON_CreateStringArray(targets, 1), *ignore = NULL;
    if (!cJSON_AddItemToObject(group, "targets", list)) {
        cJSON_Delete(list);
        return false;
    }
    bool ok = fill_weights(cJSON_AddObjectToObject(group, "weights"), &pack->grid) &&
              cJSON_AddNullToObject(group, "input_activations") && cJSON_AddNullToObject(group, "output_activations") &&
              (ignore = cJSON_AddArrayToObject(config, "ignore"));
    for (size_t i = 0; ok && i <= count; i++)
        ok = cJSON_AddItemToArray(ignore, cJSON_CreateString(i < count ? plain[i] : "lm_head"));
    return ok && cJSON_AddStringToObject(config, "quant_method", "compressed-tensors") &&
           cJSON_AddStringToObject(config, "format", "pack-quantized") &&
           cJSON_AddStringToObject(config, "quantization_status", "compressed");
}

// Modules that stay as they are, each as an expression that matches it: "-:^model\.layers\.0\.mlp\.down_proj$".
static bool fill_dynamic(cJSON *config, const char *const *plain, size_t count) {
    cJSON *dynamic = count ? cJSON_AddObjectToObject(config, "dynamic") : config;
    for (size_t i = 0; dynamic && i < count; i++) {
        char key[600];
        size_t n = (size_t)snprintf(key, sizeof key, "-:^");
        for (const char *c = plain[i]; *c && n + 4 < sizeof key; c++) {
            if (*c == '.') key[n++] = '\\';
            key[n++] = *c;
        }
        key[n++] = '$';
        key[n] = 0;
        if (!cJSON_AddObjectToObject(dynamic, key)) return false;
    }
    return dynamic;
}

static bool fill_gptq(cJSON *config, const ExportPack *pack, const char *const *plain, size_t count) {
    return cJSON_AddStringToObject(config, "quant_method", "gptq") &&
           cJSON_AddNumberToObject(config, "bits", pack->grid.bits) &&
           cJSON_AddNumberToObject(config, "group_size", (double)pack->grid.group) &&
           cJSON_AddFalseToObject(config, "desc_act") && cJSON_AddBoolToObject(config, "sym", pack->grid.symmetric) &&
           cJSON_AddFalseToObject(config, "lm_head") && cJSON_AddStringToObject(config, "checkpoint_format", "gptq") &&
           cJSON_AddStringToObject(config, "pack_dtype", "int32") && fill_dynamic(config, plain, count);
}

cJSON *packed_config(const ExportPack *pack, const char *const *plain, size_t count) {
    cJSON *config = cJSON_CreateObject();
    if ((pack->layout == PACK_GPTQ ? fill_gptq : fill_compressed)(config, pack, plain, count)) return config;
    cJSON_Delete(config);
    return NULL;
}
