//! NVIDIA's multi-process service: several workers on one GPU compute at the same time instead of in turns.
//!
//! One daemon serves all sweeps of a user on a machine. Each sweep holds a lock while it uses it, and the last one to go
//! ends it. What a killed sweep leaves running the next one takes up, and ends.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use thiserror::Error;

const PROGRAM: &str = "nvidia-cuda-mps-control";
/// What the daemon gets to come up, or to answer.
const PATIENCE: Duration = Duration::from_secs(10);
const BEAT: Duration = Duration::from_millis(20);

/// Why there is no multi-process service.
#[derive(Debug, Error)]
pub enum Trouble {
    #[error("{PROGRAM} is not on the PATH; it comes with NVIDIA's driver")]
    NoProgram,
    #[error("{PROGRAM} -d does not come up{}", if .0.is_empty() { String::new() } else { format!(". It says: {}", .0) })]
    NoDaemon(String),
    #[error("{}: {}", .0.display(), .1)]
    Folder(PathBuf, io::Error),
}

/// A service in use.
#[derive(Debug)]
pub enum Mps {
    /// One that somebody else started; workers find it as this process would.
    Found,
    Own(Own),
}

/// A service that sweeps started, in a folder of their own.
#[derive(Debug)]
pub struct Own {
    program: PathBuf,
    folder: PathBuf,
    /// Shared by all sweeps that use the service; given up before it is ended.
    users: Option<File>,
}

impl Mps {
    /// Takes up the service that runs, or starts one with its pipes and log under `folder`, which must be short: the
    /// system allows about 100 bytes for the name of a socket.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(folder: &Path) -> Result<Mps, Trouble> {
        Mps::start_by(Path::new(PROGRAM), folder)
    }

    fn start_by(program: &Path, folder: &Path) -> Result<Mps, Trouble> {
        match ask(program, None, "get_server_list") {
            Ok(true) => return Ok(Mps::Found),
            Ok(false) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Trouble::NoProgram),
            Err(error) => return Err(Trouble::NoDaemon(error.to_string())),
        }
        let trouble = |error| Trouble::Folder(folder.to_owned(), error);
        for name in ["pipe", "log"] {
            std::fs::create_dir_all(folder.join(name)).map_err(trouble)?;
        }
        // Two sweeps that begin together start one daemon.
        let _turn = turn(folder).map_err(trouble)?;
        let users = open(&folder.join("users.lock")).map_err(trouble)?;
        users.lock_shared().map_err(trouble)?;
        if !ask(program, Some(folder), "get_server_list").unwrap_or(false) {
            spawn(program, folder)?;
        }
        Ok(Mps::Own(Own { program: program.to_owned(), folder: folder.to_owned(), users: Some(users) }))
    }

    /// What a worker's environment needs to find it.
    pub fn environment(&self) -> Vec<(String, String)> {
        match self {
            Mps::Found => Vec::new(),
            Mps::Own(own) => environment(&own.folder).to_vec(),
        }
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        // Best effort: a daemon that stays is taken up by the next sweep.
        let Ok(_turn) = turn(&self.folder) else { return };
        drop(self.users.take());
        let is_last = open(&self.folder.join("users.lock")).is_ok_and(|users| users.try_lock().is_ok());
        if is_last {
            let _ = ask(&self.program, Some(&self.folder), "quit");
        }
    }
}

fn spawn(program: &Path, folder: &Path) -> Result<(), Trouble> {
    let said = folder.join("log/start.txt");
    let output = File::create(&said).map_err(|error| Trouble::Folder(said.clone(), error))?;
    let mut command = Command::new(program);
    // The daemon sees all cards: under a list of its own it would count them anew.
    command.arg("-d").envs(environment(folder)).env_remove("CUDA_VISIBLE_DEVICES");
    // It outlives this call, so it must not hold our pipes; and the terminal's Ctrl-C is not for it.
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(output).process_group(0);
    let text = || std::fs::read_to_string(&said).unwrap_or_default().trim().to_owned();
    match command.status() {
        Ok(status) if status.success() => {}
        Ok(_) => return Err(Trouble::NoDaemon(text())),
        Err(error) => return Err(Trouble::NoDaemon(error.to_string())),
    }
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if ask(program, Some(folder), "get_server_list").unwrap_or(false) {
            return Ok(());
        }
        std::thread::sleep(BEAT);
    }
    Err(Trouble::NoDaemon(text()))
}

