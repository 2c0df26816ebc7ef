// The pipeline: added tokens out of the raw text; between them, normalize; added tokens out of that; between them,
// pre-tokenize; each piece through the model.
#include "eval/tokenizer.h"

#include "core/mem.h"
#include "core/utf8.h"
#include "eval/added_tokens.h"
#include "eval/bpe.h"
#include "eval/normalize.h"
#include "eval/pretokenize.h"
#include "eval/token_decode.h"
#include "eval/unigram.h"
#include "formats/tokenizer_files.h"
#include <stdlib.h>
#include <string.h>

struct Tokenizer {
    TokenizerSpec spec;
    NormalizerChain normalizers;
    PreTokenizerChain pre_tokenizers;
    DecoderChain decoders;
    Bpe bpe;                     // or:
    Unigram unigram;             // where the spec has scores
    AddedTokens raw, normalized; // looked for before and after normalizing
    TextBuffer *normalized_text; // [added_count] what to look for
    const AddedToken **by_id;    // [added_count] sorted by id
    int64_t size;
};

static int by_id(const void *a, const void *b) {
    int32_t x = (*(const AddedToken *const *)a)->id, y = (*(const AddedToken *const *)b)->id;
    return (x > y) - (x < y);
}

// Index of the added token in spec.added, by its id; -1 where the id is not of an added one.
static int64_t added_find(const Tokenizer *t, int32_t id) {
    AddedToken key = {.id = id};
    const AddedToken *pointer = &key, **found = NULL;
    if (t->spec.added_count) found = bsearch(&pointer, t->by_id, t->spec.added_count, sizeof pointer, by_id);
    return found ? *found - t->spec.added : -1;
}

static bool init_added(Tokenizer *t, Error *err) {
    size_t count = t->spec.added_count;
    bool ok = false;
    TextBuffer spare = {0};
    ExpressionScratch *scratch = expression_scratch_new(err);
    t->by_id = mem_alloc(count, sizeof *t->by_id, err);
    t->normalized_text = mem_alloc(count, sizeof *t->normalized_text, err);
    if (!scratch || !t->by_id || !t->normalized_text) goto done;
    for (size_t i = 0; i < count; i++) {
        const AddedToken *token = &t->spec.added[i];
        const char *text = token->content.data;
        size_t size = token->content.size;
        bool at_start = true;
        t->by_id[i] = token;
        if (token->id >= t->size) t->size = token->id + 1;
        if (token->normalized) {
            TextBuffer *to = &t->normalized_text[i];
            if (!normalizer_chain_run(&t->normalizers, scratch, text, size, to, &spare, &at_start, err)) goto done;
            text = to->data;
            size = to->size;
        }
        if (!added_tokens_add(token->normalized ? &t->normalized : &t->raw, token, text, size, err)) goto done;
    }
    if (count) qsort(t->by_id, count, sizeof *t->by_id, by_id);
    for (size_t i = 1; i < count; i++)
        if (t->by_id[i]->id == t->by_id[i - 1]->id) {
            error_set(err, "added token %d is there twice", t->by_id[i]->id);
            goto done;
        }
    ok = added_tokens_finish(&t->raw, err) && added_tokens_finish(&t->normalized, err);
done:
    expression_scratch_free(scratch);
    text_free(&spare);
    return ok;
}

// The ids of a template are written down beside the vocabulary and may lie.
static bool check_template(const Tokenizer *t, const int32_t *ids, size_t count, Error *err) {
    for (size_t i = 0; i < count; i++)
        if (ids[i] < 0 || ids[i] >= t->size)
            return error_set(err, "puts the id %d around a text, which is none of its vocabulary of %lld", ids[i],
                             (long long)t->size);
    return true;
}

