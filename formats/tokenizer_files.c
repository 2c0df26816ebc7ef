#include "formats/tokenizer_files.h"

#include "formats/sentencepiece.h"
#include "formats/tokenizer_config.h"
#include "formats/tokenizer_gguf.h"
#include "formats/tokenizer_json.h"
#include "formats/vocab_merges.h"

static bool read_other(const Model *model, const ModelFile *pieces, const ModelFile *vocab, const ModelFile *merges,
                       TokenizerSpec *spec, Error *err) {
    cJSON *config;
    if (!tokenizer_config_read(model, &config, err)) return false;
    bool ok = pieces ? sentencepiece_read(pieces->data, pieces->size, config, spec, err) ||
                           error_prefix(err, "tokenizer.model")
                     : vocab_merges_read(vocab, merges, config, spec, err);
    cJSON_Delete(config);
    return ok;
}

bool tokenizer_files_read(const Model *model, TokenizerSpec *spec, const char **file, Error *err) {
    const ModelFile *json = model_file(model, "tokenizer.json"), *gguf = model_file(model, "tokenizer.gguf");
    const ModelFile *pieces = model_file(model, "tokenizer.model");
    const ModelFile *vocab = model_file(model, "vocab.json"), *merges = model_file(model, "merges.txt");
    *spec = (TokenizerSpec){.unk = -1};
    *file = json     ? "tokenizer.json"
            : gguf   ? "tokenizer.gguf"
            : pieces ? "tokenizer.model"
                     : "vocab.json and merges.txt";
    bool ok = true;
    if (json)
        ok = tokenizer_json_read(json->data, json->size, spec, err) || error_prefix(err, "%s", *file);
    else if (gguf)
        ok = tokenizer_gguf_read(gguf->data, gguf->size, spec, err) || error_prefix(err, "%s", *file);
    else if (pieces || (vocab && merges))
        ok = read_other(model, pieces, vocab, merges, spec, err);
    else
        ok = error_set(err, "has no tokenizer.json, nor tokenizer.model, nor vocab.json with merges.txt; put those of "
                            "the model beside it");
    return ok || error_prefix(err, "%s", model->path);
}
