//! The screen, as a function of what is known and chosen and of the terminal's size.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Clear, Paragraph, Wrap};

use super::app::{App, Focus, Mode, clock};
use super::grid::Mark;
use crate::device::Load;
use crate::record::live::{Running, Slot, Verdict, seconds_since};

/// Below these, only a line or two are shown.
const NARROWEST: u16 = 30;
const LOWEST: u16 = 8;
/// From here on, the grid and the runs stand side by side.
const WIDE: u16 = 110;

const QUIET: Style = Style::new().fg(Color::DarkGray);
const STRONG: Style = Style::new().add_modifier(Modifier::BOLD);

pub fn draw(app: &App, frame: &mut Frame) {
    let area = frame.area();
    if area.width < NARROWEST || area.height < LOWEST {
        let text = format!("{}: {}\n(too small for more; q leaves)", app.facts.sweep, app.counts_in_words());
        return frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: true }), area);
    }
    let [head, body, foot] =
        Layout::vertical([Constraint::Length(3), Constraint::Min(1), Constraint::Length(1)]).areas(area);
    draw_head(app, frame, head);
    draw_foot(app, frame, foot);
    if let Mode::Log { up } = app.mode {
        return draw_log(app, frame, body, up);
    }
    let running = app.running().len() as u16;
    if area.width >= WIDE {
        let grid_width = grid_width(app).clamp(50, body.width * 55 / 100);
        let [left, right] = Layout::horizontal([Constraint::Length(grid_width), Constraint::Min(1)]).areas(body);
        let high = (2 * running + 1).clamp(2, right.height.div_ceil(2));
        let [above, below] = Layout::vertical([Constraint::Length(high), Constraint::Min(1)]).areas(right);
        draw_grid(app, frame, left);
        draw_running(app, frame, above);
        draw_log(app, frame, below, 0);
    } else {
        let high = (2 * running + 1).clamp(2, (body.height / 3).max(3));
        let log = if body.height >= 14 { body.height / 4 } else { 0 };
        let legend = legend(app, body.width as usize).len() as u16;
        let wanted = (app.facts.grid.rows.len() as u16).saturating_add(2 + legend);
        let grid = wanted.min(body.height.saturating_sub(high + log)).max(1);
        let [above, middle, below] =
            Layout::vertical([Constraint::Length(grid), Constraint::Length(high), Constraint::Min(0)]).areas(body);
        draw_grid(app, frame, above);
        draw_running(app, frame, middle);
        if below.height > 1 {
            draw_log(app, frame, below, 0);
        }
    }
    if app.mode == Mode::Help {
        draw_help(frame, body);
    }
}

fn draw_head(app: &App, frame: &mut Frame, area: Rect) {
    let [title, bar, load] = Layout::vertical([Constraint::Length(1); 3]).areas(area);
    let at_work = app.at_work();
    let mut who = at_work.iter().map(|seen| {
        let live = &seen.live;
        let share = match (&live.job, live.shard) {
            (Some(job), _) => format!("job {job}, "),
            (None, Some(shard)) => format!("share {shard}, "),
            (None, None) => String::new(),
        };
        let silent = match seen.verdict {
            Verdict::Running { silent: Some(age) } | Verdict::Elsewhere { age } => {
                format!(", silent for {}", clock(age))
            }
            _ => String::new(),
        };
        format!("{share}process {} on {}{silent}", live.process.pid, live.process.host)
    });
    let who = match (at_work.len(), who.next()) {
        (0, _) | (_, None) => String::new(),
        (1, Some(one)) => format!("  {one}"),
        (n, Some(one)) => format!("  {one} and {} more", n - 1),
    };
    let state = app.state();
    let style = if at_work.is_empty() { STRONG.fg(Color::Yellow) } else { STRONG.fg(Color::Green) };
    frame.render_widget(
        Line::from(vec![
            Span::styled(app.facts.sweep.clone(), STRONG),
            Span::raw("  "),
            Span::styled(state, style),
            Span::styled(who, QUIET),
        ]),
        title,
    );

    let (all, counts) = (app.facts.grid.len().max(1), app.facts.grid.counts());
    let ended: usize = counts.iter().filter(|(mark, _)| mark.is_end()).map(|(_, count)| count).sum();
    let wide = (area.width as usize / 4).clamp(8, 40);
    let full = ended * wide / all;
    let left = at_work
        .iter()
        .filter_map(|seen| seen.live.seconds_left)
        .fold(None, |most: Option<f64>, left| Some(most.map_or(left, |most| most.max(left))));
    let left = left.map_or_else(String::new, |left| format!(", about {} left", clock(left)));
    frame.render_widget(
        Line::from(vec![
            Span::styled("━".repeat(full), Style::new().fg(Color::Green)),
            Span::styled("─".repeat(wide - full), QUIET),
            Span::raw(format!(" {ended}/{}", app.facts.grid.len())),
            Span::raw(left),
        ]),
        bar,
    );
    frame.render_widget(Line::styled(load_line(app, load.width), QUIET), load);
}

