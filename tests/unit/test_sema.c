/* Plans of small programs: tensors, graphs, settings, and one step of training computed by hand. */
#include "compiler/ast/parse.h"
#include "compiler/ref/ref.h"
#include "compiler/sema/sema.h"

#include <criterion/criterion.h>
#include <string.h>

typedef struct {
    Arena *arena;
    SourceMap *map;
    Diag *diag;
    SemaProgram *program;
    TrainPlan *plan; /* the first train block, NULL: none */
} Fixture;

static Fixture check_with(const char *text, const SemaOptions *options)
{
    Fixture f = {.arena = arena_new(), .map = source_map_new()};
    f.diag = diag_new(f.map);
    uint32_t file = source_add(f.map, "test.nn", text, strlen(text));
    f.program =
        sema_check(f.arena, f.map, ast_parse(f.arena, f.map, file, f.diag), options, f.diag);
    f.plan = f.program->trains.count ? f.program->trains.data[0] : NULL;
    StrBuf out = {0};
    diag_render_text(f.diag, &out, false);
    cr_assert_eq(diag_error_count(f.diag), 0, "%s", out.text);
    strbuf_free(&out);
    return f;
}

static Fixture check(const char *text)
{
    return check_with(text, NULL);
}

static void done(Fixture *f)
{
    diag_free(f->diag);
    source_map_free(f->map);
    arena_free(f->arena);
}

static const TensorSpec *tensor(const Fixture *f, const char *name)
{
    for (uint32_t i = 0; i < f->plan->tensors.count; i++)
        if (strcmp(f->plan->tensors.data[i].name, name) == 0)
            return &f->plan->tensors.data[i];
    return NULL;
}

static void expect_tensor(const Fixture *f, const char *name, TensorRole role, const char *type)
{
    const TensorSpec *spec = tensor(f, name);
    StrBuf text = {0};
    cr_assert_not_null(spec, "%s", name);
    type_print(f->program->dims, &spec->type, &text);
    cr_expect_eq(spec->role, role, "%s", name);
    cr_expect_str_eq(text.text, type, "%s", name);
    strbuf_free(&text);
}

static uint32_t count_ops(const Graph *graph, Arena *arena, OpCode op)
{
    uint32_t count = 0;
    const uint8_t *live = graph_live(graph, arena);
    for (uint32_t i = 0; i < graph->nodes.count; i++)
        count += live[i] && graph->nodes.data[i]->op == op;
    return count;
}

static bool updates(const Graph *graph, const char *name)
{
    return graph_root_find(graph, ROOT_UPDATE, name) != NULL;
}

#define DATA                                                                                       \
    "dataset points { source = csv(\"p.csv\")\n fields = [x: f32[3], y: f32[2], label: u8] }\n"
#define IMPORTS                                                                                    \
    "from nn import Linear, relu, dropout, BatchNorm1d, Conv2d\nfrom losses import mse, "          \
    "cross_entropy\n"                                                                              \
    "from optim import sgd, adam, cosine\n"
#define TRAIN(lines) "train fit on points {\n" lines "\n}\n"
#define NET                                                                                        \
    "module Net(h: int = 4) {\n let fc1 = Linear(3, h)\n let fc2 = Linear(h, 2, bias=false)\n"     \
    " fn (x: f32[B, 3]) -> f32[B, 2] { x |> fc1 |> relu |> dropout(0.5) |> fc2 }\n}\n"
#define SIMPLE "model = Net()\n loss = mse(model(x), y)\n optimizer = sgd(lr=0.1)\n"

Test(sema, tensors_have_paths_and_types)
{
    Fixture f = check(IMPORTS DATA NET TRAIN(
        "model = Net(h=5)\n loss = mse(model(x), y)\n optimizer = adam()\n"));
    expect_tensor(&f, "fc1.weight", TENSOR_PARAM, "f32[5, 3]");
    expect_tensor(&f, "fc1.bias", TENSOR_PARAM, "f32[5]");
    expect_tensor(&f, "fc2.weight", TENSOR_PARAM, "f32[2, 5]");
    expect_tensor(&f, "optim.m.fc1.bias", TENSOR_OPTIM, "f32[5]");
    expect_tensor(&f, "metric.loss.sum", TENSOR_METRIC, "f64");
    cr_expect_null(tensor(&f, "fc2.bias"), "bias=false makes none");
    cr_expect_eq(tensor(&f, "fc1.weight")->init.kind, INIT_UNIFORM);
    cr_expect_float_eq(tensor(&f, "fc1.weight")->init.b, 0.5773502691896258, 1e-15);
    cr_expect_str_eq(f.plan->model->children.data[0]->detail, "3, 5");
    done(&f);
}

