/* Dots and convolutions: compiled tiles give the bits of the interpreter, for random shapes,
 * strides, paddings and free sizes, on several vector widths, with and without an epilogue, on one
 * thread and on three. */
#include "compiler/codegen/codegen.h"
#include "compiler/graph/build.h"
#include "compiler/graph/order.h"
#include "compiler/jit/jit.h"
#include "compiler/lower/lower.h"
#include "compiler/ref/ref.h"
#include "runtime/base/rng.h"
#include "runtime/train/pool.h"
#include "tests/support/random_graph.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

enum { GUARD_BYTES = 128, MAX_BUFFERS = 8, MAX_SYMBOLS = 32 };

typedef struct {
    Arena *arena;
    DimTable *dims;
    Graph *graph;
    int64_t symbols[MAX_SYMBOLS];
    uint64_t seed, state; /* of the random choices */
} Case;

typedef struct {
    LowerOptions target;
    int threads;
    bool knows_sizes; /* the hints of free dimensions are their values, else 64 for all */
} Machine;

static const LowerOptions targets[] = {
    {.vector_bytes = 64, .vector_registers = 32, .l2_bytes = 1 << 20},
    {.vector_bytes = 32,
     .vector_registers = 16,
     .l2_bytes = 1 << 14}, /* a tiny cache: blocks of k and of panels */
    {.vector_bytes = 16, .vector_registers = 32, .l2_bytes = 1 << 18},
};

/* ---- running a case ---- */

static int64_t buffer_bytes(const Buffer *buffer, const int64_t *symbols)
{
    return random_elements(&buffer->type, symbols) * (int64_t)dtype_bytes(buffer->type.dtype);
}

static void *guarded(int64_t bytes)
{
    size_t whole = ((size_t)bytes + 2 * GUARD_BYTES + 63) / 64 * 64;
    char *data = aligned_alloc(64, whole);
    cr_assert_not_null(data);
    memset(data, 0xAB, whole);
    return data;
}

static void check_guard(const Case *c, const char *data, int64_t bytes)
{
    for (int i = 0; i < GUARD_BYTES; i++) {
        cr_assert_eq((unsigned char)data[bytes + i], 0xAB, "seed %lu: written past the end",
                     (unsigned long)c->seed);
    }
}

static void compare_outputs(Case *c, const Schedule *schedule, void *const *buffers,
                            RandomData *data)
{
    RefRun run = {.graph = c->graph, .symbols = c->symbols, .leaf = random_leaf, .user = data};
    const void *values[MAX_BUFFERS];
    cr_assert(ref_run(&run, c->arena, values));
    for (uint32_t r = 0; r < c->graph->roots.count; r++) {
        const Root *root = &c->graph->roots.data[r];
        for (uint32_t i = 0; i < schedule->externals; i++) {
            const Buffer *buffer = &schedule->buffers.data[i];
            int64_t where = -1;
            if (buffer->kind != STORAGE_OUTPUT || strcmp(buffer->name, root->name) != 0) {
                continue;
            }
            bool same = random_same(buffer->type.dtype, values[r], buffers[i],
                                    random_elements(&buffer->type, c->symbols), &where);
            StrBuf text = {0};
            if (!same) {
                graph_print(c->graph, &text);
            }
            cr_assert(same, "seed %lu: %s differs at element %ld\n%s", (unsigned long)c->seed,
                      root->name, (long)where, text.text);
            check_guard(c, buffers[i], buffer_bytes(buffer, c->symbols));
        }
    }
}

typedef struct {
    Jit *jit;
    JitUnit *unit;
    const KProgram *program;
} Code;

