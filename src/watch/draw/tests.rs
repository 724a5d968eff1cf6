#![allow(clippy::unwrap_used)]
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::super::app::Act;
use super::super::grid::tests::run;
use super::super::grid::{Grid, Mark};
use super::super::source::Facts;
use super::*;
use crate::plan::{Run, RunId, labels};
use crate::record::live::{Counts, Live, Seen};
use crate::record::process::Process;

/// Three cells by five seeds in all states, two of them running, by a coordinator that began an hour before.
fn facts() -> Facts {
    let mut runs: Vec<(RunId, Run)> = Vec::new();
    for seed in 1..=5 {
        runs.push(run("rte", "vanilla", None, seed));
        runs.push(run("rte", "child-d", Some(0.3), seed));
        runs.push(run("rte", "child-d", Some(0.5), seed));
    }
    let mut grid = Grid::of(&runs);
    let marks = [Mark::Done, Mark::Failed, Mark::Collapsed, Mark::Stopped, Mark::Cancelled, Mark::Paused];
    for ((id, _), mark) in runs.iter().zip(marks.into_iter().chain([Mark::Running, Mark::Running])) {
        grid.set(id, mark);
    }
    let running = |at: usize, step: u32| Running {
        id: runs[at].0.clone(),
        label: runs[at].1.label(),
        attempt: 1,
        since: "2999-01-01T00:00:00Z".into(), // so that its clock stands
        phase: if step > 0 { "train".into() } else { "masks".into() },
        step,
        of: if step > 0 { 120 } else { 0 },
        loss: (step > 0).then_some(0.534),
        examples_per_second: (step > 0).then_some(120.0),
        checkpoint: None,
    };
    let slot = |running| Slot { device: "cpu".into(), device_name: None, run: Some(running), beside: Vec::new() };
    let live = Live {
        process: Process { pid: 4242, host: "box".into(), ..Process::default() },
        sweep: "quickstart".into(),
        shard: None,
        started: "2026-01-01T00:00:00Z".into(),
        heartbeat: "2026-01-01T01:00:00Z".into(),
        counts: Counts { done: 33, total: 15, ..Counts::default() },
        waiting: 7,
        seconds_left: Some(750.0),
        held: None,
        slots: vec![slot(running(6, 40)), slot(running(7, 0))],
        job: None,
        engine: None,
        jobs: Vec::new(),
        ended: None,
    };
    let labels = labels(runs.iter().map(|(id, run)| (id, run)));
    Facts {
        sweep: "quickstart".into(),
        grid,
        labels,
        ends: [(runs[1].0.clone(), "crashed: it burned".to_owned())].into(),
        seen: vec![Seen { live, verdict: Verdict::Running { silent: None } }],
        loads: vec![
            Load {
                label: "cpu".into(),
                hardware: "a processor".into(),
                used: Some((21 << 30) / 10),
                total: Some((76 << 30) / 10),
                utilisation: Some(0.97),
                average: Some(3.1),
                temperature: None,
                others: Vec::new(),
            },
            Load {
                label: "cuda:0".into(),
                hardware: "a card".into(),
                used: Some(41 << 30),
                total: Some(80 << 30),
                utilisation: Some(0.87),
                average: None,
                temperature: Some(61),
                others: Vec::new(),
            },
        ],
    }
}

fn app() -> App {
    let mut app = App::new(facts());
    app.set_log(app.chosen(), vec!["libtorch starts".into(), "a warning of its".into()]);
    app
}

/// The screen as lines of text, ends trimmed.
fn screen(app: &App, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(app, frame)).unwrap();
    let buffer = terminal.backend().buffer();
    let line = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
    (0..height).map(line).collect::<Vec<_>>().join("\n")
}

fn press(app: &mut App, code: KeyCode) -> Act {
    app.key(KeyEvent::new(code, KeyModifiers::NONE))
}

#[track_caller]
fn same(screen: &str, expected: &str) {
    assert_eq!(screen.trim_end(), expected.trim(), "\n{screen}\n");
}

#[test]
fn a_small_terminal_shows_all_that_matters() {
    same(
        &screen(&app(), 60, 20),
        "
quickstart  running  process 4242 on box
━━━━━────────── 5/15, about 12:30 left
33 runs/h  120 ex/s  cpu 97 % load 3.1 2.1/7.6 GiB
 cells by seeds ────────────────────────────────────────────
              1 2 3 4 5
vanilla       D S R · ·
child-d p=0.3 F X R · ·
child-d p=0.5 C P · · ·
· 7 waiting  R 2 running  P 1 paused  D 1 done
C 1 collapsed  S 1 stopped  F 1 failed  X 1 cancelled
 running ───────────────────────────────────────────────────
> rte · vanilla · seed 3
  █████░░░░░░░░░░ 40/120  loss 0.534  120 ex/s  0:00  cpu
  rte · child-d p=0.3 · seed 3
  ░░░░░░░░░░░░░░░ masks  0:00  cpu
 log of bcc42b39f2 · rte · vanilla · seed 3 ────────────────
libtorch starts
a warning of its

q leave  tab, arrows choose  enter log  c cancel  ? help",
    );
}

