//! How much work waits in a tag that has no end yet.
//!
//! The HTML parser compares each attribute with all of its tag, so that an endless tag takes time by the square of
//! its attributes. It tells nobody how many those are; so we count them, by the states of the HTML Standard (section
//! 13.2.5) that concern tags and comments. Counting every blank instead would refuse a page for a long text within one
//! attribute.
//!
//! Only after a while without a tag is there anything to count. What was read before is followed then, so that the usual
//! page, which is full of tags, costs nothing: to follow every byte took a twentieth of its time.

/// Bytes without a tag that may pass before they are followed; so many attributes as would take long have more.
const QUIET_BYTES: usize = 8 * 1024;

/// What the tokenizer gave out while it read a step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Emitted {
    /// How many tags, comments and doctypes.
    pub(super) markup: usize,
    /// Whether there was text as well.
    pub(super) text: bool,
    /// Whether the text behind the last of the tags is not markup.
    pub(super) is_raw_behind: bool,
    /// Whether that was so behind any of them: a script or a style sheet.
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
    /// Behind `<!-`.
    DeclarationDash,
    /// Behind `<!--`.
    CommentStart,
    CommentStartDash,
    /// In a comment up to `-->`.
    LongComment,
    CommentDash,
    CommentEnd,
    CommentBang,
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
    /// Behind the `>` of a tag or a comment: in text again.
    Ended,
    /// In the text of a script, or wherever else these states do not hold: every place where an attribute could begin
    /// counts as one.
    Unknown,
}

/// The attributes of the tag that the tokenizer is in.
#[derive(Debug)]
pub(super) struct Pending {
    /// Where the tokenizer was before the bytes that are not followed yet.
    place: Place,
    attributes: usize,
    /// Bytes that were read since.
    unfollowed: usize,
    /// Tags and comments that the tokenizer gave out of them.
    markup: usize,
    /// Bytes since the last of those.
    quiet: usize,
}

impl Default for Pending {
    fn default() -> Self {
        Self {
            place: Place::Data,
            attributes: 0,
            unfollowed: 0,
            markup: 0,
            quiet: 0,
        }
    }
}

impl Pending {
    /// Whether it can be told where the tokenizer is. Then a step may hold several tags; otherwise it must hold no `>` but
    /// as its last byte.
    pub(super) fn is_in_step(&self) -> bool {
        self.place != Place::Unknown
    }

    /// Takes note of a step of this many bytes, the last ones of those `read`.
    pub(super) fn follow(&mut self, read: &[u8], step: usize, emitted: Emitted) {
        if emitted.markup > 0 {
            // What is open began within this step.
            (self.attributes, self.quiet) = (0, 0);
        } else {
            self.quiet += step;
        }
        if emitted.was_raw && self.is_in_step() {
            // The states leave out how a script ends.
            *self = Self {
                place: Place::Unknown,
                ..Self::default()
            };
        } else if self.is_in_step() {
            self.unfollowed += step;
            self.markup += emitted.markup;
            if self.quiet > QUIET_BYTES {
                self.catch_up(read);
            }
        } else if emitted.markup == 0 {
            if emitted.text {
                self.attributes = 0;
            }
            for &byte in &read[read.len() - step..] {
                self.next(byte);
            }
        } else if !emitted.is_raw_behind {
            // The tag that was given out has ended with the step.
            *self = Self::default();
        }
    }

    fn catch_up(&mut self, read: &[u8]) {
        let mut ended = 0;
        for &byte in &read[read.len() - self.unfollowed..] {
            self.place = self.next(byte);
            ended += usize::from(self.place == Place::Ended);
        }
        // The tokenizer knows best.
        if ended != self.markup {
            self.place = Place::Unknown;
        }
        (self.unfollowed, self.markup) = (0, 0);
    }

    /// How many attributes the tag has so far, or may have.
    pub(super) fn attributes(&self) -> usize {
        self.attributes
    }

