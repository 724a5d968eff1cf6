"""Makes tokenizers/ and tokenizers.json: small tokenizers of every family, and what transformers makes of sentences.json.

    pip install transformers sentencepiece protobuf && python tokenizers.py [../../models/all-MiniLM-L6-v2]

Each case of tokenizers.json is a model folder: files of tokenizers/ under the names that they have there, the JSON files
in full, and for each sentence four hex digits, the lower half of the CRC-32 of its token ids (32 bits each, little-endian)
followed by its token types (8 bits each). Made with transformers 5.17, tokenizers 0.23 and sentencepiece 0.2.3.
"""

import sys

sys.path.pop(0)  # this file is called like a package that it needs
import io
import json
import pathlib
import shutil
import struct
import tempfile
import unicodedata
import zlib

import sentencepiece
import tokenizers
import transformers
from tokenizers import models, normalizers, pre_tokenizers, processors, trainers

HERE = pathlib.Path(__file__).parent
PARTS = HERE / "tokenizers"
CASES = json.load(open(HERE / "sentences.json"))["cases"]
TEXTS = [text for _, *texts in CASES for text in texts]
BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
FAIRSEQ = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def part(name):
    PARTS.mkdir(exist_ok=True)
    return PARTS / name


def sentence_piece(**settings):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(text for text in TEXTS if text.strip() and "\0" not in text and "\n" not in text),
        model_writer=model,
        model_type="unigram",
        vocab_size=900,
        character_coverage=0.98,
        hard_vocab_limit=False,
        num_threads=1,
        minloglevel=2,
        **settings,
    )
    return model.getvalue()


def rules(folder):
    """A few of the rules of nmt_nfkc: the table of all of them takes 240 kB in every model."""
    ranges = [(0xA0, 0x100), (0xFB00, 0xFB07), (0xFF01, 0xFFDD), (0x2100, 0x2150), (0x3000, 0x3001), (0x2000, 0x2030)]
    lines = []
    for start, end in ranges:
        for code in range(start, end):
            plain = unicodedata.normalize("NFKC", chr(code))
            if unicodedata.category(chr(code)) == "Cf":
                plain = ""
            if plain != chr(code):
                lines.append(f"{code:X}\t{' '.join(f'{ord(c):X}' for c in plain)}")
    path = pathlib.Path(folder) / "rules.tsv"
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def train_parts():
    bert = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    bert.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    bert.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    # Words of both cases, with accents and without, so that every setting makes a difference.
    plain = ["".join(c for c in unicodedata.normalize("NFD", text.lower()) if unicodedata.category(c) != "Mn") for text in TEXTS]
    bert.train_from_iterator(TEXTS + plain, trainers.WordPieceTrainer(vocab_size=1300, special_tokens=BERT, show_progress=False))
    words = sorted(bert.get_vocab(), key=bert.get_vocab().get)
    part("bert.txt").write_text("\n".join(words) + "\n")
    bert.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    bert.save(str(part("bert-cased.json")), pretty=False)

    def byte_pairs(specials):
        pairs = tokenizers.Tokenizer(models.BPE())
        pairs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        pairs.train_from_iterator(
            TEXTS, trainers.BpeTrainer(vocab_size=800, special_tokens=specials, initial_alphabet=alphabet, show_progress=False)
        )
        return pairs

    pairs = byte_pairs(FAIRSEQ)
    model = json.loads(pairs.to_str())["model"]
    part("roberta-vocab.json").write_text(json.dumps(model["vocab"], ensure_ascii=False, separators=(",", ":")))
    part("roberta-merges.txt").write_text("#version: 0.2\n" + "\n".join(" ".join(merge) for merge in model["merges"]) + "\n")

    # Like ModernBERT's: another normalizer, blanks as added tokens, and a mask that takes the blanks before it.
    modern = byte_pairs(["|||IP_ADDRESS|||", "<|padding|>"])
    modern.normalizer = normalizers.NFC()
    modern.add_tokens([tokenizers.AddedToken(" " * n, normalized=True) for n in range(8, 1, -1)])
    modern.add_special_tokens([tokenizers.AddedToken(word, lstrip=word == "[MASK]") for word in ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]])
    ids = [(word, modern.token_to_id(word)) for word in ["[CLS]", "[SEP]"]]
    modern.post_processor = processors.TemplateProcessing("[CLS]:0 $A:0 [SEP]:0", "[CLS]:0 $A:0 [SEP]:0 $B:0 [SEP]:0", ids)
    modern.enable_truncation(64)
    modern.save(str(part("modernbert.json")), pretty=False)

    part("nmt_nfkc.model").write_bytes(sentence_piece(normalization_rule_name="nmt_nfkc"))
    with tempfile.TemporaryDirectory() as folder:
        few = dict(normalization_rule_tsv=rules(folder))
        albert = dict(pad_id=0, unk_id=1, bos_id=2, eos_id=3, pad_piece="<pad>", bos_piece="[CLS]", eos_piece="[SEP]")
        part("albert.model").write_bytes(sentence_piece(**few, **albert, user_defined_symbols=["[MASK]", "(", ")"]))
        symbols = ["<cls>", "<sep>", "<pad>", "<mask>", "<eod>", "<eop>"]
        part("xlnet.model").write_bytes(sentence_piece(**few, control_symbols=symbols, user_defined_symbols=["…"]))
        deberta = dict(pad_id=0, bos_id=1, eos_id=2, unk_id=3)
        deberta |= dict(pad_piece="[PAD]", bos_piece="[CLS]", eos_piece="[SEP]", unk_piece="[UNK]")
        part("deberta.model").write_bytes(sentence_piece(normalization_rule_name="identity", **deberta))
        fairseq = sentence_piece(**few)
        # tokenizer.json as transformers writes it from those files.
        for name, kind, file, content in [
            ("roberta", "roberta", "", b""),
            ("albert", "albert", "spiece.model", part("albert.model").read_bytes()),
            ("xlnet", "xlnet", "spiece.model", part("xlnet.model").read_bytes()),
            ("deberta", "deberta-v2", "spm.model", part("deberta.model").read_bytes()),
            ("xlm-roberta", "xlm-roberta", "sentencepiece.bpe.model", fairseq),
            ("camembert", "camembert", "sentencepiece.bpe.model", fairseq),
        ]:
            bare = pathlib.Path(folder) / name
            bare.mkdir()
            (bare / "config.json").write_text(json.dumps(dict(model_type=kind)))
            if file:
                (bare / file).write_bytes(content)
            else:
                shutil.copy(part("roberta-vocab.json"), bare / "vocab.json")
                shutil.copy(part("roberta-merges.txt"), bare / "merges.txt")
            whole = transformers.AutoTokenizer.from_pretrained(bare)
            part(f"{name}.json").write_text(whole.backend_tokenizer.to_str(pretty=False))


