//! What `terraform plan` makes of a configuration, without Terraform and without a provider:
//! locals, variables, functions, `count`, `for_each` and dynamic blocks are evaluated. What only
//! the provider would know (ids, an OAuth client's secret) is the resource's own address and the
//! attribute's name.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use hcl::eval::{Context, Evaluate, FuncDef, ParamType};
use hcl::{Block, Body, Expression, Map, Value};
use serde_json::Value as Json;

/// What Terraform itself reads of a resource.
const META: [&str; 3] = ["count", "for_each", "depends_on"];

/// What the provider fills in.
const COMPUTED: [&str; 3] = ["id", "client_id", "client_secret"];

/// All `.tf` files of a folder.
pub(crate) struct Configuration {
    folder: PathBuf,
    pub(crate) blocks: Vec<Block>,
}

/// What a configuration comes to under given variables.
pub(crate) struct Plan {
    /// By address, such as `genesyscloud_integration.this["web-services"]`.
    pub(crate) resources: BTreeMap<String, Json>,
    pub(crate) outputs: BTreeMap<String, Json>,
}

impl Configuration {
    pub(crate) fn read(folder: &Path) -> Self {
        let mut files: Vec<PathBuf> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "tf"))
            .collect();
        files.sort();
        let blocks = files
            .iter()
            .flat_map(|file| parse(file).into_blocks())
            .collect();
        Self {
            folder: folder.canonicalize().unwrap(),
            blocks,
        }
    }

    /// The blocks of a kind.
    pub(crate) fn all<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Block> {
        self.blocks
            .iter()
            .filter(move |block| block.identifier.as_str() == kind)
    }

    /// Evaluates everything under these variables and the defaults of the others.
    pub(crate) fn plan(&self, given: &BTreeMap<String, Json>) -> Plan {
        let mut variables = Map::new();
        for variable in self.all("variable") {
            let name = label(variable, 0);
            let value = match (given.get(name), attribute(&variable.body, "default")) {
                (Some(json), _) => hcl::to_value(json).unwrap(),
                (None, Some(default)) => default.evaluate(&Context::new()).unwrap(),
                (None, None) => panic!("the variable {name} is not given"),
            };
            variables.insert(name.to_owned(), value);
        }
        for name in given.keys() {
            assert!(variables.contains_key(name), "there is no variable {name}");
        }
        Evaluation {
            folder: &self.folder,
            variables,
            locals: Map::new(),
            resources: Map::new(),
        }
        .run(self)
    }
}

/// A file in Terraform's language.
pub(crate) fn parse(file: &Path) -> Body {
    let text = fs::read_to_string(file).unwrap();
    hcl::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

pub(crate) fn label(block: &Block, index: usize) -> &str {
    block.labels[index].as_str()
}

pub(crate) fn attribute<'a>(body: &'a Body, name: &str) -> Option<&'a Expression> {
    body.attributes()
        .find(|attribute| attribute.key.as_str() == name)
        .map(|attribute| &attribute.expr)
}

/// What an expression comes to that refers to nothing.
pub(crate) fn value_of(expression: &Expression) -> Json {
    json(&expression.evaluate(&Context::new()).unwrap())
}

fn json(value: &Value) -> Json {
    serde_json::to_value(value).unwrap()
}

struct Evaluation<'a> {
    folder: &'a Path,
    variables: Map<String, Value>,
    locals: Map<String, Value>,
    /// Type, then name; an instance, a list of them, or a map.
    resources: Map<String, Value>,
}

