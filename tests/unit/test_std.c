/* The library in .nn against its formulas: values and derivatives of activations and losses, steps
 * of the optimizers, rates of the schedules, metrics. Everything runs in f64 in the interpreter, so
 * that a wrong formula or default cannot hide behind rounding. The expected numbers are computed
 * here from PyTorch's definitions; tests/reference compares whole runs with PyTorch itself. */
#include <nnc/nnc.h>

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_STEPS = 64, TEXT = 4000 };

typedef struct {
    nnc_context *context;
    nnc_program *program;
    nnc_trainer *trainer;
    nnc_model *model;
    double loss[MAX_STEPS], rate[MAX_STEPS];
    int steps;
} Run;

static void on_event(void *user, const nnc_event *event)
{
    Run *run = user;
    if (event->kind == NNC_EVENT_STEP && run->steps < MAX_STEPS) {
        run->loss[run->steps] = event->loss;
        run->rate[run->steps++] = event->lr;
    }
}

static void expect(Run *run, nnc_status status, const char *text)
{
    cr_assert_eq(status, NNC_OK, "%s\n%s", text, nnc_diagnostics(run->context, NNC_TEXT));
}

/* Makes a trainer of the text's train block and a view of its weights. */
static void open_run(Run *run, const char *text)
{
    *run = (Run){0};
    nnc_program_options options = {.size = sizeof options, .f64 = true, .interpret = true};
    nnc_trainer_options training = {.size = sizeof training, .on_event = on_event, .user = run};
    cr_assert_eq(nnc_context_new(NULL, &run->context), NNC_OK);
    expect(run, nnc_program_parse(run->context, "std.nn", text, &options, &run->program), text);
    expect(run, nnc_trainer_new(run->program, NULL, &training, &run->trainer), text);
    expect(run, nnc_trainer_model(run->trainer, &run->model), text);
}

static void close_run(Run *run)
{
    nnc_model_release(run->model);
    nnc_trainer_release(run->trainer);
    nnc_program_release(run->program);
    nnc_context_release(run->context);
}

static void get_weights(Run *run, double *w)
{
    nnc_tensor *tensor = NULL;
    cr_assert_eq(nnc_model_tensor(run->model, "w", &tensor), NNC_OK);
    cr_assert_eq(nnc_tensor_dtype(tensor), NNC_F64);
    memcpy(w, nnc_tensor_data(tensor), sizeof *w * (size_t)nnc_tensor_elements(tensor));
    nnc_tensor_release(tensor);
}

static void put_weights(Run *run, const double *w)
{
    nnc_tensor *tensor = NULL;
    cr_assert_eq(nnc_model_tensor(run->model, "w", &tensor), NNC_OK);
    memcpy(nnc_tensor_data(tensor), w, sizeof *w * (size_t)nnc_tensor_elements(tensor));
    nnc_tensor_release(tensor);
}

static const char program_form[] =
    "from nn import relu, leaky_relu, elu, gelu, silu, sigmoid, softplus, softmax, log_softmax\n"
    "from losses import cross_entropy, nll, bce, bce_with_logits, mse, mae, huber, kl\n"
    "from optim import sgd, adam, adamw, rmsprop, adagrad\n"
    "from optim import constant as flat, linear, cosine, step, exponential\n"
    "module F {\n    param w: f32[%d] = 0.0\n"
    "    fn (x: f32[B, 1]) -> f32[B] { x[:, 0] * 0.0 + sum(%s) }\n}\n"
    "dataset d {\n    source = arrays(x=zeros(1, 1))\n    fields = [x: f32[1]]\n}\n"
    "train t on d {\n    model = F()\n    loss = model(x)\n    optimizer = %s\n"
    "    batch = 1\n    epochs = %d\n}\n";

static bool near(double a, double b, double bound)
{
    return fabs(a - b) <= bound * fmax(1, fabs(b));
}

