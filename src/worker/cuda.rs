//! CUDA where the machine has it. The program is linked against the CPU half of libtorch alone, so one binary runs
//! everywhere; the CUDA half is loaded at run time, before the first question about CUDA is asked.

use tch::Device;

/// Loads libtorch's CUDA half if it lies where the program or LD_LIBRARY_PATH looks; else CUDA stays unseen.
pub fn load() {
    // SAFETY: loading a shared library runs its initialisers; libtorch's are made for that.
    unsafe { libc::dlopen(c"libtorch_cuda.so".as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
}

/// What libtorch can train on here, as `--device` names it, with what the hardware calls itself.
pub fn devices() -> Vec<(String, String)> {
    let mut devices = vec![("cpu".to_owned(), cpu_name())];
    if tch::Cuda::is_available() {
        for index in 0..tch::Cuda::device_count() {
            devices.push((format!("cuda:{index}"), gpu_name(index)));
        }
    }
    devices
}

/// Free and total memory of a GPU, bytes; `None` for the CPU, or where the CUDA runtime does not say.
pub fn memory(device: &str) -> Option<(u64, u64)> {
    type SetDevice = unsafe extern "C" fn(i32) -> i32;
    type MemGetInfo = unsafe extern "C" fn(*mut usize, *mut usize) -> i32;
    let index: i32 = device.strip_prefix("cuda:")?.parse().ok()?;
    let (mut free, mut total) = (0, 0);
    // SAFETY: the CUDA runtime that libtorch loaded has these functions with these signatures; both write only where
    // they are told to, and answer 0 when they did.
    let said = unsafe {
        let set_device = libc::dlsym(libc::RTLD_DEFAULT, c"cudaSetDevice".as_ptr());
        let mem_get_info = libc::dlsym(libc::RTLD_DEFAULT, c"cudaMemGetInfo".as_ptr());
        if set_device.is_null() || mem_get_info.is_null() {
            return None;
        }
        let set_device: SetDevice = std::mem::transmute(set_device);
        let mem_get_info: MemGetInfo = std::mem::transmute(mem_get_info);
        set_device(index) == 0 && mem_get_info(&mut free, &mut total) == 0
    };
    said.then_some((free as u64, total as u64))
}

/// # Errors
/// A name that is no device, or a GPU that is not there; the message lists what is.
pub fn device(name: &str) -> Result<Device, String> {
    let known = devices();
    let listed = || known.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
    if !known.iter().any(|(device, _)| device == name) {
        return Err(format!("no device \"{name}\" on this machine; it has {}", listed()));
    }
    Ok(name.strip_prefix("cuda:").and_then(|i| i.parse().ok()).map_or(Device::Cpu, Device::Cuda))
}

fn cpu_name() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    model.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.trim().to_owned())
}

/// The driver lists each GPU with its name under /proc.
fn gpu_name(index: i64) -> String {
    let mut folders: Vec<_> = std::fs::read_dir("/proc/driver/nvidia/gpus")
        .map(|entries| entries.flatten().map(|e| e.path().join("information")).collect())
        .unwrap_or_default();
    folders.sort();
    let text = folders.get(index as usize).and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("Model:"));
    model.map_or_else(|| "NVIDIA GPU".to_owned(), |name| name.trim().to_owned())
}

/// The version of libtorch that the program was built against.
pub const LIBTORCH: &str = env!("SWEEP_LIBTORCH_VERSION");
