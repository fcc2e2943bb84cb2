/* Progress for people: one live line on a terminal, redrawn at most ten times a second;
 * elsewhere a plain line per epoch. */
#include "compiler/cli/cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct Progress {
    FILE *out;
    bool terminal;
    double last_drawn;
    double epoch_begin;
    double smooth_loss;
    int64_t smooth_steps;
    int64_t examples;
};

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

Progress *progress_new(FILE *out, bool terminal)
{
    Progress *progress = calloc(1, sizeof *progress);
    if (progress) {
        progress->out = out;
        progress->terminal = terminal;
    }
    return progress;
}

void progress_free(Progress *progress)
{
    free(progress);
}

static void clear_line(Progress *progress)
{
    if (progress->terminal)
        fprintf(progress->out, "\r\033[K");
}

static void draw_bar(FILE *out, int64_t done, int64_t all)
{
    enum { CELLS = 20 };
    int halves = all > 0 ? (int)(done * 2 * CELLS / all) : 0;
    for (int cell = 0; cell < CELLS; cell++) {
        int here = halves - 2 * cell;
        fputs(here >= 2 ? "\u2501" : here == 1 ? "\u2578" : " ", out);
    }
}

static void print_clock(FILE *out, double seconds)
{
    long whole = (long)seconds;
    if (whole >= 3600)
        fprintf(out, " %ld:%02ld:%02ld", whole / 3600, whole / 60 % 60, whole % 60);
    else
        fprintf(out, " %ld:%02ld", whole / 60, whole % 60);
}

/* 1234567 -> 1.2M */
static void print_rate(FILE *out, double rate)
{
    static const char units[] = {0, 'k', 'M', 'G'};
    int unit = 0;
    while (rate >= 1000 && unit < 3) {
        rate /= 1000;
        unit++;
    }
    fprintf(out, rate < 10 && unit ? " %.1f" : " %.0f", rate);
    if (unit)
        fputc(units[unit], out);
    fprintf(out, " ex/s");
}

static void print_step_time(FILE *out, double seconds_per_step)
{
    double ms = seconds_per_step * 1e3;
    if (ms >= 0.1)
        fprintf(out, ms < 10 ? " %.1f ms/step" : " %.0f ms/step", ms);
    else
        fprintf(out, " %.1f us/step", ms * 1e3);
}

/* Steps that wait for their rows: more loader threads, or less to do for a row. */
static void print_waiting(FILE *out, const nnc_event *event)
{
    if (event->waiting_seconds > 0.05 * event->seconds)
        fprintf(out, " data %.0f %%", 100 * event->waiting_seconds / event->seconds);
}

static void note_step(Progress *progress, const nnc_event *event)
{
    if (event->step_of_epoch == 1) {
        progress->smooth_loss = 0;
        progress->smooth_steps = 0;
        progress->examples = 0;
    }
    progress->examples += event->rows;
    progress->smooth_steps++;
    double weight = progress->smooth_steps < 50 ? 1.0 / (double)progress->smooth_steps : 0.02;
    progress->smooth_loss += weight * (event->loss - progress->smooth_loss);
}

/* What debug(x) saw: "step 12  scores: f32[B, 3] at net.nn:12  min -1 mean 0.2 max 2  [0.1 0.5
 * 2]" */
static void print_debug(Progress *progress, const nnc_event *event)
{
    for (size_t i = 0; i < event->debug_count; i++) {
        const nnc_debug *debug = &event->debug[i];
        clear_line(progress);
        fprintf(progress->out, "step %lld  %s  min %.6g mean %.6g max %.6g  [",
                (long long)event->step, debug->name, debug->min, debug->mean, debug->max);
        for (int k = 0; k < debug->first_count; k++)
            fprintf(progress->out, "%s%.6g", k ? " " : "", debug->first[k]);
        fprintf(progress->out, "%s]\n", debug->first_count == 6 ? " ..." : "");
    }
}

static void draw_step(Progress *progress, const nnc_event *event)
{
    double now = seconds_now(), left;
    note_step(progress, event);
    print_debug(progress, event);
    if (!progress->terminal || now - progress->last_drawn < 0.1)
        return;
    progress->last_drawn = now;
    left = event->seconds / (double)event->step_of_epoch *
           (double)(event->steps_of_epoch - event->step_of_epoch);
    clear_line(progress);
    fprintf(progress->out, "epoch %lld/%lld ", (long long)event->epoch, (long long)event->epochs);
    draw_bar(progress->out, event->step_of_epoch, event->steps_of_epoch);
    fprintf(progress->out, " %lld/%lld", (long long)event->step_of_epoch,
            (long long)event->steps_of_epoch);
    print_clock(progress->out, left);
    print_step_time(progress->out, event->seconds / (double)event->step_of_epoch);
    if (event->seconds > 0)
        print_rate(progress->out, (double)progress->examples / event->seconds);
    print_waiting(progress->out, event);
    fprintf(progress->out, " loss %.4f", progress->smooth_loss);
    if (!isnan(event->lr))
        fprintf(progress->out, " lr %.2g", event->lr);
    fflush(progress->out);
}

static void print_metrics(FILE *out, const char *prefix, const nnc_metric *metrics, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (metrics[i].rank == 0)
            fprintf(out,
                    fabs(metrics[i].value) < 1e-3 && metrics[i].value != 0 ? "  %s%s %.3e"
                                                                           : "  %s%s %.4f",
                    prefix, metrics[i].name, without_sign_of_nan(metrics[i].value));
}

/* Hundreds of short epochs say something at most every two seconds, and always at the first,
 * every tenth of the way and last. */
static bool worth_a_line(Progress *progress, const nnc_event *event)
{
    int64_t tenth = event->epochs / 10;
    double now = seconds_now();
    bool milestone = event->epoch == 1 || event->epochs <= 30 || event->epoch == event->epochs ||
                     (tenth > 0 && event->epoch % tenth == 0);
    if (!milestone && now - progress->epoch_begin < 2)
        return false;
    progress->epoch_begin = now;
    return true;
}

static void print_epoch(Progress *progress, const nnc_event *event)
{
    if (!worth_a_line(progress, event))
        return;
    clear_line(progress);
    fprintf(progress->out, "epoch %*lld/%lld",
            event->epochs > 99  ? 3
            : event->epochs > 9 ? 2
                                : 1,
            (long long)event->epoch, (long long)event->epochs);
    print_clock(progress->out, event->seconds + event->valid_seconds);
    print_step_time(progress->out, event->step_ms_median * 1e-3);
    print_waiting(progress->out, event);
    print_metrics(progress->out, "", event->train, event->train_count);
    print_metrics(progress->out, "valid ", event->valid, event->valid_count);
    fprintf(progress->out, "%s\n", event->improved && event->valid_count ? "  *" : "");
    fflush(progress->out);
}

void progress_event(Progress *progress, const nnc_event *event)
{
    if (event->kind == NNC_EVENT_STEP)
        draw_step(progress, event);
    else if (event->kind == NNC_EVENT_EPOCH)
        print_epoch(progress, event);
    else
        clear_line(progress);
}
