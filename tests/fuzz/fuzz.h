// What the fuzz targets (fuzz_*.c) share. A target is LLVMFuzzerTestOneInput: it hands its input to a reader by the
// entry point that the program uses, and stops the process where the reader breaks a promise. clang's libFuzzer drives
// it (`make fuzz`), or replay.c over the committed inputs (`make test`).
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include "formats/container.h"
#include "formats/model.h"
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// The bytes as a file in memory: its path, which is the same at each call.
const char *fuzz_file(const uint8_t *data, size_t size);

// A directory of this process, made when it is first asked for, and a file in it, replaced.
const char *fuzz_directory(void);
void fuzz_directory_file(const char *name, const uint8_t *data, size_t size);

// Stops the process unless it holds; what: for the message.
void fuzz_must(bool holds, const char *what);

// What failed must have said why, in one line. FUZZ_SAY=1 in the environment shows it.
void fuzz_said_why(const Error *err);

// Text through the tokenizer of a model that carries one, and back: a fixed text of all kinds of characters, then this.
void fuzz_tokenizer(const Model *model, const uint8_t *text, size_t size);

// The same of a model that carries nothing but this file and, where it is not NULL, another.
void fuzz_tokenizer_file(const char *name, const uint8_t *data, size_t size, const char *other, const char *text);

// A file of a kind of the program's own (formats/container.h). An input that starts with the magic is taken as it is:
// NULL. But header, index and sections are hashed and the index is compressed, so that hardly a changed one comes past
// the first checks. Any other input is one in the open: the index as JSON text, a NUL, and the bytes from 128 up to
// where the index starts. That is packed here, with the header and every hash in the index (those that are 32 digits)
// made right, so that what a fuzzer changes in the index is what a hostile writer could write. Free with free.
uint8_t *fuzz_container(const ContainerKind *kind, const uint8_t *data, size_t *size);

// Reads every tensor's bytes: they must be there.
void fuzz_tensors(const Tensor *tensors, size_t count);

#endif
