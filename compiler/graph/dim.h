/* Dimensions: integer polynomials over named symbols, with floor division and maximum as opaque
 * atoms.
 *
 *   28*28 -> 784      (T-K+1)//1 -> T - K + 1      B*T + B -> B*T + B      (B+63)//64 stays an atom
 *
 * Dims are interned in a DimTable: equal polynomials are the same pointer, so "provably equal"
 * is ==. A symbol stands for an integer >= 0 known only at run time (the batch). Arithmetic that
 * overflows 63 bits, or grows beyond DIM_SIZE_MAX, returns NULL: callers report it. Ownership:
 * everything lives in the table's arena. */
#ifndef NNC_GRAPH_DIM_H
#define NNC_GRAPH_DIM_H
#include "runtime/base/arena.h"
#include "runtime/base/strbuf.h"

#include <stdbool.h>
#include <stdint.h>

enum { DIM_SIZE_MAX = 4096 };

typedef struct Dim Dim;
typedef struct DimTable DimTable;

typedef enum { DIM_SYMBOL, DIM_FLOORDIV, DIM_MAX } DimAtomKind;

typedef struct {
    DimAtomKind kind;
    uint32_t symbol;           /* DIM_SYMBOL: index in the table */
    const Dim *left, *right;   /* DIM_FLOORDIV: floor(left/right), right > 0; DIM_MAX */
} DimAtom;

typedef struct {
    int64_t coefficient;
    uint32_t count;                /* number of factors, 0 for the constant term */
    const DimAtom *const *factors; /* sorted, repeated for powers */
} DimTerm;

struct Dim {
    uint32_t count; /* terms, sorted; 0 terms is zero */
    const DimTerm *terms;
    uint32_t id; /* order of creation */
    uint32_t size; /* terms and factors in it, those inside of atoms included; at most DIM_SIZE_MAX */
};

DimTable *dim_table_new(Arena *arena);
uint32_t dim_symbol_count(const DimTable *table);
const char *dim_symbol_name(const DimTable *table, uint32_t symbol);
const Dim *dim_symbol(DimTable *table, const char *name);  /* the symbol of that name, made when new */
const Dim *dim_fresh(DimTable *table, const char *name);   /* a new symbol that prints like name (made unique) */
const Dim *dim_const(DimTable *table, int64_t value);
const Dim *dim_add(DimTable *table, const Dim *a, const Dim *b);
const Dim *dim_sub(DimTable *table, const Dim *a, const Dim *b);
const Dim *dim_mul(DimTable *table, const Dim *a, const Dim *b);
const Dim *dim_floordiv(DimTable *table, const Dim *a, const Dim *b); /* exact where it divides; NULL: b is 0 */
const Dim *dim_ceildiv(DimTable *table, const Dim *a, const Dim *b);
const Dim *dim_mod(DimTable *table, const Dim *a, const Dim *b);
const Dim *dim_max(DimTable *table, const Dim *a, const Dim *b);
bool dim_divides_exactly(DimTable *table, const Dim *a, const Dim *b, const Dim **quotient); /* every term divides */
const Dim *dim_product(DimTable *table, const Dim *const *dims, int count);

bool dim_is_const(const Dim *dim, int64_t *value); /* value may be NULL */
bool dim_is(const Dim *dim, int64_t value);
bool dim_never_negative(const Dim *dim); /* at least 0 whatever its symbols are; false: not known */
bool dim_uses_symbol(const Dim *dim, uint32_t symbol);
const Dim *dim_substitute(DimTable *table, const Dim *dim, uint32_t symbol, const Dim *by);
/* values[symbol] for every symbol of the table. Returns INT64_MIN on overflow. */
int64_t dim_eval(const Dim *dim, const int64_t *values);
void dim_print(const DimTable *table, const Dim *dim, StrBuf *out);
/* Reads what dim_print writes (`4*B + 3`, `(B + 63)//64`, `max(B, 1)`), makes symbols as needed;
 * NULL: no dim at *text. */
const Dim *dim_read(DimTable *table, const char **text);

#endif
