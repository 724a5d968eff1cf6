use super::*;
use proptest::prelude::*;

fn reference(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/checkpoints").join(name)
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(reference(name)).expect("a reference file")
}

/// The tensors of forms.json, as torch has them.
fn assert_holds_all_forms(file: &[u8]) {
    let expected: serde_json::Value = serde_json::from_slice(&bytes("forms.json")).expect("JSON");
    let expected = expected.as_object().expect("an object");
    let found = torch_save::read(file).expect("tensors");
    assert_eq!(found.keys().collect::<Vec<_>>(), {
        let mut names: Vec<&String> = expected.keys().collect();
        names.sort();
        names
    });
    for (name, entry) in &found {
        let expected = &expected[name];
        assert_eq!(format!("{:?}", entry.dtype), expected["dtype"], "{name}");
        assert_eq!(serde_json::json!(entry.shape), expected["shape"], "{name}");
        let hex = |values: Cow<[u8]>| values.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        match entry.values(file).map(hex) {
            Some(values) => assert_eq!(values, expected["bytes"], "{name}"),
            // Bounded by what is stored, whatever a shape says.
            None => assert_eq!(name, "repeated"),
        }
    }
}

#[test]
fn every_form_of_tensor_is_read_as_torch_wrote_it() {
    for name in ["forms.bin", "forms-old.bin", "nested.bin"] {
        assert_holds_all_forms(&bytes(name));
    }
}

#[test]
fn one_model_is_the_same_by_every_way() {
    let open = |way: &str| Checkpoint::open(&reference("model").join(way)).expect("a checkpoint");
    let first = open("safetensors");
    assert_eq!(first.entries().count(), 39 + 2);
    for way in ["torch", "torch-old", "shards", "torch-shards"] {
        let other = open(way);
        let mut tensors = first.entries().zip(other.entries());
        assert!(
            tensors.all(|((name, a), (other_name, b))| name == other_name && a.shape == b.shape && a.dtype == b.dtype)
        );
        for (name, _) in first.entries() {
            assert_eq!(first.data(name).expect("values"), other.data(name).expect("values"), "{name} by {way}");
        }
        assert_eq!(first.entries().count(), other.entries().count(), "{way}");
    }
}

#[test]
fn code_in_a_pickle_is_named_and_never_run() {
    for name in ["code.bin", "code-old.bin"] {
        let fault = torch_save::read(&bytes(name)).expect_err("code").to_string();
        assert!(fault.contains("asks for posix.system") && fault.contains("none was run"), "{fault}");
    }
    assert!(!Path::new("sweep-was-here").exists());
}

#[test]
fn what_torch_does_not_write_is_said() {
    let fault = format!("{:#}", torch_save::read(&bytes("compressed.bin")).expect_err("compressed"));
    assert!(fault.contains("is compressed"), "{fault}");
    for (pickle, said) in [
        (&b"\x80\x04\x95"[..], "protocol 4"),
        (b"\x80\x02\x8c\x01a.", "opcode 0x8c at byte 2"),
        (b"\x80\x02X\xff\xff\xff\xffab.", "cut"),
        (b"\x80\x02}K\x01K\x02", "cut"),
        (b"\x80\x02.", "not there"),
        (b"\x80\x02u.", "a mark is missing"),
        (b"\x80\x02K\x01(\x85.", "not there"),
        (b"\x80\x02ccollections\nOrderedDict\nK\x01\x85R.", "arguments"),
        (b"\x80\x02cbuiltins\neval\n.", "builtins.eval"),
        (b"\x80\x02h\x05.", "never kept"),
    ] {
        let fault = pickle::read(pickle).expect_err("a bad pickle").to_string();
        assert!(fault.contains(said), "{said}: {fault}");
    }
    // Nested as deep as the file is long: no stack overflows.
    let deep = [&b"\x80\x02)"[..], &vec![0x85; 3_000_000], b"."].concat();
    assert_eq!(pickle::read(&deep).expect("a tuple").tuples.len(), 3_000_001);
}

/// A file of weights with this content in a folder of its own, opened.
fn fault_of(name: &str, content: &[u8]) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join(name), content).expect("a file");
    match Checkpoint::open(folder.path()) {
        Ok(_) => panic!("{name} was opened"),
        Err(fault) => format!("{fault:#}"),
    }
}

#[test]
fn what_is_no_file_of_weights_is_recognised() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:1234\nsize 440449768\n";
    let zeroed = {
        let mut bytes = bytes("model/safetensors/model.safetensors");
        bytes[600..900].fill(0);
        bytes
    };
    for name in ["model.safetensors", "pytorch_model.bin"] {
        for (content, said) in [
            (pointer.as_bytes(), "git lfs pull"),
            (b"<!DOCTYPE html><html>Sign in</html>", "web page"),
            (b"\n<html><body>404</body></html>", "web page"),
            (b"{\"error\":\"Repository not found\"}", "is a text"),
            (b"", "is empty"),
            (&[0; 100], "fetch it again"),
            (&zeroed, "fetch it again"),
        ] {
            let fault = fault_of(name, content);
            assert!(fault.contains(name) && fault.contains(said), "{said}: {fault}");
        }
    }
    assert!(fault_of("tf_model.h5", b"x").contains("has no weights"));
    assert!(fault_of("tf_model.h5", b"x").contains("tf_model.h5 cannot be read"));
}

