//! Every outside system over real TLS: whom the functions trust, what they agree on, and what they
//! do where they do not.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use axum::Router;
use axum::body::Body;
use shared::adapters::aws::AwsConfig;
use shared::adapters::genesys::{Genesys, GenesysConfig};
use shared::adapters::http::Http;
use shared::adapters::secrets::{CachedSecret, SecretsManager, StripeSecret};
use shared::adapters::stripe::Stripe;
use shared::adapters::{aws, tls};
use shared::domain::ids::ConversationId;
use shared::domain::link::LinkToken;
use shared::lambda::config;
use shared::ports::{Conversations, Deadline, GetLink, ReadSecret, SecretError, StoreError};
use stand_ins::tls::{Agreed, Authority, Certificate, TlsFront};
use tests::{CONVERSATION, World, order};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::Instant;

/// A file that is gone with the test.
struct TemporaryFile(PathBuf);

impl TemporaryFile {
    fn with(name: &str, text: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("phone-payments-{}-{name}.pem", std::process::id()));
        fs::write(&path, text).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn address(base: &str) -> SocketAddr {
    base.strip_prefix("http://").unwrap().parse().unwrap()
}

fn aws_config(variables: &[(&str, &str)]) -> AwsConfig {
    let own = [
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "AKID"),
        ("AWS_SECRET_ACCESS_KEY", "SECRET"),
    ];
    let lookup = |name: &str| {
        variables
            .iter()
            .chain(&own)
            .find(|(n, _)| *n == name)
            .map(|(_, v)| (*v).to_owned())
    };
    config::aws(lookup).unwrap()
}

/// A world whose create-intent reaches everything through TLS; and the fronts of table, secrets and
/// Stripe.
async fn behind_tls(
    authority: &Authority,
    certificate: Certificate,
    trusted: Option<&str>,
) -> (World, [TlsFront; 3]) {
    let mut world = World::new().await;
    let config = authority.certify(certificate);
    let fronts = [
        TlsFront::start(Arc::clone(&config), address(world.dynamo.endpoint())).await,
        TlsFront::start(
            Arc::clone(&config),
            address(world.secrets_manager.endpoint()),
        )
        .await,
        TlsFront::start(config, address(world.stripe.base())).await,
    ];
    let tls = tls::client_config(trusted).unwrap();
    let [table, secrets, stripe] = &fronts;
    let endpoints = [
        ("AWS_ENDPOINT_URL_DYNAMODB", table.base()),
        ("AWS_ENDPOINT_URL_SECRETS_MANAGER", secrets.base()),
    ];
    let clients = aws::Clients::new(&aws_config(&endpoints), &tls).unwrap();
    let secret = CachedSecret::new(SecretsManager::new(
        clients.secrets_manager,
        "stripe".to_owned(),
    ));
    world.create_intent.store = tests::table_of(clients.dynamodb);
    world.create_intent.stripe = Stripe::new(
        Http::new(&tls).unwrap(),
        stripe.base().to_owned(),
        Arc::new(secret),
        false,
    );
    (world, fronts)
}

#[tokio::test]
async fn a_payment_is_made_over_tls_with_the_post_quantum_key_exchange_and_one_connection_to_each()
{
    let authority = Authority::new("an authority of the deployment");
    let file = TemporaryFile::with("trusted", &authority.pem());
    let (world, fronts) = behind_tls(&authority, Certificate::Own, Some(file.path())).await;
    for n in 0..3 {
        let answer = world.post(&order(&format!("A-{n}"))).await;
        assert_eq!(answer.status, 201, "{:#}", answer.body);
    }
    let agreed = Agreed {
        version: Some(tokio_rustls::rustls::ProtocolVersion::TLSv1_3),
        key_exchange: "X25519MLKEM768".to_owned(),
    };
    // The link is written beside Stripe's answer, and the table's other requests one after another.
    for front in &fronts {
        assert_eq!(front.agreed(), std::slice::from_ref(&agreed));
    }
}

