/* Values that a program looks at while it trains. debug(x) is an output of the step, f64[10],
 * named "debug INDEX EVERY LABEL": how many elements were seen, their sum, -smallest, largest,
 * and the first ones (compiler/sema/debug.c). None were where a loop had no turn or the other
 * side of a decision was taken; then there is nothing to say. Every EVERY-th step they go into
 * the event of the step; whoever listens prints them. */
#include "runtime/train/trainer_private.h"

#include <stdlib.h>
#include <string.h>

static void read_values(nnc_debug *out, const char *label, const double *report)
{
    *out = (nnc_debug){
        .name = label, .min = -report[2], .mean = report[1] / report[0], .max = report[3]};
    for (; out->first_count < DEBUG_FIRST && out->first_count < report[0]; out->first_count++)
        out->first[out->first_count] = report[4 + out->first_count];
}

size_t debug_collect(const Binding *binding, int64_t step, nnc_debug out[DEBUG_MAX])
{
    size_t count = 0;
    for (int arg = 0; arg < binding->function->arg_count && count < DEBUG_MAX; arg++) {
        const FunctionArg *argument = &binding->function->args[arg];
        char *rest;
        if (argument->kind != ARG_OUTPUT || strncmp(argument->name, "debug ", 6) != 0)
            continue;
        strtoll(argument->name + 6, &rest, 10);
        long long every = strtoll(rest, &rest, 10);
        const double *report = binding->buffers[arg];
        if (every > 0 && step % every == 0 && *rest == ' ' && report[0] > 0)
            read_values(&out[count++], rest + 1, report);
    }
    return count;
}
