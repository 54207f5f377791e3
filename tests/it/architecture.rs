//! The arrows between the modules, kept: functions → shared, domain below use cases, one file per
//! outside system.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

const DOMAIN: [&str; 10] = [
    "card_guard.rs",
    "conversation.rs",
    "ids.rs",
    "link.rs",
    "money.rs",
    "payment.rs",
    "secret_guard.rs",
    "signature.rs",
    "stripe_object.rs",
    "time.rs",
];
const USE_CASES: [&str; 8] = [
    "cancel.rs",
    "create.rs",
    "notify.rs",
    "pay_link.rs",
    "ports.rs",
    "query.rs",
    "secrets.rs",
    "settle.rs",
];

/// Source files below a folder, by path relative to it, without their tests and comments.
fn sources(folder: &str) -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(folder);
    let mut found = BTreeMap::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let shipped = text.split("#[cfg(test)]").next().unwrap();
                let code: Vec<&str> = shipped
                    .lines()
                    .filter(|line| !line.trim_start().starts_with("//"))
                    .collect();
                found.insert(
                    path.strip_prefix(&root).unwrap().display().to_string(),
                    code.join("\n"),
                );
            }
        }
    }
    assert!(!found.is_empty(), "{folder} has no sources");
    found
}

/// The files that name something.
fn naming<'a>(sources: &'a BTreeMap<String, String>, name: &str) -> Vec<&'a str> {
    sources
        .iter()
        .filter(|(_, text)| text.contains(name))
        .map(|(path, _)| path.as_str())
        .collect()
}

#[test]
fn the_domain_knows_no_aws_no_http_no_use_case_and_no_time_of_day() {
    let shared = sources("shared/src");
    for file in DOMAIN {
        let text = &shared[file];
        for name in [
            "aws_",
            "reqwest",
            "lambda_http",
            "std::env",
            "crate::adapters",
            "crate::api",
            "crate::config",
        ] {
            assert!(!text.contains(name), "{file} names {name}");
        }
        for use_case in USE_CASES {
            let module = format!("crate::{}", use_case.trim_end_matches(".rs"));
            assert!(!text.contains(&module), "{file} names {module}");
        }
    }
    assert_eq!(naming(&shared, "SystemTime"), ["time.rs"]);
}

#[test]
fn use_cases_speak_to_ports_only() {
    let shared = sources("shared/src");
    for file in USE_CASES {
        for name in [
            "aws_",
            "reqwest",
            "lambda_http",
            "std::env",
            "crate::adapters",
            "crate::api",
            "crate::config",
        ] {
            assert!(!shared[file].contains(name), "{file} names {name}");
        }
    }
}

#[test]
fn each_outside_system_is_named_in_one_place() {
    let shared = sources("shared/src");
    assert_eq!(
        naming(&shared, "aws_sdk_dynamodb"),
        ["adapters/aws.rs", "adapters/dynamodb.rs"]
    );
    assert_eq!(
        naming(&shared, "aws_sdk_secretsmanager"),
        ["adapters/aws.rs", "adapters/secrets_manager.rs"]
    );
    let of_http = [
        "adapters/aws.rs",
        "adapters/genesys.rs",
        "adapters/http.rs",
        "adapters/stripe.rs",
    ];
    assert_eq!(naming(&shared, "reqwest"), of_http);
    assert_eq!(
        naming(&shared, "rustls"),
        ["adapters/aws.rs", "adapters/http.rs", "adapters/tls.rs"]
    );
    assert_eq!(naming(&shared, "lambda_http"), ["api.rs", "entry.rs"]);
    assert_eq!(naming(&shared, "std::env"), ["config.rs", "telemetry.rs"]);
}

#[test]
fn secrets_are_exposed_where_they_are_spent_and_nowhere_else() {
    let shared = sources("shared/src");
    assert_eq!(
        naming(&shared, "expose_secret"),
        [
            "adapters/aws.rs",
            "adapters/genesys.rs",
            "adapters/stripe.rs",
            "api.rs",
            "secrets.rs",
            "signature.rs"
        ]
    );
    assert_eq!(naming(&shared, ".expose()"), ["adapters/stripe.rs"]);
    assert!(naming(&sources("functions"), "expose").is_empty());
}

#[test]
fn handlers_take_ports_and_only_main_wires_adapters() {
    for (path, text) in sources("functions") {
        if !path.ends_with("main.rs") {
            for name in ["aws_", "reqwest", "shared::adapters", "std::env"] {
                assert!(!text.contains(name), "{path} names {name}");
            }
        }
    }
}

#[test]
fn every_source_file_of_the_crate_has_its_place() {
    let shared = sources("shared/src");
    let edges = [
        "adapters.rs",
        "api.rs",
        "config.rs",
        "entry.rs",
        "fields.rs",
        "lib.rs",
        "telemetry.rs",
    ];
    for path in shared.keys().filter(|path| !path.starts_with("adapters/")) {
        let known = DOMAIN
            .iter()
            .chain(&USE_CASES)
            .chain(&edges)
            .any(|file| file == path);
        assert!(
            known,
            "{path} is neither domain, use case, adapter nor edge"
        );
    }
}
