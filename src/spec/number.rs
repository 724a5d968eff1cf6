//! What a setting may be: its name, its domain, its standard value. Methods and the training recipe declare their
//! numbers with it; checking, help texts and tables are made from the declarations.

use std::fmt;

/// A setting that a user may write.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Number {
    pub name: &'static str,
    /// One line for people.
    pub what: &'static str,
    pub domain: Domain,
    pub standard: Standard,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Domain {
    /// (above, up_to]
    Real {
        above: f64,
        up_to: f64,
    },
    /// [from, below)
    RealBelow {
        from: f64,
        below: f64,
    },
    /// [from, to]
    Whole {
        from: i64,
        to: i64,
    },
    Word(&'static [&'static str]),
    Flag,
}

/// The value taken when nothing is written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Standard {
    Real(f64),
    Whole(i64),
    Word(&'static str),
    Flag(bool),
    /// Nothing; what that means.
    Absent(&'static str),
}

/// A value as a sweep file or a filter gives it.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Real(f64),
    Whole(i64),
    Word(String),
    Flag(bool),
}

impl Value {
    pub fn json(&self) -> serde_json::Value {
        match self {
            Value::Real(x) => serde_json::json!(x),
            Value::Whole(x) => serde_json::json!(x),
            Value::Word(x) => serde_json::json!(x),
            Value::Flag(x) => serde_json::json!(x),
        }
    }

    /// The number behind a real or whole value.
    pub fn real(&self) -> Option<f64> {
        match self {
            Value::Real(x) => Some(*x),
            Value::Whole(x) => Some(*x as f64),
            Value::Word(_) | Value::Flag(_) => None,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Real(x) if *x != 0.0 && (x.abs() < 1e-3 || x.abs() >= 1e6) => write!(f, "{x:e}"),
            Value::Real(x) => write!(f, "{x}"),
            Value::Whole(x) => write!(f, "{x}"),
            Value::Word(x) => write!(f, "{x}"),
            Value::Flag(x) => write!(f, "{x}"),
        }
    }
}

impl Standard {
    pub fn value(&self) -> Option<Value> {
        match *self {
            Standard::Real(x) => Some(Value::Real(x)),
            Standard::Whole(x) => Some(Value::Whole(x)),
            Standard::Word(x) => Some(Value::Word(x.to_owned())),
            Standard::Flag(x) => Some(Value::Flag(x)),
            Standard::Absent(_) => None,
        }
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Domain::Real { above, up_to } if *up_to == f64::MAX => write!(f, "a number above {above}"),
            Domain::Real { above, up_to } => write!(f, "a number above {above} and up to {up_to}"),
            Domain::RealBelow { from, below } if *below == f64::MAX => write!(f, "a number of at least {from}"),
            Domain::RealBelow { from, below } => write!(f, "a number of at least {from} and below {below}"),
            Domain::Whole { from, to } if *to == i64::MAX => write!(f, "a whole number of at least {from}"),
            Domain::Whole { from, to } => write!(f, "a whole number from {from} to {to}"),
            Domain::Word(words) => write!(f, "one of {}", words.join(", ")),
            Domain::Flag => write!(f, "true or false"),
        }
    }
}

/// Up to here a real number stands for one whole number only.
const EXACT: f64 = (1_u64 << 53) as f64;

impl Domain {
    /// The value in this domain's own type, if it lies in the domain; a whole number is also a real one, and `1e3` is a
    /// whole one.
    pub fn accept(&self, value: &Value) -> Option<Value> {
        match (self, value) {
            (Domain::Real { above, up_to }, v) => {
                let x = v.real()?;
                (x > *above && x <= *up_to && x.is_finite()).then_some(Value::Real(x))
            }
            (Domain::RealBelow { from, below }, v) => {
                let x = v.real()?;
                // Adding zero makes a zero of -0, which would give a run another id.
                (x >= *from && x < *below).then_some(Value::Real(x + 0.0))
            }
            (Domain::Whole { from, to }, Value::Whole(x)) => (from..=to).contains(&x).then_some(Value::Whole(*x)),
            (Domain::Whole { .. }, Value::Real(x)) if x.fract() == 0.0 && x.abs() <= EXACT => {
                self.accept(&Value::Whole(*x as i64))
            }
            (Domain::Word(words), Value::Word(x)) => words.contains(&x.as_str()).then(|| value.clone()),
            (Domain::Flag, Value::Flag(_)) => Some(value.clone()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_takes_what_lies_in_it_and_nothing_else() {
        let p = Domain::Real { above: 0.0, up_to: 1.0 };
        assert_eq!(p.accept(&Value::Whole(1)), Some(Value::Real(1.0)));
        for outside in [Value::Real(0.0), Value::Real(1.1), Value::Real(f64::NAN), Value::Word("a".into())] {
            assert_eq!(p.accept(&outside), None, "{outside}");
        }
        let whole = Domain::Whole { from: 1, to: 5000 };
        assert_eq!(whole.accept(&Value::Real(1e3)), Some(Value::Whole(1000)));
        for outside in [1.5, 0.0, 5001.0, 1e300, f64::NAN, f64::INFINITY] {
            assert_eq!(whole.accept(&Value::Real(outside)), None, "{outside}");
        }
        assert_eq!(Domain::RealBelow { from: 0.0, below: 1.0 }.accept(&Value::Real(1.0)), None);
        assert_eq!(p.to_string(), "a number above 0 and up to 1");
    }

    #[test]
    fn values_read_as_people_write_them() {
        assert_eq!(Value::Real(2e-5).to_string(), "2e-5");
        assert_eq!(Value::Real(0.3).to_string(), "0.3");
    }
}
