//! The stages of Dynamic Parameter Selection, which its two forms share.
//!
//! A run is cut into stretches of u = max(1, int(ratio·steps)) steps. In the odd ones (stage I) the importance of every
//! weight is summed up; in the even ones (stage II) the network that it chose is trained.

use super::{Moment, Part, Role, number};
use crate::spec::number::{Domain, Number, Standard};

pub const DROP: Number = number(
    "dps_drop",
    "share of each matrix that stage II leaves out, p in the paper",
    Domain::RealBelow { from: 0.0, below: 1.0 },
    Standard::Real(0.3),
);

pub const RATIO: Number = number(
    "dps_ratio",
    "length of a stage as a share of the run's steps",
    Domain::Real { above: 0.0, up_to: 1.0 },
    Standard::Real(0.05),
);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// I: importance is summed up.
    Gather,
    /// II: the chosen network is trained.
    Select,
}

/// u, steps in a stage.
pub fn length(ratio: f64, at: Moment) -> u32 {
    ((ratio * f64::from(at.steps)) as u32).max(1)
}

/// The stage of a step, and whether it begins there.
pub fn stage(ratio: f64, at: Moment) -> (Stage, bool) {
    let length = length(ratio, at);
    let stage = if at.step.div_ceil(length) % 2 == 1 { Stage::Gather } else { Stage::Select };
    (stage, (at.step - 1).is_multiple_of(length))
}

/// The weights that are selected among: those of the encoder's linear layers.
pub fn is_selected_among(part: &Part) -> bool {
    part.role == Role::Encoder && part.is_linear_weight()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_alternate() {
        let at = |step, steps| stage(0.05, Moment { seed: 1, step, steps, pass: 0, token: 0 });
        assert_eq!(at(1, 468), (Stage::Gather, true));
        assert_eq!(at(23, 468), (Stage::Gather, false));
        assert_eq!(at(24, 468), (Stage::Select, true));
        assert_eq!(at(46, 468), (Stage::Select, false));
        assert_eq!(at(47, 468), (Stage::Gather, true));
        // A run too short for the ratio has stages of one step.
        assert_eq!((at(1, 3), at(2, 3)), ((Stage::Gather, true), (Stage::Select, true)));
    }
}