fn environment(folder: &Path) -> [(String, String); 2] {
    let of = |variable: &str, name: &str| (variable.to_owned(), folder.join(name).to_string_lossy().into_owned());
    [of("CUDA_MPS_PIPE_DIRECTORY", "pipe"), of("CUDA_MPS_LOG_DIRECTORY", "log")]
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

fn turn(folder: &Path) -> io::Result<File> {
    let file = open(&folder.join("turn.lock"))?;
    file.lock()?;
    Ok(file)
}

/// Gives a command to the daemon of a folder, or to the one that this process would find. Whether it took it.
///
/// # Errors
/// The program is not there.
fn ask(program: &Path, folder: Option<&Path>, order: &str) -> io::Result<bool> {
    let mut command = Command::new(program);
    if let Some(folder) = folder {
        command.envs(environment(folder));
    }
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not listen is about to say so by its exit code.
        let _ = stdin.write_all(format!("{order}\n").as_bytes());
    }
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.success());
        }
        if start.elapsed() > PATIENCE {
            let _ = child.kill();
            let _ = child.wait();
            return Ok(false);
        }
        std::thread::sleep(BEAT);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The fake program, and a folder for its daemon.
    fn fake() -> (PathBuf, tempfile::TempDir) {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fake_mps.sh");
        (program, tempfile::tempdir().unwrap())
    }

    fn history(folder: &Path) -> String {
        std::fs::read_to_string(folder.join("pipe/history")).unwrap_or_default()
    }

    #[test]
    fn the_last_sweep_ends_the_daemon_that_the_first_one_started() {
        let (program, folder) = fake();
        let first = Mps::start_by(&program, folder.path()).unwrap();
        let [(variable, pipe), _] = environment(folder.path());
        assert_eq!(first.environment()[0], (variable.clone(), pipe));
        assert_eq!(variable, "CUDA_MPS_PIPE_DIRECTORY");
        let second = Mps::start_by(&program, folder.path()).unwrap();
        drop(first);
        assert_eq!(history(folder.path()), "daemon sees all\n", "one daemon, and still in use");
        drop(second);
        assert_eq!(history(folder.path()), "daemon sees all\nquit\n");
        // What a killed sweep left is taken up.
        std::mem::forget(Mps::start_by(&program, folder.path()).unwrap());
        let later = Mps::start_by(&program, folder.path()).unwrap();
        assert_eq!(history(folder.path()).matches("daemon").count(), 2);
        drop(later);
        // The forgotten one's lock lives as long as this process: here it counts as a user.
        assert!(ask(&program, Some(folder.path()), "quit").unwrap());
    }

    #[test]
    fn what_does_not_start_says_why() {
        let (program, folder) = fake();
        let error = Mps::start_by(Path::new("/nowhere/nvidia-cuda-mps-control"), folder.path()).unwrap_err();
        assert!(error.to_string().contains("not on the PATH"), "{error}");
        std::fs::create_dir_all(folder.path().join("pipe")).unwrap();
        std::fs::write(folder.path().join("pipe/broken"), b"").unwrap();
        let error = Mps::start_by(&program, folder.path()).unwrap_err();
        assert!(error.to_string().ends_with("It says: no GPU to serve"), "{error}");
        let error = Mps::start_by(&program, Path::new("/proc/mps")).unwrap_err();
        assert!(matches!(&error, Trouble::Folder(place, _) if place == Path::new("/proc/mps")), "{error}");
    }
}
