//! docs/genesys.md leaves nothing out that an engineer meets, and its links lead somewhere.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use shared::lambda::problem::ProblemCode;

use crate::plan::{Configuration, label};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .unwrap()
}

fn guide() -> String {
    fs::read_to_string(root().join("docs/genesys.md")).unwrap()
}

/// What is set as code in a text.
fn code(text: &str) -> BTreeSet<&str> {
    text.lines()
        .flat_map(|line| line.split('`').skip(1).step_by(2))
        .collect()
}

#[test]
fn every_problem_code_has_something_to_do() {
    let contract = fs::read_to_string(root().join("docs/api.md")).unwrap();
    let codes = code(&contract);
    for problem in ProblemCode::ALL {
        assert!(codes.contains(problem.as_str()), "{}", problem.as_str());
    }
    // Those that API Gateway answers with by itself.
    let template = fs::read_to_string(root().join("template.yaml")).unwrap();
    let own: BTreeSet<&str> = template
        .split("\"code\":\"")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap())
        .filter(|code| !code.starts_with('$'))
        .collect();
    assert_eq!(own.len(), 6, "{own:?}");
    assert!(own.is_subset(&codes), "{:?}", own.difference(&codes));
}

#[test]
fn every_action_flow_variable_and_placeholder_is_named() {
    let guide = guide();
    let codes = code(&guide);
    let genesys = root().join("genesys");
    let files = |folder: &str| -> Vec<String> {
        fs::read_dir(genesys.join(folder))
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect()
    };
    for action in files("data-actions/web-services")
        .iter()
        .chain(&files("data-actions/genesys-cloud"))
    {
        let name = action.strip_suffix(".custom.json").unwrap();
        assert!(codes.iter().any(|code| code.ends_with(name)), "{name}");
    }
    for flow in files("flow").iter().filter(|name| name.ends_with(".yaml")) {
        assert!(codes.contains(flow.as_str()), "{flow}");
    }
    let example = fs::read_to_string(genesys.join("flow/values.example.json")).unwrap();
    let example: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(&example).unwrap();
    for name in example.keys() {
        assert!(codes.contains(name.as_str()), "{name}");
    }
    for variable in Configuration::read(&genesys.join("terraform")).all("variable") {
        assert!(codes.contains(label(variable, 0)), "{}", label(variable, 0));
    }
}

/// The anchor that a heading gets.
fn anchor(heading: &str) -> String {
    let kept = heading
        .chars()
        .filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let docs = fs::read_dir(root().join("docs"))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let beside = [
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "README.md",
        "SECURITY.md",
    ];
    let pages: Vec<PathBuf> = docs
        .filter(|path| path.extension().is_some_and(|e| e == "md"))
        .chain(beside.map(|page| root().join(page)))
        .collect();
    let mut links = 0;
    for page in &pages {
        let text = fs::read_to_string(page).unwrap();
        for link in text
            .split("](")
            .skip(1)
            .map(|rest| rest.split(')').next().unwrap())
        {
            if link.starts_with("http") {
                continue;
            }
            links += 1;
            let (file, heading) = link
                .split_once('#')
                .map_or((link, None), |(file, heading)| (file, Some(heading)));
            let target = if file.is_empty() {
                page.clone()
            } else {
                page.with_file_name(file)
            };
            let there = fs::read_to_string(&target)
                .unwrap_or_else(|error| panic!("{}: {link}: {error}", page.display()));
            let anchors: Vec<String> = there
                .lines()
                .filter(|line| line.starts_with('#'))
                .map(|line| anchor(line.trim_start_matches('#').trim()))
                .collect();
            assert!(
                heading.is_none_or(|heading| anchors.iter().any(|a| a == heading)),
                "{}: {link}",
                page.display()
            );
        }
    }
    assert!(links > 10, "{links} links");
}
