//! `sweep`: experiment sweeps for fine-tuning researchers.
//!
//! A sweep is a TOML file (`spec`); it becomes a plan of runs (`plan`); runs go to worker processes on devices
//! (`schedule`, `worker`); a worker trains (`train`) a `model` on a `task` by a `method`, over a flat `arena` of
//! parameters, and leaves records (`record`); records become frames, figures and a report (`frame`, `figure`,
//! `report`). `cli` ties it together, one file per subcommand.

pub mod arena;
pub mod cli;
pub mod figure;
pub mod frame;
pub mod method;
pub mod model;
pub mod plan;
pub mod record;
pub mod report;
pub mod schedule;
pub mod spec;
pub mod task;
pub mod train;
pub mod worker;
