//! genesys/terraform makes of the Data Action files and the flows just what they say, and gives
//! nobody more than he needs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::plan::{Configuration, Plan, attribute, label, parse, value_of};

const TRANSPORTS: [&str; 2] = ["web-services", "aws-lambda"];

/// What the placeholders of the Data Actions stand for.
const ADDRESSES: [(&str, &str, &str); 3] = [
    (
        "api_url",
        "https://API_ID.execute-api.REGION.amazonaws.com/v1",
        "https://a1b2c3.execute-api.eu-central-1.amazonaws.com/v1",
    ),
    (
        "create_intent_function_arn",
        "arn:aws:lambda:REGION:ACCOUNT_ID:function:CREATE_INTENT_FUNCTION",
        "arn:aws:lambda:eu-central-1:123456789012:function:create",
    ),
    (
        "status_query_function_arn",
        "arn:aws:lambda:REGION:ACCOUNT_ID:function:STATUS_QUERY_FUNCTION",
        "arn:aws:lambda:eu-central-1:123456789012:function:query",
    ),
];

fn genesys() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../genesys")
}

fn configuration() -> Configuration {
    Configuration::read(&genesys().join("terraform"))
}

/// What a deployment with this transport gives.
fn given(transport: &str) -> BTreeMap<String, Value> {
    let own: Vec<(&str, &str)> = match transport {
        "web-services" => vec![
            ("api_url", ADDRESSES[0].2),
            ("api_key", "the API key of the stack"),
        ],
        _ => vec![
            ("invoke_role_arn", "arn:aws:iam::123456789012:role/invoke"),
            (ADDRESSES[1].0, ADDRESSES[1].2),
            (ADDRESSES[2].0, ADDRESSES[2].2),
        ],
    };
    let always = [
        ("transport", transport),
        ("queue", "Payments"),
        ("sms_from_address", "+15551234567"),
    ];
    let all = always.into_iter().chain(own);
    all.map(|(name, value)| (name.to_owned(), json!(value)))
        .collect()
}

fn plan(transport: &str) -> Plan {
    configuration().plan(&given(transport))
}

/// The planned resources of a type.
fn of_type<'a>(plan: &'a Plan, kind: &str) -> Vec<&'a Value> {
    let prefix = format!("{kind}.");
    plan.resources
        .iter()
        .filter(|(address, _)| address.starts_with(&prefix))
        .map(|(_, resource)| resource)
        .collect()
}

/// The Data Action files of a folder.
fn files(folder: &str) -> Vec<Value> {
    fs::read_dir(genesys().join("data-actions").join(folder))
        .unwrap()
        .map(|entry| {
            serde_json::from_str(&fs::read_to_string(entry.unwrap().path()).unwrap()).unwrap()
        })
        .collect()
}

