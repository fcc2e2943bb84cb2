/* Functions over compiled code and over the interpreter: arguments, sizes, failure sites and the
 * relations of sizes that a call has to keep, in the terms of runtime/train. What an engine needs
 * lives in the arena of its stages.
 *
 *   graph predict(x f32[B, 3], fc.weight) -> output f32[B, 2]
 *   args: 0 input x, 1 param fc.weight, 2 output output; dims: B */
#include "compiler/driver/engine.h"

#include "compiler/ref/ref.h"
#include "runtime/base/bug.h"

#include <string.h>

typedef VEC(FunctionArg) ArgList;
typedef VEC(Type) TypeList;

static const char *shape_text(Arena *arena, const DimTable *dims, const Type *type)
{
    StrBuf out = {0};
    type_print(dims, type, &out);
    const char *text = arena_string(arena, out.text);
    strbuf_free(&out);
    return text;
}

static void add_arg(Arena *arena, const DimTable *dims, ArgKind kind, const char *name,
                    const Type *type, ArgList *args, TypeList *types)
{
    vec_push(arena, args,
             (FunctionArg){.kind = kind,
                           .name = name,
                           .dtype = type->dtype,
                           .rank = type->rank,
                           .shape = shape_text(arena, dims, type)});
    vec_push(arena, types, *type);
}

/* The values of a call by symbol of the DimTable. */
static const int64_t *symbol_values(const Engine *engine, const int64_t *dims)
{
    for (int i = 0; i < engine->function.dim_count; i++)
        engine->values[engine->symbols[i]] = dims[i];
    return engine->values;
}

static void argument_shape(const Function *self, const int64_t *dims, int arg, int64_t *sizes)
{
    const Engine *engine = self->engine;
    const int64_t *values = symbol_values(engine, dims);
    const Type *type = &engine->types[arg];
    for (int axis = 0; axis < type->rank; axis++)
        sizes[axis] = dim_eval(type->dims[axis], values);
}

static void name_dims(Engine *engine, Arena *arena, uint32_t count)
{
    const char **names = ARENA_ARRAY(arena, const char *, count + 1);
    for (uint32_t i = 0; i < count; i++)
        names[i] = dim_symbol_name(engine->graph->dims, engine->symbols[i]);
    engine->function.dim_names = names;
    engine->function.dim_count = (int)count;
}

/* "an index is out of range: the axis has 20 entries", where that is a number. */
static const char *out_of_range(Arena *arena, const Node *node)
{
    const Node *x = node->nsrc ? node->src[0] : NULL;
    int64_t size;
    bool known = x && node->attr.kind == AT_AXIS && node->attr.axis < x->type.rank &&
                 dim_is_const(x->type.dims[node->attr.axis], &size);
    return known ? arena_format(arena, "an index is out of range: the axis has %lld entries",
                                (long long)size)
                 : "an index is out of range";
}

static FailureSite site_of(Arena *arena, const Node *node)
{
    if (node->op == OP_CHECK)
        return (FailureSite){node->attr.check.code, node->attr.check.message, node->span};
    switch (op_info[node->op].op_class) {
    case CLASS_ELEMENTWISE:
        return (FailureSite){ERR_E0802, "integer division by zero", node->span};
    case CLASS_INDEX:
        return (FailureSite){ERR_E0801, out_of_range(arena, node), node->span};
    case CLASS_REDUCE:
        return (FailureSite){ERR_E0803, "the largest or smallest of no elements", node->span};
    default:
        return (FailureSite){ERR_E0803, "these sizes do not fit together", node->span};
    }
}

static void describe_sites(Engine *engine, Arena *arena, const Node *const *nodes, int count)
{
    FailureSite *sites = ARENA_ARRAY(arena, FailureSite, count + 1);
    for (int i = 0; i < count; i++)
        sites[i] = site_of(arena, nodes[i]);
    engine->sites = (const Node **)nodes;
    engine->function.sites = sites;
    engine->function.failure_count = count;
}

