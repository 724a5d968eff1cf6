//! What lies between token ids and the head, in the steps that all families share.

use tch::Tensor;

use super::bert::BertBody;
use super::deberta::DebertaBody;
use super::input::Input;
use super::modernbert::ModernBertBody;
use super::pass::Pass;
use super::xlnet::XlNetBody;
use crate::arena::Parameters;
use crate::model::{Config, Family, Rates};

/// Tensors that all layers share and no gradient goes through, made once for a pass: distances, angles.
pub type Shared = Vec<Tensor>;

/// One forward pass through a body.
pub struct Step<'a, 'p> {
    pub input: &'a Input,
    pub shared: &'a Shared,
    pub rates: Rates,
    pub pass: &'a mut Pass<'p>,
}

/// The embeddings and layers of a family.
pub trait Body {
    /// What all layers share.
    fn share(&self, _input: &Input, _rates: &Rates, _pass: &Pass) -> Shared {
        Vec::new()
    }

    /// The input of the first layer, `[N, H]`.
    fn embed(&self, step: &mut Step) -> Tensor;

    /// Layers that a token goes through.
    fn layers(&self) -> usize;

    /// One layer, `[N, H]` → `[N, H]`. It depends on nothing but its input, `step` and the arena's leaves.
    fn layer(&self, number: usize, x: &Tensor, step: &mut Step) -> Tensor;

    /// The same of the last layer, where the head reads the tokens `rows` `[B]` alone, one of each example: `[N, H]` →
    /// `[B, H]`.
    fn last_layer(&self, x: &Tensor, rows: &Tensor, step: &mut Step) -> Tensor {
        self.layer(self.layers() - 1, x, step).index_select(0, rows)
    }

    /// What stands behind the last layer, row by row.
    fn finish(&self, x: Tensor, _step: &mut Step) -> Tensor {
        x
    }
}

/// The body of a config's family over an arena laid out by it.
pub fn over(parameters: &dyn Parameters, config: &Config) -> Box<dyn Body> {
    match &config.family {
        Family::Bert(bert) => Box::new(BertBody::over(parameters, config, bert)),
        Family::XlNet(xlnet) => Box::new(XlNetBody::over(parameters, config, xlnet)),
        Family::Deberta(deberta) => Box::new(DebertaBody::over(parameters, config, deberta)),
        Family::ModernBert(modernbert) => Box::new(ModernBertBody::over(parameters, config, modernbert)),
    }
}