/* Value of sum(expression of w) and its derivative by every w: one step of size 1. */
static double differentiate(const char *expression, int n, const double *w, double *derivative)
{
    char text[TEXT];
    Run run;
    snprintf(text, sizeof text, program_form, n, expression, "sgd(lr=1.0)", 1);
    open_run(&run, text);
    put_weights(&run, w);
    expect(&run, nnc_trainer_run(run.trainer), text);
    get_weights(&run, derivative);
    for (int i = 0; i < n; i++)
        derivative[i] = w[i] - derivative[i];
    double value = run.loss[0];
    close_run(&run);
    return value;
}

/* ---- activations ---- */

static double d_sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

static double relu(double x)
{
    return x > 0 ? x : 0;
}
static double relu_d(double x)
{
    return x > 0;
}
static double leaky(double x)
{
    return x > 0 ? x : 0.01 * x;
}
static double leaky_d(double x)
{
    return x > 0 ? 1 : 0.01;
}
static double leaky2(double x)
{
    return x > 0 ? x : 0.2 * x;
}
static double leaky2_d(double x)
{
    return x > 0 ? 1 : 0.2;
}
static double elu(double x)
{
    return x > 0 ? x : expm1(x);
}
static double elu_d(double x)
{
    return x > 0 ? 1 : exp(x);
}
static double gelu(double x)
{
    return x / 2 * (1 + erf(x / sqrt(2)));
}
static double gelu_d(double x)
{
    return (1 + erf(x / sqrt(2))) / 2 + x * exp(-x * x / 2) / sqrt(2 * M_PI);
}
static double gelu_tanh(double x)
{
    return x / 2 * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}
static double gelu_tanh_d(double x)
{
    double u = sqrt(2 / M_PI) * (x + 0.044715 * x * x * x), t = tanh(u);
    return (1 + t) / 2 + x / 2 * (1 - t * t) * sqrt(2 / M_PI) * (1 + 3 * 0.044715 * x * x);
}
static double silu(double x)
{
    return x * d_sigmoid(x);
}
static double silu_d(double x)
{
    double s = d_sigmoid(x);
    return s + x * s * (1 - s);
}
static double sigmoid_d(double x)
{
    return d_sigmoid(x) * (1 - d_sigmoid(x));
}
static double softplus(double x)
{
    return x > 30 ? x : log1p(exp(x));
}
static double softplus2(double x)
{
    return softplus(2 * x) / 2;
}
static double softplus2_d(double x)
{
    return d_sigmoid(2 * x);
}

Test(std, activations)
{
    static const struct {
        const char *expression;
        double (*value)(double), (*derivative)(double);
    } cases[] = {
        {"relu(w)", relu, relu_d},
        {"leaky_relu(w)", leaky, leaky_d},
        {"leaky_relu(w, slope=0.2)", leaky2, leaky2_d},
        {"elu(w)", elu, elu_d},
        {"gelu(w)", gelu, gelu_d},
        {"gelu(w, approximate=\"tanh\")", gelu_tanh, gelu_tanh_d},
        {"silu(w)", silu, silu_d},
        {"sigmoid(w)", d_sigmoid, sigmoid_d},
        {"softplus(w)", softplus, d_sigmoid},
        {"softplus(w, beta=2.0)", softplus2, softplus2_d},
    };
    static const double at[] = {-2.5, -0.75, 0, 0.5, 3, 1.25, -6};
    enum { N = sizeof at / sizeof *at };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        double derivative[N], want = 0;
        double value = differentiate(cases[c].expression, N, at, derivative);
        for (int i = 0; i < N; i++) {
            want += cases[c].value(at[i]);
            double slope = cases[c].derivative(at[i]);
            cr_expect(near(derivative[i], slope, 1e-12), "%s at %g: derivative %.17g, want %.17g",
                      cases[c].expression, at[i], derivative[i], slope);
        }
        cr_expect(near(value, want, 1e-12), "%s: %.17g, want %.17g", cases[c].expression, value,
                  want);
    }
}