impl Evaluation<'_> {
    /// Evaluates again and again what is left, until everything that it refers to is known.
    fn run(mut self, configuration: &Configuration) -> Plan {
        let mut locals: Vec<_> = configuration
            .all("locals")
            .flat_map(|block| block.body.attributes())
            .collect();
        let mut resources: Vec<_> = configuration.all("resource").collect();
        let mut plan = Plan {
            resources: BTreeMap::new(),
            outputs: BTreeMap::new(),
        };
        while !locals.is_empty() || !resources.is_empty() {
            let before = (locals.len(), resources.len());
            let mut why = String::new();
            locals.retain(|local| match local.expr.evaluate(&self.context()) {
                Ok(value) => {
                    self.locals.insert(local.key.to_string(), value);
                    false
                }
                Err(error) => {
                    why += &format!("local.{}: {error}\n", local.key);
                    true
                }
            });
            resources.retain(|block| match self.resource(block, &mut plan) {
                Ok(()) => false,
                Err(error) => {
                    why += &format!("{}.{}: {error}\n", label(block, 0), label(block, 1));
                    true
                }
            });
            assert!((locals.len(), resources.len()) != before, "{why}");
        }
        for output in configuration.all("output") {
            let value = attribute(&output.body, "value")
                .unwrap()
                .evaluate(&self.context())
                .unwrap();
            plan.outputs
                .insert(label(output, 0).to_owned(), json(&value));
        }
        plan
    }

    fn context(&self) -> Context<'static> {
        let mut context = Context::new();
        context.declare_var("var", self.variables.clone());
        context.declare_var("local", self.locals.clone());
        context.declare_var(
            "path",
            Map::from_iter([(
                "module".to_owned(),
                Value::from(self.folder.to_str().unwrap()),
            )]),
        );
        for (name, value) in &self.resources {
            context.declare_var(name.as_str(), value.clone());
        }
        declare_functions(&mut context);
        context
    }

    fn resource(&mut self, block: &Block, plan: &mut Plan) -> Result<(), String> {
        let (kind, name) = (label(block, 0), label(block, 1));
        let address = format!("{kind}.{name}");
        let context = self.context();
        let mut instances = Vec::new();
        let value = if let Some(count) = attribute(&block.body, "count") {
            let count = evaluate(count, &context)?
                .as_u64()
                .ok_or("count is no number")?;
            for index in 0..count {
                instances.push((
                    format!("{address}[{index}]"),
                    instance(block, &context, &format!("{address}[{index}]"))?,
                ));
            }
            Value::Array(instances.iter().map(|(_, value)| value.clone()).collect())
        } else if let Some(each) = attribute(&block.body, "for_each") {
            let each = evaluate(each, &context)?;
            let mut map = Map::new();
            for (key, value) in each.as_object().ok_or("for_each is no map")? {
                let mut context = context.clone();
                let each = [
                    ("key".to_owned(), Value::from(key.as_str())),
                    ("value".to_owned(), value.clone()),
                ];
                context.declare_var("each", Map::from_iter(each));
                let address = format!("{address}[{key:?}]");
                let made = instance(block, &context, &address)?;
                map.insert(key.clone(), made.clone());
                instances.push((address, made));
            }
            Value::Object(map)
        } else {
            let made = instance(block, &context, &address)?;
            instances.push((address, made.clone()));
            made
        };
        plan.resources.extend(
            instances
                .iter()
                .map(|(address, made)| (address.clone(), json(made))),
        );
        let of_kind = self
            .resources
            .entry(kind.to_owned())
            .or_insert_with(|| Value::Object(Map::new()));
        of_kind
            .as_object_mut()
            .ok_or("a type's name is taken")?
            .insert(name.to_owned(), value);
        Ok(())
    }
}

fn evaluate(expression: &Expression, context: &Context<'_>) -> Result<Value, String> {
    expression
        .evaluate(context)
        .map_err(|error| error.to_string())
}

fn instance(block: &Block, context: &Context<'_>, address: &str) -> Result<Value, String> {
    let mut made = content(&block.body, context)?;
    for name in COMPUTED {
        made.entry(name.to_owned())
            .or_insert_with(|| Value::from(format!("{address}.{name}")));
    }
    Ok(Value::Object(made))
}

/// The attributes of a body, and its nested blocks as lists.
fn content(body: &Body, context: &Context<'_>) -> Result<Map<String, Value>, String> {
    let mut made = Map::new();
    for attribute in body
        .attributes()
        .filter(|attribute| !META.contains(&attribute.key.as_str()))
    {
        made.insert(
            attribute.key.to_string(),
            evaluate(&attribute.expr, context)?,
        );
    }
    for block in body.blocks() {
        let mut add = |name: &str, nested| {
            let list = made
                .entry(name.to_owned())
                .or_insert_with(|| Value::Array(Vec::new()));
            list.as_array_mut()
                .ok_or("a block has the name of an attribute")
                .map(|list| list.push(nested))
        };
        if block.identifier.as_str() != "dynamic" {
            add(
                block.identifier.as_str(),
                Value::Object(content(&block.body, context)?),
            )?;
            continue;
        }
        let name = label(block, 0);
        let each = evaluate(
            attribute(&block.body, "for_each").ok_or("a dynamic block without for_each")?,
            context,
        )?;
        let inner = block
            .body
            .blocks()
            .next()
            .ok_or("a dynamic block without content")?;
        for item in each
            .as_array()
            .ok_or("for_each of a dynamic block is no list")?
        {
            let mut context = context.clone();
            context.declare_var(name, Map::from_iter([("value".to_owned(), item.clone())]));
            add(name, Value::Object(content(&inner.body, &context)?))?;
        }
    }
    Ok(made)
}

