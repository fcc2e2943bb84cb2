/* Calls of compiled functions. A session keeps one arena, one table and one list of failure
 * slots and grows them when a call needs more: steps of a training run allocate nothing after
 * the first. */
#include "runtime/train/function.h"

#include "runtime/base/memory.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct Session {
    nnc_parallel *parallel;
    void *pool;
    char *arena;
    int64_t arena_bytes;
    int64_t *table;
    int table_size;
    int64_t *failures;
    int failure_count;
};

int function_arg(const Function *function, ArgKind kind, const char *name)
{
    for (int i = 0; i < function->arg_count; i++)
        if (function->args[i].kind == kind && strcmp(function->args[i].name, name) == 0)
            return i;
    return -1;
}

int64_t function_elements(const Function *function, const int64_t *dims, int arg)
{
    int64_t sizes[FUNCTION_RANK], count = 1;
    function->shape(function, dims, arg, sizes);
    for (int axis = 0; axis < function->args[arg].rank; axis++)
        if (sizes[axis] < 0 || __builtin_mul_overflow(count, sizes[axis], &count))
            return -1;
    return count;
}

Session *session_new(nnc_parallel *parallel, void *pool)
{
    Session *session = calloc(1, sizeof *session);
    if (!session)
        return NULL;
    session->parallel = pool ? parallel : NULL;
    session->pool = pool;
    return session;
}

/* All of the arena may be touched. */
static void open_pages(Session *session)
{
#ifdef NNC_GUARD
    if (session->arena)
        mprotect(session->arena, (size_t)session->arena_bytes, PROT_READ | PROT_WRITE);
#else
    (void)session;
#endif
}

/* Nobody may touch the pages between buffers. */
static void close_pages(Session *session, const Function *function)
{
#ifdef NNC_GUARD
    enum { PAGE = 4096 };
    const int64_t *guards = session->table + function->table_size - function->guards;
    if (function->guards > 0)
        mprotect(session->arena, PAGE, PROT_NONE);
    for (int i = 0; i < function->guards; i++)
        mprotect(session->arena + guards[i], PAGE, PROT_NONE);
#else
    (void)session, (void)function;
#endif
}

void session_free(Session *session)
{
    if (!session)
        return;
    open_pages(session);
    free(session->arena);
    free(session->table);
    free(session->failures);
    free(session);
}

int64_t session_arena_bytes(const Session *session)
{
    return session->arena_bytes;
}

/* Slots are kept between calls; contents are not. */
static bool reserve_slots(int64_t **slots, int *capacity, int count)
{
    if (count <= *capacity)
        return true;
    int64_t *grown = realloc(*slots, sizeof **slots * (size_t)count);
    if (!grown)
        return false;
    *slots = grown;
    *capacity = count;
    return true;
}

static bool reserve_arena(Session *session, int64_t bytes)
{
    if (bytes <= session->arena_bytes)
        return true;
    open_pages(session);
    free(session->arena);
    session->arena_bytes = 0;
    session->arena = NULL;
    session->arena = memory_new(((size_t)bytes + 63) / 64 * 64);
    if (!session->arena)
        return false;
    session->arena_bytes = bytes;
    return true;
}

static CallStatus first_failure(const Session *session, const Function *function,
                                CallFailure *failure)
{
    for (int site = 0; site < function->failure_count; site++) {
        if (session->failures[site] != -1) {
            *failure =
                (CallFailure){.site = &function->sites[site], .element = session->failures[site]};
            return CALL_FAILED;
        }
    }
    return CALL_OK;
}

/* The hostile build: a value that no kernel of this call has written is a NaN. */
static void poison(Session *session)
{
#ifdef NNC_STRESS
    if (session->arena)
        memset(session->arena, 0xff, (size_t)session->arena_bytes);
#else
    (void)session;
#endif
}

CallStatus session_call(Session *session, const Function *function, const int64_t *dims,
                        void *const *buffers, uint64_t seed, uint64_t step, CallFailure *failure)
{
    *failure = (CallFailure){.site = function->broken ? function->broken(function, dims) : NULL};
    if (failure->site)
        return CALL_SIZES;
    if (!reserve_slots(&session->table, &session->table_size, function->table_size) ||
        !reserve_slots(&session->failures, &session->failure_count, function->failure_count))
        return CALL_NO_MEMORY;
    failure->bytes = function->plan(function, dims, session->table);
    if (failure->bytes < 0 || !reserve_arena(session, failure->bytes))
        return CALL_NO_MEMORY;
    failure->bytes = 0;
    for (int site = 0; site < function->failure_count; site++)
        session->failures[site] = -1;
    nnc_call call = {
        .dims = dims,
        .table = session->table,
        .buffers = buffers,
        .arena = session->arena,
        .seed = seed,
        .step = step,
        .parallel = session->parallel,
        .pool = session->pool,
        .failures = session->failures,
        .externs = function->externs,
        .extern_users = function->extern_users,
    };
    open_pages(session);
    poison(session);
    close_pages(session, function);
    if (!function->step(function, &call))
        return CALL_NO_MEMORY;
    return first_failure(session, function, failure);
}

bool session_inspect(Session *session, const Function *function, const int64_t *dims,
                     void *const *buffers, uint64_t seed, uint64_t step, Finding *finding)
{
    nnc_call call = {.dims = dims,
                     .buffers = buffers,
                     .seed = seed,
                     .step = step,
                     .externs = function->externs,
                     .extern_users = function->extern_users};
    *finding = (Finding){0};
    if (!function->inspect ||
        !reserve_slots(&session->failures, &session->failure_count, function->failure_count))
        return false;
    call.failures = session->failures;
    return function->inspect(function, &call, finding);
}