Test(std, nothing_overflows_far_out)
{
    static const char *const expressions[] = {
        "relu(w)",
        "leaky_relu(w)",
        "elu(w)",
        "gelu(w)",
        "silu(w)",
        "sigmoid(w)",
        "softplus(w)",
        "gelu(w, approximate=\"tanh\")",
        "softmax(w)",
        "log_softmax(w)",
        "bce_with_logits(w, 1.0)",
        "bce(sigmoid(w), 0.0)",
    };
    static const double at[] = {-1e4, -800, 800, 1e4};
    for (size_t c = 0; c < sizeof expressions / sizeof *expressions; c++) {
        double derivative[4], value = differentiate(expressions[c], 4, at, derivative);
        cr_expect(isfinite(value), "%s: %g", expressions[c], value);
        for (int i = 0; i < 4; i++)
            cr_expect(isfinite(derivative[i]), "%s at %g: %g", expressions[c], at[i],
                      derivative[i]);
    }
}

/* ---- losses ---- */

static double log_probability(const double *row, int n, int i)
{
    double largest = row[0], sum = 0;
    for (int k = 1; k < n; k++)
        largest = fmax(largest, row[k]);
    for (int k = 0; k < n; k++)
        sum += exp(row[k] - largest);
    return row[i] - largest - log(sum);
}

static const double logits[6] = {0.5, -1.25, 2, 0.25, 3, -0.5};

Test(std, cross_entropy)
{
    double got[6];
    const double s = 0.1;
    const double *first = logits, *second = logits + 3;
    double hard = -log_probability(first, 3, 2) - log_probability(second, 3, 0);
    double smooth = (1 - s) * hard, mixed = 0;
    static const double q[6] = {0.2, 0.3, 0.5, 1, 0, 0};
    for (int i = 0; i < 3; i++) {
        smooth -= s / 3 * (log_probability(first, 3, i) + log_probability(second, 3, i));
        mixed -= q[i] * log_probability(first, 3, i) + q[3 + i] * log_probability(second, 3, i);
    }
    double value = differentiate("cross_entropy(reshape(w, 2, 3), i32([2, 0]))", 6, logits, got);
    cr_expect(near(value, hard, 1e-13));
    for (int i = 0; i < 3; i++) {
        cr_expect(near(got[i], exp(log_probability(first, 3, i)) - (i == 2), 1e-13));
        cr_expect(near(got[3 + i], exp(log_probability(second, 3, i)) - (i == 0), 1e-13));
    }
    value = differentiate("cross_entropy(reshape(w, 2, 3), i32([2, 0]), label_smoothing=0.1)", 6,
                          logits, got);
    cr_expect(near(value, smooth, 1e-13));
    value = differentiate("cross_entropy(reshape(w, 2, 3), f32([[0.2, 0.3, 0.5], [1, 0, 0]]))", 6,
                          logits, got);
    cr_expect(near(value, mixed, 1e-13), "%.17g %.17g", value, mixed);
    value = differentiate("nll(log_softmax(reshape(w, 2, 3)), i32([2, 0]))", 6, logits, got);
    cr_expect(near(value, hard, 1e-13));
    value = differentiate("cross_entropy(transpose(reshape(w, 2, 3)), i32([2, 0]), axis=0)", 6,
                          logits, got);
    cr_expect(near(value, hard, 1e-13));
    value =
        differentiate("cross_entropy(reshape(transpose(reshape(w, 2, 3)), 1, 3, 2), i32([[2, 0]]),"
                      " axis=1)",
                      6, logits, got);
    cr_expect(near(value, hard, 1e-13));
}

Test(std, binary_cross_entropy)
{
    static const double x[4] = {-3, -0.5, 0.25, 6};
    double got[4], want = 0;
    for (int i = 0; i < 4; i++)
        want -= 0.3 * log(d_sigmoid(x[i])) + 0.7 * log(1 - d_sigmoid(x[i]));
    double value = differentiate("bce_with_logits(w, 0.3)", 4, x, got);
    cr_expect(near(value, want, 1e-12));
    for (int i = 0; i < 4; i++)
        cr_expect(near(got[i], d_sigmoid(x[i]) - 0.3, 1e-12));
    value = differentiate("bce(sigmoid(w), 0.3)", 4, x, got);
    cr_expect(near(value, want, 1e-12));
    /* PyTorch: a logarithm is at least -100 */
    static const double edge[4] = {0, 1, 0.5, 0.25};
    value = differentiate("bce(w, f32([1.0, 0.0, 1.0, 0.0]))", 4, edge, got);
    cr_expect(near(value, 200 - log(0.5) - log(0.75), 1e-13), "%.17g", value);
    cr_expect(isfinite(got[0]) && isfinite(got[1]) && near(got[2], -2, 1e-13));
}

