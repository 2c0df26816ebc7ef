#include "cli/carried_text.h"

extern const char carried_text_start[], carried_text_end[];
__asm__(".section .rodata\n"
        ".global carried_text_start, carried_text_end\n"
        "carried_text_start:\n"
        ".incbin \"data/calibration.txt\"\n"
        "carried_text_end:\n"
        ".byte 0\n"
        ".previous\n");

const char *carried_text(size_t *size) {
    *size = (size_t)(carried_text_end - carried_text_start);
    return carried_text_start;
}
