//! `sweep`: experiment sweeps for fine-tuning researchers.
//!
//! A sweep is a TOML file (`spec`); it becomes a plan of runs (`plan`); runs go to worker processes on devices
//! (`schedule`), or to jobs of a cluster (`cluster`); a worker fine-tunes a `model` on a `task` by a `method` and answers
//! in the words of `protocol`; each run leaves a record (`record`), and its trained model if it is to stay (`kept`);
//! records become frames, figures and a report (`frame`, `figure`, `report`), or files for other trackers (`tracker`).
//! `cli` ties it together, one file per subcommand. What the machine has to train on says `device`.
//!
//! This library is free of libtorch, so that the coordinator starts in milliseconds. Everything that touches a tensor
//! is the program `sweep-worker`, under `src/worker/`.

pub mod cli;
pub mod cluster;
pub mod device;
pub mod disk;
pub mod failpoint;
pub mod figure;
pub mod frame;
pub mod hub;
pub mod kept;
pub mod method;
pub mod model;
pub mod plan;
pub mod protocol;
pub mod record;
pub mod report;
pub mod schedule;
pub mod spec;
pub mod stats;
pub mod stop;
pub mod task;
pub mod tracker;
pub mod watch;
