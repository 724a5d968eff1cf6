//! GPUs, on machines that have none: the real program over an NVML of made-up cards and a trainer that takes their memory.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::sandbox::{Said, Sandbox, project, tiny_sweep};

/// Two cards of 1000 MiB, on the second of them a process of somebody else.
const CARDS: &str = "0 GPU-aa11 0 1000 34 0\n1 GPU-bb22 200 1000 61 97 4000000:200\n";

/// A sandbox with the program beside the fake trainer.
struct Machine {
    sandbox: Sandbox,
    /// Where leases lie; several machines with one folder are one machine.
    runtime: PathBuf,
    variables: Vec<(&'static str, String)>,
}

impl Machine {
    fn new(cards: &str, grid: &str) -> Machine {
        let sandbox = Sandbox::with_fake_trainer(&tiny_sweep(grid, ""));
        std::fs::create_dir(sandbox.path("lib")).expect("a folder");
        let tests = project().join("tests");
        std::fs::copy(tests.join("fake_gpu_worker.py"), sandbox.path("bin/sweep-worker")).expect("the fake trainer");
        let library = sandbox.path("lib/libnvidia-ml.so.1");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(tests.join("fake_nvml.c"));
        assert!(compiler.status().expect("a C compiler").success());
        std::fs::write(sandbox.path("cards"), cards).expect("the cards");
        let runtime = sandbox.path("runtime");
        Machine { sandbox, runtime, variables: Vec::new() }
    }

    fn with(mut self, variable: &'static str, content: &str) -> Machine {
        self.variables.push((variable, content.to_owned()));
        self
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.sandbox.command(arguments);
        command.env_remove("CUDA_VISIBLE_DEVICES").env("XDG_RUNTIME_DIR", &self.runtime);
        command.env("SWEEP_FAKE_CARDS", self.sandbox.path("cards")).env("LD_LIBRARY_PATH", self.sandbox.path("lib"));
        command.envs(self.variables.iter().map(|(variable, content)| (variable, content)));
        command
    }

    #[track_caller]
    fn expect(&self, code: i32, arguments: &[&str]) -> Said {
        let Output { status, stdout, stderr } = self.command(arguments).output().expect("the program starts");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        let said = Said { code: status.code().unwrap_or(-1), out: text(stdout), err: text(stderr) };
        assert_eq!(said.code, code, "{arguments:?}\n{}\n{}", said.out, said.err);
        said
    }

    /// Device, hardware and what the worker saw, of each record.
    fn made(&self) -> Vec<(String, String, String)> {
        let word = |record: &serde_json::Value, key: &str| record["made"][key].as_str().unwrap_or_default().to_owned();
        let records = self.sandbox.records();
        records.iter().map(|r| (word(r, "device"), word(r, "device_name"), word(r, "libtorch"))).collect()
    }

    /// The most runs that were under way at a time.
    fn most_at_once(&self) -> i32 {
        let log = std::fs::read_to_string(self.sandbox.path("results/tiny/events.jsonl")).expect("a log");
        let (mut now, mut most) = (0, 0);
        for line in log.lines() {
            now += i32::from(line.contains("\"started\"")) - i32::from(line.contains("\"ended\""));
            most = most.max(now);
        }
        most
    }
}

fn one_run() -> &'static str {
    "mode = [\"vanilla\"]\nseed = [1]"
}

#[test]
fn a_worker_sees_its_card_alone_whatever_its_number() {
    // As Slurm hands out the second card.
    let machine = Machine::new(CARDS, one_run()).with("CUDA_VISIBLE_DEVICES", "1");
    let said = machine.expect(0, &["run", "sweep.toml"]);
    assert!(said.err.contains("cuda:0 (Fake GPU 1, GPU-bb22) is also used by someone (process 4000000, 0.2 GiB)"));
    let saw = "sees GPU-bb22, mps none".to_owned();
    assert_eq!(machine.made(), [("cuda:0".to_owned(), "Fake GPU 1".to_owned(), saw)]);

    // All are to see, and one is asked for by the beginning of its UUID.
    let machine = Machine::new(CARDS, one_run());
    machine.expect(0, &["run", "sweep.toml", "--devices", "GPU-bb"]);
    let saw = "sees GPU-bb22, mps none".to_owned();
    assert_eq!(machine.made(), [("cuda:1".to_owned(), "Fake GPU 1".to_owned(), saw)]);
    let peak = &machine.sandbox.records()[0]["made"]["peak_device_memory_mib"];
    assert_eq!(peak.as_f64(), Some(300.0));
}

