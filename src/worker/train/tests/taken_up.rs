//! Runs that end in the middle, by a pause or by a kill, and are taken up in a process where nothing is warm.

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use super::*;
use crate::disk::checkpoint_folder;
use crate::kept::hash;
use crate::plan::Precision;

/// What happens to a part of a run, after so many of its own steps.
#[derive(Clone, Copy, Default)]
struct Fate<'a> {
    save: &'a [u32],
    pause: Option<u32>,
    kill: Option<u32>,
}

struct Scripted<'a> {
    fate: Fate<'a>,
    folder: PathBuf,
    has_begun: bool,
    steps: u32,
    /// Of each checkpoint, the hash of all that training carries.
    saved: BTreeMap<u32, String>,
    not_saved: Vec<String>,
    before: Spent,
}

impl Listener for Scripted<'_> {
    fn phase(&mut self, name: &'static str) {
        if name == "train" && !self.has_begun {
            (self.has_begun, self.steps) = (true, 0);
        }
    }

    fn step(&mut self, _: u32, _: u32, _: f64, _: f64) {}

    fn pause(&mut self) -> bool {
        self.steps += 1;
        assert!(self.fate.kill != Some(self.steps) || !self.has_begun, "killed");
        self.has_begun && self.fate.pause == Some(self.steps)
    }

    fn is_save_due(&mut self) -> bool {
        self.fate.save.contains(&self.steps)
    }

    fn saved(&mut self, step: u32) {
        let state = self.folder.join(step.to_string()).join("state.safetensors");
        self.saved.insert(step, hash(&state).expect("a checkpoint"));
    }

    fn not_saved(&mut self, why: &str) {
        self.not_saved.push(why.to_owned());
    }

    fn spent(&mut self) -> Spent {
        let mut spent = self.before.clone();
        *spent.seconds.entry("train".to_owned()).or_default() += f64::from(self.steps);
        spent
    }

    fn taken_up(&mut self, spent: Spent) {
        self.before = Spent { resumed: spent.resumed + 1, ..spent };
    }
}

/// A part of a run: how it ended, θ, the hashes of its checkpoints, and what the run had taken by its end.
struct Part {
    ending: Option<Ending>,
    theta: Tensor,
    saved: BTreeMap<u32, String>,
    not_saved: Vec<String>,
    spent: Spent,
}

/// Trains by a fresh subject, as another process would.
fn part(example: &Example, run: &Run, folder: &Folder, fate: Fate) -> Part {
    let places = folder.places();
    let mut subject = example.subject(run);
    let mut listener = Scripted {
        fate,
        folder: checkpoint_folder(&places.cache, &places.id),
        has_begun: false,
        steps: 0,
        saved: BTreeMap::new(),
        not_saved: Vec::new(),
        before: Spent::default(),
    };
    let mut train =
        || train(run, &example.task, &mut subject, &example.data, &places, &mut listener).expect("an ending");
    let ending = match fate.kill {
        Some(_) => catch_unwind(AssertUnwindSafe(&mut train)).ok(),
        None => Some(train()),
    };
    let spent = listener.spent();
    Part { ending, theta: subject.arena.theta.copy(), saved: listener.saved, not_saved: listener.not_saved, spent }
}

fn checkpoints(folder: &Folder) -> PathBuf {
    let places = folder.places();
    checkpoint_folder(&places.cache, &places.id)
}

