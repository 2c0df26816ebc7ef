#include "cli/text_windows.h"

#include "cli/carried_text.h"
#include "cli/text_input.h"
#include "core/log.h"
#include "core/mem.h"
#include <string.h>

const char *text_path(const char *given) { return strcmp(given, "default") == 0 ? NULL : given; }

const char *text_base_name(const char *given) {
    const char *slash = strrchr(given, '/');
    return slash ? slash + 1 : given;
}

int64_t text_ctx(const Model *model) { return model->desc.context < 512 ? model->desc.context : 512; }

bool text_ids(const Model *model, const char *path, TextIds *out, Error *err) {
    size_t size;
    char *file = NULL;
    const char *text = path ? file = text_input(path, &size, err) : carried_text(&size);
    *out = (TextIds){.name = path ? path : "the carried text"};
    if (!text) return false;
    Tokenizer *t = size ? tokenizer_new(model, err) : NULL;
    bool ok =
        size ? t != NULL : error_set(err, "%s: is empty; there is nothing to evaluate or calibrate on", out->name);
    ok = ok && (tokenizer_encode(t, text, size, true, &out->ids, err) || error_prefix(err, "%s", out->name));
    if (ok) out->bos = tokenizer_bos(t);
    tokenizer_free(t);
    mem_free(file);
    return ok;
}

void text_ids_free(TextIds *text) { ids_free(&text->ids); }

static bool check_length(const TextIds *text, int64_t ctx, int64_t least, Error *err) {
    if ((int64_t)text->ids.count / ctx >= least) return true;
    return error_set(err,
                     "%s: has %zu tokens; calibration needs %lld at least, %lld windows of %lld: give a longer text "
                     "(or --calib default: the text that nibble carries is long enough)",
                     text->name, text->ids.count, (long long)(least * ctx), (long long)least, (long long)ctx);
}

bool text_windows(const Model *model, const TextWindows *asked, Windows *w, Error *err) {
    TextIds text;
    int64_t ctx = asked->ctx ? asked->ctx : text_ctx(model);
    if (ctx > model->desc.context)
        log_warn("--ctx %lld is beyond the %lld positions that the model was made for", (long long)ctx,
                 (long long)model->desc.context);
    bool ok = text_ids(model, asked->path, &text, err) && check_length(&text, ctx, asked->least, err);
    if (ok)
        ok = asked->stride ? windows_strided(text.ids.ids, text.ids.count, ctx, asked->stride, asked->limit, w, err)
                           : windows_consecutive(text.ids.ids, text.ids.count, ctx, asked->limit, text.bos, w, err);
    if (ok && asked->limit && w->count < (size_t)asked->limit)
        log_warn("%s has only %zu windows of %lld tokens, not %lld", text.name, w->count, (long long)ctx,
                 (long long)asked->limit);
    text_ids_free(&text);
    return ok;
}