#[test]
fn an_instance_of_a_cut_card_is_a_device() {
    let cards = "0 GPU-aa11 0 1000 34 0\n0 MIG-0001 0 400 34 0\n0 MIG-0002 0 400 34 0\n";
    let machine = Machine::new(cards, "mode = [\"vanilla\"]\nseed = [1, 2]");
    let dry = machine.expect(0, &["run", "sweep.toml", "--dry-run"]).out;
    assert!(dry.contains("cuda:0 (1 × ") && dry.contains("cuda:1 (1 × ") && !dry.contains("cuda:2"), "{dry}");
    machine.expect(0, &["run", "sweep.toml", "--devices", "MIG-0002"]);
    assert!(machine.made().iter().all(|(device, _, saw)| device == "cuda:1" && saw.contains("MIG-0002")));
}

#[test]
fn without_nvml_the_trainer_is_asked_and_a_card_goes_by_its_number() {
    let machine = Machine::new(CARDS, one_run()).with("LD_LIBRARY_PATH", "");
    machine.expect(0, &["run", "sweep.toml", "--devices", "cuda:0", "--slots-per-device", "auto"]);
    let saw = "sees all, mps none".to_owned();
    assert_eq!(machine.made(), [("cuda:0".to_owned(), "fake".to_owned(), saw)]);
    let err = machine.expect(1, &["run", "sweep.toml", "--devices", "cuda:1"]).err;
    assert!(err.contains("no device \"cuda:1\" on this machine; it has cpu, cuda:0 (fake)"), "{err}");
}

#[test]
fn what_cannot_be_used_is_said_with_what_can() {
    let machine = Machine::new(CARDS, one_run()).with("CUDA_VISIBLE_DEVICES", "1");
    for (devices, said) in [
        ("GPU-zz", "no device \"GPU-zz\" on this machine; it has cpu, cuda:0 (Fake GPU 1, GPU-bb22)"),
        ("cuda:1", "no device \"cuda:1\" on this machine"),
        ("GPU-aa11", "but CUDA_VISIBLE_DEVICES=1 hides it"),
        ("cuda:0,GPU-bb22", "are one device"),
    ] {
        let err = machine.expect(1, &["run", "sweep.toml", "--devices", devices]).err;
        assert!(err.contains(said), "{devices}: {err}");
    }
    assert!(!machine.sandbox.path("results/runs").exists());
    // Nothing to see: the CPU trains.
    let blind = Machine::new(CARDS, one_run()).with("CUDA_VISIBLE_DEVICES", "");
    assert!(blind.expect(0, &["run", "sweep.toml", "--dry-run"]).out.contains("would be trained on cpu"));
    // A libtorch that cannot compute on the cards.
    let plain = Machine::new(CARDS, one_run()).with("SWEEP_FAKE_CUDA", "no");
    let said = plain.expect(0, &["run", "sweep.toml", "--dry-run"]);
    assert!(said.err.contains("libtorch has no CUDA, so the CPU trains"), "{}", said.err);
    assert!(said.out.contains("would be trained on cpu"), "{}", said.out);
}

#[test]
fn doctor_shows_cards_and_who_is_on_them() {
    let machine = Machine::new(CARDS, one_run()).with("CUDA_VISIBLE_DEVICES", "1");
    let out = machine.command(&["doctor"]).output().expect("doctor").stdout;
    let out = String::from_utf8_lossy(&out);
    for said in [
        "CUDA_VISIBLE_DEVICES=1 shows 1 of 2 cards to this program",
        "card hidden: Fake GPU 0, GPU-aa11, 1.0 of 1.0 GiB free, 34 °C, 0 % busy",
        "card cuda:0: Fake GPU 1, GPU-bb22, 0.8 of 1.0 GiB free, 61 °C, 97 % busy",
        "on it: someone (process 4000000, 0.2 GiB)",
    ] {
        assert!(out.contains(said), "{said} in\n{out}");
    }
}