fn folders() -> BTreeSet<String> {
    let entries = fs::read_dir(genesys().join("data-actions")).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn every_file_becomes_one_action_with_all_of_its_parts() {
    let mut used = BTreeSet::new();
    for transport in TRANSPORTS {
        let plan = plan(transport);
        let actions = of_type(&plan, "genesyscloud_integration_action");
        let integrations = of_type(&plan, "genesyscloud_integration");
        let mut wanted = 0;
        for folder in [transport, "genesys-cloud"] {
            used.insert(folder.to_owned());
            for file in files(folder) {
                wanted += 1;
                let found: Vec<_> = actions
                    .iter()
                    .filter(|action| action["name"] == file["name"])
                    .collect();
                let [action] = found.as_slice() else {
                    panic!("{} is there {} times", file["name"], found.len())
                };
                let (request, response) = (&file["config"]["request"], &file["config"]["response"]);
                let mut url = request["requestUrlTemplate"].as_str().unwrap().to_owned();
                for (_, placeholder, value) in ADDRESSES {
                    url = url.replace(placeholder, value);
                }
                for left in ["API_ID", "ACCOUNT_ID", "REGION", "_FUNCTION"] {
                    assert!(!url.contains(left), "{url}");
                }
                let integration = integrations
                    .iter()
                    .find(|made| made["id"] == action["integration_id"])
                    .unwrap();
                assert_eq!(integration["integration_type"], file["integrationType"]);
                assert_eq!(
                    ***action,
                    json!({
                        "id": action["id"], "client_id": action["client_id"], "client_secret": action["client_secret"],
                        "name": file["name"],
                        "category": integration["config"][0]["name"],
                        "integration_id": integration["id"],
                        "secure": file["secure"],
                        "config_timeout_seconds": file["config"]["timeoutSeconds"],
                        "contract_input": file["contract"]["input"]["inputSchema"].to_string(),
                        "contract_output": file["contract"]["output"]["successSchema"].to_string(),
                        "config_request": [{
                            "request_type": request["requestType"],
                            "request_url_template": url,
                            "request_template": request["requestTemplate"],
                            "headers": request["headers"],
                        }],
                        "config_response": [{
                            "translation_map": response["translationMap"],
                            "translation_map_defaults": response["translationMapDefaults"],
                            "success_template": response["successTemplate"],
                        }],
                    })
                );
            }
        }
        assert_eq!(actions.len(), wanted, "{transport}");
    }
    assert_eq!(used, folders(), "each folder belongs to a transport");
}

#[test]
fn every_integration_is_enabled_and_has_the_credential_that_its_actions_read() {
    for transport in TRANSPORTS {
        let plan = plan(transport);
        let credentials = of_type(&plan, "genesyscloud_integration_credential");
        let integrations = of_type(&plan, "genesyscloud_integration");
        assert_eq!(
            (integrations.len(), credentials.len()),
            (2, 2),
            "{transport}: payments and messages"
        );
        for integration in integrations {
            assert_eq!(integration["intended_state"], "ENABLED");
            let slots = integration["config"][0]["credentials"].as_object().unwrap();
            assert_eq!(slots.len(), 1);
            let (slot, id) = slots.iter().next().unwrap();
            let credential = credentials.iter().find(|made| made["id"] == *id).unwrap();
            let kind = integration["integration_type"].as_str().unwrap();
            let (folder, wanted_slot, wanted_type) = match kind {
                "custom-rest-actions" => ("web-services", "basicAuth", "userDefined"),
                "aws-lambda-data-actions" => {
                    ("aws-lambda", "AmazonWebServicesARN", "amazonWebServicesARN")
                }
                "purecloud-data-actions" => (
                    "genesys-cloud",
                    "pureCloudOAuthClient",
                    "pureCloudOAuthClient",
                ),
                other => panic!("{other}"),
            };
            assert_eq!(
                (slot.as_str(), &credential["credential_type_name"]),
                (wanted_slot, &json!(wanted_type))
            );
            let fields = credential["fields"].as_object().unwrap();
            assert!(
                fields
                    .values()
                    .all(|value| value.as_str().is_some_and(|text| !text.is_empty())),
                "{kind}"
            );
            let read = match kind {
                "aws-lambda-data-actions" => BTreeSet::from(["ARN".to_owned()]),
                "purecloud-data-actions" => {
                    BTreeSet::from(["clientId".to_owned(), "clientSecret".to_owned()])
                }
                _ => files(folder)
                    .iter()
                    .flat_map(|file| between(&file.to_string(), "${credentials.", "}"))
                    .collect(),
            };
            assert_eq!(
                fields.keys().cloned().collect::<BTreeSet<_>>(),
                read,
                "{kind}"
            );
        }
    }
}

#[test]
fn every_flow_is_published_with_all_of_its_names_filled_in() {
    let plan_with = |transport: &str, voice_vault: bool| {
        let mut given = given(transport);
        given.insert("voice_vault".to_owned(), json!(voice_vault));
        configuration().plan(&given)
    };
    for transport in TRANSPORTS {
        assert_eq!(
            of_type(&plan_with(transport, false), "genesyscloud_flow").len(),
            1
        );
        let plan = plan_with(transport, true);
        let flows = of_type(&plan, "genesyscloud_flow");
        let published: BTreeSet<PathBuf> = flows
            .iter()
            .map(|flow| {
                Path::new(flow["filepath"].as_str().unwrap())
                    .canonicalize()
                    .unwrap()
            })
            .collect();
        let there: BTreeSet<PathBuf> = fs::read_dir(genesys().join("flow"))
            .unwrap()
            .map(|entry| entry.unwrap().path().canonicalize().unwrap())
            .filter(|path| {
                path.extension()
                    .is_some_and(|extension| extension == "yaml")
            })
            .collect();
        assert_eq!(published, there);

        let actions: Vec<_> = of_type(&plan, "genesyscloud_integration_action");
        for flow in &flows {
            let text = fs::read_to_string(flow["filepath"].as_str().unwrap()).unwrap();
            let names = flow["substitutions"].as_object().unwrap();
            assert_eq!(
                between(&text, "{{", "}}"),
                names.keys().cloned().collect(),
                "{}",
                flow["filepath"]
            );
            // What the flow calls is there under that category and name.
            let filled = names.iter().fold(text, |text, (name, value)| {
                text.replace(&format!("{{{{{name}}}}}"), value.as_str().unwrap())
            });
            let called = calls(&serde_yaml_ng::from_str(&filled).unwrap());
            assert!(!called.is_empty());
            for (category, action) in called {
                let there = actions
                    .iter()
                    .any(|made| made["category"] == category && made["name"] == action);
                assert!(there, "{transport}: {category} has no {action}");
            }
            // A new id of any action publishes the flow again.
            let hashed = flow["update_trigger_hash"]
                .as_str()
                .unwrap()
                .strip_prefix("sha256 of ")
                .unwrap();
            let hashed: BTreeMap<String, Value> = serde_json::from_str(hashed).unwrap();
            for action in &actions {
                assert!(
                    hashed.values().any(|id| *id == action["id"]),
                    "{}",
                    action["name"]
                );
            }
        }
    }
}

/// The Data Actions that a flow calls, by category and name.
fn calls(flow: &serde_yaml_ng::Value) -> BTreeSet<(String, String)> {
    use serde_yaml_ng::Value;
    let mut found = BTreeSet::new();
    match flow {
        Value::Sequence(items) => found.extend(items.iter().flat_map(calls)),
        Value::Mapping(map) => {
            for (key, value) in map {
                if key == "category" {
                    for (category, chosen) in value.as_mapping().unwrap() {
                        for action in chosen["dataAction"].as_mapping().unwrap().keys() {
                            found.insert((
                                category.as_str().unwrap().to_owned(),
                                action.as_str().unwrap().to_owned(),
                            ));
                        }
                    }
                }
                found.extend(calls(value));
            }
        }
        _ => {}
    }
    found
}

#[test]
fn the_example_names_variables_that_are_there_and_holds_no_secret() {
    let configuration = configuration();
    let example = parse(&genesys().join("terraform/example.tfvars"));
    let mut given: BTreeMap<String, Value> = example
        .attributes()
        .map(|attribute| (attribute.key.to_string(), value_of(&attribute.expr)))
        .collect();
    assert!(!given.contains_key("api_key"));
    given.insert("api_key".to_owned(), json!("given by the environment"));
    assert!(!configuration.plan(&given).resources.is_empty());
}

/// What stands between two marks, each time.
fn between(text: &str, start: &str, end: &str) -> BTreeSet<String> {
    text.split(start)
        .skip(1)
        .map(|rest| rest.split(end).next().unwrap().trim().to_owned())
        .collect()
}

/// Which permission each call of the Genesys API needs. A call that is not here has not been
/// thought about.
fn permission(path: &str) -> Option<&'static str> {
    match path {
        "/api/v2/conversations/{id}" => Some("conversation:communication:view"),
        "/api/v2/conversations/{id}/participants/{participant}/attributes" => None,
        "/api/v2/flows/executions" => Some("architect:flow:launch"),
        "/api/v2/conversations/messages/agentless" => Some("conversation:message:create"),
        other => panic!("which permission does {other} need?"),
    }
}

