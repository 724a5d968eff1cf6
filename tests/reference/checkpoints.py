"""Makes checkpoints/: small files of weights in every form that people have, and what is in them.

    python tests/reference/checkpoints.py      (PyPI: torch 2.11.0, transformers 5.17.0, safetensors, numpy)

forms.bin, forms-old.bin (the stream of torch before 1.6) and nested.bin hold the tensors of forms.json: their kinds,
shapes and bytes, last dimension innermost. code.bin and code-old.bin would run a command if they were loaded by
pickle; compressed.bin is what a zip program makes of forms.bin. The folders under model/ hold one tiny BERT by way of
safetensors, torch.save, its old stream, and shards of both.
"""

import collections
import json
import os
import shutil
import zipfile

import torch
from transformers import BertConfig, BertForSequenceClassification

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDER = os.path.join(HERE, "checkpoints")
OLD = dict(_use_new_zipfile_serialization=False)
KINDS = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.float64: "F64", torch.int64: "I64"}


def path(*names):
    return os.path.join(FOLDER, *names)


def forms():
    torch.manual_seed(0)
    whole = torch.randn(5, 4)
    cube = torch.randn(2, 3, 4)
    return collections.OrderedDict(
        plain=torch.randn(3, 2),
        half=torch.randn(4).half(),
        bfloat=torch.randn(2, 2).bfloat16(),
        double=torch.randn(3).double(),
        parameter=torch.nn.Parameter(torch.randn(2)),
        whole=whole,
        shared=whole,
        rows=whole[1:3],
        column=whole[:, 2],
        transposed=whole.t(),
        permuted=cube.permute(2, 0, 1),
        every_second=cube[:, ::2, 1:],
        scalar=torch.tensor(2.5),
        none=torch.zeros(0, 3),
        position_ids=torch.arange(6).expand((1, -1)),
        repeated=torch.tensor([1.0, 2.0]).expand((3, 2)),
    )


class Command:
    def __reduce__(self):
        return os.system, ("touch sweep-was-here",)


def write_forms():
    tensors = forms()
    torch.save(tensors, path("forms.bin"))
    torch.save(tensors, path("forms-old.bin"), **OLD)
    # A training program's checkpoint: other things around the tensors, some of them in lists, floats and negative.
    optimizer = {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 1e-5, "params": [0, 1], "seed": -7}]}
    torch.save({"epoch": 3, "optimizer": optimizer, "big": 1 << 80, "state_dict": dict(tensors)}, path("nested.bin"))
    for name, way in (("code.bin", {}), ("code-old.bin", OLD)):
        torch.save({"plain": tensors["plain"], "more": Command()}, path(name), **way)
    with zipfile.ZipFile(path("forms.bin")) as stored:
        with zipfile.ZipFile(path("compressed.bin"), "w", zipfile.ZIP_DEFLATED) as compressed:
            for record in stored.namelist():
                compressed.writestr(record, stored.read(record))
    expected = {}
    for name, tensor in tensors.items():
        values = tensor.detach().contiguous().reshape(-1)
        data = values.view(torch.uint8).numpy().tobytes().hex() if len(values) else ""
        expected[name] = dict(dtype=KINDS[tensor.dtype], shape=list(tensor.shape), bytes=data)
    with open(path("forms.json"), "w") as f:
        json.dump(expected, f, indent=1)


def write_model():
    parity = os.path.join(HERE, "../parity/tiny-bert")
    torch.manual_seed(1)
    config = BertConfig(vocab_size=72, hidden_size=12, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16,
                        max_position_embeddings=40)
    model = BertForSequenceClassification(config)
    ways = ["safetensors", "torch", "torch-old", "shards", "torch-shards"]
    for way in ways:
        os.makedirs(path("model", way))
        config.save_pretrained(path("model", way))
        for name in ("vocab.txt", "tokenizer_config.json"):
            shutil.copy(os.path.join(parity, name), path("model", way))
    model.save_pretrained(path("model/safetensors"))
    model.save_pretrained(path("model/shards"), max_shard_size="10KB")
    tensors = model.state_dict()
    torch.save(tensors, path("model/torch/pytorch_model.bin"))
    torch.save(tensors, path("model/torch-old/pytorch_model.bin"), **OLD)
    names, shards = list(tensors), 3
    weight_map = {}
    for shard in range(shards):
        file = f"pytorch_model-{shard + 1:05}-of-{shards:05}.bin"
        held = {name: tensors[name] for name in names[shard::shards]}
        torch.save(held, path("model/torch-shards", file))
        weight_map.update({name: file for name in held})
    with open(path("model/torch-shards/pytorch_model.bin.index.json"), "w") as f:
        json.dump({"metadata": {}, "weight_map": weight_map}, f, indent=1)


def main():
    shutil.rmtree(FOLDER, ignore_errors=True)
    os.makedirs(FOLDER)
    write_forms()
    write_model()


if __name__ == "__main__":
    main()
