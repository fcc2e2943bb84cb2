"""A row in JAX:  jax_worker.py train ROW MODE THREADS FOLDER

One jitted step whose weights and optimiser states are donated. MODE scan: a hundred steps in one call, timed as one and divided.
Images are channels-last, which is what XLA's convolutions prefer on a CPU."""
import os
import sys

threads = int(sys.argv[4])
os.environ["JAX_PLATFORMS"] = "cpu"
if threads == 1:
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"

import jax
import jax.numpy as jnp
import optax
from safetensors.numpy import load_file

from protocol import ROWS, serve

SCAN = 100


def linear(w, name, x):
    return x @ w[name + ".weight"].T + w[name + ".bias"]


def dense(w, name, x):
    return x @ w[name + ".weight"] + w[name + ".bias"]


def layer_norm(w, name, x):
    mean = x.mean(-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(-1, keepdims=True)
    return (x - mean) * jax.lax.rsqrt(variance + 1e-5) * w[name + ".weight"] + w[name + ".bias"]


def cross_entropy(logits, label):
    return optax.softmax_cross_entropy_with_integer_labels(logits, label).mean()


def convolution(x, weight, stride=1, pad=1):
    return jax.lax.conv_general_dilated(x, weight, (stride, stride), ((pad, pad), (pad, pad)),
                                        dimension_numbers=("NHWC", "OIHW", "NHWC"))


def pool(x, k, stride, pad):
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, k, k, 1), (1, stride, stride, 1),
                                 ((0, 0), (pad, pad), (pad, pad), (0, 0)))


def simple(w, batch):
    return ((linear(w, "fc2", jax.nn.relu(linear(w, "fc1", batch["x"]))) - batch["y"]) ** 2).mean()


def mlp(w, batch):
    x = jax.nn.relu(linear(w, "fc1", batch["x"]))
    return cross_entropy(linear(w, "fc3", jax.nn.relu(linear(w, "fc2", x))), batch["label"])


def two_convolutions(w, batch):
    x = pool(jax.nn.relu(convolution(batch["x"], w["conv1.weight"]) + w["conv1.bias"]), 2, 2, 0)
    x = pool(jax.nn.relu(convolution(x, w["conv2.weight"]) + w["conv2.bias"]), 2, 2, 0)
    x = x.transpose(0, 3, 1, 2).reshape(x.shape[0], -1)
    return cross_entropy(linear(w, "fc2", jax.nn.relu(linear(w, "fc1", x))), batch["label"])


def batch_norm(w, name, x):
    mean = x.mean((0, 1, 2))
    variance = ((x - mean) ** 2).mean((0, 1, 2))
    n = x.size // x.shape[-1]
    moved = {name + ".running_mean": 0.9 * w[name + ".running_mean"] + 0.1 * mean,
             name + ".running_var": 0.9 * w[name + ".running_var"] + 0.1 * variance * n / (n - 1)}
    return (x - mean) * jax.lax.rsqrt(variance + 1e-5) * w[name + ".weight"] + w[name + ".bias"], moved


def resnet18(w, batch, small, classes):
    moved = {}

    def norm(name, x):
        y, more = batch_norm(w, name, x)
        moved.update(jax.lax.stop_gradient(more))
        return y

    x = convolution(batch["x"], w["conv1.weight"], 1 if small else 2, 1 if small else 3)
    x = jax.nn.relu(norm("bn1", x))
    if not small:
        x = pool(x, 3, 2, 1)
    for i in range(1, 5):
        for j in range(2):
            name, stride = "layer%d.%d" % (i, j), 2 if i > 1 and j == 0 else 1
            y = jax.nn.relu(norm(name + ".bn1", convolution(x, w[name + ".conv1.weight"], stride)))
            y = norm(name + ".bn2", convolution(y, w[name + ".conv2.weight"]))
            if name + ".downsample.0.weight" in w:
                x = norm(name + ".downsample.1", convolution(x, w[name + ".downsample.0.weight"], stride, 0))
            x = jax.nn.relu(x + y)
    return cross_entropy(linear(w, "fc", x.mean((1, 2))), batch["label"]), moved


def lstm(w, batch):
    x = w["embedding.weight"][batch["token"]].transpose(1, 0, 2)
    inputs = x @ w["lstm.weight_ih_l0"].T + (w["lstm.bias_ih_l0"] + w["lstm.bias_hh_l0"])
    hidden = w["lstm.weight_hh_l0"].T

    def cell(state, gates):
        h, c = state
        i, f, g, o = jnp.split(gates + h @ hidden, 4, axis=-1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), None

    zeros = jnp.zeros((x.shape[1], hidden.shape[0]))
    (h, _), _ = jax.lax.scan(cell, (zeros, zeros), inputs)
    return cross_entropy(linear(w, "out", h), batch["label"])


def attend(q, k, v, causal):
    scores = jnp.einsum("bthd,buhd->bhtu", q, k) / q.shape[-1] ** 0.5
    if causal:
        scores = jnp.where(jnp.tril(jnp.ones(scores.shape[-2:], bool)), scores, -jnp.inf)
    return jnp.einsum("bhtu,buhd->bthd", jax.nn.softmax(scores), v)


