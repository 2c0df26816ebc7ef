// nibble eval: perplexity of one or more models on a text, and what each diverges from the first.
#include "cli/cli.h"
#include "cli/eval_report.h"
#include "cli/shard.h"
#include "cli/text_input.h"
#include "cli/text_windows.h"

#include "convert/open.h"
#include "core/file.h"
#include "core/mem.h"
#include "core/size.h"
#include "eval/evaluate.h"
#include "eval/partial.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_MODELS = 64 };

static const char *base, *text, *tokens, *json, *per_token, *compute;
static int64_t ctx, stride, limit;
static Compute arithmetic;
static const char *memory_text, *shard_text, *state;
static Whole part = {.shards = 1};
static uint64_t memory_bytes;

static const Option options[] = {
    {"text", 'f', OPT_TEXT, &text, "FILE", "text to evaluate on; - is standard input", 0, 0},
    {"tokens", 0, OPT_TEXT, &tokens, "FILE",
     "token ids instead: white space between, a window a line, all but the first scored", 0, 0},
    {"ctx", 'c', OPT_INT, &ctx, "N", "tokens in a window (default 512, or the model's own limit where that is less)", 4,
     1 << 24},
    {"stride", 0, OPT_INT, &stride, "N",
     "a window every N tokens, each scoring what is new (default: llama-perplexity's protocol)", 1, 1 << 24},
    {"windows", 'n', OPT_INT, &limit, "N", "only the first N windows (default: all of the text)", 1, 1 << 30},
    {"base", 'b', OPT_TEXT, &base, "MODEL", "what the others are compared to (default: the first model)", 0, 0},
    {"compute", 0, OPT_TEXT, &compute, "f32|int8",
     "arithmetic: f32 measures the weights alone (default); int8 rounds activations to 8 bits, as engines do, and is "
     "faster",
     0, 0},
    {"mem", 0, OPT_TEXT, &memory_text, "SIZE",
     "memory to keep to (default: three quarters of what is available); with more, weights are read less often", 0, 0},
    {"json", 0, OPT_TEXT, &json, "FILE", "the report as JSON; - is standard output instead of the table", 0, 0},
    {"shard", 0, OPT_TEXT, &shard_text, "I/N",
     "only part I, from 0, of N parts of the windows; --json is for nibble merge then", 0, 0},
    {"state", 0, OPT_TEXT, &state, "FILE",
     "what is done is kept there, and gone on from where it is there; removed at the end", 0, 0},
    {"per-token", 0, OPT_TEXT, &per_token, "FILE", "a line of CSV for every scored token", 0, 0},
    {NULL, 0, OPT_FLAG, NULL, NULL, NULL, 0, 0},
};

static int run(int argc, char **argv);

const Command command_eval = {
    "eval",
    "perplexity and divergence of models on a text, side by side",
    "MODEL... (--text FILE | --tokens FILE) [options]",
    "  nibble eval smol.nib --text wiki.txt\n"
    "  nibble eval smol.nib smol-q8.nib smol-q4.nib --text wiki.txt --windows 40\n"
    "  nibble eval smol.nib smol-q4.nib --text wiki.txt --state wiki.state             # again after an interruption\n"
    "  nibble eval ./SmolLM2-135M smol-q4.nib --text wiki.txt --json - --per-token tokens.csv\n",
    run,
};

static bool windows_of_tokens(Windows *w, Error *err) {
    size_t size;
    char *whole = text_input(tokens, &size, err);
    bool ok = whole && windows_parse(whole, tokens, limit, w, err);
    mem_free(whole);
    return ok;
}

static void tokenizers_compare(Model **models, int count) {
    const ModelFile *first = model_file(models[0], "tokenizer.json");
    for (int k = 1; first && k < count; k++) {
        const ModelFile *f = model_file(models[k], "tokenizer.json");
        if (f && (f->size != first->size || memcmp(f->data, first->data, f->size) != 0))
            log_warn("%s: its tokenizer.json is not that of %s, whose ids are used for both", models[k]->path,
                     models[0]->path);
    }
}

// Cuts the windows down to the shard's.
static bool shard_take(Windows *w, Error *err) {
    int64_t count;
    part.text = windows_hash(w);
    part.windows = (int64_t)w->count;
    part.compute = arithmetic;
    if (part.windows < part.shards)
        return error_set(err, "--shard: there are %lld windows, too few for %lld shards", (long long)part.windows,
                         (long long)part.shards);
    partial_range(&part, &count);
    windows_keep(w, (size_t)part.first, (size_t)count);
    return true;
}

