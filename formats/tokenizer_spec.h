// What a tokenizer is, whatever file it came from: tokenizer.json fills this (tokenizer_json.h), eval/ runs it.
// The pipeline and its constructs are those of Hugging Face's `tokenizers` (https://huggingface.co/docs/tokenizers):
// added tokens are cut out, the rest is normalized, pre-tokenized into pieces, and each piece is merged by the model.
#ifndef FORMATS_TOKENIZER_SPEC_H
#define FORMATS_TOKENIZER_SPEC_H

#include "formats/vocab.h"

// Owned UTF-8 text; NUL-terminated for messages, but a NUL may be inside it too.
typedef struct Text {
    char *data;
    size_t size;
} Text;

typedef struct Pattern {
    bool regex; // an Oniguruma expression in Ruby's syntax (github.com/kkos/oniguruma, doc/RE); else literal text
    Text text;
} Pattern;

typedef enum NormalizerKind {
    NORM_NFC,
    NORM_NFD,
    NORM_NFKC,
    NORM_NFKD,
    NORM_LOWERCASE,
    NORM_PREPEND,     // content, before text that is not empty
    NORM_REPLACE,     // pattern by content
    NORM_STRIP,       // white space, left and right
    NORM_PRECOMPILED, // content: SentencePiece's compiled rules (eval/charsmap.h)
} NormalizerKind;

typedef struct Normalizer {
    NormalizerKind kind;
    Pattern pattern;
    Text content;
    bool left, right;
} Normalizer;

// What becomes of the matches of a splitting pattern.
typedef enum SplitBehavior {
    SPLIT_REMOVED,
    SPLIT_ISOLATED,
    SPLIT_MERGED_WITH_PREVIOUS,
    SPLIT_MERGED_WITH_NEXT,
    SPLIT_CONTIGUOUS, // isolated, adjacent matches together
} SplitBehavior;

typedef enum PrependScheme { PREPEND_ALWAYS, PREPEND_FIRST, PREPEND_NEVER } PrependScheme;

typedef enum PreTokenizerKind {
    PRE_SPLIT,            // pattern, behavior, invert
    PRE_BYTE_LEVEL,       // prefix_space, split (by GPT-2's expression); then bytes become printable characters
    PRE_DIGITS,           // behavior
    PRE_METASPACE,        // content (one character) for spaces, scheme, split
    PRE_WHITESPACE,       // runs of word characters and of other visible ones
    PRE_WHITESPACE_SPLIT, // between white space
    PRE_PUNCTUATION,      // behavior
} PreTokenizerKind;

typedef struct PreTokenizer {
    PreTokenizerKind kind;
    Pattern pattern;
    SplitBehavior behavior;
    bool invert;
    bool prefix_space;
    bool split;
    Text content;
    PrependScheme scheme;
} PreTokenizer;

typedef enum DecoderKind {
    DECODE_BYTE_LEVEL,
    DECODE_REPLACE, // pattern by content
    DECODE_BYTE_FALLBACK,
    DECODE_FUSE,
    DECODE_STRIP,     // content (one character): at most start of them from the start, stop from the end
    DECODE_METASPACE, // content, scheme
} DecoderKind;

typedef struct TokenDecoder {
    DecoderKind kind;
    Pattern pattern;
    Text content;
    size_t start, stop;
    PrependScheme scheme;
} TokenDecoder;

typedef struct AddedToken {
    Text content;
    int32_t id;
    bool single_word;    // only where no word character is beside it
    bool lstrip, rstrip; // takes the white space beside it along
    bool normalized;     // found in normalized text, as its own normalized self
    bool special;        // left out when decoding
} AddedToken;

// Two neighbours become one. A merge's rank is its index: lower goes first.
typedef struct Merge {
    int32_t left, right, result;
} Merge;

typedef struct TokenizerSpec {
    Vocab vocab;
    Merge *merges;
    size_t merge_count;
    double *scores;     // [vocab.count] by id: the model is Unigram, not byte-pair encoding; else NULL
    bool byte_fallback; // characters outside the vocabulary become its tokens <0x00> to <0xFF>
    bool fuse_unk;      // neighbouring unknown characters are one
    bool ignore_merges; // a piece that is in the vocabulary is that token, whatever the merges make of it
    Text unk_token;     // data NULL: unknown characters vanish
    int32_t unk;        // its id; -1 where there is none
    AddedToken *added;
    size_t added_count;
    Normalizer *normalizers;
    size_t normalizer_count;
    PreTokenizer *pre_tokenizers;
    size_t pre_tokenizer_count;
    TokenDecoder *decoders; // none: texts are joined with spaces
    size_t decoder_count;
    int32_t *prefix, *suffix; // ids that the template puts around a sequence
    size_t prefix_count, suffix_count;
} TokenizerSpec;

void tokenizer_spec_free(TokenizerSpec *spec);

#endif
