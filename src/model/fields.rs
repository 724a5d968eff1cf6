//! The numbers and words of a `config.json`, by key, each with its limits.

use anyhow::{Result, bail, ensure};
use serde_json::Value;

/// A config as it lies on disk.
pub struct Fields(pub Value);

impl Fields {
    fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    /// Whether the config has a value for a key other than null.
    pub fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// A whole number of at least `least`.
    pub fn whole(&self, key: &str, least: i64, standard: Option<i64>) -> Result<i64> {
        let number = match self.get(key) {
            None => match standard {
                Some(standard) => standard,
                None => bail!("it has no {key}"),
            },
            Some(value) => match value.as_i64() {
                Some(number) => number,
                None => bail!("{key} is {value}; it must be a whole number"),
            },
        };
        ensure!(number >= least, "{key} is {number}; it must be at least {least}");
        // No real model comes near, and products of such numbers stay far from the limits of arithmetic.
        ensure!(number <= 1 << 30, "{key} is {number}; that is no size of a model");
        Ok(number)
    }

    /// A size: a whole number from 1.
    pub fn size(&self, key: &str) -> Result<i64> {
        self.whole(key, 1, None)
    }

    pub fn real(&self, key: &str, standard: f64) -> Result<f64> {
        match self.get(key) {
            None => Ok(standard),
            Some(value) => match value.as_f64().filter(|number| number.is_finite()) {
                Some(number) => Ok(number),
                None => bail!("{key} is {value}; it must be a number"),
            },
        }
    }

    /// A dropout rate, at least 0 and below 1.
    pub fn rate(&self, key: &str, standard: f64) -> Result<f64> {
        let rate = self.real(key, standard)?;
        ensure!((0.0..1.0).contains(&rate), "{key} is {rate}; it must be at least 0 and below 1");
        Ok(rate)
    }

    pub fn word<'a>(&'a self, key: &str, standard: &'a str) -> Result<&'a str> {
        match self.get(key) {
            None => Ok(standard),
            Some(value) => match value.as_str() {
                Some(word) => Ok(word),
                None => bail!("{key} is {value}; it must be a word"),
            },
        }
    }

    pub fn flag(&self, key: &str, standard: bool) -> Result<bool> {
        match self.get(key) {
            None => Ok(standard),
            Some(value) => match value.as_bool() {
                Some(flag) => Ok(flag),
                None => bail!("{key} is {value}; it must be true or false"),
            },
        }
    }

    /// # Errors
    /// The key has a number other than the one that the model can have.
    pub fn is(&self, key: &str, known: i64) -> Result<()> {
        let number = self.whole(key, i64::MIN, Some(known))?;
        ensure!(number == known, "{key} is {number}; known is: {known}");
        Ok(())
    }

    /// # Errors
    /// The key has a value other than the one that the model can be.
    pub fn only(&self, key: &str, known: &str) -> Result<()> {
        let word = self.word(key, known)?;
        ensure!(word == known, "{key} \"{word}\" is not known; known is: {known}");
        Ok(())
    }
}
