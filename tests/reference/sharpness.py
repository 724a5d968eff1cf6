"""The reference for the sharpness of the tiny model: writes sharpness.json beside it.

PyTorch and transformers, run by hand: python tests/reference/sharpness.py
The Hessian-vector products are exact here (a second backward pass), in double precision.
"""

import csv
import json
from pathlib import Path

import torch
from transformers import BertForSequenceClassification, BertTokenizer

HERE = Path(__file__).parent
PARITY = HERE.parent / "parity"

model = BertForSequenceClassification.from_pretrained(PARITY / "tiny-bert", attn_implementation="eager")
model = model.double().eval()
tokenizer = BertTokenizer.from_pretrained(PARITY / "tiny-bert")
with open(PARITY / "train.tsv") as file:
    rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
words = sorted({row["label"] for row in rows})
batch = tokenizer(
    [row["first"] for row in rows],
    [row["second"] for row in rows],
    truncation=True,
    max_length=32,
    padding=True,
    return_tensors="pt",
)
labels = torch.tensor([words.index(row["label"]) for row in rows])
parameters = [p for p in model.parameters() if p.requires_grad]


def loss():
    return torch.nn.functional.cross_entropy(model(**batch).logits, labels)


def dot(a, b):
    return sum((x * y).sum() for x, y in zip(a, b))


def product(vector):
    gradient = torch.autograd.grad(loss(), parameters, create_graph=True)
    return torch.autograd.grad(dot(gradient, [v.detach() for v in vector]), parameters)


torch.manual_seed(0)
vector = [torch.randn_like(p) for p in parameters]
eigenvalue = 0.0
for _ in range(300):
    length = dot(vector, vector).sqrt()
    vector = [v / length for v in vector]
    image = product(vector)
    eigenvalue, vector = dot(vector, image).item(), image

at = loss()
gradient = torch.autograd.grad(at, parameters)
length = dot(gradient, gradient).sqrt()
with torch.no_grad():
    for p, g in zip(parameters, gradient):
        p += 0.05 * g / length
    rise = (loss() - at).item()

numbers = {"loss": at.item(), "eigenvalue": eigenvalue, "rho": 0.05, "rise_ascent": rise}
(HERE / "sharpness.json").write_text(json.dumps(numbers, indent=1) + "\n")
print(numbers)
