/* The entries of a program, as include/nnc/abi.h promises them:
 *
 *   NAME_plan(dims, table)   runs the plan kernel on the table, returns table[0], the arena's bytes
 *   NAME_step(call)          for every launch: gathers the addresses of its buffers, reads its trip
 *                            count, and hands both to an internal function that skips, splits over
 *                            threads or runs the kernel
 *
 * The addresses live in one array on the stack: a launch is over before the next one begins.
 * Regions become loops and jumps around the launches in NAME_step:
 *
 *   enter: i = 0
 *   head:  i < count and condition ? body : after
 *   body:  t = i, or count - 1 - i backwards; slices add t * their bytes; i = i + 1; head */
#include "compiler/codegen/cg_step.h"
#include "nnc/abi.h"
#include "runtime/base/bug.h"

#include <stddef.h>

#define SAME_PLACE(field, index)                                                                   \
    _Static_assert(offsetof(nnc_call, field) == 8 * (index), "the order of nnc_call")
#if UINTPTR_MAX == UINT64_MAX
SAME_PLACE(dims, CALL_DIMS);
SAME_PLACE(table, CALL_TABLE);
SAME_PLACE(buffers, CALL_BUFFERS);
SAME_PLACE(arena, CALL_ARENA);
SAME_PLACE(seed, CALL_SEED);
SAME_PLACE(step, CALL_STEP);
SAME_PLACE(parallel, CALL_PARALLEL);
SAME_PLACE(pool, CALL_POOL);
SAME_PLACE(failures, CALL_FAILURES);
SAME_PLACE(externs, CALL_EXTERNS);
SAME_PLACE(extern_users, CALL_EXTERN_USERS);
#endif

/* ---- launching ---- */

static LLVMTypeRef launcher_type(const Cg *cg)
{
    LLVMTypeRef params[5] = {cg->pointer, cg->pointer, cg->pointer, cg->i64, cg->i64};
    return LLVMFunctionType(cg->nothing, params, 5, false);
}

static LLVMTypeRef parallel_type(const Cg *cg)
{
    LLVMTypeRef params[6] = {cg->pointer, cg->pointer, cg->pointer, cg->pointer, cg->i64, cg->i64};
    return LLVMFunctionType(cg->nothing, params, 6, false);
}

LLVMTypeRef cg_extern_type(const Cg *cg)
{
    LLVMTypeRef params[4] = {cg->pointer, cg->pointer, cg->pointer, cg->pointer};
    return LLVMFunctionType(cg->nothing, params, 4, false);
}

/* Goes on in `then` where condition holds; the builder is left in the other block. */
static void leave_to(Cg *cg, LLVMValueRef condition, LLVMBasicBlockRef then, const char *otherwise)
{
    LLVMBasicBlockRef other = cg_block(cg, otherwise);
    LLVMBuildCondBr(cg->builder, condition, then, other);
    LLVMPositionBuilderAtEnd(cg->builder, other);
}

static LLVMValueRef less_equal(Cg *cg, LLVMValueRef x, LLVMValueRef y)
{
    return LLVMBuildICmp(cg->builder, LLVMIntSLE, x, y, "");
}

/* launch(call, kernel, args, count, grain): nothing for no items, one call for few, the host's
 * threads for many. */
static LLVMValueRef make_launcher(Cg *cg)
{
    LLVMValueRef function = cg_add_function(cg, "nnc.launch", launcher_type(cg), true);
    LLVMValueRef call = LLVMGetParam(function, 0), kernel = LLVMGetParam(function, 1),
                 args = LLVMGetParam(function, 2);
    LLVMValueRef count = LLVMGetParam(function, 3), grain = LLVMGetParam(function, 4),
                 zero = cg_index(cg, 0);
    cg->function = function;
    LLVMPositionBuilderAtEnd(cg->builder, cg_block(cg, "entry"));
    LLVMBasicBlockRef nothing = cg_block(cg, "nothing"), alone = cg_block(cg, "alone");
    leave_to(cg, less_equal(cg, count, zero), nothing, "items");
    leave_to(cg, less_equal(cg, grain, zero), alone, "splits");
    leave_to(cg, less_equal(cg, count, grain), alone, "many");
    LLVMValueRef parallel = cg_field(cg, call, CALL_PARALLEL);
    leave_to(cg, LLVMBuildIsNull(cg->builder, parallel, ""), alone, "threads");
    LLVMValueRef all[6] = {cg_field(cg, call, CALL_POOL), kernel, call, args, count, grain};
    LLVMBuildCall2(cg->builder, parallel_type(cg), parallel, all, 6, "");
    LLVMBuildRetVoid(cg->builder);
    LLVMPositionBuilderAtEnd(cg->builder, alone);
    LLVMValueRef direct[4] = {call, args, zero, count};
    LLVMBuildCall2(cg->builder, cg->kernel_type, kernel, direct, 4, "");
    LLVMBuildRetVoid(cg->builder);
    LLVMPositionBuilderAtEnd(cg->builder, nothing);
    LLVMBuildRetVoid(cg->builder);
    return function;
}

