/* Objects in memory, over LLVM's ORC layer in its plainest form: LLJIT is given finished objects
 * only, links them, and keeps their pages writable or executable, never both.
 *
 * Every unit is a dynamic library of its own (a JITDylib), so two units may define the same names.
 * LLVM cannot destroy such a library, so a removed unit is emptied and kept for the next one.
 * Generated code calls nothing outside itself but the few functions of the table below, which a
 * back end may fall back on; no other name of this process is visible to it. */
#include "compiler/jit/jit.h"

#include "runtime/base/bug.h"

#include <llvm-c/Core.h>
#include <llvm-c/Error.h>
#include <llvm-c/LLJIT.h>
#include <llvm-c/Orc.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct JitUnit {
    Jit *jit;
    JitUnit *next; /* in jit->units, all that were ever made */
    LLVMOrcJITDylibRef library;
    LLVMOrcResourceTrackerRef tracker; /* NULL: the unit is empty and free for use */
    char *error;
};

struct Jit {
    LLVMOrcLLJITRef engine;
    JitUnit *units;
    unsigned made;
    pthread_mutex_t lock; /* of units */
};

/* ---- what generated code may call ---- */

/* Present when the process runs under the thread sanitizer. */
extern void __tsan_read_range(void *address, unsigned long bytes) __attribute__((weak));
extern void __tsan_write_range(void *address, unsigned long bytes) __attribute__((weak));

typedef void Function(void);

typedef struct {
    const char *name;
    Function *address;
} HostFunction;

#define HOST(name)                                                                                 \
    {                                                                                              \
#name, (Function *)name                                                                    \
    }

/* Copies, and the roundings and fma of processors that lack the instruction. */
static const HostFunction host_functions[] = {
    HOST(memcpy),
    HOST(memset),
    HOST(memmove),
    HOST(floor),
    HOST(floorf),
    HOST(ceil),
    HOST(ceilf),
    HOST(rint),
    HOST(rintf),
    HOST(fma),
    HOST(fmaf),
    HOST(__tsan_read_range),
    HOST(__tsan_write_range),
};
enum { HOST_FUNCTIONS = sizeof host_functions / sizeof *host_functions };

static char *take_message(LLVMErrorRef failure)
{
    char *message = LLVMGetErrorMessage(failure);
    char *copy = strdup(message);
    LLVMDisposeErrorMessage(message);
    return copy;
}

static LLVMErrorRef define_host_functions(Jit *jit, LLVMOrcJITDylibRef library)
{
    LLVMOrcCSymbolMapPair pairs[HOST_FUNCTIONS];
    size_t count = 0;
    for (int i = 0; i < HOST_FUNCTIONS; i++) {
        if (host_functions[i].address) {
            LLVMOrcCSymbolMapPair pair = {
                LLVMOrcLLJITMangleAndIntern(jit->engine, host_functions[i].name), {0, {0, 0}}};
            pair.Sym.Address = (LLVMOrcExecutorAddress)(uintptr_t)host_functions[i].address;
            pair.Sym.Flags.GenericFlags =
                LLVMJITSymbolGenericFlagsExported | LLVMJITSymbolGenericFlagsCallable;
            pairs[count++] = pair;
        }
    }
    return LLVMOrcJITDylibDefine(library, LLVMOrcAbsoluteSymbols(pairs, count));
}

/* ---- the engine ---- */

/* The same failure comes back from the look-up that met it; LLVM would print it as well. */
static void swallow_error(void *context, LLVMErrorRef failure)
{
    (void)context;
    LLVMConsumeError(failure);
}

Jit *jit_new(char **error)
{
    Jit *jit = calloc(1, sizeof *jit);
    if (!jit) {
        NNC_BUG("out of memory");
    }
    LLVMErrorRef failure = LLVMOrcCreateLLJIT(&jit->engine, NULL);
    if (failure) {
        *error = take_message(failure);
        free(jit);
        return NULL;
    }
    LLVMOrcExecutionSessionSetErrorReporter(LLVMOrcLLJITGetExecutionSession(jit->engine),
                                            swallow_error, NULL);
    pthread_mutex_init(&jit->lock, NULL);
    return jit;
}

void jit_free(Jit *jit)
{
    if (!jit) {
        return;
    }
    for (JitUnit *unit = jit->units, *next; unit; unit = next) {
        next = unit->next;
        if (unit->tracker) {
            jit_remove(unit);
        }
        free(unit);
    }
    LLVMErrorRef failure = LLVMOrcDisposeLLJIT(jit->engine);
    if (failure) {
        LLVMConsumeError(failure);
    }
    pthread_mutex_destroy(&jit->lock);
    free(jit);
}