#[tokio::test]
async fn a_server_that_shows_no_certificate_for_its_host_of_a_known_authority_gets_nothing() {
    let authority = Authority::new("an authority of the deployment");
    let stranger = Authority::new("an authority of somebody else's");
    let file = TemporaryFile::with("refused", &authority.pem());
    for (shown_by, certificate, trusted) in [
        (&authority, Certificate::Own, None),
        (&stranger, Certificate::Own, Some(file.path())),
        (&authority, Certificate::OfAnotherHost, Some(file.path())),
        (&authority, Certificate::Expired, Some(file.path())),
    ] {
        let (world, fronts) = behind_tls(shown_by, certificate, trusted).await;
        let answer = world.post(&order("A-1")).await;
        assert_eq!(
            (answer.status, answer.text("code")),
            (503, "store_unavailable"),
            "{certificate:?}"
        );
        let store = world
            .create_intent
            .store
            .link(&LinkToken::from_bits([1; 16]))
            .await
            .unwrap_err();
        assert_eq!(
            store,
            StoreError::Unavailable("no connection".to_owned()),
            "{certificate:?}"
        );
        let tls = tls::client_config(trusted).unwrap();
        let clients =
            aws::Clients::new(&aws_config(&[("AWS_ENDPOINT_URL", fronts[1].base())]), &tls)
                .unwrap();
        let secret = SecretsManager::new(clients.secrets_manager, "stripe".to_owned())
            .read_secret()
            .await;
        assert_eq!(
            secret.unwrap_err(),
            SecretError::Unavailable,
            "{certificate:?}"
        );
        let genesys = GenesysConfig {
            secret_id: "genesys".to_owned(),
            api_base: fronts[2].base().to_owned(),
            login_base: fronts[2].base().to_owned(),
            late_payment_flow_id: None,
        };
        let secret = SecretsManager::new(world.secrets_manager.client(), "genesys".to_owned());
        let genesys = Genesys::new(
            Http::new(&tls).unwrap(),
            genesys,
            Arc::new(CachedSecret::new(secret)),
        );
        let conversation = ConversationId::parse(CONVERSATION).unwrap();
        genesys
            .conversation(&conversation, Deadline::after(Duration::from_secs(2)))
            .await
            .unwrap_err();
        assert!(
            fronts.iter().all(|front| front.agreed().is_empty()),
            "no request was sent"
        );
    }
}

#[test]
fn a_file_of_authorities_that_does_not_read_stops_the_start_and_says_how_to_mend_it() {
    let authority = Authority::new("an authority");
    let pem = authority.pem();
    let not_a_certificate = pem.replace("CERTIFICATE", "PRIVATE KEY");
    let garbled = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (name, text, reason) in [
        ("empty", "", "the file has no certificate"),
        ("key", &not_a_certificate, "the file has no certificate"),
        ("garbled", garbled, "a certificate is no authority's"),
        ("cut", &pem[..pem.len() / 2], "the file is not PEM"),
    ] {
        let file = TemporaryFile::with(name, text);
        let error = tls::client_config(Some(file.path()))
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("EXTRA_CA_CERTS must be the path"),
            "{error}"
        );
        assert!(error.contains(reason), "{name}: {error}");
    }
    let error = tls::client_config(Some("/nowhere/at/all.pem"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("the file is not readable"), "{error}");
    assert!(tls::client_config(Some("")).is_ok(), "empty is unset");
    let two = TemporaryFile::with("two", &format!("{pem}{}", Authority::new("another").pem()));
    assert!(tls::client_config(Some(two.path())).is_ok());
}

/// A listener whose queue is full: nobody takes a connection from it, and the next one is not
/// answered.
async fn silent_listener() -> (String, TcpListener, Vec<TcpStream>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    while let Ok(Ok(stream)) =
        tokio::time::timeout(Duration::from_millis(100), TcpStream::connect(address)).await
    {
        queued.push(stream);
    }
    (format!("http://{address}"), listener, queued)
}

