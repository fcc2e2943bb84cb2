/* The graph: what is computed. Nodes are immutable, hash-consed and kept in creation order,
 * which is a topological order; building an existing node again returns it, so common
 * subexpressions do not exist. A pass makes a new graph from an old one; what the roots do not
 * reach is dead. One node has one result tensor.
 *
 *   graph loss {
 *     %0 = input {x} : f32[B, 3]
 *     %1 = param {fc.weight} : f32[2, 3]
 *     %2 = dot %0 %1 {contract = 1:1} : f32[B, 2]
 *     output y = %2
 *   }
 *
 * Ownership: a Graph, its nodes, attributes and names live in one arena. Dims belong to the
 * DimTable, which outlives it. */
#ifndef NNC_GRAPH_GRAPH_H
#define NNC_GRAPH_GRAPH_H
#include "compiler/graph/dim.h"
#include "runtime/base/diag.h"
#include "runtime/base/dtype.h"
#include "runtime/base/vec.h"

enum { MAX_RANK = 8, MAX_SPATIAL = 3, MANY = 255 };

typedef enum {
#define OP(e, text, lo, hi, cls, attr, flags, shape, grad, doc) OP_##e,
#include "compiler/graph/ops.def"
    OP_COUNT
} OpCode;

typedef enum { CLASS_LEAF, CLASS_ELEMENTWISE, CLASS_MOVE, CLASS_REDUCE, CLASS_CONTRACT, CLASS_WINDOW, CLASS_INDEX, CLASS_LOOP, CLASS_CALL } OpClass;

typedef enum {
    AT_NONE,
    AT_LEAF,    /* leaf */
    AT_CONST,   /* constant */
    AT_LITERAL, /* literal */
    AT_IOTA,    /* iota */
    AT_DIM,     /* shape.dims[0] */
    AT_RANDOM,  /* random */
    AT_DTYPE,   /* dtype */
    AT_CHECK,   /* check */
    AT_SHAPE,   /* shape */
    AT_PERM,    /* perm */
    AT_SLICE,   /* slice */
    AT_PAD,     /* pad */
    AT_AXIS,    /* axis */
    AT_AXES,    /* axes */
    AT_DOT,     /* dot */
    AT_CONV,    /* conv */
    AT_WINDOW,  /* window */
    AT_CARRY,   /* carry */
    AT_AT,      /* at */
    AT_LOOP,    /* loop */
    AT_FINAL,   /* final */
    AT_ENTER,   /* enter */
    AT_BRANCH,  /* branch */
    AT_CALL,    /* call */
    AT_COUNT
} AttrKind;

typedef enum { FLAG_COMMUTES = 1, FLAG_FAILS = 2 } OpFlag;

typedef struct {
    DType dtype;
    int rank;
    const Dim *dims[MAX_RANK];
} Type;

typedef struct {
    int count;
    uint8_t axis[MAX_RANK];
} Axes;

/* Loops and branches have numbers, unique among both in a graph. The operations are described in
 * ops.def, which node belongs to which loop in region.h. A loop of unknown length has the length
 * LOOP_UNBOUNDED and neither `at` nor `stack`. */
#define LOOP_UNBOUNDED ((int64_t)1 << 62)

typedef struct {
    uint32_t id;
    const Dim *length;
    bool reverse;     /* t = length-1 .. 0 */
    bool conditional; /* ends before an iteration in which carry 0, a bool scalar, is false */
    bool recompute;   /* its gradient keeps the carries only and computes the rest again */
    bool adds;        /* its gradient adds up, turn by turn, what is for one node outside, and keeps
                         no factors of products to be summed behind it */
} LoopAttr;

typedef enum { SIDE_THEN, SIDE_ELSE } BranchSide;

typedef struct {
    AttrKind kind;
    union {
        struct { const char *name; Type type; } leaf;
        struct { Type type; union { double f; int64_t i; } value; } constant; /* f for floats, i for the others */
        struct { Type type; const void *data; size_t bytes; } literal;       /* constant shape, row-major */
        struct { Type type; int axis; } iota;                                /* any numeric dtype */
        struct {
            Type type;
            uint32_t site;
        } random; /* a float; site: hash of path and ordinal */
        DType dtype;
        struct { ErrorCode code; const char *message; } check;
        struct { int rank; const Dim *dims[MAX_RANK]; } shape;
        Axes perm;
        struct { int rank; const Dim *start[MAX_RANK], *limit[MAX_RANK]; int64_t step[MAX_RANK]; } slice; /* step >= 1 */
        struct { int rank; const Dim *low[MAX_RANK], *high[MAX_RANK]; int64_t interior[MAX_RANK]; } pad;
        int axis;
        Axes axes; /* ascending, at least one */
        struct { Axes batch_x, batch_y, contract_x, contract_y; } dot; /* pairs by position; k order: as listed, last fastest */
        struct {
            int spatial;                                      /* 1 to 3 */
            int64_t stride[MAX_SPATIAL];                      /* of the window over x */
            const Dim *pad_low[MAX_SPATIAL], *pad_high[MAX_SPATIAL]; /* may be negative (crops) */
            int64_t dilate_x[MAX_SPATIAL], dilate_y[MAX_SPATIAL]; /* 1: none; dilate_x: zeros between elements of x */
        } conv;
        struct {
            int rank; /* of x; axes outside the window have size 1, stride 1 */
            int64_t size[MAX_RANK], stride[MAX_RANK], dilate[MAX_RANK];
            const Dim *pad_low[MAX_RANK], *pad_high[MAX_RANK];
        } window;
        struct { uint32_t loop; int index; Type type; } carry;
        struct { uint32_t loop; } at;
        LoopAttr loop;
        struct { int index; } final;
        struct { uint32_t branch; BranchSide side; } enter;
        struct { uint32_t id; } branch;
        struct { const char *name; Type type; } call; /* symbol of the host function and its result */
    };
} Attr;

