//! Child processes that end with their parent, whatever kills it.
//!
//! `PR_SET_PDEATHSIG` fires when the *thread* that spawned the child ends, not the process: a child spawned from a
//! worker of a runtime's pool can be killed while its parent lives. So all children come from one thread that lives as
//! long as its [`Nursery`].

use std::ffi::OsStr;
use std::io;
use std::sync::mpsc;
use std::thread;

use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// The thread that children come from. Dropping it ends the children.
#[derive(Clone)]
pub struct Nursery {
    requests: mpsc::Sender<Request>,
}

struct Request {
    command: Command,
    reply: oneshot::Sender<io::Result<Child>>,
}

impl Nursery {
    /// Starts the thread. Its children are watched by the runtime of the caller.
    ///
    /// # Errors
    /// The system refuses the thread.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start() -> io::Result<Self> {
        let runtime = Handle::current();
        let (requests, inbox) = mpsc::channel::<Request>();
        thread::Builder::new().name("nursery".to_owned()).spawn(move || {
            let _entered = runtime.enter();
            for mut request in inbox {
                // A caller that is gone drops the child, which `kill_on_drop` ends.
                let _ = request.reply.send(request.command.spawn());
            }
        })?;
        Ok(Self { requests })
    }

    /// Spawns `command`, made by [`tied`], from the thread.
    ///
    /// # Errors
    /// The command can't be spawned.
    pub async fn spawn(&self, mut command: Command) -> io::Result<Child> {
        command.kill_on_drop(true);
        let (reply, child) = oneshot::channel();
        let gone = || io::Error::other("the thread that spawns children has ended");
        self.requests.send(Request { command, reply }).map_err(|_| gone())?;
        child.await.map_err(|_| gone())?
    }
}

/// A command that gets SIGKILL when the thread that spawns it ends (util-linux `setpriv`).
pub fn tied(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}
