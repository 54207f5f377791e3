//! One DynamoDB table in memory, in DynamoDB's own JSON: the operations and the parts of the
//! expression language that the functions and the two peers use. Anything else is refused, not
//! guessed.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// The table's name.
pub(crate) const NAME: &str = "payments";

/// An item, or a key: attribute names with `{"S": …}`, `{"N": …}` and the like.
pub(crate) type Item = Map<String, Value>;

#[derive(Default)]
pub(crate) struct Table {
    items: BTreeMap<(String, String), Item>,
}

/// Why a request has no result.
#[derive(Debug, PartialEq)]
pub(crate) enum Refusal {
    /// The condition does not hold for this item, or for none.
    Condition(Option<Item>),
    /// The request is none that is known here; says which part.
    Unknown(String),
}

impl Table {
    /// The item of a key.
    pub(crate) fn get(&self, pk: &str, sk: &str) -> Option<&Item> {
        self.items.get(&(pk.to_owned(), sk.to_owned()))
    }

    /// Writes an item, whatever is there.
    pub(crate) fn put(&mut self, item: Item) -> Result<(), Refusal> {
        self.items.insert(key_of(&item)?, item);
        Ok(())
    }

    /// Answers an operation: the status and the JSON that DynamoDB answers with.
    ///
    /// # Errors
    /// What is not known here, for the run to fail with.
    pub(crate) fn answer(
        &mut self,
        operation: &str,
        asked: &Value,
    ) -> Result<(u16, Value), String> {
        match self.carry_out(operation, asked) {
            Ok(answer) => Ok((200, answer)),
            Err(Refusal::Condition(item)) => {
                let mut error = json!({
                    "__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",
                    "message": "The conditional request failed",
                });
                if asked["ReturnValuesOnConditionCheckFailure"] == "ALL_OLD"
                    && let Some(item) = item
                {
                    error["Item"] = Value::Object(item);
                }
                Ok((400, error))
            }
            Err(Refusal::Unknown(what)) => Err(format!("{operation}: {what}")),
        }
    }

    fn carry_out(&mut self, operation: &str, asked: &Value) -> Result<Value, Refusal> {
        if operation != "TransactWriteItems" && asked["TableName"] != NAME {
            return Err(unknown("TableName", &asked["TableName"]));
        }
        match operation {
            "GetItem" => {
                let key = key_of(object(&asked["Key"])?)?;
                Ok(self
                    .items
                    .get(&key)
                    .map_or(json!({}), |item| json!({ "Item": item })))
            }
            "PutItem" => {
                let (key, item) = self.next_of_put(asked)?;
                self.items.insert(key, item);
                Ok(json!({}))
            }
            "UpdateItem" => {
                let (key, item, changed) = self.next_of_update(asked)?;
                let answer = match asked["ReturnValues"].as_str() {
                    None | Some("NONE") => json!({}),
                    Some("UPDATED_NEW") => json!({ "Attributes": changed }),
                    Some("ALL_NEW") => json!({ "Attributes": item }),
                    _ => return Err(unknown("ReturnValues", &asked["ReturnValues"])),
                };
                self.items.insert(key, item);
                Ok(answer)
            }
            "TransactWriteItems" => self.transact(asked),
            _ => Err(unknown("operation", &json!(operation))),
        }
    }

    fn next_of_put(&self, asked: &Value) -> Result<((String, String), Item), Refusal> {
        let item = object(&asked["Item"])?;
        let key = key_of(item)?;
        self.check(asked, &key)?;
        Ok((key, item.clone()))
    }

    fn next_of_update(&self, asked: &Value) -> Result<((String, String), Item, Item), Refusal> {
        let key_item = object(&asked["Key"])?;
        let key = key_of(key_item)?;
        self.check(asked, &key)?;
        let before = self
            .items
            .get(&key)
            .cloned()
            .unwrap_or_else(|| key_item.clone());
        let (next, changed) = update(asked, &before)?;
        Ok((key, next, changed))
    }