Test(sema, equal_calls_are_one_value)
{
    Fixture f =
        check(IMPORTS DATA NET TRAIN(SIMPLE "metrics = [mse(model(x), y), rmse(model(x), y)]"));
    cr_expect_eq(count_ops(f.plan->train_step, f.arena, OP_RANDOM), 1, "dropout is drawn once");
    cr_expect_eq(count_ops(f.plan->eval_step, f.arena, OP_RANDOM), 0,
                 "and not at all in evaluation");
    cr_assert_eq(f.plan->metrics.count, 3);
    cr_expect_str_eq(f.plan->metrics.data[1].name, "mse");
    cr_expect(f.plan->metrics.data[1].has_better && !f.plan->metrics.data[1].higher_is_better);
    done(&f);
}

Test(sema, two_dropouts_draw_different_numbers)
{
    Fixture f =
        check(IMPORTS DATA
              "module Net {\n let fc = Linear(3, 2)\n"
              " fn (x: f32[B, 3]) { x |> dropout(0.5) |> dropout(0.5) |> fc } }\n" TRAIN(SIMPLE));
    cr_expect_eq(count_ops(f.plan->train_step, f.arena, OP_RANDOM), 2);
    done(&f);
}

Test(sema, states_change_in_training_only)
{
    Fixture f =
        check(IMPORTS DATA "module Net {\n let norm = BatchNorm1d(3)\n let fc = Linear(3, 2)\n"
                           " fn (x: f32[B, 3]) { x |> norm |> fc } }\n" TRAIN(SIMPLE));
    expect_tensor(&f, "norm.running_mean", TENSOR_STATE, "f32[3]");
    expect_tensor(&f, "norm.num_batches_tracked", TENSOR_STATE, "i64");
    cr_expect(updates(f.plan->train_step, "norm.running_var"));
    cr_expect(updates(f.plan->train_step, "norm.num_batches_tracked"));
    cr_expect_not(updates(f.plan->eval_step, "norm.running_var"));
    cr_expect(updates(f.plan->eval_step, "metric.loss.n"));
    done(&f);
}

Test(sema, a_shared_module_has_one_set_of_params)
{
    Fixture f = check(IMPORTS DATA "module Net {\n let fc = Linear(3, 3)\n let out = Linear(3, 2)\n"
                                   " fn (x: f32[B, 3]) { x |> fc |> fc |> out } }\n" TRAIN(SIMPLE));
    uint32_t params = 0;
    for (uint32_t i = 0; i < f.plan->tensors.count; i++)
        params += f.plan->tensors.data[i].role == TENSOR_PARAM;
    cr_expect_eq(params, 4);
    done(&f);
}

Test(sema, arrays_of_modules_are_numbered)
{
    Fixture f =
        check(IMPORTS DATA
              "module Stack(layers) { fn (x) { let y = x\n for l in layers { y = l(y) }\n y } }\n"
              "module Net {\n let body = [for i in 0..2: Linear(3, 3)]\n let head = Stack([relu, "
              "Linear(3, 2)])\n"
              " fn (x: f32[B, 3]) { let y = x\n for b in body { y = b(y) }\n head(y) } }\n" TRAIN(
                  SIMPLE));
    expect_tensor(&f, "body.1.weight", TENSOR_PARAM, "f32[3, 3]");
    expect_tensor(&f, "head.1.bias", TENSOR_PARAM, "f32[2]");
    done(&f);
}

Test(sema, options_override_constants_and_keys)
{
    const char *defines[] = {"width=7"},
               *overrides[] = {"train.batch=9", "fit.epochs=width", "train.early_stop.patience=5"};
    SemaOptions options = {
        .defines = defines, .define_count = 1, .overrides = overrides, .override_count = 3};
    Fixture f = check_with(
        "const width = 3\n" IMPORTS DATA NET TRAIN(
            "model = Net(h=width)\n loss = mse(model(x), y)\n optimizer = sgd()\n batch = 2\n"
            "early_stop { monitor = \"train/loss\" }"),
        &options);
    expect_tensor(&f, "fc1.weight", TENSOR_PARAM, "f32[7, 3]");
    cr_expect_eq(f.plan->settings.batch, 9);
    cr_expect_eq(f.plan->settings.epochs, 7);
    cr_expect_eq(f.plan->settings.patience, 5);
    done(&f);
}

