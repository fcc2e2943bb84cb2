/* Programs with f16, bf16 and i8: values against PyTorch's (same leaves, same types),
 * interpreter against compiled code, and what is said where types do not meet. */
#include "tests/support/api.h"
#include "tests/support/values.h"

#include <criterion/criterion.h>
#include <nnc/nnc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Test(small_types, products_and_sums_add_in_f32)
{
    expect_values_compiled("", "x: bf16[2, 3], w: bf16[3, 2]", "x @ w",
                           "bf16[2, 2] 0.263671875 -1.9609375 -1.2890625 1.3671875");
    expect_values_compiled("", "x: f16[2, 3], w: f16[3, 2]", "x @ w",
                           "f16[2, 2] 0.263427734375 -1.9658203125 -1.2900390625 1.369140625");
    expect_values_compiled("", "x: bf16[2, 3]", "sum(x, axis=1)", "bf16[2] -1.21875 0.87109375");
    expect_values_compiled("", "x: f16[2, 3]", "sum(x, axis=1)",
                           "f16[2] -1.220703125 0.8701171875");
    expect_values_compiled("", "x: f16[2, 3]", "cumsum(x * 1000, axis=1)",
                           "f16[2, 3] -1250 -740 -1220 1280 1570 870");
}

Test(small_types, every_operation_rounds_once)
{
    expect_values_compiled(
        "", "x: bf16[2, 3]", "exp(x)",
        "bf16[2, 3] 0.287109375 1.671875 0.6171875 3.59375 1.3359375 0.49609375");
    expect_values_compiled(
        "", "x: f16[2, 3]", "exp(x)",
        "f16[2, 3] 0.28662109375 1.6650390625 0.61865234375 3.59765625 1.3369140625 0.49658203125");
    expect_values_compiled("", "x: f16[2, 3]", "x * 60000",
                           "f16[2, 3] -inf 30592 -28800 inf 17408 -42016");
    expect_values_compiled("", "x: f16[2, 3]", "argmax(x, axis=1)", "i32[2] 1 0");
    /* 256 + 1 is 256 in bf16, and 1 + 1 + 256 is 258: the order of rounding shows. */
    expect_values_compiled("", "x: bf16[1]",
                           "let one = x * 0.0 + 1.0\n ((256.0 + one) + one, 256.0 + (one + one))",
                           "bf16[1] 256; bf16[1] 258");
}

Test(small_types, conversions)
{
    expect_values_compiled("", "x: f32[4]", "bf16(x)",
                           "bf16[4] -1.25 0.51171875 -0.48046875 1.28125");
    expect_values_compiled("", "x: f32[4]", "f16(x)",
                           "f16[4] -1.25 0.509765625 -0.47998046875 1.2802734375");
    expect_values_compiled("", "x: f32[2]", "f32(bf16(x)) - f32(f16(x))", "f64[2] 0 0.001953125");
    expect_values_compiled("", "x: i8[4]", "bf16(x) / 3", "bf16[4] 0 0.66796875 0.333984375 0");
    expect_values_compiled("", "x: f16[2, 3]", "(i8(x * 1000), u8(x * 100), bool(x))",
                           "i8[2, 3] -128 127 -128 127 127 -128; u8[2, 3] 0 50 0 128 29 0; "
                           "bool[2, 3] 1 1 1 1 1 1");
    expect_values("", "x: f32[1]", "x * 0.0 + bf16(0.1)", "f64[1] 0.10009765625");
}

Test(small_types, bytes_with_a_sign_wrap)
{
    expect_values_compiled("", "x: i8[4]", "(x * 100, -x * 64 - 64, x % 2, abs(x - 2))",
                           "i8[4] 0 -56 100 0; i8[4] -64 64 -128 -64; i8[4] 0 0 1 0; "
                           "i8[4] 2 0 1 2");
    expect_values_compiled("", "x: i8[4]",
                           "let y = x - 1\n (max(y), argmin(y, axis=0), y < 0, i64(y), u8(y))",
                           "i8 1; i32 0; bool[4] 1 0 0 1; i64[4] -1 1 0 -1; u8[4] 255 1 0 255");
    expect_values_compiled("", "x: i8[2, 2], y: i8[2, 2]", "x @ y", "i8[2, 2] 4 2 1 0");
}

