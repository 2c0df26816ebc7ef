#define PCRE2_CODE_UNIT_WIDTH 8
#include "quant/plan.h"

#include "core/mem.h"
#include "quant/quant.h"
#include <pcre2.h>
#include <stdio.h>
#include <string.h>

enum { NAMED = 3 }; // tensors that a message names before it counts the rest

// "blk.0.attn_q.weight [576, 576], ... and 178 more": what an error is about.
typedef struct Names {
    char text[400];
    size_t used, count;
} Names;

static void names_add(Names *names, const Tensor *t) {
    char shape[96];
    if (names->count++ >= NAMED) return;
    int n = snprintf(names->text + names->used, sizeof names->text - names->used, "%s%.80s %s", names->used ? ", " : "",
                     t->name, tensor_shape_text(t, shape));
    if (n > 0) names->used += (size_t)n;
    if (names->used >= sizeof names->text) names->used = sizeof names->text - 1;
}

static const char *names_text(Names *names) {
    if (names->count > NAMED)
        snprintf(names->text + names->used, sizeof names->text - names->used, " and %zu more", names->count - NAMED);
    return names->text;
}

static bool is_matrix(const Tensor *t) { return t->dims >= 2; }

static bool ends_with(const char *name, const char *ending) {
    size_t n = strlen(name), e = strlen(ending);
    return n >= e && strcmp(name + n - e, ending) == 0;
}

// Small matrices that decide much: which experts a token passes, where it stands.
bool plan_keeps(const Tensor *t) {
    return !is_matrix(t) || ends_with(t->name, ".ffn_gate_inp.weight") ||
           ends_with(t->name, ".ffn_gate_inp_shexp.weight") || strcmp(t->name, "position_embd.weight") == 0;
}

static bool divides(DType type, const Tensor *t) { return tensor_cols(t) % dtype_info(type)->block == 0; }

bool plan_type_ok(DType type) { return quant_function(type) != NULL; }

// ---- rules

typedef struct Pattern {
    pcre2_code *code;
    pcre2_match_data *match;
} Pattern;

static void pattern_free(Pattern *p) {
    pcre2_match_data_free(p->match);
    pcre2_code_free(p->code);
}

static bool pattern_compile(Pattern *p, const char *text, Error *err) {
    int code;
    PCRE2_SIZE at;
    *p = (Pattern){.code = pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED, 0, &code, &at, NULL)};
    if (!p->code) {
        char why[160];
        pcre2_get_error_message(code, (PCRE2_UCHAR *)why, sizeof why);
        return error_set(err, "--only %.200s: is not a regular expression: %s at character %zu", text, why, at);
    }
    p->match = pcre2_match_data_create_from_pattern(p->code, NULL);
    return p->match ? true : error_set(err, "out of memory");
}

// Sets *found; false when the expression could not be run to its end (PCRE2's limits against endless backtracking).
static bool pattern_finds(const Pattern *p, const char *text, const char *name, bool *found, Error *err) {
    int n = pcre2_match(p->code, (PCRE2_SPTR)name, strlen(name), 0, 0, p->match, NULL);
    *found = n >= 0;
    if (n >= 0 || n == PCRE2_ERROR_NOMATCH) return true;
    char why[160];
    pcre2_get_error_message(n, (PCRE2_UCHAR *)why, sizeof why);
    return error_set(err, "--only %.200s: fails on tensor %.200s: %s; write a simpler expression", text, name, why);
}

static bool pattern_matches(const Pattern *p, const char *text, const Tensor *t, bool *found, Error *err) {
    if (!pattern_finds(p, text, t->name, found, err)) return false;
    return *found || !t->source || pattern_finds(p, text, t->source, found, err);
}

static bool apply_rule(const PlanRule *rule, const Tensor *tensors, size_t count, PlanEntry *entries, Error *err) {
    Pattern pattern;
    size_t applied = 0;
    Names vectors = {0};
    bool ok = pattern_compile(&pattern, rule->pattern, err);
    for (size_t i = 0; ok && i < count; i++) {
        bool found;
        ok = pattern_matches(&pattern, rule->pattern, &tensors[i], &found, err);
        if (!ok || !found) continue;
        if (is_matrix(&tensors[i]) || !dtype_is_block(rule->type)) {
            entries[i].asked = rule->type;
            entries[i].ruled = true;
            applied++;
        } else {
            names_add(&vectors, &tensors[i]);
        }
    }
    pattern_free(&pattern);
    if (!ok || applied) return ok;
    if (vectors.count)
        return error_set(err,
                         "--only %.200s=%s: matches only vectors (%s), which are not put into blocks; "
                         "leave them out or ask for f32, f16 or bf16",
                         rule->pattern, dtype_name(rule->type), names_text(&vectors));
    return error_set(err, "--only %.200s=%s: matches no tensor; `nibble info --tensors` lists their names",
                     rule->pattern, dtype_name(rule->type));
}

