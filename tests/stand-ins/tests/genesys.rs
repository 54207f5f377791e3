//! Genesys: tokens, conversations, attributes, workflows.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed step fails the test"
)]

mod http;

use std::collections::BTreeMap;

use http::{Client, Reply};
use serde_json::{Value, json};
use stand_ins::{Fault, Genesys, Match, Participant, Scene};

/// `client:secret` in base64.
const BASIC: &str = "Basic Y2xpZW50OnNlY3JldA==";
const GRANT: [(&str, &str); 1] = [("grant_type", "client_credentials")];

async fn token(client: &Client) -> Reply {
    client
        .with("Authorization", BASIC)
        .form("/oauth/token", &GRANT)
        .await
}

async fn genesys() -> (Genesys, Client) {
    let genesys = Genesys::start("client", "secret").await;
    genesys.set_now(1_800_000_000);
    let client = Client::new(genesys.base());
    let token = token(&client).await.json()["access_token"]
        .as_str()
        .unwrap()
        .to_owned();
    (
        genesys,
        client.with("Authorization", &format!("Bearer {token}")),
    )
}

fn conversation(id: &str) -> String {
    format!("/api/v2/conversations/{id}")
}

async fn patch(client: &Client, id: &str, participant: &str, attributes: Value) -> Reply {
    let path = format!("{}/participants/{participant}/attributes", conversation(id));
    client
        .json("PATCH", &path, &json!({ "attributes": attributes }))
        .await
}

#[tokio::test]
async fn tokens_are_granted_to_the_right_client() {
    let (genesys, client) = genesys().await;
    let anonymous = client.without_headers();
    genesys.set_expires_in(600);
    let granted = token(&anonymous).await.json();
    assert_eq!(
        (&granted["token_type"], &granted["expires_in"]),
        (&"bearer".into(), &600.into())
    );
    genesys.set_credentials("client", "rolled");
    let refused = token(&anonymous).await;
    assert_eq!(
        (refused.status, &refused.json()["error"]),
        (401, &"invalid_client".into())
    );
    assert_eq!(anonymous.form("/oauth/token", &GRANT).await.status, 401);
    assert_eq!(genesys.token_requests(), 4);
    genesys.set_credentials("client", "secret");
    let other_grant = anonymous.with("Authorization", BASIC);
    let other_grant = other_grant
        .form("/oauth/token", &[("grant_type", "password")])
        .await;
    assert_eq!(other_grant.json()["error"], "unsupported_grant_type");
}

#[tokio::test]
async fn a_token_is_good_until_it_expires_or_is_revoked() {
    let (genesys, client) = genesys().await;
    genesys.open_conversation("c", Scene::inbound());
    assert_eq!(client.get(&conversation("c")).await.status, 200);
    let anonymous = client.without_headers();
    let missing = anonymous.get(&conversation("c")).await.json();
    assert_eq!(
        (&missing["status"], &missing["code"]),
        (&401.into(), &"authentication.required".into())
    );
    genesys.advance(86_399);
    assert_eq!(client.get(&conversation("c")).await.status, 401);
    let fresh = token(&anonymous).await.json();
    let bearer = format!("Bearer {}", fresh["access_token"].as_str().unwrap());
    let client = anonymous.with("Authorization", &bearer);
    assert_eq!(client.get(&conversation("c")).await.status, 200);
    genesys.revoke_tokens();
    let revoked = client.get(&conversation("c")).await;
    assert_eq!(
        (revoked.status, &revoked.json()["code"]),
        (401, &"bad.credentials".into())
    );
    assert_eq!(
        revoked.header("inin-correlation-id"),
        revoked.json()["contextId"].as_str()
    );
}