Test(sema, f64_means_f64_throughout)
{
    SemaOptions options = {.float64 = true};
    Fixture f = check_with(IMPORTS DATA NET TRAIN(SIMPLE), &options);
    expect_tensor(&f, "fc1.weight", TENSOR_PARAM, "f64[4, 3]");
    cr_expect_eq(f.plan->dataset->fields.data[0].row.dtype, DT_F64);
    for (uint32_t i = 0; i < f.plan->train_step->nodes.count; i++)
        cr_expect_neq(f.plan->train_step->nodes.data[i]->type.dtype, DT_F32);
    done(&f);
}

Test(sema, maps_run_inside_of_the_step)
{
    Fixture f = check(
        IMPORTS
        "dataset points {\n source = csv(\"p.csv\")\n fields = [a: u8[3], b: i32]\n let m, s = "
        "moments(f32(a))\n"
        " fn map(a, b) -> (x: f32[3], y: f32[2]) { ((f32(a) - m) / s, one_hot(b, 2)) } }\n" NET
            TRAIN(SIMPLE));
    expect_tensor(&f, "stat.m", TENSOR_STAT, "f32[3]");
    cr_assert_eq(f.plan->dataset->stats.count, 1);
    cr_expect_not_null(graph_root_find(f.plan->dataset->stats.data[0].graph, ROOT_OUTPUT, "value"));
    cr_assert_not_null(f.plan->forward);
    uint32_t inputs = 0;
    for (uint32_t i = 0; i < f.plan->forward->nodes.count; i++) {
        const Node *node = f.plan->forward->nodes.data[i];
        if (node->op == OP_INPUT) {
            inputs++;
            cr_expect_str_eq(node->attr.leaf.name, "x");
            cr_expect_eq(node->type.dtype, DT_F32, "forward takes what map gives");
        }
    }
    cr_expect_eq(inputs, 1);
    cr_expect_not_null(graph_root_find(f.plan->predict, ROOT_OUTPUT, "output"));
    done(&f);
}

Test(sema, arrays_have_a_graph_and_test_rows_of_their_own)
{
    Fixture f =
        check(IMPORTS "dataset points {\n let w = randn(3, 2)\n source = arrays(x=randn(10, 3), "
                      "y=randn(10, 3) @ w, seed=4)\n"
                      " test = arrays(x=randn(5, 3), y=randn(5, 3) @ w) }\n" NET TRAIN(SIMPLE));
    const DatasetPlan *data = f.plan->dataset;
    cr_expect_eq(data->source.rows, 10);
    cr_expect_eq(data->test.rows, 5);
    cr_expect_eq(data->arrays_seed, 4);
    cr_assert_eq(data->fields.count, 2);
    uint32_t shared = 0; /* sites of w occur in both */
    for (uint32_t i = 0; i < data->source.arrays->nodes.count; i++)
        for (uint32_t k = 0; k < data->test.arrays->nodes.count; k++) {
            const Node *a = data->source.arrays->nodes.data[i],
                       *b = data->test.arrays->nodes.data[k];
            shared += a->op == OP_RANDOM && b->op == OP_RANDOM &&
                      a->attr.random.site == b->attr.random.site;
        }
    cr_expect_eq(shared, 2);
    done(&f);
}

Test(sema, open_relations_become_checks)
{
    Fixture f = check("fn add(x: f32[N], y: f32[N]) -> f32[N] { x + y }\nfn whole(x: f32[B], y: "
                      "f32[T]) -> f32[B] { add(x, y) }\n");
    cr_assert_eq(f.program->checks.count, 1);
    cr_expect_str_eq(f.program->checks.data[0].text,
                     "add takes f32[B] and gets f32[T]: T must be B");
    done(&f);
}