fn names(folder: &Folder) -> Vec<String> {
    let entries = fs::read_dir(checkpoints(folder)).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Ways in which batches go through the model, and methods that carry something.
fn unlike() -> Vec<(&'static str, Run)> {
    let mut lora = lively("lora");
    (lora.recipe.precision, lora.recipe.micro_batch) = (Precision::Bf16, Some(3));
    let mut sage = lively("sage");
    (sage.recipe.gradient_checkpointing, sage.recipe.micro_batch) = (true, Some(5));
    passes::unlike().into_iter().chain([("lora in bf16", lora), ("sage in parts", sage)]).collect()
}

/// Two epochs of ten steps. One part is killed two steps after its second checkpoint, the next is put aside at the end
/// of an epoch, and the last one ends.
#[test]
fn a_run_goes_on_bit_for_bit_by_every_method() {
    let example = Example::new_head();
    for (mode, mut run) in modes().into_iter().map(|mode| (mode, lively(mode))).chain(unlike()) {
        (run.recipe.epochs, run.recipe.train_size) = (2, Some(80));
        let (calm, broken) = (Folder::new(), Folder::new());
        let undisturbed = part(&example, &run, &calm, Fate { save: &[19], ..Fate::default() });

        let killed = part(&example, &run, &broken, Fate { save: &[3, 6], kill: Some(8), ..Fate::default() });
        assert!(killed.ending.is_none() && names(&broken) == ["3", "6"], "{mode}: {:?}", names(&broken));
        let paused = part(&example, &run, &broken, Fate { pause: Some(4), ..Fate::default() });
        assert!(matches!(paused.ending, Some(Ending::Paused { step: 10 })), "{mode}: {:?}", paused.ending);
        let resumed = part(&example, &run, &broken, Fate { save: &[9], ..Fate::default() });

        assert_eq!(
            resumed.saved.get(&19),
            undisturbed.saved.get(&19),
            "{mode}: θ, moments and what the method carries"
        );
        assert!(resumed.theta.equal(&undisturbed.theta), "{mode}: θ");
        let outcomes = [resumed.ending, undisturbed.ending].map(|ending| outcome(ending.expect("an ending")));
        assert_eq!(outcomes[0], outcomes[1], "{mode}");
        assert_eq!((outcomes[0].steps, outcomes[0].epochs.len()), (20, 2));
        assert_eq!(broken.steps(), calm.steps(), "{mode}");
        assert_eq!(names(&broken), ["10", "19"], "{mode}: two checkpoints, and nothing else");
        // Steps 7 and 8 were done twice, and the first time led nowhere; after the last one nobody is asked.
        assert_eq!((resumed.spent.seconds["train"], resumed.spent.resumed), (19.0, 2), "{mode}");
    }
}

/// What it does to a checkpoint's folder.
type Damage = fn(&std::path::Path);

/// Ways to damage a checkpoint, each of which must be noticed.
fn damages() -> Vec<(&'static str, Damage)> {
    fn flip(path: PathBuf, at: usize) {
        let mut bytes = fs::read(&path).expect("a file");
        let at = at % bytes.len();
        bytes[at] ^= 1;
        fs::write(path, bytes).expect("written");
    }
    vec![
        ("a bit of the tensors", |folder| flip(folder.join("state.safetensors"), 100_000)),
        ("a bit of their header", |folder| flip(folder.join("state.safetensors"), 12)),
        ("tensors cut off", |folder| {
            let bytes = fs::read(folder.join("state.safetensors")).expect("a file");
            fs::write(folder.join("state.safetensors"), &bytes[..bytes.len() / 2]).expect("written");
        }),
        ("no tensors", |folder| fs::remove_file(folder.join("state.safetensors")).expect("removed")),
        ("no position", |folder| fs::remove_file(folder.join("position.json")).expect("removed")),
        ("an empty position", |folder| fs::write(folder.join("position.json"), b"").expect("written")),
        ("another step", |folder| {
            let text = fs::read_to_string(folder.join("position.json")).expect("a file");
            fs::write(folder.join("position.json"), text.replace("\"step\":6", "\"step\":4")).expect("written");
        }),
        ("zeros", |folder| {
            let length = fs::metadata(folder.join("state.safetensors")).expect("a file").len();
            fs::write(folder.join("state.safetensors"), vec![0; length as usize]).expect("written");
        }),
    ]
}

#[test]
fn a_damaged_checkpoint_costs_the_steps_to_the_one_before_and_never_the_run() {
    let example = Example::classes();
    let (calm, run) = (Folder::new(), lively("child-f+sage"));
    let expected = outcome(part(&example, &run, &calm, Fate::default()).ending.expect("an ending"));
    for (what, damage) in damages() {
        let broken = Folder::new();
        part(&example, &run, &broken, Fate { save: &[3, 6], kill: Some(8), ..Fate::default() });
        damage(&checkpoints(&broken).join("6"));
        let resumed = part(&example, &run, &broken, Fate { save: &[1], ..Fate::default() });
        assert_eq!(resumed.saved.keys().collect::<Vec<_>>(), [&4], "{what}: it goes on after step 3");
        assert_eq!(names(&broken), ["3", "4"], "{what}");
        assert_eq!(outcome(resumed.ending.expect("an ending")), expected, "{what}");
        assert_eq!(broken.steps(), calm.steps(), "{what}");

        // Both of no use.
        let broken = Folder::new();
        part(&example, &run, &broken, Fate { save: &[3, 6], kill: Some(8), ..Fate::default() });
        ["3", "6"].iter().for_each(|step| damage(&checkpoints(&broken).join(step)));
        if what == "another step" {
            fs::remove_dir_all(checkpoints(&broken).join("3")).expect("removed");
        }
        let anew = part(&example, &run, &broken, Fate { save: &[1], ..Fate::default() });
        assert_eq!(anew.saved.keys().collect::<Vec<_>>(), [&1], "{what}: it begins anew");
        assert_eq!(outcome(anew.ending.expect("an ending")), expected, "{what}");
        assert_eq!(broken.steps(), calm.steps(), "{what}");
    }
}

/// Whatever a kill leaves of a checkpoint that is being written or removed is no checkpoint, and is cleared away.
#[test]
fn a_kill_while_a_checkpoint_is_written_loses_none() {
    let example = Example::classes();
    let run = lively("vanilla");
    for left in [".new", ".old-3"] {
        let folder = Folder::new();
        part(&example, &run, &folder, Fate { save: &[3, 6], kill: Some(8), ..Fate::default() });
        fs::create_dir(checkpoints(&folder).join(left)).expect("a folder");
        fs::write(checkpoints(&folder).join(left).join("position.json"), b"{").expect("half a file");
        let resumed = part(&example, &run, &folder, Fate { save: &[1], ..Fate::default() });
        assert_eq!(resumed.saved.keys().collect::<Vec<_>>(), [&7], "{left}");
        assert_eq!(names(&folder), ["6", "7"], "{left}");
    }
}

#[test]
fn a_checkpoint_that_cannot_be_written_is_told_and_the_run_goes_on() {
    let example = Example::classes();
    let run = lively("vanilla");
    let folder = Folder::new();
    part(&example, &run, &folder, Fate { save: &[3], kill: Some(5), ..Fate::default() });
    // A file where the draft should be.
    fs::write(checkpoints(&folder).join(".new"), b"").expect("a file");
    let paused = part(&example, &run, &folder, Fate { save: &[2], pause: Some(4), ..Fate::default() });
    assert_eq!(paused.not_saved.len(), 2, "{:?}", paused.not_saved);
    assert!(paused.not_saved[0].contains("cannot write the checkpoint"), "{:?}", paused.not_saved);
    assert!(matches!(paused.ending, Some(Ending::Paused { step: 3 })), "{:?}: its last checkpoint", paused.ending);
    fs::remove_file(checkpoints(&folder).join(".new")).expect("removed");
    let resumed = outcome(part(&example, &run, &folder, Fate::default()).ending.expect("an ending"));
    assert_eq!(resumed, outcome(part(&example, &run, &Folder::new(), Fate::default()).ending.expect("an ending")));
}

#[test]
fn a_run_with_batches_in_other_parts_begins_anew() {
    let example = Example::classes();
    let folder = Folder::new();
    let mut run = lively("vanilla");
    part(&example, &run, &folder, Fate { save: &[3, 6], kill: Some(8), ..Fate::default() });
    run.recipe.micro_batch = Some(4);
    let halved = part(&example, &run, &folder, Fate { save: &[2], ..Fate::default() });
    assert_eq!(halved.saved.keys().collect::<Vec<_>>(), [&2]);
    let alone = part(&example, &run, &Folder::new(), Fate::default());
    assert_eq!(outcome(halved.ending.expect("an ending")), outcome(alone.ending.expect("an ending")));
}

/// One folder without a seal: how the program put runs aside before it wrote checkpoints of running ones.
#[test]
fn a_checkpoint_of_an_earlier_version_is_taken_up() {
    let example = Example::classes();
    let run = lively("dps-mix+sage+hype");
    let (calm, old) = (Folder::new(), Folder::new());
    let expected = part(&example, &run, &calm, Fate { save: &[19], ..Fate::default() });
    part(&example, &run, &old, Fate { pause: Some(6), ..Fate::default() });
    let (root, new) = (checkpoints(&old), checkpoints(&old).join("6"));
    let text = fs::read(new.join("position.json")).expect("a position");
    let sealed: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
    let mut position = sealed["position"].clone();
    for key in ["micro_batch", "spent"] {
        position.as_object_mut().expect("an object").remove(key).expect("a key");
    }
    fs::write(root.join("position.json"), position.to_string()).expect("written");
    fs::rename(new.join("state.safetensors"), root.join("state.safetensors")).expect("moved");
    fs::remove_dir_all(new).expect("removed");

    let resumed = part(&example, &run, &old, Fate { save: &[1, 7, 13], ..Fate::default() });
    assert_eq!(resumed.saved.keys().collect::<Vec<_>>(), [&7, &13, &19]);
    assert_eq!(resumed.saved[&19], expected.saved[&19]);
    assert_eq!(names(&old), ["13", "19"], "the old one is gone");
    assert_eq!(old.steps(), calm.steps());
}

/// What the plan says of a checkpoint's size is its size. A method that carries more from step to step has its line in
/// `disk::checkpoint_bytes`.
#[test]
fn a_checkpoint_is_as_large_as_the_plan_says() {
    let example = Example::classes();
    for mode in modes() {
        let (run, folder) = (lively(mode), Folder::new());
        let subject = example.subject(&run);
        part(&example, &run, &folder, Fate { pause: Some(1), ..Fate::default() });
        let state = checkpoints(&folder).join("1/state.safetensors");
        let (found, header) = (fs::metadata(state).expect("a checkpoint").len(), 1000);
        let planned = crate::disk::checkpoint_bytes(&run.method, subject.arena.layout.len as u64);
        assert!((planned..planned + header).contains(&found), "{mode}: {found} bytes instead of {planned}");
    }
}
