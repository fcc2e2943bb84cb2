/* nnc time: work of groups counted by hand on small graphs, a report in both formats, a trace that
 * is JSON, and every function of every small program of tests/support/api.c measured. */
#include "compiler/schedule/work.h"
#include "runtime/tensor/json.h"
#include "tests/support/api.h"
#include "tests/support/files.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *graph;
    double flops, read, written; /* of all groups at B = 4 */
} WorkCase;

/* A convolution of 4 elements with 3 taps and padding of 1 has 10 terms that meet an element. */
static const WorkCase work_cases[] = {
    {"graph g {\n %0 = input {x} : f32[B, 3]\n %1 = param {w} : f32[3, 5]\n"
     " %2 = dot %0 %1 {contract = 1:0} : f32[B, 5]\n output y = %2\n}\n",
     2 * 4 * 3 * 5, 4 * (4 * 3 + 3 * 5), 4 * 4 * 5},
    {"graph g {\n %0 = input {x} : f32[B, 8]\n %1 = slice %0 {[0:B:1, 0:2:1]} : f32[B, 2]\n"
     " %2 = mul %1 %1 : f32[B, 2]\n output y = %2\n}\n",
     4 * 2, 4 * 4 * 2, 4 * 4 * 2},
    {"graph g {\n %0 = input {x} : f32[100, 8]\n %1 = input {i} : i32[B]\n"
     " %2 = gather %0 %1 {0} : f32[B, 8]\n output y = %2\n}\n",
     0, 4 * 4 * 8 + 4 * 4, 4 * 4 * 8},
    {"graph g {\n %0 = input {x} : f32[B, 8]\n %1 = sum %0 {1} : f32[B]\n"
     " output y = %1\n}\n",
     4 * 8, 4 * 4 * 8, 4 * 4},
    {"graph g {\n %0 = input {x} : f32[1, B, 4, 2]\n %1 = param {w} : f32[1, 3, 2, 6]\n"
     " %2 = conv %0 %1 {stride = [1], pad = [1:1], dilate_x = [1], dilate_y = [1]} : "
     "f32[1, B, 4, 6]\n output y = %2\n}\n",
     2 * 4 * 10 * 2 * 6, 4 * (4 * 4 * 2 + 3 * 2 * 6), 4 * 4 * 4 * 6},
};

static Work work_of(const char *text)
{
    Arena *arena = arena_new();
    char *error = NULL;
    DimTable *dims = dim_table_new(arena);
    Graph *graph = graph_read(arena, dims, text, &error);
    cr_assert_not_null(graph, "%s in\n%s", error, text);
    Schedule *schedule =
        schedule_build(arena, graph, &(ScheduleOptions){.fuse = true, .plan = true});
    const int64_t symbols[4] = {4, 4, 4, 4};
    Work *works = schedule_work(arena, schedule, symbols), sum = {0};
    for (uint32_t g = 0; g < schedule->groups.count; g++) {
        sum.flops += works[g].flops;
        sum.read_bytes += works[g].read_bytes;
        sum.written_bytes += works[g].written_bytes;
    }
    arena_free(arena);
    return sum;
}

Test(time, work_of_groups)
{
    for (size_t i = 0; i < sizeof work_cases / sizeof *work_cases; i++) {
        const WorkCase *c = &work_cases[i];
        Work work = work_of(c->graph);
        cr_expect_eq(work.flops, c->flops, "%g operations of\n%s", work.flops, c->graph);
        cr_expect_eq(work.read_bytes, c->read, "%g bytes read of\n%s", work.read_bytes, c->graph);
        cr_expect_eq(work.written_bytes, c->written, "%g written of\n%s", work.written_bytes,
                     c->graph);
    }
}

static bool is_json(const char *text, size_t length)
{
    Arena *arena = arena_new();
    Json json = {.at = text, .end = text + length, .arena = arena};
    bool good = json_skip(&json) && json_at_end(&json);
    arena_free(arena);
    return good;
}

static char *time_program(nnc_program *program, const nnc_time_options *options)
{
    char *text = NULL;
    nnc_status status = nnc_program_time(program, NULL, options, &text);
    cr_assert_eq(status, NNC_OK, "%s", nnc_status_text(status));
    return text;
}

Test(time, every_function_of_every_program)
{
    static const char *const functions[] = {"train", "eval", "predict", "forward"};
    nnc_context *context = api_context(2);
    for (const ApiProgram *p = api_programs; p->name; p++) {
        nnc_program *program = api_parse(context, p->text, NULL);
        for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
            nnc_time_options options = {.size = sizeof options,
                                        .function = functions[i],
                                        .steps = 2,
                                        .format = NNC_JSON};
            char *text = NULL;
            nnc_status status = nnc_program_time(program, NULL, &options, &text);
            cr_expect_eq(status, NNC_OK, "%s of %s: %s", functions[i], p->name,
                         nnc_diagnostics(context, NNC_TEXT));
            cr_expect(!text || is_json(text, strlen(text)), "%s", text);
            nnc_free(text);
        }
        nnc_program_release(program);
    }
    nnc_context_release(context);
}

Test(time, report_code_and_trace)
{
    char *folder = files_folder(), *path = files_path(folder, "trace.json");
    nnc_context *context = api_context(2);
    nnc_program *program = api_parse(context, api_programs[0].text, NULL);
    nnc_time_options options = {
        .size = sizeof options, .steps = 1, .compile = true, .trace = path};
    char *text = time_program(program, &options);
    cr_expect_not_null(strstr(text, "GFLOP/s"));
    cr_expect_not_null(strstr(text, "roofline"));
    cr_expect_not_null(strstr(text, "compile ms"));
    size_t length;
    char *trace = files_read(path, &length);
    cr_expect(is_json(trace, length), "%s", trace);
    cr_expect_not_null(strstr(trace, "\"ph\": \"X\""));
    free(trace);
    nnc_free(text);
    nnc_program_release(program);
    nnc_context_release(context);
    free(path);
    files_remove(folder);
}

Test(time, refuses)
{
    nnc_context *context = api_context(1);
    nnc_program *program = api_parse(context, api_programs[0].text, NULL);
    nnc_time_options options = {.size = sizeof options, .function = "apply"};
    char *text = NULL;
    cr_expect_eq(nnc_program_time(program, NULL, &options, &text), NNC_ARGUMENT);
    options = (nnc_time_options){.size = sizeof options, .steps = -1};
    cr_expect_eq(nnc_program_time(program, NULL, &options, &text), NNC_ARGUMENT);
    options = (nnc_time_options){
        .size = sizeof options, .steps = 1, .trace = "/no/such/folder/trace.json"};
    cr_expect_eq(nnc_program_time(program, NULL, &options, &text), NNC_DATA);
    cr_expect_null(text);
    nnc_program_release(program);
    nnc_context_release(context);
}