    fn next(&mut self, byte: u8) -> Place {
        let is_blank = byte.is_ascii_whitespace();
        match self.place {
            Place::Data | Place::Ended if byte == b'<' => Place::Open,
            Place::Data | Place::Ended => Place::Data,
            Place::Open => match byte {
                b'/' => Place::CloseOpen,
                b'!' => Place::Declaration,
                b'?' => Place::Comment,
                b'<' => Place::Open,
                _ => self.tag_or(byte, Place::Data),
            },
            Place::CloseOpen if byte == b'>' => Place::Data,
            Place::CloseOpen => self.tag_or(byte, Place::Comment),
            Place::Declaration if byte == b'-' => Place::DeclarationDash,
            Place::DeclarationDash if byte == b'-' => Place::CommentStart,
            Place::CommentStart
            | Place::CommentStartDash
            | Place::CommentEnd
            | Place::CommentBang
                if byte == b'>' =>
            {
                Place::Ended
            }
            Place::CommentStart if byte == b'-' => Place::CommentStartDash,
            Place::CommentStartDash | Place::CommentDash | Place::CommentEnd if byte == b'-' => {
                Place::CommentEnd
            }
            Place::CommentEnd if byte == b'!' => Place::CommentBang,
            Place::LongComment | Place::CommentBang if byte == b'-' => Place::CommentDash,
            Place::CommentStart
            | Place::CommentStartDash
            | Place::LongComment
            | Place::CommentDash
            | Place::CommentEnd
            | Place::CommentBang => Place::LongComment,
            // Within SVG it is text up to `]]>`, elsewhere a comment up to `>`.
            Place::Declaration if byte == b'[' => Place::Unknown,
            Place::Declaration | Place::DeclarationDash | Place::Comment if byte != b'>' => {
                Place::Comment
            }
            Place::Unknown => {
                let could_begin = is_blank || matches!(byte, b'/' | b'"' | b'\'');
                self.attributes += usize::from(could_begin);
                Place::Unknown
            }
            Place::Quoted(quote) if byte == quote => Place::AfterQuoted,
            Place::Quoted(quote) => Place::Quoted(quote),
            _ if byte == b'>' => {
                self.attributes = 0;
                Place::Ended
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
        pending.follow(step.as_bytes(), step.len(), Emitted::default());
        pending.catch_up(step.as_bytes());
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

    /// Reads steps, each with the number of tags that the tokenizer gave out.
    fn read(steps: &[(&str, usize)]) -> Pending {
        let mut pending = Pending::default();
        let mut read = String::new();
        for (step, markup) in steps {
            read.push_str(step);
            let emitted = Emitted {
                markup: *markup,
                ..Emitted::default()
            };
            pending.follow(read.as_bytes(), step.len(), emitted);
            if *markup == 0 && pending.is_in_step() {
                pending.catch_up(read.as_bytes());
            }
        }
        pending
    }

    #[test]
    fn an_html_tag_that_the_tokenizer_does_not_see_makes_every_blank_count() {
        let pending = read(&[("<a>", 0), ("<b c=\"d e f", 0)]);
        assert_eq!((pending.is_in_step(), pending.attributes()), (false, 4));
    }

    #[test]
    fn attributes_of_an_html_tag_are_counted_from_where_it_began() {
        let pending = read(&[("<a b='>'>text</a><c d e='>", 2), (" f'", 0), ("g h", 0)]);
        assert_eq!((pending.is_in_step(), pending.attributes()), (true, 4));
        let pending = read(&[("<!doctype html><a b><c", 2), (" d e", 0), (">", 1)]);
        assert_eq!((pending.is_in_step(), pending.attributes()), (true, 0));
    }

    #[test]
    fn an_html_comment_ends_where_the_standard_says() {
        for (comment, is_one) in [
            ("<!-- > <a b=\" -->", true),
            ("<!-->", true),
            ("<!--->", true),
            ("<!--!>", false),
            ("<!-- --!>", true),
            ("<!-- - ->", false),
            ("<!-- --->", true),
            ("<!-->-->", true),
            ("<!->", true),
            ("<!-a -- >", true),
        ] {
            let page = format!("{comment}<a b");
            let pending = read(&[(&page, 1), (" c d", 0)]);
            assert_eq!(
                pending.is_in_step() && pending.attributes() == 3,
                is_one,
                "{comment}"
            );
        }
    }

    #[test]
    fn behind_an_html_script_every_tag_counts_again() {
        let mut pending = Pending::default();
        let script = Emitted {
            markup: 2,
            was_raw: true,
            ..Emitted::default()
        };
        pending.follow(b"<script></script>", 17, script);
        assert!(!pending.is_in_step());
        let tag = Emitted {
            markup: 1,
            ..Emitted::default()
        };
        pending.follow(b"x y<b>", 6, tag);
        assert_eq!((pending.is_in_step(), pending.attributes()), (true, 0));
    }
}