/// `33 runs/h  245 ex/s  cpu 97 % load 3.1 2.1/7.6 GiB`: as much of it as fits.
fn load_line(app: &App, width: u16) -> String {
    let mut said = Vec::new();
    let per_hour: f64 = app
        .at_work()
        .iter()
        .filter_map(|seen| {
            let live = &seen.live;
            let hours = seconds_since(live.started.parse().ok()?, live.heartbeat.parse().ok()?) / 3600.0;
            (hours > 0.0 && live.counts.done > 0).then(|| live.counts.done as f64 / hours)
        })
        .sum();
    if per_hour > 0.0 {
        said.push(format!("{per_hour:.0} runs/h"));
    }
    let examples: f64 = app.running().iter().filter_map(|(_, running)| running.examples_per_second).sum();
    if examples > 0.0 {
        said.push(format!("{examples:.0} ex/s"));
    }
    said.extend(app.facts.loads.iter().map(device));
    let mut line = String::new();
    for part in said {
        let gap = if line.is_empty() { "" } else { "  " };
        if (line.chars().count() + gap.len() + part.chars().count()) > usize::from(width) {
            break;
        }
        line = line + gap + &part;
    }
    line
}

/// `cuda:0 87 % 41/80 GiB 61 °C`.
fn device(load: &Load) -> String {
    let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    let mut said = load.label.clone();
    if let Some(share) = load.utilisation {
        said += &format!(" {:.0} %", share * 100.0);
    }
    if let Some(average) = load.average {
        said += &format!(" load {average:.1}");
    }
    if let (Some(used), Some(total)) = (load.used, load.total) {
        // Of a small memory tenths count.
        let tenths = usize::from(total < 20 << 30);
        said += &format!(" {:.tenths$}/{:.tenths$} GiB", gib(used), gib(total));
    }
    if let Some(degrees) = load.temperature {
        said += &format!(" {degrees} °C");
    }
    said
}

fn draw_foot(app: &App, frame: &mut Frame, area: Rect) {
    let line = match (&app.mode, &app.message) {
        (Mode::Ask { question, .. }, _) => Line::styled(question.clone(), STRONG.fg(Color::Yellow)),
        (_, Some(message)) => Line::styled(message.clone(), Style::new().fg(Color::Yellow)),
        (Mode::Log { .. }, _) => Line::styled("arrows, g, G move  enter back", QUIET),
        _ => Line::styled("q leave  tab, arrows choose  enter log  c cancel  ? help", QUIET),
    };
    frame.render_widget(line, area);
}

fn panel<'a>(title: String, is_chosen: bool) -> Block<'a> {
    let style = if is_chosen { STRONG.fg(Color::Cyan) } else { QUIET };
    Block::new().borders(Borders::TOP).border_style(style).title(title)
}

/// Columns of a seed, its blank included.
fn column_width(app: &App) -> u16 {
    let digits = app.facts.grid.seeds.iter().map(|seed| seed.to_string().len()).max().unwrap_or(1);
    digits as u16 + 1
}

fn label_width(app: &App) -> u16 {
    app.facts.grid.rows.iter().map(|row| row.chars().count()).max().unwrap_or(0) as u16
}

fn grid_width(app: &App) -> u16 {
    label_width(app) + 2 + (app.facts.grid.seeds.len() as u16).saturating_mul(column_width(app)) + 1
}

fn colour(mark: Mark) -> Style {
    let on = |colour| Style::new().fg(Color::Black).bg(colour);
    match mark {
        Mark::Waiting => QUIET,
        Mark::Running => on(Color::Cyan).add_modifier(Modifier::BOLD),
        Mark::Paused => on(Color::LightBlue),
        Mark::Done => on(Color::Green),
        Mark::Collapsed => on(Color::Yellow),
        Mark::Stopped => on(Color::Magenta),
        Mark::Failed => on(Color::Red).add_modifier(Modifier::BOLD),
        Mark::Cancelled => on(Color::Gray),
    }
}

