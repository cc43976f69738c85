//! Paragraphs of a width, so that numbers of any length can stand in them.

/// Columns of a line at most, unless one word is longer.
const WIDTH: usize = 120;

/// Fills paragraphs and list items anew; tables, headings and blocks of code stay as they are.
pub(super) fn paragraphs(text: &str) -> String {
    let mut out = String::new();
    let mut paragraph: Vec<&str> = Vec::new();
    let mut in_code = false;
    for line in text.lines() {
        let is_fence = line.starts_with("```");
        in_code ^= is_fence;
        let is_fixed = in_code || is_fence || line.is_empty() || line.starts_with(['|', '#']);
        if is_fixed || line.starts_with("- ") {
            fill(&mut out, &paragraph);
            paragraph.clear();
        }
        if is_fixed {
            out.push_str(line);
            out.push('\n');
        } else {
            paragraph.push(line);
        }
    }
    fill(&mut out, &paragraph);
    out
}

/// One paragraph; what follows the first line of a list item stands under its text.
fn fill(out: &mut String, lines: &[&str]) {
    let indent = if lines.first().is_some_and(|line| line.starts_with("- ")) { "  " } else { "" };
    let mut width = 0;
    for word in lines.iter().flat_map(|line| line.split_ascii_whitespace()) {
        let length = word.chars().count();
        if width > 0 && width + 1 + length > WIDTH {
            out.push('\n');
            out.push_str(indent);
            width = indent.len();
        } else if width > 0 {
            out.push(' ');
            width += 1;
        }
        out.push_str(word);
        width += length;
    }
    if width > 0 {
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::paragraphs;

    #[test]
    fn paragraphs_are_filled_and_the_rest_stays() {
        let long = "word ".repeat(30);
        let text =
            format!("# {long}\n\nA\nb\n{long}\n\n- one\n- two\n  three {long}\n\n```\na\nb\n```\n| a |\n| b |\n");
        let filled = paragraphs(&text);
        assert!(filled.starts_with(&format!("# {long}\n\nA b word")), "{filled}");
        assert!(filled.contains("\n- one\n- two three word") && filled.contains("word\n  word"), "{filled}");
        assert!(filled.ends_with("\n\n```\na\nb\n```\n| a |\n| b |\n"), "{filled}");
        assert!(filled.lines().filter(|line| !line.starts_with('#')).all(|line| line.len() <= 120));
        assert_eq!(paragraphs(&filled), filled);
    }
}
