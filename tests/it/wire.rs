//! What the store says to DynamoDB on the wire, and what it makes of answers that the engine in
//! process never gives.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::Client;
use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::{Value, json};
use shared::adapters::dynamodb::Table;
use shared::domain::ids::IntentId;
use shared::domain::money::{Currency, Money};
use shared::domain::observation::{AsOf, Intent, Observation, Source, StripeStatus, Verdict};
use shared::domain::payment::{Payment, PaymentStatus, Terms};
use shared::domain::time::UnixMillis;
use shared::ports::{Beside, PutPayment, Saved, StoreError, TransactPayment, UpdatePayment};
use stand_ins::Stage;
use tests::{CONVERSATION, START, Setup, World, order, payment_key, payment_uid};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

const NOW: UnixMillis = UnixMillis(START * 1000);

#[derive(Default)]
struct Tape {
    /// Operation and body of each request, in order.
    requests: Vec<(String, Value)>,
    /// What the next request of an operation is refused with.
    refusals: Vec<(&'static str, Value)>,
}

/// A way to the engine that writes down what passes, and refuses on demand. Stops on drop.
pub(crate) struct Wire {
    tape: Arc<Mutex<Tape>>,
    table: Table,
    server: JoinHandle<()>,
}

impl Wire {
    async fn to(world: &World) -> Self {
        let tape = Arc::new(Mutex::new(Tape::default()));
        let (engine, http, shared) = (
            world.dynamo.endpoint().to_owned(),
            reqwest::Client::new(),
            Arc::clone(&tape),
        );
        let pass = move |headers: HeaderMap, body: Bytes| async move {
            let target = headers["x-amz-target"].to_str().unwrap().to_owned();
            let operation = target.rsplit('.').next().unwrap().to_owned();
            let refusal = {
                let mut tape = shared.lock().unwrap();
                tape.requests
                    .push((operation.clone(), serde_json::from_slice(&body).unwrap()));
                let next = tape
                    .refusals
                    .iter()
                    .position(|(refused, _)| *refused == operation);
                next.map(|at| tape.refusals.remove(at).1)
            };
            if let Some(refusal) = refusal {
                return (StatusCode::BAD_REQUEST, Bytes::from(refusal.to_string()));
            }
            let mut forward = http.post(engine).body(body);
            for name in [
                "content-type",
                "x-amz-target",
                "x-amz-date",
                "authorization",
            ] {
                forward = forward.header(name, headers[name].to_str().unwrap());
            }
            let answer = forward.send().await.unwrap();
            let status = StatusCode::from_u16(answer.status().as_u16()).unwrap();
            (status, answer.bytes().await.unwrap())
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            axum::serve(listener, Router::new().route("/", post(pass)))
                .await
                .unwrap()
        });
        let config = world
            .dynamo
            .client()
            .config()
            .to_builder()
            .endpoint_url(endpoint)
            .build();
        let table = tests::table_of(Client::from_conf(config));
        Self {
            tape,
            table,
            server,
        }
    }

    /// Refuses the next request of an operation as DynamoDB words it.
    fn refuse(&self, operation: &'static str, exception: &str, reasons: &[&str]) {
        let mut body = json!({ "__type": format!("com.amazonaws.dynamodb.v20120810#{exception}"), "message": "no" });
        if !reasons.is_empty() {
            body["CancellationReasons"] =
                reasons.iter().map(|code| json!({ "Code": code })).collect();
        }
        self.tape.lock().unwrap().refusals.push((operation, body));
    }

    pub(crate) fn requests(&self) -> Vec<(String, Value)> {
        self.tape.lock().unwrap().requests.clone()
    }

    fn count(&self, operation: &str) -> usize {
        self.requests()
            .iter()
            .filter(|(name, _)| name == operation)
            .count()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.server.abort();
        if !std::thread::panicking() {
            let unused = &self.tape.lock().unwrap().refusals;
            assert!(unused.is_empty(), "never asked for: {unused:?}");
        }
    }
}