#[tokio::test]
async fn a_conversation_has_the_shape_of_the_real_one() {
    let (genesys, client) = genesys().await;
    let customer = genesys.open_conversation("c", Scene::several_customers());
    let open = client.get(&conversation("c")).await.json();
    assert_eq!(open["startTime"], "2027-01-15T08:00:00.000Z");
    assert_eq!((open.get("endTime"), open.get("state")), (None, None));
    let gone = &open["participants"][0];
    assert_eq!(
        (&gone["purpose"], &gone["calls"][0]["state"]),
        (&"customer".into(), &"disconnected".into())
    );
    assert_eq!(gone["calls"][0]["disconnectType"], "endpoint");
    assert!(gone["endTime"].is_string());
    let present = &open["participants"][1];
    assert_eq!(present["id"], customer.as_str());
    assert_eq!(
        (present.get("endTime"), &present["calls"][0]["state"]),
        (None, &"connected".into())
    );

    genesys.hang_up("c");
    let after = client.get(&conversation("c")).await.json();
    assert!(after["participants"][1]["endTime"].is_string());
    assert_eq!(
        (
            after.get("endTime"),
            after["participants"][2].get("endTime")
        ),
        (None, None)
    );
    genesys.advance(60);
    genesys.end_conversation("c");
    let ended = client.get(&conversation("c")).await.json();
    assert_eq!(ended, genesys.conversation_json("c"));
    assert_eq!(ended["endTime"], "2027-01-15T08:01:00.000Z");
    assert_eq!(
        ended["participants"][1]["endTime"],
        "2027-01-15T08:00:00.000Z"
    );
    assert_eq!(ended["participants"][2]["calls"][0]["state"], "terminated");

    let unknown = client.get(&conversation("x")).await;
    assert_eq!(
        (unknown.status, &unknown.json()["code"]),
        (404, &"not.found".into())
    );
}

#[tokio::test]
async fn scenes_differ_in_who_is_there() {
    let (genesys, client) = genesys().await;
    for (scene, customer_purpose, customer_present) in [
        (Scene::inbound(), "customer", true),
        (Scene::queued(), "customer", true),
        (Scene::with_agent(), "customer", true),
        (Scene::outbound(), "external", true),
        (Scene::wrap_up(), "customer", false),
        (
            Scene::of([Participant::external().id("p").call_state("dialing")]),
            "external",
            true,
        ),
    ] {
        let id = format!("{scene:?}");
        let customer = genesys.open_conversation(&id, scene);
        let shown = genesys.conversation_json(&id);
        let participants = shown["participants"].as_array().unwrap();
        let shown = participants
            .iter()
            .find(|one| one["id"] == customer.as_str())
            .unwrap();
        assert_eq!(shown["purpose"], customer_purpose, "{id}");
        assert_eq!(shown.get("endTime").is_none(), customer_present, "{id}");
    }
    assert_eq!(
        genesys.open_conversation("nobody", Scene::without_customer()),
        ""
    );
    assert!(genesys.attributes("nobody").is_empty());
    genesys.open_conversation("mute", Scene::of([Participant::customer().without_call()]));
    assert_eq!(
        client.get(&conversation("mute")).await.json()["participants"][0]["calls"],
        json!([])
    );
}

#[tokio::test]
async fn attributes_are_merged_and_every_change_remembered() {
    let (genesys, client) = genesys().await;
    let scene = Scene::of([
        Participant::customer().attribute("language", "en"),
        Participant::agent().id("a"),
    ]);
    let customer = genesys.open_conversation("c", scene);
    assert_eq!(
        patch(
            &client,
            "c",
            &customer,
            json!({ "payment_status": "PENDING" })
        )
        .await
        .status,
        200
    );
    let merged = patch(
        &client,
        "c",
        &customer,
        json!({ "payment_status": "CONFIRMED" }),
    )
    .await
    .json();
    let want = json!({ "language": "en", "payment_status": "CONFIRMED" });
    assert_eq!(merged, json!({ "attributes": want }));
    assert_eq!(json!(genesys.attributes("c")), want);
    assert!(genesys.participant_attributes("c", "a").is_empty());

    assert_eq!(
        patch(&client, "c", &customer, json!({ "payment_amount": 50 }))
            .await
            .status,
        400
    );
    assert_eq!(
        patch(&client, "c", &customer, json!("text")).await.status,
        400
    );
    assert_eq!(patch(&client, "c", "nobody", json!({})).await.status, 404);
    assert_eq!(patch(&client, "x", &customer, json!({})).await.status, 404);
    genesys.end_conversation("c");
    patch(&client, "c", &customer, json!({ "late": "yes" })).await;
    let patches = genesys.patches();
    let sent = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
    assert_eq!(patches.len(), 3);
    assert_eq!(patches[0].attributes, sent("payment_status", "PENDING"));
    assert_eq!(patches[1].attributes, sent("payment_status", "CONFIRMED"));
    assert_eq!((patches[1].after_end, patches[2].after_end), (false, true));
}

