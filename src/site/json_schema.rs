//! The JSON Schema of definitions, for editors.

/// The JSON Schema (draft 7) of a definition, as JSON text.
pub fn definition_schema() -> &'static str {
    include_str!("../../docs/definition.schema.json")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use regex::Regex;
    use serde_json::Value;

    use super::*;
    use crate::site::schema::SiteFile;
    use crate::site::shipped;

    fn schema() -> Value {
        serde_json::from_str(definition_schema()).unwrap()
    }

    /// The keys that the parser knows where a definition has the unknown key `zzz`.
    fn known_keys(definition: &str) -> BTreeSet<String> {
        let error = toml::from_str::<SiteFile>(definition).err().unwrap();
        let message = error.message();
        assert!(
            message.starts_with("unknown field `zzz`"),
            "{definition}: {message}"
        );
        let words = message.split('`').skip(3).step_by(2);
        words.map(str::to_owned).collect()
    }

    /// Every table of a definition: where it is in the schema, and a definition with an unknown key in it.
    const TABLES: [(&str, &str); 21] = [
        ("", "zzz = 1"),
        ("/properties/site", "site = { zzz = 1 }"),
        ("/properties/listing", "listing = { zzz = 1 }"),
        (
            "/properties/listing/properties/stop",
            "listing = { stop = { zzz = 1 } }",
        ),
        (
            "/properties/listing/properties/window",
            "listing = { window = { zzz = 1 } }",
        ),
        (
            "/definitions/script/anyOf/1",
            "listing = { script = { zzz = 1 } }",
        ),
        ("/properties/request", "request = { zzz = 1 }"),
        (
            "/definitions/errorRule",
            "request = { error = [{ zzz = 1 }] }",
        ),
        ("/definitions/secret", "secrets = { a = { zzz = 1 } }"),
        ("/properties/item", "item = { zzz = 1 }"),
        (
            "/properties/item/properties/verify",
            "item = { verify = { zzz = 1 } }",
        ),
        ("/properties/file", "file = { zzz = 1 }"),
        (
            "/properties/file/properties/capture",
            "file = { capture = { zzz = 1 } }",
        ),
        (
            "/definitions/variable/anyOf/1",
            "variables = { a = { zzz = 1 } }",
        ),
        ("/definitions/full", "full = { zzz = 1 }"),
        (
            "/definitions/rewriteStep",
            "full = { rewrite = { zzz = 1 } }",
        ),
        ("/definitions/follow", "full = { follow = { zzz = 1 } }"),
        ("/definitions/sourceTable", "item = { thumb = { zzz = 1 } }"),
        (
            "/definitions/sourceTable/properties/lookup",
            "item = { thumb = { lookup = { zzz = 1 } } }",
        ),
        (
            "/definitions/itemPath/anyOf/1",
            "item = { select = { zzz = 1 } }",
        ),
        ("/definitions/condition", "item = { where = [{ zzz = 1 }] }"),
    ];

    #[test]
    fn the_json_schema_has_exactly_the_keys_that_the_parser_knows() {
        let schema = schema();
        for (pointer, definition) in TABLES {
            let table = schema
                .pointer(pointer)
                .unwrap_or_else(|| panic!("no {pointer}"));
            assert_eq!(table["additionalProperties"], false, "{pointer}");
            let keys = table["properties"].as_object().unwrap().keys().cloned();
            assert_eq!(
                keys.collect::<BTreeSet<_>>(),
                known_keys(definition),
                "{pointer}"
            );
        }
    }

    #[test]
    fn every_key_of_the_json_schema_has_a_description() {
        fn assert_described(place: &str, value: &Value) {
            if let Some(properties) = value.get("properties").and_then(Value::as_object) {
                for (name, property) in properties {
                    let has =
                        property.get("description").is_some() || property.get("$ref").is_some();
                    assert!(has, "{place}: {name}");
                }
            }
            match value {
                Value::Object(members) => members
                    .iter()
                    .for_each(|(name, value)| assert_described(&format!("{place}/{name}"), value)),
                Value::Array(values) => values
                    .iter()
                    .for_each(|value| assert_described(place, value)),
                _ => {}
            }
        }
        assert_described("", &schema());
    }

    /// Why `value` does not fit `schema`; for the words of JSON Schema that our schema uses, and no others.
    fn misfit(root: &Value, schema: &Value, value: &Value, place: &str) -> Result<(), String> {
        let fail = |why: &str| Err(format!("{place}: {why}: {value}"));
        let all = |schemas: &Value| schemas.as_array().unwrap().clone();
        for (word, rule) in schema.as_object().unwrap() {
            let fits = match word.as_str() {
                "description"
                | "title"
                | "$schema"
                | "definitions"
                | "properties"
                | "additionalProperties" => true,
                "$ref" => {
                    let pointer = rule.as_str().unwrap().strip_prefix('#').unwrap();
                    misfit(root, root.pointer(pointer).unwrap(), value, place)?;
                    true
                }
                "allOf" => {
                    for schema in all(rule) {
                        misfit(root, &schema, value, place)?;
                    }
                    true
                }
                "anyOf" => {
                    let results = all(rule)
                        .into_iter()
                        .map(|schema| misfit(root, &schema, value, place));
                    let failures = results.filter_map(Result::err).collect::<Vec<_>>();
                    if failures.len() == all(rule).len() {
                        return Err(failures.join(" and "));
                    }
                    true
                }
                "type" => {
                    let names = rule
                        .as_array()
                        .cloned()
                        .unwrap_or_else(|| vec![rule.clone()]);
                    names.iter().any(|name| match name.as_str().unwrap() {
                        "string" => value.is_string(),
                        "boolean" => value.is_boolean(),
                        "integer" => value.is_i64() || value.is_u64(),
                        "number" => value.is_number(),
                        "array" => value.is_array(),
                        "object" => value.is_object(),
                        other => panic!("{other}"),
                    })
                }
                "enum" => all(rule).contains(value),
                "const" => rule == value,
                "minimum" => value.as_i64() >= rule.as_i64(),
                "maximum" => value.as_i64() <= rule.as_i64(),
                "maxLength" => value
                    .as_str()
                    .is_some_and(|text| text.len() as u64 <= rule.as_u64().unwrap()),
                "pattern" => {
                    let pattern = Regex::new(rule.as_str().unwrap()).unwrap();
                    value.as_str().is_some_and(|text| pattern.is_match(text))
                }
                "minItems" => value
                    .as_array()
                    .is_none_or(|list| list.len() as u64 >= rule.as_u64().unwrap()),
                "maxItems" => value
                    .as_array()
                    .is_none_or(|list| list.len() as u64 <= rule.as_u64().unwrap()),
                "items" => {
                    for (number, item) in value.as_array().into_iter().flatten().enumerate() {
                        misfit(root, rule, item, &format!("{place}/{number}"))?;
                    }
                    true
                }
                "required" => {
                    let names = all(rule);
                    names
                        .iter()
                        .all(|name| value.get(name.as_str().unwrap()).is_some())
                }
                other => panic!("the word `{other}` is not checked yet"),
            };
            if !fits {
                return fail(word);
            }
        }
        let Some(members) = value.as_object() else {
            return Ok(());
        };
        for (name, member) in members {
            let known = schema
                .get("properties")
                .and_then(|properties| properties.get(name));
            let place = format!("{place}/{name}");
            match (known, schema.get("additionalProperties")) {
                (None, Some(Value::Bool(false))) => return fail(&format!("unknown key {name}")),
                (Some(schema), _) | (None, Some(schema @ Value::Object(_))) => {
                    misfit(root, schema, member, &place)?;
                }
                (None, _) => {}
            }
        }
        Ok(())
    }

    fn fits(definition: &str) -> Result<(), String> {
        let schema = schema();
        let value: Value = toml::from_str(definition).unwrap();
        misfit(&schema, &schema, &value, "")
    }

    #[test]
    fn every_definition_of_the_project_fits_the_json_schema() {
        for (name, text) in shipped() {
            fits(text).unwrap_or_else(|why| panic!("{name}: {why}"));
        }
        let sites = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/sites");
        for folder in fs::read_dir(sites).unwrap() {
            if let Ok(text) = fs::read_to_string(folder.unwrap().path().join("definition.toml")) {
                fits(&text).unwrap_or_else(|why| panic!("{text}: {why}"));
            }
        }
    }

    #[test]
    fn a_definition_that_the_parser_refuses_does_not_fit_the_json_schema() {
        let (_, good) = shipped()[0];
        for (right, wrong) in [
            ("kind = \"html\"", "kind = \"htm\""),
            ("name = ", "nmae = "),
            ("\"a > img@src\"", "{ select = \"a > img\", atr = \"src\" }"),
            ("regex = ", "regx = "),
            ("start = 1", "start = \"1\""),
            ("base = ", "# base = "),
        ] {
            assert!(good.contains(right), "{right}");
            let bad = good.replacen(right, wrong, 1);
            assert!(fits(&bad).is_err(), "{wrong}");
            assert!(crate::site::Site::from_toml(&bad).is_err(), "{wrong}");
        }
    }
}
