//! One folder or file per outside system. Nothing else names its client.

pub mod aws;
pub mod dynamodb;
pub mod genesys;
pub mod http;
pub mod secrets;
pub mod stripe;
pub mod system;
pub mod tls;
