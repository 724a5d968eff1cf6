//! A TOML table read key by key, every fault collected with its place instead of stopping at the first.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::{Fault, suggestion};
use super::number::{Domain, Number, Value};

pub type Entry<'a> = Spanned<DeValue<'a>>;

/// Where faults gather while a file is read.
#[derive(Default)]
pub struct Collector(RefCell<Vec<Fault>>);

impl Collector {
    pub fn add(&self, fault: Fault) {
        self.0.borrow_mut().push(fault);
    }

    pub fn into_faults(self) -> Vec<Fault> {
        self.0.into_inner()
    }
}

/// A value as a sweep knows it; `None` for dates, arrays and tables.
pub fn value(entry: &DeValue) -> Option<Value> {
    match entry {
        DeValue::String(text) => Some(Value::Word(text.to_string())),
        DeValue::Integer(digits) => {
            i64::from_str_radix(&digits.as_str().replace('_', ""), digits.radix()).ok().map(Value::Whole)
        }
        DeValue::Float(digits) => digits.as_str().replace('_', "").parse().ok().map(Value::Real),
        DeValue::Boolean(flag) => Some(Value::Flag(*flag)),
        _ => None,
    }
}

/// What a person calls a TOML value's type.
pub fn kind(entry: &DeValue) -> &'static str {
    match entry {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// One table while it is read: remembers which keys were asked for, so that the others are unknown.
pub struct Table<'a, 'f> {
    /// As a person names it: `[train]`.
    pub name: String,
    entries: &'a DeTable<'a>,
    known: RefCell<BTreeSet<String>>,
    faults: &'f Collector,
}

impl<'a, 'f> Table<'a, 'f> {
    pub fn new(name: impl Into<String>, entries: &'a DeTable<'a>, faults: &'f Collector) -> Table<'a, 'f> {
        Table { name: name.into(), entries, known: RefCell::default(), faults }
    }

    pub fn faults(&self) -> &'f Collector {
        self.faults
    }

    /// The entry of a key, which thereby is a known one.
    pub fn get(&self, key: &str) -> Option<&'a Entry<'a>> {
        self.known.borrow_mut().insert(key.to_owned());
        self.entries.get(key)
    }

    /// Every key that nobody has asked for, with its place and entry; they are known from then on.
    pub fn rest(&self) -> Vec<(String, Range<usize>, &'a Entry<'a>)> {
        let asked = self.known.borrow().clone();
        let all = self.all().into_iter();
        all.filter(|(key, ..)| !asked.contains(key)).collect()
    }

    /// Every key with its place and entry, all of them known.
    pub fn all(&self) -> Vec<(String, Range<usize>, &'a Entry<'a>)> {
        let mut all: Vec<_> = self.entries.iter().map(|(k, v)| (k.get_ref().to_string(), k.span(), v)).collect();
        all.sort_by_key(|(_, span, _)| span.start);
        self.known.borrow_mut().extend(all.iter().map(|(key, ..)| key.clone()));
        all
    }

    pub fn text(&self, key: &str) -> Option<String> {
        let entry = self.get(key)?;
        match entry.get_ref() {
            DeValue::String(text) => Some(text.to_string()),
            other => self.wrong(key, entry.span(), kind(other), "a text"),
        }
    }

    /// A list of texts; a single text is a list of one.
    pub fn texts(&self, key: &str) -> Option<Vec<String>> {
        Some(self.placed_texts(key)?.into_iter().map(|(text, _)| text).collect())
    }

    /// A list of texts, each with its place.
    pub fn placed_texts(&self, key: &str) -> Option<Vec<(String, Range<usize>)>> {
        let entry = self.get(key)?;
        match entry.get_ref() {
            DeValue::String(text) => Some(vec![(text.to_string(), entry.span())]),
            DeValue::Array(items) => items
                .iter()
                .map(|item| match item.get_ref() {
                    DeValue::String(text) => Some((text.to_string(), item.span())),
                    other => self.wrong(key, item.span(), kind(other), "a text"),
                })
                .collect(),
            other => self.wrong(key, entry.span(), kind(other), "a text or a list of texts"),
        }
    }

    pub fn table(&self, key: &str) -> Option<Table<'a, 'f>> {
        self.table_written(key, &format!("[{key}]"))
    }

    /// The table under a key, with the name under which people write it: `[run.slurm]`.
    pub fn table_written(&self, key: &str, written: &str) -> Option<Table<'a, 'f>> {
        let entry = self.get(key)?;
        match entry.get_ref() {
            DeValue::Table(inner) => Some(Table::new(written, inner, self.faults)),
            other => self.wrong(key, entry.span(), kind(other), &format!("a table, written {written}")),
        }
    }

    /// The keys of a table under a key, whatever they hold.
    pub fn keys_of(&self, key: &str) -> Vec<String> {
        match self.get(key).map(Spanned::get_ref) {
            Some(DeValue::Table(inner)) => inner.keys().map(|key| key.get_ref().to_string()).collect(),
            _ => Vec::new(),
        }
    }

    /// The tables under a key: `[mode.child-d]`, `[mode.mixout]` under `mode`.
    pub fn named_tables(&self, key: &str) -> Vec<(String, Range<usize>, Table<'a, 'f>)> {
        let Some(outer) = self.table_written(key, &format!("[{key}.<name>]")) else { return Vec::new() };
        let tables = outer.all().into_iter().filter_map(|(name, span, entry)| match entry.get_ref() {
            DeValue::Table(inner) => {
                Some((name.clone(), span, Table::new(format!("[{key}.{name}]"), inner, self.faults)))
            }
            other => outer.wrong(&name, entry.span(), kind(other), &format!("a table, written [{key}.{name}]")),
        });
        tables.collect()
    }

    /// The tables of a list: `[[only]]`.
    pub fn list_of_tables(&self, key: &str) -> Vec<(Range<usize>, Table<'a, 'f>)> {
        let Some(entry) = self.get(key) else { return Vec::new() };
        let DeValue::Array(items) = entry.get_ref() else {
            return self
                .wrong(key, entry.span(), kind(entry.get_ref()), &format!("tables, written [[{key}]]"))
                .unwrap_or_default();
        };
        let tables = items.iter().filter_map(|item| match item.get_ref() {
            DeValue::Table(inner) => Some((item.span(), Table::new(format!("[[{key}]]"), inner, self.faults))),
            other => self.wrong(key, item.span(), kind(other), &format!("a table, written [[{key}]]")),
        });
        tables.collect()
    }

    /// Faults for all keys that nobody asked for.
    pub fn finish(self) {
        let known = self.known.borrow();
        for (key, _) in self.entries {
            if !known.contains(key.get_ref().as_ref()) {
                let title = format!("unknown key \"{}\" in {}", key.get_ref(), self.name);
                let help = suggestion(key.get_ref(), known.iter().map(String::as_str));
                self.faults.add(Fault::new(key.span(), title, "not known here").help(help));
            }
        }
    }

    fn wrong<T>(&self, key: &str, span: Range<usize>, found: &str, expected: &str) -> Option<T> {
        let title = format!("{key} in {} must be {expected}", self.name);
        self.faults.add(Fault::new(span, title, format!("this is {found}")));
        None
    }
}