Test(sema, operands_and_moves_leave_relations_open)
{
    Fixture f = check(
        "fn pairs(x: f32[B, 4]) -> f32[B//2, 8] { reshape(x, B//2, 8) }\n"
        "fn rest(x: f32[B, 4]) -> f32[B//2, 8] { reshape(x, -1, 8) }\n"
        "fn halves(x: f32[B]) -> f32[B//2] { let a, b = split(x, 2)\n a - b }\n"
        "fn parts(x: f32[B]) -> f32[2] { let a, b = split(x, [2, 3])\n a }\n"
        "fn join(x: f32[B]) -> f32[B] { x * zeros(B//2*2) }\n"
        "fn joined(x: f32[B]) -> f32[B] { zeros(B//2*2) * x }\n"
        "fn choose(x: f32[C]) -> f32[C] { where(zeros(C//2*2) > 0, x, 0) }\n"
        "fn both(x: f32[F, 3], y: f32[3, F]) -> f32[F, F] { x[0..F//2*2] @ ones(3, F) + x @ y }\n"
        "fn inner(x: f32[3, D]) -> f32[3, 3] { x @ ones(D//2*2, 3) }\n"
        "fn glue(x: f32[E]) -> f32[E, 2] { stack([x, zeros(E//2*2)], axis=1) }\n"
        "fn one(x: f32[B, 3]) -> f32[3] { squeeze(x, 0) }\n"
        "fn wide(x: f32[B, 3]) -> f32[2, 4, 3] { expand(x, 2, 4, 3) }\n");
    static const char *const texts[] = {
        "the elements of f32[B, 4] fill f32[B//2, 8]: 4*B must be 8*(B//2)",
        "the parts of f32[B] fill axis 0: B must be 2*(B//2)",
        "the parts of f32[B] fill axis 0: B must be 5",
        "* of f32[B] and f32[2*(B//2)]: 2*(B//2) must be B",
        "+ of f32[2*(F//2), F] and f32[F, F]: 2*(F//2) must be F",
        "stack of f32[E] and f32[2*(E//2)] along axis 1: 2*(E//2) must be E",
        "squeeze drops axis 0 of f32[B, 3]: B must be 1",
        "expand of f32[B, 3] to f32[2, 4, 3]: B must be 4",
        "where of bool[2*(C//2)] and f32[C]: 2*(C//2) must be C",
        "@ of f32[3, D] and f32[2*(D//2), 3]: 2*(D//2) must be D",
    };
    for (size_t k = 0; k < sizeof texts / sizeof *texts; k++) {
        bool found = false;
        for (uint32_t i = 0; i < f.program->checks.count; i++)
            found |= strcmp(f.program->checks.data[i].text, texts[k]) == 0;
        cr_expect(found, "%s", texts[k]);
    }
    done(&f);
}

Test(sema, solved_dimensions)
{
    Fixture f =
        check("fn half(x: f32[2*N, C]) -> f32[N, C] { x[0..N] }\nfn use(x: f32[8, 3]) -> f32[4, 3] "
              "{ half(x) }\n"
              "fn windows(x: f32[B, T], k: int = 3) -> f32[B, T-2] { window_sum(x, k, stride=1) }\n"
              "fn lead(x: f32[..., C]) -> f32[..., 2*C] { concat([x, x], axis=-1) }\n"
              "fn leads(x: f32[2, 3, 4]) -> f32[2, 3, 8] { lead(x) }\n");
    done(&f);
}

Test(sema, params_with_computed_names)
{
    Fixture f = check(
        "module Deep(I: int, H: int, layers: int = 2) {\n"
        "    let w = [for l in 0..layers: (\n"
        "        ih=param \"weight_ih_l{l}\": f32[H, if l == 0 { I } else { H }] = normal(std=0.1),\n"
        "        hh=param \"weight_hh_l{l}\": f32[H, H] = 0)]\n"
        "    let scale, shift = (param \"scale_{H}\": f32[H] = 1, param \"shift_{H}\": f32[H] = 0)\n"
        "    let depth = len(w)\n"
        "    param bias: f32[H] = 0\n"
        "    fn (x: f32[B, I]) -> f32[B, H] {\n"
        "        let y = x\n        for l in 0..depth { y = (y @ transpose(w[l].ih)) @ w[l].hh }\n"
        "        y * scale + shift + bias\n"
        "    }\n}\n"
        "module Two { let a = Deep(3, 4)\n let b = Deep(4, 2, layers=1)\n"
        " fn (x: f32[B, 3]) -> f32[B, 2] { b(a(x)) } }\n");
    f.plan = sema_module(f.program, "Two", NULL, f.diag);
    cr_assert_not_null(f.plan);
    cr_expect_eq(f.plan->tensors.count, 7 + 5);
    expect_tensor(&f, "a.weight_ih_l0", TENSOR_PARAM, "f32[4, 3]");
    expect_tensor(&f, "a.weight_ih_l1", TENSOR_PARAM, "f32[4, 4]");
    expect_tensor(&f, "a.weight_hh_l1", TENSOR_PARAM, "f32[4, 4]");
    expect_tensor(&f, "b.weight_ih_l0", TENSOR_PARAM, "f32[2, 4]");
    expect_tensor(&f, "b.shift_2", TENSOR_PARAM, "f32[2]");
    uint32_t leaves = 0;
    for (uint32_t i = 0; i < f.plan->forward->nodes.count; i++)
        leaves += f.plan->forward->nodes.data[i]->op == OP_PARAM;
    cr_expect_eq(leaves, 12, "each is one leaf of the graph");
    done(&f);
}

