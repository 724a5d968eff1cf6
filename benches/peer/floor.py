"""The least time of a training example: floating-point operations of its matrix products over the rate that torch reaches on
just these shapes, and the bytes that an update must move over the bandwidth of memory.

    floor.py --model DIR --data DIR --task rte [--threads 2]

Counts what has to be computed and moved where no work is done on padding and the last layer is computed for the one token that the
head reads. Prints one JSON line.
"""

import argparse
import json
import pathlib
import time

import torch
import transformers

from trainer import TASKS, examples

BATCH = 16


def rate(product, operations):
    """GFLOP/s of a product, the best of several spans."""
    product()
    best = 0.0
    for _ in range(5):
        count, began = 0, time.perf_counter()
        while (took := time.perf_counter() - began) < 0.2:
            product()
            count += 1
        best = max(best, operations * count / took / 1e9)
    return best


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--task", default="rte", choices=TASKS)
    parser.add_argument("--threads", type=int, default=2)
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    config = transformers.AutoConfig.from_pretrained(a.model)
    tokenizer = transformers.AutoTokenizer.from_pretrained(a.model)
    found = examples(pathlib.Path(a.data) / TASKS[a.task][0] / "train.tsv", a.task)
    step = max(1, len(found) // 2000)
    encode = lambda texts: len(tokenizer(*texts, truncation=True, max_length=128)["input_ids"])
    lengths = [encode(texts) for texts, _ in found[::step]]
    tokens = sum(lengths) / len(lengths)
    squares = sum(length**2 for length in lengths) / len(lengths)

    width, inner, layers = config.hidden_size, config.intermediate_size, config.num_hidden_layers
    rows = round(tokens * BATCH)
    weights = [(width, width)] * 4 + [(inner, width), (width, inner)]
    seconds, operations = 0.0, 0.0
    # Forward, and backward to the input and to the weight: each a product of as many operations.
    for out, into in set(weights):
        x, y, w = torch.randn(rows, into), torch.randn(rows, out), torch.randn(out, into)
        once = 2 * rows * out * into
        times = layers * weights.count((out, into)) - (0 if (out, into) == (width, width) else 1)
        # Of the last layer two of the square products are of all tokens: keys and values.
        times -= 2 if (out, into) == (width, width) else 0
        for product in (lambda: torch.nn.functional.linear(x, w), lambda: y @ w, lambda: y.t() @ x):
            seconds += times * once / rate(product, once) / 1e9
            operations += times * once
    mean = round(tokens)
    heads, size = config.num_attention_heads, width // config.num_attention_heads
    q, k = torch.randn(BATCH * heads, mean, size), torch.randn(BATCH * heads, size, mean)
    of_scores = rate(lambda: q @ k, 2 * BATCH * heads * mean * mean * size)
    # Scores and their sums of values, forward and twice backward.
    of_attention = (layers - 1) * 2 * 3 * 2 * squares * width * BATCH
    seconds += of_attention / of_scores / 1e9
    operations += of_attention
    # θ and both moments are read and written, the gradient is written, read for its norm and read again; of a vocabulary
    # nearly all rows only decay.
    table = config.vocab_size * width
    rest = layers * sum(out * into for out, into in weights)
    moved = 4 * (9 * rest + 2 * table)
    here, there = torch.randn(50_000_000), torch.empty(50_000_000)
    gigabytes = rate(lambda: there.copy_(here), 2 * 4 * here.numel())
    of_update = moved / gigabytes / 1e9
    print(json.dumps({
        "tokens": tokens, "gflop": operations / BATCH / 1e9, "gflops": operations / seconds / 1e9,
        "products_ms": seconds * 1e3, "megabytes": moved / 1e6, "gigabytes_per_second": gigabytes, "update_ms": of_update * 1e3,
        "examples_per_second": BATCH / (seconds + of_update),
    }))


if __name__ == "__main__":
    main()
