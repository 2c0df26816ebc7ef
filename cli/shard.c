#include "cli/shard.h"

#include <stdio.h>

bool shard_parse(const char *text, Shard *shard) {
    enum { MOST = 1 << 20 };
    long long index, count;
    int end = 0;
    if (sscanf(text, "%lld/%lld%n", &index, &count, &end) != 2 || text[end]) return false;
    *shard = (Shard){index, count};
    return count >= 1 && count <= MOST && index >= 0 && index < count;
}
