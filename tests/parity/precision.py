"""The PyTorch program behind the bf16 runs of tests/program/parity.rs: 50 steps of vanilla and of a regression.

    python tests/parity/precision.py       (PyPI: torch 2.11.0, transformers 5.17.0, numpy)

Writes precision.json beside this file. Model, data, optimizer and loop are those of make.py, which has to be run first;
the forward pass, in training and in evaluation, is under PyTorch's autocast to bf16, weights and optimizer are fp32.
"""

import json
import os

import make
import torch


def under_autocast(load):
    def loaded(folder, regression):
        model = load(folder, regression)
        forward = model.forward

        def rounded(*arguments, **named):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                output = forward(*arguments, **named)
            output.logits = output.logits.float()  # numpy has no bf16
            return output

        model.forward = rounded
        return model

    return loaded


def main():
    folder = os.path.join(make.HERE, "tiny-bert")
    make.load = under_autocast(make.load)
    runs = {"vanilla": make.train(folder, "vanilla"), "regression": make.train(folder, "vanilla", regression=True)}
    runs = {name: {"losses": run["losses"], "norms": run["norms"]} for name, run in runs.items()}
    with open(os.path.join(make.HERE, "precision.json"), "w") as f:
        json.dump(runs, f, indent=1)
    for name, run in runs.items():
        print(name, run["losses"][0], "->", run["losses"][-1])


if __name__ == "__main__":
    main()