/// The functions of Terraform that the configuration uses.
fn declare_functions(context: &mut Context<'_>) {
    use ParamType::{Any, String as Text};
    let mut declare = |name: &str, params: Vec<ParamType>, func| {
        context.declare_func(name, FuncDef::new(func, params));
    };
    declare("dirname", vec![Text], |args| {
        Ok(Path::new(args[0].as_str().unwrap())
            .parent()
            .unwrap()
            .to_str()
            .unwrap()
            .into())
    });
    declare("file", vec![Text], |args| {
        fs::read_to_string(args[0].as_str().unwrap())
            .map(Value::from)
            .map_err(|error| error.to_string())
    });
    declare("fileset", vec![Text, Text], |args| {
        let folder = Path::new(args[0].as_str().unwrap());
        let mut found = Vec::new();
        matching(folder, "", args[1].as_str().unwrap(), &mut found);
        found.sort();
        Ok(found.into())
    });
    declare("jsondecode", vec![Text], |args| {
        let decoded: Json =
            serde_json::from_str(args[0].as_str().unwrap()).map_err(|error| error.to_string())?;
        hcl::to_value(decoded).map_err(|error| error.to_string())
    });
    declare("jsonencode", vec![Any], |args| {
        Ok(json(&args[0]).to_string().into())
    });
    declare("sha256", vec![Text], |args| {
        Ok(format!("sha256 of {}", args[0].as_str().unwrap()).into())
    });
    declare("replace", vec![Text, Text, Text], |args| {
        let [text, from, to] = [0, 1, 2].map(|index| args[index].as_str().unwrap());
        Ok(text.replace(from, to).into())
    });
    declare("contains", vec![ParamType::array_of(Any), Any], |args| {
        Ok(args[0].as_array().unwrap().contains(&args[1]).into())
    });
    declare("keys", vec![ParamType::object_of(Any)], |args| {
        Ok(args[0]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<Vec<_>>()
            .into())
    });
    declare(
        "merge",
        vec![ParamType::object_of(Any), ParamType::object_of(Any)],
        |args| {
            let mut merged = args[0].as_object().unwrap().clone();
            merged.extend(args[1].as_object().unwrap().clone());
            Ok(merged.into())
        },
    );
    declare("length", vec![ParamType::array_of(Any)], |args| {
        Ok(args[0].as_array().unwrap().len().into())
    });
    declare("tolist", vec![ParamType::array_of(Any)], |args| {
        Ok(args[0].clone())
    });
    declare("one", vec![ParamType::array_of(Any)], |args| {
        match args[0].as_array().unwrap().as_slice() {
            [] => Ok(Value::Null),
            [one] => Ok(one.clone()),
            more => Err(format!("one() of {}", more.len())),
        }
    });
    declare("coalesce", vec![Any, Any], |args| {
        Ok(if args[0].is_null() {
            args[1].clone()
        } else {
            args[0].clone()
        })
    });
}

/// The files below a folder whose path matches a pattern, in which `*` stands for any part of one
/// name.
fn matching(folder: &Path, prefix: &str, pattern: &str, found: &mut Vec<String>) {
    let (first, rest) = pattern
        .split_once('/')
        .map_or((pattern, None), |(first, rest)| (first, Some(rest)));
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        let fits = match first.split_once('*') {
            Some((start, end)) => {
                name.len() >= first.len() - 1 && name.starts_with(start) && name.ends_with(end)
            }
            None => name == first,
        };
        match rest {
            Some(rest) if fits && entry.path().is_dir() => {
                matching(&entry.path(), &format!("{prefix}{name}/"), rest, found);
            }
            None if fits && entry.path().is_file() => found.push(format!("{prefix}{name}")),
            _ => {}
        }
    }
}
