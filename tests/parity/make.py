"""The PyTorch program behind tests/parity.rs: a tiny BERT, a small data set, and 50 training steps of each method.

    python tests/parity/make.py            (PyPI: torch 2.11.0, transformers 5.17.0, numpy)

Writes tiny-bert/ (config.json, model.safetensors, vocab.txt, tokenizer_config.json), train.tsv, dev.tsv and
expected.json beside this file. Everything is made from fixed seeds.

Training here is the program of a researcher: transformers' model and schedule, torch's clipping, and the AdamW of
transformers 4 (eps added to the uncorrected root, decay after the update), which the authors of Child-Tuning extend.
"""

import json
import math
import os
import random

import numpy as np
import torch
from transformers import BertConfig, BertForSequenceClassification, BertTokenizer, get_linear_schedule_with_warmup

HERE = os.path.dirname(os.path.abspath(__file__))
BATCH, STEPS, LR, WARMUP, DECAY, CLIP, EPS = 8, 50, 2e-3, 0.1, 0.1, 1.0, 1e-8
P = 0.3


def sentences(n, seed):
    """Pairs of short sentences; the label says whether the second follows from the first."""
    r = random.Random(seed)
    people, verbs, things = ["anna", "ben", "carla", "the old man", "nobody"], ["sees", "buys", "likes", "paints"], ["a house", "the red car", "fish", "two unlikely books"]
    rows = []
    for i in range(n):
        a = [r.choice(people), r.choice(verbs), r.choice(things)]
        b = list(a)
        follows = r.random() < 0.5
        if not follows:
            k = r.randrange(3)
            b[k] = r.choice([w for w in (people, verbs, things)[k] if w != a[k]])
        tail = r.choice(["", " today", " , they say , and then sleeps unbelievably well"])
        value = round(5 * (sum(x == y for x, y in zip(a, b)) / 3) - r.random(), 3)
        rows.append((" ".join(a) + tail, " ".join(b), "yes" if follows else "no", value))
    return rows


def write_data():
    for name, n, seed in (("train", 160, 1), ("dev", 64, 2)):
        with open(os.path.join(HERE, name + ".tsv"), "w", encoding="utf-8") as f:
            f.write("first\tsecond\tlabel\tvalue\n")
            for row in sentences(n, seed):
                f.write("\t".join(map(str, row)) + "\n")


def write_model():
    folder = os.path.join(HERE, "tiny-bert")
    os.makedirs(folder, exist_ok=True)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ",", "the", "old", "man", "sees", "car", "red", "fish", "they", "say", "un", "##like", "##ly", "##able", "##believ"]
    with open(os.path.join(folder, "vocab.txt"), "w") as f:
        f.write("\n".join(words + list(letters) + ["##" + c for c in letters]) + "\n")
    with open(os.path.join(folder, "tokenizer_config.json"), "w") as f:
        json.dump({"tokenizer_class": "BertTokenizer", "do_lower_case": True}, f)
    torch.manual_seed(0)
    config = BertConfig(vocab_size=len(words) + 2 * len(letters), hidden_size=48, num_hidden_layers=2, num_attention_heads=3,
                        intermediate_size=80, max_position_embeddings=64, type_vocab_size=2, num_labels=2)
    model = BertForSequenceClassification(config)
    with torch.no_grad():  # away from the initial point, so that no bias is zero and no gradient vanishes
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    return folder


class HuggingFaceAdamW(torch.optim.Optimizer):
    def __init__(self, groups, masks=None, freeze=False):
        super().__init__(groups, dict(lr=LR, betas=(0.9, 0.999), eps=EPS, weight_decay=0.0))
        self.masks, self.freeze = masks or {}, freeze

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            b1, b2 = group["betas"]
            for w in group["params"]:
                g = w.grad
                mask = self.masks.get(w)
                if mask is not None:
                    g = g * mask
                s = self.state[w]
                if not s:
                    s.update(t=0, m=torch.zeros_like(w), v=torch.zeros_like(w))
                s["t"] += 1
                s["m"].mul_(b1).add_(g, alpha=1 - b1)
                s["v"].mul_(b2).addcmul_(g, g, value=1 - b2)
                a = group["lr"] * math.sqrt(1 - b2 ** s["t"]) / (1 - b1 ** s["t"])
                w.addcdiv_(s["m"], s["v"].sqrt().add_(group["eps"]), value=-a)
                if group["weight_decay"]:
                    decay = group["lr"] * group["weight_decay"]
                    w.sub_(w * (mask if self.freeze and mask is not None else 1.0) * decay)


