// What most families' config.json say, in the words of each: the same numbers under transformers' common keys and under
// those of older families (its attribute_map).
#include "convert/family.h"

#include <string.h>

// The largest numbers that are read at all; formats/model_desc.c has the real limits, for .nib and for these alike.
static const int64_t INT_MAX_READ = INT64_C(1) << 40;

// The spellings of a key, the common one first; NULL ends.
enum { SPELLINGS = 6 };
typedef const char *const Key[SPELLINGS];
static Key layers_key = {"num_hidden_layers", "n_layer", "n_layers", "num_layers"};
static Key dim_key = {"hidden_size", "n_embd", "d_model"};
static Key ffn_key = {"intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size"};
static Key heads_key = {"num_attention_heads", "n_head", "n_heads", "num_heads"};
static Key kv_heads_key = {"num_key_value_heads", "num_kv_heads"};
static Key context_key = {"max_position_embeddings", "n_positions", "seq_length", "max_seq_len", "n_ctx"};
static Key eps_key = {"rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon", "norm_epsilon", "norm_eps"};
static Key activation_key = {"hidden_act", "activation_function", "hidden_activation", "activation"};

// The spelling that the config uses; the common one where it has none.
static const char *spelling(const cJSON *config, Key key) {
    for (int i = 0; i < SPELLINGS && key[i]; i++)
        if (json_member(config, key[i])) return key[i];
    return key[0];
}

static bool read_int(const cJSON *config, Key key, int64_t *value, Error *err) {
    return json_int(config, spelling(config, key), 1, INT_MAX_READ, value, err);
}

static bool needed_int(const cJSON *config, Key key, int64_t *value, Error *err) {
    if (!json_member(config, spelling(config, key))) return error_set(err, "\"%s\" is missing", key[0]);
    return read_int(config, key, value, err);
}

// An id, or a list of them (Llama 3's eos_token_id) of which the first is taken.
static bool read_id(const cJSON *config, const char *key, int64_t *id, Error *err) {
    const cJSON *m = json_member(config, key);
    if (!cJSON_IsArray(m)) return json_int(config, key, -1, INT_MAX_READ, id, err);
    if (!cJSON_IsNumber(m->child) || m->child->valuedouble != (double)m->child->valueint || m->child->valueint < 0)
        return error_set(err, "\"%s\" is neither an id nor a list of them", key);
    *id = m->child->valueint;
    return true;
}

static bool read_sizes(const cJSON *config, ModelDesc *d, Error *err) {
    if (!needed_int(config, layers_key, &d->layers, err) || !needed_int(config, dim_key, &d->dim, err) ||
        !needed_int(config, heads_key, &d->heads, err) ||
        !json_int(config, "vocab_size", 1, INT_MAX_READ, &d->vocab, err))
        return false;
    if (!d->vocab) return error_set(err, "\"vocab_size\" is missing");
    if (d->layers > LAYERS_MAX)
        return error_set(err, "layers is %lld, outside 1 to %d", (long long)d->layers, LAYERS_MAX);
    if (d->ffn_dim == FFN_FOUR_TIMES) d->ffn_dim = 4 * d->dim;
    if (!(d->ffn_dim ? read_int : needed_int)(config, ffn_key, &d->ffn_dim, err)) return false;
    if (!d->kv_heads || cJSON_GetObjectItemCaseSensitive(config, kv_heads_key[0])) d->kv_heads = d->heads;
    if (!d->head_dim) d->head_dim = d->dim / d->heads;
    if (!d->context) d->context = 2048;
    return read_int(config, kv_heads_key, &d->kv_heads, err) && read_int(config, context_key, &d->context, err);
}

bool describe_common(const cJSON *config, ModelDesc *d, Error *err) {
    bool head_dim_known = d->head_dim;
    if (!read_sizes(config, d, err)) return false;
    if (d->norm_eps == 0) d->norm_eps = 1e-6;
    d->bos = d->eos = -1;
    if (!json_int(config, "head_dim", 1, INT_MAX_READ, &d->head_dim, err) ||
        !json_double(config, spelling(config, eps_key), 0, 1, &d->norm_eps, err) ||
        !json_bool(config, "tie_word_embeddings", &d->tied, err) || !read_id(config, "bos_token_id", &d->bos, err) ||
        !read_id(config, "eos_token_id", &d->eos, err))
        return false;
    if (!head_dim_known && !json_member(config, "head_dim") && d->dim % d->heads)
        return error_set(err, "hidden_size %lld is no multiple of num_attention_heads %lld, and head_dim is not given",
                         (long long)d->dim, (long long)d->heads);

    const char *key = spelling(config, activation_key), *activation = json_text(config, key);
    if (activation && !activation_from_name(activation, &d->activation))
        return error_set(err, "the activation \"%.60s\" (%s) is not supported", activation, key);
    return true;
}

bool describe_layer_types(const cJSON *config, ModelDesc *d, bool *found, Error *err) {
    const cJSON *list = json_member(config, "layer_types"), *item;
    int64_t i = 0;
    *found = list != NULL;
    if (!list) return true;
    if (!cJSON_IsArray(list)) return error_set(err, "\"layer_types\" is not a list");
    for (item = list->child; item && i < d->layers && i < LAYERS_MAX; item = item->next, i++) {
        const char *type = cJSON_IsString(item) ? item->valuestring : "";
        if (strcmp(type, "sliding_attention") == 0)
            d->layer_kinds[i] |= LAYER_WINDOWED;
        else if (strcmp(type, "full_attention") != 0)
            return error_set(err,
                             "\"layer_types\": layer %lld has \"%.40s\"; those supported are: full_attention, "
                             "sliding_attention",
                             (long long)i, type);
    }
    if (item || i < d->layers)
        return error_set(err, "\"layer_types\" is not as long as the model, %lld layers", (long long)d->layers);
    return json_int(config, "sliding_window", 1, INT_MAX_READ, &d->window, err);
}

bool refuse_bool(const cJSON *config, const char *key, bool neutral, Error *err) {
    bool value = neutral;
    if (!json_bool(config, key, &value, err)) return false;
    return value == neutral || error_set(err, "\"%s\": %s is not supported", key, value ? "true" : "false");
}

bool refuse_number(const cJSON *config, const char *key, double neutral, Error *err) {
    double value = neutral;
    if (!json_double(config, key, -1e30, 1e30, &value, err)) return false;
    return value == neutral || error_set(err, "\"%s\": %g is not supported", key, value);
}
