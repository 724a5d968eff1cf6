//! Signals as a terminal sends them: Ctrl-C once and twice, Ctrl-Z and fg, hang-up. No worker survives any of it.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::sandbox::{Sandbox, tiny_sweep};

/// A program that runs in the foreground of a terminal of its own.
struct Terminal {
    child: Child,
    /// Our side of the terminal; dropping it hangs up.
    keyboard: Option<File>,
}

impl Terminal {
    fn start(sandbox: &Sandbox, arguments: &[&str]) -> Terminal {
        let (mut ours, mut theirs) = (0, 0);
        let size = libc::winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: fills two numbers; both are owned right after.
        let made = unsafe { libc::openpty(&mut ours, &mut theirs, std::ptr::null_mut(), std::ptr::null(), &size) };
        assert_eq!(made, 0, "no pseudo-terminal");
        // SAFETY: both were just opened, by nobody else.
        let (ours, theirs) = unsafe { (File::from_raw_fd(ours), OwnedFd::from_raw_fd(theirs)) };
        let mut command = sandbox.command(arguments);
        let side = || Stdio::from(theirs.try_clone().expect("a descriptor"));
        command.stdin(side()).stdout(side()).stderr(side());
        // SAFETY: async-signal-safe calls between fork and exec.
        unsafe {
            command.pre_exec(|| {
                if libc::setsid() < 0 || libc::ioctl(0, libc::TIOCSCTTY, 0) < 0 {
                    return Err(std::io::Error::last_os_error());
                }
                Ok(())
            });
        }
        let child = command.spawn().expect("it starts");
        drop(theirs);
        // Somebody must read what is written, or the writer waits.
        let mut screen = ours.try_clone().expect("a descriptor");
        std::thread::spawn(move || while screen.read(&mut [0; 4096]).is_ok_and(|n| n > 0) {});
        Terminal { child, keyboard: Some(ours) }
    }

    fn press(&mut self, key: u8) {
        self.keyboard.as_mut().expect("a keyboard").write_all(&[key]).expect("a key");
    }

    fn workers(&self) -> Vec<u32> {
        let path = format!("/proc/{0}/task/{0}/children", self.child.id());
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
    }

    fn end(&mut self) -> Option<i32> {
        let waited = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a state") {
                return status.code();
            }
            assert!(waited.elapsed() < Duration::from_secs(30), "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `R`, `S`, `T`, …; `None` for a process that is gone.
fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(')').next()?.trim_start().chars().next().filter(|state| *state != 'Z')
}

#[track_caller]
fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(30), "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

const CTRL_C: u8 = 3;
const CTRL_Z: u8 = 26;

/// Two runs that go on for long, in a terminal, both under way.
fn at_work(mode: &str) -> (Sandbox, Terminal, Vec<u32>) {
    let grid = format!("mode = [\"{mode}\"]\nseed = [1, 2]\n[mode.hang]\nbase = \"vanilla\"");
    let grid = if mode == "hang" { grid } else { grid.split("\n[mode").next().unwrap_or_default().to_owned() };
    let sandbox = Sandbox::with_fake_trainer(&tiny_sweep(&grid, "max_steps = 100000"));
    let terminal = Terminal::start(&sandbox, &["run", "sweep.toml", "--slots-per-device", "2"]);
    wait_for("two workers", || terminal.workers().len() == 2);
    let started = || {
        let log = std::fs::read_to_string(sandbox.path("results/tiny/events.jsonl")).unwrap_or_default();
        log.matches("\"started\"").count()
    };
    wait_for("two runs", || started() == 2);
    std::thread::sleep(Duration::from_millis(100));
    let workers = terminal.workers();
    (sandbox, terminal, workers)
}

fn log(sandbox: &Sandbox) -> String {
    std::fs::read_to_string(sandbox.path("results/tiny/events.jsonl")).expect("a log")
}

#[test]
fn ctrl_c_lets_runs_come_to_a_checkpoint() {
    let (sandbox, mut terminal, workers) = at_work("vanilla");
    terminal.press(CTRL_C);
    assert_eq!(terminal.end(), Some(3));
    assert_eq!(log(&sandbox).matches("\"paused\"").count(), 2, "{}", log(&sandbox));
    wait_for("the workers' ends", || workers.iter().all(|&pid| state(pid).is_none()));
}

#[test]
fn a_second_ctrl_c_stops_workers_that_do_not_answer() {
    let (sandbox, mut terminal, workers) = at_work("vanilla");
    // They cannot answer.
    for &pid in &workers {
        // SAFETY: a plain system call on a process that this test started.
        unsafe { libc::kill(pid as i32, libc::SIGSTOP) };
    }
    terminal.press(CTRL_C);
    std::thread::sleep(Duration::from_millis(400));
    assert!(workers.iter().all(|&pid| state(pid).is_some()), "one Ctrl-C waits");
    terminal.press(CTRL_C);
    assert_eq!(terminal.end(), Some(3));
    wait_for("the workers' ends", || workers.iter().all(|&pid| state(pid).is_none()));
    assert_eq!(sandbox.records(), Vec::<serde_json::Value>::new());
    sandbox.expect(0, &["status"]);
}

#[test]
fn ctrl_z_stops_the_workers_too_and_fg_sends_all_on() {
    let (sandbox, mut terminal, workers) = at_work("vanilla");
    let own = terminal.child.id();
    terminal.press(CTRL_Z);
    wait_for("all to stand still", || [own].iter().chain(&workers).all(|&pid| state(pid) == Some('T')));
    // What `fg` does.
    // SAFETY: a plain system call on a process that this test started.
    unsafe { libc::kill(own as i32, libc::SIGCONT) };
    wait_for("all to go on", || [own].iter().chain(&workers).all(|&pid| state(pid).is_some_and(|s| s != 'T')));
    terminal.press(CTRL_C);
    assert_eq!(terminal.end(), Some(3));
    assert_eq!(log(&sandbox).matches("\"paused\"").count(), 2, "{}", log(&sandbox));
}

#[test]
fn a_hang_up_is_as_ctrl_c() {
    let (sandbox, mut terminal, workers) = at_work("vanilla");
    terminal.keyboard = None;
    // The reading thread holds a side too; the signal is what a closed window sends.
    // SAFETY: a plain system call on a process that this test started.
    unsafe { libc::kill(terminal.child.id() as i32, libc::SIGHUP) };
    terminal.end();
    assert_eq!(log(&sandbox).matches("\"paused\"").count(), 2, "{}", log(&sandbox));
    wait_for("the workers' ends", || workers.iter().all(|&pid| state(pid).is_none()));
}
