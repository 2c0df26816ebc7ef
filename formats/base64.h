// Base64 (RFC 4648, section 4), as JSON files carry bytes.
#ifndef FORMATS_BASE64_H
#define FORMATS_BASE64_H

#include "core/error.h"
#include <stddef.h>
#include <stdint.h>

// The bytes, or NULL with a message. Free with mem_free.
uint8_t *base64_decode(const char *text, size_t length, size_t *size, Error *err);

#endif
