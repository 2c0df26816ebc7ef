// nibble tokenize: text to ids, and back.
#include "cli/cli.h"

#include "cli/text_input.h"
#include "convert/open.h"
#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"
#include "eval/tokenizer.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_TOKENIZER_BYTES = 1 << 28 }; // the largest in use have 33 MB

static const char *text_path;
static bool no_bos, decode, count_only, keep_special;

static const Option options[] = {
    {"text", 'f', OPT_TEXT, &text_path, "FILE", "what to tokenize, or the ids to decode; - is standard input", 0, 0},
    {"no-bos", 0, OPT_FLAG, &no_bos, NULL, "without what the tokenizer puts around a text", 0, 0},
    {"count", 'c', OPT_FLAG, &count_only, NULL, "print only how many ids there are", 0, 0},
    {"decode", 'd', OPT_FLAG, &decode, NULL, "turn ids, separated by white space, back into text", 0, 0},
    {"keep-special", 0, OPT_FLAG, &keep_special, NULL, "leave special tokens in the decoded text", 0, 0},
    {NULL, 0, OPT_FLAG, NULL, NULL, NULL, 0, 0},
};

static int run(int argc, char **argv);

const Command command_tokenize = {
    "tokenize",
    "turn text into token ids, or ids into text",
    "MODEL --text FILE [options]",
    "  nibble tokenize smol.nib --text wiki.txt > ids.txt\n"
    "  echo \"Hello world\" | nibble tokenize ./SmolLM2-135M --text -\n"
    "  nibble tokenize ./SmolLM2-135M --text wiki.txt --count\n"
    "  nibble tokenize ./SmolLM2-135M/tokenizer.json --text ids.txt --decode\n",
    run,
};

static bool encode_text(const Tokenizer *tokenizer, const char *text, size_t size, Error *err) {
    Ids ids;
    clock_t start = clock(); // of the processor: loading the tokenizer and other programs do not count
    if (!tokenizer_encode(tokenizer, text, size, !no_bos, &ids, err)) return error_prefix(err, "%s", text_path);
    log_more("%zu bytes to %zu ids in %.4f s of processor time", size, ids.count,
             (double)(clock() - start) / CLOCKS_PER_SEC);
    if (count_only) printf("%zu\n", ids.count);
    for (size_t i = 0; !count_only && i < ids.count; i++) printf(i ? " %d" : "%d", ids.ids[i]);
    if (!count_only) putchar('\n');
    ids_free(&ids);
    return true;
}

// Whole numbers with white space around them.
static bool parse_ids(char *text, size_t size, Ids *ids, Error *err) {
    size_t capacity = 0;
    char *end = text + size;
    *ids = (Ids){0};
    for (char *at = text;;) {
        while (at < end && isspace((unsigned char)*at)) at++;
        if (at == end) return true;
        char *after;
        long long id = strtoll(at, &after, 10);
        bool whole = after > at && (after == end || isspace((unsigned char)*after));
        if (!whole || id < 0 || id > INT32_MAX) {
            error_set(err, "%s: byte %td is not the start of a token id", text_path, at - text);
            break;
        }
        if (!mem_grow(&ids->ids, ids->count, &capacity, sizeof *ids->ids, err)) break;
        ids->ids[ids->count++] = (int32_t)id;
        at = after;
    }
    ids_free(ids);
    return false;
}

static bool decode_ids(const Tokenizer *tokenizer, char *text, size_t size, Error *err) {
    Ids ids;
    char *decoded;
    if (!parse_ids(text, size, &ids, err)) return false;
    bool ok = tokenizer_decode(tokenizer, ids.ids, ids.count, keep_special, &decoded, &size, err);
    if (ok) {
        fwrite(decoded, 1, size, stdout);
        mem_free(decoded);
    } else {
        error_prefix(err, "%s", text_path);
    }
    ids_free(&ids);
    return ok;
}

// A model, a directory that has only tokenizer files, or the file tokenizer.json itself, whatever it is called.
static Model *open_model(const char *path, Error *err) {
    size_t length = strlen(path), size;
    bool is_json = length > 5 && strcmp(path + length - 5, ".json") == 0;
    if (!is_json || file_is_directory(path)) return model_open_tokenizer(path, err);
    char *data = file_read(path, MAX_TOKENIZER_BYTES, &size, err);
    Model *model = data ? model_new(path, err) : NULL;
    if (model && !model_add_file(model, "tokenizer.json", data, size, err)) {
        model_free(model);
        model = NULL;
    }
    mem_free(data);
    return model;
}

static int run(int argc, char **argv) {
    int operands, code = options_parse(&command_tokenize, options, argc, argv, &operands);
    if (code >= 0) return code;
    if (operands != 1) return usage_error(&command_tokenize, "name one model");
    if (!text_path) return usage_error(&command_tokenize, "give a --text");
    if (decode && (no_bos || count_only))
        return usage_error(&command_tokenize, "--no-bos and --count do not go with --decode");
    if (!decode && keep_special) return usage_error(&command_tokenize, "--keep-special goes with --decode");
    Error err = {0};
    size_t size;
    Model *model = open_model(argv[0], &err);
    Tokenizer *tokenizer = model ? tokenizer_new(model, &err) : NULL;
    char *text = tokenizer ? text_input(text_path, &size, &err) : NULL;
    bool ok = text && (decode ? decode_ids(tokenizer, text, size, &err) : encode_text(tokenizer, text, size, &err));
    if (ok && fflush(stdout) != 0) ok = error_set(&err, "standard output: cannot be written");
    mem_free(text);
    tokenizer_free(tokenizer);
    model_free(model);
    return ok ? EXIT_DONE : fail(&err);
}