#[tokio::test]
async fn a_connection_that_is_not_made_is_given_up_after_half_a_second_at_aws_and_a_second_elsewhere()
 {
    let (base, _listener, _queued) = silent_listener().await;
    let clients = tests::aws_clients(&base);
    let once = clients
        .dynamodb
        .config()
        .to_builder()
        .retry_config(aws_sdk_dynamodb::config::retry::RetryConfig::disabled());
    let table = tests::table_of(aws_sdk_dynamodb::Client::from_conf(once.build()));
    let began = Instant::now();
    let error = table
        .link(&LinkToken::from_bits([1; 16]))
        .await
        .unwrap_err();
    let took = began.elapsed();
    assert_eq!(error, StoreError::Unavailable("no connection".to_owned()));
    assert!(
        (Duration::from_millis(500)..Duration::from_millis(800)).contains(&took),
        "{took:?}"
    );
    let http = tests::http();
    let began = Instant::now();
    let error = http
        .send(
            http.client().get(&base),
            Deadline::after(Duration::from_secs(5)),
        )
        .await
        .unwrap_err();
    let took = began.elapsed();
    assert_eq!(error, shared::adapters::http::Unanswered::Connect);
    assert!(
        (Duration::from_secs(1)..Duration::from_secs(4)).contains(&took),
        "{took:?}"
    );
}

/// A server whose every answer has that many bytes.
async fn answering(bytes: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let app = Router::new().fallback(move || async move {
        let item = format!(
            "{{\"Item\":{{\"pk\":{{\"S\":\"{}\"}}}}}}",
            "x".repeat(bytes)
        );
        Body::from(item)
    });
    tokio::spawn(async move { axum::serve(listener, app).await });
    base
}

#[tokio::test]
async fn an_answer_of_aws_is_read_up_to_four_mebibytes() {
    let get = async |base: &str| {
        let client = tests::aws_clients(base).dynamodb;
        let patient = client.config().to_builder();
        let patient =
            patient.timeout_config(aws_sdk_dynamodb::config::timeout::TimeoutConfig::disabled());
        let client = aws_sdk_dynamodb::Client::from_conf(patient.build());
        client
            .get_item()
            .table_name("t")
            .key("pk", AttributeValue::S("x".to_owned()))
            .send()
            .await
    };
    let got = get(&answering(3 << 20).await).await.unwrap();
    assert_eq!(got.item.unwrap()["pk"].as_s().unwrap().len(), 3 << 20);
    let error = get(&answering(4 << 20).await).await.unwrap_err();
    assert!(
        matches!(error, aws_sdk_dynamodb::error::SdkError::DispatchFailure(_)),
        "{error:?}"
    );
}

#[tokio::test]
async fn the_start_opens_a_connection_to_stripe_without_a_key_and_nothing_there_fails_it() {
    let world = World::new().await;
    let stripe = |base: &str| -> Stripe<SecretsManager> {
        let secret: CachedSecret<_, StripeSecret> = CachedSecret::new(SecretsManager::new(
            world.secrets_manager.client(),
            "stripe".to_owned(),
        ));
        Stripe::new(tests::http(), base.to_owned(), Arc::new(secret), false)
    };
    let before = world.stripe.requests().len();
    stripe(world.stripe.base()).warm().await;
    let requests = world.stripe.requests();
    assert_eq!(requests.len(), before + 1);
    let warm = requests.last().unwrap();
    assert_eq!(
        (warm.method.as_str(), warm.path.as_str()),
        ("GET", "/healthcheck")
    );
    assert_eq!(warm.header("authorization"), None);
    stripe("http://127.0.0.1:1").warm().await;
    let (silent, _listener, _queued) = silent_listener().await;
    let began = Instant::now();
    stripe(&silent).warm().await;
    assert!(
        began.elapsed() < Duration::from_secs(3),
        "a Stripe that is silent holds the start up for a second"
    );
}
