//! What the use cases ask of the outside, one trait per privilege: the bounds of a use case are its
//! IAM statement. One file per outside system.

mod environment;
mod genesys;
mod store;
mod stripe;
pub mod telemetry;

pub use environment::*;
pub use genesys::*;
pub use store::*;
pub use stripe::*;