static Code compile_case(Case *c, const Schedule *schedule, const LowerOptions *target)
{
    KProgram *program = lower_program(c->arena, schedule, target, "test").program;
    char *error = NULL;
    ObjectCode object;
    cr_assert(codegen_object(&program, 1, &(CodegenOptions){.verify = true}, &object, &error), "%s",
              error);
    Code code = {.jit = jit_new(&error), .program = program};
    cr_assert_not_null(code.jit);
    code.unit = jit_add(code.jit, &object, &error);
    cr_assert_not_null(code.unit, "%s", error);
    return code;
}

static void call_case(Case *c, const Schedule *schedule, const Code *code, int threads,
                      void *const *buffers)
{
    int64_t (*plan)(const int64_t *, int64_t *) =
        (int64_t(*)(const int64_t *, int64_t *))jit_symbol(code->unit, "test_plan");
    void (*step)(const nnc_call *) =
        (void (*)(const nnc_call *))jit_symbol(code->unit, "test_step");
    int64_t dims[MAX_SYMBOLS], failures[8] = {-1, -1, -1, -1, -1, -1, -1, -1};
    for (uint32_t i = 0; i < schedule->symbol_count; i++) {
        dims[i] = c->symbols[schedule->symbols[i]];
    }
    int64_t *table = ARENA_ARRAY(c->arena, int64_t, code->program->table_size + 1);
    int64_t bytes = plan(dims, table);
    char *arena = guarded(bytes);
    Pool *pool = pool_new(threads, false);
    nnc_call call = {
        .dims = dims, .table = table, .buffers = buffers, .arena = arena, .failures = failures};
    call.parallel = threads > 1 ? pool_run : NULL;
    call.pool = pool;
    step(&call);
    check_guard(c, arena, bytes);
    pool_free(pool);
    free(arena);
}

static void run_case(Case *c, const Machine *machine)
{
    LowerOptions target = machine->target;
    ScheduleOptions options = {.fuse = true,
                               .plan = true,
                               .hints = machine->knows_sizes ? c->symbols : NULL,
                               .vector_bytes = target.vector_bytes,
                               .scratch = lower_contract_scratch,
                               .scratch_user = &target};
    Schedule *schedule = schedule_build(c->arena, c->graph, &options);
    RandomData data = {.arena = c->arena, .symbols = c->symbols, .seed = c->seed};
    void *buffers[MAX_BUFFERS];
    cr_assert_leq(schedule->externals, MAX_BUFFERS);
    for (uint32_t i = 0; i < schedule->externals; i++) {
        const Buffer *buffer = &schedule->buffers.data[i];
        buffers[i] = guarded(buffer_bytes(buffer, c->symbols));
        for (uint32_t n = 0; n < c->graph->nodes.count; n++) {
            const Node *node = c->graph->nodes.data[n];
            if (node->op == OP_INPUT && buffer->kind == STORAGE_INPUT &&
                strcmp(node->attr.leaf.name, buffer->name) == 0) {
                memcpy(buffers[i], random_leaf(&data, node),
                       (size_t)buffer_bytes(buffer, c->symbols));
            }
        }
    }
    Code code = compile_case(c, schedule, &target);
    call_case(c, schedule, &code, machine->threads, buffers);
    compare_outputs(c, schedule, buffers, &data);
    jit_free(code.jit);
    for (uint32_t i = 0; i < schedule->externals; i++) {
        free(buffers[i]);
    }
}

/* ---- making cases ---- */

static Case case_new(uint64_t seed)
{
    Case c = {.arena = arena_new(), .seed = seed, .state = seed * 0x9E3779B97F4A7C15u + 1};
    c.dims = dim_table_new(c.arena);
    c.graph = graph_new(c.arena, c.dims, "case");
    return c;
}

static int64_t draw(Case *c, int64_t low, int64_t high)
{
    c->state = c->state * 6364136223846793005u + 1442695040888963407u;
    return low + (int64_t)((c->state >> 33) % (uint64_t)(high - low + 1));
}