    fn check(&self, asked: &Value, key: &(String, String)) -> Result<(), Refusal> {
        let Some(condition) = asked["ConditionExpression"].as_str() else {
            return Ok(());
        };
        let item = self.items.get(key);
        let mut parser = Parser::new(condition, asked);
        let holds = parser.any(item.unwrap_or(&Item::new()))?;
        parser.end()?;
        if holds {
            Ok(())
        } else {
            Err(Refusal::Condition(item.cloned()))
        }
    }

    /// Every write, or none.
    fn transact(&mut self, asked: &Value) -> Result<Value, Refusal> {
        let mut writes = Vec::new();
        let mut reasons = Vec::new();
        for part in list(&asked["TransactItems"])? {
            let next = match object(part)?.iter().next() {
                Some((kind, write)) if write["TableName"] != NAME => {
                    Err(unknown(kind, &write["TableName"]))
                }
                Some((kind, write)) if kind == "Put" => self.next_of_put(write).map(Some),
                Some((kind, write)) if kind == "Update" => self
                    .next_of_update(write)
                    .map(|(key, item, _)| Some((key, item))),
                Some((kind, check)) if kind == "ConditionCheck" => {
                    let key = key_of(object(&check["Key"])?)?;
                    self.check(check, &key).map(|()| None)
                }
                _ => Err(unknown("part of a transaction", part)),
            };
            match next {
                Ok(write) => {
                    writes.extend(write);
                    reasons.push("None");
                }
                Err(Refusal::Condition(_)) => reasons.push("ConditionalCheckFailed"),
                Err(refusal) => return Err(refusal),
            }
        }
        if reasons.iter().any(|reason| *reason != "None") {
            // Nothing of the benchmark loses a race, so a canceled transaction is a mistake.
            return Err(unknown("canceled transaction", &json!(reasons)));
        }
        self.items.extend(writes);
        Ok(json!({}))
    }
}

fn unknown(what: &str, came: &Value) -> Refusal {
    Refusal::Unknown(format!(
        "the stand-in knows no {what} {came}; teach it in tests/bench/src/table.rs"
    ))
}

fn object(value: &Value) -> Result<&Item, Refusal> {
    value
        .as_object()
        .ok_or_else(|| unknown("object in place of", value))
}

fn list(value: &Value) -> Result<&Vec<Value>, Refusal> {
    value
        .as_array()
        .ok_or_else(|| unknown("list in place of", value))
}

fn key_of(item: &Item) -> Result<(String, String), Refusal> {
    let text = |name: &str| {
        item.get(name)
            .and_then(|value| value["S"].as_str())
            .map(str::to_owned)
    };
    let key = text("pk").zip(text("sk"));
    key.ok_or_else(|| unknown("item without the texts pk and sk", &json!(item)))
}

/// The item after an update expression, and what of it is new.
fn update(asked: &Value, before: &Item) -> Result<(Item, Item), Refusal> {
    let Some(expression) = asked["UpdateExpression"].as_str() else {
        return Err(unknown("UpdateExpression", &asked["UpdateExpression"]));
    };
    let mut parser = Parser::new(expression, asked);
    let (mut next, mut changed) = (before.clone(), Item::new());
    while let Some(clause) = parser.next() {
        loop {
            let name = parser.name()?;
            let value = match clause.as_str() {
                "SET" => {
                    parser.expect("=")?;
                    Some(
                        parser
                            .operand(before)?
                            .ok_or_else(|| unknown("value of", &json!(name)))?,
                    )
                }
                "ADD" => Some(sum(before.get(&name), parser.operand(before)?.as_ref())?),
                "REMOVE" => None,
                _ => return Err(unknown("clause", &json!(clause))),
            };
            match value {
                Some(value) => {
                    changed.insert(name.clone(), value.clone());
                    next.insert(name, value);
                }
                None => {
                    next.remove(&name);
                }
            }
            if !parser.take(",") {
                break;
            }
        }
    }
    Ok((next, changed))
}

