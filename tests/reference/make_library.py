#!/usr/bin/env python3
"""Makes the reference files of library/ with PyTorch; run by hand (see make_reference.py), the tests need no Python.

    /tmp/reference/bin/python tests/reference/make_library.py

It writes dense.csv and layers.npz (rows, exact in f32), NAME.safetensors (initial weights, f32; NAME is a layer, or dense for the
rest), and expected.txt. A line of it is "KIND constant=value" and numbers in f64:

    dense, layers, convs, moments, attention, whole, deep
                    the losses of 20 steps of the program of this name, then the loss of all rows in evaluation
    rates           the learning rates of 20 steps of dense.nn
    measured        the metrics of the block of this name in dense.nn, the table of confusion last
"""
import os
import zlib

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F
from torch.optim import lr_scheduler
from library_families import FAMILIES
from library_nets import DEEP, DEEP_RATES, NETS
from library_rules import Lamb, Lion, Muon

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "library")
ROWS, BATCH, STEPS = 40, 8, 20


def path(name):
    return os.path.join(HERE, name)


def dense_data(random):
    columns = {f"x{i}": (random.normal(size=ROWS) * 64).round() / 64 for i in range(5)}
    columns.update({f"y{i}": (random.normal(size=ROWS) * 64).round() / 64 for i in range(3)})
    parts = random.integers(0, 9, size=(ROWS, 3)) + np.eye(3, dtype=int)[random.integers(0, 3, size=ROWS)]
    parts[:, 2] = 16 - parts[:, 0] - parts[:, 1]
    parts = np.abs(parts)
    scale = 2.0 ** np.ceil(np.log2(parts.sum(1, keepdims=True)))
    parts[:, 2] += (scale[:, 0] - parts.sum(1)).astype(int)
    columns.update({f"q{i}": (parts / scale)[:, i] for i in range(3)})
    label = random.integers(0, 3, size=ROWS)
    with open(path("dense.csv"), "w", encoding="ascii") as out:
        out.write(",".join(columns) + ",label\n")
        for i in range(ROWS):
            out.write(",".join(repr(float(c[i])) for c in columns.values()) + f",{label[i]}\n")
    return {key: torch.from_numpy(np.stack([columns[f"{key}{i}"] for i in range(n)], 1))
            for key, n in (("x", 5), ("y", 3), ("q", 3))} | {"label": torch.from_numpy(label)}


def layers_data(random):
    image = random.integers(0, 256, size=(ROWS, 2, 9, 8)).astype(np.uint8)
    token = random.integers(0, 11, size=(ROWS, 5)).astype(np.int32)
    label = random.integers(0, 3, size=ROWS).astype(np.int32)
    np.savez_compressed(path("layers.npz"), image=image, token=token, label=label)
    return {"image": torch.from_numpy(image).double() / 64.0 - 2.0, "token": torch.from_numpy(token).long(),
            "label": torch.from_numpy(label).long()}


class Net(nn.Module):
    def __init__(self, activation):
        super().__init__()
        self.fc1, self.fc2, self.activation = nn.Linear(5, 6), nn.Linear(6, 3, bias=False), activation

    def forward(self, rows):
        return self.fc2(self.activation(self.fc1(rows["x"])))


WEIGHT = torch.tensor([0.2, 1.5, 0.7], dtype=torch.float64)


def doubled(x):
    return torch.cat([x, x], 1)


def held(label):
    each = label[:, None] + torch.arange(3)
    return torch.where(each < 3, each, -1)


