/* Host functions: C functions that a program declares with `extern fn` and the host binds by name,
 * in scalar and in buffer form, under the interpreter and in compiled code. */
#include "runtime/base/strbuf.h"
#include "tests/support/api.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

typedef void Function(void);

static float halves(float x, float y)
{
    return x / 2 + y;
}

static int32_t twice(int32_t x)
{
    return 2 * x;
}

static uint8_t above(double x)
{
    return x > 0.25;
}

/* y[i] = sum over j of x[i, j] * w[j]; the sizes: rows, columns of x; columns of w; rows of y. */
static void weigh(const float *x, const float *w, float *y, int64_t rows, int64_t columns,
                  int64_t weights, int64_t results)
{
    for (int64_t i = 0; i < results; i++) {
        y[i] = rows == results && columns == weights ? 0 : -1000;
        for (int64_t j = 0; j < columns; j++)
            y[i] += x[i * columns + j] * w[j];
    }
}

static const char header[] =
    "from nn import Linear\nfrom losses import mse\nfrom optim import sgd\n";
static const char data_and_training[] =
    "dataset d { source = arrays(x=randn(10, 3, seed=1), y=rand(10, 1, seed=2))\n fields = [x: "
    "f32[3], y: f32[1]] }\n"
    "train t on d { model = Net()\n loss = mse(model(x), y)\n optimizer = sgd(lr=0.01)\n batch = "
    "4; epochs = 2 }\n";

/* The whole program around a declaration and the body of the model's fn. */
static char *program_text(const char *declaration, const char *body)
{
    StrBuf text = {0};
    strbuf_printf(&text,
                  "%s%s\nmodule Net {\n    let fc = Linear(3, 1)\n    fn (x: f32[B, 3]) -> f32[B, "
                  "1] {\n        %s\n    }\n}\n%s",
                  header, declaration, body, data_and_training);
    return text.text;
}

typedef struct {
    const char *name;
    Function *function;
    const char *signature;
} Bound;

typedef struct {
    nnc_context *context;
    nnc_program *program;
    nnc_status status; /* of parsing */
} Host;

static Host open_host(const char *text, bool interpret, const Bound *bound)
{
    Host host = {.context = api_context(2)};
    nnc_program_options options = {.size = sizeof options, .interpret = interpret};
    if (bound)
        cr_assert_eq(
            nnc_context_extern(host.context, bound->name, bound->function, bound->signature),
            NNC_OK, "%s", nnc_diagnostics(host.context, NNC_TEXT));
    host.status = nnc_program_parse(host.context, "host.nn", text, &options, &host.program);
    return host;
}

static void close_host(Host *host)
{
    nnc_program_release(host->program);
    nnc_context_release(host->context);
}

static void expect_said(const Host *host, const char *part)
{
    const char *text = nnc_diagnostics(host->context, NNC_TEXT);
    cr_expect(strstr(text, part) != NULL, "\"%s\" is not said: %s", part, text);
}

/* What the model answers to [-2, -1.5 .. ) with the weights of seed 0. */
static void answer(Host *host, float *out)
{
    float numbers[15];
    for (int i = 0; i < 15; i++)
        numbers[i] = 0.25f * (float)i - 2;
    nnc_tensor *input = NULL, *output = NULL;
    cr_assert_eq(host->status, NNC_OK, "%s", nnc_diagnostics(host->context, NNC_TEXT));
    nnc_session *session = api_session(host->program, NULL);
    cr_assert_eq(nnc_tensor_wrap(NNC_F32, 2, (int64_t[]){5, 3}, numbers, &input), NNC_OK);
    cr_assert_eq(nnc_session_run(session, &input, &output), NNC_OK, "%s",
                 nnc_diagnostics(host->context, NNC_TEXT));
    memcpy(out, nnc_tensor_data(output), 5 * sizeof *out);
    nnc_tensor_release(input);
    nnc_tensor_release(output);
    nnc_session_release(session);
}

/* The program with the host function answers, compiled and interpreted, as the one that says the
 * same in .nn. */
