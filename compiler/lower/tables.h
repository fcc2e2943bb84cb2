/* The books of a LowerContext. Those above the line are of the kernel being built, the others of
 * the whole program. */
#ifndef NNC_LOWER_TABLES_H
#define NNC_LOWER_TABLES_H
#include "compiler/lower/context.h"

typedef struct {
    const void *node;   /* a Node, or NULL for a load of `buffer` */
    const Place *place; /* of a node */
    int32_t buffer;
    KInst *base, *vector; /* of a load: its index */
    int64_t step;
    KInst *mask, *guard;
    int lanes;
    KInst *value;
} Memo;

typedef struct {
    int32_t buffer; /* of the schedule */
} KernelArg;

typedef struct LowerTables {
    VEC(Memo) memo;
    VEC(uint32_t) scopes; /* how much of memo was there when each scope opened */
    VEC(const Place *) places;
    VEC(KernelArg) args;      /* by kernel buffer */
    VEC(const Node *) stored; /* stages that are loaded from now on */
    /* ---- */
    VEC(const Node *) sites;
    VEC(const Dim *) counts;  /* trip counts, by slot - first_count_slot */
    int32_t *symbol_position; /* symbol -> position in nnc_call.dims, -1 */
    uint32_t first_count_slot;
    uint32_t kernel_number;
    VEC(const Group *) launch_groups; /* by launch */
    /* Hash tables of what was there before: 1 + index, or 0. Powers of two. */
    uint32_t *kernel_slots, kernel_slot_count;
    VEC(uint64_t) kernel_hashes; /* by kernel */
    uint32_t *count_slots, count_slot_count;
    uint32_t *arena_slots; /* per buffer of the schedule: its place in table, 0: none */
} LowerTables;

#endif
