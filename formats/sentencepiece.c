#include "formats/sentencepiece.h"

#include "core/mem.h"
#include "core/utf8.h"
#include "formats/protobuf.h"
#include "formats/tokenizer_config.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

// Numbers of the fields in sentencepiece_model.proto.
enum { MODEL_PIECES = 1, MODEL_TRAINER = 2, MODEL_NORMALIZER = 3, MODEL_DENORMALIZER = 5 };
enum { PIECE_TEXT = 1, PIECE_SCORE = 2, PIECE_TYPE = 3 };
enum {
    TRAINER_TYPE = 3,
    TRAINER_SUFFIX = 24,
    TRAINER_BYTE_FALLBACK = 35,
    TRAINER_UNK = 40,
    TRAINER_BOS = 41,
    TRAINER_EOS = 42,
};
enum { RULE_CHARSMAP = 2, RULE_PREFIX = 3, RULE_EXTRA = 4, RULE_ESCAPE = 5 };

typedef enum PieceType { NORMAL = 1, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE } PieceType;
enum { UNIGRAM = 1, BPE = 2 };

// Hashing every cut of every piece takes the square of a piece's length: this many bytes in all, a quarter of a second.
// The largest vocabularies in use take a hundredth of it.
enum { CUTS_MAX = 1 << 30 };

static const char mark[] = "\xE2\x96\x81"; // U+2581

typedef struct SentencePiece {
    const char *text;
    size_t size;
    float score;
    int64_t type;
} SentencePiece;

typedef struct SentenceModel {
    SentencePiece *pieces;
    size_t count, capacity;
    int64_t type, unk, bos, eos;
    bool byte_fallback, suffix, prefix, strip, escape;
    Text charsmap; // compiled rules of the normalization, in the message; of size 0 for the identity
    bool has_denormalizer;
} SentenceModel;

// ---- the message

static bool read_piece(const ProtoField *message, SentenceModel *m, Error *err) {
    if (!mem_grow(&m->pieces, m->count, &m->capacity, sizeof *m->pieces, err)) return false;
    SentencePiece *piece = &m->pieces[m->count];
    *piece = (SentencePiece){.text = "", .type = NORMAL};
    ProtoReader r = proto_reader(message->bytes, message->size);
    while (proto_more(&r)) {
        ProtoField f;
        if (!proto_next(&r, &f, err)) return false;
        if (f.number == PIECE_TEXT) {
            if (!proto_is(&f, PROTO_BYTES, err)) return false;
            piece->text = (const char *)f.bytes;
            piece->size = f.size;
        } else if (f.number == PIECE_SCORE) {
            uint32_t bits = (uint32_t)f.value;
            if (!proto_is(&f, PROTO_FIXED32, err)) return false;
            memcpy(&piece->score, &bits, sizeof bits);
        } else if (f.number == PIECE_TYPE) {
            if (!proto_is(&f, PROTO_VARINT, err)) return false;
            piece->type = (int64_t)f.value;
        }
    }
    if (!piece->size || utf8_valid_prefix(piece->text, piece->size) != piece->size)
        return error_set(err, "is empty or not UTF-8");
    if (isnan(piece->score)) return error_set(err, "its score is not a number");
    if (piece->type < NORMAL || piece->type > BYTE)
        return error_set(err, "is of type %lld, which is not known", (long long)piece->type);
    m->count++;
    return true;
}

// A number, of a bool too, where the field is the one of that number.
static bool take_number(const ProtoField *f, uint32_t number, int64_t *value, Error *err) {
    if (f->number != number) return true;
    *value = (int32_t)(uint32_t)f->value; // negative ones are stored with 64 bits
    return proto_is(f, PROTO_VARINT, err);
}

static bool take_bool(const ProtoField *f, uint32_t number, bool *value, Error *err) {
    int64_t v = *value;
    if (!take_number(f, number, &v, err)) return false;
    *value = v != 0;
    return true;
}