/* A constant, or with a chance of `percent` a free dimension of that value. */
static const Dim *draw_dim(Case *c, int64_t value, int percent)
{
    if (draw(c, 0, 99) >= percent) {
        return dim_const(c->dims, value);
    }
    uint32_t symbol = dim_symbol_count(c->dims);
    c->symbols[symbol] = value;
    return dim_symbol(c->dims, arena_format(c->arena, "D%u", symbol));
}

static int64_t draw_size(Case *c)
{
    static const int64_t sizes[] = {2,  3,  4,  5,  7,  8,  9,  13, 16, 17,
                                    20, 31, 32, 33, 48, 50, 64, 65, 70, 100};
    int64_t choice = draw(c, 0, 99);
    return choice < 3 ? 0 : choice < 13 ? 1 : sizes[draw(c, 0, 19)];
}

static DType draw_dtype(Case *c)
{
    static const DType dtypes[] = {DT_F32, DT_F32, DT_F32, DT_F32, DT_F64, DT_F64, DT_I32, DT_I64};
    return dtypes[draw(c, 0, 7)];
}

static Node *input(Case *c, const char *name, const Type *type)
{
    return build_leaf(c->graph, OP_INPUT, name, *type);
}

/* Makes the node an output, sometimes through an epilogue: max(node + bias, 0) * residual. */
static void finish(Case *c, Node *node)
{
    cr_assert_not_null(node, "seed %lu: %s", (unsigned long)c->seed, c->graph->error);
    int64_t choice = draw(c, 0, 3);
    if (choice > 0 && node->type.rank > 0) {
        Type bias = {
            .dtype = node->type.dtype, .rank = 1, .dims = {node->type.dims[node->type.rank - 1]}};
        Node *shifted = build_binary(c->graph, OP_ADD, node, input(c, "bias", &bias));
        Node *rectified =
            build_binary(c->graph, OP_MAX, shifted, build_scalar(c->graph, node->type.dtype, 0));
        Node *scaled = build_binary(c->graph, OP_MUL, rectified, input(c, "residual", &node->type));
        graph_root(c->graph, ROOT_OUTPUT, "scaled", scaled);
    }
    if (choice != 1 || node->type.rank == 0) {
        graph_root(c->graph, ROOT_OUTPUT, "result", node);
    }
}

/* One operand of a dot: its axes (batch, own, contracting) in a random order. */
static void draw_operand(Case *c, const Dim *const *sizes, int batch, int own, int contract,
                         Type *type, Axes *batch_axes, Axes *contract_axes)
{
    int place[MAX_RANK] = {0};
    type->rank = batch + own + contract;
    for (int i = 0; i < type->rank; i++) {
        int64_t other = draw(c, 0, i);
        place[i] = place[other];
        place[other] = i;
    }
    batch_axes->count = batch;
    contract_axes->count = contract;
    for (int i = 0; i < type->rank; i++) {
        type->dims[place[i]] = sizes[i];
        if (i < batch) {
            batch_axes->axis[i] = (uint8_t)place[i];
        } else if (i >= batch + own) {
            contract_axes->axis[i - batch - own] = (uint8_t)place[i];
        }
    }
}

static void draw_dot(Case *c)
{
    int batch = draw(c, 0, 2) ? 0 : (int)draw(c, 1, 2), rows = (int)draw(c, 0, 2),
        columns = (int)draw(c, 0, 2);
    int contract = draw(c, 0, 4) ? 1 : (int)draw(c, 0, 2), percent = (int)draw(c, 0, 2) * 25;
    const Dim *x[MAX_RANK], *y[MAX_RANK];
    for (int i = 0; i < batch; i++) {
        x[i] = y[i] = draw_dim(c, draw(c, 0, 4), percent);
    }
    for (int i = 0; i < rows; i++) {
        x[batch + i] = draw_dim(c, draw_size(c) >> (rows > 1 || batch ? 2 : 0), percent);
    }
    for (int i = 0; i < columns; i++) {
        y[batch + i] = draw_dim(c, draw_size(c) >> (columns > 1 || batch ? 1 : 0), percent);
    }
    for (int i = 0; i < contract; i++) {
        x[batch + rows + i] = y[batch + columns + i] =
            draw_dim(c, draw_size(c) >> (contract > 1 ? 2 : 0), percent);
    }
    Type types[2] = {{.dtype = draw_dtype(c)}, {.rank = 0}};
    types[1].dtype = types[0].dtype;
    Axes batch_axes[2], contract_axes[2];
    draw_operand(c, x, batch, rows, contract, &types[0], &batch_axes[0], &contract_axes[0]);
    draw_operand(c, y, batch, columns, contract, &types[1], &batch_axes[1], &contract_axes[1]);
    finish(c, build_dot(c->graph, input(c, "x", &types[0]), input(c, "y", &types[1]), batch_axes[0],
                        batch_axes[1], contract_axes[0], contract_axes[1]));
}

