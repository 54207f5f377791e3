//! The floors of the house, kept: functions, lambda, use cases, ports beside adapters, domain. A
//! file names nothing of a floor above its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// What no file below a folder may name.
const FORBIDDEN: [(&str, &[&str]); 5] = [
    (
        "domain/",
        &[
            "crate::ports",
            "crate::adapters",
            "crate::usecases",
            "crate::lambda",
            "tokio",
            "tracing",
            "telemetry",
            "SystemTime",
            "Instant",
            "std::env",
            "reqwest",
            "lambda_http",
            "aws_",
        ],
    ),
    (
        "ports/",
        &[
            "crate::adapters",
            "crate::usecases",
            "crate::lambda",
            "SystemTime",
            "std::env",
            "reqwest",
            "lambda_http",
            "aws_",
        ],
    ),
    (
        "usecases/",
        &[
            "crate::adapters",
            "crate::lambda",
            "SystemTime",
            "std::env",
            "reqwest",
            "lambda_http",
            "aws_",
        ],
    ),
    (
        "adapters/",
        &[
            "crate::usecases",
            "crate::lambda",
            "std::env",
            "lambda_http",
        ],
    ),
    ("lambda/", &["aws_sdk", "reqwest", "SystemTime"]),
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
fn no_file_names_anything_of_a_floor_above_its_own() {
    for (path, text) in sources("shared/src") {
        let floor = FORBIDDEN.iter().find(|(floor, _)| path.starts_with(floor));
        let Some((_, forbidden)) = floor else {
            assert_eq!(path, "lib.rs", "every file has its floor");
            continue;
        };
        for name in *forbidden {
            assert!(!text.contains(name), "{path} names {name}");
        }
    }
    for (path, text) in sources("functions") {
        if !path.ends_with("main.rs") {
            for name in ["aws_", "reqwest", "shared::adapters", "std::env"] {
                assert!(!text.contains(name), "{path} names {name}");
            }
        }
    }
}

#[test]
fn each_outside_system_is_named_in_one_place() {
    let shared = sources("shared/src");
    assert_eq!(
        naming(&shared, "aws_sdk_dynamodb"),
        [
            "adapters/aws.rs",
            "adapters/dynamodb/busy.rs",
            "adapters/dynamodb/expression.rs",
            "adapters/dynamodb/item.rs",
            "adapters/dynamodb/mod.rs",
            "adapters/dynamodb/transact.rs",
            "adapters/dynamodb/turns.rs"
        ]
    );
    assert_eq!(
        naming(&shared, "aws_sdk_secretsmanager"),
        ["adapters/aws.rs", "adapters/secrets/manager.rs"]
    );
    assert_eq!(
        naming(&shared, "rustls"),
        ["adapters/aws.rs", "adapters/http.rs", "adapters/tls.rs"]
    );
    assert_eq!(
        naming(&shared, "std::env"),
        ["lambda/config/mod.rs", "lambda/telemetry.rs"]
    );
}

#[test]
fn secrets_are_exposed_where_they_are_spent_and_nowhere_else() {
    let shared = sources("shared/src");
    assert_eq!(
        naming(&shared, "expose_secret"),
        [
            "adapters/aws.rs",
            "adapters/genesys/client.rs",
            "adapters/genesys/token.rs",
            "adapters/secrets/cache.rs",
            "adapters/secrets/genesys.rs",
            "adapters/secrets/secret.rs",
            "adapters/secrets/stripe.rs",
            "adapters/stripe/client.rs",
            "adapters/stripe/signature.rs",
            "lambda/reply.rs"
        ]
    );
    assert_eq!(naming(&shared, ".expose()"), ["adapters/stripe/intents.rs"]);
    assert!(naming(&sources("functions"), "expose").is_empty());
}