Test(std, regression_losses)
{
    static const double x[4] = {-3, -0.5, 0.25, 6};
    double got[4], square = 0, absolute = 0, huber = 0;
    for (int i = 0; i < 4; i++) {
        double d = x[i] - 0.5;
        square += d * d / 2; /* the mean over rows of two */
        absolute += fabs(d) / 2;
        huber += (fabs(d) < 2 ? d * d / 2 : 2 * (fabs(d) - 1)) / 2;
    }
    cr_expect(near(differentiate("mse(reshape(w, 2, 2), 0.5)", 4, x, got), square, 1e-13));
    cr_expect(near(got[3], 5.5, 1e-13));
    cr_expect(near(differentiate("mae(reshape(w, 2, 2), 0.5)", 4, x, got), absolute, 1e-13));
    cr_expect(
        near(differentiate("huber(reshape(w, 2, 2), 0.5, delta=2.0)", 4, x, got), huber, 1e-13));
    double divergence = 0;
    static const double q[4] = {0.25, 0.75, 0, 1};
    for (int i = 0; i < 4; i++)
        divergence += q[i] > 0 ? q[i] * (log(q[i]) - x[i]) / 2 : 0;
    cr_expect(near(differentiate("kl(reshape(w, 2, 2), f32([[0.25, 0.75], [0, 1]]))", 4, x, got),
                   divergence, 1e-13));
}

/* ---- optimizers: loss = sum(w * w * [1, 10]) / 2, so the gradient is [w0, 10 w1] ---- */

typedef struct {
    double m, v, a;
} Moments;

typedef double Update(double p, double g, int t, Moments *s);

static double sgd_plain(double p, double g, int t, Moments *s)
{
    (void)t, (void)s;
    return p - 0.01 * (g + 0.1 * p);
}

static double sgd_momentum(double p, double g, int t, Moments *s)
{
    s->m = t == 0 ? g : 0.9 * s->m + (1 - 0.5) * g;
    return p - 0.01 * s->m;
}

static double sgd_nesterov(double p, double g, int t, Moments *s)
{
    s->m = t == 0 ? g : 0.9 * s->m + g;
    return p - 0.01 * (g + 0.9 * s->m);
}

static double adam_step(double g, int t, Moments *s)
{
    s->m = 0.9 * s->m + 0.1 * g;
    s->v = 0.999 * s->v + 0.001 * g * g;
    double m = s->m / (1 - pow(0.9, t + 1)), v = s->v / (1 - pow(0.999, t + 1));
    return m / (sqrt(v) + 1e-8);
}

static double adam(double p, double g, int t, Moments *s)
{
    return p - 1e-3 * adam_step(g + 0.1 * p, t, s);
}

static double adamw(double p, double g, int t, Moments *s)
{
    return p * (1 - 1e-3 * 0.01) - 1e-3 * adam_step(g, t, s);
}

static double rmsprop(double p, double g, int t, Moments *s)
{
    (void)t;
    s->v = 0.99 * s->v + 0.01 * g * g;
    return p - 0.01 * g / (sqrt(s->v) + 1e-8);
}

static double rmsprop_all(double p, double g, int t, Moments *s)
{
    (void)t;
    s->v = 0.99 * s->v + 0.01 * g * g;
    s->a = 0.99 * s->a + 0.01 * g;
    s->m = 0.5 * s->m + g / (sqrt(s->v - s->a * s->a) + 1e-8);
    return p - 0.01 * s->m;
}

static double adagrad(double p, double g, int t, Moments *s)
{
    s->v += g * g;
    return p - 0.01 / (1 + t * 0.1) * g / (sqrt(s->v) + 1e-10);
}