/// The permissions of the role that an OAuth client has.
fn allowed(plan: &Plan, client: &str) -> BTreeSet<String> {
    let client = &plan.resources[client];
    assert_eq!(client["authorized_grant_type"], "CLIENT-CREDENTIALS");
    let role = &client["roles"][0]["role_id"];
    let roles = of_type(plan, "genesyscloud_auth_role");
    let role = roles.iter().find(|made| made["id"] == *role).unwrap();
    assert!(
        role.get("permissions").is_none(),
        "general permissions are wide"
    );
    let mut found = BTreeSet::new();
    for policy in role["permission_policies"].as_array().unwrap() {
        for action in policy["action_set"].as_array().unwrap() {
            let [domain, entity, action] =
                [&policy["domain"], &policy["entity_name"], action].map(|part| {
                    let part = part.as_str().unwrap();
                    assert_ne!(part, "*");
                    part
                });
            assert!(found.insert(format!("{domain}:{entity}:{action}")));
        }
    }
    found
}

#[test]
fn each_oauth_client_may_just_what_its_calls_need() {
    let called = include_str!("../../shared/src/adapters/genesys.rs");
    let called: BTreeSet<String> = between(called, "\"/api/", "\"")
        .into_iter()
        .map(|path| format!("/api/{path}"))
        .collect();
    let needed: BTreeSet<String> = called
        .iter()
        .filter_map(|path| permission(path))
        .map(str::to_owned)
        .collect();
    assert_eq!((called.len(), needed.len()), (3, 2), "{called:?}");
    let launch = BTreeSet::from(["architect:flow:launch".to_owned()]);
    let sent = files("genesys-cloud");
    let sends: BTreeSet<String> = sent
        .iter()
        .filter_map(|file| {
            permission(
                file["config"]["request"]["requestUrlTemplate"]
                    .as_str()
                    .unwrap(),
            )
        })
        .map(str::to_owned)
        .collect();
    for starts_workflow in [false, true] {
        let mut given = given("web-services");
        given.insert(
            "starts_late_payment_workflow".to_owned(),
            json!(starts_workflow),
        );
        let plan = configuration().plan(&given);
        let wanted = if starts_workflow {
            needed.clone()
        } else {
            &needed - &launch
        };
        assert_eq!(allowed(&plan, "genesyscloud_oauth_client.stack"), wanted);
        assert_eq!(allowed(&plan, "genesyscloud_oauth_client.messages"), sends);
        assert_eq!(of_type(&plan, "genesyscloud_oauth_client").len(), 2);
        assert_eq!(of_type(&plan, "genesyscloud_auth_role").len(), 2);
    }
}

