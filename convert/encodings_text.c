// How a source was quantized, in the words of its config.json.
#include "convert/encodings.h"

#include "convert/encoding.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef struct Text {
    char *at;
    size_t used;
} Text;

__attribute__((format(printf, 2, 3))) static void add(Text *t, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vsnprintf(t->at + t->used, ENCODING_TEXT - t->used, format, args);
    va_end(args);
    if (n > 0) t->used += (size_t)n < ENCODING_TEXT - t->used ? (size_t)n : ENCODING_TEXT - 1 - t->used;
}

// A number as the config has it, -2 where it has none: this is for reading, and has been checked where it matters.
static int number(const cJSON *config, const char *key) {
    const cJSON *m = json_member(config, key);
    return cJSON_IsNumber(m) ? m->valueint : -2;
}

static bool flag(const cJSON *config, const char *key) { return cJSON_IsTrue(json_member(config, key)); }

static void add_group(Text *t, int size) {
    if (size > 0) add(t, ", group %d", size);
    if (size == -1) add(t, ", one group a row");
}

static void add_integers(Text *t, const cJSON *c) {
    bool awq = strcmp(encoding_method(c), "awq") == 0;
    int bits = number(c, awq && json_member(c, "w_bit") ? "w_bit" : "bits");
    if (bits > 0) add(t, " %d-bit", bits);
    add_group(t, number(c, awq && json_member(c, "q_group_size") ? "q_group_size" : "group_size"));
    if (flag(c, "desc_act")) add(t, ", act-order");
    if (json_member(c, "sym")) add(t, flag(c, "sym") ? ", symmetric" : ", asymmetric");
}

static void add_compressed(Text *t, const cJSON *c) {
    const char *format = json_text(c, "format");
    if (format) add(t, " %.40s", format);
    const cJSON *scheme;
    int n = 0;
    cJSON_ArrayForEach(scheme, json_member(c, "config_groups")) {
        const cJSON *w = json_member(scheme, "weights");
        const char *type = json_text(w, "type"), *strategy = json_text(w, "strategy");
        if (!w || n++ == 3) continue;
        add(t, "%s %.10s%d", n > 1 ? ";" : "", type ? type : "", number(w, "num_bits"));
        if (number(w, "group_size") > 0)
            add_group(t, number(w, "group_size"));
        else if (strategy)
            add(t, ", a scale for each %.20s", strategy);
        if (json_member(w, "symmetric") && !flag(w, "symmetric")) add(t, ", asymmetric");
        const cJSON *order = json_member(w, "actorder");
        if (order && !cJSON_IsFalse(order)) add(t, ", act-order");
    }
}

static void add_bitsandbytes(Text *t, const cJSON *c) {
    const char *type = json_text(c, "bnb_4bit_quant_type");
    bool four = flag(c, "load_in_4bit") || flag(c, "_load_in_4bit");
    add(t, " %.10s", four ? (type ? type : "fp4") : "int8");
    if (four && flag(c, "bnb_4bit_use_double_quant")) add(t, ", double quantization");
}

static void add_float8(Text *t, const cJSON *c) {
    const cJSON *size = json_member(c, "weight_block_size");
    const char *format = json_text(c, "fmt"), *algorithm = json_text(c, "quant_algo");
    if (format) add(t, " %.10s", format);
    if (algorithm) add(t, " %.20s", algorithm);
    if (cJSON_GetArraySize(size) == 2)
        add(t, ", blocks of %d x %d", size->child->valueint, size->child->next->valueint);
}

bool encodings_text(const Model *model, char text[ENCODING_TEXT]) {
    cJSON *config;
    const cJSON *c;
    Text t = {text, 0};
    if (!encoding_config(model, &config, &c, NULL)) return false;
    if (c) {
        const char *method = encoding_method(c);
        add(&t, "%.40s", *method ? method : "quantized");
        if (strcmp(method, "gptq") == 0 || strcmp(method, "awq") == 0)
            add_integers(&t, c);
        else if (strcmp(method, "compressed-tensors") == 0)
            add_compressed(&t, c);
        else if (strcmp(method, "bitsandbytes") == 0)
            add_bitsandbytes(&t, c);
        else
            add_float8(&t, c);
    }
    for (char *p = text; p < text + t.used; p++) // one line, whatever the file says
        if ((unsigned char)*p < ' ' || *p == 127) *p = '?';
    bool found = c != NULL;
    cJSON_Delete(config);
    return found;
}