/// A value checked against the declaration of its number.
pub fn checked(number: &Number, entry: &Entry, faults: &Collector) -> Option<Value> {
    let found = value(entry.get_ref());
    let accepted = found.as_ref().and_then(|v| number.domain.accept(v));
    if accepted.is_none() {
        let title = format!("{} must be {}", number.name, number.domain);
        let label = match (&found, number.domain) {
            (Some(Value::Whole(_)), Domain::Whole { .. })
            | (Some(Value::Real(_) | Value::Whole(_)), Domain::Real { .. } | Domain::RealBelow { .. }) => {
                "outside that range".to_owned()
            }
            (Some(Value::Word(_)), Domain::Word(_)) => "not one of them".to_owned(),
            // More digits than a whole number here can have.
            (None, Domain::Whole { .. }) if matches!(entry.get_ref(), DeValue::Integer(_)) => {
                "outside that range".to_owned()
            }
            _ => format!("this is {}", kind(entry.get_ref())),
        };
        let mut fault = Fault::new(entry.span(), title, label);
        if let (Some(Value::Word(word)), Domain::Word(words)) = (&found, number.domain) {
            fault = fault.help(suggestion(word, words.iter().copied()));
        } else {
            fault = fault.help(format!("{}: {}", number.name, number.what));
        }
        faults.add(fault);
    }
    accepted
}
