/* The layers of the library in .nn against loops in C: forward values in evaluation, and what
 * training does to the states. f64, interpreter. */
#include <nnc/nnc.h>

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT = 4000 };

typedef struct {
    nnc_context *context;
    nnc_program *program;
    nnc_trainer *trainer;
    nnc_model *model;
    double loss;
} Net;

static void on_event(void *user, const nnc_event *event)
{
    if (event->kind == NNC_EVENT_STEP) {
        ((Net *)user)->loss = event->loss;
    }
}

/* A module with these lets and this result of x, which has the row type given; all rows are one
 * batch. */
static void open_net(Net *net, const char *lets, const char *result, const char *row, int rows,
                     const char *sizes, const char *optimizer)
{
    static const char form[] =
        "from nn import Linear, Conv2d, BatchNorm1d, BatchNorm2d, LayerNorm, Embedding\n"
        "from nn import max_pool, avg_pool, flatten, dropout, dropout_channels, alpha_dropout, "
        "drop_path\n"
        "from optim import sgd\n"
        "module F {\n    %s\n    fn (x: f32[B, %s]) { %s }\n}\n"
        "dataset d {\n    source = arrays(x=%s)\n    fields = [x: f32[%s]]\n}\n"
        "train t on d {\n    model = F()\n    loss = sum(reshape(model(x), size(x, 0), -1), "
        "axis=1)\n"
        "    optimizer = %s\n    batch = %d\n    epochs = 1\n    shuffle = false\n}\n";
    char text[TEXT], source[400];
    const char *comma = *row ? ", " : "";
    snprintf(source, sizeof source, "reshape(f32(arange(%d * %s)), %d%s%s) * 0.25 - 1.0", rows,
             sizes, rows, comma, row);
    snprintf(text, sizeof text, form, lets, row, result, source, row, optimizer, rows);
    *net = (Net){0};
    nnc_program_options options = {.size = sizeof options, .f64 = true, .interpret = true};
    nnc_trainer_options training = {.size = sizeof training, .on_event = on_event, .user = net};
    cr_assert_eq(nnc_context_new(NULL, &net->context), NNC_OK);
    nnc_status status = nnc_program_parse(net->context, "layers.nn", text, &options, &net->program);
    cr_assert_eq(status, NNC_OK, "%s\n%s", text, nnc_diagnostics(net->context, NNC_TEXT));
    status = nnc_trainer_new(net->program, NULL, &training, &net->trainer);
    cr_assert_eq(status, NNC_OK, "%s\n%s", text, nnc_diagnostics(net->context, NNC_TEXT));
    cr_assert_eq(nnc_trainer_model(net->trainer, &net->model), NNC_OK);
}

static void close_net(Net *net)
{
    nnc_model_release(net->model);
    nnc_trainer_release(net->trainer);
    nnc_program_release(net->program);
    nnc_context_release(net->context);
}

/* The elements of a weight, which stay the model's. */
static double *weight(Net *net, const char *name, int64_t elements)
{
    nnc_tensor *tensor = NULL;
    cr_assert_eq(nnc_model_tensor(net->model, name, &tensor), NNC_OK, "%s", name);
    cr_assert_eq(nnc_tensor_dtype(tensor), NNC_F64);
    cr_assert_eq(nnc_tensor_elements(tensor), elements, "%s", name);
    double *data = nnc_tensor_data(tensor);
    nnc_tensor_release(tensor);
    return data;
}

static double x_at(int i)
{
    return 0.25 * i - 1;
}

/* The model's answer to the rows of x_at. */
static nnc_tensor *answer(Net *net, int rank, const int64_t *sizes)
{
    nnc_tensor *input = NULL, *output = NULL;
    nnc_session *session = NULL;
    cr_assert_eq(nnc_tensor_new(NNC_F64, rank, sizes, &input), NNC_OK);
    for (int64_t i = 0; i < nnc_tensor_elements(input); i++) {
        ((double *)nnc_tensor_data(input))[i] = x_at((int)i);
    }
    cr_assert_eq(nnc_session_new(net->model, &session), NNC_OK, "%s",
                 nnc_diagnostics(net->context, NNC_TEXT));
    cr_assert_eq(nnc_session_run(session, &input, &output), NNC_OK, "%s",
                 nnc_diagnostics(net->context, NNC_TEXT));
    nnc_session_release(session);
    nnc_tensor_release(input);
    return output;
}

static bool near(double a, double b)
{
    return fabs(a - b) <= 1e-12 * fmax(1, fabs(b));
}

