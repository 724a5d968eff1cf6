//! The scheduler over real processes: a fake trainer that can crash, babble, hang, and be killed.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use sweep::plan::{Choice, Input, Recipe, Run, RunId};
use sweep::protocol::Job;
use sweep::record::log::{self, What};
use sweep::record::store::Store;
use sweep::record::{End, Failure};
use sweep::schedule::{self, Finish, Interrupts, Limits, Note, Observer, Options, Slot, Summary, Ticket};
use sweep::task::{Column, Format, Labels, Source, Task};

/// A results folder, the notes that an observer saw, and a way to interrupt.
struct Bench {
    folder: tempfile::TempDir,
    store: Store,
    notes: Arc<Mutex<Vec<Note>>>,
    interrupts: Interrupts,
    limits: Limits,
    slots: Vec<Slot>,
    worker: PathBuf,
}

struct Recorder(Arc<Mutex<Vec<Note>>>);

impl Observer for Recorder {
    fn note(&mut self, note: &Note) {
        self.0.lock().unwrap().push(note.clone());
    }
}

impl Bench {
    fn new(slots: usize) -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path().join("results"));
        let slots = vec![Slot::new("cpu", 1); slots];
        let worker = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fake_worker.py");
        let (notes, interrupts, limits) = (Arc::default(), Interrupts::default(), Limits::default());
        Bench { folder, store, notes, interrupts, limits, slots, worker }
    }

    /// A job whose mode tells the fake worker what to do.
    fn job(&self, mode: &str, seed: u64, steps: u32) -> Job {
        let run = Run {
            task: Input { name: "rte".into(), hash: "a".into() },
            model: Input { name: "tiny".into(), hash: "b".into() },
            mode: mode.into(),
            method: Choice { name: mode.into(), numbers: BTreeMap::new() },
            recipe: Recipe { max_steps: Some(steps), ..Recipe::default() },
            seed,
            after: Default::default(),
        };
        let task = Task {
            name: "rte".into(),
            train: Some(Source { path: "train.tsv".into(), format: Format::Jsonl }),
            dev: Vec::new(),
            text: Vec::new(),
            label: Column::Index(0),
            labels: Labels::Regression,
            skip: None,
            skip_torn: false,
            metrics: Vec::new(),
        };
        let id = run.id();
        Job {
            folder: self.store.run_folder(&id),
            id,
            run,
            task,
            others: Vec::new(),
            model: "model".into(),
            cache: self.store.cache(),
            masks: self.store.masks(),
            keep: false,
            log_every: 0,
            scores_at_end: false,
            attempt: 1,
            until: None,
            micro_batch: None,
            checkpoint_every: None,
            copy: None,
        }
    }

    fn jobs(&self, modes: &[&str]) -> Vec<Job> {
        modes.iter().zip(1..).map(|(mode, seed)| self.job(mode, seed, 10)).collect()
    }

    fn run(&self, jobs: Vec<Job>) -> anyhow::Result<Summary> {
        let options = Options {
            worker: self.worker.clone(),
            slots: self.slots.clone(),
            commit: "abc".into(),
            limits: self.limits,
            interrupts: self.interrupts.clone(),
            shard: None,
            job: None,
        };
        let tickets = jobs.iter().map(|job| Ticket { attempt: job.attempt, ..Ticket::new(job.id.clone()) }).collect();
        let job = |id: &RunId| Ok(jobs.iter().find(|job| job.id == *id).unwrap().clone());
        schedule::run(tickets, &job, &self.store, "bench", &options, &mut Recorder(self.notes.clone()), None)
    }

    fn end(&self, id: &RunId) -> End {
        self.store.read(id).unwrap().unwrap().end
    }

    fn log(&self, id: &RunId) -> String {
        fs::read_to_string(self.store.run_folder(id).join("log.txt")).unwrap_or_default()
    }

    fn events(&self) -> Vec<What> {
        let reading = log::read(&self.store.sweep_folder("bench").join("events.jsonl")).unwrap();
        assert_eq!((reading.skipped.len(), reading.torn), (0, 0));
        reading.events.into_iter().map(|event| event.what).collect()
    }

    /// Process ids that workers of this bench wrote into their logs: their slot's, or already that of their first run.
    fn pids(&self) -> Vec<i32> {
        let folders = [self.store.sweep_folder("bench"), self.store.root().join("runs")];
        let entries = folders.iter().flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten());
        let logs = entries.map(|entry| entry.path()).map(|p| if p.is_dir() { p.join("log.txt") } else { p });
        let mut pids = Vec::new();
        for log in logs.filter_map(|log| fs::read(log).ok()) {
            let log = String::from_utf8_lossy(&log);
            pids.extend(log.lines().filter_map(|line| line.strip_prefix("process ")?.parse::<i32>().ok()));
        }
        pids
    }
}

