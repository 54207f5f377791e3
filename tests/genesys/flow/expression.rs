//! Architect's expressions, as far as the flows use them. What Architect's own help says of
//! `NOT_SET` holds: a function that does not take it stops the test, as it would stop the flow.

use std::iter::Peekable;
use std::str::Chars;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    NotSet,
    Text(String),
    Integer(i64),
    Boolean(bool),
    List(Vec<Value>),
    Phone(String),
    Audio(Vec<Sound>),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Sound {
    Speech(String),
    /// In milliseconds.
    Silence(u64),
}

impl Value {
    pub(crate) fn text(value: impl Into<String>) -> Self {
        Self::Text(value.into())
    }

    pub(crate) fn as_text(&self) -> &str {
        let Self::Text(text) = self else {
            panic!("a text is wanted, not {self:?}")
        };
        text
    }

    pub(crate) fn as_boolean(&self) -> bool {
        let Self::Boolean(value) = self else {
            panic!("true or false is wanted, not {self:?}")
        };
        *value
    }

    pub(crate) fn into_audio(self) -> Vec<Sound> {
        let Self::Audio(sounds) = self else {
            panic!("audio is wanted, not {self:?}")
        };
        sounds
    }

    fn as_integer(&self) -> i64 {
        let Self::Integer(value) = self else {
            panic!("an integer is wanted, not {self:?}")
        };
        *value
    }

