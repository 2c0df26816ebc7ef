#include "formats/nib_format.h"

// 0x89 shows a stripped eighth bit; CR LF, LF and ^Z show a transfer as text: as in PNG.
const ContainerKind nib_kind = {
    .magic = {0x89, 'N', 'I', 'B', '\r', '\n', 0x1a, '\n'},
    .what = "a .nib file",
    .name = ".nib",
    .version = NIB_VERSION,
    .index_max = NIB_INDEX_MAX,
    .index_values = NIB_INDEX_VALUES,
};