/// Processes whose group is `pgid` and that are not zombies.
fn alive_in_group(pgid: i32) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        // pid (name) state ppid pgrp …; the name may hold blanks.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        if fields[2].parse() == Ok(pgid) && fields[0] != "Z" {
            found.push(stat);
        }
    }
    found
}

fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(60), "waited in vain for {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn summary(done: usize, failed: usize, left: usize) -> Summary {
    Summary { done, failed, stopped: 0, paused: 0, left, finish: Finish::Complete }
}

#[test]
fn runs_are_done_and_recorded() {
    let bench = Bench::new(2);
    let jobs = bench.jobs(&["vanilla", "vanilla", "fail", "vanilla"]);
    assert_eq!(bench.run(jobs.clone()).unwrap(), summary(3, 1, 0));
    for job in &jobs {
        let record = bench.store.read(&job.id).unwrap().unwrap();
        assert_eq!(record.run, job.run);
        match job.run.mode.as_str() {
            "fail" => assert_eq!(record.end, End::Failed(Failure::Diverged { step: 3 })),
            _ => assert_eq!(record.score(), Some(job.run.seed as f64 / 1000.0)),
        }
    }
    let events = bench.events();
    assert!(matches!(&events[0], What::Began { runs: 4, commit, .. } if commit == "abc"));
    assert_eq!(events.last(), Some(&What::Finished { done: 3, failed: 1, left: 0 }));
    let count = |wanted: fn(&What) -> bool| events.iter().filter(|&what| wanted(what)).count();
    assert_eq!(count(|what| matches!(what, What::Started { .. })), 4);
    assert_eq!(count(|what| matches!(what, What::Ended { .. })), 4);
    let steps = bench.notes.lock().unwrap().iter().filter(|note| matches!(note, Note::Step { .. })).count();
    assert_eq!(steps, 30);
    for pid in bench.pids() {
        assert_eq!(alive_in_group(pid), [""; 0]);
    }
}

#[test]
fn a_crashed_worker_is_replaced_and_its_children_go_with_it() {
    let bench = Bench::new(1);
    let jobs = bench.jobs(&["vanilla", "crash", "child", "vanilla"]);
    assert_eq!(bench.run(jobs.clone()).unwrap(), summary(2, 2, 0));
    for job in &jobs[1..3] {
        let record = bench.store.read(&job.id).unwrap().unwrap();
        let End::Failed(Failure::Crashed { tail }) = &record.end else { panic!("{record:?}") };
        assert!(tail.contains("the weights are on fire\n(exit code 3)"), "{tail}");
        assert_eq!((record.made.device.as_str(), record.made.commit.as_str(), record.made.attempt), ("cpu", "abc", 2));
        assert!(record.made.seconds["train"] > 0.0 && record.made.started.ends_with('Z'), "{record:?}");
    }
    let pids = bench.pids();
    assert_eq!(pids.len(), 5, "the first, and one after each of four crashes");
    for pid in pids {
        assert_eq!(alive_in_group(pid), [""; 0]);
    }
}

