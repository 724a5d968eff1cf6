//! Several methods at once, `child-d+r3f`: each acts through its own hooks, in the order of the registry.

use anyhow::Result;
use serde_json::Map;

use super::{
    Adapter, Block, Claim, Dropout, Hook, Info, Leaves, List, METHODS, Method, Moment, Part, Passes, Size, Study,
    Vector, build_one, info,
};
use crate::plan::Choice;

/// A method of a run: one, or several that do not contradict each other.
pub struct Combination<V> {
    methods: Vec<(&'static Info, Box<dyn Method<V>>)>,
}

impl<V: Vector + 'static> Combination<V> {
    /// Builds a run's method from its name and numbers.
    ///
    /// # Errors
    /// A name that is not registered, a number that is missing or of the wrong kind.
    pub fn build(choice: &Choice) -> Result<Combination<V>> {
        let methods = choice.parts().map(|name| {
            let known = info(name).ok_or_else(|| anyhow::anyhow!("no method is called \"{name}\""))?;
            let own =
                known.numbers.iter().filter_map(|n| Some((n.name.to_owned(), choice.number(name, n.name)?.clone())));
            Ok((known, build_one(name, own.collect::<Map<_, _>>())?))
        });
        Ok(Combination { methods: methods.collect::<Result<_>>()? })
    }

    /// Whether any of the methods overrides a hook.
    pub fn has(&self, hook: Hook) -> bool {
        self.methods.iter().any(|(info, _)| info.hooks.contains(&hook))
    }

    /// The methods that override a hook.
    fn with(&self, hook: Hook) -> impl Iterator<Item = &dyn Method<V>> {
        self.methods.iter().filter(move |(info, _)| info.hooks.contains(&hook)).map(|(_, method)| &**method)
    }

    fn with_mut(&mut self, hook: Hook) -> impl Iterator<Item = &mut Box<dyn Method<V>>> {
        self.methods.iter_mut().filter(move |(info, _)| info.hooks.contains(&hook)).map(|(_, method)| method)
    }
}

impl<V: Vector + 'static> Method<V> for Combination<V> {
    fn check(&self, model: &Size) -> Result<(), String> {
        self.methods.iter().try_for_each(|(_, method)| method.check(model))
    }

    fn rate(&self, part: &Part) -> f64 {
        self.with(Hook::Rate).map(|method| method.rate(part)).product()
    }

    fn adapters(&self, part: &Part) -> Vec<Adapter> {
        self.methods.iter().flat_map(|(_, method)| method.adapters(part)).collect()
    }

    fn warmup(&self, asked: f64) -> f64 {
        self.methods.iter().fold(asked, |asked, (_, method)| method.warmup(asked))
    }

    fn dropout(&self, steps: u32) -> Dropout {
        self.methods.iter().map(|(_, method)| method.dropout(steps)).max().unwrap_or(Dropout::Model)
    }

    fn start(&mut self, study: &mut dyn Study<V>) -> Result<()> {
        self.with_mut(Hook::Start).try_for_each(|method| method.start(study))
    }

    fn prepare(&mut self, study: &mut dyn Study<V>) -> Result<()> {
        self.methods.iter_mut().try_for_each(|(_, method)| method.prepare(study))
    }

    fn turn(&mut self, study: &mut dyn Study<V>, at: Moment) {
        self.with_mut(Hook::Turn).for_each(|method| method.turn(study, at));
    }

    fn weight(&self, part: &Part, weight: &V, leaves: &dyn Leaves<V>, at: Moment) -> Option<V> {
        self.with(Hook::Weight).find_map(|method| method.weight(part, weight, leaves, at))
    }

    fn adapted(&self, part: &Part, weight: &V, leaves: &dyn Leaves<V>) -> Option<V> {
        self.with(Hook::Adapted).find_map(|method| method.adapted(part, weight, leaves))
    }

    fn hidden(&self, layer: usize, input: V, at: Moment) -> V {
        self.with(Hook::Hidden).fold(input, |input, method| method.hidden(layer, input, at))
    }

    fn loss(&self, passes: &mut dyn Passes<V>, at: Moment) -> V {
        // At most one method overrides it; without one it is the first method's, which has the default.
        match self.with(Hook::Loss).next().or(self.methods.first().map(|(_, method)| &**method)) {
            Some(method) => method.loss(passes, at),
            None => unreachable!("a combination has a method"),
        }
    }

    fn raw(&mut self, block: &Block<V>, gradient: V) -> V {
        self.with_mut(Hook::Raw).fold(gradient, |gradient, method| method.raw(block, gradient))
    }

    fn gradient(&mut self, block: &Block<V>, gradient: V) -> V {
        self.with_mut(Hook::Gradient).fold(gradient, |gradient, method| method.gradient(block, gradient))
    }

    fn step(&mut self, block: &Block<V>, gradient: &V, step: V) -> V {
        self.with_mut(Hook::Step).fold(step, |step, method| method.step(block, gradient, step))
    }

    fn pull(&self, block: &Block<V>) -> Option<V> {
        self.with(Hook::Pull).find_map(|method| method.pull(block))
    }

    fn state(&mut self) -> Vec<(&'static str, &mut V)> {
        self.methods.iter_mut().flat_map(|(_, method)| method.state()).collect()
    }
}

