//! The store's contract: what the use cases rely on, tried on a real DynamoDB engine.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use shared::domain::ids::IntentId;
use shared::domain::link::LinkToken;
use shared::domain::money::{Currency, Money};
use shared::domain::notice::DueNotice;
use shared::domain::observation::{AsOf, Intent, Observation, Source, StripeStatus, Verdict};
use shared::domain::payment::{CaptureMethod, Payment, PaymentStatus, Terms};
use shared::domain::time::UnixMillis;
use shared::ports::{
    Beside, GetPayment, PutPayment, Saved, StoreError, TransactPayment, UpdatePayment,
};
use tests::{CONVERSATION, START, World, payment_key, payment_uid};

const NOW: UnixMillis = UnixMillis(START * 1000);

fn payment(order_id: &str, at: UnixMillis) -> Payment {
    let terms = Terms {
        capture_method: CaptureMethod::Manual,
        description: Some("Order".to_owned()),
        ..Terms::default()
    };
    let money = Money {
        amount_minor: 5000,
        currency: Currency::parse("usd").unwrap(),
    };
    Payment::begin(&payment_key(order_id), payment_uid(1), money, terms, at)
}

/// Writes the payment's next state, and whose its intent is.
async fn attach(world: &World, next: &Payment) -> Result<Saved, StoreError> {
    let beside = Beside {
        intent: next.intent_id(),
        placement: None,
    };
    world.table.transact(next, beside).await
}

fn seen(payment: &Payment, intent_id: &str, status: StripeStatus, as_of: AsOf) -> Payment {
    let intent = Intent {
        id: IntentId::parse(intent_id).unwrap(),
        money: payment.money,
        amount_received: if status == StripeStatus::Succeeded {
            payment.money.amount_minor
        } else {
            0
        },
        status,
        last_error: None,
        created: START,
        correlation: Some(payment.correlation.clone()),
    };
    match payment.observe(
        &Observation {
            intent,
            as_of,
            source: Source::Fetched,
            event_id: None,
        },
        NOW,
    ) {
        Verdict::Apply(next) => *next,
        other => panic!("{other:?}"),
    }
}

/// The payment once its intent, `pi_1`, is on record.
async fn attached(world: &World, payment: &Payment) -> Payment {
    let status = StripeStatus::RequiresPaymentMethod;
    let next = seen(payment, "pi_1", status, AsOf::second(START));
    assert_eq!(attach(world, &next).await.unwrap(), Saved::Yes);
    next
}

async fn stored(world: &World, payment: &Payment) -> Payment {
    let found = world.table.payment(&payment.key()).await;
    found.unwrap().unwrap()
}

#[tokio::test]
async fn a_record_is_written_once_and_the_loser_gets_the_winner_s() {
    let world = World::new().await;
    let first = payment("A-1", NOW);
    assert_eq!(world.table.put_payment(&first).await.unwrap(), None);
    let second = payment("A-1", UnixMillis(NOW.0 + 5));
    assert_eq!(
        world.table.put_payment(&second).await.unwrap(),
        Some(first.clone())
    );
    assert_eq!(stored(&world, &first).await, first);
}

#[tokio::test]
async fn a_state_replaces_only_the_version_it_was_made_from() {
    let world = World::new().await;
    let first = payment("A-1", NOW);
    world.table.put_payment(&first).await.unwrap();
    let adopted = attached(&world, &first).await;
    let confirmed = seen(
        &adopted,
        "pi_1",
        StripeStatus::Succeeded,
        AsOf {
            from: START,
            until: u64::MAX,
        },
    );
    let canceled = seen(
        &adopted,
        "pi_1",
        StripeStatus::Canceled,
        AsOf::second(START + 1),
    );
    assert_eq!(world.table.save(&confirmed).await.unwrap(), Saved::Yes);
    assert_eq!(world.table.save(&canceled).await.unwrap(), Saved::Conflict);
    assert_eq!(
        world.table.save(&confirmed).await.unwrap(),
        Saved::Conflict,
        "not even itself again"
    );
    assert_eq!(
        stored(&world, &first).await,
        confirmed,
        "every field comes back, the largest number included"
    );
}