/// One run says what runs take, and then so many go together as 90 % of the free memory hold: three of 300 MiB in 1000.
#[test]
fn auto_packs_as_many_runs_as_memory_holds() {
    let grid = "mode = [\"vanilla\"]\nseed = { from = 1, to = 12 }";
    let machine = Machine::new(CARDS, grid).with("SWEEP_FAKE_SECONDS", "0.5");
    machine.expect(0, &["run", "sweep.toml", "--devices", "cuda:0", "--slots-per-device", "auto"]);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    assert_eq!(machine.most_at_once(), 3.min(cores as i32));
    assert_eq!(machine.sandbox.records().len(), 12);
    // The workers have given the memory back, and records tell what runs take: no run need be alone first.
    let text = std::fs::read_to_string(machine.sandbox.path("sweep.toml")).expect("the sweep");
    std::fs::write(machine.sandbox.path("sweep.toml"), text.replace("to = 12", "to = 16")).expect("a longer sweep");
    std::fs::remove_file(machine.sandbox.path("results/tiny/events.jsonl")).expect("the log");
    machine.expect(0, &["run", "sweep.toml", "--devices", "cuda:0", "--slots-per-device", "auto"]);
    assert_eq!(machine.most_at_once(), 3.min(cores as i32));
    // Of 500 MiB a second one does not fit, however many cores there are.
    let machine = Machine::new(CARDS, "mode = [\"vanilla\"]\nseed = [1, 2, 3, 4]").with("SWEEP_FAKE_MIB", "500");
    machine.expect(0, &["run", "sweep.toml", "--devices", "cuda:0", "--slots-per-device", "auto"]);
    assert_eq!(machine.most_at_once(), 1);
    let dry = machine.expect(0, &["run", "sweep.toml", "--dry-run", "--slots-per-device", "auto"]).out;
    assert!(dry.contains("cuda:0 (up to ") && dry.contains(", as its memory allows)"), "{dry}");
}

/// A sweep that keeps its devices for as long as the test wants.
struct Holding(std::process::Child);

