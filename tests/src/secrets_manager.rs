//! A Secrets Manager that knows `GetSecretValue`, spoken to by the real SDK.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::timeout::TimeoutConfig;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Router, body::Bytes};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

#[derive(Debug, Default)]
struct Shelf {
    texts: HashMap<String, String>,
    reads: HashMap<String, usize>,
    down: bool,
    silent: bool,
    refusal: Option<String>,
}

/// The stand-in; stops on drop.
#[derive(Debug)]
pub struct SecretsManagerStandIn {
    client: Client,
    endpoint: String,
    shelf: Arc<Mutex<Shelf>>,
    server: JoinHandle<()>,
}

impl SecretsManagerStandIn {
    pub(crate) async fn start() -> Self {
        let shelf = Arc::new(Mutex::new(Shelf::default()));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let routes = Router::new()
            .route("/", post(get_secret_value))
            .with_state(Arc::clone(&shelf));
        let server =
            tokio::spawn(async move { axum::serve(listener, routes).await.expect("a server") });
        let patient = crate::aws_clients(&endpoint)
            .secrets_manager
            .config()
            .to_builder();
        let client = Client::from_conf(patient.timeout_config(TimeoutConfig::disabled()).build());
        Self {
            client,
            endpoint,
            shelf,
            server,
        }
    }

    /// A client of the stand-in.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Where the stand-in listens.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Writes a secret's text.
    pub fn put(&self, id: &str, text: &str) {
        self.shelf
            .lock()
            .unwrap()
            .texts
            .insert(id.to_owned(), text.to_owned());
    }

    /// Takes a secret's value away, as in an empty shell.
    pub fn clear(&self, id: &str) {
        self.shelf.lock().unwrap().texts.remove(id);
    }

    /// Begins or ends an outage.
    pub fn set_down(&self, down: bool) {
        self.shelf.lock().unwrap().down = down;
    }

    /// Begins or ends a time in which every request is taken and none is answered.
    pub fn set_silent(&self, silent: bool) {
        self.shelf.lock().unwrap().silent = silent;
    }

    /// Answers every request with this error code from here on, or as it should.
    pub fn refuse(&self, code: Option<&str>) {
        self.shelf.lock().unwrap().refusal = code.map(str::to_owned);
    }

    /// How often a secret was read.
    pub fn reads(&self, id: &str) -> usize {
        self.shelf
            .lock()
            .unwrap()
            .reads
            .get(id)
            .copied()
            .unwrap_or(0)
    }
}

impl Drop for SecretsManagerStandIn {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn get_secret_value(
    State(shelf): State<Arc<Mutex<Shelf>>>,
    body: Bytes,
) -> (StatusCode, String) {
    let asked: Value = serde_json::from_slice(&body).expect("JSON");
    let id = asked["SecretId"].as_str().expect("a SecretId").to_owned();
    if shelf.lock().unwrap().silent {
        std::future::pending::<()>().await;
    }
    let mut shelf = shelf.lock().unwrap();
    if let Some(code) = &shelf.refusal {
        return (
            StatusCode::BAD_REQUEST,
            json!({ "__type": code, "message": "no" }).to_string(),
        );
    }
    if shelf.down {
        return (
            StatusCode::INTERNAL_SERVER_ERROR,
            json!({ "__type": "InternalServiceError" }).to_string(),
        );
    }
    *shelf.reads.entry(id.clone()).or_default() += 1;
    match shelf.texts.get(&id) {
        Some(text) => (
            StatusCode::OK,
            json!({ "Name": id, "SecretString": text }).to_string(),
        ),
        None => (
            StatusCode::BAD_REQUEST,
            json!({ "__type": "ResourceNotFoundException" }).to_string(),
        ),
    }
}
