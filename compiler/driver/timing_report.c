/* Timings for people and for programs: the same figures as a table and as one JSON object. */
#include "compiler/driver/timing.h"

#include <string.h>

static double rate(double amount, double seconds)
{
    return seconds > 0 ? amount / seconds * 1e-9 : 0;
}

static double share(double limit, double seconds)
{
    return seconds > 0 ? 100 * limit / seconds : 0;
}

static double bytes_of(const TimeRow *row)
{
    return row->work.read_bytes + row->work.written_bytes;
}

static const char *limit_name(const TimeRow *row)
{
    return row->computes ? "fma" : peak_level_name(row->level);
}

/* ---- text ---- */

static void head_text(const Timing *t, StrBuf *out)
{
    strbuf_printf(out, "%s of %s in %s, %lld rows, %d thread%s, %s\n", t->function, t->block,
                  t->file, (long long)t->rows, t->peak.threads, t->peak.threads == 1 ? "" : "s",
                  t->cpu);
    strbuf_printf(out,
                  "a step: %.3f ms (least %.3f) over %u steps; %u kernels, %u launches\n",
                  t->median * 1e3, t->seconds * 1e3, t->steps, t->kernels, t->launches);
    strbuf_printf(out,
                  "compiled in %.0f ms; of a processor: passes %.1f, schedule %.1f, lower %.1f, "
                  "code %.1f, link %.1f; %d of %d objects were in the cache\n",
                  t->code_ms, t->cost.passes, t->cost.schedule, t->cost.lower, t->cost.code,
                  t->cost.link, t->cost.found, t->cost.objects);
    strbuf_printf(out, "limits: %.0f GFLOP/s; GB/s:", t->peak.flops * 1e-9);
    for (int level = 0; level < LEVEL_COUNT; level++)
        strbuf_printf(out, "%s %s %.0f", level ? "," : "", peak_level_name((MemoryLevel)level),
                      t->peak.bytes_second[level] * 1e-9);
    strbuf_printf(out, "\nroofline: %.3f ms, %.0f %% of it reached\n\n", t->limit * 1e3,
                  share(t->limit, t->median));
}

static void rows_text(const Timing *t, StrBuf *out)
{
    double sum = 0;
    for (uint32_t i = 0; i < t->count; i++)
        sum += t->items[i].median;
    strbuf_add(out, "       ms     %  calls   GFLOP/s     GB/s  limit   share  line and kernel\n");
    for (uint32_t i = 0; i < t->count; i++) {
        const TimeRow *row = &t->items[i];
        strbuf_printf(out, "%9.4f %5.1f %6u %9.1f %8.1f %6s %6.1f%%  %s %s  %s\n",
                      row->median * 1e3, share(row->median, sum), row->calls,
                      rate(row->work.flops, row->median), rate(bytes_of(row), row->median),
                      limit_name(row), share(row->limit, row->median), row->place, row->what,
                      row->kernel);
    }
    strbuf_printf(out, "%9.4f between launches\n", (t->median - sum) * 1e3);
}

static void codes_text(const Timing *t, StrBuf *out)
{
    double sum = 0;
    uint64_t bytes = 0;
    strbuf_add(out, "\ncompile ms    bytes   instructions  launches  kernel\n");
    for (uint32_t i = 0; i < t->code_count; i++) {
        const CodeRow *row = &t->codes[i];
        sum += row->milliseconds;
        bytes += row->bytes;
        strbuf_printf(out, "%10.3f %8u %14u %9u  %s\n", row->milliseconds, row->bytes,
                      row->instructions, row->launches, row->kernel);
    }
    strbuf_printf(out, "%10.3f %8llu in all\n", sum, (unsigned long long)bytes);
}

void timing_text(const Timing *timing, StrBuf *out)
{
    head_text(timing, out);
    rows_text(timing, out);
    if (timing->code_count)
        codes_text(timing, out);
}

/* ---- JSON ---- */

static void member(StrBuf *out, const char *name)
{
    char last = out->length ? out->text[out->length - 1] : '{';
    strbuf_add(out, last == '{' ? "" : ", ");
    strbuf_add_json(out, name);
    strbuf_add(out, ": ");
}