impl Holding {
    fn on(machine: &Machine, lease: &str, arguments: &[&str]) -> Holding {
        let mut command = machine.command(&[&["run", "sweep.toml"], arguments].concat());
        command.env("SWEEP_FAKE_SECONDS", "600").stdout(Stdio::null()).stderr(Stdio::null());
        let holding = Holding(command.spawn().expect("a sweep"));
        wait_for(&machine.runtime.join("sweep/leases").join(lease), |text| text.contains("\"pid\""));
        holding
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn wait_for(file: &Path, holds: impl Fn(&str) -> bool) {
    let start = Instant::now();
    while !std::fs::read_to_string(file).is_ok_and(|text| holds(&text)) {
        assert!(start.elapsed() < Duration::from_secs(120), "waited in vain for {}", file.display());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn two_sweeps_never_share_a_slot_of_a_gpu() {
    let first = Machine::new(CARDS, one_run());
    let mut second = Machine::new(CARDS, one_run());
    second.runtime = first.runtime.clone();
    let holding = Holding::on(&first, "GPU-aa11-0.lease", &["--devices", "cuda:0"]);
    let holder = format!("sweep `tiny` (process {}, since ", holding.0.id());

    let err = second.expect(1, &["run", "sweep.toml", "--devices", "cuda:0"]).err;
    assert!(err.contains("every device is taken: cuda:0 (Fake GPU 0, GPU-aa11) by ") && err.contains(&holder), "{err}");
    assert!(second.made().is_empty());
    let doctor = second.command(&["doctor"]).output().expect("doctor").stdout;
    assert!(String::from_utf8_lossy(&doctor).contains(&format!("slot 0 of cuda:0 is held by {holder}")));
    // Of all cards, the other one.
    let err = second.expect(0, &["run", "sweep.toml"]).err;
    assert!(err.contains("cuda:0 is left out") && err.contains(&holder), "{err}");
    assert_eq!(second.made()[0].0, "cuda:1");
    // Two to a card: its second slot is free.
    std::fs::remove_dir_all(second.sandbox.path("results")).expect("results");
    let err = second.expect(0, &["run", "sweep.toml", "--devices", "cuda:0", "--slots-per-device", "2"]).err;
    assert!(err.contains("1 of 2 slots are left for this sweep"), "{err}");

    // A sweep that was killed holds nothing.
    drop(holding);
    std::fs::remove_dir_all(second.sandbox.path("results")).expect("results");
    let err = second.expect(0, &["run", "sweep.toml", "--devices", "cuda:0"]).err;
    assert!(!err.contains("tiny` (process"), "{err}");
}

#[test]
fn a_second_sweep_on_the_cpu_is_warned_and_goes_on() {
    let first = Machine::new("", one_run());
    let mut second = Machine::new("", one_run());
    second.runtime = first.runtime.clone();
    let holding = Holding::on(&first, "cpu-0.lease", &["--slots-per-device", "1"]);
    let err = second.expect(0, &["run", "sweep.toml", "--slots-per-device", "1"]).err;
    let said = format!("the CPU is shared with sweep `tiny` (process {}, since ", holding.0.id());
    assert!(err.contains(&said), "{err}");
    assert!(second.runtime.join("sweep/leases/cpu-1.lease").exists());
}

#[test]
fn the_multi_process_service_is_started_for_the_sweep_and_ended_with_it() {
    let with_mps = |machine: &Machine| {
        let text = std::fs::read_to_string(machine.sandbox.path("sweep.toml")).expect("the sweep");
        std::fs::write(machine.sandbox.path("sweep.toml"), text + "\n[run]\nmps = true\n").expect("a sweep");
    };
    let machine = Machine::new(CARDS, one_run());
    with_mps(&machine);
    let err = machine.expect(0, &["run", "sweep.toml", "--devices", "cuda:0"]).err;
    assert!(err.contains("nvidia-cuda-mps-control is not on the PATH"), "{err}");
    assert_eq!(machine.made()[0].2, "sees GPU-aa11, mps none");

    let machine = Machine::new(CARDS, one_run());
    with_mps(&machine);
    let fake = project().join("tests/fake_mps.sh");
    std::os::unix::fs::symlink(fake, machine.sandbox.path("bin/nvidia-cuda-mps-control")).expect("a link");
    let path = format!("{}:{}", machine.sandbox.path("bin").display(), std::env::var("PATH").unwrap_or_default());
    let machine = machine.with("PATH", &path);
    machine.expect(0, &["run", "sweep.toml", "--devices", "cuda:0"]);
    let pipe = machine.runtime.join("sweep/mps/pipe");
    assert_eq!(machine.made()[0].2, format!("sees GPU-aa11, mps {}", pipe.display()));
    let history = std::fs::read_to_string(pipe.join("history")).expect("a history");
    assert_eq!(history, "daemon sees all\nquit\n");
}

/// So long a sweep that the split of the CPU is measured, by trainers that say how fast they are.
#[test]
fn the_cpu_is_split_by_a_measurement_that_is_made_once() {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if cores < 2 {
        return;
    }
    let seeds = "seed = { from = 1, to = 40 }\nepochs = 10000000";
    let machine = Machine::new("", &format!("mode = [\"vanilla\"]\n{seeds}"));
    let err = machine.expect(0, &["run", "sweep.toml", "--slots-per-device", "auto", "--limit", "30"]).err;
    assert!(err.contains(&format!("measuring how to split {cores} cores")), "{err}");
    assert!(err.contains(&format!("cpu: {cores} workers, measured: 1 × {cores} threads 70.0")), "{err}");
    let err = machine.expect(0, &["run", "sweep.toml", "--slots-per-device", "auto"]).err;
    assert!(err.contains(&format!("cpu: {cores} workers, measured")) && !err.contains("measuring"), "{err}");
    let dry = machine.expect(0, &["run", "sweep.toml", "--dry-run", "--slots-per-device", "auto"]).out;
    assert!(dry.contains("0 runs would be trained on cpu"), "{dry}");
}

/// The same by real trainers of a real, if tiny, model.
#[test]
fn real_workers_measure_how_fast_they_train() {
    if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
        return;
    }
    let sandbox = Sandbox::with(&tiny_sweep("mode = [\"vanilla\"]\nseed = [1, 2]", "epochs = 1000000000"));
    let mut sweep = sandbox
        .command(&["run", "sweep.toml", "--devices", "cpu", "--slots-per-device", "auto"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    // Runs begin when all is measured.
    wait_for(&sandbox.path("results/tiny/events.jsonl"), |log| log.contains("\"started\""));
    let _ = Command::new("kill").args(["-INT", &sweep.id().to_string()]).status();
    assert_eq!(sweep.wait().expect("its end").code(), Some(3));
    let kept: Vec<PathBuf> =
        std::fs::read_dir(sandbox.path("results/cache/splits")).expect("kept").flatten().map(|e| e.path()).collect();
    let text = std::fs::read_to_string(&kept[0]).expect("a measurement");
    let measured: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let timings = measured["timings"].as_array().expect("timings");
    assert!(timings.len() > 1 && timings.iter().all(|t| t["examples_per_second"].as_f64() > Some(1.0)), "{text}");
}
