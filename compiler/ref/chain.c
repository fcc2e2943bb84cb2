/* The loop of all contractions (chain.h). Elements of acc are taken in tiles of a few rows and
 * columns that stay in registers while k runs; every element sees its own terms in ascending k
 * whatever the tile, so tiles change nothing but time.
 *
 * Where the machine may have fma instructions that the compiler may not assume, the loops exist
 * twice and chain_run asks the machine: both round once, since a fma is exact before its rounding
 * wherever it is made. */
#include "compiler/ref/chain.h"

#include <math.h>

#if defined(__x86_64__) && !defined(__AVX512F__)
#define WITH_FMA __attribute__((target("avx2,fma")))
#define MACHINE_HAS_FMA (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
#else
#define WITH_FMA
#define MACHINE_HAS_FMA 0
#endif

enum { TILE_ROWS = 4, TILE_COLUMNS = 16 };

#define FLOAT_STEP(x, y, acc) fmaf((x), (y), (acc))
#define DOUBLE_STEP(x, y, acc) fma((x), (y), (acc))
#define WRAP_STEP(x, y, acc) ((x) * (y) + (acc))

#define DEFINE_CHAIN(Name, Type, STEP, WHERE)                                                      \
    /* A full tile: the bounds of the inner loops are constants, so that acc is registers. */      \
    static inline                                                                                  \
        __attribute__((always_inline)) void Name##_tile(const Chain *c, int64_t i, int64_t j)      \
    {                                                                                              \
        Type acc[TILE_ROWS][TILE_COLUMNS];                                                         \
        Type *out = (Type *)c->acc + i * c->acc_row + j;                                           \
        const Type *x = (const Type *)c->x + i * c->x_row, *y = (const Type *)c->y + j;            \
        for (int a = 0; a < TILE_ROWS; a++)                                                        \
            for (int b = 0; b < TILE_COLUMNS; b++)                                                 \
                acc[a][b] = out[a * c->acc_row + b];                                               \
        for (int64_t k = 0; k < c->depth; k++)                                                     \
            for (int a = 0; a < TILE_ROWS; a++)                                                    \
                for (int b = 0; b < TILE_COLUMNS; b++)                                             \
                    acc[a][b] =                                                                    \
                        STEP(x[a * c->x_row + k * c->x_depth], y[k * c->y_depth + b], acc[a][b]);  \
        for (int a = 0; a < TILE_ROWS; a++)                                                        \
            for (int b = 0; b < TILE_COLUMNS; b++)                                                 \
                out[a * c->acc_row + b] = acc[a][b];                                               \
    }                                                                                              \
                                                                                                   \
    /* What is left at an edge: any number of rows and columns. */                                 \
    static inline __attribute__((always_inline)) void Name##_edge(const Chain *c, int64_t i,       \
                                                                  int64_t j, int64_t columns)      \
    {                                                                                              \
        Type *out = (Type *)c->acc + i * c->acc_row + j;                                           \
        const Type *x = (const Type *)c->x + i * c->x_row, *y = (const Type *)c->y + j;            \
        for (int64_t k = 0; k < c->depth; k++)                                                     \
            for (int64_t b = 0; b < columns; b++)                                                  \
                out[b] = STEP(x[k * c->x_depth], y[k * c->y_depth + b], out[b]);                   \
    }                                                                                              \
                                                                                                   \
    WHERE static void Name(const Chain *c)                                                         \
    {                                                                                              \
        int64_t rows = c->rows - c->rows % TILE_ROWS,                                              \
                columns = c->columns - c->columns % TILE_COLUMNS;                                  \
        for (int64_t i = 0; i < rows; i += TILE_ROWS) {                                            \
            for (int64_t j = 0; j < columns; j += TILE_COLUMNS)                                    \
                Name##_tile(c, i, j);                                                              \
            for (int64_t a = i; columns < c->columns && a < i + TILE_ROWS; a++)                    \
                Name##_edge(c, a, columns, c->columns - columns);                                  \
        }                                                                                          \
        for (int64_t i = rows; i < c->rows; i++)                                                   \
            Name##_edge(c, i, 0, c->columns);                                                      \
    }

DEFINE_CHAIN(chain_f32, float, FLOAT_STEP, )
DEFINE_CHAIN(chain_f64, double, DOUBLE_STEP, )
DEFINE_CHAIN(chain_f32_fma, float, FLOAT_STEP, WITH_FMA)
DEFINE_CHAIN(chain_f64_fma, double, DOUBLE_STEP, WITH_FMA)
DEFINE_CHAIN(chain_u8, uint8_t, WRAP_STEP, )
DEFINE_CHAIN(chain_i8, uint8_t, WRAP_STEP, ) /* wraps like u8 */
DEFINE_CHAIN(chain_i32, uint32_t, WRAP_STEP, )
DEFINE_CHAIN(chain_i64, uint64_t, WRAP_STEP, )

static void (*const chains[DT_COUNT])(const Chain *) = {
    [DT_U8] = chain_u8,   [DT_I32] = chain_i32, [DT_I64] = chain_i64,
    [DT_F32] = chain_f32, [DT_F64] = chain_f64, [DT_I8] = chain_i8,
};

void chain_run(DType dtype, const Chain *chain)
{
    if (MACHINE_HAS_FMA && dtype_is_float(dtype))
        (dtype == DT_F32 ? chain_f32_fma : chain_f64_fma)(chain);
    else
        chains[dtype](chain);
}