static bool read_trainer(const ProtoField *message, SentenceModel *m, Error *err) {
    ProtoReader r = proto_reader(message->bytes, message->size);
    while (proto_more(&r)) {
        ProtoField f;
        if (!proto_next(&r, &f, err) || !take_number(&f, TRAINER_TYPE, &m->type, err) ||
            !take_bool(&f, TRAINER_SUFFIX, &m->suffix, err) ||
            !take_bool(&f, TRAINER_BYTE_FALLBACK, &m->byte_fallback, err) ||
            !take_number(&f, TRAINER_UNK, &m->unk, err) || !take_number(&f, TRAINER_BOS, &m->bos, err) ||
            !take_number(&f, TRAINER_EOS, &m->eos, err))
            return false;
    }
    return true;
}

static bool read_normalizer(const ProtoField *message, SentenceModel *m, Error *err) {
    ProtoReader r = proto_reader(message->bytes, message->size);
    while (proto_more(&r)) {
        ProtoField f;
        if (!proto_next(&r, &f, err) || !take_bool(&f, RULE_PREFIX, &m->prefix, err) ||
            !take_bool(&f, RULE_EXTRA, &m->strip, err) || !take_bool(&f, RULE_ESCAPE, &m->escape, err))
            return false;
        if (f.number != RULE_CHARSMAP) continue;
        if (!proto_is(&f, PROTO_BYTES, err)) return false;
        m->charsmap = (Text){(char *)(uintptr_t)f.bytes, f.size};
    }
    return true;
}

static bool read_denormalizer(const ProtoField *message, SentenceModel *m, Error *err) {
    ProtoReader r = proto_reader(message->bytes, message->size);
    while (proto_more(&r)) {
        ProtoField f;
        if (!proto_next(&r, &f, err)) return false;
        if (f.number == RULE_CHARSMAP) m->has_denormalizer = f.size != 0;
    }
    return true;
}

static bool read_message(const void *data, size_t size, SentenceModel *m, Error *err) {
    ProtoReader r = proto_reader(data, size);
    while (proto_more(&r)) {
        ProtoField f;
        if (!proto_next(&r, &f, err)) return false;
        if (f.number != MODEL_PIECES && f.number != MODEL_TRAINER && f.number != MODEL_NORMALIZER &&
            f.number != MODEL_DENORMALIZER)
            continue;
        if (!proto_is(&f, PROTO_BYTES, err)) return false;
        if (f.number == MODEL_PIECES && !read_piece(&f, m, err)) return error_prefix(err, "piece %zu", m->count);
        if (f.number == MODEL_TRAINER && !read_trainer(&f, m, err)) return error_prefix(err, "trainer_spec");
        if (f.number == MODEL_NORMALIZER && !read_normalizer(&f, m, err)) return error_prefix(err, "normalizer_spec");
        if (f.number == MODEL_DENORMALIZER && !read_denormalizer(&f, m, err))
            return error_prefix(err, "denormalizer_spec");
    }
    return m->count || error_set(err, "has no pieces: not a SentencePiece model?");
}

// What would change the ids and cannot be done must not be passed over.
static bool check_supported(const SentenceModel *m, Error *err) {
    if (m->type != BPE && m->type != UNIGRAM)
        return error_set(err, "is a model of type %lld, which is not supported; supported are 1 (Unigram) and 2 (BPE)",
                         (long long)m->type);
    if (m->has_denormalizer) return error_set(err, "its denormalizer_spec is not supported");
    if (m->suffix) return error_set(err, "treat_whitespace_as_suffix is not supported");
    return m->escape || error_set(err, "escape_whitespaces = false is not supported");
}

// ---- vocabulary and merges

static bool make_vocab(const SentenceModel *m, TokenizerSpec *spec, Error *err) {
    size_t bytes = 0;
    for (size_t i = 0; i < m->count; i++) bytes += m->pieces[i].size;
    if (!vocab_init(&spec->vocab, m->count, bytes, (int64_t)m->count, err)) return false;
    for (size_t i = 0; i < m->count; i++)
        if (!vocab_add(&spec->vocab, m->pieces[i].text, m->pieces[i].size, (int64_t)i, err)) return false;
    return true;
}

typedef struct Cut {
    Merge merge;
    float score;   // of the piece
    uint32_t left; // bytes of the left side
} Cut;

