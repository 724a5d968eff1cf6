"""Small random checkpoints of every family with the logits and gradients that transformers gets from them.

    python tests/parity/families.py        (PyPI: torch 2.11.0, transformers 5.17.0, safetensors)

Writes families/<name>/: config.json and model.safetensors as transformers saves them, and expected.safetensors: logits
and the gradient of the loss by every parameter, for the batch of families/batch.json, in fp32 and eval mode by eager
attention. The batch has padding; its second texts begin where the token types say so. Everything is made from fixed seeds.
"""

import json
import os
import shutil

import torch
from safetensors.torch import save_file
from transformers import (
    AlbertConfig,
    AutoModelForSequenceClassification,
    BertConfig,
    CamembertConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    ModernBertConfig,
    RobertaConfig,
    XLMRobertaConfig,
    XLNetConfig,
)

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "families")
VOCAB = 50
small = dict(vocab_size=VOCAB, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=20, max_position_embeddings=40)

CONFIGS = {
    "bert": BertConfig(**{**small, "hidden_size": 48, "intermediate_size": 37}, num_labels=3),
    "bert-one-type": BertConfig(**small, type_vocab_size=1, hidden_act="relu", layer_norm_eps=1e-5, num_labels=2),
    "roberta": RobertaConfig(**small, type_vocab_size=1, pad_token_id=1, num_labels=3),
    "xlm-roberta": XLMRobertaConfig(**small, type_vocab_size=1, pad_token_id=1, num_labels=1),
    "camembert": CamembertConfig(**small, type_vocab_size=1, pad_token_id=1, num_labels=2),
    "electra": ElectraConfig(**small, embedding_size=16, num_labels=2),
    "electra-even": ElectraConfig(**small, embedding_size=24, num_labels=1),
    "distilbert": DistilBertConfig(vocab_size=VOCAB, dim=24, n_layers=2, n_heads=3, hidden_dim=20, max_position_embeddings=40, num_labels=3),
    "albert": AlbertConfig(**{**small, "num_hidden_layers": 3}, embedding_size=16, num_labels=2),
    "albert-groups": AlbertConfig(**{**small, "num_hidden_layers": 4}, embedding_size=16, num_hidden_groups=2, num_labels=3),
    "xlnet": XLNetConfig(vocab_size=VOCAB, d_model=24, n_layer=2, n_head=3, d_inner=20, num_labels=3, pad_token_id=5),
    "xlnet-clamped": XLNetConfig(vocab_size=VOCAB, d_model=24, n_layer=2, n_head=2, d_inner=20, clamp_len=4, ff_activation="relu", num_labels=1, pad_token_id=5),
    "deberta-v3": DebertaV2Config(**small, relative_attention=True, position_buckets=8, max_relative_positions=-1, norm_rel_ebd="layer_norm", share_att_key=True, pos_att_type="p2c|c2p", position_biased_input=False, type_vocab_size=0, num_labels=3),
    "deberta-v2": DebertaV2Config(**small, relative_attention=True, max_relative_positions=12, pos_att_type=["c2p", "p2c"], embedding_size=16, type_vocab_size=2, pooler_hidden_act="tanh", num_labels=2),
    "modernbert": ModernBertConfig(**{**small, "num_hidden_layers": 4}, local_attention=6, pad_token_id=0, eos_token_id=1, bos_token_id=2, cls_token_id=2, sep_token_id=1, num_labels=3),
    "modernbert-mean": ModernBertConfig(**{**small, "num_hidden_layers": 3}, local_attention=4, classifier_pooling="mean", norm_bias=True, attention_bias=True, mlp_bias=True, classifier_bias=True, pad_token_id=0, eos_token_id=1, bos_token_id=2, cls_token_id=2, sep_token_id=1, num_labels=1),
}
LENGTHS = [17, 3, 24, 9, 24]


def batch():
    """Ids without those of padding, token types of pairs, labels of three classes and values."""
    draw = torch.Generator().manual_seed(7)
    ids = [torch.randint(6, VOCAB, (n,), generator=draw).tolist() for n in LENGTHS]
    types = [[0] * (n // 2) + [1] * (n - n // 2) for n in LENGTHS]
    return {"ids": ids, "types": types, "classes": [2, 0, 1, 1, 0], "values": [0.5, -1.25, 3.0, 0.0, 2.5]}


def pad(rows, value, left):
    width = max(map(len, rows))
    return torch.tensor([[value] * (width - len(r)) + r if left else r + [value] * (width - len(r)) for r in rows])


def expected(config, model, data):
    left, types = config.model_type == "xlnet", data["types"]
    if left:  # The last token of XLNet's texts has a type of its own.
        types = [row[:-1] + [2] for row in types]
    inputs = {
        "input_ids": pad(data["ids"], config.pad_token_id, left),
        "attention_mask": pad([[1] * n for n in LENGTHS], 0, left),
    }
    if getattr(config, "type_vocab_size", 0) > 1 or left:
        inputs["token_type_ids"] = pad(types, 3 if left else 0, left)
    logits = model(**inputs).logits
    if config.num_labels == 1:
        loss = torch.nn.functional.mse_loss(logits.squeeze(-1), torch.tensor(data["values"]))
    else:
        loss = torch.nn.functional.cross_entropy(logits, torch.tensor(data["classes"]) % config.num_labels)
    loss.backward()
    gradients = {f"gradient.{name}": p.grad for name, p in model.named_parameters() if p.grad is not None}
    return {"logits": logits.detach(), **gradients}


def main():
    shutil.rmtree(HERE, ignore_errors=True)
    os.makedirs(HERE)
    data = batch()
    with open(os.path.join(HERE, "batch.json"), "w") as f:
        json.dump(data, f)
        f.write("\n")
    for number, (name, config) in enumerate(CONFIGS.items()):
        torch.manual_seed(number)
        config._attn_implementation = "eager"
        model = AutoModelForSequenceClassification.from_config(config, attn_implementation="eager").eval()
        with torch.no_grad():  # Wider than at the start of pre-training, so that every term tells.
            for p in model.parameters():
                p.add_(torch.randn_like(p) * 0.15)
        folder = os.path.join(HERE, name)
        model.save_pretrained(folder)
        save_file({k: v.contiguous() for k, v in expected(config, model, data).items()}, os.path.join(folder, "expected.safetensors"))
        print(name, sum(p.numel() for p in model.parameters()))


if __name__ == "__main__":
    torch.use_deterministic_algorithms(True)
    main()