fn draw_grid(app: &App, frame: &mut Frame, area: Rect) {
    let grid = &app.facts.grid;
    let is_chosen = app.focus == Focus::Grid;
    let column = column_width(app);
    // Many seeds get a third of the width at least.
    let seeds = (grid.seeds.len() as u16).saturating_mul(column).min(area.width / 3);
    let label = label_width(app).min(area.width - seeds - 1);
    let columns = ((area.width - label - 1) / column).max(1) as usize;
    // The title, the seeds, and the legend where there is room for it.
    let legend = if area.height >= 6 { legend(app, area.width as usize) } else { Vec::new() };
    let rows = area.height.saturating_sub(2 + legend.len() as u16) as usize;
    let first_row = first(app.spot.0, rows, grid.rows.len());
    let first_column = first(app.spot.1, columns, grid.seeds.len());
    let shown = |first: usize, count: usize, of: usize| match (first, (first + count).min(of)) {
        (0, last) if last == of => String::new(),
        (first, last) => format!(" {}–{last} of {of}", first + 1),
    };
    let title = format!(
        " cells{} by seeds{} ",
        shown(first_row, rows, grid.rows.len()),
        shown(first_column, columns, grid.seeds.len())
    );
    let mut lines = Vec::new();
    let seeds = grid.seeds.iter().skip(first_column).take(columns);
    let head: String = seeds.map(|seed| format!("{seed:<wide$}", wide = column as usize)).collect();
    lines.push(Line::styled(format!("{:wide$} {head}", "", wide = label as usize), QUIET));
    for (row, name) in grid.rows.iter().enumerate().skip(first_row).take(rows) {
        let is_row = is_chosen && row == app.spot.0;
        let name = fit(name, label as usize);
        let mut spans = vec![Span::styled(name, if is_row { STRONG } else { Style::new() }), Span::raw(" ")];
        for at in (first_column..grid.seeds.len()).take(columns) {
            let (letter, mut style) = match grid.at(row, at) {
                Some(spot) => (spot.mark.letter(), colour(spot.mark)),
                None => (' ', Style::new()),
            };
            let is_here = is_row && at == app.spot.1;
            if is_here {
                style = style.add_modifier(Modifier::REVERSED);
            }
            // The chosen one is told by brackets too, for screens without colours.
            let text = if is_here { format!("{letter}<") } else { letter.to_string() };
            spans.push(Span::styled(format!("{text:<wide$}", wide = column as usize), style));
        }
        lines.push(Line::from(spans));
    }
    lines.extend(legend.into_iter().map(|line| Line::styled(line, QUIET)));
    frame.render_widget(Paragraph::new(lines).block(panel(title, is_chosen)), area);
}

/// What the letters mean and how many there are of each, in lines that fit.
fn legend(app: &App, wide: usize) -> Vec<String> {
    let counts = app.facts.grid.counts();
    let there = Mark::ALL.into_iter().filter_map(|mark| Some((mark, counts.get(&mark)?)));
    let mut lines: Vec<String> = Vec::new();
    for word in there.map(|(mark, count)| format!("{} {count} {}", mark.letter(), mark.word())) {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 2 + word.len() <= wide => *line += &format!("  {word}"),
            _ => lines.push(word),
        }
    }
    lines
}

/// The first of `count` shown ones of `of`, such that the chosen one is among them and, if it can be, in the middle.
fn first(chosen: usize, count: usize, of: usize) -> usize {
    chosen.saturating_sub(count / 2).min(of.saturating_sub(count))
}

/// A text of exactly so many columns: cut with a sign, or filled up.
fn fit(text: &str, wide: usize) -> String {
    let count = text.chars().count();
    if count > wide {
        let kept: String = text.chars().take(wide.saturating_sub(1)).collect();
        return format!("{kept}…");
    }
    format!("{text:<wide$}")
}

