/* A step as a trace, in the Trace Event Format that viewers of Chrome traces read:
 *
 *   {"traceEvents": [{"name": "conv", "ph": "X", "ts": 12.5, "dur": 3.1, "pid": 1, "tid": 1, ..}]}
 *
 * Times are in microseconds. Thread 0 shows whole launches, the others the chunks of each
 * thread. */
#include "compiler/driver/timing.h"

static const char *launch_name(const KProgram *program, uint32_t at)
{
    const Launch *launch = &program->launches.data[at];
    return launch->is_extern ? program->externs.data[launch->kernel]
                             : program->kernels.data[launch->kernel]->name;
}

static void name_lane(StrBuf *out, int lane, const char *name)
{
    strbuf_printf(out,
                  "{\"name\": \"thread_name\", \"ph\": \"M\", \"pid\": 1, \"tid\": %d, \"args\": "
                  "{\"name\": ",
                  lane);
    strbuf_add_json(out, name);
    strbuf_add(out, "}},\n");
}

void timing_trace(const Profile *profile, const Stages *stages, const SourceMap *sources,
                  StrBuf *out)
{
    uint32_t count;
    int lanes = 0;
    const ProfileSlice *slices = profile_slices(profile, &count);
    Arena *arena = arena_new();
    for (uint32_t i = 0; i < count; i++)
        lanes = slices[i].lane + 1 > lanes ? slices[i].lane + 1 : lanes;
    strbuf_add(out, "{\"displayTimeUnit\": \"ms\", \"traceEvents\": [\n");
    name_lane(out, 0, "launches");
    for (int lane = 0; lane < lanes; lane++)
        name_lane(out, lane + 1, arena_format(arena, "thread %d", lane));
    for (uint32_t i = 0; i < count; i++) {
        const ProfileSlice *slice = &slices[i];
        Span span = group_span(stages->launch_groups[slice->launch]);
        strbuf_add(out, "{\"name\": ");
        strbuf_add_json(out, launch_name(stages->program, slice->launch));
        strbuf_printf(out, ", \"ph\": \"X\", \"pid\": 1, \"tid\": %d, \"ts\": %.3f, \"dur\": %.3f",
                      slice->lane + 1, slice->begin * 1e6, (slice->end - slice->begin) * 1e6);
        strbuf_printf(out, ", \"args\": {\"launch\": %u, \"place\": ", slice->launch);
        strbuf_add_json(out, timing_place(arena, sources, span));
        strbuf_add(out, i + 1 < count ? "}},\n" : "}}\n");
    }
    if (count == 0)
        strbuf_add(out, "{\"name\": \"nothing\", \"ph\": \"M\", \"pid\": 1}\n");
    strbuf_add(out, "]}\n");
    arena_free(arena);
}
