//! `sweep watch`: the full-screen view of a sweep.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use signal_hook::consts::{SIGHUP, SIGTERM};

use super::recorded::Recorded;
use super::workspace::results_root;
use super::{Exit, Places, Refusal, cancel, print};
use crate::record::control::Request;
use crate::record::store::Store;
use crate::watch::{Act, App, Source, draw, last_lines};

#[derive(clap::Args)]
pub struct Arguments {
    /// The sweep's file or name [default: the one that is running, else the last one that was]
    sweep: Option<PathBuf>,
    #[command(flatten)]
    places: Places,
}

/// How often files are looked at.
const LOOK: Duration = Duration::from_millis(500);
/// How long a key is waited for.
const BEAT: Duration = Duration::from_millis(100);
/// How long the screen stands still for an answer.
const PATIENCE: Duration = Duration::from_secs(4);

pub fn main(arguments: &Arguments) -> Result<Exit> {
    if !(io::stdout().is_terminal() && io::stdin().is_terminal()) {
        let say = "`sweep watch` draws on a terminal, and this is none; `sweep status SWEEP` says the same in lines";
        return Err(Refusal(say.to_owned()).into());
    }
    let (results, profile) = (arguments.places.results.as_deref(), arguments.places.profile.as_deref());
    let recorded = match &arguments.sweep {
        Some(sweep) => Recorded::open(sweep, results, profile)?,
        None => {
            let store = Store::new(results_root(&arguments.places, None));
            Recorded::open(&PathBuf::from(latest(&store)?), results, profile)?
        }
    };
    let mut source = Source::new(recorded.store, recorded.manifest)?;
    let mut app = App::new(source.facts().clone());
    // A hang-up ends the program at once, since there is no screen to give back.
    let is_over = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register_conditional_shutdown(SIGTERM, 128 + SIGTERM, is_over.clone())?;
    signal_hook::flag::register(SIGTERM, is_over.clone())?;
    // From here on the screen is ours; a panic gives it back before it says what it is.
    let mut terminal = ratatui::try_init()?;
    let outcome = play(&mut terminal, &mut source, &mut app, &is_over);
    if is_gone_within(Duration::ZERO) {
        // Whatever is said from here on fails.
        std::process::exit(128 + SIGHUP);
    }
    ratatui::restore();
    outcome?;
    print(&format!("{}: {}", source.facts().sweep, app.state()))?;
    Ok(Exit::Done)
}

fn play(terminal: &mut DefaultTerminal, source: &mut Source, app: &mut App, is_over: &AtomicBool) -> Result<()> {
    let mut looked = Instant::now();
    let mut shown = None;
    loop {
        if looked.elapsed() >= LOOK {
            source.look()?;
            app.update(source.facts().clone());
            looked = Instant::now();
            shown = None;
        }
        let chosen = app.chosen();
        let wanted = (chosen.clone(), app.wanted_lines());
        if shown.as_ref() != Some(&wanted) {
            let path = chosen.as_ref().map(|id| source.store().present_folder(id).join("log.txt"));
            app.set_log(chosen, path.map(|path| last_lines(&path, app.wanted_lines())).unwrap_or_default());
            shown = Some(wanted);
        }
        terminal.draw(|frame| draw(app, frame))?;
        if is_over.load(Ordering::Relaxed) {
            return Ok(());
        }
        if is_gone_within(BEAT) {
            return Ok(());
        }
        // A new size comes by a signal, without input.
        if !event::poll(Duration::ZERO)? {
            continue;
        }
        let Event::Key(key) = event::read()? else { continue };
        if key.kind == KeyEventKind::Release {
            continue;
        }
        match app.key(key) {
            Act::Nothing => {}
            Act::Quit => return Ok(()),
            Act::Suspend => {
                ratatui::restore();
                signal_hook::low_level::raise(signal_hook::consts::SIGSTOP)?;
                *terminal = ratatui::try_init()?;
            }
            Act::Cancel(id) => {
                app.say(format!("asking for the end of run {id:.10}"));
                terminal.draw(|frame| draw(app, frame))?;
                let said = asked(source, &Request::Cancel(id.clone()));
                app.say(format!("run {id:.10}: {said}"));
            }
            Act::Stop => app.say(asked(source, &Request::Stop)),
        }
    }
}

/// Waits for input, and tells whether the terminal was closed instead: to ask crossterm for an event then would never
/// end, at full speed.
fn is_gone_within(span: Duration) -> bool {
    let mut watched = libc::pollfd { fd: libc::STDIN_FILENO, events: libc::POLLIN, revents: 0 };
    // SAFETY: one descriptor, which lives as long as the call.
    let found = unsafe { libc::poll(&mut watched, 1, span.as_millis() as libc::c_int) };
    found > 0 && watched.revents & (libc::POLLHUP | libc::POLLERR | libc::POLLNVAL) != 0
}

/// Asks the coordinators, and says what they answer.
fn asked(source: &Source, request: &Request) -> String {
    match cancel::ask(source.store(), &source.facts().sweep, request, PATIENCE) {
        Ok(answers) if answers.is_empty() => "nobody works on this sweep".to_owned(),
        Ok(answers) => answers.into_iter().map(|answer| answer.say).collect::<Vec<_>>().join("; "),
        Err(error) => format!("{error:#}"),
    }
}

/// The sweep that is running, else the one that ran last.
///
/// # Errors
/// There is none.
fn latest(store: &Store) -> Result<String> {
    if let Some(holder) = store.holders().into_iter().find(|holder| store.sweep_folder(&holder.sweep).is_dir()) {
        return Ok(holder.sweep);
    }
    let touched = |name: &String| {
        let files = ["live.json", "events.jsonl", "manifest.json"].map(|file| store.sweep_folder(name).join(file));
        files.iter().filter_map(|file| file.metadata().ok()?.modified().ok()).max()
    };
    let found = store.sweeps()?.into_iter().max_by_key(touched);
    found.ok_or_else(|| {
        Refusal(format!("no sweep is recorded in {}; `sweep run FILE` starts one", store.root().display())).into()
    })
}
