/* Functions over compiled code and over the interpreter. Everything an engine needs lives in the arena of its stages. */
#include "compiler/driver/engine.h"

#include "compiler/ref/ref.h"

#include <stdlib.h>
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

static void add_arg(Arena *arena, const DimTable *dims, ArgKind kind, const char *name, const Type *type, ArgList *args,
                    TypeList *types)
{
    vec_push(arena, args, (FunctionArg){.kind = kind,
                                        .name = name,
                                        .dtype = type->dtype,
                                        .rank = type->rank,
                                        .shape = shape_text(arena, dims, type)});
    vec_push(arena, types, *type);
}

static void symbol_values(const Engine *engine, const int64_t *dims, int64_t *values)
{
    for (int i = 0; i < engine->function.dim_count; i++)
        values[engine->symbols[i]] = dims[i];
}

static void argument_shape(const Function *self, const int64_t *dims, int arg, int64_t *sizes)
{
    const Engine *engine = self->engine;
    uint32_t count = dim_symbol_count(engine->graph->dims);
    int64_t *values = calloc(count + 1, sizeof *values);
    const Type *type = &engine->types[arg];
    if (values)
        symbol_values(engine, dims, values);
    for (int axis = 0; axis < type->rank; axis++)
        sizes[axis] = values ? dim_eval(type->dims[axis], values) : -1;
    free(values);
}

static void name_dims(Engine *engine, Arena *arena, uint32_t count)
{
    const char **names = ARENA_ARRAY(arena, const char *, count + 1);
    for (uint32_t i = 0; i < count; i++)
        names[i] = dim_symbol_name(engine->graph->dims, engine->symbols[i]);
    engine->function.dim_names = names;
    engine->function.dim_count = (int)count;
}

static void describe_sites(Engine *engine, Arena *arena, const Node *const *nodes, int count)
{
    FailureSite *sites = ARENA_ARRAY(arena, FailureSite, count + 1);
    for (int i = 0; i < count; i++) {
        const Node *node = nodes[i];
        sites[i].span = node->span;
        if (node->op == OP_CHECK) {
            sites[i].code = node->attr.check.code;
            sites[i].message = node->attr.check.message;
        } else if (op_info[node->op].op_class == CLASS_ELEMENTWISE) {
            sites[i].code = ERR_E0802;
            sites[i].message = "integer division by zero";
        } else {
            sites[i].code = ERR_E0801;
            sites[i].message = "an index is out of range";
        }
    }
    engine->sites = (const Node **)nodes;
    engine->function.sites = sites;
    engine->function.failure_count = count;
}

static const HostFunction *find_host(const CompileOptions *options, const char *name)
{
    for (int i = 0; i < options->host_count; i++)
        if (strcmp(options->hosts[i].name, name) == 0)
            return &options->hosts[i];
    return NULL;
}

static void finish_function(Engine *engine, Arena *arena, const char *name, ArgList *args, TypeList *types)
{
    engine->function.name = arena_string(arena, name);
    engine->function.arg_count = (int)args->count;
    engine->function.args = args->data;
    engine->function.shape = argument_shape;
    engine->function.engine = engine;
    engine->types = types->data;
}

/* ---- Compiled code ---- */

static int64_t compiled_plan(const Function *self, const int64_t *dims, int64_t *table)
{
    return ((const Engine *)self->engine)->plan(dims, table);
}

static bool compiled_step(const Function *self, const nnc_call *call)
{
    ((const Engine *)self->engine)->step(call);
    return true;
}

static bool bind_externs(Engine *engine, Arena *arena, const KProgram *program, Diag *diag)
{
    nnc_extern **functions = ARENA_ARRAY(arena, nnc_extern *, program->externs.count + 1);
    void **users = ARENA_ARRAY(arena, void *, program->externs.count + 1);
    for (uint32_t i = 0; i < program->externs.count; i++) {
        const HostFunction *host = find_host(engine->options, program->externs.data[i]);
        if (!host) {
            diag_error(diag, ERR_E0902, engine->options->extern_span, NULL, "the host gave no function named %s",
                       program->externs.data[i]);
            return false;
        }
        functions[i] = host->function;
        users[i] = host->user;
    }
    engine->function.externs = functions;
    engine->function.extern_users = users;
    return true;
}

bool engine_compiled(Engine *engine, Stages *stages, JitUnit *unit, const CompileOptions *options, Diag *diag)
{
    static const ArgKind kinds[] = {[STORAGE_INPUT] = ARG_INPUT,
                                    [STORAGE_PARAM] = ARG_PARAM,
                                    [STORAGE_STATE] = ARG_STATE,
                                    [STORAGE_OUTPUT] = ARG_OUTPUT};
    const Schedule *schedule = stages->schedule;
    KProgram *program = stages->program;
    ArgList args = {0};
    TypeList types = {0};
    *engine = (Engine){.graph = stages->final, .options = options, .symbols = schedule->symbols};
    for (uint32_t i = 0; i < schedule->externals; i++) {
        const Buffer *buffer = &schedule->buffers.data[i];
        add_arg(stages->arena, stages->final->dims, kinds[buffer->kind], buffer->name, &buffer->type, &args, &types);
    }
    finish_function(engine, stages->arena, program->name, &args, &types);
    name_dims(engine, stages->arena, schedule->symbol_count);
    describe_sites(engine, stages->arena, stages->failure_nodes, (int)program->failure_sites);
    engine->function.table_size = (int)program->table_size;
    engine->function.kernel_count = (int)program->kernels.count;
    engine->function.plan = compiled_plan;
    engine->function.step = compiled_step;
    void *plan = jit_symbol(unit, arena_format(stages->arena, "%s_plan", program->name));
    void *step = jit_symbol(unit, arena_format(stages->arena, "%s_step", program->name));
    memcpy(&engine->plan, &plan, sizeof plan);
    memcpy(&engine->step, &step, sizeof step);
    if (!plan || !step)
        diag_error(diag, ERR_E0903, (Span){0}, NULL, "the compiled code of %s has no entry", program->name);
    return plan && step && bind_externs(engine, stages->arena, program, diag);
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
    static const ArgKind kinds[] = {[OP_INPUT] = ARG_INPUT, [OP_PARAM] = ARG_PARAM, [OP_STATE] = ARG_STATE};
    int arg = function_arg(&at->engine->function, kinds[leaf->op], leaf->attr.leaf.name);
    return arg < 0 ? NULL : at->call->buffers[arg];
}

