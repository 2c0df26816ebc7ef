#include "formats/torch_file.h"

#include "core/mem.h"
#include "core/size.h"
#include "formats/pickle.h"
#include "formats/zip.h"
#include <string.h>

enum {
    PICKLE_MAX = 64 << 20, // bytes of data.pkl
    NAME_MAX_BYTES = 255,  // of a tensor's name, as in a .nib
    KEY_MAX = 64,          // of a storage's key: a number in decimal
    COPY_BASE = 16 << 20, // bytes that copies of a file's tensors may take, and how much more for each byte of the file
    COPY_FACTOR = 16,
};

typedef enum GlobalKind {
    GLOBAL_TENSOR,    // _rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks)
    GLOBAL_TENSOR_V3, // the same and a type, the storage being bytes
    GLOBAL_PARAMETER, // _rebuild_parameter(tensor, requires_grad, hooks)
    GLOBAL_SIZE,      // torch.Size(tuple)
    GLOBAL_BYTES,     // UntypedStorage
    GLOBAL_STORAGE,   // of elements of `type`
    GLOBAL_TYPE,      // a torch.dtype
    GLOBAL_OTHER,     // a storage or type that is known by name only
} GlobalKind;

static const PickleGlobal globals[] = {
    {"torch._utils", "_rebuild_tensor_v2"},
    {"torch._utils", "_rebuild_tensor_v3"},
    {"torch._utils", "_rebuild_parameter"},
    {"torch", "Size"},
    {"torch.storage", "UntypedStorage"},
    {"torch", "FloatStorage"},
    {"torch", "HalfStorage"},
    {"torch", "BFloat16Storage"},
    {"torch", "DoubleStorage"},
    {"torch", "CharStorage"},
    {"torch", "ShortStorage"},
    {"torch", "IntStorage"},
    {"torch", "LongStorage"},
    {"torch", "ByteStorage"},
    {"torch", "BoolStorage"},
    {"torch", "float32"},
    {"torch", "float16"},
    {"torch", "bfloat16"},
    {"torch", "float64"},
    {"torch", "int8"},
    {"torch", "int16"},
    {"torch", "int32"},
    {"torch", "int64"},
    {"torch", "uint8"},
    {"torch", "bool"},
    {"torch", "ComplexFloatStorage"},
    {"torch", "ComplexDoubleStorage"},
    {"torch", "uint16"},
    {"torch", "uint32"},
    {"torch", "uint64"},
    {"torch", "float8_e4m3fn"},
    {"torch", "float8_e5m2"},
};

static const struct {
    GlobalKind kind;
    DType type;
} meanings[sizeof globals / sizeof *globals] = {
    {GLOBAL_TENSOR, 0},       {GLOBAL_TENSOR_V3, 0},    {GLOBAL_PARAMETER, 0},     {GLOBAL_SIZE, 0},
    {GLOBAL_BYTES, DT_U8},    {GLOBAL_STORAGE, DT_F32}, {GLOBAL_STORAGE, DT_F16},  {GLOBAL_STORAGE, DT_BF16},
    {GLOBAL_STORAGE, DT_F64}, {GLOBAL_STORAGE, DT_I8},  {GLOBAL_STORAGE, DT_I16},  {GLOBAL_STORAGE, DT_I32},
    {GLOBAL_STORAGE, DT_I64}, {GLOBAL_STORAGE, DT_U8},  {GLOBAL_STORAGE, DT_BOOL}, {GLOBAL_TYPE, DT_F32},
    {GLOBAL_TYPE, DT_F16},    {GLOBAL_TYPE, DT_BF16},   {GLOBAL_TYPE, DT_F64},     {GLOBAL_TYPE, DT_I8},
    {GLOBAL_TYPE, DT_I16},    {GLOBAL_TYPE, DT_I32},    {GLOBAL_TYPE, DT_I64},     {GLOBAL_TYPE, DT_U8},
    {GLOBAL_TYPE, DT_BOOL},   {GLOBAL_OTHER, 0},        {GLOBAL_OTHER, 0},         {GLOBAL_OTHER, 0},
    {GLOBAL_OTHER, 0},        {GLOBAL_OTHER, 0},        {GLOBAL_OTHER, 0},         {GLOBAL_OTHER, 0},
};

typedef struct Reader {
    TensorFile *file;
    Zip zip;
    Pickle pickle;
    const char *folder; // "NAME/", in the archive
    size_t folder_size;
    uint64_t copy_left;       // bytes that may still be copied or inflated
    const uint8_t **inflated; // [zip.count] bytes of deflated entries, since tensors may share them; NULL: not yet
} Reader;

