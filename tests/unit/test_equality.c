/* Whole training runs give the same bits whatever computes them: any number of threads, fused or
 * not, compiled or interpreted, in f32 and in f64. */
#include "tests/support/api.h"

#include <criterion/criterion.h>
#include <math.h>

static void expect_same(const ApiRun *a, const ApiRun *b, const char *what, const char *program)
{
    int step = 0;
    while (step < a->steps && step < b->steps && a->losses[step] == b->losses[step])
        step++;
    cr_expect(
        api_same(a, b),
        "%s of %s: status %d and %d, steps %d and %d; losses differ from step %d: %.17g %.17g",
        what, program, a->status, b->status, a->steps, b->steps, step + 1, a->losses[step],
        b->losses[step]);
}

static void compare_options(const char *what, bool f64, const nnc_program_options *other)
{
    nnc_program_options plain = {.size = sizeof plain, .f64 = f64};
    for (const ApiProgram *program = api_programs; program->name; program++) {
        ApiRun a = api_train(program->text, &plain, 1, 7),
               b = api_train(program->text, other, 1, 7);
        cr_expect(a.steps > 0 && a.losses[a.steps - 1] < a.losses[0], "%s does not learn",
                  program->name);
        expect_same(&a, &b, what, program->name);
        api_free(&a);
        api_free(&b);
    }
}

Test(equality, threads)
{
    for (const ApiProgram *program = api_programs; program->name; program++) {
        ApiRun one = api_train(program->text, NULL, 1, 7);
        for (int threads = 2; threads <= 8; threads *= 2) {
            ApiRun many = api_train(program->text, NULL, threads, 7);
            expect_same(&one, &many, "threads", program->name);
            api_free(&many);
        }
        api_free(&one);
    }
}

Test(equality, interpreter_f32)
{
    compare_options("the interpreter", false,
                    &(nnc_program_options){.size = sizeof(nnc_program_options), .interpret = true});
}

Test(equality, interpreter_f64)
{
    compare_options("the interpreter in f64", true,
                    &(nnc_program_options){
                        .size = sizeof(nnc_program_options), .interpret = true, .f64 = true});
}

Test(equality, unfused)
{
    compare_options("unfused code", false,
                    &(nnc_program_options){.size = sizeof(nnc_program_options), .no_fuse = true});
}

Test(equality, seeds_differ)
{
    ApiRun a = api_train(api_text("mlp"), NULL, 1, 1), b = api_train(api_text("mlp"), NULL, 1, 2);
    cr_expect(!api_same(&a, &b));
    api_free(&a);
    api_free(&b);
}

Test(equality, precision_changes_little)
{
    nnc_program_options wide = {.size = sizeof wide, .f64 = true};
    ApiRun a = api_train(api_text("mlp"), NULL, 1, 1), b = api_train(api_text("mlp"), &wide, 1, 1);
    cr_assert_eq(a.steps, b.steps);
    for (int i = 0; i < a.steps; i++)
        cr_expect(fabs(a.losses[i] - b.losses[i]) < 1e-4, "step %d: %g and %g", i + 1, a.losses[i],
                  b.losses[i]);
    api_free(&a);
    api_free(&b);
}
