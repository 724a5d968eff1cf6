//! `[run] notify`: a command of the user's that hears how a sweep ended.

use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::plan::RunId;

/// What the command may take.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What the command reads on its standard input, as JSON. Part of the interface.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct News {
    pub sweep: String,
    /// `finished`, `failed` (it went through, and runs failed, or it was given up), `stopped` (it goes on by the same
    /// command), `broken` (it could not go on).
    pub status: &'static str,
    /// The same in a sentence.
    pub how: String,
    pub done: usize,
    pub failed: usize,
    /// Runs without a record; unknown where the sweep broke.
    pub left: Option<usize>,
    /// The runs that failed in this call.
    pub failures: Vec<FailedRun>,
    /// Wall time of this call.
    pub seconds: f64,
    pub results: String,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FailedRun {
    pub id: RunId,
    pub run: String,
    pub cause: String,
    pub message: String,
}

/// Runs the command by `sh -c` with the news on its standard input and `SWEEP_STATUS` and `SWEEP_NAME` in its
/// environment, and waits for it, but not longer than `patience`.
///
/// # Errors
/// A sentence on why it did not do what it should; that harms no sweep.
pub fn tell(command: &str, news: &News, patience: Duration) -> Result<(), String> {
    let trouble = |why: String| format!("the command of [run] notify {why}: {command}");
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(command).env("SWEEP_STATUS", news.status).env("SWEEP_NAME", &news.sweep);
    // Not on our standard output, which scripts read; and in a group of its own, so that all of it can be ended.
    shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
    let mut child = shell.spawn().map_err(|error| trouble(format!("cannot be started ({error})")))?;
    if let Some(mut stdin) = child.stdin.take() {
        let text = serde_json::to_vec(news).expect("news hold only numbers and words");
        // A command that does not read is none the worse for it.
        thread::spawn(move || drop(stdin.write_all(&text)));
    }
    let words = child.stderr.take();
    let listener = thread::spawn(move || {
        let mut text = Vec::new();
        let _ = words.map(|words| words.take(4096).read_to_end(&mut text));
        String::from_utf8_lossy(&text).trim().to_owned()
    });
    let group = child.id() as libc::pid_t;
    let status = wait(&mut child, patience);
    // What it left behind has no business here, and may hold the pipe open.
    // SAFETY: a plain system call on a group that we made.
    unsafe { libc::kill(-group, libc::SIGKILL) };
    let said = |text: String| if text.is_empty() { text } else { format!("; it said: {text}") };
    match status {
        Some(status) if status.success() => Ok(()),
        Some(status) => {
            let text = said(listener.join().unwrap_or_default());
            Err(trouble(format!("ended with {status}{text}")))
        }
        None => {
            let _ = child.wait();
            Err(trouble(format!("took longer than {} s and was stopped", patience.as_secs())))
        }
    }
}

fn wait(child: &mut Child, patience: Duration) -> Option<std::process::ExitStatus> {
    let start = Instant::now();
    while start.elapsed() < patience {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        thread::sleep(Duration::from_millis(10));
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn news() -> News {
        News {
            sweep: "glue".into(),
            status: "failed",
            how: "1 of 3 runs failed".into(),
            done: 2,
            failed: 1,
            left: Some(0),
            failures: vec![FailedRun {
                id: RunId("12ab".into()),
                run: "rte · vanilla · seed 1".into(),
                cause: "crashed".into(),
                message: "it died".into(),
            }],
            seconds: 1.5,
            results: "results".into(),
        }
    }

    #[test]
    fn the_command_reads_the_news() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("news");
        let command = format!("cat > {0}; echo $SWEEP_STATUS $SWEEP_NAME >> {0}", file.display());
        tell(&command, &news(), PATIENCE).unwrap();
        let text = std::fs::read_to_string(file).unwrap();
        let (json, environment) = text.rsplit_once('}').unwrap();
        let json: serde_json::Value = serde_json::from_str(&format!("{json}}}")).unwrap();
        assert_eq!((json["status"].as_str(), json["failures"][0]["cause"].as_str()), (Some("failed"), Some("crashed")));
        assert_eq!(environment, "failed glue\n");
    }

    #[test]
    fn trouble_is_a_sentence() {
        let error = tell("echo no mail here >&2; exit 3", &news(), PATIENCE).unwrap_err();
        assert!(error.contains("ended with exit status: 3; it said: no mail here: echo"), "{error}");
        assert_eq!(tell("exec <&-; exit 0", &news(), PATIENCE), Ok(()), "who does not read is fine");
        // Its child would hold the pipes open for long.
        let start = Instant::now();
        let error = tell("sleep 600 & sleep 600", &news(), Duration::from_millis(200)).unwrap_err();
        assert!(error.contains("took longer than") && start.elapsed() < Duration::from_secs(60), "{error}");
    }
}
