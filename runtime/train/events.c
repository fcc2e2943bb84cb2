/* Events as one line of JSON each: the stream of `nnc run --json`. Numbers are printed so that
 * they read back to the same bits. */
#include "runtime/train/trainer.h"

static void add_metric(StrBuf *out, const nnc_metric *metric)
{
    strbuf_add_json(out, metric->name);
    strbuf_add_char(out, ':');
    if (metric->rank == 0) {
        strbuf_add_double(out, metric->value);
        return;
    }
    int64_t rows = metric->rank == 2 ? metric->sizes[0] : 1,
            columns = metric->sizes[metric->rank - 1];
    strbuf_add(out, metric->rank == 2 ? "[" : "");
    for (int64_t i = 0; i < rows; i++) {
        strbuf_add(out, i ? ",[" : "[");
        for (int64_t j = 0; j < columns; j++) {
            strbuf_add(out, j ? "," : "");
            strbuf_add_double(out, metric->values[i * columns + j]);
        }
        strbuf_add_char(out, ']');
    }
    strbuf_add(out, metric->rank == 2 ? "]" : "");
}

static void add_metrics(StrBuf *out, const char *name, const nnc_metric *metrics, size_t count)
{
    strbuf_printf(out, ",\"%s\":{", name);
    for (size_t i = 0; i < count; i++) {
        strbuf_add(out, i ? "," : "");
        add_metric(out, &metrics[i]);
    }
    strbuf_add_char(out, '}');
}

static void add_number(StrBuf *out, const char *name, double value)
{
    strbuf_printf(out, ",\"%s\":", name);
    strbuf_add_double(out, value);
}

static void add_notice(const nnc_event *event, StrBuf *out)
{
    if (!event->notice)
        return;
    strbuf_add(out, ",\"notice\":");
    strbuf_add_json(out, event->notice);
}

static void start_json(const nnc_event *event, StrBuf *out)
{
    strbuf_add(out, "{\"event\":\"start\",\"file\":");
    strbuf_add_json(out, event->file);
    strbuf_add(out, ",\"train\":");
    strbuf_add_json(out, event->block);
    strbuf_printf(out, ",\"seed\":%llu,\"threads\":%d,\"parameters\":%lld",
                  (unsigned long long)event->seed, event->threads, (long long)event->parameters);
    strbuf_printf(out, ",\"examples\":{\"train\":%lld,\"valid\":%lld,\"test\":%lld}",
                  (long long)event->examples_train, (long long)event->examples_valid,
                  (long long)event->examples_test);
    strbuf_printf(out, ",\"kernels\":%d", event->kernels);
    add_number(out, "compile_ms", event->compile_ms);
    strbuf_printf(out, ",\"arena_bytes\":%lld", (long long)event->arena_bytes);
    if (event->resumed > 0)
        strbuf_printf(out, ",\"resumed\":%lld", (long long)event->resumed);
    add_notice(event, out);
    strbuf_add_char(out, '}');
}

static void add_debug(const nnc_event *event, StrBuf *out)
{
    for (size_t i = 0; i < event->debug_count; i++) {
        const nnc_debug *debug = &event->debug[i];
        strbuf_add(out, i ? ",{\"name\":" : ",\"debug\":[{\"name\":");
        strbuf_add_json(out, debug->name);
        add_number(out, "min", debug->min);
        add_number(out, "mean", debug->mean);
        add_number(out, "max", debug->max);
        strbuf_add(out, ",\"first\":[");
        for (int k = 0; k < debug->first_count; k++) {
            strbuf_add(out, k ? "," : "");
            strbuf_add_double(out, debug->first[k]);
        }
        strbuf_add(out, "]}");
    }
    strbuf_add(out, event->debug_count ? "]" : "");
}

static void step_json(const nnc_event *event, StrBuf *out)
{
    strbuf_printf(out, "{\"event\":\"step\",\"step\":%lld,\"epoch\":%lld", (long long)event->step,
                  (long long)event->epoch);
    add_number(out, "loss", event->loss);
    add_number(out, "lr", event->lr);
    add_debug(event, out);
    add_notice(event, out);
    strbuf_add_char(out, '}');
}

static void epoch_json(const nnc_event *event, StrBuf *out)
{
    strbuf_printf(out, "{\"event\":\"epoch\",\"epoch\":%lld", (long long)event->epoch);
    add_number(out, "seconds", event->seconds);
    if (event->waiting_seconds > 0)
        add_number(out, "waiting_seconds", event->waiting_seconds);
    strbuf_printf(out, ",\"steps\":%lld,\"step_ms\":{\"min\":", (long long)event->step_of_epoch);
    strbuf_add_double(out, event->step_ms_min);
    add_number(out, "median", event->step_ms_median);
    add_number(out, "max", event->step_ms_max);
    strbuf_add_char(out, '}');
    add_metrics(out, "train", event->train, event->train_count);
    add_metrics(out, "valid", event->valid, event->valid_count);
    add_number(out, "valid_seconds", event->valid_seconds);
    add_notice(event, out);
    strbuf_add_char(out, '}');
}

static void end_json(const nnc_event *event, StrBuf *out)
{
    strbuf_printf(out, "{\"event\":\"end\",\"steps\":%lld", (long long)event->step);
    add_number(out, "seconds", event->seconds);
    add_metrics(out, "train", event->train, event->train_count);
    add_metrics(out, "valid", event->valid, event->valid_count);
    add_metrics(out, "test", event->test, event->test_count);
    strbuf_printf(
        out, ",\"arena_bytes\":%lld,\"arena_bytes_used\":%lld,\"peak_rss_bytes\":%lld,\"saved\":",
        (long long)event->arena_bytes, (long long)event->arena_bytes_used,
        (long long)event->peak_rss_bytes);
    if (event->saved)
        strbuf_add_json(out, event->saved);
    else
        strbuf_add(out, "null");
    strbuf_add_char(out, '}');
}

void event_json(const nnc_event *event, StrBuf *out)
{
    static void (*const writers[])(const nnc_event *, StrBuf *) = {
        [NNC_EVENT_START] = start_json,
        [NNC_EVENT_STEP] = step_json,
        [NNC_EVENT_EPOCH] = epoch_json,
        [NNC_EVENT_END] = end_json,
    };
    writers[event->kind](event, out);
}
