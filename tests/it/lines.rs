//! Lines to Genesys, Stripe and the table that are never made, break, hang or lead elsewhere.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::BeforeTransmitInterceptorContextMut;
use serde_json::json;
use shared::adapters::dynamodb::Table;
use shared::adapters::genesys::Genesys as GenesysClient;
use shared::adapters::genesys::GenesysConfig;
use shared::adapters::http::{HttpResponse, Transport, Unanswered};
use shared::adapters::secrets::{CachedSecret, SecretsManager};
use shared::domain::ids::ConversationId;
use shared::ports::{Conversations, Deadline, GenesysError, ParticipantId};
use stand_ins::{Fault, Genesys, Match, Reply, Scene};
use tests::GENESYS_CLIENT;
use tests::matches::{conversation, patch, token, workflow};
use tests::{Answer, CONVERSATION, GENESYS_SECRET, Setup, World, http, order};
use tokio::net::TcpListener;

/// A payment that was paid; its last event is not delivered, and Genesys gives a new token for it.
async fn paid(setup: Setup) -> World {
    let world = World::with(setup).await;
    let intent = world.begin("A-1").await;
    world.deliver_all().await;
    world.advance(5);
    world.stripe.pay(&intent, "pm_card_visa").unwrap();
    world.genesys.revoke_tokens();
    world.genesys.clear_requests();
    world
}

async fn deliver(world: &World) -> Answer {
    world.deliver(&world.last_event()).await
}

fn is_told(world: &World) -> bool {
    world
        .genesys
        .attributes(CONVERSATION)
        .get("payment_status")
        .is_some_and(|status| status == "CONFIRMED")
}

fn asked(world: &World, method: &str, path: &str) -> usize {
    let requests = world.genesys.requests();
    requests
        .iter()
        .filter(|request| request.method == method && request.path.starts_with(path))
        .count()
}

#[tokio::test]
async fn a_connection_that_genesys_closes_at_the_first_read_costs_one_retry() {
    for on in [token, conversation] {
        for fault in [
            Fault::Drop { executed: false },
            Fault::Drop { executed: true },
            Fault::Truncate { executed: true },
            Fault::status(500),
            Fault::status(502),
            Fault::status(503),
            Fault::status(504),
        ] {
            let world = paid(Setup::default()).await;
            world.genesys.fault(on(), fault.clone());
            let answer = deliver(&world).await;
            assert_eq!(
                (answer.status, answer.text("outcome")),
                (200, "applied"),
                "{fault:?} on {}",
                on()
            );
            assert!(is_told(&world) && world.genesys.faults_pending() == 0);
        }
    }
}

#[tokio::test]
async fn a_read_that_stays_unanswered_gives_the_turn_back_at_once() {
    for on in [token, conversation] {
        for fault in [
            Fault::Drop { executed: true },
            Fault::Truncate { executed: true },
            Fault::status(504),
        ] {
            let world = paid(Setup::default()).await;
            world.genesys.outage(on(), fault.clone());
            let answer = deliver(&world).await;
            assert_eq!(
                (answer.status, answer.text("outcome")),
                (503, "genesys_not_told"),
                "{fault:?} on {}",
                on()
            );
            world.genesys.clear_faults();
            let again = deliver(&world).await;
            assert_eq!(
                (again.status, again.text("outcome")),
                (200, "repeated"),
                "{fault:?} on {}",
                on()
            );
            assert!(is_told(&world));
        }
    }
}

#[tokio::test]
async fn a_genesys_that_refuses_connections_gives_the_turn_back_at_once() {
    let mut world = paid(Setup::default()).await;
    let address: SocketAddr = world
        .genesys
        .base()
        .strip_prefix("http://")
        .unwrap()
        .parse()
        .unwrap();
    world.genesys.stop().await;
    let began = Instant::now();
    let answer = deliver(&world).await;
    answer.must_be(503, "outcome", "genesys_not_told");
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
    let listener = TcpListener::bind(address).await.unwrap();
    world.genesys = Genesys::start_on(listener, GENESYS_CLIENT, GENESYS_SECRET);
    world
        .genesys
        .open_conversation(CONVERSATION, Scene::inbound());
    assert_eq!(deliver(&world).await.status, 200);
    assert!(is_told(&world));
}

