#!/usr/bin/env python3
"""Makes the reference files of training/ with PyTorch; run by hand (see make_reference.py), the tests need no Python.

    /tmp/reference/bin/python tests/reference/make_training.py

A line of expected.txt is "FILE BLOCK WEIGHTS" and numbers in f64: the losses of the steps of that block of FILE.nn from the weights
in WEIGHTS.safetensors (-: those that the program loads), then what it measures over the test rows at the end.
"""
import copy
import os

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "training")
DENSE = os.path.join(HERE, "..", "library", "dense")
ROWS, STEPS = 40, 20


def dense_rows():
    table = np.genfromtxt(DENSE + ".csv", delimiter=",", names=True)
    stack = lambda key, n: torch.from_numpy(np.stack([table[f"{key}{i}"] for i in range(n)], 1))
    return {"x": stack("x", 5), "y": stack("y", 3)}


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(5, 6), nn.Linear(6, 3, bias=False)
        self.load_state_dict(load_file(DENSE + ".safetensors"))
        self.double()

    def forward(self, x):
        return self.fc2(torch.tanh(self.fc1(x)))


def batches(rows, size, first):
    at = first % ROWS
    return {key: value[at:at + size] for key, value in rows.items()}


def updates(rows, rule, weights="../library/dense", teacher=False, batch=8, accumulate=1, clip_norm=None, clip_value=None, ema=None, rate=None):
    """Losses of 20 steps and of all rows at the end. Batches of a step are of equal sizes unless the epoch ends."""
    model = Net()
    if teacher:
        with torch.no_grad():
            rows = {"x": rows["x"], "y": rows["y"] + model(rows["x"])}
    optimizer = rule(model)
    scheduler = rate(optimizer) if rate else None
    average = None
    losses, position = [], 0
    for step in range(STEPS):
        size = min(batch * accumulate, ROWS - position)
        optimizer.zero_grad()
        total = 0.0
        for at in range(position, position + size, batch):
            part = {key: value[at:min(at + batch, position + size)] for key, value in rows.items()}
            loss = F.mse_loss(model(part["x"]), part["y"]) * len(part["x"]) / size
            loss.backward()
            total += loss.item()
        position = (position + size) % ROWS
        if clip_value:
            nn.utils.clip_grad_value_(model.parameters(), clip_value)
        if clip_norm:
            nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
        optimizer.step()
        if scheduler:
            scheduler.step()
        if ema:
            average = average or torch.optim.swa_utils.AveragedModel(
                model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(ema))
            average.update_parameters(model)
        losses.append(total)
    with torch.no_grad():
        return losses + [F.mse_loss((average or model)(rows["x"]), rows["y"]).item()]


def with_groups(model):
    fc2 = {"params": [model.fc2.weight], "lr": 0.01}
    return torch.optim.AdamW([{"params": [model.fc1.bias], "weight_decay": 0.0}, {"params": [model.fc1.weight]}, fc2],
                             lr=0.02, betas=(0.9, 0.99), weight_decay=0.5)


def cosine_of_last(optimizer):
    down = lambda t: (0.001 + 0.009 * (1 + np.cos(np.pi * t / STEPS)) / 2) / 0.01
    return torch.optim.lr_scheduler.LambdaLR(optimizer, [lambda t: 1.0, lambda t: 1.0, down])


class Two:
    """Two optimizers as one."""

    def __init__(self, *parts):
        self.parts = parts

    def zero_grad(self):
        for part in self.parts:
            part.zero_grad()

    def step(self):
        for part in self.parts:
            part.step()


def sgd(rate, only=None):
    def rule(model):
        for name, p in model.named_parameters():
            p.requires_grad_(only is None or name in only)
        return torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=rate)
    return rule


UPDATES = {
    "clip_norm": dict(rule=sgd(0.5), clip_norm=0.3),
    "clip_value": dict(rule=sgd(0.5), clip_value=0.05),
    "groups": dict(rule=with_groups, rate=cosine_of_last, clip_norm=1.0),
    "other_rule": dict(rule=lambda m: Two(torch.optim.SGD([m.fc1.weight, m.fc2.weight], lr=0.1),
                                          torch.optim.Adam([m.fc1.bias], lr=0.05))),
    "accumulate": dict(rule=lambda m: torch.optim.AdamW(m.parameters(), lr=0.02), batch=4, accumulate=3, clip_norm=0.5),
    "average": dict(rule=sgd(0.3), ema=0.9),
    "frozen": dict(rule=sgd(0.3, only=("fc1.bias", "fc2.weight"))),
    "chosen": dict(rule=sgd(0.3, only=("fc1.bias", "fc2.weight"))),
    "loaded": dict(rule=sgd(0.3), weights="-"),
    "distilled": dict(rule=sgd(0.3), weights="-", teacher=True),
}


