/* nnc_program_compile: the object and the header, linked by the C compiler into a program that
 * knows nothing of nnc, give the bits of nnc_session_run; weights may be arguments or part of the
 * object. */
#include "runtime/base/strbuf.h"
#include "tests/support/api.h"
#include "tests/support/files.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROWS = 5 };

static const char mnist[] =
    "from nn import Conv2d, Linear, relu, max_pool, flatten\nfrom losses import "
    "cross_entropy\nfrom optim import adam\n"
    "module CNN(classes: int = 10) {\n"
    "    let conv1 = Conv2d(1, 32, k=3)\n    let conv2 = Conv2d(32, 64, k=3)\n"
    "    let fc1   = Linear(64*5*5, 128)\n    let fc2   = Linear(128, classes)\n"
    "    fn (x: f32[B, 1, 28, 28]) -> f32[B, classes] {\n"
    "        x |> conv1 |> relu |> max_pool(2)\n          |> conv2 |> relu |> max_pool(2)\n"
    "          |> flatten |> fc1 |> relu |> fc2\n    }\n}\n"
    "dataset digits {\n    source = arrays(x=rand(4, 1, 28, 28, seed=1))\n    fields = [x: f32[1, "
    "28, 28]]\n"
    "    fn map(x) -> (x: f32[1, 28, 28], label: i32) { (x, i32(x[0, 0, 0] > 0.5)) }\n}\n"
    "train mnist on digits {\n    model = CNN()\n    loss = cross_entropy(model(x), label)\n    "
    "optimizer = adam()\n}\n";

typedef struct {
    char *folder, *object, *header, *weights, *input, *values, *source, *app;
    nnc_context *context;
    nnc_program *program;
} Work;

static Work open_work(const char *text)
{
    Work w = {.folder = files_folder(), .context = api_context(1)};
    w.object = files_path(w.folder, "net.o");
    w.header = files_path(w.folder, "net.h");
    w.weights = files_path(w.folder, "net.safetensors");
    w.input = files_path(w.folder, "x.bin");
    w.values = files_path(w.folder, "w.bin");
    w.source = files_path(w.folder, "app.c");
    w.app = files_path(w.folder, "app");
    w.program = api_parse(w.context, text, NULL);
    return w;
}

static void close_work(Work *w)
{
    nnc_program_release(w->program);
    nnc_context_release(w->context);
    free(w->object), free(w->header), free(w->weights), free(w->input), free(w->values),
        free(w->source), free(w->app);
    files_remove(w->folder);
}

/* A trained model: its running statistics are no longer those of the beginning. */
static nnc_model *trained_model(Work *w)
{
    nnc_trainer *trainer = NULL;
    nnc_model *model = NULL;
    nnc_trainer_options options = {.size = sizeof options, .save = w->weights};
    cr_assert_eq(nnc_trainer_new(w->program, NULL, &options, &trainer), NNC_OK, "%s",
                 nnc_diagnostics(w->context, NNC_TEXT));
    cr_assert_eq(nnc_trainer_run(trainer), NNC_OK);
    cr_assert_eq(nnc_trainer_model(trainer, &model), NNC_OK);
    nnc_trainer_release(trainer);
    return model;
}

/* Writes the f32 tensors of the model one after the other; assigns to the fields of the header's
 * struct in C. */
static char *write_values(Work *w, nnc_model *model)
{
    StrBuf values = {0}, code = {0};
    size_t length;
    char *header = files_read(w->header, &length), field[128];
    for (size_t i = 0; i < nnc_model_tensor_count(model); i++) {
        nnc_tensor *tensor = NULL;
        const char *name = nnc_model_tensor_name(model, i);
        cr_assert_eq(nnc_model_tensor(model, name, &tensor), NNC_OK);
        snprintf(field, sizeof field, "*%s;", name);
        for (char *c = field; *c; c++)
            if (*c == '.')
                *c = '_';
        if (strstr(header, field)) {
            field[strlen(field) - 1] = 0;
            strbuf_printf(&code, "    params.%s = w + %zu;\n", field + 1,
                          values.length / sizeof(float));
            strbuf_add_bytes(&values, nnc_tensor_data(tensor),
                             (size_t)nnc_tensor_elements(tensor) * sizeof(float));
        }
        nnc_tensor_release(tensor);
    }
    files_write(w->values, values.text, values.length);
    strbuf_free(&values);
    free(header);
    return code.text;
}

