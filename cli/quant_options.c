#include "cli/quant_options.h"

#include "core/mem.h"
#include "core/size.h"
#include <stdio.h>
#include <string.h>

static const char *const method_names[METHOD_COUNT] = {"rtn", "importance", "gptq", "fisher"};

const char *quant_method_name(QuantMethod method) { return method_names[method]; }

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

static bool read_request(const QuantGiven *g, QuantOptions *o, Error *err) {
    PlanRequest *q = &o->request;
    if (!read_type("type", g->type ? g->type : "q8_0", &q->type, err)) return false;
    // Whoever asks for f16 wants it for all; the embedding and the head are worth 8 bits beside smaller blocks.
    q->embed_type = q->output_type = dtype_is_block(q->type) ? DT_Q8_0 : q->type;
    q->output_asked = g->output_type != NULL;
    q->has_fallback = g->fallback != NULL;
    q->rules = o->rules;
    if (g->embed_type && !read_type("embed-type", g->embed_type, &q->embed_type, err)) return false;
    if (g->output_type && !read_type("output-type", g->output_type, &q->output_type, err)) return false;
    if (g->fallback && !read_type("fallback", g->fallback, &q->fallback, err)) return false;
    for (; q->rule_count < (size_t)g->only.count; q->rule_count++)
        if (!read_rule(g->only.items[q->rule_count], &o->rules[q->rule_count], err)) return false;
    return true;
}

// ---- budgets

static bool read_size(BudgetKind kind, const char *option, const char *text, Budget *b, Error *err) {
    if (!text) return true;
    if (b->kind) return error_set(err, "--%s and --%s: give one of them", budget_option(b), option);
    *b = (Budget){.kind = kind, .text = text, .option = option};
    if (size_parse(text, &b->bytes) && b->bytes) return true;
    return error_set(err, "--%s %s: is not a size such as 86MiB or 8GiB", option, text);
}

static bool read_budget(const QuantGiven *g, Budget *b, Error *err) {
    if (g->bits > 0) *b = (Budget){.kind = BUDGET_BITS, .bits = g->bits};
    if (!read_size(BUDGET_SIZE, "size", g->size, b, err) ||
        !read_size(BUDGET_FILE, "file-size", g->file_size, b, err) ||
        !read_size(BUDGET_FIT, g->fit_option, g->fit, b, err))
        return false;
    b->context = g->context;
    if (b->kind == BUDGET_FIT && !b->context)
        return error_set(err, "--%s needs --ctx N: the context that the model is to run at", g->fit_option);
    if (b->kind != BUDGET_FIT && b->context) return error_set(err, "--ctx is for --%s alone", g->fit_option);
    const char *by_name = g->type ? "type" : g->embed_type ? "embed-type" : g->output_type ? "output-type" : NULL;
    if (b->kind && by_name)
        return error_set(err, "--%s and --%s: types are chosen to a budget or asked for by name; --only asks for some",
                         budget_name(b->kind), by_name);
    return true;
}

// Without --allow: what llama.cpp computes fast on CPUs and nibble writes.
static const DType fast[] = {DT_Q8_0, DT_Q6_K,   DT_Q5_1, DT_Q5_0,   DT_Q5_K, DT_Q4_1,
                             DT_Q4_K, DT_IQ4_NL, DT_Q4_0, DT_IQ4_XS, DT_Q3_K, DT_Q2_K};

static bool allow_one(const char *name, size_t size, QuantOptions *o, Error *err) {
    char text[32];
    DType type;
    snprintf(text, sizeof text, "%.*s", (int)(size < sizeof text ? size : sizeof text - 1), name);
    if (!read_type("allow", text, &type, err)) return false;
    for (size_t i = 0; i < o->allowed_count; i++)
        if (o->allowed[i] == type) return true;
    o->allowed[o->allowed_count++] = type;
    return true;
}

static bool read_allow(const char *list, QuantOptions *o, Error *err) {
    o->allow_given = list != NULL;
    if (list && !o->budget.kind)
        return error_set(err, "--allow is for choosing types: give --bits, --size, --file-size or --fit");
    for (const char *at = list, *end; at; at = *end ? end + 1 : NULL) {
        end = at + strcspn(at, ",");
        if (!allow_one(at, (size_t)(end - at), o, err)) return false;
    }
    for (size_t i = 0; !list && i < sizeof fast / sizeof *fast; i++)
        if (plan_type_ok(fast[i])) o->allowed[o->allowed_count++] = fast[i];
    return true;
}

// ---- calibration

static bool read_method(const char *text, QuantOptions *o, Error *err) {
    bool known = o->calib || o->stats;
    o->method = known ? METHOD_FISHER : METHOD_RTN;
    o->method_given = text != NULL;
    if (!text) return true;
    for (int m = 0; m < METHOD_COUNT; m++) {
        if (strcmp(text, method_names[m]) != 0) continue;
        o->method = (QuantMethod)m;
        if (m == METHOD_RTN || known) return true;
        return error_set(
            err, "--method %s: needs to know what flows through the model: give --calib TEXT or --stats FILE", text);
    }
    return error_set(err, "--method %s: must be rtn, importance, gptq or fisher", text);
}

static bool read_calibration(const QuantGiven *g, QuantOptions *o, Error *err) {
    if (!read_method(g->method, o, err)) return false;
    if (!o->calib && (o->calib_windows || g->seed >= 0))
        return error_set(err, "--%s is for --calib TEXT", o->calib_windows ? "calib-windows" : "seed");
    if (o->calib && o->method == METHOD_RTN && !o->budget.kind)
        return error_set(err, "--method rtn: rounds without looking at --calib's text; leave one of them out");
    o->seed = g->seed >= 0 ? g->seed : 0;
    return true;
}

