//! The trainer process: takes orders, trains, answers. A panic ends only this process.

pub mod protocol;
