//! Phone payments: take a Stripe payment inside a Genesys Cloud phone call without a card digit
//! ever entering Genesys or this software.
//!
//! From the top down: [`lambda`] is the functions' own edge; [`usecases`] do the work and speak to
//! the traits of [`ports`]; [`adapters`] implement those, each for one outside system; [`domain`]
//! is below all and knows nothing of AWS, HTTP or the time of day.

pub mod adapters;
pub mod domain;
pub mod lambda;
pub mod ports;
pub mod usecases;