/* ---- step ---- */

/* The blocks of a region. */
typedef struct Around {
    LLVMBasicBlockRef head, other, after; /* other: of THEN, where ELSE begins */
    LLVMValueRef counter, t;              /* of a loop; the counter is in memory */
} Around;

static LLVMValueRef constant_global(Cg *cg, const ProgramBuffer *buffer)
{
    LLVMValueRef data = LLVMConstStringInContext2(cg->context, buffer->data, buffer->bytes, true);
    LLVMValueRef global = LLVMAddGlobal(cg->module, LLVMTypeOf(data), "nnc.constant");
    LLVMSetInitializer(global, data);
    LLVMSetLinkage(global, LLVMInternalLinkage);
    LLVMSetGlobalConstant(global, true);
    LLVMSetAlignment(global, 64);
    return global;
}

static LLVMValueRef table_entry(Cg *cg, const Step *step, uint32_t slot)
{
    return cg_load_slot(cg, cg->i64, step->table, slot);
}

static LLVMValueRef buffer_address(Cg *cg, const Step *step, uint32_t index)
{
    const ProgramBuffer *buffer = &step->program->buffers.data[index];
    if (buffer->kind == BUFFER_CONSTANT) {
        return step->constants[index];
    }
    if (buffer->kind == BUFFER_ARENA) {
        return cg_element(cg, cg->i8, step->arena, table_entry(cg, step, buffer->slot));
    }
    if (buffer->kind == BUFFER_SLICE) {
        LLVMValueRef base = buffer_address(cg, step, buffer->base);
        LLVMValueRef distance = LLVMBuildMul(cg->builder, step->around[buffer->region].t,
                                             table_entry(cg, step, buffer->slot), "");
        return cg_element(cg, cg->i8, base, distance);
    }
    NNC_ASSERT(index < step->program->externals);
    return cg_load_slot(cg, cg->pointer, step->buffers, index);
}

static void store_args(Cg *cg, const Step *step, const Launch *launch)
{
    for (uint32_t i = 0; i < launch->args.count; i++) {
        LLVMValueRef place = cg_element(cg, cg->pointer, step->args, cg_index(cg, i));
        LLVMBuildStore(cg->builder, buffer_address(cg, step, launch->args.data[i]), place);
    }
}

/* The last argument is the result, the others are operands. */
static void emit_extern(Cg *cg, const Step *step, const Launch *launch)
{
    LLVMValueRef function = cg_load_slot(cg, cg->pointer, step->externs, launch->kernel);
    LLVMValueRef user = cg_load_slot(cg, cg->pointer, step->users, launch->kernel);
    LLVMValueRef out =
        cg_element(cg, cg->pointer, step->args, cg_index(cg, (int64_t)launch->args.count - 1));
    LLVMValueRef dims = cg_element(cg, cg->i64, step->table, cg_index(cg, launch->dims_slot));
    LLVMValueRef args[4] = {user, step->args, out, dims};
    LLVMBuildCall2(cg->builder, cg_extern_type(cg), function, args, 4, "");
}

static void emit_launch(Cg *cg, const Step *step, const Launch *launch)
{
    store_args(cg, step, launch);
    if (launch->is_extern) {
        emit_extern(cg, step, launch);
        return;
    }
    LLVMValueRef count = table_entry(cg, step, launch->count_slot);
    LLVMValueRef args[5] = {step->call, step->functions[launch->kernel], step->args, count,
                            cg_index(cg, launch->grain)};
    LLVMBuildCall2(cg->builder, launcher_type(cg), cg->launcher, args, 5, "");
}

/* ---- regions ---- */

static LLVMValueRef condition_holds(Cg *cg, const Step *step, const KRegion *region)
{
    LLVMValueRef address = buffer_address(cg, step, (uint32_t)region->condition);
    LLVMValueRef byte = LLVMBuildLoad2(cg->builder, cg->i8, address, "");
    return LLVMBuildICmp(cg->builder, LLVMIntNE, byte, LLVMConstInt(cg->i8, 0, false), "");
}

