/* Programs and runs for the tests of the public API. */
#include "tests/support/api.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static const char mlp[] =
    "from nn import Linear, relu\n"
    "from losses import cross_entropy\n"
    "from optim import adam\n"
    "module Net {\n"
    "    let fc1 = Linear(5, 16)\n"
    "    let fc2 = Linear(16, 3)\n"
    "    fn (x: f32[B, 5]) -> f32[B, 3] { x |> fc1 |> relu |> fc2 }\n"
    "}\n"
    "dataset rows {\n"
    "    source = arrays(x=randn(70, 5, seed=1))\n"
    "    fields = [x: f32[5]]\n"
    "    split  { valid = 0.2; seed = 3 }\n"
    "    fn map(x) -> (x: f32[5], label: i32) { (x, i32(x[0] > 0.0) + i32(x[1] > 0.5)) }\n"
    "}\n"
    "train mlp on rows {\n"
    "    model     = Net()\n"
    "    loss      = cross_entropy(model(x), label)\n"
    "    metrics   = [accuracy(model(x), label)]\n"
    "    optimizer = adam(lr=0.01)\n"
    "    batch     = 16\n"
    "    epochs    = 4\n"
    "}\n";

static const char cnn[] =
    "from nn import Conv2d, Linear, BatchNorm2d, relu, max_pool, dropout, flatten\n"
    "from losses import cross_entropy\n"
    "from optim import sgd\n"
    "module Net {\n"
    "    let conv = Conv2d(1, 4, k=3, pad=1)\n"
    "    let norm = BatchNorm2d(4)\n"
    "    let fc   = Linear(4*4*4, 3)\n"
    "    fn (x: f32[B, 1, 8, 8]) -> f32[B, 3] {\n"
    "        x |> conv |> norm |> relu |> max_pool(2) |> flatten |> dropout(0.25) |> fc\n"
    "    }\n"
    "}\n"
    "dataset images {\n"
    "    source = arrays(x=rand(40, 1, 8, 8, seed=1))\n"
    "    fields = [x: f32[1, 8, 8]]\n"
    "    fn map(x) -> (x: f32[1, 8, 8], label: i32) { (x, i32(x[0, 0, 0] > 0.5) + i32(x[0, 4, 4] > "
    "0.5)) }\n"
    "}\n"
    "train cnn on images {\n"
    "    model     = Net()\n"
    "    loss      = cross_entropy(model(x), label)\n"
    "    metrics   = [accuracy(model(x), label)]\n"
    "    optimizer = sgd(lr=0.05, momentum=0.9)\n"
    "    batch     = 12\n"
    "    epochs    = 3\n"
    "}\n";

static const char residual[] =
    "from nn import Linear, LayerNorm, gelu\n"
    "from losses import mse\n"
    "from optim import adamw, cosine\n"
    "module Block(C: int) {\n"
    "    let norm = LayerNorm(C)\n"
    "    let up   = Linear(C, 2*C)\n"
    "    let down = Linear(2*C, C)\n"
    "    fn (x: f32[B, C]) -> f32[B, C] { x + (x |> norm |> up |> gelu |> down) }\n"
    "}\n"
    "module Net {\n"
    "    let blocks = [for i in 0..2: Block(6)]\n"
    "    let out    = Linear(6, 1)\n"
    "    fn (x: f32[B, 6]) -> f32[B, 1] {\n"
    "        let h = x\n"
    "        for block in blocks { h = block(h) }\n"
    "        out(h)\n"
    "    }\n"
    "}\n"
    "dataset rows {\n"
    "    source = arrays(x=randn(50, 6, seed=2))\n"
    "    fields = [x: f32[6]]\n"
    "    let m, s = moments(x)\n"
    "    fn map(x) -> (x: f32[6], y: f32[1]) { ((x - m) / s, sum(x * x, keep=true)) }\n"
    "}\n"
    "train residual on rows {\n"
    "    model     = Net()\n"
    "    loss      = mse(model(x), y)\n"
    "    metrics   = [r2(model(x), y)]\n"
    "    optimizer = adamw(lr=cosine(0.01, warmup=3))\n"
    "    batch     = 16\n"
    "    epochs    = 3\n"
    "}\n";

const ApiProgram api_programs[] = {
    {"mlp", mlp}, {"cnn", cnn}, {"residual", residual}, {NULL, NULL}};

const char *api_text(const char *name)
{
    const ApiProgram *program = api_programs;
    while (strcmp(program->name, name) != 0)
        program++;
    return program->text;
}

nnc_context *api_context(int threads)
{
    nnc_context *context = NULL;
    nnc_context_options options = {.size = sizeof options, .threads = threads};
    cr_assert_eq(nnc_context_new(&options, &context), NNC_OK);
    return context;
}

