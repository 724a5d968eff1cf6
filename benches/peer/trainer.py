"""One fine-tuning run as a researcher would do it today: the Trainer of transformers, with the authors' Child-Tuning step.

    trainer.py --model DIR --data DIR --task rte --mode child-d --padding longest --max-steps 30 …

The recipe is that of the paper's program: AdamW, linear warm-up over a tenth of the steps, decay 0.01 but for biases and
layer norms, gradients clipped to norm 1. Padding is `max_length` (128 tokens, the authors' way) or `longest` (of the
batch). Prints one JSON line.
"""

import time

BEGAN = time.time()

import argparse  # noqa: E402
import csv  # noqa: E402
import json  # noqa: E402
import pathlib  # noqa: E402
import resource  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402

import numpy  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402

# Folder, columns of the texts, column of the label, whether a header comes first, and the classes in their order.
TASKS = {
    "cola": ("CoLA", [3], 1, False, ["0", "1"]),
    "sst2": ("SST-2", [0], 1, True, ["0", "1"]),
    "mrpc": ("MRPC", [3, 4], 0, True, ["0", "1"]),
    "rte": ("RTE", [1, 2], 3, True, ["entailment", "not_entailment"]),
    "stsb": ("STS-B", [7, 8], 9, True, None),
}


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True, help="a folder, or base or large for random weights of BERT's shapes")
    parser.add_argument("--data", help="a folder of GLUE; without one, random tokens of --length")
    parser.add_argument("--task", default="rte", choices=TASKS)
    parser.add_argument("--mode", default="vanilla", choices=["vanilla", "child-f", "child-d"])
    parser.add_argument("--p", type=float, default=0.3)
    parser.add_argument("--padding", default="longest", choices=["longest", "max_length"])
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--max-steps", type=int, default=-1)
    parser.add_argument("--train-size", type=int)
    parser.add_argument("--lr", type=float, default=4e-5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--precision", default="fp32", choices=["fp32", "tf32", "bf16"])
    parser.add_argument("--skip-steps", type=int, default=0, help="steps before the clock of examples per second starts")
    parser.add_argument("--many", action="store_true", help="one run for each line of options on standard input")
    return parser


def examples(path, task):
    _, texts, label, header, classes = TASKS[task]
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))[int(header):]
    rows = [row for row in rows if len(row) > max(*texts, label)]
    value = float if classes is None else classes.index
    return [([row[column] for column in texts], value(row[label])) for row in rows]


def encoded(found, tokenizer, a):
    padding = "max_length" if a.padding == "max_length" else False
    encode = lambda texts: dict(tokenizer(*texts, truncation=True, max_length=a.length, padding=padding))
    return [encode(texts) | {"label": label} for texts, label in found]


def random_examples(count, length, words):
    ids = torch.randint(1000, words, (count, length), generator=torch.Generator().manual_seed(1)).tolist()
    return [{"input_ids": row, "attention_mask": [1] * length, "label": i % 2} for i, row in enumerate(ids)]


def groups(model, decay=0.01):
    free = lambda name: name.endswith("bias") or "LayerNorm" in name
    named = list(model.named_parameters())
    return [
        {"params": [tensor for name, tensor in named if not free(name)], "weight_decay": decay},
        {"params": [tensor for name, tensor in named if free(name)], "weight_decay": 0.0},
    ]


class ChildTuning(torch.optim.AdamW):
    """AdamW over a child network: `masks` of Child-Tuning-D by parameter, or Bernoulli(p) anew in each step for -F."""

    masks, p = {}, None

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for tensor in (tensor for tensor in group["params"] if tensor.grad is not None):
                if self.p is not None:
                    kept = torch.distributions.Bernoulli(torch.full_like(tensor.grad, self.p)).sample()
                    tensor.grad *= kept / self.p
                elif tensor in self.masks:
                    tensor.grad *= self.masks[tensor]
        return super().step(closure)


def fisher_masks(trainer, p):
    """The authors' program: squared gradients of batches, each tensor clipped, and one threshold over the encoder."""
    model = trainer.model.train()
    encoder = {name: tensor for name, tensor in model.named_parameters() if "layer." in name}
    fisher = {tensor: torch.zeros_like(tensor) for tensor in encoder.values()}
    batches = trainer.get_train_dataloader()
    for batch in batches:
        model(**{name: value.to(model.device) for name, value in batch.items()}).loss.backward()
        for tensor, sum_of_squares in fisher.items():
            torch.nn.utils.clip_grad_norm_(tensor, 1.0)
            sum_of_squares += tensor.grad**2 / len(batches)
        model.zero_grad()
    values = numpy.concatenate([square.flatten().cpu().numpy() for square in fisher.values()])
    threshold = numpy.percentile(values, (1 - p) * 100)
    return {tensor: square >= threshold for tensor, square in fisher.items()}


