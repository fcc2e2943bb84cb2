"""A row in PyTorch:  torch_worker.py KIND ROW MODE THREADS FOLDER

KIND is train or infer; MODE has the words eager or compile, and nhwc for images with channels last."""
import sys

import torch
from safetensors.torch import load_file

from protocol import ROWS, serve
from torch_models import INFERENCE, TRAINING, load


def channels_last(model, batch):
    model.to(memory_format=torch.channels_last)
    return {name: x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x for name, x in batch.items()}


def train(row, mode, batch, weights):
    program, settings = ROWS[row]
    build, optimizer_of = TRAINING[program]
    model = build(**settings)
    load(model, weights)
    if "nhwc" in mode:
        batch = channels_last(model, batch)
    loss_of = torch.compile(model) if "compile" in mode else model
    optimizer = optimizer_of(model.parameters(), "fused" in mode or "compile" in mode)

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(batch)
        loss.backward()
        optimizer.step()
        return loss

    def first():
        losses = [step().item()]
        return lambda: losses + [step().item(), step().item()]

    serve(torch.get_num_threads(), first, lambda: step())


def infer(row, mode, batch, weights):
    build, name = INFERENCE[row.split("-")[0]]
    model = build().eval()
    load(model, weights)
    if "nhwc" in mode:
        batch = channels_last(model, batch)
    answer = model.answer
    if hasattr(model, "after"):
        model.step = torch.compile(model.after) if "compile" in mode else model.after
    elif "compile" in mode:
        answer = torch.compile(answer)
    x = batch[name]

    def first():
        y = answer(x)
        return lambda: [y.double().mean().item(), (y.double() * y.double()).mean().item()]

    with torch.inference_mode():
        serve(torch.get_num_threads(), first, lambda: answer(x))


def main():
    kind, row, mode, threads, folder = sys.argv[1:]
    torch.set_num_threads(int(threads))
    batch = {name: x.long() if x.dtype == torch.int32 else x for name, x in load_file(folder + "/batch.safetensors").items()}
    (train if kind == "train" else infer)(row, mode, batch, load_file(folder + "/weights.safetensors"))


main()
