//! What a file's name must be like to be good everywhere: stated independently of the code that
//! makes it.

use unicode_normalization::is_nfc;

/// The most bytes of a name, with every suffix that the program and those beside it may add.
const MAX_BYTES: usize = 255;

/// The longest suffix that a name gets on its way: that of a part, or of the reason beside what was rejected.
const SUFFIX: &str = ".part";

/// The names that Windows takes for devices, with any extension.
const DEVICES: [&str; 7] = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$"];

/// Says what is wrong with the file name `name`, if anything is.
pub fn flaw(name: &str) -> Option<String> {
    let odd = name.chars().find(|&c| is_refused(c) || is_hidden(c));
    let stem = name
        .rsplit_once('.')
        .map_or(name, |(stem, _extension)| stem);
    let flaw = match name {
        "" | "." | ".." => "it names no file".to_owned(),
        _ if odd.is_some() => format!("it holds {odd:?}"),
        _ if name.starts_with(['-', '.', '~', ' ']) => {
            "a shell or a list takes its beginning for something".to_owned()
        }
        _ if name.ends_with(['.', ' ']) || stem.ends_with(['.', ' ']) => {
            "Windows cuts its end".to_owned()
        }
        _ if is_device(name) => "it is a device".to_owned(),
        _ if name.len() + SUFFIX.len() > MAX_BYTES => format!("it is {} bytes long", name.len()),
        _ if !is_nfc(name) => "a Mac gives it back in another form".to_owned(),
        _ => return None,
    };
    Some(flaw)
}

/// The name as the most careless file system compares it: NTFS and APFS know neither case nor Unicode's forms.
pub fn careless(name: &str) -> String {
    use unicode_normalization::UnicodeNormalization as _;
    name.nfd()
        .collect::<String>()
        .to_uppercase()
        .to_lowercase()
        .nfd()
        .collect()
}

/// What separates parts of a path somewhere, or is refused by Windows.
fn is_refused(c: char) -> bool {
    matches!(c, '/' | '\\' | '<' | '>' | ':' | '"' | '?' | '*' | '|') || c.is_control()
}

/// What cannot be seen, or turns the direction of what can.
fn is_hidden(c: char) -> bool {
    let direction = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let no_width = matches!(c, '\u{ad}' | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2064}' | '\u{feff}' | '\u{fe0f}');
    let no_character = matches!(c, '\u{e000}'..='\u{f8ff}' | '\u{fdd0}'..='\u{fdef}' | '\u{fffd}'..='\u{ffff}')
        || c >= '\u{e0000}'
        || u32::from(c) & 0xfffe == 0xfffe;
    direction || no_width || no_character || (c.is_whitespace() && c != ' ')
}

fn is_device(name: &str) -> bool {
    let name = name
        .split('.')
        .next()
        .unwrap_or_default()
        .trim_end()
        .to_ascii_uppercase();
    let port = |port: &str| {
        let number = name
            .strip_prefix(port)
            .and_then(|number| number.parse::<char>().ok());
        number.is_some_and(|number| {
            number.is_ascii_digit() || matches!(number, '\u{b9}' | '\u{b2}' | '\u{b3}')
        })
    };
    DEVICES.contains(&name.as_str()) || port("COM") || port("LPT")
}