/// A world in which each function reaches the table by a wire of its own.
pub(crate) async fn wired() -> (World, [Wire; 3]) {
    wired_with(Setup::default()).await
}

async fn wired_with(setup: Setup) -> (World, [Wire; 3]) {
    let mut world = World::with(setup).await;
    let wires = [
        Wire::to(&world).await,
        Wire::to(&world).await,
        Wire::to(&world).await,
    ];
    let [create_intent, stripe_webhook, status_query] = &wires;
    world.create_intent.store = create_intent.table.clone();
    world.stripe_webhook.store = stripe_webhook.table.clone();
    world.status_query.store = status_query.table.clone();
    (world, wires)
}

/// Everything that the functions do with the table: payments that are made, asked for, opened, paid
/// and canceled, and two whose creator dies once Stripe has acted, one finished by its webhook and
/// one by a query.
async fn play(world: World) -> Arc<World> {
    let link = world
        .post(&order("A-1"))
        .await
        .text("payment_url")
        .to_owned();
    assert_eq!(world.post(&order("A-1")).await.status, 200);
    assert_eq!(world.open_link(&link).await.text("state"), "open");
    world.advance(1);
    world.begin("A-2").await;
    assert_eq!(world.cancel("A-2").await.text("payment_status"), "CANCELED");
    world.advance(11);
    assert_eq!(
        world.status(CONVERSATION, None).await.text("order_id"),
        "A-2"
    );
    world
        .order_must_be("A-1", "payment_status", "PENDING")
        .await;
    let world = Arc::new(world);
    world
        .crash_while_creating(Stage::Answer, order("A-3"))
        .await;
    world.deliver_all().await;
    world
        .crash_while_creating(Stage::Answer, order("A-4"))
        .await;
    world.advance(11);
    world
        .order_must_be("A-4", "payment_status", "PENDING")
        .await;
    world
}

/// The steps of each use case at the table, then at Stripe. `tests/model/steps.rs` takes the same
/// ones, so a step that changes here must change there.
#[tokio::test]
async fn the_use_cases_take_the_steps_that_the_model_knows() {
    let (world, wires) = wired_with(Setup {
        pay_link_base: "",
        ..Setup::default()
    })
    .await;
    world.dynamo.put_settings("merchant").await;
    for wire in &wires {
        wire.table.warm().await;
        wire.tape.lock().unwrap().requests.clear();
    }
    let [create, webhook, status] = &wires;
    let mut seen = 0;
    let mut taken = |wire: &Wire| {
        let requests = std::mem::take(&mut wire.tape.lock().unwrap().requests);
        let mut steps: Vec<String> = requests.into_iter().map(|(name, _)| name).collect();
        for request in world.stripe.requests().iter().skip(seen) {
            let (_, what) = request.path.rsplit_once('/').unwrap();
            let what = if what.starts_with("pi_") {
                "intent"
            } else {
                what
            };
            steps.push(format!("{} {what}", request.method));
            seen += 1;
        }
        steps.join(", ")
    };
    let mut steps = Vec::new();
    world.begin("A-1").await;
    steps.push(("POST", taken(create)));
    world.post(&order("A-1")).await;
    steps.push(("POST once more", taken(create)));
    world.post_token("A-1", "pm_card_visa").await;
    steps.push(("POST with a token", taken(create)));
    world.deliver(&world.last_event()).await;
    steps.push(("webhook", taken(webhook)));
    world.begin("A-2").await;
    taken(create);
    world.cancel("A-2").await;
    steps.push(("DELETE", taken(create)));
    world.begin("A-3").await;
    taken(create);
    world.advance(11);
    world.status(CONVERSATION, Some("A-3")).await;
    steps.push(("GET of a stale record", taken(status)));
    let expected = [
        ("POST", "PutItem, TransactWriteItems, POST payment_intents"),
        ("POST once more", "PutItem, TransactWriteItems"),
        (
            "POST with a token",
            "PutItem, UpdateItem, TransactWriteItems, POST confirm",
        ),
        ("webhook", "GetItem, GetItem, UpdateItem, UpdateItem"), // read, the turn, its end
        // The end, what Stripe says, the cancellation.
        (
            "DELETE",
            "GetItem, UpdateItem, UpdateItem, GET intent, POST cancel",
        ),
        // The turn to refresh, the state, the turn to tell, its end.
        (
            "GET of a stale record",
            "GetItem, UpdateItem, UpdateItem, UpdateItem, UpdateItem, GET intent",
        ),
    ]
    .map(|(what, steps)| (what, steps.to_owned()));
    assert_eq!(steps, expected);
}