ACTIVATIONS = {
    "relu": F.relu, "leaky_relu": lambda x: F.leaky_relu(x, 0.2), "elu": lambda x: F.elu(x, 0.7), "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"), "silu": F.silu, "sigmoid": torch.sigmoid, "tanh": torch.tanh,
    "softplus": lambda x: F.softplus(x, 2.0, threshold=1e9), "softmax": lambda x: F.softmax(x, -1),
    "log_softmax": lambda x: F.log_softmax(x, -1),
    "relu6": lambda x: F.relu6(3.0 * x),
    "selu": lambda x: F.selu(x),
    "celu": lambda x: F.celu(x, 0.7),
    "logsigmoid": lambda x: F.logsigmoid(x),
    "mish": lambda x: F.mish(x),
    "softsign": lambda x: F.softsign(x),
    "tanhshrink": lambda x: F.tanhshrink(x),
    "softshrink": lambda x: F.softshrink(x, 0.3),
    "hardshrink": lambda x: F.hardshrink(x, 0.3),
    "hardtanh": lambda x: F.hardtanh(x, -0.5, 0.7),
    "hardsigmoid": lambda x: F.hardsigmoid(4.0 * x),
    "hardswish": lambda x: F.hardswish(4.0 * x),
    "threshold": lambda x: F.threshold(x, 0.1, -0.4),
    "softmin": lambda x: F.softmin(x, -1),
    "logsumexp": lambda x: x - torch.logsumexp(x, -1, True),
    "glu": lambda x: doubled(F.glu(x)),
    "swiglu": lambda x: doubled(x[:, :3] * F.silu(x[:, 3:])),
    "geglu": lambda x: doubled(x[:, :3] * F.gelu(x[:, 3:])),
    "reglu": lambda x: doubled(x[:, :3] * F.relu(x[:, 3:])),
    "gelu_named": lambda x: F.gelu(x, approximate="tanh"),
}
LOSSES = {
    "mse": lambda x, r: F.mse_loss(x, r["y"]),
    "mae": lambda x, r: F.l1_loss(x, r["y"]),
    "huber": lambda x, r: F.huber_loss(x, r["y"], delta=0.7),
    "cross_entropy": lambda x, r: F.cross_entropy(x, r["label"]),
    "smoothed": lambda x, r: F.cross_entropy(x, r["label"], label_smoothing=0.1),
    "distribution": lambda x, r: F.cross_entropy(x, r["q"]),
    "smoothed_distribution": lambda x, r: F.cross_entropy(x, r["q"], label_smoothing=0.2),
    "nll": lambda x, r: F.nll_loss(F.log_softmax(x, -1), r["label"]),
    "bce": lambda x, r: F.binary_cross_entropy(torch.sigmoid(x), r["q"]),
    "bce_with_logits": lambda x, r: F.binary_cross_entropy_with_logits(x, r["q"]),
    "kl": lambda x, r: F.kl_div(F.log_softmax(x, -1), r["q"]),
    "weighted": lambda x, r: F.cross_entropy(x, r["label"], WEIGHT),
    "weighted_smoothed": lambda x, r: F.cross_entropy(x, r["label"], WEIGHT, ignore_index=2, label_smoothing=0.1),
    "weighted_distribution": lambda x, r: F.cross_entropy(x, r["q"], WEIGHT),
    "ignoring": lambda x, r: F.cross_entropy(x, r["label"], ignore_index=1),
    "nll_weighted": lambda x, r: F.nll_loss(F.log_softmax(x, -1), r["label"], WEIGHT, ignore_index=0),
    "multi_margin": lambda x, r: F.multi_margin_loss(x, r["label"], margin=0.8),
    "multi_margin_square": lambda x, r: F.multi_margin_loss(x, r["label"], 2, weight=WEIGHT),
    "multilabel_margin": lambda x, r: F.multilabel_margin_loss(x, held(r["label"])),
    "multilabel_soft_margin": lambda x, r: F.multilabel_soft_margin_loss(x, r["q"], WEIGHT),
    "soft_margin": lambda x, r: F.soft_margin_loss(x, r["y"].sign()),
    "bce_weighted": lambda x, r: F.binary_cross_entropy(torch.sigmoid(x), r["q"], WEIGHT),
    "bce_positive": lambda x, r: F.binary_cross_entropy_with_logits(x, r["q"], torch.tensor([1.0, 0.5, 2.0]).double(), pos_weight=WEIGHT),
    "kl_log": lambda x, r: F.kl_div(F.log_softmax(x, -1), F.log_softmax(r["y"], -1), log_target=True),
    "poisson": lambda x, r: F.poisson_nll_loss(x, r["y"].abs()),
    "poisson_full": lambda x, r: F.poisson_nll_loss(torch.sigmoid(x), 3.0 * r["y"].abs(), False, True),
    "gaussian": lambda x, r: F.gaussian_nll_loss(x, r["y"], F.softplus(x)),
    "gaussian_full": lambda x, r: F.gaussian_nll_loss(x, r["y"], r["q"], full=True, eps=0.3),
    "smooth_l1": lambda x, r: F.smooth_l1_loss(x, r["y"], beta=0.7),
    "hinge_embedding": lambda x, r: F.hinge_embedding_loss(x * x, r["y"].sign(), 0.4),
    "margin_ranking": lambda x, r: F.margin_ranking_loss(x, r["q"], r["y"].sign(), 0.2),
    "cosine_embedding": lambda x, r: F.cosine_embedding_loss(x, r["y"], r["y"][:, 0].sign(), -0.2),
    "triplet": lambda x, r: F.triplet_margin_loss(x, r["y"], r["q"]),
    "triplet_swapped": lambda x, r: F.triplet_margin_loss(x, r["y"], r["q"], 0.5, 3.0, swap=True),
}
optim = torch.optim
RULES = {
    "sgd": lambda p: optim.SGD(p, lr=0.1),
    "momentum": lambda p: optim.SGD(p, lr=0.05, momentum=0.9),
    "dampening": lambda p: optim.SGD(p, lr=0.05, momentum=0.9, dampening=0.3, weight_decay=0.05),
    "nesterov": lambda p: optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=0.01, nesterov=True),
    "adam": lambda p: optim.Adam(p, lr=0.02),
    "adam_decay": lambda p: optim.Adam(p, lr=0.02, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.1),
    "adamw": lambda p: optim.AdamW(p, lr=0.02, weight_decay=0.1),
    "rmsprop": lambda p: optim.RMSprop(p, lr=0.01),
    "rmsprop_centered": lambda p: optim.RMSprop(p, lr=0.005, alpha=0.9, momentum=0.5, weight_decay=0.01, centered=True),
    "adagrad": lambda p: optim.Adagrad(p, lr=0.1),
    "adagrad_decay": lambda p: optim.Adagrad(p, lr=0.1, lr_decay=0.1, weight_decay=0.01, initial_accumulator_value=0.1),
    "amsgrad": lambda p: optim.Adam(p, lr=0.02, amsgrad=True),
    "adamw_amsgrad": lambda p: optim.AdamW(p, lr=0.02, amsgrad=True),
    "adamax": lambda p: optim.Adamax(p, lr=0.02, weight_decay=0.05),
    "nadam": lambda p: optim.NAdam(p, lr=0.02, weight_decay=0.05),
    "radam": lambda p: optim.RAdam(p, lr=0.02, weight_decay=0.05),
    "adadelta": lambda p: optim.Adadelta(p, lr=0.8, weight_decay=0.05),
    "lion": lambda p: Lion(p, lr=0.005, decay=0.1),
    "lamb": lambda p: Lamb(p, lr=0.02, decay=0.05),
    "adafactor": lambda p: optim.Adafactor(p, lr=0.05, weight_decay=0.05, eps=(1e-5, 1e-3)),
    "muon": lambda p: Muon(p, lr=0.02, rest=0.01),
}