/// The names of a combination in the order of the registry, joined by `+`: `r3f+child-d` and `child-d+r3f` are one.
pub fn canonical(names: &[&str]) -> String {
    let order = |name: &&str| METHODS.iter().position(|method| method.name == *name);
    let mut names = names.to_vec();
    names.sort_by_key(order);
    names.join("+")
}

/// Why these methods cannot be combined, in a sentence; `None` if they can. Every name is registered.
pub fn refusal(names: &[&str]) -> Option<String> {
    let infos: Vec<&Info> = names.iter().filter_map(|name| info(name)).collect();
    for (i, a) in infos.iter().enumerate() {
        for b in &infos[i + 1..] {
            if let Some(why) = contradiction(a, b) {
                return Some(why);
            }
        }
    }
    None
}

fn contradiction(a: &Info, b: &Info) -> Option<String> {
    let both = format!("{} and {}", a.name, b.name);
    if a.name == b.name {
        return Some(format!("{} stands there twice", a.name));
    }
    if a.name == "vanilla" || b.name == "vanilla" {
        let other = if a.name == "vanilla" { b.name } else { a.name };
        return Some(format!("vanilla is what {other} changes: write {other} alone"));
    }
    let stated = |x: &Info, y: &Info| x.against.iter().find(|(name, _)| *name == y.name).map(|(_, why)| *why);
    if let Some(why) = stated(a, b).or(stated(b, a)) {
        return Some(format!("{both} contradict each other: {why}"));
    }
    let share_claim = |claim| a.claims.contains(&claim) && b.claims.contains(&claim);
    let clash = if share_claim(Claim::Trained) {
        "both fix which parameters are trained"
    } else if share_claim(Claim::Anchor) {
        "both draw the weights to their pre-trained values, each by a rule of its own"
    } else if share_claim(Claim::Weights) {
        "both decide which weights the forward pass uses"
    } else if a.hooks.contains(&Hook::Loss) && b.hooks.contains(&Hook::Loss) {
        "both make the loss of two passes of their own"
    } else {
        return None;
    };
    Some(format!("{both} contradict each other: {clash}"))
}