#[tokio::test]
async fn every_read_is_consistent_and_every_write_has_its_condition() {
    let (world, wires) = wired().await;
    let _world = play(world).await;
    let mut reads = BTreeSet::new();
    let mut writes = BTreeSet::new();
    for (operation, request) in wires.iter().flat_map(Wire::requests) {
        let writes_of_one = match operation.as_str() {
            "GetItem" => {
                assert_eq!(request["ConsistentRead"], true, "{operation} {request}");
                assert_eq!(request["TableName"], "payments");
                reads.insert(operation.clone());
                vec![]
            }
            "TransactWriteItems" => request["TransactItems"].as_array().unwrap().clone(),
            _ => vec![json!({ (operation.clone()): request })],
        };
        for write in writes_of_one {
            let (kind, write) = write.as_object().unwrap().iter().next().unwrap();
            assert_eq!(write["TableName"], "payments");
            let text = |name: &str| write[name].as_str().unwrap_or_default().to_owned();
            let returned = text("ReturnValues") + &text("ReturnValuesOnConditionCheckFailure");
            writes.insert((kind.clone(), text("ConditionExpression"), returned));
        }
    }
    assert_eq!(reads, ["GetItem"].map(str::to_owned).into());
    let not_there = "attribute_not_exists(pk)";
    let version = "#version = :version_before";
    let wanted = [
        ("PutItem", not_there, "ALL_OLD"), // a payment; who loses the race answers from the winner's
        ("PutItem", not_there, ""),        // the settings
        ("Update", version, ""),           // a state in a transaction …
        ("Put", not_there, ""),            // … with whose intent it names
        // A link, which nobody else has, and the newest order, where the last one counts …
        ("Put", "", ""),
        // … while the record stays as it was answered.
        (
            "ConditionCheck",
            "#payment_uid = :payment_uid AND #attempt = :attempt AND #holder_conversation_id = :holder_conversation_id AND #status = :status AND attribute_not_exists(#ending_reason)",
            "",
        ),
        ("UpdateItem", version, ""), // a state
        // The turn to refresh.
        (
            "UpdateItem",
            "attribute_exists(pk) AND (attribute_not_exists(#refreshed_at) OR NOT (#refreshed_at BETWEEN :from AND :until))",
            "",
        ),
        // The turn to tell Genesys, and its end.
        (
            "UpdateItem",
            "#version = :read AND (attribute_not_exists(#notice_since) OR NOT (#notice_since BETWEEN :from AND :until))",
            "UPDATED_NEW",
        ),
        ("UpdateItem", "#notice_turn = :turn", "ALL_NEW"),
    ];
    let wanted = wanted.map(|(kind, condition, returned)| {
        (kind.to_owned(), condition.to_owned(), returned.to_owned())
    });
    assert_eq!(writes, wanted.into());
}

