// nibble quant: options in, a plan (quant/plan.h), the streaming job (cli/quant_job.h), a report (cli/quant_report.h).
#include "cli/cli.h"
#include "cli/quant_job.h"
#include "cli/quant_report.h"
#include "convert/open.h"
#include "core/mem.h"
#include "core/size.h"
#include <stdio.h>
#include <string.h>

enum { MAX_RULES = sizeof((OptionList *)0)->items / sizeof *((OptionList *)0)->items };

typedef struct QuantOptions {
    const char *output, *type, *embed_type, *output_type, *fallback, *json;
    OptionList only;
    bool allow_nonfinite, requantize;
} QuantOptions;

static bool read_type(const char *option, const char *text, DType *type, Error *err) {
    if (dtype_from_name(text, type) && plan_type_ok(*type)) return true;
    return error_set(err, "--%s %s: there is no such type; there are %s, f16, bf16 and f32", option, text,
                     dtype_block_names());
}

// "REGEX=TYPE": the type is what comes after the last '='. The pattern is a copy, to be freed.
static bool read_rule(const char *text, PlanRule *rule, Error *err) {
    const char *equals = strrchr(text, '=');
    if (!equals || equals == text) return error_set(err, "--only %s: must be REGEX=TYPE", text);
    if (!read_type("only", equals + 1, &rule->type, err)) return false;
    rule->pattern = mem_text(text, (size_t)(equals - text), err);
    return rule->pattern != NULL;
}

static bool read_request(const QuantOptions *o, PlanRequest *q, PlanRule rules[MAX_RULES], Error *err) {
    if (!read_type("type", o->type, &q->type, err)) return false;
    // Whoever asks for f16 wants it for all; the embedding and the head are worth 8 bits beside smaller blocks.
    q->embed_type = q->output_type = dtype_is_block(q->type) ? DT_Q8_0 : q->type;
    q->output_asked = o->output_type != NULL;
    q->has_fallback = o->fallback != NULL;
    q->requantize = o->requantize;
    q->rules = rules;
    if (o->embed_type && !read_type("embed-type", o->embed_type, &q->embed_type, err)) return false;
    if (o->output_type && !read_type("output-type", o->output_type, &q->output_type, err)) return false;
    if (o->fallback && !read_type("fallback", o->fallback, &q->fallback, err)) return false;
    for (; q->rule_count < (size_t)o->only.count; q->rule_count++)
        if (!read_rule(o->only.items[q->rule_count], &rules[q->rule_count], err)) return false;
    return true;
}

// "dir/smol.nib" and q4_0 give "smol-q4_0.nib" in the current directory. Free with mem_free.
static char *default_output(const char *model, DType type, Error *err) {
    size_t end = strlen(model);
    while (end > 1 && model[end - 1] == '/') end--;
    size_t start = end;
    while (start > 0 && model[start - 1] != '/') start--;
    if (end - start > 4 && strncmp(model + end - 4, ".nib", 4) == 0) end -= 4;
    size_t size = end - start + 32;
    char *path = mem_alloc(size, 1, err);
    if (path) snprintf(path, size, "%.*s-%s.nib", (int)(end - start), model + start, dtype_name(type));
    return path;
}

static bool check_output(const Model *model, const char *output, Error *err) {
    for (size_t i = 0; i < model->map_count; i++)
        if (file_same(model->maps[i]->path, output))
            return error_set(err, "%s: is the model that is read; choose another output with -o", output);
    return true;
}

static bool report_done(const QuantReport *report, const QuantOptions *o, Error *err) {
    if (!o->json || strcmp(o->json, "-") != 0) quant_report_print(report);
    if (!o->json) return true;
    cJSON *json = quant_report_json(report);
    bool ok = report_write_json(o->json, json, err);
    cJSON_Delete(json);
    return ok;
}

