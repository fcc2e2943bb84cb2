/* Elementwise functions on host memory: the C reading of scalar.def. The interpreter and the
 * constant folder use them; the lowering expands the same definitions into kernel IR, so results
 * agree to the bit (NaN payloads excepted). */
#ifndef NNC_BASE_SCALAR_H
#define NNC_BASE_SCALAR_H
#include "runtime/base/dtype.h"

typedef enum {
#define SCALAR(e, name, operands, on_float, on_int, on_bool, result) SCALAR_##e,
#include "runtime/base/scalar.def"
    SCALAR_COUNT
} ScalarOp;

const char *scalar_name(ScalarOp op);
bool scalar_from_name(const char *name, ScalarOp *op); /* false: no such function */
int scalar_operands(ScalarOp op);
bool scalar_is_test(ScalarOp op);               /* the result is bool */
bool scalar_legal(ScalarOp op, DType type);     /* type: that of the operands (of select: of the last two) */

/* out[i] = op(args[0][i], ...) for i in [0, count). Operands are of `type`, except that the
 * first of select is bool (bytes 0 or 1); the result is of `type`, or bool for tests. `out` may
 * be one of args when the element sizes are equal. The function must be legal on the type. Of
 * f16 and bf16 select alone is: who computes with them widens first. */
void scalar_map(ScalarOp op, DType type, const void *const *args, void *out, size_t count);

/* Single values. Tests give 0 or 1; the first operand of select is 0 or not. In scalar_eval_int
 * the operands are reduced to `type` (U8 I8 I32 I64 BOOL) first. */
float scalar_eval_f32(ScalarOp op, const float *args);
double scalar_eval_f64(ScalarOp op, const double *args);
int64_t scalar_eval_int(ScalarOp op, DType type, const int64_t *args);

/* out[i] = in[i] in another type: integers to floats and f64 to f32 round to nearest even;
 * floats to integers are cut towards zero, saturate, and turn NaN into 0; integers wrap to
 * narrower ones; anything to bool is x != 0; what becomes f16 or bf16 becomes an f32 first (so a
 * NaN stays a NaN, and f16 overflows to infinity). in and out may not overlap unless they are
 * the same address and element sizes are equal. */
void scalar_convert(DType from, DType to, const void *in, void *out, size_t count);

#endif
