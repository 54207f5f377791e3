//! The two flows: their files held to the Data Actions and the statuses, and whole calls played
//! through them.

mod calls;
mod expression;
mod player;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;
use std::sync::LazyLock;
use tests::root;

use serde_json::{Value as Json, json};
use serde_yaml_ng::Value as Yaml;
use shared::domain::payment::PaymentStatus;

use expression::{Expression, Sound, Value};
use player::{Caller, Flow, Player, Step, entry};

const FILES: [&str; 2] = ["phone-payment.yaml", "phone-payment-secure.yaml"];
const AMERICAN: &str = "tel:+13125550187";

fn source(file: &str) -> String {
    fs::read_to_string(root().join("genesys/flow").join(file)).unwrap()
}

fn values() -> BTreeMap<String, String> {
    serde_json::from_str(&source("values.example.json")).unwrap()
}

fn filled(file: &str, values: &BTreeMap<String, String>) -> String {
    let mut text = source(file);
    for (name, value) in values {
        text = text.replace(&format!("{{{{{name}}}}}"), value);
    }
    assert!(!text.contains("{{"), "{file}: a placeholder has no value");
    text
}

/// The flows with the example's values.
fn both() -> &'static [Flow; 2] {
    static FLOWS: LazyLock<[Flow; 2]> =
        LazyLock::new(|| FILES.map(|file| Flow::read(&filled(file, &values()))));
    &FLOWS
}

/// Every mapping and sequence below a value, itself included.
fn all(yaml: &Yaml) -> Vec<&Yaml> {
    let below: Vec<&Yaml> = match yaml {
        Yaml::Sequence(items) => items.iter().collect(),
        Yaml::Mapping(map) => map.values().collect(),
        _ => Vec::new(),
    };
    std::iter::once(yaml)
        .chain(below.into_iter().flat_map(all))
        .collect()
}

/// Every action below a value, with its kind.
fn actions(yaml: &Yaml) -> Vec<(&str, &Yaml)> {
    let lists = all(yaml)
        .into_iter()
        .filter_map(|yaml| yaml.get("actions")?.as_sequence());
    lists.flatten().map(entry).collect()
}

fn of_kind<'a>(yaml: &'a Yaml, kinds: &[&str]) -> Vec<&'a Yaml> {
    actions(yaml)
        .into_iter()
        .filter(|(kind, _)| kinds.contains(kind))
        .map(|(_, action)| action)
        .collect()
}

fn expressions(yaml: &Yaml) -> Vec<Expression> {
    all(yaml)
        .into_iter()
        .filter_map(|yaml| yaml.get("exp")?.as_str())
        .map(Expression::parse)
        .collect()
}

fn variables_in(expression: &Expression) -> BTreeSet<String> {
    let variable = |part: &&Expression| matches!(part, Expression::Variable(_));
    expression
        .parts()
        .into_iter()
        .filter(variable)
        .map(|part| {
            let Expression::Variable(name) = part else {
                unreachable!()
            };
            name.clone()
        })
        .collect()
}

/// Declared variables and their types, the tasks' own included.
fn declared(flow: &Flow) -> BTreeMap<String, String> {
    let lists = std::iter::once(&flow.root)
        .chain(flow.tasks())
        .filter_map(|holder| holder["variables"].as_sequence());
    let mut found = BTreeMap::new();
    for (kind, variable) in lists.flatten().map(entry) {
        let name = variable["name"].as_str().unwrap().to_owned();
        let old = found.insert(name, kind.strip_suffix("Variable").unwrap().to_owned());
        assert_eq!(old, None, "{:?} is declared twice", variable["name"]);
    }
    found
}

/// The type of an expression that makes an input. A text is made of texts only.
fn type_of(expression: &Expression, types: &BTreeMap<String, String>) -> String {
    match expression {
        Expression::Variable(name) => types.get(name).map_or("string", String::as_str).to_owned(),
        Expression::Operation(_, operator, _) if operator == "==" => "boolean".to_owned(),
        made => {
            let read = variables_in(made);
            let is_text = |name: &String| types.get(name).is_none_or(|kind| kind == "string");
            assert!(
                read.iter().all(is_text),
                "{made:?} is made of more than texts"
            );
            "string".to_owned()
        }
    }
}

/// A Data Action as the file of its name has it.
struct DataAction {
    file: Json,
    messages: bool,
}

