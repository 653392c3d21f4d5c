//! Masks e-mail addresses and card numbers in descriptions and attributes, drops attributes that nobody should see, and emits
//! the event again with the tag `clean`.
//!
//! Its own events carry the tag, and its query leaves them out: else it would answer itself. Let what goes outside, rules
//! and outputs, ask for `tagged "clean"`. The clean event takes the place of the other in the index; in the log both stand:
//! what must not be on this machine at all, clean at the sender.

use tidegate_sdk::prelude::*;

#[derive(Params)]
pub struct Settings {
    /// The names of attributes that are dropped, with commas between them.
    #[param(default = "password,token,authorization")]
    drop: String,
}

/// Nothing is remembered.
#[derive(Serialize, Deserialize)]
pub struct Redaction;

#[rule(query = r#"not tagged "clean" and state != "expired""#, per = Stream)]
impl Rule for Redaction {
    type Params = Settings;

    fn first_seen(_: &Event, _: &Settings) -> Self {
        Self
    }

    fn on_event(&mut self, event: &Event, settings: &Settings, out: &mut Out) {
        let mut clean = out.emit().tag("clean").no_attributes();
        if let Some(description) = event.description() {
            clean = clean.describe(masked(description));
        }
        let dropped = |name: &str| settings.drop.split(',').any(|drop| drop.trim() == name);
        for (name, value) in event.attributes().filter(|(name, _)| !dropped(name)) {
            clean = clean.attribute(name, &masked(value));
        }
        clean.send();
    }
}

/// The text with `<email>` and `<card>` in place of what looks like one.
fn masked(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for word in text.split_inclusive(|c: char| c.is_whitespace() || "<>()[]{}\"',;:=|".contains(c)) {
        let bare = word.trim_end_matches(|c: char| c.is_whitespace() || "<>()[]{}\"',;:=|.!?".contains(c));
        let email = bare.split_once('@').is_some_and(|(user, host)| !user.is_empty() && host.contains('.'));
        clean.push_str(if email { "<email>" } else { bare });
        clean.push_str(&word[bare.len()..]);
    }
    while let Some((start, end)) = card(&clean) {
        clean.replace_range(start..end, "<card>");
    }
    clean
}

/// Where a card number stands: 13 to 19 digits, single spaces or dashes between them, whose checksum (Luhn's) is right.
fn card(text: &str) -> Option<(usize, usize)> {
    let bytes = text.as_bytes();
    let is_digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let mut starts = (0..bytes.len()).filter(|at| is_digit(*at) && (*at == 0 || !is_digit(at - 1)));
    starts.find_map(|start| {
        let (mut digits, mut found) = (Vec::new(), None);
        for (at, byte) in (start..).zip(&bytes[start..]) {
            match byte {
                b'0'..=b'9' if digits.len() < 19 => digits.push(u32::from(byte - b'0')),
                b' ' | b'-' if is_digit(at + 1) => continue,
                _ => break,
            }
            if digits.len() >= 13 && !is_digit(at + 1) && checksum(&digits) == 0 {
                found = Some((start, at + 1));
            }
        }
        found
    })
}

fn checksum(digits: &[u32]) -> u32 {
    let doubled = digits.iter().rev().enumerate().map(|(at, digit)| digit * (1 + at as u32 % 2));
    doubled.map(|digit| digit / 10 + digit % 10).sum::<u32>() % 10
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_testkit::{Scene, expect};

    #[test]
    fn addresses_and_cards_are_masked_and_secrets_dropped() {
        Scene::<Redaction>::new()
            .play(
                "
                at  host  service  description                                       user           token  tags
                0s  web1  pay      'ann@example.org paid with 4111 1111 1111 1111.'  bob@b.example  s3cr3t  eu
                1s  web1  pay      'order 1234 5678 9012 3456, not a card; a@b'      -              -      eu
                2s  web1  pay      'this one is clean'                               -              -      clean
                ",
            )
            .leaves(expect![[r#"
                0s  emit  web1 pay  <email> paid with <card>.  #eu  #clean  user=<email>
                1s  emit  web1 pay  order 1234 5678 9012 3456, not a card; a@b  #eu  #clean
            "#]]);
    }

    #[test]
    fn what_stands_around_stays() {
        assert_eq!(masked("to=<ann@x.org>, (4111-1111-1111-1111)!"), "to=<<email>>, (<card>)!");
        assert_eq!(masked("4111 1111 1111 1111 2026"), "<card> 2026");
        assert_eq!(masked("Grüße @home 12:30 2026-01-01"), "Grüße @home 12:30 2026-01-01");
    }
}
