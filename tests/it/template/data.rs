//! The table and the secrets: they outlive the stack, they are encrypted, and they fit what the
//! code writes.

use std::collections::BTreeSet;

use serde_json::json;
use tests::{START, World};

use super::{properties, rows, template, wanted};

#[test]
fn the_table_is_encrypted_restorable_and_guarded_against_deletion() {
    let table = [
        ("BillingMode", "PAY_PER_REQUEST"),
        (
            "AttributeDefinitions",
            "[{AttributeName: pk, AttributeType: S}, {AttributeName: sk, AttributeType: S}]",
        ),
        (
            "KeySchema",
            "[{AttributeName: pk, KeyType: HASH}, {AttributeName: sk, KeyType: RANGE}]",
        ),
        ("SSESpecification", "{SSEEnabled: true}"),
        (
            "PointInTimeRecoverySpecification",
            "{PointInTimeRecoveryEnabled: true}",
        ),
        (
            "TimeToLiveSpecification",
            "{AttributeName: expires_at, Enabled: true}",
        ),
        ("DeletionProtectionEnabled", "!Ref TableDeletionProtection"),
    ];
    assert_eq!(
        rows(properties(&template(), "PaymentTable"), &[]),
        wanted(&table)
    );
}

#[test]
fn the_secrets_are_empty_shells_under_the_deployment_s_key() {
    let template = template();
    for name in ["StripeSecret", "GenesysSecret"] {
        // No SecretString and no GenerateSecretString: nothing secret passes through
        // CloudFormation.
        let key = [(
            "KmsKeyId",
            "!If [HasSecretsKey, !Ref SecretsKeyArn, !Ref AWS::NoValue]",
        )];
        assert_eq!(
            rows(properties(&template, name), &["Description"]),
            wanted(&key),
            "{name}"
        );
    }
}

#[tokio::test]
async fn every_item_has_the_table_s_key_and_a_time_to_live_in_seconds() {
    let template = template();
    let table = properties(&template, "PaymentTable");
    let name = |value: &serde_yaml_ng::Value| value["AttributeName"].as_str().unwrap().to_owned();
    let time_to_live = name(&table["TimeToLiveSpecification"]);

    let world = World::new().await;
    let mut body = tests::order("A-1");
    body["description"] = json!("Order");
    let answer = world.post(&body).await;
    assert_eq!(
        world
            .open_link(answer.text("payment_url"))
            .await
            .text("state"),
        "open"
    );
    world
        .stripe
        .pay(answer.text("payment_intent_id"), "pm_card_visa")
        .unwrap();
    world.deliver_all().await;
    world
        .order_must_be("A-1", "payment_status", "CONFIRMED")
        .await;

    let day = 86_400;
    let mut kinds = BTreeSet::new();
    for ((pk, _), item) in world.dynamo.items().await {
        let kind = pk.split('#').next().unwrap().to_owned();
        kinds.insert(kind.clone());
        for key in table["KeySchema"].as_sequence().unwrap() {
            assert!(item[&name(key)].is_s(), "{kind}");
        }
        // Every record is found by the settings, so they stay.
        if kind == "SETTINGS" {
            assert!(!item.contains_key(&time_to_live));
            continue;
        }
        // A link is remembered for a week after its half hour, so that the payer hears "expired"
        // and not "unknown".
        let wanted = START
            + match kind.as_str() {
                "LINK" => 30 * 60 + 7 * day,
                "ORDER" => 3650 * day,
                _ => 90 * day,
            };
        assert_eq!(
            item[&time_to_live].as_n().unwrap(),
            &wanted.to_string(),
            "{kind}"
        );
    }
    assert_eq!(
        kinds,
        ["CONVERSATION", "INTENT", "LINK", "ORDER", "SETTINGS"]
            .map(str::to_owned)
            .into()
    );
}