// ---- widths

// Settles types against widths: entries[i].type from .asked.
static bool fit_widths(const PlanRequest *request, const Tensor *tensors, size_t count, PlanEntry *entries,
                       Error *err) {
    Names misfits = {0}, hopeless = {0};
    const PlanEntry *first = NULL;
    bool by_32 = true;
    for (size_t i = 0; i < count; i++) {
        const Tensor *t = &tensors[i];
        PlanEntry *e = &entries[i];
        e->type = e->asked;
        if (divides(e->asked, t)) continue;
        e->fell_back = true;
        e->type = request->fallback;
        if (request->has_fallback) {
            if (!divides(request->fallback, t)) names_add(&hopeless, t);
            continue;
        }
        names_add(&misfits, t);
        if (!first) first = e;
        by_32 = by_32 && divides(DT_Q8_0, t);
    }
    if (hopeless.count)
        return error_set(err,
                         "--fallback %s: its block of %d does not divide the width of %zu tensor%s either: %s; "
                         "give a fallback with smaller blocks, f16 at the last",
                         dtype_name(request->fallback), dtype_info(request->fallback)->block, hopeless.count,
                         hopeless.count == 1 ? "" : "s", names_text(&hopeless));
    if (misfits.count)
        return error_set(err,
                         "%s has blocks of %d, which do not divide the width of %zu tensor%s: %s; "
                         "say what these become with --fallback TYPE, for instance --fallback %s",
                         dtype_name(first->asked), dtype_info(first->asked)->block, misfits.count,
                         misfits.count == 1 ? "" : "s", names_text(&misfits), by_32 ? "q5_0" : "f16");
    return true;
}

static bool check_requantized(const Tensor *tensors, size_t count, const PlanEntry *entries, Error *err) {
    Names names = {0};
    DType from = DT_F32;
    for (size_t i = 0; i < count; i++) {
        if (!dtype_is_block(tensors[i].type) || entries[i].type == tensors[i].type) continue;
        if (!names.count) from = tensors[i].type;
        names_add(&names, &tensors[i]);
    }
    if (!names.count) return true;
    return error_set(err,
                     "%zu tensor%s already quantized (%s: %s): quantizing again adds one error to another; "
                     "start from the original, or give --requantize",
                     names.count, names.count == 1 ? " is" : "s are", dtype_name(from), names_text(&names));
}

bool plan_make(const PlanRequest *request, const Tensor *tensors, size_t count, PlanEntry *entries, Error *err) {
    bool head = false;
    for (size_t i = 0; i < count; i++) {
        const Tensor *t = &tensors[i];
        DType type = request->type;
        if (strcmp(t->name, "token_embd.weight") == 0) type = request->embed_type;
        if (strcmp(t->name, "output.weight") == 0) {
            type = request->output_type;
            head = true;
        }
        if (request->types) type = request->types[i];
        if (plan_keeps(t)) type = t->type;
        entries[i] = (PlanEntry){.type = type, .asked = type};
    }
    if (!head && request->output_asked && request->output_type != request->embed_type)
        return error_set(err,
                         "--output-type %s: this model's head is tied: it is the embedding, which becomes %s; "
                         "leave --output-type out, or give --embed-type %s",
                         dtype_name(request->output_type), dtype_name(request->embed_type),
                         dtype_name(request->output_type));
    for (size_t i = 0; i < request->rule_count; i++)
        if (!apply_rule(&request->rules[i], tensors, count, entries, err)) return false;
    if (!fit_widths(request, tensors, count, entries, err)) return false;
    return request->requantize || check_requantized(tensors, count, entries, err);
}

bool plan_tensor(const Tensor *t, const PlanEntry *entry, Tensor *out, Error *err) {
    *out = *t;
    out->type = entry->type;
    return tensor_size(out, err);
}
