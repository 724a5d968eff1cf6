//! Runs for the trackers that people look at them with: event files for TensorBoard, MLflow's file store, and JSON
//! lines for programs of one's own. All of it is made from records, and can be made again.

mod ending;
mod events;
mod hparams;
mod json_lines;
mod live;
pub mod mlflow;
mod place;
mod runs;
mod series;
mod settings;
pub mod tensorboard;
mod wire;

pub use json_lines::json_line;
pub use live::Live;
pub use runs::{Entry, Runs, Told};