/// Whether a method with these numbers suits a model; if not, why.
pub fn check(choice: &Choice, model: &Size) -> Result<(), String> {
    let method = Combination::<List>::build(choice).map_err(|error| format!("{error:#}"))?;
    method.check(model)?;
    let number = |name: &str| choice.numbers.get(name).and_then(serde_json::Value::as_i64);
    match (number("top_layers"), number("reinit_layers")) {
        (Some(trained), Some(drawn)) if drawn > trained => {
            Err(format!("reinit draws the top {drawn} layers at random, and top-k trains only {trained} of them"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::testing::Bench;

    #[test]
    fn what_contradicts_is_refused_with_a_reason() {
        for (names, why) in [
            (["child-d", "top-k"], "child-d and top-k contradict each other: both fix which parameters are trained"),
            (["r3f", "r-drop"], "both make the loss of two passes"),
            (["mixout", "lora"], "both decide which weights"),
            (["recadam", "l2-sp"], "both draw the weights"),
            (["lora", "prune"], "both fix which parameters"),
            (["mixout", "prune"], "prune sets weights to zero"),
            (["vanilla", "r3f"], "write r3f alone"),
            (["r3f", "r3f"], "twice"),
        ] {
            let said = refusal(&names).expect("a refusal");
            assert!(said.contains(why), "{said}");
            assert!(refusal(&[names[1], names[0]]).is_some(), "in either order");
        }
        for names in
            [&["child-d", "r3f"][..], &["child-f", "weight-decay"], &["mixout", "child-d"], &["child-f", "child-d"]]
        {
            assert_eq!(refusal(names), None, "{names:?}");
        }
        assert!(refusal(&["child-d", "r3f", "top-k"]).is_some(), "of three any two");
        assert_eq!(canonical(&["r3f", "child-d"]), "child-d+r3f");
    }

    #[test]
    fn every_name_that_is_spoken_against_is_registered() {
        for method in METHODS {
            for (name, _) in method.against {
                assert!(info(name).is_some(), "{} speaks against {name}", method.name);
            }
        }
    }

    /// g = 1 through child-f at p = 1 and child-d with mask (1, 0), then llrd.
    #[test]
    fn hooks_act_one_after_the_other() {
        let numbers =
            [("child-f.p", 1.0.into()), ("child-d.p", 0.5.into()), ("layer_decay", 0.5.into()), ("t0", 1.into())];
        let mut bench = Bench::of("child-f+child-d+llrd+recadam", &numbers, &[1.0, 2.0]);
        bench.mask = vec![1.0, 0.0];
        bench.model_of(1);
        bench.part.name = "encoder.layer.0.output.dense.weight".into();
        bench.prepare();
        assert_eq!(bench.gradient(&[1.0, 1.0]), [1.0, 0.0]);
        assert_eq!(bench.step(&[0.0; 2], &[1.0, 1.0]), [0.5, 0.5], "recadam at t₀");
        assert_eq!(bench.method.rate(&bench.part), 0.5, "the only layer");
    }

    #[test]
    fn numbers_that_do_not_suit_each_other_or_the_model_are_refused() {
        let choice = |name: &str, numbers: &[(&str, i64)]| Choice {
            name: name.into(),
            numbers: numbers.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect(),
        };
        let model = Size { layers: 6, hidden: 384, parameters: 22_713_600, head: 770 };
        let both = |k, l| check(&choice("top-k+reinit", &[("top_layers", k), ("reinit_layers", l)]), &model);
        assert_eq!(both(3, 3), Ok(()));
        assert!(both(2, 3).is_err_and(|why| why.contains("trains only 2")));
        let wrong = |name, numbers: &[_]| check(&choice(name, numbers), &model).expect_err("a refusal");
        assert!(wrong("top-k", &[("top_layers", 7)]).contains("6 layers"));
        assert!(wrong("lora", &[("rank", 385), ("lora_alpha", 16)]).contains("384"));
        let fish = |keep: f64| {
            let mut choice = choice("fish", &[("fish_samples", 8)]);
            choice.numbers.insert("keep".into(), keep.into());
            check(&choice, &model)
        };
        assert!(fish(1e-9).is_err_and(|why| why.contains("the head alone has 770")));
        assert_eq!(fish(0.005), Ok(()));
    }
}
