"""A model of random weights in one of BERT's shapes, texts of one length for it, and jobs over both."""

import array
import json
import pathlib
import random
import struct

# Hidden size, layers, heads, inner size, words.
SHAPES = {
    "tiny": (48, 2, 4, 96, 200),
    "base": (768, 12, 12, 3072, 30522),
    "large": (1024, 24, 16, 4096, 30522),
}
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
POSITIONS = 512


def parameters(shape):
    """Names and shapes, as `BertModel` of transformers saves them."""
    width, layers, _, inner, words = SHAPES[shape]
    tables = {"word": words, "position": POSITIONS, "token_type": 2}
    yield from ((f"embeddings.{name}_embeddings.weight", [rows, width]) for name, rows in tables.items())
    norm = lambda name: [(f"{name}.weight", [width]), (f"{name}.bias", [width])]
    yield from norm("embeddings.LayerNorm")
    for layer in range(layers):
        linear = lambda name, out, into: [
            (f"encoder.layer.{layer}.{name}.weight", [out, into]), (f"encoder.layer.{layer}.{name}.bias", [out]),
        ]
        for name in ("query", "key", "value"):
            yield from linear(f"attention.self.{name}", width, width)
        yield from linear("attention.output.dense", width, width)
        yield from norm(f"encoder.layer.{layer}.attention.output.LayerNorm")
        yield from linear("intermediate.dense", inner, width)
        yield from linear("output.dense", width, inner)
        yield from norm(f"encoder.layer.{layer}.output.LayerNorm")
    yield from [("pooler.dense.weight", [width, width]), ("pooler.dense.bias", [width])]


def values(name, count):
    """N(0, 0.02²) for weights; ones and zeros for norms and biases."""
    if "LayerNorm.weight" in name or name.endswith("bias"):
        return array.array("f", [float("LayerNorm.weight" in name)] * count).tobytes()
    try:
        import numpy

        return (numpy.random.default_rng(count).standard_normal(count, numpy.float32) * numpy.float32(0.02)).tobytes()
    except ImportError:
        draw = random.Random(count).gauss
        return array.array("f", (draw(0.0, 0.02) for _ in range(count))).tobytes()


def model(folder, shape):
    folder = pathlib.Path(folder) / shape
    folder.mkdir(parents=True, exist_ok=True)
    width, layers, heads, inner, words = SHAPES[shape]
    config = dict(
        model_type="bert", architectures=["BertModel"], hidden_size=width, num_hidden_layers=layers,
        num_attention_heads=heads, intermediate_size=inner, vocab_size=words, max_position_embeddings=POSITIONS,
        type_vocab_size=2, hidden_act="gelu", layer_norm_eps=1e-12, hidden_dropout_prob=0.1,
        attention_probs_dropout_prob=0.1, initializer_range=0.02, pad_token_id=0,
    )
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
    vocabulary = SPECIALS + [f"w{number}" for number in range(words - len(SPECIALS))]
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    header, offset, sizes = {}, 0, []
    for name, dimensions in parameters(shape):
        count = 1
        for dimension in dimensions:
            count *= dimension
        header[name] = dict(dtype="F32", shape=dimensions, data_offsets=[offset, offset + 4 * count])
        offset += 4 * count
        sizes.append((name, count))
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(folder / "model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, count in sizes:
            file.write(values(name, count))
    return folder


def texts(folder, shape, length, rows):
    """Rows of just so many tokens, special tokens included, of two classes in turn."""
    path = pathlib.Path(folder) / f"{shape}-{length}.tsv"
    draw = random.Random(length)
    words = SHAPES[shape][4] - len(SPECIALS)
    line = lambda row: " ".join(f"w{draw.randrange(words)}" for _ in range(length - 2)) + f"\t{'ab'[row % 2]}\n"
    path.write_text("text\tlabel\n" + "".join(line(row) for row in range(rows)))
    return path


def job(folder, model_folder, data, length, batch, precision, seed=1, **recipe):
    """A run of plain fine-tuning, as `src/protocol.rs` has it."""
    source = dict(path=str(data), format=dict(tsv=dict(header=True)))
    task = dict(
        name="random", train=source, dev=[dict(suffix="", source=source)], text=[dict(name="text")],
        label=dict(name="label"), labels=dict(classes=["a", "b"]), skip=None, skip_torn=False, metrics=["accuracy"],
    )
    settings = dict(
        epochs=1, max_steps=None, train_size=None, dev_size=batch, batch_size=batch, max_length=length, lr=2e-5,
        warmup=0.1, weight_decay=0.01, beta1=0.9, beta2=0.999, eps=1e-8, max_grad_norm=1.0, dropout=None, shuffle=True,
        precision=precision,
    )
    run = dict(
        task=dict(name="random", hash=str(data)), model=dict(name=model_folder.name, hash=model_folder.name),
        mode="vanilla", method=dict(name="vanilla", numbers={}), recipe=settings | recipe, seed=seed,
    )
    name = f"{model_folder.name}-{length}-{batch}-{precision}-{seed}"
    places = {place: str(pathlib.Path(folder) / place) for place in ("cache", "masks")}
    return dict(
        id=name, run=run, task=task, model=str(model_folder), folder=str(pathlib.Path(folder) / "runs" / name), **places,
        keep=False, log_every=0, attempt=1,
    )
