//! What is shown and chosen, and what keys do to it.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::grid::Mark;
use super::source::Facts;
use crate::plan::RunId;
use crate::record::live::{Running, Seen, Slot, Verdict};

/// What a key asks the world for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    Nothing,
    Quit,
    /// Put the program to sleep, as the shell's Ctrl-Z does.
    Suspend,
    Cancel(RunId),
    /// Stop the sweep at checkpoints.
    Stop,
}

/// Which list the arrows move in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Focus {
    Grid,
    Running,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mode {
    Overview,
    /// The chosen run's log over the whole screen, so many lines up from its end.
    Log {
        up: usize,
    },
    Help,
    /// A question that `y` answers.
    Ask {
        question: String,
        act: Act,
    },
}

pub struct App {
    pub(super) facts: Facts,
    pub(super) focus: Focus,
    pub(super) mode: Mode,
    /// Row and column in the grid.
    pub(super) spot: (usize, usize),
    /// Position among the running runs.
    pub(super) runner: usize,
    /// The log's last lines, of the run for which they were read.
    pub(super) log: (Option<RunId>, Vec<String>),
    /// The last thing that happened, for the bottom line.
    pub(super) message: Option<String>,
}

impl App {
    pub fn new(facts: Facts) -> App {
        let mut app = App {
            facts: Facts::default(),
            focus: Focus::Running,
            mode: Mode::Overview,
            spot: (0, 0),
            runner: 0,
            log: (None, Vec::new()),
            message: None,
        };
        app.update(facts);
        if app.running().is_empty() {
            app.focus = Focus::Grid;
        }
        app
    }

    /// Takes new facts; what is chosen stays chosen as far as it is still there.
    pub fn update(&mut self, facts: Facts) {
        let chosen = self.running().get(self.runner).map(|(_, running)| running.id.clone());
        self.facts = facts;
        let running = self.running();
        let found = running.iter().position(|(_, running)| Some(&running.id) == chosen.as_ref());
        self.runner = found.unwrap_or(self.runner).min(running.len().saturating_sub(1));
        let (rows, columns) = (self.facts.grid.rows.len(), self.facts.grid.seeds.len());
        self.spot = (self.spot.0.min(rows.saturating_sub(1)), self.spot.1.min(columns.saturating_sub(1)));
    }

    /// The run whose log is shown.
    pub fn chosen(&self) -> Option<RunId> {
        match self.focus {
            Focus::Grid => self.facts.grid.at(self.spot.0, self.spot.1).map(|spot| spot.id.clone()),
            Focus::Running => self.running().get(self.runner).map(|(_, running)| running.id.clone()),
        }
    }

    /// Lines of the log that the screen may need: as many as it shows, or all for one that is scrolled through.
    pub fn wanted_lines(&self) -> usize {
        if matches!(self.mode, Mode::Log { .. }) { 20_000 } else { 200 }
    }

    /// Puts in the last lines of the chosen run's log.
    pub fn set_log(&mut self, id: Option<RunId>, lines: Vec<String>) {
        self.log = (id, lines);
        if let Mode::Log { up } = &mut self.mode {
            *up = (*up).min(self.log.1.len().saturating_sub(1));
        }
    }

    pub fn say(&mut self, message: String) {
        self.message = Some(message);
    }

    /// The runs under way, each with the slot that it is in.
    pub(super) fn running(&self) -> Vec<(&Slot, &Running)> {
        let at_work = self.facts.seen.iter().filter(|seen| seen.verdict.is_at_work());
        at_work.flat_map(|seen| &seen.live.slots).flat_map(|slot| slot.runs().map(move |run| (slot, run))).collect()
    }

    /// The coordinators that work now.
    pub(super) fn at_work(&self) -> Vec<&Seen> {
        self.facts.seen.iter().filter(|seen| seen.verdict.is_at_work()).collect()
    }

    /// The sweep in a sentence: what it does, or how it ended.
    pub fn state(&self) -> String {
        if self.at_work().is_empty() {
            let counts = self.counts_in_words();
            let latest = self.facts.seen.iter().max_by(|a, b| a.live.heartbeat.cmp(&b.live.heartbeat));
            let is_over = self.facts.grid.counts().iter().all(|(mark, _)| mark.is_end());
            return match latest.map(|seen| &seen.verdict) {
                _ if is_over => format!("the sweep is over: {counts}"),
                Some(Verdict::Died { at }) => format!("the coordinator died at {at}: {counts}; `sweep run` goes on"),
                Some(Verdict::Elsewhere { age }) => {
                    format!("no sign of life for {}: {counts}", clock(*age))
                }
                Some(Verdict::Ended { how, .. }) => format!("stopped ({how}): {counts}; `sweep run` goes on"),
                _ => format!("nobody works on it: {counts}; `sweep run` goes on"),
            };
        }
        let held = self.at_work().iter().find_map(|seen| seen.live.held.clone());
        held.map_or_else(|| "running".to_owned(), |why| format!("paused: {why}"))
    }

