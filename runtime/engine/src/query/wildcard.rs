//! `=~`: a pattern in which `%` stands for any run of characters but newlines; all else is literal, from end to end.

/// A pattern, cut at its `%`s.
#[derive(Clone, Debug)]
pub struct Wildcard(Vec<Vec<u8>>);

impl Wildcard {
    /// The pattern.
    pub fn new(pattern: &str) -> Self {
        Self(pattern.split('%').map(|part| part.as_bytes().to_vec()).collect())
    }

    /// Whether the whole text fits, but for one newline at its end.
    pub fn matches(&self, text: &[u8]) -> bool {
        self.fits(text) || text.strip_suffix(b"\n").is_some_and(|text| self.fits(text))
    }

    fn fits(&self, text: &[u8]) -> bool {
        let (first, rest) = match self.0.split_first() {
            Some(parts) => parts,
            None => return text.is_empty(),
        };
        let Some((last, middle)) = rest.split_last() else { return text == &first[..] };
        let Some(text) = text.strip_prefix(&first[..]) else { return false };
        let Some(mut text) = text.strip_suffix(&last[..]) else { return false };
        for part in middle {
            let Some(at) = find(text, part) else { return false };
            if text[..at].contains(&b'\n') {
                return false;
            }
            text = &text[at + part.len()..];
        }
        !text.contains(&b'\n')
    }
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    if part.is_empty() { Some(0) } else { text.windows(part.len()).position(|window| window == part) }
}
