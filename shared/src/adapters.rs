//! One file per outside system. Nothing else names its client.

pub mod aws;
pub mod dynamodb;
pub mod genesys;
pub mod http;
pub mod os_random;
pub mod secrets_manager;
pub mod stripe;
pub mod tls;
