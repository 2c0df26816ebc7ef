// nibble info: what is in a model, for people and as JSON. Both are made from one report.
#include "cli/cli.h"
#include "convert/encodings.h"
#include "convert/open.h"
#include "core/size.h"
#include <stdio.h>

static cJSON *shape_json(const Tensor *t) {
    cJSON *shape = cJSON_CreateArray();
    for (int i = 0; shape && i < t->dims; i++) cJSON_AddItemToArray(shape, cJSON_CreateNumber((double)t->shape[i]));
    return shape;
}

static void add_tensors(cJSON *report, const Model *model) {
    char hex[HASH_HEX];
    cJSON *list = cJSON_AddArrayToObject(report, "tensors");
    for (size_t i = 0; i < model->tensor_count; i++) {
        const Tensor *t = &model->tensors[i];
        cJSON *entry = cJSON_CreateObject();
        cJSON_AddStringToObject(entry, "name", t->name);
        cJSON_AddStringToObject(entry, "source", tensor_label(t));
        cJSON_AddStringToObject(entry, "type", dtype_name(t->type));
        cJSON_AddItemToObject(entry, "shape", shape_json(t));
        cJSON_AddNumberToObject(entry, "bytes", (double)t->bytes);
        if (t->has_hash) cJSON_AddStringToObject(entry, "xxh3", hash_hex(t->hash, hex));
        cJSON_AddItemToArray(list, entry);
    }
}

// How many tensors, elements and bytes of each type there are.
static void add_types(cJSON *report, const Model *model) {
    cJSON *types = cJSON_AddObjectToObject(report, "types");
    for (int type = 0; type < DT_COUNT; type++) {
        double count = 0, elements = 0, bytes = 0;
        for (size_t i = 0; i < model->tensor_count; i++) {
            const Tensor *t = &model->tensors[i];
            if (t->type != (DType)type) continue;
            count++;
            elements += (double)tensor_elements(t);
            bytes += (double)t->bytes;
        }
        if (count == 0) continue;
        cJSON *entry = cJSON_AddObjectToObject(types, dtype_name((DType)type));
        cJSON_AddNumberToObject(entry, "tensors", count);
        cJSON_AddNumberToObject(entry, "elements", elements);
        cJSON_AddNumberToObject(entry, "bytes", bytes);
    }
}

static cJSON *report_make(const Model *model) {
    char hex[HASH_HEX];
    double elements = 0;
    for (size_t i = 0; i < model->tensor_count; i++) elements += (double)tensor_elements(&model->tensors[i]);
    cJSON *report = cJSON_CreateObject();
    cJSON_AddStringToObject(report, "path", model->path);
    cJSON_AddNumberToObject(report, "file_bytes", (double)model->file_bytes);
    cJSON_AddNumberToObject(report, "tensor_bytes", (double)model_tensor_bytes(model));
    cJSON_AddNumberToObject(report, "parameters", elements);
    cJSON_AddNumberToObject(report, "bits_per_weight", model_bits_per_weight(model));
    if (model->has_identity) cJSON_AddStringToObject(report, "identity", hash_hex(model->identity, hex));
    cJSON_AddItemToObject(report, "model", model_desc_write(&model->desc));
    char encoding[ENCODING_TEXT];
    if (encodings_text(model, encoding)) cJSON_AddStringToObject(report, "source_encoding", encoding);
    add_types(report, model);
    cJSON *files = cJSON_AddArrayToObject(report, "files");
    for (size_t i = 0; i < model->file_count; i++) {
        cJSON *entry = cJSON_CreateObject();
        cJSON_AddStringToObject(entry, "name", model->files[i].name);
        cJSON_AddNumberToObject(entry, "bytes", (double)model->files[i].size);
        cJSON_AddItemToArray(files, entry);
    }
    cJSON_AddItemToObject(report, "recipe", cJSON_Duplicate(model->recipe, true));
    cJSON_AddItemToObject(report, "sources",
                          model->sources ? cJSON_Duplicate(model->sources, true) : cJSON_CreateArray());
    add_tensors(report, model);
    return report;
}

// ---- for people