static void expect_all(nnc_tensor *output, const double *want, int count)
{
    cr_assert_eq(nnc_tensor_elements(output), count);
    const double *got = nnc_tensor_data(output);
    for (int i = 0; i < count; i++) {
        cr_expect(near(got[i], want[i]), "[%d] is %.17g, want %.17g", i, got[i], want[i]);
    }
    nnc_tensor_release(output);
}

Test(std_layers, linear)
{
    Net net;
    double want[8];
    open_net(&net, "let a = Linear(3, 2)", "a(x)", "3", 4, "3", "sgd()");
    double *w = weight(&net, "a.weight", 6), *b = weight(&net, "a.bias", 2);
    for (int i = 0; i < 6; i++) { /* PyTorch: uniform in +-1/sqrt(in) */
        cr_expect_lt(fabs(w[i]), 1 / sqrt(3));
    }
    for (int r = 0; r < 4; r++) {
        for (int o = 0; o < 2; o++) {
            want[2 * r + o] = b[o];
            for (int i = 0; i < 3; i++) {
                want[2 * r + o] += x_at(3 * r + i) * w[3 * o + i];
            }
        }
    }
    expect_all(answer(&net, 2, (int64_t[]){4, 3}), want, 8);
    close_net(&net);
}

/* One output of a convolution with groups, stride, padding and dilation. */
static double conv_at(const double *w, double bias, int o, int row, int column, int n)
{
    enum {
        IN = 4,
        SIDE = 5,
        GROUPS = 2,
        PER = IN / GROUPS,
        K = 3,
        STRIDE = 2,
        PAD = 2,
        DILATION = 2
    };
    double sum = bias;
    int first = o / 3 * PER; /* 6 outputs in 2 groups */
    for (int c = 0; c < PER; c++) {
        for (int i = 0; i < K * K; i++) {
            int y = row * STRIDE - PAD + i / K * DILATION,
                x = column * STRIDE - PAD + i % K * DILATION;
            if (y >= 0 && y < SIDE && x >= 0 && x < SIDE) {
                sum += w[(o * PER + c) * K * K + i] *
                       x_at(((n * IN + first + c) * SIDE + y) * SIDE + x);
            }
        }
    }
    return sum;
}

Test(std_layers, convolution_with_everything)
{
    Net net;
    enum { OUT = 6, SIDE = 3, ROWS = 2 };
    double want[ROWS * OUT * SIDE * SIDE];
    open_net(&net, "let a = Conv2d(4, 6, k=3, stride=2, pad=2, dilation=2, groups=2)", "a(x)",
             "4, 5, 5", ROWS, "100", "sgd()");
    double *w = weight(&net, "a.weight", 6 * 2 * 9), *b = weight(&net, "a.bias", 6);
    for (int i = 0; i < 108; i++) {
        cr_expect_lt(fabs(w[i]), 1 / sqrt(18));
    }
    for (int i = 0; i < ROWS * OUT * SIDE * SIDE; i++) {
        int o = i / (SIDE * SIDE) % OUT;
        want[i] = conv_at(w, b[o], o, i / SIDE % SIDE, i % SIDE, i / (OUT * SIDE * SIDE));
    }
    expect_all(answer(&net, 4, (int64_t[]){ROWS, 4, 5, 5}), want, ROWS * OUT * SIDE * SIDE);
    close_net(&net);
}

Test(std_layers, pooling)
{
    Net net;
    double want[4];
    open_net(&net, "param w: f32[1] = 0", "max_pool(x, 2) + 0.0 * w", "1, 4, 4", 1, "16", "sgd()");
    for (int i = 0; i < 4; i++) { /* x grows: the last of a window is the largest */
        want[i] = x_at(4 * (2 * (i / 2) + 1) + 2 * (i % 2) + 1);
    }
    expect_all(answer(&net, 4, (int64_t[]){1, 1, 4, 4}), want, 4);
    close_net(&net);
    open_net(&net, "param w: f32[1] = 0", "avg_pool(x, 3, stride=2, pad=1) + 0.0 * w", "1, 4, 4", 1,
             "16", "sgd()");
    for (int i = 0; i < 4; i++) { /* PyTorch: padded zeros count */
        want[i] = 0;
        for (int k = 0; k < 9; k++) {
            int y = 2 * (i / 2) - 1 + k / 3, x = 2 * (i % 2) - 1 + k % 3;
            want[i] += y >= 0 && x >= 0 && y < 4 && x < 4 ? x_at(4 * y + x) / 9 : 0;
        }
    }
    expect_all(answer(&net, 4, (int64_t[]){1, 1, 4, 4}), want, 4);
    close_net(&net);
}

