//! Finds what only a shell understands in a command that no shell runs: operators between commands and redirections.

/// The first word of `command` that a shell would take for an operator, if there is one. A quoted or escaped one is
/// text, as it is for a shell.
pub(super) fn find_operator(command: &str) -> Option<&str> {
    let words = raw_words(command);
    let last = words.len().saturating_sub(1);
    words.into_iter().enumerate().find_map(|(at, word)| {
        let glued = at < last && word.len() > 1 && word.ends_with(';') && !word.ends_with("\\;");
        (is_operator(word) || is_redirection(word) || glued).then_some(word)
    })
}

fn is_operator(word: &str) -> bool {
    matches!(
        word,
        "&&" | "||" | "|" | "|&" | ";" | "&" | "<" | "<<" | "<<<" | "<>"
    )
}

/// Whether the word is `>` with what a shell lets stand around it: `>>`, `2>`, `2>&1`, `&>`, `>/dev/null`. With a
/// `>` at its end only it is none: `1920x1080>` is a size for `ImageMagick`.
fn is_redirection(word: &str) -> bool {
    let behind = word.trim_start_matches(|c: char| c.is_ascii_digit());
    behind.starts_with('>') || behind.starts_with("&>")
}

/// Whether a shell would put the home folder in place of the head of a raw word: `~/` without quotes, `$HOME/` and
/// `${HOME}/` also between double ones. A word with blanks between the quotes is left alone: it is a script, or text.
pub(super) fn begins_at_home(raw: &str) -> bool {
    let begins = |heads: &[&str]| heads.iter().any(|head| raw.starts_with(head));
    begins(&["~/", "$HOME/", "${HOME}/", "\"$HOME\"/", "\"${HOME}\"/"])
        || begins(&["\"$HOME/", "\"${HOME}/"]) && !raw.contains(char::is_whitespace)
}

/// The words of `text` as they were written, with their quotes. A comment ends the line for the command's parser too.
pub(super) fn raw_words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let (mut start, mut quote, mut escaped, mut comment) = (None, None, false, false);
    for (at, c) in text.char_indices() {
        if comment {
            comment = c != '\n';
            continue;
        }
        match (escaped, quote, c) {
            (true, ..) => escaped = false,
            (false, None | Some('"'), '\\') => escaped = true,
            (false, Some(open), c) if c == open => quote = None,
            (false, None, '"' | '\'') => quote = Some(c),
            (false, None, ' ' | '\t' | '\n') => {
                words.extend(start.take().map(|start| &text[start..at]));
                continue;
            }
            (false, None, '#') if start.is_none() => {
                comment = true;
                continue;
            }
            (false, ..) => {}
        }
        start.get_or_insert(at);
    }
    words.extend(start.map(|start| &text[start..]));
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shell_operators_in_an_exec_command_are_found() {
        for (command, operator) in [
            ("feh {path} && echo done", "&&"),
            ("feh {path} || true", "||"),
            ("identify {path} | sort", "|"),
            ("identify {path} |& sort", "|&"),
            ("feh {path} ; echo done", ";"),
            ("feh {path}; echo done", "{path};"),
            ("feh {path} &", "&"),
            ("identify {path} > out.txt", ">"),
            ("identify {path} >> out.txt", ">>"),
            ("identify {path} >/dev/null", ">/dev/null"),
            ("identify {path} 2> errors", "2>"),
            ("identify {path} 2>&1", "2>&1"),
            ("identify {path} &>/dev/null", "&>/dev/null"),
            ("identify < list", "<"),
            ("feh 'a b' && \"x && y\"", "&&"),
            ("&& feh", "&&"),
            ("say it\\'s && true", "&&"),
        ] {
            assert_eq!(find_operator(command), Some(operator), "{command}");
        }
    }

    #[test]
    fn exec_word_begins_at_home_where_a_shell_says_so() {
        for raw in [
            "~/x",
            "~/my\\ x",
            "~/'my x'",
            "$HOME/x",
            "${HOME}/x",
            "\"$HOME\"/x",
            "\"$HOME/x\"",
            "\"${HOME}/x\"",
        ] {
            assert!(begins_at_home(raw), "{raw}");
        }
        for raw in [
            "'~/x'",
            "\"~/x\"",
            "\\~/x",
            "~\\/x",
            "'$HOME/x'",
            "'$HOME'/x",
            "\\$HOME/x",
            "\"\\$HOME/x\"",
            "\"$HOME/x $y\"",
            "$HOMES/x",
            "x~/",
            "~user/x",
        ] {
            assert!(!begins_at_home(raw), "{raw}");
        }
    }

    proptest::proptest! {
        #[test]
        fn raw_words_are_as_many_as_the_words_of_a_command(text in "[a #'\"\\\\\n\t$~/]{0,16}") {
            if let Some(words) = shlex::split(&text) {
                proptest::prop_assert_eq!(raw_words(&text).len(), words.len());
            }
        }
    }

    #[test]
    fn exec_text_that_only_looks_like_shell_syntax_is_not_an_operator() {
        for command in [
            "sh -c 'feh \"$1\" && echo done > log' sh {path}",
            "sh -c \"feh \\\"$1\\\" && echo\" sh {path}",
            "grep '|' {path}",
            "grep \"&&\" {path}",
            "find . -exec rm {} \\;",
            "find . -exec rm {} ';'",
            "convert {path} -resize 1920x1080> x",
            "convert {path} -resize '1920x1080>' x",
            "exiftool -Comment<=note {path}",
            "say a&b a|b a;b R&D",
            "feh {path} # && echo",
            "notify-send '>' '<b>new</b>'",
            "say {title};",
        ] {
            assert_eq!(find_operator(command), None, "{command}");
        }
    }
}