class Small(nn.Module):
    def __init__(self, size_in, hidden, size_out):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(size_in, hidden), nn.Linear(hidden, size_out)

    def forward(self, x):
        return self.fc2(torch.tanh(self.fc1(x)))


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.G, self.D = Small(5, 4, 3), Small(3, 4, 1)


def minimize(loss, params, rule, clip=None):
    grads = torch.autograd.grad(loss, params)
    for p, g in zip(params, grads):
        p.grad = g
    if clip:
        nn.utils.clip_grad_norm_(params, clip)
    rule.step()
    return loss.item()


def logits(x, target):
    return F.binary_cross_entropy_with_logits(x, torch.full_like(x, target))


def gan(pair, rules, x, y, learn):
    fake = pair.G(x)
    first = logits(pair.D(y), 1.0) + logits(pair.D(fake.detach()), 0.0)
    losses = [first.item()]
    if learn:
        minimize(first, list(pair.D.parameters()), rules[1])
    second = logits(pair.D(fake), 1.0)
    losses.append(second.item())
    if learn:
        minimize(second, list(pair.G.parameters()), rules[0])
    return [sum(losses)] + losses


def parts(pair, rules, x, y, learn):
    first = F.mse_loss(pair.G(x), y) + 0.1 * (pair.D.fc1.bias ** 2).sum()
    losses = [first.item()]
    if learn:
        minimize(first, [*pair.G.fc2.parameters(), pair.G.fc1.weight, pair.D.fc1.bias], rules[0], clip=0.5)
    second = (pair.D(pair.G(x)) ** 2).mean()
    losses.append(second.item())
    if learn:
        minimize(second, [*pair.D.fc2.parameters(), pair.D.fc1.weight], rules[1], clip=0.5)
    return [sum(losses)] + losses + ([] if learn else [F.mse_loss(pair.G(x), y).item()])


def critic(pair, rules, x, y, learn):
    losses = []
    for _ in range(3):
        loss = pair.D(pair.G(x).detach()).mean() - pair.D(y).mean() + 0.1 * (pair.D(y) ** 2).mean()
        losses.append(loss.item())
        if learn:
            minimize(loss, list(pair.D.parameters()), rules[1])
    first = sum(losses) / 3
    loss = -pair.D(pair.G(x)).mean()
    if learn:
        minimize(loss, list(pair.G.parameters()), rules[0])
    return [first + loss.item(), first, loss.item()]


def penalty(pair, rules, x, y, learn):
    fake = pair.G(x).detach()
    between = (0.25 * y + 0.75 * fake).requires_grad_(True)
    slope, = torch.autograd.grad(pair.D(between).sum(), between, create_graph=True)
    norm = torch.sqrt((slope ** 2).sum(1) + 1e-12)
    first = pair.D(fake).mean() - pair.D(y).mean() + 2.0 * ((norm - 1.0) ** 2).mean()
    losses = [first.item()]
    if learn:
        minimize(first, list(pair.D.parameters()), rules[1])
    second = -pair.D(pair.G(x)).mean()
    losses.append(second.item())
    if learn:
        minimize(second, list(pair.G.parameters()), rules[0])
    return [sum(losses)] + losses


optim = torch.optim
STEPS_BY_HAND = {
    "gan": (gan, lambda p: (optim.Adam(p.G.parameters(), lr=0.02, betas=(0.5, 0.999)),
                            optim.Adam(p.D.parameters(), lr=0.05, betas=(0.5, 0.999))), None),
    "parts": (parts, lambda p: (optim.SGD([*p.G.fc2.parameters(), p.G.fc1.weight, p.D.fc1.bias], lr=0.3),
                                optim.SGD([*p.D.fc2.parameters(), p.D.fc1.weight], lr=0.2, momentum=0.9)), None),
    "critic": (critic, lambda p: (optim.SGD(p.G.parameters(), lr=0.1), optim.SGD(p.D.parameters(), lr=0.05)), 0.5),
    "penalty": (penalty, lambda p: (optim.SGD(p.G.parameters(), lr=0.1), optim.SGD(p.D.parameters(), lr=0.1)), None),
}


def steps_by_hand(initial, rows, step, rules_of, ema):
    """Losses of 20 steps, then what is measured over all rows in batches of 8 at the end: the sum of the losses, each loss."""
    pair = copy.deepcopy(initial)
    rules = rules_of(pair)
    average, losses = None, []
    for k in range(STEPS):
        part = batches(rows, 8, k * 8)
        losses.append(step(pair, rules, part["x"], part["y"], True)[0])
        if ema:
            average = average or optim.swa_utils.AveragedModel(
                pair, multi_avg_fn=optim.swa_utils.get_ema_multi_avg_fn(ema))
            average.update_parameters(pair)
    model = average.module if average else pair
    measured = [step(model, None, part["x"], part["y"], False) for part in (batches(rows, 8, k * 8) for k in range(5))]
    return losses + [sum(column) / 5 for column in zip(*measured)]


