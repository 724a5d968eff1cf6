//! The same sweep on a real Slurm: a controller and two nodes of this machine (`tests/slurm/up.sh`), with make-believe
//! GPUs. Where its packages are not installed these tests skip, and say so.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::crash_matrix::report;
use super::sandbox::{Said, Sandbox, project, tiny_sweep};

/// A Slurm of its own, ended with all its daemons when dropped.
struct Slurm {
    folder: tempfile::TempDir,
}

impl Slurm {
    /// `port` keeps those apart that run side by side.
    #[allow(clippy::print_stderr, reason = "whoever reads the tests' output should know")]
    fn start(port: u16) -> Option<Slurm> {
        let is_there = |program: &str| {
            let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output();
            found.is_ok_and(|found| found.status.success())
        };
        if let Some(missing) =
            ["slurmctld", "slurmd", "munged", "sbatch"].into_iter().find(|program| !is_there(program))
        {
            eprintln!("skipped: there is no {missing}; scripts/fetch-slurm.sh installs it where it may");
            return None;
        }
        // SAFETY: asks only.
        if unsafe { libc::geteuid() } != 0 {
            eprintln!("skipped: only root can make the device files of make-believe GPUs");
            return None;
        }
        let slurm = Slurm { folder: tempfile::Builder::new().prefix("sl").tempdir().expect("a folder") };
        let output = slurm.script("up.sh").env("PORT", port.to_string()).output().expect("it starts");
        if !output.status.success() {
            eprintln!("skipped: Slurm does not start here: {}", String::from_utf8_lossy(&output.stderr));
            return None;
        }
        Some(slurm)
    }

    fn script(&self, name: &str) -> Command {
        let mut command = Command::new(project().join("tests/slurm").join(name));
        command.arg(self.folder.path());
        command
    }

    fn conf(&self) -> PathBuf {
        self.folder.path().join("slurm.conf")
    }

    fn say(&self, program: &str, arguments: &[&str]) -> String {
        let output = Command::new(program).args(arguments).env("SLURM_CONF", self.conf()).output().expect("it starts");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn pid(&self, daemon: &str) -> i32 {
        let file = self.folder.path().join("run").join(format!("{daemon}.pid"));
        std::fs::read_to_string(file).expect("a pid").trim().parse().expect("a number")
    }

    fn kill(&self, daemon: &str) {
        // SAFETY: a daemon that this test started.
        unsafe { libc::kill(self.pid(daemon), libc::SIGKILL) };
    }

    fn start_controller(&self) {
        let status = Command::new("slurmctld").arg("-f").arg(self.conf()).status().expect("it starts");
        assert!(status.success());
    }

    fn running(&self) -> Vec<String> {
        self.say("squeue", &["-h", "-r", "-t", "RUNNING", "-o", "%F_%K"]).lines().map(str::to_owned).collect()
    }
}

impl Drop for Slurm {
    fn drop(&mut self) {
        let folders = ["run", "munge"].map(|name| std::fs::read_dir(self.folder.path().join(name)));
        let pids: Vec<PathBuf> = folders
            .into_iter()
            .flatten()
            .flatten()
            .flatten()
            .filter(|entry| entry.path().extension().is_some_and(|ending| ending == "pid"))
            .filter_map(|entry| std::fs::read_to_string(entry.path()).ok())
            .map(|pid| PathBuf::from("/proc").join(pid.trim()))
            .collect();
        let _ = self.script("down.sh").status();
        let left: Vec<&PathBuf> = pids.iter().filter(|pid| pid.join("exe").exists()).collect();
        assert!(left.is_empty() || std::thread::panicking(), "daemons are left behind: {left:?}");
    }
}

fn command(sandbox: &Sandbox, slurm: &Slurm, arguments: &[&str]) -> Command {
    let mut command = sandbox.command(arguments);
    command.env("SLURM_CONF", slurm.conf());
    // A minute in earnest.
    command.env("SWEEP_MISSING_AFTER", "10");
    command
}

#[track_caller]
fn expect(sandbox: &Sandbox, slurm: &Slurm, code: i32, arguments: &[&str]) -> Said {
    let output = command(sandbox, slurm, arguments).output().expect("the program starts");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let said = Said { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) };
    assert_eq!(said.code, code, "{arguments:?}\n{}\n{}\n{}", said.out, said.err, words(sandbox));
    said
}

fn begin(sandbox: &Sandbox, slurm: &Slurm, arguments: &[&str]) -> Child {
    let log = std::fs::File::create(sandbox.path("coordinator.log")).expect("a file");
    let mut command = command(sandbox, slurm, arguments);
    command.stdout(Stdio::null()).stderr(log).spawn().expect("the program starts")
}

