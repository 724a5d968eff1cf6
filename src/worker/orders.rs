//! The coordinator's orders, read on a thread of their own so that a run notices a pause between two steps.

use std::io::BufRead;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};

use crate::protocol::Order;

pub struct Orders {
    queue: Receiver<Order>,
    pause: Arc<AtomicBool>,
}

impl Orders {
    /// Starts to listen on standard input. When it ends, the coordinator is gone: so is this process, at once.
    pub fn listen() -> Orders {
        let (send, queue) = channel();
        let pause = Arc::new(AtomicBool::new(false));
        let asked = pause.clone();
        std::thread::spawn(move || {
            for line in std::io::stdin().lock().lines() {
                let Ok(line) = line else { break };
                match serde_json::from_str(&line) {
                    Ok(Order::Pause) => asked.store(true, Ordering::Relaxed),
                    Ok(order) => {
                        if send.send(order).is_err() {
                            break;
                        }
                    }
                    Err(error) => crate::log::line(&format!("an order that cannot be read ({error}): {line}")),
                }
            }
            std::process::exit(0);
        });
        Orders { queue, pause }
    }

    /// Waits for the next order. `None` when no more can come.
    pub fn next(&self) -> Option<Order> {
        self.queue.recv().ok()
    }

    pub fn pause_asked(&self) -> bool {
        self.pause.load(Ordering::Relaxed)
    }
}
