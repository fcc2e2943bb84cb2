/* Growth for the arrays of vec.h: double the capacity into fresh arena memory. The hostile build
 * starts at one item and grows by one, later by an eighth, so that a pointer kept across a push
 * is soon stale. */
#include "runtime/base/vec.h"

#include "runtime/base/bug.h"

#include <string.h>

void *vec_grow(Arena *arena, void *data, uint32_t count, uint32_t *cap, size_t item_bytes)
{
    if (*cap > UINT32_MAX / 2) {
        NNC_BUG("a vector of more than %u items", *cap);
    }
#ifdef NNC_STRESS
    uint32_t larger = *cap + 1 + *cap / 8;
#else
    uint32_t larger = *cap ? *cap * 2 : 8;
#endif
    void *copy = arena_alloc(arena, (size_t)larger * item_bytes);
    if (count) {
        memcpy(copy, data, (size_t)count * item_bytes);
    }
    *cap = larger;
    return copy;
}