/// What coordinator and jobs wrote.
fn words(sandbox: &Sandbox) -> String {
    let read = |path: PathBuf| format!("{}:\n{}\n", path.display(), std::fs::read_to_string(&path).unwrap_or_default());
    let jobs = std::fs::read_dir(sandbox.path("results/tiny/cluster/log")).into_iter().flatten().flatten();
    let jobs: String = jobs.map(|entry| read(entry.path())).collect();
    read(sandbox.path("coordinator.log")) + &jobs
}

#[track_caller]
fn until<T>(what: &str, sandbox: &Sandbox, mut is: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = is() {
            return found;
        }
        assert!(start.elapsed() < Duration::from_secs(300), "{what} did not come\n{}", words(sandbox));
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[track_caller]
fn end(sandbox: &Sandbox, mut run: Child) {
    let status = until("the end", sandbox, || run.try_wait().expect("a child"));
    assert!(status.success(), "{status}\n{}", words(sandbox));
}

fn text(steps: u32, more: &str) -> String {
    let sweep = tiny_sweep("mode = [\"vanilla\", \"child-f\"]\nseed = [1, 2]", &format!("max_steps = {steps}"));
    format!(
        "{sweep}[run]\ndevices = [\"cpu\"]\nexecutor = \"slurm\"\n[run.slurm]\npartition = \"main\"\ngpus = 1\ncpus = 1\n\
         concurrency = 2\n{more}"
    )
}

fn trained(sandbox: &Sandbox) -> Vec<usize> {
    let runs = std::fs::read_dir(sandbox.path("results/runs")).into_iter().flatten().flatten();
    let count = |folder: PathBuf| std::fs::read_to_string(folder.join("trained")).unwrap_or_default().lines().count();
    runs.map(|run| count(run.path())).collect()
}

/// Both modes, and Slurm's own commands as those of an engine that nobody knows.
#[test]
fn the_report_is_that_of_one_machine() {
    let Some(slurm) = Slurm::start(27100) else { return };
    let local = Sandbox::with_fake_trainer(&text(5, ""));
    local.expect(0, &["run", "sweep.toml", "--executor", "local", "--slots-per-device", "2"]);
    let expected = report(&local);
    let commands = r#"
        [run.command]
        cpus = 1
        submit = "sbatch --parsable --job-name={name} --output=/dev/null {script}"
        id = '^(\d+)'
        list = "squeue -h -t all -o '%A %j %T %N'"
        line = '^(?<id>\d+) (?<name>\S+) (?<state>\S+) ?(?<node>\S*)$'
        waiting = ["PENDING"]
        running = ["RUNNING", "COMPLETING"]
        ended = ["COMPLETED", "FAILED", "CANCELLED"]
        cancel = "scancel {id}"
        environment = ["PATH", "SLURM_CONF"]
    "#;
    for (more, arguments) in
        [("", &["--jobs", "pilot"][..]), ("", &["--jobs", "array"]), (commands, &["--executor", "command"])]
    {
        let sandbox = Sandbox::with_fake_trainer(&(text(5, "") + more));
        let call = |more: &[&'static str]| [&["run", "sweep.toml"], arguments, more].concat();
        let dry = expect(&sandbox, &slurm, 0, &call(&["--dry-run"]));
        assert!(dry.out.contains("nothing was submitted"), "{}", dry.out);
        let said = expect(&sandbox, &slurm, 0, &call(&[]));
        assert!(said.out.contains("4 done, 0 failed, 0 left"), "{}", said.out);
        assert_eq!(trained(&sandbox), [1; 4], "{arguments:?}");
        let found = report(&sandbox);
        let differ: Vec<&String> = expected.keys().filter(|name| found.get(*name) != expected.get(*name)).collect();
        assert!(differ.is_empty() && found.len() == expected.len(), "{arguments:?}: {differ:?} differ");
    }
}

#[test]
fn a_coordinator_and_a_controller_that_die_cost_no_run_and_no_run_twice() {
    let Some(slurm) = Slurm::start(27200) else { return };
    let sandbox = Sandbox::with_fake_trainer(&text(1500, ""));
    let run = ["run", "sweep.toml"];
    // Killed as soon as the jobs are there, before it wrote that down.
    let killed = command(&sandbox, &slurm, &run).env("SWEEP_KILL_AT", "submitted:1").output().expect("it starts");
    assert_eq!(killed.status.code(), None);
    until("a running job", &sandbox, || slurm.running().first().cloned());
    let coordinator = begin(&sandbox, &slurm, &run);
    until("its word", &sandbox, || words(&sandbox).contains("jobs run").then_some(()));
    slurm.kill("slurmctld");
    std::thread::sleep(Duration::from_secs(3));
    slurm.start_controller();
    end(&sandbox, coordinator);
    assert_eq!(trained(&sandbox), [1; 4], "{}", words(&sandbox));

    // The controller dies within a second of a submit, and may forget what it was told.
    let sandbox = Sandbox::with_fake_trainer(&text(300, ""));
    let coordinator = begin(&sandbox, &slurm, &run);
    until("a submission", &sandbox, || words(&sandbox).contains("submitted 2 jobs").then_some(()));
    slurm.kill("slurmctld");
    slurm.start_controller();
    // A node to which a number was given twice takes no more jobs until somebody says so.
    let freed = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !freed.load(std::sync::atomic::Ordering::Relaxed) {
                slurm.say("scontrol", &["update", "nodename=n1,n2", "state=resume"]);
                std::thread::sleep(Duration::from_secs(2));
            }
        });
        let mut coordinator = coordinator;
        let start = Instant::now();
        let status = loop {
            if let Some(status) = coordinator.try_wait().expect("a child") {
                break Some(status);
            }
            if start.elapsed() > Duration::from_secs(180) {
                break None;
            }
            std::thread::sleep(Duration::from_millis(200));
        };
        freed.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(status.is_some_and(|status| status.success()), "{status:?}\n{}", words(&sandbox));
    });
    assert_eq!(trained(&sandbox), [1; 4], "{}", words(&sandbox));
}

