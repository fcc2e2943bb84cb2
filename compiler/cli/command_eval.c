/* nnc eval: the metrics of saved weights on the data of a program. */
#include "compiler/cli/cli.h"

#include <math.h>
#include <stdlib.h>

static void print_part(const Arguments *arguments, const char *part, const nnc_metric *metrics,
                       size_t count)
{
    if (!arguments->counts[OPTION_JSON]) {
        report_metrics(stdout, part, metrics, count);
        return;
    }
    printf("{\"event\":\"eval\",\"part\":\"%s\"", part);
    for (size_t i = 0; i < count; i++)
        if (metrics[i].rank == 0 && isfinite(metrics[i].value))
            printf(",\"%s\":%.17g", metrics[i].name, metrics[i].value);
        else if (metrics[i].rank == 0)
            printf(",\"%s\":null", metrics[i].name);
    printf("}\n");
}

static int evaluate(const Arguments *arguments, nnc_context *context, nnc_program *program,
                    const char *block, const char *weights)
{
    static const char *const names[] = {"train", "valid", "test"};
    long long seed = 0;
    if (!option_number(arguments, OPTION_SEED, 0, &seed))
        return 1;
    int loader_threads = 0;
    if (!option_loader_threads(arguments, &loader_threads))
        return 1;
    nnc_trainer_options options = {.size = sizeof options,
                                   .seed = (uint64_t)seed,
                                   .init = weights,
                                   .same_parts = true,
                                   .loader_threads = loader_threads};
    nnc_trainer *trainer = NULL;
    nnc_status status = nnc_trainer_new(program, block, &options, &trainer);
    for (int part = NNC_PART_VALID; status == NNC_OK && part <= NNC_PART_TEST; part++) {
        const nnc_metric *metrics;
        size_t count;
        status = nnc_trainer_evaluate(trainer, (nnc_part)part, &metrics, &count);
        if (status == NNC_OK)
            print_part(arguments, names[part], metrics, count);
        if (status == NNC_ARGUMENT) /* a part without rows */
            status = NNC_OK;
    }
    nnc_trainer_release(trainer);
    return status == NNC_OK ? 0 : report_failure(arguments, context, status);
}

int command_eval(const Arguments *arguments)
{
    return with_weights(arguments, arguments->operands[1], evaluate);
}
