#!/usr/bin/env python3
"""Makes the reference files of this folder with PyTorch; run by hand, the tests need no Python.

    python3 -m venv /tmp/reference && /tmp/reference/bin/pip install torch numpy safetensors
    /tmp/reference/bin/python tests/reference/make_reference.py

For every program NAME.nn here it writes NAME.csv (rows whose numbers are exact in f32), NAME.safetensors (initial weights,
f32), and NAME.f64.txt and NAME.f32.txt: the loss of 20 steps, one a line, computed by PyTorch in that precision from the same weights
on the same batches in the order of the file.
"""
import gzip
import os

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
STEPS = 20


def path(name):
    return os.path.join(HERE, name)


def write_csv(name, columns):
    with open(path(name + ".csv"), "w", encoding="ascii") as out:
        out.write(",".join(columns) + "\n")
        for row in zip(*columns.values()):
            out.write(",".join(repr(v.item()) for v in row) + "\n")


def f32(array):
    return np.asarray(array, dtype=np.float32).astype(np.float64)


class Perceptron(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(3, 4), nn.Linear(4, 2)

    def forward(self, x):
        return self.fc2(F.relu(self.fc1(x)))


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(1, 10), nn.Linear(10, 1)

    def forward(self, x):
        return torch.sigmoid(self.fc2(torch.sigmoid(self.fc1(x))))


class Dense(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(10, 64), nn.Linear(64, 64), nn.Linear(64, 2)

    def forward(self, x):
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))


class CNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 32, 3), nn.Conv2d(32, 64, 3)
        self.fc1, self.fc2 = nn.Linear(64 * 5 * 5, 128), nn.Linear(128, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.fc2(F.relu(self.fc1(x.flatten(1))))


def train(name, model, batches, loss_of, optimizer_of):
    """model holds f32 weights; 20 losses in f64 and in f32."""
    initial = {key: value.clone() for key, value in model.state_dict().items()}
    save_file({key: value.contiguous() for key, value in initial.items()}, path(name + ".safetensors"))
    for dtype, ending in ((torch.float64, "f64"), (torch.float32, "f32")):
        model.to(dtype)
        model.load_state_dict({key: value.to(dtype) for key, value in initial.items()})
        optimizer = optimizer_of(model.parameters())
        with open(path(f"{name}.{ending}.txt"), "w", encoding="ascii") as out:
            for step in range(STEPS):
                x, y = batches(step, dtype)
                optimizer.zero_grad()
                loss = loss_of(model(x), y)
                loss.backward()
                optimizer.step()
                out.write(repr(loss.item()) + "\n")
        print(name, ending, loss.item())


def simple(random):
    x = f32(random.uniform(-1, 1, (64, 3)))
    y = f32(x @ random.normal(size=(3, 2)) + 0.1)
    write_csv("simple", {**{f"x{i}": x[:, i] for i in range(3)}, **{f"y{i}": y[:, i] for i in range(2)}})
    tx, ty = torch.from_numpy(x), torch.from_numpy(y)
    train("simple", Perceptron(), lambda step, d: (tx.to(d), ty.to(d)), F.mse_loss,
          lambda p: torch.optim.SGD(p, lr=0.01))


def binary(random):
    x = f32(random.uniform(-3, 3, (80, 1)))
    y = f32((x + random.normal(scale=0.4, size=x.shape) > 0.5).astype(np.float64))
    write_csv("binary", {"x0": x[:, 0], "y0": y[:, 0]})
    tx, ty = torch.from_numpy(x), torch.from_numpy(y)
    train("binary", Classifier(), lambda step, d: (tx[step:step + 1].to(d), ty[step:step + 1].to(d)),
          F.binary_cross_entropy, lambda p: torch.optim.SGD(p, lr=0.01))


def dense(random):
    x = f32(random.normal(size=(640, 10)))
    label = (x @ random.normal(size=10) > 0).astype(np.int64)
    write_csv("dense", {**{f"x{i}": x[:, i] for i in range(10)}, "label": label})
    tx, ty = torch.from_numpy(x), torch.from_numpy(label)
    train("dense", Dense(), lambda step, d: (tx[32 * step:32 * step + 32].to(d), ty[32 * step:32 * step + 32]),
          F.cross_entropy, lambda p: torch.optim.Adam(p, lr=1e-3))


def idx(name, offset, shape):
    with gzip.open(os.path.join(HERE, "../../examples/data/mnist", name)) as file:
        return np.frombuffer(file.read(), np.uint8, offset=offset)[:np.prod(shape)].reshape(shape)


def cnn(_):
    rows = 64 * STEPS
    image = torch.from_numpy(idx("train-images-idx3-ubyte.gz", 16, (rows, 1, 28, 28)).copy())
    label = torch.from_numpy(idx("train-labels-idx1-ubyte.gz", 8, (rows,)).astype(np.int64))
    train("cnn", CNN(), lambda step, d: (image[64 * step:64 * step + 64].to(d) / 255.0, label[64 * step:64 * step + 64]),
          F.cross_entropy, lambda p: torch.optim.Adam(p, lr=1e-3))


def main():
    torch.manual_seed(1)
    torch.set_num_threads(2)
    for make in (simple, binary, dense, cnn):
        make(np.random.default_rng(7))


if __name__ == "__main__":
    main()