static nnc_extern *interpreter_extern(void *user, const char *name, void **extern_user)
{
    const HostFunction *host = find_host(((const Interpretation *)user)->engine->options, name);
    *extern_user = host ? host->user : NULL;
    return host ? host->function : NULL;
}

static void store_roots(const Engine *engine, const nnc_call *call, const void *const *values)
{
    const Graph *graph = engine->graph;
    for (uint32_t i = 0; i < graph->roots.count; i++) {
        int arg = engine->root_args[i];
        int64_t elements = function_elements(&engine->function, call->dims, arg);
        memcpy(call->buffers[arg], values[i], (size_t)elements * dtype_bytes(engine->types[arg].dtype));
    }
}

static bool interpreter_step(const Function *self, const nnc_call *call)
{
    const Engine *engine = self->engine;
    Interpretation at = {engine, call};
    Arena *arena = arena_new();
    int64_t *symbols = ARENA_ARRAY(arena, int64_t, dim_symbol_count(engine->graph->dims) + 1);
    const void **values = ARENA_ARRAY(arena, const void *, engine->graph->roots.count + 1);
    symbol_values(engine, call->dims, symbols);
    RefRun run = {.graph = engine->graph,
                  .symbols = symbols,
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
        store_roots(engine, call, values);
    arena_free(arena);
    return memory;
}

static int find_or_add_root(Arena *arena, const Graph *graph, const Root *root, ArgList *args, TypeList *types)
{
    for (uint32_t i = 0; i < args->count; i++) {
        const FunctionArg *arg = &args->data[i];
        bool same_kind = root->kind == ROOT_OUTPUT ? arg->kind == ARG_OUTPUT : arg->kind != ARG_INPUT;
        if (same_kind && arg->kind != (root->kind == ROOT_OUTPUT ? ARG_PARAM : ARG_OUTPUT) &&
            strcmp(arg->name, root->name) == 0)
            return (int)i;
    }
    add_arg(arena, graph->dims, root->kind == ROOT_OUTPUT ? ARG_OUTPUT : ARG_STATE, root->name, &root->node->type, args,
            types);
    return (int)args->count - 1;
}

static void list_leaves(Arena *arena, const Graph *graph, const uint8_t *live, ArgList *args, TypeList *types)
{
    static const OpCode leaves[] = {OP_INPUT, OP_PARAM, OP_STATE};
    static const ArgKind kinds[] = {ARG_INPUT, ARG_PARAM, ARG_STATE};
    for (int k = 0; k < 3; k++)
        for (uint32_t i = 0; i < graph->nodes.count; i++) {
            const Node *node = graph->nodes.data[i];
            if (live[i] && node->op == leaves[k])
                add_arg(arena, graph->dims, kinds[k], node->attr.leaf.name, &node->type, args, types);
        }
}

static void list_sites(Engine *engine, Arena *arena, const uint8_t *live)
{
    VEC(const Node *) nodes = {0};
    for (uint32_t i = 0; i < engine->graph->nodes.count; i++) {
        const Node *node = engine->graph->nodes.data[i];
        if (live[i] && (op_info[node->op].flags & FLAG_FAILS || node->op == OP_ARGMAX || node->op == OP_ARGMIN))
            vec_push(arena, &nodes, node);
    }
    describe_sites(engine, arena, nodes.data, (int)nodes.count);
}

bool engine_interpreter(Engine *engine, Stages *stages, const char *name, const CompileOptions *options, Diag *diag)
{
    Arena *arena = stages->arena;
    const Graph *graph = stages->final;
    uint8_t *live = graph_live(graph, arena);
    ArgList args = {0};
    TypeList types = {0};
    (void)diag;
    *engine = (Engine){.graph = graph, .options = options};
    uint32_t count = graph_symbols(graph, arena, &engine->symbols);
    list_leaves(arena, graph, live, &args, &types);
    engine->root_args = ARENA_ARRAY(arena, int, graph->roots.count + 1);
    for (uint32_t i = 0; i < graph->roots.count; i++)
        engine->root_args[i] = find_or_add_root(arena, graph, &graph->roots.data[i], &args, &types);
    finish_function(engine, arena, name, &args, &types);
    name_dims(engine, arena, count);
    list_sites(engine, arena, live);
    engine->function.plan = interpreter_plan;
    engine->function.step = interpreter_step;
    return true;
}

void engine_close(Engine *engine)
{
    *engine = (Engine){0};
}