class Clock(transformers.TrainerCallback):
    """When the first step ended, since the program began, and when the steps that do not count were over."""

    first_step, warm = None, None

    def __init__(self, skip):
        self.skip = skip

    def on_step_end(self, _, state, *__, **___):
        self.first_step = self.first_step or time.time() - BEGAN
        if state.global_step == self.skip:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            self.warm = time.time()


def score(task, classes):
    def of(prediction):
        logits, labels = prediction.predictions, prediction.label_ids
        if classes is None:
            from scipy.stats import pearsonr, spearmanr

            return {"score": (pearsonr(logits[:, 0], labels)[0] + spearmanr(logits[:, 0], labels)[0]) / 2}
        predicted = logits.argmax(-1)
        if task == "cola":
            from sklearn.metrics import matthews_corrcoef

            return {"score": matthews_corrcoef(labels, predicted)}
        if task == "mrpc":
            from sklearn.metrics import f1_score

            return {"score": (f1_score(labels, predicted) + (predicted == labels).mean()) / 2}
        return {"score": (predicted == labels).mean()}

    return of


def run(a):
    torch.set_num_threads(a.threads)
    transformers.set_seed(a.seed)
    torch.backends.cuda.matmul.allow_tf32 = a.precision != "fp32"
    folder, _, _, _, classes = TASKS[a.task]
    outputs = 1 if classes is None else len(classes)
    if a.data:
        tokenizer = transformers.AutoTokenizer.from_pretrained(a.model)
        splits = [examples(pathlib.Path(a.data) / folder / f"{split}.tsv", a.task) for split in ("train", "dev")]
        train, dev = [encoded(split, tokenizer, a) for split in splits]
        model = transformers.AutoModelForSequenceClassification.from_pretrained(a.model, num_labels=outputs)
        collate = transformers.DataCollatorWithPadding(tokenizer)
    else:
        sizes = {"base": (768, 12, 12, 3072), "large": (1024, 24, 16, 4096)}[a.model]
        names = ["hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"]
        config = transformers.BertConfig(**dict(zip(names, sizes)), num_labels=outputs)
        model = transformers.BertForSequenceClassification(config)
        count = a.batch_size * max(a.max_steps, 1)
        train, dev, collate = random_examples(count, a.length, config.vocab_size), None, None
    if a.train_size:
        train = [train[i] for i in numpy.random.default_rng(a.seed).permutation(len(train))[: a.train_size]]

    optimizer = ChildTuning(groups(model), lr=a.lr, eps=1e-6)
    clock = Clock(a.skip_steps)
    settings = transformers.TrainingArguments(
        output_dir=tempfile.mkdtemp(), per_device_train_batch_size=a.batch_size, per_device_eval_batch_size=64,
        learning_rate=a.lr, num_train_epochs=a.epochs, max_steps=a.max_steps, warmup_steps=0.1, weight_decay=0.01,
        seed=a.seed, save_strategy="no", report_to=[], disable_tqdm=True, logging_strategy="no",
        use_cpu=a.device == "cpu", bf16=a.precision == "bf16",
    )
    trainer = transformers.Trainer(
        model=model, args=settings, train_dataset=train, eval_dataset=dev, data_collator=collate,
        optimizers=(optimizer, None), compute_metrics=score(a.task, classes), callbacks=[clock],
    )
    start = time.time()
    if a.mode == "child-d":
        optimizer.masks = fisher_masks(trainer, a.p)
    elif a.mode == "child-f":
        optimizer.p = a.p
    prepare, start = time.time() - start, time.time()
    steps = trainer.train().global_step
    took = time.time() - (clock.warm or start)
    result = {
        "steps": steps, "train": time.time() - start, "prepare": prepare, "first_step": clock.first_step,
        "examples_per_second": (steps - a.skip_steps) * a.batch_size / took,
        "score": float(trainer.evaluate()["eval_score"]) if dev else None,
        "memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "device_memory_mib": torch.cuda.max_memory_reserved() / 2**20 if a.device == "cuda" else None,
    }
    print(json.dumps(result | {"total": time.time() - BEGAN}), flush=True)


def main():
    parser = arguments()
    a = parser.parse_args()
    if not a.many:
        return run(a)
    for line in sys.stdin:
        run(parser.parse_args(line.split()))


if __name__ == "__main__":
    main()