#[tokio::test]
async fn a_read_of_genesys_that_hangs_leaves_time_for_the_rest_and_gives_the_turn_back() {
    for on in [token, conversation] {
        let world = paid(Setup::default()).await;
        world
            .genesys
            .outage(on(), Fault::Silent { executed: false });
        let began = Instant::now();
        let answer = deliver(&world).await;
        assert_eq!(
            (answer.status, answer.text("outcome")),
            (503, "genesys_not_told"),
            "{}",
            on()
        );
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "{:?} on {}",
            began.elapsed(),
            on()
        );
        world.genesys.clear_faults();
        assert_eq!(deliver(&world).await.status, 200, "{}", on());
        assert!(is_told(&world));
    }
}

#[tokio::test]
async fn a_read_of_genesys_that_hangs_once_is_tried_again() {
    let world = paid(Setup::default()).await;
    world
        .genesys
        .fault(conversation(), Fault::Silent { executed: true });
    assert_eq!(deliver(&world).await.status, 200);
    assert!(is_told(&world));
}

/// Whoever sent it cannot call it back, so a newer status must not be sent before it can no longer
/// arrive.
#[tokio::test]
async fn an_update_that_may_still_arrive_is_not_repeated_and_keeps_the_turn() {
    for fault in [
        Fault::Drop { executed: false },
        Fault::Drop { executed: true },
        Fault::Truncate { executed: true },
        Fault::Silent { executed: true },
        Fault::status(502),
        Fault::status(504),
    ] {
        let world = paid(Setup::default()).await;
        world.genesys.fault(patch(), fault.clone());
        let began = Instant::now();
        assert_eq!(
            deliver(&world).await.text("outcome"),
            "genesys_not_told",
            "{fault:?}"
        );
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "{fault:?}: {:?}",
            began.elapsed()
        );
        assert_eq!(asked(&world, "PATCH", "/"), 1, "{fault:?}");
        // Nobody else sends anything meanwhile.
        world.advance(10);
        world.status(CONVERSATION, Some("A-1")).await;
        assert_eq!(asked(&world, "PATCH", "/"), 1, "{fault:?}");
        world.advance(6);
        assert_eq!(deliver(&world).await.status, 200, "{fault:?}");
        assert!(
            is_told(&world) && asked(&world, "PATCH", "/") == 2,
            "{fault:?}"
        );
    }
}

#[tokio::test]
async fn an_update_that_is_over_is_repeated_once_and_keeps_no_turn() {
    for status in [500, 503] {
        let world = paid(Setup::default()).await;
        world.genesys.fault(patch(), Fault::status(status));
        assert_eq!(deliver(&world).await.status, 200, "{status}");
        assert_eq!(asked(&world, "PATCH", "/"), 2, "{status}");

        let world = paid(Setup::default()).await;
        world.genesys.outage(patch(), Fault::status(status));
        assert_eq!(deliver(&world).await.status, 503, "{status}");
        assert_eq!(asked(&world, "PATCH", "/"), 2, "{status}");
        world.genesys.clear_faults();
        assert_eq!(deliver(&world).await.status, 200, "{status}");
    }
}

#[tokio::test]
async fn a_workflow_that_may_have_been_started_is_not_started_again_at_once() {
    for (fault, keeps_the_turn) in [
        (Fault::Drop { executed: true }, true),
        (Fault::Truncate { executed: true }, true),
        (Reply::status(504).executed().into(), true),
        (Reply::status(500).executed().into(), false),
        (Fault::status(503), false),
    ] {
        let setup = Setup {
            late_payment_flow_id: Some("late-payment-flow"),
            ..Setup::default()
        };
        let world = paid(setup).await;
        world.genesys.end_conversation(CONVERSATION);
        world.genesys.fault(workflow(), fault.clone());
        assert_eq!(
            deliver(&world).await.text("outcome"),
            "genesys_not_told",
            "{fault:?}"
        );
        assert_eq!(asked(&world, "POST", "/api/v2/flows"), 1, "{fault:?}");
        world.advance(10);
        world.status(CONVERSATION, Some("A-1")).await;
        let by_then = if keeps_the_turn { 1 } else { 2 };
        assert_eq!(asked(&world, "POST", "/api/v2/flows"), by_then, "{fault:?}");
        world.advance(6);
        assert_eq!(deliver(&world).await.status, 200, "{fault:?}");
        assert_eq!(asked(&world, "POST", "/api/v2/flows"), 2, "{fault:?}");
    }
}

