/* The maker of random graphs, shared by random_graph.c, random_edges.c and random_loops.c: a
 * pool of nodes that grows. Inside of a loop or of a side of a branch the pool is another one. */
#ifndef NNC_TESTS_RANDOM_MAKER_H
#define NNC_TESTS_RANDOM_MAKER_H
#include "tests/support/random_graph.h"

enum { MAKER_DEPTH = 2 };

typedef VEC(Node *) NodeList;

typedef struct {
    Graph *g;
    uint64_t seed, draws;
    const RandomGraphOptions *options;
    int64_t max_elements;
    int leaves;
    NodeList pool;
    int depth; /* loops and branches around */
    struct {
        uint32_t branch;
        BranchSide side;
    } sides[MAKER_DEPTH]; /* branches around: what is new comes in through them */
    int side_count;
} Maker;

uint64_t maker_draw(Maker *m, uint64_t limit);
Node *maker_keep(Maker *m, Node *node); /* into the pool; NULL and too large ones stay out */
Node *maker_condition(Maker *m);        /* a bool scalar */
void maker_grow(Maker *m, int operations);
bool maker_fits(Maker *m, const Type *type);         /* not too large */
Node *maker_operand_like(Maker *m, Type type);       /* of the pool, or new */

/* random_loops.c: adds what leaves a random loop or branch to the pool. */
void make_loop(Maker *m);
void make_branch(Maker *m);

/* random_edges.c: products and convolutions with awkward sizes and layouts, and what follows. */
void maker_grow_edges(Maker *m, int products);

#endif
