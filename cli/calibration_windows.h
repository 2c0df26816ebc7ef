// The windows of a text that a model is calibrated on: a file's or the text that the program carries.
#ifndef CLI_CALIBRATION_WINDOWS_H
#define CLI_CALIBRATION_WINDOWS_H

#include "eval/windows.h"
#include "formats/model.h"

// Consecutive windows of ctx tokens (0: 512, or the model's own limit where that is less), at most `limit` of them.
// text: a file, "-", or NULL for data/calibration.txt, which the program carries. Fails, saying how much is needed, when
// the text has fewer than `least` windows.
bool calibration_windows(const Model *model, const char *text, int64_t ctx, int64_t limit, int64_t least, Windows *w,
                         Error *err);

#endif
