//! What a document is made of: headings with their anchors, links, and text outside code blocks.

use std::collections::BTreeMap;
use std::ops::Range;

/// The text with its fenced blocks blanked.
pub(super) fn without_blocks(text: &str) -> String {
    let mut within = false;
    let mut kept = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let fence = line.trim_start().starts_with("```");
        if within || fence {
            kept.extend(line.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }));
        } else {
            kept.push_str(line);
        }
        within ^= fence;
    }
    kept
}

fn headings(text: &str) -> Vec<String> {
    let text = without_blocks(text);
    let level =
        |line: &&str| line.starts_with('#') && line.trim_start_matches('#').starts_with(' ');
    text.lines().filter(level).map(|line| line.trim_start_matches('#').trim().to_owned()).collect()
}

/// Whether the document has this anchor, as hosts make them of headings.
pub(super) fn has_anchor(text: &str, anchor: &str) -> bool {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    headings(text).iter().any(|heading| {
        let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
        let slug: String = heading.to_lowercase().chars().filter(kept).collect();
        let slug = slug.replace(' ', "-");
        let count = seen.entry(slug.clone()).or_default();
        let slug = if *count == 0 { slug } else { format!("{slug}-{count}") };
        *count += 1;
        slug == anchor
    })
}

/// Whether a heading begins with this number.
pub(super) fn has_section(text: &str, number: &str) -> bool {
    headings(text).iter().any(|heading| {
        let rest = heading.strip_prefix(number);
        rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric()))
    })
}

/// Where the targets of links stand.
pub(super) fn links(text: &str) -> Vec<Range<usize>> {
    text.match_indices("](")
        .filter_map(|(at, _)| {
            let start = at + 2;
            let len = text[start..].find([')', '\n'])?;
            text[start + len..].starts_with(')').then(|| start..start + len)
        })
        .collect()
}

/// What stands between backticks on each line, with where it begins.
pub(super) fn quoted(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let mut at = start;
        for (index, part) in line.split('`').enumerate() {
            if index % 2 == 1 {
                found.push((at, part));
            }
            at += part.len() + 1;
        }
        start += line.len();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# One: `a_b`, (c)\n```\n# Two\n```\n## 3. Three\n### Same\n### Same\n#no\n";

    #[test]
    fn headings_have_anchors_and_numbers() {
        for anchor in ["one-a_b-c", "3-three", "same", "same-1"] {
            assert!(has_anchor(TEXT, anchor), "{anchor}");
        }
        assert!(!has_anchor(TEXT, "two") && !has_anchor(TEXT, "same-2") && !has_anchor(TEXT, "no"));
        assert!(has_section(TEXT, "3") && !has_section(TEXT, "2"));
    }

    #[test]
    fn links_and_quotes_are_found() {
        let text = "a [b](c.md#d) [`e`](f) g `h i`";
        let targets: Vec<&str> = links(text).into_iter().map(|range| &text[range]).collect();
        assert_eq!(targets, ["c.md#d", "f"]);
        assert_eq!(quoted(text), [(16, "e"), (26, "h i")]);
    }
}
