//! Which word somebody may have meant.

/// ` (did you mean …?)` with the known word that is nearest to what was written; nothing when none is near.
pub fn hint(written: &str, known: &[&str]) -> String {
    let distance = |word: &&&str| distance(&written.to_lowercase(), &word.to_lowercase());
    let near = known.iter().min_by_key(distance).filter(|word| distance(word) <= word.len().div_ceil(3));
    near.map(|word| format!(" (did you mean `{word}`?)")).unwrap_or_default()
}

/// How many letters have to be put in, left out or changed, or neighbours swapped.
fn distance(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let mut rows = vec![(0..=other.len()).collect::<Vec<usize>>()];
    for i in 1..=one.len() {
        let mut row = vec![i];
        for j in 1..=other.len() {
            let change = rows[i - 1][j - 1] + usize::from(one[i - 1] != other[j - 1]);
            let mut least = change.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && one[i - 1] == other[j - 2] && one[i - 2] == other[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[one.len()][other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_meant_if_it_is_near() {
        let known = ["query", "per", "reads", "state_schema"];
        for (written, meant) in
            [("querry", "query"), ("Per", "per"), ("read", "reads"), ("qurey", "query"), ("schema_state", "")]
        {
            let expected =
                if meant.is_empty() { String::new() } else { format!(" (did you mean `{meant}`?)") };
            assert_eq!(hint(written, &known), expected);
        }
        assert_eq!(hint("window", &known), "");
    }

    #[test]
    fn swapped_neighbours_are_one_mistake() {
        assert_eq!(distance("abc", "acb"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
