#include "formats/protobuf.h"

enum { VARINT_BYTES = 10, WIRE_BITS = 3 };

static bool cut_short(Error *err) { return error_set(err, "a field is cut short"); }

static bool read_varint(ProtoReader *r, uint64_t *value, Error *err) {
    *value = 0;
    for (int i = 0; i < VARINT_BYTES; i++) {
        if (r->at == r->end) return cut_short(err);
        uint8_t b = *r->at++;
        *value |= (uint64_t)(b & 0x7f) << 7 * i;
        if (!(b & 0x80)) return true;
    }
    return error_set(err, "a number has more than %d bytes", VARINT_BYTES);
}

static bool read_fixed(ProtoReader *r, size_t bytes, uint64_t *value, Error *err) {
    if ((size_t)(r->end - r->at) < bytes) return cut_short(err);
    *value = 0;
    for (size_t i = 0; i < bytes; i++) *value |= (uint64_t)r->at[i] << 8 * i;
    r->at += bytes;
    return true;
}

bool proto_next(ProtoReader *r, ProtoField *field, Error *err) {
    uint64_t tag;
    *field = (ProtoField){0};
    if (!read_varint(r, &tag, err)) return false;
    if (tag >> WIRE_BITS == 0 || tag > UINT32_MAX) return error_set(err, "a field has no valid number");
    field->number = (uint32_t)(tag >> WIRE_BITS);
    field->wire = (ProtoWire)(tag & 7);
    switch (field->wire) {
    case PROTO_VARINT: return read_varint(r, &field->value, err);
    case PROTO_FIXED64: return read_fixed(r, 8, &field->value, err);
    case PROTO_FIXED32: return read_fixed(r, 4, &field->value, err);
    case PROTO_BYTES:
        if (!read_varint(r, &field->value, err)) return false;
        if (field->value > (size_t)(r->end - r->at)) return cut_short(err);
        field->bytes = r->at;
        field->size = (size_t)field->value;
        r->at += field->size;
        return true;
    }
    return error_set(err, "field %u is of kind %u, which is not supported", field->number, (unsigned)(tag & 7));
}

bool proto_is(const ProtoField *field, ProtoWire wire, Error *err) {
    return field->wire == wire ||
           error_set(err, "field %u is of kind %d instead of %d", field->number, (int)field->wire, (int)wire);
}
