/* Filling, running and comparing of tests/support/values.h. */
#include "tests/support/values.h"
#include "compiler/ast/parse.h"
#include "compiler/graph/build.h"
#include "compiler/passes/grad.h"
#include "compiler/passes/pass.h"
#include "compiler/ref/ref.h"
#include "compiler/sema/sema.h"
#include "runtime/base/scalar.h"
#include "tests/support/compiled.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_LEAVES = 8, MAX_RESULTS = 8, TEXT_BYTES = 16000 };

typedef struct {
    const char *text;
    Arena *arena;
    SourceMap *map;
    Diag *diag;
    SemaProgram *program;
    Graph *graph;
    Node *leaves[MAX_LEAVES];
    double *data[MAX_LEAVES]; /* 8 bytes an element, whatever the type */
    int64_t *symbols;
    int64_t size; /* of free dimensions, 0: 2 */
    int leaf_count;
} Case;

static char *rendered(const Diag *diag)
{
    StrBuf out = {0};
    strbuf_add(&out, "");
    diag_render_text(diag, &out, false);
    return out.text;
}

static void open_case(Case *c, const char *text)
{
    *c = (Case){.text = text, .arena = arena_new(), .map = source_map_new()};
    SemaOptions options = {.float64 = true};
    c->diag = diag_new(c->map);
    uint32_t file = source_add(c->map, "test.nn", text, strlen(text));
    AstFile *tree = ast_parse(c->arena, c->map, file, c->diag);
    c->program = sema_check(c->arena, c->map, tree, &options, c->diag);
}

static void close_case(Case *c)
{
    diag_free(c->diag);
    source_map_free(c->map);
    arena_free(c->arena);
}

char *messages_about(const char *text)
{
    Case c;
    open_case(&c, text);
    char *out = rendered(c.diag);
    close_case(&c);
    return out;
}

static int64_t elements(const Case *c, const Type *type)
{
    return dim_eval(type_elements(c->program->dims, type), c->symbols);
}

static void fill(const Case *c, int k)
{
    const Type *type = &c->leaves[k]->type;
    int64_t count = elements(c, type);
    for (int64_t i = 0; i < count; i++) {
        int64_t whole = (2 * i + k) % 3;
        double real = (double)((7 * i + 3 * k) % 11 - 5) / 4 + (double)i / 100;
        if (type->dtype == DT_BOOL)
            whole = whole == 0;
        bool floats = dtype_is_float(type->dtype);
        scalar_convert(floats ? DT_F64 : DT_I64, type->dtype,
                       floats ? (const void *)&real : (const void *)&whole,
                       (char *)c->data[k] + (size_t)i * dtype_bytes(type->dtype), 1);
    }
}

static void find_leaves(Case *c)
{
    c->symbols = ARENA_ARRAY(c->arena, int64_t, dim_symbol_count(c->program->dims) + 1);
    for (uint32_t i = 0; i < dim_symbol_count(c->program->dims); i++)
        c->symbols[i] = c->size ? c->size : 2;
    for (uint32_t i = 0; i < c->graph->nodes.count; i++) {
        Node *node = c->graph->nodes.data[i];
        if (node->op != OP_INPUT && node->op != OP_PARAM)
            continue;
        cr_assert_lt(c->leaf_count, MAX_LEAVES);
        int k = c->leaf_count++;
        c->leaves[k] = node;
        c->data[k] = arena_alloc(c->arena, (size_t)elements(c, &node->type) * 8 + 8);
    }
    for (int k = 0; k < c->leaf_count; k++)
        fill(c, k);
}

static const void *leaf_data(void *user, const Node *leaf)
{
    const Case *c = user;
    for (int k = 0; k < c->leaf_count; k++)
        if (strcmp(c->leaves[k]->attr.leaf.name, leaf->attr.leaf.name) == 0)
            return c->data[k];
    cr_assert_fail("%s\nno value for %s", c->text, leaf->attr.leaf.name);
    return NULL;
}

/* Values of the roots of `graph`, in memory of the case. */
static const void **run(Case *c, const Graph *graph)
{
    const void **values = ARENA_ARRAY(c->arena, const void *, graph->roots.count);
    RefRun run = {.graph = graph, .symbols = c->symbols, .leaf = leaf_data, .user = c};
    bool ok = ref_run(&run, c->arena, values);
    cr_assert(ok, "%s\nthe run failed: %s", c->text,
              run.failed && run.failed->attr.kind == AT_CHECK ? run.failed->attr.check.message
                                                              : "");
    return values;
}

static double element(DType dtype, const void *data, int64_t i)
{
    double value;
    scalar_convert(dtype, DT_F64, (const char *)data + (size_t)i * dtype_bytes(dtype), &value, 1);
    return value;
}