static void print_model(const Model *model) {
    const ModelDesc *d = &model->desc;
    char file[32], tensors[32];
    double elements = 8 * (double)model_tensor_bytes(model) / model_bits_per_weight(model);
    printf("%s: %s model, %.4g M parameters\n", model->path, d->family, elements / 1e6);
    printf("  size       %s on disk, %s of tensors, %.4f bits per weight\n", size_text(model->file_bytes, file),
           size_text(model_tensor_bytes(model), tensors), model_bits_per_weight(model));
    printf("  layers     %lld of width %lld; %lld heads of %lld (%lld for keys and values); MLP %lld wide, %s\n",
           (long long)d->layers, (long long)d->dim, (long long)d->heads, (long long)d->head_dim, (long long)d->kv_heads,
           (long long)d->ffn_dim, activation_name(d->activation));
    printf("  vocabulary %lld, the head %s\n", (long long)d->vocab, d->tied ? "tied to the embedding" : "its own");
    printf("  context    %lld, rotary base %g", (long long)d->context, d->rope.theta);
    if (d->rope.scaling != ROPE_PLAIN) printf(", scaling %s", rope_scaling_name(d->rope.scaling));
    if (d->rope.factor > 0) printf(" by %g", d->rope.factor);
    printf("\n");
}

static void print_types(const cJSON *types) {
    char text[32];
    const cJSON *t;
    cJSON_ArrayForEach(t, types)
        printf("  %-10s %4.0f tensors, %s\n", t->string, json_member(t, "tensors")->valuedouble,
               size_text((uint64_t)json_member(t, "bytes")->valuedouble, text));
}

// {"file": "model.safetensors", "bytes": 9} as "file model.safetensors, bytes 9".
static void print_object(const char *label, const cJSON *object) {
    printf("  %-10s", label);
    const cJSON *m;
    cJSON_ArrayForEach(m, object) {
        char *value = cJSON_IsString(m) ? NULL : cJSON_PrintUnformatted(m);
        printf("%s %s %s", m == object->child ? "" : ",", m->string, value ? value : m->valuestring);
        cJSON_free(value);
    }
    printf("\n");
}

static void print_list(const char *label, const cJSON *list) {
    const cJSON *m;
    cJSON_ArrayForEach(m, list) print_object(m == list->child ? label : "", m);
}

static void print_tensors(const Model *model) {
    char shape[96];
    for (size_t i = 0; i < model->tensor_count; i++) {
        const Tensor *t = &model->tensors[i];
        printf("  %-28s %-7s %-18s %s\n", t->name, dtype_name(t->type), tensor_shape_text(t, shape), tensor_label(t));
    }
}

static int run(int argc, char **argv) {
    const char *json = NULL;
    bool tensors = false;
    const Option options[] = {
        {"tensors", 0, OPT_FLAG, &tensors, NULL, "list every tensor", 0, 0},
        {"json", 0, OPT_TEXT, &json, "FILE", "the report as JSON; - for standard output", 0, 0},
        {NULL, 0, OPT_FLAG, NULL, NULL, NULL, 0, 0},
    };
    int operands, code = options_parse(&command_info, options, argc, argv, &operands);
    if (code >= 0) return code;
    if (operands != 1) return usage_error(&command_info, operands ? "one MODEL at a time" : "which MODEL?");

    Error err = {0};
    Model *model = model_open(argv[0], &err);
    if (!model) return fail(&err);
    cJSON *report = report_make(model);
    bool ok = !json || report_write_json(json, report, &err);
    if (!json || (ok && json[0] != '-')) {
        print_model(model);
        const char *encoding = json_text(report, "source_encoding");
        if (encoding) printf("  encoding   the source's: %s\n", encoding);
        print_types(json_member(report, "types"));
        print_list("file", json_member(report, "files"));
        print_list("recipe", json_member(report, "recipe"));
        print_list("source", json_member(report, "sources"));
        if (tensors) print_tensors(model);
    }
    cJSON_Delete(report);
    model_free(model);
    return ok ? EXIT_DONE : fail(&err);
}

const Command command_info = {
    .name = "info",
    .summary = "say what is in a model: shapes, types, sizes, where it came from",
    .usage = "MODEL [--tensors] [--json FILE]",
    .examples = "  nibble info smol.nib\n"
                "  nibble info ./SmolLM2-135M --tensors\n"
                "  nibble info smol.nib --json - | jq .recipe\n",
    .run = run,
};