Tokenizer *tokenizer_new(const Model *model, Error *err) {
    const char *file;
    Tokenizer *t = mem_alloc(1, sizeof *t, err);
    if (!t) return NULL;
    if (tokenizer_files_read(model, &t->spec, &file, err)) {
        t->size = t->spec.vocab.id_limit;
        if ((t->spec.scores ? unigram_init(&t->unigram, &t->spec, err) : bpe_init(&t->bpe, &t->spec, err)) &&
            normalizer_chain_init(&t->normalizers, &t->spec, err) &&
            pre_tokenizer_chain_init(&t->pre_tokenizers, &t->spec, err) &&
            decoder_chain_init(&t->decoders, &t->spec, err) && init_added(t, err) &&
            check_template(t, t->spec.prefix, t->spec.prefix_count, err) &&
            check_template(t, t->spec.suffix, t->spec.suffix_count, err))
            return t;
        error_prefix(err, "%s: %s", model->path, file);
    }
    tokenizer_free(t);
    return NULL;
}

void tokenizer_free(Tokenizer *t) {
    if (!t) return;
    normalizer_chain_free(&t->normalizers);
    pre_tokenizer_chain_free(&t->pre_tokenizers);
    decoder_chain_free(&t->decoders);
    bpe_free(&t->bpe);
    unigram_free(&t->unigram);
    added_tokens_free(&t->raw);
    added_tokens_free(&t->normalized);
    for (size_t i = 0; t->normalized_text && i < t->spec.added_count; i++) text_free(&t->normalized_text[i]);
    mem_free(t->normalized_text);
    mem_free(t->by_id);
    tokenizer_spec_free(&t->spec);
    mem_free(t);
}

void ids_free(Ids *ids) {
    mem_free(ids->ids);
    *ids = (Ids){0};
}

// What one call works with.
typedef struct EncodeWork {
    ExpressionScratch *scratch;
    TextBuffer repaired, normalized, spare;
    AddedParts raw_parts, normalized_parts;
    Pieces pieces;
    BpeWork bpe;
    UnigramWork unigram;
    IdList ids;
} EncodeWork;

static void work_free(EncodeWork *work) {
    expression_scratch_free(work->scratch);
    text_free(&work->repaired);
    text_free(&work->normalized);
    text_free(&work->spare);
    mem_free(work->raw_parts.items);
    mem_free(work->normalized_parts.items);
    pieces_free(&work->pieces);
    bpe_work_free(&work->bpe);
    unigram_work_free(&work->unigram);
    mem_free(work->ids.items);
}

static bool encode_pieces(const Tokenizer *t, EncodeWork *work, const char *text, size_t size, bool at_start,
                          Error *err) {
    Pieces *p = &work->pieces;
    if (!pre_tokenizer_chain_run(&t->pre_tokenizers, work->scratch, text, size, at_start, p, err)) return false;
    for (size_t i = 0; i < p->list.count; i++) {
        Piece piece = p->list.items[i];
        const char *start = p->text.data + piece.start;
        size_t length = piece.end - piece.start;
        if (!(t->spec.scores ? unigram_encode(&t->unigram, &work->unigram, start, length, &work->ids, err)
                             : bpe_encode(&t->bpe, &work->bpe, start, length, &work->ids, err)))
            return false;
    }
    return true;
}

// A stretch between added tokens of the raw text.
static bool encode_stretch(const Tokenizer *t, EncodeWork *work, const char *text, size_t size, bool at_start,
                           Error *err) {
    TextBuffer *normalized = &work->normalized;
    AddedParts *parts = &work->normalized_parts;
    if (!normalizer_chain_run(&t->normalizers, work->scratch, text, size, normalized, &work->spare, &at_start, err) ||
        !added_tokens_split(&t->normalized, work->scratch, normalized->data, normalized->size, parts, err))
        return false;
    for (size_t i = 0; i < parts->count; i++) {
        AddedPart part = parts->items[i];
        if (!(part.token ? id_list_add(&work->ids, part.token->id, err)
                         : encode_pieces(t, work, normalized->data + part.start, part.end - part.start,
                                         at_start && part.start == 0, err)))
            return false;
    }
    return true;
}

