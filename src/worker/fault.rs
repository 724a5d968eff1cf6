//! What a run failed of, by the error or the panic that it ended with.

use std::any::Any;
use std::io::{self, ErrorKind};

use crate::record::Failure;

/// What libtorch, its libraries and Rust say when memory ends, on a GPU and on a CPU.
const NO_MEMORY: [&str; 6] = [
    "out of memory",
    "can't allocate memory",
    "Cannot allocate memory",
    "not enough memory",
    "ALLOC_FAILED",
    "memory allocation of",
];

/// The failure that an error stands for. A fault of the machine is told from one of data or settings by what the system
/// said: all else the run brought itself.
pub fn of_error(error: &anyhow::Error) -> Failure {
    let message = format!("{error:#}");
    let kinds: Vec<ErrorKind> =
        error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind).collect();
    let any = |wanted: &[ErrorKind]| kinds.iter().any(|kind| wanted.contains(kind));
    // The writer of tensors hides the system's error in words.
    if any(&[ErrorKind::StorageFull, ErrorKind::QuotaExceeded]) || message.contains("No space left on device") {
        return Failure::DiskFull { message };
    }
    if any(&[ErrorKind::OutOfMemory]) || is_of_memory(&message) {
        return Failure::OutOfMemory { message };
    }
    // A file that is missing or that says nonsense is the run's; one that cannot be opened or read is the machine's.
    let of_the_file = [ErrorKind::NotFound, ErrorKind::InvalidData, ErrorKind::UnexpectedEof, ErrorKind::InvalidInput];
    if kinds.iter().any(|kind| !of_the_file.contains(kind)) {
        return Failure::Environment { message };
    }
    Failure::Refused { message }
}

/// The failure that a panic stands for, if the process can go on after it: only where memory ended. Any other panic may
/// have left the device, or this program, in a state that no run should inherit.
pub fn of_panic(panic: &(dyn Any + Send)) -> Option<Failure> {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied())?;
    let line = text.lines().find(|line| is_of_memory(line))?;
    // libtorch's words come in quotes and with a call stack behind them.
    let from = line.find("Torch(\"").map_or(0, |at| at + "Torch(\"".len());
    let words = line[from..].split("\\n").next().unwrap_or_default();
    Some(Failure::OutOfMemory { message: words.trim().to_owned() })
}

fn is_of_memory(text: &str) -> bool {
    NO_MEMORY.iter().any(|words| text.contains(words))
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, anyhow};
    use tch::{Device, Kind, Tensor};

    use super::*;
    use crate::record::Class;

    fn io(code: i32) -> anyhow::Error {
        anyhow::Error::new(io::Error::from_raw_os_error(code)).context("cannot write results/x").context("run")
    }

    #[test]
    fn an_error_has_the_class_of_what_the_system_said() {
        let full = || std::fs::write("/dev/full", b"x").context("cannot write steps.csv").expect_err("a full disk");
        let tensors = || {
            let theta = Tensor::zeros([1000], (Kind::Float, Device::Cpu));
            let written = Tensor::write_safetensors(&[("theta", &theta)], "/dev/full");
            anyhow::Error::from(written.expect_err("a full disk")).context("cannot write the checkpoint")
        };
        for (error, class) in [
            (full(), Class::DiskFull),
            (tensors(), Class::DiskFull),
            (io(libc::EDQUOT), Class::DiskFull),
            (io(libc::ENOMEM), Class::Oom),
            (anyhow!("CUDA out of memory. Tried to allocate 2.00 GiB").context("step"), Class::Oom),
            (io(libc::EACCES), Class::Environment),
            (io(libc::EROFS), Class::Environment),
            (io(libc::EIO), Class::Environment),
            (io(libc::EMFILE), Class::Environment),
            (io(libc::ENOENT), Class::BadData),
            (anyhow!("task rte: dev.tsv line 7 has 3 columns"), Class::BadData),
        ] {
            assert_eq!(of_error(&error).class(), class, "{error:#}");
        }
        let Failure::DiskFull { message } = of_error(&full()) else { panic!("not full") };
        assert!(message.contains("cannot write steps.csv"), "{message}");
    }

    /// libtorch's own allocator, asked for more than there can be.
    #[test]
    fn a_panic_of_libtorch_about_memory_is_told_from_all_others() {
        let panic_of = |f: fn()| std::panic::catch_unwind(f).expect_err("a panic");
        let memory = panic_of(|| drop(Tensor::zeros([1 << 50], (Kind::Float, Device::Cpu))));
        let failure = of_panic(memory.as_ref()).expect("a lack of memory");
        assert_eq!(failure.class(), Class::Oom);
        let Failure::OutOfMemory { message } = failure else { panic!("{failure:?}") };
        assert!(message.contains("allocate") && message.len() < 400, "{message}");
        let other = panic_of(|| drop(Tensor::zeros([2], (Kind::Float, Device::Cpu)).view([3])));
        assert_eq!(of_panic(other.as_ref()), None);
        assert_eq!(of_panic(panic_of(|| panic!("boom")).as_ref()), None);
    }
}