Test(std_layers, layer_norm)
{
    Net net;
    double want[8];
    open_net(&net, "let a = LayerNorm(4)", "a(x)", "4", 2, "4", "sgd()");
    double *w = weight(&net, "a.weight", 4), *b = weight(&net, "a.bias", 4);
    for (int i = 0; i < 4; i++) {
        cr_expect(w[i] == 1 && b[i] == 0);
        w[i] = 1 + i;
        b[i] = 0.5 * i;
    }
    for (int r = 0; r < 2; r++) {
        double mean = x_at(4 * r) + 0.375, var = 0;
        for (int i = 0; i < 4; i++) {
            var += (x_at(4 * r + i) - mean) * (x_at(4 * r + i) - mean) / 4;
        }
        for (int i = 0; i < 4; i++) {
            want[4 * r + i] = (x_at(4 * r + i) - mean) / sqrt(var + 1e-5) * w[i] + b[i];
        }
    }
    expect_all(answer(&net, 2, (int64_t[]){2, 4}), want, 8);
    close_net(&net);
}

static int64_t batches(Net *net)
{
    nnc_tensor *tensor = NULL;
    cr_assert_eq(nnc_model_tensor(net->model, "a.num_batches_tracked", &tensor), NNC_OK);
    cr_assert_eq(nnc_tensor_dtype(tensor), NNC_I64);
    int64_t value = *(int64_t *)nnc_tensor_data(tensor);
    nnc_tensor_release(tensor);
    return value;
}

/* C channels of `inner` elements in `rows` rows; after one step of training without change of the
 * weights. */
static void check_batch_norm(const char *module, const char *row, const char *sizes, int rows,
                             int channels, int inner, int rank, const int64_t *shape)
{
    Net net;
    char lets[80];
    double mean[4], var[4], want[256];
    int n = rows * inner;
    snprintf(lets, sizeof lets, "let a = %s(%d)", module, channels);
    open_net(&net, lets, "a(x)", row, rows, sizes, "sgd(lr=0.0)");
    cr_expect_eq(batches(&net), 0);
    cr_assert_eq(nnc_trainer_run(net.trainer), NNC_OK);
    cr_expect(fabs(net.loss) < 1e-9, "normalised rows sum to 0, got %g", net.loss);
    cr_expect_eq(batches(&net), 1);
    double *running_mean = weight(&net, "a.running_mean", channels);
    double *running_var = weight(&net, "a.running_var", channels);
    for (int c = 0; c < channels; c++) {
        mean[c] = var[c] = 0;
        for (int i = 0; i < n; i++) {
            mean[c] += x_at((i / inner * channels + c) * inner + i % inner) / n;
        }
        for (int i = 0; i < n; i++) {
            double d = x_at((i / inner * channels + c) * inner + i % inner) - mean[c];
            var[c] += d * d / (n - 1); /* unbiased in the running variance */
        }
        cr_expect(near(running_mean[c], 0.1 * mean[c]), "%s: mean %g", module, running_mean[c]);
        cr_expect(near(running_var[c], 0.9 + 0.1 * var[c]), "%s: var %g", module, running_var[c]);
    }
    for (int i = 0; i < n * channels; i++) {
        int c = i / inner % channels;
        want[i] = (x_at(i) - running_mean[c]) / sqrt(running_var[c] + 1e-5);
    }
    expect_all(answer(&net, rank, shape), want, n * channels);
    close_net(&net);
}

Test(std_layers, batch_norm)
{
    check_batch_norm("BatchNorm1d", "3", "3", 5, 3, 1, 2, (int64_t[]){5, 3});
    check_batch_norm("BatchNorm1d", "3, 4", "12", 5, 3, 4, 3, (int64_t[]){5, 3, 4});
    check_batch_norm("BatchNorm2d", "2, 3, 3", "18", 4, 2, 9, 4, (int64_t[]){4, 2, 3, 3});
}

Test(std_layers, embedding)
{
    Net net;
    double want[8];
    open_net(&net, "let a = Embedding(7, 4)", "a(i32(x * 4.0 + 6.0))[:, 0]", "1", 2, "1", "sgd()");
    double *w = weight(&net, "a.weight", 28);
    for (int i = 0; i < 8; i++) { /* x is -1 and -0.75: rows 2 and 3 */
        want[i] = w[8 + i];
    }
    expect_all(answer(&net, 2, (int64_t[]){2, 1}), want, 8);
    close_net(&net);
}

