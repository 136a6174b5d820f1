//! `cargo xtask cluster`: the ground in the background. `up` starts a process that holds it (`hold`) and leaves what it
//! knows in `target/cluster`, where the other commands read it (`state`).

mod down;
mod hold;
mod logs;
pub(crate) mod state;
mod status;
mod up;

use crate::Outcome;

/// What can be done with the cluster.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Start it and wait until it is ready
    Up(up::Arguments),
    /// Show each part: process, address, healthy or not
    Status,
    /// Show the log of a part; without a name, of the cluster as a whole
    Logs(logs::Arguments),
    /// End it: every process, every pod
    Down,
    /// Hold the cluster until SIGTERM: what `up` starts in the background
    #[command(hide = true)]
    Hold(up::Arguments),
}

/// Runs one command.
pub async fn run(command: Command) -> Outcome {
    match command {
        Command::Up(arguments) => up::run(&arguments).await,
        Command::Status => status::run().await,
        Command::Logs(arguments) => logs::run(&arguments),
        Command::Down => down::run().await,
        Command::Hold(arguments) => hold::run(&arguments).await,
    }
}