static void write_app(const Work *w, size_t inputs, size_t outputs, const char *fields)
{
    StrBuf text = {0};
    strbuf_printf(&text,
                  "#include \"net.h\"\n#include <stdio.h>\n#include <stdlib.h>\n"
                  "static float x[%zu], y[%zu], w[300000];\n"
                  "static int load(const char *path, float *to, size_t most) {\n"
                  "    FILE *file = fopen(path, \"rb\");\n    size_t got = file ? fread(to, 4, "
                  "most, file) : 0;\n"
                  "    return file && fclose(file) == 0 && got > 0;\n}\n"
                  "int main(void) {\n    void *space = malloc((size_t)net_workspace(%d));\n"
                  "    if (!load(\"%s\", x, %zu)) return 2;\n",
                  inputs, outputs, ROWS, w->input, inputs);
    if (fields)
        strbuf_printf(&text,
                      "    net_params params;\n    if (!load(\"%s\", w, 300000)) return 3;\n%s",
                      w->values, fields);
    else
        strbuf_add(&text, "    (void)w;\n");
    strbuf_printf(&text,
                  "    if (net_forward(%s%d, x, y, space)) return 4;\n    free(space);\n"
                  "    return fwrite(y, 4, %zu, stdout) == %zu ? 0 : 5;\n}\n",
                  fields ? "&params, " : "", ROWS, outputs, outputs);
    files_write(w->source, text.text, text.length);
    strbuf_free(&text);
}

static void build_and_run(const Work *w, float *y, size_t outputs)
{
    StrBuf command = {0};
    strbuf_printf(&command, "cc -std=c99 -pedantic -Wall -Wextra -Werror -o %s %s %s -lm", w->app,
                  w->source, w->object);
    cr_assert_eq(system(command.text), 0, "%s", command.text);
    FILE *out = popen(w->app, "r");
    cr_assert_not_null(out);
    size_t got = fread(y, sizeof *y, outputs, out);
    cr_assert_eq(pclose(out), 0);
    cr_assert_eq(got, outputs);
    strbuf_free(&command);
}

/* What the object leaves undefined: nothing but memory functions and libm. */
static void expect_few_symbols(const Work *w)
{
    static const char *const allowed[] = {"memcpy", "memset", "memmove", "_GLOBAL_OFFSET_TABLE_",
                                          "fma",    "fmaf",   "floor",   "floorf",
                                          "sqrt",   "sqrtf"};
    StrBuf command = {0};
    char line[256];
    strbuf_printf(&command, "nm -u %s", w->object);
    FILE *out = popen(command.text, "r");
    cr_assert_not_null(out);
    while (fgets(line, sizeof line, out)) {
        char kind, name[200];
        bool known = sscanf(line, " %c %199s", &kind, name) != 2;
        for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++)
            known = known || strcmp(name, allowed[i]) == 0;
        cr_expect(known, "the object wants %s", name);
    }
    pclose(out);
    strbuf_free(&command);
}

static void compile(Work *w, bool embed)
{
    nnc_compile_options options = {
        .size = sizeof options, .name = "net", .weights = embed ? w->weights : NULL};
    cr_assert_eq(nnc_program_compile(w->program, NULL, w->object, &options), NNC_OK, "%s",
                 nnc_diagnostics(w->context, NNC_TEXT));
    expect_few_symbols(w);
}