/* ---- Relations of sizes that the compiler left open ---- */

static const FailureSite *broken_relation(const Function *self, const int64_t *dims)
{
    const Engine *engine = self->engine;
    const int64_t *values = symbol_values(engine, dims);
    for (int i = 0; i < engine->check_count; i++) {
        int64_t left = dim_eval(engine->checks[i]->left, values),
                right = dim_eval(engine->checks[i]->right, values);
        if (left != right || left == INT64_MIN)
            return &engine->check_sites[i];
    }
    return NULL;
}

/* Has a call of this function a value for every symbol of the relation? */
static bool knows_sizes(const Engine *engine, const DimCheck *check)
{
    for (uint32_t symbol = 0; symbol < dim_symbol_count(engine->graph->dims); symbol++) {
        bool known =
            !dim_uses_symbol(check->left, symbol) && !dim_uses_symbol(check->right, symbol);
        for (int i = 0; !known && i < engine->function.dim_count; i++)
            known = engine->symbols[i] == symbol;
        if (!known)
            return false;
    }
    return true;
}

static void list_checks(Engine *engine, Arena *arena)
{
    const CompileOptions *options = engine->options;
    engine->checks = ARENA_ARRAY(arena, const DimCheck *, options->check_count + 1);
    engine->check_sites = ARENA_ARRAY(arena, FailureSite, options->check_count + 1);
    for (uint32_t i = 0; i < options->check_count; i++) {
        const DimCheck *check = &options->checks[i];
        if (!knows_sizes(engine, check))
            continue;
        engine->checks[engine->check_count] = check;
        engine->check_sites[engine->check_count++] =
            (FailureSite){.code = ERR_E0803, .message = check->text, .span = check->span};
    }
    engine->function.broken = engine->check_count > 0 ? broken_relation : NULL;
}

static void finish_function(Engine *engine, Arena *arena, const char *name, uint32_t dims,
                            ArgList *args, TypeList *types)
{
    name_dims(engine, arena, dims);
    engine->function.name = arena_string(arena, name);
    engine->function.arg_count = (int)args->count;
    engine->function.args = args->data;
    engine->function.shape = argument_shape;
    engine->function.engine = engine;
    engine->function.inspect = engine_inspect;
    engine->types = types->data;
    engine->values = ARENA_ARRAY(arena, int64_t, dim_symbol_count(engine->graph->dims) + 1);
    list_checks(engine, arena);
}

/* ---- Compiled code ---- */

/* A call begins with the plan, so the step finds its code made. */
static int64_t compiled_plan(const Function *self, const int64_t *dims, int64_t *table)
{
    const Engine *engine = self->engine;
    if (!atomic_load_explicit(&engine->ready, memory_order_acquire))
        engine->make(engine->compiled);
    return engine->plan(dims, table);
}

static bool compiled_step(const Function *self, const nnc_call *call)
{
    ((const Engine *)self->engine)->step(call);
    return true;
}

/* externs_check has found them all. */
static void bind_externs(Engine *engine, Arena *arena, const KProgram *program)
{
    nnc_extern **functions = ARENA_ARRAY(arena, nnc_extern *, program->externs.count + 1);
    void **users = ARENA_ARRAY(arena, void *, program->externs.count + 1);
    for (uint32_t i = 0; i < program->externs.count; i++) {
        const HostFunction *host = extern_find(engine->options, program->externs.data[i]);
        NNC_ASSERT(host);
        functions[i] = host->function;
        users[i] = host->user;
    }
    engine->function.externs = functions;
    engine->function.extern_users = users;
}

