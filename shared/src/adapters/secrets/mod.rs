//! AWS Secrets Manager, and the two secrets that are kept there. Their text is in no Debug and no
//! error.

mod cache;
mod genesys;
mod manager;
mod secret;
mod stripe;

pub use cache::CachedSecret;
pub use genesys::GenesysSecret;
pub use manager::SecretsManager;
pub use secret::Secret;
pub use stripe::StripeSecret;
