//! Measurements that no machine here can make must at least go through.

use std::process::Command;

use super::sandbox::project;

#[test]
fn the_script_for_a_gpu_goes_through_on_a_cpu() {
    let script = project().join("benches/gpu.sh");
    let worker = env!("CARGO_BIN_EXE_sweep-worker");
    let said = Command::new("bash")
        .arg(script)
        .args([worker, "--device", "cpu", "--quick", "--threads", "1", "--seconds", "0.1"])
        .output()
        .expect("bash");
    let (out, err) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert!(said.status.success(), "{out}\n{err}");
    let numbers =
        |line: &str| line.split_whitespace().filter_map(|word| word.parse::<f64>().ok()).collect::<Vec<f64>>();
    let rates: Vec<f64> = out
        .lines()
        .filter(|line| line.trim_start().starts_with("tiny"))
        .filter_map(|line| numbers(line).last().copied())
        .collect();
    assert_eq!(rates.len(), 8, "{out}");
    assert!(rates.iter().all(|rate| rate.is_finite() && *rate > 0.0), "{out}");
    for part in ["# speed", "# slots", "# fused", "# sweep", "4 side by side"] {
        assert!(out.contains(part), "{part}: {out}");
    }
}
