// nibble: finds the command and runs it.
#include "cli/cli.h"

#include "cli/runtime_setup.h"
#include "cli/version.h"
#include "core/cpu.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const Command *const commands[] = {&command_fit,
                                          &command_convert,
                                          &command_quant,
                                          &command_eval,
                                          &command_merge,
                                          &command_generate,
                                          &command_tokenize,
                                          &command_export,
                                          &command_stats,
                                          &command_bench,
                                          &command_info,
                                          &command_verify,
                                          NULL};

static void print_help(FILE *to) {
    fprintf(to, "nibble " NIBBLE_VERSION ": shrink a downloaded language model and measure what it cost\n\n"
                "Usage: nibble COMMAND ...\n\nCommands:\n");
    for (int i = 0; commands[i]; i++) fprintf(to, "  %-10s %s\n", commands[i]->name, commands[i]->summary);
    fprintf(to, "\nExamples:\n"
                "  nibble fit ./SmolLM2-135M --size 86MiB\n"
                "  nibble convert ./SmolLM2-135M -o smol.nib\n"
                "  nibble quant smol.nib -o smol-q4.nib --type q4_0\n"
                "  nibble eval smol.nib smol-q4.nib --text wiki.txt\n"
                "\n`nibble COMMAND --help` says more. NIBBLE_CPU=scalar|avx2|avx512|neon caps the instruction set.\n");
}

// A mapped file that shrinks under us raises SIGBUS: say so instead of dying silently.
static void on_bus_error(int sig) {
    (void)sig;
    static const char text[] = "error: a file became shorter while it was read; nothing was written\n";
    ssize_t ignored = write(STDERR_FILENO, text, sizeof text - 1);
    (void)ignored;
    _exit(EXIT_FAILED);
}

static bool cpu_cap_known(const char *cap) {
    for (int l = 0; l < CPU_LEVELS; l++)
        if (strcmp(cap, cpu_level_name((CpuLevel)l)) == 0) return true;
    return false;
}

int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "--help", *cap = getenv("NIBBLE_CPU");
    signal(SIGBUS, on_bus_error);
    signal(SIGPIPE, SIG_DFL);
    if (cap && !cpu_cap_known(cap)) {
        fprintf(stderr, "error: NIBBLE_CPU is \"%s\"; it may be scalar, avx2, avx512 or neon\n", cap);
        return EXIT_USAGE;
    }
    if (strcmp(name, "--version") == 0) {
        puts("nibble " NIBBLE_VERSION);
        return EXIT_DONE;
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        print_help(stdout);
        return argc > 1 ? EXIT_DONE : EXIT_USAGE;
    }
    for (int i = 0; commands[i]; i++)
        if (strcmp(name, commands[i]->name) == 0) {
            runtime_setup(argv);
            return commands[i]->run(argc - 1, argv + 1);
        }
    fprintf(stderr, "nibble: there is no command \"%s\" (see nibble --help)\n", name);
    return EXIT_USAGE;
}
