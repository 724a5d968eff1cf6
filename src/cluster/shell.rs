//! Programs of an engine, called with a limit on their time: a busy controller must not stop the coordinator.

use std::io::{self, Read};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::Trouble;

/// Longer than Slurm's own time-out of a message.
const PATIENCE: Duration = Duration::from_secs(40);
const BEAT: Duration = Duration::from_millis(10);

/// What a program said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    pub is_well: bool,
    pub out: String,
    pub err: String,
}

impl Said {
    /// Its complaint in one line.
    pub fn complaint(&self) -> String {
        let text = if self.err.trim().is_empty() { &self.out } else { &self.err };
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        if lines.is_empty() { "it said nothing".to_owned() } else { lines.join("; ") }
    }
}

/// Runs a program to its end.
///
/// # Errors
/// It is not there (`Refused`), or does not end in time (`Silent`); it is then ended.
pub fn call(mut command: Command) -> Result<Said, Trouble> {
    let name = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Trouble::Refused(format!(
            "there is no program {name} here: this must be called where jobs are submitted, on a login node"
        )),
        _ => Trouble::Silent(format!("{name} cannot be started: {error}")),
    })?;
    let drain = |pipe: Option<Box<dyn Read + Send>>| {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            if let Some(mut pipe) = pipe {
                let _ = pipe.read_to_end(&mut bytes);
            }
            String::from_utf8_lossy(&bytes).into_owned()
        })
    };
    let out = drain(child.stdout.take().map(|pipe| Box::new(pipe) as _));
    let err = drain(child.stderr.take().map(|pipe| Box::new(pipe) as _));
    let start = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if start.elapsed() < PATIENCE => thread::sleep(BEAT),
            Ok(None) | Err(_) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(Trouble::Silent(format!("{name} did not answer within {} s", PATIENCE.as_secs())));
            }
        }
    };
    let text = |reader: thread::JoinHandle<String>| reader.join().unwrap_or_default();
    Ok(Said { is_well: status.success(), out: text(out), err: text(err) })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_a_program_says_comes_back_and_one_that_is_missing_is_told() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo out; echo ' bad ' >&2; exit 3"]);
        let said = call(command).unwrap();
        assert_eq!((said.is_well, said.out.as_str(), said.complaint().as_str()), (false, "out\n", "bad"));
        let error = call(Command::new("no-such-program")).unwrap_err();
        assert!(matches!(&error, Trouble::Refused(why) if why.contains("no-such-program")), "{error}");
    }
}