fn sum(one: Option<&Value>, other: Option<&Value>) -> Result<Value, Refusal> {
    let count = |value: Option<&Value>| match value {
        None => Some(0_i64),
        Some(value) => value["N"].as_str().and_then(|digits| digits.parse().ok()),
    };
    match count(one).zip(count(other)) {
        Some((one, other)) => Ok(json!({ "N": one.saturating_add(other).to_string() })),
        None => Err(unknown("sum of", &json!([one, other]))),
    }
}

/// Reads an expression from left to right and says what it comes to for an item.
struct Parser<'a> {
    tokens: std::iter::Peekable<std::vec::IntoIter<String>>,
    asked: &'a Value,
}

impl<'a> Parser<'a> {
    fn new(expression: &str, asked: &'a Value) -> Self {
        let mut tokens: Vec<String> = Vec::new();
        let mut in_word = false;
        for character in expression.chars() {
            let is_word =
                character.is_alphanumeric() || matches!(character, '#' | ':' | '_' | '.' | '-');
            let is_comparison = matches!(character, '<' | '>' | '=');
            let goes_on = match tokens.last() {
                Some(last) if is_comparison => matches!(last.as_str(), "<" | ">"),
                _ => is_word && in_word,
            };
            match tokens.last_mut().filter(|_| goes_on) {
                Some(last) => last.push(character),
                None if !character.is_whitespace() => tokens.push(character.to_string()),
                None => {}
            }
            in_word = is_word;
        }
        Self {
            tokens: tokens.into_iter().peekable(),
            asked,
        }
    }

    fn next(&mut self) -> Option<String> {
        self.tokens.next()
    }

    fn take(&mut self, token: &str) -> bool {
        self.tokens.next_if(|next| next == token).is_some()
    }

    fn expect(&mut self, token: &str) -> Result<(), Refusal> {
        match self.next() {
            Some(next) if next == token => Ok(()),
            next => Err(unknown(
                &format!("expression without {token} before"),
                &json!(next),
            )),
        }
    }

    fn end(&mut self) -> Result<(), Refusal> {
        self.next().map_or(Ok(()), |next| {
            Err(unknown("rest of an expression", &json!(next)))
        })
    }

    fn any(&mut self, item: &Item) -> Result<bool, Refusal> {
        let mut holds = self.all(item)?;
        while self.take("OR") {
            holds |= self.all(item)?;
        }
        Ok(holds)
    }

    fn all(&mut self, item: &Item) -> Result<bool, Refusal> {
        let mut holds = self.one(item)?;
        while self.take("AND") {
            holds &= self.one(item)?;
        }
        Ok(holds)
    }

    fn one(&mut self, item: &Item) -> Result<bool, Refusal> {
        if self.take("NOT") {
            return self.one(item).map(|holds| !holds);
        }
        if self.take("(") {
            let holds = self.any(item)?;
            self.expect(")")?;
            return Ok(holds);
        }
        for function in ["attribute_exists", "attribute_not_exists"] {
            if self.take(function) {
                self.expect("(")?;
                let name = self.name()?;
                self.expect(")")?;
                return Ok(item.contains_key(&name) == (function == "attribute_exists"));
            }
        }
        let left = self.operand(item)?;
        let comparison = self.next().unwrap_or_default();
        let right = self.operand(item)?;
        let order = compare(left.as_ref(), right.as_ref());
        Ok(match comparison.as_str() {
            "=" => order == Some(Ordering::Equal),
            "<>" => order != Some(Ordering::Equal),
            "<" => order == Some(Ordering::Less),
            "<=" => order.is_some_and(Ordering::is_le),
            ">" => order == Some(Ordering::Greater),
            ">=" => order.is_some_and(Ordering::is_ge),
            "BETWEEN" => {
                self.expect("AND")?;
                let most = self.operand(item)?;
                order.is_some_and(Ordering::is_ge)
                    && compare(left.as_ref(), most.as_ref()).is_some_and(Ordering::is_le)
            }
            _ => return Err(unknown("comparison", &json!(comparison))),
        })
    }

