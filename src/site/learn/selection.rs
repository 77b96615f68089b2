//! Short selectors for elements: made from tags, stable classes, ids and marks, and held against the page.

use super::hints::is_stable;
use super::outline::{Element, Outline};

/// Attributes whose value says what an element is.
const MARKS: &[&str] = &["itemprop", "itemtype", "property", "rel", "role", "name"];

/// A selector of one or two steps, `parent > element`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Selection {
    parent: Option<Step>,
    step: Step,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    tag: String,
    mark: Mark,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Mark {
    None,
    Id(String),
    Class(String),
    Attribute(String, String),
}

impl Step {
    fn matches(&self, element: &Element) -> bool {
        self.tag == element.tag
            && match &self.mark {
                Mark::None => true,
                Mark::Id(id) => element.attribute("id") == Some(id),
                Mark::Class(class) => element.classes().any(|known| known == class),
                Mark::Attribute(name, value) => element.attribute(name) == Some(value),
            }
    }

    fn css(&self) -> String {
        let tag = &self.tag;
        match &self.mark {
            Mark::None => tag.clone(),
            Mark::Id(id) => format!("{tag}#{id}"),
            Mark::Class(class) => format!("{tag}.{class}"),
            Mark::Attribute(name, value) => format!("{tag}[{name}='{value}']"),
        }
    }
}

impl Selection {
    /// The selector as CSS.
    pub(super) fn css(&self) -> String {
        match &self.parent {
            None => self.step.css(),
            Some(parent) => format!("{} > {}", parent.css(), self.step.css()),
        }
    }

    /// Whether it is made of tags alone.
    fn is_bare(&self) -> bool {
        let parent = self.parent.as_ref().map(|parent| &parent.mark);
        self.step.mark == Mark::None && parent.is_none_or(|mark| *mark == Mark::None)
    }

    pub(super) fn matches(&self, outline: &Outline, index: usize) -> bool {
        let element = &outline.elements[index];
        self.step.matches(element)
            && match (&self.parent, element.parent) {
                (None, _) => true,
                (Some(step), Some(parent)) => step.matches(&outline.elements[parent]),
                (Some(_), None) => false,
            }
    }

    /// The elements among `indices` that match.
    pub(super) fn select<'a>(
        &'a self,
        outline: &'a Outline,
        indices: impl Iterator<Item = usize> + 'a,
    ) -> impl Iterator<Item = usize> + 'a {
        indices.filter(|&index| self.matches(outline, index))
    }
}

/// Selectors that match an element, the more telling one first.
pub(super) fn selections(outline: &Outline, index: usize) -> Vec<Selection> {
    let element = &outline.elements[index];
    let own = steps(element);
    let alone = own.iter().map(|step| Selection {
        parent: None,
        step: step.clone(),
    });
    let parents = element
        .parent
        .map(|parent| steps(&outline.elements[parent]))
        .unwrap_or_default();
    let pairs = parents.iter().flat_map(|parent| {
        own.iter().map(|step| Selection {
            parent: Some(parent.clone()),
            step: step.clone(),
        })
    });
    alone.chain(pairs).collect()
}

fn steps(element: &Element) -> Vec<Step> {
    let mut marks = Vec::new();
    let id = element.attribute("id").filter(|id| is_stable(id));
    marks.extend(id.map(|id| Mark::Id(id.to_owned())));
    let classes = element.classes().filter(|class| is_stable(class));
    marks.extend(classes.map(|class| Mark::Class(class.to_owned())));
    for &name in MARKS {
        let value = element.attribute(name).unwrap_or_default();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_:./".contains(c);
        if !value.is_empty() && value.len() < 80 && value.chars().all(plain) {
            marks.push(Mark::Attribute(name.to_owned(), value.to_owned()));
        }
    }
    marks.push(Mark::None);
    // What the parser takes for a tag may hold anything.
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if !element.tag.chars().all(is_name) {
        return Vec::new();
    }
    marks
        .into_iter()
        .map(|mark| Step {
            tag: element.tag.clone(),
            mark,
        })
        .collect()
}

/// The selector that matches all of `group` and least else on the page. Of equal ones the first of [`selections`].
pub(super) fn of_group(outline: &Outline, group: &[usize]) -> Option<Selection> {
    let first = *group.first()?;
    let all = selections(outline, first).into_iter().filter(|selection| {
        let matched = group
            .iter()
            .filter(|&&index| selection.matches(outline, index));
        matched.count() * 10 >= group.len() * 9
    });
    // A bare tag may be alone on this page; the next one may have more of it.
    all.min_by_key(|selection| {
        let matched = selection.select(outline, 0..outline.elements.len());
        (matched.count(), selection.is_bare())
    })
}

/// The shortest selector whose first match within each item is the item's target or as good as that, for nearly all
/// items: an item may have two links to one page.
pub(super) fn within_items(
    outline: &Outline,
    pairs: &[(usize, usize)],
    is_as_good: impl Fn(usize, usize) -> bool,
) -> Option<Selection> {
    let (_item, target) = *pairs.iter().find(|(item, target)| item != target)?;
    let mut tried = selections(outline, target);
    // A bare tag is the plainest.
    tried.sort_by_key(|selection| selection.css().len());
    tried.into_iter().find(|selection| {
        let holds = pairs.iter().filter(|(item, target)| {
            let inside = outline.within(*item).skip(1);
            let found = selection.select(outline, inside).next();
            found.is_some_and(|found| found == *target || is_as_good(found, *target))
        });
        holds.count() * 10 >= pairs.len() * 9
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_selected_by_the_class_that_nothing_else_has() {
        let page = "<div class='box nav'></div><div class='box item-1 shot'></div>\
                    <div class='box item-2 shot'></div><p class=shot></p>";
        let outline = Outline::read(page.into()).unwrap();
        let group: Vec<_> = (0..outline.elements.len())
            .filter(|&at| outline.elements[at].classes().any(|class| class == "shot"))
            .filter(|&at| outline.elements[at].tag == "div")
            .collect();
        assert_eq!(of_group(&outline, &group).unwrap().css(), "div.shot");
    }

    #[test]
    fn a_group_without_a_class_is_selected_by_its_parent() {
        let page = "<ul id=menu><li></li></ul><ul class=pics><li></li><li></li></ul>";
        let outline = Outline::read(page.into()).unwrap();
        let group: Vec<_> = (0..outline.elements.len())
            .filter(|&at| outline.elements[at].tag == "li")
            .skip(1)
            .collect();
        assert_eq!(of_group(&outline, &group).unwrap().css(), "ul.pics > li");
        let outline = Outline::read("<ul class=pics><li></li><li></li></ul>".into()).unwrap();
        let group: Vec<_> = (0..outline.elements.len())
            .filter(|&at| outline.elements[at].tag == "li")
            .collect();
        assert_eq!(of_group(&outline, &group).unwrap().css(), "ul.pics > li");
    }
}
