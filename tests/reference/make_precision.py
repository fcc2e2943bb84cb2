#!/usr/bin/env python3
"""Losses of mixed precision by PyTorch's autocast on the processor, for dense.nn and cnn.nn; run by hand, after
make_reference.py (same virtual environment).

Writes NAME.bf16.txt and NAME.f16.txt: 20 losses from the weights in NAME.safetensors on the batches in order. Parameters and
optimizer are f32, the gradients are those of the loss itself (no scale).
"""
import csv

import numpy as np
import torch
from make_reference import CNN, STEPS, Dense, idx, path
from safetensors.torch import load_file
from torch.nn import functional as F


def dense_batches():
    with open(path("dense.csv"), encoding="ascii") as file:
        rows = np.array([[float(v) for v in row] for row in list(csv.reader(file))[1:]])
    x = torch.from_numpy(rows[:, :10].astype(np.float32))
    y = torch.from_numpy(rows[:, 10].astype(np.int64))
    return lambda step: (x[32 * step:32 * step + 32], y[32 * step:32 * step + 32])


def digit_batches():
    rows = 64 * STEPS
    image = torch.from_numpy(idx("train-images-idx3-ubyte.gz", 16, (rows, 1, 28, 28)).copy()).float() / 255.0
    label = torch.from_numpy(idx("train-labels-idx1-ubyte.gz", 8, (rows,)).astype(np.int64))
    return lambda step: (image[64 * step:64 * step + 64], label[64 * step:64 * step + 64])


def train(name, model, batches):
    for dtype, ending in ((torch.bfloat16, "bf16"), (torch.float16, "f16")):
        model.load_state_dict(load_file(path(name + ".safetensors")))
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        with open(path(f"{name}.{ending}.txt"), "w", encoding="ascii") as out:
            for step in range(STEPS):
                x, y = batches(step)
                optimizer.zero_grad()
                with torch.autocast("cpu", dtype=dtype):
                    loss = F.cross_entropy(model(x), y)
                loss.backward()
                optimizer.step()
                out.write(repr(loss.item()) + "\n")
        print(name, ending, loss.item())


if __name__ == "__main__":
    train("dense", Dense(), dense_batches())
    train("cnn", CNN(), digit_batches())
