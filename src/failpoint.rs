//! Places where a test can end the program, as a loss of power would: `SWEEP_KILL_AT=rename:3` in the environment kills
//! it at the third passing of the point `rename`.
//!
//! The points lie before and after each step that must be durable: `lock` and `locked`; `append`, `written` and `synced`
//! of the event log; `replace`, `rename` and `renamed` of records and manifests; `lease` and `leased` of slots; `spawn`
//! and `spawned` of workers; `submission` and `submitted` of jobs of a cluster.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

struct Target {
    point: String,
    passings: u32,
}

fn target() -> Option<&'static Target> {
    static TARGET: OnceLock<Option<Target>> = OnceLock::new();
    let read = || {
        let text = std::env::var("SWEEP_KILL_AT").ok()?;
        let (point, passings) = text.split_once(':')?;
        Some(Target { point: point.to_owned(), passings: passings.parse().ok()? })
    };
    TARGET.get_or_init(read).as_ref()
}

/// Says that a point is passed.
pub fn pass(point: &str) {
    static PASSED: AtomicU32 = AtomicU32::new(0);
    if let Some(target) = target().filter(|target| target.point == point)
        && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == target.passings
    {
        // SAFETY: ends this process at once; nothing after it matters.
        unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    }
}