// Better scores first; of the same piece the cut that is further left, as transformers orders them.
static int by_score(const void *a, const void *b) {
    const Cut *x = a, *y = b;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    if (x->merge.result != y->merge.result) return x->merge.result < y->merge.result ? -1 : 1;
    return (x->left > y->left) - (x->left < y->left);
}

typedef struct Cuts {
    Cut *items;
    size_t count, capacity;
} Cuts;

static bool add_cuts(const SentencePiece *piece, int32_t id, const Vocab *vocab, Cuts *cuts, Error *err) {
    uint32_t c;
    for (size_t at = utf8_decode(piece->text, &c); at < piece->size; at += utf8_decode(piece->text + at, &c)) {
        int32_t left = vocab_find(vocab, piece->text, at);
        int32_t right = left < 0 ? -1 : vocab_find(vocab, piece->text + at, piece->size - at);
        if (right < 0) continue;
        if (!mem_grow(&cuts->items, cuts->count, &cuts->capacity, sizeof *cuts->items, err)) return false;
        cuts->items[cuts->count++] = (Cut){{left, right, id}, piece->score, (uint32_t)at};
    }
    return true;
}

static bool make_merges(const SentenceModel *m, TokenizerSpec *spec, Error *err) {
    Cuts cuts = {0};
    uint64_t work = 0;
    bool ok = true;
    for (size_t i = 0; ok && i < m->count; i++) {
        const SentencePiece *piece = &m->pieces[i];
        // No text becomes one of the others by merging.
        if (piece->type == UNKNOWN || piece->type == CONTROL || piece->type == BYTE) continue;
        // The first keeps the square of it in range.
        if (piece->size > CUTS_MAX / piece->size || (work += piece->size * piece->size) > CUTS_MAX)
            ok = error_set(err, "piece %zu: it and those before are too long together", i);
        else
            ok = add_cuts(piece, (int32_t)i, &spec->vocab, &cuts, err);
    }
    if (ok && cuts.count) qsort(cuts.items, cuts.count, sizeof *cuts.items, by_score);
    ok = ok && (spec->merges = mem_alloc(cuts.count, sizeof *spec->merges, err));
    for (size_t i = 0; ok && i < cuts.count; i++) spec->merges[spec->merge_count++] = cuts.items[i].merge;
    mem_free(cuts.items);
    return ok;
}

static bool make_scores(const SentenceModel *m, TokenizerSpec *spec, Error *err) {
    spec->scores = mem_alloc(m->count, sizeof *spec->scores, err);
    for (size_t i = 0; spec->scores && i < m->count; i++) {
        spec->scores[i] = (double)m->pieces[i].score;
        if (isinf(m->pieces[i].score)) return error_set(err, "piece %zu: its score is infinite", i);
    }
    return spec->scores != NULL;
}

// ---- the rest

static bool set_text(Text *text, const char *data, size_t size, Error *err) {
    text->data = mem_text(data, size, err);
    text->size = size;
    return text->data != NULL;
}

static bool set_constant(Text *text, const char *data, Error *err) { return set_text(text, data, strlen(data), err); }

static bool add_symbols(const SentenceModel *m, TokenizerSpec *spec, Error *err) {
    size_t count = 0;
    for (size_t i = 0; i < m->count; i++) count += m->pieces[i].type >= UNKNOWN && m->pieces[i].type <= USER_DEFINED;
    spec->added = mem_alloc(count, sizeof *spec->added, err);
    if (!spec->added) return false;
    for (size_t i = 0; i < m->count; i++) {
        const SentencePiece *piece = &m->pieces[i];
        if (piece->type < UNKNOWN || piece->type > USER_DEFINED) continue;
        AddedToken *token = &spec->added[spec->added_count++];
        token->id = (int32_t)i;
        token->special = piece->type != USER_DEFINED;
        if (!set_text(&token->content, piece->text, piece->size, err)) return false;
    }
    return true;
}

static bool set_unknown(const SentenceModel *m, TokenizerSpec *spec, Error *err) {
    if (m->unk < 0 || m->unk >= (int64_t)m->count || m->pieces[m->unk].type != UNKNOWN)
        return error_set(err, "trainer_spec: its unk_id %lld is not that of an unknown piece", (long long)m->unk);
    const SentencePiece *unknown = &m->pieces[m->unk];
    spec->unk = (int32_t)m->unk;
    spec->fuse_unk = true;
    spec->byte_fallback = m->byte_fallback;
    return set_text(&spec->unk_token, unknown->text, unknown->size, err);
}

