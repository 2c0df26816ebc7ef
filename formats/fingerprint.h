// One hash for all the weights of a model, however they are stored: a .nib has the same as what it was converted from,
// as it was. Specification: formats/STATS.md.
#ifndef FORMATS_FINGERPRINT_H
#define FORMATS_FINGERPRINT_H

#include "formats/model.h"

// Reads every tensor whose hash the model does not state (a .nib states all), a slice at a time.
bool model_fingerprint(const Model *model, Hash *fingerprint, Error *err);

#endif