#[tokio::test]
async fn workflows_are_started_and_remembered() {
    let (genesys, client) = genesys().await;
    let path = "/api/v2/flows/executions";
    let input = json!({ "Flow.payment_status": "CONFIRMED" });
    let asked = json!({ "flowId": "f", "inputData": input, "name": "late" });
    let started = client.json("POST", path, &asked).await;
    let executions = genesys.executions();
    assert_eq!(started.json()["id"], executions[0].id.as_str());
    assert_eq!(
        (executions[0].flow_id.as_str(), &executions[0].input_data),
        ("f", &input)
    );
    assert_eq!(executions[0].name.as_deref(), Some("late"));
    assert_eq!(client.json("POST", path, &json!({})).await.status, 400);
    let wrong = json!({ "flowId": "f", "inputData": "text" });
    assert_eq!(client.json("POST", path, &wrong).await.status, 400);
    assert_eq!(genesys.executions().len(), 1);
}

#[tokio::test]
async fn faults_speak_as_genesys_does() {
    let (genesys, client) = genesys().await;
    let customer = genesys.open_conversation("c", Scene::inbound());
    genesys.fault(
        Match::patch("/api/v2/conversations"),
        Fault::rate_limited(3),
    );
    let limited = patch(&client, "c", &customer, json!({ "a": "1" })).await;
    assert_eq!(
        (limited.status, limited.header("retry-after")),
        (429, Some("3"))
    );
    assert_eq!(limited.json()["code"], "too.many.requests");
    genesys.fault(Match::any(), stand_ins::Reply::status(504).executed());
    assert_eq!(
        patch(&client, "c", &customer, json!({ "a": "2" }))
            .await
            .status,
        504
    );
    assert_eq!(genesys.patches().len(), 1);
    genesys.outage(Match::any(), Fault::status(503));
    assert_eq!(
        client.get(&conversation("c")).await.json()["code"],
        "service.unavailable"
    );
    assert_eq!(token(&client.without_headers()).await.status, 503);
    genesys.clear_faults();
    let asked: Vec<_> = genesys
        .requests()
        .into_iter()
        .map(|request| request.method)
        .collect();
    assert_eq!(asked, ["POST", "PATCH", "PATCH", "GET", "POST"]);
}

#[tokio::test]
async fn a_program_can_set_the_scene_over_http() {
    let (genesys, client) = genesys().await;
    let open = json!({ "conversation_id": "c", "purpose": "external" });
    let program = client.without_headers();
    let opened = program.json("POST", "/_control/conversations", &open).await;
    assert_eq!(opened.status, 201);
    assert_eq!(
        program
            .json("POST", "/_control/conversations", &open)
            .await
            .status,
        409
    );
    assert_eq!(
        program
            .json("POST", "/_control/conversations", &json!({}))
            .await
            .status,
        400
    );
    let participant = opened.json()["participant_id"].as_str().unwrap().to_owned();
    assert_eq!(
        genesys.conversation_json("c")["participants"][0]["purpose"],
        "external"
    );
    patch(
        &client,
        "c",
        &participant,
        json!({ "payment_status": "CONFIRMED" }),
    )
    .await;
    client
        .json(
            "POST",
            "/api/v2/flows/executions",
            &json!({ "flowId": "f" }),
        )
        .await;

    let shown = program.get("/_control/conversations/c").await.json();
    assert_eq!(
        shown["attributes"],
        json!({ "payment_status": "CONFIRMED" })
    );
    assert_eq!(shown["patches"][0]["participant_id"], participant.as_str());
    assert_eq!(shown["ended"], false);
    assert_eq!(
        program
            .json("POST", "/_control/conversations/c/end", &json!({}))
            .await
            .status,
        200
    );
    assert_eq!(
        program.get("/_control/conversations/c").await.json()["ended"],
        true
    );
    assert_eq!(
        program.get("/_control/executions").await.json()["executions"][0]["flowId"],
        "f"
    );
    assert_eq!(program.get("/_control/conversations/x").await.status, 404);
}
