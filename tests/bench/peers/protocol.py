"""The peers' side of a row: the same lines as tests/bench/worker.c speaks (see tests/bench/README.md).

    serve(threads, first, step)     first() does one step and gives a function that gives numbers to compare; step() does the timed work,
                                    `steps` steps of it, and waits for its end
"""
import sys
import time


SAMPLE_SECONDS = 500e-6


def samples(step, clock, limit, most):
    """Seconds of one call in every sample. A sample is one call, or as many as take SAMPLE_SECONDS."""
    stop, begin, group, times = time.perf_counter() + limit, clock(), 0, []
    while group == 0 or clock() - begin < SAMPLE_SECONDS:
        step()
        group += 1
    if group == 1:
        times.append(clock() - begin)
    while not times or (len(times) < most and time.perf_counter() < stop):
        begin = clock()
        for _ in range(group):
            step()
        times.append((clock() - begin) / group)
    return sorted(times), group


def serve(threads, first, step, steps=1):
    # Time of the processor on one thread, time that passes on several.
    clock = time.process_time if threads == 1 else time.perf_counter
    first_check = first()
    print("first", flush=True)
    print("check", *("%.9g" % value for value in first_check()), flush=True)
    for line in sys.stdin:
        words = line.split()
        if len(words) != 3 or words[0] != "run":
            return
        times, group = samples(step, clock, float(words[1]), int(words[2]))
        print("time", len(times) * group * steps, "%.9g" % (times[0] / steps), "%.9g" % (times[len(times) // 2] / steps),
              flush=True)


def means(answer):
    """What stands for an answer: the mean and the mean square of all its elements."""
    flat = answer.astype("float64").ravel()
    return [flat.mean(), (flat * flat).mean()]


# Settings of the rows that share a program: row -> (program, settings). Sizes of batches come with the batch itself.
ROWS = {
    "simple": ("simple", {}),
    "mlp": ("mlp", {}),
    "lenet-b64": ("lenet", {}),
    "lenet-b128": ("lenet", {}),
    "imagenet-cnn": ("imagenet_cnn", {}),
    "resnet18-32": ("resnet18", {"small": True, "classes": 10}),
    "resnet18-224": ("resnet18", {"small": False, "classes": 1000}),
    "lstm": ("lstm", {}),
    "gpt-nano": ("gpt", {"V": 65, "T": 64, "C": 128, "L": 4, "H": 4}),
    "gpt-char": ("gpt", {"V": 65, "T": 256, "C": 384, "L": 6, "H": 6}),
    "gpt2-T64": ("gpt", {"V": 50257, "T": 64, "C": 768, "L": 12, "H": 12}),
    "gpt2-T256": ("gpt", {"V": 50257, "T": 256, "C": 768, "L": 12, "H": 12}),
    "transformer": ("transformer", {}),
}
