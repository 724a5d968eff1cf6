//! Which devices this machine has, who is on them, and how many runs each may hold. Nothing here loads libtorch; NVML is
//! loaded where there is one.
//!
//! A GPU is known by its UUID: numbers mean other cards under Slurm, in a container, or with another
//! CUDA_VISIBLE_DEVICES. People see `cuda:0`, as libtorch counts what is visible.

pub mod card;
pub mod choose;
pub mod cpu;
pub mod gauge;
pub mod lease;
pub mod load;
pub mod mps;
mod nvml;
pub mod packing;
pub mod peak;
pub mod split;
pub mod visible;

pub use card::{Card, Cards, Memory, Tenant};
pub use choose::{Device, Kind, choose};
pub use gauge::Gauge;
pub use lease::{Lease, Leases};
pub use load::{Load, Loads};
pub use nvml::cards;