void engine_compiled(Engine *engine, Stages *stages, const CompileOptions *options,
                     void (*make)(Compiled *compiled), Compiled *compiled)
{
    static const ArgKind kinds[] = {[STORAGE_INPUT] = ARG_INPUT,
                                    [STORAGE_PARAM] = ARG_PARAM,
                                    [STORAGE_STATE] = ARG_STATE,
                                    [STORAGE_OUTPUT] = ARG_OUTPUT};
    const Schedule *schedule = stages->schedule;
    KProgram *program = stages->program;
    ArgList args = {0};
    TypeList types = {0};
    *engine = (Engine){.graph = stages->final,
                       .options = options,
                       .symbols = schedule->symbols,
                       .make = make,
                       .compiled = compiled};
    for (uint32_t i = 0; i < schedule->externals; i++) {
        const Buffer *buffer = &schedule->buffers.data[i];
        add_arg(stages->arena, stages->final->dims, kinds[buffer->kind], buffer->name,
                &buffer->type, &args, &types);
    }
    finish_function(engine, stages->arena, program->name, schedule->symbol_count, &args, &types);
    describe_sites(engine, stages->arena, stages->failure_nodes, (int)program->failure_sites);
    engine->function.table_size = (int)program->table_size;
    engine->function.guards = (int)program->guards;
    engine->function.kernel_count = (int)program->kernels.count;
    engine->function.plan = compiled_plan;
    engine->function.step = compiled_step;
    bind_externs(engine, stages->arena, program);
}

bool engine_bind(Engine *engine, Stages *stages, JitUnit *unit)
{
    const char *name = stages->program->name;
    void *plan = jit_symbol(unit, arena_format(stages->arena, "%s_plan", name));
    void *step = jit_symbol(unit, arena_format(stages->arena, "%s_step", name));
    memcpy(&engine->plan, &plan, sizeof plan);
    memcpy(&engine->step, &step, sizeof step);
    atomic_store_explicit(&engine->ready, plan && step, memory_order_release);
    return plan && step;
}

/* ---- Interpreter ---- */

static int64_t interpreter_plan(const Function *self, const int64_t *dims, int64_t *table)
{
    (void)self, (void)dims, (void)table;
    return 0;
}

typedef struct {
    const Engine *engine;
    const nnc_call *call;
} Interpretation;

static const void *interpreter_leaf(void *user, const Node *leaf)
{
    const Interpretation *at = user;
    static const ArgKind kinds[] = {
        [OP_INPUT] = ARG_INPUT, [OP_PARAM] = ARG_PARAM, [OP_STATE] = ARG_STATE};
    int arg = function_arg(&at->engine->function, kinds[leaf->op], leaf->attr.leaf.name);
    return arg < 0 ? NULL : at->call->buffers[arg];
}

static nnc_extern *interpreter_extern(void *user, const char *name, void **extern_user)
{
    const HostFunction *host = extern_find(((const Interpretation *)user)->engine->options, name);
    *extern_user = host ? host->user : NULL;
    return host ? host->function : NULL;
}

static bool is_argument(const Engine *engine, const nnc_call *call, const void *data)
{
    for (int arg = 0; arg < engine->function.arg_count; arg++)
        if (call->buffers[arg] == data)
            return true;
    return false;
}

/* Values that lie in an argument are put aside first: an update may overwrite them. */
static void store_roots(const Engine *engine, const nnc_call *call, Arena *arena,
                        const void **values)
{
    const Graph *graph = engine->graph;
    size_t *bytes = ARENA_ARRAY(arena, size_t, graph->roots.count + 1);
    for (uint32_t i = 0; i < graph->roots.count; i++) {
        int arg = engine->root_args[i];
        int64_t elements = function_elements(&engine->function, call->dims, arg);
        NNC_ASSERT(elements >= 0);
        bytes[i] = (size_t)elements * dtype_bytes(engine->types[arg].dtype);
        if (values[i] && is_argument(engine, call, values[i]))
            values[i] = arena_copy(arena, values[i], bytes[i]);
    }
    for (uint32_t i = 0; i < graph->roots.count; i++)
        if (values[i])
            memcpy(call->buffers[engine->root_args[i]], values[i], bytes[i]);
}

