// Option tables on getopt_long, and the help made from the same tables.
#include "cli/cli.h"

#include "core/file.h"
#include "core/mem.h"
#include "core/threads.h"
#include <getopt.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_OPTIONS = 48 };

typedef struct Common {
    bool help, quiet, verbose;
    int64_t threads;
} Common;

static Common common;

static const Option common_options[] = {
    {"threads", 't', OPT_INT, &common.threads, "N", "threads to use (default: one for each CPU allowed)", 1, 1024},
    {"quiet", 'q', OPT_FLAG, &common.quiet, NULL, "no progress, no notes", 0, 0},
    {"verbose", 'v', OPT_FLAG, &common.verbose, NULL, "say more about what is done", 0, 0},
    {"help", 'h', OPT_FLAG, &common.help, NULL, "this text", 0, 0},
    {NULL, 0, OPT_FLAG, NULL, NULL, NULL, 0, 0},
};

static void help_options(const Option *o) {
    for (; o->name; o++) {
        char left[64], letter[8] = "   ";
        if (o->letter) snprintf(letter, sizeof letter, "-%c,", o->letter);
        snprintf(left, sizeof left, "%s --%s %s", letter, o->name, o->argument ? o->argument : "");
        printf("  %-28s %s\n", left, o->help);
    }
}

static void help(const Command *c, const Option *options) {
    printf("nibble %s: %s\n\nUsage: nibble %s %s\n\nOptions:\n", c->name, c->summary, c->name, c->usage);
    help_options(options);
    help_options(common_options);
    printf("\nExamples:\n%s", c->examples);
}

int usage_error(const Command *command, const char *format, ...) {
    va_list args;
    va_start(args, format);
    fprintf(stderr, "nibble %s: ", command->name);
    vfprintf(stderr, format, args);
    fprintf(stderr, " (see nibble %s --help)\n", command->name);
    va_end(args);
    return EXIT_USAGE;
}

int fail(const Error *err) {
    fprintf(stderr, "error: %s\n", err->text);
    return EXIT_FAILED;
}

// Stores one value; NULL when it is fine, else what is wrong with it.
static const char *option_set(const Option *o, const char *text, char *buf, size_t size) {
    char *end;
    double v;
    switch (o->kind) {
    case OPT_FLAG: *(bool *)o->value = true; return NULL;
    case OPT_TEXT: *(const char **)o->value = text; return NULL;
    case OPT_LIST: {
        OptionList *list = o->value;
        if (list->count == (int)(sizeof list->items / sizeof *list->items)) return "is given too often";
        list->items[list->count++] = text;
        return NULL;
    }
    case OPT_INT:
    case OPT_DOUBLE:
        v = strtod(text, &end);
        if (end == text || *end || isnan(v) || (o->kind == OPT_INT && v != floor(v))) {
            snprintf(buf, size, "wants a %snumber, not \"%.40s\"", o->kind == OPT_INT ? "whole " : "", text);
            return buf;
        }
        if (v < o->min || v > o->max) {
            snprintf(buf, size, "must be within %g and %g", o->min, o->max);
            return buf;
        }
        if (o->kind == OPT_INT)
            *(int64_t *)o->value = (int64_t)v;
        else
            *(double *)o->value = v;
        return NULL;
    }
    return "?";
}

int options_parse(const Command *command, const Option *options, int argc, char **argv, int *operands) {
    const Option *all[MAX_OPTIONS];
    struct option longs[MAX_OPTIONS + 1] = {{0}};
    char shorts[3 * MAX_OPTIONS + 2] = ":", *s = shorts + 1;
    int n = 0;
    const Option *const tables[] = {options, common_options};
    for (int t = 0; t < 2; t++)
        for (const Option *o = tables[t]; o->name; o++, n++) {
            all[n] = o;
            longs[n] = (struct option){o->name, o->kind == OPT_FLAG ? no_argument : required_argument, NULL, 256 + n};
            if (!o->letter) continue;
            *s++ = o->letter;
            if (o->kind != OPT_FLAG) *s++ = ':';
        }
    optind = 0;
    opterr = 0;
    for (int c; (c = getopt_long(argc, argv, shorts, longs, NULL)) != -1;) {
        const Option *o = NULL;
        const char *given = optind > 0 && optind <= argc ? argv[optind - 1] : "";
        if (c == '?') return usage_error(command, "there is no option %s", given);
        if (c == ':') return usage_error(command, "option %s wants a value", given);
        for (int i = 0; i < n; i++)
            if (c == 256 + i || (c < 256 && all[i]->letter == c)) o = all[i];
        char buf[128];
        const char *wrong = option_set(o, optarg, buf, sizeof buf);
        if (wrong) return usage_error(command, "--%s %s", o->name, wrong);
    }
    if (common.help) {
        help(command, options);
        return EXIT_DONE;
    }
    if (common.quiet) log_set_level(LOG_QUIET);
    if (common.verbose) log_set_level(LOG_VERBOSE);
    threads_set((int)common.threads);
    *operands = argc - optind;
    memmove(argv, argv + optind, (size_t)*operands * sizeof *argv);
    return -1;
}

bool report_write(const char *path, const char *text, Error *err) {
    if (strcmp(path, "-") == 0)
        return (fputs(text, stdout) >= 0 && fflush(stdout) == 0) || error_set(err, "standard output cannot be written");
    FileOut *out = file_out_open(path, 0, err);
    if (!out) return false;
    if (file_out_write(out, text, strlen(text), err)) return file_out_commit(out, err);
    file_out_abort(out);
    return false;
}

bool report_write_json(const char *path, const cJSON *report, Error *err) {
    char *body = report ? cJSON_Print(report) : NULL, *line = body ? mem_alloc(strlen(body) + 2, 1, err) : NULL;
    if (line) sprintf(line, "%s\n", body);
    cJSON_free(body);
    if (!line) return error_set(err, "out of memory for the report");
    bool ok = report_write(path, line, err);
    mem_free(line);
    return ok;
}
