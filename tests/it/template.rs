//! template.yaml says what the code relies on: every value and every wire. What a rule can say is a
//! rule here; the rest is a table of its own, so that no value changes unseen.

mod apis;
mod data;
mod functions;
mod parameters;
mod roles;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use tests::root;

use serde_yaml_ng::Value;

pub(crate) fn template() -> Value {
    serde_yaml_ng::from_str(&fs::read_to_string(root().join("template.yaml")).unwrap()).unwrap()
}

/// The pages whose tables say what the code does.
fn readme() -> String {
    let pages = ["docs/api.md", "docs/deploy.md", "docs/operations.md"];
    pages
        .map(|page| fs::read_to_string(root().join(page)).unwrap())
        .concat()
}

/// The properties of a resource.
fn properties<'a>(template: &'a Value, name: &str) -> &'a Value {
    let properties = &template["Resources"][name]["Properties"];
    assert!(properties.is_mapping(), "no {name}");
    properties
}

fn keys(mapping: &Value) -> BTreeSet<String> {
    mapping
        .as_mapping()
        .unwrap()
        .keys()
        .map(|key| key.as_str().unwrap().to_owned())
        .collect()
}

/// A value in YAML's flow style, with the intrinsic functions in their short form.
pub(crate) fn written(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        // A text that would read as something else without its quotes.
        Value::String(text) if !matches!(serde_yaml_ng::from_str(text), Ok(Value::String(_))) => {
            format!("'{text}'")
        }
        Value::String(text) => text.clone(),
        Value::Sequence(items) => format!(
            "[{}]",
            items.iter().map(written).collect::<Vec<_>>().join(", ")
        ),
        Value::Mapping(map) => {
            let pairs = map
                .iter()
                .map(|(key, value)| format!("{}: {}", written(key), written(value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
        }
        Value::Tagged(tagged) => format!("{} {}", tagged.tag, written(&tagged.value)),
    }
}

/// A mapping, each value written, but for what is looked at elsewhere or only read by people.
fn rows(mapping: &Value, but: &[&str]) -> BTreeMap<String, String> {
    let entries = mapping
        .as_mapping()
        .unwrap()
        .iter()
        .map(|(key, value)| (written(key), written(value)));
    entries
        .filter(|(key, _)| !but.contains(&key.as_str()))
        .collect()
}

/// What [`rows`] must be.
fn wanted<'a>(rows: impl IntoIterator<Item = &'a (&'a str, &'a str)>) -> BTreeMap<String, String> {
    rows.into_iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

/// The rows of these pages' first table after a text; each cell without its blanks.
pub(crate) fn readme_table(after: &str) -> Vec<Vec<String>> {
    let readme = readme();
    let (_, rest) = readme
        .split_once(after)
        .unwrap_or_else(|| panic!("no page has {after:?}"));
    let table = rest
        .lines()
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'));
    let rows = table.skip(2).map(|row| {
        row.trim_matches('|')
            .split(" | ")
            .map(|cell| cell.trim().to_owned())
            .collect()
    });
    rows.collect()
}

/// What is set as code in a text, in order.
pub(crate) fn code(text: &str) -> Vec<String> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_stack_has_these_resources_and_no_other() {
    let template = template();
    let sections = [
        "AWSTemplateFormatVersion",
        "Transform",
        "Description",
        "Metadata",
        "Parameters",
    ]
    .into_iter()
    .chain(["Conditions", "Globals", "Resources", "Outputs"]);
    assert_eq!(keys(&template), sections.map(str::to_owned).collect());
    assert_eq!(
        written(&template["Transform"]),
        "AWS::Serverless-2016-10-31"
    );
    let (function, role) = ("AWS::Serverless::Function", "AWS::IAM::Role");
    let (logs, secret) = ("AWS::Logs::LogGroup", "AWS::SecretsManager::Secret");
    let mut found = BTreeSet::new();
    for (name, kind, condition, when_deleted) in [
        ("CreateIntentFunction", function, "", ""),
        ("CreateIntentRole", role, "", ""),
        ("CreateIntentLogs", logs, "", "Delete"),
        ("StripeWebhookFunction", function, "", ""),
        ("StripeWebhookRole", role, "", ""),
        ("StripeWebhookLogs", logs, "", "Delete"),
        ("StatusQueryFunction", function, "", ""),
        ("StatusQueryRole", role, "", ""),
        ("StatusQueryLogs", logs, "", "Delete"),
        ("PaymentApi", "AWS::Serverless::Api", "", ""),
        ("PayApi", "AWS::Serverless::Api", "", ""),
        ("ApiKey", "AWS::ApiGateway::ApiKey", "", ""),
        ("UsagePlan", "AWS::ApiGateway::UsagePlan", "", ""),
        ("UsagePlanKey", "AWS::ApiGateway::UsagePlanKey", "", ""),
        // Nobody is trusted unless an organization is named.
        ("GenesysInvokeRole", role, "HasGenesysOrg", ""),
        ("PaymentTable", "AWS::DynamoDB::Table", "", "Retain"),
        ("StripeSecret", secret, "CreateStripeSecret", "Retain"),
        ("GenesysSecret", secret, "CreateGenesysSecret", "Retain"),
    ] {
        let mut attributes = vec![("Type", kind)];
        if !condition.is_empty() {
            attributes.push(("Condition", condition));
        }
        if !when_deleted.is_empty() {
            attributes.extend([
                ("DeletionPolicy", when_deleted),
                ("UpdateReplacePolicy", when_deleted),
            ]);
        }
        if kind == function {
            attributes.push(("Metadata", "{SkipBuild: true}"));
        }
        assert_eq!(
            rows(&template["Resources"][name], &["Properties"]),
            wanted(&attributes),
            "{name}"
        );
        found.insert(name.to_owned());
    }
    assert_eq!(keys(&template["Resources"]), found);
}