    /// `12 done, 1 failed, 36 waiting`.
    pub fn counts_in_words(&self) -> String {
        let counts = self.facts.grid.counts();
        let order = [
            Mark::Done,
            Mark::Collapsed,
            Mark::Stopped,
            Mark::Failed,
            Mark::Cancelled,
            Mark::Running,
            Mark::Paused,
            Mark::Waiting,
        ];
        let said = order.iter().filter_map(|mark| Some(format!("{} {}", counts.get(mark)?, mark.word())));
        let said: Vec<String> = said.collect();
        if said.is_empty() { "no runs".to_owned() } else { said.join(", ") }
    }

    pub fn key(&mut self, key: KeyEvent) -> Act {
        self.message = None;
        let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if is_control => return Act::Quit,
            KeyCode::Char('z') if is_control => return Act::Suspend,
            _ => {}
        }
        match &self.mode {
            Mode::Ask { act, .. } => {
                let act = if matches!(key.code, KeyCode::Char('y' | 'Y')) { act.clone() } else { Act::Nothing };
                self.mode = Mode::Overview;
                act
            }
            Mode::Help => {
                self.mode = Mode::Overview;
                Act::Nothing
            }
            Mode::Log { up } => self.key_in_log(key.code, *up),
            Mode::Overview => self.key_in_overview(key.code),
        }
    }

    fn key_in_log(&mut self, key: KeyCode, up: usize) -> Act {
        let most = self.log.1.len().saturating_sub(1);
        let up = match key {
            KeyCode::Char('q') | KeyCode::Esc | KeyCode::Enter => {
                self.mode = Mode::Overview;
                return Act::Nothing;
            }
            KeyCode::Up | KeyCode::Char('k') => up + 1,
            KeyCode::Down | KeyCode::Char('j') => up.saturating_sub(1),
            KeyCode::PageUp | KeyCode::Char('b') => up + 20,
            KeyCode::PageDown | KeyCode::Char(' ') => up.saturating_sub(20),
            KeyCode::Home | KeyCode::Char('g') => most,
            KeyCode::End | KeyCode::Char('G') => 0,
            _ => up,
        };
        self.mode = Mode::Log { up: up.min(most) };
        Act::Nothing
    }

    fn key_in_overview(&mut self, key: KeyCode) -> Act {
        match key {
            KeyCode::Char('q') | KeyCode::Esc => return Act::Quit,
            KeyCode::Char('?') => self.mode = Mode::Help,
            KeyCode::Tab | KeyCode::BackTab => {
                self.focus = if self.focus == Focus::Grid { Focus::Running } else { Focus::Grid };
            }
            KeyCode::Up | KeyCode::Char('k') => self.shift(-1, 0),
            KeyCode::Down | KeyCode::Char('j') => self.shift(1, 0),
            KeyCode::Left | KeyCode::Char('h') => self.shift(0, -1),
            KeyCode::Right | KeyCode::Char('l') => self.shift(0, 1),
            KeyCode::PageUp => self.shift(-10, 0),
            KeyCode::PageDown => self.shift(10, 0),
            KeyCode::Home | KeyCode::Char('g') => self.shift(isize::MIN / 2, 0),
            KeyCode::End | KeyCode::Char('G') => self.shift(isize::MAX / 2, 0),
            KeyCode::Enter if self.chosen().is_some() => self.mode = Mode::Log { up: 0 },
            KeyCode::Char('c') => self.ask_to_cancel(),
            KeyCode::Char('S') => {
                if self.at_work().is_empty() {
                    self.say("nobody works on this sweep".to_owned());
                } else {
                    let question = "Stop the sweep? Running runs go on to their next checkpoint. (y/n)".to_owned();
                    self.mode = Mode::Ask { question, act: Act::Stop };
                }
            }
            _ => {}
        }
        Act::Nothing
    }

    fn ask_to_cancel(&mut self) {
        let Some(id) = self.chosen() else { return self.say("no run is chosen".to_owned()) };
        if self.at_work().is_empty() {
            return self.say("nobody works on this sweep, so there is nothing to cancel".to_owned());
        }
        match self.facts.grid.get(&id) {
            Some(mark) if mark.is_end() => self.say(format!("run {id:.10} is {} already", mark.word())),
            _ => {
                let question = format!("Cancel run {id:.10}, {}? (y/n)", self.label(&id));
                self.mode = Mode::Ask { question, act: Act::Cancel(id) };
            }
        }
    }

    pub(super) fn label(&self, id: &RunId) -> String {
        self.facts.labels.get(id).cloned().unwrap_or_else(|| id.to_string())
    }

    fn shift(&mut self, down: isize, right: isize) {
        let moved = |at: usize, by: isize, count: usize| at.saturating_add_signed(by).min(count.saturating_sub(1));
        match self.focus {
            Focus::Grid => {
                let (rows, columns) = (self.facts.grid.rows.len(), self.facts.grid.seeds.len());
                self.spot = (moved(self.spot.0, down, rows), moved(self.spot.1, right, columns));
            }
            Focus::Running => self.runner = moved(self.runner, down + right, self.running().len()),
        }
    }
}

/// `5:09`, `1:05:09`.
pub(super) fn clock(seconds: f64) -> String {
    let s = seconds as u64;
    match s / 3600 {
        0 => format!("{}:{:02}", s / 60, s % 60),
        h => format!("{h}:{:02}:{:02}", s / 60 % 60, s % 60),
    }
}
