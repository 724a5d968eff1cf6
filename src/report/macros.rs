//! A LaTeX macro for each number of the main table, so that a text cites numbers by name and follows them when they change.

use anyhow::{Context, Result};

/// The columns that name a row; each of the others is a number.
const NAMING: [&str; 6] = ["task", "metric", "model", "train_size", "mode", "setting"];

/// `\newcommand`s from the rows of `tables/main.csv`, as `\sweepRteChildDMean`: `sweep`, the task, the mode, the model and
/// the training size where there are several, the setting where a mode has several on one task, and the statistic. LaTeX
/// wants letters, so digits are spelled: `p=0.3` is `PZeroPointThree`. Points have one decimal, other fractions three.
///
/// # Errors
/// Text that is no CSV with the columns of the main table.
pub fn macros(main_csv: &str) -> Result<String> {
    let mut reader = csv::Reader::from_reader(main_csv.as_bytes());
    let columns = reader.headers()?.clone();
    let place = |name: &str| columns.iter().position(|c| c == name).with_context(|| format!("no column {name}"));
    let (task, model, size) = (place("task")?, place("model")?, place("train_size")?);
    let (mode, setting) = (place("mode")?, place("setting")?);
    let rows: Vec<csv::StringRecord> = reader.records().collect::<Result<_, _>>()?;
    let differs = |column: usize| rows.iter().any(|row| row[column] != rows[0][column]);
    let (models, sizes) = (differs(model), differs(size));
    let keys = |row: &csv::StringRecord| [task, model, size, mode].map(|column| row[column].to_owned());

    let mut out = String::from(
        "% One macro for each number of main.csv: sweep, task, mode, then model, training size and setting where one of them\n\
         % tells rows apart, then the statistic. Digits are spelled (p=0.3 is PZeroPointThree). Points are score times 100.\n",
    );
    let mut taken: Vec<String> = Vec::new();
    for row in &rows {
        let alike = rows.iter().filter(|other| keys(other) == keys(row)).count();
        let mut name = format!("sweep{}{}", letters(&row[task]), letters(&row[mode]));
        for (column, is_told) in [(model, models), (size, sizes), (setting, alike > 1)] {
            if is_told {
                name += &letters(if row[column].is_empty() { "all" } else { &row[column] });
            }
        }
        // Names that differ only in what LaTeX cannot spell are told apart by letters at their end.
        while taken.contains(&name) {
            name.push('X');
        }
        out += &format!("\n% {}\n", row.iter().take(NAMING.len()).collect::<Vec<_>>().join(" ").replace('\n', " "));
        for (column, value) in columns.iter().zip(row).filter(|(column, _)| !NAMING.contains(column)) {
            if let Some(shown) = shown(column, value) {
                out += &format!("\\newcommand{{\\{name}{}}}{{{shown}}}\n", letters(column.trim_end_matches("_points")));
            }
        }
        taken.push(name);
    }
    Ok(out)
}

/// The number as a text cites it; `None` where there is none.
fn shown(column: &str, value: &str) -> Option<String> {
    if value.parse::<i64>().is_ok() {
        return Some(value.to_owned());
    }
    let number: f64 = value.parse().ok()?;
    Some(if column.ends_with("_points") { format!("{number:.1}") } else { format!("{number:.3}") })
}

/// `child-d p=0.3` as `ChildDPZeroPointThree`.
fn letters(text: &str) -> String {
    let mut out = String::new();
    let (mut starts, mut after_digit) = (true, false);
    for c in text.chars() {
        let digit = c.to_digit(10).map(|d| DIGITS[d as usize]);
        match c {
            _ if digit.is_some() => out += digit.unwrap_or_default(),
            '.' if after_digit => out += "Point",
            '→' | '⇒' => out += "To",
            c if c.is_ascii_alphabetic() && starts => out.push(c.to_ascii_uppercase()),
            c if c.is_ascii_alphabetic() => out.push(c),
            _ => {}
        }
        after_digit = digit.is_some();
        starts = !c.is_ascii_alphabetic();
    }
    out
}

const DIGITS: [&str; 10] = ["Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine"];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const HEAD: &str = "task,metric,model,train_size,mode,setting,n,mean_points,p_holm\n";

    #[test]
    fn every_number_has_a_name_of_letters() {
        let text =
            macros(&format!("{HEAD}rte,accuracy,m,,child-d,p=0.3,10,64.2488,0.0312\nrte,accuracy,m,,vanilla,,0,,\n"))
                .unwrap();
        assert!(text.contains("\\newcommand{\\sweepRteChildDMean}{64.2}\n"), "{text}");
        assert!(text.contains("\\newcommand{\\sweepRteChildDPHolm}{0.031}\n"), "{text}");
        assert!(text.contains("\\newcommand{\\sweepRteVanillaN}{0}\n") && !text.contains("VanillaMean"), "{text}");
    }

    #[test]
    fn what_tells_rows_apart_is_in_the_name_and_no_name_comes_twice() {
        let rows =
            "a_1,x,m,300,c,lr=2e-5,1,1.0,\na_1,x,m,300,c,lr=4e-5,1,1.0,\na-1,x,m,,c,,1,1.0,\na+1,x,m,,c,,1,1.0,\n";
        let text = macros(&format!("{HEAD}{rows}")).unwrap();
        let names: Vec<&str> =
            text.lines().filter_map(|l| l.strip_prefix("\\newcommand{\\")?.split('}').next()).collect();
        assert_eq!(names.len(), 8);
        assert!(names.iter().all(|n| n.chars().all(|c| c.is_ascii_alphabetic())), "{names:?}");
        assert!(names.contains(&"sweepAOneCThreeZeroZeroLrTwoEFiveMean"), "{names:?}");
        assert_eq!(names.iter().collect::<std::collections::BTreeSet<_>>().len(), 8, "{names:?}");
    }
}