static void begin_loop(Cg *cg, const Step *step, const KRegion *region, Around *around)
{
    LLVMValueRef zero = cg_index(cg, 0);
    around->head = cg_block(cg, "head");
    around->after = cg_block(cg, "after");
    LLVMBuildStore(cg->builder, zero, around->counter);
    LLVMBuildBr(cg->builder, around->head);
    LLVMPositionBuilderAtEnd(cg->builder, around->head);
    LLVMValueRef count = table_entry(cg, step, region->count_slot);
    LLVMValueRef i = LLVMBuildLoad2(cg->builder, cg->i64, around->counter, "");
    leave_to(cg, less_equal(cg, count, i), around->after, "body");
    if (region->condition >= 0) {
        LLVMValueRef holds = condition_holds(cg, step, region);
        leave_to(cg, LLVMBuildNot(cg->builder, holds, ""), around->after, "while");
    }
    LLVMValueRef last = LLVMBuildSub(cg->builder, count, cg_index(cg, 1), "");
    around->t = region->reverse ? LLVMBuildSub(cg->builder, last, i, "t") : i;
    if (step->walk) {
        int64_t number = region - step->program->regions.data;
        LLVMBuildStore(cg->builder, around->t,
                       cg_element(cg, cg->i64, step->turns, cg_index(cg, number)));
    }
}

static void end_loop(Cg *cg, const Around *around)
{
    LLVMValueRef i = LLVMBuildLoad2(cg->builder, cg->i64, around->counter, "");
    LLVMValueRef next = LLVMBuildAdd(cg->builder, i, cg_index(cg, 1), "");
    LLVMBuildStore(cg->builder, next, around->counter);
    LLVMBuildBr(cg->builder, around->head);
    LLVMPositionBuilderAtEnd(cg->builder, around->after);
}

static void begin_region(Cg *cg, const Step *step, const KRegion *region, Around *around)
{
    if (region->kind == KREGION_LOOP) {
        begin_loop(cg, step, region, around);
    } else if (region->kind == KREGION_THEN) {
        LLVMBasicBlockRef then = cg_block(cg, "then");
        around->other = cg_block(cg, "else");
        around->after = cg_block(cg, "after");
        LLVMBuildCondBr(cg->builder, condition_holds(cg, step, region), then, around->other);
        LLVMPositionBuilderAtEnd(cg->builder, then);
    }
}

/* `then` leaves the builder where `else` begins. */
static void end_region(Cg *cg, const KRegion *region, const Around *around)
{
    if (region->kind == KREGION_LOOP) {
        end_loop(cg, around);
    } else if (region->kind == KREGION_THEN) {
        LLVMBuildBr(cg->builder, around->after);
        LLVMPositionBuilderAtEnd(cg->builder, around->other);
    } else {
        LLVMBuildBr(cg->builder, around[-1].after);
        LLVMPositionBuilderAtEnd(cg->builder, around[-1].after);
    }
}

/* What ends before launch `at`, inner ones first, and what begins there, outer ones first. */
static void pass_regions(Cg *cg, const Step *step, uint32_t at)
{
    const KProgram *program = step->program;
    for (uint32_t i = program->regions.count; i-- > 0;) {
        if (program->regions.data[i].last == at) {
            end_region(cg, &program->regions.data[i], &step->around[i]);
        }
    }
    for (uint32_t i = 0; i < program->regions.count; i++) {
        if (program->regions.data[i].first == at) {
            begin_region(cg, step, &program->regions.data[i], &step->around[i]);
        }
    }
}

static uint32_t most_args(const KProgram *program)
{
    uint32_t most = 1;
    for (uint32_t i = 0; i < program->launches.count; i++) {
        most = program->launches.data[i].args.count > most ? program->launches.data[i].args.count
                                                           : most;
    }
    return most;
}

void cg_load_call(Cg *cg, Step *step)
{
    step->buffers = cg_field(cg, step->call, CALL_BUFFERS);
    step->table = cg_field(cg, step->call, CALL_TABLE);
    step->arena = cg_field(cg, step->call, CALL_ARENA);
    if (step->program->externs.count) {
        step->externs = cg_field(cg, step->call, CALL_EXTERNS);
        step->users = cg_field(cg, step->call, CALL_EXTERN_USERS);
    }
}

static void begin_step(Cg *cg, Step *step)
{
    const KProgram *program = step->program;
    LLVMTypeRef type = LLVMFunctionType(cg->nothing, &cg->pointer, 1, false);
    cg->function =
        cg_add_function(cg, arena_format(cg->scratch, "%s_step", program->name), type, false);
    LLVMPositionBuilderAtEnd(cg->builder, cg_block(cg, "entry"));
    step->call = LLVMGetParam(cg->function, 0);
    step->args =
        LLVMBuildArrayAlloca(cg->builder, cg->pointer, cg_int32(cg, most_args(program)), "args");
    step->around = ARENA_ARRAY(cg->scratch, Around, program->regions.count + 1);
    for (uint32_t i = 0; i < program->regions.count; i++) {
        if (program->regions.data[i].kind == KREGION_LOOP) {
            step->around[i].counter = LLVMBuildAlloca(cg->builder, cg->i64, "i");
        }
    }
    cg_load_call(cg, step);
    step->constants = ARENA_ARRAY(cg->scratch, LLVMValueRef, program->buffers.count + 1);
    for (uint32_t i = 0; i < program->buffers.count; i++) {
        const ProgramBuffer *buffer = &program->buffers.data[i];
        step->constants[i] = buffer->kind == BUFFER_CONSTANT ? constant_global(cg, buffer) : NULL;
    }
}