static void expect_bits(const char *text, int rank, const int64_t *sizes)
{
    Work w = open_work(text);
    nnc_model *model = trained_model(&w);
    nnc_session *session = NULL;
    nnc_tensor *input = api_input(rank, sizes, 9), *output = NULL;
    cr_assert_eq(nnc_session_new(model, &session), NNC_OK);
    cr_assert_eq(nnc_session_run(session, &input, &output), NNC_OK);
    size_t inputs = (size_t)nnc_tensor_elements(input),
           outputs = (size_t)nnc_tensor_elements(output);
    files_write(w.input, nnc_tensor_data(input), inputs * sizeof(float));
    float *y = malloc(outputs * sizeof *y);
    for (int embed = 0; embed < 2; embed++) {
        compile(&w, embed);
        char *fields = embed ? NULL : write_values(&w, model);
        write_app(&w, inputs, outputs, fields);
        build_and_run(&w, y, outputs);
        cr_expect(memcmp(y, nnc_tensor_data(output), outputs * sizeof *y) == 0, "%s: %g and %g",
                  embed ? "embedded" : "argument", y[0], ((float *)nnc_tensor_data(output))[0]);
        free(fields);
    }
    free(y);
    nnc_tensor_release(input);
    nnc_tensor_release(output);
    nnc_session_release(session);
    nnc_model_release(model);
    close_work(&w);
}

Test(compile, dense)
{
    expect_bits(api_text("mlp"), 2, (int64_t[]){ROWS, 5});
}

Test(compile, batch_norm)
{
    expect_bits(api_text("cnn"), 4, (int64_t[]){ROWS, 1, 8, 8});
}

Test(compile, mnist_cnn)
{
    expect_bits(mnist, 4, (int64_t[]){ROWS, 1, 28, 28});
}

Test(compile, what_cannot_be_written)
{
    Work w = open_work(api_text("mlp"));
    cr_expect_eq(nnc_program_compile(w.program, "other", w.object, NULL), NNC_PROGRAM);
    cr_expect_eq(nnc_program_compile(w.program, NULL, NULL, NULL), NNC_ARGUMENT);
    cr_expect_eq(nnc_program_compile(w.program, NULL, w.object, &(nnc_compile_options){0}),
                 NNC_ARGUMENT);
    cr_expect_eq(nnc_program_compile(w.program, NULL, "/nonexistent/net.o", NULL), NNC_DATA);
    cr_expect(strstr(nnc_diagnostics(w.context, NNC_TEXT), "/nonexistent/net.o") != NULL);
    nnc_compile_options options = {.size = sizeof options, .weights = "/nonexistent.safetensors"};
    cr_expect_eq(nnc_program_compile(w.program, NULL, w.object, &options), NNC_DATA);
    cr_expect(access(w.object, F_OK) != 0, "nothing is left behind");
    close_work(&w);
}

/* Takes batches of a multiple of 5 rows. */
static const char open_sizes[] =
    "from nn import Linear\nfrom losses import mse\nfrom optim import sgd\n"
    "module Net { let fc = Linear(3, 2)\n fn (x: f32[B, 3]) -> f32[B, 2] {\n"
    "  let a = reshape(fc(x), B//5, 10)\n"
    "  reshape(a * 2.0, -1, 2) } }\n"
    "dataset d { source = arrays(x=rand(20, 3, seed=1), y=rand(20, 2, seed=2))\n fields = [x: "
    "f32[3], y: f32[2]] }\n"
    "train t on d { model = Net()\n loss = mse(model(x), y)\n optimizer = sgd(lr=0.01)\n batch = 5 "
    "}\n";

Test(compile, open_relations_of_sizes_are_checked_by_the_call)
{
    expect_bits(open_sizes, 2, (int64_t[]){ROWS, 3});
    Work w = open_work(open_sizes);
    nnc_model_release(trained_model(&w));
    compile(&w, true);
    StrBuf text = {0};
    strbuf_printf(&text,
                  "#include \"net.h\"\nint main(void) {\n    static float x[64], y[64];\n"
                  "    static char space[65536];\n"
                  "    if (net_workspace(%d + 1) != -1) return 2;\n"
                  "    if (net_workspace(2*%d) < 0 || net_workspace(2*%d) > 65536) return 3;\n"
                  "    if (net_forward(%d + 1, x, y, space) != net_CHECKS + 1) return 4;\n"
                  "    return net_forward(2*%d, x, y, space);\n}\n",
                  ROWS, ROWS, ROWS, ROWS, ROWS);
    files_write(w.source, text.text, text.length);
    strbuf_free(&text);
    build_and_run(&w, NULL, 0);
    close_work(&w);
}
