#include "convert/family.h"

#include <stdio.h>
#include <string.h>

static const Family *const families[] = {
    &family_llama,   &family_mistral,     &family_mixtral,     &family_qwen2,
    &family_qwen3,   &family_qwen3_moe,   &family_smollm3,     &family_granite,
    &family_olmo,    &family_olmo2,       &family_starcoder2,  &family_gemma,
    &family_gemma2,  &family_gemma3_text, &family_gemma3,      &family_phi,
    &family_phi3,    &family_stablelm,    &family_cohere,      &family_cohere2,
    &family_gpt2,    &family_bloom,       &family_opt,         &family_gptj,
    &family_gptneox, &family_falcon,      &family_refined_web, &family_refined_web_model,
    &family_gpt_oss, &family_deepseek_v2, &family_deepseek_v3, &family_kimi_k2,
};
enum { FAMILIES = sizeof families / sizeof *families };

static const char *supported(char *buf, size_t size) {
    size_t n = 0;
    buf[0] = 0;
    for (int i = 0; i < FAMILIES && n < size; i++)
        n += (size_t)snprintf(buf + n, size - n, i ? ", %s" : "%s", families[i]->name);
    return buf;
}

const Family *family_find(const cJSON *config, Error *err) {
    char names[1024];
    const char *type = json_text(config, "model_type");
    const cJSON *list = json_member(config, "architectures");
    const char *architecture = cJSON_IsArray(list) && cJSON_IsString(list->child) ? list->child->valuestring : NULL;
    for (int i = 0; i < FAMILIES; i++) {
        const Family *f = families[i];
        if (type ? strcmp(f->name, type) == 0 : architecture && strcmp(f->architecture, architecture) == 0) return f;
    }
    if (!type && !architecture)
        error_set(err, "names no family (model_type); those supported are: %s", supported(names, sizeof names));
    else
        error_set(err, "the family \"%.60s\" is not supported; those supported are: %s", type ? type : architecture,
                  supported(names, sizeof names));
    return NULL;
}

const Family *family_find_gguf(const Gguf *gguf, Error *err) {
    static const char key[] = "general.architecture";
    char names[1024];
    size_t n = 0;
    GgufText architecture = {"", 0};
    if (!gguf_text(gguf, key, &architecture, err)) return NULL;
    for (int i = 0; i < FAMILIES; i++) {
        const Family *f = families[i];
        if (!f->gguf) continue;
        if (gguf_text_is(architecture, f->gguf->name)) return f;
        if (n < sizeof names) n += (size_t)snprintf(names + n, sizeof names - n, n ? ", %s" : "%s", f->gguf->name);
    }
    error_set(err, "the architecture \"%.*s\" (%s) is not supported in GGUF files; those supported are: %s",
              architecture.size < 60 ? (int)architecture.size : 60, architecture.data, key, names);
    return NULL;
}

const Family *family_by_name(const char *name) {
    for (int i = 0; i < FAMILIES; i++)
        if (strcmp(families[i]->name, name) == 0) return families[i];
    return NULL;
}

const char *family_source_name(const Family *family, const char *internal, char *buf, size_t size) {
    NameNumbers numbers;
    for (const NameMap *m = family->names; m->source; m++)
        if (m->internal && name_match(m->internal, internal, &numbers))
            return name_fill(m->source, &numbers, buf, size);
    return internal;
}