static bool interpreter_step(const Function *self, const nnc_call *call)
{
    const Engine *engine = self->engine;
    Interpretation at = {engine, call};
    Arena *arena = arena_new();
    const void **values = ARENA_ARRAY(arena, const void *, engine->graph->roots.count + 1);
    RefRun run = {.graph = engine->graph,
                  .symbols = symbol_values(engine, call->dims),
                  .leaf = interpreter_leaf,
                  .user = &at,
                  .seed = call->seed,
                  .step = call->step,
                  .find_extern = interpreter_extern};
    bool good = ref_run(&run, arena, values);
    for (int site = 0; !good && run.failed && site < self->failure_count; site++)
        if (engine->sites[site] == run.failed)
            call->failures[site] = run.failed_element;
    bool memory = good || run.failed;
    if (memory)
        store_roots(engine, call, arena, values);
    arena_free(arena);
    return memory;
}

/* The argument that a root writes: its output, or the leaf that it updates. */
static int find_or_add_root(Arena *arena, const Graph *graph, const Root *root, ArgList *args,
                            TypeList *types)
{
    bool output = root->kind == ROOT_OUTPUT;
    for (uint32_t i = 0; i < args->count; i++) {
        ArgKind kind = args->data[i].kind;
        bool same_kind = output ? kind == ARG_OUTPUT : kind == ARG_PARAM || kind == ARG_STATE;
        if (same_kind && strcmp(args->data[i].name, root->name) == 0)
            return (int)i;
    }
    add_arg(arena, graph->dims, output ? ARG_OUTPUT : ARG_STATE, root->name, &root->node->type,
            args, types);
    return (int)args->count - 1;
}

static void list_leaves(Arena *arena, const Graph *graph, const uint8_t *live, ArgList *args,
                        TypeList *types)
{
    static const OpCode leaves[] = {OP_INPUT, OP_PARAM, OP_STATE};
    static const ArgKind kinds[] = {ARG_INPUT, ARG_PARAM, ARG_STATE};
    for (int k = 0; k < 3; k++)
        for (uint32_t i = 0; i < graph->nodes.count; i++) {
            const Node *node = graph->nodes.data[i];
            if (live[i] && node->op == leaves[k])
                add_arg(arena, graph->dims, kinds[k], node->attr.leaf.name, &node->type, args,
                        types);
        }
}

/* Any operation may be the one that fails: the interpreter also finds sizes that make no sense. */
static void list_sites(Engine *engine, Arena *arena, const uint8_t *live)
{
    VEC(const Node *) nodes = {0};
    for (uint32_t i = 0; i < engine->graph->nodes.count; i++) {
        const Node *node = engine->graph->nodes.data[i];
        if (live[i] && node->nsrc > 0)
            vec_push(arena, &nodes, node);
    }
    describe_sites(engine, arena, nodes.data, (int)nodes.count);
}

void engine_interpreter(Engine *engine, Stages *stages, const char *name,
                        const CompileOptions *options)
{
    Arena *arena = stages->arena;
    const Graph *graph = stages->final;
    uint8_t *live = graph_live(graph, arena);
    ArgList args = {0};
    TypeList types = {0};
    *engine = (Engine){.graph = graph, .options = options};
    uint32_t count = graph_symbols(graph, arena, &engine->symbols);
    list_leaves(arena, graph, live, &args, &types);
    engine->root_args = ARENA_ARRAY(arena, int, graph->roots.count + 1);
    for (uint32_t i = 0; i < graph->roots.count; i++)
        engine->root_args[i] = find_or_add_root(arena, graph, &graph->roots.data[i], &args, &types);
    finish_function(engine, arena, name, count, &args, &types);
    list_sites(engine, arena, live);
    engine->function.plan = interpreter_plan;
    engine->function.step = interpreter_step;
}