#[tokio::test]
async fn no_word_of_genesys_on_how_long_a_token_lives_stops_the_function() {
    for expires_in in [
        "18446744073709551615",
        "18446744073709551616",
        "9223372036854775807",
        "1e999",
        "-1",
        "-9223372036854775809",
        "0",
        "3600.5",
        "null",
        "\"3600\"",
        "{}",
        "",
    ] {
        let world = paid(Setup::default()).await;
        world.genesys.say_expires_in(expires_in);
        assert_eq!(deliver(&world).await.status, 200, "{expires_in}");
        assert!(is_told(&world), "{expires_in}");
    }
}

#[tokio::test]
async fn no_word_on_how_long_to_wait_stops_or_holds_a_function() {
    for after in [
        "18446744073709551615",
        "18446744073709551616",
        "-1",
        "1e3",
        "1.5",
        "soon",
        "3600",
    ] {
        for status in [429, 503] {
            let world = paid(Setup::default()).await;
            let reply = Reply::status(status).header("Retry-After", after);
            world.genesys.outage(Match::any(), reply.clone());
            let began = Instant::now();
            assert_eq!(
                deliver(&world).await.text("outcome"),
                "genesys_not_told",
                "{status}, {after}"
            );
            assert!(
                began.elapsed() < Duration::from_secs(4),
                "{status}, {after}: {:?}",
                began.elapsed()
            );
            world.stripe.outage(Match::any(), reply);
            let answer = world.post(&order("A-2")).await;
            assert_eq!(answer.status, 503, "{status}, {after}");
        }
    }
}

/// A 307 sends the request again, with its method, its body and, to the same host, its credentials.
#[tokio::test]
async fn a_redirect_is_not_followed_and_whom_it_names_sees_nothing() {
    let elsewhere = Genesys::start(GENESYS_CLIENT, GENESYS_SECRET).await;
    for status in [301, 302, 303, 307, 308] {
        let world = paid(Setup::default()).await;
        let event = world.last_event();
        let to = |path: &str| {
            Reply::status(status).header("Location", &format!("{}{path}", elsewhere.base()))
        };
        for (on, path) in [
            (token(), "/oauth/token".to_owned()),
            (
                conversation(),
                format!("/api/v2/conversations/{CONVERSATION}"),
            ),
            (patch(), "/".to_owned()),
        ] {
            world.genesys.outage(on, to(&path));
            let answer = world.deliver(&event).await;
            assert_eq!(
                (answer.status, answer.text("outcome")),
                (503, "genesys_not_told"),
                "{status} to {path}"
            );
            world.genesys.clear_faults();
        }
        world.stripe.outage(Match::any(), to("/v1/payment_intents"));
        let answer = world.post(&order("A-2")).await;
        assert_eq!(
            (answer.status, answer.text("code")),
            (503, "stripe_unavailable"),
            "{status}"
        );
        world.advance(10);
        world.status(CONVERSATION, Some("A-1")).await;
    }
    assert_eq!(elsewhere.requests(), []);
}

#[tokio::test]
async fn a_client_that_genesys_calls_invalid_with_400_is_read_afresh() {
    for status in [400, 401, 403] {
        let world = paid(Setup::default()).await;
        world
            .genesys
            .set_credentials(GENESYS_CLIENT, "canary0rotated");
        world.put_genesys_secret("canary0rotated");
        let refusal = json!({ "error": "invalid_client", "description": "client not found" });
        world
            .genesys
            .fault(token(), Reply::status(status).body(&refusal.to_string()));
        let reads = world.secrets_manager.reads("genesys");
        assert_eq!(deliver(&world).await.status, 200, "{status}");
        assert_eq!(
            world.secrets_manager.reads("genesys"),
            reads + 1,
            "{status}"
        );
        assert!(is_told(&world), "{status}");
    }
}

