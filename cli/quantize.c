#include "cli/quantize.h"

#include "cli/calibration.h"
#include "core/mem.h"

static bool room(Quantization *q, size_t tensors, Error *err) {
    return (q->entries = mem_alloc(tensors, sizeof *q->entries, err)) &&
           (q->cleared = mem_alloc(tensors, sizeof *q->cleared, err)) &&
           (q->retries = mem_alloc(tensors, sizeof *q->retries, err));
}

bool quantization_plan(Quantization *q, Model *model, const char *output, QuantOptions *o, const Stats *stats,
                       Error *err) {
    *q = (Quantization){0};
    if (!room(q, model->tensor_count, err)) return false;
    q->job = (QuantJob){
        .model = model,
        .output = output,
        .request = &o->request,
        .plan = q->entries,
        .allow_nonfinite = o->allow_nonfinite,
        .cleared = q->cleared,
        .retries = q->retries,
    };
    if (o->method != METHOD_RTN) {
        q->rounding = calibration_rounding(stats, o);
        q->job.rounding = &q->rounding;
    }
    if (o->budget.kind) {
        if (!choice_make(model, o, stats, &q->choice, err)) return false;
        o->request.types = q->choice.types;
        q->job.choice = &q->choice;
    }
    return plan_make(&o->request, model->tensors, model->tensor_count, q->entries, err) ||
           error_prefix(err, "%s", model->path);
}

void quantization_free(Quantization *q) {
    choice_free(&q->choice);
    mem_free(q->entries);
    mem_free(q->cleared);
    mem_free(q->retries);
}
