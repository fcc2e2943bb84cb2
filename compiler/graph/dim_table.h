/* The insides of a DimTable, for dim.c and dim_text.c only. */
#ifndef NNC_GRAPH_DIM_TABLE_H
#define NNC_GRAPH_DIM_TABLE_H
#include "compiler/graph/dim.h"
#include "runtime/base/vec.h"

typedef struct DimCell DimCell;
struct DimCell {
    Dim dim;
    uint64_t hash;
    DimCell *next;
};

struct DimTable {
    Arena *arena;
    VEC(const char *) symbols;
    VEC(const DimAtom *) atoms;
    DimCell **buckets; /* power of two */
    uint32_t bucket_count, dim_count;
};

#endif