// ---- what the pickle says

// Whether the value is a call of such a global; *arguments is what it is called with.
static bool is_call(const Reader *r, const PickleValue *v, GlobalKind kind, const PickleValue **arguments) {
    if (!v || v->kind != PICKLE_CALL) return false;
    *arguments = pickle_element(&r->pickle, v, 1);
    return meanings[pickle_element(&r->pickle, v, 0)->global].kind == kind;
}

static bool read_int(const PickleValue *v, int64_t *out) {
    if (!v || v->kind != PICKLE_INT || v->integer < 0) return false;
    *out = v->integer;
    return true;
}

// A tuple of whole numbers, or torch.Size of one; at most TENSOR_DIMS.
static bool read_ints(const Reader *r, const PickleValue *v, const char *what, const Tensor *t,
                      int64_t out[TENSOR_DIMS], int *count, Error *err) {
    const PickleValue *arguments;
    if (is_call(r, v, GLOBAL_SIZE, &arguments)) v = pickle_element(&r->pickle, arguments, 0);
    if (!v || v->kind != PICKLE_TUPLE) return error_set(err, "tensor %s: its %s is not a tuple", t->source, what);
    if (v->count > TENSOR_DIMS) return error_set(err, "tensor %s: has more than %d dimensions", t->source, TENSOR_DIMS);
    *count = (int)v->count;
    for (int i = 0; i < *count; i++)
        if (!read_int(pickle_element(&r->pickle, v, (size_t)i), &out[i]))
            return error_set(err, "tensor %s: its %s holds something else than whole numbers >= 0", t->source, what);
    return true;
}

typedef struct Storage {
    const PickleValue *key;
    uint32_t global; // its class
    int64_t elements;
} Storage;

// ('storage', class, key, device, elements)
static bool read_storage(const Reader *r, const PickleValue *v, const Tensor *t, Storage *s, Error *err) {
    const PickleValue *id = v && v->kind == PICKLE_PERSISTENT ? pickle_element(&r->pickle, v, 0) : NULL;
    const PickleValue *e[5] = {0};
    for (size_t i = 0; id && id->kind == PICKLE_TUPLE && id->count == 5 && i < 5; i++)
        e[i] = pickle_element(&r->pickle, id, i);
    if (!e[4] || e[0]->kind != PICKLE_TEXT || e[0]->count != 7 || memcmp(e[0]->text, "storage", 7) != 0 ||
        e[1]->kind != PICKLE_GLOBAL || e[1]->global >= sizeof globals / sizeof *globals || e[2]->kind != PICKLE_TEXT ||
        e[2]->count > KEY_MAX || !read_int(e[4], &s->elements))
        return error_set(err, "tensor %s: its storage is not described as torch.save does it", t->source);
    s->key = e[2];
    s->global = e[1]->global;
    return true;
}

static bool type_error(const Tensor *t, uint32_t global, Error *err) {
    return error_set(err,
                     "tensor %s: its type %s.%s is not supported; those supported are float32, float16, bfloat16, "
                     "float64, int8 to int64, uint8, bool",
                     t->source, globals[global].module, globals[global].name);
}

// ---- bytes

static const ZipEntry *find_storage(const Reader *r, const Storage *s) {
    char name[NAME_MAX_BYTES + KEY_MAX + 16];
    static const char folder[] = "data/";
    size_t n = sizeof folder - 1;
    memcpy(name, r->folder, r->folder_size);
    memcpy(name + r->folder_size, folder, n);
    memcpy(name + r->folder_size + n, s->key->text, s->key->count);
    return zip_find(&r->zip, name, r->folder_size + n + s->key->count);
}

static bool own_buffer(TensorFile *file, void *buffer, Error *err) {
    if (mem_grow(&file->buffers, file->buffer_count, &file->buffer_capacity, sizeof *file->buffers, err)) {
        file->buffers[file->buffer_count++] = buffer;
        return true;
    }
    mem_free(buffer);
    return false;
}

// The bytes of a deflated entry, inflated when it is met first.
static const uint8_t *inflate_storage(Reader *r, const ZipEntry *entry, Error *err) {
    if (!r->inflated) r->inflated = mem_alloc(r->zip.count, sizeof *r->inflated, err);
    if (!r->inflated) return NULL;
    const uint8_t **known = &r->inflated[entry - r->zip.entries];
    if (*known) return *known;
    uint8_t *data = zip_inflate(entry, r->copy_left, err);
    if (!data || !own_buffer(r->file, data, err)) return NULL;
    r->copy_left -= entry->size;
    return *known = data;
}

