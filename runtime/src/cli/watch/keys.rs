//! What keys do. One table serves the keys and the help that explains them.

use super::board::{Board, Typing, Wish};
use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// The keys and what they do, as the help shows it.
pub const HELP: [(&str, &str); 11] = [
    ("up, down, j, k", "select a stream"),
    ("page up, page down", "by a page"),
    ("g, G, home, end", "first, last"),
    ("enter", "all of the selected stream, and back"),
    ("/", "another query; enter asks, esc leaves it"),
    ("s", "order by state, host, service, metric, age"),
    ("r", "turn the order round"),
    ("space", "pause, and go on"),
    ("l", "look now"),
    ("?", "this help"),
    ("q, esc, ctrl-c", "leave"),
];

/// Does what a key means.
pub fn act(board: &mut Board, event: &Event) -> Wish {
    // Everything else is a change of size, which the next picture sees by itself.
    let Event::Key(key) = event else { return Wish::Nothing };
    if key.kind == KeyEventKind::Release {
        return Wish::Nothing;
    }
    board.note = None;
    if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
        return Wish::Leave;
    }
    match board.typing.take() {
        Some(typing) => type_on(board, typing, *key),
        None => command(board, *key),
    }
}

fn type_on(board: &mut Board, mut typing: Typing, key: KeyEvent) -> Wish {
    match key.code {
        KeyCode::Esc => return Wish::Nothing,
        KeyCode::Enter => {
            let text = typing.text.trim();
            board.asked = Some(if text.is_empty() { "true" } else { text }.to_owned());
            board.paused = false;
            return Wish::Look;
        }
        KeyCode::Backspace => typing.back(),
        KeyCode::Delete => typing.delete(),
        KeyCode::Left => typing.step(-1),
        KeyCode::Right => typing.step(1),
        KeyCode::Home => typing.at = 0,
        KeyCode::End => typing.step(isize::MAX),
        KeyCode::Char('u') if key.modifiers.contains(KeyModifiers::CONTROL) => typing = Typing::new(""),
        KeyCode::Char(letter) if !key.modifiers.contains(KeyModifiers::CONTROL) => typing.insert(letter),
        _ => {}
    }
    board.typing = Some(typing);
    Wish::Nothing
}

fn command(board: &mut Board, key: KeyEvent) -> Wish {
    let page = isize::try_from(board.page.max(2) - 1).unwrap_or(1);
    match key.code {
        KeyCode::Char('q') => return Wish::Leave,
        KeyCode::Esc if board.help || board.detail => (board.help, board.detail) = (false, false),
        KeyCode::Esc => return Wish::Leave,
        KeyCode::Char('?') => board.help = !board.help,
        KeyCode::Up | KeyCode::Char('k') => board.select(-1),
        KeyCode::Down | KeyCode::Char('j') => board.select(1),
        KeyCode::PageUp => board.select(-page),
        KeyCode::PageDown => board.select(page),
        KeyCode::Home | KeyCode::Char('g') => board.selected = 0,
        KeyCode::End | KeyCode::Char('G') => board.select(isize::MAX),
        KeyCode::Enter => board.detail = !board.detail,
        KeyCode::Char('/') => board.typing = Some(Typing::new(&board.wanted())),
        KeyCode::Char('s') => {
            board.sort = board.sort.next();
            board.arrange();
        }
        KeyCode::Char('r') => {
            board.reversed = !board.reversed;
            board.arrange();
        }
        KeyCode::Char('l') => return Wish::Look,
        KeyCode::Char(' ') => {
            board.paused = !board.paused;
            if !board.paused {
                return Wish::Look;
            }
        }
        _ => {}
    }
    Wish::Nothing
}

#[cfg(test)]
mod tests {
    use super::super::board::Sort;
    use super::super::board::tests::{event, look};
    use super::*;

    fn press(board: &mut Board, code: KeyCode) -> Wish {
        act(board, &Event::Key(KeyEvent::new(code, KeyModifiers::NONE)))
    }

    fn board(rows: usize) -> Board {
        let mut board = Board::new("true".into(), "http://127.0.0.1:5559".into(), false);
        board.see(look((0..rows).map(|n| event(&format!("h{n:02}"), "x", "ok", 1.0)).collect()));
        board
    }

    #[test]
    fn the_selection_stays_within_the_rows() {
        let mut board = board(30);
        board.page = 10;
        for (code, expected) in [
            (KeyCode::Up, 0),
            (KeyCode::Down, 1),
            (KeyCode::PageDown, 10),
            (KeyCode::Char('G'), 29),
            (KeyCode::Down, 29),
            (KeyCode::PageUp, 20),
            (KeyCode::Home, 0),
        ] {
            assert_eq!(press(&mut board, code), Wish::Nothing);
            assert_eq!(board.selected, expected, "{code:?}");
        }
        let mut nothing = self::board(0);
        press(&mut nothing, KeyCode::Char('G'));
        assert!(nothing.selected().is_none());
    }

    #[test]
    fn a_query_is_typed_and_asked_or_left() {
        let mut board = board(1);
        press(&mut board, KeyCode::Char('/'));
        for letter in "q?".chars() {
            press(&mut board, KeyCode::Char(letter));
        }
        assert_eq!(
            board.typing.as_ref().map(|typing| typing.text.as_str()),
            Some("trueq?"),
            "letters, not commands"
        );
        assert_eq!(press(&mut board, KeyCode::Esc), Wish::Nothing);
        assert_eq!((board.typing.as_ref(), board.wanted().as_str()), (None, "true"));
        press(&mut board, KeyCode::Char('/'));
        let clear = KeyEvent::new(KeyCode::Char('u'), KeyModifiers::CONTROL);
        act(&mut board, &Event::Key(clear));
        for letter in "x = 1".chars() {
            press(&mut board, KeyCode::Char(letter));
        }
        assert_eq!(press(&mut board, KeyCode::Enter), Wish::Look);
        assert_eq!(board.wanted(), "x = 1");
    }

    #[test]
    fn escape_goes_back_first_and_leaves_then() {
        let mut board = board(1);
        press(&mut board, KeyCode::Enter);
        press(&mut board, KeyCode::Char('?'));
        assert!(board.detail && board.help);
        assert_eq!(press(&mut board, KeyCode::Esc), Wish::Nothing);
        assert!(!board.detail && !board.help);
        assert_eq!(press(&mut board, KeyCode::Esc), Wish::Leave);
        assert_eq!(press(&mut board, KeyCode::Char('q')), Wish::Leave);
    }

    #[test]
    fn order_and_pause_have_a_key() {
        let mut board = board(2);
        press(&mut board, KeyCode::Char('s'));
        press(&mut board, KeyCode::Char('r'));
        assert_eq!((board.sort, board.reversed), (Sort::Host, true));
        assert_eq!(board.rows[0].host, "h01");
        assert_eq!(press(&mut board, KeyCode::Char(' ')), Wish::Nothing);
        assert_eq!(press(&mut board, KeyCode::Char(' ')), Wish::Look, "what was missed is looked at");
    }
}
