// The commands, and what they share: option tables with help, model arguments, exit codes.
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "core/json.h"
#include "core/log.h"
#include <stdint.h>

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

typedef enum OptionKind {
    OPT_FLAG,   // bool *
    OPT_TEXT,   // const char **
    OPT_INT,    // int64_t *, within [min, max]
    OPT_DOUBLE, // double *, within [min, max]
    OPT_LIST,   // OptionList *: may be given again and again
} OptionKind;

typedef struct OptionList {
    const char *items[256];
    int count;
} OptionList;

typedef struct Option {
    const char *name; // long name without dashes
    char letter;      // short name or 0
    OptionKind kind;
    void *value;
    const char *argument; // what the help calls its value: "FILE"; NULL for flags
    const char *help;     // its default included
    double min, max;
} Option;

typedef struct Command {
    const char *name;
    const char *summary;               // one line, for `nibble --help`
    const char *usage;                 // "MODEL... [options]"
    const char *examples;              // lines
    int (*run)(int argc, char **argv); // argv[0] is the command's name
} Command;

extern const Command command_convert, command_quant, command_eval, command_generate, command_tokenize, command_info,
    command_verify, command_export, command_stats, command_fit, command_bench, command_merge;

// Parses argv by the table (which ends with a NULL name; --help, -q, -v, --threads N are everyone's) and leaves the
// operands in argv[0 .. *operands-1]. Returns -1 to go on, else the exit code (after help: 0; after a usage message:
// 2).
int options_parse(const Command *command, const Option *options, int argc, char **argv, int *operands);

// Prints the one-line error and returns EXIT_FAILED.
int fail(const Error *err);
// Prints "nibble NAME: message" and a hint to --help; returns EXIT_USAGE.
int usage_error(const Command *command, const char *format, ...) __attribute__((format(printf, 2, 3)));

// Writes a report to FILE or, for "-", to stdout; files through a temporary, as all output.
bool report_write(const char *path, const char *text, Error *err);
bool report_write_json(const char *path, const cJSON *report, Error *err); // NULL: memory was out while it was made

#endif