static bool is_contiguous(const Tensor *t, const int64_t stride[TENSOR_DIMS]) {
    int64_t expected = 1;
    for (int i = t->dims - 1; i >= 0; expected *= t->shape[i--])
        if (t->shape[i] != 1 && stride[i] != expected) return false;
    return true;
}

// Whether the strides are those of a contiguous tensor whose dimensions were permuted: each element is there once, and
// together they are one run of the storage.
static bool is_permuted(const Tensor *t, const int64_t stride[TENSOR_DIMS]) {
    int64_t expected = 1;
    bool used[TENSOR_DIMS] = {false};
    for (int n = 0; n < t->dims; n++) {
        int i = 0;
        while (i < t->dims && (used[i] || (t->shape[i] != 1 && stride[i] != expected))) i++;
        if (i == t->dims) return false;
        used[i] = true;
        expected *= t->shape[i];
    }
    return true;
}

// The elements in the order of the shape. Strides of dimensions of 1 are not used: they may be anything.
static void copy_permuted(const Tensor *t, const int64_t stride[TENSOR_DIMS], const uint8_t *from, uint8_t *to) {
    size_t width = dtype_info(t->type)->block_bytes, left = t->bytes / width;
    int64_t at[TENSOR_DIMS] = {0}, place = 0;
    while (left--) {
        memcpy(to, from + (size_t)place * width, width);
        to += width;
        for (int i = t->dims - 1; i >= 0; i--) {
            if (++at[i] < t->shape[i]) {
                place += stride[i];
                break;
            }
            place -= t->shape[i] > 1 ? stride[i] * (t->shape[i] - 1) : 0;
            at[i] = 0;
        }
    }
}

static bool own_permuted(Reader *r, Tensor *t, const int64_t stride[TENSOR_DIMS], Error *err) {
    if (t->bytes > r->copy_left)
        return error_set(err, "tensor %s: is one of too many with permuted dimensions; save contiguous ones",
                         t->source);
    uint8_t *copy = mem_alloc(t->bytes, 1, err);
    if (!copy || !own_buffer(r->file, copy, err)) return false;
    r->copy_left -= t->bytes;
    copy_permuted(t, stride, t->data, copy);
    t->data = copy;
    t->file = NULL;
    return true;
}

// t has type and shape; finds its bytes, `offset` elements into the storage.
static bool find_bytes(Reader *r, const Storage *s, int64_t offset, const int64_t stride[TENSOR_DIMS], Tensor *t,
                       Error *err) {
    char shape[96];
    int key_size = (int)s->key->count;
    const ZipEntry *entry = find_storage(r, s);
    if (!entry)
        return error_set(err, "tensor %s: its storage data/%.*s is not in the archive", t->source, key_size,
                         s->key->text);
    size_t stored_width = dtype_info(meanings[s->global].type)->block_bytes, bytes, start, end;
    if (!size_mul((size_t)s->elements, stored_width, &bytes) || bytes != entry->size)
        return error_set(err, "tensor %s: its storage data/%.*s should have %lld elements, but is %llu bytes long",
                         t->source, key_size, s->key->text, (long long)s->elements, (unsigned long long)entry->size);
    if (!tensor_size(t, err)) return false;
    bool in_place = !t->bytes || is_contiguous(t, stride);
    if (!in_place && !is_permuted(t, stride))
        return error_set(err, "tensor %s: %s is a view with gaps or repetitions; save it with .contiguous()", t->source,
                         tensor_shape_text(t, shape));
    size_t width = dtype_info(t->type)->block_bytes;
    if (!size_mul((size_t)offset, width, &start) || !size_add(start, t->bytes, &end) || end > entry->size)
        return error_set(err, "tensor %s: %s at element %lld lies outside its storage of %llu bytes", t->source,
                         tensor_shape_text(t, shape), (long long)offset, (unsigned long long)entry->size);
    const uint8_t *data = entry->deflated ? inflate_storage(r, entry, err) : entry->data;
    if (!data) return error_prefix(err, "tensor %s", t->source);
    t->data = data + start;
    t->file = entry->deflated ? NULL : r->file->map;
    return in_place || own_permuted(r, t, stride, err);
}

// ---- tensors