Test(std, optimizers)
{
    static const struct {
        const char *text;
        Update *update;
    } cases[] = {
        {"sgd(lr=0.01, weight_decay=0.1)", sgd_plain},
        {"sgd(lr=0.01, momentum=0.9, dampening=0.5)", sgd_momentum},
        {"sgd(lr=0.01, momentum=0.9, nesterov=true)", sgd_nesterov},
        {"adam(weight_decay=0.1)", adam},
        {"adamw()", adamw},
        {"rmsprop()", rmsprop},
        {"rmsprop(momentum=0.5, centered=true)", rmsprop_all},
        {"adagrad(lr_decay=0.1)", adagrad},
    };
    enum { STEPS = 7 };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        char text[TEXT];
        Run run;
        double want[2] = {1.5, -0.75}, got[2];
        snprintf(text, sizeof text, program_form, 2, "0.5 * w * w * f32([1.0, 10.0])",
                 cases[c].text, STEPS);
        open_run(&run, text);
        put_weights(&run, want);
        expect(&run, nnc_trainer_run(run.trainer), text);
        get_weights(&run, got);
        close_run(&run);
        Moments moments[2];
        memset(moments, 0, sizeof moments);
        for (int t = 0; t < STEPS; t++)
            for (int i = 0; i < 2; i++)
                want[i] = cases[c].update(want[i], (i ? 10 : 1) * want[i], t, &moments[i]);
        for (int i = 0; i < 2; i++)
            cr_expect(near(got[i], want[i], 1e-12), "%s: w[%d] = %.17g, want %.17g", cases[c].text,
                      i, got[i], want[i]);
    }
}

/* ---- schedules, over 10 steps ---- */

enum { TOTAL = 10, WARMUP = 4 };

static double rate_flat(int t)
{
    return (void)t, 0.5;
}
static double rate_linear(int t)
{
    return 0.5 + (0.1 - 0.5) * t / TOTAL;
}
static double rate_cosine(int t)
{
    return 0.1 + 0.4 * (1 + cos(M_PI * t / TOTAL)) / 2;
}
static double rate_step(int t)
{
    return 0.5 * pow(0.1, t / 3);
}
static double rate_exponential(int t)
{
    return 0.5 * pow(0.9, t);
}
static double rate_warm(int t)
{
    double done = (t - WARMUP) / (double)(TOTAL - WARMUP);
    return t < WARMUP ? 0.5 * (t + 1) / WARMUP : 0.5 * (1 + cos(M_PI * done)) / 2;
}
static double rate_warm_flat(int t)
{
    return t < WARMUP ? 0.5 * (t + 1) / WARMUP : 0.5;
}
static double rate_warm_step(int t)
{
    return t < WARMUP ? 0.5 * (t + 1) / WARMUP : 0.5 * pow(0.1, (t - WARMUP) / 3);
}

Test(std, schedules)
{
    static const struct {
        const char *text;
        double (*rate)(int t);
    } cases[] = {
        {"0.5", rate_flat},
        {"flat(0.5)", rate_flat},
        {"flat(0.5, warmup=4)", rate_warm_flat},
        {"linear(0.5, end=0.1)", rate_linear},
        {"cosine(0.5, floor=0.1)", rate_cosine},
        {"cosine(0.5, warmup=4)", rate_warm},
        {"step(0.5, every=3)", rate_step},
        {"step(0.5, every=3, warmup=4)", rate_warm_step},
        {"exponential(0.5, gamma=0.9)", rate_exponential},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        char text[TEXT], optimizer[200];
        Run run;
        snprintf(optimizer, sizeof optimizer, "sgd(lr=%s)", cases[c].text);
        snprintf(text, sizeof text, program_form, 1, "w", optimizer, TOTAL);
        open_run(&run, text);
        expect(&run, nnc_trainer_run(run.trainer), text);
        cr_expect_eq(run.steps, TOTAL);
        for (int t = 0; t < run.steps; t++)
            cr_expect(near(run.rate[t], cases[c].rate(t), 1e-13), "%s at %d: %.17g, want %.17g",
                      cases[c].text, t, run.rate[t], cases[c].rate(t));
        close_run(&run);
    }
}

