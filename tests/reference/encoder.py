"""Logits of transformers' BertForSequenceClassification for the demo's model, on sentences of unlike lengths.

    python tests/reference/encoder.py      (PyPI: torch 2.11.0, transformers 5.17.0; models/all-MiniLM-L6-v2 fetched)

The checkpoint has no head; this one is a formula, so that the test can lay the same into its arena.
"""

import json
import os

import torch
from transformers import AutoTokenizer, BertForSequenceClassification

HERE = os.path.dirname(os.path.abspath(__file__))
MODEL = os.path.join(HERE, "../../models/all-MiniLM-L6-v2")
SENTENCES = [
    ["A man is playing a guitar.", "Someone makes music."],
    ["No.", "The committee, which had met on Tuesday, decided after a long debate to postpone the vote until further notice."],
    ["Æther über naïve façade — 漢字 😀", "I can't believe it's not butter!!!"],
    ["The quick brown fox jumps over the lazy dog", ""],
    ["Prices rose by 3.5% in 2021, the agency said.", "Prices fell."],
]

torch.manual_seed(0)
tokenizer = AutoTokenizer.from_pretrained(MODEL)
model = BertForSequenceClassification.from_pretrained(MODEL, num_labels=3, attn_implementation="eager").eval()
with torch.no_grad():
    hidden = model.config.hidden_size
    model.classifier.weight.copy_(torch.sin(torch.arange(3 * hidden, dtype=torch.float64)).view(3, hidden).float())
    model.classifier.bias.copy_(torch.tensor([0.1, -0.2, 0.3]))
    batch = tokenizer([a for a, _ in SENTENCES], [b for _, b in SENTENCES], padding=True, return_tensors="pt")
    logits = model(**batch).logits
with open(os.path.join(HERE, "encoder.json"), "w", encoding="utf-8") as f:
    json.dump({"sentences": SENTENCES, "logits": logits.double().tolist()}, f, ensure_ascii=False, indent=1)
print(logits)
