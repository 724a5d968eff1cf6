"""The PyTorch programs behind the methods of tests/program/parity.rs: 30 training steps of each.

    python tests/parity/methods.py         (PyPI: torch 2.11.0, transformers 5.17.0, numpy, blake3)

Writes methods.json beside this file, over the model and data that make.py wrote. Each method is written as its authors'
program or its paper has it, on transformers' model: masks on `.grad`, mixed weights through functional_call, noise
through forward hooks. What a method draws at random is drawn here as src/method/draw.rs draws it, so that both sides see
the same masks and the same noise.
"""

import json
import math
import os

import blake3
import numpy as np
import torch
from torch.func import functional_call
from torch.nn.functional import cross_entropy, mse_loss
from transformers import BertTokenizer, get_linear_schedule_with_warmup

from make import BATCH, CLIP, DECAY, EPS, HERE, LR, WARMUP, child, collate, load, read

STEPS, SEED = 30, 1


# The draws of src/method/draw.rs, and the keys of src/method/mod.rs.

def stream(purpose, position):
    text = SEED.to_bytes(8, "little") + position.to_bytes(8, "little") + purpose.encode()
    return int.from_bytes(blake3.blake3(text).digest()[:8], "little")


def scramble(counter):
    with np.errstate(over="ignore"):
        z = counter * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def counters(key, first, n):
    with np.errstate(over="ignore"):
        return np.uint64(key) + np.uint64(first) + np.arange(n, dtype=np.uint64)