def token(word, **flags):
    standard = dict(lstrip=False, rstrip=False, normalized=False, single_word=False, special=True)
    return {"content": word, **standard, **flags}


def folders():
    """Name, model type, files by their names in the folder, tokenizer_config.json, and other JSON files."""
    txt, cased = {"vocab.txt": "bert.txt"}, {"tokenizer.json": "bert-cased.json"}
    slow = {"vocab.json": "roberta-vocab.json", "merges.txt": "roberta-merges.txt"}
    whole = lambda name: {"tokenizer.json": f"{name}.json"}
    spm = lambda name, of: {name: f"{of}.model"}
    yield "bert", "bert", txt, None, {}
    yield "bert, cased", "bert", txt, dict(do_lower_case=False, tokenize_chinese_chars=False), {}
    yield "bert, cased without accents", "bert", txt, dict(do_lower_case=False, strip_accents=True), {}
    yield "bert, uncased with accents", "electra", txt, dict(strip_accents=False, tokenizer_class="ElectraTokenizer"), {}
    yield "bert, whole", "distilbert", cased, dict(do_lower_case=False, strip_accents=False, tokenizer_class="DistilBertTokenizer"), {}
    yield "bert, whole against its class", "bert", cased, dict(tokenizer_class="BertTokenizerFast"), {}
    yield "bert, whole as it stands", "bert", cased, dict(tokenizer_class="PreTrainedTokenizerFast", pad_token="[PAD]"), {}
    yield "bert, other special tokens", "bert", txt, dict(cls_token="[MASK]", additional_special_tokens=["people", "XQ"]), {
        "special_tokens_map.json": dict(sep_token="[PAD]", mask_token=token("the", lstrip=True), pad_token="[PAD]"),
        "added_tokens.json": {"Mr.": 1300, "[NEW]": 1301},
    }
    yield "bert, added tokens by id", "bert", txt, dict(
        do_lower_case=False,
        mask_token="[MASK]",
        added_tokens_decoder={
            "4": token("[MASK]", lstrip=True, rstrip=True),
            "1300": token("Which", special=False, normalized=True, single_word=True),
            "1301": token("is the", special=False, normalized=True),
        },
        extra_special_tokens=["<extra>"],
    ), {"special_tokens_map.json": dict(cls_token="not read")}
    yield "bert, cut left", "bert", txt, dict(truncation_side="left", model_max_length=5), {}
    yield "bert, special tokens in text are text", "bert", txt, dict(split_special_tokens=True), {}
    yield "roberta", "roberta", slow, None, {}
    mask = {"__type": "AddedToken", **token("<mask>", lstrip=True)}
    yield "roberta, blank before", "roberta", slow, dict(add_prefix_space=True, mask_token=mask), {}
    yield "roberta, whole", "roberta", whole("roberta"), None, {}
    yield "roberta, whole with blank before", "roberta", whole("roberta"), dict(add_prefix_space=True, tokenizer_class="RobertaTokenizer"), {
        "special_tokens_map.json": dict(cls_token="<mask>", mask_token=token("<mask>", lstrip=True))
    }
    yield "modernbert", "modernbert", whole("modernbert"), dict(tokenizer_class="PreTrainedTokenizerFast", pad_token="[PAD]", cls_token="[CLS]"), {}
    yield "modernbert with a wrong class", "modernbert", whole("modernbert"), dict(tokenizer_class="RobertaTokenizer", do_lower_case=True), {}
    yield "xlm-roberta", "xlm-roberta", spm("sentencepiece.bpe.model", "nmt_nfkc"), None, {}
    yield "xlm-roberta, whole", "xlm-roberta", whole("xlm-roberta"), dict(mask_token=mask, add_prefix_space=False), {}
    yield "camembert", "camembert", spm("sentencepiece.bpe.model", "nmt_nfkc"), dict(tokenizer_class="CamembertTokenizer"), {}
    yield "camembert, whole", "camembert", whole("camembert"), dict(additional_special_tokens=["<s>NOTUSED", "</s>NOTUSED"]), {}
    yield "albert", "albert", spm("spiece.model", "albert"), None, {}
    yield "albert, cased", "albert", spm("spiece.model", "albert"), dict(do_lower_case=False, keep_accents=True, mask_token=token("[MASK]", lstrip=True) | {"__type": "AddedToken"}), {}
    yield "albert, whole", "albert", whole("albert"), dict(keep_accents=True), {}
    yield "xlnet", "xlnet", spm("spiece.model", "xlnet"), None, {}
    yield "xlnet, uncased", "xlnet", spm("spiece.model", "xlnet"), dict(do_lower_case=True, keep_accents=True, additional_special_tokens=["<eop>"]), {}
    yield "xlnet, whole", "xlnet", whole("xlnet"), dict(tokenizer_class="XLNetTokenizer", padding_side="left"), {}
    yield "deberta", "deberta-v2", spm("spm.model", "deberta"), dict(do_lower_case=False, vocab_type="spm"), {}
    yield "deberta, uncased by punctuation", "deberta-v2", spm("spm.model", "deberta"), dict(do_lower_case=True, split_by_punct=True), {
        "added_tokens.json": {"[MASK]": 900}
    }
    yield "deberta, whole", "deberta-v2", whole("deberta"), dict(add_prefix_space=False), {}