nnc_program *api_parse(nnc_context *context, const char *text, const nnc_program_options *options)
{
    nnc_program *program = NULL;
    nnc_status status = nnc_program_parse(context, "test.nn", text, options, &program);
    cr_assert_eq(status, NNC_OK, "%s", nnc_diagnostics(context, NNC_TEXT));
    return program;
}

nnc_tensor *api_input(int rank, const int64_t *sizes, unsigned seed)
{
    nnc_tensor *tensor = NULL;
    cr_assert_eq(nnc_tensor_new(NNC_F32, rank, sizes, &tensor), NNC_OK);
    float *data = nnc_tensor_data(tensor);
    for (int64_t i = 0; i < nnc_tensor_elements(tensor); i++) {
        seed = seed * 1664525u + 1013904223u;
        data[i] = (float)(int32_t)seed / 2147483648.0f;
    }
    return tensor;
}

nnc_session *api_session(nnc_program *program, const char *weights)
{
    nnc_model *model = NULL;
    nnc_session *session = NULL;
    cr_assert_eq(nnc_model_load(program, NULL, weights, &model), NNC_OK);
    cr_assert_eq(nnc_session_new(model, &session), NNC_OK);
    nnc_model_release(model);
    return session;
}

static void keep_event(void *user, const nnc_event *event)
{
    ApiRun *run = user;
    if (event->kind == NNC_EVENT_STEP && run->steps < 512)
        run->losses[run->steps++] = event->loss;
    if (event->kind != NNC_EVENT_EPOCH)
        return;
    run->metric_count = event->train_count < 8 ? event->train_count : 8;
    for (size_t i = 0; i < run->metric_count; i++)
        run->metrics[i] = event->train[i].value;
}

static void keep_weights(nnc_trainer *trainer, ApiRun *run)
{
    static const size_t bytes[] = {[NNC_BOOL] = 1, [NNC_U8] = 1,  [NNC_I8] = 1,
                                   [NNC_I32] = 4,  [NNC_I64] = 8, [NNC_F16] = 2,
                                   [NNC_BF16] = 2, [NNC_F32] = 4, [NNC_F64] = 8};
    nnc_model *model = NULL;
    cr_assert_eq(nnc_trainer_model(trainer, &model), NNC_OK);
    for (size_t i = 0; i < nnc_model_tensor_count(model); i++) {
        nnc_tensor *tensor = NULL;
        cr_assert_eq(nnc_model_tensor(model, nnc_model_tensor_name(model, i), &tensor), NNC_OK);
        size_t size = (size_t)nnc_tensor_elements(tensor) * bytes[nnc_tensor_dtype(tensor)];
        run->weights = realloc(run->weights, run->bytes + size + 1);
        cr_assert_not_null(run->weights);
        memcpy(run->weights + run->bytes, nnc_tensor_data(tensor), size);
        run->bytes += size;
        nnc_tensor_release(tensor);
    }
    nnc_model_release(model);
}

ApiRun api_try(nnc_context *context, const char *text, const nnc_program_options *options, uint64_t seed)
{
    ApiRun run = {0};
    nnc_program *program = NULL;
    nnc_trainer *trainer = NULL;
    nnc_trainer_options how = {
        .size = sizeof how, .seed = seed, .on_event = keep_event, .user = &run};
    run.status = nnc_program_parse(context, "test.nn", text, options, &program);
    if (run.status == NNC_OK)
        run.status = nnc_trainer_new(program, NULL, &how, &trainer);
    if (run.status == NNC_OK) {
        run.status = nnc_trainer_run(trainer);
        keep_weights(trainer, &run);
    }
    nnc_trainer_release(trainer);
    nnc_program_release(program);
    return run;
}

ApiRun api_train(const char *text, const nnc_program_options *options, int threads, uint64_t seed)
{
    nnc_context *context = api_context(threads);
    ApiRun run = api_try(context, text, options, seed);
    cr_assert_not_null(run.weights, "%s", nnc_diagnostics(context, NNC_TEXT));
    nnc_context_release(context);
    return run;
}

bool api_same(const ApiRun *a, const ApiRun *b)
{
    return a->status == b->status && a->steps == b->steps && a->bytes == b->bytes &&
           a->metric_count == b->metric_count &&
           memcmp(a->losses, b->losses, sizeof *a->losses * (size_t)a->steps) == 0 &&
           memcmp(a->metrics, b->metrics, sizeof *a->metrics * a->metric_count) == 0 &&
           memcmp(a->weights, b->weights, a->bytes) == 0;
}

void api_free(ApiRun *run)
{
    free(run->weights);
    *run = (ApiRun){0};
}
