//! One worker asked one thing after the other, as the commands about trained models do.

use std::path::Path;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use super::local::{Interrupts, Slot};
use super::process::Process;
use super::state::{Event, Exit, Worker};
use crate::protocol::{Message, Order};

/// How often interrupts are looked for.
const BEAT: Duration = Duration::from_millis(100);

/// Why a worker gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum Silence {
    #[error("stopped on request")]
    Stopped,
    #[error("the trainer does not start ({}); `make setup` fetches libtorch. {}", .0.how, words(.0))]
    NoStart(Exit),
    /// The order cannot be carried out.
    #[error("{0}")]
    Refused(String),
    #[error("the worker process died ({}). {}", .0.how, words(.0))]
    Died(Exit),
    #[error("cannot keep the worker's log: {0}")]
    NoLog(std::io::Error),
}

fn words(exit: &Exit) -> String {
    if exit.tail.is_empty() { "It said nothing.".to_owned() } else { format!("Its last words:\n{}", exit.tail) }
}

pub struct Conversation {
    process: Process,
    events: Receiver<Event>,
    interrupts: Interrupts,
    /// Where the worker's words go, as long as it lives.
    _log: tempfile::TempDir,
}

impl Conversation {
    /// Starts a worker and waits until it can take orders. To be called from a thread that outlives the conversation.
    ///
    /// # Errors
    /// The worker does not become ready; the user asked to stop.
    pub fn start(worker: &Path, slot: &Slot, interrupts: Interrupts) -> Result<Conversation, Silence> {
        let log = tempfile::tempdir().map_err(Silence::NoLog)?;
        let (sender, events) = mpsc::channel();
        let own = Worker { slot: 0, life: 0 };
        let path = log.path().join("log.txt");
        let process = Process::spawn(worker, &slot.device, slot.threads, path, own, &sender)
            .map_err(|error| Silence::NoStart(Exit { how: error.to_string(), ..Exit::default() }))?;
        let conversation = Conversation { process, events, interrupts, _log: log };
        match conversation.hear() {
            Ok(_) => Ok(conversation),
            Err(Silence::Died(exit)) => Err(Silence::NoStart(exit)),
            Err(other) => Err(other),
        }
    }

    /// Gives an order and waits for its answer.
    ///
    /// # Errors
    /// The worker refuses or dies; the user asked to stop.
    pub fn ask(&mut self, order: &Order) -> Result<Message, Silence> {
        self.process.order(order);
        match self.hear()? {
            Message::Refused { message } => Err(Silence::Refused(message)),
            answer => Ok(answer),
        }
    }

    fn hear(&self) -> Result<Message, Silence> {
        loop {
            if self.interrupts.count() > 0 {
                return Err(Silence::Stopped);
            }
            match self.events.recv_timeout(BEAT) {
                Ok(Event::From(_, message)) => return Ok(message),
                Ok(Event::Exited(_, exit)) => return Err(Silence::Died(exit)),
                Ok(_) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(Silence::Died(Exit::default())),
            }
        }
    }
}
