// The pre-tokenizers of a tokenizer: a text is cut into the pieces that the model works on one by one.
#ifndef EVAL_PRETOKENIZE_H
#define EVAL_PRETOKENIZE_H

#include "eval/matcher.h"

typedef struct Piece {
    size_t start, end; // never empty
} Piece;

typedef struct PieceList {
    Piece *items;
    size_t count, capacity;
} PieceList;

// The state of one text on its way through the steps; kept from text to text for its memory.
typedef struct Pieces {
    TextBuffer text; // what the pieces point into
    PieceList list;
    TextBuffer spare_text;
    PieceList spare_list;
    bool at_start; // the text is the start of the whole input
} Pieces;

void pieces_free(Pieces *pieces);

typedef struct PreTokenizerChain {
    const PreTokenizer *steps;
    Matcher *matchers; // of each step
    Pattern *patterns; // of the steps whose pattern is built in
    size_t count;
} PreTokenizerChain;

bool pre_tokenizer_chain_init(PreTokenizerChain *chain, const TokenizerSpec *spec, Error *err); // spec must outlive it
void pre_tokenizer_chain_free(PreTokenizerChain *chain);

// Cuts the text (normalized, valid UTF-8) into pieces.
bool pre_tokenizer_chain_run(const PreTokenizerChain *chain, ExpressionScratch *scratch, const char *text, size_t size,
                             bool at_start, Pieces *pieces, Error *err);

#endif
