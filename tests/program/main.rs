//! Whole-program tests: the real programs, on real files, in a folder of their own.

mod checkpoints;
mod commands;
mod crash_matrix;
mod devices;
mod disk;
mod early;
mod export;
mod faults;
mod fixtures;
mod hub;
mod hub_server;
mod kill;
mod layers;
mod methods;
mod observe;
mod page;
mod parity;
mod pty;
mod readme;
mod records;
mod sandbox;
mod stages;
mod terminal;
mod trackers;
mod trouble;
