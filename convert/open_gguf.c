#include "convert/open_gguf.h"

#include "convert/family.h"
#include "core/mem.h"
#include <stdio.h>
#include <string.h>

static bool add_files(Model *model, const Gguf *g, Error *err) {
    size_t size;
    GgufText template = {NULL, 0};
    if (!gguf_text(g, "tokenizer.chat_template", &template, err)) return false;
    uint8_t *metadata = gguf_metadata(g, &size, err);
    bool ok = metadata && model_add_file(model, "tokenizer.gguf", metadata, size, err);
    mem_free(metadata);
    return ok && (!template.size || model_add_file(model, "chat_template.jinja", template.data, template.size, err));
}

// Under GGUF's names, which are the internal ones but for what is fused.
static bool add_tensors(Model *model, GgufSet *set, Error *err) {
    for (size_t p = 0; p < set->count; p++) {
        Gguf *part = &set->parts[p];
        for (size_t i = 0; i < part->tensor_count; i++) {
            Tensor *t = &part->tensors[i], own = *t;
            own.name = mem_text(t->source, strlen(t->source), err);
            if (!own.name || !model_add_tensor(model, &own, err)) {
                mem_free(own.name);
                return false;
            }
            t->source = NULL; // the model's now, as is the map
        }
        if (!model_add_map(model, part->map, err)) return false;
        model->file_bytes += part->map->size;
        part->map = NULL;
    }
    return true;
}

static bool take_one_apart(Model *model, const NameMap *names, Tensor *t, Error *err) {
    bool known;
    if (!names_add(names, NULL, t, model, &known, err)) return false;
    if (known) return true;
    if (!model_add_tensor(model, t, err)) return false;
    t->name = t->source = NULL; // the model's now
    return true;
}

// What GGUF has fused becomes the tensors that it is made of.
static bool take_apart(Model *model, const NameMap *names, Error *err) {
    Tensor *tensors;
    size_t count;
    if (!names) return true;
    model_take_tensors(model, &tensors, &count);
    bool ok = true;
    for (size_t i = 0; i < count; i++) {
        ok = ok && take_one_apart(model, names, &tensors[i], err);
        mem_free(tensors[i].name);
        mem_free(tensors[i].source);
    }
    mem_free(tensors);
    return ok;
}

static bool describe(Model *model, const Gguf *g, Error *err) {
    GgufText type = {"model", 5};
    if (!gguf_text(g, "general.type", &type, err)) return false;
    if (!gguf_text_is(type, "model"))
        return error_set(err, "holds a \"%.*s\" (general.type), not a model", type.size < 60 ? (int)type.size : 60,
                         type.data);
    const Family *family = family_find_gguf(g, err);
    if (!family) return false;
    if (!model->tensor_count)
        return error_set(err, "has no tensors, only a vocabulary; nibble tokenize is all that it is good for");
    snprintf(model->desc.family, sizeof model->desc.family, "%s", family->name);
    return gguf_describe(g, family->gguf, model, err) && model_desc_check(&model->desc, err) &&
           take_apart(model, family->gguf->names, err);
}

// The whole file, or only what the tokenizer needs. Metadata points into the first part's map, which the model takes.
static bool load(Model *model, bool whole, Error *err) {
    GgufSet set;
    if (!gguf_set_open(model->path, &set, err)) return false;
    bool ok = add_files(model, &set.parts[0], err);
    if (whole) ok = ok && add_tensors(model, &set, err) && describe(model, &set.parts[0], err);
    gguf_set_close(&set);
    if (!ok) return error_prefix(err, "%s", model->path);
    return !whole || model_check(model, err);
}

static Model *open(const char *path, bool whole, Error *err) {
    Model *model = model_new(path, err);
    if (!model || load(model, whole, err)) return model;
    model_free(model);
    return NULL;
}

Model *open_gguf(const char *path, Error *err) { return open(path, true, err); }
Model *open_gguf_tokenizer(const char *path, Error *err) { return open(path, false, err); }