static bool encode_all(const Tokenizer *t, EncodeWork *work, const char *text, size_t size, Error *err) {
    if (!added_tokens_split(&t->raw, work->scratch, text, size, &work->raw_parts, err)) return false;
    for (size_t i = 0; i < work->raw_parts.count; i++) {
        AddedPart part = work->raw_parts.items[i];
        if (!(part.token ? id_list_add(&work->ids, part.token->id, err)
                         : encode_stretch(t, work, text + part.start, part.end - part.start, part.start == 0, err)))
            return false;
    }
    return true;
}

static bool add_template(IdList *list, const int32_t *ids, size_t count, Error *err) {
    for (size_t i = 0; i < count; i++)
        if (!id_list_add(list, ids[i], err)) return false;
    return true;
}

bool tokenizer_encode(const Tokenizer *t, const char *text, size_t size, bool with_template, Ids *out, Error *err) {
    EncodeWork work = {.scratch = expression_scratch_new(err)};
    const TokenizerSpec *spec = &t->spec;
    bool ok = work.scratch != NULL;
    if (ok && size && utf8_valid_prefix(text, size) != size) {
        ok = text_append_repaired(&work.repaired, text, size, err);
        text = work.repaired.data;
        size = work.repaired.size;
    }
    ok = ok && (!with_template || add_template(&work.ids, spec->prefix, spec->prefix_count, err)) &&
         (!size || encode_all(t, &work, text, size, err)) &&
         (!with_template || add_template(&work.ids, spec->suffix, spec->suffix_count, err));
    if (ok) {
        *out = (Ids){work.ids.items, work.ids.count};
        work.ids.items = NULL;
    }
    work_free(&work);
    return ok;
}

// The text of a token as the decoders want it; false where the id has none.
static bool token_text(const Tokenizer *t, int32_t id, bool keep_special, const char **text, size_t *size) {
    int64_t added = added_find(t, id);
    if (added < 0) return (*text = vocab_text(&t->spec.vocab, id, size)) != NULL;
    const AddedToken *token = &t->spec.added[added];
    const TextBuffer *normalized = &t->normalized_text[added];
    *text = token->normalized ? normalized->data : token->content.data;
    *size = token->normalized ? normalized->size : token->content.size;
    // `tokenizers` goes by the text here: a special token that normalizing changes is not left out.
    if (token->special && !keep_special && *size == token->content.size &&
        memcmp(*text, token->content.data, *size) == 0)
        *text = NULL;
    return true;
}

bool tokenizer_decode(const Tokenizer *t, const int32_t *ids, size_t count, bool keep_special, char **text,
                      size_t *size, Error *err) {
    TokenTexts texts = {0};
    TextBuffer out = {0};
    ExpressionScratch *scratch = expression_scratch_new(err);
    bool ok = scratch != NULL;
    for (size_t i = 0; ok && i < count; i++) {
        const char *token;
        size_t token_size;
        if (!token_text(t, ids[i], keep_special, &token, &token_size))
            ok = error_set(err, "id %d, number %zu, is not in the vocabulary of %lld", ids[i], i, (long long)t->size);
        else if (token)
            ok = token_texts_add(&texts, token, token_size, err);
    }
    ok = ok && decoder_chain_run(&t->decoders, scratch, &texts, &out, err) && text_append(&out, "", 1, err);
    expression_scratch_free(scratch);
    token_texts_free(&texts);
    if (!ok) {
        text_free(&out);
        return false;
    }
    *text = out.data;
    *size = out.size - 1; // without the NUL that makes it a C string too
    return true;
}

int64_t tokenizer_bos(const Tokenizer *t) { return t->spec.prefix_count ? t->spec.prefix[0] : -1; }

int64_t tokenizer_size(const Tokenizer *t) { return t->size; }

bool tokenizer_is_special(const Tokenizer *t, int32_t id) {
    int64_t added = added_find(t, id);
    return added >= 0 && t->spec.added[added].special;
}
