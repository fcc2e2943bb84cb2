/* Contractions (dot and conv) as one shape of loop nest, between the analysis and the emission of
 * tiles.
 *
 *   result[out axes] = sum over k axes, in this order, of x[..] * y[..]
 *
 * Every axis has a size and a stride on each operand, so a dot and a convolution that needs no
 * padding are the same thing:
 *
 *   conv x[N,H,W,C] y[3,3,C,O]:   axis     out: n    r    s    o      k: u    v    c
 *                                 in x          HWC  WC   C    0         WC   C    1
 *                                 in y          0    0    0    1         3CO  CO   O
 *
 * Neighbouring axes with matching strides are merged (v and c above). A spatial axis whose taps may
 * fall outside of x or between its elements keeps a Window, and its taps are bounded. One out axis
 * is the vector axis, up to MAX_TILE_ROWS positions of other out axes are the rows of a register
 * tile. Internal to compiler/lower. */
#ifndef NNC_LOWER_LOWER_CONTRACT_H
#define NNC_LOWER_LOWER_CONTRACT_H
#include "compiler/lower/context.h"

enum { MAX_TILE_ROWS = 30, MAX_PANEL_VECTORS = 8, MAX_LANES = 64, NO_AXIS = -1, NO_WINDOW = -1 };

typedef enum { SIDE_X, SIDE_Y, SIDES } Side;

typedef struct {
    const Dim *size;
    int64_t count;            /* the constant size, -1: free */
    const Dim *stride[SIDES]; /* in elements */
    uint8_t first, axes;      /* out axes: the run of axes of the result that it is */
    int8_t window;            /* the checked window it is the position or the tap of, NO_WINDOW */
} ContractAxis;

/* A spatial axis of x under position r and tap t: x is read at p / dilate_x with p = r*stride +
 * t*dilate_y - pad, where p is in [0, (extent - 1) * dilate_x] and divisible by dilate_x; other
 * taps are not terms. */
typedef struct {
    const Dim *extent, *pad, *unit; /* unit: stride of the axis in x */
    int64_t stride, dilate_x, dilate_y;
} Window;

typedef struct {
    DType dtype;
    int32_t buffer[SIDES];
    const Dim *offset[SIDES];
    ContractAxis out[MAX_RANK], k[MAX_RANK];
    int outs, ks;
    Window windows[MAX_SPATIAL];
    int window_count;
    bool overlaps; /* an element of x is a term under several positions */
    int64_t leaf;  /* of k[0], 0: one chain */
    bool repeated; /* in a loop: a packed operand may stay from iteration to iteration */
} Contraction;

/* Long sums may pass through scratch memory, [parts of k[0]][result]: leaves become items of their
 * own, added up by a second kernel; or one item does all of its tiles for a block of k[0] at a
 * time, while that part of the operands stays in the cache, and its outputs with the last one. */
typedef enum { SPLIT_NONE, SPLIT_LEAVES, SPLIT_BLOCKS } Split;

/* How the loops run. A panel is `vectors` vectors of `lanes` lanes along the vector axis; a tile is
 * a panel by `rows` positions of the row axis by all positions of the covered axes. */
typedef struct {
    int vector, lanes, vectors; /* vector: index in out, NO_AXIS: scalars */
    int row, rows;              /* row: index in out, NO_AXIS: the tile is the covered axes only */
    int covered[MAX_RANK], covered_count;
    int covered_rows;      /* product of their sizes */
    int64_t group;         /* tiles along the row axis per item, 0: all */
    bool inside[MAX_RANK]; /* out axes outside of the tile that one item does all of, block by block
                              of k */
    /* The operand is read from scratch, panel by panel: [its other out axes][panel][k][width]. A
     * panel of y is vectors * lanes along the vector axis, one of x the rows of a tile. */
    bool packed[SIDES];
    /* y is packed by the items themselves, one panel and block of k at a time, into a slice of
     * scratch memory that an item has to itself: the whole of a huge y is never there twice. Every
     * out axis is in the tile, an item does all rows of its panels. */
    bool sliced;
    bool turned; /* y is read along k, lanes terms of a vector at a time, and turned in registers */
    /* Sums are turned in registers before the outputs, whose lanes are then along the row axis, the
     * last one of the result. One vector wide, at most `lanes` rows, nothing covered. */
    bool turned_sums;
    int64_t block; /* panels of y per item, 0: all */
    Split split;
    int64_t k_block; /* SPLIT_BLOCKS: indices of k[0] at a time; SPLIT_LEAVES: per leaf */
    bool k_outside;  /* SPLIT_BLOCKS: all items of a call do a block before the next one begins */
    int64_t k_inner; /* SPLIT_BLOCKS with k_block = 1: indices of k[1] at a time, 0: all */
    int64_t grain;
} TilePlan;