fn data_actions() -> BTreeMap<String, DataAction> {
    let mut found = BTreeMap::new();
    for folder in ["web-services", "aws-lambda", "genesys-cloud"] {
        for file in fs::read_dir(root().join("genesys/data-actions").join(folder)).unwrap() {
            let file: Json =
                serde_json::from_str(&fs::read_to_string(file.unwrap().path()).unwrap()).unwrap();
            let name = file["name"].as_str().unwrap().to_owned();
            found.insert(
                name,
                DataAction {
                    file,
                    messages: folder == "genesys-cloud",
                },
            );
        }
    }
    found
}

/// Every status a reply can have.
fn statuses() -> Vec<&'static str> {
    use PaymentStatus as S;
    let next = |status| match status {
        S::Creating => Some(S::Pending),
        S::Pending => Some(S::Processing),
        S::Processing => Some(S::Authorized),
        S::Authorized => Some(S::Confirmed),
        S::Confirmed => Some(S::Declined),
        S::Declined => Some(S::Canceled),
        S::Canceled => None,
    };
    let known =
        std::iter::successors(Some(S::Creating), |status| next(*status)).map(PaymentStatus::as_str);
    known.chain(["NOT_FOUND"]).collect()
}

#[test]
fn every_data_action_step_keeps_to_the_contract_of_its_file() {
    let lambda: BTreeMap<_, _> = values()
        .into_iter()
        .map(|(name, value)| {
            if name.ends_with("_action") {
                (name, format!("{value} (Lambda)"))
            } else {
                (name, value)
            }
        })
        .collect();
    let known = data_actions();
    let mut called = BTreeSet::new();
    for values in [values(), lambda] {
        for flow in FILES.map(|file| Flow::read(&filled(file, &values))) {
            let types = declared(&flow);
            for (kind, step) in actions(&flow.root)
                .into_iter()
                .filter(|(kind, _)| kind.starts_with("callData"))
            {
                let (category, data_action) = entry(&step["category"]);
                let (name, given) = entry(&data_action["dataAction"]);
                let action = known
                    .get(name)
                    .unwrap_or_else(|| panic!("there is no file for {name}"));
                called.insert(name.to_owned());
                let integration = if action.messages {
                    "messages_integration"
                } else {
                    "payments_integration"
                };
                assert_eq!(category, values[integration], "{name}");
                assert_eq!(
                    kind == "callDataSecure",
                    action.file["secure"].as_bool().unwrap(),
                    "{name}"
                );

                let input = &action.file["contract"]["input"]["inputSchema"];
                // Whether a new price replaces the open payment is said wherever it can be.
                let says = given["inputs"]["replace"].get("exp").is_some();
                assert_eq!(says, input["properties"].get("replace").is_some(), "{name}");
                for (field, value) in given["inputs"].as_mapping().unwrap() {
                    let field = field.as_str().unwrap();
                    let wanted = input["properties"][field]["type"]
                        .as_str()
                        .unwrap_or_else(|| panic!("{name}: {field}"));
                    if value.get("noValue").is_none() {
                        let given = Expression::parse(value["exp"].as_str().unwrap());
                        assert_eq!(type_of(&given, &types), wanted, "{name}: {field}");
                    }
                }
                for required in input["required"].as_array().unwrap() {
                    let value = &given["inputs"][required.as_str().unwrap()];
                    assert!(value.get("exp").is_some(), "{name}: {required} is missing");
                }
                for (field, to) in given["successOutputs"].as_mapping().unwrap() {
                    let schema = &action.file["contract"]["output"]["successSchema"]["properties"];
                    let is = schema[field.as_str().unwrap()]["type"]
                        .as_str()
                        .unwrap_or_else(|| panic!("{name}: {field:?}"));
                    if let Some(variable) = to["var"].as_str() {
                        assert_eq!(types[variable], is, "{name}: {variable}");
                    }
                }
                for path in ["success", "failure", "timeout"] {
                    let steps = step["outputs"][path]["actions"].as_sequence();
                    assert!(
                        steps.is_some_and(|steps| !steps.is_empty()),
                        "{name}: nothing is done on {path}"
                    );
                }
                let own = step["timeout"]["lit"]["seconds"].as_u64().unwrap();
                assert!(
                    own > action.file["config"]["timeoutSeconds"].as_u64().unwrap(),
                    "{name} gives up too early"
                );
            }
        }
    }
    let both_ways = ["Create Payment", "Confirm With Token", "Get Payment Status"];
    let mut wanted: BTreeSet<String> = both_ways
        .iter()
        .flat_map(|n| [(*n).to_owned(), format!("{n} (Lambda)")])
        .collect();
    wanted.insert("Send Payment Link".to_owned());
    assert_eq!(called, wanted);
}