def digits(tokenizer):
    for length, *texts in CASES:
        # In batches, as training does it: called with bare words, transformers takes a pair with an empty second text
        # for a single text.
        row = tokenizer(*([text] for text in texts), truncation="longest_first", max_length=length, return_token_type_ids=True)
        (ids,), (types,) = row["input_ids"], row["token_type_ids"]
        yield f"{zlib.crc32(struct.pack(f'<{len(ids)}I', *ids) + bytes(types)) & 0xffff:04x}"


train_parts()
lines = []
for name, model_type, files, config, others in folders():
    with tempfile.TemporaryDirectory() as folder:
        for there, here in files.items():
            shutil.copy(part(here), pathlib.Path(folder) / there)
        texts = {"config.json": dict(model_type=model_type), **others}
        if config is not None:
            texts["tokenizer_config.json"] = config
        for there, content in texts.items():
            (pathlib.Path(folder) / there).write_text(json.dumps(content))
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        pad = tokenizer.pad_token_id
        lines.append(json.dumps(dict(name=name, files=files, texts=texts, pad=pad, digits="".join(digits(tokenizer)))))
        print(name, type(tokenizer).__name__, len(tokenizer), file=sys.stderr)
for folder in sys.argv[1:]:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    lines.append(json.dumps(dict(name=pathlib.Path(folder).name, model=pathlib.Path(folder).name, pad=tokenizer.pad_token_id, digits="".join(digits(tokenizer)))))
(HERE / "tokenizers.json").write_text("[\n" + ",\n".join(lines) + "\n]\n")
