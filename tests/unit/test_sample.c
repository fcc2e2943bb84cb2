/* Sample blocks through the public API and while training: texts with their prompts, pictures,
 * every refusal. */
#include "tests/support/api.h"
#include "tests/support/files.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *folder;

static void make_folder(void)
{
    folder = files_folder();
}

static void remove_folder(void)
{
    files_remove(folder);
}

TestSuite(sample, .init = make_folder, .fini = remove_folder);

/* The text goes on with the letter after the last one of the prompt, top_k times at most; the
 * picture is one row of four greys. */
static const char program_text[] =
    "from nn import Embedding, Linear\n"
    "from losses import cross_entropy\n"
    "from optim import sgd\n"
    "module Next(V: int) {\n"
    "    let embed = Embedding(V, 4)\n"
    "    let out = Linear(4, V)\n"
    "    fn (token: i32[B, T]) -> f32[B, T, V] { out(embed(token)) }\n"
    "}\n"
    "dataset letters {\n"
    "    source = text(\"%s/letters.txt\", window=8)\n"
    "}\n"
    "train next on letters {\n"
    "    model = Next(5)\n"
    "    loss = cross_entropy(model(token), next)\n"
    "    optimizer = sgd(lr=0.1)\n"
    "    batch = 4\n"
    "    steps = 3\n"
    "    sample {\n"
    "        every = 2\n"
    "        text = where(arange(8) < length, prompt, maximum(top_k, 0) %% 5)\n"
    "        images = f32([[0.0, 0.25, 0.75, 2.0]])\n"
    "    }\n"
    "}\n";

static nnc_program *parse(nnc_context *context, const nnc_program_options *options)
{
    char text[2048], path[512];
    snprintf(path, sizeof path, "%s/letters.txt", folder);
    files_write(path, "abcdeabcdeabcde", 15);
    snprintf(text, sizeof text, program_text, folder);
    return api_parse(context, text, options);
}

static nnc_trainer *train(nnc_context *context, nnc_program *program)
{
    nnc_trainer *trainer = NULL;
    char run[512];
    snprintf(run, sizeof run, "%s/run", folder);
    nnc_trainer_options options = {.size = sizeof options, .run_dir = run};
    cr_assert_eq(nnc_trainer_new(program, NULL, &options, &trainer), NNC_OK, "%s",
                 nnc_diagnostics(context, NNC_TEXT));
    cr_assert_eq(nnc_trainer_run(trainer), NNC_OK, "%s", nnc_diagnostics(context, NNC_TEXT));
    return trainer;
}

static void expect_text(nnc_context *context, nnc_model *model, nnc_sample_options options,
                        const char *expected)
{
    char path[512], *text = NULL;
    snprintf(path, sizeof path, "%s/a.png", folder);
    options.size = sizeof options;
    options.picture = path;
    cr_assert_eq(nnc_model_sample(model, &options, &text), NNC_OK, "%s",
                 nnc_diagnostics(context, NNC_TEXT));
    cr_assert_str_eq(text, expected);
    nnc_free(text);
}

static void expect_refusal(nnc_context *context, nnc_model *model, nnc_sample_options options,
                           const char *part)
{
    char *text = NULL;
    options.size = sizeof options;
    cr_expect_neq(nnc_model_sample(model, &options, &text), NNC_OK);
    cr_expect_null(text);
    cr_expect(strstr(nnc_diagnostics(context, NNC_TEXT), part) != NULL, "%s lacks %s",
              nnc_diagnostics(context, NNC_TEXT), part);
}

static void check_samples(const nnc_program_options *options)
{
    nnc_context *context = api_context(1);
    nnc_program *program = parse(context, options);
    nnc_trainer *trainer = train(context, program);
    nnc_model *model = NULL, *loaded = NULL;
    char path[512];
    cr_assert_eq(nnc_trainer_model(trainer, &model), NNC_OK);
    expect_text(context, model, (nnc_sample_options){.prompt = "ab", .tokens = 3, .top_k = 2},
                "abccc");
    expect_text(context, model, (nnc_sample_options){.prompt = "abcde", .tokens = 4, .top_k = 3},
                "abcdedddd");
    expect_text(context, model,
                (nnc_sample_options){.prompt = "abcdeabcdeabcde", .tokens = 11, .top_k = 1},
                "abcdeabcdeabcdebbbbbbbbbbb");
    expect_text(context, model, (nnc_sample_options){.tokens = 2, .top_k = 4}, "ee");
    snprintf(path, sizeof path, "%s/run/weights.safetensors", folder);
    cr_assert_eq(nnc_model_load(program, NULL, path, &loaded), NNC_OK, "%s",
                 nnc_diagnostics(context, NNC_TEXT));
    expect_text(context, loaded, (nnc_sample_options){.prompt = "e", .tokens = 1, .top_k = 1},
                "eb");
    snprintf(path, sizeof path, "%s/a.png", folder);
    expect_refusal(context, model, (nnc_sample_options){.prompt = "az", .picture = path}, "byte 1");
    expect_refusal(context, model, (nnc_sample_options){.temperature = -1, .picture = path},
                   "temperature");
    expect_refusal(context, model, (nnc_sample_options){.top_p = 2, .picture = path}, "top-p");
    expect_refusal(context, model, (nnc_sample_options){.top_k = 1}, "needs a path");
    nnc_model_release(loaded);
    nnc_model_release(model);
    nnc_trainer_release(trainer);
    nnc_program_release(program);
    nnc_context_release(context);
}

Test(sample, texts_go_on_from_their_prompts)
{
    check_samples(NULL);
}

Test(sample, texts_in_the_interpreter_and_in_f64)
{
    check_samples(&(nnc_program_options){
        .size = sizeof(nnc_program_options), .interpret = true, .f64 = true});
}

Test(sample, training_writes_samples)
{
    nnc_context *context = api_context(1);
    nnc_program *program = parse(context, NULL);
    nnc_trainer_release(train(context, program));
    char path[512];
    size_t length = 0;
    snprintf(path, sizeof path, "%s/run/samples/step-000002.png", folder);
    char *png = files_read(path, &length);
    cr_assert_not_null(png);
    cr_assert(length > 33 && memcmp(png + 1, "PNG", 3) == 0);
    cr_assert_eq(png[19], 4, "four pixels wide");
    cr_assert_eq(png[23], 1, "one pixel high");
    free(png);
    snprintf(path, sizeof path, "%s/run/samples/step-000002.txt", folder);
    char *text = files_read(path, &length);
    cr_assert_not_null(text);
    cr_assert_eq(length, 8, "as many tokens as the context has");
    free(text);
    nnc_program_release(program);
    nnc_context_release(context);
}

Test(sample, a_program_without_the_block_is_refused)
{
    nnc_context *context = api_context(1);
    nnc_program *program = api_parse(context, api_programs[0].text, NULL);
    nnc_model *model = NULL;
    cr_assert_eq(nnc_model_load(program, NULL, NULL, &model), NNC_OK);
    expect_refusal(context, model, (nnc_sample_options){.top_k = 1}, "has no sample block");
    nnc_model_release(model);
    nnc_program_release(program);
    nnc_context_release(context);
}
