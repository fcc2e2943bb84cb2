/* The command as its users meet it: pages, exit codes, refused arguments, a run, evaluation,
 * prediction, dumps. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct {
    int code;
    char out[262144];
} Result;

/* Standard output and standard error together; `input` is standard input in the escapes of
 * printf. */
static Result *run_with(const char *input, const char *arguments)
{
    char command[4096];
    Result *result = calloc(1, sizeof *result);
    snprintf(command, sizeof command,
             "cd \"$NNC_TEST_FOLDER\" && printf '%s' | " NNC_BINARY_DIR "/nnc %s 2>&1", input,
             arguments);
    FILE *pipe = popen(command, "r");
    cr_assert_not_null(pipe);
    size_t length = fread(result->out, 1, sizeof result->out - 1, pipe);
    result->out[length] = 0;
    int status = pclose(pipe);
    result->code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return result;
}

static Result *run(const char *arguments)
{
    return run_with("", arguments);
}

static void expect_with(const char *input, const char *arguments, int code, const char *part)
{
    Result *result = run_with(input, arguments);
    cr_expect_eq(result->code, code, "nnc %s ended with %d: %s", arguments, result->code,
                 result->out);
    cr_expect(strstr(result->out, part) != NULL, "nnc %s does not say \"%s\": %s", arguments, part,
              result->out);
    free(result);
}

static void expect(const char *arguments, int code, const char *part)
{
    expect_with("", arguments, code, part);
}

