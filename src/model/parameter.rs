//! The parameters of a model as its family declares them: names, shapes and what each belongs to.

use crate::method::Role;

/// One tensor of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// transformers' name without the base model's prefix: `encoder.layer.0.attention.self.query.weight`.
    pub name: String,
    pub shape: Vec<i64>,
    pub role: Role,
    /// Weight decay applies: neither bias nor layer norm.
    pub decays: bool,
    /// A checkpoint may lack it: it belongs to the head, which is drawn anew then.
    pub may_be_fresh: bool,
}

#[expect(clippy::len_without_is_empty, reason = "no parameter is empty")]
impl Parameter {
    /// Entries.
    pub fn len(&self) -> i64 {
        self.shape.iter().product()
    }
}

/// Collects the parameters of a model in transformers' order.
#[derive(Debug, Default)]
pub(super) struct Parameters {
    list: Vec<Parameter>,
    role: Option<Role>,
    may_be_fresh: bool,
}

impl Parameters {
    /// What follows belongs to this part of the model.
    pub fn part(&mut self, role: Role) -> &mut Self {
        self.role = Some(role);
        self
    }

    /// What follows is the head's: a checkpoint may lack it.
    pub fn head(&mut self, role: Role) -> &mut Self {
        self.may_be_fresh = true;
        self.part(role)
    }

    pub fn tensor(&mut self, name: impl Into<String>, shape: &[i64], decays: bool) -> &mut Self {
        let role = self.role.expect("a part was begun");
        let (name, shape) = (name.into(), shape.to_vec());
        self.list.push(Parameter { name, shape, role, decays, may_be_fresh: self.may_be_fresh });
        self
    }

    /// `<name>.weight` `[rows, columns]`: a table, or a linear layer without a bias.
    pub fn matrix(&mut self, name: &str, rows: i64, columns: i64) -> &mut Self {
        self.tensor(format!("{name}.weight"), &[rows, columns], true)
    }

    /// `<name>.weight` `[out, in]` and `<name>.bias` `[out]`.
    pub fn linear(&mut self, name: &str, out: i64, input: i64) -> &mut Self {
        self.matrix(name, out, input).bias(name, out)
    }

    /// `<name>.weight` and `<name>.bias` `[size]` of a layer norm.
    pub fn norm(&mut self, name: &str, size: i64) -> &mut Self {
        self.scale(name, size).bias(name, size)
    }

    /// `<name>.weight` `[size]` of a layer norm without a bias.
    pub fn scale(&mut self, name: &str, size: i64) -> &mut Self {
        self.tensor(format!("{name}.weight"), &[size], false)
    }

    /// `<name>.bias` `[size]`.
    pub fn bias(&mut self, name: &str, size: i64) -> &mut Self {
        self.tensor(format!("{name}.bias"), &[size], false)
    }

    pub fn finish(self) -> Vec<Parameter> {
        self.list
    }
}