static void add_number(StrBuf *out, const char *name, double value)
{
    member(out, name);
    strbuf_add_double(out, value);
}

static void add_text(StrBuf *out, const char *name, const char *value)
{
    member(out, name);
    strbuf_add_json(out, value);
}

static void add_row(StrBuf *out, const TimeRow *row)
{
    strbuf_add(out, "{");
    add_number(out, "ms", row->median * 1e3);
    add_number(out, "ms_least", row->seconds * 1e3);
    add_number(out, "calls", row->calls);
    add_number(out, "groups", row->groups);
    add_number(out, "flops", row->work.flops);
    add_number(out, "read_bytes", row->work.read_bytes);
    add_number(out, "written_bytes", row->work.written_bytes);
    add_number(out, "gflop_s", rate(row->work.flops, row->median));
    add_number(out, "gb_s", rate(bytes_of(row), row->median));
    add_text(out, "limit", limit_name(row));
    add_number(out, "limit_ms", row->limit * 1e3);
    add_number(out, "share", share(row->limit, row->median) / 100);
    add_text(out, "place", row->place);
    add_text(out, "source", row->source);
    add_text(out, "what", row->what);
    add_text(out, "kernel", row->kernel);
    strbuf_add(out, "}");
}

static void add_limits(const Timing *t, StrBuf *out)
{
    member(out, "limits");
    strbuf_add(out, "{");
    add_number(out, "gflop_s", t->peak.flops * 1e-9);
    for (int level = 0; level < LEVEL_COUNT; level++)
        add_number(out, peak_level_name((MemoryLevel)level), t->peak.bytes_second[level] * 1e-9);
    strbuf_add(out, "}");
}

static void add_codes(const Timing *t, StrBuf *out)
{
    member(out, "code");
    strbuf_add(out, "[");
    for (uint32_t i = 0; i < t->code_count; i++) {
        const CodeRow *row = &t->codes[i];
        strbuf_add(out, i ? ",\n {" : "\n {");
        add_text(out, "kernel", row->kernel);
        add_number(out, "compile_ms", row->milliseconds);
        add_number(out, "bytes", row->bytes);
        add_number(out, "instructions", row->instructions);
        add_number(out, "launches", row->launches);
        strbuf_add(out, "}");
    }
    strbuf_add(out, "]");
}

void timing_json(const Timing *t, StrBuf *out)
{
    strbuf_add(out, "{");
    add_text(out, "file", t->file);
    add_text(out, "block", t->block);
    add_text(out, "function", t->function);
    add_text(out, "cpu", t->cpu);
    add_number(out, "rows", (double)t->rows);
    add_number(out, "threads", t->peak.threads);
    add_number(out, "steps", t->steps);
    add_number(out, "step_ms", t->median * 1e3);
    add_number(out, "step_ms_least", t->seconds * 1e3);
    add_number(out, "roofline_ms", t->limit * 1e3);
    add_number(out, "compile_ms", t->code_ms);
    add_number(out, "compile_passes_ms", t->cost.passes);
    add_number(out, "compile_schedule_ms", t->cost.schedule);
    add_number(out, "compile_lower_ms", t->cost.lower);
    add_number(out, "compile_code_ms", t->cost.code);
    add_number(out, "compile_link_ms", t->cost.link);
    add_number(out, "objects", t->cost.objects);
    add_number(out, "objects_found", t->cost.found);
    add_number(out, "arena_bytes", (double)t->arena_bytes);
    add_number(out, "live_bytes", (double)t->live_bytes);
    add_number(out, "argument_bytes", (double)t->argument_bytes);
    add_number(out, "launches", t->launches);
    add_limits(t, out);
    member(out, "kernels");
    strbuf_add(out, "[");
    for (uint32_t i = 0; i < t->count; i++) {
        strbuf_add(out, i ? ",\n " : "\n ");
        add_row(out, &t->items[i]);
    }
    strbuf_add(out, "]");
    if (t->code_count)
        add_codes(t, out);
    strbuf_add(out, "}\n");
}