enum { STATE_WINDOWS = 64 }; // between two savings, at most

static bool state_save(void *context, const Evaluation *e, size_t done, Error *err) {
    (void)context;
    return partial_write(state, &part, e, done, err);
}

// What `state` holds of this very evaluation, into `before`.
static bool state_load(const Evaluation *of, Partial *before, Error *err) {
    Partial now = {.whole = part, .windows = *of->windows, .evaluation = *of};
    if (!partial_read(state, before, err) || !partial_same(before, state, &now, "this one", err)) return false;
    if (before->whole.shard != part.shard) return error_set(err, "%s: is of another shard", state);
    log_note("%s: %lld of %zu windows are done", state, (long long)before->done, of->windows->count);
    return true;
}

static bool evaluate_all(Model **models, int count, const Windows *windows, Evaluation *e, Error *err) {
    const Model *const *all = (const Model *const *)models;
    EvaluateOptions o = {.memory = (size_t)memory_bytes};
    if (!state) return evaluate(all, count, windows, &o, e, err);
    Partial before = {0};
    Evaluation named = {.windows = windows, .count = count};
    bool ok = true;
    o.most = STATE_WINDOWS;
    o.saved = state_save;
    if (file_exists(state)) {
        ok = evaluation_name(&named, all, count, windows, err) && state_load(&named, &before, err);
        o.before = &before.evaluation;
        o.done = (size_t)before.done;
    }
    ok = ok && evaluate(all, count, windows, &o, e, err);
    evaluation_free(&named);
    partial_free(&before);
    return ok;
}

static bool report(const Evaluation *e, Error *err) {
    if (shard_text ? !partial_write(json, &part, e, e->windows->count, err)
                   : !eval_report(e, arithmetic, json, per_token, err))
        return false;
    if (state) remove(state);
    return true;
}

static int usage_check(int count) {
    if (count == 0) return usage_error(&command_eval, "name at least one model");
    if (count > MAX_MODELS) return usage_error(&command_eval, "at most %d models at once", MAX_MODELS);
    if (memory_text && (!size_parse(memory_text, &memory_bytes) || memory_bytes > SIZE_MAX))
        return usage_error(&command_eval, "--mem wants a size as 2GiB, not \"%s\"", memory_text);
    Shard shard;
    if (shard_text && !shard_parse(shard_text, &shard))
        return usage_error(&command_eval, "--shard wants I/N, I from 0 to N - 1, not \"%s\"", shard_text);
    if (shard_text) part.shard = shard.index, part.shards = shard.count;
    if (shard_text && !json) return usage_error(&command_eval, "--shard wants --json FILE, for nibble merge");
    if (shard_text && per_token) return usage_error(&command_eval, "--per-token is nibble merge's, after --shard");
    if (!text == !tokens) return usage_error(&command_eval, "give either --text FILE or --tokens FILE");
    if (tokens && (ctx || stride))
        return usage_error(&command_eval, "--ctx and --stride are for --text; a line of --tokens is a window");
    if (compute && !compute_parse(compute, &arithmetic))
        return usage_error(&command_eval, "--compute may be f32 or int8, not \"%s\"", compute);
    return -1;
}

static int run(int argc, char **argv) {
    int operands, code = options_parse(&command_eval, options, argc, argv, &operands);
    if (code >= 0) return code;
    // The base goes first; it may be one of the models named.
    const char *paths[MAX_MODELS + 1];
    int count = 0;
    if (base) paths[count++] = base;
    for (int i = 0; i < operands && count <= MAX_MODELS; i++)
        if (!base || strcmp(argv[i], base) != 0) paths[count++] = argv[i];
    if ((code = usage_check(count)) >= 0) return code;

    Error err = {0};
    Model *models[MAX_MODELS + 1] = {0};
    Windows windows = {0};
    Evaluation evaluation = {0};
    bool ok = true;
    for (int k = 0; ok && k < count; k++) {
        ok = (models[k] = model_open(paths[k], &err)) != NULL;
        if (ok) models[k]->compute = arithmetic;
    }
    if (ok) tokenizers_compare(models, count);
    ok = ok &&
         (tokens ? windows_of_tokens(&windows, &err)
                 : text_windows(models[0], &(TextWindows){text, ctx, stride, limit, 0}, &windows, &err)) &&
         shard_take(&windows, &err) && evaluate_all(models, count, &windows, &evaluation, &err) &&
         report(&evaluation, &err);
    evaluation_free(&evaluation);
    windows_free(&windows);
    for (int k = 0; k < count; k++) model_free(models[k]);
    return ok ? EXIT_DONE : fail(&err);
}