Test(sema, modules_for_hosts)
{
    Fixture f = check(IMPORTS NET);
    TrainPlan *plan = sema_module(f.program, "Net", "h=6", f.diag);
    cr_assert_not_null(plan);
    f.plan = plan;
    expect_tensor(&f, "fc1.weight", TENSOR_PARAM, "f32[6, 3]");
    cr_expect_not_null(graph_root_find(plan->forward, ROOT_OUTPUT, "output"));
    cr_expect_gt(plan->calls.count, 3);
    cr_expect_null(sema_module(f.program, "Nett", NULL, f.diag));
    cr_expect_eq(diag_error_count(f.diag), 1);
    StrBuf said = {0};
    diag_render_text(f.diag, &said, false);
    cr_expect_str_eq(said.text, "error[E0100]: the file has no module Nett\n   help: did you mean Net?\n");
    strbuf_free(&said);
    done(&f);
}

/* ---- One step by hand ---- */

typedef struct {
    const char *name;
    const void *data;
} Given;

static const void *given_leaf(void *user, const Node *leaf)
{
    for (const Given *given = user; given->name; given++)
        if (strcmp(given->name, leaf->attr.leaf.name) == 0)
            return given->data;
    cr_assert_fail("no value for %s", leaf->attr.leaf.name);
    return NULL;
}

static const void *root_value(const Graph *graph, const void **values, RootKind kind,
                              const char *name)
{
    for (uint32_t i = 0; i < graph->roots.count; i++)
        if (graph->roots.data[i].kind == kind && strcmp(graph->roots.data[i].name, name) == 0)
            return values[i];
    cr_assert_fail("no root %s", name);
    return NULL;
}

/* y = w x with w = 2, rows (1, 3) and (2, 3): d = -1, 1; loss 1; gradient of w: mean of 2 d x = (-2
 * + 4) / 2 = 1. */
Test(sema, a_step_of_sgd_with_momentum)
{
    Fixture f =
        check("from losses import mse\nfrom optim import sgd\nmodule Line { param w: f32[1] = 2\n "
              "fn (x: f32[B, 1]) { x * w } }\n"
              "dataset points { source = csv(\"p.csv\")\n fields = [x: f32[1], y: f32[1]] }\n"
              "schedule half(lr: float) { fn (t) { lr / (t + 1.0) } }\n" TRAIN(
                  "model = Line()\n loss = mse(model(x), y)\n optimizer = sgd(lr=half(0.5), "
                  "momentum=0.5)"));
    float x[] = {1, 2}, y[] = {3, 3}, w[] = {2}, m[] = {4};
    int64_t step = 1, total = 10, n = 5;
    double sum = 7;
    Given given[] = {{"x", x},
                     {"y", y},
                     {"w", w},
                     {"optim.m.w", m},
                     {"step", &step},
                     {"total_steps", &total},
                     {"metric.loss.sum", &sum},
                     {"metric.loss.n", &n},
                     {NULL, NULL}};
    const Graph *graph = f.plan->train_step;
    int64_t *symbols = ARENA_ARRAY(f.arena, int64_t, dim_symbol_count(f.program->dims) + 1);
    for (uint32_t i = 0; i < dim_symbol_count(f.program->dims); i++)
        symbols[i] = 2;
    RefRun run = {.graph = graph, .symbols = symbols, .leaf = given_leaf, .user = given};
    const void **values = ARENA_ARRAY(f.arena, const void *, graph->roots.count);
    cr_assert(ref_run(&run, f.arena, values));
    cr_expect_eq(*(const float *)root_value(graph, values, ROOT_OUTPUT, "loss"), 1.0f);
    cr_expect_eq(*(const double *)root_value(graph, values, ROOT_OUTPUT, "lr"), 0.25);
    cr_expect_eq(*(const float *)root_value(graph, values, ROOT_UPDATE, "optim.m.w"), 3.0f,
                 "0.5*4 + 1");
    cr_expect_eq(*(const float *)root_value(graph, values, ROOT_UPDATE, "w"), 1.25f, "2 - 0.25*3");
    cr_expect_eq(*(const double *)root_value(graph, values, ROOT_UPDATE, "metric.loss.sum"), 9.0);
    cr_expect_eq(*(const int64_t *)root_value(graph, values, ROOT_UPDATE, "metric.loss.n"), 7);
    done(&f);
}