#[test]
fn every_payment_status_has_a_branch_wherever_one_is_learned() {
    for flow in both() {
        let learns = |step: &&Yaml| {
            let (_, data_action) = entry(&entry(&step["category"]).1["dataAction"]);
            data_action["successOutputs"]["payment_status"]["var"] == "Flow.payment_status"
        };
        let steps = of_kind(&flow.root, &["callData", "callDataSecure"]);
        let learning: Vec<_> = steps.into_iter().filter(learns).collect();
        assert_eq!(
            learning.len(),
            if flow.kind == "inboundCall" { 2 } else { 1 }
        );
        for step in learning {
            let success = &step["outputs"]["success"];
            let switch = of_kind(success, &["switch"])
                .into_iter()
                .find(|switch| switch["name"] == "Payment status");
            let first_true = &switch.expect("no switch on the status")["evaluate"]["firstTrue"];
            let mut branches = Vec::new();
            for case in first_true["cases"].as_sequence().unwrap() {
                let condition = case["case"]["value"]["exp"].as_str().unwrap();
                let status = condition
                    .strip_prefix("Flow.payment_status == \"")
                    .and_then(|rest| rest.strip_suffix('"'));
                branches.push(status.unwrap_or_else(|| panic!("{condition}")));
                assert!(
                    !case["case"]["actions"].as_sequence().unwrap().is_empty(),
                    "{condition}"
                );
            }
            branches.sort_unstable();
            let mut wanted = statuses();
            wanted.sort_unstable();
            assert_eq!(branches, wanted, "{:?}", step["name"]);
            assert!(
                !first_true["default"]["actions"]
                    .as_sequence()
                    .unwrap()
                    .is_empty(),
                "{:?}",
                step["name"]
            );
        }
    }
}

/// Whether steps cannot run out: the last one is a last one, or branches all of whose ways end.
fn ends(actions: &Yaml) -> bool {
    let Some((kind, last)) = actions
        .as_sequence()
        .and_then(|actions| Some(entry(actions.last()?)))
    else {
        return false;
    };
    let outputs = |paths: &[&str]| {
        paths
            .iter()
            .all(|path| ends(&last["outputs"][*path]["actions"]))
    };
    match kind {
        "jumpToTask" | "disconnect" | "returnToAgent" => true,
        "decision" => outputs(&["yes", "no"]),
        "callData" | "callDataSecure" => outputs(&["success", "failure", "timeout"]),
        "switch" => {
            let first_true = &last["evaluate"]["firstTrue"];
            let cases = first_true["cases"].as_sequence().unwrap();
            ends(&first_true["default"]["actions"])
                && cases.iter().all(|case| ends(&case["case"]["actions"]))
        }
        _ => false,
    }
}

#[test]
fn every_task_is_reached_ends_and_leads_somewhere() {
    for flow in both() {
        let mut reached = BTreeSet::new();
        let mut next = vec![flow.root["startUpRef"].as_str().unwrap()];
        while let Some(reference) = next.pop() {
            let task = flow.task(reference);
            if reached.insert(task["name"].as_str().unwrap()) {
                next.extend(
                    of_kind(task, &["jumpToTask"])
                        .into_iter()
                        .map(|jump| jump["targetTaskRef"].as_str().unwrap()),
                );
            }
        }
        let names: Vec<_> = flow
            .tasks()
            .map(|task| task["name"].as_str().unwrap())
            .collect();
        assert_eq!(
            reached,
            names.iter().copied().collect(),
            "a task is never reached"
        );
        assert_eq!(reached.len(), names.len(), "two tasks have one name");
        for task in flow.tasks() {
            assert_eq!(task["name"], task["refId"]);
            assert!(ends(&task["actions"]), "{:?} runs out", task["name"]);
        }
        for list in all(&flow.root)
            .into_iter()
            .filter_map(|yaml| yaml.get("actions")?.as_sequence())
        {
            let kinds: Vec<_> = list.iter().map(|action| entry(action).0).collect();
            let after = kinds
                .iter()
                .position(|kind| matches!(*kind, "jumpToTask" | "returnToAgent"));
            assert!(
                after.is_none_or(|at| at + 1 == kinds.len()),
                "steps after a jump are never taken: {kinds:?}"
            );
        }
    }
}

