/* Graphs that run once or a few times while data is read are interpreted: compiling them would take
 * longer. */
#include "compiler/driver/evaluation.h"

bool evaluation_no_memory(const nnc_program *program, Span span)
{
    program->context->refused = true;
    diag_error(program->context->diag, ERR_E0804, span, NULL, "not enough memory for this data");
    return false;
}

bool evaluation_open(Evaluation *e, nnc_program *program, const char *name, const Graph *graph,
                     Span span)
{
    CompileUnit unit = {.name = name, .graph = graph, .interpret = true};
    *e = (Evaluation){.program = program, .arena = arena_new(), .span = span};
    e->options = (CompileOptions){.interpret = true,
                                  .hosts = program->context->hosts.data,
                                  .host_count = (int)program->context->hosts.count};
    e->compiled = compile_units(NULL, &unit, 1, &e->options, program->context->diag);
    if (!e->compiled)
        return diag_error_count(program->context->diag) == 0 && evaluation_no_memory(program, span);
    e->session = session_new(NULL, NULL);
    e->function = compiled_function(e->compiled, 0);
    return e->session || evaluation_no_memory(program, span);
}

void evaluation_close(Evaluation *e)
{
    session_free(e->session);
    compiled_free(e->compiled);
    arena_free(e->arena);
}

bool evaluation_call(Evaluation *e, const int64_t *dims, void *const *buffers, uint64_t seed)
{
    CallFailure failure;
    switch (session_call(e->session, e->function, dims, buffers, seed, 0, &failure)) {
    case CALL_OK:
        return true;
    case CALL_NO_MEMORY:
        return evaluation_no_memory(e->program, e->span);
    case CALL_SIZES:
    case CALL_FAILED:
        break;
    }
    diag_error(e->program->context->diag, failure.site->code, failure.site->span, NULL, "%s",
               failure.site->message);
    return false;
}