static void expect_equal(const char *declaration, const char *body, const Bound *bound,
                         const char *plain)
{
    char *with = program_text(declaration, body), *without = program_text("", plain);
    float wanted[5], got[5];
    Host host = open_host(without, false, NULL);
    answer(&host, wanted);
    close_host(&host);
    for (int interpret = 0; interpret < 2; interpret++) {
        host = open_host(with, interpret, bound);
        answer(&host, got);
        for (int i = 0; i < 5; i++)
            cr_expect_eq(got[i], wanted[i], "%s, row %d: %g, not %g",
                         interpret ? "interpreted" : "compiled", i, got[i], wanted[i]);
        close_host(&host);
    }
    free(with);
    free(without);
}

Test(extern_functions, scalar_form)
{
    expect_equal("extern fn halves(a: f32[B, C], b: f32[B, C]) -> f32[B, C]",
                 "fc(halves(x, 3.0 * x))", &(Bound){"halves", (Function *)halves, "f32(f32, f32)"},
                 "fc(x / 2.0 + 3.0 * x)");
}

Test(extern_functions, small_integers)
{
    expect_equal("extern fn twice(a: i32[B, C]) -> i32[B, C]", "fc(f32(twice(i32(x))))",
                 &(Bound){"twice", (Function *)twice, " i32 ( i32 ) "}, "fc(f32(2 * i32(x)))");
    expect_equal("extern fn above(a: f64[B, C]) -> u8[B, C]", "fc(f32(above(f64(x))))",
                 &(Bound){"above", (Function *)above, "u8(f64)"}, "fc(f32(x > 0.25))");
}

Test(extern_functions, buffer_form)
{
    expect_equal("extern fn weigh(x: f32[B, C], w: f32[C]) -> f32[B]",
                 "fc(x + unsqueeze(weigh(2.0 * x, ones(3)), 1))",
                 &(Bound){"weigh", (Function *)weigh,
                          "void(const f32 *, const f32 *, f32 *, i64, i64, i64, i64)"},
                 "fc(x + unsqueeze(2.0 * x[.., 0] + 2.0 * x[.., 1] + 2.0 * x[.., 2], 1))");
}

/* The loss over all rows after training. */
static double trained(Host *host)
{
    nnc_trainer *trainer = NULL;
    const nnc_metric *metrics = NULL;
    size_t count = 0;
    cr_assert_eq(host->status, NNC_OK, "%s", nnc_diagnostics(host->context, NNC_TEXT));
    cr_assert_eq(nnc_trainer_new(host->program, NULL, NULL, &trainer), NNC_OK, "%s",
                 nnc_diagnostics(host->context, NNC_TEXT));
    cr_assert_eq(nnc_trainer_run(trainer), NNC_OK, "%s", nnc_diagnostics(host->context, NNC_TEXT));
    cr_assert_eq(nnc_trainer_evaluate(trainer, NNC_PART_TRAIN, &metrics, &count), NNC_OK);
    double loss = metrics[0].value;
    nnc_trainer_release(trainer);
    return loss;
}

Test(extern_functions, take_part_in_training)
{
    char *text = program_text("extern fn halves(a: f32[B, C], b: f32[B, C]) -> f32[B, C]",
                              "fc(halves(x, x))");
    char *plain = program_text("", "fc(x / 2.0 + x)");
    Host host = open_host(plain, false, NULL);
    double wanted = trained(&host);
    close_host(&host);
    for (int interpret = 0; interpret < 2; interpret++) {
        host = open_host(text, interpret, &(Bound){"halves", (Function *)halves, "f32(f32, f32)"});
        cr_expect_eq(trained(&host), wanted);
        close_host(&host);
    }
    free(text);
    free(plain);
}

/* The place of the call is named, whoever would run it. */
static void expect_refused(const char *declaration, const char *body, const Bound *bound,
                           const char *said)
{
    char *text = program_text(declaration, body);
    for (int interpret = 0; interpret < 2; interpret++) {
        Host host = open_host(text, interpret, bound);
        nnc_trainer *trainer = NULL;
        nnc_model *model = NULL;
        cr_assert_eq(host.status, NNC_OK, "%s", nnc_diagnostics(host.context, NNC_TEXT));
        cr_expect_eq(nnc_model_load(host.program, NULL, NULL, &model), NNC_PROGRAM);
        expect_said(&host, said);
        expect_said(&host, "host.nn:8:");
        cr_expect_eq(nnc_trainer_new(host.program, NULL, NULL, &trainer), NNC_PROGRAM);
        expect_said(&host, "error[E0902]");
        cr_expect(!trainer && !model);
        close_host(&host);
    }
    free(text);
}

