//! One worker process: started in its own group, listened to by threads, and never left behind.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::slot::Slot;
use super::state::{Event, Exit, Worker};
use crate::failpoint;
use crate::protocol::{Message, Order};
use crate::record::store::make_folder;

/// Where glibc reads how it should allocate.
const GLIBC: &str = "GLIBC_TUNABLES";
/// Longest line taken from a worker, bytes; what is longer is cut into lines of this length.
const LONGEST_LINE: u64 = 16 << 20;
/// What one log file may grow to, bytes; a worker that floods its stderr must not fill the disk.
const LONGEST_LOG: usize = 32 << 20;
/// Last lines of a worker's log that a failure quotes, and the bytes kept of each.
const TAIL_LINES: usize = 20;
const TAIL_BYTES: usize = 300;
/// How long the pipes of a dead worker are drained; only a descendant that left the group can hold them open.
const DRAIN: Duration = Duration::from_secs(2);

/// A running worker. Dropping it kills the process and all of its group.
pub(super) struct Process {
    stdin: Option<ChildStdin>,
    group: Arc<Group>,
    journal: Arc<Mutex<Journal>>,
}

impl Process {
    /// Starts `program --device D --threads N` for a slot; its messages and its end arrive as events of `worker`.
    /// Until a run has its own log, stderr goes to `log`.
    ///
    /// To be called from a thread that outlives the process: the system ties a child's life to the *thread* that
    /// made it.
    ///
    /// # Errors
    /// The program cannot be started.
    pub(super) fn spawn(
        program: &Path,
        slot: &Slot,
        log: PathBuf,
        worker: Worker,
        events: &Sender<Event>,
    ) -> io::Result<Process> {
        let mut command = Command::new(program);
        command.arg("--device").arg(&slot.device).arg("--threads").arg(slot.threads.to_string());
        if !slot.label.is_empty() {
            command.arg("--label").arg(&slot.label).arg("--hardware").arg(&slot.hardware);
        }
        // A model's tensors in pages of 2 MB: a first touch of gigabytes in small ones takes as long as a step.
        if std::env::var_os(GLIBC).is_none() {
            command.env(GLIBC, "glibc.malloc.hugetlb=1");
        }
        command.envs(slot.env.iter().map(|(variable, content)| (variable, content)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // A group of its own: the terminal's Ctrl-C is for the coordinator, which then asks for a checkpoint.
        command.process_group(0);
        let parent = std::process::id();
        // SAFETY: between fork and exec only async-signal-safe calls are made, and nothing is allocated.
        unsafe {
            command.pre_exec(move || {
                if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                    return Err(io::Error::last_os_error());
                }
                // The coordinator may have died before the line above.
                if libc::getppid() as u32 != parent {
                    return Err(io::Error::from_raw_os_error(libc::ESRCH));
                }
                Ok(())
            });
        }
        failpoint::pass("spawn");
        let mut child = command.spawn()?;
        failpoint::pass("spawned");
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let journal = Arc::new(Mutex::new(Journal::new(vec![log])));
        let group = Arc::new(Group { pid: child.id() as libc::pid_t, reaped: Mutex::new(false) });
        // Dropped by both readers, so that the waiter learns when both pipes are empty.
        let (drained, empty) = mpsc::channel::<()>();
        if let Some(stderr) = stderr {
            let (journal, drained) = (journal.clone(), drained.clone());
            thread::spawn(move || {
                each_line(stderr, |line| lock(&journal).note(line));
                drop(drained);
            });
        }
        if let Some(stdout) = stdout {
            let (journal, events) = (journal.clone(), events.clone());
            thread::spawn(move || {
                each_line(stdout, |line| match serde_json::from_slice(line) {
                    Ok::<Message, _>(message) => drop(events.send(Event::From(worker, message))),
                    // Some library printed on stdout: it belongs into the log, and harms nobody.
                    Err(_) => lock(&journal).note(line),
                });
                drop(drained);
            });
        }
        {
            let (group, journal, events) = (group.clone(), journal.clone(), events.clone());
            thread::spawn(move || {
                let (how, signal) = group.wait(&mut child);
                let _ = empty.recv_timeout(DRAIN);
                let tail = lock(&journal).tail();
                let _ = events.send(Event::Exited(worker, Exit { how, signal, tail }));
            });
        }
        Ok(Process { stdin, group, journal })
    }

    /// Sends an order. A worker that is dying does not take it; its `Exited` says so soon enough.
    pub(super) fn order(&mut self, order: &Order) {
        let mut line = serde_json::to_vec(order).expect("an order holds only numbers and words");
        line.push(b'\n');
        if let Some(stdin) = &mut self.stdin {
            let _ = stdin.write_all(&line).and_then(|()| stdin.flush());
        }
    }

    /// From now on, the worker's words go to these files; the tail starts anew.
    pub(super) fn log_to(&self, paths: Vec<PathBuf>) {
        *lock(&self.journal) = Journal::new(paths);
    }

    /// No order will follow: the worker ends of itself.
    pub(super) fn dismiss(&mut self) {
        self.stdin = None;
    }

    pub(super) fn kill(&self) {
        self.group.signal(libc::SIGKILL);
    }

    /// Stands still until `go_on`.
    pub(super) fn stand_still(&self) {
        self.group.signal(libc::SIGSTOP);
    }

    pub(super) fn go_on(&self) {
        self.group.signal(libc::SIGCONT);
    }

    pub(super) fn id(&self) -> u32 {
        self.group.pid as u32
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A process group whose leader is our child.
struct Group {
    pid: libc::pid_t,
    /// After reaping, the number may belong to a stranger.
    reaped: Mutex<bool>,
}

impl Group {
    fn signal(&self, signal: libc::c_int) {
        let reaped = lock(&self.reaped);
        if !*reaped {
            // SAFETY: a plain system call; the leader is not reaped, so the group is still ours.
            unsafe { libc::kill(-self.pid, signal) };
        }
    }

    /// Waits for the leader's end, ends what it left in its group, and tells how it ended, and by which signal.
    fn wait(&self, child: &mut Child) -> (String, Option<i32>) {
        // SAFETY: `info` is a plain structure that the call fills. WNOWAIT leaves the zombie, and so the number, to us.
        unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            let flags = libc::WEXITED | libc::WNOWAIT;
            while libc::waitid(libc::P_PID, self.pid as libc::id_t, &mut info, flags) != 0
                && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
            {}
        }
        self.signal(libc::SIGKILL);
        let mut reaped = lock(&self.reaped);
        *reaped = true;
        match child.wait() {
            Ok(status) => (in_words(status), status.signal()),
            Err(error) => (format!("lost: {error}"), None),
        }
    }
}

fn in_words(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (_, Some(libc::SIGKILL)) => "killed by signal 9, often the system's out-of-memory killer".to_owned(),
        (_, Some(signal)) => {
            let name = signal_hook::low_level::signal_name(signal).unwrap_or("unnamed");
            format!("killed by signal {signal}, {name}")
        }
        (Some(code), _) => format!("exit code {code}"),
        (None, None) => format!("{status}"),
    }
}

/// Where a worker's words go: a file for each of its runs, and the last lines in memory.
struct Journal {
    paths: Vec<PathBuf>,
    /// Opened at the first word, so that a quiet run leaves no file.
    files: Vec<File>,
    written: usize,
    tail: VecDeque<String>,
}

impl Journal {
    fn new(paths: Vec<PathBuf>) -> Journal {
        Journal { paths, files: Vec::new(), written: 0, tail: VecDeque::new() }
    }

