//! template.yaml says what the code relies on: privileges, variables, time-outs, and where nothing secret may be.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_yaml_ng::Value;
use shared::config::{CreateIntentConfig, StatusQueryConfig, SyncConfig};

fn template() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../template.yaml");
    serde_yaml_ng::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn function<'a>(template: &'a Value, name: &str) -> &'a Value {
    let function = &template["Resources"][name]["Properties"];
    assert!(function.is_mapping(), "no {name}");
    function
}

fn keys(mapping: &Value) -> BTreeSet<String> {
    mapping.as_mapping().unwrap().keys().map(|key| key.as_str().unwrap().to_owned()).collect()
}

/// Every string in a value, whatever its tags.
fn strings(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => {
            found.insert(text.clone());
        }
        Value::Sequence(items) => items.iter().for_each(|item| strings(item, found)),
        Value::Mapping(map) => map.values().for_each(|value| strings(value, found)),
        Value::Tagged(tagged) => strings(&tagged.value, found),
        _ => {}
    }
}

/// What a short-form intrinsic function such as `!Ref` refers to.
fn tagged<'a>(tag: &str, value: &'a Value) -> &'a str {
    match value {
        Value::Tagged(tagged) if tagged.tag == tag => tagged.value.as_str().unwrap(),
        other => panic!("{other:?} is not {tag}"),
    }
}

#[test]
fn each_function_s_role_names_just_the_actions_its_handler_s_bounds_name() {
    let template = template();
    let (get, put, query, update) = ("dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query", "dynamodb:UpdateItem");
    for (role, table) in [
        ("CreateIntentRole", vec![get, put, update]),
        ("StripeWebhookRole", vec![get, put, update]),
        ("StatusQueryRole", vec![get, put, query, update]),
    ] {
        let mut found = BTreeSet::new();
        strings(&function(&template, role)["Policies"], &mut found);
        assert!(!found.iter().any(|text| text.contains('*')), "{role} has a wildcard");
        let actions: BTreeSet<&str> = found
            .iter()
            .map(String::as_str)
            .filter(|text| ["dynamodb:", "secretsmanager:", "logs:", "kms:"].iter().any(|s| text.starts_with(s)))
            .filter(|text| *text != "kms:ViaService")
            .collect();
        let others = ["kms:Decrypt", "logs:CreateLogStream", "logs:PutLogEvents", "secretsmanager:GetSecretValue"];
        assert_eq!(actions, table.into_iter().chain(others).collect(), "{role}");
        assert_eq!(found.contains("GenesysSecret.Id"), role != "CreateIntentRole", "{role}");
    }
}

#[test]
fn genesys_may_invoke_just_what_its_api_calls_and_only_for_the_named_organization() {
    let template = template();
    let role = &template["Resources"]["GenesysInvokeRole"];
    assert_eq!(role["Condition"], "HasGenesysOrg", "nobody is trusted unless an organization is named");
    let trust = &role["Properties"]["AssumeRolePolicyDocument"]["Statement"];
    assert_eq!(trust.as_sequence().unwrap().len(), 1);
    assert_eq!(trust[0]["Action"], "sts:AssumeRole");
    assert_eq!(keys(&trust[0]["Principal"]), BTreeSet::from(["AWS".to_owned()]));
    let account = tagged("!Sub", &trust[0]["Principal"]["AWS"]);
    assert_eq!(account, "arn:${AWS::Partition}:iam::${GenesysAwsAccountId}:root");
    assert_eq!(keys(&trust[0]["Condition"]), BTreeSet::from(["StringEquals".to_owned()]));
    assert_eq!(tagged("!Ref", &trust[0]["Condition"]["StringEquals"]["sts:ExternalId"]), "GenesysOrgId");

    let policies = &role["Properties"]["Policies"];
    let statements = &policies[0]["PolicyDocument"]["Statement"];
    assert_eq!((policies.as_sequence().unwrap().len(), statements.as_sequence().unwrap().len()), (1, 1));
    assert_eq!(statements[0]["Action"], "lambda:InvokeFunction");
    let may_invoke: BTreeSet<&str> =
        statements[0]["Resource"].as_sequence().unwrap().iter().map(|arn| tagged("!GetAtt", arn)).collect();
    let behind_the_api: BTreeSet<String> = template["Resources"]
        .as_mapping()
        .unwrap()
        .iter()
        .filter(|(_, resource)| resource["Properties"]["Events"].is_mapping())
        .map(|(name, _)| format!("{}.Arn", name.as_str().unwrap()))
        .collect();
    assert_eq!(may_invoke, behind_the_api.iter().map(String::as_str).collect());

    let outputs = &template["Outputs"];
    assert_eq!(outputs["GenesysInvokeRoleArn"]["Condition"], "HasGenesysOrg");
    let given =
        ["CreateIntentFunctionArn", "StatusQueryFunctionArn"].map(|name| tagged("!GetAtt", &outputs[name]["Value"]));
    assert_eq!(BTreeSet::from(given), may_invoke);
}