static int quantize(const char *path, const QuantOptions *o, const PlanRequest *request) {
    Error err = {0};
    int code = EXIT_FAILED;
    double start = log_seconds();
    PlanEntry *plan = NULL;
    int64_t *cleared = NULL;
    char *output = o->output ? mem_text(o->output, strlen(o->output), &err) : default_output(path, request->type, &err);
    Model *model = output ? model_open(path, &err) : NULL;
    if (model) plan = mem_alloc(model->tensor_count, sizeof *plan, &err);
    if (plan) cleared = mem_alloc(model->tensor_count, sizeof *cleared, &err);
    if (!cleared || !check_output(model, output, &err)) goto done;
    if (!plan_make(request, model->tensors, model->tensor_count, plan, &err)) {
        error_prefix(&err, "%s", path);
        goto done;
    }
    const QuantJob job = {model, output, request, plan, o->allow_nonfinite, cleared};
    if (!quant_job_run(&job, &err)) goto done;
    const QuantReport report = {&job, file_size(output), log_seconds() - start};
    if (report_done(&report, o, &err)) code = EXIT_DONE;
done:
    if (err.text[0]) fail(&err);
    mem_free(plan);
    mem_free(cleared);
    mem_free(output);
    model_free(model);
    return code;
}

static int run(int argc, char **argv) {
    QuantOptions o = {.type = "q8_0"};
    const Option options[] = {
        {"output", 'o', OPT_TEXT, &o.output, "FILE", "the .nib to write (default: MODEL-TYPE.nib in this directory)", 0,
         0},
        {"type", 0, OPT_TEXT, &o.type, "TYPE",
         "for the weights of linear layers (default: q8_0, half of bf16 at next to no loss)", 0, 0},
        {"embed-type", 0, OPT_TEXT, &o.embed_type, "TYPE",
         "for the embedding (default: q8_0; TYPE where that is f16, bf16, f32)", 0, 0},
        {"output-type", 0, OPT_TEXT, &o.output_type, "TYPE",
         "for the head, where it is not the embedding (default: as above)", 0, 0},
        {"only", 0, OPT_LIST, &o.only, "REGEX=TYPE", "for tensors whose name matches; the last match wins; repeatable",
         0, 0},
        {"fallback", 0, OPT_TEXT, &o.fallback, "TYPE", "for tensors whose width the type's block does not divide", 0,
         0},
        {"allow-nonfinite", 0, OPT_FLAG, &o.allow_nonfinite, NULL,
         "in blocks, NaN and infinity become zero, and are counted", 0, 0},
        {"requantize", 0, OPT_FLAG, &o.requantize, NULL, "quantize what is quantized already", 0, 0},
        {"json", 0, OPT_TEXT, &o.json, "FILE", "the report as JSON; - for standard output", 0, 0},
        {NULL, 0, OPT_FLAG, NULL, NULL, NULL, 0, 0},
    };
    int operands, code = options_parse(&command_quant, options, argc, argv, &operands);
    if (code >= 0) return code;
    if (operands != 1) return usage_error(&command_quant, operands ? "one MODEL at a time" : "which MODEL?");
    Error err = {0};
    PlanRequest request = {0};
    PlanRule rules[MAX_RULES] = {0};
    code = read_request(&o, &request, rules, &err) ? quantize(argv[0], &o, &request)
                                                   : usage_error(&command_quant, "%s", err.text);
    for (size_t i = 0; i < MAX_RULES; i++) mem_free((void *)(uintptr_t)rules[i].pattern);
    return code;
}

const Command command_quant = {
    .name = "quant",
    .summary = "make 8- and 4-bit versions of a model",
    .usage = "MODEL [-o OUT.nib] [--type TYPE] [options]\n\n"
             "MODEL is a .nib or a Hugging Face directory. TYPE is q8_0, q6_k, q5_1, q5_0, q5_k, q4_1, q4_0, q4_k,\n"
             "iq4_nl, iq4_xs, mxfp4, q3_k or q2_k (GGUF's blocks), or f32, f16, bf16. Norms, biases and other vectors, "
             "routers of experts and "
             "learned positions stay as they are.",
    .examples =
        "  nibble quant smol.nib -o smol-q4.nib --type q4_0\n"
        "  nibble quant ./SmolLM2-135M --type q4_k --fallback q5_0\n"
        "  nibble quant smol.nib --type q4_0 --only 'blk\\.(0|29)\\.=q6_k' --only ffn_down=q5_1 --fallback q5_0\n",
    .run = run,
};
