//! What coordinator and worker say to each other: one JSON value a line, orders on the worker's standard input,
//! messages on its standard output.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::plan::{Run, RunId};
use crate::record::{Failure, Outcome, Provenance, Rung};
use crate::task::{Labels, Task};

/// Coordinator to worker.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    Train(Box<Job>),
    /// Train runs of one model, task and recipe side by side; each is answered as if it had come alone.
    Fuse(Vec<Job>),
    /// Save a checkpoint at the next step and end the run with `Paused`.
    Pause,
    /// Train the model of a job for a while, by plain fine-tuning and to no end but to see how fast it goes: `Measured`.
    Measure {
        job: Box<Job>,
        seconds: f64,
    },
    /// Take up a trained model, which stays until the next one: `Opened`.
    Open(Box<Opening>),
    /// Apply it to rows of one or two texts: `Logits`.
    Predict {
        texts: Vec<Vec<String>>,
    },
    /// Write its weights into a folder that is there: `Exported`.
    Export {
        folder: PathBuf,
        form: Form,
    },
}

/// A trained model and where it lies.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Opening {
    pub run: Run,
    pub labels: Labels,
    /// Folder in the Hugging Face layout.
    pub model: PathBuf,
    /// `results/cache`, which holds θ; `None` where the model's folder has trained weights itself.
    pub cache: Option<PathBuf>,
}

/// How weights are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// model.safetensors: every parameter as evaluation uses it.
    Merged,
    /// adapter_model.safetensors: what LoRA added, and what is trained besides.
    Adapter,
}

/// A run with the places that it needs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    pub id: RunId,
    pub run: Run,
    pub task: Task,
    /// Tasks that its stages score or train on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<Task>,
    /// Folder in the Hugging Face layout.
    pub model: PathBuf,
    /// `results/runs/<id>`: steps.csv goes here.
    pub folder: PathBuf,
    /// `results/cache`: tokenized data, Fisher scores, checkpoints of paused runs.
    pub cache: PathBuf,
    /// `results/masks`.
    pub masks: PathBuf,
    /// Keep θ of the trained model under `results/cache/trained`.
    pub keep: bool,
    /// Write every n-th step to steps.csv; 0 writes none.
    pub log_every: u32,
    /// Score the dev set after the last step alone, not after each epoch.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub scores_at_end: bool,
    pub attempt: u32,
    /// Train to this step of the schedule of the whole run, score, write a checkpoint and say `Reached`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u32>,
    /// Examples of one pass in place of the recipe's, where memory was too small for those.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub micro_batch: Option<u32>,
    /// Seconds between two checkpoints; absent, there are none before the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint_every: Option<f64>,
    /// Which copy of the run this is, where an earlier one may still be under way on a node that nobody hears of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy: Option<u32>,
}

impl Job {
    /// The name of the run's checkpoints in the cache; each copy has its own.
    pub fn checkpoints(&self) -> String {
        checkpoints_of(&self.id, self.copy)
    }
}

/// The name of the checkpoints of a run, or of a copy of it.
pub fn checkpoints_of(id: &RunId, copy: Option<u32>) -> String {
    copy.map_or_else(|| id.0.clone(), |copy| format!("{id}.{copy}"))
}

/// Worker to coordinator.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Message {
    /// Sent once, when the process can take orders.
    Ready {
        device: String,
        device_name: String,
        libtorch: String,
        threads: u32,
    },
    /// The run entered a phase: `load`, `prepare`, `train`, `evaluate`, `checkpoint`.
    Phase {
        id: RunId,
        name: String,
    },
    /// At most a few times a second.
    Step {
        id: RunId,
        step: u32,
        of: u32,
        loss: f64,
        examples_per_second: f64,
    },
    /// The run is over, one way or the other; the worker waits for the next order.
    Done {
        id: RunId,
        outcome: Box<Outcome>,
        made: Box<Provenance>,
    },
    Failed {
        id: RunId,
        failure: Failure,
        made: Box<Provenance>,
    },
    /// The run was put aside at a checkpoint, as ordered by the coordinator or by a SIGTERM to the worker.
    Paused {
        id: RunId,
        step: u32,
    },
    /// The run came to the step that its job named, and lies at a checkpoint.
    Reached {
        id: RunId,
        rung: Box<Rung>,
        #[serde(default)]
        made: Box<Provenance>,
    },
    /// A checkpoint of the running run is on the disk.
    Checkpointed {
        id: RunId,
        step: u32,
    },
    /// How fast this worker trains.
    Measured {
        examples: u64,
        seconds: f64,
        /// Peak resident memory of the process, MiB.
        peak_memory_mib: f64,
    },
    /// A trained model is in memory.
    Opened,
    /// The model's outputs, in the order of the texts: a row of one number a class, or of one value.
    Logits {
        rows: Vec<Vec<f32>>,
    },
    /// The weights are written. For an adapter, the modules that LoRA adapts and those that were trained as a whole.
    Exported {
        adapted: Vec<String>,
        saved: Vec<String>,
    },
    /// An order about a trained model that cannot be carried out, in words.
    Refused {
        message: String,
    },
}

/// What `sweep-worker --probe` answers: what it can train on.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    pub libtorch: String,
    pub devices: Vec<ProbedDevice>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbedDevice {
    /// For `--devices`: `cpu`, `cuda:0`.
    pub name: String,
    /// What the hardware calls itself.
    pub hardware: String,
    /// Free and total bytes of a GPU.
    pub memory: Option<(u64, u64)>,
}