def warm(steps):
    """Rises in a straight line over the first steps, then leaves the rate alone."""
    return lambda o: lr_scheduler.LinearLR(o, 1.0 / steps, 1.0, total_iters=steps - 1)


RATES = {
    "constant": warm(4),
    "linear": lambda o: lr_scheduler.LinearLR(o, 1.0, 0.2, total_iters=STEPS),
    "cosine": lambda o: lr_scheduler.CosineAnnealingLR(o, STEPS, eta_min=0.01),
    "warm_cosine": lambda o: lr_scheduler.LambdaLR(
        o, lambda t: (t + 1) / 6 if t < 6 else (1 + np.cos(np.pi * (t - 6) / (STEPS - 6))) / 2),
    "step": lambda o: lr_scheduler.StepLR(o, 6, 0.5),
    "exponential": lambda o: lr_scheduler.ExponentialLR(o, 0.9),
    "restarts": lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 6, eta_min=0.01),
    "restarts_longer": lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 3, 2),
    "multistep": lambda o: lr_scheduler.MultiStepLR(o, [4, 11, 15], 0.5),
    "polynomial": lambda o: lr_scheduler.PolynomialLR(o, STEPS, 2.0),
    "inverse_sqrt": lambda o: lr_scheduler.LambdaLR(o, lambda t: min((t + 1) / 5, (5 / (t + 1)) ** 0.5)),
    "one_cycle": lambda o: lr_scheduler.OneCycleLR(o, 0.1, STEPS, cycle_momentum=False),
    "then": lambda o: lr_scheduler.LambdaLR(o, lambda t: 1.0 if t < 5 else max(0.0, 0.5 * (1.0 - (t - 5) / 10))),
    "sum": lambda o: lr_scheduler.LambdaLR(o, lambda t: 0.25 * (1 + np.cos(np.pi * min(t, 10) / 10)) + 0.5 * 0.1 ** (t // 6)),
}


class Layered(nn.Module):
    """The named parts and a function of them and the rows."""

    def __init__(self, forward, **parts):
        super().__init__()
        self.function = forward
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, rows):
        return self.function(self, rows)