/* One spatial axis: window, padding and sizes that leave at least one position. */
static void draw_window(Case *c, int axis, int percent, Attr *attr, Type *x, Type *y)
{
    int64_t size = draw(c, 1, attr->conv.spatial == 2 ? 14 : 8),
            taps = draw(c, 0, 4) ? draw(c, 1, 4) : draw(c, 1, 12);
    int64_t low = draw(c, 0, 2) ? draw(c, 0, 3) : draw(c, -2, 4),
            high = draw(c, 0, 2) ? draw(c, 0, 3) : draw(c, -2, 4);
    attr->conv.stride[axis] = draw(c, 0, 2) ? 1 : draw(c, 1, 3);
    attr->conv.dilate_x[axis] = draw(c, 0, 3) ? 1 : draw(c, 1, 4);
    attr->conv.dilate_y[axis] = draw(c, 0, 3) ? 1 : draw(c, 1, 4);
    if (draw(c, 0, 2) == 0) {
        low = high = 0;
    }
    int64_t have = (size - 1) * attr->conv.dilate_x[axis] + 1 + low + high;
    int64_t need = (taps - 1) * attr->conv.dilate_y[axis] + 1;
    high += have < need ? need - have : 0;
    attr->conv.pad_low[axis] = dim_const(c->dims, low);
    attr->conv.pad_high[axis] = dim_const(c->dims, high);
    x->dims[2 + axis] = draw_dim(c, size, have < need ? 0 : percent);
    y->dims[1 + axis] = draw_dim(c, taps, percent / 4);
}

static void draw_conv(Case *c)
{
    int spatial = draw(c, 0, 2) ? 2 : (int)draw(c, 1, 3), percent = (int)draw(c, 0, 2) * 15;
    Attr attr = {.kind = AT_CONV, .conv.spatial = spatial};
    Type x = {.dtype = draw_dtype(c), .rank = spatial + 3},
         y = {.dtype = x.dtype, .rank = spatial + 3};
    int64_t groups = draw(c, 0, 2) ? 1 : draw(c, 0, 1) ? draw(c, 1, 4) : draw(c, 16, 40);
    x.dims[0] = y.dims[0] = draw_dim(c, groups, percent);
    x.dims[1] = draw_dim(c, draw(c, 0, 5), percent + 30);
    for (int i = 0; i < spatial; i++) {
        draw_window(c, i, percent, &attr, &x, &y);
    }
    int64_t channels = draw(c, 0, 3) ? draw(c, 1, 5) : draw(c, 0, 40);
    x.dims[2 + spatial] = y.dims[1 + spatial] = draw_dim(c, channels, percent);
    y.dims[2 + spatial] = draw_dim(c, draw(c, 0, 2) ? draw(c, 1, 70) : 1, percent);
    Node *operands[2] = {input(c, "x", &x), input(c, "y", &y)};
    finish(c, graph_node(c->graph, OP_CONV, operands, 2, &attr));
}