def bits(key, offset, shape):
    """32 bits for each position, two positions a word."""
    n = math.prod(shape)
    words = scramble(counters(key, offset // 2, n // 2 + 2))
    both = np.stack([words & np.uint64(0xFFFFFFFF), words >> np.uint64(32)], 1).reshape(-1)
    return both[offset % 2 : offset % 2 + n].reshape(shape)


def bernoulli(key, p, offset, shape):
    return torch.tensor((bits(key, offset, shape) < round(p * 2**32)).astype(np.float32))


def uniform(key, offset, shape):
    return torch.tensor((bits(key, offset, shape) >> np.uint64(8)).astype(np.float32) * np.float32(2**-24))


def normal(key, offset, shape):
    words = scramble(counters(key, offset, math.prod(shape)))
    high, low = (words >> np.uint64(32)).astype(np.float32), (words & np.uint64(0xFFFFFFFF)).astype(np.float32)
    radius = np.minimum((high + np.float32(1)) * np.float32(2**-32), np.float32(1))
    angle = low * np.float32(2**-32) * np.float32(2 * math.pi)
    return torch.tensor((np.sqrt(-2 * np.log(radius)) * np.cos(angle)).astype(np.float32).reshape(shape))


def signed(key):
    return key - 2**64 if key >= 2**63 else key


# What is true of every parameter.

def offsets(model):
    found, at = {}, 0
    for name, p in model.named_parameters():
        found[name] = at
        at += p.numel()
    return found


def is_encoder(name):
    return "encoder.layer." in name


def layer_of(name):
    return int(name.split("layer.")[1].split(".")[0])


def decays(name):
    return not name.endswith(("bias", "LayerNorm.weight"))


def is_linear(name, p):
    return p.dim() == 2 and (is_encoder(name) or "pooler" in name)


class Method:
    """A method with its hooks; the base is full fine-tuning."""

    warmup = True

    def __init__(self, model, rows, tokenizer, regression, new_head):
        self.model, self.rows, self.tokenizer, self.regression = model, rows, tokenizer, regression
        self.at = offsets(model)
        self.start = {n: p.detach().clone() for n, p in model.named_parameters()}
        self.new = {"classifier.weight", "classifier.bias"} if new_head else set()
        self.mask, self.decay = {}, {n: DECAY if decays(n) else 0.0 for n in self.start}
        self.prepare()

    def prepare(self):
        pass

    def weights(self, step):
        return {}

    def logits(self, batch, step, passed):
        inputs = {k: v for k, v in batch.items() if k != "labels"}
        return functional_call(self.model, self.weights(step), (), inputs).logits

    def task_loss(self, logits, labels):
        return mse_loss(logits[:, 0], labels) if self.regression else cross_entropy(logits, labels)

    def loss(self, batch, step):
        return self.task_loss(self.logits(batch, step, 0), batch["labels"])

    def raw(self, step):
        pass

    def gradient(self, name, g, step):
        return g * self.mask[name] if name in self.mask else g

    def step(self, name, p, g, taken, step):
        return taken

    def pull(self, name, p, rate, step):
        return None


def divergence(a, b, regression):
    """Summed over the batch."""
    if regression:
        return mse_loss(a, b, reduction="sum")
    p, q = a.log_softmax(-1), b.log_softmax(-1)
    kl = lambda x, y: torch.nn.functional.kl_div(y, x, log_target=True, reduction="sum")
    return kl(p, q) + kl(q, p)


class ChildF(Method):
    p = 0.3

    def gradient(self, name, g, step):
        return g * bernoulli(stream("child-f", step), self.p, self.at[name], tuple(g.shape)) / self.p


class Fixed(Method):
    """A fixed child network; what is outside it does not decay."""

    def masks(self):
        raise NotImplementedError

    def prepare(self):
        self.mask = self.masks()


class ChildD(Fixed):
    def masks(self):
        found, _, _ = child(self.model, self.rows, self.tokenizer, False)
        names = {p: n for n, p in self.model.named_parameters()}
        return {names[p]: m for p, m in found.items()}


def ranked(model, scores, k):
    """Ones at the k largest of the encoder's scores."""
    keep = np.zeros(len(scores), dtype=np.float32)
    keep[np.argsort(-scores, kind="stable")[:k]] = 1
    masks, at = {}, 0
    for n, p in model.named_parameters():
        if is_encoder(n):
            masks[n] = torch.tensor(keep[at : at + p.numel()]).view_as(p)
            at += p.numel()
    return masks


class ChildRandom(Fixed):
    def masks(self):
        n = sum(p.numel() for name, p in self.model.named_parameters() if is_encoder(name))
        return ranked(self.model, uniform(stream("child-random", 0), 0, (n,)).numpy(), round(0.3 * n))


def per_example_fisher(model, rows, tokenizer):
    total = {n: torch.zeros_like(p) for n, p in model.named_parameters()}
    model.eval()
    for row in rows:
        model.zero_grad()
        model(**collate([row], tokenizer)).loss.backward()
        for n, p in model.named_parameters():
            total[n] += p.grad**2 / len(rows)
    model.zero_grad()
    return total


class ChildLowest(Fixed):
    def masks(self):
        fisher = per_example_fisher(self.model, self.rows, self.tokenizer)
        flat = torch.cat([f.reshape(-1) for n, f in fisher.items() if is_encoder(n)]).numpy()
        return ranked(self.model, -flat, round(0.3 * len(flat)))


class Prune(ChildD):
    def prepare(self):
        super().prepare()
        with torch.no_grad():
            for n, p in self.model.named_parameters():
                if n in self.mask:
                    p.mul_(self.mask[n])


class Fish(Fixed):
    def masks(self):
        order = self.rows  # every example, so that the order says nothing
        fisher = per_example_fisher(self.model, order, self.tokenizer)
        names = [n for n in fisher if not n.startswith("classifier")]
        flat = torch.cat([fisher[n].reshape(-1) for n in names]).numpy()
        total = sum(p.numel() for p in self.model.parameters())
        head = sum(p.numel() for n, p in self.model.named_parameters() if n.startswith("classifier"))
        keep = np.zeros(len(flat), dtype=np.float32)
        keep[np.argsort(-flat, kind="stable")[: int(0.3 * total) - head]] = 1
        masks, at = {}, 0
        for n in names:
            masks[n] = torch.tensor(keep[at : at + fisher[n].numel()]).view_as(fisher[n])
            at += fisher[n].numel()
        return masks


class WeightDecay(Method):
    def prepare(self):
        self.decay = {n: d if n in self.new else 0.0 for n, d in self.decay.items()}

    def pull(self, name, p, rate, step):
        return rate * 2.0 * (p - self.start[name]) if decays(name) and name not in self.new else None


class Frozen(Method):
    def trained(self, name):
        raise NotImplementedError

    def prepare(self):
        for n, p in self.model.named_parameters():
            p.requires_grad_(self.trained(n))


class TopK(Frozen):
    def trained(self, name):
        return "embeddings" not in name and not (is_encoder(name) and layer_of(name) < 1)


class TopKNone(Frozen):
    def trained(self, name):
        return "pooler" in name or "classifier" in name


class BitFit(Frozen):
    def trained(self, name):
        return name.endswith("bias") or name.startswith("classifier")


class Mixout(Method):
    p, grain = 0.5, "column"

    def weights(self, step, passed=0):
        mixed = {}
        for n, w in self.model.named_parameters():
            if is_linear(n, w):
                shape = (w.shape[1],) if self.grain == "column" else tuple(w.shape)
                noise = bernoulli(stream("mixout", step << 8 | passed), 1 - self.p, self.at[n], shape)
                target = self.start[n]
                mixed[n] = ((1 - noise) * target + noise * w - self.p * target) / (1 - self.p)
        return mixed


class MixoutWeight(Mixout):
    grain = "weight"


class RecAdam(Method):
    k, t0, gamma = 0.5, 10, 20.0

    def fade(self, step):
        return 1 / (1 + math.exp(-self.k * (step - self.t0)))

    def step(self, name, p, g, taken, step):
        return taken * self.fade(step) if name not in self.new else taken

    def pull(self, name, p, rate, step):
        return rate * (1 - self.fade(step)) * self.gamma * (p - self.start[name]) if name not in self.new else None


class RecAdamConstant(RecAdam):
    """λ = w = 0.5 throughout, so that w − λ = 0 and nothing pulls."""

    def fade(self, step):
        return 0.5

    def pull(self, name, p, rate, step):
        return None


class RecAdamLinear(RecAdam):
    def fade(self, step):
        return min(1, step / 15)  # half of the 30 steps


class R3F(Method):
    weight, eps, shape = 1.0, 0.05, "uniform"

    def noise(self, words, mask, step):
        n = int(mask.sum())
        key, shape = stream("r3f", step), (n, words.shape[-1])
        z = normal(key, 0, shape) if self.shape == "normal" else 2 * uniform(key, 0, shape) - 1
        full = torch.zeros_like(words)
        full[mask.bool()] = z * self.eps
        return full

    def loss(self, batch, step):
        clean = self.logits(batch, step, 0)
        words = self.model.bert.embeddings.word_embeddings(batch["input_ids"]).detach()
        noised = self.model(inputs_embeds=words + self.noise(words, batch["attention_mask"], step),
                            attention_mask=batch["attention_mask"], token_type_ids=batch["token_type_ids"]).logits
        apart = divergence(clean, noised, self.regression) / len(batch["labels"])
        return self.task_loss(clean, batch["labels"]) + self.weight * apart


class R3FNormal(R3F):
    shape = "normal"


class HyPe(Method):
    sigma, shape = 0.05, "normal"

    def logits(self, batch, step, passed):
        mask = batch["attention_mask"].bool()

        def disturb(layer):
            def hook(module, args):
                hidden = args[0]
                key, shape = stream("hype", step << 24 | passed << 16 | layer), (int(mask.sum()), hidden.shape[-1])
                z = normal(key, 0, shape) if self.shape == "normal" else 2 * uniform(key, 0, shape) - 1
                full = torch.zeros_like(hidden)
                full[mask] = z * self.sigma
                return (hidden + full, *args[1:])
            return hook

        handles = [l.register_forward_pre_hook(disturb(i)) for i, l in enumerate(self.model.bert.encoder.layer)]
        logits = super().logits(batch, step, passed)
        for handle in handles:
            handle.remove()
        return logits


class HyPeUniform(HyPe):
    shape = "uniform"


class RDropHyPe(HyPe):
    """Without dropout the two passes of R-Drop would agree; HyPe's noise makes them differ."""

    def loss(self, batch, step):
        a, b = self.logits(batch, step, 0), self.logits(batch, step, 1)
        apart = divergence(a, b, self.regression)
        return 0.5 * (self.task_loss(a, batch["labels"]) + self.task_loss(b, batch["labels"])) + 0.5 * self.alpha(apart, batch)

    def alpha(self, apart, batch):
        return apart / len(batch["labels"])


class RDropHyPeCode(RDropHyPe):
    def alpha(self, apart, batch):
        return apart


class NoisyTune(Method):
    def prepare(self):
        with torch.no_grad():
            for n, p in self.model.named_parameters():
                if n not in self.new:
                    noise = uniform(stream("noisytune", 0), self.at[n], tuple(p.shape)) - 0.5
                    p.add_(noise * 0.5 * p.std())


class L2SP(Method):
    alpha, beta = 0.5, 0.05

    def prepare(self):
        self.decay = dict.fromkeys(self.decay, 0.0)

    def raw(self, step):
        for n, p in self.model.named_parameters():
            if decays(n):
                p.grad.add_(self.beta * p.detach() if n in self.new else self.alpha * (p.detach() - self.start[n]))


def stage(step):
    length = int(0.2 * STEPS)
    return math.ceil(step / length) % 2, (step - 1) % length == 0, length


def border(scores, p):
    flat = scores.reshape(-1).sort(descending=True).values
    return (scores >= flat[math.ceil(len(flat) * (1 - p)) - 1]).float()


class DPSDense(Method):
    p = 0.3

    def prepare(self):
        self.scores = {n: torch.zeros_like(w) for n, w in self.model.named_parameters() if is_encoder(n) and w.dim() == 2}

    def raw(self, step):
        odd, begins, _ = stage(step)
        for n, w in self.model.named_parameters():
            if n not in self.scores:
                continue
            if odd:
                self.scores[n] = (0 if begins else self.scores[n]) + w.grad**2
            else:
                if begins:
                    self.scores[n] = border(self.scores[n], self.p)
                w.grad.mul_(self.scores[n])


class DPSMix(Method):
    p = 0.3

    def prepare(self):
        names = [n for n, w in self.model.named_parameters() if is_encoder(n) and w.dim() == 2]
        self.sums, self.kept, self.noise, self.begun = ({n: None for n in names} for _ in range(4))

    def weights(self, step):
        odd, begins, length = stage(step)
        mixed = {}
        for n, w in self.model.named_parameters():
            if n not in self.sums:
                continue
            if odd:
                noise = bernoulli(stream("dps-mix", step), 1 - self.p, self.at[n], (w.shape[1],)).expand_as(w)
                self.kept[n] = noise.clone() if begins else self.kept[n] + noise
                target = self.start[n]
            else:
                if begins:
                    times = self.kept[n].clamp(min=1)
                    importance = self.sums[n] / times * (torch.exp(-times / length) if length >= 50 else 1)
                    self.noise[n], self.begun[n] = border(importance, self.p), w.detach().clone()
                noise, target = self.noise[n], self.begun[n]
            mixed[n] = ((1 - noise) * target + noise * w - self.p * target) / (1 - self.p)
        return mixed

    def raw(self, step):
        odd, begins, _ = stage(step)
        for n, w in self.model.named_parameters():
            if n in self.sums and odd:
                self.sums[n] = (0 if begins else self.sums[n]) + w.grad**2


class LoRA(Method):
    rank, alpha = 4, 8.0

    def prepare(self):
        at = sum(p.numel() for p in self.model.parameters())
        self.thin = {}
        for n, w in list(self.model.named_parameters()):
            w.requires_grad_(n.startswith("classifier"))
            if n.endswith(("query.weight", "value.weight")):
                out, into = w.shape
                a = (2 * uniform(stream("lora", 0), at, (self.rank, into)) - 1) / math.sqrt(into)
                at += a.numel() + out * self.rank
                self.thin[n] = (torch.nn.Parameter(a), torch.nn.Parameter(torch.zeros(out, self.rank)))

    def weights(self, step):
        named = dict(self.model.named_parameters())
        return {n: named[n] + self.alpha / self.rank * b @ a for n, (a, b) in self.thin.items()}

    def extra(self):
        return [(n + str(i), p) for n, pair in self.thin.items() for i, p in enumerate(pair)]


class LLRD(Method):
    d = 0.7

    def share(self, name):
        layers = len(self.model.bert.encoder.layer)
        if "embeddings" in name:
            return self.d ** (layers + 1)
        return self.d ** (layers - layer_of(name)) if is_encoder(name) else 1.0

    def prepare(self):
        self.decay = {n: d * self.share(n) for n, d in self.decay.items()}

    def step(self, name, p, g, taken, step):
        return taken * self.share(name)


class Reinit(Method):
    def prepare(self):
        with torch.no_grad():
            for index, (n, p) in enumerate(self.model.named_parameters()):
                if "pooler" in n or (is_encoder(n) and layer_of(n) >= 1):
                    torch.manual_seed(signed(stream("reinit", index)))
                    if decays(n):
                        p.copy_(torch.randn(p.shape) * 0.02)
                    else:
                        p.fill_(0.0 if n.endswith("bias") else 1.0)


class SAGE(Method):
    beta3 = 0.75

    def prepare(self):
        self.average = {}

    def step(self, name, p, g, taken, step):
        if not (is_encoder(name) and p.dim() == 2):
            return taken
        sensitivity = (p * g).abs()
        self.average[name] = self.beta3 * self.average.get(name, 0) + (1 - self.beta3) * sensitivity
        expected = self.average[name] / (1 - self.beta3**step)
        return taken * (sensitivity - expected).abs() / (expected + 1e-12)


class ChildDR3F(ChildD, R3F):
    pass


class ChildFWeightDecay(ChildF, WeightDecay):
    pass


class MixoutChildD(Mixout, ChildD):
    pass


def draw_head(model):
    """As src/worker/network/weights.rs draws one: the generator of torch, seeded for each tensor."""
    with torch.no_grad():
        for index, (name, p) in enumerate(model.named_parameters()):
            if name == "classifier.weight":
                torch.manual_seed(signed(stream("head", index)))
                p.copy_(torch.randn(p.shape) * 0.02)
        model.classifier.bias.zero_()


def train(method_class, regression=False, new_head=False):
    folder = os.path.join(HERE, "tiny-bert")
    tokenizer = BertTokenizer.from_pretrained(folder)
    model = load(folder, regression)
    rows = read("train", tokenizer, regression)
    if new_head:
        draw_head(model)
    method = method_class(model, rows, tokenizer, regression, new_head)
    model.train()
    parameters = [(n, p) for n, p in model.named_parameters()] + getattr(method, "extra", list)()
    trained = [(n, p) for n, p in parameters if p.requires_grad]
    state = {n: (torch.zeros_like(p), torch.zeros_like(p)) for n, p in trained}
    dummy = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=LR)
    schedule = get_linear_schedule_with_warmup(dummy, math.ceil(WARMUP * STEPS), STEPS)
    losses, norms, step = [], [], 0
    while step < STEPS:
        for i in range(0, len(rows), BATCH):
            if step == STEPS:
                break
            step += 1
            for _, p in trained:
                p.grad = None
            loss = method.loss(collate(rows[i : i + BATCH], tokenizer), step)
            loss.backward()
            for _, p in trained:
                p.grad = torch.zeros_like(p) if p.grad is None else p.grad
            method.raw(step)
            norms.append(float(torch.nn.utils.clip_grad_norm_([p for _, p in trained], CLIP)))
            rate = dummy.param_groups[0]["lr"]
            with torch.no_grad():
                for n, p in trained:
                    m, v = state[n]
                    g = method.gradient(n, p.grad, step)
                    m.mul_(0.9).add_(g, alpha=0.1)
                    v.mul_(0.999).addcmul_(g, g, value=0.001)
                    a = rate * math.sqrt(1 - 0.999**step) / (1 - 0.9**step)
                    p.sub_(method.step(n, p, g, a * m / (v.sqrt() + EPS), step))
                    held = method.mask.get(n, 1.0)
                    pull = method.pull(n, p, rate, step)
                    if pull is not None:
                        p.sub_(pull * held)
                    p.sub_(p * held * rate * method.decay.get(n, DECAY))
            dummy.step()
            schedule.step()
            losses.append(loss.item())
    return {"losses": losses, "norms": norms}


RUNS = {
    "child-f": ChildF, "child-random": ChildRandom, "child-lowest": ChildLowest, "prune": Prune,
    "weight-decay": WeightDecay, "top-k": TopK, "mixout column": Mixout, "mixout weight": MixoutWeight,
    "recadam sigmoid": RecAdam, "recadam linear": RecAdamLinear, "recadam constant": RecAdamConstant, "top-k none": TopKNone, "r3f uniform": R3F, "r3f normal": R3FNormal,
    "r-drop+hype paper": RDropHyPe, "r-drop+hype code": RDropHyPeCode, "noisytune": NoisyTune,
    "hype normal": HyPe, "hype uniform": HyPeUniform, "dps-dense": DPSDense, "dps-mix": DPSMix, "l2-sp": L2SP,
    "bitfit": BitFit, "lora": LoRA, "fish": Fish, "llrd": LLRD, "reinit": Reinit, "sage": SAGE,
    "child-d+r3f": ChildDR3F, "child-f+weight-decay": ChildFWeightDecay, "mixout+child-d": MixoutChildD,
}


def main():
    runs = {name: train(method) for name, method in RUNS.items()}
    runs["vanilla"] = train(Method)
    for name in ("r3f uniform", "r-drop+hype paper"):
        runs[name + " regression"] = train(RUNS[name], regression=True)
    runs["vanilla new head"] = train(Method, regression=True, new_head=True)
    for name in ("weight-decay", "recadam sigmoid", "l2-sp", "noisytune", "mixout column"):
        runs[name + " new head"] = train(RUNS[name], regression=True, new_head=True)
    with open(os.path.join(HERE, "methods.json"), "w") as f:
        json.dump(runs, f, indent=1)
    for name, run in runs.items():
        print(f"{name:32} {run['losses'][0]:.6f} -> {run['losses'][-1]:.6f}")


if __name__ == "__main__":
    main()
