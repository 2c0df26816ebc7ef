#include "cli/text_windows.h"

#include "cli/text_input.h"
#include "core/log.h"
#include "core/mem.h"
#include "eval/tokenizer.h"

bool text_windows(const Model *model, const TextWindows *asked, Windows *w, Error *err) {
    const char *text = asked->path;
    int64_t ctx = asked->ctx;
    size_t size;
    char *whole = text_input(text, &size, err);
    if (!whole) return false;
    Ids ids = {0};
    Tokenizer *t = size ? tokenizer_new(model, err) : NULL;
    bool ok = size ? t != NULL : error_set(err, "%s: is empty; there is nothing to evaluate or calibrate on", text);
    if (!ctx) ctx = model->desc.context < 512 ? model->desc.context : 512;
    if (ok && ctx > model->desc.context)
        log_warn("--ctx %lld is beyond the %lld positions that the model was made for", (long long)ctx,
                 (long long)model->desc.context);
    ok = ok && (tokenizer_encode(t, whole, size, true, &ids, err) || error_prefix(err, "%s", text));
    if (ok)
        ok = asked->stride ? windows_strided(ids.ids, ids.count, ctx, asked->stride, asked->limit, w, err)
                           : windows_consecutive(ids.ids, ids.count, ctx, asked->limit, tokenizer_bos(t), w, err);
    if (ok && asked->limit && w->count < (size_t)asked->limit)
        log_warn("%s has only %zu windows of %lld tokens, not %lld", text, w->count, (long long)ctx,
                 (long long)asked->limit);
    ids_free(&ids);
    tokenizer_free(t);
    mem_free(whole);
    return ok;
}
