//! What the functions do, one file per use case. They speak to [`crate::ports`] alone.

pub mod cancel;
pub mod create;
pub mod ctx;
pub mod end;
mod ensure_intent;
pub mod notify;
pub mod pay_link;
pub mod query;
pub mod settle;
