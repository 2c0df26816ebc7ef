// A text that a command is given: --text FILE or -.
#ifndef CLI_TEXT_INPUT_H
#define CLI_TEXT_INPUT_H

#include "core/error.h"
#include <stddef.h>

// The whole of a file or, for "-", of standard input, with a NUL added. NULL with a message. Free with mem_free.
char *text_input(const char *path, size_t *size, Error *err);

#endif
