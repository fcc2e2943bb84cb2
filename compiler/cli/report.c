/* Tables before and after a run. */
#include "compiler/cli/cli.h"

#include <math.h>

static void print_bytes(FILE *out, int64_t bytes)
{
    if (bytes < 1 << 20)
        fprintf(out, "%.1f KiB", (double)bytes / 1024);
    else
        fprintf(out, "%.1f MiB", (double)bytes / (1 << 20));
}

void report_start(FILE *out, const nnc_event *event)
{
    fprintf(out, "%s: train %s, seed %llu, %d thread%s\n", event->file, event->block,
            (unsigned long long)event->seed, event->threads, event->threads == 1 ? "" : "s");
    fprintf(out, "  %lld parameters; %lld training rows, %lld validation, %lld test\n",
            (long long)event->parameters, (long long)event->examples_train,
            (long long)event->examples_valid, (long long)event->examples_test);
    if (event->initial)
        fprintf(out, "  initial weights from %s\n", event->initial);
    if (event->notice)
        fprintf(out, "  %s\n", event->notice);
    fprintf(out, "  %d kernels compiled in %.0f ms; one step needs ", event->kernels,
            event->compile_ms);
    print_bytes(out, event->arena_bytes);
    fprintf(out, " (%lld bytes) beside the weights\n", (long long)event->arena_bytes);
    fflush(out);
}

static void print_matrix(FILE *out, const nnc_metric *metric)
{
    int64_t rows = metric->sizes[0], columns = metric->rank == 2 ? metric->sizes[1] : 1;
    int width = 1;
    for (int64_t i = 0; i < rows * columns; i++) {
        int digits = snprintf(NULL, 0, "%.0f", metric->values[i]);
        width = digits > width ? digits : width;
    }
    fprintf(out, "%s (rows: actual, columns: predicted)\n%*s", metric->name, 6, "");
    for (int64_t j = 0; j < columns; j++)
        fprintf(out, " %*lld", width, (long long)j);
    for (int64_t i = 0; i < rows; i++) {
        fprintf(out, "\n%6lld", (long long)i);
        for (int64_t j = 0; j < columns; j++) {
            double value = metric->values[i * columns + j];
            if (value == 0)
                fprintf(out, " %*s", width, ".");
            else
                fprintf(out, " %*.0f", width, value);
        }
    }
    fprintf(out, "\n");
}

double without_sign_of_nan(double value)
{
    return isnan(value) ? fabs(value) : value;
}

void report_metrics(FILE *out, const char *part, const nnc_metric *metrics, size_t count)
{
    if (count == 0)
        return;
    fprintf(out, "%-5s", part);
    for (size_t i = 0; i < count; i++)
        if (metrics[i].rank == 0)
            fprintf(out, "  %s %.6g", metrics[i].name, without_sign_of_nan(metrics[i].value));
    fprintf(out, "\n");
}

void report_end(FILE *out, const nnc_event *event)
{
    if (event->stopped_early)
        fprintf(out, "stopped early after %lld epochs; the best weights are restored\n",
                (long long)event->epoch);
    report_metrics(out, "train", event->train, event->train_count);
    if (event->valid_count)
        report_metrics(out, "valid", event->valid, event->valid_count);
    if (event->test_count)
        report_metrics(out, "test", event->test, event->test_count);
    const nnc_metric *last = event->test_count    ? event->test
                             : event->valid_count ? event->valid
                                                  : event->train;
    size_t count = event->test_count    ? event->test_count
                   : event->valid_count ? event->valid_count
                                        : event->train_count;
    for (size_t i = 0; i < count; i++)
        if (last[i].rank > 0)
            print_matrix(out, &last[i]);
    fprintf(out, "%lld steps in %.1f s; memory of a step: planned %lld bytes, used %lld\n",
            (long long)event->step, event->seconds, (long long)event->arena_bytes,
            (long long)event->arena_bytes_used);
    if (event->saved)
        fprintf(out, "weights: %s\n", event->saved);
}
