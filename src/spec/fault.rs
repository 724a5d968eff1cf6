//! What is wrong with a sweep file, shown in its text.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

/// One fault: where, what, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Bytes of the file.
    pub span: Range<usize>,
    /// What is wrong: `unknown task "rtee"`.
    pub title: String,
    /// Under the underlined text: `no task has this name`.
    pub label: String,
    /// What is allowed, and what to do.
    pub help: Option<String>,
}

impl Fault {
    pub fn new(span: Range<usize>, title: impl Into<String>, label: impl Into<String>) -> Fault {
        Fault { span, title: title.into(), label: label.into(), help: None }
    }

    pub fn help(mut self, help: impl Into<String>) -> Fault {
        self.help = Some(help.into());
        self
    }
}

/// All faults of a file, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults {
    pub file: String,
    pub text: String,
    pub faults: Vec<Fault>,
}

impl Faults {
    pub fn new(file: &str, text: &str, mut faults: Vec<Fault>) -> Faults {
        // The end of the text is a place too: that of something missing.
        for fault in &mut faults {
            fault.span.end = fault.span.end.min(text.len());
            fault.span.start = fault.span.start.min(fault.span.end);
        }
        faults.sort_by_key(|fault| (fault.span.start, fault.span.end));
        faults.dedup();
        Faults { file: file.to_owned(), text: text.to_owned(), faults }
    }

    /// The faults as a person reads them, with colours or without.
    pub fn render(&self, colours: bool) -> String {
        let renderer = if colours { Renderer::styled() } else { Renderer::plain() };
        let mut page = String::new();
        for fault in &self.faults {
            let snippet = Snippet::source(&self.text)
                .path(&self.file)
                .annotation(AnnotationKind::Primary.span(fault.span.clone()).label(&fault.label));
            let mut group = Level::ERROR.primary_title(&fault.title).element(snippet);
            if let Some(help) = &fault.help {
                group = group.element(Level::HELP.message(help));
            }
            page += &renderer.render(&[group]);
            page += "\n\n";
        }
        let n = self.faults.len();
        page + &format!("{}: {n} fault{}; nothing was started", self.file, if n == 1 { "" } else { "s" })
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Faults {}

/// The known name nearest to a misspelt one, if it is near enough to be meant.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let score = |candidate: &str| strsim::damerau_levenshtein(&name.to_lowercase(), &candidate.to_lowercase());
    let (distance, candidate) = known.into_iter().map(|k| (score(k), k)).min()?;
    (distance <= 1 + name.chars().count() / 4).then_some(candidate)
}

/// `did you mean "rte"? known are: cola, rte, …`
pub fn suggestion<'a>(name: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    let list = known.clone().into_iter().collect::<Vec<_>>().join(", ");
    match nearest(name, known) {
        Some(near) => format!("did you mean \"{near}\"? known are: {list}"),
        None => format!("known are: {list}"),
    }
}
