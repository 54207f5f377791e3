//! Phone payments: take a Stripe payment inside a Genesys Cloud phone call without a card digit
//! ever entering Genesys or this software.
//!
//! Read upwards: the domain ([`money`], [`ids`], [`link`], [`payment`], [`conversation`],
//! [`card_guard`], [`secret_guard`]) knows nothing of AWS, HTTP or the time of day; the use cases
//! ([`create`], [`cancel`], [`pay_link`], [`settle`], [`notify`], [`query`]) speak to the traits of
//! [`ports`]; the [`adapters`] speak to one outside system each; [`entry`], [`config`], [`api`],
//! [`fields`] and [`telemetry`] are the functions' own edges.

pub mod adapters;
pub mod api;
pub mod cancel;
pub mod card_guard;
pub mod config;
pub mod conversation;
pub mod create;
pub mod entry;
pub mod fields;
pub mod ids;
pub mod link;
pub mod money;
pub mod notify;
pub mod pay_link;
pub mod payment;
pub mod ports;
pub mod query;
pub mod secret_guard;
pub mod secrets;
pub mod settle;
pub mod signature;
pub mod stripe_object;
pub mod telemetry;
pub mod time;