#[test]
fn every_variable_is_declared_set_and_read_and_has_the_type_it_is_set_to() {
    const BUILT_IN: [&str; 4] = [
        "Call.ConversationId",
        "Call.Ani",
        "Call.Language",
        "Flow.InvocationData",
    ];
    for flow in both() {
        let types = declared(flow);
        let read: BTreeSet<String> = expressions(&flow.root)
            .iter()
            .flat_map(variables_in)
            .collect();
        let mut set = BTreeSet::new();
        for statement in of_kind(&flow.root, &["updateData"])
            .iter()
            .flat_map(|step| step["statements"].as_sequence().unwrap())
        {
            let (kind, statement) = entry(statement);
            let name = statement["variable"].as_str().unwrap();
            assert_eq!(types.get(name).map(String::as_str), Some(kind), "{name}");
            set.insert(name.to_owned());
        }
        for step in of_kind(&flow.root, &["getParticipantData"]) {
            let attributes = step["attributes"].as_sequence().unwrap();
            set.extend(
                attributes
                    .iter()
                    .map(|entry| entry["attribute"]["variable"].as_str().unwrap().to_owned()),
            );
        }
        set.extend(
            all(&flow.root)
                .into_iter()
                .filter_map(|yaml| Some(yaml.get("var")?.as_str()?.to_owned())),
        );

        let names: BTreeSet<String> = types.keys().cloned().collect();
        let built_in: BTreeSet<String> = BUILT_IN.map(str::to_owned).into();
        assert_eq!(
            &read - &(&names | &built_in),
            BTreeSet::new(),
            "read and not declared"
        );
        assert_eq!(&set - &names, BTreeSet::new(), "set and not declared");
        assert_eq!(&names - &read, BTreeSet::new(), "declared and never read");
        let settings = ["Flow.default_region", "Flow.sms_from"]
            .map(str::to_owned)
            .into();
        let never_set = &names - &set;
        let wanted = if flow.kind == "inboundCall" {
            settings
        } else {
            BTreeSet::new()
        };
        assert_eq!(never_set, wanted, "declared and never set");
    }
}

#[test]
fn the_texts_of_a_language_are_in_one_task_and_complete() {
    for flow in both() {
        let languages: Vec<&str> = flow.root["supportedLanguages"]
            .as_mapping()
            .unwrap()
            .keys()
            .map(|code| code.as_str().unwrap())
            .collect();
        let mut tasks = BTreeMap::new();
        for code in &languages {
            let caller = Caller {
                language: code.to_string().leak(),
                ani: AMERICAN,
                ..Caller::default()
            };
            let mut player = Player::new(flow, caller);
            player.go();
            tasks.insert(*code, player.visited[1].clone());
        }
        assert_eq!(tasks["en-us"], "English");
        assert_eq!(
            tasks.values().collect::<BTreeSet<_>>().len(),
            languages.len(),
            "{tasks:?}"
        );

        let texts = |code: &str| -> BTreeMap<&str, &str> {
            let task = flow
                .tasks()
                .find(|task| task["name"] == tasks[code])
                .unwrap();
            let statements = of_kind(task, &["updateData"])[0]["statements"]
                .as_sequence()
                .unwrap();
            let texts = statements
                .iter()
                .map(entry)
                .filter(|(kind, _)| *kind == "string");
            texts
                .map(|(_, text)| {
                    (
                        text["variable"].as_str().unwrap(),
                        text["value"]["lit"].as_str().unwrap(),
                    )
                })
                .collect()
        };
        let english = texts("en-us");
        for code in languages.iter().filter(|code| **code != "en-us") {
            let other = texts(code);
            let declines = |name: &&&str| name.starts_with("Flow.say_declined");
            let (declines, rest): (Vec<&&str>, Vec<_>) = other.keys().partition(declines);
            assert_eq!(rest, english.keys().collect::<Vec<_>>(), "{code}");
            assert_eq!(declines.is_empty(), flow.kind == "secureCall");
            for (name, text) in &other {
                assert!(!text.trim().is_empty(), "{code}: {name}");
                assert_ne!(
                    english.get(name),
                    Some(text),
                    "{code}: {name} is not translated"
                );
                assert_eq!(
                    text.contains('1'),
                    english.get(name).unwrap_or(&"").contains('1'),
                    "{code}: {name}"
                );
            }
        }
        // No text is anywhere else: what is spoken is variables, and what joins them.
        assert!(all(&flow.root).iter().all(|yaml| yaml.get("tts").is_none()));
        for audio in expressions(&flow.root).iter().flat_map(Expression::parts) {
            let Expression::Function(name, arguments) = audio else {
                continue;
            };
            for part in arguments.iter().filter(|_| name == "ToAudioTTS") {
                assert!(matches!(part, Expression::Variable(_)), "{part:?}");
            }
        }
    }
}