void cg_observe(Cg *cg, const Step *step, LLVMValueRef launch)
{
    if (!cg->options->observer) {
        return;
    }
    LLVMTypeRef params[2] = {cg->pointer, cg->i64};
    LLVMTypeRef type = LLVMFunctionType(cg->nothing, params, 2, false);
    LLVMValueRef address = cg_index(cg, (int64_t)(intptr_t)cg->options->observer);
    LLVMValueRef observer = LLVMBuildIntToPtr(cg->builder, address, cg->pointer, "observer");
    LLVMValueRef args[2] = {step->call, launch};
    LLVMBuildCall2(cg->builder, type, observer, args, 2, "");
}

/* Where regions begin or end, the walk stops. */
static void walk_launches(Cg *cg, Step *step)
{
    const KProgram *program = step->program;
    uint32_t count = program->launches.count, from = 0;
    uint8_t *stops = ARENA_ARRAY(cg->scratch, uint8_t, count + 1);
    step->turns = LLVMBuildArrayAlloca(cg->builder, cg->i64,
                                       cg_int32(cg, program->regions.count + 1), "turns");
    step->walk = cg_walk(cg, step);
    for (uint32_t i = 0; i < program->regions.count; i++) {
        stops[program->regions.data[i].first] = stops[program->regions.data[i].last] = 1;
    }
    stops[count] = 1;
    for (uint32_t i = 0; i <= count; i++) {
        if (!stops[i]) {
            continue;
        }
        if (i > from) {
            LLVMValueRef args[5] = {step->call, cg_index(cg, from), cg_index(cg, i), step->turns,
                                    step->args};
            LLVMBuildCall2(cg->builder, LLVMGlobalGetValueType(step->walk), step->walk, args, 5,
                           "");
        }
        pass_regions(cg, step, i);
        from = i;
    }
}

/* The hostile build walks always. */
#ifdef NNC_STRESS
enum { FEW_LAUNCHES = 0 };
#else
enum { FEW_LAUNCHES = 16 };
#endif

static void emit_step(Cg *cg, const KProgram *program, LLVMValueRef *functions)
{
    Step step = {.program = program, .functions = functions};
    uint32_t count = program->launches.count;
    begin_step(cg, &step);
    if (count > FEW_LAUNCHES) {
        walk_launches(cg, &step);
    } else {
        for (uint32_t i = 0; i <= count; i++) {
            pass_regions(cg, &step, i);
            if (i < count) {
                cg_observe(cg, &step, cg_index(cg, i));
                emit_launch(cg, &step, &program->launches.data[i]);
            }
        }
    }
    cg_observe(cg, &step, cg_index(cg, count));
    LLVMBuildRetVoid(cg->builder);
}

/* ---- plan ---- */

static void emit_plan(Cg *cg, const KProgram *program, LLVMValueRef plan)
{
    LLVMTypeRef params[2] = {cg->pointer, cg->pointer};
    LLVMTypeRef type = LLVMFunctionType(cg->i64, params, 2, false);
    cg->function =
        cg_add_function(cg, arena_format(cg->scratch, "%s_plan", program->name), type, false);
    LLVMValueRef dims = LLVMGetParam(cg->function, 0), table = LLVMGetParam(cg->function, 1);
    LLVMPositionBuilderAtEnd(cg->builder, cg_block(cg, "entry"));
    LLVMValueRef call = LLVMBuildAlloca(cg->builder, cg->call_type, "call");
    LLVMValueRef args = LLVMBuildAlloca(cg->builder, cg->pointer, "args");
    LLVMBuildStore(cg->builder, LLVMConstNull(cg->call_type), call);
    LLVMBuildStore(cg->builder, dims,
                   LLVMBuildStructGEP2(cg->builder, cg->call_type, call, CALL_DIMS, ""));
    LLVMBuildStore(cg->builder, table, args);
    LLVMValueRef all[4] = {call, args, cg_index(cg, 0), cg_index(cg, 1)};
    LLVMBuildCall2(cg->builder, cg->kernel_type, plan, all, 4, "");
    LLVMBuildRet(cg->builder, cg_load_slot(cg, cg->i64, table, 0));
}

void cg_program(Cg *cg, const KProgram *program, LLVMValueRef *functions, LLVMValueRef plan)
{
    if (!cg->launcher) {
        cg->launcher = make_launcher(cg);
    }
    emit_plan(cg, program, plan);
    emit_step(cg, program, functions);
    arena_reset(cg->scratch);
}
