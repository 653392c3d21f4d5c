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
    without_cards(&clean)
}

/// The text with `<card>` in place of each card number, looked through once.
fn without_cards(text: &str) -> String {
    let bytes = text.as_bytes();
    let is_digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let (mut clean, mut told, mut at) = (String::with_capacity(text.len()), 0, 0);
    while at < bytes.len() {
        let starts = is_digit(at) && (at == 0 || !is_digit(at - 1));
        if let Some(end) = starts.then(|| card(bytes, at)).flatten() {
            clean.push_str(&text[told..at]);
            clean.push_str("<card>");
            (told, at) = (end, end);
        } else {
            at += 1;
        }
    }
    clean.push_str(&text[told..]);
    clean
}

/// Where the card number ends that starts here: 13 to 19 digits, single spaces or dashes between them, whose checksum (Luhn's)
/// is right.
fn card(bytes: &[u8], start: usize) -> Option<usize> {
    let is_digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let (mut digits, mut count, mut end) = ([0; 19], 0, None);
    for (at, byte) in (start..).zip(&bytes[start..]) {
        match byte {
            b'0'..=b'9' if count < digits.len() => {
                digits[count] = u32::from(byte - b'0');
                count += 1;
            }
            b' ' | b'-' if is_digit(at + 1) => continue,
            _ => break,
        }
        if count >= 13 && !is_digit(at + 1) && checksum(&digits[..count]) == 0 {
            end = Some(at + 1);
        }
    }
    end
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
    fn every_card_is_masked_and_nothing_between_them() {
        assert_eq!(
            masked("4111111111111111 and 4111-1111-1111-1111 and 4222222222222."),
            "<card> and <card> and <card>."
        );
        // Half a megabyte: looked through again from the beginning for each of them, this would take minutes.
        let many = "ü 4111111111111111 x ".repeat(25_000);
        assert_eq!(masked(&many), "ü <card> x ".repeat(25_000));
    }

    #[test]
    fn what_stands_around_stays() {
        assert_eq!(masked("to=<ann@x.org>, (4111-1111-1111-1111)!"), "to=<<email>>, (<card>)!");
        assert_eq!(masked("4111 1111 1111 1111 2026"), "<card> 2026");
        assert_eq!(masked("Grüße @home 12:30 2026-01-01"), "Grüße @home 12:30 2026-01-01");
    }
}
