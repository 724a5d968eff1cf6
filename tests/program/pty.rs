//! `sweep watch` under a pseudo-terminal: it draws, follows the terminal's size, and gives the screen back.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::sandbox::{Sandbox, tiny_sweep};

/// A program on a terminal of its own, and all that it wrote there.
struct Terminal {
    child: Child,
    master: File,
    written: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    fn start(sandbox: &Sandbox, arguments: &[&str], columns: u16, rows: u16) -> Terminal {
        let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let (mut master, mut slave) = (0, 0);
        // SAFETY: the call fills two descriptors, which are ours from then on.
        let (master, slave) = unsafe {
            let opened = libc::openpty(&mut master, &mut slave, std::ptr::null_mut(), std::ptr::null(), &size);
            assert_eq!(opened, 0, "a pseudo-terminal");
            // A program that has our side too would never see it closed.
            libc::fcntl(master, libc::F_SETFD, libc::FD_CLOEXEC);
            (File::from_raw_fd(master), OwnedFd::from_raw_fd(slave))
        };
        let end = || Stdio::from(slave.try_clone().expect("a descriptor"));
        let mut command = sandbox.command(arguments);
        command.env("TERM", "xterm-256color").stdin(end()).stdout(end()).stderr(end());
        let child = command.spawn().expect("the program starts");
        drop((command, slave));
        let written = Arc::new(Mutex::new(Vec::new()));
        let (mut from, to) = (master.try_clone().expect("a descriptor"), written.clone());
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // Until nobody looks any more.
            while Arc::strong_count(&to) > 1 {
                let mut watched = libc::pollfd { fd: from.as_raw_fd(), events: libc::POLLIN, revents: 0 };
                // SAFETY: one descriptor, which lives as long as the call.
                if unsafe { libc::poll(&mut watched, 1, 50) } < 1 {
                    continue;
                }
                // The end of the last holder of the other side is an error here.
                let Ok(count @ 1..) = from.read(&mut bytes) else { return };
                to.lock().expect("no panic").extend(&bytes[..count]);
            }
        });
        Terminal { child, master, written }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.written.lock().expect("no panic")).into_owned()
    }

    /// The words that were drawn: a blank is often not written, but leapt over.
    fn words(&self) -> String {
        let text = self.text();
        let mut words = String::new();
        for part in text.split("\u{1b}[") {
            let end = part.find(char::is_alphabetic).unwrap_or(0);
            if part[end..].starts_with('H') {
                words.push(' ');
            }
            words.push_str(part.get(end + 1..).unwrap_or_default());
        }
        words
    }

    #[track_caller]
    fn wait_for(&self, words: &str) {
        let start = Instant::now();
        while !self.words().contains(words) {
            assert!(start.elapsed() < Duration::from_secs(30), "no \"{words}\" in {:?}", self.words());
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    fn press(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).expect("a key");
        // Each is looked at within a tenth of a second.
        std::thread::sleep(Duration::from_millis(300));
    }

    fn resize(&self, columns: u16, rows: u16) {
        let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: plain system calls on what is ours.
        unsafe {
            assert_eq!(libc::ioctl(self.master.as_raw_fd(), libc::TIOCSWINSZ, &size), 0);
            libc::kill(self.child.id() as libc::pid_t, libc::SIGWINCH);
        }
        std::thread::sleep(Duration::from_millis(300));
    }

    fn end(mut self) -> (Option<i32>, String) {
        let status = self.child.wait().expect("an end");
        // What was written last is on its way through the reader.
        std::thread::sleep(Duration::from_millis(200));
        (status.code(), self.text())
    }

    /// Closes our side, as a window that is closed, and gives the code that the program ends with, if it does.
    fn close(mut self) -> Option<i32> {
        self.written = Arc::default();
        self.master = File::open("/dev/null").expect("a file");
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(10) {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const ENTER: &str = "\u{1b}[?1049h";
const LEAVE: &str = "\u{1b}[?1049l";

#[test]
fn a_watch_draws_at_any_size_and_gives_the_screen_back() {
    let sandbox = Sandbox::with_fake_trainer(&tiny_sweep("mode = [\"vanilla\"]\nseed = [1, 2]", "max_steps = 4"));
    sandbox.expect(0, &["run", "sweep.toml"]);
    let mut terminal = Terminal::start(&sandbox, &["watch"], 100, 30);
    terminal.wait_for("the sweep is over: 2 done");
    terminal.press("j");
    terminal.press("l");
    terminal.press("?");
    terminal.wait_for("leave; the sweep goes on");
    terminal.press("?");
    terminal.press("\r");
    terminal.resize(10, 5);
    // All is drawn anew.
    terminal.resize(200, 60);
    terminal.wait_for("enter back");
    terminal.press("q");
    terminal.press("q");
    let (code, text) = terminal.end();
    assert_eq!(code, Some(0), "{text:?}");
    let (_, after) = text.rsplit_once(LEAVE).expect("it leaves the other screen");
    assert!(text.contains(ENTER) && after.contains("tiny: the sweep is over: 2 done"), "{after:?}");

    // Told to end, it gives the screen back too.
    let terminal = Terminal::start(&sandbox, &["watch", "tiny"], 80, 24);
    terminal.wait_for("the sweep is over");
    // SAFETY: a plain system call on our child.
    unsafe { libc::kill(terminal.child.id() as libc::pid_t, libc::SIGTERM) };
    let (code, text) = terminal.end();
    assert!(code == Some(0) && text.contains(LEAVE), "{code:?} {text:?}");
}

#[test]
fn a_watch_ends_with_its_terminal() {
    let sandbox = Sandbox::with_fake_trainer(&tiny_sweep("mode = [\"vanilla\"]\nseed = [1]", "max_steps = 4"));
    sandbox.expect(0, &["run", "sweep.toml"]);
    let terminal = Terminal::start(&sandbox, &["watch"], 100, 30);
    terminal.wait_for("the sweep is over: 1 done");
    // Its signal may not reach a program that was started by another one: the terminal's end alone must do.
    assert_eq!(terminal.close(), Some(128 + libc::SIGHUP));
}