static bool read_shard(const QuantGiven *g, QuantOptions *o, Error *err) {
    if (o->state && (!o->stats || o->method == METHOD_RTN))
        return error_set(err, "--state is for rounding under --stats FILE; the rest takes no longer than reading");
    if (!g->shard) return true;
    if (!o->state) return error_set(err, "--shard needs --state DIR, where all parts come together");
    if (o->calib) return error_set(err, "--shard needs statistics that are there: make them once, by nibble stats");
    return shard_parse(g->shard, &o->shard) ||
           error_set(err, "--shard wants I/N, I from 0 to N - 1, not \"%s\"", g->shard);
}

bool quant_options_read(const QuantGiven *g, QuantOptions *o, Error *err) {
    return read_request(g, o, err) && read_budget(g, &o->budget, err) && read_allow(g->allow, o, err) &&
           read_calibration(g, o, err) && read_shard(g, o, err);
}

int quant_options_parse(QuantOptions *o, int argc, char **argv, const char **model) {
    QuantGiven g = {.fit_option = "fit", .seed = -1};
    *o = (QuantOptions){0};
    const Option options[] = {
        {"output", 'o', OPT_TEXT, &o->output, "FILE", "the .nib to write (default: MODEL-TYPE.nib in this directory)",
         0, 0},
        {"type", 0, OPT_TEXT, &g.type, "TYPE",
         "for the weights of linear layers (default: q8_0, half of bf16 at next to no loss)", 0, 0},
        {"embed-type", 0, OPT_TEXT, &g.embed_type, "TYPE",
         "for the embedding (default: q8_0; TYPE where that is f16, bf16, f32)", 0, 0},
        {"output-type", 0, OPT_TEXT, &g.output_type, "TYPE",
         "for the head, where it is not the embedding (default: as above)", 0, 0},
        {"only", 0, OPT_LIST, &g.only, "REGEX=TYPE", "for tensors whose name matches; the last match wins; repeatable",
         0, 0},
        {"fallback", 0, OPT_TEXT, &g.fallback, "TYPE", "for tensors whose width the type's block does not divide", 0,
         0},
        {"bits", 0, OPT_DOUBLE, &g.bits, "B",
         "instead of --type: each tensor's is chosen; so many bits a weight in all", 0.01, 64},
        {"size", 0, OPT_TEXT, &g.size, "SIZE", "... so many bytes of tensors: 86MiB", 0, 0},
        {"file-size", 0, OPT_TEXT, &g.file_size, "SIZE", "... the .nib is no larger than that", 0, 0},
        {"fit", 0, OPT_TEXT, &g.fit, "SIZE", "... an engine runs it in so much memory, with --ctx", 0, 0},
        {"ctx", 'c', OPT_INT, &g.context, "N", "with --fit: the context that it is to run at", 1, 1 << 30},
        {"allow", 0, OPT_TEXT, &g.allow, "TYPE,...",
         "with these: what to choose from (default: what llama.cpp runs fast on CPUs)", 0, 0},
        {"dry-run", 0, OPT_FLAG, &o->dry_run, NULL, "only say what would become of each tensor", 0, 0},
        {"method", 0, OPT_TEXT, &g.method, "NAME",
         "rtn, importance, gptq or fisher (default: fisher where there is --calib or --stats, else rtn)", 0, 0},
        {"calib", 0, OPT_TEXT, &o->calib, "TEXT", "calibrate on this text", 0, 0},
        {"calib-windows", 0, OPT_INT, &o->calib_windows, "N", "... its first N windows", 1, 1 << 20},
        {"stats", 0, OPT_TEXT, &o->stats, "FILE", "statistics of an earlier calibration; with --calib: keep them there",
         0, 0},
        {"seed", 0, OPT_INT, &g.seed, "N", "with --calib: of what is drawn at random (default: 0)", 0, 1e15},
        {"state", 0, OPT_TEXT, &o->state, "DIR",
         "with --stats: what is rounded is kept there until the end, and gone on from where it is there", 0, 0},
        {"shard", 0, OPT_TEXT, &g.shard, "I/N",
         "... only part I, from 0, of N parts of that; the same without --shard then writes the output", 0, 0},
        {"allow-nonfinite", 0, OPT_FLAG, &o->allow_nonfinite, NULL,
         "in blocks, NaN and infinity become zero, and are counted", 0, 0},
        {"requantize", 0, OPT_FLAG, &o->request.requantize, NULL, "quantize what is quantized already", 0, 0},
        {"json", 0, OPT_TEXT, &o->json, "FILE", "the report as JSON; - for standard output", 0, 0},
        {NULL, 0, OPT_FLAG, NULL, NULL, NULL, 0, 0},
    };
    Error err = {0};
    int operands, code = options_parse(&command_quant, options, argc, argv, &operands);
    if (code >= 0) return code;
    if (operands != 1) return usage_error(&command_quant, operands ? "one MODEL at a time" : "which MODEL?");
    *model = argv[0];
    return quant_options_read(&g, o, &err) ? -1 : usage_error(&command_quant, "%s", err.text);
}

void quant_options_free(QuantOptions *o) {
    for (size_t i = 0; i < MAX_RULES; i++) mem_free((void *)(uintptr_t)o->rules[i].pattern);
}