#[test]
fn shards_agree_with_their_index_or_are_refused() {
    let (one, two) = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors");
    let index = "model.safetensors.index.json";
    let changed = |change: &dyn Fn(&Path)| {
        let folder = tempfile::tempdir().expect("a folder");
        for name in [one, two, index] {
            std::fs::copy(reference("model/shards").join(name), folder.path().join(name)).expect("a copy");
        }
        change(folder.path());
        format!("{:#}", Checkpoint::open(folder.path()).err().expect("shards that do not agree"))
    };
    let edit_index = |folder: &Path, edit: &dyn Fn(String) -> String| {
        let text = std::fs::read_to_string(folder.join(index)).expect("an index");
        let edited = edit(text.clone());
        assert_ne!(edited, text);
        std::fs::write(folder.join(index), edited).expect("an index");
    };
    let absent = changed(&|folder| std::fs::remove_file(folder.join(two)).expect("removed"));
    assert!(absent.contains(index) && absent.contains(&format!("{two}, which is not there")), "{absent}");
    let line = format!("    \"classifier.bias\": \"{two}\"");
    let lacking = changed(&|folder| {
        edit_index(folder, &|text| text.replace(&line, &format!("{line},\n    \"classifier.more\": \"{one}\"")));
    });
    assert!(lacking.contains(&format!("{one} lacks classifier.more")), "{lacking}");
    let elsewhere = changed(&|folder| edit_index(folder, &|text| text.replace(&line, &line.replace(two, one))));
    assert!(
        elsewhere.contains(&format!("{two} holds classifier.bias")) && elsewhere.contains(&format!("places in {one}"))
    );
    let foreign = changed(&|folder| edit_index(folder, &|text| text.replace(&format!("{line},\n"), "")));
    assert!(foreign.contains("another model or revision"), "{foreign}");
    let outside = changed(&|folder| edit_index(folder, &|text| text.replace(two, "../other.safetensors")));
    assert!(outside.contains("no file beside it"), "{outside}");
    let no_index = changed(&|folder| std::fs::write(folder.join(index), "{}").expect("an index"));
    assert!(no_index.contains("no index of shards"), "{no_index}");
    let cut = changed(&|folder| {
        let whole = std::fs::read(folder.join(two)).expect("a shard");
        std::fs::write(folder.join(two), &whole[..whole.len() - 1]).expect("a shard");
    });
    assert!(cut.contains(two) && cut.contains("cut"), "{cut}");
}

#[test]
fn safetensors_win_over_torch_save_and_files_are_those_that_are_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let copy = |from: &str, to: &str| {
        std::fs::copy(reference("model").join(from), folder.path().join(to)).expect("a copy");
    };
    copy("torch/pytorch_model.bin", "pytorch_model.bin");
    assert_eq!(files(folder.path()).expect("files"), ["pytorch_model.bin"]);
    copy("safetensors/model.safetensors", "model.safetensors");
    assert_eq!(files(folder.path()).expect("files"), ["model.safetensors"]);
    let shards = files(&reference("model/torch-shards")).expect("files");
    assert_eq!(shards.len(), 4);
    assert_eq!(shards[..2], ["pytorch_model.bin.index.json", "pytorch_model-00001-of-00003.bin"]);
}

type Reader = fn(&[u8]) -> Result<BTreeMap<String, Entry>>;

/// All forms of a file, each with its reader.
fn readers() -> Vec<(&'static str, Reader)> {
    vec![
        ("model/safetensors/model.safetensors", safetensors),
        ("forms.bin", torch_save::read),
        ("forms-old.bin", torch_save::read),
        ("nested.bin", torch_save::read),
    ]
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    for (name, read) in readers() {
        let whole = bytes(name);
        for len in (0..whole.len()).step_by(whole.len() / 4000 + 1) {
            assert!(read(&whole[..len]).is_err(), "{name} cut at {len} of {} was read", whole.len());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever bytes are changed: an error, or tensors that lie within the file.
    #[test]
    fn a_file_damaged_anywhere_never_panics(
        file in 0..4usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let (name, read) = readers()[file];
        let mut damaged = bytes(name);
        for (at, value) in changes {
            let at = at.index(damaged.len());
            damaged[at] = value;
        }
        for entry in read(&damaged).into_iter().flat_map(BTreeMap::into_values) {
            let count: usize = entry.shape.iter().product();
            if let Some(values) = entry.values(&damaged) {
                prop_assert_eq!(values.len(), count * entry.dtype.bitsize() / 8);
            }
        }
    }
}