def heads(x, H):
    return x.reshape(*x.shape[:2], H, -1)


def gpt(w, batch, V, T, C, L, H):
    x = w["wte.weight"][batch["token"]] + w["wpe.weight"]
    for i in range(L):
        name = "h.%d." % i
        q, k, v = (heads(part, H) for part in
                   jnp.split(dense(w, name + "attn.c_attn", layer_norm(w, name + "ln_1", x)), 3, axis=-1))
        x = x + dense(w, name + "attn.c_proj", attend(q, k, v, True).reshape(x.shape))
        y = jax.nn.gelu(dense(w, name + "mlp.c_fc", layer_norm(w, name + "ln_2", x)), approximate=True)
        x = x + dense(w, name + "mlp.c_proj", y)
    return cross_entropy(layer_norm(w, "ln_f", x) @ w["wte.weight"].T, batch["next"])


def attention(w, name, x, memory, causal):
    weights, biases = jnp.split(w[name + ".in_proj_weight"], 3), jnp.split(w[name + ".in_proj_bias"], 3)
    q, k, v = (heads(y @ weight.T + bias, 8) for y, weight, bias in zip((x, memory, memory), weights, biases))
    return linear(w, name + ".out_proj", attend(q, k, v, causal).reshape(x.shape))


def feed(w, name, x):
    return linear(w, name + ".linear2", jax.nn.relu(linear(w, name + ".linear1", x)))


def transformer(w, batch):
    x, y = w["read.weight"][batch["source"]], w["write.weight"][batch["target"]]
    for i in range(6):
        name = "core.encoder.layers.%d" % i
        x = layer_norm(w, name + ".norm1", x + attention(w, name + ".self_attn", x, x, False))
        x = layer_norm(w, name + ".norm2", x + feed(w, name, x))
    x = layer_norm(w, "core.encoder.norm", x)
    for i in range(6):
        name = "core.decoder.layers.%d" % i
        y = layer_norm(w, name + ".norm1", y + attention(w, name + ".self_attn", y, y, True))
        y = layer_norm(w, name + ".norm2", y + attention(w, name + ".multihead_attn", y, x, False))
        y = layer_norm(w, name + ".norm3", y + feed(w, name, y))
    return cross_entropy(linear(w, "head", layer_norm(w, "core.decoder.norm", y)), batch["next"])


# program -> (loss, optimizer)
TRAINING = {
    "simple": (simple, optax.sgd(0.01)),
    "mlp": (mlp, optax.adamw(1e-3, weight_decay=0.01)),
    "lenet": (two_convolutions, optax.adam(1e-3)),
    "imagenet_cnn": (two_convolutions, optax.adam(1e-3)),
    "resnet18": (resnet18, optax.chain(optax.add_decayed_weights(5e-4), optax.sgd(0.1, momentum=0.9))),
    "lstm": (lstm, optax.adam(1e-3)),
    "gpt": (gpt, optax.adamw(1e-3, b2=0.99, weight_decay=0.1)),
    "transformer": (transformer, optax.adam(1e-4)),
}


def main():
    _, row, mode, _, folder = sys.argv[1:]
    program, settings = ROWS[row]
    loss_of, optimizer = TRAINING[program]
    everything = {name: jnp.asarray(x) for name, x in load_file(folder + "/weights.safetensors").items()}
    running = {name: x for name, x in everything.items() if ".running_" in name}
    weights = {name: x for name, x in everything.items() if name not in running}
    batch = {name: jnp.asarray(x.transpose(0, 2, 3, 1) if x.ndim == 4 else x)
             for name, x in load_file(folder + "/batch.safetensors").items()}
    with_statistics = bool(running)

    def loss_and_moved(w, running, batch):
        found = loss_of({**w, **running}, batch, **settings)
        return found if with_statistics else (found, running)

    def one(weights, states, running, batch):
        (loss, running), gradient = jax.value_and_grad(loss_and_moved, has_aux=True)(weights, running, batch)
        update, states = optimizer.update(gradient, states, weights)
        return optax.apply_updates(weights, update), states, running, loss

    def many(weights, states, running, batch):
        def body(carried, _):
            *carried, loss = one(*carried, batch)
            return tuple(carried), loss
        carried, losses = jax.lax.scan(body, (weights, states, running), None, length=SCAN)
        return *carried, losses[-1]

    state = [weights, jax.jit(optimizer.init)(weights), running]
    del weights, everything
    single = jax.jit(one, donate_argnums=(0, 1, 2))

    def advance(function):
        *state[:], loss = function(*state, batch)
        return loss

    def first():
        losses = [float(advance(single))]
        return lambda: losses + [float(advance(single)), float(advance(single))]

    def step(function=jax.jit(many, donate_argnums=(0, 1, 2)) if mode == "scan" else single):
        advance(function).block_until_ready()

    serve(threads, first, step, SCAN if mode == "scan" else 1)


main()
