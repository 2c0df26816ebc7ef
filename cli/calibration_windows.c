#include "cli/calibration_windows.h"

#include "cli/text_input.h"
#include "core/log.h"
#include "core/mem.h"
#include "eval/tokenizer.h"

// The carried text, as it is in the repository (data/CALIBRATION.md says where it comes from).
extern const char calibration_text[], calibration_text_end[];
__asm__(".section .rodata\n"
        ".global calibration_text, calibration_text_end\n"
        "calibration_text:\n"
        ".incbin \"data/calibration.txt\"\n"
        "calibration_text_end:\n"
        ".byte 0\n"
        ".previous\n");

static bool encode(const Model *model, const char *name, const char *text, size_t size, int64_t ctx, int64_t limit,
                   int64_t least, Windows *w, Error *err) {
    Ids ids = {0};
    Tokenizer *t = tokenizer_new(model, err);
    bool ok = t && (tokenizer_encode(t, text, size, true, &ids, err) || error_prefix(err, "%s", name));
    if (ok && ids.count < (size_t)(least * ctx))
        ok = error_set(err,
                       "%s: has %zu tokens; calibration needs %lld at least, %lld windows of %lld: give a longer text "
                       "(or leave --calib out: the text that nibble carries is long enough)",
                       name, ids.count, (long long)(least * ctx), (long long)least, (long long)ctx);
    ok = ok && windows_consecutive(ids.ids, ids.count, ctx, limit, tokenizer_bos(t), w, err);
    if (ok && limit && w->count < (size_t)limit)
        log_warn("%s has only %zu windows of %lld tokens, not %lld", name, w->count, (long long)ctx, (long long)limit);
    ids_free(&ids);
    tokenizer_free(t);
    return ok;
}

bool calibration_windows(const Model *model, const char *text, int64_t ctx, int64_t limit, int64_t least, Windows *w,
                         Error *err) {
    if (!ctx) ctx = model->desc.context < 512 ? model->desc.context : 512;
    if (!text)
        return encode(model, "the carried text", calibration_text, (size_t)(calibration_text_end - calibration_text),
                      ctx, limit, least, w, err);
    size_t size;
    char *whole = text_input(text, &size, err);
    bool ok = whole && encode(model, text, whole, size, ctx, limit, least, w, err);
    mem_free(whole);
    return ok;
}