static bool add_replace(TokenizerSpec *spec, const char *expression, const char *by, Error *err) {
    Normalizer *n = &spec->normalizers[spec->normalizer_count++];
    *n = (Normalizer){.kind = NORM_REPLACE, .pattern.regex = true};
    return set_constant(&n->pattern.text, expression, err) && set_constant(&n->content, by, err);
}

static bool set_spaces(const SentenceModel *m, PrependScheme scheme, TokenizerSpec *spec, Error *err) {
    spec->normalizers = mem_alloc(3, sizeof *spec->normalizers, err);
    spec->pre_tokenizers = mem_alloc(1, sizeof *spec->pre_tokenizers, err);
    if (!spec->normalizers || !spec->pre_tokenizers) return false;
    if (m->charsmap.size) {
        Normalizer *n = &spec->normalizers[spec->normalizer_count++];
        n->kind = NORM_PRECOMPILED;
        if (!set_text(&n->content, m->charsmap.data, m->charsmap.size, err)) return false;
    }
    if (m->strip && (!add_replace(spec, "\\A +| +\\z", "", err) || !add_replace(spec, " {2,}", " ", err))) return false;
    PreTokenizer *p = &spec->pre_tokenizers[spec->pre_tokenizer_count++];
    *p = (PreTokenizer){.kind = PRE_METASPACE, .scheme = scheme};
    return set_constant(&p->content, mark, err);
}

static bool set_decoders(PrependScheme scheme, TokenizerSpec *spec, Error *err) {
    spec->decoders = mem_alloc(4, sizeof *spec->decoders, err);
    if (!spec->decoders) return false;
    TokenDecoder *d = spec->decoders;
    d[0].kind = DECODE_REPLACE;
    d[1].kind = DECODE_BYTE_FALLBACK;
    d[2].kind = DECODE_FUSE;
    spec->decoder_count = 3;
    if (!set_constant(&d[0].pattern.text, mark, err) || !set_constant(&d[0].content, " ", err)) return false;
    if (scheme == PREPEND_NEVER) return true;
    d[3] = (TokenDecoder){.kind = DECODE_STRIP, .start = 1};
    spec->decoder_count = 4;
    return set_constant(&d[3].content, " ", err);
}

static int64_t control(const SentenceModel *m, int64_t id) {
    return id >= 0 && id < (int64_t)m->count && m->pieces[id].type == CONTROL ? id : -1;
}

static bool make_spec(const SentenceModel *m, const cJSON *config, TokenizerSpec *spec, Error *err) {
    bool legacy = false, prefix = m->prefix;
    if (!json_bool(config, "legacy", &legacy, err) || !json_bool(config, "add_prefix_space", &prefix, err))
        return error_prefix(err, "tokenizer_config.json");
    // A text whose first spaces were taken away does not count as first.
    PrependScheme scheme = !prefix ? PREPEND_NEVER : legacy || m->strip ? PREPEND_ALWAYS : PREPEND_FIRST;
    int64_t bos = control(m, m->bos), eos = control(m, m->eos);
    return check_supported(m, err) && make_vocab(m, spec, err) &&
           (m->type == UNIGRAM ? make_scores(m, spec, err) : make_merges(m, spec, err)) && set_unknown(m, spec, err) &&
           add_symbols(m, spec, err) && set_spaces(m, scheme, spec, err) && set_decoders(scheme, spec, err) &&
           tokenizer_config_add_tokens(config, spec, err) &&
           tokenizer_config_set_template(config, bos >= 0, bos, eos, spec, err);
}

bool sentencepiece_read(const void *data, size_t size, const cJSON *config, TokenizerSpec *spec, Error *err) {
    SentenceModel m = {.type = UNIGRAM, .bos = 1, .eos = 2, .prefix = true, .strip = true, .escape = true};
    *spec = (TokenizerSpec){.unk = -1};
    bool ok = read_message(data, size, &m, err) && make_spec(&m, config, spec, err);
    mem_free(m.pieces);
    return ok;
}
