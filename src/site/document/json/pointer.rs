//! JSON pointers (RFC 6901), with `*` for every element of an array and every value of an object.

use std::ops::ControlFlow;

use toml::Spanned;

use super::super::limits::Work;
use super::{JsonText, JsonValue, JsonView};
use crate::site::diagnostic::Diagnostic;

/// Parts of one pointer; the longest seen has eight.
const MAX_STEPS: usize = 32;

/// A value, and the name that it has in the object around it.
#[derive(Debug, Clone, Copy)]
pub(in crate::site::document) struct JsonPlace<'a> {
    pub(in crate::site::document) value: JsonValue<'a>,
    pub(in crate::site::document) name: Option<JsonText<'a>>,
}

impl JsonPlace<'_> {
    /// The member of an object that is not null.
    pub(in crate::site::document) fn member(self, name: &str, work: &Work) -> Option<Self> {
        if !work.visit(cost(self.value)) {
            return None;
        }
        let (name, value) = self.value.member(name)?;
        let name = Some(name);
        (!value.is_null()).then_some(Self { value, name })
    }
}

/// Where below a value others are.
#[derive(Debug)]
pub(in crate::site::document) struct JsonPointer {
    steps: Vec<JsonStep>,
    /// Whether the names of the members are meant, not their values: the last part is `?`.
    takes_names: bool,
}

#[derive(Debug)]
enum JsonStep {
    Member {
        name: Box<str>,
        /// The place in an array.
        index: Option<usize>,
    },
    Each,
}

impl JsonPointer {
    /// Compiles `text`; `written` is where it stands.
    pub(in crate::site::document) fn compile<T>(
        text: &str,
        written: &Spanned<T>,
    ) -> Result<Self, Diagnostic> {
        let mut pointer = Self {
            steps: Vec::new(),
            takes_names: false,
        };
        if text.is_empty() {
            return Ok(pointer);
        }
        let Some(parts) = text.strip_prefix('/') else {
            let help = format!(
                "begin it with `/`: `/{}`",
                text.trim_start_matches("$.").replace('.', "/")
            );
            return Err(Diagnostic::at(written, "not a JSON pointer").help(help));
        };
        let mut parts = parts.split('/').peekable();
        while let Some(part) = parts.next() {
            if part == "?" && parts.peek().is_none() {
                pointer.takes_names = true;
                break;
            }
            let bytes = part.as_bytes();
            let is_escape = |at: usize| matches!(bytes.get(at + 1), Some(b'0' | b'1'));
            if memchr::memchr_iter(b'~', bytes).any(|at| !is_escape(at)) {
                let help = "write `~0` for `~` and `~1` for `/` in a name";
                return Err(Diagnostic::at(written, "not a JSON pointer: a lone `~`").help(help));
            }
            pointer.steps.push(if part == "*" {
                JsonStep::Each
            } else {
                let name = part.replace("~1", "/").replace("~0", "~");
                JsonStep::Member {
                    index: name.parse().ok(),
                    name: name.into(),
                }
            });
        }
        if pointer.steps.len() > MAX_STEPS {
            let message = format!("a JSON pointer of more than {MAX_STEPS} parts");
            return Err(Diagnostic::at(written, message));
        }
        Ok(pointer)
    }

    /// Whether names of members are meant, which have nothing below them.
    pub(in crate::site::document) fn takes_names(&self) -> bool {
        self.takes_names
    }

    /// Hands over the values below `place` that are not null, in the page's order, until `found` breaks.
    pub(in crate::site::document) fn each<'a>(
        &self,
        place: JsonPlace<'a>,
        work: &Work,
        found: &mut dyn FnMut(JsonPlace<'a>) -> ControlFlow<()>,
    ) {
        // A break asks for no more; there is nothing to do about it here.
        let _ = walk(place, &self.steps, work, found);
    }

