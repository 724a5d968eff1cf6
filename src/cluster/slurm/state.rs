//! Slurm's words for the state of a job.
//!
//! Source: the section "JOB STATE CODES" of squeue(1) and sacct(1), and job_state_string of Slurm 22.05 to 24.11.

use crate::cluster::{Ending, State};

/// What a state means. sacct writes `CANCELLED by 1000`, and newer releases put flags behind a comma.
pub fn state(text: &str) -> State {
    let word = text.split([' ', ',', '+']).next().unwrap_or_default();
    match word {
        "PENDING" | "CONFIGURING" | "REQUEUED" | "REQUEUE_HOLD" | "REQUEUE_FED" | "SPECIAL_EXIT" | "RESV_DEL_HOLD"
        | "RESIZING" | "SUSPENDED" | "POWER_UP_NODE" => State::Waiting,
        "RUNNING" | "COMPLETING" | "STAGE_OUT" | "SIGNALING" | "STOPPED" | "UPDATE_DB" => State::Running,
        "COMPLETED" => State::Ended(Ending::Completed),
        "FAILED" | "LAUNCH_FAILED" | "RECONFIG_FAIL" => State::Ended(Ending::Failed),
        "OUT_OF_MEMORY" => State::Ended(Ending::HostMemory),
        "TIMEOUT" | "DEADLINE" => State::Ended(Ending::TimeLimit),
        "CANCELLED" | "REVOKED" => State::Ended(Ending::Cancelled),
        "NODE_FAIL" | "BOOT_FAIL" => State::Ended(Ending::NodeFailed),
        "PREEMPTED" => State::Ended(Ending::Preempted),
        _ => State::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_is_what_it_means_and_an_unknown_one_is_neither_success_nor_failure() {
        for (text, means) in [
            ("PENDING", State::Waiting),
            ("REQUEUE_HOLD", State::Waiting),
            ("SUSPENDED", State::Waiting),
            ("RUNNING", State::Running),
            ("COMPLETING", State::Running),
            ("COMPLETED", State::Ended(Ending::Completed)),
            ("FAILED", State::Ended(Ending::Failed)),
            ("OUT_OF_MEMORY", State::Ended(Ending::HostMemory)),
            ("TIMEOUT", State::Ended(Ending::TimeLimit)),
            ("DEADLINE", State::Ended(Ending::TimeLimit)),
            ("CANCELLED by 1000", State::Ended(Ending::Cancelled)),
            ("CANCELLED+", State::Ended(Ending::Cancelled)),
            ("NODE_FAIL", State::Ended(Ending::NodeFailed)),
            ("BOOT_FAIL", State::Ended(Ending::NodeFailed)),
            ("PREEMPTED", State::Ended(Ending::Preempted)),
            ("UNKNOWN", State::Unknown),
            ("", State::Unknown),
            ("completed", State::Unknown),
        ] {
            assert_eq!(state(text), means, "{text}");
        }
    }
}
