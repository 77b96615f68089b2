//! How much work waits in a tag that has no end yet.
//!
//! The HTML parser compares each attribute with all of its tag, so that an endless tag takes time by the square of
//! its attributes. It tells nobody how many those are; so we count them, by the states of the HTML Standard (section
//! 13.2.5) that concern tags. Counting every blank instead would refuse a page for a long text within one attribute.

/// What the tokenizer gave out while it read a step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Emitted {
    /// How many tags, comments and doctypes.
    pub(super) markup: usize,
    /// Whether there was text as well.
    pub(super) text: bool,
    /// Whether the text behind the last of the tags is not markup.
    pub(super) is_raw_behind: bool,
    /// Whether that was so behind any of them.
    pub(super) was_raw: bool,
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
    /// In a doctype, or in what browsers make a comment of up to the next `>`; they cost nothing.
    Comment,
    /// In a comment that may hold a `>`; it costs nothing either.
    LongComment,
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
    /// In the text of a script, or wherever else these states do not hold: every place where an attribute could begin
    /// counts as one.
    Unknown,
}

/// The attributes of the tag that the tokenizer is in.
#[derive(Debug)]
pub(super) struct Pending {
    place: Place,
    attributes: usize,
    /// Tags and comments that ended in this step, as these states see it.
    ended: usize,
}

impl Default for Pending {
    fn default() -> Self {
        Self {
            place: Place::Data,
            attributes: 0,
            ended: 0,
        }
    }
}

impl Pending {
    /// Whether it is known where the tokenizer is. Then a step may hold several tags; otherwise it must hold no `>` but as
    /// its last byte.
    pub(super) fn is_in_step(&self) -> bool {
        !matches!(self.place, Place::Unknown | Place::LongComment)
    }

    /// Follows the tokenizer through `step`.
    pub(super) fn follow(&mut self, step: &str, emitted: Emitted) {
        if !self.is_in_step() && emitted.markup > 0 {
            // A tag or a comment that was given out has ended just there.
            self.attributes = 0;
            if !emitted.is_raw_behind {
                self.place = Place::Data;
            }
            return;
        }
        if self.place == Place::Unknown && emitted.text {
            self.attributes = 0;
        }
        self.ended = 0;
        let mut rest = step.as_bytes();
        while let Some((&byte, after)) = rest.split_first() {
            let run = self.run(rest);
            rest = if run > 0 {
                &rest[run..]
            } else {
                self.place = self.next(byte);
                after
            };
        }
        // The tokenizer knows what these states leave out: scripts, comments that hold a `>`.
        if self.ended != emitted.markup || emitted.was_raw {
            self.place = Place::Unknown;
        }
    }

    /// How many attributes the tag has so far, or may have.
    pub(super) fn attributes(&self) -> usize {
        self.attributes
    }

    /// How many of these bytes leave the place as it is, as far as that can be told fast: most of a page is text, values
    /// and names.
    fn run(&self, bytes: &[u8]) -> usize {
        let end = match self.place {
            Place::Data => memchr::memchr(b'<', bytes),
            Place::Quoted(quote) => memchr::memchr(quote, bytes),
            Place::TagName | Place::Name => {
                bytes.iter().position(|byte| !byte.is_ascii_alphanumeric())
            }
            _ => return 0,
        };
        end.unwrap_or(bytes.len())
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
            // A comment up to `-->`, whose end the tokenizer finds.
            Place::Declaration if byte == b'-' => Place::LongComment,
            Place::LongComment => Place::LongComment,
            // Within SVG it is text up to `]]>`, elsewhere a comment up to `>`.
            Place::Declaration if byte == b'[' => Place::Unknown,
            Place::Declaration | Place::Comment if byte != b'>' => Place::Comment,
            Place::Unknown => {
                let could_begin = is_blank || matches!(byte, b'/' | b'"' | b'\'');
                self.attributes += usize::from(could_begin);
                Place::Unknown
            }
            Place::Quoted(quote) if byte == quote => Place::AfterQuoted,
            Place::Quoted(quote) => Place::Quoted(quote),
            _ if byte == b'>' => {
                self.attributes = 0;
                self.ended += 1;
                Place::Data
            }
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
        pending.follow(step, Emitted::default());
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
            ("<!DOCTYPE a b \"c", 0),
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
        pending.follow("<a>", Emitted::default());
        pending.follow("<b c=\"d e f", Emitted::default());
        assert_eq!(pending.attributes(), 4);
    }

    #[test]
    fn a_step_of_several_html_tags_is_followed_as_long_as_the_tokenizer_agrees() {
        let two_tags = Emitted {
            markup: 2,
            text: true,
            ..Emitted::default()
        };
        let mut pending = Pending::default();
        pending.follow("<a b='>'>text</a><c d e='f>", two_tags);
        assert_eq!((pending.is_in_step(), pending.attributes()), (true, 2));
        let mut pending = Pending::default();
        pending.follow("<!-- > <a> <b c=\" --><d>", two_tags);
        assert!(!pending.is_in_step(), "a comment");
        let mut pending = Pending::default();
        pending.follow("<!doctype html><a b><c", two_tags);
        assert!(pending.is_in_step());
        pending.follow(" d e", Emitted::default());
        assert_eq!(pending.attributes(), 2);
        let mut pending = Pending::default();
        pending.follow(
            "<a><b>",
            Emitted {
                markup: 1,
                ..two_tags
            },
        );
        assert!(!pending.is_in_step(), "one tag more than the tokenizer saw");
        let script = Emitted {
            was_raw: true,
            ..two_tags
        };
        let mut pending = Pending::default();
        pending.follow("<script></script>", script);
        assert!(!pending.is_in_step());
        pending.follow(
            "x y<b>",
            Emitted {
                markup: 1,
                ..Emitted::default()
            },
        );
        assert_eq!((pending.is_in_step(), pending.attributes()), (true, 0));
    }
}
