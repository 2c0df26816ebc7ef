// Token ids that grow at their end.
#ifndef EVAL_ID_LIST_H
#define EVAL_ID_LIST_H

#include "core/mem.h"
#include <stdint.h>

typedef struct IdList {
    int32_t *items;
    size_t count, capacity;
} IdList;

static inline bool id_list_add(IdList *list, int32_t id, Error *err) {
    if (!mem_grow(&list->items, list->count, &list->capacity, sizeof *list->items, err)) return false;
    list->items[list->count++] = id;
    return true;
}

#endif
