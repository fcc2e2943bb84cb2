/* Code made ahead of time: the object and its header, compiled and linked into a C program that
 * knows nothing of nnc, give the bits of the JIT. */
#include "compiler/jit/aot.h"
#include "tests/support/kernel_programs.h"
#include "tests/support/kernel_run.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ROWS = 7 };

typedef struct {
    Arena *arena;
    char folder[32];
    const char *object, *header, *source, *program;
} Work;

static Work open_work(void)
{
    Work w = {.arena = arena_new(), .folder = "/tmp/nnc_aot_XXXXXX"};
    cr_assert(mkdtemp(w.folder));
    w.object = arena_format(w.arena, "%s/net.o", w.folder);
    w.header = arena_format(w.arena, "%s/net.h", w.folder);
    w.source = arena_format(w.arena, "%s/app.c", w.folder);
    w.program = arena_format(w.arena, "%s/app", w.folder);
    return w;
}

static void close_work(Work *w)
{
    remove(w->object), remove(w->header), remove(w->source), remove(w->program);
    rmdir(w->folder);
    arena_free(w->arena);
}

static const char app_begin[] =
    "#include \"net.h\"\n#include <stdio.h>\n#include <stdlib.h>\n"
    "int main(void) {\n"
    "    static float x[35], w[15], bias[3], y[21];\n"
    "    for (int i = 0; i < 35; i++) x[i] = (float)((i * 37) % 23 - 11) / 7;\n"
    "    for (int i = 0; i < 15; i++) w[i] = (float)((i * 13) % 9 - 4) / 3;\n"
    "    for (int i = 0; i < 3; i++) bias[i] = 0.25f * (float)(i - 1);\n"
    "    (void)w, (void)bias;\n";
static const char app_end[] = "    fwrite(y, sizeof(float), 21, stdout);\n    return 0;\n}\n";

/* Compiles the program around `calls` and gives what it prints. */
static void run_app(Work *w, const char *calls, float *y)
{
    FILE *source = fopen(w->source, "w");
    cr_assert(source);
    fprintf(source, "%s%s%s", app_begin, calls, app_end);
    fclose(source);
    const char *command =
        arena_format(w->arena, "cc -std=c99 -pedantic -Wall -Wextra -Werror -o %s %s %s -lm",
                     w->program, w->source, w->object);
    cr_assert_eq(system(command), 0, "%s", command);
    FILE *out = popen(w->program, "r");
    cr_assert(out && fread(y, sizeof *y, 21, out) == 21);
    cr_assert_eq(pclose(out), 0);
}

static void jit_result(float *y)
{
    Arena *arena = arena_new();
    KernelRun run = {.dims = {ROWS}};
    run.program = *small_network(arena, "net", false);
    kernel_run_program(&run, arena);
    float x[35], w[15], bias[3];
    for (int i = 0; i < 35; i++) {
        x[i] = (float)((i * 37) % 23 - 11) / 7;
    }
    for (int i = 0; i < 15; i++) {
        w[i] = (float)((i * 13) % 9 - 4) / 3;
    }
    for (int i = 0; i < 3; i++) {
        bias[i] = 0.25F * (float)(i - 1);
    }
    _Alignas(64) char memory[ROWS * 12];
    void *buffers[4] = {x, w, bias, y};
    nnc_call call = {.dims = run.dims,
                     .table = run.table,
                     .buffers = buffers,
                     .arena = memory,
                     .failures = run.failures};
    run.step(&call);
    kernel_run_close(&run);
    arena_free(arena);
}

Test(aot, a_program_without_nnc_gets_the_bits_of_the_jit)
{
    Work w = open_work();
    char *error = NULL;
    float wanted[21], y[21];
    jit_result(wanted);
    cr_assert(aot_write(small_network(w.arena, "net", false), &(AotOptions){0}, w.object, w.header,
                        &error),
              "%s", error);
    run_app(
        &w,
        "    net_params params = {w, bias};\n    void *space = malloc((size_t)net_workspace(7));\n"
        "    if (net_forward(&params, 7, x, y, (char *)space)) return 1;\n    free(space);\n",
        y);
    cr_assert(memcmp(y, wanted, sizeof y) == 0);
    close_work(&w);
}

