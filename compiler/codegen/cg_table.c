/* Launches as data. A step of few launches is straight code; of many it would be a function as long
 * as the program, on which LLVM spends more than linear time, so it becomes two tables and one loop
 * over them:
 *
 *   nnc.walk(call, first, last, turns, args):
 *     for i in first .. last:
 *       for k in args of launch i:  args[k] = address of its buffer
 *       nnc.launch(call, kernel, args, table[count], grain)
 *
 * A row of a buffer says where it lies: in the arena at table[slot], among the call's buffers, in
 * the object (a constant), or, a slice, at `base` + turns[region] * table[slot]. */
#include "compiler/codegen/cg_step.h"

typedef struct {
    LLVMTypeRef launch, buffer;
    LLVMValueRef launches, args, buffers; /* the tables */
} Tables;

enum { LAUNCH_KERNEL, LAUNCH_GRAIN, LAUNCH_FIRST, LAUNCH_ARGS, LAUNCH_COUNT, LAUNCH_DIMS };
enum { BUFFER_ROW_DATA, BUFFER_ROW_KIND, BUFFER_ROW_SLOT, BUFFER_ROW_BASE, BUFFER_ROW_REGION };

/* ---- data ---- */

static LLVMValueRef add_table(Cg *cg, LLVMTypeRef type, LLVMValueRef *rows, uint32_t count,
                              const char *name)
{
    LLVMTypeRef array = LLVMArrayType2(type, count);
    LLVMValueRef global = LLVMAddGlobal(cg->module, array, name);
    LLVMSetInitializer(global, LLVMConstArray2(type, rows, count));
    LLVMSetLinkage(global, LLVMInternalLinkage);
    LLVMSetGlobalConstant(global, true);
    return global;
}

static LLVMValueRef constant32(Cg *cg, uint64_t value)
{
    return LLVMConstInt(cg->i32, value, false);
}

/* A host function has no kernel, and its number in place of the grain. */
static void add_launches(Cg *cg, const Step *step, Tables *tables)
{
    const KProgram *program = step->program;
    LLVMTypeRef fields[6] = {cg->pointer, cg->i64, cg->i32, cg->i32, cg->i32, cg->i32};
    uint32_t count = program->launches.count;
    LLVMValueRef *rows = ARENA_ARRAY(cg->scratch, LLVMValueRef, count + 1);
    VEC(LLVMValueRef) args = {0};
    tables->launch = LLVMStructTypeInContext(cg->context, fields, 6, false);
    for (uint32_t i = 0; i < count; i++) {
        const Launch *launch = &program->launches.data[i];
        LLVMValueRef row[6] = {
            launch->is_extern ? LLVMConstNull(cg->pointer) : step->functions[launch->kernel],
            cg_index(cg, launch->is_extern ? (int64_t)launch->kernel : launch->grain),
            constant32(cg, args.count),
            constant32(cg, launch->args.count),
            constant32(cg, launch->count_slot),
            constant32(cg, launch->dims_slot)};
        rows[i] = LLVMConstStructInContext(cg->context, row, 6, false);
        for (uint32_t k = 0; k < launch->args.count; k++) {
            vec_push(cg->scratch, &args, constant32(cg, launch->args.data[k]));
        }
    }
    tables->launches = add_table(cg, tables->launch, rows, count, "nnc.launches");
    tables->args = add_table(cg, cg->i32, args.data, args.count, "nnc.args");
}

static void add_buffers(Cg *cg, const Step *step, Tables *tables)
{
    const KProgram *program = step->program;
    LLVMTypeRef fields[5] = {cg->pointer, cg->i32, cg->i32, cg->i32, cg->i32};
    uint32_t count = program->buffers.count;
    LLVMValueRef *rows = ARENA_ARRAY(cg->scratch, LLVMValueRef, count + 1);
    tables->buffer = LLVMStructTypeInContext(cg->context, fields, 5, false);
    for (uint32_t i = 0; i < count; i++) {
        const ProgramBuffer *buffer = &program->buffers.data[i];
        bool own = buffer->kind == BUFFER_ARENA || buffer->kind == BUFFER_SLICE;
        LLVMValueRef row[5] = {step->constants[i] ? step->constants[i] : LLVMConstNull(cg->pointer),
                               constant32(cg, buffer->kind), constant32(cg, own ? buffer->slot : i),
                               constant32(cg, buffer->base), constant32(cg, buffer->region)};
        rows[i] = LLVMConstStructInContext(cg->context, row, 5, false);
    }
    tables->buffers = add_table(cg, tables->buffer, rows, count, "nnc.buffers");
}

/* ---- code ---- */

static LLVMValueRef field_of(Cg *cg, LLVMTypeRef type, LLVMValueRef row, unsigned field)
{
    LLVMValueRef address = LLVMBuildStructGEP2(cg->builder, type, row, field, "");
    LLVMValueRef value =
        LLVMBuildLoad2(cg->builder, LLVMStructGetTypeAtIndex(type, field), address, "");
    return LLVMTypeOf(value) == cg->i32 ? LLVMBuildZExt(cg->builder, value, cg->i64, "") : value;
}

