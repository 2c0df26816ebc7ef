// nibble generate: continues a text.
#include "cli/cli.h"

#include "convert/open.h"
#include "eval/generate.h"
#include <stdio.h>
#include <string.h>

static const char *prompt;
static int64_t count = 128, seed = 1;
static double temperature, top_p = 1;
static bool echo;
static const char *compute;

static const Option options[] = {
    {"prompt", 'p', OPT_TEXT, &prompt, "TEXT", "the text to continue", 0, 0},
    {"tokens", 'n', OPT_INT, &count, "N", "at most so many tokens (default 128)", 1, 1 << 20},
    {"temp", 0, OPT_DOUBLE, &temperature, "T", "temperature; 0 always takes the most probable token (default 0)", 0,
     100},
    {"top-p", 0, OPT_DOUBLE, &top_p, "P", "sample from the most probable tokens that have P together (default 1)", 1e-6,
     1},
    {"seed", 's', OPT_INT, &seed, "S", "the same seed gives the same text (default 1)", 0, 9e15},
    {"echo", 0, OPT_FLAG, &echo, NULL, "print the prompt first", 0, 0},
    {"compute", 0, OPT_TEXT, &compute, "f32|int8",
     "arithmetic: int8 rounds activations to 8 bits, as engines do, and is faster (default f32)", 0, 0},
    {NULL, 0, OPT_FLAG, NULL, NULL, NULL, 0, 0},
};

static int run(int argc, char **argv);

const Command command_generate = {
    "generate",
    "continue a text, token by token",
    "MODEL --prompt TEXT [options]",
    "  nibble generate smol-q4.nib --prompt \"Once upon a time\" -n 100\n"
    "  nibble generate smol-q4.nib --prompt \"Dear diary,\" --temp 0.8 --top-p 0.9 --seed 7\n",
    run,
};

static void print_text(void *context, const char *text, size_t size) {
    (void)context;
    fwrite(text, 1, size, stdout);
    fflush(stdout);
}

static int run(int argc, char **argv) {
    int operands, code = options_parse(&command_generate, options, argc, argv, &operands);
    if (code >= 0) return code;
    if (operands != 1) return usage_error(&command_generate, "name one model");
    Compute arithmetic = COMPUTE_F32;
    if (compute && !compute_parse(compute, &arithmetic))
        return usage_error(&command_generate, "--compute may be f32 or int8, not \"%s\"", compute);
    if (!prompt) return usage_error(&command_generate, "give a --prompt");
    Error err = {0};
    Model *model = model_open(argv[0], &err);
    if (model) model->compute = arithmetic;
    Tokenizer *tokenizer = model ? tokenizer_new(model, &err) : NULL;
    Sampling sampling = {temperature, top_p, (uint64_t)seed};
    Generated done;
    if (tokenizer && echo) print_text(NULL, prompt, strlen(prompt));
    bool ok = tokenizer && generate(model, tokenizer, prompt, count, &sampling, print_text, NULL, &done, &err);
    if (ok) {
        putchar('\n');
        log_note("%lld prompt tokens in %.2f s, %lld tokens in %.2f s (%.1f tokens/s)%s", (long long)done.prompt_tokens,
                 done.prompt_seconds, (long long)done.tokens, done.seconds, (double)done.tokens / done.seconds,
                 done.ended ? ", ended by itself" : "");
    }
    tokenizer_free(tokenizer);
    model_free(model);
    return ok ? EXIT_DONE : fail(&err);
}