#[tokio::test]
async fn a_clock_set_back_by_an_hour_does_not_stop_the_refreshes() {
    let world = World::new().await;
    world.begin("A-1").await;
    world.advance(10);
    world.status(CONVERSATION, Some("A-1")).await;
    world.stripe.clear_requests();
    world.set_back(3600);
    world.status(CONVERSATION, Some("A-1")).await;
    assert_eq!(
        world.stripe.requests().len(),
        1,
        "the refresh that lies ahead counts as past"
    );
}

/// Sends the requests that hold a text to where nobody answers.
#[derive(Debug)]
struct Hang {
    holding: &'static str,
    to: String,
    _listener: TcpListener,
}

impl Intercept for Hang {
    fn name(&self) -> &'static str {
        "Hang"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request_mut();
        let body = String::from_utf8_lossy(request.body().bytes().unwrap_or_default()).into_owned();
        if body.contains(self.holding) {
            request.set_uri(self.to.as_str())?;
        }
        Ok(())
    }
}

/// The world's table, which answers but for the requests that hold this text.
async fn table_that_hangs(world: &World, holding: &'static str) -> Table {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = format!("http://{}/", listener.local_addr().unwrap());
    let hang = Hang {
        holding,
        to,
        _listener: listener,
    };
    let config = world
        .dynamo
        .client()
        .config()
        .to_builder()
        .interceptor(hang)
        .build();
    tests::table_of(aws_sdk_dynamodb::Client::from_conf(config))
}

#[tokio::test]
async fn a_table_that_reads_and_then_hangs_on_the_refresh_gives_the_record_in_time() {
    let mut world = World::new().await;
    world.begin("A-1").await;
    world.advance(10);
    world.status_query.store = table_that_hangs(&world, "refreshed_at").await;
    let answer = world.status(CONVERSATION, Some("A-1")).await;
    answer.must_be(200, "payment_status", "PENDING");
}

#[tokio::test]
async fn a_table_that_hangs_on_the_turn_to_tell_genesys_keeps_nobody_waiting() {
    let mut world = World::new().await;
    let payment = world.post(&order("A-1")).await;
    world.status_query.store = table_that_hangs(&world, "notice_since").await;
    let answer = world.open_link(payment.text("payment_url")).await;
    answer.must_be(200, "state", "open");
    world.advance(10);
    let answer = world.status(CONVERSATION, Some("A-1")).await;
    answer.must_be(200, "payment_status", "PENDING");
}

#[tokio::test]
async fn a_genesys_that_hangs_keeps_neither_the_payer_nor_a_poll_waiting_and_no_turn() {
    for on in [token, conversation] {
        let world = World::new().await;
        let payment = world.post(&order("A-1")).await;
        world
            .genesys
            .outage(on(), Fault::Silent { executed: false });
        let answer = world.open_link(payment.text("payment_url")).await;
        answer.must_be(200, "state", "open");
        world.advance(10);
        let answer = world.status(CONVERSATION, Some("A-1")).await;
        answer.must_be(200, "payment_status", "PENDING");
        world.genesys.clear_faults();
        // The turn is free: the next one tells, though fifteen seconds have not passed.
        assert_eq!(world.deliver(&world.last_event()).await.status, 200);
        world.attribute_must_be("payment_progress", "link_opened");
    }
}

/// The network, but for the first so many connections, which are refused, and the stand-in that
/// comes up after one.
struct Refusing {
    client: reqwest::Client,
    left: Arc<AtomicUsize>,
    then_start: Mutex<Option<SocketAddr>>,
    started: Arc<Mutex<Option<Genesys>>>,
}

