#include "convert/export_hf_made.h"

#include "convert/export_gguf_parts.h"
#include "formats/tokenizer_gguf.h"
#include "formats/tokenizer_json_write.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- config.json

// GGUF's numbers are f32: the shortest decimal that is the same one, as people wrote it before ("1e-05").
static double shortest(double value) {
    char text[32];
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtof(text, NULL) == (float)value) return strtod(text, NULL);
    }
    return value;
}

// Llama 3.1's scaling and 3.2's, whose factors a GGUF has as a tensor, with nothing said of where they came from.
static const double llama3_factors[] = {8, 32};

static bool is_llama3(const Model *model, const CastKernels *kernels, double factor, Rope *rope) {
    enum { MOST = 256 }; // Llama 3's is 64
    const Tensor *t = model_tensor(model, "rope_freqs.weight");
    float found[MOST], expected[MOST];
    ModelDesc desc = model->desc;
    desc.rope = (Rope){.theta = model->desc.rope.theta,
                       .scaling = ROPE_LLAMA3,
                       .factor = factor,
                       .low_freq_factor = 1,
                       .high_freq_factor = 4,
                       .original_context = 8192};
    if (!t || dtype_is_block(t->type) || desc.head_dim / 2 > MOST) return false;
    gguf_rope_factors(&desc, expected);
    kernels->widen(t->type, t->data, found, desc.head_dim / 2);
    for (int64_t i = 0; i < desc.head_dim / 2; i++)
        if (!(fabsf(found[i] - expected[i]) <= 1e-5f * expected[i])) return false;
    *rope = desc.rope;
    return true;
}

static bool find_rope(const Model *model, const CastKernels *kernels, Rope *rope, Error *err) {
    *rope = model->desc.rope;
    if (rope->scaling != ROPE_FACTORS) return true;
    for (size_t i = 0; i < sizeof llama3_factors / sizeof *llama3_factors; i++)
        if (is_llama3(model, kernels, llama3_factors[i], rope)) return true;
    return error_set(err, "its rotary factors (rope_freqs.weight) are not those of Llama 3.1 or 3.2, and config.json "
                          "cannot say others; export it to GGUF");
}

static bool add_rope(cJSON *config, const Rope *r) {
    if (!cJSON_AddNumberToObject(config, "rope_theta", shortest(r->theta))) return false;
    if (r->scaling == ROPE_PLAIN) return true;
    cJSON *scaling = cJSON_AddObjectToObject(config, "rope_scaling");
    const struct {
        const char *key;
        double value;
        bool there;
    } numbers[] = {
        {"factor", shortest(r->factor), true},
        {"original_max_position_embeddings", (double)r->original_context, r->scaling != ROPE_LINEAR},
        {"beta_fast", shortest(r->beta_fast), r->scaling == ROPE_YARN},
        {"beta_slow", shortest(r->beta_slow), r->scaling == ROPE_YARN},
        {"low_freq_factor", r->low_freq_factor, r->scaling == ROPE_LLAMA3},
        {"high_freq_factor", r->high_freq_factor, r->scaling == ROPE_LLAMA3},
    };
    bool ok = cJSON_AddStringToObject(scaling, "rope_type", rope_scaling_name(r->scaling));
    for (size_t i = 0; ok && i < sizeof numbers / sizeof *numbers; i++)
        ok = !numbers[i].there || cJSON_AddNumberToObject(scaling, numbers[i].key, numbers[i].value);
    return ok;
}

static bool fill_config(cJSON *config, const ModelDesc *d, const Rope *rope) {
    const struct {
        const char *key;
        int64_t value; // -1: left out
    } numbers[] = {
        {"hidden_size", d->dim},           {"intermediate_size", d->ffn_dim},       {"num_hidden_layers", d->layers},
        {"num_attention_heads", d->heads}, {"num_key_value_heads", d->kv_heads},    {"head_dim", d->head_dim},
        {"vocab_size", d->vocab},          {"max_position_embeddings", d->context}, {"bos_token_id", d->bos},
        {"eos_token_id", d->eos}};
    static const char *const architectures[] = {"LlamaForCausalLM"};
    cJSON *names = cJSON_CreateStringArray(architectures, 1);
    bool ok = names && cJSON_AddItemToObject(config, "architectures", names) &&
              cJSON_AddStringToObject(config, "model_type", "llama") &&
              cJSON_AddStringToObject(config, "hidden_act", "silu");
    for (size_t i = 0; ok && i < sizeof numbers / sizeof *numbers; i++)
        ok = numbers[i].value < 0 || cJSON_AddNumberToObject(config, numbers[i].key, (double)numbers[i].value);
    return ok && cJSON_AddNumberToObject(config, "rms_norm_eps", shortest(d->norm_eps)) && add_rope(config, rope) &&
           cJSON_AddBoolToObject(config, "tie_word_embeddings", d->tied) &&
           cJSON_AddBoolToObject(config, "attention_bias", d->qkv_bias) &&
           cJSON_AddBoolToObject(config, "mlp_bias", d->mlp_bias);
}

