//! `sweep`: arguments in, exit code out.

fn main() -> std::process::ExitCode {
    sweep::cli::main()
}
