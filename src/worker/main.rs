//! The trainer process: JSON orders on standard input, JSON messages on standard output, its log on standard error.
//!
//! Everything that touches libtorch lies here; the rest of the project is the library.

mod after;
mod apply;
mod arena;
mod cuda;
mod fault;
mod log;
mod measure;
mod network;
mod orders;
mod serve;
mod train;
mod warm;

use clap::Parser;
use sweep::{disk, kept, method, model, plan, protocol, record, task};

/// Trains the runs that `sweep run` orders. Not meant to be started by hand.
#[derive(Parser)]
#[command(name = "sweep-worker", version)]
struct Arguments {
    /// cpu or cuda:N
    #[arg(long, default_value = "cpu")]
    device: String,
    /// What records call the device; it may be the only one that this process sees.
    #[arg(long)]
    label: Option<String>,
    /// What the device's hardware calls itself, where somebody knows it already.
    #[arg(long)]
    hardware: Option<String>,
    /// CPU threads of this process.
    #[arg(long, default_value_t = 1)]
    threads: u32,
    /// Print what this machine can train on as JSON, and end.
    #[arg(long)]
    probe: bool,
}

fn main() {
    let arguments = Arguments::parse();
    keep_memory();
    cuda::load();
    let code = if arguments.probe { serve::probe() } else { serve::serve(&arguments) };
    // Nothing is left to be written. libtorch would take a fifth of a second to take its operators apart.
    // SAFETY: ends the process.
    unsafe { libc::_exit(i32::from(code)) }
}

/// Training frees and allocates the same tensors in every step. By default the top of the heap goes back to the system
/// at each turn and comes again page by page, zeroed. The largest tensors stay mappings of their own: in the heap
/// batches of unlike lengths would tear it into holes that nothing fits.
fn keep_memory() {
    // SAFETY: sets two numbers of the allocator, before the first thread starts.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 32 << 20);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 512 << 20);
    }
}