#[tokio::test]
async fn each_function_does_with_the_table_just_what_its_role_allows() {
    let (world, wires) = wired().await;
    let _world = play(world).await;
    let template = crate::template::template();
    for (wire, role) in
        wires
            .iter()
            .zip(["CreateIntentRole", "StripeWebhookRole", "StatusQueryRole"])
    {
        let mut done = BTreeSet::new();
        for (operation, request) in wire.requests() {
            // A transaction needs what each of its parts needs.
            let parts = request["TransactItems"].as_array().into_iter().flatten();
            let mut parts: Vec<String> = parts
                .flat_map(|part| part.as_object().unwrap().keys())
                .map(|kind| format!("{kind}Item"))
                .collect();
            if parts.is_empty() {
                parts.push(operation);
            }
            done.extend(
                parts
                    .into_iter()
                    .map(|operation| format!("dynamodb:{operation}")),
            );
        }
        let statements = &template["Resources"][role]["Properties"]["Policies"][0]["PolicyDocument"]
            ["Statement"];
        let of_the_table = statements.as_sequence().unwrap().iter().find(|statement| {
            crate::template::written(&statement["Resource"]) == "!GetAtt PaymentTable.Arn"
        });
        let allowed = of_the_table.unwrap()["Action"]
            .as_sequence()
            .unwrap()
            .iter();
        assert_eq!(
            done,
            allowed
                .map(|action| action.as_str().unwrap().to_owned())
                .collect(),
            "{role}"
        );
    }
}

/// Writes the payment's next state, and whose its intent is.
async fn attach(table: &Table, next: &Payment) -> Result<Saved, StoreError> {
    let beside = Beside {
        intent: next.intent_id(),
        placement: None,
    };
    table.transact(next, beside).await
}