Test(small_types, are_moved_and_looped_over)
{
    expect_values_compiled("", "x: bf16[3, 1], i: i32[3]",
                           "(take(x, i), concat([x, x[0..1]]), pad(transpose(x), 1, 1, 0))",
                           "bf16[3, 1] 0.51171875 -1.25 -0.48046875; "
                           "bf16[4, 1] -1.25 0.51171875 -0.48046875 -1.25; "
                           "bf16[1, 4] 0 -1.25 0.51171875 -0.48046875");
    expect_values_compiled("", "x: f16[2, 2]",
                           "let h = scan y in x with h = f16(zeros(2)) { h = h * 0.5 + y }\n h",
                           "f16[2] -1.10546875 1.53515625");
}

Test(small_types, meet_others_by_conversion_only)
{
    char *said = messages_about("module F { fn (x: bf16[B], y: f32[B]) { x + y } }\n");
    cr_expect(strstr(said, "+ of bf16[B] and f64[B]") != NULL, "%s", said);
    free(said);
    said = messages_about("module F { fn (x: f16[B]) -> f32[B] { x } }\n");
    cr_expect(strstr(said, "f16[B]") != NULL, "%s", said);
    free(said);
    said = messages_about("module F { fn (x: i8[B]) { x + 128 } }\n");
    cr_expect(strstr(said, "128 does not fit into i8") != NULL, "%s", said);
    free(said);
}

Test(small_types, tensors_of_the_interface)
{
    static const nnc_dtype types[] = {NNC_I8, NNC_F16, NNC_BF16};
    static const double stored[] = {-3, -3.14453125, -3.140625};
    for (int i = 0; i < 3; i++) {
        nnc_tensor *tensor = NULL;
        cr_assert_eq(nnc_tensor_new(types[i], 1, (int64_t[]){4}, &tensor), NNC_OK);
        cr_expect_eq(nnc_tensor_set_number(tensor, 2, -3.1444), NNC_OK);
        cr_expect_eq(nnc_tensor_number(tensor, 2), stored[i], "%g", nnc_tensor_number(tensor, 2));
        cr_expect_eq(nnc_tensor_number(tensor, 1), 0);
        cr_expect_eq(nnc_tensor_set_number(tensor, 4, 1), NNC_ARGUMENT);
        cr_expect(nnc_tensor_number(tensor, -1) != nnc_tensor_number(tensor, -1));
        nnc_tensor_release(tensor);
    }
}

/* Params and states of every small type through a run: the same bits from the interpreter and
 * compiled code, and their sizes. */
Test(small_types, are_trained_and_kept)
{
    static const struct {
        const char *param, *state, *assigned;
        size_t bytes;
    } rows[] = {{"f16", "f16", "seen * 0.5 + f16(x[0])", 12},
                {"bf16", "bf16", "seen * 0.5 + bf16(x[0])", 12},
                {"bf16", "i8", "seen + i8(x[0] * 100.0)", 9},
                {"f16", "u8", "seen + u8(1)", 9},
                {"f32", "i8", "where(x[0] > 0.0, seen + 1, seen * 3)", 15}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[900];
        snprintf(text, sizeof text,
                 "from optim import adam\n"
                 "module M { param w: %s[3] = normal(0.0, 0.5)\n state seen: %s[3] = 0\n"
                 "    fn (x: f32[B, 3]) { if training { seen = %s }\n"
                 "        f32(%s(x) * w + %s(seen)) } }\n"
                 "dataset d { source = arrays(x=randn(10, 3, seed=1)) }\n"
                 "train t on d { model = M(); loss = sum(model(x) ** 2.0, axis=1); "
                 "optimizer = adam(lr=0.1); batch = 4; epochs = 2 }\n",
                 rows[i].param, rows[i].state, rows[i].assigned, rows[i].param, rows[i].param);
        nnc_program_options interpret = {.size = sizeof interpret, .interpret = true},
                            compile = {.size = sizeof compile};
        ApiRun expected = api_train(text, &interpret, 1, 3), found = api_train(text, &compile, 1, 3);
        cr_expect_eq(expected.status, NNC_OK);
        cr_expect_eq(expected.bytes, rows[i].bytes, "%zu bytes", expected.bytes);
        cr_expect(api_same(&expected, &found), "%s and %s", rows[i].param, rows[i].state);
        api_free(&expected);
        api_free(&found);
    }
}