impl Transport for Refusing {
    async fn exchange(&self, request: reqwest::Request) -> Result<HttpResponse, Unanswered> {
        let spend = |left: usize| left.checked_sub(1);
        if self
            .left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, spend)
            .is_ok()
        {
            return Err(Unanswered::Connect);
        }
        let answer = self.client.exchange(request).await;
        let address = self
            .then_start
            .lock()
            .unwrap()
            .take_if(|_| matches!(answer, Err(Unanswered::Connect)));
        if let Some(address) = address {
            let genesys = Genesys::start_on(
                TcpListener::bind(address).await.unwrap(),
                GENESYS_CLIENT,
                GENESYS_SECRET,
            );
            genesys.open_conversation(CONVERSATION, Scene::inbound());
            *self.started.lock().unwrap() = Some(genesys);
        }
        answer
    }
}

/// A client of the world's Genesys over such a network.
fn client(world: &World, transport: Refusing) -> GenesysClient<SecretsManager, Refusing> {
    let config = GenesysConfig {
        secret_id: "genesys".to_owned(),
        api_base: world.genesys.base().to_owned(),
        login_base: world.genesys.base().to_owned(),
        late_payment_flow_id: Some("late-payment-flow".to_owned()),
    };
    let secret = SecretsManager::new(world.secrets_manager.client(), "genesys".to_owned());
    GenesysClient::new(
        http().over(transport),
        config,
        Arc::new(CachedSecret::new(secret)),
    )
}

fn refusing(then_start: Option<SocketAddr>) -> Refusing {
    let (left, started, then_start) = (Arc::default(), Arc::default(), Mutex::new(then_start));
    Refusing {
        client: http().client().clone(),
        left,
        then_start,
        started,
    }
}

#[tokio::test]
async fn a_request_that_was_refused_a_connection_is_sent_once_more() {
    let world = World::new().await;
    let transport = refusing(None);
    let left = Arc::clone(&transport.left);
    let genesys = client(&world, transport);
    let id = ConversationId::parse(CONVERSATION).unwrap();
    let customer = world.genesys.conversation_json(CONVERSATION)["participants"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let (customer, attributes) = (
        ParticipantId(customer),
        BTreeMap::from([("payment_status", "PENDING".to_owned())]),
    );
    let deadline = || Deadline::after(Duration::from_secs(8));
    // The token comes first, and is then there for the others.
    for what in ["token", "conversation", "attributes", "workflow"] {
        for refused in [2, 1] {
            world.genesys.clear_requests();
            left.store(refused, Ordering::SeqCst);
            let done = match what {
                "token" | "conversation" => genesys.conversation(&id, deadline()).await.map(|_| ()),
                "attributes" => {
                    genesys
                        .set_attributes(&id, &customer, &attributes, deadline())
                        .await
                }
                _ => genesys
                    .start_late_payment_flow(&attributes, deadline())
                    .await
                    .map(|_| ()),
            };
            let requests = world.genesys.requests().len();
            if refused == 1 {
                assert_eq!(
                    (done, requests),
                    (Ok(()), if what == "token" { 2 } else { 1 }),
                    "{what}"
                );
            } else {
                let error = done.unwrap_err();
                assert_eq!(
                    (&error, requests),
                    (&GenesysError::NoConnection, 0),
                    "{what}"
                );
                assert!(!error.may_still_act(), "{what}");
            }
        }
    }
}

#[tokio::test]
async fn a_genesys_that_comes_up_after_it_refused_a_connection_is_asked_again() {
    let world = World::new().await;
    let address: SocketAddr = world
        .genesys
        .base()
        .strip_prefix("http://")
        .unwrap()
        .parse()
        .unwrap();
    world.genesys.stop().await;
    let transport = refusing(Some(address));
    let started = Arc::clone(&transport.started);
    let genesys = client(&world, transport);
    let id = ConversationId::parse(CONVERSATION).unwrap();
    assert!(
        genesys
            .conversation(&id, Deadline::after(Duration::from_secs(8)))
            .await
            .unwrap()
            .is_some()
    );
    let asked = started.lock().unwrap().as_ref().unwrap().requests().len();
    assert_eq!(asked, 2, "a token and the conversation");
}