Test(std_layers, dropout_scales_what_it_keeps)
{
    Net net;
    enum { N = 4000 };
    double *want = malloc(N * sizeof *want);
    open_net(&net, "param w: f32[4000] = 1", "dropout(x * 0.0 + w, 0.25)", "4000", 1, "4000",
             "sgd(lr=1.0)");
    for (int i = 0; i < N; i++) { /* in evaluation nothing is dropped */
        want[i] = 1;
    }
    expect_all(answer(&net, 2, (int64_t[]){1, N}), want, N);
    cr_assert_eq(nnc_trainer_run(net.trainer), NNC_OK);
    double *w = weight(&net, "w", N), dropped = 0;
    for (int i = 0; i < N; i++) { /* w minus its gradient: 1 where dropped, else 1 - 1/0.75 */
        bool kept = near(w[i], 1 - 1 / 0.75);
        cr_expect(kept || w[i] == 1, "w[%d] = %.17g", i, w[i]);
        dropped += !kept;
    }
    cr_expect(fabs(dropped / N - 0.25) < 0.03, "%g dropped", dropped / N);
    cr_expect(near(net.loss, (N - dropped) / 0.75), "%g", net.loss);
    free(want);
    close_net(&net);
}

/* Trains one step of w, which begins with ones, and gives 1 - w: the gradient shows what was
 * kept. */
static void open_dropped(Net *net, const char *result, const char *row, const char *sizes, int rows,
                         double *gradient, int64_t count)
{
    char lets[64];
    snprintf(lets, sizeof lets, "param w: f32[%s] = 1", row);
    open_net(net, lets, result, row, rows, sizes, "sgd(lr=1.0)");
    cr_assert_eq(nnc_trainer_run(net->trainer), NNC_OK);
    const double *w = weight(net, "w", count);
    for (int64_t i = 0; i < count; i++)
        gradient[i] = 1 - w[i];
}

/* Four elements of a channel go together. */
Test(std_layers, dropout_of_channels)
{
    enum { N = 2000 };
    double gradient[4 * N], kept = 0;
    Net net;
    open_dropped(&net, "dropout_channels(x * 0.0 + w, 0.25)", "2000, 4", "8000", 1, gradient, 4 * N);
    for (int i = 0; i < 4 * N; i++) {
        cr_expect(near(gradient[i], 1 / 0.75) || gradient[i] == 0, "%.17g", gradient[i]);
        cr_expect_eq(gradient[i], gradient[i / 4 * 4]);
        kept += gradient[i] != 0;
    }
    cr_expect(fabs(kept / (4 * N) - 0.75) < 0.04, "%g kept", kept / (4 * N));
    cr_expect(near(net.loss, kept / 0.75), "%g", net.loss);
    close_net(&net);
}

/* PyTorch: where(kept, x, -alpha) * a + a * alpha * p with a = ((1 - p) (1 + p alpha^2))^-1/2. */
Test(std_layers, alpha_dropout)
{
    enum { N = 8000 };
    const double alpha = 1.7580993408473766, p = 0.25,
                 a = 1 / sqrt((1 - p) * (1 + p * alpha * alpha));
    double gradient[N], kept = 0;
    Net net;
    open_dropped(&net, "alpha_dropout(x * 0.0 + w, 0.25)", "8000", "8000", 1, gradient, N);
    for (int i = 0; i < N; i++) {
        cr_expect(near(gradient[i], a) || gradient[i] == 0, "%.17g", gradient[i]);
        kept += gradient[i] != 0;
    }
    cr_expect(fabs(kept / N - 0.75) < 0.02, "%g kept", kept / N);
    cr_expect(near(net.loss, kept * a - (N - kept) * alpha * a + N * a * alpha * p), "%g", net.loss);
    close_net(&net);
}

/* The mean over examples: w has the same gradient everywhere, the kept examples / 0.75. */
Test(std_layers, drop_path_leaves_out_examples)
{
    enum { ROWS = 2000 };
    double gradient[4];
    Net net;
    open_dropped(&net, "drop_path(x * 0.0 + w, 0.25)", "4", "4", ROWS, gradient, 4);
    double kept = gradient[0] * ROWS * 0.75;
    cr_expect(fabs(kept - round(kept)) < 1e-6 && fabs(kept / ROWS - 0.75) < 0.04, "%.17g", kept);
    for (int i = 1; i < 4; i++)
        cr_expect(near(gradient[i], gradient[0]), "%.17g", gradient[i]);
    cr_expect(near(net.loss, 4 * gradient[0]), "%g", net.loss);
    close_net(&net);
}
