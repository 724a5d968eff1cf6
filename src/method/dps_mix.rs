//! DPS mix: Mixout that turns to the weights that mattered most.
//!
//! Zhang et al., Fine-Tuning Pre-Trained Language Models Effectively by Optimizing Subnetworks Adaptively, NeurIPS 2022,
//! <https://arxiv.org/abs/2211.01642>, and the authors' program ZhangHaojie077/DPS:
//!
//! stage I: Mixout by column towards W⁰; S = Σ g² where kept, C = how often a column was kept;
//! stage II: W′ = ((1−N)⊙W¹ + N⊙W − p·W¹)/(1−p), W¹ = W at its beginning, N = the largest 1 − p of S/C, fixed.

use anyhow::Result;
use serde::Deserialize;

use super::dps::{self, Stage};
use super::mixout::mixed;
use super::{Block, Claim, Dropout, Hook, Info, Leaves, Method, Moment, Part, Study, Vector, stream};

pub const INFO: Info = Info {
    name: "dps-mix",
    summary: "DPS mix: stages of Mixout alternate with stages that mix all but the most important weights",
    equation: "stage I: Mixout towards W⁰, S = Σ g², C = times kept;  stage II: W′ mixes W with the stage's start by \
               N = [S/C ≥ its ceil((1−p)·n)-th largest]",
    paper: "Zhang et al., Optimizing Subnetworks Adaptively, NeurIPS 2022, arXiv 2211.01642",
    choices: &[
        "it acts on the weight matrices of the encoder's linear layers, one draw for each column in stage I",
        "from stages of 50 steps on S/C is weighted by exp(−C/u), u the steps of a stage, as in the authors' program",
        "the derivative is the true one, N/(1−p); the authors' program leaves out 1/(1−p)",
        "dropout is set to zero, as the authors run it; a [train] dropout that is written down wins",
        "a stage has at least one step; the authors' program fails below 20 steps",
    ],
    numbers: &[dps::DROP, dps::RATIO],
    hooks: &[Hook::Turn, Hook::Weight, Hook::Raw],
    claims: &[Claim::Weights],
    against: &[],
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Numbers {
    dps_drop: f64,
    dps_ratio: f64,
}

pub struct DpsMix<V> {
    numbers: Numbers,
    memory: Option<Memory<V>>,
}

/// Vectors over the arena, `[P]`; only the entries of matrices are used.
struct Memory<V> {
    /// S in stage I, N in stage II.
    scores: V,
    /// C in stage I, in the first row of each matrix.
    kept: V,
    /// W¹, θ when stage II began.
    begun: V,
}

impl<V> DpsMix<V> {
    pub fn new(numbers: Numbers) -> DpsMix<V> {
        DpsMix { numbers, memory: None }
    }

    fn key(at: Moment) -> u64 {
        stream(at.seed, "dps-mix", u64::from(at.step))
    }
}

impl<V: Vector> Method<V> for DpsMix<V> {
    fn dropout(&self, _: u32) -> Dropout {
        Dropout::Zero
    }

    fn prepare(&mut self, study: &mut dyn Study<V>) -> Result<()> {
        let zeros = || study.zeros(study.entries());
        self.memory = Some(Memory { scores: zeros(), kept: zeros(), begun: zeros() });
        Ok(())
    }

    fn turn(&mut self, study: &mut dyn Study<V>, at: Moment) {
        let Numbers { dps_drop, dps_ratio } = self.numbers;
        let Some(memory) = &mut self.memory else { return };
        let (stage, begins) = dps::stage(dps_ratio, at);
        let length = f64::from(dps::length(dps_ratio, at));
        for part in study.parts().iter().filter(|part| dps::is_selected_among(part)) {
            let weight = study.theta_of(part);
            let columns = part.shape[1..].iter().product();
            let kept = memory.kept.stretch(part.offset, columns);
            match stage {
                Stage::Gather => {
                    let before = if begins { study.zeros(columns) } else { kept };
                    if begins {
                        memory.scores.put(part.offset, &study.zeros(part.len));
                    }
                    let now = if part.pretrained {
                        weight.row().bernoulli(DpsMix::<V>::key(at), 1.0 - dps_drop, part.offset)
                    } else {
                        // Not mixed in this stage: every column is kept.
                        study.zeros(columns).shifted(1.0)
                    };
                    memory.kept.put(part.offset, &before.plus(&now.shaped(&before)));
                }
                Stage::Select if begins => {
                    let times = kept.at_least(1.0).shaped(&weight.row());
                    let scores = memory.scores.stretch(part.offset, part.len).shaped(&weight);
                    let mut importance = scores.divided_by(&times);
                    if length >= 50.0 {
                        importance = importance.times(&times.over(-length).exp());
                    }
                    let flat = memory.scores.stretch(part.offset, part.len);
                    let chosen = study.largest(&importance.shaped(&flat), 1.0 - dps_drop);
                    memory.scores.put(part.offset, &chosen);
                    memory.begun.put(part.offset, &weight.shaped(&flat));
                }
                Stage::Select => {}
            }
        }
    }

    fn weight(&self, part: &Part, weight: &V, leaves: &dyn Leaves<V>, at: Moment) -> Option<V> {
        let Numbers { dps_drop, dps_ratio } = self.numbers;
        let memory = self.memory.as_ref()?;
        if dps_drop == 0.0 || !dps::is_selected_among(part) {
            return None;
        }
        Some(match dps::stage(dps_ratio, at).0 {
            // What a method drew anew has no pre-trained value to mix in.
            Stage::Gather if !part.pretrained => return None,
            Stage::Gather => {
                let kept = weight.row().detached().bernoulli(DpsMix::<V>::key(at), 1.0 - dps_drop, part.offset);
                mixed(weight, &leaves.start(part), &kept, dps_drop)
            }
            Stage::Select => {
                let own = |whole: &V| whole.stretch(part.offset, part.len).shaped(weight);
                mixed(weight, &own(&memory.begun), &own(&memory.scores), dps_drop)
            }
        })
    }

    fn raw(&mut self, block: &Block<V>, gradient: V) -> V {
        if let Some(memory) = self.memory.as_mut().filter(|_| dps::is_selected_among(block.part))
            && dps::stage(self.numbers.dps_ratio, block.moment).0 == Stage::Gather
        {
            let sum = block.of(&memory.scores).plus(&gradient.times(&gradient));
            memory.scores.put(block.offset, &sum);
        }
        gradient
    }

    fn state(&mut self) -> Vec<(&'static str, &mut V)> {
        let Some(Memory { scores, kept, begun }) = &mut self.memory else { return Vec::new() };
        vec![("dps-mix scores", scores), ("dps-mix kept", kept), ("dps-mix begun", begun)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::testing::{Bench, assert_close};
    use crate::method::{List, Role};

    /// W `[2, 2]`, p = 0.5, stages of two steps. S = (4, 0, 1, 9) by hand; C by the draws of the two steps.
    #[test]
    fn stages_mix_as_the_equations_say() {
        let weights = [1.0, 2.0, 3.0, 4.0];
        let mut bench = Bench::of("dps-mix", &[("dps_drop", 0.5.into()), ("dps_ratio", 0.5.into())], &weights);
        (bench.part.role, bench.part.shape, bench.moment.steps) = (Role::Encoder, vec![2, 2], 4);
        bench.start = vec![0.0; 4];
        bench.prepare();
        let mut times = [0.0; 2];
        for (step, gradient) in [(1, [2.0, 0.0, 1.0, 0.0]), (2, [0.0, 0.0, 0.0, 3.0])] {
            bench.moment.step = step;
            bench.turn();
            let draw = List::flat(&[0.0; 2]).bernoulli(DpsMix::<List>::key(bench.moment), 0.5, 0).numbers;
            // Towards W⁰ = 0 with p = 0.5: kept columns double, the others vanish.
            let expected: Vec<f64> = weights.iter().enumerate().map(|(i, w)| w * 2.0 * draw[i % 2]).collect();
            assert_close(&bench.weight(2).expect("a mixed weight"), &expected);
            assert_eq!(bench.raw(&gradient), gradient);
            times.iter_mut().zip(&draw).for_each(|(sum, kept)| *sum += kept);
        }
        let importance: Vec<f64> =
            [4.0, 0.0, 1.0, 9.0].iter().enumerate().map(|(i, s)| s / times[i % 2].max(1.0)).collect();
        let mut ranked = importance.clone();
        ranked.sort_by(|a, b| b.total_cmp(a));
        let chosen: Vec<f64> = importance.iter().map(|s| f64::from(u8::from(*s >= ranked[1]))).collect();
        bench.moment.step = 3;
        bench.turn();
        // At the stage's beginning W = W¹, and mixing changes nothing.
        assert_close(&bench.weight(2).expect("a mixed weight"), &weights);
        // One later W has moved by 1: chosen entries by 1/(1 − p), the others not at all.
        bench.moment.step = 4;
        bench.turn();
        bench.theta.iter_mut().for_each(|w| *w += 1.0);
        let expected: Vec<f64> = weights.iter().zip(&chosen).map(|(w, n)| w + 2.0 * n).collect();
        assert_close(&bench.weight(2).expect("a mixed weight"), &expected);
    }
}
