#include "formats/tokenizer_spec.h"

#include "core/mem.h"

void tokenizer_spec_free(TokenizerSpec *spec) {
    vocab_free(&spec->vocab);
    mem_free(spec->merges);
    mem_free(spec->scores);
    mem_free(spec->unk_token.data);
    for (size_t i = 0; i < spec->added_count; i++) mem_free(spec->added[i].content.data);
    mem_free(spec->added);
    for (size_t i = 0; i < spec->normalizer_count; i++) {
        mem_free(spec->normalizers[i].pattern.text.data);
        mem_free(spec->normalizers[i].content.data);
    }
    mem_free(spec->normalizers);
    for (size_t i = 0; i < spec->pre_tokenizer_count; i++) {
        mem_free(spec->pre_tokenizers[i].pattern.text.data);
        mem_free(spec->pre_tokenizers[i].content.data);
    }
    mem_free(spec->pre_tokenizers);
    for (size_t i = 0; i < spec->decoder_count; i++) {
        mem_free(spec->decoders[i].pattern.text.data);
        mem_free(spec->decoders[i].content.data);
    }
    mem_free(spec->decoders);
    mem_free(spec->prefix);
    mem_free(spec->suffix);
    *spec = (TokenizerSpec){0};
}