#[tokio::test]
async fn an_intent_is_adopted_with_its_pointer_or_not_at_all() {
    let world = World::new().await;
    let first = payment("A-1", NOW);
    world.table.put_payment(&first).await.unwrap();
    let mine = seen(
        &first,
        "pi_1",
        StripeStatus::RequiresPaymentMethod,
        AsOf::second(START),
    );
    let theirs = seen(
        &first,
        "pi_2",
        StripeStatus::RequiresPaymentMethod,
        AsOf::second(START),
    );
    assert_eq!(attach(&world, &mine).await.unwrap(), Saved::Yes);
    assert_eq!(attach(&world, &theirs).await.unwrap(), Saved::Conflict);
    let owner_of = |id: &str| IntentId::parse(id).unwrap();
    assert_eq!(
        world.table.intent_owner(&owner_of("pi_1")).await.unwrap(),
        Some(first.correlation.clone())
    );
    assert_eq!(
        world.table.intent_owner(&owner_of("pi_2")).await.unwrap(),
        None,
        "no pointer without its record"
    );

    let other = payment("A-2", NOW);
    world.table.put_payment(&other).await.unwrap();
    let stolen = seen(
        &other,
        "pi_1",
        StripeStatus::RequiresPaymentMethod,
        AsOf::second(START),
    );
    assert_eq!(
        attach(&world, &stolen).await.unwrap(),
        Saved::Conflict,
        "a pointer is never moved"
    );
    assert_eq!(stored(&world, &other).await, other);
}

#[tokio::test]
async fn a_new_attempt_removes_what_the_old_one_left() {
    let world = World::new().await;
    let first = payment("A-1", NOW);
    world.table.put_payment(&first).await.unwrap();
    let adopted = seen(&first, "pi_1", StripeStatus::Canceled, AsOf::second(START));
    assert_eq!(attach(&world, &adopted).await.unwrap(), Saved::Yes);
    let second = adopted
        .next_attempt(
            &first.holder,
            first.money,
            first.terms().cloned().unwrap(),
            NOW,
        )
        .unwrap();
    assert_eq!(world.table.save(&second).await.unwrap(), Saved::Yes);
    assert_eq!(stored(&world, &first).await, second);
}

#[tokio::test]
async fn records_expire_counted_from_their_latest_attempt() {
    let world = World::new().await;
    world.table.put_payment(&payment("A-1", NOW)).await.unwrap();
    let after = |days: u64| (START + days * 86_400).to_string();
    let item = world.dynamo.item("ORDER#A-1", "PAYMENT").await;
    assert_eq!(item["expires_at"].as_n().unwrap(), &after(90));
}

#[tokio::test]
async fn a_paid_record_is_kept_for_years_and_an_unpaid_one_is_not() {
    let world = World::new().await;
    for (order_id, intent_id, status, days) in [
        ("A-1", "pi_1", StripeStatus::Succeeded, 3650),
        ("A-2", "pi_2", StripeStatus::Canceled, 90),
        ("A-3", "pi_3", StripeStatus::RequiresCapture, 90),
    ] {
        let first = payment(order_id, NOW);
        world.table.put_payment(&first).await.unwrap();
        let next = seen(&first, intent_id, status, AsOf::second(START));
        assert_eq!(attach(&world, &next).await.unwrap(), Saved::Yes);
        let item = world
            .dynamo
            .item(&format!("ORDER#{order_id}"), "PAYMENT")
            .await;
        let expires_at = (START + days * 86_400).to_string();
        assert_eq!(item["expires_at"].as_n().unwrap(), &expires_at, "{status}");
    }
}

#[tokio::test]
async fn the_turn_to_refresh_comes_once_in_its_interval_and_is_no_new_version() {
    let world = World::new().await;
    let first = payment("A-1", NOW);
    world.table.put_payment(&first).await.unwrap();
    let every = Duration::from_secs(10);
    let claim = |at: u64| {
        let (table, first) = (world.table.clone(), first.clone());
        async move {
            table
                .claim_refresh(&first, UnixMillis(NOW.0 + at), every)
                .await
                .unwrap()
        }
    };
    assert_eq!(claim(0).await, Saved::Yes);
    assert_eq!(claim(9_999).await, Saved::Conflict);
    assert_eq!(claim(10_000).await, Saved::Yes);
    assert_eq!(claim(10_001).await, Saved::Conflict);
    assert_eq!(stored(&world, &first).await.version, first.version);
    let unknown = payment("A-9", NOW);
    assert_eq!(
        world
            .table
            .claim_refresh(&unknown, NOW, every)
            .await
            .unwrap(),
        Saved::Conflict
    );
}