#[test]
fn a_role_holds_in_the_home_division_or_in_those_that_are_named() {
    let divisions = |ids: &[&str]| {
        let mut given = given("web-services");
        given.insert("division_ids".to_owned(), json!(ids));
        let plan = configuration().plan(&given);
        ["stack", "messages"].map(|client| {
            let roles =
                plan.resources[&format!("genesyscloud_oauth_client.{client}")]["roles"].clone();
            roles
                .as_array()
                .unwrap()
                .iter()
                .map(|role| role["division_id"].clone())
                .collect::<Vec<_>>()
        })
    };
    assert_eq!(
        divisions(&[]),
        [vec![Value::Null], vec![Value::Null]],
        "the provider takes the home division"
    );
    let two = [
        "0d6b3f3e-8f0f-4d3c-9d0f-1f1f6d0c0a01",
        "0d6b3f3e-8f0f-4d3c-9d0f-1f1f6d0c0a02",
    ];
    let both: Vec<Value> = two.iter().map(|id| json!(id)).collect();
    assert_eq!(divisions(&two), [both.clone(), both]);
}

#[test]
fn every_variable_is_used_and_described_and_no_secret_is_shown() {
    let configuration = configuration();
    let declared: BTreeSet<String> = configuration
        .all("variable")
        .map(|variable| label(variable, 0).to_owned())
        .collect();
    assert_eq!(
        declared.len(),
        configuration.all("variable").count(),
        "declared once"
    );
    let rest: Vec<String> = configuration
        .blocks
        .iter()
        .filter(|block| block.identifier.as_str() != "variable")
        .map(|block| hcl::format::to_string(block).unwrap())
        .collect();
    let used: BTreeSet<String> = rest
        .iter()
        .flat_map(|text| text.split("var.").skip(1))
        .map(|after| {
            after
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                .collect()
        })
        .collect();
    assert_eq!(declared, used);

    let flag = |block: &hcl::Block, name: &str| {
        attribute(&block.body, name) == Some(&hcl::Expression::Bool(true))
    };
    for block in configuration
        .all("variable")
        .chain(configuration.all("output"))
    {
        let name = label(block, 0);
        let described =
            attribute(&block.body, "description").is_some_and(|text| text.to_string().len() > 20);
        assert!(described, "{name} has no description");
        let secret = ["key", "secret", "token", "password"]
            .iter()
            .any(|part| name.split('_').any(|word| word == *part));
        assert_eq!(flag(block, "sensitive"), secret, "{name}");
        if secret {
            let default = attribute(&block.body, "default");
            assert!(
                default.is_none_or(|value| *value == hcl::Expression::Null),
                "{name} has a default"
            );
        }
    }

    let plan = plan("web-services");
    for (name, value) in &plan.outputs {
        let shows = ["client_secret", "the API key"]
            .iter()
            .any(|secret| value.to_string().contains(secret));
        let output = configuration
            .all("output")
            .find(|output| label(output, 0) == name)
            .unwrap();
        assert_eq!(shows, flag(output, "sensitive"), "{name}");
    }
    let secret: Value =
        serde_json::from_str(plan.outputs["genesys_secret"].as_str().unwrap()).unwrap();
    let client = "genesyscloud_oauth_client.stack";
    let wanted = json!({"client_id": format!("{client}.client_id"), "client_secret": format!("{client}.client_secret")});
    assert_eq!(
        secret, wanted,
        "what the functions read from Secrets Manager"
    );
}
