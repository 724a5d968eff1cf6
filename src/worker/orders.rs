//! The coordinator's orders, read on a thread of their own so that a run notices a pause between two steps.

use std::io::BufRead;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use signal_hook::consts::SIGTERM;

use crate::protocol::Order;

/// How often a worker without a run looks whether it was told to end.
const BEAT: Duration = Duration::from_millis(100);

pub struct Orders {
    queue: Receiver<Order>,
    pause: Arc<AtomicBool>,
    /// Somebody else than the coordinator wants the process to end: Slurm, or whoever looks after the machine.
    terminate: Arc<AtomicBool>,
}

impl Orders {
    /// Starts to listen on standard input. When it ends, the coordinator is gone: so is this process, at once.
    pub fn listen() -> Orders {
        let (send, queue) = channel();
        let pause = Arc::new(AtomicBool::new(false));
        let asked = pause.clone();
        let terminate = Arc::new(AtomicBool::new(false));
        // Where the system refuses, the signal ends the process, and its run goes on from the last checkpoint.
        let _ = signal_hook::flag::register(SIGTERM, terminate.clone());
        std::thread::spawn(move || {
            for line in std::io::stdin().lock().lines() {
                let Ok(line) = line else { break };
                match serde_json::from_str(&line) {
                    Ok(Order::Pause) => asked.store(true, Ordering::Relaxed),
                    Ok(order) => {
                        // An earlier pause was for an earlier run.
                        if matches!(order, Order::Train(_) | Order::Fuse(_)) {
                            asked.store(false, Ordering::Relaxed);
                        }
                        if send.send(order).is_err() {
                            break;
                        }
                    }
                    Err(error) => crate::log::line(&format!("an order that cannot be read ({error}): {line}")),
                }
            }
            std::process::exit(0);
        });
        Orders { queue, pause, terminate }
    }

    /// Waits for the next order. `None` when no more can come, or the process is to end.
    pub fn next(&self) -> Option<Order> {
        loop {
            if self.is_terminated() {
                return None;
            }
            match self.queue.recv_timeout(BEAT) {
                Ok(order) => return Some(order),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    pub fn pause_asked(&self) -> bool {
        self.pause.load(Ordering::Relaxed) || self.is_terminated()
    }

    /// Whether SIGTERM came.
    pub fn is_terminated(&self) -> bool {
        self.terminate.load(Ordering::Relaxed)
    }
}
