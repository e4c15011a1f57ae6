//! Words and signs of protobuf text format.

/// Walks over the tokens of a text: names, numbers, quoted strings and single signs; comments and space are passed over.
pub(super) struct Tokens<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Tokens<'t> {
    pub(super) const fn of(text: &'t str) -> Self {
        Self { text, at: 0 }
    }
}

/// Gives each token with the offset of its first byte.
impl<'t> Iterator for Tokens<'t> {
    type Item = (usize, &'t str);

    fn next(&mut self) -> Option<Self::Item> {
        let word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '+');
        loop {
            let rest = &self.text[self.at..];
            let first = rest.chars().next()?;
            if first.is_whitespace() {
                self.at += first.len_utf8();
            } else if first == '#' {
                self.at += rest.find('\n').unwrap_or(rest.len());
            } else {
                let length = match first {
                    '"' | '\'' => string_length(rest, first),
                    c if word(c) => rest.find(|c| !word(c)).unwrap_or(rest.len()),
                    c => c.len_utf8(),
                };
                let token = (self.at, &rest[..length]);
                self.at += length;
                return Some(token);
            }
        }
    }
}

/// Length of the quoted string at the beginning of `text`.
fn string_length(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_and_comments_hide_their_signs() {
        let tokens: Vec<&str> = Tokens::of("a: 'x [ \\' #' # [ ]\nb {c:-1.5}").map(|(_, token)| token).collect();
        assert_eq!(tokens, ["a", ":", "'x [ \\' #'", "b", "{", "c", ":", "-", "1.5", "}"]);
    }

    #[test]
    fn a_string_without_end_ends_with_the_text() {
        assert_eq!(Tokens::of("'é").collect::<Vec<_>>(), [(0, "'é")]);
    }
}
