//! Stripe and Genesys Cloud as two small HTTP servers with state, for tests and the local stack.
//!
//! Each one listens on a real socket, so that the code under test runs its own HTTP client,
//! time-outs and connection handling included. A test then looks at what really happened behind the
//! answers: which intents exist, which money moved, which attributes were written. Faults and gates
//! are scripted per request, so no test needs to sleep.
//!
//! ```no_run
//! # async fn example() {
//! use stand_ins::{Fault, Genesys, Match, Scene, Stripe};
//!
//! let stripe = Stripe::start("sk_test_example", "whsec_example").await;
//! let genesys = Genesys::start("client", "secret").await;
//! let customer = genesys.open_conversation("6a1c0d2e-0000-4000-8000-000000000001", Scene::inbound());
//! stripe.fault(Match::post("/v1/payment_intents"), Fault::Silent { executed: true });
//! # let _ = customer;
//! # }
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test support: a broken stand-in should stop the test at once"
)]

mod clock;
mod conditions;
pub mod faults;
pub mod genesys;
mod ids;
pub mod program;
mod recorder;
mod server;
pub mod stripe;
pub mod tls;

pub use faults::{Fault, Gate, Match, Reply, Stage};
pub use genesys::{Genesys, Participant, Scene};
pub use recorder::Recorded;
pub use server::Carried;
pub use stripe::{Outcome, Stripe};