/* ---- units ---- */

static JitUnit *new_unit(Jit *jit, char **error)
{
    char name[32];
    snprintf(name, sizeof name, "unit%u", jit->made++);
    LLVMOrcExecutionSessionRef session = LLVMOrcLLJITGetExecutionSession(jit->engine);
    LLVMOrcJITDylibRef library = LLVMOrcExecutionSessionCreateBareJITDylib(session, name);
    LLVMErrorRef failure = define_host_functions(jit, library);
    if (failure) {
        *error = take_message(failure);
        return NULL;
    }
    JitUnit *unit = calloc(1, sizeof *unit);
    if (!unit) {
        NNC_BUG("out of memory");
    }
    unit->jit = jit;
    unit->library = library;
    unit->next = jit->units;
    jit->units = unit;
    return unit;
}

/* An empty unit with a tracker: from now on it is taken. */
static JitUnit *take_unit(Jit *jit, char **error)
{
    pthread_mutex_lock(&jit->lock);
    JitUnit *unit = jit->units;
    while (unit && unit->tracker) {
        unit = unit->next;
    }
    unit = unit ? unit : new_unit(jit, error);
    if (unit) {
        unit->tracker = LLVMOrcJITDylibCreateResourceTracker(unit->library);
    }
    pthread_mutex_unlock(&jit->lock);
    return unit;
}

static LLVMErrorRef add_object(JitUnit *unit, ObjectCode *object)
{
    LLVMMemoryBufferRef buffer =
        LLVMCreateMemoryBufferWithMemoryRangeCopy(object->data, object->size, "nnc");
    codegen_object_free(object);
    return LLVMOrcLLJITAddObjectFileWithRT(unit->jit->engine, unit->tracker, buffer);
}

static JitUnit *add_objects(Jit *jit, ObjectCode *objects, int count, char **error)
{
    JitUnit *unit = take_unit(jit, error);
    LLVMErrorRef failure = LLVMErrorSuccess;
    for (int i = 0; i < count; i++) {
        if (unit && !failure) {
            failure = add_object(unit, &objects[i]);
        } else {
            codegen_object_free(&objects[i]);
        }
    }
    if (failure) {
        *error = take_message(failure);
        jit_remove(unit);
        return NULL;
    }
    return unit;
}

JitUnit *jit_add(Jit *jit, ObjectCode *object, char **error)
{
    return add_objects(jit, object, 1, error);
}

JitUnit *jit_add_all(Jit *jit, ObjectList *list, char **error)
{
    JitUnit *unit = add_objects(jit, list->objects, list->count, error);
    free(list->objects);
    list->objects = NULL;
    return unit;
}

typedef struct {
    LLVMOrcExecutorAddress address;
    char *error;
} Found;

static void receive_symbol(LLVMErrorRef failure, LLVMOrcCSymbolMapPairs pairs, size_t count,
                           void *context)
{
    Found *found = context;
    if (failure) {
        found->error = take_message(failure);
    } else if (count) {
        found->address = pairs[0].Sym.Address;
    }
}

/* The session calls back before it returns: materialising an object needs no other thread. */
void *jit_symbol(JitUnit *unit, const char *name)
{
    LLVMOrcExecutionSessionRef session = LLVMOrcLLJITGetExecutionSession(unit->jit->engine);
    LLVMOrcCJITDylibSearchOrderElement where = {unit->library,
                                                LLVMOrcJITDylibLookupFlagsMatchAllSymbols};
    LLVMOrcCLookupSetElement what = {LLVMOrcLLJITMangleAndIntern(unit->jit->engine, name),
                                     LLVMOrcSymbolLookupFlagsRequiredSymbol};
    Found found = {0};
    LLVMOrcExecutionSessionLookup(session, LLVMOrcLookupKindStatic, &where, 1, &what, 1,
                                  receive_symbol, &found);
    free(unit->error);
    unit->error = found.error;
    return (void *)(uintptr_t)found.address;
}

const char *jit_error(const JitUnit *unit)
{
    return unit->error;
}

void jit_remove(JitUnit *unit)
{
    Jit *jit = unit->jit;
    LLVMErrorRef failure = LLVMOrcResourceTrackerRemove(unit->tracker);
    if (failure) {
        LLVMConsumeError(failure);
    }
    free(unit->error);
    unit->error = NULL;
    pthread_mutex_lock(&jit->lock);
    LLVMOrcReleaseResourceTracker(unit->tracker);
    unit->tracker = NULL;
    pthread_mutex_unlock(&jit->lock);
}