Test(extern_functions, missing)
{
    const char *declaration = "extern fn halves(a: f32[B, C], b: f32[B, C]) -> f32[B, C]";
    expect_refused(declaration, "fc(halves(x, x))", NULL, "the host gave no function named halves");
    expect_refused(declaration, "fc(halves(x, x))",
                   &(Bound){"other", (Function *)halves, "f32(f32, f32)"},
                   "the host gave no function named halves");
}

Test(extern_functions, other_signatures)
{
    static const char *const wrong[] = {
        "f32(f32)",
        "f32(f32, f64)",
        "f64(f32, f32)",
        "f32(f32, f32, f32)",
        "void(const f32 *, const f32 *, f32 *)",
        "void(const f32 *, f32 *, i64, i64, i64, i64)",
        "void(const f32 *, const f32 *, f32 *, i64, i64, i64, i64, i64)"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        expect_refused("extern fn halves(a: f32[B, C], b: f32[B, C]) -> f32[B, C]",
                       "fc(halves(x, x))", &(Bound){"halves", (Function *)halves, wrong[i]},
                       "has another signature");
    /* the scalar form wants equal shapes */
    expect_refused("extern fn halves(a: f32[B, C], b: f32[C]) -> f32[B, C]",
                   "fc(halves(x, ones(3)))",
                   &(Bound){"halves", (Function *)halves, "f32(f32, f32)"},
                   "(f32[B, 3], f32[3]) -> f32[B, 3]");
}

Test(extern_functions, no_gradient)
{
    char *text = program_text("extern fn halves(a: f32[B, C], b: f32[B, C]) -> f32[B, C]",
                              "halves(fc(x), fc(x))");
    Host host = open_host(text, false, &(Bound){"halves", (Function *)halves, "f32(f32, f32)"});
    cr_expect_eq(host.status, NNC_PROGRAM);
    cr_expect_null(host.program);
    expect_said(&host, "error[E0500]");
    expect_said(&host, "host.nn:8:");
    close_host(&host);
    free(text);
}

Test(extern_functions, signatures_are_read_strictly)
{
    static const char *const wrong[] = {"",
                                        "f32",
                                        "f32(",
                                        "f32()",
                                        "f32(f8)",
                                        "f32(f32) x",
                                        "int(f32)",
                                        "f32(f32 *)",
                                        "void(i64, f32 *)",
                                        "void(f32)",
                                        "void(f32 *, f32)",
                                        "f32(f32,)",
                                        "f32 f32"};
    nnc_context *context = api_context(1);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        cr_expect_eq(nnc_context_extern(context, "f", (Function *)halves, wrong[i]), NNC_ARGUMENT,
                     "\"%s\"", wrong[i]);
        cr_expect(strstr(nnc_diagnostics(context, NNC_TEXT), "E0902") != NULL);
    }
    cr_expect_eq(nnc_context_extern(context, "f", NULL, "f32(f32)"), NNC_ARGUMENT);
    cr_expect_eq(nnc_context_extern(context, NULL, (Function *)halves, "f32(f32)"), NNC_ARGUMENT);
    nnc_context_release(context);
}

static float thirds(float x, float y)
{
    return x / 3 + y;
}

Test(extern_functions, the_newest_of_a_name_counts)
{
    char *text =
        program_text("extern fn f(a: f32[B, C], b: f32[B, C]) -> f32[B, C]", "fc(f(x, x))");
    char *plain = program_text("", "fc(x / 3.0 + x)");
    float wanted[5], got[5];
    Host host = open_host(plain, false, NULL);
    answer(&host, wanted);
    close_host(&host);
    host = open_host(text, false, &(Bound){"f", (Function *)halves, "f32(f32, f32)"});
    cr_assert_eq(nnc_context_extern(host.context, "f", (Function *)thirds, "f32(f32, f32)"),
                 NNC_OK);
    answer(&host, got);
    cr_expect(memcmp(got, wanted, sizeof got) == 0);
    close_host(&host);
    free(text);
    free(plain);
}