#[test]
fn a_wide_one_shows_runs_beside_the_grid() {
    same(
        &screen(&app(), 120, 16),
        "
quickstart  running  process 4242 on box
━━━━━━━━━━──────────────────── 5/15, about 12:30 left
33 runs/h  120 ex/s  cpu 97 % load 3.1 2.1/7.6 GiB  cuda:0 87 % 41/80 GiB 61 °C
 cells by seeds ────────────────────────────────── running ─────────────────────────────────────────────────────────────
              1 2 3 4 5                           > rte · vanilla · seed 3
vanilla       D S R · ·                             █████░░░░░░░░░░░░ 40/120  loss 0.534  120 ex/s  0:00  cpu
child-d p=0.3 F X R · ·                             rte · child-d p=0.3 · seed 3
child-d p=0.5 C P · · ·                             ░░░░░░░░░░░░░░░░░ masks  0:00  cpu
· 7 waiting  R 2 running  P 1 paused  D 1 done     log of bcc42b39f2 · rte · vanilla · seed 3 ──────────────────────────
C 1 collapsed  S 1 stopped  F 1 failed            libtorch starts
X 1 cancelled                                     a warning of its




q leave  tab, arrows choose  enter log  c cancel  ? help",
    );
}

#[test]
fn nothing_panics_at_any_size_and_any_state() {
    let mut many = facts();
    let runs: Vec<(RunId, Run)> =
        (0..4000).map(|n| run("rte", "a-mode-of-a-rather-long-name", Some(f64::from(n / 40)), n as u64 % 40)).collect();
    many.grid = Grid::of(&runs);
    let empty = Facts { grid: Grid::of(&[]), seen: Vec::new(), ..facts() };
    for facts in [facts(), many, empty] {
        for keys in ["", "\t", "\tGllll", "\t\n", "?", "S", "c"] {
            let mut app = App::new(facts.clone());
            for key in keys.chars() {
                press(
                    &mut app,
                    match key {
                        '\t' => KeyCode::Tab,
                        '\n' => KeyCode::Enter,
                        other => KeyCode::Char(other),
                    },
                );
            }
            app.set_log(app.chosen(), vec!["x".repeat(500); 300]);
            for (width, height) in [(0, 0), (1, 1), (10, 5), (30, 8), (31, 9), (60, 20), (110, 8), (200, 60)] {
                screen(&app, width, height);
            }
        }
    }
    assert!(screen(&app(), 29, 5).starts_with("quickstart: 1 done, 1"));
}

#[test]
fn a_grid_that_does_not_fit_scrolls_with_what_is_chosen() {
    let mut facts = facts();
    let runs: Vec<(RunId, Run)> =
        (0..2000).map(|n| run("rte", "child-d", Some(f64::from(n / 50)), n as u64 % 50 + 1)).collect();
    facts.grid = Grid::of(&runs);
    let mut app = App::new(facts);
    press(&mut app, KeyCode::Tab);
    press(&mut app, KeyCode::Char('G'));
    for _ in 0..60 {
        press(&mut app, KeyCode::Right);
    }
    let text = screen(&app, 60, 20);
    let last = text.lines().find(|line| line.starts_with("p=39.0")).expect(&text);
    assert!(last.ends_with("·<") && text.contains("–40 of 40 by seeds") && text.contains("–50 of 50"), "{text}");
}

#[test]
fn keys_ask_before_they_end_anything() {
    let mut app = app();
    let running = app.chosen().unwrap();
    assert_eq!(press(&mut app, KeyCode::Char('c')), Act::Nothing);
    assert!(screen(&app, 120, 16).contains(&format!("Cancel run {running:.10}, rte")));
    assert_eq!(press(&mut app, KeyCode::Char('n')), Act::Nothing);
    press(&mut app, KeyCode::Char('c'));
    assert_eq!(press(&mut app, KeyCode::Char('y')), Act::Cancel(running));
    press(&mut app, KeyCode::Char('S'));
    assert_eq!(press(&mut app, KeyCode::Char('y')), Act::Stop);
    // A run that has ended cannot be cancelled.
    press(&mut app, KeyCode::Tab);
    assert_eq!(press(&mut app, KeyCode::Char('c')), Act::Nothing);
    assert!(screen(&app, 120, 16).contains("is done already"));
    assert_eq!(app.key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)), Act::Quit);
    assert_eq!(press(&mut app, KeyCode::Char('q')), Act::Quit);
}

#[test]
fn a_log_is_scrolled_through_and_left() {
    let mut app = app();
    press(&mut app, KeyCode::Enter);
    app.set_log(app.chosen(), (0..100).map(|n| format!("line {n}")).collect());
    assert!(screen(&app, 60, 20).contains("line 99") && app.wanted_lines() > 1000);
    press(&mut app, KeyCode::Char('g'));
    assert!(screen(&app, 60, 20).contains("line 0") && !screen(&app, 60, 20).contains("line 99"));
    press(&mut app, KeyCode::Esc);
    assert!(screen(&app, 60, 20).contains("cells"));
}

#[test]
fn what_is_chosen_stays_chosen_when_runs_end() {
    let mut app = app();
    press(&mut app, KeyCode::Down);
    let second = app.chosen();
    let mut later = facts();
    later.seen[0].live.slots[0].run = None;
    app.update(later);
    assert_eq!(app.chosen(), second);
}

#[test]
fn an_end_is_said_as_what_it_is() {
    let mut facts = facts();
    facts.seen[0].verdict = Verdict::Died { at: "2026-01-01T01:00:00Z".into() };
    let text = screen(&App::new(facts.clone()), 140, 16);
    assert!(text.contains("the coordinator died at 2026-01-01T01:00:00Z") && text.contains("nothing runs"), "{text}");
    facts.seen[0].verdict = Verdict::Ended { how: "stopped on request".into(), at: String::new() };
    assert!(App::new(facts.clone()).state().starts_with("stopped (stopped on request): 1 done"));
    let ids: Vec<RunId> = facts.grid.ids().cloned().collect();
    ids.iter().for_each(|id| facts.grid.set(id, Mark::Done));
    assert_eq!(App::new(facts).state(), "the sweep is over: 15 done");
}
