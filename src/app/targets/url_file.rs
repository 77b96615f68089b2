//! Files of URLs, one a line, that are read more than once.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Cursor, Read, Seek};
use std::ops::ControlFlow;
use std::path::PathBuf;

use anyhow::Context as _;

/// A source of text that can be read more than once.
trait Rereadable: Read + Seek + Send {}
impl<T: Read + Seek + Send> Rereadable for T {}

/// URLs, one a line.
pub(super) struct UrlFile {
    /// As error messages show it.
    pub(super) name: String,
    /// Whether these are the arguments, and no file.
    pub(super) arguments: bool,
    text: Box<dyn Rereadable>,
}

/// Opens the files, with `arguments` as the first. A pipe can be read only once, so its text is first copied to an
/// unnamed temporary file.
pub(super) fn open(arguments: String, lists: &[PathBuf]) -> anyhow::Result<Vec<UrlFile>> {
    let mut all = vec![UrlFile {
        name: "arguments".to_owned(),
        arguments: true,
        text: Box::new(Cursor::new(arguments)),
    }];
    for path in lists {
        let stdin = path.as_os_str() == "-";
        let name = if stdin {
            "standard input".to_owned()
        } else {
            path.display().to_string()
        };
        let open = || -> io::Result<Box<dyn Rereadable>> {
            if !stdin {
                let file = File::open(path)?;
                if file.metadata()?.is_file() {
                    return Ok(Box::new(file));
                }
                return copy_to_temporary(file);
            }
            copy_to_temporary(io::stdin().lock())
        };
        let text = open().with_context(|| format!("reading the list `{name}`"))?;
        all.push(UrlFile {
            name,
            arguments: false,
            text,
        });
    }
    Ok(all)
}

fn copy_to_temporary(mut from: impl Read) -> io::Result<Box<dyn Rereadable>> {
    let mut file = tempfile::tempfile()?;
    io::copy(&mut from, &mut file)?;
    Ok(Box::new(file))
}

/// The longest line in bytes: no server accepts a longer URL.
const MAX_LINE: usize = 16 * 1024;

/// Bytes of an unreadable line that an error shows.
const SHOWN: usize = 100;

impl UrlFile {
    /// Calls `take` for every line until it breaks off, with the line's number and its text, or the text and the reason
    /// why it is not readable. Empty lines and those that begin with `#` are skipped.
    pub(super) fn each(
        &mut self,
        mut take: impl FnMut(usize, Result<String, (String, String)>) -> ControlFlow<()>,
    ) -> io::Result<()> {
        self.text.rewind()?;
        let mut text = BufReader::new(&mut self.text);
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            if (&mut text)
                .take(MAX_LINE as u64)
                .read_until(b'\n', &mut line)?
                == 0
            {
                break;
            }
            let cut = line.len() == MAX_LINE && line.last() != Some(&b'\n');
            if cut {
                text.skip_until(b'\n')?;
            }
            let bytes = if number == 1 {
                line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line)
            } else {
                &line
            };
            let written = match std::str::from_utf8(bytes) {
                Ok(written) if !cut => Ok(written.trim()),
                Ok(_) => Err(format!("it is longer than {MAX_LINE} bytes")),
                Err(_) if number == 1 && bytes.starts_with(b"\xff\xfe") => {
                    Err("the list is not UTF-8".to_owned())
                }
                Err(_) => Err("it is not UTF-8".to_owned()),
            };
            let given = match written {
                Ok("") => continue,
                Ok(comment) if comment.starts_with('#') => continue,
                Ok(written) => Ok(written.to_owned()),
                Err(why) => Err((
                    String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)])
                        .trim()
                        .to_owned(),
                    why,
                )),
            };
            if take(number, given).is_break() {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Vec<(usize, Result<String, String>)> {
        let mut list = UrlFile {
            name: "list".to_owned(),
            arguments: false,
            text: Box::new(Cursor::new(text.to_vec())),
        };
        let mut lines = Vec::new();
        for _twice in 0..2 {
            lines.clear();
            let take = |number, line: Result<String, (String, String)>| {
                lines.push((number, line.map_err(|(_, why)| why)));
                ControlFlow::Continue(())
            };
            list.each(take).unwrap();
        }
        lines
    }

    #[test]
    fn a_url_file_is_read_with_the_line_ends_and_marks_of_every_system() {
        let text = b"\xef\xbb\xbf# mine\r\nhttps://a.invalid/1.png\r\n\r\n  \thttps://a.invalid/2.png \n #x\nhttps://a.invalid/3.png";
        let address = |number| Ok(format!("https://a.invalid/{number}.png"));
        assert_eq!(
            read(text),
            [(2, address(1)), (4, address(2)), (6, address(3))]
        );
        assert_eq!(read(b""), []);
        assert_eq!(read(b"\n\n# nothing\n"), []);
    }

    #[test]
    fn an_unreadable_line_of_a_url_file_is_reported_and_does_not_hide_the_next() {
        let long = [
            b"https://a.invalid/".as_slice(),
            &vec![b'a'; 3 * MAX_LINE],
            b"\nnext\n",
        ]
        .concat();
        assert_eq!(
            read(&long),
            [
                (1, Err("it is longer than 16384 bytes".to_owned())),
                (2, Ok("next".to_owned()))
            ]
        );
        assert_eq!(
            read(b"\xffx\nnext"),
            [
                (1, Err("it is not UTF-8".to_owned())),
                (2, Ok("next".to_owned()))
            ]
        );
        assert_eq!(
            read(b"\xff\xfeh\0")[0],
            (1, Err("the list is not UTF-8".to_owned()))
        );
    }
}
