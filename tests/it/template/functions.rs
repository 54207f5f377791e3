//! The three functions: what they run as, their variables, and how long each of their callers
//! waits.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use shared::lambda::config::{CreateIntentConfig, StatusQueryConfig, WebhookConfig};

use super::{properties, rows, template, wanted};

/// Every function, and the folder of its binary.
const FUNCTIONS: [(&str, &str); 3] = [
    ("CreateIntentFunction", "create-intent"),
    ("StripeWebhookFunction", "stripe-webhook"),
    ("StatusQueryFunction", "status-query"),
];

const STRIPE_SECRET: &str =
    "!If [StripeSecretGiven, !Ref StripeSecretArn, !GetAtt StripeSecret.Id]";

const OF_ALL: [(&str, &str); 6] = [
    ("TABLE_NAME", "!Ref PaymentTable"),
    ("STRIPE_SECRET_ID", STRIPE_SECRET),
    ("RECORD_DAYS", "!Ref RecordDays"),
    ("PAID_RECORD_DAYS", "!Ref PaidRecordDays"),
    ("STRIPE_API_BASE", "!Ref StripeApiBase"),
    (
        "AWS_ENDPOINT_URL",
        "!If [HasAwsEndpoint, !Ref AwsEndpointUrl, !Ref AWS::NoValue]",
    ),
];

const OF_CREATE_INTENT: [(&str, &str); 9] = [
    ("ALLOWED_CURRENCIES", "!Ref AllowedCurrencies"),
    ("REGION_CURRENCIES", "!Ref RegionCurrencies"),
    ("MAX_AMOUNTS", "!Ref MaxAmounts"),
    ("CAPTURE_METHOD", "!Ref CaptureMethod"),
    ("MOTO", "!Ref Moto"),
    ("ORDER_SCOPE", "!Ref OrderScope"),
    ("BUDGET_MS", "!Ref BudgetMs"),
    (
        "PAY_LINK_BASE",
        "!If [HasPayLinkBase, !Ref PayLinkBase, !Sub https://${PayApi}.execute-api.${AWS::Region}.${AWS::URLSuffix}/v1]",
    ),
    ("PAY_LINK_MINUTES", "!Ref PayLinkMinutes"),
];

const OF_WHO_TELLS_GENESYS: [(&str, &str); 5] = [
    (
        "GENESYS_SECRET_ID",
        "!If [HasGenesys, !If [GenesysSecretGiven, !Ref GenesysSecretArn, !GetAtt GenesysSecret.Id], '']",
    ),
    ("GENESYS_DOMAIN", "!Ref GenesysDomain"),
    (
        "GENESYS_LATE_PAYMENT_FLOW_ID",
        "!Ref GenesysLatePaymentFlowId",
    ),
    ("GENESYS_API_BASE", "!Ref GenesysApiBase"),
    ("GENESYS_LOGIN_BASE", "!Ref GenesysLoginBase"),
];

/// The variables of a function as the template sets them, each value written.
fn variables(function: &str) -> BTreeMap<String, String> {
    let template = template();
    let mut all = rows(
        &template["Globals"]["Function"]["Environment"]["Variables"],
        &[],
    );
    for (name, value) in rows(
        &properties(&template, function)["Environment"]["Variables"],
        &[],
    ) {
        assert_eq!(
            all.insert(name.clone(), value),
            None,
            "{function} replaces {name} of all functions"
        );
    }
    all
}

#[test]
fn each_variable_of_each_function_has_its_value() {
    let of_status_query = [("MERCHANT_NAME", "!Ref MerchantName")];
    let with_all = |own: &[(&'static str, &'static str)]| wanted(OF_ALL.iter().chain(own));
    assert_eq!(
        variables("CreateIntentFunction"),
        with_all(&OF_CREATE_INTENT)
    );
    assert_eq!(
        variables("StripeWebhookFunction"),
        with_all(&OF_WHO_TELLS_GENESYS)
    );
    assert_eq!(
        variables("StatusQueryFunction"),
        with_all(&[&of_status_query[..], &OF_WHO_TELLS_GENESYS].concat())
    );
}

/// What a function asks for when it reads its configuration from these variables, and what is wrong
/// with them.
fn ask(
    function: &str,
    lookup: impl Fn(&str) -> Option<String>,
) -> (BTreeSet<String>, Option<String>) {
    let asked = RefCell::new(BTreeSet::new());
    let lookup = |name: &str| {
        asked.borrow_mut().insert(name.to_owned());
        lookup(name)
    };
    let errors = match function {
        "CreateIntentFunction" => CreateIntentConfig::read(lookup).err(),
        "StatusQueryFunction" => StatusQueryConfig::read(lookup).err(),
        _ => WebhookConfig::read(lookup).err(),
    };
    (asked.into_inner(), errors.map(|errors| errors.to_string()))
}

#[test]
fn each_function_gets_the_variables_its_configuration_reads() {
    for (function, _) in FUNCTIONS {
        let (mut asked, _) = ask(function, |name| {
            (name == "GENESYS_SECRET_ID").then(|| "genesys".to_owned())
        });
        asked.insert("AWS_ENDPOINT_URL".to_owned()); // read by the SDK
        assert_eq!(
            variables(function).into_keys().collect::<BTreeSet<_>>(),
            asked,
            "{function}"
        );
    }
}

