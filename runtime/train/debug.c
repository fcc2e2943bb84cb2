/* Values that a program looks at while it trains. debug(x) is an output of the step, f64[9], named
 * "debug INDEX EVERY LABEL": smallest, mean, largest and the first elements of x (NaN where it has
 * fewer). Every EVERY-th step they go into the event of the step; whoever listens prints them. */
#include "runtime/train/trainer_private.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void read_values(nnc_debug *out, const char *label, const double *values)
{
    *out = (nnc_debug){.name = label, .min = values[0], .mean = values[1], .max = values[2]};
    while (out->first_count < DEBUG_FIRST && !isnan(values[3 + out->first_count])) {
        out->first[out->first_count] = values[3 + out->first_count];
        out->first_count++;
    }
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
        if (every > 0 && step % every == 0 && *rest == ' ')
            read_values(&out[count++], rest + 1, binding->buffers[arg]);
    }
    return count;
}