fn draw_running(app: &App, frame: &mut Frame, area: Rect) {
    let running = app.running();
    let is_chosen = app.focus == Focus::Running;
    let each = if area.height as usize > 2 * running.len() { 2 } else { 1 };
    let rows = (area.height as usize).saturating_sub(1) / each;
    let from = first(app.runner, rows, running.len());
    let hidden =
        if running.len() > rows { format!(" {} of {}", rows.min(running.len()), running.len()) } else { String::new() };
    let mut lines = Vec::new();
    for (at, (slot, run)) in running.iter().enumerate().skip(from).take(rows) {
        let is_here = is_chosen && at == app.runner;
        let style = if is_here { STRONG.fg(Color::Cyan) } else { Style::new() };
        let sign = if is_here { '>' } else { ' ' };
        let wide = area.width as usize;
        let label = app.label(&run.id);
        if each == 2 {
            lines.push(Line::styled(fit(&format!("{sign} {label}"), wide), style));
            lines.push(progress(slot, run, wide));
        } else {
            let how = if run.of > 0 { format!("{}/{}", run.step, run.of) } else { run.phase.clone() };
            let wide = wide.saturating_sub(how.chars().count() + 3);
            lines.push(Line::styled(format!("{sign} {} {how}", fit(&label, wide)), style));
        }
    }
    if running.is_empty() {
        let text = if app.at_work().is_empty() { "nothing runs" } else { "no run is under way yet" };
        lines.push(Line::styled(text, QUIET));
    }
    frame.render_widget(Paragraph::new(lines).block(panel(format!(" running{hidden} "), is_chosen)), area);
}

/// A bar, the step, and what is known of the speed.
fn progress<'a>(slot: &Slot, run: &Running, wide: usize) -> Line<'a> {
    let bar = (wide / 4).clamp(6, 30);
    let full = if run.of > 0 { (run.step as usize * bar / run.of as usize).min(bar) } else { 0 };
    let mut rest = match (run.phase.as_str(), run.of) {
        ("train", 1..) => format!(" {}/{}", run.step, run.of),
        (phase, _) => format!(" {phase}"),
    };
    if let (Some(loss), "train") = (run.loss, run.phase.as_str()) {
        rest += &format!("  loss {loss:.3}");
    }
    if let (Some(speed), "train") = (run.examples_per_second, run.phase.as_str()) {
        rest += &format!("  {speed:.0} ex/s");
    }
    if let Ok(since) = run.since.parse() {
        rest += &format!("  {}", clock(seconds_since(since, jiff::Timestamp::now()).max(0.0)));
    }
    rest += &format!("  {}", slot.device);
    if run.attempt > 1 {
        rest += &format!("  attempt {}", run.attempt);
    }
    Line::from(vec![
        Span::raw("  "),
        Span::styled("█".repeat(full), Style::new().fg(Color::Cyan)),
        Span::styled("░".repeat(bar - full), QUIET),
        Span::raw(fit(&rest, wide.saturating_sub(bar + 2))),
    ])
}

fn draw_log(app: &App, frame: &mut Frame, area: Rect, up: usize) {
    let rows = area.height.saturating_sub(1) as usize;
    let (title, lines) = match app.chosen() {
        None => (" log ".to_owned(), Vec::new()),
        Some(id) => {
            let end = app.facts.ends.get(&id).map_or_else(String::new, |end| format!(" · {end}"));
            let is_of_it = app.log.0.as_ref() == Some(&id);
            (
                format!(" log of {id:.10} · {}{end} ", app.label(&id)),
                if is_of_it { app.log.1.clone() } else { Vec::new() },
            )
        }
    };
    let end = lines.len().saturating_sub(up);
    let mut shown: Vec<Line> =
        lines[end.saturating_sub(rows)..end].iter().map(|line| Line::raw(line.clone())).collect();
    if lines.is_empty() && app.chosen().is_some() {
        shown.push(Line::styled("it has written no log", QUIET));
    }
    frame.render_widget(Paragraph::new(shown).block(panel(title, false)), area);
}

fn draw_help(frame: &mut Frame, area: Rect) {
    let text = "tab            the grid, or the running runs\n\
                arrows, hjkl   choose a run\n\
                enter          its whole log\n\
                c              cancel it; its record says so\n\
                S              stop the sweep at checkpoints\n\
                q              leave; the sweep goes on";
    let (wide, high) = (52.min(area.width), 8.min(area.height));
    let place = Rect::new(area.x + (area.width - wide) / 2, area.y + (area.height - high) / 2, wide, high);
    frame.render_widget(Clear, place);
    frame.render_widget(Paragraph::new(text).block(Block::bordered().title(" keys ")), place);
}

#[cfg(test)]
mod tests;
