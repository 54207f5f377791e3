//! Nothing secret gets out. Canaries go in wherever they can, every path is taken, and then all
//! that was logged, counted, answered and stored is searched for them.

mod broken;
mod create;
mod debug;
mod run;
mod search;
mod status;
mod webhook;

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::time::Duration;

use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::types::AttributeValue;
use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use lambda_http::{Body, Response};
use serde_json::{Value, json};
use shared::adapters::aws::Clients;
use shared::adapters::dynamodb::Table;
use shared::adapters::secrets::{GenesysSecret, Secret, SecretsManager, StripeSecret};
use shared::adapters::stripe::wire::parse_intent;
use shared::adapters::tls::client_config;
use shared::domain::card_guard::in_identifier;
use shared::domain::ending::MAX_DECLINES;
use shared::domain::ids::PaymentMethodId;
use shared::domain::link::{LinkToken, NewLink, Placement};
use shared::domain::secret_guard::holds_secret;
use shared::lambda::config;
use shared::lambda::problem::ProblemCode;
use shared::lambda::reply::{Exposed, Reply as FlowReply};
use shared::ports::{Clock, Deadline, FetchIntent, Lookup};
use shared::usecases::create::PaymentRequest;
use shared::usecases::ctx::Ctx;
use shared::usecases::pay_link::{OpenSession, Session};
use stand_ins::{Fault, Match, Outcome, Reply, Stage};
use tests::GENESYS_CLIENT;
use tests::matches::{confirm, conversation, create, fetch, patch, token, workflow};
use tests::order_with as with;
use tests::{
    CONVERSATION, START, Setup, World, http, order, page_event, request, rest_event, session_event,
    url_event,
};
use tests::{payment_uid, root};
use tokio::net::TcpListener;

use self::broken::*;
use self::run::*;
use self::search::*;

/// Shaped like the real ones, letters of both cases included.
const KEY: &str = "sk_test_51QmCanaryKeyaB3dE6gH9jK2mN5pQ8";
const WEBHOOK: &str = concat!("whsec_", "CanaryHookcD4fG7hJ1kL5nP8qR2sT6v");
const GENESYS: &str = "CanaryOauthSecreteF5hJ8kL2nP6qR9sT3v";
const ACCESS_TOKEN: &str = "CanaryAccessTokengH6jK9lM3nP7qR1sT5vW8x";
const TOKEN: &str = "pm_1QmCanaryTokenhJ7kL1mN4pQ8rS2tV6wX9y";
const DECLINED_TOKEN: &str = "pm_1QmCanaryDeclinekL8mN2pQ5rS9tV3wX7yZ1";
const UNKNOWN_TOKEN: &str = "pm_1QmCanaryUnknownmN9pQ3rS6tV1wX4yZ8aB2";
const CLIENT_SECRET: &str = "pi_3QmEcho_secret_CanaryIntentpQ1rS4tV8wX2yZ6a";
const API_KEY: &str = "CanaryGatewayKeyqR2sT5vW9xY3zA7bC1dE";
const LINK: &str = "4CanaryLinkT0kenZyXw9v";
const CARD: &str = "4539578763621486";