typedef struct Node Node;
typedef struct Graph Graph;

struct Node {
    OpCode op;
    uint32_t id;    /* position in graph->nodes */
    uint32_t hash;
    uint16_t nsrc;
    Node **src;
    Type type;
    Attr attr;
    Span span;      /* the .nn text it came from; rewritten and derivative nodes inherit it */
    Node *chain;    /* next in the hash bucket */
};

typedef enum {
    ROOT_OUTPUT, /* given back to the caller under its name */
    ROOT_UPDATE  /* new value of the param or state of that name, same type as the leaf */
} RootKind;

typedef struct {
    RootKind kind;
    const char *name;
    Node *node;
} Root;

/* A gradient that the program states itself (custom_vjp): the derivatives of a scalar by inputs
 * are parts with `result`'s own derivative in place of the leaf `seed`. Only differentiation
 * knows of it; passes over a graph drop it. */
typedef struct {
    Node *result, *seed;
    Node **inputs, **parts; /* part NULL: none */
    uint32_t count;
} CustomGradient;

struct Graph {
    const char *name;
    Arena *arena;
    DimTable *dims;
    Span span; /* given to nodes built now (graph_at) */
    VEC(Node *) nodes;
    VEC(Root) roots;
    VEC(CustomGradient) customs;
    VEC(Node *) buckets; /* hash table of nodes, power of two */
    const char *error;   /* text of the last refused node (arena) */
    DType products; /* f16 or bf16: operands and results of products made now are rounded (mixed.c);
                       else nothing */
    uint32_t next_loop;  /* above the number of every loop and branch (graph_next_loop) */
};

typedef struct {
    const char *text;
    uint8_t min, max;
    OpClass op_class;
    AttrKind attr;
    uint8_t flags;
    /* Fills *out from n (op, src, attr set), or returns the text of what is wrong (in the
     * graph's arena). */
    const char *(*shape)(Graph *graph, const Node *n, Type *out);
    const char *doc, *grad_name;
} OpInfo;

extern const OpInfo op_info[OP_COUNT];

Graph *graph_new(Arena *arena, DimTable *dims, const char *name);
/* The node of (op, src, attr): an existing equal one, or a new one with the type of the shape
 * rule. NULL: the rule refused, graph->error says why in the words of a user ("f32[B, 3] and
 * f32[4, 2] do not fit: 3 against 4"). */
Node *graph_node(Graph *graph, OpCode op, Node *const *src, int nsrc, const Attr *attr);
/* A number for a new loop or branch. */
uint32_t graph_next_loop(Graph *graph);
void graph_root(Graph *graph, RootKind kind, const char *name, Node *node);
Node *graph_root_find(const Graph *graph, RootKind kind, const char *name); /* NULL: none */
/* A param or state that a root updates: it has a place even if nobody reads it. */
bool graph_written(const Graph *graph, const Node *node);
/* ids reached from the roots and from the leaves that they update, as a byte per node (arena). */
uint8_t *graph_live(const Graph *graph, Arena *arena);
/* Free symbols in use by live leaves and shapes, in ascending order; returns the count. The
 * order of nnc_call.dims. */
uint32_t graph_symbols(const Graph *graph, Arena *arena, uint32_t **symbols);
/* A node of old rebuilt in graph on mapped operands (map[old id]); dims unchanged. For passes. */
/* f16 and bf16 (widen.c). Does the node widen one of them to f32 or f64? */
bool node_is_widening(const Node *node);
/* Does it do arithmetic on them? Others move them, or convert. */
bool node_computes_small(const Node *node);
/* The node with its operands widened to f32 and its result rounded: what it means. src: the
 * operands in `graph`. */
Node *graph_widened(Graph *graph, const Node *node, Node *const *src);
Node *graph_copy_node(Graph *graph, const Node *old, Node *const *map);

/* Types */
bool type_equal(const Type *a, const Type *b); /* provably */
const Dim *type_elements(DimTable *dims, const Type *type);
void type_print(const DimTable *dims, const Type *type, StrBuf *out); /* f32[B, 3] */

/* Text: print o read is the identity (ids are renumbered densely over live nodes in order). */
void graph_print(const Graph *graph, StrBuf *out);
Graph *graph_read(Arena *arena, DimTable *dims, const char *text, char **error); /* NULL: *error (arena) names the line */
/* All faults, one per line, into out; true: none. Always run between passes in Debug and in
 * tests. */
bool graph_verify(const Graph *graph, StrBuf *out);
bool attr_equal(const Attr *a, const Attr *b);

#endif