/* The contraction of a CONTRACT group, merged. */
Contraction contraction_of(const Schedule *schedule, const Group *group);
/* The plan, a function of the contraction, the target and the hints of free dimensions; none of it
 * changes a bit. */
TilePlan tile_plan(const Schedule *schedule, const Contraction *contraction,
                   const LowerOptions *options);
/* The same drawn from a seed: packing and blocks, items (lower_contract_random.c). */
void random_operands(const Contraction *contraction, uint64_t seed, TilePlan *plan);
void random_items(const Contraction *contraction, uint64_t seed, TilePlan *plan);
bool axis_in_tile(const TilePlan *plan, int out); /* vector, row or covered */
/* Does the shape allow slices? */
bool may_slice(const Contraction *contraction, const TilePlan *plan);
int64_t dim_hint(const Schedule *schedule, const Dim *dim);
int panel_axis(const TilePlan *plan, Side side);
int64_t panel_width(const TilePlan *plan, Side side); /* elements */
const Dim *panel_total(DimTable *dims, const Contraction *contraction, const TilePlan *plan,
                       Side side);

/* Strides of an operand in the scratch buffer, in elements, as if it were packed. */
typedef struct {
    const Dim *k[MAX_RANK], *out[MAX_RANK], *panel, *total;
} PackedStrides;

PackedStrides packed_strides(DimTable *dims, const Contraction *contraction, const TilePlan *plan,
                             Side side);
/* Where in scratch the panels of a side begin, and what comes after all panels (SIDES). */
const Dim *packed_offset(DimTable *dims, const Contraction *contraction, const TilePlan *plan,
                         Side side);
const Dim *result_elements(DimTable *dims, const Contraction *contraction);
/* Sliced: elements of a slice. */
const Dim *slice_elements(DimTable *dims, const Contraction *contraction, const TilePlan *plan);
/* How many leaves or blocks of k there are. */
const Dim *part_total(DimTable *dims, const Contraction *contraction, const TilePlan *plan);
/* Scratch memory of the plan, a multiple of 64, 0: none. NULL: too large for 63 bits. */
const Dim *scratch_bytes(DimTable *dims, const Contraction *contraction, const TilePlan *plan);
/* The kernel's buffer for the scratch memory of the group, as elements of dtype. */
uint32_t scratch_buffer(LowerContext *c, const Group *group, DType dtype, Access access);
/* The kernel that fills the scratch buffer of the group with the panels of an operand. */
void contract_pack(LowerContext *c, const Contraction *contraction, const TilePlan *plan,
                   const Group *group, Side side);
/* What a slice holds: panel rows from `column` on, k from `low` on, `count` of them. */
typedef struct {
    KInst *column, *low, *count;
    KInst *to; /* element in scratch */
} Slice;

/* The same for one slice, inside of the kernel that reads it. */
void contract_pack_slice(LowerContext *c, const Contraction *contraction, const TilePlan *plan,
                         const Group *group, Slice slice);

/* lanes vectors of lanes elements: element j of vector i goes to element i of vector j. */
void transpose_lanes(KBuilder *b, KInst **rows, int lanes);

/* One register tile, ready to be summed (lower_contract_tile.c). */
typedef struct {
    bool all;        /* every tap of every row exists */
    KInst *position; /* the same for all rows: bounds are computed; NULL: row_position */
    int64_t row_position[MAX_TILE_ROWS];
    KInst *low, *high, *base[SIDES],
        *step[SIDES]; /* with position: the loop over taps, and where they start */
} WindowState;

typedef struct {
    LowerContext *c;
    const Contraction *of;
    const TilePlan *plan;
    int rows, vectors;
    KInst *mask, *left; /* of the last vector and how many lanes it has, NULL: all lanes exist */
    uint32_t buffer[SIDES];
    KInst *base[SIDES]; /* element index of row 0, vector 0, first term */
    KInst *row_offset[SIDES][MAX_TILE_ROWS];
    KInst *k_stride[SIDES][MAX_RANK]; /* per k axis */
    KInst *vector_stride[SIDES];      /* of one step along the vector axis */
    KInst *ahead[SIDES]; /* from a term to one that a later tile will want, NULL: none is known */
    KInst *k_low[2], *k_high[2]; /* of k[0] and k[1], NULL: all of it */
    WindowState windows[MAX_SPATIAL];
} Tile;

/* sums[row * vectors + vector]: +0 everywhere; then the terms of the tile are added, without
 * leaves; or all of it. */
void tile_zero(Tile *tile, KInst **sums);
void tile_add(Tile *tile, KInst **sums);
void tile_sum(Tile *tile, KInst **sums);
/* Sets bounds and starting points of a window whose position is one scalar; k_stride must be set.
 */
void tile_window_at(Tile *tile, int window, KInst *position);

#endif
