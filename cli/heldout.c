#include "cli/heldout.h"

#include "cli/text_windows.h"
#include "core/log.h"

// Tokens at the start of the text that calibration took; 0: it is not the same text.
static bool tokens_seen(const TextIds *text, const StatsInfo *calibrated, int64_t *tokens, Error *err) {
    int64_t ctx = calibrated->ctx, count = calibrated->windows;
    Windows w;
    *tokens = 0;
    if (ctx <= 0 || count <= 0 || count > (int64_t)text->ids.count / ctx) return true;
    if (!windows_consecutive(text->ids.ids, text->ids.count, ctx, count, text->bos, &w, err)) return false;
    if (hash_equal(windows_hash(&w), calibrated->text)) *tokens = count * ctx;
    windows_free(&w);
    return true;
}

static bool cut(const Model *model, const TextIds *text, const StatsInfo *calibrated, int64_t limit, Heldout *out,
                Error *err) {
    int64_t ctx = text_ctx(model), all = (int64_t)text->ids.count / ctx, seen;
    if (!tokens_seen(text, calibrated, &seen, err)) return false;
    out->skipped = (seen + ctx - 1) / ctx;
    if (seen && out->skipped >= all)
        return error_set(err,
                         "%s: calibration takes %lld of its %lld windows and leaves none to evaluate on; give fewer "
                         "--calib-windows, or another text with --eval-text",
                         text->name, (long long)calibrated->windows, (long long)all);
    size_t start = (size_t)(out->skipped * ctx);
    if (!windows_consecutive(text->ids.ids + start, text->ids.count - start, ctx, limit, text->bos, &out->windows, err))
        return error_prefix(err, "%s", text->name);
    if (out->windows.count < (size_t)limit)
        log_note("%s has only %zu windows to evaluate on, not %lld", text->name, out->windows.count, (long long)limit);
    return true;
}

bool heldout_windows(const Model *model, const char *path, const StatsInfo *calibrated, int64_t limit, Heldout *out,
                     Error *err) {
    TextIds text;
    *out = (Heldout){0};
    bool ok = text_ids(model, path, &text, err) && cut(model, &text, calibrated, limit, out, err);
    text_ids_free(&text);
    return ok;
}