    /// A log that cannot be written harms no run, so nothing here fails.
    fn note(&mut self, line: &[u8]) {
        if self.tail.len() == TAIL_LINES {
            self.tail.pop_front();
        }
        self.tail.push_back(String::from_utf8_lossy(&line[..line.len().min(TAIL_BYTES)]).into_owned());
        if self.written > LONGEST_LOG {
            return;
        }
        if self.files.is_empty() {
            let open = |path: &PathBuf| {
                make_folder(path.parent().unwrap_or(Path::new("."))).ok()?;
                OpenOptions::new().append(true).create(true).open(path).ok()
            };
            self.files = self.paths.iter().filter_map(open).collect();
        }
        self.written += line.len() + 1;
        for file in &mut self.files {
            let _ = file.write_all(&[line, b"\n"].concat());
            if self.written > LONGEST_LOG {
                let _ = file.write_all(b"(the log is full; what followed was dropped)\n");
            }
        }
    }

    fn tail(&self) -> String {
        self.tail.iter().map(String::as_str).collect::<Vec<_>>().join("\n").trim().to_owned()
    }
}

fn each_line(pipe: impl Read, mut take: impl FnMut(&[u8])) {
    let mut pipe = BufReader::new(pipe);
    let mut line = Vec::new();
    loop {
        line.clear();
        match pipe.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => take(line.trim_ascii_end()),
        }
    }
}

/// A thread that panicked while it held the lock leaves nothing half done that we could not go on with.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
