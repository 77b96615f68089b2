//! How much work waits in a tag that has no end yet.
//!
//! The HTML parser compares each attribute with all of its tag, so that an endless tag takes time
//! by the square of its attributes. It tells nobody how many those are; so we count them, by the
//! states of the HTML Standard (section 13.2.5) that concern tags. Counting every blank instead
//! would refuse a page for a long text within one attribute.

/// What the tokenizer gave out while it read a step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Emitted {
    #[default]
    Nothing,
    /// Characters.
    Text,
    /// A tag, a comment or a doctype; whether the text behind it is not markup.
    Markup { is_raw_behind: bool },
}

/// Where in its text the tokenizer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In text.
    Data,
    /// Behind `<`.
    Open,
    /// Behind `</`.
    CloseOpen,
    /// Behind `<!`.
    Declaration,
    /// In a comment or a doctype, which cost nothing.
    Comment,
    /// In the name of a tag.
    TagName,
    BeforeName,
    Name,
    AfterName,
    BeforeValue,
    /// In a value, up to this quote.
    Quoted(u8),
    Unquoted,
    AfterQuoted,
    /// Behind the slash of `<br/>`.
    SelfClosing,
    /// In the text of a script, or wherever else these states do not hold: every place where an
    /// attribute could begin counts as one.
    Unknown,
}

/// The attributes of the tag that the tokenizer is in.
#[derive(Debug)]
pub(super) struct Pending {
    place: Place,
    attributes: usize,
}

impl Default for Pending {
    fn default() -> Self {
        Self {
            place: Place::Data,
            attributes: 0,
        }
    }
}

impl Pending {
    /// Follows the tokenizer through `step`, which holds no `>` but as its last byte: a tag or a
    /// comment that was given out has ended just there.
    pub(super) fn follow(&mut self, step: &str, emitted: Emitted) {
        match emitted {
            Emitted::Markup { is_raw_behind } => {
                self.attributes = 0;
                self.place = if is_raw_behind {
                    Place::Unknown
                } else {
                    Place::Data
                };
                return;
            }
            Emitted::Text if self.place == Place::Unknown => self.attributes = 0,
            Emitted::Text | Emitted::Nothing => {}
        }
        for &byte in step.as_bytes() {
            self.place = self.next(byte);
        }
    }

    /// How many attributes the tag has so far, or may have.
    pub(super) fn attributes(&self) -> usize {
        self.attributes
    }

    fn next(&mut self, byte: u8) -> Place {
        let is_blank = byte.is_ascii_whitespace();
        match self.place {
            Place::Data if byte == b'<' => Place::Open,
            Place::Data => Place::Data,
            Place::Open => match byte {
                b'/' => Place::CloseOpen,
                b'!' => Place::Declaration,
                b'?' => Place::Comment,
                b'<' => Place::Open,
                _ => self.tag_or(byte, Place::Data),
            },
            Place::CloseOpen if byte == b'>' => Place::Data,
            Place::CloseOpen => self.tag_or(byte, Place::Comment),
            // Within SVG it is text up to `]]>`, elsewhere a comment up to `>`.
            Place::Declaration if byte == b'[' => Place::Unknown,
            Place::Declaration | Place::Comment => Place::Comment,
            Place::Unknown => {
                let could_begin = is_blank || matches!(byte, b'/' | b'"' | b'\'');
                self.attributes += usize::from(could_begin);
                Place::Unknown
            }
            // The tag ends, and the tokenizer gives it out. If it does not, it is not where we
            // believe it to be.
            Place::Quoted(quote) if byte == quote => Place::AfterQuoted,
            Place::Quoted(quote) => Place::Quoted(quote),
            _ if byte == b'>' => Place::Unknown,
            Place::BeforeValue if is_blank => Place::BeforeValue,
            Place::BeforeValue if matches!(byte, b'"' | b'\'') => Place::Quoted(byte),
            Place::Unquoted if is_blank => Place::BeforeName,
            Place::BeforeValue | Place::Unquoted => Place::Unquoted,
            _ if byte == b'/' => Place::SelfClosing,
            Place::TagName if !is_blank => Place::TagName,
            Place::Name | Place::AfterName if byte == b'=' => Place::BeforeValue,
            Place::Name if !is_blank => Place::Name,
            Place::Name | Place::AfterName if is_blank => Place::AfterName,
            Place::TagName | Place::BeforeName | Place::AfterQuoted | Place::SelfClosing
                if is_blank =>
            {
                Place::BeforeName
            }
            _ => {
                self.attributes += 1;
                Place::Name
            }
        }
    }

    fn tag_or(&mut self, byte: u8, other: Place) -> Place {
        if byte.is_ascii_alphabetic() {
            self.attributes = 0;
            Place::TagName
        } else {
            other
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(step: &str) -> usize {
        let mut pending = Pending::default();
        pending.follow(step, Emitted::Nothing);
        pending.attributes()
    }

    #[test]
    fn an_html_tag_has_the_attributes_that_the_standard_sees() {
        let cases = [
            ("text with 'words'", 0),
            ("<a", 0),
            ("<a b", 1),
            ("<a b c=d e = \"f g\" h='i j'k l", 6),
            ("<a b=\"c d e/f ' g", 1),
            ("<a b=c/d\"e f", 2),
            ("<a =\"b c", 2),
            ("<a b / c//d", 3),
            ("<a b=\"\"c", 2),
            ("</a b c", 2),
            ("<!-- a b=\" c d", 0),
            ("<?a b c", 0),
            ("</ a b c", 0),
            ("< a b c", 0),
            ("<<a b", 1),
            ("<![CDATA[ a b", 2),
        ];
        for (step, expected) in cases {
            assert_eq!(attributes(step), expected, "{step}");
        }
    }

    #[test]
    fn an_html_tag_that_the_tokenizer_does_not_see_makes_every_blank_count() {
        let mut pending = Pending::default();
        pending.follow("<a>", Emitted::Nothing);
        pending.follow("<b c=\"d e f", Emitted::Nothing);
        assert_eq!(pending.attributes(), 4);
    }
}
