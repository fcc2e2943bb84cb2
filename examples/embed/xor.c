/* xor.c: a host program that compiles a network from a text, trains it and asks it, through
 * nnc/nnc.h alone.
 *
 *     cc xor.c $(pkg-config --cflags --libs nnc) -o xor && ./xor */
#include <nnc/nnc.h>
#include <stdio.h>

static const char text[] =
    "from nn import Linear, sigmoid\n"
    "from losses import bce\n"
    "from optim import adam\n"
    "\n"
    "module Xor {\n"
    "    let hidden = Linear(2, 8)\n"
    "    let out = Linear(8, 1)\n"
    "    fn (x: f32[B, 2]) -> f32[B, 1] { x |> hidden |> tanh |> out |> sigmoid }\n"
    "}\n"
    "\n"
    "dataset table {\n"
    "    source = arrays(x=f32(stack([arange(4) // 2, arange(4) % 2], axis=1)),\n"
    "                    y=f32(stack([arange(4) // 2 != arange(4) % 2], axis=1)))\n"
    "    fields = [x: f32[2], y: f32[1]]\n"
    "}\n"
    "\n"
    "train gate on table {\n"
    "    model = Xor()\n"
    "    loss = bce(model(x), y)\n"
    "    optimizer = adam(lr=0.05)\n"
    "    batch = 4\n"
    "    epochs = 300\n"
    "}\n";

static void on_event(void *user, const nnc_event *event)
{
    (void)user;
    if (event->kind == NNC_EVENT_EPOCH && event->epoch % 100 == 0)
        printf("epoch %lld: loss %.4f\n", (long long)event->epoch, event->train[0].value);
}

static nnc_status ask(nnc_model *model)
{
    float rows[4][2] = {{0, 0}, {0, 1}, {1, 0}, {1, 1}};
    nnc_session *session = NULL;
    nnc_tensor *question = NULL, *answer = NULL;
    nnc_status status = nnc_session_new(model, &session);
    if (status == NNC_OK)
        status = nnc_tensor_wrap(NNC_F32, 2, (int64_t[]){4, 2}, rows, &question);
    if (status == NNC_OK)
        status = nnc_session_run(session, &question, &answer);
    for (int i = 0; status == NNC_OK && i < 4; i++)
        printf("%g xor %g = %.3f\n", rows[i][0], rows[i][1], ((float *)nnc_tensor_data(answer))[i]);
    nnc_tensor_release(question);
    nnc_tensor_release(answer);
    nnc_session_release(session);
    return status;
}

int main(void)
{
    nnc_context *context = NULL;
    nnc_program *program = NULL;
    nnc_trainer *trainer = NULL;
    nnc_model *model = NULL;
    nnc_trainer_options options = {.size = sizeof options, .seed = 1, .on_event = on_event};
    nnc_status status = nnc_context_new(NULL, &context);
    if (status == NNC_OK)
        status = nnc_program_parse(context, "xor.nn", text, NULL, &program);
    if (status == NNC_OK)
        status = nnc_trainer_new(program, "gate", &options, &trainer);
    if (status == NNC_OK)
        status = nnc_trainer_run(trainer);
    if (status == NNC_OK)
        status = nnc_trainer_model(trainer, &model);
    if (status == NNC_OK)
        status = ask(model);
    if (status != NNC_OK && context)
        fputs(nnc_diagnostics(context, NNC_TEXT), stderr);
    nnc_model_release(model);
    nnc_trainer_release(trainer);
    nnc_program_release(program);
    nnc_context_release(context);
    return (int)status;
}