/* ---- metrics: predictions and targets from arrays, two batches of different length ---- */

static const char metric_form[] =
    "from optim import sgd\n"
    "module F {\n    param w: f32[1] = 0.0\n    fn (x: f32[B, %s]) -> f32[B, %s] { x + 0.0 * w "
    "}\n}\n"
    "dataset d {\n    source = arrays(x=f32(%s), y=%s)\n    fields = [x: f32[%s], y: %s]\n}\n"
    "train t on d {\n    model = F()\n    loss = sum(model(x), axis=1)\n    metrics = [%s]\n"
    "    optimizer = sgd(lr=0.0)\n    batch = 3\n    epochs = 1\n    shuffle = false\n}\n";

static void check_metric(const char *text, const char *name, int count, const double *want)
{
    Run run;
    const nnc_metric *metrics = NULL;
    size_t metric_count = 0;
    open_run(&run, text);
    expect(&run, nnc_trainer_evaluate(run.trainer, NNC_PART_TRAIN, &metrics, &metric_count), text);
    cr_assert_eq(metric_count, 2, "%s", text);
    const double *got = metrics[1].rank ? metrics[1].values : &metrics[1].value;
    for (int i = 0; i < count; i++)
        cr_expect(near(got[i], want[i], 1e-12), "%s[%d] is %.17g, want %.17g", name, i, got[i],
                  want[i]);
    close_run(&run);
}

Test(std, class_metrics)
{
    /* classes predicted 0 2 1 1 0, true 0 2 2 1 1 */
    static const char scores[] = "[[3, 0, 0], [0, 1, 2], [0, 5, 1], [0, 2, 0], [1, 0, 0]]";
    static const struct {
        const char *metric;
        int count;
        double want[9];
    } cases[] = {
        {"accuracy(model(x), y)", 1, {0.6}},
        {"precision(model(x), y)", 1, {(0.5 + 0.5 + 1) / 3}},
        {"recall(model(x), y)", 1, {(1 + 0.5 + 0.5) / 3}},
        {"f1(model(x), y)", 1, {(2.0 / 3 + 0.5 + 2.0 / 3) / 3}},
        {"precision(model(x), y, average=\"micro\")", 1, {0.6}},
        {"recall(model(x), y, average=\"weighted\")", 1, {0.6}},
        {"f1(model(x), y, positive=2)", 1, {2.0 / 3}},
        {"confusion(model(x), y)", 9, {1, 0, 0, 1, 1, 0, 0, 1, 1}},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        char text[TEXT];
        snprintf(text, sizeof text, metric_form, "3", "3", scores, "i32([0, 2, 2, 1, 1])", "3",
                 "i32", cases[c].metric);
        check_metric(text, cases[c].metric, cases[c].count, cases[c].want);
    }
}

Test(std, metrics_of_one_probability)
{
    /* yes: 1 0 1 0, true: 1 1 0 0 */
    static const char scores[] = "[[0.9], [0.4], [0.6], [0.5]]";
    static const struct {
        const char *metric;
        int count;
        double want[4];
    } cases[] = {
        {"accuracy(model(x), y)", 1, {0.5}},
        {"accuracy(model(x), y, threshold=0.7)", 1, {0.75}},
        {"precision(model(x), y, positive=1)", 1, {0.5}},
        {"recall(model(x), y, positive=1)", 1, {0.5}},
        {"confusion(model(x), y)", 4, {1, 1, 1, 1}},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        char text[TEXT];
        snprintf(text, sizeof text, metric_form, "1", "1", scores, "f32([[1], [1], [0], [0]])", "1",
                 "f32[1]", cases[c].metric);
        check_metric(text, cases[c].metric, cases[c].count, cases[c].want);
    }
}