def held(initial, rows):
    """gan with the gradients of three batches of 4 at a time: all of the weights at the beginning of the step, clipped apart."""
    pair = copy.deepcopy(initial)
    rule_g = optim.Adam(pair.G.parameters(), lr=0.02, betas=(0.5, 0.999))
    rule_d = optim.Adam(pair.D.parameters(), lr=0.05, betas=(0.5, 0.999))
    losses, position = [], 0
    for _ in range(STEPS):
        size = min(12, ROWS - position)
        total = 0.0
        for params in (list(pair.G.parameters()), list(pair.D.parameters())):
            for p in params:
                p.grad = torch.zeros_like(p)
        for at in range(position, position + size, 4):
            part = batches(rows, 4, at)
            fake = pair.G(part["x"])
            first = logits(pair.D(part["y"]), 1.0) + logits(pair.D(fake.detach()), 0.0)
            second = logits(pair.D(fake), 1.0)
            for loss, params in ((first, list(pair.D.parameters())), (second, list(pair.G.parameters()))):
                for p, g in zip(params, torch.autograd.grad(loss, params, retain_graph=True)):
                    p.grad += g * 4 / size
            total += (first + second).item() * 4 / size
        position = (position + size) % ROWS
        for rule, model in ((rule_d, pair.D), (rule_g, pair.G)):
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            rule.step()
        losses.append(total)
    measured = [gan(pair, None, part["x"], part["y"], False) for part in (batches(rows, 8, k * 8) for k in range(5))]
    return losses + [sum(column) / 5 for column in zip(*measured)]


class Cell(nn.LSTM):
    def __init__(self, size_in, hidden):
        super().__init__(size_in, hidden, batch_first=True)

    def backwards(self, x, n):
        """Each row reversed within its length, zeros behind."""
        hs = torch.zeros(*x.shape[:2], self.hidden_size, dtype=x.dtype)
        last = []
        for row, length in enumerate(n.tolist()):
            if length == 0:
                last.append(torch.zeros(self.hidden_size, dtype=x.dtype))
                continue
            out, (h, _) = self(x[row:row + 1, :length].flip(1))
            pad = torch.zeros(x.shape[1] - length, self.hidden_size, dtype=x.dtype)
            hs = hs.index_put((torch.tensor([row]),), torch.cat([out[0].flip(0), pad])[None])
            last.append(h[0, 0])
        return hs, torch.stack(last)