#[test]
fn garbage_on_stdout_is_logged_and_harms_nobody() {
    let bench = Bench::new(1);
    let jobs = bench.jobs(&["garbage", "vanilla"]);
    assert_eq!(bench.run(jobs.clone()).unwrap(), summary(2, 0, 0));
    let log = String::from_utf8_lossy(&fs::read(jobs[0].folder.join("log.txt")).unwrap()).into_owned();
    assert!(log.contains("hello") && log.contains(r#"{"done": 7}"#) && log.contains("[[[["), "{log}");
    assert!(!bench.log(&jobs[1].id).contains("hello"));
}

#[test]
fn a_flood_on_stderr_blocks_nothing_and_is_kept() {
    let bench = Bench::new(2);
    let jobs = bench.jobs(&["flood", "vanilla", "vanilla"]);
    assert_eq!(bench.run(jobs.clone()).unwrap(), summary(3, 0, 0));
    let flood = jobs.iter().find(|job| job.run.mode == "flood").unwrap();
    assert!(bench.log(&flood.id).lines().count() > 50_000);
}

#[test]
fn one_interrupt_pauses_and_two_stop_at_once() {
    let bench = Bench::new(2);
    let mut jobs = bench.jobs(&["vanilla"; 4]);
    for (job, seed) in jobs.iter_mut().zip(10..) {
        *job = bench.job("vanilla", seed, 100_000);
    }
    thread::scope(|scope| {
        scope.spawn(|| {
            wait_for("both runs to train", || {
                let notes = bench.notes.lock().unwrap();
                let steps = notes.iter().filter_map(|note| match note {
                    Note::Step { slot, .. } => Some(*slot),
                    _ => None,
                });
                steps.collect::<std::collections::HashSet<_>>().len() == 2
            });
            bench.interrupts.press();
        });
        let expected = Summary { paused: 2, finish: Finish::Interrupted, ..summary(0, 0, 4) };
        assert_eq!(bench.run(jobs.clone()).unwrap(), expected);
    });
    assert_eq!(bench.store.read_all().unwrap(), []);
    assert_eq!(bench.events().iter().filter(|what| matches!(what, What::Paused { .. })).count(), 2);

    // A worker that does not answer: only the second interrupt ends it.
    let bench = Bench::new(1);
    thread::scope(|scope| {
        scope.spawn(|| {
            wait_for("the run to hang", || bench.notes.lock().unwrap().iter().any(|n| matches!(n, Note::Step { .. })));
            thread::sleep(Duration::from_millis(100));
            bench.interrupts.press();
            thread::sleep(Duration::from_millis(300));
            assert!(!alive_in_group(bench.pids()[0]).is_empty(), "one interrupt waits");
            bench.interrupts.press();
        });
        let start = Instant::now();
        let expected = Summary { finish: Finish::Interrupted, ..summary(0, 0, 1) };
        assert_eq!(bench.run(bench.jobs(&["hang"])).unwrap(), expected);
        assert!(start.elapsed() < Duration::from_secs(30));
    });
    assert_eq!(alive_in_group(bench.pids()[0]), [""; 0]);
}

#[test]
fn without_a_worker_the_error_says_why() {
    let mut bench = Bench::new(2);
    bench.slots[0].device = "broken".into();
    bench.slots[1].device = "broken".into();
    let message = bench.run(bench.jobs(&["vanilla"; 3])).unwrap_err().to_string();
    assert!(message.contains("no worker became ready") && message.contains("no such device"), "{message}");
    assert_eq!(bench.events().last(), Some(&What::Finished { done: 0, failed: 0, left: 3 }));

    // One broken device does not stop the other.
    let mut bench = Bench::new(2);
    bench.slots[0].device = "broken".into();
    assert_eq!(bench.run(bench.jobs(&["vanilla"; 3])).unwrap(), summary(3, 0, 0));

    let mut bench = Bench::new(1);
    bench.worker = bench.folder.path().join("nowhere");
    let message = bench.run(bench.jobs(&["vanilla"])).unwrap_err().to_string();
    assert!(message.contains("nowhere cannot be started: No such file"), "{message}");
}

#[test]
fn killing_workers_at_random_moments_loses_no_run() {
    let bench = Bench::new(2);
    let jobs: Vec<Job> = (0..24).map(|seed| bench.job("vanilla", seed, 40)).collect();
    let over = AtomicBool::new(false);
    let summary = thread::scope(|scope| {
        scope.spawn(|| {
            let mut killed = 0;
            // Strides of an irrational part of a second meet start, training, and the moment between two runs.
            for n in 0u64.. {
                thread::sleep(Duration::from_millis(60 + n * 161 % 170));
                if over.load(Ordering::SeqCst) || killed == 12 {
                    return;
                }
                if let Some(&pid) = bench.pids().iter().rev().find(|&&pid| !alive_in_group(pid).is_empty()) {
                    // SAFETY: a plain system call, on a process of this test that was alive a moment ago.
                    unsafe { libc::kill(pid, libc::SIGKILL) };
                    killed += 1;
                }
            }
        });
        let summary = bench.run(jobs.clone());
        over.store(true, Ordering::SeqCst);
        summary.unwrap()
    });
    assert_eq!((summary.done + summary.failed, summary.left), (24, 0), "{summary:?}");
    let events = bench.events();
    let put_back = events.iter().filter(|what| matches!(what, What::PutBack { .. })).count();
    assert!(put_back > 0, "no kill met a run");
    for job in &jobs {
        let of_job = |what: &&What| matches!(what, What::Started { id, .. } if *id == job.id);
        assert!(events.iter().filter(of_job).count() <= 2, "tried once more, and not again");
        match bench.end(&job.id) {
            End::Done(_) => {}
            End::Failed(Failure::Killed { tail }) => assert!(tail.contains("killed by signal 9"), "{tail}"),
            other => panic!("{other:?}"),
        }
    }
    for pid in bench.pids() {
        assert_eq!(alive_in_group(pid), [""; 0]);
    }
}

/// A coordinator in a process of its own, killed in any case, also when the test fails.
struct Coordinator(std::process::Child);

impl Coordinator {
    fn start(bench: &Bench, runs: u64, steps: u32) -> Coordinator {
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "coordinator_of_other_tests"]).env("SWEEP_TEST_RESULTS", bench.store.root());
        command.env("SWEEP_TEST_RUNS", runs.to_string()).env("SWEEP_TEST_STEPS", steps.to_string());
        Coordinator(command.stdout(std::process::Stdio::null()).spawn().unwrap())
    }

    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Coordinator {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs that have no record yet.
fn unfinished(bench: &Bench, runs: u64, steps: u32) -> Vec<Job> {
    let jobs = (0..runs).map(|seed| bench.job("vanilla", seed, steps));
    jobs.filter(|job| bench.store.read(&job.id).unwrap().is_none()).collect()
}

/// Not a test of its own: what `Coordinator::start` starts.
#[test]
fn coordinator_of_other_tests() {
    let Some(results) = std::env::var_os("SWEEP_TEST_RESULTS") else { return };
    let number = |name| std::env::var(name).unwrap().parse::<u32>().unwrap();
    let mut bench = Bench::new(2);
    bench.store = Store::new(results);
    let jobs = unfinished(&bench, number("SWEEP_TEST_RUNS").into(), number("SWEEP_TEST_STEPS"));
    let _ = bench.run(jobs);
}

#[test]
fn no_worker_survives_a_killed_coordinator() {
    let bench = Bench::new(2);
    let coordinator = Coordinator::start(&bench, 2, 100_000);
    wait_for("two workers", || bench.pids().len() == 2);
    let pids = bench.pids();
    assert!(pids.iter().all(|&pid| !alive_in_group(pid).is_empty()));
    coordinator.kill();
    wait_for("the workers to die", || pids.iter().all(|&pid| alive_in_group(pid).is_empty()));
}

#[test]
fn killing_coordinators_at_random_moments_loses_and_repeats_no_run() {
    let (bench, runs, steps) = (Bench::new(2), 40, 20);
    for n in 0..6 {
        let coordinator = Coordinator::start(&bench, runs, steps);
        // Some runs further on, and then somewhere in the middle of the next ones.
        wait_for("records", || bench.store.read_all().unwrap().len() > 3 * n as usize);
        thread::sleep(Duration::from_millis(n * 161 % 60));
        coordinator.kill();
    }
    let left = unfinished(&bench, runs, steps);
    assert_eq!(bench.run(left.clone()).unwrap(), summary(left.len(), 0, 0));
    let records = bench.store.read_all().unwrap();
    assert_eq!(records.len(), 40);
    for record in records {
        // As an undisturbed sweep would have it.
        assert_eq!(record.score(), Some(record.run.seed as f64 / 1000.0));
    }
    let mut ended = std::collections::HashSet::new();
    for what in bench.events() {
        match what {
            What::Started { id, .. } => assert!(!ended.contains(&id), "{id} was started again after its end"),
            What::Ended { id, .. } => assert!(ended.insert(id), "a run ended twice"),
            _ => {}
        }
    }
}
