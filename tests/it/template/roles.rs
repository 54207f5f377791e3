//! Who may do what: every statement of every role, whole.

use std::collections::BTreeSet;

use serde_yaml_ng::Value;

use super::{keys, properties, rows, template, wanted, written};

const STRIPE_SECRET: &str = "{Sid: ReadStripeSecret, Effect: Allow, Action: secretsmanager:GetSecretValue, \
    Resource: !If [StripeSecretGiven, !Ref StripeSecretArn, !GetAtt StripeSecret.Id]}";
const GENESYS_SECRET: &str = "!If [HasGenesys, {Sid: ReadGenesysSecret, Effect: Allow, \
    Action: secretsmanager:GetSecretValue, \
    Resource: !If [GenesysSecretGiven, !Ref GenesysSecretArn, !GetAtt GenesysSecret.Id]}, !Ref AWS::NoValue]";
const SECRETS_KEY: &str = "!If [HasSecretsKey, {Sid: DecryptSecrets, Effect: Allow, Action: kms:Decrypt, \
    Resource: !Ref SecretsKeyArn, \
    Condition: {StringEquals: {kms:ViaService: !Sub secretsmanager.${AWS::Region}.amazonaws.com}}}, \
    !Ref AWS::NoValue]";

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

/// The statements of a role's only policy, each written; the role has nothing else but its trust.
fn statements(template: &Value, role: &str, policy: &str) -> Vec<String> {
    let properties = properties(template, role);
    let own = ["AssumeRolePolicyDocument", "Policies"];
    assert_eq!(
        rows(properties, &["Description"])
            .into_keys()
            .collect::<Vec<_>>(),
        own,
        "{role}"
    );
    let [only] = properties["Policies"].as_sequence().unwrap().as_slice() else {
        panic!("{role} has one policy")
    };
    assert_eq!(
        rows(only, &["PolicyDocument"]),
        wanted(&[("PolicyName", policy)]),
        "{role}"
    );
    assert_eq!(
        rows(&only["PolicyDocument"], &["Statement"]),
        wanted(&[("Version", "2012-10-17")]),
        "{role}"
    );
    only["PolicyDocument"]["Statement"]
        .as_sequence()
        .unwrap()
        .iter()
        .map(written)
        .collect()
}

/// Who may assume a role, written.
fn trust(template: &Value, role: &str) -> String {
    written(&properties(template, role)["AssumeRolePolicyDocument"])
}

#[test]
fn each_function_s_role_names_just_the_actions_and_resources_that_its_handler_s_bounds_name() {
    let template = template();
    let (check, get, put, update) = (
        "dynamodb:ConditionCheckItem",
        "dynamodb:GetItem",
        "dynamodb:PutItem",
        "dynamodb:UpdateItem",
    );
    for (name, policy, sid, actions, secrets) in [
        (
            "CreateIntent",
            "create-intent",
            "OpenPayments",
            vec![check, get, put, update],
            vec![STRIPE_SECRET],
        ),
        (
            "StripeWebhook",
            "stripe-webhook",
            "MovePayments",
            vec![get, put, update],
            vec![STRIPE_SECRET, GENESYS_SECRET],
        ),
        (
            "StatusQuery",
            "status-query",
            "ReadAndRefreshPayments",
            vec![get, put, update],
            vec![STRIPE_SECRET, GENESYS_SECRET],
        ),
    ] {
        let role = format!("{name}Role");
        let logs = format!(
            "{{Sid: WriteLogs, Effect: Allow, Action: [logs:CreateLogStream, logs:PutLogEvents], \
             Resource: !GetAtt {name}Logs.Arn}}"
        );
        let table = format!(
            "{{Sid: {sid}, Effect: Allow, Action: [{}], Resource: !GetAtt PaymentTable.Arn}}",
            actions.join(", ")
        );
        let wanted = [vec![logs.as_str(), &table], secrets, vec![SECRETS_KEY]].concat();
        assert_eq!(statements(&template, &role, policy), wanted, "{role}");
        assert_eq!(
            trust(&template, &role),
            "{Version: 2012-10-17, Statement: [{Effect: Allow, Principal: {Service: lambda.amazonaws.com}, \
             Action: sts:AssumeRole}]}",
            "{role}"
        );
        let mut found = BTreeSet::new();
        strings(properties(&template, &role), &mut found);
        assert!(
            !found.iter().any(|text| text.contains('*')),
            "{role} has a wildcard"
        );
    }
}

#[test]
fn genesys_may_invoke_just_what_its_api_calls_and_only_for_the_named_organization() {
    let template = template();
    let role = "GenesysInvokeRole";
    assert_eq!(
        trust(&template, role),
        "{Version: 2012-10-17, Statement: [{Effect: Allow, \
         Principal: {AWS: !Sub arn:${AWS::Partition}:iam::${GenesysAwsAccountId}:root}, Action: sts:AssumeRole, \
         Condition: {StringEquals: {sts:ExternalId: !Ref GenesysOrgId}}}]}"
    );
    assert_eq!(
        statements(&template, role, "genesys-data-actions"),
        [
            "{Sid: InvokeTheTwoFunctions, Effect: Allow, Action: lambda:InvokeFunction, \
             Resource: [!GetAtt CreateIntentFunction.Arn, !GetAtt StatusQueryFunction.Arn]}"
        ]
    );
    let behind_the_api: BTreeSet<String> = super::apis::events(&template)
        .into_iter()
        .map(|(function, _)| function)
        .collect();
    assert_eq!(
        behind_the_api,
        ["CreateIntentFunction", "StatusQueryFunction"]
            .map(str::to_owned)
            .into()
    );
}

#[test]
fn nothing_in_the_template_holds_a_credential() {
    let template = template();
    for (name, parameter) in template["Parameters"].as_mapping().unwrap() {
        assert!(
            !keys(parameter).contains("NoEcho"),
            "{name:?} is a secret, which no parameter may be"
        );
    }
    let mut found = BTreeSet::new();
    strings(&template, &mut found);
    for prefix in ["sk_", "rk_", "whsec_", "{{resolve:"] {
        assert!(!found.iter().any(|text| text.contains(prefix)), "{prefix}");
    }
}