LAYERS = {
    "conv": lambda: Layered(lambda m, r: m.b(torch.tanh(m.a(r["image"]))).flatten(1),
                            a=nn.Conv2d(2, 4, 3, stride=2, padding=1), b=nn.Conv2d(4, 3, (3, 3))),
    "grouped": lambda: Layered(lambda m, r: m.fc(m.b(torch.tanh(m.a(r["image"]))).flatten(1)),
                               a=nn.Conv2d(2, 4, 3, dilation=2, groups=2, bias=False),
                               b=nn.Conv2d(4, 4, 3, padding="same", groups=4), fc=nn.Linear(80, 3)),
    "max_pool": lambda: Layered(
        lambda m, r: m.fc(F.max_pool2d(F.max_pool2d(m.a(r["image"]), 3, 2, 1), 2, 1, dilation=2).flatten(1)),
        a=nn.Conv2d(2, 3, 2), fc=nn.Linear(12, 3)),
    "avg_pool": lambda: Layered(lambda m, r: m.fc(F.avg_pool2d(m.a(r["image"]), 3, 2, 1).flatten(1)),
                                a=nn.Conv2d(2, 3, 2), fc=nn.Linear(48, 3)),
    "batch_norm_rows": lambda: Layered(lambda m, r: m.fc(m.norm(m.a(r["image"].flatten(1)))), a=nn.Linear(144, 5),
                                       norm=nn.BatchNorm1d(5, momentum=0.3), fc=nn.Linear(5, 3)),
    "batch_norm_long": lambda: Layered(lambda m, r: m.fc(m.norm(r["image"].permute(0, 2, 1, 3).flatten(2)).flatten(1)),
                                       norm=nn.BatchNorm1d(9, eps=1e-3), fc=nn.Linear(144, 3)),
    "batch_norm_images": lambda: Layered(lambda m, r: m.fc(m.norm(m.a(r["image"])).flatten(1)),
                                         a=nn.Conv2d(2, 3, 3, stride=3, bias=False), norm=nn.BatchNorm2d(3),
                                         fc=nn.Linear(18, 3)),
    "layer_norm": lambda: Layered(lambda m, r: m.out(m.b(m.fc(m.a(r["image"]))).flatten(1)), a=nn.LayerNorm(8),
                                  b=nn.LayerNorm(5, eps=1e-3, bias=False), fc=nn.Linear(8, 5), out=nn.Linear(90, 3)),
    "embedding": lambda: Layered(lambda m, r: m.fc(m.table(r["token"]).flatten(1)), table=nn.Embedding(11, 4),
                                 fc=nn.Linear(20, 3)),
}


def train(model, rows, loss_of, rule, rate=None):
    """Losses and rates of 20 steps in the order of the rows, and the mean loss of the batches at the end."""
    model.double().train()
    optimizer = rule(model.parameters())
    scheduler = rate(optimizer) if rate else None
    losses, rates = [], []
    for step in range(STEPS):
        at = step * BATCH % ROWS
        batch = {key: value[at:at + BATCH] for key, value in rows.items()}
        optimizer.zero_grad()
        loss = loss_of(model(batch), batch)
        loss.backward()
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if scheduler:
            scheduler.step()
        losses.append(loss.item())
    model.eval()
    with torch.no_grad():
        parts = [{key: value[at:at + BATCH] for key, value in rows.items()} for at in range(0, ROWS, BATCH)]
        return losses + [np.mean([loss_of(model(batch), batch).item() for batch in parts])], rates


def metrics(model, rows):
    """The definitions, row by row."""
    with torch.no_grad():
        x = model.double().eval()(rows).numpy()
    y, label = rows["y"].numpy(), rows["label"].numpy()
    table = np.zeros((3, 3))
    for actual, assigned in zip(label, x.argmax(1)):
        table[actual, assigned] += 1
    hits, assigned, actual = np.diag(table), table.sum(0), table.sum(1)
    ratio = lambda a, b: np.divide(a, b, out=np.zeros(3), where=b > 0)
    d, values = x - y, []
    values += [hits.sum() / ROWS]
    for part in (ratio(hits, assigned), ratio(hits, actual), ratio(2 * hits, assigned + actual)):
        values += [part.mean(), (part * actual).sum() / ROWS, part[1], hits.sum() / ROWS]
    values += [(d ** 2).mean(), np.sqrt((d ** 2).mean()), np.abs(d).mean()]
    values += [(1 - (d ** 2).sum(0) / ((y - y.mean(0)) ** 2).sum(0)).mean()]
    return values + more_metrics(x, y, rows["q"].numpy(), label) + list(table.reshape(-1))