#[test]
fn a_node_that_dies_gives_its_runs_to_another_and_one_copy_counts() {
    let Some(slurm) = Slurm::start(27300) else { return };
    let sandbox = Sandbox::with_fake_trainer(&text(10_000, ""));
    let coordinator = begin(&sandbox, &slurm, &["run", "sweep.toml"]);
    until("two claims", &sandbox, || {
        let claims = std::fs::read_dir(sandbox.path("results/cluster/claims")).into_iter().flatten().count();
        (claims >= 2).then_some(())
    });
    // The node goes, its job trains on: for a while two copies of a run are under way.
    slurm.kill("slurmd-n1");
    end(&sandbox, coordinator);
    // It knows its node by Slurm's name, and keeps away from it.
    assert_eq!(std::fs::read_to_string(sandbox.path("results/tiny/cluster/excluded")).unwrap_or_default(), "n1\n");
    // `trained` lies in the folder of a copy, so the one that won was trained once.
    assert_eq!(trained(&sandbox), [1; 4], "{}", words(&sandbox));
    assert_eq!(sandbox.records().len(), 4);
}

#[test]
fn at_its_time_limit_a_job_saves_its_runs_and_is_queued_again_and_one_that_is_cancelled_is_not() {
    let Some(slurm) = Slurm::start(27400) else { return };
    // A minute is the shortest limit that there is: the trainer is the real one, and goes on from its checkpoint.
    let endless = tiny_sweep("mode = [\"vanilla\"]", "epochs = 1000000\nmax_steps = 10000000\nlog_every = 1");
    let sandbox = Sandbox::with(&format!(
        "{endless}[run]\ndevices = [\"cpu\"]\n[run.slurm]\ncpus = 1\nconcurrency = 1\ntime = \"1m\""
    ));
    // A node looks around first; models and data of GLUE are not in this sandbox, so something is missing.
    let doctor = expect(&sandbox, &slurm, 1, &["doctor", "--executor", "slurm", "--sweep", "sweep.toml"]).out;
    for found in ["ok       Slurm", "sees the program and can write into the results", "libtorch 2.", "no GPU on"] {
        assert!(doctor.contains(found), "{found} in {doctor}");
    }
    let mut coordinator = begin(&sandbox, &slurm, &["run", "sweep.toml", "--executor", "slurm"]);
    let queued_again = |sandbox: &Sandbox| words(sandbox).contains("it begins again").then_some(());
    until("the end of its time", &sandbox, || queued_again(&sandbox));
    until("its second life", &sandbox, || {
        let log = std::fs::read_to_string(sandbox.path("results/tiny/cluster/log/1-0.log")).unwrap_or_default();
        log.contains("attempt 2: started").then_some(())
    });
    let steps = |copy: u32| {
        let entries = std::fs::read_dir(sandbox.path("results/cluster/attempts")).expect("attempts").flatten();
        let folder =
            entries.map(|entry| entry.path()).find(|path| path.extension().is_some_and(|e| *e == *copy.to_string()));
        let text = folder.and_then(|folder| std::fs::read_to_string(folder.join("steps.csv")).ok()).unwrap_or_default();
        text.lines().count()
    };
    assert!(steps(2) >= steps(1) && steps(1) > 100, "{} and {} lines", steps(1), steps(2));
    // What somebody cancels stays cancelled.
    let job = until("a running job", &sandbox, || slurm.running().first().cloned());
    slurm.say("scancel", &[&job]);
    let status = until("the coordinator's end", &sandbox, || coordinator.try_wait().expect("a child"));
    assert_eq!(status.code(), Some(1), "{}", words(&sandbox));
    assert!(words(&sandbox).contains("cancelled by the engine's own command"), "{}", words(&sandbox));
}