static bool check_describable(const ModelDesc *d, Error *err) {
    if (strcmp(d->family, "llama") != 0)
        return error_set(err,
                         "came out of a GGUF file, and config.json can be made for the family llama alone, not for "
                         "%s; export it to GGUF, or the Hugging Face model that it was made from",
                         d->family);
    if (d->activation != ACT_SILU || d->qkv_bias != d->attn_output_bias)
        return error_set(err, "has biases or an activation that config.json of the family llama cannot say");
    return true;
}

cJSON *hf_make_config(const Model *model, const CastKernels *kernels, Error *err) {
    Rope rope;
    if (!check_describable(&model->desc, err) || !find_rope(model, kernels, &rope, err)) {
        error_prefix(err, "%s", model->path);
        return NULL;
    }
    cJSON *config = cJSON_CreateObject();
    if (fill_config(config, &model->desc, &rope)) return config;
    cJSON_Delete(config);
    error_set(err, "out of memory");
    return NULL;
}

// ---- the tokenizer

cJSON *hf_make_tokenizer(const Model *model, Error *err) {
    const ModelFile *file = model_file(model, GGUF_KEPT_METADATA);
    TokenizerSpec spec;
    if (!tokenizer_gguf_read(file->data, file->size, &spec, err)) {
        error_prefix(err, "%s", model->path);
        return NULL;
    }
    cJSON *json = tokenizer_json_write(&spec, err);
    if (!json) error_prefix(err, "%s: tokenizer.json cannot be made from the vocabulary inside", model->path);
    tokenizer_spec_free(&spec);
    return json;
}

// The text of the token whose id metadata[id_key] is, as config[key]; left out where there is none.
static bool add_token(cJSON *config, const char *key, const Gguf *g, const char *id_key, Error *err) {
    const GgufValue *tokens = gguf_array(g, "tokenizer.ggml.tokens", GGUF_TEXT, err);
    int64_t id = -1;
    if (!tokens || !gguf_int(g, id_key, 0, INT64_MAX, &id, err)) return false;
    if (id < 0 || (uint64_t)id >= tokens->count) return true;
    const uint8_t *at = tokens->data;
    GgufText text = gguf_text_next(&at);
    for (int64_t i = 0; i < id; i++) text = gguf_text_next(&at);
    char copy[256];
    if (text.size >= sizeof copy || memchr(text.data, 0, text.size))
        return error_set(err, "the token of metadata \"%s\" is no short text", id_key);
    snprintf(copy, sizeof copy, "%.*s", (int)text.size, text.data);
    return cJSON_AddStringToObject(config, key, copy) || error_set(err, "out of memory");
}

static bool fill_tokenizer_config(cJSON *config, const Model *model, const Gguf *g, Error *err) {
    if (!cJSON_AddStringToObject(config, "tokenizer_class", "PreTrainedTokenizerFast") ||
        !cJSON_AddNumberToObject(config, "model_max_length", (double)model->desc.context) ||
        !cJSON_AddFalseToObject(config, "clean_up_tokenization_spaces"))
        return error_set(err, "out of memory");
    return add_token(config, "bos_token", g, "tokenizer.ggml.bos_token_id", err) &&
           add_token(config, "eos_token", g, "tokenizer.ggml.eos_token_id", err) &&
           add_token(config, "unk_token", g, "tokenizer.ggml.unknown_token_id", err) &&
           add_token(config, "pad_token", g, "tokenizer.ggml.padding_token_id", err);
}

cJSON *hf_make_tokenizer_config(const Model *model, Error *err) {
    const ModelFile *file = model_file(model, GGUF_KEPT_METADATA);
    Gguf g;
    if (!gguf_read(file->data, file->size, NULL, &g, err)) {
        error_prefix(err, "%s: %s", model->path, GGUF_KEPT_METADATA);
        return NULL;
    }
    cJSON *config = cJSON_CreateObject();
    if (!fill_tokenizer_config(config, model, &g, err)) {
        cJSON_Delete(config);
        config = NULL;
        error_prefix(err, "%s", model->path);
    }
    gguf_free(&g);
    return config;
}