    /// At most `limit` of the values there.
    pub(in crate::site::document) fn places<'a>(
        &self,
        place: JsonPlace<'a>,
        work: &Work,
        limit: usize,
    ) -> Vec<JsonPlace<'a>> {
        let mut places = Vec::new();
        self.each(place, work, &mut |place| {
            places.push(place);
            if places.len() < limit {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
        places
    }

    /// Whether something is there, be it `null`.
    pub(in crate::site::document) fn is_there(&self, place: JsonPlace<'_>) -> bool {
        any_at(place.value, &self.steps, false, &|_| true)
    }

    /// Whether a list is there that is empty: at the end of the pointer, or where a `*` stands. `null` in its place is
    /// one too, as some programs write it; an object that lacks the member has none.
    pub(in crate::site::document) fn has_empty_list(&self, place: JsonPlace<'_>) -> bool {
        any_at(
            place.value,
            &self.steps,
            true,
            &|value| match value.view() {
                JsonView::Null => true,
                JsonView::List(mut list) => list.all(JsonValue::is_null),
                JsonView::Object(members) => members.len() == 0,
                JsonView::Bool(_) | JsonView::Number(_) | JsonView::Text(_) => false,
            },
        )
    }
}

/// Whether a value at the end of the steps passes the test, or with `at_each` one where a `*` stands. Each value is
/// looked at once.
fn any_at(
    value: JsonValue<'_>,
    steps: &[JsonStep],
    at_each: bool,
    test: &dyn Fn(JsonValue<'_>) -> bool,
) -> bool {
    let Some((step, rest)) = steps.split_first() else {
        return test(value);
    };
    let below = |value: JsonValue<'_>| any_at(value, rest, at_each, test);
    match (step, value.view()) {
        (JsonStep::Member { name, .. }, JsonView::Object(_)) => {
            value.member(name).is_some_and(|(_, value)| below(value))
        }
        (JsonStep::Member { index, .. }, JsonView::List(list)) => {
            let value = index.and_then(|index| list.get(index));
            value.is_some_and(below)
        }
        (JsonStep::Each, _) if at_each && test(value) => true,
        (JsonStep::Each, JsonView::List(mut list)) => list.any(below),
        (JsonStep::Each, JsonView::Object(mut members)) => members.any(|(_, value)| below(value)),
        _ => false,
    }
}

fn walk<'a>(
    place: JsonPlace<'a>,
    steps: &[JsonStep],
    work: &Work,
    found: &mut dyn FnMut(JsonPlace<'a>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    if !work.visit(cost(place.value)) {
        return ControlFlow::Break(());
    }
    let Some((step, steps)) = steps.split_first() else {
        return if place.value.is_null() {
            ControlFlow::Continue(())
        } else {
            found(place)
        };
    };
    let unnamed = |value| JsonPlace { value, name: None };
    match (step, place.value.view()) {
        (JsonStep::Member { name, .. }, JsonView::Object(_)) => {
            let Some((name, value)) = place.value.member(name) else {
                return ControlFlow::Continue(());
            };
            let name = Some(name);
            walk(JsonPlace { value, name }, steps, work, found)
        }
        (JsonStep::Member { index, .. }, JsonView::List(list)) => {
            match index.and_then(|index| list.get(index)) {
                Some(value) => walk(unnamed(value), steps, work, found),
                None => ControlFlow::Continue(()),
            }
        }
        (JsonStep::Each, JsonView::List(mut list)) => {
            list.try_for_each(|value| walk(unnamed(value), steps, work, found))
        }
        (JsonStep::Each, JsonView::Object(mut members)) => members.try_for_each(|(name, value)| {
            let name = Some(name);
            walk(JsonPlace { value, name }, steps, work, found)
        }),
        _ => ControlFlow::Continue(()),
    }
}

/// A member is found by comparing names, an element by passing those in front of it: what is large costs more than one
/// visit.
fn cost(value: JsonValue<'_>) -> usize {
    1 + value.len() / 32
}
