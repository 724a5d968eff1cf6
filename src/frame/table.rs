//! A table for people, and its Markdown and LaTeX.

/// Rectangular: every row has as many entries as there are columns.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    pub columns: Vec<String>,
    /// How many columns at the left name the row; they are set left, the others right.
    pub headings: usize,
    pub rows: Vec<Vec<Entry>>,
    /// Sentences that stand below.
    pub notes: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Entry {
    pub text: String,
    /// What should be small beside it: runs that went wrong, the setting chosen.
    pub aside: String,
    pub best: bool,
}

impl From<String> for Entry {
    fn from(text: String) -> Entry {
        Entry { text, ..Entry::default() }
    }
}

/// A score in points, as `64.2 ± 1.1`; `–` where there is none.
pub fn points(mean: Option<f64>, spread: Option<f64>) -> String {
    match (mean, spread) {
        (Some(mean), Some(spread)) => format!("{:.1} ± {:.1}", mean * 100.0, spread * 100.0),
        (Some(mean), None) => format!("{:.1}", mean * 100.0),
        (None, _) => "–".to_owned(),
    }
}

/// Seconds as a person says them: `4.2 s`, `12 min 5 s`, `3 h 20 min`.
pub fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{seconds:.1} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

impl Table {
    /// A pipe table; the best entries are bold, the notes follow as a paragraph each.
    pub fn markdown(&self) -> String {
        let mut out = String::new();
        let line = |entries: Vec<String>| format!("| {} |\n", entries.join(" | "));
        out += &line(self.columns.iter().map(|c| markdown_text(c)).collect());
        let rule = |i: usize| if i < self.headings { ":--" } else { "--:" };
        out += &line((0..self.columns.len()).map(|i| rule(i).to_owned()).collect());
        for row in &self.rows {
            out += &line(row.iter().map(markdown_entry).collect());
        }
        for note in &self.notes {
            out += &format!("\n{}\n", markdown_text(note));
        }
        out
    }

    /// A `tabular` for the package booktabs, with the notes as comments above it.
    pub fn latex(&self) -> String {
        let mut out = String::from("% needs \\usepackage{booktabs}\n");
        for note in &self.notes {
            out += &format!("% {}\n", note.replace('\n', " "));
        }
        let columns = "l".repeat(self.headings) + &"r".repeat(self.columns.len().saturating_sub(self.headings));
        out += &format!("\\begin{{tabular}}{{{columns}}}\n\\toprule\n");
        let line = |entries: Vec<String>| format!("{} \\\\\n", entries.join(" & "));
        out += &line(self.columns.iter().map(|c| latex_text(c)).collect());
        out += "\\midrule\n";
        for row in &self.rows {
            out += &line(row.iter().map(latex_entry).collect());
        }
        out + "\\bottomrule\n\\end{tabular}\n"
    }
}

fn markdown_entry(entry: &Entry) -> String {
    let text = markdown_text(&entry.text);
    let text = if entry.best { format!("**{text}**") } else { text };
    if entry.aside.is_empty() { text } else { format!("{text} ({})", markdown_text(&entry.aside)) }
}

fn latex_entry(entry: &Entry) -> String {
    let text = latex_text(&entry.text);
    let text = if entry.best { format!("\\textbf{{{text}}}") } else { text };
    if entry.aside.is_empty() { text } else { format!("{text} {{\\scriptsize ({})}}", latex_text(&entry.aside)) }
}

/// Text that Markdown shows as it is, inside a table too.
pub fn markdown_text(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '\\' | '|' | '*' | '_' | '`' | '[' | ']' | '~' => out.extend(['\\', c]),
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '&' => out += "&amp;",
            '\n' | '\r' => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// Text that LaTeX sets as it is.
fn latex_text(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '\\' => out += "\\textbackslash{}",
            '~' => out += "\\textasciitilde{}",
            '^' => out += "\\textasciicircum{}",
            '<' => out += "\\textless{}",
            '>' => out += "\\textgreater{}",
            '|' => out += "\\textbar{}",
            '±' => out += "$\\pm$",
            '×' => out += "$\\times$",
            '−' => out += "$-$",
            '·' => out += "$\\cdot$",
            '–' => out += "--",
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => out.extend(['\\', c]),
            '\n' | '\r' => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Table {
        Table {
            columns: vec!["mode".into(), "a_b|c".into()],
            headings: 1,
            rows: vec![vec![
                Entry::from("50% & <x>".to_owned()),
                Entry { text: points(Some(0.642), Some(0.011)), aside: "1 diverged".into(), best: true },
            ]],
            notes: vec!["n = 2".into()],
        }
    }

    #[test]
    fn markdown_escapes_and_marks() {
        assert_eq!(
            small().markdown(),
            "| mode | a\\_b\\|c |\n| :-- | --: |\n| 50% &amp; &lt;x&gt; | **64.2 ± 1.1** (1 diverged) |\n\nn = 2\n"
        );
    }

    #[test]
    fn latex_escapes_and_marks() {
        let text = small().latex();
        assert!(text.contains("\\begin{tabular}{lr}\n\\toprule\nmode & a\\_b\\textbar{}c \\\\\n\\midrule\n"), "{text}");
        assert!(text.contains("50\\% \\& \\textless{}x\\textgreater{} & \\textbf{64.2 $\\pm$ 1.1}"), "{text}");
        assert_eq!(latex_text("\\{~^}#$"), "\\textbackslash{}\\{\\textasciitilde{}\\textasciicircum{}\\}\\#\\$");
    }

    #[test]
    fn times_are_for_people() {
        assert_eq!(duration(4.25), "4.2 s");
        assert_eq!(duration(725.0), "12 min 5 s");
        assert_eq!(duration(12_000.0), "3 h 20 min");
    }

    #[test]
    fn a_missing_score_is_a_dash() {
        assert_eq!(points(None, None), "–");
        assert_eq!(points(Some(-0.0312), None), "-3.1");
    }
}
