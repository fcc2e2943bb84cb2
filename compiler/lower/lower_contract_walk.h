/* The state of a walk over the tiles of a contraction, shared by the three files that walk:
 *
 *   lower_contract.c        items: what an index means, loops over blocks of k, the entry points
 *   lower_contract_walk.c   panels and rows of an item, edges
 *   lower_contract_store.c  one tile: sums, scratch memory, outputs
 *
 * Internal to them. */
#ifndef NNC_LOWER_LOWER_CONTRACT_WALK_H
#define NNC_LOWER_LOWER_CONTRACT_WALK_H
#include "compiler/lower/lower_contract.h"

/* What a kernel does with its tiles. */
typedef enum {
    DO_ALL,    /* sums, then outputs */
    DO_BLOCKS, /* sums of a block on top of those in scratch, with the last block outputs */
    DO_PART,   /* sums of a leaf, into scratch */
    DO_OUTPUTS /* leaves from scratch, then outputs */
} Action;

typedef struct {
    LowerContext *c;
    const Group *group;
    const Contraction *of;
    const TilePlan *plan;
    Action action;
    uint32_t parts;                               /* kernel buffer of the scratch memory */
    KInst *parts_base;                            /* element of the first part */
    KInst *part, *last_part;                      /* which leaf or block; is it the last one? */
    KInst *result_stride[MAX_RANK], *part_stride; /* of out axes in a part; from part to part */
    Tile tile;                                    /* what all tiles share */
    KInst *stride[SIDES][MAX_RANK];               /* per out axis */
    KInst *at[MAX_RANK];           /* position on every out axis that is not in the tile */
    KInst *panel_stride[SIDES];    /* packed: elements of a panel */
    KInst *panel_low, *panel_high; /* of the item */
    KInst *slice;                  /* sliced: where the item's slice begins in scratch */
} Walk;

typedef struct {
    KInst *panel, *column; /* which panel, and the first position on the vector axis */
    int vectors;
    KInst *mask, *left; /* as in Tile */
    KInst *base[SIDES];
} Panel;

typedef struct {
    KInst *origin;    /* first position on the row axis; NULL: there is none */
    int64_t constant; /* the same where tiles are cut by constants */
    bool inner;       /* every tap of every row exists */
    int rows;
} RowSpan;

static inline KInst *walk_constant(Walk *w, int64_t value)
{
    return kir_index(&w->c->b, value);
}

static inline KInst *walk_op(Walk *w, KOp code, KInst *x, KInst *y)
{
    return kir_binary(&w->c->b, code, x, y);
}

/* x + by * stride */
static inline KInst *walk_plus(Walk *w, KInst *x, KInst *by, KInst *stride)
{
    return walk_op(w, K_ADD, x, walk_op(w, K_MUL, by, stride));
}

KInst *walk_open(Walk *w, KInst *low, KInst *high, int64_t step, KInst *const *inits, int count);
void walk_close(Walk *w, KInst *loop, KInst *const *values);
/* All panels of the item, with all of its rows. */
void walk_panels(Walk *w);
/* One tile: its sums, and what the action does with them. */
void walk_tile(Walk *w, const Panel *panel, RowSpan span);

#endif