#[test]
fn no_step_takes_a_card_digit() {
    let [inbound, secure] = both();
    assert_eq!(of_kind(&secure.root, &["collectInput"]).len(), 0);
    let questions = of_kind(&inbound.root, &["collectInput"]);
    assert_eq!(questions.len(), 1);
    assert_eq!(questions[0]["digits"]["exact"].as_u64(), Some(1));
    let digit = questions[0]["inputData"]["var"].as_str().unwrap();
    // The one digit goes nowhere but into comparisons with 1 and 2.
    let compared = |part: &Expression| match part {
        Expression::Operation(left, operator, right) if operator == "==" => {
            match (left.as_ref(), right.as_ref()) {
                (Expression::Variable(name), Expression::Literal(Value::Text(key))) => {
                    name == digit && ["1", "2"].contains(&key.as_str())
                }
                _ => false,
            }
        }
        _ => false,
    };
    for expression in expressions(&inbound.root) {
        let parts = expression.parts();
        let uses = parts
            .iter()
            .filter(|part| matches!(part, Expression::Variable(name) if name == digit))
            .count();
        assert_eq!(
            uses,
            parts.iter().filter(|part| compared(part)).count(),
            "{expression:?}"
        );
    }
    let recorded = [
        "menu",
        "callBot",
        "callBotFlow",
        "dialByExtension",
        "enableParticipantRecord",
    ];
    assert!(
        both()
            .iter()
            .all(|flow| of_kind(&flow.root, &recorded).is_empty()
                && flow.root.get("menus").is_none())
    );
}

#[test]
fn a_token_goes_into_the_secure_charge_and_nowhere_else() {
    let uses = |yaml: &Yaml| {
        let read = expressions(yaml)
            .into_iter()
            .filter(|read| variables_in(read).contains("Flow.InvocationData"));
        read.count()
    };
    let [inbound, secure] = both();
    assert_eq!(uses(&inbound.root), 0);
    let is_looked_at: usize = of_kind(&secure.root, &["decision"])
        .iter()
        .map(|step| uses(&step["condition"]))
        .sum();
    let is_charged: usize = of_kind(&secure.root, &["callDataSecure"])
        .iter()
        .map(|step| {
            uses(&entry(&entry(&step["category"]).1["dataAction"]).1["inputs"]["payment_method"])
        })
        .sum();
    assert_eq!((is_looked_at, is_charged, uses(&secure.root)), (1, 1, 2));
}

#[test]
fn an_amount_is_a_text_from_end_to_end() {
    for flow in both() {
        let types = declared(flow);
        let amounts = types.iter().filter(|(name, _)| name.contains("amount"));
        assert!(
            amounts.clone().count() > 0 && amounts.clone().all(|(_, kind)| kind == "string"),
            "{types:?}"
        );
        for part in expressions(&flow.root).iter().flat_map(Expression::parts) {
            if let Expression::Operation(left, operator, right) = part {
                let money = [left, right].into_iter().any(|side| {
                    variables_in(side)
                        .iter()
                        .any(|name| name.contains("amount"))
                });
                assert!(!money || operator == "or", "{part:?}");
            }
        }
        for step in of_kind(&flow.root, &["callData", "callDataSecure"]) {
            let (_, data_action) = entry(&entry(&step["category"]).1["dataAction"]);
            if let Some(minor) = data_action["inputs"].get("amount_minor") {
                assert_eq!(entry(minor).0, "noValue");
                assert_eq!(data_action["inputs"]["amount"]["exp"], "Flow.amount");
            }
        }
    }
}