Test(aot, weights_may_live_in_the_object)
{
    Work w = open_work();
    char *error = NULL;
    float wanted[21], y[21], weights[15], bias[3];
    jit_result(wanted);
    for (int i = 0; i < 15; i++) {
        weights[i] = (float)((i * 13) % 9 - 4) / 3;
    }
    for (int i = 0; i < 3; i++) {
        bias[i] = 0.25F * (float)(i - 1);
    }
    AotOptions options = {.name = "my net",
                          .weights = (const void *const[]){NULL, weights, bias, NULL},
                          .weight_bytes = (const size_t[]){0, sizeof weights, sizeof bias, 0}};
    cr_assert(aot_write(small_network(w.arena, "net", false), &options, w.object, w.header, &error),
              "%s", error);
    run_app(&w,
            "    static char space[4096];\n    if (my_net_workspace(7) > 4000) return 2;\n"
            "    if (my_net_forward(7, x, y, space + 3)) return 1;\n",
            y);
    cr_assert(memcmp(y, wanted, sizeof y) == 0);
    close_work(&w);
}

Test(aot, any_names_make_a_sound_header)
{
    Work w = open_work();
    char *error = NULL;
    float wanted[21], y[21];
    jit_result(wanted);
    KProgram *program = small_network(w.arena, "double", false);
    program->dims.data[0] = "int";
    program->buffers.data[0].name = "blocks[0].w";
    program->buffers.data[1].name = "blocks.0..w";
    program->buffers.data[2].name = "3 */ #error";
    program->buffers.data[3].name = "double_plan";
    cr_assert(aot_write(program, &(AotOptions){0}, w.object, w.header, &error), "%s", error);
    run_app(&w,
            "    double_params params = {w, bias};\n    void *space = "
            "malloc((size_t)double_workspace(7));\n"
            "    if (double_forward(&params, 7, x, y, space)) return 1;\n    free(space);\n",
            y);
    cr_assert(memcmp(y, wanted, sizeof y) == 0);
    close_work(&w);
}

Test(aot, a_failing_check_is_returned)
{
    Work w = open_work();
    char *error = NULL;
    float y[21];
    KProgram *program = small_network(w.arena, "net", false);
    Kernel *kernel = program->kernels.data[1];
    KBuilder b = kernel_builder(kernel);
    kir_fail(&b, 2, kir_binary(&b, K_LT, kir_index(&b, 3), kernel->body->args.data[1]),
             kir_index(&b, 0));
    program->failure_sites = 4;
    cr_assert(aot_write(program, &(AotOptions){0}, w.object, w.header, &error), "%s", error);
    run_app(
        &w,
        "    net_params params = {w, bias};\n    void *space = malloc((size_t)net_workspace(7));\n"
        "    if (net_forward(&params, 7, x, y, space) != 3) return 1;\n"
        "    if (net_forward(&params, 3, x, y, space) != 0) return 1;\n    free(space);\n",
        y);
    close_work(&w);
}

Test(aot, what_cannot_be_done_is_said_and_leaves_no_file)
{
    Work w = open_work();
    char *error = NULL;
    struct stat info;
    cr_assert(!aot_write(small_network(w.arena, "net", true), &(AotOptions){0}, w.object, w.header,
                         &error));
    cr_assert(strstr(error, "host function") && stat(w.object, &info) != 0);
    free(error);
    error = NULL;
    cr_assert(!aot_write(small_network(w.arena, "net", false), &(AotOptions){0}, w.object,
                         "/nonexistent/net.h", &error));
    cr_assert(strstr(error, "/nonexistent/net.h") && stat(w.object, &info) != 0, "%s", error);
    free(error);
    error = NULL;
    cr_assert(!aot_write(small_network(w.arena, "net", false), &(AotOptions){.cpu = "z80"},
                         w.object, w.header, &error));
    cr_assert(strstr(error, "z80"));
    free(error);
    close_work(&w);
}
