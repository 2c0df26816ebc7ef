// Reader of Protocol Buffers' wire format (https://protobuf.dev/programming-guides/encoding), field by field.
#ifndef FORMATS_PROTOBUF_H
#define FORMATS_PROTOBUF_H

#include "core/error.h"
#include <stddef.h>
#include <stdint.h>

typedef struct ProtoReader {
    const uint8_t *at, *end;
} ProtoReader;

typedef enum ProtoWire { PROTO_VARINT, PROTO_FIXED64, PROTO_BYTES, PROTO_FIXED32 = 5 } ProtoWire;

typedef struct ProtoField {
    uint32_t number;
    ProtoWire wire;
    uint64_t value;       // of a varint or a fixed one
    const uint8_t *bytes; // of PROTO_BYTES: a text, bytes or a message; in the reader's data
    size_t size;
} ProtoField;

static inline ProtoReader proto_reader(const void *data, size_t size) {
    return (ProtoReader){data, (const uint8_t *)data + size};
}
static inline bool proto_more(const ProtoReader *reader) { return reader->at < reader->end; }

// The next field, while there is more. Groups, which nothing writes any longer, are an error.
bool proto_next(ProtoReader *reader, ProtoField *field, Error *err);

// Whether the field is of that kind; an error otherwise.
bool proto_is(const ProtoField *field, ProtoWire wire, Error *err);

#endif
