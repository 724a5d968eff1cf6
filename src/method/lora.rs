//! LoRA: the pre-trained weights are frozen, and a product of two thin matrices is added to some of them.
//!
//! Hu et al., LoRA, ICLR 2022, <https://arxiv.org/abs/2106.09685>:
//!
//! W′ = W⁰ + (α/r)·B·A,  A `[r, in]`, B `[out, r]` = 0 at the start, for the query and value projections.

use anyhow::Result;
use serde::Deserialize;

use super::{Adapter, Claim, Hook, Info, Leaves, Method, Part, Role, Size, Study, Vector, number, stream};
use crate::spec::number::{Domain, Standard};

const FROZEN: &str = "lora freezes everything that has a pre-trained value, and that is all it acts on";

pub const INFO: Info = Info {
    name: "lora",
    summary: "LoRA: low-rank adapters beside query and value, everything else but the head frozen",
    equation: "W′ = W⁰ + (α/r)·B·A for query and value,  A ~ Kaiming uniform, B = 0 at the start",
    paper: "Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, ICLR 2022, arXiv 2106.09685",
    choices: &[
        "the head is trained; the pooler is frozen, as everything with a pre-trained value, but is trained where the \
         checkpoint has none",
        "A is drawn as the authors' program draws it, U(−√(3/in)·√(2/6), …) = U(±1/√in); both matrices decay",
        "no dropout of its own before A",
        "in ModernBERT the joined matrix of query, key and value is adapted, as PEFT does; in XLNet the matrices of query \
         and value, which are stored the other way round, so that B stands on the side of the input",
        "it wants a far larger learning rate and more epochs than full fine-tuning: 3e-4 to 5e-4, 10 to 80 in the paper",
    ],
    numbers: &[
        number("rank", "r, rows of A and columns of B", Domain::Whole { from: 1, to: 4096 }, Standard::Whole(8)),
        number(
            "lora_alpha",
            "α, the adapters' strength; α/r is the factor",
            Domain::Real { above: 0.0, up_to: f64::MAX },
            Standard::Real(16.0),
        ),
    ],
    hooks: &[Hook::Start, Hook::Adapted],
    claims: &[Claim::Trained, Claim::Weights],
    against: &[
        ("weight-decay", FROZEN),
        ("recadam", FROZEN),
        ("l2-sp", FROZEN),
        ("sage", "sage scales each step by |θ ⊙ g|, which stays zero where lora's B begins at zero"),
        ("reinit", "lora would leave the layers that reinit drew at random as they are"),
    ],
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Numbers {
    rank: i64,
    lora_alpha: f64,
}

pub struct Lora {
    numbers: Numbers,
}

impl Lora {
    pub fn new(numbers: Numbers) -> Lora {
        Lora { numbers }
    }
}

const A: &str = "lora_A.weight";
const B: &str = "lora_B.weight";

/// Query and value, as each family calls them; ModernBERT's come in one matrix with the key.
const ADAPTED: &[&str] = &[
    ".query.weight",
    ".value.weight",
    ".q_lin.weight",
    ".v_lin.weight",
    ".query_proj.weight",
    ".value_proj.weight",
    ".Wqkv.weight",
    ".rel_attn.q",
    ".rel_attn.v",
];

fn is_adapted(part: &Part) -> bool {
    ADAPTED.iter().any(|end| part.name.ends_with(end))
}

/// Rows and columns of a weight as a matrix: `[out, in]`, or `[in, heads·size]` of XLNet's `[in, heads, size]`.
fn matrix(part: &Part) -> Option<(i64, i64)> {
    let (rows, others) = part.shape.split_first().filter(|_| is_adapted(part))?;
    Some((*rows, others.iter().product()))
}

impl<V: Vector> Method<V> for Lora {
    fn check(&self, &Size { hidden, .. }: &Size) -> Result<(), String> {
        let rank = self.numbers.rank;
        if rank <= hidden { Ok(()) } else { Err(format!("rank is {rank}, and the matrices have {hidden} rows")) }
    }

    fn adapters(&self, part: &Part) -> Vec<Adapter> {
        let rank = self.numbers.rank;
        match matrix(part) {
            Some((out, input)) => {
                vec![Adapter { suffix: A, shape: vec![rank, input] }, Adapter { suffix: B, shape: vec![out, rank] }]
            }
            None => Vec::new(),
        }
    }

    fn start(&mut self, study: &mut dyn Study<V>) -> Result<()> {
        let key = stream(study.seed(), "lora", 0);
        // B is zero as it stands: no checkpoint has a value for it.
        for part in study.parts().iter().filter(|part| part.role == Role::Adapter && part.name.ends_with(A)) {
            let bound = 1.0 / (part.shape[1] as f64).sqrt();
            let drawn = study.theta_of(part).uniform(key, part.offset).scaled(2.0).shifted(-1.0).scaled(bound);
            study.set_theta(part, &drawn);
        }
        Ok(())
    }

    fn prepare(&mut self, study: &mut dyn Study<V>) -> Result<()> {
        study.train_only(&|part| !part.pretrained || part.role == Role::Head);
        Ok(())
    }

    fn adapted(&self, part: &Part, weight: &V, leaves: &dyn Leaves<V>) -> Option<V> {
        let Numbers { rank, lora_alpha } = self.numbers;
        is_adapted(part).then(|| {
            let added = leaves.adapter(part, B).product(&leaves.adapter(part, A)); // [out, r] × [r, in] → [out, in]
            weight.plus(&added.scaled(lora_alpha / rank as f64).shaped(weight))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::List;
    use crate::method::testing::Bench;

    struct Adapters;

    impl Leaves<List> for Adapters {
        fn start(&self, _: &Part) -> List {
            unreachable!("lora asks for no start")
        }

        fn adapter(&self, _: &Part, suffix: &str) -> List {
            if suffix == A { List::matrix(3, &[1.0, 2.0, 3.0]) } else { List::matrix(1, &[10.0, 20.0]) }
        }
    }

    /// W = 1 `[2, 3]`, A = (1 2 3), B = (10 20)ᵀ, r = 1, α = 2: W + 2BA.
    #[test]
    fn the_weight_is_that_of_the_equation() {
        let mut bench = Bench::of("lora", &[("rank", 1.into()), ("lora_alpha", 2.0.into())], &[1.0; 6]);
        (bench.part.name, bench.part.shape) = ("encoder.layer.0.attention.self.query.weight".into(), vec![2, 3]);
        assert_eq!(
            bench.method.adapters(&bench.part),
            [Adapter { suffix: A, shape: vec![1, 3] }, Adapter { suffix: B, shape: vec![2, 1] }]
        );
        let weight = List::matrix(3, &[1.0; 6]);
        let found = bench.method.adapted(&bench.part, &weight, &Adapters).expect("an adapted weight");
        assert_eq!(found.numbers, [21.0, 41.0, 61.0, 41.0, 81.0, 121.0]);
        bench.part.name = "encoder.layer.0.attention.self.key.weight".into();
        assert_eq!(bench.method.adapted(&bench.part, &weight, &Adapters), None);
        assert_eq!(bench.method.adapters(&bench.part), []);
    }
}
