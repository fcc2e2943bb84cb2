"""A row in TensorFlow:  tensorflow_worker.py train ROW MODE THREADS FOLDER

One tf.function for forward, loss, backward and the update by TensorFlow's fused kernels; MODE compile: through XLA as well. Images are channels-last,
the only layout that TensorFlow has convolutions for on a CPU."""
import os
import sys

threads, compiles = int(sys.argv[4]), sys.argv[3] == "compile"
if threads == 1:
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"

import tensorflow as tf
from safetensors.numpy import load_file

from protocol import ROWS, serve


def linear(w, name, x):
    return tf.linalg.matmul(x, w[name + ".weight"], transpose_b=True) + w[name + ".bias"]


def wide(w, name, x):
    """linear for more than two axes, as one product."""
    shape = x.shape
    y = linear(w, name, tf.reshape(x, [-1, shape[-1]]))
    return tf.reshape(y, [*shape[:-1], y.shape[-1]])


def dense(w, name, x):
    shape = x.shape
    y = tf.reshape(x, [-1, shape[-1]]) @ w[name + ".weight"] + w[name + ".bias"]
    return tf.reshape(y, [*shape[:-1], y.shape[-1]])


def layer_norm(w, name, x):
    mean, variance = tf.nn.moments(x, [-1], keepdims=True)
    return (x - mean) * tf.math.rsqrt(variance + 1e-5) * w[name + ".weight"] + w[name + ".bias"]


def cross_entropy(logits, label):
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=label, logits=logits))