#[tokio::test]
async fn the_turn_to_tell_genesys_belongs_to_one_and_lapses() {
    let world = World::new().await;
    let first = payment("A-1", NOW);
    world.table.put_payment(&first).await.unwrap();
    let adopted = attached(&world, &first).await;
    let lapse = Duration::from_secs(15);
    let notice = adopted.due_notice().unwrap();
    let claim = |payment: &Payment, at: u64| {
        let (table, payment, notice) = (world.table.clone(), payment.clone(), notice.clone());
        async move {
            table
                .claim_notice(&payment, &notice, UnixMillis(NOW.0 + at), lapse)
                .await
                .unwrap()
        }
    };
    assert_eq!(
        claim(&first, 0).await,
        None,
        "the record moved on since it was read"
    );
    let turn = claim(&adopted, 0).await.unwrap();
    assert_eq!(
        claim(&adopted, 15_001).await,
        None,
        "a turn was taken since this copy was read"
    );
    let held = stored(&world, &first).await;
    assert_eq!(claim(&held, 14_999).await, None);
    let later = claim(&held, 15_001).await.unwrap();
    let ended = world
        .table
        .end_notice(&adopted, turn, Some(&notice))
        .await
        .unwrap();
    assert_eq!(ended, None, "a turn that lapsed writes nothing");
    let ended = world
        .table
        .end_notice(&held, later, None)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        ended,
        stored(&world, &first).await,
        "the record as it is now"
    );
    assert_eq!(ended.notified, None);
    let turn = claim(&stored(&world, &first).await, 15_002).await.unwrap();
    let ended = world
        .table
        .end_notice(&adopted, turn, Some(&notice))
        .await
        .unwrap();
    assert_eq!(ended.as_ref(), Some(&stored(&world, &first).await));
    let told = stored(&world, &first).await;
    assert_eq!(
        (told.notified.clone().map(DueNotice::State), told.status()),
        (Some(notice.clone()), PaymentStatus::Pending)
    );
    assert_eq!(
        claim(&adopted, 15_003).await,
        None,
        "it was told since this copy was read"
    );
    assert!(claim(&told, 15_003).await.is_some());
    assert_eq!(
        stored(&world, &first).await.notified,
        None,
        "while it is told, nobody knows what Genesys holds"
    );
    let stale = seen(
        &adopted,
        "pi_1",
        StripeStatus::Processing,
        AsOf::second(START + 1),
    );
    assert_eq!(
        world.table.save(&stale).await.unwrap(),
        Saved::Conflict,
        "nor is its state replaced by this copy's"
    );
}

#[tokio::test]
async fn a_turn_taken_by_a_clock_set_forward_holds_nobody_up_once_it_is_right_again() {
    let world = World::new().await;
    let first = payment("A-1", NOW);
    world.table.put_payment(&first).await.unwrap();
    let ahead = UnixMillis(NOW.0 + 3_600_000);
    let lapse = Duration::from_secs(15);
    let due = DueNotice::Moved(first.holder.clone());
    let tell = async |at: UnixMillis| {
        let current = stored(&world, &first).await;
        world
            .table
            .claim_notice(&current, &due, at, lapse)
            .await
            .unwrap()
            .is_some()
    };
    assert!(tell(ahead).await);
    assert!(
        !tell(ahead.minus(lapse)).await,
        "a holder whose clock is a little ahead is alive"
    );
    assert!(tell(NOW).await);
    let every = Duration::from_secs(10);
    let refresh = |at: UnixMillis| {
        let (table, first) = (world.table.clone(), first.clone());
        async move { table.claim_refresh(&first, at, every).await.unwrap() }
    };
    assert_eq!(refresh(ahead).await, Saved::Yes);
    assert_eq!(refresh(ahead.minus(every)).await, Saved::Conflict);
    assert_eq!(refresh(NOW).await, Saved::Yes);
}

#[tokio::test]
async fn an_item_of_another_shape_is_an_error_that_names_the_attribute() {
    let world = World::new().await;
    let first = payment("A-1", NOW);
    world.table.put_payment(&first).await.unwrap();
    world
        .dynamo
        .client()
        .update_item()
        .table_name("payments")
        .key("pk", AttributeValue::S("ORDER#A-1".to_owned()))
        .key("sk", AttributeValue::S("PAYMENT".to_owned()))
        .update_expression("REMOVE amount_minor")
        .send()
        .await
        .unwrap();
    let error = world
        .table
        .payment(&first.key())
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("amount_minor"), "{error}");
}

#[tokio::test]
async fn items_have_the_documented_keys_and_no_other() {
    let world = World::new().await;
    let answer = world.post(&tests::order("A-1")).await;
    let intent = answer.text("payment_intent_id");
    let token = LinkToken::parse(tests::token_of(answer.text("payment_url"))).unwrap();
    let keys: BTreeMap<_, _> = world.dynamo.items().await.into_keys().collect();
    let wanted = [
        ("SETTINGS".to_owned(), "SETTINGS".to_owned()),
        ("ORDER#A-1".to_owned(), "PAYMENT".to_owned()),
        (format!("CONVERSATION#{CONVERSATION}"), "NEWEST".to_owned()),
        (format!("INTENT#{intent}"), "INTENT".to_owned()),
        (format!("LINK#{}", token.sha256()), "LINK".to_owned()),
    ];
    assert_eq!(keys, BTreeMap::from(wanted));
}
