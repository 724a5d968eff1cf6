//! DPS dense: alternates between training everything and training the weights that mattered most meanwhile.
//!
//! Zhang et al., Fine-Tuning Pre-Trained Language Models Effectively by Optimizing Subnetworks Adaptively, NeurIPS 2022,
//! <https://arxiv.org/abs/2211.01642>, and the authors' program ZhangHaojie077/DPS:
//!
//! stage I: g as it is, S = Σ g²;  stage II: g ← g ⊙ [S ≥ the ceil((1−p)·n)-th largest of its matrix].

use anyhow::Result;
use serde::Deserialize;

use super::dps::{self, Stage};
use super::{Block, Claim, Dropout, Hook, Info, Method, Moment, Study, Vector};

pub const INFO: Info = Info {
    name: "dps-dense",
    summary: "DPS dense: stages of full training alternate with stages that train the weights of largest gradients",
    equation: "stage I: S = Σ g²;  stage II: g ← g ⊙ [S ≥ its ceil((1−p)·n)-th largest, matrix by matrix]",
    paper: "Zhang et al., Optimizing Subnetworks Adaptively, NeurIPS 2022, arXiv 2211.01642",
    choices: &[
        "it selects within each weight matrix of the encoder's linear layers; everything else is always trained",
        "p is the share that is left out; entries equal to the border are kept, as in the authors' program",
        "the mask acts before the norm is taken, as in the authors' backward pass; what is left out still moves by its \
         momentum and decays",
        "dropout is set to zero in runs below 2000 steps, as the authors run it; a [train] dropout that is written down wins",
        "a stage has at least one step; the authors' program fails below 20 steps",
    ],
    numbers: &[dps::DROP, dps::RATIO],
    hooks: &[Hook::Turn, Hook::Raw],
    claims: &[Claim::Trained],
    against: &[("dps-mix", "both choose a network stage by stage")],
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Numbers {
    dps_drop: f64,
    dps_ratio: f64,
}

pub struct DpsDense<V> {
    numbers: Numbers,
    /// S in stage I, the mask in stage II, over the arena `[P]`. `None` before the run is prepared.
    scores: Option<V>,
}

impl<V> DpsDense<V> {
    pub fn new(numbers: Numbers) -> DpsDense<V> {
        DpsDense { numbers, scores: None }
    }
}

impl<V: Vector> Method<V> for DpsDense<V> {
    fn dropout(&self, steps: u32) -> Dropout {
        if steps < 2000 { Dropout::Zero } else { Dropout::Model }
    }

    fn prepare(&mut self, study: &mut dyn Study<V>) -> Result<()> {
        self.scores = Some(study.zeros(study.entries()));
        Ok(())
    }

    fn turn(&mut self, study: &mut dyn Study<V>, at: Moment) {
        let (stage, begins) = dps::stage(self.numbers.dps_ratio, at);
        let Some(scores) = self.scores.as_mut().filter(|_| begins) else { return };
        for part in study.parts().iter().filter(|part| dps::is_selected_among(part)) {
            let fresh = match stage {
                Stage::Gather => study.zeros(part.len),
                Stage::Select => study.largest(&scores.stretch(part.offset, part.len), 1.0 - self.numbers.dps_drop),
            };
            scores.put(part.offset, &fresh);
        }
    }

    fn raw(&mut self, block: &Block<V>, gradient: V) -> V {
        let Some(scores) = self.scores.as_mut().filter(|_| dps::is_selected_among(block.part)) else {
            return gradient;
        };
        let own = block.of(scores);
        match dps::stage(self.numbers.dps_ratio, block.moment).0 {
            Stage::Gather => {
                scores.put(block.offset, &own.plus(&gradient.times(&gradient)));
                gradient
            }
            Stage::Select => gradient.times(&own),
        }
    }

    fn state(&mut self) -> Vec<(&'static str, &mut V)> {
        self.scores.iter_mut().map(|scores| ("dps-dense", scores)).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::method::Role;
    use crate::method::testing::Bench;

    /// Ten entries, p = 0.3: after a stage of two steps the seven of largest Σ g² are left.
    #[test]
    fn the_second_stage_trains_what_mattered_in_the_first() {
        let mut bench = Bench::of("dps-dense", &[("dps_drop", 0.3.into()), ("dps_ratio", 0.5.into())], &[0.0; 10]);
        (bench.part.role, bench.part.shape, bench.moment.steps) = (Role::Encoder, vec![2, 5], 4);
        bench.prepare();
        let one: Vec<f64> = (0..10).map(f64::from).collect();
        let mut other = vec![0.0; 10];
        other[0] = 100.0;
        for (step, gradient, seen) in [(1, &one, &one), (2, &other, &other)] {
            bench.moment.step = step;
            bench.turn();
            assert_eq!(bench.raw(gradient), *seen, "nothing is masked in stage I");
        }
        bench.moment.step = 3;
        bench.turn();
        assert_eq!(bench.raw(&[1.0; 10]), [1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]);
    }
}