/// A payment that is on record, and its next state with an intent.
async fn to_attach(world: &World, order_id: &str, intent_id: &str) -> Payment {
    let terms = Terms::default();
    let money = Money {
        amount_minor: 5000,
        currency: Currency::parse("usd").unwrap(),
    };
    let uid = payment_uid(1);
    let payment = Payment::begin(&payment_key(order_id), uid, money, terms, NOW);
    assert_eq!(world.table.put_payment(&payment).await.unwrap(), None);
    let intent = Intent {
        id: IntentId::parse(intent_id).unwrap(),
        money,
        amount_received: 0,
        status: StripeStatus::RequiresPaymentMethod,
        last_error: None,
        created: START,
        correlation: Some(payment.correlation.clone()),
    };
    let seen = Observation {
        intent,
        as_of: AsOf::second(START),
        source: Source::Fetched,
        event_id: None,
    };
    match payment.observe(&seen, NOW) {
        Verdict::Apply(next) => *next,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_canceled_transaction_is_a_lost_race_or_an_outage_by_its_reasons() {
    let world = World::new().await;
    let wire = Wire::to(&world).await;
    let next = to_attach(&world, "A-1", "pi_1").await;
    for reasons in [
        ["None", "ConditionalCheckFailed"],
        ["ConditionalCheckFailed", "None"],
        ["ConditionalCheckFailed", "TransactionConflict"],
    ] {
        wire.refuse(
            "TransactWriteItems",
            "TransactionCanceledException",
            &reasons,
        );
        let lost = attach(&wire.table, &next).await.unwrap();
        assert_eq!(lost, Saved::Conflict, "{reasons:?}");
    }
    for reason in [
        "ThrottlingError",
        "ProvisionedThroughputExceeded",
        "ItemCollectionSizeLimitExceeded",
        "ValidationError",
    ] {
        wire.refuse(
            "TransactWriteItems",
            "TransactionCanceledException",
            &["None", reason],
        );
        let refused = attach(&wire.table, &next).await.unwrap_err();
        assert!(
            matches!(refused, StoreError::Unavailable(_)),
            "{reason}: {refused}"
        );
    }
    assert_eq!(
        attach(&wire.table, &next).await.unwrap(),
        Saved::Yes,
        "none of them was written"
    );
}

#[tokio::test(start_paused = true)]
async fn a_write_that_meets_a_transaction_is_sent_again_and_is_a_lost_race_in_the_end() {
    let world = World::new().await;
    let wire = Wire::to(&world).await;
    let next = to_attach(&world, "A-1", "pi_1").await;
    let meet = |operation: &'static str, times: usize| {
        for _ in 0..times {
            match operation {
                "TransactWriteItems" => wire.refuse(
                    operation,
                    "TransactionCanceledException",
                    &["None", "TransactionConflict"],
                ),
                _ => wire.refuse(operation, "TransactionConflictException", &[]),
            }
        }
    };
    meet("TransactWriteItems", 7);
    assert_eq!(attach(&wire.table, &next).await.unwrap(), Saved::Conflict);
    meet("TransactWriteItems", 6);
    assert_eq!(attach(&wire.table, &next).await.unwrap(), Saved::Yes);
    let second = next.visited(NOW).unwrap();
    meet("UpdateItem", 7);
    assert_eq!(wire.table.save(&second).await.unwrap(), Saved::Conflict);
    meet("UpdateItem", 6);
    assert_eq!(wire.table.save(&second).await.unwrap(), Saved::Yes);
    // Turns are given away all the time; who does not get one asks again, or lets it be.
    let every = std::time::Duration::from_secs(10);
    meet("UpdateItem", 1);
    assert_eq!(
        wire.table.claim_refresh(&second, NOW, every).await.unwrap(),
        Saved::Conflict
    );
    let due = second.due_notice().unwrap();
    meet("UpdateItem", 1);
    let claim = || wire.table.claim_notice(&second, &due, NOW, every);
    assert_eq!(claim().await.unwrap(), None);
    // A turn that is over is given back.
    let turn = claim().await.unwrap().unwrap();
    meet("UpdateItem", 6);
    let ended = wire.table.end_notice(&second, turn, Some(&due)).await;
    let told = ended.unwrap().unwrap();
    assert_eq!(told.due_notice(), None);
    let next = told;
    let second = next.clone();
    // Who puts the record meets the transaction that changes it: it is there, and is read.
    let terms = Terms::default();
    let again = Payment::begin(&next.key(), payment_uid(2), next.money, terms, NOW);
    for exception in [
        "TransactionConflictException",
        "ConditionalCheckFailedException",
    ] {
        wire.refuse("PutItem", exception, &[]);
        let there = wire.table.put_payment(&again).await.unwrap().unwrap();
        assert_eq!(
            (there.status(), there.intent_id()),
            (PaymentStatus::Pending, next.intent_id()),
            "{exception}"
        );
    }
    wire.refuse("UpdateItem", "ValidationException", &[]);
    assert!(
        matches!(
            wire.table.save(&second).await,
            Err(StoreError::Unavailable(_))
        ),
        "a refusal is no lost race"
    );
}

#[tokio::test]
async fn transactions_and_writes_that_collide_are_run_again_and_the_requests_succeed() {
    let (world, [create_intent, stripe_webhook, status_query]) = wired().await;
    create_intent.refuse(
        "TransactWriteItems",
        "TransactionCanceledException",
        &["TransactionConflict", "None"],
    );
    let answer = world.post(&order("A-1")).await;
    answer.must_be(201, "payment_status", "PENDING");
    assert_eq!(create_intent.count("TransactWriteItems"), 2);

    world
        .stripe
        .pay(answer.text("payment_intent_id"), "pm_card_visa")
        .unwrap();
    stripe_webhook.refuse("UpdateItem", "TransactionConflictException", &[]);
    world.deliver_all().await;
    world
        .order_must_be("A-1", "payment_status", "CONFIRMED")
        .await;

    let world = Arc::new(world);
    world
        .crash_while_creating(Stage::Answer, order("A-2"))
        .await;
    world.advance(11);
    status_query.refuse(
        "TransactWriteItems",
        "TransactionCanceledException",
        &["None", "TransactionConflict"],
    );
    world
        .order_must_be("A-2", "payment_status", "PENDING")
        .await;
    assert_eq!(status_query.count("TransactWriteItems"), 2);
    let items = world.dynamo.items().await;
    assert_eq!(
        items
            .keys()
            .filter(|(pk, _)| pk.starts_with("INTENT#"))
            .count(),
        2
    );
}