static LLVMValueRef entry_at(Cg *cg, LLVMTypeRef type, LLVMValueRef base, LLVMValueRef index)
{
    return LLVMBuildLoad2(cg->builder, type, cg_element(cg, type, base, index), "");
}

typedef struct {
    Step in; /* fields of the call as the walk loaded them */
    Tables tables;
    LLVMValueRef turns;
} Walk;

static void add_incoming(LLVMValueRef phi, LLVMValueRef value, LLVMBasicBlockRef from)
{
    LLVMAddIncoming(phi, &value, &from, 1);
}

/* A counter that runs from `low` while it is below `high`; the builder is left in the body. */
typedef struct {
    LLVMBasicBlockRef head, after;
    LLVMValueRef counter;
} Count;

static Count begin_count(Cg *cg, LLVMValueRef low, LLVMValueRef high)
{
    Count count = {.head = cg_block(cg, "head"), .after = cg_block(cg, "after")};
    LLVMBasicBlockRef before = LLVMGetInsertBlock(cg->builder), body = cg_block(cg, "body");
    LLVMBuildBr(cg->builder, count.head);
    LLVMPositionBuilderAtEnd(cg->builder, count.head);
    count.counter = LLVMBuildPhi(cg->builder, cg->i64, "i");
    add_incoming(count.counter, low, before);
    LLVMValueRef more = LLVMBuildICmp(cg->builder, LLVMIntSLT, count.counter, high, "");
    LLVMBuildCondBr(cg->builder, more, body, count.after);
    LLVMPositionBuilderAtEnd(cg->builder, body);
    return count;
}

static void end_count(Cg *cg, const Count *count)
{
    LLVMValueRef next = LLVMBuildAdd(cg->builder, count->counter, cg_index(cg, 1), "");
    add_incoming(count->counter, next, LLVMGetInsertBlock(cg->builder));
    LLVMBuildBr(cg->builder, count->head);
    LLVMPositionBuilderAtEnd(cg->builder, count->after);
}

/* The address of a buffer by its number; slices go round until they are at a buffer of memory. */
static LLVMValueRef find_address(Cg *cg, const Walk *walk, LLVMValueRef number)
{
    LLVMBasicBlockRef before = LLVMGetInsertBlock(cg->builder), look = cg_block(cg, "look"),
                      slice = cg_block(cg, "slice"), arena = cg_block(cg, "arena"),
                      constant = cg_block(cg, "constant"), other = cg_block(cg, "other"),
                      found = cg_block(cg, "found");
    LLVMBuildBr(cg->builder, look);
    LLVMPositionBuilderAtEnd(cg->builder, look);
    LLVMValueRef at = LLVMBuildPhi(cg->builder, cg->i64, "at"),
                 bytes = LLVMBuildPhi(cg->builder, cg->i64, "bytes");
    add_incoming(at, number, before);
    add_incoming(bytes, cg_index(cg, 0), before);
    LLVMTypeRef type = walk->tables.buffer;
    LLVMValueRef row = cg_element(cg, type, walk->tables.buffers, at);
    LLVMValueRef slot = field_of(cg, type, row, BUFFER_ROW_SLOT);
    LLVMValueRef choice =
        LLVMBuildSwitch(cg->builder, field_of(cg, type, row, BUFFER_ROW_KIND), other, 3);
    LLVMAddCase(choice, cg_index(cg, BUFFER_SLICE), slice);
    LLVMAddCase(choice, cg_index(cg, BUFFER_ARENA), arena);
    LLVMAddCase(choice, cg_index(cg, BUFFER_CONSTANT), constant);
    LLVMPositionBuilderAtEnd(cg->builder, slice);
    LLVMValueRef turn =
        entry_at(cg, cg->i64, walk->turns, field_of(cg, type, row, BUFFER_ROW_REGION));
    LLVMValueRef distance =
        LLVMBuildMul(cg->builder, turn, entry_at(cg, cg->i64, walk->in.table, slot), "");
    add_incoming(bytes, LLVMBuildAdd(cg->builder, bytes, distance, ""), slice);
    add_incoming(at, field_of(cg, type, row, BUFFER_ROW_BASE), slice);
    LLVMBuildBr(cg->builder, look);
    LLVMPositionBuilderAtEnd(cg->builder, found);
    LLVMValueRef base = LLVMBuildPhi(cg->builder, cg->pointer, "base");
    LLVMPositionBuilderAtEnd(cg->builder, arena);
    LLVMValueRef offset = entry_at(cg, cg->i64, walk->in.table, slot);
    add_incoming(base, cg_element(cg, cg->i8, walk->in.arena, offset), arena);
    LLVMBuildBr(cg->builder, found);
    LLVMPositionBuilderAtEnd(cg->builder, constant);
    add_incoming(base, field_of(cg, type, row, BUFFER_ROW_DATA), constant);
    LLVMBuildBr(cg->builder, found);
    LLVMPositionBuilderAtEnd(cg->builder, other);
    add_incoming(base, entry_at(cg, cg->pointer, walk->in.buffers, slot), other);
    LLVMBuildBr(cg->builder, found);
    LLVMPositionBuilderAtEnd(cg->builder, found);
    return cg_element(cg, cg->i8, base, bytes);
}