#[test]
fn each_function_gets_the_variables_its_configuration_reads() {
    let template = template();
    let global = keys(&template["Globals"]["Function"]["Environment"]["Variables"]);
    let asked = RefCell::new(BTreeSet::new());
    let lookup = |name: &str| {
        asked.borrow_mut().insert(name.to_owned());
        (name == "GENESYS_SECRET_ID").then(|| "genesys".to_owned())
    };
    let sdk = BTreeSet::from(["AWS_ENDPOINT_URL".to_owned()]);
    for name in ["CreateIntentFunction", "StripeWebhookFunction", "StatusQueryFunction"] {
        asked.borrow_mut().clear();
        let _ = match name {
            "CreateIntentFunction" => CreateIntentConfig::read(lookup).err(),
            "StatusQueryFunction" => StatusQueryConfig::read(lookup).err(),
            _ => SyncConfig::read(lookup).err(),
        };
        let own = keys(&function(&template, name)["Environment"]["Variables"]);
        let given: BTreeSet<String> = global.union(&own).cloned().collect();
        assert_eq!(given, asked.borrow().union(&sdk).cloned().collect(), "{name}");
    }
}

#[test]
fn every_wait_is_shorter_than_the_one_around_it() {
    let template = template();
    let config =
        CreateIntentConfig::read(|name| ["TABLE_NAME", "STRIPE_SECRET_ID"].contains(&name).then(|| "x".to_owned()))
            .unwrap();
    let longest_budget = template["Parameters"]["BudgetMs"]["MaxValue"].as_u64().unwrap();
    assert_eq!(template["Parameters"]["BudgetMs"]["Default"].as_u64().unwrap(), 4500);
    assert_eq!(config.budget, Duration::from_millis(4500));
    for (name, budget_ms, event, data_action_ms) in [
        ("CreateIntentFunction", longest_budget, "CreatePayment", 5000),
        ("StatusQueryFunction", millis(status_query::BUDGET), "GetPayment", 3000),
    ] {
        let lambda_ms = function(&template, name)["Timeout"].as_u64().unwrap() * 1000;
        let api = function(&template, name)["Events"][event]["Properties"]["TimeoutInMillis"].as_u64().unwrap();
        assert!(budget_ms < api && api < data_action_ms && data_action_ms <= lambda_ms, "{name}");
    }
    let webhook_ms = function(&template, "StripeWebhookFunction")["Timeout"].as_u64().unwrap() * 1000;
    assert!(millis(stripe_webhook::BUDGET) < webhook_ms);
    assert!(webhook_ms < millis(shared::notify::TURN_LAPSES_AFTER), "no living holder loses its turn");
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap()
}

#[test]
fn the_table_and_the_secrets_outlive_the_stack() {
    let template = template();
    for name in ["PaymentTable", "StripeSecret", "GenesysSecret"] {
        let resource = &template["Resources"][name];
        assert_eq!(
            (&resource["DeletionPolicy"], &resource["UpdateReplacePolicy"]),
            (&"Retain".into(), &"Retain".into())
        );
    }
    let table = &template["Resources"]["PaymentTable"]["Properties"];
    assert_eq!(table["TimeToLiveSpecification"]["AttributeName"], "expires_at");
    assert_eq!(table["SSESpecification"]["SSEEnabled"], true);
    assert_eq!(table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"], true);
    for name in ["StripeSecret", "GenesysSecret"] {
        let secret = keys(&template["Resources"][name]["Properties"]);
        assert!(
            !secret.contains("SecretString") && !secret.contains("GenerateSecretString"),
            "{name} is an empty shell"
        );
    }
}

#[test]
fn every_function_logs_json_into_a_group_with_retention() {
    let template = template();
    for (name, logs) in [
        ("CreateIntentFunction", "CreateIntentLogs"),
        ("StripeWebhookFunction", "StripeWebhookLogs"),
        ("StatusQueryFunction", "StatusQueryLogs"),
    ] {
        let logging = &function(&template, name)["LoggingConfig"];
        assert_eq!(logging["LogFormat"], "JSON");
        let Value::Tagged(group) = &logging["LogGroup"] else { panic!("{name} refers to no log group") };
        assert_eq!(group.value, logs);
        assert!(keys(function(&template, logs)).contains("RetentionInDays"));
    }
}
