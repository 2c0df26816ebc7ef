// The statistics that `nibble quant` rounds and chooses by: captured, or read from a file that is there.
#ifndef CLI_CALIBRATION_H
#define CLI_CALIBRATION_H

#include "cli/quant_options.h"
#include "cli/quant_rounding.h"
#include "eval/capture.h"

enum { CALIBRATION_WINDOWS = 64, CALIBRATION_LEAST = 2 }; // windows, unless asked; at least

// Bytes that the layers' inputs may take while statistics are gathered, unless asked: a quarter of the memory
// available, at most 1 GiB. What is beyond goes to a file; the digits are the same.
size_t calibration_memory(void);

bool calibration_asked(const QuantOptions *o);

// The windows of --calib's text (the carried one for "default"); none where there is only --stats FILE, which then must
// be there.
bool calibration_windows(const Model *model, const QuantOptions *o, Windows *windows, Error *err);

// --stats FILE that is there is read, and must be of this model, of what --method needs and, where there are windows,
// of these; else they are captured, into --stats FILE where that is given. A --method that was not given becomes what a
// file's statistics allow. NULL with a message.
Stats *calibration_get(const Model *model, QuantOptions *o, const Windows *windows, Error *err);

// How to round by them.
Rounding calibration_rounding(const Stats *stats, const QuantOptions *o);

// What a weight loses when rounded to each type of quant/grid.h: CaptureOptions.finished.
bool calibration_predict(void *context, const Tensor *weight, StatsTensor *entry, Error *err);

#endif
