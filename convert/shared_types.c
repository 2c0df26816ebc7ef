#include "convert/shared_types.h"

#include "convert/family.h"
#include "convert/regroup.h"

// Experts as GGUF stacks them, for families without names of their own there.
static const NameMap stacks[] = {
    {"blk.#.ffn_gate_exps.weight", "blk.#.ffn_gate.#.weight", NULL},
    {"blk.#.ffn_up_exps.weight", "blk.#.ffn_up.#.weight", NULL},
    {"blk.#.ffn_down_exps.weight", "blk.#.ffn_down.#.weight", NULL},
    {NULL, NULL, NULL},
};

bool shared_types(const Model *model, size_t *groups, Error *err) {
    const Family *family = family_by_name(model->desc.family);
    const NameMap *names = family && family->gguf && family->gguf->names ? family->gguf->names : stacks;
    return regroup_numbers(model, names, NULL, groups, err) || error_prefix(err, "%s", model->path);
}