/* A convolution of each channel by itself, of images [N, H, W, C] with weights [C, 1, K, K] or
 * [K, K, C]: taps of 1 to 5, some of them in the padding of all positions or of none. */
static void draw_depthwise(Case *c)
{
    Attr attr = {.kind = AT_CONV, .conv.spatial = 2};
    int64_t sizes[2], taps[2], channels = draw(c, 1, 70);
    for (int i = 0; i < 2; i++) {
        taps[i] = draw(c, 0, 3) ? draw(c, 0, 1) ? 3 : 5 : draw(c, 1, 4);
        sizes[i] = draw(c, 1, i ? 75 : 9);
        attr.conv.stride[i] = draw(c, 1, 3);
        attr.conv.dilate_x[i] = draw(c, 0, 5) ? 1 : 2;
        attr.conv.dilate_y[i] = draw(c, 0, 2) ? 1 : draw(c, 2, 3);
        int64_t reach = (taps[i] - 1) * attr.conv.dilate_y[i];
        int64_t low = draw(c, 0, reach), have = (sizes[i] - 1) * attr.conv.dilate_x[i] + low;
        int64_t least = have < reach ? reach - have : 0;
        attr.conv.pad_low[i] = dim_const(c->dims, low);
        attr.conv.pad_high[i] = dim_const(c->dims, least + draw(c, 0, 2));
    }
    const Dim *all = draw_dim(c, channels, 0), *one = dim_const(c->dims, 1),
              *taps_0 = dim_const(c->dims, taps[0]), *taps_1 = dim_const(c->dims, taps[1]);
    DType dtype = draw_dtype(c);
    Type image = {.dtype = dtype, .rank = 5};
    image.dims[0] = draw_dim(c, draw(c, 0, 3), 50);
    image.dims[1] = draw_dim(c, sizes[0], 10);
    image.dims[2] = draw_dim(c, sizes[1], 5);
    image.dims[3] = all;
    image.dims[4] = one;
    Type by_channel = {.dtype = dtype, .rank = 5, .dims = {all, one, taps_0, taps_1, one}};
    Type by_tap = {.dtype = dtype, .rank = 5, .dims = {taps_0, taps_1, all, one, one}};
    bool last = draw(c, 0, 2) == 0;
    const uint8_t to_groups[] = {3, 0, 1, 2, 4}, from_channel[] = {0, 2, 3, 1, 4},
                  from_tap[] = {2, 0, 1, 3, 4};
    Node *x = build_permute(c->graph, input(c, "x", &image), to_groups);
    Node *y = build_permute(c->graph, input(c, "y", last ? &by_tap : &by_channel),
                            last ? from_tap : from_channel);
    finish(c, graph_node(c->graph, OP_CONV, (Node *[]){x, y}, 2, &attr));
}

static void try_random(void (*make)(Case *c), uint64_t first, int count)
{
    for (uint64_t seed = first; seed < first + (uint64_t)count; seed++) {
        Case c = case_new(seed);
        make(&c);
        Machine machine = {targets[seed % 3], seed % 4 == 0 ? 3 : 1, seed % 5 != 0};
        run_case(&c, &machine);
        machine.target.random_plan = seed;
        run_case(&c, &machine);
        arena_free(c.arena);
    }
}

/* NNC_CONTRACT_CASES asks for a longer run. */
static int case_count(void)
{
    const char *wanted = getenv("NNC_CONTRACT_CASES");
    return wanted ? atoi(wanted) : 150;
}

Test(contract, random_dots)
{
    try_random(draw_dot, 1, case_count());
}

Test(contract, random_convolutions)
{
    try_random(draw_conv, 1000001, case_count());
}

Test(contract, random_depthwise_convolutions)
{
    try_random(draw_depthwise, 2000001, case_count());
}

/* ---- cases with a shape that matters ---- */

typedef struct {
    const char *text;
    int64_t free; /* value of B */
} Known;