#[test]
fn the_waits_are_as_long_as_the_files_say() {
    for (file, task, said) in [
        (
            FILES[0],
            "Wait",
            "asks 36 times, 5 seconds apart: 180 seconds",
        ),
        (
            FILES[1],
            "Read Status",
            "asked for 10 times, 3 # seconds apart: 30 seconds",
        ),
    ] {
        let words = source(file)
            .lines()
            .take_while(|line| line.starts_with('#'))
            .collect::<Vec<_>>()
            .join(" ");
        assert!(words.contains(said), "{file}");
        let numbers: Vec<u64> = said
            .split_whitespace()
            .filter_map(|word| word.parse().ok())
            .collect();
        let flow = &both()[usize::from(file != FILES[0])];
        let task = flow.tasks().find(|found| found["name"] == task).unwrap();
        let waits = of_kind(task, &["loop"]);
        let silences: Vec<u64> = of_kind(waits[0], &["playAudio"])
            .iter()
            .filter_map(|step| {
                match &player::value(&step["audio"], &|_| Value::text("")).into_audio()[..] {
                    [Sound::Silence(ms)] => Some(*ms),
                    _ => None,
                }
            })
            .collect();
        let passes = waits[0]["loopCount"]["lit"].as_u64().unwrap();
        assert_eq!(
            (passes, silences),
            (numbers[0], vec![numbers[1] * 1000]),
            "{file}"
        );
        assert_eq!(passes * numbers[1], numbers[2], "{file}");
    }
}

#[test]
fn the_script_fills_in_every_value_and_refuses_those_that_would_break_the_file() {
    let python = root().join(".venv/bin/python");
    assert!(
        python.exists(),
        "the tools are not installed: run `make tools`"
    );
    let folder = std::env::temp_dir().join(format!("phone-payments-flows-{}", std::process::id()));
    let run = |values: &Json| {
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("values.json");
        fs::write(&path, values.to_string()).unwrap();
        let script = root().join("genesys/flow/fill.py");
        Command::new(&python)
            .arg(script)
            .arg(path)
            .arg(folder.join("out"))
            .output()
            .unwrap()
    };
    let example = json!(values());
    assert!(run(&example).status.success());
    for file in FILES {
        assert_eq!(
            fs::read_to_string(folder.join("out").join(file)).unwrap(),
            filled(file, &values())
        );
    }
    let with = |name: &str, value: Json| {
        let mut values = example.clone();
        values[name] = value;
        values
    };
    for (wrong, said) in [
        (json!([]), "no JSON object"),
        (with("queue", json!("a\"b")), "queue wants"),
        (with("queue", json!("a\nb")), "queue wants"),
        (with("queue", json!("{{division}}")), "queue wants"),
        (with("queue", json!(5)), "queue wants"),
        (with("queue", json!("")), "queue wants"),
        (with("que", json!("x")), "unknown: que"),
        (
            with("sms_from_address", json!("2025550143")),
            "sms_from_address wants",
        ),
        (json!({ "queue": "x" }), "missing: "),
    ] {
        let output = run(&wrong);
        assert_eq!(output.status.code(), Some(1), "{wrong}");
        assert!(
            String::from_utf8_lossy(&output.stderr).contains(said),
            "{wrong}: {output:?}"
        );
    }
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_region_of_the_flow_is_one_of_the_stack() {
    let template: Yaml =
        serde_yaml_ng::from_str(&fs::read_to_string(root().join("template.yaml")).unwrap())
            .unwrap();
    let default = template["Parameters"]["RegionCurrencies"]["Default"]
        .as_str()
        .unwrap();
    let known: BTreeSet<&str> = default
        .split(',')
        .filter_map(|pair| pair.split('=').next())
        .collect();
    let [inbound, _] = both();
    for (ani, currency, region) in [
        (AMERICAN, None, "US"),
        ("tel:+442079460000", None, "GB"),
        ("tel:+4930901820", None, "EU"),
        ("tel:+33199000000", None, "EU"),
        ("tel:+34910000000", None, "EU"),
        ("tel:+390655500000", None, "EU"),
        ("tel:+353209123456", None, "EU"),
        ("tel:+421200000000", None, "EU"),
        ("tel:+819012345678", None, "US"),
        ("anonymous", None, "US"),
        ("", None, "US"),
        ("tel:+442079460000", Some("eur"), ""),
    ] {
        let data = currency
            .map(|currency| ("payment_currency".to_owned(), currency.to_owned()))
            .into_iter()
            .collect();
        let mut player = Player::new(
            inbound,
            Caller {
                ani,
                language: "en-us",
                data,
                ..Caller::default()
            },
        );
        let Step::Call(call) = player.go() else {
            panic!("no Data Action")
        };
        assert_eq!(call.inputs["region"], Value::text(region), "{ani}");
        assert_eq!(
            call.inputs["currency"],
            Value::text(currency.unwrap_or_default()),
            "{ani}"
        );
        assert!(region.is_empty() || known.contains(region), "{region}");
    }
}
