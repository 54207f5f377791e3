//! What a payment is and how it moves. Free of AWS, HTTP and clocks.

pub mod card_guard;
pub mod currencies;
pub mod ending;
pub mod ids;
pub mod link;
pub mod money;
pub mod notice;
pub mod observation;
pub mod payment;
pub mod policy;
mod radix;
pub mod secret_guard;
pub mod speech;
pub mod time;