static bool read_tensor(Reader *r, const PickleValue *v, Tensor *t, Error *err) {
    const PickleValue *a;
    const Pickle *p = &r->pickle;
    if (is_call(r, v, GLOBAL_PARAMETER, &a)) v = pickle_element(p, a, 0);
    bool v3 = is_call(r, v, GLOBAL_TENSOR_V3, &a);
    if (!v3 && !is_call(r, v, GLOBAL_TENSOR, &a))
        return error_set(err, "\"%s\" is %s where a tensor should be; save a dictionary of tensors alone", t->source,
                         v ? pickle_kind_name(v->kind) : "nothing");
    Storage s = {0};
    int64_t offset, stride[TENSOR_DIMS] = {0};
    int strides;
    if (!read_storage(r, pickle_element(p, a, 0), t, &s, err)) return false;
    if (!read_int(pickle_element(p, a, 1), &offset))
        return error_set(err, "tensor %s: its offset is no whole number >= 0", t->source);
    if (!read_ints(r, pickle_element(p, a, 2), "shape", t, t->shape, &t->dims, err) ||
        !read_ints(r, pickle_element(p, a, 3), "stride", t, stride, &strides, err))
        return false;
    if (strides != t->dims)
        return error_set(err, "tensor %s: has %d dimensions but %d strides", t->source, t->dims, strides);
    const PickleValue *type = v3 ? pickle_element(p, a, 6) : NULL;
    if (v3 && (!type || type->kind != PICKLE_GLOBAL)) return error_set(err, "tensor %s: has no type", t->source);
    uint32_t global = v3 ? type->global : s.global;
    if (global >= sizeof globals / sizeof *globals || meanings[s.global].kind != (v3 ? GLOBAL_BYTES : GLOBAL_STORAGE) ||
        (v3 && meanings[global].kind != GLOBAL_TYPE))
        return type_error(t, global, err);
    t->type = meanings[global].type;
    return find_bytes(r, &s, offset, stride, t, err);
}

static bool add_tensor(Reader *r, const PickleValue *name, const PickleValue *value, Error *err) {
    TensorFile *file = r->file;
    if (name->kind != PICKLE_TEXT)
        return error_set(err, "has a key that is %s instead of a name", pickle_kind_name(name->kind));
    if (!name->count || name->count > NAME_MAX_BYTES || memchr(name->text, 0, name->count))
        return error_set(err, "has a name that is empty, longer than %d bytes, or holds a NUL", NAME_MAX_BYTES);
    Tensor *t = &file->tensors[file->count];
    t->source = mem_text(name->text, name->count, err);
    if (!t->source) return false;
    file->count++;
    return read_tensor(r, value, t, err);
}

static bool is_named(const PickleValue *v, const char *name) {
    return v->kind == PICKLE_TEXT && v->count == strlen(name) && memcmp(v->text, name, v->count) == 0;
}

// The dictionary of weights: the whole value, or that member of it which training checkpoints keep them as.
static const PickleValue *find_weights(const Reader *r, Error *err) {
    static const char *const members[] = {"state_dict", "model_state_dict", "model", "module"};
    const Pickle *p = &r->pickle;
    const PickleValue *root = &p->values[p->root];
    if (root->kind != PICKLE_DICT) {
        error_set(err, "holds %s instead of a dictionary of tensors; save the model's state_dict()",
                  pickle_kind_name(root->kind));
        return NULL;
    }
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        for (uint32_t cell = root->elements.first; cell; cell = p->cells[p->cells[cell].next].next) {
            const PickleValue *value = pickle_at(p, p->cells[cell].next);
            if (value->kind == PICKLE_DICT && is_named(pickle_at(p, cell), members[i])) return value;
        }
    return root;
}

static bool read_tensors(Reader *r, Error *err) {
    const Pickle *p = &r->pickle;
    const PickleValue *weights = find_weights(r, err);
    if (!weights) return false;
    if (!weights->count) return error_set(err, "holds no tensors");
    r->file->tensors = mem_alloc(weights->count / 2, sizeof *r->file->tensors, err);
    if (!r->file->tensors) return false;
    for (uint32_t cell = weights->elements.first; cell; cell = p->cells[p->cells[cell].next].next)
        if (!add_tensor(r, pickle_at(p, cell), pickle_at(p, p->cells[cell].next), err)) return false;
    return tensor_file_index(r->file, err);
}

// ---- the archive

// An entry of the archive's folder; NULL where absent.
static const ZipEntry *find_record(const Reader *r, const char *name) {
    char path[NAME_MAX_BYTES + 64];
    size_t n = strlen(name);
    memcpy(path, r->folder, r->folder_size);
    memcpy(path + r->folder_size, name, n);
    return zip_find(&r->zip, path, r->folder_size + n);
}

