/* Programs of a few lines against numbers: module F gets parameters filled by a fixed rule, its
 * result is evaluated in f64 by the interpreter and compared with numbers made elsewhere (numpy or
 * PyTorch, with the same rule). */
#ifndef NNC_TESTS_VALUES_H
#define NNC_TESTS_VALUES_H
#include <stdbool.h>
#include <stdint.h>

/* Element i of parameter k (both from 0): a float is ((7 i + 3 k) mod 11 - 5) / 4 + i / 100, an
 * integer (2 i + k) mod 3, a bool whether that is 0. Params are filled like parameters, in the
 * order of their first use. A free size (B, T) is 2 for every name. `expected` is the type (with
 * the values of its sizes) and the elements, "f64[2, 2] 1 2 3 4"; further results follow after a
 * semicolon. With parameters NULL, `declarations` is the whole program. */
void expect_values(const char *declarations, const char *parameters, const char *body,
                   const char *expected);
/* The same, also in compiled code, and the gradient of sum(result * weights) by every float
 * parameter against central differences. */
void expect_values_and_gradient(const char *declarations, const char *parameters, const char *body,
                                const char *expected);
/* `body` and `other` give the same bits, body also in compiled code; the gradient of body is
 * that of central differences. Free sizes are `size`. */
void expect_equal_values(const char *declarations, const char *parameters, const char *body,
                         const char *other, int64_t size);
/* What the arena of the gradient of sum(result * weights) by all parameters has in bytes. */
int64_t gradient_bytes(const char *declarations, const char *parameters, const char *body,
                       int64_t size);
/* The same, also in compiled code. */
void expect_values_compiled(const char *declarations, const char *parameters, const char *body,
                            const char *expected);
/* The text of what is said about a program that is wrong, to be freed. */
char *messages_about(const char *text);

#endif
