//! What choosing and drawing a child network costs, each figure beside its bar: `cargo bench --bench methods`.

use std::process::ExitCode;
use std::time::Instant;

use sweep::method::{draw, select, stream};

/// Entries of the encoder of bert-base-uncased and of bert-large-cased, and all parameters of the former.
const BASE_ENCODER: usize = 85_054_464;
const LARGE_ENCODER: usize = 302_309_376;
const BASE: usize = 109_483_778;

fn main() -> ExitCode {
    // `cargo test` starts this too, and then there is nothing to measure.
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    let mut met = true;
    say(&format!("{:44} {:>8} {:>9} {:>9}", "what", "bar", "best", "worst"));
    for (what, entries, bar) in
        [("top 0.3 of bert-base's encoder", BASE_ENCODER, 1.0), ("top 0.3 of bert-large's encoder", LARGE_ENCODER, 4.0)]
    {
        // Scores as Fisher information has them: squares over many orders of magnitude.
        let mut scores = vec![0f32; entries];
        draw::normal(stream(1, "bench", 0), 0, &mut scores);
        scores.iter_mut().for_each(|s| *s = (s.powi(4) * 1e-6).powi(2));
        let count = (0.3 * entries as f64).round() as usize;
        met &= report(what, bar, || {
            let kept = select::top_k(&scores, count);
            assert_eq!(kept.iter().filter(|kept| **kept).count(), count);
        });
    }
    let mut mask = vec![0f32; BASE];
    met &= report("Bernoulli mask for all of bert-base", 0.3, || {
        draw::bernoulli(stream(1, "bench", 1), 0.3, 0, &mut mask)
    });
    // The scores of bert-large are 1,153 MiB of it; what choosing takes besides must stay below 2 GB.
    let peak = peak_memory_mib();
    met &= peak < 1153.0 + 2000.0;
    say(&format!("peak memory of this program: {peak:.0} MiB, bar 3,153"));
    if met { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Best and worst of five; whether the best keeps the bar.
fn report(what: &str, bar: f64, mut work: impl FnMut()) -> bool {
    let times: Vec<f64> = (0..5)
        .map(|_| {
            let began = Instant::now();
            work();
            began.elapsed().as_secs_f64()
        })
        .collect();
    let (best, worst) = times.iter().fold((f64::MAX, 0f64), |(least, most), t| (least.min(*t), most.max(*t)));
    let verdict = if best <= bar { "ok" } else { "MISSED" };
    say(&format!("{what:44} {bar:7.2}s {best:8.3}s {worst:8.3}s  {verdict}"));
    best <= bar
}

#[expect(clippy::print_stdout, reason = "a benchmark is for people")]
fn say(line: &str) {
    println!("{line}");
}

fn peak_memory_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse::<f64>().ok());
    peak.unwrap_or(0.0) / 1024.0
}