static const Known known[] = {
    /* tails of rows for every batch size, on weights as PyTorch keeps them */
    {"%0 = input {x} : f32[B, 40]\n%1 = input {y} : f32[70, 40]\n%2 = dot %0 %1 {contract = 1:1} : "
     "f32[B, 70]\n",
     1},
    {"%0 = input {x} : f32[B, 40]\n%1 = input {y} : f32[70, 40]\n%2 = dot %0 %1 {contract = 1:1} : "
     "f32[B, 70]\n",
     0},
    {"%0 = input {x} : f32[B, 40]\n%1 = input {y} : f32[70, 40]\n%2 = dot %0 %1 {contract = 1:1} : "
     "f32[B, 70]\n",
     29},
    /* a weight gradient in leaves: 64 rows, 64 rows, 2 rows */
    {"%0 = input {x} : f32[B, 30]\n%1 = input {y} : f32[B, 20]\n%2 = dot %0 %1 {contract = 0:0} : "
     "f32[30, 20]\n",
     130},
    /* one chain over a long batch, which goes in blocks */
    {"%0 = input {x} : f32[B, 200]\n%1 = input {y} : f32[B, 100]\n%2 = dot %0 %1 {contract = 0:0} "
     ": f32[200, 100]\n",
     3000},
    {"%0 = input {x} : f32[50, 6000]\n%1 = input {y} : f32[6000, 64]\n%2 = dot %0 %1 {contract = "
     "1:0} : f32[50, 64]\n",
     0},
    /* a row times a matrix, a matrix times a column, two vectors */
    {"%0 = input {x} : f32[1, 300]\n%1 = input {y} : f32[300, 500]\n%2 = dot %0 %1 {contract = "
     "1:0} : f32[1, 500]\n",
     0},
    {"%0 = input {x} : f32[300, 77]\n%1 = input {y} : f32[77]\n%2 = dot %0 %1 {contract = 1:0} : "
     "f32[300]\n",
     0},
    /* few rows against a matrix along its terms: turned in registers, with terms left over */
    {"%0 = input {x} : f32[3, 77]\n%1 = input {y} : f32[90, 77]\n%2 = dot %0 %1 {contract = 1:1} : "
     "f32[3, 90]\n",
     0},
    {"%0 = input {x} : f32[1000]\n%1 = input {y} : f32[1000]\n%2 = dot %0 %1 {contract = 0:0} : "
     "f32[]\n",
     0},
};

Test(contract, known_shapes)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        Case c = case_new(i);
        char *error = NULL;
        const char *text =
            arena_format(c.arena, "graph case {\n%soutput result = %%2\n}\n", known[i].text);
        c.graph = graph_read(c.arena, c.dims, text, &error);
        cr_assert_not_null(c.graph, "%s", error);
        c.symbols[0] = known[i].free;
        run_case(&c, &(Machine){targets[i % 3], 2, true});
        arena_free(c.arena);
    }
}

/* The same code (its plan follows the hint, not the size) at several batch sizes. */
Test(contract, a_row_does_not_depend_on_its_batch)
{
    static const int64_t batches[] = {1, 2, 7, 8, 33};
    Type x = {.dtype = DT_F32, .rank = 2}, y = {.dtype = DT_F32, .rank = 2};
    Case c = case_new(7);
    x.dims[0] = dim_symbol(c.dims, "B");
    x.dims[1] = y.dims[1] = dim_const(c.dims, 90);
    y.dims[0] = dim_const(c.dims, 50);
    Node *dot = build_dot(c.graph, input(&c, "x", &x), input(&c, "y", &y), (Axes){0}, (Axes){0},
                          axes_one(1), axes_one(1));
    graph_root(c.graph, ROOT_OUTPUT, "result", dot);
    for (size_t i = 0; i < sizeof batches / sizeof *batches; i++) {
        c.symbols[0] = batches[i];
        run_case(&c, &(Machine){targets[0], 1, false});
    }
    arena_free(c.arena);
}