/* One "type e0 e1 ..." of `expected`; returns where it ends. */
static const char *compare(const Case *c, const Node *node, const void *data, const char *expected)
{
    StrBuf type = {0};
    strbuf_printf(&type, "%s%s", dtype_name(node->type.dtype), node->type.rank ? "[" : "");
    for (int i = 0; i < node->type.rank; i++)
        strbuf_printf(&type, "%s%lld", i ? ", " : "",
                      (long long)dim_eval(node->type.dims[i], c->symbols));
    strbuf_add(&type, node->type.rank ? "]" : "");
    size_t length = strlen(type.text);
    expected += strspn(expected, " ;");
    bool same = strncmp(expected, type.text, length) == 0;
    cr_expect(same, "%s\ntype %s, expected %.40s", c->text, type.text, expected);
    strbuf_free(&type);
    if (!same)
        return expected + strlen(expected);
    expected += length;
    int64_t count = elements(c, &node->type);
    for (int64_t i = 0; i < count; i++) {
        char *end;
        double wanted = strtod(expected, &end), got = element(node->type.dtype, data, i);
        cr_assert(end != expected, "%s\nelement %d is %.17g, and no number is expected", c->text,
                  (int)i, got);
        bool equal = (isnan(wanted) && isnan(got)) || got == wanted ||
                     fabs(got - wanted) <= 2e-9 * (1 + fabs(wanted));
        cr_expect(equal, "%s\nelement %d is %.17g, expected %.17g", c->text, (int)i, got, wanted);
        expected = end;
    }
    expected += strspn(expected, " ");
    cr_expect(*expected == '\0' || *expected == ';', "%s\nmore is expected: %s", c->text, expected);
    return expected;
}

static Node *weighted_loss(Case *c)
{
    Graph *g = c->graph;
    Node *loss = build_scalar(g, DT_F64, 0);
    for (uint32_t r = 0; r < g->roots.count; r++) {
        Node *y = g->roots.data[r].node;
        if (y->type.dtype != DT_F64)
            continue;
        Type flat = {
            .dtype = DT_F64, .rank = 1, .dims = {type_elements(c->program->dims, &y->type)}};
        Node *index = build_iota(g, flat, 0);
        Node *weights =
            build_unary(g, OP_SIN, build_binary(g, OP_ADD, index, build_scalar(g, DT_F64, r + 1)));
        Node *terms = build_binary(g, OP_MUL, build_reshape(g, y, 1, flat.dims), weights);
        loss = build_binary(g, OP_ADD, loss, build_reduce(g, OP_SUM, terms, axes_one(0)));
    }
    return loss;
}

static double loss_of(Case *c, Graph *probe)
{
    return *(const double *)run(c, probe)[0];
}

static void check_gradient(Case *c)
{
    const double h = 1e-5;
    Node *loss = weighted_loss(c), *gradients[MAX_LEAVES];
    GradError error = {0};
    bool built = grad_build(c->graph, loss, c->leaves, c->leaf_count, gradients, &error);
    cr_assert(built, "%s\n%s", c->text, error.text);
    Graph probe = *c->graph, slopes = *c->graph;
    memset(&probe.roots, 0, sizeof probe.roots);
    memset(&slopes.roots, 0, sizeof slopes.roots);
    graph_root(&probe, ROOT_OUTPUT, "loss", loss);
    for (int k = 0; k < c->leaf_count; k++)
        graph_root(&slopes, ROOT_OUTPUT, "slope", gradients[k]);
    const void **slope = run(c, &slopes);
    for (int k = 0; k < c->leaf_count; k++) {
        int64_t count = c->leaves[k]->type.dtype == DT_F64 ? elements(c, &c->leaves[k]->type) : 0;
        for (int64_t i = 0; i < count; i++) {
            double kept = c->data[k][i], high, low, got = ((const double *)slope[k])[i];
            c->data[k][i] = kept + h;
            high = loss_of(c, &probe);
            c->data[k][i] = kept - h;
            low = loss_of(c, &probe);
            c->data[k][i] = kept;
            double wanted = (high - low) / (2 * h);
            cr_expect(fabs(got - wanted) <= 1e-6 * (1 + fabs(wanted)),
                      "%s\nd loss / d %s[%d] is %.12g, differences give %.12g", c->text,
                      c->leaves[k]->attr.leaf.name, (int)i, got, wanted);
        }
    }
}

/* Compiled code gives the bits of the interpreter. */
static void check_compiled(Case *c, const void **expected)
{
    LowerOptions lower = {0};
    ScheduleOptions schedule = {
        .fuse = true, .plan = true, .scratch = lower_contract_scratch, .scratch_user = &lower};
    Compiled compiled;
    char *error = NULL;
    const void **values = ARENA_ARRAY(c->arena, const void *, c->graph->roots.count);
    StrBuf fault = {0};
    Graph *final = pass_run_one(pass_find("widen"), c->graph, NULL, &fault);
    cr_assert(final, "%s\n%s", c->text, fault.text);
    bool good = compiled_open(&compiled, c->arena, final, &schedule, &lower, &error);
    cr_assert(good, "%s\n%s", c->text, error ? error : "");
    CompiledCall call = {.symbols = c->symbols, .leaf = leaf_data, .user = c, .chunks = 1};
    cr_assert(compiled_run(&compiled, &call, values), "%s", c->text);
    for (uint32_t i = 0; i < c->graph->roots.count; i++) {
        const Type *type = &c->graph->roots.data[i].node->type;
        size_t bytes = (size_t)elements(c, type) * dtype_bytes(type->dtype);
        cr_expect_eq(memcmp(values[i], expected[i], bytes), 0,
                     "%s\ncompiled code gives other bits for result %u", c->text, i);
    }
    compiled_close(&compiled);
    arena_free(final->arena);
}