    fn or_blank(&self) -> &str {
        if *self == Self::NotSet {
            ""
        } else {
            self.as_text()
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Expression {
    Literal(Value),
    Variable(String),
    Property(Box<Expression>, String),
    Function(String, Vec<Expression>),
    Not(Box<Expression>),
    Operation(Box<Expression>, String, Box<Expression>),
}

impl Expression {
    pub(crate) fn parse(text: &str) -> Self {
        let mut parser = Parser {
            text,
            tokens: tokens(text),
            next: 0,
        };
        let expression = parser.expression(0);
        assert!(
            parser.peek().is_none(),
            "{text}: what follows {:?}?",
            parser.peek()
        );
        expression
    }

    /// Itself and every expression in it.
    pub(crate) fn parts(&self) -> Vec<&Self> {
        let within: Vec<&Self> = match self {
            Self::Literal(_) | Self::Variable(_) => Vec::new(),
            Self::Property(of, _) | Self::Not(of) => vec![of],
            Self::Function(_, arguments) => arguments.iter().collect(),
            Self::Operation(left, _, right) => vec![left, right],
        };
        std::iter::once(self)
            .chain(within.into_iter().flat_map(Self::parts))
            .collect()
    }

    pub(crate) fn evaluate(&self, variable: &dyn Fn(&str) -> Value) -> Value {
        match self {
            Self::Literal(value) => value.clone(),
            Self::Variable(name) => variable(name),
            Self::Property(of, name) => property(&of.evaluate(variable), name),
            Self::Not(of) => Value::Boolean(!of.evaluate(variable).as_boolean()),
            Self::Function(name, arguments) => function(name, arguments, variable),
            Self::Operation(left, operator, right) => {
                let left = left.evaluate(variable);
                // The right side of these two is looked at only when it matters.
                match (operator.as_str(), &left) {
                    ("and", Value::Boolean(false)) | ("or", Value::Boolean(true)) => left,
                    _ => operation(&left, operator, &right.evaluate(variable)),
                }
            }
        }
    }
}

fn operation(left: &Value, operator: &str, right: &Value) -> Value {
    match operator {
        "and" => Value::Boolean(left.as_boolean() && right.as_boolean()),
        "or" => Value::Boolean(left.as_boolean() || right.as_boolean()),
        "==" => Value::Boolean(left == right),
        "!=" => Value::Boolean(left != right),
        ">" => Value::Boolean(left.as_integer() > right.as_integer()),
        ">=" => Value::Boolean(left.as_integer() >= right.as_integer()),
        "+" => Value::Integer(left.as_integer() + right.as_integer()),
        "%" => Value::Integer(left.as_integer() % right.as_integer()),
        other => panic!("what is {other}?"),
    }
}

fn property(of: &Value, name: &str) -> Value {
    let Value::Phone(raw) = of else {
        panic!("{of:?} has no {name}")
    };
    let number = raw.strip_prefix("tel:").unwrap_or(raw);
    let global = number
        .strip_prefix('+')
        .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()));
    match (name, global) {
        ("e164", Some(_)) => Value::text(number),
        ("dialingCode", Some(digits)) => Value::text(dialing_code(digits)),
        ("e164" | "dialingCode", None) => Value::NotSet,
        _ => panic!("a phone number has no {name}"),
    }
}

/// By ITU-T E.164: one digit for zones 1 and 7, two for these, else three.
fn dialing_code(digits: &str) -> &str {
    const TWO: [&str; 41] = [
        "20", "27", "30", "31", "32", "33", "34", "36", "39", "40", "41", "43", "44", "45", "46",
        "47", "48", "49", "51", "52", "53", "54", "55", "56", "57", "58", "60", "61", "62", "63",
        "64", "65", "66", "81", "82", "84", "86", "90", "91", "92", "93",
    ];
    let length = match (&digits[..1], &digits[..2]) {
        ("1" | "7", _) => 1,
        (_, two) if TWO.contains(&two) => 2,
        _ => 3,
    };
    &digits[..length]
}

fn function(name: &str, arguments: &[Expression], variable: &dyn Fn(&str) -> Value) -> Value {
    let argument = |index: usize| arguments[index].evaluate(variable);
    let count = |wanted: usize| assert_eq!(arguments.len(), wanted, "arguments of {name}");
    match name {
        "If" => {
            count(3);
            argument(if argument(0).as_boolean() { 1 } else { 2 })
        }
        "IsNotSetOrEmpty" => {
            count(1);
            Value::Boolean(argument(0).or_blank().is_empty())
        }
        "Append" => {
            assert!(arguments.len() > 1, "Append wants two or more");
            let values: Vec<Value> = (0..arguments.len()).map(argument).collect();
            if values.iter().any(|value| matches!(value, Value::Audio(_))) {
                return Value::Audio(values.into_iter().flat_map(Value::into_audio).collect());
            }
            Value::Text(values.iter().map(Value::or_blank).collect())
        }
        "Lower" => Value::Text(argument(0).as_text().to_lowercase()),
        "Upper" => Value::Text(argument(0).as_text().to_uppercase()),
        "FindString" => {
            count(2);
            let found = argument(0).as_text().find(argument(1).as_text());
            Value::Integer(found.map_or(-1, |at| i64::try_from(at).unwrap()))
        }
        "MakeList" => Value::List((0..arguments.len()).map(argument).collect()),
        "FindFirst" => {
            count(2);
            let (Value::List(list), item) = (argument(0), argument(1)) else {
                panic!("FindFirst wants a list")
            };
            let found = list.iter().position(|value| *value == item);
            Value::Integer(found.map_or(-1, |at| i64::try_from(at).unwrap()))
        }
        "ToString" => Value::Text(argument(0).as_boolean().to_string()),
        "ToPhoneNumber" => Value::Phone(argument(0).as_text().to_owned()),
        "ToAudioTTS" => Value::Audio(vec![Sound::Speech(argument(0).as_text().to_owned())]),
        "ToAudioBlank" => {
            let Expression::Literal(Value::Integer(ms @ 0..=10_000)) = arguments[0] else {
                panic!("ToAudioBlank wants a literal of at most 10 seconds")
            };
            Value::Audio(vec![Sound::Silence(u64::try_from(ms).unwrap())])
        }
        "AudioPlaybackOptions" => {
            count(2);
            let _barge_in = argument(1).as_boolean();
            argument(0)
        }
        other => panic!("what is {other}?"),
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Text(String),
    Integer(i64),
    Word(String),
    Sign(String),
}

fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text.chars().peekable();
    while let Some(&next) = rest.peek() {
        let while_in = |rest: &mut Peekable<Chars<'_>>, set: fn(char) -> bool| -> String {
            std::iter::from_fn(|| rest.next_if(|c| set(*c))).collect()
        };
        tokens.push(match next {
            ' ' => {
                rest.next();
                continue;
            }
            '"' => {
                rest.next();
                let inside = while_in(&mut rest, |c| c != '"');
                assert_eq!(rest.next(), Some('"'), "{text}: a text without end");
                Token::Text(inside)
            }
            '0'..='9' => {
                Token::Integer(while_in(&mut rest, |c| c.is_ascii_digit()).parse().unwrap())
            }
            'A'..='Z' | 'a'..='z' => Token::Word(while_in(&mut rest, |c| {
                c.is_ascii_alphanumeric() || c == '_' || c == '.'
            })),
            '=' | '!' | '>' => Token::Sign(while_in(&mut rest, |c| matches!(c, '=' | '!' | '>'))),
            '(' | ')' | ',' | '+' | '%' | '.' => Token::Sign(rest.next().unwrap().to_string()),
            other => panic!("{text}: what is {other:?}?"),
        });
    }
    tokens
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    next: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next)
    }

    fn take(&mut self) -> Token {
        self.next += 1;
        self.tokens
            .get(self.next - 1)
            .cloned()
            .unwrap_or_else(|| panic!("{}: something is missing", self.text))
    }

    fn takes(&mut self, sign: &str) -> bool {
        let there = matches!(self.peek(), Some(Token::Sign(found)) if found == sign);
        self.next += usize::from(there);
        there
    }

    fn expression(&mut self, level: usize) -> Expression {
        const LEVELS: [&[&str]; 5] = [&["or"], &["and"], &["==", "!=", ">", ">="], &["+"], &["%"]];
        let Some(operators) = LEVELS.get(level) else {
            return self.operand();
        };
        let mut left = self.expression(level + 1);
        while let Some(Token::Word(found) | Token::Sign(found)) = self.peek().cloned() {
            if !operators.contains(&found.as_str()) {
                break;
            }
            self.next += 1;
            left =
                Expression::Operation(Box::new(left), found, Box::new(self.expression(level + 1)));
        }
        left
    }

    fn operand(&mut self) -> Expression {
        if self.takes("!") {
            return Expression::Not(Box::new(self.operand()));
        }
        if self.takes("(") {
            let inner = self.expression(0);
            assert!(self.takes(")"), "{}: a bracket is open", self.text);
            return inner;
        }
        match self.take() {
            Token::Text(text) => Expression::Literal(Value::Text(text)),
            Token::Integer(value) => Expression::Literal(Value::Integer(value)),
            Token::Word(word) if word == "true" || word == "false" => {
                Expression::Literal(Value::Boolean(word == "true"))
            }
            Token::Word(word) if self.takes("(") => {
                let mut arguments = Vec::new();
                while !self.takes(")") {
                    arguments.push(self.expression(0));
                    assert!(
                        self.takes(",") || self.peek() == Some(&Token::Sign(")".into())),
                        "{}",
                        self.text
                    );
                }
                let call = Expression::Function(word, arguments);
                if !self.takes(".") {
                    return call;
                }
                let Token::Word(property) = self.take() else {
                    panic!("{}: a property is missing", self.text)
                };
                Expression::Property(Box::new(call), property)
            }
            Token::Word(word) => {
                assert!(word.contains('.'), "{}: {word} is in no scope", self.text);
                Expression::Variable(word)
            }
            Token::Sign(sign) => panic!("{}: {sign} is not expected", self.text),
        }
    }
}
