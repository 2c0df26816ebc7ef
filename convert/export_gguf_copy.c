// The metadata of a model that came out of a GGUF file, on its way into another.
#include "convert/export_gguf_parts.h"

#include <string.h>

// Said anew by whoever writes the file, or true of the old one alone.
static bool is_rewritten(GgufText key, bool quantized) {
    static const char *const rewritten[] = {"general.file_type", "general.quantization_version", "general.alignment"};
    static const char quantize[] = "quantize."; // how the blocks were made
    for (size_t i = 0; i < sizeof rewritten / sizeof *rewritten; i++)
        if (gguf_text_is(key, rewritten[i])) return true;
    return quantized && key.size > strlen(quantize) && memcmp(key.data, quantize, strlen(quantize)) == 0;
}

static bool was_quantized(const Model *model) {
    const cJSON *step;
    cJSON_ArrayForEach(step, model->recipe) {
        const char *name = json_text(step, "step");
        if (name && strcmp(name, "quant") == 0) return true;
    }
    return false;
}

bool gguf_add_copied(GgufMeta *meta, const Model *model, const char *pre, Error *err) {
    static const char pre_key[] = "tokenizer.ggml.pre";
    const ModelFile *file = model_file(model, GGUF_KEPT_METADATA);
    bool quantized = was_quantized(model);
    Gguf g;
    if (!gguf_read(file->data, file->size, NULL, &g, err))
        return error_prefix(err, "%s: %s", model->path, GGUF_KEPT_METADATA);
    for (size_t i = 0; i < g.value_count; i++) {
        const GgufValue *v = &g.values[i];
        if (!is_rewritten(v->key, quantized) && !(pre && gguf_text_is(v->key, pre_key)))
            gguf_meta_pair(meta, v->start, v->bytes);
    }
    if (pre) gguf_meta_text(meta, pre_key, pre, strlen(pre));
    gguf_free(&g);
    return true;
}