// The folder is the one that has a data.pkl.
static const ZipEntry *find_pickle(Reader *r, Error *err) {
    static const char name[] = "/data.pkl";
    size_t n = sizeof name - 1;
    const ZipEntry *found = NULL;
    for (size_t i = 0; i < r->zip.count; i++) {
        const ZipEntry *e = &r->zip.entries[i];
        if (e->name_size <= n || e->name_size > NAME_MAX_BYTES || memcmp(e->name + e->name_size - n, name, n) != 0)
            continue;
        if (found) {
            error_set(err, "has more than one data.pkl");
            return NULL;
        }
        found = e;
        r->folder = e->name;
        r->folder_size = e->name_size - n + 1;
    }
    if (!found) error_set(err, "is a zip archive, but not one that torch.save made: it has no data.pkl");
    return found;
}

// The bytes of an entry, *inflated (to be freed) where they are not in the map as they are.
static const uint8_t *read_entry(const ZipEntry *entry, uint64_t limit, uint8_t **inflated, Error *err) {
    *inflated = entry->deflated ? zip_inflate(entry, limit, err) : NULL;
    return entry->deflated ? *inflated : entry->data;
}

static bool check_records(const Reader *r, Error *err) {
    static const char little[] = "little";
    if (find_record(r, "constants.pkl"))
        return error_set(err, "is a TorchScript program, not weights; save the model's state_dict()");
    const ZipEntry *order = find_record(r, "byteorder");
    if (!order) return true;
    uint8_t *inflated = NULL;
    bool same = false;
    if (order->size == sizeof little - 1) {
        const uint8_t *data = read_entry(order, order->size, &inflated, err);
        if (!data) return false;
        same = memcmp(data, little, sizeof little - 1) == 0;
    }
    mem_free(inflated);
    return same || error_set(err, "its byteorder is not \"little\"; save it again on a little-endian machine");
}

static bool read_archive(Reader *r, Error *err) {
    if (!zip_open(r->file->map, &r->zip, err)) return false;
    const ZipEntry *entry = find_pickle(r, err);
    if (!entry || !check_records(r, err)) return false;
    if (entry->size > PICKLE_MAX)
        return error_set(err, "data.pkl: is %llu bytes long; weights need no more than %d",
                         (unsigned long long)entry->size, PICKLE_MAX);
    uint8_t *inflated;
    const uint8_t *data = read_entry(entry, PICKLE_MAX, &inflated, err);
    bool ok =
        data && (pickle_read(&r->pickle, data, (size_t)entry->size, globals, sizeof globals / sizeof *globals, err) ||
                 error_prefix(err, "data.pkl"));
    ok = ok && read_tensors(r, err);
    mem_free(inflated);
    return ok;
}

// Says what a file is that is no zip archive.
static bool refuse_other(const FileMap *map, Error *err) {
    // The number that starts a file of torch.save before 1.6, pickled (torch/serialization.py, MAGIC_NUMBER).
    static const uint8_t legacy[] = {0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19};
    static const char pointer[] = "version https://git-lfs";
    if (map->size >= sizeof legacy && memcmp(map->data, legacy, sizeof legacy) == 0)
        return error_set(err, "is in the format of PyTorch before 1.6, which is not supported; convert it with "
                              "torch.save(torch.load(FILE, map_location=\"cpu\", weights_only=True), FILE)");
    if (map->size >= sizeof pointer - 1 && memcmp(map->data, pointer, sizeof pointer - 1) == 0)
        return error_set(err, "is a Git LFS pointer instead of the weights; fetch them with git lfs pull");
    return error_set(err, "is not a file of torch.save: it does not start as a zip archive");
}

TensorFile *torch_file_open(const char *path, Error *err) {
    Reader r = {.file = mem_alloc(1, sizeof *r.file, err)};
    if (!r.file) return NULL;
    r.file->map = file_map(path, err);
    bool ok = r.file->map != NULL;
    if (ok) {
        r.copy_left = COPY_BASE + COPY_FACTOR * (uint64_t)r.file->map->size;
        ok = (zip_is(r.file->map) ? read_archive(&r, err) : refuse_other(r.file->map, err)) ||
             error_prefix(err, "%s", path);
    }
    zip_close(&r.zip);
    pickle_free(&r.pickle);
    mem_free(r.inflated);
    if (ok) return r.file;
    tensor_file_close(r.file);
    return NULL;
}
