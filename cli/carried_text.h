// The text that the program carries to calibrate on and to measure by: data/calibration.txt, as it is in the repository
// (data/CALIBRATION.md says where it comes from).
#ifndef CLI_CARRIED_TEXT_H
#define CLI_CARRIED_TEXT_H

#include <stddef.h>

const char *carried_text(size_t *size);

#endif
