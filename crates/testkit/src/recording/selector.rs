//! Label and field selectors, as list and watch take them.

use serde_json::Value;

use super::failure::Failure;

/// What a list or watch asks for.
#[derive(Clone, Debug, Default)]
pub(super) struct Selector {
    labels: Vec<Requirement>,
    fields: Vec<Requirement>,
}

#[derive(Clone, Debug)]
struct Requirement {
    key: String,
    operator: Operator,
}

#[derive(Clone, Debug)]
enum Operator {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    DoesNotExist,
}

impl Selector {
    /// From `labelSelector` and `fieldSelector`.
    pub(super) fn parse(labels: Option<&String>, fields: Option<&String>) -> Result<Self, Failure> {
        let parse = |text: Option<&String>| -> Result<Vec<Requirement>, Failure> {
            split(text.map_or("", String::as_str)).into_iter().map(requirement).collect()
        };
        Ok(Self { labels: parse(labels)?, fields: parse(fields)? })
    }

    pub(super) fn matches(&self, object: &Value) -> bool {
        let labels = &object["metadata"]["labels"];
        self.labels.iter().all(|requirement| requirement.holds(labels.get(&requirement.key)))
            && self.fields.iter().all(|requirement| {
                requirement.holds(object.pointer(&format!("/{}", requirement.key.replace('.', "/"))))
            })
    }
}

impl Requirement {
    fn holds(&self, value: Option<&Value>) -> bool {
        let text = value.and_then(Value::as_str);
        match &self.operator {
            Operator::In(values) => text.is_some_and(|text| values.iter().any(|value| value == text)),
            Operator::NotIn(values) => !text.is_some_and(|text| values.iter().any(|value| value == text)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    }
}

/// At the commas that stand outside of parentheses.
fn split(text: &str) -> Vec<&str> {
    let mut depth = 0;
    text.split(move |c| {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    })
    .map(str::trim)
    .filter(|part| !part.is_empty())
    .collect()
}

fn requirement(text: &str) -> Result<Requirement, Failure> {
    let made = |key: &str, operator| Ok(Requirement { key: key.trim().to_owned(), operator });
    if let Some((key, values)) = text.split_once(" notin ") {
        return made(key, Operator::NotIn(set(values)?));
    }
    if let Some((key, values)) = text.split_once(" in ") {
        return made(key, Operator::In(set(values)?));
    }
    if let Some((key, value)) = text.split_once("!=") {
        return made(key, Operator::NotIn(vec![value.trim().to_owned()]));
    }
    if let Some((key, value)) = text.split_once('=') {
        return made(key, Operator::In(vec![value.trim_start_matches('=').trim().to_owned()]));
    }
    match text.strip_prefix('!') {
        Some(key) => made(key, Operator::DoesNotExist),
        None => made(text, Operator::Exists),
    }
}

fn set(text: &str) -> Result<Vec<String>, Failure> {
    let inner = text.trim().strip_prefix('(').and_then(|text| text.strip_suffix(')'));
    let inner = inner.ok_or_else(|| Failure::new(400, format!("selector: no set in {text:?}")))?;
    Ok(inner.split(',').map(|value| value.trim().to_owned()).collect())
}
