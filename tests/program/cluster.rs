//! A sweep as jobs of a cluster: a cluster that these tests invent (`tests/slurm/fake.py`), with all that one can say.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::sandbox::{Said, Sandbox, project, tiny_sweep};

/// A sandbox whose PATH begins with the commands of an invented Slurm.
struct Cluster {
    sandbox: Sandbox,
}

/// Two seeds of a mode: four runs of the fake trainer.
fn text(steps: u32, more: &str) -> String {
    let sweep = tiny_sweep("mode = [\"vanilla\", \"child-f\"]\nseed = [1, 2]", &format!("max_steps = {steps}"));
    format!("{sweep}[run]\ndevices = [\"cpu\"]\nexecutor = \"slurm\"\n[run.slurm]\nconcurrency = 2\n{more}")
}

impl Cluster {
    fn with(text: &str) -> Cluster {
        let sandbox = Sandbox::with_fake_trainer(text);
        let bin = sandbox.path("slurm-bin");
        std::fs::create_dir(&bin).expect("a folder");
        std::fs::create_dir(sandbox.path("slurm")).expect("a folder");
        for command in ["sbatch", "squeue", "sacct", "scancel", "scontrol", "sinfo"] {
            std::os::unix::fs::symlink(project().join("tests/slurm/fake.py"), bin.join(command)).expect("a link");
        }
        Cluster { sandbox }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.sandbox.command(arguments);
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{path}", self.sandbox.path("slurm-bin").display()));
        command.env("FAKE_SLURM", self.sandbox.path("slurm"));
        // A minute in earnest.
        command.env("SWEEP_MISSING_AFTER", "2");
        command
    }

    #[track_caller]
    fn expect(&self, code: i32, arguments: &[&str]) -> Said {
        let output = self.command(arguments).output().expect("the program starts");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let said =
            Said { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) };
        assert_eq!(said.code, code, "{arguments:?}\n{}\n{}\n{}", said.out, said.err, self.logs());
        said
    }

    fn begin(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(arguments);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("the program starts")
    }

    /// What the next calls of a command do.
    fn next(&self, command: &str, lines: &[&str]) {
        self.note(&format!("next-{command}"), &(lines.join("\n") + "\n"));
    }

    fn note(&self, name: &str, text: &str) {
        std::fs::write(self.sandbox.path("slurm").join(name), text).expect("written");
    }

    fn calls(&self, command: &str) -> usize {
        let calls = std::fs::read_to_string(self.sandbox.path("slurm/calls")).unwrap_or_default();
        calls.lines().filter(|line| line.starts_with(command)).count()
    }

    /// Jobs that were ever made.
    fn jobs(&self) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(self.sandbox.path("slurm/jobs.json")).unwrap_or("[]".into());
        serde_json::from_str(&text).unwrap_or_default()
    }

    fn state(&self, state: &str) -> Option<String> {
        let job = self.jobs().into_iter().find(|job| job["state"] == state)?;
        Some(format!("{}_{}", job["job"], job["task"]))
    }

    /// Ends a job as its node or the controller would.
    fn end(&self, job: &str, state: &str) {
        let mut command = Command::new(project().join("tests/slurm/fake.py"));
        command.args(["end", job, state]).env("FAKE_SLURM", self.sandbox.path("slurm"));
        assert!(command.status().expect("it starts").success());
    }

    fn logs(&self) -> String {
        let folder = self.sandbox.path("results/tiny/cluster/log");
        let read = |path: PathBuf| std::fs::read_to_string(path).unwrap_or_default();
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| format!("{}:\n{}", entry.path().display(), read(entry.path()))).collect()
    }

    /// How often each run was trained to its end, by the trainer's own note.
    fn trained(&self) -> Vec<usize> {
        let runs = std::fs::read_dir(self.sandbox.path("results/runs")).into_iter().flatten().flatten();
        let count =
            |folder: PathBuf| std::fs::read_to_string(folder.join("trained")).unwrap_or_default().lines().count();
        runs.map(|run| count(run.path())).collect()
    }
}