/* Metrics of one kind are told apart by their place in the list. */
Test(std, repeated_metrics_have_names)
{
    char text[TEXT];
    Run run;
    const nnc_metric *metrics = NULL;
    size_t count = 0;
    snprintf(text, sizeof text, metric_form, "2", "2", "[[1, 0], [0, 1]]", "i32([0, 0])", "2",
             "i32", "f1(model(x), y), accuracy(model(x), y), f1(model(x), y, positive=1)");
    open_run(&run, text);
    expect(&run, nnc_trainer_evaluate(run.trainer, NNC_PART_TRAIN, &metrics, &count), text);
    static const char *const names[] = {"loss", "f1", "accuracy", "f1.2"};
    cr_assert_eq(count, 4);
    for (int i = 0; i < 4; i++)
        cr_expect_str_eq(metrics[i].name, names[i]);
    close_run(&run);
}

Test(std, labels_that_are_no_class_are_errors)
{
    static const char *const cases[][2] = {
        {"accuracy(model(x), y)", "i32([0, 1, 2])"},   {"precision(model(x), y)", "i32([0, 1, -1])"},
        {"recall(model(x), y)", "i32([0, 7, 1])"},     {"f1(model(x), y)", "i32([2, 0, 1])"},
        {"confusion(model(x), y)", "i32([0, 0, 2])"},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        char text[TEXT];
        Run run;
        const nnc_metric *metrics = NULL;
        size_t count = 0;
        snprintf(text, sizeof text, metric_form, "2", "2", "[[1, 0], [0, 1], [1, 2]]", cases[c][1],
                 "2", "i32", cases[c][0]);
        open_run(&run, text);
        cr_expect_eq(nnc_trainer_evaluate(run.trainer, NNC_PART_TRAIN, &metrics, &count), NNC_DATA);
        const char *said = nnc_diagnostics(run.context, NNC_TEXT);
        cr_expect(strstr(said, "E0613") && strstr(said, "a label outside of the classes"), "%s: %s",
                  cases[c][0], said);
        close_run(&run);
    }
}

/* Sums of squares would have lost every digit of the variance. */
Test(std, r2_of_targets_with_a_large_mean)
{
    char text[TEXT];
    double want = 1 - 1.0 / 5.2; /* mean 1.4: 1.96 + 0.16 + 0.16 + 0.36 + 2.56 */
    snprintf(text, sizeof text, metric_form, "1", "1",
             "[[10000001], [10000001], [10000001], [10000002], [10000003]]",
             "f32([[10000000], [10000001], [10000001], [10000002], [10000003]])", "1", "f32[1]",
             "r2(model(x), y)");
    Run run;
    const nnc_metric *metrics = NULL;
    size_t count = 0;
    open_run(&run, text);
    expect(&run, nnc_trainer_evaluate(run.trainer, NNC_PART_TRAIN, &metrics, &count), text);
    cr_expect(near(metrics[1].value, want, 1e-9), "%.17g", metrics[1].value);
    close_run(&run);
}

Test(std, regression_metrics)
{
    static const char values[] = "[[1, 2], [3, 5], [4, 4], [0, 1], [2, 2]]";
    static const char targets[] = "f32([[1, 1], [2, 5], [6, 4], [0, 2], [2, 3]])";
    /* squares of the differences: 0 1 4 0 0 and 1 0 0 1 1; absolutes 3 and 3 */
    double mean[2] = {11.0 / 5, 3}, total[2] = {0, 0}, residual[2] = {5, 3}, r2 = 0;
    static const double y[2][5] = {{1, 2, 6, 0, 2}, {1, 5, 4, 2, 3}};
    for (int k = 0; k < 2; k++) {
        for (int i = 0; i < 5; i++)
            total[k] += (y[k][i] - mean[k]) * (y[k][i] - mean[k]);
        r2 += (1 - residual[k] / total[k]) / 2;
    }
    const struct {
        const char *metric;
        double want;
    } cases[] = {
        {"mse(model(x), y)", 0.8},
        {"rmse(model(x), y)", sqrt(0.8)},
        {"mae(model(x), y)", 0.6},
        {"r2(model(x), y)", r2},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        char text[TEXT];
        snprintf(text, sizeof text, metric_form, "2", "2", values, targets, "2", "f32[2]",
                 cases[c].metric);
        check_metric(text, cases[c].metric, 1, &cases[c].want);
    }
}
