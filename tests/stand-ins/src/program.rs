//! What the two binaries have in common: environment, first line, clean stop.

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// A required environment variable.
///
/// # Errors
///
/// Names the variable when it is missing or empty.
pub fn required(name: &str) -> Result<String, String> {
    optional(name).ok_or_else(|| format!("environment variable {name} is missing or empty"))
}

/// An environment variable that may be missing; empty counts as missing.
pub fn optional(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// Listens on `BIND` (default 127.0.0.1) and `PORT` (default 0: any that is free).
///
/// # Errors
///
/// Says which address could not be had and why.
pub async fn listen() -> Result<TcpListener, String> {
    let bind = optional("BIND").unwrap_or_else(|| "127.0.0.1".to_owned());
    let port = optional("PORT").unwrap_or_else(|| "0".to_owned());
    let number: u16 = port
        .parse()
        .map_err(|_| format!("PORT is {port:?}, want 0 to 65535"))?;
    let listening = TcpListener::bind((bind.as_str(), number)).await;
    listening.map_err(|error| format!("cannot listen on {bind}:{number}: {error}"))
}

/// Tells on stdout where the stand-in is to be reached, then waits for SIGTERM or ctrl-c.
///
/// # Errors
///
/// When stdout is closed or signals cannot be caught.
pub async fn announce_and_wait(base: &str) -> Result<(), String> {
    // Caught before the announcement: whoever has read it may stop the program at once.
    let failed = |error: io::Error| format!("cannot catch signals: {error}");
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut stdout = io::stdout();
    writeln!(stdout, "listening on {base}")
        .and_then(|()| stdout.flush())
        .map_err(|error| format!("cannot write to stdout: {error}"))?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// The exit code, with the reason on stderr when it is not success.
pub fn exit(result: Result<(), String>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            // Nothing better is left to do when stderr is closed too.
            let _ = writeln!(io::stderr(), "{reason}");
            ExitCode::from(2)
        }
    }
}
