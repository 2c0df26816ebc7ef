// tokenizer_config.json: what transformers knows of a tokenizer beside its vocabulary. A tokenizer.json holds all of it
// already; where there is none, the other vocabulary files need it.
#ifndef FORMATS_TOKENIZER_CONFIG_H
#define FORMATS_TOKENIZER_CONFIG_H

#include "formats/model.h"
#include "formats/tokenizer_spec.h"

// Parses the model's; *config is NULL where it has none. Tokens of an added_tokens.json, the older file for them, are
// put into its "added_tokens_decoder" where that is not there. Free with cJSON_Delete.
bool tokenizer_config_read(const Model *model, cJSON **config, Error *err);

// In what follows the config may be NULL.

// Adds the tokens of "added_tokens_decoder" to spec->added: those of the vocabulary get its flags, others are new.
bool tokenizer_config_add_tokens(const cJSON *config, TokenizerSpec *spec, Error *err);

// Sets spec->prefix and ->suffix by "add_bos_token" and "add_eos_token" (add_bos where the first is not there; the
// second is then false). The ids are of "bos_token" and "eos_token"; those given where they are not there.
bool tokenizer_config_set_template(const cJSON *config, bool add_bos, int64_t bos, int64_t eos, TokenizerSpec *spec,
                                   Error *err);

#endif