def more_metrics(x, y, q, label):
    """The definitions again; of curves with the scores cut to 20 bins, as the program cuts them."""
    p = np.exp(x) / np.exp(x).sum(1, keepdims=True)
    yes, is_yes = 1 / (1 + np.exp(-x[:, 0])), label == 0
    order = np.argsort(-x, axis=1, kind="stable")
    cut, nats = np.floor(yes * 20), -np.log(p[np.arange(ROWS), label])
    values = [np.mean([label[i] in order[i][:2] for i in range(ROWS)]), nats.mean()]
    values += [-np.log(np.where(is_yes, yes, 1 - yes)).mean()]
    for assigned, actual in ((x.argmax(1), label), (yes > 0.45, is_yes)):
        a, b = (np.eye(3)[part.astype(int)] for part in (assigned, actual))
        cov = lambda u, v: sum(np.cov(u[:, i], v[:, i], bias=True)[0, 1] for i in range(3))
        values += [cov(a, b) / np.sqrt(cov(a, a) * cov(b, b))]
    pairs = cut[is_yes][:, None] - cut[~is_yes]
    values += [(pairs > 0).mean() + 0.5 * (pairs == 0).mean()]
    values += [np.mean([is_yes[cut >= c].mean() for c in cut[is_yes]])]
    values += [(np.abs(x - y) / np.abs(y).clip(1e-7)).mean()]
    values += [np.exp(nats.mean()), np.exp(nats[label != 1].mean()), nats.mean() / np.log(2) / 1.5]
    dcg = lambda r, k: (r[:, :k] / np.log2(np.arange(2, 2 + min(k, 3)))).sum(1)
    for r, k in ((q, 3), (y * y, 2)):
        values += [(dcg(np.take_along_axis(r, order, 1), k) / dcg(-np.sort(-r, axis=1), k)).mean()]
    relevant = np.take_along_axis(q > 0.3, order, 1)
    some = relevant[relevant.any(1)]
    values += [np.mean(1 / (1 + (order == label[:, None]).argmax(1)))]
    values += [np.mean([1 / (1 + r.argmax()) if r.any() else 0 for r in relevant])]
    values += [(some[:, :2].sum(1) / some.sum(1)).mean()]
    return values + [np.mean([np.mean((np.cumsum(r) / np.arange(1, 4))[r]) for r in some])]


def main():
    torch.manual_seed(3)
    random = np.random.default_rng(11)
    dense, layers = dense_data(random), layers_data(random)
    initial = Net(None).state_dict()
    save_file(initial, path("dense.safetensors"))

    def net(activation="tanh"):
        model = Net(ACTIVATIONS[activation])
        model.load_state_dict(initial)
        return model

    with open(path("expected.txt"), "w", encoding="ascii") as out:
        def write(program, case, numbers):
            out.write(f"{program} {case} " + " ".join(repr(float(n)) for n in numbers) + "\n")

        for name in ACTIVATIONS:
            write("dense", f"activation={name}", train(net(name), dense, LOSSES["mse"], RULES["sgd"])[0])
        for name, loss in LOSSES.items():
            write("dense", f"loss_name={name}", train(net(), dense, loss, RULES["sgd"])[0])
        for name, rule in RULES.items():
            write("dense", f"rule={name}", train(net(), dense, LOSSES["mse"], rule)[0])
        for name, rate in RATES.items():
            losses, rates = train(net(), dense, LOSSES["mse"], RULES["sgd"], rate)
            write("dense", f"rate={name}", losses)
            write("rates", f"rate={name}", rates)
        for program, cases in {"layers": LAYERS, **FAMILIES, "whole": NETS, "deep": DEEP}.items():
            for name, make in cases.items():
                torch.manual_seed(zlib.crc32(name.encode()))
                model = make()
                for parameter in model.parameters():
                    parameter.data = (parameter.data * 256).round() / 256
                save_file({key: value.contiguous() for key, value in model.state_dict().items()}, path(name + ".safetensors"))
                loss = (lambda x, r: x) if cases in (NETS, DEEP) else LOSSES["cross_entropy"]
                write(program, f"which={name}", train(model, layers, loss, lambda p: optim.SGD(p, lr=DEEP_RATES.get(name, 0.05)))[0])
        write("measured", "-", metrics(net(), dense))


if __name__ == "__main__":
    main()
