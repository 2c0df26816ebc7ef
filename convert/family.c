#include "convert/family.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static const Family *const families[] = {&family_llama};
enum { FAMILIES = sizeof families / sizeof *families };

static const char *supported(char *buf, size_t size) {
    size_t n = 0;
    buf[0] = 0;
    for (int i = 0; i < FAMILIES && n < size; i++)
        n += (size_t)snprintf(buf + n, size - n, i ? ", %s" : "%s", families[i]->name);
    return buf;
}

const Family *family_find(const cJSON *config, Error *err) {
    char names[256];
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
    char names[256];
    size_t n = 0;
    GgufText architecture = {"", 0};
    if (!gguf_text(gguf, key, &architecture, err)) return NULL;
    for (int i = 0; i < FAMILIES; i++) {
        const Family *f = families[i];
        if (!f->describe_gguf) continue;
        if (gguf_text_is(architecture, f->name)) return f;
        if (n < sizeof names) n += (size_t)snprintf(names + n, sizeof names - n, n ? ", %s" : "%s", f->name);
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

// Matches name against a pattern where '#' stands for a number without leading zeros; *digits and *length give it.
static bool match(const char *pattern, const char *name, const char **digits, size_t *length) {
    *digits = NULL;
    *length = 0;
    while (*pattern) {
        if (*pattern != '#') {
            if (*pattern++ != *name++) return false;
            continue;
        }
        size_t n = strspn(name, "0123456789");
        if (n == 0 || n > 6 || (n > 1 && *name == '0')) return false;
        *digits = name;
        *length = n;
        name += n;
        pattern++;
    }
    return *name == 0;
}

static const char *fill(const char *pattern, const char *digits, size_t length, char *buf, size_t size) {
    const char *hash = strchr(pattern, '#');
    if (hash)
        snprintf(buf, size, "%.*s%.*s%s", (int)(hash - pattern), pattern, (int)length, digits, hash + 1);
    else
        snprintf(buf, size, "%s", pattern);
    return buf;
}

const char *family_internal_name(const Family *family, const char *source, char *buf, size_t size) {
    const char *digits;
    size_t length;
    for (const NameMap *m = family->names; m->source; m++)
        if (match(m->source, source, &digits, &length))
            return m->internal ? fill(m->internal, digits, length, buf, size) : "";
    return NULL;
}

const char *family_source_name(const Family *family, const char *internal, char *buf, size_t size) {
    const char *digits;
    size_t length;
    for (const NameMap *m = family->names; m->source; m++)
        if (m->internal && match(m->internal, internal, &digits, &length))
            return fill(m->source, digits, length, buf, size);
    return internal;
}
