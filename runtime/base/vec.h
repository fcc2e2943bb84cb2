/* Growable arrays in an arena: VEC(Type) v = {0}; vec_push(arena, &v, item); v.data[i], v.count.
 * Growth copies into fresh arena memory; the old block stays valid until the arena goes. */
#ifndef NNC_BASE_VEC_H
#define NNC_BASE_VEC_H
#include "runtime/base/arena.h"

#include <stdint.h>

#define VEC(Type)            \
    struct {                 \
        Type *data;          \
        uint32_t count, cap; \
    }

void *vec_grow(Arena *arena, void *data, uint32_t count, uint32_t *cap, size_t item_bytes);

#define vec_push(arena, v, ...)                                                                    \
    ((v)->count == (v)->cap                                                                        \
         ? (void)((v)->data = vec_grow((arena), (v)->data, (v)->count, &(v)->cap, sizeof *(v)->data)) \
         : (void)0,                                                                                \
     (v)->data[(v)->count++] = (__VA_ARGS__))

#endif
