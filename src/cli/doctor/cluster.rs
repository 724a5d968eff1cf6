//! `sweep doctor --executor slurm`: what a first-time user of a cluster gets wrong, seen from a node by a tiny job.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::{Finding, bad, good};
use crate::cli::{complain, devices};
use crate::cluster::slurm::{self, Call, Slurm, quoted};
use crate::cluster::{Engine, State, Submit};
use crate::protocol::Probe;
use crate::record::store::{make_folder, replace};
use crate::spec::cluster::Slurm as Asked;

/// How long the job may wait and run.
const PATIENCE: Duration = Duration::from_secs(180);
const BEAT: Duration = Duration::from_secs(1);

/// What the job saw on its node.
#[derive(Debug, Serialize, Deserialize)]
struct Answer {
    host: String,
    /// What the trainer can train on there, or why it does not start.
    probe: Result<Probe, String>,
}

/// What the job runs: its answer is the test that the folder can be written there.
pub fn answer(file: &Path) -> Result<()> {
    let probe = devices::worker_program().and_then(|worker| devices::probe(&worker));
    let answer = Answer { host: crate::record::process::host(), probe: probe.map_err(|error| format!("{error:#}")) };
    replace(file, &serde_json::to_vec(&answer)?)
}

/// Submits the job, waits for it, and says what it saw.
pub(super) fn findings(results: &Path, asked: &Asked) -> Result<Vec<Finding>> {
    let engine = match Slurm::open() {
        Ok(engine) => engine,
        Err(trouble) => {
            return Ok(vec![bad(format!("Slurm: {trouble}"), "call this on a login node, where `sinfo` answers")]);
        }
    };
    let mut found = vec![good(engine.describe())];
    // The folder must be one that nodes see, so it lies with the results.
    let results = std::path::absolute(results)?;
    let name = format!("sweep-doctor-{}-{}", std::process::id(), jiff::Timestamp::now().as_second());
    let folder = results.join(format!(".{name}"));
    make_folder(&folder)?;
    found.extend(by_job(&engine, &folder, &name, asked)?);
    let _ = std::fs::remove_dir_all(&folder);
    Ok(found)
}

fn by_job(engine: &Slurm, folder: &Path, name: &str, asked: &Asked) -> Result<Vec<Finding>> {
    let (script, file, log) = (folder.join("job.sh"), folder.join("answer.json"), folder.join("job-0.log"));
    let own = std::env::current_exe()?.display().to_string();
    let program = format!(
        "{} pilot {} --submission 0 --answer {}",
        quoted(&own),
        quoted(&folder.display().to_string()),
        quoted(&file.display().to_string())
    );
    let call = Call {
        name,
        program: &program,
        log: &folder.join("job-%a.log"),
        tasks: 1,
        at_once: 1,
        exclude: &[],
        time: Duration::from_secs(300),
        warning: Duration::from_secs(60),
    };
    replace(&script, slurm::script(asked, &call).as_bytes())?;
    let order = Submit { name: name.to_owned(), script, tasks: 1, at_once: 1, exclude: Vec::new() };
    let id = match engine.submit(&order) {
        Ok(id) => id,
        Err(trouble) => {
            let what = format!("a job of a minute is not accepted: {trouble}");
            return Ok(vec![bad(what, "set partition, account, qos, … in [run.slurm], and name that sweep file")]);
        }
    };
    complain(&format!("job {id} looks around on a node; waiting for it, {} s at most …", PATIENCE.as_secs()));
    let start = Instant::now();
    let mut said = "it was not seen".to_owned();
    while start.elapsed() < PATIENCE && !file.exists() {
        std::thread::sleep(BEAT);
        let Ok(jobs) = engine.list(&[name.to_owned()]) else { continue };
        let Some(seen) = jobs.first() else { continue };
        said.clone_from(&seen.said);
        if matches!(seen.state, State::Ended(_)) {
            // What it wrote may need a moment to be seen here.
            std::thread::sleep(BEAT * 3);
            break;
        }
    }
    let answer = std::fs::read(&file).ok().and_then(|text| serde_json::from_slice::<Answer>(&text).ok());
    Ok(match answer {
        Some(answer) => of_answer(&answer, asked.gpus.is_some() || asked.gres.is_some()),
        None => {
            let _ = engine.cancel(&[id]);
            let words = std::fs::read_to_string(log).unwrap_or_default();
            let words = words.lines().last().unwrap_or("it wrote nothing").to_owned();
            let (what, mend) = if said.starts_with("PENDING") {
                (format!("the job did not begin in time: {said}"), "try again later, or ask for less in [run.slurm]")
            } else {
                (
                    format!("the job ended without an answer ({said}); its last line: {words}"),
                    "install both programs and the results on a file system that nodes see: `--results /shared/…`",
                )
            };
            vec![bad(what, mend)]
        }
    })
}

fn of_answer(answer: &Answer, wants_gpu: bool) -> Vec<Finding> {
    let host = &answer.host;
    let mut found = vec![good(format!("node {host} sees the program and can write into the results"))];
    match &answer.probe {
        Err(why) => found.push(bad(
            format!("libtorch on {host}: {why}"),
            "make install on a file system that nodes see, or `module load` a torch in `setup` of [run.slurm]",
        )),
        Ok(probe) => {
            found.push(good(format!("libtorch {} on {host}", probe.libtorch)));
            let gpu = probe.devices.iter().find(|device| device.name.starts_with("cuda"));
            found.push(match (gpu, wants_gpu) {
                (Some(gpu), _) => good(format!("{} on {host}: {}", gpu.name, gpu.hardware)),
                (None, true) => bad(
                    format!("the job asked for a GPU, and none is seen on {host}"),
                    "SWEEP_LIBTORCH=full make setup, or LD_LIBRARY_PATH at a torch 2.11.0 with CUDA in `environment`",
                ),
                (None, false) => {
                    good(format!("no GPU on {host}, and none was asked for: gpus = 1 in [run.slurm] asks"))
                }
            });
        }
    }
    found
}