def load(folder, regression):
    kw = dict(num_labels=1, ignore_mismatched_sizes=True) if regression else {}
    model = BertForSequenceClassification.from_pretrained(folder, attn_implementation="eager", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, **kw)
    if regression:  # the stored head has two outputs; the test's checkpoint for the regression holds this one
        torch.manual_seed(3)
        torch.nn.init.normal_(model.classifier.weight, std=0.1)
        torch.nn.init.zeros_(model.classifier.bias)
        model.save_pretrained(folder + "-regression")
        for name in ("vocab.txt", "tokenizer_config.json"):
            with open(os.path.join(folder, name)) as a, open(os.path.join(folder + "-regression", name), "w") as b:
                b.write(a.read())
    return model


def read(split, tokenizer, regression):
    rows = []
    with open(os.path.join(HERE, split + ".tsv"), encoding="utf-8") as f:
        next(f)
        for line in f:
            first, second, label, value = line.rstrip("\n").split("\t")
            encoded = tokenizer(first, second, truncation=True, max_length=32)
            rows.append((dict(encoded), float(value) if regression else ["no", "yes"].index(label)))
    return rows


def collate(rows, tokenizer):
    batch = tokenizer.pad([e for e, _ in rows], return_tensors="pt")
    batch["labels"] = torch.tensor([y for _, y in rows])
    return batch


def child(model, rows, tokenizer, code):
    """The masks of Child-Tuning-D: the authors' program (code) or the paper's equation."""
    encoder = {n: p for n, p in model.named_parameters() if "layer." in n}
    fisher = {n: torch.zeros_like(p) for n, p in encoder.items()}
    size = BATCH if code else 1
    batches = [rows[i : i + size] for i in range(0, len(rows), size)]
    model.train() if code else model.eval()
    for b in batches:
        model.zero_grad()
        model(**collate(b, tokenizer)).loss.backward()
        for n, p in encoder.items():
            if code:
                torch.nn.utils.clip_grad_norm_(p, CLIP)
            fisher[n] += p.grad**2 / len(batches)
    model.zero_grad()
    flat = torch.cat([f.reshape(-1) for f in fisher.values()]).numpy()
    if code:
        keep = flat >= np.percentile(flat, (1 - P) * 100)
    else:
        keep = np.zeros(len(flat), dtype=bool)
        keep[np.argsort(-flat, kind="stable")[: round(P * len(flat))]] = True
    masks, at = {}, 0
    for n, p in encoder.items():
        masks[p] = torch.tensor(keep[at : at + p.numel()]).view_as(p).float()
        at += p.numel()
    return masks, [int(mask.sum()) for mask in masks.values()], len(keep)


def train(folder, mode, regression=False):
    tokenizer = BertTokenizer.from_pretrained(folder)
    model = load(folder, regression)
    rows, dev = read("train", tokenizer, regression), read("dev", tokenizer, regression)
    masks, kept, of = {}, [], 0
    if mode != "vanilla":
        masks, kept, of = child(model, rows, tokenizer, mode == "code")
    no_decay = ("bias", "LayerNorm.weight")
    named = list(model.named_parameters())
    groups = [{"params": [p for n, p in named if not n.endswith(no_decay)], "weight_decay": DECAY},
              {"params": [p for n, p in named if n.endswith(no_decay)], "weight_decay": 0.0}]
    optimizer = HuggingFaceAdamW(groups, masks, freeze=mode == "paper")
    warm = 0 if mode == "code" else math.ceil(WARMUP * STEPS)
    schedule = get_linear_schedule_with_warmup(optimizer, warm, STEPS)
    model.train()
    losses, norms, rates, step = [], [], [], 0
    while step < STEPS:
        for i in range(0, len(rows), BATCH):
            if step == STEPS:
                break
            model.zero_grad()
            loss = model(**collate(rows[i : i + BATCH], tokenizer)).loss
            loss.backward()
            norms.append(float(torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)))
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
            step += 1
    model.eval()
    with torch.no_grad():
        logits = torch.cat([model(**collate([row], tokenizer)).logits for row in dev])
    labels = np.array([y for _, y in dev])
    score = np.corrcoef(logits[:, 0].numpy(), labels)[0, 1] if regression else (logits.argmax(-1).numpy() == labels).mean()
    return {"losses": losses, "norms": norms, "rates": rates, "kept": kept, "of": of, "score": float(score)}


def main():
    write_data()
    folder = write_model()
    runs = {"vanilla": train(folder, "vanilla"), "child-d paper": train(folder, "paper"), "child-d code": train(folder, "code"),
            "regression": train(folder, "vanilla", regression=True)}
    with open(os.path.join(HERE, "expected.json"), "w") as f:
        json.dump(runs, f, indent=1)
    for name, run in runs.items():
        print(name, run["losses"][0], "->", run["losses"][-1], "kept", sum(run["kept"]), "of", run["of"], "score", run["score"])


if __name__ == "__main__":
    main()
