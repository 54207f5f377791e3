//! The Genesys Cloud stand-in as a program, for the local stack.
//!
//! `GENESYS_CLIENT_ID`, `GENESYS_CLIENT_SECRET`, optionally `BIND` and `PORT`.

use std::process::ExitCode;

use stand_ins::Genesys;
use stand_ins::program::{announce_and_wait, exit, listen, required};

#[tokio::main]
async fn main() -> ExitCode {
    exit(run().await)
}

async fn run() -> Result<(), String> {
    let client_id = required("GENESYS_CLIENT_ID")?;
    let client_secret = required("GENESYS_CLIENT_SECRET")?;
    let genesys = Genesys::start_on(listen().await?, &client_id, &client_secret);
    announce_and_wait(genesys.base()).await?;
    genesys.stop().await;
    Ok(())
}