#[test]
fn each_function_starts_with_the_parameters_defaults() {
    let template = template();
    for (function, _) in FUNCTIONS {
        let variables = variables(function);
        let (_, errors) = ask(function, |name| {
            let value = variables.get(name)?;
            let parameter = value
                .strip_prefix("!Ref ")
                .map(|name| &template["Parameters"][name]["Default"]);
            match (parameter, name) {
                (Some(serde_yaml_ng::Value::String(default)), _) => Some(default.clone()),
                (Some(serde_yaml_ng::Value::Number(default)), _) => Some(default.to_string()),
                (_, "PAY_LINK_BASE") => {
                    Some("https://a1b2c3.execute-api.eu-central-1.amazonaws.com/v1".to_owned())
                }
                (_, "TABLE_NAME" | "STRIPE_SECRET_ID") => Some("made-by-the-stack".to_owned()),
                _ => None,
            }
        });
        assert_eq!(errors, None, "{function}");
    }
}

#[test]
fn each_function_runs_its_own_binary_under_its_own_role_and_logs_json_into_its_own_group() {
    let template = template();
    let of_all = [
        ("Runtime", "provided.al2023"),
        ("Handler", "bootstrap"),
        ("Architectures", "[!Ref Architecture]"),
        ("MemorySize", "512"),
    ];
    assert_eq!(
        super::keys(&template["Globals"]),
        BTreeSet::from(["Function".to_owned()])
    );
    assert_eq!(
        rows(&template["Globals"]["Function"], &["Environment"]),
        wanted(&of_all)
    );
    for (function, folder) in FUNCTIONS {
        let name = function.strip_suffix("Function").unwrap();
        let logging = format!(
            "{{LogFormat: JSON, ApplicationLogLevel: INFO, SystemLogLevel: INFO, LogGroup: !Ref {name}Logs}}"
        );
        let (code, role) = (
            format!("target/lambda/{folder}/"),
            format!("!GetAtt {name}Role.Arn"),
        );
        let mut own = vec![
            ("CodeUri", code.as_str()),
            ("Role", &role),
            ("LoggingConfig", &logging),
        ];
        if folder == "stripe-webhook" {
            // Stripe signs its events in a way of its own, so AWS must let them through.
            own.push(("FunctionUrlConfig", "{AuthType: NONE}"));
        }
        let elsewhere = ["Description", "Environment", "Events", "Timeout"];
        assert_eq!(
            rows(properties(&template, function), &elsewhere),
            wanted(&own),
            "{function}"
        );
        let group = format!("!Sub /aws/lambda/${{AWS::StackName}}/{folder}");
        let logs = [
            ("LogGroupName", group.as_str()),
            ("RetentionInDays", "!Ref LogRetentionDays"),
        ];
        assert_eq!(
            rows(properties(&template, &format!("{name}Logs")), &[]),
            wanted(&logs)
        );
    }
}

/// Function and event, and their waits.
type Wait = (&'static str, &'static str, u64, u64, Option<u64>, u64);

/// Milliseconds: the whole answer, the API's integration, the Data Action, Lambda itself. None
/// waits for a Data Action on the payer's side.
const WAITS: [Wait; 5] = [
    (
        "CreateIntentFunction",
        "CreatePayment",
        4800,
        4900,
        Some(5000),
        5000,
    ),
    (
        "CreateIntentFunction",
        "CancelPayment",
        4800,
        4900,
        Some(5000),
        5000,
    ),
    (
        "StatusQueryFunction",
        "GetPayment",
        2000,
        2900,
        Some(3000),
        3000,
    ),
    ("StatusQueryFunction", "OpenPage", 2000, 2900, None, 3000),
    ("StatusQueryFunction", "OpenSession", 2000, 2900, None, 3000),
];

#[test]
fn every_wait_is_shorter_than_the_one_around_it() {
    let template = template();
    let mut events = BTreeSet::new();
    for (function, event, budget_ms, api_ms, data_action_ms, lambda_ms) in WAITS {
        assert!(budget_ms < api_ms && api_ms < lambda_ms, "{event}");
        assert!(
            data_action_ms.is_none_or(|ms| api_ms < ms && ms <= lambda_ms),
            "{event}"
        );
        let longest_budget_ms = match function {
            "CreateIntentFunction" => template["Parameters"]["BudgetMs"]["MaxValue"]
                .as_u64()
                .unwrap(),
            _ => millis(status_query::BUDGET),
        };
        assert_eq!(longest_budget_ms, budget_ms, "{function}");
        let function_properties = properties(&template, function);
        assert_eq!(
            function_properties["Timeout"].as_u64().unwrap() * 1000,
            lambda_ms,
            "{function}"
        );
        let integration = &function_properties["Events"][event]["Properties"]["TimeoutInMillis"];
        assert_eq!(integration.as_u64(), Some(api_ms), "{event}");
        events.insert((function.to_owned(), event.to_owned()));
    }
    assert_eq!(
        super::apis::events(&template),
        events,
        "every event has its row"
    );

    let webhook_ms = properties(&template, "StripeWebhookFunction")["Timeout"]
        .as_u64()
        .unwrap()
        * 1000;
    assert_eq!(webhook_ms, 10_000);
    assert!(millis(stripe_webhook::BUDGET) < webhook_ms);
    assert!(
        webhook_ms < millis(shared::usecases::notify::TURN_LAPSES_AFTER),
        "no living holder loses its turn"
    );

    let needed = |name: &str| {
        ["TABLE_NAME", "STRIPE_SECRET_ID"]
            .contains(&name)
            .then(|| "x".to_owned())
    };
    let budget = CreateIntentConfig::read(needed).unwrap().budget;
    assert_eq!(
        template["Parameters"]["BudgetMs"]["Default"].as_u64(),
        Some(millis(budget))
    );
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap()
}
