/* host_function.c: a program that calls back into its host. The network sees readings of a sensor;
 * the host knows how to turn them into degrees, and lends that function to the program under the
 * name `calibrate`.
 *
 *     cc host_function.c $(pkg-config --cflags --libs nnc) -lm -o sensor && ./sensor */
#include <math.h>
#include <nnc/nnc.h>
#include <stdio.h>

static const char text[] =
    "from nn import Linear, relu\n"
    "from losses import mse\n"
    "from optim import adam\n"
    "\n"
    "extern fn calibrate(reading: f32[B, N]) -> f32[B, N]    # given by the host\n"
    "\n"
    "module Model {\n"
    "    let fc1 = Linear(2, 8)\n"
    "    let fc2 = Linear(8, 1)\n"
    "    fn (reading: f32[B, 2]) -> f32[B, 1] {\n"
    "        calibrate(reading) * 0.02 |> fc1 |> relu |> fc2\n"
    "    }\n"
    "}\n"
    "\n"
    "dataset readings {\n"
    "    source = arrays(r=rand(200, 2, seed=1), noise=randn(200, 1, seed=2))\n"
    "    fields = [r: f32[2], noise: f32[1]]\n"
    "    # what is to be learnt: the difference of the temperatures, in tens of degrees\n"
    "    fn map(r, noise) -> (reading: f32[2], y: f32[1]) {\n"
    "        (r, 10.0 * (r[0..1] * r[0..1] - r[1..2] * r[1..2]) + 0.05 * noise)\n"
    "    }\n"
    "}\n"
    "\n"
    "train sensor on readings {\n"
    "    model     = Model()\n"
    "    loss      = mse(model(reading), y)\n"
    "    optimizer = adam(lr=0.02)\n"
    "    batch     = 20\n"
    "    epochs    = 60\n"
    "}\n";

/* 0 to 1 volt is 0 to 100 degrees, along a parabola. */
static float calibrate(float volts)
{
    return 100.0f * volts * volts;
}

static nnc_status train(nnc_context *context)
{
    nnc_program *program = NULL;
    nnc_trainer *trainer = NULL;
    const nnc_metric *metrics;
    size_t count;
    nnc_status status =
        nnc_context_extern(context, "calibrate", (void (*)(void))calibrate, "f32(f32)");
    if (status == NNC_OK)
        status = nnc_program_parse(context, "sensor.nn", text, NULL, &program);
    if (status == NNC_OK)
        status = nnc_trainer_new(program, NULL, NULL, &trainer);
    if (status == NNC_OK)
        status = nnc_trainer_run(trainer);
    if (status == NNC_OK)
        status = nnc_trainer_evaluate(trainer, NNC_PART_TRAIN, &metrics, &count);
    if (status == NNC_OK)
        printf("after training the mean error is %.2f degrees\n", 10 * sqrt(metrics[0].value));
    nnc_trainer_release(trainer);
    nnc_program_release(program);
    return status;
}

int main(void)
{
    nnc_context *context = NULL;
    nnc_status status = nnc_context_new(NULL, &context);
    if (status == NNC_OK)
        status = train(context);
    if (status != NNC_OK && context)
        fputs(nnc_diagnostics(context, NNC_TEXT), stderr);
    nnc_context_release(context);
    return (int)status;
}
