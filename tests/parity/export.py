"""Whether transformers (and PEFT, for an adapter) says of an exported model what `sweep predict` says.

    python tests/parity/export.py FOLDER TEXTS PREDICTIONS MAX_LENGTH [BASE]
                                        (PyPI: torch 2.11.0, transformers 5.17.0; for BASE also peft 0.21.2)

FOLDER      what `sweep export` wrote; with BASE, the folder of the pre-trained model, what it wrote with --adapter
TEXTS       a text a line, or a pair with a tab between
PREDICTIONS what `sweep predict RUN --file TEXTS --format json` said

Prints the largest difference of a probability or a value, and ends with 1 if it is above 1e-5, if a class differs, or
if the checkpoint has a tensor too many, too few or of the wrong shape. Run by tests/program/export.rs where SWEEP_PYTHON
names a Python that has these packages.
"""

import json
import sys

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

TOLERANCE = 1e-5


def load(folder, outputs, base):
    if base is None:
        model, report = AutoModelForSequenceClassification.from_pretrained(folder, output_loading_info=True)
        faults = {kind: sorted(map(str, names)) for kind, names in report.items() if names}
        assert not faults, f"the checkpoint does not fit its model: {faults}"
        return model
    from peft import PeftModel

    torch.manual_seed(0)  # the base's own head, which the adapter's takes the place of
    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=outputs, ignore_mismatched_sizes=True)
    return PeftModel.from_pretrained(model, folder)


def main(folder, texts, predictions, max_length, base=None):
    rows = [line.split("\t") for line in open(texts, encoding="utf-8").read().splitlines()]
    said = json.load(open(predictions, encoding="utf-8"))
    assert len(said) == len(rows), f"{len(said)} predictions of {len(rows)} texts"
    shares = [[value for key, value in row.items() if key.startswith("p(")] for row in said]
    model = load(folder, max(len(shares[0]), 1), base).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    worst = 0.0
    with torch.no_grad():
        for row, prediction, share in zip(rows, said, shares):
            logits = model(**tokenizer(*row, truncation=True, max_length=int(max_length), return_tensors="pt")).logits[0]
            if not share:
                worst = max(worst, abs(logits[0].item() - prediction["prediction"]))
                continue
            if base is None:
                assert model.config.problem_type == "single_label_classification"
                assert [f"p({word})" for word in model.config.id2label.values()] == list(prediction)[-len(share):]
                assert model.config.id2label[logits.argmax().item()] == prediction["prediction"], row
            found = logits.double().softmax(-1)
            worst = max(worst, (found - torch.tensor(share, dtype=torch.double)).abs().max().item())
    print(f"{len(rows)} texts, largest difference {worst:.1e}")
    return 0 if worst <= TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