def convolution(w, name, x, stride=1):
    """The rows keep [out, in, high, wide]; main turns them once to [high, wide, in, out]."""
    side = w[name + ".weight"].shape[0]
    pad = [[0, 0], [side // 2] * 2, [side // 2] * 2, [0, 0]]
    return tf.nn.conv2d(x, w[name + ".weight"], stride, pad if stride > 1 else "SAME")


def simple(w, batch):
    y = linear(w, "fc2", tf.nn.relu(linear(w, "fc1", batch["x"])))
    return tf.reduce_mean((y - batch["y"]) ** 2)


def mlp(w, batch):
    x = tf.nn.relu(linear(w, "fc2", tf.nn.relu(linear(w, "fc1", batch["x"]))))
    return cross_entropy(linear(w, "fc3", x), batch["label"])


def two_convolutions(w, batch):
    x = batch["x"]
    for name in ("conv1", "conv2"):
        x = tf.nn.max_pool2d(tf.nn.relu(tf.nn.bias_add(convolution(w, name, x), w[name + ".bias"])), 2, 2, "VALID")
    x = tf.reshape(tf.transpose(x, [0, 3, 1, 2]), [x.shape[0], -1])
    return cross_entropy(linear(w, "fc2", tf.nn.relu(linear(w, "fc1", x))), batch["label"])


def norm(w, name, x):
    """Batch norm of a training step, which also moves the running statistics."""
    mean, variance = w[name + ".running_mean"], w[name + ".running_var"]
    y, new_mean, new_variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=x, scale=w[name + ".weight"], offset=w[name + ".bias"], mean=mean, variance=variance, epsilon=1e-5,
        exponential_avg_factor=0.1, is_training=True)
    mean.assign(new_mean)
    variance.assign(new_variance)
    return y


def resnet18(w, batch, small, classes):
    x = tf.nn.relu(norm(w, "bn1", convolution(w, "conv1", batch["x"], 1 if small else 2)))
    if not small:
        x = tf.nn.max_pool2d(x, 3, 2, [[0, 0], [1, 1], [1, 1], [0, 0]])
    for i in range(1, 5):
        for j in range(2):
            name, stride = "layer%d.%d" % (i, j), 2 if i > 1 and j == 0 else 1
            y = tf.nn.relu(norm(w, name + ".bn1", convolution(w, name + ".conv1", x, stride)))
            y = norm(w, name + ".bn2", convolution(w, name + ".conv2", y))
            if name + ".downsample.0.weight" in w:
                x = norm(w, name + ".downsample.1", convolution(w, name + ".downsample.0", x, stride))
            x = tf.nn.relu(x + y)
    return cross_entropy(linear(w, "fc", tf.reduce_mean(x, [1, 2])), batch["label"])


def lstm(w, batch):
    bias = w["lstm.bias_ih_l0"] + w["lstm.bias_hh_l0"]
    x = tf.transpose(tf.gather(w["embedding.weight"], batch["token"]), [1, 0, 2])
    steps, rows, inner = x.shape
    inputs = tf.linalg.matmul(tf.reshape(x, [-1, inner]), w["lstm.weight_ih_l0"], transpose_b=True) + bias
    inputs, hidden = tf.reshape(inputs, [steps, rows, -1]), tf.transpose(w["lstm.weight_hh_l0"])
    h = c = tf.zeros([rows, hidden.shape[0]])
    inputs = tf.TensorArray(tf.float32, steps).unstack(inputs)
    for t in tf.range(steps):
        i, f, g, o = tf.split(inputs.read(t) + h @ hidden, 4, axis=-1)
        c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(g)
        h = tf.sigmoid(o) * tf.tanh(c)
    return cross_entropy(linear(w, "out", h), batch["label"])


def attend(q, k, v, heads, causal):
    """[B, T, C] -> [B, T, C]."""
    shape = q.shape
    split = lambda x: tf.transpose(tf.reshape(x, [*x.shape[:2], heads, -1]), [0, 2, 1, 3])
    q, k, v = split(q), split(k), split(v)
    scores = tf.linalg.matmul(q, k, transpose_b=True) * q.shape[-1] ** -0.5
    if causal:
        allowed = tf.linalg.band_part(tf.ones(scores.shape[-2:]), -1, 0)
        scores += (1 - allowed) * -1e30
    return tf.reshape(tf.transpose(tf.nn.softmax(scores) @ v, [0, 2, 1, 3]), shape)


def gpt(w, batch, V, T, C, L, H):
    x = tf.gather(w["wte.weight"], batch["token"]) + w["wpe.weight"]
    for i in range(L):
        name = "h.%d." % i
        q, k, v = tf.split(dense(w, name + "attn.c_attn", layer_norm(w, name + "ln_1", x)), 3, axis=-1)
        x = x + dense(w, name + "attn.c_proj", attend(q, k, v, H, True))
        y = tf.nn.gelu(dense(w, name + "mlp.c_fc", layer_norm(w, name + "ln_2", x)), approximate=True)
        x = x + dense(w, name + "mlp.c_proj", y)
    flat = tf.reshape(layer_norm(w, "ln_f", x), [-1, C])
    return cross_entropy(tf.linalg.matmul(flat, w["wte.weight"], transpose_b=True), tf.reshape(batch["next"], [-1]))


def attention(w, name, x, memory, causal):
    rows, biases = tf.split(w[name + ".in_proj_weight"], 3), tf.split(w[name + ".in_proj_bias"], 3)
    parts = dict(("%d.weight" % i, row) for i, row in enumerate(rows))
    parts.update(("%d.bias" % i, bias) for i, bias in enumerate(biases))
    q, k, v = (wide(parts, str(i), y) for i, y in enumerate((x, memory, memory)))
    return wide(w, name + ".out_proj", attend(q, k, v, 8, causal))


def feed(w, name, x):
    return wide(w, name + ".linear2", tf.nn.relu(wide(w, name + ".linear1", x)))


def transformer(w, batch):
    x, y = tf.gather(w["read.weight"], batch["source"]), tf.gather(w["write.weight"], batch["target"])
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
    return cross_entropy(wide(w, "head", layer_norm(w, "core.decoder.norm", y)), batch["next"])


def sgd(rate, momentum=0.0, decay=0.0):
    """Plain or with momentum; decay is part of the gradient."""
    def new(learned):
        sums = [tf.Variable(tf.zeros_like(w), trainable=False) for w in learned] if momentum else None

        def update(gradients):
            for i, (w, g) in enumerate(zip(learned, gradients)):
                g = tf.convert_to_tensor(g) + decay * w if decay else tf.convert_to_tensor(g)
                if momentum:
                    tf.raw_ops.ResourceApplyMomentum(var=w.handle, accum=sums[i].handle, lr=rate, grad=g, momentum=momentum)
                else:
                    tf.raw_ops.ResourceApplyGradientDescent(var=w.handle, alpha=rate, delta=g)
        return update
    return new


def adam(rate, decay=0.0, b2=0.999):
    """TensorFlow's kernel adds epsilon before the correction of the bias, so the correction goes into epsilon."""
    def new(learned):
        m, v = ([tf.Variable(tf.zeros_like(w), trainable=False) for w in learned] for _ in range(2))
        p1, p2 = tf.Variable(0.9, trainable=False), tf.Variable(b2, trainable=False)

        def update(gradients):
            for i, (w, g) in enumerate(zip(learned, gradients)):
                if decay:
                    w.assign(w * (1 - rate * decay))
                tf.raw_ops.ResourceApplyAdam(
                    var=w.handle, m=m[i].handle, v=v[i].handle, beta1_power=p1.read_value(), beta2_power=p2.read_value(),
                    lr=rate, beta1=0.9, beta2=b2, epsilon=1e-8 * tf.sqrt(1 - p2), grad=tf.convert_to_tensor(g))
            p1.assign(p1 * 0.9)
            p2.assign(p2 * b2)
        return update
    return new


# program -> (loss, optimizer)
TRAINING = {
    "simple": (simple, sgd(0.01)),
    "mlp": (mlp, adam(1e-3, 0.01)),
    "lenet": (two_convolutions, adam(1e-3)),
    "imagenet_cnn": (two_convolutions, adam(1e-3)),
    "resnet18": (resnet18, sgd(0.1, 0.9, 5e-4)),
    "lstm": (lstm, adam(1e-3)),
    "gpt": (gpt, adam(1e-3, 0.1, 0.99)),
    "transformer": (transformer, adam(1e-4)),
}


def main():
    _, row, _, _, folder = sys.argv[1:]
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    program, settings = ROWS[row]
    loss_of, optimizer_of = TRAINING[program]
    weights = {name: tf.Variable(x.transpose(2, 3, 1, 0) if x.ndim == 4 else x, trainable=".running_" not in name)
               for name, x in load_file(folder + "/weights.safetensors").items()}
    batch = {name: tf.constant(x.transpose(0, 2, 3, 1) if x.ndim == 4 else x)
             for name, x in load_file(folder + "/batch.safetensors").items()}
    learned = [w for w in weights.values() if w.trainable]
    update = optimizer_of(learned)

    @tf.function(jit_compile=compiles)
    def step():
        with tf.GradientTape() as tape:
            loss = loss_of(weights, batch, **settings)
        update(tape.gradient(loss, learned))
        return loss

    def first():
        losses = [float(step())]
        return lambda: losses + [float(step()), float(step())]

    serve(threads, first, lambda: step().numpy())


main()