static void open_module(Case *c, char *text, const char *declarations, const char *parameters,
                        const char *body)
{
    snprintf(text, TEXT_BYTES,
             parameters == NULL ? "%s\n" : "%s\nmodule F {\n fn (%s) {\n  %s\n }\n}\n",
             declarations, parameters, body);
    open_case(c, text);
    TrainPlan *plan =
        diag_error_count(c->diag) ? NULL : sema_module(c->program, "F", NULL, c->diag);
    char *said = rendered(c->diag);
    cr_assert(plan && plan->forward, "%s\n%s", text, said);
    free(said);
    c->graph = plan->forward;
}

static void expect(const char *declarations, const char *parameters, const char *body,
                   const char *expected, bool compiled, bool gradient)
{
    char text[TEXT_BYTES];
    Case c;
    open_module(&c, text, declarations, parameters, body);
    find_leaves(&c);
    const void **values = run(&c, c.graph);
    const char *rest = expected;
    for (uint32_t i = 0; i < c.graph->roots.count; i++)
        rest = compare(&c, c.graph->roots.data[i].node, values[i], rest);
    cr_expect(rest[strspn(rest, " ;")] == '\0', "%s\nfurther results are expected: %s", text, rest);
    if (gradient || compiled)
        check_compiled(&c, values);
    if (gradient)
        check_gradient(&c);
    close_case(&c);
}

void expect_equal_values(const char *declarations, const char *parameters, const char *body,
                         const char *other, int64_t size)
{
    char text[TEXT_BYTES], other_text[TEXT_BYTES];
    Case a, b;
    open_module(&a, text, declarations, parameters, body);
    open_module(&b, other_text, declarations, parameters, other);
    a.size = b.size = size;
    find_leaves(&a);
    find_leaves(&b);
    const void **x = run(&a, a.graph), **y = run(&b, b.graph);
    cr_assert_eq(a.graph->roots.count, b.graph->roots.count);
    for (uint32_t i = 0; i < a.graph->roots.count; i++) {
        const Type *type = &a.graph->roots.data[i].node->type;
        size_t bytes = (size_t)elements(&a, type) * dtype_bytes(type->dtype);
        cr_expect_eq(elements(&a, type), elements(&b, &b.graph->roots.data[i].node->type));
        cr_expect_eq(memcmp(x[i], y[i], bytes), 0, "%s\n%s\nresult %u has other bits", text,
                     other_text, i);
    }
    check_compiled(&a, x);
    check_gradient(&a);
    close_case(&a);
    close_case(&b);
}

int64_t gradient_bytes(const char *declarations, const char *parameters, const char *body,
                       int64_t size)
{
    char text[TEXT_BYTES], *wrong = NULL;
    Case c;
    GradError error = {0};
    Compiled compiled;
    Node *gradients[MAX_LEAVES];
    StrBuf faults = {0};
    LowerOptions lower = {0};
    ScheduleOptions schedule = {
        .fuse = true, .plan = true, .scratch = lower_contract_scratch, .scratch_user = &lower};
    open_module(&c, text, declarations, parameters, body);
    c.size = size;
    find_leaves(&c);
    Node *loss = weighted_loss(&c);
    cr_assert(grad_build(c.graph, loss, c.leaves, c.leaf_count, gradients, &error), "%s\n%s", text,
              error.text);
    memset(&c.graph->roots, 0, sizeof c.graph->roots);
    for (int k = 0; k < c.leaf_count; k++)
        graph_root(c.graph, ROOT_OUTPUT, arena_format(c.arena, "slope%d", k), gradients[k]);
    Graph *final = passes_run(c.graph, NULL, &faults);
    cr_assert_not_null(final, "%s", faults.text);
    cr_assert(compiled_open(&compiled, c.arena, final, &schedule, &lower, &wrong), "%s\n%s", text,
              wrong ? wrong : "");
    int64_t bytes = compiled.plan(c.symbols, compiled.table);
    compiled_close(&compiled);
    arena_free(final->arena);
    close_case(&c);
    return bytes;
}

void expect_values(const char *declarations, const char *parameters, const char *body,
                   const char *expected)
{
    expect(declarations, parameters, body, expected, false, false);
}

void expect_values_and_gradient(const char *declarations, const char *parameters, const char *body,
                                const char *expected)
{
    expect(declarations, parameters, body, expected, true, true);
}

void expect_values_compiled(const char *declarations, const char *parameters, const char *body,
                            const char *expected)
{
    expect(declarations, parameters, body, expected, true, false);
}