class Last(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.head = Cell(3, 5), nn.Linear(5, 2)

    def loss(self, r):
        hs, (h, _) = self.lstm(r["x"])
        return F.mse_loss(self.head(h[0] + hs.mean(1)), r["y"])


class Lengths(Last):
    def loss(self, r):
        hs, h = self.lstm.backwards(r["x"], r["n"])
        return F.mse_loss(self.head(h + hs.sum(1)), r["y"])


class Layers(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.second, self.head = Cell(3, 5), Cell(5, 5), nn.Linear(5, 4)

    def loss(self, r):
        hs, _ = self.lstm(r["x"])
        logits = self.head(self.second(hs)[0])
        return F.cross_entropy(logits.reshape(-1, 4), r["label"].repeat_interleave(7))


class Nested(nn.Module):
    def __init__(self):
        super().__init__()
        self.w, self.b = nn.Parameter(torch.tensor([0.5, -0.3, 0.8])), nn.Parameter(torch.tensor(0.1))

    def one(self, row):
        total = torch.zeros((), dtype=row.dtype)
        for v in row:
            r = total
            for e, k in zip(v, self.w):
                r = torch.tanh(r + e * k + self.b)
            total = 0.5 * total + r
        halved, n = total * 3.0, 0
        while halved.abs() > 0.3 and n < 6:
            halved, n = halved * 0.5, n + 1
        return halved * self.w[0] if total > 0 else total * total + self.b

    def loss(self, r):
        return F.mse_loss(torch.stack([self.one(row) for row in r["x"]]), r["y"][:, 0])


class Normed(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.norm, self.head = nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)

    def loss(self, r):
        h = torch.zeros(len(r["x"]), 4, dtype=r["x"].dtype)
        for t in range(7):
            h = torch.tanh(self.norm(self.fc(r["x"][:, t]) + h))
        return F.mse_loss(self.head(h), r["y"])


RECURRENT = {
    "last": (Last, lambda p: optim.SGD(p, lr=0.5), None),
    "lengths": (Lengths, lambda p: optim.SGD(p, lr=0.3), None),
    "layers": (Layers, lambda p: optim.Adam(p, lr=0.05), 0.25),
    "nested": (Nested, lambda p: optim.SGD(p, lr=0.2), None),
    "normed": (Normed, lambda p: optim.SGD(p, lr=0.1), None),
}


def sequences(random):
    n = random.integers(0, 8, size=24).astype(np.int32)
    x = (random.normal(size=(24, 7, 3)) * 64).round()
    y = (random.normal(size=(24, 2)) * 64).round()
    label = random.integers(0, 4, size=24).astype(np.int32)
    np.savez_compressed(os.path.join(HERE, "recurrent.npz"), x=x.astype(np.int32), n=n, y=y.astype(np.int32),
                        label=label)
    return {"x": torch.from_numpy(x) / 64, "n": torch.from_numpy(n), "y": torch.from_numpy(y) / 64,
            "label": torch.from_numpy(label).long()}


def recurrent(name, rows):
    make, rule_of, clip = RECURRENT[name]
    model = make()
    state = {("net." if name == "nested" else "") + key: value for key, value in model.state_dict().items()}
    save_file(state, os.path.join(HERE, name + ".safetensors"))
    model.double()
    rule, losses = rule_of(model.parameters()), []
    for step in range(STEPS):
        at = step * 6 % 24
        losses.append(minimize(model.loss({key: value[at:at + 6] for key, value in rows.items()}),
                               list(model.parameters()), rule, clip))
    model.eval()
    with torch.no_grad():
        return losses + [sum(model.loss({key: value[at:at + 6] for key, value in rows.items()}).item()
                             for at in range(0, 24, 6)) / 4]


def plateau_parts(model):
    fc2 = {"params": [model.fc2.weight], "lr": 0.02}
    return torch.optim.AdamW([{"params": [model.fc1.weight, model.fc1.bias]}, fc2], lr=0.05)


def plateaus(optimizer):
    class Group(torch.optim.lr_scheduler.ReduceLROnPlateau):
        def __init__(self, index, **settings):
            super().__init__(optimizer, **settings)
            self.index = index

        def _reduce_lr(self, epoch):
            group = self.optimizer.param_groups[self.index]
            lower = max(group["lr"] * self.factor, 0.0)
            if group["lr"] - lower > self.eps:
                group["lr"] = lower

    return [Group(0, patience=0, threshold=0.05, threshold_mode="abs"), Group(1, mode="max", factor=0.7, patience=2, eps=0.004)]


PLATEAUS = {
    "halves": (lambda m: torch.optim.SGD(m.parameters(), lr=0.9),
               lambda o: [torch.optim.lr_scheduler.ReduceLROnPlateau(o, factor=0.5, patience=1, threshold=0.02, cooldown=1, min_lr=0.2)],
               ["valid"]),
    "parts": (plateau_parts, plateaus, ["train", "valid"]),
}


def plateau(rows, rule, rates, watched):
    """Losses of ten epochs of five steps and of all rows at the end."""
    model = Net()
    optimizer = rule(model)
    schedules = rates(optimizer)
    losses = []
    for epoch in range(10):
        for k in range(5):
            part = batches(rows, 8, k * 8)
            losses.append(minimize(F.mse_loss(model(part["x"]), part["y"]), list(model.parameters()), optimizer, None))
        with torch.no_grad():
            values = {"train": sum(losses[-5:]) / 5, "valid": F.mse_loss(model(rows["x"]), rows["y"]).item()}
        for schedule, name in zip(schedules, watched):
            schedule.step(values[name])
    return losses + [values["valid"]]


def main():
    torch.manual_seed(5)
    dense = dense_rows()
    with open(os.path.join(HERE, "expected.txt"), "w", encoding="ascii") as out:
        write = lambda *key, numbers: out.write(" ".join(key) + " " + " ".join(repr(float(v)) for v in numbers) + "\n")
        for name, settings in UPDATES.items():
            write("updates", name, settings.get("weights", "../library/dense"), numbers=updates(dense, **settings))
        pair = Pair()
        save_file({key: value.contiguous() for key, value in pair.state_dict().items()}, os.path.join(HERE, "steps.safetensors"))
        pair.double()
        for name, (step, rules, ema) in STEPS_BY_HAND.items():
            write("steps", name, "steps", numbers=steps_by_hand(pair, dense, step, rules, ema))
        write("steps", "held", "steps", numbers=held(pair, dense))
        rows = sequences(np.random.default_rng(8))
        for name in RECURRENT:
            write("recurrent", name, name, numbers=recurrent(name, rows))
        for name, settings in PLATEAUS.items():
            write("plateau", name, "../library/dense", numbers=plateau(dense, *settings))


if __name__ == "__main__":
    main()
