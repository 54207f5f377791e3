//! The payer's side: the page, and the session that lets it pay.

pub mod page;
pub mod session;