static void fill_args(Cg *cg, const Walk *walk, LLVMValueRef row)
{
    LLVMTypeRef type = walk->tables.launch;
    LLVMValueRef first = field_of(cg, type, row, LAUNCH_FIRST);
    Count each = begin_count(cg, cg_index(cg, 0), field_of(cg, type, row, LAUNCH_ARGS));
    LLVMValueRef at = LLVMBuildAdd(cg->builder, first, each.counter, "");
    LLVMValueRef number = entry_at(cg, cg->i32, walk->tables.args, at);
    number = LLVMBuildZExt(cg->builder, number, cg->i64, "");
    LLVMValueRef address = find_address(cg, walk, number);
    LLVMBuildStore(cg->builder, address,
                   cg_element(cg, cg->pointer, walk->in.args, each.counter));
    end_count(cg, &each);
}

static void call_host(Cg *cg, const Walk *walk, LLVMValueRef row)
{
    LLVMTypeRef type = walk->tables.launch;
    LLVMValueRef index = field_of(cg, type, row, LAUNCH_GRAIN);
    LLVMValueRef last = LLVMBuildSub(cg->builder, field_of(cg, type, row, LAUNCH_ARGS),
                                     cg_index(cg, 1), "");
    LLVMValueRef args[4] = {
        entry_at(cg, cg->pointer, walk->in.users, index), walk->in.args,
        cg_element(cg, cg->pointer, walk->in.args, last),
        cg_element(cg, cg->i64, walk->in.table, field_of(cg, type, row, LAUNCH_DIMS))};
    LLVMBuildCall2(cg->builder, cg_extern_type(cg),
                   entry_at(cg, cg->pointer, walk->in.externs, index), args, 4, "");
}

static void call_kernel(Cg *cg, const Walk *walk, LLVMValueRef row, LLVMValueRef kernel)
{
    LLVMTypeRef type = walk->tables.launch;
    LLVMValueRef count =
        entry_at(cg, cg->i64, walk->in.table, field_of(cg, type, row, LAUNCH_COUNT));
    LLVMValueRef args[5] = {walk->in.call, kernel, walk->in.args, count,
                            field_of(cg, type, row, LAUNCH_GRAIN)};
    LLVMBuildCall2(cg->builder, LLVMGlobalGetValueType(cg->launcher), cg->launcher, args, 5, "");
}

static void make_launch(Cg *cg, const Walk *walk, LLVMValueRef number)
{
    LLVMTypeRef type = walk->tables.launch;
    LLVMValueRef row = cg_element(cg, type, walk->tables.launches, number);
    fill_args(cg, walk, row);
    LLVMValueRef kernel = field_of(cg, type, row, LAUNCH_KERNEL);
    if (!walk->in.program->externs.count) {
        call_kernel(cg, walk, row, kernel);
        return;
    }
    LLVMBasicBlockRef host = cg_block(cg, "host"), own = cg_block(cg, "own"),
                      next = cg_block(cg, "next");
    LLVMBuildCondBr(cg->builder, LLVMBuildIsNull(cg->builder, kernel, ""), host, own);
    LLVMPositionBuilderAtEnd(cg->builder, host);
    call_host(cg, walk, row);
    LLVMBuildBr(cg->builder, next);
    LLVMPositionBuilderAtEnd(cg->builder, own);
    call_kernel(cg, walk, row, kernel);
    LLVMBuildBr(cg->builder, next);
    LLVMPositionBuilderAtEnd(cg->builder, next);
}

LLVMValueRef cg_walk(Cg *cg, const Step *step)
{
    LLVMTypeRef params[5] = {cg->pointer, cg->i64, cg->i64, cg->pointer, cg->pointer};
    LLVMTypeRef type = LLVMFunctionType(cg->nothing, params, 5, false);
    LLVMValueRef outer = cg->function;
    LLVMBasicBlockRef place = LLVMGetInsertBlock(cg->builder);
    Walk walk = {.in = *step};
    add_launches(cg, step, &walk.tables);
    add_buffers(cg, step, &walk.tables);
    cg->function = cg_add_function(cg, "nnc.walk", type, true);
    LLVMPositionBuilderAtEnd(cg->builder, cg_block(cg, "entry"));
    walk.in.call = LLVMGetParam(cg->function, 0);
    walk.turns = LLVMGetParam(cg->function, 3);
    walk.in.args = LLVMGetParam(cg->function, 4);
    cg_load_call(cg, &walk.in);
    Count each = begin_count(cg, LLVMGetParam(cg->function, 1), LLVMGetParam(cg->function, 2));
    cg_observe(cg, &walk.in, each.counter);
    make_launch(cg, &walk, each.counter);
    end_count(cg, &each);
    LLVMBuildRetVoid(cg->builder);
    LLVMValueRef made = cg->function;
    cg->function = outer;
    LLVMPositionBuilderAtEnd(cg->builder, place);
    return made;
}