    /// An attribute's name, plain or behind its `#` placeholder.
    fn name(&mut self) -> Result<String, Refusal> {
        let token = self.next().unwrap_or_default();
        if token.starts_with('#') {
            let name = self.asked["ExpressionAttributeNames"][&token].as_str();
            return name
                .map(str::to_owned)
                .ok_or_else(|| unknown("placeholder", &json!(token)));
        }
        if token.is_empty()
            || token.contains(|character: char| !character.is_alphanumeric() && character != '_')
        {
            return Err(unknown("attribute name", &json!(token)));
        }
        Ok(token)
    }

    /// A value behind its `:` placeholder, or an attribute's; `None` where the item has none such.
    fn operand(&mut self, item: &Item) -> Result<Option<Value>, Refusal> {
        match self.tokens.next_if(|next| next.starts_with(':')) {
            Some(token) => {
                let value = self.asked["ExpressionAttributeValues"].get(&token).cloned();
                value
                    .map(Some)
                    .ok_or_else(|| unknown("placeholder", &json!(token)))
            }
            None => self.name().map(|name| item.get(&name).cloned()),
        }
    }
}

/// Numbers by what they count, texts by their bytes, the rest by being the same; nothing across
/// types.
fn compare(one: Option<&Value>, other: Option<&Value>) -> Option<Ordering> {
    let (one, other) = one.zip(other)?;
    let number = |value: &Value| {
        value["N"]
            .as_str()
            .and_then(|digits| digits.parse::<i64>().ok())
    };
    let text = |value: &Value| value["S"].as_str().map(str::to_owned);
    let numbers = number(one)
        .zip(number(other))
        .map(|(one, other)| one.cmp(&other));
    let texts = text(one)
        .zip(text(other))
        .map(|(one, other)| one.cmp(&other));
    numbers
        .or(texts)
        .or((one == other).then_some(Ordering::Equal))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(table: &mut Table, n: u64) -> (u16, Value) {
        let item = json!({ "pk": { "S": "a" }, "sk": { "S": "b" }, "n": { "N": n.to_string() } });
        let asked = json!({
            "TableName": NAME, "Item": item, "ConditionExpression": "attribute_not_exists(pk)",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        });
        table.answer("PutItem", &asked).unwrap()
    }

    fn with(mut asked: Value) -> Value {
        asked["TableName"] = NAME.into();
        asked["Key"] = json!({ "pk": { "S": "a" }, "sk": { "S": "b" } });
        asked
    }

    #[test]
    fn a_put_on_condition_of_absence_happens_once_and_gives_the_item_that_is_there() {
        let mut table = Table::default();
        assert_eq!(put(&mut table, 1).0, 200);
        let (status, error) = put(&mut table, 2);
        assert_eq!((status, &error["Item"]["n"]["N"]), (400, &json!("1")));
        let (_, got) = table.answer("GetItem", &with(json!({}))).unwrap();
        assert_eq!(got["Item"]["n"]["N"], "1");
    }

    #[test]
    fn an_update_sets_adds_and_removes_and_gives_what_is_new() {
        let mut table = Table::default();
        put(&mut table, 1);
        let asked = with(json!({
            "UpdateExpression": "SET #a = :a, b = :b ADD n :two, m :two REMOVE gone, a",
            "ExpressionAttributeNames": { "#a": "since" },
            "ExpressionAttributeValues": { ":a": { "S": "x" }, ":b": { "BOOL": true }, ":two": { "N": "2" } },
            "ReturnValues": "UPDATED_NEW",
        }));
        let (status, answer) = table.answer("UpdateItem", &asked).unwrap();
        assert_eq!(status, 200);
        let new = json!({ "since": { "S": "x" }, "b": { "BOOL": true }, "n": { "N": "3" }, "m": { "N": "2" } });
        assert_eq!(answer["Attributes"], new);
        let asked = with(json!({
            "UpdateExpression": "REMOVE m", "ReturnValues": "ALL_NEW",
        }));
        let (_, answer) = table.answer("UpdateItem", &asked).unwrap();
        let (_, got) = table.answer("GetItem", &with(json!({}))).unwrap();
        assert_eq!(answer["Attributes"], got["Item"]);
        assert_eq!(
            (
                answer["Attributes"].get("m"),
                &answer["Attributes"]["n"]["N"]
            ),
            (None, &json!("3"))
        );
    }

    #[test]
    fn conditions_hold_as_dynamodb_s_do() {
        let mut table = Table::default();
        put(&mut table, 5);
        let values = json!({
            ":three": { "N": "3" }, ":five": { "N": "5" }, ":ten": { "N": "10" }, ":b": { "S": "b" },
        });
        for (condition, holds) in [
            ("n = :five", true),
            ("n <> :five", false),
            ("n < :ten AND n >= :five", true),
            ("missing = :five", false),
            ("NOT (n BETWEEN :three AND :five)", false),
            ("n BETWEEN :three AND :ten AND n = :three", false),
            (
                "attribute_exists(pk) AND (attribute_not_exists(n) OR NOT (n BETWEEN :three AND :five))",
                false,
            ),
            (
                "attribute_exists(pk) AND (attribute_not_exists(m) OR NOT (m BETWEEN :three AND :five))",
                true,
            ),
            ("attribute_not_exists(pk)", false),
            ("pk = :b OR sk = :b", true),
            ("n = :b", false),
        ] {
            let asked = with(json!({
                "UpdateExpression": "SET seen = :five",
                "ConditionExpression": condition,
                "ExpressionAttributeValues": values,
            }));
            let (status, _) = table.answer("UpdateItem", &asked).unwrap();
            assert_eq!(status == 200, holds, "{condition}");
        }
    }

    #[test]
    fn a_transaction_writes_all_of_its_items_if_every_condition_holds() {
        let mut table = Table::default();
        put(&mut table, 1);
        let pointer = json!({ "pk": { "S": "p" }, "sk": { "S": "p" } });
        let put = json!({ "TableName": NAME, "Item": pointer, "ConditionExpression": "attribute_not_exists(pk)" });
        for (kind, condition, holds) in [
            ("ConditionCheck", "attribute_exists(m)", false),
            ("ConditionCheck", "attribute_not_exists(m)", true),
            ("Update", "attribute_exists(m)", false),
            ("Update", "attribute_exists(n)", true),
        ] {
            table.items.remove(&("p".to_owned(), "p".to_owned()));
            let mut asked = with(json!({ "ConditionExpression": condition }));
            if kind == "Update" {
                asked["UpdateExpression"] = "REMOVE n".into();
            }
            let asked = json!({ "TransactItems": [{ kind: asked }, { "Put": put }] });
            let answered = table.answer("TransactWriteItems", &asked);
            assert_eq!(answered.is_ok(), holds, "{kind} {condition}");
            assert_eq!(table.get("p", "p").is_some(), holds, "{kind} {condition}");
        }
        assert!(!table.get("a", "b").unwrap().contains_key("n"));
    }

    #[test]
    fn what_is_not_known_is_refused() {
        let mut table = Table::default();
        put(&mut table, 1);
        for (operation, asked) in [
            ("Scan", with(json!({}))),
            (
                "GetItem",
                json!({ "TableName": "other", "Key": { "pk": { "S": "a" }, "sk": { "S": "b" } } }),
            ),
            (
                "UpdateItem",
                with(json!({ "UpdateExpression": "SET n = n + n" })),
            ),
            (
                "UpdateItem",
                with(json!({ "UpdateExpression": "SET n = :missing" })),
            ),
            (
                "UpdateItem",
                with(
                    json!({ "UpdateExpression": "REMOVE n", "ConditionExpression": "size(n) = n" }),
                ),
            ),
            (
                "UpdateItem",
                with(json!({ "UpdateExpression": "REMOVE n", "ReturnValues": "UPDATED_OLD" })),
            ),
        ] {
            assert!(
                table.answer(operation, &asked).is_err(),
                "{operation} {asked}"
            );
        }
    }
}