static void make_folder(void)
{
    static char folder[64];
    strcpy(folder, "/tmp/nnc-cli-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    setenv("NNC_TEST_FOLDER", folder, 1);
    setenv("NNC_CACHE", "off", 1); /* a user's cache decides nothing here */
}

static void remove_folder(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", getenv("NNC_TEST_FOLDER"));
    cr_expect_eq(system(command), 0);
}

TestSuite(cli, .init = make_folder, .fini = remove_folder);

#define SIMPLE NNC_SOURCE_DIR "/examples/simple.nn"

Test(cli, pages)
{
    expect("--version", 0, "nnc 0.1.0");
    expect("--help", 0, "train");
    expect("run --help", 0, "--run-dir");
    expect("explain E0312", 0, "shape");
    expect("explain E9999", 1, "no error code");
}

Test(cli, refuses_what_it_does_not_know)
{
    expect("", 1, "Commands");
    expect("rnu x.nn", 1, "did you mean run");
    expect("run " SIMPLE " --sede 3", 1, "did you mean --seed");
    expect("run " SIMPLE " --seed x", 1, "whole number");
    expect("run " SIMPLE " --float=f16", 1, "f16 is not one of");
    expect("check " SIMPLE " --weights x", 1, "takes no option --weights");
    expect("run nothing.nn", 2, "cannot read nothing.nn");
    expect("run " SIMPLE " nosuchblock", 1, "no train block named nosuchblock");
    expect("run " SIMPLE " --set train.epoch=3", 1, "epochs");
    expect("eval " SIMPLE, 2, "no weights");
}

Test(cli, runs_evaluates_and_predicts)
{
    expect("run " SIMPLE " --set train.epochs=3 --run-dir runs/simple-simple-1", 0,
           "weights: runs/simple-simple-1/weights.safetensors");
    expect("eval " SIMPLE, 0, "loss");
    Result *result = run_with("x0,x1,x2\\n0.5,0.25,-1\\n1 2 3\\n", "predict " SIMPLE " -");
    cr_expect_eq(result->code, 0, "%s", result->out);
    double a[2], b[2];
    const char *rows = strchr(result->out, '\n'); /* the first line says which weights */
    cr_assert_not_null(rows, "%s", result->out);
    cr_expect_eq(sscanf(rows, "%lf,%lf %lf,%lf", &a[0], &a[1], &b[0], &b[1]), 4, "%s", result->out);
    free(result);
    expect_with("1,2\\n", "predict " SIMPLE " -", 2, "too few numbers");
    expect_with("1,2,x\\n", "predict " SIMPLE " -", 2, "not a number: x");
}

/* Whole numbers keep all their digits, and a number that an input cannot hold is refused. */
Test(cli, predicts_whole_numbers)
{
    static const char program[] =
        "from nn import Linear\n"
        "from optim import sgd\n"
        "dataset d { source = arrays(k=randint(-5, 9, 4, 2, seed=2)); fields = [k: i32[2]] }\n"
        "module M { let fc = Linear(2, 1); fn (k: i32[B, 2]) { fc(f32(k))[:, 0] } }\n"
        "train t on d { model = M(); loss = model(k); optimizer = sgd()\n"
        "    predict = (i64(k) * 1000000007, k > 0, 0.0 / (f32(k[:, 0]) * 0.0)) }\n";
    char path[128];
    snprintf(path, sizeof path, "%s/counts.nn", getenv("NNC_TEST_FOLDER"));
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    fputs(program, file);
    fclose(file);
    expect("run counts.nn --save w.safetensors", 0, "weights: w.safetensors");
    expect("run counts.nn --init w.safetensors", 0,
           "initial weights from w.safetensors: 2 of 2 tensors taken\n");
    expect_with("k,k\\n-2147483648 7\n", "predict counts.nn --weights w.safetensors -", 0,
                "-2147483663032385536,7000000049,0,1,nan\n");
    expect_with("1 2.5\n", "predict counts.nn --weights w.safetensors -", 2, "not an i32: 2.5");
    expect_with("1 2147483648\n", "predict counts.nn --weights w.safetensors -", 2,
                "not an i32: 2147483648");
}

/* The rows that a run kept from training are the same ones later, and so are the numbers of the
 * categories. */
Test(cli, evaluates_on_the_rows_of_the_run)
{
    char source[64], command[512];
    Result *trained =
        run("run " NNC_SOURCE_DIR "/examples/iris.nn --seed 5 --set train.epochs=2 --run-dir r5");
    const char *line = strstr(trained->out, "test   loss");
    cr_assert_not_null(line, "%s", trained->out);
    snprintf(source, sizeof source, "%.*s", (int)strcspn(line, "\n"), line);
    expect("eval " NNC_SOURCE_DIR "/examples/iris.nn --weights r5/weights.safetensors", 0, source);
    free(trained);
    snprintf(command, sizeof command,
             "cd \"$NNC_TEST_FOLDER\" && mkdir data && cp " NNC_SOURCE_DIR "/examples/iris.nn . && "
             "grep -v setosa " NNC_SOURCE_DIR "/examples/data/iris.csv > data/iris.csv");
    cr_assert_eq(system(command), 0);
    expect("eval iris.nn --weights r5/weights.safetensors", 2, "E0611");
}

Test(cli, writes_a_stream_of_objects)
{
    Result *result = run("run " SIMPLE " --json=steps --set train.epochs=2");
    cr_expect_eq(result->code, 0, "%s", result->out);
    for (char *line = strtok(result->out, "\n"); line; line = strtok(NULL, "\n"))
        cr_expect(strncmp(line, "{\"event\":\"", 10) == 0 && line[strlen(line) - 1] == '}', "%s",
                  line);
    free(result);
}

/* The loss of the only step is still finite; what it does to the weights is not. */
Test(cli, one_step_too_far)
{
    Result *result = run("run " SIMPLE " --set train.epochs=1 --set 'train.optimizer=sgd(lr=1e38)' --run-dir far");
    cr_expect_eq(result->code, 3, "%s", result->out);
    cr_expect(strstr(result->out, "is not finite after step 1") != NULL, "%s", result->out);
    free(result);
}

/* Runs a long training, sends the signal when an epoch is done, and prints how it ended. */
static void interrupt(const char *name, const char *signal, int code)
{
    char command[1024], expected[64];
    snprintf(command, sizeof command,
             "cd \"$NNC_TEST_FOLDER\" && { " NNC_BINARY_DIR "/nnc run " SIMPLE
             " --set train.epochs=3000000 --seed 4 --run-dir '%s' > out.txt 2>&1 & p=$!; "
             "while ! grep -q '\"epoch\"' '%s/log.jsonl' 2>/dev/null; do sleep 0.02; done; "
             "kill -%s $p; wait $p; echo \"code $?\" >> out.txt; }; cat out.txt",
             name, name, signal);
    FILE *pipe = popen(command, "r");
    cr_assert_not_null(pipe);
    static char out[262144];
    out[fread(out, 1, sizeof out - 1, pipe)] = 0;
    pclose(pipe);
    snprintf(expected, sizeof expected, "code %d\n", code);
    cr_expect(strstr(out, expected) != NULL, "not %s: %s", expected, out);
    snprintf(command, sizeof command,
             "interrupted; this goes on:\n  nnc run " SIMPLE
             " simple --seed=4 --set=train.epochs=3000000 --resume --run-dir %s\n",
             strchr(name, ' ') ? "'it is'" : name);
    cr_expect(strstr(out, command) != NULL, "no \"%s\": %s", command, out);
}

Test(cli, interrupted_runs_say_how_to_go_on, .timeout = 120)
{
    interrupt("a", "INT", 130);
    interrupt("it is", "TERM", 143);
    expect("eval " SIMPLE " --weights a/checkpoints/last", 0, "loss");
    expect("eval " SIMPLE " --weights a", 0, "loss");
    expect_with("1,2,3\n", "predict " SIMPLE " --weights a/checkpoints/last -", 0, ",");
    expect("run " SIMPLE " --set train.epochs=3000000 --run-dir a", 2, "E0809");
    expect("run " SIMPLE " --set train.epochs=3 --resume --run-dir a", 2, "E0808");
    expect("run " SIMPLE " --set train.epochs=3 --resume --run-dir a", 2, "steps is 3000000 there and 3");
    expect("eval " SIMPLE " --weights nothing", 2, "nothing");
}

/* Each of several blocks has its own folder. */
Test(cli, several_blocks)
{
    char command[512];
    snprintf(command, sizeof command,
             "cd \"$NNC_TEST_FOLDER\" && { cat " SIMPLE "; sed -n '/^train/,$p' " SIMPLE
             " | sed 's/train simple/train again/'; } > two.nn");
    cr_assert_eq(system(command), 0);
    for (int twice = 0; twice < 2; twice++)
        expect("run two.nn --set train.epochs=4 --set train.checkpoint.every=2 --resume --run-dir r", 0,
               "weights: r/again/weights.safetensors");
    expect("eval two.nn again --weights r/again", 0, "loss");
}

/* Without a folder: the newest run of the block, or a new one. */
Test(cli, resumes_the_newest_run)
{
#define SHORT SIMPLE " --set train.epochs=6 --set train.checkpoint.every=2 --resume"
    expect("run " SHORT, 0, "6 steps");
    expect("run " SHORT, 0, "going on from runs/simple-simple-");
    expect("run " SHORT " --json", 0, "\"resumed\":6");
    expect("eval " SIMPLE, 0, "weights: runs/simple-simple-");
    char command[256];
    snprintf(command, sizeof command,
             "cd \"$NNC_TEST_FOLDER\" && ls runs | wc -l | grep -qx 1 && rm runs/*/weights.safetensors && "
             "cp -r runs/*/checkpoints/step-6 kept");
    cr_expect_eq(system(command), 0);
    expect("eval " SIMPLE, 0, "weights: runs/simple-simple-");
    expect("eval " SIMPLE " --weights kept", 0, "loss");
    cr_expect_eq(system("cd \"$NNC_TEST_FOLDER\" && truncate -s 100 kept/weights.safetensors"), 0);
    expect("eval " SIMPLE " --weights kept", 2, "E0807");
}

Test(cli, dumps_every_stage)
{
    static const char *const stages[] = {"ast",      "graph",        "after:simplify", "final",
                                         "schedule", "plan",         "kernel",         "llvm",
                                         "asm",      "graph.predict"};
    char arguments[512];
    for (size_t i = 0; i < sizeof stages / sizeof *stages; i++) {
        snprintf(arguments, sizeof arguments, "run " SIMPLE " --dump=%s", stages[i]);
        Result *result = run(arguments);
        cr_expect_eq(result->code, 0, "%s: %s", stages[i], result->out);
        cr_expect_gt(strlen(result->out), 100, "%s: %s", stages[i], result->out);
        free(result);
    }
    expect("run " SIMPLE " --dump=grahp", 1, "did you mean graph");
    expect("run " SIMPLE " --dump=after:nosuch", 1, "nosuch");
}

Test(cli, draws_the_model)
{
    expect("graph " SIMPLE, 0, "</svg>");
    expect("graph " SIMPLE " -o model.dot", 0, "");
    expect("summary " SIMPLE, 0, "total");
    expect("memory " SIMPLE, 0, "lower bound");
    expect("memory " SIMPLE, 0, "parameters 0.2 KiB, states");
    expect("memory " SIMPLE " --function=predict -o plan.svg", 0, "");
    expect("memory " SIMPLE " --function=lunch", 1, "lunch");
    expect("time " SIMPLE " --steps=1", 0, "roofline");
    expect("time " SIMPLE " --steps=0", 1, "steps");
    expect("check " SIMPLE, 0, "no errors");
    expect("check " SIMPLE " --dims", 0, "");
}

/* Less than one percent above the largest sum of live bytes. */
Test(cli, plans_of_networks_are_close_to_the_bound)
{
#ifndef NNC_STRESS /* any legal order, and guard pages */
    expect("memory " NNC_SOURCE_DIR "/tests/bench/programs/mlp.nn", 0, "(1.00");
    expect("memory " NNC_SOURCE_DIR "/tests/bench/programs/lenet.nn", 0, "(1.00");
    expect("memory " NNC_SOURCE_DIR "/tests/bench/programs/gpt.nn", 0, "(1.00");
    expect("memory " NNC_SOURCE_DIR "/tests/bench/programs/resnet18.nn", 0, "(1.00");
    expect("memory " NNC_SOURCE_DIR "/tests/bench/programs/infer_resnet50.nn", 0, "(1.00");
#endif
}

static void write_text(const char *name, const char *text)
{
    char path[160];
    snprintf(path, sizeof path, "%s/%s", getenv("NNC_TEST_FOLDER"), name);
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    fputs(text, file);
    fclose(file);
}

/* Cells are what the training file has: words of a category, texts between quotes or not. The
 * run has a folder of its own name. */
Test(cli, predicts_from_words_and_texts)
{
    write_text("words.csv", "kind,text,x,y\ncat,ab,1,0\nbig dog,\"a,b\",2,1\n\"o\"\"x\",b a,1,1\n");
    write_text("words.nn",
               "from nn import Embedding, Linear\n"
               "from losses import mse\n"
               "from optim import sgd\n"
               "module M { let e = Embedding(9, 1)\n"
               "    fn (kind: i32[B], text: i32[B, 5], x: f32[B]) { sum(e(text)[:, :, 0], axis=1) + "
               "f32(kind) + x } }\n"
               "dataset d { source = csv(\"words.csv\")\n"
               "    fields = [kind: category, text: chars(5), x: f32[], y: f32[]] }\n"
               "train t on d { model = M(); loss = mse(model(kind, text, x), y)\n"
               "    predict = (kind, text, model(kind, text, x)); optimizer = sgd() }\n");
    expect("run words.nn --run-dir runs/mine", 0, "weights: runs/mine/weights.safetensors");
    expect_with("kind,text,x\nbig dog,ab,1\n\"o\"\"x\" , \"a,b\",1\n", "predict words.nn -", 0,
                "weights: runs/mine/weights.safetensors\n0,5,6,2,0,0,");
    expect_with("cat,a b,2.5\n", "predict words.nn -", 0, "\n1,5,3,6,2,0,");
    expect_with("fish,a,1\n", "predict words.nn -", 2, "\"big dog\", \"cat\", \"o\\\"x\"");
    expect_with("cat,ababa,1\n", "predict words.nn -", 2, "more than 4 characters");
    expect_with("cat,c,1\n", "predict words.nn -", 2, "the character 'c'");
    expect_with("cat,a\n", "predict words.nn -", 2, "too few cells; a row has 3");
    expect_with("cat,a,1,2\n", "predict words.nn -", 2, "too many cells; a row has 3");
    expect_with("cat,a,one\n", "predict words.nn -", 2, "not a number: one");
}

Test(cli, page_of_options_is_current)
{
    static char page[65536];
    FILE *file = fopen(NNC_SOURCE_DIR "/docs/cli.md", "r");
    cr_assert_not_null(file);
    page[fread(page, 1, sizeof page - 1, file)] = 0;
    fclose(file);
    Result *result = run("--help-markdown");
    cr_expect(strstr(page, result->out) != NULL,
              "docs/cli.md is not what nnc --help-markdown prints");
    free(result);
}