#[track_caller]
fn until<T>(what: &str, mut is: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = is() {
            return found;
        }
        assert!(start.elapsed() < Duration::from_secs(180), "{what} did not come");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_sweep_is_done_by_pilots_and_leaves_what_a_local_one_leaves() {
    let cluster = Cluster::with(&text(5, ""));
    let said = cluster.expect(0, &["run", "sweep.toml"]);
    assert!(said.out.contains("4 done, 0 failed, 0 left"), "{}", said.out);
    assert!(
        said.err.contains("4 runs on Slurm 22.05.8 (cluster invented), by jobs that take run after run"),
        "{}",
        said.err
    );
    assert_eq!((cluster.jobs().len(), cluster.trained()), (2, vec![1; 4]));
    let local = Sandbox::with_fake_trainer(&text(5, ""));
    local.expect(0, &["run", "sweep.toml", "--executor", "local"]);
    let without = |mut records: Vec<serde_json::Value>| {
        records.iter_mut().for_each(|record| record["made"] = serde_json::Value::Null);
        records
    };
    assert_eq!(without(cluster.sandbox.records()), without(local.records()));
    // Nothing of copies is left, and nothing is done again.
    let left: Vec<_> = ["claims", "attempts"]
        .iter()
        .flat_map(|name| std::fs::read_dir(cluster.sandbox.path("results/cluster").join(name)).into_iter().flatten())
        .collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(cluster.expect(0, &["run", "sweep.toml"]).out.contains("nothing to do"));
    let status = cluster.expect(0, &["status", "sweep.toml"]);
    assert!(status.out.contains("4 runs: 4 done"), "{}", status.out);
}

#[test]
fn each_run_has_a_task_of_an_array_where_that_is_asked_for() {
    let cluster = Cluster::with(&text(5, "mode = \"array\"\n"));
    cluster.expect(0, &["run", "sweep.toml"]);
    assert_eq!((cluster.jobs().len(), cluster.calls("sbatch"), cluster.trained()), (4, 1, vec![1; 4]));
}

#[test]
fn a_dry_run_prints_the_script_and_asks_when_it_would_begin() {
    let cluster = Cluster::with(&text(5, "partition = \"gpu\"\ntime = \"2h\"\n"));
    let plan = cluster.expect(0, &["plan", "sweep.toml"]).out;
    assert!(plan.contains("on a cluster, by jobs that take run after run (pilot), 2 at one time"), "{plan}");
    let said = cluster.expect(0, &["run", "sweep.toml", "--dry-run"]);
    for part in ["#SBATCH --partition=gpu", "#SBATCH --time=120", "to start at 2030-01-01", "nothing was submitted"] {
        assert!(said.out.contains(part), "{part} in {}", said.out);
    }
    assert_eq!((cluster.jobs().len(), cluster.sandbox.path("results").exists()), (0, false));
    cluster.next("sbatch", &["refuse"]);
    assert!(cluster.expect(1, &["run", "sweep.toml", "--dry-run"]).err.contains("invalid partition specified"));
}

#[test]
fn a_submission_that_was_not_answered_is_looked_up_and_never_made_twice() {
    for (kind, calls) in [("silent-after", 1), ("silent", 2)] {
        let cluster = Cluster::with(&text(5, ""));
        cluster.next("sbatch", &[kind]);
        let said = cluster.expect(0, &["run", "sweep.toml"]);
        assert!(said.err.contains("Socket timed out"), "{}", said.err);
        assert_eq!((cluster.jobs().len(), cluster.calls("sbatch")), (2, calls), "{kind}\n{}", said.err);
        assert_eq!(cluster.trained(), [1; 4]);
    }
}

#[test]
fn a_coordinator_that_died_between_submitting_and_writing_it_down_finds_its_jobs() {
    for point in ["submission:1", "submitted:1"] {
        let cluster = Cluster::with(&text(5, ""));
        let status = cluster.command(&["run", "sweep.toml"]).env("SWEEP_KILL_AT", point).output().expect("it starts");
        assert_eq!(status.status.code(), None, "it was killed");
        let said = cluster.expect(0, &["run", "sweep.toml"]);
        assert!(said.out.contains("0 failed, 0 left") || said.out.contains("nothing to do"), "{}", said.out);
        assert_eq!((cluster.jobs().len(), cluster.trained()), (2, vec![1; 4]), "{point}");
    }
}

#[test]
fn a_detached_coordinator_leaves_and_comes_back_to_its_jobs() {
    let cluster = Cluster::with(&text(5, ""));
    cluster.note("hold", "");
    let said = cluster.expect(0, &["run", "sweep.toml", "--detach"]);
    assert!(said.out.contains("4 left") && said.out.contains("its jobs go on"), "{}", said.out);
    assert_eq!(cluster.jobs().len(), 2);
    let mut second = cluster.begin(&["run", "sweep.toml"]);
    std::fs::remove_file(cluster.sandbox.path("slurm/hold")).expect("removed");
    assert!(second.wait().expect("it ends").success());
    assert_eq!((cluster.jobs().len(), cluster.calls("sbatch"), cluster.trained()), (2, 1, vec![1; 4]));
}

#[test]
fn what_a_node_took_with_it_is_done_elsewhere_and_the_node_gets_no_more() {
    let cluster = Cluster::with(&text(400, "exclude = [\"n9\"]\n"));
    let mut run = cluster.begin(&["run", "sweep.toml"]);
    let job = until("a running job", || cluster.state("RUNNING"));
    until("a claim", || cluster.sandbox.path("results/cluster/claims").exists().then_some(()));
    cluster.end(&job, "NODE_FAIL");
    assert!(run.wait().expect("it ends").success(), "{}", cluster.logs());
    assert_eq!(cluster.trained(), [1; 4]);
    let later: Vec<_> = cluster.jobs().into_iter().filter(|job| job["job"].as_u64() > Some(101)).collect();
    assert!(!later.is_empty() && later.iter().all(|job| job["exclude"] == "n9,n1"), "{later:?}");
    // Jobs that wait are told too, and keep what the user excluded.
    let calls = std::fs::read_to_string(cluster.sandbox.path("slurm/calls")).unwrap_or_default();
    assert!(calls.contains("scontrol update JobId=101 ExcNodeList=n9,n1"), "{calls}");
}

#[test]
fn a_job_that_uses_up_the_nodes_memory_twice_fails_its_run_by_its_own_class() {
    let cluster = Cluster::with(
        &text(100_000, "")
            .replace("\"child-f\"]\nseed = [1, 2]", "\"child-f\"]\nseed = 1")
            .replace("\"vanilla\", ", ""),
    );
    let mut run = cluster.begin(&["run", "sweep.toml"]);
    for _ in 0..2 {
        let job = until("a running job", || cluster.state("RUNNING"));
        let claims = cluster.sandbox.path("results/cluster/claims");
        until("a claim that is open", || {
            let names: Vec<String> = std::fs::read_dir(&claims)
                .into_iter()
                .flatten()
                .flatten()
                .map(|entry| entry.file_name().to_string_lossy().into_owned())
                .collect();
            names
                .iter()
                .any(|name| {
                    !name.starts_with('.') && !name.ends_with(".over") && !names.contains(&format!("{name}.over"))
                })
                .then_some(())
        });
        cluster.end(&job, "OUT_OF_MEMORY");
    }
    assert_eq!(run.wait().expect("it ends").code(), Some(2), "{}", cluster.logs());
    let record = cluster.sandbox.records().remove(0);
    let tail = record["end"]["failed"]["killed"]["tail"].as_str().unwrap_or_default().to_owned();
    assert!(tail.contains("the node's memory was used up") && tail.contains("mem"), "{record}");
}

#[test]
fn a_job_that_the_controller_forgot_is_found_in_the_accounts_and_without_them_done_again() {
    for accounting in [true, false] {
        let cluster = Cluster::with(&text(1500, ""));
        if accounting {
            cluster.note("accounting", "");
        }
        let mut run = cluster.begin(&["run", "sweep.toml"]);
        let job = until("a running job", || cluster.state("RUNNING"));
        until("a claim", || cluster.sandbox.path("results/cluster/claims").exists().then_some(()));
        cluster.end(&job, "forget OUT_OF_MEMORY");
        assert!(run.wait().expect("it ends").success(), "{}", cluster.logs());
        assert_eq!((cluster.trained(), cluster.calls("sacct") > 0), (vec![1; 4], accounting));
    }
}

#[test]
fn jobs_of_a_name_that_another_has_too_are_told_apart_by_their_id() {
    let cluster = Cluster::with(&text(400, ""));
    let mut run = cluster.begin(&["run", "sweep.toml"]);
    until("running jobs", || cluster.state("RUNNING"));
    // Somebody submits the same script by hand: an id that nobody here knows.
    let script = cluster.sandbox.path("results/tiny/cluster/submissions/1.sh");
    let mut by_hand = Command::new(cluster.sandbox.path("slurm-bin/sbatch"));
    by_hand.arg("--parsable").arg(&script).env("FAKE_SLURM", cluster.sandbox.path("slurm"));
    assert!(by_hand.output().expect("it starts").status.success());
    assert!(run.wait().expect("it ends").success(), "{}", cluster.logs());
    assert_eq!(cluster.trained(), [1; 4]);
}

#[test]
fn a_call_for_fewer_runs_waits_for_those_that_are_out_and_destroys_nothing() {
    let cluster = Cluster::with(&text(300, ""));
    cluster.note("hold", "");
    cluster.expect(0, &["run", "sweep.toml", "--detach"]);
    let mut few = cluster.begin(&["run", "sweep.toml", "--limit", "1"]);
    std::thread::sleep(Duration::from_millis(500));
    std::fs::remove_file(cluster.sandbox.path("slurm/hold")).expect("removed");
    assert!(few.wait().expect("it ends").success());
    assert_eq!((cluster.trained(), cluster.calls("sbatch")), (vec![1; 4], 1), "{}", cluster.logs());
}

#[test]
fn an_engine_that_wants_no_more_is_left_alone_until_jobs_have_ended() {
    let cluster = Cluster::with(&text(300, ""));
    // One job is accepted, then no more for as long as it runs.
    cluster.next("sbatch", &["too-much", "", "too-much", "too-much"]);
    let said = cluster.expect(0, &["run", "sweep.toml"]);
    assert!(said.err.contains("tried again when others have ended"), "{}", said.err);
    assert!(cluster.calls("sbatch") <= 6, "{} calls", cluster.calls("sbatch"));
    assert_eq!(cluster.trained(), [1; 4]);
}

#[test]
fn a_job_that_cannot_be_cancelled_since_it_is_gone_is_as_good_as_cancelled() {
    let cluster = Cluster::with(&text(5, ""));
    cluster.note("hold", "");
    let mut run = cluster.begin(&["run", "sweep.toml"]);
    until("jobs", || (cluster.jobs().len() == 2).then_some(()));
    cluster.next("scancel", &["invalid"]);
    cluster.expect(0, &["cancel", "--all"]);
    assert_eq!(run.wait().expect("it ends").code(), Some(3));
    assert_eq!(cluster.calls("scancel"), 1);
    // Those that begin all the same see that the sweep was stopped, and take nothing.
    std::fs::remove_file(cluster.sandbox.path("slurm/hold")).expect("removed");
    until("their end", || cluster.jobs().iter().all(|job| job["state"] == "COMPLETED").then_some(()));
    assert_eq!(cluster.sandbox.records().len(), 0);
    cluster.expect(0, &["run", "sweep.toml"]);
    assert_eq!(cluster.trained(), [1; 4]);
}

#[test]
fn a_cancelled_run_of_a_cluster_has_a_record_that_says_so() {
    let cluster = Cluster::with(&text(5, ""));
    cluster.note("hold", "");
    let mut run = cluster.begin(&["run", "sweep.toml"]);
    until("jobs", || (cluster.jobs().len() == 2).then_some(()));
    let id = cluster.expect(0, &["run", "sweep.toml", "--dry-run"]).out[..10].to_owned();
    let said = cluster.expect(0, &["cancel", &id]);
    assert!(said.out.contains("no job had taken it"), "{}", said.out);
    assert!(cluster.expect(0, &["explain", &id]).out.contains("cancelled"));
    std::fs::remove_file(cluster.sandbox.path("slurm/hold")).expect("removed");
    assert_eq!(run.wait().expect("it ends").code(), Some(2));
    assert_eq!(cluster.sandbox.records().len(), 4);
    // What is tried again on the cluster is the same run.
    assert!(cluster.expect(0, &["rerun", "sweep.toml", "--cause", "cancelled"]).out.contains("1 done, 0 failed"));
}

#[test]
fn words_that_nobody_knows_and_empty_answers_are_neither_success_nor_failure() {
    let cluster = Cluster::with(&text(200, ""));
    cluster.next("squeue", &["odd", "empty", "silent", "odd", "empty"]);
    let said = cluster.expect(0, &["run", "sweep.toml"]);
    assert!(said.err.contains("which says nothing here"), "{}", said.err);
    assert_eq!((cluster.jobs().len(), cluster.trained()), (2, vec![1; 4]), "{}", said.err);
}

#[test]
fn jobs_that_end_without_training_anything_are_given_up_with_their_last_words() {
    let cluster = Cluster::with(&text(5, "setup = [\"echo no such module >&2\", \"exit 7\"]\n"));
    let said = cluster.expect(1, &["run", "sweep.toml"]);
    assert!(said.err.contains("3 submissions in a row") && said.err.contains("no such module"), "{}", said.err);
    assert_eq!(cluster.calls("sbatch"), 3);
}

#[test]
fn a_limit_on_jobs_makes_submissions_smaller() {
    let cluster = Cluster::with(&text(5, "mode = \"array\"\n"));
    cluster.next("sbatch", &["too-much"]);
    let said = cluster.expect(0, &["run", "sweep.toml"]);
    assert!(said.err.contains("it is tried with 2 jobs"), "{}", said.err);
    assert_eq!((cluster.calls("sbatch"), cluster.trained()), (3, vec![1; 4]));
}

#[test]
fn a_sweep_on_a_cluster_is_stopped_from_elsewhere_and_goes_on() {
    let cluster = Cluster::with(&text(600, ""));
    let mut run = cluster.begin(&["run", "sweep.toml"]);
    until("a claim", || cluster.sandbox.path("results/cluster/claims").exists().then_some(()));
    let status = until("a run in the status", || {
        let said = cluster.expect(0, &["status", "sweep.toml"]);
        said.out.contains("cpu@").then_some(said.out)
    });
    assert!(status.contains("job 101_"), "{status}");
    // Somebody who tries without the cluster is told.
    let refused = cluster.expect(1, &["run", "sweep.toml", "--executor", "local"]);
    assert!(refused.err.contains("is already running") || refused.err.contains("of a cluster"), "{}", refused.err);
    cluster.expect(0, &["cancel", "--all"]);
    assert_eq!(run.wait().expect("it ends").code(), Some(3), "{}", cluster.logs());
    assert!(cluster.state("RUNNING").is_none());
    let said = cluster.expect(0, &["run", "sweep.toml"]);
    assert!(said.out.contains("0 failed, 0 left"), "{}", said.out);
    assert_eq!(cluster.trained(), [1; 4]);
}

#[test]
fn what_makes_no_sense_on_a_cluster_is_refused() {
    let cluster = Cluster::with(&text(5, ""));
    for (arguments, said) in [
        (&["--shard", "1/2"][..], "one coordinator leads all jobs"),
        (&["--time-budget", "2h"][..], "`time` in [run.slurm]"),
        (&["--executor", "command"][..], "needs a table [run.command]"),
        (&["--executor", "local", "--detach"][..], "--detach is for jobs of a cluster"),
    ] {
        let mut call = vec!["run", "sweep.toml"];
        call.extend(arguments);
        let error = cluster.expect(1, &call).err;
        assert!(error.contains(said), "{error}");
    }
    let lone = Sandbox::with_fake_trainer(&text(5, ""));
    let error = lone.sweep(&["run", "sweep.toml"]).err;
    // Where the real one is installed, its controller does not answer.
    assert!(error.contains("no program scontrol here") || error.contains("scontrol"), "{error}");
}
