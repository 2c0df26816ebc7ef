#include "convert/open.h"

#include "convert/encodings.h"
#include "convert/family.h"
#include "convert/open_gguf.h"
#include "core/mem.h"
#include "formats/huggingface.h"
#include "formats/nib.h"
#include <stdio.h>
#include <string.h>

enum { CONFIG_VALUES = 100000 };

static cJSON *config_read(const Model *model, Error *err) {
    const ModelFile *file = model_file(model, "config.json");
    if (!file) {
        error_set(err, "%s: has no config.json: not a Hugging Face model directory?", model->path);
        return NULL;
    }
    const char *text = (const char *)file->data;
    cJSON *config = json_bounded(text, file->size, CONFIG_VALUES, err) ? json_parse(text, file->size, err) : NULL;
    if (config && cJSON_IsObject(config)) return config;
    if (config) error_set(err, "is not a JSON object");
    cJSON_Delete(config);
    error_prefix(err, "%s/config.json", model->path);
    return NULL;
}

static const Family *describe(Model *model, const cJSON *config, Error *err) {
    const Family *family = family_find(config, err);
    if (!family || !family->describe(config, &model->desc, err) || !model_desc_check(&model->desc, err)) {
        error_prefix(err, "%s/config.json", model->path);
        return NULL;
    }
    snprintf(model->desc.family, sizeof model->desc.family, "%s", family->name);
    return family;
}

// Tensors with equal bytes: a tied head that was saved as well.
static bool same_bytes(const Tensor *a, const Tensor *b) {
    return a && !a->layout && !b->layout && a->type == b->type && a->bytes == b->bytes &&
           memcmp(a->data, b->data, a->bytes) == 0;
}

static bool add_tensor(Model *model, const Family *family, const cJSON *config, const TensorFile *shard,
                       const Tensor *t, Error *err) {
    bool known;
    if (family->leave_out && family->leave_out(config, &model->desc, t->source)) return true;
    if (!names_add(family->names, family->starts, t, model, &known, err))
        return error_prefix(err, "%s", shard->map->path);
    return known ||
           error_set(err, "%s: tensor %s is none that the family %s has", shard->map->path, t->source, family->name);
}

// The tensor that the source has for an internal one.
static const Tensor *find_source(const Family *family, const HfWeights *w, const char *internal) {
    char name[MODEL_NAME], start[MODEL_NAME];
    family_source_name(family, internal, name, sizeof name);
    for (size_t i = 0; i < w->count; i++) {
        const Tensor *t = tensor_file_find(w->shards[i], name);
        for (const NameStart *s = family->starts; !t && s && s->to; s++) {
            size_t n = strlen(s->to);
            if (strncmp(name, s->to, n) != 0) continue;
            snprintf(start, sizeof start, "%s%.200s", s->from, name + n);
            t = tensor_file_find(w->shards[i], start);
        }
        if (t) return t;
    }
    return NULL;
}

// Where the config ties the head to the embedding, transformers does so whatever an lm_head.weight in the file says.
// One that holds the same bytes is left out; a different one means that config and weights do not belong together.
static bool check_tied_head(const Model *model, const Family *family, const HfWeights *w, const Tensor **head,
                            Error *err) {
    *head = NULL;
    if (!model->desc.tied) return true;
    *head = find_source(family, w, "output.weight");
    const Tensor *embedding = find_source(family, w, "token_embd.weight");
    if (!*head || !embedding || same_bytes(embedding, *head)) return true;
    return error_set(
        err,
        "%s: the config ties the head to the embedding (tie_word_embeddings), but %s differs from %s: set it "
        "to false in config.json if the head is its own",
        model->path, (*head)->source, embedding->source);
}

static bool add_weights(Model *model, const Family *family, const cJSON *config, HfWeights *w, Error *err) {
    const Tensor *tied_head;
    if (!check_tied_head(model, family, w, &tied_head, err)) return false;
    for (size_t s = 0; s < w->count; s++) {
        TensorFile *shard = w->shards[s];
        for (size_t i = 0; i < shard->count; i++)
            if (&shard->tensors[i] != tied_head && !add_tensor(model, family, config, shard, &shard->tensors[i], err))
                return false;
        if (!model_add_map(model, shard->map, err)) return false;
        model->file_bytes += shard->map->size;
        shard->map = NULL; // the model's now
        while (shard->buffer_count) {
            if (!model_add_buffer(model, shard->buffers[shard->buffer_count - 1], err)) return false;
            shard->buffer_count--; // likewise
        }
    }
    if (family->add_tensors && !family->add_tensors(config, model, err))
        return error_prefix(err, "%s/config.json", model->path);
    char name[MODEL_NAME], buf[MODEL_NAME];
    if (model_missing(model, name))
        return error_set(err, "%s: tensor %s is missing", model->path,
                         family_source_name(family, name, buf, sizeof buf));
    return model_check(model, err);
}

static bool open_directory(Model *model, Error *err) {
    HfWeights weights;
    if (!hf_read_files(model->path, model, err)) return false;
    cJSON *config = config_read(model, err);
    const Family *family = config ? describe(model, config, err) : NULL;
    bool ok = family && hf_open_weights(model->path, &weights, err);
    if (ok) {
        ok = encodings_apply(model, &weights, err) && add_weights(model, family, config, &weights, err);
        hf_close_weights(&weights);
    }
    cJSON_Delete(config);
    return ok;
}

static bool check_path(const char *path, Error *err) {
    return file_exists(path) || error_set(err, "%s: there is no such file or directory", path);
}

Model *model_open(const char *path, Error *err) {
    if (!check_path(path, err)) return NULL;
    if (!file_is_directory(path)) {
        if (nib_is(path)) return nib_open(path, err);
        if (gguf_is(path)) return open_gguf(path, err);
        error_set(err, "%s: is neither a .nib file nor a GGUF file nor a directory with a Hugging Face model", path);
        return NULL;
    }
    Model *model = model_new(path, err);
    if (!model || open_directory(model, err)) return model;
    model_free(model);
    return NULL;
}

Model *model_open_tokenizer(const char *path, Error *err) {
    if (!check_path(path, err)) return NULL;
    if (!file_is_directory(path)) return gguf_is(path) ? open_gguf_tokenizer(path, err) : model_open(path, err);
    Model *model = model_new(path, err);
    if (!model || hf_read_files(path, model, err)) return model;
    model_free(model);
    return NULL;
}
