//! Ctrl-Z and `fg`: a sweep that the user suspends stands still as a whole, its workers and its clocks included.

use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use signal_hook::consts::SIGTSTP;

/// Whether anybody looks at `ASKED`.
static LISTENING: AtomicBool = AtomicBool::new(false);
static ASKED: AtomicBool = AtomicBool::new(false);

/// While it lives, Ctrl-Z is only noted; at other times it does what it always does.
pub(super) struct Listening;

impl Listening {
    pub(super) fn start() -> Listening {
        static REGISTER: Once = Once::new();
        REGISTER.call_once(|| {
            let note = || {
                if LISTENING.load(Ordering::SeqCst) {
                    ASKED.store(true, Ordering::SeqCst);
                } else {
                    let _ = signal_hook::low_level::emulate_default_handler(SIGTSTP);
                }
            };
            // SAFETY: atomic operations and `emulate_default_handler` are async-signal-safe. Where it cannot be
            // registered, Ctrl-Z stops this process alone.
            let _ = unsafe { signal_hook::low_level::register(SIGTSTP, note) };
        });
        LISTENING.store(true, Ordering::SeqCst);
        Listening
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        LISTENING.store(false, Ordering::SeqCst);
    }
}

/// Whether the user pressed Ctrl-Z since this was last asked.
pub(super) fn was_asked() -> bool {
    ASKED.swap(false, Ordering::SeqCst)
}

/// Stops this process, and returns when somebody sends it on.
pub(super) fn now() {
    // SAFETY: a plain system call.
    unsafe { libc::raise(libc::SIGSTOP) };
}

/// Time since the start of a sweep, without that in which it was suspended.
pub(super) struct Clock {
    start: Instant,
    suspended: Duration,
}

impl Clock {
    pub(super) fn start() -> Clock {
        Clock { start: Instant::now(), suspended: Duration::ZERO }
    }

    pub(super) fn now(&self) -> Duration {
        self.start.elapsed().saturating_sub(self.suspended)
    }

    /// Does something whose time does not count.
    pub(super) fn without(&mut self, act: impl FnOnce()) {
        let before = Instant::now();
        act();
        self.suspended += before.elapsed();
    }
}
